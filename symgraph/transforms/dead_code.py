"""Dead code: what no output and no update needs.

`define` never keeps such nodes, so there is nothing to do until some outputs are not wanted: a run that
fetches one of them needs no other, and the updates of a group only when it trains.
"""

from collections.abc import Iterable

from symgraph.define import lift, rebuild
from symgraph.errors import GraphError
from symgraph.ir import Graph
from symgraph.rewrite import Numerics, Pass, Rewritten


def prune(graph: Graph, outputs: Iterable[str] | None = None, updates: Iterable[str] | None = None) -> Graph:
    """The graph with some of its outputs and update groups, and the nodes that they need.

    `outputs` and `updates` are names; None keeps all. Their order stays that of the graph, and the graph
    itself comes back when nothing is dropped. Raises GraphError for a name that the graph does not have.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x")
    >>> prune(define(y=x + 1.0, z=x * 2.0), outputs=["y"]).outputs
    (('y', 2),)
    """
    kept = _chosen([name for name, _ in graph.outputs], outputs, "output")
    groups = _chosen([name for name, _ in graph.updates], updates, "update group")
    cut = Graph(
        graph.nodes,
        tuple(pair for pair in graph.outputs if pair[0] in kept),
        tuple(pair for pair in graph.updates if pair[0] in groups),
    )
    made = rebuild(cut, lift(graph))[0]
    return graph if made == graph else made


def _chosen(known: list[str], wanted: Iterable[str] | None, what: str) -> set[str]:
    chosen = set(known) if wanted is None else {wanted} if isinstance(wanted, str) else set(wanted)
    unknown = sorted(chosen - set(known))
    if unknown:
        raise GraphError(
            f"{unknown[0]!r} is no {what} of this graph", hint=f"It has {', '.join(known) or 'none'}."
        )
    return chosen


def dead_code_pass() -> Pass:
    """The pass that drops what no output and no update needs: nodes that a pass of the user's left behind."""

    def apply(graph: Graph, numerics: Numerics) -> Rewritten:
        return Rewritten(prune(graph))

    return Pass("dead_code", apply)
