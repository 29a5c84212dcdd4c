"""Callbacks: folds over the events of a training run.

    Callback = start : saved -> state;  on_step, on_epoch, on_end : state -> state | Stop;  save : state -> saved

A callback holds no state of its own: `fit` threads it from hook to hook, and what `save` gives of it goes into the
checkpoint, so that a run that was killed and resumed stops where it would have stopped.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Literal, Protocol, TypeAlias

import attrs
import numpy as np

from symgraph.errors import DataError
from symgraph.session import Session
from symgraph.train.history import Row
from symgraph.values import shown

Mode: TypeAlias = Literal["min", "max"]


@attrs.frozen
class Progress:
    """Where training is, to be read by callbacks.

    `step` updates are done of `steps` (None where a stream does not say), in `epoch` of `epochs`, counted from 1;
    `loss` is that of the last step, NaN before the first. `rows` are those of the epochs that are finished, and
    `columns` the names that each of them has.
    """

    step: int
    steps: int | None
    epoch: int
    epochs: int
    loss: float
    rows: tuple[Row, ...]
    columns: tuple[str, ...]

    @property
    def row(self) -> Row:
        """The row of the last finished epoch; empty before the first ends."""
        return self.rows[-1] if self.rows else {}


@attrs.frozen
class Stop:
    """What a hook returns to end training after this event: why, and the callback's state."""

    reason: str
    state: Any = None


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number; raises DataError.

    >>> whole("keep", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(
            f"{name} is a whole number from {least}, not {shown(value)}",
            hint=f"Write {name}={max(least, 1)}.",
        )
    return int(value)


def every_of(value: Any) -> int:
    """After how many steps something happens; raises DataError.

    >>> every_of(10)
    10
    """
    return whole("every", value)


Hook: TypeAlias = Callable[
    [Any, Progress, Session], Any
]  # (state, where training is, session) -> state | Stop


def _kept(state: Any, progress: Progress, session: Session) -> Any:
    return state


@attrs.frozen
class Callback:
    """The hooks of a callback; each takes its state, the progress and the session, and returns the next state.

    `start` is called once before the first step, with what was saved in the checkpoint that is resumed, else with
    None; what it raises is raised before anything is trained. `on_step` is called after each `every` steps,
    `on_epoch` after each epoch and its validation, `on_end` when training has come to its end, but not after an
    error or Ctrl-C. A hook that returns `Stop(reason, state)` ends training. `save` gives what a checkpoint holds of
    the state: numbers, texts, arrays, and tuples, lists and dicts of them. `close` is called in any case.

    >>> def halved(state, progress, session):
    ...     return Stop("the loss has halved") if progress.loss < 0.5 * state else state
    >>> Callback("halving", start=lambda saved, progress, session: 1.0, on_step=halved).name
    'halving'
    """

    name: str
    start: Hook = _kept
    on_step: Hook | None = None
    on_epoch: Hook | None = None
    on_end: Hook | None = None
    save: Callable[[Any], Any] | None = None
    close: Callable[[Any], None] | None = None
    every: int = attrs.field(default=1, converter=every_of)

    def callback(self) -> "Callback":
        """The same callback."""
        return self


class MakesCallback(Protocol):
    """A record of settings that makes the callback: `EarlyStopping`, `CsvLog` and the like."""

    def callback(self) -> Callback:
        """The hooks."""


def mode_of(value: Any) -> Mode:
    """`min` or `max`; raises DataError for anything else.

    >>> mode_of("max")
    'max'
    """
    if value not in ("min", "max"):
        raise DataError(
            f'mode is "min" or "max", not {shown(value)}',
            hint='Write mode="min" for a loss, "max" for an accuracy.',
        )
    found: Mode = value
    return found


def require_column(what: str, name: str, columns: Sequence[str]) -> None:
    """Raise DataError where the rows of the history will have no column of that name."""
    if name not in columns:
        hint = f"They have {', '.join(map(repr, columns))}."
        if name.startswith("val_") and not any(column.startswith("val_") for column in columns):
            hint = "Give fit the validation data: validation=..., or watch a name without val_."
        raise DataError(f"{what} watches {name!r}, which the rows of the history do not have", hint=hint)


def number_in(row: Row, name: str) -> float:
    """The number in a column of a row; raises DataError for a metric that is an array.

    >>> number_in({"loss": 0.5}, "loss")
    0.5
    """
    value = row[name]
    if not isinstance(value, int | float):
        raise DataError(
            f"{name!r} is watched, and it is {shown(value)}", hint="Watch a metric that is one number."
        )
    return float(value)


def better(value: float, best: float | None, mode: Mode, by: float = 0.0) -> bool:
    """Whether a value is better than the best by more than `by`; NaN never is.

    >>> better(0.4, 0.5, "min"), better(0.4, 0.5, "max"), better(float("nan"), None, "min"), better(0.4, None, "min")
    (True, False, False, True)
    """
    if value != value:
        return False
    if best is None:
        return True
    return value < best - by if mode == "min" else value > best + by


def _function(value: Any) -> Any:
    if value is not None and not callable(value):
        raise DataError(
            f"LambdaCallback is made of functions, and {shown(value)} is none",
            hint='Write on_epoch=lambda progress, session: print(progress.row["loss"]).',
        )
    return value


@attrs.frozen
class LambdaCallback:
    """A callback of functions that take the progress and the session, and need no state.

    `on_step` is called after each `every` steps. A function that returns `Stop("why")` ends training; any other
    result is let go.

    >>> LambdaCallback(on_epoch=lambda progress, session: print(progress.row["loss"])).every
    1
    """

    on_step: Callable[[Progress, Session], Any] | None = attrs.field(default=None, converter=_function)
    on_epoch: Callable[[Progress, Session], Any] | None = attrs.field(default=None, converter=_function)
    on_end: Callable[[Progress, Session], Any] | None = attrs.field(default=None, converter=_function)
    every: int = attrs.field(default=1, converter=every_of)

    def callback(self) -> Callback:
        """The hooks."""
        hooks = [None if f is None else _stateless(f) for f in (self.on_step, self.on_epoch, self.on_end)]
        return Callback(
            "LambdaCallback", on_step=hooks[0], on_epoch=hooks[1], on_end=hooks[2], every=self.every
        )


def _stateless(function: Callable[[Progress, Session], Any]) -> Hook:
    def hook(state: Any, progress: Progress, session: Session) -> Any:
        found = function(progress, session)
        return found if isinstance(found, Stop) else None

    return hook


def _patience(value: Any) -> int:
    return whole("patience", value)


def _delta(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise DataError(f"min_delta is a number from 0, not {shown(value)}", hint="Write min_delta=0.001.")
    return float(value)


@attrs.frozen
class EarlyStopping:
    """Stop when `monitor` has not become better by more than `min_delta` for `patience` epochs.

    `mode` says whether smaller ("min") or larger ("max") is better. With `restore_best` all variables are, at the
    end of training, as they were after the best epoch. Checkpoints hold the best values and the count.

    >>> EarlyStopping("val_accuracy", patience=5, mode="max").restore_best
    True
    """

    monitor: str = "val_loss"
    patience: int = attrs.field(default=3, converter=_patience)
    min_delta: float = attrs.field(default=0.0, converter=_delta)
    mode: Mode = attrs.field(default="min", converter=mode_of)
    restore_best: bool = True

    def callback(self) -> Callback:
        """The hooks."""
        return Callback(
            "EarlyStopping",
            start=self._start,
            on_epoch=self._on_epoch,
            on_end=self._on_end,
            save=lambda state: state,
        )

    def _start(self, saved: Any, progress: Progress, session: Session) -> Mapping[str, Any]:
        require_column("EarlyStopping", self.monitor, progress.columns)
        return {"best": None, "epoch": 0, "values": None} if saved is None else dict(saved)

    def _on_epoch(self, state: Mapping[str, Any], progress: Progress, session: Session) -> Any:
        value = number_in(progress.row, self.monitor)
        if better(value, state["best"], self.mode, self.min_delta):
            values = session.variables.snapshot() if self.restore_best else None
            return {"best": value, "epoch": progress.epoch, "values": values}
        if progress.epoch - state["epoch"] < self.patience:
            return state
        best = (
            "a number"
            if state["best"] is None
            else f"better than {state['best']:.4g} of epoch {state['epoch']}"
        )
        return Stop(f"stopped early: {self.monitor} was not {best} for {self.patience} epochs", state)

    def _on_end(self, state: Mapping[str, Any], progress: Progress, session: Session) -> Any:
        if state["values"] is not None and state["epoch"] != len(progress.rows):
            session.variables.assign(state["values"])
        return state
