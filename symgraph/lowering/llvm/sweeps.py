"""Loops of the kernels that move elements or run along an axis, and how such a kernel is cut into pieces.

    sweep : axes, cursors, body -> nested loops, the innermost over vectors; a cursor is an address that follows

No masks: where vectors do not fill an axis the last one reaches back over elements that were done before, or, where
none may be done twice, the rest is done one by one. So the same code suits machines without masked loads.
"""

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from symgraph.lowering.llvm.emit import I64, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.matmul.spans import known, lesser, loop, minus, plus, times
from symgraph.lowering.llvm.region import Shape, memory_type
from symgraph.lowering.llvm.target import Target
from symgraph.types import DType

CHUNKS = 8
CHUNK_COST = 8e3  # nanoseconds that a piece should be worth at least


@attrs.frozen
class Cursor:
    """An address and its strides, in elements, over the axes of a sweep."""

    base: Value
    strides: tuple[int, ...]
    dtype: DType


Pointers = list[Value]
Body = Callable[[Pointers, int], None]
Enter = Callable[[int, Pointers], None]


def pieces(nanoseconds: float, most: int) -> int:
    """In how many pieces some work is cut, when `most` are possible: a matter of sizes alone."""
    return max(1, min(CHUNKS, int(nanoseconds / CHUNK_COST), most))


def share(b: Builder, size: int, chunks: int, unit: int = 1) -> tuple[Value, Value]:
    """The piece's part of an axis, in whole units but for the last."""
    if chunks == 1:
        return integer(0), integer(size)
    chunk, units = Value("%chunk", I64), -(-size // unit)
    low, high = (
        times(b, b.div(times(b, c, units), integer(chunks)), unit) for c in (chunk, plus(b, chunk, 1))
    )
    return low, high if size % unit == 0 else lesser(b, high, integer(size))


def fitting(size: int, most: int) -> int:
    """The largest power of two that is neither more than the size nor than `most`."""
    return min(most, 1 << (size.bit_length() - 1))


def vector_lanes(dims: Shape, dtype: DType, target: Target) -> int:
    """The vector length for an innermost axis."""
    return fitting(dims[-1], target.lanes(4 if dtype.itemsize == 1 else dtype.itemsize)) if dims else 1


def gathered_lanes(dims: Shape, dtype: DType, target: Target) -> int:
    """The vector length where addresses are a vector: 1 where the machine would do it one by one."""
    return fitting(dims[-1], target.lanes(8)) if dims and target.width >= 32 and dtype.itemsize > 1 else 1


def sweep(
    b: Builder,
    dims: Shape,
    lanes: int,
    span: tuple[Value, Value],
    cursors: Sequence[Cursor],
    body: Body,
    enter: Enter | None = None,
    once: bool = False,
) -> None:
    """Write loops over `dims`, the first over `span` alone, the last by vectors.

    `body(pointers, lanes)` writes what is done at the cursors' addresses. `enter(depth, pointers)` is called when
    so many loops are open, and may change the addresses. With `once` no element is done twice.
    """
    opened = []
    pointers = [cursor.base for cursor in cursors]
    bounds = [span, *((integer(0), integer(size)) for size in dims[1:])]

    def moved(index: Value, axis: int, from_: Pointers) -> Pointers:
        return [step(b, p, index, c.strides[axis], c.dtype) for p, c in zip(from_, cursors, strict=True)]

    for axis, (low, high) in enumerate(bounds[: len(dims) - 1]):
        if enter is not None:
            enter(axis, pointers)
        opened.append(b.begin_loop(low, high, 1))
        pointers = moved(opened[-1].index, axis, pointers)
    if enter is not None and dims:
        enter(len(dims) - 1, pointers)
    if dims:
        inner = partial(moved, axis=len(dims) - 1, from_=pointers)
        visit(b, *bounds[len(dims) - 1], lanes, lambda i, n: body(inner(i), n), once)
    else:
        body(pointers, 1)
    for done in reversed(opened):
        b.end_loop(done)


def visit(
    b: Builder, low: Value, high: Value, lanes: int, body: Callable[[Value, int], None], once: bool = False
) -> None:
    """One axis by vectors; the range has at least one of them, unless `once`."""
    first, end = known(low), known(high)
    even = first is not None and end is not None and (end - first) % lanes == 0
    if once and not even:
        length = minus(b, high, low)
        rest = (
            integer((end or 0) % lanes) if first == 0 and end is not None else b.rem(length, integer(lanes))
        )
        full = minus(b, high, rest)
        loop(b, low, full, lanes, lambda i: body(i, lanes))
        loop(b, full, high, 1, lambda i: body(i, 1))
    elif even or lanes == 1:
        loop(b, low, high, lanes, lambda i: body(i, lanes))
    else:
        last = plus(b, high, -lanes)
        loop(b, low, high, lanes, lambda i: body(lesser(b, i, last), lanes))


def step(b: Builder, base: Value, index: Value, stride: int, dtype: DType) -> Value:
    """The address `index * stride` elements after another."""
    return b.offset(base, times(b, index, stride), dtype.itemsize) if stride else base


def raw(b: Builder, dtype: DType, base: Value, stride: int, lanes: int) -> Value:
    """Elements as they are in memory, a bool as a byte."""
    if lanes > 1 and stride == 0:
        return b.splat(b.load(memory_type(dtype), base), lanes)
    if lanes == 1 or stride == 1:
        return b.load(memory_type(dtype, lanes), base)
    if stride == -1:
        value = b.load(memory_type(dtype, lanes), b.offset(base, integer(1 - lanes), dtype.itemsize))
        return b.shuffle(value, None, range(lanes - 1, -1, -1))
    if dtype.kind != "b":
        steps = ", ".join(f"i64 {stride * k}" for k in range(lanes))
        return read_at(b, dtype, scattered(b, dtype, base, Value(f"<{steps}>", Type("i64", lanes))))
    value = constant(memory_type(dtype, lanes), 0)
    for lane in range(lanes):
        one = b.load(memory_type(dtype), b.offset(base, integer(lane * stride)))
        value = b.emit(value.type, f"insertelement {value}, {one}, i64 {lane}")
    return value


def scattered(b: Builder, dtype: DType, base: Value, offsets: Value) -> Value:
    """The addresses `offsets` elements after another; one address for one offset."""
    pointers = f"getelementptr {memory_type(dtype)}, {base}, {offsets}"
    return b.emit(Type("ptr", offsets.type.lanes), pointers)


def read_at(b: Builder, dtype: DType, pointers: Value) -> Value:
    """The elements at some addresses."""
    lanes = pointers.type.lanes
    type_ = memory_type(dtype, lanes)
    if lanes == 1:
        return b.load(type_, pointers)
    name, mask = f"llvm.masked.gather.{type_.mangled}.v{lanes}p0", constant(Type("i1", lanes), 1)
    b.intrinsics[name] = f"declare {type_} @{name}({pointers.type}, i32 immarg, {mask.type}, {type_})"
    return b.emit(type_, f"call {type_} @{name}({pointers}, i32 1, {mask}, {type_} zeroinitializer)")


def write_at(b: Builder, value: Value, pointers: Value) -> None:
    """Elements to some addresses, no two of them equal."""
    if pointers.type.lanes == 1:
        b.store(value, pointers)
        return
    lanes = pointers.type.lanes
    name, mask = f"llvm.masked.scatter.{value.type.mangled}.v{lanes}p0", constant(Type("i1", lanes), 1)
    b.intrinsics[name] = f"declare void @{name}({value.type}, {pointers.type}, i32 immarg, {mask.type})"
    b.do(f"call void @{name}({value}, {pointers}, i32 1, {mask})")


def index_at(b: Builder, dtype: DType, base: Value, stride: int, lanes: int, size: int) -> Value:
    """Indices, checked before, counted from the front: i64."""
    index = raw(b, dtype, base, stride, lanes)
    index = index if dtype.itemsize == 8 else b.cast("sext", index, index.type.of("i64"))
    negative = b.compare("lt", index, constant(index.type, 0))
    return b.select(negative, b.add(index, constant(index.type, size)), index)
