"""The talk's third network: one hidden layer of 64 sigmoids, trained by "stupid" SGD.

All weights start at 0.01, so all hidden units stay alike; and of each batch of 1000 pictures only the first
100 are used. What better choices give:

    python -m models.one_hidden_layer --initializer glorot --classes 10 --batch-size 50 --epochs 5

On MNIST that tells 97.1 % of the ten digits, with the talk's learning rate of 1: 0.5 comes to 96.7 % and 1.5
to 97.1 % (`--learning-rate`).
"""

import argparse
from functools import partial

import symgraph as sg
from models import cli, training

PIXELS, HIDDEN = 784, 64
INITIALIZERS: dict[str, sg.init.Initializer] = {
    "constant": sg.init.constant(0.01),
    "glorot": sg.init.glorot_uniform,
    "he": sg.init.he_uniform,
    "lecun": sg.init.lecun_uniform,
}


def declare(initializer: str = "constant", classes: int = 2, dtype: str = "float64") -> sg.Graph:
    """The network: its outputs are the loss and the logits.

    With 2 classes there is one logit, the log-odds of the digit 0, else one for each class.
    """
    outputs, start = 1 if classes == 2 else classes, INITIALIZERS[initializer]
    x = sg.placeholder("x", ("batch", PIXELS), dtype)
    W1 = sg.variable("W1", (HIDDEN, PIXELS), dtype, start)
    b1 = sg.variable("b1", (HIDDEN,), dtype, init=0.0)
    W2 = sg.variable("W2", (outputs, HIDDEN), dtype, start)
    b2 = sg.variable("b2", (outputs,), dtype, init=0.0)

    hidden = sg.sigmoid(x @ W1.T + b1)
    logits = hidden @ W2.T + b2

    if classes == 2:
        y = sg.placeholder("y", ("batch", 1), dtype)
        losses = sg.sigmoid_cross_entropy(logits, y)
    else:
        y = sg.placeholder("y", ("batch",), "int64")
        losses = sg.softmax_cross_entropy(logits, y)
    return sg.define(loss=sg.mean(losses), logits=logits)


def graph(
    learning_rate: float = 1.0, initializer: str = "constant", classes: int = 2, dtype: str = "float64"
) -> sg.Graph:
    """The network and one step of training, in the update group `train`."""
    return sg.train.minimize(declare(initializer, classes, dtype), "loss", sg.train.sgd(learning_rate))


def options(parser: argparse.ArgumentParser) -> None:
    """The options that this network has beside the common ones."""
    parser.add_argument(
        "--initializer",
        choices=sorted(INITIALIZERS),
        default="constant",
        help="how W1 and W2 start: constant is the talk's 0.01, the others are random by --seed",
    )
    parser.add_argument(
        "--classes", type=int, choices=(2, 10), default=2, help="2: the digit 0 or another; 10: which digit"
    )


def declared(settings: cli.Settings) -> sg.Graph:
    """The graph that the options ask for."""
    return graph(settings.learning_rate, settings.initializer, settings.classes, settings.dtype)


MODEL = training.Model(
    "one_hidden_layer", __doc__, partial(training.fitted, declared), used=100, options=options
)

if __name__ == "__main__":
    raise SystemExit(training.main(MODEL))
