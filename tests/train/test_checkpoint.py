"""Checkpoints: what was saved comes back bit for bit, and nothing that goes wrong costs the older file."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symgraph import ops
from symgraph.data.batches import Position, batches
from symgraph.define import define
from symgraph.errors import CheckpointError
from symgraph.expr import placeholder, variable
from symgraph.ir import Graph
from symgraph.session import Session
from symgraph.train import checkpoint, initializers, minimize, sgd
from symgraph.train.checkpoint import Checkpoint, read, write

BACKENDS = ["interpreter", "numpy", "llvm"]
ROOT = Path(__file__).parents[2]


def model(width: int = 4) -> Graph:
    x, y = placeholder("x", ("batch", 3)), placeholder("y", ("batch", 1))
    normal = initializers.normal()
    w1, w2 = variable("w1", (3, width), init=normal), variable("w2", (width, 1), init=normal)
    e = ops.maximum(x @ w1, 0.0) @ w2 - y
    return minimize(define(loss=ops.mean(e * e)), "loss", sgd(0.05))


def some(seed: int = 0) -> Checkpoint:
    rng = np.random.default_rng(seed)
    tensors = {"w": rng.normal(size=(7, 5)).astype(np.float32), "n": np.array(seed)}
    return Checkpoint(tensors, seed, 11, "f00d", Position(1, 2), {"note": "ü", "list": [1, None]})


def same(left: Checkpoint, right: Checkpoint) -> bool:
    return (
        left.tensors.keys() == right.tensors.keys()
        and all(
            (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
            for a, b in ((left.tensors[name], right.tensors[name]) for name in left.tensors)
        )
        and (left.step, left.seed, left.fingerprint, left.position, left.extra)
        == (right.step, right.seed, right.fingerprint, right.position, right.extra)
    )


def bits(session: Session) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in session.variables.snapshot().items()}


# What comes back


def test_every_dtype_comes_back_bit_for_bit(tmp_path: Path) -> None:
    payload = np.array([0x7FC00001, 0xFFC12345, 0x80000000, 1], np.uint32).view(np.float32)
    tensors = {
        "nan payloads, minus zero, a denormal": payload,
        "f64": np.array([[np.inf, -0.0], [5e-324, np.pi]]),
        "i32": np.array([-(2**31), 2**31 - 1], np.int32),
        "i64": np.array(-(2**63)),
        "bool": np.array([[True], [False]]),
        "empty": np.zeros((3, 0, 2), np.float32),
        "layer/weights.0 é 中": np.arange(24, dtype=np.float64).reshape(2, 3, 4),
        "": np.array(1.5, np.float32),
    }
    saved = Checkpoint(tensors, 2**60, 2**70, "0" * 64, None, {})
    write(tmp_path / "a", saved)
    assert same(read(tmp_path / "a"), saved)
    write(str(tmp_path / "b"), saved)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_is_plain_safetensors_without_pickle(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", some())
    loaded = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert np.array_equal(loaded["w"], some().tensors["w"])
    with safetensors.safe_open(tmp_path / "a.safetensors", "np") as file:
        header = json.loads(file.metadata()["symgraph"])
    assert header["format"] == 1 and header["names"] == ["n", "w"]
    assert header["position"] == {"epoch": 1, "index": 2}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_that_was_killed_and_resumed_equals_one_that_was_not(tmp_path: Path, backend: str) -> None:
    rng = np.random.default_rng(1)
    data = {
        "x": rng.normal(size=(50, 3)).astype(np.float32),
        "y": rng.normal(size=(50, 1)).astype(np.float32),
    }

    def stream(start: Position | None = None) -> Any:
        return batches(data, 8, shuffle=True, seed=5, epochs=4, start=start)

    with Session(model(), backend, seed=3) as session:
        whole = [session.run("loss", batch, update="train") for batch in stream()]
        expected = bits(session)
    for stop in (0, 1, 13, len(whole)):
        with Session(model(), backend, seed=3) as session, stream() as taken:
            losses = [session.run("loss", next(taken), update="train") for _ in range(stop)]
            session.save(
                tmp_path / "run", position=taken.position, extra={"losses": list(map(float, losses))}
            )
        with Session(model(), backend, seed=99) as session:
            found = session.restore(tmp_path / "run")
            assert session.step == found.step == stop and session.seed == 3
            assert found.position is not None
            rest = [session.run("loss", batch, update="train") for batch in stream(found.position)]
            assert [*found.extra["losses"], *map(float, rest)] == list(map(float, whole))
            assert bits(session) == expected
            assert session.step == len(whole)


def test_saving_does_not_disturb_and_restoring_goes_back(tmp_path: Path) -> None:
    feeds = {"x": np.ones((2, 3), np.float32), "y": np.ones((2, 1), np.float32)}
    with Session(model(), "numpy") as session:
        session.run(None, feeds, update="train")
        saved = bits(session)
        session.save(tmp_path / "a")
        assert bits(session) == saved
        for _ in range(4):
            session.run(None, feeds, update="train")
        later = bits(session)
        assert later != saved
        found = session.restore(tmp_path / "a")
        assert bits(session) == saved and session.step == 1
        for tensor in found.tensors.values():
            if tensor.flags.writeable:
                tensor[...] = 0.0  # the caller's own
        for _ in range(4):
            session.run(None, feeds, update="train")
        assert bits(session) == later and session.step == 5


def test_a_link_stays_a_link_and_the_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latest").symlink_to(tmp_path / "folder" / "real")
    write(tmp_path / "latest", some())
    assert (tmp_path / "latest").is_symlink()
    assert same(read(tmp_path / "folder" / "real"), some())
    (tmp_path / "plain").touch()
    mode = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "folder" / "real").stat().st_mode) == mode


# What does not


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def with_header(**changes: Any) -> bytes:
    """A checkpoint of one tensor whose JSON header is changed, and its checksum made right."""
    fields: dict[str, Any] = {
        "format": 1, "fingerprint": "f", "step": 0, "seed": 0, "position": None, "names": ["w"], "extra": {},
    }  # fmt: skip
    fields |= changes
    tensors = {"w": np.zeros(2, np.float32)}
    fields = {name: value for name, value in fields.items() if value is not ...}
    if "names" not in changes and "checksum" not in changes:
        fields["checksum"] = checkpoint._checksum(fields, tensors)
    return safetensors.numpy.save(tensors, {"symgraph": json.dumps(fields)})


TENSOR = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "damaged, or no safetensors"),
    "text": (b"hello, world, this is no checkpoint", "damaged, or no safetensors"),
    "pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.", "damaged, or no safetensors"),
    "json alone": (b'{"format": 1, "step": 3}', "damaged, or no safetensors"),
    "header of 2**63 bytes": (raw(TENSOR, length=2**63), "damaged, or no safetensors"),
    "header past the end": (raw(TENSOR, b"\0" * 8, length=10**6), "damaged, or no safetensors"),
    "header of 2**64-1": (raw(TENSOR, length=2**64 - 1), "damaged, or no safetensors"),
    "header no json": (raw(b"{" * 100), "damaged, or no safetensors"),
    "header deep": (raw(b"[" * 100_000), "damaged, or no safetensors"),
    "offsets past the end": (
        raw({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        "damaged, or no safetensors",
    ),
    "shape overflows": (
        raw({"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
        "damaged, or no safetensors",
    ),
    "foreign safetensors": (raw(TENSOR, b"\0" * 8), "but not a checkpoint of symgraph"),
    "foreign metadata": (
        raw({"__metadata__": {"format": "pt"}, **TENSOR}, b"\0" * 8),
        "but not a checkpoint of symgraph",
    ),
    "other json": (raw({"__metadata__": {"symgraph": "[1, 2]"}, **TENSOR}, b"\0" * 8), "damaged header"),
    "no json": (raw({"__metadata__": {"symgraph": "{oops"}, **TENSOR}, b"\0" * 8), "damaged header"),
    "deep json": (raw({"__metadata__": {"symgraph": "[" * 10**5}, **TENSOR}, b"\0" * 8), "damaged header"),
    "huge number": (
        raw({"__metadata__": {"symgraph": '{"format": ' + "9" * 5000 + "}"}, **TENSOR}, b"\0" * 8),
        "damaged header",
    ),
    "later format": (with_header(format=2), "has the format 2, and this release reads 1"),
    "field missing": (with_header(seed=...), "damaged header"),
    "field more": (with_header(more=1), "damaged header"),
    "step negative": (with_header(step=-1), "its step is not"),
    "step a float": (with_header(step=1.0), "its step is not"),
    "step true": (with_header(step=True), "its step is not"),
    "seed a text": (with_header(seed="0"), "its seed is not"),
    "fingerprint": (with_header(fingerprint=None), "its fingerprint is not"),
    "names": (with_header(names=["v"], checksum=0), "its names is not"),
    "names nested": (with_header(names=[["w"]], checksum=0), "its names is not"),
    "names twice": (with_header(names=["w", "w"], checksum=0), "its names is not"),
    "extra": (with_header(extra=[]), "its extra is not"),
    "checksum": (with_header(checksum=1), "is damaged: what it holds"),
    "checksum a text": (with_header(checksum="1"), "its checksum is not"),
    "position": (with_header(position={"epoch": -1, "index": 0}), "no position in the data"),
    "position fields": (with_header(position={"epoch": 1, "at": 0}), "no position in the data"),
    "position a list": (with_header(position=[1, 2]), "no position in the data"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_checkpoint_is_an_error_that_names_the_file(tmp_path: Path, name: str) -> None:
    data, message = FOREIGN[name]
    path = tmp_path / "some.checkpoint"
    path.write_bytes(data)
    graph = define(y=-variable("w", (2,), init=1.0))
    with Session(graph, "interpreter") as session:
        with pytest.raises(CheckpointError, match=r"some\.checkpoint") as caught:
            session.restore(path, strict=False)
        assert message in caught.value.message
        assert np.array_equal(session.variables["w"], [1.0, 1.0]) and session.step == 0
    assert path.read_bytes() == data


def test_the_table_of_headers_starts_from_one_that_is_good(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(with_header(step=4, position={"epoch": 1, "index": 2}))
    assert (read(tmp_path / "a").step, read(tmp_path / "a").position) == (4, Position(1, 2))


def test_a_half_precision_tensor_is_an_error(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "format": 1, "fingerprint": "f", "step": 0, "seed": 0, "position": None, "names": ["w"], "extra": {},
    }  # fmt: skip
    tensors = {"w": np.zeros(2, np.float16)}
    fields["checksum"] = checkpoint._checksum(fields, tensors)
    (tmp_path / "a").write_bytes(safetensors.numpy.save(tensors, {"symgraph": json.dumps(fields)}))
    with pytest.raises(CheckpointError, match="float16, which symgraph does not have"):
        read(tmp_path / "a")


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path / "missing": "cannot be read: No such file",
        tmp_path: "is a folder",
        tmp_path / "pipe": "is no plain file",
        tmp_path / "nul\0l": "cannot be read",
    }.items():
        with pytest.raises(CheckpointError, match=message) as caught:
            read(path)
        assert str(path) in caught.value.message


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a", some())
    data = (tmp_path / "a").read_bytes()
    for length in [*range(0, len(data), 7), len(data) - 1]:
        (tmp_path / "b").write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read(tmp_path / "b")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_is_an_error_or_changes_nothing(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / "a").exists():
        write(tmp_path / "a", some())
    raw = bytearray((tmp_path / "a").read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / "b").write_bytes(raw)
    try:
        found = read(tmp_path / "b")
    except CheckpointError:
        return
    assert same(found, some())


def test_another_graph_is_an_error(tmp_path: Path) -> None:
    w = variable("w", (2,), init=1.0)
    graph, other = define(y=-w), define(y=w * 2.0)
    with Session(graph, "interpreter") as session:
        session.variables.assign("w", [3.0, 4.0])
        session.save(tmp_path / "a")
    with Session(other, "interpreter") as session:
        with pytest.raises(CheckpointError, match="of another graph"):
            session.restore(tmp_path / "a")
        assert np.array_equal(session.variables["w"], [1.0, 1.0])
        session.restore(tmp_path / "a", strict=False)
        assert np.array_equal(session.run("y"), [6.0, 8.0])
    cases: list[tuple[Graph, str]] = [
        (define(y=-variable("w", (3,))), r"holds 'w' as f32\[2\], and the graph declares f32\[3\]"),
        (define(y=-variable("w", (2,), "float64")), r"holds 'w' as f32\[2\], and the graph declares f64"),
        (define(y=-variable("v", (2,))), "'v' is in the graph alone"),
        (define(y=w + variable("v", (2,))), "'v' is in the graph alone"),
        (define(y=placeholder("x")), "'w' is in the file alone"),
    ]
    for different, message in cases:
        with Session(different, "interpreter") as session:
            before = bits(session)
            with pytest.raises(CheckpointError, match=message):
                session.restore(tmp_path / "a", strict=False)
            assert bits(session) == before


@pytest.mark.parametrize("extra", [{"a": {1, 2}}, {"a": float("nan")}, {"a": np.zeros(2)}, {(1, 2): 3}, [1]])
def test_extra_that_json_cannot_hold_is_an_error(tmp_path: Path, extra: Any) -> None:
    with Session(model(), "interpreter") as session:
        with pytest.raises(CheckpointError, match="extra cannot be written"):
            session.save(tmp_path / "a", extra=extra)
        with pytest.raises(CheckpointError, match="position is that of a stream"):
            session.save(tmp_path / "a", position=(1, 2))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_a_name_that_safetensors_cannot_hold_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError):
        write(tmp_path / "a", Checkpoint({name: np.zeros(1)}, 0, 0, "f"))
    assert list(tmp_path.iterdir()) == []


def test_without_safetensors_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match="not installed") as caught:
        write(tmp_path / "a", some())
    assert 'pip install "symgraph[train]"' in caught.value.hint


# Faults


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_older_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    path = tmp_path / "latest"
    write(path, some(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(error))
        with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
            write(path, some(2))
    if isinstance(error, OSError):
        assert "latest could not be written: No space left on device" in str(caught.value)
    assert same(read(path), some(1))
    assert list(tmp_path.iterdir()) == [path]
    write(path, some(2))
    assert same(read(path), some(2))


def test_a_folder_that_cannot_be_synced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "sync_folder", failing(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(CheckpointError, match="was written, but its folder could not be synced"):
        write(tmp_path / "a", some())
    assert same(read(tmp_path / "a"), some())


def test_the_file_is_synced_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    write(tmp_path / "a", some())
    assert calls == ["fsync", "replace", "fsync"]  # the file, the name, the folder


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    for path, message in {
        tmp_path / "no" / "such" / "folder": "No such file",
        tmp_path: "is a folder, and is left as it is",
        tmp_path / ("n" * 300): "name too long",
        tmp_path / "nul\0l": "null byte",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            write(path, some())
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_plain_file_is_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError, match="no plain file, and is left as it is"):
        write(pipe, some())
    assert pipe.is_fifo()


CHILD = """
import sys
import numpy as np
from pathlib import Path
from symgraph.train.checkpoint import Checkpoint, write
path = Path(sys.argv[1])
if sys.argv[2:] == ["full"]:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        write(path, Checkpoint({"w": np.zeros(10**6)}, 2, 0, "f"))
    except Exception as error:
        print(type(error).__name__, error)
    sys.exit()
step = 0
while True:
    step += 1
    write(path, Checkpoint({"w": np.full(200_000, step)}, step, 0, "f"))
    print(step, flush=True)
"""


def test_a_disk_that_fills_up_midway_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "latest"
    write(path, some(1))
    command = [sys.executable, "-c", CHILD, str(path), "full"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    assert done.stdout.startswith("CheckpointError") and "could not be written: File too large" in done.stdout
    assert same(read(path), some(1))
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_while_it_saves_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "latest"
    for delay in (0.0, 0.013):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert child.stdout is not None
        with child.stdout as lines:
            saved = int(next(lines))
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
            saved = max([saved, *(int(line) for line in lines if line.endswith("\n"))])
        child.wait()
        found = read(path)
        assert found.step in (saved, saved + 1)
        assert np.array_equal(found.tensors["w"], np.full(200_000, found.step))


def test_arrays_beside_the_variables_come_back_whatever_their_names(tmp_path: Path) -> None:
    made = evolve(some(), arrays={"w": np.arange(3.0), "@w": np.array([True]), "best/n": np.array(7)})
    made = evolve(made, tensors={**made.tensors, "@w": np.zeros(2, np.float32), "@w'": np.ones(1)})
    write(tmp_path / "a", made)
    found = read(tmp_path / "a")
    assert same(found, made) and found.arrays.keys() == made.arrays.keys()
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
    data = bytearray((tmp_path / "a").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        read(tmp_path / "a")
    with pytest.raises(CheckpointError, match="the array 'a' is complex128"):
        checkpoint.header("f", None, None, {"a": np.array(1j)})


def test_a_session_restores_a_checkpoint_that_holds_more(tmp_path: Path) -> None:
    with Session(model(), "numpy") as session:
        session.save(tmp_path / "a", arrays={"best": np.ones(2)})
        assert session.restore(tmp_path / "a").arrays["best"].tolist() == [1.0, 1.0]
