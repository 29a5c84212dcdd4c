"""`scale`: how the time of each stage grows with the graph, from 1,000 to 100,000 nodes.

The graphs are the generated ones of the suite `compile`, sized by the nodes of the training graph; here the stages
of the NumPy backend are told apart. Each size runs in a process of its own,
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

from tests.benchmarks.libraries import WAYS
from tests.benchmarks.networks import GENERATED, generated
from tests.benchmarks.race import Plan
from tests.benchmarks.table import seconds, table

A = TypeVar("A")
SIZES = (1_000, 10_000, 100_000)
_TIMEOUT = 600.0  # seconds for one size
_FRAMES = 400
_LARGEST_GROWTH = 12.0  # for ten times the nodes


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
    from symgraph.transforms.pipeline import optimise
    from tests.benchmarks.libraries.with_symgraph import described

    WAYS["symgraph, NumPy"].warm_up()
    network = generated(kind, nodes).drawn()
    x, y = network.batches()[0]
    sys.setrecursionlimit(_FRAMES)
    clock = _Clock()
    loss = clock.stage("declare", lambda: described(network))
    graph = clock.stage("define", lambda: sg.define(loss=loss))
    trained = clock.stage("differentiate", lambda: sg.train.minimize(graph, "loss", sg.train.sgd(0.01)))
    text = clock.stage("print", lambda: str(trained))
    better = clock.stage("optimise", lambda: optimise(trained).graph)
    ready = clock.stage("fuse", lambda: sg.compile(better, backend="numpy", passes=()))
    bound = clock.stage("plan and write", lambda: ready.bound({"batch": len(x)}))
    clock.stage("build code", lambda: bound.idle.append(bound.program.instance()))
    values = network.start()
    found = clock.stage("first run", lambda: ready({"x": x, "y": y}, values)["loss"])
    clock.stage("second run", lambda: ready({"x": x, "y": y}, values))
    if not np.isfinite(found):
        raise ValueError(f"the loss is {found}")
    return {
        "nodes": len(trained),
        "optimised": len(better),
        "lines": text.count("\n"),
        "stages": clock.stages,
    }


def run(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind at each size; of the turns the quickest counts (at 100,000 nodes one turn is taken)."""
    for kind in GENERATED:
        found: dict[int, dict[str, Any]] = {}
        failed: dict[int, str] = {}
        for nodes in SIZES:
            turns = [_process(kind, nodes) for _ in range(plan.rounds if nodes < SIZES[-1] else 1)]
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
