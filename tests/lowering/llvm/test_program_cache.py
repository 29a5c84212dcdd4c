"""Whatever happens to the cache, programs give right results."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.lowering.llvm import cache, program
from symgraph.lowering.llvm.entry import pack, unpack
from tests.lowering.llvm.test_program import assert_close, data, network, values_of

ROOT = Path(__file__).parents[3]
POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions and signals are those of POSIX")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch):
    """How many modules were compiled."""
    done = []
    compile_ = program.object_code

    def spy(text, target):
        done.append(text)
        return compile_(text, target)

    monkeypatch.setattr(program, "object_code", spy)
    return done


def results():
    graph = network()
    return sg.compile(graph, backend="llvm", threads=1)(data(5), values_of(graph))


def right():
    graph = network()
    return sg.compile(graph, backend="interpreter")(data(5), values_of(graph))


def test_a_program_is_compiled_once(place, compiled):
    first = results()
    again = results()
    assert len(compiled) == 1
    for name, value in first.items():
        np.testing.assert_array_equal(again[name], value)
    assert_close(first, right())


def damages(content):
    rng = np.random.default_rng(0)
    yield b""
    yield content[:40]
    yield content[: len(content) // 2]
    yield content[:-1]
    yield content + b"more"
    yield os.urandom(len(content))
    for at in (0, 20, 60, *rng.integers(0, len(content), 6)):
        yield content[:at] + bytes([content[at] ^ (1 << int(rng.integers(8)))]) + content[at + 1 :]


def test_a_damaged_entry_gives_right_results(place, compiled):
    first = results()
    (path,) = place.glob("*.object")
    whole = path.read_bytes()
    damaged = list(damages(whole))
    for content in damaged:
        path.write_bytes(content)
        for name, value in results().items():
            np.testing.assert_array_equal(value, first[name])
        assert path.read_bytes() == whole
    assert len(compiled) == 1 + len(damaged)


def test_an_object_that_does_not_link_is_compiled_again(place, compiled):
    """An entry may be whole and yet of no use: made under another LLVM of the same version, say."""
    first = results()
    (path,) = place.glob("*.object")
    key = path.stem
    cache._write(place, key, pack(unpack(cache._read(place, key))[0], b"no object"))
    for name, value in results().items():
        np.testing.assert_array_equal(value, first[name])
    assert len(compiled) == 2
    results()
    assert len(compiled) == 2


@pytest.mark.parametrize("setting", ["off", "a file", "in a file", "no home"])
def test_without_a_folder_results_are_right(setting, tmp_path, monkeypatch, compiled):
    (tmp_path / "file").touch()
    value = {
        "off": "off",
        "a file": str(tmp_path / "file"),
        "in a file": str(tmp_path / "file" / "x"),
        "no home": "~nobody-of-this-name/x",
    }
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", value[setting])
    for _ in range(2):
        assert_close(results(), right())
    assert len(compiled) == 2


@POSIX
def test_a_folder_that_cannot_be_written_is_no_error(place, compiled, monkeypatch):
    place.mkdir(mode=0o700)

    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)
    for _ in range(2):
        assert_close(results(), right())
    assert len(compiled) == 2 and not list(place.iterdir())


def test_a_folder_that_vanishes_is_made_again(place, compiled):
    results()
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    assert_close(results(), right())
    assert len(list(place.glob("*.object"))) == 1


@POSIX
def test_a_program_compiles_where_the_working_directory_is_gone(place, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        assert_close(results(), right())
    finally:
        monkeypatch.undo()


SCRIPT = """
import sys
from tests.lowering.llvm.test_program_cache import results
import numpy as np
print("ready", flush=True)
sys.stdin.readline()
np.savez(sys.argv[1], **results())
print("done", flush=True)
"""


def start(place, script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "SYMGRAPH_CACHE_DIR": str(place), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_compile_the_same_at_once(place, tmp_path):
    processes = [start(place, SCRIPT, str(tmp_path / f"{k}.npz")) for k in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=60)[0] == "done\n"
    made = [dict(np.load(tmp_path / f"{k}.npz")) for k in range(2)]
    wanted = right()
    for one in made:
        assert_close(
            {name: one[name] for name in wanted}, {name: np.asarray(value) for name, value in wanted.items()}
        )
    assert len(list(place.glob("*.object"))) == 1
    assert {path.name for path in place.iterdir()} == {path.name for path in place.glob("*.object")}


WRITER = """
import symgraph as sg
from symgraph.lowering.llvm import cache, program
from symgraph.lowering.llvm.entry import pack, unpack
x = sg.placeholder("x", (3,))
number = 0
while True:
    number = (number + 1) % 5
    program = sg.compile(sg.define(y=sg.exp(x) + (number + 0.5)), backend="llvm", threads=1)
    assert (program({"x": [0, 0, 0]})["y"] == number + 1.5).all()
    for path in cache.folder()[0].glob("*.object"):
        path.unlink(missing_ok=True)
    if number == 0:
        print("went round", flush=True)
"""


@POSIX
def test_processes_that_are_killed_while_they_write_leave_nothing_wrong(place, compiled):
    x = sg.placeholder("x", (3,))
    for turn in range(3):
        writer = start(place, WRITER)
        assert writer.stdout.readline() == "went round\n", writer.stderr.read()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.01 + 0.02 * turn)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        for number in range(5):
            made = sg.compile(sg.define(y=sg.exp(x) + (number + 0.5)), backend="llvm", threads=1)
            np.testing.assert_array_equal(made({"x": [0, 0, 0]})["y"], np.full(3, number + 1.5))
    for path in place.glob("*.object"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert cache._read(place, path.stem)


def test_an_entry_serves_programs_of_other_constants_by_value_alone(place, compiled):
    """Numbers and arrays tell entries apart, by their bits."""
    x = sg.placeholder("x", (4,))
    for number in (2.0, 3.0, -0.0, 0.0):
        made = sg.compile(sg.define(y=sg.exp(x) * number + number), backend="llvm", threads=1)
        got = made({"x": np.zeros(4, np.float32)})["y"]
        np.testing.assert_array_equal(got, np.full(4, 2 * number))
        assert (np.signbit(got) == np.signbit(np.float32(number))).all()
    for base in (1.0, 5.0):
        array = (base + np.arange(4)).astype(np.float32)
        made = sg.compile(sg.define(y=x + array), backend="llvm", threads=1)
        np.testing.assert_array_equal(made({"x": np.zeros(4, np.float32)})["y"], array)
    assert len(compiled) == 6
