"""Drawings: a graph as SVG, laid out by Graphviz's program `dot`, and as what notebooks show of it.

to_svg   : Graph -> SVG            needs dot
notebook : Graph -> (SVG | None, HTML)     the text form where dot is missing or the graph is too large

A large graph is folded: the ops of a scope become one box. Names are data: they are escaped for DOT, dot escapes them
for XML, and hovering over a node shows its origin.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from html import escape
from typing import TypeAlias

import attrs

from symgraph.errors import GraphError
from symgraph.inspect.diagram import DOT_HEAD, FONT, TEXT, dot_box, ends, is_gradient, kind, to_dot
from symgraph.ir import Graph, Node, Placeholder, Variable, require_graph

MOST = 200  # nodes that a drawing shows without folding: more cannot be read, and dot takes seconds
_LINES = 200  # lines of the text form that stand in for a drawing
_SECONDS = 30

Group: TypeAlias = tuple[str, tuple[str, ...]] | int  # a half and a scope in it, or a leaf that stands alone


def to_svg(graph: Graph, most: int | None = MOST) -> str:
    """The graph as SVG, to be shown in a page or written into a file.

    Leaves and ops are coloured by kind, types stand on the nodes, scopes are boxes, and what differentiation made
    stands in a box of its own, each node with its rule; on a light and on a dark page. A graph of more than `most`
    nodes is folded by scope; with None it is not. Raises GraphError where the program dot is missing or fails, and
    where a large graph has no scopes to fold.

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
            f"{_too_large(graph, most)}, and it has no scopes that could be folded",
            hint="Declare its parts in symgraph.scope(name, ...), or draw all: to_svg(graph, most=None).",
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
        why = f"{_too_large(graph, MOST)}; scopes would be folded, and it has none."
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


@attrs.frozen
class _Fold:
    """Which group each node is in."""

    groups: tuple[Group, ...]

    @property
    def members(self) -> Mapping[Group, int]:
        """How many nodes each group has, in the order in which they come."""
        found: dict[Group, int] = {}
        for group in self.groups:
            found[group] = found.get(group, 0) + 1
        return found


def _group(node: Node, depth: int) -> Group:
    if isinstance(node.op, Placeholder | Variable):
        return node.id
    return "gradient" if is_gradient(node) else "forward", node.origin.scope[:depth]


def folded(graph: Graph, most: int = MOST) -> str | None:
    """DOT with a box for each scope, as deep as makes at most `most` boxes; None where no fold has so few.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> folded(define(y=-placeholder("x", (2,)))) is None
    True
    """
    deepest = max((len(node.origin.scope) for node in graph.nodes), default=0)
    for depth in range(min(deepest, most), 0, -1):
        fold = _Fold(tuple(_group(node, depth) for node in graph.nodes))
        if len(fold.members) <= most:
            return "\n".join([*_folded_lines(graph, fold), "}", ""])
    return None


def _folded_lines(graph: Graph, fold: _Fold) -> Iterator[str]:
    yield from DOT_HEAD
    yield f'  labelloc=t; label="{len(graph):,} nodes, folded by scope; print(graph) shows each one";'
    names = {group: f"g{k}" for k, group in enumerate(fold.members)}
    for group, count in fold.members.items():
        if isinstance(group, int):
            node = graph.nodes[group]
            yield f"  {dot_box(names[group], [f'{node.op.name} {_short(node)}', str(node.type)], kind(node))}"
            continue
        half, path = group
        title = "/".join(path) or "outside scopes"
        lines = [
            title,
            f"{count:,} {'node' if count == 1 else 'nodes'}",
            *(["gradient"] * (half == "gradient")),
        ]
        yield f"  {dot_box(names[group], [_cut(line) for line in lines], 'gradient' if half == 'gradient' else 'op')}"
    pairs = dict.fromkeys(
        (fold.groups[i], fold.groups[node.id])
        for node in graph.nodes
        for i in node.inputs
        if fold.groups[i] != fold.groups[node.id]
    )
    yield from (f"  {names[a]} -> {names[b]};" for a, b in pairs)
    for end, name, i in ends(graph):
        yield f"  {dot_box(end, [name], 'output')}"
        yield f"  {names[fold.groups[i]]} -> {end};"


def _short(node: Node) -> str:
    return _cut(str(getattr(node.op, "label", "")))


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
