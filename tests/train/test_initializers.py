"""Initializers: each draws from the distribution its source states, and refuses what it cannot start."""

import math

import numpy as np
import pytest

from symgraph.define import define
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import variable
from symgraph.text import from_text, to_text
from symgraph.train import initializers as init
from symgraph.types import FLOAT32, FLOAT64, TensorType

RANDOM = [
    init.uniform(-1, 2),
    init.normal(1, 0.5),
    init.truncated_normal(1, 0.5),
    init.glorot_uniform,
    init.glorot_normal,
    init.he_uniform,
    init.he_normal,
    init.lecun_uniform,
    init.lecun_normal,
    init.orthogonal(2.0),
    init.variance_scaling(3.0, "fan_out", "uniform"),
]
SHAPE = (3, 5, 40, 60)  # a kernel: fans 15 * 40 = 600 in and 15 * 60 = 900 out


def draw(initializer, shape=SHAPE, dtype=FLOAT64, seed=0):
    return initializer.sample(np.random.default_rng(seed), shape, dtype)


# Variances from the formulas in the papers; a uniform in ±a has the variance a²/3.
@pytest.mark.parametrize(
    ("initializer", "variance", "limit"),
    [
        (init.glorot_uniform, 2 / 1500, math.sqrt(6 / 1500)),
        (init.glorot_normal, 2 / 1500, 2 * math.sqrt(2 / 1500) / 0.8796),
        (init.he_uniform, 2 / 600, math.sqrt(6 / 600)),
        (init.he_normal, 2 / 600, 2 * math.sqrt(2 / 600) / 0.8796),
        (init.lecun_uniform, 1 / 600, math.sqrt(3 / 600)),
        (init.lecun_normal, 1 / 600, 2 * math.sqrt(1 / 600) / 0.8796),
        (init.variance_scaling(3, "fan_out", "normal"), 3 / 900, math.inf),
        (init.variance_scaling(3, "fan_avg", "uniform"), 3 / 750, math.sqrt(3 * 3 / 750)),
        (init.uniform(-0.5, 0.5), 1 / 12, 0.5),
        (init.normal(0, 0.3), 0.09, math.inf),
        (init.truncated_normal(0, 0.3), 0.09 * 0.8796256610342398**2, 0.6),
    ],
    ids=str,
)
def test_distributions(initializer, variance, limit) -> None:
    values = draw(initializer)
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=0.03)
    assert np.abs(values).max() <= limit * 1.0001
    if limit < math.inf:
        assert np.abs(values).max() > 0.98 * limit


def test_normals_are_normal_and_uniforms_uniform() -> None:
    normal = np.sort(draw(init.normal(0, 1)).ravel())
    assert np.mean(np.abs(normal) < 1) == pytest.approx(0.6827, abs=0.01)
    cut = draw(init.truncated_normal(0, 1)).ravel()
    assert np.mean(np.abs(cut) < 1) == pytest.approx(0.6827 / 0.9545, abs=0.01)
    uniform = np.sort(draw(init.uniform(0, 1)).ravel())
    assert np.abs(uniform - (np.arange(uniform.size) + 0.5) / uniform.size).max() < 0.01


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4), (2, 2, 3, 20)])
def test_orthogonal(shape) -> None:
    q = draw(init.orthogonal(2.0), shape).reshape(-1, shape[-1]) / 2.0
    small = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(small, np.eye(len(small)), atol=1e-12)


@pytest.mark.parametrize("initializer", RANDOM, ids=str)
def test_the_seed_alone_decides(initializer) -> None:
    one, same, other = draw(initializer), draw(initializer), draw(initializer, seed=1)
    assert one.tobytes() == same.tobytes()
    assert not np.array_equal(one, other)
    single = draw(initializer, dtype=FLOAT32)
    assert single.dtype == FLOAT32
    np.testing.assert_array_equal(single, one.astype(np.float32))


@pytest.mark.parametrize("initializer", [i for i in RANDOM if i.name != "orthogonal"], ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (0,), (0, 3), (2, 1, 3)])
def test_any_shape(initializer, shape) -> None:
    values = draw(initializer, shape)
    assert values.shape == shape and np.isfinite(values).all() and isinstance(values, np.ndarray | np.generic)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((5,), (5, 5)), ((2, 3), (2, 3)), ((7, 2, 3), (14, 21)), ((3, 3, 2, 4), (18, 36))],
)
def test_fans_are_those_of_keras(shape, fans) -> None:
    assert init.fans(shape) == fans


def test_what_stands_for_an_initializer() -> None:
    f, i, b = (TensorType(d, (2,)) for d in ("float32", "int32", "bool"))
    rng = np.random.default_rng(0)
    for given, type_, expected in [
        (None, f, [0, 0]),
        (3, f, [3, 3]),
        (True, b, [True, True]),
        (-7, i, [-7, -7]),
        (np.float64(0.5), f, [0.5, 0.5]),
        ([1, 2], f, [1, 2]),
        ((0.1, 0.2), f, [0.1, 0.2]),
        (np.array([1.5, 2.5]), f, [1.5, 2.5]),
        ([True, False], i, [1, 0]),
        (init.ones, b, [True, True]),
        (init.zeros, i, [0, 0]),
        (init.constant(float("inf")), f, [np.inf, np.inf]),
        (np.array([1, 2], np.int32), f, [1, 2]),
        (init.array([0.1, 0.2]), f, [0.1, 0.2]),
    ]:
        made = init.as_initializer(given, type_, "w").sample(rng, (2,), type_.dtype)
        assert made.dtype == type_.dtype
        np.testing.assert_array_equal(made, np.array(expected, type_.dtype))
    assert init.as_initializer(init.he_normal, f, "w") is init.he_normal


@pytest.mark.parametrize(
    ("given", "dtype", "error", "message"),
    [
        ([1.0, 2.0, 3.0], "float32", ShapeError, r"'w'.*\[3\], not \[2\]"),
        ([[1.0], [1.0, 2.0]], "float32", ShapeError, "no array"),
        (np.array([0.1, 0.2]), "float32", DTypeError, "float64 lose precision as float32"),
        (np.array([2**24 + 1, 0]), "float32", DTypeError, "lose precision"),
        ([1e60, 0.0], "float32", DTypeError, "lose precision"),
        ([0.5, 1.5], "int32", DTypeError, "lose precision"),
        ([2, 3], "bool", DTypeError, "lose precision"),
        (0.5, "int32", DTypeError, "cannot start with 0.5"),
        (2**40, "int32", DTypeError, "cannot start"),
        (1, "bool", DTypeError, "cannot start"),
        (1e60, "float32", DTypeError, "cannot start"),
        (10**400, "float64", DTypeError, "cannot start"),
        (np.zeros(2, np.complex64), "float32", DTypeError, "complex64"),
        (np.array(["a", "b"]), "float32", DTypeError, "not a dtype"),
        (init.glorot_uniform, "int32", DTypeError, "draws floats"),
        (init.orthogonal(), "float32", ShapeError, "matrix"),
        (init.normal, "float32", GraphError, "normal is a function"),
        ("zeros", "float32", GraphError, "no initializer"),
        (3j, "float32", GraphError, "no initializer"),
        (lambda: 0, "float32", GraphError, "no initializer"),
    ],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_what_does_not(given, dtype, error, message) -> None:
    with pytest.raises(error, match=message):
        variable("w", (2,), dtype, init=given)


def test_parameters_are_checked() -> None:
    for make in (
        lambda: init.uniform(2, 1),
        lambda: init.normal(0, -1),
        lambda: init.normal(float("nan")),
        lambda: init.uniform(0, float("inf")),
        lambda: init.variance_scaling(-1),
        lambda: init.variance_scaling(1, "fan"),
        lambda: init.variance_scaling(1, "fan_in", "beta"),
        lambda: init.constant("a"),
        lambda: init.orthogonal("a"),
    ):
        with pytest.raises(GraphError):
            make()


def test_values_are_copied() -> None:
    values = np.zeros(2, np.float32)
    record = init.as_initializer(values, TensorType("float32", (2,)), "w")
    values[0] = 9
    made = draw(record, (2,), FLOAT32)
    np.testing.assert_array_equal(made, [0, 0])
    made[0] = 5
    np.testing.assert_array_equal(draw(record, (2,), FLOAT32), [0, 0])


def test_records_compare_as_written() -> None:
    assert init.constant(float("nan")) == init.constant(float("nan"))
    assert init.constant(0.0) != init.constant(-0.0)
    assert init.array([1.0]) == init.array([1.0]) != init.array([2.0])
    assert hash(init.normal(0, 1)) == hash(init.normal(0.0, 1.0))


@pytest.mark.parametrize(
    "initializer",
    [*RANDOM, init.zeros, init.ones, init.constant(-0.0), init.array(np.zeros(SHAPE, np.float32))],
    ids=str,
)
def test_the_text_form_keeps_them(initializer) -> None:
    graph = define(w=variable("w", SHAPE, init=initializer))
    back = from_text(to_text(graph))
    assert back == graph
    assert draw(back["w"].op.init, dtype=FLOAT32).tobytes() == draw(initializer, dtype=FLOAT32).tobytes()


def test_those_without_arguments_may_be_called() -> None:
    for one in (init.glorot_uniform, init.zeros, init.he_normal):
        assert one() is one
        assert variable("w", (2, 3), init=one()).op.init == variable("w", (2, 3), init=one).op.init


def test_completion_shows_the_public_names_alone() -> None:
    assert dir(init) == sorted(init.__all__)
    assert "glorot_uniform" in dir(init) and "np" not in dir(init) and "GlorotUniform" not in dir(init)
    assert all(hasattr(init, name) for name in init.__all__)
