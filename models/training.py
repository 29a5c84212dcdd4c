"""Training, as all the models do it: batches, steps, checkpoints, and the test at the end.

train : Trainable -> Task -> Result
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

import symgraph as sg
from symgraph.data import Dataset, Examples, Position, batches
from symgraph.train import checkpoint as files

Array: TypeAlias = npt.NDArray[Any]
PIXELS = 784
_TEST_BATCH = 1000


@attrs.frozen
class Task:
    """What is learned, from which data, in which batches.

    `classes` is 2 for the digit 0 against the rest, or 10. Of each batch of `batch_size` examples the first
    `used` are trained on, all where it is None; without `shuffle` they come in the order of the file.
    """

    model: str
    data: Dataset
    dtype: str = "float64"
    classes: int = 2
    batch_size: int = 1000
    used: int | None = None
    epochs: int = 1
    seed: int = 0
    shuffle: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same when training is resumed; epochs may be added."""
        names = ("model", "dtype", "classes", "batch_size", "used", "seed", "shuffle")
        return {"dataset": self.data.name, **{name: getattr(self, name) for name in names}}


@attrs.frozen
class Progress:
    """Where training is: `step` of `steps`, counted from 1, in `epoch` of `epochs`, and the batch's loss."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float


@attrs.frozen
class Result:
    """What came of training: the loss of each batch before its update, and the share of right answers.

    `seconds` is the time of training alone, `compile_seconds` that of making the graph and compiling it.
    `steps` counts the batches of this run, without those before a resumption.
    """

    model: str
    dataset: str
    train_loss: tuple[float, ...]
    test_accuracy: float
    seconds: float
    compile_seconds: float
    interrupted: bool = False
    steps: int = 0


class Trainable(Protocol):
    """A network with its weights: `step` learns from a batch and returns the loss before it."""

    @property
    def compile_seconds(self) -> float:
        """How long it took to make and compile."""

    @property
    def values(self) -> Mapping[str, Array]:
        """The weights by name."""

    def step(self, x: Array, y: Array) -> float:
        """Learn from a batch."""

    def logits(self, x: Array) -> Array:
        """The outputs, one row an example."""

    def save(self, path: str | Path, extra: Mapping[str, Any], position: Position) -> None:
        """Write a checkpoint; raises CheckpointError."""

    def restore(self, path: str | Path) -> files.Checkpoint:
        """Go on from a checkpoint; raises CheckpointError for that of another network."""


class GraphNetwork:
    """A graph with the outputs `loss` and `logits` and the update group `train`, in a session."""

    def __init__(self, declare: Callable[[], sg.Graph], *, backend: str, seed: int, batch: int) -> None:
        start = perf_counter()
        self._session = sg.Session(declare(), backend=backend, seed=seed)
        self._step = self._session.prepare("loss", ("x", "y"), update="train")
        self._logits = self._session.prepare("logits", ("x",))
        self._step.executable.bound({"batch": batch})
        self.compile_seconds = perf_counter() - start

    @property
    def values(self) -> Mapping[str, Array]:
        """The weights by name."""
        return self._session.variables

    def step(self, x: Array, y: Array) -> float:
        """Learn from a batch."""
        return float(self._step(x, y))

    def logits(self, x: Array) -> Array:
        """The outputs, one row an example."""
        found: Array = self._logits(x)
        return found

    def save(self, path: str | Path, extra: Mapping[str, Any], position: Position) -> None:
        """Write a checkpoint; raises CheckpointError."""
        self._session.save(path, extra=extra, position=position)

    def restore(self, path: str | Path) -> files.Checkpoint:
        """Go on from a checkpoint; raises CheckpointError for that of another network."""
        found: files.Checkpoint = self._session.restore(path)
        return found


Weights: TypeAlias = Mapping[str, Array]


class HandNetwork:
    """A network written in NumPy: functions of its weights, with the gradient by hand."""

    compile_seconds = 0.0

    def __init__(
        self,
        name: str,
        weights: Weights,
        step: Callable[[Weights, Array, Array], tuple[float, Weights]],
        logits: Callable[[Weights, Array], Array],
    ) -> None:
        self.values, self._advance, self._answer, self._count = weights, step, logits, 0
        types = ", ".join(f"{key}: {value.dtype}{list(value.shape)}" for key, value in weights.items())
        self._fingerprint = f"{name}, by hand: {types}"

    def step(self, x: Array, y: Array) -> float:
        """Learn from a batch."""
        loss, self.values = self._advance(self.values, x, y)
        self._count += 1
        return loss

    def logits(self, x: Array) -> Array:
        """The outputs, one row an example."""
        return self._answer(self.values, x)

    def save(self, path: str | Path, extra: Mapping[str, Any], position: Position) -> None:
        """Write a checkpoint; raises CheckpointError."""
        header = files.header(self._fingerprint, extra, position)
        files.write(path, attrs.evolve(header, tensors=self.values, step=self._count))

    def restore(self, path: str | Path) -> files.Checkpoint:
        """Go on from a checkpoint; raises CheckpointError for that of another network."""
        found = files.read(path)
        if found.fingerprint != self._fingerprint:
            raise sg.CheckpointError(
                f"{path} is a checkpoint of another network",
                hint="Resume it with the model and the options that it was made with.",
            )
        self.values, self._count = found.tensors, found.step
        return found


def features(images: Array, dtype: str) -> Array:
    """Images (n, 28, 28), uint8, as rows (n, 784) between 0 and 1.

    >>> features(np.full((2, 28, 28), 51, "uint8"), "float64")[0, :3]
    array([0.2, 0.2, 0.2])
    """
    return np.asarray(images.reshape(len(images), -1).astype(dtype) / np.array(255, dtype))


def targets(labels: Array, classes: int, dtype: str) -> Array:
    """Labels (n,) as a network takes them: (n, 1) that is 1 for the digit 0, or class numbers (n,), int64.

    >>> targets(np.array([5, 0, 4]), 2, "float64").ravel(), targets(np.array([5, 0, 4]), 10, "float64")
    (array([0., 1., 0.]), array([5, 0, 4]))
    """
    return (labels == 0).astype(dtype)[:, None] if classes == 2 else labels.astype("int64")


def right(logits: Array, labels: Array) -> Array:
    """Which answers are right: the sign of one logit tells the digit 0, the largest of many the class.

    >>> right(np.array([[1.0], [-2.0]]), np.array([0, 0])).tolist()
    [True, False]
    """
    if logits.shape[1] == 1:
        return np.asarray((logits[:, 0] > 0) == (labels == 0))
    return np.asarray(logits.argmax(axis=1) == labels)


def checked(data: Dataset) -> Dataset:
    """The same data; raises DataError where its images have not 784 pixels."""
    for part in (data.train, data.test):
        if part.x.shape[1:] != (28, 28) or not len(part):
            raise sg.DataError(
                f"the networks take images of 28x28 pixels, and these have the shape {part.x.shape}",
                source=None,
                hint="Give a folder with MNIST, or with other data of that form.",
            )
    return data


def answers(network: Trainable, task: Task) -> Array:
    """The network's logits for the test examples, one row an example."""
    stream = batches(task.data.test, _TEST_BATCH)
    return np.concatenate([network.logits(features(part.x, task.dtype)) for part in stream])


def accuracy(network: Trainable, task: Task) -> float:
    """The share of the test examples that the network answers rightly."""
    return float(right(answers(network, task), task.data.test.y).mean())


def train(
    network: Trainable,
    task: Task,
    *,
    resume: str | Path | None = None,
    checkpoint: str | Path | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Train a network, and test it.

    `resume` is a checkpoint to go on from, `checkpoint` the file that is replaced after each epoch and at
    the end; `stopped` is asked between steps, and ends training early. Losses of the steps before a
    resumption are part of the result. Raises CheckpointError, DataError.
    """
    losses, position = _resumed(network, task, resume)
    before = len(losses)
    stream = batches(
        task.data.train,
        task.batch_size,
        shuffle=task.shuffle,
        seed=task.seed,
        epochs=task.epochs,
        start=position,
        map=lambda batch: _prepared(batch, task),
    )
    start, interrupted = perf_counter(), False
    steps = stream.per_epoch * task.epochs
    with stream:
        while not interrupted and (batch := next(stream, None)) is not None:
            losses.append(network.step(*batch))
            step = len(losses)
            watch(Progress(step, steps, -(-step // stream.per_epoch), task.epochs, losses[-1]))
            interrupted = stopped()
            if checkpoint is not None and stream.position.index == 0 and not interrupted:
                network.save(checkpoint, _extra(task, losses), stream.position)
    if checkpoint is not None:
        network.save(checkpoint, _extra(task, losses), stream.position)
    seconds = perf_counter() - start
    return Result(
        task.model,
        task.data.name,
        tuple(losses),
        accuracy(network, task),
        seconds,
        network.compile_seconds,
        interrupted,
        len(losses) - before,
    )


def _prepared(batch: Examples, task: Task) -> tuple[Array, Array]:
    used = batch if task.used is None else batch[: task.used]
    return features(used.x, task.dtype), targets(used.y, task.classes, task.dtype)


def _extra(task: Task, losses: list[float]) -> dict[str, Any]:
    # JSON has no NaN and no infinity, and a network that diverged is saved all the same.
    return {"task": task.identity, "train_loss": [v if np.isfinite(v) else repr(v) for v in losses]}


def _resumed(network: Trainable, task: Task, resume: str | Path | None) -> tuple[list[float], Position]:
    if resume is None:
        return [], Position()
    try:
        found = network.restore(resume)
    except sg.CheckpointError as error:
        if (
            "strict=False" in error.hint
        ):  # an argument of the session, which these programs have no option for
            error.hint = (
                "Resume with the model and the options that it was made with; only --epochs may change."
            )
        raise
    saved, losses = found.extra.get("task"), found.extra.get("train_loss")
    if not isinstance(saved, dict) or not isinstance(losses, list) or found.position is None:
        raise sg.CheckpointError(f"{resume} was not saved by this program", source=None)
    for name, value in task.identity.items():
        if saved.get(name) != value:
            raise sg.CheckpointError(
                f"{resume} was made with {name.replace('_', ' ')} {saved.get(name)}, and now it is {value}",
                source=None,
                hint="Resume with the options that it was made with; only --epochs may change.",
            )
    return [float(value) for value in losses], found.position
