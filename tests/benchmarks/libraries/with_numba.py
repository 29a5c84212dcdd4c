"""Numba by hand: loops over the elements, without fast-math; `parallel` runs them on all cores.

STEPS : name of a network -> weights, size of a batch -> step, which changes the weights in place
CALLS : name of a formula -> body of its loop
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

from tests.benchmarks import sea_water
from tests.benchmarks.libraries import Array, Caller, Formula, Network, Step, Trainer, Weights


def trainer(network: Network) -> Trainer:
    """The training step."""
    weights = network.start()
    return Trainer(STEPS[network.name](weights, network.rate), lambda: weights)


def caller(formula: Formula, parallel: bool = False) -> Caller:
    """The formula's value."""
    weights = [value[()] for value in formula.weights().values()]
    call = CALLS[formula.name](parallel)
    return Caller(lambda *inputs: call(*inputs, *weights))


def warm_up(parallel: bool = False) -> None:
    """Start the compiler."""
    njit(lambda x: x + 1.0)(1.0)


def xor_step(weights: Weights, rate: float) -> Step:
    """The step of the network for exclusive or: example by example, all in registers and small arrays."""
    rate = weights["W1"].dtype.type(rate)
    arrays = tuple(weights[name] for name in ("W1", "b1", "W2", "b2"))
    gradients = tuple(map(np.empty_like, arrays))
    h = np.empty_like(weights["b1"])
    one, two = rate.dtype.type(1), rate.dtype.type(2)

    @njit
    def step(x: Array, y: Array, arrays: Any, gradients: Any, h: Array) -> Any:
        (W1, b1, W2, b2), (dW1, db1, dW2, db2) = arrays, gradients
        for gradient in (db1, db2):
            gradient[:] = 0
        dW1[:] = 0
        dW2[:] = 0
        loss = one - one
        for i in range(len(x)):
            for j in range(len(b1)):
                z = b1[j]
                for k in range(x.shape[1]):
                    z += x[i, k] * W1[k, j]
                h[j] = one / (one + math.exp(-z))
            for m in range(len(b2)):
                z = b2[m]
                for j in range(len(b1)):
                    z += h[j] * W2[j, m]
                p = one / (one + math.exp(-z))
                e = p - y[i, m]
                loss += e * e
                dz = e * p * (one - p)
                db2[m] += dz
                for j in range(len(b1)):
                    dW2[j, m] += dz * h[j]
                    dh = dz * W2[j, m] * h[j] * (one - h[j])
                    db1[j] += dh
                    for k in range(x.shape[1]):
                        dW1[k, j] += dh * x[i, k]
        scale = rate * two / y.dtype.type(y.size)
        W1 -= scale * dW1
        b1 -= scale * db1
        W2 -= scale * dW2
        b2 -= scale * db2
        return loss / y.dtype.type(y.size)

    return lambda x, y: step(x, y, arrays, gradients, h)


def _each(body: Callable[..., Any]) -> Callable[[bool], Callable[..., Array]]:
    """A loop that makes an array of the first input's shape: `body` maps an element, and the weights."""

    def compiled(parallel: bool) -> Callable[..., Array]:
        element = njit(error_model="numpy")(body)

        @njit(parallel=parallel, error_model="numpy")
        def call(x: Array, *weights: Any) -> Array:
            out = np.empty_like(x)
            for i in prange(x.size):
                out[i] = element(x[i], *weights)
            return out

        return call

    return compiled


# Constants have the dtype of the numbers: a Python float would make the arithmetic float64.


def _sigmoid(x: Any, w: Any, b: Any) -> Any:
    one = type(x)(1)
    return one / (one + math.exp(-(x * w + b)))


def _softplus(x: Any) -> Any:
    return max(x, type(x)(0)) + math.log1p(math.exp(-abs(x)))


def _gelu(x: Any) -> Any:
    half, one, root = type(x)(0.5), type(x)(1), type(x)(0.7071067811865476)
    return half * x * (one + math.erf(x * root))


def _chain(parallel: bool) -> Callable[[Array], Any]:
    @njit(parallel=parallel, error_model="numpy")
    def call(x: Array) -> Any:
        number = x.dtype.type
        slope, shift, less, total = number(0.7), number(0.3), number(0.1), number(0)
        for i in prange(x.size):
            h = math.tanh(x[i] * slope + shift) * x[i] - less
            h = math.exp(-math.sqrt(abs(h))) + x[i]
            total += h * h
        return total / number(x.size)

    return call


def _line(parallel: bool) -> Callable[..., Any]:
    return njit(lambda x, w, b: x * w + b)


def _density(parallel: bool) -> Callable[..., Array]:
    density = njit(error_model="numpy")(sea_water.density_by(math.sqrt, njit(sea_water.horner)))

    @njit(parallel=parallel, error_model="numpy")
    def call(s: Array, t: Array, p: Array) -> Array:
        out = np.empty_like(s)
        for i in prange(s.size):
            out[i] = density(s[i], t[i], p[i])
        return out

    return call


STEPS: dict[str, Callable[[Weights, float], Step]] = {"xor": xor_step}
CALLS: dict[str, Callable[[bool], Callable[..., Any]]] = {
    "sigmoid": _each(_sigmoid),
    "softplus": _each(_softplus),
    "gelu": _each(_gelu),
    "chain": _chain,
    "line": _line,
    "ocean": _density,
}
