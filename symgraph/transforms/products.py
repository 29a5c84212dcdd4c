"""Products as trees of mul, div and neg: which factors they have, and the product without one of them.

Walks go a few levels deep, so that the work at a node is bounded.
"""

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import attrs

from symgraph import ops
from symgraph.expr import Expr, apply, constant
from symgraph.ops.arithmetic import Add, Div, Mul, Neg, Reciprocal, Square, Sub
from symgraph.ops.nn import Softmax
from symgraph.ops.reduction import Sum
from symgraph.ops.shape import BroadcastTo, Reshape
from symgraph.ops.transcendental import Exp, Sigmoid
from symgraph.rewrite import same_number, splat

_DEPTH = 6  # levels of a product that are looked into
_VISITS = 24  # and nodes
_PRODUCTS = (Mul, Div, Neg, Reciprocal, Square)
PARTS = (*_PRODUCTS, Exp, Sigmoid, Softmax, Add)  # a product with an exponential has one among its operands


def is_one(expr: Expr) -> bool:
    """Whether the expression is the constant 1."""
    value = splat(expr)
    return value is not None and same_number(value, 1.0)


def is_zero(expr: Expr) -> bool:
    """Whether the expression is the constant 0."""
    value = splat(expr)
    return value is not None and bool(value == 0)


def times(x: Expr, y: Expr) -> Expr:
    """The product, where a scalar 1 leaves the other as it is."""
    if x.rank == 0 and is_one(x):
        return y
    return x if y.rank == 0 and is_one(y) else x * y


def over(x: Expr, y: Expr) -> Expr:
    """The quotient, where a scalar 1 leaves x as it is."""
    return x if y.rank == 0 and is_one(y) else x / y


def opposite(x: Expr) -> Expr:
    """The negative, without a double negation."""
    return x.inputs[0] if isinstance(x.op, Neg) else ops.neg(x)


def are_opposite(x: Expr, y: Expr) -> bool:
    """Whether one of two expressions is seen to be the negative of the other."""
    if (isinstance(x.op, Neg) and x.inputs[0] is y) or (isinstance(y.op, Neg) and y.inputs[0] is x):
        return True
    if not (isinstance(x.op, Mul) and isinstance(y.op, Mul)):
        return False
    left, right = _scaled(x), _scaled(y)
    return left is not None and right is not None and left[0] is right[0] and left[1] == -right[1]


def _scaled(x: Expr) -> tuple[Expr, float] | None:
    """The operand and the number of a product with a number."""
    for operand, factor in (x.inputs, x.inputs[::-1]):
        value = splat(factor)
        if value is not None:
            return operand, float(value)
    return None


def factors(expr: Expr) -> list[tuple[Expr, bool]]:
    """The factors of a product, each with whether it divides; of a long product the first ones."""
    found: list[tuple[Expr, bool]] = []
    stack = [(expr, False, _DEPTH)]
    for _ in range(_VISITS):
        if not stack:
            break
        here, inverse, depth = stack.pop()
        kind = type(here.op)
        if depth == 0 or kind not in _PRODUCTS:
            found.append((here, inverse))
            continue
        x = here.inputs[0]
        if kind is Mul or kind is Div or kind is Square:
            stack.append((here.inputs[-1], inverse != (kind is Div), depth - 1))
        stack.append((x, inverse != (kind is Reciprocal), depth - 1))
    return found


def without(expr: Expr, factor: Expr, inverse: bool = False, depth: int = _DEPTH) -> Expr | None:
    """The product without one factor (with `inverse`: without one division by it); None where it has none."""
    op, inputs = expr.op, expr.inputs
    if expr is factor:
        return None if inverse else constant(1.0, expr.dtype)
    if not depth:
        return None
    if isinstance(op, Neg):
        rest = without(inputs[0], factor, inverse, depth - 1)
        return None if rest is None else ops.neg(rest)
    if isinstance(op, Reciprocal):
        rest = without(inputs[0], factor, not inverse, depth - 1)
        return None if rest is None else over(constant(1.0, expr.dtype), rest)
    if not isinstance(op, Mul | Div | Square):
        return None
    x, y = inputs[0], inputs[-1]
    rest = without(x, factor, inverse, depth - 1)
    if rest is not None:
        return over(rest, y) if isinstance(op, Div) else times(rest, y)
    rest = without(y, factor, inverse != isinstance(op, Div), depth - 1)
    if rest is None:
        return None
    return times(x, rest) if isinstance(op, Mul) else over(x, rest)


@attrs.frozen
class Partition:
    """What normalises an exponential: 1 + exp(z), or the sum of exp(z) over axes."""

    kind: Literal["sigmoid", "softmax"]
    axes: tuple[int, ...] = ()

    def normalised(self, exponential: Expr) -> Expr:
        """The exponential divided by this, in the op that cannot overflow."""
        (z,) = exponential.inputs
        return ops.sigmoid(z) if self.kind == "sigmoid" else ops.softmax(z, self.axes)


def partition(expr: Expr, exponential: Expr) -> Partition | None:
    """What kind of normaliser of `exponential` an expression is; None when it is none."""
    if isinstance(expr.op, Add) and any(operand is exponential for operand in expr.inputs):
        other = expr.inputs[1 if expr.inputs[0] is exponential else 0]
        return Partition("sigmoid") if is_one(other) else None
    while isinstance(expr.op, BroadcastTo):
        expr = expr.inputs[0]
    shape = expr.shape
    while isinstance(expr.op, Reshape):
        expr = expr.inputs[0]
    if not isinstance(expr.op, Sum) or expr.inputs[0] is not exponential:
        return None
    axes = expr.op.axes
    kept = tuple(1 if i in axes else size for i, size in enumerate(exponential.shape))
    aligned = shape == kept or (1,) * (len(kept) - len(shape)) + shape == kept
    return Partition("softmax", axes) if aligned else None


Divided: TypeAlias = tuple[Expr, Partition]


def times_partition(expr: Expr, exponential: Expr, depth: int = _DEPTH) -> Divided | None:
    """X, and the normaliser of `exponential`, for an expression that is X divided by it; None for others.

    The division may stand in the terms of a sum, behind a broadcast, or below a reduction that it commutes
    with.
    """
    op, inputs = expr.op, expr.inputs
    if isinstance(op, Sigmoid):
        matched = are_opposite(inputs[0], exponential.inputs[0])
        return (constant(1.0, expr.dtype), Partition("sigmoid")) if matched else None
    if not depth:
        return None

    def inside(operand: Expr) -> Divided | None:
        return times_partition(operand, exponential, depth - 1)

    if isinstance(op, Div):
        return _quotient(inputs[0], inputs[1], exponential, inside)
    if isinstance(op, Mul | Square):
        x, y = inputs[0], inputs[-1]
        found = inside(x)
        if found is not None:
            return times(found[0], y), found[1]
        found = inside(y)
        return None if found is None else (times(x, found[0]), found[1])
    if isinstance(op, Add | Sub):
        left, right = inside(inputs[0]), inside(inputs[1])
        if left is not None and is_zero(inputs[1]):  # 0 is 0 divided by anything
            right = (inputs[1], left[1])
        same = left is not None and right is not None and left[1] == right[1]
        return (apply(op, left[0], right[0]), left[1]) if same and left and right else None
    if isinstance(op, Reshape):
        moved = _reshaped_operands(inputs[0], expr)
        return None if moved is None else inside(moved)
    if isinstance(op, Neg | BroadcastTo | Sum):
        found = inside(inputs[0])
        return None if found is None else _under(op, found, inputs[0], exponential)
    return None


def _reshaped_operands(x: Expr, out: Expr) -> Expr | None:
    """A reshape of a product as the product of reshaped operands."""
    if not isinstance(x.op, Mul | Div | Neg) or any(e.rank and e.shape != x.shape for e in x.inputs):
        return None
    return apply(x.op, *(ops.reshape(e, out.shape) if e.rank else e for e in x.inputs))


def _quotient(
    x: Expr, y: Expr, exponential: Expr, inside: Callable[[Expr], Divided | None]
) -> Divided | None:
    for factor, inverse in factors(y):
        kind = None if inverse else partition(factor, exponential)
        rest = without(y, factor) if kind is not None else None
        if kind is not None and rest is not None:
            return over(x, rest), kind
    found = inside(x)
    return None if found is None else (over(found[0], y), found[1])


def _under(op: Neg | BroadcastTo | Sum, found: Divided, operand: Expr, exponential: Expr) -> Divided | None:
    """The same for what an op makes of an expression that is divided."""
    made, kind = found
    if isinstance(op, Neg):
        return ops.neg(made), kind
    made = ops.broadcast_to(made, operand.shape)
    if isinstance(op, BroadcastTo):
        return ops.broadcast_to(made, op.shape), kind
    # A sum over axes along which the normaliser does not change.
    constant_along = kind.kind == "softmax" and set(op.axes) <= set(kind.axes)
    return (apply(op, made), kind) if constant_along and operand.rank == exponential.rank else None


def exponentials(expr: Expr) -> Iterator[Expr]:
    """The exponentials that a product multiplies by."""
    return (factor for factor, inverse in factors(expr) if not inverse and isinstance(factor.op, Exp))


def has_exponential(expr: Expr) -> bool:
    """Whether a product has a factor that is an exponential, or made of one: what else is looked at."""
    return any(
        isinstance(factor.op, Exp | Sigmoid | Softmax)
        or (isinstance(factor.op, Add) and any(isinstance(x.op, Exp) for x in factor.inputs))
        for factor, _ in factors(expr)
    )
