"""Tensors like another: of its shape and dtype, filled with one number.

They are compositions: a scalar constant, broadcast. What can broadcast needs none of them.
"""

from symgraph import ops
from symgraph.expr import Expr, Operand, Scalar, constant, operands


def full_like(x: Operand, value: Scalar) -> Expr:
    """A tensor of the shape and dtype of `x`, filled with `value`.

    Raises DTypeError when the dtype cannot hold the value.

    >>> from symgraph.expr import placeholder
    >>> full_like(placeholder("x", ("batch", 3)), 0.5).type
    TensorType('f32[batch,3]')
    """
    (e,) = operands(x)
    scalar = constant(value, e.dtype)
    return scalar if e.shape == () else ops.broadcast_to(scalar, e.shape)


def zeros_like(x: Operand) -> Expr:
    """A tensor of the shape and dtype of `x`, filled with 0 (False for bools).

    >>> from symgraph.expr import placeholder
    >>> zeros_like(placeholder("n", (3,), "int32")).type
    TensorType('i32[3]')
    """
    return full_like(x, 0)


def ones_like(x: Operand) -> Expr:
    """A tensor of the shape and dtype of `x`, filled with 1 (True for bools).

    >>> from symgraph.expr import placeholder
    >>> ones_like(placeholder("x", ())).type
    TensorType('f32[]')
    """
    return full_like(x, 1)
