"""Arithmetic: one paragraph an op, its record and rules, then its public function.

Ties follow one rule: of k equal values that compete (maximum, minimum, max, min) each receives 1/k of the
cotangent. `relu` and `abs` do not compete: their derivative at 0 is 0.
"""

from typing import ClassVar

import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Constant
from symgraph.ops.base import Elementwise, sum_to

Vjp = tuple[Expr | None, ...]


class Neg(Elementwise):
    """-x."""

    name = "neg"
    kinds = "fi"
    ufunc = np.negative

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (neg(g),)


def neg(x: Operand) -> Expr:
    """The negative of each element.

    >>> from symgraph.expr import placeholder
    >>> neg(placeholder("x", (3,)))
    <neg: f32[3]>
    """
    return ops.apply(Neg(), *operands(x))


class Abs(Elementwise):
    """|x|; the derivative at 0 is 0."""

    name = "abs"
    kinds = "fi"
    ufunc = np.absolute
    idempotent = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * sign(inputs[0]),)


def abs(x: Operand) -> Expr:
    """The absolute value of each element; the derivative at 0 is 0. The smallest integer is its own.

    >>> from symgraph.expr import placeholder
    >>> abs(placeholder("x", (3,)))
    <abs: f32[3]>
    """
    return ops.apply(Abs(), *operands(x))


class Sign(Elementwise):
    """-1, 0 or 1 (NaN for NaN); its derivative is nowhere other than 0, so it has none."""

    name = "sign"
    kinds = "fi"
    ufunc = np.sign
    idempotent = True
    monotone = True


def sign(x: Operand) -> Expr:
    """The sign of each element: -1, 0 or 1, and NaN for NaN; it has no derivative.

    >>> from symgraph.expr import placeholder
    >>> sign(placeholder("x", (3,)))
    <sign: f32[3]>
    """
    return ops.apply(Sign(), *operands(x))


class Square(Elementwise):
    """x * x."""

    name = "square"
    kinds = "fi"
    ufunc = np.square

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * (inputs[0] * 2),)


def square(x: Operand) -> Expr:
    """The square of each element; integers wrap around.

    >>> from symgraph.expr import placeholder
    >>> square(placeholder("x", (3,)))
    <square: f32[3]>
    """
    return ops.apply(Square(), *operands(x))


class Reciprocal(Elementwise):
    """1 / x in floating point; of 0.0 it is inf, of -0.0 -inf."""

    name = "reciprocal"
    ufunc = np.reciprocal

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (neg(g * square(out)),)


def reciprocal(x: Operand) -> Expr:
    """One over each element; integers are cast to float32.

    >>> from symgraph.expr import placeholder
    >>> reciprocal(placeholder("n", (3,), "int32"))
    <reciprocal: f32[3]>
    """
    return ops.apply(Reciprocal(), *operands(x, floating=True))


class Add(Elementwise):
    """x + y."""

    name = "add"
    kinds = "fi"
    ufunc = np.add
    commutative = True
    associative = True
    identity: ClassVar[float] = -0.0  # x + 0.0 turns -0.0 into 0.0

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        return sum_to(g, x.shape), sum_to(g, y.shape)


def add(x: Operand, y: Operand) -> Expr:
    """The sum of two tensors, broadcast.

    `x` and `y` are tensors or numbers that promote to one dtype. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> add(placeholder("x", ("batch", 3)), 1.0)
    <add: f32[batch,3]>
    """
    return ops.apply(Add(), *operands(x, y))


class Sub(Elementwise):
    """x - y."""

    name = "sub"
    kinds = "fi"
    ufunc = np.subtract
    identity: ClassVar[float] = 0.0

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        return sum_to(g, x.shape), neg(sum_to(g, y.shape))


def sub(x: Operand, y: Operand) -> Expr:
    """The difference of two tensors, broadcast. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> sub(1.0, placeholder("x", ("batch", 3)))
    <sub: f32[batch,3]>
    """
    return ops.apply(Sub(), *operands(x, y))


class Mul(Elementwise):
    """x * y."""

    name = "mul"
    kinds = "fi"
    ufunc = np.multiply
    commutative = True
    associative = True
    identity: ClassVar[float] = 1.0

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        return sum_to(g * y, x.shape), sum_to(g * x, y.shape)


def mul(x: Operand, y: Operand) -> Expr:
    """The product of two tensors, element by element, broadcast. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> mul(placeholder("x", ("batch", 3)), placeholder("w", (3,)))
    <mul: f32[batch,3]>
    """
    return ops.apply(Mul(), *operands(x, y))


class Div(Elementwise):
    """x / y in floating point."""

    name = "div"
    ufunc = np.divide
    identity: ClassVar[float] = 1.0

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        by_x = g / y
        return sum_to(by_x, x.shape), neg(sum_to(by_x * out, y.shape))


def div(x: Operand, y: Operand) -> Expr:
    """The quotient of two tensors, broadcast; integers are divided as float32. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> div(placeholder("n", ("batch",), "int64"), 2)
    <div: f32[batch]>
    """
    return ops.apply(Div(), *operands(x, y, floating=True))


class FloorDivide(Elementwise):
    """floor(x / y), by NumPy's rules; it is piecewise constant, so it has no derivative."""

    name = "floor_divide"
    kinds = "fi"
    ufunc = np.floor_divide
    cost = 4


def floor_divide(x: Operand, y: Operand) -> Expr:
    """The quotient rounded towards minus infinity, as Python's `//`, broadcast.

    Integers divided by 0 give 0, and the smallest integer divided by -1 is itself (it wraps around); floats
    divided by 0 give an infinity or NaN. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> floor_divide(placeholder("n", ("batch",), "int64"), 2)
    <floor_divide: i64[batch]>
    """
    return ops.apply(FloorDivide(), *operands(x, y))


class Mod(Elementwise):
    """x - y * floor(x / y), which has the sign of y."""

    name = "mod"
    kinds = "fi"
    ufunc = np.remainder
    cost = 4

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # floor_divide, not floor(x / y): the quotient that mod itself used, which rounding cannot change.
        x, y = inputs
        return sum_to(g, x.shape), neg(sum_to(g * floor_divide(x, y), y.shape))


def mod(x: Operand, y: Operand) -> Expr:
    """The remainder of `floor_divide`, with the sign of y, as Python's `%`, broadcast.

    Integers modulo 0 give 0; floats modulo 0 give NaN. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> mod(placeholder("n", ("batch",), "int64"), 2)
    <mod: i64[batch]>
    """
    return ops.apply(Mod(), *operands(x, y))


class _Extreme(Elementwise):
    """What maximum and minimum share. Which zero they give for 0.0 and -0.0 is not specified."""

    kinds = "fi"
    commutative = True
    associative = True
    idempotent = True
    smooth = False

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        tied = ops.where(ops.equal(x, y), g * 0.5, 0.0)
        wins, loses = (y, x) if isinstance(self, Minimum) else (x, y)
        by_x = ops.where(ops.greater(wins, loses), g, tied)
        by_y = ops.where(ops.less(wins, loses), g, tied)
        return sum_to(by_x, x.shape), sum_to(by_y, y.shape)


class Maximum(_Extreme):
    """The larger of x and y; NaN where either is; a tie gives each half of the cotangent."""

    name = "maximum"
    ufunc = np.maximum


def maximum(x: Operand, y: Operand) -> Expr:
    """The larger of two tensors, element by element, broadcast; NaN where either is NaN.

    Operands that are equal receive half of the cotangent each. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> maximum(placeholder("x", ("batch", 3)), 0)
    <maximum: f32[batch,3]>
    """
    return ops.apply(Maximum(), *operands(x, y))


class Minimum(_Extreme):
    """The smaller of x and y; NaN where either is; a tie gives each half of the cotangent."""

    name = "minimum"
    ufunc = np.minimum


def minimum(x: Operand, y: Operand) -> Expr:
    """The smaller of two tensors, element by element, broadcast; NaN where either is NaN.

    Operands that are equal receive half of the cotangent each. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> minimum(placeholder("x", ("batch", 3)), 6)
    <minimum: f32[batch,3]>
    """
    return ops.apply(Minimum(), *operands(x, y))


class Pow(Elementwise):
    """x ** y. d/dy at x = 0 is 0 and d/dx at y = 0 is 0, the limits that keep gradients finite."""

    name = "pow"
    kinds = "fi"
    ufunc = np.power  # of floats; of integers `evaluate` is the meaning
    cost = 20
    identity: ClassVar[float] = 1.0

    def evaluate(self, *arrays: Array) -> Array:
        x, y = arrays
        if x.dtype.kind == "f":
            return np.asarray(np.power(x, y))
        # NumPy refuses negative integer powers: x ** -n is 0, but for 1 and -1.
        safe = np.power(x, np.maximum(y, 0))
        inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y % 2), 0)).astype(x.dtype)
        return np.where(y < 0, inverse, safe)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        if isinstance(y.op, Constant) and y.rank == 0:
            return _times_power(g, x, float(y.op.value.array)), sum_to(g * _by_exponent(out, x), ())
        # At 0**0 the power y - 1 is infinite; anywhere else y = 0 makes the product 0, and it stays a function of y.
        both = ops.logical_and(ops.equal(x, 0), ops.equal(y, 0))
        by_x = y * pow(ops.where(both, 1.0, x), y - 1)
        return sum_to(g * by_x, x.shape), sum_to(g * _by_exponent(out, x), y.shape)


def _by_exponent(out: Expr, x: Expr) -> Expr:
    """D x**y / dy = x**y log x, and 0 at x = 0."""
    zero = ops.equal(x, 0)
    return ops.where(zero, 0.0, out * ops.log(ops.where(zero, 1.0, x)))


def _times_power(g: Expr, x: Expr, y: float) -> Expr:
    """G * d x**y / dx for a number y, without the nodes that the usual powers do not need."""
    if y == 0.0:
        return ops.zeros_like(x)
    if y == 1.0:
        return g
    return g * ((x if y == 2.0 else pow(x, y - 1.0)) * y)


def pow(x: Operand, y: Operand) -> Expr:
    """The power x ** y, broadcast.

    Floats follow IEEE 754's pow; integers are exact and wrap around, and x ** -n is 0 unless |x| is 1. The
    derivative by x is 0 where y is 0, and that by y is 0 where x is 0. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> pow(placeholder("x", ("batch",)), 3)
    <pow: f32[batch]>
    """
    return ops.apply(Pow(), *operands(x, y))


class _Rounding(Elementwise):
    """What roundings to an integral value share: piecewise constant, so they have no derivative."""

    idempotent = True
    monotone = True


class Floor(_Rounding):
    """The largest integral value that is not above x."""

    name = "floor"
    ufunc = np.floor


class Ceil(_Rounding):
    """The smallest integral value that is not below x."""

    name = "ceil"
    ufunc = np.ceil


class Round(_Rounding):
    """The nearest integral value; of two, the even one."""

    name = "round"
    ufunc = np.rint


class Trunc(_Rounding):
    """The integral part of x: rounding towards zero."""

    name = "trunc"
    ufunc = np.trunc


def _integral(op: _Rounding, x: Operand) -> Expr:
    """The rounding of a float; an integer is integral as it is."""
    (e,) = operands(x)
    return e if e.dtype.kind == "i" else ops.apply(op, e)


def floor(x: Operand) -> Expr:
    """Each element rounded down to an integral value of the same dtype; integers as they are.

    Raises DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> floor(placeholder("x", (3,)))
    <floor: f32[3]>
    """
    return _integral(Floor(), x)


def ceil(x: Operand) -> Expr:
    """Each element rounded up to an integral value of the same dtype; integers as they are.

    Raises DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> ceil(placeholder("x", (3,)))
    <ceil: f32[3]>
    """
    return _integral(Ceil(), x)


def round(x: Operand) -> Expr:
    """Each element rounded to the nearest integral value, halves to even: 0.5 gives 0, 1.5 gives 2.

    The dtype stays; integers are as they are. Raises DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> round(placeholder("x", (3,)))
    <round: f32[3]>
    """
    return _integral(Round(), x)


def trunc(x: Operand) -> Expr:
    """Each element rounded towards zero to an integral value of the same dtype; integers as they are.

    Raises DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> trunc(placeholder("x", (3,)))
    <trunc: f32[3]>
    """
    return _integral(Trunc(), x)
