"""Convolutions in a plan: strides for the kernels of `sliding`, padding, and kernels turned for the gradient.

The gradient by the images is a convolution too: of its cotangent, with zeros around and between its pixels, with
the kernel turned about and its channels exchanged (Dumoulin and Visin, "A guide to convolution arithmetic", 2016).
Those zeros are multiplied too: of a weight that is infinite, a pixel that it does not reach may be NaN.
Channels come last here; `channels_last` in `symgraph.transforms` makes other layouts so.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Node
from symgraph.lowering.llvm import sliding, spreading
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.indexing import filled
from symgraph.lowering.llvm.region import (
    Inner,
    Operand,
    Shape,
    broadcast_strides,
    contiguous,
    extract,
    label,
    number_of,
    reachable,
)
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import join_axes
from symgraph.lowering.plan import concrete
from symgraph.ops.convolution import Conv2d, Conv2dInput
from symgraph.ops.windows import Pair, Sides
from symgraph.types import DType

HEADS = (Conv2d, Conv2dInput)
_FILLED = 0.6  # the share of lanes in use, from which channels fill them


@attrs.frozen
class _Slides:
    """A convolution without padding: images, kernel [high, wide, channels in of a group, channels out]."""

    images: Tensor
    kernel: Tensor
    strides: Pair
    dilation: Pair
    groups: int


def tile(
    planner: Any,
    nodes: Sequence[Inner],
    operands: Sequence[Tensor],
    head: int,
    members: Sequence[int],
    wanted: Sequence[int],
    node: int,
    given: tuple[Tensor, Tensor],
) -> dict[int, Tensor]:
    """The call of one convolution with its epilogue; returns the results that are wanted."""
    what: Any = nodes[head].what
    if spreads(what, nodes[head].shape, given[1].shape, nodes[head].dtype, planner.target):
        return {head: spread(planner, what, *given, nodes[head].shape, node)}
    slides = (
        _by_images(planner, what, *given, node)
        if isinstance(what, Conv2d)
        else _turned(planner, what, *given, node)
    )
    shape = nodes[head].shape
    chosen = reachable(nodes, [*members, head])
    inputs = nodes[head].inputs
    needed = {j for m in members for j in nodes[m].inputs}
    chosen = [i for i in chosen if i == head or i in members or i not in inputs or i in needed]
    bare = [attrs.evolve(n, inputs=()) if i == head else n for i, n in enumerate(nodes)]
    inner, read, place = extract(bare, chosen)
    reads = [operands[k] for k in read]
    results = {i: planner.array(shape, nodes[i].dtype, node, label(nodes[i])) for i in wanted}
    seen = [broadcast_strides(t.shape, t.strides, shape) for t in reads]
    images, high, wide, _ = shape
    x, kernel, groups = slides.images, slides.kernel, slides.groups
    tall, broad, each, out = kernel.shape
    apart = groups > 1 and each == 1 and out == groups  # a convolution of each channel: channels fill vectors
    grouped = groups > 1 and not apart
    part = out // groups if grouped else out

    def strides(s: tuple[int, ...]) -> tuple[int, ...]:
        """Over the batches, rows and columns."""
        return (s[0], *((s[3] * part,) if grouped else ()), s[1], s[2], s[3])

    steps, (down, along) = join_axes(
        *_longer(
            (tall, broad, each),
            (x.strides[1] * slides.dilation[0], x.strides[2] * slides.dilation[1], x.strides[3]),
            kernel.strides[:3],
        )
    )
    left = (
        x.strides[0],
        *((x.strides[3] * each,) if grouped else ()),
        x.strides[1] * slides.strides[0],
        x.strides[2] * slides.strides[1],
        x.strides[3] if apart else 0,
    )
    spec = sliding.Sliding(
        (images, groups) if grouped else (images,),
        high,
        wide,
        part,
        steps,
        (*left, *down),
        (0, *((part,) if grouped else ()), 1, *along),
        nodes[head].dtype,
        tuple(attrs.evolve(n, shape=()) for n in inner),
        place[head],
        tuple(Operand(t.shape, strides(s), t.dtype) for t, s in zip(reads, seen, strict=True)),
        tuple((place[i], strides(contiguous(shape))) for i in wanted),
    )
    made = sliding.write_sliding(spec, planner.target)
    planner.call(made, [x, kernel, *reads], list(results.values()), node, planner.scratch(made.scratch, node))
    return results


def _longer(sizes: Shape, *strides: tuple[int, ...]) -> tuple[Shape, list[tuple[int, ...]]]:
    """The axes that are longer than 1, at least one, and their strides."""
    kept = [i for i, n in enumerate(sizes) if n != 1] or [len(sizes) - 1]
    return tuple(sizes[i] for i in kept), [tuple(s[i] for i in kept) for s in strides]


def _by_images(planner: Any, op: Conv2d, x: Tensor, kernel: Tensor, node: int) -> _Slides:
    x = around(planner, x, op.padding, 0, node)
    x = planner.in_order(x, node) if op.groups == x.shape[3] and x.strides[3] != 1 else x
    return _Slides(x, _in_rows(planner, kernel, node), op.strides, op.dilation, op.groups)


def _in_rows(planner: Any, kernel: Tensor, node: int) -> Tensor:
    """The tensor with its last axis contiguous."""
    made: Tensor = (
        kernel if kernel.strides[-1] == 1 or kernel.shape[-1] == 1 else planner.in_order(kernel, node)
    )
    return made


def spreads(op: Any, shape: Shape, kernel: Shape, dtype: DType, target: Target) -> bool:
    """Whether the gradient by the images is added up window by window: then nothing follows it in registers."""
    if not isinstance(op, Conv2dInput) or op.groups > 1:
        return False
    lanes, each = target.lanes(dtype.itemsize), shape[3]
    stepped = max(op.strides) > 1
    empty = each / (-(-each // lanes) * lanes) < _FILLED
    return stepped or (empty and kernel[1] > 1)


def spread(planner: Any, op: Conv2dInput, y: Tensor, kernel: Tensor, shape: Shape, node: int) -> Tensor:
    """The gradient by the images, window by window."""
    tall, broad, each, out = kernel.shape
    lanes, s = planner.target.lanes(kernel.dtype.itemsize), kernel.strides
    pitch = -(-broad * each // lanes) * lanes
    weights: Tensor = planner.array((tall, out, pitch), kernel.dtype, node, "kernel in rows")
    filled(planner, number_of(np.zeros((), kernel.dtype)), weights, node)
    turned = attrs.evolve(kernel, shape=(tall, out, broad, each), strides=(s[0], s[3], s[1], s[2]))
    rows = (out * pitch, pitch, each, 1)
    planner.copy(turned, attrs.evolve(weights, shape=turned.shape, strides=rows), node)
    made: Tensor = planner.array(shape, kernel.dtype, node, op.name)
    spec = spreading.Spread(
        _four(y.shape),
        y.strides,
        (tall, broad),
        each,
        pitch,
        (shape[1], shape[2]),
        op.strides,
        (op.padding[0][0], op.padding[1][0]),
        op.dilation,
        kernel.dtype,
    )
    written = spreading.write_spread(spec, planner.target)
    planner.call(written, [y, weights], [made], node, planner.scratch(written.scratch, node))
    return made


def _four(shape: Shape) -> tuple[int, int, int, int]:
    n, high, wide, channels = shape
    return n, high, wide, channels


def _turned(planner: Any, op: Conv2dInput, y: Tensor, kernel: Tensor, node: int) -> _Slides:
    """The convolution that is the gradient by the images."""
    tall, broad, each, out = kernel.shape
    part, dtype = out // op.groups, kernel.dtype
    s = kernel.strides
    # [tall, broad, part, groups, each], read from the last pixel to the first.
    turned = attrs.evolve(
        kernel,
        shape=(tall, broad, part, op.groups, each),
        strides=(-s[0], -s[1], s[3], s[3] * part, s[2]),
        offset=kernel.offset + ((tall - 1) * s[0] + (broad - 1) * s[1]) * dtype.itemsize,
    )
    shape = (tall, broad, part, op.groups * each)
    copied = planner.copy(turned, None, node)
    weights = attrs.evolve(copied, shape=shape, strides=contiguous(shape))
    spread = _spread(planner, op, y, (tall, broad), node)
    return _Slides(spread, weights, (1, 1), op.dilation, op.groups)


def _spread(planner: Any, op: Conv2dInput, y: Tensor, window: Pair, node: int) -> Tensor:
    """The cotangent with zeros around and between its pixels, such that windows of all its places fit."""
    cuts, whole = [], []
    for axis in (0, 1):
        size: Any = op.size[axis]
        reach, stride = (window[axis] - 1) * op.dilation[axis], op.strides[axis]
        low, length, count = reach - op.padding[axis][0], size + reach, y.shape[1 + axis]
        first = max(0, -(low // stride)) if low < 0 else 0
        last = min(count, (length - 1 - low) // stride + 1)
        cuts.append((first, last, low + first * stride, stride))
        whole.append(length)
    n, channels = y.shape[0], y.shape[3]
    if all(
        low == 0 and (last - first, stride) == (size, 1)
        for (first, last, low, stride), size in zip(cuts, whole, strict=True)
    ):
        return _part(y, [(first, last) for first, last, _, _ in cuts])
    out: Tensor = planner.array((n, *whole, channels), y.dtype, node, "zeros between")
    filled(planner, number_of(np.zeros((), y.dtype)), out, node)
    kept = _part(y, [(first, last) for first, last, _, _ in cuts])
    if 0 in kept.shape:  # all windows lie in the padding: a kernel's loops run once at least
        return out
    strides = (
        out.strides[0],
        *(s * cut[3] for s, cut in zip(out.strides[1:3], cuts, strict=True)),
        out.strides[3],
    )
    first = sum(cut[2] * s for s, cut in zip(out.strides[1:3], cuts, strict=True))
    at = attrs.evolve(out, shape=kept.shape, strides=strides, offset=out.offset + first * out.dtype.itemsize)
    planner.copy(kept, at, node)
    return out


def _part(y: Tensor, bounds: Sequence[Pair]) -> Tensor:
    """Some rows and columns of images."""
    (top, bottom), (left, right) = bounds
    first = top * y.strides[1] + left * y.strides[2]
    shape = (y.shape[0], bottom - top, right - left, y.shape[3])
    return attrs.evolve(y, shape=shape, offset=y.offset + first * y.dtype.itemsize)


def around(planner: Any, x: Tensor, padding: Sides, value: Any, node: int) -> Tensor:
    """The images with a number around them; the images themselves where there is no padding. What was made for one
    is there for others.
    """
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        return x
    key = (x.room, x.offset, x.shape, x.strides, padding, value)
    if key not in planner.padded:
        n, high, wide, channels = x.shape
        shape = (n, top + high + bottom, left + wide + right, channels)
        out: Tensor = planner.array(shape, x.dtype, node, "padding")
        filled(planner, number_of(np.array(value, x.dtype)), out, node)
        first = top * out.strides[1] + left * out.strides[2]
        inside = attrs.evolve(out, shape=x.shape, offset=out.offset + first * out.dtype.itemsize)
        planner.copy(x, inside, node)
        planner.padded[key] = out
    found: Tensor = planner.padded[key]
    return found


def by_kernel(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The gradient by the kernel."""
    op: Any = node.op
    x, y = operands
    x = around(planner, x, op.padding, 0, node.id)
    y = _in_rows(planner, y, node.id)
    out: Tensor = planner.array(concrete(node.type.shape), node.type.dtype, node.id, op.name)
    tall, broad, each, channels = out.shape
    groups, apart = op.groups, op.groups > 1 and each == 1 and channels == op.groups
    x = planner.in_order(x, node.id) if apart and x.strides[3] != 1 else x
    grouped = groups > 1 and not apart
    part = channels // groups if grouped else channels
    rows, (down, places) = join_axes(
        *_longer(
            (tall, broad, each),
            (x.strides[1] * op.dilation[0], x.strides[2] * op.dilation[1], x.strides[3]),
            out.strides[:3],
        )
    )
    rows, down, places = (
        (1,) * (2 - len(rows)) + rows,
        (0,) * (2 - len(rows)) + down,
        (0,) * (2 - len(rows)) + places,
    )
    steps, (left, right) = join_axes(
        *_longer(
            y.shape[1:3],
            (x.strides[1] * op.strides[0], x.strides[2] * op.strides[1]),
            y.strides[1:3],
        )
    )
    first = (groups,) if grouped else ()
    outer = (*first, *rows[:-2])
    none = (0,) * len(rows[:-2])
    spec = sliding.Gathered(
        outer,
        rows[-2],
        rows[-1],
        part,
        x.shape[0],
        steps,
        (
            *((x.strides[3] * each,) if grouped else ()),
            *down,
            x.strides[3] if apart else 0,
            x.strides[0],
            *left,
        ),
        (*((part,) if grouped else ()), *none, 1, y.strides[0], *right),
        (*((part,) if grouped else ()), *places, 1),
        out.dtype,
    )
    kernels = sliding.write_gathered(spec, planner.target)
    scratch = planner.scratch(kernels[0].scratch, node.id)
    for kernel in kernels:
        planner.call(kernel, [x, y], [out], node.id, scratch)
    return out
