"""Programs that show something: small experiments, each with its table and its pictures.

main : Study -> arguments -> exit code      0 done, 2 what the user can mend, 130 stopped by Ctrl-C
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import attrs

from models import chart, cli
from symgraph.compile import lowering

Row = Mapping[str, Any]


@attrs.frozen
class Page:
    """Where a study writes: text to `out`, pictures into a folder, where one was asked for."""

    out: TextIO
    pictures: Path | None = None
    quiet: bool = False

    def say(self, text: str) -> None:
        """Print a result."""
        print(text, file=self.out, flush=True)

    def progress(self, text: str) -> None:
        """Print a line on the way, unless it is to be quiet."""
        if not self.quiet:
            self.say(text)

    def picture(self, name: str, figure: Callable[[], Any]) -> None:
        """Draw a matplotlib figure into the folder, where there is one."""
        if self.pictures is not None:
            path = self.pictures / name
            chart.save(figure(), path)
            self.say(f"picture         {path}")


@attrs.frozen
class Study:
    """A program: its name, its text for --help, what it does, and its own options.

    `run` prints its tables on the page and returns the result as JSON holds it.
    """

    name: str
    about: str
    run: Callable[[argparse.Namespace, Page], Mapping[str, Any]]
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None


def main(study: Study, arguments: Sequence[str] | None = None) -> int:
    """Run a study; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = cli.plain_parser(f"python -m models.{study.name}", study.about)
    cli.run_options(parser)
    add = parser.add_argument
    add("--epochs", metavar="N", type=cli.count, help="passes over the data; default: as each table says")
    add("--pictures", metavar="FOLDER", type=Path, help="draw the pictures into this folder")
    add("--quiet", action="store_true", help="the results alone, no lines on the way")
    study.options(parser)
    return cli.guarded(parser, given, lambda args: _run(study, args))


def _run(study: Study, args: argparse.Namespace) -> int:
    lowering(args.backend)
    cli.check_folder("--pictures", args.pictures)
    if args.pictures is not None:
        chart.checked(args.pictures / "picture.png")
    page = Page(sys.stderr if args.json else sys.stdout, args.pictures, args.quiet)
    result = study.run(args, page)
    if args.json:
        print(json.dumps({"model": study.name, **result}), flush=True)
    return cli.DONE


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
    wide = [isinstance(rows[0][head], str) for head in heads]  # words to the left, numbers to the right
    lines = [
        "  ".join(f"{c:<{w}}" if left else f"{c:>{w}}" for c, w, left in zip(line, widths, wide, strict=True))
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in ([title, *lines] if title else lines))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
