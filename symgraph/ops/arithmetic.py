"""Arithmetic: one paragraph an op, its record and rules, then its public function.

Ties follow one rule: of k equal values that compete (maximum, minimum, max, min) each receives 1/k of the
cotangent. `relu` and `abs` do not compete: their derivative at 0 is 0.
"""

from typing import ClassVar

import attrs
import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array
from symgraph.ops.base import Elementwise, sum_to

Vjp = tuple[Expr | None, ...]


@attrs.frozen
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


@attrs.frozen
class Abs(Elementwise):
    """|x|; the derivative at 0 is 0."""

    name = "abs"
    kinds = "fi"
    ufunc = np.absolute
    idempotent = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * sign(inputs[0]),)


def abs(x: Operand) -> Expr:
    """The absolute value of each element."""
    return ops.apply(Abs(), *operands(x))


@attrs.frozen
class Sign(Elementwise):
    """-1, 0 or 1 (NaN for NaN); its derivative is nowhere other than 0, so it has none."""

    name = "sign"
    kinds = "fi"
    ufunc = np.sign
    idempotent = True
    monotone = True


def sign(x: Operand) -> Expr:
    """The sign of each element: -1, 0 or 1, and NaN for NaN."""
    return ops.apply(Sign(), *operands(x))


@attrs.frozen
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


@attrs.frozen
class Sub(Elementwise):
    """x - y."""

    name = "sub"
    kinds = "fi"
    ufunc = np.subtract

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        return sum_to(g, x.shape), neg(sum_to(g, y.shape))


def sub(x: Operand, y: Operand) -> Expr:
    """The difference of two tensors, broadcast."""
    return ops.apply(Sub(), *operands(x, y))


@attrs.frozen
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
    """The product of two tensors, element by element, broadcast."""
    return ops.apply(Mul(), *operands(x, y))


@attrs.frozen
class Div(Elementwise):
    """x / y in floating point."""

    name = "div"
    ufunc = np.divide

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        return sum_to(g / y, x.shape), neg(sum_to(g * out / y, y.shape))


def div(x: Operand, y: Operand) -> Expr:
    """The quotient of two tensors; integers are divided as float32."""
    return ops.apply(Div(), *operands(x, y, floating=True))


@attrs.frozen
class Maximum(Elementwise):
    """The larger of x and y; NaN where either is; a tie gives each half of the cotangent."""

    name = "maximum"
    kinds = "fi"
    ufunc = np.maximum
    commutative = True
    associative = True
    idempotent = True
    smooth = False

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        share = g * 0.5
        zero = ops.zeros_like(g)
        return (
            sum_to(ops.where(x > y, g, ops.where(ops.equal(x, y), share, zero)), x.shape),
            sum_to(ops.where(y > x, g, ops.where(ops.equal(x, y), share, zero)), y.shape),
        )




def maximum(x: Operand, y: Operand) -> Expr:
    """The larger of two tensors, element by element; NaN where either is NaN."""
    return ops.apply(Maximum(), *operands(x, y))


@attrs.frozen
class Pow(Elementwise):
    """x ** y. d/dy at x = 0 is 0 and d/dx at y = 0 is 0, the limits that keep gradients finite."""

    name = "pow"
    kinds = "fi"
    ufunc = np.power
    cost = 20

    def evaluate(self, *arrays: Array) -> Array:
        x, y = arrays
        if x.dtype.kind == "f":
            return np.power(x, y)
        # NumPy refuses negative integer powers: x ** -n is 0, but for 1 and -1.
        safe = np.power(x, np.maximum(y, 0))
        inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y % 2), 0)).astype(x.dtype)
        return np.where(y < 0, inverse, safe)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, y = inputs
        zero_power = ops.equal(y, 0)
        by_x = ops.where(zero_power, 0.0, y * pow(x, ops.where(zero_power, 1.0, y - 1)))
        by_y = out * ops.log(ops.where(ops.equal(x, 0), 1.0, x))
        return sum_to(g * by_x, x.shape), sum_to(g * by_y, y.shape)


def pow(x: Operand, y: Operand) -> Expr:
    """x to the power y; floats by IEEE's pow, integers exactly (and x ** -n is 0 unless |x| is 1)."""
    return ops.apply(Pow(), *operands(x, y))
