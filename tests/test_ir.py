"""The graph as a value: equality, hash, repr, pickle, at any depth; specialisation to sizes."""

import pickle

import attrs
import numpy as np
import pytest

from symgraph import ops
from symgraph.define import define
from symgraph.errors import FeedError, GraphError
from symgraph.expr import placeholder, variable
from symgraph.ir import ArrayValue, Constant, Graph, Placeholder, Variable, node_bytes, specialise
from symgraph.types import TensorType, TupleType, dim


def deep(length: int) -> Graph:
    out = placeholder("x", (2,))
    for _ in range(length):
        out = ops.neg(out)
    return define(y=out)


def small() -> Graph:
    x, w = placeholder("x", ("n", 2)), variable("w", (2,))
    y = x * w
    return define(y=y, z=y * y, updates={"train": {w: w * 0.5}})


def test_a_hundred_thousand_nodes_compare_hash_print_and_pickle() -> None:
    one, two = deep(100_000), deep(100_000)
    assert one == two and hash(one) == hash(two)
    assert one != deep(99_999)
    assert len(repr(one)) < 100
    back = pickle.loads(pickle.dumps(one))
    assert back == one and hash(back) == hash(one)
    assert len(one.consumers) == len(one) == 100_001


def test_equality_ignores_origins_and_nothing_else() -> None:
    one, two = small(), small()
    renamed = define(y=one["y"].type and placeholder("x", ("n", 2)))
    assert one == two and one != renamed
    assert one.nodes[2].origin != attrs.evolve(one.nodes[2].origin, rule="else")
    assert (
        Graph(
            tuple(attrs.evolve(n, origin=attrs.evolve(n.origin, rule="r")) for n in one.nodes),
            one.outputs,
            one.updates,
        )
        == one
    )
    assert Graph(one.nodes, one.outputs[::-1], one.updates) != one
    assert Graph(one.nodes, one.outputs) != one


def test_pickle_keeps_everything_that_matters() -> None:
    graph = small()
    back = pickle.loads(pickle.dumps(graph))
    assert back == graph and back.updates == graph.updates
    assert [str(n.origin) for n in back.nodes] == [str(n.origin) for n in graph.nodes]


def test_lookups() -> None:
    graph = small()
    assert graph["y"].op.name == "mul" and graph["x"].op == Placeholder("x", TensorType("float32", ("n", 2)))
    assert isinstance(graph["w"].op, Variable)
    assert list(graph.placeholders) == ["x"] and list(graph.variables) == ["w"]
    assert graph.names == {"n"}
    assert dict(graph.update_group("train")) == {"w": graph.updates[0][1][0][1]}
    with pytest.raises(GraphError, match="'q' is no output"):
        graph["q"]
    with pytest.raises(GraphError, match="'q' is no update group"):
        graph.update_group("q")
    with pytest.raises(TypeError):
        graph.placeholders["y"] = graph.nodes[0]


def test_graphs_nodes_and_ops_are_immutable() -> None:
    graph = small()
    for record, name in ((graph, "nodes"), (graph.nodes[0], "id"), (graph.nodes[0].op, "label")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(record, name, None)
    with pytest.raises(ValueError, match="read-only"):
        ArrayValue.of([1.0]).array[0] = 2


def test_consumers_count_each_use() -> None:
    graph = small()
    y = graph["y"].id
    assert graph.consumers[y] == (graph["z"].id,) * 2
    for node in graph.nodes:
        for i in node.inputs:
            assert graph.consumers[i].count(node.id) == node.inputs.count(i)


def test_array_values_compare_by_bits() -> None:
    nan, zero, minus = (ArrayValue.of(np.float32(v)) for v in (float("nan"), 0.0, -0.0))
    assert nan == ArrayValue.of(np.float32("nan")) and hash(nan) == hash(ArrayValue.of(np.float32("nan")))
    assert zero != minus
    assert ArrayValue.of(1, np.dtype("int32")) != ArrayValue.of(1, np.dtype("int64"))
    assert ArrayValue.of([[1.0]]) != ArrayValue.of([1.0])
    assert pickle.loads(pickle.dumps(nan)) == nan
    source = np.ones(3)
    value = ArrayValue.of(source)
    source[0] = 5
    np.testing.assert_array_equal(value.array, [1, 1, 1])
    assert Constant(zero) != Constant(minus)


def test_specialise_puts_sizes_in() -> None:
    graph = small()
    made = specialise(graph, {"n": 5})
    assert made.nodes[0].type.shape == (5, 2) and made.names == frozenset()
    assert [n.op.name for n in made.nodes] == [n.op.name for n in graph.nodes]
    assert specialise(made, {"n": 7}) is made


def test_specialise_names_the_line_that_does_not_fit() -> None:
    x = placeholder("x", ("n",))
    graph = define(y=ops.reshape(x, (2, "n//2")) if False else x[3:])
    assert graph["y"].type.shape == (dim("n") - 3,)
    with pytest.raises(FeedError, match=r"n=2") as caught:
        specialise(graph, {"n": 2})
    assert "x[3:]" in str(caught.value)


def test_node_bytes() -> None:
    f32 = TensorType("float32", ("n", 3))
    assert node_bytes(f32) == dim("n") * 12
    assert node_bytes(TupleType((f32, TensorType("bool", (5,))))) == dim("n") * 12 + 5
