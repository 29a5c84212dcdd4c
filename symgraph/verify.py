"""The verifier: what every graph holds to, checked in linear time.

    verify : Graph -> Graph         the same graph, or a GraphError

Ids are positions, operands come earlier, types are what `infer` says, names of leaves occur once, outputs and
updates exist and fit, every node is reached, `(op, inputs)` occurs once, and the numbering is the canonical
post-order that `define` gives.
"""

from collections.abc import Iterator

import attrs

from symgraph.errors import GraphError, SymgraphError
from symgraph.ir import Graph, Node, Placeholder, Type, Variable, require_graph
from symgraph.values import encodable


@attrs.frozen
class Problem:
    """What is wrong with a graph, and the id of the node that it is about, if any."""

    message: str
    node: int | None = None


def verify(graph: Graph) -> Graph:
    """The same graph; raises GraphError, with the node's line, when it is not well formed.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> len(verify(define(y=placeholder("x") + 1.0)))
    3
    """
    require_graph(graph, "verify")
    problem = next(problems(graph), None)
    if problem is None:
        return graph
    sources = () if problem.node is None else graph.nodes[problem.node].origin.sources
    raise GraphError(problem.message, source=sources[0] if sources else None)


def problems(graph: Graph) -> Iterator[Problem]:
    """Everything that is wrong; later checks rely on earlier ones, so only the first can be trusted alone."""
    yield from _structure(graph)
    yield from _order(graph)


def _structure(graph: Graph) -> Iterator[Problem]:
    for position, node in enumerate(graph.nodes):
        if node.id != position:
            yield Problem(f"node {position} has the id {node.id}: an id is a node's position", position)
            return
        if not all(isinstance(i, int) and 0 <= i < position for i in node.inputs):
            shown = " ".join(f"%{i}" for i in node.inputs)
            yield Problem(f"%{position} {node.op.name} takes {shown}: operands come earlier", position)
            return
    yield from _types(graph)
    yield from _leaves(graph)
    yield from _outputs(graph)
    yield from _updates(graph)


def _types(graph: Graph) -> Iterator[Problem]:
    for node in graph.nodes:
        message = type_problem(node, tuple([graph.nodes[i].type for i in node.inputs]))
        if message:
            yield Problem(message, node.id)
        for field in attrs.fields(type(node.op)):
            inner = getattr(node.op, field.name)
            # A region numbers its parameters as its operands come, so order is not asked of it.
            if isinstance(inner, Graph):
                for problem in _structure(inner):
                    yield Problem(f"in the region of %{node.id}: {problem.message}", node.id)


def type_problem(node: Node, types: tuple[Type, ...]) -> str:
    """What is wrong with the type of a node whose operands have `types`, or an empty text.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = define(y=-placeholder("x", (2,)))
    >>> type_problem(graph.nodes[1], (graph.nodes[0].type.with_shape((3,)),))
    '%1 neg: the type is f32[2], and f32[3] is what its operands give'
    """
    if node.op.arity is not None and len(types) != node.op.arity:
        return f"%{node.id} {node.op.name} takes {node.op.arity} operands, and has {len(types)}"
    try:
        expected = node.op.infer(*types)  # type: ignore[arg-type]
    except SymgraphError as error:
        return f"%{node.id} {error.message}"
    except Exception as error:  # a rule given attributes or operands that it is not written for
        return f"%{node.id} {node.op.name} does not fit its {len(types)} operands or attributes ({error})"
    if expected != node.type:
        return f"%{node.id} {node.op.name}: the type is {node.type}, and {expected} is what its operands give"
    return ""


def _leaves(graph: Graph) -> Iterator[Problem]:
    labels: dict[str, int] = {}
    for node in graph.nodes:
        if not isinstance(node.op, Placeholder | Variable):
            continue
        if not isinstance(node.op.label, str) or not node.op.label:
            yield Problem(f"%{node.id}: the name of a {node.op.name} is a non-empty string", node.id)
        elif not encodable(node.op.label):
            yield Problem(f"%{node.id}: the name {node.op.label!r} has half a surrogate pair", node.id)
        first = labels.setdefault(node.op.label, node.id)
        if first != node.id:
            yield Problem(f"%{node.id} and %{first} are both declared as {node.op.label!r}", node.id)


def _outputs(graph: Graph) -> Iterator[Problem]:
    seen: set[str] = set()
    leaves = {**graph.placeholders, **graph.variables}
    for name, i in graph.outputs:
        if not isinstance(name, str) or not name:
            yield Problem(f"the name of an output is a non-empty string, and {name!r} is none")
        elif name in seen:
            yield Problem(f"the output {name!r} is given twice")
        if not 0 <= i < len(graph.nodes):
            yield Problem(f"the output {name!r} is %{i}, and the graph has {len(graph.nodes)} nodes")
        elif name in leaves and leaves[name].id != i:
            yield Problem(f"the output {name!r} has the name of a leaf, and is another node", i)
        seen.add(name)


def _updates(graph: Graph) -> Iterator[Problem]:
    groups: set[str] = set()
    for group, pairs in graph.updates:
        if not isinstance(group, str) or not group or group in groups:
            yield Problem(f"the update group {group!r} has no name, or that of another")
        groups.add(group)
        changed: set[str] = set()
        for name, i in pairs:
            variable = graph.variables.get(name)
            if variable is None:
                yield Problem(f"the group {group!r} updates {name!r}, which is no variable of the graph")
            elif not 0 <= i < len(graph.nodes):
                yield Problem(f"the next value of {name!r} is %{i}, and there are {len(graph.nodes)} nodes")
            elif graph.nodes[i].type != variable.type:
                made = graph.nodes[i].type
                yield Problem(f"the next value of {name!r} is {made}, and the variable {variable.type}", i)
            if name in changed:
                yield Problem(f"the group {group!r} updates {name!r} twice")
            changed.add(name)


def _order(graph: Graph) -> Iterator[Problem]:
    known: dict[tuple[object, tuple[int, ...]], int] = {}
    for node in graph.nodes:
        first = known.setdefault((node.op, node.inputs), node.id)
        if first != node.id:
            yield Problem(f"%{node.id} is {node.op.name} of the same operands as %{first}", node.id)
    order = post_order(graph)
    for position, i in enumerate(order):
        if i != position:
            yield Problem(f"the numbering is not canonical: %{i} comes at place {position} in post-order", i)
            return
    if len(order) < len(graph.nodes):
        node = graph.nodes[len(order)]
        yield Problem(f"%{node.id} {node.op.name} is not needed by any output or update", node.id)


def post_order(graph: Graph) -> list[int]:
    """The ids that outputs and updates reach, each after its operands: the canonical numbering."""
    order: list[int] = []
    seen = bytearray(len(graph.nodes))
    for root in graph.roots:
        stack = [root]
        while stack:
            i = stack[-1]
            waiting = [] if seen[i] else [operand for operand in graph.nodes[i].inputs if not seen[operand]]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if not seen[i]:
                seen[i] = True
                order.append(i)
    return order
