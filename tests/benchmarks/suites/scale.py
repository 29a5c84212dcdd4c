"""`scale`: how the time of each stage grows with the graph, from 1,000 to 100,000 nodes.

A chain is one elementwise op after another; a network has layers of a matrix product, a bias and a tanh. Both are
differentiated and trained, and sized by the nodes of the training graph. Each size runs in a process of its own,
with room for 400 frames of Python alone: no stage may recurse over the graph. Times are of the processor, not of
the clock, so that other work on the machine counts little; what the garbage collector took is shown beside them.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from tests.benchmarks.table import seconds, table

A = TypeVar("A")
SIZES = (1_000, 10_000, 100_000)
_TIMEOUT = 600.0  # seconds for one size
_FRAMES = 400
_LARGEST_GROWTH = 12.0  # for ten times the nodes
_BATCH, _WIDTH = 4, 8


def chain(nodes: int) -> dict[str, Any]:
    """The loss of a chain of elementwise ops; training takes about 3.75 nodes for each op."""
    import symgraph as sg

    h, w = sg.placeholder("x", ("batch", _WIDTH)), sg.variable("w", (_WIDTH,), init=0.5)
    for i in range(int(nodes / 7.5)):
        h = sg.tanh(h + w) if i % 2 else sg.sin(h * w)
    return {"loss": sg.mean(h)}


def network(nodes: int) -> dict[str, Any]:
    """The loss of a network of small dense layers; training takes about 17 nodes for each."""
    import symgraph as sg

    h = sg.placeholder("x", ("batch", _WIDTH))
    for i in range(nodes // 17):
        w = sg.variable(f"w{i}", (_WIDTH, _WIDTH), init=sg.init.glorot_uniform)
        h = sg.tanh(h @ w + sg.variable(f"b{i}", (_WIDTH,)))
    return {"loss": sg.mean(h)}


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {"chain": chain, "network": network}


class _Clock:
    """The processor time of stages, and the collector's part of it."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[float, float]] = {}
        self.collected = 0.0
        self._started = 0.0
        gc.callbacks.append(self._watch)

    def _watch(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.process_time()
        else:
            self.collected += time.process_time() - self._started

    def stage(self, name: str, run: Callable[[], A]) -> A:
        before, collected = time.process_time(), self.collected
        made = run()
        self.stages[name] = (time.process_time() - before, self.collected - collected)
        return made


def measure(kind: str, nodes: int) -> dict[str, Any]:
    """The stages of one size, in this process."""
    import symgraph as sg
    from symgraph.session import initial_values
    from symgraph.transforms.pipeline import optimise

    sg.compile(sg.define(y=sg.placeholder("x") + 1.0), backend="numpy")({"x": 1.0})  # what is imported late
    sys.setrecursionlimit(_FRAMES)
    clock = _Clock()
    outputs = clock.stage("declare", lambda: KINDS[kind](nodes))
    graph = clock.stage("define", lambda: sg.define(outputs))
    trained = clock.stage("differentiate", lambda: sg.train.minimize(graph, "loss", sg.train.sgd(0.01)))
    text = clock.stage("print", lambda: str(trained))
    better = clock.stage("optimise", lambda: optimise(trained).graph)
    ready = clock.stage("fuse", lambda: sg.compile(better, backend="numpy", passes=()))
    bound = clock.stage("plan and write", lambda: ready.bound({"batch": _BATCH}))
    clock.stage("build code", lambda: bound.idle.append(bound.program.instance()))
    values, x = initial_values(trained, 0), np.ones((_BATCH, _WIDTH), np.float32)
    loss = clock.stage("first run", lambda: ready({"x": x}, values)["loss"])
    clock.stage("second run", lambda: ready({"x": x}, values))
    if not np.isfinite(loss):
        raise ValueError(f"the loss is {loss}")
    return {
        "nodes": len(trained),
        "optimised": len(better),
        "lines": text.count("\n"),
        "stages": clock.stages,
    }


def run(rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind at each size; of `rounds` turns the quickest counts (at 100,000 nodes one turn is taken)."""
    for kind in KINDS:
        found: dict[int, dict[str, Any]] = {}
        failed: dict[int, str] = {}
        for nodes in SIZES:
            turns = [_process(kind, nodes) for _ in range(rounds if nodes < SIZES[-1] else 1)]
            good = [turn for turn in turns if isinstance(turn, dict)]
            if good:
                found[nodes] = _quickest(good)
            else:
                failed[nodes] = str(turns[0])
        yield _report(kind, found, failed)


def _process(kind: str, nodes: int) -> dict[str, Any] | str:
    """A measurement in a process of its own, or why there is none."""
    command = [sys.executable, "-m", __name__, kind, str(nodes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"took more than {_TIMEOUT:.0f} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def _quickest(turns: list[dict[str, Any]]) -> dict[str, Any]:
    stages = {name: min(turn["stages"][name] for turn in turns) for name in turns[0]["stages"]}
    return {**turns[0], "stages": stages}


def _report(
    kind: str, found: dict[int, dict[str, Any]], failed: dict[int, str]
) -> tuple[str, dict[str, Any]]:
    sizes = list(found)
    columns = ["stage"]
    for k, nodes in enumerate(sizes):
        columns += [f"{found[nodes]['nodes']:,} nodes", "(collector)"] + (["growth"] if k else [])
    total = {n: tuple(map(sum, zip(*found[n]["stages"].values(), strict=True))) for n in sizes}
    stages = {n: {**found[n]["stages"], "all": total[n]} for n in sizes}
    rows, growth = [], {}
    for name in stages[sizes[0]] if sizes else ():
        row = [name]
        for k, nodes in enumerate(sizes):
            spent, collected = stages[nodes][name]
            row += [seconds(spent), f"{100 * collected / spent if spent else 0:.0f} %"]
            if k:
                smaller = sizes[k - 1]
                times_nodes = found[nodes]["nodes"] / found[smaller]["nodes"]
                factor = spent / stages[smaller][name][0] * 10 / times_nodes
                growth.setdefault(name, []).append(factor)
                row.append(f"{factor:.1f}")
        rows.append(row)
    worst = max((max(factors) for factors in growth.values()), default=0.0)
    about = (
        f"{kind}: processor time by nodes of the training graph; growth is for ten times the nodes: at most "
        f"{_LARGEST_GROWTH:g} is asked for, {worst:.1f} was the most"
    )
    lines = [f"{nodes:,} nodes: {why}" for nodes, why in failed.items()]
    text = "\n".join([table(about, columns, rows) if sizes else about, *lines])
    return text, {"kind": kind, "sizes": found, "growth": growth, "failed": failed}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
