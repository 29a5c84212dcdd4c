"""The records of a training run: what stays the same, where training is, and how fast."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Array
from symgraph.session import Session
from symgraph.train.callbacks import Callback, Progress
from symgraph.train.checkpoints import Checkpoints
from symgraph.train.evaluation import Measure
from symgraph.train.history import Row
from symgraph.train.progress import Speed


@attrs.frozen(eq=False)
class Known:
    """Where the variables were last known to be finite, and their values there: from here steps can be done again."""

    count: int  # steps done in this training
    index: int
    step: int  # of the session
    values: Mapping[str, Array]

    @classmethod
    def now(cls, session: Session, now: "Now") -> "Known":
        """A copy of the variables."""
        values = {name: np.asarray(value) for name, value in session.variables.snapshot().items()}
        return cls(now.step, now.index, session.step, values)


@attrs.define(eq=False)
class Now:
    """Where training is. `index` is the place in the epoch's data, counted from 0 as `epoch` is.

    `columns` are the values of each watched output, one a step, `counts` the examples of each step, `metrics` and
    `callbacks` states, `best` the best value of what checkpoints are kept by.
    """

    metrics: list[Any]
    columns: tuple[list[float], ...]
    callbacks: list[Any] = attrs.field(factory=list)
    epoch: int = 0
    index: int = 0
    counts: list[int] = attrs.field(factory=list)
    rows: tuple[Row, ...] = ()
    spent: float = 0.0  # seconds of the epoch under way, before a resumption
    best: float | None = None
    stopped: str = ""
    saved: tuple[int, int] | None = None  # the step and the epoch of the last checkpoint
    known: Known | None = None

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.counts)


@attrs.frozen(eq=False)
class Run:
    """What stays the same while training."""

    session: Session
    train: Measure
    validation: Measure | None
    epochs: int
    feeds: Mapping[str, Any]
    callbacks: tuple[Callback, ...]
    target: Path | Checkpoints | None
    every: int | None
    columns: tuple[str, ...]
    identity: Mapping[str, Any]
    watched: tuple[str, ...] = ()  # variables that are finite, and should stay so

    @property
    def steps(self) -> int | None:
        """How many steps all epochs have, where that is known."""
        per_epoch = self.train.source.steps
        return None if per_epoch is None else per_epoch * self.epochs

    def extras(self, step: int) -> tuple[Any, ...]:
        """What is fed beside the data at a step, counted from 1."""
        return tuple(value(step) if callable(value) else value for value in self.feeds.values())

    def progress(self, now: Now) -> Progress:
        """Where training is, for callbacks and displays."""
        losses = now.columns[0]
        epoch = min(now.epoch + 1, max(self.epochs, 1))
        return Progress(
            now.step, self.steps, epoch, self.epochs, losses[-1] if losses else nan, now.rows, self.columns
        )


@attrs.define
class Clock:
    """How fast this run is, without what came before a resumption."""

    counted: int  # steps whose examples are in `examples`
    examples: int = 0
    steps: int = 0
    training: float = 0.0  # seconds of finished stretches of steps
    begun: float = attrs.field(factory=perf_counter)

    def speed(self, run: Run, now: Now, since: float) -> Speed:
        """The speed, where the present stretch of steps began at `since`."""
        self.examples += sum(now.counts[self.counted :])
        self.steps += now.step - self.counted
        self.counted = now.step
        each = (perf_counter() - self.begun) / max(self.steps, 1)  # validation and callbacks included
        left = None if run.steps is None else each * (run.steps - now.step)
        return Speed(self.examples, self.training + perf_counter() - since, left)
