"""The pipeline: a tuple of passes that a user can print, cut and extend, and the ledger it leaves."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TypeAlias

import attrs

from symgraph.collector import paused
from symgraph.contracts import raised_at, said
from symgraph.errors import CompileError, SymgraphError
from symgraph.ir import Graph
from symgraph.rewrite import Declined, Numerics, Pass, Rewritten, Row
from symgraph.sweeps import Sweep, recorded
from symgraph.transforms.canonicalise import canonicalise_pass
from symgraph.transforms.common_subexpressions import common_subexpressions_pass
from symgraph.transforms.constant_folding import constant_folding_pass
from symgraph.transforms.matmul import matmul_pass
from symgraph.transforms.motion import motion_pass
from symgraph.transforms.stabilise import stabilise_pass
from symgraph.values import shown

Pipeline: TypeAlias = tuple[Pass, ...]
_MAX_ROUNDS = 8


@attrs.frozen
class Optimised:
    """A graph after a pipeline, with a row for each rewrite, in order, and the fusions that were not made.

    `sweeps`, where they were asked for, are the steps from the one graph to the other; their rows are the ledger.
    """

    graph: Graph
    ledger: tuple[Row, ...]
    declined: tuple[Declined, ...] = ()
    sweeps: tuple[Sweep, ...] = attrs.field(default=(), repr=False)


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
    sweeps: bool = False,
) -> Optimised:
    """Run passes in order, again and again until none changes the graph; keep the `sweeps` where asked to."""
    pipeline = default_pipeline() if passes is None else tuple(passes)
    rows: list[Row] = []
    declined: tuple[Declined, ...] = ()
    kept: list[Sweep] = []
    unchanged = 0  # passes in a row that found nothing; when that is all of them, they would again
    with paused(len(graph)):
        for one in pipeline * rounds:
            if unchanged == len(pipeline):
                break
            if sweeps:
                done, steps = _swept(one, graph, numerics)
                kept.extend(numbered(steps, len(rows)))
            else:
                done = _applied(one, graph, numerics)
            rows.extend([attrs.evolve(row, step=len(rows) + i + 1) for i, row in enumerate(done.rows)])
            declined = done.declined or declined
            unchanged = unchanged + 1 if done.graph is graph else 0
            graph = done.graph
    return Optimised(graph, tuple(rows), declined, tuple(kept))


def _applied(one: Pass, graph: Graph, numerics: Numerics) -> Rewritten:
    """What a pass returns; raises CompileError for a user's pass that fails, or returns something else."""
    try:
        done = one.apply(graph, numerics)
    except SymgraphError as error:
        error.details = (*error.details, f"in the pass {one.name!r}")
        raise
    except Exception as error:
        raise CompileError(f"the pass {one.name!r} raised {said(error)}", details=raised_at(error)) from error
    if not isinstance(done, Rewritten):
        raise CompileError(
            f"the pass {one.name!r} returned {shown(done)}",
            hint="Return Rewritten(graph), with rows for the ledger.",
        )
    return done


def _swept(one: Pass, graph: Graph, numerics: Numerics) -> tuple[Rewritten, Sequence[Sweep]]:
    """What a pass returns, with its sweeps: all that it does is one step where they do not add up to that."""
    with recorded() as sweeps:
        done = _applied(one, graph, numerics)
    if done.graph is graph and not done.rows:
        return done, ()
    joints = [graph, *[end for sweep in sweeps for end in (sweep.given, sweep.made)], done.graph]
    connected = all(made is given for made, given in zip(joints[::2], joints[1::2], strict=True))
    if connected and tuple([row for sweep in sweeps for row in sweep.rows]) == done.rows:
        return done, sweeps
    return done, (Sweep(one.name, graph, done.graph, done.rows),)


def numbered(sweeps: Iterable[Sweep], done: int) -> Iterator[Sweep]:
    """The sweeps with their rows' steps counted on from the `done` rows before them."""
    for sweep in sweeps:
        rows = tuple([attrs.evolve(row, step=done + i + 1) for i, row in enumerate(sweep.rows)])
        done += len(rows)
        yield attrs.evolve(sweep, rows=rows)
