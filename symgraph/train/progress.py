"""What is shown while training: a bar on a terminal, plain lines elsewhere, or nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import inf
from time import perf_counter
from typing import Protocol, TextIO

import attrs

from symgraph.train.callbacks import Progress
from symgraph.train.history import Row

_BAR_SECONDS = 0.1  # between two pictures of the bar
_LINE_SECONDS = 10.0  # between two lines within an epoch
_DUMB = ("dumb", "unknown")  # terminals that cannot draw over a line
_LINES = 50  # of epochs, where no terminal shows a bar


@attrs.frozen
class Speed:
    """Examples trained on, and the seconds that it took, in this run without what came before a resumption."""

    examples: int
    seconds: float
    left: float | None  # seconds, None where the number of steps is not known

    @property
    def rate(self) -> float:
        """Examples per second."""
        return self.examples / self.seconds if self.seconds > 0 else 0.0


class Display(Protocol):
    """Shows training: `step` is asked for after `interval` seconds, `epoch` at the end of each."""

    @property
    def interval(self) -> float:
        """The least time between two calls of `step`, in seconds."""

    def step(self, now: Progress, speed: Speed) -> None:
        """Show the state within an epoch."""

    def epoch(self, now: Progress, speed: Speed) -> None:
        """Show a finished epoch."""


@attrs.frozen
class Silent:
    """Shows nothing."""

    interval: float = inf

    def step(self, now: Progress, speed: Speed) -> None:
        """Nothing."""

    def epoch(self, now: Progress, speed: Speed) -> None:
        """Nothing."""


@attrs.define
class Lines:
    """Plain lines: one an epoch, fewer where there are many, and one each ten seconds within it."""

    out: TextIO
    interval: float = _LINE_SECONDS
    _last: float = attrs.field(factory=perf_counter)

    def step(self, now: Progress, speed: Speed) -> None:
        """A line about the epoch under way."""
        self._print(f"{_where(now)}  loss {now.loss:.4g}  {about_speed(speed)}{about_left(speed.left)}")

    def epoch(self, now: Progress, speed: Speed) -> None:
        """A line about a finished epoch, if it is its turn."""
        each = -(-now.epochs // _LINES)
        if (
            now.epoch in (1, now.epochs)
            or now.epoch % each == 0
            or perf_counter() - self._last > self.interval
        ):
            self._print(finished(now, speed))

    def _print(self, line: str) -> None:
        self._last = perf_counter()
        try:
            print(line, file=self.out, flush=True)
        except UnicodeEncodeError:  # a name is no reason to end training
            print(ascii(line)[1:-1], file=self.out, flush=True)


@attrs.frozen
class Bar:
    """A bar of rich, and above it a line for each finished epoch, fewer where there are many."""

    _update: Callable[[Progress, Speed], None]
    _above: Callable[[str], None]
    interval: float = _BAR_SECONDS

    def step(self, now: Progress, speed: Speed) -> None:
        """Move the bar."""
        self._update(now, speed)

    def epoch(self, now: Progress, speed: Speed) -> None:
        """Move the bar, and write the epoch's line."""
        if now.epoch in (1, now.epochs) or now.epoch % -(-now.epochs // _LINES) == 0:
            self._above(finished(now, speed))
        self._update(now, speed)


def finished(now: Progress, speed: Speed) -> str:
    """The line of a finished epoch.

    >>> now = Progress(4, 8, 1, 2, 0.5, ({"epoch": 1, "step": 4, "loss": 0.5, "seconds": 1.5},), ())
    >>> finished(now, Speed(2000, 1.0, 1.5))
    'epoch 1/2  loss 0.5  2,000 examples/s  1.5 s'
    """
    return f"epoch {now.epoch}/{now.epochs}  {_values(now.row)}  {about_speed(speed)}  {_time(now.row['seconds'])}"


def _values(row: Row) -> str:
    skipped = ("epoch", "step", "examples", "seconds")
    known = {k: v for k, v in row.items() if k not in skipped and isinstance(v, int | float)}
    return "  ".join(f"{name} {value:.4g}" for name, value in known.items())


def _where(now: Progress) -> str:
    steps = f"/{now.steps}" if now.steps else ""
    return f"epoch {now.epoch}/{now.epochs}  step {now.step}{steps}"


def about_speed(speed: Speed) -> str:
    """How fast training is.

    >>> about_speed(Speed(12345, 2.0, None))
    '6,172 examples/s'
    """
    return f"{speed.rate:,.0f} examples/s"


def about_left(seconds: float | None) -> str:
    """How long it will still take, with two spaces before it; nothing where that is not known.

    >>> about_left(75.0), about_left(None)
    ('  1:15 left', '')
    """
    return "" if seconds is None else f"  {_time(seconds)} left"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def display(out: TextIO, quiet: bool) -> Iterator[Display]:
    """What shows training on `out`: a bar on a terminal, lines elsewhere, nothing if `quiet`."""
    if quiet:
        yield Silent()
    elif not out.isatty() or os.environ.get("TERM") in _DUMB or find_spec("rich") is None:
        yield Lines(out)
    else:
        with _bar(out) as bar:
            yield bar


@contextmanager
def _bar(out: TextIO) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.fields[where]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[about]}"),
    )
    # It is drawn when it is told to, not by a thread that takes turns with training.
    with RichProgress(*columns, console=Console(file=out), auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=None, where="", about="")

        def update(now: Progress, speed: Speed) -> None:
            bar.update(
                task,
                total=now.steps,
                completed=now.step,
                where=_where(now),
                about=f"loss {now.loss:.4g}  {about_speed(speed)}{about_left(speed.left)}",
                refresh=True,
            )

        yield Bar(update, lambda line: bar.console.print(line, markup=False, highlight=False, soft_wrap=True))
