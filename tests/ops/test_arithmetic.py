"""Special values, ties, integer edges and errors of arithmetic; the rest is in test_cases.py."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import symgraph as sg
from symgraph import ops
from symgraph.autodiff import backward, gradient
from symgraph.define import define
from symgraph.errors import DTypeError, GradientError, ShapeError
from symgraph.expr import Expr, constant, placeholder, variable
from symgraph.lowering.interpreter import evaluate
from symgraph.types import INT32, INT64
from tests.jax_oracle import ORACLES, value_and_cotangents

INF, NAN = float("inf"), float("nan")
FLOATS = ("float32", "float64")
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, -2.5, INF, -INF, NAN)


def value(expr: Expr) -> np.ndarray:
    return evaluate(define(out=expr), {})[0]["out"]


def same_bits(actual: np.ndarray, expected: object) -> bool:
    """Equal, with NaN equal to NaN and the signs of zeros told apart."""
    wanted = np.asarray(expected, actual.dtype)
    signs = np.signbit(actual) == np.signbit(wanted)
    return bool(np.all(np.isnan(actual) & np.isnan(wanted) | (actual == wanted) & signs))


def slope(function, *values: float, dtype: str = "float64", by: int = 0) -> float:
    """The derivative of a function of scalars at a point."""
    xs = [placeholder(f"x{i}", (), dtype) for i in range(len(values))]
    (d,) = backward(function(*xs), [xs[by]])
    feeds = {f"x{i}": np.asarray(v, dtype) for i, v in enumerate(values)}
    return float(evaluate(define(d=d), feeds)[0]["d"])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (ops.neg, (-0.0, 0.0, -1.0, 1.0, -2.5, 2.5, -INF, INF, NAN)),
        (ops.abs, (0.0, 0.0, 1.0, 1.0, 2.5, 2.5, INF, INF, NAN)),
        (ops.sign, (0.0, 0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, NAN)),
        (ops.square, (0.0, 0.0, 1.0, 1.0, 6.25, 6.25, INF, INF, NAN)),
        (ops.reciprocal, (INF, -INF, 1.0, -1.0, 0.4, -0.4, 0.0, -0.0, NAN)),
        (ops.floor, (0.0, -0.0, 1.0, -1.0, 2.0, -3.0, INF, -INF, NAN)),
        (ops.ceil, (0.0, -0.0, 1.0, -1.0, 3.0, -2.0, INF, -INF, NAN)),
        (ops.round, (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, INF, -INF, NAN)),
        (ops.trunc, (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, INF, -INF, NAN)),
    ],
)
def test_special_values_of_one_operand(function, expected, dtype: str) -> None:
    assert same_bits(value(function(constant(SPECIAL, dtype))), expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("function", "x", "y", "expected"),
    [
        (ops.add, INF, -INF, NAN),
        (ops.add, -0.0, 0.0, 0.0),
        (ops.add, -0.0, -0.0, -0.0),
        (ops.sub, INF, INF, NAN),
        (ops.mul, 0.0, INF, NAN),
        (ops.mul, -0.0, 3.0, -0.0),
        (ops.div, 1.0, 0.0, INF),
        (ops.div, 1.0, -0.0, -INF),
        (ops.div, 0.0, 0.0, NAN),
        (ops.div, INF, INF, NAN),
        (ops.floor_divide, -7.0, 2.0, -4.0),
        (ops.floor_divide, 1.0, 0.0, INF),
        (ops.mod, -7.0, 2.0, 1.0),
        (ops.mod, 7.0, -2.0, -1.0),
        (ops.mod, 1.0, 0.0, NAN),
        (ops.mod, 1.0, INF, 1.0),
        (ops.maximum, NAN, 1.0, NAN),
        (ops.maximum, 1.0, NAN, NAN),
        (ops.maximum, -INF, 1.0, 1.0),
        (ops.minimum, NAN, 1.0, NAN),
        (ops.minimum, 1.0, NAN, NAN),
        (ops.minimum, INF, 1.0, 1.0),
        (ops.pow, 0.0, 0.0, 1.0),
        (ops.pow, NAN, 0.0, 1.0),
        (ops.pow, 1.0, NAN, 1.0),
        (ops.pow, 0.0, -1.0, INF),
        (ops.pow, -0.0, -1.0, -INF),
        (ops.pow, -8.0, 1 / 3, NAN),
        (ops.pow, -2.0, 3.0, -8.0),
        (ops.pow, 0.5, INF, 0.0),
        (ops.pow, 2.0, -INF, 0.0),
    ],
)
def test_special_values_of_two_operands(function, x: float, y: float, expected: float, dtype: str) -> None:
    assert same_bits(value(function(constant(x, dtype), constant(y, dtype))), expected)


def test_halves_round_to_even() -> None:
    assert value(ops.round([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])).tolist() == [-2, -2, 0, 0, 2, 2]


@pytest.mark.parametrize("function", [ops.floor, ops.ceil, ops.round, ops.trunc])
def test_integers_are_integral(function) -> None:
    n = placeholder("n", (3,), "int32")
    assert function(n) is n
    with pytest.raises(DTypeError, match="bool"):
        function(placeholder("mask", (3,), "bool"))


_INTS = st.integers(-(2**31), 2**31 - 1)


def _wrapped(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


@given(st.lists(st.tuples(_INTS, _INTS), min_size=1))
def test_integers_wrap_around(pairs: list[tuple[int, int]]) -> None:
    x, y = (constant(np.array(column, np.int32)) for column in zip(*pairs, strict=True))
    for made, meaning in [(x + y, operator.add), (x - y, operator.sub), (x * y, operator.mul)]:
        assert value(made).tolist() == [_wrapped(meaning(a, b)) for a, b in pairs]
    assert value(-x).tolist() == [_wrapped(-a) for a, _ in pairs]


@given(st.lists(st.tuples(_INTS, st.one_of(_INTS, st.sampled_from([-1, 0, 1]))), min_size=1))
def test_integer_division_has_pythons_signs_and_no_traps(pairs: list[tuple[int, int]]) -> None:
    x, y = (constant(np.array(column, np.int32)) for column in zip(*pairs, strict=True))
    assert value(x // y).tolist() == [_wrapped(a // b) if b else 0 for a, b in pairs]
    assert value(x % y).tolist() == [a % b if b else 0 for a, b in pairs]


@pytest.mark.parametrize("dtype", [INT32, INT64])
def test_the_smallest_integer_divided_by_minus_one_is_itself(dtype: np.dtype) -> None:
    smallest = constant(np.array(np.iinfo(dtype).min, dtype))
    assert value(smallest // -1) == np.iinfo(dtype).min
    assert value(smallest % -1) == 0
    assert value(ops.abs(smallest)) == np.iinfo(dtype).min


@given(st.integers(-5, 5), st.integers(-6, 12))
def test_integer_powers_are_exact(x: int, y: int) -> None:
    expected = x**y if y >= 0 else {1: 1, -1: (-1) ** (y % 2)}.get(x, 0)
    assert value(ops.pow(constant(x), constant(y))) == expected


@pytest.mark.parametrize(("by", "expected"), [(0, 0.5), (1, 0.5)])
@pytest.mark.parametrize("function", [ops.maximum, ops.minimum])
def test_a_tie_gives_each_half(function, by: int, expected: float) -> None:
    assert slope(function, 2.0, 2.0, by=by) == expected


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (ops.abs, 0.0, 0.0),
        (ops.abs, -3.0, -1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**3, -2.0, 12.0),
        (lambda x: x**0.5, 4.0, 0.25),
        (lambda x: x**0.5, 0.0, INF),
        (lambda x: 2**x, 0.0, np.log(2.0)),
        (lambda x: 0**x, 2.0, 0.0),
        (ops.reciprocal, -2.0, -0.25),
        (lambda x: x * x, 3.0, 6.0),
        (lambda x: x / x, 3.0, 0.0),
    ],
)
def test_derivatives_at_special_points(function, x: float, expected: float) -> None:
    assert slope(function, x) == pytest.approx(expected)
    assert slope(function, x, dtype="float32") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.0, 2.0), (3.0, 0.0)])
def test_power_of_two_tensors_has_finite_derivatives_at_zeros(x: float, y: float) -> None:
    assert np.isfinite(slope(ops.pow, x, y, by=0))
    assert np.isfinite(slope(ops.pow, x, y, by=1))


@pytest.mark.parametrize("x", [-1.0, -0.5, 0.0, 0.5, 0.75])
@pytest.mark.parametrize("name", ["relu", "elu", "clip", "softplus", "sqrt", "square", "sigmoid"])
def test_jax_has_the_same_derivatives_at_kinks_and_bounds(name: str, x: float) -> None:
    function = (lambda e: ops.clip(e, -0.5, 0.75)) if name == "clip" else getattr(ops, name)
    _, (expected,) = value_and_cotangents(ORACLES[name], [np.array(x)], np.array(1.0))
    np.testing.assert_allclose(slope(function, x), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["maximum", "minimum", "mod", "div"])
def test_jax_has_the_same_derivatives_at_ties(name: str) -> None:
    pair = [np.array([1.0, 2.0, -0.0, 3.0]), np.array([1.0, 1.5, 0.0, -2.0])]
    _, expected = value_and_cotangents(ORACLES[name], pair, np.ones(4))
    xs = [placeholder(f"x{i}", (4,), "float64") for i in range(2)]
    found = backward(ops.sum(getattr(ops, name)(*xs)), xs)
    made = evaluate(define(a=found[0], b=found[1]), {"x0": pair[0], "x1": pair[1]})[0]
    np.testing.assert_allclose(made["a"], expected[0], rtol=1e-12)
    np.testing.assert_allclose(made["b"], expected[1], rtol=1e-12)


def test_mod_counts_how_often_it_subtracts() -> None:
    assert slope(ops.mod, -7.0, 2.0, by=0) == 1.0
    assert slope(ops.mod, -7.0, 2.0, by=1) == 4.0


@pytest.mark.parametrize("function", [ops.sign, ops.floor, ops.ceil, ops.round, ops.trunc, lambda x: x // 2])
def test_what_is_piecewise_constant_has_no_gradient(function) -> None:
    graph = define(loss=ops.sum(function(variable("w", (3,)))))
    with pytest.raises(GradientError, match="no gradient reaches 'w'"):
        gradient(graph)


@pytest.mark.parametrize(
    ("x", "y", "dtype"),
    [("float32", 2, "float32"), ("float32", 2.0, "float32"), ("int32", 2, "int32"), ("int64", 2.5, "float32"),
     ("float64", True, "float64"), ("bool", 2, "int64")],
)  # fmt: skip
def test_numbers_take_the_dtype_beside_them(x: str, y: float, dtype: str) -> None:
    assert (placeholder("x", (3,), x) + y).dtype == dtype
    assert (y - placeholder("x", (3,), x)).dtype == dtype


def test_a_gradient_sums_over_what_was_broadcast() -> None:
    x, y = placeholder("x", ("batch", 3)), placeholder("y", (1, 3))
    dx, dy = backward(ops.sum(x * y), [x, y])
    assert (dx.shape, dy.shape) == (x.shape, y.shape)


@pytest.mark.parametrize(
    "function", [ops.add, ops.sub, ops.mul, ops.floor_divide, ops.mod, ops.maximum, ops.pow]
)
def test_bools_are_refused(function) -> None:
    mask = placeholder("mask", (3,), "bool")
    with pytest.raises(DTypeError, match="takes floats or integers, and this is bool") as caught:
        function(mask, mask)
    assert "symgraph.cast" in str(caught.value)
    assert "mask" in str(caught.value)


def test_shapes_that_do_not_broadcast_are_named_with_their_lines() -> None:
    with pytest.raises(ShapeError, match=r"mul: the shapes \[batch,3\] and \[4\] do not broadcast") as caught:
        placeholder("x", ("batch", 3)) * placeholder("y", (4,))
    text = str(caught.value)
    assert "x  f32[batch,3]" in text
    assert "y  f32[4]" in text
    assert "test_arithmetic.py" in text


def test_a_named_size_does_not_agree_with_a_number() -> None:
    with pytest.raises(ShapeError, match="do not broadcast"):
        placeholder("x", ("batch",)) + placeholder("y", (128,))


def test_the_mixed_derivative_of_a_power_at_exponent_zero() -> None:
    a, b = sg.placeholder("a", (), "float64"), sg.placeholder("b", (), "float64")
    first = sg.gradient(sg.define(o=a**b), "o", ("a",))
    mixed = sg.compile(sg.gradient(first, "d_o/d_a", ("b",)))({"a": 0.5, "b": 0.0})
    assert mixed["d_(d_o/d_a)/d_b"] == pytest.approx(2.0)  # d/db of b * a**(b - 1) is 1 / a
    at_zero = sg.compile(first)({"a": 0.0, "b": 0.0})
    assert at_zero["d_o/d_a"] == 0.0
