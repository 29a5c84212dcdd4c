"""The other backends against the interpreter, on every case of every op."""

import numpy as np
import pytest

from symgraph.compile import compile
from symgraph.define import define
from symgraph.expr import placeholder
from symgraph.lowering import plan
from symgraph.lowering.llvm import (
    checks,
    extremes,
    factorisation,
    indexing,
    loops,
    planner,
    scans,
    sorting,
    sweeps,
)
from symgraph.transforms.expand import expand_pass
from symgraph.transforms.pipeline import optimise
from tests.cases import Case, all_cases

# Expansions round differently from the ops' own `evaluate`; in units of the dtype's epsilon.
TOLERANCE = 64


def executables(case: Case, backend: str):
    inputs = [placeholder(f"x{i}", t.shape, t.dtype) for i, t in enumerate(case.operand_types)]
    graph = define(y=case.function(*inputs))
    feeds = {f"x{i}": value for i, value in enumerate(case.draw()) if f"x{i}" in graph.placeholders}
    return compile(graph, backend="interpreter", passes=()), compile(graph, backend=backend), feeds


def assert_agree(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
        return
    epsilon = TOLERANCE * np.finfo(got.dtype).eps
    scale = float(np.max(np.abs(wanted), initial=1.0, where=np.isfinite(wanted)))
    np.testing.assert_allclose(got, wanted, rtol=epsilon, atol=epsilon * scale)


def blocks_of_rows(patch: pytest.MonkeyPatch) -> None:
    """Regions of any size become loops over blocks of few rows."""
    patch.setattr(plan, "LOOP_ABOVE", 0)
    patch.setattr(plan, "BLOCK_BYTES", 24)


def many_pieces(patch: pytest.MonkeyPatch) -> None:
    """Kernels of any size are cut into pieces; what is in the cache was not."""
    patch.setenv("SYMGRAPH_CACHE_DIR", "off")
    patch.setattr(loops, "CHUNK_COST", 1e-3)
    patch.setattr(sweeps, "CHUNK_COST", 1e-3)
    # Kernels are remembered by what they do, without the constants that are patched.
    for module in (scans, indexing, extremes, factorisation, sorting, checks):
        for function in vars(module).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()
    patch.setattr(planner, "write_region", loops.write_region.__wrapped__)


WAYS = {
    "numpy": ("numpy", lambda patch: None),
    "numpy in blocks": ("numpy", blocks_of_rows),
    "llvm": ("llvm", lambda patch: None),
    "llvm in pieces": ("llvm", many_pieces),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_backends_agree_with_the_interpreter(case: Case, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, force = WAYS[way]
    force(monkeypatch)
    reference, compiled, feeds = executables(case, backend)
    wanted = reference(feeds)["y"]
    kept = {name: value.copy() for name, value in feeds.items()}
    for _ in range(2):  # the second call meets a used workspace
        assert_agree(compiled(feeds)["y"], wanted)
    for name, value in feeds.items():
        np.testing.assert_array_equal(value, kept[name])


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("case", [c for c in all_cases() if c.operand_types], ids=str)
def test_strided_feeds(case: Case, backend: str) -> None:
    reference, compiled, feeds = executables(case, backend)
    wanted = reference(feeds)["y"]
    strided = {}
    for name, value in feeds.items():
        wide = np.zeros((*value.shape, 2), value.dtype)
        wide[..., 0] = value
        strided[name] = np.asfortranarray(value) if value.ndim > 1 else wide[..., 0]
    assert_agree(compiled(strided)["y"], wanted)


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_native_code_is_bitwise_where_that_is_asked(case: Case) -> None:
    inputs = [placeholder(f"x{i}", t.shape, t.dtype) for i, t in enumerate(case.operand_types)]
    graph = define(y=case.function(*inputs))
    opened = optimise(graph, "bitwise", (expand_pass(planner.native()),), rounds=1).graph
    feeds = {f"x{i}": value for i, value in enumerate(case.draw()) if f"x{i}" in graph.placeholders}
    known = {name: value for name, value in feeds.items() if name in opened.placeholders}
    wanted = np.asarray(compile(opened, backend="interpreter", passes=())(known)["y"])
    got = np.asarray(compile(graph, backend="llvm", numerics="bitwise")(feeds)["y"])
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
    if got.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got), np.signbit(wanted))
