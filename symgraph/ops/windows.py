"""Windows that slide over a tensor, and what convolution and pooling share: their sizes, strides and padding.

`Windows` and `OverlapAdd` are each other's transposes. Along each axis that is slid over, with its own size,
stride and dilation:

    y = windows(x)        y[..., i, ..., k] = x[..., i * stride + k * dilation, ...]
    x = overlap_add(y)    x[..., j, ...]    = the sum of y[..., i, ..., k] over i * stride + k * dilation = j

The offsets k are the last axes of y, in the order of the axes that are slid over.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
from numpy.lib.stride_tricks import as_strided

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import require_kind
from symgraph.types import Dimension, Shape, TensorType, exact_division, make_type, show_shape

Vjp: TypeAlias = tuple[Expr | None, ...]
Pair: TypeAlias = tuple[int, int]
Sides: TypeAlias = tuple[Pair, Pair]
Layout: TypeAlias = Literal["NHWC", "NCHW"]
PairLike: TypeAlias = int | Sequence[int]
PaddingLike: TypeAlias = str | int | Sequence[Any]

LAYOUTS = ("NHWC", "NCHW")


@attrs.frozen
class Windows(Op):
    """All windows of some sizes that lie inside x, along some axes: a view of x, without a copy."""

    name = "windows"
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        return make_type(x.dtype, _seen(self, x.shape))

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        shape: Any = _seen(self, x.shape)
        steps, inner = list(x.strides), []
        for axis, size, stride, dilation in zip(
            self.axes, self.sizes, self.strides, self.dilations, strict=True
        ):
            # A step that is never taken may be of any length, and NumPy wants a byte count.
            inner.append(x.strides[axis] * dilation if size > 1 else 0)
            steps[axis] *= stride if shape[axis] > 1 else 0
        return as_strided(x, shape, (*steps, *inner), writeable=False)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        sizes = tuple(x.shape[axis] for axis in self.axes)
        return (ops.apply(OverlapAdd(self.axes, sizes, self.strides, self.dilations), g),)


@attrs.frozen
class OverlapAdd(Op):
    """A tensor of `sizes` along some axes, where each element is the sum of all that windows have of it."""

    name = "overlap_add"
    axes: tuple[int, ...]
    sizes: tuple[Dimension, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        (y,) = types
        require_kind(self.name, "fi", y)
        shape = list(y.shape[: y.rank - len(self.axes)])
        for axis, size in zip(self.axes, self.sizes, strict=True):
            shape[axis] = size
        made = tuple(shape)
        seen = _seen(Windows(self.axes, self.window(y.shape), self.strides, self.dilations), made)
        if seen != y.shape:
            raise ShapeError(
                f"overlap_add: the windows of {show_shape(made)} are {show_shape(seen)}, not {show_shape(y.shape)}"
            )
        return make_type(y.dtype, made)

    def window(self, shape: Shape) -> tuple[int, ...]:
        """The sizes of the windows that a tensor of this shape holds."""
        inner: Any = shape[len(shape) - len(self.axes) :]
        return tuple(inner)

    def evaluate(self, *arrays: Array) -> Array:
        (y,) = arrays
        rank = y.ndim - len(self.axes)
        shape: Any = list(y.shape[:rank])
        for axis, size in zip(self.axes, self.sizes, strict=True):
            shape[axis] = size
        out = np.zeros(shape, y.dtype)
        for offset in itertools.product(*map(range, self.window(y.shape))):
            key = [slice(None)] * rank
            for axis, k, s, d in zip(self.axes, offset, self.strides, self.dilations, strict=True):
                key[axis] = (
                    slice(k * d, k * d + (y.shape[axis] - 1) * s + 1, s) if y.shape[axis] else slice(0)
                )
            part: Any = (..., *offset)
            out[tuple(key)] += y[part]
        return out

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (y,) = inputs
        return (ops.apply(Windows(self.axes, self.window(y.shape), self.strides, self.dilations), g),)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size


def _seen(op: Windows, shape: Shape) -> Shape:
    """The shape of the windows of a tensor; raises ShapeError where one is larger than the tensor."""
    made = list(shape)
    for axis, size, stride, dilation in zip(op.axes, op.sizes, op.strides, op.dilations, strict=True):
        made[axis] = positions(op.name, shape[axis], size, stride, dilation)
    return (*made, *op.sizes)


def positions(name: str, size: Dimension, window: int, stride: int, dilation: int) -> Dimension:
    """How many windows fit into a size; raises ShapeError where none does.

    >>> positions("windows", 28, 5, 1, 1), positions("windows", 28, 2, 2, 1)
    (24, 14)
    """
    reach = (window - 1) * dilation + 1
    if isinstance(size, int) and size < reach:
        spread = f", spread over {reach} by the dilation {dilation}," if dilation > 1 else ""
        raise ShapeError(
            f"{name}: a window of {window}{spread} does not fit into {size}",
            hint="Make the window smaller, or pad: padding='same' keeps the size.",
        )
    return (size - reach) // stride + 1


def windows(
    x: Expr, axes: Sequence[int], sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Expr:
    """All windows along some axes, whose offsets are the last axes of the result."""
    return ops.apply(Windows(tuple(axes), tuple(sizes), tuple(strides), tuple(dilations)), x)


# What users write: pairs, layouts and padding.


def pair(name: str, what: str, value: PairLike) -> Pair:
    """(height, width) from a positive int or two of them; raises ShapeError.

    >>> pair("conv2d", "stride", 2), pair("conv2d", "stride", (1, 2))
    ((2, 2), (1, 2))
    """
    plain = value.tolist() if isinstance(value, np.ndarray) else value
    parts = tuple(plain) if isinstance(plain, Sequence) and not isinstance(plain, str) else (plain,)
    if len(parts) not in (1, 2) or not all(map(is_int, parts)):
        raise ShapeError(
            f"{name}: a {what} is one int or a pair (height, width), and {value!r} is none",
            hint="Write 2 or (2, 2).",
        )
    if min(parts) < 1:
        raise ShapeError(f"{name}: a {what} is 1 or more, and {min(parts)} is not")
    return int(parts[0]), int(parts[-1])


def is_int(value: object) -> bool:
    """Whether it is an int, of Python or of NumPy, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_layout(name: str, layout: str) -> Layout:
    """The layout; raises GraphError for another text."""
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise GraphError(
            f"{name}: there is no layout {layout!r}",
            hint="'NHWC' is [batch, height, width, channels], 'NCHW' [batch, channels, height, width].",
        )
    return layout  # type: ignore[return-value]


def axes_of(layout: Layout) -> Pair:
    """The axes of height and width."""
    return (1, 2) if layout == "NHWC" else (2, 3)


def channel_axis(layout: Layout) -> int:
    """The axis of channels."""
    return 3 if layout == "NHWC" else 1


def require_images(name: str, x: TensorType, layout: Layout) -> None:
    """Raise ShapeError unless a tensor has the four axes of a layout."""
    if x.rank != 4:
        names = "[batch, height, width, channels]" if layout == "NHWC" else "[batch, channels, height, width]"
        raise ShapeError(
            f"{name}: images have 4 axes, {names} by the layout {layout}, and these have {x.rank}",
            hint="Reshape them: x.reshape('batch', 28, 28, 1) of grey ones, x[None] of a single one.",
        )


def sides(
    name: str, padding: PaddingLike, sizes: Iterable[Dimension], window: Pair, strides: Pair, dilations: Pair
) -> Sides:
    """((top, bottom), (left, right)) from what a user writes as `padding`; raises ShapeError, GraphError.

    "same" gives size / stride windows, rounded up; what is odd of it is added behind, as in TensorFlow and JAX.

    >>> sides("conv2d", "same", (28, 28), (5, 5), (1, 1), (1, 1))
    ((2, 2), (2, 2))
    >>> sides("conv2d", ((1, 0), (2, 2)), (28, 28), (5, 5), (1, 1), (1, 1))
    ((1, 0), (2, 2))
    """
    if isinstance(padding, str) and padding == "valid":
        return (0, 0), (0, 0)
    if isinstance(padding, str) and padding == "same":
        high, wide = (_same(name, *each) for each in zip(sizes, window, strides, dilations, strict=True))
        return high, wide
    wrong = ShapeError(
        f"{name}: there is no padding {padding!r}",
        hint="Write 'valid', 'same', one int for all sides, or ((top, bottom), (left, right)).",
    )
    if isinstance(padding, str):
        raise wrong
    try:
        given = np.broadcast_to(np.asarray(padding)[..., None] if np.ndim(padding) == 1 else padding, (2, 2))
    except ValueError:
        raise wrong from None
    if given.dtype.kind not in "iu":
        raise wrong
    if given.min() < 0:
        raise ShapeError(
            f"{name}: padding is not negative, and {int(given.min())} is",
            hint="Cut the tensor with a slice: x[:, 1:-1, 1:-1].",
        )
    (top, bottom), (left, right) = given.tolist()
    return (top, bottom), (left, right)


def _same(name: str, size: Dimension, window: int, stride: int, dilation: int) -> Pair:
    reach = (window - 1) * dilation + 1
    whole = exact_division(size, stride)
    if isinstance(size, int):
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    elif whole is not None:
        total = max(0, reach - stride)
    else:
        raise ShapeError(
            f"{name}: how much padding is 'same' for the size {size} with the stride {stride} depends on the size",
            hint="Write the padding as ((top, bottom), (left, right)), or declare the size as a multiple of the "
            f"stride, such as '{stride}*rows'.",
        )
    return total // 2, total - total // 2


def padded(x: Expr, padding: Sides, layout: Layout, value: float = 0) -> Expr:
    """The images with `value` around them."""
    if not any(itertools.chain(*padding)):
        return x
    widths: list[Any] = [(0, 0)] * 4
    for axis, side in zip(axes_of(layout), padding, strict=True):
        widths[axis] = side
    return ops.pad(x, widths, operands(value, x)[0])


def cut(x: Expr, padding: Sides, layout: Layout) -> Expr:
    """The images without what `padded` put around them: its transpose."""
    key: list[Any] = [slice(None)] * 4
    for axis, (low, high) in zip(axes_of(layout), padding, strict=True):
        key[axis] = slice(low, x.shape[axis] - high)
    return x[tuple(key)] if any(itertools.chain(*padding)) else x


def image_details(*exprs: Expr) -> tuple[str, ...]:
    """The operands as error messages show them."""
    return tuple(map(describe, exprs))
