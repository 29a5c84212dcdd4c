"""Exact arithmetic as native code: integers against Python's, remainders and conversions against NumPy's."""

from functools import lru_cache

import numpy as np
import pytest

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant
from symgraph.lowering.llvm.maths import integers, remainders
from tests.lowering.llvm.lanes import Job, any_bits, compiled, hostile, same_bits, targets

INF = np.inf
TARGETS = targets()
WIDTHS = pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{8 * t.width} bits")
INTEGERS = pytest.mark.parametrize("dtype", ["int32", "int64"])
FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _to(name):
    return lambda b, x: integers.convert(b, x, Type(name, x.type.lanes))


@lru_cache
def functions(target):
    jobs = {}
    for dtype in ("int32", "int64"):
        for function in (integers.floor_divide, integers.mod, integers.power):
            jobs[function.__name__, dtype] = Job(function, [dtype] * 2, dtype)
        for float_ in ("float32", "float64"):
            jobs[float_, dtype] = Job(_to("i" + dtype[3:]), [float_], dtype)
            jobs[dtype, float_] = Job(_to({"float32": "float", "float64": "double"}[float_]), [dtype], float_)
    for dtype in ("float32", "float64"):
        for function in (remainders.fmod, remainders.mod, remainders.floor_divide):
            jobs[function.__name__, dtype] = Job(function, [dtype] * 2, dtype)
    return dict(zip(jobs, compiled(list(jobs.values()), target), strict=True))


def pairs(dtype, size, seed=0):
    """Integers of every length, many of them multiples of one another, or one off."""
    random, info = np.random.default_rng(seed), np.iinfo(dtype)
    x, y = (
        random.integers(info.min, info.max, size, dtype, endpoint=True)
        >> random.integers(0, info.bits, size).astype(dtype)
        for _ in range(2)
    )
    product = y * (random.integers(info.min, info.max, size, dtype) >> (info.bits // 2))
    edges = [grid.ravel() for grid in np.meshgrid(hostile(dtype), hostile(dtype))]
    x = np.concatenate([x, product, product + dtype.type(1), product - dtype.type(1), edges[0]])
    return x, np.concatenate([y, y, y, y, edges[1]])


def wrapped(value, dtype):
    """A Python integer modulo 2**bits."""
    bits = np.iinfo(dtype).bits
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


@WIDTHS
@INTEGERS
def test_integers_divide_as_in_python(dtype, target):
    x, y = pairs(np.dtype(dtype), 300)
    quotient, remainder = (functions(target)[name, dtype](x, y) for name in ("floor_divide", "mod"))
    right = [divmod(int(a), int(b)) if b else (0, 0) for a, b in zip(x, y, strict=True)]
    assert quotient.tolist() == [wrapped(q, dtype) for q, _ in right]
    assert remainder.tolist() == [r for _, r in right]


@WIDTHS
@INTEGERS
def test_powers_of_integers_wrap_around(dtype, target):
    x, y = (grid.ravel() for grid in np.meshgrid(hostile(dtype), [*range(-3, 70), *hostile(dtype)[-20:]]))
    y = y.astype(dtype)
    bits = np.iinfo(dtype).bits

    def power(a, n):
        if n < 0:
            return {1: 1, -1: 1 if n % 2 == 0 else -1}.get(a, 0)
        return wrapped(pow(a, n, 2**bits), dtype)

    right = [power(int(a), int(n)) for a, n in zip(x, y, strict=True)]
    assert functions(target)["power", dtype](x, y).tolist() == right


def operands(dtype, size, seed=0):
    """Pairs of floats: of any bits, of like size, denormal ones, and multiples of one another."""
    random, whole = np.random.default_rng(seed), f"u{np.dtype(dtype).itemsize}"
    tenths = (random.integers(-50, 50, (2, size)) * 0.1).astype(dtype)
    tiny = random.integers(0, 2**20, (2, size), whole).view(dtype)
    counts = random.integers(1, 2**12, (2, size)).astype(dtype)
    grid = [g.ravel() for g in np.meshgrid(hostile(dtype), hostile(dtype))]
    drawn = [any_bits(dtype, size, random) for _ in range(4)]
    normal = random.standard_normal((2, size)).astype(dtype)
    x = [drawn[0], drawn[1], drawn[2], tenths[0], normal[0] * 100, tiny[0], counts[0] * counts[1], grid[0]]
    y = [drawn[3], tenths[0], tiny[0], tenths[1], normal[1], tiny[1], -counts[1], grid[1]]
    return np.concatenate(x), np.concatenate(y)


NUMPY = {"fmod": np.fmod, "mod": np.remainder, "floor_divide": np.floor_divide}


def check_remainders(name, dtype, target, size, seed=0):
    x, y = operands(dtype, size, seed)
    with np.errstate(all="ignore"):
        right = NUMPY[name](x, y)
    made = functions(target)[name, dtype](x, y)
    wrong = np.flatnonzero(~same_bits(made, right))[:3]
    assert not wrong.size, (x[wrong], y[wrong], made[wrong], right[wrong])


@WIDTHS
@FLOATS
@pytest.mark.parametrize("name", NUMPY)
def test_remainders_of_floats_are_exact(name, dtype, target):
    check_remainders(name, dtype, target, 4000)


@pytest.mark.heavy
@WIDTHS
@FLOATS
@pytest.mark.parametrize("name", NUMPY)
def test_many_remainders(name, dtype, target):
    for seed in range(10):
        check_remainders(name, dtype, target, 100_000, seed + 1)


@WIDTHS
@pytest.mark.parametrize("float_", ["float32", "float64"])
@INTEGERS
def test_floats_become_integers_by_truncation_and_saturate(float_, dtype, target):
    random, info = np.random.default_rng(0), np.iinfo(dtype)
    spread = (2.0 ** random.uniform(-2, 66, 500) * random.choice([-1, 1], 500)).astype(float_)
    x = np.concatenate([any_bits(float_, 500, random), spread, hostile(float_)])

    def limited(value):
        return 0 if np.isnan(value) else min(max(int(np.clip(value, -1e30, 1e30)), info.min), info.max)

    assert functions(target)[float_, dtype](x).tolist() == [limited(v) for v in x]


@WIDTHS
@pytest.mark.parametrize("float_", ["float32", "float64"])
@INTEGERS
def test_integers_become_the_nearest_floats(float_, dtype, target):
    x, _ = pairs(np.dtype(dtype), 500)
    assert same_bits(functions(target)[dtype, float_](x), x.astype(float_)).all()


@FLOATS
@pytest.mark.parametrize("number", [0.0, -0.0, 2.5, INF, -INF, np.nan])
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_with_a_constant_are_those_of_numpy(name, number, dtype):
    function, x = getattr(integers, name), hostile(dtype)

    def before(b, value):
        return function(b, constant(value.type, number), value)

    def after(b, value):
        return function(b, value, constant(value.type, number))

    first, second = compiled([Job(before, [dtype], dtype), Job(after, [dtype], dtype)], TARGETS[-1])
    other = np.full_like(x, number)
    for made, right in ((first(x), getattr(np, name)(other, x)), (second(x), getattr(np, name)(x, other))):
        tied = (x == 0) & (number == 0)  # on other machines than x86 NumPy gives another zero
        assert same_bits(made, right)[~tied].all()
        assert np.array_equal(made, right, equal_nan=True)


@INTEGERS
def test_a_quotient_and_its_remainder_share_their_work(dtype):
    b = Builder()
    x, y = (Value(name, Type("i" + dtype[3:], 4)) for name in ("%x", "%y"))
    integers.floor_divide(b, x, y)
    lines = len(b.lines)
    integers.mod(b, x, y)
    assert len(b.lines) == lines
