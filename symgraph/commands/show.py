"""`symgraph show`: a graph at a stage of the compiler, as text or as a diagram."""

import argparse
from collections.abc import Callable, Mapping

from symgraph.commands.shared import (
    Commands,
    add_command,
    add_compiler,
    add_sizes,
    add_what,
    known_sizes,
    load,
    write,
)
from symgraph.commands.stages import GRAPHS, compiled, differentiated, with_sizes
from symgraph.compile import Executable, known_backend
from symgraph.errors import GraphError
from symgraph.ir import Graph

_ABOUT = """\
Print a graph at a stage of the compiler.

WHAT is a module with a function graph() that returns a symgraph.Graph, the .py file of one, or a file
(.txt, .sg) with the text form of a graph, as this command prints it.
"""

_EXAMPLES = """\
the stages:
  declared    the graph as it is given, with its update groups
  forward     what the outputs need, without the updates
  gradient    forward, with the gradients of the loss by all variables (--of names another output)
  optimised   what the compiler makes of the declared graph for --backend
  unfused     the optimised graph before nodes are fused into kernels
  source      the code that runs, for the sizes of --size: LLVM IR, or Python for --backend numpy
  assembly    the machine code of --backend llvm, for the sizes of --size
  ledger      each rewrite the compiler made, with the user's lines, and the totals
  memory      the buffers by time and the peak, for the sizes of --size
  kernels     each kernel: its nodes, why they share it and what that saves; and why no others do.
              Kernels are numbered as in optimised, what is in them as in unfused
  adjoints    each forward node with its adjoint (--of as for gradient), and where there is none, why

examples:
  symgraph show models.logistic_regression_graph
  symgraph show models.one_hidden_layer --stage source --size batch=128
  symgraph show models.one_hidden_layer --stage ledger --size batch=128 --numerics bitwise
  symgraph show models.one_hidden_layer --stage ledger --pass fuse --pass stabilise
  symgraph show models.one_hidden_layer --stage kernels --size batch=128
  symgraph show models.one_hidden_layer --stage adjoints --of loss
  symgraph show models.one_hidden_layer > network.sg; symgraph show network.sg --stage gradient
  symgraph show models.one_hidden_layer --stage optimised --dot - | dot -Tsvg > network.svg
  symgraph show models.one_hidden_layer --stage gradient --mermaid network.mmd

exit codes:
  0  it is shown        2  an error, which is told
"""


_DIFFERENTIATED = ("gradient", "adjoints")


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "show", _run, help="print a graph at a stage", about=_ABOUT, examples=_EXAMPLES
    )
    add_what(parser)
    stages = (*GRAPHS, *_TEXTS)
    parser.add_argument(
        "--stage", choices=stages, default="declared", metavar="STAGE", help="see below; declared"
    )
    add_sizes(parser)
    parser.add_argument(
        "--of",
        metavar="NAME",
        help="the output that --stage gradient and adjoints differentiate; default: loss",
    )
    add_compiler(parser)
    for option, what, plural in (("--pass", "pass", "passes"), ("--rule", "rule", "rules")):
        parser.add_argument(
            option,
            dest=plural,
            metavar="NAME",
            action="append",
            help=f"what --stage ledger is limited to: a {what}; may be given several times",
        )
    drawn = parser.add_mutually_exclusive_group()
    for option, program in (("--dot", "Graphviz"), ("--mermaid", "Mermaid")):
        drawn.add_argument(
            option,
            metavar="FILE",
            help=f"write the stage's graph for {program} instead; - is the standard output",
        )


def _run(args: argparse.Namespace) -> None:
    option, path = next(
        ((name, path) for name in ("dot", "mermaid") if (path := getattr(args, name)) is not None),
        ("", None),
    )
    if option and args.stage not in GRAPHS:
        raise GraphError(
            f"--{option} draws a graph, and the stage {args.stage} is text",
            source=None,
            hint=f"Draw one of the stages {', '.join(GRAPHS)}.",
        )
    for given, stages in ((args.passes, ("ledger",)), (args.rules, ("ledger",)), (args.of, _DIFFERENTIATED)):
        if given is not None and args.stage not in stages:
            raise GraphError(
                f"--of, --pass and --rule say nothing of the stage {args.stage}",
                source=None,
                hint=f"Write --stage {' or '.join(stages)}, or leave the option out.",
            )
    known_backend(args.backend)
    graph = load(args.what)
    sizes = known_sizes(graph, args)
    if args.stage not in GRAPHS:
        print(_TEXTS[args.stage](graph, args, sizes))
        return
    shown = with_sizes(GRAPHS[args.stage](graph, args), sizes)
    if path is None:
        print(shown)
        return
    from symgraph.inspect import diagram  # what draws is loaded where something is drawn

    write(path, diagram.to_dot(shown) if option == "dot" else diagram.to_mermaid(shown))


# Stages that are text.


def _sized(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> Executable:
    """The graph compiled, for a stage that needs all its sizes; raises GraphError where one is missing."""
    executable = compiled(graph, args)
    missing = sorted(executable.graph.names - sizes.keys())
    if missing:
        raise GraphError(
            f"--stage {args.stage} is for sizes that are known, and {', '.join(missing)} is not given",
            source=None,
            hint=f"Add {' '.join(f'--size {name}=128' for name in missing)}.",
        )
    return executable


def _source(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    return _sized(graph, args, sizes).source(**sizes).rstrip()


def _assembly(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    return _sized(graph, args, sizes).assembly(**sizes).rstrip()


def _ledger(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    from symgraph.inspect.explain import explain

    return explain(compiled(graph, args), passes=args.passes, rules=args.rules, **dict(sizes))


def _memory(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    executable = _sized(graph, args, sizes)
    return f"{executable.memory_plan(**sizes)}\n\n{executable.peak(**sizes)}"


def _kernels(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    from symgraph.inspect.kernels import listing

    return listing(compiled(graph, args), sizes)


def _adjoints(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    from symgraph.inspect.gradients.adjoints import adjoints

    return str(adjoints(with_sizes(graph, sizes), differentiated(graph, args.of)))


_TEXTS: Mapping[str, Callable[[Graph, argparse.Namespace, Mapping[str, int]], str]] = {
    "source": _source,
    "ledger": _ledger,
    "assembly": _assembly,
    "memory": _memory,
    "kernels": _kernels,
    "adjoints": _adjoints,
}
