"""Rewriting: rules as data, the engine that applies them, and the ledger of what it did.

    Rule    = name, pattern, replacement, guard, numerics
    Pass    : Graph -> Graph                     the same object when nothing changed
    rewrite : Graph -> [Rule] -> Graph, [Row]

A pattern is an op (or a base class of ops) with operands that are patterns, names (which capture; a `Splat` none
but constants of one number) or numbers (which match a constant all of whose elements are that number); without
operands it matches any. The
replacement is written with the same public functions that users call, and takes the captures as keyword
arguments. One that lost a broadcast to the shape of what it replaces gets it back.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, Literal, TypeAlias

import attrs

from symgraph.contracts import raised_at, said
from symgraph.define import rebuild
from symgraph.errors import CompileError, SymgraphError
from symgraph.expr import Expr
from symgraph.ir import Array, Constant, Graph, Op, node_bytes
from symgraph.ops.shape import BroadcastTo, broadcast_to
from symgraph.origin import made_by, merged, relative, visible
from symgraph.sweeps import Sweep, record
from symgraph.types import Dimension, TensorType

Class: TypeAlias = Literal["exact", "stabilises", "reassociates"]
Numerics: TypeAlias = Literal["bitwise", "safe", "fast"]
NUMERICS: tuple[Numerics, ...] = ("bitwise", "safe", "fast")
_MAX_SWEEPS = 64  # a rule list that has not settled by then goes round in circles
_MAX_HERE = 32  # rewrites of one place in one sweep


class Splat(str):
    """A name in a pattern that captures a constant all of whose elements are one number, and nothing else."""


@attrs.frozen
class Pattern:
    """An op whose operands match (any, where there are none); `bind` captures the node itself, `attributes`
    must equal the op's, and where `among` names ops, one of the operands at least is of one of them.
    """

    op: type[Op]
    operands: tuple["Pattern | str | float", ...]
    bind: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()
    among: tuple[type[Op], ...] = ()


def pattern(
    op: type[Op],
    *operands: "Pattern | str | float",
    bind: str = "",
    among: tuple[type[Op], ...] = (),
    **attributes: Any,
) -> Pattern:
    """A pattern in one expression.

    >>> from symgraph.ops.arithmetic import Neg
    >>> pattern(Neg, pattern(Neg, "x")).operands[0].operands
    ('x',)
    """
    return Pattern(op, operands, bind, tuple(attributes.items()), among)


@attrs.frozen
class Rule:
    """A rewrite: where `pattern` matches and `guard` holds, `replacement` takes its place.

    `numerics` says what it does to the numbers: `exact` (bit for bit), `stabilises` (more accurate than
    before), `reassociates` (another rounding; `bound` is the relative error, in units of the last place of
    the largest operand, that it may add; without a bound it runs under numerics="fast" alone). `guard` and
    `replacement` take the captures by name; `guard` may be left out.
    """

    name: str
    pattern: Pattern
    replacement: Callable[..., Expr | None]
    numerics: Class
    guard: Callable[..., bool] | None = None
    bound: float | None = None

    def allowed(self, numerics: Numerics) -> bool:
        """Whether the rule may run under a numerics setting of `compile`."""
        if self.numerics == "exact" or numerics == "fast":
            return True
        if numerics == "bitwise":
            return False
        return self.numerics == "stabilises" or self.bound is not None


@attrs.frozen
class Hit:
    """What a rewriter found at a node: the new expression, and the expressions that it stands for, first the node's."""

    rule: str
    numerics: Class
    replacement: Expr
    matched: tuple[Expr, ...]


Kinds: TypeAlias = tuple[type[Op], ...]  # of the op of a node, and of those of its operands


@attrs.frozen
class Rewriter:
    """What is found at an expression, and where it is worth a look: `possible` is asked once for all nodes of the
    same kinds, and what it rules out is not looked at. Where nothing was found once there is nothing later.
    """

    find: Callable[[Expr], Hit | None]
    possible: Callable[[Kinds], bool]


@attrs.frozen
class Operation:
    """An op with the types of its operands and result: what its cost depends on."""

    op: Op
    type: TensorType
    inputs: tuple[TensorType, ...]

    @classmethod
    def of(cls, expr: Expr) -> "Operation":
        """The operation of an expression."""
        return cls(expr.op, expr.type, tuple([operand.type for operand in expr.inputs]))

    @property
    def flops(self) -> Dimension:
        """The floating-point operations."""
        return self.op.flops(self.type, *self.inputs)

    @property
    def traffic(self) -> Dimension:
        """The bytes that it reads and writes when it runs alone; leaves are free."""
        return sum_dimensions(map(node_bytes, (self.type, *self.inputs))) if self.inputs else 0


@attrs.frozen
class Row:
    """A line of the ledger: one application of a rule.

    `before` are node ids in the graph that the pass was given, `after` in the one it returned (a node that an
    earlier rewrite of the same sweep made has no id before). `removed` and `added` are the operations that
    the rewrite took out and put in; `flops` and `bytes` the change in cost that follows.
    """

    step: int
    pass_name: str
    rule: str
    numerics: Class
    before: tuple[int, ...]
    after: tuple[int, ...]
    lines: tuple[str, ...]
    removed: tuple["Operation", ...] = attrs.field(repr=False)
    added: tuple["Operation", ...] = attrs.field(repr=False)

    @property
    def flops(self) -> Dimension:
        """The change in floating-point operations."""
        return sum_dimensions(o.flops for o in self.added) - sum_dimensions(o.flops for o in self.removed)

    @property
    def bytes(self) -> Dimension:
        """The change in bytes read and written, each operation running alone."""
        return sum_dimensions(o.traffic for o in self.added) - sum_dimensions(o.traffic for o in self.removed)

    def __str__(self) -> str:
        ids = [" ".join(f"%{i}" for i in group) or "-" for group in (self.before, self.after)]
        cost = f"flops {_signed(self.flops)}, bytes {_signed(self.bytes)}"
        return (
            f"{self.step:4d} {self.pass_name}: {self.rule} ({self.numerics}): {ids[0]} -> {ids[1]}; {cost}"
            f"  # {', '.join(self.lines)}"
        )


def _signed(dimension: Dimension) -> str:
    text = str(dimension)
    return text if text.startswith("-") or text == "0" else f"+{text}"


@attrs.frozen
class Declined:
    """A fusion that was not made, with the reason; ids are of the graph that the pass was given."""

    producer: int
    consumer: int
    reason: str


@attrs.frozen
class Rewritten:
    """What a pass returns: the graph, what was done to it, and what was not done, and why."""

    graph: Graph
    rows: tuple[Row, ...] = ()
    declined: tuple[Declined, ...] = ()


@attrs.frozen
class Pass:
    """A named pure function from graph to graph, with its rows for the ledger."""

    name: str
    apply: Callable[[Graph, Numerics], Rewritten]

    def __call__(self, graph: Graph, numerics: Numerics = "safe") -> Graph:
        """The rewritten graph; the same object when nothing changed."""
        return self.apply(graph, numerics).graph


def rule_pass(name: str, rules: Sequence[Rule]) -> Pass:
    """The pass that applies a list of rules until none applies."""

    @cache
    def rewriter(numerics: Numerics) -> Rewriter:
        return rules_rewriter([rule for rule in rules if rule.allowed(numerics)])

    return Pass(name, lambda graph, numerics: rewrite(graph, rewriter(numerics), name))


def rules_rewriter(rules: Iterable[Rule]) -> Rewriter:
    """The rewriter that tries rules, in order, at one expression."""
    listed = tuple(rules)

    # The ops of a node and its operands rule out most rules; what is left is worked out once for each kind.
    @cache
    def of_op(op: Any) -> tuple[Rule, ...]:
        return tuple([rule for rule in listed if issubclass(op, rule.pattern.op)])

    @cache
    def candidates(kinds: Any) -> tuple[tuple[Rule, ...], ...]:  # mypy takes a class for one of its instances
        possible = [rule for rule in of_op(kinds[0]) if _possible(rule.pattern, kinds)]
        return tuple([tuple(alike) for _, alike in groupby(possible, _condition)])

    def find(expr: Expr) -> Hit | None:
        for alike in candidates((type(expr.op), *[type(operand.op) for operand in expr.inputs])):
            hit = _apply_alike(alike, expr)
            if hit is not None:
                return hit
        return None

    return Rewriter(find, lambda kinds: bool(candidates(kinds)))


def _condition(rule: Rule) -> object:
    """What rules that follow one another have in common if they apply, or not, together."""
    # Where a pattern has operands it may match in several ways, of which each rule is to have the first.
    return rule.name if rule.pattern.operands else (rule.pattern, rule.guard)


def _possible(pattern: Pattern, kinds: Kinds) -> bool:
    """Whether the ops of a node, which is of the pattern's op, and of its operands let the pattern match."""
    op, *operands = kinds
    if pattern.among and not any(issubclass(kind, pattern.among) for kind in operands):
        return False
    if not pattern.operands:
        return True
    if len(operands) != len(pattern.operands):
        return False
    if op.commutative and len(operands) == 2 and _may_be(pattern.operands, operands[::-1]):
        return True
    return _may_be(pattern.operands, operands)


def _may_be(wanted: Sequence[Pattern | str | float], kinds: Sequence[type[Op]]) -> bool:
    """Whether operands of these kinds of op may be what a pattern wants there."""
    named: dict[str, type[Op]] = {}
    for one, kind in zip(wanted, kinds, strict=True):
        if isinstance(one, Pattern):
            fits = issubclass(kind, one.op)
        elif type(one) is str:
            fits = named.setdefault(one, kind) is kind  # what has one name is one expression
        else:
            fits = issubclass(kind, Constant | BroadcastTo)
        if not fits:
            return False
    return True


def apply_rule(rule: Rule, expr: Expr) -> Hit | None:
    """The rule applied at `expr`, or None when it does not match; raises CompileError when the replacement
    has another type, which would be a fault of the rule.
    """
    return _apply_alike((rule,), expr)


def _apply_alike(rules: Sequence[Rule], expr: Expr) -> Hit | None:
    """The first of some rules that applies at `expr`; they have one pattern and one guard."""
    guard = rules[0].guard
    for captures, matched in matches(rules[0].pattern, expr):
        if guard is not None and not guard(**captures):
            continue
        for rule in rules:
            hit = _replaced(rule, expr, captures, matched)
            if hit is not None:
                return hit
    return None


def _replaced(rule: Rule, expr: Expr, captures: dict[str, Expr], matched: tuple[Expr, ...]) -> Hit | None:
    with made_by(merged(rule.name, expr.origin, tuple(m.origin for m in matched[1:]))):
        try:
            made = rule.replacement(**captures)
        except SymgraphError as error:
            error.details = (*error.details, f"in the rule {rule.name}")
            raise
        except Exception as error:
            raise CompileError(
                f"the rule {rule.name} raised {said(error)}", details=raised_at(error)
            ) from error
        if made is not None and made.type != expr.type and made.dtype == expr.dtype:
            made = broadcast_to(made, expr.shape)
    if made is None or made is expr:
        return None
    if made.type != expr.type:
        raise CompileError(f"the rule {rule.name} turned {expr.type} into {made.type}: this is its fault")
    return Hit(rule.name, rule.numerics, made, matched)


def matches(pattern: Pattern, expr: Expr) -> list[tuple[dict[str, Expr], tuple[Expr, ...]]]:
    """All ways that a pattern matches (a commutative op in both orders): captures, and the nodes it covers.

    The depth of recursion is that of the pattern, not of the graph.
    """
    if not _fits(pattern, expr):
        return []
    if pattern.attributes and any(getattr(expr.op, name) != value for name, value in pattern.attributes):
        return []
    if not pattern.operands:
        return [({pattern.bind: expr} if pattern.bind else {}, (expr,))]
    if len(pattern.operands) == 1 and isinstance(pattern.operands[0], str):  # most rules, and nothing to join
        captured = {pattern.operands[0]: expr.inputs[0]}
        return [({**captured, pattern.bind: expr} if pattern.bind else captured, (expr,))]
    orders = [expr.inputs]
    if expr.op.commutative and len(expr.inputs) == 2 and pattern.operands[0] != pattern.operands[1]:
        orders.append(expr.inputs[::-1])
    found = []
    for operands in orders:
        partial: list[tuple[dict[str, Expr], tuple[Expr, ...]]] = [({}, (expr,))]
        for wanted, operand in zip(pattern.operands, operands, strict=True):
            partial = [
                (joined, (*covered, *more))
                for captures, covered in partial
                for extra, more in _operand_matches(wanted, operand)
                if (joined := _join(captures, extra)) is not None
            ]
        found.extend(partial)
    if pattern.bind:
        return [({**captures, pattern.bind: expr}, covered) for captures, covered in found]
    return found


def _fits(pattern: Pattern, expr: Expr) -> bool:
    """Whether the ops are the pattern's; most attempts end here, so it makes nothing."""
    if not isinstance(expr.op, pattern.op):
        return False
    wanted, inputs = pattern.operands, expr.inputs
    if pattern.among and not any(isinstance(operand.op, pattern.among) for operand in inputs):
        return False
    if not wanted:
        return True
    if len(inputs) != len(wanted):
        return False
    if len(wanted) == 1:
        return _operand_fits(wanted[0], inputs[0])
    if len(wanted) == 2 and expr.op.commutative and _operand_fits(wanted[0], inputs[1]):
        return _operand_fits(wanted[1], inputs[0]) or (
            _operand_fits(wanted[0], inputs[0]) and _operand_fits(wanted[1], inputs[1])
        )
    return all(map(_operand_fits, wanted, inputs))


def _operand_fits(wanted: Pattern | str | float, operand: Expr) -> bool:
    if isinstance(wanted, str):
        return type(wanted) is str or splat(operand) is not None
    return _fits(wanted, operand) if isinstance(wanted, Pattern) else _is_number(operand, wanted)


def _is_number(operand: Expr, number: float) -> bool:
    value = splat(operand)
    return value is not None and same_number(value, number)


def _operand_matches(
    wanted: Pattern | str | float, operand: Expr
) -> list[tuple[dict[str, Expr], tuple[Expr, ...]]]:
    if isinstance(wanted, str):
        return [({wanted: operand}, ())] if _operand_fits(wanted, operand) else []
    if isinstance(wanted, Pattern):
        return matches(wanted, operand)
    return [({}, ())] if _is_number(operand, wanted) else []


def _join(left: dict[str, Expr], right: dict[str, Expr]) -> dict[str, Expr] | None:
    if not left or not right:
        return left or right
    if any(name in left and left[name] is not expr for name, expr in right.items()):
        return None
    return {**left, **right}


def splat(expr: Expr) -> Array | None:
    """The one value that all elements of a constant have, as a 0-dimensional array; None for others.

    >>> from symgraph.expr import constant
    >>> splat(constant([2.0, 2.0])), splat(constant([1.0, 2.0]))
    (array(2., dtype=float32), None)
    """
    while isinstance(expr.op, BroadcastTo):
        expr = expr.inputs[0]
    return _splat(expr.op) if isinstance(expr.op, Constant) else None


@lru_cache(4096)
def _splat(op: Constant) -> Array | None:
    array = op.value.array
    if array.size == 0 or array.size > 1024:
        return None
    first = array.reshape(-1)[:1]
    return first.reshape(()) if array.tobytes() == first.tobytes() * array.size else None


def same_number(value: Array, number: float) -> bool:
    """Whether a 0-dimensional array holds exactly the number; 0.0 and -0.0 are two numbers."""
    held = value.item()
    return bool(held == number) and (number != 0 or math.copysign(1, held) == math.copysign(1, number))


def rewrite(graph: Graph, rewriter: Rewriter, name: str) -> Rewritten:
    """Sweep over the graph, operands first, until the rewriter finds nothing; the work is linear a sweep."""
    rows: list[Row] = []
    settled: set[Expr] = set()
    for _ in range(_MAX_SWEEPS):
        swept = _sweep(graph, rewriter, name, settled)
        if swept is None:
            return Rewritten(graph, tuple(rows))
        record(swept)
        rows.extend(swept.rows)
        graph = swept.made
    raise CompileError(f"the pass {name} does not settle: its rules undo one another")


def _sweep(graph: Graph, rewriter: Rewriter, name: str, settled: set[Expr]) -> Sweep | None:
    """One sweep; `settled` are expressions at which nothing is found, and grows."""
    possible = {kinds: rewriter.possible(kinds) for kinds in set(graph.kinds)}
    if not any(possible.values()):
        return None
    old = graph.expressions
    now: dict[Expr, Expr] = {}  # what has changed, and what it is now
    hits: list[tuple[Hit, list[Expr]]] = []
    seen: set[Expr] = set()
    for was, kinds in zip(old, graph.kinds, strict=True):
        expr = was
        if now and not now.keys().isdisjoint(was.inputs):
            inputs = tuple([now.get(operand, operand) for operand in was.inputs])
            expr = Expr(was.op, inputs, was.type, was.origin)
            seen.add(expr)
        elif not possible[kinds] or was in settled:
            continue
        for _ in range(_MAX_HERE):
            hit = rewriter.find(expr)
            if hit is None:
                settled.add(expr)
                break
            seen = seen or set(old)
            hits.append((hit, _added(hit.replacement, seen)))
            expr = hit.replacement
        if expr is not was:
            now[was] = expr
    if not hits:
        return None
    made, ids = rebuild(graph, [now.get(expr, expr) for expr in old])
    if made == graph:
        return None
    before = {expr: i for i, expr in enumerate(old)}
    rows = tuple([_row(name, hit, added, before, ids) for hit, added in hits])
    return Sweep(name, graph, made, rows, tuple([hit for hit, _ in hits]))


def _row(
    name: str, hit: Hit, added: Sequence[Expr], before: Mapping[Expr, int], after: Mapping[Expr, int]
) -> Row:
    gone = [e for e in hit.matched if e not in after]
    return Row(
        step=0,
        pass_name=name,
        rule=hit.rule,
        numerics=hit.numerics,
        before=tuple(sorted({before[e] for e in hit.matched if e in before})),
        after=tuple(sorted({after[e] for e in (hit.replacement, *added) if e in after})),
        lines=tuple(f"{visible(relative(s.file))}:{s.line}" for s in hit.replacement.origin.sources),
        removed=tuple(map(Operation.of, gone)),
        added=tuple(map(Operation.of, added)),
    )


def _added(replacement: Expr, seen: set[Expr]) -> list[Expr]:
    """The expressions that a replacement made: those that it reaches and that were not `seen`, to which they
    are added. Each expression is visited once in a sweep.
    """
    found: list[Expr] = []
    stack = [replacement]
    while stack:
        expr = stack.pop()
        if expr not in seen:
            seen.add(expr)
            found.append(expr)
            stack.extend(expr.inputs)
    return found


def sum_dimensions(values: Iterable[Dimension]) -> Dimension:
    """The sum of dimensions."""
    return sum(values, start=0)
