"""Kernels: what fusion put together, why, and why not more.

unfused  : Executable -> Graph                                  the graph whose ids fusion speaks of
members  : Executable -> {kernel: nodes of the unfused graph}
edges    : Executable -> (producer, consumer, reason)*          all edges between two kernels
why      : Executable -> kernel -> text
why_not  : Executable -> node -> node -> text
listing  : Executable -> sizes -> text                          `why` of every kernel

A kernel is a node of the graph that runs, `Executable.graph`, that computes something: a fused region, or one op.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import attrs

from symgraph.compile import Executable, lowering
from symgraph.errors import GraphError
from symgraph.inspect.explorer import fusions
from symgraph.inspect.sizes import checked, put_in
from symgraph.ir import Constant, Graph, Node, Op, Placeholder, Variable
from symgraph.ops.region import Project
from symgraph.origin import relative, visible
from symgraph.rewrite import Row
from symgraph.text.printer import node_texts
from symgraph.transforms.fusion import role
from symgraph.transforms.pipeline import optimise
from symgraph.values import shown

_FUSION, _NATIVE = ("fuse",), ("native",)
_WIDEST = 60  # characters of a node


@attrs.frozen(eq=False)
class _Known:
    """What is told of: an executable, the graph that its fusion was given (None where it is not known), and sizes."""

    executable: Executable
    before: Graph | None
    sizes: Mapping[str, int]

    @cached_property
    def members(self) -> Mapping[int, Sequence[int]]:
        assert self.before is not None
        return fusions.members(self.before, self.executable.graph, self.executable.ledger)

    @cached_property
    def kernel_of(self) -> Mapping[int, int]:
        return {i: kernel for kernel, ids in self.members.items() for i in ids}

    @cached_property
    def reasons(self) -> Mapping[tuple[int, int], str]:
        return _reasons(self.executable)

    @cached_property
    def texts(self) -> Sequence[str]:
        assert self.before is not None
        return node_texts(self.before)


def _known(executable: Executable, sizes: Mapping[str, int]) -> _Known:
    try:
        return _Known(executable, unfused(executable), sizes)
    except GraphError:
        return _Known(executable, None, sizes)


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
    _require(executable, "unfused")
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
    return given if any(one.name in _FUSION for one in lowering(executable.backend)[1].passes) else graph


def members(executable: Executable) -> dict[int, tuple[int, ...]]:
    """For each kernel, a node of `executable.graph`, the nodes of `unfused(executable)` that it computes.

    Raises GraphError where `unfused` does.

    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> members(compile(define(y=x * (x + x)), backend="numpy"))
    {1: (1, 2)}
    """
    return dict(fusions.members(unfused(executable), executable.graph, executable.ledger))


def edges(executable: Executable) -> tuple[tuple[int, int, str], ...]:
    """Every edge of `unfused(executable)` between two kernels: producer, consumer, and why they do not share one.

    Raises GraphError where `unfused` does.

    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> from symgraph.ops import exp
    >>> x, w = placeholder("x", ("n", 3)), placeholder("w", (3, 3))
    >>> edges(compile(define(y=exp(x) @ w), backend="numpy"))
    ((1, 3, 'matmul reads each operand many times'),)
    """
    return tuple(_edges(_Known(executable, unfused(executable), {})))


def _edges(known: _Known) -> list[tuple[int, int, str]]:
    """All edges between two kernels; the graph before fusion is known."""
    assert known.before is not None
    of, reasons, otherwise = known.kernel_of, known.reasons, _nothing_fused(known.executable)
    return [
        (i, node.id, reasons.get((i, node.id), otherwise))
        for node in known.before.nodes
        for i in dict.fromkeys(node.inputs)
        if i in of and node.id in of and of[i] != of[node.id]
    ]


def _reasons(executable: Executable) -> Mapping[tuple[int, int], str]:
    return {(one.producer, one.consumer): one.reason for one in executable.declined}


def _nothing_fused(executable: Executable) -> str:
    return f"nothing is fused for {executable.backend}"


# Why.


def listing(executable: Executable, sizes: Mapping[str, int]) -> str:
    """`why` of every kernel, in the order they run, then the edges between two of them with their reasons.

    Savings are numbers where `sizes` bind their names.

    Raises GraphError for a size that the graph has not.
    """
    _require(executable, "listing")
    known = _known(executable, checked(executable.declared, sizes))
    nodes = [n for n in executable.graph.nodes if n.inputs and not isinstance(n.op, Project)]
    count = "1 kernel" if len(nodes) == 1 else f"{len(nodes)} kernels"
    shared = {row.after[0] for row in _fusions(executable.ledger) if len(row.after) == 1}
    held = sum(node.id in shared for node in nodes)
    head = f"{count} for {executable.backend} with numerics {executable.numerics}, {held} of several nodes"
    return "\n\n".join([head, *(_why(known, node) for node in nodes), *_between(known)])


def _between(known: _Known) -> list[str]:
    """The edges between two kernels, in one text; none where they are not known, or where there are none."""
    found = [] if known.before is None else _edges(known)
    tell = _named(known.before)
    lines = [f"  {tell(i)} into {tell(j)}: {reason}" for i, j, reason in found]
    count = "1 edge is" if len(lines) == 1 else f"{len(lines)} edges are"
    return ["\n".join([f"{count} between two kernels, numbered as before fusion:", *lines])] if lines else []


def why(executable: Executable, kernel: int | str) -> str:
    """Why a kernel is as it is: which nodes share it, in which part, by which rule, and what that saves.

    `kernel` is a node of `executable.graph`: its id, such as 3 or "%3", or the name of an output. Of a kernel of one
    node it says why each neighbour has another; of an input, that nothing computes it. Raises GraphError for what is no
    such node.

    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> print(why(compile(define(y=x * (x + x)), backend="numpy"), 1))
    %1 of executable.graph is one kernel of 2 nodes, numbered as before fusion:
      %1 add %x %x        row   <...
      %2 mul %x %1        row   <...
    row: row i of its result needs row i of its operands alone, so one loop over the rows computes all of them
    exact: the same bits as one after the other (step 1 of the ledger)
    it saves 16*n bytes of reading and writing: %1 never leaves the kernel
    """
    _require(executable, "why")
    graph = executable.graph
    id_ = _id(graph, kernel)
    if id_ is None or not 0 <= id_ < len(graph):
        raise GraphError(
            f"why takes the id of a node of the graph that runs, or the name of an output, and {shown(kernel)} is none",
            hint=f"It has %0 to %{len(graph) - 1}: print(executable.graph) shows them.",
        )
    node = graph.nodes[id_]
    known = _known(executable, {})
    if isinstance(node.op, Project):
        of = node.inputs[0]
        head = f"%{id_} of executable.graph is result {node.op.index} of the kernel %{of}"
        return f"{head}\n{_why(known, graph.nodes[of])}"
    return _why(known, node)


def _id(graph: Graph | None, node: object) -> int | None:
    """The id that is meant: by a number, by "%3", or by a name of a graph that is known; None for anything else."""
    if isinstance(node, str):
        digits = node.removeprefix("%")
        if digits != node and digits.isascii() and digits.isdigit() and len(digits) < 19:
            return int(digits)
        names = (
            {}
            if graph is None
            else {n: leaf.id for n, leaf in {**graph.variables, **graph.placeholders}.items()}
        )
        return (names if graph is None else names | dict(graph.outputs)).get(node)
    return node if isinstance(node, int) and not isinstance(node, bool) else None


def _why(known: _Known, node: Node) -> str:
    if not node.inputs:
        return f"%{node.id} of executable.graph {_leaf(node.op)}: no kernel computes it"
    row = next((r for r in _fusions(known.executable.ledger) if r.after == (node.id,)), None)
    return _why_alone(known, node) if row is None else _why_shared(known, node, row)


def _leaf(op: Op) -> str:
    if isinstance(op, Placeholder):
        return f"is the placeholder {visible(op.label)}, which is fed"
    if isinstance(op, Variable):
        return f"is the variable {visible(op.label)}, which a session holds"
    return "is a constant" if isinstance(op, Constant) else f"is {op.name}, made once of the sizes alone"


_PARTS = {
    "head": "head: it reads each operand many times, and the others take its rows as it makes them",
    "row": "row: row i of its result needs row i of its operands alone, so one loop over the rows computes all of them",
    "tail": "tail: it reduces over the rows, block by block, and is known after the last",
}


def _why_shared(known: _Known, node: Node, row: Row) -> str:
    head = f"%{node.id} of executable.graph is one kernel of {len(row.before)} nodes"
    graph, executable = known.before, known.executable
    if graph is None:  # passes of its own: what the ledger has
        names = ", ".join(operation.op.name for operation in row.removed)
        return "\n".join([f"{head}: {names}", *_ending(executable, node, row)])
    texts = known.texts
    parts = {
        i: role(graph.nodes[i], [graph.nodes[j].type for j in graph.nodes[i].inputs]) for i in row.before
    }
    wide = max(len(_cut(f"%{i} {texts[i]}")) for i in row.before)
    lines = [
        f"  {_cut(f'%{i} {texts[i]}'):<{max(wide, 18)}}  {parts[i]:<4}  {_where(graph.nodes[i])}".rstrip()
        for i in row.before
    ]
    return "\n".join(
        [
            f"{head}, numbered as before fusion:",
            *lines,
            *(_PARTS[part] for part in ("head", "row", "tail") if part in parts.values()),
            *_ending(executable, node, row),
            _saved(graph, row, known.sizes),
        ]
    )


def _ending(executable: Executable, node: Node, row: Row) -> list[str]:
    """The numerics class, of the fusion and of the kernel on the backend, with the steps of the ledger."""
    told = (
        "reassociates: the sums over rows are made of sums over blocks of rows"
        if row.numerics == "reassociates"
        else "exact: the same bits as one after the other"
    )
    native = [r for r in executable.ledger if r.pass_name in _NATIVE and r.after == (node.id,)]
    return [
        f"{told} (step {row.step} of the ledger)",
        *(f"{r.numerics}: {r.rule} (step {r.step} of the ledger)" for r in native),
    ]


def _saved(graph: Graph, row: Row, sizes: Mapping[str, int]) -> str:
    """What is not read and written: the values that stay inside, and operands that several nodes share."""
    inside, alive = set(row.before), set(graph.roots)
    kept = [i for i in row.before if i not in alive and inside.issuperset(graph.consumers[i])]
    saves = f"it saves {put_in(-row.bytes, sizes)} bytes of reading and writing"
    if not kept:
        return f"{saves}: what several of its nodes read is read once"
    never = "never leaves the kernel" if len(kept) == 1 else "never leave the kernel"
    return f"{saves}: {_first([f'%{i}' for i in kept], 8)} {never}"


def _why_alone(known: _Known, node: Node) -> str:
    head = f"%{node.id} {node.op.name} of executable.graph is a kernel of its own{_at(node)}"
    graph, executable = known.before, known.executable
    if graph is None:
        return f"{head}: the graph was compiled with passes of its own"
    (own,) = known.members[node.id]
    if not _fuses(executable):
        return f"{head}: {_nothing_fused(executable)}"
    tell, reasons, kernel_of = _named(graph), known.reasons, known.kernel_of
    lines = [
        f"  {tell(i)} into it, %{own}: {reasons.get((i, own), '')}"
        for i in dict.fromkeys(graph.nodes[own].inputs)
        if i in kernel_of
    ]
    lines += [
        f"  it, %{own}, into {tell(j)}: {reasons.get((own, j), '')}"
        for j in dict.fromkeys(graph.consumers[own])
        if j in kernel_of
    ]
    if not lines:
        return f"{head}: it reads inputs alone, and no other kernel takes its result"
    return "\n".join([f"{head}; no neighbour, numbered as before fusion, could join it:", *lines])


def _fuses(executable: Executable) -> bool:
    return any(one.name in _FUSION for one in lowering(executable.backend)[1].passes)


# Why not.


def why_not(executable: Executable, a: int | str, b: int | str) -> str:
    """Why the nodes `a` and `b` do not run as one kernel, or that they do.

    `a` and `b` are nodes, in either order, of the graph that the fusion pass was given, which `unfused` shows: ids,
    such as 3 or "%3", or names of outputs; the column `before` of its rows in `explain` has the same ids. Of two that
    are no neighbours it says where the way from one to the other is cut. Raises GraphError for what is no such node.

    >>> from symgraph import ops
    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x, w = placeholder("x", ("n", 3)), placeholder("w", (3, 3))
    >>> executable = compile(define(y=ops.exp(x) @ w), backend="numpy")
    >>> print(why_not(executable, 1, 3))
    numbered as before fusion, %1 exp and %3 matmul were not fused: matmul reads each operand many times
    """
    _require(executable, "why_not")
    graph = _known(executable, {}).before
    i, j = (_of_two(graph, node) for node in (a, b))
    tell = _named(graph)
    pair = f"numbered as before fusion, {tell(i)} and {tell(j)}"
    if i == j:
        return f"{tell(i)} is one node"
    for row in _fusions(executable.ledger):
        if i in row.before and j in row.before:
            return f"{pair} were fused: both are in {row.rule} (step {row.step})"
    for declined in executable.declined:
        if {declined.producer, declined.consumer} == {i, j}:
            return f"{pair} were not fused: {declined.reason}"
    if not _fusions(executable.ledger) and not executable.declined:
        return f"{pair} were not fused: {_nothing_fused(executable)}"
    if graph is None:
        return f"{pair} were not fused: neither takes the other's result, or one of them is an input"
    return f"{pair} were not fused: {_apart(executable, graph, min(i, j), max(i, j))}"


def _of_two(graph: Graph | None, node: object) -> int:
    """The id before fusion of a node that `why_not` was given; raises GraphError."""
    id_ = _id(graph, node)
    if id_ is None or id_ < 0:
        raise GraphError(
            f"why_not takes two node ids or names of outputs, and {shown(node)} is none",
            hint='Write why_not(e, 3, 5) or why_not(e, "%3", "loss").',
        )
    if graph is not None and id_ >= len(graph):
        raise GraphError(
            f"there is no node %{id_} in the graph before fusion, which has {len(graph)}",
            hint="print(symgraph.unfused(executable)) shows them.",
        )
    return id_


def _apart(executable: Executable, graph: Graph, first: int, last: int) -> str:
    """Why two nodes are apart that no row of fusion speaks of; operands come before what takes them."""
    for i in (first, last):
        if not graph.nodes[i].inputs:
            return f"%{i} {_leaf(graph.nodes[i].op)}, and no kernel computes it"
    way = _way(graph, first, last)
    if not way:
        return "neither is computed from the other, and nothing that joins both is in one kernel with them"
    reasons = _reasons(executable)
    tell = _named(graph)
    cuts = [(i, j, reasons[i, j]) for i, j in pairwise(way) if (i, j) in reasons]
    between = _first([f"%{i}" for i in way], 8, " -> ")
    if not cuts:
        return f"%{last} is computed from %{first} by {between}"
    i, j, reason = cuts[0]
    return f"on the way {between} {tell(i)} does not join {tell(j)}: {reason}"


def _way(graph: Graph, first: int, last: int) -> list[int]:
    """The shortest way from a node to one that is computed from it; none where it is not."""
    came: dict[int, int] = {first: first}
    queue = deque([first])
    while queue and last not in came:
        i = queue.popleft()
        for j in graph.consumers[i]:
            if j <= last and j not in came:
                came[j] = i
                queue.append(j)
    if last not in came:
        return []
    way = [last]
    while way[-1] != first:
        way.append(came[way[-1]])
    return way[::-1]


# Words.


def _require(executable: object, what: str) -> None:
    if not isinstance(executable, Executable):
        raise GraphError(
            f"{what} takes an executable, and this is {shown(executable)}",
            hint=f"Compile the graph: {what}(symgraph.compile(graph)).",
        )


def teller(executable: Executable) -> Callable[[int], str]:
    """How a node of the graph before fusion is named: by its id and op, by the id alone where it is not known."""
    try:
        return _named(unfused(executable))
    except GraphError:
        return _named(None)


def _named(graph: Graph | None) -> Callable[[int], str]:
    nodes: Sequence[Node] = () if graph is None else graph.nodes
    return lambda i: f"%{i} {nodes[i].op.name}" if i < len(nodes) else f"%{i}"


def _fusions(ledger: Iterable[Row]) -> list[Row]:
    return [row for row in ledger if row.pass_name in _FUSION]


def _first(items: Sequence[str], count: int, separator: str = ", ") -> str:
    text = separator.join(items[:count])
    return text if len(items) <= count else f"{text} and {len(items) - count} more"


def _where(node: Node) -> str:
    return ", ".join(f"{visible(relative(s.file))}:{s.line}" for s in node.origin.sources[:2])


def _at(node: Node) -> str:
    where = _where(node)
    return f" ({where})" if where else ""


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
