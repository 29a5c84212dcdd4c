"""How networks learn: the naive update, descents, optimizers and overfitting show what they are to show."""

import json
from itertools import pairwise

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import classifier, cli, descent, mnist_dense, study

BACKENDS = ["numpy", "llvm"]
QUICK = cli.Settings(backend="llvm", dtype="float32")


@pytest.fixture(scope="module")
def digits():
    whole = sg.data.digits()
    return attrs.evolve(whole, train=whole.train[:600], test=whole.test[:100])


def small(dtype="float32", units=512):
    return mnist_dense.declare(dtype, min(units, 32))


# The naive update.


def test_the_naive_update_takes_the_best_of_three_places():
    def loss(weights):
        return float(((weights["a"] - 0.3) ** 2).sum() + abs(weights["b"][0] + 1))

    weights = {"a": np.array([[0.0, 1.0], [0.31, 0.3]]), "b": np.array([-1.0])}
    kept = {name: value.copy() for name, value in weights.items()}
    found, evaluations = descent.naive_update(loss, weights, 0.25)
    np.testing.assert_allclose(found["a"], [[0.25, 0.75], [0.31, 0.3]])
    np.testing.assert_allclose(found["b"], [-1])
    assert evaluations == 3 * 5
    for name, value in kept.items():  # the weights that were given stay
        np.testing.assert_array_equal(weights[name], value)


def test_the_naive_update_never_climbs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)

    def loss(weights):
        return float(((np.tanh(x @ weights["w"]) - y) ** 2).mean())

    weights, losses = {"w": rng.normal(size=3)}, []
    for _ in range(20):
        losses.append(loss(weights))
        weights, _ = descent.naive_update(loss, weights, 0.05)
    assert all(after <= before for before, after in pairwise(losses))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_backpropagation_comes_further_with_as_many_passes(backend):
    naive, back = descent.ways(cli.Settings(backend=backend), updates=20, units=8)
    weights = 2 * 8 + 8 + 8 * 2 + 2
    assert (naive.passes, back.passes) == (3 * weights, 2)
    assert naive.row["passes"] == back.row["passes"] == 20 * 3 * weights
    assert naive.losses[0] == pytest.approx(back.losses[0], rel=1e-12)
    assert back.losses[-1] < 0.5 * naive.losses[-1]
    assert naive.losses[-1] < naive.losses[0]
    assert naive.curve[0][-1] == back.curve[0][-1]


# The plane of two weights.


def test_the_loss_of_the_plane_is_that_of_the_graph():
    found = descent.paths(cli.Settings(backend="numpy"), steps=3)
    batch = found["batch"]
    x, y = descent.plane_points()
    w = np.array(descent.START)
    for step in range(4):
        np.testing.assert_allclose(batch[step], w, rtol=1e-12)
        np.testing.assert_allclose(descent.plane_loss(w[None])[0], np.mean((x @ w - y) ** 2), rtol=1e-12)
        w = w - 0.1 * 2 / len(x) * x.T @ (x @ w - y)


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_paths_lead_down(backend):
    found = descent.paths(cli.Settings(backend=backend))
    assert tuple(found) == tuple(descent.PLANE)
    losses = {name: descent.plane_loss(path) for name, path in found.items()}
    for name, path in found.items():
        assert path.shape == (descent.PATH_STEPS + 1, 2)
        np.testing.assert_array_equal(path[0], descent.START)
        assert losses[name][-1] < 0.1 * losses[name][0], name
    assert (np.diff(losses["batch"]) < 0).all()  # all the examples: each step goes down
    climbs = {name: int((np.diff(losses[name]) > 0).sum()) for name in ("mini-batch", "stochastic")}
    assert climbs["mini-batch"] > 0
    assert climbs["stochastic"] > 20
    spread = {name: found[name][-40:].std(axis=0).max() for name in ("mini-batch", "stochastic")}
    assert spread["mini-batch"] < spread["stochastic"]


def test_the_picture_of_the_paths_has_them_all():
    figure = descent.paths_picture(descent.paths(cli.Settings(backend="numpy"), steps=2))
    told = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]
    assert told[0] == ["batch", "stochastic", "mini-batch"]
    assert {*told[0], *told[1]} == set(descent.PLANE)


# Networks.


def test_smaller_steps_of_more_come_further_in_an_epoch(digits):
    found = descent.descents(small, digits, QUICK, epochs=2)
    steps = {name: len(history.losses) for name, history in found.items()}
    assert steps == {"batch": 2, "mini-batch": 2 * 19, "stochastic": 2 * 600}
    last = {name: history["val_loss"][-1] for name, history in found.items()}
    assert last["batch"] > last["mini-batch"] > last["stochastic"]


def test_the_optimizers_start_from_the_same_weights(digits):
    found = descent.optimizers(small, digits, QUICK, epochs=4)
    assert set(found) == set(classifier.OPTIMIZERS) == set(descent.RATES)
    assert len({history.losses[0] for history in found.values()}) == 1
    for name, history in found.items():
        assert history["loss"][-1] < 0.95 * history["loss"][0], name


def test_the_optimizers_make_200_steps_by_default(digits, monkeypatch):
    monkeypatch.setattr(classifier, "OPTIMIZERS", {"sgd": sg.train.sgd})
    found = descent.optimizers(small, digits, QUICK)
    assert len(found["sgd"].losses) == 200
    assert len(found["sgd"]) == 40


def test_spoiled_labels_are_those_of_others():
    examples = sg.data.digits().train[:500]
    found = descent.spoiled(examples, 0.2)
    np.testing.assert_array_equal(found.x, examples.x)
    np.testing.assert_array_equal(np.bincount(found.y), np.bincount(examples.y))
    assert 0.15 < np.mean(found.y != examples.y) <= 0.2


def test_overfitting_and_what_helps():
    found = descent.overfitting(mnist_dense.declare, sg.data.digits(), QUICK)
    plain = found["plain"]
    # A fifth of the labels is wrong: who has more than four fifths of them right has learned them by heart.
    assert plain["accuracy"][-1] > 0.85
    assert plain["val_accuracy"][-1] < max(plain["val_accuracy"]) - 0.03
    assert plain["val_loss"][-1] > 1.2 * min(plain["val_loss"])
    assert found["penalty"]["loss"][-1] > plain["loss"][-1]
    assert found["dropout"]["loss"][-1] > plain["loss"][-1]
    assert len({history.losses[0] for name, history in found.items() if name != "dropout"}) == 1
    assert len(found["stopped early"]) < len(plain)
    assert max(found[name]["val_accuracy"][-1] for name in ("penalty", "dropout")) > plain["val_accuracy"][-1]
    picture = descent.overfitting_picture(found)
    assert [axes.get_ylabel() for axes in picture.axes] == [
        "loss in training",
        "loss on test images",
        "accuracy on test images",
    ]
    assert [text.get_text() for text in picture.axes[1].get_legend().get_texts()] == list(found)


def test_dropout_is_for_training_alone():
    graph = descent.dropped(units=64)
    rng = np.random.default_rng(0)
    fed = {"x": rng.random((8, 784), np.float32), "y": rng.integers(0, 10, 8)}
    with sg.Session(graph, "numpy", seed=1) as session:
        w = session.variables.snapshot()
        training, evaluation = session.run(("logits", "evaluation/logits"), fed)
    names = {name.split("/")[-2] + "/" + name.split("/")[-1]: name for name in w if "/" in name}
    hidden = np.maximum(fed["x"] @ w[names["dense/w"]] + w[names["dense/b"]], 0)
    expected = hidden @ w[names["dense_1/w"]] + w[names["dense_1/b"]]
    np.testing.assert_allclose(evaluation, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(training - evaluation).max() > 0.01


# The program.


def test_the_parts_draw_and_print(digits, tmp_path, capsys, monkeypatch):
    few = attrs.evolve(digits, train=digits.train[:150], test=digits.test[:20])
    monkeypatch.setattr(sg.data, "digits", lambda: few)
    monkeypatch.setattr(descent, "_HEART_UNITS", 16)
    parts = ("naive", "paths", "descents", "optimizers", "overfitting")
    words = [word for part in parts for word in ("--only", part)]
    words += ["--dataset", "digits", "--epochs", "1", "--pictures", str(tmp_path), "--json"]
    assert study.main(mnist_dense.STUDY, words) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    found = json.loads(line, parse_constant=pytest.fail)
    assert tuple(found) == ("model", *parts)
    assert [row["run"] for row in found["optimizers"]["rows"]] == list(classifier.OPTIMIZERS)
    names = ("naive", "paths", "descents", "descents-time", "optimizers", "overfitting")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in names}
    assert captured.err.count("data            ") == 1  # they are loaded once for all parts
