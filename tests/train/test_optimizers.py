"""Optimizers: next values against NumPy, and graphs that keep what they had."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops, train
from symgraph.compile import compile
from symgraph.define import define
from symgraph.errors import DTypeError, GradientError, GraphError, ShapeError, SymgraphError
from symgraph.expr import Expr, constant, placeholder, variable
from symgraph.ir import Graph
from symgraph.ops.region import Fused, Project
from symgraph.session import Session
from symgraph.text import from_text, to_text
from symgraph.train import combinators, minimize, optimizers, schedules, sgd, transformations
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
    ("vector", GradientError, r"(?s)of a scalar.*mean or sum",
        lambda: minimize(define(y=-variable("w", (2,))), "y", sgd(0.1))),
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


# Against optax: every optimizer, over 100 steps, in float64.

STEPS = 100
START = {"w": RNG.normal(size=(5, 3)), "b": RNG.normal(size=3), "s": np.array(0.7)}
BATCHES = (RNG.normal(size=(STEPS, 7, 5)), RNG.normal(size=(STEPS, 7, 3)))


def network(dtype: str = "float64") -> Graph:
    """A matrix, a vector and a scalar, none of which the loss is linear in."""
    x, y = placeholder("x", ("n", 5), dtype), placeholder("y", ("n", 3), dtype)
    w, b, s = (variable(name, value.shape, dtype) for name, value in START.items())
    return define(loss=ops.mean((ops.tanh(x @ w + b) * s - y) ** 2))


def trained(optimizer: Any, backend: str, steps: int = STEPS) -> dict[str, Any]:
    """All variables after some steps."""
    with Session(minimize(network(), "loss", optimizer), backend) as session:
        session.variables.assign(START)
        step = session.prepare(None, ("x", "y"), "train")
        for x, y in zip(*(batch[:steps] for batch in BATCHES), strict=True):
            step(x, y)
        return session.variables.snapshot()


@cache
def trained_by_optax() -> dict[str, dict[str, Any]]:
    """The weights after all steps by each of the peers: one function, which is compiled once."""
    import jax
    import jax.numpy as jnp

    made = {name: make() for name, (_, make) in PEERS.items()}

    def loss(p: Any, x: Any, y: Any) -> Any:
        return jnp.mean((jnp.tanh(x @ p["w"] + p["b"]) * p["s"] - y) ** 2)

    def one(name: str, weights: Any, state: Any, gradients: Any) -> Any:
        updates, state = made[name].update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state

    def step(states: Any, batch: Any) -> Any:
        stacked = jax.tree.map(lambda *w: jnp.stack(w), *(weights for weights, _ in states.values()))
        slopes = jax.vmap(jax.grad(loss), (0, None, None))(stacked, *batch)
        each = {name: jax.tree.map(itemgetter(k), slopes) for k, name in enumerate(states)}
        return {name: one(name, *state, each[name]) for name, state in states.items()}, None

    with jax.enable_x64(True):
        start = {name: jnp.asarray(value) for name, value in START.items()}
        states = {name: (start, optimizer.init(start)) for name, optimizer in made.items()}
        found = jax.jit(partial(jax.lax.scan, step))(states, BATCHES)[0]
        return {name: jax.tree.map(np.asarray, weights) for name, (weights, _) in found.items()}


def _without_b(_: Any) -> dict[str, bool]:
    return {"w": True, "b": False, "s": True}


PEERS: dict[str, tuple[Any, Callable[[], Any]]] = {
    "sgd": (train.sgd(0.1), lambda: optax.sgd(0.1)),
    "momentum": (train.momentum(0.05, 0.8), lambda: optax.sgd(0.05, 0.8)),
    "nesterov": (train.nesterov(0.05), lambda: optax.sgd(0.05, 0.9, nesterov=True)),
    "adagrad": (train.adagrad(0.1), lambda: optax.adagrad(0.1)),
    "rmsprop": (train.rmsprop(0.01), lambda: optax.rmsprop(0.01, eps=1e-7)),
    "rmsprop centered momentum": (
        train.rmsprop(0.01, decay=0.95, momentum=0.9, centered=True),
        lambda: optax.rmsprop(0.01, decay=0.95, eps=1e-7, momentum=0.9, centered=True),
    ),
    "adam": (train.adam(0.01), lambda: optax.adam(0.01)),
    "adam betas": (train.adam(0.01, 0.5, 0.9, 1e-3), lambda: optax.adam(0.01, 0.5, 0.9, 1e-3)),
    "amsgrad": (train.adam(0.01, beta2=0.9, amsgrad=True), lambda: optax.amsgrad(0.01, b2=0.9)),
    "adamw": (
        train.adamw(0.01, decay=0.1, exclude="b"),
        lambda: optax.adamw(0.01, weight_decay=0.1, mask=_without_b),
    ),
    "lion": (train.lion(0.003, decay=0.1), lambda: optax.lion(0.003, weight_decay=0.1)),
    "lars": (
        train.lars(2.0, decay=0.01, exclude="b"),
        lambda: optax.lars(2.0, 0.01, weight_decay_mask=_without_b, trust_ratio_mask=_without_b),
    ),
    "lars nesterov": (
        train.lars(1.0, coefficient=0.01, epsilon=0.1, nesterov=True),
        lambda: optax.lars(1.0, trust_coefficient=0.01, eps=0.1, nesterov=True),
    ),
    "adam, cosine": (
        train.adam(train.schedules.cosine(0.1, 80)),
        lambda: optax.adam(optax.cosine_decay_schedule(0.1, 80)),
    ),
    "clipped adam": (
        train.chain(train.clip_by_global_norm(0.05), train.adam(0.01, epsilon=1e-2)),
        lambda: optax.chain(optax.clip_by_global_norm(0.05), optax.adam(0.01, eps=1e-2)),
    ),
    "clipped by value": (
        train.chain(train.clip_by_value(0.01), train.momentum(0.1)),
        lambda: optax.chain(optax.clip(0.01), optax.sgd(0.1, 0.9)),
    ),
    "ema": (train.ema(train.sgd(0.1), 0.9), lambda: optax.sgd(0.1)),
}


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("name", PEERS)
def test_it_agrees_with_optax(name: str, backend: str) -> None:
    found, wanted = trained(PEERS[name][0], backend), trained_by_optax()[name]
    for weight in START:
        assert not np.array_equal(found[weight], START[weight])
        np.testing.assert_allclose(found[weight], wanted[weight], rtol=1e-11, atol=1e-12)


# The definitions, in NumPy, where they are our own.


def gradients(weights: Mapping[str, Any], k: int) -> dict[str, Any]:
    x, y = BATCHES[0][k], BATCHES[1][k]
    h = np.tanh(x @ weights["w"] + weights["b"])
    e = 2 * (h * weights["s"] - y) / y.size
    dz = e * weights["s"] * (1 - h * h)
    return {"w": x.T @ dz, "b": dz.sum(0), "s": (e * h).sum()}


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_velocity_holds_steps_of_the_rates_that_they_were_made_with(nesterov: bool, backend: str) -> None:
    """Not as in optax, which multiplies the whole velocity by the rate of now."""
    schedule = train.schedules.step(0.2, factor=0.1, every=10)
    weights, velocity = dict(START), dict.fromkeys(START, 0.0)
    for k in range(25):
        for name, g in gradients(weights, k).items():
            velocity[name] = 0.9 * velocity[name] + schedule(k) * g
            step = 0.9 * velocity[name] + schedule(k) * g if nesterov else velocity[name]
            weights[name] = weights[name] - step
    found = trained(train.momentum(schedule, 0.9, nesterov), backend, 25)
    for name in START:
        np.testing.assert_allclose(found[name], weights[name], rtol=1e-12)
        np.testing.assert_allclose(found[f"{name}/momentum"], velocity[name], rtol=1e-10, atol=1e-14)


def test_state_is_in_variables_that_are_named_after_those_they_serve() -> None:
    graph = minimize(network("float32"), "loss", train.adam())
    served = {f"{name}/adam_{m}": value.shape for name, value in START.items() for m in "mv"}
    for name, shape in served.items():
        assert graph.variables[name].type.shape == shape
        assert graph.variables[name].type.dtype == np.float32
    assert set(graph.variables) == {*START, *served, "train/step"}
    assert graph.variables["train/step"].type.dtype == np.int64
    with Session(graph, "numpy") as session:
        assert not any(session.variables[name].any() for name in (*served, "train/step"))


def test_a_run_that_was_saved_goes_on_with_the_same_bits(backend: str, tmp_path: Path) -> None:
    optimizer = train.chain(
        train.clip_by_global_norm(1.0),
        train.accumulate(train.ema(train.adam(train.schedules.cosine(0.1, 5)), 0.9), 2),
    )
    graph = minimize(network(), "loss", optimizer)
    feeds = [{"x": x, "y": y} for x, y in zip(BATCHES[0][:9], BATCHES[1][:9], strict=True)]
    with Session(graph, backend, seed=1) as session:
        for k, one in enumerate(feeds):
            if k == 5:
                session.save(tmp_path / "a")
            session.run(None, one, update="train")
        wanted = session.variables.snapshot()
    with Session(graph, backend, seed=2) as session:
        session.restore(tmp_path / "a")
        for one in feeds[5:]:
            session.run(None, one, update="train")
        for name, value in session.variables.snapshot().items():
            assert value.tobytes() == wanted[name].tobytes(), name


# Numbers at the edge.

ADAPTIVE = {
    "adam": train.adam(0.1),
    "adam, epsilon 0": train.adam(0.1, epsilon=0.0),
    "adam, epsilon that float32 has not": train.adam(0.1, epsilon=1e-300),
    "adam, beta1 0": train.adam(0.1, beta1=0.0, beta2=0.0),
    "amsgrad": train.adam(0.1, epsilon=0.0, amsgrad=True),
    "adamw": train.adamw(0.1),
    "rmsprop": train.rmsprop(0.1, epsilon=0.0),
    "rmsprop, centered": train.rmsprop(0.1, epsilon=0.0, centered=True, momentum=0.9),
    "adagrad": train.adagrad(0.1, initial=0.0, epsilon=0.0),
    "lion": train.lion(0.1),
    "lars": train.lars(0.1),
    "clip_by_norm": train.chain(train.clip_by_norm(1.0), train.sgd(0.1)),
    "clip_by_global_norm": train.chain(train.clip_by_global_norm(1.0), train.sgd(0.1)),
}


@pytest.mark.parametrize(
    ("dtype", "backend"), [("float32", "numpy"), ("float32", "llvm"), ("float64", "interpreter")]
)
@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_gradient_of_zeros_makes_no_nan(name: str, dtype: str, backend: str) -> None:
    w, b, none = (
        variable("w", (3,), dtype, init=1.0),
        variable("b", (), dtype),
        variable("none", (0, 2), dtype),
    )
    scale = placeholder("scale", (), dtype)
    graph = minimize(define(loss=scale * (ops.sum(w) + b + ops.sum(none))), "loss", ADAPTIVE[name])
    with Session(graph, backend) as session:
        for value in (0.0, 0.0, 1.0, 0.0, 3.0, 0.0):
            session.run(None, {"scale": np.array(value, dtype)}, update="train")
            state = session.variables.snapshot()
            assert all(np.isfinite(array).all() for array in state.values()), (value, state)
            if value == 0.0 and not state["b"]:
                assert name == "adamw" or (state["w"] == 1.0).all()
        assert state["b"] != 0.0


def test_a_nan_is_not_hidden(backend: str) -> None:
    w, scale = variable("w", (2,)), placeholder("scale", ())
    for optimizer in ADAPTIVE.values():
        with Session(minimize(define(loss=ops.sum(w) * scale), "loss", optimizer), backend) as session:
            session.run(None, {"scale": np.float32("nan")}, update="train")
            assert np.isnan(session.variables["w"]).all(), optimizer


def test_the_correction_of_moments_does_not_cancel_in_float32(backend: str) -> None:
    """1 - 0.999 ** t loses four digits in float32: the first step would be wrong in its fifth."""
    w = variable("w", (), init=1.0)
    graph = minimize(define(loss=w * 3.0), "loss", train.adam(0.1, beta2=0.9999, epsilon=0.0))
    with Session(graph, backend) as session:
        session.run(None, update="train")
        assert session.variables["w"] == pytest.approx(0.9, abs=2e-7)


def test_a_large_variable_is_one_loop() -> None:
    """The moments, the step and the weight in one region behind the product that is the gradient."""
    x, w = placeholder("x", ("n", 300)), variable("w", (300, 200))
    for optimizer in (train.adam(), train.adamw(), train.rmsprop(), train.momentum(0.1), train.lion()):
        graph = minimize(define(loss=ops.mean(ops.tanh(x @ w))), "loss", optimizer)
        for name in ("numpy", "llvm"):
            optimised = compile(graph, backend=name).graph
            large = [
                node
                for node in optimised.nodes
                if node.inputs and not isinstance(node.op, Project) and (300, 200) in _shapes(node.type)
            ]
            (region,) = large
            assert isinstance(region.op, Fused)
            assert any(node.op.name == "matmul" for node in region.op.graph.nodes)


def _shapes(type_: Any) -> list[Any]:
    return [part.shape for part in getattr(type_, "items", (type_,))]


# Several at once.


def test_one_optimizer_may_train_two_groups(backend: str) -> None:
    """As the two networks of an adversarial game are trained: each group has its own counter."""
    a, b = variable("a", (), "float64", init=1.0), variable("b", (), "float64", init=2.0)
    optimizer = train.adam(0.1)
    graph = minimize(define(value=a * b, cost=-(a * b)), "value", optimizer, variables="a", group="first")
    graph = minimize(graph, "cost", optimizer, variables="b", group="second")
    assert {"first/step", "second/step", "a/adam_m", "b/adam_m"} < set(graph.variables)
    with Session(graph, backend) as session:
        session.run(None, update="first")
        session.run(None, update=("first", "second"))
        assert (session.variables["first/step"], session.variables["second/step"]) == (2, 1)
        assert session.variables["a"] == pytest.approx(0.8)
        assert session.variables["b"] == pytest.approx(2.1)


def test_a_graph_that_trains_is_text_like_any_other() -> None:
    graph = minimize(network(), "loss", train.ema(train.adam(train.schedules.cosine(0.1, 5))))
    assert from_text(to_text(graph)) == graph
    assert minimize(network(), "loss", train.ema(train.adam(train.schedules.cosine(0.1, 5)))) == graph


@pytest.mark.parametrize("penalty", [train.l1(0.1), train.l2(0.1), train.l2(0.1, exclude="b")])
def test_a_penalty_is_a_term_of_what_is_made_smaller(penalty: Any, backend: str) -> None:
    graph = minimize(network(), "loss", sgd(0.1), penalty=penalty)
    assert graph["loss"] == network()["loss"]
    expected = {}
    for name, g in gradients(START, 0).items():
        slope = np.sign(START[name]) if isinstance(penalty, train.L1) else 2 * START[name]
        expected[name] = START[name] - 0.1 * (g + (0.0 if penalty.exclude == name else 0.1) * slope)
    with Session(graph, backend) as session:
        session.variables.assign(START)
        session.run(None, {"x": BATCHES[0][0], "y": BATCHES[1][0]}, update="train")
        for name, value in expected.items():
            np.testing.assert_allclose(session.variables[name], value, rtol=1e-12)


def test_a_penalty_of_expressions_is_an_expression() -> None:
    w, b = variable("w", (2,), init=[3.0, -4.0]), variable("b", (), "float64", init=2.0)
    graph = define(l1=train.l1(0.5)([w, b]), l2=train.l2(0.5)([w, b]), none=train.l2(0.5, ["w", "b"])([w, b]))
    with Session(graph, "interpreter") as session:
        assert session.run(("l1", "l2", "none")) == (4.5, 14.5, 0.0)


def test_records_print_as_they_are_written_and_compare_by_value() -> None:
    for optimizer in (*ADAPTIVE.values(), *(ours for ours, _ in PEERS.values())):
        names = {**vars(optimizers), **vars(transformations), **vars(schedules), **vars(combinators)}
        if "Chain(" not in repr(optimizer):
            assert eval(repr(optimizer), names) == optimizer
        assert hash(optimizer) == hash(optimizer)
    assert train.adam(0.1) == train.adam(0.1) != train.adam(0.2)
    rate = placeholder("rate")
    assert train.adam(rate) == train.adam(rate) != train.adam(placeholder("rate"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        train.adam().beta1 = 0.5


WRONG: list[tuple[str, str, Any]] = [
    ("rate", "a learning rate is a number from 0", lambda: train.adam(-1e-3)),
    ("rate nan", "a learning rate is a number from 0", lambda: train.rmsprop(float("nan"))),
    ("rate None", "a learning rate is a number from 0", lambda: train.lion(None)),
    ("rate too large", "a learning rate is a number from 0, and inf", lambda: train.sgd(10**400)),
    ("rate complex", "a learning rate is a number from 0", lambda: train.sgd(np.complex128(0.1))),
    ("rate class", "a learning rate is a number from 0", lambda: train.sgd(float)),
    ("beta1 1", "beta1 of Adam is a number from 0 and less than 1, and 1.0 is none", lambda: train.adam(beta1=1)),
    ("beta2 negative", "beta2 of AdamW", lambda: train.adamw(beta2=-0.1)),
    ("beta2 bool", "beta2 of Lion", lambda: train.lion(beta2=True)),
    ("beta1 text", "beta1 of Adam", lambda: train.adam(beta1="0.9")),
    ("beta1 nan", "beta1 of Adam", lambda: train.adam(beta1=float("nan"))),
    ("epsilon", "epsilon of Adam is a finite number from 0", lambda: train.adam(epsilon=-1e-8)),
    ("epsilon inf", "epsilon of RmsProp", lambda: train.rmsprop(epsilon=float("inf"))),
    ("epsilon expression", "epsilon of Adam", lambda: train.adam(epsilon=placeholder("e"))),
    ("epsilon too large", "epsilon of Adam", lambda: train.adam(epsilon=10**5000)),
    ("group of lists", "the name of an update group",
        lambda: minimize(network(), "loss", sgd(0.1), group=["a"])),
    ("variables a number", "3 is no variable", lambda: minimize(network(), "loss", sgd(0.1), 3)),
    ("variables of lists", "a list is no variable", lambda: minimize(network(), "loss", sgd(0.1), [["w"]])),
    ("decay 1", "decay of Momentum", lambda: train.momentum(0.1, 1.0)),
    ("momentum", "momentum of RmsProp", lambda: train.rmsprop(momentum=1.5)),
    ("weight decay", "decay of AdamW is a finite number from 0", lambda: train.adamw(decay=-0.1)),
    ("flag", "amsgrad of Adam is True or False, and 1 is none", lambda: train.adam(amsgrad=1)),
    ("nesterov", "nesterov of Momentum is True or False", lambda: train.momentum(0.1, 0.9, "yes")),
    ("initial", "initial of Adagrad", lambda: train.adagrad(initial=-1)),
    ("coefficient", "coefficient of Lars is a finite number above 0", lambda: train.lars(0.1, coefficient=0)),
    ("exclude", "selected by their names or by a function, not by 3", lambda: train.adamw(exclude=3)),
    ("exclude numbers", "selected by their names", lambda: train.adamw(exclude=[1, 2])),
    ("l2", "weight of L2 is a finite number from 0", lambda: train.l2(-1)),
    ("no call", "this is the function adam", lambda: minimize(network(), "loss", train.adam)),
    ("class", "this is the class Adam", lambda: minimize(network(), "loss", train.Adam)),
    ("no mapping", "is no optimizer: it gave a Step",
        lambda: minimize(network(), "loss", train.scale_by_adam())),
    ("wrong values", "gives the next values of variables",
        lambda: minimize(network(), "loss", lambda ws, gs: dict.fromkeys(ws, 1.0))),
    ("nothing", "trains no variable", lambda: minimize(network(), "loss", lambda ws, gs: {})),
    ("schedule", "a schedule gives a number from 0 or a scalar",
        lambda: minimize(network(), "loss", sgd(lambda step: "fast"))),
    ("schedule below 0", "a schedule gives a number from 0",
        lambda: minimize(network(), "loss", sgd(lambda step: -1.0))),
    ("penalty", "a penalty gives a float scalar",
        lambda: minimize(network(), "loss", sgd(0.1), penalty=lambda ws: ws[0])),
    ("penalty number", "a penalty gives a float scalar",
        lambda: minimize(network(), "loss", sgd(0.1), penalty=lambda ws: 0.1)),
    ("penalty no call", "a penalty gives a float scalar",
        lambda: minimize(network(), "loss", sgd(0.1), penalty=0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("match", "act"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_cannot_be_is_said(match: str, act: Any) -> None:
    with pytest.raises(SymgraphError, match=match) as caught:
        act()
    assert caught.value.hint


@pytest.mark.parametrize("taken", ["variable", "other variable", "placeholder", "output"])
def test_state_never_takes_the_place_of_what_the_graph_has(taken: str) -> None:
    w = variable("w", (2,))
    own = {
        "variable": variable("w/adam_m", (2,)) * 1.0,  # of the very type that the state has
        "other variable": variable("w/adam_m", (), "int64") * 1,
        "placeholder": placeholder("w/adam_m", (2,)) * 1.0,
        "output": w * 2.0,
    }
    name = "w/adam_m" if taken == "output" else "own"
    graph = define({"loss": ops.sum(w * w), name: own[taken]})
    with pytest.raises(GraphError, match="keeps its state in a variable 'w/adam_m'") as caught:
        minimize(graph, "loss", train.adam())
    assert "named" in caught.value.hint
    if taken != "output":
        made = minimize(graph, "loss", train.named("other", train.adam()))
        assert "w/other/adam_m" in made.update_group("train")


def test_the_counter_does_not_take_the_place_of_a_variable() -> None:
    w, count = variable("w"), variable("train/step", (), "int64")
    graph = define(loss=w * w, count=count + 0)
    with pytest.raises(GraphError, match="'train/step'"):
        minimize(graph, "loss", train.adam())
    assert "step" in minimize(define(loss=w * w, count=variable("step") + 0), "loss", train.adam()).variables
