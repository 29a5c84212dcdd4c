"""Races: the same work by several contenders, each in a process of its own, in turns.

    Contender : () -> Ready                 prepares the work in one library
    Ready     = step, answers               one unit of work to be timed; what it computes from a fresh start
    race      : Case -> rounds -> [Lane]    times by contender, after their answers agreed

Load on the machine meets all contenders alike when they take turns, so ratios are taken within a round.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from tests.benchmarks.table import quantile, seconds, table

_PAUSE = 0.15  # seconds between turns: the threads of a BLAS spin for a while after their last call
_START = 180.0  # seconds for a contender to import, compile and answer


@attrs.frozen
class Ready:
    """A contender that is prepared: `step` is timed; `answers`, called first, gives the numbers to compare.

    `figures` are measurements of the contender's own (memory, say), taken after its turns.
    """

    step: Callable[[], Any]
    answers: Callable[[], Mapping[str, np.ndarray]]
    figures: Callable[[], Mapping[str, float]] = dict


@attrs.frozen
class Contender:
    """A library's way of doing a case; `needs` is the package that must be installed, if any."""

    name: str
    prepare: Callable[[], Ready]
    needs: str = ""


@attrs.frozen
class Case:
    """The same work by several contenders; the first is symgraph's, and the others are compared with it."""

    name: str
    about: str
    contenders: tuple[Contender, ...]
    tolerance: float  # relative, of the answers
    target: float | None = None  # the largest ratio of our time to a contender's that is asked for


@attrs.frozen
class Lane:
    """One contender's times in seconds, round by round; `failed` says why there are none."""

    name: str
    rounds: tuple[tuple[float, ...], ...] = ()
    figures: Mapping[str, float] = attrs.field(factory=dict)
    failed: str = ""

    @property
    def times(self) -> list[float]:
        """All times."""
        return [t for one in self.rounds for t in one]


class _Worker:
    """A process with one contender, commanded by lines of JSON; a context manager that ends it."""

    def __init__(self, module: str, case: str, contender: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.worker", module, case, contender]
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed with the worker
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1
        )

    def ask(self, **command: Any) -> Any:
        """Send a command and wait for its answer; raises RuntimeError when the contender failed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait(_START)
            self.log.seek(0)
            last = [text for text in self.log.read().splitlines() if text.strip()][-1:]
            raise RuntimeError(last[0] if last else f"ended with code {self.process.returncode}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def race(module: str, case: Case, rounds: int, turn: float = 0.4) -> list[Lane]:
    """Time a case of the suite in `module`: `rounds` turns of `turn` seconds for each contender.

    A contender that fails, or is not installed, gets a lane that says so. Raises ValueError when answers differ.
    """
    workers: dict[str, _Worker] = {}
    failed: dict[str, str] = {}
    samples: dict[str, list[tuple[float, ...]]] = {}
    figures: dict[str, Mapping[str, float]] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for contender in case.contenders:
                workers[contender.name] = _Worker(module, case.name, contender.name)
            answers = {}
            for name, worker in list(workers.items()):
                path = str(Path(folder, f"{len(answers)}.npz"))
                try:
                    worker.ask(do="prepare", path=path)
                    with np.load(path) as found:
                        answers[name] = dict(found)
                except RuntimeError as error:
                    failed[name] = str(error)
                    workers.pop(name).close()
        _agree(case, answers)
        for k in range(rounds):
            order = list(workers)
            for name in (
                order[k % len(order) :] + order[: k % len(order)]
            ):  # nobody always follows the same one
                time.sleep(_PAUSE)
                samples.setdefault(name, []).append(tuple(workers[name].ask(do="turn", seconds=turn)))
        for name, worker in workers.items():
            figures[name] = worker.ask(do="figures")
    finally:
        for worker in workers.values():
            worker.close()
    return [
        Lane(c.name, tuple(samples.get(c.name, ())), figures.get(c.name, {}), failed.get(c.name, ""))
        for c in case.contenders
    ]


def _agree(case: Case, answers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Raise ValueError where a contender's numbers are not those of the first."""
    (first, expected), *others = answers.items()
    for name, found in others:
        if found.keys() != expected.keys():
            raise ValueError(f"{case.name}: {name} answers {sorted(found)}, {first} {sorted(expected)}")
        for what, value in expected.items():
            scale = float(np.max(np.abs(value))) or 1.0
            worst = float(np.max(np.abs(found[what] - value))) / scale
            if found[what].shape != value.shape or not worst <= case.tolerance:
                raise ValueError(
                    f"{case.name}: {what} of {name} and {first} differ by {worst:.2g} of the largest, "
                    f"and {case.tolerance:.2g} is allowed"
                )


def ratios(ours: Lane, other: Lane, q: float = 0.5) -> list[float]:
    """Our time over the other's, round by round."""
    pairs = zip(ours.rounds, other.rounds, strict=True)
    return [quantile(mine, q) / quantile(theirs, q) for mine, theirs in pairs]


def report(case: Case, lanes: Sequence[Lane]) -> tuple[str, dict[str, Any]]:
    """A case as text and as JSON holds it."""
    ours = lanes[0]
    rows, data = [], []
    for lane in lanes:
        if not lane.rounds:
            rows.append([lane.name, "-", "-", "-", "-", lane.failed])
            data.append({"contender": lane.name, "failed": lane.failed})
            continue
        found = ratios(ours, lane) if ours.rounds else [float("nan")]
        low, mid, high = (quantile(found, q) for q in (0.0, 0.5, 1.0))
        best = quantile(ours.times, 0.1) / quantile(lane.times, 0.1) if ours.rounds else float("nan")
        median, tenth = quantile(lane.times, 0.5), quantile(lane.times, 0.1)
        spread = "" if lane is ours else f"{mid:.2f} ({low:.2f} to {high:.2f})"
        rows.append(
            [
                lane.name,
                seconds(median),
                seconds(tenth),
                spread,
                "" if lane is ours else f"{best:.2f}",
                _figures(lane),
            ]
        )
        data.append(
            {
                "contender": lane.name,
                "median_seconds": median,
                "tenth_percentile_seconds": tenth,
                "ours_over_its_by_round": found,
                "ours_over_its_of_tenth_percentiles": best,
                "samples": len(lane.times),
                "figures": dict(lane.figures),
            }
        )
    columns = ["", "median", "10th percentile", "ours/its (spread)", "of 10th p.", "notes"]
    aim = "" if case.target is None else f"; asked for: ours/its at most {case.target:g}"
    return (
        table(f"{case.name}: {case.about}{aim}", columns, rows),
        {"case": case.name, "about": case.about, "target": case.target, "contenders": data},
    )


def _figures(lane: Lane) -> str:
    return "; ".join(f"{name} {value:,.0f}" for name, value in lane.figures.items())
