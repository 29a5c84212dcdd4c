"""The layers that do something to one tensor: each is a function of its options that makes a `Layer`.

A layer declares its parameters when it is applied, since their shapes follow from what it is applied to.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from symgraph import ops
from symgraph.build import Build, do, parameter
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, describe
from symgraph.nn.layer import Body, Output, primitive
from symgraph.nn.states import is_training, latest, next_key, updated
from symgraph.ops.base import flag, normalise_axes, normalise_axis
from symgraph.ops.nn import positive
from symgraph.ops.windows import Layout
from symgraph.train import initializers as init
from symgraph.types import FLOAT32, Dimension, DType
from symgraph.values import shown

Activation: TypeAlias = Callable[[Expr], Expr]
Pair: TypeAlias = int | tuple[int, int]
Sides: TypeAlias = str | int | tuple[tuple[int, int], tuple[int, int]]
_TABLE = init.uniform(-0.05, 0.05)


@primitive
def dense(
    units: int,
    activation: Activation | None = None,
    *,
    init: Any = init.glorot_uniform,
    bias: bool = True,
    bias_init: Any = init.zeros,
) -> Body:
    """A layer of `units` that each see all features: `activation(x @ w + b)`.

    `x` is `[..., features]`, with a last axis whose size is known; the result is `[..., units]`. The parameters are
    `w`, `[features, units]`, and with `bias` `b`, `[units]`. Raises GraphError for units that are no whole number
    from 1, ShapeError where the number of features is not known.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> dense(512, ops.relu), run(dense(512, ops.relu)(placeholder("x", ("batch", 784))))[0].value
    (dense(512, relu), <relu: f32[batch,512]>)
    """
    count = _whole("dense", "units", units)
    flag("dense", "bias", bias)
    _check_activation("dense", activation)

    @do
    def body(x: Expr) -> Any:
        features = _features("dense", x)
        dtype = _float(x)
        w = yield from parameter("w", (features, count), dtype, init)
        z = x @ w
        if bias:
            b = yield from parameter("b", (count,), dtype, bias_init)
            z = z + b
        return _activated("dense", activation, z)

    return body


@primitive
def conv2d(
    filters: int,
    window: Pair,
    activation: Activation | None = None,
    *,
    strides: Pair = 1,
    padding: Sides = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    layout: Layout = "NHWC",
    init: Any = init.glorot_uniform,
    bias: bool = True,
    bias_init: Any = init.zeros,
) -> Body:
    """A convolution of images with `filters` windows: `activation(conv2d(x, kernel) + b)`.

    `x` is `[batch, height, width, channels]` (or as `layout` says) with a known number of channels; `window`,
    `strides` and `dilation` are numbers or pairs of them, `padding` is "valid", "same", a number, or
    `((top, bottom), (left, right))`. The parameters are `kernel`, `[height, width, channels / groups, filters]`, and
    with `bias` `b`, `[filters]`. Raises GraphError, ShapeError.

    >>> conv2d(32, 3, ops.relu, padding="same")
    conv2d(32, 3, relu, padding='same')
    """
    count = _whole("conv2d", "filters", filters)
    parts = _whole("conv2d", "groups", groups)
    height, width = _pair("conv2d", "window", window)
    _check_activation("conv2d", activation)
    flag("conv2d", "bias", bias)
    if count % parts:
        raise GraphError(
            f"conv2d: {count} filters cannot be told apart in {parts} groups",
            hint="Let the number of groups divide that of the filters.",
        )
    axis = _channels(layout, "conv2d")

    @do
    def body(x: Expr) -> Any:
        channels = _image_channels("conv2d", x, axis)
        if channels % parts:
            raise ShapeError(
                f"conv2d: {channels} channels cannot be told apart in {parts} groups", details=(describe(x),)
            )
        dtype = _float(x)
        kernel = yield from parameter("kernel", (height, width, channels // parts, count), dtype, init)
        z = ops.conv2d(x, kernel, strides, padding, dilation, parts, layout)
        if bias:
            b = yield from parameter("b", (count,), dtype, bias_init)
            z = z + (b if axis == 3 else ops.reshape(b, (count, 1, 1)))
        return _activated("conv2d", activation, z)

    return body


@primitive
def max_pool2d(
    window: Pair = 2, strides: Pair | None = None, padding: Sides = "valid", layout: Layout = "NHWC"
) -> Body:
    """The largest element of each window of images; the strides are the window by default.

    `x` is `[batch, height, width, channels]`, or as `layout` says; see `symgraph.max_pool2d`.

    >>> max_pool2d(2)
    max_pool2d(2)
    """
    return _pool("max_pool2d", lambda: ops.max_pool2d, window, strides, padding, layout)


@primitive
def avg_pool2d(
    window: Pair = 2, strides: Pair | None = None, padding: Sides = "valid", layout: Layout = "NHWC"
) -> Body:
    """The mean of each window of images; the strides are the window by default; padding is not counted.

    `x` is `[batch, height, width, channels]`, or as `layout` says; see `symgraph.avg_pool2d`.

    >>> avg_pool2d(3, strides=2)
    avg_pool2d(3, strides=2)
    """
    return _pool("avg_pool2d", lambda: ops.avg_pool2d, window, strides, padding, layout)


def _pool(
    name: str,
    function: Callable[[], Callable[..., Expr]],
    window: Pair,
    strides: Pair | None,
    padding: Sides,
    layout: Layout,
) -> Body:
    _pair(name, "window", window)
    if strides is not None:
        _pair(name, "strides", strides)
    axis = _channels(layout, name)

    def body(x: Expr) -> Expr:
        _check_images(name, x, axis)
        return function()(x, window, strides, padding, layout)

    return body


@primitive
def global_avg_pool2d(layout: Layout = "NHWC") -> Body:
    """The mean of each channel of images: `[batch, height, width, channels]` becomes `[batch, channels]`.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> run(global_avg_pool2d()(placeholder("x", ("batch", 7, 7, 64))))[0].value
    <div: f32[batch,64]>
    """
    axis = _channels(layout, "global_avg_pool2d")

    def body(x: Expr) -> Expr:
        _check_images("global_avg_pool2d", x, axis)
        return ops.mean(x, (1, 2) if axis == 3 else (2, 3))

    return body


@primitive
def flatten() -> Body:
    """All axes but the first as one: images become vectors, `[batch, ...]` becomes `[batch, features]`.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> run(flatten()(placeholder("x", ("batch", 28, 28))))[0].value
    <reshape: f32[batch,784]>
    """

    def body(x: Expr) -> Expr:
        if x.rank < 1:
            raise ShapeError("flatten: a scalar has no batch axis", details=(describe(x),))
        return ops.expand_dims(x, 1) if x.rank == 1 else ops.flatten(x, 1)

    return body


@primitive
def activation(function: Activation) -> Body:
    """A function of the elements as a layer: what `nn.sequential(..., function)` makes of it by itself.

    >>> activation(ops.relu)
    activation(relu)
    """
    _check_activation("activation", function, required=True)

    return lambda x: _activated("activation", function, x)


@primitive
def dropout(rate: float) -> Body:
    """In training each element is 0 with the probability `rate`, else divided by 1 - rate; in evaluation x itself.

    Each layer draws numbers of its own in each step, from the variable `random_key`, whose next value is the state.
    `rate` is from 0 to below 1; raises GraphError.

    Source: Srivastava et al., Dropout (JMLR 15, 2014), in the inverted form.

    >>> dropout(0.2)
    dropout(0.2)
    """
    if not _is_share(rate) or rate == 1:
        raise GraphError(
            f"dropout: the rate is a number from 0 to below 1, and {shown(rate)} is none",
            hint="It is the share of elements that are dropped: 0.2 for a fifth.",
        )

    share = float(rate)

    @do
    def body(x: Expr) -> Any:
        training = yield from is_training()
        if not training or share == 0:
            return x
        key, state = yield from next_key("dropout")
        return Output(ops.dropout(x, share, key), state)

    return body


@primitive
def batch_norm(
    momentum: float = 0.99,
    axis: int = -1,
    epsilon: float = 1e-3,
    *,
    scale: bool = True,
    bias: bool = True,
) -> Body:
    """In training mean 0 and variance 1 over the batch for each element of `axis`, then scaled and shifted.

    The statistics are over all axes but `axis`, whose size is known. In evaluation the running mean and variance take
    their place. They are the state: in a step of training each becomes `momentum * running + (1 - momentum) * batch`,
    with the biased variance of the batch, as in Keras. `epsilon` is added to the variance. The parameters are `scale`
    and `bias`, the running statistics `mean` and `variance`, which start at 0 and 1. Raises GraphError, ShapeError.

    Source: Ioffe, Szegedy, Batch Normalization (ICML 2015).

    >>> batch_norm(0.9)
    batch_norm(0.9)
    """
    if not _is_share(momentum):
        raise GraphError(
            f"batch_norm: the momentum is a number from 0 to 1, and {shown(momentum)} is none",
            hint="It is the share of the running statistics that stays in a step: 0.99.",
        )
    positive("batch_norm", "epsilon", epsilon)
    flag("batch_norm", "scale", scale)
    flag("batch_norm", "bias", bias)
    kept = float(momentum)

    @do
    def body(x: Expr) -> Any:
        place = normalise_axis("batch_norm", axis, x.rank)
        shape = (_known("batch_norm", x, place),)
        dtype = _float(x)
        gain = (yield from parameter("scale", shape, dtype, init.ones)) if scale else None
        shift = (yield from parameter("bias", shape, dtype, init.zeros)) if bias else None
        mean = yield from parameter("mean", shape, dtype, init.zeros)
        variance = yield from parameter("variance", shape, dtype, init.ones)
        training = yield from is_training()
        if not training:
            return ops.normalise(x, mean, variance, gain, shift, place, epsilon)
        made = ops.batch_norm(x, gain, shift, place, epsilon)
        first = yield from _running(mean, made.mean, kept)
        second = yield from _running(variance, made.variance, kept)
        return Output(made.output, {**first, **second})

    return body


@do
def _running(statistic: Expr, batch: Expr, momentum: float) -> Any:
    before = yield from latest(statistic)
    following = momentum * before + (1 - momentum) * batch
    return (yield from updated(statistic, following, "batch_norm"))


@primitive
def layer_norm(
    axes: int | tuple[int, ...] = -1, epsilon: float = 1e-5, *, scale: bool = True, bias: bool = True
) -> Body:
    """Mean 0 and variance 1 over `axes` of each example, then scaled and shifted.

    The sizes of `axes` are known; the parameters `scale` and `bias` have them. See `symgraph.layer_norm`. Raises
    GraphError, ShapeError.

    >>> layer_norm()
    layer_norm()
    """
    positive("layer_norm", "epsilon", epsilon)
    flag("layer_norm", "scale", scale)
    flag("layer_norm", "bias", bias)

    @do
    def body(x: Expr) -> Any:
        over = normalise_axes("layer_norm", axes, x.rank)
        shape = tuple(_known("layer_norm", x, axis) for axis in over)
        dtype = _float(x)
        gain = (yield from parameter("scale", shape, dtype, init.ones)) if scale else None
        shift = (yield from parameter("bias", shape, dtype, init.zeros)) if bias else None
        return ops.layer_norm(x, gain, shift, over, epsilon)

    return body


@primitive
def embedding(count: int, units: int, *, init: Any = _TABLE) -> Body:
    """A vector of `units` for each of `count` words: the rows of the parameter `table` that integers name.

    `x` holds integers from 0 to below `count`, of any shape `[...]`; the result is `[..., units]`. Raises GraphError,
    and DTypeError for an x that holds no integers.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> run(embedding(1000, 64)(placeholder("words", ("batch", 12), "int64")))[0].value
    <take: f32[batch,12,64]>
    """
    shape = (_whole("embedding", "count", count), _whole("embedding", "units", units))

    @do
    def body(x: Expr) -> Any:
        if x.dtype.kind != "i":
            raise DTypeError(
                f"embedding: it takes integers, the numbers of words, and this is {x.type}",
                details=(describe(x),),
                hint='Declare the input as integers: symgraph.placeholder("words", shape, "int64").',
            )
        table = yield from parameter("table", shape, FLOAT32, init)
        return ops.take(table, x)

    return body


# Checks of options, and of what a layer is applied to.


def _whole(name: str, what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise GraphError(
            f"{name}: {what} is a whole number from 1, and {shown(value)} is none",
            hint=f"Such as {name}({64 if what != 'groups' else 'filters, window, groups=2'})."
            if name in ("dense", "conv2d") and what != "window"
            else "Write it as a number.",
        )
    return int(value)


def _is_share(value: object) -> bool:
    plain = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return plain and 0 <= value <= 1  # type: ignore[operator]


def _pair(name: str, what: str, value: Pair) -> tuple[int, int]:
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise GraphError(f"{name}: the {what} is one number or two, and {value!r} is neither")
    return _whole(name, what, pair[0]), _whole(name, what, pair[1])


def _check_activation(name: str, function: object, required: bool = False) -> None:
    if (function is None and not required) or (
        callable(function)
        and not isinstance(function, type | Build)
        and not hasattr(function, "makes_layers")
        and not hasattr(function, "whole")
    ):
        return
    raise GraphError(
        f"{name}: an activation is a function of a tensor, and this is {shown(function)}",
        hint="Write such as symgraph.relu; a layer goes beside it, in symgraph.nn.sequential.",
    )


def _activated(name: str, function: Activation | None, z: Expr) -> Expr:
    made = z if function is None else function(z)
    if not isinstance(made, Expr):
        raise GraphError(
            f"{name}: the activation returned {shown(made)}, not an expression",
            hint="An activation is a function such as symgraph.relu.",
        )
    return made


def _float(x: Expr) -> DType:
    """The dtype of parameters that meet x."""
    return x.dtype if x.type.is_float else FLOAT32


def _features(name: str, x: Expr) -> int:
    if x.rank == 0:
        raise ShapeError(
            f"{name}: a scalar has no features",
            details=(describe(x),),
            hint='Declare the input with an axis of them: symgraph.placeholder("x", ("batch", 784)).',
        )
    return _known(name, x, x.rank - 1)


def _known(name: str, x: Expr, axis: int) -> int:
    """The size of an axis that parameters have."""
    size: Dimension = x.shape[axis]
    if isinstance(size, int):
        return size
    raise ShapeError(
        f"{name}: parameters have the size of axis {axis}, and {size} is not known before a run",
        details=(describe(x),),
        hint="Declare the input with a number there, and the name on another axis: "
        'symgraph.placeholder("x", ("batch", 784)).',
    )


def _channels(layout: object, name: str) -> int:
    if layout not in ("NHWC", "NCHW"):
        raise GraphError(f"{name}: the layout is 'NHWC' or 'NCHW', not {shown(layout)}")
    return 3 if layout == "NHWC" else 1


def _check_images(name: str, x: Expr, axis: int) -> None:
    if x.rank == 4:
        return
    order = "[batch, height, width, channels]" if axis == 3 else "[batch, channels, height, width]"
    raise ShapeError(
        f"{name}: images are {order}, and this is {x.type}",
        details=(describe(x),),
        hint="For images of one channel add the axis: symgraph.reshape(x, (-1, 28, 28, 1)), or "
        f"symgraph.expand_dims(x, {axis}).",
    )


def _image_channels(name: str, x: Expr, axis: int) -> int:
    _check_images(name, x, axis)
    return _known(name, x, axis)


__all__ = [
    "activation",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "dense",
    "dropout",
    "embedding",
    "flatten",
    "global_avg_pool2d",
    "layer_norm",
    "max_pool2d",
]
