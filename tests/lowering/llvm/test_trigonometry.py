"""Trigonometric functions and their inverses, against 160 bits of mpmath and the tables of C's annex F."""

from functools import lru_cache

import mpmath
import numpy as np
import pytest

from symgraph.lowering.llvm.emit import Builder, Type, Value
from symgraph.lowering.llvm.maths import angles, trigonometry
from symgraph.lowering.llvm.maths.trigonometry import ULP
from tests.lowering.llvm.lanes import Job, any_bits, compiled, hostile, same_bits, targets, ulps

TARGETS = targets()
WIDTHS = pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{8 * t.width} bits")
NAMES = pytest.mark.parametrize("name", ULP)
NUMPY = {name: "arc" + name.removeprefix("a") if name.startswith("a") else name for name in ULP}
INF, NAN, PI = np.inf, np.nan, np.pi


def arity(name):
    return 2 if name == "atan2" else 1


@lru_cache
def functions(target, lanes=None):
    keys = [(name, dtype) for name in ULP for dtype in ("float32", "float64")]
    jobs = [Job(getattr(trigonometry, name), [dtype] * arity(name), dtype, lanes) for name, dtype in keys]
    return dict(zip(keys, compiled(jobs, target), strict=True))


def sample(name, dtype, size, seed=0):
    """Operands: floats of any bits, and many where the function bends, cancels or is reduced."""
    random = np.random.default_rng(seed)
    sign = random.choice([-1, 1], size)
    parts = [
        any_bits(dtype, size, random),
        random.uniform(-20, 20, size),
        random.uniform(-1, 1, size),
        sign * 10.0 ** random.uniform(-12, 12, size),
        1 + sign * 10.0 ** random.uniform(-16, 0, size),
        np.arange(size) * (PI / 2),
        random.integers(0, 2**40, size) * (PI / 2),
        random.uniform(0.9, 4, size),
        hostile(dtype),
    ]
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.concatenate([p.astype(dtype) for p in parts])
        if arity(name) == 1:
            return [x]
        other = random.permutation(x)
        near = (x * random.uniform(0.2, 5, len(x))).astype(dtype)
        return [np.concatenate([x, x]), np.concatenate([other, near])]


def exact(name, *arrays):
    """The values in long doubles: of floats from NumPy's doubles or long doubles, of doubles from mpmath."""
    with np.errstate(all="ignore"):
        double = getattr(np, NUMPY[name])(*(a.astype(np.float64) for a in arrays)).astype(np.longdouble)
        if arrays[0].dtype == np.float32:
            return double
    # Where NumPy gives no finite number, or 0, it is right; the others have 160 bits, of which 64 are kept.
    for k in np.flatnonzero(np.isfinite(double) & (double != 0)):
        if all(np.isfinite(a[k]) and a[k] != 0 for a in arrays):
            with mpmath.workprec(160):
                value = getattr(mpmath, name)(*(mpmath.mpf(float(a[k])) for a in arrays))
                mantissa, exponent = mpmath.frexp(value)
                high = float(mantissa)
                double[k] = np.ldexp(
                    np.longdouble(high) + np.longdouble(float(mantissa - high)), int(exponent)
                )
    return double


def check(name, dtype, target, size, seed=0):
    operands = sample(name, dtype, size, seed)
    made = functions(target)[name, dtype](*operands)
    right = exact(name, *operands)
    error = ulps(made, right)
    worst = error.argmax()
    assert error[worst] <= ULP[name], ([a[worst] for a in operands], made[worst], right[worst])
    zeros = (made == 0) & (right == 0)
    assert np.array_equal(np.signbit(made[zeros]), np.signbit(right[zeros]))
    return error[worst]


@WIDTHS
@NAMES
def test_floats_are_within_the_bounds(name, target):
    assert check(name, "float32", target, 8000) > 0


@NAMES
def test_doubles_are_within_the_bounds(name):
    operands = sample(name, "float64", 150)
    right = exact(name, *operands)
    for target in TARGETS:
        error = ulps(functions(target)[name, "float64"](*operands), right)
        assert error.max() <= ULP[name], [a[error.argmax()] for a in operands]


@NAMES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars_have_the_bits_of_vectors(name, dtype):
    operands = [a[::5] for a in sample(name, dtype, 300)]
    target = TARGETS[-1]
    vector, scalar = (functions(target, lanes)[name, dtype](*operands) for lanes in (None, 1))
    assert same_bits(vector, scalar).all()


SPECIAL = [
    ("sin", 0.0, 0.0), ("sin", -0.0, -0.0), ("sin", INF, NAN), ("sin", -INF, NAN),
    ("cos", 0.0, 1.0), ("cos", -0.0, 1.0), ("cos", INF, NAN), ("cos", -INF, NAN),
    ("tan", 0.0, 0.0), ("tan", -0.0, -0.0), ("tan", INF, NAN), ("tan", -INF, NAN),
    ("asin", -0.0, -0.0), ("asin", 1.0, PI / 2), ("asin", -1.0, -PI / 2), ("asin", 1.5, NAN), ("asin", -INF, NAN),
    ("acos", 1.0, 0.0), ("acos", -1.0, PI), ("acos", 0.0, PI / 2), ("acos", -1.5, NAN), ("acos", INF, NAN),
    ("atan", -0.0, -0.0), ("atan", INF, PI / 2), ("atan", -INF, -PI / 2), ("atan", 1.0, PI / 4),
    ("asinh", -0.0, -0.0), ("asinh", INF, INF), ("asinh", -INF, -INF),
    ("acosh", 1.0, 0.0), ("acosh", INF, INF), ("acosh", 0.5, NAN), ("acosh", -1e10, NAN), ("acosh", -INF, NAN),
    ("atanh", -0.0, -0.0), ("atanh", 1.0, INF), ("atanh", -1.0, -INF), ("atanh", 2.0, NAN), ("atanh", -INF, NAN),
    *((name, NAN, NAN) for name in ULP if name != "atan2"),
]  # fmt: skip


@WIDTHS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "x", "y"), SPECIAL)
def test_special_values(name, x, y, dtype, target):
    made = functions(target)[name, dtype](np.array([x], dtype))
    right = np.array([y], dtype)
    assert same_bits(made, right)


@WIDTHS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_atan2_has_every_special_case_of_c(dtype, target):
    values = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-30, -1e30, 2.0], dtype)
    y, x = (grid.ravel() for grid in np.meshgrid(values, values))
    made, right = functions(target)["atan2", dtype](y, x), np.arctan2(y, x)
    assert (ulps(made, right.astype(np.longdouble)) <= 1).all()
    assert np.array_equal(np.signbit(made) | np.isnan(made), np.signbit(right) | np.isnan(right))
    exact = np.isin(np.abs(y), [0, INF]) & np.isin(np.abs(x), [0, INF])
    assert same_bits(made, right)[exact].all()


# The double that is nearest to a multiple of pi/2 in its binade, and of all (Muller, Elementary Functions, 3rd
# edition, section 11.4), and neighbours of the limit between the two reductions.
HARD = [
    6381956970095103 * 2.0**797,
    5.706674932067741e15,
    2.0**1023,
    1e22,
    1e6,
    np.nextafter(1e6, 0),
    2.0**53,
]


@WIDTHS
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_that_are_hard_to_reduce(name, target):
    multiples = np.round(np.arange(1, 2000) * PI / 2, 0) * 1.0
    x = np.concatenate([HARD, np.arange(1, 400) * PI / 2, np.arange(1, 400) * PI * 1000, multiples[:200]])
    x = np.concatenate([x, -x])
    error = ulps(functions(target)[name, "float64"](x), exact(name, x))
    assert error.max() <= ULP[name], x[error.argmax()]


def test_the_constants_of_the_reduction():
    with mpmath.workprec(1400):
        assert int(mpmath.floor(2 / mpmath.pi * 2**1168)) == angles._TWO_OVER_PI_BITS
        assert int(mpmath.floor(mpmath.pi / 2 * 2**63)) == angles._HALF_PI
        rest = mpmath.pi / 2 - mpmath.mpf(angles._FIRST) - mpmath.mpf(angles._SECOND)
        assert abs(rest - mpmath.mpf(angles._THIRD)) < 2.0**-120
        assert float(mpmath.pi / 2 - mpmath.mpf(angles._FIRST)) == angles._REST


def test_a_branch_gives_the_values_of_the_side_that_ran():
    def emit(b, x):
        negative = b.any(b.compare("lt", x, Value("zeroinitializer", x.type)))
        return b.unless(negative, [x], lambda: [b.neg(b.add(x, x))])[0]

    (function,) = compiled([Job(emit, ["float64"], "float64", 4)], TARGETS[-1])
    made = function(np.array([1.0, 2.0, 3.0, 4.0, 1.0, -2.0, 3.0, 4.0]))
    assert made.tolist() == [1, 2, 3, 4, -2, 4, -6, -8]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sine_and_cosine_of_one_angle_share_their_work(dtype):
    def lines(*names):
        b = Builder()
        x = Value("%x", Type({"float32": "float", "float64": "double"}[dtype], 4))
        for name in names:
            getattr(trigonometry, name)(b, x)
        return len(b.lines)

    assert lines("sin", "cos") < lines("sin") + 12
    job = Job(lambda b, x: b.sub(trigonometry.sin(b, x), trigonometry.cos(b, x)), [dtype], dtype)
    (function,) = compiled([job], TARGETS[-1])
    x = np.linspace(-2e6, 2e6, 999).astype(dtype)
    np.testing.assert_allclose(function(x), np.sin(x) - np.cos(x), atol=4 * np.finfo(dtype).eps)


@pytest.mark.heavy
@WIDTHS
@NAMES
def test_many_floats_and_doubles(name, target):
    check(name, "float32", target, 1_000_000, 1)
    check(name, "float64", target, 1000, 1)
