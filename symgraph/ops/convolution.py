"""Convolution: three primitives, linear in each operand, of which each is a derivative of the others.

With x the images, w the kernel and y the result, over images n, positions p, offsets k in the kernel, channels
c and d, where p * stride + k * dilation is a place in the padded image:

    y = conv2d(x, w)           y[n, p, d] = sum over k, c of x[n, p * stride + k * dilation, c] w[k, c, d]
    x = conv2d_input(y, w)     x[n, q, c] = sum over k, d, p of y[n, p, d] w[k, c, d],  p * stride + k * dilation = q
    w = conv2d_kernel(x, y)    w[k, c, d] = sum over n, p of x[n, p * stride + k * dilation, c] y[n, p, d]

All three are matrix products with the windows of the images as a matrix [n and p, k and c]. (What is called
convolution here is correlation to a mathematician: the kernel is not flipped.)
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
    channel_axis,
    check_layout,
    cut,
    image_details,
    is_int,
    padded,
    pair,
    positions,
    require_images,
    sides,
    windows,
)
from symgraph.types import Dimension, Shape, TensorType, exact_division, make_type, product, show_shape

Vjp: TypeAlias = tuple[Expr | None, ...]

_KERNEL = "The kernel is [height, width, channels in / groups, channels out]"


@attrs.frozen
class _Convolution(Op):
    """What the three have in common: how windows slide. The channels of each of `groups` are convolved apart."""

    strides: Pair
    padding: Sides
    dilation: Pair
    groups: int
    layout: Layout

    def positions(self, sizes: tuple[Dimension, Dimension], window: Pair) -> tuple[Dimension, Dimension]:
        """The height and width of the result for images of these sizes."""
        high, wide = (
            positions(self.name, size + low + more, *rest)
            for size, (low, more), *rest in zip(
                sizes, self.padding, window, self.strides, self.dilation, strict=True
            )
        )
        return high, wide

    def image(self, batch: Dimension, sizes: tuple[Dimension, ...], channels: Dimension) -> Shape:
        """The shape of images in this layout."""
        high, wide = sizes
        return (batch, high, wide, channels) if self.layout == "NHWC" else (batch, channels, high, wide)

    def sizes(self, shape: Shape) -> tuple[Dimension, Dimension]:
        """The height and width of images in this layout."""
        high, wide = axes_of(self.layout)
        return shape[high], shape[wide]

    def channels(self, shape: Shape) -> Dimension:
        """The channels of images in this layout."""
        return shape[channel_axis(self.layout)]

    # The same on arrays: [batch, height, width, channels], and windows as a matrix for each group

    def _last(self, x: Array) -> Array:
        return x if self.layout == "NHWC" else x.transpose(0, 2, 3, 1)

    def _first(self, x: Array) -> Array:
        return np.ascontiguousarray(x if self.layout == "NHWC" else x.transpose(0, 3, 1, 2))

    def _slide(self, window: Pair) -> Windows:
        return Windows((1, 2), window, self.strides, self.dilation)

    def _patches(self, x: Array, window: Pair) -> Array:
        """[groups, batch * positions, height * width * channels of a group]."""
        seen = self._slide(window).evaluate(np.pad(self._last(x), ((0, 0), *self.padding, (0, 0))))
        n, high, wide, channels, *_ = seen.shape
        parts = seen.reshape(n, high, wide, self.groups, channels // self.groups, *window)
        return parts.transpose(3, 0, 1, 2, 5, 6, 4).reshape(
            self.groups, n * high * wide, window[0] * window[1] * (channels // self.groups)
        )

    def _by_group(self, y: Array) -> Array:
        """Images as [groups, batch * positions, channels of a group]."""
        y = self._last(y)
        rows = y.shape[0] * y.shape[1] * y.shape[2]
        return y.reshape(rows, self.groups, y.shape[3] // self.groups).transpose(1, 0, 2)

    def _matrices(self, kernel: Array) -> Array:
        """The kernel as [groups, height * width * channels in of a group, channels out of a group]."""
        high, wide, channels, out = kernel.shape
        parts = kernel.reshape(high * wide * channels, self.groups, out // self.groups)
        return parts.transpose(1, 0, 2)


@attrs.frozen
class Conv2d(_Convolution):
    """conv2d(x, w): every window of x times the kernel."""

    name = "conv2d"

    def infer(self, *types: TensorType) -> TensorType:
        x, kernel = types
        require_kind(self.name, "f", x)
        require_same_dtype(self.name, types)
        require_images(self.name, x, self.layout)
        window = _window(self.name, kernel)
        channels, each, out = self.channels(x.shape), kernel.shape[2], kernel.shape[3]
        if each * self.groups != channels:
            raise _channels_differ(self.name, channels, each, kernel, self.groups)
        _require_groups(self.name, out, self.groups)
        return make_type(x.dtype, self.image(x.shape[0], self.positions(self.sizes(x.shape), window), out))

    def evaluate(self, *arrays: Array) -> Array:
        x, kernel = arrays
        high, wide, _, out = kernel.shape
        made = np.matmul(self._patches(x, (high, wide)), self._matrices(kernel))
        size: Any = self.positions(self.sizes(x.shape), (high, wide))
        return self._first(made.transpose(1, 0, 2).reshape(x.shape[0], *size, out))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, kernel = inputs
        return _by_input(self, g, kernel, self.sizes(x.shape)), _by_kernel(self, x, g, kernel.shape)

    def expand(self, *inputs: Expr) -> Expr | None:
        x, kernel = inputs
        window: Any = kernel.shape[:2]
        size = self.positions(self.sizes(x.shape), window)
        shape = self.image(x.shape[0], size, kernel.shape[3])
        patches = _patches(self, x, window)
        if self.layout == "NCHW" and self.groups == 1:
            flat = ops.reshape(ops.transpose(kernel, (3, 2, 0, 1)), (kernel.shape[3], patches.shape[1]))
            return ops.reshape(ops.matmul(flat, patches), shape)
        return _joined(self, ops.matmul(patches, _matrices(self, kernel)), shape)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return 2 * out.size * product(types[1].shape[:3])


@attrs.frozen
class Conv2dInput(_Convolution):
    """conv2d_input(y, w): images of `size` whose windows are added up, each y times the kernel."""

    name = "conv2d_input"
    size: tuple[Dimension, Dimension]

    def infer(self, *types: TensorType) -> TensorType:
        y, kernel = types
        require_kind(self.name, "f", y)
        require_same_dtype(self.name, types)
        require_images(self.name, y, self.layout)
        window = _window(self.name, kernel)
        _require_groups(self.name, kernel.shape[3], self.groups)
        least = min((size for size in self.size if isinstance(size, int)), default=0)
        if least < 0:
            raise ShapeError(
                f"{self.name}: the padding cuts more off the images than there is: {least} is left",
                hint="Pad by less: a transposed convolution cuts its padding off.",
            )
        wanted = self.image(y.shape[0], self.positions(self.size, window), kernel.shape[3])
        if y.shape != wanted:
            raise ShapeError(f"{self.name}: the images are {y}, and {show_shape(wanted)} fits the kernel")
        return make_type(y.dtype, self.image(y.shape[0], self.size, kernel.shape[2] * self.groups))

    def evaluate(self, *arrays: Array) -> Array:
        y, kernel = arrays
        high, wide, each, _ = kernel.shape
        columns = np.matmul(self._by_group(y), self._matrices(kernel).swapaxes(1, 2))
        n, *size, _ = self._last(y).shape
        parts = columns.reshape(self.groups, n, *size, high, wide, each).transpose(1, 2, 3, 0, 6, 4, 5)
        whole: Any = [s + sum(side) for s, side in zip(self.size, self.padding, strict=True)]
        add = OverlapAdd((1, 2), tuple(whole), self.strides, self.dilation)
        made = add.evaluate(parts.reshape(n, *size, self.groups * each, high, wide))
        (top, bottom), (left, right) = self.padding
        return self._first(made[:, top : whole[0] - bottom, left : whole[1] - right])

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        y, kernel = inputs
        return _forward(self, g, kernel), _by_kernel(self, g, y, kernel.shape)

    def expand(self, *inputs: Expr) -> Expr | None:
        y, kernel = inputs
        high, wide, each, out = kernel.shape
        n, size = y.shape[0], self.sizes(y.shape)
        whole = tuple(s + low + more for s, (low, more) in zip(self.size, self.padding, strict=True))
        add = OverlapAdd(axes_of(self.layout), whole, self.strides, self.dilation)
        if self.layout == "NCHW" and self.groups == 1:
            flat = ops.reshape(ops.transpose(kernel, (2, 0, 1, 3)), (each * high * wide, out))
            columns = ops.matmul(flat, ops.reshape(y, (n, out, product(size))))
            parts = ops.transpose(ops.reshape(columns, (n, each, high, wide, *size)), (0, 1, 4, 5, 2, 3))
            return cut(ops.apply(add, parts), self.padding, self.layout)
        matrices = _matrices(self, kernel)
        columns = ops.matmul(_by_group(self, y), ops.swapaxes(matrices, -1, -2))
        parts = ops.reshape(columns, (self.groups, n, *size, high, wide, each))
        if self.layout == "NCHW":
            order: tuple[int, ...] = (1, 0, 6, 2, 3, 4, 5)
            shape: Shape = (n, each * self.groups, *size, high, wide)
        else:
            order, shape = (1, 2, 3, 0, 6, 4, 5), (n, *size, each * self.groups, high, wide)
        if self.groups == 1:  # the axis of groups goes first: without it a transpose is a view
            parts = ops.reshape(columns, (n, *size, high, wide, each))
            turned = ops.transpose(parts, (0, 1, 2, 5, 3, 4))
        else:
            turned = ops.reshape(ops.transpose(parts, order), shape)
        return cut(ops.apply(add, turned), self.padding, self.layout)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return 2 * types[0].size * product(types[1].shape[:3])


@attrs.frozen
class Conv2dKernel(_Convolution):
    """conv2d_kernel(x, y): a kernel of `window`, every window of x times what stands at its position in y."""

    name = "conv2d_kernel"
    window: Pair

    def infer(self, *types: TensorType) -> TensorType:
        x, y = types
        require_kind(self.name, "f", x)
        require_same_dtype(self.name, types)
        for images in types:
            require_images(self.name, images, self.layout)
        channels, out = self.channels(x.shape), self.channels(y.shape)
        _require_groups(self.name, out, self.groups)
        _require_groups(self.name, channels, self.groups)
        wanted = self.image(x.shape[0], self.positions(self.sizes(x.shape), self.window), out)
        if y.shape != wanted:
            raise ShapeError(f"{self.name}: the images are {y}, and {show_shape(wanted)} fits the window")
        return make_type(x.dtype, (*self.window, channels // self.groups, out))

    def evaluate(self, *arrays: Array) -> Array:
        x, y = arrays
        made = np.matmul(self._patches(x, self.window).swapaxes(1, 2), self._by_group(y))
        each, out = self.channels(x.shape), self.channels(y.shape)
        return np.ascontiguousarray(made.transpose(1, 0, 2).reshape(*self.window, each // self.groups, out))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        return _by_input(self, y, g, self.sizes(x.shape)), _forward(self, x, g)

    def expand(self, *inputs: Expr) -> Expr | None:
        x, y = inputs
        channels, out = self.channels(x.shape), self.channels(y.shape)
        shape = (*self.window, channels // self.groups, out)
        patches = _patches(self, x, self.window)
        if self.layout == "NCHW" and self.groups == 1:
            flat = ops.reshape(y, (y.shape[0], out, product(self.sizes(y.shape))))
            made = ops.sum(ops.matmul(flat, ops.swapaxes(patches, 1, 2)), axis=0)
            return ops.transpose(ops.reshape(made, (out, channels, *self.window)), (2, 3, 1, 0))
        made = ops.matmul(ops.swapaxes(patches, -1, -2), _by_group(self, y))
        if self.groups > 1:
            made = ops.transpose(made, (1, 0, 2))
        return ops.reshape(made, shape)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return 2 * types[1].size * product(out.shape[:3])


def _slides(op: _Convolution) -> tuple[Pair, Sides, Pair, int, Layout]:
    return op.strides, op.padding, op.dilation, op.groups, op.layout


def _forward(op: _Convolution, x: Expr, kernel: Expr) -> Expr:
    return ops.apply(Conv2d(*_slides(op)), x, kernel)


def _by_input(op: _Convolution, y: Expr, kernel: Expr, size: tuple[Dimension, Dimension]) -> Expr:
    return ops.apply(Conv2dInput(*_slides(op), size), y, kernel)


def _by_kernel(op: _Convolution, x: Expr, y: Expr, kernel: Shape) -> Expr:
    window: Any = kernel[:2]
    return ops.apply(Conv2dKernel(*_slides(op), window), x, y)


# The same in simpler ops. Windows are one matrix for all images, of channels before images one for each image.


def _patches(op: _Convolution, x: Expr, window: Pair) -> Expr:
    """[batch * positions, offsets * channels]; [batch, channels * offsets, positions] of channels before images;
    of several groups [groups, batch * positions, offsets * channels].
    """
    seen = windows(padded(x, op.padding, op.layout), axes_of(op.layout), window, op.strides, op.dilation)
    n, size, channels = x.shape[0], op.sizes(seen.shape), op.channels(x.shape)
    rows, offsets = n * product(size), window[0] * window[1]
    if op.groups == 1 and op.layout == "NCHW":
        return ops.reshape(ops.transpose(seen, (0, 1, 4, 5, 2, 3)), (n, channels * offsets, product(size)))
    if op.groups == 1:
        # As a copy runs along the longer of a row of the window and a row of positions.
        wide, run = size[1], channels * window[1]
        if isinstance(wide, int) and isinstance(run, int) and run < wide:
            columns = ops.reshape(ops.transpose(seen, (4, 5, 3, 0, 1, 2)), (offsets * channels, rows))
            return ops.swapaxes(columns, 0, 1)
        return ops.reshape(ops.transpose(seen, (0, 1, 2, 4, 5, 3)), (rows, offsets * channels))
    if op.layout == "NCHW":
        seen = ops.transpose(seen, (0, 2, 3, 1, 4, 5))
    each = channels // op.groups
    parts = ops.reshape(seen, (n, *size, op.groups, each, *window))
    return ops.reshape(ops.transpose(parts, (3, 0, 1, 2, 5, 6, 4)), (op.groups, rows, offsets * each))


def _matrices(op: _Convolution, kernel: Expr) -> Expr:
    rows, out = product(kernel.shape[:3]), kernel.shape[3]
    if op.groups == 1:
        return ops.reshape(kernel, (rows, out))
    return ops.transpose(ops.reshape(kernel, (rows, op.groups, out // op.groups)), (1, 0, 2))


def _by_group(op: _Convolution, y: Expr) -> Expr:
    """[batch * positions, channels], or one for each group."""
    last = y if op.layout == "NHWC" else ops.transpose(y, (0, 2, 3, 1))
    rows, channels = product(last.shape[:3]), last.shape[3]
    if op.groups == 1:
        return ops.reshape(last, (rows, channels))
    return ops.transpose(ops.reshape(last, (rows, op.groups, channels // op.groups)), (1, 0, 2))


def _joined(op: _Convolution, made: Expr, shape: Shape) -> Expr:
    """The inverse of `_by_group`."""
    if op.groups > 1:
        made = ops.transpose(made, (1, 0, 2))
    if op.layout == "NHWC":
        return ops.reshape(made, shape)
    n, channels, high, wide = shape
    return ops.transpose(ops.reshape(made, (n, high, wide, channels)), (0, 3, 1, 2))


# What can be wrong


def _window(name: str, kernel: TensorType) -> Pair:
    if kernel.rank != 4:
        raise ShapeError(
            f"{name}: the kernel has {kernel.rank} axes, and needs 4",
            hint=f"{_KERNEL}, such as (5, 5, 1, 6).",
        )
    high, wide = kernel.shape[:2]
    if not isinstance(high, int) or not isinstance(wide, int) or 0 in (high, wide):
        raise ShapeError(
            f"{name}: the kernel {kernel} has no window of a fixed size",
            hint=f"{_KERNEL}; height and width are numbers from 1.",
        )
    return high, wide


def _channels_differ(
    name: str, channels: Dimension, each: Dimension, kernel: TensorType, groups: int
) -> ShapeError:
    if exact_division(channels, groups) is None:
        return ShapeError(
            f"{name}: {channels} channels do not divide into {groups} groups",
            hint="The number of groups divides the channels that come in and those that go out.",
        )
    of = f" for each of {groups} groups" if groups > 1 else ""
    first, second, _, last = kernel.shape
    if last == channels // groups:
        hint = f"{_KERNEL}: channels in stand before channels out."
    elif groups == 1 and (count := exact_division(channels, each)) is not None:
        shape = show_shape((first, second, channels, last))
        hint = f"{_KERNEL}: declare it as {shape}, or write groups={count}."
    else:
        hint = f"{_KERNEL}: declare it as {show_shape((first, second, channels // groups, last))}."
    return ShapeError(
        f"{name}: the images have {channels} channels, and the kernel takes {each}{of}", hint=hint
    )


def _require_groups(name: str, channels: Dimension, groups: int) -> None:
    if exact_division(channels, groups) is None:
        raise ShapeError(
            f"{name}: {channels} channels do not divide into {groups} groups",
            hint="The number of groups divides the channels that come in and those that go out.",
        )


def conv2d(
    x: Operand,
    kernel: Operand,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    dilation: PairLike = 1,
    groups: int = 1,
    layout: Layout = "NHWC",
) -> Expr:
    """The convolution of images with a kernel, over height and width.

    `x` is [batch, height, width, channels], or [batch, channels, height, width] with `layout="NCHW"`; `kernel` is
    [height, width, channels / groups, channels out] in both; the result has the layout of `x`. Both are floats of
    one dtype after promotion; integers become float32. `strides` (steps of the window) and `dilation` (the
    distance of its elements) are an int or a pair (height, width). `padding`, of zeros, is "valid" (none), "same"
    (the result has the size / stride, rounded up), an int, a pair (height, width), or ((top, bottom), (left,
    right)). With `groups` the channels are cut into as many groups, in order, that are convolved apart; as many
    groups as channels make a depthwise convolution. The kernel is not flipped: out[n, i, j, d] is the sum over k,
    l and c of x[n, i * stride + k * dilation, j * stride + l * dilation, c] * kernel[k, l, c, d].

    Sizes may be named: "same" with a stride needs them to be multiples of it. Raises ShapeError where a shape does
    not fit (also a window larger than the padded images), GraphError for another layout.

    >>> from symgraph.expr import placeholder, variable
    >>> x = placeholder("x", ("batch", 28, 28, 1))
    >>> conv2d(x, variable("k", (5, 5, 1, 6)), padding="same")
    <conv2d: f32[batch,28,28,6]>
    >>> conv2d(x, variable("k", (5, 5, 1, 6)), strides=2).type
    TensorType('f32[batch,12,12,6]')
    """
    images, weights = operands(x, kernel, floating=True)
    try:
        chosen = check_layout("conv2d", layout)
        steps, spread = pair("conv2d", "stride", strides), pair("conv2d", "dilation", dilation)
        if not is_int(groups) or groups < 1:
            raise ShapeError(f"conv2d: groups is an int from 1, and {groups!r} is none")
        require_images("conv2d", images.type, chosen)
        window = _window("conv2d", weights.type)
        high, wide = axes_of(chosen)
        around = sides("conv2d", padding, (images.shape[high], images.shape[wide]), window, steps, spread)
    except (ShapeError, GraphError) as error:
        error.details = error.details or image_details(images, weights)
        raise
    return ops.apply(Conv2d(steps, around, spread, int(groups), chosen), images, weights)


def conv2d_transpose(
    x: Operand,
    kernel: Operand,
    strides: PairLike = 1,
    padding: PaddingLike = "valid",
    layout: Layout = "NHWC",
) -> Expr:
    """The transposed convolution, which makes images larger: the derivative of `conv2d` by its images.

    `x` is [batch, height, width, channels] (or by `layout`), `kernel` [height, width, channels out, channels of
    x]: the kernel of the convolution whose transpose this is. Every pixel of x, times the kernel, is added to the
    result, `strides` apart. `padding` is what that convolution would add to the result: "valid" gives (size - 1) *
    stride + window, "same" size * stride, and with numbers that much is cut off. Raises as `conv2d` does.

    >>> from symgraph.expr import placeholder, variable
    >>> conv2d_transpose(placeholder("x", ("n", 7, 7, 16)), variable("k", (4, 4, 8, 16)), 2, "same")
    <conv2d_input: f32[n,14,14,8]>
    """
    images, weights = operands(x, kernel, floating=True)
    try:
        chosen = check_layout("conv2d_transpose", layout)
        steps = pair("conv2d_transpose", "stride", strides)
        require_images("conv2d_transpose", images.type, chosen)
        window = _window("conv2d_transpose", weights.type)
        high, wide = axes_of(chosen)
        grown = [
            size * step if padding == "same" else (size - 1) * step + reach
            for size, step, reach in zip((images.shape[high], images.shape[wide]), steps, window, strict=True)
        ]
        around = sides("conv2d_transpose", padding, grown, window, steps, (1, 1))
        if padding != "same":
            grown = [size - low - more for size, (low, more) in zip(grown, around, strict=True)]
        channels = images.shape[channel_axis(chosen)]
        if channels != weights.shape[3]:
            raise ShapeError(
                f"conv2d_transpose: the images have {channels} channels, and the kernel takes {weights.shape[3]}",
                hint="The kernel is [height, width, channels out, channels of the images].",
            )
    except (ShapeError, GraphError) as error:
        error.details = error.details or image_details(images, weights)
        raise
    size = (grown[0], grown[1])
    return ops.apply(Conv2dInput(steps, around, (1, 1), 1, chosen, size), images, weights)
