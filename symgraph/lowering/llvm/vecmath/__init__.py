"""Elementary functions as inline code, on scalars and vectors of floats and doubles, without a library.

Infinities, NaN, -0 and denormals, given or resulting, are as C99 (annex F) has them.
"""

from symgraph.lowering.llvm.vecmath.basic import polynomial
from symgraph.lowering.llvm.vecmath.bounds import ULP, ULP_UNFUSED
from symgraph.lowering.llvm.vecmath.error import erf
from symgraph.lowering.llvm.vecmath.exponential import cosh, exp, exp2, expm1, sigmoid, sinh, tanh
from symgraph.lowering.llvm.vecmath.logarithm import log, log1p, log2, softplus, softplus_tail
from symgraph.lowering.llvm.vecmath.power import pow, reciprocal, rsqrt

__all__ = [
    "ULP", "ULP_UNFUSED", "cosh", "erf", "exp", "exp2", "expm1", "log", "log1p", "log2", "polynomial", "pow",
    "reciprocal", "rsqrt", "sigmoid", "sinh", "softplus", "softplus_tail", "tanh",
]  # fmt: skip
