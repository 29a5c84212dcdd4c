"""Every node's value of a run: declared, with gradients, rewritten and fused; and the first that is not finite."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.inspect.statistics import statistics
from symgraph.inspect.values import each, first_bad, inside, statistics_of, values
from symgraph.lowering.interpreter import interpret
from symgraph.ops.region import Fused
from tests.strategies import random_graph
from tests.test_names import NAMES


def network() -> sg.Graph:
    x, w = sg.placeholder("x", ("batch", 3)), sg.variable("w", (3, 2), init=0.5)
    h = sg.relu(x @ w)
    return sg.define({"loss": sg.mean(h * h), "h": h})


X = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 0.0]], np.float32)


def test_they_are_those_that_a_session_fetches() -> None:
    graph = sg.gradient(network())
    with sg.Session(graph, backend="numpy", seed=3) as session:
        fetched = session.run(list(graph.nodes), {"x": X})
        found = values(graph, {"x": X}, session.variables)
    for got, wanted in zip(found, fetched, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    for got, again in zip(found, values(graph, {"x": X}, seed=3), strict=True):
        np.testing.assert_array_equal(got, again)


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_of_random_graphs_they_are_those_of_the_interpreter(start: int) -> None:
    for seed in range(start, start + 20):
        sample = random_graph(seed)
        for fed in (sample.values, sample.hostile()):
            leaves = {name: fed[name] for name in fed if name in sample.graph.placeholders}
            wanted = interpret(sample.graph, fed, sample.sizes)
            for got, one in zip(values(sample.graph, leaves, fed), wanted, strict=True):
                np.testing.assert_array_equal(got, one)


def test_of_a_fused_graph_they_hold_the_values_within_kernels() -> None:
    graph = network()
    executable = sg.compile(graph, backend="numpy")
    w = {"w": np.full((3, 2), 0.5, np.float32)}
    found = values(executable.graph, {"x": X}, w, declared=graph)
    declared = values(graph, {"x": X}, w)
    assert any(isinstance(node.op, Fused) for node in executable.graph.nodes)
    for name, i in executable.graph.outputs:
        np.testing.assert_allclose(found[i], declared[graph[name].id], rtol=1e-6)
    for node in executable.graph.nodes:
        if isinstance(node.op, Fused):
            within = inside(executable.graph, found, node.id)
            made = tuple(within[i] for _, i in node.op.graph.outputs)
            whole: Any = found[node.id]
            for got, wanted in zip(made, whole if isinstance(whole, tuple) else (whole,), strict=True):
                np.testing.assert_array_equal(got, wanted)
        else:
            with pytest.raises(sg.GraphError, match="holds no other nodes"):
                inside(executable.graph, found, node.id)


def test_a_placeholder_that_a_rewrite_took_away_may_be_fed() -> None:
    x, y = sg.placeholder("x", ("n",)), sg.placeholder("y", ("n",))
    graph = sg.define(z=sg.where(sg.constant(True), x, y))
    executable = sg.compile(graph, backend="interpreter")
    assert "y" not in executable.graph.placeholders
    feeds = {"x": X[0], "y": X[1]}
    np.testing.assert_array_equal(values(executable.graph, feeds, declared=graph)[-1], X[0])
    with pytest.raises(sg.FeedError, match="'y' is no input"):
        values(executable.graph, feeds)


def test_any_node_may_be_fed() -> None:
    graph = network()
    h = np.ones((2, 2), np.float32)
    for key in ("h", graph["h"], sg.lift(graph)[graph["h"].id]):
        found = values(graph, {"x": X, key: h})
        assert found[graph["loss"].id] == 1
    with pytest.raises(sg.FeedError, match="shape"):
        values(graph, {"x": X, "h": h[:, :1]})
    with pytest.raises(sg.FeedError):
        values(graph, {"x": X, "h": h[:1]})


def test_what_cannot_be_run_is_told() -> None:
    graph = network()
    with pytest.raises(sg.FeedError, match="'x' has no value"):
        values(graph)
    with pytest.raises(sg.FeedError, match="'nothing' is no input"):
        values(graph, {"x": X, "nothing": X})
    with pytest.raises(sg.FeedError, match="'w' has no value"):
        values(graph, {"x": X}, {"other": X})
    with pytest.raises(sg.GraphError, match="takes a graph"):
        values("graph")  # type: ignore[arg-type]
    y = sg.assert_finite(sg.log(sg.placeholder("x")), label="y")
    with pytest.raises(sg.ExecutionError, match="y: 1 of 1 values are not finite") as caught:
        values(sg.define(y=y), {"x": -1.0})
    assert caught.value.source is not None and caught.value.source.file == __file__


@pytest.mark.parametrize("name", NAMES[:12])
def test_names_of_any_characters(name: str) -> None:
    graph = sg.define({f"{name}y": -sg.placeholder(name, ("n",))})
    np.testing.assert_array_equal(values(graph, {name: X[0]})[-1], -X[0])


def test_statistics_are_those_of_the_values() -> None:
    graph = network()
    found = statistics_of(graph, {"x": X})
    assert found == tuple(statistics(value) for value in values(graph, {"x": X}))
    plain = statistics_of(graph, {"x": X}, picture=False)
    assert all(s is not None and s.picture is None for s in plain)


def test_a_long_graph_holds_few_arrays_at_once() -> None:
    x = y = sg.placeholder("x", (50_000,))
    for _ in range(200):
        y = sg.exp(y * 0.5)
    graph = sg.define(y=y)
    array = np.zeros(50_000, np.float32)
    tracemalloc.start()
    made = each(graph, {x: array}, then=lambda node, value: float(np.asarray(value).max()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(made) == len(graph)
    assert peak < 8 * array.nbytes + 2_000_000  # of 400 values; the rest are the graph's own tables


# The first that is not finite


def test_the_first_bad_node_has_finite_operands() -> None:
    x = sg.placeholder("x", (2,))
    root = sg.log(x)
    graph = sg.define({"loss": sg.sum(root * 2.0), "good": x + 1.0})
    for results in (values(graph, {"x": [1.0, 0.0]}), statistics_of(graph, {"x": [1.0, 0.0]})):
        found = first_bad(graph, results)
        assert found is not None and graph.nodes[found].op.name == "log"
        assert first_bad(graph, results, graph["good"].id) is None
        assert first_bad(graph, results, graph["loss"].id) == found
    assert first_bad(graph, values(graph, {"x": [1.0, 2.0]})) is None


def test_the_first_bad_of_all_may_not_lead_to_a_root() -> None:
    x = sg.placeholder("x")
    graph = sg.define({"a": sg.log(x), "b": sg.sqrt(x)})
    results = values(graph, {"x": -1.0})
    assert first_bad(graph, results) == graph["a"].id
    assert first_bad(graph, results, graph["b"].id) == graph["b"].id


def test_a_mask_of_minus_infinity_is_not_to_blame() -> None:
    x = sg.placeholder("x", (2,))
    masked = x + sg.constant([0.0, -np.inf])
    weights = sg.softmax(masked)
    graph = sg.define(y=sg.sqrt(weights - 0.5))
    found = first_bad(graph, values(graph, {"x": [1.0, 2.0]}), graph["y"].id)
    assert found == graph["y"].id
    only = sg.define(y=masked * 0.0)
    found = first_bad(only, values(only, {"x": [1.0, 2.0]}))
    assert found == only["y"].id  # -inf * 0


def test_feeds_and_variables_may_be_the_first() -> None:
    graph = network()
    bad = X.copy()
    bad[0, 1] = np.nan
    assert first_bad(graph, values(graph, {"x": bad})) == graph["x"].id
    w = np.full((3, 2), np.inf, np.float32)
    found = first_bad(graph, values(graph, {"x": X * 0}, {"w": w}))
    assert (
        found is not None and graph.nodes[found].op.name == "matmul"
    )  # 0 * inf: the variable may be meant so


def test_kernels_with_several_outputs_are_looked_into() -> None:
    x = sg.placeholder("x", ("n",))
    e = sg.exp(x)
    graph = sg.define({"a": e * 2.0, "b": sg.log(e - 1.0)})
    executable = sg.compile(graph, backend="numpy")
    results = values(executable.graph, {"x": [0.0, 1.0]})
    found = first_bad(executable.graph, results)
    assert found is not None
    value: Any = results[found]
    parts = value if isinstance(value, tuple) else (value,)
    assert not all(np.isfinite(part).all() for part in parts)


def test_what_is_no_mapping_is_refused() -> None:
    graph = sg.define(y=sg.placeholder("x", (2,)) * 2.0)
    with pytest.raises(sg.FeedError, match="feeds are a mapping, and this is a list"):
        values(graph, [1.0, 2.0])  # type: ignore[arg-type]
    with pytest.raises(sg.FeedError, match="variables are a mapping"):
        values(graph, {"x": [1.0, 2.0]}, [1.0])  # type: ignore[arg-type]
    with pytest.raises(sg.GraphError, match="%9 is no node of this graph"):
        inside(graph, values(graph, {"x": [1.0, 2.0]}), 9)
