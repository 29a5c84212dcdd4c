"""A row times a matrix whose columns are contiguous: dot products, as many columns at a time as a vector has
lanes, summed over the lanes at the end.
"""

from symgraph.lowering.llvm.emit import Builder, Value, constant, integer
from symgraph.lowering.llvm.matmul.packing import Panel, first_lanes
from symgraph.lowering.llvm.matmul.spans import Span, at, loop, plus, shifted
from symgraph.lowering.llvm.matmul.tiles import Tiles

# Sums under way at a time, to hide the time of an addition.
_BUSY = 8


def write_dots(tiles: Tiles, wide: Span) -> None:
    """Write the columns of a chunk."""
    row = _row(tiles)
    wide.visit(tiles.b, lambda column, count: _vector(tiles, row, column, count))


def _row(tiles: Tiles) -> Value:
    """The row, packed where it is not contiguous."""
    b, p = tiles.b, tiles.product
    if not tiles.tiling.packed:
        return tiles.a

    def copy(k: Value) -> None:
        x = b.load(p.type, at(b, tiles.a, k, p.a[1] * p.size))
        b.store(x, at(b, tiles.scratch, k, p.size))

    loop(b, integer(0), integer(p.K), 1, copy)
    return tiles.scratch


def _vector(tiles: Tiles, row: Value, column: Value, count: int) -> None:
    """`count` columns: every column has a vector of partial sums, or several where columns are few."""
    b, p, lanes = tiles.b, tiles.product, tiles.lanes
    first = at(b, tiles.matrix, column, p.b[1] * p.size)
    chains = max(1, _BUSY // count)
    stride = lanes * chains
    whole = p.K - p.K % stride
    sums = [constant(tiles.vector, 0)] * (count * chains)

    def add(k: Value, chain: int, width: int, sums: list[Value]) -> list[Value]:
        mask = first_lanes(width, lanes)
        at_k = plus(b, k, chain * lanes)
        x = b.load(tiles.vector, at(b, row, at_k, p.size), mask)
        start, after = at(b, first, at_k, p.size), list(sums)
        for j in range(count):
            y = b.load(tiles.vector, shifted(b, start, j * p.b[1] * p.size), mask)
            after[chain * count + j] = tiles.fma(x, y, sums[chain * count + j])
        return after

    if whole:
        opened = b.begin_loop(integer(0), integer(whole), stride, sums)
        sums = list(opened.carried)
        for chain in range(chains):
            sums = add(opened.index, chain, lanes, sums)
        sums = list(b.end_loop(opened, sums))
    for chain in range(chains):
        left = min(lanes, p.K - whole - chain * lanes)
        if left > 0:
            sums = add(integer(whole), chain, left, sums)
    while len(sums) > count:
        half = -(-len(sums) // count // 2) * count
        sums = [b.add(x, y) for x, y in zip(sums, sums[half:], strict=False)] + sums[len(sums) - half : half]
    total = _sum_lanes(b, sums + [constant(tiles.vector, 0)] * (lanes - count))
    if tiles.tiling.swapped:
        place = tiles.sums
        b.store(total, place, align=tiles.target.width)
        tiles.finish_column(place, column, integer(count))
    else:
        tiles.epilogue(b, total, integer(0), column, Panel(tiles.vector, 1, count).mask(0))


def _sum_lanes(b: Builder, rows: list[Value]) -> Value:
    """The sum of all lanes of vector i as lane i: vectors are halved and put together, two and two.

    With n vectors left, vector j and vector j + n/2 join: their halves in turn, so that at the end the lanes are
    in order.
    """
    lanes = rows[0].type.lanes
    group = lanes
    while len(rows) > 1:
        half, joined = len(rows) // 2, []
        for x, y in zip(rows[:half], rows[half:], strict=True):
            parts = []
            for side in (0, group // 2):
                order = []
                for base in range(0, lanes, group):
                    for of in (0, lanes):
                        order += [of + base + side + e for e in range(group // 2)]
                parts.append(b.shuffle(x, y, order))
            joined.append(b.add(*parts))
        rows, group = joined, group // 2
    return rows[0]
