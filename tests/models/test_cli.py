"""The programs as a user meets them: output, checkpoints, Ctrl-C, and what they say about mistakes."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import (
    cli,
    images,
    logistic_regression,
    logistic_regression_graph,
    one_hidden_layer,
    study,
    talk,
    training,
)
from symgraph.train import checkpoint as files

ROOT = Path(__file__).parents[2]
MODELS = [logistic_regression.MODEL, logistic_regression_graph.MODEL, one_hidden_layer.MODEL]
ON_DIGITS = ["--dataset", "digits"]
# No MNIST anywhere and no way out: a proxy that nothing listens on.
OFFLINE = {"SYMGRAPH_DATA": "", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def run(model, *words):
    return training.main(model, [*ON_DIGITS, *words])


def result_of(captured):
    return json.loads(captured.out.splitlines()[-1])


def losses_of(saved):
    """The losses that a checkpoint holds: of fit, or of the network by hand."""
    (losses,) = (array for name, array in saved.arrays.items() if name in ("fit/outputs/0", "losses"))
    return losses.tolist()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_run_prints_data_progress_and_result(model, capsys):
    assert run(model) == 0
    out = capsys.readouterr().out
    assert "scikit-learn's 1,797 handwritten digits" in out
    assert re.search(r"epoch 1/1  loss \d\.\d+  [\d,]+ examples/s", out)
    assert re.search(r"test accuracy   0\.\d{4} on scikit-learn digits", out)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_json_is_the_one_line_on_stdout(model, capsys):
    assert run(model, "--json", "--epochs", "2") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    result = result_of(captured)
    names = ("model", "dataset", "train_loss", "test_accuracy", "seconds", "compile_seconds")
    assert tuple(result) == names
    assert result["model"] == model.name
    assert len(result["train_loss"]) == 120
    assert 0 <= result["test_accuracy"] <= 1
    assert "epoch 2/2  loss" in captured.err


def test_quiet_leaves_the_result(capsys):
    assert run(MODELS[1], "--quiet") == 0
    out = capsys.readouterr().out
    assert "epoch 1/" not in out
    assert "test accuracy" in out


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("extra", [[], ["--shuffle", "--seed", "3"]], ids=["in order", "shuffled"])
def test_a_resumed_run_equals_an_uninterrupted_one(model, extra, tmp_path, capsys):
    first, whole, resumed = (str(tmp_path / name) for name in ("first", "whole", "resumed"))
    words = ["--json", "--batch-size", "400", *extra]
    assert run(model, *words, "--epochs", "1", "--checkpoint", first) == 0
    assert run(model, *words, "--epochs", "3", "--checkpoint", whole) == 0
    expected = result_of(capsys.readouterr())
    assert run(model, *words, "--epochs", "3", "--checkpoint", resumed, "--resume", first) == 0
    found = result_of(capsys.readouterr())
    assert found["train_loss"] == expected["train_loss"]
    assert found["test_accuracy"] == expected["test_accuracy"]
    before, after = files.read(whole), files.read(resumed)
    assert (before.step, before.position, before.fingerprint) == (
        after.step,
        after.position,
        after.fingerprint,
    )
    assert losses_of(before) == losses_of(after) == expected["train_loss"]
    assert before.tensors.keys() == after.tensors.keys()
    for name, value in before.tensors.items():
        assert value.tobytes() == after.tensors[name].tobytes()


@pytest.mark.parametrize("model", [MODELS[0], MODELS[2]], ids=lambda model: model.name)
def test_stopped_between_steps_and_resumed_is_the_same_run(model, tmp_path, monkeypatch):
    data, settings = sg.data.digits(), cli.Settings(batch_size=100, epochs=3)
    whole, path = model.train(settings, data), tmp_path / "stopped"
    features = images.features

    def interrupted(at):
        """Ctrl-C while a batch is made."""
        batch = count(1)

        def made(*args):
            if next(batch) == at:
                signal.raise_signal(signal.SIGINT)
            return features(*args)

        return made

    for at in (3, 9, 24):
        with monkeypatch.context() as patched, pytest.raises(sg.train.Interrupted) as stopped:
            patched.setattr(images, "features", interrupted(at))
            model.train(attrs.evolve(settings, checkpoint=path), data)
        losses = stopped.value.history.losses
        assert 0 < len(losses) <= at
        assert list(losses) == losses_of(files.read(path)) == list(whole.losses[: len(losses)])
        resumed = model.train(attrs.evolve(settings, resume=path), data)
        assert resumed.losses == whole.losses
        for name, value in whole.weights.items():
            assert value.tobytes() == resumed.weights[name].tobytes()


@pytest.mark.parametrize("model", ["logistic_regression", "one_hidden_layer"])
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_resume(model, tmp_path):
    path = tmp_path / "a checkpoint"
    words = ["--dataset", "digits", "--epochs", "100000", "--checkpoint", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", f"models.{model}", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    command = re.search(rf"stopped; resume with: python -m models\.{model} (.*)", err)[1]
    assert command == f"--dataset digits --epochs 100000 --checkpoint '{path}' --resume '{path}'"
    saved = files.read(path)
    assert saved.step == len(losses_of(saved)) >= 60
    told = rf"stopped after step {saved.step}, in epoch \d+ of 100000; saved to {re.escape(str(path))}"
    assert re.fullmatch(told, out.splitlines()[-1])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "no/such/folder"], "no/such/folder: there is no such folder"),
        (["--dataset", "digits", "--data", "."], "takes no --data"),
        (["--backend", "abacus"], "there is no backend 'abacus'"),
        (
            ["--plot", "no/such/folder/chart.png"],
            "--plot no/such/folder/chart.png cannot be written: there is no folder ",
        ),
        (["--plot", "chart.docx"], "no chart can be written as .docx"),
        (["--plot", "."], "it is a folder"),
        (["--checkpoint", "no/such/folder/c"], "--checkpoint no/such/folder/c cannot be written"),
        (["--checkpoint", "/proc/version"], "--checkpoint /proc/version cannot be written"),
        (["--dataset", "digits", "--resume", "no-such-file"], "no-such-file cannot be read"),
        (["--dataset", "digits", "--resume", "pyproject.toml"], "pyproject.toml is damaged"),
    ],
)
@pytest.mark.parametrize("model", [MODELS[0], MODELS[2]], ids=lambda model: model.name)
def test_a_mistake_is_one_message(model, words, said, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert training.main(model, words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith(f"python -m models.{model.name}: error: ")
    assert "epoch 1/" not in captured.out  # it is said before training starts
    assert "Traceback" not in captured.err


def test_without_the_extra_a_folder_with_the_data_will_do(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("SYMGRAPH_DATA", raising=False)
    assert training.main(MODELS[0], []) == 2
    err = capsys.readouterr().err
    assert (
        'needs pooch, which is not installed.\n  Install it with: pip install "symgraph[train]"; or name'
        in err
    )
    assert "--data DIR, or mnist/ below $SYMGRAPH_DATA" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-size", "0"], "'0' is no whole number from 1"),
        (["--batch-size", "many"], "'many' is no whole number from 1"),
        (["--epochs", "-1"], "'-1' is no whole number from 1"),
        (["--seed", "-1"], "'-1' is no whole number from 0"),
        (["--learning-rate", "nan"], "'nan' is no number from 0"),
        (["--dtype", "float16"], "invalid choice: 'float16'"),
        (["--frobnicate"], "unrecognized arguments"),
    ],
)
def test_a_wrong_option_is_one_message(words, said, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(MODELS[2], *words)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_a_foreign_checkpoint_is_refused(tmp_path, capsys):
    path, by_hand = str(tmp_path / "c"), str(tmp_path / "by hand")
    assert run(MODELS[1], "--checkpoint", path) == 0
    assert run(MODELS[0], "--checkpoint", by_hand) == 0
    for model, words, source, said in [
        (MODELS[2], [], path, "another graph"),
        (MODELS[0], [], path, "another network"),
        (MODELS[1], [], by_hand, "was not saved by fit"),
        (MODELS[1], ["--dtype", "float32"], path, "another graph"),
        (MODELS[1], ["--learning-rate", "0.5"], path, "another graph"),
        (MODELS[1], ["--batch-size", "50"], path, "made with batch_size = 25, and now it is 50"),
        (MODELS[1], ["--seed", "1"], path, "made with seed = 0, and now it is 1"),
        (MODELS[0], ["--seed", "1"], by_hand, "shuffle False, seed 0, "),
        (MODELS[0], ["--learning-rate", "0.5"], by_hand, "learning_rate 0.5"),
    ]:
        capsys.readouterr()
        assert run(model, *words, "--resume", source) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert "only --epochs may change" in captured.err
        assert "strict" not in captured.err and "fit(" not in captured.err
        assert "epoch 1/" not in captured.out


def test_a_checkpoint_of_a_part_of_each_batch_is_not_one_of_all(tmp_path):
    path, data = tmp_path / "c", sg.data.digits()
    settings = cli.Settings(batch_size=500, used=50)
    MODELS[2].train(attrs.evolve(settings, checkpoint=path), data)
    with pytest.raises(
        sg.CheckpointError, match=r"fed as x: float64\[784\], y: float64\[1\], 50 rows of 500'"
    ):
        MODELS[2].train(attrs.evolve(settings, used=None, resume=path), data)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_finished_run_has_nothing_left_to_train(model, tmp_path, capsys):
    path = str(tmp_path / "c")
    assert run(model, "--checkpoint", path) == 0
    assert "nothing is left" not in capsys.readouterr().out
    assert run(model, "--resume", path) == 0
    assert re.search(rf"resumed {path}.* nothing is left to train", capsys.readouterr().out)
    assert run(model, "--resume", path, "--epochs", "2") == 0
    assert "nothing is left" not in capsys.readouterr().out


def test_fashion_that_cannot_be_had_is_an_error(tmp_path, monkeypatch, capsys):
    for name, value in {**OFFLINE, "XDG_CACHE_HOME": str(tmp_path), "SYMGRAPH_DATA": "/no/such"}.items():
        monkeypatch.setenv(name, value)
    assert training.main(MODELS[1], ["--dataset", "fashion"]) == 2
    captured = capsys.readouterr()
    assert "Fashion-MNIST could not be downloaded" in captured.err
    assert "--data DIR" in captured.err and "--dataset digits" in captured.err
    assert "$SYMGRAPH_DATA is /no/such, and there is no such folder" in captured.err
    assert "epoch 1/" not in captured.out


def test_a_checkpoint_of_another_program_is_refused(tmp_path, capsys):
    path = tmp_path / "c"
    with sg.Session(logistic_regression_graph.graph()) as session:
        session.save(path)
    assert run(MODELS[1], "--resume", str(path)) == 2
    assert "was not saved by fit" in capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_run_that_diverges_says_where_and_leaves_no_checkpoint_of_that(model, tmp_path, capsys):
    path = tmp_path / "c"
    assert run(model, "--learning-rate", "1e308", "--json", "--checkpoint", str(path)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(r"loss'? became \w+ at step \d+, in epoch 1", captured.err)
    assert "smaller learning rate" in captured.err
    assert "Warning" not in captured.err
    assert not path.exists()


def test_the_seed_decides_random_weights():
    def weights(seed):
        settings = cli.Settings(initializer="glorot", seed=seed, learning_rate=0.0)
        return one_hidden_layer.MODEL.train(settings, sg.data.digits()).weights["W1"]

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


@pytest.mark.parametrize("name", ["chart.png", "chart.svg"])
def test_the_chart_is_drawn(name, tmp_path, capsys):
    path = tmp_path / name
    assert run(MODELS[0], "--plot", str(path), "--epochs", "3") == 0
    head = path.read_bytes()[:300]
    assert head.startswith(b"\x89PNG") if name.endswith("png") else b"<svg" in head or b"<?xml" in head
    assert str(path) in capsys.readouterr().out


def test_the_talk_trains_all_three_and_mends_the_third(tmp_path, capsys):
    path, folder = tmp_path / "talk.svg", tmp_path / "pictures"
    assert talk.main([*ON_DIGITS, "--plot", str(path), "--pictures", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    results = found["models"]
    assert [result["model"] for result in results] == [model.name for model in MODELS]
    assert results[0]["train_loss"] == pytest.approx(results[1]["train_loss"], abs=1e-12)
    assert (
        "The talk's figures are for MNIST; these are for scikit-learn digits, in batches of 25."
        in captured.err
    )
    assert path.read_text().count('id="line2d') >= 3
    assert {part.name for part in folder.iterdir()} == {f"wrong-{model.name}.png" for model in MODELS}
    for line in captured.err.splitlines():
        if line.startswith("logistic_regression ") and "epoch" not in line:
            assert line.split()[2] == "1.1942"
            assert line.split()[-2] == "0.9899"
    assert [row["network"] for row in found["faults"]] == [
        "one_hidden_layer",
        "units that start apart",
        "and every picture used",
    ]
    as_in_the_talk, *mended = found["faults"]
    assert as_in_the_talk["spread of W1's rows"] == 0 < min(row["spread of W1's rows"] for row in mended)
    assert as_in_the_talk["test accuracy"] < min(row["test accuracy"] for row in mended)
    assert "The faults of one_hidden_layer, mended one after the other" in captured.err


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_constant_start_keeps_all_hidden_units_equal(backend, dtype):
    data = sg.data.digits()
    settings = cli.Settings(backend=backend, dtype=dtype, batch_size=25, used=25)
    runs = [settings, *talk.mendings(settings).values()]
    spreads = []
    for own in runs:
        done = one_hidden_layer.MODEL.train(own, data)
        assert np.ptp(done.weights["W1"], axis=1).min() > 0  # it did learn
        spreads.append(talk.spread(done.weights["W1"]))
    assert spreads[0] == 0.0  # not by one bit
    assert min(spreads[1:]) > 0.1


def test_the_talks_pictures_are_refused_before_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert talk.main([*ON_DIGITS, "--pictures", str(tmp_path / "file")]) == 2
    captured = capsys.readouterr()
    assert "it is a file" in captured.err
    assert "epoch 1/" not in captured.out


def test_a_fresh_clone_without_a_network_falls_back_and_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "models.talk"],
        cwd=ROOT,
        env={**os.environ, **OFFLINE, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "MNIST could not be downloaded (no network); using scikit-learn's" in done.stdout
    assert "these are for scikit-learn digits" in done.stdout


def test_help_names_what_better_choices_are(capsys):
    with pytest.raises(SystemExit) as exit_:
        training.main(one_hidden_layer.MODEL, ["--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert "--initializer glorot --classes 10 --batch-size 50 --epochs 5" in out


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_bar_on_a_terminal_shows_the_loss(model, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    page = study.Page(terminal)
    done = model.train(cli.Settings(batch_size=25, epochs=2), sg.data.digits(), page)
    assert f"loss {done.losses[-1]:.4g}" in terminal.getvalue()
    assert "120/120" in terminal.getvalue()
