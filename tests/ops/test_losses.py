"""Losses at logits of 10,000, masked and one-hot labels, labels out of range, and what is refused."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.errors import DTypeError, ExecutionError, GraphError, ShapeError
from symgraph.expr import placeholder
from tests import jax_oracle
from tests.ops.running import run

INF, NAN = np.inf, np.nan
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def all_of(function, *arrays):
    """The value, that of the expansion, and the gradients of the sum by the float operands."""
    es = [placeholder(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    feeds = {f"x{i}": a for i, a in enumerate(arrays)}
    out = function(*es)
    expanded = out.op.expand(*out.inputs)
    wrt = [e for e in es if e.type.is_float]
    slopes = [run(g, **feeds) for g in backward(ops.sum(out), wrt)]
    return run(out, **feeds), run(expanded, **feeds), slopes


@DTYPES
def test_sigmoid_cross_entropy_at_huge_logits(dtype):
    z = np.array([1e4, 1e4, -1e4, -1e4, 0, 1e4, 88.0, -88.0], dtype)
    y = np.array([1, 0, 1, 0, 0.5, 0.25, 1, 0], dtype)
    small = np.log1p(np.exp(-88.0))
    value, expanded, (by_z, by_y) = all_of(ops.sigmoid_cross_entropy, z, y)
    exact = [0, 1e4, 1e4, 0, np.log(2), 7500, small, small]
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    np.testing.assert_allclose(expanded, exact, rtol=1e-6)
    np.testing.assert_allclose(by_z, [0, 1, -1, 0, 0, 0.75, 0, 0], atol=1e-7)
    np.testing.assert_allclose(by_y, -z)


@given(st.floats(-700, 700), st.sampled_from([0.0, 1.0]))
def test_for_hard_labels_it_is_the_logarithm_of_one_plus_an_exponential(z, y):
    e, t = placeholder("z", (), "float64"), placeholder("y", (), "float64")
    found = run(ops.sigmoid_cross_entropy(e, t), z=z, y=y)
    np.testing.assert_allclose(found, np.log1p(np.exp((1 - 2 * y) * z)), rtol=1e-12)


@DTYPES
def test_softmax_cross_entropy_at_huge_logits(dtype):
    z = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4, 0]], dtype)
    y = np.array([[1, 0, 0], [0, 0, 1], [0.5, 0.25, 0.25], [2, 0, 1]], dtype)
    value, expanded, (by_z, by_y) = all_of(ops.softmax_cross_entropy, z, y)
    exact = [0, 2e4, np.log(3), 1e4 + 3 * np.log(2)]
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    np.testing.assert_allclose(expanded, exact, rtol=1e-6)
    p = np.array([[1, 0, 0], [1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]])
    np.testing.assert_allclose(by_z, p * y.sum(1, keepdims=True) - y, atol=1e-6)
    np.testing.assert_allclose(by_y, -jax.nn.log_softmax(z.astype(np.float64)), rtol=1e-6)


@DTYPES
@pytest.mark.parametrize("labels", [np.int32, np.int64])
def test_indices_are_the_labels_that_they_stand_for(dtype, labels):
    z = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [-3, 2, 1]], dtype)
    y = np.array([0, 2, 1], labels)
    value, expanded, (by_z,) = all_of(ops.softmax_cross_entropy, z, y)
    dense, _, (by_dense, _) = all_of(ops.softmax_cross_entropy, z, np.eye(3, dtype=dtype)[y])
    for found in (value, expanded):
        np.testing.assert_allclose(found, dense, rtol=1e-6)
    np.testing.assert_allclose(by_z, by_dense, atol=1e-7)


def test_a_masked_class_costs_nothing_where_its_label_is_0():
    z = np.array([[-INF, 1.0, 2.0]])
    y = np.array([[0.0, 0.5, 0.5]])
    value, expanded, (by_z, _) = all_of(ops.softmax_cross_entropy, z, y)
    exact = -0.5 * np.log(np.exp([1, 2]) / np.exp([1, 2]).sum()).sum()
    np.testing.assert_allclose([*value, *expanded], exact)
    assert by_z[0, 0] == 0
    index, _, (by_z,) = all_of(ops.softmax_cross_entropy, z, np.array([2]))
    assert np.isfinite(index).all()
    assert by_z[0, 0] == 0
    assert all_of(ops.softmax_cross_entropy, z, np.array([0]))[0] == INF


def test_one_hot_labels_may_be_bools():
    z = np.array([[1.0, 2.0]])
    hot = np.array([[False, True]])
    np.testing.assert_allclose(
        all_of(ops.softmax_cross_entropy, z, hot)[0], all_of(ops.softmax_cross_entropy, z, np.array([1]))[0]
    )


def test_nan_is_not_hidden():
    assert np.isnan(all_of(ops.sigmoid_cross_entropy, np.array([NAN]), np.array([1.0]))[0]).all()
    z = np.array([[NAN, 1.0]])
    assert np.isnan(all_of(ops.softmax_cross_entropy, z, np.array([[0.0, 1.0]]))[0]).all()
    assert np.isnan(all_of(ops.softmax_cross_entropy, z, np.array([1]))[0]).all()


@pytest.mark.parametrize("label", [3, -1, 2**40])
def test_a_label_that_is_no_class_stops_the_run_also_of_the_gradient_alone(label):
    z, y = placeholder("z", ("batch", 3)), placeholder("y", ("batch",), "int64")
    loss = ops.softmax_cross_entropy(z, y)
    (g,) = backward(ops.sum(loss), [z])
    for wanted in (loss, g):
        with pytest.raises(ExecutionError) as error:
            run(wanted, z=np.zeros((2, 3), np.float32), y=np.array([0, label]))
        assert f"softmax_cross_entropy: a label is {label} at [1], and there are 3" in str(error.value)
        assert "Use 0 to 2." in str(error.value)
        assert "ops.softmax_cross_entropy(z, y)" in str(error.value)


def test_labels_that_do_not_fit_are_refused():
    z = placeholder("z", ("batch", 10))
    with pytest.raises(DTypeError, match="integers in the shape of the logits"):
        ops.softmax_cross_entropy(z, placeholder("y", ("batch", 10), "int64"))
    with pytest.raises(ShapeError, match="without the axis of the classes"):
        ops.softmax_cross_entropy(z, placeholder("y", (10,), "int64"))
    with pytest.raises(ShapeError, match="softmax_cross_entropy: the shapes"):
        ops.softmax_cross_entropy(z, placeholder("y", ("batch", 9)))
    with pytest.raises(ShapeError, match="there is no axis 2"):
        ops.softmax_cross_entropy(z, placeholder("y", ("batch",), "int64"), axis=2)
    with pytest.raises(ShapeError, match="there is no axis"):
        ops.softmax_cross_entropy(placeholder("s", ()), placeholder("y", (), "int64"))
    with pytest.raises(ShapeError, match="sigmoid_cross_entropy"):
        ops.sigmoid_cross_entropy(z, placeholder("y", ("batch", 9)))


def check_slopes(function, p, t, oracle):
    e, u = placeholder("p", p.shape, "float64"), placeholder("t", t.shape, "float64")
    out = function(e, u)
    value, expected = jax_oracle.value_and_cotangents(oracle, [p, t], np.ones(out.shape))
    np.testing.assert_allclose(run(out, p=p, t=t), value, rtol=1e-14)
    for g, wanted in zip(backward(ops.sum(out), [e, u]), expected, strict=True):
        np.testing.assert_allclose(run(g, p=p, t=t), wanted, rtol=1e-14)


def test_the_kinks_of_hinge_absolute_and_huber():
    t = np.array([1.0, 1.0, -1.0, -1.0, 1.0])
    p = np.array([1.0, 0.5, -1.0, 2.0, 3.0])
    check_slopes(ops.hinge_loss, p, t, lambda s, y: jax.nn.relu(1 - y * s))
    check_slopes(ops.absolute_error, p, t, lambda p, t: abs(p - t) * (p != t))
    edge = np.array([2.0, 1.5, -2.0, 4.0, -1e200])
    check_slopes(lambda p, t: ops.huber_loss(p, t, 1.0), edge, t, lambda p, t: _huber(p - t, 1.0))


def _huber(d, delta):
    d = abs(d)
    return jax.numpy.where(d <= delta, 0.5 * jax.numpy.minimum(d, 9.0) ** 2, delta * (d - 0.5 * delta))


def test_huber_of_an_infinite_distance_has_the_slope_of_its_line():
    p = placeholder("p", (2,), "float64")
    (g,) = backward(ops.sum(ops.huber_loss(p, 0.0, delta=2.0)), [p])
    np.testing.assert_array_equal(run(g, p=np.array([INF, -INF])), [2, -2])


@pytest.mark.parametrize("delta", [0, -1.0, NAN, INF, "1", True, None])
def test_delta_is_a_positive_number(delta):
    with pytest.raises(GraphError, match="delta is a positive number"):
        ops.huber_loss(placeholder("p"), placeholder("t"), delta=delta)


@pytest.mark.parametrize(
    "loss",
    [ops.sigmoid_cross_entropy, ops.squared_error, ops.absolute_error, ops.hinge_loss, ops.huber_loss],
)
def test_a_column_against_a_row_is_refused(loss):
    column, row = placeholder("p", ("batch", 1)), placeholder("t", ("batch",))
    for pair, shapes in (
        ((column, row), "[batch,1] against [batch]"),
        ((row, column), "[batch] against [batch,1]"),
    ):
        with pytest.raises(ShapeError) as caught:
            loss(*pair)
        assert loss.__name__ in caught.value.message
        assert shapes in caught.value.message
        assert "y.reshape(-1, 1)" in caught.value.hint
        assert "expand_dims(y, -1)" in caught.value.hint
    with pytest.raises(ShapeError, match=r"\[1,batch\] against \[batch,1\]"):
        loss(placeholder("q", (1, "batch")), column)
    assert loss(column, ops.expand_dims(row, -1)).shape == column.shape
    assert loss(row, 1.0).shape == row.shape
