"""A step before it is compiled: planned, with a place for everything, and as text.

write : Graph (fused, concrete) -> options -> target -> Written
"""

from collections.abc import Mapping

import attrs

from symgraph.ir import Array, Graph, Placeholder, Variable
from symgraph.lowering.llvm.buffers import Room, place
from symgraph.lowering.llvm.clock import Ticking
from symgraph.lowering.llvm.planner import Plan, plan
from symgraph.lowering.llvm.region import Shape
from symgraph.lowering.llvm.step import ARENA, FIRST, module
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.plan import concrete
from symgraph.lowering.program import MemoryPlan, Options, inputs
from symgraph.types import DType


@attrs.frozen(eq=False)
class Facts:
    """What a call of the compiled step needs to know: the bytes of the arena, how many arrays are passed, what the
    outputs are, the constants, whether work is shared with a pool, and whether there are calls back to Python.
    """

    peak: int
    arrays: int
    outputs: tuple[tuple[Shape, DType], ...]
    constants: tuple[Array, ...]
    shared: bool
    calls_back: bool


@attrs.frozen(eq=False)
class Written:
    """A planned step; `slots` are each buffer's slot of the table and its offset there."""

    plan: Plan
    memory: MemoryPlan
    slots: Mapping[Room, tuple[int, int]]
    facts: Facts
    _inputs: tuple[tuple[DType, Shape], ...]
    _target: Target
    _flush: bool

    def text(self, comments: Mapping[int, str], clock: Ticking | None = None) -> str:
        """The module, with comments above its calls; with a `clock`, one that reads it after each call."""
        made, arrays = self.plan, self.facts.arrays
        return module(
            made.kernels,
            made.calls,
            self.slots,
            self._inputs,
            arrays,
            self._target,
            comments,
            self._flush,
            clock,
        )


def write(graph: Graph, options: Options, target: Target) -> Written:
    """Plan a step of concrete shapes, and place its buffers."""
    made = plan(graph, target, options.numerics)
    offsets, memory = place(made.calls, ())
    bases: dict[str, int] = {}
    arrays = 0
    for kind, count in (
        ("input", len(inputs(graph))),
        ("output", len(made.outputs)),
        ("next", sum(len(group) for _, group in graph.updates)),
        ("constant", 0),
    ):
        bases[kind] = FIRST + arrays
        arrays += count
    rooms = {room: None for call in made.calls for room, _ in call.arguments}
    slots = {
        room: (ARENA, offsets[room]) if room.kind == "arena" else (bases[room.kind] + room.index, 0)
        for room in rooms
    }
    leaves = (node for node in graph.nodes if isinstance(node.op, Placeholder | Variable))
    types = tuple((node.type.dtype, concrete(node.type.shape)) for node in leaves)
    facts = Facts(
        memory.peak,
        arrays,
        tuple((tensor.shape, tensor.dtype) for tensor in made.outputs),
        made.constants,
        any(call.chunks > 1 for call in made.calls),
        any(call.tensors for call in made.calls),
    )
    return Written(made, memory, slots, facts, types, target, options.numerics == "fast")
