"""`numpy`: a training step of a compiled graph against the same step written by hand in NumPy.

The talk's three networks with their own graphs, and a classifier 784-512-10. A step takes a batch, returns the loss
and changes the weights. The data are synthetic: pictures of pixels 0 to 255 over 255, four fifths of them 0.
"""

import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import numpy as np

import symgraph as sg
from models import logistic_regression, logistic_regression_graph, one_hidden_layer
from tests.benchmarks.race import Case, Contender, Ready, race, report

Array = np.ndarray
Weights = dict[str, Array]
Batch = tuple[Array, Array]
_BATCHES = 4
_COMPARED = 5  # steps whose losses, and the weights after them, are compared
_TRACED = 100


def batches(size: int, dtype: str, classes: int) -> list[Batch]:
    """Batches of pictures; labels (size, 1) in `dtype` for two classes, else indices (size,)."""
    draw = np.random.default_rng(0)
    made = []
    for _ in range(_BATCHES):
        pixels = draw.integers(0, 256, (size, 784)) * (draw.random((size, 784)) < 0.2)
        label = draw.integers(0, 10, size)
        y = (label == 0).astype(dtype)[:, None] if classes == 2 else label
        made.append(((pixels / 255).astype(dtype), y))
    return made


def ready(step: Callable[[Array, Array], Any], weights: Callable[[], Weights], data: list[Batch]) -> Ready:
    """A training step over batches in turn, as a contender."""
    stream: Iterator[Batch] = cycle(data)

    def one() -> None:
        step(*next(stream))

    def answers() -> Mapping[str, Array]:
        losses = [float(step(x, y)) for x, y in islice(cycle(data), _COMPARED)]
        return {"losses": np.array(losses), **{name: np.array(value) for name, value in weights().items()}}

    return Ready(one, answers, lambda: {"peak bytes allocated": allocated(one)})


def allocated(step: Callable[[], Any]) -> int:
    """The largest growth of traced memory, in bytes, at any moment of 100 steps in the steady state.

    NumPy's ufuncs copy a broadcast operand to a buffer of up to 8192 elements, however large the arrays are; with the
    smallest buffers these do not hide the arrays that a step makes.
    """
    before_buffers = np.setbufsize(16)
    tracemalloc.start()
    try:
        for _ in range(10):
            step()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(_TRACED):
            step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        np.setbufsize(before_buffers)


def compiled(graph: sg.Graph, start: Weights, data: list[Batch]) -> Ready:
    """The graph's update group `train`, prepared in a session."""
    session = sg.Session(graph, backend="numpy")
    session.variables.assign(start)
    return ready(session.prepare("loss", ("x", "y"), update="train"), session.variables.snapshot, data)


def by_hand(
    make: Callable[[Weights], Callable[[Array, Array], Any]], start: Weights, data: list[Batch]
) -> Ready:
    """A step in NumPy that changes its weights in place."""
    weights = {name: value.copy() for name, value in start.items()}
    return ready(make(weights), lambda: weights, data)


# Logistic regression: the digit 0 or another.


def logistic_start() -> Weights:
    """The talk's first weights."""
    return logistic_regression.initial()


def logistic_step(weights: Weights, learning_rate: float = 1.0) -> Callable[[Array, Array], float]:
    """The step of the talk's first two networks."""
    w, b = weights["w"], weights["b"]

    def step(x: Array, y: Array) -> float:
        z = x @ w + b
        e = np.exp(-np.abs(z))
        loss = np.mean(np.maximum(z, 0) - z * y + np.log1p(e))
        dz = (np.where(z >= 0, 1, e) / (1 + e) - y) / len(x)
        np.subtract(w, learning_rate * (x.T @ dz), out=w)
        np.subtract(b, learning_rate * dz.sum(axis=0), out=b)
        return loss

    return step


# One hidden layer of 64 sigmoids.


def hidden_start() -> Weights:
    """The talk's first weights: all alike."""
    return {
        "W1": np.full((64, 784), 0.01),
        "b1": np.zeros(64),
        "W2": np.full((1, 64), 0.01),
        "b2": np.zeros(1),
    }


def hidden_step(weights: Weights, learning_rate: float = 1.0) -> Callable[[Array, Array], float]:
    """The step of the talk's third network."""
    W1, b1, W2, b2 = (weights[name] for name in ("W1", "b1", "W2", "b2"))

    def step(x: Array, y: Array) -> float:
        h = 1 / (1 + np.exp(-(x @ W1.T + b1)))
        z = h @ W2.T + b2
        e = np.exp(-np.abs(z))
        loss = np.mean(np.maximum(z, 0) - z * y + np.log1p(e))
        dz = (np.where(z >= 0, 1, e) / (1 + e) - y) / len(x)
        dh = dz @ W2 * (h * (1 - h))
        np.subtract(W2, learning_rate * (dz.T @ h), out=W2)
        np.subtract(b2, learning_rate * dz.sum(axis=0), out=b2)
        np.subtract(W1, learning_rate * (dh.T @ x), out=W1)
        np.subtract(b1, learning_rate * dh.sum(axis=0), out=b1)
        return loss

    return step


# A classifier of ten digits: 784 pixels, 512 rectified units, 10 classes.

_RATE = 0.05


def classifier_start() -> Weights:
    """Random first weights."""
    draw = np.random.default_rng(1)
    return {
        "W1": draw.normal(0, 0.05, (784, 512)).astype(np.float32),
        "b1": np.zeros(512, np.float32),
        "W2": draw.normal(0, 0.06, (512, 10)).astype(np.float32),
        "b2": np.zeros(10, np.float32),
    }


def classifier_graph() -> sg.Graph:
    """The classifier with a step of gradient descent."""
    x, y = sg.placeholder("x", ("batch", 784)), sg.placeholder("y", ("batch",), "int64")
    W1, b1 = sg.variable("W1", (784, 512)), sg.variable("b1", (512,))
    W2, b2 = sg.variable("W2", (512, 10)), sg.variable("b2", (10,))
    z = sg.relu(x @ W1 + b1) @ W2 + b2
    graph = sg.define(loss=sg.mean(sg.softmax_cross_entropy(z, y)))
    return sg.train.minimize(graph, "loss", sg.train.sgd(_RATE))


def classifier_step(weights: Weights) -> Callable[[Array, Array], np.float32]:
    """The same by hand."""
    W1, b1, W2, b2 = (weights[name] for name in ("W1", "b1", "W2", "b2"))
    rate = np.float32(_RATE)

    def step(x: Array, y: Array) -> np.float32:
        rows = np.arange(len(x))
        h = np.maximum(x @ W1 + b1, 0)
        z = h @ W2 + b2
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(total[:, 0]) - z[rows, y])
        dz = e / total
        dz[rows, y] -= 1
        dz /= np.float32(len(x))
        dh = dz @ W2.T
        dh *= h > 0
        np.subtract(W2, rate * (h.T @ dz), out=W2)
        np.subtract(b2, rate * dz.sum(axis=0), out=b2)
        np.subtract(W1, rate * (x.T @ dh), out=W1)
        np.subtract(b1, rate * dh.sum(axis=0), out=b1)
        return loss

    return step


def _case(
    name: str,
    about: str,
    graph: Callable[[], sg.Graph],
    make: Callable[[Weights], Callable[[Array, Array], Any]],
    start: Callable[[], Weights],
    data: Callable[[], list[Batch]],
    tolerance: float,
) -> Case:
    contenders = (
        Contender("symgraph", lambda: compiled(graph(), start(), data())),
        Contender("NumPy by hand", lambda: by_hand(make, start(), data())),
    )
    return Case(name, about, contenders, tolerance, target=1.0)


CASES = (
    _case(
        "logistic_regression",
        "the gradient written in the graph, batch 1000, float64",
        logistic_regression.graph,
        logistic_step,
        logistic_start,
        lambda: batches(1000, "float64", 2),
        1e-9,
    ),
    _case(
        "logistic_regression_graph",
        "the gradient found, batch 1000, float64",
        logistic_regression_graph.graph,
        logistic_step,
        logistic_start,
        lambda: batches(1000, "float64", 2),
        1e-9,
    ),
    _case(
        "one_hidden_layer",
        "64 sigmoids, batch 100, float64",
        one_hidden_layer.graph,
        hidden_step,
        hidden_start,
        lambda: batches(100, "float64", 2),
        1e-9,
    ),
    _case(
        "classifier",
        "784-512-10, relu, softmax cross-entropy, batch 128, float32",
        classifier_graph,
        classifier_step,
        classifier_start,
        lambda: batches(128, "float32", 10),
        1e-4,
    ),
)


def run(rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Race each case; yields its text and its data."""
    for case in CASES:
        yield report(case, race(__name__, case, rounds))
