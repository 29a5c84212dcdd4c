"""Schedules: against optax, and the same number as a float and in a graph."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops, train
from symgraph.define import define
from symgraph.errors import GraphError, SymgraphError
from symgraph.expr import Expr, placeholder, variable
from symgraph.session import Session
from symgraph.train import minimize, schedules, sgd

STEPS = np.arange(0, 260)


PEERS: dict[str, tuple[schedules.Schedule, Callable[[Any], Any]]] = {
    "constant": (schedules.constant(0.1), lambda: optax.constant_schedule(0.1)),
    "exponential": (schedules.exponential(0.1, 0.9, 7), lambda: optax.exponential_decay(0.1, 7, 0.9)),
    "step": (schedules.step(0.1, 0.5, 30), lambda: optax.exponential_decay(0.1, 30, 0.5, staircase=True)),
    "line": (schedules.polynomial(0.1, 0.01, 200), lambda: optax.linear_schedule(0.1, 0.01, 200)),
    "polynomial": (
        schedules.polynomial(0.1, 0.01, 200, power=2.5),
        lambda: optax.polynomial_schedule(0.1, 0.01, 2.5, 200),
    ),
    "cosine": (schedules.cosine(0.1, 200), lambda: optax.cosine_decay_schedule(0.1, 200)),
    "cosine to an end": (
        schedules.cosine(0.1, 200, 0.02),
        lambda: optax.cosine_decay_schedule(0.1, 200, 0.2),
    ),
    "restarts": (
        schedules.cosine_restarts(0.1, 100, 0.01),
        lambda: optax.join_schedules([optax.cosine_decay_schedule(0.1, 100, 0.1)] * 3, [100, 200]),
    ),
    "longer restarts": (
        schedules.cosine_restarts(0.1, 37, multiplier=2, factor=0.5),
        lambda: optax.join_schedules(
            [optax.cosine_decay_schedule(0.1 * 0.5**i, 37 * 2**i) for i in range(4)], [37, 111, 259]
        ),
    ),
    "piecewise": (
        schedules.piecewise({0: 0.1, 50: 0.05, 200: 0.005}),
        lambda: optax.join_schedules([optax.constant_schedule(v) for v in (0.1, 0.05, 0.005)], [50, 200]),
    ),
    "warm up": (
        schedules.warm_up(schedules.cosine(0.1, 100, 0.001), 20, start=0.01),
        lambda: optax.warmup_cosine_decay_schedule(0.01, 0.1, 20, 120, 0.001),
    ),
    "one cycle": (schedules.one_cycle(0.1, 200), lambda: optax.cosine_onecycle_schedule(200, 0.1)),
    "one cycle, other": (
        schedules.one_cycle(0.1, 150, 0.5, 10.0, 100.0),
        lambda: optax.cosine_onecycle_schedule(150, 0.1, 0.5, 10.0, 100.0),
    ),
    "join": (
        schedules.join(
            {0: 0.1, 60: schedules.polynomial(0.2, 0.0, 50), 150: schedules.exponential(0.1, 0.9)}
        ),
        lambda: optax.join_schedules(
            [
                optax.constant_schedule(0.1),
                optax.linear_schedule(0.2, 0.0, 50),
                optax.exponential_decay(0.1, 1, 0.9),
            ],
            [60, 150],
        ),
    ),
}


@pytest.mark.parametrize("name", PEERS)
def test_it_agrees_with_optax(name: str) -> None:
    import jax

    ours, theirs = PEERS[name]
    with jax.enable_x64(True):
        wanted = np.asarray(jax.vmap(lambda k: jax.numpy.float64(theirs()(k)))(STEPS.astype(float)))
    np.testing.assert_allclose(ours(STEPS), wanted, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("backend", ["interpreter", "numpy", "llvm"])
def test_a_float_an_array_and_a_graph_are_one(backend: str) -> None:
    step = placeholder("k", (), "int64")
    made = {name: ours(step) for name, (ours, _) in PEERS.items()}
    assert all(expr.shape == () and expr.dtype == np.float64 for expr in made.values())
    with Session(define(made), backend) as session:
        run = session.prepare(tuple(made), ("k",))
        for k in (0, 1, 19, 20, 36, 37, 38, 49, 50, 110, 111, 112, 199, 200, 10**9):
            for found, (ours, _) in zip(run(k), PEERS.values(), strict=True):
                plain = ours(k)
                assert type(plain) is float
                assert plain == ours(np.array([k]))[0]
                assert found == pytest.approx(plain, rel=1e-12, abs=1e-17)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_stairs_are_where_they_should_be(backend: str) -> None:
    """A division by 49 may be a product with 1 / 49, and 49 times that is less than 1."""
    k = placeholder("k", (), "int64")
    made = (schedules.step(1.0, 0.5, 49)(k), schedules.cosine_restarts(1.0, 49, factor=0.5)(k))
    with Session(define(stairs=made[0], cycles=made[1]), backend) as session:
        for at in range(1, 30):
            before, now = (session.run(("stairs", "cycles"), {"k": 49 * at - i}) for i in (1, 0))
            assert before[0] == 0.5 ** (at - 1) and now[0] == 0.5**at
            assert before[1] < 0.01 * 0.5 ** (at - 1) and now[1] == 0.5**at


@given(
    steps=st.integers(1, 1000),
    multiplier=st.sampled_from([1, 1.5, 2, 3, 10]),
    cycle=st.integers(0, 5),
    before=st.booleans(),
)
def test_cycles_begin_where_they_should(steps: int, multiplier: float, cycle: int, before: bool) -> None:
    starts = [sum(steps * multiplier**i for i in range(k)) for k in range(cycle + 2)]
    first = math.ceil(starts[cycle] - 1e-9)
    schedule = schedules.cosine_restarts(1.0, steps, multiplier=multiplier, factor=0.5)
    k = first - 1 if before and first else first
    at = next(i for i in range(cycle + 1) if starts[i + 1] > k + 1e-9)
    part = (k - starts[at]) / (starts[at + 1] - starts[at])
    assert schedule(k) == pytest.approx(0.5**at * 0.5 * (1 + math.cos(math.pi * part)), abs=1e-9)


def test_a_line_up_and_a_line_down() -> None:
    schedule = schedules.one_cycle(1.0, 10, rise=0.4, start_divisor=5.0, end_divisor=2.0, shape="linear")
    wanted = [0.2, 0.4, 0.6, 0.8, 1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1, 0.1]
    np.testing.assert_allclose(schedule(np.arange(12)), wanted)


@pytest.mark.parametrize("rise", [0.0, 1.0])
def test_a_cycle_may_go_one_way(rise: float) -> None:
    schedule = schedules.one_cycle(1.0, 4, rise=rise)
    assert np.isfinite(schedule(np.arange(8))).all()
    assert schedule(0 if rise == 0.0 else 4) == 1.0


def test_what_never_ends_stays_finite() -> None:
    for ours, _ in PEERS.values():
        rates = ours(np.array([0, 2**31, 2**40]))
        assert np.isfinite(rates).all() and (rates >= 0).all()


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize(
    "optimizer", [train.sgd, train.momentum, train.adagrad, train.rmsprop, train.adam, train.lion, train.lars]
)
def test_any_optimizer_takes_a_schedule(optimizer: Any, backend: str) -> None:
    """A rate of 0 after two updates, of which the second is half: then the weight stands still."""
    schedule = schedules.piecewise({0: 0.1, 1: 0.05, 2: 0.0})
    made = optimizer(schedule, 0.0) if optimizer in (train.momentum, train.lars) else optimizer(schedule)
    w = variable("w", (), "float64", init=1.0)
    with Session(minimize(define(loss=w * 3.0), "loss", made), backend) as session:
        seen = [1.0]
        for _ in range(4):
            session.run(None, update="train")
            seen.append(float(session.variables["w"]))
        assert seen[0] > seen[1] > seen[2] == seen[3] == seen[4]
        assert session.variables["train/step"] == 4


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_function_may_be_a_schedule(backend: str) -> None:
    def halves(step: Expr) -> Expr:
        return 0.5 / ops.cast(step + 1, "float64")

    w = variable("w", (), "float32", init=4.0)
    both = schedules.warm_up(halves, 1, start=0.25)
    for rate, wanted in ((halves, 4 - 0.5 - 0.25), (lambda step: 0.5, 3.0), (both, 4 - 0.25 - 0.5)):
        with Session(minimize(define(loss=w), "loss", sgd(rate)), backend) as session:
            session.run(None, update="train")
            session.run(None, update="train")
            assert session.variables["w"] == np.float32(wanted)
            assert session.variables["w"].dtype == np.float32


def test_records_print_as_they_are_written() -> None:
    assert repr(schedules.warm_up(schedules.cosine(0.1, 10), 5)) == (
        "WarmUp(schedule=Cosine(initial=0.1, steps=10, end=0.0), steps=5, start=0.0)"
    )
    assert repr(schedules.join({100: 0.5, 0: 1})) == (
        "Join(schedules={0: Constant(value=1.0), 100: Constant(value=0.5)})"
    )
    assert schedules.piecewise({0: 1, 5: 0.5}) == schedules.piecewise({5: 0.5, 0: 1.0})
    for ours, _ in PEERS.values():
        assert hash(ours) == hash(ours)
    assert "cosine" in dir(schedules) and "np" not in dir(schedules)


def test_a_rate_that_grows_is_inf_in_the_end() -> None:
    for schedule in (schedules.exponential(0.1, 2.0), schedules.step(0.1, 3.0, 1)):
        assert schedule(2**40) == np.inf


def test_whole_numbers_may_be_of_numpy() -> None:
    assert schedules.step(0.1, 0.5, np.int8(100)) == schedules.step(0.1, 0.5, 100)
    assert repr(schedules.warm_up(1, np.int32(3))) == repr(schedules.warm_up(1, 3))


WRONG: list[tuple[str, str, Any]] = [
    ("negative", "value of Constant is a finite number from 0", lambda: schedules.constant(-0.1)),
    ("nan", "initial of Cosine is a finite number from 0", lambda: schedules.cosine(float("nan"), 10)),
    ("text", "initial of Cosine", lambda: schedules.cosine("0.1", 10)),
    ("steps 0", "steps of Cosine is a whole number from 1", lambda: schedules.cosine(0.1, 0)),
    ("steps float", "steps of Polynomial is a whole number", lambda: schedules.polynomial(0.1, 0, 1.5)),
    ("steps bool", "steps of Cosine", lambda: schedules.cosine(0.1, True)),
    ("every", "every of Stairs", lambda: schedules.step(0.1, 0.5, -1)),
    ("factor", "factor of Exponential is a finite number above 0", lambda: schedules.exponential(0.1, 0)),
    ("multiplier", "multiplier of CosineRestarts is a finite number from 1",
        lambda: schedules.cosine_restarts(0.1, 10, multiplier=0.5)),
    ("rise", "rise of OneCycle is a number from 0 to 1", lambda: schedules.one_cycle(0.1, 10, rise=2)),
    ("shape", "'cosine' or 'linear'", lambda: schedules.one_cycle(0.1, 10, shape="square")),
    ("shapes", "'cosine' or 'linear'", lambda: schedules.one_cycle(0.1, 10, shape=np.ones(2))),
    ("a function's text", "gives a number or an expression, and the function <lambda> gave 'fast'",
        lambda: schedules.warm_up(lambda step: "fast", 3)(1)),
    ("a function's nothing", "gave None", lambda: schedules.join({0: 0.1, 3: lambda step: None})(4)),
    ("list", "a mapping from the steps", lambda: schedules.piecewise([0.1, 0.2])),
    ("tuple", "a mapping from the steps", lambda: schedules.piecewise((1, 2))),
    ("empty", "a mapping from the steps", lambda: schedules.join({})),
    ("first", "0 the first", lambda: schedules.join({1: 0.1})),
    ("below 0", "0 the first", lambda: schedules.piecewise({0: 0.1, -5: 0.2})),
    ("float step", "0 the first", lambda: schedules.piecewise({0: 0.1, 5.5: 0.2})),
    ("schedule in piecewise", "use join", lambda: schedules.piecewise({0: schedules.constant(0.1)})),
    ("part", "made of numbers from 0 and of schedules", lambda: schedules.warm_up("x", 5)),
    ("part below 0", "made of numbers from 0", lambda: schedules.join({0: -1.0})),
    ("step", "a step is a whole number from 0, and -1 is none", lambda: schedules.constant(0.1)(-1)),
    ("step float", "a step is a whole number", lambda: schedules.constant(0.1)(0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("match", "act"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_cannot_be_is_said(match: str, act: Any) -> None:
    with pytest.raises(SymgraphError, match=match) as caught:
        act()
    assert isinstance(caught.value, GraphError) and (caught.value.hint or "join" in match)
