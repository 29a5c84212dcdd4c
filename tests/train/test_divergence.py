"""Divergence: the step, the first node that is not finite, its line, and the weights from before."""

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.train import fit, sgd
from tests.train.networks import bits

BACKENDS = ["interpreter", "numpy", "llvm"]
SQUARED = "squared = (x @ w - y) ** 2"


def regression(rate: float) -> sg.Graph:
    x, y = sg.placeholder("x", ("batch", 3)), sg.placeholder("y", ("batch",))
    w = sg.variable("w", (3,), init=0.5)
    squared = (x @ w - y) ** 2
    return sg.train.minimize(sg.define(loss=sg.mean(squared)), "loss", sgd(rate))


def data(count: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "x": rng.normal(size=(count, 3)).astype(np.float32),
        "y": rng.normal(size=count).astype(np.float32),
    }


def diverge(session: sg.Session, train: Any, **options: Any) -> sg.DivergenceError:
    with pytest.raises(sg.DivergenceError) as caught:
        fit(session, train, quiet=True, **{"batch_size": 10, "shuffle": False, **options})
    return caught.value


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_learning_rate_that_is_too_large_names_the_step_and_the_node(backend: str) -> None:
    graph = regression(1e4)
    with sg.Session(graph, backend) as session:
        error = diverge(session, data(), epochs=50)
        weights, step = session.variables["w"], session.step
        assert np.isfinite(weights).all() and np.abs(weights).max() > 1e6
        loss = session.run("loss", {n: a[10 * step % 40 :][:10] for n, a in data().items()})
    assert not np.isfinite(loss)
    assert error.message == f"'loss' became {loss} at step {step + 1}, in epoch {step // 4 + 1}"
    assert SQUARED in str(error), "the line"
    square = next(n for n in graph.nodes if n.op.name in ("square", "pow", "mul") and n.type.rank == 1)
    assert f"the first that is not finite is %{square.id} ({square.op.name} of " in str(error)
    assert "are not finite, the first at [" in str(error) and "its operand %" in str(error)
    # The same steps by hand end at the same weights.
    with sg.Session(graph, backend) as session:
        for number in range(step):
            batch = {n: a[10 * number % 40 :][:10] for n, a in data().items()}
            session.run(None, batch, update="train")
        np.testing.assert_array_equal(session.variables["w"], weights)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_that_is_not_finite_is_found_at_its_own_step(backend: str) -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", ())
    root = sg.sqrt(w * w * x)  # its derivative at 0 is 0/0
    graph = sg.train.minimize(sg.define(loss=sg.mean(root)), "loss", sgd(0.5))
    with sg.Session(graph, backend) as session:
        error = diverge(session, {"x": np.ones(40, np.float32)}, epochs=3)
        assert error.message == "the variable 'w' is not finite after step 1, in epoch 1"
        assert "it was noticed later: 'loss' became nan at step 2, in epoch 1" in str(error)
        assert "root = sg.sqrt(w * w * x)" in str(error) and "the first that is not finite is %" in str(error)
        assert session.variables["w"] == 0 and session.step == 0


def quiet_growth() -> sg.Graph:
    """A variable that grows out of the finite numbers at step 6, and a loss in which that does not show."""
    x, w, v = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=1.0), sg.variable("v", (), init=1.0)
    return sg.define({"loss": sg.mean(x * w)}, updates={"train": {w: w + 1.0, v: v * 1e7}})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stream", [False, True])
def test_weights_that_leave_while_the_loss_is_finite_are_found_at_their_step(
    backend: str, stream: bool
) -> None:
    rows = {"x": np.ones(8, np.float32)}
    with sg.Session(quiet_growth(), backend) as session:
        session.run(None, update="train")  # steps from before count for the session alone
        session.variables.assign({"w": 1.0, "v": 1.0})
        data = (lambda epoch: iter([rows] * 5)) if stream else {"x": np.ones(40, np.float32)}
        error = diverge(session, data, batch_size=8, epochs=3, outputs="loss")
        assert error.message == "the variable 'v' is not finite after step 6, in epoch 2"
        assert "it was noticed later: the variable 'v' is not finite after step 10" in str(error)
        assert "{w: w + 1.0, v: v * 1e7}" in str(error)
        assert session.variables["v"] == np.float32(1e7) ** 5 and session.variables["w"] == 6
        assert session.step == 6


def test_steps_that_cannot_be_done_again_leave_the_last_finite_weights() -> None:
    rows = {"x": np.ones(8, np.float32)}
    with sg.Session(quiet_growth(), "numpy") as session:
        error = diverge(session, iter([rows] * 9))
        assert error.message == "the variable 'v' is not finite after step 9, in epoch 1"
        assert "'v' was not finite any more when the step began" in str(error)
        assert "it is updated by %" in str(error) and "v * 1e7" in str(error)
        assert "The variables are those that were last seen to be finite." in str(error)
        assert session.variables["v"] == 1 and session.variables["w"] == 1 and session.step == 0


def test_a_variable_that_is_nan_from_the_start_is_named() -> None:
    with sg.Session(regression(0.1), "numpy") as session:
        session.variables.assign("w", np.array([1, np.nan, 2], np.float32))
        error = diverge(session, data())
        assert error.message == "'loss' became nan at step 1, in epoch 1"
        assert "the variable 'w' was not finite when training began: 1 of 3 are not finite" in str(error)
        assert "session.variables.assign('w', value)" in error.hint and 'sg.variable("w"' in str(error)


def test_weights_that_a_callback_spoils_are_no_fault_of_a_step() -> None:
    def spoil(now: Any, session: sg.Session) -> None:
        if now.step == 2:
            session.variables.assign("w", np.float32(np.nan))

    with sg.Session(quiet_growth(), "numpy") as session:
        callbacks = [sg.train.LambdaCallback(on_step=spoil)]
        error = diverge(session, {"x": np.ones(40, np.float32)}, callbacks=callbacks)
        assert error.message == "'loss' became nan at step 3, in epoch 1"
        assert "'w' was not finite any more when the step began" in str(error)
        assert session.variables["w"] == 1 and session.step == 0


def test_weights_that_leave_at_the_last_step_of_an_epoch_are_seen_and_taken_back(tmp_path: Any) -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", ())
    root = sg.sqrt(w * w * x)
    graph = sg.train.minimize(sg.define(loss=sg.mean(root)), "loss", sgd(0.5))
    with sg.Session(graph, "numpy") as session:
        before = bits(session)
        error = diverge(
            session, {"x": np.ones(40, np.float32)}, batch_size=40, checkpoint=tmp_path / "run.safetensors"
        )
        assert error.message == "the variable 'w' is not finite after step 1, in epoch 1"
        assert "root = sg.sqrt(w * w * x)" in str(error) and "the first that is not finite is %" in str(error)
        assert bits(session) == before and session.step == 0
    assert list(tmp_path.iterdir()) == [], "no checkpoint holds that"


def test_what_is_fed_is_named_where_it_was_not_checked() -> None:
    rows = data()
    rows["x"][27, 1] = np.inf
    with sg.Session(regression(0.01), "numpy") as session:
        error = diverge(session, rows, check_data=False)
        assert "at step 3" in error.message
        assert "what is fed for 'x' is not finite: 1 of 30 are not finite, the first at [7, 1]: inf" in str(
            error
        )


def test_an_infinite_constant_is_no_cause() -> None:
    x, w = sg.placeholder("x", ("batch", 3)), sg.variable("w", (3,), init=1.0)
    masked = sg.where(x > 0.0, x * w, -np.inf)
    shares = sg.softmax(masked)  # NaN where a whole row is masked
    graph = sg.train.minimize(sg.define(loss=sg.mean(shares[:, 0])), "loss", sgd(0.1))
    rows = np.abs(data()["x"])
    rows[0, 0] = -1.0  # masked in part, which is well
    with sg.Session(graph, "numpy") as session:
        assert len(fit(session, {"x": rows}, batch_size=10, shuffle=False, quiet=True)) == 1
        rows[25] = -1.0
        error = diverge(session, {"x": rows})
        assert "shares = sg.softmax(masked)" in str(error) and "softmax" in error.details[0]


def test_variables_that_are_infinite_from_the_start_are_let_be() -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=1.0)
    least = sg.variable("least", (), init=np.inf)
    loss = sg.mean((x * w) ** 2)
    graph = sg.define({"loss": loss}, updates={"state": {least: sg.minimum(least, loss)}})
    graph = sg.train.minimize(graph, "loss", sgd(0.0))
    with sg.Session(graph, "numpy") as session:
        fit(session, {"x": np.full(4, 2, np.float32)}, batch_size=2, quiet=True)
        assert session.variables["least"] == 4.0
    with sg.Session(
        sg.train.minimize(sg.define(loss=loss + 0 * least), "loss", sgd(0.0), "w"), "numpy"
    ) as session:
        error = diverge(session, {"x": np.full(4, 2, np.float32)}, batch_size=2)
        assert "'loss' became nan at step 1" in error.message
        assert "loss + 0 * least" in str(error) and "(mul of " in str(error)
