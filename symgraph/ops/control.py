"""Control: what stops a gradient, prints a value, or asserts that it is finite."""

import attrs

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.types import TensorType


@attrs.frozen
class StopGradient(Op):
    """x, as a constant to derivatives."""

    name = "stop_gradient"

    def infer(self, *types: TensorType) -> TensorType:
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0]


def stop_gradient(x: Operand) -> Expr:
    """The same value, through which no gradient flows.

    `x` is a tensor of any shape and dtype; so is the result.

    >>> from symgraph.expr import placeholder
    >>> stop_gradient(placeholder("x", (3,)))
    <stop_gradient: f32[3]>
    """
    return ops.apply(StopGradient(), *operands(x))
