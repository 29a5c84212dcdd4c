"""Special values and errors of comparisons, logic, where, clip and cast, and of tensors like others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import constant, placeholder
from tests.ops.test_arithmetic import FLOATS, INF, NAN, same_bits, slope, value

COMPARISONS = {
    ops.equal: lambda a, b: a == b,
    ops.not_equal: lambda a, b: a != b,
    ops.less: lambda a, b: a < b,
    ops.less_equal: lambda a, b: a <= b,
    ops.greater: lambda a, b: a > b,
    ops.greater_equal: lambda a, b: a >= b,
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("function", COMPARISONS, ids=lambda f: f.__name__)
def test_comparisons_follow_ieee(function, dtype: str) -> None:
    points = [-INF, -1.0, -0.0, 0.0, 1.0, INF, NAN]
    grid = constant(points, dtype)
    actual = value(function(ops.reshape(grid, (7, 1)), grid))
    assert actual.dtype == np.bool_
    assert actual.tolist() == [[COMPARISONS[function](a, b) for b in points] for a in points]


def test_operators_compare() -> None:
    x = placeholder("x", (3,))
    assert [e.op.name for e in (x < 1, x <= 1, x > 1, x >= 1)] == [
        "less",
        "less_equal",
        "greater",
        "greater_equal",
    ]
    assert (x > 1).op.name == "greater"
    with pytest.raises(GraphError, match="no truth value"):
        bool(x < 1)


def test_classification() -> None:
    x = constant([-INF, -0.0, 5e-40, NAN, INF])
    assert value(ops.isnan(x)).tolist() == [False, False, False, True, False]
    assert value(ops.isinf(x)).tolist() == [True, False, False, False, True]
    assert value(ops.isfinite(x)).tolist() == [False, True, True, False, False]
    assert value(ops.isfinite(np.array([2**63 - 1, -(2**63)]))).tolist() == [True, True]


def test_connectives_are_those_of_the_operators() -> None:
    p, q = constant([[True], [False]]), constant([True, False])
    assert value(p & q).tolist() == [[True, False], [False, False]]
    assert value(p | q).tolist() == [[True, True], [True, False]]
    assert value(p ^ q).tolist() == [[False, True], [True, False]]
    assert value(~q).tolist() == [False, True]


@pytest.mark.parametrize("function", [ops.logical_and, ops.logical_or, ops.logical_xor])
def test_connectives_take_bools_alone(function) -> None:
    with pytest.raises(DTypeError, match="takes bools, and this is i32"):
        function(placeholder("n", (3,), "int32"), placeholder("m", (3,), "int32"))


def test_logical_not_takes_bools_alone() -> None:
    with pytest.raises(DTypeError, match="logical_not takes bools"):
        ops.logical_not(placeholder("x", (3,)))


def test_where_takes_a_bool_condition() -> None:
    with pytest.raises(DTypeError, match="the condition is f32, and must be bool") as caught:
        ops.where(placeholder("x", (3,)), 1.0, 0.0)
    assert "symgraph.not_equal" in str(caught.value)


def test_where_names_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(ShapeError, match="where: the shapes"):
        ops.where(placeholder("p", (2,), "bool"), placeholder("x", (3,)), 0.0)


def test_where_keeps_what_it_does_not_choose_out_of_the_result() -> None:
    picked = value(ops.where(np.array([True, False]), constant([1.0, NAN]), constant([INF, -0.0])))
    assert same_bits(picked, [1.0, -0.0])


def test_a_safe_operand_keeps_gradients_finite() -> None:
    def guarded(x):
        return ops.where(x > 0, ops.log(ops.where(x > 0, x, 1.0)), 0.0)

    assert slope(guarded, -1.0) == 0.0
    assert slope(guarded, 0.0) == 0.0
    assert slope(guarded, 4.0) == 0.25


@pytest.mark.parametrize(("x", "expected"), [(-2.0, 0.0), (-1.0, 0.5), (0.0, 1.0), (1.0, 0.5), (2.0, 0.0)])
def test_clip_shares_the_cotangent_with_a_bound_that_it_equals(x: float, expected: float) -> None:
    assert slope(lambda x: ops.clip(x, -1.0, 1.0), x) == expected


def test_clip_keeps_nan_and_infinities_inside() -> None:
    x = constant([-INF, NAN, INF, 0.5])
    assert same_bits(value(ops.clip(x, -1, 1)), [-1.0, NAN, 1.0, 0.5])
    assert same_bits(value(ops.clip(x, high=0)), [-INF, NAN, 0.0, 0.0])
    assert same_bits(value(ops.clip(x, 2, 1)), [1.0, NAN, 1.0, 1.0])
    assert ops.clip(placeholder("x", (3,))).op.name == "placeholder"


@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("target", ["int32", "int64"])
def test_floats_that_no_integer_equals_saturate(source: str, target: str) -> None:
    limits = np.iinfo(target)
    x = constant([NAN, INF, -INF, 1e30, -1e30, 2.9, -2.9, -0.0], source)
    assert value(ops.cast(x, target)).tolist() == [
        0,
        limits.max,
        limits.min,
        limits.max,
        limits.min,
        2,
        -2,
        0,
    ]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_float32_to_int32_truncates_or_saturates(xs: list[float]) -> None:
    low, high = -(2**31), 2**31 - 1
    expected = [high if x >= high else low if x <= low else int(x) for x in xs]
    assert value(ops.cast(np.array(xs, np.float32), "int32")).tolist() == expected


@given(st.lists(st.floats(-(2.0**64), 2.0**64), min_size=1))
def test_float64_to_integers_truncates_or_saturates(xs: list[float]) -> None:
    for target in ("int32", "int64"):
        limits = np.iinfo(target)
        expected = [min(max(int(x), int(limits.min)), int(limits.max)) for x in xs]
        assert value(ops.cast(np.array(xs), target)).tolist() == expected


def test_other_casts() -> None:
    assert value(ops.cast(np.array([2**31, -(2**31) - 1, 2**32 + 5]), "int32")).tolist() == [
        -(2**31),
        2**31 - 1,
        5,
    ]
    assert value(ops.cast(constant([0.0, -0.0, NAN, 0.5]), "bool")).tolist() == [False, False, True, True]
    assert value(ops.cast(constant([True, False]), "float32")).tolist() == [1.0, 0.0]
    assert value(ops.cast(constant(1e300, "float64"), "float32")) == INF


def test_a_cast_to_the_same_dtype_is_the_same_expression() -> None:
    x = placeholder("x", (3,))
    assert ops.cast(x, "float32") is x
    assert x.astype("float64").dtype == np.float64


def test_only_casts_between_floats_have_a_derivative() -> None:
    assert slope(lambda x: ops.cast(ops.cast(x, "float32") * 3, "float64"), 2.0) == 3.0
    x = placeholder("x", (3,))
    assert ops.cast(x, "int32").op.vjp(x, ops.cast(x, "int32"), x) == (None,)


def test_an_unknown_dtype_is_named_with_the_known_ones() -> None:
    with pytest.raises(DTypeError, match="'float16' is not a dtype of symgraph") as caught:
        ops.cast(placeholder("x", (3,)), "float16")
    assert "float32" in str(caught.value)


def test_full_like_refuses_what_the_dtype_cannot_hold() -> None:
    with pytest.raises(DTypeError, match="int32 cannot hold"):
        ops.full_like(placeholder("n", (3,), "int32"), 2**40)


def test_a_tensor_like_a_scalar_is_a_constant() -> None:
    assert ops.zeros_like(placeholder("x")).op.name == "constant"
    assert ops.ones_like(placeholder("x", ("batch", 3))).type == placeholder("x", ("batch", 3)).type
