"""Exponentials, logarithms, roots, sigmoid, softplus, erf and its inverse: record and rules, then the public function.

Each takes one tensor of any shape, or a number; floats keep their dtype and integers are cast to float32.
Outside of its domain a function is NaN, and at a pole an infinity, as in NumPy. They raise nothing but what
their operands raise.

Derivatives are written in the form that is accurate and finite wherever the derivative is. That of sigmoid
uses the result alone, out * (1 - out): one exponential less, with an absolute error of an ulp of 1 where the
function saturates (and none once `1 - sigmoid(x)` is rewritten to `sigmoid(-x)`). So does that of tanh.
"""

import math

import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array
from symgraph.ops import special
from symgraph.ops.arithmetic import Neg
from symgraph.ops.base import Elementwise
from symgraph.types import FLOAT32

Vjp = tuple[Expr | None, ...]


class Function(Elementwise):
    """What transcendental functions share: floats only, and some twenty flops an element."""

    cost = 20


class Exp(Function):
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


class Expm1(Function):
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


class Exp2(Function):
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


class Log(Function):
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


class Log1p(Function):
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


class Log2(Function):
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


class Sqrt(Function):
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


class Rsqrt(Function):
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


class Sigmoid(Function):
    """1 / (1 + exp(-x))."""

    name = "sigmoid"
    monotone = True
    cost = 24

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(1 / (1 + np.exp(-x)))

    def expand(self, *inputs: Expr) -> Expr:
        # Of -z it is e / (1 + e) with the e = exp(-z) that z itself takes: a graph that has both, as every
        # derivative does, needs one exponential. e is kept finite there, so that the quotient is 1 at the end.
        (x,) = inputs
        if isinstance(x.op, Neg):
            e = ops.minimum(exp(x), float(np.finfo(x.dtype).max))
            return e / (e + 1.0)
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


class Softplus(Function):
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


class Erf(Function):
    """The error function: 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""

    name = "erf"
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


class Erfinv(Function):
    """The inverse of the error function, of numbers from -1 to 1."""

    name = "erfinv"
    monotone = True
    cost = 60

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return special.erfinv32(x) if x.dtype == FLOAT32 else special.erfinv64(x)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g * (exp(ops.square(out)) * (math.sqrt(math.pi) / 2.0)),)


def erfinv(x: Operand) -> Expr:
    """The inverse of the error function of each element: infinite at -1 and 1, NaN beyond.

    The approximations, and their accuracy, are those of `symgraph.ops.special`.

    >>> from symgraph.expr import placeholder
    >>> erfinv(placeholder("x", ("batch", 3)))
    <erfinv: f32[batch,3]>
    """
    return ops.apply(Erfinv(), *operands(x, floating=True))
