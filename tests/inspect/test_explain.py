"""The ledger as a table, and what was not fused."""

import attrs
import pytest

import symgraph as sg
from models import logistic_regression_graph, one_hidden_layer


@pytest.fixture(scope="module")
def executable():
    return sg.compile(one_hidden_layer.graph(), backend="numpy")


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
    assert "neither takes the other's result" in sg.why_not(executable, 0, 100_000)
    plain = sg.compile(one_hidden_layer.graph(), backend="interpreter")
    assert "nothing was fused for interpreter" in sg.why_not(plain, 3, 4)


@pytest.mark.parametrize("wrong", [-1, "%3", True, 1.0])
def test_why_not_takes_ids(executable, wrong):
    with pytest.raises(sg.GraphError, match="takes two node ids"):
        sg.why_not(executable, 1, wrong)


def test_one_fusion_is_not_fusions(executable):
    for count, said in ((1, "1 fusion was not made"), (2, "2 fusions were not made")):
        several = attrs.evolve(executable, declined=executable.declined[:1] * count)
        assert said in sg.explain(several).splitlines()
