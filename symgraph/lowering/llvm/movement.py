"""Ops that move elements, check them or run along an axis: as views where that is possible, else as kernels."""

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from symgraph.ir import Op
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.region import Shape, broadcast_strides, contiguous, squeeze
from symgraph.ops.shape import BroadcastTo, Reshape, Transpose
from symgraph.ops.slicing import Flip, Slice

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
    if squeeze(x.shape) != squeeze(shape):
        return None
    longer = iter([s for size, s in zip(x.shape, x.strides, strict=True) if size != 1])
    return _moved(x, shape, tuple(0 if size == 1 else next(longer) for size in shape))


def _transpose(op: Transpose, x: Tensor, shape: Shape) -> Tensor:
    return _moved(x, shape, tuple(x.strides[a] for a in op.axes))


def _broadcast(op: BroadcastTo, x: Tensor, shape: Shape) -> Tensor:
    return _moved(x, shape, broadcast_strides(x.shape, x.strides, shape))


def _slice(op: Slice, x: Tensor, shape: Shape) -> Tensor:
    first = sum(int(start) * s for start, s in zip(op.starts, x.strides, strict=True))  # type: ignore[call-overload]
    return _moved(x, shape, tuple(s * step for s, step in zip(x.strides, op.steps, strict=True)), first)


def _flip(op: Flip, x: Tensor, shape: Shape) -> Tensor:
    first = sum((x.shape[a] - 1) * x.strides[a] for a in op.axes)
    return _moved(x, shape, tuple(-s if a in op.axes else s for a, s in enumerate(x.strides)), first)


VIEWS: dict[type[Op], View] = {
    Reshape: _reshape,
    Transpose: _transpose,
    BroadcastTo: _broadcast,
    Slice: _slice,
    Flip: _flip,
}

KERNELS: dict[type[Op], Written] = {}
# Kernels that add floats in another order than `evaluate` does.
INEXACT: frozenset[type[Op]] = frozenset()
