"""Graphs as columns: what the explorer's page reads of graphs and of the user's lines, as `page/src/model.ts` has it.

Strings, files and origins occur once, in tables that all graphs share. Everything is data: names and lines go into
the tables as they are, and only the page decides how text is shown. Of the user's files there are the lines that
nodes come from, with their neighbours, and those alone of code that ran in this process: a graph that was read from
a text can name any file, and none is opened for it.
"""

import linecache
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from symgraph.compile import Cost
from symgraph.inspect.diagram import kind, parts
from symgraph.ir import Constant, Graph, Node, Op, Placeholder, Type, Variable
from symgraph.ops.region import Fused
from symgraph.origin import Origin, Source, relative, spans
from symgraph.rewrite import Operation, Row, sum_dimensions
from symgraph.text.printer import node_texts
from symgraph.types import Dimension

Json: TypeAlias = dict[str, Any]

_NEIGHBOURS = 2  # lines before and after one that a node comes from
_WIDTH = 400  # characters of a line that are shown
_NAME = 60  # characters of a name on a box
_TEXT = 20_000  # characters of a node's text: a kernel's goes over many lines


@attrs.define(eq=False)
class Tables:
    """What the graphs of a page share: each string, file and origin once, as the number it was met as."""

    _strings: dict[str, int] = attrs.field(factory=dict)
    _origins: list[Origin] = attrs.field(factory=list)
    _places: dict[int, int] = attrs.field(
        factory=dict
    )  # of origins, by identity: equal ones may differ in columns
    _files: dict[str, int] = attrs.field(factory=dict)  # by the path that is shown
    _paths: dict[str, int] = attrs.field(factory=dict)  # by the path that Python knows
    _lines: dict[str, set[int]] = attrs.field(factory=dict)  # of code that ran, by Python's path
    _attributes: dict[Op, str] = attrs.field(factory=dict)
    _types: dict[Type, int] = attrs.field(factory=dict)
    _costs: dict[Any, tuple[Dimension, Dimension]] = attrs.field(factory=dict)
    _numbers: dict[int, int] = attrs.field(factory=dict)  # by identity: `_held` keeps them from being reused
    _held: list[Graph] = attrs.field(factory=list)
    _totals: dict[int, Cost] = attrs.field(factory=dict)
    _changes: dict[int, tuple[Dimension, Dimension]] = attrs.field(factory=dict)  # by identity, as graphs
    _rows: list[Row] = attrs.field(factory=list)
    graphs: list[Json] = attrs.field(factory=list)
    unseen: bool = False  # whether lines are named that are not shown, since no code ran there

    def string(self, text: str) -> int:
        """The number of a string."""
        return self._strings.setdefault(text, len(self._strings))

    def origin(self, origin: Origin) -> int:
        """The number of an origin, until `finish` gives equal ones the same."""
        known = self._places.setdefault(id(origin), len(self._places))
        if known == len(self._origins):
            self._origins.append(origin)
        return known

    def place(self, source: Source) -> tuple[int, int]:
        """A source as the number of its file, and the line; from now on the line's text is wanted."""
        file = self._paths.get(source.file)
        if file is None:
            file = self._files.setdefault(relative(source.file), len(self._files))
            self._paths[source.file] = file
        if source.ran:
            self._lines.setdefault(source.file, set()).add(source.line)
        else:
            self.unseen = True
        return file, source.line

    def places(self, sources: Iterable[Source]) -> list[tuple[int, int]]:
        """Sources as pairs of file and line, each once."""
        return list(dict.fromkeys(map(self.place, sources)))

    def graph(self, graph: Graph, title: str) -> int:
        """The number of a graph, whose columns are made when it is first met."""
        if id(graph) not in self._numbers:
            self._numbers[id(graph)] = len(self.graphs)
            self._held.append(graph)
            self.graphs.append(self._columns_of(graph, title))
        return self._numbers[id(graph)]

    def known(self, graph: Graph) -> int | None:
        """The number of a graph that was met."""
        return self._numbers.get(id(graph))

    def _columns_of(self, graph: Graph, title: str) -> Json:
        texts = node_texts(graph, self._attributes)
        cost = self.cost(graph)
        return {
            "title": title,
            "op": [self.string(node.op.name) for node in graph.nodes],
            "label": [self.string(label(node)) for node in graph.nodes],
            "text": [self.string(cut(text, _TEXT)) for text in texts],
            "type": [self._type(node.type) for node in graph.nodes],
            "inputs": [list(node.inputs) for node in graph.nodes],
            "origin": [self.origin(node.origin) for node in graph.nodes],
            "kind": list(map(kind, graph.nodes)),
            "part": list(parts(graph)),
            "outputs": [[name, i] for name, i in graph.outputs],
            "updates": [[group, [[name, i] for name, i in pairs]] for group, pairs in graph.updates],
            "flops": str(cost.flops),
            "bytes": str(cost.bytes),
        }

    def _type(self, type_: Type) -> int:
        known = self._types.get(type_)
        if known is None:
            known = self._types[type_] = self.string(str(type_))
        return known

    def cost(self, graph: Graph) -> Cost:
        """What a call of a graph takes: as `Executable.cost`, with equal operations counted once."""
        known = self._totals.get(id(graph))
        if known is None:
            self._held.append(graph)
            known = self._totals[id(graph)] = self._summed(graph)
        return known

    def _summed(self, graph: Graph) -> Cost:
        nodes = graph.nodes
        counts = Counter((n.op, n.type, tuple([nodes[i].type for i in n.inputs])) for n in nodes)
        flops, traffic = Counter[Dimension](), Counter[Dimension]()
        for key, count in counts.items():
            of_one = self._cost_of(Operation(*key))
            flops[of_one[0]] += count
            if key[0].name != "project":
                traffic[of_one[1]] += count
        return Cost(total(flops), total(traffic))

    def change(self, row: Row) -> tuple[Dimension, Dimension]:
        """The change in flops and in bytes of a row of the ledger."""
        known = self._changes.get(id(row))
        if known is None:
            self._rows.append(row)
            known = self._changes[id(row)] = self._changed(row)
        return known

    def _changed(self, row: Row) -> tuple[Dimension, Dimension]:
        if row.added is row.removed:
            return 0, 0
        added, removed = (list(map(self._cost_of, side)) for side in (row.added, row.removed))
        flops, traffic = (
            sum_dimensions(cost[k] for cost in added) - sum_dimensions(cost[k] for cost in removed)
            for k in (0, 1)
        )
        return flops, traffic

    def _cost_of(self, operation: Operation) -> tuple[Dimension, Dimension]:
        key = (operation.op, operation.type, operation.inputs)
        known = self._costs.get(key)
        if known is None:
            known = self._costs[key] = (operation.flops, operation.traffic)
        return known

    def finish(self) -> Json:
        """The tables with the graphs, in whose columns equal origins are made one."""
        origins = self._origins
        sources = [source for origin in origins for source in origin.sources]
        columns = iter(spans(sources))
        found: dict[Any, int] = {}
        number: list[int] = []
        for origin in origins:
            places = tuple([(*self.place(s), *self._columns(s, next(columns))) for s in origin.sources])
            rules = tuple(origin.rule.split(" > ")) if origin.rule else ()
            key = (places, origin.scope, rules, origin.of)
            number.append(found.setdefault(key, len(found)))
        return {
            "graphs": [{**graph, "origin": [number[i] for i in graph["origin"]]} for graph in self.graphs],
            "strings": list(self._strings),
            "files": self._texts(),
            "origins": [
                {"sources": places, "scope": scope, "rules": rules, "of": of}
                for places, scope, rules, of in found
            ],
        }

    def _columns(self, source: Source, span: tuple[int, int] | None) -> tuple[int, int]:
        """Columns as JavaScript counts them, in UTF-16, within what is shown of the line."""
        if span is None:
            return -1, -1
        raw = _line(source.file, source.line).encode()
        first, last = (_utf16(raw[:column].decode(errors="replace")) for column in span)
        return min(first, _WIDTH), min(last, _WIDTH)

    def _texts(self) -> list[Json]:
        shown: list[dict[int, str]] = [{} for _ in self._files]
        for file, wanted in self._lines.items():
            lines = shown[self._paths[file]]
            near = {n + k for n in wanted for k in range(-_NEIGHBOURS, _NEIGHBOURS + 1)}
            known = _read(file)
            lines.update({n: cut(known[n - 1].rstrip("\r\n"), _WIDTH) for n in near if 0 < n <= len(known)})
        return [
            {"path": path, "lines": [[n, lines[n]] for n in sorted(lines)]}
            for path, lines in zip(self._files, shown, strict=True)
        ]


def _read(file: str) -> Sequence[str]:
    try:
        return linecache.getlines(file)
    except (ValueError, OSError):  # a name that no file can have
        return ()


def _line(file: str, number: int) -> str:
    lines = _read(file)
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _utf16(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def total(counts: Mapping[Dimension, int]) -> Dimension:
    """The sum of dimensions, each as often as it was counted.

    >>> from symgraph.types import dim
    >>> total({dim("n"): 3, 4: 2})
    Dim('3*n+8')
    """
    return sum((dimension * count for dimension, count in counts.items()), start=0)


def label(node: Node) -> str:
    """What a box shows of a node, beside its type.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> [label(node) for node in define(y=placeholder("x") * 2.0).nodes]
    ['placeholder x', '2.0', 'mul']
    """
    op = node.op
    if isinstance(op, Placeholder | Variable):
        return f"{op.name} {cut(op.label, _NAME)}"
    if isinstance(op, Constant) and op.value.array.size == 1:
        return repr(op.value.array.item())
    if isinstance(op, Fused):
        return f"kernel of {inner_nodes(op)}"
    return op.name


def inner_nodes(op: Fused) -> int:
    """How many nodes of a kernel compute something."""
    return sum(bool(inner.inputs) for inner in op.graph.nodes)


def cut(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
