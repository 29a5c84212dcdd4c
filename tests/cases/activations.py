"""Cases of `symgraph.ops.activations`; the references follow the papers' formulas, in Python numbers."""

import math

import numpy as np

from symgraph import ops
from tests.cases import Case
from tests.cases.arithmetic import pointwise, unary

_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805


def _gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


CASES = [
    *unary("relu", ops.relu, lambda x: np.where(x > 0, x, 0).astype(x.dtype), smooth=False, exact=True),
    *unary("leaky_relu", ops.leaky_relu, pointwise(lambda x: x if x > 0 else 0.01 * x), smooth=False),
    Case(
        "leaky_relu 0.3",
        lambda x: ops.leaky_relu(x, 0.3),
        ("f64[9]",),
        pointwise(lambda x: x if x > 0 else 0.3 * x),
        smooth=False,
    ),
    *unary("elu", ops.elu, pointwise(lambda x: x if x > 0 else math.exp(x) - 1)),
    Case(
        "elu 0.5",
        lambda x: ops.elu(x, 0.5),
        ("f64[9]",),
        pointwise(lambda x: x if x > 0 else 0.5 * math.expm1(x)),
    ),
    *unary("selu", ops.selu, pointwise(lambda x: _SCALE * (x if x > 0 else _ALPHA * math.expm1(x)))),
    *unary("gelu", ops.gelu, pointwise(lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2)),
    *unary("gelu approximate", lambda x: ops.gelu(x, approximate=True), pointwise(_gelu_tanh)),
    *unary("silu", ops.silu, pointwise(lambda x: x / (1 + math.exp(-x)))),
]
