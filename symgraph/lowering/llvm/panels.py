"""What factorisations are made of: copies into rows of whole vectors, and products of blocks that are subtracted.

Matrices are worked on in scratch memory, in rows that are padded to whole vectors: no rest of a row needs code of its
own, and what is computed in the padding is never looked at. Columns are reached by vectors, rows one by one or some
at a time, and a block has as many rows as keep busy what it is multiplied with.
"""

from collections.abc import Callable, Sequence

import attrs

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.matmul.spans import loop, minus, plus, times
from symgraph.lowering.llvm.region import memory_type
from symgraph.lowering.llvm.sweeps import fitting, raw, visit
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import horizontal, store
from symgraph.types import DType

BLOCK = 32  # rows of a panel: a multiple of every vector's length
_ROWS = 4  # that are updated at a time

Start = Callable[[Value], Value]


@attrs.frozen
class Matrix:
    """Elements in memory, `down` and `right` elements apart."""

    base: Value
    down: int
    right: int
    dtype: DType

    def at(self, b: Builder, i: Value, j: Value) -> Value:
        """The address of an element."""
        place = plus_(b, times(b, i, self.down), times(b, j, self.right))
        return b.offset(self.base, place, self.dtype.itemsize)

    def read(self, b: Builder, i: Value, j: Value) -> Value:
        """One element."""
        return b.load(memory_type(self.dtype), self.at(b, i, j))


def plus_(b: Builder, x: Value, y: Value) -> Value:
    """The sum, folded where one is 0."""
    return y if x.text == "0" else x if y.text == "0" else b.add(x, y)


@attrs.frozen
class Panels:
    """The builder with what all of it needs to know: the vectors of a kernel, and how many there are at a time."""

    b: Builder
    dtype: DType
    lanes: int
    vectors: int

    @staticmethod
    def of(b: Builder, dtype: DType, target: Target) -> "Panels":
        """For a machine."""
        return Panels(b, dtype, target.lanes(dtype.itemsize), 4 if target.registers >= 32 else 2)

    @property
    def vector(self) -> Type:
        """The type of a vector."""
        return memory_type(self.dtype, self.lanes)

    def padded(self, size: int) -> int:
        """The length of a row of scratch memory; not a power of two that many rows' lines would compete for."""
        length = -(-size // self.lanes) * self.lanes
        return length + self.lanes if length * self.dtype.itemsize % 2048 == 0 else length

    def floor(self, j: Value) -> Value:
        """Where the vector starts that a column is in."""
        return self.b.bits("and", j, integer(-self.lanes))

    def ceiling(self, j: Value) -> Value:
        """Where the vector ends that the column before is in."""
        return self.floor(plus(self.b, j, self.lanes - 1))

    # Copies

    def fill(self, work: Matrix, rows: int, width: int, at: Callable[[Value, Value, int], Value]) -> None:
        """Rows of scratch memory from `at(i, j, lanes)`, with zeros in the padding."""
        b = self.b
        zero = constant(self.vector, 0)

        def row(i: Value) -> None:
            for start in range(width // self.lanes * self.lanes, work.down, self.lanes):
                b.store(zero, work.at(b, i, integer(start)))
            visit(
                b,
                integer(0),
                integer(width),
                fitting(width, self.lanes),
                lambda j, n: b.store(at(i, j, n), work.at(b, i, j)),
            )

        loop(b, integer(0), integer(rows), 1, row)

    def reader(self, x: Matrix) -> Callable[[Value, Value, int], Value]:
        """What reads neighbours of a row of a matrix."""
        return lambda i, j, lanes: raw(self.b, self.dtype, x.at(self.b, i, j), x.right, lanes)

    def empty(self, out: Matrix, rows: int, width: int, at: Callable[[Value, Value, int], Value]) -> None:
        """Rows of the result from `at(i, j, lanes)`."""
        b = self.b

        def row(i: Value) -> None:
            visit(
                b,
                integer(0),
                integer(width),
                fitting(width, self.lanes),
                lambda j, n: store(b, at(i, j, n), out.at(b, i, j), out.right, None),
            )

        loop(b, integer(0), integer(rows), 1, row)

    def not_finite(self, work: Matrix, rows: int) -> Value:
        """Whether an element of scratch memory is NaN or infinite."""
        b = self.b
        opened = b.begin_loop(integer(0), integer(rows * work.down), self.lanes, [constant(self.vector, 0)])
        x = b.load(self.vector, b.offset(work.base, opened.index, self.dtype.itemsize))
        (total,) = b.end_loop(opened, [b.add(opened.carried[0], b.mul(x, constant(self.vector, 0)))])
        return b.is_nan(horizontal(b, lambda b, x, y: b.add(x, y), total))

    # Arithmetic

    def less_product(
        self,
        work: Matrix,
        i: Value,
        j: Value,
        count: tuple[int, int],
        left: Matrix,
        span: tuple[Value, Value],
    ) -> list[list[Value]]:
        """Vectors of some rows, `count` of each, less the product of those rows of `left` with rows of `work`; `span`
        is the range of these, not empty.
        """
        b, (rows, vectors) = self.b, count
        start = [
            [
                b.load(self.vector, work.at(b, plus(b, i, r), plus(b, j, v * self.lanes)))
                for v in range(vectors)
            ]
            for r in range(rows)
        ]
        opened = b.begin_loop(*span, 1, [value for row in start for value in row])
        k = opened.index
        others = [b.load(self.vector, work.at(b, k, plus(b, j, v * self.lanes))) for v in range(vectors)]
        factors = [b.splat(b.neg(left.read(b, plus(b, i, r), k)), self.lanes) for r in range(rows)]
        made = [
            b.fma(factors[at // vectors], others[at % vectors], value)
            for at, value in enumerate(opened.carried)
        ]
        done = b.end_loop(opened, made)
        return [list(done[r * vectors : (r + 1) * vectors]) for r in range(rows)]

    def put(self, work: Matrix, i: Value, j: Value, values: Sequence[Sequence[Value]]) -> None:
        """Vectors of some rows to memory."""
        b = self.b
        for r, row in enumerate(values):
            for v, value in enumerate(row):
                b.store(value, work.at(b, plus(b, i, r), plus(b, j, v * self.lanes)))

    def columns(self, start: Value, stop: Value, body: Callable[[Value, int], None]) -> None:
        """Write `body(j, vectors)` for some vectors at a time, and for those that are left one by one."""
        b = self.b
        step = self.vectors * self.lanes
        full = minus(b, stop, b.rem(minus(b, stop, start), integer(step)))
        loop(b, start, full, step, lambda j: body(j, self.vectors))
        loop(b, full, stop, self.lanes, lambda j: body(j, 1))

    def update(
        self, work: Matrix, left: Matrix, span: tuple[Value, Value], low: Value, high: int, first: Start
    ) -> None:
        """Subtract from the rows `low` to `high`, each from column `first(row)` on, the product of `left` with the rows
        `span` of `work`.
        """
        b, stop = self.b, integer(work.down)

        def some(rows: int) -> Callable[[Value], None]:
            def body(i: Value) -> None:
                self.columns(
                    first(i),
                    stop,
                    lambda j, n: self.put(work, i, j, self.less_product(work, i, j, (rows, n), left, span)),
                )

            return body

        full = minus(b, integer(high), b.rem(minus(b, integer(high), low), integer(_ROWS)))
        loop(b, low, full, _ROWS, some(_ROWS))
        loop(b, full, integer(high), 1, some(1))

    def substitute(
        self,
        work: Matrix,
        left: Matrix,
        span: tuple[Value, Value],
        first: Value,
        finish: Callable[[Value, Value], Value],
    ) -> None:
        """Solve by a lower triangle within the rows `span`, from column `first` on: each row less the product of its
        part of `left` with the rows before; `finish(i, value)` divides.
        """
        b = self.b
        low, high = span

        def body(j: Value, vectors: int) -> None:
            top = [b.load(self.vector, work.at(b, low, plus(b, j, v * self.lanes))) for v in range(vectors)]
            self.put(work, low, j, [[finish(low, value) for value in top]])

            def row(i: Value) -> None:
                (made,) = self.less_product(work, i, j, (1, vectors), left, (low, i))
                self.put(work, i, j, [[finish(i, value) for value in made]])

            loop(b, plus(b, low, 1), high, 1, row)

        self.columns(first, integer(work.down), body)

    def blocks(self, size: int, body: Callable[[Value, Value], None]) -> None:
        """Write `body(low, high)` for panels of rows."""
        b = self.b
        if size <= BLOCK:
            body(integer(0), integer(size))
            return
        opened = b.begin_loop(integer(0), integer(size), BLOCK)
        body(opened.index, b.binary("smin", plus(b, opened.index, BLOCK), integer(size)))
        b.end_loop(opened)
