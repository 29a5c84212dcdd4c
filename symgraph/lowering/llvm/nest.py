"""One phase of a region as nested loops.

Each number that is read is loaded at the outermost loop where its address is known. The innermost loop works on
vectors, the last of them under a mask. A reduction keeps its accumulator in registers across the loops that it
reduces, as far as those are the innermost, and in memory across the others.
"""

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from symgraph.lowering.llvm.emit import Builder, Value, constant, integer
from symgraph.lowering.llvm.maths.elementwise import EMITTERS
from symgraph.lowering.llvm.region import (
    Number,
    Read,
    Shape,
    broadcast_strides,
    contiguous,
    is_tail,
    longer,
    register_type,
    restride,
    squeeze,
)
from symgraph.lowering.llvm.schedule import Phase, domain
from symgraph.lowering.llvm.vectors import (
    address,
    first_lanes,
    gather,
    horizontal,
    join_axes,
    load,
    place,
    power_of_two,
    store,
)
from symgraph.ops.arithmetic import Maximum, Minimum
from symgraph.ops.reduction import All, Max, Min, Prod, Sum
from symgraph.ops.reduction import Any as AnyOf
from symgraph.ops.shape import BroadcastTo, Reshape
from symgraph.types import DType

if TYPE_CHECKING:
    from symgraph.lowering.llvm.loops import Writer

_RUN = 512  # vectors that one accumulator sums up before it is added to the total


def reducing(what: Any) -> tuple[Any, Any]:
    """How a reduction joins two values, and the value that changes none, as a function of the dtype."""
    match what:
        case Sum():
            return Builder.add, lambda d: 0
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


def compute(b: Builder, what: Any, operands: list[Value]) -> Value:
    """One elementwise node on values."""
    if isinstance(what, BroadcastTo | Reshape):
        return operands[0]
    return EMITTERS[type(what)](b, what, operands)


@attrs.define
class _Access:
    """Memory that a nest reads, writes or reduces into, and its strides over the axes."""

    base: Value
    strides: tuple[int, ...]
    dtype: DType
    node: int = -1  # what is stored there
    operand: Any = None  # of a reduction: what it reduces
    counts: bool = False  # an element is the number of its place, and is not read


@attrs.define
class Nest:
    """One phase as nested loops. `row` is the index of the row, or None where the rows are an axis."""

    w: "Writer"
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
                strides = longer(self._own(nodes[i].shape), strides)
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
            if not self.reads[k].counts:
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
        return _Access(base, longer(self._own(shape), own), node.dtype, i, source)

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
            own = restride(operand.shape, operand.strides, nodes[j].shape)
            strides = (
                (own[0], *contiguous(shape[1:])) if moved else broadcast_strides(nodes[j].shape, own, shape)
            )
            base = w.pointers[k]
            if self.row is not None:
                base = address(w.b, base, [self.row], [strides[0]], operand.dtype)
                strides = strides[1:]
            own = longer(self._own(shape), strides)
            return self._read((k, strides, moved), base, own, operand.dtype, operand.first is not None)
        if root in self.phase.nodes and not moved:
            return root
        if root in w.scalars:
            return w.scalars[root]
        base, given = w.at_row(root, self.row)
        within = restride(node.shape[1:], given, nodes[j].shape[1:]) if not moved else ()
        strides = contiguous(shape[1:]) if moved else broadcast_strides(nodes[j].shape[1:], within, shape[1:])
        return self._read((~root, strides, moved), base, longer(shape[1:], strides), node.dtype)

    def _read(
        self, key: Any, base: Value, strides: tuple[int, ...], dtype: DType, counts: bool = False
    ) -> tuple[str, int]:
        if key not in self._known:
            self._known[key] = len(self.reads)
            self.reads.append(_Access(base, strides, dtype, counts=counts))
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
            if read.counts:
                stride = read.strides[-1] if level == depth and depth else 0
                value = place(b, read.dtype, where, stride, self.lanes)
            elif level < depth or not depth:
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
