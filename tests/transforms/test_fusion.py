"""Fusion: which nodes share a kernel, which do not and why, and that a region means what its nodes mean."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.autodiff import backward
from symgraph.ir import Graph
from symgraph.lowering import interpreter
from symgraph.ops.region import Fused
from symgraph.transforms.expand import expand_pass
from symgraph.transforms.fusion import fuse, fusion_pass
from symgraph.transforms.pipeline import optimise
from symgraph.verify import verify


def regions(graph: Graph) -> list[list[str]]:
    """The names of the ops of each region, leaves apart, in the order of its nodes."""
    return [
        [n.op.name for n in node.op.graph.nodes if n.inputs]
        for node in graph.nodes
        if isinstance(node.op, Fused)
    ]


def x(name: str = "x", *shape: str | int) -> sg.Expr:
    return sg.placeholder(name, shape or ("n", 5))


def test_a_chain_is_one_kernel() -> None:
    graph = sg.define(y=sg.tanh(sg.exp(x()) * 2.0 + 1.0))
    assert regions(fusion_pass()(graph)) == [["exp", "mul", "add", "tanh"]]


def test_one_node_needs_no_region() -> None:
    graph = sg.define(y=sg.exp(x()))
    assert fusion_pass()(graph) is graph


def test_a_reduction_of_each_row_is_inside() -> None:
    a = x()
    graph = sg.define(y=a - sg.logsumexp(a, axis=1, keepdims=True))
    (found,) = regions(fusion_pass()(expand_pass(())(graph)))
    assert found[-1] == "sub"
    assert "max" in found
    assert "sum" in found


def test_a_reduction_over_rows_ends_a_region() -> None:
    a = x()
    graph = sg.define(y=sg.exp(a) - sg.sum(sg.exp(a), axis=0))
    fused = fuse(graph, "safe")
    assert regions(fused.graph) == [["exp", "sum"]]
    assert [d.reason for d in fused.declined] == [
        "the consumer waits for another operand, and a kernel has only nodes that can start together",
        "the producer reduces over the rows, and is known only after the last",
    ]


def test_bitwise_keeps_the_order_of_sums() -> None:
    graph = sg.define(y=sg.sum(sg.exp(x()) * 2.0, axis=0))
    assert regions(fuse(graph, "bitwise").graph) == [["exp", "mul"]]
    assert regions(fuse(graph, "safe").graph) == [["exp", "mul", "sum"]]


def test_a_product_takes_its_epilogue() -> None:
    w, b = sg.variable("w", (5, 3)), sg.variable("b", (3,))
    graph = sg.define(y=sg.relu(x() @ w + b))
    assert regions(fusion_pass()(graph)) == [["matmul", "add", "relu"]]


def test_a_product_does_not_take_its_operands() -> None:
    w = sg.variable("w", (5, 3))
    fused = fuse(sg.define(y=sg.exp(sg.exp(x())) @ w), "safe")
    assert regions(fused.graph) == [["exp", "exp"]]
    assert [d.reason for d in fused.declined] == ["matmul reads each operand many times"]


def test_several_outputs_are_one_kernel() -> None:
    a = sg.exp(x())
    fused = verify(fusion_pass()(sg.define(p=a * 2.0, q=a + 1.0, r=sg.sum(a, axis=1))))
    assert regions(fused) == [["exp", "mul", "add", "sum"]]
    assert [n.op.name for n in fused.nodes].count("project") == 3


def test_other_rows_are_not_mixed() -> None:
    graph = sg.define(y=sg.exp(x("a", "n", 5)) @ sg.exp(x("b", 5, "n")) + sg.exp(x("c", 1, "n")))
    fused = fuse(graph, "safe")
    assert any("the rows differ" in d.reason for d in fused.declined)
    verify(fused.graph)


def test_a_path_that_leaves_does_not_come_back() -> None:
    # a feeds the product directly and through a transpose: fusing both ends would make a cycle.
    a = sg.exp(x("a", 4, 4))
    graph = sg.define(y=a * 2.0 + sg.transpose(a) * a)
    fused = verify(fuse(graph, "safe").graph)
    values = {"a": np.arange(16, dtype=np.float32).reshape(4, 4) / 16}
    np.testing.assert_array_equal(
        interpreter.evaluate(fused, values)[0]["y"], interpreter.evaluate(graph, values)[0]["y"]
    )


def test_effects_stay_outside() -> None:
    fused = fusion_pass()(sg.define(y=sg.exp(sg.assert_finite(sg.exp(x()) * 2.0)) + 1.0))
    assert regions(fused) == [["exp", "mul"], ["exp", "add"]]


def gradient_regions(loss: sg.Expr, logits: sg.Expr) -> list[list[str]]:
    (gradient,) = backward(loss, [logits])
    executable = sg.compile(sg.define(gradient=gradient), backend="numpy")
    fed: set[int] = set()
    for node in executable.graph.nodes:
        if node.op.name == "placeholder" or fed.intersection(node.inputs):
            fed.add(node.id)
    # Beside the region there is only what the sizes alone decide, such as 1 / n.
    assert [n.op.name for n in executable.graph.nodes if n.id in fed and n.inputs] == ["fused"]
    return regions(executable.graph)


@pytest.mark.parametrize("reduce", [sg.mean, sg.sum])
def test_the_gradient_of_cross_entropy_is_one_region(reduce) -> None:
    z = x("z", "n", 1)
    loss = reduce(sg.sigmoid_cross_entropy(z, x("y", "n", 1)))
    (found,) = gradient_regions(loss, z)
    assert "log1p" not in found  # p - y, nothing of the loss

    z = x("z", "n", 10)
    loss = reduce(sg.softmax_cross_entropy(z, x("y", "n", 10)))
    (found,) = gradient_regions(loss, z)
    assert "log" not in found
    assert found.count("exp") == 1


def test_a_long_graph_fuses_and_settles() -> None:
    value = x()
    for i in range(1, 3001):
        value = sg.tanh(value) * 0.5
        if i % 100 == 0:
            value = value @ (sg.transpose(value) @ value)
    graph = sg.define(y=value)
    fused = optimise(graph, passes=(fusion_pass(),)).graph
    assert len(regions(fused)) == 30
    assert fusion_pass()(fused) is fused


def test_an_update_of_weights_is_one_accumulating_kernel() -> None:
    w = sg.variable("w", (5, 3))
    graph = sg.define(loss=sg.sum(sg.square(x() @ w)))
    executable = sg.compile(sg.train.minimize(graph, "loss", sg.train.sgd(0.125)), backend="numpy")
    assert regions(executable.graph)[-1] == ["matmul", "mul", "sub"]  # w - rate * (xT @ g)


def test_what_reads_leaves_alone_waits_for_its_consumer() -> None:
    """The decay of a moment would be a pass of its own if it ran as soon as it could."""
    w, m = sg.variable("w", (5, 3)), sg.variable("m", (5, 3))
    g = sg.transpose(x("x", 4, 5)) @ sg.exp(x("other", 4, 3))
    graph = sg.define(y=w * 0.5 * 0.25 + m * 0.9 + g)
    assert sorted(regions(fusion_pass()(graph))[-1]) == ["add", "add", "matmul", "mul", "mul", "mul"]
    verify(fusion_pass()(graph))


def test_what_others_need_first_does_not_wait() -> None:
    m = sg.variable("m", (5, 3))
    g = sg.transpose(x("x", 4, 5)) @ sg.exp(x("other", 4, 3))
    two = m * 0.9  # has two consumers, of which one is no row-parallel op
    graph = sg.define(y=two + g, z=two @ x("third", 3, 2))
    fused = fusion_pass()(graph)
    assert ["matmul", "add"] in regions(fused)
    verify(fused)
    shown = sg.define(y=sg.exp(m) + g, shown=sg.exp(m))  # an output
    assert ["matmul", "add"] in regions(fusion_pass()(shown))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_waiting_changes_no_value(backend: str) -> None:
    rng = np.random.default_rng(0)
    a, b, c = (sg.placeholder(name, ("n", 7), "float64") for name in "abc")
    late = sg.exp(a @ rng.normal(size=(7, 7))) @ rng.normal(size=(7, 7))
    row = sg.placeholder("row", (7,), "float64")  # other rows than the consumer's
    graph = sg.define(
        y=sg.tanh(b * 2.0 + sg.exp(c)) * late - b * 0.1,
        z=sg.sum(sg.sin(c) * 0.5 + late * (row * 3.0), axis=0),
        s=(row * 2.0) @ sg.transpose(late),
    )
    feeds = {name: rng.normal(size=(6, 7)) for name in "abc"} | {"row": rng.normal(size=7)}
    made = sg.compile(graph, backend=backend)(feeds)
    wanted = sg.compile(graph, backend="interpreter")(feeds)
    for name, value in wanted.items():
        np.testing.assert_allclose(made[name], value, rtol=1e-12, atol=1e-13)


def test_many_that_wait_are_linear() -> None:
    value = sg.exp(x() @ sg.variable("w", (5, 5)))
    other = x("other")
    for i in range(1000):
        value = value + (other * float(i) if i % 2 else sg.sin(other) * (0.5 + i))
    (region,) = regions(fusion_pass()(sg.define(y=value)))
    assert region.count("add") == 1000


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_scalar_of_leaves_does_not_part_what_it_scales(backend: str) -> None:
    """Moments of a gradient that is there from the start, and the step, whose rate is a scalar of a counter."""
    w, g, k = sg.variable("w", (5, 3)), sg.placeholder("g", (5, 3)), sg.variable("k", (), "int64")
    m = w * 0.9 + g
    rate = sg.exp(sg.cast(k + 1, "float32") * -0.5)
    graph = sg.define(updates={"train": {w: m * rate, k: k + 1}}, m=m)
    fused = sg.compile(graph, backend=backend).graph
    assert sorted(names for names in regions(fused) if "exp" not in names) == [["mul", "add", "mul"]]
    verify(fused)
