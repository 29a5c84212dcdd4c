"""Loop kernels: a region as nested loops over vectors.

    write_region : Region -> Target -> kernel, and what joins its pieces' partial results where it has several

Within a nest each number that is read is loaded at the outermost loop where its address is known. The innermost
loop works on vectors, the last of them under a mask. A reduction keeps its accumulator in registers across the
loops that it sums over, as far as those are the innermost, and in memory across the others.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import attrs
import numpy as np

from symgraph.lowering.llvm.elementwise import EMITTERS
from symgraph.lowering.llvm.emit import I8, I64, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.region import (
    Number,
    Read,
    Region,
    Shape,
    broadcast_strides,
    contiguous,
    count,
    is_tail,
    memory_type,
    register_type,
    squeeze,
)
from symgraph.lowering.llvm.schedule import Phase, Schedule, domain, schedule
from symgraph.lowering.llvm.target import Target
from symgraph.ops.arithmetic import Maximum, Minimum
from symgraph.ops.base import Elementwise
from symgraph.ops.reduction import All, Max, Min, Prod, Sum
from symgraph.ops.reduction import Any as AnyOf
from symgraph.ops.shape import BroadcastTo, Reshape
from symgraph.types import DType

CHUNK_COST = 8e3  # in the units of `_cost`, about a nanosecond each: what a piece should be worth at least
_CHUNKS = 8
_RUN = 512  # vectors that one accumulator sums up before it is added to the total


@lru_cache(1024)
def write_region(region: Region, target: Target, contract: bool) -> list[Kernel]:
    """The kernels of a region: their arguments are its operands, its outputs, and scratch. With `contract` a
    product and the sum that it goes into may be one rounding.
    """
    return _Writer(region, schedule(region), target, Builder(contract)).write()


def reducing(what: Any) -> tuple[Any, Any]:
    """How a reduction joins two values, and the value that changes none, as a function of the dtype."""
    match what:
        case Sum():
            # -0 and not 0: a sum of nothing but -0 is -0.
            return Builder.add, lambda d: -0.0 if d.kind == "f" else 0
        case Prod():
            return Builder.mul, lambda d: 1
        case Max():
            join = EMITTERS[Maximum]
            return lambda b, x, y: join(b, Maximum(), [x, y]), lambda d: _lowest(d)
        case Min():
            join = EMITTERS[Minimum]
            return lambda b, x, y: join(b, Minimum(), [x, y]), lambda d: _highest(d)
        case AnyOf():
            return lambda b, x, y: b.bits("or", x, y), lambda d: False
        case All():
            return lambda b, x, y: b.bits("and", x, y), lambda d: True
        case _:
            raise AssertionError(what)


def _lowest(dtype: DType) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: DType) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def power_of_two(n: int) -> int:
    """The smallest power of two that is not less."""
    return 1 << max(0, n - 1).bit_length()


def load(b: Builder, dtype: DType, address: Value, lanes: int, mask: Value | None) -> Value:
    """Neighbouring elements in memory as a value."""
    value = b.load(memory_type(dtype, lanes), address, mask)
    return b.compare("ne", value, constant(value.type, 0)) if dtype.kind == "b" else value


def gather(b: Builder, dtype: DType, address: Value, stride: int, lanes: int, mask: Value | None) -> Value:
    """Elements `stride` apart as a value."""
    type_ = memory_type(dtype, lanes)
    steps = ", ".join(f"i64 {stride * k}" for k in range(lanes))
    unit = memory_type(dtype)
    pointers = b.emit(Type("ptr", lanes), f"getelementptr {unit}, {address}, <{lanes} x i64> <{steps}>")
    which = mask if mask is not None else constant(Type("i1", lanes), 1)
    name = f"llvm.masked.gather.{type_.mangled}.v{lanes}p0"
    b.intrinsics[name] = f"declare {type_} @{name}({pointers.type}, i32 immarg, {which.type}, {type_})"
    value = b.emit(type_, f"call {type_} @{name}({pointers}, i32 1, {which}, {type_} zeroinitializer)")
    return b.compare("ne", value, constant(value.type, 0)) if dtype.kind == "b" else value


def store(b: Builder, value: Value, address: Value, stride: int, mask: Value | None) -> None:
    """A value's lanes to memory, `stride` elements apart."""
    if value.type.name == "i1":
        value = b.cast("zext", value, value.type.of(I8.name))
    lanes = value.type.lanes
    if stride == 1 or lanes == 1:
        b.store(value, address, mask)
        return
    steps = ", ".join(f"i64 {stride * k}" for k in range(lanes))
    pointers = b.emit(
        Type("ptr", lanes), f"getelementptr {value.type.name}, {address}, <{lanes} x i64> <{steps}>"
    )
    which = mask if mask is not None else constant(Type("i1", lanes), 1)
    name = f"llvm.masked.scatter.{value.type.mangled}.v{lanes}p0"
    b.intrinsics[name] = f"declare void @{name}({value.type}, {pointers.type}, i32 immarg, {which.type})"
    b.do(f"call void @{name}({value}, {pointers}, i32 1, {which})")


def horizontal(b: Builder, join: Any, value: Value) -> Value:
    """All lanes joined into one, by halves."""
    while value.type.lanes > 1:
        half = value.type.lanes // 2
        low, high = b.shuffle(value, None, range(half)), b.shuffle(value, None, range(half, 2 * half))
        if half == 1:
            low, high = b.extract(value, 0), b.extract(value, 1)
        value = join(b, low, high)
    return value


def compute(b: Builder, what: Any, operands: list[Value]) -> Value:
    """One elementwise node on values."""
    if isinstance(what, BroadcastTo | Reshape):
        return operands[0]
    return EMITTERS[type(what)](b, what, operands)


@attrs.define
class _Writer:
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
            if count(operand.shape) == 1:
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
            own = strides if is_tail(nodes[root]) else _restride(nodes[i].shape, strides, nodes[root].shape)
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
        nest = _Nest(self, phase, None)
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
            nest = _Nest(self, phase, loop.index)
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
        own, given = _longer(node.shape, contiguous(node.shape)), _longer(node.shape, strides)
        axes, (own, given) = join_axes(squeeze(node.shape), [own, given])

        def body(at: list[Value], lanes: int, mask: Value | None) -> None:
            source = address(b, base, at, own, node.dtype)
            total = load(b, node.dtype, source, lanes, mask)
            for piece in range(1, self.chunks):
                other = b.offset(source, integer(piece * self.scratch))
                total = join(b, total, load(b, node.dtype, other, lanes, mask))
            store(b, total, address(b, out, at, given, node.dtype), given[-1] if given else 1, mask)

        loops(b, axes, lanes_of(axes, node.dtype, self.target), body)


@attrs.define
class _Access:
    """Memory that a nest reads, writes or reduces into, and its strides over the axes."""

    base: Value
    strides: tuple[int, ...]
    dtype: DType
    node: int = -1  # what is stored there
    operand: Any = None  # of a reduction: what it reduces


@attrs.define
class _Nest:
    """One phase as nested loops. `row` is the index of the row, or None where the rows are an axis."""

    w: _Writer
    phase: Phase
    row: Value | None
    axes: Shape = ()
    reads: list[_Access] = attrs.field(factory=list)
    writes: list[_Access] = attrs.field(factory=list)
    sums: list[_Access] = attrs.field(factory=list)
    sources: dict[tuple[int, int], Any] = attrs.field(factory=dict)  # (node, position) -> where it comes from
    values: dict[Any, Value] = attrs.field(factory=dict)
    lanes: int = 1
    _known: dict[Any, int] = attrs.field(factory=dict)

    # What is read and written, and how

    def collect(self) -> None:
        """Find all accesses; then join the axes that they all step through evenly."""
        w, nodes = self.w, self.w.region.nodes
        members = (*self.phase.nodes, *self.phase.reductions)
        self.axes = squeeze(self._own(domain(nodes, members[0])))
        for i in members:
            shape = domain(nodes, i)
            for position, j in enumerate(nodes[i].inputs):
                self.sources[i, position] = self._source(i, j, shape)
        for i in self.phase.nodes:
            if i in w.places and i not in w.stored:  # what is computed again is stored the first time
                w.stored.add(i)
                base, strides = w.at_row(i, self.row)
                strides = _longer(self._own(nodes[i].shape), strides)
                self.writes.append(_Access(base, strides, nodes[i].dtype, i))
        for i in self.phase.reductions:
            self.sums.append(self._sum(i))
        every = (*self.reads, *self.writes, *self.sums)
        self.axes, found = join_axes(self.axes, [access.strides for access in every])
        for access, own in zip(every, found, strict=True):
            access.strides = own
        sizes = {nodes[i].dtype.itemsize for i in members} - {1}
        size = 4 if 4 in sizes or not sizes else 8
        self.lanes = min(w.target.lanes(size), power_of_two(self.axes[-1])) if self.axes else 1

    def over(self) -> list[tuple[int, int]]:
        """The results that may lie over operands: an element is read, and then written at the same place."""
        seen: dict[int, list[_Access]] = {}
        for key, k in self._known.items():
            seen.setdefault(key[0], []).append(self.reads[k])
        first = len(self.w.region.operands)
        places = {self.w.plan.same[i]: first + k for k, (i, _) in enumerate(self.w.region.outputs)}
        return [
            (places[write.node], operand)
            for write in self.writes
            for operand, reads in seen.items()
            if all(r.strides == write.strides and r.dtype.itemsize == write.dtype.itemsize for r in reads)
        ]

    def _own(self, shape: Shape) -> Shape:
        """The axes of a shape that the nest goes over."""
        return shape if self.row is None else shape[1:]

    def _sum(self, i: int) -> _Access:
        w, node = self.w, self.w.region.nodes[i]
        source = self.sources[i, 0]
        shape = domain(w.region.nodes, i)
        if i not in w.places:
            return _Access(integer(0), (0,) * len(self.axes), node.dtype, i, source)
        base, strides = w.at_row(i, self.row)
        if self.row is not None and not is_tail(node):
            what: Any = attrs.evolve(node.what, axes=tuple(a - 1 for a in node.what.axes))  # type: ignore[union-attr, misc]
            own = _over(what, shape[1:], strides)
        else:
            own = _over(node.what, shape, strides)
            own = own if self.row is None else own[1:]
        return _Access(base, _longer(self._own(shape), own), node.dtype, i, source)

    def _source(self, i: int, j: int, shape: Shape) -> Any:
        """Where node i finds its operand j: a number, a value of this nest or of the row, or memory to read."""
        w, nodes = self.w, self.w.region.nodes
        root = w.plan.same[j]
        node = nodes[root]
        if isinstance(node.what, Number):
            return node.what
        moved = isinstance(nodes[i].what, Reshape)  # one that changes the axes: it reads the same order anew
        if isinstance(node.what, Read):
            k = node.what.operand
            if k in w.numbers:
                return w.numbers[k]
            operand = w.region.operands[k]
            own = _restride(operand.shape, operand.strides, nodes[j].shape)
            strides = (
                (own[0], *contiguous(shape[1:])) if moved else broadcast_strides(nodes[j].shape, own, shape)
            )
            base = w.pointers[k]
            if self.row is not None:
                base = address(w.b, base, [self.row], [strides[0]], operand.dtype)
                strides = strides[1:]
            return self._read((k, strides, moved), base, _longer(self._own(shape), strides), operand.dtype)
        if root in self.phase.nodes and not moved:
            return root
        if root in w.scalars:
            return w.scalars[root]
        base, given = w.at_row(root, self.row)
        within = _restride(node.shape[1:], given, nodes[j].shape[1:]) if not moved else ()
        strides = contiguous(shape[1:]) if moved else broadcast_strides(nodes[j].shape[1:], within, shape[1:])
        return self._read((~root, strides, moved), base, _longer(shape[1:], strides), node.dtype)

    def _read(self, key: Any, base: Value, strides: tuple[int, ...], dtype: DType) -> tuple[str, int]:
        if key not in self._known:
            self._known[key] = len(self.reads)
            self.reads.append(_Access(base, strides, dtype))
        return "read", self._known[key]

    # The loops

    def run(self, start: Value, stop: Value) -> None:
        """Write the nest, over `start` to `stop` of its first axis."""
        b, depth = self.w.b, len(self.axes)
        self._splat_numbers()
        at: list[Value] = []
        opened: list[tuple[Any, list[_Access], list[Value]]] = []
        self._load(0, at, None)
        for level in range(depth - 1):
            entering = [s for s in self.sums if self._register(s) == level]
            held = [s for _, sums, _ in opened for s in sums]
            first = [*(self.values["sum", s.node] for s in held), *(self._neutral(s) for s in entering)]
            low, high = (start, stop) if level == 0 else (integer(0), integer(self.axes[level]))
            loop = b.begin_loop(low, high, 1, first)
            for s, value in zip((*held, *entering), loop.carried, strict=True):
                self.values["sum", s.node] = value
            opened.append((loop, entering, []))
            at.append(loop.index)
            self._load(level + 1, at, None)
        self._innermost(at, start if depth == 1 else integer(0), stop if depth == 1 else None)
        for level in range(depth - 2, -1, -1):
            loop, entering, _ = opened[level]
            held = [s for _, sums, _ in opened[: level + 1] for s in sums]
            done = b.end_loop(loop, [self.values["sum", s.node] for s in held])
            for s, value in zip(held, done, strict=True):
                self.values["sum", s.node] = value
            for s in entering:
                self._finish(s, at[:level])

    def _register(self, s: _Access) -> int:
        """The loop before which a sum's register is set, and after which it is done; the depth for none."""
        level = len(self.axes)
        while level > 0 and s.strides[level - 1] == 0:
            level -= 1
        return level

    def _neutral(self, s: _Access) -> Value:
        node = self.w.region.nodes[s.node]
        _, neutral = reducing(node.what)
        return constant(register_type(node.dtype, self.lanes), neutral(node.dtype))

    def _splat_numbers(self) -> None:
        b = self.w.b
        for (i, position), source in self.sources.items():
            if isinstance(source, Number):
                j = self.w.region.nodes[i].inputs[position]
                dtype = self.w.region.nodes[self.w.plan.same[j]].dtype
                self.values["at", i, position] = constant(register_type(dtype, self.lanes), source.value)
            elif isinstance(source, Value):
                if ("splat", source) not in self.values:
                    self.values["splat", source] = b.splat(source, self.lanes)
                self.values["at", i, position] = self.values["splat", source]

    def _load(self, level: int, at: list[Value], mask: Value | None) -> None:
        """Read what changes with the last of the loops that are open, and with no further one."""
        b, depth = self.w.b, len(self.axes)
        for k, read in enumerate(self.reads):
            deepest = max((d + 1 for d in range(depth) if read.strides[d]), default=0)
            if deepest != level:
                continue
            where = address(b, read.base, at, read.strides[: len(at)], read.dtype)
            if level < depth or not depth:
                value = b.splat(load(b, read.dtype, where, 1, None), self.lanes)
            elif read.strides[-1] == 1:
                value = load(b, read.dtype, where, self.lanes, mask)
            else:
                value = gather(b, read.dtype, where, read.strides[-1], self.lanes, mask)
            self.values["read", k] = value

    def _innermost(self, at: list[Value], start: Value, stop: Value | None) -> None:
        lanes = self.lanes
        if not self.axes:
            self._body(at, None)
            return
        size = self.axes[-1]
        stop = stop if stop is not None else integer(size)
        level = len(self.axes) - 1
        entering = [s for s in self.sums if self._register(s) == level]
        held = [s for s in self.sums if self._register(s) < level]
        carried = [*held, *entering]
        values = [*(self.values["sum", s.node] for s in held), *(self._neutral(s) for s in entering)]
        whole = start.text == "0" and stop.text == str(size)
        if whole and size <= lanes:
            for s, value in zip(carried, values, strict=True):
                self.values["sum", s.node] = value
            self._load(level + 1, [*at, integer(0)], first_lanes(size, lanes))
            self._body([*at, integer(0)], first_lanes(size, lanes))
        else:
            self._vectors(at, start, stop, carried, values)
        for s in entering:
            self._finish(s, at)

    def _vectors(
        self, at: list[Value], start: Value, stop: Value, carried: list[_Access], values: list[Value]
    ) -> None:
        """The innermost loop; a long sum of floats in runs, whose totals are summed up."""
        b, size, lanes = self.w.b, self.axes[-1], self.lanes
        nodes = self.w.region.nodes
        floats = any(isinstance(nodes[s.node].what, Sum) and s.dtype.kind == "f" for s in carried)
        runs = floats and size // self.w.chunks > 2 * _RUN * lanes
        if runs:
            outer = b.begin_loop(start, stop, _RUN * lanes, values)
            totals = outer.carried
            start, end = outer.index, b.binary("smin", b.add(outer.index, integer(_RUN * lanes)), stop)
            values = [self._neutral(s) for s in carried]
        loop = b.begin_loop(start, end if runs else stop, lanes, values)
        for s, value in zip(carried, loop.carried, strict=True):
            self.values["sum", s.node] = value
        mask = None if size % lanes == 0 else b.below(b.sub(integer(size), loop.index), lanes)
        self._load(len(self.axes), [*at, loop.index], mask)
        self._body([*at, loop.index], mask)
        done = b.end_loop(loop, [self.values["sum", s.node] for s in carried])
        if runs:
            joined = [
                reducing(nodes[s.node].what)[0](b, total, run)
                for s, total, run in zip(carried, totals, done, strict=True)
            ]
            done = b.end_loop(outer, joined)
        for s, value in zip(carried, done, strict=True):
            self.values["sum", s.node] = value

    def _body(self, at: list[Value], mask: Value | None) -> None:
        """What is done for one vector of numbers."""
        w, b, nodes = self.w, self.w.b, self.w.region.nodes
        writes = {access.node: access for access in self.writes}
        for i in self.phase.nodes:
            operands = [self._value(i, position) for position in range(len(nodes[i].inputs))]
            value = self.values[i] = compute(b, nodes[i].what, operands)
            if i in writes:
                access = writes[i]
                where = address(b, access.base, at, access.strides, access.dtype)
                store(b, value, where, access.strides[-1] if access.strides else 1, mask)
            if not self.axes:
                w.scalars[i] = value
        for s in self.sums:
            join, neutral = reducing(nodes[s.node].what)
            value = self._value(s.node, 0)
            if self._register(s) < len(self.axes):
                if mask is not None:
                    value = b.select(mask, value, constant(value.type, neutral(s.dtype)))
                self.values["sum", s.node] = join(b, self.values["sum", s.node], value)
            else:
                self._into(s, at, value, mask)

    def _value(self, i: int, position: int) -> Value:
        found = self.values.get(("at", i, position))
        return found if found is not None else self.values[self.sources[i, position]]

    def _into(self, s: _Access, at: list[Value], value: Value, mask: Value | None) -> None:
        """A value, or a sum that is done, to its place in memory."""
        b, what = self.w.b, self.w.region.nodes[s.node].what
        where = address(b, s.base, at, s.strides[: len(at)], s.dtype)
        stride = s.strides[-1] if value.type.lanes > 1 else 1
        if self.w.grows(s.node):
            lanes = value.type.lanes
            old = (
                load(b, s.dtype, where, lanes, mask)
                if stride == 1
                else gather(b, s.dtype, where, stride, lanes, mask)
            )
            value = reducing(what)[0](b, old, value)
        store(b, value, where, stride, mask)

    def _finish(self, s: _Access, at: list[Value]) -> None:
        """A sum whose register is done: one number."""
        join, _ = reducing(self.w.region.nodes[s.node].what)
        value = horizontal(self.w.b, join, self.values["sum", s.node])
        if self.row is not None and not at and not is_tail(self.w.region.nodes[s.node]):
            self.w.scalars[s.node] = value
        if s.node in self.w.places:
            self._into(s, at, value, None)


def _over(what: Any, shape: Shape, strides: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a reduction's result over the axes of its operand: 0 where it reduces."""
    given = iter(strides)
    made = []
    for axis in range(len(shape)):
        if axis not in what.axes:
            made.append(next(given))
            continue
        made.append(0)
        if what.keepdims:
            next(given)
    return tuple(made)


def _cost(what: Any, dtype: DType) -> float:
    """About how many nanoseconds an element takes."""
    wide = dtype.itemsize / 4
    return (
        wide * (0.05 + 0.03 * min(12, getattr(what, "cost", 1)))
        if isinstance(what, Elementwise)
        else 0.08 * wide
    )


def _restride(shape: Shape, strides: tuple[int, ...], to: Shape) -> tuple[int, ...]:
    """The strides of the same elements in a shape with other axes of size 1."""
    if shape == to:
        return strides
    longer = iter(_longer(shape, strides))
    return tuple(0 if size == 1 else next(longer) for size in to)


def _longer(shape: Shape, strides: Sequence[int]) -> tuple[int, ...]:
    """The strides of the axes that are longer than 1."""
    return tuple(stride for size, stride in zip(shape, strides, strict=True) if size != 1)


def join_axes(dims: Shape, strides: list[tuple[int, ...]]) -> tuple[Shape, list[tuple[int, ...]]]:
    """The axes of a nest, neighbours joined where all accesses step through both evenly, and their strides."""
    sizes = list(dims)
    given = [list(s) for s in strides]
    for i in range(len(sizes) - 2, -1, -1):
        if all(s[i] == s[i + 1] * sizes[i + 1] for s in given):
            sizes[i : i + 2] = [sizes[i] * sizes[i + 1]]
            for s in given:
                s[i : i + 2] = [s[i + 1]]
    return tuple(sizes), [tuple(s) for s in given]


def lanes_of(dims: Shape, dtype: DType, target: Target) -> int:
    """The vector length for a nest whose innermost axis is the last of `dims`."""
    size = 4 if dtype.itemsize == 1 else dtype.itemsize
    return min(target.lanes(size), power_of_two(dims[-1])) if dims else 1


def address(b: Builder, base: Value, at: Sequence[Value], strides: Sequence[int], dtype: DType) -> Value:
    """The address of an element."""
    for index, stride in zip(at, strides, strict=True):
        if stride and index.text != "0":
            step = index if stride == 1 else b.mul(index, integer(stride))
            base = b.offset(base, step, dtype.itemsize)
    return base


def loops(b: Builder, dims: Shape, lanes: int, body: Any) -> None:
    """Loops over `dims`, the last in steps of vectors: `body(indices, lanes, mask)` writes what is in them."""
    opened, at = [], []
    for size in dims[:-1]:
        loop = b.begin_loop(integer(0), integer(size), 1)
        opened.append(loop)
        at.append(loop.index)
    if not dims:
        body([], 1, None)
    elif dims[-1] <= lanes:
        body([*at, integer(0)], lanes, first_lanes(dims[-1], lanes))
    else:
        inner = b.begin_loop(integer(0), integer(dims[-1]), lanes)
        mask = None if dims[-1] % lanes == 0 else b.below(b.sub(integer(dims[-1]), inner.index), lanes)
        body([*at, inner.index], lanes, mask)
        b.end_loop(inner)
    for loop in reversed(opened):
        b.end_loop(loop)


def first_lanes(n: int, lanes: int) -> Value | None:
    """The mask of the first n lanes as a constant; None for all."""
    if n == lanes:
        return None
    return Value(f"<{', '.join(f'i1 {int(k < n)}' for k in range(lanes))}>", Type("i1", lanes))


def fill(
    b: Builder, base: Value, shape: Shape, strides: tuple[int, ...], dtype: DType, number: Any, target: Target
) -> None:
    """Loops that set all elements of an array to a number."""
    dims, (given,) = join_axes(squeeze(shape), [_longer(shape, strides)])

    def body(at: list[Value], lanes: int, mask: Value | None) -> None:
        value = constant(register_type(dtype, lanes), number)
        store(b, value, address(b, base, at, given, dtype), given[-1] if given else 1, mask)

    loops(b, dims, lanes_of(dims, dtype, target), body)
