"""Reductions on special values: ties, NaN, infinities, nothing at all, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import DTypeError, FeedError, GraphError, ShapeError
from symgraph.expr import placeholder
from symgraph.lowering.interpreter import evaluate
from tests import jax_oracle
from tests.ops.running import gradient_of, run

INF, NAN = np.inf, np.nan
FLOATS = st.floats(-100, 100, width=32)


def of(function, x):
    """The value of a function at an array."""
    x = np.asarray(x)
    return run(function(placeholder("x", x.shape, x.dtype)), x=x)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), elements=FLOATS), st.data()
)
def test_any_axes_in_any_order(x, data):
    axes = data.draw(st.lists(st.integers(0, x.ndim - 1), unique=True).map(tuple))
    signed = tuple(a - x.ndim if data.draw(st.booleans()) else a for a in axes)
    keepdims = data.draw(st.booleans())
    for function, reference in ((ops.sum, np.sum), (ops.max, np.max), (ops.mean, np.mean)):
        found = of(lambda e, f=function: f(e, axis=signed, keepdims=keepdims), x)
        expected = reference(x, axis=axes, keepdims=keepdims)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
        assert found.shape == expected.shape


def test_the_mean_of_a_large_float32_batch_is_as_accurate_as_numpys():
    x = (np.random.default_rng(0).random(1_000_003) + 1000).astype(np.float32)
    exact = np.mean(x, dtype=np.float64)
    assert abs(of(ops.mean, x) - exact) <= abs(np.mean(x) - exact)


def test_the_mean_over_a_named_size_divides_by_what_is_fed():
    e = placeholder("x", ("batch", 3))
    for batch in (1, 4, 7):
        x = np.arange(3 * batch, dtype=np.float32).reshape(batch, 3)
        np.testing.assert_allclose(run(ops.mean(e), x=x), x.mean(), rtol=1e-6)
        np.testing.assert_allclose(run(ops.mean(e, axis=0), x=x), x.mean(0), rtol=1e-6)
        np.testing.assert_allclose(run(ops.var(e), x=x), x.var(), rtol=1e-6)
        if batch > 1:
            np.testing.assert_allclose(run(ops.var(e, 0, ddof=1), x=x), x.var(0, ddof=1), rtol=1e-6)


def test_integers_keep_their_dtype_and_wrap_around():
    x = np.array([2**31 - 1, 1], np.int32)
    assert of(ops.sum, x) == np.int32(-(2**31))
    assert of(ops.sum, x).dtype == np.int32
    assert of(ops.prod, np.array([2**30, 4], np.int32)) == 0
    assert of(ops.sum, np.array([True, True, False])) == 2
    assert ops.sum(placeholder("b", (3,), "bool")).dtype == np.int64
    assert ops.mean(placeholder("i", (3,), "int64")).dtype == np.float32


@pytest.mark.parametrize("function, pick", [(ops.max, np.max), (ops.min, np.min)])
def test_extremes_of_special_values(function, pick):
    for x in ([1.0, NAN, 3.0], [INF, -INF, 0.0], [-INF, -INF], [NAN, INF]):
        np.testing.assert_equal(of(function, x), pick(x))
    rows = np.array([[NAN, 1.0], [2.0, 3.0]])
    np.testing.assert_equal(of(lambda e: function(e, axis=1), rows), pick(rows, axis=1))


@pytest.mark.parametrize("function, oracle", [(ops.max, jnp.max), (ops.min, jnp.min)])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
def test_ties_share_the_cotangent_evenly(function, oracle, axis):
    x = np.random.default_rng(3).integers(0, 3, (3, 4, 2)).astype(np.float64)
    g, weights = gradient_of(lambda e: function(e, axis=axis), x)
    _, (expected,) = jax_oracle.value_and_cotangents(lambda e: oracle(e, axis=axis), [x], weights)
    np.testing.assert_allclose(g, expected, rtol=1e-14)


def test_three_equal_values_receive_a_third_each():
    g, _ = gradient_of(ops.max, np.array([2.0, 5.0, 5.0, 5.0]))
    np.testing.assert_allclose(g, [0, 1 / 3, 1 / 3, 1 / 3])


def test_an_infinite_maximum_has_a_gradient():
    np.testing.assert_array_equal(gradient_of(ops.max, np.array([1.0, INF, 2.0]))[0], [0, 1, 0])


@pytest.mark.parametrize("function, reference", [(ops.argmax, np.argmax), (ops.argmin, np.argmin)])
def test_the_index_is_that_of_the_first(function, reference):
    for x in ([1.0, 3.0, 3.0, 1.0], [1.0, NAN, 3.0, NAN], [-INF, -INF], [0.0, -0.0]):
        found = of(function, x)
        assert found == reference(x)
        assert found.dtype == np.int64


@pytest.mark.parametrize("function", [ops.max, ops.min, ops.argmax, ops.argmin])
def test_nothing_has_no_extreme(function):
    with pytest.raises(ShapeError, match=f"no {function.__name__} of no elements"):
        function(placeholder("x", (0, 3)), axis=0)
    graph = define(y=function(placeholder("x", ("batch", 3)), axis=0))
    with pytest.raises(FeedError, match="batch=0"):
        evaluate(graph, {"x": np.zeros((0, 3), np.float32)}, {"batch": 0})
    empty = of(lambda e: function(e, axis=1), np.zeros((0, 3)))
    assert empty.shape == (0,)


def test_reductions_of_nothing():
    nothing = np.zeros((0,), np.float32)
    assert of(ops.sum, nothing) == 0
    assert of(ops.prod, nothing) == 1
    assert of(ops.logsumexp, nothing) == -INF
    assert np.isnan(of(ops.mean, nothing))
    assert not of(lambda e: ops.any(e > 0), nothing)
    assert of(lambda e: ops.all(e > 0), nothing)
    assert of(ops.norm, nothing) == 0


def test_no_axes_change_nothing():
    x = placeholder("x", (2, 3))
    assert ops.sum(x, axis=()) is x
    assert ops.mean(x, axis=()) is x
    assert ops.max(x, axis=()).shape == (2, 3)


@pytest.mark.parametrize(
    "x",
    [
        [2.0, 3.0, 4.0],
        [2.0, 0.0, 4.0],
        [0.0, 0.0, 4.0],
        [0.0, 0.0, 0.0],
        [-0.0, 1.0, 1e-300],
        [1e150, 1e150, 0.0],
    ],
)
def test_the_derivative_of_a_product_is_the_product_of_the_others(x):
    g, _ = gradient_of(ops.prod, np.array(x))
    np.testing.assert_allclose(g, [x[1] * x[2], x[0] * x[2], x[0] * x[1]], rtol=1e-15)


def test_the_third_derivative_of_a_product_with_zeros():
    # x y z at 0: the only derivative that is not 0 is d3/dx dy dz = 1.
    x = placeholder("x", (3,), "float64")
    (first,) = backward(ops.prod(x), [x])
    (second,) = backward(first[0], [x])
    (third,) = backward(second[1], [x])
    np.testing.assert_array_equal(run(third, x=np.zeros(3)), [0, 0, 1])


def test_any_and_all_take_numbers_as_truths():
    x = np.array([[0.0, -0.0], [NAN, 0.0], [1.0, 2.0]])
    np.testing.assert_array_equal(of(lambda e: ops.any(e, axis=1), x), x.any(1))
    np.testing.assert_array_equal(of(lambda e: ops.all(e, axis=1), x), x.all(1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "row, value, slope",
    [
        ([1e4, 1e4], 1e4 + np.log(2), [0.5, 0.5]),
        ([-1e4, -1e4], -1e4 + np.log(2), [0.5, 0.5]),
        ([1e4, -1e4], 1e4, [1, 0]),
        ([-INF, -INF], -INF, [0, 0]),
        ([-INF, 3.0], 3, [0, 1]),
        ([0.0, -0.0], np.log(2), [0.5, 0.5]),
    ],
)
def test_logsumexp_of_extreme_rows(dtype, row, value, slope):
    x = np.array([row], dtype)
    e = placeholder("x", (1, 2), dtype)
    for out in (ops.logsumexp(e, axis=1), ops.logsumexp(e, axis=1).op.expand(e)):
        np.testing.assert_allclose(run(out, x=x), [value], rtol=1e-6)
    np.testing.assert_allclose(gradient_of(lambda e: ops.logsumexp(e, 1), x)[0], [slope], rtol=1e-6)


def test_logsumexp_of_infinity_and_nan():
    for row, value in (([INF, 1.0], INF), ([INF, -INF], INF), ([NAN, 1.0], NAN), ([NAN, INF], NAN)):
        np.testing.assert_equal(of(ops.logsumexp, row), value)
        e = placeholder("x", (2,), "float64")
        np.testing.assert_equal(run(ops.logsumexp(e).op.expand(e), x=np.array(row)), value)


def test_the_second_derivative_of_logsumexp_of_minus_infinities_is_0():
    x = placeholder("x", (2,), "float64")
    (g,) = backward(ops.logsumexp(x), [x])
    (h,) = backward(g[0], [x])
    np.testing.assert_array_equal(run(h, x=np.full(2, -INF)), [0, 0])


def test_the_spread_of_equal_values_has_derivative_0():
    for function in (ops.std, ops.var):
        g, _ = gradient_of(lambda e, f=function: f(e, axis=1), np.full((2, 3), 7.0))
        np.testing.assert_array_equal(g, np.zeros((2, 3)))


def test_the_variance_is_of_two_passes():
    # In one pass, mean(x^2) - mean(x)^2, the squares would swallow the variance whole.
    x = (1e4 + np.array([1, 2, 3, 4])).astype(np.float32)
    assert of(ops.var, x) == np.float32(1.25)


def test_too_few_degrees_of_freedom_are_nan():
    assert np.isnan(of(lambda e: ops.var(e, ddof=1), np.array([3.0])))
    assert np.isnan(of(lambda e: ops.var(e, ddof=2), np.array([3.0])))
    assert np.isnan(run(ops.var(placeholder("x", ("n",), "float64"), ddof=2), x=np.array([3.0])))


@pytest.mark.parametrize("ddof", [-1, 0.5, "1", None, True])
def test_degrees_of_freedom_are_whole(ddof):
    with pytest.raises(GraphError, match="ddof is a whole number"):
        ops.var(placeholder("x", (3,)), ddof=ddof)


@pytest.mark.parametrize(
    "function",
    [ops.sum, ops.prod, ops.max, ops.min, ops.mean, ops.var, ops.std, ops.any, ops.all, ops.logsumexp],
)
def test_axes_that_are_not_there_are_refused(function):
    x = placeholder("x", ("batch", 3))
    for axis in (2, -3, (0, 2), (0, 0), (1, -1), 1.5, True, "0"):
        with pytest.raises(ShapeError, match=r"axis"):
            function(x, axis=axis)


def test_bools_have_no_extremes_and_the_error_shows_the_line():
    with pytest.raises(DTypeError) as error:
        ops.max(placeholder("mask", (3,), "bool"))
    assert "max takes" in str(error.value)
    assert "mask  bool[3]" in str(error.value)
    assert 'ops.max(placeholder("mask"' in str(error.value)
