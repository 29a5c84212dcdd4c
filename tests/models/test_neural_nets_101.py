"""Neural nets 101: each experiment against NumPy or by what it must show."""

import numpy as np
import pytest

import symgraph as sg
from models import cli
from models import neural_nets_101 as nets

BACKENDS = ["numpy", "llvm"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_trained_line_is_the_one_in_closed_form(backend):
    found = nets.fitted_line(cli.Settings(backend=backend))
    x, y = nets.line()
    expected = np.linalg.lstsq(x, y, rcond=None)[0].ravel()
    np.testing.assert_allclose(found["closed form"], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["trained"], found["closed form"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["trained"], found["made with"], atol=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
def test_perceptrons_decide(backend):
    decided = nets.decisions(cli.Settings(backend=backend))
    weather, friends, station = (nets.INPUTS.T > 0).tolist()
    facts = np.array([weather, friends, station])
    expected = [
        facts[0],
        facts[0] | (facts[1] & facts[2]),
        facts.any(axis=0),
        facts.all(axis=0),
    ]
    np.testing.assert_array_equal(decided, np.stack(expected, axis=1))


def test_the_decisions_are_a_table_over_all_inputs():
    rows = nets.decision_rows(nets.decisions())
    assert len(rows) == 8
    assert list(rows[0]) == [*nets.FACTS, *nets.DECISIONS]
    assert list(rows[0].values()) == ["no"] * 3 + ["-"] * 4
    assert list(rows[7].values()) == ["yes"] * 3 + ["go"] * 4


@pytest.mark.parametrize("name", nets.DECISIONS)
def test_a_sigmoid_neuron_learns_each_decision(name):
    p, wanted = nets.learned_decision(name)
    np.testing.assert_array_equal(p > 0.5, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_activations_and_their_derivatives(backend):
    z = np.linspace(-3, 3, 13)
    s = 1 / (1 + np.exp(-z))
    expected = {
        "step": (z > 0, 0 * z),
        "linear": (z, z**0),
        "sigmoid": (s, s * (1 - s)),
        "tanh": (np.tanh(z), 1 - np.tanh(z) ** 2),
        "relu": (np.maximum(z, 0), z > 0),
        "softplus": (np.log1p(np.exp(z)), s),
    }
    found = nets.activation_values(z, cli.Settings(backend=backend))
    assert found.keys() == expected.keys()
    for name, pair in expected.items():
        for ours, theirs in zip(found[name], pair, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_descents_are_the_recurrences(backend):
    paths = nets.descents(cli.Settings(backend=backend), epochs=20)
    for name, mu in (("gradient descent", 0.0), ("momentum", 0.75)):
        w, v = np.array(nets.START), np.zeros(2)
        for at in paths[name]:
            np.testing.assert_allclose(at, w, rtol=1e-12, atol=1e-12)
            v = 0.035 * np.array([1.0, nets.STEEP]) * w + mu * v
            w = w - v


def test_momentum_is_down_first():
    paths = nets.descents()
    heights = {name: nets.height(path) for name, path in paths.items()}
    assert heights["gradient descent"][0] == heights["momentum"][0] == 75
    assert heights["momentum"][-1] < 1e-6 * heights["gradient descent"][-1]


DIFFERENTIATED = """\
graph(x: f64[3,4], y: f64[3,4], z: f64[3,4]) {
  %2: f64[3,4] = mul %x %y
  %4: f64[3,4] = add %2 %z
  %5: f64[] = sum %4 axes=(0, 1)
  %6: f64[] = constant 1.0
  %7: f64[3,4] = broadcast_to %6 shape=(3, 4)
  %8: f64[3,4] = mul %7 %y
  %9: f64[3,4] = mul %7 %x
  return a=%2, b=%4, c=%5, "d_c/d_x"=%8, "d_c/d_y"=%9, "d_c/d_z"=%7
}
"""


def test_the_gradients_of_the_symbols():
    derived = nets.differentiated(nets.graph())
    assert derived == sg.from_text(DIFFERENTIATED)
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 3, 4))
    with sg.Session(derived) as session:
        found = session.run(["c", "d_c/d_x", "d_c/d_y", "d_c/d_z"], {"x": x, "y": y, "z": z})
    for ours, theirs in zip(found, (np.sum(x * y + z), y, x, np.ones_like(z)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_the_network_has_layers_branches_and_losses():
    graph = nets.layers()
    outputs = dict(graph.outputs)
    assert {"digit", "digit_loss", "parity", "parity_loss", "loss", "evaluation/digit"} <= outputs.keys()
    assert {name for name, _ in graph.updates} == {"train", "state"}
    kinds = {name.split("/")[0].rstrip("_0123456789") for name in dict(graph.update_group("train"))}
    assert {"conv2d", "batch_norm", "dense", "parallel", "digit", "parity"} <= kinds
    x = np.random.default_rng(0).random((4, 28, 28, 1), "float32")
    feeds = {"x": x, "y": np.arange(4), "even": np.array([[1], [0], [1], [0]], "float32")}
    with sg.Session(graph, "interpreter") as session:
        loss, digit, parity = session.run(("loss", "digit_loss", "parity_loss"), feeds)
        assert session.run("evaluation/digit", {"x": x}).shape == (4, 10)
    np.testing.assert_allclose(loss, digit + 0.5 * parity, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_network_learns_both_answers(backend):
    found = nets.learn_layers(sg.data.digits(), cli.Settings(backend=backend, dtype="float32"), epochs=2)
    assert found["which digit"] >= 0.8
    assert found["even or odd"] >= 0.8
