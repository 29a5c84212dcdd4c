"""Matrix products, written for one size and one layout.

C[i, j] = sum over k of A[i, k] B[k, j], after Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication" (2008): a block of C stays in registers while k runs; the columns of B that it needs are read as
vectors, packed beforehand where they lie badly; elements of A are broadcast. How C is cut into blocks and chunks
follows from sizes alone, so results have the same bits in whatever order the chunks run.
"""

import attrs

from symgraph.lowering.llvm.emit import Builder, Type, Value, integer
from symgraph.lowering.llvm.matmul.dots import write_dots
from symgraph.lowering.llvm.matmul.spans import Span, at, prefetch
from symgraph.lowering.llvm.matmul.tiles import Epilogue, Tiles
from symgraph.lowering.llvm.matmul.tiling import Product, Tiling, plan
from symgraph.lowering.llvm.target import Target

__all__ = ["Epilogue", "Product", "Store", "Tiling", "plan", "prefetch", "write"]


@attrs.frozen
class Store:
    """The epilogue of a plain product: store to C, whose rows are `stride` elements apart."""

    pointer: Value
    stride: int

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None:
        size = acc.type.bits // 8
        b.store(acc, at(b, at(b, self.pointer, row, self.stride * size), column, size), mask)

    def prefetch(self, b: Builder, type_: Type, row: Value, column: Value, vectors: int) -> None:
        """Ask for the lines that will be stored to."""
        size = type_.bits // 8
        place = at(b, at(b, self.pointer, row, self.stride * size), column, size)
        prefetch(b, place, vectors * type_.lanes * size)


def write(
    b: Builder,
    product: Product,
    tiling: Tiling,
    a: Value,
    matrix: Value,
    scratch: Value,
    chunk: Value,
    epilogue: Epilogue,
    target: Target,
) -> None:
    """Write the product of A at `a` and B at `matrix`: the piece of C that `chunk`, an i64 below `tiling.chunks`,
    stands for. `scratch` points to `tiling.scratch` bytes, aligned to 64, that no other chunk uses.
    """
    p = product
    if 0 in (p.M, p.N):
        return
    if tiling.swapped:
        p, a, matrix = p.swapped, matrix, a
    columns, rows = chunk, integer(0)
    if tiling.column_groups == 1:
        columns, rows = integer(0), chunk
    elif tiling.row_groups > 1:
        columns, rows = (
            b.emit(chunk.type, f"{name} {chunk}, {tiling.column_groups}") for name in ("urem", "udiv")
        )
    block = target.lanes(p.size) * tiling.vectors
    wide = Span.share(b, columns, tiling.column_groups, p.N, block)
    high = Span.share(b, rows, tiling.row_groups, p.M, tiling.rows)
    tiles = Tiles(b, p, tiling, a, matrix, scratch, epilogue, target)
    if tiling.dots:
        write_dots(tiles, wide)
    else:
        tiles.write(wide, high)
