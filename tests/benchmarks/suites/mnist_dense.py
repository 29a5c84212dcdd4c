"""`mnist_dense`: a step of SGD of a 784-512-10 softmax classifier, batch 128, float32; the loss is returned."""

from tests.benchmarks.libraries import OURS, TRAINED, trainers
from tests.benchmarks.networks import classifier
from tests.benchmarks.race import Case, Target

CASES = (
    Case(
        "mnist_dense",
        "784-512-10, relu, softmax cross-entropy, batch 128, float32: a step of SGD",
        trainers(classifier(), (OURS, "symgraph, 1 thread", *TRAINED[1:], "JAX, optax", "autograd")),
        1e-4,
        (
            Target(1 / 1.5, ("torch",)),
            Target(1 / 1.6, ("NumPy by hand",)),
            Target(1 / 2.3, ("JAX", "JAX, optax", "PyTensor, Numba", "PyTensor, C")),
            Target(1.0, ("torch",), ours="symgraph, 1 thread"),
        ),
    ),
)
