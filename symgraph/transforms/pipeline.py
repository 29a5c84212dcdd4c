"""The pipeline: a tuple of passes that a user can print, cut and extend, and the ledger it leaves."""

from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import attrs

from symgraph.collector import paused
from symgraph.ir import Graph
from symgraph.rewrite import Declined, Numerics, Pass, Row
from symgraph.transforms.canonicalise import canonicalise_pass
from symgraph.transforms.common_subexpressions import common_subexpressions_pass
from symgraph.transforms.constant_folding import constant_folding_pass
from symgraph.transforms.matmul import matmul_pass
from symgraph.transforms.motion import motion_pass
from symgraph.transforms.stabilise import stabilise_pass

Pipeline: TypeAlias = tuple[Pass, ...]
_MAX_ROUNDS = 8


@attrs.frozen
class Optimised:
    """A graph after a pipeline, with a row for each rewrite, in order, and the fusions that were not made."""

    graph: Graph
    ledger: tuple[Row, ...]
    declined: tuple[Declined, ...] = ()


@cache
def default_pipeline() -> Pipeline:
    """The passes that `compile` runs, in order.

    Stable forms are looked for first, before other rules rewrite what they are made of.

    >>> [one.name for one in default_pipeline()]
    ['constant_folding', 'common_subexpressions', 'stabilise', 'canonicalise', 'matmul', 'motion']
    """
    return (
        constant_folding_pass(),
        common_subexpressions_pass(),
        stabilise_pass(),
        canonicalise_pass(),
        matmul_pass(),
        motion_pass(),
    )


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
    unchanged = 0  # passes in a row that found nothing; when that is all of them, they would again
    with paused(len(graph)):
        for one in pipeline * rounds:
            if unchanged == len(pipeline):
                break
            done = one.apply(graph, numerics)
            rows.extend([attrs.evolve(row, step=len(rows) + i + 1) for i, row in enumerate(done.rows)])
            declined = done.declined or declined
            unchanged = unchanged + 1 if done.graph is graph else 0
            graph = done.graph
    return Optimised(graph, tuple(rows), declined)
