"""Vectors and memory: loads and stores of any stride, loops over axes, sums over lanes."""

from collections.abc import Sequence
from typing import Any

from symgraph.lowering.llvm.emit import I8, I64, PTR, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.region import (
    Shape,
    longer,
    memory_type,
    register_type,
    squeeze,
)
from symgraph.lowering.llvm.target import Target
from symgraph.types import DType


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


def counted(first: int, dtype: DType) -> Value:
    """The address where elements would begin that are the numbers of their places, from `first` on."""
    return Value(f"inttoptr (i64 {first * dtype.itemsize} to ptr)", PTR)


def place(b: Builder, dtype: DType, address: Value, stride: int, lanes: int) -> Value:
    """The numbers of the places of such elements, `stride` apart."""
    number = b.bits("lshr", b.cast("ptrtoint", address, I64), integer(dtype.itemsize.bit_length() - 1))
    type_ = register_type(dtype, lanes)
    first = b.splat(b.cast("trunc", number, register_type(dtype)), lanes)
    if lanes == 1 or stride == 0:
        return first
    return b.add(first, b.mul(b.iota(type_.name, lanes), constant(type_, stride)))


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
    dims, (given,) = join_axes(squeeze(shape), [longer(shape, strides)])

    def body(at: list[Value], lanes: int, mask: Value | None) -> None:
        value = constant(register_type(dtype, lanes), number)
        store(b, value, address(b, base, at, given, dtype), given[-1] if given else 1, mask)

    loops(b, dims, lanes_of(dims, dtype, target), body)
