"""Callbacks: when they are called, what they may do, and the logs they write."""

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.train import (
    Callback,
    Checkpoints,
    CsvLog,
    EarlyStopping,
    History,
    LambdaCallback,
    Progress,
    Stop,
    TensorBoard,
    fit,
    metrics,
)
from tests.train.networks import ACCURACY, bits, classifier, points

DATA, HELD = points(20), points(9, seed=1)


def run(session: sg.Session, *callbacks: Any, **options: Any) -> History:
    given = {"validation": HELD, "epochs": 3, "batch_size": 8, "metrics": ACCURACY, "quiet": True, **options}
    return fit(session, DATA, callbacks=callbacks, **given)


def test_hooks_are_called_in_order_with_their_state_and_closed() -> None:
    events: list[Any] = []

    def note(event: str) -> Any:
        def hook(state: Any, now: Progress, session: sg.Session) -> int:
            events.append((event, state, now.step, now.epoch, len(now.rows), session.step))
            return 0 if state is None else state + 1

        return hook

    hooks = [note(event) for event in ("start", "step", "epoch", "end")]
    made = Callback("counting", *hooks, close=lambda state: events.append(state), every=2)
    with sg.Session(classifier(), "numpy") as session:
        run(session, made, epochs=2)
    assert events == [
        ("start", None, 0, 1, 0, 0),
        ("step", 0, 2, 1, 0, 2),
        ("epoch", 1, 3, 1, 1, 3),
        ("step", 2, 4, 2, 1, 4),
        ("step", 3, 6, 2, 1, 6),
        ("epoch", 4, 6, 2, 2, 6),
        ("end", 5, 6, 2, 2, 6),
        6,
    ]


def test_what_progress_tells() -> None:
    seen: list[Progress] = []
    with sg.Session(classifier(), "numpy") as session:
        history = run(session, LambdaCallback(on_step=lambda now, _: seen.append(now)))
    assert tuple(now.loss for now in seen) == history.losses
    assert {now.steps for now in seen} == {9} and {now.epochs for now in seen} == {3}
    assert seen[0].row == {} and seen[-1].row == history.rows[1]
    assert seen[0].columns == history.names == (
        "epoch", "step", "loss", "val_loss", "val_accuracy", "examples", "seconds",
    )  # fmt: skip


@pytest.mark.parametrize("event", ["on_step", "on_epoch"])
def test_a_hook_stops_training(event: str) -> None:
    ends: list[int] = []
    stop = LambdaCallback(
        **{event: lambda now, session: Stop("that will do") if now.step >= 5 else "ignored"}
    )
    with sg.Session(classifier(), "numpy") as session:
        history = run(session, stop, LambdaCallback(on_end=lambda now, session: ends.append(now.step)))
    assert history.stopped == "that will do" and str(history).endswith("that will do")
    assert ends == [len(history.losses)] == [5 if event == "on_step" else 6] and len(history) == 2


def test_what_a_callback_raises_is_raised_and_those_that_were_started_are_closed() -> None:
    closed: list[str] = []

    def made(name: str, fail: str) -> Callback:
        def hook(event: str) -> Any:
            def call(state: Any, now: Progress, session: sg.Session) -> Any:
                if fail == event:
                    raise RuntimeError(event)

            return call

        hooks = [hook(event) for event in ("start", "step", "epoch", "end")]
        return Callback(name, *hooks, close=lambda _: closed.append(name))

    with sg.Session(classifier(), "numpy") as session:
        for event, expected in {
            "start": ["a"],
            "step": ["a", "b"],
            "epoch": ["a", "b"],
            "end": ["a", "b"],
        }.items():
            closed.clear()
            with pytest.raises(RuntimeError, match=event):
                run(session, made("a", ""), made("b", event))
            assert sorted(closed) == expected


def test_a_close_that_fails_keeps_no_other_from_being_closed() -> None:
    closed: list[str] = []

    def fails(state: Any) -> None:
        raise RuntimeError("in close")

    callbacks = (
        Callback("a", close=lambda _: closed.append("a")),
        Callback("b", close=fails),
        Callback("c", close=lambda _: closed.append("c")),
    )
    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(RuntimeError, match="in close"):
            run(session, *callbacks)
        assert closed == ["c", "a"]
        with pytest.raises(RuntimeError, match="in close") as caught:
            run(session, *callbacks, LambdaCallback(on_step=lambda now, session: 1 / 0))
        assert isinstance(caught.value.__context__, ZeroDivisionError), "the first cause is told too"


def test_states_of_callbacks_of_any_names_are_kept_apart(tmp_path: Path) -> None:
    def named(name: str, place: int, told: list[Any]) -> Callback:
        return Callback(
            name,
            start=lambda saved, now, session: told.append((place, saved)) or place,
            save=lambda state: state,
        )

    names = ("a", "a", "a#1", "a#1", "a")
    for expected in (None, 1):
        told: list[Any] = []
        callbacks = [named(name, place, told) for place, name in enumerate(names)]
        with sg.Session(classifier(), "numpy") as session:
            path = tmp_path / "run"
            fit(
                session,
                points(8),
                batch_size=8,
                callbacks=callbacks,
                checkpoint=path,
                resume=True,
                quiet=True,
            )
        assert told == [(place, None if expected is None else place) for place in range(5)]


# Early stopping


def steered(values: list[float], **options: Any) -> tuple[History, list[dict[str, bytes]], dict[str, bytes]]:
    """A run whose validation loss takes these values, one an epoch; the variables after each, and at the end."""
    weights: list[dict[str, bytes]] = []
    x, w, level = (
        sg.placeholder("x", ("batch",)),
        sg.variable("w", ()),
        sg.variable("level", (), init=values[0]),
    )
    loss = sg.mean(x * 0.0 + level)
    graph = sg.define({"loss": loss}, updates={"train": {w: w + 1.0}})

    def steer(now: Progress, session: sg.Session) -> None:
        weights.append(bits(session))
        if now.epoch < len(values):
            session.variables.assign("level", values[now.epoch])

    data = {"x": np.ones(4, np.float32)}
    with sg.Session(graph, "numpy") as session:
        callbacks = (EarlyStopping(**options), LambdaCallback(on_epoch=steer))
        history = fit(
            session, data, validation=data, epochs=len(values), batch_size=4, callbacks=callbacks, quiet=True
        )
        return history, weights, bits(session)


def test_early_stopping_waits_and_restores_the_best() -> None:
    history, weights, final = steered([5, 4, 3, 3.5, 3, 4, 1], patience=3)
    assert len(history) == 6 and "not better than 3 of epoch 3 for 3 epochs" in history.stopped
    assert final == weights[2]
    history, weights, final = steered([5, 4, 3, 3.5, 3, 4, 1], patience=4)
    assert len(history) == 7 and history.stopped == "" and final == weights[6]
    history, weights, final = steered([5, 4, 3, 3.5], patience=4)
    assert history.stopped == "" and final == weights[2], "also where it did not stop"
    history, weights, final = steered([5, 4, 3, 3.5], patience=4, restore_best=False)
    assert final == weights[3]


def test_early_stopping_by_the_largest_by_a_least_change_and_by_what_is_no_number() -> None:
    history, weights, final = steered([1, 3, 2, 2], patience=2, mode="max")
    assert len(history) == 4 and final == weights[1] and history.stopped
    history, weights, final = steered([5, 4.9, 4.8, 4.7, 1], patience=3, min_delta=0.5)
    assert len(history) == 4 and final == weights[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "patience is a whole number from 1"),
        (lambda: EarlyStopping(patience=True), "patience is a whole number from 1"),
        (lambda: EarlyStopping(mode="least"), '"min" or "max"'),
        (lambda: EarlyStopping(min_delta=-1), "min_delta is a number from 0"),
        (lambda: LambdaCallback(every=0), "every is a whole number from 1"),
        (lambda: Callback("a", every=0), "every is a whole number from 1"),
        (lambda: LambdaCallback(on_step=3), "LambdaCallback is made of functions, and 3 is none"),
        (lambda: TensorBoard("x", every=1.5), "every is a whole number from 1"),
        (lambda: CsvLog(3), "a log is written to a path"),
    ],
)
def test_settings_are_checked_when_they_are_written(make: Any, message: str) -> None:
    with pytest.raises(sg.DataError, match=message):
        make()


def test_what_early_stopping_watches_is_checked_before_training() -> None:
    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(sg.DataError, match=r"(?s)watches 'val_acuracy'.*They have .*'val_accuracy'"):
            run(session, EarlyStopping("val_acuracy"))
        with pytest.raises(sg.DataError, match=r"(?s)watches 'val_loss'.*Give fit the validation data"):
            run(session, EarlyStopping(), validation=None)
        assert session.step == 0


def test_what_is_watched_is_a_number(tmp_path: Path) -> None:
    confusion = {"confusion": metrics.confusion_matrix("logits", "y", classes=3)}
    with sg.Session(classifier(), "numpy") as session:
        for options in (
            {"callbacks": [EarlyStopping("val_confusion")]},
            {"checkpoint": Checkpoints(tmp_path, best_by="val_confusion")},
        ):
            with pytest.raises(sg.DataError, match="'val_confusion' is watched, and it is"):
                fit(session, DATA, validation=HELD, batch_size=8, metrics=confusion, quiet=True, **options)


# Logs


def test_a_csv_log_has_the_rows_of_the_history(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("what an earlier run left\n" * 100)
    with sg.Session(classifier(), "numpy") as session:
        history = run(session, CsvLog(path), checkpoint=tmp_path / "run")
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [{k: float(v) for k, v in row.items()} for row in rows] == [dict(row) for row in history.rows]
        with path.open("a") as file:
            file.write("9,9,9,9,9,9,9\nhalf a li")  # by a process that was killed later
        history = run(session, CsvLog(path), resume=tmp_path / "run", epochs=4)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [{k: float(v) for k, v in row.items()} for row in rows] == [dict(row) for row in history.rows]


def test_logs_that_cannot_be_written_are_named_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with sg.Session(classifier(), "numpy") as session:
        for log, message in (
            (CsvLog(tmp_path), "it is a folder"),
            (CsvLog(tmp_path / "no" / "log.csv"), "there is no folder"),
            (CsvLog("/proc/log.csv"), "cannot be written"),
            (TensorBoard(tmp_path / "file"), "it is a file"),
            (TensorBoard("/proc/logs"), "cannot be written to"),
        ):
            with pytest.raises(sg.DataError, match=message):
                run(session, log)
        assert session.step == 0


def records(path: Path) -> list[Any]:
    """The events of a file: each with its length, 8 bytes, and two checksums."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What event files hold: the values of each tag with their steps, in the order of the files."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for event in records(path):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_event_files_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the package that writes event files is not installed")
    with sg.Session(classifier(), "numpy") as session:
        history = run(session, TensorBoard(tmp_path / "runs" / "a", every=2), feeds={})
    found = events(tmp_path / "runs" / "a")
    assert found["step/loss"] == [(step, np.float32(history.losses[step - 1])) for step in (2, 4, 6, 8)]
    assert found["epoch/val_accuracy"] == [
        (step, np.float32(value)) for step, value in zip((3, 6, 9), history["val_accuracy"], strict=True)
    ]
    columns = ("loss", "val_loss", "val_accuracy", "examples", "seconds")
    assert set(found) == {"step/loss", *(f"epoch/{name}" for name in columns)}


def test_event_files_of_a_resumed_run_hide_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the package that writes event files is not installed")
    with sg.Session(classifier(), "numpy") as session:
        run(session, TensorBoard(tmp_path / "log"), checkpoint=tmp_path / "run", epochs=1)
        run(session, TensorBoard(tmp_path / "log"), resume=tmp_path / "run", epochs=2)
    from tensorboardX.proto.event_pb2 import SessionLog

    files = sorted((tmp_path / "log").iterdir())
    assert len(files) == 2
    begun = [
        event for path in files for event in records(path) if event.session_log.status == SessionLog.START
    ]
    assert [event.step for event in begun] == [4]
    assert [step for step, _ in events(tmp_path / "log")["step/loss"]] == [1, 2, 3, 4, 5, 6]


def test_a_disk_that_is_full_ends_a_run_with_the_log_s_name_and_no_half_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX", reason="the package that writes event files is not installed")
    with sg.Session(classifier(), "numpy") as session:

        class Full:
            def write(self, data: bytes) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            flush = close = lambda self: None

        monkeypatch.setattr("tensorboardX.event_file_writer.RecordWriter", lambda path: Full())
        with pytest.raises(sg.DataError, match="log cannot be written: No space left on device"):
            run(session, TensorBoard(tmp_path / "log"))
        resource = pytest.importorskip("resource", reason="this system has no limits of file sizes")
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        path = tmp_path / "log.csv"

        def fill(now: Progress, session: sg.Session) -> None:
            if now.epoch == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limit[1]))

        try:
            with pytest.raises(sg.DataError, match=r"log.csv cannot be written"):
                run(session, LambdaCallback(on_epoch=fill), CsvLog(path), epochs=5)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        lines = path.read_text().splitlines(keepends=True)
        assert len(lines) == 2 and lines[1].endswith("\n"), "the header and the first epoch"


def test_a_missing_package_is_named_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboardX", "tensorboardX.event_file_writer", "tensorboardX.proto.event_pb2"):
        monkeypatch.setitem(sys.modules, name, None)
    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(sg.DataError, match=r"(?s)the package tensorboardX.*\[train\]"):
            run(session, TensorBoard(tmp_path / "a"))
        assert session.step == 0 and not list(tmp_path.iterdir())


def test_training_needs_no_package_of_the_extras() -> None:
    text = """
import sys
for name in ("rich", "safetensors", "tensorboardX", "matplotlib", "llvmlite", "sklearn", "scipy", "pooch"):
    sys.modules[name] = None
import numpy as np
import symgraph as sg
x, w = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=1.0)
graph = sg.train.minimize(sg.define(loss=sg.mean((x * w) ** 2)), "loss", sg.train.sgd(0.1))
with sg.Session(graph, "numpy") as session:
    history = sg.train.fit(session, {"x": np.ones(4, np.float32)}, batch_size=2)
    print(len(history.losses))
    try:
        sg.train.fit(session, {"x": np.ones(4, np.float32)}, batch_size=2, checkpoint="run")
    except sg.CheckpointError as error:
        print(error.hint)
    print(session.step)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("epoch 1/1  loss")
    assert lines[1:] == ["2", 'Install it with: pip install "symgraph[train]"', "2"]
