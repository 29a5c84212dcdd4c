"""The programs as a user meets them: output, checkpoints, Ctrl-C, and what they say about mistakes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from models import cli, logistic_regression, logistic_regression_graph, one_hidden_layer, talk, training
from symgraph.train import checkpoint as files

ROOT = Path(__file__).parents[2]
MODELS = [logistic_regression.MODEL, logistic_regression_graph.MODEL, one_hidden_layer.MODEL]
ON_DIGITS = ["--dataset", "digits"]
# No MNIST anywhere and no way out: a proxy that nothing listens on.
OFFLINE = {"SYMGRAPH_DATA": "", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def run(model, *words):
    return cli.main(model, [*ON_DIGITS, *words])


def result_of(captured):
    return json.loads(captured.out.splitlines()[-1])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_run_prints_data_progress_and_result(model, capsys):
    assert run(model) == 0
    out = capsys.readouterr().out
    assert "scikit-learn's 1,797 handwritten digits" in out
    assert re.search(rf"{model.name}  epoch 1/1  batch 60/60  loss \d", out)
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
    assert "batch 120/120" in captured.err


def test_quiet_leaves_the_result(capsys):
    assert run(MODELS[1], "--quiet") == 0
    out = capsys.readouterr().out
    assert "batch 1/" not in out
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
    assert (before.step, before.position, before.extra) == (after.step, after.position, after.extra)
    assert before.tensors.keys() == after.tensors.keys()
    for name, value in before.tensors.items():
        assert value.tobytes() == after.tensors[name].tobytes()


def test_stopped_between_steps_and_resumed_is_the_same_run(tmp_path):
    data = sg.data.digits()
    settings = cli.Settings(batch_size=100, epochs=3)
    task = settings.task("one_hidden_layer", data)

    def network():
        return one_hidden_layer.network(settings)

    whole_network, path = network(), tmp_path / "stopped"
    whole = training.train(whole_network, task)
    for after in (1, 7, 22):
        asked = iter(range(1, 1000))
        cut = training.train(network(), task, checkpoint=path, stopped=lambda a=after, n=asked: next(n) == a)
        assert cut.interrupted
        assert len(cut.train_loss) == after
        again = network()
        resumed = training.train(again, task, resume=path)
        assert resumed.train_loss == whole.train_loss
        for name, value in whole_network.values.items():
            assert value.tobytes() == again.values[name].tobytes()


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
        if "batch 1/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"python -m models.{model} --dataset digits" in err
    assert f"--resume '{path}'" in err
    saved = files.read(path)
    assert saved.step == len(saved.extra["train_loss"]) >= 1
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "no/such/folder"], "no/such/folder: there is no such folder"),
        (["--dataset", "digits", "--data", "."], "takes no --data"),
        (["--backend", "abacus"], "there is no backend 'abacus'"),
        (["--plot", "no/such/folder/chart.png"], "there is no folder no/such/folder"),
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
    assert cli.main(model, words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith(f"python -m models.{model.name}: error: ")
    assert "batch 1/" not in captured.out  # it is said before training starts
    assert "Traceback" not in captured.err


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
    path = str(tmp_path / "c")
    assert run(MODELS[1], "--checkpoint", path) == 0
    for model, words, said in [
        (MODELS[2], [], "another graph"),
        (MODELS[0], [], "another network"),
        (MODELS[1], ["--dtype", "float32"], "another graph"),
        (MODELS[1], ["--batch-size", "50"], "made with batch size 25, and now it is 50"),
        (MODELS[1], ["--seed", "1"], "made with seed 0, and now it is 1"),
    ]:
        capsys.readouterr()
        assert run(model, *words, "--resume", path) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "strict" not in err


def test_a_finished_run_has_nothing_left_to_train(tmp_path, capsys):
    path = str(tmp_path / "c")
    assert run(MODELS[1], "--checkpoint", path) == 0
    assert "nothing left" not in capsys.readouterr().out
    assert run(MODELS[1], "--resume", path) == 0
    assert f"{path} has all epochs (1): nothing left to train" in capsys.readouterr().out
    assert run(MODELS[1], "--resume", path, "--epochs", "2") == 0
    assert "nothing left" not in capsys.readouterr().out


def test_fashion_that_cannot_be_had_is_an_error(tmp_path, monkeypatch, capsys):
    for name, value in {**OFFLINE, "XDG_CACHE_HOME": str(tmp_path), "SYMGRAPH_DATA": "/no/such"}.items():
        monkeypatch.setenv(name, value)
    assert cli.main(MODELS[1], ["--dataset", "fashion"]) == 2
    captured = capsys.readouterr()
    assert "Fashion-MNIST could not be downloaded" in captured.err
    assert "--data DIR" in captured.err and "--dataset digits" in captured.err
    assert "$SYMGRAPH_DATA is /no/such, and there is no such folder" in captured.err
    assert "batch 1/" not in captured.out


def test_a_checkpoint_of_another_program_is_refused(tmp_path, capsys):
    path = tmp_path / "c"
    with sg.Session(logistic_regression_graph.graph()) as session:
        session.save(path)
    assert run(MODELS[1], "--resume", str(path)) == 2
    assert "was not saved by this program" in capsys.readouterr().err


def test_a_run_that_diverges_is_saved_and_resumed(tmp_path, capsys):
    path = str(tmp_path / "c")
    words = ["--learning-rate", "1e308", "--dtype", "float64", "--json", "--checkpoint", path]
    assert run(MODELS[1], *words, "--epochs", "2") == 0
    losses = result_of(capsys.readouterr())["train_loss"]
    assert None in losses
    assert run(MODELS[1], *words, "--epochs", "3", "--resume", path) == 0
    assert result_of(capsys.readouterr())["train_loss"][:120] == losses


def test_the_seed_decides_random_weights():
    def weights(seed):
        return one_hidden_layer.network(cli.Settings(initializer="glorot", seed=seed)).values["W1"]

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
        network = one_hidden_layer.network(own)
        training.train(network, own.task("one_hidden_layer", data))
        assert np.ptp(network.values["W1"], axis=1).min() > 0  # it did learn
        spreads.append(talk.spread(network.values["W1"]))
    assert spreads[0] == 0.0  # not by one bit
    assert min(spreads[1:]) > 0.1


def test_the_talks_pictures_are_refused_before_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert talk.main([*ON_DIGITS, "--pictures", str(tmp_path / "file")]) == 2
    captured = capsys.readouterr()
    assert "it is a file" in captured.err
    assert "batch 1/" not in captured.out


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
        cli.main(one_hidden_layer.MODEL, ["--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert "--initializer glorot --classes 10 --batch-size 50 --epochs 5" in out


def test_the_bar_on_a_terminal_shows_the_loss():
    class Terminal:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text
            return len(text)

        def flush(self):
            pass

        def isatty(self):
            return True

    terminal = Terminal()
    with cli.progress(terminal, "network") as watch:
        watch(training.Progress(3, 60, 1, 1, 0.12345))
    assert "network" in terminal.text
    assert "3/60" in terminal.text
    assert "loss 0.1235" in terminal.text or "loss 0.1234" in terminal.text


def test_ctrl_c_is_left_alone_on_other_threads():
    found = []

    def on_thread():
        with cli.interruptible() as stopped:
            found.append(stopped())

    thread = threading.Thread(target=on_thread)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_second_ctrl_c_interrupts_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), cli.interruptible() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
