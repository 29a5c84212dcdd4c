"""Transcendental functions: one paragraph an op, its record and rules, then its public function.

Each takes one tensor of any shape (atan2: two, broadcast), or a number; floats keep their dtype and integers
are cast to float32. Outside of its domain a function is NaN, and at a pole an infinity, as in NumPy. They
raise nothing but what their operands raise.

Derivatives are written in the form that is accurate and finite wherever the derivative is. Those of sigmoid
and tanh use the result alone, out * (1 - out) and 1 - out**2: one exponential less, with an absolute error of
an ulp of 1 where the function saturates.
"""

import math

import attrs
import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array
from symgraph.ops import special
from symgraph.ops.base import Elementwise, sum_to
from symgraph.types import FLOAT32

Vjp = tuple[Expr | None, ...]


@attrs.frozen
class _Function(Elementwise):
    """What the functions of this module share: floats only, and some twenty flops an element."""

    cost = 20


@attrs.frozen
class Exp(_Function):
    """e ** x."""

    name = "exp"
    ufunc = np.exp
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * out,)


def exp(x: Operand) -> Expr:
    """Euler's number to the power of each element: 0 for -inf.

    >>> from symgraph.expr import placeholder
    >>> exp(placeholder("x", ("batch", 3)))
    <exp: f32[batch,3]>
    """
    return ops.apply(Exp(), *operands(x, floating=True))


@attrs.frozen
class Expm1(_Function):
    """exp(x) - 1, accurate near 0."""

    name = "expm1"
    ufunc = np.expm1
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Not out + 1, which cancels where x is very negative.
        return (g * exp(inputs[0]),)


def expm1(x: Operand) -> Expr:
    """exp(x) - 1 of each element, without the cancellation near 0.

    >>> from symgraph.expr import placeholder
    >>> expm1(placeholder("x", ("batch", 3)))
    <expm1: f32[batch,3]>
    """
    return ops.apply(Expm1(), *operands(x, floating=True))


@attrs.frozen
class Exp2(_Function):
    """2 ** x."""

    name = "exp2"
    ufunc = np.exp2
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * (out * math.log(2.0)),)


def exp2(x: Operand) -> Expr:
    """2 to the power of each element.

    >>> from symgraph.expr import placeholder
    >>> exp2(placeholder("x", ("batch", 3)))
    <exp2: f32[batch,3]>
    """
    return ops.apply(Exp2(), *operands(x, floating=True))


@attrs.frozen
class Log(_Function):
    """The natural logarithm."""

    name = "log"
    ufunc = np.log
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g / inputs[0],)


def log(x: Operand) -> Expr:
    """The natural logarithm of each element: -inf for 0, NaN below.

    >>> from symgraph.expr import placeholder
    >>> log(placeholder("x", ("batch", 3)))
    <log: f32[batch,3]>
    """
    return ops.apply(Log(), *operands(x, floating=True))


@attrs.frozen
class Log1p(_Function):
    """log(1 + x), accurate near 0."""

    name = "log1p"
    ufunc = np.log1p
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g / (inputs[0] + 1.0),)


def log1p(x: Operand) -> Expr:
    """log(1 + x) of each element, without the cancellation near 0: -inf for -1, NaN below.

    >>> from symgraph.expr import placeholder
    >>> log1p(placeholder("x", ("batch", 3)))
    <log1p: f32[batch,3]>
    """
    return ops.apply(Log1p(), *operands(x, floating=True))


@attrs.frozen
class Log2(_Function):
    """The logarithm to base 2."""

    name = "log2"
    ufunc = np.log2
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g / (inputs[0] * math.log(2.0)),)


def log2(x: Operand) -> Expr:
    """The logarithm of each element to base 2: -inf for 0, NaN below.

    >>> from symgraph.expr import placeholder
    >>> log2(placeholder("x", ("batch", 3)))
    <log2: f32[batch,3]>
    """
    return ops.apply(Log2(), *operands(x, floating=True))


@attrs.frozen
class Sqrt(_Function):
    """The square root."""

    name = "sqrt"
    ufunc = np.sqrt
    monotone = True
    cost = 4

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * 0.5 / out,)


def sqrt(x: Operand) -> Expr:
    """The square root of each element: -0.0 for -0.0, NaN below 0; the derivative at 0 is inf.

    >>> from symgraph.expr import placeholder
    >>> sqrt(placeholder("x", ("batch", 3)))
    <sqrt: f32[batch,3]>
    """
    return ops.apply(Sqrt(), *operands(x, floating=True))


@attrs.frozen
class Rsqrt(_Function):
    """1 / sqrt(x)."""

    name = "rsqrt"
    cost = 8

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(1 / np.sqrt(x))

    def expand(self, *inputs: Expr) -> Expr:
        (x,) = inputs
        return ops.reciprocal(sqrt(x))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * -0.5 * out / inputs[0],)


def rsqrt(x: Operand) -> Expr:
    """One over the square root of each element: inf for 0, NaN below.

    >>> from symgraph.expr import placeholder
    >>> rsqrt(placeholder("x", ("batch", 3)))
    <rsqrt: f32[batch,3]>
    """
    return ops.apply(Rsqrt(), *operands(x, floating=True))


@attrs.frozen
class Sin(_Function):
    """The sine of x in radians."""

    name = "sin"
    ufunc = np.sin

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * cos(inputs[0]),)


def sin(x: Operand) -> Expr:
    """The sine of each element, in radians: NaN for an infinity.

    >>> from symgraph.expr import placeholder
    >>> sin(placeholder("x", ("batch", 3)))
    <sin: f32[batch,3]>
    """
    return ops.apply(Sin(), *operands(x, floating=True))


@attrs.frozen
class Cos(_Function):
    """The cosine of x in radians."""

    name = "cos"
    ufunc = np.cos

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (ops.neg(g * sin(inputs[0])),)


def cos(x: Operand) -> Expr:
    """The cosine of each element, in radians: NaN for an infinity.

    >>> from symgraph.expr import placeholder
    >>> cos(placeholder("x", ("batch", 3)))
    <cos: f32[batch,3]>
    """
    return ops.apply(Cos(), *operands(x, floating=True))


@attrs.frozen
class Tan(_Function):
    """The tangent of x in radians."""

    name = "tan"
    ufunc = np.tan

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * (ops.square(out) + 1.0),)


def tan(x: Operand) -> Expr:
    """The tangent of each element, in radians: NaN for an infinity.

    >>> from symgraph.expr import placeholder
    >>> tan(placeholder("x", ("batch", 3)))
    <tan: f32[batch,3]>
    """
    return ops.apply(Tan(), *operands(x, floating=True))


@attrs.frozen
class Asin(_Function):
    """The arc sine."""

    name = "asin"
    ufunc = np.arcsin
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Not 1 - x**2, which cancels near 1.
        return (g / sqrt((1.0 - inputs[0]) * (inputs[0] + 1.0)),)


def asin(x: Operand) -> Expr:
    """The angle in radians, from -pi/2 to pi/2, whose sine is the element: NaN outside of -1 to 1.

    >>> from symgraph.expr import placeholder
    >>> asin(placeholder("x", ("batch", 3)))
    <asin: f32[batch,3]>
    """
    return ops.apply(Asin(), *operands(x, floating=True))


@attrs.frozen
class Acos(_Function):
    """The arc cosine."""

    name = "acos"
    ufunc = np.arccos

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (ops.neg(g / sqrt((1.0 - inputs[0]) * (inputs[0] + 1.0))),)


def acos(x: Operand) -> Expr:
    """The angle in radians, from 0 to pi, whose cosine is the element: NaN outside of -1 to 1.

    >>> from symgraph.expr import placeholder
    >>> acos(placeholder("x", ("batch", 3)))
    <acos: f32[batch,3]>
    """
    return ops.apply(Acos(), *operands(x, floating=True))


@attrs.frozen
class Atan(_Function):
    """The arc tangent."""

    name = "atan"
    ufunc = np.arctan
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g / (ops.square(inputs[0]) + 1.0),)


def atan(x: Operand) -> Expr:
    """The angle in radians, from -pi/2 to pi/2, whose tangent is the element.

    >>> from symgraph.expr import placeholder
    >>> atan(placeholder("x", ("batch", 3)))
    <atan: f32[batch,3]>
    """
    return ops.apply(Atan(), *operands(x, floating=True))


@attrs.frozen
class Sinh(_Function):
    """The hyperbolic sine."""

    name = "sinh"
    ufunc = np.sinh
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * cosh(inputs[0]),)


def sinh(x: Operand) -> Expr:
    """The hyperbolic sine of each element.

    >>> from symgraph.expr import placeholder
    >>> sinh(placeholder("x", ("batch", 3)))
    <sinh: f32[batch,3]>
    """
    return ops.apply(Sinh(), *operands(x, floating=True))


@attrs.frozen
class Cosh(_Function):
    """The hyperbolic cosine."""

    name = "cosh"
    ufunc = np.cosh

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * sinh(inputs[0]),)


def cosh(x: Operand) -> Expr:
    """The hyperbolic cosine of each element.

    >>> from symgraph.expr import placeholder
    >>> cosh(placeholder("x", ("batch", 3)))
    <cosh: f32[batch,3]>
    """
    return ops.apply(Cosh(), *operands(x, floating=True))


@attrs.frozen
class Tanh(_Function):
    """The hyperbolic tangent."""

    name = "tanh"
    ufunc = np.tanh
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * (1.0 - ops.square(out)),)


def tanh(x: Operand) -> Expr:
    """The hyperbolic tangent of each element, from -1 to 1.

    >>> from symgraph.expr import placeholder
    >>> tanh(placeholder("x", ("batch", 3)))
    <tanh: f32[batch,3]>
    """
    return ops.apply(Tanh(), *operands(x, floating=True))


@attrs.frozen
class Asinh(_Function):
    """The inverse of the hyperbolic sine."""

    name = "asinh"
    ufunc = np.arcsinh
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # cosh(asinh x) is sqrt(1 + x**2), whose square would overflow.
        return (g / cosh(out),)


def asinh(x: Operand) -> Expr:
    """The number whose hyperbolic sine is the element.

    >>> from symgraph.expr import placeholder
    >>> asinh(placeholder("x", ("batch", 3)))
    <asinh: f32[batch,3]>
    """
    return ops.apply(Asinh(), *operands(x, floating=True))


@attrs.frozen
class Acosh(_Function):
    """The inverse of the hyperbolic cosine."""

    name = "acosh"
    ufunc = np.arccosh
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Two roots: x**2 would overflow, and x**2 - 1 cancel near 1.
        return (g / (sqrt(inputs[0] - 1.0) * sqrt(inputs[0] + 1.0)),)


def acosh(x: Operand) -> Expr:
    """The number of at least 0 whose hyperbolic cosine is the element: NaN below 1.

    >>> from symgraph.expr import placeholder
    >>> acosh(placeholder("x", ("batch", 3)))
    <acosh: f32[batch,3]>
    """
    return ops.apply(Acosh(), *operands(x, floating=True))


@attrs.frozen
class Atanh(_Function):
    """The inverse of the hyperbolic tangent."""

    name = "atanh"
    ufunc = np.arctanh
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g / ((1.0 - inputs[0]) * (inputs[0] + 1.0)),)


def atanh(x: Operand) -> Expr:
    """The number whose hyperbolic tangent is the element: infinite at -1 and 1, NaN beyond.

    >>> from symgraph.expr import placeholder
    >>> atanh(placeholder("x", ("batch", 3)))
    <atanh: f32[batch,3]>
    """
    return ops.apply(Atanh(), *operands(x, floating=True))


@attrs.frozen
class Atan2(_Function):
    """The angle of the point (x, y)."""

    name = "atan2"
    ufunc = np.arctan2

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        y, x = inputs
        by_area = g / (ops.square(x) + ops.square(y))
        return sum_to(by_area * x, y.shape), ops.neg(sum_to(by_area * y, x.shape))


def atan2(y: Operand, x: Operand) -> Expr:
    """The angle in radians, from -pi to pi, of the point (x, y), broadcast.

    That is atan(y / x) in the right quadrant. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> atan2(placeholder("y", ("batch", 3)), placeholder("x", (3,)))
    <atan2: f32[batch,3]>
    """
    return ops.apply(Atan2(), *operands(y, x, floating=True))


@attrs.frozen
class Sigmoid(_Function):
    """1 / (1 + exp(-x))."""

    name = "sigmoid"
    monotone = True
    cost = 24

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(1 / (1 + np.exp(-x)))

    def expand(self, *inputs: Expr) -> Expr:
        (x,) = inputs
        return ops.reciprocal(exp(ops.neg(x)) + 1.0)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * (out * (1.0 - out)),)


def sigmoid(x: Operand) -> Expr:
    """The logistic function 1 / (1 + exp(-x)) of each element, from 0 to 1; exact at both ends.

    >>> from symgraph.expr import placeholder
    >>> sigmoid(placeholder("x", ("batch", 3)))
    <sigmoid: f32[batch,3]>
    """
    return ops.apply(Sigmoid(), *operands(x, floating=True))


@attrs.frozen
class Softplus(_Function):
    """log(1 + exp(x)), which overflows for no x."""

    name = "softplus"
    monotone = True
    cost = 44

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))

    def expand(self, *inputs: Expr) -> Expr:
        (x,) = inputs
        return ops.maximum(x, 0) + log1p(exp(ops.neg(ops.abs(x))))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * sigmoid(inputs[0]),)


def softplus(x: Operand) -> Expr:
    """log(1 + exp(x)) of each element, a smooth relu, without overflow: x where it is large.

    >>> from symgraph.expr import placeholder
    >>> softplus(placeholder("x", ("batch", 3)))
    <softplus: f32[batch,3]>
    """
    return ops.apply(Softplus(), *operands(x, floating=True))


@attrs.frozen
class Erf(_Function):
    """The error function: 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""

    name = "erf"
    monotone = True
    cost = 40

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(special.erf32(x, np) if x.dtype == FLOAT32 else special.erf64(x, np))

    def expand(self, *inputs: Expr) -> Expr:
        (x,) = inputs
        made: Expr = special.erf32(x, ops) if x.dtype == FLOAT32 else special.erf64(x, ops)
        return made

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        density = exp(ops.neg(ops.square(inputs[0]))) * (2.0 / math.sqrt(math.pi))
        return (g * density,)


def erf(x: Operand) -> Expr:
    """The error function of each element, from -1 to 1.

    The approximations, and their accuracy, are those of `symgraph.ops.special`.

    >>> from symgraph.expr import placeholder
    >>> erf(placeholder("x", ("batch", 3)))
    <erf: f32[batch,3]>
    """
    return ops.apply(Erf(), *operands(x, floating=True))
