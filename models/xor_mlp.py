"""A network for XOR from scratch: 2 inputs, h hidden units, 2 outputs, sigmoids in both layers.

300 points; a point belongs to the second class where its coordinates have different signs. The loss is

    1/2N sum (y - h2)^2 + lambda/2N sum W^2

    python -m models.xor_mlp --worked-example          one step of descent, number for number
    python -m models.xor_mlp --pictures FOLDER         the runs, and their decision boundaries through training

The biases cannot be left out: since s(-z) = 1 - s(z), without them the outputs before the last sigmoid at x and
at -x add up to a constant, so that a point and its mirror image, which are of one class, cannot both be on the
right side of a boundary that parts anything. The last run shows it.
"""

import argparse
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import attrs
import numpy as np

import symgraph as sg
from models import cli, study
from symgraph.ir import Array
from symgraph.train import pictures

EPOCHS, RATE = 10_000, 3.0
RESOLUTION = 120  # points along each axis of a picture


def points(count: int = 300, seed: int = 0, dtype: str = "float64") -> tuple[Array, Array]:
    """Normal points (count, 2) and their classes, one-hot (count, 2).

    >>> x, y = points()
    >>> x[0], y[0]
    (array([1.76405235, 0.40015721]), array([1., 0.]))
    """
    x = np.random.RandomState(seed).randn(count, 2)  # the lecture's generator; its stream is frozen (NEP 19)
    return x.astype(dtype), np.eye(2, dtype=dtype)[np.logical_xor(*(x.T > 0)).astype(int)]


@attrs.frozen
class Run:
    """A network and its penalty."""

    units: int
    penalty: float = 0.0
    biases: bool = True

    def __str__(self) -> str:
        penalty = f"penalty {self.penalty:g}" if self.penalty else "no penalty"
        return f"{self.units} units, {penalty}{'' if self.biases else ', no biases'}"


RUNS = (Run(3), Run(50, 1e-6), Run(50, 1e-4), Run(50, biases=False))


def declare(run: Run = RUNS[0], dtype: str = "float64") -> sg.Graph:
    """The network: its outputs are the loss and the values of both layers."""
    x, y = (sg.placeholder(name, ("batch", 2), dtype) for name in "xy")
    W1 = sg.variable("W1", (2, run.units), dtype, sg.init.normal(0, 1))
    W2 = sg.variable("W2", (run.units, 2), dtype, sg.init.normal(0, 1))
    z1, n = x @ W1, sg.size(x.shape[0], dtype)
    h1 = sg.sigmoid(z1 + sg.variable("b1", (run.units,), dtype) if run.biases else z1)
    z2 = h1 @ W2
    h2 = sg.sigmoid(z2 + sg.variable("b2", (2,), dtype) if run.biases else z2)
    loss = sg.sum((y - h2) ** 2) / (2 * n) + run.penalty / (2 * n) * (sg.sum(W1**2) + sg.sum(W2**2))
    return sg.define(loss=loss, h1=h1, h2=h2)


def graph(run: Run = RUNS[0], rate: float = RATE, dtype: str = "float64") -> sg.Graph:
    """The network and one step of descent, in the update group `train`."""
    return sg.train.minimize(declare(run, dtype), "loss", sg.train.sgd(rate))


@attrs.frozen
class Trained:
    """A run after its training: the loss of each epoch, and the weights at some moments on the way."""

    run: Run
    losses: tuple[float, ...]
    moments: Mapping[int, Mapping[str, Array]]
    accuracy: float
    fresh: float

    @property
    def row(self) -> dict[str, Any]:
        """The run as a line of the table."""
        weights = self.moments[len(self.losses)]
        return {
            "run": str(self.run),
            "first loss": self.losses[0],
            "last loss": self.losses[-1],
            "accuracy": self.accuracy,
            "on 10,000 new points": self.fresh,
            "sum of W^2": float(sum(np.sum(weights[name] ** 2) for name in ("W1", "W2"))),
        }


def boundaries(done: Trained, settings: cli.Settings = cli.DEFAULT) -> Any:
    """The regions of both classes at each of the moments, as a figure."""
    x, y = points(dtype=settings.dtype)
    places = pictures.grid(x, RESOLUTION).astype(settings.dtype)
    with sg.Session(declare(done.run, settings.dtype), settings.backend) as session:
        panels = {
            f"after {epoch:,} epochs": session.run("h2", {"x": places, **weights})
            for epoch, weights in done.moments.items()
        }
    names = ("same signs", "different signs")
    return pictures.decision_boundary(panels, x, y, resolution=RESOLUTION, title=str(done.run), names=names)


def train(
    run: Run, settings: cli.Settings = cli.DEFAULT, epochs: int = EPOCHS, rate: float = RATE
) -> Trained:
    """Descend with all the points in each step; keep the weights after 0, 1/100, 1/10 and all of the epochs."""
    x, y = points(dtype=settings.dtype)
    kept = {max(1, epochs // 100), max(1, epochs // 10), epochs}
    with sg.Session(graph(run, rate, settings.dtype), settings.backend, settings.seed) as session:
        moments = {0: session.variables.snapshot()}

        def keep(progress: sg.train.Progress, session: sg.Session) -> None:
            if progress.epoch in kept:
                moments[progress.epoch] = session.variables.snapshot()

        history = study.descend(session, {"x": x, "y": y}, epochs, keep)
        found = [
            float(np.mean(session.run("h2", {"x": a}).argmax(axis=1) == b.argmax(axis=1)))
            for a, b in ((x, y), points(10_000, seed=1, dtype=settings.dtype))
        ]
    return Trained(run, history.losses, moments, *found)


# The worked example of the lecture's slides.

SLIDES: Mapping[str, Array] = {
    "h1": np.array([[0.19626223, 0.71301043, 0.48867814]]),
    "h2": np.array([[0.37166596, 0.45414264]]),
    "dW2": np.array([[-0.02879856, 0.02209533], [-0.10462365, 0.08027117], [-0.07170623, 0.0550157]]),
    "new W2": np.array([[-0.41488852, -0.30995026], [-0.31573451, -0.27714495], [-0.44694491, 0.15225557]]),
    "dLoss/dh1": np.array([[0.02599101, 0.01515256, 0.08274025]]),
}
_X, _Y, _RATE = np.array([[1.76405235, 0.40015721]]), np.array([[1.0, 0.0]]), 0.001
_WEIGHTS = {
    "W1": np.array([[-0.67746455, 0.37769425, -0.07365253], [-0.53663519, 0.60920496, 0.21149622]]),
    "W2": np.array([[-0.41491732, -0.30992816], [-0.31583913, -0.27706468], [-0.44701662, 0.15231059]]),
}


def worked_example(settings: cli.Settings = cli.DEFAULT) -> dict[str, Array]:
    """One step on the first point, in float64: what the slides show, under their names, as our graph has it.

    `dW1` is our gradient. `dW1, slides` is made of the slides' dLoss/dh1 as the derivative that it is; `dW1, sign lost`
    of the same as the error that it is not, by the rule for W2, dW2 = -h1^T ((y - h2) h2 (1 - h2)), whose error has
    the sign of (y - h2). `dW1, differences` are central differences of the loss, which decide.
    """
    feeds = {"x": _X, "y": _Y}
    derivatives = {"dW1": "d_loss/d_W1", "dW2": "d_loss/d_W2", "dLoss/dh1": "d_loss/d_h1"}
    step = sg.gradient(graph(Run(3, biases=False), _RATE), "loss", ["W1", "W2", "h1"])
    with sg.Session(step, settings.backend) as session:
        session.variables.assign(_WEIGHTS)
        differences = central_differences(
            lambda W1: float(session.run("loss", {**feeds, "W1": W1})), _WEIGHTS["W1"]
        )
        fetches = {"h1": "h1", "h2": "h2", **derivatives}
        found: dict[str, Array] = session.run(fetches, feeds, update="train")
        found["new W2"] = session.variables["W2"]
    slopes = found["h1"] * (1 - found["h1"])
    return {
        **found,
        "dW1, slides": _X.T @ (SLIDES["dLoss/dh1"] * slopes),
        "dW1, sign lost": -_X.T @ (SLIDES["dLoss/dh1"] * slopes),
        "dW1, differences": differences,
    }


def central_differences(value: Callable[[Array], float], at: Array, step: float = 1e-6) -> Array:
    """The derivative of a function of an array by each element: (f(w + e) - f(w - e)) / 2e.

    >>> central_differences(lambda w: float(np.sum(w**2)), np.array([1.0, 3.0])).round(6)
    array([2., 6.])
    """
    units = step * np.eye(at.size).reshape(-1, *at.shape)
    slopes = [(value(at + unit) - value(at - unit)) / (2 * step) for unit in units]
    return np.reshape(slopes, at.shape)


def _beside(found: Mapping[str, Array]) -> str:
    """The worked example as text: ours beside the slides', and what the differences say of each dW1."""
    figures = [
        {"": f"{name}{list(i)}", "ours": f"{ours[i]:.8f}", "slides": f"{SLIDES[name][i]:.8f}"}
        for name, ours in found.items()
        if name in SLIDES
        for i in np.ndindex(ours.shape)
    ]
    checked = [
        {
            "dW1": name.removeprefix("dW1, ") if "," in name else "ours",
            **{f"[{i}, {j}]": f"{value[i, j]:.8f}" for i, j in np.ndindex(value.shape)},
            "from the differences": f"{np.abs(value - found['dW1, differences']).max():.1e}",
        }
        for name, value in found.items()
        if name.startswith("dW1")
    ]
    return f"{study.table(figures)}\n\n{study.table(checked)}\n\n{VERDICT}"


VERDICT = """\
The differences side with our dW1. The slides' dLoss/dh1 is right to all its digits, -(y - h2) h2 (1 - h2) W2^T, and
gives the same dW1 where it is taken as a derivative. Where it stands in the place of an error, such as (y - h2) in the
rule for W2, it has lost the sign of (y - h2): then each weight of W1 goes up the slope that it should go down."""


# The program.


def worked_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print the worked example beside the slides."""
    found = worked_example(settings)
    page.say(_beside(found))
    return found


def runs_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Train the networks, print their table, and draw their boundaries."""
    epochs, rows = args.epochs or EPOCHS, []
    for one in RUNS:
        start = perf_counter()
        done = train(one, settings, epochs, args.learning_rate)
        rows.append({**done.row, "seconds": perf_counter() - start})
        page.progress(f"{one}: accuracy {done.accuracy:.4f} after {epochs} epochs")
        page.picture(f"xor-{RUNS.index(one) + 1}.png", boundaries, done, settings)
    title = f"300 points, {epochs} epochs of descent with all of them, learning rate {args.learning_rate:g}"
    page.say(study.table(rows, title))
    return {"rows": rows}


def options(parser: argparse.ArgumentParser) -> None:
    """The options that this program has beside the common ones."""
    add = parser.add_argument
    add("--learning-rate", metavar="RATE", type=cli.rate, default=RATE, help=f"default: {RATE:g}")
    add(
        "--worked-example",
        dest="only",
        action="store_const",
        const=["worked-example"],
        help="the step of the lecture's slides alone, number for number",
    )


STUDY = study.Study("xor_mlp", __doc__, {"worked-example": worked_part, "runs": runs_part}, options)

if __name__ == "__main__":
    raise SystemExit(study.main(STUDY))
