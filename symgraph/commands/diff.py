"""`symgraph diff`: what differs between two graphs, or between two stages of one."""

import argparse

from symgraph.commands.shared import Commands, add_command, add_compiler, add_sizes, known_sizes, load
from symgraph.commands.stages import GRAPHS, with_sizes
from symgraph.compile import known_backend
from symgraph.errors import GraphError
from symgraph.ir import Graph

_ABOUT = """\
Tell what differs between two graphs in meaning: which nodes, outputs and updates are new (+), gone (-) or changed (~).

A and B are each a module with a function graph(), MODULE:FUNCTION, the .py file of one, or a file (.txt, .sg) with the
text form of a graph. With --stages there is one graph, and two stages of it are compared.

Neither the numbers of nodes count nor the order in which things were declared: equal parts are found by structure,
leaves and outputs by name, so that one op put into a long chain is one line.
"""

_EXAMPLES = """\
examples:
  symgraph diff before.sg after.sg
  symgraph show models.xor_mlp:graph > xor.sg; symgraph diff xor.sg models.xor_mlp:graph
  symgraph diff models.logistic_regression_graph models.one_hidden_layer --stage forward
  symgraph diff models.one_hidden_layer --stages declared optimised

the stages:
  declared, forward, gradient, optimised, unfused    as `symgraph show --help` tells

exit codes:
  0  the graphs are the same        1  they differ        2  an error, which is told
"""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "diff", _run, help="what differs between two graphs", about=_ABOUT, examples=_EXAMPLES
    )
    add = parser.add_argument
    add("a", metavar="A", help="a module, or a .py, .txt or .sg file")
    add("b", metavar="B", nargs="?", help="the same; with --stages it is A")
    add("--stage", choices=tuple(GRAPHS), default="declared", metavar="STAGE", help="of both; declared")
    add(
        "--stages",
        choices=tuple(GRAPHS),
        nargs=2,
        metavar=("FIRST", "SECOND"),
        help="a stage of A, and one of B",
    )
    add_sizes(parser)
    add("--of", metavar="NAME", help="the output that the stage gradient differentiates; default: loss")
    add_compiler(parser)
    add("--quiet", "-q", action="store_true", help="print nothing, and tell by the exit code alone")


def _run(args: argparse.Namespace) -> int:
    from symgraph.inspect.diff import diff

    if args.b is None and args.stages is None:
        raise GraphError(
            "there is one graph, and nothing to compare it with",
            source=None,
            hint="Name a second one, or two stages of it: --stages declared optimised.",
        )
    known_backend(args.backend)
    first, second = args.stages or (args.stage, args.stage)
    a = load(args.a)
    b = a if args.b is None else load(args.b)
    found = diff(_staged(a, first, args), _staged(b, second, args))
    if not args.quiet:
        print(found)
    return 1 if found else 0


def _staged(graph: Graph, stage: str, args: argparse.Namespace) -> Graph:
    return with_sizes(GRAPHS[stage](graph, args), known_sizes(graph, args))
