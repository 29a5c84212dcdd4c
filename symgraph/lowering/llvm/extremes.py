"""Where the largest or the smallest element of an axis stands: the first of equals, or the first NaN.

Lanes keep the best element that they have seen and its index. They go along another axis where that is the
innermost; else along the axis itself, and the lanes compete at the end.
"""

from functools import lru_cache
from typing import Any

import attrs

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.emit import I32, I64, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.matmul.spans import lesser
from symgraph.lowering.llvm.region import Shape, count
from symgraph.lowering.llvm.sweeps import Cursor, Pointers, fitting, pieces, raw, share, step, sweep
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import join_axes
from symgraph.lowering.plan import concrete
from symgraph.ops.reduction import ArgMax
from symgraph.types import DType


@attrs.frozen(cache_hash=True)
class Contest:
    """For each place of `dims` the index of the best of `size` elements, `step` apart."""

    largest: bool
    dims: Shape
    strides: tuple[int, ...]
    results: tuple[int, ...]
    size: int
    step: int
    dtype: DType

    @property
    def index(self) -> Type:
        """Indices while they are compared: of the elements' width."""
        return I32 if self.dtype.itemsize != 8 and self.size < 2**31 else I64


def argument(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The index of the best element."""
    (x,) = operands
    op: Any = node.op
    (axis,) = op.axes
    out: Tensor = planner.array(concrete(node.type.shape), node.type.dtype, node.id, op.name)
    others = [a for a, n in enumerate(x.shape) if a != axis and n != 1]
    results = [s for s, n in zip(out.strides, out.shape, strict=True) if n != 1]
    dims, (strides, places) = join_axes(
        tuple(x.shape[a] for a in others), [tuple(x.strides[a] for a in others), tuple(results)]
    )
    contest = Contest(isinstance(op, ArgMax), dims, strides, places, x.shape[axis], x.strides[axis], x.dtype)
    planner.call(write_contest(contest, planner.target), [x], [out], node.id, planner.scratch(0, node.id))
    return out


@lru_cache(1024)
def write_contest(contest: Contest, target: Target) -> Kernel:
    """The kernel: its arguments are the operand and the result."""
    b, dims, dtype = Builder(), contest.dims, contest.dtype
    x, out = open_kernel(b, 2)
    width = target.lanes(max(4, dtype.itemsize))
    across = bool(dims) and dims[-1] > 1 and (contest.strides[-1] == 1 or abs(contest.step) != 1)
    lanes = fitting(dims[-1], 2 * width if contest.strides[-1] == 1 else width) if across else 1
    cost = count(dims) * contest.size * 0.04 * max(4, dtype.itemsize)
    chunks = pieces(cost, dims[0] // (lanes if len(dims) == 1 else 1)) if dims else 1
    span = share(b, dims[0], chunks) if dims else (integer(0), integer(1))
    cursors = [Cursor(x, contest.strides, dtype), Cursor(out, contest.results, DType("int64"))]

    def body(pointers: Pointers, n: int) -> None:
        if across:
            index = _across(b, contest, pointers[0], n)
        else:
            many = contest.size >= 8 * width
            index = _within(b, contest, pointers[0], fitting(contest.size, 4 * width if many else width))
        wide = Type("i64", index.type.lanes)
        b.store(index if index.type == wide else b.cast("sext", index, wide), pointers[1])

    sweep(b, dims, lanes, span, cursors, body)
    return close(b, chunks)


def _across(b: Builder, contest: Contest, base: Value, lanes: int) -> Value:
    """The indices for neighbouring places."""
    stride, type_ = contest.strides[-1], Type(contest.index.name, lanes)
    best = _read(b, contest, base, stride, lanes)
    opened = b.begin_loop(integer(0), integer(contest.size), 1, [best, constant(type_, 0)])
    value = _read(b, contest, step(b, base, opened.index, contest.step, contest.dtype), stride, lanes)
    index = b.splat(_narrow(b, contest, opened.index), lanes)
    return b.end_loop(opened, _winner(b, contest, opened.carried, value, index))[1]


def _within(b: Builder, contest: Contest, base: Value, lanes: int) -> Value:
    """The index for one place, by vectors along the axis."""
    type_ = Type(contest.index.name, lanes)
    first = b.splat(_read(b, contest, base, 1, 1), lanes)
    opened = b.begin_loop(integer(0), integer(contest.size), lanes, [first, constant(type_, 0)])
    even = contest.size % lanes == 0
    at = opened.index if even else lesser(b, opened.index, integer(contest.size - lanes))
    value = _read(b, contest, step(b, base, at, contest.step, contest.dtype), contest.step, lanes)
    index = b.splat(_narrow(b, contest, at), lanes)
    if lanes > 1:
        index = b.add(index, b.iota(type_.name, lanes))
    best, place = b.end_loop(opened, _winner(b, contest, opened.carried, value, index))
    while place.type.lanes > 1:
        half = place.type.lanes // 2
        low, high = ([b.shuffle(v, None, order) for v in (best, place)] for order in _halves(half))
        if half == 1:
            low, high = ([b.extract(v, lane) for v in (best, place)] for lane in (0, 1))
        best, place = _winner(b, contest, low, high[0], high[1], ordered=False)
    return place


def _halves(half: int) -> tuple[range, range]:
    return range(half), range(half, 2 * half)


def _read(b: Builder, contest: Contest, address: Value, stride: int, lanes: int) -> Value:
    value = raw(b, contest.dtype, address, stride, lanes)
    return b.cast("zext", value, value.type.of("i32")) if contest.dtype.kind == "b" else value


def _narrow(b: Builder, contest: Contest, index: Value) -> Value:
    return index if contest.index == I64 or index.text.isdigit() else b.cast("trunc", index, I32)


def _winner(
    b: Builder, contest: Contest, holder: Any, value: Value, index: Value, ordered: bool = True
) -> list[Value]:
    """The better of the holder and a challenger, and its index. The holder stands before it where `ordered`."""
    best, place = holder
    if not value.type.is_float:
        wins = b.compare("gt" if contest.largest else "lt", value, best)
        equal = None if ordered else b.compare("eq", value, best)
    else:
        name = "ugt" if contest.largest else "ult"
        type_ = value.type.of("i1")
        better = b.emit(type_, f"fcmp {name} {value}, {best.text}")  # NaN is better than all numbers
        wins = b.bits("and", better, b.emit(type_, f"fcmp ord {best}, {best.text}"))
        equal = None
        if not ordered:  # two NaNs are equal too
            equal = b.bits("and", b.not_(wins), b.emit(type_, f"fcmp ueq {value}, {best.text}"))
            alone = b.emit(type_, f"fcmp ord {value}, {value.text}")
            equal = b.bits("and", equal, b.not_(b.bits("and", alone, b.is_nan(best))))
    if equal is not None:
        wins = b.bits("or", wins, b.bits("and", equal, b.compare("lt", index, place)))
    return [b.select(wins, value, best), b.select(wins, index, place)]
