"""Normalising functions of networks: softmax and its logarithm, layer and batch normalisation."""

import math
from typing import NamedTuple

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, Operand, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops import random
from symgraph.ops.base import as_float, normalise_axes, normalise_axis, require_kind
from symgraph.ops.reduction import Axes
from symgraph.types import Dimension, Shape, TensorType, show_shape
from symgraph.values import shown

Vjp = tuple[Expr | None, ...]


def positive(name: str, what: str, value: float) -> float:
    """A positive finite Python number that configures an op; raises GraphError for anything else."""
    number = as_float(value)
    if not 0 < number < math.inf:
        raise GraphError(
            f"{name}: {what} is a positive number, and {shown(value)} is none",
            hint=f"Write such as {what}=1e-3.",
        )
    return number


def shifted(x: Array, axes: tuple[int, ...]) -> Array:
    """The array less its largest element over `axes`, so that no exponential of it overflows."""
    difference: Array = x - np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    return difference


def shifted_expr(x: Expr, axes: tuple[int, ...]) -> Expr:
    """`shifted` as an expression; the shift cancels in what is made of it, so it has no derivative."""
    return x - ops.stop_gradient(ops.max(x, axes, keepdims=True))


@attrs.frozen
class Softmax(Op):
    """exp(x) / sum(exp(x)) over sorted axes, counted from the front."""

    name = "softmax"
    arity = 1
    axes: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        require_kind(self.name, "f", types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        made = np.exp(shifted(arrays[0], self.axes))
        return np.asarray(made / np.sum(made, axis=self.axes, keepdims=True))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return ((g - ops.sum(g * out, self.axes, keepdims=True)) * out,)

    def expand(self, *inputs: Expr) -> Expr | None:
        (x,) = inputs
        if 0 in x.shape:
            return x
        made = ops.exp(shifted_expr(x, self.axes))
        return made / ops.sum(made, self.axes, keepdims=True)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * 24


def softmax(x: Operand, axis: Axes = -1) -> Expr:
    """exp(x) / sum(exp(x)) on an axis (the last by default), several, or all with None: probabilities.

    `x` is a tensor of floats (integers become float32) of any size: the largest element is subtracted first,
    so that nothing overflows. -inf has probability 0; where all are -inf, or one is +inf or NaN, the result
    is NaN. Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> softmax(placeholder("x", ("batch", 10)))
    <softmax: f32[batch,10]>
    """
    (e,) = operands(x, floating=True)
    return ops.apply(Softmax(normalise_axes("softmax", axis, e.rank)), e)


@attrs.frozen
class LogSoftmax(Op):
    """x - logsumexp(x) over sorted axes, counted from the front."""

    name = "log_softmax"
    arity = 1
    axes: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        require_kind(self.name, "f", types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        x = shifted(arrays[0], self.axes)
        return np.asarray(x - np.log(np.sum(np.exp(x), axis=self.axes, keepdims=True)))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g - ops.sum(g, self.axes, keepdims=True) * ops.exp(out),)

    def expand(self, *inputs: Expr) -> Expr | None:
        (x,) = inputs
        if 0 in x.shape:
            return x
        x = shifted_expr(x, self.axes)
        return x - ops.log(ops.sum(ops.exp(x), self.axes, keepdims=True))

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * 24


def log_softmax(x: Operand, axis: Axes = -1) -> Expr:
    """log(softmax(x)) on an axis (the last by default), several, or all with None, without overflow.

    `x` is a tensor of floats (integers become float32). Where an element is -inf, so is the result. Raises
    ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> log_softmax(placeholder("x", ("batch", 10)))
    <log_softmax: f32[batch,10]>
    """
    (e,) = operands(x, floating=True)
    return ops.apply(LogSoftmax(normalise_axes("log_softmax", axis, e.rank)), e)


def layer_norm(
    x: Operand,
    scale: Operand | None = None,
    bias: Operand | None = None,
    axes: Axes = -1,
    epsilon: float = 1e-5,
) -> Expr:
    """The tensor with mean 0 and variance 1 over some axes, then scaled and shifted.

    `x` is a tensor of floats; `scale` and `bias` have the sizes of `axes`, in ascending order, or are
    scalars. `epsilon` is added to the variance. Raises ShapeError for an axis that is not there, or a scale
    or bias of another shape; GraphError when `epsilon` is no positive number.

    Source: Ba, Kiros, Hinton, Layer Normalization (2016), equation 4.

    >>> from symgraph.expr import placeholder, variable
    >>> layer_norm(placeholder("x", ("batch", 64)), variable("scale", (64,)), variable("bias", (64,)))
    <add: f32[batch,64]>
    """
    (e,) = operands(x, floating=True)
    over = normalise_axes("layer_norm", axes, e.rank)
    centred = e - ops.mean(e, over, keepdims=True)
    variance = ops.mean(centred * centred, over, keepdims=True)
    out = centred / ops.sqrt(variance + positive("layer_norm", "epsilon", epsilon))
    if scale is not None:
        out = out * _along("layer_norm", "scale", scale, e.shape, over)
    return out if bias is None else out + _along("layer_norm", "bias", bias, e.shape, over)


def _along(name: str, what: str, parameter: Operand, shape: Shape, axes: tuple[int, ...]) -> Operand:
    """A parameter of the sizes of `axes` in a shape that broadcasts against `shape`."""
    if not isinstance(parameter, Expr) and np.ndim(parameter) == 0:
        return parameter
    (e,) = operands(parameter)
    wanted = tuple(shape[a] for a in axes)
    if e.shape not in ((), wanted):
        raise ShapeError(
            f"{name}: the {what} has the shape {show_shape(e.shape)}, "
            f"and the axes {axes} have {show_shape(wanted)}",
            details=(describe(e),),
            hint=f"Give it the shape {show_shape(wanted)}, or a scalar.",
        )
    if e.rank == 0 or axes == tuple(range(len(shape) - len(axes), len(shape))):
        return e
    return ops.reshape(e, tuple(size if i in axes else 1 for i, size in enumerate(shape)))


class BatchNorm(NamedTuple):
    """What batch normalisation gives: the normalised tensor, and the statistics of the batch."""

    output: Expr
    mean: Expr
    variance: Expr


def batch_norm(
    x: Operand,
    scale: Operand | None = None,
    bias: Operand | None = None,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> BatchNorm:
    """Each feature with mean 0 and variance 1 over the batch, then scaled and shifted: for training.

    `x` is a tensor of floats with its features along `axis`; the statistics are over all other axes. `scale`
    and `bias` have one element for each feature, or are scalars. `epsilon` is added to the variance.

    Returns a tuple of `output`, of the shape of `x`, and `mean` and `variance`, one element for each feature:
    running means of these are what `normalise` takes after training. The variance is the mean squared
    distance to the mean (not the unbiased estimate), in two passes. A feature that does not vary, as in a
    batch of one, gives 0 before the bias; an empty batch gives statistics of NaN. Raises ShapeError for an
    axis that is not there, or a scale or bias of another shape; GraphError when `epsilon` is no positive
    number.

    Source: Ioffe, Szegedy, Batch Normalization (2015), algorithm 1.

    >>> from symgraph.expr import placeholder, variable
    >>> made = batch_norm(placeholder("x", ("batch", 8, 8, 16)), variable("scale", (16,), init=1.0))
    >>> made.output.type, made.mean.type, made.variance.type
    (TensorType('f32[batch,8,8,16]'), TensorType('f32[16]'), TensorType('f32[16]'))
    """
    (e,) = operands(x, floating=True)
    feature = normalise_axis("batch_norm", axis, e.rank)
    over = tuple(a for a in range(e.rank) if a != feature)
    # The corrected two-pass algorithm (Chan, Golub, LeVeque 1983): a long sum in float32 leaves the first mean
    # with an error that is large beside a small deviation. Whatever is subtracted first has no part in the
    # derivative.
    rough = ops.stop_gradient(ops.mean(e, over))
    near = e - _along("batch_norm", "mean", rough, e.shape, (feature,))
    rest = ops.mean(near, over)
    spread = ops.mean(near * near, over) - rest * rest
    variance = ops.where(spread < 0.0, 0.0, spread)  # rounding; NaN stays
    centred = near - _along("batch_norm", "mean", rest, e.shape, (feature,))
    epsilon = positive("batch_norm", "epsilon", epsilon)
    out = _standard("batch_norm", centred, variance, scale, bias, feature, epsilon)
    return BatchNorm(out, rough + rest, variance)


def normalise(
    x: Operand,
    mean: Operand,
    variance: Operand,
    scale: Operand | None = None,
    bias: Operand | None = None,
    axis: int = -1,
    epsilon: float = 1e-5,
) -> Expr:
    """Each feature less a given mean, over the root of a given variance, then scaled and shifted.

    What `batch_norm` does, with statistics that are known, such as running means: for evaluation. `x` is a
    tensor of floats with its features along `axis`; `mean`, `variance`, `scale` and `bias` have one element
    for each feature, or are scalars. `epsilon` is added to the variance. Raises ShapeError for an axis that
    is not there, or statistics, a scale or a bias of another shape; GraphError when `epsilon` is no positive
    number.

    Source: Ioffe, Szegedy, Batch Normalization (2015), algorithm 2.

    >>> from symgraph.expr import placeholder, variable
    >>> normalise(placeholder("x", ("batch", 16)), variable("mean", (16,)), variable("variance", (16,))).type
    TensorType('f32[batch,16]')
    """
    (e,) = operands(x, floating=True)
    feature = normalise_axis("normalise", axis, e.rank)
    (spread,) = operands(variance, floating=True)
    if spread.rank == 0 and not isinstance(variance, Expr | np.ndarray):
        spread = ops.cast(spread, e.dtype)
    _along("normalise", "variance", spread, e.shape, (feature,))  # before the root, which errors would name
    centred = e - _along("normalise", "mean", mean, e.shape, (feature,))
    epsilon = positive("normalise", "epsilon", epsilon)
    return _standard("normalise", centred, spread, scale, bias, feature, epsilon)


def _standard(
    name: str,
    centred: Expr,
    variance: Expr,
    scale: Operand | None,
    bias: Operand | None,
    feature: int,
    epsilon: float,
) -> Expr:
    """The centred tensor over its deviation, scaled and shifted: one product for each element."""
    shape = centred.shape
    factor = ops.rsqrt(variance + epsilon)
    if scale is not None:
        (weight,) = operands(scale)
        _along(name, "scale", weight, shape, (feature,))
        factor = factor * (scale if weight.rank == 0 and not isinstance(scale, Expr) else weight)
    out = centred * _along(name, "factor", factor, shape, (feature,))
    return out if bias is None else out + _along(name, "bias", bias, shape, (feature,))


def dropout(x: Operand, rate: float, key: Operand) -> Expr:
    """The tensor with a share `rate` of its elements, drawn at random, set to 0, and the others larger.

    What is kept is divided by `1 - rate`, so that the mean stays (inverted dropout); a cotangent goes the same way.
    `x` is a tensor of floats; `rate` is a number from 0, which gives `x` itself, up to but not including 1; `key` is
    one of `symgraph.random`, and equal keys drop equal elements. Raises GraphError for another rate, and ShapeError
    or DTypeError for what is no key.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, Dropout (2014), section 10.

    >>> from symgraph import random
    >>> from symgraph.expr import placeholder
    >>> dropout(placeholder("x", ("batch", 512)), 0.5, random.key(0))
    <where: f32[batch,512]>
    """
    (e,) = operands(x, floating=True)
    if not 0 <= as_float(rate) < 1:
        raise GraphError(
            f"dropout: the rate is a number from 0 up to but not including 1, and this is {shown(rate)}",
            hint="It is the share that is dropped: 0.5 drops half. To drop all write symgraph.zeros_like(x).",
        )
    kept = 1.0 - float(rate)
    mask = random.bernoulli(key, kept, e.shape)
    return e if kept == 1.0 else ops.where(mask, e * (1.0 / kept), 0.0)
