"""The talk's first network: logistic regression, with its gradient written by hand in NumPy.

Is a picture the digit 0, or another? One matrix product, one cross-entropy; all weights start at 0.01 and the
learning rate is 1. This is the yardstick: the next network is the same, and its gradient is found for it.
"""

import numpy as np

import symgraph as sg
from models import cli
from models.training import Array, HandNetwork, Weights

PIXELS = 784


def initial(dtype: str = "float64") -> Weights:
    """The first weights."""
    return {"w": np.full((PIXELS, 1), 0.01, dtype), "b": np.zeros(1, dtype)}


def logits(weights: Weights, x: Array) -> Array:
    """The log-odds that a picture is the digit 0: (batch, 1)."""
    return np.asarray(x @ weights["w"] + weights["b"])


def step(weights: Weights, x: Array, y: Array, learning_rate: float = 1.0) -> tuple[float, Weights]:
    """The loss of a batch, and the weights after it: y is 1 for the digit 0, else 0."""
    z = logits(weights, x)
    loss = np.mean(np.logaddexp(0, (1 - 2 * y) * z))  # ln(1 + e^((1-2y)z))
    dz = (sigmoid(z) - y) / len(y)
    dw, db = x.T @ dz, dz.sum(axis=0)
    return float(loss), {"w": weights["w"] - learning_rate * dw, "b": weights["b"] - learning_rate * db}


def sigmoid(z: Array) -> Array:
    """1 / (1 + e^-z), where e^-z may overflow to infinity.

    >>> sigmoid(np.array([-1000.0, 0.0]))
    array([0. , 0.5])
    """
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-z)))


def graph(learning_rate: float = 1.0, dtype: str = "float64") -> sg.Graph:
    """The same formulas as a graph, the gradient still by hand: to lay beside the one that is found."""
    x, y = sg.placeholder("x", ("batch", PIXELS), dtype), sg.placeholder("y", ("batch", 1), dtype)
    w, b = sg.variable("w", (PIXELS, 1), dtype, 0.01), sg.variable("b", (1,), dtype, 0.0)
    z = x @ w + b
    loss = sg.mean(sg.softplus((1 - 2 * y) * z))
    dz = (sg.sigmoid(z) - y) / sg.size(z.shape[0], dtype)
    dw, db = x.T @ dz, sg.sum(dz, axis=0)
    updates = {"train": {w: w - learning_rate * dw, b: b - learning_rate * db}}
    return sg.define({"loss": loss, "logits": z}, updates=updates)


def network(settings: cli.Settings) -> HandNetwork:
    """The network with its weights."""
    return HandNetwork(
        "logistic_regression",
        initial(settings.dtype),
        lambda weights, x, y: step(weights, x, y, settings.learning_rate),
        logits,
    )


MODEL = cli.Model("logistic_regression", __doc__, network)

if __name__ == "__main__":
    raise SystemExit(cli.main(MODEL))
