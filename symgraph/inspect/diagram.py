"""Diagrams: a graph as Graphviz or Mermaid text, its forward and gradient halves told apart.

    to_dot, to_mermaid : Graph -> str

Nodes that a VJP made stand in a half of their own, and those of an optimizer in a third; a dashed edge ties each node
of the gradient to the forward node that it is the derivative of. Scopes are boxes within the halves.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import attrs

from symgraph.ir import Constant, Graph, Node, Placeholder, Variable, require_graph
from symgraph.ops.region import Fused
from symgraph.origin import relative

_GRADIENT_RULES = ("vjp", "seed")
# Kind: shape, fill, border. Dark text on light fills, and lines of a middle grey, read well on white and on black.
_KINDS: Mapping[str, tuple[str, str, str]] = {
    "placeholder": ("ellipse", "#dbeafe", "#2563eb"),
    "variable": ("cylinder", "#fef3c7", "#d97706"),
    "constant": ("box", "#e5e7eb", "#9ca3af"),
    "op": ("box", "#f9fafb", "#6b7280"),
    "gradient": ("box", "#fce7f3", "#db2777"),
    "update": ("box", "#cffafe", "#0891b2"),
    "rewritten": ("box", "#dcfce7", "#16a34a"),
    "output": ("box", "#ede9fe", "#7c3aed"),
}
FONT = "Helvetica,Arial,sans-serif"
LINES = "#7d8590"
TEXT = "#111827"
_LEAVES: Mapping[type, str] = {Placeholder: "placeholder", Variable: "variable", Constant: "constant"}
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


def is_update(node: Node) -> bool:
    """Whether an optimizer made the node, and no rewrite since.

    The rules of training are named as Python names, "adam" and "scale_by_adam"; those of rewrites are not, and what
    fusion makes is a kernel.
    """
    rule = node.origin.rule
    return rule != "" and not isinstance(node.op, Fused) and all(map(str.isidentifier, rule.split(" > ")))


def kind(node: Node) -> str:
    """What a node is drawn as: a kind of leaf, an op of the user's, of the gradient, of an update, or made by a
    rewrite.
    """
    leaf = _LEAVES.get(type(node.op))
    if leaf is not None:
        return leaf
    if is_gradient(node):
        return "gradient"
    if is_update(node):
        return "update"
    return "rewritten" if node.origin.rule else "op"


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


def parts(graph: Graph, forward: int | None = None) -> tuple[str, ...]:
    """The part of each node: forward, gradient or update. `forward`, where it is given, is the number of nodes before
    differentiation; an update is what no output needs and no derivative made.
    """
    updates = _only_for_updates(graph)

    def part(node: Node) -> str:
        if node.id in updates and not is_gradient(node):
            return "update"
        late = is_gradient(node) if forward is None else node.id >= forward
        return "gradient" if late else "forward"

    return tuple(map(part, graph.nodes))


def _halves(graph: Graph, forward: int | None) -> Mapping[str, Sequence[Node]]:
    """The nodes of each part that has some."""
    halves: dict[str, list[Node]] = {"forward": [], "gradient": [], "update": []}
    for node, part in zip(graph.nodes, parts(graph, forward), strict=True):
        halves[part].append(node)
    return {title: nodes for title, nodes in halves.items() if nodes}


def _only_for_updates(graph: Graph) -> frozenset[int]:
    """The ops that no output and no gradient needs."""
    wanted = {i for _, i in graph.outputs}
    for node in reversed(graph.nodes):
        if node.id in wanted or is_gradient(node):
            wanted.update(node.inputs)
    return frozenset(node.id for node in graph.nodes if node.inputs and node.id not in wanted)


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


def _label(node: Node, lines: bool = True) -> list[str]:
    """The lines on a node: the op, its name or value, the type, and the user's line where `lines` are wanted."""
    op = node.op
    title = op.name
    if isinstance(op, Placeholder | Variable):
        title = f"{op.name} {_cut(op.label)}"
    elif isinstance(op, Constant) and op.value.array.size == 1:
        title = f"{op.value.array.item()!r}"
    elif isinstance(op, Fused):
        title = _cut(" ".join(["fused:", *(inner.op.name for inner in op.graph.nodes if inner.inputs)]))
    made = [_cut(node.origin.rule)] if is_gradient(node) else []
    where = [f"{_cut(relative(s.file))}:{s.line}" for s in node.origin.sources[:1]] if lines else []
    return [title, str(node.type), *made, *where]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def dot_text(text: str) -> str:
    """What goes between DOT's quotes: quotes and backslashes escaped, control characters made visible; and `&`, for
    DOT reads HTML's entities.
    """
    safe = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return safe.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def dot_box(name: str, lines: Sequence[str], kind: str) -> str:
    """A node of DOT: its name there, the lines on it, and the kind that it is drawn as."""
    shape, fill, border = _KINDS[kind]
    label = "\\n".join(map(dot_text, lines))
    return f'{name} [label="{label}", shape={shape}, fillcolor="{fill}", color="{border}"];'


DOT_HEAD = (
    "digraph graph_ {",
    "  rankdir=TB; nodesep=0.2; ranksep=0.35;",
    f'  graph [fontname="{FONT}", fontsize=11, fontcolor="{LINES}", bgcolor="transparent"];',
    f'  node [fontname="{FONT}", fontsize=10, fontcolor="{TEXT}", style=filled, height=0.3, width=0.4];',
    f'  edge [color="{LINES}", arrowsize=0.7];',
)


def to_dot(graph: Graph, forward: int | None = None, *, compact: bool = False) -> str:
    """The graph in Graphviz's language, for `dot -Tsvg`.

    `forward` is the number of nodes of the graph that was differentiated; by default the gradient half is
    what the origins say that VJPs made. `compact` leaves out the user's lines, the dashed edges and the box around
    a half that stands alone, and draws a number beside each node that takes it. Raises GraphError where `graph` is
    none.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> text = to_dot(define(y=-placeholder("x", (2,))))
    >>> text.splitlines()[0], "  n0 -> n1;" in text.splitlines()
    ('digraph graph_ {', True)
    """
    require_graph(graph, "to_dot")
    numbers = _numbers(graph) if compact else frozenset()
    # Fusion mixes the halves of a graph: boxes around them would cross.
    mixed = compact and any(isinstance(node.op, Fused) for node in graph.nodes)
    halves = {"forward": list(graph.nodes)} if mixed else _halves(graph, forward)
    text = list(DOT_HEAD)

    def draw(node: Node) -> str:
        beside = [
            f"{dot_box(f'c{i}_{node.id}', _label(graph.nodes[i], False)[:1], 'constant')}\n"
            for i in node.inputs
        ]
        few = [line for i, line in zip(node.inputs, beside, strict=True) if i in numbers]
        return "".join(dict.fromkeys([*few, dot_box(f"n{node.id}", _label(node, not compact), kind(node))]))

    for title, nodes in halves.items():
        shown = [node for node in nodes if node.id not in numbers]
        lines = list(_walk(title, _boxed(shown), draw, dot_cluster(title), "}"))
        text += lines[1:-1] if compact and len(halves) == 1 else lines
    for node in graph.nodes:
        text += [f"  {f'c{i}_{node.id}' if i in numbers else f'n{i}'} -> n{node.id};" for i in node.inputs]
        tied = () if compact else tie(node, graph, forward)
        text += [f"  n{i} -> n{node.id} [style=dashed, constraint=false];" for i in tied]
    for end, name, i in ends(graph):
        text += [f"  {dot_box(end, [name], 'output')}", f"  n{i} -> {end};"]
    return "\n".join([*text, "}", ""])


def _numbers(graph: Graph) -> frozenset[int]:
    """The constants that are one number, and are no result themselves."""
    results = {i for _, _, i in ends(graph)}
    return frozenset(
        node.id
        for node in graph.nodes
        if isinstance(node.op, Constant) and node.op.value.array.size == 1 and node.id not in results
    )


def ends(graph: Graph) -> Iterator[tuple[str, str, int]]:
    """The outputs and the next values of variables: an id, a text, and the node."""
    for k, (name, i) in enumerate(graph.outputs):
        yield f"o{k}", _cut(name), i
    pairs = [(group, variable, i) for group, group_pairs in graph.updates for variable, i in group_pairs]
    for k, (group, variable, i) in enumerate(pairs):
        yield f"u{k}", f"{_cut(group)}: next {_cut(variable)}", i


def dot_cluster(half: str) -> Callable[[int, str], str]:
    """How the clusters of a half are opened."""
    border = _KINDS[{"gradient": "gradient", "update": "update"}.get(half, "op")][2]

    def open_(number: int, title: str) -> str:
        name = f"cluster_{half}" if number == 0 else f"cluster_{half}_{number}"
        return f'subgraph {name} {{ label="{dot_text(_cut(title))}"; color="{border}";'

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
    for kind, name, i in ends(graph):
        lines.append(f'  {kind}(["{_mermaid_text(name)}"])')
        lines.append(f"  n{i} --> {kind}")
    return "\n".join([*lines, ""])


def _mermaid_node(node: Node) -> str:
    return f'n{node.id}["{"<br>".join(map(_mermaid_text, _label(node)))}"]'


def _mermaid_cluster(half: str) -> Callable[[int, str], str]:
    return lambda number, title: f'subgraph {half}_{number}["{_mermaid_text(_cut(title))}"]'
