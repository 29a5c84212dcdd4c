"""What subcommands have in common: their parsers and options, the sizes, and what they write.

    from symgraph.commands.shared import load, write      likewise feeds_from, variables_from, random_feeds

What needs more than the package itself is imported where it is used, so that `--help` is quick.
"""

import argparse
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from symgraph.commands.loading import load
from symgraph.errors import GraphError
from symgraph.files import reason, replace
from symgraph.ir import Graph
from symgraph.later import later
from symgraph.rewrite import NUMERICS

if TYPE_CHECKING:
    from symgraph.commands.feeds import feeds_from, random_feeds, variables_from
else:
    __getattr__ = later(
        __name__,
        {
            name: f"symgraph.commands.feeds:{name}"
            for name in ("feeds_from", "random_feeds", "variables_from")
        },
    )

__all__ = [
    "Parser",
    "add_command",
    "add_compiler",
    "add_feeds",
    "add_sizes",
    "add_what",
    "feeds_from",
    "known_sizes",
    "load",
    "random_feeds",
    "variables_from",
    "write",
]

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Run: TypeAlias = Callable[[argparse.Namespace], int | None]
WHAT = "a module with a function graph(), MODULE:FUNCTION, or a .py, .txt or .sg file"


class Parser(argparse.ArgumentParser):
    """A parser that says what a misspelt choice may have meant."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and a message."""
        refused = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)$", message)
        if refused is not None:
            from difflib import get_close_matches

            near = get_close_matches(refused[1], re.findall(r"[\w-]+", refused[2]), 1)
            message += f"; did you mean {near[0]!r}?" if near else ""
        super().error(message)


def add_command(
    commands: Commands, name: str, run: Run, *, help: str, about: str, examples: str
) -> argparse.ArgumentParser:
    """The parser of a subcommand: `help` in the list of all, `about` above its options, `examples` below.

    `run` takes the parsed arguments and returns the exit code, or None for 0.
    """
    parser = commands.add_parser(
        name,
        help=help,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_what(parser: argparse.ArgumentParser) -> None:
    """The argument `what`, which `load` takes."""
    parser.add_argument("what", metavar="WHAT", help=WHAT)


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """The option --size, which `known_sizes` reads."""
    parser.add_argument(
        "--size",
        metavar="NAME=N",
        type=_size,
        action="append",
        default=[],
        help="bind a named size; may be given several times",
    )


def _size(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals and value.isascii() and value.isdigit() and len(value) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write such as batch=128")
    return name, int(value)


def known_sizes(graph: Graph, args: argparse.Namespace) -> dict[str, int]:
    """The sizes of --size; raises GraphError for one that the graph has not."""
    sizes = dict(args.size)
    unknown = sorted(sizes.keys() - graph.names)
    if unknown:
        raise GraphError(
            f"{unknown[0]!r} is no named size of this graph",
            source=None,
            hint=f"It has {', '.join(sorted(graph.names)) or 'none'}.",
        )
    return sizes


def add_compiler(parser: argparse.ArgumentParser) -> None:
    """The options --backend and --numerics."""
    add = parser.add_argument
    add("--backend", metavar="NAME", default="auto", help="auto, llvm, numpy or interpreter; default: auto")
    add("--numerics", choices=NUMERICS, default="safe", help="which rewrites may run; default: safe")


def add_feeds(parser: argparse.ArgumentParser) -> None:
    """The options --feed, --variables and --seed, for `feeds_from`, `variables_from` and `random_feeds`."""
    add = parser.add_argument
    add("--feed", metavar="FILE", help="the placeholders' values: an .npz or .safetensors file")
    add(
        "--variables",
        metavar="FILE",
        help="the variables' values: an .npz or .safetensors file, or a checkpoint; default: their first ones",
    )
    add("--seed", metavar="N", type=_seed, default=0, help="what random values depend on; default: 0")


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; write a whole number from 0")
    return int(text)


def write(path: str, content: str | bytes, sized: bool = False) -> None:
    """Write a file whole or not at all, and say so; `-` is the standard output. Raises GraphError.

    Text ends with a line break, whether or not the content has one. If `sized`, it is told how large the file is.
    """
    text = content if isinstance(content, bytes) else content.removesuffix("\n") + "\n"
    if path == "-":
        _write_out(text)
        return
    try:
        replace(path, text)
    except (OSError, ValueError) as error:
        raise GraphError(f"{path} could not be written: {reason(error)}", source=None) from error
    size = len(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")) if sized else 0
    print(f"{path} is written{f', {size / 1e6:.1f} MB' if sized else ''}", file=sys.stderr)


def _write_out(text: str | bytes) -> None:
    if isinstance(text, str):
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text)
