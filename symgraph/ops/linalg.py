"""Matrix products, diagonals and norms: a paragraph each, its record and rules, then its public function."""

import math

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, Operand, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import require_kind, require_same_dtype, sum_to
from symgraph.ops.reduction import Axes, root
from symgraph.types import BOOL, Dimension, Shape, TensorType, broadcast, make_type, product, show_shape

Vjp = tuple[Expr | None, ...]


@attrs.frozen
class MatMul(Op):
    """x @ y on the last two axes, batched over the others, which broadcast.

    A flag swaps the last two axes of its operand before the product; rewrites absorb transposes into them.
    """

    name = "matmul"
    transpose_a: bool = False
    transpose_b: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        x, y = types
        require_kind(self.name, "fi", x)
        require_same_dtype(self.name, types)
        if x.rank < 2 or y.rank < 2:
            raise ShapeError(f"matmul: the operands have {x.rank} and {y.rank} axes, and need 2 or more")
        (m, k), (rows, n) = _swapped(x.shape, self.transpose_a), _swapped(y.shape, self.transpose_b)
        if k != rows:
            raise _differ(k, rows, m, n)
        try:
            batch = broadcast(x.shape[:-2], y.shape[:-2])
        except ShapeError as error:
            error.message = f"matmul: the batch axes differ: {error.message}"
            raise
        return make_type(x.dtype, (*batch, m, n))

    def evaluate(self, *arrays: Array) -> Array:
        x, y = arrays
        x = x.swapaxes(-1, -2) if self.transpose_a else x
        y = y.swapaxes(-1, -2) if self.transpose_b else y
        return np.asarray(np.matmul(x, y))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # With A, B the swapped operands: dA = g Bᵀ and dB = Aᵀ g, swapped back where the operand was.
        x, y = inputs
        a, b = self.transpose_a, self.transpose_b
        if not a and x.rank > 2 and y.rank == 2:  # one product for all batches, not a sum over one for each
            by_y = (
                _product(_rows(g), _rows(x), True, False) if b else _product(_rows(x), _rows(g), True, False)
            )
        else:
            by_y = _product(g, x, True, a) if b else _product(x, g, not a, False)
        by_x = _product(y, g, b, True) if a else _product(g, y, False, not b)
        return sum_to(by_x, x.shape), sum_to(by_y, y.shape)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return 2 * out.size * _swapped(types[0].shape, self.transpose_a)[1]


def _swapped(shape: Shape, swap: bool) -> tuple[Dimension, Dimension]:
    """The rows and columns that a product sees."""
    return (shape[-1], shape[-2]) if swap else (shape[-2], shape[-1])


def _product(x: Expr, y: Expr, transpose_a: bool, transpose_b: bool) -> Expr:
    return ops.apply(MatMul(transpose_a, transpose_b), x, y)


def _rows(x: Expr) -> Expr:
    """The tensor as one matrix: all axes but the last are rows."""
    return ops.reshape(x, (product(x.shape[:-1]), x.shape[-1]))


def _differ(k: Dimension, rows: Dimension, m: Dimension, n: Dimension) -> ShapeError:
    hint = f"The first operand has {k} columns: give the second {k} rows, or the first {rows} columns."
    if k == n:
        hint = "The second operand seems to be transposed: write x @ y.T."
    elif rows == m:
        hint = "The first operand seems to be transposed: write x.T @ y."
    return ShapeError(f"matmul: the inner dimensions differ: {k} and {rows}", hint=hint)


def matmul(x: Operand, y: Operand) -> Expr:
    """The matrix product `x @ y`, by NumPy's rules.

    The last two axes are multiplied, `[..., m, k] @ [..., k, n]`, and the others broadcast. A tensor of one
    axis is a row on the left and a column on the right, and that axis is not in the result. Operands are
    floats or integers of one dtype after promotion. Raises ShapeError when the inner dimensions differ or an
    operand is a scalar, DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> matmul(placeholder("x", ("batch", 784)), placeholder("w", (784, 10)))
    <matmul: f32[batch,10]>
    """
    a, b = operands(x, y)
    if a.rank == 0 or b.rank == 0:
        raise ShapeError(
            "matmul: an operand is a scalar",
            details=(describe(a), describe(b)),
            hint="To scale a tensor write x * y.",
        )
    if a.rank > 1 and b.rank > 1:
        return _product(a, b, False, False)
    rows = b.shape[-2] if b.rank > 1 else b.shape[0]
    if a.shape[-1] != rows:
        raise ShapeError(
            f"matmul: the inner dimensions differ: {a.shape[-1]} and {rows}",
            details=(describe(a), describe(b)),
            hint="The last axis of the first operand and the last but one of the second (or its only one) "
            "have one size.",
        )
    left = ops.reshape(a, (1, a.shape[0])) if a.rank == 1 else a
    right = ops.reshape(b, (b.shape[0], 1)) if b.rank == 1 else b
    out = _product(left, right, False, False)
    row = () if a.rank == 1 else (out.shape[-2],)
    column = () if b.rank == 1 else (out.shape[-1],)
    return ops.reshape(out, (*out.shape[:-2], *row, *column))


def dot(x: Operand, y: Operand) -> Expr:
    """The dot product by NumPy's rules: the last axis of `x` with the last but one of `y`, or its only one.

    A scalar multiplies; two tensors of one axis give a scalar, two matrices their product, and otherwise
    `out[i..., j..., n] = sum_k x[i..., k] y[j..., k, n]`. Operands promote to one dtype. Raises ShapeError
    when the summed axes differ.

    >>> from symgraph.expr import placeholder
    >>> dot(placeholder("x", (5, 3)), placeholder("y", (2, 3, 4))).type
    TensorType('f32[5,2,4]')
    """
    a, b = operands(x, y)
    if a.rank == 0 or b.rank == 0:
        return a * b
    if b.rank <= 2:
        return matmul(a, b)
    k, rows = a.shape[-1], b.shape[-2]
    if k != rows:
        raise ShapeError(f"dot: the summed axes differ: {k} and {rows}", details=(describe(a), describe(b)))
    columns = ops.transpose(b, (b.rank - 2, *range(b.rank - 2), b.rank - 1))
    flat = ops.reshape(columns, (k, product(columns.shape[1:])))
    return ops.reshape(_product(_rows(a), flat, False, False), (*a.shape[:-1], *columns.shape[1:]))


def outer(x: Operand, y: Operand) -> Expr:
    """All products of an element of `x` and one of `y`: `[size of x, size of y]`; the operands are flattened.

    >>> from symgraph.expr import placeholder
    >>> outer(placeholder("x", ("n",)), placeholder("y", (3,)))
    <mul: f32[n,3]>
    """
    a, b = operands(x, y)
    return ops.reshape(a, (a.size, 1)) * ops.reshape(b, (1, b.size))


def norm(x: Operand, ord: float = 2, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The length of vectors: over some axes, or of the whole tensor, taken as one vector.

    `ord` is 2 (Euclid; over two axes Frobenius), 1 (the sum of magnitudes) or infinity (the largest of them).
    `x` is a tensor of floats; integers become float32. The derivative at a vector of zeros, which does not
    exist, is given as 0. Raises ShapeError for an axis that is not there, GraphError for another `ord`.

    >>> from symgraph.expr import placeholder
    >>> norm(placeholder("x", ("batch", 3)), axis=1).type
    TensorType('f32[batch]')
    """
    (e,) = operands(x, floating=True)
    if ord == 2:
        return root(ops.sum(e * e, axis, keepdims))
    if ord == 1:
        return ops.sum(ops.abs(e), axis, keepdims)
    if ord == math.inf:
        return ops.max(ops.abs(e), axis, keepdims)
    raise GraphError(f"norm: ord is 1, 2 or infinity, and {ord!r} is none of them")


def diag(x: Operand, k: int = 0) -> Expr:
    """The diagonals of matrices, or the matrix with a vector on its diagonal.

    A tensor of one axis, `[n]`, gives the matrix with it on diagonal `k` and zeros elsewhere; one of more axes,
    `[..., rows, columns]`, gives diagonal `k` of each of its matrices (for matrices from a stack of vectors see
    `diag_embed`). `k` is 0 for the main diagonal, positive above it, negative below. Any dtype. Raises ShapeError
    for a scalar, a `k` that is no int, and where named sizes do not tell how long the diagonal is.

    >>> from symgraph.expr import placeholder
    >>> diag(placeholder("v", ("n",))).type, diag(placeholder("x", ("batch", 3, 4)), k=1).type
    (TensorType('f32[n,n]'), TensorType('f32[batch,3]'))
    """
    (e,) = operands(x)
    if e.rank == 1:
        return diag_embed(e, k)
    _check_diagonal("diag", e, 2, k)
    rows, columns = e.shape[-2:]
    down, right = (-k, 0) if k < 0 else (0, k)
    length = _shorter(rows - down, columns - right)
    if length is None:
        raise ShapeError(
            f"diag: which of {rows} and {columns} is less is not known, so neither is the diagonal's length",
            details=(describe(e),),
            hint="Slice the matrices to squares: x[..., :n, :n].",
        )
    if not isinstance(columns, int) or not isinstance(length, int):
        part = e[..., down : down + length, :]
        places = ops.reshape(ops.iota(length), (*[1] * (e.rank - 2), length, 1))
        return ops.reshape(ops.gather(part, places + right if right else places, axis=-1), part.shape[:-1])
    if length <= 0:
        return ops.reshape(e[..., :0, :0], (*e.shape[:-2], 0))
    first = down * columns + right
    flat = ops.reshape(e, (*e.shape[:-2], rows * columns))
    return flat[..., first : first + (length - 1) * (columns + 1) + 1 : columns + 1]


def _shorter(m: Dimension, n: Dimension) -> Dimension | None:
    difference = n - m
    return (m if difference >= 0 else n) if isinstance(difference, int) else None


def _check_diagonal(name: str, x: Expr, rank: int, k: int) -> None:
    if x.rank < rank:
        raise ShapeError(
            f"{name}: {show_shape(x.shape)} has no diagonal",
            details=(describe(x),),
            hint=f"It has {rank} axes or more.",
        )
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ShapeError(
            f"{name}: a diagonal is counted by an int, and {k!r} is none", hint="0 is the main one."
        )


def diag_embed(x: Operand, k: int = 0) -> Expr:
    """The matrices with vectors on their diagonals and zeros elsewhere: `[..., n + |k|, n + |k|]` for `[..., n]`.

    `k` is 0 for the main diagonal, positive above it, negative below. Any dtype. Raises ShapeError for a scalar and
    for a `k` that is no int.

    >>> from symgraph.expr import placeholder
    >>> diag_embed(placeholder("scales", ("batch", 3)), k=-1)
    <where: f32[batch,4,4]>
    """
    (e,) = operands(x)
    _check_diagonal("diag_embed", e, 1, k)
    sides = [(0, 0)] * (e.rank - 1) + [(max(k, 0), max(-k, 0))]
    wide = ops.pad(e, sides, False if e.dtype == BOOL else 0)
    n = wide.shape[-1]
    down, right = ops.iota((n, n), axis=0), ops.iota((n, n), axis=1)
    on = ops.equal(down + k if k else down, right)
    value = ops.expand_dims(wide, -2)
    return ops.where(on, value, ops.zeros_like(value))


def trace(x: Operand, k: int = 0) -> Expr:
    """The sum of a diagonal of each matrix: `[...]` for `[..., rows, columns]`.

    `k` is as for `diag`. Integers keep their dtype, bools are counted in int64. Raises ShapeError for fewer than two
    axes, and where named sizes do not tell how long the diagonal is.

    >>> from symgraph.expr import placeholder
    >>> trace(placeholder("x", ("batch", 3, 3)))
    <sum: f32[batch]>
    """
    (e,) = operands(x)
    _check_diagonal("trace", e, 2, k)
    return ops.sum(diag(e, k), axis=-1)
