"""Races: the same work by several contenders, each in a process of its own, in turns.

    Contender : () -> Ready                 prepares the work in one library
    Ready     = step, answers               one unit of work to be timed; what it computes from a fresh start
    race      : Case -> Plan -> [Lane]      times by contender, after their answers agreed
    report    : Case -> [Lane] -> table, figures, verdicts on what is asked for

Load on the machine meets all contenders alike when they take turns, so ratios are taken within a round.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import Any

import attrs
import numpy as np

from tests.benchmarks.table import quantile, seconds, table

_PAUSE = 0.15  # seconds between turns: the threads of a BLAS spin for a while after their last call
_LINE = 200  # characters of an error that are shown
_PATIENCE = 300.0  # seconds for a contender to import, compile and answer, or to take a turn


@attrs.frozen
class Plan:
    """How a suite is run: the turns of each contender, the packages that take part beside symgraph, which cases."""

    rounds: int
    peers: frozenset[str]
    only: str = ""  # part of the names of the cases

    def takes(self, package: str) -> bool:
        """Whether contenders that need this package take part."""
        return package in ("", "symgraph") or package in self.peers


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
    """A library's way of doing a case, in a process with `env`; `needs` is the package it takes."""

    name: str
    prepare: Callable[[], Ready]
    needs: str = "symgraph"
    env: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Target:
    """What is asked for: our time is at most `ratio` of the quickest of the `rivals`, or at most `seconds`.

    Without `rivals` all contenders are meant that are not symgraph's own. `ours` is the first contender by default.
    """

    ratio: float | None = None
    rivals: tuple[str, ...] = ()
    ours: str = ""
    seconds: float | None = None


@attrs.frozen
class Case:
    """The same work by several contenders; the first is symgraph's, and the others are compared with it."""

    name: str
    about: str
    contenders: tuple[Contender, ...]
    tolerance: float  # of the answers, relative to their largest
    targets: tuple[Target, ...] = ()


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

    def __init__(self, module: str, case: str, contender: Contender) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.worker", module, case, contender.name]
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed with the worker
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            bufsize=1,
            env={**os.environ, **contender.env},
        )

    def ask(self, **command: Any) -> Any:
        """Send a command and wait for its answer; raises RuntimeError when the contender failed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        impatient = Timer(_PATIENCE, self.process.kill)
        impatient.start()
        start = time.monotonic()
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            impatient.cancel()
        if line:
            return json.loads(line)
        self.process.wait()
        if time.monotonic() - start >= _PATIENCE:
            raise RuntimeError(f"took more than {_PATIENCE:.0f} s")
        self.log.seek(0)
        raise RuntimeError(failure(self.log.read(), self.process.returncode))

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


def failure(log: str, code: int) -> str:
    """Why a process ended, in a line."""
    last = [text.strip() for text in log.splitlines() if text.strip()][-1:]
    return f"failed: {last[0][:_LINE]}" if last else f"ended with code {code}"


def races(module: str, cases: Sequence[Case], plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The reports of all cases of the suite in `module`."""
    for case in cases:
        if plan.only not in case.name:
            continue
        taking = attrs.evolve(case, contenders=tuple(c for c in case.contenders if plan.takes(c.needs)))
        yield report(taking, race(module, taking, plan.rounds))


def race(module: str, case: Case, rounds: int, turn: float = 0.4) -> list[Lane]:
    """Time a case of the suite in `module`: `rounds` turns of `turn` seconds for each contender.

    A contender that fails, or answers other numbers than the first, gets a lane that says so.
    """
    workers: dict[str, _Worker] = {}
    failed: dict[str, str] = {}
    samples: dict[str, list[tuple[float, ...]]] = {}
    figures: dict[str, Mapping[str, float]] = {}

    def ask(name: str, **command: Any) -> Any:
        try:
            return workers[name].ask(**command)
        except RuntimeError as error:
            failed[name] = str(error)
            workers.pop(name).close()
            return None

    try:
        answers = {}
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder, "answers.npz"))
            for contender in case.contenders:
                workers[contender.name] = _Worker(module, case.name, contender)
                if ask(contender.name, do="prepare", path=path):
                    with np.load(path) as found:
                        answers[contender.name] = dict(found)
        for name, why in differing(answers, case.tolerance).items():
            failed[name] = why
            workers.pop(name).close()
        for k in range(rounds):
            order = list(workers)
            start = k % max(len(order), 1)  # nobody always follows the same one
            for name in order[start:] + order[:start]:
                time.sleep(_PAUSE)
                samples.setdefault(name, []).append(tuple(ask(name, do="turn", seconds=turn) or ()))
        for name in list(workers):
            figures[name] = ask(name, do="figures") or {}
    finally:
        for worker in workers.values():
            worker.close()
    return [
        Lane(
            c.name,
            tuple(samples.get(c.name, ())) if c.name not in failed else (),
            figures.get(c.name, {}),
            failed.get(c.name, ""),
        )
        for c in case.contenders
    ]


def differing(answers: Mapping[str, Mapping[str, np.ndarray]], tolerance: float) -> dict[str, str]:
    """The contenders whose numbers are not those of the first, and how they differ.

    >>> differing({"a": {"y": np.ones(2)}, "b": {"y": np.array([1.0, 1.5])}}, 0.1)
    {'b': "y differs from a's by 0.5 of its largest; 0.1 is allowed"}
    """
    if not answers:
        return {}
    (first, expected), *others = answers.items()
    wrong = {}
    for name, found in others:
        if found.keys() != expected.keys():
            wrong[name] = f"answers {sorted(found)}, and {first} {sorted(expected)}"
            continue
        for what, value in expected.items():
            if found[what].shape != value.shape:
                wrong[name] = f"{what} has the shape {found[what].shape}, and {first}'s {value.shape}"
                break
            scale = float(np.max(np.abs(value), initial=0.0)) or 1.0
            worst = float(np.max(np.abs(found[what] - value), initial=0.0)) / scale
            if not worst <= tolerance:
                wrong[name] = (
                    f"{what} differs from {first}'s by {worst:.2g} of its largest; {tolerance:.2g} is allowed"
                )
                break
    return wrong


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
            data.append({"contender": lane.name, "failed": lane.failed})
            continue
        median, tenth = quantile(lane.times, 0.5), quantile(lane.times, 0.1)
        row, compared = ["", ""], {}
        if lane is not ours and ours.rounds:
            found = ratios(ours, lane)
            best = quantile(ours.times, 0.1) / tenth
            low, mid, high = (quantile(found, q) for q in (0.0, 0.5, 1.0))
            row = [f"{mid:.2f} ({low:.2f} to {high:.2f})", f"{best:.2f}"]
            compared = {"ours_over_its_by_round": found, "ours_over_its_of_tenth_percentiles": best}
        rows.append([lane.name, seconds(median), seconds(tenth), *row, _figures(lane)])
        data.append(
            {
                "contender": lane.name,
                "median_seconds": median,
                "tenth_percentile_seconds": tenth,
                **compared,
                "samples": len(lane.times),
                "figures": dict(lane.figures),
            }
        )
    columns = ["", "median", "10th percentile", "ours/its (spread)", "of 10th p.", "notes"]
    text = table(f"{case.name}: {case.about}", columns, rows)
    judged = [found for target in case.targets if (found := judge(case, lanes, target)) is not None]
    return (
        "\n".join([text, *(f"{lane.name}: {lane.failed}" for lane in lanes if lane.failed)]),
        {"case": case.name, "about": case.about, "contenders": data, "verdicts": judged},
    )


def judge(case: Case, lanes: Sequence[Lane], target: Target) -> dict[str, Any] | None:
    """Whether a target is met, in words and figures; None where no rival took part."""
    ran = {lane.name: lane for lane in lanes if lane.rounds}
    needs = {c.name: c.needs for c in case.contenders}
    ours = target.ours or case.contenders[0].name
    if ours not in ran:
        return verdict(f"{case.name}: {ours} has no time", None, 0.0)
    if target.seconds is not None:
        return verdict(f"{case.name}: {ours}, in seconds", quantile(ran[ours].times, 0.5), target.seconds)
    rivals = target.rivals or tuple(name for name in ran if needs[name] != "symgraph")
    beaten = {name: quantile(ratios(ran[ours], ran[name]), 0.5) for name in rivals if name in ran}
    if not beaten or target.ratio is None:
        return None
    hardest = max(beaten, key=lambda name: beaten[name])
    return verdict(f"{case.name}: time of {ours} over {hardest}", beaten[hardest], target.ratio)


def verdict(about: str, found: float | None, most: float) -> dict[str, Any]:
    """A target and what was found, as JSON holds it.

    >>> verdict("a over b", 0.5, 0.4)["text"], verdict("a over b", 0.3, 0.4)["met"]
    ('missed by 25 %: a over b: 0.5, at most 0.4 is asked for', True)
    """
    met = found is not None and found <= most
    word = "met" if met else "missed" if found is None else f"missed by {100 * (found / most - 1):.0f} %"
    figures = "" if found is None else f": {found:.3g}, at most {most:.3g} is asked for"
    return {"text": f"{word}: {about}{figures}", "met": met, "found": found, "most": most}


def _figures(lane: Lane) -> str:
    return "; ".join(f"{name} {value:,.0f}" for name, value in lane.figures.items())
