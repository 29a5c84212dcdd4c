"""A run that was stopped, in whatever way, and resumed equals one that was not, bit for bit."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.data import Examples, batches
from symgraph.train import Checkpoints, EarlyStopping, Interrupted, LambdaCallback, Stop, fit, metrics
from symgraph.train.checkpoints import latest
from tests.train.networks import ACCURACY, bits, classifier, points

ROOT = Path(__file__).parents[2]
DATA, HELD = points(50), points(20, seed=1)


def run(session: sg.Session, **options: Any) -> sg.train.History:
    given = {"validation": HELD, "epochs": 3, "batch_size": 8, "metrics": ACCURACY, "quiet": True, **options}
    return fit(session, given.pop("train", DATA), **given)


def found(session: sg.Session, history: sg.train.History) -> Any:
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]
    return history.losses, rows, history.stopped, bits(session), session.step


def whole(**options: Any) -> Any:
    with sg.Session(classifier(), "numpy", seed=1) as session:
        return found(session, run(session, **options))


def resumed(path: Any, **options: Any) -> Any:
    with sg.Session(classifier(), "numpy", seed=99) as session:
        return found(session, run(session, resume=path, **options))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the program that is killed makes its children by fork")
@pytest.mark.parametrize(("backend", "kills"), [("numpy", 20), ("llvm", 6)])
def test_killed_at_random_moments_and_resumed_a_run_equals_one_that_was_not(
    tmp_path: Path, backend: str, kills: int
) -> None:
    command = [sys.executable, "-m", "tests.train.killed", backend, str(tmp_path), "1", str(kills)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "SYMGRAPH_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sum(told["kills"]) >= kills and len(told["whole"]["losses"]) == 105
    assert told["whole"]["stopped"].startswith("stopped early")
    for result in told["killed"]:
        for name, value in told["whole"].items():
            assert result[name] == value, name


@pytest.fixture
def terminal() -> Iterator[None]:
    """Ctrl-C as Python handles it, whatever runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler, "the handler was put back"


def ctrl_c(step: int) -> LambdaCallback:
    return LambdaCallback(
        on_step=lambda now, session: signal.raise_signal(signal.SIGINT) if now.step == step else None
    )


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("step", [1, 6, 7, 8, 20, 21])
def test_ctrl_c_leaves_a_checkpoint_says_how_to_resume_and_is_a_keyboard_interrupt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    path = tmp_path / "run.safetensors"
    with (
        sg.Session(classifier(), "numpy", seed=1) as session,
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        run(session, checkpoint=path, callbacks=[ctrl_c(step)], quiet=False)
    assert isinstance(caught.value, Interrupted)
    history = caught.value.history
    assert history.interrupted and len(history.losses) == step
    assert not history.rows or str(history).endswith("\ninterrupted")
    assert (
        f"stopped after step {step}, in epoch {(step - 1) // 7 + 1} of 3; resume with fit(..., resume='"
        in str(caught.value)
    )
    assert f"of 3; saved to {path}\n" in capsys.readouterr().out
    assert resumed(path) == whole()
    assert resumed(True, checkpoint=path) == whole()


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_during_validation(tmp_path: Path) -> None:
    accuracy = ACCURACY["accuracy"]
    calls: list[int] = []

    def add(state: Any, *arrays: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:  # within the validation after the second epoch
            signal.raise_signal(signal.SIGINT)
        return accuracy.add(state, *arrays)

    with sg.Session(classifier(), "numpy", seed=1) as session, pytest.raises(Interrupted) as caught:
        run(session, metrics={"accuracy": attrs.evolve(accuracy, add=add)}, checkpoint=tmp_path / "run")
    assert len(caught.value.history.rows) == 1 and len(caught.value.history.losses) == 14
    assert resumed(tmp_path / "run") == whole()


@pytest.mark.usefixtures("terminal")
def test_a_second_ctrl_c_interrupts_at_once_and_without_a_checkpoint_nothing_is_saved() -> None:
    def twice(now: Any, session: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(KeyboardInterrupt) as caught:
            run(session, callbacks=[LambdaCallback(on_step=twice)])
        assert not isinstance(caught.value, Interrupted)
        with pytest.raises(Interrupted, match="nothing was saved"):
            run(session, callbacks=[ctrl_c(2)])


def test_a_handler_of_the_users_own_is_kept_and_threads_leave_signals_alone() -> None:
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        with sg.Session(classifier(), "numpy") as session:
            assert len(run(session, callbacks=[ctrl_c(2)]).losses) == 21
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == [signal.SIGINT]
    results = []

    def work() -> None:
        with sg.Session(classifier(), "numpy", seed=1) as session:
            results.append(found(session, run(session)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [whole()]


# Where checkpoints go, and from which one a run goes on


@pytest.mark.parametrize("every", [1, 3, 7, 100])
def test_every_checkpoint_of_a_folder_leads_to_the_same_end(tmp_path: Path, every: int) -> None:
    folder = tmp_path / "deep" / "runs"
    with sg.Session(classifier(), "numpy", seed=1) as session:
        expected = found(session, run(session, checkpoint=Checkpoints(folder, every=every, keep=None)))
    assert expected == whole()
    files = sorted(folder.iterdir())
    assert len(files) == len({*range(every, 22, every), 7, 14, 21})
    for path in files[::3]:
        assert resumed(path) == expected
    assert resumed(folder) == resumed(Checkpoints(folder)) == expected


def test_only_the_last_are_kept_and_the_best(tmp_path: Path) -> None:
    with sg.Session(classifier(0.5), "numpy", seed=1) as session:
        values: list[dict[str, bytes]] = []
        note = LambdaCallback(on_epoch=lambda now, session: values.append(bits(session)))
        store = Checkpoints(tmp_path, every=2, keep=2, best_by="val_accuracy", mode="max")
        history = run(session, checkpoint=store, callbacks=[note], epochs=5)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "best.safetensors", "step-000000034.safetensors", "step-000000035.safetensors",
        ]  # fmt: skip
        best = history.best("val_accuracy", "max")["epoch"]
        session.restore(tmp_path / "best.safetensors")
        assert bits(session) == values[best - 1] and session.step == 7 * best
    (tmp_path / ".symgraph-0.tmp").write_bytes(b"half")
    with sg.Session(classifier(0.5), "numpy", seed=1) as session:
        run(session, checkpoint=store, resume=tmp_path / "best.safetensors", epochs=5)
    assert latest(tmp_path) == tmp_path / "step-000000035.safetensors" and len(list(tmp_path.iterdir())) == 3


def test_a_folder_of_an_earlier_run_is_not_pruned_by_another(tmp_path: Path) -> None:
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=Checkpoints(tmp_path))
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(sg.CheckpointError, match="holds the checkpoints of an earlier run"):
            run(session, checkpoint=Checkpoints(tmp_path, keep=1))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_more_epochs_go_on_where_fewer_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=path, epochs=2)
    assert resumed(path, epochs=5) == whole(epochs=5)
    again = resumed(path, epochs=2)
    assert again == whole(epochs=2), "nothing is left to train"


def test_a_resumption_says_where_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.safetensors"
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=path, epochs=2)
        capsys.readouterr()
        run(session, resume=path, quiet=False)
        assert capsys.readouterr().out.splitlines()[0] == f"resumed {path} after step 14, in epoch 3 of 3"
        run(session, resume=path, quiet=False, epochs=2)
        assert "all 2 epochs are done, and nothing is left to train" in capsys.readouterr().out
        run(session, resume=path, quiet=True)
        assert capsys.readouterr().out == ""


def test_resume_true_starts_anew_where_nothing_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    for target in (path, Checkpoints(tmp_path / "folder")):
        with sg.Session(classifier(), "numpy", seed=1) as session:
            assert found(session, run(session, checkpoint=target, resume=True)) == whole()
    assert path.exists()
    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(sg.CheckpointError, match="none is named"):
            run(session, resume=True)
        with pytest.raises(sg.CheckpointError, match="nothing"):
            run(session, resume=tmp_path / "nothing")
        (tmp_path / "bare").mkdir()
        with pytest.raises(sg.CheckpointError, match="holds no checkpoint"):
            run(session, resume=tmp_path / "bare")


@pytest.mark.parametrize(
    ("name", "options"),
    {
        "batch_size": {"batch_size": 10},
        "shuffle": {"shuffle": False},
        "seed": {"seed": 4},
        "drop_last": {"drop_last": True},
        "outputs": {"outputs": ("loss", "largest")},
        "metrics": {"train_metrics": True},
        "data": {"train": points(50, seed=2)},
    }.items(),
)
def test_what_would_make_another_run_is_an_error_and_changes_nothing(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=tmp_path / "run", epochs=1)
        before = bits(session)
        session.run(None, DATA, update="train")
        after = bits(session)
        with pytest.raises(sg.CheckpointError, match=f"was made with {name} = "):
            run(session, resume=tmp_path / "run", **options)
        assert bits(session) == after != before


def test_a_checkpoint_of_another_graph_and_one_that_fit_did_not_make(tmp_path: Path) -> None:
    with sg.Session(classifier(0.2), "numpy") as session:
        run(session, checkpoint=tmp_path / "run", epochs=1)
        session.save(tmp_path / "bare")
    with sg.Session(classifier(0.1), "numpy") as session:
        before = bits(session)
        with pytest.raises(sg.CheckpointError, match=r"(?s)of another graph.*Resume with the graph"):
            run(session, resume=tmp_path / "run")
        with pytest.raises(sg.CheckpointError, match="of another graph"):
            run(session, resume=tmp_path / "run", train=points(30))
        with pytest.raises(sg.CheckpointError, match="was not saved by fit"):
            run(session, resume=tmp_path / "bare")
        (tmp_path / "torn").write_bytes((tmp_path / "run").read_bytes()[:-9])
        with pytest.raises(sg.CheckpointError, match="damaged"):
            run(session, resume=tmp_path / "torn")
        assert bits(session) == before


@pytest.mark.parametrize("once", [True, False])
def test_a_stream_is_resumed_by_its_batches(tmp_path: Path, once: bool) -> None:
    def stream(epoch: int) -> Iterator[Any]:
        return batches(Examples(DATA["x"], DATA["y"]), 8, shuffle=True, seed=epoch)

    epochs = 1 if once else 3

    def options() -> dict[str, Any]:
        return {"train": stream(0) if once else stream, "epochs": epochs, "train_metrics": True}

    expected = whole(**options())
    stop = LambdaCallback(on_step=lambda now, session: 1 / 0 if now.step == 5 else None)
    with sg.Session(classifier(), "numpy", seed=1) as session, pytest.raises(ZeroDivisionError):
        run(session, checkpoint=tmp_path / "run", save_every=2, callbacks=[stop], **options())
    assert resumed(tmp_path / "run", **options()) == expected


def test_a_stop_within_an_epoch_survives(tmp_path: Path) -> None:
    def options() -> dict[str, Any]:
        stop = LambdaCallback(on_step=lambda now, session: Stop("enough") if now.step == 10 else None)
        return {"callbacks": [stop], "train_metrics": True}

    expected = whole(**options())
    assert expected[2] == "enough" and len(expected[0]) == 10 and len(expected[1]) == 2
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=Checkpoints(tmp_path, every=5, keep=None), **options())
    for path in sorted(tmp_path.iterdir()):
        assert resumed(path, **options()) == expected


def test_states_of_metrics_and_callbacks_of_any_form_survive(tmp_path: Path) -> None:
    def add(state: Any, logits: Any) -> Any:
        count, (total, names), table = state
        return count + len(logits), (total + np.float32(logits.sum()), [*names, "n"]), {"k": table["k"] + 1}

    odd = attrs.evolve(
        metrics.mean("logits"),
        start=lambda: (0, (np.float32(0), []), {"k": np.zeros(2, np.uint8)}),
        add=add,
        result=lambda state: [float(state[0]), float(state[1][0]), len(state[1][1]), state[2]["k"].tolist()],
    )
    options = {"metrics": {"odd": odd}, "train_metrics": True}
    expected = whole(**options)
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=Checkpoints(tmp_path, every=4, keep=None), **options)
    for path in sorted(tmp_path.iterdir())[::2]:
        assert resumed(path, **options) == expected
    with sg.Session(classifier(), "numpy") as session:
        lost = {"metrics": {"odd": attrs.evolve(odd, start=lambda: object(), add=lambda state, a: state)}}
        with pytest.raises(sg.CheckpointError, match="which no checkpoint can hold"):
            run(session, checkpoint=tmp_path / "x", train_metrics=True, save_every=1, **lost)


def test_the_random_key_of_dropout_and_running_statistics_go_on(tmp_path: Path) -> None:
    @sg.do
    def network(x: sg.Expr, y: sg.Expr) -> Any:
        nn = sg.nn
        layers = nn.sequential(nn.dense(16, sg.relu), nn.batch_norm(), nn.dropout(0.5), nn.dense(3))
        hidden, state = yield from layers(x)
        return nn.Output({"loss": sg.mean(sg.softmax_cross_entropy(hidden, y)), "logits": hidden}, state)

    x, y = sg.placeholder("x", ("batch", 4)), sg.placeholder("y", ("batch",), dtype="int64")
    graph = sg.nn.graph(sg.nn.with_evaluation(network(x, y)))
    graph = sg.train.minimize(graph, "loss", sg.train.adam(0.01))
    with sg.Session(graph, "numpy", seed=1) as session:
        expected = found(session, run(session, checkpoint=Checkpoints(tmp_path, every=5, keep=None)))
    for path in sorted(tmp_path.iterdir())[:3]:
        with sg.Session(graph, "numpy", seed=99) as session:
            assert found(session, run(session, resume=path)) == expected


# What cannot be written is said before the first step, and a full disk costs nothing that was saved.


def no_steps(session: sg.Session, message: str, **options: Any) -> None:
    with pytest.raises(sg.SymgraphError, match=message):
        run(session, **options)
    assert session.step == 0


def test_a_place_that_cannot_be_written_is_named_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with sg.Session(classifier(), "numpy") as session:
        no_steps(session, "it is a folder", checkpoint=tmp_path)
        no_steps(session, "there is no folder", checkpoint=tmp_path / "no" / "run")
        no_steps(session, "cannot be written", checkpoint=Path("/proc/run.safetensors"))
        no_steps(session, "no plain file", checkpoint="/dev/null")
        no_steps(session, "it is a file", checkpoint=Checkpoints(tmp_path / "file"))
        no_steps(session, "cannot be written to", checkpoint=Checkpoints("/proc/runs"))
        no_steps(session, "checkpoint is a path", checkpoint=3)
        (tmp_path / "link").symlink_to(tmp_path / "no" / "run")
        no_steps(session, "there is no folder", checkpoint=tmp_path / "link")
        no_steps(session, "null byte", checkpoint="a\0b")
        no_steps(session, "null byte", checkpoint=Checkpoints("a\0b"))
        no_steps(session, "null byte", callbacks=[sg.train.CsvLog("a\0b")])
        no_steps(session, "null byte", callbacks=[sg.train.TensorBoard("a\0b")])
        no_steps(session, "null byte", resume="a\0b")
        no_steps(session, "name too long", checkpoint=tmp_path / ("a" * 300))
        no_steps(session, "name too long", resume=Checkpoints(tmp_path / ("a" * 300)))
        no_steps(session, "watches 'val_los'", checkpoint=Checkpoints(tmp_path / "a", best_by="val_los"))

        def refused(*args: Any, **kwargs: Any) -> Any:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr("symgraph.train.checkpoints.TemporaryFile", refused)
        no_steps(session, "Read-only file system", checkpoint=tmp_path / "run")
        no_steps(session, "Read-only file system", checkpoint=Checkpoints(tmp_path / "b"))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no modes of folders")
def test_a_folder_without_permission_is_named_before_training(tmp_path: Path) -> None:
    shut, fixed = tmp_path / "shut", tmp_path / "fixed"
    for folder, mode in ((shut, 0), (fixed, 0o555)):
        folder.mkdir()
        folder.chmod(mode)
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)
    user = os.geteuid()
    session = sg.Session(classifier(), "numpy")
    run(session, epochs=0)  # what is imported late may not be there for another user
    try:
        if user == 0:  # who may do everything
            os.seteuid(65534)
        no_steps(session, "Permission denied", checkpoint=shut / "run")
        no_steps(session, "Permission denied", checkpoint=Checkpoints(shut / "runs"))
        no_steps(session, "Permission denied", resume=shut / "run")
        no_steps(session, "Permission denied", resume=Checkpoints(shut))
        no_steps(session, "Permission denied", callbacks=[sg.train.CsvLog(shut / "log.csv")])
        no_steps(session, "Permission denied", checkpoint=fixed / "run")
        no_steps(session, "Permission denied", checkpoint=Checkpoints(fixed / "runs"))
    finally:
        os.seteuid(user)
        shut.chmod(0o755)
    assert not list(shut.iterdir()) and not list(fixed.iterdir())


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, calls = os.fsync, [0]

    def full(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > 6:  # two a save: the file and its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with (
        sg.Session(classifier(), "numpy", seed=1) as session,
        pytest.raises(sg.CheckpointError, match="No space left on device"),
    ):
        run(session, checkpoint=Checkpoints(tmp_path, every=3, keep=1), train_metrics=True)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000007.safetensors"]
    assert resumed(tmp_path, train_metrics=True) == whole(train_metrics=True)


def test_a_disk_without_room_for_another_checkpoint_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits of file sizes")
    path, limit = tmp_path / "run.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(now: Any, session: sg.Session) -> None:
        if now.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limit[1]))

    try:
        with (
            sg.Session(classifier(), "numpy", seed=1) as session,
            pytest.raises(
                sg.CheckpointError, match=r"(?s)could not be written.*What the file held before is whole"
            ),
        ):
            run(session, checkpoint=path, callbacks=[LambdaCallback(on_epoch=fill)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == [path]
    assert resumed(path) == whole()


@pytest.mark.usefixtures("terminal")
def test_ctrl_c_at_the_very_end_is_not_let_go(tmp_path: Path) -> None:
    late = LambdaCallback(on_end=lambda now, session: signal.raise_signal(signal.SIGINT))
    with sg.Session(classifier(), "numpy", seed=1) as session:
        with pytest.raises(Interrupted, match="stopped after step 21, in epoch 3 of 3"):
            run(session, checkpoint=tmp_path / "run", callbacks=[late])
        assert bits(session) == whole()[3]
    assert resumed(tmp_path / "run") == whole()


def test_early_stopping_survives_whatever_else_is_there(tmp_path: Path) -> None:
    def options() -> dict[str, Any]:
        return {
            "callbacks": [EarlyStopping(patience=2, min_delta=0.2), EarlyStopping(patience=3)],
            "epochs": 30,
        }

    expected = whole(**options())
    assert expected[2].startswith("stopped early") and 2 < len(expected[1]) < 30
    with sg.Session(classifier(), "numpy", seed=1) as session:
        run(session, checkpoint=Checkpoints(tmp_path, every=5, keep=None), **options())
    for path in sorted(tmp_path.iterdir())[::4]:
        assert resumed(path, **options()) == expected
    assert resumed(tmp_path, **options()) == expected, "it has ended, with the best weights"
