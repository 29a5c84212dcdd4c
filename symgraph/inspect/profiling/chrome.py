"""Spans of time as Chrome's trace events: JSON that Perfetto and chrome://tracing open.

    chrome_trace : events -> facts about kernels -> text      save : path -> text

The format is the "JSON Object Format" of the Trace Event Format: complete events (`ph` X) with their start `ts` and
length `dur` in microseconds, of which three decimals are kept: nanoseconds. Events of one thread nest by their times.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from symgraph.errors import ExecutionError
from symgraph.files import reason, replace

_PROCESS, _THREAD = 1, 1
_COUNTED = ("flops", "bytes")


@attrs.frozen
class Event:
    """A span of time of a profiled step, in nanoseconds from the first step's start; `node` is None for a step."""

    name: str
    step: int
    node: int | None
    start: int
    end: int
    failed: bool = False


def chrome_trace(
    title: str,
    events: Sequence[Event],
    about: Mapping[int, Mapping[str, Any]],
    failed: str = "",
    untraced: int = 0,
) -> str:
    """The events as JSON; `about` are facts about each node, which its events carry, `failed` is the error that
    ended the run, which is marked where it did, `untraced` how many steps in the middle are not among the events.
    Of a node that runs in several parts the first has the flops and bytes of all: sums over a step count them once.
    """
    first = {(event.step, event.node): k for k, event in reversed(list(enumerate(events)))}
    listed = [
        _told("process_name", title),
        _told("thread_name", "steps and their kernels"),
        *(
            _complete(event, about, event.node is not None and first[event.step, event.node] < k)
            for k, event in enumerate(events)
        ),
    ]
    if failed:
        listed.append(
            {
                "name": "the run failed",
                "cat": "failure",
                "ph": "i",
                "s": "g",
                "ts": max((event.end for event in events), default=0) / 1000,
                "pid": _PROCESS,
                "tid": _THREAD,
                "args": {"error": failed},
            }
        )
    about_run = {"failed": failed, "steps left out": untraced}
    whole = {"traceEvents": listed, "displayTimeUnit": "ns", "otherData": about_run}
    return "".join(_lines(whole))


def _lines(whole: Mapping[str, Any]) -> Iterator[str]:
    """One event a line: such files are looked into."""
    events = ",\n".join(json.dumps(event, allow_nan=False) for event in whole["traceEvents"])
    rest = json.dumps({key: value for key, value in whole.items() if key != "traceEvents"}, allow_nan=False)
    yield f'{{"traceEvents": [\n{events}\n], {rest[1:]}\n'


def _told(what: str, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": _THREAD, "ts": 0, "args": {"name": name}}


def _complete(event: Event, about: Mapping[int, Mapping[str, Any]], further: bool) -> dict[str, Any]:
    facts = {} if event.node is None else {"node": event.node, **about.get(event.node, {})}
    if further:
        facts = {name: fact for name, fact in facts.items() if name not in _COUNTED} | {"further part": True}
    return {
        "name": event.name,
        "cat": "step" if event.node is None else "kernel",
        "ph": "X",
        "ts": event.start / 1000,
        "dur": (event.end - event.start) / 1000,
        "pid": _PROCESS,
        "tid": _THREAD,
        "args": {"step": event.step, **facts, **({"failed": True} if event.failed else {})},
    }


def save(path: str | os.PathLike[str], text: str) -> None:
    """Write a file whole or not at all. Raises ExecutionError."""
    try:
        replace(path, text)
    except (OSError, ValueError) as error:
        raise ExecutionError(
            f"the trace could not be written to {os.fspath(path)}: {reason(error)}",
            source=None,
            hint="Name a file in a folder that exists and may be written.",
        ) from error
