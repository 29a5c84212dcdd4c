"""The blocks of a matrix product: what is packed when, the sums in registers, and what becomes of them."""

from itertools import product as pairs
from math import ceil
from typing import Protocol

import attrs

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.matmul.packing import Panel, first_lanes, pack
from symgraph.lowering.llvm.matmul.spans import Span, at, lesser, loop, minus, plus, shifted, times
from symgraph.lowering.llvm.matmul.tiling import Product, Tiling
from symgraph.lowering.llvm.target import Target

# Lines of an epilogue, for all vectors of a block, above which it is written once, in a loop over the block.
_LONG = 256

# Steps of k in which a line arrives from afar, and bytes of C from which it does.
_LEAD, _FAR = 32, 1 << 19


class Epilogue(Protocol):
    """What becomes of each finished vector of C: it writes everything, the store included. It may be called for
    text that is thrown away, so it must do nothing but write.

    `acc` holds C[row, column], C[row, column + 1], ...; row and column are i64; `mask` is constant and tells the
    lanes that count, None for all of them.

    It may have a method `prefetch(b, type_, row, column, vectors)`, which writes hints for what it will touch in a
    row, some vectors of a type from a column on. It is called before the sums of a block are made, where C is
    larger than the caches.
    """

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None: ...


@attrs.frozen
class _Left:
    """Where A is read: rows from `origin` on, at `pointer`, with strides in bytes of rows and of k."""

    pointer: Value
    origin: Value
    strides: tuple[int, int]


@attrs.frozen
class _Right:
    """Where a panel of B is read: its first row, the bytes to the next, and what is known of the alignment."""

    pointer: Value
    down: int
    align: int


@attrs.frozen
class Tiles:
    """What the writers of a product share."""

    b: Builder
    product: Product
    tiling: Tiling
    a: Value
    matrix: Value
    scratch: Value
    epilogue: Epilogue
    target: Target

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return self.target.lanes(self.product.size)

    @property
    def vector(self) -> Type:
        """The type of a vector."""
        return Type(self.product.type.name, self.lanes)

    @property
    def sums(self) -> Value:
        """Where sums are kept."""
        return shifted(self.b, self.scratch, self.tiling.sums)

    def write(self, wide: Span, high: Span) -> None:
        """The rows and columns of a chunk, blocked over k where a panel is too deep for the caches."""
        p, b = self.product, self.b
        if self.tiling.depth == p.K:
            self._steps(wide, high, integer(0), integer(p.K))
            return
        self._clear(wide, high)

        def steps(k: Value) -> None:
            depth = lesser(b, integer(self.tiling.depth), minus(b, integer(p.K), k))
            self._steps(wide, high, k, depth)

        loop(b, integer(0), integer(p.K), self.tiling.depth, steps)
        self._panels(wide, lambda column, panel: self._finish_all(wide, high, column, panel))

    def _panels(self, wide: Span, body: "_OnPanel") -> None:
        """Write the body for the panels of a chunk; the last of all may have a vector that is not full."""
        rest = self.product.N % wide.block

        def visit(column: Value, size: int) -> None:
            vectors = -(-size // self.lanes)
            ragged = size == rest and bool(size % self.lanes)
            body(column, Panel(self.vector, vectors, size % self.lanes if ragged else self.lanes))

        wide.visit(self.b, visit)

    # Packing

    def _steps(self, wide: Span, high: Span, k: Value, depth: Value) -> None:
        """All blocks of a chunk, for `depth` steps from k on."""
        p, b, t = self.product, self.b, self.tiling
        down, across = (stride * p.size for stride in p.a)
        left = _Left(at(b, self.a, k, across), integer(0), (down, across))
        if not t.slab:

            def whole(column: Value, panel: Panel) -> None:
                right = self._right(column, panel, k, depth, self.scratch)
                high.visit(
                    b, lambda row, rows: self._block(wide, high, row, rows, column, panel, left, right, depth)
                )

            self._panels(wide, whole)
            return
        if t.packed:
            self._panels(wide, lambda c, panel: self._pack_right(c, panel, k, depth, self._place(wide, c)))

        def slab(row: Value) -> None:
            packed, rows = self._pack_left(row, left, depth), high.part(b, row, t.slab)

            def part(c: Value, panel: Panel) -> None:
                right = self._reading(c, panel, k, self._place(wide, c))
                rows.visit(b, lambda row, n: self._block(wide, high, row, n, c, panel, packed, right, depth))

            self._panels(wide, part)

        if t.slab >= p.M:
            slab(integer(0))
        else:
            loop(b, high.start, high.end, t.slab, slab)

    def _place(self, wide: Span, column: Value) -> Value:
        """Where a panel is packed, when all panels of a chunk are."""
        return at(
            self.b, self.scratch, minus(self.b, column, wide.start), self.tiling.depth * self.product.size
        )

    def _right(self, column: Value, panel: Panel, k: Value, depth: Value, place: Value) -> _Right:
        if self.tiling.packed:
            self._pack_right(column, panel, k, depth, place)
        return self._reading(column, panel, k, place)

    def _reading(self, column: Value, panel: Panel, k: Value, place: Value) -> _Right:
        """How a panel is read: where it is packed, or where it is."""
        if self.tiling.packed:
            return _Right(place, panel.width, self.target.width)
        return _Right(self._corner(column, k), self.product.b[0] * self.product.size, 1)

    def _corner(self, column: Value, k: Value) -> Value:
        p, b = self.product, self.b
        return at(b, at(b, self.matrix, k, p.b[0] * p.size), column, p.b[1] * p.size)

    def _pack_right(self, column: Value, panel: Panel, k: Value, depth: Value, place: Value) -> None:
        strides = (self.product.b[0] * self.product.size, self.product.b[1] * self.product.size)
        pack(self.b, panel, depth, self._corner(column, k), strides, place, self.target.width)

    def _pack_left(self, row: Value, left: _Left, depth: Value) -> _Left:
        """Copy some rows of A so that those of one k are neighbours; the last rows are taken with some before
        them.
        """
        b, size, slab = self.b, self.product.size, self.tiling.slab
        start = lesser(b, row, integer(self.product.M - slab))
        vectors = -(-slab // self.lanes)
        panel = Panel(self.vector, vectors, slab - (vectors - 1) * self.lanes)
        place = shifted(b, self.scratch, self.tiling.left)
        down, across = left.strides
        pack(b, panel, depth, at(b, left.pointer, start, down), (across, down), place, self.target.width)
        return _Left(place, start, (size, panel.width))

    # Sums

    def _block(
        self,
        wide: Span,
        high: Span,
        row: Value,
        rows: int,
        column: Value,
        panel: Panel,
        left: _Left,
        right: _Right,
        depth: Value,
    ) -> None:
        """A block of C: k from first to last; then the epilogue, or where k is blocked, back to the sums."""
        b, kept = self.b, self.tiling.depth < self.product.K
        start = at(b, left.pointer, minus(b, row, left.origin), left.strides[0])
        if not kept:
            self._prefetch(row, rows, column, panel)
        zero = constant(self.vector, 0)
        if kept:
            place = at(b, self._kept(wide, high, column), minus(b, row, high.start), panel.width)
            sums = self._load_tile(place, rows, panel)
        else:
            sums = [zero] * (rows * panel.vectors)
        sums = self._run(start, rows, panel, left, right, depth, sums)
        if kept:
            self._store_tile(place, panel, sums)
        else:
            self._finish(row, rows, column, panel, sums)

    def _prefetch(self, row: Value, rows: int, column: Value, panel: Panel) -> None:
        """Ask for what the epilogue of a block will touch, where it is far and there is time to get it."""
        p, touch = self.product, getattr(self.epilogue, "prefetch", None)
        if touch is None or self.tiling.swapped or p.K < _LEAD or p.M * p.N * p.size < _FAR:
            return
        for r in range(rows):
            touch(self.b, self.vector, plus(self.b, row, r), column, panel.vectors)

    def _run(
        self,
        start: Value,
        rows: int,
        panel: Panel,
        left: _Left,
        right: _Right,
        depth: Value,
        sums: list[Value],
    ) -> list[Value]:
        """Add `depth` steps of k to the sums.

        A block too small to hide the time of an addition, where it is all rows there are, is summed in several
        chains: k, k + chains, ... each.
        """
        b, steps = self.b, self.product.K
        chains = min(4, 8 // len(sums)) if len(sums) < 8 and rows == self.product.M and steps >= 16 else 1
        chains = chains if self.tiling.depth == steps else 1

        def step(k: Value, sums: list[Value]) -> list[Value]:
            x, y = at(b, start, k, left.strides[1]), at(b, right.pointer, k, right.down)
            return self._multiply(x, rows, self._row_of(y, panel, right.align), left.strides[0], sums)

        if self.tiling.unwound:
            for k in range(steps):
                sums = step(integer(k), sums)
            return sums
        if chains == 1:
            opened = b.begin_loop(integer(0), depth, 1, sums)
            return list(b.end_loop(opened, step(opened.index, list(opened.carried))))
        return self._chained(step, chains, sums)

    def _chained(self, step: "_Step", chains: int, sums: list[Value]) -> list[Value]:
        b, steps, n = self.b, self.product.K, len(sums)
        whole = steps - steps % chains
        every = sums + [constant(self.vector, 0)] * (n * (chains - 1))

        def turn(k: Value, count: int, every: list[Value]) -> list[Value]:
            for c in range(count):
                every[c * n : (c + 1) * n] = step(plus(b, k, c), every[c * n : (c + 1) * n])
            return every

        opened = b.begin_loop(integer(0), integer(whole), chains, every)
        every = list(b.end_loop(opened, turn(opened.index, chains, list(opened.carried))))
        every = turn(integer(whole), steps % chains, every)
        while len(every) > n:
            half = -(-len(every) // n // 2) * n
            every = [b.add(x, y) for x, y in zip(every, every[half:], strict=False)] + every[
                len(every) - half : half
            ]
        return every

    def _row_of(self, address: Value, panel: Panel, align: int) -> list[Value]:
        """The vectors of a panel for one k; a packed one is read whole."""
        masks = [panel.mask(v) if align == 1 else None for v in range(panel.vectors)]
        places = [shifted(self.b, address, v * self.target.width) for v in range(panel.vectors)]
        return [
            self.b.load(self.vector, place, mask, align) for place, mask in zip(places, masks, strict=True)
        ]

    def _multiply(
        self, left: Value, rows: int, loads: list[Value], down: int, sums: list[Value]
    ) -> list[Value]:
        b, after = self.b, []
        for r in range(rows):
            x = b.splat(b.load(self.product.type, shifted(b, left, r * down)), self.lanes)
            after += [self.fma(x, y, sums[r * len(loads) + v]) for v, y in enumerate(loads)]
        return after

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """X * y + z, of integers too."""
        return self.b.fma(x, y, z) if x.type.is_float else self.b.add(self.b.mul(x, y), z)

    # Sums in memory

    def _kept(self, wide: Span, high: Span, column: Value) -> Value:
        """Where a panel's sums are kept while k is blocked."""
        b, t = self.b, self.tiling
        height = ceil(ceil(self.product.M / t.rows) / t.row_groups) * t.rows
        return at(b, self.sums, minus(b, column, wide.start), height * self.product.size)

    def _clear(self, wide: Span, high: Span) -> None:
        b = self.b

        def panel(column: Value, panel: Panel) -> None:
            place, zero = self._kept(wide, high, column), [constant(self.vector, 0)] * panel.vectors
            loop(
                b,
                integer(0),
                minus(b, high.end, high.start),
                1,
                lambda row: self._store_tile(at(b, place, row, panel.width), panel, zero),
            )

        self._panels(wide, panel)

    def _load_tile(self, place: Value, rows: int, panel: Panel) -> list[Value]:
        count, size = rows * panel.vectors, self.target.width
        return [self.b.load(self.vector, shifted(self.b, place, i * size), None, size) for i in range(count)]

    def _store_tile(self, place: Value, panel: Panel, sums: list[Value]) -> None:
        size = self.target.width
        for i, x in enumerate(sums):
            self.b.store(x, shifted(self.b, place, i * size), align=size)

    # Epilogue

    def _finish(self, row: Value, rows: int, column: Value, panel: Panel, sums: list[Value]) -> None:
        """The epilogue of a block: vector by vector, or over the block in memory where that is much text."""
        b = self.b
        if self.tiling.swapped:
            self._store_tile(self.sums, panel, sums)
            self._finish_transposed(rows, column, panel)
            return
        if self._lines() * len(sums) > _LONG and len(sums) > 1:
            self._store_tile(self.sums, panel, sums)
            self.finish_rows(self.sums, row, integer(rows), column, panel)
            return
        for (r, v), acc in zip(pairs(range(rows), range(panel.vectors)), sums, strict=True):
            self.epilogue(b, acc, plus(b, row, r), plus(b, column, v * self.lanes), panel.mask(v))

    def _finish_transposed(self, rows: int, column: Value, panel: Panel) -> None:
        """The epilogue of a block of C transposed: all of some rows of C, turned back by the way columns of B are
        packed.
        """
        b, size = self.b, self.product.size
        count = (panel.vectors - 1) * self.lanes + panel.valid
        if rows == 1:
            self.finish_column(self.sums, column, integer(count))
            return
        vectors = ceil(rows / self.lanes)
        turned = Panel(self.vector, vectors, rows - (vectors - 1) * self.lanes)
        place = shifted(b, self.sums, rows * panel.width)
        pack(b, turned, integer(count), self.sums, (size, panel.width), place, self.target.width)
        self.finish_rows(place, column, integer(count), integer(0), turned)

    def _lines(self) -> int:
        """How long the epilogue is."""
        draft = attrs.evolve(self.b, lines=[], intrinsics={})
        index = Value("%index", integer(0).type)
        self.epilogue(draft, constant(self.vector, 0), index, index, None)
        return len(draft.lines)

    def _finish_all(self, wide: Span, high: Span, column: Value, panel: Panel) -> None:
        rows = minus(self.b, high.end, high.start)
        self.finish_rows(self._kept(wide, high, column), high.start, rows, column, panel)

    def finish_rows(self, place: Value, row: Value, rows: Value, column: Value, panel: Panel) -> None:
        """The epilogue of rows of sums in memory, as wide as a panel."""
        b, size = self.b, self.target.width
        full = panel.vectors - (panel.mask(panel.vectors - 1) is not None)

        def each(r: Value) -> None:
            start = at(b, place, r, panel.width)
            index = r if row == integer(0) else b.add(row, r)

            def one(v: Value, mask: Value | None) -> None:
                acc = b.load(self.vector, at(b, start, v, size), None, size)
                where = times(b, v, self.lanes)
                self.epilogue(b, acc, index, where if column == integer(0) else b.add(column, where), mask)

            loop(b, integer(0), integer(full), 1, lambda v: one(v, None))
            if full < panel.vectors:
                one(integer(full), panel.mask(full))

        loop(b, integer(0), rows, 1, each)

    def finish_column(self, place: Value, start: Value, count: Value) -> None:
        """The epilogue of sums in memory that are a column of C: one lane at a time."""
        b, mask = self.b, first_lanes(1, self.lanes)

        def each(i: Value) -> None:
            x = b.load(self.product.type, at(b, place, i, self.product.size))
            acc = b.emit(self.vector, f"insertelement {constant(self.vector, 0)}, {x}, i64 0")
            self.epilogue(b, acc, i if start == integer(0) else b.add(start, i), integer(0), mask)

        loop(b, integer(0), count, 1, each)


class _OnPanel(Protocol):
    def __call__(self, column: Value, panel: Panel, /) -> None: ...


class _Step(Protocol):
    def __call__(self, k: Value, sums: list[Value], /) -> list[Value]: ...
