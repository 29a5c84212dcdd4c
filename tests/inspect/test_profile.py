"""Profiles: where the time of a step goes, against the machine; as a table, as a trace, and of runs that fail."""

import json
import os
import time
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.__main__ import main
from symgraph.expr import apply
from symgraph.inspect.profiling import profile as profile_module
from symgraph.inspect.profiling.chrome import Event, chrome_trace
from symgraph.inspect.profiling.machine import Machine, measure
from symgraph.inspect.profiling.profile import Timing, attempt, kernel_name
from symgraph.ir import Op
from symgraph.rewrite import Operation
from symgraph.types import evaluate_dimension
from tests.lowering.llvm.test_program import data, network, values_of

BACKENDS = ("interpreter", "numpy", "llvm")


def profile_of(backend, batch=16, steps=4, **options):
    graph = network(0.9)
    executable = sg.compile(graph, backend=backend)
    return executable, executable.profile(data(batch), values_of(graph), steps=steps, **options)


def complete(text):
    """The complete events of a trace, by their parts of the format."""
    whole = json.loads(text)
    assert set(whole) == {"traceEvents", "displayTimeUnit", "otherData"}
    for event in whole["traceEvents"]:
        assert {"name", "ph", "pid", "tid", "ts", "args"} <= event.keys()
        assert event["ph"] in "XMi"
    return [event for event in whole["traceEvents"] if event["ph"] == "X"]


@attrs.frozen
class Odd(Op):
    """A user's op, which fails or waits, as it is told."""

    name = "odd"
    what: str = "nothing"

    def infer(self, *types):
        return types[0]

    def evaluate(self, x):
        if self.what == "interrupt":
            raise KeyboardInterrupt
        if self.what == "fail":
            raise ValueError("it is odd")
        if self.what == "wait":
            time.sleep(0.002)
        return x + 1


# What is measured


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_and_the_rest_are_the_step(backend: str) -> None:
    _, profile = profile_of(backend, steps=9)
    assert profile.steps == 9 and profile.backend == backend and not profile.failed
    steps = [event for event in profile.events if event.node is None]
    for step in steps:
        inside = [e.end - e.start for e in profile.events if e.step == step.step and e.node is not None]
        assert 0 < sum(inside) <= step.end - step.start
    rest = [
        (s.end - s.start - sum(e.end - e.start for e in profile.events if e.step == s.step and e is not s))
        / 1e9
        for s in steps
    ]
    assert profile.other == pytest.approx(np.median(rest))
    assert sum(profile.middle) == pytest.approx(profile.clocked.median)  # of an odd number of steps
    assert profile.middle[1] in [pytest.approx(r) for r in rest]
    assert repr(profile) == str(profile)
    assert profile.clocked.median == pytest.approx(np.median([(s.end - s.start) / 1e9 for s in steps]))
    assert profile.total.low <= profile.total.median <= profile.total.high
    assert 0 < sum(kernel.share for kernel in profile.kernels) < 1.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_count_what_the_executable_counts(backend: str) -> None:
    executable, profile = profile_of(backend)
    assert [k.node for k in profile.kernels] == [
        mark.node
        for mark in dict.fromkeys(executable.bound({"batch": 16}).program.clocked().marks)
        if mark.node
    ] or backend == "llvm"
    for kernel in profile.kernels:
        node = executable.graph.nodes[kernel.node]
        types = tuple(executable.graph.nodes[i].type for i in node.inputs)
        operation = Operation(node.op, node.type, types)
        assert kernel.flops == evaluate_dimension(operation.flops, {"batch": 16})
        assert kernel.bytes == evaluate_dimension(operation.traffic, {"batch": 16})
        assert kernel.time.low <= kernel.time.median <= kernel.time.high
        assert kernel.roofline is None or 0 < kernel.roofline <= 1
        assert all("test_program.py:" in line for line in kernel.lines)
    product = next(k for k in profile.kernels if "matmul" in k.name)
    assert product.flops >= 2 * 16 * 6 * 9
    whole = evaluate_dimension(executable.cost.flops, {"batch": 16})
    assert sum(kernel.flops for kernel in profile.kernels) <= whole


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_time_of_a_slow_op_is_found_where_it_is(backend: str) -> None:
    x = sg.placeholder("x", (8,))
    slow = sg.compile(sg.define(y=sg.exp(apply(Odd("wait"), sg.exp(x)))), backend=backend)
    profile = slow.profile({"x": [1.0] * 8}, steps=3, warm_up=0)
    longest = max(profile.kernels, key=lambda kernel: kernel.time.median)
    assert longest.name == "odd" and longest.time.median > 0.0019
    assert longest.share > 0.5 and longest.time.median < profile.total.median * 2


def test_two_threads_are_profiled_with_two() -> None:
    x, w = sg.placeholder("x", (512, 256)), sg.placeholder("w", (256, 128))
    graph = sg.define(y=sg.tanh(x @ w))
    feeds = {"x": np.ones((512, 256), np.float32), "w": np.ones((256, 128), np.float32)}
    one, two = (sg.compile(graph, backend="llvm", threads=n).profile(feeds, steps=3) for n in (1, 2))
    assert (one.machine.threads, two.machine.threads) == (1, 2)
    assert [k.flops for k in one.kernels] == [k.flops for k in two.kernels]
    assert two.machine.flops["float32"] >= one.machine.flops["float32"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_strided_and_empty_feeds(backend: str) -> None:
    x = sg.placeholder("x", ("n", 3))
    executable = sg.compile(sg.define(y=sg.sum(sg.exp(x), 0)), backend=backend)
    whole = np.arange(60, dtype=np.float32).reshape(10, 6) / 60
    for feed in (whole[::2, ::2], np.asfortranarray(whole[:, :3]), whole[:0, :3], [[1.0, 2.0, 3.0]]):
        profile = executable.profile({"x": feed}, steps=2)
        assert profile.sizes == {"n": len(feed)} and profile.kernels
        assert json.loads(profile.chrome_trace())


def test_no_number_of_steps_is_told() -> None:
    executable = sg.compile(sg.define(y=sg.placeholder("x", (2,)) + 1.0))
    for wrong in (0, -1, True, 2.5, "3"):
        with pytest.raises(sg.ExecutionError, match="steps is a whole number from 1"):
            executable.profile({"x": [1.0, 2.0]}, steps=wrong)
    with pytest.raises(sg.ExecutionError, match="warm_up is a whole number from 0"):
        executable.profile({"x": [1.0, 2.0]}, warm_up=-1)


# Sessions


@pytest.mark.parametrize("debug", (False, True))
def test_a_session_is_profiled_and_nothing_in_it_changes(debug: bool) -> None:
    with sg.Session(network(0.9), backend="numpy", debug=debug) as session:
        session.run("loss", data(8), update="train")
        before = {name: array.copy() for name, array in session.variables.items()}
        profile = session.profile(["loss", "logits"], data(8), update="train", steps=3)
        assert profile.steps == 3 and profile.sizes == {"batch": 8}
        assert any("matmul" in kernel.name for kernel in profile.kernels)
        assert session.step == 1
        for name, array in session.variables.items():
            np.testing.assert_array_equal(array, before[name])
        assert len(session.profile("logits", {"x": data(8)["x"]}, steps=1).kernels) < len(profile.kernels)
        with pytest.raises(sg.FeedError):
            session.profile("loss", {"x": data(8)["x"]})


# The machine


def test_the_machine_is_measured_once_and_plausibly() -> None:
    begin = time.perf_counter()
    machine = measure()
    assert time.perf_counter() - begin < 10  # a shared machine; by itself it takes half a second
    assert measure() is machine and str(machine.cores) in str(machine)
    assert machine.flops["float64"] > 1e8 and machine.flops["float32"] < 1e15
    rates = [rate for _, rate in machine.bandwidths]
    assert rates == sorted(rates, reverse=True) and 1e8 < machine.bandwidth < 1e13


def test_a_roof_is_that_of_what_limits() -> None:
    machine = Machine(1, 1, {"float32": 1e10, "float64": 5e9}, ((1000, 1e11), (10**6, 1e9)))
    assert machine.roof(10**6, 2000) == (1e-4, "compute")
    assert machine.roof(10**6, 2000, "float64") == (2e-4, "compute")
    assert machine.roof(10, 10**6) == (1e-3, "memory")
    assert machine.roof(1, 1000) == (1e-8, "memory")  # in the cache
    assert machine.bandwidth_of(10**9) == machine.bandwidth == 1e9


def test_timings_are_percentiles() -> None:
    timing = Timing.of(range(1, 12))
    assert (timing.low, timing.median, timing.high) == (2, 6, 10)
    assert Timing.of([]) == Timing(0.0, 0.0, 0.0)


# Traces


@pytest.mark.parametrize("backend", BACKENDS)
def test_events_nest_and_are_in_order(backend: str) -> None:
    executable, profile = profile_of(backend)
    events = complete(profile.chrome_trace())
    steps = [event for event in events if event["cat"] == "step"]
    kernels = [event for event in events if event["cat"] == "kernel"]
    assert len(steps) == 4 and steps[0]["ts"] == 0
    for one, next_ in pairwise(steps):
        assert one["ts"] + one["dur"] <= next_["ts"]
    for number, step in enumerate(steps):
        inside = [event for event in kernels if event["args"]["step"] == number]
        assert inside
        last = step["ts"]
        for event in inside:
            assert event["ts"] >= last - 1e-6
            last = event["ts"] + event["dur"]
            assert event["dur"] >= 0
            args = event["args"]
            node = executable.graph.nodes[args["node"]]
            assert args["lines"] and args["code"]
            assert event["name"] == kernel_name(node)
        assert last <= step["ts"] + step["dur"] + 1e-6
        for what in ("flops", "bytes"):  # of what runs in several parts they count once
            counted = sum(event["args"].get(what, 0) for event in inside)
            assert counted == sum(getattr(kernel, what) for kernel in profile.kernels)
        nodes = [event["args"]["node"] for event in inside]
        further = [event["args"]["node"] for event in inside if event["args"].get("further part")]
        assert sorted(nodes) == sorted([*set(nodes), *further])


def test_what_runs_in_parts_is_counted_once_a_step() -> None:
    spans = [("k", 3, 0, 2), ("other", 4, 2, 3), ("k", 3, 3, 5)]
    events = [Event(name, step, node, *when) for step in (0, 1) for name, node, *when in spans]
    about = {3: {"code": "k", "flops": 7, "bytes": 8}, 4: {"flops": 1, "bytes": 1}}
    told = [event["args"] for event in complete(chrome_trace("t", events, about))]
    assert [args.get("flops") for args in told] == [7, 1, None] * 2
    assert [args.get("further part", False) for args in told] == [False, False, True] * 2
    assert all(args["node"] in about for args in told) and told[2]["code"] == "k"


def test_a_long_run_has_a_trace_of_its_first_and_last_steps(monkeypatch) -> None:
    executable, _ = profile_of("numpy", steps=1)
    marks = len(executable.bound({"batch": 16}).program.clocked().marks)
    monkeypatch.setattr(profile_module, "_TRACED", 5 * (1 + marks))
    _, profile = profile_of("numpy", steps=40)
    told = json.loads(profile.chrome_trace())
    steps = [e["args"]["step"] for e in told["traceEvents"] if e.get("cat") == "step"]
    assert steps == [0, 1, 37, 38, 39] and profile.untraced == 35 and profile.steps == 40
    assert told["otherData"]["steps left out"] == 35
    assert "35 between them are left out" in str(profile)
    assert profile_of("numpy", steps=5)[1].untraced == 0


def test_a_trace_is_written_whole(tmp_path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("older")
    _, profile = profile_of("numpy", trace=path)
    assert path.read_text() == profile.chrome_trace()
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]
    with pytest.raises(sg.ExecutionError, match="could not be written"):
        profile.save_trace(tmp_path / "no" / "trace.json")
    with pytest.raises(sg.ExecutionError, match="could not be written"):
        profile.save_trace(tmp_path)
    with pytest.raises(sg.ExecutionError, match="could not be written"):
        profile.save_trace("a\0b")
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_hostile_names_stay_text() -> None:
    name = '</script><img src=x onerror=alert(1)>"\\\n\u2028'
    x = sg.placeholder(name, (3,))
    profile = sg.compile(sg.define({name + "y": sg.exp(x)}), backend="numpy").profile(
        {name: [1, 2, 3]}, steps=1
    )
    assert len(complete(profile.chrome_trace())) == 2
    profile.chrome_trace().encode("ascii")
    assert profile.sizes == {} and str(profile)


# Runs that fail


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failing_step_leaves_its_trace(backend: str, tmp_path) -> None:
    x = sg.placeholder("x", ("n",))
    checked = sg.assert_finite(sg.cumsum(sg.log(x), 0))
    executable = sg.compile(sg.define(y=sg.cumsum(checked, 0)), backend=backend)
    path = tmp_path / "trace.json"
    with pytest.raises(sg.ExecutionError, match="not finite") as caught:
        executable.profile({"x": [1.0, -1.0]}, trace=path)
    node = next(n.id for n in executable.graph.nodes if n.op.name == "assert_finite")
    assert f"%{node} assert_finite" in str(caught.value) and "test_profile.py:" in str(caught.value)
    events = complete(path.read_text())
    assert [e["args"].get("failed", False) for e in events] == [
        e is events[0] or e is events[-1] for e in events
    ]
    assert events[-1]["args"]["node"] == node and len(events) >= 3
    whole = json.loads(path.read_text())
    (instant,) = (event for event in whole["traceEvents"] if event["ph"] == "i")
    assert "not finite" in instant["args"]["error"] and f"%{node}" in whole["otherData"]["failed"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("what", "error"),
    [("fail", sg.ExecutionError), ("interrupt", KeyboardInterrupt)],
    ids=("fail", "interrupt"),
)
def test_errors_and_interrupts_in_an_op_leave_a_trace(backend: str, what: str, error, tmp_path) -> None:
    x = sg.placeholder("x", (4,))
    graph = sg.define(y=apply(Odd(what), sg.cumsum(x, 0)))
    executable = sg.compile(graph, backend=backend)
    path = tmp_path / "trace.json"
    with pytest.raises(error):
        executable.profile({"x": [1.0] * 4}, trace=path)
    events = complete(path.read_text())
    assert events[-1]["name"] == "odd" and events[-1]["args"]["failed"]
    assert events[-2]["name"] == "cumsum" and "failed" not in events[-2]["args"]
    assert "in %" in json.loads(path.read_text())["otherData"]["failed"]


def test_feeds_that_do_not_fit_leave_an_empty_trace(tmp_path) -> None:
    executable = sg.compile(network(), backend="numpy")
    path = tmp_path / "trace.json"
    with pytest.raises(sg.FeedError, match="has no value"):
        executable.profile({"x": data(4)["x"]}, values_of(network()), trace=path)
    assert complete(path.read_text()) == []
    assert "has no value" in json.loads(path.read_text())["otherData"]["failed"]
    with pytest.raises(sg.FeedError, match="a mapping"):
        executable.profile([1, 2])


def test_an_attempt_hands_back_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped after some steps has those."""
    x = sg.placeholder("x", (4,))
    executable = sg.compile(sg.define(y=apply(Odd(), sg.cumsum(x, 0))), backend="numpy")
    calls = []

    def evaluate(self, x):
        calls.append(x)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return x + 1

    monkeypatch.setattr(Odd, "evaluate", evaluate)
    profile = attempt(executable, {"x": [1.0] * 4}, steps=50)
    assert isinstance(profile.error, KeyboardInterrupt) and profile.failed.startswith("KeyboardInterrupt")
    assert 0 < profile.steps < 20 and profile.kernels and "failed: KeyboardInterrupt" in str(profile)


# The table, and the command


def test_the_table_has_a_row_a_kernel() -> None:
    _, profile = profile_of("llvm")
    lines = str(profile).splitlines()
    head = next(k for k, line in enumerate(lines) if line.lstrip().startswith("node"))
    rows = lines[head + 1 :]
    assert len(rows) == len(profile.kernels)
    for row, kernel in zip(rows, profile.kernels, strict=True):
        assert row.split()[0] == f"%{kernel.node}" and str(kernel.flops) in row and kernel.name in row
    assert "4 steps on llvm, batch=16" in lines[0] and "outside them" in str(profile)


@pytest.mark.parametrize("backend", ("numpy", "llvm"))
def test_the_command_prints_a_table_and_writes_a_trace(backend: str, tmp_path, capsys) -> None:
    path = tmp_path / "trace.json"
    options = ["--size", "batch=8", "--backend", backend, "--steps", "2", "--trace", str(path)]
    assert main(["profile", "models.one_hidden_layer", *options]) == 0
    out = capsys.readouterr().out
    assert "fed random numbers of the seed 0" in out and f"2 steps on {backend}, batch=8" in out
    assert "models/one_hidden_layer.py:39" in out and "roofline" in out
    assert sum(event["cat"] == "step" for event in complete(path.read_text())) == 2


def test_the_command_takes_feeds_and_variables(tmp_path, capsys) -> None:
    graph = network()
    np.savez(tmp_path / "batch.npz", **data(5))
    np.savez(tmp_path / "trained.npz", **values_of(graph))
    (tmp_path / "net.sg").write_text(sg.to_text(graph))
    files = ["--feed", str(tmp_path / "batch.npz"), "--variables", str(tmp_path / "trained.npz")]
    assert main(["profile", str(tmp_path / "net.sg"), *files, "--steps", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "batch=5" in out and "batch.npz" in out


def test_the_command_fails_with_a_trace_and_a_code(tmp_path, capsys) -> None:
    x = sg.placeholder("x", ("n",))
    graph = sg.define(y=sg.assert_finite(sg.log(x)) + 1.0)
    (tmp_path / "net.sg").write_text(sg.to_text(graph))
    np.savez(tmp_path / "batch.npz", x=-np.ones(3, np.float32))
    trace = tmp_path / "trace.json"
    files = [str(tmp_path / "net.sg"), "--feed", str(tmp_path / "batch.npz"), "--trace", str(trace)]
    assert main(["profile", *files]) == 2
    err = capsys.readouterr().err
    assert "not finite" in err and "assert_finite of the optimised graph" in err
    assert complete(trace.read_text())[-1]["args"]["failed"]
    assert main(["profile", str(tmp_path / "net.sg")]) == 2
    assert "--size n=" in capsys.readouterr().err
    assert main(["profile", *files[:3], "--trace", str(tmp_path / "no" / "x.json"), "--backend", "no"]) == 2
    assert "no backend" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["profile", "--help"])
    assert "ui.perfetto.dev" in capsys.readouterr().out
    for wrong in (["--steps", "0"], ["--threads", "-1"], ["--steps", "x"]):
        with pytest.raises(SystemExit) as left:
            main(["profile", *files, *wrong])
        assert left.value.code == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no links and devices")
def test_links_and_devices_stay_what_they_are(tmp_path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    profile_of("numpy", steps=1)[1].save_trace(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink() and complete((tmp_path / "real.json").read_text())
    profile_of("numpy", steps=1)[1].save_trace(os.devnull)
    assert Path(os.devnull).is_char_device()
