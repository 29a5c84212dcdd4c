"""A contender's process: reads commands, one JSON object a line, and answers each with one.

python -m tests.benchmarks.worker MODULE CASE CONTENDER
"""

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from tests.benchmarks.race import Ready

_LEAST = 50e-6  # seconds that a sample lasts at the least: shorter steps are timed several at once


def main(module: str, case: str, contender: str) -> None:
    """Serve until the commands end."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    cases = importlib.import_module(module).CASES
    (found,) = [c for one in cases if one.name == case for c in one.contenders if c.name == contender]
    serve(found.prepare, sys.stdin, answers)


def serve(prepare: Callable[[], Ready], commands: TextIO, answers: TextIO) -> None:
    """Prepare, then do each command."""
    ready: Ready | None = None
    for line in commands:
        command = json.loads(line)
        match command["do"]:
            case "prepare":
                ready = prepare()
                np.savez(command["path"], **ready.answers())
                made: Any = True
            case "turn":
                assert ready is not None
                made = turn(ready.step, command["seconds"])
            case "figures":
                assert ready is not None
                made = dict(ready.figures())
            case other:
                raise ValueError(f"no such command: {other}")
        answers.write(json.dumps(made) + "\n")


def turn(step: Callable[[], Any], duration: float) -> list[float]:
    """Times of one step in seconds, after a warm-up of a fifth of the duration."""
    clock = time.perf_counter
    end, calls = clock() + duration / 5, 0
    start = clock()
    while clock() < end or not calls:
        step()
        calls += 1
    each = (clock() - start) / calls
    several = max(1, round(_LEAST / each))
    times: list[float] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        end = clock() + duration
        while clock() < end:
            start = clock()
            for _ in range(several):
                step()
            times.append((clock() - start) / several)
    finally:
        if collecting:
            gc.enable()
    return times


if __name__ == "__main__":
    main(*sys.argv[1:])
