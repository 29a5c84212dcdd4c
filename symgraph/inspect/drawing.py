"""Drawings: a graph as SVG, laid out by Graphviz's program `dot`, and as what notebooks show of it.

to_svg   : Graph -> SVG            needs dot
notebook : Graph -> (SVG | None, HTML)     the text form where dot is missing or the graph is too large

A large graph is folded: the ops of a scope, or of a line, become one box. Names are data: they are escaped for DOT,
dot escapes them for XML, and hovering over a node shows its origin.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import TypeAlias

from symgraph.errors import GraphError
from symgraph.inspect.diagram import DOT_HEAD, FONT, TEXT, dot_box, parts, to_dot
from symgraph.ir import Constant, Graph, Node, Placeholder, Variable, require_graph
from symgraph.origin import relative

MOST = 200  # nodes that a drawing shows without folding: more cannot be read, and dot takes seconds
_LINES = 200  # lines of the text form that stand in for a drawing
_SECONDS = 30

Group: TypeAlias = tuple[str, tuple[str, ...]] | int  # a half and a scope in it, or a leaf that stands alone


def to_svg(graph: Graph, most: int | None = MOST) -> str:
    """The graph as SVG, to be shown in a page or written into a file.

    Leaves and ops are coloured by kind, types stand on the nodes, scopes are boxes, and what differentiation made
    stands in a box of its own, each node with its rule; on a light and on a dark page. A graph of more than `most`
    nodes is folded by scope, or by the user's lines where it has none; with None it is not. Raises GraphError where the
    program dot is missing or fails, and where there are more placeholders than that.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> to_svg(define(y=-placeholder("x", (2,))))[:4]  # doctest: +SKIP
    '<svg'
    """
    require_graph(graph, "to_svg")
    if shutil.which("dot") is None:
        raise GraphError(
            "to_svg needs Graphviz's program dot, which is not on the PATH",
            hint="Install Graphviz from https://graphviz.org, or take symgraph.to_mermaid(graph).",
        )
    text = _dot(graph, most)
    if text is None:
        raise GraphError(
            f"{_too_large(graph, most)}, and folded it still is: it has {len(graph.placeholders):,} placeholders",
            hint="Draw all: to_svg(graph, most=None).",
        )
    return _finished(graph, _laid_out(text))


def notebook(graph: Graph) -> tuple[str | None, str]:
    """What a notebook shows: an SVG, or None where there is no drawing, and HTML, which is the drawing or the text."""
    why = "Where Graphviz's program dot is installed, this is a drawing."
    if shutil.which("dot") is not None:
        text = _dot(graph, MOST)
        if text is not None:
            try:
                drawn = _finished(graph, _laid_out(text))
            except GraphError as error:
                return None, _as_text(graph, f"{error.message}.")
            return drawn, f"<div>{drawn}</div>"
        why = f"{_too_large(graph, MOST)}, and folded it still is."
    return None, _as_text(graph, why)


def _too_large(graph: Graph, most: int | None) -> str:
    return f"A graph of {len(graph):,} nodes is too large to draw (more than {most})"


def _as_text(graph: Graph, why: str) -> str:
    lines = str(graph).splitlines()
    cut = [*lines[:_LINES], f"  ... and {len(lines) - _LINES:,} lines more"] if len(lines) > _LINES else lines
    body = escape("\n".join(cut))
    return f'<div><p>{escape(why)}</p><pre style="overflow-x:auto">{body}</pre></div>'


def _dot(graph: Graph, most: int | None) -> str | None:
    if most is None or len(graph) <= most:
        return to_dot(graph, compact=True)
    return folded(graph, most)


# Folding.


def folded(graph: Graph, most: int = MOST) -> str | None:
    """DOT with a box for each scope of each part, as deep as makes at most `most` boxes; without scopes, or where that
    is too many, one for each line of the user's, each file, or each part. None where even those are too many.

    Variables are counted in the box of their scope, and the next values of a group of updates are one box.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> "folded by line" in folded(define(y=-placeholder("x", (2,))))
    True
    """
    where = _places(graph)
    for what, path in _foldings(graph, most):
        groups = tuple(
            node.id if isinstance(node.op, Placeholder) else (part, path(node))
            for node, part in zip(graph.nodes, where, strict=True)
        )
        if len(set(groups)) <= most:
            return "\n".join([*_folded_lines(graph, groups, what), "}", ""])
    return None


def _foldings(graph: Graph, most: int) -> Iterator[tuple[str, Callable[[Node], tuple[str, ...]]]]:
    """Ways to fold, from fine to coarse: what they go by, and where a node belongs."""
    deepest = max((len(node.origin.scope) for node in graph.nodes), default=0)
    for depth in range(min(deepest, most), 0, -1):
        yield "scope", lambda node, depth=depth: node.origin.scope[:depth]  # type: ignore[misc]
    yield "line", lambda node: tuple(f"{relative(s.file)}:{s.line}" for s in node.origin.sources[:1])
    yield "file", lambda node: tuple(relative(s.file) for s in node.origin.sources[:1])
    yield "part", lambda node: ()


def _places(graph: Graph) -> Sequence[str]:
    """The part of each node, where a variable that only updates read is in theirs: an optimizer's state."""
    found = parts(graph)
    return [
        "update"
        if isinstance(node.op, Variable) and readers and all(found[i] == "update" for i in readers)
        else part
        for node, part, readers in zip(graph.nodes, found, graph.consumers, strict=True)
    ]


def _folded_lines(graph: Graph, groups: Sequence[Group], what: str) -> Iterator[str]:
    yield from DOT_HEAD
    yield f'  labelloc=t; label="{len(graph):,} nodes, folded by {what}; print(graph) shows each one";'
    members: dict[Group, list[Node]] = {}
    for node, group in zip(graph.nodes, groups, strict=True):
        members.setdefault(group, []).append(node)
    names = {group: f"g{k}" for k, group in enumerate(members)}
    for group, nodes in members.items():
        yield f"  {_folded_box(names[group], group, nodes, what)}"
    # A number is one node for all who take it, and stands in the box of the first: it is no edge between the boxes.
    edges = [
        (groups[i], groups[node.id])
        for node in graph.nodes
        for i in node.inputs
        if not isinstance(graph.nodes[i].op, Constant)
    ]
    yield from (f"  {names[a]} -> {names[b]};" for a, b in dict.fromkeys(edges) if a != b)
    for k, (name, i) in enumerate(graph.outputs):
        yield f"  {dot_box(f'o{k}', [_cut(name)], 'output')}"
        yield f"  {names[groups[i]]} -> o{k};"
    for k, (name, pairs) in enumerate(graph.updates):
        told = f"{_cut(name)}: {_count(len(pairs), 'next value')}"
        yield f"  {dot_box(f'u{k}', [told], 'output')}"
        yield from (f"  {names[group]} -> u{k};" for group in dict.fromkeys(groups[i] for _, i in pairs))


def _folded_box(name: str, group: Group, nodes: Sequence[Node], what: str) -> str:
    if isinstance(group, int):
        (node,) = nodes
        return dot_box(name, [f"placeholder {_cut(node.op.label)}", str(node.type)], "placeholder")  # type: ignore[attr-defined]
    part, scope = group
    variables = sum(isinstance(node.op, Variable) for node in nodes)
    counts = [_count(len(nodes) - variables, "node"), _count(variables, "variable")]
    title = "/".join(scope) or ("outside scopes" if (part, what) == ("forward", "scope") else part)
    told = ", ".join(count for count in counts if not count.startswith("0 "))
    return dot_box(
        name,
        [_cut(title), told, *_ops(nodes, what), *([part] if part not in ("forward", title) else [])],
        _FOLDED[part],
    )


def _ops(nodes: Sequence[Node], what: str) -> list[str]:
    """What a line does: its ops, the most frequent first; a scope's name says that by itself."""
    if what == "scope":
        return []
    counts = Counter(node.op.name for node in nodes if node.inputs)
    return [
        _cut(", ".join(f"{count} {name}" if count > 1 else name for name, count in counts.most_common(6)))
    ]


_FOLDED = {"forward": "op", "gradient": "gradient", "update": "update"}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


# dot, and what it gives.


def _laid_out(text: str) -> str:
    command = shutil.which("dot") or "dot"
    try:
        done = subprocess.run(  # noqa: S603  a fixed command; the text goes to its standard input
            [command, "-Tsvg"], input=text.encode(), capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GraphError(f"Graphviz's dot did not draw the graph: {error}", source=None) from None
    if done.returncode or b"<svg" not in done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GraphError(
            f"Graphviz's dot did not draw the graph: {said[0] if said else 'it failed'}", source=None
        )
    return done.stdout.decode()


def _finished(graph: Graph, svg: str) -> str:
    """The SVG of dot, made small and fit to stand in a page with others: no ids, no comments; origins as tooltips.

    Text of a user's is escaped in it and so has neither `<` nor `"`: what is matched here is dot's own.
    """

    def title(found: re.Match[str]) -> str:
        name = found[1]
        if not re.fullmatch(r"n\d+", name):
            return ""
        node = graph.nodes[int(name[1:])]
        return f"<title>{escape(f'%{node.id}  {node.origin}'.strip())}</title>"

    body = svg[svg.index("<svg") :]
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    body = re.sub(r"<title>([^<]*)</title>\n?", title, body)
    body = re.sub(r' id="(?:node|edge|clust|graph)\d+"', "", body)
    body = re.sub(r'<polygon ([^>]*?) points="([^"]*)"/>', _rectangle, body)
    body = re.sub(r'(?<= d=)"[^"]*"', lambda found: re.sub(r"-?\d+\.\d+", _rounded, found[0]), body)
    body = re.sub(r'(?<= points=)"[^"]*"', lambda found: re.sub(r"-?\d+\.\d+", _rounded, found[0]), body)
    body = body.replace(f' font-family="{FONT}"', "").replace(' text-anchor="middle"', "")
    body = body.replace(' font-size="10.00"', "").replace(f' fill="{TEXT}"', "")
    names = ", ".join(name for name, _ in graph.outputs)
    about = escape(
        _cut(f"graph of {len(graph):,} nodes: {''.join(c for c in names if c.isprintable())}", 200)
    )
    style = f"max-width:100%;height:auto;font:10px {FONT};text-anchor:middle"
    return body.replace("<svg ", f'<svg role="img" aria-label="{about}" style="{style}" ', 1).strip()


def _rounded(number: re.Match[str]) -> str:
    """A coordinate to a tenth of a point: a third of a drawing's size is digits that nobody sees."""
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _rectangle(found: re.Match[str]) -> str:
    """The boxes of dot, which are polygons, as rectangles with round corners; arrow heads, with fewer points, stay."""
    points = [tuple(map(float, point.split(","))) for point in found[2].split()]
    xs, ys = (sorted({point[axis] for point in points}) for axis in (0, 1))
    if len(points) != 5 or len(xs) != 2 or len(ys) != 2:
        return found[0]
    width, height = xs[1] - xs[0], ys[1] - ys[0]
    return f'<rect {found[1]} x="{xs[0]:g}" y="{ys[0]:g}" width="{width:g}" height="{height:g}" rx="5"/>'
