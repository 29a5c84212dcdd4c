"""The summary of a network: its layers with what they make, their parameters, and what they cost.

    summary : Graph | Session -> Summary

A layer is a scope. Nodes outside all scopes are grouped by the variables that they use: a matrix begins a group,
vectors and scalars join the one they meet.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

import attrs

from symgraph.errors import GraphError
from symgraph.inspect.diagram import is_gradient
from symgraph.inspect.sizes import checked, put_in
from symgraph.ir import Constant, Graph, Node, Placeholder, Variable, node_bytes
from symgraph.nn.states import GROUP
from symgraph.origin import visible
from symgraph.rewrite import sum_dimensions
from symgraph.session import Session
from symgraph.types import (
    Dimension,
    TensorType,
    make_type,
)
from symgraph.values import shown

REST = "(rest)"
_HEAD = ("layer", "ops", "output", "parameters", "flops")
_OPS = 4  # kinds of ops that a cell shows
_MOST_SHOWN = 60  # characters of a name
_SCALE = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))

Group: TypeAlias = int


@attrs.frozen
class LayerSummary:
    """A line of a summary: a layer, the kinds of its ops, the type of what it makes, its size and its cost.

    `parameters` counts elements, running statistics included; `flops` are those of its forward ops.
    """

    name: str
    ops: tuple[str, ...]
    output: str
    parameters: int
    flops: Dimension


@attrs.frozen
class Parameters:
    """A number of elements, and the bytes that they take."""

    count: int
    bytes: int


@attrs.frozen
class Summary:
    """What `summary` found; as text it is a table.

    `parameters` are those of the network: the ones that are `trainable`, and the ones that are `not_trainable`, such as
    running statistics. `other` variables are none of its own: the state of an optimizer, random keys. `flops` and
    `bytes` are of the forward ops, each writing a value of its own; `step_flops` of all, with the gradients and the
    updates. Costs are numbers, or polynomials of named sizes.
    """

    layers: tuple[LayerSummary, ...]
    parameters: Parameters
    trainable: Parameters
    not_trainable: Parameters
    other: Parameters
    flops: Dimension
    bytes: Dimension
    step_flops: Dimension | None

    def __str__(self) -> str:
        rows = [_HEAD, *map(_cells, self.layers)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD))]
        lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
        return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:], "", *self._totals()])

    def _totals(self) -> Iterator[str]:
        counts = self._counts()
        width = max(len(_number(one.count)) for _, one in counts)
        for name, one in counts:
            yield f"{name:<17}{_number(one.count):>{width}}  {_amount(one.bytes)}"
        for name, cost in self._costs():
            yield f"{name:<17}{cost}"

    def _counts(self) -> list[tuple[str, Parameters]]:
        own = [
            ("parameters", self.parameters),
            ("  trainable", self.trainable),
            ("  not trainable", self.not_trainable),
        ]
        return [*own, ("other state", self.other)] if self.other.count else own

    def _costs(self) -> Iterator[tuple[str, str]]:
        yield "flops", f"{_number(self.flops)} forward"
        if self.step_flops is not None:
            yield "", f"{_number(self.step_flops)} with the updates"
        yield "values", _amount(self.bytes)

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        numbers = (3, 4)
        rows = "".join(f"<tr>{_html(cells, 'td', numbers)}</tr>" for cells in map(_cells, self.layers))
        totals = [(n.strip(), f"{_number(one.count)} ({_amount(one.bytes)})") for n, one in self._counts()]
        foot = "".join(f"<tr>{_html(pair, 'td', ())}</tr>" for pair in (*totals, *self._costs()))
        return (
            f"<table><thead><tr>{_html(_HEAD, 'th', numbers)}</tr></thead><tbody>{rows}</tbody></table>"
            f"<table><tbody>{foot}</tbody></table>"
        )


def summary(graph: Graph | Session, outputs: str | Iterable[str] | None = None, **sizes: int) -> Summary:
    """The layers of a graph, or of a session's, with their outputs, parameters and costs.

    What is counted is what `outputs` need (by default all of the graph's), without gradients and updates. A graph
    for training and evaluation has the ops of both where they differ: name one's outputs to see its costs alone.
    `sizes` are put in for named sizes: `summary(graph, batch=128)`. Raises GraphError for an unknown output or size.

    >>> from symgraph import nn, ops
    >>> from symgraph.build import run
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 784))
    >>> network = nn.sequential(nn.dense(512, ops.relu), nn.dense(10))
    >>> print(summary(define(logits=run(network(x))[0].value), batch=1))
    layer    ops                output      parameters    flops
    -----------------------------------------------------------
    dense    matmul, add, relu  f32[1,512]     401,920  803,840
    dense_1  matmul, add        f32[1,10]        5,130   10,250
    <BLANKLINE>
    parameters       407,050  1.6 MB
      trainable      407,050  1.6 MB
      not trainable        0  0 B
    flops            814,090 forward
    values           6.2 kB
    """
    whole = graph.graph if isinstance(graph, Session) else graph
    if not isinstance(whole, Graph):
        raise GraphError(
            f"summary takes a graph or a session, and this is {shown(graph)}",
            hint="Make a graph of it: symgraph.nn.graph(network()), or symgraph.define(name=expression).",
        )
    sizes = checked(whole, sizes)
    names = [name for name, _ in whole.outputs] if outputs is None else outputs
    listed = [names] if isinstance(names, str) or not isinstance(names, Iterable) else names
    roots = [whole[name].id for name in listed]
    forward = _forward(whole, [i for i in roots if not is_gradient(whole.nodes[i])])
    nodes = [node for node in forward if node.inputs]
    flops = _flops(whole)
    return Summary(
        tuple(_layers(whole, forward, frozenset(roots), flops, sizes)),
        *_parameters(whole, {node.id for node in forward}),
        put_in(_sum(flops[node.id] for node in nodes), sizes),
        put_in(_sum(node_bytes(node.type) for node in nodes), sizes),
        put_in(_sum(flops), sizes) if whole.updates else None,
    )


def _forward(graph: Graph, roots: Sequence[int]) -> list[Node]:
    """The nodes that the roots need, in order."""
    needed = set(roots)
    for node in reversed(graph.nodes):
        if node.id in needed:
            needed.update(node.inputs)
    return [node for node in graph.nodes if node.id in needed]


def _flops(graph: Graph) -> list[Dimension]:
    """The flops of each node; alike nodes, of which a graph has many, are counted once."""
    known: dict[tuple[Any, ...], Dimension] = {}
    found: list[Dimension] = []
    for node in graph.nodes:
        types = tuple([graph.nodes[i].type for i in node.inputs])
        key = (node.op, node.type, types)
        if key not in known:
            known[key] = node.op.flops(node.type, *types)
        found.append(known[key])
    return found


def _sum(dimensions: Iterable[Dimension]) -> Dimension:
    """The sum of dimensions, of which many are equal."""
    return sum_dimensions(number * dimension for dimension, number in Counter(dimensions).items())


def _parameters(graph: Graph, forward: set[int]) -> tuple[Parameters, Parameters, Parameters, Parameters]:
    """Those of the network, of these the ones that are trained and the ones that are not, and all other variables.

    Trained is what an optimizer's group changes and the outputs need; in a graph without one, each float variable
    that the outputs need and no layer changes.
    """
    groups = {name: frozenset(dict(pairs)) for name, pairs in graph.updates}
    states = groups.pop(GROUP, frozenset())
    changed = frozenset().union(*groups.values())
    own = _own(graph, forward)
    trained = {
        name
        for name, node in own.items()
        if node.type.is_float and name not in states and (name in changed or not groups)
    }
    return (
        _sized(own.values()),
        _sized(own[name] for name in trained),
        _sized(node for name, node in own.items() if name not in trained),
        _sized(node for name, node in graph.variables.items() if name not in own),
    )


def _own(graph: Graph, forward: Container[int]) -> dict[str, Node]:
    """The variables of the network itself: what its outputs need, and the states of its layers, but no random key."""
    states = dict(dict(graph.updates).get(GROUP, ()))
    return {
        name: node
        for name, node in graph.variables.items()
        if (node.id in forward or name in states)
        and (node.type.is_float or node.origin.scope or name not in states)
    }


def _sized(variables: Iterable[Node]) -> Parameters:
    sizes = [(_fixed(node.type.size), node.type.dtype.itemsize) for node in variables]
    return Parameters(sum(size for size, _ in sizes), sum(size * item for size, item in sizes))


def _fixed(size: Dimension) -> int:
    assert isinstance(size, int), size  # a variable has no named sizes
    return size


# Layers: groups of nodes.


@attrs.define
class _Grouping:
    """The groups of the nodes of a graph, as one pass over them makes them."""

    graph: Graph
    names: list[list[str]] = attrs.field(factory=list)  # of the scope, or of the variables
    scopes: dict[tuple[str, ...], Group] = attrs.field(factory=dict)
    of: dict[int, Group] = attrs.field(factory=dict)
    owner: dict[str, Group] = attrs.field(factory=dict)  # the group of each variable
    variables: dict[int, tuple[str, ...]] = attrs.field(
        factory=dict
    )  # of nodes that depend on variables alone
    inputs: dict[int, frozenset[int]] = attrs.field(factory=dict)  # the placeholders behind a node
    seen: dict[Group, frozenset[int]] = attrs.field(factory=dict)  # those behind a group of variables

    def new(self, names: Iterable[str]) -> Group:
        self.names.append(list(names))
        return len(self.names) - 1

    def scope(self, path: tuple[str, ...]) -> Group:
        if path not in self.scopes:
            self.scopes[path] = self.new(["/".join(path)])
        return self.scopes[path]

    def place(self, node: Node) -> None:
        """Find the group of a node, whose operands have theirs."""
        path = node.origin.scope
        behind = [self.inputs[i] for i in node.inputs]
        self.inputs[node.id] = behind[0] if len(set(behind)) == 1 else frozenset().union(*behind)
        if isinstance(node.op, Placeholder):
            self.inputs[node.id] = frozenset({node.id})
        elif isinstance(node.op, Variable):
            self.variables[node.id] = (node.op.label,)
            if path:
                self.owner[node.op.label] = self.scope(path)
        elif not isinstance(node.op, Constant):
            met = dict.fromkeys(v for i in node.inputs for v in self.variables.get(i, ()))
            if not self.inputs[node.id] and not path:
                self.variables[node.id] = tuple(met)
                return
            group = self.scope(path) if path else self._by_variables(node, list(met))
            if group is not None:
                self.of[node.id] = group
                for name in met:
                    if self.graph.variables[
                        name
                    ].type.is_float:  # else such as the random key, which is of no layer
                        self.owner.setdefault(name, group)

    def _by_variables(self, node: Node, met: Sequence[str]) -> Group | None:
        """The group of a node outside all scopes, or None where it belongs to no variable."""
        new = [name for name in met if name not in self.owner and self.graph.variables[name].type.is_float]
        before = [self.of[i] for i in node.inputs if i in self.of and self.of[i] in self.seen]
        small = all(len(self.graph.variables[name].type.shape) < 2 for name in new)
        known = self.inputs[node.id]
        if new and not (before and small):
            group = self.new(new)
            self.seen[group] = known
            return group
        if before and (new or known <= self.seen[before[-1]]):
            self.names[before[-1]] += new
            return before[-1]
        return None


def _layers(
    graph: Graph,
    forward: Sequence[Node],
    roots: frozenset[int],
    costs: Sequence[Dimension],
    sizes: Mapping[str, int],
) -> Iterator[LayerSummary]:
    grouping = _Grouping(graph)
    for node in forward:
        grouping.place(node)
    rest = grouping.new([REST])
    for node in forward:
        if node.inputs and node.id not in grouping.of:
            alone = grouping.variables.get(node.id, ())
            owners = [grouping.owner[v] for v in alone if v in grouping.owner]
            if alone and not owners:  # what meets no input
                owners = [grouping.new(alone)]
                grouping.owner.update(dict.fromkeys(alone, owners[0]))
            grouping.of[node.id] = owners[0] if owners else rest
    counted = _owned(graph, forward, grouping, rest)
    members: dict[Group, list[Node]] = {group: [] for group in counted}
    for node in forward:
        if node.id in grouping.of:
            members.setdefault(grouping.of[node.id], []).append(node)
    # A layer stands where the data first comes to it: a mask of random numbers may be made earlier.
    first = {
        group: min([n.id for n in nodes if grouping.inputs[n.id]] or [n.id for n in nodes] or [len(graph)])
        for group, nodes in members.items()
    }
    for group in sorted(members, key=lambda g: (g == rest, first[g], g)):
        nodes = members[group]
        result = _result(graph, nodes, grouping.of, roots)
        name = ", ".join(grouping.names[group])
        flops = put_in(_sum(costs[node.id] for node in nodes), sizes)
        ops = tuple(dict.fromkeys(node.op.name for node in nodes))
        yield LayerSummary(
            name, ops, "" if result is None else _type(result, sizes), counted.get(group, 0), flops
        )


def _owned(graph: Graph, forward: Sequence[Node], grouping: _Grouping, rest: Group) -> dict[Group, int]:
    """The elements of the variables of each group."""
    counted: dict[Group, int] = {}
    for name, node in _own(graph, {node.id for node in forward}).items():
        group = grouping.owner.get(name)
        if group is None:
            group = grouping.scope(node.origin.scope) if node.origin.scope else rest
        counted[group] = counted.get(group, 0) + _fixed(node.type.size)
    return counted


def _result(
    graph: Graph, nodes: Sequence[Node], of: Mapping[int, Group], roots: frozenset[int]
) -> Node | None:
    """The last node of a group that is used outside it."""
    for node in reversed(nodes):
        if node.id in roots or any(
            of.get(user) not in (of[node.id], None) for user in graph.consumers[node.id]
        ):
            return node
    return nodes[-1] if nodes else None


# Text.


def _type(node: Node, sizes: Mapping[str, int]) -> str:
    if not isinstance(node.type, TensorType):
        return str(node.type)
    return str(make_type(node.type.dtype, tuple(put_in(size, sizes) for size in node.type.shape)))


def _cells(row: LayerSummary) -> tuple[str, ...]:
    ops = ", ".join(row.ops[:_OPS])
    if len(row.ops) > _OPS:
        ops = f"{ops}, {len(row.ops) - _OPS} more"
    name = visible(row.name)
    name = name if len(name) <= _MOST_SHOWN else f"{name[: _MOST_SHOWN - 1]}…"
    return name, ops, row.output, _number(row.parameters), _number(row.flops)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for k, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield f"{cell:>{width}}" if k > 2 else f"{cell:<{width}}"


def _number(dimension: Dimension) -> str:
    """A number, or the numbers of a polynomial, with commas between thousands."""
    return re.sub(r"\b\d{4,}\b", lambda found: f"{int(found[0]):,}", str(dimension))


def _amount(dimension: Dimension) -> str:
    if not isinstance(dimension, int):
        return f"{_number(dimension)} B"
    for unit, scale in _SCALE:
        if dimension >= scale:
            return f"{dimension / scale:.1f} {unit}"
    return f"{dimension} B"


def _html(cells: Sequence[str], tag: str, numbers: Sequence[int]) -> str:
    return "".join(
        f'<{tag} style="text-align:{"right" if k in numbers else "left"}">{escape(cell)}</{tag}>'
        for k, cell in enumerate(cells)
    )
