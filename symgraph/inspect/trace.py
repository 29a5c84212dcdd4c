"""Traces: every graph on the way from the declared one to what runs, with the rewrites between them.

trace : Graph -> Trace        the same passes as `compile`, the same final graph, the same ledger
"""

from collections.abc import Sequence

import attrs

from symgraph.compile import Executable, check_rewriting, lowering
from symgraph.ir import Graph, require_graph
from symgraph.lowering.program import Options
from symgraph.rewrite import Declined, Numerics, Pass, Row
from symgraph.sweeps import Sweep
from symgraph.transforms.pipeline import numbered, optimise

__all__ = ["Sweep", "Trace", "trace"]

_FUSION = ("fuse",)


@attrs.frozen(eq=False)
class Trace:
    """The way from a declared graph to the one that a backend runs, sweep by sweep.

    `sweeps` follow one another: the first is given `declared`, each later one what the one before it made. Those of
    rules have a hit for each row; those of other passes (fusion, dead code, what a backend names its own) are one
    step, with rows or without. `declined` are the fusions that were not made.
    """

    declared: Graph
    sweeps: tuple[Sweep, ...]
    backend: str
    numerics: Numerics
    declined: tuple[Declined, ...] = attrs.field(default=(), repr=False)

    @property
    def graph(self) -> Graph:
        """The graph that runs."""
        return self.sweeps[-1].made if self.sweeps else self.declared

    @property
    def ledger(self) -> tuple[Row, ...]:
        """All rewrites in order, as `Executable.ledger` has them."""
        return tuple([row for sweep in self.sweeps for row in sweep.rows])

    @property
    def unfused(self) -> Graph:
        """The graph that the fusion pass was given, or that ran where nothing was fused."""
        given = (sweep.given for sweep in reversed(self.sweeps) if sweep.pass_name in _FUSION)
        return next(given, self.graph)


def trace(
    graph: Graph, backend: str = "auto", numerics: Numerics = "safe", passes: Sequence[Pass] | None = None
) -> Trace:
    """Optimise a graph as `compile` does with these arguments, and keep every graph on the way.

    Each sweep of a pass has the graph before and after it, its rows of the ledger, and for each rewrite the
    expressions before and after it. The memory is that of all those graphs: a compile keeps none. Raises
    CompileError.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> way = trace(define(y=ops.log(1.0 + ops.exp(x))), backend="interpreter")
    >>> [(sweep.pass_name, len(sweep.given), len(sweep.made)) for sweep in way.sweeps]
    [('stabilise', 5, 2)]
    >>> [hit.rule for hit in way.sweeps[0].hits], way.graph.nodes[-1].op.name
    (['log-one-plus-exp'], 'softplus')
    """
    require_graph(graph, "trace")
    check_rewriting(numerics, passes)
    name, chosen = lowering(backend)
    optimised = optimise(graph, numerics, passes, sweeps=True)
    prepared = optimise(optimised.graph, numerics, chosen.passes, rounds=1, sweeps=True)
    later = numbered(prepared.sweeps, len(optimised.ledger))
    return Trace(graph, (*optimised.sweeps, *later), name, numerics, prepared.declined)


def executable_of(way: Trace) -> Executable:
    """The executable that `compile` gives for the same arguments, without optimising again.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> executable_of(trace(define(y=placeholder("x") * 2.0), "interpreter"))({"x": 3.0})
    {'y': np.float32(6.0)}
    """
    lower = lowering(way.backend)[1].lower
    options = Options(way.numerics, None)
    return Executable(way.declared, way.graph, way.ledger, way.declined, way.backend, options, lower)
