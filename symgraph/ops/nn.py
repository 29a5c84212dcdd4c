"""Normalising functions of networks: softmax and its logarithm, layer normalisation."""

import math

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, Operand, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import normalise_axes, require_kind
from symgraph.ops.reduction import Axes
from symgraph.types import Dimension, Shape, TensorType, show_shape

Vjp = tuple[Expr | None, ...]


def positive(name: str, what: str, value: float) -> float:
    """A positive finite Python number that configures an op; raises GraphError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise GraphError(f"{name}: {what} is a positive number, and {value!r} is none")
    return float(value)


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
        out = out * _along("scale", scale, e.shape, over)
    return out if bias is None else out + _along("bias", bias, e.shape, over)


def _along(name: str, parameter: Operand, shape: Shape, axes: tuple[int, ...]) -> Operand:
    """A parameter of the sizes of `axes` in a shape that broadcasts against `shape`."""
    if not isinstance(parameter, Expr) and np.ndim(parameter) == 0:
        return parameter
    (e,) = operands(parameter)
    wanted = tuple(shape[a] for a in axes)
    if e.shape not in ((), wanted):
        raise ShapeError(
            f"layer_norm: the {name} has the shape {show_shape(e.shape)}, "
            f"and the axes {axes} have {show_shape(wanted)}",
            details=(describe(e),),
        )
    if e.rank == 0 or axes == tuple(range(len(shape) - len(axes), len(shape))):
        return e
    return ops.reshape(e, tuple(size if i in axes else 1 for i, size in enumerate(shape)))
