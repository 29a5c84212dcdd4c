"""The programs of single networks: one is trained, tested, and its figures are told.

main   : Model -> arguments -> exit code
fitted : (Settings -> Graph) -> Settings -> Dataset -> Page -> Trained
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, TypeAlias

import attrs

import symgraph as sg
from models import cli, images, study
from symgraph.data import Dataset
from symgraph.ir import Array

_TALK_BATCH = 1000
_TALK_STEPS = 60  # the talk's 60,000 pictures in batches of 1000


@attrs.frozen
class Trained:
    """A network after its training: the history, its weights, its answers to the test images, and which are right.

    `seconds` is the time of this run's training, `compile_seconds` that of making the graph and compiling it.
    """

    history: sg.train.History
    weights: Mapping[str, Array]
    outputs: Array
    right: Array
    seconds: float
    compile_seconds: float = 0.0

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss of each batch before its update, those before a resumption included."""
        return self.history.losses

    @property
    def accuracy(self) -> float:
        """The share of the test images that are told rightly."""
        return float(self.right.mean())


Train: TypeAlias = Callable[[cli.Settings, Dataset, study.Page], Trained]


@attrs.frozen
class Model:
    """A network's program: its name, its text for --help, and how it is trained.

    `used` is how many examples of the talk's batches of 1000 are trained on, `options` adds its own options.
    """

    name: str
    about: str
    train: Train
    used: int | None = None
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None


def fitted(
    declare: Callable[[cli.Settings], sg.Graph],
    settings: cli.Settings,
    data: Dataset,
    page: study.Page = study.SILENT,
    *,
    shape: tuple[int, ...] = (images.PIXELS,),
    output: str = "logits",
    **options: Any,
) -> Trained:
    """Train a graph on images of that shape by `sg.train.fit`, which takes the options; its answers are `output`."""
    begun = perf_counter()
    ready: list[float] = []
    clock = sg.train.Callback("clock", start=lambda *_: ready.append(perf_counter()))
    prepared = images.prepared(settings.dtype, settings.classes, shape)
    with sg.Session(declare(settings), settings.backend, settings.seed) as session:
        history = sg.train.fit(
            session,
            data.train,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            shuffle=settings.shuffle,
            seed=settings.seed,
            map=images.prepared(settings.dtype, settings.classes, shape, settings.used),
            callbacks=[clock],
            checkpoint=settings.checkpoint,
            resume=settings.resume,
            quiet=page.quiet,
            out=page.out,
            **options,
        )
        done = perf_counter()
        outputs = sg.train.predict(session, output, data.test, map=prepared)
        right = images.right(outputs, data.test.y)
        weights = session.variables.snapshot()
    return Trained(history, weights, outputs, right, done - ready[0], ready[0] - begun)


def main(model: Model, arguments: Sequence[str] | None = None) -> int:
    """Run a network's program; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = cli.plain_parser(f"python -m models.{model.name}", model.about)
    cli.data_options(parser)
    cli.run_options(parser, why=", as in the talk")
    cli.training_options(
        parser, batch="the talk's 1000, fewer where the data is small", learning_rate="1, as in the talk"
    )
    about = "another order each epoch; default: that of the file"
    parser.add_argument("--shuffle", action="store_true", help=about)
    model.options(parser)
    return cli.guarded(parser, given, lambda args: _run(model, args))


def _run(model: Model, args: argparse.Namespace) -> int:
    page = study.opened(args)
    data, settings = page.load(), cli.settings(args)
    if args.batch_size is None:
        settings = in_talks_batches(settings, data, model.used)
    done = model.train(settings, data, page)
    page.say(report(done, data))
    page.chart({model.name: done.losses}, f"Training loss on {data.name}")
    page.result(plain(model.name, done, data))
    return cli.DONE


def in_talks_batches(settings: cli.Settings, data: Dataset, used: int | None) -> cli.Settings:
    """The settings with the batch size where none is asked for, and how many of a batch are trained on."""
    size, used = batches_for(len(data.train), used)
    return attrs.evolve(settings, batch_size=size, used=used)


def batches_for(examples: int, used: int | None) -> tuple[int, int | None]:
    """The size of the batches, and how many examples of each are used.

    It is the talk's 1000; where two such batches cannot be filled, as from scikit-learn's digits, a sixtieth
    of the examples, so that there are as many steps as in the talk.

    >>> batches_for(60_000, 100), batches_for(1500, 100), batches_for(1500, None), batches_for(7, None)
    ((1000, 100), (25, 25), (25, None), (1, None))
    """
    if examples >= 2 * _TALK_BATCH:
        return _TALK_BATCH, used
    size = max(1, examples // _TALK_STEPS)
    return size, None if used is None else min(used, size)


def report(done: Trained, data: Dataset) -> str:
    """What came of training, as text."""
    return (
        f"first batch     loss {done.losses[0]:.4f}\n"
        f"last batch      loss {done.losses[-1]:.4f}\n"
        f"test accuracy   {done.accuracy:.4f} on {data.name}\n"
        f"time            {done.seconds:.2f} s, compiled in {done.compile_seconds:.3f} s"
    )


def plain(name: str, done: Trained, data: Dataset) -> dict[str, Any]:
    """What came of training, as JSON holds it."""
    return {
        "model": name,
        "dataset": data.name,
        "train_loss": done.losses,
        "test_accuracy": done.accuracy,
        "seconds": done.seconds,
        "compile_seconds": done.compile_seconds,
    }
