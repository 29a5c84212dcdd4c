"""The error function, which NumPy lacks: rational approximations in arithmetic alone.

They are written once, for NumPy arrays and for expressions: `on` is the module whose `abs`, `exp`, `where`,
`minimum` and `maximum` they call, `numpy` or `symgraph.ops`. So what `evaluate` computes and what a backend
without a kernel computes is the same formula, with the same rounding.
"""

from collections.abc import Sequence
from typing import Any

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
