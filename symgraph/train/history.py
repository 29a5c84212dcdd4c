"""What came of training: a row an epoch, and the loss of each step."""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import Any, TypeAlias

import attrs

from symgraph.errors import DataError

Row: TypeAlias = Mapping[str, Any]  # name -> number, or nested lists of numbers for a metric that is an array


def _rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(dict(row) for row in rows)


def _losses(losses: Iterable[float]) -> tuple[float, ...]:
    return tuple(losses)


@attrs.frozen(repr=False)
class History:
    """What came of training: `rows` holds a mapping for each epoch, `losses` the loss of each step.

    A row has `epoch` (counted from 1), `step` (updates since training began), the mean of each output over the
    epoch's examples, the metrics, `val_` and a name for what was found on the validation data, `learning_rate`
    where it is known, `examples` and `seconds`. The loss of a step is that before its update. What came before a
    resumption is part of both. `stopped` says why training ended before its last epoch, `interrupted` that Ctrl-C
    ended it.

    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}], losses=(0.6, 0.4, 0.3, 0.2))
    >>> history["loss"], history.best("loss")["epoch"], len(history)
    ((0.5, 0.25), 2, 2)
    >>> print(history)
    epoch  loss
        1   0.5
        2  0.25
    """

    rows: tuple[Row, ...] = attrs.field(converter=_rows, default=())
    losses: tuple[float, ...] = attrs.field(converter=_losses, default=())
    interrupted: bool = False
    stopped: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        """The values of a column, one an epoch; raises DataError for an unknown name."""
        if name not in self.names:
            raise DataError(
                f"the history has no column {name!r}",
                hint=f"It has {', '.join(self.names) or 'none: no epoch was finished'}.",
            )
        return tuple(row.get(name) for row in self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def seconds(self) -> float:
        """The time of all epochs, in seconds, validation included."""
        return float(sum(row.get("seconds", 0.0) for row in self.rows))

    def best(self, name: str, mode: str = "min") -> Row:
        """The row with the smallest value of a column, with mode "max" the largest; the first of equal ones.

        Raises DataError for an unknown name, and where no epoch was finished.
        """
        if mode not in ("min", "max"):
            raise DataError(f'mode is "min" or "max", not {mode!r}')
        known = [row for row, value in zip(self.rows, self[name], strict=True) if _is_number(value)]
        if not known:
            raise DataError(f"the column {name!r} holds no number")
        return (min if mode == "min" else max)(known, key=lambda row: float(row[name]))

    def to_dict(self) -> dict[str, Any]:
        """The columns by name, and `losses`: lists of plain numbers.

        >>> History([{"epoch": 1, "loss": 0.5}], (0.6, 0.4)).to_dict()
        {'epoch': [1], 'loss': [0.5], 'losses': [0.6, 0.4]}
        """
        return {**{name: list(self[name]) for name in self.names}, "losses": list(self.losses)}

    def table(self) -> str:
        """The rows as aligned text; a metric that is an array is left out."""
        names = [name for name in self.names if not any(isinstance(v, list) for v in self[name])]
        cells = [names, *([_cell(row.get(name)) for name in names] for row in self.rows)]
        widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in cells
        )

    def __str__(self) -> str:
        ending = ("interrupted",) if self.interrupted else (self.stopped,) if self.stopped else ()
        return "\n".join((self.table(), *ending)) if self.rows else "no epoch was finished"

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name}={_cell(value)}" for name, value in (self.rows[-1] if self.rows else {}).items()
        )
        return f"<History of {len(self.rows)} epochs, {len(self.losses)} steps{': ' + last if last else ''}>"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isnan(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
