"""The NumPy backend against the interpreter, on every case of every op."""

import numpy as np
import pytest

from symgraph.compile import compile
from symgraph.define import define
from symgraph.expr import placeholder
from symgraph.lowering import plan
from tests.cases import Case, all_cases

# Expansions round differently from the ops' own `evaluate`; in units of the dtype's epsilon.
TOLERANCE = 64


def executables(case: Case):
    inputs = [placeholder(f"x{i}", t.shape, t.dtype) for i, t in enumerate(case.operand_types)]
    graph = define(y=case.function(*inputs))
    feeds = {f"x{i}": value for i, value in enumerate(case.draw()) if f"x{i}" in graph.placeholders}
    return compile(graph, backend="interpreter", passes=()), compile(graph, backend="numpy"), feeds


def assert_agree(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        return
    epsilon = TOLERANCE * np.finfo(got.dtype).eps
    scale = float(np.max(np.abs(wanted), initial=1.0, where=np.isfinite(wanted)))
    np.testing.assert_allclose(got, wanted, rtol=epsilon, atol=epsilon * scale)


@pytest.mark.parametrize("loops", [False, True], ids=["whole", "blocks"])
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_numpy_agrees_with_the_interpreter(case: Case, loops: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if loops:
        monkeypatch.setattr(plan, "LOOP_ABOVE", 0)
        monkeypatch.setattr(plan, "BLOCK_BYTES", 24)
    reference, numpy, feeds = executables(case)
    wanted = reference(feeds)["y"]
    kept = {name: value.copy() for name, value in feeds.items()}
    for _ in range(2):  # the second call meets a used workspace
        assert_agree(numpy(feeds)["y"], wanted)
    for name, value in feeds.items():
        np.testing.assert_array_equal(value, kept[name])


@pytest.mark.parametrize("case", [c for c in all_cases() if c.operand_types], ids=str)
def test_strided_feeds(case: Case) -> None:
    reference, numpy, feeds = executables(case)
    wanted = reference(feeds)["y"]
    strided = {}
    for name, value in feeds.items():
        wide = np.zeros((*value.shape, 2), value.dtype)
        wide[..., 0] = value
        strided[name] = np.asfortranarray(value) if value.ndim > 1 else wide[..., 0]
    assert_agree(numpy(strided)["y"], wanted)
