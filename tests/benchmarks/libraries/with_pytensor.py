"""PyTensor: one function a step, with shared variables and updates, in the Numba or the C mode."""

import sys
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor import concatenate, exp, mean, sigmoid, sin, softplus, sqrt, sum, tanh
from pytensor.tensor import sqr as square

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
)

__all__ = ["exp", "mean", "sigmoid", "sin", "softplus", "sqrt", "square", "sum", "tanh"]

_OPS = sys.modules[__name__]


def relu(x: Any) -> Any:
    """The positive part."""
    return pt.maximum(x, 0)


def gelu(x: Any) -> Any:
    """The form with erf."""
    return 0.5 * x * (1 + pt.erf(x * _constant(0.5**0.5)))


def dense(x: Any, w: Any, b: Any) -> Any:
    """A layer."""
    return x @ w + b


def images(x: Any, size: int) -> Any:
    """Square images of one channel from rows."""
    return x.reshape((x.shape[0], size, size, 1))


def convolution(x: Any, kernel: Any, bias: Any, padding: int) -> Any:
    """A layer of images: PyTensor has no convolution of several channels, and so it is a product of all windows."""
    n, high, wide, channels = x.type.shape
    if padding:
        grown = pt.zeros((n, high + 2 * padding, wide + 2 * padding, channels), dtype=x.dtype)
        x = grown[:, padding:-padding, padding:-padding].set(x)
    tall, broad, _, units = kernel.type.shape
    high, wide = high + 2 * padding - tall + 1, wide + 2 * padding - broad + 1
    parts = [x[:, i : i + high, j : j + wide] for i in range(tall) for j in range(broad)]
    windows = concatenate(parts, axis=3).reshape((n * high * wide, tall * broad * channels))
    return (windows @ kernel.reshape((tall * broad * channels, units))).reshape((n, high, wide, units)) + bias


def max_pool(x: Any) -> Any:
    """The largest of 2 by 2."""
    a, b, c, d = (x[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    return pt.maximum(pt.maximum(a, b), pt.maximum(c, d))


def dense_of_images(x: Any, w: Any, b: Any) -> Any:
    """A layer of all that an image has."""
    return x.flatten(2) @ w.reshape((-1, w.shape[-1])) + b


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    """The rows with mean 0 and variance 1, scaled and shifted."""
    centred = x - mean(x, axis=-1, keepdims=True)
    variance = mean(square(centred), axis=-1, keepdims=True)
    return centred / sqrt(variance + _constant(1e-5)) * scale + bias


def softmax_cross_entropy(z: Any, labels: Any) -> Any:
    """The mean over a batch."""
    return -mean(pt.special.log_softmax(z, axis=-1)[pt.arange(labels.shape[0]), labels])


def sigmoid_cross_entropy(z: Any, y: Any) -> Any:
    """The mean over a batch."""
    return mean(softplus(z) - z * y)


def trainer(network: Network, mode: str) -> Trainer:
    """The training step."""
    start = network.start()
    weights = _shared(start)
    x, y = map(_input, network.batches()[0])
    loss = network.loss(_OPS, weights, x, y)
    gradients = pytensor.grad(loss, list(weights.values()))
    descend = {"sgd": _sgd, "adam": _adam, "rmsprop": _rmsprop}[network.optimizer]
    updates = descend(list(weights.values()), gradients, _constant(network.rate))
    step = pytensor.function([x, y], loss, updates=updates, mode=mode, trust_input=True)
    return Trainer(step, lambda: {name: w.get_value() for name, w in weights.items()})


def _sgd(weights: list[Any], gradients: list[Any], rate: Any) -> dict[Any, Any]:
    return {w: w - rate * g for w, g in zip(weights, gradients, strict=True)}


def _adam(weights: list[Any], gradients: list[Any], rate: Any) -> dict[Any, Any]:
    count = pytensor.shared(_constant(0.0), "count")
    t = count + _constant(1.0)
    rate = rate * sqrt(1 - _constant(BETA2) ** t) / (1 - _constant(BETA1) ** t)
    epsilon = _constant(EPSILON) * sqrt(1 - _constant(BETA2) ** t)
    updates = {count: t}
    for w, g in zip(weights, gradients, strict=True):
        m, v = _zeros_like(w), _zeros_like(w)
        updates[m] = _constant(BETA1) * m + _constant(1 - BETA1) * g
        updates[v] = _constant(BETA2) * v + _constant(1 - BETA2) * square(g)
        updates[w] = w - rate * updates[m] / (sqrt(updates[v]) + epsilon)
    return updates


def _rmsprop(weights: list[Any], gradients: list[Any], rate: Any) -> dict[Any, Any]:
    updates = {}
    for w, g in zip(weights, gradients, strict=True):
        s = _zeros_like(w)
        updates[s] = _constant(DECAY) * s + _constant(1 - DECAY) * square(g)
        updates[w] = w - rate * g / sqrt(updates[s] + _constant(EPSILON**2))
    return updates


def _zeros_like(w: Any) -> Any:
    return pytensor.shared(np.zeros_like(w.get_value()), shape=w.type.shape)


def caller(formula: Formula, mode: str) -> Caller:
    """The formula's value."""
    weights = _shared(formula.weights())
    inputs = [_input(value) for value in formula.inputs()]
    result = formula.function(_OPS, weights, *inputs)
    return Caller(pytensor.function(inputs, result, mode=mode, trust_input=True), np.asarray)


def warm_up(mode: str) -> None:
    """Import what is imported late."""
    if mode == "NUMBA":
        pass


def _input(value: Array) -> Any:
    if value.dtype.kind == "f":  # Python numbers beside tensors take this dtype
        pytensor.config.floatX = value.dtype.name
    return pt.tensor(dtype=value.dtype.name, shape=value.shape)


def _shared(weights: dict[str, Array]) -> Any:
    return {
        name: pytensor.shared(np.array(value), name, shape=value.shape) for name, value in weights.items()
    }


def _constant(value: float) -> Any:
    return np.asarray(value, pytensor.config.floatX)
