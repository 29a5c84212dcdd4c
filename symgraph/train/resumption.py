"""Checkpoints of a training run: all that decides how it goes on, beside the variables.

save     : Run -> Now -> a file
restored : a file -> Run -> Now, states of the callbacks
"""

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.data.batches import Position
from symgraph.errors import CheckpointError
from symgraph.ir import Array
from symgraph.train.callbacks import better, number_in
from symgraph.train.checkpoint import Checkpoint
from symgraph.train.checkpoints import BEST, Checkpoints
from symgraph.train.history import Row
from symgraph.train.packing import pack, unpack
from symgraph.train.run import Now, Run

_KEY = "fit"  # of what a checkpoint's `extra` holds about training


def restored(run: Run, now: Now, saved: Checkpoint, path: Path) -> Mapping[str, Any]:
    """Set the session and `now` to what was saved; the states of callbacks by name."""
    held = saved.extra.get(_KEY)
    if not isinstance(held, dict) or not isinstance(held.get("identity"), dict) or saved.position is None:
        raise CheckpointError(
            f"{path} was not saved by fit", hint="Load its weights by session.restore(path), and train anew."
        )
    if saved.fingerprint != run.session._fingerprint:
        raise CheckpointError(
            f"{path} is a checkpoint of another graph", hint="Resume with the graph that it was made with."
        )
    for name, value in run.identity.items():
        if held["identity"].get(name) != value:
            raise CheckpointError(
                f"{path} was made with {name} = {held['identity'].get(name)!r}, and now it is {value!r}",
                hint="Resume with the data and the arguments that it was made with; only epochs and callbacks may "
                "change.",
            )
    run.session.restore(path)
    for k, column in enumerate(now.columns):
        column.extend(saved.arrays[f"fit/outputs/{k}"].tolist())
    now.counts.extend(saved.arrays["fit/counts"].tolist())
    now.epoch, now.index = saved.position.epoch, saved.position.index
    now.rows = tuple(_ordered(row, run.columns) for row in unpack(held["rows"], {}))
    now.metrics = unpack(held["metrics"], saved.arrays)
    now.spent, now.best, now.stopped = held["spent"], held["best"], held["stopped"]
    if path == place_of(run, now):
        now.saved = (now.step, now.epoch)
    return {name: unpack(state, saved.arrays) for name, state in held["callbacks"].items()}


def _ordered(row: Row, columns: Sequence[str]) -> Row:
    """The same row with its columns in order, which JSON does not keep."""
    return {name: row[name] for name in (*columns, *sorted(row)) if name in row}


def state_names(run: Run) -> list[str]:
    """A name for each callback's state: its own, with a number where two have one."""
    taken: list[str] = []
    for callback in run.callbacks:
        numbered = (f"{callback.name}#{k}" if k else callback.name for k in count())
        taken.append(next(name for name in numbered if name not in taken))
    return taken


def place_of(run: Run, now: Now) -> Path | None:
    """The file of the checkpoint of this moment."""
    return run.target.file(now.step) if isinstance(run.target, Checkpoints) else run.target


def save(run: Run, now: Now) -> None:
    """The checkpoint of this moment, if it is not there yet."""
    path = place_of(run, now)
    if path is None or now.saved == (now.step, now.epoch):
        return
    _write(run, now, path)
    now.saved = (now.step, now.epoch)
    if isinstance(run.target, Checkpoints):
        run.target.prune(now.step)


def save_epoch(run: Run, now: Now) -> None:
    """The checkpoints after an epoch: the best so far, and that of this moment."""
    target = run.target
    if isinstance(target, Checkpoints) and target.best_by is not None:
        value = number_in(now.rows[-1], target.best_by)
        if better(value, now.best, target.mode):
            now.best = value
            _write(run, now, target.folder / BEST)
    if not isinstance(target, Checkpoints) or target.each_epoch:
        save(run, now)


def _write(run: Run, now: Now, path: Path) -> None:
    arrays: dict[str, Array] = {"fit/counts": np.array(now.counts, np.int64)}
    for k, column in enumerate(now.columns):
        arrays[f"fit/outputs/{k}"] = np.array(column, np.float64)
    metrics, held = pack(now.metrics, "fit/metrics")
    arrays.update(held)
    states: dict[str, Any] = {}
    for callback, name, state in zip(run.callbacks, state_names(run), now.callbacks, strict=True):
        if callback.save is not None:
            states[name], held = pack(callback.save(state), f"fit/callbacks/{name}")
            arrays.update(held)
    extra = {
        "identity": run.identity,
        "rows": pack(now.rows, "rows")[0],
        "metrics": metrics,
        "callbacks": states,
        "spent": now.spent,
        "best": now.best,
        "stopped": now.stopped,
    }
    run.session.save(path, extra={_KEY: extra}, position=Position(now.epoch, now.index), arrays=arrays)
