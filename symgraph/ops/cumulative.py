"""Running sums, products and recurrences along an axis: a paragraph each, record and rules, then function.

They are closed under differentiation: the derivative of a running sum is one the other way, and those
of a running product and of a recurrence are recurrences the other way.
"""

import itertools

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import ShapeError
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import broadcast_operands, normalise_axis, require_kind, require_same_dtype
from symgraph.types import BOOL, INT64, Dimension, TensorType

Vjp = tuple[Expr | None, ...]


@attrs.frozen
class CumSum(Op):
    """The sums of the elements up to each one on an axis, from the front or, reversed, from the back."""

    name = "cumsum"
    arity = 1
    axis: int
    reverse: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        require_kind(self.name, "fi", types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        return _accumulate(np.add, arrays[0], self.axis, self.reverse)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (cumsum(g, self.axis, reverse=not self.reverse),)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size


def cumsum(x: Operand, axis: int | None = None, reverse: bool = False) -> Expr:
    """The running sum on an axis: each element with all before it, or with `reverse` all after it.

    `x` is a tensor of numbers; integers keep their dtype, bools are counted in int64. Without `axis` the
    tensor is flattened first. Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> cumsum(placeholder("x", ("batch", 3)), axis=1)
    <cumsum: f32[batch,3]>
    """
    e, axis = _line(x, axis, "cumsum")
    return ops.apply(CumSum(axis, bool(reverse)), e)


@attrs.frozen
class ExclusiveCumProd(Op):
    """The products of the elements strictly before each one on an axis, or after it; 1 for the first."""

    name = "exclusive_cumprod"
    arity = 1
    axis: int
    reverse: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        require_kind(self.name, "fi", types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        before = np.ones_like(x)
        if x.shape[self.axis]:
            here, later = _cut(self.axis, None, -1), _cut(self.axis, 1, None)
            here, later = (later, here) if self.reverse else (here, later)
            before[later] = _accumulate(np.multiply, x[here], self.axis, self.reverse)
        return before

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # x_j is in every product after j: its cotangent is the product before it, times
        # t_j = g_{j+1} + x_{j+1} t_{j+1}, which skips x_j itself. Nothing is divided, so zeros are no matter.
        (x,) = inputs
        return (out * _carry(x, g, self.axis, not self.reverse),)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size


def cumprod(x: Operand, axis: int | None = None, reverse: bool = False, exclusive: bool = False) -> Expr:
    """The running product on an axis: each element times all before it, or with `reverse` all after it.

    `x` is a tensor of numbers; integers keep their dtype, bools are multiplied in int64. With `exclusive` the
    element itself is left out, so that the first product is 1. Without `axis` the tensor is flattened first.
    The derivatives are right where elements are 0. Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> cumprod(placeholder("x", ("batch", 3)), axis=1, exclusive=True)
    <exclusive_cumprod: f32[batch,3]>
    """
    e, axis = _line(x, axis, "cumprod")
    before = ops.apply(ExclusiveCumProd(axis, bool(reverse)), e)
    return before if exclusive else before * e


@attrs.frozen
class Recurrence(Op):
    """What reaches each element: c_{i+1} = a_i c_i + b_i and c_0 = 0; reversed, it comes from the back.

    It is its own derivative: with m the reversed recurrence of the cotangent, b receives m and a m c.
    """

    name = "recurrence"
    axis: int
    reverse: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        decay, x = types
        require_kind(self.name, "fi", x)
        require_same_dtype(self.name, types)
        if decay.shape != x.shape:
            raise ShapeError(f"recurrence: the operands have the shapes {decay} and {x}, and need one shape")
        return x

    def evaluate(self, *arrays: Array) -> Array:
        decay, x = (np.moveaxis(array, self.axis, 0) for array in arrays)
        carry = np.zeros_like(x)
        order = range(len(x))[::-1] if self.reverse else range(len(x))
        for here, following in itertools.pairwise(order):
            carry[following] = decay[here] * carry[here] + x[here]
        return np.ascontiguousarray(np.moveaxis(carry, 0, self.axis))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        back = _carry(inputs[0], g, self.axis, not self.reverse)
        return back * out, back

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * 2


def linear_recurrence(decay: Operand, x: Operand, axis: int = -1, reverse: bool = False) -> Expr:
    """y_i = decay_i y_{i-1} + x_i on an axis, from 0: discounted sums, moving averages, linear filters.

    `decay` broadcasts against `x` (a number is a constant decay); both promote to one dtype. With `reverse`
    each element builds on the one after it, as in discounted returns. Raises ShapeError for an axis that is
    not there.

    >>> from symgraph.expr import placeholder
    >>> linear_recurrence(0.9, placeholder("x", ("batch", 3))).type
    TensorType('f32[batch,3]')
    """
    a, b = operands(decay, x)
    shape = broadcast_operands("linear_recurrence", (a.type, b.type))
    a, b = ops.broadcast_to(a, shape), ops.broadcast_to(b, shape)
    axis = normalise_axis("linear_recurrence", axis, len(shape))
    return a * _carry(a, b, axis, bool(reverse)) + b


def _carry(decay: Expr, x: Expr, axis: int, reverse: bool) -> Expr:
    return ops.apply(Recurrence(axis, reverse), decay, x)


def _line(x: Operand, axis: int | None, name: str) -> tuple[Expr, int]:
    """The operand in numbers, flattened where there is no axis, with the axis counted from the front."""
    (e,) = operands(x)
    e = ops.cast(e, INT64) if e.dtype == BOOL else e
    if axis is None:
        return (e, 0) if e.rank == 1 else (ops.reshape(e, (e.size,)), 0)
    return e, normalise_axis(name, axis, e.rank)


def _cut(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)


def _accumulate(ufunc: np.ufunc, x: Array, axis: int, reverse: bool) -> Array:
    x = np.flip(x, axis) if reverse else x
    made: Array = ufunc.accumulate(x, axis=axis, dtype=x.dtype)
    return np.ascontiguousarray(np.flip(made, axis)) if reverse else made
