"""Cases of `symgraph.ops.transcendental`; the references are those of Python's math library."""

import math
from statistics import NormalDist

from symgraph import ops
from tests.cases import Case
from tests.cases.arithmetic import pointwise, unary


def _sigmoid(x: float) -> float:
    return math.exp(x) / (1 + math.exp(x))


def _erfinv(x: float) -> float:
    return NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2)


CASES = [
    *unary("exp", ops.exp, pointwise(math.exp)),
    *unary("expm1", ops.expm1, pointwise(math.expm1)),
    *unary("exp2", ops.exp2, pointwise(math.exp2)),
    *unary("log", ops.log, pointwise(math.log), "positive"),
    *unary("log1p", ops.log1p, pointwise(math.log1p), "unit", extra=()),
    *unary("log2", ops.log2, pointwise(math.log2), "positive"),
    *unary("sqrt", ops.sqrt, pointwise(math.sqrt), "positive"),
    *unary("rsqrt", ops.rsqrt, pointwise(lambda x: x**-0.5), "positive"),
    *unary("sigmoid", ops.sigmoid, pointwise(_sigmoid)),
    *unary("softplus", ops.softplus, pointwise(lambda x: math.log1p(math.exp(x)))),
    *unary("erf", ops.erf, pointwise(math.erf)),
    *unary("erfinv", ops.erfinv, pointwise(_erfinv), "unit", extra=()),
    Case("erf", ops.erf, ("f64[400]",), pointwise(math.erf), "positive"),
    Case("erf", ops.erf, ("f32[400]",), pointwise(math.erf), "positive"),
]
