"""Ops that move elements, check them or run along an axis: as views where that is possible, else as kernels."""

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph.ir import Node, Op
from symgraph.lowering.llvm import (
    checks,
    convolution,
    extremes,
    factorisation,
    indexing,
    pooling,
    scans,
    sorting,
)
from symgraph.lowering.llvm.buffers import Room, Tensor, whole
from symgraph.lowering.llvm.indexing import filled
from symgraph.lowering.llvm.pooling import added, offset_of
from symgraph.lowering.llvm.region import Shape, broadcast_strides, contiguous, count, number_of, squeeze
from symgraph.lowering.plan import concrete
from symgraph.ops.control import AssertFinite, AssertIndex
from symgraph.ops.convolution import Conv2dKernel
from symgraph.ops.cumulative import CumSum, ExclusiveCumProd, Recurrence
from symgraph.ops.factorisation import LU, Cholesky, TriangularSolve
from symgraph.ops.indexing import Gather, Iota, ScatterAdd, ScatterAddAlong, Take
from symgraph.ops.pooling import MaxPool2d, MaxPool2dGradient
from symgraph.ops.reduction import ArgMax, ArgMin
from symgraph.ops.shape import BroadcastTo, Concatenate, Reshape, Transpose
from symgraph.ops.slicing import Flip, Pad, Slice
from symgraph.ops.sorting import ArgSort
from symgraph.ops.threefry import Counter
from symgraph.ops.windows import OverlapAdd, Windows

# A view: (op, operand, shape of the result) -> the result, or None where the operand must be contiguous for it.
View: TypeAlias = Callable[[Any, Tensor, Shape], Tensor | None]
# A kernel: (planner, node, operands) -> the result; it adds its calls to the planner.
Written: TypeAlias = Callable[[Any, Any, list[Tensor]], Tensor]


def _moved(x: Tensor, shape: Shape, strides: tuple[int, ...], first: int = 0) -> Tensor:
    """A view whose first element is `first` elements after x's."""
    return attrs.evolve(x, shape=shape, strides=strides, offset=x.offset + first * x.dtype.itemsize)


def _reshape(op: Reshape, x: Tensor, shape: Shape) -> Tensor | None:
    if x.contiguous:
        return _moved(x, shape, contiguous(shape))
    return reshaped(x, shape) if squeeze(x.shape) == squeeze(shape) else None


def reshaped(x: Tensor, shape: Shape) -> Tensor:
    """The elements in a shape that differs in axes of size 1 alone."""
    longer = iter([s for size, s in zip(x.shape, x.strides, strict=True) if size != 1])
    return _moved(x, shape, tuple(0 if size == 1 else next(longer) for size in shape))


def _transpose(op: Transpose, x: Tensor, shape: Shape) -> Tensor:
    return _moved(x, shape, tuple(x.strides[a] for a in op.axes))


def _broadcast(op: BroadcastTo, x: Tensor, shape: Shape) -> Tensor:
    return _moved(x, shape, broadcast_strides(x.shape, x.strides, shape))


def _slice(op: Slice, x: Tensor, shape: Shape) -> Tensor:
    starts: Any = op.starts  # bound: all ints
    first = sum(start * s for start, s in zip(starts, x.strides, strict=True))
    return _moved(x, shape, tuple(s * step for s, step in zip(x.strides, op.steps, strict=True)), first)


def _flip(op: Flip, x: Tensor, shape: Shape) -> Tensor:
    first = sum((x.shape[a] - 1) * x.strides[a] for a in op.axes)
    return _moved(x, shape, tuple(-s if a in op.axes else s for a, s in enumerate(x.strides)), first)


def _windows(op: Windows, x: Tensor, shape: Shape) -> Tensor:
    strides = list(x.strides)
    for axis, step in zip(op.axes, op.strides, strict=True):
        strides[axis] *= step
    inner = (x.strides[a] * d for a, d in zip(op.axes, op.dilations, strict=True))
    return _moved(x, shape, (*strides, *inner))


VIEWS: dict[type[Op], View] = {
    Reshape: _reshape,
    Transpose: _transpose,
    BroadcastTo: _broadcast,
    Slice: _slice,
    Flip: _flip,
    Windows: _windows,
}


def _concatenate(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Each operand copied to its place."""
    assert isinstance(node.op, Concatenate)
    axis = node.op.axis
    out: Tensor = planner.array(concrete(node.type.shape), node.type.dtype, node.id, node.op.name)
    start = 0
    for x in operands:
        planner.copy(x, _moved(out, x.shape, out.strides, start * out.strides[axis]), node.id)
        start += x.shape[axis]
    return out


def _pad(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """What goes around, then the operand in its place."""
    x, value = operands
    op: Any = node.op
    out: Tensor = planner.array(concrete(node.type.shape), node.type.dtype, node.id, node.op.name)
    known = planner.known.get(node.inputs[1])
    if known is not None:
        filled(planner, number_of(known), out, node.id)
    else:
        planner.copy(_broadcast(op, value, out.shape), out, node.id)
    first = sum(int(start) * s for start, s in zip(op.starts, out.strides, strict=True))
    steps = tuple(s * step for s, step in zip(out.strides, op.steps, strict=True))
    planner.copy(x, _moved(out, x.shape, steps, first), node.id)
    return out


def _overlap_add(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Zeros, and then each offset of the windows added in its place."""
    (y,) = operands
    op: Any = node.op
    out: Tensor = planner.array(concrete(node.type.shape), node.type.dtype, node.id, op.name)
    filled(planner, number_of(np.zeros((), out.dtype)), out, node.id)
    seen = _windows(Windows(op.axes, op.window(y.shape), op.strides, op.dilations), out, y.shape)
    for offset in np.ndindex(*op.window(y.shape)):
        added(planner, offset_of(y, offset), offset_of(seen, offset), node.id)
    return out


def _iota(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The numbers once, seen along their axis."""
    op: Any = node.op
    shape = concrete(node.type.shape)
    numbers: Tensor = planner.constant(np.arange(shape[op.axis], dtype=op.dtype), node.id)
    return _moved(numbers, shape, tuple(int(a == op.axis) for a in range(len(shape))))


COUNTER = "counter"


def _counter(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Numbers that are their own places: loops count them, and they lie in memory only where another kernel asks."""
    shape = concrete(node.type.shape)
    return whole(
        Room("constant", count(shape) * node.type.dtype.itemsize, node.id, COUNTER), shape, node.type.dtype
    )


KERNELS: dict[type[Op], Written] = {
    OverlapAdd: _overlap_add,
    Conv2dKernel: convolution.by_kernel,
    MaxPool2d: pooling.max_pool,
    MaxPool2dGradient: pooling.max_pool_gradient,
    Concatenate: _concatenate,
    Pad: _pad,
    Iota: _iota,
    Counter: _counter,
    Take: indexing.take,
    Gather: indexing.gather,
    ScatterAdd: indexing.scatter_add,
    ScatterAddAlong: indexing.scatter_add_along,
    CumSum: scans.cumsum,
    ExclusiveCumProd: scans.exclusive_cumprod,
    Recurrence: scans.recurrence,
    ArgMax: extremes.argument,
    ArgMin: extremes.argument,
    ArgSort: sorting.argsort,
    Cholesky: factorisation.cholesky,
    LU: factorisation.lu,
    TriangularSolve: factorisation.triangular_solve,
    AssertFinite: checks.assert_finite,
    AssertIndex: checks.assert_index,
}
# Kernels that add floats in another order than `evaluate` does, or find another of two zeros. (Scans keep the order
# where bits count.)
INEXACT: frozenset[type[Op]] = frozenset(
    {ScatterAdd, Cholesky, LU, TriangularSolve, Conv2dKernel, MaxPool2d, MaxPool2dGradient}
)
