"""Matrix products, written for one size and one layout.

C[i, j] = sum over k of A[i, k] B[k, j], after Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication" (2008): a block of C stays in registers while k runs; the columns of B that it needs are read as
vectors, packed beforehand where they lie badly; elements of A are broadcast. Every element of C is one chain of
multiply-adds in the order of k, so the way C is cut into blocks and chunks does not change a bit.
"""

from itertools import product as pairs
from math import ceil
from typing import Protocol

import attrs
import numpy as np

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.packing import Panel, at, loop, pack, plus, shifted
from symgraph.lowering.llvm.target import Target

_NAMES = {"float32": "float", "float64": "double", "int32": "i32", "int64": "i64"}

# Multiply-adds from which a product is cut into 4 chunks, and into 8.
_SOME, _MANY = 100_000, 10_000_000


@attrs.frozen
class Product:
    """C (M, N) = A (M, K) B (K, N); `a` and `b` are the operands' strides in elements, of any sign, 0 too."""

    M: int
    N: int
    K: int
    a: tuple[int, int]
    b: tuple[int, int]
    dtype: np.dtype = attrs.field(converter=np.dtype)

    @property
    def type(self) -> Type:
        """The type of an element."""
        return Type(_NAMES[self.dtype.name])


@attrs.frozen
class Tiling:
    """How a product is computed: in blocks of `rows` rows and `vectors` vectors of columns; in
    `column_groups * row_groups` chunks, each with `scratch` bytes of its own, aligned as a vector is.
    """

    rows: int
    vectors: int
    packed: bool
    column_groups: int
    row_groups: int
    scratch: int

    @property
    def chunks(self) -> int:
        """In how many independent pieces C is computed."""
        return self.column_groups * self.row_groups


class Epilogue(Protocol):
    """What becomes of each finished vector of C: it writes everything, the store included.

    `acc` holds C[row, column], C[row, column + 1], ...; row and column are i64; `mask` is constant and tells the
    lanes that count, None for all of them.
    """

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None: ...


@attrs.frozen
class Store:
    """The epilogue of a plain product: store to C, whose rows are `stride` elements apart."""

    pointer: Value
    stride: int

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None:
        size = acc.type.bits // 8
        b.store(acc, at(b, at(b, self.pointer, row, self.stride * size), column, size), mask)


# Planning: from sizes alone


def plan(product: Product, target: Target, most: int = 8) -> Tiling:
    """Choose the blocks, the packing and the chunks (at most `most`) of a product."""
    p, lanes = product, target.lanes(product.dtype.itemsize)
    if 0 in (p.M, p.N):
        return Tiling(1, 1, False, 1, 1, 0)
    across = ceil(p.N / lanes)
    rows, vectors = min(_blocks(p, target), key=lambda block: _cost(p, across, *block))
    packed = not _direct(p, rows)
    column_groups, row_groups = _groups(p, ceil(across / vectors), ceil(p.M / rows), most)
    scratch = p.K * vectors * target.width if packed else 0
    return Tiling(rows, vectors, packed, column_groups, row_groups, scratch)


def _blocks(product: Product, target: Target) -> list[tuple[int, int]]:
    """The blocks that fit the registers, with a vector of B for each column and an element of A."""
    lanes = target.lanes(product.dtype.itemsize)
    across = ceil(product.N / lanes)
    spare = target.registers - (1 if target.registers > 16 else 2)
    choices = pairs(range(1, min(product.M, 16) + 1), range(1, min(across, 16) + 1))
    return [(r, v) for r, v in choices if r * v + min(v, 4) <= spare] or [(1, 1)]


def _cost(product: Product, across: int, rows: int, vectors: int) -> float:
    """Cycles a step of k that all blocks of C take, roughly; every further kind of block costs code."""
    down = _kinds(product.M, rows)
    right = _kinds(across, vectors)
    cycles = sum(n * m * _step(r, v) for (r, n), (v, m) in pairs(down, right))
    return cycles * (1 + 0.01 * len(down) * len(right))


def _kinds(total: int, block: int) -> list[tuple[int, int]]:
    """Blocks of `block` and one of what is left, each with how many there are."""
    kinds = [(block, total // block), (total % block, 1)]
    return [(size, count) for size, count in kinds if size and count]


def _step(rows: int, vectors: int) -> float:
    """Cycles of one k in a block: two multiply-adds or two loads a cycle, four instructions in all, and the time
    until a sum can be added to again; loads are never quite hidden.
    """
    sums, loads = rows * vectors, rows + vectors
    return max(sums / 2, loads / 2, (sums + loads + 2) / 4, 4.0) + 0.1 * loads


def _direct(product: Product, rows: int) -> bool:
    """Whether rows of B are read where they are: contiguous, and few or read by few."""
    p = product
    if p.b[1] != 1:
        return False
    return 2 * rows >= p.M or p.K * abs(p.b[0]) * p.dtype.itemsize <= 1 << 15


def _groups(product: Product, panels: int, blocks: int, most: int) -> tuple[int, int]:
    """Groups of columns, and of rows: columns first, for then no panel is packed twice."""
    work = product.M * product.N * product.K
    wanted = min(most, 1 if work < _SOME else 4 if work < _MANY else 8)
    columns = min(panels, wanted)
    if panels < 2 * wanted and blocks >= 4:
        columns = max(d for d in (1, 2, 4, 8) if d <= columns)
    return columns, min(blocks, wanted // columns)


# Writing


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
    stands for. `scratch` points to `tiling.scratch` bytes that no other chunk uses.
    """
    if 0 in (product.M, product.N):
        return
    kernel = _Kernel(b, product, tiling, a, matrix, scratch, epilogue, target)
    columns, rows = chunk, integer(0)
    if tiling.column_groups == 1:
        columns, rows = integer(0), chunk
    elif tiling.row_groups > 1:
        columns = b.rem(chunk, integer(tiling.column_groups))
        rows = b.div(chunk, integer(tiling.column_groups))
    across = ceil(product.N / kernel.lanes)
    wide = _Span.make(b, columns, tiling.column_groups, across, tiling.vectors)
    high = _Span.make(b, rows, tiling.row_groups, product.M, tiling.rows)
    wide.visit(b, lambda vector, count: kernel.panel(vector, count, high))


@attrs.frozen
class _Span:
    """A group's share of `total` things in blocks of `block`: from start up to stop, in things; the last group
    has the rest that fills no block.
    """

    start: Value
    stop: Value
    group: Value
    groups: int
    block: int
    rest: int

    @staticmethod
    def make(b: Builder, group: Value, groups: int, total: int, block: int) -> "_Span":
        full, rest = divmod(total, block)
        if groups == 1:
            return _Span(integer(0), integer(full * block), group, 1, block, rest)
        units = full + (rest > 0)
        bounds = []
        for g in (group, b.add(group, integer(1))):
            bound = b.div(b.mul(g, integer(units)), integer(groups))
            bounds.append(b.mul(bound, integer(block)))
        stop = b.binary("smin", bounds[1], integer(full * block)) if rest else bounds[1]
        return _Span(bounds[0], stop, group, groups, block, rest)

    def visit(self, b: Builder, body: "_Body") -> None:
        """Write the body for the blocks, and again for the rest."""
        loop(b, self.start, self.stop, self.block, lambda index: body(index, self.block))
        if not self.rest:
            return
        if self.groups == 1:
            body(self.stop, self.rest)
            return
        with b.when(b.compare("eq", self.group, integer(self.groups - 1))):
            body(self.stop, self.rest)


class _Body(Protocol):
    def __call__(self, index: Value, count: int, /) -> None: ...


@attrs.frozen
class _Kernel:
    """What the writers below share."""

    b: Builder
    product: Product
    tiling: Tiling
    a: Value
    matrix: Value
    scratch: Value
    epilogue: Epilogue
    target: Target

    @property
    def size(self) -> int:
        return self.product.dtype.itemsize

    @property
    def lanes(self) -> int:
        return self.target.lanes(self.size)

    @property
    def vector(self) -> Type:
        return Type(self.product.type.name, self.lanes)

    def panel(self, index: Value, vectors: int, rows: _Span) -> None:
        """All rows of a group, of the columns from vector `index` on."""
        p, b = self.product, self.b
        column = index if index.text == "0" else b.mul(index, integer(self.lanes))
        # A panel of the usual width may be the last one too.
        ends = vectors != self.tiling.vectors or ceil(p.N / self.lanes) == vectors or p.N % self.lanes == 0
        if not ends and p.N // self.lanes % self.tiling.vectors == self.tiling.vectors - 1:
            self._maybe_last(column, vectors, rows)
            return
        valid = p.N % self.lanes or self.lanes
        last = vectors != self.tiling.vectors or ceil(p.N / self.lanes) == vectors
        self._panel(column, Panel(self.vector, vectors, valid if last else self.lanes), rows)

    def _maybe_last(self, column: Value, vectors: int, rows: _Span) -> None:
        """Whole panels only, the last of them with a masked vector: written twice."""
        p, b = self.product, self.b
        edge = (ceil(p.N / self.lanes) - vectors) * self.lanes
        is_last = b.compare("eq", column, integer(edge))
        with b.when(b.not_(is_last)):
            self._panel(column, Panel(self.vector, vectors, self.lanes), rows)
        with b.when(is_last):
            self._panel(integer(edge), Panel(self.vector, vectors, p.N % self.lanes), rows)

    def _panel(self, column: Value, panel: Panel, rows: _Span) -> None:
        p, b = self.product, self.b
        start = at(b, self.matrix, column, p.b[1] * self.size)
        down, align = p.b[0] * self.size, 1
        if self.tiling.packed and p.K:
            strides = (down, p.b[1] * self.size)
            pack(b, panel, p.K, start, strides, self.scratch, self.target.width)
            start, down, align = self.scratch, panel.width, self.target.width
        rows.visit(b, lambda row, count: self._block(row, count, column, panel, (start, down, align)))

    def _block(
        self, row: Value, rows: int, column: Value, panel: Panel, columns: tuple[Value, int, int]
    ) -> None:
        """A block of C: k from first to last, then the epilogue."""
        p, b = self.product, self.b
        start = at(b, self.a, row, p.a[0] * self.size)
        sums = [constant(self.vector, 0)] * (rows * panel.vectors)

        def step(k: Value, sums: list[Value]) -> list[Value]:
            source, down, align = columns
            left, right = at(b, start, k, p.a[1] * self.size), at(b, source, k, down)
            loads = []
            for v in range(panel.vectors):
                mask = panel.mask(v) if align == 1 else None
                loads.append(b.load(self.vector, shifted(b, right, v * self.target.width), mask, align))
            return self._multiply(left, rows, loads, sums)

        if p.K <= 4:
            for k in range(p.K):
                sums = step(integer(k), sums)
        else:
            opened = b.begin_loop(integer(0), integer(p.K), 1, sums)
            sums = list(b.end_loop(opened, step(opened.index, list(opened.carried))))
        for r, v in pairs(range(rows), range(panel.vectors)):
            self.epilogue(
                b,
                sums[r * panel.vectors + v],
                plus(b, row, r),
                plus(b, column, v * self.lanes),
                panel.mask(v),
            )

    def _multiply(self, left: Value, rows: int, loads: list[Value], sums: list[Value]) -> list[Value]:
        b, p, after = self.b, self.product, []
        for r in range(rows):
            x = b.load(p.type, shifted(b, left, r * p.a[0] * self.size), align=1)
            x = b.splat(x, self.lanes)
            for v, y in enumerate(loads):
                after.append(_fma(b, x, y, sums[r * len(loads) + v]))
        return after


def _fma(b: Builder, x: Value, y: Value, z: Value) -> Value:
    return b.fma(x, y, z) if x.type.is_float else b.add(b.mul(x, y), z)
