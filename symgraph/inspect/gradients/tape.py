"""Differentiation done again, to know what is what: the adjoint of every node, as a node of the graph itself.

record : Graph -> of -> Tape

Origins alone do not tell which node of a graph is whose adjoint: equal nodes are one, and have one origin. So the
forward part is differentiated once more, by every float in it, and each expression that comes of it is looked up in the
graph by its structure. What the graph's own differentiation did not need is in the tape, and not in the graph.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import islice

import attrs

from symgraph import ops
from symgraph.autodiff import backward, gradient_name, pull, topological, with_outputs
from symgraph.collector import paused
from symgraph.define import lift
from symgraph.expr import Expr
from symgraph.fetches import fresh
from symgraph.inspect.diagram import parts
from symgraph.ir import Constant, Graph, Type
from symgraph.origin import Origin, made_by
from symgraph.types import TensorType


@attrs.frozen
class Use:
    """What the VJP of `consumer` gives for its operand number `operand`: `result` in the graph, None where it gives
    nothing or the graph has no such node; `gives` says which. `saved` are the forward nodes that it reads.
    """

    consumer: int
    operand: int
    gives: bool
    result: int | None
    saved: tuple[int, ...]


@attrs.define(frozen=True, slots=False, eq=False)
class Tape:
    """The derivative of the node `root` of `graph` by every node that it depends on.

    `order` are the ids of these nodes, itself the last. `adjoints` has the adjoint of each that has one, `ids` the id
    of every expression that is a node of the graph, `made` what each VJP gave.
    """

    graph: Graph
    of: str
    root: int
    order: tuple[int, ...]
    adjoints: Mapping[int, Expr]
    made: Mapping[int, tuple[Expr | None, ...]]
    ids: Mapping[Expr, int]

    def adjoint(self, node: int) -> int | None:
        """The id of the node that holds the whole derivative by this one, if the graph has it."""
        found = self.adjoints.get(node)
        return None if found is None else self.ids.get(found)

    @cached_property
    def forward(self) -> frozenset[int]:
        """What is no part of a derivative or an update, and all that `root` depends on."""
        told = zip(self.graph.nodes, parts(self.graph), strict=True)
        return frozenset((*self.order, *(node.id for node, part in told if part == "forward")))

    @cached_property
    def uses(self) -> Mapping[int, tuple[Use, ...]]:
        """The uses of each node by those of `order`, in the order of the consumers."""
        found: dict[int, list[Use]] = {}
        within = set(self.order)
        for c in self.order:
            node = self.graph.nodes[c]
            given = self.made.get(c, (None,) * len(node.inputs))
            for k, i in enumerate(node.inputs):
                part = given[k] if is_float(self.graph.nodes[i].type) else None
                if i in within:
                    result = None if part is None else self.ids.get(part)
                    saved = () if part is None or result is None else self._saved(c, part)
                    found.setdefault(i, []).append(Use(c, k, part is not None, result, saved))
        return {i: tuple(uses) for i, uses in found.items()}

    @cached_property
    def saved(self) -> Mapping[int, tuple[int, ...]]:
        """For each node the forward nodes that its VJP reads, as far as the graph has what that gives."""
        found: dict[int, set[int]] = {}
        for uses in self.uses.values():
            for use in uses:
                found.setdefault(use.consumer, set()).update(use.saved)
        return {i: tuple(sorted(saved)) for i, saved in found.items()}

    def _saved(self, consumer: int, part: Expr) -> tuple[int, ...]:
        """The forward nodes that a part of a VJP reads: all down from it, as far as this VJP made it."""
        cotangent = self.adjoints[consumer]
        found, seen, stack = set[int](), {cotangent}, [part]
        while stack:
            expr = stack.pop()
            if expr in seen:
                continue
            seen.add(expr)
            i = self.ids.get(expr)
            if i is not None and i in self.forward:
                if not isinstance(expr.op, Constant):
                    found.add(i)
            elif expr.origin.of == (consumer,):  # what another VJP made belongs to the cotangent
                stack.extend(expr.inputs)
        return tuple(sorted(found))

    @cached_property
    def gradient(self) -> Mapping[int, tuple[int, ...]]:
        """For each node of `order` the nodes that its VJP made, with the sums over uses that it completed."""
        found: dict[int, set[int]] = {}
        # After the graph's own, which come first: of what was made now the origins are exact.
        for expr, i in islice(self.ids.items(), len(self.graph), None):
            if expr.origin.rule != "seed" and i not in self.forward:
                found.setdefault(expr.origin.of[0], set()).add(i)
        return {i: tuple(sorted(made)) for i, made in found.items()}


def record(graph: Graph, of: str) -> Tape:
    """The derivative of the output `of` by every node it depends on; raises GradientError where it is no float
    scalar and the graph has no placeholder `ct_OF` for its cotangent, as `symgraph.vjp` makes it.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> from symgraph.autodiff import gradient
    >>> tape = record(gradient(define(loss=ops.square(placeholder("x"))), wrt="x"), "loss")
    >>> print(tape.graph.nodes[tape.adjoint(0)].op.name)
    mul
    """
    with paused(len(graph)):
        exprs = lift(graph)
        own = {expr: i for i, expr in enumerate(exprs)}
        root = exprs[graph[of].id]
        fed = graph.placeholders.get(f"ct_{of}")
        cotangent = exprs[fed.id] if fed is not None and fed.type == root.type else None
        backward(root, (), cotangent)  # raises what is wrong with the output
        order = topological([root])
        if cotangent is None:
            with made_by(Origin(root.origin.sources, root.origin.scope, "seed", (own[root],))):
                cotangent = ops.ones_like(root)
        made: dict[Expr, tuple[Expr | None, ...]] = {}
        floats = [expr for expr in order if is_float(expr.type)]
        found = pull((root,), (cotangent,), floats, own, made)
        results = [part for given in made.values() for part in given if part is not None]
        ids = _interned(graph, own, [*results, *found.values()])
        return Tape(
            graph,
            of,
            own[root],
            tuple(sorted(own[expr] for expr in order)),
            {own[expr]: adjoint for expr, adjoint in found.items()},
            {own[expr]: given for expr, given in made.items()},
            ids,
        )


def is_float(type_: Type) -> bool:
    """Whether a value is one tensor of floats."""
    return isinstance(type_, TensorType) and type_.is_float


def _interned(graph: Graph, own: Mapping[Expr, int], roots: Iterable[Expr]) -> dict[Expr, int]:
    """The ids of all expressions that the roots depend on and the graph has a node for."""
    structure = {(node.op, node.inputs): node.id for node in graph.nodes}
    ids = dict(own)
    for expr in topological(roots, own):
        inputs = tuple([ids.get(operand, -1) for operand in expr.inputs])
        found = None if -1 in inputs else structure.get((expr.op, inputs))
        if found is not None:
            ids[expr] = found
    return ids


def completed(tape: Tape, nodes: Iterable[int]) -> Graph:
    """The tape's graph with the adjoints of these nodes as outputs `d_OF/d_%ID`; ids of what its outputs need stay."""
    graph, names = tape.graph, {name for name, _ in tape.graph.outputs}
    wanted = {fresh(gradient_name(tape.of, f"%{i}"), names): tape.adjoints[i] for i in nodes}
    return with_outputs(graph, lift(graph), wanted)
