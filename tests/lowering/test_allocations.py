"""In the steady state a training step on the NumPy backend makes no arrays: its buffers are there already."""

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import symgraph as sg
from models import logistic_regression, logistic_regression_graph, one_hidden_layer

_LIMIT = 4096  # bytes: the objects of a call; any array of these steps is larger, or there are several
_STEPS, _WINDOWS = 20, 5


@pytest.fixture(autouse=True)
def small_ufunc_buffers() -> Iterator[None]:
    """NumPy's ufuncs copy a broadcast operand to a buffer of up to 8192 elements, whatever the arrays' size. With
    the smallest buffers those copies do not count, and arrays stand out.
    """
    before = np.setbufsize(16)
    yield
    np.setbufsize(before)


def growth(step: Callable[[], object]) -> int:
    """The largest growth of traced memory at any moment of some steps, in bytes.

    It is the least of several windows: what a step makes is in all of them, what another thread of the test
    run makes meanwhile in one.
    """
    tracemalloc.start()
    try:
        windows = []
        for _ in range(1 + _WINDOWS):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(_STEPS):
                step()
            windows.append(tracemalloc.get_traced_memory()[1] - before)
        return min(windows[1:])  # the first warms up
    finally:
        tracemalloc.stop()


def batch(size: int, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.random((size, 784)).astype(dtype), (draw.random((size, 1)) < 0.1).astype(dtype)


def training(graph: sg.Graph, x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    session = sg.Session(graph, backend="numpy", seed=0)
    step = session.prepare("loss", ("x", "y"), update="train")
    return lambda: step(x, y)


@pytest.mark.parametrize("model", [logistic_regression, logistic_regression_graph])
def test_logistic_regression(model):
    assert growth(training(model.graph(), *batch(1000))) < _LIMIT


def test_one_hidden_layer():
    assert growth(training(one_hidden_layer.graph(), *batch(100))) < _LIMIT


def classifier(rows: int) -> Callable[[], object]:
    x, y = sg.placeholder("x", ("batch", 784)), sg.placeholder("y", ("batch",), "int64")
    W1 = sg.variable("W1", (784, 512), init=sg.init.he_uniform)
    W2 = sg.variable("W2", (512, 10), init=sg.init.he_uniform)
    b1, b2 = sg.variable("b1", (512,)), sg.variable("b2", (10,))
    z = sg.relu(x @ W1 + b1) @ W2 + b2
    graph = sg.define(loss=sg.mean(sg.softmax_cross_entropy(z, y)))
    labels = np.arange(rows) % 10
    return training(sg.train.minimize(graph, "loss", sg.train.sgd(0.01)), batch(rows, "float32")[0], labels)


@pytest.mark.parametrize("rows", [128, 2000])  # one block, and loops over blocks of rows
def test_classifier(rows):
    assert growth(classifier(rows)) < _LIMIT


def test_the_measure_sees_one_small_array():
    assert growth(lambda: np.empty(_LIMIT, np.uint8)) >= _LIMIT
