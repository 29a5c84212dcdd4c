"""The command line of the models: common options, progress, results, errors and Ctrl-C.

main : Model -> arguments -> exit code      0 done, 2 what the user can mend, 130 stopped by Ctrl-C
"""

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from tempfile import TemporaryFile
from threading import current_thread, main_thread
from typing import Any, TextIO

import attrs

import symgraph as sg
from models import chart, training
from symgraph.compile import lowering
from symgraph.data import Dataset

DONE, WRONG, STOPPED = 0, 2, 130
_TALK_BATCH = 1000
_TALK_STEPS = 60  # the talk's 60,000 pictures in batches of 1000
_REPORTS = 10  # lines of progress where no terminal shows a bar


@attrs.frozen
class Settings:
    """What the options say about the network and its training; the batches are those of `training.Task`."""

    backend: str = "auto"
    dtype: str = "float64"
    seed: int = 0
    epochs: int = 1
    batch_size: int = _TALK_BATCH
    used: int | None = None
    shuffle: bool = False
    learning_rate: float = 1.0
    initializer: str = "constant"
    classes: int = 2

    def task(self, model: str, data: Dataset) -> training.Task:
        """What is learned from the data."""
        names = ("dtype", "classes", "batch_size", "used", "epochs", "seed", "shuffle")
        return training.Task(model, data, **{name: getattr(self, name) for name in names})


DEFAULT = Settings()


def batches_for(examples: int, used: int | None) -> tuple[int, int | None]:
    """The batch size where none is asked for, and how many of a batch are trained on.

    It is the talk's 1000; where two such batches cannot be filled, as from scikit-learn's digits, a sixtieth
    of the examples, so that there are as many steps as in the talk.

    >>> batches_for(60_000, 100), batches_for(1500, 100), batches_for(1500, None), batches_for(7, None)
    ((1000, 100), (25, 25), (25, None), (1, None))
    """
    if examples >= 2 * _TALK_BATCH:
        return _TALK_BATCH, used
    size = max(1, examples // _TALK_STEPS)
    return size, None if used is None else min(used, size)


@attrs.frozen
class Model:
    """A model's program: its name, its text for --help, and the network that settings make.

    `used` is how many examples of the talk's batches of 1000 are trained on, `options` adds its own options.
    """

    name: str
    about: str
    network: Callable[[Settings], training.Trainable]
    used: int | None = None
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None


def main(model: Model, arguments: Sequence[str] | None = None) -> int:
    """Run a model's program; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = plain_parser(f"python -m models.{model.name}", model.about)
    _training_options(parser)
    model.options(parser)
    return guarded(parser, given, lambda args: _run(model, args, given))


def guarded(
    parser: argparse.ArgumentParser, given: Sequence[str], program: Callable[[argparse.Namespace], int]
) -> int:
    """Run a program on its arguments; what the user can mend is one message, not a traceback."""
    args = parser.parse_args(given)
    try:
        return program(args)
    except sg.SymgraphError as error:
        lines = (f"{parser.prog}: error: {error.message}", *error.details, error.hint)
        print("\n  ".join(line for line in lines if line), file=sys.stderr)
        return WRONG
    except KeyboardInterrupt as stop:
        told = isinstance(stop, sg.train.Interrupted) and "checkpoint" in args
        print(how_to_resume(parser.prog, args, given) if told else "stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _run(model: Model, args: argparse.Namespace, given: Sequence[str]) -> int:
    check_common(args)
    check_target("--checkpoint", args.checkpoint)
    if (args.checkpoint or args.resume) and find_spec("safetensors") is None:
        raise sg.CheckpointError(
            "checkpoints need the package safetensors, which is not installed",
            source=None,
            hint='Install it with: pip install -e ".[train]"',
        )
    out = sys.stderr if args.json else sys.stdout
    data = load(args, out)
    settings = _settings(model, args, data)
    network = model.network(settings)
    with interruptible() as stopped, progress(out, model.name, args.quiet) as watch:
        result = training.train(
            network,
            settings.task(model.name, data),
            resume=args.resume,
            checkpoint=args.checkpoint,
            watch=watch,
            stopped=stopped,
        )
    if args.resume and not result.steps and not result.interrupted:
        print(
            f"resumed         {args.resume} has all epochs ({args.epochs}): nothing left to train", file=out
        )
    report(result, out)
    if args.plot:
        chart.draw(args.plot, {model.name: result.train_loss}, f"Training loss on {data.name}")
        print(f"chart           {args.plot}", file=out)
    if result.interrupted:
        print(how_to_resume(f"python -m models.{model.name}", args, given), file=sys.stderr)
    if args.json:
        print(json.dumps(plain(result)), flush=True)
    return STOPPED if result.interrupted else DONE


def _settings(model: Model, args: argparse.Namespace, data: Dataset) -> Settings:
    size, used = (args.batch_size, None) if args.batch_size else batches_for(len(data.train), model.used)
    own = {name: getattr(args, name) for name in ("initializer", "classes") if hasattr(args, name)}
    return Settings(
        backend=args.backend,
        dtype=args.dtype,
        seed=args.seed,
        epochs=args.epochs,
        batch_size=size,
        used=used,
        shuffle=args.shuffle,
        learning_rate=args.learning_rate,
        **own,
    )


# Options.


def plain_parser(prog: str, about: str) -> argparse.ArgumentParser:
    """A parser without options."""
    return argparse.ArgumentParser(
        prog=prog, description=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


def common_parser(prog: str, about: str) -> argparse.ArgumentParser:
    """A parser with the options that all programs have."""
    parser = plain_parser(prog, about)
    _common_options(parser)
    return parser


def _common_options(parser: argparse.ArgumentParser) -> None:
    data_options(parser)
    run_options(parser, why=", as in the talk")
    add = parser.add_argument
    add("--epochs", metavar="N", type=count, default=1, help="passes over the data; default: 1")
    add("--plot", metavar="FILE", type=Path, help="write the chart of the training loss: .png, .svg, .pdf")


def data_options(parser: argparse.ArgumentParser) -> None:
    """The options of programs that load images."""
    add = parser.add_argument
    add(
        "--data",
        metavar="DIR",
        type=Path,
        help="folder with the four IDX files; by default $SYMGRAPH_DATA, the user's cache, or a download, "
        "and in place of MNIST, without a network, scikit-learn's digits",
    )
    add("--dataset", choices=("mnist", "fashion", "digits"), default="mnist", help="default: mnist")


def run_options(parser: argparse.ArgumentParser, dtype: str = "float64", why: str = "") -> None:
    """The options of all programs; `dtype` is the default, and `why` it is."""
    add = parser.add_argument
    add("--backend", metavar="NAME", default="auto", help="what runs graphs: auto, numpy, ...; default: auto")
    add("--dtype", choices=("float32", "float64"), default=dtype, help=f"default: {dtype}{why}")
    about = "decides random weights, and the order where examples are shuffled; default: 0"
    add("--seed", metavar="N", type=_seed, default=0, help=about)
    add("--json", action="store_true", help="the result as one line of JSON; all else goes to stderr")
    add("--quiet", action="store_true", help="the results alone, no lines on the way")


def _training_options(parser: argparse.ArgumentParser) -> None:
    _common_options(parser)
    add = parser.add_argument
    add(
        "--batch-size",
        metavar="N",
        type=count,
        help="examples in a batch; default: the talk's 1000, fewer where the data is small",
    )
    add("--learning-rate", metavar="RATE", type=rate, default=1.0, help="default: 1, as in the talk")
    add("--shuffle", action="store_true", help="another order each epoch; default: that of the file")
    add("--checkpoint", metavar="PATH", type=Path, help="save here after each epoch, and on Ctrl-C")
    add("--resume", metavar="PATH", type=Path, help="go on from a checkpoint, as if never stopped")


def count(text: str) -> int:
    """A whole number from 1, as an option has it; raises argparse's error."""
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least}")
    return value


def rate(text: str) -> float:
    """A number from 0, as an option has it; raises argparse's error."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0")
    return value


# What is checked before anything runs.


def check_common(args: argparse.Namespace) -> None:
    """Raise a SymgraphError for a backend that is not there, or a chart that cannot be written."""
    lowering(args.backend)
    check_target("--plot", args.plot)
    if args.plot:
        chart.checked(args.plot)


def check_target(option: str, path: Path | None) -> None:
    """Raise DataError where no file can be written at `path`: hours of training must not end in that."""
    if path is None:
        return
    reason = None
    if path.is_dir():
        reason = "it is a folder"
    elif not path.parent.is_dir():
        reason = f"there is no folder {path.parent}"
    else:
        try:
            with TemporaryFile(dir=path.parent):
                pass
            if path.exists():
                with path.open("ab"):
                    pass
        except OSError as error:
            reason = error.strerror or str(error)
    if reason is not None:
        raise sg.DataError(f"{option} {path} cannot be written: {reason}", source=None)


def check_folder(option: str, path: Path | None) -> None:
    """Make the folder where it is not there; raises DataError where no file can be written into it."""
    if path is None:
        return
    try:
        path.mkdir(exist_ok=True)
        with TemporaryFile(dir=path):
            return
    except FileExistsError:
        reason = "it is a file"
    except OSError as error:
        reason = error.strerror or str(error)
    raise sg.DataError(f"{option} {path} cannot be written to: {reason}", source=None)


def load(args: argparse.Namespace, out: TextIO) -> Dataset:
    """The data that the options name; says where it came from."""
    if args.dataset == "digits" and args.data is not None:
        raise sg.DataError("--dataset digits comes with scikit-learn, and takes no --data", source=None)
    if args.dataset == "digits":
        data = sg.data.digits()
    elif args.dataset == "fashion":
        data = _fashion(args.data)
    else:
        data = sg.data.mnist(args.data)
    print(f"data            {data.source}", file=out, flush=True)
    return training.checked(data)


def _fashion(folder: Path | None) -> Dataset:
    """Fashion-MNIST, which was asked for by name: digits in its place would be another result."""
    try:
        return sg.data.fashion_mnist(folder, fallback=False)
    except sg.DataError as error:
        if folder is None:
            error.hint = (
                "Put its four files into a folder and name it: --data DIR, or the folder fashion/ below "
                "$SYMGRAPH_DATA. Without a network there is --dataset digits."
            )
        raise


# Progress, results, Ctrl-C.


@contextmanager
def progress(out: TextIO, title: str, quiet: bool = False) -> Iterator[Callable[[training.Progress], None]]:
    """A bar with the loss where `out` is a terminal, else a line for every tenth of the way; nothing if `quiet`."""
    if quiet:
        yield lambda now: None
        return
    if not out.isatty() or find_spec("rich") is None:
        yield lambda now: _line(now, title, out)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[about]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=out)) as bar:
        task = bar.add_task(title, total=None, about="")

        def show(now: training.Progress) -> None:
            about = f"epoch {now.epoch}/{now.epochs}  loss {now.loss:.4f}"
            bar.update(task, total=now.steps, completed=now.step, about=about)

        yield show


def _line(now: training.Progress, title: str, out: TextIO) -> None:
    if now.step in (1, now.steps) or now.step % max(1, now.steps // _REPORTS) == 0:
        where = f"epoch {now.epoch}/{now.epochs}  batch {now.step}/{now.steps}"
        print(f"{title}  {where}  loss {now.loss:.4f}", file=out, flush=True)


def report(result: training.Result, out: TextIO) -> None:
    """Print what came of training."""
    losses = result.train_loss
    if losses:
        print(f"first batch     loss {losses[0]:.4f}", file=out)
        print(f"last batch      loss {losses[-1]:.4f}", file=out)
    print(f"test accuracy   {result.test_accuracy:.4f} on {result.dataset}", file=out)
    print(f"time            {result.seconds:.2f} s, compiled in {result.compile_seconds:.3f} s", file=out)


def plain(result: training.Result) -> dict[str, Any]:
    """A result as JSON holds it: a loss that is no finite number is null.

    >>> plain(training.Result("m", "MNIST", (0.5, float("nan")), 0.9, 1.0, 0.1))["train_loss"]
    [0.5, None]
    """
    return {
        "model": result.model,
        "dataset": result.dataset,
        "train_loss": [loss if isfinite(loss) else None for loss in result.train_loss],
        "test_accuracy": result.test_accuracy,
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
    }


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C is noted, to be asked for between steps; a second one interrupts at once."""
    if current_thread() is not main_thread():
        yield lambda: False
        return
    noted: list[int] = []

    def note(number: int, frame: object) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)


def how_to_resume(program: str, args: argparse.Namespace, given: Sequence[str]) -> str:
    """The command that goes on where a program was stopped, or why there is none."""
    if args.checkpoint is None:
        return "stopped; nothing was saved, since there was no --checkpoint"
    if not args.checkpoint.exists():
        return "stopped; nothing was saved, since what --checkpoint is for was not begun"
    kept = list(given)
    for i, word in enumerate(kept):
        if word == "--resume":
            del kept[i : i + 2]
            break
        if word.startswith("--resume="):
            del kept[i]
            break
    words = [*kept, "--resume", str(args.checkpoint)]
    return f"stopped; resume with: {program} {shlex.join(words)}"
