"""`epoch`: an epoch of MNIST for the classifier of `mnist_dense`: shuffled, fed, trained; and the peak memory.

All take the batches in the same order. symgraph's come from `sg.batches`, as a user writes it; each peer gathers
rows from what its library holds the data in. MNIST is looked for below `$SYMGRAPH_DATA`.
"""

import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import count, islice
from typing import Any

import attrs
import numpy as np

from tests.benchmarks.libraries import OURS, WAYS, Array, Network, Trainer
from tests.benchmarks.networks import classifier
from tests.benchmarks.race import Case, Contender, Plan, Ready, races

_SIZE = 128
_COMPARED = 20  # losses of the first batches
_WAYS = (OURS, "NumPy by hand", "JAX", "torch", "torch.compile", "PyTensor, Numba")

Epoch = Callable[[int], Iterator[tuple[Any, Any]]]


@cache
def _examples() -> tuple[Array, Array]:
    """The pictures as rows of float32 from 0 to 1, and their digits."""
    from symgraph.data import mnist

    train = mnist(fallback=False, mirrors=()).train
    pixels = train.x.reshape(len(train.x), -1).astype(np.float32)
    pixels /= 255  # in place: what is read must not take more memory than what is trained
    return pixels, train.y.astype(np.int64)


def _network() -> Network:
    """The classifier, whose first batch stands for all."""
    x, y = _examples()
    return attrs.evolve(classifier(_SIZE), batches=lambda: [(x[:_SIZE], y[:_SIZE])])


def _ours(trainer: Trainer) -> Epoch:
    import symgraph as sg

    return lambda seed: sg.batches(_examples(), _SIZE, shuffle=True, seed=seed, drop_last=True)


def _gathered(trainer: Trainer) -> Epoch:
    from symgraph.data.batches import permutation

    x, y = map(trainer.hold, _examples())

    def epoch(seed: int) -> Iterator[tuple[Any, Any]]:
        order = trainer.hold(permutation(len(x), seed=seed))
        for start in range(0, len(x) - _SIZE + 1, _SIZE):
            rows = order[start : start + _SIZE]
            yield x[rows], y[rows]

    return epoch


def _prepare(name: str) -> Ready:
    trainer = WAYS[name].trainer(_network())
    epoch = (_ours if name == OURS else _gathered)(trainer)
    seeds = count(1)

    def step() -> None:
        for x, y in epoch(next(seeds)):
            trainer.step(x, y)

    def answers() -> Mapping[str, Array]:
        return {"losses": np.array([float(trainer.step(x, y)) for x, y in islice(epoch(0), _COMPARED)])}

    return Ready(step, answers, lambda: {"peak MiB": _peak()})


def _peak() -> float:
    """The largest resident set of this process so far, in MiB; Linux counts in KiB, macOS in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


CASES = (
    Case(
        "epoch",
        f"60,000 examples in batches of {_SIZE}, shuffled: 784-512-10, float32",
        tuple(Contender(name, partial(_prepare, name), WAYS[name].needs) for name in _WAYS),
        1e-3,
    ),
)


def run(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The race, where there is MNIST."""
    import symgraph as sg

    try:
        _examples()
    except sg.DataError as error:
        yield (
            f"left out, for there is no MNIST below $SYMGRAPH_DATA: {error.message}",
            {"left_out": error.message},
        )
        return
    yield from races(__name__, CASES, plan)
