"""Matrix products in a plan: batches, and which nodes of a region are the product's epilogue.

A node belongs to the epilogue when it works element by element on the product's shape and needs the product. What
needs more than its own element of it (a softmax, a sum) is a loop kernel after it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Node, Op
from symgraph.lowering.llvm import convolution
from symgraph.lowering.llvm import matmul as tiles
from symgraph.lowering.llvm.buffers import Tensor, read
from symgraph.lowering.llvm.emit import I64, Builder, Value, integer
from symgraph.lowering.llvm.epilogue import coordinates, epilogue_at
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.region import (
    COSTLY,
    Inner,
    Number,
    Operand,
    Read,
    Shape,
    broadcast_strides,
    contiguous,
    cost,
    count,
    extract,
    label,
    reachable,
)
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import address, join_axes
from symgraph.ops.base import Elementwise
from symgraph.ops.linalg import MatMul

HEADS = (MatMul, *convolution.HEADS)
_FILLED = 0.7  # the share of lanes in use, from which the epilogue takes what is costly too


@attrs.frozen(cache_hash=True)
class Tile:
    """A product for each batch, and its epilogue: `nodes[head]` is the product, the others follow from it.

    `steps_a` and `steps_b` are the operands' strides over the batches; those of the epilogue's operands and
    outputs go over the batches, the rows and the columns.
    """

    product: tiles.Product
    batches: Shape
    steps_a: tuple[int, ...]
    steps_b: tuple[int, ...]
    nodes: tuple[Inner, ...]
    head: int
    operands: tuple[Operand, ...]
    outputs: tuple[tuple[int, tuple[int, ...]], ...]


def alone(planner: Any, node: Node, op: Op, operands: Sequence[Tensor]) -> Tensor:
    """A product that is no part of a region."""
    nodes = [read(k, t) for k, t in enumerate(operands)]
    shape: Any = node.type.shape
    nodes.append(Inner(op, (0, 1), shape, node.type.dtype))
    made: list[Tensor] = fused(planner, nodes, list(operands), [2], node.id)
    return made[0]


def fused(
    planner: Any, nodes: list[Inner], operands: list[Tensor], outputs: Sequence[int], node: int
) -> list[Tensor]:
    """The calls of a region with a product at its head, or several; returns the tensors of its outputs."""
    heads = [i for i, n in enumerate(nodes) if isinstance(n.what, HEADS)]
    results: dict[int, Tensor] = {}
    for head in heads:
        # The last has the epilogue: what follows from the others is known by then.
        members = _epilogue(nodes, head, planner.target) if head == heads[-1] else []
        wanted = _wanted(nodes, {head, *members}, outputs)
        if len(wanted) > 1 and not wanted.issubset(outputs):
            # What comes after the product goes over it once more: one array for that, not several made of it.
            members, wanted = [], _wanted(nodes, {head}, outputs)
        made = _head(planner, nodes, operands, head, members, sorted(wanted), node)
        for i, tensor in made.items():
            results[i] = tensor
            nodes[i] = read(len(operands), tensor)
            operands.append(tensor)
    later = [i for i in outputs if i not in results]
    if later:
        kept, given, place = extract(nodes, reachable(nodes, later))
        made = planner.region(kept, [operands[k] for k in given], [place[i] for i in later], node)
        results.update(zip(later, made, strict=True))
    return [results[i] for i in outputs]


def _head(
    planner: Any,
    nodes: Sequence[Inner],
    operands: Sequence[Tensor],
    head: int,
    members: Sequence[int],
    wanted: Sequence[int],
    node: int,
) -> dict[int, Tensor]:
    """The call of one product, of matrices or of windows, with its epilogue; returns the results that are wanted."""
    if isinstance(nodes[head].what, MatMul):
        return _tile(planner, nodes, operands, head, members, wanted, node)
    x, kernel = (_matrix(planner, nodes[i], operands, node) for i in nodes[head].inputs)
    return convolution.tile(planner, nodes, operands, head, members, wanted, node, (x, kernel))


def _epilogue(nodes: Sequence[Inner], head: int, target: Target) -> list[int]:
    """The nodes that need the product, element by element, and else only what is known before it. Where rows fill
    vectors badly, what is costly is left for one long loop after the product.
    """
    columns, lanes = nodes[head].shape[-1], target.lanes(nodes[head].dtype.itemsize)
    filled = columns >= _FILLED * -(-columns // lanes) * lanes
    members: list[int] = []
    if len(nodes[head].inputs) == 2 and convolution.spreads(
        nodes[head].what, nodes[head].shape, nodes[nodes[head].inputs[1]].shape, nodes[head].dtype, target
    ):
        return members
    inside = {head}
    for i, n in enumerate(nodes):
        if not isinstance(n.what, Elementwise) or n.shape != nodes[head].shape:
            continue
        ready = all(j in inside or isinstance(nodes[j].what, Read | Number) for j in n.inputs)
        if ready and any(j in inside for j in n.inputs) and (filled or cost(n) < COSTLY):
            inside.add(i)
            members.append(i)
    return members


def _wanted(nodes: Sequence[Inner], inside: set[int], outputs: Sequence[int]) -> set[int]:
    """The nodes of a product's call that are asked for outside it."""
    later = {j for i, n in enumerate(nodes) if i not in inside for j in n.inputs}
    return {i for i in inside if i in outputs or i in later}


def _tile(
    planner: Any,
    nodes: Sequence[Inner],
    operands: Sequence[Tensor],
    head: int,
    members: Sequence[int],
    wanted: Sequence[int],
    node: int,
) -> dict[int, Tensor]:
    """The call of one product with its epilogue; returns the results that are wanted."""
    what: Any = nodes[head].what
    x, y = (_matrix(planner, nodes[i], operands, node) for i in nodes[head].inputs)
    x = _swapped(x) if what.transpose_a else x
    y = _swapped(y) if what.transpose_b else y
    shape = nodes[head].shape
    chosen = reachable(nodes, [*members, head])
    chosen = [i for i in chosen if i == head or i in members or not _feeds_only(nodes, i, head, members)]
    bare = [attrs.evolve(n, inputs=()) if i == head else n for i, n in enumerate(nodes)]
    inner, given, place = extract(bare, chosen)
    reads = [operands[k] for k in given]
    results = {i: planner.array(shape, nodes[i].dtype, node, label(nodes[i])) for i in wanted}
    batch = shape[:-2]
    steps = [broadcast_strides(t.shape[:-2], t.strides[:-2], batch) for t in (x, y)]
    seen = [broadcast_strides(t.shape, t.strides, shape) for t in reads]
    out = contiguous(shape)
    rows, columns, inner_size = shape[-2], shape[-1], x.shape[-1]
    axes, joined = join_axes(
        (*batch, rows), [(*steps[0], x.strides[-2]), (*steps[1], 0), out[:-1], *(s[:-1] for s in seen)]
    )
    a_row = x.strides[-2]
    if batch and len(axes) == 1:  # y is the same for all batches: one product of all their rows
        rows, a_row, batch, steps = axes[0], joined[0][0], (), [(), ()]
        outer = [s[-1:] for s in joined[2:]]
    else:
        batch, joined = join_axes(batch, [*steps, out[:-2], *(s[:-2] for s in seen)])
        steps = joined[:2]
        outer = [(*s, f[-2]) for s, f in zip(joined[2:], [out, *seen], strict=True)]
    product = tiles.Product(
        rows, columns, inner_size, (a_row, x.strides[-1]), (y.strides[-2], y.strides[-1]), x.dtype
    )
    whole = (*batch, rows, columns)
    tile = Tile(
        product,
        batch,
        steps[0],
        steps[1],
        tuple(attrs.evolve(n, shape=()) for n in inner),
        place[head],
        tuple(Operand(whole, (*s, f[-1]), t.dtype) for s, f, t in zip(outer[1:], seen, reads, strict=True)),
        tuple((place[i], (*outer[0], 1)) for i in wanted),
    )
    kernel = write_tile(tile, planner.target)
    planner.call(kernel, [x, y, *reads], list(results.values()), node, planner.scratch(kernel.scratch, node))
    return results


def _feeds_only(nodes: Sequence[Inner], i: int, head: int, members: Sequence[int]) -> bool:
    """Whether a leaf is an operand of the product and of nothing in its epilogue."""
    return i in nodes[head].inputs and not any(i in nodes[m].inputs for m in members)


def _matrix(planner: Any, node: Inner, operands: Sequence[Tensor], owner: int) -> Tensor:
    """An operand of a product in memory."""
    if isinstance(node.what, Read):
        return operands[node.what.operand]
    assert isinstance(node.what, Number)
    made: Tensor = planner.constant(np.full(node.shape, node.what.value, node.dtype), owner)
    return made


def _swapped(x: Tensor) -> Tensor:
    """The matrices transposed."""
    shape, strides = x.shape, x.strides
    return attrs.evolve(
        x, shape=(*shape[:-2], shape[-1], shape[-2]), strides=(*strides[:-2], strides[-1], strides[-2])
    )


@lru_cache(1024)
def write_tile(tile: Tile, target: Target) -> Kernel:
    """The kernel: its arguments are the two matrices, the epilogue's operands, the outputs, and scratch."""
    b = Builder()
    pointers = open_kernel(b, 3 + len(tile.operands) + len(tile.outputs))
    batches = count(tile.batches)
    many = batches >= 8
    tiling = tiles.plan(tile.product, target, 1 if many else max(1, 8 // batches))
    chunk = Value("%chunk", I64)
    scratch = pointers[-1]
    chunks = tiling.chunks * batches
    if many:
        # A piece is a range of batches.
        work = tile.product.M * tile.product.N * tile.product.K * batches
        chunks = 1 if work < 100_000 else 8
        per = -(-batches // chunks)
        chunks = -(-batches // per)
        start = b.mul(chunk, integer(per))
        stop = b.binary("smin", b.add(start, integer(per)), integer(batches))
        if tiling.scratch:
            scratch = b.offset(scratch, b.mul(chunk, integer(tiling.scratch)))
        loop = b.begin_loop(start, stop, 1)
        _one(b, tile, tiling, pointers, loop.index, integer(0), scratch, target)
        b.end_loop(loop)
    else:
        batch, piece = integer(0), chunk
        if batches > 1:
            batch = b.div(chunk, integer(tiling.chunks))
            piece = b.rem(chunk, integer(tiling.chunks)) if tiling.chunks > 1 else integer(0)
        elif chunks == 1:
            piece = integer(0)
        if tiling.scratch and chunks > 1:
            scratch = b.offset(scratch, b.mul(chunk, integer(tiling.scratch)))
        _one(b, tile, tiling, pointers, batch, piece, scratch, target)
    first = 2 + len(tile.operands)
    over = tuple(
        (first + k, 2 + j)
        for k, (i, strides) in enumerate(tile.outputs)
        for j, operand in enumerate(tile.operands)
        if operand.strides == strides and operand.dtype.itemsize == tile.nodes[i].dtype.itemsize
    )
    return close(b, chunks, tiling.scratch * chunks, over)


def _one(
    b: Builder,
    tile: Tile,
    tiling: tiles.Tiling,
    pointers: Sequence[Value],
    batch: Value,
    piece: Value,
    scratch: Value,
    target: Target,
) -> None:
    """The product of one batch."""
    at = coordinates(b, batch, tile.batches)
    x = address(b, pointers[0], at, tile.steps_a, tile.product.dtype)
    y = address(b, pointers[1], at, tile.steps_b, tile.product.dtype)
    epilogue = epilogue_at(b, tile, pointers[2:], at)
    tiles.write(b, tile.product, tiling, x, y, scratch, piece, epilogue, target)
