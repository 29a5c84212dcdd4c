"""The hard way: gradients by hand, functions approximated, digits learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgraph as sg
from models import cli, hard_way, study
from models.hard_way import FUNCTIONS

BACKENDS = ["numpy", "llvm"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5, 2), (7, 40, 4)])
def test_gradients_by_hand_are_ours(backend, sizes):
    apart = hard_way.gradients(cli.Settings(backend=backend, seed=sizes[0]), sizes)
    assert list(apart) == ["W0", "b0", "W1", "b1"]
    assert max(apart.values()) < 1e-12


def test_gradients_by_hand_are_those_of_jax():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    shapes = {"W0": (4, 3), "b0": (4, 1), "W1": (2, 4), "b1": (2, 1)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def loss(w):
        y_hat = w["W1"] @ jax.nn.sigmoid(w["W0"] @ x.T + w["b0"]) + w["b1"]
        return jnp.sum((y.T - y_hat) ** 2) / (2 * len(x))

    found = hard_way.by_hand(weights, x, y)
    with jax.enable_x64(True):
        for name, value in jax.grad(loss)(weights).items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-12, err_msg=name)


def test_the_network_is_the_formula():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(6, 3))

    def s(z):
        return 1 / (1 + np.exp(-z))

    with sg.Session(hard_way.declare((2, 5, 4, 3)), "interpreter", seed=1) as session:
        w = session.variables.snapshot()
        loss, y_hat = session.run(("loss", "y_hat"), {"x": x, "y": y})
    expected = w["W2"] @ s(w["W1"] @ s(w["W0"] @ x.T + w["b0"]) + w["b1"]) + w["b2"]
    np.testing.assert_allclose(y_hat, expected.T, rtol=1e-12)
    np.testing.assert_allclose(loss, np.sum((y - expected.T) ** 2) / (2 * 6), rtol=1e-12)


def test_a_grid_covers_the_square():
    for function in FUNCTIONS:
        known = function.grid(5)
        assert known["x"].shape == (5**function.variables, function.variables)
        assert (known["x"].min(), known["x"].max()) == (-1, 1)
        np.testing.assert_allclose(known["y"][:, 0], function.values(known["x"]))
    assert FUNCTIONS[1].grid(4, "float32")["y"].dtype == np.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_function_of_one_variable_comes_within_epsilon(backend):
    done = hard_way.approximate(FUNCTIONS[0], 16, cli.Settings(backend=backend), epochs=3000)
    assert done.error <= done.function.epsilon
    assert done.row["reached"] == "yes"


def test_more_units_come_nearer():
    few, more = (hard_way.approximate(FUNCTIONS[1], units, epochs=400) for units in (1, 12))
    assert more.error < 0.7 * few.error
    assert more.loss < 0.1 * few.loss
    assert few.row["reached"] == "no"


@pytest.mark.heavy
def test_a_function_of_two_variables_comes_within_epsilon():
    assert hard_way.approximate(FUNCTIONS[1], 32).error <= FUNCTIONS[1].epsilon


@pytest.mark.parametrize("backend", BACKENDS)
def test_digits_are_learned(backend):
    history, accuracy = hard_way.learn_digits(sg.data.digits(), cli.Settings(backend=backend), epochs=8)
    assert accuracy >= 0.88
    assert history.losses[-1] < 0.3 * history.losses[0]


def test_pictures_have_a_curve_a_network(tmp_path):
    found = [hard_way.approximate(f, units, epochs=2) for f in FUNCTIONS for units in (1, 2)]
    assert len(hard_way.errors_picture(found).axes[0].lines) == 2
    assert len(hard_way.function_picture(found[:2]).axes[0].lines) == 3
    assert [a.get_title() for a in hard_way.function_picture(found[2:]).axes][:3] == [
        "sin πx cos πy",
        "1 and 1 units",
        "2 and 2 units",
    ]


def test_the_program_prints_its_tables(tmp_path, capsys):
    words = ["--dataset", "digits", "--epochs", "2", "--units", "1", "2", "--pictures", str(tmp_path)]
    assert study.main(hard_way.STUDY, words) == 0
    out = capsys.readouterr().out
    for expected in ("gradient of J by", "2 x 2", "scikit-learn digits", "errors.png"):
        assert expected in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "errors.png",
        "function-1.png",
        "function-2.png",
    ]
