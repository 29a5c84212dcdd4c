"""Diagrams: DOT and Mermaid texts that hostile names cannot break, with the halves and ties of a gradient."""

import re
import shutil
import subprocess
import sys

import pytest

from symgraph import ops
from symgraph.autodiff import gradient
from symgraph.build import do, parameter, run, scope
from symgraph.compile import compile
from symgraph.define import define
from symgraph.expr import placeholder, variable
from symgraph.inspect.diagram import is_gradient, kind, tie, to_dot, to_mermaid
from symgraph.train import adam, minimize

NASTY = [
    'a"b',
    "a\nb\r\tc",
    "<b>x</b>",
    "back\\slash",
    'end\\"',
    "]}; n0 -> n1; {[",
    "é☃\u2028",
    "\\N\\G",
    "x" * 500,
]
TOKEN = re.compile(r'\s*(?:"((?:[^"\\\n]|\\.)*)"|([A-Za-z_][A-Za-z0-9_]*)|([0-9.]+)|(->|[{}\[\];,=]))')


def tokens(text: str) -> list[str]:
    """DOT's tokens; anything else in the text fails."""
    found, position, stripped = [], 0, text.rstrip()
    while position < len(stripped):
        match = TOKEN.match(stripped, position)
        assert match is not None, stripped[position : position + 50]
        found.append(match[0].strip())
        position = match.end()
    return found


def network():
    @do
    def dense(x, units):
        w = yield from parameter("w", (x.shape[-1], units))
        return ops.abs(x @ w)

    @do
    def both(x):
        h = yield from scope("hidden", scope("first", dense(x, 4)))
        return (yield from scope("output", dense(h, 1)))

    out, _ = run(both(placeholder("x", ("batch", 3))))
    return define(loss=ops.sum(out))


def hostile(name: str):
    x = placeholder(name, (2,))

    @do
    def inner():
        w = yield from parameter("w", (2,))
        return x * w

    out, state = run(scope(name, inner()))
    w = next(iter(state.parameters.values()))
    return define({name + "out": ops.sum(out)}, updates={name: {w: w * 2.0}})


@pytest.mark.parametrize("name", NASTY)
def test_names_cannot_break_dot(name: str) -> None:
    text = to_dot(gradient(hostile(name), name + "out"))
    found = tokens(text)
    depth = 0
    for token in found:
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
    assert depth == 0
    assert {t for t in found if re.fullmatch(r"n\d+", t)} == {
        f"n{i}" for i in range(len(gradient(hostile(name), name + "out")))
    }


@pytest.mark.parametrize("name", NASTY)
def test_names_cannot_break_mermaid(name: str) -> None:
    for line in to_mermaid(hostile(name)).splitlines():
        assert line.count('"') in (0, 2)
        quoted = re.search(r'"(.*)"', line)
        assert quoted is None or not re.search(r"[<>`\\]", quoted[1].replace("<br>", ""))
        assert line.isascii() or line.isprintable()


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")
def test_graphviz_reads_it() -> None:
    texts = [to_dot(gradient(network()))] + [to_dot(hostile(name)) for name in NASTY]
    done = subprocess.run(["dot", "-Tplain"], input="".join(texts).encode(), capture_output=True, check=True)
    assert not done.stderr
    plain = done.stdout.decode()
    assert plain.count("\nstop") == len(texts)
    assert len(re.findall(r"^edge ", plain, re.M)) == sum(
        text.count(" -> ") - text.count("n0 -> n1; {[") for text in texts
    )


def test_halves_and_ties() -> None:
    forward = network()
    graph = gradient(forward)
    text = to_dot(graph)
    inside, _, outside = text.partition("subgraph cluster_gradient {")
    made = {node.id for node in graph.nodes if is_gradient(node)}
    assert made and all(i >= len(forward) for i in made)
    assert all(f"n{i} [" in outside and f"n{i} [" not in inside for i in made)
    assert all(f"n{i} [" in inside for i in set(range(len(graph))) - made)
    dashed = re.findall(r"n(\d+) -> n(\d+) \[style=dashed", text)
    assert {int(to) for _, to in dashed} == {i for i in made if tie(graph.nodes[i], graph, None)}
    for source, target in dashed:
        origin = graph.nodes[int(target)].origin
        assert int(source) in origin.of
        assert origin.rule in (f"vjp {forward.nodes[int(source)].op.name}", "seed")
    assert to_dot(graph, len(forward)).count("dashed") == len(dashed)
    assert "cluster_gradient" not in to_dot(forward)


def test_scopes_are_nested_clusters() -> None:
    lines = to_dot(network()).splitlines()
    depth, titles = 0, {}
    for line in lines:
        found = re.search(r'subgraph \w+ \{ label="(.*?)"', line)
        if found:
            titles[found[1]] = depth
        depth += line.count("{") - line.count("}")
    assert titles == {"forward": 1, "hidden": 2, "first": 3, "output": 2}
    names = [re.search(r"subgraph (\w+)", line)[1] for line in lines if "subgraph" in line]
    assert len(set(names)) == len(names)


def test_every_edge_is_drawn_and_labels_tell_op_type_line() -> None:
    x = placeholder("x", ("n", 2))
    line = sys._getframe().f_lineno + 1
    graph = define(y=x * x + 3.0)
    text = to_dot(graph)
    for node in graph.nodes:
        for i in node.inputs:
            assert text.count(f"  n{i} -> n{node.id};") == node.inputs.count(i)
    assert f'label="mul\\nf32[n,2]\\ntests/inspect/test_diagram.py:{line}"' in text
    assert 'label="placeholder x\\nf32[n,2]' in text
    assert 'label="3.0\\n' in text


def test_deep_graphs_and_scopes_do_not_overflow() -> None:
    x = variable("x", (2,))
    out = x
    for _ in range(5_000):
        out = ops.neg(out)
    assert to_dot(define(y=out)).count("->") == 5_001
    deep = parameter("w", (2,))
    for _ in range(2_000):
        deep = scope("s", deep)
    w, _ = run(deep)
    assert tokens(to_dot(define(y=w))).count("subgraph") == 2_001


def test_what_an_optimizer_made_is_of_the_update_until_a_rewrite_makes_it():
    w = variable("w", (3,))
    graph = minimize(define(loss=ops.sum(ops.square(w))), "loss", adam(0.1))
    kinds = {kind(node) for node in graph.nodes}
    assert "update" in kinds and "gradient" in kinds and "rewritten" not in kinds
    assert "rewritten" in {kind(node) for node in compile(graph).graph.nodes}
