"""The elementary functions against exact values: over the whole range, at every vector width, special values too."""

import ctypes
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import attrs
import mpmath
import numpy as np
import pytest

from symgraph.lowering.llvm import jit, maths, target
from symgraph.lowering.llvm.emit import F32, F64, PTR, Builder, Type, Value, integer
from symgraph.lowering.llvm.maths import ULP, ULP_UNFUSED
from symgraph.ops import special

pytest.importorskip("llvmlite", reason="the backend 'llvm' needs llvmlite: pip install 'symgraph[native]'")

Long = np.longdouble
EXTENDED = np.finfo(Long).nmant > np.finfo(np.float64).nmant
FLOATS = (np.float32, np.float64)
NAMES = tuple(name for name in sorted(ULP) if name != "pow")
BITS = {np.float32: np.uint32, np.float64: np.uint64}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Overflow and invalid operations are what is tested here."""
    with np.errstate(all="ignore"):
        yield


def widths() -> list[int]:
    return [width for width in (16, 32, 64) if width <= target.host().width]


def machine(width: int) -> target.Target:
    host = target.host()
    if width == host.width:
        return host
    features = {16: "+sse2", 32: "+avx2,+fma"}[width] if host.triple.startswith("x86_64") else host.features
    return attrs.evolve(host, width=width, registers=16, features=features)


def fused(width: int) -> bool:
    return width > 16 or not target.host().triple.startswith("x86_64")


@lru_cache
def compiled(name: str, dtype: Any, width: int, lanes: int = 0, operands: int = 1) -> Callable[..., Any]:
    """The function over an array; lanes as many as the width holds."""
    where, size = machine(width), np.dtype(dtype).itemsize
    lanes = lanes or where.lanes(size)
    b = Builder()
    loop = b.begin_loop(integer(0), Value("%n", Type("i64")), lanes)
    type_ = Type((F32 if size == 4 else F64).name, lanes)
    pointers = [Value(f"%p{k}", PTR) for k in range(operands)]
    x = [b.load(type_, b.offset(p, loop.index, size)) for p in pointers]
    b.store(getattr(maths, name)(b, *x), b.offset(Value("%out", PTR), loop.index, size))
    b.end_loop(loop)
    head = f"define void @f({', '.join(map(str, pointers))}, ptr %out, i64 %n) #0 {{\nentry:"
    text = "\n".join([head, *b.lines, "  ret void", "}"])
    module = jit.module_text([text], list(b.intrinsics.values()), where)
    loaded = jit.load(jit.object_code(module, where), ["f"])
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (operands + 1), ctypes.c_int64)(
        loaded.addresses["f"]
    )

    def run(*arrays: Any) -> Any:
        count = arrays[0].size
        padded = [np.pad(np.asarray(a, dtype), (0, -count % lanes), constant_values=1) for a in arrays]
        out = np.empty_like(padded[0])
        function(*[a.ctypes.data for a in padded], out.ctypes.data, out.size)
        return out[:count]

    run.loaded = loaded  # type: ignore[attr-defined]
    return run


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _erf(x: Any) -> Any:
    """Rounded to double for doubles, else as a sum of two doubles."""
    if x.dtype == np.float64:
        return np.array([math.erf(v) for v in x.tolist()])
    with mpmath.workdps(30):
        exact = [mpmath.erf(float(v)) for v in x]
    high = [float(v) for v in exact]
    with mpmath.workdps(30):
        low = [float(v - h) if math.isfinite(h) else 0.0 for v, h in zip(exact, high, strict=True)]
    return np.array(high, Long) + np.array(low, Long)


def _erfinv(x: Any) -> Any:
    """By the formula for doubles where those are exact enough, else from mpmath as a sum of two doubles."""
    if x.dtype == np.float64:
        return special.erfinv64(x)
    with mpmath.workdps(30):
        exact = [
            mpmath.erfinv(float(v)) if abs(v) < 1 else v * np.inf if abs(v) == 1 else v * np.nan for v in x
        ]
        high = [float(v) for v in exact]
        low = [float(v - h) if math.isfinite(h) else 0.0 for v, h in zip(exact, high, strict=True)]
    return np.array(high, Long) + np.array(low, Long)


NUMPY: dict[str, Callable[[Any], Any]] = {
    "erf": _erf,
    "erfinv": _erfinv,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
}
EXACT: dict[str, Callable[[Any], Any]] = {
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "log2": lambda x: mpmath.log(x, 2),
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
}


def in_numpy(name: str, x: Any) -> Any:
    return NUMPY.get(name, getattr(np, name, None))(x)


def bound(name: str, dtype: Any, width: int) -> float:
    return (ULP if fused(width) else ULP_UNFUSED)[name][dtype is np.float64]


def errors(found: Any, exact: Any) -> Any:
    """In units in the last place of the exact results; infinite where infinities or NaN differ."""
    info = np.finfo(found.dtype)
    rounded = exact.astype(found.dtype)
    _, exponent = np.frexp(np.where(np.isfinite(exact), exact, 1))
    unit = np.ldexp(np.ones_like(exact), np.maximum(exponent - 1, info.minexp) - info.nmant)
    error = np.abs(found.astype(exact.dtype) - exact) / unit
    same = (found == rounded) | (np.isnan(found) & np.isnan(exact))
    return np.where(np.isfinite(found) & np.isfinite(rounded), error, np.where(same, 0, np.inf)).astype(float)


def specials(dtype: Any) -> Any:
    info = np.finfo(dtype)
    positive = [
        0,
        0.25,
        0.5,
        0.75,
        1,
        1.5,
        2,
        3,
        100,
        127,
        128,
        1023,
        1024,
        info.smallest_subnormal,
        info.tiny,
        info.eps,
    ]
    x = np.array([*positive, info.max, np.inf, np.nan], dtype)
    near = np.concatenate([np.nextafter(x, dtype(np.inf)), np.nextafter(x, dtype(0))])
    return np.concatenate([x, near, -x, -near])


@lru_cache
def samples(dtype: Any, count: int, seed: int = 0) -> Any:
    """Random bit patterns, the values that matter, and the ranges where most users are, most densely."""
    random = np.random.default_rng(seed)
    info = np.finfo(dtype)
    patterns = random.integers(0, np.iinfo(BITS[dtype]).max, count, dtype=BITS[dtype], endpoint=True).view(
        dtype
    )
    top, bottom = np.log(float(info.max)), np.log(float(info.smallest_subnormal))
    places = (
        top,
        top + np.log(2),
        bottom,
        -top,
        info.maxexp,
        info.minexp,
        info.minexp - info.nmant,
        0.75,
        1.5,
        -0.25,
    )
    around = [place + random.normal(size=count // 100) * 1e-3 for place in places]
    ranges = [
        random.uniform(bottom, -bottom, count // 2),
        *(random.normal(size=count // 4) * s for s in (0.03, 1, 5)),
    ]
    return np.concatenate([specials(dtype), patterns, *(np.array(x, dtype) for x in (*around, *ranges))])


@lru_cache
def reference(name: str, dtype: Any, count: int) -> tuple[Any, Any]:
    """Inputs and their results, in the next higher precision."""
    count //= {"erf": 20, "erfinv": 50}.get(name, 1)  # from mpmath, which is slow
    x = samples(dtype, count)
    return x, in_numpy(name, x.astype(np.float64 if dtype is np.float32 else Long))


def check(name: str, dtype: Any, width: int, x: Any, exact: Any) -> None:
    found = compiled(name, dtype, width)(x)
    error = errors(found, exact)
    worst = int(np.argmax(error))
    text = f"{name}({x[worst]!r}) is {found[worst]!r}, not {exact[worst]!r}: {error[worst]} ULP"
    assert error[worst] <= bound(name, dtype, width), text


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_many_values(name: str, dtype: Any, width: int) -> None:
    if dtype is np.float64 and not EXTENDED:
        pytest.skip("NumPy has nothing more precise here; mpmath checks fewer values, in the next test")
    check(name, dtype, width, *reference(name, dtype, 20_000))


@lru_cache
def precisely(name: str, dtype: Any, count: int) -> tuple[Any, Any]:
    """Finite inputs and exact results, as sums of two doubles would hold them."""
    x = samples(dtype, count, seed=1)
    x = x[np.isfinite(x)]
    x = x[{"log": x > 0, "log2": x > 0, "rsqrt": x > 0, "log1p": x > -1}.get(name, x != 0)]
    x = (
        x[np.abs(x) < (1 if name == "erfinv" else 1e4)]
        if name not in ("log", "log2", "log1p", "rsqrt", "reciprocal")
        else x
    )
    function = EXACT.get(name, getattr(mpmath, name, None))
    with mpmath.workdps(40):
        return x, [function(mpmath.mpf(float(v))) for v in x]


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_values(name: str, dtype: Any, width: int) -> None:
    """Against mpmath, in integers of a unit in the last place: no precision of NumPy's comes in."""
    x, exact = precisely(name, dtype, 200)
    info = np.finfo(dtype)
    for v, found, right in zip(x, compiled(name, dtype, width)(x), exact, strict=True):
        exponent = max(mpmath.frexp(right)[1] - 1, int(info.minexp)) - info.nmant
        unit = mpmath.ldexp(1, int(exponent))
        if np.isinf(found):
            assert abs(right) > mpmath.mpf(float(info.max)) - unit, f"{name}({v!r}) is {found!r}"
        else:
            error = abs(mpmath.mpf(float(found)) - right) / unit
            assert error <= bound(name, dtype, width), f"{name}({v!r}) is {found!r}, not {right}: {error} ULP"


INF, NAN, ZERO = np.inf, np.nan, -0.0
SPECIAL: dict[str, list[tuple[float, float]]] = {
    "cosh": [(0, 1), (ZERO, 1), (INF, INF), (-INF, INF)],
    "erf": [(0, 0), (ZERO, ZERO), (INF, 1), (-INF, -1)],
    "erfinv": [(0, 0), (ZERO, ZERO), (1, INF), (-1, -INF), (1.5, NAN), (INF, NAN), (-INF, NAN)],
    "exp": [(0, 1), (ZERO, 1), (INF, INF), (-INF, 0)],
    "exp2": [(0, 1), (ZERO, 1), (INF, INF), (-INF, 0), (10, 1024), (-3, 0.125)],
    "expm1": [(0, 0), (ZERO, ZERO), (INF, INF), (-INF, -1)],
    "log": [(1, 0), (0, -INF), (ZERO, -INF), (INF, INF), (-INF, NAN), (-1, NAN)],
    "log1p": [(0, 0), (ZERO, ZERO), (-1, -INF), (INF, INF), (-INF, NAN), (-2, NAN)],
    "log2": [(1, 0), (0, -INF), (ZERO, -INF), (INF, INF), (-1, NAN), (8, 3), (2.0**-130, -130)],
    "reciprocal": [(0, INF), (ZERO, -INF), (INF, 0), (-INF, ZERO), (4, 0.25)],
    "rsqrt": [(0, INF), (ZERO, -INF), (INF, 0), (-1, NAN), (4, 0.5)],
    "sigmoid": [(0, 0.5), (ZERO, 0.5), (INF, 1), (-INF, 0)],
    "sinh": [(0, 0), (ZERO, ZERO), (INF, INF), (-INF, -INF)],
    "softplus": [(INF, INF), (-INF, 0)],
    "tanh": [(0, 0), (ZERO, ZERO), (INF, 1), (-INF, -1)],
}


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values(name: str, dtype: Any, width: int) -> None:
    given, expected = zip(*SPECIAL[name], (NAN, NAN), strict=True)
    found = compiled(name, dtype, width)(np.array(given, dtype))
    np.testing.assert_array_equal(found, np.array(expected, dtype))
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(np.array(expected)[known]))


@pytest.mark.parametrize("name", ["erf", "erfinv", "expm1", "log1p", "sinh", "tanh"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_tiny_values_stay_whole(name: str, dtype: Any) -> None:
    """Denormals lose no bit where f(x) is about x (erf and its inverse: a multiple), and keep their sign."""
    unit = np.finfo(dtype).smallest_subnormal
    x = np.arange(-50, 51).astype(dtype) * unit
    x[50] = ZERO
    found = compiled(name, dtype, target.host().width)(x)
    slope = {"erf": 2 / np.sqrt(np.pi), "erfinv": np.sqrt(np.pi) / 2}.get(name, 1)
    np.testing.assert_array_equal(found / unit, np.rint(np.arange(-50, 51) * slope))
    np.testing.assert_array_equal(np.signbit(found), np.signbit(x))


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize(("name", "dtype", "x"), [
    ("exp", np.float32, -100.0), ("exp", np.float64, -740.0), ("exp2", np.float32, -145.5),
    ("sigmoid", np.float32, -100.0), ("sigmoid", np.float64, -742.5), ("softplus", np.float64, -742.5),
])  # fmt: skip
def test_underflow_is_gradual(name: str, dtype: Any, x: float, width: int) -> None:
    (found,) = compiled(name, dtype, width)(np.array([x], dtype))
    assert 0 < found < np.finfo(dtype).tiny
    with mpmath.workdps(400):
        exact = EXACT.get(name, getattr(mpmath, name, None))(mpmath.mpf(x))
    assert abs(mpmath.mpf(float(found)) - exact) <= mpmath.mpf(float(np.finfo(dtype).smallest_subnormal))


@pytest.mark.parametrize("name", ["erf", "erfinv", "sinh", "tanh"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_odd_functions_are_odd(name: str, dtype: Any) -> None:
    x = samples(dtype, 10_000)
    f = compiled(name, dtype, target.host().width)
    np.testing.assert_array_equal(f(-x), -f(x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_one_lane_has_the_bits_of_many(name: str, dtype: Any) -> None:
    x, width = samples(dtype, 2_000), target.host().width
    np.testing.assert_array_equal(compiled(name, dtype, width, 1)(x), compiled(name, dtype, width)(x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sigmoid_and_tanh_stay_in_range(dtype: Any) -> None:
    x = samples(dtype, 20_000)
    x = x[~np.isnan(x)]
    s, t = (compiled(name, dtype, target.host().width)(x) for name in ("sigmoid", "tanh"))
    assert s.min() >= 0 and s.max() <= 1 and t.min() >= -1 and t.max() <= 1


# Powers


def powers(dtype: Any, count: int) -> tuple[Any, Any]:
    """Pairs with results all over the range and a little beyond."""
    random, info = np.random.default_rng(3), np.finfo(dtype)
    top = float(np.log(float(info.max)))
    x = np.concatenate([
        np.exp(random.uniform(-top, top, count)), np.abs(1 + random.normal(size=count) * 0.2),
        1 + random.normal(size=count) * 1e-4, random.uniform(0.7, 1.5, count),
    ]).astype(dtype)  # fmt: skip
    y = (random.uniform(-1.1, 1.02, x.size) * top / np.log(x.astype(float))).astype(dtype)
    near = random.uniform(-4, 4, count).astype(dtype)
    return np.concatenate([x, x[-count:]]), np.concatenate([y, near])


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("dtype", FLOATS)
def test_powers(dtype: Any, width: int) -> None:
    if dtype is np.float64 and not EXTENDED:
        pytest.skip("NumPy has nothing more precise here; mpmath checks fewer values, in the next test")
    x, y = powers(dtype, 20_000)
    wide = np.float64 if dtype is np.float32 else Long
    exact = np.power(x.astype(wide), y.astype(wide))
    error = errors(compiled("pow", dtype, width, operands=2)(x, y), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= bound("pow", dtype, width), (x[worst], y[worst], error[worst])


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("dtype", FLOATS)
def test_exact_powers(dtype: Any, width: int) -> None:
    x, y = powers(dtype, 200)
    info = np.finfo(dtype)
    found = compiled("pow", dtype, width, operands=2)(x, y)
    with mpmath.workdps(50):
        for a, c, power in zip(x, y, found, strict=True):
            exact = mpmath.power(mpmath.mpf(float(a)), mpmath.mpf(float(c)))
            if not np.isfinite(power):
                assert np.isinf(power) and exact > mpmath.mpf(float(info.max))
                continue
            exponent = max(mpmath.frexp(exact)[1] - 1, int(info.minexp)) - info.nmant
            error = abs(mpmath.mpf(float(power)) - exact) / mpmath.ldexp(1, int(exponent))
            assert error <= bound("pow", dtype, width), (a, c, power)


@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("dtype", FLOATS)
def test_special_powers(dtype: Any, width: int) -> None:
    """All of C99's cases, F.9.4.4, as the C library behind NumPy has them."""
    info = np.finfo(dtype)
    even, odd = 2.0 ** (info.nmant + 1), 2.0 ** (info.nmant + 1) - 1
    positive = [
        0,
        0.3,
        0.5,
        1,
        1.5,
        2,
        3,
        7,
        8,
        1e30,
        even,
        odd,
        odd / 2,
        info.max,
        info.tiny,
        info.smallest_subnormal,
    ]
    values = np.array([*positive, 1 + info.eps, 1 - info.eps, INF, NAN], dtype)
    x, y = (
        v.ravel() for v in np.meshgrid(np.concatenate([values, -values]), np.concatenate([values, -values]))
    )
    wide = np.float64 if dtype is np.float32 else Long
    expected = np.power(x.astype(wide), y.astype(wide)).astype(dtype)
    found = compiled("pow", dtype, width, operands=2)(x, y)
    settled = ~np.isfinite(expected) | (expected == 0) | (np.abs(x) == 1) | (y == 0)
    np.testing.assert_array_equal(found[settled], expected[settled])
    np.testing.assert_allclose(found, expected, rtol=4 * info.eps, atol=2 * info.smallest_subnormal)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(expected[known]))


# The long sweep


@pytest.mark.heavy
@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("name", NAMES)
def test_every_64th_float(name: str, width: int) -> None:
    step = 64 if name != "erf" else 1024
    for start in range(0, 2**32, 2**28):
        x = (
            np.arange(start + start // 2**28, start + 2**28, step, dtype=np.uint64)
            .astype(np.uint32)
            .view(np.float32)
        )
        check(name, np.float32, width, x, in_numpy(name, x.astype(np.float64)))


@pytest.mark.heavy
@pytest.mark.parametrize("width", widths())
@pytest.mark.parametrize("name", NAMES)
def test_millions_of_doubles(name: str, width: int) -> None:
    if not EXTENDED:
        pytest.skip("NumPy has nothing more precise here; mpmath checks fewer values")
    check(name, np.float64, width, *reference(name, np.float64, 4_000_000))
