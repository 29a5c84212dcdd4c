"""JAX as an independent answer: values and cotangents of functions by the names of the cases.

Importing this module turns on JAX's 64-bit mode for the process.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

_SAME_NAME = [
    "abs",
    "add",
    "ceil",
    "cos",
    "cosh",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "not_equal",
    "ones_like",
    "reciprocal",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
    "where",
    "zeros_like",
]

ORACLES: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in _SAME_NAME},
    "neg": jnp.negative,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": jnp.divide,
    "pow": jnp.power,
    "rsqrt": jax.lax.rsqrt,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "atan2": jnp.arctan2,
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "erf": jax.scipy.special.erf,
    "erfinv": jax.scipy.special.erfinv,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu approximate": lambda x: jax.nn.gelu(x, approximate=True),
    "silu": jax.nn.silu,
    "clip": lambda x, low=-0.5, high=0.75: jnp.clip(x, low, high),
}


def value_and_cotangents(
    function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The value, and the cotangents of the float operands (none where `cotangent` is None)."""
    floats = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]

    def of_floats(*values: Any) -> Any:
        operands = list(arrays)
        for i, value in zip(floats, values, strict=True):
            operands[i] = value
        return function(*operands)

    if cotangent is None:
        return np.asarray(of_floats(*(jnp.asarray(arrays[i]) for i in floats))), []
    value, pull = jax.vjp(of_floats, *(jnp.asarray(arrays[i]) for i in floats))
    return np.asarray(value), [np.asarray(part) for part in pull(jnp.asarray(cotangent))]
