"""Sorting: special values, stability, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import symgraph as sg
from symgraph.errors import GraphError, ShapeError
from tests.ops.running import gradient_of, run

NAN, INF = np.nan, np.inf
VALUES = [3.0, NAN, -0.0, 0.0, -INF, INF, NAN, 0.0, -0.0, 3.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("descending", [False, True])
def test_nan_is_largest_and_zeros_are_equal(dtype, descending):
    x = sg.placeholder("x", (10,), dtype)
    order = run(sg.argsort(x, descending=descending), x=VALUES)
    rising = [4, 2, 3, 7, 8, 0, 9, 5, 1, 6]
    assert order.tolist() == ([1, 6, 5, 0, 9, 2, 3, 7, 8, 4] if descending else rising)
    found = run(sg.sort(x, descending=descending), x=VALUES)
    np.testing.assert_array_equal(found, np.array(VALUES, dtype)[order])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(np.array(VALUES, dtype)[order]))


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.int64, np.bool_]),
        hnp.array_shapes(max_dims=3, max_side=6, min_side=0),
    ),
    st.integers(-1, 0),
)
def test_numpy_agrees(x, axis):
    e = sg.placeholder("x", x.shape, x.dtype)
    np.testing.assert_array_equal(run(sg.argsort(e, axis), x=x), np.argsort(x, axis, kind="stable"))
    np.testing.assert_array_equal(run(sg.sort(e, axis), x=x), np.sort(x, axis))
    np.testing.assert_array_equal(run(sg.sort(e, None), x=x), np.sort(x, None))


def test_a_cotangent_goes_to_where_the_element_stood():
    x = np.array([[3.0, 1.0, 2.0], [5.0, 6.0, 4.0]])
    found, weights = gradient_of(lambda e: sg.sort(e), x, ("n", 3))
    np.testing.assert_array_equal(found, [[3, 1, 2], [5, 6, 4]])
    np.testing.assert_array_equal(weights, [[1, 2, 3], [4, 5, 6]])


def test_the_order_of_the_order_are_the_ranks():
    x = np.random.default_rng(0).permutation(50).astype(np.float32)
    ranks = run(sg.argsort(sg.argsort(sg.placeholder("x", ("n",)))), x=x)
    np.testing.assert_array_equal(ranks, x)


def test_the_text_form_keeps_it():
    graph = sg.define(y=sg.argsort(sg.placeholder("x", ("n", 3)), 0, descending=True))
    assert sg.from_text(str(graph)) == graph


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: sg.sort(1.0), ShapeError, "no axis -1"),
        (lambda: sg.argsort(sg.placeholder("x", (3, 4)), 2), ShapeError, "no axis 2"),
        (lambda: sg.argsort(sg.placeholder("x", (3, 4)), 0.5), ShapeError, "an axis is an int"),
        (lambda: sg.sort(sg.placeholder("x", (3,)), descending="no"), GraphError, "True or False"),
    ],
)
def test_what_is_refused(wrong, error, message):
    with pytest.raises(error, match=message) as caught:
        wrong()
    assert caught.value.source is not None and caught.value.source.file == __file__
    assert caught.value.hint
