"""XOR from scratch: the slides' numbers, the loss against plain NumPy, and what the runs must reach."""

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import cli, xor_mlp
from models.xor_mlp import Run

BACKENDS = ["numpy", "llvm"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.fixture(scope="module", params=BACKENDS)
def worked(request):
    return xor_mlp.worked_example(cli.Settings(backend=request.param))


# As they stand on the slides, to eight digits.
@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("h1", [[0.19626223, 0.71301043, 0.48867814]]),
        ("h2", [[0.37166596, 0.45414264]]),
        ("dW2", [[-0.02879856, 0.02209533], [-0.10462365, 0.08027117], [-0.07170623, 0.0550157]]),
        ("new W2", [[-0.41488852, -0.30995026], [-0.31573451, -0.27714495], [-0.44694491, 0.15225557]]),
        ("dLoss/dh1", [[0.02599101, 0.01515256, 0.08274025]]),
    ],
)
def test_the_worked_example_is_the_slides(worked, name, digits):
    np.testing.assert_allclose(worked[name], digits, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(xor_mlp.SLIDES[name], digits)


def test_differences_decide_for_our_dw1(worked):
    differences = worked["dW1, differences"]
    np.testing.assert_allclose(worked["dW1"], differences, rtol=0, atol=1e-9)
    np.testing.assert_allclose(worked["dW1, slides"], differences, rtol=0, atol=1e-8)
    # With (y - h2) in place of -(y - h2) it is the opposite, which differences reject.
    assert np.abs(worked["dW1, sign lost"] - differences).max() > 0.07


def test_the_points_are_those_of_the_slides():
    x, y = xor_mlp.points()
    assert (x.shape, y.shape) == ((300, 2), (300, 2))
    np.testing.assert_allclose(x[0], [1.76405235, 0.40015721], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(y[0], [1, 0])
    np.testing.assert_array_equal(y[:, 1], x[:, 0] * x[:, 1] < 0)
    assert xor_mlp.points(seed=1)[0][0, 0] != x[0, 0]


@pytest.mark.parametrize("run", [Run(3, 0.5), Run(4, 0.0, biases=False)])
def test_the_loss_is_the_formula(run):
    x, y = xor_mlp.points(20)
    with sg.Session(xor_mlp.declare(run), "interpreter", seed=3) as session:
        w = session.variables.snapshot()
        found = session.run(("loss", "h1", "h2"), {"x": x, "y": y})
    h1 = sigmoid(x @ w["W1"] + w.get("b1", 0))
    h2 = sigmoid(h1 @ w["W2"] + w.get("b2", 0))
    squares = sum(np.sum(w[name] ** 2) for name in ("W1", "W2"))
    expected = np.sum((y - h2) ** 2) / 40 + run.penalty / 40 * squares
    for ours, theirs in zip(found, (expected, h1, h2), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_without_biases_a_point_and_its_mirror_image_are_told_apart():
    x, _ = xor_mlp.points(50)
    logit = {}
    with sg.Session(xor_mlp.declare(Run(50, biases=False)), "interpreter") as session:
        for sign in (1, -1):
            h2 = session.run("h2", {"x": sign * x})
            logit[sign] = np.log(h2 / (1 - h2))
    sums = logit[1] + logit[-1]
    np.testing.assert_allclose(sums, np.broadcast_to(sums[0], sums.shape), atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fifty_units_part_the_points(backend):
    done = xor_mlp.train(Run(50, 1e-6), cli.Settings(backend=backend), epochs=1000)
    assert done.accuracy >= 0.98
    assert done.fresh >= 0.93
    assert sorted(done.moments) == [0, 10, 100, 1000]
    assert len(done.losses) == 1000
    assert done.losses[-1] < 0.1 * done.losses[0]


def test_the_penalty_makes_weights_smaller():
    squares = [xor_mlp.train(Run(10, penalty), epochs=200).row["sum of W^2"] for penalty in (0.0, 1e-4, 10.0)]
    assert squares[0] > squares[1] > squares[2]


def test_backends_and_dtypes_agree():
    first = cli.Settings(backend="numpy")
    wanted = xor_mlp.train(Run(5), first, epochs=50)
    for other, tolerance in (
        (attrs.evolve(first, backend="llvm"), 1e-12),
        (attrs.evolve(first, dtype="float32"), 1e-4),
    ):
        found = xor_mlp.train(Run(5), other, epochs=50)
        np.testing.assert_allclose(found.losses, wanted.losses, rtol=tolerance)


def test_boundaries_show_each_moment(monkeypatch):
    monkeypatch.setattr(xor_mlp, "RESOLUTION", 15)
    done = xor_mlp.train(Run(3), epochs=30)
    titles = [axes.get_title() for axes in xor_mlp.boundaries(done).axes]
    assert titles == ["after 0 epochs", "after 1 epochs", "after 3 epochs", "after 30 epochs"]


def test_few_epochs_are_no_trouble():
    assert sorted(xor_mlp.train(Run(3), epochs=1).moments) == [0, 1]
