"""The networks for digits, mnist_dense and lenet, as a user meets them: figures, options, mistakes, resumption."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import classifier, images, lenet, mnist_dense, study
from symgraph.train import checkpoint as files

ROOT = Path(__file__).parents[2]
BACKENDS = ["numpy", "llvm"]
NETWORKS = [mnist_dense.NETWORK, lenet.NETWORK]
STUDIES = {"mnist_dense": mnist_dense.STUDY, "lenet": lenet.STUDY}
SMALL = ["--dataset", "digits", "--only", "network", "--epochs", "1"]
by_name = pytest.mark.parametrize("name", STUDIES)


def run(name, *words):
    return study.main(STUDIES[name], [*SMALL, *words])


WHOLE = sg.data.digits()


@pytest.fixture(autouse=True)
def loaded(monkeypatch):
    """The digits, which need not be made again for each test."""
    monkeypatch.setattr(sg.data, "digits", lambda: WHOLE)


@pytest.fixture
def few(loaded, monkeypatch):
    """200 of the digits: enough where the numbers do not matter."""
    monkeypatch.setattr(
        sg.data, "digits", lambda: attrs.evolve(WHOLE, train=WHOLE.train[:200], test=WHOLE.test[:50])
    )


# The networks.


def test_the_dense_network_has_the_lectures_parameters():
    found = sg.summary(mnist_dense.declare(), "logits", batch=1)
    assert [(layer.name, layer.parameters) for layer in found.layers] == [
        ("dense", 401_920),
        ("dense_1", 5_130),
    ]
    assert found.trainable.count == 407_050
    assert found.other.count == 0
    lines = str(found).splitlines()
    assert [line.split()[-2] for line in lines if line.startswith("dense")] == ["401,920", "5,130"]


def test_lenet_has_the_papers_shapes_and_parameters():
    found = sg.summary(lenet.declare(), "logits", batch=1)
    shapes = {layer.name: (layer.output, layer.parameters) for layer in found.layers}
    assert shapes == {
        "conv2d": ("f32[1,28,28,6]", 156),
        "max_pool2d": ("f32[1,14,14,6]", 0),
        "conv2d_1": ("f32[1,10,10,16]", 2_416),
        "max_pool2d_1": ("f32[1,5,5,16]", 0),
        "flatten": ("f32[1,400]", 0),
        "dense": ("f32[1,120]", 48_120),
        "dense_1": ("f32[1,84]", 10_164),
        "dense_2": ("f32[1,10]", 850),
    }
    assert found.trainable.count == 61_706


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_outputs_are_what_they_are_called(network):
    rng = np.random.default_rng(0)
    x, y = rng.random((5, *network.image)), rng.integers(0, 10, 5)
    with sg.Session(network.declare("float64"), "numpy", seed=1) as session:
        loss, logits, chances = session.run(("loss", "logits", "probabilities"), {"x": x, "y": y})
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(chances, shares, rtol=1e-12)
    np.testing.assert_allclose(loss, -np.log(shares[np.arange(5), y]).mean(), rtol=1e-12)


def test_the_dense_network_is_its_formula():
    rng = np.random.default_rng(0)
    x = rng.random((4, 784))
    with sg.Session(mnist_dense.declare("float64", 20), "interpreter", seed=2) as session:
        w = session.variables.snapshot()
        logits = session.run("logits", {"x": x})
    hidden = np.maximum(x @ w["dense/w"] + w["dense/b"], 0)
    np.testing.assert_allclose(logits, hidden @ w["dense_1/w"] + w["dense_1/b"], rtol=1e-12)


def test_batches_are_pixels_between_0_and_1():
    batch = sg.data.digits().train[:3]
    fed = images.prepared("float32", shape=(28, 28, 1))(batch)
    assert fed["x"].shape == (3, 28, 28, 1)
    assert (fed["x"].dtype, fed["y"].dtype) == (np.float32, np.int64)
    np.testing.assert_allclose(fed["x"][..., 0], batch.x / 255, rtol=1e-6)
    assert (fed["x"].min(), fed["x"].max()) == (0, 1)


@pytest.mark.parametrize("optimizer", classifier.OPTIMIZERS)
def test_each_optimizer_lowers_the_loss(optimizer):
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 784)).astype("float32"), rng.integers(0, 10, 40)
    small = attrs.evolve(mnist_dense.NETWORK, declare=lambda dtype: mnist_dense.declare(dtype, 16))
    rate = {"sgd": 0.1, "lars": 1.0}.get(optimizer, 0.005)
    with sg.Session(small.graph(optimizer, rate), "numpy") as session:
        step = session.prepare("loss", ("x", "y"), update="train")
        losses = [float(step(x, y)) for _ in range(10)]
    assert losses[-1] < losses[0]


# The programs.


@pytest.mark.parametrize(
    ("name", "backend", "epochs", "least"),
    [
        ("mnist_dense", "numpy", "3", 0.85),
        ("mnist_dense", "llvm", "3", 0.85),
        ("lenet", "numpy", "1", 0.5),
        ("lenet", "llvm", "2", 0.8),
    ],
)
def test_digits_are_learned(name, epochs, least, backend, capsys):
    assert run(name, "--epochs", epochs, "--backend", backend, "--batch-size", "32", "--json") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    found = json.loads(captured.out, parse_constant=pytest.fail)
    assert tuple(found) == ("model", "network")
    row = found["network"]
    assert (row["network"], row["data"], row["epochs"]) == (name, "scikit-learn digits", int(epochs))
    assert row["test accuracy"] >= least
    assert row["history"]["val_accuracy"][-1] == pytest.approx(row["test accuracy"])
    assert len(row["history"]["losses"]) == int(epochs) * -(-1500 // 32)
    assert row["history"]["losses"][-1] < 0.6 * row["history"]["losses"][0]
    assert "f32[batch,10]" in captured.err


@pytest.mark.usefixtures("few")
@by_name
def test_a_run_prints_its_summary_and_draws_its_pictures(name, tmp_path, capsys):
    chart = tmp_path / "loss.svg"
    assert run(name, "--pictures", str(tmp_path), "--plot", str(chart)) == 0
    out = capsys.readouterr().out
    assert {"mnist_dense": "407,050", "lenet": "61,706"}[name] in out
    assert re.search(r"epoch 1/1  loss \d.*val_accuracy 0\.\d", out)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {"loss.svg", *(f"{name}-{what}.png" for what in ("curves", "confusion", "wrong"))}
    assert all(str(tmp_path / file) in out for file in drawn)
    assert "<svg" in chart.read_text()


@pytest.mark.usefixtures("few")
def test_quiet_leaves_the_result(capsys):
    assert run("mnist_dense", "--quiet") == 0
    out = capsys.readouterr().out
    assert "epoch 1/1" not in out
    assert "407,050" not in out
    assert "test accuracy" in out


@pytest.mark.usefixtures("few")
@by_name
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_resumed_run_equals_an_uninterrupted_one(name, backend, tmp_path, capsys):
    whole, first, resumed = (str(tmp_path / each) for each in ("whole", "first", "resumed"))
    words = ["--backend", backend, "--seed", "3", "--json", "--batch-size", "64"]
    assert run(name, *words, "--epochs", "3", "--checkpoint", whole) == 0
    assert run(name, *words, "--epochs", "1", "--checkpoint", first) == 0
    assert run(name, *words, "--epochs", "3", "--checkpoint", resumed, "--resume", first) == 0
    once, _, again = (json.loads(line)["network"] for line in capsys.readouterr().out.splitlines())
    for found in (once, again):
        del found["history"]["seconds"], found["seconds"]
    assert once == again
    before, after = files.read(whole), files.read(resumed)
    assert before.tensors.keys() == after.tensors.keys()
    for key, value in before.tensors.items():
        assert value.tobytes() == after.tensors[key].tobytes()


@pytest.mark.usefixtures("few")
def test_a_run_that_is_whole_has_nothing_left_to_train(tmp_path, capsys):
    path = str(tmp_path / "whole")
    assert run("mnist_dense", "--checkpoint", path, "--json") == 0
    assert run("mnist_dense", "--resume", path, "--json") == 0
    first, second = (json.loads(line)["network"] for line in capsys.readouterr().out.splitlines())
    assert first == second


@pytest.mark.parametrize("name", ["mnist_dense"])
def test_ctrl_c_leaves_a_checkpoint_and_the_command_that_goes_on(name, tmp_path):
    path = tmp_path / "a checkpoint"
    words = ["--dataset", "digits", "--only", "network", "--epochs", "100000", "--checkpoint", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", f"models.{name}", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"saved to {path}" in out
    assert "fit(" not in out + err
    # The command that is told goes on from there.
    command = re.search(rf"stopped; resume with: python -m models\.{name} (.*)", err)[1]
    assert command.startswith("--dataset digits --only network")
    assert command.endswith(f"--resume '{path}'")
    steps = files.read(path).step
    assert steps >= 12
    words[words.index("100000")] = str(-(-steps // 12) + 1)
    assert study.main(STUDIES[name], [*words, "--resume", str(path), "--quiet"]) == 0
    assert files.read(path).step == 12 * (-(-steps // 12) + 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "stopped; nothing was saved, since there was no --checkpoint"),
        (["--checkpoint", "{}/run"], "stopped; resume with: python -m models.mnist_dense"),
    ],
)
@pytest.mark.usefixtures("few")
def test_ctrl_c_says_whether_there_is_a_way_on(words, said, tmp_path, capsys, monkeypatch):
    def stopped(*args, **kwargs):
        if words:
            (tmp_path / "run").touch()
        raise sg.train.Interrupted("stopped after step 1", sg.train.History())

    monkeypatch.setattr(sg.train, "fit", stopped)
    assert run("mnist_dense", *(word.format(tmp_path) for word in words)) == 130
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("few")
def test_ctrl_c_before_there_is_a_checkpoint(tmp_path, capsys, monkeypatch):
    def stopped(*args, **kwargs):
        raise sg.train.Interrupted("stopped after step 1", sg.train.History())

    monkeypatch.setattr(sg.train, "fit", stopped)
    words = ["--dataset", "digits", "--only", "descents", "--checkpoint", str(tmp_path / "run")]
    assert study.main(mnist_dense.STUDY, words) == 130
    assert "nothing was saved" in capsys.readouterr().err


# Mistakes.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-size", "5000"], "batch_size is 5000, and train has 1500 examples"),
        (["--plot", "no/such/folder/loss.png"], "--plot no/such/folder/loss.png cannot be written"),
        (["--plot", "loss.abacus"], "loss.abacus"),
        (["--checkpoint", "no/such/folder/run"], "--checkpoint no/such/folder/run cannot be written"),
        (["--checkpoint", "models"], "it is a folder"),
        (["--resume", "no-such-file"], "no-such-file cannot be read"),
        (["--resume", "pyproject.toml"], "pyproject.toml is damaged"),
        (["--backend", "abacus"], "there is no backend 'abacus'"),
        (["--data", "models"], "--dataset digits comes with scikit-learn, and takes no --data"),
        (["--learning-rate", "1e30"], "step 2, in epoch 1"),
    ],
)
@by_name
def test_a_mistake_is_one_message(name, words, said, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert run(name, *words, "--quiet") == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith(f"python -m models.{name}: error: ")
    assert "Traceback" not in captured.err
    assert "test accuracy" not in captured.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--optimizer", "downhill"], "invalid choice: 'downhill'"),
        (["--batch-size", "0"], "'0' is no whole number from 1"),
        (["--batch-size", "-3"], "'-3' is no whole number from 1"),
        (["--batch-size", "many"], "'many' is no whole number from 1"),
        (["--learning-rate", "-1"], "'-1' is no number from 0"),
        (["--learning-rate", "nan"], "'nan' is no number from 0"),
        (["--epochs", "0"], "'0' is no whole number from 1"),
        (["--dtype", "int32"], "invalid choice: 'int32'"),
    ],
)
@by_name
def test_a_wrong_option_is_one_message(name, words, said, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(name, *words)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("few")
def test_the_checkpoint_of_another_network_is_refused(tmp_path, capsys):
    path = str(tmp_path / "run")
    assert run("mnist_dense", "--checkpoint", path, "--backend", "numpy") == 0
    before = Path(path).read_bytes()
    capsys.readouterr()
    for name, words in {"lenet": [], "mnist_dense": ["--optimizer", "adam"]}.items():
        assert run(name, "--resume", path, "--epochs", "2", *words) == 2
        captured = capsys.readouterr()
        assert path in captured.err
        assert "Traceback" not in captured.err
    assert Path(path).read_bytes() == before


@by_name
def test_the_help_tells_what_is_so(name, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(name, "--help")
    assert exit_.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "default: float32" in told
    assert "in the talk" not in told
    assert "examples in a batch; default: 128" in told
