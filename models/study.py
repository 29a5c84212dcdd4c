"""Programs that show something: small experiments, each with its table and its pictures.

main : Study -> arguments -> exit code      0 done, 2 what the user can mend, 130 stopped by Ctrl-C
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import attrs
import numpy as np

import symgraph as sg
from models import cli
from symgraph.compile import lowering
from symgraph.data import Dataset
from symgraph.ir import Array
from symgraph.train import pictures
from symgraph.train.checkpoints import check_file, check_folder

Row: TypeAlias = Mapping[str, Any]


@attrs.frozen
class Page:
    """Where a program writes: text to `out`, and where they were asked for pictures into a folder, the chart of the
    losses into the file `plot`, and the result as a line of JSON to standard output.

    `load` gives the images that the options name; a program whose parts all ask for them loads them once.
    """

    out: TextIO
    pictures: Path | None = None
    plot: Path | None = None
    json: bool = False
    quiet: bool = False
    load: Callable[[], Dataset] = sg.data.mnist

    def say(self, text: str) -> None:
        """Print a result."""
        print(text, file=self.out, flush=True)

    def progress(self, text: str) -> None:
        """Print a line on the way, unless it is to be quiet."""
        if not self.quiet:
            self.say(text)

    def picture(self, name: str, draw: Callable[..., Any], *of: Any) -> None:
        """Write `draw(*of)`, a matplotlib figure or a text such as SVG, into the folder, where there is one."""
        if self.pictures is None:
            return
        path, drawn = self.pictures / name, draw(*of)
        _write(drawn, path)
        self.say(f"picture         {path}")

    def chart(self, losses: Mapping[str, Sequence[float]], title: str) -> None:
        """Write the chart of the losses by batch, one curve a network, where it was asked for."""
        if self.plot is not None:
            pictures.curves(losses, title=title, x="batch", y="training loss", save=self.plot)
            self.say(f"chart           {self.plot}")

    def result(self, found: Mapping[str, Any]) -> None:
        """Print the result as one line of JSON, where it was asked for."""
        if self.json:
            print(json.dumps(plain(found), allow_nan=False), flush=True)


def _write(drawn: Any, path: Path) -> None:
    if not isinstance(drawn, str):
        pictures.write(drawn, path)
        return
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise sg.DataError(f"{path} could not be written: {error.strerror or error}", source=None) from error


SILENT = Page(sys.stderr, quiet=True)  # for functions that are called without a page

Part: TypeAlias = Callable[[argparse.Namespace, cli.Settings, Page], Mapping[str, Any]]


@attrs.frozen
class Study:
    """A program: its name, its text for --help, its parts by name, and its own options.

    A part prints its tables on the page, draws its pictures there, and returns what it found. `dtype` is that of its
    numbers where --dtype names no other.
    """

    name: str
    about: str
    parts: Mapping[str, Part]
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    dtype: str = "float64"


def main(study: Study, arguments: Sequence[str] | None = None) -> int:
    """Run a study; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = cli.plain_parser(f"python -m models.{study.name}", study.about)
    cli.run_options(parser, study.dtype, epochs="each part's own")
    add = parser.add_argument
    add("--pictures", metavar="FOLDER", type=Path, help="draw the pictures into this folder")
    add(
        "--only",
        choices=tuple(study.parts),
        action="append",
        help="this part alone; may be given several times",
    )
    study.options(parser)
    return cli.guarded(parser, given, lambda args: _run(study, args))


def _run(study: Study, args: argparse.Namespace) -> int:
    page = opened(args)
    settings = cli.settings(args)
    found: dict[str, Any] = {"model": study.name}
    for name, part in study.parts.items():
        if args.only is None or name in args.only:
            found[name] = part(args, settings, page)
            page.say("")
    page.result(found)
    return cli.DONE


def opened(args: argparse.Namespace) -> Page:
    """The page that the options ask for; raises a SymgraphError for a backend, file or folder that is not to be had.

    It is asked for before anything runs: hours of training must not end in that.
    """
    lowering(args.backend)
    folder, plot, checkpoint = (getattr(args, name, None) for name in ("pictures", "plot", "checkpoint"))
    for option, path in {"--plot": plot, "--checkpoint": checkpoint}.items():
        if path is not None:
            check_file(option, path)
    if plot is not None:
        pictures.check(plot)
    if folder is not None:
        if not folder.parent.is_dir():  # none is made in a place that was mistyped
            why = f"there is no folder {folder.parent}"
            raise sg.DataError(f"--pictures {folder} cannot be written to: {why}", source=None)
        check_folder("--pictures", folder)
        pictures.check(folder / "picture.png")
    out = sys.stderr if args.json else sys.stdout
    return Page(out, folder, plot, args.json, args.quiet, cache(lambda: cli.load(args, out)))


def plain(value: Any) -> Any:
    """What JSON holds of a result: arrays are lists, and a number that is not finite is null.

    >>> plain({"w": np.array([1.0, np.nan]), "rows": ({"loss": np.float32(0.5)},)})
    {'w': [1.0, None], 'rows': [{'loss': 0.5}]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    return None if isinstance(value, float) and not isfinite(value) else value


def descend(
    session: sg.Session,
    points: Mapping[str, Array],
    epochs: int,
    on_epoch: Callable[[sg.train.Progress, sg.Session], Any] | None = None,
) -> sg.train.History:
    """Train with all the points in each step, in their order; `on_epoch` is called after each."""
    return sg.train.fit(
        session,
        points,
        epochs=epochs,
        batch_size=len(points["x"]),
        shuffle=False,
        callbacks=[sg.train.LambdaCallback(on_epoch=on_epoch)] if on_epoch else (),
        quiet=True,
    )


def table(rows: Sequence[Row], title: str = "") -> str:
    """Rows with the same keys as aligned text, under a title; of a float, four significant digits.

    >>> print(table([{"units": 3, "error": 0.5}, {"units": 10, "error": 0.000123456}]))
    units      error
        3        0.5
       10  0.0001235
    """
    heads = list(rows[0])
    cells = [heads, *([_cell(row[head]) for head in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    words = [isinstance(rows[0][head], str) for head in heads]  # words to the left, numbers to the right
    lines = [
        "  ".join(
            f"{c:<{w}}" if left else f"{c:>{w}}" for c, w, left in zip(line, widths, words, strict=True)
        )
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in ([title, *lines] if title else lines))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
