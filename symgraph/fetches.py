"""What a run asks for: fetches and feeds, found in the graph, and the graph cut down to them.

    flatten : fetches -> [name | Node | Expr], ([value] -> the same nesting)
    locate  : Graph -> name | Node | Expr -> id
    cut     : Graph -> fetched ids, fed ids, groups -> Graph
    groups_of : update -> names of groups

All of it is pure; the session keeps what it made.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias
from weakref import ref

import attrs

from symgraph.define import number
from symgraph.errors import FeedError, GraphError
from symgraph.expr import Expr, describe
from symgraph.ir import Graph, Node, Op, Placeholder, leaf_name
from symgraph.types import TensorType
from symgraph.values import shown

Target: TypeAlias = str | Node | Expr
Groups: TypeAlias = str | Iterable[str] | None  # of updates
Nest: TypeAlias = Callable[[Sequence[Any]], Any]  # the values of the leaves, in order -> the nested result
_UPDATE = "update"


def flatten(fetches: Any) -> tuple[tuple[Target, ...], Nest]:
    """The leaves of nested fetches in order, and the function that nests their values in the same way.

    Raises GraphError for what is neither a fetch nor a nesting of them.

    >>> leaves, nest = flatten({"a": ["x", None], "b": ("y", "x")})
    >>> leaves, nest([1, 2, 3])
    (('x', 'y', 'x'), {'a': [1, None], 'b': (2, 3)})
    """
    leaves: list[Target] = []
    try:
        nest = _nest(fetches, leaves)
    except RecursionError:
        raise GraphError(
            "the fetches are nested too deeply, or hold themselves",
            hint="Fetch a tuple, list or dict of names.",
        ) from None
    return tuple(leaves), nest


def as_mapping(given: Any, what: str = "feeds") -> Mapping[Any, Any]:
    """What is fed, where nothing is nothing; raises FeedError for what is no mapping.

    >>> as_mapping(None), as_mapping({"x": 1.0})
    ({}, {'x': 1.0})
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise FeedError(f"{what} are a mapping, and this is {shown(given)}", hint='Write {"x": value}.')
    return given


def _nest(fetches: Any, leaves: list[Target]) -> Nest:
    # The depth of this recursion is that of the brackets the user wrote.
    if fetches is None:
        return lambda values: None
    if isinstance(fetches, str | Node | Expr):
        index = len(leaves)
        leaves.append(fetches)
        return lambda values: values[index]
    if isinstance(fetches, Mapping):
        items = [(key, _nest(value, leaves)) for key, value in fetches.items()]
        return lambda values: {key: part(values) for key, part in items}
    if isinstance(fetches, tuple | list):
        parts = [_nest(value, leaves) for value in fetches]
        make = getattr(type(fetches), "_make", type(fetches))  # a named tuple takes its fields one by one
        return lambda values: make([part(values) for part in parts])
    if attrs.has(type(fetches)) and not isinstance(fetches, Graph):
        record = type(fetches)
        fields = [(f.alias, _nest(getattr(fetches, f.name), leaves)) for f in attrs.fields(record) if f.init]
        return lambda values: record(**{name: part(values) for name, part in fields})
    raise GraphError(
        f"{shown(fetches)} cannot be fetched",
        hint="Fetch a name, an expression or a node of the graph, or a tuple, list, dict or record of them.",
    )


@attrs.define(frozen=True, slots=False, eq=False)
class Locator:
    """Finds the nodes of a graph by name, by node, or by the expression they were defined from."""

    graph: Graph
    # What was found before, by identity: an expression in a loop is looked up once. It keeps none alive.
    _found: dict[int, tuple["ref[Expr]", int]] = attrs.field(factory=dict, init=False, repr=False)

    @cached_property
    def _structure(self) -> Mapping[tuple[Op, tuple[int, ...]], int]:
        return {(node.op, node.inputs): node.id for node in self.graph.nodes}

    def __call__(self, target: Target) -> Node:
        """The node that a fetch or a feed means; raises GraphError when the graph has none.

        >>> from symgraph.define import define
        >>> from symgraph.expr import placeholder
        >>> x = placeholder("x")
        >>> Locator(define(y=-x))(-x).id
        1
        """
        if isinstance(target, str):
            node = self.graph[target]
        elif isinstance(target, Expr):
            node = self.graph.nodes[self._expression(target)]
        elif isinstance(target, Node):
            node = self._same(target)
        else:
            raise GraphError(f"{target!r} is no name, expression or node", hint="Name it, in quotes: 'x'.")
        if not isinstance(node.type, TensorType):
            raise GraphError(f"%{node.id} holds several values", hint="Name the nodes that take it apart.")
        return node

    def _same(self, node: Node) -> Node:
        if 0 <= node.id < len(self.graph) and self.graph.nodes[node.id] == node:
            return self.graph.nodes[node.id]
        raise GraphError(
            f"%{node.id} ({node.op.name}: {node.type}) is a node of another graph",
            hint="Take the node from the graph that the session runs: session.graph[name].",
        )

    def _expression(self, root: Expr) -> int:
        """The id of the node with the same structure: the same ops down to leaves of the same declaration."""
        known = self._found.get(id(root))
        if known is not None and known[0]() is root:
            return known[1]
        ids: dict[Expr, int] = {}
        stack = [root]
        while stack:
            expr = stack[-1]
            waiting = [operand for operand in expr.inputs if operand not in ids]
            if expr in ids or not waiting:
                stack.pop()
                if expr not in ids:
                    ids[expr] = self._step(root, expr, tuple(ids[operand] for operand in expr.inputs))
                continue
            stack.extend(reversed(waiting))
        found, key = self._found, id(root)
        found[key] = ref(root, lambda _: found.pop(key, None)), ids[root]
        return ids[root]

    def _step(self, root: Expr, expr: Expr, inputs: tuple[int, ...]) -> int:
        found = self._structure.get((expr.op, inputs))
        if found is not None:
            return found
        details = () if expr is root else (f"it is made of {describe(expr)}, which the graph does not have",)
        raise GraphError(
            f"{root!r} is not in this graph",
            source=root.origin.sources[0] if root.origin.sources else None,
            details=details,
            hint="Make it an output: define(..., name=expression), and fetch the name.",
        )


def spelled(target: Target, node: Node) -> str:
    """How messages name what was fed: the name that was written, else the node's own.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = define(y=-placeholder("x"))
    >>> spelled("y", graph["y"]), spelled(graph["x"], graph["x"]), spelled(graph["y"], graph["y"])
    ('y', 'x', '%1')
    """
    return target if isinstance(target, str) else leaf_name(node.op) or f"%{node.id}"


def located_feeds(locate: Locator, targets: Iterable[Target] | Target) -> dict[int, Target]:
    """The ids of what is fed, each with its spelling; raises FeedError for unknown and for double feeds."""
    found: dict[int, Target] = {}
    if isinstance(targets, str | Expr | Node):
        targets = (targets,)
    elif not isinstance(targets, Iterable):
        raise FeedError(f"{targets!r} names nothing to feed", hint='Name what is fed: ("x", "y").')
    for target in targets:
        try:
            node = locate(target)
        except GraphError as error:
            raise FeedError(
                error.message, source=error.source, details=error.details, hint=error.hint
            ) from None
        if node.id in found:
            raise FeedError(
                f"{spelled(found[node.id], node)!r} and {spelled(target, node)!r} are one node, fed twice",
                hint="Feed it once.",
            )
        found[node.id] = target
    return found


def cut(
    graph: Graph, fetched: Sequence[int], fed: Sequence[int], groups: Sequence[str]
) -> tuple[Graph, dict[int, str]]:
    """The graph of one kind of run, and for each fed node the label of the placeholder that it now is.

    Outputs are the nodes `fetched`, in order; the update groups are joined in one. A fed node becomes a
    placeholder, and what only it needed is gone. Raises GraphError for an unknown group, and for two
    groups that change one variable.
    """
    names = {i: name for name, i in reversed(graph.outputs)}
    labels = _labels(graph, fed, names)
    declared: list[Expr] = []
    exprs: list[Expr] = []
    for node in graph.nodes:
        inputs = tuple([exprs[i] for i in node.inputs])
        declared.append(Expr(node.op, inputs, node.type, node.origin))
        label = labels.get(node.id)
        if label is None or isinstance(node.op, Placeholder):
            exprs.append(declared[-1])
        else:
            exprs.append(Expr(Placeholder(label, node.type), (), node.type, node.origin))
    changes = {
        declared[graph.variables[name].id]: exprs[value] for name, value in joined(graph, groups).items()
    }
    taken = {*graph.placeholders, *graph.variables, *labels.values(), *names.values()}
    outputs: dict[str, Expr] = {}
    for i in fetched:
        own = leaf_name(exprs[i].op) or names.get(i)
        outputs[own if own is not None else fresh(f"%{i}", {*taken, *outputs})] = exprs[i]
    return number(outputs, {_UPDATE: changes} if changes else {})[0], labels


def _labels(graph: Graph, fed: Sequence[int], names: Mapping[int, str]) -> dict[int, str]:
    taken = {*graph.placeholders, *graph.variables, *names.values()}
    labels: dict[int, str] = {}
    for i in fed:
        op = graph.nodes[i].op
        own = leaf_name(op)
        if isinstance(op, Placeholder):
            labels[i] = op.label
        elif own is None and i in names:  # the graph has no leaf of the name of an output
            labels[i] = names[i]
        else:
            labels[i] = fresh(own or f"%{i}", {*taken, *labels.values()})
    return labels


def fresh(name: str, taken: Iterable[str]) -> str:
    """`name`, with as many primes as it takes to be none of `taken`.

    >>> fresh("w", {"w", "w'"})
    "w''"
    """
    known = set(taken)
    while name in known:
        name += "'"
    return name


def joined(graph: Graph, groups: Sequence[str]) -> dict[str, int]:
    """The updates of several groups as one; raises GraphError where two change the same variable."""
    changes: dict[str, int] = {}
    owner: dict[str, str] = {}
    for group in groups:
        for name, value in graph.update_group(group).items():
            if name in changes:
                raise GraphError(
                    f"the update groups {owner[name]!r} and {group!r} both change {name!r}",
                    hint="Run them one after the other.",
                )
            changes[name], owner[name] = value, group
    return changes


def groups_of(update: Groups) -> tuple[str, ...]:
    """The names of update groups, each once and in the order of the alphabet; raises GraphError.

    >>> groups_of(["train", "state"]), groups_of("train"), groups_of(None)
    (('state', 'train'), ('train',), ())
    """
    if update is None:
        return ()
    listed: Any = (
        update if isinstance(update, Iterable) and not isinstance(update, str | Mapping | Expr) else (update,)
    )
    groups = tuple(listed)
    for group in groups:
        if not isinstance(group, str):
            raise GraphError(
                f"an update is the name of a group, and {group!r} is none", hint="Write update='train'."
            )
    return tuple(sorted(set(groups)))
