"""What goes wrong in the middle of a native step, and ops of users that have no kernel."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.expr import apply
from symgraph.ir import Op
from symgraph.types import make_type

ROOT = Path(__file__).parents[3]
BACKENDS = pytest.mark.parametrize("backend", ["llvm", "auto"])


@attrs.frozen
class Cube(Op):
    """x^3, by nothing but `evaluate`."""

    name: ClassVar[str] = "cube"
    arity: ClassVar[int | None] = 1
    raises: ClassVar[BaseException | None] = None

    def infer(self, *types):
        return types[0]

    def evaluate(self, *arrays):
        (x,) = arrays
        assert x.flags.c_contiguous
        if (x == 13).any():
            raise self.raises or ValueError("13 brings bad luck")
        return x**3


@attrs.frozen
class Halves(Op):
    """The two halves of the last axis, and how many they are: results of several types."""

    name: ClassVar[str] = "halves"
    arity: ClassVar[int | None] = 1

    def infer(self, *types):
        (x,) = types
        return make_type(x.dtype, (x.shape[0], x.shape[1] // 2))

    def evaluate(self, *arrays):
        (x,) = arrays
        return x[:, ::2]  # a view of its operand, in steps


@attrs.frozen
class Wave(Op):
    """sin(x)^2 + x, as a composition of other ops."""

    name: ClassVar[str] = "wave"
    arity: ClassVar[int | None] = 1

    def infer(self, *types):
        return types[0]

    def evaluate(self, *arrays):
        (x,) = arrays
        return np.sin(x) ** 2 + x

    def expand(self, *inputs):
        (x,) = inputs
        return sg.sin(x) ** 2 + x


def told(executable):
    return [row.rule for row in executable.ledger if "call back" in row.rule]


@BACKENDS
def test_an_op_of_the_users_runs_by_a_call_back(backend):
    x = sg.placeholder("x", ("n", 4))
    y = apply(Cube(), sg.transpose(x * 2.0))
    graph = sg.define(y=sg.sum(y + 1.0, 0), first=y)
    program = sg.compile(graph, backend=backend)
    value = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
    for _ in range(2):
        got = program({"x": value})
        np.testing.assert_allclose(got["first"], (2 * value.T) ** 3, rtol=1e-6)
        np.testing.assert_allclose(got["y"], ((2 * value.T) ** 3 + 1).sum(0), rtol=1e-6)
    assert told(program) == ["cube by a call back to Python"]
    (row,) = [row for row in program.ledger if "call back" in row.rule]
    assert "test_program_failures.py" in row.sources[0] if hasattr(row, "sources") else str(row)


def test_what_a_call_back_gives_may_be_a_view_of_its_operand():
    x = sg.placeholder("x", (3, 8))
    y = apply(Halves(), x + 0.5)
    got = sg.compile(sg.define(y=y, z=y * 2.0, w=apply(Halves(), x)), backend="llvm")(
        {"x": np.arange(24.0, dtype=np.float32).reshape(3, 8)}
    )
    wanted = np.arange(24).reshape(3, 8)[:, ::2]
    np.testing.assert_array_equal(got["y"], wanted + 0.5)
    np.testing.assert_array_equal(got["z"], 2 * wanted + 1)
    np.testing.assert_array_equal(got["w"], wanted)


@attrs.frozen
class Turns(Op):
    """How often it was computed: no operands, and no constant."""

    name: ClassVar[str] = "turns"
    arity: ClassVar[int | None] = 0
    pure: ClassVar[bool] = False
    seen: ClassVar[list[int]] = []

    def infer(self, *types):
        return make_type(np.dtype("float32"), ())

    def evaluate(self, *arrays):
        self.seen.append(len(self.seen))
        return np.float32(len(self.seen))


def test_an_op_without_operands_runs_each_time():
    program = sg.compile(sg.define(y=apply(Turns()) * 2.0), backend="llvm")
    first, second = program({})["y"], program({})["y"]
    assert second == first + 2


def test_a_composition_needs_no_call_back():
    x = sg.placeholder("x", ("n",))
    graph = sg.define(y=apply(Wave(), x) * 2.0)
    program = sg.compile(graph, backend="llvm")
    assert not told(program)
    value = np.linspace(-3, 3, 100, dtype=np.float32)
    np.testing.assert_allclose(
        program({"x": value})["y"], 2 * (np.sin(value) ** 2 + value), rtol=1e-5, atol=1e-6
    )
    assert "call i64 %back" not in program.source(n=100)


def test_no_op_of_symgraph_needs_a_call_back_for_a_network():
    x, w = sg.placeholder("x", ("n", 4)), sg.variable("w", (4, 3), init=0.1)
    graph = sg.define(loss=sg.mean(sg.ops.softmax(x @ w) ** 2))
    assert not told(sg.compile(sg.train.minimize(graph, "loss", sg.train.sgd(0.1)), backend="llvm"))


# What an op raises


def counting():
    """A graph whose update takes a cube that may fail, between two kernels."""
    x = sg.placeholder("x", (3,))
    total, steps = sg.variable("total", (3,), init=0.0), sg.variable("steps", (), init=0.0)
    y = apply(Cube(), x + 0.0)
    return sg.define({"y": y * 2.0}, updates={"go": {total: total + y, steps: steps + 1.0}})


@pytest.mark.parametrize(
    "error",
    [ValueError("13 brings bad luck"), KeyError("13"), sg.ExecutionError("13 is refused")],
    ids=lambda e: type(e).__name__,
)
def test_what_an_op_raises_has_the_users_line_and_changes_nothing(error, monkeypatch):
    monkeypatch.setattr(Cube, "raises", error)
    with sg.Session(counting(), backend="llvm") as session:
        good, bad = np.ones(3, np.float32), np.array([1, 13, 1], np.float32)
        session.run("y", {"x": good}, update="go")
        before = session.variables.snapshot()
        for _ in range(3):
            with pytest.raises(sg.ExecutionError, match="13") as raised:
                session.run("y", {"x": bad}, update="go")
            assert "y = apply(Cube(), x + 0.0)" in str(raised.value)
            assert session.step == 1
        for name, value in session.variables.snapshot().items():
            np.testing.assert_array_equal(value, before[name])
        np.testing.assert_array_equal(session.run("y", {"x": good}, update="go"), [2, 2, 2])
        assert session.variables["steps"] == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_error_goes_through_unchanged(kind, monkeypatch):
    monkeypatch.setattr(Cube, "raises", kind("13"))
    with sg.Session(counting(), backend="llvm") as session:
        with pytest.raises(kind, match="13"):
            session.run("y", {"x": np.full(3, 13, np.float32)}, update="go")
        assert session.variables["steps"] == 0
        session.run("y", {"x": np.ones(3, np.float32)}, update="go")
        assert session.variables["steps"] == 1


INTERRUPTED = """
import signal, sys, threading, time
import numpy as np
import symgraph as sg
from tests.lowering.llvm.test_program_failures import Cube
from symgraph.expr import apply

x, total = sg.placeholder("x", ("n", "n")), sg.variable("total", (), init=0.0)
y = x
for _ in range(12):
    y = (y @ x) * 0.001
for _ in range({back}):
    y = apply(Cube(), y)
graph = sg.define({{"y": sg.sum(y)}}, updates={{"go": {{total: total + 1.0}}}})
session = sg.Session(graph, backend="llvm")
feed = {{"x": np.ones((768, 768), np.float32)}}
session.run("y", feed)
begin = time.perf_counter()
session.run("y", feed)
took = time.perf_counter() - begin
threading.Timer(took / 2, signal.raise_signal, (signal.SIGINT,)).start()
try:
    session.run("y", feed, update="go")
    print("went on")
except KeyboardInterrupt:
    print("stopped at", session.variables["total"])
session.run("y", feed, update="go")
print("then", session.variables["total"])
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to processes of POSIX")
@pytest.mark.parametrize("back", [0, 1])
def test_an_interrupt_while_kernels_run_is_not_lost(back):
    """Python hears of it when it is next called: that may be the call back itself."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(back=back)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["stopped at 0.0", "then 1.0"], done.stderr
    assert not done.stderr


def given_by(evaluate):
    """An op of one operand, whose result is declared to be like it."""

    @attrs.frozen
    class Loose(Op):
        name: ClassVar[str] = "loose"
        arity: ClassVar[int | None] = 1

        def infer(self, *types):
            return types[0]

    Loose.evaluate = lambda self, *arrays: evaluate(*arrays)
    return apply(Loose(), sg.placeholder("x", (4,)))


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda x: x.sum(),
        lambda x: x[:1],
        lambda x: np.concatenate([x, x]),
        lambda x: x.astype(float),
        lambda x: x.astype(int),
        lambda x: None,
        lambda x: (x, x),
        lambda x: (),
    ],
)
def test_what_is_not_as_inferred_is_refused(evaluate):
    y = given_by(evaluate)
    program = sg.compile(sg.define(y=y), backend="llvm")
    with pytest.raises(
        sg.ExecutionError, match=r"loose: evaluate gave .*, and infer says float32\[4\]"
    ) as raised:
        program({"x": np.ones(4, np.float32)})
    assert "test_program_failures.py" in str(raised.value)


def test_an_op_cannot_write_what_it_is_given():
    def careless(x):
        x += 1
        return x

    feed = np.ones(4, np.float32)
    program = sg.compile(sg.define(y=given_by(careless)), backend="llvm")
    with pytest.raises(sg.ExecutionError, match="read-only"):
        program({"x": feed})
    np.testing.assert_array_equal(feed, 1)
    assert feed.flags.writeable


def test_a_call_back_may_run_the_program_it_is_part_of():
    x = sg.placeholder("x", (2,))
    depth = []

    @attrs.frozen
    class Again(Op):
        name: ClassVar[str] = "again"
        arity: ClassVar[int | None] = 1

        def infer(self, *types):
            return types[0]

        def evaluate(self, *arrays):
            depth.append(len(depth))
            return program({"x": arrays[0] - 1})["y"] if len(depth) < 4 else arrays[0]

    program = sg.compile(sg.define(y=apply(Again(), x * 1.0) + 10.0), backend="llvm")
    np.testing.assert_array_equal(program({"x": np.zeros(2, np.float32)})["y"], [37, 37])


def test_fast_numerics_do_not_reach_the_users_code():
    made = []

    @attrs.frozen
    class Look(Op):
        name: ClassVar[str] = "look"
        arity: ClassVar[int | None] = 1

        def infer(self, *types):
            return types[0]

        def evaluate(self, *arrays):
            made.append(np.full(16, 1e-38, np.float32) * np.float32(0.125))
            made.append(float("1e-300") * 1e-20)
            return arrays[0]

    x = sg.placeholder("x", (16,))
    y = apply(Look(), x * 0.5) * 0.5
    program = sg.compile(sg.define(y=y), backend="llvm", numerics="fast")
    got = program({"x": np.full(16, 4e-38, np.float32)})["y"]
    assert (made[0] > 0).all() and made[1] > 0
    np.testing.assert_array_equal(got, 0)  # what comes after flushes again


# Checks


def test_assert_finite_stops_with_the_users_line():
    x, w = sg.placeholder("x", ("n", 3)), sg.variable("w", (3,), init=1.0)
    y = sg.assert_finite(sg.log(x * w), label="logarithm")
    graph = sg.define({"y": sg.sum(y)}, updates={"go": {w: w + sg.sum(y, 0)}})
    with sg.Session(graph, backend="llvm") as session:
        session.run("y", {"x": np.ones((5, 3), np.float32)}, update="go")
        bad = np.ones((300, 3), np.float32)
        bad[200, 1], bad[299, 2] = -1, 0
        with pytest.raises(
            sg.ExecutionError, match=r"logarithm.*2 of 900 values.*1 NaN, 1 infinite"
        ) as raised:
            session.run("y", {"x": bad}, update="go")
        assert "sg.assert_finite(sg.log(x * w)" in str(raised.value)
        np.testing.assert_array_equal(session.variables["w"], [1, 1, 1])
        assert session.step == 1


def test_a_failed_step_lets_go_of_what_it_was_fed():
    x = sg.placeholder("x", ("n",))
    with sg.Session(sg.define(y=sg.assert_finite(x) * 2.0), backend="llvm") as session:
        step = session.prepare("y", ("x",))
        step(np.ones(8, np.float32))
        for unfit in (np.full(8, np.nan, np.float32), np.ones(8, np.float64)):
            held = sys.getrefcount(unfit)
            with pytest.raises(sg.SymgraphError):
                step(unfit)
            gc.collect()  # of the error, which is in a cycle with its frames
            assert sys.getrefcount(unfit) == held


@pytest.mark.parametrize("index", [-6, 5, 2**40, -(2**63), 2**63 - 1])
def test_indices_out_of_range_stop_with_the_users_line(index):
    x, i = sg.placeholder("x", (5, 2)), sg.placeholder("i", ("n",), "int64")
    taken = sg.take(x, i)
    program = sg.compile(sg.define(y=taken * 2.0), backend="llvm")
    x_value = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(program({"x": x_value, "i": np.array([0, -1])})["y"], 2 * x_value[[0, -1]])
    with pytest.raises(sg.ExecutionError, match=str(index)) as raised:
        program({"x": x_value, "i": np.array([0, 1, index, 2])})
    assert "taken = sg.take(x, i)" in str(raised.value)


@pytest.mark.parametrize("label", [-1, 4, 10**12])
def test_labels_out_of_range_stop_and_change_nothing(label):
    x, labels = sg.placeholder("x", ("n", 3)), sg.placeholder("labels", ("n",), "int64")
    w = sg.variable("w", (3, 4), init=0.5)
    loss = sg.mean(sg.ops.softmax_cross_entropy(x @ w, labels))
    graph = sg.train.minimize(sg.define(loss=loss), "loss", sg.train.sgd(0.1))
    with sg.Session(graph, backend="llvm") as session:
        feeds = {"x": np.ones((7, 3), np.float32), "labels": np.arange(7) % 4}
        session.run("loss", feeds, update="train")
        before = session.variables["w"]
        bad = {**feeds, "labels": np.array([0, 1, 2, 3, label, 0, 1])}
        with pytest.raises(sg.SymgraphError, match=str(label)) as raised:
            session.run("loss", bad, update="train")
        assert "softmax_cross_entropy(x @ w, labels)" in str(raised.value)
        np.testing.assert_array_equal(session.variables["w"], before)


def test_values_are_printed_in_the_middle_of_a_step(capsys):
    x = sg.placeholder("x", ("n",))
    y = sg.print_value(x * 2.0, label="double") + 1.0
    program = sg.compile(sg.define(y=y), backend="llvm")
    np.testing.assert_array_equal(program({"x": np.array([1, 2], np.float32)})["y"], [3, 5])
    out = capsys.readouterr().out
    assert out == "double: f32[2]  min 2  max 4  mean 3\n[2. 4.]\n"
    assert told(program) == ["print_value by a call back to Python"]


@pytest.mark.parametrize("at", [0, 127, 128, 129, 300])
def test_a_failure_far_into_a_long_step(at):
    """Steps of many calls are several functions; each tells which call failed."""
    x = sg.placeholder("x", (2, 2))
    y = x
    for k in range(310):
        y = sg.cumsum(y, k % 2) * 0.5
        if k == at:
            y = y + sg.assert_finite(sg.log(x + y * 0.0), label=f"after {k}")
    program = sg.compile(sg.define(y=y), backend="llvm")
    with pytest.raises(sg.ExecutionError, match=f"after {at}"):
        program({"x": -np.ones((2, 2), np.float32)})
    assert np.isfinite(program({"x": np.ones((2, 2), np.float32)})["y"]).all()


def test_the_first_of_two_failures_is_told():
    x = sg.placeholder("x", ("n",))
    first = sg.assert_finite(sg.log(x), label="one")
    second = sg.assert_finite(sg.sqrt(first), label="two")
    program = sg.compile(sg.define(y=second), backend="llvm")
    with pytest.raises(sg.ExecutionError, match="one"):
        program({"x": np.array([-1.0], np.float32)})
    with pytest.raises(sg.ExecutionError, match="two"):
        program({"x": np.array([0.5], np.float32)})
    assert np.isfinite(program({"x": np.array([2.0], np.float32)})["y"]).all()


# What is not there


def without_llvmlite(monkeypatch):
    from symgraph.lowering.llvm import target

    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert not target.installed()


def test_without_llvmlite_auto_is_numpy(monkeypatch):
    without_llvmlite(monkeypatch)
    x = sg.placeholder("x", (2,))
    program = sg.compile(sg.define(y=x + 1.0))
    assert program.backend == "numpy"
    np.testing.assert_array_equal(program({"x": [1, 2]})["y"], [2, 3])
    assert sg.Session(sg.define(y=x + 1.0)).backend == "numpy"


def test_without_llvmlite_llvm_says_what_to_install(monkeypatch):
    without_llvmlite(monkeypatch)
    graph = sg.define(y=sg.placeholder("x", (2,)) + 1.0)
    for make in (sg.compile, sg.Session):
        with pytest.raises(sg.CompileError, match="llvmlite") as raised:
            make(graph, backend="llvm")
        assert 'pip install "symgraph[native]"' in str(raised.value)


@pytest.mark.parametrize("threads", [0, -1, 1025, True, 2.0, "2"])
@pytest.mark.parametrize("backend", ["llvm", "numpy", "auto"])
def test_a_number_of_threads_that_is_none(threads, backend):
    graph = sg.define(y=sg.placeholder("x", (2,)) + 1.0)
    for make in (sg.compile, sg.Session):
        with pytest.raises(sg.CompileError, match="threads is a whole number from 1 to 1024"):
            make(graph, backend=backend, threads=threads)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1025", "1.5", "٣"])
def test_a_variable_of_threads_that_is_none(text, monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", text)
    graph = sg.define(y=sg.sum(sg.placeholder("x", ("n",))))
    program = sg.compile(graph, backend="llvm", threads=1)
    assert program({"x": np.ones(3, np.float32)})["y"] == 3
    for make in (sg.compile, sg.Session):
        with pytest.raises(sg.CompileError, match="SYMGRAPH_NUM_THREADS is a whole number from 1 to 1024"):
            make(graph, backend="llvm")
    assert sg.compile(graph, backend="numpy")({"x": np.ones(3, np.float32)})["y"] == 3


def test_only_this_backend_makes_machine_code(monkeypatch):
    executable = sg.compile(sg.define(y=sg.placeholder("x", (2,)) + 1.0), backend="numpy")
    with pytest.raises(sg.CompileError, match="makes no machine code") as told:
        executable.assembly()
    assert 'backend="llvm"' in told.value.hint
    monkeypatch.setattr("symgraph.lowering.llvm.target.installed", lambda: False)
    with pytest.raises(sg.CompileError) as told:
        executable.assembly()
    assert 'pip install "symgraph[native]"' in told.value.hint
