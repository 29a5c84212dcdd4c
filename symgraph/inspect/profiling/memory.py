"""Where a program's memory goes: the step at which most is needed, by what, and how that grows with the named sizes.

    peak : Executable -> sizes -> Peak

A memory plan is made of bytes. A buffer grows as the value grows that it holds: that of its node, or of a node within
its kernel; padded values and what kernels need for themselves as one named size does, or two. Each is checked against
the plans for other bindings of the sizes, where a node has the same buffers there. What fits none is a number.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement

import attrs

from symgraph.compile import Executable
from symgraph.errors import FeedError
from symgraph.ir import Constant, Graph, Node, Placeholder, Variable, node_bytes, specialise
from symgraph.lowering import numpy_source
from symgraph.lowering.program import Buffer, MemoryPlan
from symgraph.ops.region import Fused
from symgraph.origin import relative, visible
from symgraph.rewrite import sum_dimensions
from symgraph.types import Dimension, TupleType, dim, evaluate_dimension

_STEPWISE = (
    "; {} bytes that kernels need for themselves grow in steps, and are in the expression as they are here"
)
_FURTHER = (
    24,
    37,
    96,
)  # how much larger the sizes of the other bindings are: kernels round up by various numbers
_CHECKS = 2  # of these that a guess has to hold for


@attrs.frozen
class PeakBuffer:
    """A buffer of the arena. `over` is the node whose memory it takes over in place, `expression` its size in bytes
    in terms of the named sizes.
    """

    node: int
    label: str
    offset: int
    size: int
    birth: int
    death: int
    over: int | None
    at_peak: bool
    expression: Dimension


@attrs.frozen(repr=False)
class Peak:
    """The peak of a memory plan. `peak` is the size of the arena, `live` what is needed at step `step` of `steps`,
    both in bytes; `expression` is `live` in terms of the named sizes; `owner` says which line has most of it, and
    `unplanned` what lies outside the arena.
    """

    peak: int
    live: int
    expression: Dimension
    step: int
    steps: int
    owner: str
    buffers: tuple[PeakBuffer, ...]
    unplanned: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{_amount(self.live)} are needed at step {self.step} of {self.steps}, "
                f"in an arena of {_amount(self.peak)}",
                f"in the named sizes: {self.expression} bytes",
                self.owner,
                self.unplanned,
            ]
        )

    __repr__ = __str__  # what a notebook shows


def peak(executable: Executable, **sizes: int) -> Peak:
    """The step of a program at which it needs most memory, for a binding of the named sizes.

    Raises FeedError for a size that is missing.

    >>> from symgraph import ops
    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("n", 4))
    >>> executable = compile(define(y=ops.max(ops.cumsum(ops.exp(x), 0))), backend="numpy")
    >>> found = peak(executable, n=10)
    >>> found.live, str(found.expression)
    (320, '32*n')
    """
    plan = executable.memory_plan(**sizes)
    bound = {name: int(sizes[name]) for name in executable.graph.names}
    others = _others(executable, plan, bound)
    graph = executable.graph
    growth = [_growth(graph, bound, b, others[k]) for k, b in enumerate(plan.buffers)]
    held = [(b, *found) for b, found in zip(plan.buffers, growth, strict=True) if b.size]
    step = _fullest([b for b, _, _ in held])
    places = {b.offset: k for k, (b, _, _) in enumerate(held) if b.birth <= step <= b.death}
    live = [held[k] for k in sorted(places.values())]
    needed = sum(b.size for b, _, _ in live)
    changing = {
        id(b) for b, seen in zip(plan.buffers, others, strict=True) if any(o.size != b.size for _, o in seen)
    }
    stepwise = sum(b.size for b, size, _ in live if isinstance(size, int) and id(b) in changing)
    return Peak(
        plan.peak,
        needed,
        sum_dimensions(size for _, size, _ in live),
        step,
        max([plan.steps, *(b.death for b, _, _ in held)]),
        _owner([(b.size, node) for b, _, node in live], needed),
        tuple(
            PeakBuffer(
                b.node,
                b.label,
                b.offset,
                b.size,
                b.birth,
                b.death,
                b.in_place_of,
                places.get(b.offset) == k,
                size,
            )
            for k, (b, size, _) in enumerate(held)
        ),
        _unplanned(executable, bound) + (_STEPWISE.format(stepwise) if stepwise else ""),
    )


def _fullest(buffers: Sequence[Buffer]) -> int:
    """The first step that needs most. Of what lies in one place only one counts: the later takes over what the
    earlier had.
    """

    def needed(step: int) -> int:
        return sum({b.offset: b.size for b in buffers if b.birth <= step <= b.death}.values())

    return max(sorted({b.birth for b in buffers}), key=needed, default=0)


# How buffers grow

_Sized = tuple[Mapping[str, int], Buffer]  # a buffer as it is for other sizes


def _others(executable: Executable, plan: MemoryPlan, bound: Mapping[str, int]) -> list[list[_Sized]]:
    """Each buffer as it is for larger sizes, where its node has the same buffers."""
    found: list[list[_Sized]] = [[] for _ in plan.buffers]
    mine = _by_node(plan.buffers)
    for further in _FURTHER if bound and plan.buffers else ():
        sizes = {name: size + further + 8 * k for k, (name, size) in enumerate(sorted(bound.items()))}
        try:
            buffers = _planned(executable, sizes).buffers
        except FeedError:  # sizes that do not fit the graph, such as an odd one that it halves
            continue
        theirs = _by_node(buffers)
        for node, places in mine.items():
            others = [buffers[k] for k in theirs.get(node, [])]
            if [_op(b) for b in others] == [_op(plan.buffers[k]) for k in places]:
                for k, other in zip(places, others, strict=True):
                    found[k].append((sizes, other))
    return found


def _by_node(buffers: Sequence[Buffer]) -> dict[int, list[int]]:
    """The places of the buffers of each node."""
    places: dict[int, list[int]] = {}
    for k, buffer in enumerate(buffers):
        places.setdefault(buffer.node, []).append(k)
    return places


def _op(buffer: Buffer) -> str:
    """What a buffer is labelled with beside its type."""
    return buffer.label.split(" ")[0]


def _planned(executable: Executable, sizes: Mapping[str, int]) -> MemoryPlan:
    """The plan for some sizes, without a program that is compiled and kept."""
    graph = specialise(executable.graph, sizes)
    if executable.backend == "llvm":
        from symgraph.lowering.llvm.target import host
        from symgraph.lowering.llvm.written import write

        return write(graph, executable.options, host()).memory
    return numpy_source.lower(graph, executable.options).memory


def _growth(
    graph: Graph, sizes: Mapping[str, int], buffer: Buffer, others: Sequence[_Sized]
) -> tuple[Dimension, Node]:
    """The size of a buffer in terms of the named sizes, and the node whose value it holds."""
    values = _values(graph.nodes[buffer.node], _op(buffer))
    fits = [(size, node) for size, node in values if _is(size, [(sizes, buffer), *others])]
    if fits:
        return fits[0]
    guesses = _guesses(sizes, buffer, others)
    size = next((guess for guess in guesses if _is(guess, [(sizes, buffer), *others])), buffer.size)
    return size, graph.nodes[buffer.node]


def _is(size: Dimension, sized: Sequence[_Sized]) -> bool:
    return all(evaluate_dimension(size, sizes) == buffer.size for sizes, buffer in sized)


def _values(node: Node, op: str) -> list[tuple[Dimension, Node]]:
    """The values that a buffer of a node may hold, with their sizes: first those that the op it is labelled with
    makes.
    """
    made = [n for n in node.op.graph.nodes if n.inputs] if isinstance(node.op, Fused) else [node]
    made.sort(key=lambda n: n.op.name != op)
    return [(size, n) for n in made for size in _sizes(n)]


def _sizes(node: Node) -> Iterator[Dimension]:
    type_ = node.type
    yield from map(node_bytes, type_.items if isinstance(type_, TupleType) else (type_,))


def _guesses(sizes: Mapping[str, int], buffer: Buffer, others: Sequence[_Sized]) -> Iterator[Dimension]:
    """In proportion to one size or the product of two, or to one size and some more; only where it can be checked."""
    if len(others) < _CHECKS or all(other.size == buffer.size for _, other in others):
        return
    for count in (1, 2):
        for names in combinations_with_replacement(sorted(sizes), count):
            monomial: Dimension = 1
            for name in names:
                monomial = monomial * dim(name)
            unit = evaluate_dimension(monomial, sizes)
            if unit and buffer.size % unit == 0:
                yield monomial * (buffer.size // unit)
    further, other = others[0]
    for name, size in sizes.items():
        slope, left = divmod(other.size - buffer.size, further[name] - size)
        if not left:
            yield dim(name) * slope + (buffer.size - slope * size)


# What it says


def _owner(live: Sequence[tuple[int, Node]], needed: int) -> str:
    """The line of the user's with most bytes."""
    lines: dict[str, int] = {}
    for size, node in live:
        source = node.origin.sources[0] if node.origin.sources else None
        line = f"{visible(relative(source.file))}:{source.line}" if source is not None else "no line of yours"
        lines[line] = lines.get(line, 0) + size
    if not lines:
        return "nothing is kept in an arena"
    line = max(lines, key=lambda line: lines[line])
    share = 100 if lines[line] == needed else min(99, round(100 * lines[line] / needed))  # 100% is all of it
    return f"{line} has {_amount(lines[line])} of the {_amount(needed)} at the peak ({share}%)"


def _amount(size: int) -> str:
    """Bytes as people read them.

    >>> _amount(320), _amount(6_553_600)
    ('320 bytes', '6,553,600 bytes (6.2 MiB)')
    """
    return f"{size:,} bytes" + (f" ({size / 2**20:,.1f} MiB)" if size >= 2**20 else "")


def _unplanned(executable: Executable, sizes: Mapping[str, int]) -> str:
    """What lies outside the arena, in a sentence."""
    graph = executable.graph
    groups = {
        "placeholders": [n for n in graph.nodes if isinstance(n.op, Placeholder)],
        "variables": [n for n in graph.nodes if isinstance(n.op, Variable)],
        "outputs": [graph.nodes[i] for _, i in graph.outputs],
        "next values of variables": [graph.nodes[i] for _, group in graph.updates for _, i in group],
        "constants": [n for n in graph.nodes if isinstance(n.op, Constant)],
    }
    told = []
    for name, nodes in groups.items():
        size = sum_dimensions(node_bytes(node.type) for node in nodes)
        if nodes:
            number = evaluate_dimension(size, sizes)
            told.append(f"{_amount(number)} of {name}" + (f" ({size})" if not isinstance(size, int) else ""))
    whole = ", ".join(told) or "nothing"
    if executable.backend == "interpreter":
        return f"the interpreter has no arena: every node has an array of its own, beside {whole}"
    return f"outside the arena: {whole}"
