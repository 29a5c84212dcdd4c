"""`xor`: a step of SGD of a 2-10-2 network of sigmoids, batch 50, squared error; the loss is returned."""

from tests.benchmarks.libraries import TRAINED, trainers
from tests.benchmarks.networks import xor
from tests.benchmarks.race import Case, Target

CASES = (
    Case(
        "xor",
        "2-10-2 sigmoids, mean squared error, batch 50, float32: a step of SGD",
        trainers(xor(), (*TRAINED, "Numba by hand", "JAX, optax", "autograd")),
        1e-5,
        (Target(1 / 5), Target(seconds=3e-6)),
    ),
)
