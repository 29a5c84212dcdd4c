"""The lines of a generated Python function, and which node each is for.

kernels    : lines -> KernelCode of each node
with_clock : lines -> lines that also read the clock, and what was done when they do
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from symgraph.lowering.plan import Step
from symgraph.lowering.program import KernelCode, Mark, Section


class Line(NamedTuple):
    """A line of the text, and the step that it is for; the one that `opens` it carries its comment."""

    text: str
    step: Step | None = None
    opens: bool = False


def kernels(lines: Sequence[Line], above: int, names: Mapping[int, str]) -> tuple[KernelCode, ...]:
    """The lines of each node, where so many lines stand above; `names` are what its code computes."""
    found: dict[int, list[Section]] = {}
    for node, places in _by_node(lines):
        if node is not None:
            first, last = (1 + above + place for place in (places[0], places[-1]))
            found.setdefault(node, []).append(Section("source", first, last, names[node]))
    order = sorted(found, key=lambda node: found[node][-1].first)
    return tuple(KernelCode(node, names[node], tuple(found[node])) for node in order)


def with_clock(
    lines: Sequence[Line], names: Mapping[int, str], computing: frozenset[int]
) -> tuple[tuple[Line, ...], tuple[Mark, ...]]:
    """The lines with the clock read before the first kernel and after each, and what those are; `computing` are the
    nodes that have kernels.
    """
    start = next(k for k, line in enumerate(lines) if line.text.startswith("def ")) + 1
    while lines[start].step is None and not lines[start].text.startswith("    return"):
        start += 1  # room for the results
    made = [*lines[:start], _stamp(0)]
    marks: list[Mark] = []
    for node, places in _by_node(lines[start:]):
        made += [lines[start + place] for place in places]
        if node in computing:
            marks.append(Mark(node, names[node]))
            made.append(_stamp(len(marks)))
    return tuple(made), tuple(marks)


def _stamp(number: int) -> Line:
    return Line(f"    stamps[{number}] = now()")


def _by_node(lines: Sequence[Line]) -> Iterator[tuple[int | None, list[int]]]:
    """Runs of lines that are for one node, by their places."""
    nodes = [None if line.step is None else line.step.node for line in lines]
    for node, places in groupby(range(len(lines)), lambda place: nodes[place]):
        yield node, list(places)
