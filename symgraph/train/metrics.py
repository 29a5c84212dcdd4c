"""Metrics: folds over batches, in NumPy on the host, exact whatever the batches' sizes.

Metric  inputs, start : () -> State, add : State -> arrays -> State, merge : State -> State -> State,
        result : State -> number | array

A state is a mapping of numbers and arrays. It goes through JSON and back (arrays as lists), and states of parts of
the data merge into that of the whole: counts are whole numbers, so no order and no batch size changes a result.

Scores are what a network gives: [n, k] (logits or probabilities of k classes), or [n] or [n, 1] for two classes. One
score is compared with `threshold`: 0 for logits, which is the default, and 0.5 for probabilities. Whole numbers and
bools in the place of scores are taken for the classes that were predicted. The truth is class numbers [n] or [n, 1],
or one-hot rows [n, k]. With k columns all k classes count, also those that never occur.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import attrs
import numpy as np

from symgraph.errors import DataError, ShapeError
from symgraph.ir import Array
from symgraph.ops.base import as_float
from symgraph.train.answers import ranked, read_classes, read_labels, read_numbers, read_scores
from symgraph.train.ranking import area_under_curve, average_precision_of, gathered, pushed
from symgraph.values import shown

__all__ = [
    "Average",
    "Metric",
    "Normalise",
    "State",
    "accuracy",
    "auc",
    "average_precision",
    "binary_accuracy",
    "confusion_matrix",
    "f1",
    "mean",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "recall",
    "top_k_accuracy",
]


def __dir__() -> list[str]:
    return __all__


State: TypeAlias = Mapping[str, Any]
Average: TypeAlias = Literal["binary", "macro", "micro", "weighted", "each"]
Normalise: TypeAlias = Literal["truth", "predicted", "all"]


@attrs.frozen
class Metric:
    """A fold over batches: `start()`, then `add(state, *arrays)` for each batch, then `result(state)`.

    `inputs` names the outputs of the graph or the feeds whose arrays `add` takes, in that order. `merge` joins the
    states of two parts of the data. Called with arrays, a metric gives the result on that one batch.

    >>> right = accuracy("logits", "y")
    >>> state = right.add(right.start(), [[0.1, 0.9], [0.8, 0.2]], [1, 1])
    >>> state = right.add(state, [[0.3, 0.7]], [1])
    >>> state, round(right.result(state), 4)
    ({'right': 2, 'count': 3}, 0.6667)
    >>> right([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """

    name: str
    inputs: tuple[str, ...]
    start: Callable[[], State] = attrs.field(repr=False)
    add: Callable[..., State] = attrs.field(repr=False)
    merge: Callable[[State, State], State] = attrs.field(repr=False)
    result: Callable[[State], Any] = attrs.field(repr=False)

    def __call__(self, *arrays: Any) -> Any:
        """The result on one batch."""
        if len(arrays) != len(self.inputs):
            raise DataError(
                f"{self.name} takes {' and '.join(self.inputs)}, and was given {len(arrays)} arrays",
                hint="Give an array for each, in this order.",
            )
        return self.result(self.add(self.start(), *arrays))


def _no_examples(name: str) -> DataError:
    return DataError(
        f"{name} of no examples is not defined",
        hint="Add a batch with at least one example before the result.",
    )


# Shares: something counted, of all that was counted.


def _share(name: str, inputs: tuple[str, ...], of: Callable[..., tuple[Any, int]], counted: str) -> Metric:
    """The metric that sums what `of` a batch gives, and divides by the sum of its counts."""

    def add(state: State, *arrays: Any) -> State:
        amount, count = of(*arrays)
        return {counted: state[counted] + amount, "count": state["count"] + count}

    def merge(a: State, b: State) -> State:
        return {counted: a[counted] + b[counted], "count": a["count"] + b["count"]}

    def result(state: State) -> float:
        if not state["count"]:
            raise _no_examples(name)
        return float(state[counted] / state["count"])

    zero = 0 if counted == "right" else 0.0
    return Metric(name, inputs, lambda: {counted: zero, "count": 0}, add, merge, result)


def accuracy(scores: str = "logits", truth: str = "y", threshold: float = 0.0) -> Metric:
    """The share of examples whose class is predicted: the largest of k scores (the first of equal ones), or one
    score above `threshold` (0 for logits, 0.5 for probabilities).

    Arrays: scores [n, k], [n, 1] or [n]; truth [n], [n, 1] or one-hot [n, k] (see the module). Raises ShapeError for
    shapes that do not fit, DataError for labels out of range, for NaN among the scores, and for no examples.

    >>> accuracy()([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]], [0, 1, 1])
    0.6666666666666666
    >>> accuracy(threshold=0.5)([0.2, 0.7], [[0.0], [1.0]])
    1.0
    """
    return _accuracy("accuracy", scores, truth, threshold, only_two=False)


def binary_accuracy(scores: str = "logits", truth: str = "y", threshold: float = 0.0) -> Metric:
    """The share of examples on whose right side of `threshold` the score lies; of all entries where an example has
    several yes-or-no answers.

    Arrays: scores and truth of one shape ([n] and [n, 1] also fit), truth 0 or 1. The threshold is 0 for logits, 0.5
    for probabilities. Raises as `accuracy` does.

    >>> binary_accuracy()([[-1.0, 2.0], [3.0, 4.0]], [[0, 1], [0, 1]])
    0.75
    """
    return _accuracy("binary_accuracy", scores, truth, threshold, only_two=True)


def _accuracy(name: str, scores: str, truth: str, threshold: float, only_two: bool) -> Metric:
    read = partial(read_classes, name, (scores, truth), _threshold(name, threshold), only_two)

    def right(found: Any, labels: Any) -> tuple[int, int]:
        predicted, true, _ = read(found, labels)
        return int(np.count_nonzero(predicted == true)), len(true)

    return _share(name, (scores, truth), right, "right")


def top_k_accuracy(scores: str = "logits", truth: str = "y", k: int = 5) -> Metric:
    """The share of examples whose class is among the k that score highest; of equal scores the first class wins, so
    with k=1 it is `accuracy`.

    Arrays: scores [n, c], truth [n], [n, 1] or one-hot [n, c]. Raises as `accuracy` does, and DataError where k is no
    whole number from 1.

    >>> top_k_accuracy(k=2)([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [1, 0])
    0.5
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise DataError(
            f"top_k_accuracy: k is a whole number from 1, not {shown(k)}", hint="Write such as k=5."
        )

    def right(found: Any, labels: Any) -> tuple[int, int]:
        table = read_scores("top_k_accuracy", scores, found)
        if table.shape[1] < 2:
            raise ShapeError(
                f"top_k_accuracy: {scores} has one score an example, and the best k are chosen among several",
                hint="Use accuracy or binary_accuracy.",
            )
        true = read_labels("top_k_accuracy", truth, labels, len(table), table.shape[1])
        return int(np.count_nonzero(ranked(table, true) < k)), len(true)

    return _share("top_k_accuracy", (scores, truth), right, "right")


def mean(values: str = "loss", per: str | None = None) -> Metric:
    """The mean of what a graph gives for each example, such as its loss.

    Where the graph gives one number for a batch, the mean of its examples, that number counts as often as the batch
    has examples: `per` names an input (a feed) whose length tells how many. So the mean over all examples comes out,
    also with a last batch that is smaller. NaN and infinity go through. Raises DataError for one number without
    `per`, and for no examples.

    >>> mean("losses")([1.0, 2.0, 6.0])
    3.0
    >>> loss = mean("loss", per="x")
    >>> state = loss.add(loss.start(), 2.0, [[0.0], [0.0], [0.0]])
    >>> loss.result(loss.add(state, 6.0, [[0.0]]))
    3.0
    """

    def total(found: Any, like: Any = None) -> tuple[float, int]:
        array = read_numbers("mean", values, found, finite=False)
        if array.ndim:
            with np.errstate(invalid="ignore", over="ignore"):
                return float(array.sum()), array.size
        if like is None:
            raise DataError(
                f"mean: {values} is one number for a batch, and batches may differ in their number of examples",
                hint=f'Name a feed that has a row an example: mean("{values}", per="x").',
            )
        count = len(like)
        return (float(array) * count if count else 0.0), count  # the mean of an empty batch is NaN

    return _share("mean", (values,) if per is None else (values, per), total, "sum")


def mean_squared_error(predicted: str = "predicted", truth: str = "y") -> Metric:
    """The mean of (predicted - truth)² over all examples and outputs.

    Arrays of one shape; [n] and [n, 1] also fit. Raises ShapeError for others, DataError for NaN or infinity and for
    no examples.

    >>> mean_squared_error()([1.0, 2.0], [[1.0], [4.0]])
    2.0
    """
    return _error("mean_squared_error", predicted, truth, np.square)


def mean_absolute_error(predicted: str = "predicted", truth: str = "y") -> Metric:
    """The mean of |predicted - truth| over all examples and outputs; arrays and errors as of `mean_squared_error`.

    >>> mean_absolute_error()([1.0, 2.0], [[1.0], [4.0]])
    1.0
    """
    return _error("mean_absolute_error", predicted, truth, np.abs)


def _error(name: str, predicted: str, truth: str, of: Callable[[Array], Array]) -> Metric:
    def total(found: Any, wanted: Any) -> tuple[float, int]:
        a = read_numbers(name, predicted, found)
        b = read_numbers(name, truth, wanted, like=(predicted, a))
        return float(of(a - b).sum()), a.size

    return _share(name, (predicted, truth), total, "sum")


# What is read off the confusion matrix.

_MOST_CLASSES = 10_000  # of which a matrix takes 0.8 GB


def _threshold(name: str, value: object) -> float:
    number = as_float(value)
    if math.isnan(number):
        raise DataError(
            f"{name}: the threshold is a number, not {shown(value)}",
            hint="Write 0 for logits, 0.5 for probabilities.",
        )
    return number


def _of_matrix(
    name: str,
    scores: str,
    truth: str,
    threshold: float,
    result: Callable[[Array], Any],
    classes: int | None = None,
) -> Metric:
    """The metric whose state is the matrix of counts, truth by prediction, and whose result is a function of it."""
    if classes is not None and (
        isinstance(classes, bool) or not isinstance(classes, int) or not 2 <= classes <= _MOST_CLASSES
    ):
        raise DataError(
            f"{name}: classes is a whole number from 2 to {_MOST_CLASSES}, not {shown(classes)}",
            hint="Write such as classes=10, or leave it out.",
        )
    least = classes or 0
    read = partial(read_classes, name, (scores, truth), _threshold(name, threshold), False, classes=classes)

    def start() -> State:
        return {"matrix": np.zeros((least, least), np.int64)}

    def add(state: State, found: Any, labels: Any) -> State:
        predicted, true, k = read(found, labels)
        if k > _MOST_CLASSES:
            raise DataError(
                f"{name}: there is a class {k - 1}, and all pairs of up to {_MOST_CLASSES} classes are counted",
                hint="Number the classes from 0 without gaps.",
            )
        counts = np.bincount(true * k + predicted, minlength=k * k).reshape(k, k)
        return merge(state, {"matrix": counts})

    def merge(a: State, b: State) -> State:
        first, second = (_square(state["matrix"]) for state in (a, b))
        k = max(len(first), len(second))
        return {"matrix": _padded(first, k) + _padded(second, k)}

    def finish(state: State) -> Any:
        matrix = _square(state["matrix"])
        if not matrix.any():
            raise _no_examples(name)
        return result(matrix)

    return Metric(name, (scores, truth), start, add, merge, finish)


def _square(value: Any) -> Array:
    """The matrix of a state, which may have been through JSON, where no rows are an empty list."""
    matrix = np.asarray(value, np.int64)
    return matrix if matrix.ndim == 2 else np.zeros((0, 0), np.int64)


def _padded(matrix: Array, k: int) -> Array:
    return np.pad(matrix, (0, k - len(matrix)))


def confusion_matrix(
    scores: str = "logits",
    truth: str = "y",
    threshold: float = 0.0,
    normalise: Normalise | None = None,
    classes: int | None = None,
) -> Metric:
    """How often each class (row) was taken for each class (column): int64 [k, k].

    With `normalise` float64: the shares of a row ("truth"), of a column ("predicted"), or of all; a row or column
    without examples is 0. `classes` is the number of classes where predictions are class numbers; without it, it is
    one more than the largest number seen. Arrays and errors as of `accuracy`.

    >>> confusion_matrix()([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]], [0, 1, 1])
    array([[1, 0],
           [1, 1]])
    """
    if normalise is not None and normalise not in get_args(Normalise):
        raise _unknown("confusion_matrix", "normalise", normalise, get_args(Normalise))

    def result(matrix: Array) -> Array:
        if normalise is None:
            return matrix
        axis = {"truth": 1, "predicted": 0, "all": None}[normalise]
        return _divided(matrix, matrix.sum(axis=axis, keepdims=True), 0.0)

    return _of_matrix("confusion_matrix", scores, truth, threshold, result, classes)


def precision(
    scores: str = "logits",
    truth: str = "y",
    average: Average = "binary",
    threshold: float = 0.0,
    zero_division: float = 0.0,
    classes: int | None = None,
) -> Metric:
    """The share of the examples predicted to be of a class that are: tp / (tp + fp).

    `average`: "binary" for class 1 of two; "macro" for the mean over classes, "weighted" for that weighted by their
    examples, "micro" over all answers; "each" for float64 [k]. Where nothing was predicted to be of a class, its value
    is `zero_division` (0, 1, or NaN, which averages leave out). All is as scikit-learn's, with all k classes as its
    `labels`. Arrays and errors as of `accuracy`, and DataError where "binary" meets more than two classes.

    >>> precision()([3.0, 1.0, -2.0, 4.0], [1, 0, 1, 1])
    0.6666666666666666
    """
    return _rate("precision", scores, truth, average, threshold, zero_division, classes)


def recall(
    scores: str = "logits",
    truth: str = "y",
    average: Average = "binary",
    threshold: float = 0.0,
    zero_division: float = 0.0,
    classes: int | None = None,
) -> Metric:
    """The share of the examples of a class that are predicted to be: tp / (tp + fn); the rest as of `precision`.

    >>> recall(average="each")([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]], [0, 1, 1])
    array([1. , 0.5])
    """
    return _rate("recall", scores, truth, average, threshold, zero_division, classes)


def f1(
    scores: str = "logits",
    truth: str = "y",
    average: Average = "binary",
    threshold: float = 0.0,
    zero_division: float = 0.0,
    classes: int | None = None,
) -> Metric:
    """The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn); the rest as of `precision`.

    >>> f1(average="macro")([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]], [0, 1, 1])
    0.6666666666666666
    """
    return _rate("f1", scores, truth, average, threshold, zero_division, classes)


def _rate(
    name: str,
    scores: str,
    truth: str,
    average: Average,
    threshold: float,
    zero_division: float,
    classes: int | None,
) -> Metric:
    if average not in get_args(Average):
        raise _unknown(name, "average", average, get_args(Average))
    if not (zero_division in (0, 1) or zero_division != zero_division):
        raise DataError(
            f"{name}: zero_division is 0, 1 or NaN, not {shown(zero_division)}", hint="Write 0.0."
        )
    result = partial(_averaged, name, average, zero_division)
    return _of_matrix(name, scores, truth, threshold, result, classes)


def _unknown(name: str, option: str, value: Any, known: tuple[str, ...]) -> DataError:
    return DataError(f"{name}: there is no {option} {shown(value)}", hint=f"Use one of {', '.join(known)}.")


def _averaged(name: str, average: Average, zero_division: float, matrix: Array) -> Any:
    if average == "binary" and len(matrix) > 2:
        raise DataError(
            f'{name}: "binary" is for two classes, and there are {len(matrix)}',
            hint='Write average="macro", or "micro", "weighted", "each".',
        )
    hits, true, predicted = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    if average == "micro":
        hits, true, predicted = (np.sum(part, keepdims=True) for part in (hits, true, predicted))
    above, below = {
        "precision": (hits, predicted),
        "recall": (hits, true),
        "f1": (2 * hits, true + predicted),
    }[name]
    rates = _divided(above, below, zero_division)
    if average == "each":
        return rates
    if average == "binary":
        return float(rates[1])
    counted = ~np.isnan(rates)
    weights = np.where(counted, true if average == "weighted" else 1, 0)
    if not counted.any() or not weights.any():
        return float(np.mean(rates[counted])) if counted.any() else float("nan")
    return float(np.sum(np.where(counted, rates, 0.0) * weights) / weights.sum())


def _divided(above: Array, below: Array, otherwise: float) -> Array:
    """The quotient, and `otherwise` where `below` is 0."""
    shape = np.broadcast_shapes(above.shape, below.shape)
    return np.divide(above, below, out=np.full(shape, otherwise, np.float64), where=below != 0)


# What needs all scores at once: they are kept.


def auc(scores: str = "logits", truth: str = "y") -> Metric:
    """The area under the ROC curve: the probability that an example of the class scores above one of another, equal
    scores counting half.

    With [n, k] scores of k > 2 classes it is the mean over the classes, each against the rest; with two columns it is
    that of the second. Scores are kept until the end, so the state grows with the data: 8 to 16 bytes an example and
    column. Arrays and errors as of `accuracy`, and DataError where a class or its rest has no example, for then there
    is nothing to compare. Source: Fawcett, An introduction to ROC analysis (2006).

    >>> auc()([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    return _of_scores("auc", scores, truth, area_under_curve)


def average_precision(scores: str = "logits", truth: str = "y") -> Metric:
    """The area under the curve of precision by recall, as the sum of its steps: Σ (Rᵢ - Rᵢ₋₁) Pᵢ over the thresholds.

    Several classes, the state and errors as of `auc`.

    >>> round(average_precision()([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
    0.8333
    """
    return _of_scores("average_precision", scores, truth, average_precision_of)


def _of_scores(name: str, scores: str, truth: str, of: Callable[[Array, Array], float]) -> Metric:
    def add(state: State, found: Any, labels: Any) -> State:
        table = read_scores(name, scores, found)
        true = read_labels(name, truth, labels, len(table), max(2, table.shape[1]))
        return pushed(state, table, true)

    def merge(a: State, b: State) -> State:
        table, true = gathered(b)
        return a if table is None else pushed(a, table, true)

    def result(state: State) -> float:
        table, true = gathered(state)
        if table is None or not len(true):
            raise _no_examples(name)
        if table.shape[1] <= 2:
            return of(table[:, -1], _both(name, 1, true == 1))
        return float(np.mean([of(table[:, c], _both(name, c, true == c)) for c in range(table.shape[1])]))

    return Metric(name, (scores, truth), dict, add, merge, result)


def _both(name: str, label: int, positive: Array) -> Array:
    if positive.all() or not positive.any():
        only = "all examples are" if positive.any() else "no example is"
        raise DataError(
            f"{name} compares examples of class {label} with the others, and {only} of class {label}",
            hint="Give data with examples of every class.",
        )
    return positive
