"""What curves are drawn of: histories, and mappings of names to values, as arrays by the names of runs.

runs_of : value -> {run: {name: (x, y)}}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symgraph.errors import DataError
from symgraph.ir import Array
from symgraph.train.answers import read_numbers
from symgraph.train.history import History
from symgraph.values import shown

EACH_STEP = "loss of each step"
_NO_CURVES = frozenset({"epoch", "step", "examples", "seconds", "learning_rate"})  # columns of a history
_VALIDATION = ("validation_", "val_", "test_")


def members(value: Any) -> list[Any]:
    """The values of a mapping, none of what is no mapping."""
    return list(value.values()) if isinstance(value, Mapping) else []


def _columns_of(history: History) -> dict[str, Any]:
    """The curves of a history by epoch, and its losses by step, as parts of an epoch."""
    epochs = [row.get("epoch", k + 1) for k, row in enumerate(history.rows)]
    found: dict[str, Any] = {}
    if history.losses:
        steps = [row.get("step", len(history.losses)) for row in history.rows]
        ends = ([0, *steps], [0, *epochs]) if steps else ([0, len(history.losses)], [0, 1])
        places = np.interp(np.arange(1, len(history.losses) + 1), *ends)
        found[EACH_STEP] = (places, np.asarray(history.losses, np.float64))
    for name in history.names:
        values = history[name]
        if name not in _NO_CURVES and all(
            value is None or isinstance(value, int | float) for value in values
        ):
            found[name] = (np.asarray(epochs, np.float64), _gaps(name, values))
    return found


def quantity_of(name: str) -> str:
    """What a curve is of: its name without the word for validation."""
    if name == EACH_STEP:
        return "loss"
    for prefix in _VALIDATION:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def runs_of(values: Any) -> dict[str, dict[str, tuple[Array, Array]]]:
    """The curves of each run, by the run's name, "" where there is one without a name."""
    if isinstance(values, History):
        values = _columns_of(values)
    if not isinstance(values, Mapping):
        raise DataError(
            f"curves takes a history, or a mapping of names to values, and this is {shown(values)}",
            hint='Write curves({"loss": losses}).',
        )
    runs: dict[str, dict[str, tuple[Array, Array]]] = {}
    for name, value in values.items():
        inner = _columns_of(value) if isinstance(value, History) else value
        if isinstance(inner, Mapping):
            runs[str(name)] = {str(key): _curve(f"{name}, {key}", item) for key, item in inner.items()}
        else:
            runs.setdefault("", {})[str(name)] = _curve(str(name), inner)
    return runs


def _curve(name: str, value: Any) -> tuple[Array, Array]:
    if isinstance(value, tuple) and len(value) == 2 and all(np.ndim(part) == 1 for part in value):
        x, y = (_gaps(f"{name}, {axis}", part) for axis, part in zip("xy", value, strict=True))
    else:
        y = _gaps(name, value)
        x = np.arange(1, len(y) + 1) if y.ndim else y
    if y.ndim != 1 or x.shape != y.shape:
        raise DataError(
            f"{name} is no curve: it has the shape {list(y.shape)}, and a curve is a list of numbers",
            hint="Give [n] values, or a pair of arrays (x, y) of one length.",
        )
    return x, y


def _gaps(name: str, value: Any) -> Array:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = [np.nan if item is None else item for item in value]
    return read_numbers("curves", name, value, finite=False)
