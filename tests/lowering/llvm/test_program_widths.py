"""Whole programs for processors of every width of vectors, against the interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.compile import compile
from symgraph.lowering.llvm import program
from symgraph.lowering.llvm.target import host
from tests.cases import all_cases
from tests.lowering.llvm.lanes import targets
from tests.lowering.llvm.test_program import assert_close, data, network, values_of
from tests.lowering.test_backends import assert_agree, executables, many_pieces
from tests.strategies import random_graph
from tests.test_random_graphs import close, results, run

ROOT = Path(__file__).parents[3]
WIDTHS = pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.width} bytes")


@pytest.fixture
def made_for(monkeypatch):
    """Programs are compiled for another target than this machine."""

    def choose(target):
        monkeypatch.setattr(program, "host", lambda: target)

    return choose


def sampled(values, every):
    """Every so-many-th value by default, and all in the long sweep."""
    return [
        pytest.param(value, marks=() if k % every == 0 else pytest.mark.heavy, id=str(value))
        for k, value in enumerate(values)
    ]


@WIDTHS
@pytest.mark.parametrize("case", sampled(all_cases(), 29))
def test_cases_agree_at_every_width(case, target, made_for):
    made_for(target)
    reference, compiled, feeds = executables(case, "llvm")
    assert_agree(compiled(feeds)["y"], reference(feeds)["y"])


@WIDTHS
@pytest.mark.parametrize("start", sampled(range(0, 400, 10), 20))
def test_random_graphs_agree_at_every_width(start, target, made_for, monkeypatch):
    made_for(target)
    if start % 20:
        many_pieces(monkeypatch)
    for seed in range(start, start + 10):
        sample = random_graph(seed, tame=True)
        executable = compile(sample.graph, backend="llvm")
        close(run(executable, sample, sample.values), results(sample.graph, sample, sample.values), sample)


@WIDTHS
@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_trains_at_every_width(target, threads, made_for):
    made_for(target)
    graph, variables = network(), values_of(network())
    for batch in (1, 3, 8, 130):
        got = sg.compile(graph, backend="llvm", threads=threads)(data(batch), variables)
        assert_close(got, sg.compile(graph, backend="interpreter")(data(batch), variables))


@WIDTHS
def test_products_agree_at_every_width(target, made_for):
    """Sizes about those of registers and blocks, in every orientation."""
    made_for(target)
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for m, k, n in [(1, 1, 1), (1, 40, 17), (17, 33, 65), (30, 7, 10), (50, 64, 15), (6, 0, 5)]:
            for turned in ("", "x", "y", "xy"):
                shapes = [(k, m) if "x" in turned else (m, k), (n, k) if "y" in turned else (k, n)]
                x, y = (sg.placeholder(name, shape, dtype) for name, shape in zip("xy", shapes, strict=True))
                left = sg.transpose(x) if "x" in turned else x
                right = sg.transpose(y) if "y" in turned else y
                feeds = {
                    name: rng.normal(size=shape).astype(dtype)
                    for name, shape in zip("xy", shapes, strict=True)
                }
                got = sg.compile(sg.define(p=sg.relu(left @ right + 0.25)), backend="llvm")(feeds)["p"]
                a = feeds["x"].T if "x" in turned else feeds["x"]
                b = feeds["y"].T if "y" in turned else feeds["y"]
                wanted = np.maximum(a.astype(float) @ b.astype(float) + 0.25, 0)
                tolerance = 8 * np.finfo(dtype).eps * max(k, 1)
                np.testing.assert_allclose(
                    got, wanted, rtol=tolerance, atol=tolerance, err_msg=f"{m, k, n} {turned}"
                )


@pytest.mark.skipif(sys.platform == "win32", reason="pages are closed by mprotect, of POSIX")
@WIDTHS
@pytest.mark.parametrize("every", [40, pytest.param(1, marks=pytest.mark.heavy)])
def test_no_byte_beyond_an_array_is_touched(target, every):
    """In a process of its own, since what does so ends it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lowering.llvm.guarded", str(target.width), str(every)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-2]) > 40


@WIDTHS
def test_code_is_for_the_features_that_the_target_has(target, made_for):
    """Narrow code has no wide register in it."""
    made_for(target)
    text = sg.compile(network(), backend="llvm").assembly(batch=33)
    if host().triple.startswith("x86_64"):
        used = [name for name in ("zmm", "ymm", "xmm") if name in text]
        widest = {64: "zmm", 32: "ymm", 16: "xmm"}[target.width]
        assert used[0] == widest
