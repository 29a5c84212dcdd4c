"""Loop kernels: a region as nested loops over vectors.

write_region : Region -> Target -> kernel, and what joins its pieces' partial results where it has several
"""

from functools import lru_cache
from typing import Any

import attrs

from symgraph.lowering.llvm.emit import I64, Builder, Value, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.nest import Nest, reducing
from symgraph.lowering.llvm.region import (
    Region,
    Shape,
    contiguous,
    count,
    is_tail,
    longer,
    restride,
    squeeze,
)
from symgraph.lowering.llvm.schedule import Phase, Schedule, domain, schedule
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import address, counted, fill, join_axes, lanes_of, load, loops, store
from symgraph.ops.base import Elementwise
from symgraph.types import DType

CHUNK_COST = 8e3  # in the units of `_cost`, about a nanosecond each: what a piece should be worth at least
_CHUNKS = 8


@lru_cache(1024)
def write_region(region: Region, target: Target, contract: bool) -> list[Kernel]:
    """The kernels of a region: their arguments are its operands, its outputs, and scratch. With `contract` a
    product and the sum that it goes into may be one rounding.
    """
    return Writer(region, schedule(region), target, Builder(contract)).write()


@attrs.define
class Writer:
    """One kernel as it grows. A place is a base pointer, the stride of the rows and those within a row."""

    region: Region
    plan: Schedule
    target: Target
    b: Builder
    pointers: list[Value] = attrs.field(factory=list)
    numbers: dict[int, Value] = attrs.field(factory=dict)  # operands of one element
    scratch: int = 0  # bytes that a piece needs
    chunks: int = 1
    scalars: dict[int, Value] = attrs.field(factory=dict)  # values of the row
    places: dict[int, tuple[Value, int, tuple[int, ...]]] = attrs.field(factory=dict)
    partial: list[tuple[int, int]] = attrs.field(factory=list)  # tails, and where in a piece's scratch
    over: list[tuple[int, int]] = attrs.field(factory=list)
    stored: set[int] = attrs.field(factory=set)

    def write(self) -> list[Kernel]:
        region, plan, b = self.region, self.plan, self.b
        self.pointers = open_kernel(b, len(region.operands) + len(region.outputs) + 1)
        for k, operand in enumerate(region.operands):
            if operand.first is not None:
                self.pointers[k] = counted(operand.first, operand.dtype)
            elif count(operand.shape) == 1:
                self.numbers[k] = load(b, operand.dtype, self.pointers[k], 1, None)
        self.chunks = self._pieces()
        self._find_places()
        if plan.flat:
            self._flat(plan.phases[0])
        else:
            self._rows()
        main = close(b, self.chunks, self.scratch * self.chunks, tuple(self.over))
        return [main, self._join()] if self.partial else [main]

    def _find_places(self) -> None:
        """Outputs go where the arguments say; partial results and what later phases read into scratch."""
        region, plan, nodes = self.region, self.plan, self.region.nodes
        for k, (i, strides) in enumerate(region.outputs):
            root = plan.same[i]
            own = strides if is_tail(nodes[root]) else restride(nodes[i].shape, strides, nodes[root].shape)
            row, within = (own[0], own[1:]) if own and not is_tail(nodes[root]) else (0, own)
            self.places[root] = (self.pointers[len(region.operands) + k], row, within)
        rooms: list[tuple[int, Shape, int]] = []
        for i, node in enumerate(nodes):
            if is_tail(node) and self.chunks > 1 and not self._own(i):
                self.partial.append((i, self._room(node.shape, node.dtype)))
                rooms.append((i, node.shape, self.partial[-1][1]))
            elif i in plan.kept and i not in self.places:
                rooms.append((i, node.shape[1:], self._room(node.shape[1:], node.dtype)))
        piece = self.pointers[-1]
        if rooms and self.chunks > 1:
            piece = self.b.offset(piece, self.b.mul(Value("%chunk", I64), integer(self.scratch)))
        for i, shape, room in rooms:
            self.places[i] = (self.b.offset(piece, integer(room)), 0, contiguous(shape))

    def _own(self, i: int) -> bool:
        """Whether each piece makes a part of a tail that is its alone: where the rows are one, pieces are cut along
        a later axis, and that may be one that is kept.
        """
        shape, what = domain(self.region.nodes, i), self.region.nodes[i].what
        cut = next((axis for axis, size in enumerate(shape) if size != 1), 0)
        return self.plan.flat and cut not in what.axes and not self.grows(i)  # type: ignore[union-attr]

    def _room(self, shape: Shape, dtype: DType) -> int:
        place = self.scratch
        self.scratch += -(-count(shape) * dtype.itemsize // 64) * 64
        return place

    def _pieces(self) -> int:
        """In how many pieces the work is cut: a matter of sizes alone."""
        nodes, rows = self.region.nodes, self.plan.rows
        if rows is None:
            return 1
        members = [i for phase in self.plan.phases for i in (*phase.nodes, *phase.reductions)]
        cost = sum(count(domain(nodes, i)) * _cost(nodes[i].what, nodes[i].dtype) for i in members)
        most = max(count(domain(nodes, i)) for i in members) // 64 if self.plan.flat else rows
        return max(1, min(_CHUNKS, int(cost / CHUNK_COST), most))

    def _range(self, size: int, unit: int) -> tuple[Value, Value]:
        """The part of an axis that this piece works on."""
        b = self.b
        if self.chunks == 1:
            return integer(0), integer(size)
        per = -(-size // (self.chunks * unit)) * unit
        self.chunks = -(-size // per)
        start = b.mul(Value("%chunk", I64), integer(per))
        return start, b.binary("smin", b.add(start, integer(per)), integer(size))

    def _flat(self, phase: Phase) -> None:
        nest = Nest(self, phase, None)
        nest.collect()
        unit = 64 if len(nest.axes) == 1 else 1
        start, stop = self._range(nest.axes[0], unit) if nest.axes else (integer(0), integer(1))
        self.over = nest.over()
        self._clear(phase)
        nest.run(start, stop)

    def _rows(self) -> None:
        b, rows = self.b, self.plan.rows
        assert rows is not None
        start, stop = self._range(rows, 1)
        for phase in self.plan.phases:
            self._clear(phase)
        loop = b.begin_loop(start, stop, 1)
        for phase in self.plan.phases:
            self._clear(phase, loop.index)
            nest = Nest(self, phase, loop.index)
            nest.collect()
            nest.run(integer(0), integer(nest.axes[0]) if nest.axes else integer(1))
        b.end_loop(loop)

    def _clear(self, phase: Phase, row: Value | None = None) -> None:
        """Fill the memory that a reduction grows in: that of tails before all rows, of others in each."""
        for i in phase.reductions:
            node = self.region.nodes[i]
            if is_tail(node) != (row is None) or not self.grows(i):
                continue
            base, strides = self.at_row(i, row)
            shape = node.shape if is_tail(node) else node.shape[1:]
            _, neutral = reducing(node.what)
            fill(self.b, base, shape, strides, node.dtype, neutral(node.dtype), self.target)

    def at_row(self, i: int, row: Value | None) -> tuple[Value, tuple[int, ...]]:
        """A place, and its strides: within the row, or where there is no loop over rows, of all axes."""
        base, stride, strides = self.places[i]
        node = self.region.nodes[i]
        if row is not None:
            return address(self.b, base, [row], [stride], node.dtype), strides
        return base, strides if is_tail(node) or not node.shape else (stride, *strides)

    def grows(self, i: int) -> bool:
        """Whether a reduction's result is read back from memory and written again."""
        node = self.region.nodes[i]
        if is_tail(node) and not self.plan.flat:
            return True
        own: Any = node.what
        start = 0 if self.plan.flat else 1
        shape = domain(self.region.nodes, i)
        reduced = [a in own.axes for a in range(start, len(shape)) if shape[a] != 1]
        # It stays in registers where the axes that it reduces are the innermost.
        first = reduced.index(True) if True in reduced else len(reduced)
        return not all(reduced[first:])

    # The end: partial results of the pieces, joined in order

    def _join(self) -> Kernel:
        region, b = self.region, Builder()
        pointers = open_kernel(b, len(region.operands) + len(region.outputs) + 1)
        for i, room in self.partial:
            k = next(k for k, (j, _) in enumerate(region.outputs) if self.plan.same[j] == i)
            base = b.offset(pointers[-1], integer(room))
            self._join_one(b, i, base, pointers[len(region.operands) + k], region.outputs[k][1])
        return close(b)

    def _join_one(self, b: Builder, i: int, base: Value, out: Value, strides: tuple[int, ...]) -> None:
        node = self.region.nodes[i]
        join, _ = reducing(node.what)
        own, given = longer(node.shape, contiguous(node.shape)), longer(node.shape, strides)
        axes, (own, given) = join_axes(squeeze(node.shape), [own, given])

        def body(at: list[Value], lanes: int, mask: Value | None) -> None:
            source = address(b, base, at, own, node.dtype)
            total = load(b, node.dtype, source, lanes, mask)
            for piece in range(1, self.chunks):
                other = b.offset(source, integer(piece * self.scratch))
                total = join(b, total, load(b, node.dtype, other, lanes, mask))
            store(b, total, address(b, out, at, given, node.dtype), given[-1] if given else 1, mask)

        loops(b, axes, lanes_of(axes, node.dtype, self.target), body)


def _cost(what: Any, dtype: DType) -> float:
    """About how many nanoseconds an element takes."""
    wide = dtype.itemsize / 4
    return (
        wide * (0.05 + 0.03 * min(12, getattr(what, "cost", 1)))
        if isinstance(what, Elementwise)
        else 0.08 * wide
    )
