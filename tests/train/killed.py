"""A program that is killed at random moments and resumed, and says what came of it, as JSON.

    python -m tests.train.killed BACKEND FOLDER SEED KILLS

Each run is a child of this process, which has one thread and has imported everything. A child is killed by a signal
from outside at a random time, by itself after a random step, or by itself within a save: before the bytes are
written, half way, before the new file takes its name, or after.
"""

import json
import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import files
from symgraph.train import checkpoint, checkpoints, logs, metrics, optimizers
from symgraph.train.callbacks import EarlyStopping, LambdaCallback
from symgraph.train.checkpoints import Checkpoints
from symgraph.train.history import History
from symgraph.train.loop import fit
from tests.train.networks import ACCURACY, bits, classifier, points

SEED = 3


def train(
    backend: str, folder: Path, seed: int, callbacks: tuple[Any, ...] = ()
) -> tuple[sg.Session, History]:
    """A run with everything that has a state: an optimizer, metrics, early stopping, a best checkpoint, a log."""
    session = sg.Session(classifier(optimizer=optimizers.adam(0.05)), backend, seed=seed)
    store = Checkpoints(folder / "kept", every=3, keep=2, best_by="val_accuracy", mode="max")
    history = fit(
        session,
        points(50),
        validation=points(20, seed=1),
        epochs=40,
        batch_size=8,
        seed=5,
        outputs=("loss", "largest"),
        metrics={**ACCURACY, "confusion": metrics.confusion_matrix("logits", "y", classes=3)},
        train_metrics=True,
        callbacks=(
            EarlyStopping("val_loss", patience=12, min_delta=0.05),
            logs.CsvLog(folder / "log.csv"),
            *callbacks,
        ),
        checkpoint=store,
        resume=True,
        quiet=True,
    )
    return session, history


def told(session: sg.Session, history: History, folder: Path) -> dict[str, Any]:
    """All that must be equal."""
    best = checkpoint.read(folder / "kept" / checkpoints.BEST)
    return {
        "losses": [loss.hex() for loss in history.losses],
        "rows": [
            {name: repr(value) for name, value in row.items() if name != "seconds"} for row in history.rows
        ],
        "stopped": history.stopped,
        "weights": {name: value.hex() for name, value in bits(session).items()},
        "step": session.step,
        "best": {name: tensor.tobytes().hex() for name, tensor in best.tensors.items()} | {"step": best.step},
        "log": [line.rpartition(",")[0] for line in (folder / "log.csv").read_text().splitlines()],
        "kept": sorted(path.name for path in (folder / "kept").iterdir() if not path.name.startswith(".")),
    }


def kill() -> None:
    """End this process at once, as loss of power would."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_a_save(at: int, where: str) -> None:
    """From now on, the save number `at` ends this process at some place."""
    replace, write, saves = os.replace, files.replace, [0]

    def replacing(source: Any, target: Any) -> None:
        saves[0] += 1
        if saves[0] == at and where == "before":
            kill()
        replace(source, target)
        if saves[0] == at and where == "after":
            kill()

    def writing(path: Path, data: bytes) -> None:
        if saves[0] + 1 == at and where == "half":
            path.with_name(files.UNFINISHED.replace("*", "half")).write_bytes(data[: len(data) // 2])
            kill()
        write(path, data)

    os.replace, checkpoint.replace = replacing, writing  # type: ignore[attr-defined]


def child(backend: str, folder: Path, rng: np.random.Generator, way: str, written: int) -> None:
    """One run, which may come to its end."""
    latest = checkpoints.latest(folder / "kept")
    seed = SEED if latest is None else int(rng.integers(1000))  # what is resumed does not depend on it
    callbacks: tuple[Any, ...] = ()
    if way == "step":
        last = int(rng.integers(1, 20)) + (0 if latest is None else checkpoint.read(latest).step)
        callbacks = (LambdaCallback(on_step=lambda now, session: kill() if now.step >= last else None),)
    if way == "save":
        killed_in_a_save(int(rng.integers(1, 8)), str(rng.choice(["half", "before", "after"])))
    made = train(backend, folder, seed, callbacks)
    os.write(written, json.dumps(told(*made, folder)).encode())
    os._exit(0)


def start(
    backend: str, folder: Path, rng: np.random.Generator, way: str, after: float
) -> dict[str, Any] | None:
    """What a run came to, None if it was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        child(backend, folder, rng, way, writing)
    os.close(writing)
    if way == "time":
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    data = b""
    while part := os.read(reading, 1 << 16):
        data += part
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return None
    assert status == 0, status
    found: dict[str, Any] = json.loads(data)
    return found


def main(backend: str, folder: Path, seed: int, wanted: int) -> None:
    """Print the results of a run that was not killed and of those that were, and how often."""
    os.fsync = lambda descriptor: None  # what a process wrote outlives it; only loss of power asks for this
    for name in ("whole", "again"):  # the second time all is imported and compiled, as in the children
        begun = time.perf_counter()
        (folder / name).mkdir()
        whole = told(*train(backend, folder / name, SEED), folder / name)
        seconds = time.perf_counter() - begun
    kills: list[int] = []
    results = []
    for run in count():
        apart = folder / f"killed{run}"
        apart.mkdir()
        kills.append(0)
        found = None
        while found is None:
            number = sum(kills)
            rng = np.random.default_rng([seed, number, run])
            way = ("step", "save", "time")[number % 3] if number < wanted else "none"
            found = start(backend, apart, rng, way, float(rng.uniform(0.1, 0.6)) * seconds)
            kills[-1] += found is None
        results.append(found)
        if sum(kills) >= wanted:
            break
    print(json.dumps({"whole": whole, "killed": results, "kills": kills}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
