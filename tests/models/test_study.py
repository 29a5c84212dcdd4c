"""The programs of several experiments as a user meets them: what they print, JSON, pictures and mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import hard_way, neural_nets_101, study, xor_mlp

ROOT = Path(__file__).parents[2]
STUDIES = [xor_mlp.STUDY, neural_nets_101.STUDY, hard_way.STUDY]
PICTURES = {
    "xor_mlp": {"xor-1.png"},
    "neural_nets_101": {"activations.png", "derivatives.png", "momentum.png", "symbols.dot", "symbols.mmd"},
    "hard_way": {"errors.png", "function-1.png", "function-2.png"},
}
SMALL = {
    "xor_mlp": ["--epochs", "3"],
    "neural_nets_101": ["--epochs", "1", "--dataset", "digits"],
    "hard_way": ["--epochs", "1", "--units", "2", "--dataset", "digits"],
}


def run(which, *words):
    return study.main(which, [*SMALL[which.name], *words])


@pytest.fixture(params=STUDIES, ids=lambda which: which.name)
def which(request):
    return request.param


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_json_is_the_one_line_on_stdout(which, backend, capsys):
    assert run(which, "--json", "--backend", backend, "--dtype", "float32") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    found = json.loads(captured.out)
    assert tuple(found) == ("model", *which.parts)
    assert found["model"] == which.name
    assert captured.err.strip()


def test_pictures_are_drawn_into_a_new_folder(which, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(xor_mlp, "RUNS", xor_mlp.RUNS[:1])
    folder = tmp_path / "new"
    drawing = [
        part for part in which.parts if part in ("runs", "activations", "momentum", "symbols", "functions")
    ]
    only = [word for part in drawing for word in ("--only", part)]
    assert run(which, "--pictures", str(folder), "--quiet", *only) == 0
    drawn = {path.name for path in folder.iterdir()}
    assert drawn >= PICTURES[which.name]
    out = capsys.readouterr().out
    assert all(str(folder / name) in out for name in drawn)
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_only_some_parts_are_run(which, capsys):
    part = next(iter(which.parts))
    assert run(which, "--only", part, "--json") == 0
    assert tuple(json.loads(capsys.readouterr().out)) == ("model", part)


def test_the_seed_decides(capsys):
    losses = []
    for seed in ("1", "1", "2"):
        assert run(xor_mlp.STUDY, "--only", "runs", "--json", "--seed", seed) == 0
        rows = json.loads(capsys.readouterr().out)["runs"]["rows"]
        losses.append([row["last loss"] for row in rows])
    assert losses[0] == losses[1] != losses[2]


def test_quiet_leaves_the_tables(capsys):
    assert run(xor_mlp.STUDY, "--only", "runs") == 0
    loud = capsys.readouterr().out
    assert run(xor_mlp.STUDY, "--only", "runs", "--quiet") == 0
    quiet = capsys.readouterr().out
    assert "after 3 epochs" in loud and "after 3 epochs" not in quiet
    assert "50 units, penalty 1e-06" in quiet


def test_the_worked_example_is_an_option(capsys):
    assert study.main(xor_mlp.STUDY, ["--worked-example"]) == 0
    out = capsys.readouterr().out
    for digits in ("0.19626223", "-0.02879856", "-0.41488852", "sign lost", "differences"):
        assert digits in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "abacus"], "there is no backend 'abacus'"),
        (["--pictures", "no/such/folder"], "--pictures no/such/folder cannot be written to"),
        (["--pictures", "pyproject.toml"], "it is a file"),
        (["--pictures", "/proc/1"], "--pictures /proc/1 cannot be written to"),
    ],
)
def test_a_mistake_is_one_message(which, words, said, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert run(which, *words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith(f"python -m models.{which.name}: error: ")
    assert "Traceback" not in captured.err
    assert not captured.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "0"], "'0' is no whole number from 1"),
        (["--epochs", "1e3"], "'1e3' is no whole number from 1"),
        (["--seed", "-1"], "'-1' is no whole number from 0"),
        (["--dtype", "int32"], "invalid choice: 'int32'"),
        (["--only", "nothing"], "invalid choice: 'nothing'"),
        (["--frobnicate"], "unrecognized arguments"),
    ],
)
def test_a_wrong_option_is_one_message(which, words, said, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(which, *words)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_a_learning_rate_that_diverges(capsys):
    assert run(xor_mlp.STUDY, "--only", "runs", "--learning-rate", "1e308") == 2
    err = capsys.readouterr().err
    assert "'loss' became nan at step 2" in err
    assert "smaller learning rate" in err


def test_ctrl_c_stops(capsys):
    def interrupted(args, settings, page):
        raise KeyboardInterrupt

    assert study.main(study.Study("stopped", "It is stopped.", {"part": interrupted}), []) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--units", "0"], ["--units", "x"], ["--units"]])
def test_no_number_of_units(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        study.main(hard_way.STUDY, words)
    assert exit_.value.code == 2
    assert "--units" in capsys.readouterr().err


def test_data_that_is_not_there(capsys):
    assert (
        study.main(hard_way.STUDY, ["--only", "digits", "--dataset", "mnist", "--data", "no/such/folder"])
        == 2
    )
    assert "no/such/folder: there is no such folder" in capsys.readouterr().err


def test_it_runs_as_a_program(which):
    part = {"xor_mlp": "worked-example", "neural_nets_101": "symbols", "hard_way": "gradients"}[which.name]
    done = subprocess.run(
        [sys.executable, "-m", f"models.{which.name}", "--only", part, "--backend", "numpy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_each_program_tells_what_it_shows(which, capsys):
    with pytest.raises(SystemExit) as exit_:
        study.main(which, ["--help"])
    assert exit_.value.code == 0
    assert which.about.splitlines()[0] in capsys.readouterr().out


def test_a_table_has_its_columns_below_their_heads():
    text = study.table([{"name": "a", "loss": 1.5}, {"name": "long", "loss": np.float32(0.25)}], "Losses")
    assert text.splitlines() == ["Losses", "name  loss", "a      1.5", "long  0.25"]
