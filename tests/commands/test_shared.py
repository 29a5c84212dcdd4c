"""What commands share: graphs, sizes, values from files of others, and files that are written whole."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from models import one_hidden_layer
from symgraph.__main__ import main
from symgraph.commands import feeds as module
from symgraph.commands.shared import feeds_from, load, random_feeds, variables_from, write
from symgraph.errors import FeedError, GraphError

safetensors = pytest.importorskip("safetensors.numpy")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def graph():
    x = sg.placeholder("x", ("n", 3))
    rate = sg.placeholder("rate", (), default=0.5)
    w = sg.variable("w", (3,), init=0.5)
    return sg.define(y=sg.sum(x * w, axis=1) * rate)


X = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_feeds_of_both_kinds_of_file_are_checked():
    np.savez("a.npz", x=X)
    np.savez_compressed("b.npz", x=np.asfortranarray(X), rate=np.float32(2))
    safetensors.save_file({"x": X}, "c.safetensors")
    for name in ("a.npz", "b.npz", "c.safetensors"):
        found = feeds_from(name, graph())
        np.testing.assert_array_equal(found["x"], X)
        assert set(found) == ({"x", "rate"} if name == "b.npz" else {"x"})
        assert sg.compile(graph())(found, {"w": np.ones(3, np.float32)})["y"].shape == (2,)
    assert feeds_from("a.npz", graph(), {"n": 2})["x"].dtype == np.float32


def npz(name, entries):
    with zipfile.ZipFile(name, "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)


def npy(array=X, **changes):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
    data = stream.getvalue()
    for was, now in changes.items():
        data = data.replace(was.encode(), now.encode())
    return data


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"x.npy": npy(np.array([Trap()], object))}, "the entry 'x' cannot be read: its elements are object"),
        ({"x.npy": npy().replace(b"(2, 3)", b"(2,10000000)")}, "the entry 'x' cannot be read"),
        ({"x.npy": npy().replace(b"(2, 3), }", b"(99999999), }")}, "the entry 'x' cannot be read"),
        ({"x.npy": npy()[:-4]}, "the entry 'x' cannot be read: it claims the shape (2, 3)"),
        ({"x.npy": npy() + b"1234"}, "claims the shape"),
        ({"x.npy": b"nothing"}, "the entry 'x' cannot be read"),
        ({"x.npy": npy(np.array(["a"]))}, "and no numbers"),
        ({"x.npy": npy(X + 1j)}, "and no numbers"),
        ({"x.npy": npy(X.astype(np.float64))}, "evil.npz: the feed 'x' is float64, and f32 was declared"),
        ({"x.npy": npy(X[0])}, "evil.npz: the feed 'x' has the shape [3]"),
        ({"z.npy": npy()}, "evil.npz: 'z' is no placeholder of this graph"),
        ({}, "evil.npz has no value for the placeholder 'x'"),
    ],
)
def test_a_file_of_another_is_refused_with_its_name(entries, said, tmp_path):
    npz("evil.npz", entries)
    with pytest.raises(FeedError) as caught:
        feeds_from("evil.npz", graph())
    assert said in str(caught.value) and "evil.npz" in str(caught.value)
    assert not (tmp_path / "trap").exists()


def test_other_files_are_refused(monkeypatch):
    np.savez("a.npz", x=X)
    Path("b.npz").write_bytes(b"PK nothing")
    Path("c.safetensors").write_bytes(b"\xff" * 100)
    for name, said in (
        ("b.npz", "b.npz is damaged, or no .npz file"),
        ("c.safetensors", "c.safetensors is damaged, or no .safetensors file"),
        ("d.npz", "d.npz cannot be read: No such file"),
        ("d.csv", "d.csv ends neither in .npz nor in .safetensors"),
    ):
        with pytest.raises(FeedError, match=said.replace(".", r"\.")):
            feeds_from(name, graph())
    with pytest.raises(FeedError, match="bind n to two sizes: 5 and 2"):
        feeds_from("a.npz", graph(), {"n": 5})
    monkeypatch.setattr(module, "_MOST", 100)
    with pytest.raises(FeedError, match=r"unpacks to .* bytes, and 100 are read at most"):
        feeds_from("a.npz", graph())


def test_variables_are_first_values_or_those_of_a_file():
    trained = sg.train.minimize(sg.define(loss=sg.mean(graph().expressions[-1])), "loss", sg.train.adam(0.1))
    np.testing.assert_array_equal(variables_from(None, graph(), 3)["w"], np.full(3, 0.5, np.float32))
    with sg.Session(trained) as session:
        session.run("loss", {"x": X}, update="train")
        session.save("state.safetensors")
        wanted = session.variables["w"]
    found = variables_from("state.safetensors", graph())
    assert set(found) == {"w"}  # the optimizer's state is left aside
    np.testing.assert_array_equal(found["w"], wanted)
    np.savez("w.npz", w=np.ones(4, np.float32))
    with pytest.raises(FeedError, match=r"w\.npz: 'w' is f32\[4\], and f32\[3\] is declared"):
        variables_from("w.npz", graph())
    data = bytearray(Path("state.safetensors").read_bytes())
    data[-1] ^= 1
    Path("state.safetensors").write_bytes(data)
    with pytest.raises(sg.CheckpointError, match="damaged"):
        variables_from("state.safetensors", graph())


def test_random_feeds_are_those_of_the_seed_and_the_name():
    sizes = {"n": 50}
    found = random_feeds(graph(), sizes, 1)
    assert set(found) == {"x"} and found["x"].shape == (50, 3) and found["x"].dtype == np.float32
    assert abs(found["x"].mean()) < 0.5 and 0.5 < found["x"].std() < 1.5
    np.testing.assert_array_equal(found["x"], random_feeds(graph(), sizes, 1)["x"])
    assert (found["x"] != random_feeds(graph(), sizes, 2)["x"]).any()
    with pytest.raises(FeedError, match="the sizes n are not given") as caught:
        random_feeds(graph(), {})
    assert "--size n=4" in caught.value.hint
    with pytest.raises(
        FeedError, match=r"no values can be drawn for 'x' of the shape \(281474976710000, 3\)"
    ):
        random_feeds(graph(), {"n": 281474976710000})


def test_random_integers_are_such_as_the_graph_takes():
    n = ("n",)
    word, label, deep, flag, any_ = (
        sg.placeholder(name, n, dtype)
        for name, dtype in (
            ("word", "int64"),
            ("label", "int32"),
            ("deep", "int64"),
            ("flag", "bool"),
            ("any", "int64"),
        )
    )
    table = sg.variable("table", (7, 3))
    rows = sg.take(table, word)
    made = sg.define(
        a=sg.softmax_cross_entropy(rows, label),
        b=sg.one_hot(deep, 5),
        c=sg.where(flag, any_, any_ + 1),
        d=sg.gather(rows, sg.reshape(deep, ("n", 1)), axis=1),
    )
    found = random_feeds(made, {"n": 400})
    assert {name: (int(a.min()), int(a.max()) + 1) for name, a in found.items()} == {
        "word": (0, 7), "label": (0, 3), "deep": (0, 3), "flag": (0, 2), "any": (0, 2),
    }  # fmt: skip
    sg.compile(made)(found, {"table": np.zeros((7, 3), np.float32)})


def test_files_are_written_whole(tmp_path, capsysbinary):
    target = tmp_path / "a.txt"
    for content, held in (("text", b"text\n"), ("text\n", b"text\n"), (b"\0bytes", b"\0bytes")):
        write(str(target), content)
        assert target.read_bytes() == held
    link = tmp_path / "link"
    link.symlink_to(target)
    write(str(link), "new")
    assert link.is_symlink() and target.read_text() == "new\n"
    write(os.devnull, "nothing")
    capsysbinary.readouterr()
    write("-", "out")
    write("-", b"bytes")
    assert capsysbinary.readouterr().out == b"out\nbytes"
    for path in (str(tmp_path), str(tmp_path / "no" / "a.txt"), "a\0b"):
        with pytest.raises(GraphError, match="could not be written"):
            write(path, "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "link"]


def test_a_failed_write_leaves_the_older_file(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(GraphError, match="No space left"):
        write(str(target), "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and target.read_text() == "old"


def test_a_graph_is_that_of_a_function_of_any_name(tmp_path):
    assert load("models.one_hidden_layer:declare") == one_hidden_layer.declare()
    (tmp_path / "nets.py").write_text(
        "import symgraph as sg\ndef small():\n    return sg.define(y=sg.placeholder('x'))\n"
    )
    assert len(load("nets.py:small")) == 1
    with pytest.raises(GraphError, match=r"nets.py has no function large\(\)"):
        load("nets.py:large")


def test_what_a_module_prints_is_not_what_is_shown(tmp_path, capsys):
    (tmp_path / "loud.py").write_text(
        "import symgraph as sg\nprint('hello')\ndef graph():\n    print('again')\n"
        "    return sg.define(y=sg.placeholder('x'))\n"
    )
    assert main(["show", "loud.py"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("graph(x: f32[])") and captured.err == "hello\nagain\n"
    (tmp_path / "a.py").mkdir()
    with pytest.raises(GraphError, match=r"a\.py cannot be read: it is a folder"):
        load("a.py")


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("import sys\nsys.exit(3)\n", "it ended the program (SystemExit: 3)", "broken.py:2    sys.exit(3)"),
        ("import no_such_thing\n", "ModuleNotFoundError", "broken.py:1    import no_such_thing"),
        ("def f():\n    return {}['k']\nf()\n", "KeyError: 'k'", "broken.py:2    return {}['k']"),
        (
            "def graph():\n    raise ValueError('no')\n",
            "graph() failed: ValueError: no",
            "broken.py:2    raise",
        ),
        (
            "def graph():\n    return graph()\n",
            "graph() failed: RecursionError",
            "broken.py:2    return graph()",
        ),
        ("def graph():\n    import sys; sys.exit()\n", "it ended the program", "broken.py:2"),
        ("raise GeneratorExit\n", "GeneratorExit", "broken.py:1    raise GeneratorExit"),
        ("class Odd(BaseException): pass\nraise Odd('x')\n", "Odd: x", "broken.py:2    raise Odd('x')"),
        (
            "class Mute(Exception):\n    def __str__(self): return 1 / 0\ndef graph():\n    raise Mute\n",
            "graph() failed: Mute",
            "broken.py:4    raise Mute",
        ),
    ],
)
@pytest.mark.parametrize("name", ["broken.py", "broken"])
def test_a_module_that_fails_is_told_with_its_own_lines(text, said, line, name, tmp_path, monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "broken", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(GraphError) as caught:
        load(name)
    told = str(caught.value)
    assert said in told and line in told
    assert "loading.py" not in told and "importlib" not in told and len(told.splitlines()) < 9
