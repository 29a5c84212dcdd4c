"""`overhead`: a call that computes next to nothing, w x + b of numbers: what is left is the cost of a call."""

from tests.benchmarks.libraries import OURS, callers
from tests.benchmarks.networks import line
from tests.benchmarks.race import Case, Target

_WAYS = (
    OURS,
    "symgraph, Session.run",
    "NumPy by hand",
    "Numba by hand",
    "JAX",
    "JAX, compiled ahead",
    "torch",
)
_WAYS += ("torch.compile", "PyTensor, Numba", "PyTensor, C")

CASES = (
    Case(
        "overhead",
        "w x + b of numbers, float32: a prepared call, beside `Session.run` and the peers'",
        callers(line(), _WAYS),
        1e-6,
        (Target(seconds=3e-6),),
    ),
)
