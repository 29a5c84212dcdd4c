"""The pipeline: a tuple of passes that a user can print, cut and extend, and the ledger it leaves."""

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from symgraph.ir import Graph
from symgraph.rewrite import Declined, Numerics, Pass, Row

Pipeline: TypeAlias = tuple[Pass, ...]
_MAX_ROUNDS = 8


@attrs.frozen
class Optimised:
    """A graph after a pipeline, with a row for each rewrite, in order, and the fusions that were not made."""

    graph: Graph
    ledger: tuple[Row, ...]
    declined: tuple[Declined, ...] = ()


def default_pipeline() -> Pipeline:
    """The passes that `compile` runs, in order."""
    return ()


def optimise(
    graph: Graph,
    numerics: Numerics = "safe",
    passes: Sequence[Pass] | None = None,
    rounds: int = _MAX_ROUNDS,
) -> Optimised:
    """Run passes in order, again and again until none changes the graph."""
    pipeline = default_pipeline() if passes is None else tuple(passes)
    rows: list[Row] = []
    declined: tuple[Declined, ...] = ()
    for _ in range(rounds):
        before = graph
        for one in pipeline:
            done = one.apply(graph, numerics)
            rows.extend(attrs.evolve(row, step=len(rows) + i + 1) for i, row in enumerate(done.rows))
            declined = done.declined or declined
            graph = done.graph
        if graph is before:
            break
    return Optimised(graph, tuple(rows), declined)
