"""The difference of two graphs in meaning: which nodes are new, gone or changed, whatever their numbers.

diff : Graph -> Graph -> Diff          str(Diff) is lines of the text form, with +, - and ~
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import attrs
import numpy as np

from symgraph.collector import paused
from symgraph.compile import Executable
from symgraph.errors import GraphError
from symgraph.inspect.matching import match, roots
from symgraph.ir import (
    ArrayValue,
    Constant,
    Graph,
    Node,
    Op,
    Placeholder,
    Variable,
    attribute_names,
    require_graph,
)
from symgraph.origin import relative, visible
from symgraph.text.printer import fingerprint, node_texts, value_text
from symgraph.values import shown

What: TypeAlias = Literal["type", "attribute", "operand", "init", "name", "value"]
_WIDEST = 160  # characters of a node that a line shows
_LINES = 3  # user lines that a line shows
_FOLLOWED = 10  # types that follow from others, shown by themselves


@attrs.frozen
class Difference:
    """What one side has in the place of the other's: an attribute, an operand, a type, in the text form's words."""

    what: What
    name: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}{f' {self.name}' if self.name else ''} was {self.was}, now {self.now}"


@attrs.frozen
class Change:
    """A node that is in both graphs and not the same: its ids there, and what differs.

    `follows` says that it is the same op, whose type is another because those of its operands are.
    """

    before: int
    after: int
    differences: tuple[Difference, ...]
    follows: bool = False


@attrs.frozen
class EndChange:
    """An output or an update that is new, gone, or another node: `before` and `after` are its nodes, if any."""

    kind: str
    name: str
    variable: str
    before: int | None
    after: int | None

    def __str__(self) -> str:
        shown = visible(self.name)
        return (
            f"output {shown}" if self.kind == "output" else f"update {shown}: next {visible(self.variable)}"
        )


@attrs.frozen(eq=False, slots=False, repr=False)
class Diff:
    """The difference of the graphs `a` and `b`; true where there is one.

    `matched` pairs ids of `a` with ids of `b`; with `removed` these are all nodes of `a`, with `added` all of `b`.
    `changed` are the matched nodes that are not the same, `ends` the outputs and updates.
    """

    a: Graph
    b: Graph
    matched: tuple[tuple[int, int], ...]
    removed: tuple[int, ...]
    added: tuple[int, ...]
    changed: tuple[Change, ...]
    ends: tuple[EndChange, ...]

    @property
    def same(self) -> bool:
        """Whether both graphs mean the same: the same nodes under the same names, in any order."""
        return not (self.removed or self.added or self.changed or self.ends)

    def __bool__(self) -> bool:
        return not self.same

    def __str__(self) -> str:
        return self._text

    __repr__ = __str__  # what a notebook shows

    @cached_property
    def _text(self) -> str:
        return "\n".join(_lines(self))


def diff(a: Graph, b: Graph) -> Diff:
    """What differs between two graphs, in meaning: neither the numbers of nodes count nor the order of outputs.

    Equal sub-graphs are found by structure, leaves, outputs and updates by name, and what is left from the outputs
    down: a node put into a long chain is one added node. `diff(b, a)` has + and - the other way round. Takes time
    linear in the nodes. Raises GraphError where either is no graph.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> from symgraph.ops import exp
    >>> x = placeholder("x", (2,))
    >>> found = diff(define(y=-(x * 2.0)), define(y=-exp(x * 2.0)))
    >>> found.same, found.added, found.removed, found.changed
    (False, (3,), (), ())
    >>> print(diff(define(y=x), define(y=x)))
    the graphs are the same: 1 node
    """
    for graph in (a, b):
        if isinstance(graph, Executable):
            raise GraphError(
                f"diff takes two graphs, and this is {shown(graph)}",
                hint="Compare with the graph that runs, executable.graph, or as it was declared, executable.declared.",
            )
        require_graph(graph, "diff")
    with paused(len(a) + len(b)):
        return _found(a, b)


def _found(a: Graph, b: Graph) -> Diff:
    if a == b:
        pairs = {i: i for i in range(len(a))}
    elif _first(a, b):
        pairs = match(a, b)
    else:  # always the same way round, so that what is found does not depend on it
        pairs = dict(sorted((x, y) for y, x in match(b, a).items()))
    taken = set(pairs.values())
    removed = tuple(i for i in range(len(a)) if i not in pairs)
    added = tuple(i for i in range(len(b)) if i not in taken)
    known = _Known(a, b, pairs, frozenset(removed), frozenset(added), {y: x for x, y in pairs.items()})
    changed = (_change(known, x, y) for x, y in pairs.items())
    return Diff(a, b, tuple(pairs.items()), removed, added, tuple(filter(None, changed)), tuple(_ends(known)))


def _first(a: Graph, b: Graph) -> bool:
    """Which of two graphs is the first, whichever way round they are given."""
    return len(a) < len(b) if len(a) != len(b) else fingerprint(a) < fingerprint(b)


@attrs.frozen
class _Known:
    a: Graph
    b: Graph
    pairs: Mapping[int, int]
    removed: frozenset[int]
    added: frozenset[int]
    back: Mapping[int, int]

    def moved(self, x: int, y: int) -> bool:
        """Whether `y` in the place of `x` is something to tell, and not only a node put between or taken out."""
        return (
            self.pairs.get(x) != y
            and not _reaches(self.b, y, self.added, self.pairs.get(x))
            and not _reaches(self.a, x, self.removed, self.back.get(y))
        )


def _reaches(graph: Graph, start: int, through: frozenset[int], goal: int | None) -> bool:
    """Whether a node stands below `start` with nothing but nodes of `through` on the way; looks at a few."""
    if goal is None or start not in through:
        return False
    seen, stack = {start}, [start]
    while stack and len(seen) <= _WIDEST:
        for i in graph.nodes[stack.pop()].inputs:
            if i == goal:
                return True
            if i in through and i not in seen:
                seen.add(i)
                stack.append(i)
    return False


def _change(known: _Known, x: int, y: int) -> Change | None:
    ours, theirs = known.a.nodes[x], known.b.nodes[y]
    moved = (
        len(ours.inputs) != len(theirs.inputs) or any(map(known.moved, ours.inputs, theirs.inputs))
    ) and not _swapped(known, ours, theirs)
    if ours.op == theirs.op and ours.type == theirs.type and not moved:
        return None
    found = [*_attributes(ours.op, theirs.op)]
    if moved:
        found += _operands(known, ours, theirs)
    follows = not found
    if ours.type != theirs.type and not isinstance(ours.op, Placeholder | Variable):
        found.append(Difference("type", "", str(ours.type), str(theirs.type)))
    return Change(x, y, tuple(found), follows)


def _swapped(known: _Known, ours: Node, theirs: Node) -> bool:
    """Whether the operands of a commutative op were given the other way round, which changes no bit."""
    return (
        ours.op.commutative
        and len(ours.inputs) == len(theirs.inputs) == 2
        and not any(map(known.moved, ours.inputs, theirs.inputs[::-1]))
    )


def _operands(known: _Known, ours: Node, theirs: Node) -> Iterator[Difference]:
    if len(ours.inputs) != len(theirs.inputs):
        was, now = (" ".join([f"%{i}" for i in node.inputs]) for node in (ours, theirs))
        yield Difference("operand", "list", was, now)
        return
    for place, (i, j) in enumerate(zip(ours.inputs, theirs.inputs, strict=True)):
        if known.moved(i, j):
            yield Difference("operand", str(place), _reference(known.a, i), _reference(known.b, j))


def _reference(graph: Graph, i: int) -> str:
    """A node as an operand is told: a name, a number with its value, or the id with the op."""
    op = graph.nodes[i].op
    if isinstance(op, Constant) and op.value.array.size == 1:
        return f"%{i} ({op.value.array.item()!r})"
    if isinstance(op, Placeholder | Variable):
        return f"%{i} ({op.name} {visible(op.label)})"
    return f"%{i} ({op.name})"


_NAMES: Mapping[str, What] = {"label": "name", "type": "type", "init": "init", "value": "value"}


def _attributes(ours: Op, theirs: Op) -> Iterator[Difference]:
    if ours == theirs:
        return
    for name in attribute_names(type(ours)):
        was, now = getattr(ours, name), getattr(theirs, name)
        if was == now:
            continue
        leaf = isinstance(ours, Placeholder | Variable | Constant)
        what = _NAMES.get(name, "attribute") if leaf else "attribute"
        yield Difference(what, name if what == "attribute" else "", *_texts(was, now))


def _texts(was: object, now: object) -> tuple[str, str]:
    """Two values in the text form's words; large arrays and regions by how far they differ."""
    if isinstance(was, Graph) and isinstance(now, Graph):
        inner = diff(was, now)  # as deep as regions are nested
        return _count(len(was), "node"), f"{_count(len(now), 'node')} ({_totals(inner)})"
    if isinstance(was, ArrayValue) and isinstance(now, ArrayValue):
        return _array(was), f"{_array(now)}{_apart(was, now)}"
    return _cut(value_text(was)), _cut(value_text(now))


_WRITTEN = 8  # elements of an array that is written out


def _array(value: ArrayValue) -> str:
    array = value.array
    text = value_text(value).removeprefix("array ")
    return (
        text.partition(" ")[2]
        if array.shape == ()
        else text
        if array.size <= _WRITTEN
        else text.partition(" ")[0]
    )


def _apart(was: ArrayValue, now: ArrayValue) -> str:
    a, b = was.array, now.array
    if a.size <= _WRITTEN or a.shape != b.shape or a.dtype != b.dtype:
        return ""
    other = int((a != b).sum())
    with np.errstate(all="ignore"):
        most = np.abs(a.astype(np.float64) - b.astype(np.float64)).max()
    return f" with {other:,} of {a.size:,} elements others, by at most {most:.3g}"


def _ends(known: _Known) -> Iterator[EndChange]:
    ours, theirs = (dict(roots(graph)) for graph in (known.a, known.b))
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        x, y = ours.get(key), theirs.get(key)
        if x is None or y is None or known.moved(x, y):
            yield EndChange(*key, x, y)


# As text.


def _lines(found: Diff) -> Iterator[str]:
    if found.same:
        yield f"the graphs are the same: {_count(len(found.a), 'node')}"
        return
    ours, theirs = (node_texts(graph) for graph in (found.a, found.b))
    yield f"--- {_about(found.a)}"
    yield f"+++ {_about(found.b)}"
    places = _positions(found)
    entries = [(places[i], 0, _gone_or_new("-", found.a, i, ours)) for i in found.removed]
    entries += [(float(i), 1, _gone_or_new("+", found.b, i, theirs)) for i in found.added]
    told, followed = _told(found)
    entries += [(float(one.after), 2, _changed(found, one, theirs)) for one in told]
    yield from (text for _, _, text in sorted(entries, key=lambda entry: entry[:2]))
    if followed:
        yield f"~ {_count(followed, 'node')} more of types that follow from those"
    for end in found.ends:
        yield _end(found, end)
    yield _totals(found)


def _about(graph: Graph) -> str:
    updates = sum(len(pairs) for _, pairs in graph.updates)
    parts = [_count(len(graph), "node"), _count(len(graph.outputs), "output")]
    return ", ".join([*parts, *([_count(updates, "update")] if updates else [])])


def _told(found: Diff) -> tuple[list[Change], int]:
    """The changes that get a line, and how many do not: types that follow are told a few times."""
    follow = [one for one in found.changed if one.follows]
    left = frozenset(one.after for one in follow[_FOLLOWED:])
    return [one for one in found.changed if one.after not in left], len(left)


def _positions(found: Diff) -> Mapping[int, float]:
    """Where in `b` the removed nodes of `a` are told: after the last node before them that is in both."""
    there, last, places = dict(found.matched), -1.0, {}
    for i in range(len(found.a)):
        last = float(there[i]) if i in there else last
        places[i] = last + 0.5
    return places


def _gone_or_new(sign: str, graph: Graph, i: int, texts: Sequence[str]) -> str:
    node = graph.nodes[i]
    return f"{sign} %{i}: {node.type} = {_cut(texts[i])}{_where(node)}"


def _changed(found: Diff, change: Change, texts: Sequence[str]) -> str:
    ours, theirs = found.a.nodes[change.before], found.b.nodes[change.after]
    number = f"%{change.before}" if change.before == change.after else f"%{change.before} -> %{change.after}"
    what = _cut(texts[change.after], 60)
    differences = "; ".join(map(str, change.differences))
    return f"~ {number} {what}: {differences}{_where(theirs if theirs.origin.sources else ours)}"


def _end(found: Diff, end: EndChange) -> str:
    if end.before is None:
        return f"+ {end} = %{end.after}"
    if end.after is None:
        return f"- {end} = %{end.before}"
    return f"~ {end} was {_reference(found.a, end.before)}, now {_reference(found.b, end.after)}"


def _where(node: Node) -> str:
    shown = [f"{visible(relative(s.file))}:{s.line}" for s in node.origin.sources[:_LINES]]
    return f"  # {', '.join(shown)}" if shown else ""


def _totals(found: Diff) -> str:
    ends = f", {_count(len(found.ends), 'end')} changed" if found.ends else ""
    same = len(found.matched) - len(found.changed)
    counts = ((found.added, "added"), (found.removed, "removed"), (found.changed, "changed"))
    return f"{', '.join(f'{len(nodes):,} {what}' for nodes, what in counts)}, {same:,} the same{ends}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _cut(text: str, most: int = _WIDEST) -> str:
    line = text.split("\n", 1)[0]  # of a region the first line
    return line if line == text and len(line) <= most else f"{line[: most - 1]}…"
