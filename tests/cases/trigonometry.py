"""Cases of `symgraph.ops.trigonometry`; the references are those of Python's math library."""

import math

from symgraph import ops
from tests.cases.arithmetic import binary, pointwise, unary

CASES = [
    *unary("sin", ops.sin, pointwise(math.sin)),
    *unary("cos", ops.cos, pointwise(math.cos)),
    *unary("tan", ops.tan, pointwise(math.tan), "unit"),
    *unary("asin", ops.asin, pointwise(math.asin), "unit", extra=()),
    *unary("acos", ops.acos, pointwise(math.acos), "unit", extra=()),
    *unary("atan", ops.atan, pointwise(math.atan)),
    *unary("sinh", ops.sinh, pointwise(math.sinh)),
    *unary("cosh", ops.cosh, pointwise(math.cosh)),
    *unary("tanh", ops.tanh, pointwise(math.tanh)),
    *unary("asinh", ops.asinh, pointwise(math.asinh)),
    *unary("acosh", ops.acosh, pointwise(math.acosh), "above_one"),
    *unary("atanh", ops.atanh, pointwise(math.atanh), "unit", extra=()),
    *binary("atan2", ops.atan2, pointwise(math.atan2), ("normal", "positive")),
]
