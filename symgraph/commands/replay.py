"""`symgraph replay`: a failure capsule run again, and where it goes wrong."""

import argparse

from symgraph.commands.shared import Commands, add_command, write

_ABOUT = """\
Run a failure capsule again, and find the first place where values go wrong.

A capsule is one run of a session in a file: its graph as it was declared, what was fed, and the variables before the
run. Session(graph, capsule=FILE) writes one when a run fails, session.capsule(FILE, ...) when it is asked to.

The declared graph is run node by node, and the first node, feed or variable that is not finite is named, or the node
that raises. Then every rewrite of the compiler is held to its claim on the values of this run. Then each backend is
compared with the interpreter, down to the kernel. Nothing in the file is run as code, and no name in it is a path.
"""

_EXAMPLES = """\
the exit code:
  0  all agrees, and the failure does not occur again
  1  something was found
  2  the file is no capsule, or damaged

examples:
  symgraph replay failure.capsule
  symgraph replay failure.capsule --backend numpy --backend llvm
  symgraph replay failure.capsule --import my_operations --explore failure.html
"""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "replay", _run, help="run a failure capsule again", about=_ABOUT, examples=_EXAMPLES
    )
    parser.add_argument("file", metavar="FILE", help="a failure capsule")
    parser.add_argument(
        "--backend",
        metavar="NAME",
        action="append",
        help="a backend to compare; may be given several times; default: all that are installed",
    )
    parser.add_argument(
        "--import",
        metavar="MODULE",
        dest="modules",
        action="append",
        default=[],
        help="a module that defines operations of the graph; may be given several times",
    )
    parser.add_argument(
        "--limit",
        metavar="BYTES",
        type=_bytes,
        help="read a file that unpacks to so many bytes; default: 2**30",
    )
    parser.add_argument(
        "--explore", metavar="HTML", help="also write the explorer's page of the run, with every value"
    )


def _run(args: argparse.Namespace) -> int:
    from symgraph.inspect.capsules.file import READ_LIMIT, read
    from symgraph.inspect.capsules.replay import examine

    for module in args.modules:
        _import(module)
    capsule = read(args.file, args.limit or READ_LIMIT)
    report = examine(args.file, capsule, args.backend)
    print(report)
    if args.explore is not None:
        from symgraph.inspect.capsules.page import page

        write(args.explore, page(args.file, capsule))
    return report.code


def _bytes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:20]) > 0 and len(text) < 19):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes")
    return int(text)


def _import(name: str) -> None:
    from importlib import import_module

    from symgraph.errors import CapsuleError

    try:
        import_module(name)
    except Exception as error:  # whatever a user's module raises
        raise CapsuleError(f"the module {name!r} cannot be imported: {error}", source=None) from error
