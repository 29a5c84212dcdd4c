"""`elementwise`: sigmoid(x * w + b), softplus, gelu, and a chain of twelve ops with a mean at its end."""

from tests.benchmarks.libraries import CALLED, callers
from tests.benchmarks.networks import elementwise
from tests.benchmarks.race import Case, Target

_FORMULAS = {
    "sigmoid": "sigmoid(x * w + b)",
    "softplus": "softplus(x)",
    "gelu": "gelu(x), the form with erf",
    "chain": "twelve ops, the last a mean",
}
_SIZES = (1_000, 100_000, 10_000_000)
_SMALL = 100_000  # elements up to which a lead is asked for
_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
_WAYS = (*CALLED, "Numba by hand, parallel")

CASES = tuple(
    Case(
        f"{name}, {size:,}, {dtype}",
        f"{about}, of {size:,} elements",
        callers(elementwise(name, size, dtype), _WAYS),
        _TOLERANCE[dtype],
        (Target(1 / 2),) if size <= _SMALL else (),
    )
    for name, about in _FORMULAS.items()
    for dtype in _TOLERANCE
    for size in _SIZES
)
