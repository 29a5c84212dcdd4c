"""Forward and gradient side by side: for each forward node its adjoint, and where there is none, why.

adjoints : Graph -> of -> Gradient
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from symgraph.autodiff import gradient, gradient_name, target_names
from symgraph.errors import GradientError, GraphError
from symgraph.inspect.gradients.stops import Reasons, Route, called, path, reasons, unreached
from symgraph.inspect.gradients.tape import Tape, is_float, record
from symgraph.inspect.gradients.zeros import why_zero, zeros
from symgraph.inspect.values import Value
from symgraph.ir import Constant, Graph, Node, require_graph
from symgraph.origin import relative, visible

_USES = 4  # uses of a node that a line names


@attrs.frozen
class VJP:
    """A use of a node: what the derivative of its consumer hands back to it.

    `consumer` is the forward node whose VJP it is, `operand` which of its operands the node is, `rule` as in the
    origins ("vjp matmul"); `result` is the cotangent that it hands on, None where it hands on none or where the graph
    does not have it; `saved` are the forward values that it reads.
    """

    consumer: int
    operand: int
    rule: str
    result: int | None
    saved: tuple[int, ...]


@attrs.frozen
class Pair:
    """A forward node with its adjoint: the node that holds the derivative of the output by all uses of it.

    `made` are the gradient nodes that its own VJP made, with the sums that it completed; `rules` how the adjoint
    comes about, one for each use that the output depends on; `saved` the forward values that its own VJP reads. Where
    there is no adjoint `reason` says why, in a sentence, and `path` are the forward nodes from this one to where the
    derivative stops; else `path` goes on to the output. `zero` says, where values were given and the adjoint is 0
    everywhere, why; `zero_path` are the forward nodes to the one whose VJP gave 0. Of more than 64 nodes a path has
    both ends.
    """

    node: int
    adjoint: int | None
    made: tuple[int, ...] = ()
    rules: tuple[VJP, ...] = ()
    saved: tuple[int, ...] = ()
    reason: str = ""
    path: tuple[int, ...] = ()
    zero: str = ""
    zero_path: tuple[int, ...] = ()


@attrs.frozen(repr=False)
class Gradient:
    """The gradient of an output, read as pairs, one for each forward node. All ids are of `graph`."""

    graph: Graph
    of: str
    wrt: tuple[str, ...]
    pairs: tuple[Pair, ...]

    def __getitem__(self, node: int) -> Pair:
        """The pair of a forward node, by its id; raises GraphError for another."""
        for pair in self.pairs:
            if pair.node == node:
                return pair
        raise GraphError(f"%{node} is no forward node of {self.of!r}", hint="Ask for one of `pairs`.")

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    __repr__ = __str__  # what a notebook shows


def _lines(found: Gradient) -> list[str]:
    """A line for each forward node: its adjoint and the rules that it comes by, or why there is none."""
    graph = found.graph
    having = sum(pair.adjoint is not None for pair in found.pairs)
    by = ", ".join(map(visible, found.wrt)) or "nothing"
    head = (
        f"the gradient of {visible(found.of)!r} by {by}: {having} of {len(found.pairs)} forward nodes have an "
        "adjoint; ids are of the graph with the gradient"
    )
    rows = [("node", "type", "adjoint", "line", "by, or why not")]
    for pair in found.pairs:
        node = graph.nodes[pair.node]
        adjoint = "-" if pair.adjoint is None else f"%{pair.adjoint}"
        rows.append((called(graph, pair.node), str(node.type), adjoint, _line(node), _how(pair)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        head,
        *("  ".join(f"{c:{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows),
    ]


def _how(pair: Pair) -> str:
    if pair.adjoint is None:
        return pair.reason
    rules = [f"{visible(r.rule)} of %{r.consumer}" for r in pair.rules if r.result is not None]
    shown = ", ".join(rules[:_USES]) + (f" and {len(rules) - _USES} more" if len(rules) > _USES else "")
    by = shown or "it is the output"
    return f"{by}; it is 0: {pair.zero}" if pair.zero else by


def _line(node: Node) -> str:
    source = node.origin.sources[0] if node.origin.sources else None
    return "" if source is None else f"{visible(relative(source.file))}:{source.line}"


def adjoints(
    graph: Graph,
    of: str = "loss",
    wrt: Iterable[str] | str | None = None,
    values: Sequence[Value] | None = None,
) -> Gradient:
    """For each forward node of a graph its adjoint, how that comes about, and where there is none, why.

    `graph` is one that `gradient`, `vjp` or `minimize` made, or one without derivatives: then it is differentiated
    first, and the result speaks of the graph that comes of it. `of` names the output, `wrt` what it is differentiated
    by: by default what the graph has derivatives by, else all float variables that it depends on, else all such
    placeholders. `values` are those of all nodes of the result's graph (`symgraph.inspect.values.values`): with them,
    adjoints that are 0 everywhere are explained. Raises GradientError, GraphError.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> found = adjoints(define(loss=ops.sum(ops.exp(variable("w", (3,))))))
    >>> [(pair.node, pair.adjoint) for pair in found.pairs]
    [(0, 5), (1, 4), (2, 3)]
    >>> found.pairs[0].rules
    (VJP(consumer=1, operand=0, rule='vjp exp', result=5, saved=(1,)),)
    """
    require_graph(graph, "adjoints")
    tape, names = differentiated(graph, of, None if wrt is None else target_names(graph, wrt))
    there = frozenset(derived(tape))
    if values is not None and len(values) != len(tape.graph):
        raise GraphError(
            f"there are {len(values)} values, and the graph with the gradient has {len(tape.graph)} nodes",
            hint="Take them from the graph of adjoints(...): values(found.graph, feeds).",
        )
    zero = zeros(tape, values or ())
    why = why_zero(tape, values or (), zero)
    known = reasons(tape, [name for name in names if name in there])
    pairs = tuple(paired(known, zero, why, i) for i in sorted(tape.forward))
    return Gradient(tape.graph, of, names, pairs)


def differentiated(graph: Graph, of: str, wrt: Sequence[str] | None) -> tuple[Tape, tuple[str, ...]]:
    """The graph with the derivatives that are asked for, and by what they are; the same graph where it has them."""
    tape = record(graph, of)
    there = derived(tape)
    if wrt is None and there:
        return tape, there
    names = tuple(_default(tape) if wrt is None else wrt)
    for name in names:
        if not is_float(graph[name].type):
            raise GradientError(f"derivatives are by floats, and {name!r} is {graph[name].type}")
    missing = [name for name in names if name not in there and graph[name].id in tape.adjoints]
    if missing and tape.graph.nodes[tape.root].type.shape == ():
        tape = record(gradient(graph, of, missing), of)
    return tape, names


def derived(tape: Tape) -> tuple[str, ...]:
    """What the graph has derivatives by: what outputs are named for, else the variables whose adjoints it has."""
    graph, outputs = tape.graph, dict(tape.graph.outputs)
    names = dict.fromkeys((*graph.variables, *graph.placeholders, *outputs))
    named = (name for name in names if not outputs.keys().isdisjoint(_output_names(tape.of, name)))
    found = (name for name, node in graph.variables.items() if _has(tape, node.id))
    return tuple(dict.fromkeys((*named, *found)))


def _output_names(of: str, wrt: str) -> tuple[str, str]:
    return gradient_name(of, wrt), f"vjp_{of}/d_{wrt}"


def _has(tape: Tape, i: int) -> bool:
    adjoint = tape.adjoint(i)
    return adjoint is not None and not isinstance(tape.graph.nodes[adjoint].op, Constant)


def _default(tape: Tape) -> list[str]:
    graph = tape.graph
    for leaves in (graph.variables, graph.placeholders):
        names = [name for name, node in leaves.items() if node.id in tape.adjoints]
        if names:
            return names
    return []


def paired(known: Reasons, zero: Mapping[int, Route], why: Mapping[int, str], i: int) -> Pair:
    """The pair of one node."""
    tape = known.tape
    adjoint = tape.adjoint(i)
    uses = tape.uses.get(i, ())
    return Pair(
        node=i,
        adjoint=adjoint,
        made=tape.gradient.get(i, ()),
        rules=tuple(
            VJP(u.consumer, u.operand, f"vjp {tape.graph.nodes[u.consumer].op.name}", u.result, u.saved)
            for u in uses
            if u.consumer in tape.adjoints
        ),
        saved=tape.saved.get(i, ()),
        reason="" if adjoint is not None else unreached(known, i),
        path=path(known.routes, i) if i in known.routes and is_float(tape.graph.nodes[i].type) else (i,),
        zero=why.get(i, ""),
        zero_path=path(zero, i) if i in zero else (),
    )
