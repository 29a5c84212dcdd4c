"""Names and file names of any characters: they neither run, nor break a line, a text or a file."""

import ast
import io
import json
import re
import shutil
import subprocess
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.__main__ import main

NAMES = [
    'a"b', "a'b", "a\nb", "a\r\nb", "a\0b", "a\tb", "a b", "\u202eabc\u2066", "🎉", "é", "e\u0301", "名前", "a\\b",
    "\\", '"', '\\"', "\\n", "\n", '"; import os; os.system("x") #', "'); raise SystemExit #", "{x}", "{0.__class__}",
    "%s", "%(x)s", "%0", "#", "# a.py:3", "a: f32[2]", "loss}", "return", "update", "graph", "class", "None", "nan",
    "</script><img src=x onerror=alert(1)>", "__import__('os').system('x')", "$(reboot)", "`id`", "../../etc/passwd",
    "a/b", "a//b", "end", "subgraph", "%%{init: {}}%%", "digraph", "n0", "\u2028", "\u2029", "\x85", "\x1b[31mred",
    "\x7f", "\ufeff", "\u200b", "&quot;", "<br>", "long" * 2000, "__dict__", "i0", "u0", "arena", "f_exp",
]  # fmt: skip
PLAIN = "plain"


def _ids(name: str) -> str:
    return ascii(name)[1:30]


def declared(name: str) -> sg.Graph:
    """A graph that has the name in the place of every name that a user chooses."""

    @sg.do
    def layer(x: sg.Expr) -> Any:
        w = yield from sg.parameter(f"{name}.w", (3,), init=0.5)
        return sg.assert_finite(sg.exp(x * w) + x * w, label=name), w

    x = sg.placeholder(name, ("n", 3))
    (y, w), _ = sg.run_build(sg.scope(name, layer(x)))
    outputs = {f"{name}.loss": sg.mean(y), f"{name}.y": y}
    return sg.define(outputs, updates={name: {w: w * 0.5 + sg.sum(y, axis=0)}})


X = np.arange(6, dtype=np.float32).reshape(2, 3) / 4


def stepped(graph: sg.Graph, name: str) -> list[Any]:
    """What a run with the update gives, and the variable after it."""
    with sg.Session(graph, backend="numpy") as session:
        loss, y = session.run((f"{name}.loss", f"{name}.y"), {name: X}, update=name)
        return [loss, y, *session.variables.snapshot().values()]


def is_one_line(text: str) -> bool:
    """Whether no reader of lines would see two, and none would see what cannot be printed."""
    return len(text.splitlines()) <= 1 and text.isprintable()


def without_comments(source: str) -> str:
    """Python source without its comments."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return tokenize.untokenize(t for t in tokens if t.type not in (tokenize.COMMENT, tokenize.NL))


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_generated_source_has_no_text_of_the_user(name: str) -> None:
    plain, odd = (sg.compile(declared(n), backend="numpy").source(n=2) for n in (PLAIN, name))
    assert odd.isascii() and len(odd.splitlines()) == len(plain.splitlines()) == odd.count("\n")
    ast.parse(odd)
    code = [re.sub(r"\s+", " ", without_comments(source)) for source in (plain, odd)]
    assert code[0] == code[1]
    for got, wanted in zip(stepped(declared(name), name), stepped(declared(PLAIN), PLAIN), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_the_text_form_round_trips(name: str) -> None:
    graph, plain = declared(name), declared(PLAIN)
    text = str(graph)
    again = sg.from_text(text)
    assert again == graph and str(again) == text and text.isascii()
    assert len(text.splitlines()) == len(str(plain).splitlines())
    assert [n.origin.scope for n in again.nodes] == [n.origin.scope for n in graph.nodes]


_DOT_TOKEN = re.compile(r'\s+|"(?:[^"\\\n]|\\.)*"|[A-Za-z_][A-Za-z0-9_]*|-?[0-9.]+|->|[{}\[\];=,]')
_MERMAID_TEXT = r'"(?:<br>|[^"<>\n])*"'
_MERMAID = re.compile(
    rf"flowchart TB|\s*(?:n\d+\[{_MERMAID_TEXT}\]|[ou]\d+\(\[{_MERMAID_TEXT}\]\)|subgraph \w+\[{_MERMAID_TEXT}\]|end"
    r"|\w+ (?:-->|-\.->) \w+)"
)


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_diagrams_are_valid(name: str) -> None:
    graph = sg.gradient(declared(name), f"{name}.loss")
    dot, mermaid = sg.to_dot(graph), sg.to_mermaid(graph)
    at = 0
    while at < len(dot):
        token = _DOT_TOKEN.match(dot, at)
        assert token is not None, dot[at : at + 60]
        at = token.end()
    plain = sg.gradient(declared(PLAIN), f"{PLAIN}.loss")
    assert len(dot.splitlines()) == len(sg.to_dot(plain).splitlines())
    assert len(mermaid.splitlines()) == len(sg.to_mermaid(plain).splitlines())
    for line in (*dot.splitlines(), *mermaid.splitlines()):
        assert is_one_line(line)
    for line in mermaid.splitlines():
        assert _MERMAID.fullmatch(line), line


def test_graphviz_reads_the_diagrams() -> None:
    command = shutil.which("dot")
    texts = [sg.to_dot(declared(name)) for name in NAMES]
    if command is None:  # the tokens above are checked everywhere
        assert all(text.startswith("digraph") for text in texts)
        return
    found = subprocess.run(
        [command, "-Tcanon"], input="\n".join(texts).encode(), capture_output=True, check=False
    )
    assert found.returncode == 0 and not found.stderr and found.stdout.count(b"digraph") >= len(NAMES)


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_explanations_have_a_line_for_each_row(name: str) -> None:
    plain, odd = (sg.explain(sg.compile(sg.gradient(declared(n), f"{n}.loss"))) for n in (PLAIN, name))
    assert [line.split()[:4] for line in odd.splitlines()] == [
        line.split()[:4] for line in plain.splitlines()
    ]
    assert all(map(is_one_line, odd.splitlines()))


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_checkpoints_keep_the_names(name: str, tmp_path: Path) -> None:
    graph = declared(name)
    with sg.Session(graph) as session:
        session.run(f"{name}.loss", {name: X}, update=name)
        session.save(tmp_path / "state", extra={name: name})
        wanted = session.variables.snapshot()
    with sg.Session(sg.from_text(str(graph))) as session:
        found = session.restore(tmp_path / "state")
        assert found.extra == {name: name} and session.step == 1
        for label, value in session.variables.snapshot().items():
            np.testing.assert_array_equal(value, wanted[label])


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_error_messages_keep_their_lines(name: str) -> None:
    with sg.Session(declared(name), backend="numpy") as session:
        for feeds in ({}, {name: X[:, :2]}, {name: "text"}, {name: X, name + "?": 1}, {name: X * np.nan}):
            with pytest.raises(sg.SymgraphError) as caught:
                session.run(f"{name}.loss", feeds)
            assert all(map(is_one_line, str(caught.value).splitlines())), ascii(str(caught.value))
            str(caught.value).encode("utf-8")
    x = sg.placeholder(name, (3,))
    with pytest.raises(sg.ShapeError) as shape:
        sg.matmul(x, sg.variable(name, (4, 2)))
    assert all(map(is_one_line, str(shape.value).splitlines())) and len(str(shape.value).splitlines()) == 6


@pytest.mark.parametrize("name", NAMES, ids=_ids)
def test_the_command_line_shows_the_graph(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.sg"
    path.write_text(str(declared(name)), "utf-8")
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert all(map(is_one_line, out.splitlines()))


UNENCODABLE = ["\ud800", "a\udfff", "\ud83d\ude00", "\udcff"]


@pytest.mark.parametrize("name", UNENCODABLE, ids=_ids)
def test_names_that_no_file_can_hold_are_refused_where_they_are_declared(name: str) -> None:
    x = sg.placeholder("x", (3,))
    w = sg.variable("w", (3,))
    for wrong in (
        lambda: sg.placeholder(name, (3,)),
        lambda: sg.variable(name, (3,)),
        lambda: sg.define({name: x}),
        lambda: sg.define(y=x, updates={name: {w: w}}),
        lambda: sg.scope(name, sg.pure(1)),
        lambda: sg.parameter(name),
        lambda: sg.from_text(f"graph({json.dumps(name)}: f32[2]) {{\n  return y=%0\n}}"),
    ):
        if name == "\ud83d\ude00" and "from_text" in wrong.__code__.co_names:
            continue  # in a text the two halves are one character
        with pytest.raises(sg.GraphError) as caught:
            wrong()
        str(caught.value).encode("ascii")


FILES = [
    "a\nb.py", "a\r\nimport os\r\n.py", 'a".py', "a'.py", "a # b.py", "a:3; scope.py", "\u2028.py", "\x85.py",
    "\ud800.py", "é.py", "a, b:4.py", "%s{x}.py", "</script>.py", "a\0b.py", "by rule of %1.py", "\x1b[2J.py",
]  # fmt: skip
PROGRAM = """
import symgraph as sg
x = sg.placeholder("x", ("n", 3))
w = sg.variable("w", (3,), init=0.5)
y = sg.assert_finite(sg.exp(x * w) + x * w, label="y")
graph = sg.define({"loss": sg.mean(y), "y": y})
def wrong():
    return x @ sg.variable("v", (4, 2))
"""


@pytest.mark.parametrize("file", FILES, ids=_ids)
def test_files_of_any_name_are_comments_that_stay_on_their_line(file: str) -> None:
    space: dict[str, Any] = {}
    exec(compile(PROGRAM, "module.py", "exec"), plain := {})
    try:
        code = compile(PROGRAM, file, "exec")
    except (ValueError, UnicodeEncodeError):  # Python itself has no code of such a file
        code = compile(PROGRAM, "module.py", "exec").replace(co_filename=file)
    exec(code, space)
    graph = space["graph"]
    text, source = str(graph), sg.compile(graph, backend="numpy").source(n=2)
    assert len(text.splitlines()) == len(str(plain["graph"]).splitlines()) and text.isascii()
    again = sg.from_text(text)
    assert again == graph and str(again) == text
    assert [n.origin.sources for n in again.nodes] == [n.origin.sources for n in graph.nodes]
    wanted = sg.compile(plain["graph"], backend="numpy").source(n=2)
    assert len(source.splitlines()) == len(wanted.splitlines()) and source.isascii()
    assert without_comments(source).split() == without_comments(wanted).split()
    for shown in (sg.explain(sg.compile(graph)), sg.to_dot(graph), sg.to_mermaid(graph)):
        assert all(map(is_one_line, shown.splitlines()))
        shown.encode("utf-8")
    with pytest.raises(sg.ShapeError) as declared_wrong:
        space["wrong"]()
    with pytest.raises(sg.ExecutionError) as run_wrong:
        sg.Session(graph, backend="numpy").run("y", {"x": X * np.nan})
    for caught in (declared_wrong.value, run_wrong.value):
        assert all(map(is_one_line, str(caught).splitlines()))
        str(caught).encode("utf-8")


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_any_name_round_trips_or_is_refused(name: str) -> None:
    try:
        graph = declared(name)
    except sg.GraphError:
        assert name.encode("utf-8", "replace").decode() != name
        return
    assert sg.from_text(str(graph)) == graph
    assert sg.compile(graph, backend="numpy").source(n=2).isascii()
