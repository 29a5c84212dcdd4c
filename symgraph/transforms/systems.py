"""Systems of equations that are written as inverses, and logarithms of determinants, which overflow.

Solving is backward stable: the residual of `solve(a, b)` is small whatever the condition of `a`, that of
`inverse(a) @ b` grows with it.
"""

from symgraph import ops
from symgraph.expr import Expr, apply
from symgraph.ops.arithmetic import Abs
from symgraph.ops.factorisation import Determinant, DeterminantSign, Inverse, LogDeterminant, Solve
from symgraph.ops.linalg import MatMul
from symgraph.ops.transcendental import Log
from symgraph.rewrite import Rule, pattern


def _swapped(x: Expr, swap: bool) -> Expr:
    return ops.swapaxes(x, -1, -2) if swap else x


def _from_left(a: Expr, b: Expr, out: Expr) -> Expr:
    """The x with a x = b is a⁻¹ b."""
    op = out.op
    assert isinstance(op, MatMul)
    return apply(Solve(op.transpose_a), a, _swapped(b, op.transpose_b))


def _from_right(a: Expr, b: Expr, out: Expr) -> Expr:
    """The transposed of what solves the transposed system: b a⁻¹ = (a⁻ᵀ bᵀ)ᵀ."""
    op = out.op
    assert isinstance(op, MatMul)
    return _swapped(apply(Solve(not op.transpose_b), a, _swapped(b, not op.transpose_a)), True)


RULES: list[Rule] = [
    Rule(
        "inverse-times",
        pattern(MatMul, pattern(Inverse, "a"), "b", bind="out"),
        lambda a, b, out: _from_left(a, b, out),
        "stabilises",
    ),
    Rule(
        "times-inverse",
        pattern(MatMul, "b", pattern(Inverse, "a"), bind="out"),
        lambda a, b, out: _from_right(a, b, out),
        "stabilises",
    ),
    # The logarithm of the sign is 0, NaN for -1, and -inf for 0.
    Rule(
        "log-determinant",
        pattern(Log, pattern(Determinant, "a")),
        lambda a: apply(LogDeterminant(), a) + ops.log(apply(DeterminantSign(), a)),
        "stabilises",
    ),
    Rule(
        "log-of-determinants-magnitude",
        pattern(Log, pattern(Abs, pattern(Determinant, "a"))),
        lambda a: apply(LogDeterminant(), a),
        "stabilises",
    ),
]
