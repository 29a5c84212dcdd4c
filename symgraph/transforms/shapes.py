"""Rules about ops that move elements without computing: two are one, and one that moves nothing is none."""

from itertools import accumulate

import attrs

from symgraph import ops
from symgraph.expr import Expr, apply
from symgraph.ops.reduction import All, Any, Max, Min, Prod, Reduction, Sum, reduced_shape
from symgraph.ops.shape import BroadcastTo, Concatenate, Reshape, Transpose
from symgraph.ops.slicing import Flip, Pad, Slice
from symgraph.rewrite import Rule, pattern
from symgraph.transforms.facts import is_float, is_integer


def _same_shape(x: Expr, out: Expr) -> bool:
    return x.shape == out.shape


def _composed(x: Expr, t: Expr, out: Expr) -> Expr:
    return ops.transpose(x, tuple(t.op.axes[a] for a in out.op.axes))  # type: ignore[attr-defined]


def _moves_units_alone(x: Expr, out: Expr) -> bool:
    """Whether the axes that are not of size 1 keep their order."""
    moved = [a for a in out.op.axes if x.shape[a] != 1]  # type: ignore[attr-defined]
    return moved == sorted(moved)


def _slice_of_slice(x: Expr, s: Expr, out: Expr) -> Expr:
    inner, outer = s.op, out.op
    assert isinstance(inner, Slice) and isinstance(outer, Slice)
    starts = tuple(a + b * step for a, b, step in zip(inner.starts, outer.starts, inner.steps, strict=True))
    steps = tuple(a * b for a, b in zip(inner.steps, outer.steps, strict=True))
    return apply(Slice(starts, outer.sizes, steps), x)


def _slice_of_concatenation(c: Expr, out: Expr) -> Expr | None:
    """The slice of the one operand that it lies in; None where it takes from several."""
    axis, cut = c.op.axis, out.op  # type: ignore[attr-defined]
    assert isinstance(cut, Slice)
    start, size, step = cut.starts[axis], cut.sizes[axis], cut.steps[axis]
    lengths = [x.shape[axis] for x in c.inputs]
    for begin, length, x in zip(accumulate(lengths, initial=0), lengths, c.inputs, strict=False):
        offset = start - begin
        if offset == 0 and size == length and step == 1:
            here = (0, size)
        elif all(isinstance(d, int) for d in (offset, size, length)) and (
            offset >= 0 and size > 0 and offset + (size - 1) * step < length
        ):
            here = (offset, size)
        else:
            continue
        starts = (*cut.starts[:axis], here[0], *cut.starts[axis + 1 :])
        return apply(Slice(starts, cut.sizes, cut.steps), x)
    return None


def _flattened(out: Expr) -> Expr | None:
    """Concatenations along one axis within another, as one."""
    if not any(operand.op == out.op for operand in out.inputs):
        return None
    parts = [part for x in out.inputs for part in (x.inputs if x.op == out.op else (x,))]
    return apply(out.op, *parts)


def _flip_of_flip(x: Expr, f: Expr, out: Expr) -> Expr:
    axes = set(f.op.axes) ^ set(out.op.axes)  # type: ignore[attr-defined]
    return ops.flip(x, tuple(sorted(axes))) if axes else x


def _takes_all(x: Expr, out: Expr) -> bool:
    cut = out.op
    assert isinstance(cut, Slice)
    return out.shape == x.shape and all(start == 0 for start in cut.starts)


def _of_one_number(x: Expr, out: Expr) -> Expr:
    return ops.broadcast_to(x if x.rank == 0 else ops.reshape(x, ()), out.shape)


def _is_one_number(x: Expr, out: Expr) -> bool:
    return all(size == 1 for size in x.shape)


MOVES: list[Rule] = [
    Rule(
        "transpose-of-transpose",
        pattern(Transpose, pattern(Transpose, "x", bind="t"), bind="out"),
        _composed,
        "exact",
    ),
    Rule(
        "transpose-of-units",
        pattern(Transpose, "x", bind="out"),
        lambda x, out: ops.reshape(x, out.shape),
        "exact",
        guard=_moves_units_alone,
    ),
    Rule(
        "reshape-of-reshape",
        pattern(Reshape, pattern(Reshape, "x"), bind="out"),
        lambda x, out: ops.reshape(x, out.shape),
        "exact",
    ),
    Rule(
        "reshape-to-itself", pattern(Reshape, "x", bind="out"), lambda x, out: x, "exact", guard=_same_shape
    ),
    Rule(
        "broadcast-of-broadcast",
        pattern(BroadcastTo, pattern(BroadcastTo, "x"), bind="out"),
        lambda x, out: ops.broadcast_to(x, out.shape),
        "exact",
    ),
    Rule(
        "broadcast-to-itself",
        pattern(BroadcastTo, "x", bind="out"),
        lambda x, out: x,
        "exact",
        guard=_same_shape,
    ),
    Rule(
        "broadcast-of-new-axes",  # the broadcast adds leading axes of itself
        pattern(BroadcastTo, pattern(Reshape, "x", bind="r"), bind="out"),
        lambda x, r, out: ops.broadcast_to(x, out.shape),
        "exact",
        guard=lambda x, r, out: r.shape == (1,) * (r.rank - x.rank) + x.shape,
    ),
    Rule(
        "slice-of-slice", pattern(Slice, pattern(Slice, "x", bind="s"), bind="out"), _slice_of_slice, "exact"
    ),
    Rule("slice-of-all", pattern(Slice, "x", bind="out"), lambda x, out: x, "exact", guard=_takes_all),
    Rule(
        "slice-of-concatenation",
        pattern(Slice, pattern(Concatenate, bind="c"), bind="out"),
        _slice_of_concatenation,
        "exact",
    ),
    Rule("flip-of-flip", pattern(Flip, pattern(Flip, "x", bind="f"), bind="out"), _flip_of_flip, "exact"),
    Rule("concatenate-one", pattern(Concatenate, "x"), lambda x: x, "exact"),
    Rule("concatenate-of-concatenate", pattern(Concatenate, bind="out"), _flattened, "exact"),
    Rule(
        "pad-by-nothing",
        pattern(Pad, "x", "v", bind="out"),
        lambda x, v, out: x,
        "exact",
        guard=lambda x, v, out: x.shape == out.shape,
    ),
    *(
        Rule(
            f"{op.name}-of-one-number",
            pattern(op, pattern(BroadcastTo, "x"), bind="out"),
            _of_one_number,
            "exact",
            guard=_is_one_number,
        )
        for op in (Reshape, Transpose, Slice, Flip)
    ),
]


def _axes(r: Expr) -> tuple[int, ...]:
    return r.op.axes  # type: ignore[attr-defined, no-any-return]


def _other_keepdims(r: Expr) -> Expr:
    op = r.op
    assert isinstance(op, Reduction)
    return apply(attrs.evolve(op, keepdims=not op.keepdims), *r.inputs)


def _is_other_keepdims(r: Expr, out: Expr) -> bool:
    op = r.op
    assert isinstance(op, Reduction)
    return out.shape == reduced_shape(r.inputs[0].shape, op.axes, not op.keepdims)


def _united(x: Expr, r: Expr, out: Expr) -> Expr | None:
    """One reduction over the axes of two."""
    inner, outer = r.op, out.op
    assert isinstance(inner, Reduction) and isinstance(outer, Reduction)
    if inner.keepdims != outer.keepdims:
        return None
    left = [a for a in range(x.rank) if inner.keepdims or a not in inner.axes]
    axes = tuple(sorted({*inner.axes, *(left[a] for a in outer.axes)}))
    return apply(attrs.evolve(outer, axes=axes), x)


def _over_units(x: Expr, out: Expr) -> bool:
    return all(x.shape[a] == 1 for a in _axes(out))


REDUCTIONS: list[Rule] = [
    Rule(
        "reshape-of-reduction",
        pattern(Reshape, pattern(Reduction, bind="r"), bind="out"),
        lambda r, out: _other_keepdims(r),
        "exact",
        guard=_is_other_keepdims,
    ),
    *(
        Rule(
            f"{op.name}-of-{op.name}-integers",
            pattern(op, pattern(op, "x", bind="r"), bind="out"),
            _united,
            "exact",
            guard=is_integer,
        )
        for op in (Sum, Prod, Max, Min, Any, All)
    ),
    *(
        Rule(
            f"{op.name}-of-{op.name}",
            pattern(op, pattern(op, "x", bind="r"), bind="out"),
            _united,
            "reassociates",
            guard=is_float,
            bound=bound,
        )
        # Which zero the largest of 0.0 and -0.0 is depends on the order; a product may overflow half-way.
        for op, bound in ((Sum, 64.0), (Prod, None), (Max, 0.0), (Min, 0.0))
    ),
    *(
        Rule(
            f"{op.name}-over-units",
            pattern(op, "x", bind="out"),
            lambda x, out: ops.reshape(x, out.shape),
            "exact",
            guard=_over_units,
        )
        for op in (Prod, Max, Min, Any, All)
    ),
    Rule(
        "sum-over-units-integers",
        pattern(Sum, "x", bind="out"),
        lambda x, out: ops.reshape(x, out.shape),
        "exact",
        guard=lambda x, out: is_integer(x=x) and _over_units(x, out),
    ),
    Rule(
        "sum-over-units",  # a sum starts from 0.0, which turns -0.0 into 0.0
        pattern(Sum, "x", bind="out"),
        lambda x, out: ops.reshape(x, out.shape) + 0.0,
        "exact",
        guard=lambda x, out: is_float(x=x) and _over_units(x, out),
    ),
]

SHAPES: list[Rule] = MOVES + REDUCTIONS
