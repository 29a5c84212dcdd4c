"""Layers: functions from an expression to a build of an output, as values.

    Layer  = Expr -> Build[Output]
    Output = (value, state)

A layer declares its parameters where it is applied, and returns its state as a value: `h, state = yield from layer(x)`.
Nothing is global. A user's own function goes wherever a layer goes.

The state is part of the program: the next running statistics of `batch_norm`, the next random key of `dropout`. It
reaches the graph by `nn.graph(build)`, or by `define(outputs, updates={"state": state})`, and each step of training
runs its group: `session.run("loss", feeds, update=("train", "state"))`, as `train.fit` does. Where it is dropped on the
way, `nn.graph` and `define` raise GraphError. For evaluation there is none: see `nn.modes` and `nn.with_evaluation`.

>>> import symgraph as sg
>>> @sg.do
... def network():
...     x, y = sg.placeholder("x", ("batch", 784)), sg.placeholder("y", ("batch",), "int64")
...     layers = sg.nn.sequential(sg.nn.dense(512, sg.relu), sg.nn.dense(10))
...     logits, state = yield from layers(x)
...     return sg.nn.Output({"loss": sg.mean(sg.softmax_cross_entropy(logits, y)), "logits": logits}, state)
>>> graph = sg.train.minimize(sg.nn.graph(network()), "loss", sg.train.sgd(0.1))
>>> graph["dense/w"].type
TensorType('f32[784,512]')
"""

from symgraph.nn.combinators import Head, multi_head, named, parallel, residual, sequential, shared
from symgraph.nn.layer import Layer, LayerLike, Output, State, layer
from symgraph.nn.layers import (
    activation,
    avg_pool2d,
    batch_norm,
    conv2d,
    dense,
    dropout,
    embedding,
    flatten,
    global_avg_pool2d,
    layer_norm,
    max_pool2d,
)
from symgraph.nn.states import (
    Modes,
    evaluating,
    graph,
    is_training,
    latest,
    modes,
    next_key,
    updated,
    with_evaluation,
)

__all__ = [
    "Head",
    "Layer",
    "LayerLike",
    "Modes",
    "Output",
    "State",
    "activation",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "dense",
    "dropout",
    "embedding",
    "evaluating",
    "flatten",
    "global_avg_pool2d",
    "graph",
    "is_training",
    "latest",
    "layer",
    "layer_norm",
    "max_pool2d",
    "modes",
    "multi_head",
    "named",
    "next_key",
    "parallel",
    "residual",
    "sequential",
    "shared",
    "updated",
    "with_evaluation",
]


def __dir__() -> list[str]:
    return __all__
