"""Which lines of the generated code belong to which node, and programs with a clock between their kernels."""

import gc
import re
import time
import weakref
from itertools import pairwise

import numpy as np
import pytest

import symgraph as sg
from symgraph.compile import bind
from symgraph.ir import Placeholder, Variable
from symgraph.lowering import plan
from symgraph.lowering.llvm import listing, program
from symgraph.lowering.llvm.clock import Ticking, clock, python_clock
from symgraph.ops.region import Fused
from tests.lowering.llvm.test_program import data, network, values_of
from tests.lowering.test_backends import blocks_of_rows
from tests.strategies import random_graph

BACKENDS = ("interpreter", "numpy", "llvm")
HOSTILE = (
    'x\n}\ndefine internal void @kernel0(ptr %table, ptr %args, i64 %chunk) #0 {\n"',
    "  call void @kernel0(ptr %table, ptr @args0, i64 0)",
    "\n  call void @each(ptr @kernel1, ptr %table, ptr @args1, i64 4)\nkernel0:",
    "\n    b0 = __import__('os')  # %1 add f32[3]\ndef run():\n    stamps[0] = now()",
    "\n  %3: f32[4] = add %x %x\n",
    "\r\x85\u2028; %2 mul",
)


def lines_of(executable, section, **sizes):
    text = executable.source(**sizes) if section.listing == "source" else executable.assembly(**sizes)
    return text.split("\n")[section.first - 1 : section.last]


def results(made, graph, instance):
    """The bytes of all that a call gives."""
    values, _ = bind(graph, made, None)
    updated = [name for _, group in graph.updates for name, _ in group]
    destinations = [np.zeros_like(made[name]) for name in updated]
    outputs = instance(values, destinations)
    return [np.asarray(array).tobytes() for array in (*outputs, *destinations)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kernels_lines_name_its_node(backend: str) -> None:
    executable = sg.compile(network(0.9), backend=backend)
    kernels = executable.kernels(batch=8)
    nodes = {kernel.node for kernel in kernels}
    assert len(nodes) == len(kernels)
    computing = [n for n in executable.graph.nodes if isinstance(n.op, Fused) or n.op.name == "matmul"]
    assert {n.id for n in computing} <= nodes
    assert not [i for i in nodes if isinstance(executable.graph.nodes[i].op, Placeholder | Variable)]
    for kernel in kernels:
        source = [s for s in kernel.sections if s.listing == "source"]
        assert source and all(s.first <= s.last for s in kernel.sections)
        told = "\n".join(line for s in source for line in lines_of(executable, s, batch=8))
        assert re.search(rf"%{kernel.node}\b", told)
        assert all(section.name in kernel.name for section in source)


def test_lines_of_python_belong_to_one_node_and_every_computed_line_to_some() -> None:
    executable = sg.compile(network(0.9), backend="numpy")
    source = executable.source(batch=8).split("\n")
    owner: dict[int, int] = {}
    for kernel in executable.kernels(batch=8):
        for section in kernel.sections:
            for line in range(section.first, section.last + 1):
                assert line not in owner
                owner[line] = kernel.node
    for number, line in enumerate(source, 1):
        told = re.search(r"  # %(\d+) ", line)
        if told is not None:
            assert owner[number] == int(told[1])
        if re.match(r"    [fr]_\w+\(", line):
            assert number in owner


def test_native_sections_are_the_functions_and_their_calls() -> None:
    executable = sg.compile(network(0.9), backend="llvm")
    seen: dict[str, set[tuple[int, int]]] = {}
    for kernel in executable.kernels(batch=8):
        names = set(re.findall(r"@(kernel\d+)", kernel.name))
        for section in kernel.sections:
            lines = lines_of(executable, section, batch=8)
            if section.listing == "assembly":
                assert section.name in names
                assert lines[0] == f"{section.name}:"
                assert any("ret" in line for line in lines)
                assert sum(bool(re.match(r"\w+:", line)) for line in lines) == 1
                seen.setdefault(section.name, set()).add((section.first, section.last))
            elif lines[-1] == "}":
                assert any(line.startswith(f"define internal void {section.name}(") for line in lines)
            else:
                assert sum(section.name in line and "call" in line for line in lines) == 1
    assert all(len(spans) == 1 for spans in seen.values())
    spans = sorted(span for (span,) in seen.values())
    assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_a_kernel_that_nodes_share_belongs_to_all_of_them() -> None:
    x = sg.placeholder("x", (64, 64))
    made = sg.cumsum(sg.exp(sg.cumsum(sg.exp(sg.cumsum(x, 0)), 0)), 0)
    executable = sg.compile(sg.define(y=made), backend="llvm")
    functions: dict[str, list[int]] = {}
    for kernel in executable.kernels():
        for section in kernel.sections:
            if section.listing == "assembly":
                functions.setdefault(section.name, []).append(kernel.node)
    shared = [nodes for nodes in functions.values() if len(nodes) > 1]
    assert shared
    for nodes in shared:
        assert len({executable.graph.nodes[i].op.name for i in nodes}) == 1


def named(names, scope):
    """A network whose inputs, scopes and source lines have these names."""
    text = "x = sg.placeholder(a, ('n', 4))\nw = sg.variable(b, (4, 4), init=0.5)\n"
    text += "y = sg.cumsum(sg.exp(x @ w) * 2.0, 0)\nz = sg.sum(y)\n"
    scopes = {"a": names[0], "b": names[1], "sg": sg}
    exec(compile(text, scope, "exec"), scopes)
    w, y, z = (scopes[k] for k in "wyz")
    return sg.define({names[2]: z, names[3]: y}, updates={names[4]: {w: w - 0.1 * sg.exp(w)}})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shift", range(len(HOSTILE)))
def test_no_name_of_a_users_is_taken_for_code(backend: str, shift: int) -> None:
    hostile = [HOSTILE[(shift + k) % len(HOSTILE)] for k in range(6)]
    plain = sg.compile(named(["a", "b", "c", "d", "e"], "f.py"), backend=backend)
    other = sg.compile(named(hostile, hostile[5]), backend=backend)
    for mine, theirs in zip(plain.kernels(n=3), other.kernels(n=3), strict=True):
        assert (mine.node, mine.name, len(mine.sections)) == (theirs.node, theirs.name, len(theirs.sections))
        for a, b in zip(mine.sections, theirs.sections, strict=True):
            assert (a.listing, a.name, a.last - a.first) == (b.listing, b.name, b.last - b.first)
            code, text = (
                [re.sub(r"[;#].*", "", line) for line in lines_of(e, s, n=3)]
                for e, s in ((plain, a), (other, b))
            )
            if backend != "interpreter":
                assert code == text
    marks = [made.bound({"n": 3}).program.clocked().marks for made in (plain, other)]
    assert marks[0] == marks[1]


def test_functions_end_where_other_systems_say() -> None:
    apple = "_kernel0:\n\tret\n\t.cfi_endproc\n\n_kernel1:\nLBB1_1:\n\tret\nLfunc_end1:\n_step:\n\tret"
    assert list(listing._labels(apple)) == [("kernel0", 1, 2), ("kernel1", 5, 7)]
    windows = "kernel0:\n.LBB0_1:\n\tretq\n\nkernel1:\n\tretq\n\neach:\n\tretq"
    assert [name for name, _, _ in listing._labels(windows)] == ["kernel0", "kernel1"]


# Clocks


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", (1, 2))
def test_a_clocked_step_has_the_bits_of_the_plain_one(backend: str, threads: int) -> None:
    if backend != "llvm" and threads == 2:
        threads = None
    graph = network(0.9)
    executable = sg.compile(graph, backend=backend, threads=threads)
    made = executable.bound({"batch": 300}).program
    given = {**data(300), **values_of(graph)}
    instance, read = made.clocked().instance()
    for _ in range(3):
        got = results(given, executable.graph, instance)
        assert got == results(given, executable.graph, made.instance())
        stamps = read()
        assert len(stamps) == len(made.clocked().marks) + 1
        assert stamps[0] > 0 and list(stamps) == sorted(stamps)


def agree_on_bits(seed: int, backend: str) -> None:
    sample = random_graph(seed)
    executable = sg.compile(sample.graph, backend=backend)
    values = {name: sample.values[name] for name in _inputs(executable.graph)}
    made = executable.bound(sample.sizes).program
    marks = made.clocked().marks
    instance, read = made.clocked().instance()
    plain = results(values, executable.graph, made.instance())
    assert results(values, executable.graph, instance) == plain
    assert list(read()) == sorted(read()) and all(read())
    nodes = {kernel.node for kernel in made.kernels}
    assert {mark.node for mark in marks if mark.node is not None} <= nodes


def _inputs(graph):
    return [n.op.label for n in graph.nodes if isinstance(n.op, Placeholder | Variable)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_have_the_same_bits_with_a_clock(backend: str, seed: int) -> None:
    agree_on_bits(seed, backend)


@pytest.mark.heavy
@pytest.mark.parametrize("backend", BACKENDS)
def test_many_random_graphs_have_the_same_bits_with_a_clock(backend: str) -> None:
    for seed in range(100, 250):
        agree_on_bits(seed, backend)


def test_loops_over_blocks_are_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network(0.9)
    whole = sg.compile(graph, backend="numpy").bound({"batch": 40}).program.clocked().marks
    blocks_of_rows(monkeypatch)
    monkeypatch.setattr(plan, "STEP_BYTES", 1)
    executable = sg.compile(graph, backend="numpy")
    made = executable.bound({"batch": 40}).program
    assert "for i in range" in made.source
    assert [mark.node for mark in made.clocked().marks] == [mark.node for mark in whole]
    instance, read = made.clocked().instance()
    given = {**data(40), **values_of(graph)}
    assert results(given, executable.graph, instance) == results(given, executable.graph, made.instance())
    assert list(read()) == sorted(read()) and all(read())
    for kernel in made.kernels:
        for section in kernel.sections:
            lines = made.source.split("\n")[section.first - 1 : section.last]
            assert not lines[0].startswith("        ")  # it has its loop with it


@pytest.mark.parametrize("how", (clock, python_clock))
def test_every_clock_tells_the_time_of_perf_counter(how) -> None:
    executable = sg.compile(network(), backend="llvm")
    made = executable.bound({"batch": 8}).program
    instance, read = program.clocked(made, how()).instance()
    given = {**data(8), **values_of(network())}
    begin = time.perf_counter_ns()
    got = results(given, executable.graph, instance)
    end = time.perf_counter_ns()
    stamps = read()
    assert begin <= stamps[0] <= stamps[-1] <= end
    assert got == results(given, executable.graph, made.instance())


def test_an_instance_keeps_its_clock() -> None:
    how = python_clock()
    function = weakref.ref(how._function)
    executable = sg.compile(network(), backend="llvm")
    instance, _ = program.clocked(executable.bound({"batch": 8}).program, how).instance()
    del how
    gc.collect()
    assert function() is not None
    results({**data(8), **values_of(network())}, executable.graph, instance)


def test_numbers_are_flushed_alike_with_a_clock() -> None:
    """Where denormals count as zero the clock, which is code of another, changes nothing of that."""
    x = sg.placeholder("x", (64,))
    executable = sg.compile(sg.define(y=sg.cumsum(x * 0.5, 0) * 0.5), backend="llvm", numerics="fast")
    made = executable.bound({}).program
    given = {"x": np.full(64, 3e-38, np.float32)}
    for how in (clock, python_clock):
        instance, _ = program.clocked(made, how()).instance()
        assert results(given, executable.graph, instance) == results(given, executable.graph, made.instance())


def test_the_plain_code_has_no_clock() -> None:
    native = sg.compile(network(), backend="llvm").bound({"batch": 8}).program
    plain = native._step.text({})
    clocked = native._step.text({}, Ticking(99, 1))
    assert "tick" not in plain and "clock" not in plain
    bare = re.sub(r"define internal void @tick\(.*?\n}\n", "", clocked, flags=re.S)
    bare = "".join(line for line in bare.splitlines(True) if "@tick" not in line)
    assert bare == plain
    python = sg.compile(network(), backend="numpy").bound({"batch": 8}).program
    before = python.source
    python.clocked().instance()
    assert python.source == before and "stamps" not in before and "now()" not in before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_failed_call_tells_how_far_it_came(backend: str) -> None:
    x = sg.placeholder("x", ("n",))
    checked = sg.assert_finite(sg.cumsum(sg.log(x), 0))
    executable = sg.compile(sg.define(y=sg.cumsum(checked, 0)), backend=backend)
    made = executable.bound({"n": 3}).program
    clocked = made.clocked()
    instance, read = clocked.instance()
    with pytest.raises(sg.ExecutionError):
        instance([np.array([1, -1, 1], np.float32)], [])
    reached = [mark for mark, stamp in zip(clocked.marks, read()[1:], strict=True) if stamp]
    failed = clocked.marks[len(reached)]
    assert executable.graph.nodes[failed.node].op.name == "assert_finite"
    assert not any(read()[len(reached) + 1 :])
    instance([np.array([1, 2, 3], np.float32)], [])
    assert all(read())


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_computes_nothing_has_no_kernels(backend: str) -> None:
    x = sg.placeholder("x", ("n",))
    executable = sg.compile(sg.define(y=x), backend=backend)
    made = executable.bound({"n": 3}).program
    instance, read = made.clocked().instance()
    (got,) = instance([np.arange(3, dtype=np.float32)], [])
    np.testing.assert_array_equal(got, [0, 1, 2])
    assert read()[0] > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_values_are_profiled(backend: str) -> None:
    x = sg.placeholder("x", ("n", 3))
    executable = sg.compile(sg.define(y=sg.exp(x) * 2.0, z=sg.sum(x, 0)), backend=backend)
    made = executable.bound({"n": 0}).program
    instance, read = made.clocked().instance()
    y, z = instance([np.zeros((0, 3), np.float32)], [])
    assert y.shape == (0, 3) and not z.any()
    assert list(read()) == sorted(read()) and made.kernels is not None
