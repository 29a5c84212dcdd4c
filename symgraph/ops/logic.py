"""Comparisons, logic, choice and casts: what makes bools, what takes them, and what changes a dtype.

Comparisons take two tensors of any dtype, promoted to one and broadcast, and give bools; by IEEE 754 every
comparison with NaN is False but `not_equal`, and 0.0 equals -0.0. Nothing here but `where` and `cast` between
floats has a derivative.
"""

from typing import ClassVar

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError
from symgraph.expr import Expr, Operand, as_expr, operands
from symgraph.ir import Array
from symgraph.ops.base import (
    Elementwise,
    broadcast_operands,
    require_same_dtype,
    sum_to,
)
from symgraph.types import BOOL, SHORT_NAMES, DType, DTypeLike, TensorType, dtype_of, make_type

Vjp = tuple[Expr | None, ...]


class Comparison(Elementwise):
    """What comparisons share: any dtype in, bools out, no derivative."""

    kinds = "fib"
    result = BOOL


class Equal(Comparison):
    """x == y."""

    name = "equal"
    ufunc = np.equal
    commutative = True


def equal(x: Operand, y: Operand) -> Expr:
    """Whether the elements of two tensors are equal; NaN equals nothing. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> equal(placeholder("x", ("batch", 3)), 0)
    <equal: bool[batch,3]>
    """
    return ops.apply(Equal(), *operands(x, y))


class NotEqual(Comparison):
    """x != y."""

    name = "not_equal"
    ufunc = np.not_equal
    commutative = True


def not_equal(x: Operand, y: Operand) -> Expr:
    """Whether the elements of two tensors differ; NaN differs from everything. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> not_equal(placeholder("x", ("batch", 3)), 0)
    <not_equal: bool[batch,3]>
    """
    return ops.apply(NotEqual(), *operands(x, y))


class Less(Comparison):
    """x < y."""

    name = "less"
    ufunc = np.less


def less(x: Operand, y: Operand) -> Expr:
    """Whether each element of x is smaller than that of y. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> less(placeholder("x", ("batch", 3)), 0)
    <less: bool[batch,3]>
    """
    return ops.apply(Less(), *operands(x, y))


class LessEqual(Comparison):
    """x <= y."""

    name = "less_equal"
    ufunc = np.less_equal


def less_equal(x: Operand, y: Operand) -> Expr:
    """Whether each element of x is at most that of y. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> less_equal(placeholder("x", ("batch", 3)), 0)
    <less_equal: bool[batch,3]>
    """
    return ops.apply(LessEqual(), *operands(x, y))


class Greater(Comparison):
    """x > y."""

    name = "greater"
    ufunc = np.greater


def greater(x: Operand, y: Operand) -> Expr:
    """Whether each element of x is larger than that of y. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> greater(placeholder("x", ("batch", 3)), 0)
    <greater: bool[batch,3]>
    """
    return ops.apply(Greater(), *operands(x, y))


class GreaterEqual(Comparison):
    """x >= y."""

    name = "greater_equal"
    ufunc = np.greater_equal


def greater_equal(x: Operand, y: Operand) -> Expr:
    """Whether each element of x is at least that of y. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> greater_equal(placeholder("x", ("batch", 3)), 0)
    <greater_equal: bool[batch,3]>
    """
    return ops.apply(GreaterEqual(), *operands(x, y))


class Logical(Elementwise):
    """What the connectives share: bools in, bools out."""

    kinds = "b"
    commutative = True
    associative = True


class LogicalAnd(Logical):
    """x and y."""

    name = "logical_and"
    ufunc = np.logical_and
    idempotent = True
    identity: ClassVar[float] = True


def logical_and(x: Operand, y: Operand) -> Expr:
    """Whether both are true, element by element. Raises ShapeError; DTypeError unless bools.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch",))
    >>> logical_and(x > 0, x < 1)
    <logical_and: bool[batch]>
    """
    return ops.apply(LogicalAnd(), *operands(x, y))


class LogicalOr(Logical):
    """x or y."""

    name = "logical_or"
    ufunc = np.logical_or
    idempotent = True
    identity: ClassVar[float] = False


def logical_or(x: Operand, y: Operand) -> Expr:
    """Whether one or both are true, element by element. Raises ShapeError; DTypeError unless bools.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch",))
    >>> logical_or(x < 0, x > 1)
    <logical_or: bool[batch]>
    """
    return ops.apply(LogicalOr(), *operands(x, y))


class LogicalXor(Logical):
    """Either x or y."""

    name = "logical_xor"
    ufunc = np.logical_xor
    identity: ClassVar[float] = False


def logical_xor(x: Operand, y: Operand) -> Expr:
    """Whether just one is true, element by element. Raises ShapeError; DTypeError unless bools.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch",))
    >>> logical_xor(x < 0, x > 1)
    <logical_xor: bool[batch]>
    """
    return ops.apply(LogicalXor(), *operands(x, y))


class LogicalNot(Elementwise):
    """not x."""

    name = "logical_not"
    kinds = "b"
    ufunc = np.logical_not


def logical_not(x: Operand) -> Expr:
    """The negation of each element. Raises DTypeError unless `x` is a tensor of bools.

    >>> from symgraph.expr import placeholder
    >>> logical_not(placeholder("mask", ("batch",), "bool"))
    <logical_not: bool[batch]>
    """
    return ops.apply(LogicalNot(), *operands(x))


class _Test(Elementwise):
    """What the classifications of floats share."""

    result = BOOL


class IsNan(_Test):
    """Whether x is NaN."""

    name = "isnan"
    ufunc = np.isnan


def isnan(x: Operand) -> Expr:
    """Whether each element is NaN; no integer is.

    >>> from symgraph.expr import placeholder
    >>> isnan(placeholder("x", (3,)))
    <isnan: bool[3]>
    """
    return ops.apply(IsNan(), *operands(x, floating=True))


class IsInf(_Test):
    """Whether x is an infinity of either sign."""

    name = "isinf"
    ufunc = np.isinf


def isinf(x: Operand) -> Expr:
    """Whether each element is inf or -inf; no integer is.

    >>> from symgraph.expr import placeholder
    >>> isinf(placeholder("x", (3,)))
    <isinf: bool[3]>
    """
    return ops.apply(IsInf(), *operands(x, floating=True))


class IsFinite(_Test):
    """Whether x is neither NaN nor an infinity."""

    name = "isfinite"
    ufunc = np.isfinite


def isfinite(x: Operand) -> Expr:
    """Whether each element is neither NaN nor an infinity; every integer is finite.

    >>> from symgraph.expr import placeholder
    >>> isfinite(placeholder("x", (3,)))
    <isfinite: bool[3]>
    """
    return ops.apply(IsFinite(), *operands(x, floating=True))


class Where(Elementwise):
    """x where the condition is true, else y: the one elementwise op whose operands differ in dtype."""

    name = "where"
    arity = 3
    kinds = "fib"

    def infer(self, *types: TensorType) -> TensorType:
        condition, x, y = types
        if condition.dtype != BOOL:
            raise DTypeError(
                f"where: the condition is {SHORT_NAMES[condition.dtype.name]}, and must be bool",
                hint="Compare it first, for instance with symgraph.not_equal(condition, 0).",
            )
        require_same_dtype(self.name, (x, y))
        return make_type(x.dtype, broadcast_operands(self.name, types))

    def evaluate(self, *arrays: Array) -> Array:
        return np.where(*arrays)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        condition, x, y = inputs
        by_x, by_y = where(condition, g, 0.0), where(condition, 0.0, g)
        return None, sum_to(by_x, x.shape), sum_to(by_y, y.shape)


def where(condition: Operand, x: Operand, y: Operand) -> Expr:
    """`x` where the condition is true, else `y`, all three broadcast.

    `condition` is a tensor of bools; `x` and `y` promote to one dtype, the result's. What is not chosen
    receives a cotangent of 0, which a derivative that is infinite there turns into NaN: choose a safe operand
    first, `where(x > 0, log(where(x > 0, x, 1)), 0)`. Raises ShapeError; DTypeError for another condition.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 3))
    >>> where(x > 0, x, 0)
    <where: f32[batch,3]>
    """
    return ops.apply(Where(), as_expr(condition), *operands(x, y))


def clip(x: Operand, low: Operand | None = None, high: Operand | None = None) -> Expr:
    """Each element moved into the range from `low` to `high`: minimum(maximum(x, low), high).

    The bounds broadcast against `x`; None leaves a side open; where low > high the result is high. NaN stays
    NaN. An element that equals a bound shares the cotangent with it, half each. Raises ShapeError,
    DTypeError.

    >>> from symgraph.expr import placeholder
    >>> clip(placeholder("x", ("batch", 3)), 0, 6)
    <minimum: f32[batch,3]>
    """
    (e,) = operands(x)
    e = e if low is None else ops.maximum(e, low)
    return e if high is None else ops.minimum(e, high)


@attrs.frozen
class Cast(Elementwise):
    """x in another dtype."""

    name = "cast"
    kinds = "fib"
    dtype: DType

    def infer(self, *types: TensorType) -> TensorType:
        return make_type(self.dtype, types[0].shape)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        if x.dtype.kind == "f" and self.dtype.kind == "i":
            return _truncate(x, self.dtype)
        return np.asarray(x.astype(self.dtype))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        return (cast(g, x.dtype) if x.type.is_float and out.type.is_float else None,)


def _truncate(x: Array, dtype: DType) -> Array:
    """Floats as integers, without what C leaves undefined: NaN is 0, and what is out of range saturates."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    # As floats the bounds may round to 2**31 or 2**63, which are out of range: hence >= and <=.
    above, below = x >= float(high), x <= float(low)
    inside = np.where(above | below | np.isnan(x), x.dtype.type(0), x).astype(dtype)
    limited = np.where(above, dtype.type(high), inside)
    return np.where(below, dtype.type(low), limited)


def cast(x: Operand, dtype: DTypeLike) -> Expr:
    """The same values in another dtype; the same expression where `x` has it already.

    Floats round to the nearest float; a float becomes an integer by truncation, where NaN gives 0 and what is
    out of range the nearest integer there is (as XLA does); int64 becomes int32 by wrapping around; to bool
    everything but 0 is true (also NaN). Only casts between floats have a derivative. Raises DTypeError.

    >>> from symgraph.expr import placeholder
    >>> cast(placeholder("x", ("batch", 3)), "int32")
    <cast: i32[batch,3]>
    """
    (e,) = operands(x)
    target = dtype_of(dtype)
    return e if e.dtype == target else ops.apply(Cast(target), e)
