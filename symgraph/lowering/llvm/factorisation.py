"""Factorisations of matrices and systems with triangles, by panels of rows: right-looking, so that most of the work is
to subtract products of blocks.

A stack is cut into pieces by its matrices, or by the columns of its right side. Whether a matrix is fit to be factored
is found on the way; what is not is NaN as a whole, as `evaluate` says.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import attrs

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.emit import I1, I64, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.matmul.spans import loop, plus, times
from symgraph.lowering.llvm.panels import BLOCK, Matrix, Panels
from symgraph.lowering.llvm.region import Shape, broadcast_strides, count, memory_type
from symgraph.lowering.llvm.sweeps import CHUNKS, Cursor, Pointers, pieces, share, sweep
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import join_axes
from symgraph.lowering.plan import concrete
from symgraph.ops.factorisation import TriangularSolve
from symgraph.types import DType

What: TypeAlias = Literal["cholesky", "lu", "solve", "solve unit"]
_COLUMNS = 32  # that a piece has at least


@attrs.frozen(cache_hash=True)
class Stack:
    """What is done to each matrix of a stack: of `n` rows, with `m` columns on the right side. Each operand, and last
    the result, has strides over `dims`, and then down and right.
    """

    what: What
    dims: Shape
    n: int
    m: int
    strides: tuple[tuple[int, ...], ...]
    dtype: DType


def cholesky(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """Cholesky factors."""
    return _stacked(planner, node, operands, "cholesky")


def lu(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The triangles of a matrix with its rows in order."""
    return _stacked(planner, node, operands, "lu")


def triangular_solve(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The solutions of triangular systems: the upper one is the lower one, seen from its end."""
    op = node.op
    assert isinstance(op, TriangularSolve)
    a, b = operands
    if op.transposed:
        a = attrs.evolve(a, strides=(*a.strides[:-2], a.strides[-1], a.strides[-2]))
    what: What = "solve unit" if op.unit_diagonal else "solve"
    return _stacked(planner, node, [a, b], what, backwards=op.lower == op.transposed)


def _stacked(
    planner: Any, node: Node, operands: Sequence[Tensor], what: What, backwards: bool = False
) -> Tensor:
    shape = concrete(node.type.shape)
    out: Tensor = planner.array(shape, node.type.dtype, node.id, node.op.name)
    seen = [*operands, out]
    if backwards:
        seen = [_from_the_end(seen[0], (-2, -1)), *(_from_the_end(x, (-2,)) for x in seen[1:])]
    batch = shape[:-2]
    longer = [a for a, size in enumerate(batch) if size != 1]
    moves = [broadcast_strides(x.shape[:-2], x.strides[:-2], batch) for x in seen]
    dims, joined = join_axes(
        tuple(batch[a] for a in longer), [tuple(strides[a] for a in longer) for strides in moves]
    )
    strides = tuple((*s, *x.strides[-2:]) for s, x in zip(joined, seen, strict=True))
    stack = _by_columns(Stack(what, dims, operands[0].shape[-1], shape[-1], strides, out.dtype))
    kernel = write_stack(stack, planner.target)
    planner.call(kernel, seen[:-1], seen[-1:], node.id, planner.scratch(kernel.scratch, node.id))
    return out


def _by_columns(stack: Stack) -> Stack:
    """Systems with many columns as several with fewer, where the stack alone would make too few pieces."""
    if stack.what in ("cholesky", "lu") or (stack.dims and stack.dims[0] >= CHUNKS):
        return stack
    parts = max(k for k in range(1, CHUNKS + 1) if stack.m % k == 0 and (k == 1 or stack.m // k >= _COLUMNS))
    if parts == 1:
        return stack
    m = stack.m // parts
    moves = (0, *(s[-1] * m for s in stack.strides[1:]))
    strides = tuple((move, *s) for move, s in zip(moves, stack.strides, strict=True))
    return attrs.evolve(stack, dims=(parts, *stack.dims), m=m, strides=strides)


def _from_the_end(x: Tensor, axes: Sequence[int]) -> Tensor:
    """The tensor with the order of some axes reversed."""
    chosen = [a % len(x.shape) for a in axes]
    first = sum((x.shape[a] - 1) * x.strides[a] for a in chosen)
    strides = tuple(-s if a in chosen else s for a, s in enumerate(x.strides))
    return attrs.evolve(x, strides=strides, offset=x.offset + first * x.dtype.itemsize)


@lru_cache(256)
def write_stack(stack: Stack, target: Target) -> Kernel:
    """The kernel: its arguments are the operands, the result and the scratch memory."""
    b = Builder()
    *bases, scratch = open_kernel(b, len(stack.strides) + 1)
    panels = Panels.of(b, stack.dtype, target)
    width = panels.padded(stack.m if stack.what.startswith("solve") else stack.n)
    size = stack.n * width * stack.dtype.itemsize
    chunks = pieces(count(stack.dims) * _nanoseconds(stack), stack.dims[0]) if stack.dims else 1
    span = share(b, stack.dims[0], chunks) if stack.dims else (integer(0), integer(1))
    own = b.offset(scratch, times(b, Value("%chunk", I64), size)) if chunks > 1 else scratch
    work = Matrix(own, width, 1, stack.dtype)
    cursors = [Cursor(p, s[:-2], stack.dtype) for p, s in zip(bases, stack.strides, strict=True)]

    def body(pointers: Pointers, _: int) -> None:
        given = [Matrix(p, s[-2], s[-1], stack.dtype) for p, s in zip(pointers, stack.strides, strict=True)]
        _BODIES[stack.what](panels, stack, work, *given)

    sweep(b, stack.dims, 1, span, cursors, body)
    return close(b, chunks, size * chunks)


def _nanoseconds(stack: Stack) -> float:
    return 50 + stack.n**2 * (stack.n if stack.what in ("cholesky", "lu") else stack.m) * 0.05


def _choose(panels: Panels, wrong: Value, value: Value) -> Value:
    """The value, or NaN where a scalar condition holds."""
    nan = constant(value.type, math.nan)
    return panels.b.select(wrong, nan, value)


def _fit(b: Builder, value: Value, row: Value, first: Value, above: bool) -> Value:
    """The lanes of a row, from column `first` on, that are above the diagonal or on it, or below it; else zeros."""
    kind = value.type.of("i64")
    column = b.add(b.splat(first, kind.lanes), b.iota("i64", kind.lanes))
    kept = b.compare("ge" if above else "le", column, b.splat(row, kind.lanes))
    return b.select(kept, value, constant(value.type, 0))


# Cholesky factors: of the triangle turned over, U with Uᵀ U = a, so that vectors lie along its rows


def _cholesky(panels: Panels, stack: Stack, work: Matrix, a: Matrix, out: Matrix) -> None:
    b, n = panels.b, stack.n
    turned = panels.reader(attrs.evolve(a, down=a.right, right=a.down))
    panels.fill(work, n, n, lambda j, i, lanes: _fit(b, turned(j, i, lanes), j, i, True))
    infinite = panels.not_finite(work, n)
    left = attrs.evolve(work, down=1, right=work.down)  # Uᵀ

    def panel(low: Value, high: Value) -> None:
        loop(b, low, high, 1, lambda j: _cholesky_row(panels, work, j, high))
        if n > BLOCK:
            panels.update(work, left, (low, high), high, n, panels.floor)

    panels.blocks(n, panel)
    wrong = b.bits("or", infinite, _has_no_root(b, work, n))
    back = panels.reader(left)

    def lower(i: Value, j: Value, lanes: int) -> Value:
        return _fit(b, _or_nan(b, wrong, back(i, j, lanes)), i, j, False)

    panels.empty(out, n, n, lower)


def _cholesky_row(panels: Panels, work: Matrix, j: Value, high: Value) -> None:
    """One row of U, and what it takes from the rows of its panel. What lands left of the diagonal is not looked at."""
    b, stop = panels.b, integer(work.down)
    root = b.unary("sqrt", work.read(b, j, j))
    across = b.splat(root, panels.lanes)

    def divide(c: Value) -> None:
        at = work.at(b, j, c)
        b.store(b.div(b.load(panels.vector, at), across), at)

    loop(b, panels.floor(j), stop, panels.lanes, divide)
    b.store(root, work.at(b, j, j))

    def row(i: Value) -> None:
        factor = b.splat(b.neg(work.read(b, j, i)), panels.lanes)

        def take(c: Value) -> None:
            at = work.at(b, i, c)
            b.store(b.fma(factor, b.load(panels.vector, work.at(b, j, c)), b.load(panels.vector, at)), at)

        loop(b, panels.floor(i), stop, panels.lanes, take)

    loop(b, plus(b, j, 1), high, 1, row)


def _has_no_root(b: Builder, work: Matrix, n: int) -> Value:
    """Whether a pivot was not positive: its root is 0 or NaN."""
    opened = b.begin_loop(integer(0), integer(n), 1, [constant(I1, 0)])
    root = work.read(b, opened.index, opened.index)
    wrong = b.not_(b.compare("gt", root, constant(root.type, 0)))
    (found,) = b.end_loop(opened, [b.bits("or", opened.carried[0], wrong)])
    return found


def _or_nan(b: Builder, wrong: Value, value: Value) -> Value:
    """The value, or NaN where a scalar condition holds."""
    return b.select(wrong, constant(value.type, math.nan), value)


# Triangles of rows in order


def _lu(panels: Panels, stack: Stack, work: Matrix, a: Matrix, out: Matrix) -> None:
    b, n = panels.b, stack.n
    panels.fill(work, n, n, panels.reader(a))
    infinite = panels.not_finite(work, n)
    number = memory_type(stack.dtype)
    loop(
        b, integer(0), integer(n), 1, lambda i: b.store(b.cast("sitofp", i, number), out.at(b, i, integer(n)))
    )

    def panel(low: Value, high: Value) -> None:
        loop(b, low, high, 1, lambda j: _lu_column(panels, stack, work, out, j, high))
        if n > BLOCK:
            right = panels.ceiling(high)
            panels.substitute(work, work, (low, high), right, lambda i, value: value)
            panels.update(work, work, (low, high), high, n, lambda i: right)

    panels.blocks(n, panel)
    made = panels.reader(work)
    panels.empty(out, n, n, lambda i, j, lanes: _or_nan(b, infinite, made(i, j, lanes)))


def _lu_column(panels: Panels, stack: Stack, work: Matrix, out: Matrix, j: Value, high: Value) -> None:
    """The pivot of a column, the factors below it, and what they take from the columns of the panel."""
    b, n = panels.b, integer(stack.n)
    best = _largest(b, work, j, stack.n)
    moves = b.compare("ne", best, j)
    with b.when(moves):
        _exchange(panels, work, out, j, best, n)
    number = memory_type(stack.dtype)
    b.store(b.select(moves, constant(number, -1), constant(number, 1)), out.at(b, j, plus(b, n, 1)))
    pivot = work.read(b, j, j)
    none = b.compare("eq", pivot, constant(number, 0))
    below = plus(b, j, 1)

    def divide(i: Value) -> None:
        at = work.at(b, i, j)
        b.store(b.select(none, constant(number, 0), b.div(b.load(number, at), pivot)), at)

    loop(b, below, n, 1, divide)

    def column(c: Value) -> None:
        pivots = _fit(b, b.load(panels.vector, work.at(b, j, c)), below, c, True)

        def take(i: Value) -> None:
            at = work.at(b, i, c)
            factor = b.splat(b.neg(work.read(b, i, j)), panels.lanes)
            b.store(b.fma(factor, pivots, b.load(panels.vector, at)), at)

        loop(b, below, n, 1, take)

    loop(b, panels.floor(below), panels.ceiling(high), panels.lanes, column)


def _largest(b: Builder, work: Matrix, j: Value, n: int) -> Value:
    """The row of the element that is largest in a column, from its diagonal on: the first of equals."""
    number = memory_type(work.dtype)
    opened = b.begin_loop(j, integer(n), 1, [constant(number, -1), j])
    size = b.unary("fabs", work.read(b, opened.index, j))
    larger = b.compare("gt", size, opened.carried[0])
    _, best = b.end_loop(
        opened, [b.select(larger, size, opened.carried[0]), b.select(larger, opened.index, opened.carried[1])]
    )
    return best


def _exchange(panels: Panels, work: Matrix, out: Matrix, i: Value, j: Value, n: Value) -> None:
    """Two rows, and what says which rows they were."""
    b = panels.b

    def some(x: Value, y: Value, type_: Type) -> None:
        first, second = b.load(type_, x), b.load(type_, y)
        b.store(second, x)
        b.store(first, y)

    loop(
        b,
        integer(0),
        integer(work.down),
        panels.lanes,
        lambda c: some(work.at(b, i, c), work.at(b, j, c), panels.vector),
    )
    some(out.at(b, i, n), out.at(b, j, n), memory_type(work.dtype))


# Systems


def _solve(panels: Panels, stack: Stack, work: Matrix, a: Matrix, right: Matrix, out: Matrix) -> None:
    b, n = panels.b, stack.n
    panels.fill(work, n, stack.m, panels.reader(right))

    def finish(i: Value, value: Value) -> Value:
        if stack.what == "solve unit":
            return value
        return b.div(value, b.splat(a.read(b, i, i), panels.lanes))

    def panel(low: Value, high: Value) -> None:
        panels.substitute(work, a, (low, high), integer(0), finish)
        if n > BLOCK:
            panels.update(work, a, (low, high), high, n, lambda i: integer(0))

    panels.blocks(n, panel)
    panels.empty(out, n, stack.m, panels.reader(work))


_BODIES: dict[What, Callable[..., None]] = {
    "cholesky": _cholesky,
    "lu": _lu,
    "solve": _solve,
    "solve unit": _solve,
}
