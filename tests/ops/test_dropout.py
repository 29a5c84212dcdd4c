"""Dropout: what is dropped, the mean, the gradient, and a step that trains and is resumed."""

import math

import numpy as np
import pytest

import symgraph as sg
from symgraph import random
from tests.ops.running import gradient_of

BACKENDS = ("interpreter", "numpy", "llvm")
KEY = random.key(11)


def value(expr, feeds, backend="numpy"):
    return np.asarray(sg.compile(sg.define(y=expr), backend=backend)(feeds)["y"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_stays(rate, backend):
    x = sg.placeholder("x", ("batch", 512))
    ones = np.ones((100, 512), np.float32)
    found = value(sg.dropout(x, rate, KEY), {"x": ones}, backend)
    kept = found != 0
    np.testing.assert_allclose(found[kept], 1 / (1 - rate), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 4 * math.sqrt(rate * (1 - rate) / ones.size)
    assert abs(found.mean() - 1) < 4 * math.sqrt(rate / (1 - rate) / ones.size)
    # No row and no column is favoured.
    assert abs(kept.mean(0) - (1 - rate)).max() < 5 * math.sqrt(rate * (1 - rate) / 100)
    assert abs(kept.mean(1) - (1 - rate)).max() < 5 * math.sqrt(rate * (1 - rate) / 512)


def test_the_mask_is_that_of_bernoulli_for_every_dtype():
    mask = value(random.bernoulli(KEY, 1 - 0.3, (7, 9)), {})
    for dtype in ("float32", "float64", "int32"):
        x = sg.placeholder("x", (7, 9), dtype)
        assert ((value(sg.dropout(x, 0.3, KEY), {"x": np.ones((7, 9), dtype)}) != 0) == mask).all()


def test_rate_0_is_the_tensor_itself():
    x = sg.placeholder("x", (3,))
    assert sg.dropout(x, 0.0, KEY) is x
    assert sg.dropout(x, 0, KEY) is x


def test_what_is_dropped_is_0_whatever_it_was():
    x = np.array([np.nan, np.inf] * 50, np.float32)
    found = value(sg.dropout(sg.placeholder("x", (100,)), 0.5, KEY), {"x": x})
    mask = value(random.bernoulli(KEY, 0.5, (100,)), {})
    np.testing.assert_array_equal(found, np.where(mask, x, 0))


def test_the_gradient_takes_the_same_mask():
    x = np.random.default_rng(0).normal(size=(4, 6))
    found, weights = gradient_of(lambda e: sg.dropout(e, 0.25, KEY), x, ("n", 6))
    mask = value(random.bernoulli(KEY, 0.75, (4, 6)), {})
    np.testing.assert_allclose(found, np.where(mask, weights / 0.75, 0))


def test_native_code_draws_the_mask_in_the_loop_that_uses_it():
    x, key = sg.placeholder("x", ("n", 64)), sg.placeholder("key", (2,), "int32")
    executable = sg.compile(sg.define(y=sg.tanh(sg.dropout(x, 0.5, key))), backend="llvm")
    kinds = [node.op.name for node in executable.graph.nodes]
    assert kinds.count("fused") == 1 and "threefry" not in kinds
    feeds = {"x": np.ones((30, 64), np.float32), "key": np.array([1, 2], np.int32)}
    executable(feeds)
    plan = executable.memory_plan(n=30)
    assert plan.peak <= 256, plan  # neither bits nor mask nor counters lie in memory


# In training


def network():
    """One dropped layer, trained; its key is a variable that the update group "state" moves on."""
    x, y = sg.placeholder("x", ("batch", 6)), sg.placeholder("y", ("batch", 1))
    key = sg.variable("key", (2,), "int32", init=sg.init.random_key)
    keys = random.split(key)
    w, v = (
        sg.variable("w", (6, 16), init=sg.init.glorot_uniform),
        sg.variable("v", (16, 1), init=sg.init.glorot_uniform),
    )
    hidden = sg.dropout(sg.relu(x @ w), 0.5, keys[1])
    loss = sg.mean(sg.squared_error(hidden @ v, y))
    graph = sg.define({"loss": loss, "hidden": hidden}, updates={"state": {key: keys[0]}})
    return sg.train.minimize(graph, "loss", sg.train.sgd(0.05))


def feeds():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 6)).astype(np.float32)
    return {"x": x, "y": x[:, :1] * 2}


def both(session):
    return session.run(("loss", "hidden"), feeds(), update=("train", "state"))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_each_step_has_a_new_mask_and_a_run_resumes_exactly(backend, tmp_path):
    graph = network()
    with sg.Session(graph, backend=backend, seed=5) as session:
        first = [both(session) for _ in range(3)]
        session.save(tmp_path / "half.safetensors")
        rest = [both(session) for _ in range(4)]
        end = session.variables.snapshot()
    masks = [(hidden != 0).tobytes() for _, hidden in first + rest]
    assert len(set(masks)) == len(masks)
    with sg.Session(graph, backend=backend, seed=99) as again:
        assert not np.array_equal(again.variables["key"], end["key"])
        again.restore(tmp_path / "half.safetensors")
        resumed = [both(again) for _ in range(4)]
        for (loss, hidden), (wanted, mask) in zip(resumed, rest, strict=True):
            assert np.asarray(loss).tobytes() == np.asarray(wanted).tobytes()
            np.testing.assert_array_equal(hidden, mask)
        for name, array in again.variables.snapshot().items():
            np.testing.assert_array_equal(array, end[name])


def test_the_masks_are_those_of_every_backend():
    graph = network()
    masks = []
    for backend in ("interpreter", "numpy", "llvm"):
        with sg.Session(graph, backend=backend, seed=5) as session:
            masks.append([both(session)[1] != 0 for _ in range(2)])
    for other in masks[1:]:
        np.testing.assert_array_equal(other, masks[0])


def test_a_random_key_goes_by_the_seed_and_the_name():
    a, b = (sg.variable(name, (2,), "int32", init=sg.init.random_key) for name in "ab")
    graph = sg.define(a=a, b=b)
    drawn = []
    for seed in (0, 0, 1):
        with sg.Session(graph, seed=seed) as session:
            drawn.append([session.variables[name].tolist() for name in "ab"])
    assert drawn[0] == drawn[1] and drawn[0] != drawn[2] and drawn[0][0] != drawn[0][1]
    text = str(graph)
    assert "random_key" in text and sg.from_text(text) == graph
