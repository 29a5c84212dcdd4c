"""`symgraph explore`: a page that shows a graph at every stage of the compiler."""

import argparse
import sys
from pathlib import Path

from symgraph.commands.shared import (
    Commands,
    add_command,
    add_compiler,
    add_feeds,
    add_sizes,
    add_what,
    feeds_from,
    known_sizes,
    load,
    random_feeds,
    variables_from,
    write,
)
from symgraph.errors import FeedError, GraphError, SymgraphError
from symgraph.inspect.explorer.wanted import Run, Wanted
from symgraph.ir import Graph
from symgraph.origin import relative

_MANY = 1_000  # nodes, from which on it takes seconds
_ABOUT = """\
Write a page that shows a graph at every stage of the compiler: one HTML file, which opens from disk and asks nothing
of any network.

WHAT is a module with a function graph(), MODULE:FUNCTION, the .py file of one, or a file (.txt, .sg) with the text
form of a graph. The page shows

  graph      the stages: declared, with its gradient, optimised, fused; scopes fold, names and lines can be searched
  rewrites   every rewrite of the compiler, what it changed, and the flops and bytes before and after
  gradient   each forward node with its adjoint, what its derivative reads, and why there is none or why it is zero
  fusion     the nodes that share a kernel, and for neighbours that do not, why not

with --size for all named sizes, or --feed, also
  memory     the buffers by time, the peak, and the line that has most of it
  code       the code that runs, with the lines of each kernel

with --feed also
  values     every value of a run: statistics, histogram and picture, and the first one that is not finite
  profile    (--steps) the time of each kernel in real steps, against what the machine could do

--feed random feeds random numbers for the sizes of --size, and so does --steps without --feed.
"""

_EXAMPLES = """\
examples:
  symgraph explore models.one_hidden_layer --output network.html --open
  symgraph explore models.lenet --output lenet.html --size batch=16 --backend numpy
  symgraph explore models.lenet --output lenet.html --feed batch.npz --variables checkpoint.safetensors --steps 20
  symgraph explore models.lenet --output lenet.html --feed random --size batch=16 --seed 1

  python -c "import numpy; numpy.savez('batch.npz', x=..., y=...)"      makes a file for --feed

exit codes:
  0  the page is written        2  an error, which is told
"""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands,
        "explore",
        _run,
        help="write a page that shows a graph at every stage",
        about=_ABOUT,
        examples=_EXAMPLES,
    )
    add_what(parser)
    option = parser.add_argument
    option(
        "--output",
        metavar="FILE",
        required=True,
        help="the page, such as network.html; - is the standard output",
    )
    add_sizes(parser)
    add_feeds(parser)
    option("--steps", metavar="N", type=_steps, default=0, help="profile that many steps; default: 0")
    add_compiler(parser)
    option("--name", metavar="TEXT", default="", help="the page's title; default: WHAT")
    option("--open", action="store_true", help="open the page in the browser, once it is written")
    option(
        "--complete", action="store_true", help="leave nothing out of large graphs, however large the page is"
    )


def _steps(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 7):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps; write such as 20")
    return int(text)


def _run(args: argparse.Namespace) -> None:
    from symgraph.inspect.explorer.explore import explored  # it needs the whole package

    if args.open and args.output == "-":
        raise GraphError(
            "the standard output cannot be opened", source=None, hint="Name a file: --output network.html."
        )
    graph = load(args.what)
    run = _run_of(graph, args)
    if len(graph) > _MANY:
        print(f"{len(graph):,} nodes: the page takes a while to make", file=sys.stderr)
    wanted = Wanted(args.backend, args.numerics, None, args.name or relative(args.what), args.complete)
    try:
        page = explored(graph, run, wanted)
    except SymgraphError as error:
        if error.source is not None and error.source.file == __file__:
            error.source = None
        raise
    write(args.output, page.html, sized=True)
    if args.open:
        _open(args.output)


def _open(path: str) -> None:
    """Show the page; raises GraphError where there is no browser to do it."""
    import webbrowser

    if not webbrowser.open(Path(path).resolve().as_uri()):
        raise GraphError(f"no browser was found to open {path}", source=None, hint="Open the file yourself.")


def _run_of(graph: Graph, args: argparse.Namespace) -> Run:
    """What the options say of a run of the graph."""
    sizes = known_sizes(graph, args)
    if args.feed is None and not args.steps:
        if args.variables is not None:
            raise FeedError(
                "--variables are the values of a run, and there are no feeds",
                source=None,
                hint="Add --feed FILE.npz, or --feed random.",
            )
        return Run(None, None, sizes, 0, args.seed)
    if args.feed in (None, "random"):
        feeds, source = random_feeds(graph, sizes, args.seed), f"random values for seed {args.seed}"
    else:
        feeds, source = feeds_from(args.feed, graph, sizes), f"the file {Path(args.feed).name}"
    variables = variables_from(args.variables, graph, args.seed)
    return Run(feeds, variables, sizes, args.steps, args.seed, source)
