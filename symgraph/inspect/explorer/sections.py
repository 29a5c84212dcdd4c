"""Sections of the explorer's page that other modules find out: their records as `page/src/model.ts` has them.

gradient_section, values_section, memory_section, profile_section, code_section : record -> JSON
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.inspect.explorer.collected import Json
from symgraph.inspect.gradients.adjoints import Gradient, Pair
from symgraph.inspect.profiling.memory import Peak
from symgraph.inspect.profiling.profile import KernelTime, Profile, Timing
from symgraph.inspect.statistics import Number, Picture, Statistics
from symgraph.lowering.program import KernelCode
from symgraph.types import Dim


def camel(record: Any) -> Json:
    """A record as JSON, names as TypeScript has them, records in tuples likewise, dimensions as text.

    >>> camel(Timing(1.0, 0.5, 2.0))
    {'median': 1.0, 'low': 0.5, 'high': 2.0}
    """
    return {_camel(field.name): _plain(getattr(record, field.name)) for field in attrs.fields(type(record))}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _plain(value: Any) -> Any:
    if attrs.has(type(value)) and not isinstance(value, Dim):
        return camel(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Dim) else value


def gradient_section(found: Gradient, graph: int) -> Json:
    """The forward nodes with their adjoints; `graph` is the number of the graph that the ids are of."""
    return {
        "graph": graph,
        "of": found.of,
        "wrt": list(found.wrt),
        "pairs": list(map(_pair, found.pairs)),
    }


def _pair(pair: Pair) -> Json:
    return {
        "node": pair.node,
        "adjoint": pair.adjoint,
        "made": list(pair.made),
        "rules": [
            {
                "consumer": use.consumer,
                "operand": use.operand,
                "rule": use.rule,
                "result": use.result,
                "saved": list(use.saved),
            }
            for use in pair.rules
        ],
        "saved": list(pair.saved),
        "reason": pair.reason,
        "path": list(pair.path),
        "zero": pair.zero,
        "zeroPath": list(pair.zero_path),
    }


# Values.


@attrs.define
class Room:
    """How much of the page the values may still take: pictures in bytes, and nodes with all that is known of them."""

    pictures: int
    nodes: int
    left_out: set[str] = attrs.field(factory=set)


def values_section(
    graph: int, statistics: Sequence[Statistics | None], first: int | None, room: Room
) -> Json:
    """What the nodes of a graph are in a run; pictures and histograms as long as there is room for them."""
    nodes = [None if one is None else _statistics(one, room) for one in statistics]
    return {"graph": graph, "nodes": nodes, "first": first}


def _statistics(one: Statistics, room: Room) -> Json:
    room.nodes -= 1
    full = room.nodes >= 0
    if not full:
        room.left_out.add("histograms")
    exact = exact_text(one.dtype)
    return {
        "shape": list(one.shape),
        "dtype": one.dtype,
        **{name: getattr(one, name) for name in ("count", "nan", "posinf", "neginf", "zeros")},
        **{name: _maybe(exact, getattr(one, name)) for name in ("min", "max")},
        **{name: _maybe(repr, getattr(one, name)) for name in ("mean", "deviation")},
        "edges": list(map(_short, one.edges)) if full else [],
        "counts": list(one.counts) if full else [],
        "picture": _picture(one.picture, room) if full and one.picture is not None else None,
        "sample": list(map(exact, one.sample)) if full else [],
    }


def _picture(picture: Picture, room: Room) -> Json | None:
    pixels = base64.b64encode(picture.pixels).decode()
    if len(pixels) > room.pictures:
        room.left_out.add("pictures")
        return None
    room.pictures -= len(pixels)
    return {**camel(picture), "pixels": pixels, "low": _short(picture.low), "high": _short(picture.high)}


def _maybe(told: Callable[[Any], str], value: Number | None) -> str | None:
    return None if value is None else told(value)


def exact_text(dtype: str) -> Callable[[Number], str]:
    """How numbers of a dtype are written so that they read back to the bit, in few digits.

    >>> exact_text("float32")(float(np.float32(0.1))), exact_text("int64")(2**60)
    ('0.1', '1152921504606846976')
    """
    if dtype == "float32":
        return lambda number: str(np.float32(number))
    return lambda number: repr(float(number)) if dtype == "float64" else str(int(number))


def _short(number: Number) -> str:
    return str(number) if isinstance(number, int) else f"{number:.9g}"


# Memory, profile, code.


def memory_section(peak: Peak) -> Json:
    """The memory plan, its peak and who owns it."""
    return {
        **camel(peak),
        "expression": str(peak.expression),
        "buffers": [{**camel(one), "expression": str(one.expression)} for one in peak.buffers],
    }


def profile_section(profile: Profile, trace: str) -> Json:
    """Where the time of a step went; `trace` is that of Chrome, as text."""
    machine = profile.machine
    told = [f"{rate / 1e9:.3g} GFLOP/s {dtype}" for dtype, rate in machine.flops.items()]
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    return {
        "machine": ", ".join([cores, *told, f"{machine.bandwidth / 1e9:.3g} GB/s"]),
        "ceilings": {
            "flops": [[dtype, rate] for dtype, rate in machine.flops.items()],
            "bytes": machine.bandwidth,
        },
        "steps": profile.steps,
        "total": _timing(profile.total),
        "kernels": list(map(_kernel_time, profile.kernels)),
        "other": _number(profile.other),
        "failed": profile.failed,
        "trace": trace,
    }


def _timing(timing: Timing) -> Json:
    return {name: _number(value) for name, value in camel(timing).items()}


def _kernel_time(kernel: KernelTime) -> Json:
    return {
        "node": kernel.node,
        "name": kernel.name,
        "time": _timing(kernel.time),
        "share": _number(kernel.share),
        "flops": kernel.flops,
        "bytes": kernel.bytes,
        "roofline": kernel.roofline,
        "bound": kernel.bound,
    }


def _number(value: float) -> float:
    """A number that JSON can hold: a run that failed at once has measured none."""
    return value if np.isfinite(value) else 0.0


_LANGUAGES: Mapping[str, str] = {"numpy": "Python", "llvm": "LLVM IR", "interpreter": "text form"}


def code_section(
    backend: str, source: str | None, assembly: str | None, machine: str, kernels: Iterable[KernelCode]
) -> Json:
    """The generated code, with the lines of each kernel; `machine` names the instruction set of the assembly."""
    lines: dict[Any, list[int]] = {}
    for kernel in kernels:
        for section in kernel.sections:
            nodes = lines.setdefault((section.listing, section.first, section.last, section.name), [])
            if kernel.node not in nodes[-1:]:
                nodes.append(kernel.node)
    texts = (
        ("source", _LANGUAGES.get(backend, backend), source),
        ("assembly", f"assembly ({machine})", assembly),
    )
    return {
        "listings": [
            {
                "language": language,
                "text": text,
                "sections": [
                    {"first": first, "last": last, "name": name, "nodes": nodes}
                    for (listing, first, last, name), nodes in sorted(lines.items())
                    if listing == kind
                ],
            }
            for kind, language, text in texts
            if text is not None
        ]
    }
