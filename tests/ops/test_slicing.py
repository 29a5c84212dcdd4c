"""Slices against NumPy on random shapes and keys, of fixed and of named sizes, with their gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import DTypeError, FeedError, GraphError, ShapeError
from symgraph.expr import placeholder
from symgraph.ops.slicing import Pad, Slice
from symgraph.types import dim
from tests.ops.running import gradient_of, run

N = dim("n")
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
BOUNDS = st.none() | st.integers(-7, 7)
STEPS = st.none() | st.sampled_from([-4, -3, -2, -1, 1, 2, 3, 4])
SLICES = st.builds(slice, BOUNDS, BOUNDS, STEPS)


def x_of(*shape, dtype="float64"):
    return placeholder("x", shape, dtype)


def numbered(shape):
    return np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float64).reshape(shape)


@st.composite
def shapes_and_keys(draw):
    shape = draw(SHAPES)
    if draw(st.booleans()):  # keys inside the shape, of every form
        return shape, draw(hnp.basic_indices(shape, allow_ellipsis=True, allow_newaxis=True))
    return shape, tuple(draw(SLICES) for _ in shape)  # and bounds outside it


@given(shapes_and_keys())
@settings(max_examples=300)
def test_getitem_is_numpys(drawn):
    shape, key = drawn
    value = numbered(shape)
    got = ops.getitem(x_of(*shape), key)
    assert got.shape == value[key].shape
    np.testing.assert_array_equal(run(got, x=value), value[key])


@given(shapes_and_keys())
@settings(max_examples=150)
def test_the_gradient_of_getitem_puts_each_cotangent_in_its_place(drawn):
    shape, key = drawn
    value = numbered(shape)
    g, weights = gradient_of(lambda x: ops.getitem(x, key), value)
    expected = np.zeros(shape)
    expected[key] = weights
    np.testing.assert_array_equal(g, expected)


@given(st.integers(0, 7), SLICES, SLICES)
@settings(max_examples=300)
def test_a_slice_of_a_named_size_is_numpys_or_is_refused(n, first, second):
    value = numbered((n, 5))
    x = x_of("n", 5)
    y = x[first, second]
    expected = value[first, second]
    try:
        got = run(y, x=value)
    except FeedError as error:
        assert not _inside(first, n), (first, n)
        assert "does not fit the sizes n=" in str(error)
        return
    np.testing.assert_array_equal(got, expected)
    g, weights = gradient_of(lambda x: x[first, second], value, ("n", 5))
    placed = np.zeros_like(value)
    placed[first, second] = weights
    np.testing.assert_array_equal(g, placed)


def _inside(part, n):
    """Whether the bounds, as written, are positions of an axis of n elements in the direction of the step."""
    backwards = part.step is not None and part.step < 0
    default = (n - 1, -1) if backwards else (0, n)
    start, stop = (
        d if b is None else b + n if b < 0 else b
        for b, d in zip((part.start, part.stop), default, strict=True)
    )
    if backwards:
        return -1 <= stop <= start <= n - 1
    return 0 <= start <= stop <= n


@given(st.integers(-8, 7), st.integers(0, 7))
def test_an_int_of_a_named_size_is_numpys_or_is_refused(index, n):
    value = numbered((n, 2))
    y = x_of("n", 2)[index]
    assert y.shape == (2,)
    if -n <= index < n:
        np.testing.assert_array_equal(run(y, x=value), value[index])
    else:
        with pytest.raises(FeedError, match=f"does not fit the sizes n={n}: slice: along axis 0"):
            run(y, x=value)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (slice(1, None), N - 1),
        (slice(None, -1), N - 1),
        (slice(None, None, 2), (N + 1) // 2),
        (slice(None, None, -1), N),
        (slice(None, 10), 10),
        (slice(-3, None), 3),
        (slice(2, -2), N - 4),
        (slice(-2, 2, -1), N - 4),
        (slice(None, None, -3), (N + 2) // 3),
        (slice(5, 3), 0),
        (slice(None, N - 1), N - 1),
        (slice(None, -N), 0),
        (slice(-N, None), N),
        (slice(1, N), N - 1),
    ],
)
def test_the_size_of_a_slice_of_a_named_size(key, expected):
    assert x_of("n")[key].shape == (expected,)


def test_a_named_bound_cuts_a_fixed_axis():
    other = placeholder("other", ("n",), "float64")
    y = x_of(6)[: other.shape[0]] * other
    np.testing.assert_array_equal(run(y, x=numbered(6), other=[1, 0, 2]), [1, 0, 6])
    with pytest.raises(FeedError, match="the elements 0 to 6 are asked for, and the axis has 6"):
        run(y, x=numbered(6), other=np.ones(7))


def test_a_run_where_a_slice_does_not_fit_names_the_line_that_wrote_it():
    y = x_of("n")[:10]
    with pytest.raises(FeedError) as caught:
        run(y, x=np.zeros(4))
    assert "n=4: slice: along axis 0 the elements 0 to 9 are asked for, and the axis has 4" in str(
        caught.value
    )
    assert "y = x_of(" in str(caught.value)


def test_an_int_outside_a_fixed_axis_is_an_error_at_once():
    with pytest.raises(ShapeError) as caught:
        x_of("n", 3)[:, 3]
    message = str(caught.value)
    assert "there is no element 3 along axis 1, which has 3" in message
    assert "from the end with -1 to -3" in message
    assert "x  f64[n,3]" in message
    with pytest.raises(ShapeError, match="The axis is empty"):
        x_of(0)[0]


@pytest.mark.parametrize(
    ("key", "error", "message", "hint"),
    [
        ((0, 0, 0), ShapeError, "3 axes are indexed, and the tensor has 2", ""),
        ((..., ...), ShapeError, "'...' stands 2 times", ""),
        (np.array([True, False]), DTypeError, "a boolean mask", "symgraph.where(mask, x, 0)"),
        ([True, False], DTypeError, "a boolean mask", "x[indices]"),
        (True, DTypeError, "a boolean mask", "symgraph.where"),
        (placeholder("mask", (2, 3), "bool"), DTypeError, "a boolean mask", "symgraph.where"),
        ([0.5], DTypeError, "only integers index", "symgraph.cast"),
        (placeholder("f", (2,)), DTypeError, "only integers index", "symgraph.cast"),
        (([0, 1], [0, 1]), ShapeError, "two arrays index at once", "symgraph.gather"),
        (1.5, GraphError, "1.5 is no index", "ints, slices"),
        ("a", GraphError, "'a' is no index", "ints, slices"),
        (slice(None, None, 0), ShapeError, "the step of a slice is 0", ""),
        (slice(None, None, N), ShapeError, "the step n is no number", "A step is an int"),
        (slice(None, 1.5), GraphError, "1.5 bounds no slice", "ints or dimensions"),
        (slice(placeholder("i", (), "int64"), None), GraphError, "is a tensor", "symgraph.take"),
        ([2], ShapeError, "the index 2 at [0] is out of range along axis 0, which has 2", "from -2 to 1"),
    ],
)
def test_keys_that_are_refused(key, error, message, hint):
    with pytest.raises(error) as caught:
        x_of(2, 3)[key]
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_x_of_numpy_and_python_integers_are_one():
    x = x_of("n", 4)
    assert define(y=x[np.int64(1), : np.int32(2)]) == define(y=x[1, :2])


def test_equal_slices_are_equal_graphs():
    x = x_of(6, 5)
    assert define(y=x[-6:6, 1:2:3]) == define(y=x[:, 1:2])
    assert define(y=x[5:1]) == define(y=x[3:3])
    assert x[0:6, ::1] is x


def test_array_with_slices_and_ints_has_its_axes_where_numpy_puts_them():
    value = numbered((2, 3, 4, 5))
    x = x_of("n", 3, 4, 5)
    index = np.array([[1, 0, 2]])
    for key in [
        (slice(None), 0, index),
        (0, slice(None), index),
        (slice(None), index, slice(None), 1),
        (..., 1, index),
        (None, 0, index),
        (0, None, index),
        (slice(None), 2, ..., index),
        (slice(None), None, 2, index),
    ]:
        np.testing.assert_array_equal(run(ops.getitem(x, key), x=value), value[key])


WIDTHS = st.tuples(st.integers(0, 3), st.integers(0, 3))


@given(st.data(), SHAPES)
def test_pad_with_a_value_is_numpys(data, shape):
    widths = [data.draw(WIDTHS) for _ in shape]
    value = numbered(shape)
    got = ops.pad(x_of(*shape), widths, -1.0)
    np.testing.assert_array_equal(
        run(got, x=value), np.pad(value, widths, constant_values=-1) if shape else value
    )


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
@given(n=st.integers(1, 6), low=st.integers(0, 4), high=st.integers(0, 4))
@settings(max_examples=40)
def test_pad_by_a_mode_is_numpys_or_is_refused_where_the_axis_is_short(mode, n, low, high):
    value = numbered((n, 2))
    widths = [(low, high), (0, 1)]
    y = ops.pad(x_of("n", 2), widths, mode=mode)
    assert y.shape[0] == N + low + high
    room = 1 if mode == "edge" else max(low, high) + (mode == "reflect")
    if max(low, high) and n < room:
        with pytest.raises(FeedError, match="does not fit"):
            run(y, x=value)
        with pytest.raises(ShapeError, match=f"pad: axis 0 has {n} elements, too few to add"):
            ops.pad(x_of(n, 2), widths, mode=mode)
    else:
        np.testing.assert_array_equal(run(y, x=value), np.pad(value, widths, mode))


def test_pad_takes_every_form_of_widths():
    x, value = x_of("n", 2), numbered((3, 2))
    for widths in (2, (1, 2), [(1, 2), (0, 1)], ((1, 0), (0, 0)), np.array([[1, 2], [0, 1]]), [2, 0]):
        np.testing.assert_array_equal(run(ops.pad(x, widths), x=value), np.pad(value, widths))


def test_pad_by_a_named_size():
    y = ops.pad(x_of("n"), (0, N), 7.0)
    assert y.shape == (2 * N,)
    np.testing.assert_array_equal(run(y, x=[1, 2]), [1, 2, 7, 7])


def test_pad_with_nan_and_minus_zero_keeps_the_bits():
    got = run(ops.pad(ops.pad(x_of(1), 1, -0.0), 1, np.nan), x=[0.0])
    assert got.tobytes() == np.array([np.nan, -0.0, 0.0, -0.0, np.nan]).tobytes()


def test_pad_promotes_the_value_with_the_tensor():
    assert ops.pad(x_of(2, dtype="int32"), 1, 0.5).dtype == np.float32
    assert ops.pad(x_of(2, dtype="int32"), 1, 3).dtype == np.int32


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        (-1, "the width -1 is negative"),
        ([(1, 1)], "do not fit 2 axes"),
        ([(1, 1), (1, 1), (1, 1)], "do not fit 2 axes"),
        ([(1, 1, 1), (1, 1, 1)], "do not fit 2 axes"),
        ([1, (1, 1)], "do not fit 2 axes"),
    ],
)
def test_widths_that_are_refused(widths, message):
    with pytest.raises(ShapeError, match=message) as caught:
        ops.pad(x_of(2, 3), widths)
    assert caught.value.hint


def test_pad_errors():
    with pytest.raises(GraphError, match="there is no mode 'mirror'") as caught:
        ops.pad(x_of(2), 1, mode="mirror")
    assert "constant, edge, reflect, symmetric, wrap" in caught.value.hint
    with pytest.raises(ShapeError, match="one number is wanted"):
        ops.pad(x_of(2), 1, placeholder("v", (2,), "float64"))


def test_slice_and_pad_are_transposes():
    # <slice(x), y> == <x, pad(y)> for every x and y: here by the matrices of the two maps.
    cut = Slice((1, 0), (2, 3), (2, 1))
    put = Pad((1, 0), (5, 3), (2, 1))
    identity = np.eye(15).reshape(15, 5, 3)
    forward = np.stack([cut.evaluate(row).ravel() for row in identity])
    small = np.eye(6).reshape(6, 2, 3)
    back = np.stack([put.evaluate(row, np.zeros(())).ravel() for row in small])
    np.testing.assert_array_equal(forward.T, back)


def test_ops_that_are_built_wrongly_do_not_pass_infer():
    x = x_of(4).type
    for op in (Slice((0,), (5,), (1,)), Slice((-1,), (2,), (1,)), Slice((0,), (2,), (0,)), Slice((), (), ())):
        with pytest.raises(ShapeError):
            op.infer(x)
    with pytest.raises(ShapeError, match="slice: along axis 0, of size 4, a slice would have -1"):
        Slice((0,), (-1,), (1,)).infer(x)
    with pytest.raises(ShapeError):
        Pad((0,), (3,), (1,)).infer(x, x_of().type)


@given(st.data(), SHAPES.filter(len))
def test_flip_and_roll_are_numpys(data, shape):
    value = numbered(shape)
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    shifts = tuple(data.draw(st.integers(-9, 9)) for _ in axes)
    x = x_of(*shape)
    np.testing.assert_array_equal(run(ops.flip(x, axes), x=value), np.flip(value, axes))
    np.testing.assert_array_equal(run(ops.roll(x, shifts, axes), x=value), np.roll(value, shifts, axes))
    np.testing.assert_array_equal(run(ops.roll(x, 2), x=value), np.roll(value, 2))


@given(st.integers(1, 6), st.integers(-6, 6))
def test_roll_along_a_named_size(n, shift):
    value = numbered((n, 2))
    y = ops.roll(x_of("n", 2), shift, 0)
    assert y.shape == (N, 2)
    if abs(shift) > n:
        with pytest.raises(FeedError, match="does not fit the sizes"):
            run(y, x=value)
    else:
        np.testing.assert_array_equal(run(y, x=value), np.roll(value, shift, 0))


def test_flip_and_roll_errors():
    with pytest.raises(ShapeError, match="flip: there is no axis 1"):
        ops.flip(x_of(3), 1)
    with pytest.raises(ShapeError, match="roll: there is no axis 1"):
        ops.roll(x_of(3), 1, 1)
    with pytest.raises(ShapeError, match="roll: 2 shifts for 1 axes"):
        ops.roll(x_of(3), (1, 2), 0)
    with pytest.raises(ShapeError, match="several shifts, and no axes"):
        ops.roll(x_of(3), (1, 2))
    with pytest.raises(ShapeError, match=r"a shift is an int, and 0\.5 is none"):
        ops.roll(x_of(3), 0.5, 0)


def test_second_derivatives_go_through_slices():
    # y = sum of x[i] * x[i+1], so the Hessian has ones beside the diagonal.
    g, _ = gradient_of(
        lambda x: _gradient(lambda e: ops.sum(e[1:] * e[:-1]), x), np.array([1.0, 2.0, 4.0, 8.0])
    )
    hessian = np.eye(4, k=1) + np.eye(4, k=-1)
    np.testing.assert_array_equal(g, hessian @ np.arange(1, 5))


def _gradient(function, x):
    return backward(function(x), [x])[0]
