"""Elementary functions as inline code, on scalars and vectors of floats and doubles, without a library.

Infinities, NaN, -0 and denormals, given or resulting, are as C99 (annex F) has them.
"""

from symgraph.lowering.llvm.maths.basic import polynomial
from symgraph.lowering.llvm.maths.bounds import ULP, ULP_UNFUSED
from symgraph.lowering.llvm.maths.error import erf, erfinv
from symgraph.lowering.llvm.maths.exponential import cosh, exp, exp2, expm1, sigmoid, sinh, tanh
from symgraph.lowering.llvm.maths.logarithm import log, log1p, log2, softplus, softplus_tail
from symgraph.lowering.llvm.maths.power import pow, reciprocal, rsqrt
from symgraph.lowering.llvm.maths.trigonometry import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    sin,
    tan,
)

__all__ = [
    "ULP", "ULP_UNFUSED", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "erf", "erfinv",
    "exp", "exp2", "expm1", "log", "log1p", "log2", "polynomial", "pow", "reciprocal", "rsqrt", "sigmoid", "sin",
    "sinh", "softplus", "softplus_tail", "tan", "tanh",
]  # fmt: skip
