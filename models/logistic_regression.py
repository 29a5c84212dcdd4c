"""The talk's first network: logistic regression, with its gradient written by hand in NumPy.

Is a picture the digit 0, or another? One matrix product, one cross-entropy; all weights start at 0.01 and the
learning rate is 1. This is the yardstick: the next network is the same, and its gradient is found for it. Here
all is by hand, also what `sg.train.fit` does for the others: the loop, its checkpoints, Ctrl-C.
"""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

import attrs
import numpy as np

import symgraph as sg
from models import cli, images, study, training
from symgraph.data import Dataset, Position
from symgraph.ir import Array
from symgraph.train import checkpoint
from symgraph.train.interruption import interruptible
from symgraph.train.progress import Speed, display

PIXELS = 784
Weights: TypeAlias = Mapping[str, Array]


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


def train(settings: cli.Settings, data: Dataset, page: study.Page = study.SILENT) -> training.Trained:
    """Train batch by batch; a checkpoint is written after each epoch, and on Ctrl-C."""
    run, weights, losses, position = about(settings, data), initial(settings.dtype), list[float](), Position()
    if settings.resume is not None:
        weights, losses, position = resumed(settings.resume, run)
        rest = "" if position.epoch < settings.epochs else ", and nothing is left to train"
        page.progress(f"resumed {settings.resume} after step {len(losses)}{rest}")
    stream = sg.batches(
        data.train,
        settings.batch_size,
        shuffle=settings.shuffle,
        seed=settings.seed,
        epochs=settings.epochs,
        start=position,
        map=images.prepared(settings.dtype, classes=2, used=settings.used),
    )
    steps, begun, seen = stream.per_epoch * settings.epochs, perf_counter(), 0
    told = ""  # of an interruption
    with (
        stream,
        interruptible() as stopped,
        display(page.out, page.quiet) as shown,
        np.errstate(all="ignore"),
    ):
        for batch in stream:
            loss, weights = step(weights, batch["x"], batch["y"], settings.learning_rate)
            losses.append(loss)
            seen += len(batch["y"])
            seconds, epoch, whole = perf_counter() - begun, stream.position.epoch, stream.position.index == 0
            if not isfinite(loss):
                message = f"the loss became {loss} at step {len(losses)}, in epoch {epoch + (not whole)}"
                raise sg.DivergenceError(message, hint="Take a smaller learning rate.")
            if whole:
                row = {"loss": np.mean(losses[-stream.per_epoch :]), "seconds": seconds}
                now = sg.train.Progress(len(losses), steps, epoch, settings.epochs, loss, (row,), tuple(row))
                shown.epoch(now, Speed(seen, seconds, None))
            if settings.checkpoint is not None and (whole or stopped()):
                save(settings.checkpoint, run, weights, losses, stream.position)
            if stopped():
                told = interrupted(settings, len(losses), epoch)
                break
    if told:
        page.progress(told)
        raise sg.train.Interrupted(told, sg.train.History((), losses, interrupted=True))
    seconds = perf_counter() - begun
    answers = logits(weights, images.features(data.test.x, settings.dtype))
    right = images.right(answers, data.test.y)
    return training.Trained(sg.train.History((), losses), weights, answers, right, seconds)


def interrupted(settings: cli.Settings, steps: int, epochs: int) -> str:
    """Where training was stopped, after so many steps and whole epochs, and what is kept of it."""
    where = f"stopped after step {steps}, in epoch {min(epochs + 1, settings.epochs)} of {settings.epochs}"
    if settings.checkpoint is None:
        return f"{where}; nothing was saved, since there is no checkpoint=PATH"
    return f"{where}; saved to {settings.checkpoint}"


def about(settings: cli.Settings, data: Dataset) -> str:
    """What must be the same when training is resumed; epochs may be added."""
    names = ("dtype", "batch_size", "used", "shuffle", "seed", "learning_rate")
    return f"by hand, {data.name}, " + ", ".join(f"{name} {getattr(settings, name)}" for name in names)


def save(path: Path, run: str, weights: Weights, losses: list[float], position: Position) -> None:
    """Write a checkpoint; raises CheckpointError."""
    header = checkpoint.header(run, None, position, {"losses": np.array(losses)})
    checkpoint.write(path, attrs.evolve(header, tensors=weights, step=len(losses)))


def resumed(path: Path, run: str) -> tuple[Weights, list[float], Position]:
    """What a checkpoint holds; raises CheckpointError for that of another run."""
    saved = checkpoint.read(path)
    if saved.fingerprint != run or saved.position is None:
        details = (f"it was made by   {saved.fingerprint}", f"and now it is    {run}")
        message = f"{path} is a checkpoint of another network, or of other options"
        raise sg.CheckpointError(message, details=details, hint=cli.ONLY_EPOCHS)
    return saved.tensors, saved.arrays["losses"].tolist(), saved.position


MODEL = training.Model("logistic_regression", __doc__, train)

if __name__ == "__main__":
    raise SystemExit(training.main(MODEL))
