"""Passes as wholes: what they leave, that they settle, that their work is linear, and prune."""

import numpy as np
import pytest

from symgraph import ops
from symgraph.autodiff import gradient
from symgraph.define import define
from symgraph.errors import GraphError
from symgraph.expr import Expr, constant, placeholder, variable
from symgraph.ir import Constant, Graph
from symgraph.lowering.interpreter import evaluate
from symgraph.rewrite import NUMERICS, Numerics
from symgraph.transforms.common_subexpressions import common_subexpressions_pass
from symgraph.transforms.constant_folding import constant_folding_pass
from symgraph.transforms.dead_code import dead_code_pass, prune
from symgraph.transforms.pipeline import default_pipeline, optimise


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if node.inputs]


def x(shape: tuple[int | str, ...] = (4,), dtype: str = "float32") -> Expr:
    return placeholder("x", shape, dtype)


# Constant folding


def test_constants_are_folded_to_the_bits_of_the_interpreter() -> None:
    values = constant(np.linspace(-3, 3, 7, dtype=np.float32))
    graph = define(y=ops.tanh(values) * ops.exp(values) + x((7,)))
    folded = constant_folding_pass()(graph)
    assert names(folded) == ["add"]
    given = {"x": np.zeros(7, np.float32)}
    assert evaluate(folded, given)[0]["y"].tobytes() == evaluate(graph, given)[0]["y"].tobytes()


def test_a_broadcast_number_is_not_made_an_array() -> None:
    graph = define(y=ops.broadcast_to(ops.exp(constant(1.0)), (1000, 1000)) * x((1000, 1000)))
    optimised = optimise(graph).graph
    assert max(n.op.value.array.size for n in optimised.nodes if isinstance(n.op, Constant)) == 1


def test_an_outer_product_of_constants_stays() -> None:
    column = constant(np.ones((600, 1), np.float32))
    graph = define(y=column + ops.reshape(column, (1, 600)))
    assert "add" in names(constant_folding_pass()(graph))


def test_what_fails_when_it_runs_is_not_folded() -> None:
    graph = define(y=ops.assert_finite(constant(np.inf)), z=ops.print_value(constant(1.0)))
    assert constant_folding_pass()(graph) is graph


# Common subexpressions


def test_factors_whose_product_no_float32_holds_stay_apart_without_a_warning() -> None:
    x = placeholder("x", ("n",))
    graph = define(y=x * 3e38 * 3e38)
    optimised = optimise(graph, "safe").graph
    assert sum(node.op.name == "mul" for node in optimised.nodes) == 2


def test_operands_that_commute_are_merged() -> None:
    a, b = x(), placeholder("b", (4,))
    graph = define(p=a + b, q=b + a, r=a < b, s=b > a, t=ops.exp(b * a) - ops.exp(a * b))
    merged = common_subexpressions_pass()(graph, "bitwise")
    assert sorted(names(merged)) == ["add", "exp", "less", "mul", "sub"]
    assert [name for name, _ in merged.outputs] == ["p", "q", "r", "s", "t"]


def test_the_larger_of_two_zeros_depends_on_their_order() -> None:
    a, b = x(), placeholder("b", (4,))
    graph = define(p=ops.maximum(a, b), q=ops.maximum(b, a))
    assert common_subexpressions_pass()(graph, "safe") is graph
    assert names(common_subexpressions_pass()(graph, "fast")) == ["maximum"]


def test_differences_do_not_commute() -> None:
    a, b = x(), placeholder("b", (4,))
    graph = define(p=a - b, q=b - a)
    assert common_subexpressions_pass()(graph, "fast") is graph


# Dead code


def training() -> Graph:
    w, v = variable("w", (4,)), variable("v", ())
    given = x()
    loss = ops.sum(given * w) * v
    updates = {"train": {w: w - given}, "reset": {v: v * 0.0}}
    return define({"loss": loss, "norm": ops.sum(w * w)}, updates=updates)


def test_prune_keeps_what_is_named_and_what_it_needs() -> None:
    graph = training()
    cut = prune(graph, outputs=["norm"], updates=["reset"])
    assert [name for name, _ in cut.outputs] == ["norm"]
    assert [name for name, _ in cut.updates] == ["reset"]
    assert "x" not in cut.placeholders
    assert prune(graph, ["loss", "norm"], ["train", "reset"]) is graph
    assert dead_code_pass()(graph) is graph


def test_prune_names_what_there_is() -> None:
    with pytest.raises(GraphError, match="'lost' is no output"):
        prune(training(), outputs=["lost"])
    with pytest.raises(GraphError, match="'lost' is no update group"):
        prune(training(), updates=["lost"])


# The pipeline


def network() -> Graph:
    image, label = placeholder("image", ("batch", 20)), placeholder("label", ("batch", 3))
    sizes = [("w0", (20, 8)), ("b0", (8,)), ("w1", (8, 3)), ("b1", (3,))]
    w0, b0, w1, b1 = (variable(name, shape) for name, shape in sizes)
    hidden = ops.relu(image @ w0 + b0)
    logits = hidden @ w1 + b1
    exponential = ops.exp(logits)
    probability = exponential / ops.sum(exponential, 1, keepdims=True)
    loss = -ops.mean(ops.sum(label * ops.log(probability), 1))
    return gradient(define(loss=loss, probability=probability))


@pytest.mark.parametrize("numerics", NUMERICS)
def test_the_pipeline_settles_and_keeps_the_network(numerics: Numerics) -> None:
    graph = network()
    done = optimise(graph, numerics)
    again = optimise(done.graph, numerics)
    assert again.graph is done.graph
    assert again.ledger == ()
    rng = np.random.default_rng(0)
    shapes = {"image": (5, 20), "label": (5, 3), "w0": (20, 8), "b0": (8,), "w1": (8, 3), "b1": (3,)}
    given = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    before = evaluate(graph, given, {"batch": 5})[0]
    after = evaluate(done.graph, given, {"batch": 5})[0]
    for name, value in before.items():
        if numerics == "bitwise":
            assert after[name].tobytes() == value.tobytes()
        else:
            np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-5)


def test_the_pipeline_makes_one_op_of_the_loss_and_shrinks_the_gradient() -> None:
    graph = network()
    done = optimise(graph)
    assert "softmax_cross_entropy" in names(done.graph)
    assert "log" not in names(done.graph)
    assert "exp" not in names(done.graph)
    assert len(done.graph) < len(graph)
    assert [row.step for row in done.ledger] == list(range(1, len(done.ledger) + 1))


CHAINS = {
    "neg": (lambda e: ops.neg(e), 2),
    "abs": (lambda e: ops.abs(e), 2),
    "scaled": (lambda e: e * 1.001, 3),
    "reshaped": (lambda e: ops.reshape(e, (2, 2) if e.rank == 1 else (4,)), 1),
    "transposed": (lambda e: ops.tanh(ops.transpose(ops.reshape(e, (2, 2)))), None),
    "tanh": (lambda e: ops.tanh(e), None),
    "squares": (lambda e: e * e, None),
    "softmax by hand": (lambda e: ops.exp(e) / ops.sum(ops.exp(e), -1, keepdims=True), None),
}


@pytest.mark.parametrize("name", CHAINS)
def test_work_is_linear_in_the_length_of_a_chain(name: str) -> None:
    """The rows of the ledger, and the nodes that are left, are proportional to the length."""
    link, left = CHAINS[name]
    rows = []
    for length in (300, 600):
        e = x()
        for _ in range(length):
            e = link(e)
        done = optimise(define(y=e))
        rows.append(len(done.ledger))
        assert left is None or len(done.graph) <= left
    assert rows[1] <= 2 * rows[0] + 8


def test_a_pass_that_finds_nothing_gives_the_same_object() -> None:
    graph = define(y=ops.tanh(x()))
    for one in default_pipeline():
        assert one(graph) is graph
