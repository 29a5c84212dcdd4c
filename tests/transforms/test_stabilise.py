"""Naive formulas after optimisation: finite and right, values and gradients, where they overflow as written."""

from collections.abc import Callable

import numpy as np
import pytest

import symgraph as sg
from symgraph import ops
from symgraph.autodiff import gradient
from symgraph.define import define
from symgraph.expr import Expr, placeholder
from symgraph.lowering.interpreter import evaluate
from symgraph.transforms.pipeline import optimise

LABELS = np.array([[0.2, 0.3, 0.5]], np.float32)
Function = Callable[[Expr], Expr]


def sum_keeping(e: Expr) -> Expr:
    return e / ops.sum(e, 1, keepdims=True)


def sum_expanding(e: Expr) -> Expr:
    return e / ops.expand_dims(ops.sum(e, 1), 1)


def sigmoid_1(z: Expr) -> Expr:
    return 1 / (1 + ops.exp(-z))


def sigmoid_2(z: Expr) -> Expr:
    return ops.exp(z) / (1 + ops.exp(z))


def sigmoid_3(z: Expr) -> Expr:
    return ops.reciprocal(ops.exp(-z) + 1)


def log_sigmoid(z: np.ndarray) -> np.ndarray:
    return np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))


def log_softmax(z: np.ndarray, axis: int | None = 1) -> np.ndarray:
    shifted = z - z.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def binary(z: np.ndarray) -> np.ndarray:
    return -(LABELS * log_sigmoid(z) + (1 - LABELS) * log_sigmoid(-z))


# Each naive formula with what it means, written so that nothing overflows.
FORMULAS: dict[str, tuple[Function, Callable[[np.ndarray], np.ndarray]]] = {
    "log(1+exp z)": (lambda z: ops.log(1 + ops.exp(z)), lambda z: -log_sigmoid(-z)),
    "log(exp z+1)": (lambda z: ops.log(ops.exp(z) + 1), lambda z: -log_sigmoid(-z)),
    "log1p(exp z)": (lambda z: ops.log1p(ops.exp(z)), lambda z: -log_sigmoid(-z)),
    "log(1+exp 2z)": (lambda z: ops.log(1 + ops.exp(2 * z)), lambda z: -log_sigmoid(-2 * z)),
    "log(sigmoid z)": (lambda z: ops.log(ops.sigmoid(z)), log_sigmoid),
    "log(1-sigmoid z)": (lambda z: ops.log(1 - ops.sigmoid(z)), lambda z: log_sigmoid(-z)),
    "log(1/(1+exp -z))": (lambda z: ops.log(sigmoid_1(z)), log_sigmoid),
    "log(1-1/(1+exp -z))": (lambda z: ops.log(1 - sigmoid_1(z)), lambda z: log_sigmoid(-z)),
    "log(exp z/(1+exp z))": (lambda z: ops.log(sigmoid_2(z)), log_sigmoid),
    "log(1-exp z/(1+exp z))": (lambda z: ops.log(1 - sigmoid_2(z)), lambda z: log_sigmoid(-z)),
    "log(reciprocal(1+exp -z))": (lambda z: ops.log(sigmoid_3(z)), log_sigmoid),
    "log(1-reciprocal(1+exp -z))": (lambda z: ops.log(1 - sigmoid_3(z)), lambda z: log_sigmoid(-z)),
    "log(softmax z)": (lambda z: ops.log(ops.softmax(z)), log_softmax),
    "log(exp z/sum)": (lambda z: ops.log(sum_keeping(ops.exp(z))), log_softmax),
    "log(exp z/expanded sum)": (lambda z: ops.log(sum_expanding(ops.exp(z))), log_softmax),
    "log(exp(z-max)/sum)": (
        lambda z: ops.log(sum_keeping(ops.exp(z - ops.max(z, 1, keepdims=True)))),
        log_softmax,
    ),
    "log(exp z/sum over rows)": (
        lambda z: ops.log(ops.exp(z) / ops.sum(ops.exp(z), 0)),
        lambda z: log_softmax(z, 0),
    ),
    "log(exp z/sum of all)": (
        lambda z: ops.log(ops.exp(z) / ops.sum(ops.exp(z))),
        lambda z: log_softmax(z, None),
    ),
    "log(sum(exp z))": (
        lambda z: ops.log(ops.sum(ops.exp(z), 1)),
        lambda z: z[:, 0] - log_softmax(z)[:, 0],
    ),
    "z-log(sum(exp z))": (
        lambda z: z - ops.log(ops.sum(ops.exp(z), 1, keepdims=True)),
        log_softmax,
    ),
    "softmax cross-entropy": (
        lambda z: -ops.sum(LABELS * ops.log(sum_keeping(ops.exp(z))), 1),
        lambda z: -(LABELS * log_softmax(z)).sum(1),
    ),
    "binary cross-entropy": (
        lambda z: -(LABELS * ops.log(ops.sigmoid(z)) + (1 - LABELS) * ops.log(1 - ops.sigmoid(z))),
        binary,
    ),
    "binary cross-entropy, difference": (
        lambda z: -LABELS * ops.log(ops.sigmoid(z)) - (1 - LABELS) * ops.log(1 - ops.sigmoid(z)),
        binary,
    ),
    "binary cross-entropy by hand": (
        lambda z: -(LABELS * ops.log(sigmoid_1(z)) + (1 - LABELS) * ops.log(1 - sigmoid_1(z))),
        binary,
    ),
}
VALUES = (
    [[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]],
    [[-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]],
    [[1.0, 2.0, 3.0], [-1.0, 0.5, 0.2]],
    [[100.0, -90.0, 20.0], [0.0, -0.0, 750.0]],
)
# d of a mean passes another cotangent than d of a sum; that of a square, a tensor.
LOSSES: dict[str, tuple[Function, Callable[[np.ndarray], np.ndarray]]] = {
    "sum": (lambda v: ops.sum(v), lambda v: np.ones_like(v)),
    "mean": (lambda v: ops.mean(v), lambda v: np.full_like(v, 1 / v.size)),
    "squares": (lambda v: ops.sum(v * v), lambda v: 2 * v),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("formula", FORMULAS)
def test_naive_formulas_are_finite_and_right(formula: str, loss: str, dtype: str) -> None:
    (naive, meaning), (reduce, cotangent) = FORMULAS[formula], LOSSES[loss]
    z = placeholder("z", ("batch", 3), dtype)
    value = naive(z)
    graph = gradient(define(loss=reduce(value), value=value), wrt="z")
    optimised = optimise(graph, "safe").graph
    rtol = 2e-5 if dtype == "float32" else 1e-12
    for rows in VALUES:
        x = np.array(rows)
        found = evaluate(optimised, {"z": x.astype(dtype)}, {"batch": 2})[0]
        truth = meaning(x)
        np.testing.assert_allclose(found["value"], truth, rtol=rtol, atol=1e-6)
        expected = vector_jacobian(meaning, x, cotangent(truth))
        np.testing.assert_allclose(
            found["d_loss/d_z"], expected, rtol=1e-4, atol=2e-5 * max(1.0, np.abs(expected).max())
        )


def vector_jacobian(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Central differences; every formula is piecewise linear but near its corner, so the step is small."""
    made = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-4
        made[i] = np.sum(g * (f(x + step) - f(x - step))) / 2e-4
    return made


@pytest.mark.parametrize("formula", ["log(1+exp z)", "log(sigmoid z)", "log(exp z/sum)"])
def test_bitwise_leaves_the_formula_as_it_is_written(formula: str) -> None:
    z = placeholder("z", ("batch", 3))
    graph = define(value=FORMULAS[formula][0](z))
    x = np.array(VALUES[0], np.float32)
    before = evaluate(graph, {"z": x}, {"batch": 2})[0]["value"]
    after = evaluate(optimise(graph, "bitwise").graph, {"z": x}, {"batch": 2})[0]["value"]
    assert np.array_equal(before, after, equal_nan=True)
    assert not np.isfinite(after).all()


def test_cross_entropies_become_one_op() -> None:
    z, y = placeholder("z", ("batch", 3)), placeholder("y", ("batch", 3))
    losses = {
        "softmax_cross_entropy": -ops.sum(y * ops.log(sum_keeping(ops.exp(z))), 1),
        "sigmoid_cross_entropy": -(y * ops.log(sigmoid_1(z)) + (1 - y) * ops.log(1 - sigmoid_1(z))),
    }
    for name, loss in losses.items():
        graph = optimise(define(loss=loss)).graph
        assert [node.op.name for node in graph.nodes if node.inputs] == [name]


def test_the_gradient_of_softmax_cross_entropy_is_probability_less_label() -> None:
    z, y = placeholder("z", (2, 3)), placeholder("y", (2, 3))
    graph = define(loss=ops.sum(-ops.sum(y * ops.log(sum_keeping(ops.exp(z))), 1)))
    rows = np.array([[1e4, 0, -1e4], [1, 2, 3]], np.float32)
    labels = np.array([[0, 1, 0], [0.5, 0.25, 0.25]], np.float32)
    found = evaluate(optimise(gradient(graph, wrt="z")).graph, {"z": rows, "y": labels})[0]["d_loss/d_z"]
    np.testing.assert_allclose(found, np.exp(log_softmax(rows)) - labels, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_log_sigmoid_keeps_its_digits_on_the_tail(dtype: str) -> None:
    z = sg.placeholder("z", ("n",), dtype)
    run = sg.compile(sg.gradient(sg.define(loss=sg.sum(sg.log(sg.sigmoid(z)))), "loss", ("z",)))
    points = np.array([-1e4, -50.0, -20.0, 0.0, 5.0, 20.0, 40.0, 80.0], dtype)
    wanted = 1 / (1 + np.exp(points.astype(np.longdouble)))
    np.testing.assert_allclose(
        run({"z": points})["d_loss/d_z"], wanted.astype(dtype), rtol=8 * np.finfo(dtype).eps
    )
