"""Comparison of two values that should be one, as closely as a rewrite or a backend promises.

exact : Array -> Array -> Worst | None                bit for bit; of NaN the payload is free
close : Array -> Array -> allowed -> Worst | None     within a difference, NaN with NaN, inf with the same inf
"""

from typing import Any

import attrs
import numpy as np

from symgraph.ir import Array

RULE_ULP = 64.0  # of the largest magnitude involved: what reassociation may add, where a rule states no bound
KERNEL_ULP = 256.0  # what a kernel may differ from the interpreter by, in the same measure
WIDE = {"float32": 1e-6, "float64": 1e-12}  # how far two equal formulas may part in more precision, relative


@attrs.frozen
class Worst:
    """Where two values part most: the index, both elements, how far they may part, and how many elements do."""

    index: tuple[int, ...]
    expected: float | int | bool
    got: float | int | bool
    allowed: float
    count: int
    size: int

    def __str__(self) -> str:
        where = f"at {list(self.index)}: " if self.index else ""
        bound = f", {self.allowed:.3g} allowed" if self.allowed else ""
        both = (float(self.expected), float(self.got))
        apart = abs(both[0] - both[1])
        difference = f" (a difference of {apart:.3g}{bound})" if np.isfinite(apart) else ""
        share = f"{self.count} of {self.size} elements differ; worst " if self.size > 1 else ""
        return f"{share}{where}{self.got!r} for {self.expected!r}{difference}"


def epsilon(dtype: Any) -> float:
    """The spacing of floats at 1; 0 for other dtypes.

    >>> epsilon(np.dtype("float32")) == 2.0**-23, epsilon(np.dtype("int64"))
    (True, 0.0)
    """
    return float(np.finfo(dtype).eps) if np.dtype(dtype).kind == "f" else 0.0


def exact(expected: Array, got: Array) -> Worst | None:
    """Where two arrays are not the same bits; 0.0 and -0.0 differ, and NaN equals NaN.

    >>> exact(np.array([0.0, 1.0]), np.array([-0.0, 1.0])).index
    (0,)
    >>> exact(np.array([np.nan]), np.array([np.nan])) is None
    True
    """
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return _unlike(expected, got)
    with np.errstate(all="ignore"):
        wrong = expected != got
        if expected.dtype.kind == "f":
            wrong |= np.signbit(expected) != np.signbit(got)
            wrong &= ~(np.isnan(expected) & np.isnan(got))
    return _worst(expected, got, wrong, 0.0)


def close(
    expected: Array,
    got: Array,
    allowed: float,
    mended: bool = False,
    anything: bool = False,
    truth: Array | None = None,
) -> Worst | None:
    """Where two arrays differ by more than `allowed`, or in what is not finite.

    With `mended`, what was not finite may be anything; with `anything`, only what is finite in both is compared. A
    `truth` of more precision allows eight times the error that the expected one has itself. What is smaller than the
    smallest normal number is no difference.

    >>> print(close(np.array([1.0, 2.0]), np.array([1.0, 2.5]), 1e-3))
    1 of 2 elements differ; worst at [1]: 2.5 for 2.0 (a difference of 0.5, 0.001 allowed)
    """
    if expected.shape != got.shape:
        return _unlike(expected, got)
    if expected.dtype.kind != "f" or got.dtype.kind != "f":
        return exact(expected, got.astype(expected.dtype))
    with np.errstate(all="ignore"):
        if truth is not None and truth.shape == expected.shape:
            error = np.abs(np.asarray(truth - expected, np.float64))
            allowed += 8 * float(np.max(error, initial=0, where=np.isfinite(error)))
        allowed += float(np.finfo(got.dtype).tiny)
        both = np.isfinite(expected) & np.isfinite(got)
        wrong = both & (np.abs(got - expected) > allowed)
        same = (np.isnan(expected) & np.isnan(got)) | (expected == got)
        odd = ~both & ~same
        odd &= np.isfinite(expected) if mended else ~_nearly(expected, got)
    return _worst(expected, got, wrong if anything else wrong | odd, allowed)


def _nearly(expected: Array, got: Array) -> Any:
    """Where one of two overflowed and the other is about to."""
    narrow = (np.finfo(a.dtype).max for a in (expected, got) if a.dtype != np.longdouble)
    most = float(min(narrow, default=np.inf)) / 2
    finite = np.where(np.isfinite(expected), expected, got)
    infinite = np.where(np.isfinite(expected), got, expected)
    return np.isinf(infinite) & (np.abs(finite) > most) & (np.sign(finite) == np.sign(infinite))


def _worst(expected: Array, got: Array, wrong: Any, allowed: float) -> Worst | None:
    count = int(np.count_nonzero(wrong))
    if not count:
        return None
    with np.errstate(all="ignore"):
        apart = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    apart = np.where(np.isnan(apart), np.inf, apart)
    place = int(np.argmax(np.where(wrong, apart, -1.0)))
    index = tuple(int(i) for i in np.unravel_index(place, expected.shape))
    return Worst(index, _item(expected, index), _item(got, index), allowed, count, expected.size)


def _item(array: Array, index: tuple[int, ...]) -> Any:
    item = array[index].item()
    return float(item) if array.dtype == np.longdouble else item


def _unlike(expected: Array, got: Array) -> Worst:
    """Another shape or dtype: every element differs."""
    first = [array.reshape(-1)[0].item() if array.size else 0 for array in (expected, got)]
    return Worst((), first[0], first[1], 0.0, max(expected.size, 1), max(expected.size, 1))
