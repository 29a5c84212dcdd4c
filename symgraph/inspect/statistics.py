"""Statistics of an array: what a debugger shows of a value that is too large to print.

statistics : Array -> Statistics        linear in the elements; nothing is sampled unless it says so
"""

from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.ir import Array
from symgraph.types import SHORT_NAMES

Number: TypeAlias = int | float
Floats: TypeAlias = npt.NDArray[np.float64]

BINS = 32  # of a histogram, at most
SIDE = 64  # pixels of a picture, at most, in a row and in a column
SHOWN = 16  # the first values
NOT_FINITE = 255  # the byte of a pixel that stands for what is not finite
_WHITE = 254
_FAR = (
    500  # where the squares of float64 numbers of such an exponent of 2 overflow or vanish, they are scaled
)


@attrs.frozen
class Picture:
    """A matrix as grey pixels, row by row: 0 to 254 from `low` to `high`, 255 for what is not finite.

    `note` says which part of the array it is, and what a pixel stands for. Where nothing is finite `low` and `high`
    are 0; where all pixels are equal they are 127.
    """

    width: int
    height: int
    low: float
    high: float
    pixels: bytes = attrs.field(repr=False)
    note: str


@attrs.frozen
class Statistics:
    """What an array holds. `min`, `max`, `mean` and `deviation` (of the population) are of the finite elements.

    They are None where there is none. Of integers and truth values (0 and 1) all but mean and deviation are ints,
    exact for all of int64. `zeros` counts both signs. `counts[i]` elements lie from `edges[i]` to before
    `edges[i + 1]`; the last bin of floats has its upper edge too. `sample` has the first elements in C order.
    """

    shape: tuple[int, ...]
    dtype: str
    count: int
    nan: int
    posinf: int
    neginf: int
    zeros: int
    min: Number | None
    max: Number | None
    mean: float | None
    deviation: float | None
    edges: tuple[Number, ...] = attrs.field(repr=False)
    counts: tuple[int, ...] = attrs.field(repr=False)
    picture: Picture | None = attrs.field(repr=False)
    sample: tuple[Number, ...] = attrs.field(repr=False)

    @property
    def finite(self) -> bool:
        """Whether all elements are finite."""
        return not (self.nan or self.posinf or self.neginf)

    def __str__(self) -> str:
        """One line, as error messages show it; infinite elements count in min and max here.

        >>> print(statistics(np.array([1.0, np.nan, np.inf, 0.0], np.float32)))
        f32[4]  min 0  max inf  mean 0.5  1 nan, 1 inf, 1 zero
        """
        kind = f"{SHORT_NAMES.get(self.dtype, self.dtype)}[{','.join(map(str, self.shape))}]"
        if not self.count:
            return f"{kind}  empty"
        low = -np.inf if self.neginf else self.min if self.min is not None else np.inf
        high = np.inf if self.posinf else self.max if self.max is not None else -np.inf
        parts = [kind]
        if self.nan < self.count:
            parts += [f"min {_shown(low)}", f"max {_shown(high)}"]
        if self.mean is not None:
            parts.append(f"mean {_shown(self.mean)}")
        counted = ((self.nan, "nan"), (self.posinf, "inf"), (self.neginf, "-inf"))
        odd = [f"{n} {name}" for n, name in counted if n]
        if self.zeros:
            odd.append(f"{self.zeros} zero{'s' if self.zeros > 1 else ''}")
        return "  ".join([*parts, ", ".join(odd)] if odd else parts)


def statistics(array: npt.ArrayLike, picture: bool = True) -> Statistics:
    """What an array holds: counts of special values, extremes, mean, deviation, histogram, and a picture.

    `array` has any shape and a dtype of symgraph; a picture is made of what has an axis, unless `picture` is False.
    Sums are made in float64, scaled where they would overflow. Takes time linear in the elements.

    >>> s = statistics(np.array([[1, 2], [3, 4]]))
    >>> s.min, s.max, s.mean, s.counts
    (1, 4, 2.5, (1, 1, 1, 1))
    """
    given = np.asarray(array)
    flat = given.reshape(-1)
    if given.dtype.kind == "f":
        made = _of_floats(flat)
    else:
        made = _of_integers(
            flat.astype(np.int64) if given.dtype.kind == "b" else flat, given.dtype.kind == "b"
        )
    return Statistics(
        shape=given.shape,
        dtype=given.dtype.name,
        count=given.size,
        zeros=given.size - int(np.count_nonzero(flat)),
        picture=_picture(given) if picture else None,
        sample=tuple(flat[:SHOWN].tolist()),
        **made,
    )


def _of_floats(flat: Array) -> dict[str, Any]:
    bad = ~np.isfinite(flat)
    nan = int(np.count_nonzero(np.isnan(flat)))
    posinf = int(np.count_nonzero(flat == np.inf))
    neginf = int(np.count_nonzero(bad)) - nan - posinf
    values = (flat[~bad] if nan or posinf or neginf else flat).astype(np.float64, copy=False)
    counted = {"nan": nan, "posinf": posinf, "neginf": neginf}
    if not values.size:
        return {**counted, **_NOTHING}
    low, high = float(values.min()), float(values.max())
    power = _power(low, high)
    scaled = np.ldexp(values, -power) if power else values
    mean = min(max(float(np.ldexp(scaled.mean(), power)), low), high)
    away = scaled - np.ldexp(mean, -power)
    deviation = float(np.ldexp(np.sqrt(np.mean(away * away)), power))
    edges = _edges(low, high)
    counts = np.bincount(np.searchsorted(edges[1:-1], values, side="right"), minlength=len(edges) - 1)
    return {
        **counted,
        "min": low,
        "max": high,
        "mean": mean,
        "deviation": deviation,
        "edges": tuple(edges.tolist()),
        "counts": tuple(counts.tolist()),
    }


_NOTHING: dict[str, Any] = {
    "min": None, "max": None, "mean": None, "deviation": None, "edges": (), "counts": ()
}  # fmt: skip


def _power(low: float, high: float) -> int:
    """The power of 2 to scale by before squares and sums are made; 0 where there is no need."""
    exponent = int(np.frexp(max(abs(low), abs(high)))[1])
    return exponent if abs(exponent) > _FAR else 0


def _edges(low: float, high: float) -> Floats:
    """Increasing edges from `low` to `high`; around a number that stands alone one bin, that number in its middle."""
    if low == high:
        with np.errstate(over="ignore"):
            half = max(0.5, abs(low) * 2.0**-20)
            limit = np.finfo(np.float64).max
            return np.clip([low - half, low + half], -limit, limit)
    part = np.arange(BINS + 1) / BINS
    edges = low * (1 - part) + high * part
    edges[0], edges[-1] = low, high
    return np.unique(np.clip(edges, low, high))  # where fewer numbers lie between than there are bins


def _of_integers(flat: Array, truth: bool) -> dict[str, Any]:
    counted = {"nan": 0, "posinf": 0, "neginf": 0}
    if not flat.size:
        return {**counted, **_NOTHING}
    wide = flat.astype(np.int64, copy=False)
    low, high = int(wide.min()), int(wide.max())
    # Sums of the halves of the numbers cannot overflow, and Python's own integers are exact.
    total = (int((wide >> 32).sum()) << 32) + int((wide & 0xFFFFFFFF).sum())
    above = wide.view(np.uint64) - np.array(low, np.int64).view(np.uint64)  # modulo 2**64, so exact
    mean = total / flat.size
    away = above.astype(np.float64) - (total - low * flat.size) / flat.size
    first, last = (0, 1) if truth else (low, high)
    step = -(-(last - first + 1) // BINS)
    bins = -(-(last - first + 1) // step)
    offset = above if first == low else above + np.uint64(low - first)
    counts = np.bincount((offset // np.uint64(step)).astype(np.int64), minlength=bins)
    return {
        **counted,
        "min": low,
        "max": high,
        "mean": mean,
        "deviation": float(np.sqrt(np.mean(away * away))),
        "edges": tuple(first + i * step for i in range(bins + 1)),
        "counts": tuple(counts.tolist()),
    }


def _picture(array: Array) -> Picture | None:
    """The array as a matrix: all of it, or a slice along two neighbouring axes, reduced to 64 by 64 pixels.

    The two axes are those whose shorter one is longest, the first axis (examples) apart where there are more than two,
    and the last such pair: the rows and columns of images, whether channels come before or after them.
    """
    if not array.ndim or not array.size:
        return None
    matrix, note = _matrix(array)
    rows, columns = (-(-size // SIDE) for size in matrix.shape)
    bad = ~np.isfinite(matrix)
    values = np.where(bad, 0.0, matrix).astype(np.float64)
    power = _power(float(values.min()), float(values.max()))
    values = _blocks(np.ldexp(values, -power) if power else values, rows, columns)
    sizes = _blocks(np.ones(matrix.shape), rows, columns) if rows > 1 or columns > 1 else np.ones((1, 1))
    hidden = _blocks(bad.astype(np.float64), rows, columns) > 0
    means = values / sizes
    shown = means[~hidden]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 0.0)
    span = high - low
    grey = np.full(means.shape, _WHITE / 2) if not span else np.clip((means - low) / span, 0, 1) * _WHITE
    pixels = np.where(hidden, NOT_FINITE, np.rint(grey)).astype(np.uint8)
    if rows > 1 or columns > 1:
        note += f"; a pixel is the mean of up to {rows} by {columns} elements"
        note += ", marked where one of them is not finite" if hidden.any() else ""
    if not shown.size:
        note += "; none is finite"
    low, high = float(np.ldexp(low, power)), float(np.ldexp(high, power))
    return Picture(pixels.shape[1], pixels.shape[0], low, high, pixels.tobytes(), note)


def _matrix(array: Array) -> tuple[Array, str]:
    """The part of an array that a picture shows, and how the note names it."""
    if array.ndim == 1:
        return array[None, :], f"all {array.size} elements in a row" if array.size > 1 else "the one element"
    if array.ndim == 2:
        return array, f"all {array.shape[0]} rows and {array.shape[1]} columns"
    axis = max(range(1, array.ndim - 1), key=lambda i: (min(array.shape[i : i + 2]), i))
    index = tuple(slice(None) if i in (axis, axis + 1) else 0 for i in range(array.ndim))
    shown = ", ".join(":" if isinstance(i, slice) else str(i) for i in index)
    rest = array.size // (array.shape[axis] * array.shape[axis + 1])
    return array[
        index
    ], f"[{shown}], the first of {rest} matrices" if rest > 1 else f"[{shown}], the one matrix"


def _blocks(matrix: Array, rows: int, columns: int) -> Array:
    """The sums of blocks of so many rows and columns; those at the end may be smaller."""
    if columns > 1:
        matrix = np.add.reduceat(matrix, np.arange(0, matrix.shape[1], columns), axis=1)
    if rows > 1:
        matrix = np.add.reduceat(matrix, np.arange(0, matrix.shape[0], rows), axis=0)
    return matrix


def _shown(number: Number) -> str:
    return str(number) if isinstance(number, int) else f"{number:.6g}"
