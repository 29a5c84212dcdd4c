"""What can be read of a native program: its IR, its machine code and its memory plan."""

import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.expr import apply
from symgraph.ir import Op
from symgraph.lowering.llvm import planner, program
from symgraph.lowering.llvm.buffers import Argument, Call, Room, place
from symgraph.lowering.llvm.jit import object_code
from symgraph.lowering.llvm.target import host
from tests.cases import all_cases
from tests.lowering.llvm.test_program import data, network, values_of
from tests.lowering.test_backends import executables
from tests.strategies import random_graph

ROOT = Path(__file__).parents[3]


def test_the_source_names_nodes_and_lines():
    x = sg.placeholder("x", ("n", 4))
    product = x @ np.ones((4, 3), np.float32)
    program = sg.compile(sg.define(y=sg.cumsum(sg.exp(product), 0)), backend="llvm")
    source = program.source(n=10)
    for node in program.graph.nodes:
        if node.inputs:
            assert f"%{node.id} {node.op.name} f32[10,3]" in source
    assert "test_program_source.py:" in source
    assert "define i64 @step(" in source
    assert "step:" in program.assembly(n=10)
    assert "arena of" in str(program.memory_plan(n=10))
    assert program.source(n=10) != program.source(n=11)


def test_comments_change_nothing_that_is_compiled(monkeypatch):
    """The text that is compiled, and that names the entry of the cache, has no user's line in it."""
    texts = []
    compiled = program.object_code
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    monkeypatch.setattr(
        program, "object_code", lambda text, target: texts.append(text) or compiled(text, target)
    )
    shown = sg.compile(network(), backend="llvm").source(batch=4)
    (text,) = texts
    assert "test_program" not in text and "test_program" in shown
    bare = [line for line in shown.splitlines() if not line.lstrip().startswith(";")]
    assert bare == [line for line in text.splitlines() if not line.lstrip().startswith(";")]
    assert object_code(shown, host()) == object_code(text, host())


DESCRIBE = """
import hashlib
from symgraph.compile import compile
from symgraph.lowering.llvm import program
from tests.lowering.llvm.test_program import network
from tests.lowering.llvm.test_program_threads import classifier
from tests.strategies import random_graph
texts = []
program.object_code = lambda text, target: texts.append(text) or b""
program.load = lambda code, names: None
program.kept = lambda key: None
program.keep = lambda key, content: None
samples = [(s.graph, s.sizes) for s in map(random_graph, range(25))]
for graph, sizes in [(network(), {"batch": 8}), (classifier(), {"batch": 64}), *samples]:
    made = compile(graph, backend="llvm").bound({name: sizes[name] for name in graph.names}).program
    print(*(hashlib.sha256(text.encode()).hexdigest() for text in (made.source, texts[-1])), made.memory.peak)
"""


def test_the_text_is_the_same_in_every_process():
    def described(seed, threads):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(ROOT),
            "SYMGRAPH_NUM_THREADS": threads,
        }
        return subprocess.Popen(
            [sys.executable, "-c", DESCRIBE],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    answers = [one.communicate(timeout=60) for one in [described("0", "1"), described("4242", "3")]]
    (first, errors), (second, _) = answers
    assert len(first.splitlines()) == 27, errors
    assert first == second


def test_the_text_has_no_addresses():
    """A number of some billions is no offset: it would be a place in this process's memory."""
    source = sg.compile(network(), backend="llvm").source(batch=64)
    assert not re.findall(r"i64 \d{10,}|inttoptr", source)


HOSTILE = [
    "new\nline\n}\ndefine void @evil() {\n  ret void",
    'quote" \\22 \\',
    "; ret void",
    "é ∂ 😀 \u2028 \u2029 \x85 \x00 \x0b \x1b[31m",
    "%0 = @step(",
    "tab\tand\rreturn\r\n  ret i64 7",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_stay_names(name, tmp_path, monkeypatch):
    @attrs.frozen
    class Named(Op):
        arity: ClassVar[int | None] = 1

        def infer(self, *types):
            return types[0]

        def evaluate(self, *arrays):
            return arrays[0] + 1

    monkeypatch.setattr(Named, "name", name, raising=False)
    x, w = sg.placeholder(name, (3,)), sg.variable(name + "w", (3,), init=1.0)
    printed = sg.print_value(apply(Named(), x * w), label=name)
    graph = sg.define({name + "y": sg.assert_finite(printed, label=name) * 2.0}, updates={name: {w: w + x}})
    compiled = sg.compile(graph, backend="llvm")
    got = compiled({name: np.arange(3, dtype=np.float32)}, {name + "w": np.ones(3, np.float32)})
    np.testing.assert_array_equal(got[name + "y"], [2, 4, 6])
    source = compiled.source()
    source.encode("ascii")
    assert not re.search(r"[^\n -~]", source)
    code = [line for line in source.splitlines() if not line.lstrip().startswith(";")]
    assert not any("evil" in line for line in code)
    assert sum(line.startswith("define") for line in code) == sum("define " in line for line in code)
    assert object_code(source, host())
    assert compiled.assembly()


def test_a_hostile_file_name_stays_a_name(tmp_path):
    file = tmp_path / "a\n}\ndefine void @evil() {.py"
    body = "import symgraph as sg\nx = sg.placeholder('x', (3,))\ny = sg.exp(x) + 1.0\n"
    space = {}
    exec(compile(body, str(file), "exec"), space)
    source = sg.compile(sg.define(y=space["y"]), backend="llvm").source()
    assert not any(line.startswith("define void @evil") for line in source.splitlines())
    assert object_code(source, host())


# The memory plan


def overlapping(plan):
    """Pairs of buffers that are alive at once and share bytes, though neither replaces the other."""
    for a, b in combinations(plan.buffers, 2):
        together = a.birth <= b.death and b.birth <= a.death
        touching = a.offset < b.offset + b.size and b.offset < a.offset + a.size
        if together and touching:
            yield a, b


def check(plan):
    for buffer in plan.buffers:
        assert buffer.offset % 64 == 0
        assert buffer.offset >= 0 and buffer.offset + buffer.size <= plan.peak
        assert buffer.birth <= buffer.death
    for a, b in overlapping(plan):
        first, second = (a, b) if a.birth <= b.birth else (b, a)
        # One takes the place of the other in the call that reads it last.
        assert second.birth == first.death and second.in_place_of == first.node, f"{a}\n{b}"
        assert (first.offset, first.size) == (second.offset, second.size)


def graphs():
    yield network(), {"batch": 33}
    for case in all_cases()[::17]:
        reference, _, _ = executables(case, "interpreter")
        yield reference.graph, {}
    for seed in range(40):
        sample = random_graph(seed)
        yield sample.graph, sample.sizes


def test_what_is_alive_at_once_lies_apart(monkeypatch):
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    monkeypatch.setattr(program, "object_code", lambda text, target: b"")
    monkeypatch.setattr(program, "load", lambda code, names: None)
    in_place = 0
    for graph, sizes in graphs():
        compiled = sg.compile(graph, backend="llvm")
        made = compiled.bound({name: sizes[name] for name in compiled.graph.names}).program.memory
        check(made)
        in_place += sum(buffer.in_place_of is not None for buffer in made.buffers)
    assert in_place > 5


def test_a_result_lies_over_its_operand_only_where_the_kernel_allows_it():
    def room(size=256):
        return Room("arena", size, 0, "")

    def overlaid(*calls):
        offsets, plan = place(calls, ())
        check(plan)
        return offsets

    def call(reads, writes, over=()):
        return Call(
            0, tuple(Argument(r, 0) for r in (*reads, *writes)), len(reads), len(writes), 0, over=over
        )

    a, b, c, d = room(), room(), room(), room(128)
    allowed = overlaid(call([], [a]), call([a], [b], ((1, 0),)))
    assert allowed[a] == allowed[b]
    refused = overlaid(call([], [a]), call([a], [b]))
    assert refused[a] != refused[b]
    needed_later = overlaid(call([], [a]), call([a], [b], ((1, 0),)), call([a, b], [c]))
    assert needed_later[a] != needed_later[b]
    twice = overlaid(call([], [a]), call([a, a], [b], ((2, 0),)))
    assert twice[a] != twice[b]
    other_size = overlaid(call([], [a]), call([a], [d], ((1, 0),)))
    assert other_size[a] != other_size[d]
    both = overlaid(call([], [a]), call([a], [b, c], ((1, 0), (2, 0))))
    assert len({both[a], both[b], both[c]}) == 2


def test_a_used_arena_changes_no_result(monkeypatch):
    """Nothing is read that was not written in the same call: the arena is full of NaN before each."""
    arenas = []
    instance = program._instance

    def spied(made, arena):
        arenas.append(arena)
        return instance(made, arena)

    monkeypatch.setattr(program, "_instance", spied)
    for seed in range(30):
        sample = random_graph(seed)
        compiled = sg.compile(sample.graph, backend="llvm")
        first = compiled(sample.values)
        for fill in (0xFF, 0x7F):
            arenas[-1][:] = fill
            for name, value in compiled(sample.values).items():
                np.testing.assert_array_equal(value, first[name])
    graph, feeds = network(), data(17)
    compiled, variables = sg.compile(graph, backend="llvm"), values_of(network())
    first = compiled(feeds, variables)
    arenas[-1][:] = 0xFF
    for name, value in compiled(feeds, variables).items():
        np.testing.assert_array_equal(value, first[name])


def test_memory_grows_with_what_is_alive_not_with_what_is_computed():
    x = sg.placeholder("x", (1000,))
    y = x
    for k in range(30):
        y = sg.cumsum(sg.reverse(y, 0) if hasattr(sg, "reverse") else y[::-1], 0) * (0.5 + k)
    plan = sg.compile(sg.define(y=sg.sum(y)), backend="llvm").memory_plan()
    assert plan.peak <= 4 * 4096
    assert planner.native()
