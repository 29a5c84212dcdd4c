"""Every value of a run: what each node of a graph is, by the interpreter.

values        : Graph -> feeds -> variables -> Value*           one for each node
each          : Graph -> feeds -> variables -> (Node -> Value -> A) -> A*      arrays are dropped after their last use
statistics_of : Graph -> feeds -> variables -> Statistics*
inside        : Graph -> Value* -> a kernel -> Value*           of the nodes within it
first_bad     : Graph -> Value* | Statistics* -> node

Any graph will do: as it was declared, with gradients, rewritten, or fused (`symgraph.compile(...).graph`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from symgraph.compile import bind, bind_shape, feed_array
from symgraph.errors import GraphError
from symgraph.faults import Known, at_fault, has_infinity, has_nan
from symgraph.faults import Value as Value
from symgraph.fetches import Locator, as_mapping, spelled
from symgraph.initial_values import initial_values
from symgraph.inspect.statistics import Statistics, statistics
from symgraph.ir import Array, Graph, Node, Placeholder, Variable, require_graph, specialise
from symgraph.lowering.interpreter import interpret, value_of
from symgraph.lowering.program import inputs
from symgraph.ops.region import Fused

A = TypeVar("A")
Feeds: TypeAlias = Mapping[Any, npt.ArrayLike]  # by name, node or expression


def values(
    graph: Graph,
    feeds: Feeds | None = None,
    variables: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    *,
    declared: Graph | None = None,
) -> tuple[Value, ...]:
    """The value of every node of a graph, in the order of its nodes.

    `feeds` are by name, node or expression; any node may be fed, and what it would have been is replaced. `variables`
    are by name, such as `session.variables`; those that the graph lacks are ignored, and without them each has the
    first value that a session of this `seed` gives it. `declared` is the graph that a rewritten one was made from:
    placeholders that only it has may be fed too. Of a kernel with several outputs the value is a tuple. Raises
    FeedError, GraphError, and what an op raises, with the user's line.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = define(y=placeholder("x", (2,)) + 1.0)
    >>> values(graph, {"x": [1.0, 2.0]})[-1]
    array([2., 3.], dtype=float32)
    """
    return each(graph, feeds, variables, seed, then=lambda _, value: value, declared=declared)


def each(
    graph: Graph,
    feeds: Feeds | None = None,
    variables: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    *,
    then: Callable[[Node, Value], A],
    declared: Graph | None = None,
) -> tuple[A, ...]:
    """What `then` makes of each node (with its sizes put in) and its value, in the order of the nodes.

    Arguments are those of `values`. A value is dropped when the last node that takes it is done, so that a run needs
    no more memory than the values that are alive at once, and what `then` keeps.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> each(define(y=-placeholder("x", ("n",))), {"x": [1.0, 2.0]}, then=lambda node, value: value.sum())
    (np.float32(3.0), np.float32(-3.0))
    """
    require_graph(graph, "values")
    as_mapping(variables, "variables")
    given, fixed, sizes = _bound(graph, as_mapping(feeds), variables, seed, declared)
    last = {i: node.id for node in graph.nodes for i in node.inputs}
    alive: dict[int, Any] = {}
    made: list[A] = []
    for node in specialise(graph, sizes).nodes:
        if node.id in fixed:
            value: Value = _of_shape(node, *fixed[node.id])
        elif isinstance(node.op, Placeholder | Variable):
            value = given[node.op.label]
        else:
            with np.errstate(all="ignore"):
                value = value_of(node, [alive[i] for i in node.inputs])
        made.append(then(node, value))
        if node.id in last:
            alive[node.id] = value
        for i in {*node.inputs}:
            if last[i] == node.id:
                del alive[i]
    return tuple(made)


def _bound(
    graph: Graph,
    feeds: Feeds,
    variables: Mapping[str, npt.ArrayLike] | None,
    seed: int,
    declared: Graph | None,
) -> tuple[dict[str, Array], dict[int, tuple[str, Array]], dict[str, int]]:
    """The values of the leaves by name, those of other nodes that are fed by id (with their names), and the sizes."""
    locate = Locator(graph)
    lost = frozenset[str]() if declared is None else declared.placeholders.keys() - graph.placeholders.keys()
    leaves: dict[str, npt.ArrayLike] = {}
    fixed: dict[int, tuple[str, Array]] = {}
    sizes: dict[str, int] = {}
    owners: dict[str, str] = {}
    for target, value in feeds.items():
        if isinstance(target, str) and (target in lost or target not in _names(graph)):
            leaves[target] = value  # `bind` says what is wrong with an unknown one
            continue
        node = locate(target)
        if isinstance(node.op, Placeholder):
            leaves[node.op.label] = value
            continue
        name = spelled(target, node)
        array = feed_array(name, node.type, value)
        bind_shape(name, node.type, array.shape, sizes, owners)
        fixed[node.id] = name, array
    known = initial_values(graph, seed) if variables is None else variables
    for name, node in graph.variables.items():
        if node.id in fixed:
            leaves[name] = fixed[node.id][1]
        elif name in known:
            leaves[name] = known[name]
    arrays, found = bind(graph, leaves, declared)
    return dict(zip(inputs(graph), arrays, strict=True)), fixed, {**sizes, **found}


def _names(graph: Graph) -> set[str]:
    return {*graph.placeholders, *graph.variables, *(name for name, _ in graph.outputs)}


def _of_shape(node: Node, name: str, value: Array) -> Array:
    """What is fed for a node, if it fits the sizes of this run."""
    bind_shape(name, node.type, value.shape, {}, {})
    return value


def statistics_of(
    graph: Graph,
    feeds: Feeds | None = None,
    variables: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    *,
    picture: bool = True,
    declared: Graph | None = None,
) -> tuple[Statistics | None, ...]:
    """The statistics of every node's value; None for a kernel with several outputs, which has no value of its own.

    Arguments are those of `values`; `picture` says whether each has a picture. No more arrays are held at once than a
    run needs.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> print(statistics_of(define(y=-placeholder("x", ("n",))), {"x": [1.0, 2.0]})[-1])
    f32[2]  min -2  max -1  mean -1.5
    """

    def told(_: Node, value: Value) -> Statistics | None:
        return None if isinstance(value, tuple) else statistics(value, picture)

    return each(graph, feeds, variables, seed, then=told, declared=declared)


def inside(graph: Graph, results: Sequence[Value], kernel: int) -> tuple[Value, ...]:
    """The value of every node within a kernel: of its `op.graph`, in the order of that graph's nodes.

    `results` are the values of the nodes of `graph`, `kernel` is the id of one that fusion made. Raises GraphError
    where it is another op.
    """
    if not 0 <= kernel < len(graph):
        raise GraphError(f"%{kernel} is no node of this graph", hint=f"It has %0 to %{len(graph) - 1}.")
    node = graph.nodes[kernel]
    if not isinstance(node.op, Fused):
        raise GraphError(
            f"%{kernel} ({node.op.name}) holds no other nodes", hint="Name a kernel that fusion made."
        )
    operands: list[Any] = [results[i] for i in node.inputs]
    shapes = [(inner.type, value.shape) for inner, value in zip(node.op.operands, operands, strict=True)]
    sizes: dict[str, int] = {}
    for i, (type_, shape) in enumerate(shapes):
        bind_shape(str(i), type_, shape, sizes, {})
    return tuple(interpret(node.op.graph, {str(i): value for i, value in enumerate(operands)}, sizes))


def finite(array: Array) -> bool:
    """Whether all numbers of an array are finite; integers are.

    >>> finite(np.array([1.0, np.inf])), finite(np.array([1, 2]))
    (False, True)
    """
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def first_bad(graph: Graph, results: Sequence[Known], root: int | None = None) -> int | None:
    """The first node that is not finite though its operands are; with a `root` among those that made it so.

    `results` are the values of all nodes, or their statistics. A constant that is infinite by intention, such as that
    of a mask, is none; the NaN that comes of it is one (`symgraph.faults` has the rule). Where nothing else is found,
    it is a variable or a constant itself. None where all (or the root) are finite.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = define(y=-ops.log(placeholder("x", (2,))))
    >>> first_bad(graph, values(graph, {"x": [1.0, 0.0]}))
    1
    """
    bad = _bad(graph, results, root)
    made = (i for i in bad if isinstance(graph.nodes[i].op, Placeholder) or at_fault(graph.nodes[i], results))
    return next(made, next((i for i in bad if not graph.nodes[i].inputs), None))


def _bad(graph: Graph, results: Sequence[Known], root: int | None) -> list[int]:
    """The nodes that are not finite, in order: all, or those that the root depends on through such nodes."""
    if root is None:
        return [node.id for node in graph.nodes if not _finite(results[node.id])]
    found, stack = set[int](), [root]
    while stack:
        i = stack.pop()
        if i not in found and not _finite(results[i]):
            found.add(i)
            stack.extend(graph.nodes[i].inputs)
    return sorted(found)


def _finite(value: Known) -> bool:
    return not (has_nan(value) or has_infinity(value))
