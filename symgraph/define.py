"""Definition: expressions become a canonical graph, and a graph becomes expressions again.

define : {name: Expr} -> Graph          post-order numbering, (op, inputs) interned
lift   : Graph -> Expr*                 one expression a node; define . lift = identity
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from typing import Any, NoReturn, TypeAlias

from symgraph import origin as provenance
from symgraph.collector import paused
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, check_name, describe
from symgraph.ir import Graph, Node, Op, Placeholder, Variable
from symgraph.origin import Origin
from symgraph.values import Unfit, array_of, shown

Outputs: TypeAlias = Mapping[str, Expr]
Updates: TypeAlias = Mapping[str, Mapping[Expr, Expr]]


def define(outputs: Outputs | None = None, /, *, updates: Updates | None = None, **named: Expr) -> Graph:
    """The canonical graph of named outputs.

    `updates` maps a group's name to the next value of each variable it changes. What no output or update
    needs is left out. Raises GraphError for duplicate names, and for the output of a layer of `symgraph.nn` whose
    state (running statistics, random keys) no group updates; ShapeError for an update of another type.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> print(define(y=x + x))
    graph(x: f32[n]) {
      %1: f32[n] = add %x %x  # ...
      return y=%1
    }
    """
    given = {} if outputs is None else outputs
    if not isinstance(given, Mapping):
        raise GraphError(
            f"define takes named outputs, and this is {shown(given)}",
            hint="Write define(loss=expression), or define({'loss': expression}).",
        )
    twice = sorted(given.keys() & named.keys())
    if twice:
        raise GraphError(f"the output {twice[0]!r} is given twice", hint="Give each its own name.")
    with paused():
        graph, ids = number({**given, **named}, {} if updates is None else updates)
    _check_states(graph, ids)
    return graph


def _check_states(graph: Graph, exprs: Iterable[Expr]) -> None:
    """Raise GraphError where the graph has the output of a layer, and no update group the state that goes with it."""
    updated = {name for _, pairs in graph.updates for name, _ in pairs}
    for expr in exprs:
        dropped = [name for name in expr.origin.states if name not in updated]
        if dropped:
            raise GraphError(
                f"the state of a layer was dropped: the next value of {dropped[0]!r} is in no update group",
                details=(describe(expr),),
                hint="Hand it on: define(..., updates={'state': state}), or make the graph with "
                "symgraph.nn.graph(build). For evaluation take what symgraph.nn.modes gives.",
            )


def number(outputs: Outputs, updates: Updates) -> tuple[Graph, dict[Expr, int]]:
    """`define`, with the id of each expression it reached."""
    for name, expr in outputs.items():
        _check_output(name, expr)
    if not isinstance(updates, Mapping):
        raise _not_updates(updates)
    for group, changes in updates.items():
        check_name(group, "update group")
        if not isinstance(changes, Mapping):
            raise _not_updates(changes)
        for target, value in changes.items():
            _check_update(target, value)
    roots = [*outputs.values(), *(v for group in updates.values() for pair in group.items() for v in pair)]
    nodes, exprs, ids = _intern(roots)
    _check_leaves(nodes, outputs, ids)
    graph = Graph(
        tuple(nodes),
        tuple((name, ids[expr]) for name, expr in outputs.items()),
        tuple(
            (group, tuple((t.op.label, ids[v]) for t, v in changes.items()))  # type: ignore[attr-defined]
            for group, changes in updates.items()
        ),
    )
    vars(graph)["expressions"] = tuple(
        exprs
    )  # the cached property of the graph, which has not been asked yet
    return graph, ids


def body(outputs: Outputs) -> Graph:
    """The canonical graph of a region, which the compiler made: `define` without checks of what a user writes."""
    nodes, _, ids = _intern(list(outputs.values()))
    return Graph(tuple(nodes), tuple([(name, ids[expr]) for name, expr in outputs.items()]))


def _intern(roots: Sequence[Expr]) -> tuple[list[Node], list[Expr], dict[Expr, int]]:
    """Nodes in post-order from the roots, each `(op, inputs)` once, with an expression for each, and the ids of
    all expressions; iterative, for any depth.
    """
    nodes: list[Node] = []
    exprs: list[Expr] = []
    ids: dict[Expr, int] = {}
    interned: dict[tuple[Op, tuple[int, ...]], int] = {}
    stack = list(reversed(roots))
    while stack:
        expr = stack.pop()
        if expr in ids:
            continue
        op, operands = expr.op, expr.inputs
        inputs: tuple[Any, ...] = tuple(map(ids.get, operands))
        if None in inputs:  # after its operands
            stack.append(expr)
            stack.extend(operands[::-1])
            continue
        found = interned.setdefault((op, inputs), len(nodes))
        if found == len(nodes):
            nodes.append(Node(found, op, inputs, expr.type, expr.origin))
            # As long as no two expressions were one node, those of the operands are the operands.
            one = expr if len(ids) < len(nodes) else _of_operands(expr, tuple([exprs[i] for i in inputs]))
            exprs.append(one)
        elif isinstance(op, Placeholder | Variable):
            _declared_twice(op.label, nodes[found].origin, expr.origin)
        ids[expr] = found
    return nodes, exprs, ids


def _of_operands(expr: Expr, operands: tuple[Expr, ...]) -> Expr:
    """The expression with these operands, which are of the same types; the same object when it has them."""
    same = all(map(is_, operands, expr.inputs))
    return expr if same else Expr(expr.op, operands, expr.type, expr.origin)


def _declared_twice(label: str, first: Origin, second: Origin) -> NoReturn:
    where = ", ".join(
        f"{provenance.relative(o.sources[0].file)}:{o.sources[0].line}" for o in (first, second) if o.sources
    )
    raise GraphError(
        f"{label!r} is declared twice",
        details=(f"declared at {where}",) if where else (),
        hint="Declare it once and pass the expression on, or give each its own name.",
    )


def _not_updates(given: object) -> GraphError:
    return GraphError(
        f"updates map groups to mappings of variables to next values, and this is {shown(given)}",
        hint="Write updates={'train': {w: w - 0.1 * g}}.",
    )


def _check_output(name: object, expr: object) -> None:
    check_name(name, "output")
    if not isinstance(expr, Expr):
        unfit = array_of(expr)
        raise GraphError(
            f"the output {name!r} is {shown(expr)}, not an expression",
            hint=unfit.hint
            if isinstance(unfit, Unfit)
            else "For a number or an array write symgraph.constant(...).",
        )


def _check_update(target: object, value: object) -> None:
    if not isinstance(target, Expr) or not isinstance(target.op, Variable):
        raise GraphError(
            f"only a variable can be updated, and {target!r} is none",
            hint="The keys are expressions: w = symgraph.variable(...), and then updates={'train': {w: ...}}.",
        )
    if not isinstance(value, Expr):
        raise GraphError(
            f"the next value of {target.op.label!r} is {shown(value)}, not an expression",
            hint="For a number or an array write symgraph.constant(...).",
        )
    if value.dtype != target.dtype:
        raise DTypeError(
            f"the next value of {target.op.label!r} is {value.type}, and the variable is {target.type}",
            details=(describe(target), describe(value)),
            hint="Cast it with symgraph.cast.",
        )
    if value.shape != target.shape:
        raise ShapeError(
            f"the next value of {target.op.label!r} is {value.type}, and the variable is {target.type}",
            details=(describe(target), describe(value)),
            hint="Bring it to the variable's shape: symgraph.broadcast_to, or symgraph.reshape.",
        )


def _check_leaves(nodes: Sequence[Node], outputs: Outputs, ids: Mapping[Expr, int]) -> None:
    labels: dict[str, Node] = {}
    for node in nodes:
        if isinstance(node.op, Placeholder | Variable):
            other = labels.setdefault(node.op.label, node)
            if other is not node:
                _declared_twice(node.op.label, other.origin, node.origin)
    for name, expr in outputs.items():
        if name in labels and ids[expr] != labels[name].id:
            raise GraphError(
                f"the output {name!r} has the name of a {labels[name].op.name}, and is another node",
                details=(describe(expr),),
                hint="Give the output a name of its own.",
            )


def lift(graph: Graph) -> list[Expr]:
    """One expression for each node, with the node's origin; of one graph always the same ones.

    >>> from symgraph.expr import placeholder
    >>> g = define(y=placeholder("x") * 2)
    >>> [e.op.name for e in lift(g)]
    ['placeholder', 'constant', 'mul']
    """
    return list(graph.expressions)


def rebuild(
    graph: Graph, exprs: Sequence[Expr], outputs: Outputs | None = None
) -> tuple[Graph, dict[Expr, int]]:
    """The graph whose node `i` is now `exprs[i]`, with `outputs` added; and the ids of its expressions."""
    leaves = {name: exprs[node.id] for name, node in graph.variables.items()}
    return number(
        {**{name: exprs[i] for name, i in graph.outputs}, **(outputs or {})},
        {group: {leaves[v]: exprs[i] for v, i in pairs} for group, pairs in graph.updates},
    )
