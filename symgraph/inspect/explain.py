"""What the compiler did, as text: the ledger with its totals, and the fusions that it did not make.

explain : Executable -> text
"""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from symgraph.compile import Executable, lowering
from symgraph.errors import GraphError
from symgraph.inspect.kernels import teller
from symgraph.inspect.sizes import checked, put_in
from symgraph.rewrite import Row, sum_dimensions
from symgraph.transforms.pipeline import default_pipeline
from symgraph.types import Dimension
from symgraph.values import shown

_HEAD = ("step", "pass", "rule", "numerics", "before", "after", "flops", "bytes", "lines")
_TOTALS = ("", "rewrites", "flops", "bytes")
_FUSION = "fuse"
_IDS = 6  # node ids that a cell shows
_LINES = 3  # user lines that a cell shows
_PARTS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("pass", lambda row: row.pass_name),
    ("rule", lambda row: row.rule),
    ("numerics", lambda row: row.numerics),
)


def explain(
    executable: Executable,
    *,
    passes: Iterable[str] | str | None = None,
    rules: Iterable[str] | str | None = None,
    **sizes: int,
) -> str:
    """The ledger as a table: one row a rewrite, then totals by pass, rule and numerics class.

    A row names the nodes before (ids in the graph that the pass was given) and after (in the one it made),
    the change in flops and in bytes read and written, and the user's lines. Costs are polynomials of the
    named sizes, or numbers where `sizes` binds them. `passes` limits the table to the passes of those names, `rules` to
    the rules of those names, in which * stands for any characters. Raises GraphError for a size that the graph has not,
    and for a pass or a rule that made no rewrite of it and is not known.

    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> executable = compile(define(y=-(x * 2.0)), backend="interpreter", passes=())
    >>> print(explain(executable))
    4 nodes declared, 4 compiled for interpreter with numerics safe
    no rewrites were made
    """
    if not isinstance(executable, Executable):
        raise GraphError(
            f"explain takes an executable, and this is {shown(executable)}",
            hint="Compile the graph: explain(symgraph.compile(graph)).",
        )
    sizes = checked(executable.declared, sizes)
    ledger = _limited(executable, _names(passes, "passes"), _names(rules, "rules"))
    limits = passes is not None or rules is not None
    summary = (
        f"{len(executable.declared)} nodes declared, {len(executable.graph)} compiled for "
        f"{executable.backend} with numerics {executable.numerics}"
    )
    if limits and executable.ledger:
        summary += f"; {len(ledger)} of {len(executable.ledger)} rewrites"
    declined = [_declined(executable)] if passes is None or _FUSION in _names(passes, "passes") else []
    if not ledger:
        return "\n".join(
            [summary, "no rewrites were made", *(declined if limits and executable.ledger else [])]
        )
    costs = [(put_in(row.flops, sizes), put_in(row.bytes, sizes)) for row in ledger]
    rows = [_cells(row, *cost) for row, cost in zip(ledger, costs, strict=True)]
    totals = _table(_TOTALS, _totals(ledger, costs))
    return "\n".join([summary, "", *_table(_HEAD, rows), "", *totals, *(["", *declined] if declined else [])])


def _names(given: Iterable[str] | str | None, what: str) -> tuple[str, ...]:
    several = () if given is None else given if isinstance(given, Iterable) else (given,)
    names = (given,) if isinstance(given, str) else tuple(several)
    for name in names:
        if not isinstance(name, str):
            raise GraphError(
                f"{what} are names, and {shown(name)} is none", hint=f'Write {what}=("stabilise",).'
            )
    return names


def _limited(executable: Executable, passes: Sequence[str], rules: Sequence[str]) -> Sequence[Row]:
    """The rows of these passes and of rules that match one of these names; all where there are none."""
    ledger = executable.ledger
    known = dict.fromkeys(
        [one.name for one in (*default_pipeline(), *lowering(executable.backend)[1].passes)]
        + [row.pass_name for row in ledger]
    )
    for name in passes:
        if name not in known:
            raise GraphError(f"{name!r} is no pass of this executable", hint=f"It has {', '.join(known)}.")
    made = dict.fromkeys(row.rule for row in ledger)
    for name in rules:
        if not any(fnmatchcase(rule, name) for rule in made):
            raise GraphError(
                f"no rewrite was made by a rule {name!r}",
                hint=f"Those that made some: {', '.join(made) or 'none'}.",
            )
    return [
        row
        for row in ledger
        if (not passes or row.pass_name in passes)
        and (not rules or any(fnmatchcase(row.rule, name) for name in rules))
    ]


def _declined(executable: Executable) -> str:
    if not executable.declined:
        return "no fusion was declined"
    tell = teller(executable)
    listed = [
        f"  {tell(one.producer)} into {tell(one.consumer)}: {one.reason}" for one in executable.declined
    ]
    count = "1 fusion was" if len(listed) == 1 else f"{len(listed)} fusions were"
    return "\n".join([f"{count} not made", *listed])


def _cells(row: Row, flops: Dimension, traffic: Dimension) -> tuple[str, ...]:
    return (
        str(row.step),
        row.pass_name,
        row.rule,
        row.numerics,
        _ids(row.before),
        _ids(row.after),
        signed(flops),
        signed(traffic),
        _first(row.lines, _LINES, ", "),
    )


def _ids(ids: Sequence[int]) -> str:
    return _first([f"%{i}" for i in ids], _IDS, " ") or "-"


def _first(items: Sequence[str], count: int, separator: str) -> str:
    shown = separator.join(items[:count])
    return shown if len(items) <= count else f"{shown}{separator}and {len(items) - count} more"


def signed(dimension: Dimension) -> str:
    """A change in cost with its sign.

    >>> from symgraph.types import dim
    >>> signed(3), signed(-dim("n")), signed(0)
    ('+3', '-n', '0')
    """
    text = str(dimension)
    return text if text.startswith("-") or text == "0" else f"+{text}"


def _totals(ledger: Sequence[Row], costs: Sequence[tuple[Dimension, Dimension]]) -> list[tuple[str, ...]]:
    """A line for each pass, each rule and each numerics class, in the order they first occur, and the sum."""
    lines: list[tuple[str, ...]] = []
    for title, part in _PARTS:
        groups: dict[str, list[tuple[Dimension, Dimension]]] = {}
        for row, cost in zip(ledger, costs, strict=True):
            groups.setdefault(part(row), []).append(cost)
        lines.extend(_total(f"{title} {name}", members) for name, members in groups.items())
    return [*lines, _total("all", costs)]


def _total(name: str, costs: Sequence[tuple[Dimension, Dimension]]) -> tuple[str, ...]:
    flops, traffic = (sum_dimensions(cost[k] for cost in costs) for k in (0, 1))
    return name, str(len(costs)), signed(flops), signed(traffic)


_RIGHT = frozenset({"step", "flops", "bytes", "rewrites"})


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns: numbers to the right, the rest to the left."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    sides: list[Literal["<", ">"]] = [">" if name in _RIGHT else "<" for name in head]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
