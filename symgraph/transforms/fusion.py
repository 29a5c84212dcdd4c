"""Fusion: nodes that can run together, row by row, become one kernel.

A *row* is an index of the leading axis. A node is row-parallel when row i of its result needs row i of its
operands alone: elementwise ops, reductions over other axes, reshapes that keep the leading axis. Row-parallel
nodes that feed one another share a region, with two additions: a matrix product may be the head (its
consumers are its epilogue), and a reduction over the leading axis may be the tail.

Nodes get levels, such that an edge inside a region keeps the level and any other edge raises it. Regions are
thus convex: no path leaves one and comes back. The work is linear in the number of edges.

What reads leaves alone and has one consumer can run at any level, and waits for that of its consumer: the decay of
a moment runs in the loop that has the gradient.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Literal, TypeAlias

import attrs

from symgraph.define import body, lift, rebuild
from symgraph.expr import Expr
from symgraph.ir import Constant, Graph, Node, Op, Placeholder, Variable
from symgraph.ops.base import Elementwise
from symgraph.ops.convolution import Conv2d, Conv2dInput
from symgraph.ops.linalg import MatMul
from symgraph.ops.reduction import Reduction
from symgraph.ops.region import Fused, Project, project
from symgraph.ops.shape import BroadcastTo, Reshape
from symgraph.origin import Origin, made_by, relative, visible
from symgraph.rewrite import Declined, Numerics, Operation, Pass, Rewritten, Row
from symgraph.types import TensorType, TupleType

Role = Literal["leaf", "row", "head", "tail", "alone", "apart"]
# Reductions whose partial results over blocks of rows combine by the reduction itself.
TAILS = ("sum", "prod", "max", "min", "any", "all")
_ONCE = (
    "the producer depends on sizes and constants alone, and is computed once for each binding of the sizes"
)
_TOO_LITTLE = (
    "one of the two only moves elements, and a kernel of both would compute no more than the other alone"
)
_WAITS = "the consumer waits for another operand, and a kernel has only nodes that can start together"
_SMALL = 64  # elements: constants up to this size live inside the kernel


# Whether a backend can compute an op on operands of these types within a region.
Fits: TypeAlias = Callable[[Op, Sequence[TensorType], Numerics], bool]


def fusion_pass(fits: Fits = lambda op, operands, numerics: True) -> Pass:
    """The pass that groups row-parallel nodes into `Fused` regions; what does not fit stays by itself."""
    return Pass("fuse", lambda graph, numerics: fuse(graph, numerics, fits))


def fuse(graph: Graph, numerics: Numerics, fits: Fits = lambda op, operands, numerics: True) -> Rewritten:
    """Fuse a graph: each region of two or more nodes becomes a `Fused` op, with several outputs if need be.

    A reduction over rows joins a region only where its sums may be grouped anew (not under "bitwise").
    """
    plan = _plan(graph, numerics, fits)
    members: dict[int, list[int]] = {}
    for i, region in enumerate(plan.region):
        if region is not None:
            members.setdefault(plan.find(region), []).append(i)
    groups = {r: ids for r, ids in members.items() if _worth(graph, ids)}
    declined = _with_unworthy(graph, plan.declined, members, groups)
    if not groups:
        return Rewritten(graph, declined=declined)
    old = lift(graph)
    made, regions = _build(graph, plan, groups, list(old))
    fused, ids = rebuild(graph, made)
    rows = tuple(
        _row([old[i] for i in groups[r]], groups[r], e, ids[e]) for r, e in regions.items() if e in ids
    )
    return Rewritten(fused, rows, declined)


def _with_unworthy(
    graph: Graph,
    declined: Sequence[Declined],
    members: Mapping[int, Sequence[int]],
    groups: Mapping[int, Sequence[int]],
) -> tuple[Declined, ...]:
    """The fusions that were not made, with those inside regions that were not worth having, by consumer."""
    dropped = {i: r for r, ids in members.items() if r not in groups for i in ids}
    found = [
        Declined(j, i, _TOO_LITTLE)
        for i, r in dropped.items()
        for j in dict.fromkeys(graph.nodes[i].inputs)
        if dropped.get(j) == r
    ]
    return tuple(sorted([*declined, *found], key=lambda one: one.consumer))


@attrs.define
class _Plan:
    """Levels and a union-find of regions, filled in one pass over the nodes."""

    level: list[int]
    region: list[int | None]
    parent: list[int]
    declined: list[Declined]

    def find(self, region: int) -> int:
        while self.parent[region] != region:
            self.parent[region] = self.parent[self.parent[region]]
            region = self.parent[region]
        return region


def role(node: Node, operands: Sequence[TensorType], tails: bool = True) -> Role:
    """What a node can be in a region."""
    op = node.op
    if not node.inputs:
        return "leaf"
    if not op.pure or isinstance(op, Fused | Project) or isinstance(node.type, TupleType):
        return "alone"
    if isinstance(op, Elementwise):
        return "row"
    if isinstance(op, MatMul | Conv2d | Conv2dInput):
        return "head"
    if isinstance(op, Reduction):
        if 0 not in op.axes:
            return "row"
        return "tail" if tails and op.name in TAILS else "alone"
    if isinstance(op, Reshape | BroadcastTo):
        return "row" if aligned(operands[0], node.type, op) else "alone"
    return "alone"


def aligned(operand: TensorType, result: TensorType, op: Op) -> bool:
    """Whether row i of the result needs row i of this operand."""
    if not operand.shape or not result.shape:
        return operand.shape == result.shape and isinstance(op, Elementwise)
    if isinstance(op, Elementwise | BroadcastTo) and operand.rank != result.rank:
        return False
    return operand.shape[0] == result.shape[0]


def _plan(graph: Graph, numerics: Numerics, fits: Fits) -> _Plan:
    plan = _Plan([], [], [], [])
    roles: list[Role] = []
    settled: set[int] = set()
    waiting: dict[int, list[int]] = {}  # nodes that have no level yet, each with what leads to it
    alive = set(graph.roots)
    for node in graph.nodes:
        types = [graph.nodes[i].type for i in node.inputs]
        # What sizes and constants alone decide is computed once for each binding: a leaf to the rest.
        fixed = node.op.pure and bool(node.inputs) and settled.issuperset(node.inputs)
        if fixed or (not node.inputs and not isinstance(node.op, Placeholder | Variable)):
            settled.add(node.id)
        mine: Role = "leaf" if fixed else role(node, types, numerics != "bitwise")
        if mine not in ("leaf", "alone") and not fits(node.op, types, numerics):
            mine = "apart"
        roles.append(mine)
        refused = {
            i: _refusal(node, type_, mine, roles[i])
            for i, type_ in zip(node.inputs, types, strict=True)
            if roles[i] != "leaf"
        }
        plan.declined += [
            Declined(i, node.id, _ONCE)
            for i in dict.fromkeys(node.inputs)
            if roles[i] == "leaf" and graph.nodes[i].inputs
        ]
        idle = [i for i, why in refused.items() if why is None and i in waiting]
        # A scalar of leaves, such as a rate, is there before all that is multiplied by it.
        first = -1 if getattr(node.type, "shape", None) == () else 0
        levels = (plan.level[i] + (why is not None) for i, why in refused.items() if i not in idle)
        level = max(first, *levels) if len(refused) > len(idle) else first
        before = _with_all([waiting.pop(i) for i in idle])
        if (
            mine == "row"
            and isinstance(node.op, Elementwise)
            and len(idle) == len(refused)
            and node.id not in alive
            and len(set(graph.consumers[node.id])) == 1
        ):
            before.append(node.id)
            waiting[node.id] = before
        else:
            for i in before:
                plan.level[i] = level
        joined = [i for i, why in refused.items() if why is None and plan.level[i] == level]
        for i, why in refused.items():
            if i not in joined:
                reason = why or _WAITS
                plan.declined.append(Declined(i, node.id, reason))
        plan.level.append(level)
        plan.region.append(_join(plan, joined, mine))
    return plan


def _with_all(lists: list[list[int]]) -> list[int]:
    """All items in one of the lists: the longest, so that no item is moved often."""
    if not lists:
        return []
    most = max(lists, key=len)
    for other in lists:
        if other is not most:
            most.extend(other)
    return most


def _refusal(node: Node, operand: TensorType, mine: Role, theirs: Role) -> str | None:
    """Why an operand cannot be in the node's region; None when it can."""
    if mine == "alone":
        return f"{node.op.name} needs its whole operand"
    if mine == "apart":
        return (
            f"{node.op.name} has no kernel that others could join on this backend, under this numerics class"
        )
    if mine == "head":
        return f"{node.op.name} reads each operand many times"
    if theirs == "alone":
        return "the producer is no row-parallel op"
    if theirs == "apart":
        return "the producer has no kernel that others could join on this backend, under this numerics class"
    if theirs == "tail":
        return "the producer reduces over the rows, and is known only after the last"
    if mine == "tail" or not isinstance(node.op, Elementwise):
        return None
    if not aligned(operand, node.type, node.op):
        return f"the rows differ: {operand} against {node.type}"
    return None


def _join(plan: _Plan, joined: Sequence[int], mine: Role) -> int | None:
    if mine in ("leaf", "alone", "apart"):
        return None
    own = len(plan.parent)
    plan.parent.append(own)
    for i in joined:
        region = plan.region[i]
        if region is not None:
            plan.parent[plan.find(region)] = own
    return own


def _worth(graph: Graph, ids: Sequence[int]) -> bool:
    """A region is worth having when it holds two nodes that compute something."""
    return sum(not isinstance(graph.nodes[i].op, Reshape | BroadcastTo) for i in ids) >= 2


def _build(
    graph: Graph, plan: _Plan, groups: dict[int, list[int]], exprs: list[Expr]
) -> tuple[list[Expr], dict[int, Expr]]:
    """The new expression of every node (an old one inside a region), and each region's expression.

    `exprs` are the nodes' old ones, which the new replace.
    """
    region_of = {i: r for r, ids in groups.items() for i in ids}
    alive = set(graph.roots)
    regions: dict[int, Expr] = {}
    # An edge between regions raises the level, so by level every operand comes before its consumers.
    for i in sorted(range(len(graph)), key=plan.level.__getitem__):
        node = graph.nodes[i]
        if i not in region_of:
            inputs = tuple([exprs[j] for j in node.inputs])
            if not all(map(is_, inputs, exprs[i].inputs)):
                exprs[i] = Expr(node.op, inputs, node.type, node.origin)
            continue
        r = region_of[i]
        if r in regions:
            continue
        ids = groups[r]
        inside = set(ids)
        outputs = [j for j in ids if j in alive or any(c not in inside for c in graph.consumers[j])]
        regions[r] = _region(graph, ids, outputs, exprs)
        for k, j in enumerate(outputs):
            with made_by(graph.nodes[j].origin):
                exprs[j] = regions[r] if len(outputs) == 1 else project(regions[r], k)
    return exprs, regions


def _region(graph: Graph, ids: Sequence[int], outputs: Sequence[int], exprs: Sequence[Expr]) -> Expr:
    inner: dict[int, Expr] = {}
    operands: list[Expr] = []
    for i in ids:
        node = graph.nodes[i]
        for j in node.inputs:
            if j in inner:
                continue
            outer = graph.nodes[j]
            if _inlined(outer):
                inner[j] = Expr(outer.op, (), outer.type, outer.origin)
            else:
                parameter = Placeholder(str(len(operands)), outer.type)
                inner[j] = Expr(parameter, (), outer.type, outer.origin)
                operands.append(exprs[j])
        inner[i] = Expr(node.op, tuple([inner[j] for j in node.inputs]), node.type, node.origin)
    op = Fused(body({f"r{k}": inner[j] for k, j in enumerate(outputs)}))
    origins = [graph.nodes[i].origin for i in ids]
    sources = tuple(dict.fromkeys(s for o in origins for s in o.sources))
    return Expr(op, tuple(operands), op.type, Origin(sources, origins[-1].scope, "fuse"))


def _inlined(node: Node) -> bool:
    if node.inputs or isinstance(node.op, Placeholder | Variable):
        return False
    return not isinstance(node.op, Constant) or node.op.value.array.size <= _SMALL


def _row(members: Sequence[Expr], ids: Sequence[int], region: Expr, after: int) -> Row:
    tail = any(isinstance(e.op, Reduction) and 0 in e.op.axes for e in members)
    return Row(
        step=0,
        pass_name="fuse",
        rule=f"one kernel of {len(ids)} nodes",
        numerics="reassociates" if tail else "exact",
        before=tuple(ids),
        after=(after,),
        lines=tuple(f"{visible(relative(s.file))}:{s.line}" for s in region.origin.sources),
        removed=tuple(map(Operation.of, members)),
        added=(Operation.of(region),),
    )
