"""Drawings: whole XML without anything that runs, every node on it, and text where there is no drawing."""

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

import symgraph as sg
from symgraph import origin
from symgraph.inspect import drawing
from tests.inspect.test_diagram import NASTY, hostile, network

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    *NASTY,
    "<img src=x onerror=alert(1)>",
    "</text></svg><script>alert(1)</script>",
    "&lt;script&gt;",
    "a &amp; b &quot;c&quot; &#60;",
    "-->",
    "<!-- <title>n0</title>",
    ']]> id="node1" d="1.25"',
    '" onload="alert(1)',
]
has_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")


@pytest.fixture
def no_dot(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


@has_dot
@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_runs(name):
    svg = sg.to_svg(sg.gradient(hostile(name), name + "out"))
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "g", "title", "text", "path", "polygon", "polyline", "ellipse", "rect",
    }  # fmt: skip
    known = {
        "class", "transform", "fill", "stroke", "d", "points", "x", "y", "cx", "cy", "rx", "ry", "width", "height",
        "font-size", "viewBox", "style", "role", "aria-label", "stroke-dasharray",
    }  # fmt: skip
    assert {key for element in root.iter() for key in element.attrib} <= known
    # What is read is the name itself, cut to sixty characters, with what cannot be printed made visible.
    if name.isprintable() and len(name) < 50:
        assert f"placeholder {name}" in texts(svg)
        assert f"{name}: next {name}/w" in texts(svg)


@has_dot
def test_every_node_is_drawn_with_its_kind_and_type():
    graph = sg.gradient(network())
    svg = sg.to_svg(graph)
    root = ET.fromstring(svg)
    tips = [e.find(f"{SVG}title").text for e in root.iter(f"{SVG}g") if e.find(f"{SVG}title") is not None]
    numbers = {n.id for n in graph.nodes if not n.inputs and n.op.name == "constant"}
    assert {int(re.match(r"%(\d+)", tip)[1]) for tip in tips} == {n.id for n in graph.nodes} - numbers
    shown = texts(svg)
    for node in graph.nodes:
        assert node.id in numbers or str(node.type) in shown
    assert {"forward", "gradient", "hidden", "first", "output", "loss"} <= set(shown)
    assert "vjp matmul" in shown
    colours = {e.get("fill") for e in root.iter() if e.get("fill")}
    assert {"#dbeafe", "#fef3c7", "#f9fafb", "#fce7f3", "#ede9fe"} <= colours
    assert "vjp" not in " ".join(texts(sg.to_svg(network())))


@has_dot
def test_an_update_stands_in_a_box_of_its_own():
    w = sg.variable("w", (3,), init=0.0)
    graph = sg.define(loss=sg.sum(w * w), updates={"train": {w: w - 0.5 * (2.0 * w)}})
    assert {"forward", "update", "train: next w"} <= set(texts(sg.to_svg(graph)))


@has_dot
def test_what_a_page_shows_is_safe_on_dark_and_on_light_and_has_no_ids():
    svg = sg.to_svg(network())
    assert svg.startswith("<svg ") and svg.endswith("</svg>")
    assert " id=" not in svg and "<!--" not in svg and "xlink:href" not in svg
    root = ET.fromstring(svg)
    assert 'fill="white"' not in svg  # the page shows through
    boxes = [e for g in root.iter(f"{SVG}g") if g.get("class") == "node" for e in g if e.tag != f"{SVG}title"]
    outside = [e for g in root.iter(f"{SVG}g") if g.get("class") in ("cluster", "edge") for e in g]
    for element in outside:
        assert {element.get("fill"), element.get("stroke")} - {None, "none", "transparent"} <= {
            "#7d8590",
            "#6b7280",
        }
    for element in boxes:
        if element.get("fill") not in (None, "none"):  # none is the lid of a cylinder
            red, green, blue = (int(element.get("fill")[i : i + 2], 16) for i in (1, 3, 5))
            assert min(red, green, blue) > 180  # below its text, which is black
    assert "fill" not in {key for e in boxes if e.tag == f"{SVG}text" for key in e.attrib}


@has_dot
def test_drawings_are_the_same_each_time_and_small():
    graph = sg.gradient(network())
    assert sg.to_svg(graph) == sg.to_svg(graph)
    assert len(sg.to_svg(graph)) < 900 * len(graph)


def scoped(depth: int, width: int) -> sg.Graph:
    @sg.do
    def block(x):
        w = yield from sg.parameter("w", (4,))
        for _ in range(width):
            x = sg.tanh(x * w)
        return x

    @sg.do
    def deep(x):
        for k in range(depth):
            x = yield from sg.scope(f"layer{k}", sg.scope("inner", block(x)))
        return x

    out, _ = sg.run_build(deep(sg.placeholder("x", ("batch", 4))))
    return sg.define(loss=sg.sum(out))


@has_dot
def test_a_large_graph_is_folded_by_scope():
    graph = sg.gradient(scoped(6, 20))
    assert len(graph) > drawing.MOST
    shown = texts(sg.to_svg(graph))
    for k in range(6):
        assert f"layer{k}/inner" in shown
    assert "40 nodes, 1 variable" in shown and "gradient" in shown
    assert any("folded by scope; print(graph) shows each one" in text for text in shown)
    assert {"placeholder x", "loss"} <= set(shown)
    assert f"{len(graph):,} nodes, folded by scope; print(graph) shows each one" in shown
    whole = sg.to_svg(scoped(2, 3), most=None)
    assert "tanh" in texts(whole)
    assert counted(shown) + len(graph.placeholders) == len(graph)


def counted(shown: list[str]) -> int:
    """The nodes and variables that the boxes of a folded drawing tell of."""
    boxes = [
        text for text in shown if re.fullmatch(r"[\d,]+ (node|variable).*", text) and "print" not in text
    ]
    return sum(int(number.replace(",", "")) for box in boxes for number in re.findall(r"[\d,]*\d", box))


@has_dot
def test_a_folded_training_graph_has_one_box_for_its_updates():
    graph = sg.train.minimize(scoped(6, 20), "loss", sg.train.adam(0.1))
    shown = texts(sg.to_svg(graph))
    (group,) = graph.updates
    assert f"train: {len(group[1])} next values" in shown
    assert shown.count("update") >= 1 and shown.count("gradient") >= 6
    assert counted(shown) + len(graph.placeholders) == len(graph)


def test_folding_goes_only_as_deep_as_fits():
    graph = scoped(6, 20)
    assert "layer0/inner" in drawing.folded(graph, 20)
    coarse = drawing.folded(graph, 3)
    assert "folded by file" in coarse and "layer0" not in coarse
    assert drawing.folded(graph, 1) is None


def unscoped(length: int) -> sg.Graph:
    y = sg.placeholder("x", (2,))
    for k in range(length):
        y = sg.tanh(y) if k % 2 else sg.exp(y)
    return sg.define({"<b>": sg.sum(y * sg.variable("w", (2,)))})


def test_a_large_graph_without_scopes_is_folded_by_line():
    graph = sg.gradient(unscoped(2000), "<b>")
    text = drawing.folded(graph)
    assert "folded by line" in text
    here = origin.relative(__file__)
    boxes = re.findall(rf'label="{re.escape(here)}:\d+\\n([^"]*)"', text)
    assert any("1000 tanh, 1000 exp" in box or "1000 exp, 1000 tanh" in box for box in boxes)
    assert any("gradient" in box for box in boxes) and any("1 variable" in box for box in boxes)
    if shutil.which("dot") is not None:
        assert counted(texts(sg.to_svg(graph))) + len(graph.placeholders) == len(graph)
        assert graph._repr_html_().startswith("<div><svg")
        assert "folded by line" in sg.to_svg(sg.gradient(unscoped(100), "<b>"), most=50)


def test_a_graph_of_too_many_placeholders_is_text():
    total = sg.placeholder("x", (2,))
    for k in range(400):
        total = total + sg.placeholder(f"x{k}", (2,))
    graph = sg.define({"<b>": total})
    assert graph._repr_svg_() is None
    page = graph._repr_html_()
    assert "<b>" not in page and page.startswith("<div><p>")
    if shutil.which("dot") is not None:
        assert "A graph of 801 nodes is too large to draw (more than 200), and folded it still is" in page
        with pytest.raises(sg.GraphError, match="it has 401 placeholders") as caught:
            sg.to_svg(graph)
        assert "most=None" in caught.value.hint
    assert "lines more" in page and len(page.splitlines()) < 220


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", HOSTILE)
def test_without_graphviz_the_text_form_stands_in_the_page(name, no_dot):
    graph = hostile(name)
    assert graph._repr_svg_() is None
    page = Tags()
    page.feed(graph._repr_html_())
    assert page.tags == [("div", ()), ("p", ()), ("pre", (("style", "overflow-x:auto"),))]
    assert str(graph).strip() in "".join(page.text)
    with pytest.raises(sg.GraphError, match="needs Graphviz's program dot") as caught:
        sg.to_svg(graph)
    assert "to_mermaid" in caught.value.hint


@has_dot
def test_a_notebook_gets_the_drawing():
    graph = network()
    assert graph._repr_svg_() == sg.to_svg(graph)
    assert graph._repr_html_() == f"<div>{sg.to_svg(graph)}</div>"
    assert sg.from_text(str(graph)) == graph  # what is kept of a drawing is no part of a graph


def test_a_dot_that_fails_is_no_failure_of_a_notebook(tmp_path: Path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho 'no layout' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    graph = network()
    assert graph._repr_svg_() is None
    assert "dot did not draw the graph: no layout" in graph._repr_html_().replace("&#x27;", "'")
    with pytest.raises(sg.GraphError, match="no layout"):
        sg.to_svg(graph)


def test_what_is_no_graph():
    with pytest.raises(sg.GraphError, match="to_svg takes a graph"):
        sg.to_svg(3)


def test_a_cell_of_a_notebook_is_named_as_its_reader_sees_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert origin.relative("/tmp/ipykernel_7/123.py") == "/tmp/ipykernel_7/123.py"

    class Compiler:
        @staticmethod
        def format_code_name(name):
            return ("Cell", "In[4]") if name.endswith("123.py") else None

    class Shell:
        compile = Compiler

    class Package:
        @staticmethod
        def get_ipython():
            return Shell

    monkeypatch.setitem(sys.modules, "IPython", Package)
    assert origin.relative("/tmp/ipykernel_7/123.py") == "In[4]"
    assert origin.relative("/tmp/ipykernel_7/124.py") == "/tmp/ipykernel_7/124.py"
    assert str(origin.Origin((origin.Source("/tmp/ipykernel_7/123.py", 3),))) == "In[4]:3"
