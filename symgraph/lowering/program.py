"""What a backend makes: a program for one binding of the named sizes, and its memory plan."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeAlias

import attrs

from symgraph.contracts import provenance
from symgraph.errors import ExecutionError
from symgraph.ir import Array, Graph, Placeholder, Variable, node_bytes
from symgraph.rewrite import Numerics
from symgraph.types import evaluate_dimension

# Values of the placeholders and variables in the order of `inputs`, and an array for the next value of each
# updated variable, which the call fills; returns the outputs in order.
Instance: TypeAlias = Callable[[Sequence[Array], Sequence[Array]], Sequence[Array]]


@attrs.frozen
class Options:
    """What a backend is told beside the graph: the numerics class, and how many threads (None: its own choice)."""

    numerics: Numerics = "safe"
    threads: int | None = None


@attrs.frozen
class Buffer:
    """A value's place in the arena: `birth` and `death` are steps of the schedule, sizes in bytes."""

    node: int
    label: str
    offset: int
    size: int
    birth: int
    death: int
    in_place_of: int | None = None

    def __str__(self) -> str:
        reuse = f"  in place of %{self.in_place_of}" if self.in_place_of is not None else ""
        when, where = f"[{self.birth:4d}, {self.death:4d}]", f"{self.offset:>10} + {self.size:<10}"
        return f"{when}  {where} %{self.node} {self.label}{reuse}"


@attrs.frozen(repr=False)
class MemoryPlan:
    """Buffers by time; `peak` is the size of the arena in bytes, `steps` how many the schedule has."""

    buffers: tuple[Buffer, ...]
    peak: int
    steps: int = 0

    def __str__(self) -> str:
        return "\n".join(
            [
                f"arena of {self.peak} bytes, {len(self.buffers)} buffers: first and last step of use, offset + bytes, "
                "node of the optimised graph",
                *map(str, self.buffers),
            ]
        )

    __repr__ = __str__  # what a notebook shows


@attrs.frozen
class Section:
    """Lines of a listing that belong to a kernel, counted from 1, the last one included. `name` is what the listing
    calls it there: a function, or the arrays that Python code computes.
    """

    listing: Literal["source", "assembly"]
    first: int
    last: int
    name: str


@attrs.frozen
class KernelCode:
    """A node of the optimised graph that has code: its name in the code, and its lines.

    Nodes that share a kernel share its lines, and a node that several kernels compute has the lines of all.
    """

    node: int
    name: str
    sections: tuple[Section, ...]


@attrs.frozen
class Mark:
    """What a stamp of a clocked program ends: a kernel of a node, or with `node` None what is no kernel's work."""

    node: int | None
    name: str


# The stamps of the last call in nanoseconds of `time.perf_counter_ns`: when the first kernel began, then for every
# mark when what it names ended; 0 for what was not reached.
Stamps: TypeAlias = Sequence[int]


@attrs.frozen(eq=False)
class Clocked:
    """A program whose instances tell when each kernel ended. What they compute has the bits of the plain program."""

    marks: tuple[Mark, ...]
    instance: Callable[[], tuple[Instance, Callable[[], Stamps]]]


class Program(Protocol):
    """A graph compiled for one binding of its named sizes; immutable, shared by threads."""

    @property
    def source(self) -> str:
        """The generated code, as text."""

    @property
    def memory(self) -> MemoryPlan:
        """Where the values live."""

    @property
    def careful(self) -> bool:
        """Whether an instance looks at the arrays itself: with a third argument of False it returns None, having
        done nothing, where they are not what it was made for.
        """

    def instance(self) -> Instance:
        """A function with a workspace of its own: for one call at a time."""

    @property
    def kernels(self) -> tuple[KernelCode, ...]:
        """The nodes that have code, with their lines in `source`, and in the assembly where there is one."""

    def clocked(self) -> Clocked:
        """The same program with a clock that is read after each kernel; the plain one has none."""


def too_large(size: int, memory: MemoryPlan, graph: Graph) -> ExecutionError:
    """The error of a run of a graph of concrete sizes that needs more bytes than there are, at the line of the value
    that takes most of them.
    """
    sizes = [(buffer.size, buffer.node) for buffer in memory.buffers]
    sizes += [(evaluate_dimension(node_bytes(graph.nodes[i].type), {}), i) for i in graph.roots]
    largest, place = max(sizes, default=(0, -1))
    node = graph.nodes[place] if 0 <= place < len(graph) else None
    return ExecutionError(
        f"a run needs {size} bytes for what it computes, more than there is",
        source=node.origin.sources[0] if node is not None and node.origin.sources else None,
        details=()
        if node is None
        else (
            f"the largest value is {node.op.name}: {node.type}, of {largest} bytes",
            *provenance(node.origin),
        ),
        hint="Feed smaller batches, or look for the largest buffers in Executable.memory_plan.",
    )


def inputs(graph: Graph) -> tuple[str, ...]:
    """The names of the placeholders and variables, in the order that an Instance takes them."""
    return tuple(n.op.label for n in graph.nodes if isinstance(n.op, Placeholder | Variable))
