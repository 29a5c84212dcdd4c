"""Factorisations of matrices and what is solved by them: a paragraph each, its record and rules, then its function.

All work on the last two axes, `[..., n, n]`, and broadcast over the others. They are total: what is singular gives
infinities and NaN, what is not positive definite NaN, and a matrix with an element that is not finite NaN, each
matrix of a stack by itself and never an error of the run.

Systems are solved by one factorisation, `LU`, which backends with kernels share between a system, its derivative
and the determinant of its matrix; the others ask LAPACK through NumPy.
"""

from typing import NamedTuple

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, ShapeError
from symgraph.expr import Expr, Operand, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops import dense
from symgraph.ops.base import flag, require_kind, require_same_dtype, sum_to
from symgraph.ops.linalg import MatMul
from symgraph.types import BOOL, Dimension, TensorType, broadcast, make_type, show_shape

Vjp = tuple[Expr | None, ...]


def _require_square(name: str, a: TensorType) -> None:
    require_kind(name, "f", a)
    if a.rank < 2:
        raise ShapeError(
            f"{name}: {show_shape(a.shape)} is no matrix", hint="A matrix has two axes or more: [..., n, n]."
        )
    if a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"{name}: the matrix has {a.shape[-2]} rows and {a.shape[-1]} columns, and has to be square",
            hint="For the least-squares solution of a system that is not square, solve the normal equations: "
            "solve(a.T @ a, a.T @ b)."
            if "solve" in name
            else "Declare it with as many rows as columns.",
        )


def _infer_system(name: str, a: TensorType, b: TensorType) -> TensorType:
    """The type of the solution of a x = b, for columns b of `[..., n, m]`."""
    _require_square(name, a)
    require_same_dtype(name, (a, b))
    if b.rank < 2:
        raise ShapeError(f"{name}: the right side has {b.rank} axes, and needs 2 or more")
    if a.shape[-1] != b.shape[-2]:
        raise _differ(name, a.shape[-1], b.shape[-2])
    try:
        batch = broadcast(a.shape[:-2], b.shape[:-2])
    except ShapeError as error:
        error.message = f"{name}: the batch axes differ: {error.message}"
        raise
    return make_type(a.dtype, (*batch, *b.shape[-2:]))


def _differ(name: str, n: Dimension, rows: Dimension) -> ShapeError:
    return ShapeError(
        f"{name}: the matrix has {n} rows, and the right side {rows}",
        hint=f"The right side is [{n}], or [..., {n}, m] with a column for each system.",
    )


def _matrices(name: str, *values: Operand) -> tuple[Expr, ...]:
    """The operands as floats of one dtype; raises DTypeError for bools."""
    given = [operands(value)[0] for value in values]
    for e in given:
        if e.dtype == BOOL:
            raise DTypeError(
                f"{name} takes numbers, and this is bool",
                details=(describe(e),),
                hint="Cast it: symgraph.cast(a, 'float32').",
            )
    return operands(*given, floating=True)


def _transposed(x: Expr) -> Expr:
    return ops.swapaxes(x, -1, -2)


def _times(x: Expr, y: Expr, transpose_x: bool = False, transpose_y: bool = False) -> Expr:
    return ops.apply(MatMul(transpose_x, transpose_y), x, y)


class Cholesky(Op):
    """The lower triangle L with L Lᵀ = a, zeros above it; NaN where a is not positive definite."""

    name = "cholesky"
    arity = 1

    def infer(self, *types: TensorType) -> TensorType:
        _require_square(self.name, types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        return dense.cholesky(arrays[0])

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Murray (2016), equation 10: S = L⁻ᵀ Φ(Lᵀ g) L⁻¹, where Φ takes the lower triangle and half the
        # diagonal. Only the lower triangle of a is read, so what S says of the upper one counts below.
        inner = _lower_half(_times(out, g, True))
        half = triangular_solve(out, inner, transposed=True)
        s = triangular_solve(out, _transposed(half), transposed=True)
        return (_lower_half(s + _transposed(s)),)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * out.shape[-1] // 3


def _lower_half(x: Expr) -> Expr:
    """The lower triangle with half the diagonal."""
    return (ops.tril(x) + ops.tril(x, -1)) * 0.5


def cholesky(a: Operand) -> Expr:
    """The Cholesky factor of symmetric, positive definite matrices: lower triangular, with `L @ L.T == a`.

    `a` is `[..., n, n]` of floats (integers become float32). Only its lower triangle is read, so the upper one has
    no part in the result or the derivative. A matrix that is not positive definite gives NaN in the lower triangle.
    Raises ShapeError for what is not square, DTypeError for bools.

    Derivative: Murray, Differentiation of the Cholesky decomposition (2016).

    >>> from symgraph.expr import placeholder
    >>> cholesky(placeholder("covariance", ("batch", "n", "n")))
    <cholesky: f32[batch,n,n]>
    """
    return ops.apply(Cholesky(), *_matrices("cholesky", a))


@attrs.frozen
class TriangularSolve(Op):
    """The x with op(a) x = b, where op takes one triangle of a, transposed or not, with its diagonal or ones."""

    name = "triangular_solve"
    arity = 2
    lower: bool = True
    transposed: bool = False
    unit_diagonal: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        return _infer_system(self.name, *types)

    def evaluate(self, *arrays: Array) -> Array:
        a, b = arrays
        if self.transposed:
            a = a.swapaxes(-1, -2)
        return dense.substitute(a, b, self.lower != self.transposed, self.unit_diagonal)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Giles (2008), section 2.3.1, of the triangle that is read: db = op(a)⁻ᵀ g, da = -db xᵀ.
        a, b = inputs
        by_b = ops.apply(attrs.evolve(self, transposed=not self.transposed), a, g)
        by_a = _times(out, by_b, False, True) if self.transposed else _times(by_b, out, False, True)
        offset = int(self.unit_diagonal)
        triangle = ops.tril(by_a, -offset) if self.lower else ops.triu(by_a, offset)
        return sum_to(-triangle, a.shape), sum_to(by_b, b.shape)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * out.shape[-2]


def triangular_solve(
    a: Operand, b: Operand, lower: bool = True, transposed: bool = False, unit_diagonal: bool = False
) -> Expr:
    """The solution x of a triangular system, `a @ x == b`, or with `transposed` of `a.T @ x == b`.

    `a` is `[..., n, n]` of floats (integers become float32); its lower triangle is read, or with `lower=False` the
    upper one, and never the other one; with `unit_diagonal` the diagonal is taken to be ones and is not read either.
    `b` is one vector, `[n]`, or columns, `[..., n, m]`; the leading axes broadcast. A 0 on the diagonal gives
    infinities and NaN. Raises ShapeError for what is not square and for a right side that does not fit, DTypeError
    for bools, GraphError for a flag that is neither True nor False.

    >>> from symgraph.expr import placeholder
    >>> triangular_solve(placeholder("a", ("n", "n")), placeholder("b", ("n", 3)))
    <triangular_solve: f32[n,3]>
    """
    flags = (("lower", lower), ("transposed", transposed), ("unit_diagonal", unit_diagonal))
    return _solved(TriangularSolve(*[flag("triangular_solve", what, value) for what, value in flags]), a, b)


def _solved(op: Op, a: Operand, b: Operand) -> Expr:
    """The solution for a right side that is a vector, where it has one axis, or columns."""
    x, y = _matrices(op.name, a, b)
    if y.rank == 0:
        raise ShapeError(
            f"{op.name}: the right side is a scalar",
            details=(describe(x), describe(y)),
            hint="It is a vector, [n], or has a column for each system, [..., n, m].",
        )
    if y.rank != 1:
        return ops.apply(op, x, y)
    try:
        _infer_system(op.name, x.type, make_type(y.dtype, (y.shape[0], 1)))
    except ShapeError as error:
        error.details = (describe(x), describe(y))  # and not the column that is made of it
        raise
    solution = ops.apply(op, x, ops.reshape(y, (y.shape[0], 1)))
    return ops.reshape(solution, solution.shape[:-1])


class LU(Op):
    """The triangles L (with ones on its diagonal) and U of the rows of a in some order, by partial pivoting.

    The result is `[..., n, n + 2]`: both triangles in one matrix; then a column with the row of a that each row was,
    and one with -1 for each step that exchanged two rows, else 1. What other ops expand to: it has no derivative.
    """

    name = "lu"
    arity = 1

    def infer(self, *types: TensorType) -> TensorType:
        (a,) = types
        _require_square(self.name, a)
        return make_type(a.dtype, (*a.shape[:-1], a.shape[-1] + 2))

    def evaluate(self, *arrays: Array) -> Array:
        return dense.lu(arrays[0])

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size * out.shape[-2] * 2 // 3


@attrs.frozen
class Solve(Op):
    """The x with a x = b, or with `transposed` aᵀ x = b."""

    name = "solve"
    arity = 2
    transposed: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        return _infer_system(self.name, *types)

    def evaluate(self, *arrays: Array) -> Array:
        a, b = arrays
        return dense.solve(a.swapaxes(-1, -2) if self.transposed else a, b)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Giles (2008), section 2.3.1: db = a⁻ᵀ g, da = -db xᵀ.
        a, b = inputs
        by_b = ops.apply(Solve(not self.transposed), a, g)
        by_a = _times(out, by_b, False, True) if self.transposed else _times(by_b, out, False, True)
        return sum_to(-by_a, a.shape), sum_to(by_b, b.shape)

    def expand(self, *inputs: Expr) -> Expr | None:
        # Where P a = L U: a⁻¹ = U⁻¹ L⁻¹ P, and a⁻ᵀ = Pᵀ L⁻ᵀ U⁻ᵀ.
        a, b = inputs
        n = a.shape[-1]
        made = ops.apply(LU(), a)
        factors, rows = made[..., :n], ops.cast(made[..., n], "int64")
        if self.transposed:
            first = triangular_solve(factors, b, lower=False, transposed=True)
            second = triangular_solve(factors, first, transposed=True, unit_diagonal=True)
            zeros = ops.zeros_like(second)
            return ops.scatter_add_along(zeros, _for_each(rows, second), second, axis=-2)
        batch = broadcast(a.shape[:-2], b.shape[:-2])
        wide = ops.broadcast_to(b, (*batch, *b.shape[-2:]))
        moved = (
            ops.take(wide, rows, axis=-2) if a.rank == 2 else ops.gather(wide, _for_each(rows, wide), axis=-2)
        )
        return triangular_solve(factors, triangular_solve(factors, moved, unit_diagonal=True), lower=False)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        n = out.shape[-2]
        return types[0].size * n * 2 // 3 + out.size * n * 2


def _for_each(rows: Expr, x: Expr) -> Expr:
    """The numbers of rows, `[..., n]`, for each column of x."""
    return ops.broadcast_to(ops.expand_dims(rows, -1), x.shape)


def solve(a: Operand, b: Operand) -> Expr:
    """The solution x of `a @ x == b`, by elimination with partial pivoting.

    `a` is `[..., n, n]` of floats (integers become float32). `b` is one vector, `[n]`, or columns, `[..., n, m]`,
    as in NumPy 2; the leading axes broadcast. A singular matrix gives infinities and NaN. Where `a` is symmetric and
    positive definite, two `triangular_solve` with its `cholesky` cost half. Raises ShapeError for what is not square
    and for a right side that does not fit, DTypeError for bools.

    Derivative: Giles, Collected matrix derivative results for forward and reverse mode AD (2008), section 2.3.1.

    >>> from symgraph.expr import placeholder
    >>> solve(placeholder("a", ("batch", 3, 3)), placeholder("b", (3,)))
    <reshape: f32[batch,3]>
    """
    return _solved(Solve(), a, b)


class Inverse(Op):
    """The inverse of each matrix."""

    name = "inverse"
    arity = 1

    def infer(self, *types: TensorType) -> TensorType:
        _require_square(self.name, types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        (a,) = arrays
        return dense.solve(a, np.eye(a.shape[-1], dtype=a.dtype))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Giles (2008), section 2.2.3: da = -a⁻ᵀ g a⁻ᵀ.
        return (-_times(_times(out, g, True), out, False, True),)

    def expand(self, *inputs: Expr) -> Expr | None:
        (a,) = inputs
        return ops.apply(Solve(), a, ops.eye(a.shape[-1], dtype=a.dtype))

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * out.shape[-1] * 2


def inverse(a: Operand) -> Expr:
    """The inverse of each matrix; for `inverse(a) @ b` write `solve(a, b)`, which is quicker and more accurate.

    `a` is `[..., n, n]` of floats (integers become float32). A singular matrix gives infinities and NaN. Raises
    ShapeError for what is not square, DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> inverse(placeholder("a", ("n", "n")))
    <inverse: f32[n,n]>
    """
    return ops.apply(Inverse(), *_matrices("inverse", a))


class _OfDeterminant(Op):
    """What determinants share: one number for each matrix, from its LU factors."""

    arity = 1

    def infer(self, *types: TensorType) -> TensorType:
        _require_square(self.name, types[0])
        return make_type(types[0].dtype, types[0].shape[:-2])

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size * types[0].shape[-1] * 2 // 3


def _pivots(a: Expr) -> tuple[Expr, Expr]:
    """The diagonal of U, and whether rows were exchanged to get it, as ones and minus ones."""
    made = ops.apply(LU(), a)
    return ops.diag(made), made[..., -1]


class Determinant(_OfDeterminant):
    """The determinant; 1 for a matrix without elements."""

    name = "determinant"

    def evaluate(self, *arrays: Array) -> Array:
        return dense.of_finite(np.linalg.det, arrays[0])

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # Jacobi's formula: det(a) a⁻ᵀ, which a singular matrix does not have.
        (a,) = inputs
        return (_transposed(inverse(a)) * _as_matrices(g * out),)

    def expand(self, *inputs: Expr) -> Expr | None:
        diagonal, exchanged = _pivots(inputs[0])
        return ops.prod(diagonal, -1) * ops.prod(exchanged, -1)


def _as_matrices(x: Expr) -> Expr:
    return ops.reshape(x, (*x.shape, 1, 1))


class DeterminantSign(_OfDeterminant):
    """The sign of the determinant, which has no derivative."""

    name = "determinant_sign"

    def evaluate(self, *arrays: Array) -> Array:
        return dense.of_finite(lambda a: np.linalg.slogdet(a)[0], arrays[0])

    def expand(self, *inputs: Expr) -> Expr | None:
        diagonal, exchanged = _pivots(inputs[0])
        return ops.prod(ops.sign(diagonal), -1) * ops.prod(exchanged, -1)


class LogDeterminant(_OfDeterminant):
    """The logarithm of the magnitude of the determinant; -inf where that is 0."""

    name = "log_determinant"

    def evaluate(self, *arrays: Array) -> Array:
        return dense.of_finite(lambda a: np.linalg.slogdet(a)[1], arrays[0])

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (_transposed(inverse(inputs[0])) * _as_matrices(g),)

    def expand(self, *inputs: Expr) -> Expr | None:
        return ops.sum(ops.log(ops.abs(_pivots(inputs[0])[0])), -1)


def determinant(a: Operand) -> Expr:
    """The determinant of each matrix: `[...]` for `[..., n, n]`; 1 for a matrix without elements.

    `a` holds floats (integers become float32). Large matrices overflow: see `slogdet`. At a singular matrix the
    derivative comes out as NaN. Raises ShapeError for what is not square, DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> determinant(placeholder("a", ("batch", 3, 3)))
    <determinant: f32[batch]>
    """
    return ops.apply(Determinant(), *_matrices("determinant", a))


class SignAndLogDeterminant(NamedTuple):
    """What `slogdet` gives: `determinant(a) == sign * exp(logabsdet)`."""

    sign: Expr
    logabsdet: Expr


def slogdet(a: Operand) -> SignAndLogDeterminant:
    """The sign of the determinant of each matrix, and the logarithm of its magnitude, which does not overflow.

    `a` is `[..., n, n]` of floats (integers become float32). A singular matrix gives 0 and -inf. The sign has no
    derivative. Raises ShapeError for what is not square, DTypeError for bools.

    >>> from symgraph.expr import placeholder
    >>> slogdet(placeholder("a", ("n", "n"))).logabsdet
    <log_determinant: f32[]>
    """
    (e,) = _matrices("slogdet", a)
    return SignAndLogDeterminant(ops.apply(DeterminantSign(), e), ops.apply(LogDeterminant(), e))
