"""Pages of the explorer: saved, in a notebook, from the command line; and mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from models import one_hidden_layer
from symgraph.__main__ import main
from symgraph.commands.feeds import random_feeds
from symgraph.inspect.explorer.explore import explored
from symgraph.inspect.explorer.wanted import Run, Wanted


@pytest.fixture(scope="module")
def hidden():
    graph = one_hidden_layer.graph()
    return graph, sg.explore(graph, backend="interpreter", name="hidden")


def test_a_page_is_saved_whole_or_not_at_all(hidden, tmp_path):
    page = hidden[1]
    path = page.save(tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8") == page.html
    assert [one.name for one in path.parent.iterdir()] == ["page.html"]
    sg.explore(hidden[0], path, backend="numpy")
    assert path.read_text(encoding="utf-8") != page.html
    with pytest.raises(sg.GraphError, match=r"could not be written to .*: it is a folder"):
        page.save(tmp_path)
    with pytest.raises(sg.GraphError, match="could not be written"):
        page.save(path / "below a file" / "page.html")
    with pytest.raises(sg.GraphError, match="could not be written"):
        page.save("a\0b")
    link = tmp_path / "link.html"
    link.symlink_to(path)
    page.save(link)
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == page.html


def test_a_notebook_shows_the_page_in_a_frame_that_can_reach_nothing(hidden):
    shown = hidden[1]._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts allow-downloads" title="hidden"')
    assert "allow-same-origin" not in shown
    assert shown.count("<") == 2  # the page itself is escaped
    assert repr(hidden[1]).startswith("<Page 'hidden'")


def test_mistakes_are_told():
    graph = one_hidden_layer.graph()
    feeds = random_feeds(graph, {"batch": 3})
    with pytest.raises(sg.GraphError, match="explore takes a graph or an executable"):
        sg.explore("models.lenet")
    with pytest.raises(sg.GraphError, match="'rows' is no named size of this graph"):
        sg.explore(graph, rows=3)
    with pytest.raises(sg.GraphError, match="the size batch is a whole number from 0"):
        sg.explore(graph, batch=-1)
    with pytest.raises(sg.FeedError, match="'batch=4' and 'x' bind batch to two sizes: 4 and 3"):
        sg.explore(graph, feeds=feeds, batch=4)
    with pytest.raises(sg.FeedError, match="'z' is no placeholder of this graph"):
        sg.explore(graph, feeds={**feeds, "z": 1.0})
    with pytest.raises(sg.FeedError, match="has no value"):
        sg.explore(graph, feeds={"x": feeds["x"]})
    with pytest.raises(sg.FeedError, match="there are no feeds"):
        sg.explore(graph, profile_steps=3, batch=3)
    with pytest.raises(sg.GraphError, match="profile_steps is a whole number"):
        sg.explore(graph, feeds=feeds, profile_steps=-1)
    with pytest.raises(sg.FeedError, match="feeds are a mapping"):
        sg.explore(graph, feeds=[1.0])
    with pytest.raises(sg.CompileError, match="no backend 'gpu'"):
        sg.explore(graph, backend="gpu")


def test_sizes_of_any_name_can_be_given():
    graph = sg.define(y=sg.placeholder("x", ("seed", "name")) * 2.0)
    page = explored(graph, Run(sizes={"seed": 2, "name": 3}), Wanted("numpy"))
    assert json.loads(page.model)["about"]["sizes"] == [["name", 3], ["seed", 2]]


# The command line.


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parents[2])

    def run(*words):
        code = main(["explore", *map(str, words)])
        return code, capsys.readouterr().err

    return run


def test_the_command_writes_what_explore_gives(run, tmp_path):
    graph = one_hidden_layer.graph()
    feeds = random_feeds(graph, {"batch": 2}, seed=3)
    np.savez(tmp_path / "batch.npz", **feeds)
    where = tmp_path / "page.html"
    name = "models.one_hidden_layer"
    code, err = run(name, "--output", where, "--feed", tmp_path / "batch.npz", "--backend", "numpy")
    size = where.stat().st_size / 1e6
    assert (code, err) == (0, f"{where} is written, {size:.1f} MB\n")
    assert where.read_text(encoding="utf-8").startswith("<!doctype html>")
    first = where.read_bytes()
    assert run(name, "--output", where, "--feed", tmp_path / "batch.npz", "--backend", "numpy")[0] == 0
    assert where.read_bytes() == first
    words = ("--feed", "random", "--size", "batch=2", "--steps", "1", "--numerics", "fast", "--seed", "4")
    assert run(name, "--output", where, *words)[0] == 0
    assert where.read_bytes() != first


def test_every_model_with_a_graph_has_a_page(run, tmp_path):
    for name in (
        "logistic_regression",
        "logistic_regression_graph",
        "mnist_dense",
        "xor_mlp",
        "hard_way",
        "lenet",
    ):
        code, err = run(f"models.{name}", "--output", tmp_path / f"{name}.html", "--backend", "numpy")
        assert code == 0 and err.startswith(f"{tmp_path / f'{name}.html'} is written, ")


def test_the_page_is_opened(run, tmp_path, monkeypatch):
    where, opened = tmp_path / "a page.html", []
    monkeypatch.setattr("webbrowser.open", lambda uri: opened.append(uri) or True)
    words = ("models.logistic_regression_graph", "--backend", "numpy", "--open", "--output")
    assert run(*words, where)[0] == 0
    assert opened == [where.as_uri()]
    code, err = run(*words, "-")
    assert code == 2 and "the standard output cannot be opened" in err
    monkeypatch.setattr("webbrowser.open", lambda uri: False)
    code, err = run(*words, where)
    assert code == 2 and "no browser was found" in err and where.exists()


def test_mistakes_at_the_command_line_are_told(run, tmp_path):
    name, where = "models.one_hidden_layer", tmp_path / "page.html"
    np.savez(tmp_path / "batch.npz", x=np.ones((2, 784)))
    for words, wanted in (
        (("--size", "rows=3"), "'rows' is no named size"),
        (("--feed", tmp_path / "none.npz"), "none.npz"),
        (("--feed", tmp_path / "batch.npz"), "has no value for the placeholder 'y'"),
        (("--feed", "random"), "the sizes batch are not given"),
        (("--variables", tmp_path / "batch.npz"), "there are no feeds"),
        (("--backend", "gpu"), "no backend 'gpu'"),
    ):
        code, err = run(name, "--output", where, *words)
        assert code == 2
        assert wanted in err
        assert "Traceback" not in err
        assert not where.exists()
    assert run("models.none", "--output", where)[0] == 2
    code, err = run(name, "--output", tmp_path)
    assert (code, "it is a folder" in err) == (2, True)


def test_what_takes_a_while_is_said(run, tmp_path):
    (tmp_path / "deep.py").write_text(
        "import symgraph as sg\n\n\ndef graph():\n    y = sg.placeholder('x', (2,))\n"
        "    for _ in range(1001):\n        y = sg.exp(y)\n    return sg.define(y=y)\n"
    )
    code, err = run(tmp_path / "deep.py", "--output", tmp_path / "deep.html", "--backend", "interpreter")
    assert code == 0 and err.startswith("1,002 nodes: the page takes a while to make\n")
