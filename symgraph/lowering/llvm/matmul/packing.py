"""Panels of a matrix, copied so that a product's inner loop reads whole vectors one after the other.

A panel holds `vectors` vectors of neighbouring columns, row after row. Lanes past the last column repeat it: no
value that is not in the matrix is ever computed with.
"""

import attrs

from symgraph.lowering.llvm.emit import I1, Builder, Type, Value, integer
from symgraph.lowering.llvm.matmul.spans import at, known, lesser, loop, plus, prefetch, shifted

# Rows further apart in bytes than the processor foresees are asked for so many rows ahead.
_STRIDE, _AHEAD = 2048, 16


@attrs.frozen
class Panel:
    """`vectors` vectors of `type` side by side; of the last one `valid` lanes are columns of the matrix."""

    type: Type
    vectors: int
    valid: int

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.type.bits // 8

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.vectors * self.type.lanes * self.itemsize

    def mask(self, vector: int) -> Value | None:
        """The lanes of a vector that are columns, None for all."""
        return first_lanes(self.valid, self.type.lanes) if vector == self.vectors - 1 else None


def first_lanes(count: int, lanes: int) -> Value | None:
    """The constant mask of the first lanes, None for all of them.

    >>> str(first_lanes(1, 2))
    '<2 x i1> <i1 1, i1 0>'
    """
    if count == lanes:
        return None
    text = ", ".join(f"i1 {int(i < count)}" for i in range(lanes))
    return Value(f"<{text}>" if lanes > 1 else text[3:], Type(I1.name, lanes))


def pack(
    b: Builder, panel: Panel, depth: Value, matrix: Value, strides: tuple[int, int], into: Value, align: int
) -> None:
    """Copy a panel of `depth` rows that starts at `matrix` into `into`; strides in bytes, of rows and columns.

    A depth that is no constant is at least 4.
    """
    down, across = strides
    number = known(depth)
    least = 4 if number is None else number
    if across == panel.itemsize:
        _pack_rows(b, panel, depth, matrix, down, into, align)
    elif down == panel.itemsize and least >= 16 // panel.itemsize:
        _pack_transposed(b, panel, depth, matrix, across, into, align)
    else:
        _pack_elements(b, panel, depth, matrix, strides, into)


def _pack_rows(
    b: Builder, panel: Panel, depth: Value, matrix: Value, down: int, into: Value, align: int
) -> None:
    size = panel.type.lanes * panel.itemsize

    def row(k: Value) -> None:
        source, target = at(b, matrix, k, down), at(b, into, k, panel.width)
        if abs(down) > _STRIDE:
            prefetch(b, shifted(b, source, _AHEAD * down), panel.width, write=False)
        for v in range(panel.vectors):
            x = b.load(panel.type, shifted(b, source, v * size), panel.mask(v))
            b.store(x, shifted(b, target, v * size), align=align)

    loop(b, integer(0), depth, 1, row)


def _pack_elements(
    b: Builder, panel: Panel, depth: Value, matrix: Value, strides: tuple[int, int], into: Value
) -> None:
    scalar, lanes = Type(panel.type.name), panel.type.lanes
    last = (panel.vectors - 1) * lanes + panel.valid - 1

    def row(k: Value) -> None:
        source, target = at(b, matrix, k, strides[0]), at(b, into, k, panel.width)

        def column(j: Value) -> None:
            x = b.load(scalar, at(b, source, _at_most(b, j, last, panel), strides[1]))
            b.store(x, at(b, target, j, panel.itemsize))

        loop(b, integer(0), integer(panel.vectors * lanes), 1, column)

    loop(b, integer(0), depth, 1, row)


def _at_most(b: Builder, j: Value, last: int, panel: Panel) -> Value:
    return j if panel.valid == panel.type.lanes else lesser(b, j, integer(last))


def _pack_transposed(
    b: Builder, panel: Panel, depth: Value, matrix: Value, across: int, into: Value, align: int
) -> None:
    """Pieces of 16 bytes from every column, put side by side and transposed within each 16 bytes: `piece` vectors
    of `piece` elements from a column each. The last step is moved back to end with the matrix.
    """
    lanes, piece = panel.type.lanes, 16 // panel.itemsize
    last = (panel.vectors - 1) * lanes + panel.valid - 1
    number = known(depth)
    ragged = number is None or number % piece != 0

    def block(j: Value) -> None:
        columns = [at(b, matrix, _at_most(b, plus(b, j, i), last, panel), across) for i in range(lanes)]
        target = at(b, into, j, panel.itemsize)

        def step(k: Value) -> None:
            if ragged:
                k = lesser(b, k, plus(b, depth, -piece))
            parts = [b.load(panel.type._replace(lanes=piece), at(b, c, k, panel.itemsize)) for c in columns]
            rows = [_join(b, parts[i::piece]) for i in range(piece)]
            to = at(b, target, k, panel.width)
            for i, x in enumerate(_transpose_pieces(b, rows)):
                b.store(x, shifted(b, to, i * panel.width), align=align)

        loop(b, integer(0), depth, piece, step)

    loop(b, integer(0), integer(panel.vectors * lanes), lanes, block)


def _join(b: Builder, parts: list[Value]) -> Value:
    """Vectors side by side in one."""
    while len(parts) > 1:
        wide = 2 * parts[0].type.lanes
        parts = [b.shuffle(x, y, range(wide)) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _transpose_pieces(b: Builder, rows: list[Value]) -> list[Value]:
    """Within each group of n lanes of n vectors: lane i of vector j becomes lane j of vector i; n is 2 or 4."""
    lanes = rows[0].type.lanes

    def unpack(x: Value, y: Value, first: int, unit: int) -> Value:
        # Of every group: units first, first + 1, ... of x and y in turn.
        group = len(rows)
        order = []
        for base in range(0, lanes, group):
            for u in range(group // 2 // unit):
                for of in (0, lanes):
                    order += [of + base + first + u * unit + e for e in range(unit)]
        return b.shuffle(x, y, order)

    if len(rows) == 2:
        return [unpack(rows[0], rows[1], i, 1) for i in range(2)]
    low = [unpack(rows[0], rows[1], 0, 1), unpack(rows[2], rows[3], 0, 1)]
    high = [unpack(rows[0], rows[1], 2, 1), unpack(rows[2], rows[3], 2, 1)]
    return [unpack(pair[0], pair[1], first, 2) for pair in (low, high) for first in (0, 2)]
