"""The ledger as a table, and what was not fused."""

import re

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import logistic_regression_graph, one_hidden_layer
from symgraph.inspect.kernels import edges, listing, members
from tests.strategies import random_graph


@pytest.fixture(scope="module", params=["numpy", "llvm"])
def executable(request):
    if request.param == "llvm":
        pytest.importorskip("llvmlite")
    return sg.compile(one_hidden_layer.graph(), backend=request.param)


def sampled():
    for seed in range(16):
        for backend in ("numpy", "interpreter")[: 2 - seed % 2]:
            yield sg.compile(random_graph(seed).graph, backend=backend)


def test_every_node_is_in_one_kernel_and_every_edge_between_kernels_has_its_reason(executable):
    several = 0
    for one in (executable, *sampled()):
        graph, kernels = sg.unfused(one), members(one)
        computed = [i for ids in kernels.values() for i in ids]
        assert sorted(computed) == [
            n.id for n in graph.nodes if n.inputs
        ]  # a constant in a kernel is no member
        assert set(kernels) == {n.id for n in one.graph.nodes if n.inputs and n.op.name != "project"}
        kernel_of = {i: kernel for kernel, ids in kernels.items() for i in ids}
        told = edges(one)
        assert {(i, j) for i, j, _ in told} == {
            (i, n.id)
            for n in graph.nodes
            for i in n.inputs
            if i in kernel_of and n.id in kernel_of and kernel_of[i] != kernel_of[n.id]
        }
        for _, _, reason in told:
            assert reason and ("nothing is fused" in reason) == (one.backend == "interpreter")
        for i, j, reason in told[:1]:
            assert sg.why_not(one, j, i).endswith(f"were not fused: {reason}")
        several += sum(len(ids) > 1 for ids in kernels.values())
    assert several > 20


def test_why_tells_of_each_kernel_what_is_in_it(executable):
    graph, kernels = sg.unfused(executable), members(executable)
    rows = {row.after[0]: row for row in executable.ledger if row.pass_name == "fuse"}
    assert rows
    for node in executable.graph.nodes:
        text = sg.why(executable, node.id)
        if node.op.name == "project":
            assert text.startswith(
                f"%{node.id} of executable.graph is result {node.op.index} of the kernel %{node.inputs[0]}"
            )
        elif node.id in rows:
            row = rows[node.id]
            assert f"one kernel of {len(row.before)} nodes" in text
            assert f"it saves {-row.bytes} bytes" in text and f"(step {row.step} of the ledger)" in text
            assert row.numerics in text
            listed = [line.split()[:2] for line in text.splitlines() if line.startswith("  %")]
            assert listed == [[f"%{i}", graph.nodes[i].op.name] for i in row.before]
        elif not node.inputs:
            assert "no kernel computes it" in text
        else:
            (own,) = kernels[node.id]
            assert "is a kernel of its own" in text
            for i, j, reason in edges(executable):
                if own in (i, j):
                    assert reason in text


def test_why_tells_head_and_tail():
    x, w = sg.placeholder("x", ("n", 4)), sg.variable("w", (4, 4))
    executable = sg.compile(sg.define(y=sg.sum(sg.exp(x @ w) * 2.0, axis=0)), backend="numpy")
    kernels = members(executable)
    text = sg.why(executable, max(kernels, key=lambda kernel: len(kernels[kernel])))
    parts = {
        line.split()[1]: re.search(r"  (head|row|tail)  ", line)[1]
        for line in text.splitlines()
        if "  %" in line
    }
    assert "head: it reads each operand many times" in text and "tail: it reduces over the rows" in text
    assert "reassociates: the sums over rows" in text
    assert parts == {"matmul": "head", "exp": "row", "sum": "tail"}
    bitwise = sg.compile(executable.declared, backend="numpy", numerics="bitwise")
    assert "tail" not in "".join(sg.why(bitwise, kernel) for kernel in members(bitwise))


def test_why_says_what_is_no_kernel(executable):
    size = len(executable.graph)
    for wrong in (-1, size, True, "nowhere", f"%{size}", "%", "%x", 1.0, None):
        with pytest.raises(sg.GraphError, match="takes the id of a node of the graph that runs"):
            sg.why(executable, wrong)
    with pytest.raises(sg.GraphError, match="why takes an executable"):
        sg.why(executable.graph, 1)
    own = sg.compile(executable.declared, backend="numpy", passes=())
    for node in own.graph.nodes:
        assert sg.why(own, node.id)
    plain = sg.compile(executable.declared, backend="interpreter")
    assert "nothing is fused for interpreter" in sg.why(plain, len(plain.graph) - 1)


def test_a_reason_is_there_for_what_is_computed_once_and_for_what_only_moves(executable):
    x = sg.placeholder("x", ("n", 4))
    one = sg.compile(sg.define(y=sg.reshape(sg.exp(x), ("n", 2, 2))), backend="numpy")
    (edge,) = edges(one)
    assert "only moves elements" in edge[2]
    assert any("computed once for each binding" in reason for _, _, reason in edges(executable))


def test_explain_is_limited_to_passes_and_rules(executable):
    ledger = executable.ledger

    def steps(**limits):
        lines = sg.explain(executable, **limits).splitlines()
        start = next((k for k, line in enumerate(lines) if line.startswith("step")), None)
        return (
            []
            if start is None
            else [line.split()[0] for line in lines[start + 1 : lines.index("", start + 1)]]
        )

    for limit in ("canonicalise", ("canonicalise", "fuse")):
        wanted = [str(r.step) for r in ledger if r.pass_name == limit or r.pass_name in limit]
        assert steps(passes=limit) == wanted and wanted
    rules = [r for r in ledger if r.rule.startswith("one kernel")]
    assert steps(rules="one kernel*") == [str(r.step) for r in rules]
    assert steps(rules=(ledger[0].rule,), passes=ledger[0].pass_name)[0] == str(ledger[0].step)
    assert steps(passes="common_subexpressions") == []
    assert "no rewrites were made" in sg.explain(executable, passes="common_subexpressions")
    text = sg.explain(executable, passes="canonicalise")
    assert "of " + str(len(ledger)) + " rewrites" in text and "were not made" not in text
    assert "were not made" in sg.explain(executable, passes="fuse")
    with pytest.raises(sg.GraphError, match="'fold' is no pass of this executable"):
        sg.explain(executable, passes="fold")
    with pytest.raises(sg.GraphError, match="no rewrite was made by a rule 'one kernal"):
        sg.explain(executable, rules=["one kernal*"])
    with pytest.raises(sg.GraphError, match="passes are names"):
        sg.explain(executable, passes=[3])


def test_every_row_of_the_ledger_is_there_with_the_users_lines(executable):
    lines = sg.explain(executable).splitlines()
    assert lines[0].startswith(f"{len(executable.declared)} nodes declared, {len(executable.graph)} compiled")
    assert executable.ledger
    table = lines[3 : 3 + len(executable.ledger)]
    for text, row in zip(table, executable.ledger, strict=True):
        assert text.split()[0] == str(row.step)
        assert row.pass_name in text
        assert row.rule in text
        assert row.numerics in text
        assert all(f"%{i}" in text for i in row.before[:6])
        if row.lines:
            assert row.lines[0] in text
            assert "models/one_hidden_layer.py:" in text


def test_steps_count_from_one(executable):
    assert [row.step for row in executable.ledger] == list(range(1, len(executable.ledger) + 1))


def test_totals_are_the_sums_of_the_rows(executable):
    text = sg.explain(executable, batch=128)
    sums = {}
    for row in executable.ledger:
        for name in (f"pass {row.pass_name}", f"rule {row.rule}", f"numerics {row.numerics}", "all"):
            count, flops, traffic = sums.get(name, (0, 0, 0))
            at = {"batch": 128}
            sums[name] = (
                count + 1,
                flops + sg.types.evaluate_dimension(row.flops, at),
                traffic + sg.types.evaluate_dimension(row.bytes, at),
            )
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["rewrites"])
    shown = {}
    for line in lines[start + 1 : start + 1 + len(sums)]:
        name, count, flops, traffic = line.rsplit(maxsplit=3)
        shown[name] = (int(count), int(flops), int(traffic))
    assert shown == sums


def test_sizes_make_numbers_of_costs(executable):
    assert "batch" in sg.explain(executable)
    assert "*batch" not in sg.explain(executable, batch=100)
    with pytest.raises(sg.GraphError, match="'rows' is no named size"):
        sg.explain(executable, rows=3)


def test_bitwise_has_no_row_that_changes_a_bit():
    executable = sg.compile(logistic_regression_graph.graph(), backend="numpy", numerics="bitwise")
    assert {row.numerics for row in executable.ledger} == {"exact"}
    assert "reassociates" not in sg.explain(executable)


def test_nothing_done_is_said():
    executable = sg.compile(sg.define(y=sg.placeholder("x")), backend="interpreter", passes=())
    assert sg.explain(executable).endswith("no rewrites were made")


def test_why_not_says_the_reason(executable):
    assert executable.declined
    for declined in executable.declined:
        for pair in ((declined.producer, declined.consumer), (declined.consumer, declined.producer)):
            assert sg.why_not(executable, *pair).endswith(f"were not fused: {declined.reason}")
        producer, consumer = (sg.unfused(executable).nodes[i] for i in (declined.producer, declined.consumer))
        assert producer.id in consumer.inputs
        told = f"%{producer.id} {producer.op.name} into %{consumer.id} {consumer.op.name}: {declined.reason}"
        assert told in sg.explain(executable)


def test_unfused_is_the_graph_that_fusion_was_given(executable):
    graph = sg.unfused(executable)
    assert not any(node.op.name in ("fused", "project") for node in graph.nodes)
    for row in executable.ledger:
        if row.pass_name == "fuse":
            assert all(i < len(graph) for i in row.before)
    plain = sg.compile(one_hidden_layer.graph(), backend="interpreter")
    assert sg.unfused(plain) == plain.graph


def test_other_passes_are_said_to_be_unknown():
    graph = one_hidden_layer.graph()
    executable = sg.compile(graph, backend="numpy", passes=())
    with pytest.raises(sg.GraphError, match="passes of its own"):
        sg.unfused(executable)
    declined = executable.declined[0]
    assert declined.reason in sg.why_not(executable, declined.producer, declined.consumer)


def test_why_not_of_what_was_fused(executable):
    row = next(row for row in executable.ledger if row.pass_name == "fuse")
    assert f"(step {row.step})" in sg.why_not(executable, row.before[0], row.before[-1])


def test_why_not_of_strangers_and_of_other_backends(executable):
    graph = sg.unfused(executable)
    with pytest.raises(sg.GraphError, match="there is no node %100000"):
        sg.why_not(executable, 0, 100_000)
    leaf = graph.variables["W1"].id
    reader = graph.consumers[leaf][0]
    assert f"%{leaf} is the variable W1, which a session holds" in sg.why_not(executable, leaf, reader)
    first, last = (
        next(n.id for n in nodes if n.op.name == "matmul") for nodes in (graph.nodes, graph.nodes[::-1])
    )
    assert "on the way" in sg.why_not(executable, last, first) or "neither" in sg.why_not(
        executable, last, first
    )
    assert "is one node" in sg.why_not(executable, first, first)
    plain = sg.compile(one_hidden_layer.graph(), backend="interpreter")
    assert "nothing is fused for interpreter" in sg.why_not(plain, 3, 4)


def test_nodes_are_named_by_ids_and_by_names(executable):
    before, after = sg.unfused(executable), executable.graph
    assert before["loss"].id != after["loss"].id  # each function speaks of a graph of its own, and says so
    assert sg.why(executable, "loss") == sg.why(executable, after["loss"].id)
    assert sg.why(executable, "W1") == sg.why(executable, f"%{after['W1'].id}")
    assert f"%{after['W1'].id} of executable.graph is the variable W1" in sg.why(executable, "W1")
    told = sg.why_not(executable, "loss", "W1")
    assert told == sg.why_not(executable, before["loss"].id, f"%{before['W1'].id}")
    assert told.startswith(f"numbered as before fusion, %{before['loss'].id} ")
    own = sg.compile(executable.declared, backend="numpy", passes=())
    assert sg.why_not(own, 3, "%5") == sg.why_not(own, "%3", 5)
    with pytest.raises(sg.GraphError, match="takes two node ids"):
        sg.why_not(own, 3, "loss")


def test_listing_tells_of_every_kernel_and_of_every_edge(executable):
    text = listing(executable, {"batch": 32})
    parts = text.split("\n\n")
    kernels = members(executable)
    assert parts[0].startswith(f"{len(kernels)} kernels for {executable.backend} with numerics safe")
    assert len(parts) == len(kernels) + 2
    for kernel, part in zip(kernels, parts[1:-1], strict=True):
        assert part.splitlines()[0] == sg.why(executable, kernel).splitlines()[0]
        assert "batch" not in "".join(re.findall("it saves .* bytes", part))
    assert [line.partition(": ")[2] for line in parts[-1].splitlines()[1:]] == [
        r for *_, r in edges(executable)
    ]
    with pytest.raises(sg.GraphError, match="'rows' is no named size"):
        listing(executable, {"rows": 3})


@pytest.mark.parametrize("wrong", [-1, "%", "nowhere", True, 1.0])
def test_why_not_takes_ids(executable, wrong):
    with pytest.raises(sg.GraphError, match="takes two node ids"):
        sg.why_not(executable, 1, wrong)


def test_one_fusion_is_not_fusions(executable):
    for count, said in ((1, "1 fusion was not made"), (2, "2 fusions were not made")):
        several = attrs.evolve(executable, declined=executable.declined[:1] * count)
        assert said in sg.explain(several).splitlines()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"n": "a"}, "the size n is a whole number from 0, and 'a' is none"),
        ({"n": -1}, "and -1 is none"),
        ({"n": True}, "and True is none"),
        ({"passes": 3}, "passes are names, and 3 is none"),
        ({"rules": [None]}, "rules are names, and None is none"),
    ],
)
def test_what_is_no_size_and_no_name_is_refused(words, said):
    executable = sg.compile(sg.define(y=sg.exp(sg.placeholder("x", ("n",))) * 2.0), backend="numpy")
    with pytest.raises(sg.GraphError, match=said):
        sg.explain(executable, **words)
    assert sg.explain(executable, n=np.int64(3)) == sg.explain(executable, n=3)
