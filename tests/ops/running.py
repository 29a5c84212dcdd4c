"""Run an expression by the interpreter, its named sizes bound by what is fed."""

import numpy as np

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.expr import placeholder
from symgraph.lowering.interpreter import evaluate
from symgraph.types import Dim, solve


def run(expr, **feeds):
    """The value of an expression, given those of its placeholders by name."""
    graph = define(result=expr)
    sizes = {}
    for name, node in graph.placeholders.items():
        for dimension, size in zip(node.type.shape, np.shape(feeds[name]), strict=True):
            if isinstance(dimension, Dim) and (found := solve(dimension, size, sizes)):
                sizes[found[0]] = found[1]
    arrays = {name: np.asarray(feeds[name], node.type.dtype) for name, node in graph.placeholders.items()}
    return evaluate(graph, arrays, sizes)[0]["result"]


def gradient_of(function, x, shape=None):
    """The gradient of sum(weights * function(x)) at the array x, declared with `shape`, and the weights.

    The weights are 1, 2, 3, ... in the order of the result's elements, so that each place is told apart.
    """
    e = placeholder("x", x.shape if shape is None else shape, x.dtype)
    y = function(e)
    weights = placeholder("weights", y.shape, y.dtype)
    (g,) = backward(ops.sum(y * weights), [e])
    w = np.arange(1, run(y, x=x).size + 1, dtype=y.dtype).reshape(run(y, x=x).shape)
    assert g.type == e.type
    graph = define(g=g)
    sizes = {
        d_name: n for d, n in zip(e.shape, x.shape, strict=True) if isinstance(d, Dim) for d_name in [str(d)]
    }
    feeds = {name: {"x": x, "weights": w}[name] for name in graph.placeholders}
    return evaluate(graph, feeds, sizes)[0]["g"], w
