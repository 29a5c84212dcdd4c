"""Special values, accuracy and saturation of transcendental and trigonometric functions, and activations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.define import define
from symgraph.errors import DTypeError, ShapeError
from symgraph.expr import constant, placeholder
from symgraph.lowering.interpreter import evaluate
from tests.ops.test_arithmetic import FLOATS, INF, NAN, slope, value

PI = math.pi
ONE = (
    ops.exp,
    ops.log,
    ops.sin,
    ops.tanh,
    ops.sigmoid,
    ops.softplus,
    ops.erf,
    ops.rsqrt,
    ops.gelu,
    ops.elu,
    ops.silu,
)

# Results at -inf, -1, -0.0, 0.0, 1, inf and NaN (IEEE 754-2019, section 9.2.1, where it has the function).
POINTS = (-INF, -1.0, -0.0, 0.0, 1.0, INF, NAN)
E = math.e
TABLE = {
    ops.exp: (0.0, 1 / E, 1.0, 1.0, E, INF, NAN),
    ops.expm1: (-1.0, 1 / E - 1, -0.0, 0.0, E - 1, INF, NAN),
    ops.exp2: (0.0, 0.5, 1.0, 1.0, 2.0, INF, NAN),
    ops.log: (NAN, NAN, -INF, -INF, 0.0, INF, NAN),
    ops.log1p: (NAN, -INF, -0.0, 0.0, math.log(2), INF, NAN),
    ops.log2: (NAN, NAN, -INF, -INF, 0.0, INF, NAN),
    ops.sqrt: (NAN, NAN, -0.0, 0.0, 1.0, INF, NAN),
    ops.rsqrt: (NAN, NAN, -INF, INF, 1.0, 0.0, NAN),
    ops.sin: (NAN, -math.sin(1), -0.0, 0.0, math.sin(1), NAN, NAN),
    ops.cos: (NAN, math.cos(1), 1.0, 1.0, math.cos(1), NAN, NAN),
    ops.tan: (NAN, -math.tan(1), -0.0, 0.0, math.tan(1), NAN, NAN),
    ops.asin: (NAN, -PI / 2, -0.0, 0.0, PI / 2, NAN, NAN),
    ops.acos: (NAN, PI, PI / 2, PI / 2, 0.0, NAN, NAN),
    ops.atan: (-PI / 2, -PI / 4, -0.0, 0.0, PI / 4, PI / 2, NAN),
    ops.sinh: (-INF, -math.sinh(1), -0.0, 0.0, math.sinh(1), INF, NAN),
    ops.cosh: (INF, math.cosh(1), 1.0, 1.0, math.cosh(1), INF, NAN),
    ops.tanh: (-1.0, -math.tanh(1), -0.0, 0.0, math.tanh(1), 1.0, NAN),
    ops.asinh: (-INF, -math.asinh(1), -0.0, 0.0, math.asinh(1), INF, NAN),
    ops.acosh: (NAN, NAN, NAN, NAN, 0.0, INF, NAN),
    ops.atanh: (NAN, -INF, -0.0, 0.0, INF, NAN, NAN),
    ops.sigmoid: (0.0, 1 / (1 + E), 0.5, 0.5, E / (1 + E), 1.0, NAN),
    ops.softplus: (0.0, math.log1p(1 / E), math.log(2), math.log(2), math.log1p(E), INF, NAN),
    ops.erf: (-1.0, -math.erf(1), -0.0, 0.0, math.erf(1), 1.0, NAN),
    ops.relu: (0.0, 0.0, 0.0, 0.0, 1.0, INF, NAN),
    ops.leaky_relu: (-INF, -0.01, -0.0, 0.0, 1.0, INF, NAN),
    ops.elu: (-1.0, 1 / E - 1, -0.0, 0.0, 1.0, INF, NAN),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", TABLE, ids=lambda f: f.__name__)
def test_special_values(function, dtype: str) -> None:
    actual, expected = value(function(constant(POINTS, dtype))), np.array(TABLE[function], dtype)
    np.testing.assert_allclose(actual, expected, rtol=1e-6 if dtype == "float32" else 1e-15)
    if function is not ops.relu:  # which zero relu gives for -0.0 is not specified
        zeros = expected == 0
        assert np.array_equal(np.signbit(actual[zeros]), np.signbit(expected[zeros]))


@pytest.mark.parametrize(
    ("y", "x", "expected"),
    [(0.0, 1.0, 0.0), (0.0, -1.0, PI), (-0.0, -1.0, -PI), (1.0, 0.0, PI / 2), (-1.0, 0.0, -PI / 2),
     (INF, INF, PI / 4), (INF, -INF, 3 * PI / 4), (NAN, 1.0, NAN), (0.0, 0.0, 0.0), (-0.0, 0.0, -0.0)],
)  # fmt: skip
def test_atan2_is_in_the_right_quadrant(y: float, x: float, expected: float) -> None:
    np.testing.assert_array_equal(value(ops.atan2(constant(y, "float64"), constant(x, "float64"))), expected)


@given(st.lists(st.floats(-7, 7), min_size=1))
def test_erf_in_float64_is_within_two_units_in_the_last_place(xs: list[float]) -> None:
    expected = np.array([math.erf(x) for x in xs])
    np.testing.assert_array_max_ulp(value(ops.erf(np.array(xs))), expected, 2)


def test_erf_in_float32_is_within_seven_units_in_the_last_place() -> None:
    xs = np.concatenate([np.linspace(-5, 5, 20001), np.geomspace(1e-30, 1, 2000)]).astype(np.float32)
    actual = value(ops.erf(xs))
    expected = np.array([math.erf(x) for x in xs.tolist()], np.float32)
    np.testing.assert_array_max_ulp(actual, expected, 7)
    assert np.abs(actual).max() == 1.0


@pytest.mark.parametrize("x", [1e-8, -1e-8, 1e-300])
@pytest.mark.parametrize("function", [ops.expm1, ops.log1p, ops.sinh, ops.asinh, ops.tanh, ops.atanh])
def test_what_is_near_the_identity_at_zero_keeps_small_values(function, x: float) -> None:
    assert value(function(constant(x, "float64"))) == pytest.approx(x, rel=1e-7)


@pytest.mark.parametrize("dtype", FLOATS)
def test_saturation_is_exact_and_silent(dtype: str) -> None:
    huge = constant([-1e4, 1e4], dtype)
    assert value(ops.sigmoid(huge)).tolist() == [0.0, 1.0]
    assert value(ops.softplus(huge)).tolist() == [0.0, 1e4]
    assert value(ops.tanh(huge)).tolist() == [-1.0, 1.0]
    assert value(ops.elu(huge)).tolist() == [-1.0, 1e4]
    assert np.all(value(ops.silu(huge)) == [0.0, 1e4])
    assert np.all(value(ops.gelu(huge)) == [0.0, 1e4])


@pytest.mark.parametrize("x", [-30.0, -700.0])
def test_sigmoid_has_a_relative_accuracy_where_it_is_small(x: float) -> None:
    assert value(ops.sigmoid(constant(x, "float64"))) == pytest.approx(math.exp(x), rel=1e-12)
    assert slope(ops.sigmoid, x) == pytest.approx(math.exp(x), rel=1e-12)
    assert value(ops.softplus(constant(x, "float64"))) == pytest.approx(math.exp(x), rel=1e-12)


SATURATED = (ops.sigmoid, ops.softplus, ops.tanh, ops.erf, ops.elu, ops.selu, ops.gelu, ops.silu, ops.relu,
             ops.leaky_relu, lambda x: ops.gelu(x, approximate=True))  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("x", [-1e4, 1e4])
@pytest.mark.parametrize("function", SATURATED)
def test_derivatives_are_finite_where_functions_saturate(function, x: float, dtype: str) -> None:
    far = {ops.softplus, ops.elu, ops.gelu, ops.silu, ops.relu, ops.leaky_relu, SATURATED[-1]}
    expected = 1.0 if function in far and x > 0 else 0.0
    if function is ops.leaky_relu and x < 0:
        expected = 0.01
    if function is ops.selu and x > 0:
        expected = 1.0507009873554805
    assert slope(function, x, dtype=dtype) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (ops.sqrt, 0.0, INF),
        (ops.log, 0.0, INF),
        (ops.expm1, -40.0, math.exp(-40)),  # out + 1 would be 0
        (ops.asinh, 1e200, 1e-200),  # x * x would overflow
        (ops.acosh, 1e200, 1e-200),
        (ops.acosh, 1 + 1e-12, 1 / math.sqrt(2.000177801164682e-12)),  # x * x - 1 would cancel
        (ops.asin, 1 - 1e-12, 1 / math.sqrt(1.999955756559758e-12)),
        (ops.atan, 1e200, 0.0),
        (ops.relu, 0.0, 0.0),
        (ops.leaky_relu, 0.0, 0.01),
        (ops.elu, 0.0, 1.0),
        (ops.softplus, 0.0, 0.5),
        (ops.sigmoid, 0.0, 0.25),
        (ops.erf, 0.0, 2 / math.sqrt(PI)),
        (ops.gelu, 0.0, 0.5),
        (ops.silu, 0.0, 0.5),
    ],
)
def test_derivatives_at_special_points(function, x: float, expected: float) -> None:
    assert slope(function, x) == pytest.approx(expected, rel=1e-6)


def test_selu_keeps_mean_and_variance_of_normal_numbers() -> None:
    # Klambauer et al. (2017): (0, 1) is the fixed point that the constants are chosen for.
    x = np.random.default_rng(0).normal(size=1_000_000)
    y = value(ops.selu(x))
    assert y.mean() == pytest.approx(0.0, abs=5e-3)
    assert y.var() == pytest.approx(1.0, abs=5e-3)


def test_the_approximate_gelu_is_within_its_documented_distance() -> None:
    x = np.linspace(-6, 6, 10001)
    distance = np.abs(value(ops.gelu(x)) - value(ops.gelu(x, approximate=True)))
    assert 1e-4 < distance.max() < 5e-4


@pytest.mark.parametrize("function", ONE, ids=lambda f: f.__name__)
def test_integers_are_cast_to_float32(function) -> None:
    assert function(placeholder("n", ("batch", 2), "int64")).type == placeholder("x", ("batch", 2)).type


def test_relu_keeps_integers() -> None:
    assert value(ops.relu(np.array([-2, 0, 3], np.int32))).tolist() == [0, 0, 3]
    with pytest.raises(DTypeError, match="relu takes floats or integers"):
        ops.relu(placeholder("mask", (3,), "bool"))


def test_atan2_names_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ShapeError, match="atan2: the shapes"):
        ops.atan2(placeholder("y", (2,)), placeholder("x", (3,)))


def test_the_expansion_of_erf_is_bit_for_bit_its_evaluation() -> None:
    for dtype in FLOATS:
        xs = np.concatenate([np.linspace(-7, 7, 5001), POINTS]).astype(dtype)
        x = placeholder("x", xs.shape, dtype)
        made = ops.erf(x)
        found = evaluate(define(a=made, b=made.op.expand(x)), {"x": xs})[0]
        np.testing.assert_array_equal(found["a"], found["b"])
