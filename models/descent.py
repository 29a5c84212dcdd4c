"""How networks learn: the Keras lecture's experiments, parts of `python -m models.mnist_dense`.

naive        each weight is moved by a small step, up or down as it helps, beside backpropagation, with their costs
paths        batch, stochastic and mini-batch descent, and the optimizers, on one picture: a loss of two weights
descents     batch, stochastic and mini-batch descent of a network
optimizers   the lecture's network by each optimizer
overfitting  a network that learns its examples by heart, and what helps against that
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, TypeAlias

import attrs
import numpy as np

import symgraph as sg
from models import classifier, cli, images, study, xor_mlp
from symgraph import nn
from symgraph.data import Dataset, Examples
from symgraph.ir import Array
from symgraph.train import EarlyStopping, History, metrics, pictures

_NAIVE_UPDATES, _STEP = 100, 0.02
_FEW, _UNITS = 1000, 64  # examples and hidden units of the descents
_EPOCHS, _STEPS = 10, 200  # of the descents, and the least of the optimizers
_HEART_EPOCHS, _HEART_UNITS, _HEART_BATCH = 40, 512, 32
_PENALTY, _SPOILED = (
    5e-3,
    0.2,
)  # the latter is the share of wrong labels, which nothing but the heart can learn
# The learning rate at which each optimizer does well here.
RATES: Mapping[str, float] = {
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "adagrad": 0.02,
    "rmsprop": 0.001,
    "adam": 0.001,
    "adamw": 0.001,
    "lion": 0.0002,
    "lars": 5.0,
}
DESCENTS: Mapping[str, tuple[int | None, float]] = {  # examples in a step, all where it is None, and the rate
    "batch": (None, 0.1),
    "mini-batch": (32, 0.05),
    "stochastic": (1, 0.01),
}


# The naive update: move each weight by +e and by -e, see which loss is smaller, and go there.


def naive_update(
    loss: Callable[[Mapping[str, Array]], float], weights: Mapping[str, Array], step: float
) -> tuple[dict[str, Array], int]:
    """The weights after each was moved by `step`, up, down or not at all, with the loss evaluations that it took.

    >>> naive_update(lambda weights: float(np.sum(weights["w"] ** 2)), {"w": np.array([1.0, -2.0])}, 0.5)
    ({'w': array([ 0.5, -1.5])}, 6)
    """
    best, evaluations = {name: value.copy() for name, value in weights.items()}, 0
    for value in best.values():
        for i in np.ndindex(value.shape):
            here = value[i]
            losses = []
            for moved in (here, here + step, here - step):
                value[i] = moved
                losses.append(loss(best))
            value[i] = (here, here + step, here - step)[int(np.argmin(losses))]
            evaluations += len(losses)
    return best, evaluations


@attrs.frozen
class Way:
    """A way of learning: the loss before each update and after the last, and what an update costs.

    `passes` are those through the network, forward or back, that an update takes.
    """

    name: str
    losses: tuple[float, ...]
    passes: int
    seconds: float

    @property
    def row(self) -> dict[str, Any]:
        """The way as a line of the table."""
        updates = len(self.losses) - 1
        return {
            "update": self.name,
            "passes an update": self.passes,
            "ms an update": 1e3 * self.seconds / updates,
            "updates": updates,
            "passes": self.passes * updates,
            "first loss": self.losses[0],
            "last loss": self.losses[-1],
        }

    @property
    def curve(self) -> tuple[Array, Array]:
        """The loss by the number of passes."""
        return self.passes * np.arange(len(self.losses)), np.asarray(self.losses)


def ways(
    settings: cli.Settings = cli.DEFAULT, updates: int = _NAIVE_UPDATES, units: int = 8
) -> tuple[Way, Way]:
    """XOR by the naive update and by backpropagation, from the same weights, with as many passes for each."""
    x, y = xor_mlp.points(dtype=settings.dtype)
    graph = xor_mlp.graph(xor_mlp.Run(units), dtype=settings.dtype)
    with sg.Session(graph, settings.backend, settings.seed) as session:
        start = session.variables.snapshot()
        names = tuple(start)
        evaluate = session.prepare("loss", ("x", "y", *names))
        train = session.prepare("loss", ("x", "y"), update="train")

        def loss(weights: Mapping[str, Array]) -> float:
            return float(evaluate(x, y, *(weights[name] for name in names)))

        weights, losses, begun, passes = dict(start), [loss(start)], perf_counter(), 0
        for _ in range(updates):
            weights, passes = naive_update(loss, weights, _STEP)
            losses.append(loss(weights))
        naive = Way(f"each weight by {_STEP:g}", tuple(losses), passes, perf_counter() - begun)
        train.executable.bound({"batch": len(x)})  # compiled before the clock starts
        begun = perf_counter()
        losses = [float(train(x, y)) for _ in range(updates * passes // 2)]
        seconds = perf_counter() - begun
        return naive, Way("backpropagation", (*losses, loss(session.variables.snapshot())), 2, seconds)


def naive_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print what both updates cost, and draw their losses."""
    found = ways(settings, args.epochs or _NAIVE_UPDATES)
    rows = [way.row for way in found]
    title = (
        "XOR with 8 hidden units: three passes forward for each weight, or one forward and one back for all"
    )
    page.say(study.table(rows, title))
    curves = {way.name: way.curve for way in found}
    page.picture("naive.png", _curves, curves, "passes through the network")
    return {"rows": rows}


# A loss of two weights, which can be looked at: z = w x, and the mean of (z - y)^2.

POINTS, PATH_STEPS = 200, 120
START, BEST = (-1.5, 1.5), (1.5, -1.0)
# The examples in a step, and how it is made of their gradient; all but the first learn from 16 at a time.
PLANE: Mapping[str, tuple[int, sg.train.Optimizer]] = {
    "batch": (POINTS, sg.train.sgd(0.1)),
    "stochastic": (1, sg.train.sgd(0.1)),
    "mini-batch": (16, sg.train.sgd(0.1)),
    "momentum": (16, sg.train.momentum(0.03)),
    "nesterov": (16, sg.train.nesterov(0.03)),
    "adagrad": (16, sg.train.adagrad(0.4)),
    "rmsprop": (16, sg.train.rmsprop(0.05)),
    "adam": (16, sg.train.adam(0.1)),
    "lion": (16, sg.train.lion(0.03)),
}


def plane_points(dtype: str = "float64") -> tuple[Array, Array]:
    """Points (200, 2) that are spread three times as far along one axis as along the other, and y (200,) of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(POINTS, 2)) * (1.2, 0.4)
    return x.astype(dtype), (x @ BEST + rng.normal(0, 0.3, POINTS)).astype(dtype)


def plane_loss(w: Array) -> Array:
    """The loss (n,) on all the points, of weights (n, 2)."""
    x, y = plane_points()
    return np.asarray(((w @ x.T - y) ** 2).mean(axis=1))


def paths(settings: cli.Settings = cli.DEFAULT, steps: int = PATH_STEPS) -> dict[str, Array]:
    """The way of each kind of descent through the plane of the weights: (steps + 1, 2)."""
    x, y = plane_points(settings.dtype)
    inputs, w = (
        sg.placeholder("x", ("batch", 2), settings.dtype),
        sg.variable("w", (2,), settings.dtype, START),
    )
    loss = sg.mean((inputs @ w - sg.placeholder("y", ("batch",), settings.dtype)) ** 2)
    graph, found = sg.define(loss=loss, w=w), {}
    for name, (size, optimizer) in PLANE.items():
        rng = np.random.default_rng(settings.seed)
        with sg.Session(sg.train.minimize(graph, "loss", optimizer), settings.backend) as session:
            step, way = session.prepare("w", ("x", "y"), update="train"), []
            for _ in range(steps + 1):
                chosen = rng.permutation(POINTS)[:size]
                way.append(step(x[chosen], y[chosen]))
        found[name] = np.stack(way)
    return found


def paths_picture(found: Mapping[str, Array]) -> Any:
    """The ways to the lowest place, over the contours of the loss: the kinds of descent, and the optimizers."""
    from symgraph.train.figures import figure as empty  # needs matplotlib

    names = list(found)
    panels = {"descents": names[:3], "optimizers, mini-batches of 16": names[2:]}
    figure = empty(11, 5)
    plane = np.meshgrid(np.linspace(-2, 3.4, 109), np.linspace(-3, 2, 101))
    heights = plane_loss(np.stack([axis.ravel() for axis in plane], axis=1)).reshape(plane[0].shape)
    for k, (title, shown) in enumerate(panels.items()):
        axes = figure.add_subplot(1, 2, k + 1)
        axes.contour(*plane, heights, levels=np.geomspace(0.1, heights.max(), 14), colors="#cbd5e1")
        for name in shown:
            axes.plot(*found[name].T, label=name, linewidth=1.2)
        axes.plot(*BEST, "k*", markersize=10)
        axes.set(title=title, xlabel="w0", ylabel="w1")
        axes.legend(loc="lower left")
    return figure


def paths_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print the loss on the way, and draw the ways."""
    found = paths(settings, args.epochs or PATH_STEPS)
    rows = []
    for name, way in found.items():
        losses = plane_loss(way)
        marks = {f"after {k}": losses[k] for k in (0, 10, 30, 100) if k < len(losses)}
        rows.append({"descent": name, "examples a step": PLANE[name][0], **marks, "last": losses[-1]})
    page.say(
        study.table(
            rows, f"A loss of two weights on {POINTS} points: that on all of them, after so many steps"
        )
    )
    page.picture("paths.png", paths_picture, found)
    return {"rows": rows}


# Descents, optimizers and overfitting, on the lecture's network, large or small.

Declare: TypeAlias = Callable[[str, int], sg.Graph]  # (dtype, hidden units) -> the network


def descents(
    declare: Declare, data: Dataset, settings: cli.Settings = cli.DEFAULT, epochs: int = _EPOCHS
) -> dict[str, History]:
    """Descent with all examples in each step, a few, and one; the rows have the loss on all after each epoch."""
    train = data.train[:_FEW]
    return {
        name: _fit(
            declare(settings.dtype, _UNITS),
            sg.train.sgd(rate),
            train,
            train,
            settings,
            epochs,
            size or len(train),
        )
        for name, (size, rate) in DESCENTS.items()
    }


def optimizers(
    declare: Declare, data: Dataset, settings: cli.Settings = cli.DEFAULT, epochs: int | None = None
) -> dict[str, History]:
    """The lecture's network by each optimizer, from the same weights, through the same batches.

    By default in as many epochs as make 200 steps: one of MNIST.
    """
    epochs = epochs or -(-_STEPS // -(-len(data.train) // classifier.BATCH))
    return {
        name: _fit(
            declare(settings.dtype, _HEART_UNITS),
            make(RATES[name]),
            data.train,
            data.test,
            settings,
            epochs,
            classifier.BATCH,
        )
        for name, make in classifier.OPTIMIZERS.items()
    }


def overfitting(
    declare: Declare, data: Dataset, settings: cli.Settings = cli.DEFAULT, epochs: int = _HEART_EPOCHS
) -> dict[str, History]:
    """The lecture's network on few examples, some with wrong labels: plain, with remedies, and stopped early."""
    train, step = spoiled(data.train[: min(_FEW, len(data.train) // 5)]), sg.train.adam(RATES["adam"])

    def fit(graph: sg.Graph, **options: Any) -> History:
        return _fit(graph, step, train, data.test, settings, epochs, _HEART_BATCH, **options)

    plain = declare(settings.dtype, _HEART_UNITS)
    return {
        "plain": fit(plain),
        "penalty": fit(plain, penalty=sg.train.l2(_PENALTY, exclude="*/b")),
        "dropout": fit(
            dropped(settings.dtype, _HEART_UNITS),
            metrics={"accuracy": metrics.accuracy()},
            validation_outputs={name: f"evaluation/{name}" for name in ("loss", "logits")},
        ),
        "stopped early": fit(plain, callbacks=[EarlyStopping("val_loss", patience=3)]),
    }


def spoiled(examples: Examples, share: float = _SPOILED, seed: int = 0) -> Examples:
    """The examples, a share of them with labels of others: what can be learned by heart alone.

    >>> examples = Examples(np.zeros((1000, 28, 28), np.uint8), np.arange(1000, dtype=np.uint8) % 10)
    >>> float(np.mean(spoiled(examples).y != examples.y))
    0.177
    """
    rng = np.random.default_rng(seed)
    y, chosen = examples.y.copy(), rng.permutation(len(examples))[: round(share * len(examples))]
    y[chosen] = y[rng.permutation(chosen)]
    return Examples(examples.x, y)


def dropped(dtype: str = "float32", units: int = 512, rate: float = 0.5) -> sg.Graph:
    """The lecture's network with dropout of the hidden units; `evaluation/loss` and the like are without it."""

    @sg.do
    def network() -> Any:
        x = sg.placeholder("x", ("batch", 784), dtype)
        logits, state = yield from nn.sequential(nn.dense(units, sg.relu), nn.dropout(rate), nn.dense(10))(x)
        return nn.Output(classifier.outputs(x, logits), state)

    return nn.graph(nn.with_evaluation(network()))


def _fit(
    graph: sg.Graph,
    optimizer: sg.train.Optimizer,
    train: Examples,
    validation: Examples,
    settings: cli.Settings,
    epochs: int,
    size: int,
    penalty: sg.train.Penalty | None = None,
    **options: Any,
) -> History:
    trained = sg.train.minimize(graph, "loss", optimizer, penalty=penalty)
    with sg.Session(trained, settings.backend, settings.seed) as session:
        return sg.train.fit(
            session,
            train,
            validation=validation,
            epochs=epochs,
            batch_size=min(size, len(train)),
            map=images.prepared(settings.dtype),
            quiet=True,
            **{"metrics": {"accuracy": metrics.accuracy()}, "train_metrics": True, **options},
        )


# Their tables and pictures.


def _row(name: str, history: History) -> dict[str, Any]:
    best = history.best("val_loss")
    return {
        "run": name,
        "steps": len(history.losses),
        "loss": history["loss"][-1],
        "accuracy": history["accuracy"][-1],
        "validation loss": history["val_loss"][-1],
        "best": best["val_loss"],
        "in epoch": best["epoch"],
        "validation accuracy": history["val_accuracy"][-1],
        "seconds": history.seconds,
    }


def _curves(curves: Mapping[str, tuple[Array, Any]], x: str, y: str = "loss") -> Any:
    return pictures.curves(curves, x=x, y=y, logarithmic=True)


def _by_epoch(found: Mapping[str, History], column: str) -> dict[str, tuple[Array, Any]]:
    return {name: (np.arange(1, len(history) + 1), history[column]) for name, history in found.items()}


def _smooth(losses: Sequence[float], width: int = 20) -> tuple[Array, Array]:
    """The means of so many steps, and the steps at their ends."""
    width = max(1, min(width, len(losses)))
    means = np.asarray(losses)[: len(losses) // width * width].reshape(-1, width).mean(axis=1)
    return width * np.arange(1, len(means) + 1), means


def _by_time(found: Mapping[str, History], column: str) -> dict[str, tuple[Array, Any]]:
    return {name: (np.cumsum(history["seconds"]), history[column]) for name, history in found.items()}


def overfitting_picture(found: Mapping[str, History]) -> Any:
    """What is learned by heart, and what of it holds for other images."""
    columns = {
        "loss in training": "loss",
        "loss on test images": "val_loss",
        "accuracy on test images": "val_accuracy",
    }
    curves = {
        name: {title: (history["epoch"], history[column]) for title, column in columns.items()}
        for name, history in found.items()
    }
    return pictures.curves(curves, x="epoch", panels=True)


def parts(declare: Declare) -> dict[str, study.Part]:
    """The parts of a program, whose networks are those of `declare`."""

    def shown(
        run: Callable[..., dict[str, History]],
        epochs: int | None,
        title: str,
        draw: Callable[[study.Page, dict[str, History]], None],
    ) -> study.Part:
        def part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
            found = run(declare, page.load(), settings, args.epochs or epochs)
            rows = [_row(name, history) for name, history in found.items()]
            page.say(study.table(rows, title))
            draw(page, found)
            return {"rows": rows}

        return part

    def draw_descents(page: study.Page, found: dict[str, History]) -> None:
        page.picture("descents.png", _curves, _by_epoch(found, "val_loss"), "epoch", "loss on all examples")
        curves = _by_time(found, "val_loss")
        page.picture("descents-time.png", _curves, curves, "seconds", "loss on all examples")

    def draw_optimizers(page: study.Page, found: dict[str, History]) -> None:
        curves = {name: _smooth(history.losses) for name, history in found.items()}
        page.picture("optimizers.png", _curves, curves, "step", "loss, mean of 20 steps")

    def draw_overfitting(page: study.Page, found: dict[str, History]) -> None:
        page.picture("overfitting.png", overfitting_picture, found)

    return {
        "naive": naive_part,
        "paths": paths_part,
        "descents": shown(
            descents, _EPOCHS, f"{_UNITS} units, {_FEW} examples: all in each step, 32, or one", draw_descents
        ),
        "optimizers": shown(optimizers, None, "The optimizers, from the same weights", draw_optimizers),
        "overfitting": shown(
            overfitting,
            _HEART_EPOCHS,
            f"{_HEART_UNITS} units and few examples, a fifth of their labels wrong: learned by heart, and not",
            draw_overfitting,
        ),
    }
