"""The peak of a memory plan: when it is, whose it is, and how it grows with the named sizes."""

import re
from pathlib import Path

import pytest

import symgraph as sg
from models import lenet, one_hidden_layer
from symgraph.inspect.profiling.memory import _owner
from symgraph.types import Dim, evaluate_dimension
from tests.lowering.llvm.test_program import network
from tests.strategies import random_graph

BACKENDS = ("numpy", "llvm")


def live_at(plan, step):
    """The bytes needed at a step: of the union of the extents of the buffers."""
    total = end = 0
    for first, last in sorted(
        (b.offset, b.offset + b.size) for b in plan.buffers if b.birth <= step <= b.death
    ):
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total


def check(executable, sizes):
    found, plan = executable.peak(**sizes), executable.memory_plan(**sizes)
    needs = [live_at(plan, step) for step in range(found.steps)]
    assert found.live == max(needs, default=0) == needs[found.step] if needs else found.live == 0
    assert found.live <= found.peak == plan.peak
    assert found.live == sum(b.size for b in found.buffers if b.at_peak)
    assert evaluate_dimension(found.expression, sizes) == found.live
    for b in found.buffers:
        assert evaluate_dimension(b.expression, sizes) == b.size > 0
        assert not b.at_peak or b.birth <= found.step <= b.death
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(8))
def test_the_peak_is_the_fullest_step(backend: str, seed: int) -> None:
    sample = random_graph(seed)
    check(sg.compile(sample.graph, backend=backend), dict(sample.sizes))


@pytest.mark.heavy
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_peak_of_many_graphs_is_the_fullest_step(backend: str) -> None:
    for seed in range(100, 220):
        sample = random_graph(seed)
        check(sg.compile(sample.graph, backend=backend), dict(sample.sizes))


@pytest.mark.parametrize("graph", (network(0.9), one_hidden_layer.graph()), ids=("small", "talk"))
def test_the_expression_is_the_peak_of_other_sizes(graph) -> None:
    executable = sg.compile(graph, backend="numpy")
    found = executable.peak(batch=128)
    assert isinstance(found.expression, Dim)
    for batch in (1, 7, 64, 100, 1000):
        other = check(executable, {"batch": batch})
        if (other.step, len(other.buffers)) == (found.step, len(found.buffers)):
            assert evaluate_dimension(found.expression, {"batch": batch}) == other.live
    assert executable.peak(batch=64).step == found.step  # or nothing was seen


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_buffer_grows_as_it_is_told(backend: str) -> None:
    """Also padded images and what products of windows need; steps of scratch alone are told as such."""
    executable = sg.compile(sg.train.minimize(lenet.declare(), "loss", sg.train.sgd(0.1)), backend=backend)
    found = check(executable, {"batch": 64})
    other = executable.peak(batch=80)
    assert [(b.node, b.birth) for b in other.buffers] == [(b.node, b.birth) for b in found.buffers]
    for b, now in zip(found.buffers, other.buffers, strict=True):
        if isinstance(b.expression, Dim) or not b.label.startswith("scratch"):
            assert evaluate_dimension(b.expression, {"batch": 80}) == now.size, b
    assert sum(isinstance(b.expression, Dim) for b in found.buffers) > 10


def test_sizes_that_happen_to_be_equal_are_told_apart() -> None:
    """A buffer of n x m is that also where both are 8, and where a fixed axis is."""
    x, y = sg.placeholder("x", ("n", "m")), sg.placeholder("y", ("m", 8))
    made = sg.cumsum(sg.cumsum(x, 0) @ sg.cumsum(y, 0), 1)
    executable = sg.compile(sg.define(z=sg.max(made)), backend="numpy")
    found = executable.peak(n=8, m=8)
    told = {str(b.expression) for b in found.buffers if b.label.startswith(("cumsum", "matmul"))}
    assert told == {"4*m*n", "32*m", "32*n"}


def test_values_of_fused_nodes_are_known() -> None:
    x = sg.placeholder("x", ("n", 10))
    shifted = x - sg.max(x, axis=1, keepdims=True)
    executable = sg.compile(sg.define(y=sg.sum(sg.exp(shifted) / sg.sum(sg.exp(shifted)))), backend="numpy")
    (fused,) = {b.node for b in executable.peak(n=6).buffers if str(b.expression) == "4*n"}
    assert executable.graph.nodes[fused].op.name == "fused"


def test_the_owner_is_the_line_with_most() -> None:
    x = sg.placeholder("x", ("n", 100))
    big = sg.cumsum(sg.concatenate([x] * 50, 1), 1)  # the line
    executable = sg.compile(sg.define(y=sg.max(sg.cumsum(big, 0))), backend="numpy")
    found = executable.peak(n=10)
    told = re.match(
        r"(\S+):(\d+) has ([\d,]+) bytes of the ([\d,]+) bytes at the peak \((\d+)%\)", found.owner
    )
    assert told is not None and told[1].endswith("test_memory.py")
    assert "# the line" in Path(__file__).read_text().splitlines()[int(told[2]) - 1]
    whole, most = (int(told[k].replace(",", "")) for k in (4, 3))
    assert whole == found.live and 0 < most <= whole
    assert int(told[5]) == round(100 * most / whole)


def test_all_but_a_little_is_not_all() -> None:
    x = sg.placeholder("x", (2,))
    y = sg.exp(x)
    *_, one, two = sg.define(z=sg.tanh(y)).nodes
    assert one.origin.sources[0].line != two.origin.sources[0].line
    assert _owner([(9_999, one), (1, two)], 10_000).endswith(
        "9,999 bytes of the 10,000 bytes at the peak (99%)"
    )
    assert _owner([(9_999, one), (1, one)], 10_000).endswith("(100%)")
    assert _owner([(2**20, one)], 2**20).endswith("of the 1,048,576 bytes (1.0 MiB) at the peak (100%)")


def test_constants_are_counted() -> None:
    table = sg.constant([float(k) for k in range(50)])
    executable = sg.compile(sg.define(y=sg.placeholder("x", (50,)) * table), backend="numpy")
    assert executable.peak().unplanned.endswith("200 bytes of constants")


def test_what_lies_outside_is_told() -> None:
    found = sg.compile(network(), backend="numpy").peak(batch=10)
    assert "320 bytes of placeholders (32*batch)" in found.unplanned
    assert "360 bytes of variables" in found.unplanned and "next values of variables" in found.unplanned
    assert "164 bytes of outputs" in found.unplanned
    assert str(found.expression) in str(found) and found.owner in str(found)


def test_without_an_arena_there_is_nothing_at_the_peak() -> None:
    found = sg.compile(network(), backend="interpreter").peak(batch=10)
    assert (found.peak, found.live, found.expression, found.buffers) == (0, 0, 0, ())
    assert "the interpreter has no arena" in found.unplanned
    for backend in BACKENDS:
        x = sg.placeholder("x", ("n",))
        found = sg.compile(sg.define(y=x), backend=backend).peak(n=3)
        assert found.live == 0 and found.expression == 0 and found.owner == "nothing is kept in an arena"


def test_steps_of_scratch_are_told() -> None:
    executable = sg.compile(one_hidden_layer.graph(), backend="llvm")
    told = [executable.peak(batch=batch).unplanned for batch in (100, 128)]
    assert any("grow in steps" in text for text in told) or all("grow" not in text for text in told)


def test_sizes_that_are_missing_are_an_error() -> None:
    with pytest.raises(sg.FeedError, match="batch"):
        sg.compile(network(), backend="numpy").peak()
