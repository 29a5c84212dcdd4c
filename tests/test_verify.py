"""The verifier: good graphs pass as they are, and each way of being wrong is named."""

import attrs
import numpy as np
import pytest

from symgraph import ops
from symgraph.autodiff import gradient
from symgraph.define import define
from symgraph.errors import GraphError
from symgraph.expr import placeholder, variable
from symgraph.ir import Graph, Node, TensorType
from symgraph.origin import Source
from symgraph.verify import post_order, verify


def good() -> Graph:
    x, w = placeholder("x", ("n", 2)), variable("w", (2,))
    return define(y=x * w + 1.0, updates={"train": {w: w * 0.5}})


def replaced(graph: Graph, i: int, **changes) -> Graph:
    nodes = tuple(attrs.evolve(n, **changes) if n.id == i else n for n in graph.nodes)
    return Graph(nodes, graph.outputs, graph.updates)


def test_good_graphs_are_returned_as_they_are() -> None:
    x = placeholder("x", (2,))
    for graph in (good(), define(), define(y=x, z=x), gradient(define(loss=ops.sum(x * x)), wrt="x")):
        assert verify(graph) is graph
        assert post_order(graph) == list(range(len(graph)))


def wrong() -> dict[str, Graph]:
    g = good()
    names = [n.op.name for n in g.nodes]
    assert names == ["placeholder", "variable", "mul", "constant", "add", "constant", "mul"]
    mul, one, add = g.nodes[2], g.nodes[3], g.nodes[4]
    other = variable("w", (3,)).op
    floating = np.dtype("float64")
    swapped = (g.nodes[1], g.nodes[0], attrs.evolve(mul, inputs=(1, 0)))
    first = (attrs.evolve(n, id=i) for i, n in enumerate(swapped))
    renumbered = (*first, *g.nodes[3:6], attrs.evolve(g.nodes[6], inputs=(0, 5)))
    twice = (*g.nodes, Node(7, one.op, (), one.type))
    return {
        "an id is a node's position": replaced(g, 2, id=9),
        "operands come earlier": replaced(g, 2, inputs=(0, 2)),
        "takes %4 %1: operands come earlier": replaced(g, 2, inputs=(4, 1)),
        "takes %-1 %1": replaced(g, 2, inputs=(-1, 1)),
        "takes 2 operands, and has 3": replaced(g, 2, inputs=(0, 1, 1)),
        "takes 2 operands, and has 1": replaced(g, 2, inputs=(0,)),
        r"the type is f64\[n,2\], and f32\[n,2\] is what": replaced(g, 2, type=mul.type.with_dtype(floating)),
        r"the type is f32\[n,3\]": replaced(g, 4, type=TensorType("float32", ("n", 3))),
        "do not broadcast": replaced(replaced(g, 1, op=other, type=other.type), 6, type=other.type),
        "constant takes 0 operands": replaced(g, 3, inputs=(0,)),
        "both declared as 'x'": replaced(g, 1, op=attrs.evolve(g.nodes[1].op, label="x")),
        "non-empty string": replaced(g, 1, op=attrs.evolve(g.nodes[1].op, label="")),
        "the output 'z' is %7, and the graph has 7": Graph(g.nodes, (("y", 4), ("z", 7)), g.updates),
        "the output 'y' is given twice": Graph(g.nodes, (("y", 4), ("y", 4)), g.updates),
        "the name of an output is": Graph(g.nodes, (("", 4),), g.updates),
        "the output 'x' has the name of a leaf": Graph(g.nodes, (("x", 4),), g.updates),
        "updates 'v', which is no variable": Graph(g.nodes, g.outputs, (("train", (("v", 6),)),)),
        "updates 'x', which is no variable": Graph(g.nodes, g.outputs, (("train", (("x", 6),)),)),
        "updates 'w' twice": Graph(g.nodes, g.outputs, (("train", (("w", 6), ("w", 6))),)),
        "the update group 'train' has no name, or": Graph(g.nodes, g.outputs, g.updates * 2),
        "next value of 'w' is %9, and there are 7": Graph(g.nodes, g.outputs, (("train", (("w", 9),)),)),
        r"next value of 'w' is f32\[n,2\], and the variable f32\[2\]": Graph(
            g.nodes, g.outputs, (("train", (("w", add.id),)),)
        ),
        "%5 constant is not needed": Graph(g.nodes, g.outputs, ()),
        "%7 is constant of the same operands as %3": Graph(twice, (*g.outputs, ("c", 7)), g.updates),
        "the numbering is not canonical: %1 comes at place 0": Graph(renumbered, g.outputs, g.updates),
    }


@pytest.mark.parametrize(("message", "graph"), wrong().items(), ids=list(wrong()))
def test_each_way_of_being_wrong_is_named(message: str, graph: Graph) -> None:
    with pytest.raises(GraphError, match=message):
        verify(graph)


def test_the_error_names_the_line_of_the_node() -> None:
    graph = replaced(good(), 2, id=9)
    with pytest.raises(GraphError) as caught:
        verify(graph)
    assert caught.value.source == graph.nodes[2].origin.sources[0]
    assert isinstance(caught.value.source, Source)
    assert "x * w + 1.0" in str(caught.value)


def test_attributes_that_do_not_fit_are_errors_not_crashes() -> None:
    x = placeholder("x", (2, 3))
    graph = define(y=ops.sum(x, axis=1))
    for axes in ((7,), ("a",), 3, None):
        with pytest.raises(GraphError):
            verify(replaced(graph, 1, op=attrs.evolve(graph.nodes[1].op, axes=axes)))


def test_a_hundred_thousand_nodes() -> None:
    out = placeholder("x", (2,))
    for _ in range(100_000):
        out = ops.neg(out)
    graph = define(y=out)
    assert verify(graph) is graph
