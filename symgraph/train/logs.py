"""Logs of training that other programs read: CSV files, and events for TensorBoard."""

import csv
import io
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from symgraph.errors import DataError
from symgraph.session import Session
from symgraph.train.callbacks import Callback, Progress, every_of
from symgraph.train.checkpoints import check_file, check_folder
from symgraph.train.history import Row
from symgraph.values import shown


def _path(value: Any) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise DataError(f"a log is written to a path, and {shown(value)} is none", hint='Write "log.csv".')
    return Path(value)


@attrs.frozen
class CsvLog:
    """A CSV file with a row an epoch, as in `History.rows`; it is written anew when training begins.

    A resumed run writes the rows that the checkpoint has, and goes on after them. A metric that is an array stands
    as the text of its nested list. Raises DataError before training where the file cannot be written.

    >>> CsvLog("runs/log.csv").path.name
    'log.csv'
    """

    path: Path = attrs.field(converter=_path)

    def callback(self) -> Callback:
        """The hooks."""
        return Callback("CsvLog", start=self._start, on_epoch=self._on_epoch)

    def _start(self, saved: Any, progress: Progress, session: Session) -> tuple[str, ...]:
        check_file("the log", self.path)
        columns = progress.columns
        self._write("w", [columns, *(_cells(row, columns) for row in progress.rows)])
        return columns

    def _on_epoch(self, columns: tuple[str, ...], progress: Progress, session: Session) -> tuple[str, ...]:
        self._write("a", [_cells(progress.row, columns)])
        return columns

    def _write(self, mode: str, lines: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        with _told(self.path), self.path.open(f"{mode}b", buffering=0) as file:
            before = file.tell()
            try:
                rest = memoryview(text.getvalue().encode())
                while rest:  # a disk that is almost full takes a part
                    rest = rest[file.write(rest) :]
            except OSError:  # half a row is none
                file.truncate(before)
                raise


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Raise DataError in place of an error of the system, which names the log."""
    try:
        yield
    except OSError as error:
        raise DataError(f"the log {path} cannot be written: {error.strerror or error}") from error


def _cells(row: Row, columns: Sequence[str]) -> list[Any]:
    return [row.get(name, "") for name in columns]


@attrs.frozen
class TensorBoard:
    """Event files in a folder for TensorBoard: the loss of each `every` steps, and each epoch's row.

    The loss of a step is `step/loss`, what an epoch found is `epoch/` and its name; all are placed at the number of
    steps. A resumed run hides what was logged after its checkpoint. Needs the package tensorboardX, of the extra
    `train`. Raises DataError before training where it is missing or the folder cannot be written to.

    >>> TensorBoard("runs/first", every=10).every
    10
    """

    folder: Path = attrs.field(converter=_path)
    every: int = attrs.field(default=1, converter=every_of)

    def callback(self) -> Callback:
        """The hooks."""
        return Callback(
            "TensorBoard",
            start=self._start,
            on_step=self._on_step,
            on_epoch=self._on_epoch,
            close=self._close,
            every=self.every,
        )

    def _start(self, saved: Any, progress: Progress, session: Session) -> Any:
        # Its SummaryWriter writes from a thread that ends in silence when the disk is full; this one raises.
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import SessionLog
        except ImportError:
            raise DataError(
                "logs for TensorBoard need the package tensorboardX, which is not installed",
                hint='Install it with: pip install "symgraph[train]"',
            ) from None
        check_folder("the log", self.folder)
        with _told(self.folder):
            writer = EventsWriter(str(self.folder / "events"), f".{progress.step:09d}.{secrets.token_hex(4)}")
            if progress.step:  # what was logged from here on is hidden
                begun = SessionLog(status=SessionLog.START)
                writer.write_event(_event(progress.step + 1, session_log=begun))
            writer.flush()
        return writer

    def _on_step(self, writer: Any, progress: Progress, session: Session) -> Any:
        with _told(self.folder):
            writer.write_event(_scalars(progress.step, {"step/loss": progress.loss}))
        return writer

    def _on_epoch(self, writer: Any, progress: Progress, session: Session) -> Any:
        known = {
            f"epoch/{name}": value
            for name, value in progress.row.items()
            if isinstance(value, int | float) and name not in ("epoch", "step")
        }
        with _told(self.folder):
            writer.write_event(_scalars(progress.step, known))
            writer.flush()
        return writer

    def _close(self, writer: Any) -> None:
        with _told(self.folder):
            writer.close()


def _scalars(step: int, values: Mapping[str, float]) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    parts = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    return _event(step, summary=Summary(value=parts))


def _event(step: int, **what: Any) -> Any:
    from tensorboardX.proto.event_pb2 import Event

    return Event(wall_time=time.time(), step=step, **what)
