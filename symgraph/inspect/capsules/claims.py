"""Claims of rewrites: each says that two expressions are one value, and is held to that on the values of a run.

    check : Trace -> Evaluator -> Finding*        the first wrong rewrite first

What is allowed follows from the rule's numerics class. `exact`: the same bits, where each op rounds in one way only;
sums, products of matrices and functions that NumPy computes by several routines, and what `expand` puts in for an op,
may differ by RULE_ULP of the largest magnitude involved. `reassociates`: that too, and nothing becomes or stops being
finite but for an overflow. `stabilises`: the same, and what was not finite may be mended; where an operand is not
finite, only what is finite on both sides is compared; under "fast" that holds of `reassociates`, too. A difference
that goes away in more precision was rounding, and not the rule. What is no float is equal.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import attrs

from symgraph.expr import Expr
from symgraph.inspect.capsules.capsule import Capsule
from symgraph.inspect.capsules.comparison import RULE_ULP, WIDE, Worst, close, epsilon, exact
from symgraph.inspect.capsules.evaluation import Evaluator, Failed, Value, magnitude, parts, scale
from symgraph.inspect.capsules.findings import Finding, lines_of, named, numbers
from symgraph.inspect.capsules.localise import finite
from symgraph.inspect.trace import Trace
from symgraph.ir import Array, Constant, Graph, Op, Placeholder, Variable
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
from symgraph.ops.logic import Cast, Comparison, IsFinite, IsInf, IsNan, Logical, LogicalNot, Where
from symgraph.ops.reduction import Max, Min
from symgraph.ops.shape import BroadcastTo, Concatenate, DimensionSize, Reshape, Transpose
from symgraph.ops.slicing import Flip, Pad, Slice
from symgraph.rewrite import Class, Hit, Row
from symgraph.sweeps import Sweep

_ONE_WAY: tuple[type[Op], ...] = (
    Abs, Add, Ceil, Div, Floor, Maximum, Minimum, Mul, Neg, Reciprocal, Round, Sign, Square, Sub, Trunc,
    Cast, Comparison, IsFinite, IsInf, IsNan, Logical, LogicalNot, Where, Max, Min,
    BroadcastTo, Concatenate, DimensionSize, Flip, Pad, Reshape, Slice, Transpose, Constant, Placeholder, Variable,
)  # fmt: skip
_MOST = 8  # findings; one wrong rule is wrong in many places
_AS_ACCURATE = ("expand",)  # passes whose rewrites are as accurate, and not the same bits
_LOOSE = 1e4  # times epsilon: what a whole pass may move a result by, relative to the largest element


@attrs.frozen
class _Claim:
    """Two expressions that should be one value, of which `mine` are those that the rewrite took out or put in."""

    before: Expr
    after: Expr
    numerics: Class
    mine: tuple[Expr, ...]
    fast: bool = False


@attrs.define
class Checked:
    """What was looked at, as it grows: how many rewrites in how many sweeps, and what was found."""

    rewrites: int = 0
    sweeps: int = 0
    findings: list[Finding] = attrs.field(factory=list)


def check(capsule: Capsule, way: Trace, evaluator: Evaluator, wide: Evaluator) -> Checked:
    """Hold every rewrite between the declared graph and the one that runs to its claim."""
    checked = Checked()
    for sweep in way.sweeps:
        checked.sweeps += 1
        if len(checked.findings) < _MOST:
            found = _check_hits(capsule, sweep, evaluator, wide, checked) or _check_whole(
                capsule, sweep, evaluator, wide
            )
            checked.findings.extend(found[: _MOST - len(checked.findings)])
        evaluator.keep(sweep.made.expressions)
        wide.keep(sweep.made.expressions)
    return checked


def _check_hits(
    capsule: Capsule, sweep: Sweep, evaluator: Evaluator, wide: Evaluator, checked: Checked
) -> list[Finding]:
    """The rewrites of one sweep, each by itself: its operands are what the rewrites before it made of them."""
    found: list[Finding] = []
    for hit, row in zip(sweep.hits, sweep.rows, strict=False):
        checked.rewrites += 1
        before = hit.matched[0]
        evaluator.value(before)
        count = len(evaluator.known)
        evaluator.value(hit.replacement)
        made = islice(reversed(evaluator.known), len(evaluator.known) - count)  # what it put in
        mine = (*hit.matched, *made, hit.replacement)
        fast = capsule.numerics == "fast"
        numerics = "reassociates" if sweep.pass_name in _AS_ACCURATE else hit.numerics
        worst = _differ(_Claim(before, hit.replacement, numerics, mine, fast), evaluator, wide)
        if worst is not None:
            found.append(_wrong_rewrite(capsule, sweep, hit, row, worst, evaluator))
    return found


def _differ(claim: _Claim, evaluator: Evaluator, wide: Evaluator) -> Worst | Failed | None:
    """How far a claim is from true on these values; None where it holds."""
    before, after = evaluator.value(claim.before), evaluator.value(claim.after)
    if isinstance(before, Failed):
        return None
    if isinstance(after, Failed):
        return after
    pairs = list(zip(parts(before), parts(after), strict=True))
    if claim.numerics == "exact":
        bits = next((w for b, a in pairs if (w := exact(b, a)) is not None), None)
        if bits is None or all(isinstance(e.op, _ONE_WAY) for e in claim.mine):
            return bits
    mended = claim.numerics == "stabilises" or (claim.fast and claim.numerics != "exact")
    bound = RULE_ULP * scale(claim.mine, evaluator)
    odd = mended and not _sound_operands(claim, evaluator)
    if odd:  # such as a comparison with NaN, negated
        pairs = [(b, a) for b, a in pairs if b.dtype.kind == "f"]
    worst = next(
        (w for b, a in pairs if (w := close(b, a, bound * epsilon(b.dtype), mended, odd)) is not None), None
    )
    return worst if worst is None or not _is_rounding(claim, wide, mended, odd) else None


def _sound_operands(claim: _Claim, evaluator: Evaluator) -> bool:
    """Whether all is finite that the two sides are made of."""
    inside = set(claim.mine)
    outer = {e for expr in claim.mine for e in expr.inputs if e not in inside}
    return all(finite(evaluator.value(e)) for e in outer)


def _is_rounding(claim: _Claim, wide: Evaluator, mended: bool, odd: bool = False) -> bool:
    """Whether two expressions agree in more precision."""
    before, after = wide.value(claim.before), wide.value(claim.after)
    if isinstance(before, Failed) or isinstance(after, Failed):
        return False
    largest = magnitude([before, after, *(wide.value(e) for e in claim.mine)])
    narrow = claim.before.type.dtype.name if hasattr(claim.before.type, "dtype") else "float32"
    allowed = WIDE.get(narrow, 0.0) * largest
    pairs = zip(parts(before), parts(after), strict=True)
    return all(close(b, a, allowed, mended, odd) is None for b, a in pairs)


def _wrong_rewrite(
    capsule: Capsule, sweep: Sweep, hit: Hit, row: Row, worst: Worst | Failed, evaluator: Evaluator
) -> Finding:
    before, ids = hit.matched[0], {expr: i for i, expr in enumerate(sweep.given.expressions)}
    root = ids.get(before)
    shown = f"%{root}" if root is not None else "a node that an earlier rewrite made"
    how = "raises" if isinstance(worst, Failed) else "changes its value"
    return Finding(
        "rewrite",
        f"the rule {hit.rule!r} ({hit.numerics}) of the pass {sweep.pass_name!r}, step {row.step} of the ledger, "
        f"{how}: {shown} ({before.op.name}: {before.type}) becomes {hit.replacement.op.name}",
        where=sweep.pass_name,
        node=root,
        op=before.op.name,
        type=str(before.type),
        rule=hit.rule,
        step=row.step,
        before=row.before,
        after=row.after,
        lines=_with_error(lines_of(capsule, hit.replacement.origin), worst),
        worst=None if isinstance(worst, Failed) else worst,
        operands=tuple(f"{e.op.name}: {numbers(evaluator.value(e))}" for e in dict.fromkeys(before.inputs)),
    )


def _with_error(lines: tuple[str, ...], worst: Worst | Failed) -> tuple[str, ...]:
    if not isinstance(worst, Failed):
        return lines
    return (*lines, f"{type(worst.error).__name__}: {getattr(worst.error, 'message', worst.error)}")


# Passes as wholes: what they say of single rewrites is the ids before and after.


def _check_whole(capsule: Capsule, sweep: Sweep, evaluator: Evaluator, wide: Evaluator) -> list[Finding]:
    """Whether the results of a graph are those of the one it was made from; where not, which row of the pass it is."""
    given, made = sweep.given.expressions, sweep.made.expressions
    # What single rewrites, which were looked at, made of what is not finite may have gone further.
    odd = bool(sweep.hits) and not all(finite(evaluator.value(e)) for e in given)
    for i, j in zip(_results(sweep.given), _results(sweep.made), strict=False):
        worst = _apart(given[i], made[j], evaluator, wide, odd)
        if worst is None:
            continue
        row = _wrong_row(sweep, evaluator)
        if row is not None:
            return [_wrong_pass(capsule, sweep, row[0].after[0], row[1], evaluator, row[0])]
        return [_wrong_pass(capsule, sweep, _new(sweep, evaluator, j), worst, evaluator, None)]
    return []


def _results(graph: Graph) -> list[int]:
    return [*(i for _, i in graph.outputs), *(i for _, pairs in graph.updates for _, i in pairs)]


def _apart(
    before: Expr, after: Expr, evaluator: Evaluator, wide: Evaluator, odd: bool
) -> Worst | Failed | None:
    """Whether a result was moved by more than rounding can."""
    if before is after or (odd and before.dtype.kind != "f"):
        return None
    b, a = evaluator.value(before), evaluator.value(after)
    if isinstance(b, Failed):
        return None
    if isinstance(a, Failed):
        return a
    worst = _loosely(b, a, odd)
    if worst is None:
        return None
    return worst if not _is_rounding(_Claim(before, after, "stabilises", ()), wide, True, odd) else None


def _loosely(before: Value, after: Value, odd: bool = False) -> Worst | None:
    return next(
        (
            w
            for b, a in zip(parts(before), parts(after), strict=True)
            if (w := close(b, a, _LOOSE * epsilon(b.dtype) * magnitude([b]), True, odd)) is not None
        ),
        None,
    )


def _wrong_row(sweep: Sweep, evaluator: Evaluator) -> tuple[Row, Worst | Failed] | None:
    """The row whose nodes after are not its nodes before, the first in the order of the graph that was made."""
    rows = sorted((row for row in sweep.rows if row.after), key=lambda row: row.after[0])
    given, made = sweep.given.expressions, sweep.made.expressions
    for row in rows:
        after = made[row.after[-1]]
        value = evaluator.value(after)
        if isinstance(value, Failed):
            return row, value
        for i, part in zip(_visible(sweep.given, row.before), parts(value), strict=False):
            before = evaluator.value(given[i])
            worst = None if isinstance(before, Failed) else _of_kind(before, part, row.numerics)
            if worst is not None:
                return row, worst
    return None


def _of_kind(before: Value, after: Array, numerics: Class) -> Worst | None:
    worst = exact(before, after)
    if worst is None or numerics == "exact":
        return worst
    return _loosely(before, after)


def _visible(graph: Graph, ids: Sequence[int]) -> Iterable[int]:
    """Of the nodes that one region takes in, those that others read, in order: its outputs."""
    inside, alive = set(ids), set(graph.roots)
    shown = [i for i in ids if i in alive or any(c not in inside for c in graph.consumers[i])]
    return shown or ids[-1:]


def _new(sweep: Sweep, evaluator: Evaluator, end: int) -> int:
    """The first node with a value that the graph before did not have, of operands that it had; else the result."""
    had = {_bits(evaluator.value(expr)) for expr in sweep.given.expressions}
    values = [_bits(evaluator.value(expr)) in had for expr in sweep.made.expressions]
    for node in sweep.made.nodes:
        if not values[node.id] and all(values[i] for i in node.inputs):
            return node.id
    return end


def _bits(value: Value) -> object:
    if isinstance(value, Failed):
        return value.at
    return tuple((part.shape, part.dtype.name, part.tobytes()) for part in parts(value))


def _wrong_pass(
    capsule: Capsule, sweep: Sweep, i: int, worst: Worst | Failed, evaluator: Evaluator, row: Row | None
) -> Finding:
    node = sweep.made.nodes[i]
    what = f" by {row.rule!r}, step {row.step} of the ledger," if row is not None else ""
    how = "raises" if isinstance(worst, Failed) else "is another value than before it"
    made = evaluator.known
    return Finding(
        "pass",
        f"the pass {sweep.pass_name!r} changes a value:{what} {named(sweep.made, i)} ({node.op.name}: {node.type}) "
        f"of the graph that it made {how}",
        where=sweep.pass_name,
        node=i,
        op=node.op.name,
        type=str(node.type),
        rule="" if row is None else row.rule,
        step=None if row is None else row.step,
        before=() if row is None else row.before,
        after=(i,) if row is None else row.after,
        lines=_with_error(lines_of(capsule, node.origin), worst),
        worst=None if isinstance(worst, Failed) else worst,
        operands=tuple(
            f"{named(sweep.made, k)}: {numbers(made[sweep.made.expressions[k]])}"
            for k in dict.fromkeys(node.inputs)
            if sweep.made.expressions[k] in made
        ),
    )
