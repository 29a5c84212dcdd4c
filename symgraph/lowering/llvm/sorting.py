"""The order of the elements along an axis: of short rows by counting, of long ones by a radix sort.

Elements become unsigned keys in whose order they stand, NaN last. In a short row each counts those before it: no branch
depends on the data. In a long one records of key and index go from one buffer to another and back, a byte of the key
at a time, the lowest first (Knuth, TAOCP 3, section 5.2.5, algorithm R); bytes that all keys share take no turn.
"""

from functools import lru_cache, partial
from typing import Any

import attrs

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.emit import I32, I64, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.region import Shape, count
from symgraph.lowering.llvm.sweeps import Cursor, Pointers, fitting, pieces, raw, share, step, sweep
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import join_axes
from symgraph.lowering.plan import concrete
from symgraph.types import INT64, DType

_SHORT = 96  # elements up to which counting is quicker
_BINS = 256


@attrs.frozen(cache_hash=True)
class Order:
    """For each place of `dims` the order of `size` elements; strides over `dims` and, last, along the axis."""

    dims: Shape
    size: int
    strides: tuple[int, ...]
    results: tuple[int, ...]
    dtype: DType
    descending: bool

    @property
    def key(self) -> Type:
        """Keys: unsigned, of the elements' width."""
        return I64 if self.dtype.itemsize == 8 else I32

    @property
    def record(self) -> Type:
        """A key above its index, or beside it."""
        return I64 if self.key == I32 and self.size < 2**31 else Type("i64", 2)


def argsort(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The indices that sort an operand."""
    (x,) = operands
    op: Any = node.op
    axis, shape = op.axis, concrete(node.type.shape)
    out: Tensor = planner.array(shape, INT64, node.id, op.name)
    others = [a for a, n in enumerate(shape) if a != axis and n != 1]
    dims, every = join_axes(
        tuple(shape[a] for a in others), [tuple(t.strides[a] for a in others) for t in (x, out)]
    )
    strides, results = ((*s, t.strides[axis]) for s, t in zip(every, (x, out), strict=True))
    kernel = write_order(Order(dims, shape[axis], strides, results, x.dtype, op.descending), planner.target)
    planner.call(kernel, [x], [out], node.id, planner.scratch(kernel.scratch, node.id))
    return out


@lru_cache(1024)
def write_order(order: Order, target: Target) -> Kernel:
    """The kernel: its arguments are the operand, the result and room for keys."""
    b, dims = Builder(), order.dims
    x, out, room = open_kernel(b, 3)
    short = order.size <= _SHORT
    turns = order.size / 10 if short else 4 * order.key.bits // 8
    chunks = pieces(count(dims) * order.size * turns, dims[0]) if dims else 1
    span = share(b, dims[0], chunks) if dims else (integer(0), integer(1))
    lanes = fitting(order.size, target.lanes(order.key.bits // 8))
    scratch = _room(order, lanes)
    if chunks > 1:
        room = b.offset(room, b.mul(Value("%chunk", I64), integer(scratch)))
    cursors = [Cursor(x, order.strides[:-1], order.dtype), Cursor(out, order.results[:-1], INT64)]

    def body(pointers: Pointers, n: int) -> None:
        source, result = pointers
        if short:
            _count(b, order, source, result, room, lanes)
        else:
            _radix(b, order, source, result, room)

    sweep(b, dims, 1, span, cursors, body)
    return close(b, chunks, scratch * chunks)


def _room(order: Order, lanes: int) -> int:
    """The bytes that a row needs."""
    if order.size <= _SHORT:
        needed = -(-order.size // lanes) * lanes * order.key.bits // 8
    else:
        needed = 2 * order.size * _width(order.record) + _counters(order)
    return -(-needed // 64) * 64


def _width(type_: Type) -> int:
    return type_.lanes * type_.bits // 8


def _counters(order: Order) -> int:
    return order.key.bits // 8 * _BINS * 8


def _key(b: Builder, order: Order, base: Value, index: Value) -> Value:
    """The key of an element."""
    value = raw(b, order.dtype, step(b, base, index, order.strides[-1], order.dtype), 1, 1)
    type_ = order.key
    if order.dtype.kind == "b":
        key = b.cast("zext", value, type_)
    else:
        sign = constant(type_, 1 << (type_.bits - 1))
        if order.dtype.kind == "i":
            key = b.bits("xor", value, sign)
        else:
            zero = constant(type_, 0)
            bits = b.select(b.compare("eq", value, constant(value.type, 0)), zero, b.as_int(value))
            key = b.bits("xor", bits, b.select(b.compare("lt", bits, zero), constant(type_, -1), sign))
            key = b.select(b.is_nan(value), constant(type_, -1), key)
    return b.not_(key) if order.descending else key


# Short rows


def _count(b: Builder, order: Order, x: Value, out: Value, keys: Value, lanes: int) -> None:
    """An element's place is the number of those that are smaller, or equal and before it."""
    size, itemsize = order.size, order.key.bits // 8
    filling = b.begin_loop(integer(0), integer(size), 1)
    b.store(_key(b, order, x, filling.index), b.offset(keys, filling.index, itemsize))
    b.end_loop(filling)
    if size % lanes:  # these come after all others, and so before none
        padding = b.begin_loop(integer(size), integer(-(-size // lanes) * lanes), 1)
        b.store(constant(order.key, -1), b.offset(keys, padding.index, itemsize))
        b.end_loop(padding)
    type_ = Type(order.key.name, lanes)
    rows = b.begin_loop(integer(0), integer(size), 1)
    own = b.splat(b.load(order.key, b.offset(keys, rows.index, itemsize)), lanes)
    row = b.splat(_narrow(b, rows.index, order.key), lanes)
    others = b.begin_loop(integer(0), integer(size), lanes, [constant(type_, 0)])
    other = b.load(type_, b.offset(keys, others.index, itemsize))
    column = b.add(b.splat(_narrow(b, others.index, order.key), lanes), b.iota(type_.name, lanes))
    same = b.bits("and", b.compare("eq", other, own), b.compare("lt", column, row))
    before = b.bits("or", b.compare("ult", other, own), same)
    (total,) = b.end_loop(others, [b.add(others.carried[0], b.cast("zext", before, type_))])
    place = total if lanes == 1 else b.call(order.key, f"llvm.vector.reduce.add.{type_.mangled}", total)
    place = place if order.key == I64 else b.cast("zext", place, I64)
    b.store(rows.index, step(b, out, place, order.results[-1], INT64))
    b.end_loop(rows)


def _narrow(b: Builder, index: Value, type_: Type) -> Value:
    return index if type_ == I64 else b.cast("trunc", index, type_)


# Long rows


def _radix(b: Builder, order: Order, x: Value, out: Value, room: Value) -> None:
    width = _width(order.record)
    counters = b.offset(room, integer(2 * order.size * width))
    here, there = room, b.offset(room, integer(order.size * width))
    _fill(b, order, x, here, counters)
    for turn in range(order.key.bits // 8):
        bins = b.offset(counters, integer(turn * _BINS * 8))
        first = b.load(I64, b.offset(bins, _digit(b, order, b.load(order.record, here), turn), 8))
        differ = b.compare("ne", first, integer(order.size))
        moved = partial(_turn, b, order, turn, bins, here, there)
        here, there = b.unless(differ, [here, there], moved)
    reading = b.begin_loop(integer(0), integer(order.size), 1)
    record = b.load(order.record, b.offset(here, reading.index, width))
    index = b.extract(record, 1) if order.record.lanes == 2 else b.bits("and", record, integer(0xFFFFFFFF))
    b.store(index, step(b, out, reading.index, order.results[-1], INT64))
    b.end_loop(reading)


def _fill(b: Builder, order: Order, x: Value, records: Value, counters: Value) -> None:
    """Write the records, and count how often each byte occurs at each place of the keys."""
    clearing = b.begin_loop(integer(0), integer(_counters(order) // 64), 1)
    b.store(constant(Type("i64", 8), 0), b.offset(counters, b.mul(clearing.index, integer(64))))
    b.end_loop(clearing)
    filling = b.begin_loop(integer(0), integer(order.size), 1)
    key = _key(b, order, x, filling.index)
    wide = key if key.type == I64 else b.cast("zext", key, I64)
    if order.record.lanes == 2:
        pair = constant(order.record, 0)
        for lane, value in enumerate((wide, filling.index)):
            pair = b.emit(order.record, f"insertelement {pair}, {value}, i64 {lane}")
    else:
        pair = b.bits("or", b.bits("shl", wide, integer(32)), filling.index)
    b.store(pair, b.offset(records, filling.index, _width(order.record)))
    for turn in range(order.key.bits // 8):
        place = b.offset(b.offset(counters, integer(turn * _BINS * 8)), _digit(b, order, pair, turn), 8)
        b.store(b.add(b.load(I64, place), integer(1)), place)
    b.end_loop(filling)


def _digit(b: Builder, order: Order, record: Value, turn: int) -> Value:
    key, shift = b.extract(record, 0), 8 * turn
    if order.record.lanes == 1:
        shift += 32
    return b.bits("and", b.bits("lshr", key, integer(shift)), integer(_BINS - 1))


def _turn(b: Builder, order: Order, turn: int, bins: Value, here: Value, there: Value) -> list[Value]:
    """Move the records to where their byte's group goes; returns the buffers, exchanged."""
    width = _width(order.record)
    summing = b.begin_loop(integer(0), integer(_BINS), 1, [integer(0)])
    place = b.offset(bins, summing.index, 8)
    found = b.load(I64, place)
    b.store(summing.carried[0], place)
    b.end_loop(summing, [b.add(summing.carried[0], found)])
    moving = b.begin_loop(integer(0), integer(order.size), 1)
    record = b.load(order.record, b.offset(here, moving.index, width))
    place = b.offset(bins, _digit(b, order, record, turn), 8)
    target = b.load(I64, place)
    b.store(b.add(target, integer(1)), place)
    b.store(record, b.offset(there, target, width))
    b.end_loop(moving)
    return [there, here]
