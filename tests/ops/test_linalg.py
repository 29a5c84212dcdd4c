"""Matrix products: random shapes, named sizes, derivatives that never leave the matrix unit, and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import placeholder
from symgraph.ops.linalg import MatMul
from tests.ops.running import gradient_of, run

SIDES = st.integers(0, 4)


@given(st.data())
def test_any_shapes_that_numpy_multiplies(data):
    k = data.draw(SIDES)
    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))

    def lead():
        kept = batch[data.draw(st.integers(0, len(batch))) :]
        return tuple(1 if data.draw(st.booleans()) else size for size in kept)

    left = data.draw(st.sampled_from([(k,), (*lead(), data.draw(SIDES), k)]))
    right = data.draw(st.sampled_from([(k,), (*lead(), k, data.draw(SIDES))]))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=left), rng.normal(size=right)
    made = ops.matmul(placeholder("x", left, "float64"), placeholder("y", right, "float64"))
    found = run(made, x=x, y=y)
    np.testing.assert_allclose(found, x @ y, rtol=1e-12, atol=1e-12)
    assert found.shape == made.shape == (x @ y).shape


def test_operators_and_arrays():
    x = placeholder("x", (2, 3), "float64")
    w = np.arange(6.0).reshape(3, 2)
    v = np.ones((2, 3))
    np.testing.assert_array_equal(run(x @ w, x=v), v @ w)
    np.testing.assert_array_equal(run(w @ x, x=v), w @ v)


def test_dtypes_promote():
    x, i = placeholder("x", (2, 3)), placeholder("i", (3, 2), "int64")
    assert (x @ i).dtype == np.float32
    assert (i @ i.T).dtype == np.int64
    assert (x @ placeholder("d", (3, 2), "float64")).dtype == np.float64


def test_named_sizes_go_through_the_product_and_its_cost():
    x, w = placeholder("x", ("batch", 784)), placeholder("w", (784, 10))
    out = x @ w
    assert str(out.type) == "f32[batch,10]"
    assert str(out.op.flops(out.type, x.type, w.type)) == "15680*batch"
    tall = MatMul(True, False)
    assert ops.apply(tall, placeholder("a", (3, 5)), placeholder("b", (3, 7))).shape == (5, 7)
    assert tall.flops(*(placeholder("t", s).type for s in ((5, 7), (3, 5), (3, 7)))) == 2 * 5 * 7 * 3


def test_the_derivative_by_shared_weights_is_one_product():
    # [n, t, k] @ [k, m]: the gradient by the weights is one [k, n t] @ [n t, m], not n of them summed.
    x, w = placeholder("x", ("n", "t", 4)), placeholder("w", (4, 5))
    (g,) = backward(ops.sum(x @ w), [w])
    graph = define(g=g)
    products = [n for n in graph.nodes if n.op.name == "matmul"]
    assert [str(n.type) for n in products] == ["f32[4,5]"]


def test_derivatives_take_flags_and_no_transposes():
    x, w = placeholder("x", (3, 4)), placeholder("w", (4, 5))
    found = backward(ops.sum((x @ w) * (x @ w)), [x, w])
    names = {n.op.name for n in define(gx=found[0], gw=found[1]).nodes}
    assert "transpose" not in names


@pytest.mark.parametrize(
    "left, right, numbers, hint",
    [
        (("batch", 784), (785, 10), "784 and 785", "give the second 784 rows, or the first 785 columns"),
        ((3, 4), (5, 4), "4 and 5", "x @ y.T"),
        ((4, 3), (4, 5), "3 and 4", "x.T @ y"),
        ((3, "n"), ("m", 4), "n and m", "give the second n rows"),
        ((4,), (5, 2), "4 and 5", ""),
        ((2, 4), (5,), "4 and 5", ""),
    ],
)
def test_inner_dimensions_that_differ(left, right, numbers, hint):
    x, w = placeholder("x", left), placeholder("w1", right)
    with pytest.raises(ShapeError) as error:
        x @ w
    message = str(error.value)
    assert f"matmul: the inner dimensions differ: {numbers}" in message
    assert hint in message
    assert f"w1  {w.type}" in message
    assert "x @ w" in message.splitlines()[1] + message.splitlines()[2]


def test_other_errors():
    with pytest.raises(ShapeError, match=r"matmul: an operand is a scalar") as error:
        placeholder("s", ()) @ placeholder("x", (2, 2))
    assert "x * y" in str(error.value)
    with pytest.raises(ShapeError, match="matmul: the batch axes differ"):
        placeholder("x", (2, 3, 4)) @ placeholder("y", (3, 4, 5))
    with pytest.raises(DTypeError, match="matmul takes floats or integers"):
        placeholder("b", (2, 2), "bool") @ placeholder("c", (2, 2), "bool")
    with pytest.raises(ShapeError, match="2 or more"):
        ops.apply(MatMul(), placeholder("v", (2,)), placeholder("x", (2, 2)))
    with pytest.raises(ShapeError, match="dot: the summed axes differ: 3 and 4"):
        ops.dot(placeholder("x", (2, 3)), placeholder("y", (2, 4, 3)))


def test_special_values_propagate():
    x, y = np.array([[np.inf, 1.0], [np.nan, 0.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    e = placeholder("x", (2, 2), "float64") @ placeholder("y", (2, 2), "float64")
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(run(e, x=x, y=y), x @ y)


def test_the_norm_of_zeros_has_derivative_0():
    for order in (1, 2, np.inf):
        value, _ = gradient_of(lambda e, o=order: ops.norm(e, ord=o, axis=1), np.zeros((2, 3)))
        np.testing.assert_array_equal(value, np.zeros((2, 3)))
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    found, weights = gradient_of(lambda e: ops.norm(e, axis=1), rows)
    np.testing.assert_allclose(found, [[0.6 * weights[0], 0.8 * weights[0]], [0, 0]])


def test_an_unknown_norm_is_refused():
    with pytest.raises(GraphError, match="ord is 1, 2 or infinity, and 'nuc'"):
        ops.norm(placeholder("x", (2, 2)), ord="nuc")
