"""From a fused graph of concrete shapes to a straight-line plan with a place in memory for every value.

    flatten  : Graph -> steps            regions opened; those worth it become loops over blocks of rows
    classify : steps -> kinds            input, known (computed now), view of another value, or array
    allocate : steps -> arena            liveness intervals, in-place where a dying operand fits

A *loop* runs its steps block by block of rows, so that the values inside stay in the cache. What only the loop
sees has room for one block; what others see has room for all rows.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np

from symgraph.contracts import computed
from symgraph.ir import Array, Graph, Node, Op, Placeholder, Variable
from symgraph.lowering.program import Buffer, MemoryPlan
from symgraph.ops.base import Elementwise
from symgraph.ops.linalg import MatMul
from symgraph.ops.reduction import Reduction
from symgraph.ops.region import Fused, Project
from symgraph.ops.shape import BroadcastTo
from symgraph.origin import Origin
from symgraph.types import DType, TensorType

Kind = Literal["input", "known", "view", "array"]
LOOP_ABOVE = (
    1 << 22
)  # bytes that a region's values take together: below, whole passes through the caches are quicker
BLOCK_BYTES = 1 << 18  # bytes that a block's values take together
STEP_BYTES = 1 << 13  # and that each takes on average: below, the calls cost more than the cache saves
_ALIGN = 64
_KNOWN_LIMIT = 1 << 24  # bytes: values known now are computed now up to this size


@attrs.frozen
class Step:
    """One operation of the plan; its result is the value of the same number. `loop` is the loop it runs in."""

    value: int
    op: Op
    inputs: tuple[int, ...]
    type: TensorType
    origin: Origin
    node: int
    loop: int | None = None


@attrs.frozen
class Loop:
    """`rows` rows in blocks of `block`; the steps from `first` to `last` inclusive."""

    rows: int
    block: int
    first: int
    last: int


@attrs.frozen
class Program:
    """The steps, the loops, and the values of the outputs and of the updates."""

    steps: tuple[Step, ...]
    loops: tuple[Loop, ...]
    outputs: tuple[int, ...]
    updates: tuple[int, ...]


def flatten(graph: Graph) -> Program:
    """Open the regions of a graph whose shapes are all concrete."""
    steps: list[Step] = []
    loops: list[Loop] = []
    values: dict[int, int] = {}
    several: dict[int, tuple[int, ...]] = {}
    for node in graph.nodes:
        inputs = tuple(values[i] for i in node.inputs if i in values)
        if isinstance(node.op, Fused):
            made = _open(node, node.op, inputs, steps, loops)
            several[node.id] = made
            if len(made) == 1:
                values[node.id] = made[0]
        elif isinstance(node.op, Project):
            values[node.id] = several[node.inputs[0]][node.op.index]
        else:
            values[node.id] = len(steps)
            steps.append(Step(len(steps), node.op, inputs, node.type, node.origin, node.id))
    return Program(
        tuple(steps),
        tuple(loops),
        tuple(values[i] for _, i in graph.outputs),
        tuple(values[i] for _, group in graph.updates for _, i in group),
    )


def _open(
    region: Node, op: Fused, operands: Sequence[int], steps: list[Step], loops: list[Loop]
) -> tuple[int, ...]:
    inner = op.graph.nodes
    shape = _loop_shape(inner)
    values: dict[int, int] = {}
    # Leaves and the matrix product at the head run whole, before the loop.
    whole = [n for n in inner if shape is None or not n.inputs or isinstance(n.op, MatMul)]
    in_loop = [n for n in inner if shape is not None and n.inputs and not isinstance(n.op, MatMul)]
    first = 0
    for nodes, loop in ((whole, None), (in_loop, len(loops))):
        first = len(steps)
        for node in nodes:
            if isinstance(node.op, Placeholder):
                values[node.id] = operands[int(node.op.label)]
                continue
            values[node.id] = len(steps)
            inputs = tuple(values[i] for i in node.inputs)
            steps.append(Step(len(steps), node.op, inputs, node.type, node.origin, region.id, loop))
    if shape is not None:
        loops.append(Loop(*shape, first, len(steps) - 1))
    return tuple(values[i] for _, i in op.graph.outputs)


def _loop_shape(nodes: Sequence[Node]) -> tuple[int, int] | None:
    """The rows of a region and the rows of a block; None where blocks would bring nothing."""
    inside = [n for n in nodes if n.inputs and not isinstance(n.op, MatMul)]
    driver = next((n.inputs[0] if is_tail(n) else n.id for n in inside), None)
    if driver is None or not nodes[driver].type.shape:
        return None
    rows = nodes[driver].type.shape[0]
    assert isinstance(rows, int)
    total = sum(_bytes(n.type) for n in inside)
    if rows < 2 or total < LOOP_ABOVE:
        return None
    block = max(1, rows * max(BLOCK_BYTES, STEP_BYTES * len(inside)) // total)
    return (rows, block) if 2 * block <= rows else None


def is_tail(node: Node | Step) -> bool:
    """Whether it reduces over the rows, so that blocks give partial results."""
    return isinstance(node.op, Reduction) and 0 in node.op.axes


def _bytes(type_: TensorType) -> int:
    return concrete_size(type_) * type_.dtype.itemsize


@lru_cache(4096)
def by_rows(step: Step, operand: Step, program: Program) -> bool:
    """Whether a step in a loop takes the rows of its block from an operand outside, or the whole operand."""
    shape = operand.type.shape
    if step.loop is None or not shape or shape[0] != program.loops[step.loop].rows:
        return False
    return not isinstance(step.op, Elementwise | BroadcastTo) or len(shape) == len(step.type.shape)


def concrete_size(type_: TensorType) -> int:
    """The number of elements of a type of concrete shape."""
    return math.prod(concrete(type_.shape))


@lru_cache(4096)
def concrete(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """A shape that holds ints alone, as the lowering sees them."""
    assert all(isinstance(size, int) for size in shape), shape
    return tuple(shape)


# What a value is


@attrs.frozen
class Layout:
    """The kind of each value, the value whose memory it lies in, and whether it is C-contiguous there."""

    kind: tuple[Kind, ...]
    root: tuple[int, ...]
    contiguous: tuple[bool, ...]
    known: Mapping[int, Array]


def classify(program: Program, is_view: Callable[[Step, bool], bool | None]) -> Layout:
    """Sort the values. `is_view(step, contiguous)` says for an op and the contiguity of its operand whether the
    result is a view and if so whether that is contiguous: None for no view.
    """
    kind: list[Kind] = []
    root: list[int] = []
    contiguous: list[bool] = []
    known: dict[int, Array] = {}
    for step in program.steps:
        root.append(step.value)
        contiguous.append(True)
        if isinstance(step.op, Placeholder | Variable):
            kind.append("input")
        elif _computable(step, known):
            with np.errstate(all="ignore"):
                result = computed(step.op, step.origin, [known[i] for i in step.inputs], step.type)
            known[step.value] = result
            contiguous[-1] = bool(result.flags.c_contiguous)
            kind.append("known")
        else:
            view = is_view(step, contiguous[step.inputs[0]]) if step.inputs else None
            kind.append("array" if view is None else "view")
            if view is not None:
                root[-1] = root[step.inputs[0]]
                contiguous[-1] = view
    return Layout(tuple(kind), tuple(root), tuple(contiguous), known)


def _computable(step: Step, known: Mapping[int, Array]) -> bool:
    return step.op.pure and _bytes(step.type) <= _KNOWN_LIMIT and all(i in known for i in step.inputs)


# Where a value lives


@attrs.frozen
class Place:
    """Memory for one value: bytes from `offset` in the arena, or of `holder`, a destination or fresh array.

    `rows` is the size of the leading axis there: a block's, for what only a loop sees.
    """

    offset: int | None
    shape: tuple[int, ...]
    holder: str = ""
    in_place_of: int | None = None


@attrs.frozen
class Memory:
    """The place of every array value, the scratch that steps need, and the plan as a user reads it."""

    places: Mapping[int, Place]
    scratch: Mapping[int, tuple[Place, ...]]
    plan: MemoryPlan


# The operands that a step's result may overwrite, and the dtypes and shapes of the scratch it needs.
InPlace: TypeAlias = Callable[[Step, Layout], Sequence[int]]
Scratch: TypeAlias = Callable[[Step, Program], Sequence[tuple[DType, tuple[int, ...]]]]


def allocate(program: Program, layout: Layout, in_place: InPlace, scratch: Scratch) -> Memory:
    """Give every array value a place in the arena, from the step that makes it to the last that needs it."""
    last = _last_uses(program, layout)
    holders = _held_early(program, layout, last, in_place, _holders(program, layout))
    inner = _inner(program, layout)
    # A loop's results are filled block by block: their memory is taken before the loop's own values take theirs.
    early: dict[int, list[Step]] = {}
    for step in program.steps:
        if step.loop is not None and step.value not in inner:
            early.setdefault(program.loops[step.loop].first, []).append(step)
    arena = Arena()
    places: dict[int, Place] = {}
    scratches: dict[int, tuple[Place, ...]] = {}
    buffers: list[Buffer] = []
    expiring: dict[int, list[int]] = {}
    for now in program.steps:
        for step in (*early.get(now.value, ()), now):
            v = step.value
            if layout.kind[v] != "array" or v in places:
                continue
            shape = concrete(step.type.shape)
            if v in inner:
                shape = (program.loops[step.loop or 0].block, *shape[1:])
            if v in holders:
                places[v] = Place(None, shape, holders[v])
                continue
            size = math.prod(shape) * step.type.dtype.itemsize
            reused = _reusable(step, program, layout, last, places, shape, in_place(step, layout))
            if reused is None:
                offset = arena.take(size)
            else:
                offset = places[reused].offset or 0
                expiring[last[reused]].remove(reused)
            places[v] = Place(offset, shape, in_place_of=reused)
            expiring.setdefault(last[v], []).append(v)
            over = None if reused is None else program.steps[reused].node
            label = f"{step.op.name} {_shown(step.type)}"
            buffers.append(Buffer(step.node, label, offset, size, now.value, last[v], over))
        if layout.kind[now.value] == "array":
            scratches[now.value] = _scratch(now, scratch(now, program), arena, buffers)
        for dead in expiring.pop(now.value, ()):
            itemsize = program.steps[dead].type.dtype.itemsize
            arena.give(places[dead].offset or 0, math.prod(places[dead].shape) * itemsize)
    return Memory(places, scratches, MemoryPlan(tuple(buffers), arena.peak, len(program.steps)))


@lru_cache(4096)
def _shown(type_: TensorType) -> str:
    return str(type_)


def _scratch(
    step: Step, wanted: Sequence[tuple[DType, tuple[int, ...]]], arena: "Arena", buffers: list[Buffer]
) -> tuple[Place, ...]:
    """Room that one step needs for itself; free again for the next."""
    taken = []
    for dtype, shape in wanted:
        size = math.prod(shape) * dtype.itemsize
        offset = arena.take(size)
        taken.append((offset, size, Place(offset, shape)))
        label = f"{step.op.name}: scratch {dtype.name}{list(shape)}"
        buffers.append(Buffer(step.node, label, offset, size, step.value, step.value))
    for offset, size, _ in taken:
        arena.give(offset, size)
    return tuple(place for _, _, place in taken)


def _last_uses(program: Program, layout: Layout) -> dict[int, int]:
    """The last step at which the memory of each root is needed. In a loop that is the loop's last step, for
    what was there before it: every block needs it again.
    """
    last = {step.value: step.value for step in program.steps}
    for step in program.steps:
        for i in step.inputs:
            root = layout.root[i]
            end = step.value
            if step.loop is not None and program.steps[root].loop != step.loop:
                end = program.loops[step.loop].last
            last[root] = max(last[root], end)
    for v in (*program.outputs, *program.updates):
        last[layout.root[v]] = len(program.steps)
    return last


def _holders(program: Program, layout: Layout) -> dict[int, str]:
    """Arrays that are computed where they are wanted: in an update's destination, or in the array returned."""
    holders: dict[int, str] = {}
    for k, v in enumerate(program.updates):
        if layout.kind[v] == "array" and v not in holders:
            holders[v] = f"u{k}"
    for k, v in enumerate(program.outputs):
        if layout.kind[v] == "array" and v not in holders and program.steps[v].type.shape:
            holders[v] = f"o{k}"
    return holders


def _held_early(
    program: Program, layout: Layout, last: Mapping[int, int], in_place: InPlace, holders: dict[int, str]
) -> dict[int, str]:
    """The holders, also for what dies in making a held value in place: `w - rate * (xT @ g)` is computed where the
    next w goes from the product on, and takes no room in the arena.
    """
    held = dict(holders)
    for v, holder in holders.items():
        step: Step | None = program.steps[v]
        while step is not None and step.loop is None:
            operand = next(
                (i for i in in_place(step, layout) if _dies_in(i, step, program, layout, last)), None
            )
            if operand is None or operand in held:
                break
            held[operand] = holder
            step = program.steps[operand]
    return held


def _dies_in(operand: int, step: Step, program: Program, layout: Layout, last: Mapping[int, int]) -> bool:
    """Whether an operand is an array of the result's type outside loops that no other step needs."""
    made = program.steps[operand]
    return (
        layout.kind[operand] == "array"
        and made.type == step.type
        and made.loop is None
        and last[operand] == step.value
        and not any(layout.root[j] == operand and j != operand for j in step.inputs)
    )


def _inner(program: Program, layout: Layout) -> set[int]:
    """The arrays that only the steps of their own loop see."""
    inner = {s.value for s in program.steps if s.loop is not None and layout.kind[s.value] == "array"}
    for step in program.steps:
        for i in step.inputs:
            root = layout.root[i]
            if program.steps[root].loop != step.loop:
                inner.discard(root)
    return inner - {layout.root[v] for v in (*program.outputs, *program.updates)}


def _reusable(
    step: Step,
    program: Program,
    layout: Layout,
    last: Mapping[int, int],
    places: Mapping[int, Place],
    shape: tuple[int, ...],
    candidates: Sequence[int],
) -> int | None:
    """An operand that dies here, has the same dtype and room, and is read by no other operand's view."""
    for i in candidates:
        place = places.get(i)
        if place is None or place.offset is None or place.shape != shape:
            continue
        if program.steps[i].type != step.type or last[i] != step.value:
            continue
        if program.steps[i].loop != step.loop:
            continue
        if any(layout.root[j] == i and j != i for j in step.inputs):
            continue
        return i
    return None


class Arena:
    """Best-fit over free extents; a buffer that dies joins its free neighbours. Local to one `allocate`."""

    def __init__(self) -> None:
        self.free: dict[int, int] = {}  # offset: size
        self.ends: dict[int, int] = {}  # end: offset
        self.sizes: list[tuple[int, int]] = []  # (size, offset) of the free extents, in order
        self.peak = 0

    def take(self, size: int) -> int:
        need = max(_ALIGN, -(-size // _ALIGN) * _ALIGN)
        place = bisect_left(self.sizes, (need, -1))
        if place == len(self.sizes):
            # Grow the extent that ends at the top, if there is one.
            offset = self.ends.get(self.peak, self.peak)
            if offset != self.peak:
                self._remove(offset)
            self.peak = offset + need
            return offset
        have, offset = self.sizes[place]
        self._remove(offset)
        if have > need:
            self._insert(offset + need, have - need)
        return offset

    def give(self, offset: int, size: int) -> None:
        need = max(_ALIGN, -(-size // _ALIGN) * _ALIGN)
        end = offset + need
        if end in self.free:
            end += self._remove(end)
        if offset in self.ends:
            start = self.ends[offset]
            self._remove(start)
            offset = start
        self._insert(offset, end - offset)

    def _insert(self, offset: int, size: int) -> None:
        self.free[offset] = size
        self.ends[offset + size] = offset
        insort(self.sizes, (size, offset))

    def _remove(self, offset: int) -> int:
        size = self.free.pop(offset)
        del self.ends[offset + size]
        del self.sizes[bisect_left(self.sizes, (size, offset))]
        return size
