"""Adjoints found in a graph: numerically right for every node, and where there is none, the right reason."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from models import one_hidden_layer, xor_mlp
from symgraph.fetches import Locator
from symgraph.gradient_check import in_float64
from symgraph.inspect.diagram import is_gradient
from symgraph.inspect.gradients.adjoints import Gradient, Pair, adjoints
from symgraph.inspect.gradients.tape import completed, record
from symgraph.inspect.gradients.why import why_no_gradient
from symgraph.inspect.values import values
from tests.strategies import Sample, random_graph
from tests.test_names import NAMES, is_one_line

STEP = 1e-6
CHUNK = 10
SEEDS = [*range(0, 30, CHUNK), *(pytest.param(k, marks=pytest.mark.heavy) for k in range(30, 400, CHUNK))]


def by_differences(
    graph: sg.Graph, of: str, fed: dict[str, Any], i: int, rng: np.random.Generator
) -> tuple[float, float, Any]:
    """The slopes of an output along a random direction of one node, to both sides, and the direction.

    The graph is cut at the node: what leads to it is held.
    """
    leaves = {name: fed[name] for name in graph.placeholders}
    at = np.asarray(values(graph, leaves, fed)[i])
    direction = rng.normal(size=at.shape)
    low, here, high = (
        float(np.asarray(values(graph, {**leaves, graph.nodes[i]: at + step * direction}, fed)[graph[of].id]))
        for step in (-STEP, 0.0, STEP)
    )
    return (here - low) / STEP, (high - here) / STEP, direction


def check(
    graph: sg.Graph, whole: sg.Graph, of: str, fed: dict[str, Any], found: dict[int, int], seed: int = 0
) -> int:
    """Hold nodes of `whole` against differences by nodes of `graph`, which has the same ids; how many there were.

    What stands on a kink, such as a number that is compared with itself, has no difference that says anything.
    """
    rng, checked = np.random.default_rng(seed), 0
    run = values(whole, {name: fed[name] for name in whole.placeholders}, fed)
    for i, adjoint in found.items():
        assert whole.nodes[i] == graph.nodes[i]
        assert whole.nodes[adjoint].type == graph.nodes[i].type
        if not np.isfinite(run[adjoint]).all():  # a pole, such as that of sqrt at 0
            continue
        left, right, direction = by_differences(graph, of, fed, i, rng)
        told = float(np.sum(np.asarray(run[adjoint]) * direction))
        scale = max(1.0, abs(left), abs(right), float(np.abs(np.asarray(run[adjoint])).max(initial=0)))
        if abs(left - right) <= 1e-3 * scale:
            checked += 1
            assert abs((left + right) / 2 - told) <= 2e-5 * scale, (
                f"%{i}: {told} for {left}, {right}\n{graph}"
            )
    return checked


def only_outputs(sample: Sample) -> sg.Graph:
    """The graph in float64 without updates: its nodes keep their ids in every graph that is made of it."""
    return in_float64(sample.graph)


@pytest.mark.parametrize("start", SEEDS)
def test_of_random_graphs_every_adjoint_is_that_of_differences(start: int) -> None:
    checked = there = 0
    for seed in range(start, start + CHUNK):
        sample = random_graph(seed, 3 + seed % 12, smooth=True)
        graph, fed = only_outputs(sample), dict(sample.values)
        tape = record(graph, "loss")
        whole = completed(tape, tape.adjoints)
        again = record(whole, "loss")
        found = {i: again.adjoint(i) for i in tape.adjoints}
        assert None not in found.values()
        assert {i for i in tape.order if graph.nodes[i].type.is_float} >= found.keys()
        checked += check(graph, whole, "loss", fed, {i: a for i, a in found.items() if a is not None}, seed)
        there += len(found)
    assert checked > 0.8 * there


@pytest.mark.parametrize("start", SEEDS)
def test_in_gradient_graphs_of_random_graphs_the_pairs_are_complete(start: int) -> None:
    for seed in range(start, start + CHUNK):
        sample = random_graph(seed, 3 + seed % 12, smooth=True)
        graph = only_outputs(sample)
        every = adjoints(graph, wrt=None)
        wrt = [name for name in sample.values if name in {*graph.placeholders, *graph.variables}][:2]
        made = sg.gradient(graph, wrt=wrt, disconnected="zero")
        found = adjoints(made)
        assert found.graph is made and every.graph.nodes[: len(graph)] == graph.nodes
        check(
            graph,
            made,
            "loss",
            dict(sample.values),
            {p.node: p.adjoint for p in found.pairs if p.adjoint is not None},
        )
        for pair in found.pairs:
            assert (pair.adjoint is None) == bool(pair.reason), pair
            assert pair.path[0] == pair.node and is_path(made, pair.path), pair
            assert pair.adjoint is None or pair.path[-1] == made["loss"].id
        belongs = {i for pair in found.pairs for i in pair.made}
        # Every gradient node is some VJP's, or the seed, or a zero for a target without a gradient.
        rest = [n for n in made.nodes[len(graph) :] if n.id not in belongs and n.origin.rule != "seed"]
        assert all(not is_gradient(node) for node in rest), rest


def is_path(graph: sg.Graph, path: tuple[int, ...]) -> bool:
    return all(a in graph.nodes[b].inputs for a, b in pairwise(path))


def test_each_use_hands_back_a_part_and_reads_what_its_rule_says() -> None:
    x, w = sg.placeholder("x", (4, 3), "float64"), sg.variable("w", (3, 3), "float64")
    h = sg.tanh(x @ w)
    graph = sg.define({"loss": sg.sum(h * h @ w)})
    made = sg.gradient(graph, wrt="w")
    found = adjoints(made)
    assert (found.of, found.wrt, found.graph) == ("loss", ("w",), made)
    by_op = {made.nodes[p.node].op.name: p for p in found.pairs}
    uses = by_op["variable"].rules
    assert [(made.nodes[u.consumer].op.name, u.operand, u.rule) for u in uses] == [
        ("matmul", 1, "vjp matmul")
    ] * 2
    assert all(u.result is not None and made.nodes[u.result].type == made["w"].type for u in uses)
    adjoint = by_op["variable"].adjoint
    assert adjoint == made["d_loss/d_w"].id
    assert set(made.nodes[adjoint].inputs) == {u.result for u in uses}
    # The slope of tanh is of its result: it reads that, and not its operand.
    assert by_op["tanh"].saved == (by_op["tanh"].node,)
    assert by_op["mul"].saved == (by_op["tanh"].node,)
    read = {made.nodes[i].op.name for u in uses for i in u.saved}
    assert read == {"placeholder", "mul"}


def test_a_product_of_a_matrix_with_itself_has_two_uses() -> None:
    w = sg.variable("w", (3, 3), "float64")
    found = adjoints(sg.define(loss=sg.sum(w @ w)))
    pair = found.pairs[0]
    assert [(use.consumer, use.operand) for use in pair.rules] == [(1, 0), (1, 1)]
    assert pair.saved == () and found[1].saved == (0,)
    check(
        found.graph,
        found.graph,
        "loss",
        {"w": np.arange(9.0).reshape(3, 3)},
        {0: pair.adjoint or 0, 1: found[1].adjoint or 0},
    )


def test_broadcasts_and_casts_are_summed_before_they_are_an_adjoint() -> None:
    b, x = sg.variable("b", (3,), "float64"), sg.placeholder("x", ("n", 3), "float32")
    graph = sg.define(loss=sg.sum(sg.exp(x + b) + sg.cast(sg.cast(b, "float32"), "float64")))
    made = sg.gradient(graph, wrt=("b", "x"))
    found = adjoints(made)
    for pair in found.pairs:
        if pair.adjoint is not None:
            assert made.nodes[pair.adjoint].type == made.nodes[pair.node].type
    b_pair = found[made["b"].id]
    assert b_pair.adjoint == made["d_loss/d_b"].id and len(b_pair.rules) == 2


def test_two_outputs_are_told_apart() -> None:
    w = sg.variable("w", (3,), "float64")
    h = sg.exp(w)
    graph = sg.define(loss=sg.sum(h), other=sg.sum(h * h))
    made = sg.gradient(sg.gradient(graph, "loss"), "other")
    fed = {"w": np.array([0.1, -0.2, 0.3])}
    for of in ("loss", "other"):
        found = adjoints(made, of)
        assert found.graph is made and found[made["w"].id].adjoint == made[f"d_{of}/d_w"].id
        check(made, made, of, fed, {p.node: p.adjoint for p in found.pairs if p.adjoint is not None})


def test_second_derivatives_are_pairs_of_the_first() -> None:
    w = sg.variable("w", (), "float64")
    first = sg.gradient(sg.define(loss=sg.sin(w * w)))
    made = sg.gradient(first, "d_loss/d_w", "w")
    found = adjoints(made, "d_loss/d_w")
    assert found[made["w"].id].adjoint == made["d_(d_loss/d_w)/d_w"].id
    check(
        made,
        made,
        "d_loss/d_w",
        {"w": np.float64(0.7)},
        {p.node: p.adjoint for p in found.pairs if p.adjoint is not None},
    )
    assert adjoints(made, "loss")[made["w"].id].adjoint == made["d_loss/d_w"].id


@pytest.mark.parametrize("optimizer", [sg.train.sgd(0.1), sg.train.adam(0.1)])
def test_of_a_training_graph_every_weight_has_its_adjoint(optimizer: Any) -> None:
    graph = sg.train.minimize(one_hidden_layer.declare("glorot"), "loss", optimizer)
    found = adjoints(graph)
    assert found.graph is graph and found.wrt == ("W1", "b1", "W2", "b2")
    rng = np.random.default_rng(0)
    fed = {"x": rng.normal(size=(3, 784)), "y": np.ones((3, 1))}
    with sg.Session(graph, backend="interpreter", seed=1) as session:
        fed.update(session.variables.snapshot())
    pairs = {p.node: p.adjoint for p in found.pairs if p.adjoint is not None}
    assert pairs.keys() >= {graph[name].id for name in found.wrt}
    check(graph, graph, "loss", fed, pairs)
    assert "nobody asked" in found[graph["x"].id].reason


def test_of_xor_all_four_rows_reach_the_weights() -> None:
    graph = xor_mlp.graph()
    name = next(name for name, _ in graph.outputs)
    of = "loss" if "loss" in dict(graph.outputs) else name
    found = adjoints(graph, of)
    trained = [name for name, _ in dict(graph.updates)["train"] if graph[name].type.is_float]
    assert {found[graph[name].id].adjoint is not None for name in trained} == {True}


def test_vjp_graphs_start_at_the_cotangent() -> None:
    x = sg.placeholder("x", (3,), "float64")
    made = sg.vjp(sg.define(y=sg.exp(x)), "y", "x")
    found = adjoints(made, "y")
    assert (found.graph, found.wrt) == (made, ("x",))
    assert found[made["x"].id].adjoint == made["vjp_y/d_x"].id
    assert found[made["y"].id].adjoint == made["ct_y"].id
    with pytest.raises(sg.GradientError, match="of a scalar"):
        adjoints(sg.define(y=sg.exp(x)), "y")


def test_a_graph_read_from_text_has_the_same_pairs() -> None:
    graph = one_hidden_layer.graph()
    read = sg.from_text(sg.to_text(graph))
    assert adjoints(read).pairs[1] == adjoints(graph).pairs[1]
    assert {p.node: p.adjoint for p in adjoints(read).pairs if p.adjoint is not None} == {
        p.node: p.adjoint for p in adjoints(graph).pairs if p.adjoint is not None
    }


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_characters(name: str) -> None:
    w, n = sg.variable(name, (2,)), sg.placeholder(f"{name}'", (2,), "int32")
    graph = sg.define({f"{name}.": sg.sum(sg.exp(w) * sg.cast(n, "float32"))})
    found = adjoints(graph, f"{name}.")
    assert found[found.graph[name].id].adjoint is not None
    assert all(is_one_line(p.reason) for p in found.pairs)
    for target, count in ((name, 6), (f"{name}'", 2)):
        lines = why_no_gradient(graph, f"{name}.", target).splitlines()
        assert all(map(is_one_line, lines)) and len(lines) == count


# Reasons


def pair_of(graph: sg.Graph, expr: sg.Expr | str, of: str = "loss", **options: Any) -> tuple[Gradient, Pair]:
    found = adjoints(graph, of, **options)
    return found, found[Locator(found.graph)(expr).id]


def ops_on(found: Gradient, path: tuple[int, ...]) -> list[str]:
    return [found.graph.nodes[i].op.name for i in path]


X = sg.placeholder("x", (4,), "float64")
W = sg.variable("w", (4,), "float64")


@pytest.mark.parametrize(
    ("way", "ops", "says"),
    [
        (lambda x: sg.stop_gradient(x), ["stop_gradient"], "it is there to stop the derivative"),
        (lambda x: sg.floor(x), ["floor"], "floor has no derivative"),
        (lambda x: sg.cast(sg.cast(x, "int64"), "float64"), ["cast"], "its result is i64[4], and only floats"),
        (lambda x: sg.cast(x > 0, "float64"), ["greater"], "its result is bool[4]"),
        (lambda x: sg.cast(sg.argmax(x), "float64"), ["argmax"], "its result is i64[]"),
        (lambda x: sg.sign(x), ["sign"], "sign has no derivative"),
        (lambda x: sg.exp(sg.stop_gradient(sg.sin(x))), ["sin", "stop_gradient"], "no way from %0"),
    ],
)  # fmt: skip
def test_what_stops_a_derivative_is_named_with_its_line(way: Any, ops: list[str], says: str) -> None:
    graph = sg.define(loss=sg.sum(way(X) + W))
    found, pair = pair_of(graph, X, wrt="w")
    assert pair.adjoint is None and says in pair.reason, pair.reason
    assert "test_adjoints.py:" in pair.reason
    assert ops_on(found, pair.path) == ["placeholder", *ops]
    text = why_no_gradient(graph, "loss", "x")
    assert text.startswith("there is no gradient of 'loss' by %0 placeholder 'x': ") and says in text
    assert len(text.splitlines()) == 1 + len(pair.path)


def test_what_does_not_lead_to_the_output_says_where_it_leads() -> None:
    graph = sg.define({"loss": sg.sum(W * W), "accuracy": sg.mean(X)})
    _, pair = pair_of(graph, X)
    assert pair.reason == f"%{pair.node} placeholder 'x' does not lead to 'loss': it leads to 'accuracy'"
    assert pair.path == (pair.node,)
    graph = sg.define({"loss": sg.sum(W * W)}, updates={"t": {W: W + X}})
    assert "it leads to the next value of 'w'" in pair_of(graph, X)[1].reason


def test_integers_and_truth_values_have_none() -> None:
    mask, n = sg.placeholder("mask", (4,), "bool"), sg.placeholder("n", (4,), "int32")
    graph = sg.define(loss=sg.sum(sg.where(mask, W, 0.0) * sg.cast(n, "float64")))
    assert "is bool[4], and only floats have derivatives" in pair_of(graph, mask)[1].reason
    assert "is i32[4], and only floats have derivatives" in pair_of(graph, n)[1].reason


def test_what_nobody_asked_for_says_so() -> None:
    graph = sg.gradient(sg.define(loss=sg.sum(X * W)), wrt="w")
    pair = pair_of(graph, X)[1]
    assert pair.reason.startswith("nobody asked for it: the derivatives that the graph has are by 'w'")
    text = why_no_gradient(graph, "loss", "x", {"x": np.ones(4)}, {"w": np.full(4, 2.0)})
    assert "asked for, there is one: f64[4]  min 2  max 2  mean 2" in text


def test_a_rewritten_graph_that_lost_an_adjoint_is_no_error() -> None:
    graph = sg.compile(one_hidden_layer.graph(), backend="numpy").graph
    found = adjoints(graph, "loss")
    assert all(pair.adjoint is not None or pair.reason for pair in found.pairs)


def test_long_ways_are_shortened_and_cheap() -> None:
    y: sg.Expr = W
    for _ in range(3000):
        y = sg.exp(y)
    found = adjoints(sg.define(loss=sg.sum(sg.stop_gradient(y) + X)), wrt="x")
    pair = found[0]
    assert len(pair.path) == 64 and pair.path[0] == 0
    assert found.graph.nodes[pair.path[-1]].op.name == "stop_gradient"
    near = next(p for p in found.pairs if len(p.path) == 10)
    assert is_path(found.graph, near.path)


# Zeros


def zero_of(loss: sg.Expr, by: sg.Expr, feeds: dict[str, Any], **variables: Any) -> tuple[list[str], str]:
    """The ops on the way from a node to the VJP that made 0, and the sentence."""
    made = adjoints(sg.define(loss=loss), wrt=[sg.define(y=by).nodes[0].op.label])  # type: ignore[attr-defined]
    run = values(made.graph, feeds, variables)
    found = adjoints(made.graph, "loss", made.wrt, run)
    pair = next(p for p in found.pairs if found.graph.nodes[p.node].op == by.op)
    assert pair.adjoint is not None and not np.any(run[pair.adjoint])
    assert is_path(found.graph, pair.zero_path)
    text = why_no_gradient(made.graph, "loss", by, feeds, variables)
    assert (
        text.splitlines()[0]
        == f"the gradient of 'loss' by %{pair.node} {by.op.name} {by.op.label!r} is 0: {pair.zero}"
    )  # type: ignore[attr-defined]
    return ops_on(found, pair.zero_path), pair.zero


ONES = np.ones(4)
_M = sg.variable("m", (2, 2), "float64")


@pytest.mark.parametrize(
    ("loss", "w", "ops", "says"),
    [
        (sg.relu(W * X), -ONES, ["mul", "relu"], "its mask is 0 for all 4 inputs: none is above 0, the largest is -1"),
        (sg.maximum(W, 2.0), ONES, ["maximum"], "it took the other operand"),
        (sg.minimum(X, W), 3 * ONES, ["minimum"], "it took the other operand, %0, for all 4 elements"),
        (sg.where(X > 0, X, W), ONES, ["where"], "it took the other branch for all 4 elements"),
        (sg.sigmoid(W), 800 * ONES, ["sigmoid"], "it is saturated for all 4 inputs, at 800, so that"),
        (sg.tanh(W + X), 30 * ONES, ["add", "tanh"], "it is saturated for all 4 inputs"),
        (sg.exp(W), -800 * ONES, ["exp"], "underflows to 0 for all 4 inputs"),
        (W * (X - 1.0), ONES, ["mul"], "it multiplies by %"),
        (sg.square(W), 0 * ONES, ["square"], "its slope is 0 at 0, and 4 elements are all 0"),
        (sg.abs(W), 0 * ONES, ["abs"], "its slope is 0 at 0"),
        (sg.sin(W) * sg.relu(X - 1.0), ONES, ["sin", "mul"], "whose 4 elements are all 0"),
        (sg.relu(W) * (X - [0, 0, 1, 1]), np.array([-1.0, 0, 1, 2]), ["relu"], "all 2 inputs that a cotangent reaches"),
        (sg.sigmoid_cross_entropy(W, X), 800 * ONES, ["sigmoid_cross_entropy"], "whose 4 elements are all 0"),
        (W[:2] * 0.0, ONES, ["slice", "mul"], "whose one element is 0"),
        (sg.sum(W) - sg.sum(W), ONES, ["sum"], "cancel"),
        (sg.log_softmax(W), ONES, ["log_softmax"], "cancel"),
        (sg.maximum(W[:1], 0.5 * X) * [1.0, -1.0, 2.0, -2.0], ONES, ["slice", "maximum"], "sum adds cancel"),
        (sg.log(W) * 5e-324, 1e300 * ONES, ["log"], "divides by %0: f64[4]  min 1e+300"),
        (sg.where(X > 0, W, W - 2.0)[:0], ONES, ["where", "slice"], "slice has no elements, and so nothing"),
        (W ** sg.constant(np.zeros(4)), ONES, ["pow"], "0"),
        (sg.cos(W), 0 * ONES, ["cos"], "multiplies by %"),
        (sg.relu(W) + sg.relu(-W - 1.0), -0.5 * ONES, ["relu"], "; the other use of %0 gives 0 too"),
    ],
)  # fmt: skip
def test_what_makes_a_gradient_zero_is_named(loss: sg.Expr, w: np.ndarray, ops: list[str], says: str) -> None:
    way, sentence = (
        zero_of(sg.sum(loss), W, {"x": ONES}, w=w) if _uses_x(loss) else zero_of(sg.sum(loss), W, {}, w=w)
    )
    assert way == ["variable", *ops] and says in sentence, (way, sentence)


def _uses_x(loss: sg.Expr) -> bool:
    return "x" in sg.define(loss=loss).placeholders


def test_weights_that_start_at_zero_stop_what_is_behind_them() -> None:
    """Of a hidden layer under weights of 0, the weights before have the gradient 0, and those of 0 themselves not."""
    x = sg.placeholder("x", ("n", 3), "float64")
    w1 = sg.variable("w1", (3, 5), "float64", sg.init.glorot_uniform)
    w2 = sg.variable("w2", (5, 1), "float64", 0.0)
    graph = sg.train.minimize(
        sg.define(loss=sg.mean(sg.square(sg.tanh(x @ w1) @ w2 - 1.0))), "loss", sg.train.sgd(0.1)
    )
    run = values(graph, {"x": np.ones((2, 3))}, seed=0)
    found = adjoints(graph, values=run)
    pair = found[graph["w1"].id]
    assert ops_on(found, pair.zero_path) == ["variable", "matmul", "tanh", "matmul"]
    assert f"multiplies by %{graph['w2'].id}, whose 5 elements are all 0" in pair.zero
    assert found[graph["w2"].id].zero == ""


def test_dead_units_of_a_network_are_found() -> None:
    graph = one_hidden_layer.graph()
    x = np.random.default_rng(0).normal(size=(5, 784)) * 1e6
    run = values(graph, {"x": x, "y": np.ones((5, 1))})
    found = adjoints(graph, values=run)
    assert "it is saturated for all 320 inputs" in found[graph["W1"].id].zero
    assert found[graph["W2"].id].zero == ""


def test_a_cotangent_of_zero_and_what_is_not_zero() -> None:
    x = sg.placeholder("x", (3,), "float64")
    made = sg.vjp(sg.define(y=sg.exp(x)), "y", "x")
    found = adjoints(made, "y", values=values(made, {"x": np.ones(3), "ct_y": np.zeros(3)}))
    assert found[made["y"].id].zero == f"the cotangent that %{made['y'].id} exp starts from is 0"
    found = adjoints(made, "y", values=values(made, {"x": np.ones(3), "ct_y": np.array([0.0, np.nan, 0.0])}))
    assert {p.zero for p in found.pairs} == {""}
    empty = sg.define(loss=sg.sum(sg.relu(sg.variable("v", (0,)))))
    whole = adjoints(empty).graph
    assert {p.zero for p in adjoints(whole, values=values(whole)).pairs} == {""}


def test_values_of_another_graph_are_refused() -> None:
    graph = sg.define(loss=sg.sum(W * W))
    with pytest.raises(sg.GraphError, match="there are 3 values, and the graph with the gradient has"):
        adjoints(graph, values=values(graph))
    with pytest.raises(sg.GraphError, match="no forward node"):
        adjoints(graph)[10**6]


# Text


def test_where_there_is_a_gradient_the_text_says_so() -> None:
    graph = sg.gradient(sg.define(loss=sg.sum(W * W + sg.exp(W))))
    text = why_no_gradient(graph, "loss", "w", variables={"w": np.arange(4.0)})
    lines = text.splitlines()
    assert lines[0].startswith(
        f"there is a gradient of 'loss' by %0 variable 'w', in %{graph['d_loss/d_w'].id}: f64[4]  min 1"
    )
    assert lines[1] == "it is the sum of what 3 uses hand back:"
    assert lines[-1].split()[1] == "sum" and "test_adjoints.py" in lines[-1]


def test_nodes_are_named_as_anywhere() -> None:
    graph = sg.define(loss=sg.sum(sg.relu(W)))
    texts = {why_no_gradient(graph, "loss", name) for name in ("w", W, 0, graph["w"], graph.nodes[0])}
    assert len(texts) == 1
    for wrong in (99, -1, "nothing", X):
        with pytest.raises(sg.GraphError):
            why_no_gradient(graph, "loss", wrong)  # type: ignore[arg-type]
    with pytest.raises(sg.GradientError):
        why_no_gradient(sg.define(loss=sg.relu(W)), "loss", "w")


def test_of_a_graph_with_updates_ids_are_the_users() -> None:
    graph = sg.define({"loss": sg.sum(W * X)}, updates={"t": {W: W + 1.0}})
    text = why_no_gradient(graph, "loss", "w", {"x": ONES}, {"w": ONES})
    assert text.startswith("there is a gradient of 'loss' by %0 variable 'w': f64[4]  min 1  max 1  mean 1")


def test_of_a_graph_that_was_read_no_file_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("hidden = 1\n")
    written = re.sub(r"# \S*tests/\S+", f"# {secret}:1", sg.to_text(sg.define(loss=sg.sum(sg.relu(W)))))
    text = why_no_gradient(sg.from_text(written), "loss", "w", variables={"w": -ONES})
    assert str(secret) in text and "hidden" not in text


def test_what_the_graph_has_no_derivatives_by_is_not_said_to_be_one() -> None:
    """A target that the output does not depend on, and one that is no float."""
    w, other, i = sg.variable("w", (3,)), sg.variable("other", (3,)), sg.placeholder("i", (3,), "int64")
    graph = sg.define(loss=sg.sum(sg.exp(w) * sg.cast(i, "float32")), also=other)
    found = adjoints(graph, wrt="other")
    assert found.wrt == ("other",) and "does not lead to 'loss'" in found[graph["other"].id].reason
    assert "the derivatives that the graph has are by nothing" in found[graph["w"].id].reason
    with pytest.raises(sg.GradientError, match=r"derivatives are by floats, and 'i' is i64\[3\]"):
        adjoints(graph, wrt=["w", "i"])


def test_a_derivative_of_the_users_that_fails_is_told_at_its_line() -> None:
    class Broken(sg.Op):
        name = "broken"
        arity = 1

        def infer(self, *types: Any) -> Any:
            return types[0]

        def vjp(self, g: Any, out: Any, *inputs: Any) -> Any:
            raise KeyError("lost")

    w, v = sg.variable("w", (3,)), sg.variable("v", (3,))
    odd = sg.ops.apply(Broken(), w)
    loss = sg.sum(v) + sg.sum(sg.cast(odd > 0.0, "float32"))
    with pytest.raises(sg.GradientError, match="broken: vjp raised KeyError: 'lost'") as caught:
        adjoints(sg.define(loss=loss))
    assert "odd = sg.ops.apply(Broken(), w)" in str(caught.value)


def test_printed_it_is_a_line_for_each_forward_node() -> None:
    w = sg.variable("w", (3,))
    found = sg.adjoints(sg.define(loss=sg.sum(w * w) + sg.sum(sg.cast(w > 0, "float32"))))
    head, columns, *lines = str(found).splitlines()
    assert repr(found) == str(found) and columns.split()[:3] == ["node", "type", "adjoint"]
    assert len(lines) == len(found.pairs) and head.startswith("the gradient of 'loss' by w: ")
    for pair, line in zip(found.pairs, lines, strict=True):
        assert line.startswith(f"%{pair.node} {found.graph.nodes[pair.node].op.name}")
        assert pair.adjoint is None or f" %{pair.adjoint} " in line
        assert pair.reason in line
    assert lines[0].count("vjp mul of %1") == 2 and "it is the output" in lines[-1]
    assert len({line.index("test_adjoints.py") for line in lines if "test_adjoints.py" in line}) == 1
