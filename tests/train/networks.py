"""Small networks and data that the tests of training share."""

from typing import Any

import numpy as np

import symgraph as sg
from symgraph.train import initializers, metrics


def classifier(rate: Any = 0.1, optimizer: Any = None, dtype: str = "float32") -> sg.Graph:
    """Three classes of four features, one hidden layer."""
    x, y = sg.placeholder("x", ("batch", 4), dtype=dtype), sg.placeholder("y", ("batch",), dtype="int64")
    w1 = sg.variable("w1", (4, 5), dtype=dtype, init=initializers.glorot_uniform())
    b1 = sg.variable("b1", (5,), dtype=dtype)
    w2 = sg.variable("w2", (5, 3), dtype=dtype, init=initializers.glorot_uniform())
    logits = sg.tanh(x @ w1 + b1) @ w2
    loss = sg.mean(sg.softmax_cross_entropy(logits, y))
    largest = sg.max(sg.abs(logits))
    graph = sg.define(loss=loss, logits=logits, largest=largest)
    return sg.train.minimize(graph, "loss", sg.train.sgd(rate) if optimizer is None else optimizer)


def points(count: int, seed: int = 0, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Points whose class is the place of the largest of the first three features, with a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(dtype)
    y = (x[:, :3] + 0.3 * rng.normal(size=(count, 3))).argmax(axis=1)
    return {"x": x, "y": y}


ACCURACY = {"accuracy": metrics.accuracy("logits", "y")}


def bits(session: sg.Session) -> dict[str, bytes]:
    """The variables as bytes: equal for equal bits."""
    return {name: value.tobytes() for name, value in session.variables.snapshot().items()}
