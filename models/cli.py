"""The command line of the models: common options, errors and Ctrl-C.

guarded : parser -> arguments -> program -> exit code      0 done, 2 what the user can mend, 130 stopped by Ctrl-C
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import TextIO

import attrs

import symgraph as sg
from models import images
from symgraph.data import Dataset

DONE, WRONG, STOPPED = 0, 2, 130
ONLY_EPOCHS = "Resume with the model and the options that it was made with; only --epochs may change."


@attrs.frozen
class Settings:
    """What the options say about a network and its training.

    `classes` is 2 for the digit 0 against the rest, or 10. Of each batch of `batch_size` examples the first
    `used` are trained on, all where it is None; without `shuffle` they come in the order of the file.
    """

    backend: str = "auto"
    dtype: str = "float64"
    seed: int = 0
    epochs: int = 1
    batch_size: int = 1000
    used: int | None = None
    shuffle: bool = False
    learning_rate: float = 1.0
    initializer: str = "constant"
    classes: int = 2
    checkpoint: Path | None = None
    resume: Path | None = None


DEFAULT = Settings()


def settings(args: argparse.Namespace) -> Settings:
    """What the options say; the default of what they leave open."""
    said = {field.name: getattr(args, field.name, None) for field in attrs.fields(Settings)}
    return Settings(**{name: value for name, value in said.items() if value is not None})


def guarded(
    parser: argparse.ArgumentParser, given: Sequence[str], program: Callable[[argparse.Namespace], int]
) -> int:
    """Run a program on its arguments; what the user can mend is one message, not a traceback."""
    args = parser.parse_args(given)
    try:
        return program(args)
    except sg.SymgraphError as error:
        # What is said of a checkpoint to who calls fit or a session is of options here.
        calls = isinstance(error, sg.CheckpointError) and error.hint.startswith(("Resume with", "Load its"))
        lines = (
            f"{parser.prog}: error: {error.message}",
            *error.details,
            ONLY_EPOCHS if calls else error.hint,
        )
        print("\n  ".join(line for line in lines if line), file=sys.stderr)
        return WRONG
    except KeyboardInterrupt as stop:
        told = isinstance(stop, sg.train.Interrupted) and "checkpoint" in args
        print(how_to_resume(parser.prog, args, given) if told else "stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


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


# Options.


def plain_parser(prog: str, about: str) -> argparse.ArgumentParser:
    """A parser without options."""
    return argparse.ArgumentParser(
        prog=prog, description=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )


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


def run_options(
    parser: argparse.ArgumentParser, dtype: str = "float64", why: str = "", epochs: str = "1"
) -> None:
    """The options of all programs; `dtype` is the default, and `why` it is, `epochs` how many there are by default."""
    add = parser.add_argument
    add("--backend", metavar="NAME", default="auto", help="what runs graphs: auto, numpy, ...; default: auto")
    add("--dtype", choices=("float32", "float64"), default=dtype, help=f"default: {dtype}{why}")
    about = "decides random weights, and the order where examples are shuffled; default: 0"
    add("--seed", metavar="N", type=_seed, default=0, help=about)
    add("--epochs", metavar="N", type=count, help=f"passes over the data; default: {epochs}")
    add("--json", action="store_true", help="the result as one line of JSON; all else goes to stderr")
    add("--quiet", action="store_true", help="the results alone, no lines on the way")


def plot_option(parser: argparse.ArgumentParser) -> None:
    """The option of programs that draw their losses."""
    about = "write the chart of the training loss: .png, .svg, .pdf"
    parser.add_argument("--plot", metavar="FILE", type=Path, help=about)


def training_options(parser: argparse.ArgumentParser, batch: str, learning_rate: str) -> None:
    """The options of programs that train one network; `batch` and `learning_rate` tell the defaults."""
    plot_option(parser)
    add = parser.add_argument
    add("--batch-size", metavar="N", type=count, help=f"examples in a batch; default: {batch}")
    add("--learning-rate", metavar="RATE", type=rate, help=f"default: {learning_rate}")
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


def load(args: argparse.Namespace, out: TextIO) -> Dataset:
    """The data that the options name; says where it came from."""
    if args.dataset == "digits" and args.data is not None:
        raise sg.DataError("--dataset digits comes with scikit-learn, and takes no --data", source=None)
    if args.dataset == "digits":
        data = sg.data.digits()
    elif args.dataset == "fashion":
        data = _fashion(args.data)
    else:
        data = _mnist(args.data)
    print(f"data            {data.source}", file=out, flush=True)
    return images.checked(data)


def _mnist(folder: Path | None) -> Dataset:
    """MNIST, or the digits in its place; what a mistake says of the argument is said of the option."""
    try:
        return sg.data.mnist(folder)
    except sg.DataError as error:
        error.hint = error.hint.replace("directory=...", "--data DIR")
        raise


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
