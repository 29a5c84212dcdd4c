"""The exponential and what is made of it: powers of e and 2, sigmoid, and the hyperbolic functions.

Each takes out a power of two and leaves a remainder in [-ln 2 / 2, ln 2 / 2] (Cody & Waite, Software Manual for the
Elementary Functions, 1980, chapter 6; Muller, Elementary Functions, 3rd edition, section 11.1), where a minimax
polynomial (Remez' algorithm, weighted for relative error) does the rest.
"""

import math

from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.lowering.llvm.maths.basic import (
    at_least,
    at_most,
    keep_tiny,
    layout,
    number,
    pick,
    polynomial,
    power_of_two,
    with_sign,
)

# (e^r - 1 - r) / r^2
_EXP = (
    (0.4999999403953552, 0.1666651964187622, 0.04166839271783829, 0.008368780836462975, 0.0013814467238262296),
    (
        0.5000000000000011, 0.1666666666666641, 0.04166666666652919, 0.008333333333495627, 0.0013888888943922556,
        0.00019841269504757152, 2.4801492762837084e-05, 2.7557587350023017e-06, 2.7630378614888184e-07,
        2.4999962752161227e-08,
    ),
)  # fmt: skip
# the same, weighted for e^r - 1
_EXPM1 = (
    (0.5, 0.16666541993618011, 0.04166628047823906, 0.008366644382476807, 0.001394655555486679),
    (
        0.5, 0.16666666666666677, 0.0416666666666667, 0.00833333333332153, 0.0013888888888866691,
        0.00019841269886402361, 2.480158736085423e-05, 2.755724391049505e-06, 2.755724249924462e-07,
        2.510914777025168e-08, 2.0924525236827663e-09,
    ),
)  # fmt: skip
# (2^r - 1) / r
EXP2 = (
    (
        0.6931471824645996, 0.24022650718688965, 0.055503275245428085, 0.009618003852665424, 0.001340040354989469,
        0.0001547644496895373,
    ),
    (
        0.6931471805599453, 0.24022650695910133, 0.05550410866482174, 0.00961812910759305, 0.001333355814637872,
        0.0001540353045846855, 1.5252733867850568e-05, 1.321543460873629e-06, 1.0178046331426182e-07,
        7.073898110308928e-09, 4.4574068756675876e-10,
    ),
)  # fmt: skip


def exp(b: Builder, x: Value) -> Value:
    """e^x."""
    x = at_most(b, x, pick(x, 89.0, 710.0))
    return exp_below(b, x)


def exp_below(b: Builder, x: Value) -> Value:
    """e^x for an x that is known to be no more than the range, such as one that is negative."""
    x = at_least(b, x, pick(x, -104.0, -746.0))
    exponent, r = _reduce(b, x, 2 * layout(x.type).bias)
    return scale(b, polynomial(b, r, (1.0, 1.0, *pick(x, *_EXP))), exponent)


def exp_bounded(b: Builder, x: Value) -> Value:
    """e^x for an x that is known to give a result that is neither denormal nor infinite."""
    exponent, r = _reduce(b, x, layout(x.type).bias)
    return b.mul(polynomial(b, r, (1.0, 1.0, *pick(x, *_EXP))), power_of_two(b, exponent))


def exp2(b: Builder, x: Value) -> Value:
    """2^x."""
    x = at_most(b, at_least(b, x, pick(x, -151.0, -1076.0)), pick(x, 129.0, 1025.0))
    whole = number(x, layout(x.type).magic + 2 * layout(x.type).bias)
    shifted = b.add(x, whole)
    r = b.sub(x, b.sub(shifted, whole))
    return scale(b, polynomial(b, r, (1.0, *pick(x, *EXP2))), b.as_int(shifted))


def expm1(b: Builder, x: Value) -> Value:
    """e^x - 1, exact to the last bits for small x too: 2^n (e^r - 1) + (2^n - 1), halved on the way, since 2^n may
    be too large where the result is not.
    """
    low = at_most(b, at_least(b, x, pick(x, -18.0, -38.0)), pick(x, 89.0, 710.0))
    exponent, r = _reduce(b, low, layout(x.type).bias - 1)
    half = power_of_two(b, exponent)
    y = b.fma(half, _expm1_small(b, r), b.sub(half, number(x, 0.5)))
    return keep_tiny(b, x, b.add(y, y))


def sigmoid(b: Builder, x: Value) -> Value:
    """1 / (1 + e^-x), as e^x / (1 + e^x) for x < 0, where that keeps the results that are tiny.

    A quotient t / (1 + e) is also t - e t / (1 + e): put into itself once, it rounds less.
    """
    one = number(x, 1.0)
    e = exp_below(b, b.neg(b.unary("fabs", x)))
    top = b.select(b.compare("lt", x, number(x, 0.0)), e, one)
    y = b.div(top, b.add(one, e))
    return b.fma(b.neg(e), y, top)


def tanh(b: Builder, x: Value) -> Value:
    """As h / (1 - h) with h = (1 - e^-2|x|) / 2, cut off where it is 1; and mended by one step, h + h tanh |x|, as in
    `sigmoid`.
    """
    size = at_most(b, b.unary("fabs", x), pick(x, 9.5, 19.5))
    exponent, r = _reduce(b, b.mul(size, number(x, -2.0)), layout(x.type).bias - 1)
    power = power_of_two(b, exponent)
    h = b.fma(b.neg(power), _expm1_small(b, r), b.sub(number(x, 0.5), power))
    y = b.div(h, b.sub(number(x, 1.0), h))
    return with_sign(b, b.fma(h, y, h), x)


def sinh(b: Builder, x: Value) -> Value:
    """(e^x - e^-x) / 2, without a quotient and without cancellation: with x = n ln 2 + r, and p = 2^n / 2 and
    q = 2^-n / 2, it is (p - q) cosh r + (p + q) sinh r.
    """
    p, q, even, odd = _halves(b, x)
    difference = b.sub(p, q)
    y = b.add(difference, b.fma(b.add(p, q), odd, b.mul(difference, even)))
    return keep_tiny(b, x, with_sign(b, b.add(y, y), x))


def cosh(b: Builder, x: Value) -> Value:
    """(e^x + e^-x) / 2, as (p + q) cosh r + (p - q) sinh r, the letters being those of `sinh`."""
    p, q, even, odd = _halves(b, x)
    y = b.add(p, b.fma(b.sub(p, q), odd, b.fma(b.add(p, q), even, q)))
    return b.add(y, y)


def _halves(b: Builder, x: Value) -> tuple[Value, Value, Value, Value]:
    """For |x| = n ln 2 + r: 2^n / 4, 2^-n / 4, cosh r - 1, sinh r; twice what is made of them is the function."""
    form = layout(x.type)
    size = at_most(b, b.unary("fabs", x), pick(x, 89.5, 710.5))
    exponent, r = _reduce(b, size, form.bias - 2)
    p = power_of_two(b, exponent)
    # 2^-n / 4 has the exponent bias - n - 2; where that would fall below 0 it counts for nothing.
    opposite = b.bits("shl", exponent, constant(exponent.type, form.mantissa))
    mirrored = b.as_float(b.sub(constant(exponent.type, 2 * form.bias - 4 << form.mantissa), opposite))
    q = b.select(b.compare("lt", size, number(x, pick(x, 30.0, 60.0))), mirrored, number(x, 0.0))
    square = b.mul(r, r)
    series = tuple(1 / math.factorial(k) for k in range(pick(x, 8, 16)))
    even = b.mul(square, polynomial(b, square, series[2::2]))
    odd = b.fma(b.mul(square, r), polynomial(b, square, series[3::2]), r)
    return p, q, even, odd


def _reduce(b: Builder, x: Value, bias: int) -> tuple[Value, Value]:
    """Split x = n ln 2 + r: n + bias in the lowest bits of an integer, and r. ln 2 is in two parts, the first so short
    that n times it is exact (Cody & Waite).
    """
    form = layout(x.type)
    whole = number(x, form.magic + bias)
    shifted = b.fma(x, number(x, 1 / math.log(2)), whole)
    n = b.sub(shifted, whole)
    r = b.fma(n, number(x, -form.ln2_high), x)
    return b.as_int(shifted), b.fma(n, number(x, -form.ln2_low), r)


def _expm1_small(b: Builder, r: Value) -> Value:
    return b.fma(b.mul(r, r), polynomial(b, r, pick(r, *_EXPM1)), r)


def scale(b: Builder, x: Value, exponent: Value) -> Value:
    """Return x 2^n, given n plus twice the bias: in two steps, of which only the second rounds, so that results may be
    denormal, or 2^n beyond the range.
    """
    half = b.bits("lshr", exponent, constant(exponent.type, 1))
    rest = b.sub(exponent, half)
    return b.mul(b.mul(x, power_of_two(b, half)), power_of_two(b, rest))
