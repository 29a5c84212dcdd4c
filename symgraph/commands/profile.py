"""`symgraph profile`: where the time of a step goes, kernel by kernel."""

import argparse

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
)
from symgraph.compile import compile

_ABOUT = """\
Run a graph with a clock between its kernels, and print where the time of a step goes.

WHAT is a module with a function graph() that returns a symgraph.Graph, the .py file of one, or a file (.txt, .sg) with
the text form of a graph. A step computes all outputs and all updates of it; every step starts from the same values.
Without --feed the placeholders are fed random numbers.
"""

_EXAMPLES = """\
what is printed, a line for each kernel in the order they run:
  node             of the optimised graph, which `symgraph show WHAT --stage optimised` prints
  median, p10, p90 the time of the kernel in a step; half of the steps took less than the median
  share            of the time of the step with clocks; what is not in kernels is told above the table
  flops, bytes     what the kernel computes, and what it reads and writes
  roofline         how near it comes to what the machine can do at so many flops a byte: 100% is the best there is
  bound by         what limits a kernel there: compute, or memory. Kernels that do little are bound by neither:
                   their share of the roofline is small, and to fuse or to enlarge the batch helps
  kernel, lines    its ops, and your lines that it comes from

the trace:
  --trace FILE writes each step and kernel as Chrome's trace events: open it in https://ui.perfetto.dev, or in Chrome at
  chrome://tracing. It is written also when a step fails: its last event is the kernel that did.
  Of a long run it has the first and the last steps, some 50,000 events; how many are left out is told.

examples:
  symgraph profile models.one_hidden_layer --size batch=128
  symgraph profile models.one_hidden_layer --size batch=128 --backend numpy --trace step.json
  symgraph profile models.one_hidden_layer --feed batch.npz --variables trained.safetensors --steps 100
  symgraph profile models.one_hidden_layer --size batch=128 --threads 1

exit codes:
  0  it is profiled        2  an error, which is told
"""
_MOST = 1_000_000


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands,
        "profile",
        _run,
        help="where the time of a step goes, kernel by kernel",
        about=_ABOUT,
        examples=_EXAMPLES,
    )
    add_what(parser)
    add_sizes(parser)
    add_feeds(parser)
    add_compiler(parser)
    option = parser.add_argument
    option(
        "--threads", metavar="N", type=_count, help="how many threads llvm may use; default: all processors"
    )
    option("--steps", metavar="N", type=_count, default=20, help="how many steps are timed; default: 20")
    option("--trace", metavar="FILE", help="write the steps as Chrome's trace events, also when one fails")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {_MOST}")
    return int(text)


def _run(args: argparse.Namespace) -> None:
    graph = load(args.what)
    sizes = known_sizes(graph, args)
    variables = variables_from(args.variables, graph, args.seed)
    if args.feed is not None:
        feeds, about = feeds_from(args.feed, graph, sizes), f"fed {args.feed}"
    else:
        feeds, about = random_feeds(graph, sizes, args.seed), f"fed random numbers of the seed {args.seed}"
    executable = compile(graph, backend=args.backend, numerics=args.numerics, threads=args.threads)
    profile = executable.profile(feeds, variables, steps=args.steps, trace=args.trace)
    print(about if feeds else "fed nothing: it takes nothing")
    print(profile)
