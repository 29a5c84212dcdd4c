"""The error function, in two halves, and its inverse, which is that of `symgraph.ops.special`.

Up to 1 it is x + x P(x^2); above, 1 - exp(G(|x|)), where G = log erfc is smooth, and counts for less and less. P and G
are minimax polynomials (Remez' algorithm, weighted for the relative error of erf).
"""

import math

from symgraph.lowering.llvm.emit import Builder, Value
from symgraph.lowering.llvm.maths.basic import at_most, number, pick, polynomial, with_sign
from symgraph.lowering.llvm.maths.exponential import exp_bounded
from symgraph.lowering.llvm.maths.logarithm import log
from symgraph.ops import special

_INNER = (
    (
        0.12837916612625122,
        -0.3761262595653534,
        0.1128358468413353,
        -0.026853807270526886,
        0.005188317969441414,
        -0.0008010101155377924,
        7.853528222767636e-05,
    ),
    (
        0.12837916709551256,
        -0.3761263890318352,
        0.11283791670944174,
        -0.026866170643109717,
        0.005223977606103672,
        -0.0008548325928586333,
        0.00012055293554627055,
        -1.4924711865491408e-05,
        1.6447126087586765e-06,
        -1.6206271067788843e-07,
        1.3710792924897279e-08,
        -7.779113572490677e-10,
    ),
)
_OUTER = (
    (
        -0.0003413116792216897,
        -1.1270899772644043,
        -0.6381434798240662,
        -0.10310786217451096,
        0.02183857560157776,
        -0.002947781467810273,
        0.00018639126210473478,
    ),
    (
        -2.0650530688339783e-07,
        -1.1283770575138707,
        -0.6366297699518095,
        -0.10274351084562865,
        0.01907057076106067,
        0.0002918200508997345,
        -0.001781927155554668,
        0.000652684091873369,
        -5.293382008793536e-05,
        -6.581087063775024e-05,
        4.2993212167628755e-05,
        -1.5782991009594044e-05,
        4.120310842177331e-06,
        -8.04957400932513e-07,
        1.1802466687727558e-07,
        -1.2674662885677456e-08,
        9.43878207035425e-10,
        -4.360933938563233e-11,
        9.418755215830634e-13,
    ),
)


def erf(b: Builder, x: Value) -> Value:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    size = at_most(b, b.unary("fabs", x), pick(x, 4.0, 5.95))
    inner = b.fma(x, polynomial(b, b.mul(size, size), pick(x, *_INNER)), x)
    e = exp_bounded(b, polynomial(b, size, pick(x, *_OUTER)))
    outer = with_sign(b, b.sub(number(x, 1.0), e), x)
    return b.select(b.compare("lt", size, number(x, 1.0)), inner, outer)


def erfinv(b: Builder, x: Value) -> Value:
    """The inverse of erf: x times a polynomial of w = -log(1 - x^2), or of its root where that is large."""
    one = number(x, 1.0)
    w = b.neg(log(b, b.mul(b.sub(one, x), b.add(one, x))))
    bound, centre = pick(x, (5.0, 2.5), (6.25, 3.125))
    near = polynomial(b, b.sub(w, number(x, centre)), pick(x, special.ERFINV_NEAR32, special.ERFINV_NEAR64))
    far = b.compare("ge", w, number(x, bound))  # of few x, and so of few vectors
    (factor,) = b.unless(b.any(far), [near], lambda: [b.select(far, _erfinv_far(b, w), near)])
    ends = b.compare("eq", b.unary("fabs", x), one)
    return b.mul(x, b.select(ends, number(x, math.inf), factor))


def _erfinv_far(b: Builder, w: Value) -> Value:
    root = b.unary("sqrt", w)
    if w.type.name == "float":
        return polynomial(b, b.sub(root, number(w, 3.0)), special.ERFINV_FAR32)
    middle = polynomial(b, b.sub(root, number(w, 3.25)), special.ERFINV_MIDDLE64)
    far = polynomial(b, b.sub(root, number(w, 5.0)), special.ERFINV_FAR64)
    return b.select(b.compare("lt", w, number(w, 16.0)), middle, far)
