"""Running sums, products and recurrences along an axis, element after element in the order of `evaluate`.

Where another axis is the innermost, vectors go along that one. Along the innermost axis a few rows run side by
side; sums and products of one row go by vectors where the order of adding is free: within a vector by doubling
steps, from one to the next by what they come to so far.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import attrs

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.emit import Builder, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.region import Shape, count, memory_type
from symgraph.lowering.llvm.sweeps import Cursor, Pointers, fitting, pieces, raw, share, step, sweep
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import join_axes
from symgraph.types import DType

What: TypeAlias = Literal["sum", "product before", "recurrence"]
_ROWS = 4  # that run side by side


@attrs.frozen(cache_hash=True)
class Scan:
    """A scan of `size` elements for each place of `dims`. Each operand, and last the result, has strides over
    `dims` and, last, along the scan. With `ordered` every bit is that of one element after another.
    """

    what: What
    dims: Shape
    size: int
    strides: tuple[tuple[int, ...], ...]
    dtype: DType
    ordered: bool


def cumsum(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Running sums."""
    return _scan(planner, node, operands, "sum")


def exclusive_cumprod(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Products of what comes before."""
    return _scan(planner, node, operands, "product before")


def recurrence(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """What reaches each element."""
    return _scan(planner, node, operands, "recurrence")


def _scan(planner: Any, node: Node, operands: list[Tensor], what: What) -> Tensor:
    op: Any = node.op
    out: Tensor = planner.array(operands[0].shape, operands[0].dtype, node.id, node.op.name)
    every = [*operands, out]
    along = every
    if op.reverse:
        along = [_from_the_back(t, op.axis) for t in every]
    others = [a for a, n in enumerate(out.shape) if a != op.axis and n != 1]
    dims, joined = join_axes(
        tuple(out.shape[a] for a in others), [tuple(t.strides[a] for a in others) for t in along]
    )
    strides = tuple((*s, t.strides[op.axis]) for s, t in zip(joined, along, strict=True))
    ordered = planner.numerics == "bitwise"
    kernel = write_scan(Scan(what, dims, out.shape[op.axis], strides, out.dtype, ordered), planner.target)
    planner.call(kernel, along[:-1], along[-1:], node.id, planner.scratch(0, node.id))
    return out


def _from_the_back(x: Tensor, axis: int) -> Tensor:
    strides = tuple(-s if a == axis else s for a, s in enumerate(x.strides))
    last = (x.shape[axis] - 1) * x.strides[axis]
    return attrs.evolve(x, strides=strides, offset=x.offset + last * x.dtype.itemsize)


@lru_cache(1024)
def write_scan(scan: Scan, target: Target) -> Kernel:
    """The kernel: its arguments are the operands and the result."""
    b, dims = Builder(), scan.dims
    bases = open_kernel(b, len(scan.strides))
    within, result = scan.strides[:-1], scan.strides[-1]
    width = target.lanes(scan.dtype.itemsize)
    across = bool(dims) and result[-2] == 1 and scan.size > 1
    by_vectors = not across and _by_vectors(scan, width)
    lanes = 1
    if across:
        unit = all(s[-2] in (0, 1) for s in within)
        lanes = fitting(dims[-1], 4 * width if unit else width)
    elif dims and not by_vectors:
        lanes = fitting(dims[-1], _ROWS)
    cost = count(dims) * scan.size * (0.1 * scan.dtype.itemsize if across or by_vectors else 0.5)
    chunks = pieces(cost, dims[0] // (lanes if len(dims) == 1 else 1)) if dims else 1
    span = share(b, dims[0], chunks) if dims else (integer(0), integer(1))
    cursors = [Cursor(p, s[:-1], scan.dtype) for p, s in zip(bases, scan.strides, strict=True)]

    def body(pointers: Pointers, n: int) -> None:
        if across:
            _across(b, scan, pointers, n)
        elif by_vectors:
            _doubling(b, scan, pointers, min(width, 16))
        else:
            _side_by_side(b, scan, pointers, n)

    sweep(b, dims, lanes, span, cursors, body)
    return close(b, chunks)


def _by_vectors(scan: Scan, lanes: int) -> bool:
    free = not (scan.ordered and scan.dtype.kind == "f")
    neighbours = all(s[-1] in (1, -1) for s in scan.strides)
    return free and neighbours and scan.what != "recurrence" and lanes > 1 and scan.size >= 4 * lanes


def _first(scan: Scan, lanes: int) -> Value:
    """What stands before the first element. -0 and not 0: the sum of -0 alone is -0."""
    number = {"sum": -0.0 if scan.dtype.kind == "f" else 0, "product before": 1, "recurrence": 0}[scan.what]
    return constant(memory_type(scan.dtype, lanes), number)


def _next(b: Builder, scan: Scan, so_far: Value, operands: Sequence[Value]) -> tuple[Value, Value]:
    """The element of the result, and what goes on to the next."""
    if scan.what == "sum":
        total = b.add(so_far, operands[0])
        return total, total
    if scan.what == "product before":
        return so_far, b.mul(so_far, operands[0])
    decay, x = operands
    if scan.dtype.kind == "f" and not scan.ordered:
        return so_far, b.fma(decay, so_far, x)
    with b.separate():
        return so_far, b.add(b.mul(decay, so_far), x)


def _across(b: Builder, scan: Scan, pointers: Pointers, lanes: int) -> None:
    """Vectors along another axis."""
    opened = b.begin_loop(integer(0), integer(scan.size), 1, [_first(scan, lanes)])
    at = [step(b, p, opened.index, s[-1], scan.dtype) for p, s in zip(pointers, scan.strides, strict=True)]
    operands = [raw(b, scan.dtype, p, s[-2], lanes) for p, s in zip(at[:-1], scan.strides, strict=False)]
    out, following = _next(b, scan, opened.carried[0], operands)
    b.store(out, at[-1])
    b.end_loop(opened, [following])


def _side_by_side(b: Builder, scan: Scan, pointers: Pointers, rows: int) -> None:
    """Some rows, an element of each at a time."""
    dtype = scan.dtype
    bases = [
        [step(b, p, integer(row), s[-2] if rows > 1 else 0, dtype) for row in range(rows)]
        for p, s in zip(pointers, scan.strides, strict=True)
    ]
    opened = b.begin_loop(integer(0), integer(scan.size), 1, [_first(scan, 1)] * rows)
    following = []
    for row, so_far in enumerate(opened.carried):
        at = [
            step(b, places[row], opened.index, s[-1], dtype)
            for places, s in zip(bases, scan.strides, strict=True)
        ]
        out, after = _next(b, scan, so_far, [raw(b, dtype, p, 1, 1) for p in at[:-1]])
        b.store(out, at[-1])
        following.append(after)
    b.end_loop(opened, following)


def _doubling(b: Builder, scan: Scan, pointers: Pointers, lanes: int) -> None:
    """One row by vectors, what is left of it one by one."""
    x, out = pointers
    dtype, moves = scan.dtype, [s[-1] for s in scan.strides]
    full = scan.size // lanes * lanes
    neutral = _first(scan, lanes)
    join = b.add if scan.what == "sum" else b.mul
    opened = b.begin_loop(integer(0), integer(full), lanes, [neutral])
    (so_far,) = opened.carried
    value = raw(b, dtype, step(b, x, opened.index, moves[0], dtype), moves[0], lanes)
    shift = 1
    while shift < lanes:
        value = join(value, _later(b, value, neutral, shift))
        shift *= 2
    result = value if scan.what == "sum" else _later(b, value, neutral, 1)
    following = join(so_far, b.shuffle(value, None, [lanes - 1] * lanes))
    result, to = join(so_far, result), step(b, out, opened.index, moves[1], dtype)
    if moves[1] == -1:
        result = b.shuffle(result, None, range(lanes - 1, -1, -1))
        to = b.offset(to, integer(1 - lanes), dtype.itemsize)
    b.store(result, to)
    (last,) = b.end_loop(opened, [following])
    if full < scan.size:
        opened = b.begin_loop(integer(full), integer(scan.size), 1, [b.extract(last, 0)])
        value = raw(b, dtype, step(b, x, opened.index, moves[0], dtype), 1, 1)
        result, after = _next(b, scan, opened.carried[0], [value])
        b.store(result, step(b, out, opened.index, moves[1], dtype))
        b.end_loop(opened, [after])


def _later(b: Builder, value: Value, neutral: Value, shift: int) -> Value:
    """The lanes moved on by some places, the first ones neutral."""
    lanes = value.type.lanes
    return b.shuffle(value, neutral, [k - shift if k >= shift else lanes for k in range(lanes)])
