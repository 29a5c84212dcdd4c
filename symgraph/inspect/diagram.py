"""Diagrams: a graph as Graphviz or Mermaid text, its forward and gradient halves told apart.

    to_dot, to_mermaid : Graph -> str

Nodes that a VJP made stand in a half of their own; a dashed edge ties each to the forward node that it is the
derivative of. Scopes are boxes within the halves.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import attrs

from symgraph.ir import Constant, Graph, Node, Placeholder, Variable, require_graph
from symgraph.origin import relative

_GRADIENT_RULES = ("vjp", "seed")
_SHAPES: Mapping[type, tuple[str, str]] = {
    Placeholder: ("ellipse", "#dbeafe"),
    Variable: ("cylinder", "#fef3c7"),
    Constant: ("plaintext", "#ffffff"),
}
_BOX = ("box", "#f3f4f6")
_MOST_SHOWN = 60  # characters of a name

Path: TypeAlias = tuple[str, ...]


@attrs.frozen
class _Box:
    """A cluster: its title, the nodes in it, and the clusters in it by title."""

    nodes: list[Node] = attrs.field(factory=list)
    inner: dict[str, "_Box"] = attrs.field(factory=dict)


def is_gradient(node: Node) -> bool:
    """Whether differentiation made the node."""
    return node.origin.rule.split(" ")[0] in _GRADIENT_RULES


def tie(node: Node, graph: Graph, forward: int | None) -> tuple[int, ...]:
    """The forward nodes that a gradient node is tied to: those of `origin.of` that the graph still has.

    `gradient` keeps the ids of the graph that it differentiates; `forward` is the number of its nodes.
    """
    limit = len(graph.nodes) if forward is None else forward
    if not is_gradient(node):
        return ()
    return tuple(
        i for i in node.origin.of if 0 <= i < limit and i != node.id and not is_gradient(graph.nodes[i])
    )


def _halves(graph: Graph, forward: int | None) -> Mapping[str, Sequence[Node]]:
    """The nodes of each half. `forward`, where it is given, is the number of nodes before differentiation."""

    def late(node: Node) -> bool:
        return is_gradient(node) if forward is None else node.id >= forward

    halves = {
        "forward": [node for node in graph.nodes if not late(node)],
        "gradient": [node for node in graph.nodes if late(node)],
    }
    return {title: nodes for title, nodes in halves.items() if nodes}


def _boxed(nodes: Sequence[Node]) -> _Box:
    root = _Box()
    for node in nodes:
        box = root
        for step in node.origin.scope:
            box = box.inner.setdefault(step, _Box())
        box.nodes.append(node)
    return root


def _walk(
    title: str, box: _Box, draw: Callable[[Node], str], open_: Callable[[int, str], str], close: str
) -> Iterator[str]:
    """The lines of a box: its nodes, then the boxes in it; iterative, whatever the depth of scopes."""
    number = 0
    stack: list[tuple[int, str, _Box | None]] = [(0, title, box)]
    while stack:
        depth, label, here = stack.pop()
        indent = "  " * (depth + 1)
        if here is None:
            yield f"{indent}{close}"
            continue
        yield f"{indent}{open_(number, label)}"
        number += 1
        yield from (f"{indent}  {draw(node)}" for node in here.nodes)
        stack.append((depth, label, None))
        stack.extend((depth + 1, step, inner) for step, inner in reversed(here.inner.items()))


def _label(node: Node) -> list[str]:
    """The lines on a node: the op, its name or value, the type, and the user's line."""
    op = node.op
    title = op.name
    if isinstance(op, Placeholder | Variable):
        title = f"{op.name} {_cut(op.label)}"
    elif isinstance(op, Constant) and op.value.array.size == 1:
        title = f"{op.value.array.item()!r}"
    where = [f"{_cut(relative(s.file))}:{s.line}" for s in node.origin.sources[:1]]
    return [title, str(node.type), *where]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _dot_text(text: str) -> str:
    """What goes between DOT's quotes: quotes and backslashes escaped, control characters made visible."""
    safe = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return safe.replace("\\", "\\\\").replace('"', '\\"')


def to_dot(graph: Graph, forward: int | None = None) -> str:
    """The graph in Graphviz's language, for `dot -Tsvg`.

    `forward` is the number of nodes of the graph that was differentiated; by default the gradient half is
    what the origins say that VJPs made.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> text = to_dot(define(y=-placeholder("x", (2,))))
    >>> text.splitlines()[0], "  n0 -> n1;" in text.splitlines()
    ('digraph graph_ {', True)
    """
    require_graph(graph, "to_dot")
    lines = ["digraph graph_ {", "  rankdir=TB;", '  node [fontname="Helvetica", fontsize=10, style=filled];']
    for title, nodes in _halves(graph, forward).items():
        lines += _walk(title, _boxed(nodes), _dot_node, _dot_cluster(title), "}")
    for node in graph.nodes:
        lines += [f"  n{i} -> n{node.id};" for i in node.inputs]
        lines += [
            f"  n{i} -> n{node.id} [style=dashed, constraint=false];" for i in tie(node, graph, forward)
        ]
    for kind, name, i in _ends(graph):
        lines.append(f'  {kind} [label="{_dot_text(name)}", shape=plaintext, style=""];')
        lines.append(f"  n{i} -> {kind};")
    return "\n".join([*lines, "}", ""])


def _ends(graph: Graph) -> Iterator[tuple[str, str, int]]:
    """The outputs and the next values of variables: an id, a text, and the node."""
    for k, (name, i) in enumerate(graph.outputs):
        yield f"o{k}", _cut(name), i
    pairs = [(group, variable, i) for group, group_pairs in graph.updates for variable, i in group_pairs]
    for k, (group, variable, i) in enumerate(pairs):
        yield f"u{k}", f"{_cut(group)}: next {_cut(variable)}", i


def _dot_node(node: Node) -> str:
    shape, color = _SHAPES.get(type(node.op), _BOX)
    label = "\\n".join(map(_dot_text, _label(node)))
    return f'n{node.id} [label="{label}", shape={shape}, fillcolor="{color}"];'


def _dot_cluster(half: str) -> Callable[[int, str], str]:
    def open_(number: int, title: str) -> str:
        name = f"cluster_{half}" if number == 0 else f"cluster_{half}_{number}"
        return f'subgraph {name} {{ label="{_dot_text(_cut(title))}"; color="#9ca3af";'

    return open_


def _mermaid_text(text: str) -> str:
    """Text inside Mermaid's quotes, where only entities are safe."""
    return "".join(c if c.isalnum() or c in " .,:;/[]()+-*_=%…" else f"#{ord(c)};" for c in text)


def to_mermaid(graph: Graph, forward: int | None = None) -> str:
    """The graph as a Mermaid flowchart, which Markdown viewers draw; `forward` as for `to_dot`.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> text = to_mermaid(define(y=-placeholder("x", (2,))))
    >>> text.splitlines()[0], "  n0 --> n1" in text.splitlines()
    ('flowchart TB', True)
    """
    require_graph(graph, "to_mermaid")
    lines = ["flowchart TB"]
    for title, nodes in _halves(graph, forward).items():
        lines += _walk(title, _boxed(nodes), _mermaid_node, _mermaid_cluster(title), "end")
    for node in graph.nodes:
        lines += [f"  n{i} --> n{node.id}" for i in node.inputs]
        lines += [f"  n{i} -.-> n{node.id}" for i in tie(node, graph, forward)]
    for kind, name, i in _ends(graph):
        lines.append(f'  {kind}(["{_mermaid_text(name)}"])')
        lines.append(f"  n{i} --> {kind}")
    return "\n".join([*lines, ""])


def _mermaid_node(node: Node) -> str:
    return f'n{node.id}["{"<br>".join(map(_mermaid_text, _label(node)))}"]'


def _mermaid_cluster(half: str) -> Callable[[int, str], str]:
    return lambda number, title: f'subgraph {half}_{number}["{_mermaid_text(_cut(title))}"]'
