"""Traces: the same passes as compile, with every graph on the way, and each rewrite as expressions."""

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import lenet, logistic_regression, logistic_regression_graph, one_hidden_layer, xor_mlp
from symgraph.define import define
from symgraph.inspect.kernels import unfused
from symgraph.inspect.trace import trace
from symgraph.ir import Graph
from symgraph.lowering.interpreter import evaluate
from symgraph.rewrite import NUMERICS, Pass, Rewritten, rewrite, rules_rewriter
from symgraph.sweeps import recorded
from symgraph.transforms.canonicalise import RULES
from symgraph.transforms.pipeline import default_pipeline
from symgraph.verify import verify
from tests.strategies import random_graph

NETWORKS = {
    "logistic regression": logistic_regression.graph,
    "logistic regression as a graph": logistic_regression_graph.graph,
    "one hidden layer": one_hidden_layer.graph,
    "xor": xor_mlp.graph,
    "lenet": lenet.NETWORK.graph,
}
BACKENDS = ("interpreter", "numpy", "llvm")


def check(graph: Graph, backend: str, numerics, passes=None) -> None:
    """The trace is what compile did, and its sweeps are a chain of sound graphs with rows that point into them."""
    made = sg.compile(graph, backend=backend, numerics=numerics, passes=passes)
    way = trace(graph, backend, numerics, passes)
    assert way.declared is graph
    assert way.graph == made.graph
    assert way.ledger == made.ledger
    assert way.declined == made.declined
    assert way.backend == made.backend
    given = graph
    for sweep in way.sweeps:
        assert sweep.given is given
        assert sweep.made is not given or sweep.rows
        verify(sweep.made)
        for row in sweep.rows:
            assert all(0 <= i < len(sweep.given) for i in row.before)
            assert all(0 <= i < len(sweep.made) for i in row.after)
        if sweep.hits:
            assert [hit.rule for hit in sweep.hits] == [row.rule for row in sweep.rows]
            assert all(hit.matched[0].type == hit.replacement.type for hit in sweep.hits)
        given = sweep.made


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_trace_of_a_network_is_what_compile_gives(name, backend):
    check(NETWORKS[name](), backend, "safe")


@pytest.mark.parametrize("numerics", NUMERICS)
def test_a_trace_of_a_random_graph_is_what_compile_gives(numerics):
    for seed in range(12):
        for backend in BACKENDS:
            check(random_graph(seed).graph, backend, numerics)


def test_every_row_of_a_rule_has_its_hit():
    way = trace(one_hidden_layer.graph(), "numpy")
    names = {one.name for one in default_pipeline()}
    assert any(sweep.hits for sweep in way.sweeps)
    for sweep in way.sweeps:
        assert len(sweep.hits) == (len(sweep.rows) if sweep.pass_name in (*names, "expand") else 0)


@pytest.mark.parametrize("seed", (0, 2, 3, 4, 5, 6, 7))
def test_one_rewrite_can_be_checked_on_values(seed):
    sample, checked = random_graph(seed, tame=True), 0
    for sweep in trace(sample.graph, "interpreter", "fast").sweeps:
        for hit in sweep.hits:
            pair = define(before=hit.matched[0], after=hit.replacement)
            leaves = {**pair.placeholders, **pair.variables}
            values = {name: array for name, array in sample.values.items() if name in leaves}
            sizes = {name: sample.sizes[name] for name in pair.names}
            outputs, _ = evaluate(pair, values, sizes)
            before, after = outputs["before"], outputs["after"]
            checked += 1
            assert before.dtype == after.dtype
            np.testing.assert_allclose(after, before, rtol=1e4 * sample.eps, atol=1e4 * sample.eps)
    assert checked


def test_what_was_fused_is_known():
    graph = one_hidden_layer.graph()
    assert trace(graph, "numpy").unfused == unfused(sg.compile(graph, backend="numpy"))
    assert trace(graph, "interpreter").unfused == sg.compile(graph, backend="interpreter").graph


def test_passes_of_the_users_own_are_steps():
    x = sg.placeholder("x", (3,))
    graph = sg.define(y=sg.neg(-x) + 0.0, z=x * 1.0)

    def twice(given: Graph, numerics) -> Rewritten:
        """A pass that runs the engine, and then drops what it said."""
        done = rewrite(given, rules_rewriter(RULES), "inner")
        return Rewritten(done.graph)

    def told(given: Graph, numerics) -> Rewritten:
        """A pass that changes nothing and has rows."""
        rows = trace(graph, "interpreter").ledger
        return Rewritten(given, (attrs.evolve(rows[0], before=(0,), after=(0,)),))

    for passes in ([Pass("twice", twice)], [Pass("told", told)], []):
        check(graph, "interpreter", "safe", passes)
    (step,) = trace(graph, "interpreter", passes=[Pass("twice", twice)]).sweeps
    assert (step.pass_name, step.rows, step.hits) == ("twice", (), ())


def test_a_plain_compile_keeps_nothing():
    with recorded() as outer:
        sg.compile(one_hidden_layer.graph(), backend="interpreter")
    asked = len(outer)  # who asks for sweeps has them, as long as they ask
    sg.compile(one_hidden_layer.graph(), backend="interpreter")
    assert asked
    assert len(outer) == asked
    made = sg.transforms.pipeline.optimise(one_hidden_layer.graph())
    assert made.sweeps == ()


def test_mistakes_are_told():
    with pytest.raises(sg.CompileError, match="no backend 'fast'"):
        trace(sg.define(y=sg.placeholder("x")), "fast")
    with pytest.raises(sg.GraphError, match="trace takes a graph"):
        trace("x")
