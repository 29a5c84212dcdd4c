"""Statistics of arrays: against NumPy and exact arithmetic, and what a picture shows."""

import math
import tracemalloc
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from symgraph.inspect.statistics import BINS, NOT_FINITE, SIDE, statistics

DTYPES = ["float32", "float64", "int32", "int64", "bool"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)
ANY = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, SHAPES))


def exact(values: list[Any]) -> tuple[Fraction, float]:
    """The mean as it is, and the deviation to the last digits."""
    numbers = [Fraction(value) for value in values]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    variance = sum(((n - mean) ** 2 for n in numbers), Fraction(0)) / len(numbers)
    return mean, root(variance)


def root(value: Fraction) -> float:
    """The square root of a number that a float may not hold."""
    if not value:
        return 0.0
    power = (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    return math.ldexp(math.sqrt(value / Fraction(4) ** power), power)


@settings(max_examples=300)
@given(ANY)
def test_they_are_those_of_exact_arithmetic(array: np.ndarray) -> None:
    s = statistics(array)
    assert (s.shape, s.dtype, s.count) == (array.shape, array.dtype.name, array.size)
    assert (s.nan, s.posinf, s.neginf) == tuple(
        int(np.sum(test)) for test in (np.isnan(array), array == np.inf, array == -np.inf)
    )
    assert s.zeros == int(np.sum(array == 0))
    np.testing.assert_array_equal(s.sample, array.reshape(-1)[:16])
    values = array[np.isfinite(array)].tolist()
    if not values:
        assert (s.min, s.max, s.mean, s.deviation, s.edges, s.counts) == (None, None, None, None, (), ())
        return
    assert (s.min, s.max) == (min(values), max(values))
    mean, deviation = exact(values)
    assert s.mean is not None and s.deviation is not None
    largest = float(max(map(abs, values)))
    assert abs(Fraction(s.mean) - mean) <= Fraction(largest) * Fraction(1, 2**48) + Fraction(5e-324)
    assert math.isclose(s.deviation, deviation, rel_tol=1e-9, abs_tol=max(largest * 1e-14, 5e-324))


@settings(max_examples=300)
@given(ANY)
def test_a_histogram_has_every_finite_element_in_its_bin(array: np.ndarray) -> None:
    s = statistics(array)
    values = array[np.isfinite(array)].tolist()
    assert sum(s.counts) == len(values)
    if not values:
        return
    assert len(s.edges) == len(s.counts) + 1 <= BINS + 1
    assert all(math.isfinite(edge) for edge in s.edges)
    assert list(s.edges) == sorted(set(s.edges))
    bins = list(zip(s.edges[:-1], s.edges[1:], strict=True))
    closed = array.dtype.kind == "f"
    for k, (low, high) in enumerate(bins):
        last = closed and k == len(bins) - 1
        assert s.counts[k] == sum(low <= value < high or (last and value == high) for value in values)


def test_the_histogram_is_that_of_numpy() -> None:
    array = np.random.default_rng(0).normal(size=10_000)
    counts, edges = np.histogram(array, BINS)
    s = statistics(array)
    np.testing.assert_allclose(s.edges, edges, rtol=1e-12)
    assert s.counts == tuple(counts)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -3e-300, 1e300, np.finfo(np.float64).max, 5e-324])
def test_one_number_alone_stands_within_one_bin(value: float) -> None:
    s = statistics(np.full(5, value))
    assert (s.mean, s.deviation, s.counts) == (value, 0.0, (5,))
    assert s.edges[0] < value <= s.edges[1] and math.isfinite(s.edges[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_and_tiny_numbers_neither_overflow_nor_vanish(dtype: str) -> None:
    limits = np.finfo(dtype)
    with np.errstate(all="raise", under="ignore"):
        s = statistics(np.array([limits.max, -limits.max, limits.max, 0], dtype))
        assert s.mean == pytest.approx(float(limits.max) / 4)
        assert s.deviation == pytest.approx(float(limits.max) * (math.sqrt(11) / 4))
        tiny = float(limits.smallest_subnormal)
        t = statistics(np.array([tiny * 4, -tiny * 4], dtype))
    assert (t.mean, t.deviation) == (0.0, 4 * tiny)
    assert sum(s.counts) == 4 and s.picture is not None and s.picture.low == -float(limits.max)


def test_the_extremes_of_int64_are_exact() -> None:
    low, high = -(2**63), 2**63 - 1
    s = statistics(np.array([low, high, high]))
    assert (s.min, s.max, s.counts[0], s.counts[-1]) == (low, high, 1, 2)
    assert s.mean == float(Fraction(low + 2 * high, 3))
    near = statistics(np.array([high - 1, high, high]))
    assert near.deviation == pytest.approx(math.sqrt(2) / 3)
    assert (near.edges, near.counts) == ((high - 1, high, high + 1), (1, 2))


def test_truth_values_have_two_bins() -> None:
    s = statistics(np.array([True, True, False]))
    assert (s.edges, s.counts, s.zeros, s.min, s.max) == ((0, 1, 2), (1, 2), 1, 0, 1)
    assert statistics(np.array([True])).counts == (0, 1)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32([[-1.5, np.inf], [0, np.nan]]), "f32[2,2]  min -1.5  max inf  mean -0.75  1 nan, 1 inf, 1 zero"),
        (np.array([np.nan, np.nan]), "f64[2]  2 nan"),
        (np.array([-np.inf, np.inf]), "f64[2]  min -inf  max inf  1 inf, 1 -inf"),
        (np.array([-np.inf]), "f64[1]  min -inf  max -inf  1 -inf"),
        (np.array(3), "i64[]  min 3  max 3  mean 3"),
        (np.zeros((0, 4), np.int32), "i32[0,4]  empty"),
        (np.array([False, True]), "bool[2]  min 0  max 1  mean 0.5  1 zero"),
        (np.array([-0.0, 0.0]), "f64[2]  min 0  max 0  mean 0  2 zeros"),
    ],
)  # fmt: skip
def test_the_line_that_messages_show(array: np.ndarray, text: str) -> None:
    assert str(statistics(array)).replace("-0 ", "0 ") == text


# Pictures


def grey(array: np.ndarray) -> np.ndarray:
    picture = statistics(array).picture
    assert picture is not None and len(picture.pixels) == picture.width * picture.height
    return np.frombuffer(picture.pixels, np.uint8).reshape(picture.height, picture.width)


def note(array: np.ndarray) -> str:
    picture = statistics(array).picture
    assert picture is not None
    return picture.note


def test_a_small_matrix_is_shown_as_it_is() -> None:
    array = np.array([[0.0, 127.0], [254.0, np.nan]])
    np.testing.assert_array_equal(grey(array), [[0, 127], [254, NOT_FINITE]])
    assert note(array) == "all 2 rows and 2 columns"


def test_a_large_matrix_is_shown_by_the_means_of_blocks() -> None:
    array = np.arange(130.0 * 70).reshape(130, 70)
    pixels = grey(array)
    assert pixels.shape == (44, 35)
    padded = [[array[r : r + 3, c : c + 2].mean() for c in range(0, 70, 2)] for r in range(0, 130, 3)]
    means = np.array(padded)
    span = means.max() - means.min()
    np.testing.assert_array_equal(pixels, np.rint((means - means.min()) / span * 254))
    assert note(array) == "all 130 rows and 70 columns; a pixel is the mean of up to 3 by 2 elements"
    array[5, 5] = np.inf
    assert (grey(array) == NOT_FINITE).sum() == 1
    assert note(array).endswith("marked where one of them is not finite")


@pytest.mark.parametrize(
    ("shape", "index", "said"),
    [
        ((8, 28, 28, 1), np.s_[0, :, :, 0], "[0, :, :, 0], the first of 8 matrices"),
        ((8, 3, 28, 20), np.s_[0, 0, :, :], "[0, 0, :, :], the first of 24 matrices"),
        ((2, 5, 6), np.s_[0], "[0, :, :], the first of 2 matrices"),
        ((1, 5, 6), np.s_[0], "[0, :, :], the one matrix"),
        ((9,), np.s_[None], "all 9 elements in a row"),
    ],
)  # fmt: skip
def test_which_slice_is_shown_is_said(shape: tuple[int, ...], index: Any, said: str) -> None:
    array = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_array_equal(grey(array), grey(array[index]))
    assert note(array) == said


@pytest.mark.parametrize("array", [np.float32(1), np.zeros((0,)), np.zeros((3, 0))])
def test_what_has_no_axis_or_no_element_has_no_picture(array: np.ndarray) -> None:
    assert statistics(array).picture is None
    assert statistics(np.ones((2, 2)), picture=False).picture is None


def test_a_picture_of_equal_and_of_no_finite_elements() -> None:
    assert set(grey(np.full((3, 3), 1e308)).ravel()) == {127}
    nothing = np.full((2, 2), np.nan)
    assert set(grey(nothing).ravel()) == {NOT_FINITE} and note(nothing).endswith("none is finite")


@given(arrays.arrays(st.sampled_from(DTYPES), arrays.array_shapes(max_dims=3, max_side=70)))
@settings(max_examples=30)
def test_a_picture_is_bounded_and_has_its_extremes(array: np.ndarray) -> None:
    picture = statistics(array).picture
    assert picture is not None
    assert (
        picture.width <= SIDE
        and picture.height <= SIDE
        and len(picture.pixels) == picture.width * picture.height
    )
    shown = {pixel for pixel in picture.pixels if pixel != NOT_FINITE}
    if shown and picture.low < picture.high:
        assert {min(shown), max(shown)} == {0, 254}


def test_a_million_elements_take_few_times_their_memory() -> None:
    array = np.random.default_rng(0).normal(size=(1000, 1000))
    tracemalloc.start()
    statistics(array)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * array.nbytes
