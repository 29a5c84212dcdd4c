"""Training: epochs of steps with validation, callbacks and checkpoints, resumed to the bit.

    fit : Session -> data -> History

Everything that decides how training goes on is in one record, `Now`: a checkpoint holds all of it, and the
variables. What is not in it (the order of an epoch, the batches) is a function of the seed and the place in the data.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import attrs
import numpy as np

from symgraph.errors import DataError, ExecutionError, GraphError
from symgraph.fetches import Groups, groups_of
from symgraph.session import Session
from symgraph.train.callbacks import Callback, MakesCallback, Stop, require_column, whole
from symgraph.train.checkpoint import Checkpoint, read, require_safetensors
from symgraph.train.checkpoints import Checkpoints, Target, check_file, check_folder, resumed_from
from symgraph.train.divergence import check_weights, diverged, watched
from symgraph.train.evaluation import (
    Measure,
    Outputs,
    about_row,
    check_metrics,
    evaluated,
    folded,
    measure,
    needed,
    output_names,
    require_session,
    weighted_mean,
)
from symgraph.train.feeding import Cutting, Map, source
from symgraph.train.feeding import batch_size as checked_size
from symgraph.train.history import History
from symgraph.train.interruption import Interrupted, interruptible
from symgraph.train.metrics import Metric
from symgraph.train.progress import Display, display
from symgraph.train.resumption import restored, save, save_epoch, state_names
from symgraph.train.run import Clock, Known, Now, Run
from symgraph.values import shown

_TRAIN, _STATE = "train", "state"
_RATE = "learning_rate"


def fit(
    session: Session,
    train: Any,
    *,
    validation: Any = None,
    epochs: int = 1,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int | None = None,
    drop_last: bool = False,
    map: Map | None = None,
    feeds: Mapping[str, Any] | None = None,
    outputs: Outputs = "loss",
    update: Groups = None,
    metrics: Mapping[str, Metric] | None = None,
    train_metrics: bool = False,
    validation_outputs: Mapping[str, str] | None = None,
    callbacks: Sequence[MakesCallback] = (),
    checkpoint: Target | None = None,
    save_every: int | None = None,
    resume: Any = None,
    check_data: bool = True,
    prefetch: int = 0,
    quiet: bool = False,
    out: TextIO | None = None,
) -> History:
    """Train: for each batch one step that runs the update groups, epoch after epoch.

    `train` holds the examples: a mapping from names of placeholders to arrays of one length, `Examples` (whose `x`
    and `y` are the placeholders of these names), any record like it, an iterable of such batches, or a function of
    the epoch's number, from 0, that gives one. `map` makes of a batch what is fed, such as floats of pixels; it is a
    pure function. `feeds` is what is fed beside the data: values, or functions of the step's number, from 1.

    There are `epochs` epochs in all, those before a resumption included. Arrays are cut into batches of
    `batch_size`, in an order that `seed` (by default the session's) and the epoch decide; without `shuffle` in their
    own. The last batch of an epoch holds what is left over, or is left out by `drop_last`. `prefetch` batches are
    made ahead on a thread.

    `outputs` names scalar outputs that are averaged over an epoch's examples, the first being the loss; `update` the
    groups, by default "train", and "state" where the graph has it. `metrics` are folded over the `validation`
    data after each epoch, and with `train_metrics`, or where there is no validation, over the training batches, as
    the network was before each update. For a network that behaves otherwise in validation (dropout, batch
    normalisation) an output `evaluation/NAME` stands there for NAME, as `symgraph.nn.with_evaluation` makes them;
    `validation_outputs` maps other names to those that stand for them.

    `callbacks` see each step and epoch: `EarlyStopping`, `CsvLog`, `TensorBoard`, `LambdaCallback`, `Callback`.
    `checkpoint` is a file that is replaced after each epoch, at the end, on Ctrl-C and with `save_every` after each
    so many steps; or a `Checkpoints` folder. `resume` is a checkpoint to go on from, or True: this run's own, if it is
    there. A run that was killed and resumed gives the same losses, metrics and weights as one that was not, bit for
    bit; only `epochs` and callbacks may differ.

    On a terminal a bar shows the loss, the speed and the time left, elsewhere lines do (to `out`, by default standard
    output), nothing does if `quiet`. Ctrl-C ends training between two steps, saves, and raises `Interrupted`, which
    is a KeyboardInterrupt and has the history; a second one interrupts at once.

    Raises DataError, FeedError and GraphError before anything is trained; DivergenceError for a loss or weights that
    are not finite, with the node where that began, and with the weights from before that step; CheckpointError.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder, variable
    >>> from symgraph.train import minimize, sgd
    >>> x, y, w = placeholder("x", ("batch",)), placeholder("y", ("batch",)), variable("w", ())
    >>> graph = minimize(define(loss=ops.mean((w * x - y) ** 2)), "loss", sgd(0.1))
    >>> points = np.linspace(-1, 1, 50, dtype=np.float32)
    >>> with Session(graph) as session:
    ...     history = fit(session, {"x": points, "y": 3 * points}, epochs=20, batch_size=10, quiet=True)
    ...     print(len(history), len(history.losses), f"{session.variables['w']:.3f}")
    20 100 2.998
    """
    require_session(session, "fit")
    epochs = whole("epochs", epochs, 0)
    found = resumed_from(resume, checkpoint)  # a run that begins anew must not delete an older one's files
    target, every = _target(checkpoint, save_every)
    saved = None if found is None else read(found)
    cutting = Cutting(
        checked_size(batch_size, None, "train", False),
        bool(shuffle),
        (session if saved is None else saved).seed if seed is None else whole("seed", seed, 0),
        bool(drop_last),
        whole("prefetch", prefetch, 0),
        check=bool(check_data),
    )
    names = output_names(outputs)
    if not names:
        raise DataError("fit watches no output", hint='Name the loss: outputs="loss".')
    groups = _groups(session, update)
    folds = {} if metrics is None else metrics
    check_metrics(folds, names)
    data = source(session.graph, train, cutting, map, epochs, "train")
    own = folds if train_metrics or validation is None else {}
    training = measure(session, data, names, own, feeds or {}, groups, "train")
    validating = None
    if validation is not None:
        validating = _validating(
            session,
            validation,
            cutting,
            map,
            epochs,
            names,
            folds,
            feeds or {},
            validation_outputs,
        )
    made = _callbacks(callbacks)
    columns = _columns(session, training, validating, feeds or {})
    if isinstance(target, Checkpoints) and target.best_by is not None:
        require_column("Checkpoints", target.best_by, columns)
    identity = {
        "data": data.identity,
        "batch_size": cutting.size,
        "shuffle": cutting.shuffle,
        "seed": cutting.seed,
        "drop_last": cutting.drop_last,
        "outputs": list(training.outputs),
        "update": sorted(groups),
        "metrics": sorted(own),
    }
    run = Run(session, training, validating, epochs, feeds or {}, made, target, every, columns, identity)
    return _trained(run, saved, found, out or sys.stdout, quiet)


# What is made ready before the first step.


def _target(checkpoint: Any, save_every: Any) -> tuple[Path | Checkpoints | None, int | None]:
    """Where checkpoints go, and after how many steps; raises DataError where nothing can be written."""
    every = None if save_every is None else whole("save_every", save_every)
    if checkpoint is None:
        if every is not None:
            raise DataError(
                "save_every saves to a checkpoint, and none is named", hint="Write checkpoint=PATH."
            )
        return None, None
    require_safetensors()
    if isinstance(checkpoint, Checkpoints):
        if every is not None:
            raise DataError(
                "save_every and Checkpoints say when to save", hint="Write Checkpoints(..., every=N)."
            )
        check_folder("the checkpoint", checkpoint.folder)
        checkpoint.clear()
        return checkpoint, checkpoint.every
    if not isinstance(checkpoint, str | os.PathLike):
        raise DataError(
            f"checkpoint is a path, and this is {shown(checkpoint)}", hint='Write "run.safetensors".'
        )
    check_file("the checkpoint", Path(checkpoint))
    return Path(checkpoint), every


def _groups(session: Session, update: Groups) -> tuple[str, ...]:
    present = tuple(name for name, _ in session.graph.updates)
    if update is not None:
        chosen = groups_of(update)
    else:  # a state alone, such as a random key, trains nothing
        chosen = tuple(name for name in (_TRAIN, _STATE) if name in present) if _TRAIN in present else ()
    if chosen:
        return chosen
    listed, known = ", ".join(map(repr, present)), set(present) - {_STATE}
    raise GraphError(
        "there is nothing to train: "
        + (f"the update groups are {listed}" if present else "the graph has no updates"),
        hint=f"Name those to run: update=({listed},)."
        if known
        else 'Write graph = symgraph.train.minimize(graph, "loss", symgraph.train.sgd(0.1)).',
    )


def _validating(
    session: Session,
    validation: Any,
    cutting: Cutting,
    map: Map | None,
    epochs: int,
    outputs: Sequence[str],
    metrics: Mapping[str, Metric],
    feeds: Mapping[str, Any],
    stands_for: Mapping[str, str] | None,
) -> Measure:
    unshuffled = attrs.evolve(cutting, shuffle=False, drop_last=False, clip=True)
    found = source(session.graph, validation, unshuffled, map, epochs, "validation")
    kept = {name: value for name, value in feeds.items() if name not in found.names}
    renamed = evaluated(session.graph, stands_for)
    return measure(session, found, outputs, metrics, kept, None, "validation", renamed)


def _callbacks(given: Any) -> tuple[Callback, ...]:
    if not isinstance(given, Iterable):
        raise DataError(
            f"callbacks is a list, and this is {shown(given)}", hint="Write callbacks=[EarlyStopping()]."
        )
    makers = tuple(given)
    wrong = next((one for one in makers if isinstance(one, type) or not hasattr(one, "callback")), None)
    if wrong is not None:
        raise DataError(
            f"{shown(wrong)} is no callback",
            hint="Write such as EarlyStopping(patience=3), or LambdaCallback(on_epoch=function).",
        )
    return tuple(maker.callback() for maker in makers)


def _columns(
    session: Session, training: Measure, validating: Measure | None, feeds: Mapping[str, Any]
) -> tuple[str, ...]:
    names = ["epoch", "step", *training.outputs, *training.metrics]
    if validating is not None:
        names += [f"val_{name}" for name in (*validating.outputs, *validating.metrics)]
    if _has_rate(session, feeds) and _RATE not in names:
        names.append(_RATE)
    names += ["examples", "seconds"]
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise DataError(
            f"two columns of the history would have the name {twice!r}",
            hint="Name the output or the metric otherwise.",
        )
    return tuple(names)


def _has_rate(session: Session, feeds: Mapping[str, Any]) -> bool:
    """Whether a feed, a variable, or a scalar output that needs no data tells the learning rate."""
    graph = session.graph
    if _RATE in feeds or _RATE in graph.placeholders:
        return _RATE in feeds
    if _RATE not in graph.variables and _RATE not in dict(graph.outputs):
        return False
    node = graph[_RATE]
    return getattr(node.type, "shape", None) == () and not needed(graph, [node.id])


# Training.


def _trained(run: Run, saved: Checkpoint | None, path: Path | None, out: TextIO, quiet: bool) -> History:
    now = Now(run.train.start(), tuple([] for _ in run.train.outputs))
    states: Mapping[str, Any] = {}
    if saved is not None and path is not None:
        states = restored(run, now, saved, path)
        if not quiet:
            print(_resumed(run, now, path), file=out, flush=True)
    run = attrs.evolve(run, watched=watched(run.session))
    clock = Clock(counted=now.step)
    with _started(run, now, states), interruptible() as stopped:
        with display(out, quiet) as shown_on:
            ended = _epochs(run, now, clock, shown_on, stopped)
        if not ended:
            raise _interrupted(run, now, out, quiet)
        if now.stopped and not quiet:
            print(now.stopped, file=out)
        save(run, now)
        for place in range(len(run.callbacks)):
            _hook(run, now, place, "on_end")
        if stopped():  # Ctrl-C is never let go
            raise _interrupted(run, now, out, quiet)
    return History(now.rows, now.columns[0], stopped=now.stopped)


def _resumed(run: Run, now: Now, path: Path) -> str:
    if now.epoch >= run.epochs:
        return f"resumed {path}: all {run.epochs} epochs are done, and nothing is left to train"
    return f"resumed {path} after step {now.step}, in epoch {now.epoch + 1} of {run.epochs}"


def _epochs(run: Run, now: Now, clock: Clock, shown_on: Display, stopped: Callable[[], bool]) -> bool:
    """All epochs that are left; False if Ctrl-C came."""
    while now.epoch < run.epochs and not (now.stopped and now.index == 0):
        if not (_steps(run, now, clock, shown_on, stopped) and _finished(run, now, clock, shown_on, stopped)):
            return False
    return True


@contextmanager
def _started(run: Run, now: Now, states: Mapping[str, Any]) -> Iterator[None]:
    """Start the callbacks, and close those that were started in any case, the last one first."""
    with ExitStack() as stack:
        for callback, name in zip(run.callbacks, state_names(run), strict=True):
            now.callbacks.append(callback.start(states.get(name), run.progress(now), run.session))
            if callback.close is not None:
                stack.callback(_close, callback.close, now, len(now.callbacks) - 1)
        yield


def _close(close: Callable[[Any], None], now: Now, place: int) -> None:
    close(now.callbacks[place])


def _steps(run: Run, now: Now, clock: Clock, shown_on: Display, stopped: Callable[[], bool]) -> bool:
    """The steps of an epoch that are left; False if Ctrl-C came."""
    if now.stopped:
        return True
    found, measured, step = run.train.source, run.train, run.train.step
    many = len(measured.outputs)
    columns, losses, counts = now.columns, now.columns[0], now.counts
    extras, changing = measured.extras, any(callable(value) for value in run.feeds.values())
    hooks = [(place, c.every) for place, c in enumerate(run.callbacks) if c.on_step is not None]
    begun, first, interval, every = perf_counter(), len(counts), shown_on.interval, run.every
    then = begun + interval
    now.known = Known.now(run.session, now)
    for values, place in found.epoch(now.epoch, now.index):
        if changing:
            extras = run.extras(len(counts) + 1)
        try:
            results = step(*values, *extras)
        except ExecutionError as error:
            what = about_row(error, found, values, now.epoch, place, len(counts) + 1, "train")
            error.details = (*error.details, what)
            raise
        loss = float(results[0])
        if not isfinite(loss):
            raise diverged(run, now, measured.outputs[0], values, extras, len(counts) + 1, loss)
        losses.append(loss)
        counts.append(len(values[found.lead]))
        now.index = place
        for k in range(1, many):
            columns[k].append(float(results[k]))
        if measured.metrics:
            now.metrics = measured.add(now.metrics, values, results)
        for at, each in hooks:
            if len(counts) % each == 0:
                _hook(run, now, at, "on_step")
        if every is not None and len(counts) % every == 0:
            check_weights(run, now, values, extras)
            now.known = Known.now(run.session, now)
            save(run, now)
        if perf_counter() >= then:
            shown_on.step(run.progress(now), clock.speed(run, now, begun))
            then = perf_counter() + interval
        if now.stopped or stopped():
            break
    now.spent += perf_counter() - begun
    clock.training += perf_counter() - begun
    if len(counts) > first:
        check_weights(run, now, values, extras)
    return not stopped()


def _finished(run: Run, now: Now, clock: Clock, shown_on: Display, stopped: Callable[[], bool]) -> bool:
    """The end of an epoch: validation, its row, the callbacks and a checkpoint; False if Ctrl-C came."""
    begun, start = perf_counter(), sum(row["step"] for row in now.rows[-1:])
    row: dict[str, Any] = {"epoch": now.epoch + 1, "step": now.step}
    for name, column in zip(run.train.outputs, now.columns, strict=True):
        row[name] = weighted_mean(column[start:], now.counts[start:])
    row.update(run.train.results(now.metrics))
    if run.validation is not None:
        held = folded(run.validation, "validation", stopped)
        if held is None:
            return False
        row.update({f"val_{name}": value for name, value in held.items()})
    if _RATE in run.columns and _RATE not in row:
        row[_RATE] = _rate(run, now)
    row["examples"] = sum(now.counts[start:])
    row["seconds"] = now.spent + perf_counter() - begun
    now.rows = (*now.rows, {name: _plain(row[name]) for name in run.columns})
    shown_on.epoch(run.progress(now), clock.speed(run, now, perf_counter()))
    for place in range(len(run.callbacks)):
        _hook(run, now, place, "on_epoch")
    now.epoch, now.index, now.spent, now.metrics = now.epoch + 1, 0, 0.0, run.train.start()
    save_epoch(run, now)
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value.tolist() if isinstance(value, np.ndarray) else value


def _rate(run: Run, now: Now) -> float | None:
    """The learning rate, where a feed, a variable or an output that needs no data tells it."""
    if _RATE in run.feeds:
        value = run.feeds[_RATE]
        return float(value(now.step) if callable(value) else value)
    return float(run.session.run(_RATE))


# Callbacks, and what ends training before its end.


def _hook(run: Run, now: Now, place: int, event: str) -> None:
    hook = getattr(run.callbacks[place], event)
    if hook is None:
        return
    found = hook(now.callbacks[place], run.progress(now), run.session)
    if isinstance(found, Stop):
        now.stopped = now.stopped or str(found.reason) or "stopped by a callback"
        found = found.state
    now.callbacks[place] = found


def _interrupted(run: Run, now: Now, out: TextIO, quiet: bool) -> Interrupted:
    where = f"stopped after step {now.step}, in epoch {min(now.epoch + 1, run.epochs)} of {run.epochs}"
    if run.target is None:
        told = message = f"{where}; nothing was saved, since there is no checkpoint=PATH"
    else:
        save(run, now)
        path = run.target.folder if isinstance(run.target, Checkpoints) else run.target
        # A program that catches the exception has a command of its own to go on.
        told = f"{where}; saved to {path}"
        message = f"{where}; resume with fit(..., resume={str(path)!r})"
    if not quiet:
        print(told, file=out, flush=True)
    return Interrupted(message, History(now.rows, now.columns[0], interrupted=True))
