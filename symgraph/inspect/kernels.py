"""Kernels: what fusion put together, why, and why not more.

unfused  : Executable -> Graph                                  the graph whose ids fusion speaks of
members  : Executable -> {kernel: nodes of the unfused graph}
edges    : Executable -> (producer, consumer, reason)*          all edges between two kernels
why      : Executable -> kernel -> text
why_not  : Executable -> node -> node -> text

A kernel is a node of the graph that runs, `Executable.graph`, that computes something: a fused region, or one op.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from symgraph.compile import Executable, lowering
from symgraph.errors import GraphError
from symgraph.inspect.explorer import fusions
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
    graph = unfused(executable)
    kernels = fusions.members(graph, executable.graph, executable.ledger)
    kernel_of = {i: kernel for kernel, ids in kernels.items() for i in ids}
    reasons = _reasons(executable)
    return tuple(
        (i, node.id, reasons.get((i, node.id), _nothing_fused(executable)))
        for node in graph.nodes
        for i in dict.fromkeys(node.inputs)
        if i in kernel_of and node.id in kernel_of and kernel_of[i] != kernel_of[node.id]
    )


def _reasons(executable: Executable) -> Mapping[tuple[int, int], str]:
    return {(one.producer, one.consumer): one.reason for one in executable.declined}


def _nothing_fused(executable: Executable) -> str:
    return f"nothing is fused for {executable.backend}"


# Why.


def why(executable: Executable, kernel: int) -> str:
    """Why a kernel is as it is: which nodes share it, in which part, by which rule, and what that saves.

    `kernel` is the id of a node of `executable.graph`. Of a kernel of one node it says why each neighbour has another;
    of an input, that nothing computes it. Raises GraphError for what is no id of a node.

    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n",))
    >>> print(why(compile(define(y=x * (x + x)), backend="numpy"), 1))
    %1 is one kernel of 2 nodes, numbered as before fusion:
      %1 add %x %x        row   <...
      %2 mul %x %1        row   <...
    row: row i of its result needs row i of its operands alone, so one loop over the rows computes all of them
    exact: the same bits as one after the other (step 1 of the ledger)
    it saves 16*n bytes of reading and writing: %1 never leaves the kernel
    """
    _require(executable, "why")
    nodes = executable.graph.nodes
    if isinstance(kernel, bool) or not isinstance(kernel, int) or not 0 <= kernel < len(nodes):
        raise GraphError(
            f"why takes the id of a node of the graph that runs, and {shown(kernel)} is none",
            hint=f"It has %0 to %{len(nodes) - 1}: print(executable.graph) shows them.",
        )
    node = nodes[kernel]
    if isinstance(node.op, Project):
        of = node.inputs[0]
        return f"%{kernel} is result {node.op.index} of the kernel %{of}\n{why(executable, of)}"
    if not node.inputs:
        return f"%{kernel} {_leaf(node.op)}: no kernel computes it"
    row = next((r for r in _fusions(executable.ledger) if r.after == (kernel,)), None)
    return _why_alone(executable, node) if row is None else _why_shared(executable, node, row)


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


def _why_shared(executable: Executable, node: Node, row: Row) -> str:
    head = f"%{node.id} is one kernel of {len(row.before)} nodes"
    try:
        graph = unfused(executable)
    except GraphError:  # passes of its own: what the ledger has
        names = ", ".join(operation.op.name for operation in row.removed)
        return "\n".join([f"{head}: {names}", *_ending(executable, node, row)])
    texts = node_texts(graph)
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
            _saved(graph, row),
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


def _saved(graph: Graph, row: Row) -> str:
    """What is not read and written: the values that stay inside, and operands that several nodes share."""
    inside, alive = set(row.before), set(graph.roots)
    kept = [i for i in row.before if i not in alive and inside.issuperset(graph.consumers[i])]
    saves = f"it saves {-row.bytes} bytes of reading and writing"
    if not kept:
        return f"{saves}: what several of its nodes read is read once"
    never = "never leaves the kernel" if len(kept) == 1 else "never leave the kernel"
    return f"{saves}: {_first([f'%{i}' for i in kept], 8)} {never}"


def _why_alone(executable: Executable, node: Node) -> str:
    head = f"%{node.id} {node.op.name} is a kernel of its own{_at(node)}"
    try:
        graph = unfused(executable)
    except GraphError:
        return f"{head}: the graph was compiled with passes of its own"
    found = fusions.members(graph, executable.graph, executable.ledger)
    (own,) = found[node.id]
    kernel_of = {i: kernel for kernel, ids in found.items() for i in ids}
    if not _fuses(executable):
        return f"{head}: {_nothing_fused(executable)}"
    tell = _named(graph)
    reasons = _reasons(executable)
    lines = [
        f"  {tell(i)} into it, %{own} before fusion: {reasons.get((i, own), '')}"
        for i in dict.fromkeys(graph.nodes[own].inputs)
        if i in kernel_of
    ]
    lines += [
        f"  it, %{own} before fusion, into {tell(j)}: {reasons.get((own, j), '')}"
        for j in dict.fromkeys(graph.consumers[own])
        if j in kernel_of
    ]
    if not lines:
        return f"{head}: it reads inputs alone, and no other kernel takes its result"
    return "\n".join([f"{head}; no neighbour could join it:", *lines])


def _fuses(executable: Executable) -> bool:
    return any(one.name in _FUSION for one in lowering(executable.backend)[1].passes)


# Why not.


def why_not(executable: Executable, a: int, b: int) -> str:
    """Why the nodes `a` and `b` do not run as one kernel, or that they do.

    `a` and `b` are node ids, in either order, of the graph that the fusion pass was given, which `unfused`
    shows; the column `before` of its rows in `explain` has the same. Of two that are no neighbours it says where the
    way from one to the other is cut. Raises GraphError where an id is no whole number from 0, or of no node.

    >>> from symgraph import ops
    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x, w = placeholder("x", ("n", 3)), placeholder("w", (3, 3))
    >>> executable = compile(define(y=ops.exp(x) @ w), backend="numpy")
    >>> print(why_not(executable, 1, 3))
    %1 exp and %3 matmul were not fused: matmul reads each operand many times
    """
    _require(executable, "why_not")
    for node in (a, b):
        if isinstance(node, bool) or not isinstance(node, int) or node < 0:
            raise GraphError(
                f"why_not takes two node ids, and {shown(node)} is none", hint="Write why_not(e, 3, 5)."
            )
    try:
        graph = unfused(executable)
    except GraphError:
        graph = None
    if graph is not None and max(a, b) >= len(graph):
        raise GraphError(
            f"there is no node %{max(a, b)} in the graph before fusion, which has {len(graph)}",
            hint="print(symgraph.unfused(executable)) shows them.",
        )
    tell = _named(graph)
    pair = f"{tell(a)} and {tell(b)}"
    if a == b:
        return f"{tell(a)} is one node"
    for row in _fusions(executable.ledger):
        if a in row.before and b in row.before:
            return f"{pair} were fused: both are in {row.rule} (step {row.step})"
    for declined in executable.declined:
        if {declined.producer, declined.consumer} == {a, b}:
            return f"{pair} were not fused: {declined.reason}"
    if not _fusions(executable.ledger) and not executable.declined:
        return f"{pair} were not fused: {_nothing_fused(executable)}"
    if graph is None:
        return f"{pair} were not fused: neither takes the other's result, or one of them is an input"
    return f"{pair} were not fused: {_apart(executable, graph, min(a, b), max(a, b))}"


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
