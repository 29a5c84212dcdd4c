"""Native programs among threads and processes: same bits however many there are, and nothing is left behind."""

import gc
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.lowering.llvm import pool as pools
from symgraph.train import initializers
from tests.lowering.llvm.test_program import network, values_of
from tests.lowering.test_backends import many_pieces

GLOROT = initializers.normal(0.0, 0.05)
ROOT = Path(__file__).parents[3]
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def classifier():
    """A network large enough that its kernels are cut into pieces."""
    x, label = sg.placeholder("x", ("batch", 784)), sg.placeholder("label", ("batch",), "int64")
    w, b = sg.variable("w", (784, 512), init=GLOROT), sg.variable("b", (512,), init=0.0)
    v = sg.variable("v", (512, 10), init=GLOROT)
    logits = sg.relu(x @ w + b) @ v
    loss = sg.mean(sg.ops.softmax_cross_entropy(logits, label))
    return sg.train.minimize(sg.define(loss=loss), "loss", sg.train.sgd(0.1))


@lru_cache(1)
def digits(batch=64):
    rng = np.random.default_rng(0)
    return {"x": rng.random((batch, 784), np.float32), "label": rng.integers(0, 10, batch)}


def digest(arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def trained(steps=50):
    """What is left of a training, as a hash."""
    with sg.Session(classifier(), backend="llvm", seed=1) as session:
        step = session.prepare("loss", ["x", "label"], update="train")
        losses = [step(digits()) for _ in range(steps)]
        return digest([np.array(losses), *session.variables.snapshot().values()])


def test_training_has_the_same_bits_on_any_number_of_threads(monkeypatch):
    ends = {}
    for threads in (1, 2, 3, 4):
        monkeypatch.setenv("SYMGRAPH_NUM_THREADS", str(threads))
        ends[threads] = trained()
    assert len(set(ends.values())) == 1, ends


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reductions_have_the_same_bits_on_any_number_of_threads(dtype):
    x, y = sg.placeholder("x", ("n",), dtype), sg.placeholder("y", ("m", "k"), dtype)
    graph = sg.define(
        sum=sg.sum(x * x),
        mean=sg.mean(sg.exp(x)),
        deviation=sg.std(x),
        rows=sg.sum(y, 1),
        columns=sg.sum(y, 0),
        product=sg.prod(1 + x * 1e-6),
        least=sg.min(x),
        log=sg.logsumexp(x),
        softmax=sg.softmax(x),
        running=sg.cumsum(x),
    )
    rng = np.random.default_rng(0)
    feeds = {"x": rng.normal(size=1_000_000).astype(dtype), "y": rng.normal(size=(3000, 300)).astype(dtype)}
    results = [
        sg.compile(graph, backend="llvm", threads=threads)(feeds)
        for threads in (1, 2, 3, 4)
        for _ in range(2)
    ]
    for got in results[1:]:
        for name, value in results[0].items():
            np.testing.assert_array_equal(got[name], value, err_msg=name)
    exact = feeds["x"].astype(float)
    np.testing.assert_allclose(results[0]["sum"], (exact * exact).sum(), rtol=1e-5)
    np.testing.assert_allclose(results[0]["columns"], feeds["y"].astype(float).sum(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 5, 4), (1, 1, 6, 5), (1, 37, 3, 2), (3, 1, 20), (2, 3, 1, 9)])
def test_reductions_over_any_axes_in_pieces(shape, monkeypatch):
    """Whichever axis it is that pieces are cut along, it may be one that is kept."""
    many_pieces(monkeypatch)
    x = sg.placeholder("x", shape)
    value = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    results, wanted = {}, {}
    for count in range(1, len(shape) + 1):
        for axes in combinations(range(len(shape)), count):
            for name, function, reference in (("sum", sg.sum, np.sum), ("max", sg.max, np.max)):
                label = f"{name} over {axes}"
                results[label] = function(sg.tanh(x) * 2.0, axes)
                wanted[label] = reference(np.tanh(value) * 2, axes)
                alone = sg.compile(sg.define(y=results[label]), backend="llvm", threads=2)
                np.testing.assert_allclose(alone({"x": value})["y"], wanted[label], rtol=1e-5, atol=1e-5)
    together = sg.compile(sg.define(results), backend="llvm", threads=2)({"x": value})
    for label, expected in wanted.items():
        np.testing.assert_allclose(together[label], expected, rtol=1e-5, atol=1e-5, err_msg=label)


def test_rows_that_are_one_are_reduced_with_a_later_axis():
    x = sg.placeholder("x", (1, 8481, 33))
    value = np.random.default_rng(0).normal(size=(1, 8481, 33)).astype(np.float32)
    got = sg.compile(sg.define(s=sg.sum(x, (0, 2)), m=sg.max(x, (0, 2))), backend="llvm", threads=2)(
        {"x": value}
    )
    np.testing.assert_allclose(got["s"], value.sum((0, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(got["m"], value.max((0, 2)))


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_eight_callers_of_one_executable(threads, monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", threads)
    x, w = sg.placeholder("x", ("n", 64)), sg.variable("w", (64, 32), init=1.0)
    graph = sg.define(
        y=sg.tanh(x @ w), s=sg.sum(sg.exp(x), 0), big=sg.sum(sg.broadcast_to(sg.sum(x, 0), (4096, 64)) * 0.5)
    )
    program = sg.compile(graph, backend="llvm")
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(64, 32)).astype(np.float32)}
    feeds = [{"x": rng.normal(size=(n, 64)).astype(np.float32)} for n in (1, 2, 7, 16, 33, 128, 300, 2000)]
    alone = sg.compile(graph, backend="llvm", threads=1)
    wanted = [alone(feed, weights) for feed in feeds]
    for feed, expected in zip(feeds, wanted, strict=True):
        np.testing.assert_allclose(expected["y"], np.tanh(feed["x"] @ weights["w"]), rtol=1e-4, atol=1e-5)
    begin = threading.Barrier(8)

    def work(number):
        begin.wait()
        for turn in range(24):
            k = (number + turn) % 8
            got = program(feeds[k], weights)
            for name, value in wanted[k].items():
                np.testing.assert_array_equal(got[name], value)

    with ThreadPoolExecutor(8) as callers:
        for done in [callers.submit(work, n) for n in range(8)]:
            done.result()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_eight_callers_of_one_session(threads, monkeypatch):
    """Updates come one after another, and a reader never sees half of one."""
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", threads)
    x = sg.placeholder("x", ("n", 16))
    a, b = sg.variable("a", (300, 100), init=0.0), sg.variable("b", (300, 100), init=0.0)
    total = sg.variable("total", (), init=0.0, dtype="float64")
    more = sg.sum(x)
    graph = sg.define(
        {"spread": sg.max(a) - sg.min(b), "low": sg.min(a) - sg.max(b), "sum": more},
        updates={"go": {a: a + more, b: b + more, total: total + sg.cast(more, "float64")}},
    )
    with sg.Session(graph, backend="llvm") as session:

        def work(number):
            for turn in range(30):
                feed = {"x": np.ones((1 + (number + turn) % 5, 16), np.float32)}
                if number % 2:
                    assert session.run("sum", feed, update="go") == feed["x"].size
                else:
                    assert session.run(["spread", "low"], feed) == [0, 0]
                    assert np.ptp(session.variables["a"]) == 0

        with ThreadPoolExecutor(8) as callers:
            for done in [callers.submit(work, n) for n in range(8)]:
                done.result()
        fed = sum(16 * (1 + (number + turn) % 5) for number in (1, 3, 5, 7) for turn in range(30))
        assert session.step == 120
        assert session.variables["total"] == fed
        np.testing.assert_array_equal(session.variables["b"], np.full((300, 100), fed, np.float32))


# Processes


def in_child(function, timeout=60):
    """What a forked child answers; it ends without the parent's clean-up."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            answer = function()
        except BaseException as error:
            answer = repr(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    deadline = time.monotonic() + timeout
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.01)
    with os.fdopen(read) as file:
        return file.read()


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_goes_on_with_the_programs_of_its_parent(monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", "3")
    session = sg.Session(classifier(), backend="llvm", seed=1)
    step = session.prepare("loss", ["x", "label"], update="train")
    step(digits())
    pool = pools.pool(3)
    assert pool is not None

    def more():
        for _ in range(5):
            step(digits())
        # and compiles new ones, with helpers of its own
        other = trained(3)
        return digest([*session.variables.snapshot().values()]) + " " + other

    start = session.variables.snapshot()
    answers = [in_child(more) for _ in range(2)]
    for name, value in session.variables.snapshot().items():
        np.testing.assert_array_equal(value, start[name])  # the child's updates are the child's
    assert answers == [more(), answers[0]]
    assert pools.helpers(pool) == 2


@FORKS
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_other_threads_run_and_compile(monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", "2")
    x = sg.placeholder("x", ("n", 256))
    w = np.eye(256, dtype=np.float32)
    program = sg.compile(sg.define(y=sg.sum(x @ w, 1)), backend="llvm")
    feed = {"x": np.ones((512, 256), np.float32)}
    program(feed)
    ended = threading.Event()

    def busy():
        number = 0
        while not ended.is_set():
            number += 1
            np.testing.assert_array_equal(program(feed)["y"], 256)
            small = sg.compile(sg.define(y=sg.placeholder("z", (3,)) + float(number)), backend="llvm")
            np.testing.assert_array_equal(small({"z": np.zeros(3, np.float32)})["y"], float(number))
        return "fine"

    def child():
        assert (program(feed)["y"] == 256).all()
        fresh = sg.compile(sg.define(y=sg.exp(sg.placeholder("z", (3,)))), backend="llvm")
        assert (fresh({"z": np.zeros(3, np.float32)})["y"] == 1).all()
        return "fine"

    with ThreadPoolExecutor(2) as threads:
        others = [threads.submit(busy) for _ in range(2)]
        try:
            assert [in_child(child) for _ in range(8)] == ["fine"] * 8
        finally:
            ended.set()
        assert [other.result() for other in others] == ["fine", "fine"]


def test_spawned_processes_compute_the_same(monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", "2")
    with get_context("spawn").Pool(1) as processes:
        there = processes.apply(trained, (5,))
    assert there == trained(5)


def test_the_interpreter_ends_while_programs_run():
    script = """
import threading, numpy as np, symgraph as sg
x = sg.placeholder("x", ("n", 512))
program = sg.compile(sg.define(y=sg.sum(x @ np.eye(512, dtype=np.float32))), backend="llvm", threads=3)
feed = {"x": np.ones((1024, 512), np.float32)}
program(feed)
def forever():
    while True:
        program(feed)
for _ in range(2):
    threading.Thread(target=forever, daemon=True).start()
import time; time.sleep(0.2)
print("the end", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")


# What is left behind


def resident():
    """The memory of this process, in KB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def used_once(number, extra=None):
    """A program unlike all others, made, run and dropped."""
    x = sg.placeholder("x", (3 + number % 5,))
    y = x * (number + 0.5) + 1.0
    program = sg.compile(sg.define(y=y if extra is None else extra(y)), backend="llvm", threads=1)
    got = program({"x": np.ones(3 + number % 5, np.float32)})["y"]
    if extra is None:
        np.testing.assert_array_equal(got, np.float32(number + 1.5))


def kept_by(work, first, then):
    """The KB that a process grows by in the second of two rounds of work."""
    for number in range(first):
        work(number)
    gc.collect()
    before = resident()
    for number in range(first, first + then):
        work(number)
    gc.collect()
    return resident() - before


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory of a process on Linux")
@pytest.mark.parametrize("many", [100, pytest.param(500, marks=pytest.mark.heavy)])
def test_executables_leave_little(many):
    """Each has kernels of its own; what is remembered of kernels is bounded."""
    assert kept_by(used_once, 60, many) < 1000 + 8 * many


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory of a process on Linux")
def test_executables_with_calls_back_leave_little():
    assert kept_by(_printed, 40, 60) < 1500


def _printed(number):
    from tests.lowering.llvm.test_program_failures import Cube

    used_once(number, lambda y: sg.expr.apply(Cube(), y))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory of a process on Linux")
def test_calls_leave_nothing():
    graph = network()
    program, variables = sg.compile(graph, backend="llvm"), values_of(graph)
    rng = np.random.default_rng(0)
    feeds = {"x": rng.random((100, 6), np.float32), "label": rng.integers(0, 4, 100)}
    for _ in range(200):
        program(feeds, variables)
    before = resident()
    for _ in range(5000):
        program(feeds, variables)
    assert resident() - before < 300  # 60 bytes a call would show


def test_programs_are_dropped_while_another_thread_runs_one():
    x = sg.placeholder("x", ("n", 128))
    program = sg.compile(sg.define(y=sg.sum(x @ np.eye(128, dtype=np.float32), 1)), backend="llvm", threads=2)
    feed = {"x": np.ones((256, 128), np.float32)}
    ended = threading.Event()

    def run():
        turns = 0
        while not ended.is_set() or turns < 10:
            np.testing.assert_array_equal(program(feed)["y"], 128)
            turns += 1
        return turns

    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(run) for _ in range(2)]
        try:
            for number in range(30):
                used_once(1000 + number)
                if number % 10 == 0:
                    gc.collect()
        finally:
            ended.set()
        assert all(one.result() >= 10 for one in runs)


def test_a_program_that_is_dropped_while_it_runs_ends_well():
    """A call holds what it runs: the executable may go meanwhile."""
    x = sg.placeholder("x", ("n", 512))
    held = {
        "program": sg.compile(
            sg.define(y=sg.sum(x @ np.eye(512, dtype=np.float32), 1)), backend="llvm", threads=2
        )
    }
    feed = {"x": np.ones((2048, 512), np.float32)}
    held["program"](feed)
    with ThreadPoolExecutor(1) as threads:
        for _ in range(5):
            begun = threading.Event()

            def run(begun=begun):
                program = held["program"]
                begun.set()
                return program(feed)["y"]

            running = threads.submit(run)
            begun.wait()
            held["program"] = sg.compile(held["program"].declared, backend="llvm", threads=2)
            gc.collect()
            np.testing.assert_array_equal(running.result(), 512)


def test_many_sizes_do_not_pile_up():
    x = sg.placeholder("x", ("n",))
    program = sg.compile(sg.define(y=x + 1.0), backend="llvm")
    for n in [*range(1, 40), 3, 5]:
        np.testing.assert_array_equal(program({"x": np.zeros(n, np.float32)})["y"], np.ones(n))
    assert len(program._programs) <= 16
