"""Random graphs: each stage keeps what a graph means.

2,000 graphs, in chunks that run side by side; half are tame (results may be compared within a tolerance), half
hostile (compared bit by bit). All are compared before and after optimisation; the other properties take the
first few hundred, and all with `-m heavy`. A failure names the seed: `random_graph(SEED)` of
`tests.strategies` draws the graph again.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from symgraph import ops
from symgraph.autodiff import gradient
from symgraph.compile import Executable, compile
from symgraph.define import define, lift, number, rebuild
from symgraph.expr import placeholder, variable
from symgraph.ir import Graph
from symgraph.lowering import numpy_source, plan
from symgraph.lowering.interpreter import evaluate
from symgraph.lowering.llvm.planner import fits
from symgraph.lowering.llvm.target import host
from symgraph.lowering.llvm.written import write
from symgraph.lowering.program import MemoryPlan, Options
from symgraph.rewrite import NUMERICS, Numerics
from symgraph.text import from_text, to_text
from symgraph.transforms.expand import expand_pass
from symgraph.transforms.fusion import fusion_pass
from symgraph.transforms.pipeline import default_pipeline, optimise
from symgraph.verify import verify
from tests.lowering.test_backends import many_pieces
from tests.strategies import Sample, random_graph, samples

GRAPHS = 2000
CHUNK = 50
# What rewriting and other orders of summation may add, in units in the last place: the generator takes back
# what 4 ulp at each node change by more than 400.
WITHIN = 8e3
# Ops whose last bits depend on the order of a sum, on the memory layout (BLAS), or on an expansion.
ROUNDED = {"matmul", "sum", "prod", "logsumexp", "cumsum", "cumprod", "exclusive_cumprod", "recurrence"}

Results = Mapping[str, np.ndarray]


@lru_cache(2)
def chunk(start: int) -> list[Sample]:
    return [random_graph(seed) for seed in range(start, start + CHUNK)]


every = pytest.mark.parametrize("start", range(0, GRAPHS, CHUNK))


def first(count: int) -> pytest.MarkDecorator:
    """All chunks, those after the first `count` graphs in the long sweep alone."""
    chunks = range(0, GRAPHS, CHUNK)
    marked = [pytest.param(k, marks=() if k < count else pytest.mark.heavy) for k in chunks]
    return pytest.mark.parametrize("start", marked)


def results(graph: Graph, sample: Sample, values: Results) -> dict[str, np.ndarray]:
    """Outputs and next values of variables, by the interpreter."""
    outputs, updates = evaluate(graph, values, sample.sizes)
    return {**outputs, **{f"next {v}": a for group in updates.values() for v, a in group.items()}}


def run(executable: Executable, sample: Sample, values: Results) -> dict[str, np.ndarray]:
    """Outputs and next values of variables, compiled."""
    made = executable(values)
    outputs = {name for name, _ in sample.graph.outputs}
    return {name if name in outputs else f"next {name}": array for name, array in made.items()}


def same_bits(actual: Results, expected: Results, names: Any = None) -> None:
    """Equal bit for bit; of NaN the payload is free."""
    assert actual.keys() == expected.keys()
    for name in expected if names is None else names:
        a, e = np.asarray(actual[name]), np.asarray(expected[name])
        assert (a.dtype, a.shape) == (e.dtype, e.shape), name
        equal = a == e
        if a.dtype.kind == "f":
            equal = (equal & (np.signbit(a) == np.signbit(e))) | (np.isnan(a) & np.isnan(e))
        assert equal.all(), f"{name}: {a} is not {e}"


def close(actual: Results, expected: Results, sample: Sample, factor: float = 1.0) -> None:
    """Equal within the tolerance of a tame graph."""
    assert actual.keys() == expected.keys()
    tolerance = factor * WITHIN * sample.eps
    for name, e in expected.items():
        a = np.asarray(actual[name])
        assert (a.dtype, a.shape) == (e.dtype, e.shape), name
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, e, err_msg=name)
            continue
        worst = (np.abs(a - e) - tolerance * (np.abs(e) + 0.1)).max(initial=-1.0)
        assert np.isfinite(a).all() and worst <= 0, f"{name}: {a} is not {e}"


def same_interface(after: Graph, before: Graph) -> None:
    """The names and types of outputs and updates are kept, and the graph is well formed."""
    verify(after)
    assert [name for name, _ in after.outputs] == [name for name, _ in before.outputs]
    for name, _ in before.outputs:
        assert after[name].type == before[name].type
    assert [(g, [v for v, _ in pairs]) for g, pairs in after.updates] == [
        (g, [v for v, _ in pairs]) for g, pairs in before.updates
    ]


def same_meaning(after: Graph, sample: Sample, numerics: Numerics) -> None:
    """The results of a rewritten graph, as far as the numerics class promises."""
    same_interface(after, sample.graph)
    if after is sample.graph:
        return
    if numerics == "bitwise":
        for values in (sample.values, sample.hostile(1)):
            same_bits(results(after, sample, values), results(sample.graph, sample, values))
    elif sample.tame:
        factor = 1.0 if numerics == "safe" else 4.0
        close(
            results(after, sample, sample.values),
            results(sample.graph, sample, sample.values),
            sample,
            factor,
        )


def each(start: int, check: Callable[[Sample], None]) -> None:
    """Check every graph of a chunk; the failure shows the graph."""
    for sample in chunk(start):
        try:
            check(sample)
        except Exception as error:
            raise AssertionError(f"{sample!r}") from error


# The graph itself


def graph_is_canonical(sample: Sample) -> None:
    graph = verify(sample.graph)
    exprs = lift(graph)
    assert rebuild(graph, exprs)[0] == graph
    assert number({name: exprs[i] for name, i in graph.outputs}, {})[0].outputs == graph.outputs
    if not graph.updates:
        assert define({name: exprs[i] for name, i in graph.outputs}) == graph


def text_round_trips(sample: Sample) -> None:
    text = to_text(sample.graph)
    assert from_text(text) == sample.graph
    assert to_text(from_text(text)) == to_text(from_text(to_text(random_or_same(sample))))


def random_or_same(sample: Sample) -> Graph:
    """The graph, made again from its seed where it has one."""
    return random_graph(sample.seed).graph if sample.seed else sample.graph


@first(500)
def test_graphs_are_canonical(start: int) -> None:
    each(start, graph_is_canonical)


@first(300)
def test_text_round_trips(start: int) -> None:
    each(start, text_round_trips)


# Rewriting


def passes_keep_the_meaning(sample: Sample) -> None:
    for one in (*default_pipeline(), expand_pass(()), fusion_pass()):
        for numerics in ("bitwise", "safe"):
            after = one(sample.graph, numerics)
            if one.name == "expand":  # an expansion is as accurate, not the same bit for bit
                same_meaning(after, sample, "safe")
            else:
                same_meaning(after, sample, numerics)
            assert one(after, numerics) == after, f"{one.name} is not idempotent"


def pipeline_keeps_the_meaning(sample: Sample) -> None:
    for numerics in NUMERICS:
        done = optimise(sample.graph, numerics)
        same_meaning(done.graph, sample, numerics)
        again = optimise(done.graph, numerics)
        assert again.graph is done.graph and not again.ledger


@first(400)
def test_passes_keep_the_meaning_and_are_idempotent(start: int) -> None:
    each(start, passes_keep_the_meaning)


@every
def test_the_pipeline_keeps_the_meaning_and_settles(start: int) -> None:
    each(start, pipeline_keeps_the_meaning)


# Backends


def exact_outputs(graph: Graph) -> set[str]:
    """The results that no rounded op lies before: backends agree on them bit for bit."""
    rounded: list[bool] = []
    for node in graph.nodes:
        types = [graph.nodes[i].type for i in node.inputs]
        floats = any(t.dtype.kind == "f" for t in types)
        own = floats and (node.op.name in ROUNDED or _expands(node.op, types))
        rounded.append(own or any(rounded[i] for i in node.inputs))
    names = {name for name, i in graph.outputs if not rounded[i]}
    return names | {f"next {v}" for _, pairs in graph.updates for v, i in pairs if not rounded[i]}


def _expands(op: Any, types: Any) -> bool:
    return op.expand(*(placeholder(f"p{i}", t.shape, t.dtype) for i, t in enumerate(types))) is not None


def backend_agrees(
    sample: Sample, backend: str = "numpy", classes: tuple[Numerics, ...] = ("bitwise", "safe")
) -> None:
    before = {name: array.copy() for name, array in sample.values.items()}
    hostile = sample.hostile(2)
    for numerics in classes:
        executable = compile(sample.graph, backend=backend, numerics=numerics)
        verify(executable.graph)
        agrees(executable, sample, hostile, numerics)
    same_bits(sample.values, before)


def agrees(executable: Executable, sample: Sample, hostile: Results, numerics: str) -> None:
    expected = results(sample.graph, sample, sample.values)
    made = run(executable, sample, frozen(sample.values))
    if sample.tame:
        close(made, expected, sample)
    if numerics == "bitwise":
        exact = exact_outputs(sample.graph)
        same_bits(made, expected, exact)
        same_bits(run(executable, sample, frozen(hostile)), results(sample.graph, sample, hostile), exact)
    else:
        run(executable, sample, frozen(hostile))  # other values between two calls
    kept = {name: array.copy() for name, array in made.items()}
    same_bits(run(executable, sample, strided(sample.values)), kept)
    same_bits(made, kept)  # a later call does not write to what an earlier one returned
    sound(executable.memory_plan(**sample.sizes))


def frozen(values: Results) -> dict[str, np.ndarray]:
    """Copies that cannot be written to."""
    copies = {name: np.array(array) for name, array in values.items()}
    for array in copies.values():
        array.flags.writeable = False
    return copies


def strided(values: Results) -> dict[str, np.ndarray]:
    """The same values as every other element of larger arrays, or in Fortran's order."""
    made = {}
    for k, (name, array) in enumerate(values.items()):
        if k % 2 or array.ndim == 0:
            made[name] = np.asfortranarray(array) if array.ndim else np.array(array)
            continue
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        made[name] = wide[..., ::2]
    return made


def sound(memory: MemoryPlan) -> None:
    """No two buffers are alive at one time in one place, but for a result in place of its dying operand."""
    live = sorted(memory.buffers, key=lambda b: b.birth)
    for k, later in enumerate(live):
        assert later.offset + later.size <= memory.peak
        for earlier in live[:k]:
            if earlier.death < later.birth:
                continue
            apart = (
                earlier.offset + earlier.size <= later.offset or later.offset + later.size <= earlier.offset
            )
            in_place = later.in_place_of == earlier.node and earlier.death == later.birth
            assert apart or in_place or not earlier.size or not later.size, f"{earlier}\n{later}\n{memory}"


@contextmanager
def forced_loops() -> Iterator[None]:
    """Regions of any size become loops over blocks of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "LOOP_ABOVE", 1)
        patch.setattr(plan, "BLOCK_BYTES", 24)
        yield


@every
def test_the_numpy_backend_agrees_with_the_interpreter(start: int) -> None:
    each(start, backend_agrees)


def native_code_agrees(sample: Sample) -> None:
    backend_agrees(sample, "llvm", ("safe",))


def exact_native_code_agrees(sample: Sample) -> None:
    backend_agrees(sample, "llvm", ("bitwise",))


@every
def test_native_code_agrees_with_the_interpreter(start: int) -> None:
    each(start, native_code_agrees)


@first(300)
def test_native_code_agrees_bit_for_bit_where_that_is_asked(start: int) -> None:
    each(start, exact_native_code_agrees)


@first(200)
def test_native_code_in_pieces_agrees_with_the_interpreter(start: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        many_pieces(patch)
        each(start, native_code_agrees)


@first(500)
def test_loops_over_blocks_agree_with_the_interpreter(start: int) -> None:
    with forced_loops():
        each(start, backend_agrees)


# Graphs that Hypothesis draws: fewer, but a failure shrinks


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(samples())
def test_a_drawn_graph_keeps_its_meaning_at_every_stage(sample: Sample) -> None:
    graph_is_canonical(sample)
    text_round_trips(sample)
    passes_keep_the_meaning(sample)
    pipeline_keeps_the_meaning(sample)
    backend_agrees(sample)
    with forced_loops():
        backend_agrees(sample)


def test_seeds_draw_the_same_graph_again_and_most_ops() -> None:
    drawn = chunk(0) + chunk(CHUNK)
    assert all(random_graph(sample.seed).graph == sample.graph for sample in drawn[:10])
    assert len({node.op.name for sample in drawn for node in sample.graph.nodes}) > 60
    assert {sample.tame for sample in drawn} == {True, False}
    assert any(sample.sizes for sample in drawn) and any(sample.graph.updates for sample in drawn)


# Work


def _network(layers: int) -> Graph:
    x, total = placeholder("x", (4, 3)), None
    h = x
    for k in range(layers):
        w = variable(f"w{k}", (3, 3))
        h = ops.log(1.0 + ops.exp(h @ w * 0.5)) - ops.mean(h, 0)
        total = ops.sum(h) if total is None else total + ops.sum(h)
    return gradient(define(loss=total))


STAGES: Mapping[str, Callable[[Graph], Any]] = {
    "verify": verify,
    "print": to_text,
    "parse": lambda graph: from_text(to_text(graph)),
    "optimise": optimise,
    "fuse": fusion_pass(),
    "lower": lambda graph: numpy_source.lower(graph, Options()),
    "native": lambda graph: write(fusion_pass(fits)(graph, "safe"), Options(), host()).text({}),
}


def _calls(stage: Callable[[Graph], Any], graph: Graph) -> int:
    count = 0

    def counter(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counter)
    try:
        stage(graph)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", STAGES)
def test_work_is_linear_in_the_nodes(name: str) -> None:
    small, large = _network(10), _network(40)
    assert 3.5 < len(large) / len(small) < 4.5
    STAGES[name](small)  # what is cached at the first use is not counted
    assert _calls(STAGES[name], large) < 5 * _calls(STAGES[name], small)
