"""`symgraph summary`: the layers of a graph, with their parameters and costs."""

import argparse

from symgraph.commands.shared import Commands, add_command, add_sizes, add_what, known_sizes, load

_ABOUT = """\
Print the layers of a graph: what each makes, its parameters, and what it costs.

WHAT is a module with a function graph(), the .py file of one, or a file (.txt, .sg) with the text form of a graph.
A layer is a scope; what is outside all scopes is grouped by its variables.
"""

_EXAMPLES = """\
examples:
  symgraph summary models.one_hidden_layer
  symgraph summary models.one_hidden_layer --size batch=128 --of loss

exit codes:
  0  it is shown        2  an error, which is told
"""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "summary", _run, help="print the layers of a graph", about=_ABOUT, examples=_EXAMPLES
    )
    add_what(parser)
    add_sizes(parser)
    parser.add_argument(
        "--of",
        metavar="NAME",
        action="append",
        help="count what this output needs, in the place of all; may be given several times",
    )


def _run(args: argparse.Namespace) -> None:
    from symgraph.inspect.summary import summary

    graph = load(args.what)
    sizes = known_sizes(graph, args)
    print(summary(graph, args.of, **sizes))
