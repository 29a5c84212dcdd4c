"""Windows, convolution and pooling on the NumPy backend: an array operation for each offset of a window, into arrays
that are there. Reductions over the few elements of a window would take ten times as long.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from symgraph.ir import Array
from symgraph.ops.pooling import MaxPool2d, MaxPool2dGradient
from symgraph.ops.windows import OverlapAdd, axes_of
from symgraph.types import DType

_FEW = 64  # pixels of a row of windows that are added one by one
Slices = tuple[slice, ...]


def overlap_add(op: OverlapAdd, y: Array, out: Array) -> None:
    """Add up windows into `out`."""
    out.fill(0)
    if _lies_in_rows(op, y, out):
        _add_rows(op, y, out)
        return
    rank = out.ndim
    for offset in itertools.product(*map(range, op.window(y.shape))):
        key = [slice(None)] * rank
        for axis, k, s, d in zip(op.axes, offset, op.strides, op.dilations, strict=True):
            key[axis] = slice(k * d, k * d + (y.shape[axis] - 1) * s + 1, s)
        place = out[tuple(key)]
        np.add(place, y.transpose(*range(rank, y.ndim), *range(rank))[offset], place)


def _lies_in_rows(op: OverlapAdd, y: Array, out: Array) -> bool:
    """Whether images have channels last, and the pixels of a window's row lie side by side in both."""
    if op.axes != (1, 2) or out.ndim != 4 or op.dilations[1] != 1 or y.shape[2] > _FEW or 0 in y.shape:
        return False
    size, channels = y.itemsize, y.shape[3]
    return out.flags.c_contiguous and y.strides[3] == size and y.strides[5] == channels * size


def _add_rows(op: OverlapAdd, y: Array, out: Array) -> None:
    """The same by whole rows of windows: a pixel gets its sums in the same order."""
    n, high, wide, channels, tall, broad = y.shape
    rows = out.reshape(n, out.shape[1], out.shape[2] * channels)
    windows = as_strided(
        y, (tall, wide, n, high, broad * channels), (y.strides[4], y.strides[2], *y.strides[:2], y.itemsize)
    )
    (step, along), spread = op.strides, op.dilations[0]
    for k in range(tall):
        for j in reversed(range(wide)):
            first = j * along * channels
            down = slice(k * spread, k * spread + (high - 1) * step + 1, step)
            place = rows[:, down, first : first + broad * channels]
            np.add(place, windows[k, j], place)


def _offsets(op: MaxPool2d | MaxPool2dGradient, x: Array, y: Array) -> Iterator[tuple[Slices, Slices]]:
    """For each offset of the windows what it is of the images, and of which windows; padding is left out."""
    for offset in np.ndindex(*op.window):
        of_x, of_y = [slice(None)] * 4, [slice(None)] * 4
        for axis, k, step, (low, _) in zip(axes_of(op.layout), offset, op.strides, op.padding, strict=True):
            first = max(0, -((k - low) // step))
            last = min(y.shape[axis], (x.shape[axis] - 1 - k + low) // step + 1)
            start = first * step + k - low
            of_x[axis] = (
                slice(start, start + (last - first - 1) * step + 1, step) if last > first else slice(0)
            )
            of_y[axis] = slice(first, max(first, last))
        yield tuple(of_x), tuple(of_y)


def max_pool(op: MaxPool2d, x: Array, out: Array) -> None:
    """The largest of each window, into `out`."""
    offsets = list(_offsets(op, x, out))
    if any(map(any, op.padding)):
        out.fill(-np.inf if out.dtype.kind == "f" else np.iinfo(out.dtype).min)
    else:
        np.copyto(out, x[offsets.pop(0)[0]])
    for of_x, of_y in offsets:
        np.maximum(out[of_y], x[of_x], out=out[of_y])


def pool_scratch(dtype: DType, shape: Sequence[int]) -> list[tuple[DType, tuple[int, ...]]]:
    """The room of the gradient of pooling: how many are largest, which, and their shares."""
    return [(dtype, tuple(shape)), (np.dtype(np.bool_), tuple(shape)), (dtype, tuple(shape))]


def max_pool_gradient(
    op: MaxPool2dGradient, x: Array, y: Array, g: Array, out: Array, total: Array, chosen: Array, share: Array
) -> None:
    """The cotangent of the images, into `out`; the rest is scratch of the shape of y."""
    offsets = list(_offsets(op, x, y))
    total.fill(0)
    for of_x, of_y in offsets:
        np.equal(x[of_x], y[of_y], out=chosen[of_y])
        np.add(total[of_y], chosen[of_y], out=total[of_y], casting="unsafe")
    np.divide(g, total, out=total)
    out.fill(0)
    for of_x, of_y in offsets:
        np.equal(x[of_x], y[of_y], out=chosen[of_y])
        np.multiply(total[of_y], chosen[of_y], out=share[of_y], casting="unsafe")
        np.add(out[of_x], share[of_y], out=out[of_x])
