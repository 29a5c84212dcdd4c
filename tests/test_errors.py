"""Wrong programs, as users write them: each error is our own, at the user's line, and leaves nothing behind."""

import ast
import gzip
import inspect
import linecache
import os
import struct
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.data import idx
from symgraph.errors import SymgraphError
from symgraph.train import checkpoint
from tests.wrong import Row, programs, runs

BACKENDS = ("numpy", "interpreter")
ROWS = [*programs.ROWS, *runs.ROWS]


def caught(wrong: Callable[[], Any]) -> SymgraphError:
    """What a wrong program raises; anything but our own errors is let through, and so is a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SymgraphError) as raised:
            wrong()
    return raised.value


def marked(error: SymgraphError) -> str:
    """The text that the carets of the printed message stand under."""
    lines = str(error).splitlines()
    carets = next(i for i, line in enumerate(lines) if line.strip() and not line.strip().strip("^"))
    start = lines[carets].index("^")
    return lines[carets - 1][start : len(lines[carets])]


def written(row: Row) -> str:
    """The expression of a row's lambda, as it stands in its file."""
    code = row.wrong.__code__
    text = Path(code.co_filename).read_text("utf-8")
    found = [
        node
        for node in _lambdas(code.co_filename, text)
        if node.lineno == code.co_firstlineno and node.col_offset == next(code.co_positions())[2]
    ] or [n for n in _lambdas(code.co_filename, text) if n.lineno == code.co_firstlineno]
    return ast.get_source_segment(text, found[0].body) or ""


_PARSED: dict[str, list[ast.Lambda]] = {}


def _lambdas(file: str, text: str) -> list[ast.Lambda]:
    if file not in _PARSED:
        _PARSED[file] = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda)]
    return _PARSED[file]


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len(ROWS) > 300 and {row.error for row in ROWS} >= {
        sg.ShapeError,
        sg.DTypeError,
        sg.GraphError,
        sg.GradientError,
        sg.FeedError,
        sg.CompileError,
        sg.ExecutionError,
        sg.DataError,
    }


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=written(row)[:60].encode("ascii", "replace").decode()) for row in ROWS]
)
def test_wrong_programs(row: Row) -> None:
    before = {name: value.copy() for name, value in runs.s.variables.items()}
    error = caught(row.wrong)
    assert isinstance(error, row.error) and error.message == row.message
    code = row.wrong.__code__
    assert error.source is not None
    assert (error.source.file, error.source.line) == (code.co_filename, code.co_firstlineno)
    assert marked(error) == (row.at or written(row))
    assert bool(error.hint or error.details) == row.hint
    shown = str(error).splitlines()
    assert shown[0] == row.message.replace("\0", "\\x00")
    assert shown[1].split("    ")[0].endswith(f"{Path(code.co_filename).name}:{code.co_firstlineno}")
    assert linecache.getline(code.co_filename, code.co_firstlineno).strip() in shown[1]
    assert runs.s.step == 0 and all(np.array_equal(before[n], v) for n, v in runs.s.variables.items())


# What happens in a run: on every backend, at the line that declared the node.

_SIZES = sg.placeholder("x", ("n",))
_VALUES = sg.placeholder("v", (3,))
_INDEX = sg.placeholder("i", (2,), "int64")
_COUNT = sg.variable("count", (), "int64")

RUNS: list[tuple[type[SymgraphError], str, Callable[[], Any], dict[str, Any]]] = [
    (sg.ExecutionError, "index 3", lambda: sg.take(sg.exp(_VALUES), _INDEX), {"v": [1.0, 2, 3], "i": [0, 3]}),
    (sg.ExecutionError, "index -4", lambda: sg.take(_VALUES, _INDEX), {"v": [1.0, 2, 3], "i": [-4, 0]}),
    (sg.ExecutionError, "2 of 3", lambda: sg.assert_finite(sg.log(_VALUES), "v"), {"v": [1.0, -2.0, -3.0]}),
    (sg.ExecutionError, "1 infinite", lambda: sg.assert_finite(1.0 / _VALUES), {"v": [1.0, 0.0, 2.0]}),
    (sg.FeedError, "n=2", lambda: _SIZES[:3] * 2.0 + _VALUES, {"x": [1.0, 2.0], "v": [1.0, 2.0, 3.0]}),
    (sg.FeedError, "n=2", lambda: sg.exp(_SIZES)[2], {"x": [1.0, 2.0]}),
    (sg.ExecutionError, "", lambda: sg.sum(sg.cumsum(sg.tile(_SIZES, 2**44)) + 1.0), {"x": [1.0, 2.0]}),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", RUNS, ids=[f"run{k}" for k in range(len(RUNS))])
def test_a_run_that_fails_names_the_line_that_declared_the_node(case: Any, backend: str) -> None:
    kind, phrase, declared, feeds = case
    graph = sg.define({"y": declared()}, updates={"train": {_COUNT: _COUNT + 1}})
    with sg.Session(graph, backend=backend) as session:
        error = caught(lambda: session.run("y", feeds, update="train"))
        assert isinstance(error, kind) and phrase in error.message
        assert session.step == 0 and session.variables["count"] == 0
        if phrase:  # what runs out of memory has no one node at fault
            code = declared.__code__
            assert error.source is not None
            assert (error.source.file, error.source.line) == (code.co_filename, code.co_firstlineno)
            assert "<symgraph" not in str(error) and "^" in str(error)
        good = {name: np.ones(5 if name == "x" else len(value)) for name, value in feeds.items()}
        cast = {n: v.astype("int64" if n == "i" else "float32") for n, v in good.items()}
        if phrase:
            session.run("y", cast, update="train")
            assert session.step == 1 and session.variables["count"] == 1


def layer(x: sg.Expr, w: sg.Expr) -> sg.Expr:
    return x @ w  # the faulty line


def test_a_function_that_a_do_block_calls_is_named_at_its_own_line() -> None:
    @sg.do
    def network(x: sg.Expr) -> Generator[Any, Any, sg.Expr]:
        w = yield from sg.scope("hidden", sg.parameter("w", (5, 2)))
        return layer(x, w)

    error = caught(lambda: sg.run_build(sg.scope("net", network(sg.placeholder("x", ("n", 4))))))
    assert error.source is not None and error.source.line == layer.__code__.co_firstlineno + 1
    assert marked(error) == "x @ w" and "net/hidden/w" in str(error)


def test_an_error_of_the_users_own_is_let_through_a_do_block() -> None:
    @sg.do
    def network() -> Generator[Any, Any, Any]:
        yield from sg.parameter("w", (2,))
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        sg.run_build(network())


# Files.


def _idx(*sizes: int, code: int = 8, data: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(sizes)}I", 0, code, len(sizes), *sizes) + data


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "ends within its header, after 0 bytes"),
    "text": (b"hello, world", "not an IDX file: it starts with the bytes 68 65 6c 6c"),
    "no such type": (_idx(3, code=7), "not an IDX file"),
    "half a header": (_idx(3, 4, 5)[:9], "ends within its header, after 9 bytes"),
    "short": (_idx(5, data=b"abc"), "ends after 3 bytes, and the header declares 5"),
    "long": (_idx(2, data=b"abc"), "more data follows the 2 bytes"),
    "huge": (_idx(2**32 - 1, 2**32 - 1, 9), "more than the limit"),
    "255 axes": (struct.pack(">HBB", 0, 8, 255) + bytes(4 * 255), "declares 255 axes"),
    "cut gzip": (gzip.compress(_idx(999, data=os.urandom(999)))[:400], "cut off"),
    "bad gzip": (b"\x1f\x8b" + b"x" * 99, "damaged"),
    "flipped gzip": (gzip.compress(_idx(9, data=b"123456789"))[:-6] + b"\0" * 6, "damaged"),
    "bomb": (gzip.compress(_idx(4, data=bytes(30_000_000)), 1), "more data follows the 4 bytes"),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_data(name: str, tmp_path: Path) -> None:
    data, message = FILES[name]
    path = tmp_path / name.replace(" ", "-")
    path.write_bytes(data)
    error = caught(lambda: idx.read(path))
    assert (
        isinstance(error, sg.DataError) and error.message.startswith(f"{path}: ") and message in error.message
    )
    assert path.read_bytes() == data and list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    for value in (np.ones(3, complex), [[1], [2, 3]], [None], "text"):
        assert isinstance(caught(lambda value=value: idx.write(tmp_path / "a", value)), sg.DataError)
    assert isinstance(caught(lambda: idx.write(tmp_path / "no" / "a", np.ones(3, "uint8"))), sg.DataError)
    for path in (None, 3, "a\0b"):
        assert isinstance(caught(lambda path=path: idx.read(path)), sg.DataError)
    assert not list(tmp_path.iterdir())


def _session(name: str = "w") -> sg.Session:
    w = sg.variable(name, (3,), init=1.0)
    return sg.Session(sg.define({"y": sg.sum(w)}, updates={"train": {w: w + 1.0}}))


def test_checkpoints_that_are_damaged_foreign_or_of_another_graph(tmp_path: Path) -> None:
    good = tmp_path / "good"
    _session().save(good)
    data = good.read_bytes()
    foreign = tmp_path / "foreign"
    import safetensors.numpy

    safetensors.numpy.save_file({"w": np.ones(3, np.float32)}, foreign)
    damaged = {f"cut{n}": data[:n] for n in (0, 1, 8, 40, len(data) // 2, len(data) - 1)}
    damaged |= {f"flip{k}": data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :] for k in range(8, len(data), 7)}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
    for path in (*map(tmp_path.joinpath, damaged), foreign, tmp_path / "none", tmp_path):
        with _session() as session:
            session.variables.assign("w", [5.0] * 3)
            error = caught(lambda path=path, session=session: session.restore(path))
            assert isinstance(error, sg.CheckpointError) and str(path) in error.message
            assert session.step == 0 and session.variables["w"].tolist() == [5.0] * 3
    with _session(name="v") as other:
        error = caught(lambda: other.restore(good))
        assert "another graph" in error.message and error.hint
        assert "'v'" in caught(lambda: other.restore(good, strict=False)).message


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_checkpoint_cut_off_midway_leaves_the_older_one(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    with _session() as session:
        session.save(path)
        before = path.read_bytes()
        session.run("y", update="train")

        def fail(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoint.os, step, fail)
        error = caught(lambda: session.save(path))
        monkeypatch.undo()
        assert "No space left on device" in error.message and str(path) in error.message
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
        assert session.step == 1
    with _session() as again:
        again.variables.assign("w", [9.0] * 3)
        again.restore(path)
        assert again.step == 0 and again.variables["w"].tolist() == [1.0] * 3


def test_every_beginning_of_a_text_is_refused_at_its_place() -> None:
    text = str(runs.G).rstrip()
    for cut in range(0, len(text) - 1, 3):
        error = caught(lambda cut=cut: sg.from_text(text[:cut]))
        assert isinstance(error, sg.GraphError) and error.message.startswith("line ")
        assert error.details[-1].strip() == "^"


def test_a_parameter_declared_twice_names_both_lines() -> None:
    error = caught(lambda: sg.run_build(runs.dup()))
    first = inspect.getsourcelines(inspect.unwrap(runs.dup))[1] + 2
    assert isinstance(error, sg.GraphError) and error.message == "the parameter 'w' is declared twice"
    assert error.source.line == first + 1 and marked(error) == 'sg.parameter("w", (3,))'
    assert f"runs.py:{first}" in error.details[0]
