"""Shapes with named sizes, what cannot be declared, and what does not fit when it runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symgraph import ops
from symgraph.define import define
from symgraph.errors import DTypeError, FeedError, GraphError, ShapeError
from symgraph.expr import constant, placeholder
from symgraph.lowering.interpreter import evaluate
from symgraph.types import dim
from tests.ops.running import gradient_of, run

N = dim("n")


def x_of(*shape, dtype="float64"):
    return placeholder("x", shape, dtype)


def test_what_changes_nothing_makes_no_node():
    x = x_of("n", 1, 3)
    unchanged = [
        ops.reshape(x, ("n", 1, 3)),
        ops.broadcast_to(x, ("n", 1, 3)),
        ops.transpose(x, (0, 1, 2)),
        ops.swapaxes(x, 1, 1),
        ops.moveaxis(x, 2, -1),
        ops.concatenate([x]),
        ops.tile(x, 1),
        x[...],
        ops.split(x, 1)[0],
    ]
    assert all(e is x for e in unchanged)


def test_size_is_the_number_that_a_name_is_bound_to():
    x = x_of("n", 3)
    mean = ops.sum(x, axis=0) / ops.size(x.shape[0], "float64")
    value = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(run(mean, x=value), value.mean(axis=0))
    total = run(ops.size(x.size) + ops.cast(0 * ops.sum(x), "int64"), x=value)
    assert (total, total.dtype) == (12, np.int64)


def test_size_of_a_fixed_dimension_is_a_constant():
    assert ops.size(3, "float32").op == constant(np.float32(3)).op


def test_size_errors():
    with pytest.raises(DTypeError, match="size: a number of elements is no bool"):
        ops.size("n", "bool")
    with pytest.raises(ShapeError, match="not negative, and -1 is"):
        ops.size(-1)
    with pytest.raises(FeedError, match="nothing binds the size 'n'"):
        evaluate(define(y=ops.size("n")), {})


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        (("n", 28, 28), (-1, 784), (N, 784)),
        (("n", 28, 28), ("n", -1), (N, 784)),
        (("n", 6), (-1, 4, 3), None),
        (("n", 12), (-1, 4, 3), (N, 4, 3)),
        (("n", "m"), (-1, "m"), (N, dim("m"))),
        (("n", "m"), (-1,), (N * dim("m"),)),
        ((N * N + N,), (-1, "n"), (N + 1, N)),
        ((N * 2,), (-1, 2), (N, 2)),
        ((N * 2,), (2, -1), (2, N)),
        ((N + 1, 2), (-1, "n"), None),
        (("n", 0), (0, -1), None),
        (("n", 1), ("n", -1), (N, 1)),
    ],
)
def test_reshape_works_out_minus_one_by_exact_division(shape, target, expected):
    x = x_of(*shape)
    if expected is not None:
        assert ops.reshape(x, target).shape == expected
        return
    with pytest.raises(ShapeError, match="is no whole size"):
        ops.reshape(x, target)


def test_reshape_errors_name_both_shapes_and_say_what_to_write():
    x = x_of("n", 6)
    with pytest.raises(ShapeError) as caught:
        ops.reshape(x, ("n", 7))
    assert "reshape: [n,6] has 6*n elements, and [n,7] has 7*n" in str(caught.value)
    assert "Write -1 for one size" in str(caught.value)
    with pytest.raises(ShapeError, match="2 sizes are -1"):
        ops.reshape(x, (-1, -1))
    with pytest.raises(ShapeError, match=r"\[n,6\] to \[4,-1\]: 6\*n elements divided by 4"):
        ops.reshape(x, (4, -1))
    with pytest.raises(ShapeError, match="not negative"):
        ops.reshape(x, (-2, 3))


def test_reshape_to_a_number_is_refused_where_a_name_stands():
    # 6 rows would fit a batch of 6 alone: a mistake, or an assumption that is to be declared.
    with pytest.raises(ShapeError, match="has 2\\*n elements"):
        ops.reshape(x_of("n", 2), (12,))


def test_broadcast_to_errors():
    with pytest.raises(ShapeError, match=r"broadcast_to: \[2,3\] does not broadcast to \[3\]"):
        ops.broadcast_to(x_of(2, 3), (3,))
    with pytest.raises(ShapeError, match=r"broadcast_to: \[n\] does not broadcast to \[4\]"):
        ops.broadcast_to(x_of("n"), (4,))
    with pytest.raises(ShapeError, match=r"\[3\] does not broadcast to \[1\]"):
        ops.broadcast_to(x_of(3), (1,))


def test_broadcast_to_a_named_size_and_its_gradient():
    value = np.array([[1.0], [2.0]])
    y = x_of(2, 1)
    other = placeholder("other", ("n",), "float64")
    wide = ops.broadcast_to(y, (2, "n")) * other
    np.testing.assert_array_equal(
        run(wide, x=value, other=np.arange(3.0)), np.broadcast_to(value, (2, 3)) * np.arange(3)
    )


def test_expand_and_squeeze_errors():
    with pytest.raises(ShapeError, match="expand_dims: there is no axis 3 in a tensor of 3 axes"):
        ops.expand_dims(x_of(2, 3), 3)
    with pytest.raises(ShapeError, match="an axis is repeated"):
        ops.expand_dims(x_of(2, 3), (0, 0))
    with pytest.raises(ShapeError) as caught:
        ops.squeeze(x_of("n", 3), 1)
    assert "squeeze: axis 1 of [n,3] has size 3" in str(caught.value)
    assert "x[:, 0]" in str(caught.value)
    with pytest.raises(ShapeError, match="has size n"):
        ops.squeeze(x_of("n", 3), 0)


def test_squeeze_never_drops_a_named_size():
    assert run(ops.squeeze(x_of("n", 1)), x=np.ones((1, 1))).shape == (1,)


def test_transpose_errors():
    for axes in ((0,), (0, 0), (0, 1, 2)):
        with pytest.raises(ShapeError, match="transpose: "):
            ops.transpose(x_of(2, 3), axes)
    with pytest.raises(ShapeError, match="swapaxes: there is no axis 2"):
        ops.swapaxes(x_of(2, 3), 0, 2)
    with pytest.raises(ShapeError, match="flatten: there is no axis 2"):
        ops.flatten(x_of(2, 3), 2)


@given(st.permutations(range(4)))
def test_transpose_and_its_gradient_are_inverse(axes):
    value = np.arange(24.0).reshape(2, 3, 1, 4)
    g, weights = gradient_of(lambda x: ops.transpose(x, axes), value, ("n", 3, 1, "m"))
    np.testing.assert_array_equal(np.transpose(g, axes), weights)


def test_concatenate_adds_named_sizes():
    x, y = placeholder("x", ("n", 2)), placeholder("y", ("m", 2))
    z = ops.concatenate([x, y, x])
    assert z.shape == (N * 2 + dim("m"), 2)
    a, b = np.ones((3, 2)), np.zeros((1, 2))
    np.testing.assert_array_equal(run(z, x=a, y=b), np.concatenate([a, b, a]))


def test_concatenate_gradient_with_named_sizes_cuts_the_cotangent():
    value = np.arange(6.0).reshape(3, 2)
    g, weights = gradient_of(lambda x: ops.concatenate([x, x * 10.0], 0), value, ("n", 2))
    np.testing.assert_array_equal(g, weights[:3] + 10 * weights[3:])


def test_concatenate_and_stack_errors():
    x = x_of("n", 3)
    with pytest.raises(ShapeError) as caught:
        ops.concatenate([x, placeholder("y", (2, 4))])
    assert "concatenate: the shapes [n,3] and [2,4] differ elsewhere than along axis 0" in str(caught.value)
    assert "x  f64[n,3]" in str(caught.value)
    with pytest.raises(ShapeError, match="concatenate: there is nothing to join"):
        ops.concatenate([])
    with pytest.raises(ShapeError, match="scalars have no axis"):
        ops.concatenate([placeholder("a"), placeholder("b")])
    with pytest.raises(ShapeError, match="this is one tensor, and a list of them is wanted"):
        ops.concatenate(x)
    with pytest.raises(ShapeError, match="differ"):
        ops.concatenate([x, placeholder("y", ("n",))])
    with pytest.raises(ShapeError, match=r"stack: the shapes \[n,3\] and \[n\] differ"):
        ops.stack([x, placeholder("y", ("n",))])
    with pytest.raises(ShapeError, match="stack: there is no axis 3"):
        ops.stack([x, x], 3)


def test_joined_tensors_promote_to_one_dtype():
    x, y = placeholder("x", (1,), "int32"), placeholder("y", (1,), "float32")
    assert ops.concatenate([x, y]).dtype == np.float32
    assert ops.stack([1, placeholder("s", (), "float64")]).dtype == np.float64


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_tile_and_repeat_of_named_sizes(n, first, second):
    value = np.arange(2.0 * n).reshape(n, 2)
    x = x_of("n", 2)
    tiled = ops.tile(x, (first, second))
    assert tiled.shape == (N * first, 2 * second)
    np.testing.assert_array_equal(run(tiled, x=value), np.tile(value, (first, second)))
    np.testing.assert_array_equal(run(ops.repeat(x, first, 0), x=value), np.repeat(value, first, 0))
    np.testing.assert_array_equal(run(ops.repeat(x, first), x=value), np.repeat(value, first))


def test_repeat_by_a_named_size():
    y = placeholder("y", ("m",))
    rows = ops.repeat(x_of("n"), "m", 0)
    assert rows.shape == (N * dim("m"),)
    total = rows + 0.0 * ops.sum(y)
    np.testing.assert_array_equal(run(total, x=[1, 2], y=np.ones(3)), np.repeat([1.0, 2.0], 3))


def test_repeat_and_tile_errors():
    with pytest.raises(ShapeError, match="repeat: 2 numbers of repeats for 3 elements along axis 0"):
        ops.repeat(x_of(3), [1, 2], 0)
    with pytest.raises(ShapeError, match="repeat: 2 numbers of repeats for n elements"):
        ops.repeat(x_of("n"), [1, 2], 0)
    with pytest.raises(ShapeError, match="not negative"):
        ops.tile(x_of(3), -1)


def test_split_of_a_named_size():
    first, second = ops.split(x_of(N * 2, 3), 2)
    assert first.shape == second.shape == (N, 3)
    value = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(run(second, x=value), value[2:])
    head, tail = ops.split(x_of("n", 3), [2])
    assert (head.shape, tail.shape) == ((2, 3), (N - 2, 3))


@given(
    hnp.arrays(np.float64, st.integers(0, 8), elements=st.floats(-9, 9)),
    st.lists(st.integers(0, 9), max_size=4),
)
def test_split_at_positions_is_numpys(value, cuts):
    parts = ops.split(x_of(len(value)), cuts)
    for part, expected in zip(parts, np.split(value, cuts), strict=True):
        np.testing.assert_array_equal(run(part, x=value), expected)


def test_split_errors():
    with pytest.raises(ShapeError, match="split: axis 0 has 5 elements, which 2 equal parts do not divide"):
        ops.split(x_of(5), 2)
    with pytest.raises(ShapeError, match="split: axis 0 has n elements"):
        ops.split(x_of("n"), 2)
    with pytest.raises(ShapeError, match="a number of parts is a positive int, and 0 is none"):
        ops.split(x_of(5), 0)
    with pytest.raises(GraphError, match=r"1\.5 bounds no slice"):
        ops.split(x_of(5), [1.5])


def test_minus_zero_nan_and_infinity_are_moved_bit_for_bit():
    value = np.array([[-0.0, np.nan], [np.inf, -np.inf]])
    x = x_of(2, 2)
    moved = ops.stack([ops.transpose(x), ops.reshape(ops.concatenate([x[1:], x[:1]]), (2, 2))])
    expected = np.stack([value.T, value[::-1]])
    assert run(moved, x=value).tobytes() == expected.tobytes()
