"""NumPy by hand: each gradient worked out on paper, each large array computed into one that is kept.

STEPS : name of a network -> weights, size of a batch, rate -> step, which changes the weights in place
CALLS : name of a formula -> weights, inputs -> call
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.benchmarks import sea_water
from tests.benchmarks.libraries import (
    BETA1,
    BETA2,
    DECAY,
    EPSILON,
    Array,
    Caller,
    Formula,
    Network,
    Step,
    Trainer,
    Weights,
)

Descend = Callable[..., None]


def trainer(network: Network) -> Trainer:
    """The training step."""
    weights = network.start()
    size = len(network.batches()[0][0])
    if network.optimizer != "sgd":
        descend = {"adam": adam, "rmsprop": rmsprop}[network.optimizer](weights, network.rate)
        return Trainer(classifier_step(weights, size, 1.0, descend), lambda: weights)
    return Trainer(STEPS[network.name](weights, size, network.rate), lambda: weights)


def caller(formula: Formula) -> Caller:
    """The formula's value, in an array that the next call overwrites."""
    return Caller(CALLS[formula.name](formula.weights(), formula.inputs()))


def warm_up() -> None:
    """Nothing is imported late."""


# Logistic regression: the digit 0 or another.


def logistic_step(weights: Weights, size: int, rate: float) -> Step:
    """The step of the talk's first two networks."""
    w, b = weights["w"], weights["b"]
    scale = w.dtype.type(rate / size)
    z, e, dz = (np.empty((size, 1), w.dtype) for _ in range(3))
    dw = np.empty_like(w)

    def step(x: Array, y: Array) -> Any:
        np.matmul(x, w, out=z)
        np.add(z, b, out=z)
        loss = _cross_entropy(z, y, e, dz)
        np.multiply(dz, scale, out=dz)
        np.matmul(x.T, dz, out=dw)
        np.subtract(w, dw, out=w)
        np.subtract(b, dz.sum(axis=0), out=b)
        return loss

    return step


def _cross_entropy(z: Array, y: Array, e: Array, dz: Array) -> Any:
    """The mean of ln(1 + e^z) - yz; `dz` becomes sigmoid(z) - y, and `e` is room."""
    np.negative(np.abs(z, out=e), out=e)
    np.exp(e, out=e)
    loss = np.mean(np.maximum(z, 0) - z * y + np.log1p(e))
    np.divide(np.where(z >= 0, 1, e), e + 1, out=dz)
    np.subtract(dz, y, out=dz)
    return loss


# One hidden layer of 64 sigmoids; W1 and W2 have a row a unit, as in the talk.


def hidden_step(weights: Weights, size: int, rate: float) -> Step:
    """The step of the talk's third network."""
    W1, b1, W2, b2 = (weights[name] for name in ("W1", "b1", "W2", "b2"))
    scale = W1.dtype.type(rate / size)
    h, dh, room = (np.empty((size, len(W1)), W1.dtype) for _ in range(3))
    z, e, dz = (np.empty((size, 1), W1.dtype) for _ in range(3))
    dW1 = np.empty_like(W1)

    def step(x: Array, y: Array) -> Any:
        np.matmul(x, W1.T, out=h)
        _sigmoid(np.add(h, b1, out=h))
        np.matmul(h, W2.T, out=z)
        np.add(z, b2, out=z)
        loss = _cross_entropy(z, y, e, dz)
        np.multiply(dz, scale, out=dz)
        np.matmul(dz, W2, out=dh)
        np.multiply(dh, h, out=dh)
        np.multiply(dh, np.subtract(1, h, out=room), out=dh)
        np.subtract(W2, dz.T @ h, out=W2)
        np.subtract(b2, dz.sum(axis=0), out=b2)
        np.subtract(W1, np.matmul(dh.T, x, out=dW1), out=W1)
        np.subtract(b1, dh.sum(axis=0), out=b1)
        return loss

    return step


def _sigmoid(z: Array) -> Array:
    """In place; e^-z may overflow to infinity in a float32 below -88, which gives 0."""
    np.exp(np.negative(z, out=z), out=z)
    return np.reciprocal(np.add(z, 1, out=z), out=z)


# A classifier of ten digits: 784 pixels, 512 rectified units, 10 classes.


def classifier_step(weights: Weights, size: int, rate: float, descend: Descend | None = None) -> Step:
    """The step of the classifier; `descend` takes the gradients, or else they are subtracted."""
    descend = descend or (lambda **gradients: _subtract(weights, gradients))
    W1, b1, W2, b2 = (weights[name] for name in ("W1", "b1", "W2", "b2"))
    scale = W1.dtype.type(rate / size)
    rows = np.arange(size)
    h, dh = (np.empty((size, len(b1)), W1.dtype) for _ in range(2))
    positive = np.empty(h.shape, bool)
    z = np.empty((size, len(b2)), W1.dtype)
    dW1, dW2 = np.empty_like(W1), np.empty_like(W2)

    def step(x: Array, y: Array) -> Any:
        np.matmul(x, W1, out=h)
        np.maximum(np.add(h, b1, out=h), 0, out=h)
        np.matmul(h, W2, out=z)
        np.add(z, b2, out=z)
        np.subtract(z, z.max(axis=1, keepdims=True), out=z)
        right = z[rows, y]
        np.exp(z, out=z)
        total = z.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(total[:, 0]) - right)
        np.divide(z, total, out=z)
        z[rows, y] -= 1
        np.multiply(z, scale, out=z)
        np.matmul(z, W2.T, out=dh)
        np.multiply(dh, np.greater(h, 0, out=positive), out=dh)
        np.matmul(h.T, z, out=dW2)
        np.matmul(x.T, dh, out=dW1)
        descend(W1=dW1, b1=dh.sum(axis=0), W2=dW2, b2=z.sum(axis=0))
        return loss

    return step


def _subtract(weights: Weights, gradients: Mapping[str, Array]) -> None:
    for name, g in gradients.items():
        np.subtract(weights[name], g, out=weights[name])


def adam(weights: Weights, rate: float) -> Descend:
    """Adam, which overwrites the gradients."""
    moments = {name: (np.zeros_like(w), np.zeros_like(w), np.empty_like(w)) for name, w in weights.items()}
    steps = itertools.count(1)

    def descend(**gradients: Array) -> None:
        t = next(steps)
        root = (1 - BETA2**t) ** 0.5
        size, epsilon = np.float32(rate * root / (1 - BETA1**t)), np.float32(EPSILON * root)
        for name, g in gradients.items():
            m, v, room = moments[name]
            np.multiply(m, np.float32(BETA1), out=m)
            np.add(m, np.multiply(g, np.float32(1 - BETA1), out=room), out=m)
            np.multiply(v, np.float32(BETA2), out=v)
            np.multiply(np.square(g, out=g), np.float32(1 - BETA2), out=g)
            np.add(np.sqrt(np.add(v, g, out=v), out=g), epsilon, out=g)
            np.divide(np.multiply(m, size, out=room), g, out=g)
            np.subtract(weights[name], g, out=weights[name])

    return descend


def rmsprop(weights: Weights, rate: float) -> Descend:
    """RMSprop, which overwrites the gradients."""
    squares = {name: (np.zeros_like(w), np.empty_like(w)) for name, w in weights.items()}

    def descend(**gradients: Array) -> None:
        for name, g in gradients.items():
            s, room = squares[name]
            np.multiply(s, np.float32(DECAY), out=s)
            np.multiply(np.square(g, out=room), np.float32(1 - DECAY), out=room)
            np.sqrt(np.add(np.add(s, room, out=s), np.float32(EPSILON**2), out=room), out=room)
            np.divide(np.multiply(g, np.float32(rate), out=g), room, out=g)
            np.subtract(weights[name], g, out=weights[name])

    return descend


def classifier_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[[Array], Array]:
    """The classifier's logits."""
    W1, b1, W2, b2 = (weights[name] for name in ("W1", "b1", "W2", "b2"))
    size = len(inputs[0])
    h, z = np.empty((size, len(b1)), W1.dtype), np.empty((size, len(b2)), W1.dtype)

    def call(x: Array) -> Array:
        np.matmul(x, W1, out=h)
        np.maximum(np.add(h, b1, out=h), 0, out=h)
        np.matmul(h, W2, out=z)
        return np.add(z, b2, out=z)

    return call


# Exclusive or: two inputs, ten sigmoids, two sigmoids.


def xor_step(weights: Weights, size: int, rate: float) -> Step:
    """The step of the network for exclusive or."""
    W1, b1, W2, b2 = (weights[name] for name in ("W1", "b1", "W2", "b2"))
    h, dh, room = (np.empty((size, len(b1)), W1.dtype) for _ in range(3))
    p, dz, square = (np.empty((size, len(b2)), W1.dtype) for _ in range(3))
    scale = W1.dtype.type(2 * rate / p.size)

    def step(x: Array, y: Array) -> Any:
        np.matmul(x, W1, out=h)
        _sigmoid(np.add(h, b1, out=h))
        np.matmul(h, W2, out=p)
        _sigmoid(np.add(p, b2, out=p))
        np.subtract(p, y, out=dz)
        loss = np.mean(np.multiply(dz, dz, out=square))
        np.multiply(dz, scale, out=dz)
        np.multiply(dz, p, out=dz)
        np.multiply(dz, np.subtract(1, p, out=square), out=dz)
        np.matmul(dz, W2.T, out=dh)
        np.multiply(dh, h, out=dh)
        np.multiply(dh, np.subtract(1, h, out=room), out=dh)
        np.subtract(W2, h.T @ dz, out=W2)
        np.subtract(b2, dz.sum(axis=0), out=b2)
        np.subtract(W1, x.T @ dh, out=W1)
        np.subtract(b1, dh.sum(axis=0), out=b1)
        return loss

    return step


# Layers of a product, layer_norm and gelu; the loss is the mean squared error.


def deep_step(weights: Weights, size: int, rate: float) -> Step:
    """The step of the deep network."""
    from scipy.special import erf

    layers = [[weights[f"{kind}{k}"] for kind in "Wbst"] for k in range(len(weights) // 4)]
    width, dtype = len(layers[0][1]), layers[0][0].dtype
    inputs, normal, slopes = ([np.empty((size, width), dtype) for _ in layers] for _ in range(3))
    inverse = [np.empty((size, 1), dtype) for _ in layers]
    g, du, room = (np.empty((size, width), dtype) for _ in range(3))
    dW = np.empty_like(layers[0][0])
    root, density = dtype.type(0.5**0.5), dtype.type((2 * np.pi) ** -0.5)

    def forward(k: int, x: Array, out: Array) -> None:
        (W, b, s, t), n, v, phi = layers[k], normal[k], du, slopes[k]
        np.copyto(inputs[k], x)
        np.matmul(x, W, out=n)
        np.add(n, b, out=n)
        np.subtract(n, n.mean(axis=1, keepdims=True), out=n)
        variance = np.multiply(n, n, out=room).mean(axis=1, keepdims=True)
        np.divide(1, np.sqrt(variance + dtype.type(1e-5)), out=inverse[k])
        np.multiply(n, inverse[k], out=n)
        np.add(np.multiply(n, s, out=v), t, out=v)
        erf(np.multiply(v, root, out=phi), out=phi)
        np.multiply(np.add(phi, 1, out=phi), dtype.type(0.5), out=phi)
        np.multiply(v, phi, out=out)
        np.exp(np.multiply(np.multiply(v, v, out=room), dtype.type(-0.5), out=room), out=room)
        np.multiply(np.multiply(room, density, out=room), v, out=room)
        np.add(phi, room, out=phi)

    def backward(k: int) -> None:
        (W, b, s, t), n = layers[k], normal[k]
        np.multiply(g, slopes[k], out=g)
        ds, dt = np.multiply(g, n, out=room).sum(axis=0), g.sum(axis=0)
        np.multiply(g, s, out=du)
        along = np.multiply(du, n, out=room).mean(axis=1, keepdims=True)
        np.subtract(du, du.mean(axis=1, keepdims=True), out=du)
        np.subtract(du, np.multiply(n, along, out=room), out=du)
        np.multiply(du, inverse[k], out=du)
        np.matmul(du, W.T, out=g)
        np.subtract(W, np.matmul(inputs[k].T, du, out=dW), out=W)
        np.subtract(b, du.sum(axis=0), out=b)
        np.subtract(s, ds, out=s)
        np.subtract(t, dt, out=t)

    def step(x: Array, y: Array) -> Any:
        h = x
        for k in range(len(layers)):
            forward(k, h, g)
            h = g
        np.subtract(g, y, out=g)
        loss = np.mean(np.multiply(g, g, out=room))
        np.multiply(g, dtype.type(2 * rate / g.size), out=g)
        for k in reversed(range(len(layers))):
            backward(k)
        return loss

    return step


# Formulas.


def sigmoid_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[[Array], Array]:
    """sigmoid(x * w + b)."""
    w, b = weights["w"], weights["b"]
    out = np.empty_like(inputs[0])
    return lambda x: _sigmoid(np.add(np.multiply(x, w, out=out), b, out=out))


def softplus_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[[Array], Array]:
    """max(x, 0) + ln(1 + e^-|x|)."""
    out, room = np.empty_like(inputs[0]), np.empty_like(inputs[0])

    def call(x: Array) -> Array:
        np.negative(np.abs(x, out=out), out=out)
        np.log1p(np.exp(out, out=out), out=out)
        return np.add(out, np.maximum(x, 0, out=room), out=out)

    return call


def gelu_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[[Array], Array]:
    """x (1 + erf(x / sqrt 2)) / 2."""
    from scipy.special import erf

    out = np.empty_like(inputs[0])
    root, half = out.dtype.type(0.5**0.5), out.dtype.type(0.5)

    def call(x: Array) -> Array:
        erf(np.multiply(x, root, out=out), out=out)
        np.add(out, 1, out=out)
        return np.multiply(np.multiply(out, half, out=out), x, out=out)

    return call


def chain_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[[Array], Any]:
    """The chain of twelve ops."""
    h = np.empty_like(inputs[0])

    def call(x: Array) -> Any:
        np.tanh(np.add(np.multiply(x, 0.7, out=h), 0.3, out=h), out=h)
        np.subtract(np.multiply(h, x, out=h), 0.1, out=h)
        np.negative(np.sqrt(np.abs(h, out=h), out=h), out=h)
        np.add(np.exp(h, out=h), x, out=h)
        return np.mean(np.multiply(h, h, out=h))

    return call


def line_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[[Array], Any]:
    """w x + b of numbers."""
    w, b = weights["w"][()], weights["b"][()]
    return lambda x: x * w + b


def density_call(weights: Weights, inputs: tuple[Array, ...]) -> Callable[..., Array]:
    """The density of sea water, its polynomials by Horner's rule in place."""
    room = [np.empty_like(inputs[0]) for _ in range(5)]
    return lambda s, t, p: sea_water.density_into(room, s, t, p)


STEPS: dict[str, Callable[[Weights, int, float], Step]] = {
    "logistic": logistic_step,
    "hidden": hidden_step,
    "classifier": classifier_step,
    "xor": xor_step,
    "deep": deep_step,
}
CALLS: dict[str, Callable[[Weights, tuple[Array, ...]], Callable[..., Any]]] = {
    "classifier": classifier_call,
    "sigmoid": sigmoid_call,
    "softplus": softplus_call,
    "gelu": gelu_call,
    "chain": chain_call,
    "line": line_call,
    "ocean": density_call,
}
