"""`deep`: a step of SGD of twenty layers, 256 wide, each a product, layer_norm and gelu; batch 64, float32."""

from tests.benchmarks.libraries import trainers
from tests.benchmarks.networks import deep
from tests.benchmarks.race import Case, Target

CASES = (
    Case(
        "deep",
        "20 layers of a product, layer_norm and gelu, 256 wide, batch 64, float32: a step of SGD",
        trainers(deep()),
        2e-3,  # twenty layers magnify the rounding of the first
        (Target(1.0), Target(1 / 1.3)),
    ),
)
