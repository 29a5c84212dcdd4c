"""What follows a product element by element, written where its sums are still in registers."""

from collections.abc import Sequence
from typing import Protocol

import attrs

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.matmul import prefetch
from symgraph.lowering.llvm.nest import compute
from symgraph.lowering.llvm.region import Inner, Number, Operand, Read, Shape, register_type
from symgraph.lowering.llvm.vectors import address, gather, load, store


class Followed(Protocol):
    """A product for each of some batches: `nodes[head]` is the product, the others follow from it. The strides of
    operands and outputs go over the batches, the rows and the columns.
    """

    @property
    def batches(self) -> Shape: ...
    @property
    def nodes(self) -> tuple[Inner, ...]: ...
    @property
    def head(self) -> int: ...
    @property
    def operands(self) -> tuple[Operand, ...]: ...
    @property
    def outputs(self) -> tuple[tuple[int, tuple[int, ...]], ...]: ...


def coordinates(b: Builder, batch: Value, batches: Shape) -> list[Value]:
    """The indices of a batch by its number."""
    at: list[Value] = []
    for size in reversed(batches[1:]):
        at.append(b.rem(batch, integer(size)))
        batch = b.div(batch, integer(size))
    return [*([batch] if batches else []), *reversed(at)]


def epilogue_at(b: Builder, tile: Followed, pointers: Sequence[Value], at: Sequence[Value]) -> "Epilogue":
    """The epilogue of the product of one batch; `pointers` are those to the operands and the outputs."""
    depth = len(tile.batches)
    reads = [
        address(b, p, at, o.strides[:depth], o.dtype) for p, o in zip(pointers, tile.operands, strict=False)
    ]
    first = len(tile.operands)
    writes = [
        address(b, pointers[first + k], at, strides[:depth], tile.nodes[i].dtype)
        for k, (i, strides) in enumerate(tile.outputs)
    ]
    numbers = {
        k: load(b, o.dtype, read, 1, None)
        for k, (o, read) in enumerate(zip(tile.operands, reads, strict=True))
        if not any(o.strides[depth:])
    }
    return Epilogue(tile, reads, writes, numbers)


@attrs.frozen
class Epilogue:
    """What is done with each finished vector of a product."""

    tile: Followed
    reads: list[Value]
    writes: list[Value]
    numbers: dict[int, Value]

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None:
        tile, lanes, depth = self.tile, acc.type.lanes, len(self.tile.batches)
        values: list[Value] = []
        loaded: dict[int, Value] = {}
        for i, node in enumerate(tile.nodes):
            if i == tile.head:
                values.append(acc)
            elif isinstance(node.what, Number):
                values.append(constant(register_type(node.dtype, lanes), node.what.value))
            elif isinstance(node.what, Read):
                k = node.what.operand
                if k not in loaded:
                    loaded[k] = self._read(b, k, row, column, lanes, mask)
                values.append(loaded[k])
            else:
                values.append(compute(b, node.what, [values[j] for j in node.inputs]))
        for (i, strides), base in zip(tile.outputs, self.writes, strict=True):
            where = address(b, base, [row, column], strides[depth:], tile.nodes[i].dtype)
            store(b, values[i], where, strides[-1], mask)

    def prefetch(self, b: Builder, type_: Type, row: Value, column: Value, vectors: int) -> None:
        """Ask for the lines of a row that will be stored to, and for those that will be read beside them."""
        tile, depth = self.tile, len(self.tile.batches)
        for (i, strides), base in zip(tile.outputs, self.writes, strict=True):
            dtype = tile.nodes[i].dtype
            where = address(b, base, [row, column], strides[depth:], dtype)
            prefetch(b, where, vectors * type_.lanes * dtype.itemsize)
        for k, (operand, base) in enumerate(zip(tile.operands, self.reads, strict=True)):
            if k not in self.numbers and operand.strides[-1] == 1 and operand.strides[-2]:
                where = address(b, base, [row, column], operand.strides[depth:], operand.dtype)
                prefetch(b, where, vectors * type_.lanes * operand.dtype.itemsize, write=False)

    def _read(self, b: Builder, k: int, row: Value, column: Value, lanes: int, mask: Value | None) -> Value:
        operand, depth = self.tile.operands[k], len(self.tile.batches)
        if k in self.numbers:
            return b.splat(self.numbers[k], lanes)
        where = address(b, self.reads[k], [row, column], operand.strides[depth:], operand.dtype)
        stride = operand.strides[-1]
        if stride == 0:
            return b.splat(load(b, operand.dtype, where, 1, None), lanes)
        if stride == 1:
            return load(b, operand.dtype, where, lanes, mask)
        return gather(b, operand.dtype, where, stride, lanes, mask)
