"""Softmax, layer and batch normalisation on extreme values, against JAX, and what is refused."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import placeholder
from symgraph.ops.nn import Softmax
from tests import jax_oracle
from tests.ops.running import gradient_of, run

INF, NAN = np.inf, np.nan
PAIRS = [(ops.softmax, jax.nn.softmax), (ops.log_softmax, jax.nn.log_softmax)]


def both(function, x):
    """The value by the op itself and by its expansion."""
    e = placeholder("x", x.shape, x.dtype)
    out = function(e)
    return run(out, x=x), run(out.op.expand(e), x=x)


@pytest.mark.parametrize("function, oracle", PAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "row",
    [[1e4, 1e4, 0.0], [-1e4, 1e4, 3.0], [-1e4, -1e4, -1e4], [1e38, -1e38, 0], [-INF, 0.0, 1.0], [-0.0, 0, 0]],
)
def test_extreme_rows(function, oracle, dtype, row):
    x = np.array([row], dtype)
    found, weights = gradient_of(function, x)
    expected, (slope,) = jax_oracle.value_and_cotangents(oracle, [x], weights)
    for value in both(function, x):
        assert value.dtype == dtype
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function, oracle", PAIRS)
@pytest.mark.parametrize("row", [[NAN, 1.0], [INF, 1.0], [-INF, -INF]])
def test_rows_without_an_answer_are_nan(function, oracle, row):
    for value in both(function, np.array([row, [0.0, 0.0]])):
        np.testing.assert_array_equal(np.isnan(value), [[True, True], [False, False]])


@given(hnp.arrays(np.float64, (3, 5), elements=st.floats(-1e4, 1e4)), st.floats(-1e4, 1e4))
def test_softmax_is_a_distribution_that_no_shift_changes(x, shift):
    e = placeholder("x", ("n", 5), "float64")
    p = run(ops.softmax(e), x=x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(run(ops.softmax(e), x=x + shift), p, rtol=1e-6, atol=1e-9)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(np.exp(run(ops.log_softmax(e), x=x)), p, rtol=1e-9, atol=1e-300)


def test_an_empty_axis_gives_nothing():
    for shape in ((0, 3), (3, 0)):
        for function, _ in PAIRS:
            assert [v.shape for v in both(function, np.zeros(shape, np.float32))] == [shape, shape]


def test_several_axes_are_one():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    found = run(ops.softmax(placeholder("x", ("n", 3, 4), "float64"), axis=(1, 2)), x=x)
    np.testing.assert_allclose(found, jax.nn.softmax(x, axis=(1, 2)), rtol=1e-12)


def test_layer_norm_of_a_constant_row_is_0_and_has_a_gradient():
    x = np.full((2, 4), 3.0)
    e = placeholder("x", x.shape, "float64")
    np.testing.assert_array_equal(run(ops.layer_norm(e), x=x), np.zeros((2, 4)))
    assert np.isfinite(gradient_of(ops.layer_norm, x)[0]).all()


def test_layer_norm_has_mean_0_and_variance_1():
    x = (np.random.default_rng(0).normal(size=(8, 512)) * 50 + 1000).astype(np.float32)
    y = run(ops.layer_norm(placeholder("x", ("n", 512))), x=x)
    np.testing.assert_allclose(y.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(1), 1, rtol=1e-4)


def test_batch_norm_of_data_far_from_0_keeps_its_variance():
    x = np.random.default_rng(0).normal(size=(4096, 3)).astype(np.float32) + np.float32(10000)
    made = ops.batch_norm(placeholder("x", ("n", 3)))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(run(made.variance, x=x), exact.var(0), rtol=1e-4)
    np.testing.assert_allclose(run(made.mean, x=x), exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        run(made.output, x=x), (exact - exact.mean(0)) / exact.std(0), rtol=1e-3, atol=2e-3
    )


def test_batch_norm_against_jax_with_its_gradients():
    def function(x, scale, bias):
        made = ops.batch_norm(x, scale, bias, axis=1)
        return made.output + ops.reshape(made.mean * made.variance, (1, 3, 1))

    def oracle(x, scale, bias):
        mean, variance = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
        made = jax.nn.standardize(x, axis=(0, 2), epsilon=1e-5)
        return made * scale[:, None] + bias[:, None] + mean * variance

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in ((4, 3, 5), (3,), (3,))]
    arrays[0] = arrays[0] * 3 + 50
    names = ("x", "scale", "bias")
    xs = [placeholder(n, a.shape, "float64") for n, a in zip(names, arrays, strict=True)]
    g = rng.normal(size=(4, 3, 5))
    out = function(*xs)
    value, slopes = jax_oracle.value_and_cotangents(oracle, arrays, g)
    feeds = dict(zip(names, arrays, strict=True))
    np.testing.assert_allclose(run(out, **feeds), value, rtol=1e-10)
    found = backward(ops.sum(out * g), xs)
    for ours, expected in zip(found, slopes, strict=True):
        np.testing.assert_allclose(run(ours, **feeds), expected, rtol=1e-8, atol=1e-10)


def test_a_feature_that_does_not_vary_is_0_and_has_a_gradient():
    x = np.array([[3.0, 1.0], [3.0, 2.0]])
    e = placeholder("x", ("n", 2), "float64")
    np.testing.assert_array_equal(run(ops.batch_norm(e).output, x=x)[:, 0], [0, 0])
    assert np.isfinite(gradient_of(lambda e: ops.batch_norm(e).output, x)[0]).all()


def test_a_batch_of_one_and_an_empty_batch():
    made = ops.batch_norm(placeholder("x", ("n", 2)), None, np.float32([5, 6]))
    one = [[1.0, np.float32(1e30)]]
    np.testing.assert_array_equal(run(made.output, x=one), [[5, 6]])
    np.testing.assert_array_equal(run(made.variance, x=one), [0, 0])
    np.testing.assert_array_equal(run(made.mean, x=one), one[0])
    nothing = np.zeros((0, 2))
    assert run(made.output, x=nothing).shape == (0, 2)
    assert np.isnan([run(made.mean, x=nothing), run(made.variance, x=nothing)]).all()


def test_normalise_by_the_statistics_of_the_batch_is_batch_norm():
    x = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
    e = placeholder("x", ("n", 4, "width"))
    scale, bias = np.float32([1, 2, 3, 4]), np.float32([4, 3, 2, 1])
    made = ops.batch_norm(e, scale, bias, axis=1)
    again = ops.normalise(e, made.mean, made.variance, scale, bias, axis=1)
    np.testing.assert_allclose(run(again, x=x), run(made.output, x=x), rtol=1e-5, atol=1e-5)
    by_numbers = ops.normalise(e, 1, 4, 2, 0.5, epsilon=1e-12)
    assert by_numbers.dtype == np.float32
    np.testing.assert_allclose(run(by_numbers, x=x), x - 0.5, rtol=1e-5, atol=1e-6)


def test_refusals_of_batch_norm():
    x, three = placeholder("x", ("n", 4)), placeholder("three", (3,))
    with pytest.raises(ShapeError, match=r"batch_norm: the scale has the shape \[3\]"):
        ops.batch_norm(x, three)
    with pytest.raises(ShapeError, match=r"batch_norm: the bias has the shape \[3\]"):
        ops.batch_norm(x, bias=three)
    with pytest.raises(ShapeError, match=r"normalise: the mean has the shape \[3\]"):
        ops.normalise(x, three, 1.0)
    with pytest.raises(ShapeError, match=r"normalise: the variance has the shape \[3\]"):
        ops.normalise(x, 0.0, three)
    with pytest.raises(ShapeError, match="there is no axis 2"):
        ops.batch_norm(x, axis=2)
    with pytest.raises(ShapeError, match="there is no axis"):
        ops.batch_norm(placeholder("s", ()))
    with pytest.raises(GraphError, match="batch_norm: epsilon is a positive number"):
        ops.batch_norm(x, epsilon=0)


def test_refusals():
    x = placeholder("x", ("n", 4))
    with pytest.raises(ShapeError, match=r"the scale has the shape \[3\], and the axes \(1,\) have \[4\]"):
        ops.layer_norm(x, placeholder("scale", (3,)))
    with pytest.raises(ShapeError, match="the bias"):
        ops.layer_norm(x, None, placeholder("bias", (1, 4)))
    for epsilon in (0, -1.0, NAN, INF, "1", True, None, 10**400, np.float32(0), x):
        with pytest.raises(GraphError, match="epsilon is a positive number") as caught:
            ops.layer_norm(x, epsilon=epsilon)
        assert caught.value.hint and len(str(caught.value)) < 500
    given = np.float32(1e-3)  # as it comes from an array
    assert define(y=ops.layer_norm(x, epsilon=given)) == define(y=ops.layer_norm(x, epsilon=float(given)))
    for function, _ in PAIRS:
        with pytest.raises(ShapeError, match="there is no axis 2"):
            function(x, axis=2)
    with pytest.raises(DTypeError, match="softmax takes floats"):
        ops.apply(Softmax((0,)), placeholder("i", (3,), "int32"))
