"""Indexing by tensors: one kernel looks elements or rows up, one adds to them.

Both are a nest over the axes of what is taken: of Take the axes of x around those of the indices, of Gather those
of the indices. An operand that an axis does not move has stride 0 there. Indices are checked before anything is read.
"""

from functools import lru_cache
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.checks import in_range
from symgraph.lowering.llvm.emit import Builder, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.region import Inner, Number, Shape, count, memory_type, number_of
from symgraph.lowering.llvm.sweeps import (
    Cursor,
    Pointers,
    fitting,
    gathered_lanes,
    index_at,
    pieces,
    raw,
    read_at,
    scattered,
    share,
    step,
    sweep,
    vector_lanes,
    write_at,
)
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import join_axes
from symgraph.ops.indexing import Gather, ScatterAdd, ScatterAddAlong, Take
from symgraph.ops.shape import BroadcastTo
from symgraph.types import DType

_AT_A_TIME = 4  # elements looked up in one turn of a loop
_LINE = 64  # bytes: two pieces that add do not write into one line of the cache


@attrs.frozen(cache_hash=True)
class Lookup:
    """The strides over `dims` of the table but for its own axis, of the indices and of the values; the table has
    `size` elements along its own axis, `step` apart.
    """

    dims: Shape
    table: tuple[int, ...]
    indices: tuple[int, ...]
    values: tuple[int, ...]
    step: int
    size: int
    dtype: DType
    index_dtype: DType

    @property
    def depth(self) -> int:
        """How many loops are open when the index is known."""
        return max((axis + 1 for axis, stride in enumerate(self.indices) if stride), default=0)


def take(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Whole slices of a tensor."""
    x, indices = operands
    assert isinstance(node.op, Take)
    return _look_up(planner, node, operands, _around(x, indices, node.op.axis))


def gather(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """One element for each index."""
    x, indices = operands
    assert isinstance(node.op, Gather)
    return _look_up(planner, node, operands, _along(x, indices, node.op.axis))


def scatter_add(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Slices added to a copy of a tensor."""
    _, indices, _ = operands
    assert isinstance(node.op, ScatterAdd)
    out = _start(planner, node, operands, node.op.axis)
    return _add(planner, node, operands, out, _around(out, indices, node.op.axis))


def scatter_add_along(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """One element for each index added to a copy of a tensor."""
    _, indices, _ = operands
    assert isinstance(node.op, ScatterAddAlong)
    out = _start(planner, node, operands, node.op.axis)
    return _add(planner, node, operands, out, _along(out, indices, node.op.axis))


# The axes of the nest: their sizes, and the table's and the indices' strides

Axes = tuple[Shape, tuple[int, ...], tuple[int, ...], int]


def _around(x: Tensor, indices: Tensor, axis: int) -> Axes:
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    dims = (*before, *indices.shape, *after)
    table = (*x.strides[:axis], *(0 for _ in indices.shape), *x.strides[axis + 1 :])
    return dims, table, (*(0 for _ in before), *indices.strides, *(0 for _ in after)), axis


def _along(x: Tensor, indices: Tensor, axis: int) -> Axes:
    table = tuple(0 if a == axis else s for a, s in enumerate(x.strides))
    return indices.shape, table, indices.strides, axis


def _spec(table: Tensor, indices: Tensor, axes: Axes, values: tuple[int, ...]) -> Lookup:
    shape, moves, chosen, axis = axes
    longer = [a for a, size in enumerate(shape) if size != 1]
    every = [tuple(strides[a] for a in longer) for strides in (moves, chosen, values)]
    dims, (moves, chosen, values) = join_axes(tuple(shape[a] for a in longer), every)
    step_, size = table.strides[axis], table.shape[axis]
    return Lookup(dims, moves, chosen, values, step_, size, table.dtype, indices.dtype)


def _look_up(planner: Any, node: Node, operands: list[Tensor], axes: Axes) -> Tensor:
    x, indices = operands
    in_range(planner, node, operands, x.shape[axes[3]])
    out: Tensor = planner.array(axes[0], x.dtype, node.id, node.op.name)
    kernel = write_lookup(_spec(x, indices, axes, out.strides), planner.target)
    planner.call(kernel, operands, [out], node.id, planner.scratch(0, node.id))
    return out


def _start(planner: Any, node: Node, operands: list[Tensor], axis: int) -> Tensor:
    """What is added to once the indices are checked, in memory of its own: a copy, or, mostly, zeros."""
    x = operands[0]
    in_range(planner, node, operands, x.shape[axis])
    out: Tensor = planner.array(x.shape, x.dtype, node.id, node.op.name)
    given = planner.known.get(node.inputs[0])
    if given is not None and not given.any() and not np.signbit(given).any():
        filled(planner, number_of(np.zeros((), x.dtype)), out, node.id)
    else:
        planner.copy(x, out, node.id)
    return out


def filled(planner: Any, number: Number, out: Tensor, node: int) -> None:
    """Set every element to a number."""
    nodes = [
        Inner(number, (), out.shape, out.dtype),
        Inner(BroadcastTo(out.shape), (0,), out.shape, out.dtype),
    ]
    planner.region(nodes, [], [1], node, [out])


def _add(planner: Any, node: Node, operands: list[Tensor], out: Tensor, axes: Axes) -> Tensor:
    _, indices, updates = operands
    kernel = write_add(_spec(out, indices, axes, updates.strides), planner.target)
    planner.call(kernel, [updates, indices], [out], node.id, planner.scratch(0, node.id))
    return out


@lru_cache(1024)
def write_lookup(spec: Lookup, target: Target) -> Kernel:
    """The kernel: its arguments are the table, the indices and the values."""
    b, dims, dtype = Builder(), spec.dims, spec.dtype
    table, indices, values = open_kernel(b, 3)
    single = spec.depth == len(dims)
    # One by one, some at a time, is as quick as to gather vectors, and quicker where a gather is microcode.
    lanes = fitting(dims[-1], _AT_A_TIME) if single and dims else 1
    if not single:
        lanes = (vector_lanes if spec.table[-1] == 1 else gathered_lanes)(dims, dtype, target)
        lanes *= 4 if spec.table[-1] == 1 and dims[-1] >= 16 * lanes else 1
    cost = count(dims) * dtype.itemsize / 4 * (0.6 if single else 0.15)
    chunks = pieces(cost, dims[0] // (lanes if len(dims) == 1 else 1)) if dims else 1

    def enter(depth: int, pointers: Pointers) -> None:
        if depth == spec.depth and not single:
            index = index_at(b, spec.index_dtype, pointers[1], 1, 1, spec.size)
            pointers[0] = step(b, pointers[0], index, spec.step, dtype)

    def body(pointers: Pointers, n: int) -> None:
        where, chosen, out = pointers
        if not single:
            b.store(raw(b, dtype, where, spec.table[-1], n), out)
            return
        move, stride = (spec.table[-1], spec.indices[-1]) if dims else (0, 0)
        for k in map(integer, range(n)):
            here, index = step(b, where, k, move, dtype), step(b, chosen, k, stride, spec.index_dtype)
            value = b.load(memory_type(dtype), _places(b, spec, here, index, 0, 1, 1))
            b.store(value, step(b, out, k, 1, dtype))

    span = share(b, dims[0], chunks) if dims else (integer(0), integer(1))
    cursors = [
        Cursor(table, spec.table, dtype),
        Cursor(indices, spec.indices, spec.index_dtype),
        Cursor(values, spec.values, dtype),
    ]
    sweep(b, dims, lanes, span, cursors, body, enter)
    return close(b, chunks)


def _places(
    b: Builder, spec: Lookup, base: Value, chosen: Value, move: int, stride: int, lanes: int
) -> Value:
    """The addresses of the elements that neighbouring indices name."""
    index = index_at(b, spec.index_dtype, chosen, stride, lanes, spec.size)
    if spec.step != 1:
        index = b.mul(index, constant(index.type, spec.step))
    if lanes > 1 and move:
        index = b.add(index, b.mul(b.iota("i64", lanes), constant(index.type, move)))
    return scattered(b, spec.dtype, base, index)


@lru_cache(1024)
def write_add(spec: Lookup, target: Target) -> Kernel:
    """The kernel: its arguments are the values, the indices and the table, to which it adds in the indices' order.

    Lanes and pieces never share a place: they go along an axis that moves the table whatever the index.
    """
    b, dims, dtype = Builder(), spec.dims, spec.dtype
    values, indices, table = open_kernel(b, 3)
    if len(dims) > 1 and spec.depth < len(dims) and spec.table[-1] == 1 and not spec.table[0]:
        return _add_columns(b, spec, target, values, indices, table)
    chunks = 1
    if dims and spec.table[0]:
        chunks = pieces(
            count(dims) * dtype.itemsize / 4 * 0.5, dims[0] * abs(spec.table[0]) * dtype.itemsize // _LINE
        )
        chunks = min(chunks, dims[0])
    span = share(b, dims[0], chunks) if dims else (integer(0), integer(1))
    _add_nest(b, spec, target, span, values, indices, table)
    return close(b, chunks)


def _add_columns(
    b: Builder, spec: Lookup, target: Target, values: Value, indices: Value, table: Value
) -> Kernel:
    """Rows that are added to rows: a piece has some of the columns."""
    size, dtype = spec.dims[-1], spec.dtype
    unit = _LINE // dtype.itemsize
    chunks = pieces(count(spec.dims) * dtype.itemsize / 4 * 0.2, size // unit)
    low, high = share(b, size, chunks, unit)
    outer = attrs.evolve(
        spec, dims=spec.dims[:-1], table=spec.table[:-1], indices=spec.indices[:-1], values=spec.values[:-1]
    )
    lanes = vector_lanes(spec.dims, dtype, target) if spec.values[-1] in (0, 1) else 1

    def row(pointers: Pointers, _: int) -> None:
        index = index_at(b, spec.index_dtype, pointers[1], 1, 1, spec.size)
        to = step(b, pointers[2], index, spec.step, dtype)
        cursors = [Cursor(pointers[0], (spec.values[-1],), dtype), Cursor(to, (spec.table[-1],), dtype)]
        sweep(b, (size,), lanes, (low, high), cursors, one, once=True)

    def one(pointers: Pointers, n: int) -> None:
        x, to = pointers
        b.store(b.add(raw(b, dtype, to, 1, n), raw(b, dtype, x, spec.values[-1], n)), to)

    cursors = [
        Cursor(values, outer.values, dtype),
        Cursor(indices, outer.indices, spec.index_dtype),
        Cursor(table, outer.table, dtype),
    ]
    sweep(b, outer.dims, 1, (integer(0), integer(outer.dims[0])), cursors, row)
    return close(b, chunks)


def _add_nest(
    b: Builder,
    spec: Lookup,
    target: Target,
    span: tuple[Value, Value],
    values: Value,
    indices: Value,
    table: Value,
) -> None:
    dims, dtype = spec.dims, spec.dtype
    single = spec.depth == len(dims)
    lanes = 1
    if dims and single and spec.table[-1] and target.width >= 64:  # narrower machines do not scatter
        lanes = gathered_lanes(dims, dtype, target)
    elif dims and not single and spec.table[-1] == 1 and spec.values[-1] in (0, 1):
        lanes = vector_lanes(dims, dtype, target)

    def enter(depth: int, pointers: Pointers) -> None:
        if depth == spec.depth and not single:
            index = index_at(b, spec.index_dtype, pointers[1], 1, 1, spec.size)
            pointers[2] = step(b, pointers[2], index, spec.step, dtype)

    def body(pointers: Pointers, n: int) -> None:
        x, chosen, to = pointers
        value = raw(b, dtype, x, spec.values[-1] if dims else 1, n)
        if single:
            moves = (spec.table[-1], spec.indices[-1]) if dims else (0, 1)
            places = _places(b, spec, to, chosen, *moves, n)
            write_at(b, b.add(read_at(b, dtype, places), value), places)
        else:
            b.store(b.add(raw(b, dtype, to, 1, n), value), to)

    cursors = [
        Cursor(values, spec.values, dtype),
        Cursor(indices, spec.indices, spec.index_dtype),
        Cursor(table, spec.table, dtype),
    ]
    sweep(b, dims, lanes, span, cursors, body, enter, once=True)
