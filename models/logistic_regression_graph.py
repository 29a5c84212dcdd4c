"""The talk's second network: the same logistic regression as a graph, and its gradient found for it.

Three steps on a stack of operands, as in the talk: a matrix product, a sum, a cross-entropy. What the first
network has by hand is here what `minimize` adds. The losses and weights of the two agree.
"""

from functools import partial

import symgraph as sg
from models import cli, training

PIXELS = 784


def cross_entropy(z: sg.Expr, y: sg.Expr) -> sg.Expr:
    """The mean of ln(1 + e^((1-2y)z)) over a batch."""
    return sg.mean(sg.sigmoid_cross_entropy(z, y))


def declare(dtype: str = "float64") -> sg.Graph:
    """The network: its outputs are the loss and the logits, the log-odds of the digit 0."""
    x = sg.placeholder("x", ("batch", PIXELS), dtype)
    y = sg.placeholder("y", ("batch", 1), dtype)
    w = sg.variable("w", (PIXELS, 1), dtype, init=0.01)
    b = sg.variable("b", (1,), dtype, init=0.0)

    logits = sg.push(x, w, b).then(sg.steps(sg.matmul, sg.add))
    loss = sg.push(x, w, b, y).then(sg.steps(sg.matmul, sg.add, cross_entropy))

    return sg.define(loss=sg.run_build(loss)[0], logits=sg.run_build(logits)[0])


def graph(learning_rate: float = 1.0, dtype: str = "float64") -> sg.Graph:
    """The network and one step of training, in the update group `train`."""
    return sg.train.minimize(declare(dtype), "loss", sg.train.sgd(learning_rate))


def declared(settings: cli.Settings) -> sg.Graph:
    """The graph that the options ask for."""
    return graph(settings.learning_rate, settings.dtype)


MODEL = training.Model("logistic_regression_graph", __doc__, partial(training.fitted, declared))

if __name__ == "__main__":
    raise SystemExit(training.main(MODEL))
