"""`symgraph show`: a graph at a stage of the compiler, as text or as a diagram."""

import argparse
from collections.abc import Callable, Mapping
from typing import TypeAlias

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
from symgraph.commands.stages import GRAPHS, compiled, with_sizes
from symgraph.compile import Executable
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

examples:
  symgraph show models.logistic_regression_graph
  symgraph show models.one_hidden_layer --stage source --size batch=128
  symgraph show models.one_hidden_layer --stage ledger --size batch=128 --numerics bitwise
  symgraph show models.one_hidden_layer --stage ledger --pass fuse --pass stabilise
  symgraph show models.one_hidden_layer > network.sg; symgraph show network.sg --stage gradient
  symgraph show models.one_hidden_layer --stage optimised --dot - | dot -Tsvg > network.svg
  symgraph show models.one_hidden_layer --stage gradient --mermaid network.mmd

exit codes:
  0  it is shown        2  an error, which is told
"""


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
        "--of", metavar="NAME", help="the output that --stage gradient differentiates; default: loss"
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
    for given, stage in ((args.passes, "ledger"), (args.rules, "ledger"), (args.of, "gradient")):
        if given is not None and args.stage != stage:
            raise GraphError(
                f"--of, --pass and --rule say nothing of the stage {args.stage}",
                source=None,
                hint=f"Write --stage {stage}, or leave the option out.",
            )
    graph = load(args.what)
    sizes = known_sizes(graph, args)
    if args.stage not in GRAPHS:
        print(_text(graph, args, sizes))
        return
    shown = with_sizes(GRAPHS[args.stage](graph, args), sizes)
    if path is None:
        print(shown)
        return
    from symgraph.inspect import diagram  # what draws is loaded where something is drawn

    write(path, diagram.to_dot(shown) if option == "dot" else diagram.to_mermaid(shown))


# Stages that are text: what makes it, and whether all sizes must be known.


def _ledger(executable: Executable, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    from symgraph.inspect.explain import explain

    return explain(executable, passes=args.passes, rules=args.rules, **dict(sizes))


def _memory(executable: Executable, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    return f"{executable.memory_plan(**sizes)}\n\n{executable.peak(**sizes)}"


_Tell: TypeAlias = Callable[[Executable, argparse.Namespace, Mapping[str, int]], str]
_TEXTS: Mapping[str, tuple[_Tell, bool]] = {
    "source": (lambda executable, args, sizes: executable.source(**sizes).rstrip(), True),
    "ledger": (_ledger, False),
    "assembly": (lambda executable, args, sizes: executable.assembly(**sizes).rstrip(), True),
    "memory": (_memory, True),
}


def _text(graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]) -> str:
    tell, needs_sizes = _TEXTS[args.stage]
    executable = compiled(graph, args)
    missing = sorted(executable.graph.names - sizes.keys()) if needs_sizes else []
    if missing:
        raise GraphError(
            f"--stage {args.stage} is for sizes that are known, and {', '.join(missing)} is not given",
            source=None,
            hint=f"Add {' '.join(f'--size {name}=128' for name in missing)}.",
        )
    return tell(executable, args, sizes)
