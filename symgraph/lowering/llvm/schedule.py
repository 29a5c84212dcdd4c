"""The order of work in a region: phases over one row at a time, or one flat nest over rows and all.

    schedule : Region -> Schedule

A phase is a nest of loops over the trailing axes of one row; what has equal axes (but for those of size 1) and
does not wait for a reduction shares a phase. A reduction is known after its phase. Numbers that belong to a
whole row are scalars in registers. Where there is one phase and nothing is reduced within a row, the rows are
one more axis of the nest, and any of its axes may be joined: the region is flat.
"""

from collections.abc import Sequence

import attrs

from symgraph.lowering.llvm.region import Inner, Number, Read, Region, Shape, is_tail, squeeze
from symgraph.ops.arithmetic import Add, Maximum, Minimum, Mul, Neg, Sub
from symgraph.ops.logic import Cast, Comparison, Where
from symgraph.ops.reduction import All, Any, Max, Min, Prod, Reduction, Sum
from symgraph.ops.shape import BroadcastTo, Reshape

# What is computed again rather than kept, where its operands are read or are numbers of the row.
_CHEAP = (Add, Sub, Mul, Neg, Maximum, Minimum, Comparison, Cast, Where, BroadcastTo)
# Reductions that change nothing where there is one element.
_TRIVIAL = (Sum, Prod, Max, Min, Any, All)


@attrs.frozen
class Phase:
    """The nodes computed in one nest over `axes`, in order, and the reductions that end there."""

    axes: Shape
    nodes: tuple[int, ...]
    reductions: tuple[int, ...]


@attrs.frozen
class Schedule:
    """`rows` is None for a region of numbers without axes; `same` is the node whose value a reshape stands for,
    `kept` are the nodes that a later phase reads from memory.
    """

    rows: int | None
    flat: bool
    phases: tuple[Phase, ...]
    same: tuple[int, ...]
    kept: frozenset[int]


def trailing(shape: Shape) -> Shape:
    """The axes of a row that are longer than 1."""
    return squeeze(shape[1:])


def schedule(region: Region) -> Schedule:
    """Sort the nodes of a region into phases."""
    nodes = region.nodes
    same = same_values(nodes)
    keys = _keys(nodes, same)
    order = sorted(set(keys.values()))
    place = {key: i for i, key in enumerate(order)}
    home = {i: place[key] for i, key in keys.items()}
    lists: list[list[int]] = [[] for _ in order]
    for i, p in home.items():
        lists[p].append(i)
    again: list[list[int]] = [[] for _ in order]
    kept: set[int] = set()
    for i, p in home.items():
        for j in nodes[i].inputs:
            root = same[j]
            axes = _axes(nodes, root)
            if root not in home or home[root] == p or root in again[p] or not axes:
                continue
            moved = isinstance(nodes[i].what, Reshape)
            if axes == order[p][1] and not moved and _cheap(nodes, same, home, root):
                again[p].append(root)
            else:
                kept.add(root)
    # What is computed again may be needed nowhere else.
    wanted = {same[i] for i, _ in region.outputs}
    phases = []
    for p, (axes, members) in enumerate(zip((key[1] for key in order), lists, strict=True)):
        both = sorted({*members, *again[p]})
        plain = tuple(i for i in both if not isinstance(nodes[i].what, Reduction))
        reductions = tuple(i for i in both if isinstance(nodes[i].what, Reduction))
        phases.append(Phase(axes, plain, reductions))
    phases = _without_unused(nodes, same, phases, wanted | kept)
    leading = next((domain(nodes, i)[0] for i in home if domain(nodes, i)), None)
    inner = any(isinstance(nodes[i].what, Reduction) and not is_tail(nodes[i]) for i in home)
    return Schedule(leading, len(phases) == 1 and not inner, tuple(phases), same, frozenset(kept))


def domain(nodes: tuple[Inner, ...], i: int) -> Shape:
    """The shape that a node's loops go over."""
    node = nodes[i]
    return nodes[node.inputs[0]].shape if isinstance(node.what, Reduction) else node.shape


def _axes(nodes: tuple[Inner, ...], i: int) -> Shape:
    """The longer axes of a row of a node's value."""
    return () if is_tail(nodes[i]) else trailing(nodes[i].shape)


def same_values(nodes: Sequence[Inner]) -> tuple[int, ...]:
    """For what only adds, drops or reduces axes of size 1, the node whose value it has; else the node itself."""
    same: list[int] = []
    for i, node in enumerate(nodes):
        moved = isinstance(node.what, Reshape) or (isinstance(node.what, _TRIVIAL) and not is_tail(node))
        moved = moved and squeeze(node.shape) == squeeze(nodes[node.inputs[0]].shape)
        same.append(same[node.inputs[0]] if moved else i)
    return tuple(same)


def _keys(nodes: tuple[Inner, ...], same: tuple[int, ...]) -> dict[int, tuple[int, Shape]]:
    """The depth and the axes of each computed node's phase."""
    keys: dict[int, tuple[int, Shape]] = {}
    for i, node in enumerate(nodes):
        if isinstance(node.what, Read | Number) or same[i] != i:
            continue
        axes = trailing(domain(nodes, i))
        depth = 0
        for j in node.inputs:
            root = same[j]
            if root not in keys:
                continue
            waits = isinstance(nodes[root].what, Reduction) or _axes(nodes, root) != axes
            waits = waits or isinstance(node.what, Reshape)
            depth = max(depth, keys[root][0] + waits)
        keys[i] = (depth, axes)
    return keys


def _cheap(nodes: tuple[Inner, ...], same: tuple[int, ...], home: dict[int, int], i: int) -> bool:
    """Whether a value is as quickly computed again in a later phase."""
    if not isinstance(nodes[i].what, _CHEAP):
        return False
    roots = [same[j] for j in nodes[i].inputs]
    return all(root not in home or not _axes(nodes, root) for root in roots)


def _without_unused(
    nodes: tuple[Inner, ...], same: tuple[int, ...], phases: list[Phase], wanted: set[int]
) -> list[Phase]:
    """The phases without what nothing needs there."""
    homes: dict[int, int] = {}
    for p, phase in enumerate(phases):
        for i in (*phase.nodes, *phase.reductions):
            homes.setdefault(i, p)
    made = list(phases)
    needed_rows: set[int] = set(wanted)
    for p in range(len(phases) - 1, -1, -1):
        phase = phases[p]
        live: set[int] = {i for i in phase.reductions if i in needed_rows}
        for i in sorted((*phase.nodes, *phase.reductions), reverse=True):
            if homes[i] == p and i in needed_rows:
                live.add(i)
            if i not in live:
                continue
            for j in nodes[i].inputs:
                root = same[j]
                if root in phase.nodes:
                    live.add(root)
                elif root in homes:
                    needed_rows.add(root)
        made[p] = Phase(
            phase.axes,
            tuple(i for i in phase.nodes if i in live),
            tuple(i for i in phase.reductions if i in live),
        )
    return [phase for phase in made if phase.nodes or phase.reductions]
