"""symgraph: a graph, its update group prepared in a session."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import symgraph as sg
from symgraph import exp, gelu, layer_norm, mean, relu, sigmoid, sin, softplus, sqrt, square, sum, tanh
from tests.benchmarks.libraries import (
    BETA1,
    BETA2,
    DECAY,
    EPSILON,
    Array,
    Caller,
    Formula,
    Network,
    Trainer,
    Weights,
)

__all__ = [
    "exp",
    "gelu",
    "layer_norm",
    "mean",
    "relu",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "sum",
    "tanh",
]

BACKEND = "auto"  # what the benchmarks are of, where they do not name another


def dense(x: Any, w: Any, b: Any) -> Any:
    """A layer."""
    return x @ w + b


def images(x: Any, size: int) -> Any:
    """Square images of one channel from rows."""
    return x.reshape(x.shape[0], size, size, 1)


def convolution(x: Any, kernel: Any, bias: Any, padding: int) -> Any:
    """A layer of images."""
    return sg.conv2d(x, kernel, padding=padding) + bias


def max_pool(x: Any) -> Any:
    """The largest of 2 by 2."""
    return sg.max_pool2d(x, 2)


def dense_of_images(x: Any, w: Any, b: Any) -> Any:
    """A layer of all that an image has."""
    return dense(x.reshape(x.shape[0], -1), w.reshape(-1, w.shape[-1]), b)


def softmax_cross_entropy(z: Any, labels: Any) -> Any:
    """The mean over a batch."""
    return mean(sg.softmax_cross_entropy(z, labels))


def sigmoid_cross_entropy(z: Any, y: Any) -> Any:
    """The mean over a batch."""
    return mean(sg.sigmoid_cross_entropy(z, y))


def described(network: Network) -> sg.Expr:
    """The network's loss."""
    x, y = (_placeholder(name, a) for name, a in zip("xy", network.batches()[0], strict=True))
    loss: sg.Expr = network.loss(_ops(), _variables(network.start()), x, y)
    return loss


def declared(network: Network) -> sg.Graph:
    """The network and its step, in the update group `train`."""
    if network.graph is not None:
        return network.graph()
    return sg.train.minimize(sg.define(loss=described(network)), "loss", optimizer(network))


def optimizer(network: Network) -> sg.train.Optimizer:
    """The network's optimizer."""
    if network.optimizer == "adam":
        return sg.train.adam(network.rate, BETA1, BETA2, EPSILON)
    if network.optimizer == "rmsprop":
        return sg.train.rmsprop(network.rate, DECAY, epsilon=EPSILON**2)
    return sg.train.sgd(network.rate)


def trainer(network: Network, backend: str = BACKEND) -> Trainer:
    """The training step."""
    session = sg.Session(declared(network), backend=backend)
    start = network.start()
    session.variables.assign(start)

    def weights() -> dict[str, Array]:
        return {name: session.variables[name] for name in start}

    return Trainer(session.prepare("loss", ("x", "y"), update="train"), weights)


def caller(formula: Formula, backend: str = BACKEND, prepared: bool = True) -> Caller:
    """The formula's value."""
    inputs, weights = formula.inputs(), formula.weights()
    names = [f"x{k}" for k in range(len(inputs))]
    placeholders = [_placeholder(name, value) for name, value in zip(names, inputs, strict=True)]
    graph = sg.define(result=formula.function(_ops(), _variables(weights), *placeholders))
    session = sg.Session(graph, backend=backend)
    session.variables.assign(weights)
    if prepared:
        return Caller(session.prepare("result", names))
    return Caller(lambda *values: session.run("result", dict(zip(names, values, strict=True))))


def warm_up(backend: str = BACKEND) -> None:
    """Import what is imported late."""
    if find_spec("llvmlite") is not None:
        import_module("llvmlite.binding")
        import_module("symgraph.lowering.llvm.program")
    sg.compile(sg.define(y=sg.placeholder("x") + 1.0), backend="numpy")({"x": 1.0})


def _placeholder(name: str, value: Array) -> sg.Expr:
    return sg.placeholder(name, ("batch", *value.shape[1:]) if value.ndim else (), value.dtype.name)


def _variables(weights: Weights) -> dict[str, sg.Expr]:
    return {name: sg.variable(name, value.shape, value.dtype.name) for name, value in weights.items()}


def _ops() -> Any:
    return import_module(__name__)
