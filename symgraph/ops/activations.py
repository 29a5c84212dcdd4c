"""Activations: relu, a primitive, and its relatives, compositions that are stable everywhere.

All keep the shape; integers are cast to float32 (relu keeps them). A branch that is not taken sees a safe
operand, so that it cannot turn a gradient into NaN. The sigmoid, softplus and tanh are in
`symgraph.ops.transcendental`.
"""

import math

import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array
from symgraph.ops.base import Elementwise

Vjp = tuple[Expr | None, ...]


class Relu(Elementwise):
    """max(x, 0); the derivative at 0 is 0."""

    name = "relu"
    kinds = "fi"
    idempotent = True
    monotone = True
    smooth = False

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.maximum(arrays[0], 0))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (ops.where(inputs[0] > 0, g, 0.0),)

    def expand(self, *inputs: Expr) -> Expr:
        return ops.maximum(inputs[0], 0)


def relu(x: Operand) -> Expr:
    """max(x, 0), the rectifier; NaN stays NaN, and the derivative at 0 is 0.

    `x` is a tensor of floats or integers. Raises DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> relu(placeholder("x", ("batch", 3)))
    <relu: f32[batch,3]>
    """
    return ops.apply(Relu(), *operands(x))


def leaky_relu(x: Operand, slope: float = 0.01) -> Expr:
    """The operand where it is positive, else slope * x; the derivative at 0 is the slope (Maas et al., 2013).

    >>> from symgraph.expr import placeholder
    >>> leaky_relu(placeholder("x", ("batch", 3)), 0.2)
    <where: f32[batch,3]>
    """
    (e,) = operands(x, floating=True)
    return ops.where(e > 0, e, e * slope)


def elu(x: Operand, alpha: float = 1.0) -> Expr:
    """The operand where it is positive, else alpha * (exp(x) - 1) (Clevert et al., 2015).

    The derivative at 0 is alpha.


    >>> from symgraph.expr import placeholder
    >>> elu(placeholder("x", ("batch", 3)))
    <where: f32[batch,3]>
    """
    (e,) = operands(x, floating=True)
    positive = e > 0
    # exp of a large x is inf, and 0 * inf NaN, were the branch not taken to see x itself.
    return ops.where(positive, e, ops.expm1(ops.where(positive, 0.0, e)) * alpha)


_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def selu(x: Operand) -> Expr:
    """The scaled elu whose constants keep mean 0 and variance 1 (Klambauer et al., 2017, section 2).

    >>> from symgraph.expr import placeholder
    >>> selu(placeholder("x", ("batch", 3)))
    <mul: f32[batch,3]>
    """
    return elu(x, _SELU_ALPHA) * _SELU_SCALE


def gelu(x: Operand, approximate: bool = False) -> Expr:
    """The operand times the probability that a normal number is below it (Hendrycks and Gimpel, 2016).

    That is x * (1 + erf(x / sqrt 2)) / 2; `approximate` takes the paper's form with tanh, which is within
    5e-4 of it and is what many published networks were trained with.

    >>> from symgraph.expr import placeholder
    >>> gelu(placeholder("x", ("batch", 3)))
    <mul: f32[batch,3]>
    """
    (e,) = operands(x, floating=True)
    if approximate:
        inner = (e + e * ops.square(e) * 0.044715) * math.sqrt(2.0 / math.pi)
        return e * 0.5 * (ops.tanh(inner) + 1.0)
    return e * 0.5 * (ops.erf(e * math.sqrt(0.5)) + 1.0)


def silu(x: Operand) -> Expr:
    """The operand times its sigmoid, also named swish (Elfwing et al., 2017).

    >>> from symgraph.expr import placeholder
    >>> silu(placeholder("x", ("batch", 3)))
    <mul: f32[batch,3]>
    """
    (e,) = operands(x, floating=True)
    return e * ops.sigmoid(e)
