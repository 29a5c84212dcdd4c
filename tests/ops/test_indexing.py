"""Indexing by tensors: against NumPy and JAX, with named sizes, gradients, and indices out of range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.errors import DTypeError, ExecutionError, FeedError, ShapeError
from symgraph.expr import placeholder
from symgraph.types import dim
from tests.ops.running import gradient_of, run

N = dim("n")


def x_of(*shape, dtype="float64"):
    return placeholder("x", shape, dtype)


def i_of(*shape, dtype="int64"):
    return placeholder("i", shape, dtype)


def numbered(shape):
    return np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float64).reshape(shape)


@given(st.integers(1, 5), st.lists(st.integers(-5, 4), max_size=7), st.integers(0, 2))
def test_take_with_named_sizes_is_numpys_or_names_the_index(n, indices, axis):
    value = np.moveaxis(numbered((n, 2, 3)), 0, axis)
    shape = tuple("n" if k == axis else size for k, size in enumerate(value.shape))
    y = ops.take(x_of(*shape), i_of("m"), axis)
    assert y.shape == tuple(dim("m") if k == axis else size for k, size in enumerate(value.shape))
    wrong = [i for i in indices if not -n <= i < n]
    if wrong:
        with pytest.raises(
            ExecutionError, match=f"take: the index {wrong[0]} at .* along axis {axis}, which has {n}"
        ):
            run(y, x=value, i=indices)
    else:
        expected = np.take(value, np.array(indices, int), axis)
        np.testing.assert_array_equal(run(y, x=value, i=indices), expected)


def test_an_index_out_of_range_is_named_with_its_place_and_line():
    y = ops.take(x_of("n", 3), i_of(2, 2))
    with pytest.raises(ExecutionError) as caught:
        run(y, x=numbered((4, 3)), i=[[0, 3], [4, 9]])
    message = str(caught.value)
    assert "take: the index 4 at [1, 0] is out of range along axis 0, which has 4 elements" in message
    assert "Indices go from -4 to 3." in message
    assert "y = ops.take(" in message
    with pytest.raises(ExecutionError, match="the index -5 is out of range"):
        run(ops.take(x_of(4), i_of()), x=numbered(4), i=-5)
    with pytest.raises(ExecutionError, match="The axis is empty"):
        run(ops.take(x_of("n"), i_of(1)), x=np.zeros(0), i=[0])


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x, i: ops.gather(x, i, 0), "gather"),
        (lambda x, i: ops.scatter_add(x, i, 1.0), "scatter_add"),
        (lambda x, i: ops.scatter_add_along(x, i, 1.0, 0), "scatter_add_along"),
    ],
)
def test_all_of_them_check_their_indices(function, name):
    y = function(x_of("n"), i_of("m"))
    for wrong in (3, -4):
        with pytest.raises(
            ExecutionError, match=rf"{name}: the index {wrong} at \[1\] is out of range along axis 0"
        ):
            run(y, x=numbered(3), i=[-3, wrong])
    assert run(y, x=numbered(3), i=[-3, 2]).shape == ((2,) if name == "gather" else (3,))


def test_indices_known_now_are_checked_now():
    with pytest.raises(ShapeError) as caught:
        ops.take(x_of("n", 3), [0, 3], axis=1)
    assert "the index 3 at [1] is out of range along axis 1, which has 3" in str(caught.value)
    assert "x  f64[n,3]" in str(caught.value)
    with pytest.raises(ExecutionError):  # of a named size only the run knows
        run(ops.take(x_of("n"), [3]), x=numbered(2))


def test_indices_are_integers():
    x = x_of(3)
    for wrong in (placeholder("f", (2,)), placeholder("b", (3,), "bool"), 0.5):
        for function in (
            ops.take,
            lambda x, i: ops.gather(x, i, 0),
            lambda x, i: ops.scatter_add(x, i, 1.0),
            lambda x, i: ops.scatter_add_along(x, i, 1.0, 0),
            lambda x, i: ops.one_hot(i, 3),
        ):
            with pytest.raises(DTypeError, match="indices are integers, and these are") as caught:
                function(x, wrong)
            assert "symgraph.cast" in caught.value.hint


def test_take_from_the_flattened_tensor():
    value = numbered((3, 2))
    y = ops.take(x_of("n", 2), i_of("m"), axis=None)
    np.testing.assert_array_equal(run(y, x=value, i=[5, 0, -1]), np.take(value, [5, 0, -1]))


def test_an_empty_list_takes_nothing():
    assert run(ops.take(x_of("n", 2), []), x=numbered((3, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    "function",
    [
        lambda np_, x, i, j: np_.take(x, i, axis=0),
        lambda np_, x, i, j: np_.take(x * x, i, axis=1),
        lambda np_, x, i, j: _along(np_)(x, j, 1),
        lambda np_, x, i, j: _along(np_)(x * x, j, 1) * _along(np_)(x, j, 1),
    ],
)
def test_gradients_and_second_derivatives_are_jaxs(function):
    value = np.random.default_rng(0).normal(size=(4, 4))
    i, j = np.array([0, 3, 3, -1, 1]), np.array([[0, 0, 1], [2, 2, 2], [-1, 3, 0], [1, 1, 1]])

    def theirs(x):
        return (function(jnp, x, i, j) ** 3).sum()

    with jax.enable_x64(True):
        first = jax.grad(theirs)
        second = jax.grad(lambda x: (first(x) ** 2).sum())
        expected = np.asarray(first(value)), np.asarray(second(value))
    x = x_of(4, 4)
    (g,) = backward(ops.sum(function(ops, x, i, j) ** 3), [x])
    (h,) = backward(ops.sum(g * g), [x])
    np.testing.assert_allclose(run(g, x=value), expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(run(h, x=value), expected[1], rtol=1e-12, atol=1e-12)


def _along(np_):
    return ops.gather if np_ is ops else np_.take_along_axis


@given(st.integers(1, 4), st.lists(st.integers(-1, 0) | st.just(0), max_size=9))
def test_take_gradient_adds_what_is_taken_more_than_once(n, indices):
    g, weights = gradient_of(lambda x: ops.take(x, indices), numbered((n, 2)), ("n", 2))
    expected = np.zeros((n, 2))
    np.add.at(expected, np.array(indices, int), weights)
    np.testing.assert_array_equal(g, expected)


@given(st.data(), st.integers(1, 5), st.integers(0, 12), st.sampled_from(["float64", "int32", "int64"]))
def test_scatter_add_is_numpys_add_at(data, n, m, dtype):
    indices = np.array(data.draw(st.lists(st.integers(-n, n - 1), min_size=m, max_size=m)), np.int64)
    value, updates = numbered((n, 2)).astype(dtype), (numbered((m, 2)) * 3).astype(dtype)
    y = ops.scatter_add(x_of("n", 2, dtype=dtype), i_of("m"), placeholder("u", ("m", 2), dtype))
    expected = value.copy()
    np.add.at(expected, indices, updates)
    got = run(y, x=value, i=indices, u=updates)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, expected)


def test_scatter_add_leaves_its_operand_and_other_rows_alone():
    value = np.array([np.nan, -0.0, 1.0])
    kept = value.copy()
    got = run(ops.scatter_add(x_of(3), [2, 2], [1.0, np.inf]), x=value)
    assert value.tobytes() == kept.tobytes()
    assert got[:2].tobytes() == kept[:2].tobytes()
    assert got[2] == np.inf


def test_scatter_add_integers_wrap_around():
    top = np.iinfo(np.int32).max
    got = run(ops.scatter_add(x_of(1, dtype="int32"), [0, 0], np.array([top, 2], np.int32)), x=[0])
    assert got.tolist() == [-top]


def test_scatter_add_errors():
    x = x_of("n", 3)
    with pytest.raises(ShapeError) as caught:
        ops.scatter_add(x, i_of(4), placeholder("u", (5, 3), "float64"))
    assert "the updates are [5,3], not [4,3]" in str(caught.value)
    assert "symgraph.take(x, indices, axis)" in str(caught.value)
    with pytest.raises(DTypeError, match="scatter_add adds numbers, and this is bool"):
        ops.scatter_add(x_of(3, dtype="bool"), [0], True)
    with pytest.raises(ShapeError, match="scatter_add: there is no axis 2"):
        ops.scatter_add(x, [0], 1.0, axis=2)
    with pytest.raises(ShapeError, match=r"scatter_add_along: the updates are \[2\], and the indices \[4\]"):
        ops.scatter_add_along(x_of(3), i_of(4), placeholder("u", (2,), "float64"), 0)


def test_gather_picks_one_of_each_row_with_named_sizes():
    value = numbered((3, 4))
    y = ops.gather(x_of("n", 4), i_of("n")[:, None], 1)[:, 0]
    assert y.shape == (N,)
    np.testing.assert_array_equal(run(y, x=value, i=[3, 0, -2]), value[np.arange(3), [3, 0, -2]])


def test_gather_errors_say_how_to_pick_one_of_each_row():
    with pytest.raises(ShapeError) as caught:
        ops.gather(x_of("n", 4), i_of("n"), 1)
    assert "gather: the indices are [n] for a tensor of [n,4]" in str(caught.value)
    assert "gather(x, labels[:, None], axis=1)" in str(caught.value)
    with pytest.raises(ShapeError, match=r"the indices are \[m,1\] for a tensor of \[n,4\]"):
        ops.gather(x_of("n", 4), i_of("m", 1), 1)
    with pytest.raises(ShapeError, match="gather: there is no axis 2"):
        ops.gather(x_of("n", 4), i_of("n", 1), 2)


def test_one_hot_out_of_range_is_zeros_as_in_jax():
    indices = np.array([[0, -1], [2, 7]])
    got = run(ops.one_hot(i_of("n", 2), 3), i=indices)
    np.testing.assert_array_equal(got, np.asarray(jax.nn.one_hot(indices, 3)) * (indices >= 0)[..., None])
    assert got.dtype == np.float32
    assert run(ops.one_hot(i_of(), 0), i=0).shape == (0,)


def test_one_hot_of_a_named_depth():
    x = x_of("n")
    y = ops.one_hot(i_of("m"), x.shape[0], "float64") * x
    assert y.shape == (dim("m"), N)
    np.testing.assert_array_equal(run(y, x=[5, 6, 7], i=[2, 0]), [[0, 0, 7], [5, 0, 0]])


def test_iota_and_arange_of_named_sizes():
    x = x_of("n", 2)
    shifted = x + ops.iota(x.shape, "float64", 0) + ops.arange(x.shape[1], dtype="float64")
    value = numbered((3, 2))
    np.testing.assert_array_equal(run(shifted, x=value), value + np.arange(3.0)[:, None] + np.arange(2.0))


@given(st.integers(0, 9), st.integers(-3, 3), st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_arange_to_a_named_bound_is_numpys_or_is_refused(n, start, step):
    x = placeholder("x", ("n",), "int64")
    low, high = (start, x.shape[0]) if step > 0 else (x.shape[0], start)
    expected = np.arange(start, n, step) if step > 0 else np.arange(n, start, step)
    y = ops.arange(low, high, step)
    try:
        got = run(y + 0 * ops.sum(x), x=np.zeros(n, np.int64))
    except FeedError:
        assert start > n
        return
    np.testing.assert_array_equal(got, expected)


@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-3, -1, 1, 2, 5]))
def test_arange_of_ints_is_numpys(start, stop, step):
    got = run(ops.arange(start, stop, step))
    expected = np.arange(start, stop, step)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == expected.dtype


@pytest.mark.parametrize(
    ("bounds", "dtype"),
    [
        ((0.0, 1.0, 0.1), None),
        ((1.5,), None),
        ((1, 0, -0.25), "float64"),
        ((0, 5, 2), "float32"),
        ((3,), "int32"),
    ],
)
def test_arange_dtypes(bounds, dtype):
    got = run(ops.arange(*bounds, dtype=dtype))
    expected = np.arange(*bounds).astype(dtype or np.float32)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert got.dtype == expected.dtype


def test_leaf_errors():
    with pytest.raises(ShapeError, match="arange: the step is 0"):
        ops.arange(0, 3, 0)
    with pytest.raises(ShapeError, match="a bound is a finite number, and inf is none"):
        ops.arange(float("inf"))
    with pytest.raises(ShapeError, match="a float beside a named size"):
        ops.arange(0.5, "n")
    with pytest.raises(ShapeError, match="arange: a step is a number"):
        ops.arange(0, 3, "n")
    with pytest.raises(ShapeError, match="iota: there is no axis 1"):
        ops.iota(3, axis=1)
    with pytest.raises(DTypeError, match="iota: bools do not count"):
        ops.iota(3, "bool")
    with pytest.raises(ShapeError, match="not negative"):
        ops.eye(-1)


@pytest.mark.parametrize("k", [-3, -1, 0, 1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_eye_is_numpys(k, dtype):
    got = run(ops.eye(2, 3, k, dtype))
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, np.eye(2, 3, k, dtype))


def test_eye_of_a_named_size():
    x = x_of("n")
    np.testing.assert_array_equal(run(ops.eye(x.shape[0]) * x, x=[2, 3]), np.diag([2, 3]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64])
def test_integers_of_any_width_index(dtype):
    x, index = x_of("n"), np.array([2, 0], dtype)
    for y in (x[index], ops.take(x, index), ops.gather(x, index, 0)):
        np.testing.assert_array_equal(run(y, x=[5, 6, 7]), [7, 5])


@given(st.integers(0, 4), st.integers(0, 4), st.integers(-5, 5))
def test_triangles_are_numpys(rows, columns, k):
    value = numbered((2, rows, columns))
    x = x_of(2, "n", "m")
    np.testing.assert_array_equal(run(ops.tril(x, k), x=value), np.tril(value, k))
    np.testing.assert_array_equal(run(ops.triu(x, k), x=value), np.triu(value, k))


def test_triangles_are_of_matrices():
    with pytest.raises(ShapeError, match=r"tril: \[n\] is no matrix"):
        ops.tril(x_of("n"))
    nan = np.full((2, 2), np.nan)
    np.testing.assert_array_equal(run(ops.triu(x_of(2, 2)), x=nan), [[np.nan, np.nan], [0, np.nan]])
