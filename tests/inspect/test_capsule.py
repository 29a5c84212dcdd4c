"""Failure capsules: a run goes into one file and comes back, and no file of others does harm."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph.inspect.capsules.capsule import Capsule, held
from symgraph.inspect.capsules.file import read, write
from symgraph.inspect.capsules.recording import Recorder
from symgraph.store import Store

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
MEMBERS = ["header.json", "graph.sg", "ledger.txt", "feeds.safetensors", "variables.safetensors"]


def graph() -> sg.Graph:
    """A log that fails at negative numbers, with a step of training."""
    x = sg.placeholder("x", ("n", 3))
    w = sg.variable("w", (3,), init=0.5)
    loss = sg.mean(sg.assert_finite(sg.log(x @ w)))  # the line of the fault
    return sg.train.minimize(sg.define(loss=loss), "loss", sg.train.sgd(0.1))


def failed(path: Path, **options: Any) -> sg.ExecutionError:
    """The error of a run that leaves a capsule."""
    with sg.Session(graph(), seed=7, capsule=path, **options) as session:
        session.run("loss", {"x": X + 9}, update="train")
        session.run("loss", {"x": X + 9}, update="train")
        with pytest.raises(sg.ExecutionError) as caught:
            session.run("loss", {"x": X}, update="train")
        assert session.step == 2
    return caught.value


@pytest.mark.parametrize("backend", ["interpreter", "numpy", "llvm"])
def test_a_run_that_fails_leaves_a_capsule(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "failure.capsule"
    with sg.Session(graph(), backend=backend, seed=7, numerics="bitwise", capsule=path) as session:
        session.run("loss", {"x": X + 9}, update="train")
        before = session.variables.snapshot()
        for _ in range(2):  # the second time by the prepared step's short way
            with pytest.raises(sg.ExecutionError, match="not finite") as caught:
                session.run("loss", {"x": X}, update="train")
    assert str(path) in str(caught.value) and "python -m symgraph replay" in str(caught.value)
    found = read(path)
    assert found.graph.outputs[0][0] == "loss" and found.graph.updates
    assert (found.backend, found.numerics, found.seed, found.step) == (backend, "bitwise", 7, 1)
    assert (found.fetches, found.groups, found.sizes) == (("loss",), ("train",), {"n": 2})
    (x,), (w,) = found.feeds, found.variables
    assert np.array_equal(x.array, X) and x.array.dtype == np.float32
    assert np.array_equal(w.array, before["w"])
    assert found.failure.type == "ExecutionError" and "not finite" in found.failure.message
    assert found.failure.source in found.lines
    assert "the line of the fault" in found.lines[found.failure.source]
    assert found.versions["numpy"] == np.__version__
    assert [p.name for p in tmp_path.iterdir()] == ["failure.capsule"]


def test_the_graph_comes_back_with_its_lines(tmp_path: Path) -> None:
    failed(tmp_path / "c")
    found = read(tmp_path / "c")
    log = next(node for node in found.graph.nodes if node.op.name == "log")
    assert log.origin.sources[0].file.endswith("test_capsule.py")
    assert "the line of the fault" in found.line(log.origin.sources[0])
    adjoints = [node.origin.rule for node in found.graph.nodes if node.origin.rule.startswith("vjp")]
    assert "vjp log" in adjoints


def test_lines_are_there_without_the_sources(tmp_path: Path) -> None:
    """On another machine, where the program is not."""
    program = tmp_path / "program.py"
    program.write_text(
        "import symgraph as sg\n"
        'x = sg.placeholder("x", (2,))\n'
        "y = sg.log(x)  # here it fails\n"
        "with sg.Session(sg.define(y=sg.assert_finite(y)), capsule='c') as session:\n"
        "    session.run('y', {'x': [1.0, -1.0]})\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(sg.__file__).parent.parent)}
    ran = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True)
    assert ran.returncode == 1 and b"replay c" in ran.stderr
    program.unlink()
    (finding, *_) = sg.replay(tmp_path / "c").findings
    assert finding.op == "log"
    assert any(line.endswith("y = sg.log(x)  # here it fails") for line in finding.lines)


def test_a_capsule_on_request(tmp_path: Path) -> None:
    w = graph().variables["w"]
    with sg.Session(graph(), backend="numpy") as session:
        session.capsule(tmp_path / "c", {"loss": "loss", "w": w}, {"x": X}, "train")
        assert session.step == 0
    found = read(tmp_path / "c")
    assert found.failure is None and found.fetches == ("loss", "w")
    assert sg.replay(tmp_path / "c").findings[0].op == "log"


def test_nodes_are_called_as_in_the_graph_of_the_session(tmp_path: Path) -> None:
    x = sg.placeholder("x", ("n",))
    bad = sg.sqrt(x - 1.0)
    whole = sg.define(other=sg.tanh(sg.sigmoid(x) * 3.0), y=bad * 2.0)
    with sg.Session(whole, backend="numpy") as session:
        session.capsule(tmp_path / "c", "y", {"x": np.zeros(2, np.float32)})
    (finding, *_) = sg.replay(tmp_path / "c").findings
    name = next(f"%{node.id}" for node in whole.nodes if node.op.name == "sqrt")
    assert finding.message.startswith(f"{name} (sqrt of ")
    assert finding.node != int(name[1:])  # the run's own graph is smaller


def test_a_node_that_is_fed_is_a_leaf_of_the_capsule(tmp_path: Path) -> None:
    x = sg.placeholder("x", ("n",))
    middle = sg.exp(x)
    given_to = sg.define(y=sg.log(middle), z=x)
    with sg.Session(given_to, backend="numpy") as session:
        session.capsule(tmp_path / "c", "y", {middle: np.array([1.0, -1.0], np.float32)})
    (finding, *_) = sg.replay(tmp_path / "c").findings
    assert finding.op == "log"


def test_sizes_bound_by_what_the_run_does_not_need(tmp_path: Path) -> None:
    x, y = sg.placeholder("x", ("n",)), sg.placeholder("y", (3,))
    counted = sg.define(z=sg.broadcast_to(sg.sum(y), (sg.dim("n"),)), x=x)
    with sg.Session(counted, backend="numpy") as session:
        session.capsule(tmp_path / "c", "z", {"x": np.ones(5, np.float32), "y": np.ones(3, np.float32)})
    assert read(tmp_path / "c").sizes == {"n": 5}
    assert sg.replay(tmp_path / "c").code == 0


def test_training_that_diverges_leaves_a_capsule(tmp_path: Path) -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=1.0)
    diverging = sg.train.minimize(sg.define(loss=sg.mean((w * x - 3.0 * x) ** 2)), "loss", sg.train.sgd(1e6))
    path = tmp_path / "c"
    with sg.Session(diverging, capsule=path) as session:
        with pytest.raises(sg.DivergenceError) as caught:
            sg.train.fit(session, {"x": np.linspace(-1, 1, 50, dtype=np.float32)}, epochs=50, quiet=True)
        after = session.variables["w"]
    assert str(caught.value).count("failure capsule") == 1
    found = read(path)
    assert found.failure.type == "DivergenceError"
    assert found.variables[0].array == after, "they are as they were before that step"
    report = sg.replay(path)
    assert report.findings[0].op in ("pow", "sub", "mul")
    assert "overflow" in report.findings[0].message


def test_a_watched_run_leaves_a_capsule(tmp_path: Path) -> None:
    x = sg.placeholder("x", ("n",))
    masked = sg.define(y=sg.sum(sg.where(x > 0, sg.log(x), 0.0)))
    session = sg.Session(masked, backend="numpy", debug=True, capsule=tmp_path / "c")
    with pytest.raises(sg.DivergenceError, match="log"):
        session.run("y", {"x": np.array([1.0, -1.0], np.float32)})
    (finding, *_) = sg.replay(tmp_path / "c").findings
    assert (finding.kind, finding.op) == ("node", "log")


def test_what_is_fed_wrongly_leaves_none(tmp_path: Path) -> None:
    with sg.Session(graph(), capsule=tmp_path / "c") as session, pytest.raises(sg.FeedError):
        session.run("loss", {"x": np.ones((2, 4), np.float32)})
    assert list(tmp_path.iterdir()) == []


def test_a_capsule_that_cannot_be_written_does_not_hide_the_error(tmp_path: Path) -> None:
    error = failed(tmp_path / "no such folder" / "c")
    assert "not finite" in error.message
    assert "no failure capsule could be written" in str(error) and "no such folder" in str(error)


def test_an_error_that_is_not_ours_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise KeyError("lost")

    session = sg.Session(graph(), capsule=tmp_path / "c")
    monkeypatch.setattr(session._store, "fetch", broken)
    with pytest.raises(KeyError) as caught:
        session.run("loss", {"x": X + 9})
    assert any("replay" in note for note in caught.value.__notes__)
    assert read(tmp_path / "c").failure.type == "KeyError"


def test_without_a_recorder_the_session_runs_its_own_functions() -> None:
    with sg.Session(graph()) as session:
        step = session.prepare("loss", ("x",))
        assert step._run.__func__ is Store.fetch  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [3, b"name", ["c"]])
def test_what_is_no_file_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(sg.CapsuleError, match="the name of a file"):
        sg.Session(graph(), capsule=wrong)


# What is left out


def test_without_data_shapes_and_statistics_stay(tmp_path: Path) -> None:
    path = tmp_path / "c"
    session = sg.Session(graph(), backend="numpy", capsule=Recorder(path, data=False))
    with pytest.raises(sg.ExecutionError):
        session.run("loss", {"x": X - 9})
    found = read(path)
    (x,) = found.feeds
    assert x.array is None and "left out" in x.missing and not found.complete
    assert (x.shape, x.dtype, x.statistics["min"], x.statistics["max"]) == ((2, 3), "float32", -11.0, -6.0)
    for array in (X - 9, np.float32(0.5)):
        assert array.tobytes() not in path.read_bytes()
    report = sg.replay(path)
    assert any("stand in" in note for note in report.notes)
    assert report.findings[0].op == "log"


def test_nan_is_among_what_stands_in(tmp_path: Path) -> None:
    x = sg.placeholder("x", (40,))
    with sg.Session(sg.define(y=sg.exp(x)), backend="numpy") as session:
        values = np.where(np.arange(40) % 20 == 3, np.nan, 0.25).astype(np.float32)
        session.capsule(tmp_path / "c", "y", {"x": values}, data=False)
    (finding, *_) = sg.replay(tmp_path / "c").findings
    assert finding.kind == "feed" and "2 nan of 40" in finding.message


def test_the_largest_arrays_are_left_out_over_the_limit(tmp_path: Path) -> None:
    a, b = sg.placeholder("a", ("n",)), sg.placeholder("b", ("m",))
    with sg.Session(sg.define(y=sg.sum(a) + sg.sum(b)), backend="numpy") as session:
        feeds = {"a": np.ones(10, np.float32), "b": np.ones(100_000, np.float32)}
        session.capsule(tmp_path / "c", "y", feeds, limit=50_000)
    assert (tmp_path / "c").stat().st_size < 50_000
    one, other = read(tmp_path / "c").feeds
    assert one.array is not None and other.array is None and "over the limit" in other.missing
    assert other.statistics["mean"] == 1.0
    assert sg.replay(tmp_path / "c").code == 0


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "much"])
def test_a_limit_is_a_number_of_bytes(limit: Any, tmp_path: Path) -> None:
    with sg.Session(graph()) as session, pytest.raises(sg.CapsuleError, match="number of bytes"):
        session.capsule(tmp_path / "c", "loss", {"x": X}, limit=limit)


# The file


def made(path: Path, data: bool = True) -> Capsule:
    """A capsule in a file, with what the tests want to see come back."""
    with sg.Session(graph(), backend="numpy") as session:
        session.capsule(path, "loss", {"x": X}, "train", data=data)
    return read(path)


def test_bits_come_back(tmp_path: Path) -> None:
    arrays = [
        np.array([np.nan, -0.0, np.inf, 1e-45], np.float32),
        np.array(2.5),
        np.zeros((0, 3), np.int64),
        np.array([[True, False]]).T,
        np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    ]
    names = ["a", "../../etc/passwd", "", "__metadata__", "<img onerror=x>\n"]
    leaves = [sg.placeholder(n or "e", v.shape, v.dtype.name) for n, v in zip(names, arrays, strict=True)]
    capsule = made(tmp_path / "c")
    feeds = tuple(held(node.op.label, array) for node, array in zip(leaves, arrays, strict=True))
    whole = sg.define({f"r{i}": leaf for i, leaf in enumerate(leaves)})
    changed = attrs.evolve(capsule, graph=whole, feeds=feeds, variables=(), sizes={}, names=())
    write(tmp_path / "d", changed)
    found = read(tmp_path / "d")
    assert found.graph == whole
    for before, after in zip(feeds, found.feeds, strict=True):
        assert (before.name, before.dtype, before.shape) == (after.name, after.dtype, after.shape)
        assert before.array.tobytes() == after.array.tobytes()
        assert before.array.shape == after.array.shape
        assert dict(before.statistics) == dict(after.statistics)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "d"]


def test_equal_capsules_are_equal_files(tmp_path: Path) -> None:
    capsule = made(tmp_path / "c")
    write(tmp_path / "d", capsule)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()


def test_after_a_failure_the_older_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capsule = made(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(sg.CapsuleError, match="No space left"):
        write(tmp_path / "c", capsule)
    assert (tmp_path / "c").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """The capsule of `made` with its header and members changed."""
    made(path)
    return _change(path, change)


def _change(path: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"])
    change(header, members)
    if header:
        members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _cut_short(header: Any, members: dict[str, bytes]) -> None:
    members["feeds.safetensors"] = members["feeds.safetensors"][:-3]


def _text(text: str) -> Callable[[Any, Any], None]:
    def change(header: dict[str, Any], members: dict[str, bytes]) -> None:
        header.clear()
        members["header.json"] = text.encode()

    return change


def _set(key: str, value: Any, place: str | None = None) -> Callable[[Any, Any], None]:
    def change(header: dict[str, Any], members: dict[str, bytes]) -> None:
        (header if place is None else header[place][0])[key] = value

    return change


def _member(name: str, data: bytes) -> Callable[[Any, Any], None]:
    def change(header: dict[str, Any], members: dict[str, bytes]) -> None:
        members[name] = data
        if name == "header.json":
            header.clear()

    return change


def _tensors(**arrays: np.ndarray) -> bytes:
    packed: bytes = safetensors.numpy.save(arrays)
    return packed


WRONG: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "another format": (_set("format", 2), "format 2"),
    "no format": (_set("format", None), "names no format"),
    "a list": (_text("[]"), "names no format"),
    "no JSON": (_text("{"), "damaged header"),
    "deep JSON": (_text("[" * 100_000), "damaged header"),
    "NaN": (_text('{"format": NaN}'), "NaN"),
    "infinity": (_set("seed", float("inf")), "Infinity"),
    "no UTF-8": (_member("header.json", b"\xff\xfe"), "damaged header"),
    "a step that is none": (_set("step", -1), "its step"),
    "a seed that is none": (_set("seed", 0.5), "its seed"),
    "numerics that are none": (_set("numerics", "loose"), "its numerics"),
    "numerics of another kind": (_set("numerics", ["safe"]), "its numerics"),
    "sizes that are none": (_set("sizes", {"n": "2"}), "its sizes"),
    "sizes that do not fit": (_set("sizes", {"n": 3}), "is damaged"),
    "no sizes": (_set("sizes", {}), "the size n"),
    "a failure that is none": (_set("failure", {"type": 1}), "its failure"),
    "lines that are none": (_set("lines", {"a": 1}), "its lines"),
    "names of other nodes": (_set("names", ["%0"]), "its names"),
    "threads that are none": (_set("threads", "all"), "its threads"),
    "another shape": (_set("shape", [3, 2], "feeds"), "header"),
    "a negative shape": (_set("shape", [-2, 3], "feeds"), "its feeds"),
    "a huge shape": (_set("shape", [10**30], "feeds"), "header"),
    "a dtype that is none": (_set("dtype", "complex64", "feeds"), "its feeds"),
    "statistics that are none": (_set("statistics", {}, "feeds"), "its feeds"),
    "a name that is none": (_set("name", 3, "feeds"), "its feeds"),
    "an unknown name": (_set("name", "z", "feeds"), "no entry for 'x'"),
    "another tensor": (_set("tensor", "7", "feeds"), "its feeds"),
    "no tensor": (_set("tensor", None, "feeds"), "its feeds"),
    "arrays that are cut": (_cut_short, "arrays cannot be read"),
    "arrays that are none": (_member("feeds.safetensors", b"\xff" * 64), "arrays cannot be read"),
    "more arrays": (_member("feeds.safetensors", _tensors(**{"0": X, "1": X})), "its feeds"),
    "other arrays": (_member("feeds.safetensors", _tensors(**{"0": X.astype(np.float64)})), "header"),
    "a graph that is none": (_member("graph.sg", b"graph() {"), "graph cannot be read"),
    "an op that is none": (
        _member("graph.sg", b"graph(x: f32[2]) {\n  %1: f32[2] = system %x\n  return y=%1\n}"),
        "no operation 'system'",
    ),
    "a path as a member": (_member("../../etc/passwd", b"x"), "it holds '../../etc/passwd'"),
    "an absolute path as a member": (_member("/etc/passwd", b"x"), "it holds '/etc/passwd'"),
    "pickle as a member": (_member("data.pkl", b"cos\nsystem\n."), "it holds 'data.pkl'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    change, said = WRONG[name]
    path = rewritten(tmp_path / "wrong.capsule", change)
    with pytest.raises(sg.CapsuleError) as caught:
        sg.replay(path, backends=["numpy"])
    assert "wrong.capsule" in caught.value.message
    assert said in caught.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["wrong.capsule"]


def test_a_member_that_is_missing_or_twice(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "c", lambda header, members: members.pop("ledger.txt") and None)
    with pytest.raises(sg.CapsuleError, match="missing"):
        read(path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("ledger.txt", "")
        archive.writestr("graph.sg", "")
    with pytest.raises(sg.CapsuleError, match=r"it holds 'graph\.sg'"):
        read(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.capsule"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MEMBERS:
            archive.writestr(name, b"0" * (30_000_000 if name == "ledger.txt" else 10))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(sg.CapsuleError, match="would unpack to") as caught:
        sg.replay(path, limit=20_000_000)
    assert "--limit" in caught.value.hint


def test_a_bomb_of_names_is_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[None] = []
    real = zipfile.ZipInfo.__init__
    monkeypatch.setattr(zipfile.ZipInfo, "__init__", lambda *a, **k: (made.append(None), real(*a, **k))[1])
    name = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *[0] * 8, 1, *[0] * 6) + b"a"
    names = name * 100_000
    for count in (5, 100_000 & 0xFFFF):  # what the end of the file says of it may be a lie
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(names), 0, 0)
        path = tmp_path / "c"
        path.write_bytes(names + end)
        with pytest.raises(sg.CapsuleError, match="c is no capsule"):
            read(path)
        assert len(made) < 100


STATISTICS: dict[str, dict[str, Any]] = {
    "min over max": {"min": 2, "max": 1},
    "more than an int64": {"min": 0, "max": 2**63},
    "a whole number that no float is": {"mean": 10**400},
    "a spread below 0": {"deviation": -1.0},
    "more of them than elements": {"nan": 10**30},
}


@pytest.mark.parametrize("wrong", STATISTICS)
def test_statistics_that_cannot_be(wrong: str, tmp_path: Path) -> None:
    x, k = sg.placeholder("x", (3,)), sg.placeholder("k", (3,), "int64")
    with sg.Session(sg.define(y=x * sg.cast(k, "float32")), backend="interpreter") as session:
        session.capsule(tmp_path / "c", "y", {"x": [1.0, 2.0, 3.0], "k": [1, 2, 3]}, data=False)

    def change(header: dict[str, Any], members: dict[str, bytes]) -> None:
        for row in header["feeds"]:
            row["statistics"].update(STATISTICS[wrong])

    _change(tmp_path / "c", change)
    with pytest.raises(sg.CapsuleError, match="c has a damaged header: its feeds"):
        sg.replay(tmp_path / "c", backends=["numpy"])


def test_a_number_of_json_that_is_infinite_is_refused(tmp_path: Path) -> None:
    made(tmp_path / "c", data=False)

    def change(header: dict[str, Any], members: dict[str, bytes]) -> None:
        text = json.dumps(header)
        header.clear()
        members["header.json"] = re.sub('"mean": [^,]+,', '"mean": 1e999,', text).encode()

    _change(tmp_path / "c", change)
    with pytest.raises(sg.CapsuleError, match="c has a damaged header"):
        read(tmp_path / "c")


def test_values_that_no_memory_holds_are_refused(tmp_path: Path) -> None:
    """Arrays that the file leaves out, and values of nodes, take nothing of it and much of the machine."""
    for name, body in {
        "a node": "graph(x: f32[1]) {\n  %1: f32[9000000000000] = broadcast_to %x shape=(9000000000000,)\n"
        "  %2: f32[9000000000000] = exp %1\n  return y=%2\n}",
        "an array": "graph(x: f32[9000000000000]) {\n  %1: f32[9000000000000] = exp %x\n  return y=%1\n}",
    }.items():
        x = sg.placeholder("x", (1,))
        with sg.Session(sg.define(y=sg.exp(x)), backend="interpreter") as session:
            session.capsule(tmp_path / name, "y", {"x": [1.0]}, data=False)

        def change(
            header: dict[str, Any], members: dict[str, bytes], name: str = name, body: str = body
        ) -> None:
            members["graph.sg"], header["names"] = body.encode(), []
            header["feeds"][0]["shape"] = [9000000000000 if name == "an array" else 1]
            header["feeds"][0]["statistics"]["count"] = 9000000000000 if name == "an array" else 1

        _change(tmp_path / name, change)
        with pytest.raises(sg.CapsuleError, match=r"bytes.* more than this machine has"):
            sg.replay(tmp_path / name, backends=["numpy"])


def test_a_bomb_that_lies_is_not_unpacked(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MEMBERS:
            archive.writestr(name, b"0" * 1_000_000)
    raw = data.getvalue().replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path = tmp_path / "c"
    path.write_bytes(raw)
    with pytest.raises(sg.CapsuleError, match="c is damaged"):
        read(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_is_an_error(share: float, tmp_path: Path) -> None:
    made(tmp_path / "c")
    raw = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(sg.CapsuleError, match="/c "):
        read(tmp_path / "c")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "c"
    made(path)
    return path.read_bytes()


@given(st.data())
@settings(max_examples=60)
def test_a_flipped_bit_is_found_or_does_no_harm(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(sound) - 1))
    raw = bytearray(sound)
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(raw)
    try:
        found = read(path)
    except sg.CapsuleError as error:
        assert "flipped" in error.message
        return
    assert found.feeds[0].array.tobytes() == X.tobytes()  # a date, or a number that nothing depends on
    assert found.graph == read_bytes(sound, path).graph


def read_bytes(raw: bytes, path: Path) -> Capsule:
    path.write_bytes(raw)
    return read(path)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "empty", "number"])
def test_what_is_no_file_is_an_error(kind: str, tmp_path: Path) -> None:
    path: Any = tmp_path / "c"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # reading it would wait for ever
    elif kind == "empty":
        path.touch()
    elif kind == "number":
        path = 3
    with pytest.raises(sg.CapsuleError):
        sg.replay(path)
