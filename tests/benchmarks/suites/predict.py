"""`predict`: the forward pass alone of the classifier of `mnist_dense`, at batch 1, 32 and 1024."""

from tests.benchmarks.libraries import OURS, callers
from tests.benchmarks.networks import classify
from tests.benchmarks.race import Case, Target

_WAYS = (OURS, "NumPy by hand", "JAX", "torch", "torch.compile", "PyTensor, Numba", "PyTensor, C")

CASES = tuple(
    Case(
        f"predict, {size}",
        f"784-512-10, the logits of a batch of {size}, float32",
        callers(classify(size), _WAYS),
        1e-4,
        (Target(1 / 3),) if size == 1 else (),
    )
    for size in (1, 32, 1024)
)
