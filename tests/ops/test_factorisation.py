"""Factorisations: against NumPy and JAX, which triangle is read, what is not fit to be factored, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.compile import compile
from symgraph.define import define
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import constant, placeholder
from symgraph.lowering.llvm.target import installed
from symgraph.ops.factorisation import LU
from tests import jax_oracle
from tests.ops.running import run

INF, NAN = np.inf, np.nan
BACKENDS = ["interpreter", "numpy", *(["llvm"] if installed() else [])]
backends = pytest.mark.parametrize("backend", BACKENDS)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def on(backend, function, *arrays):
    """The value of a function of tensors, by a backend."""
    xs = [placeholder(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    feeds = {f"x{i}": a for i, a in enumerate(arrays)}
    return compile(define(y=function(*xs)), backend=backend)(feeds)["y"]


def spd(rng, *shape, dtype="float64"):
    a = rng.normal(size=shape)
    return (a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])).astype(dtype)


def hilbert(n):
    i = np.arange(n)
    return 1.0 / (i[:, None] + i + 1)


# Values


@given(st.data())
@settings(max_examples=40)
def test_any_system_that_numpy_solves(data):
    sizes = st.integers(0, 3)
    n, lead = data.draw(st.integers(0, 4)), data.draw(st.lists(sizes, max_size=2))

    def part():
        kept = lead[data.draw(st.integers(0, len(lead))) :]
        return tuple(1 if data.draw(st.booleans()) else size for size in kept)

    right = data.draw(st.sampled_from([(n,), (*part(), n, data.draw(sizes))]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = rng.normal(size=(*part(), n, n)) + 4 * np.eye(n), rng.normal(size=right)
    x = ops.solve(placeholder("a", a.shape, "float64"), placeholder("b", b.shape, "float64"))
    expected = np.linalg.solve(a, b)
    assert x.shape == expected.shape
    np.testing.assert_allclose(run(x, a=a, b=b), expected, rtol=1e-10, atol=1e-10)


@backends
@pytest.mark.parametrize("n", [2, 33, 100])
@DTYPES
def test_sizes_around_those_of_the_panels(backend, n, dtype):
    rng = np.random.default_rng(n)
    a, b = spd(rng, n, n, dtype=dtype), rng.normal(size=(n, 5)).astype(dtype)
    general = rng.normal(size=(n, n)).astype(dtype)
    epsilon = np.finfo(dtype).eps
    factor = on(backend, ops.cholesky, a)
    assert np.abs(factor @ factor.T - a).max() <= 4 * n * epsilon * np.abs(a).max()
    np.testing.assert_array_equal(np.triu(factor, 1), 0)
    x = on(backend, ops.solve, general, b)
    assert np.abs(general @ x - b).max() <= 8 * n * epsilon * np.abs(general).max() * np.abs(x).max()
    for lower in (True, False):
        for transposed in (True, False):
            x = on(backend, lambda a, b, lo=lower, t=transposed: ops.triangular_solve(a, b, lo, t), a, b)
            triangle = np.tril(a) if lower else np.triu(a)
            left = triangle.T if transposed else triangle
            assert np.abs(left @ x - b).max() <= 4 * n * epsilon * np.abs(a).max() * np.abs(x).max()


@backends
def test_operands_that_lie_in_memory_in_any_way(backend):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9, 9)) + 4 * np.eye(9), rng.normal(size=(4, 9))

    def function(a, b):
        turned = ops.swapaxes(a, -1, -2)[:, ::-1, ::-1]
        right = ops.transpose(b)[::-1, ::2]
        return ops.concatenate(
            [
                ops.solve(turned, right),
                ops.triangular_solve(turned, right),
                ops.triangular_solve(turned, right, lower=False, transposed=True),
                ops.cholesky(turned @ a[:, ::-1, ::-1] + 9.0 * np.eye(9)),
            ],
            axis=-1,
        )

    turned, right = np.swapaxes(a, -1, -2)[:, ::-1, ::-1], b.T[::-1, ::2]
    parts = [
        np.linalg.solve(turned, right),
        np.linalg.solve(np.tril(turned), right),
        np.linalg.solve(np.swapaxes(np.triu(turned), -1, -2), right),
        np.linalg.cholesky(turned @ a[:, ::-1, ::-1] + 9 * np.eye(9)),
    ]
    np.testing.assert_allclose(on(backend, function, a, b), np.concatenate(parts, -1), rtol=1e-9, atol=1e-11)


@backends
def test_a_hilbert_matrix_is_solved_to_a_small_residual(backend):
    a, x = hilbert(8), np.arange(1.0, 9.0)
    for made in (
        on(backend, ops.solve, a, a @ x),
        on(
            backend,
            lambda a, b: ops.triangular_solve(
                ops.cholesky(a), ops.triangular_solve(ops.cholesky(a), b), transposed=True
            ),
            a,
            a @ x,
        ),
    ):
        assert np.abs(a @ made - a @ x).max() <= 4 * np.finfo(float).eps * np.abs(made).max() * 2
        np.testing.assert_allclose(made, x, rtol=1e-5)  # its condition is 1.5e10
    assert on(backend, ops.determinant, a) == pytest.approx(2.737050113791503e-33, rel=1e-4)


@backends
def test_pivoting_keeps_small_pivots_away(backend):
    a = np.array([[1e-20, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(on(backend, ops.solve, a, np.array([1.0, 2.0])), [1, 1], rtol=1e-15)
    np.testing.assert_allclose(on(backend, ops.determinant, a), -1, rtol=1e-15)


@backends
def test_the_factors_multiply_to_the_rows_in_their_order(backend):
    a = np.random.default_rng(0).normal(size=(3, 40, 40))
    made = on(backend, lambda a: ops.apply(LU(), a), a)
    lower, upper = np.tril(made[..., :40], -1) + np.eye(40), np.triu(made[..., :40])
    order = made[..., 40].astype(int)
    np.testing.assert_allclose(lower @ upper, np.take_along_axis(a, order[..., None], 1), atol=1e-13)
    assert np.abs(lower).max() <= 1
    np.testing.assert_allclose(np.prod(made[..., 41], -1), [np.linalg.det(np.eye(40)[o]) for o in order])


@backends
def test_determinants(backend):
    a = np.random.default_rng(1).normal(size=(5, 6, 6))
    np.testing.assert_allclose(on(backend, ops.determinant, a), np.linalg.det(a), rtol=1e-12)
    for found, expected in zip(
        (on(backend, lambda a, k=k: ops.slogdet(a)[k], a) for k in (0, 1)), np.linalg.slogdet(a), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    huge = 1e30 * np.eye(40)
    assert on(backend, lambda a: ops.slogdet(a).logabsdet, huge) == pytest.approx(40 * np.log(1e30))
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    assert on(backend, ops.determinant, singular) == 0
    assert on(backend, lambda a: ops.slogdet(a).sign, singular) == 0
    assert on(backend, lambda a: ops.slogdet(a).logabsdet, singular) == -INF


# Derivatives: those of the cases are checked by differences; here against JAX


def symmetric(a):
    return a @ a.T + 3.0 * np.eye(3)


GRADIENTS = {
    "cholesky": (
        lambda a, b: ops.cholesky(a @ ops.transpose(a) + 3.0 * np.eye(3)) @ b,
        lambda a, b: jnp.linalg.cholesky(symmetric(a)) @ b,
    ),
    "solve": (ops.solve, jnp.linalg.solve),
    "inverse": (lambda a, b: ops.inverse(a) @ b, lambda a, b: jnp.linalg.inv(a) @ b),
    "determinant": (lambda a, b: ops.determinant(a) * b, lambda a, b: jnp.linalg.det(a) * b),
    "slogdet": (lambda a, b: ops.slogdet(a).logabsdet * b, lambda a, b: jnp.linalg.slogdet(a)[1] * b),
    "triangular": (
        lambda a, b: ops.triangular_solve(a, b, lower=False, transposed=True),
        lambda a, b: jax.scipy.linalg.solve_triangular(a, b, trans=1, lower=False),
    ),
    "trace": (lambda a, b: ops.trace(a, 1) * b, lambda a, b: jnp.trace(a, 1) * b),
    "diag": (lambda a, b: ops.diag(ops.diag(a)) @ b, lambda a, b: jnp.diag(jnp.diag(a)) @ b),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_cotangents_are_those_of_jax(name):
    function, oracle = GRADIENTS[name]
    rng = np.random.default_rng(3)
    a, b, g = rng.normal(size=(3, 3)) + 2 * np.eye(3), rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    x, y = placeholder("x", (3, 3), "float64"), placeholder("y", (3, 2), "float64")
    out = function(x, y)
    value, slopes = jax_oracle.value_and_cotangents(oracle, [a, b], g)
    np.testing.assert_allclose(run(out, x=a, y=b), value, rtol=1e-11)
    by_x, by_y = backward(out, [x, y], constant(g))
    graph = define(by_x=by_x, by_y=by_y)
    for backend in BACKENDS:
        found = compile(graph, backend=backend)({"x": a, "y": b})
        np.testing.assert_allclose(found["by_x"], slopes[0], rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found["by_y"], slopes[1], rtol=1e-9, atol=1e-11)


def test_the_derivative_of_cholesky_is_by_the_triangle_that_is_read():
    a = placeholder("a", (3, 3), "float64")
    (g,) = backward(ops.sum(ops.cholesky(a)), [a])
    np.testing.assert_array_equal(np.triu(run(g, a=spd(np.random.default_rng(0), 3, 3)), 1), 0)


@pytest.mark.skipif(not installed(), reason="needs the extra native")
def test_a_system_and_its_derivative_share_one_factorisation():
    a, b = placeholder("a", (3, 3)), placeholder("b", (3, 2))
    x = ops.solve(a, b)
    by_a, by_b = backward(ops.sum(x * x), [a, b])
    det = ops.slogdet(a).logabsdet
    graph = compile(define({"x": x, "da": by_a, "db": by_b, "det": det}), backend="llvm").graph
    assert [n.op.name for n in graph.nodes].count("lu") == 1


# Which elements are read


@backends
def test_the_other_triangle_is_not_read(backend):
    rng = np.random.default_rng(0)
    for n in (3, 40):
        a, b = spd(rng, n, n), rng.normal(size=(n, 3))
        above, below = np.triu(np.full((n, n), NAN), 1), np.tril(np.full((n, n), NAN), -1)
        factor = on(backend, ops.cholesky, a + above)
        np.testing.assert_allclose(factor, np.linalg.cholesky(a), rtol=1e-10, atol=1e-12)
        for lower, hidden in ((True, above), (False, below)):
            for transposed in (True, False):
                for unit in (True, False):
                    given_ = a + hidden + (np.diag(np.full(n, NAN)) if unit else 0)

                    def function(a, b, o=(lower, transposed, unit)):
                        return ops.triangular_solve(a * 0.01, b, *o)

                    triangle = (np.tril(a) if lower else np.triu(a)) * 0.01
                    triangle = triangle - np.diag(np.diag(triangle)) + np.eye(n) if unit else triangle
                    expected = np.linalg.solve(triangle.T if transposed else triangle, b)
                    found = on(backend, function, given_, b)
                    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


# What is not fit to be factored


UNFIT = {
    "not positive definite": [[1.0, 2.0], [2.0, 1.0]],
    "zeros": [[0.0, 0.0], [0.0, 0.0]],
    "semidefinite": [[1.0, 1.0], [1.0, 1.0]],
    "negative": [[-1.0, 0.0], [0.0, 1.0]],
    "NaN": [[1.0, 9.0], [NAN, 2.0]],
    "infinite": [[INF, 0.0], [0.0, 1.0]],
    "infinite beside": [[1.0, 9.0], [INF, 1.0]],
}


@backends
@pytest.mark.parametrize("what", UNFIT)
@DTYPES
def test_cholesky_of_what_is_not_positive_definite_is_nan(backend, what, dtype):
    bad, good = np.array(UNFIT[what]), np.array([[4.0, 0.0], [2.0, 5.0]])
    found = on(backend, ops.cholesky, np.stack([good, bad, good]).astype(dtype))
    np.testing.assert_array_equal(found, [[[2, 0], [1, 2]], [[NAN, 0], [NAN, NAN]], [[2, 0], [1, 2]]])
    np.testing.assert_array_equal(on(backend, ops.cholesky, bad.astype(dtype)), [[NAN, 0], [NAN, NAN]])


@backends
@DTYPES
def test_a_late_pivot_makes_the_whole_factor_nan(backend, dtype):
    a = np.eye(70, dtype=dtype)
    a[69, 69] = -1
    np.testing.assert_array_equal(on(backend, ops.cholesky, a), np.tril(np.full((70, 70), NAN)))


@backends
@DTYPES
def test_singular_systems_are_infinite_or_nan(backend, dtype):
    matrices = [[[0, 0], [0, 0]], [[1, 2], [2, 4]], [[1, 0], [0, 0]], [[2, 1], [1, 1]], [[0, 1], [0, 0]]]
    a, b = np.array(matrices, dtype), np.array([[1.0, 0.0], [1.0, 1.0]], dtype)
    found = on(backend, ops.solve, a, b)
    expected = [
        [[NAN, NAN], [INF, INF]],
        [[-INF, -INF], [INF, INF]],
        [[NAN, NAN], [INF, INF]],
        [[0, -1], [1, 2]],
        [[NAN, NAN], [INF, INF]],
    ]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_array_equal(found[3], expected[3])
    reference = on("interpreter", ops.solve, a, b)
    np.testing.assert_array_equal(found, reference)
    np.testing.assert_array_equal(on(backend, ops.inverse, a), on("interpreter", ops.inverse, a))
    np.testing.assert_array_equal(on(backend, ops.determinant, a), [0, 0, 0, 1, 0])


@backends
@DTYPES
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_matrix_that_is_not_finite_gives_nan(backend, dtype, value):
    good = np.array([[2, 1], [1, 1]], dtype)
    a, b = np.stack([good, good]), np.ones((2, 1), dtype)
    a[0, 1, 0] = value
    expected = np.array([[[NAN], [NAN]], [[0], [1]]])
    np.testing.assert_array_equal(on(backend, ops.solve, a, b), expected)
    np.testing.assert_array_equal(np.isnan(on(backend, ops.inverse, a)).all((1, 2)), [True, False])
    for function in (ops.determinant, lambda a: ops.slogdet(a).sign, lambda a: ops.slogdet(a).logabsdet):
        np.testing.assert_array_equal(np.isnan(on(backend, function, a)), [True, False])


@backends
def test_a_right_side_that_is_not_finite_spoils_its_column(backend):
    a, b = np.array([[2.0, 1.0], [1.0, 1.0]]), np.array([[1.0, NAN], [1.0, 1.0]])
    np.testing.assert_array_equal(on(backend, ops.solve, a, b), [[0, NAN], [1, NAN]])
    found = on(backend, ops.triangular_solve, a, b)
    np.testing.assert_array_equal(found, [[0.5, NAN], [0.5, NAN]])


@backends
def test_a_triangle_with_0_on_its_diagonal_divides_by_it(backend):
    a, b = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(
        on(backend, ops.triangular_solve, a, b), [[INF, -INF, NAN], [-INF, INF, NAN]]
    )
    once = on(backend, lambda a, b: ops.triangular_solve(a, b, unit_diagonal=True), a, b)
    np.testing.assert_array_equal(once, [[1, -1, 0], [-1, 1, 0]])


@backends
def test_sizes_0_and_1(backend):
    none = np.zeros((0, 0))
    assert on(backend, ops.cholesky, none).shape == (0, 0)
    assert on(backend, ops.solve, none, np.zeros((0, 3))).shape == (0, 3)
    assert on(backend, ops.triangular_solve, np.zeros((2, 0, 0)), np.zeros(0)).shape == (2, 0)
    assert on(backend, ops.determinant, none) == 1
    assert on(backend, ops.trace, none) == 0
    one = np.array([[4.0]])
    assert on(backend, ops.cholesky, one) == 2
    assert on(backend, ops.solve, one, np.array([2.0])) == 0.5
    assert on(backend, ops.inverse, one) == 0.25
    assert on(backend, ops.inverse, np.zeros((1, 1))) == INF


# Types


def test_dtypes():
    i, x = placeholder("i", (2, 2), "int64"), placeholder("x", (2, 2), "float64")
    assert ops.cholesky(i).dtype == np.float32
    assert ops.solve(i, x).dtype == np.float64
    assert ops.solve(x, np.float32([1, 2])).dtype == np.float64
    for function in (ops.cholesky, ops.inverse, ops.determinant, ops.slogdet):
        with pytest.raises(DTypeError, match="takes numbers, and this is bool") as error:
            function(placeholder("flags", (2, 2), "bool"))
        assert "flags" in str(error.value)
    with pytest.raises(DTypeError, match="solve takes numbers"):
        ops.solve(x, placeholder("flags", (2,), "bool"))


def test_named_sizes():
    a, b = placeholder("a", ("batch", "n", "n"), "float64"), placeholder("b", ("n",), "float64")
    x = ops.solve(a, b)
    assert str(x.type) == "f64[batch,n]"
    assert str(ops.determinant(a).type) == "f64[batch]"
    assert str(ops.diag(a, 1).type) == "f64[batch,n-1]"
    assert str(ops.diag(b, -1).type) == "f64[n+1,n+1]"
    rng = np.random.default_rng(0)
    v, w = rng.normal(size=(3, 4, 4)), rng.normal(size=4)
    np.testing.assert_allclose(run(x, a=v, b=w), np.linalg.solve(v, w[:, None])[..., 0], rtol=1e-10)
    for k in (-2, 0, 1):
        np.testing.assert_array_equal(run(ops.diag(a, k), a=v), np.diagonal(v, k, -2, -1))
        np.testing.assert_array_equal(run(ops.diag(b, k), b=w), np.diag(w, k))


@pytest.mark.parametrize(
    "left, right, message, hint",
    [
        ((3, 4), (3,), "solve: the matrix has 3 rows and 4 columns", "solve(a.T @ a, a.T @ b)"),
        (("n", "m"), ("n",), "solve: the matrix has n rows and m columns", "square"),
        ((3,), (3,), r"solve: [3] is no matrix", "two axes or more"),
        ((3, 3), (4,), "solve: the matrix has 3 rows, and the right side 4", "[3], or [..., 3, m]"),
        ((3, 3), (4, 2), "solve: the matrix has 3 rows, and the right side 4", "[..., 3, m]"),
        (("n", "n"), ("m",), "solve: the matrix has n rows, and the right side m", "[n]"),
        ((2, 3, 3), (4, 3, 1), "solve: the batch axes differ", ""),
    ],
)
def test_systems_that_do_not_fit(left, right, message, hint):
    a, b = placeholder("a", left), placeholder("b", right)
    for function in (ops.solve, ops.triangular_solve):
        with pytest.raises(ShapeError) as error:
            function(a, b)
        text = str(error.value)
        assert message.replace("solve:", f"{function.__name__}:") in text
        assert hint in text
        assert f"a  {a.type}" in text
        assert f"b  {b.type}" in text


def test_other_errors():
    for function in (ops.cholesky, ops.inverse, ops.determinant, ops.slogdet):
        with pytest.raises(ShapeError, match="has to be square"):
            function(placeholder("a", (2, 3)))
        with pytest.raises(ShapeError, match="is no matrix"):
            function(placeholder("a", (3,)))
    square = placeholder("a", (3, 3))
    for option in ("lower", "transposed", "unit_diagonal"):
        with pytest.raises(
            GraphError, match=f"triangular_solve: {option} is True or False, and 'upper' is neither"
        ):
            ops.triangular_solve(square, square, **{option: "upper"})
    for function in (ops.solve, ops.triangular_solve):
        with pytest.raises(ShapeError, match="the right side is a scalar") as caught:
            function(square, 1.0)
        assert caught.value.hint
    with pytest.raises(ShapeError, match="has no diagonal"):
        ops.diag(placeholder("s", ()))
    with pytest.raises(ShapeError, match=r"trace: .* has no diagonal"):
        ops.trace(placeholder("v", (3,)))
    with pytest.raises(ShapeError, match="counted by an int"):
        ops.diag(placeholder("v", (3,)), 0.5)
    with pytest.raises(ShapeError, match="which of n and m is less is not known"):
        ops.trace(placeholder("x", ("n", "m")))
