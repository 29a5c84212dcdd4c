"""Differences in meaning: what is new, gone and changed, both ways round, whatever the numbers of nodes."""

import random
import time

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import symgraph as sg
from models import one_hidden_layer
from symgraph.define import lift, rebuild
from symgraph.expr import Expr, placeholder
from symgraph.inspect.diff import Diff, diff
from symgraph.ir import Graph, Placeholder, Variable
from tests.strategies import random_graph

seeds = st.integers(0, 5_000)


def accounted(found: Diff) -> None:
    """Every node of both graphs is told once, and what is called the same is."""
    ours, theirs = ([pair[side] for pair in found.matched] for side in (0, 1))
    assert sorted([*ours, *found.removed]) == list(range(len(found.a)))
    assert sorted([*theirs, *found.added]) == list(range(len(found.b)))
    changed = {(one.before, one.after) for one in found.changed}
    assert changed <= set(found.matched)
    for x, y in set(found.matched) - changed:
        assert found.a.nodes[x].op == found.b.nodes[y].op
        assert found.a.nodes[x].type == found.b.nodes[y].type


def both_ways(a: Graph, b: Graph) -> Diff:
    there, back = diff(a, b), diff(b, a)
    for found in (there, back):
        accounted(found)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert {(y, x) for x, y in there.matched} == set(back.matched)
    assert {(one.before, one.after) for one in there.changed} == {
        (one.after, one.before) for one in back.changed
    }
    assert [(e.kind, e.name, e.variable, e.before, e.after) for e in sorted(there.ends, key=str)] == [
        (e.kind, e.name, e.variable, e.after, e.before) for e in sorted(back.ends, key=str)
    ]
    assert there.same == back.same == (not there)
    assert str(diff(a, b)) == str(there)
    return there


def chain(length: int, weights: bool = False, at: int | None = None) -> Graph:
    x = placeholder("x", (4,))
    for k in range(length):
        x = sg.tanh(x * sg.variable(f"w{k}", (4,)) if weights else x)
        if k == at:
            x = sg.exp(x)
    return sg.define(y=sg.sum(x))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_a_graph_is_the_same_as_itself_in_another_order(seed):
    graph = random_graph(seed).graph
    assert diff(graph, graph).same
    exprs, leaves = lift(graph), graph.variables
    turned = sg.define(
        {name: exprs[i] for name, i in reversed(graph.outputs)},
        updates={
            group: {exprs[leaves[v].id]: exprs[i] for v, i in reversed(pairs)}
            for group, pairs in reversed(graph.updates)
        },
    )
    found = both_ways(graph, turned)
    assert found.same
    assert str(found) == f"the graphs are the same: {len(graph)} node{'' if len(graph) == 1 else 's'}"


@settings(max_examples=40, deadline=None)
@given(seeds, seeds)
def test_any_two_graphs_are_accounted_for(a, b):
    found = both_ways(random_graph(a).graph, random_graph(b).graph)
    assert str(found)
    if not found.same:
        lines = str(found).splitlines()
        assert sum(line.startswith("+ %") for line in lines) == len(found.added)
        assert sum(line.startswith("- %") for line in lines) == len(found.removed)


def with_node(graph: Graph, at: int, make) -> Graph:
    """The graph in which all who take node `at` take what is made of it."""
    exprs: list[Expr] = []
    for node in graph.nodes:
        expr = Expr(node.op, tuple(exprs[i] for i in node.inputs), node.type, node.origin)
        exprs.append(make(expr) if node.id == at else expr)
    return rebuild(graph, exprs)[0]


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_one_node_put_in_is_one_node_more(seed):
    graph, rng = random_graph(seed).graph, random.Random(seed)
    ops = [n.id for n in graph.nodes if n.inputs]
    assume(ops)
    at = rng.choice(ops)
    edited = with_node(graph, at, lambda e: sg.print_value(e, "here"))
    found = both_ways(graph, edited)
    assert [edited.nodes[i].op.name for i in found.added] == ["print_value"]
    assert (found.removed, found.changed, found.ends) == ((), (), ())


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_a_renamed_leaf_is_one_change(seed):
    graph, rng = random_graph(seed).graph, random.Random(seed)
    named = set(dict(graph.outputs).values())  # an output may have the name of a leaf
    leaves = [n.id for n in graph.nodes if isinstance(n.op, Placeholder | Variable) and n.id not in named]
    assume(leaves)
    at = rng.choice(leaves)

    def renamed(e: Expr) -> Expr:
        return Expr(attrs.evolve(e.op, label="another name"), (), e.type, e.origin)

    found = both_ways(graph, with_node(graph, at, renamed))
    (change,) = found.changed
    assert change.before == at
    assert [(d.what, d.now) for d in change.differences] == [("name", '"another name"')]
    assert (found.removed, found.added) == ((), ())


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("at", [0, 250, 499])
def test_a_node_put_into_a_deep_chain_is_one_line(at, weights):
    a, b = chain(500, weights), chain(500, weights, at)
    found = both_ways(a, b)
    lines = str(found).splitlines()
    assert len([line for line in lines if line[0] in "+-~" and line[1] == " "]) == 1
    (line,) = [line for line in lines if line.startswith("+ ")]
    assert "exp %" in line and "test_diff.py:" in line
    assert str(diff(b, a)).count("\n- ") == 1


def test_an_edit_of_a_network_and_of_its_gradient():
    a, b = (
        sg.gradient(sg.define(loss=chain(60, True, at)["y"] and lift(chain(60, True, at))[-1]))
        for at in (None, 30)
    )
    found = both_ways(a, b)
    assert (
        len(found.added) == 2 and not found.removed and not found.changed
    )  # exp, and the product of its VJP
    assert {b.nodes[i].op.name for i in found.added} == {"exp", "mul"}


def test_two_edits_far_apart_are_two():
    def net(first, second):
        x = placeholder("x", (4,))
        for k in range(40):
            x = sg.tanh(x * sg.variable(f"w{k}", (4,)))
            x = sg.exp(x) if k == 5 and first else sg.sigmoid(x) if k == 30 and second else x
        return sg.define(y=x)

    found = both_ways(net(False, False), net(True, True))
    assert len(found.added) == 2 and not (found.removed or found.changed or found.ends)
    found = both_ways(net(True, False), net(False, True))
    assert len(found.added) == len(found.removed) == 1 and not (found.changed or found.ends)


def test_a_new_layer_is_what_is_added():
    def net(count):
        x = placeholder("x", (4,))
        for k in range(count):
            x = sg.tanh(x * sg.variable(f"w{k}", (4,)))
        return sg.define(y=sg.sum(x))

    found = both_ways(net(20), net(21))
    assert sorted(found.b.nodes[i].op.name for i in found.added) == ["mul", "tanh", "variable"]
    assert not (found.removed or found.changed or found.ends)


def told(a: Graph, b: Graph) -> list[str]:
    lines = str(both_ways(a, b)).splitlines()
    return [line.partition("  #")[0] for line in lines[2:-1]]


x, w = placeholder("x", ("n", 3)), sg.variable("w", (3,))


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (
            sg.define(y=sg.sum(sg.exp(x), axis=0)),
            sg.define(y=sg.sum(sg.exp(x), axis=1)),
            ["~ %2 sum %1 axes=(1,): attribute axes was (0,), now (1,); type was f32[3], now f32[n]"],
        ),
        (
            sg.define(y=x * 0.1),
            sg.define(y=x * 0.25),
            ["~ %1 constant 0.25: value was 0.1, now 0.25"],
        ),
        (
            sg.define(y=x * w),
            sg.define(y=x * sg.variable("w", (3,), init=2.0)),
            ['~ %1 variable "w" init=constant(2.0): init was zeros(), now constant(2.0)'],
        ),
        (
            sg.define(y=x - w),
            sg.define(y=w - x),
            [
                "~ %2 sub %0 %x: operand 0 was %0 (placeholder x), now %0 (variable w); "
                "operand 1 was %1 (variable w), now %1 (placeholder x)"
            ],
        ),
        (sg.define(y=x * x), sg.define(z=x * x), ["- output y = %1", "+ output z = %1"]),
        (
            sg.define(y=sg.exp(x), z=sg.tanh(x)),
            sg.define(y=sg.tanh(x), z=sg.exp(x)),
            ["~ output y was %1 (exp), now %1 (tanh)", "~ output z was %2 (tanh), now %2 (exp)"],
        ),
        (
            sg.define(y=sg.exp(x)),
            sg.define(y=sg.tanh(x)),
            [
                "- %1: f32[n,3] = exp %x",
                "+ %1: f32[n,3] = tanh %x",
                "~ output y was %1 (exp), now %1 (tanh)",
            ],
        ),
        (
            sg.define({"y": sg.sum(w)}, updates={"train": {w: w * 0.5}}),
            sg.define(y=sg.sum(w)),
            ["- %2: f32[] = constant 0.5", "- %3: f32[3] = mul %0 %2", "- update train: next w = %3"],
        ),
    ],
)
def test_what_is_told(a, b, said):
    assert told(a, b) == said


def test_operands_the_other_way_round_of_a_commutative_op_are_no_change():
    y = placeholder("y", ("n", 3))
    assert not both_ways(sg.define(z=sg.exp(x) * sg.tanh(y)), sg.define(z=sg.tanh(y) * sg.exp(x)))
    assert both_ways(sg.define(z=sg.exp(x) / sg.tanh(y)), sg.define(z=sg.tanh(y) / sg.exp(x)))


def test_types_that_follow_are_told_a_few_times():
    def net(width):
        h = placeholder("x", ("n", width))
        for k in range(30):
            h = sg.tanh(h * float(k + 2))
        return sg.define(y=h)

    found = both_ways(net(4), net(5))
    assert sum(one.follows for one in found.changed) == len(found.changed) - 1
    text = str(found)
    assert "type was f32[n,4], now f32[n,5]" in text
    assert "~ 50 nodes more of types that follow from those" in text


def test_a_learning_rate_is_told_where_it_is_used():
    a, b = (one_hidden_layer.graph(learning_rate=rate) for rate in (0.25, 0.125))
    assert told(a, b) == ["~ %29 constant 0.125: value was 0.25, now 0.125"] or len(told(a, b)) == 1


def test_a_large_constant_is_told_in_figures():
    array = np.arange(100.0)
    other = array.copy()
    other[[3, 7]] += 0.5
    (line,) = told(sg.define(y=sg.constant(array) * 2.0), sg.define(y=sg.constant(other) * 2.0))
    assert line.endswith("value was f64[100], now f64[100] with 2 of 100 elements others, by at most 0.5")
    assert len(line) < 300


def test_kernels_are_compared_by_what_is_in_them():
    def made(f):
        return sg.compile(sg.define(y=sg.sum(f(x), axis=1)), backend="numpy").graph

    a, b = made(lambda x: sg.exp(x) * 2.0), made(lambda x: sg.exp(sg.tanh(x)) * 2.0)
    (change,) = both_ways(a, b).changed
    (difference,) = change.differences
    assert difference.name == "graph" and "1 added, 0 removed, 0 changed" in difference.now


def test_stages_of_a_real_network():
    graph = one_hidden_layer.graph()
    found = both_ways(graph, sg.compile(graph, backend="numpy").graph)
    assert len(found.matched) > 10
    text = str(found)
    assert "fused" in text and "models/one_hidden_layer.py" in text


def test_names_are_data():
    nasty = "a\n+ %1: <img src=x onerror=alert(1)>"
    a, b = (sg.define({f"{nasty}!": op(placeholder(nasty, (2,)))}) for op in (sg.exp, sg.tanh))
    lines = str(both_ways(a, b)).splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 6


def test_a_notebook_shows_the_text():
    found = diff(sg.define(y=x), sg.define(y=-x))
    assert repr(found) == str(found)
    plan = sg.compile(sg.define(y=sg.sum(sg.exp(x))), backend="numpy").memory_plan(n=3)
    assert repr(plan) == str(plan)
    w = sg.variable("w", (2,))
    report = sg.check_gradient(sg.define(loss=sg.sum(w * w)), values={"w": [1.0, 2.0]})
    assert repr(report) == str(report)


def test_what_is_no_graph():
    with pytest.raises(sg.GraphError, match="diff takes a graph"):
        diff(sg.define(y=x), 3)
    with pytest.raises(sg.GraphError, match="Executable") as told:
        diff(sg.define(y=x), sg.compile(sg.define(y=x), backend="numpy"))
    assert "executable.graph" in told.value.hint


def test_the_time_grows_with_the_graph():
    def seconds(length):
        a, b = chain(length), chain(length, at=length // 2)
        start = time.perf_counter()
        assert len(diff(a, b).added) == 1
        return time.perf_counter() - start

    seconds(100)
    small, large = (min(seconds(n) for _ in range(3)) for n in (1000, 8000))
    assert large < 40 * small  # eight times, were clocks exact


@pytest.mark.heavy
def test_a_very_large_graph_is_compared_in_seconds():
    a, b = chain(50_000), chain(50_000, at=20_000)
    start = time.perf_counter()
    assert len(diff(a, b).added) == 1
    assert time.perf_counter() - start < 20


@pytest.mark.heavy
def test_many_random_graphs_with_several_edits():
    for seed in range(1500):
        graph = random_graph(seed).graph
        if not any(n.inputs for n in graph.nodes):
            continue
        rng = random.Random(seed)
        edited = graph
        for k in range(3):
            at = rng.choice([n.id for n in edited.nodes if n.inputs])
            edited = with_node(edited, at, lambda e, k=k: sg.print_value(e, f"here {k}"))
        found = both_ways(graph, edited)
        assert len(found.added) <= len(edited) - len(graph) + 1, seed
