"""Powers: x^y as 2^(y log2 |x|), the logarithm in more digits than the result has, and the special cases of C99."""

import math

from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.lowering.llvm.maths.basic import (
    DOUBLE,
    at_least,
    at_most,
    layout,
    number,
    polynomial,
    with_sign,
)
from symgraph.lowering.llvm.maths.exponential import EXP2, scale
from symgraph.lowering.llvm.maths.logarithm import split

# log2(1 + f) / f for f in [-1/4, 1/2], to 2^-36: for floats
_LOG2 = (
    1.4426950409107113,
    -0.7213475208339308,
    0.4808983326077828,
    -0.36067365294824477,
    0.2885404300615035,
    -0.2404584489556003,
    0.20605685488071998,
    -0.18000296884502914,
    0.16050171758768397,
    -0.14921183168030752,
    0.1388094126504692,
    -0.1020608164674717,
    0.03799761646935409,
)
# 2^r for r in [-1/2, 1/2], to 2^-29
_EXP2 = (
    1.0000000005550602,
    0.6931472057663423,
    0.2402264688583989,
    0.055503287122014106,
    0.009618489262645887,
    0.0013399957623546805,
    0.00015345785625845744,
)
# (artanh(s) - s - s^3 / 3) / s^5 for |s| up to 0.101, to 2^-71
_ARTANH = (
    0.1999999999999982, 0.14285714285951226, 0.11111110994090077, 0.09090937438157454, 0.07688693155828809,
    0.06899120843139418,
)  # fmt: skip
# 2 / (3 ln 2) and log2(3/2): 21 bits, and the next 53
_UNIT = float.fromhex("0x1.ec709p-1"), float.fromhex("0x1.b87407fae93f8p-22")
_THREE_HALVES = float.fromhex("0x1.2b803p-1"), float.fromhex("0x1.1cfdeb43cfd00p-23")


def pow(b: Builder, x: Value, y: Value) -> Value:
    """x^y, with C99's special values: 1 for y = 0 and for x = 1 whatever the other is, negative for a negative x
    and an odd y, NaN for a negative x and a y that is not an integer.
    """
    # |y| is cut off where no x but 1 has a power within range.
    size = b.unary("fabs", x)
    limited = at_most(b, at_least(b, y, -(2.0**66)), 2.0**66)
    magnitude = (
        _magnitude_single(b, size, limited) if x.type.name == "float" else _magnitude_double(b, size, limited)
    )
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
    others are exact.
    """
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
    """log2 of x > 0 in two parts, to about 2^-66.

    With m the mantissa and c the nearest of 3/4, 1, 3/2 (3/4 as half of 3/2), log(m / c) = 2 artanh(s) for s =
    (m - c) / (m + c), and artanh(s) = s + s^3 / 3 + s^5 R(s^2), where s and 1 + s^2 / 3 have two parts each (fdlibm's
    e_pow; Dekker, Numerische Mathematik 18, 1971).
    """
    f, k = split(b, x)
    zero, one = number(x, 0.0), number(x, 1.0)
    low, high = (
        b.compare("lt", f, number(x, math.sqrt(0.75) - 1)),
        b.compare("gt", f, number(x, math.sqrt(1.5) - 1)),
    )
    f, k = b.select(low, b.add(b.add(f, f), one), f), b.select(low, b.sub(k, one), k)
    near = b.bits("or", low, high)
    c = b.select(near, number(x, 1.5), one)
    log_high, log_low = (b.select(near, number(x, part), zero) for part in _THREE_HALVES)
    s, s_high, s_low = _quotient(b, f, c)
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
    z_high = b.mul(high, number(x, _UNIT[0]))
    z_low = b.add(b.fma(low, number(x, sum(_UNIT)), b.mul(high, number(x, _UNIT[1]))), log_low)
    total = _short(b, b.add(b.add(b.add(z_high, z_low), log_high), k))
    return total, b.sub(z_low, b.sub(b.sub(b.sub(total, k), log_high), z_high))


def _quotient(b: Builder, f: Value, c: Value) -> tuple[Value, Value, Value]:
    """Divide (m - c) by (m + c), for m = 1 + f: rounded, its first 21 bits, and what is left."""
    one = number(f, 1.0)
    above = b.sub(f, b.sub(c, one))
    below = b.add(f, b.add(c, one))
    inverse = b.div(one, below)
    s = b.mul(above, inverse)
    high, below_high = _short(b, s), _short(b, below)
    below_low = b.sub(f, b.sub(below_high, b.add(c, one)))
    rest = b.sub(b.sub(above, b.mul(high, below_high)), b.mul(high, below_low))
    return s, high, b.mul(inverse, rest)


def _short(b: Builder, x: Value) -> Value:
    """Cut off the lower half of the bits: 21 are left."""
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
