"""Logs of training that other programs read: CSV files, and events for TensorBoard."""

import csv
import io
import os
from collections.abc import Sequence
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
        try:
            with self.path.open(mode, encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise DataError(f"the log {self.path} cannot be written: {error.strerror or error}") from error


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
            on_step=_log_step,
            on_epoch=_log_epoch,
            close=lambda writer: writer.close(),
            every=self.every,
        )

    def _start(self, saved: Any, progress: Progress, session: Session) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise DataError(
                "logs for TensorBoard need the package tensorboardX, which is not installed",
                hint='Install it with: pip install -e ".[train]"',
            ) from None
        check_folder("the log", self.folder)
        return SummaryWriter(str(self.folder), purge_step=progress.step + 1 if progress.step else None)


def _log_step(writer: Any, progress: Progress, session: Session) -> Any:
    writer.add_scalar("step/loss", progress.loss, progress.step)
    return writer


def _log_epoch(writer: Any, progress: Progress, session: Session) -> Any:
    for name, value in progress.row.items():
        if isinstance(value, int | float) and name not in ("epoch", "step"):
            writer.add_scalar(f"epoch/{name}", value, progress.step)
    writer.flush()
    return writer
