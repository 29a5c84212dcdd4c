"""Gradients of random smooth graphs, in float64: against central differences and against JAX.

The generator keeps each graph well-conditioned, so the errors allowed are those of rounding.
"""

import numpy as np
import pytest

from symgraph.autodiff import gradient
from symgraph.compile import compile
from symgraph.derivatives import hessian_vector_product, jvp
from symgraph.errors import GradientError
from symgraph.gradient_check import check_gradient
from symgraph.lowering.interpreter import evaluate
from symgraph.verify import verify
from tests.jax_graphs import FUNCTIONS, loss_and_gradients
from tests.strategies import Sample, random_graph

GRAPHS = 400
CHUNK = 50
BY_JAX = 8  # a chunk for JAX, whose compiler takes half a second a graph
DIFFERENCES = 2e-5
JAX = 1e-9


def sample_of(seed: int, steps: int | None = None) -> tuple[Sample, list[str]]:
    """A smooth graph and its leaves."""
    sample = random_graph(seed, steps, smooth=True)
    return sample, list(sample.values)


def largest(*arrays: np.ndarray) -> float:
    return max(1e-3, *(float(np.abs(a).max(initial=0.0)) for a in arrays))


@pytest.mark.parametrize("start", range(0, GRAPHS, CHUNK))
def test_gradients_equal_central_differences(start: int) -> None:
    for seed in range(start, start + CHUNK):
        sample, wrt = sample_of(seed)
        check = check_gradient(
            sample.graph,
            wrt=[name for name in wrt if depends(sample, name)],
            values=sample.values,
            samples=5,
            seed=seed,
            raises=False,
        )
        for row in check.targets:
            # Beside terms of about 1 that cancel, differences see no more than 1e-9.
            tiny = abs(row.gradient - row.difference) <= 1e-9
            assert row.error <= DIFFERENCES or tiny, f"seed {seed}: {check}\n{sample}"


def depends(sample: Sample, name: str) -> bool:
    """Whether the loss depends on a leaf in a way that has a derivative."""
    try:
        gradient(sample.graph, wrt=name)
    except GradientError:
        return False
    return True


def by_jax() -> list[object]:
    """The chunks for JAX: 304 graphs in the default run, 400 in the long sweep."""
    return [pytest.param(k, marks=() if k < 304 else pytest.mark.heavy) for k in range(0, GRAPHS, BY_JAX)]


@pytest.mark.parametrize("start", by_jax())
def test_gradients_equal_those_of_jax(start: int) -> None:
    for seed in range(start, start + BY_JAX):
        sample, wrt = sample_of(seed, 3 + seed % 8)
        graph = verify(gradient(sample.graph, wrt=wrt, disconnected="zero"))
        found, _ = evaluate(graph, sample.values, sample.sizes)
        loss, expected = loss_and_gradients(sample.graph, sample.values, sample.sizes, wrt)
        assert abs(found["loss"] - loss) <= JAX * max(1.0, abs(loss)), sample
        for name, e in zip(wrt, expected, strict=True):
            worst = np.abs(found[f"d_loss/d_{name}"] - e).max(initial=0.0)
            assert worst <= JAX * largest(e), f"seed {seed}: {name}: {worst}\n{sample}"


@pytest.mark.parametrize("start", range(0, GRAPHS // 2, CHUNK))
def test_optimised_gradients_are_those_of_the_interpreter(start: int) -> None:
    for seed in range(start, start + CHUNK):
        sample, wrt = sample_of(seed)
        graph = gradient(sample.graph, wrt=wrt, disconnected="zero")
        expected, _ = evaluate(graph, sample.values, sample.sizes)
        found = compile(graph, backend="numpy")(sample.values)
        for name, e in expected.items():
            worst = np.abs(found[name] - e).max(initial=0.0)
            assert worst <= JAX * largest(e), f"seed {seed}: {name}: {worst}\n{sample}"


@pytest.mark.parametrize("start", range(0, GRAPHS // 4, CHUNK))
def test_forward_and_reverse_mode_agree(start: int) -> None:
    for seed in range(start, start + CHUNK):
        sample, wrt = sample_of(seed, 3 + seed % 10)
        graph = jvp(gradient(sample.graph, wrt=wrt, disconnected="zero"), "loss", wrt, disconnected="zero")
        rng = np.random.default_rng(seed)
        tangents = {f"t_{n}": np.asarray(rng.normal(size=sample.values[n].shape)) for n in wrt}
        found, _ = evaluate(graph, {**sample.values, **tangents}, sample.sizes)
        terms = [np.sum(found[f"d_loss/d_{n}"] * tangents[f"t_{n}"]) for n in wrt]
        assert abs(found["jvp_loss"] - sum(terms)) <= JAX * largest(*terms), f"seed {seed}\n{sample}"


@pytest.mark.parametrize("start", range(0, 100, CHUNK))
def test_hessians_are_symmetric(start: int) -> None:
    """u H v = v H u, for second derivatives that are derivatives of the first."""
    for seed in range(start, start + CHUNK):
        sample, wrt = sample_of(seed, 3 + seed % 8)
        graph = hessian_vector_product(sample.graph, wrt=wrt, disconnected="zero")
        rng = np.random.default_rng(seed)
        u, v = ({n: np.asarray(rng.normal(size=sample.values[n].shape)) for n in wrt} for _ in range(2))
        products = []
        for left, right in ((u, v), (v, u)):
            fed = {**sample.values, **{f"t_{n}": t for n, t in right.items()}}
            found, _ = evaluate(graph, fed, sample.sizes)
            products.append([np.sum(found[f"hvp_loss/d_{n}"] * left[n]) for n in wrt])
        uhv, vhu = products
        assert abs(sum(uhv) - sum(vhu)) <= 1e-8 * largest(*uhv, *vhu), f"seed {seed}\n{sample}"


def test_jax_knows_every_smooth_op_of_the_generator() -> None:
    names = {n.op.name for seed in range(100) for n in sample_of(seed)[0].graph.nodes}
    assert names - FUNCTIONS.keys() <= {"constant", "placeholder", "variable"}
    assert len(names) > 45


def test_a_wrong_gradient_would_be_found() -> None:
    """The tolerances see a relative error of 1e-4: the gradient of another function that is as far away."""
    sample, wrt = sample_of(3)
    graph = gradient(sample.graph, wrt=wrt, disconnected="zero")
    found, _ = evaluate(graph, sample.values, sample.sizes)
    _, expected = loss_and_gradients(sample.graph, sample.values, sample.sizes, wrt)
    moved = [found[f"d_loss/d_{n}"] * (1 + 1e-4) for n in wrt]
    assert any(
        np.abs(m - e).max(initial=0.0) > JAX * largest(e) for m, e in zip(moved, expected, strict=True)
    )
