"""What a backend makes: a program for one binding of the named sizes, and its memory plan."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import attrs

from symgraph.ir import Array, Graph, Placeholder, Variable
from symgraph.rewrite import Numerics

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


@attrs.frozen
class MemoryPlan:
    """Buffers by time; `peak` is the size of the arena in bytes."""

    buffers: tuple[Buffer, ...]
    peak: int

    def __str__(self) -> str:
        return "\n".join(
            [
                f"arena of {self.peak} bytes, {len(self.buffers)} buffers: first and last step of use, offset + bytes, "
                "node of the optimised graph",
                *map(str, self.buffers),
            ]
        )


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


def inputs(graph: Graph) -> tuple[str, ...]:
    """The names of the placeholders and variables, in the order that an Instance takes them."""
    return tuple(n.op.label for n in graph.nodes if isinstance(n.op, Placeholder | Variable))
