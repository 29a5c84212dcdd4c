"""Running sums, products and recurrences: zeros, nothing, high orders, and what is refused."""

import numpy as np
import pytest

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.errors import ShapeError
from symgraph.expr import placeholder
from symgraph.ops.cumulative import Recurrence
from tests.ops.running import run


def test_discounted_returns():
    rewards = placeholder("r", ("steps",), "float64")
    returns = ops.linear_recurrence(0.5, rewards, reverse=True)
    np.testing.assert_array_equal(run(returns, r=np.array([1.0, 2.0, 4.0])), [3.0, 4.0, 4.0])


def test_a_decay_of_one_is_a_running_sum():
    x = np.random.default_rng(0).normal(size=(3, 5))
    e = placeholder("x", ("n", 5), "float64")
    np.testing.assert_allclose(run(ops.linear_recurrence(1.0, e, axis=0), x=x), np.cumsum(x, 0), rtol=1e-12)


def test_running_products_past_a_zero_have_the_right_derivatives():
    # d/dx of (x0, x0 x1, x0 x1 x2) summed is (1 + x1 + x1 x2, x0 + x0 x2, x0 x1).
    x = placeholder("x", (3,), "float64")
    (g,) = backward(ops.sum(ops.cumprod(x)), [x])
    np.testing.assert_array_equal(run(g, x=np.array([2.0, 0.0, 5.0])), [1.0, 12.0, 0.0])
    (second,) = backward(g[0], [x])  # of 1 + x1 + x1 x2
    np.testing.assert_array_equal(run(second, x=np.array([2.0, 0.0, 5.0])), [0.0, 6.0, 0.0])


def test_integers_wrap_and_bools_count():
    i = placeholder("i", (3,), "int32")
    assert run(ops.cumsum(i), i=np.array([2**31 - 1, 1, 0])).tolist() == [2**31 - 1, -(2**31), -(2**31)]
    b = placeholder("b", (3,), "bool")
    assert run(ops.cumsum(b, reverse=True), b=np.array([True, False, True])).tolist() == [2, 1, 1]
    assert ops.cumprod(b).dtype == np.int64


def test_what_is_not_finite_stays_where_it_reaches():
    x = placeholder("x", (4,), "float64")
    found = run(ops.cumsum(x), x=np.array([1.0, np.inf, -np.inf, 2.0]))
    np.testing.assert_array_equal(found, [1.0, np.inf, np.nan, np.nan])
    found = run(ops.cumsum(x, reverse=True), x=np.array([1.0, np.nan, 3.0, 2.0]))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 5.0, 2.0])


@pytest.mark.parametrize("function", [ops.cumsum, ops.cumprod])
def test_an_axis_that_is_not_there_is_refused(function):
    with pytest.raises(ShapeError, match=f"{function.__name__}: there is no axis 2"):
        function(placeholder("x", (2, 3)), axis=2)


def test_operands_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"linear_recurrence: the shapes \[3\] and \[4\]"):
        ops.linear_recurrence(placeholder("a", (3,)), placeholder("x", (4,)))
    with pytest.raises(ShapeError, match="there is no axis"):
        ops.linear_recurrence(0.5, placeholder("s", ()))
    with pytest.raises(ShapeError, match="one shape"):
        ops.apply(Recurrence(0), placeholder("a", (1,)), placeholder("x", (4,)))
