"""What the compiler did, as text: the ledger with its totals, and the fusions that it did not make.

explain : Executable -> text
why_not : Executable -> producer -> consumer -> text
unfused : Executable -> Graph                          the graph whose ids fusion speaks of
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from symgraph.compile import Executable, lowering
from symgraph.errors import GraphError
from symgraph.ir import Graph
from symgraph.rewrite import Row, sum_dimensions
from symgraph.transforms.pipeline import optimise
from symgraph.types import Dimension, dimension_names, evaluate_dimension
from symgraph.values import shown

_HEAD = ("step", "pass", "rule", "numerics", "before", "after", "flops", "bytes", "lines")
_TOTALS = ("", "rewrites", "flops", "bytes")
_FUSION = ("fuse",)
_IDS = 6  # node ids that a cell shows
_LINES = 3  # user lines that a cell shows
_PARTS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("pass", lambda row: row.pass_name),
    ("rule", lambda row: row.rule),
    ("numerics", lambda row: row.numerics),
)


def explain(executable: Executable, **sizes: int) -> str:
    """The ledger as a table: one row a rewrite, then totals by pass, rule and numerics class.

    A row names the nodes before (ids in the graph that the pass was given) and after (in the one it made),
    the change in flops and in bytes read and written, and the user's lines. Costs are polynomials of the
    named sizes, or numbers where `sizes` binds them. Raises GraphError for a size that the graph has not.

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
    unknown = sorted(sizes.keys() - executable.declared.names)
    if unknown:
        known = ", ".join(sorted(executable.declared.names)) or "no named size"
        raise GraphError(f"{unknown[0]!r} is no named size of this graph", hint=f"It has {known}.")
    summary = (
        f"{len(executable.declared)} nodes declared, {len(executable.graph)} compiled for "
        f"{executable.backend} with numerics {executable.numerics}"
    )
    if not executable.ledger:
        return f"{summary}\nno rewrites were made"
    costs = [(_bound(row.flops, sizes), _bound(row.bytes, sizes)) for row in executable.ledger]
    rows = [_cells(row, *cost) for row, cost in zip(executable.ledger, costs, strict=True)]
    return "\n".join(
        [
            summary,
            "",
            *_table(_HEAD, rows),
            "",
            *_table(_TOTALS, _totals(executable.ledger, costs)),
            "",
            _declined(executable),
        ]
    )


def why_not(executable: Executable, a: int, b: int) -> str:
    """Why the nodes `a` and `b` do not run as one kernel, or that they do.

    `a` and `b` are node ids, in either order, of the graph that the fusion pass was given, which `unfused`
    shows; the column `before` of its rows in `explain` has the same. Raises GraphError where an id is no
    whole number from 0.

    >>> from symgraph import ops
    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x, w = placeholder("x", ("n", 3)), placeholder("w", (3, 3))
    >>> executable = compile(define(y=ops.exp(x) @ w), backend="numpy")
    >>> print(why_not(executable, 1, 3))
    %1 exp and %3 matmul were not fused: matmul reads each operand many times
    """
    for node in (a, b):
        if isinstance(node, bool) or not isinstance(node, int) or node < 0:
            raise GraphError(
                f"why_not takes two node ids, and {node!r} is none", hint="Write why_not(e, 3, 5)."
            )
    tell = _teller(executable)
    pair = f"{tell(a)} and {tell(b)}"
    for row in _fusions(executable.ledger):
        if a in row.before and b in row.before:
            return f"{pair} were fused: both are in {row.rule} (step {row.step})"
    for declined in executable.declined:
        if {declined.producer, declined.consumer} == {a, b}:
            return f"{pair} were not fused: {declined.reason}"
    if not _fusions(executable.ledger) and not executable.declined:
        return f"{pair} were not fused: nothing was fused for {executable.backend}"
    return f"{pair} were not fused: neither takes the other's result, or one of them is an input"


def _fusions(ledger: Iterable[Row]) -> list[Row]:
    return [row for row in ledger if row.pass_name in _FUSION]


def unfused(executable: Executable) -> Graph:
    """The graph that the fusion pass was given; raises GraphError where other passes were asked for.

    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> executable = compile(define(y=x * (x + x)), backend="numpy")
    >>> [node.op.name for node in executable.graph.nodes], [node.op.name for node in unfused(executable).nodes]
    (['placeholder', 'fused'], ['placeholder', 'add', 'mul'])
    """
    graph = optimise(executable.declared, executable.numerics).graph
    given = graph
    for one in lowering(executable.backend)[1].passes:
        given = graph if one.name in _FUSION else given
        graph = one.apply(graph, executable.numerics).graph
    if graph != executable.graph:
        raise GraphError(
            "the graph before fusion is not known: it was compiled with passes of its own",
            hint="Apply those passes up to fusion yourself.",
        )
    return given


def _teller(executable: Executable) -> Callable[[int], str]:
    """How a node is named: by its id and op, and by the id alone where the graph is not known."""
    try:
        nodes = unfused(executable).nodes
    except GraphError:
        nodes = ()
    return lambda i: f"%{i} {nodes[i].op.name}" if i < len(nodes) else f"%{i}"


def _declined(executable: Executable) -> str:
    if not executable.declined:
        return "no fusion was declined"
    tell = _teller(executable)
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


def _bound(dimension: Dimension, sizes: Mapping[str, int]) -> Dimension:
    """The dimension as a number, where all its names are bound."""
    return evaluate_dimension(dimension, sizes) if dimension_names(dimension) <= sizes.keys() else dimension


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
