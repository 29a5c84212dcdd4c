"""Pooling: windows of images, each reduced to one pixel a channel; a paragraph each.

Where k elements of a window are equally large, each receives 1/k of its cotangent, as with `max`. (XLA gives all
of it to the first.) Padding never wins: it is smaller than any number, and equal to none.
"""

from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import require_kind, require_same_dtype
from symgraph.ops.windows import (
    Layout,
    OverlapAdd,
    PaddingLike,
    Pair,
    PairLike,
    Sides,
    Windows,
    axes_of,
    check_layout,
    cut,
    image_details,
    padded,
    pair,
    require_images,
    sides,
)
from symgraph.types import Dimension, DType, TensorType, make_type

Vjp: TypeAlias = tuple[Expr | None, ...]
_LAST = (-2, -1)  # the axes of offsets within a window


@attrs.frozen
class _Pooling(Op):
    """What the ops have in common: how windows slide."""

    window: Pair
    strides: Pair
    padding: Sides
    layout: Layout

    def infer(self, *types: TensorType) -> TensorType:
        x = types[0]
        require_kind(self.name, "fi", x)
        require_same_dtype(self.name, types)
        require_images(self.name, x, self.layout)
        for axis, size, around in zip(axes_of(self.layout), self.window, self.padding, strict=True):
            if max(around) >= size or (x.shape[axis] == 0 and any(around)):
                raise ShapeError(
                    f"{self.name}: a window of {size} with {max(around)} around the images lies in the padding alone",
                    hint="Pad by less than the window.",
                )
        whole = list(x.shape)
        for axis, around in zip(axes_of(self.layout), self.padding, strict=True):
            whole[axis] += sum(around)
        try:
            seen = self.slide.infer(x.with_shape(tuple(whole)))
        except ShapeError as error:
            error.message = error.message.replace(self.slide.name, self.name, 1)
            raise
        return make_type(x.dtype, seen.shape[:4])

    @property
    def slide(self) -> Windows:
        """The windows of the padded images."""
        return Windows(axes_of(self.layout), self.window, self.strides, (1, 1))

    def windows(self, x: Expr, value: float = 0) -> Expr:
        """The windows of images, with `value` around them."""
        return ops.apply(self.slide, padded(x, self.padding, self.layout, value))

    def add(self, y: Expr, x: Expr) -> Expr:
        """The transpose of `windows`: images like x."""
        whole = tuple(
            x.shape[axis] + low + high
            for axis, (low, high) in zip(axes_of(self.layout), self.padding, strict=True)
        )
        made = ops.apply(OverlapAdd(axes_of(self.layout), whole, self.strides, (1, 1)), y)
        return cut(made, self.padding, self.layout)

    def on_array(self, x: Array, value: Any) -> Array:
        """The windows of an array."""
        widths = [(0, 0)] * 4
        for axis, side in zip(axes_of(self.layout), self.padding, strict=True):
            widths[axis] = side
        whole = np.pad(x, widths, constant_values=value) if any(map(any, self.padding)) else x
        return self.slide.evaluate(whole)


@attrs.frozen
class MaxPool2d(_Pooling):
    """The largest element of each window; NaN where there is one."""

    name = "max_pool2d"
    arity = 1
    smooth = False

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.max(self.on_array(x, _lowest(x.dtype)), axis=_LAST))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        slides = self.window, self.strides, self.padding, self.layout
        return (ops.apply(MaxPool2dGradient(*slides), x, out, g),)

    def expand(self, *inputs: Expr) -> Expr | None:
        (x,) = inputs
        return ops.max(self.windows(x, _lowest(x.dtype)), _LAST)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * self.window[0] * self.window[1]


@attrs.frozen
class MaxPool2dGradient(_Pooling):
    """The cotangent of the images x, given their largest elements and those' cotangent g; linear in g."""

    name = "max_pool2d_gradient"
    arity = 3
    smooth = False

    def infer(self, *types: TensorType) -> TensorType:
        x, out, g = types
        require_kind(self.name, "f", x)
        made = super().infer(*types)
        for other in (out, g):
            if other != made:
                raise ShapeError(f"{self.name}: {other} is given, and {made} fits the images")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, out, g = arrays
        chosen = (self.on_array(x, 0) == out[..., None, None]) & self.on_array(np.ones(x.shape, bool), False)
        share = chosen.astype(x.dtype) * (g / np.sum(chosen, axis=_LAST, dtype=x.dtype))[..., None, None]
        high, wide = axes_of(self.layout)
        (top, bottom), (left, right) = self.padding
        whole = (x.shape[high] + top + bottom, x.shape[wide] + left + right)
        made = OverlapAdd((high, wide), whole, self.strides, (1, 1)).evaluate(share)
        key: list[Any] = [slice(None)] * 4
        key[high], key[wide] = slice(top, whole[0] - bottom), slice(left, whole[1] - right)
        return np.ascontiguousarray(made[tuple(key)])

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y, _ = inputs
        chosen = self._chosen(x, y)
        return None, None, ops.sum(chosen * self.windows(g), _LAST) / ops.sum(chosen, _LAST)

    def expand(self, *inputs: Expr) -> Expr | None:
        x, y, g = inputs
        chosen = self._chosen(x, y)
        return self.add(chosen * _spread(g / ops.sum(chosen, _LAST)), x)

    def _chosen(self, x: Expr, y: Expr) -> Expr:
        """1 at the largest elements of each window, 0 elsewhere and in the padding."""
        chosen = ops.cast(ops.equal(self.windows(x), _spread(y)), x.dtype)
        if not any(map(any, self.padding)):
            return chosen
        shape = tuple(size if axis in axes_of(self.layout) else 1 for axis, size in enumerate(x.shape))
        return chosen * self.windows(ops.broadcast_to(operands(1, x)[0], shape))

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return 4 * types[1].size * self.window[0] * self.window[1]


def _spread(y: Expr) -> Expr:
    """A number for each window, in a shape that broadcasts against the windows."""
    return ops.reshape(y, (*y.shape, 1, 1))


def _lowest(dtype: DType) -> Any:
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


def max_pool2d(
    x: Operand,
    window: PairLike,
    strides: PairLike | None = None,
    padding: PaddingLike = "valid",
    layout: Layout = "NHWC",
) -> Expr:
    """The largest element of each window, channel by channel; NaN where one is NaN.

    `x` is [batch, height, width, channels], or [batch, channels, height, width] with `layout="NCHW"`, of floats or
    integers. `window` and `strides` are an int or a pair (height, width); windows lie side by side where `strides`
    is not given. `padding` is as with `conv2d`; it never is the largest. Of k equal largest elements each receives
    1/k of the cotangent.

    Raises ShapeError where a window is larger than the padded images or would hold padding alone, DTypeError for
    bools.

    >>> from symgraph.expr import placeholder
    >>> max_pool2d(placeholder("x", ("batch", 28, 28, 6)), 2)
    <max_pool2d: f32[batch,14,14,6]>
    >>> max_pool2d(placeholder("x", ("batch", 28, 28, 6)), 3, strides=2, padding="same").type
    TensorType('f32[batch,14,14,6]')
    """
    (e,) = operands(x)
    return ops.apply(MaxPool2d(*_slides("max_pool2d", e, window, strides, padding, layout)), e)


def avg_pool2d(
    x: Operand,
    window: PairLike,
    strides: PairLike | None = None,
    padding: PaddingLike = "valid",
    layout: Layout = "NHWC",
) -> Expr:
    """The mean of each window, channel by channel; padding is not counted.

    `x` is [batch, height, width, channels], or [batch, channels, height, width] with `layout="NCHW"`, of floats;
    integers become float32. `window`, `strides` and `padding` are as with `max_pool2d`, and so are the errors.

    >>> from symgraph.expr import placeholder
    >>> avg_pool2d(placeholder("x", ("batch", 10, 10, 16)), 2).type
    TensorType('f32[batch,5,5,16]')
    """
    (e,) = operands(x, floating=True)
    slides = _slides("avg_pool2d", e, window, strides, padding, layout)
    pool = MaxPool2d(*slides)
    total = ops.sum(pool.windows(e), _LAST)
    if not any(map(any, pool.padding)):
        return total / float(pool.window[0] * pool.window[1])
    axes = axes_of(pool.layout)
    shape = tuple(size if axis in axes else 1 for axis, size in enumerate(e.shape))
    return total / ops.sum(pool.windows(ops.broadcast_to(operands(1, e)[0], shape)), _LAST)


def _slides(
    name: str, x: Expr, window: PairLike, strides: PairLike | None, padding: PaddingLike, layout: str
) -> tuple[Pair, Pair, Sides, Layout]:
    """The attributes of an op from what a user writes; raises what is wrong with them."""
    try:
        chosen = check_layout(name, layout)
        size = pair(name, "window", window)
        steps = size if strides is None else pair(name, "stride", strides)
        require_images(name, x.type, chosen)
        high, wide = axes_of(chosen)
        around = sides(name, padding, (x.shape[high], x.shape[wide]), size, steps, (1, 1))
        MaxPool2d(size, steps, around, chosen).infer(x.type)
    except (ShapeError, GraphError) as error:
        error.message = error.message.replace("max_pool2d", name, 1)
        error.details = error.details or image_details(x)
        raise
    return size, steps, around, chosen
