"""The ledger as the explorer's page reads it: each rewrite between two graphs, with the totals before and after.

history : Tables -> Trace -> Rewrite*
"""

from collections import Counter
from collections.abc import Sequence

import attrs

from symgraph.compile import Cost
from symgraph.inspect.collected import Json, Tables
from symgraph.inspect.explain import signed
from symgraph.inspect.trace import Sweep, Trace
from symgraph.ir import Graph
from symgraph.origin import Source
from symgraph.rewrite import Row


@attrs.frozen
class History:
    """The rewrites, in order; how many of them show no graphs of their own; and whether some totals have a rest that
    no rewrite alone made: of nodes that became equal to others, or that nothing needs any more.
    """

    rewrites: list[Json]
    hidden: int
    rest: bool


def history(tables: Tables, way: Trace, budget: int, otherwise: Graph) -> History:
    """Every rewrite of a trace. The graphs of its sweeps are kept in order as long as they have at most `budget` nodes
    in all; the rewrites after that are shown on `otherwise`, without ids.
    """
    counts = Counter[str]()
    rewrites: list[Json] = []
    hidden, left, rest, step = 0, budget, False, 0
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
            hidden += max(1, len(sweep.rows))
        made, more = _rows(tables, sweep, step, shown, ends)
        step += len(sweep.rows)
        rest = rest or more
        rewrites.extend(made)
    return History(rewrites, hidden, rest)


def _rows(
    tables: Tables, sweep: Sweep, done: int, shown: bool, ends: tuple[int, int]
) -> tuple[list[Json], bool]:
    """The rewrites of a sweep, and whether its last one has a rest: its totals after are those of the graph."""
    before, end = tables.cost(sweep.given), tables.cost(sweep.made)
    if not sweep.rows:  # a pass that says nothing of what it did
        made = _rewrite(done, sweep.pass_name, "the whole pass", "", (), (), [], ends, (before, end))
        return [made], False
    rows: list[Json] = []
    for i, row in enumerate(sweep.rows):
        flops, traffic = tables.change(row)
        summed = Cost(before.flops + flops, before.bytes + traffic)
        after = end if i + 1 == len(sweep.rows) else summed
        ids = (row.before, row.after) if shown else ((), ())
        places = tables.places(_sources(sweep, i, row))
        rows.append(
            _rewrite(row.step, row.pass_name, row.rule, row.numerics, *ids, places, ends, (before, after))
        )
        before = after
    return rows, summed != end


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
