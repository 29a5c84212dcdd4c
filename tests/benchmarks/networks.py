"""The networks that are trained and the formulas that are called, each written once for all libraries.

A loss takes `ops`, the module of a library; see `tests.benchmarks.libraries`.
"""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks import sea_water
from tests.benchmarks.libraries import Array, Batch, Formula, Network, Weights

_BATCHES = 4


def pictures(size: int, dtype: str, classes: int, count: int = _BATCHES) -> list[Batch]:
    """Synthetic batches: pixels 0 to 255 over 255, four fifths of them 0.

    Labels are (size, 1) in `dtype` for two classes, else indices (size,).
    """
    draw = np.random.default_rng(0)
    made = []
    for _ in range(count):
        pixels = draw.integers(0, 256, (size, 784)) * (draw.random((size, 784)) < 0.2)
        label = draw.integers(0, 10, size)
        y = (label == 0).astype(dtype)[:, None] if classes == 2 else label
        made.append(((pixels / 255).astype(dtype), y))
    return made


# The talk's three networks, with the talk's first weights.


def _logistic_loss(ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    return ops.sigmoid_cross_entropy(ops.dense(x, weights["w"], weights["b"]), y)


def logistic(dtype: str, by_hand: bool, size: int = 1000) -> Network:
    """Logistic regression: the digit 0 or another; `by_hand` is of symgraph's graph, the gradient in it."""

    def graph() -> Any:
        from models import logistic_regression, logistic_regression_graph

        return (logistic_regression if by_hand else logistic_regression_graph).graph(dtype=dtype)

    return Network(
        "logistic",
        _logistic_loss,
        lambda: {"w": np.full((784, 1), 0.01, dtype), "b": np.zeros(1, dtype)},
        partial(pictures, size, dtype, 2),
        1.0,
        graph,
    )


def _hidden_loss(ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    h = ops.sigmoid(ops.dense(x, weights["W1"].T, weights["b1"]))
    return ops.sigmoid_cross_entropy(ops.dense(h, weights["W2"].T, weights["b2"]), y)


def _hidden_start(dtype: str) -> Weights:
    return {
        "W1": np.full((64, 784), 0.01, dtype),
        "b1": np.zeros(64, dtype),
        "W2": np.full((1, 64), 0.01, dtype),
        "b2": np.zeros(1, dtype),
    }


def hidden(dtype: str, size: int = 100) -> Network:
    """One hidden layer of 64 sigmoids."""

    def graph() -> Any:
        from models import one_hidden_layer

        return one_hidden_layer.graph(dtype=dtype)

    start, batches = partial(_hidden_start, dtype), partial(pictures, size, dtype, 2)
    return Network("hidden", _hidden_loss, start, batches, 1.0, graph)


# A classifier of ten digits: 784 pixels, 512 rectified units, 10 classes.


def classifier_logits(ops: Any, weights: Mapping[str, Any], x: Any) -> Any:
    """The classifier without its loss."""
    h = ops.relu(ops.dense(x, weights["W1"], weights["b1"]))
    return ops.dense(h, weights["W2"], weights["b2"])


def _classifier_loss(ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    return ops.softmax_cross_entropy(classifier_logits(ops, weights, x), y)


def classifier_start() -> Weights:
    """Random first weights."""
    draw = np.random.default_rng(1)
    return {
        "W1": draw.normal(0, 0.05, (784, 512)).astype(np.float32),
        "b1": np.zeros(512, np.float32),
        "W2": draw.normal(0, 0.06, (512, 10)).astype(np.float32),
        "b2": np.zeros(10, np.float32),
    }


def classifier(size: int = 128, optimizer: str = "sgd") -> Network:
    """784-512-10 in float32, trained."""
    rate = {"sgd": 0.05, "adam": 0.001, "rmsprop": 0.001}[optimizer]
    batches = partial(pictures, size, "float32", 10)
    return Network("classifier", _classifier_loss, classifier_start, batches, rate, optimizer=optimizer)


def classify(size: int) -> Formula:
    """784-512-10 in float32, its logits."""
    return Formula(
        "classifier",
        classifier_logits,
        lambda: pictures(size, "float32", 10, 1)[0][:1],
        classifier_start,
    )


# LeNet-5. Kernels, and the weights of the first layer that sees no images, are [height, width, channels, units].


def _lenet_loss(ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    h = ops.max_pool(ops.relu(ops.convolution(ops.images(x, 28), weights["K1"], weights["b1"], 2)))
    h = ops.max_pool(ops.relu(ops.convolution(h, weights["K2"], weights["b2"], 0)))
    h = ops.relu(ops.dense_of_images(h, weights["K3"], weights["b3"]))
    h = ops.relu(ops.dense(h, weights["W4"], weights["b4"]))
    return ops.softmax_cross_entropy(ops.dense(h, weights["W5"], weights["b5"]), y)


def _lenet_start() -> Weights:
    draw = np.random.default_rng(10)
    shapes = {"K1": (5, 5, 1, 6), "K2": (5, 5, 6, 16), "K3": (5, 5, 16, 120), "W4": (120, 84), "W5": (84, 10)}
    made = {}
    for name, shape in shapes.items():
        made[name] = draw.normal(0, np.prod(shape[:-1]) ** -0.5, shape).astype(np.float32)
        made[f"b{name[1]}"] = draw.normal(0, 0.1, shape[-1]).astype(np.float32)
    return made


def lenet(size: int = 128) -> Network:
    """LeNet-5 with rectified units and largest elements pooled, in float32, trained."""
    return Network("lenet", _lenet_loss, _lenet_start, partial(pictures, size, "float32", 10), 0.05)


# Exclusive or.


def _xor_loss(ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    h = ops.sigmoid(ops.dense(x, weights["W1"], weights["b1"]))
    return ops.mean(ops.square(ops.sigmoid(ops.dense(h, weights["W2"], weights["b2"])) - y))


def _dense_start(dtype: str, seed: int, *sizes: int) -> Weights:
    """W1, b1, W2, b2, ... of layers with these sizes, random."""
    draw = np.random.default_rng(seed)
    made = {}
    for k, (before, after) in enumerate(itertools.pairwise(sizes), 1):
        made[f"W{k}"] = draw.normal(0, before**-0.5, (before, after)).astype(dtype)
        made[f"b{k}"] = draw.normal(0, 0.1, after).astype(dtype)
    return made


def _xor_batches() -> list[Batch]:
    draw = np.random.default_rng(2)
    made = []
    for _ in range(_BATCHES):
        bits = draw.integers(0, 2, (50, 2))
        odd = bits.sum(axis=1) % 2
        made.append((bits.astype(np.float32), np.stack([1 - odd, odd], axis=1).astype(np.float32)))
    return made


def xor() -> Network:
    """2-10-2 sigmoids, the mean squared error, batch 50, float32."""
    return Network("xor", _xor_loss, partial(_dense_start, "float32", 3, 2, 10, 2), _xor_batches, 0.5)


# Deep.


def _deep_loss(ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    h = x
    for k in range(len(weights) // 4):
        z = ops.dense(h, weights[f"W{k}"], weights[f"b{k}"])
        h = ops.gelu(ops.layer_norm(z, weights[f"s{k}"], weights[f"t{k}"]))
    return ops.mean(ops.square(h - y))


def _deep_start(layers: int, width: int) -> Weights:
    draw = np.random.default_rng(4)
    made = {}
    for k in range(layers):
        made[f"W{k}"] = draw.normal(0, width**-0.5, (width, width)).astype(np.float32)
        made[f"b{k}"] = np.zeros(width, np.float32)
        made[f"s{k}"] = np.ones(width, np.float32)
        made[f"t{k}"] = np.zeros(width, np.float32)
    return made


def _normal_batches(seed: int, *shape: int) -> list[Batch]:
    draw = np.random.default_rng(seed)
    return [
        (draw.normal(size=shape).astype(np.float32), draw.normal(size=shape).astype(np.float32))
        for _ in range(_BATCHES)
    ]


def deep(layers: int = 20, width: int = 256, size: int = 64) -> Network:
    """Layers of a product, layer_norm and gelu; the mean squared error, float32."""
    return Network(
        "deep", _deep_loss, partial(_deep_start, layers, width), partial(_normal_batches, 5, size, width), 0.1
    )


# Generated graphs. A chain is one elementwise op after another; layers are small and dense.

GENERATED = {"chain": 7.5, "layers": 17.0}  # nodes of the training graph for each turn of the loop
_BATCH, _WIDTH = 4, 8


def _chain_loss(turns: int, ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    h, w = x, weights["w"]
    for k in range(turns):
        h = ops.tanh(h + w) if k % 2 else ops.sin(h * w)
    return ops.mean(ops.square(h - y))


def _layers_loss(turns: int, ops: Any, weights: Mapping[str, Any], x: Any, y: Any) -> Any:
    h = x
    for k in range(1, turns + 1):
        h = ops.tanh(ops.dense(h, weights[f"W{k}"], weights[f"b{k}"]))
    return ops.mean(ops.square(h - y))


def generated(kind: str, nodes: int) -> Network:
    """A network whose training graph has about that many nodes, as symgraph counts them."""
    turns = max(1, round(nodes / GENERATED[kind]))
    batches = partial(_normal_batches, 6, _BATCH, _WIDTH)
    if kind == "chain":
        start = lambda: {"w": np.full(_WIDTH, 0.5, np.float32)}  # noqa: E731
        return Network(kind, partial(_chain_loss, turns), start, batches, 0.01)
    start = partial(_dense_start, "float32", 7, *(_WIDTH,) * (turns + 1))
    return Network(kind, partial(_layers_loss, turns), start, batches, 0.01)


# Formulas.


def _normal(seed: int, size: int, dtype: str) -> Array:
    return np.random.default_rng(seed).standard_normal(size, np.dtype(dtype))


def _sigmoid(ops: Any, weights: Mapping[str, Any], x: Any) -> Any:
    return ops.sigmoid(x * weights["w"] + weights["b"])


def _softplus(ops: Any, weights: Mapping[str, Any], x: Any) -> Any:
    return ops.softplus(x)


def _gelu(ops: Any, weights: Mapping[str, Any], x: Any) -> Any:
    return ops.gelu(x)


def _chain(ops: Any, weights: Mapping[str, Any], x: Any) -> Any:
    h = ops.tanh(x * 0.7 + 0.3) * x - 0.1
    h = ops.exp(-ops.sqrt(abs(h))) + x
    return ops.mean(h * h)


def _line(ops: Any, weights: Mapping[str, Any], x: Any) -> Any:
    return x * weights["w"] + weights["b"]


def _slope(dtype: str) -> Weights:
    return {"w": np.array(1.5, dtype), "b": np.array(-0.25, dtype)}


def elementwise(name: str, size: int, dtype: str) -> Formula:
    """`sigmoid` of x * w + b, `softplus`, `gelu`, or the `chain` of twelve ops with a mean at its end."""
    function = {"sigmoid": _sigmoid, "softplus": _softplus, "gelu": _gelu, "chain": _chain}[name]
    weights = partial(_slope, dtype) if name == "sigmoid" else dict
    return Formula(name, function, lambda: (_normal(8, size, dtype),), weights)


def line() -> Formula:
    """w x + b of numbers."""
    return Formula("line", _line, lambda: (np.array(0.5, np.float32),), partial(_slope, "float32"))


def _density(ops: Any, weights: Mapping[str, Any], s: Any, t: Any, p: Any) -> Any:
    return sea_water.density_by(ops.sqrt)(s, t, p)


def _water(size: int) -> tuple[Array, ...]:
    draw = np.random.default_rng(9)
    return draw.uniform(0, 42, size), draw.uniform(-2, 40, size), draw.uniform(0, 1000, size)


def ocean(size: int) -> Formula:
    """The density of sea water at `size` points, float64."""
    return Formula("ocean", _density, partial(_water, size))
