"""`lenet`: a step of SGD of LeNet-5 on images of 28 by 28 pixels, batch 128, float32; the loss is returned."""

from tests.benchmarks.libraries import OURS, trainers
from tests.benchmarks.networks import lenet
from tests.benchmarks.race import Case, Target

RIVALS = (
    "JAX",
    "torch",
    "torch, channels last",
    "torch.compile",
    "torch.compile, channels last",
    "PyTensor, C",
)
CASES = (
    Case(
        "lenet",
        "LeNet-5: 5x5x6, 5x5x16, 120, 84, 10, relu, max_pool2d, batch 128, float32: a step of SGD",
        trainers(lenet(), (OURS, "symgraph, 1 thread", "symgraph, NumPy", *RIVALS)),
        1e-3,
        (Target(1.0, RIVALS),),
    ),
)
