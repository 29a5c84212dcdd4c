"""Sums of products over windows, written for one size and one layout: convolutions as matrix products whose rows
are read where they are, without a matrix of windows in memory.

Register blocks as in `matmul`: some rows times some vectors of columns. Elements of A are broadcast, or, where A
goes along with the columns (a convolution of each channel apart), read as vectors; vectors of B are read as they
lie. All addresses are even steps, so windows, strides and dilation are but strides:

    Sliding   C[batch, high, wide, column] = sum over steps of A[batch, high, wide, step] B[batch, step, column]
    Gathered  C[outer, high, wide, column] = sum over samples and steps of A[...] B[...]      the kernel's gradient

How a block is cut and the work shared follows from sizes alone.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil

import attrs

from symgraph.lowering.llvm.emit import I64, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.epilogue import Epilogue, coordinates, epilogue_at
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.matmul.packing import Panel, pack
from symgraph.lowering.llvm.matmul.spans import Span, at, lesser, loop, plus, shifted
from symgraph.lowering.llvm.region import Inner, Operand, Shape, contiguous, count, memory_type
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import address, fill, lanes_of, loops
from symgraph.types import DType

_CHUNKS = 8
_WORTH = 50_000  # multiply-adds that a piece should have at least
_UNWOUND = 160  # multiply-adds of an innermost loop that is written out
_MANY = 256  # rows, of all images, from which what is packed is read often enough
_LONG = 400  # lines of an epilogue for a block, above which it is a loop


@attrs.frozen(cache_hash=True)
class Sliding:
    """Strides in elements: those of `a` over (*batches, high, wide, column, *steps), of `b` over (*batches, column,
    *steps); those of the epilogue's operands and outputs over (*batches, high, wide, column).
    """

    images: Shape
    high: int
    wide: int
    columns: int
    steps: Shape
    a: tuple[int, ...]
    b: tuple[int, ...]
    dtype: DType
    nodes: tuple[Inner, ...]
    head: int
    operands: tuple[Operand, ...]
    outputs: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def batches(self) -> Shape:
        """What the epilogue takes for batches: a row of pixels each."""
        return (*self.images, self.high)


@attrs.frozen(cache_hash=True)
class Gathered:
    """Strides in elements: those of `a` over (*outer, high, wide, column, sample, *steps), of `b` over (*outer,
    column, sample, *steps), of the result over (*outer, high, wide, column).
    """

    outer: Shape
    high: int
    wide: int
    columns: int
    samples: int
    steps: Shape
    a: tuple[int, ...]
    b: tuple[int, ...]
    out: tuple[int, ...]
    dtype: DType

    @property
    def shape(self) -> Shape:
        """The axes of the result."""
        return (*self.outer, self.high, self.wide, self.columns)


@attrs.frozen
class Block:
    """`tall` rows of `broad` pixels each, by `vectors` vectors of columns."""

    tall: int
    broad: int
    vectors: int


def block_of(high: int, wide: int, columns: int, lanes: int, target: Target, once: bool) -> Block:
    """Blocks of about one size that fit the registers, with vectors of B and an element of A. Where rows are too
    few for the last block, some are done again; with `once` none may be.
    """
    across = ceil(columns / lanes)
    vectors = ceil(across / ceil(across / (4 if target.registers == 32 else 2)))
    most = max(1, (target.registers - 1 - vectors) // vectors)
    if wide > most:
        return Block(1, ceil(wide / ceil(wide / most)), vectors)
    # Fewer sums than hide the time of an addition take as long as those; a block costs about one more.
    fitting = [t for t in range(1, min(high, most // wide) + 1) if not once or high % t == 0]
    tall = min(fitting, key=lambda t: ceil(high / t) * (max(t * wide * vectors, 8) + 1))
    return Block(tall, wide, vectors)


@attrs.frozen
class Sums:
    """What the writers of both kernels share: how the sums of one block are made."""

    b: Builder
    dtype: DType
    lanes: int
    steps: Shape
    row: tuple[int, int, int]  # strides of A over high, wide and the columns
    a: tuple[int, ...]  # over the steps
    of: tuple[int, ...]  # of B over the steps
    align: int = 1

    @property
    def vector(self) -> Type:
        """The type of a vector."""
        return memory_type(self.dtype, self.lanes)

    def make(self, left: Value, right: Value, tall: int, broad: int, panel: Panel) -> list[Value]:
        """The sums of a block whose first element of A, and whose first vector of B, are at the addresses."""
        zero = constant(self.vector, 0)
        return self._run(0, left, right, [zero] * (tall * broad * panel.vectors), tall, broad, panel)

    def _run(
        self, axis: int, left: Value, right: Value, sums: list[Value], tall: int, broad: int, panel: Panel
    ) -> list[Value]:
        b, size = self.b, self.dtype.itemsize
        if axis == len(self.steps):
            return self._multiply(left, right, sums, tall, broad, panel)
        n, down, along = self.steps[axis], self.a[axis] * size, self.of[axis] * size
        last = axis == len(self.steps) - 1
        if last and n * len(sums) <= _UNWOUND:
            for k in range(n):
                sums = self._multiply(
                    shifted(b, left, k * down), shifted(b, right, k * along), sums, tall, broad, panel
                )
            return sums
        opened = b.begin_loop(integer(0), integer(n), 1, sums)
        left, right = at(b, left, opened.index, down), at(b, right, opened.index, along)
        done = self._run(axis + 1, left, right, list(opened.carried), tall, broad, panel)
        return list(b.end_loop(opened, done))

    def _multiply(
        self, left: Value, right: Value, sums: list[Value], tall: int, broad: int, panel: Panel
    ) -> list[Value]:
        b, size = self.b, self.dtype.itemsize
        after: list[Value] = []
        masks = [panel.mask(v) if self.align == 1 else None for v in range(panel.vectors)]
        places = [v * self.lanes * size for v in range(panel.vectors)]
        ys = [
            b.load(self.vector, shifted(b, right, p), m, self.align)
            for p, m in zip(places, masks, strict=True)
        ]
        for i in range(tall):
            for j in range(broad):
                x_at = shifted(b, left, (i * self.row[0] + j * self.row[1]) * size)
                for v, y in enumerate(ys):
                    if self.row[2]:
                        x = b.load(self.vector, shifted(b, x_at, places[v]), panel.mask(v))
                    elif v == 0:
                        x = b.splat(b.load(memory_type(self.dtype), x_at), self.lanes)
                    after.append(b.fma(x, y, sums[len(after)]))
        return after


def _panels(
    b: Builder, columns: int, vectors: int, type_: Type, body: Callable[[Value, Panel], None]
) -> None:
    """Write the body for the panels of columns; the last may have a vector that is not full."""
    block = vectors * type_.lanes

    def visit(column: Value, size: int) -> None:
        body(column, Panel(type_, ceil(size / type_.lanes), (size - 1) % type_.lanes + 1))

    Span(integer(0), integer(columns), columns, block).visit(b, visit)


def share(b: Builder, total: int, work: int) -> tuple[int, Value, Value]:
    """In how many pieces `total` things are done, and which of them this piece does."""
    chunks = max(1, min(_CHUNKS, total, work // _WORTH))
    per = ceil(total / chunks)
    chunks = ceil(total / per)
    if chunks == 1:
        return 1, integer(0), integer(total)
    start = b.mul(Value("%chunk", I64), integer(per))
    return chunks, start, b.binary("smin", b.add(start, integer(per)), integer(total))


@lru_cache(1024)
def write_sliding(s: Sliding, target: Target) -> Kernel:
    """The kernel: its arguments are A, B, the epilogue's operands, the outputs, and scratch."""
    b = Builder()
    pointers = open_kernel(b, 3 + len(s.operands) + len(s.outputs))
    size, lanes, depth = s.dtype.itemsize, target.lanes(s.dtype.itemsize), len(s.images)
    block = block_of(s.high, s.wide, s.columns, lanes, target, once=False)
    rows = ceil(s.high / block.tall)
    total, deep = count(s.images) * rows, count(s.steps)
    work = count(s.images) * s.high * s.wide * s.columns * deep
    chunks, start, stop = share(b, total, work)
    vector = memory_type(s.dtype, lanes)
    # B is packed, aligned, where many rows read it; its steps are one axis to who packs them.
    even = len(_joined(s.steps, s.b[depth + 1 :])) == 1 and not any(s.b[:depth])
    packs = even and count(s.images) * s.high * s.wide >= _MANY
    over = block.tall * block.broad * block.vectors
    sums_room = over * target.width
    scratch = ceil((sums_room + packs * deep * block.vectors * target.width) / 64) * 64
    room = pointers[-1]
    if chunks > 1:
        room = b.offset(room, b.mul(Value("%chunk", I64), integer(scratch)))

    def columns(column: Value, panel: Panel) -> None:
        right, steps, align = at(b, pointers[1], column, size), s.b[depth + 1 :], 1
        if packs:
            place = shifted(b, room, sums_room)
            pack(b, panel, integer(deep), right, (steps[-1] * size, size), place, target.width)
            right, align = place, target.width
            steps = tuple(n * panel.vectors * lanes for n in contiguous(s.steps))
        sums = Sums(b, s.dtype, lanes, s.steps, _three(s.a[depth:]), s.a[depth + 3 :], steps, align)

        def one(unit: Value) -> None:
            *image, part = coordinates(b, unit, (*s.images, rows))
            top = b.mul(part, integer(block.tall)) if block.tall > 1 else part
            if s.high % block.tall:
                top = lesser(b, top, integer(s.high - block.tall))
            left = address(b, pointers[0], [*image, top], s.a[: depth + 1], s.dtype)
            if s.a[depth + 2]:
                left = at(b, left, column, size)
            own = right if packs else address(b, right, image, s.b[:depth], s.dtype)
            ends = [epilogue_at(b, s, pointers[2:], [*image, plus(b, top, i)]) for i in range(block.tall)]

            def pixels(first: Value, broad: int) -> None:
                from_ = at(b, left, first, s.a[depth + 1] * size)
                made = sums.make(from_, own, block.tall, broad, panel)
                _finish(b, ends, made, room, first, broad, column, panel, target)

            Span(integer(0), integer(s.wide), s.wide, block.broad).visit(b, pixels)

        loop_over(b, start, stop, one)

    _panels(b, s.columns, block.vectors, vector, columns)
    return close(b, chunks, scratch * chunks)


def loop_over(b: Builder, start: Value, stop: Value, body: Callable[[Value], None]) -> None:
    """`for index in range(start, stop)`, which runs at least once."""
    opened = b.begin_loop(start, stop, 1)
    body(opened.index)
    b.end_loop(opened)


def _three(strides: Sequence[int]) -> tuple[int, int, int]:
    return strides[0], strides[1], strides[2]


def _joined(steps: Shape, strides: Sequence[int]) -> Shape:
    """The axes of steps that do not follow evenly on one another."""
    kept = [steps[-1]]
    for i in range(len(steps) - 2, -1, -1):
        if strides[i] == strides[i + 1] * steps[i + 1]:
            kept[0] *= steps[i]
        else:
            kept.insert(0, steps[i])
    return tuple(kept)


def _finish(
    b: Builder,
    ends: Sequence[Epilogue],
    sums: Sequence[Value],
    room: Value,
    first: Value,
    broad: int,
    column: Value,
    panel: Panel,
    target: Target,
) -> None:
    """The epilogue of a block: vector by vector, or in a loop over the pixels of a row where that is much text."""
    draft = attrs.evolve(b, lines=[], intrinsics={})
    index = Value("%index", I64)
    ends[0](draft, sums[0], index, index, None)
    lanes, long = panel.type.lanes, len(draft.lines) * len(sums) > _LONG
    if long:
        for k, x in enumerate(sums):
            b.store(x, shifted(b, room, k * target.width), align=target.width)
    for i, end in enumerate(ends):

        def pixel(j: Value, values: Sequence[Value], end: Epilogue = end) -> None:
            for v, acc in enumerate(values):
                end(b, acc, j, plus(b, column, v * lanes), panel.mask(v))

        row = i * broad * panel.vectors
        if not long:
            for j in range(broad):
                pixel(plus(b, first, j), sums[row + j * panel.vectors : row + (j + 1) * panel.vectors])
            continue

        def stored(j: Value, row: int = row, pixel: Callable[..., None] = pixel) -> None:
            place = at(b, shifted(b, room, row * target.width), j, panel.vectors * target.width)
            values = [
                b.load(panel.type, shifted(b, place, v * target.width), None, target.width)
                for v in range(panel.vectors)
            ]
            pixel(j if first.text == "0" else b.add(first, j), values)

        loop(b, integer(0), integer(broad), 1, stored)


@lru_cache(1024)
def write_gathered(g: Gathered, target: Target) -> list[Kernel]:
    """The kernels: their arguments are A, B, the result, and scratch. Each piece sums over its share of the
    samples; where there are several, a second kernel adds their sums up in order.
    """
    b = Builder()
    pointers = open_kernel(b, 4)
    size, lanes, depth = g.dtype.itemsize, target.lanes(g.dtype.itemsize), len(g.outer)
    block = block_of(g.high, g.wide, g.columns, lanes, target, once=True)
    rows = ceil(g.high / block.tall)
    chunks, start, stop = share(b, g.samples, count(g.shape) * g.samples * count(g.steps))
    vector = memory_type(g.dtype, lanes)
    scratch = ceil(count(g.shape) * size / 64) * 64 if chunks > 1 else 0
    places = contiguous(g.shape) if chunks > 1 else g.out
    into = b.offset(pointers[3], b.mul(Value("%chunk", I64), integer(scratch))) if chunks > 1 else pointers[2]
    fill(b, into, g.shape, places, g.dtype, 0, target)
    sums = Sums(b, g.dtype, lanes, g.steps, _three(g.a[depth:]), g.a[depth + 4 :], g.b[depth + 2 :])

    def sample(n: Value) -> None:
        x = at(b, pointers[0], n, g.a[depth + 3] * size)
        y = at(b, pointers[1], n, g.b[depth + 1] * size)

        def columns(column: Value, panel: Panel) -> None:
            def one(unit: Value) -> None:
                *outer, part = coordinates(b, unit, (*g.outer, rows))
                top = b.mul(part, integer(block.tall)) if block.tall > 1 else part
                left = address(b, x, [*outer, top], g.a[: depth + 1], g.dtype)
                right = at(b, address(b, y, outer, g.b[:depth], g.dtype), column, size)
                target_at = at(b, address(b, into, [*outer, top], places[: depth + 1], g.dtype), column, size)
                if g.a[depth + 2]:
                    left = at(b, left, column, size)

                def pixels(first: Value, broad: int) -> None:
                    from_ = at(b, left, first, g.a[depth + 1] * size)
                    to = at(b, target_at, first, places[depth + 1] * size)
                    made = sums.make(from_, right, block.tall, broad, panel)
                    for k, acc in enumerate(made):
                        i, rest = divmod(k, broad * panel.vectors)
                        j, v = divmod(rest, panel.vectors)
                        offset = i * places[depth] + j * places[depth + 1] + v * lanes
                        place = shifted(b, to, offset * size)
                        old = b.load(vector, place, panel.mask(v))
                        b.store(b.add(old, acc), place, panel.mask(v))

                Span(integer(0), integer(g.wide), g.wide, block.broad).visit(b, pixels)

            loop_over(b, integer(0), integer(count(g.outer) * rows), one)

        _panels(b, g.columns, block.vectors, vector, columns)

    loop_over(b, start, stop, sample)
    main = close(b, chunks, scratch * chunks)
    return [main] if chunks == 1 else [main, _join(g, chunks, scratch, target)]


def _join(g: Gathered, chunks: int, scratch: int, target: Target) -> Kernel:
    """The sums of all pieces, added up in order."""
    b = Builder()
    pointers = open_kernel(b, 4)
    places = contiguous(g.shape)

    def body(index: list[Value], lanes: int, mask: Value | None) -> None:
        source = address(b, pointers[3], index, places, g.dtype)
        type_ = memory_type(g.dtype, lanes)
        total = b.load(type_, source, mask)
        for piece in range(1, chunks):
            total = b.add(total, b.load(type_, shifted(b, source, piece * scratch), mask))
        b.store(total, address(b, pointers[2], index, g.out, g.dtype), mask)

    loops(b, g.shape, lanes_of(g.shape, g.dtype, target), body)
    return close(b)
