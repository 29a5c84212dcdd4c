"""Why a node has no adjoint: where on its way to the output the derivative stops, as sentences and paths.

routes    : Tape -> {node: Route}        the nearest way on to the output, or to what stops the derivative
reasons   : Tape -> wrt -> Reasons        what sentences need to know of all nodes, worked out once
unreached : Reasons -> node -> sentence
"""

from collections.abc import Mapping, Sequence

import attrs

from symgraph import ops
from symgraph.contracts import operand_cotangents
from symgraph.inspect.gradients.tape import Tape, Use, is_float
from symgraph.ir import Constant, Graph, Node, leaf_name
from symgraph.origin import made_by, relative, visible

_ENDS = 32  # nodes at each end of a path that are kept where it is long
_NAMED = 3  # what a sentence lists before it says that there are more


@attrs.frozen
class Route:
    """The next node on the way, None at its end; how many steps there are to that, and the last nodes."""

    next: int | None
    steps: int
    tail: tuple[int, ...]


def routes(tape: Tape) -> Mapping[int, Route]:
    """For each node that the output depends on the nearest way: with an adjoint, that by which the cotangent comes, and
    without one, that to the first node which hands nothing back.
    """
    passing: dict[int, frozenset[int]] = {}
    found = {tape.root: Route(None, 0, (tape.root,))}
    for i in reversed(tape.order):
        if i != tape.root:
            ways = [_way(tape, found, i, use, passing) for use in tape.uses[i]]
            found[i] = min((way for way in ways if way is not None), key=lambda way: way.steps)
    return found


def _way(
    tape: Tape, found: Mapping[int, Route], i: int, use: Use, passing: dict[int, frozenset[int]]
) -> Route | None:
    """The way over one use of a node, None where its cotangent comes by other uses."""
    c = use.consumer
    if i in tape.adjoints:
        return beyond(i, c, found[c]) if use.gives else None
    if c in tape.adjoints or use.operand not in _passing(tape, c, passing):
        return Route(c, 1, (i, c))
    return beyond(i, c, found[c])


def beyond(i: int, c: int, route: Route) -> Route:
    """The way from `i` over its consumer `c`, which goes on by `route`."""
    return Route(c, route.steps + 1, (i, *route.tail) if len(route.tail) < _ENDS else route.tail)


def path(found: Mapping[int, Route], i: int) -> tuple[int, ...]:
    """The nodes on the way from `i`, itself first; the middle of a long way is left out."""
    steps = found[i].steps
    ways = [i]
    for _ in range(steps if steps < 2 * _ENDS else _ENDS - 1):
        following = found[ways[-1]].next
        assert following is not None
        ways.append(following)
    return tuple(ways) if len(ways) == steps + 1 else (*ways, *found[i].tail)


def _passing(tape: Tape, c: int, known: dict[int, frozenset[int]]) -> frozenset[int]:
    """The operands that a node without an adjoint would pass one back to."""
    if c not in known:
        expr = tape.graph.expressions[c]
        parts: Sequence[object] = ()
        if is_float(expr.type):
            with made_by(expr.origin):
                parts = operand_cotangents(expr, ops.ones_like(expr))
        known[c] = frozenset(k for k, part in enumerate(parts) if part is not None)
    return known[c]


@attrs.frozen(eq=False)
class Reasons:
    """What sentences need to know: the ways, which nodes depend on a target, and a few outputs that each leads to."""

    tape: Tape
    wrt: tuple[str, ...]
    routes: Mapping[int, Route]
    active: Sequence[bool]
    leads: Sequence[tuple[str, ...]]


def reasons(tape: Tape, wrt: Sequence[str]) -> Reasons:
    """What is known of all nodes, for the derivatives by `wrt`."""
    return Reasons(tape, tuple(wrt), routes(tape), _active(tape, wrt), _leads(tape.graph))


def unreached(known: Reasons, i: int) -> str:
    """Why a node has no adjoint in the graph, in a sentence."""
    tape, nodes = known.tape, known.tape.graph.nodes
    name, of, targets = called(tape.graph, i), repr(visible(tape.of)), _listed(_quoted(known.wrt))
    if i not in known.routes:
        where = f": it leads to {_listed(known.leads[i])}" if known.leads[i] else ""
        return f"{name} does not lead to {of}{where}"
    if not is_float(nodes[i].type):
        return f"{name} is {nodes[i].type}, and only floats have derivatives"
    if i not in tape.adjoints:
        *_, before, stop = path(known.routes, i)
        ways = known.routes[i].steps > 1 or len(tape.uses[i]) > 1
        start = f"no way from {name} to {of} has a derivative all along" if ways else "the derivative stops"
        link = ": the nearest stops at " if ways else " at "
        return f"{start}{link}{called(tape.graph, stop)}{_line(nodes[stop])}: {_stops(tape, before, stop)}"
    if not known.active[i]:
        by = f"are by {targets}, and {name} depends on none of them" if known.wrt else "are by nothing"
        return f"nobody asked for it: the derivatives that the graph has {by}, so its adjoint was dropped"
    return (
        f"the graph has no node for it: what is handed back to {targets} does not need it, or the graph was rewritten "
        "after it was differentiated"
    )


def _stops(tape: Tape, before: int, stop: int) -> str:
    """Why an op hands nothing back to its operand."""
    node = tape.graph.nodes[stop]
    if node.op.name == "stop_gradient":
        return "it is there to stop the derivative"
    if not is_float(node.type):
        return f"its result is {node.type}, and only floats have derivatives"
    places = [k for k, i in enumerate(node.inputs) if i == before]
    by = f" by its operand {places[0]}" if len(node.inputs) > 1 else ""
    return f"{node.op.name} has no derivative{by}, or one that is 0 wherever it exists"


def _active(tape: Tape, wrt: Sequence[str]) -> list[bool]:
    """Which nodes depend on one of the targets, or are one."""
    targets = {tape.graph[name].id for name in wrt}
    found: list[bool] = []
    for node in tape.graph.nodes:
        found.append(node.id in targets or any(found[i] for i in node.inputs))
    return found


def _leads(graph: Graph) -> list[tuple[str, ...]]:
    """For each node a few of the outputs and next values that depend on it."""
    found: list[dict[str, None]] = [{} for _ in graph.nodes]
    for name, i in graph.outputs:
        found[i][repr(visible(name))] = None
    for _, pairs in graph.updates:
        for name, i in pairs:
            found[i][f"the next value of {visible(name)!r}"] = None
    for node in reversed(graph.nodes):
        for i in node.inputs:
            few = found[i]
            for name in found[node.id]:  # at most one more than are named, as in each of them
                if len(few) > _NAMED:
                    break
                few[name] = None
    return [tuple(names) for names in found]


def _quoted(names: Sequence[str]) -> list[str]:
    return [repr(visible(name)) for name in names]


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence, at most three of them.

    >>> _listed(["a"]), _listed(["a", "b"]), _listed(["a", "b", "c", "d"])
    ('a', 'a and b', 'a, b, c and more')
    """
    shown = [*names[:_NAMED], *(["more"] if len(names) > _NAMED else [])]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def called(graph: Graph, i: int) -> str:
    """How sentences name a node: its id and op, with the name of a leaf or the value of a number.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> called(define(y=-placeholder("x")), 0), called(define(y=-placeholder("x")), 1)
    ("%0 placeholder 'x'", '%1 neg')
    """
    op = graph.nodes[i].op
    if isinstance(op, Constant) and op.value.array.size == 1:
        return f"%{i} {op.name} {op.value.array.item()!r}"
    name = leaf_name(op)
    return f"%{i} {op.name}" + ("" if name is None else f" {visible(name)!r}")


def _line(node: Node) -> str:
    """The user's line of a node, in brackets."""
    sources = node.origin.sources
    return f" ({visible(relative(sources[0].file))}:{sources[0].line})" if sources else ""
