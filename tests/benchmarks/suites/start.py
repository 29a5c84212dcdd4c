"""`start`: how long it takes until something runs: the import, the first compilation of a process, and later ones.

Each turn is a process of its own, with the bytecode of all modules in a cache. Processor times; the quickest and the
median of the turns. The graphs are those of the suite `numpy`, with their training steps.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tests.benchmarks.table import quantile, seconds, table

_IMPORTS = ("numpy", "symgraph")
_LATER = 20


def compiled() -> dict[str, tuple[int, float, float]]:
    """For each graph its nodes, the time of its first compilation (with the plan and its code), and of later ones."""
    import symgraph as sg
    from models import logistic_regression_graph, one_hidden_layer
    from tests.benchmarks.suites.hand_written import classifier_graph

    def once(graph: sg.Graph) -> float:
        start = time.process_time()
        sg.compile(graph, backend="numpy").bound({"batch": 128}).program.instance()
        return time.process_time() - start

    made = {}
    for graph in (classifier_graph(), one_hidden_layer.graph(), logistic_regression_graph.graph()):
        first = once(graph)
        made[f"{len(graph)} nodes"] = (len(graph), first, min(once(graph) for _ in range(_LATER)))
    return made


def run(rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The report of all turns."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for turn in range(rounds + 1):
            times = {f"import {name}": _python(f"import {name}", env) for name in _IMPORTS}
            out = subprocess.run(
                [sys.executable, "-m", __name__], env=env, capture_output=True, text=True, check=True
            ).stdout
            for k, (graph, (_, first, later)) in enumerate(json.loads(out).items()):
                times[f"compile {graph}, {'first in the process' if k == 0 else 'first of this graph'}"] = (
                    first
                )
                times[f"compile {graph}, again"] = later
            if turn:  # the first turn fills the cache of bytecode
                for name, value in times.items():
                    found.setdefault(name, []).append(value)
    rows = [[name, seconds(min(times)), seconds(quantile(times, 0.5))] for name, times in found.items()]
    yield table("processor time to start", ["", "quickest", "median"], rows), {"seconds": found}


def _python(program: str, env: dict[str, str]) -> float:
    """The processor time of a program, without that of starting Python itself."""
    text = f"import time; start = time.process_time(); {program}; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    print(json.dumps(compiled()))
