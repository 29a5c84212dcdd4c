"""Motion of broadcasts, reductions and transposes: computing on fewer elements, and moving them less.

A broadcast moves towards the results until something needs it; a transpose too, and there meets another, or a
matrix product that absorbs it. Moving towards the results lets one sweep carry them through any chain.
"""

from symgraph import ops
from symgraph.expr import Expr, apply, constant
from symgraph.ops.arithmetic import (
    Abs,
    Add,
    Ceil,
    Div,
    Floor,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Reciprocal,
    Round,
    Sign,
    Square,
    Sub,
    Trunc,
)
from symgraph.ops.base import Elementwise
from symgraph.ops.logic import Cast, Comparison, IsFinite, IsInf, IsNan, Logical, LogicalNot, Where
from symgraph.ops.reduction import All, Any, Max, Min, Reduction, Sum
from symgraph.ops.shape import BroadcastTo, Reshape, Transpose
from symgraph.rewrite import Pass, Rule, Splat, pattern, rule_pass
from symgraph.transforms.facts import is_float, is_integer, is_number, number_of
from symgraph.types import broadcast, product

# One rounding of the exact result, or none: the same bits wherever an element stands in memory. NumPy
# computes other functions by a vector or a scalar routine, and these may differ in the last place.
_ROUNDED = (
    Abs, Add, Ceil, Div, Floor, Maximum, Minimum, Mul, Neg, Reciprocal, Round, Sign, Square, Sub, Trunc,
    Cast, IsFinite, IsInf, IsNan, LogicalNot, Where, Comparison, Logical,
)  # fmt: skip
_VECTOR_BOUND = 4.0  # ulp between the routines
_SUM_BOUND = 64.0  # ulp of the largest term: another order of summation


def motion_pass() -> Pass:
    """The pass that moves broadcasts, reductions and transposes."""
    return rule_pass("motion", RULES)


def _is_rounded(out: Expr) -> bool:
    return isinstance(out.op, _ROUNDED)


def _bare(x: Expr) -> Expr:
    """The operand of broadcasts."""
    while isinstance(x.op, BroadcastTo):
        x = x.inputs[0]
    return x


def _without_broadcasts(out: Expr) -> Expr | None:
    bare = tuple(map(_bare, out.inputs))
    if all(a is b for a, b in zip(bare, out.inputs, strict=True)):
        return None
    return apply(out.op, *bare)


def _keeps_shape(out: Expr) -> bool:
    """Whether the operands without their broadcasts still make the whole result."""
    return broadcast(*(_bare(x).shape for x in out.inputs)) == out.shape


BROADCASTS: list[Rule] = [
    Rule(
        "broadcast-of-operand",
        pattern(Elementwise, bind="out", among=(BroadcastTo,)),
        _without_broadcasts,
        "exact",
        guard=lambda out: _is_rounded(out) or _keeps_shape(out),
    ),
    Rule(
        "broadcast-of-all-operands",
        pattern(Elementwise, bind="out", among=(BroadcastTo,)),
        _without_broadcasts,
        "reassociates",
        guard=lambda out: not _is_rounded(out) and not _keeps_shape(out),
        bound=_VECTOR_BOUND,
    ),
]


def _repeated(x: Expr, b: Expr, out: Expr) -> tuple[int, ...] | None:
    """The axes that a reduction takes if all of them were made by the broadcast, with elements; else None."""
    axes: tuple[int, ...] = out.op.axes  # type: ignore[attr-defined]
    extra = b.rank - x.rank
    sizes = [b.shape[a] for a in axes]
    if any(a >= extra and x.shape[a - extra] != 1 for a in axes):
        return None
    return axes if all(isinstance(size, int) and size > 0 for size in sizes) else None


def _once(x: Expr, b: Expr, out: Expr) -> Expr:
    """What is left of `x` when the axes that the broadcast made are gone again."""
    extra = b.rank - x.rank
    op = out.op
    assert isinstance(op, Reduction)
    if op.keepdims:
        shape = tuple(1 if i < extra else x.shape[i - extra] for i in range(b.rank))
    else:
        shape = tuple(1 if i < extra else x.shape[i - extra] for i in range(b.rank) if i not in op.axes)
    return ops.reshape(x, shape)


def _sum_of_broadcast(x: Expr, b: Expr, out: Expr) -> Expr:
    count = product(b.shape[a] for a in out.op.axes)  # type: ignore[attr-defined]
    assert isinstance(count, int)
    return _once(x, b, out) * constant(count, x.dtype)


def _counts(x: Expr, b: Expr, out: Expr) -> bool:
    axes = _repeated(x, b, out)
    return axes is not None and bool(product(b.shape[a] for a in axes) < 2**24)  # type: ignore[operator]


def _scaled_sum(x: Expr, c: Expr, out: Expr) -> Expr:
    return apply(out.op, x) * constant(number_of(c), x.dtype)


def _is_scaled(x: Expr, c: Expr, m: Expr, out: Expr) -> bool:
    return not is_number(x) and x.shape == m.shape and is_float(out=out)


def _through_transpose(x: Expr, t: Expr, out: Expr) -> Expr:
    axes = t.op.axes  # type: ignore[attr-defined]
    return apply(type(out.op)(tuple(sorted(axes[a] for a in out.op.axes))), x)  # type: ignore[attr-defined, call-arg]


def _keeps_order(x: Expr, t: Expr, out: Expr) -> bool:
    """Whether the axes that a reduction leaves are in the order that they have before the transpose."""
    op, axes = out.op, t.op.axes  # type: ignore[attr-defined]
    assert isinstance(op, Reduction)
    left = [axis for i, axis in enumerate(axes) if i not in op.axes]
    return left == sorted(left) and not op.keepdims


REDUCTIONS: list[Rule] = [
    *(
        Rule(
            f"{op.name}-of-broadcast",
            pattern(op, pattern(BroadcastTo, "x", bind="b"), bind="out"),
            _once,
            "exact",
            guard=lambda x, b, out: _repeated(x, b, out) is not None,
        )
        for op in (Max, Min, Any, All)
    ),
    Rule(
        "sum-of-broadcast-integers",
        pattern(Sum, pattern(BroadcastTo, "x", bind="b"), bind="out"),
        _sum_of_broadcast,
        "exact",
        guard=lambda x, b, out: is_integer(x=x) and _counts(x, b, out),
    ),
    Rule(
        "sum-of-broadcast",
        pattern(Sum, pattern(BroadcastTo, "x", bind="b"), bind="out"),
        lambda x, b, out: _sum_of_broadcast(x, b, out) + 0.0,  # a sum is never -0.0
        "reassociates",
        guard=lambda x, b, out: is_float(x=x) and _counts(x, b, out),
        bound=_SUM_BOUND,
    ),
    Rule(
        "sum-of-neg-integers",
        pattern(Sum, pattern(Neg, "x"), bind="out"),
        lambda x, out: ops.neg(apply(out.op, x)),
        "exact",
        guard=is_integer,
    ),
    # Where the terms cancel the sum is 0.0, and its negative -0.0.
    Rule(
        "sum-of-neg",
        pattern(Sum, pattern(Neg, "x"), bind="out"),
        lambda x, out: ops.neg(apply(out.op, x)),
        "reassociates",
        guard=is_float,
    ),
    Rule(
        "sum-of-enlarged",  # where the sum of the smaller terms overflows, so does that of the larger
        pattern(Sum, pattern(Mul, "x", Splat("c"), bind="m"), bind="out"),
        lambda x, c, m, out: _scaled_sum(x, c, out),
        "reassociates",
        guard=lambda x, c, m, out: _is_scaled(x, c, m, out) and 1.0 <= number_of(c) < 2.0**64,
        bound=_SUM_BOUND,
    ),
    Rule(
        "sum-of-scaled",
        pattern(Sum, pattern(Mul, "x", Splat("c"), bind="m"), bind="out"),
        lambda x, c, m, out: _scaled_sum(x, c, out),
        "reassociates",
        guard=lambda x, c, m, out: _is_scaled(x, c, m, out) and not 1.0 <= number_of(c) < 2.0**64,
    ),
    Rule(
        "sum-of-scaled-integers",
        pattern(Sum, pattern(Mul, "x", Splat("c"), bind="m"), bind="out"),
        lambda x, c, m, out: apply(out.op, x) * ops.reshape(c, ()),
        "exact",
        guard=lambda x, c, m, out: (
            is_integer(c=c) and c.size == 1 and not is_number(x) and x.shape == m.shape
        ),
    ),
    Rule(
        "sum-of-reshape",
        pattern(Sum, pattern(Reshape, "x", bind="r"), bind="out"),
        lambda x, r, out: ops.sum(x),
        "reassociates",
        guard=lambda x, r, out: is_float(x=x) and out.rank == 0 and x.rank > 0,
        bound=_SUM_BOUND,
    ),
    *(
        Rule(
            f"{op.name}-of-transpose",
            pattern(op, pattern(Transpose, "x", bind="t"), bind="out"),
            _through_transpose,
            "reassociates",
            guard=lambda x, t, out: is_float(x=x) and _keeps_order(x, t, out),
            bound=bound,
        )
        for op, bound in ((Sum, _SUM_BOUND), (Max, 0.0), (Min, 0.0))
    ),
    *(
        Rule(
            f"{op.name}-of-transpose-integers",
            pattern(op, pattern(Transpose, "x", bind="t"), bind="out"),
            _through_transpose,
            "exact",
            guard=lambda x, t, out: is_integer(x=x) and _keeps_order(x, t, out),
        )
        for op in (Sum, Max, Min, Any, All)
    ),
]


def _transposed(out: Expr) -> tuple[int, ...] | None:
    """The order of axes that all operands of more than one number were transposed to, if it is one."""
    orders = [
        x.op.axes if isinstance(x.op, Transpose) and x.shape == out.shape else None
        for x in out.inputs
        if not all(size == 1 for size in x.shape)
    ]
    return orders[0] if orders and orders[0] is not None and all(o == orders[0] for o in orders) else None


def _after_transpose(out: Expr) -> Expr | None:
    axes = _transposed(out)
    if axes is None:
        return None
    operands = [x.inputs[0] if isinstance(x.op, Transpose) else ops.reshape(x, ()) for x in out.inputs]
    return ops.transpose(apply(out.op, *operands), axes)


TRANSPOSES: list[Rule] = [
    Rule(
        "transpose-of-moved-transpose",  # here, lest a chain of them needs a sweep for each
        pattern(Transpose, pattern(Transpose, "x", bind="t"), bind="out"),
        lambda x, t, out: ops.transpose(x, tuple(t.op.axes[a] for a in out.op.axes)),
        "exact",
    ),
    Rule(
        "transpose-of-operands",
        pattern(Elementwise, bind="out", among=(Transpose,)),
        _after_transpose,
        "exact",
        guard=lambda out: _is_rounded(out) and _transposed(out) is not None,
    ),
    Rule(
        "transpose-of-arguments",
        pattern(Elementwise, bind="out", among=(Transpose,)),
        _after_transpose,
        "reassociates",
        guard=lambda out: not _is_rounded(out) and _transposed(out) is not None,
        bound=_VECTOR_BOUND,
    ),
]

RULES: list[Rule] = BROADCASTS + REDUCTIONS + TRANSPOSES
