"""`numpy`: a training step of the NumPy backend against the same step written by hand in NumPy.

The talk's three networks with their own graphs, and the classifier of `mnist_dense`. A step takes a batch, returns
the loss and changes the weights.
"""

import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import numpy as np

from tests.benchmarks.libraries import Network, trainers
from tests.benchmarks.networks import classifier, hidden, logistic
from tests.benchmarks.race import Case, Contender, Ready, Target

_TRACED = 100


def allocated(step: Callable[[], Any]) -> int:
    """The largest growth of traced memory, in bytes, at any moment of 100 steps in the steady state.

    NumPy's ufuncs copy a broadcast operand to a buffer of up to 8192 elements, however large the arrays are; with the
    smallest buffers these do not hide the arrays that a step makes.
    """
    before_buffers = np.setbufsize(16)
    tracemalloc.start()
    try:
        for _ in range(10):
            step()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(_TRACED):
            step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
        np.setbufsize(before_buffers)


def _watched(contender: Contender) -> Contender:
    """The same contender, which tells what a step allocates."""

    def prepare() -> Ready:
        ready = contender.prepare()
        return attrs.evolve(ready, figures=lambda: {"peak bytes allocated": allocated(ready.step)})

    return attrs.evolve(contender, prepare=prepare)


def _case(name: str, about: str, network: Network, tolerance: float) -> Case:
    contenders = trainers(network, ("symgraph, NumPy", "NumPy by hand"))
    return Case(name, about, tuple(map(_watched, contenders)), tolerance, (Target(1.0),))


_logistic = partial(logistic, "float64")
CASES = (
    _case(
        "logistic_regression",
        "the gradient written in the graph, batch 1000, float64",
        _logistic(by_hand=True),
        1e-9,
    ),
    _case(
        "logistic_regression_graph",
        "the gradient found, batch 1000, float64",
        _logistic(by_hand=False),
        1e-9,
    ),
    _case("one_hidden_layer", "64 sigmoids, batch 100, float64", hidden("float64"), 1e-9),
    _case(
        "classifier",
        "784-512-10, relu, softmax cross-entropy, batch 128, float32",
        classifier(),
        1e-4,
    ),
)
