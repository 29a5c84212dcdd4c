"""What metrics take, checked: a network's scores, and the truth, as classes.

read_scores  : value -> [n, k] without NaN
read_labels  : value -> n -> k -> [n] of int64 below k
read_classes : scores -> truth -> (predicted [n], true [n], k)
read_numbers : value -> float64
"""

from typing import Any

import numpy as np

from symgraph.errors import DataError, ShapeError
from symgraph.ir import Array
from symgraph.values import Unfit, array_of


def _array(name: str, what: str, value: Any) -> Array:
    array = array_of(value)
    if isinstance(array, Unfit):
        kind = ShapeError if array.shape else DataError
        raise kind(f"{name}: {what} is {array.reason}", hint=array.hint)
    return array


def _shape(array: Array) -> str:
    return f"[{', '.join(map(str, array.shape))}]"


def read_scores(name: str, what: str, value: Any) -> Array:
    """The scores as a table with a row an example: [n] becomes [n, 1]; raises ShapeError, DataError for NaN."""
    scores = _array(name, what, value)
    if scores.ndim not in (1, 2) or (scores.ndim == 2 and scores.shape[1] == 0):
        raise ShapeError(
            f"{name}: {what} has the shape {_shape(scores)}, and scores are [n, classes] or [n]",
            hint="Put the examples on the first axis and the classes on the second.",
        )
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        row = int(np.flatnonzero(np.isnan(scores).reshape(len(scores), -1).any(axis=1))[0])
        raise DataError(
            f"{name}: {what} is NaN for example {row} of its batch",
            hint="Training may have diverged: use a smaller learning rate, and look at the data.",
        )
    return scores[:, None] if scores.ndim == 1 else scores


def read_labels(name: str, what: str, value: Any, n: int, k: int) -> Array:
    """The truth as class numbers [n], int64, from numbers [n] or [n, 1] or one-hot rows [n, k]; raises ShapeError,
    DataError.
    """
    labels = _array(name, what, value)
    if labels.shape not in ((n,), (n, 1), (n, k)):
        raise ShapeError(
            f"{name}: {what} has the shape {_shape(labels)}, and there are scores of {n} examples and {k} classes",
            hint=f"Give class numbers [{n}], or one-hot rows [{n}, {k}].",
        )
    if labels.shape == (n, k):
        return _hot(name, what, labels)
    return _whole(name, what, labels.reshape(n), k)


def _hot(name: str, what: str, rows: Array) -> Array:
    right = np.isin(rows, (0, 1)).all(axis=1) & (rows.sum(axis=1) == 1)
    if not right.all():
        row = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{name}: row {row} of {what} is not one-hot: it has one 1, and 0 elsewhere",
            hint=f"Give class numbers, such as {what}.argmax(axis=1).",
        )
    return np.asarray(rows.argmax(axis=1), np.int64)


def _whole(name: str, what: str, labels: Array, k: int | None) -> Array:
    """Class numbers as int64; raises DataError where one is not a whole number from 0 and below k."""
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.floor(labels))).all():
        row = int(np.flatnonzero(~(np.isfinite(labels) & (labels == np.floor(labels))))[0])
        raise DataError(
            f"{name}: {what} is {labels[row].item()} for example {row}, and a class is a whole number"
        )
    # Before the cast, which would wrap what is too large around.
    wrong = (labels < 0) | (labels >= (k if k is not None else np.iinfo(np.int32).max))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        known = f"the {k} classes are 0 to {k - 1}" if k is not None else "classes are numbers from 0"
        raise DataError(
            f"{name}: {what} is {labels[row].item():.0f} for example {row} of its batch, and {known}",
            hint="Number the classes from 0.",
        )
    return labels.astype(np.int64)


def read_classes(
    name: str,
    inputs: tuple[str, str],
    threshold: float,
    only_two: bool,
    scores: Any,
    truth: Any,
    classes: int | None = None,
) -> tuple[Array, Array, int]:
    """The predicted and the true classes, int64 [n], and their number k; with `only_two`, of all entries."""
    found = _array(name, inputs[0], scores)
    if only_two and found.ndim > 1:
        wanted = _array(name, inputs[1], truth)
        if wanted.size != found.size or (wanted.shape != found.shape and wanted.size != len(found)):
            raise ShapeError(
                f"{name}: {inputs[0]} has the shape {_shape(found)}, and {inputs[1]} has {_shape(wanted)}",
                hint="Give an answer, 0 or 1, for each score.",
            )
        found, truth = found.reshape(-1), wanted.reshape(-1)
    table = read_scores(name, inputs[0], found)
    n, k = table.shape
    if k > 1:
        return table.argmax(axis=1), read_labels(name, inputs[1], truth, n, k), max(k, classes or 0)
    if table.dtype.kind == "f" or only_two:
        return (
            (table[:, 0] > threshold).astype(np.int64),
            read_labels(name, inputs[1], truth, n, 2),
            max(2, classes or 0),
        )
    predicted = _whole(name, inputs[0], table[:, 0], classes)
    labels = _array(name, inputs[1], truth)
    if labels.shape not in ((n,), (n, 1)):
        raise ShapeError(
            f"{name}: {inputs[1]} has the shape {_shape(labels)}, and {n} classes were predicted",
            hint=f"Give class numbers [{n}].",
        )
    true = _whole(name, inputs[1], labels.reshape(n), classes)
    return predicted, true, classes or int(max(2, *(part.max(initial=0) + 1 for part in (predicted, true))))


def ranked(table: Array, true: Array) -> Array:
    """How many classes come before the true one of each row: those that score higher, and equal ones with a smaller
    number.
    """
    own = np.take_along_axis(table, true[:, None], axis=1)
    before = np.arange(table.shape[1]) < true[:, None]
    return np.asarray(((table > own) | ((table == own) & before)).sum(axis=1))


def read_numbers(
    name: str, what: str, value: Any, *, like: tuple[str, Array] | None = None, finite: bool = True
) -> Array:
    """Numbers as float64, in the shape of those that they are `like`; raises ShapeError, DataError."""
    array = _array(name, what, value).astype(np.float64)
    if finite and not np.isfinite(array).all():
        worst = array[~np.isfinite(array)][0]
        raise DataError(
            f"{name}: {what} holds {worst}",
            hint="Training may have diverged: use a smaller learning rate, and look at the data.",
        )
    if like is None or array.shape == like[1].shape:
        return array
    # [n] beside [n, 1] would broadcast to [n, n], and give a mean of what nobody compared.
    if {array.shape, like[1].shape} == {(array.size,), (array.size, 1)}:
        return array.reshape(like[1].shape)
    raise ShapeError(
        f"{name}: {like[0]} has the shape {_shape(like[1])}, and {what} has {_shape(array)}",
        hint="Give arrays of one shape.",
    )
