"""Trigonometric and hyperbolic functions and their inverses: record and rules, then the public function.

Each takes one tensor of any shape (atan2: two, broadcast), or a number; floats keep their dtype and integers
are cast to float32. Angles are in radians. Outside of its domain a function is NaN, and at a pole an
infinity, as in NumPy. They raise nothing but what their operands raise.
"""

import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ops.base import sum_to
from symgraph.ops.transcendental import Function

Vjp = tuple[Expr | None, ...]


class Sin(Function):
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


class Cos(Function):
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


class Tan(Function):
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


class Asin(Function):
    """The arc sine."""

    name = "asin"
    ufunc = np.arcsin
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Not 1 - x**2, which cancels near 1.
        return (g / ops.sqrt((1.0 - inputs[0]) * (inputs[0] + 1.0)),)


def asin(x: Operand) -> Expr:
    """The angle in radians, from -pi/2 to pi/2, whose sine is the element: NaN outside of -1 to 1.

    >>> from symgraph.expr import placeholder
    >>> asin(placeholder("x", ("batch", 3)))
    <asin: f32[batch,3]>
    """
    return ops.apply(Asin(), *operands(x, floating=True))


class Acos(Function):
    """The arc cosine."""

    name = "acos"
    ufunc = np.arccos

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (ops.neg(g / ops.sqrt((1.0 - inputs[0]) * (inputs[0] + 1.0))),)


def acos(x: Operand) -> Expr:
    """The angle in radians, from 0 to pi, whose cosine is the element: NaN outside of -1 to 1.

    >>> from symgraph.expr import placeholder
    >>> acos(placeholder("x", ("batch", 3)))
    <acos: f32[batch,3]>
    """
    return ops.apply(Acos(), *operands(x, floating=True))


class Atan(Function):
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


class Sinh(Function):
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


class Cosh(Function):
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


class Tanh(Function):
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


class Asinh(Function):
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


class Acosh(Function):
    """The inverse of the hyperbolic cosine."""

    name = "acosh"
    ufunc = np.arccosh
    monotone = True

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Two roots: x**2 would overflow, and x**2 - 1 cancel near 1.
        return (g / (ops.sqrt(inputs[0] - 1.0) * ops.sqrt(inputs[0] + 1.0)),)


def acosh(x: Operand) -> Expr:
    """The number of at least 0 whose hyperbolic cosine is the element: NaN below 1.

    >>> from symgraph.expr import placeholder
    >>> acosh(placeholder("x", ("batch", 3)))
    <acosh: f32[batch,3]>
    """
    return ops.apply(Acosh(), *operands(x, floating=True))


class Atanh(Function):
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


class Atan2(Function):
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
