"""The error function and its inverse, which NumPy lacks: approximations in arithmetic alone.

Those of erf are written once, for NumPy arrays and for expressions: `on` is the module whose `abs`, `exp`,
`where`, `minimum` and `maximum` they call, `numpy` or `symgraph.ops`. So what `evaluate` computes and what a
backend without a kernel computes is the same formula, with the same rounding. The inverse is for arrays.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgraph.ir import Array

# Float32: a single odd rational function on [-4, 4], beyond which erf rounds to 1. The coefficients are those
# of XLA and Eigen (unsupported/Eigen/src/SpecialFunctions), highest power of x**2 first.
_P32 = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_Q32 = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)

# Float64: s_erf.c of fdlibm (Sun Microsystems, 1993), by its names for the coefficients, lowest power first.
_PP = (
    1.28379167095512558561e-01,
    -3.25042107247001499370e-01,
    -2.84817495755985104766e-02,
    -5.77027029648944159157e-03,
    -2.37630166566501626084e-05,
)
_QQ = (
    1.0,
    3.97917223959155352819e-01,
    6.50222499887672944485e-02,
    5.08130628187576562776e-03,
    1.32494738004321644526e-04,
    -3.96022827877536812320e-06,
)
_ERX = 8.45062911510467529297e-01
_PA = (
    -2.36211856075265944077e-03,
    4.14856118683748331666e-01,
    -3.72207876035701323847e-01,
    3.18346619901161753674e-01,
    -1.10894694282396677476e-01,
    3.54783043256182359371e-02,
    -2.16637559486879084300e-03,
)
_QA = (
    1.0,
    1.06420880400844228286e-01,
    5.40397917702171048937e-01,
    7.18286544141962662868e-02,
    1.26171219808761642112e-01,
    1.36370839120290507362e-02,
    1.19844998467991074170e-02,
)
_RA = (
    -9.86494403484714822705e-03,
    -6.93858572707181764372e-01,
    -1.05586262253232909814e01,
    -6.23753324503260060396e01,
    -1.62396669462573470355e02,
    -1.84605092906711035994e02,
    -8.12874355063065934246e01,
    -9.81432934416914548592e00,
)
_SA = (
    1.0,
    1.96512716674392571292e01,
    1.37657754143519042600e02,
    4.34565877475229228821e02,
    6.45387271733267880336e02,
    4.29008140027567833386e02,
    1.08635005541779435134e02,
    6.57024977031928170135e00,
    -6.04244152148580987438e-02,
)
_RB = (
    -9.86494292470009928597e-03,
    -7.99283237680523006574e-01,
    -1.77579549177547519889e01,
    -1.60636384855821916062e02,
    -6.37566443368389627722e02,
    -1.02509513161107724954e03,
    -4.83519191608651397019e02,
)
_SB = (
    1.0,
    3.03380607434824582924e01,
    3.25792512996573918826e02,
    1.53672958608443695994e03,
    3.19985821950859553908e03,
    2.55305040643316442583e03,
    4.74528541206955367215e02,
    -2.24409524465858183362e01,
)


# The inverse of erf: x times a function of w = -log(1 - x**2), which goes with the root of w where that is large
# (Giles, "Approximating the erfinv function", 2011). Polynomials at Chebyshev's nodes, lowest power first: of
# w - 2.5 and sqrt(w) - 3 in float32; of w - 3.125, sqrt(w) - 3.25 and sqrt(w) - 5 in float64.
ERFINV_NEAR32 = (
    1.501409360450329,
    0.24664027905463662,
    -0.004177392875203149,
    -0.001252726391773229,
    0.00021834938623976644,
    -4.9724196894547514e-06,
    -3.4639852676333717e-06,
    4.6813134805534123e-07,
    2.3335967195708108e-08,
    -8.931925970244222e-09,
)
ERFINV_FAR32 = (
    2.8329768045150887,
    1.001674932096209,
    0.00944513221908689,
    -0.007636818943593038,
    0.0056880583343584925,
    -0.0035992807395330215,
    0.001482690691510397,
    -5.372657076308136e-05,
    -0.00030791328114037556,
    0.00011390817383297678,
)
ERFINV_NEAR64 = (
    1.6536545626831027,
    0.24015818242558834,
    -0.006033670871426851,
    -0.0007407025341546431,
    0.00018673420801981186,
    -1.3882523393957483e-05,
    -1.3654691758785656e-06,
    4.23478816822246e-07,
    -2.907039127564132e-08,
    -4.1126604371632185e-09,
    1.051223377050429e-09,
    -5.414303283919504e-11,
    -1.2978805369932565e-11,
    2.6305268312595183e-12,
    -8.07192593899004e-14,
    -4.0020031087558496e-14,
    6.521333511502239e-15,
    -3.94018812230432e-17,
    -1.2215637192404172e-16,
    1.5510787009902526e-17,
    6.075050702072414e-19,
    -3.4734793888538036e-19,
    1.999259988861535e-20,
    3.194015548136271e-21,
    -3.5932028927020693e-22,
)
ERFINV_MIDDLE64 = (
    3.0838856104922208,
    1.0052589676941655,
    0.005370914553555033,
    -0.0037512085082247342,
    0.00249144209795696,
    -0.0016882755354488555,
    0.0009532893415794137,
    -0.0003550378137852452,
    2.4031512865758357e-05,
    6.828711739251955e-05,
    -4.732068066544697e-05,
    1.2465028224217455e-05,
    2.93257845538535e-06,
    -3.985705945648173e-06,
    1.4815977874022539e-06,
    -2.761716223816241e-08,
    -2.4549818963339823e-07,
    1.3158663683192966e-07,
    -2.091453334773126e-08,
    -1.5305397964152548e-08,
    7.680200479077053e-09,
)
ERFINV_FAR64 = (
    4.849906401408584,
    1.0103004648645455,
    -0.00013871931837490978,
    -0.00021503011983176173,
    7.599527795572463e-05,
    -1.968177065090797e-05,
    4.5260539817712815e-06,
    -9.930296692184754e-07,
    2.2904532246081713e-07,
    -6.75553063722227e-08,
    2.9040258989220123e-08,
    -1.5256673202852047e-08,
    7.784923370804637e-09,
    -3.469670973211961e-09,
    1.3518911214656604e-09,
    -4.3846761630243694e-10,
    5.055364219128875e-11,
    4.3070321963774864e-11,
    -1.6197071045640154e-11,
)


def _horner(x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial of x, its highest coefficient first."""
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def _ratio(x: Any, above: Sequence[float], below: Sequence[float]) -> Any:
    """The quotient of two polynomials of x, their lowest coefficients first."""
    return _horner(x, above[::-1]) / _horner(x, below[::-1])


def erf32(x: Any, on: Any) -> Any:
    """The erf of float32 operands, within 7 ulp; NaN stays NaN."""
    near = on.minimum(on.maximum(x, -4.0), 4.0)
    squared = near * near
    value = near * _horner(squared, _P32) / _horner(squared, _Q32)
    return on.minimum(on.maximum(value, -1.0), 1.0)


def erf64(x: Any, on: Any) -> Any:
    """The erf of float64 operands, within 1 ulp; NaN stays NaN.

    Four ranges of |x|, each with its approximation, all computed and one chosen.
    """
    a = on.minimum(on.abs(x), 6.0)  # erf(6) rounds to 1
    small = on.minimum(a, 0.84375)
    small = x + x * _ratio(small * small, _PP, _QQ)
    middle = on.minimum(a, 1.25) - 1.0
    middle = _ERX + _ratio(middle, _PA, _QA)
    # |x| of 0 is moved to where 1 / x**2 is finite.
    tail = on.maximum(a, 1.25)
    inverse = 1.0 / (tail * tail)
    exponent = on.where(a < 1.0 / 0.35, _ratio(inverse, _RA, _SA), _ratio(inverse, _RB, _SB))
    large = 1.0 - on.exp(exponent - tail * tail - 0.5625) / tail
    far = on.where(a < 1.25, middle, large)
    return on.where(a < 0.84375, small, on.where(x < 0.0, -far, far))


def erfinv32(x: Array) -> Array:
    """The inverse of erf for float32 arrays, within 3 ulp: infinite at -1 and 1, NaN beyond."""
    w = -np.log((1.0 - x) * (1.0 + x))
    near = _evaluated(np.minimum(w, 5.0) - 2.5, ERFINV_NEAR32)
    return _inverse(x, w, near, 5.0, lambda w: _evaluated(np.sqrt(np.minimum(w, 16.5)) - 3.0, ERFINV_FAR32))


def erfinv64(x: Array) -> Array:
    """The inverse of erf for float64 arrays, within 3 ulp: infinite at -1 and 1, NaN beyond."""
    w = -np.log((1.0 - x) * (1.0 + x))
    near = _evaluated(np.minimum(w, 6.25) - 3.125, ERFINV_NEAR64)
    return _inverse(x, w, near, 6.25, _far64)


def _far64(w: Array) -> Array:
    root = np.sqrt(np.minimum(w, 36.5))
    middle = _evaluated(np.minimum(root, 4.0) - 3.25, ERFINV_MIDDLE64)
    return np.where(w < 16.0, middle, _evaluated(np.maximum(root, 4.0) - 5.0, ERFINV_FAR64))


def _evaluated(x: Array, coefficients: Sequence[float]) -> Array:
    """The polynomial of x, its lowest coefficient first, in memory of its own."""
    value = np.asarray(x * coefficients[-1])
    for coefficient in coefficients[-2:0:-1]:
        value += coefficient
        value *= x
    value += coefficients[0]
    return value


def _inverse(x: Array, w: Array, factor: Array, bound: float, tail: Callable[[Array], Array]) -> Array:
    """The product of x and its factor, which is that of the tail for the few x whose w reaches the bound."""
    far = w >= bound
    if np.any(far):
        factor[far] = tail(np.asarray(w)[far])
        factor[np.abs(x) == 1.0] = math.inf
    return np.asarray(x * factor)
