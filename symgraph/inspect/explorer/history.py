"""The ledger as the explorer's page reads it: each rewrite between two graphs, with the totals before and after.

history : Tables -> Trace -> Rewrite*

Each rewrite has the change in cost that the ledger tells. When a sweep is done its nodes are numbered anew: what became
equal to another node is one with it, and what nothing needs is dropped. No rewrite alone did that, so where it changes
the totals it is a step of its own, and the totals after a sweep are those of its graph.
"""

from collections import Counter
from collections.abc import Sequence

import attrs

from symgraph.compile import Cost
from symgraph.inspect.explain import signed
from symgraph.inspect.explorer.collected import Json, Tables
from symgraph.inspect.trace import Sweep, Trace
from symgraph.ir import Graph
from symgraph.origin import Source
from symgraph.rewrite import Row

WHOLE = "the whole pass"
REST = "merge equal, drop unneeded"


@attrs.frozen
class History:
    """The rewrites, in order, and how many of them show no graphs of their own."""

    rewrites: list[Json]
    hidden: int


def history(tables: Tables, way: Trace, budget: int, otherwise: Graph) -> History:
    """Every rewrite of a trace. The graphs of its sweeps are kept in order as long as they have at most `budget` nodes
    in all; the rewrites after that are shown on `otherwise`, without ids.
    """
    counts = Counter[str]()
    rewrites: list[Json] = []
    hidden, left, step = 0, budget, 0
    for sweep in way.sweeps:
        counts[sweep.pass_name] += 1
        title = f"after {sweep.pass_name} (sweep {counts[sweep.pass_name]})"
        new = 0 if tables.known(sweep.made) is not None else len(sweep.made)
        left -= new
        shown = left >= 0
        if shown:
            ends = (tables.graph(sweep.given, "given"), tables.graph(sweep.made, title))
        else:
            left = -1  # from here on all are left out: the slider has no holes
            ends = (tables.graph(otherwise, "optimised"),) * 2
        made = _rows(tables, sweep, step, shown, ends)
        hidden += 0 if shown else len(made)
        step += len(sweep.rows)
        rewrites.extend(made)
    return History(rewrites, hidden)


def _rows(tables: Tables, sweep: Sweep, done: int, shown: bool, ends: tuple[int, int]) -> list[Json]:
    """The rewrites of a sweep, after `done` steps."""
    before, end = tables.cost(sweep.given), tables.cost(sweep.made)
    if not sweep.rows:  # a pass that says nothing of what it did
        return [_rewrite(done, sweep.pass_name, WHOLE, "", (), (), [], ends, (before, end))]
    rows: list[Json] = []
    for i, row in enumerate(sweep.rows):
        flops, traffic = tables.change(row)
        after = Cost(before.flops + flops, before.bytes + traffic)
        ids = (row.before, row.after) if shown else ((), ())
        places = tables.places(_sources(sweep, i, row))
        costs = (before, after)
        rows.append(_rewrite(row.step, row.pass_name, row.rule, row.numerics, *ids, places, ends, costs))
        before = after
    if before != end:
        rows.append(_rewrite(row.step, row.pass_name, REST, "exact", (), (), [], ends, (before, end)))
    return rows


def _rewrite(
    step: int,
    pass_: str,
    rule: str,
    numerics: str,
    before: Sequence[int],
    after: Sequence[int],
    sources: Sequence[tuple[int, int]],
    ends: tuple[int, int],
    totals: tuple[Cost, Cost],
) -> Json:
    old, new = totals
    return {
        "step": step,
        "pass": pass_,
        "rule": rule,
        "numerics": numerics,
        "before": list(before),
        "after": list(after),
        "given": ends[0],
        "made": ends[1],
        "sources": [list(place) for place in sources],
        "flops": signed(new.flops - old.flops),
        "bytes": signed(new.bytes - old.bytes),
        "flopsBefore": str(old.flops),
        "flopsAfter": str(new.flops),
        "bytesBefore": str(old.bytes),
        "bytesAfter": str(new.bytes),
    }


def _sources(sweep: Sweep, i: int, row: Row) -> tuple[Source, ...]:
    if sweep.hits:
        return sweep.hits[i].replacement.origin.sources
    return tuple([source for k in row.after for source in sweep.made.nodes[k].origin.sources])
