"""Matrix products: transposes become flags, and a factor moves to the smallest of the three tensors."""

from symgraph import ops
from symgraph.expr import Expr, apply
from symgraph.ops.arithmetic import Mul
from symgraph.ops.linalg import MatMul
from symgraph.ops.shape import Transpose
from symgraph.rewrite import Pass, Rule, Splat, pattern, rule_pass
from symgraph.transforms.facts import is_float, is_integer, is_number
from symgraph.types import Dimension

SUM_BOUND = 64.0  # ulp of the largest term: another order of summation


def matmul_pass() -> Pass:
    """The pass that absorbs transposes and moves factors."""
    return rule_pass("matmul", RULES)


def _swaps(transposed: Expr) -> bool:
    """Whether a transpose swaps the last two axes and leaves the others."""
    axes = transposed.op.axes  # type: ignore[attr-defined]
    rank = len(axes)
    return rank >= 2 and axes == (*range(rank - 2), rank - 1, rank - 2)


def _product(out: Expr, x: Expr, y: Expr, flip_a: bool = False, flip_b: bool = False) -> Expr:
    op = out.op
    assert isinstance(op, MatMul)
    return apply(MatMul(op.transpose_a != flip_a, op.transpose_b != flip_b), x, y)


def _swapped_product(out: Expr) -> Expr:
    """(A B)ᵀ = Bᵀ Aᵀ."""
    (product,) = out.inputs
    op, (x, y) = product.op, product.inputs
    assert isinstance(op, MatMul)
    return apply(MatMul(not op.transpose_b, not op.transpose_a), y, x)


TRANSPOSES: list[Rule] = [
    Rule(
        "transpose-into-left",
        pattern(MatMul, pattern(Transpose, "x", bind="t"), "y", bind="out"),
        lambda x, y, t, out: _product(out, x, y, flip_a=True),
        "exact",
        guard=lambda t, **_: _swaps(t),
    ),
    Rule(
        "transpose-into-right",
        pattern(MatMul, "x", pattern(Transpose, "y", bind="t"), bind="out"),
        lambda x, y, t, out: _product(out, x, y, flip_b=True),
        "exact",
        guard=lambda t, **_: _swaps(t),
    ),
    Rule(
        "transpose-of-product",
        pattern(Transpose, pattern(MatMul, "x", "y"), bind="out"),
        lambda x, y, out: _swapped_product(out),
        "reassociates",
        guard=lambda out, **_: is_float(out=out) and _swaps(out),
        bound=SUM_BOUND,
    ),
    Rule(
        "transpose-of-integer-product",
        pattern(Transpose, pattern(MatMul, "x", "y"), bind="out"),
        lambda x, y, out: _swapped_product(out),
        "exact",
        guard=lambda out, **_: is_integer(out=out) and _swaps(out),
    ),
]


def _smaller(size: Dimension, other: Dimension) -> bool:
    """Whether a number of elements is smaller, as far as that is known before a run."""
    difference = other - size
    return isinstance(difference, int) and difference > 0


def _from_left(x: Expr, y: Expr, c: Expr, out: Expr) -> Expr | None:
    """(c A) B with the factor on the smallest tensor; None where it stands well."""
    if _smaller(y.size, x.size) and not _smaller(out.size, y.size):
        return _product(out, x, y * _scalar(c))
    return _product(out, x, y) * _scalar(c) if _smaller(out.size, x.size) else None


def _from_right(x: Expr, y: Expr, c: Expr, out: Expr) -> Expr | None:
    if _smaller(x.size, y.size) and not _smaller(out.size, x.size):
        return _product(out, x * _scalar(c), y)
    return _product(out, x, y) * _scalar(c) if _smaller(out.size, y.size) else None


def _from_result(x: Expr, y: Expr, c: Expr, p: Expr) -> Expr | None:
    if _smaller(x.size, p.size) and not _smaller(y.size, x.size):
        return _product(p, x * _scalar(c), y)
    return _product(p, x, y * _scalar(c)) if _smaller(y.size, p.size) else None


def _scalar(c: Expr) -> Expr:
    """A constant of one number as a scalar."""
    while c.inputs:  # broadcasts of it
        (c,) = c.inputs
    return c if c.rank == 0 else ops.reshape(ops.getitem(c, (0,) * c.rank), ())


# Another tensor is scaled, which may overflow where the first did not: no bound.
SCALES: list[Rule] = [
    Rule(
        "scale-of-left",
        pattern(MatMul, pattern(Mul, "x", Splat("c"), bind="s"), "y", bind="out"),
        lambda x, y, c, s, out: _from_left(x, y, c, out),
        "reassociates",
        guard=lambda x, s, **_: not is_number(x) and x.shape == s.shape,
    ),
    Rule(
        "scale-of-right",
        pattern(MatMul, "x", pattern(Mul, "y", Splat("c"), bind="s"), bind="out"),
        lambda x, y, c, s, out: _from_right(x, y, c, out),
        "reassociates",
        guard=lambda y, s, **_: not is_number(y) and y.shape == s.shape,
    ),
    Rule(
        "scale-of-result",
        pattern(Mul, pattern(MatMul, "x", "y", bind="p"), Splat("c"), bind="out"),
        lambda x, y, c, p, out: _from_result(x, y, c, p),
        "reassociates",
        guard=lambda p, out, **_: p.shape == out.shape,
    ),
]

RULES: list[Rule] = TRANSPOSES + SCALES
