"""Values in memory and the kernels that work on them, and where in the arena each buffer lies.

Tensor : a buffer, an offset and strides         views (transpose, slice, broadcast, ...) make no work
Call   : a kernel on places in buffers           in the order of the step
place  : calls -> offsets of the arena's buffers, by liveness; in place where a kernel allows it
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import attrs
import numpy as np

from symgraph.ir import Array
from symgraph.lowering.llvm.region import Inner, Read, Shape, contiguous, count, is_contiguous
from symgraph.lowering.plan import Arena
from symgraph.lowering.program import Buffer, MemoryPlan
from symgraph.types import DType

Kind: TypeAlias = Literal["arena", "input", "output", "next", "constant"]


@attrs.define(eq=False)
class Room:
    """A buffer while the plan is made: what kind of memory it is, the number among its kind, and its size."""

    kind: Kind
    size: int
    node: int
    label: str
    index: int = -1


@attrs.frozen(eq=False)
class Tensor:
    """Elements in a buffer: `offset` in bytes, `strides` in elements."""

    room: Room
    shape: Shape
    strides: tuple[int, ...]
    dtype: DType
    offset: int = 0

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie in C order."""
        return is_contiguous(self.shape, self.strides)

    def view(self, raw: Array) -> Array:
        """The elements as an array, given the bytes of the buffer from its start."""
        size = self.dtype.itemsize
        low = sum(min(0, (n - 1) * s) for n, s in zip(self.shape, self.strides, strict=True))
        if not count(self.shape):
            return np.empty(self.shape, self.dtype)
        first = self.offset + low * size
        high = sum(max(0, (n - 1) * s) for n, s in zip(self.shape, self.strides, strict=True))
        flat = raw[first : self.offset + (high + 1) * size].view(self.dtype)
        steps = tuple(s * size for s in self.strides)
        return np.ndarray(self.shape, self.dtype, flat.data, -low * size, steps)


class Argument(NamedTuple):
    """A place that a kernel works on."""

    room: Room
    offset: int


@attrs.frozen(eq=False)
class Call:
    """One kernel, or with `kernel` None a call back to Python for `node`.

    `writes` says how many of the arguments, after `reads` of them, are written; `scratch` is one more. A result
    may lie over the operand that `over` pairs it with. `tensors` are the arguments of a call back.
    """

    kernel: int | None
    arguments: tuple[Argument, ...]
    reads: int
    writes: int
    node: int
    chunks: int = 1
    over: tuple[tuple[int, int], ...] = ()
    tensors: tuple[Tensor, ...] = ()


def place(calls: Sequence[Call], alive: Sequence[Room]) -> tuple[dict[Room, int], MemoryPlan]:
    """The offset of every buffer of the arena, from the call that first uses it to the last.

    What is in `alive` is needed to the end.
    """
    birth: dict[Room, int] = {}
    death: dict[Room, int] = {}
    for now, call in enumerate(calls):
        for room, _ in call.arguments:
            if room.kind == "arena":
                birth.setdefault(room, now)
                death[room] = now
    for room in alive:
        if room in birth:
            death[room] = len(calls)
    arena = Arena()
    offsets: dict[Room, int] = {}
    buffers: list[Buffer] = []
    dying: dict[int, list[Room]] = {}
    for now, call in enumerate(calls):
        for position, (room, _) in enumerate(call.arguments):
            if room.kind != "arena" or room in offsets:
                continue
            if not room.size:
                offsets[room] = 0
                continue
            assert birth[room] == now
            over = _reusable(call, position, now, offsets, death)
            if over is None:
                offsets[room] = arena.take(room.size)
            else:
                offsets[room] = offsets[over]
                dying[death[over]].remove(over)
            dying.setdefault(death[room], []).append(room)
            buffers.append(
                Buffer(
                    room.node,
                    room.label,
                    offsets[room],
                    room.size,
                    now,
                    death[room],
                    None if over is None else over.node,
                )
            )
        for room in dying.pop(now, ()):
            arena.give(offsets[room], room.size)
    return offsets, MemoryPlan(tuple(buffers), arena.peak, len(calls))


def _reusable(
    call: Call, position: int, now: int, offsets: dict[Room, int], death: dict[Room, int]
) -> Room | None:
    """The buffer of an operand that dies here and that the result may lie over."""
    room = call.arguments[position].room
    for result, operand in call.over:
        other, offset = call.arguments[operand]
        if result != position or other not in offsets or death[other] != now or other.size != room.size:
            continue
        if offset != call.arguments[position].offset:
            continue
        rivals = [a.room for a in call.arguments if offsets.get(a.room) == offsets[other]]
        if rivals == [other]:  # no other result lies there, and nothing else reads it
            return other
    return None


def whole(room: Room, shape: Shape, dtype: DType) -> Tensor:
    """A buffer as one array in C order."""
    return Tensor(room, shape, contiguous(shape), dtype)


def read(k: int, tensor: Tensor) -> Inner:
    """Operand k as a node."""
    return Inner(Read(k), (), tensor.shape, tensor.dtype)
