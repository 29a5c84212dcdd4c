"""Trigonometric functions, their inverses, and the inverse hyperbolic ones, as inline code on floats and doubles.

Zeros keep their signs, and what is infinite, NaN or outside of a domain gives what C's annex F says. The
coefficients are minimax polynomials (Remez's algorithm, relative errors), lowest power first.
"""

import math

from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.lowering.llvm.maths.angles import reduce
from symgraph.lowering.llvm.maths.basic import number, pick, polynomial
from symgraph.lowering.llvm.maths.logarithm import log1p

ULP = {
    "sin": 1.5,
    "cos": 1.5,
    "tan": 2.5,
    "asin": 2.0,
    "acos": 2.0,
    "atan": 2.0,
    "atan2": 2.0,
    "asinh": 3.0,
    "acosh": 3.0,
    "atanh": 3.0,
}
"""The largest error in units of the last place, of floats and doubles, with fused products and without."""

# (sin(r)/r - 1) / r**2 and (cos(r) - 1 + r**2/2) / r**4 in r**2, for |r| <= pi/4.
_SIN = (
    -0.16666666666666632,
    0.00833333333332236,
    -0.00019841269829763252,
    2.7557313676259854e-06,
    -2.5050755629270532e-08,
    1.5896649446042563e-10,
)
_COS = (
    0.0416666666666666,
    -0.0013888888888874066,
    2.480158728944388e-05,
    -2.755731434064977e-07,
    2.0875721617308156e-09,
    -1.135955906877385e-11,
)
# For floats: the first for the sine, the second (cos(r) - 1) / r**2; and as doubles, for the tangent.
_SIN_SINGLE = (-0.16666667, 0.008333329, -0.00019839332, 2.7182855e-06)
_COS_SINGLE = (-0.5, 0.041666623, -0.0013886761, 2.4390165e-05)
_SIN_SHORT = (-0.1666666664155712, 0.008333329377644182, -0.00019839332152896957, 2.71828559708453e-06)
_COS_SHORT = (-0.5, 0.04166664685832278, -0.0013887366844021723, 2.4438349212562478e-05)

# (atan(t)/t - 1) / t**2 in t**2, for |t| <= 1.
_ATAN = (
    -0.3333333333333307,
    0.19999999999951468,
    -0.14285714282575426,
    0.11111111007035096,
    -0.09090907003148957,
    0.07692279841132382,
    -0.0666640407254943,
    0.05880527903000976,
    -0.05253518942404889,
    0.04722323524677995,
    -0.042191823467087934,
    0.03664197933639672,
    -0.029903966178733594,
    0.021984985110919623,
    -0.01390068414910679,
    0.007196591329580573,
    -0.0028849641508637788,
    0.0008313381529248777,
    -0.00015216444404118773,
    1.3225439598354195e-05,
)
_ATAN_SINGLE = (
    -0.333333,
    0.1999855,
    -0.14264274,
    0.10952375,
    -0.084040366,
    0.057967994,
    -0.031188438,
    0.010920366,
    -0.0017949188,
)

# (asin(t)/t - 1) / t**2 in t**2, for |t| <= 1/2.
_ASIN = (
    0.16666666666666763,
    0.07499999999970294,
    0.04464285717509091,
    0.03038194268504263,
    0.022372215620213916,
    0.01735160081328626,
    0.01398095274876984,
    0.011397847956924036,
    0.010786119760128504,
    0.0036846153514618844,
    0.021759595034937754,
    -0.021071650470853066,
    0.03267328481564558,
)
_ASIN_SINGLE = (0.1666666, 0.075005114, 0.044515684, 0.0318178, 0.014402234, 0.03756528)

# Pi in two pieces, as doubles and as floats.
_PI = (math.pi, 1.2246467991473532e-16)
_PI_SINGLE = (3.1415927410125732, -8.742277657347586e-08)


def _pi(x: Value) -> tuple[Value, Value, Value, Value]:
    """pi/2 and pi as constants, each in two pieces."""
    high, low = pick(x, _PI_SINGLE, _PI)
    return number(x, high / 2), number(x, low / 2), number(x, high), number(x, low)


def sin(b: Builder, x: Value) -> Value:
    """The sine of radians."""
    made = _circular(b, x, 0)
    return b.select(b.compare("eq", x, number(x, 0)), x, made)


def cos(b: Builder, x: Value) -> Value:
    """The cosine of radians."""
    return _circular(b, x, 1)


def _circular(b: Builder, x: Value, ahead: int) -> Value:
    """The sine of x plus so many right angles; what sine and cosine share is written once."""
    sine, cosine, quadrant = b.once(("circular", x), lambda: _both(b, x))
    whole = quadrant.type
    quadrant = b.add(quadrant, constant(whole, ahead)) if ahead else quadrant
    made = b.select(_odd(b, quadrant), cosine, sine)
    sign = b.bits("shl", b.bits("and", quadrant, constant(whole, 2)), constant(whole, whole.bits - 2))
    return b.as_float(b.bits("xor", b.as_int(made), sign))


def _both(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Sine and cosine of the reduced angle, and the quadrant, in integers of the size of x."""
    high, low, quadrant = reduce(b, x)
    if x.type.name != "float":
        return *_long(b, high, low), quadrant
    angle, quadrant = b.cast("fptrunc", high, x.type), b.cast("trunc", quadrant, x.type.as_int)
    square = b.mul(angle, angle)
    rest = b.mul(b.mul(square, angle), polynomial(b, square, _SIN_SINGLE))
    # The sum in doubles: the rounding of the angle would weigh twice where the sine is below a power of 2.
    sine = b.cast("fptrunc", b.add(high, b.cast("fpext", rest, high.type)), x.type)
    return sine, b.fma(square, polynomial(b, square, _COS_SINGLE), number(x, 1)), quadrant


def _odd(b: Builder, quadrant: Value) -> Value:
    whole = quadrant.type
    return b.compare("ne", b.bits("and", quadrant, constant(whole, 1)), constant(whole, 0))


def tan(b: Builder, x: Value) -> Value:
    """The tangent of radians: sine by cosine, or in odd quadrants -cosine by sine. Of floats in doubles."""
    single = x.type.name == "float"
    high, low, quadrant = reduce(b, x)
    sine, cosine = _short(b, high) if single else _long(b, high, low)
    odd = _odd(b, quadrant)
    made = b.div(b.select(odd, b.neg(cosine), sine), b.select(odd, sine, cosine))
    made = b.cast("fptrunc", made, x.type) if single else made
    return b.select(b.compare("eq", x, number(x, 0)), x, made)


def _short(b: Builder, angle: Value) -> tuple[Value, Value]:
    """Sine and cosine, in doubles, of a reduced angle for floats."""
    square = b.mul(angle, angle)
    sine = b.fma(b.mul(square, angle), polynomial(b, square, _SIN_SHORT), angle)
    return sine, b.fma(square, polynomial(b, square, _COS_SHORT), number(angle, 1))


def _long(b: Builder, high: Value, low: Value) -> tuple[Value, Value]:
    """Those of one in two pieces, as in fdlibm's k_sin.c and k_cos.c (Sun Microsystems, 1993)."""
    square, one, half = b.mul(high, high), number(high, 1), number(high, 0.5)
    cubed = b.mul(square, high)
    rest = b.fma(half, low, b.neg(b.mul(cubed, polynomial(b, square, _SIN[1:]))))
    rest = b.fma(square, rest, b.neg(low))
    sine = b.sub(high, b.fma(cubed, number(high, -_SIN[0]), rest))
    halved = b.mul(half, square)
    first = b.sub(one, halved)
    rest = b.fma(b.mul(square, square), polynomial(b, square, _COS), b.neg(b.mul(high, low)))
    return sine, b.add(first, b.add(b.sub(b.sub(one, first), halved), rest))


def _rest(b: Builder, x: Value, square: Value, single: tuple[float, ...], double: tuple[float, ...]) -> Value:
    """What an odd function is more than x: x * square * P(square).

    One chain of products: the signs of atan's coefficients alternate, and the two chains of `polynomial`, each of
    one sign, would cancel.
    """
    *rest, last = pick(x, single, double)
    total = number(x, last)
    for coefficient in reversed(rest):
        total = b.fma(square, total, number(x, coefficient))
    return b.mul(b.mul(x, square), total)


def _less(b: Builder, x: Value, y: Value, rest: Value) -> Value:
    """The difference x - y - rest, for x above y and a small rest, with the rounding error of x - y (Dekker, 1971)."""
    difference = b.sub(x, y)
    error = b.sub(b.sub(x, difference), y)
    return b.add(difference, b.sub(error, rest))


def atan(b: Builder, x: Value) -> Value:
    """The arc tangent: of more than 1 it is pi/2 less that of the reciprocal."""
    half, half_low, _, _ = _pi(x)
    one, size = number(x, 1), b.unary("fabs", x)
    large = b.compare("gt", size, one)
    t = b.select(large, b.div(one, size), size)
    rest = _rest(b, t, b.mul(t, t), _ATAN_SINGLE, _ATAN)
    complement = _less(b, half, t, b.sub(rest, half_low))
    return b.binary("copysign", b.select(large, complement, b.add(t, rest)), x)


def atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), from -pi to pi.

    The arc tangent of a ratio up to 1, taken from or added to 0, pi/2 or pi, as the octant has it.
    """
    half, half_low, whole, whole_low = _pi(x)
    zero, one = number(x, 0), number(x, 1)
    up, across = b.unary("fabs", y), b.unary("fabs", x)
    steep = b.compare("gt", up, across)
    less, more = b.select(steep, across, up), b.select(steep, up, across)
    more = b.select(b.compare("eq", more, zero), one, more)
    t = b.select(b.compare("eq", less, more), one, b.div(less, more))  # 1 also of two infinities
    left = b.compare("lt", b.as_int(x), constant(x.type.as_int, 0))
    rest = _rest(b, t, b.mul(t, t), _ATAN_SINGLE, _ATAN)
    back = b.bits("xor", steep, left)
    t, rest = b.select(back, b.neg(t), t), b.select(back, b.neg(rest), rest)
    base = b.select(steep, half, b.select(left, whole, zero))
    base_low = b.select(steep, half_low, b.select(left, whole_low, zero))
    total = b.add(base, t)
    error = b.sub(t, b.sub(total, base))
    return b.binary("copysign", b.add(total, b.add(error, b.add(rest, base_low))), y)


def _half_arc(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """Whether |x| > 1/2; the arc sine of |x| or then of sqrt((1 - |x|)/2), half of acos |x|, as a sum of two."""
    half, size = number(x, 0.5), b.unary("fabs", x)
    large = b.compare("gt", size, half)
    square = b.select(large, b.mul(b.sub(number(x, 1), size), half), b.mul(size, size))
    t = b.select(large, b.unary("sqrt", square), size)
    return large, t, _rest(b, t, square, _ASIN_SINGLE, _ASIN)


def asin(b: Builder, x: Value) -> Value:
    """The arc sine; NaN beyond 1."""
    half, half_low, _, _ = _pi(x)
    large, t, rest = _half_arc(b, x)
    complement = _less(b, half, b.add(t, t), b.sub(b.add(rest, rest), half_low))
    return b.binary("copysign", b.select(large, complement, b.add(t, rest)), x)


def acos(b: Builder, x: Value) -> Value:
    """The arc cosine; NaN beyond 1."""
    half, half_low, whole, whole_low = _pi(x)
    zero = number(x, 0)
    large, t, rest = _half_arc(b, x)
    arc = b.add(t, rest)
    left = b.compare("lt", x, zero)
    # Near 0 pi/2 - asin x; near 1 and -1 2 arc and pi - 2 arc.
    signed = b.binary("copysign", b.select(large, b.add(arc, arc), arc), b.select(large, x, b.neg(x)))
    base = b.select(large, b.select(left, whole, zero), half)
    base_low = b.select(large, b.select(left, whole_low, zero), half_low)
    return b.add(base, b.add(signed, base_low))


def asinh(b: Builder, x: Value) -> Value:
    """The inverse hyperbolic sine: log1p(|x| + x**2 / (1 + sqrt(1 + x**2)))."""
    one, size = number(x, 1), b.unary("fabs", x)
    root = b.unary("sqrt", b.fma(size, size, one))
    square = b.mul(size, size)
    sum_ = b.add(size, b.div(square, b.add(root, one)))
    return b.binary("copysign", _logarithm(b, size, sum_), x)


def acosh(b: Builder, x: Value) -> Value:
    """The inverse hyperbolic cosine: log1p(t + sqrt(t**2 + 2 t)) with t = x - 1; NaN below 1."""
    one = number(x, 1)
    t = b.sub(x, one)
    root = b.unary("sqrt", b.fma(t, t, b.add(t, t)))
    made = _logarithm(b, x, b.add(t, root))
    return b.select(b.compare("lt", x, one), number(x, math.nan), made)


def _logarithm(b: Builder, x: Value, sum_: Value) -> Value:
    """log1p of the sum, or for a large x, whose square may overflow, log(2 x)."""
    large = b.compare("gt", x, number(x, pick(x, 2.0**40, 2.0**100)))
    made = log1p(b, b.select(large, x, sum_))
    return b.add(made, b.select(large, number(x, math.log(2.0)), number(x, 0)))


def atanh(b: Builder, x: Value) -> Value:
    """The inverse hyperbolic tangent: log1p(2 |x| / (1 - |x|)) / 2; NaN beyond 1."""
    size = b.unary("fabs", x)
    made = log1p(b, b.div(b.add(size, size), b.sub(number(x, 1), size)))
    return b.binary("copysign", b.mul(made, number(x, 0.5)), x)
