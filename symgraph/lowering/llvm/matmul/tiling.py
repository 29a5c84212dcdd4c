"""How a matrix product is cut: register blocks, packing, cache blocks and chunks, from its sizes alone."""

from itertools import product as pairs
from math import ceil

import attrs
import numpy as np

from symgraph.lowering.llvm.emit import Type
from symgraph.lowering.llvm.target import Target

_NAMES = {"float32": "float", "float64": "double", "int32": "i32", "int64": "i64"}

# Multiply-adds from which a product is cut into 4 chunks, and into 8.
_SOME, _MANY = 100_000, 10_000_000

# Bytes that stay in the first cache with what else runs through it; bytes of a packed panel that are cheap to
# read from the second.
_NEAR, _MIDDLE = 1 << 15, 1 << 18

# Multiply-adds of a product whose time is that of jumps; of one block of it, written without a loop over k.
_TINY, _UNWOUND = 10_000, 80


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

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return int(self.dtype.itemsize)

    @property
    def swapped(self) -> "Product":
        """The same sums as the product of B transposed and A transposed."""
        return attrs.evolve(self, M=self.N, N=self.M, a=self.b[::-1], b=self.a[::-1])


@attrs.frozen
class Tiling:
    """How a product is computed: blocks of `rows` rows and `vectors` vectors of columns, with `depth` steps of k
    at a time, in a loop or `unwound`; columns of B packed or not; `slab` rows of A packed at a time, or 0; in
    `column_groups * row_groups` chunks. Where C has few columns, its transpose may be computed, `swapped`; and a
    row is computed by `dots`, where columns of B are contiguous.

    Each chunk has `scratch` bytes of its own, aligned to 64: for B from 0, for A from `left` and for sums from
    `sums` on.
    """

    rows: int = 1
    vectors: int = 1
    depth: int = 0
    packed: bool = False
    slab: int = 0
    unwound: bool = False
    dots: bool = False
    swapped: bool = False
    column_groups: int = 1
    row_groups: int = 1
    left: int = 0
    sums: int = 0
    scratch: int = 0

    @property
    def chunks(self) -> int:
        """In how many independent pieces C is computed."""
        return self.column_groups * self.row_groups


def plan(product: Product, target: Target, most: int = 8) -> Tiling:
    """Choose the blocks, the packing and the chunks of a product: at most `most` chunks, or 1 of 1; only a
    product of thousands of rows and of steps may have more.
    """
    p, lanes = product, target.lanes(product.size)
    if 0 in (p.M, p.N):
        return Tiling()
    if p.N == 1 < p.M or _turns(p, lanes):
        return attrs.evolve(_plan(p.swapped, target, most, swapped=True), swapped=True)
    return _plan(p, target, most, swapped=False)


def _plan(p: Product, target: Target, most: int, swapped: bool) -> Tiling:
    if _is_dots(p):
        return _plan_dots(p, target, most)
    lanes = target.lanes(p.size)
    across = ceil(p.N / lanes)
    fitting = _blocks(p, target)
    if swapped:
        fitting = [(r, v) for r, v in fitting if r == p.M]
    rows, vectors = min(fitting, key=lambda block: _cost(p, target, *block))
    packed, copied, depth = not _direct(p, rows), _scattered(p, target, rows, vectors), p.K
    width = vectors * target.width
    near = _MIDDLE // 4 if copied else _MIDDLE
    if packed and p.K * width > 2 * near:
        depth = _depth(p.K, ceil(p.K * width / near))
    columns, groups = _groups(p, ceil(across / vectors), ceil(p.M / rows), copied, most)
    if depth < p.K and most > 1:
        groups = max(groups, ceil(p.M / 2048))
    panels = ceil(ceil(across / vectors) / columns)
    slab = min(max(1, 3 * lanes // rows) * rows, p.M) if copied else 0
    wide = panels * width
    left = depth * (wide if slab else width) * packed
    sums = left + depth * ceil(slab / lanes) * target.width
    high = ceil(ceil(p.M / rows) / groups) * rows
    scratch = sums + (wide * high if depth < p.K else width * rows)
    if swapped:
        scratch += vectors * lanes * ceil(p.M / lanes) * target.width
    return Tiling(
        rows=rows,
        vectors=vectors,
        depth=depth,
        packed=packed,
        slab=slab,
        unwound=p.K <= 4 or _unwinds(p, rows, vectors),
        column_groups=columns,
        row_groups=groups,
        left=left,
        sums=sums,
        scratch=_whole(scratch),
    )


def _depth(steps: int, blocks: int) -> int:
    """How deep about equal blocks are; none less than 4, which is the least that packing asks for."""
    depth = max(4, ceil(steps / blocks))
    while 0 < steps % depth < 4:
        depth += 1
    return depth


def _whole(size: int) -> int:
    return ceil(size / 64) * 64


def _blocks(product: Product, target: Target) -> list[tuple[int, int]]:
    """The blocks that fit the registers, with a vector of B for each column and an element of A."""
    across = ceil(product.N / target.lanes(product.size))
    # Without fused multiply-adds products need a register too.
    spare = target.registers - (2 if target.width == 16 and target.registers == 16 else 1)
    # A single row is all memory: more vectors at a time than hide the time of an addition gain nothing.
    most = 8 if product.M == 1 else 16
    choices = pairs(range(1, min(product.M, 16) + 1), range(1, min(across, most) + 1))
    return [(r, v) for r, v in choices if r * v + min(v, 4) <= spare and (v <= 4 or r == product.M)] or [
        (1, 1)
    ]


def _unwinds(product: Product, rows: int, vectors: int) -> bool:
    """Whether k needs no loop: a jump that is not foreseen costs as much as a block of a tiny product."""
    p = product
    return p.K <= 16 and p.M * p.N * p.K <= _TINY and rows * vectors * p.K <= _UNWOUND


def _cost(product: Product, target: Target, rows: int, vectors: int) -> float:
    """Cycles a step of k that all blocks of C take, roughly; every further kind of block costs code."""
    p = product
    down = _kinds(p.M, rows)
    right = _kinds(ceil(p.N / target.lanes(p.size)), vectors)
    far = p.K * vectors * target.width > _NEAR // 2, p.M * p.K * p.size > 2 * _MIDDLE
    # The blocks of an unwound product run side by side; a loop over k ends in an unforeseen jump.
    least, jump = (0.0, 0.0) if _unwinds(p, rows, vectors) else (5.0, 20 / max(p.K, 1))
    wide = target.width / 64
    cycles = sum(n * m * (_step(r, v, wide, far, least) + jump) for (r, n), (v, m) in pairs(down, right))
    sums = sum(r for r, _ in down) * sum(v for v, _ in right)
    return cycles * (1 + 0.01 * len(down) * len(right) + 0.001 * sums)


def _kinds(total: int, block: int) -> list[tuple[int, int]]:
    """Blocks of `block` and one of what is left, each with how many there are."""
    kinds = [(block, total // block), (total % block, 1)]
    return [(size, count) for size, count in kinds if size and count]


def _step(rows: int, vectors: int, wide: float, far: tuple[bool, bool], least: float) -> float:
    """Cycles of one k in a block: two multiply-adds or two loads a cycle, four instructions in all, not less than
    `least`; loads are never quite hidden, least so those of a panel or of all A where they come from afar. `wide`
    is a vector's part of a line.
    """
    sums, loads, (panel, a) = rows * vectors, rows + vectors, far
    busy = max(sums / 2, loads / 2, (sums + loads + 2) / 4, least)
    return busy + (0.3 if a else 0.05 if panel else 0.1) * rows + (0.25 * wide if panel else 0.1) * vectors


def _turns(product: Product, lanes: int) -> bool:
    """Whether to compute C transposed: its rows fill vectors badly, and those of A transposed lie well."""
    p = product
    empty = 0.7 * ceil(p.N / lanes) * lanes > p.N
    return empty and p.N <= 10 and p.a[0] == 1 and 8 * lanes <= p.M and p.K >= 32


def _direct(product: Product, rows: int) -> bool:
    """Whether rows of B are read where they are: contiguous, and few or read by few."""
    p = product
    return p.b[1] == 1 and (2 * rows >= p.M or p.K * abs(p.b[0]) * p.size <= _NEAR)


def _scattered(product: Product, target: Target, rows: int, vectors: int) -> bool:
    """Whether rows of A are to be copied: where neighbours are those of a column, every step of k is another line
    of the cache, and lines that are a power of two apart push each other out before their other elements are
    wanted.
    """
    p, lanes = product, target.lanes(product.size)
    far = p.a[0] == 1 and abs(p.a[1]) * p.size >= 256
    return far and p.K >= 32 and lanes * vectors < p.N and 2 * rows <= p.M


def _groups(product: Product, panels: int, blocks: int, slabs: bool, most: int) -> tuple[int, int]:
    """Groups of columns, and of rows: columns first, for then no panel is packed twice; where rows are packed
    too, fewer.
    """
    wanted = _wanted(product, most)
    columns = min(panels, wanted)
    if panels < 2 * wanted and blocks >= 4:
        columns = max(d for d in (1, 2, 4, 8) if d <= columns)
    if slabs:
        wanted = min(wanted, 4)
        columns = max(d for d in (1, 2, 4) if d <= min(columns, wanted))
    return columns, min(blocks, wanted // columns)


def _wanted(product: Product, most: int) -> int:
    work = product.M * product.N * product.K
    return min(most, 1 if work < _SOME else 4 if work < _MANY else 8)


# A row times a matrix whose columns are contiguous: a dot product a column


def _is_dots(product: Product) -> bool:
    return product.M == 1 and product.b[0] == 1 and product.b[1] != 1 and product.K >= 8


def _plan_dots(product: Product, target: Target, most: int) -> Tiling:
    """A vector of columns at a time; the row is packed where it is not contiguous."""
    p, lanes = product, target.lanes(product.size)
    blocks = ceil(p.N / lanes)
    packed = p.a[1] != 1
    sums = _whole(p.K * p.size) * packed
    return Tiling(
        depth=p.K,
        packed=packed,
        dots=True,
        column_groups=min(blocks, _wanted(p, most)),
        sums=sums,
        scratch=sums + _whole(target.width),
    )
