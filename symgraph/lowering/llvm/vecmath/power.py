"""Powers: x^y as 2^(y log2 |x|), the logarithm in more digits than the result has, and the special cases of C99."""

import math

from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.lowering.llvm.vecmath.basic import (
    DOUBLE,
    at_least,
    at_most,
    layout,
    number,
    polynomial,
    with_sign,
)
from symgraph.lowering.llvm.vecmath.exponential import EXP2, scale
from symgraph.lowering.llvm.vecmath.logarithm import split

# log2(1 + f) / f for f in [-1/4, 1/2], to 2^-38: for floats
_LOG2 = (
    1.4426950408885661, -0.7213475205963226, 0.4808983474296955, -0.3606737212246766, 0.2885388878882026,
    -0.24045190985615525, 0.20610985100522827, -0.18026573419331013, 0.15992397457536872, -0.1447465032716993,
    0.1365923111596439, -0.12677900639997547, 0.09056776350161527, -0.03230054805085688,
)  # fmt: skip
# 2^r for r in [-1/2, 1/2], to 2^-34
_EXP2 = (
    0.9999999999616246, 0.6931471807287087, 0.2402265119874156, 0.05550410352839874, 0.009618027173133866,
    0.0013333922850803236, 0.00015469317377915374, 1.5201902459729087e-05,
)  # fmt: skip
# (artanh(s) - s - s^3 / 3) / s^5 for s^2 up to 1/25, to 2^-62
_ARTANH = (
    0.20000000000010165, 0.14285714281317521, 0.11111111832178458, 0.09090848818799789, 0.0769510730828869,
    0.06593446551037492, 0.06881286906148226,
)  # fmt: skip


def pow(b: Builder, x: Value, y: Value) -> Value:  # noqa: A001
    """x^y, with C99's special values: 1 for y = 0 and for x = 1 whatever the other is, negative for a negative x
    and an odd y, NaN for a negative x and a y that is not an integer.
    """
    size = b.unary("fabs", x)
    magnitude = _magnitude_single(b, size, y) if x.type.name == "float" else _magnitude_double(b, size, y)
    return _special(b, x, size, y, magnitude)


def _magnitude_single(b: Builder, size: Value, y: Value) -> Value:
    """By way of doubles, which hold the product y log2 x to 2^-27 of a unit of the result."""
    wide = size.type.of("double")
    f, k = split(b, b.cast("fpext", size, wide), normal=True)
    product = b.mul(b.cast("fpext", y, wide), b.fma(f, polynomial(b, f, _LOG2), k))
    product = at_most(b, at_least(b, product, -152.0), 130.0)
    shifted = b.add(product, number(product, DOUBLE.magic + DOUBLE.bias))
    r = b.sub(product, b.sub(shifted, number(product, DOUBLE.magic + DOUBLE.bias)))
    power = b.as_float(b.bits("shl", b.as_int(shifted), constant(wide.as_int, DOUBLE.mantissa)))
    return b.cast("fptrunc", b.mul(polynomial(b, r, _EXP2), power), size.type)


def _magnitude_double(b: Builder, size: Value, y: Value) -> Value:
    """2^(y log2 x), the logarithm as a sum of two doubles, the first with so few bits that its products with such
    others are exact; |y| is cut off where no x but 1 has a power within range.
    """
    y = at_most(b, at_least(b, y, -(2.0**66)), 2.0**66)
    log_high, log_low = _log2_double(b, size)
    y_high = _short(b, y)
    high = b.mul(y_high, log_high)
    low = b.fma(b.sub(y, y_high), log_high, b.mul(y, log_low))
    total = at_most(b, at_least(b, b.add(high, low), -1080.0), 1030.0)
    magic = number(y, DOUBLE.magic + 2 * DOUBLE.bias)
    shifted = b.add(total, magic)
    r = b.add(b.sub(high, b.sub(shifted, magic)), low)
    # Where the total was cut off, what remains means nothing, but must not spoil the zero or the infinity.
    r = at_most(b, at_least(b, r, -1.0), 1.0)
    return scale(b, polynomial(b, r, (1.0, *EXP2[1])), b.as_int(shifted))


def _log2_double(b: Builder, x: Value) -> tuple[Value, Value]:
    """log2 of x > 0 in two parts to about 2^-66: with s = f / (2 + f), log(1 + f) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5
    R(s^2)), where s and 1 + s^2 / 3 have two parts each (fdlibm's e_pow; Dekker, Numerische Mathematik 18, 1971).
    """
    f, k = split(b, x)
    two = number(x, 2.0)
    quotient = b.div(number(x, 1.0), b.add(f, two))
    s = b.mul(f, quotient)
    s_high = _short(b, s)
    below = b.add(f, two)
    below_high = _short(b, below)
    below_low = b.sub(f, b.sub(below_high, two))
    s_low = b.mul(quotient, b.sub(b.sub(f, b.mul(s_high, below_high)), b.mul(s_high, below_low)))
    # 3 artanh(s) / s = 3 + s^2 + 3 s^4 R(s^2)
    square, square_high = b.mul(s, s), b.mul(s_high, s_high)
    rest = b.mul(b.mul(b.mul(square, square), number(x, 3.0)), polynomial(b, square, _ARTANH))
    rest = b.fma(s_low, b.add(s_high, s), rest)
    three = number(x, 3.0)
    factor_high = _short(b, b.add(b.add(square_high, three), rest))
    factor_low = b.sub(rest, b.sub(b.sub(factor_high, three), square_high))
    # their product, times 2 / (3 ln 2), plus k
    u = b.mul(s_high, factor_high)
    v = b.fma(s_low, factor_high, b.mul(factor_low, s))
    high = _short(b, b.add(u, v))
    low = b.sub(v, b.sub(high, u))
    z_high = b.mul(high, number(x, _UNIT_HIGH))
    z_low = b.fma(low, number(x, _UNIT_HIGH + _UNIT_LOW), b.mul(high, number(x, _UNIT_LOW)))
    total = _short(b, b.add(b.add(z_high, z_low), k))
    return total, b.sub(z_low, b.sub(b.sub(total, k), z_high))


# 2 / (3 ln 2): 21 bits, and the next 53
_UNIT_HIGH, _UNIT_LOW = float.fromhex("0x1.ec70900000000p-1"), float.fromhex("0x1.b87407fae93f8p-22")


def _short(b: Builder, x: Value) -> Value:
    """x with the lower half of its bits cut off: 21 are left."""
    return b.as_float(b.bits("and", b.as_int(x), constant(x.type.as_int, -(1 << 32))))


def _special(b: Builder, x: Value, size: Value, y: Value, magnitude: Value) -> Value:
    zero, one, infinity, nan = (number(x, v) for v in (0.0, 1.0, math.inf, math.nan))
    # 0 and inf: themselves or their reciprocals, by the sign of y
    extreme = b.bits("or", b.compare("eq", size, zero), b.compare("eq", size, infinity))
    upside_down = b.bits("xor", b.compare("eq", size, zero), b.compare("lt", y, zero))
    result = b.select(extreme, b.select(upside_down, zero, infinity), magnitude)
    whole, odd = _integer(b, y)
    signed = with_sign(b, result, b.select(odd, x, one))
    invalid = b.bits("and", b.compare("lt", x, zero), b.not_(b.bits("or", whole, extreme)))
    unordered = b.compare("uno", x, y)
    signed = b.select(b.bits("or", invalid, unordered), nan, signed)
    trivial = b.bits("or", b.compare("eq", x, one), b.compare("eq", y, zero))
    return b.select(trivial, one, signed)


def _integer(b: Builder, y: Value) -> tuple[Value, Value]:
    """Whether y is an integer, and whether an odd one. Sums with 2^23 (2^52) round to integers; from twice that on
    all floats are even.
    """
    units = number(y, layout(y.type).units)
    size = at_most(b, b.unary("fabs", y), 2 * layout(y.type).units)
    half = b.mul(size, number(y, 0.5))
    large = b.compare("ge", size, units)
    whole = b.bits("or", large, b.compare("eq", b.sub(b.add(size, units), units), size))
    return whole, b.bits("and", whole, b.compare("ne", b.sub(b.add(half, units), units), half))


def rsqrt(b: Builder, x: Value) -> Value:
    """1 / sqrt(x), by a square root and a quotient that are each correctly rounded."""
    return b.div(number(x, 1.0), b.unary("sqrt", x))


def reciprocal(b: Builder, x: Value) -> Value:
    """1 / x, correctly rounded."""
    return b.div(number(x, 1.0), x)
