"""Pooling in a plan: each offset of the windows is a strided view of the images, and loops go over those views side
by side. Nothing is copied, and lanes are channels.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor, read
from symgraph.lowering.llvm.convolution import around
from symgraph.lowering.llvm.indexing import filled
from symgraph.lowering.llvm.region import Inner, number_of
from symgraph.lowering.plan import concrete
from symgraph.ops.arithmetic import Add, Div, Maximum, Mul
from symgraph.ops.logic import Cast, Equal
from symgraph.ops.reduction import Max, Sum
from symgraph.types import BOOL, DType

_LAST = (4, 5)  # the axes of offsets
_MOST, _AT_ONCE = 64, 9  # offsets that one loop reads, and that it writes


def offset_of(x: Tensor, offset: Sequence[int]) -> Tensor:
    """What windows, whose offsets are the last axes, have at one offset."""
    rank = len(x.shape) - len(offset)
    first = sum(k * s for k, s in zip(offset, x.strides[rank:], strict=True))
    return attrs.evolve(
        x, shape=x.shape[:rank], strides=x.strides[:rank], offset=x.offset + first * x.dtype.itemsize
    )


def added(planner: Any, y: Tensor, out: Tensor, node: int) -> None:
    """Out += y."""
    nodes = [read(0, out), read(1, y), Inner(Add(), (0, 1), out.shape, out.dtype)]
    planner.region(nodes, [out, y], [2], node, [out])


def _windows(op: Any, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The windows of images, whose offsets are the last axes."""
    n, high, wide, channels = x.strides
    return attrs.evolve(
        x,
        shape=(*shape, *op.window),
        strides=(n, high * op.strides[0], wide * op.strides[1], channels, high, wide),
    )


def _views(op: Any, x: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """The images at each offset of the windows, for each place of them."""
    whole = _windows(op, x, shape)
    return [offset_of(whole, offset) for offset in np.ndindex(*op.window)]


def max_pool(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The largest of all offsets, place by place."""
    op: Any = node.op
    (x,) = operands
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    shape = concrete(node.type.shape)
    x = around(planner, x, op.padding, lowest, node.id)
    if op.window[0] * op.window[1] > _MOST:
        whole = _windows(op, x, shape)
        made = [read(0, whole), Inner(Max(_LAST), (0,), shape, x.dtype)]
        return planner.region(made, [whole], [1], node.id)[0]  # type: ignore[no-any-return]
    views = _views(op, x, shape)
    nodes = [read(k, view) for k, view in enumerate(views)]
    best = 0
    for k in range(1, len(views)):
        nodes.append(Inner(Maximum(), (best, k), shape, x.dtype))
        best = len(nodes) - 1
    out: Tensor = planner.array(shape, x.dtype, node.id, op.name)
    if len(views) == 1:
        return planner.copy(views[0], out, node.id)  # type: ignore[no-any-return]
    planner.region(nodes, views, [best], node.id, [out])
    return out


def max_pool_gradient(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """A share of the cotangent to each of the largest: to all offsets at once where windows lie side by side, else
    one after the other.
    """
    op: Any = node.op
    x, y, g = operands
    n, high, wide, channels = x.shape
    (top, bottom), (left, right) = op.padding
    size = (n, top + high + bottom, left + wide + right, channels)
    out: Tensor = planner.array(size, x.dtype, node.id, op.name)
    zero = number_of(np.zeros((), x.dtype))
    whole = _windows(op, around(planner, x, op.padding, np.nan, node.id), y.shape)
    views = [offset_of(whole, offset) for offset in np.ndindex(*op.window)]
    places = _views(op, out, y.shape)
    overlap = any(s < w for s, w in zip(op.strides, op.window, strict=True))
    covered = all(
        s == w and c * s == n
        for s, w, c, n in zip(op.strides, op.window, y.shape[1:3], size[1:3], strict=True)
    )
    if not covered:
        filled(planner, zero, out, node.id)
    if not overlap and len(views) <= _AT_ONCE:
        nodes, ones, share = _shares(views, y, g)
        shares = []
        for k in ones:
            nodes.append(Inner(Mul(), (k, share), y.shape, x.dtype))
            shares.append(len(nodes) - 1)
        planner.region(nodes, [*views, y, g], shares, node.id, places)
    else:
        each = _share(planner, whole, views, y, g, node.id)
        for view, place in zip(views, places, strict=True):
            _give(planner, view, y, each, place, overlap, node.id)
    first = top * out.strides[1] + left * out.strides[2]
    return attrs.evolve(out, shape=x.shape, offset=out.offset + first * x.dtype.itemsize)


def _shares(views: Sequence[Tensor], y: Tensor, g: Tensor) -> tuple[list[Inner], list[int], int]:
    """The nodes that find what each of the largest gets: with those that are 1 at the largest, and that share."""
    nodes = [read(k, tensor) for k, tensor in enumerate((*views, y, g))]

    def add(what: Any, inputs: tuple[int, ...], dtype: DType = y.dtype) -> int:
        nodes.append(Inner(what, inputs, y.shape, dtype))
        return len(nodes) - 1

    best, cotangent = len(views), len(views) + 1
    chosen = [add(Equal(), (k, best), BOOL) for k in range(len(views))]
    ones = [add(Cast(y.dtype), (k,)) for k in chosen]
    total = ones[0]
    for k in ones[1:]:
        total = add(Add(), (total, k))
    return nodes, ones, add(Div(), (cotangent, total))


def _share(planner: Any, whole: Tensor, views: Sequence[Tensor], y: Tensor, g: Tensor, node: int) -> Tensor:
    """What each of the largest gets, in memory."""
    made: Tensor
    if len(views) <= _MOST:
        nodes, _, share = _shares(views, y, g)
        (made,) = planner.region(nodes, [*views, y, g], [share], node)
        return made
    best = attrs.evolve(y, shape=(*y.shape, 1, 1), strides=(*y.strides, 0, 0))
    nodes = [read(0, whole), read(1, best), Inner(Equal(), (0, 1), whole.shape, BOOL)]
    nodes.append(Inner(Cast(y.dtype), (2,), whole.shape, y.dtype))
    nodes.append(Inner(Sum(_LAST), (3,), y.shape, y.dtype))
    (total,) = planner.region(nodes, [whole, best], [4], node)
    (made,) = planner.region(
        [read(0, g), read(1, total), Inner(Div(), (0, 1), y.shape, y.dtype)], [g, total], [2], node
    )
    return made


def _give(
    planner: Any, view: Tensor, y: Tensor, each: Tensor, place: Tensor, overlap: bool, node: int
) -> None:
    """The shares of those that are largest at one offset, to their place, or added to it."""
    nodes = [read(0, view), read(1, y), read(2, each), *([read(3, place)] if overlap else [])]
    equal = len(nodes)
    nodes.append(Inner(Equal(), (0, 1), y.shape, BOOL))
    nodes.append(Inner(Cast(y.dtype), (equal,), y.shape, y.dtype))
    nodes.append(Inner(Mul(), (equal + 1, 2), y.shape, y.dtype))
    if overlap:
        nodes.append(Inner(Add(), (3, equal + 2), y.shape, y.dtype))
    planner.region(nodes, [view, y, each, place][:equal], [len(nodes) - 1], node, [place])
