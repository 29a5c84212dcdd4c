"""Optimizers: next values against NumPy, and graphs that keep what they had."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops
from symgraph.define import define
from symgraph.errors import DTypeError, GradientError, GraphError, ShapeError, SymgraphError
from symgraph.expr import Expr, constant, placeholder, variable
from symgraph.ir import Graph
from symgraph.session import Session
from symgraph.train import minimize, sgd
from symgraph.verify import verify

BACKENDS = ["interpreter", "numpy", "llvm"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def regression(dtype: str = "float64") -> Graph:
    """The mean squared error of x @ w + b; an int variable counts, and nothing trains it."""
    x, y = placeholder("x", ("n", 3), dtype), placeholder("y", ("n", 1), dtype)
    w, b = variable("w", (3, 1), dtype), variable("b", (1,), dtype)
    count = variable("count", (), "int64")
    e = x @ w + b - y
    return define({"loss": ops.mean(e * e)}, updates={"tick": {count: count + 1}})


RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ np.array([[1.0], [-2.0], [0.5]]) + 3.0


def by_hand(steps: int, rate: float, x: Any = X, y: Any = Y) -> tuple[Any, Any]:
    w, b = np.zeros((3, 1)), np.zeros(1)
    for _ in range(steps):
        e = 2 * (x @ w + b - y) / len(x)
        w, b = w - rate * x.T @ e, b - rate * e.sum(0)
    return w, b


def test_sgd_is_what_numpy_computes(backend: str) -> None:
    graph = minimize(regression(), "loss", sgd(0.1))
    with Session(graph, backend) as session:
        losses = [session.run("loss", {"x": X, "y": Y}, update="train") for _ in range(30)]
        w, b = by_hand(30, 0.1)
        assert np.allclose(session.variables["w"], w, rtol=1e-12, atol=1e-14)
        assert np.allclose(session.variables["b"], b, rtol=1e-12, atol=1e-14)
        assert losses == sorted(losses, reverse=True)
        for _ in range(500):
            session.run(None, {"x": X, "y": Y}, update="train")
        assert np.allclose(session.variables["w"], [[1.0], [-2.0], [0.5]], atol=1e-9)
        assert np.allclose(session.variables["b"], [3.0], atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(rate=st.floats(0, 0.3), rows=st.integers(1, 6), steps=st.integers(0, 4))
def test_sgd_at_any_rate(rate: float, rows: int, steps: int) -> None:
    graph = minimize(regression(), "loss", sgd(rate))
    with Session(graph, "numpy") as session:
        for _ in range(steps):
            session.run(None, {"x": X[:rows], "y": Y[:rows]}, update="train")
        w, b = by_hand(steps, rate, X[:rows], Y[:rows])
        assert np.allclose(session.variables["w"], w, rtol=1e-9, atol=1e-12)
        assert np.allclose(session.variables["b"], b, rtol=1e-9, atol=1e-12)


def test_the_graph_keeps_what_it_had() -> None:
    graph = regression()
    made = minimize(graph, "loss", sgd(0.1))
    verify(made)
    assert made.nodes[: len(graph)] == graph.nodes
    assert made.outputs == graph.outputs
    assert made.updates[: len(graph.updates)] == graph.updates
    assert list(made.update_group("train")) == ["w", "b"]
    assert made["loss"] == graph["loss"]
    last = made.nodes[made.update_group("train")["w"]]
    assert last.origin.rule == "sgd" and last.origin.sources[0].file == __file__
    assert minimize(graph, "loss", sgd(0.1)) == made


@pytest.mark.parametrize("rate", [1, 1.0, np.float32(1), np.int64(1), constant(1), constant(1.0, "float64")])
def test_a_rate_may_be_any_number(rate: Any) -> None:
    w = variable("w", (), init=3.0)
    with Session(minimize(define(loss=w * 0.5), "loss", sgd(rate)), "interpreter") as session:
        session.run(None, update="train")
        assert session.variables["w"] == 2.5 and session.variables["w"].dtype == np.float32


def test_all_gradients_are_of_the_values_before(backend: str) -> None:
    a, b = variable("a", (), "float64", init=2.0), variable("b", (), "float64", init=3.0)
    graph = minimize(define(loss=a * a * b), "loss", sgd(0.1))
    with Session(graph, backend) as session:
        session.run(None, update="train")
        assert session.variables["a"] == pytest.approx(2.0 - 0.1 * 12.0)
        assert session.variables["b"] == pytest.approx(3.0 - 0.1 * 4.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rate_may_be_fed_by_name(backend: str, dtype: str) -> None:
    graph = minimize(regression(dtype), "loss", sgd("rate"))
    x, y = X.astype(dtype), Y.astype(dtype)
    with Session(graph, backend) as session:
        step = session.prepare("loss", ("x", "y", "rate"), "train")
        step(x, y, 0.0)
        assert not session.variables["w"].any()
        step(x, y, 0.5)
        assert np.allclose(session.variables["w"], by_hand(1, 0.5)[0], rtol=1e-5)
        assert session.variables["w"].dtype == dtype
        session.run("loss", {"x": x, "y": y})  # without an update no rate is needed


def test_a_rate_may_be_an_expression_of_what_the_graph_has(backend: str) -> None:
    w = variable("w", (), "float64", init=1.0)
    count = variable("count", (), "int64")
    scale = placeholder("scale", (), "float64", default=1.0)
    start = define({"loss": w * w * scale}, updates={"tick": {count: count + 1}})
    rate = 0.5 * scale / ops.cast(count + 1, "float64")
    graph = minimize(start, "loss", sgd(rate))
    assert set(graph.placeholders) == {"scale"}
    with Session(graph, backend) as session:
        value = 1.0
        for k, s in enumerate([0.25, 1.0, 0.5]):
            session.run("loss", {"scale": s}, update=("train", "tick"))
            value -= 0.5 * s / (k + 1) * 2.0 * value * s
            assert session.variables["w"] == pytest.approx(value, rel=1e-12)
        assert session.variables["count"] == 3


def test_a_placeholder_of_the_graph_may_be_the_rate_by_name() -> None:
    w, rate = variable("w", (), init=1.0), placeholder("rate", (), default=0.25)
    graph = minimize(define(loss=w * w, shown=rate * 1.0), "loss", sgd(rate))
    with Session(graph, "interpreter") as session:
        session.run(None, update="train")
        assert session.variables["w"] == 0.5
    with pytest.raises(GraphError, match="'rate' is declared twice"):  # the one is without its default
        minimize(define(loss=w * w, shown=rate * 1.0), "loss", sgd("rate"))


def test_groups_train_their_own_variables(backend: str) -> None:
    """Two players, as in an adversarial game: each group moves its own side alone."""
    a, b = variable("a", (), "float64", init=1.0), variable("b", (), "float64", init=2.0)
    value = a * b
    graph = minimize(define(value=value, cost=-value), "value", sgd(0.1), variables="a", group="first")
    graph = minimize(graph, "cost", sgd(0.1), variables=["b"], group="second")
    with Session(graph, backend) as session:
        session.run(None, update="first")
        assert (session.variables["a"], session.variables["b"]) == (pytest.approx(0.8), 2.0)
        session.run(None, update=("first", "second"))
        assert session.variables["a"] == pytest.approx(0.6)
        assert session.variables["b"] == pytest.approx(2.08)


@attrs.frozen
class Momentum:
    """An optimizer with a state: how one is written."""

    rate: float
    decay: float

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Mapping[Expr, Expr]:
        updates: dict[Expr, Expr] = {}
        for w, g in zip(variables, gradients, strict=True):
            v = variable(f"{w.op.label}/velocity", w.shape, w.dtype)  # type: ignore[attr-defined]
            updates[v] = v * self.decay + g
            updates[w] = w - self.rate * updates[v]
        return updates


def test_an_optimizer_with_a_state_is_a_pure_function(backend: str, tmp_path: Path) -> None:
    graph = minimize(regression(), "loss", Momentum(0.02, 0.9))
    assert set(graph.variables) == {"w", "b", "count", "w/velocity", "b/velocity"}
    w, v = np.zeros((3, 1)), np.zeros((3, 1))
    b, u = np.zeros(1), np.zeros(1)
    feeds = {"x": X, "y": Y}
    with Session(graph, backend) as session:
        for _ in range(10):
            session.run(None, feeds, update="train")
            e = 2 * (X @ w + b - Y) / len(X)
            v, u = 0.9 * v + X.T @ e, 0.9 * u + e.sum(0)
            w, b = w - 0.02 * v, b - 0.02 * u
        assert np.allclose(session.variables["w"], w, rtol=1e-10)
        assert np.allclose(session.variables["b/velocity"], u, rtol=1e-10)
        session.save(tmp_path / "a")
        session.run(None, feeds, update="train")
        expected = session.variables["w"].tobytes()
    with Session(graph, backend) as session:
        session.restore(tmp_path / "a")
        session.run(None, feeds, update="train")
        assert session.variables["w"].tobytes() == expected  # the velocity was saved too


def test_variables_that_the_output_does_not_need_are_left_alone() -> None:
    a, b = variable("a", (2,), init=1.0), variable("b", (2,), init=1.0)
    graph = minimize(define(loss=ops.sum(a * a), other=b * 1.0), "loss", sgd(0.1))
    assert list(graph.update_group("train")) == ["a"]


def stopped() -> Graph:
    a, b = variable("a"), variable("b")
    return define(loss=a * ops.stop_gradient(b))


ERRORS: list[tuple[str, type[SymgraphError], str, Any]] = [
    ("group", GraphError, "has an update group 'tick' already",
        lambda: minimize(regression(), "loss", sgd(0.1), group="tick")),
    ("twice", GraphError, "has an update group 'train' already",
        lambda: minimize(minimize(regression(), "loss", sgd(0.1)), "loss", sgd(0.1))),
    ("output", GraphError, "'cost' is no output", lambda: minimize(regression(), "cost", sgd(0.1))),
    ("unknown", GraphError, "'v' is no variable",
        lambda: minimize(regression(), "loss", sgd(0.1), ["w", "v"])),
    ("none named", GraphError, "it names none", lambda: minimize(regression(), "loss", sgd(0.1), [])),
    ("named twice", GraphError, "or one twice", lambda: minimize(regression(), "loss", sgd(0.1), ["w", "w"])),
    ("placeholder", GraphError, "'x' is no variable", lambda: minimize(regression(), "loss", sgd(0.1), "x")),
    ("int", GradientError, "floats", lambda: minimize(regression(), "loss", sgd(0.1), "count")),
    ("vector", GradientError, "of a scalar", lambda: minimize(define(y=-variable("w", (2,))), "y", sgd(0.1))),
    ("nothing", GradientError, "nothing to train",
        lambda: minimize(define(y=-placeholder("x")), "y", sgd(0.1))),
    ("stopped", GradientError, "no gradient reaches 'b'", lambda: minimize(stopped(), "loss", sgd(0.1))),
    ("not reached", GradientError, "no path leads from 'b'",
        lambda: minimize(define(y=variable("a") * 2.0, z=-variable("b")), "y", sgd(0.1), ["a", "b"])),
    ("negative", GraphError, "a number from 0", lambda: sgd(-0.1)),
    ("nan", GraphError, "a number from 0", lambda: sgd(float("nan"))),
    ("infinite", GraphError, "a number from 0", lambda: sgd(float("inf"))),
    ("bool", GraphError, "a number from 0", lambda: sgd(True)),
    ("empty name", GraphError, "a number from 0", lambda: sgd("")),
    ("list", GraphError, "a number from 0", lambda: sgd([0.1])),  # type: ignore[arg-type]
    ("rate vector", ShapeError, "is a scalar", lambda: sgd(placeholder("r", (2,)))),
    ("rate bool", DTypeError, "not a truth value", lambda: sgd(constant(True))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "match", "act"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_errors_say_what_is_wrong(kind: type[SymgraphError], match: str, act: Any) -> None:
    with pytest.raises(kind, match=match):
        act()


def test_the_error_of_a_stopped_gradient_says_what_to_write() -> None:
    with pytest.raises(GradientError) as caught:
        minimize(stopped(), "loss", sgd(0.1))
    assert "variables=[" in caught.value.hint
    graph = minimize(stopped(), "loss", sgd(0.1), variables="a")
    assert list(graph.update_group("train")) == ["a"]
