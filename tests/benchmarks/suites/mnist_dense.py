"""`mnist_dense`: a step of a 784-512-10 softmax classifier by SGD, Adam or RMSprop; the loss is returned."""

from tests.benchmarks.libraries import OURS, TRAINED, trainers
from tests.benchmarks.networks import classifier
from tests.benchmarks.race import Case, Target


def _with(optimizer: str, name: str) -> Case:
    """The same network with another optimizer: torch's own kernels, optax's with JAX, the others by hand."""
    ways = (OURS, "symgraph, 1 thread", "symgraph, NumPy", "NumPy by hand", "JAX, optax", "torch")
    return Case(
        f"mnist_dense_{optimizer}",
        f"784-512-10, relu, softmax cross-entropy, batch 128, float32: a step of {name}",
        trainers(classifier(optimizer=optimizer), (*ways, "PyTensor, Numba", "PyTensor, C")),
        1e-4,
        (
            Target(1.0, ("torch",)),
            Target(1 / 1.6, ("NumPy by hand", "PyTensor, Numba", "PyTensor, C")),
        ),
    )


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
    _with("adam", "Adam"),
    _with("rmsprop", "RMSprop"),
)
