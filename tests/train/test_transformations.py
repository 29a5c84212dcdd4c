"""Transformations and what joins optimizers, against NumPy of their definitions."""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops, train
from symgraph.compile import compile
from symgraph.define import define
from symgraph.errors import GraphError, SymgraphError
from symgraph.expr import Expr, placeholder, variable
from symgraph.ir import Graph
from symgraph.session import Session
from symgraph.train import (
    accumulate,
    chain,
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    ema,
    freeze,
    minimize,
    named,
    partition,
    scale,
    sgd,
    weight_decay,
)
from symgraph.train.transformations import Step
from symgraph.verify import verify

RNG = np.random.default_rng(3)


@pytest.fixture(params=["numpy", "llvm"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def linear(dtype: str = "float64", b_dtype: str | None = None) -> Graph:
    """The gradients of "w" and "layer/b" are what is fed as "gw" and "gb"."""
    w, b = variable("w", (2, 3), dtype), variable("layer/b", (4,), b_dtype or dtype)
    gw, gb = placeholder("gw", (2, 3), dtype), placeholder("gb", (4,), b_dtype or dtype)
    return define(loss=ops.sum(w * gw) + ops.sum(b * gb))


GW, GB = RNG.normal(size=(2, 3)), RNG.normal(size=4)
W, B = RNG.normal(size=(2, 3)), RNG.normal(size=4)


def moves(transformation: Any, gw: Any = GW, gb: Any = GB, backend: str = "numpy") -> tuple[Any, Any]:
    """The directions that a transformation makes of two gradients, at the weights W and B."""
    graph = minimize(linear(str(gw.dtype), str(gb.dtype)), "loss", chain(transformation, Unit()))
    with Session(graph, backend) as session:
        session.variables.assign({"w": W.astype(gw.dtype), "layer/b": B.astype(gb.dtype)})
        session.run(None, {"gw": gw, "gb": gb}, update="train")
        return session.variables["w"], session.variables["layer/b"]


@attrs.frozen
class Unit:
    """An optimizer that puts the directions in the place of the weights: what a user may write."""

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Any:
        return dict(zip(variables, gradients, strict=True))


# Each alone.


def test_clip_by_value(backend: str) -> None:
    w, b = moves(clip_by_value(0.5), backend=backend)
    assert w.tobytes() == np.clip(GW, -0.5, 0.5).tobytes()
    assert b.tobytes() == np.clip(GB, -0.5, 0.5).tobytes()


@settings(max_examples=30, deadline=None)
@given(limit=st.floats(1e-3, 1e3), size=st.floats(1e-6, 1e6))
def test_clipping_by_length(limit: float, size: float) -> None:
    w, b = moves(clip_by_norm(limit), GW * size, GB * size)
    for found, g in ((w, GW * size), (b, GB * size)):
        length = np.linalg.norm(g)
        np.testing.assert_allclose(found, g * min(1, limit / length), rtol=1e-12)
        if length < limit * 0.999:
            assert found.tobytes() == g.tobytes()
    w, b = moves(clip_by_global_norm(limit), GW * size, GB * size)
    length = np.hypot(np.linalg.norm(GW * size), np.linalg.norm(GB * size))
    np.testing.assert_allclose(w, GW * size * min(1, limit / length), rtol=1e-12)
    np.testing.assert_allclose(b, GB * size * min(1, limit / length), rtol=1e-12)
    if length < limit * 0.999:
        assert w.tobytes() == (GW * size).tobytes() and b.tobytes() == (GB * size).tobytes()


def test_a_global_norm_is_of_all_dtypes(backend: str) -> None:
    w, b = moves(clip_by_global_norm(0.1), GW.astype(np.float32), GB, backend)
    assert (w.dtype, b.dtype) == (np.float32, np.float64)
    factor = 0.1 / np.hypot(np.linalg.norm(GW), np.linalg.norm(GB))
    np.testing.assert_allclose(w, GW * factor, rtol=1e-6)
    np.testing.assert_allclose(b, GB * factor, rtol=1e-6)


def test_the_smallest_limit_leaves_zeros_alone(backend: str) -> None:
    """1e-50 is 0 in float32, and 0 / 0 would be NaN."""
    for transformation in (clip_by_norm(1e-50), clip_by_global_norm(1e-50)):
        w, b = moves(transformation, 0 * GW.astype(np.float32), 0 * GB.astype(np.float32), backend)
        assert not w.any() and not b.any()


def test_a_number_of_batches_may_be_of_numpy() -> None:
    graphs = [minimize(linear(), "loss", accumulate(sgd(0.1), steps)) for steps in (np.int8(2), 2)]
    assert graphs[0] == graphs[1]


def test_clipping_keeps_a_nan(backend: str) -> None:
    for transformation in (clip_by_value(1.0), clip_by_norm(1.0), clip_by_global_norm(1.0)):
        w, _ = moves(transformation, GW * np.nan, backend=backend)
        assert np.isnan(w).all()


def test_weight_decay_and_scale(backend: str) -> None:
    w, b = moves(chain(weight_decay(0.1, exclude="*/b"), scale(0.5)), backend=backend)
    np.testing.assert_allclose(w, 0.5 * (GW + 0.1 * W), rtol=1e-14)
    np.testing.assert_allclose(b, 0.5 * GB, rtol=1e-14)


@pytest.mark.parametrize(
    "exclude", ["layer/b", "*/b", "lay*", ["x", "*/b"], ("layer/?",), lambda w: w.rank < 2, {"layer/b"}]
)
def test_variables_are_selected_by_name_or_by_function(exclude: Any) -> None:
    w, b = moves(weight_decay(0.1, exclude=exclude))
    np.testing.assert_allclose(w, GW + 0.1 * W, rtol=1e-14)
    assert b.tobytes() == GB.tobytes()


def test_where_it_stands_in_a_chain_matters() -> None:
    decay, adam = weight_decay(0.1), train.scale_by_adam()
    _, b = moves(chain(decay, adam))
    np.testing.assert_allclose(b, np.sign(GB + 0.1 * B), rtol=1e-6)
    _, b = moves(chain(adam, decay))
    np.testing.assert_allclose(b, np.sign(GB) + 0.1 * B, rtol=1e-6)


def test_adam_is_a_chain() -> None:
    rate = train.schedules.cosine(0.1, 10)
    assert minimize(linear(), "loss", chain(train.scale_by_adam(), sgd(rate))) == minimize(
        linear(), "loss", train.adam(rate)
    )
    both = chain(clip_by_norm(1.0), chain(train.scale_by_rms(), scale(0.5)), sgd(1.0))
    one = chain(clip_by_norm(1.0), train.scale_by_rms(), scale(0.5), sgd(1.0))
    assert minimize(linear(), "loss", both) == minimize(linear(), "loss", one)


def test_a_transformation_may_be_a_function() -> None:
    def signs(variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        return Step([ops.sign(g) for g in directions])

    w, _ = moves(signs)
    assert w.tobytes() == np.sign(GW).tobytes()


# Some variables.


def test_each_variable_has_the_first_optimizer_that_selects_it(backend: str) -> None:
    optimizer = partition({"w": sgd(0.5), "*": train.momentum(0.25), "layer/*": sgd(1.0)}, otherwise=None)
    with pytest.raises(GraphError, match="no variable is selected by 'layer/\\*'"):
        minimize(linear(), "loss", optimizer)
    graph = minimize(linear(), "loss", partition({"w": sgd(0.5)}, otherwise=train.adam(0.25)))
    with Session(graph, backend) as session:
        session.run(None, {"gw": GW, "gb": GB}, update="train")
        np.testing.assert_allclose(session.variables["w"], -0.5 * GW)
        np.testing.assert_allclose(session.variables["layer/b"], -0.25 * np.sign(GB), rtol=1e-6)


def test_frozen_variables_stay(backend: str) -> None:
    graph = minimize(linear(), "loss", freeze(train.adam(), lambda w: w.rank == 1))
    assert set(graph.update_group("train")) == {"w", "w/adam_m", "w/adam_v", "train/step"}
    with pytest.raises(GraphError, match="trains no variable"):
        minimize(linear(), "loss", freeze(train.adam(), "*"))


def test_partitions_share_one_counter(backend: str) -> None:
    rate = train.schedules.piecewise({0: 1.0, 2: 0.0})
    optimizer = partition({"w": sgd(rate)}, otherwise=chain(scale(rate), train.adam(1.0)))
    graph = minimize(linear(), "loss", optimizer)
    with Session(graph, backend) as session:
        for k in range(4):
            session.run(None, {"gw": GW, "gb": GB}, update="train")
            assert session.variables["train/step"] == k + 1
        np.testing.assert_allclose(session.variables["w"], -2 * GW)


# Several batches a step.


@pytest.mark.parametrize("steps", [1, 3])
def test_accumulated_steps_are_those_of_larger_batches(steps: int, backend: str) -> None:
    inner = chain(clip_by_norm(1.0), ema(train.adam(train.schedules.exponential(0.1, 0.5)), 0.9))
    gradients = [(RNG.normal(size=(2, 3)), RNG.normal(size=4)) for _ in range(4 * steps)]
    small = Session(minimize(linear(), "loss", accumulate(inner, steps)), backend)
    large = Session(minimize(linear(), "loss", inner), backend)
    for session in (small, large):
        session.variables.assign({"w": W, "layer/b": B})
    kept = [name for name in large.graph.variables if name != "train/step"]
    for k, (gw, gb) in enumerate(gradients):
        before = small.variables.snapshot()
        small.run(None, {"gw": gw, "gb": gb}, update="train")
        after = small.variables.snapshot()
        assert after["train/step"] == k + 1
        if (k + 1) % steps:
            assert all(after[name].tobytes() == before[name].tobytes() for name in kept)
            continue
        means = [np.mean([g[i] for g in gradients[k + 1 - steps : k + 1]], axis=0) for i in (0, 1)]
        large.run(None, {"gw": means[0], "gb": means[1]}, update="train")
        for name in kept:
            np.testing.assert_allclose(after[name], large.variables[name], rtol=1e-12, atol=1e-15)
        assert not after["w/accumulated"].any()


def test_what_is_left_alone_is_left_alone_also_beside_a_nan(backend: str) -> None:
    graph = minimize(linear(), "loss", accumulate(sgd(0.1), 2))
    with Session(graph, backend) as session:
        session.variables.assign("w", -0.0 * W)
        before = session.variables["w"].tobytes()
        session.run(None, {"gw": GW * np.inf, "gb": GB}, update="train")
        assert session.variables["w"].tobytes() == before


# Averages.


@pytest.mark.parametrize("debias", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_averages_of_the_weights(decay: float, debias: bool, backend: str) -> None:
    graph = train.with_averages(minimize(linear(), "loss", ema(sgd(0.1), decay, debias)))
    verify(graph)
    with Session(graph, backend) as session:
        session.variables.assign({"w": W, "layer/b": B})
        feeds = {"gw": GW, "gb": GB}
        assert np.array_equal(train.averaged(session)["w"], W)  # none yet
        assert session.run("average/loss", feeds) == session.run("loss", feeds)
        total, weight = (0.0, 0.0) if debias else (W, 1.0)
        w = W
        for _ in range(6):
            session.run(None, feeds, update="train")
            w = w - 0.1 * GW
            total, weight = decay * total + (1 - decay) * w, decay * weight + (1 - decay)
            np.testing.assert_allclose(session.variables["w/ema"], total / weight, rtol=1e-11)
            np.testing.assert_allclose(session.variables["w"], w, rtol=1e-12)
        found = train.averaged(session)
        assert set(found) == {"w", "layer/b"}
        loss = np.sum(found["w"] * GW) + np.sum(found["layer/b"] * GB)
        assert session.run("average/loss", feeds) == pytest.approx(loss, rel=1e-12)
        assert session.run("loss", feeds) != pytest.approx(loss) or decay == 0.0
        session.variables.assign(found)
        assert session.run("loss", feeds) == pytest.approx(loss, rel=1e-12)


def test_a_graph_without_averages_has_none() -> None:
    graph = minimize(linear(), "loss", sgd(0.1))
    for act in (lambda: train.averaged(Session(graph, "interpreter")), lambda: train.with_averages(graph)):
        with pytest.raises(GraphError, match="keeps no averages") as caught:
            act()
        assert "ema" in caught.value.hint


# Other names.


def test_two_of_a_kind_have_names_of_their_own(backend: str) -> None:
    two = chain(named("first", train.scale_by_rms()), train.rmsprop(0.1))
    graph = minimize(linear(), "loss", two)
    assert {"w/first/rms_square", "w/rms_square"} < set(graph.variables)
    plain = minimize(linear(), "loss", chain(train.scale_by_rms(), sgd(1.0)))
    renamed = minimize(linear(), "loss", named("x", chain(train.scale_by_rms(), sgd(1.0))))
    found = []
    for one in (plain, renamed):
        with Session(one, backend) as session:
            for _ in range(3):
                session.run(None, {"gw": GW, "gb": GB}, update="train")
            found.append(session.variables["w"].tobytes())
    assert found[0] == found[1]


WRONG: list[tuple[str, str, Any]] = [
    ("empty chain", "it was given none", lambda: chain()),
    ("chain of numbers", "chain takes an optimizer, and this is 0.1", lambda: chain(0.1)),
    ("not called", "the function clip_by_norm", lambda: chain(clip_by_norm, sgd(0.1))),
    ("order", "is no transformation, and another part of the chain comes after",
        lambda: minimize(linear(), "loss", chain(sgd(0.1), clip_by_norm(1.0)))),
    ("two alike", "two parts of the optimizer change the variable 'w/adam_m'",
        lambda: minimize(linear(), "loss", chain(train.scale_by_adam(), train.adam()))),
    ("limit 0", "limit of ClipByNorm is a finite number above 0", lambda: clip_by_norm(0)),
    ("limit inf", "limit of ClipByGlobalNorm", lambda: clip_by_global_norm(float("inf"))),
    ("limit negative", "limit of ClipByValue", lambda: clip_by_value(-1)),
    ("limit bool", "limit of ClipByValue", lambda: clip_by_value(True)),
    ("limit array", "limit of ClipByValue", lambda: clip_by_value(np.ones(2))),
    ("scale", "a learning rate is a number from 0", lambda: scale(-1)),
    ("steps 0", "steps of Accumulate is a whole number from 1", lambda: accumulate(sgd(0.1), 0)),
    ("steps float", "steps of Accumulate is a whole number", lambda: accumulate(sgd(0.1), 2.0)),
    ("accumulate what", "Accumulate takes an optimizer", lambda: accumulate(0.1, 2)),
    ("accumulate a transformation", "is no optimizer: it gave a Step",
        lambda: minimize(linear(), "loss", accumulate(scale(0.1), 2))),
    ("decay 1", "decay of Ema is a number from 0 and less than 1", lambda: ema(sgd(0.1), 1.0)),
    ("ema of a function", "the function sgd", lambda: ema(sgd)),
    ("partition list", "takes a mapping", lambda: partition([sgd(0.1)], None)),
    ("partition empty", "takes a mapping", lambda: partition({}, sgd(0.1))),
    ("partition number", "partition takes an optimizer", lambda: partition({"w": 0.1}, None)),
    ("partition key", "selected by their names", lambda: partition({3: sgd(0.1)}, None)),
    ("empty name", "non-empty string", lambda: named("", sgd(0.1))),
]  # fmt: skip


@pytest.mark.parametrize(("match", "act"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_cannot_be_is_said(match: str, act: Any) -> None:
    with pytest.raises(SymgraphError, match=match) as caught:
        act()
    assert caught.value.hint


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_int_variables_are_never_trained(backend: str) -> None:
    w, n = variable("w", (), init=1.0), variable("n", (), "int64", init=3)
    graph = minimize(define(loss=w * n), "loss", ema(train.adamw(0.1), 0.5))
    assert not any(name.startswith("n") for name in graph.update_group("train"))
    executable = compile(graph, backend=backend)
    assert executable.graph.update_group("train")
