"""`compile`: the time from a description in Python to the first result, in a fresh process with its imports done.

Cold is with empty caches on disk, warm in a second process with the caches that the first one filled. A contender
that took longer than two minutes is left out at larger sizes. The time of the imports themselves is shown apart.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from tests.benchmarks.libraries import OURS, WAYS, Formula, Network
from tests.benchmarks.networks import GENERATED, classifier, deep, generated, ocean, xor
from tests.benchmarks.race import Plan, differing, failure, verdict
from tests.benchmarks.table import quantile, seconds, table

_OURS = (OURS, "symgraph, NumPy")
_EAGER = ("torch",)  # runs at once, compiles nothing: shown, and no rival
_COMPILERS = ("JAX", "JAX, cache on disk", "torch.compile", "PyTensor, Numba", "PyTensor, C")
_LIMIT = 120.0  # seconds to the first result
_IMPORTS = 30.0  # seconds that imports may take besides
_LONG = 10.0  # seconds from which one turn is enough
_TOLERANCE = 1e-3
_SIZES = (100, 1_000, 10_000, 100_000)
_CACHES = ("SYMGRAPH_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR")
_SIZED = {f"{kind}, {size:,} nodes": (kind, size) for kind in GENERATED for size in _SIZES}


@attrs.frozen
class _Aim:
    """What is asked of symgraph in a case: seconds cold and warm, and its cold time over each compiler's."""

    cold: float | None = None
    warm: float | None = None
    ratio: float | None = None


AIMS = {
    "mnist_dense": _Aim(cold=0.2, warm=0.02, ratio=1 / 10),
    **{name: _Aim(cold=5.0) for name, (_, size) in _SIZED.items() if size == 10_000},
}
_GROWTH = 12.0  # the most that is allowed where the nodes are ten times as many
CASES = ("xor", "mnist_dense", "deep", "ocean", *_SIZED)


def work(case: str) -> Network | Formula:
    """What is described and computed."""
    match case:
        case "xor":
            return xor()
        case "mnist_dense":
            return classifier()
        case "deep":
            return deep()
        case "ocean":
            return ocean(65_536)
    return generated(*_SIZED[case])


def measure(case: str, name: str) -> tuple[float, np.ndarray]:
    """The time to the first result in this process, in seconds, and the result."""
    way, described = WAYS[name], work(case).drawn()
    way.warm_up()
    if WAYS[name].needs != "symgraph":
        sys.setrecursionlimit(1_000_000)  # peers may recurse over their graphs, symgraph may not
    start = time.perf_counter()
    if isinstance(described, Network):
        trainer = way.trainer(described)
        result = trainer.step(*map(trainer.convert, described.batches()[0]))
    else:
        caller = way.caller(described)
        result = caller.call(*map(caller.convert, described.inputs()))
    found = np.array(result)
    return time.perf_counter() - start, found


def run(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The imports, then each case; last how the times grow."""
    names = [name for name in (*_OURS, *_EAGER, *_COMPILERS) if plan.takes(WAYS[name].needs)]
    yield _imports(sorted({"numpy", *(WAYS[name].needs for name in names)}), plan.rounds)
    exhausted: dict[tuple[str, str], str] = {}
    cold: dict[str, float] = {}
    for case in (case for case in CASES if plan.only in case):
        kind = _SIZED[case][0] if case in _SIZED else case
        taking = [name for name in names if (kind, name) not in exhausted]
        left_out = {name: exhausted[kind, name] for name in names if (kind, name) in exhausted}
        times, failed = _race(case, taking, plan.rounds)
        for name, why in failed.items():
            if "more than" in why:
                exhausted[kind, name] = f"left out: {why} at {case}"
        if OURS in times:
            cold[case] = quantile(times[OURS]["cold"], 0.5)
        yield _report(case, names, times, {**left_out, **failed})
    if any(size in cold for size in _SIZED):
        yield _growth(cold)


def _race(
    case: str, names: list[str], rounds: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, str]]:
    """Times by contender, cold and warm; and why others have none."""
    times: dict[str, dict[str, list[float]]] = {}
    failed: dict[str, str] = {}
    answers: dict[str, Mapping[str, np.ndarray]] = {}
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            if name in failed or (k and times[name]["cold"][0] > _LONG):
                continue
            with tempfile.TemporaryDirectory() as folder:
                for kind in ("cold", "warm"):
                    try:
                        spent, answers[name] = _process(case, name, Path(folder))
                    except RuntimeError as error:
                        failed[name] = str(error)
                        times.pop(name, None)
                        break
                    times.setdefault(name, {}).setdefault(kind, []).append(spent)
    wrong = differing({name: answers[name] for name in names if name in times}, _TOLERANCE)
    return {n: t for n, t in times.items() if n not in wrong}, {**failed, **wrong}


def _process(case: str, name: str, folder: Path) -> tuple[float, Mapping[str, np.ndarray]]:
    """A measurement in a process of its own; raises RuntimeError when there is none."""
    answer = folder / "answer.npy"
    command = [sys.executable, "-m", __name__, case, name, str(answer)]
    env = {**os.environ, **WAYS[name].env, **{cache: str(folder / cache) for cache in _CACHES}}
    env["PYTENSOR_FLAGS"] = f"base_compiledir={folder / 'pytensor'}"
    if name == "JAX, cache on disk":
        env["JAX_COMPILATION_CACHE_DIR"] = str(folder / "jax")
        env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        env["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_LIMIT + _IMPORTS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took more than {_LIMIT:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(failure(done.stderr, done.returncode))
    spent = float(json.loads(done.stdout.splitlines()[-1]))
    if spent > _LIMIT:
        raise RuntimeError(f"took more than {_LIMIT:.0f} s")
    return spent, {"result": np.load(answer)}


def _report(
    case: str, names: list[str], times: Mapping[str, Mapping[str, list[float]]], failed: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    ours = times.get(OURS)
    median = {name: {kind: quantile(found, 0.5) for kind, found in t.items()} for name, t in times.items()}
    rows = []
    for name in names:
        if name not in times:
            continue
        row = [name]
        for kind in ("cold", "warm"):
            ratio = f"{median[OURS][kind] / median[name][kind]:.3f}" if ours and name != OURS else ""
            row += [seconds(median[name][kind]), seconds(quantile(times[name][kind], 0.1)), ratio]
        rows.append(row)
    columns = ["", "cold: median", "10th percentile", "ours/its"]
    columns += ["warm: median", "10th percentile", "ours/its"]
    text = table(f"{case}: to the first result", columns, rows)
    return "\n".join([text, *(f"{name}: {why}" for name, why in failed.items())]), {
        "case": case,
        "seconds": times,
        "failed": failed,
        "verdicts": _judged(case, median),
    }


def _judged(case: str, median: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    aim, ours = AIMS.get(case, _Aim()), median.get(OURS)
    made = [
        verdict(f"{case}: {OURS}, {kind}, in seconds", ours[kind] if ours else None, most)
        for kind, most in (("cold", aim.cold), ("warm", aim.warm))
        if most is not None
    ]
    if aim.ratio is None or ours is None:
        return made
    rivals = [name for name in median if name in _COMPILERS]
    return made + [
        verdict(f"{case}: cold, time of {OURS} over {name}", ours["cold"] / median[name]["cold"], aim.ratio)
        for name in rivals
    ]


def _growth(cold: Mapping[str, float]) -> tuple[str, dict[str, Any]]:
    """How the cold times of generated graphs grow with their nodes."""
    rows, verdicts = [], []
    for kind in GENERATED:
        names = [name for name, (of, _) in _SIZED.items() if of == kind]
        for small, large in itertools.pairwise(names):
            if small in cold and large in cold:
                factor = cold[large] / cold[small]
                rows.append([f"{small} to {large}", f"{factor:.1f}"])
                if small in AIMS:
                    verdicts.append(verdict(f"{small} to {large}: growth of the time", factor, _GROWTH))
    return table("growth of the cold time for ten times the nodes", ["", "times"], rows), {
        "growth": rows,
        "verdicts": verdicts,
    }


def _imports(packages: list[str], rounds: int) -> tuple[str, dict[str, Any]]:
    """The time of imports, without that of starting Python; the first turn warms the files."""
    found: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for package in packages:
            text = f"import time; t = time.perf_counter(); import {package}; print(time.perf_counter() - t)"
            done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
            if turn:
                found.setdefault(package, []).append(float(done.stdout))
    rows = [[name, seconds(quantile(t, 0.5)), seconds(quantile(t, 0.1))] for name, t in found.items()]
    return table("import", ["", "median", "10th percentile"], rows), {"case": "import", "seconds": found}


if __name__ == "__main__":
    time_spent, first = measure(sys.argv[1], sys.argv[2])
    np.save(sys.argv[3], first)
    print(json.dumps(time_spent))
