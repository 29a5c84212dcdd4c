"""The talk's figures, and the networks against plain NumPy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import symgraph as sg
from models import cli, images, logistic_regression, logistic_regression_graph, one_hidden_layer
from symgraph.data import Dataset, Examples
from tests.models import reference

ROOT = Path(__file__).parents[2]
needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("SYMGRAPH_DATA", "/nowhere")) / "mnist").is_dir(),
    reason="needs MNIST itself: set SYMGRAPH_DATA to a folder that has mnist/ with its four files",
)


@pytest.fixture(scope="module")
def digits():
    return sg.data.digits()


@pytest.fixture(scope="module")
def mnist():
    return sg.data.mnist()


def trained(model, data, **options):
    return model.train(attrs.evolve(cli.Settings(used=model.used), **options), data)


@needs_mnist
@pytest.mark.parametrize("module", [logistic_regression, logistic_regression_graph])
def test_the_talks_figures(module, mnist):
    done = trained(module.MODEL, mnist)
    assert len(done.losses) == 60
    assert round(done.losses[0], 4) == 1.1942
    assert round(done.accuracy, 4) == 0.9899


def agree(data):
    by_hand = trained(logistic_regression.MODEL, data)
    found = trained(logistic_regression_graph.MODEL, data)
    losses, w, b = reference.logistic_regression(data.train.x, data.train.y)
    for done in (by_hand, found):
        np.testing.assert_allclose(done.losses, losses, rtol=0, atol=1e-12)
        np.testing.assert_allclose(done.weights["w"].ravel(), w, rtol=0, atol=1e-12)
        np.testing.assert_allclose(done.weights["b"], [b], rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_hand.losses, found.losses, rtol=0, atol=1e-12)
    for name in ("w", "b"):
        np.testing.assert_allclose(by_hand.weights[name], found.weights[name], rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_hand.outputs, found.outputs, rtol=0, atol=1e-9)
    assert by_hand.accuracy == found.accuracy


def hidden_layer_agrees(data):
    done = trained(one_hidden_layer.MODEL, data)
    losses, weights = reference.one_hidden_layer(data.train.x, data.train.y)
    np.testing.assert_allclose(done.losses, losses, rtol=0, atol=1e-10)
    assert done.weights.keys() == weights.keys()
    for name, value in weights.items():
        np.testing.assert_allclose(done.weights[name], value, rtol=0, atol=1e-10, err_msg=name)


def test_networks_one_and_two_agree(digits):
    agree(digits)


@needs_mnist
def test_networks_one_and_two_agree_on_mnist(mnist):
    agree(mnist)


def test_the_hidden_layer_is_the_transcription(digits):
    hidden_layer_agrees(digits)


@needs_mnist
def test_the_hidden_layer_is_the_transcription_on_mnist(mnist):
    hidden_layer_agrees(mnist)


def test_the_gradient_by_hand_is_that_of_jax(digits):
    def loss(w, b, x, y):
        return jnp.mean(jnp.logaddexp(0.0, (1 - 2 * y) * (x @ w + b)))

    with jax.enable_x64(True):
        x = images.features(digits.train.x[:100], "float64")
        y = images.targets(digits.train.y[:100], 2, "float64")
        weights = logistic_regression.initial()
        value, after = logistic_regression.step(weights, x, y, learning_rate=0.5)
        dw, db = jax.grad(loss, argnums=(0, 1))(weights["w"], weights["b"], x, y)
        np.testing.assert_allclose(value, loss(weights["w"], weights["b"], x, y), rtol=1e-13)
        np.testing.assert_allclose(after["w"], weights["w"] - 0.5 * np.asarray(dw), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(after["b"], weights["b"] - 0.5 * np.asarray(db), rtol=1e-12, atol=1e-15)


def test_the_graph_by_hand_is_the_graph_that_is_found(digits):
    x = images.features(digits.train.x[:50], "float64")
    y = images.targets(digits.train.y[:50], 2, "float64")
    after = []
    for module in (logistic_regression, logistic_regression_graph):
        with sg.Session(module.graph()) as session:
            loss = session.run("loss", {"x": x, "y": y}, update="train")
            after.append((loss, session.variables["w"], session.variables["b"]))
    for by_hand, found in zip(*after, strict=True):
        np.testing.assert_allclose(by_hand, found, rtol=0, atol=1e-14)


@pytest.mark.parametrize("module", [logistic_regression, logistic_regression_graph, one_hidden_layer])
def test_graph_is_pure_and_trains(module):
    graph = module.graph()
    assert graph == module.graph()
    assert sg.verify(graph) is graph
    assert dict(graph.update_group("train")).keys() == graph.variables.keys()
    assert sg.from_text(sg.to_text(graph)) == graph


def test_steps_and_operators_are_one_graph():
    x, y = sg.placeholder("x", ("batch", 784), "float64"), sg.placeholder("y", ("batch", 1), "float64")
    w, b = sg.variable("w", (784, 1), "float64", 0.01), sg.variable("b", (1,), "float64", 0.0)
    z = x @ w + b
    assert logistic_regression_graph.declare() == sg.define(
        loss=sg.mean(sg.sigmoid_cross_entropy(z, y)), logits=z
    )


def test_better_choices_learn_all_ten_digits(digits):
    options = {"initializer": "glorot", "classes": 10, "batch_size": 50, "used": None, "epochs": 5}
    better = trained(one_hidden_layer.MODEL, digits, **options)
    talk = trained(one_hidden_layer.MODEL, digits, **{**options, "initializer": "constant", "epochs": 3})
    assert better.accuracy >= 0.9
    assert talk.accuracy < 0.6  # units that start alike stay alike


@pytest.mark.heavy
@needs_mnist
def test_better_choices_on_mnist():
    words = ["--initializer", "glorot", "--classes", "10", "--batch-size", "50", "--epochs", "5", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "models.one_hidden_layer", *words],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["test_accuracy"] >= 0.965


def test_float32_follows_float64(digits):
    wide = trained(one_hidden_layer.MODEL, digits)
    narrow = trained(one_hidden_layer.MODEL, digits, dtype="float32")
    np.testing.assert_allclose(narrow.losses, wide.losses, rtol=1e-3)


def test_images_of_another_size_are_refused():
    part = Examples(np.zeros((4, 8, 8), "uint8"), np.zeros(4, "uint8"))
    with pytest.raises(sg.DataError, match="28x28"):
        images.checked(Dataset("small", part, part, "made up"))
