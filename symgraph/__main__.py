"""The command line: `symgraph COMMAND`, where each command is a module of `symgraph.commands`.

main : arguments -> exit code      0 done, 1 an answer that is no, 2 what the user can mend, 130 interrupted
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from symgraph import __version__
from symgraph.commands import cache, check, diff, explore, profile, replay, show, summary
from symgraph.commands.shared import Parser
from symgraph.errors import SymgraphError
from symgraph.origin import user_source

DONE, WRONG, INTERRUPTED = 0, 2, 130
COMMANDS = (show, summary, explore, diff, check, profile, replay, cache)

_ABOUT = """\
A static symbolic graph compiler for tensor programs.

    symgraph show models.one_hidden_layer --stage optimised
    symgraph explore models.one_hidden_layer --output network.html
    symgraph summary models.one_hidden_layer
    symgraph diff before.sg after.sg
    symgraph check models.one_hidden_layer
    symgraph replay failure.capsule
    symgraph cache info
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    >>> main(["show", "no_such_module"])
    2
    """
    args = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int | None] = args.run
    caller = user_source()
    try:
        _prepare_streams()
        code = run(args)
        sys.stdout.flush()
    except SymgraphError as error:
        if error.source == caller:  # who called this is at no fault, and wrote no graph
            error.source = None
        return _wrong(error)
    except BrokenPipeError:  # who reads the output has seen enough
        _leave_output()
        return DONE
    except KeyboardInterrupt:
        print("symgraph: interrupted", file=sys.stderr)
        return INTERRUPTED
    except MemoryError as error:
        return _wrong(f"there is not enough memory: {error}")
    except OSError as error:  # files have errors of their own: this is the output's, such as a full disk
        _leave_output()
        return _wrong(error.strerror or error)
    return DONE if code is None else code


def _wrong(error: object) -> int:
    print(f"symgraph: error: {error}", file=sys.stderr)
    return WRONG


def _prepare_streams() -> None:
    """Names in characters that an output's encoding lacks are shown escaped; a closed output takes all."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  for as long as the program runs
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _leave_output() -> None:
    """What is left in the buffer goes nowhere: Python would try to write it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _parser() -> Parser:
    parser = Parser(prog="symgraph", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"symgraph {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
