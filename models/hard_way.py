"""Neural networks, the hard way: a network that can be any function, and its gradients on the whiteboard.

    y_hat = W2 s(W1 s(W0 x + b0) + b1) + b2        J = 1/2M sum (y - y_hat)^2

Examples are columns here, as on the whiteboard. The network learns a function of one variable and one of two;
the more hidden units it has the closer it comes, everywhere at once (universal approximation). Then it learns
digits, as ten functions of 784 variables.

    python -m models.hard_way --only functions --pictures FOLDER        the functions, with pictures
    python -m models.hard_way --only digits
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import attrs
import numpy as np

import symgraph as sg
from models import cli, images, study
from symgraph.data import Dataset
from symgraph.ir import Array
from symgraph.train import pictures

EPOCHS, RATE = 10_000, 0.01
UNITS = (1, 2, 4, 8, 16, 32)


def declare(sizes: Sequence[int], spread: Sequence[float] = (1, 1, 1), dtype: str = "float64") -> sg.Graph:
    """The network of the layers' sizes, such as (1, 16, 16, 1): its outputs are `loss` and `y_hat`.

    Examples are fed as rows; `spread` is the standard deviation of the first weights of each layer, and of the
    first biases but the last.
    """
    x, y = sg.placeholder("x", ("batch", sizes[0]), dtype), sg.placeholder("y", ("batch", sizes[-1]), dtype)
    W, b = [], []
    for i, (before, units) in enumerate(pairwise(sizes)):
        start = sg.init.normal(0, spread[i])
        W.append(sg.variable(f"W{i}", (units, before), dtype, start))
        b.append(sg.variable(f"b{i}", (units, 1), dtype, 0.0 if i == len(sizes) - 2 else start))
    layer = x.T
    for i in range(len(W) - 1):
        layer = sg.sigmoid(W[i] @ layer + b[i])
    y_hat = (W[-1] @ layer + b[-1]).T
    return sg.define(loss=squared(y, y_hat), y_hat=y_hat)


def squared(y: sg.Expr, y_hat: sg.Expr) -> sg.Expr:
    """J = 1/2M sum (y - y_hat)^2."""
    return sg.sum((y - y_hat) ** 2) / (2 * sg.size(y.shape[0], y.dtype))


# The whiteboard: the gradients of a network with one hidden layer, y_hat = W1 s(W0 x + b0) + b1, by hand.


def by_hand(weights: Mapping[str, Array], x: Array, y: Array) -> dict[str, Array]:
    """The gradients of J, for examples in rows: x (M, inputs), y (M, outputs)."""
    W0, b0, W1, b1 = (weights[name] for name in ("W0", "b0", "W1", "b1"))
    a = 1 / (1 + np.exp(-(W0 @ x.T + b0)))
    delta1 = (W1 @ a + b1 - y.T) / len(x)  # dJ/dy_hat
    delta0 = (W1.T @ delta1) * a * (1 - a)  # s' = s (1 - s)
    return {
        "W0": delta0 @ x,
        "b0": delta0.sum(axis=1, keepdims=True),
        "W1": delta1 @ a.T,
        "b1": delta1.sum(axis=1, keepdims=True),
    }


def gradients(settings: cli.Settings = cli.DEFAULT, sizes: Sequence[int] = (3, 5, 2)) -> dict[str, float]:
    """How far those by hand are from those of our graph, on 50 random examples in float64: the largest differences."""
    rng = np.random.default_rng(settings.seed)
    x, y = rng.normal(size=(50, sizes[0])), rng.normal(size=(50, sizes[-1]))
    graph = sg.gradient(declare(sizes))
    with sg.Session(graph, settings.backend, settings.seed) as session:
        hand = by_hand(session.variables.snapshot(), x, y)
        ours = session.run({name: f"d_loss/d_{name}" for name in hand}, {"x": x, "y": y})
    return {name: float(np.abs(ours[name] - hand[name]).max()) for name in hand}


# Universal approximation.


@attrs.frozen
class Function:
    """A function on [-1, 1]^variables, how near the network is to come to it everywhere, and how it starts."""

    name: str
    variables: int
    values: Callable[[Array], Array]
    epsilon: float
    points: int  # to learn from, along each axis
    spread: tuple[float, float, float] = (4.0, 1.0, 0.3)

    def grid(self, along: int, dtype: str = "float64") -> dict[str, Array]:
        """Points x on a grid (n, variables), and the function's values y (n, 1)."""
        axes = np.meshgrid(*[np.linspace(-1, 1, along)] * self.variables, indexing="ij")
        x = np.stack([axis.ravel() for axis in axes], axis=1)
        return {"x": x.astype(dtype), "y": self.values(x)[:, None].astype(dtype)}


FUNCTIONS = (
    Function("sin 2πx + x/2", 1, lambda x: np.sin(2 * np.pi * x[:, 0]) + x[:, 0] / 2, 0.01, 201),
    Function("sin πx cos πy", 2, lambda x: np.sin(np.pi * x[:, 0]) * np.cos(np.pi * x[:, 1]), 0.05, 31),
)


@attrs.frozen
class Approximation:
    """A network that learned a function: the largest error on a grid three times as fine as what it learned from."""

    function: Function
    units: int
    loss: float
    error: float
    points: Mapping[str, Array]  # the fine grid: x, y, and y_hat

    @property
    def row(self) -> dict[str, Any]:
        """The network as a line of the table."""
        return {
            "function": self.function.name,
            "hidden units": f"2 x {self.units}",
            "last loss": self.loss,
            "largest error": self.error,
            "epsilon": self.function.epsilon,
            "reached": "yes" if self.error <= self.function.epsilon else "no",
        }


def graph(
    function: Function = FUNCTIONS[0], units: int = 16, epochs: int = EPOCHS, dtype: str = "float64"
) -> sg.Graph:
    """The network for a function, and one step of Adam, whose rate falls from 0.01 to nothing."""
    declared = declare((function.variables, units, units, 1), function.spread, dtype)
    return sg.train.minimize(declared, "loss", sg.train.adam(sg.train.schedules.cosine(RATE, epochs)))


def approximate(
    function: Function, units: int, settings: cli.Settings = cli.DEFAULT, epochs: int = EPOCHS
) -> Approximation:
    """Learn a function with as many units in each of the two hidden layers, with all points in each step."""
    known, fine = (function.grid(n, settings.dtype) for n in (function.points, 3 * function.points + 1))
    declared = graph(function, units, epochs, settings.dtype)
    with sg.Session(declared, settings.backend, settings.seed) as session:
        history = study.descend(session, known, epochs)
        y_hat = session.run("y_hat", {"x": fine["x"]})
    error = float(np.abs(y_hat - fine["y"]).max())
    return Approximation(function, units, history.losses[-1], error, {**fine, "y_hat": y_hat})


def errors_picture(found: Sequence[Approximation]) -> Any:
    """The largest error of each function against the number of hidden units."""
    curves = {
        function.name: tuple(
            np.array([(one.units, one.error) for one in found if one.function == function], float).T
        )
        for function in FUNCTIONS
    }
    return pictures.lines(curves, x="units in each hidden layer", y="largest error", logarithmic=(True, True))


def function_picture(found: Sequence[Approximation]) -> Any:
    """A function, and what networks make of it: one of one variable as curves, one of two as images."""
    first = found[0]
    values = {first.function.name: first.points["y"][:, 0]}
    values |= {f"{one.units} and {one.units} units": one.points["y_hat"][:, 0] for one in found}
    if first.function.variables == 1:
        x = first.points["x"][:, 0]
        return pictures.lines({name: (x, y) for name, y in values.items()})
    side = round(len(first.points["x"]) ** 0.5)
    images = np.stack(list(values.values()), axis=1)
    return pictures.weight_images(images, (side, side), titles=list(values))


# Digits.

HIDDEN, BATCH, DIGIT_EPOCHS = 64, 50, 10


def learn_digits(
    data: Dataset,
    settings: cli.Settings = cli.DEFAULT,
    epochs: int = DIGIT_EPOCHS,
    page: study.Page = study.SILENT,
) -> tuple[sg.train.History, float]:
    """Learn which digit a picture shows, y being one-hot: what came of training, and the accuracy on the test data."""
    sizes = (images.PIXELS, HIDDEN, HIDDEN, 10)
    declared = declare(sizes, [1 / n**0.5 for n in sizes], settings.dtype)
    train, test = (
        {"x": images.features(part.x, settings.dtype), "y": np.eye(10, dtype=settings.dtype)[part.y]}
        for part in (data.train, data.test)
    )
    step = sg.train.minimize(declared, "loss", sg.train.adam(0.003))
    with sg.Session(step, settings.backend, settings.seed) as session:
        history = sg.train.fit(
            session, train, epochs=epochs, batch_size=BATCH, quiet=page.quiet, out=page.out
        )
        metrics = {"accuracy": sg.train.metrics.accuracy("y_hat", "y")}
        return history, sg.train.evaluate(session, test, metrics=metrics)["accuracy"]


# The program.


def gradients_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Compare the gradients by hand with ours."""
    apart = gradients(settings)
    rows = [{"gradient of J by": name, "largest difference": value} for name, value in apart.items()]
    page.say(study.table(rows, "One hidden layer: the gradients by hand beside those that are found"))
    return apart


def functions_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Learn the functions with more and more units."""
    epochs, found = args.epochs or EPOCHS, []
    for function, units in product(FUNCTIONS, args.units):
        found.append(approximate(function, units, settings, epochs))
        page.progress(f"{function.name}: 2 x {units} units, largest error {found[-1].error:.4f}")
    rows = [one.row for one in found]
    page.say(study.table(rows, f"Functions, {epochs} epochs of Adam with all points in each step"))
    page.picture("errors.png", errors_picture, found)
    for function in FUNCTIONS:
        own = [one for one in found if one.function == function]
        page.picture(f"function-{function.variables}.png", function_picture, own)
    return {"rows": rows}


def digits_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Learn digits."""
    data, epochs = page.load(), args.epochs or DIGIT_EPOCHS
    history, accuracy = learn_digits(data, settings, epochs, page)
    row = {
        "data": data.name,
        "hidden units": f"2 x {HIDDEN}",
        "epochs": epochs,
        "first loss": history.losses[0],
        "last loss": history.losses[-1],
        "test accuracy": accuracy,
        "seconds": history.seconds,
    }
    page.say(study.table([row], "Digits: ten functions of 784 variables, with the same J"))
    return row


def options(parser: argparse.ArgumentParser) -> None:
    """The options that this program has beside the common ones."""
    cli.data_options(parser)
    parser.add_argument(
        "--units",
        metavar="N",
        type=cli.count,
        nargs="+",
        default=UNITS,
        help="units to try in each hidden layer",
    )


PARTS = {"gradients": gradients_part, "functions": functions_part, "digits": digits_part}
STUDY = study.Study("hard_way", __doc__, PARTS, options)

if __name__ == "__main__":
    raise SystemExit(study.main(STUDY))
