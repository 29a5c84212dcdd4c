"""The command line: `symgraph show` prints a graph at each stage of the compiler, `symgraph summary` its layers,
`symgraph cache` tells what compiled code is kept on disk.

main : arguments -> exit code      0 done, 2 what the user can mend
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import symgraph as sg
from symgraph.define import body, lift, rebuild
from symgraph.inspect.explain import unfused
from symgraph.ir import Graph, specialise
from symgraph.rewrite import NUMERICS

DONE, WRONG = 0, 2
_TEXTS = (".txt", ".sg")

_ABOUT = """\
A static symbolic graph compiler for tensor programs.

    symgraph show models.one_hidden_layer --stage optimised
    symgraph summary models.one_hidden_layer
    symgraph cache info
"""

_SHOW = """\
Print a graph at a stage of the compiler.

WHAT is a module with a function graph() that returns a symgraph.Graph, the .py file of one, or a file
(.txt, .sg) with the text form of a graph, as this command prints it.
"""

_STAGES = """\
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
  symgraph show models.one_hidden_layer > network.sg; symgraph show network.sg --stage gradient
  symgraph show models.one_hidden_layer --stage optimised --dot - | dot -Tsvg > network.svg
"""

_SUMMARY = """\
Print the layers of a graph: what each makes, its parameters, and what it costs.

WHAT is a module with a function graph(), the .py file of one, or a file (.txt, .sg) with the text form of a graph.
A layer is a scope; what is outside all scopes is grouped by its variables.
"""

_SUMMARIES = """\
examples:
  symgraph summary models.one_hidden_layer
  symgraph summary models.one_hidden_layer --size batch=128 --of loss
"""

_CACHE = """\
Tell what compiled code is kept on disk, or remove it.

The backend "llvm" keeps the machine code of programs, so that the next process does not compile them again. An entry
belongs to a graph with its sizes, the features of the processor, the version of LLVM and that of symgraph; damaged
ones are compiled again, and programs with ops of your own are not kept. When there is more than 512 MB, what was used
longest ago is removed. To remove it all does no harm.
"""

_ACTIONS = """\
the actions:
  info    the folder, the number of entries, and their size; what is done where none is named
  clear   remove all entries

the folder:
  the environment variable SYMGRAPH_CACHE_DIR names it, or is `off`; else it is symgraph in the folder where
  the system keeps caches ($XDG_CACHE_HOME or ~/.cache, ~/Library/Caches, %LOCALAPPDATA%)

examples:
  symgraph cache
  symgraph cache clear
  SYMGRAPH_CACHE_DIR=/scratch/symgraph symgraph cache info
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    >>> main(["show", "no_such_module"])
    2
    """
    args = _parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], None] = args.run
        run(args)
        sys.stdout.flush()
    except sg.SymgraphError as error:
        print(f"symgraph: error: {error}", file=sys.stderr)
        return WRONG
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="symgraph", description=_ABOUT, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"symgraph {sg.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show", help="print a graph at a stage", description=_SHOW, epilog=_STAGES, formatter_class=raw
    )
    add = show.add_argument
    add("what", metavar="WHAT", help="a module, or a .py, .txt or .sg file")
    add("--stage", choices=tuple(_STAGE), default="declared", metavar="STAGE", help="see below; declared")
    _add_sizes(show)
    add("--of", metavar="NAME", help="the output that --stage gradient differentiates; default: loss")
    add("--backend", metavar="NAME", default="auto", help="what the graph is compiled for; default: auto")
    add("--numerics", choices=NUMERICS, default="safe", help="which rewrites may run; default: safe")
    add(
        "--dot", metavar="FILE", help="write the stage's graph for Graphviz instead; - is the standard output"
    )
    show.set_defaults(run=_show)
    summary = commands.add_parser(
        "summary",
        help="print the layers of a graph",
        description=_SUMMARY,
        epilog=_SUMMARIES,
        formatter_class=raw,
    )
    summary.add_argument("what", metavar="WHAT", help="a module, or a .py, .txt or .sg file")
    _add_sizes(summary)
    summary.add_argument(
        "--of",
        metavar="NAME",
        action="append",
        help="count what this output needs, in the place of all; may be given several times",
    )
    summary.set_defaults(run=_summary)
    cache = commands.add_parser(
        "cache",
        help="what compiled code is kept on disk",
        description=_CACHE,
        epilog=_ACTIONS,
        formatter_class=raw,
    )
    cache.add_argument(
        "action", nargs="?", choices=tuple(_ACTION), default="info", metavar="ACTION", help="see below; info"
    )
    cache.set_defaults(run=lambda args: _ACTION[args.action]())
    return parser


def _add_sizes(parser: argparse.ArgumentParser) -> None:
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
    if not (name.isidentifier() and equals and value.isascii() and value.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write such as batch=128")
    return name, int(value)


def _show(args: argparse.Namespace) -> None:
    graph = load(args.what)
    sizes = _known_sizes(graph, args)
    shown, text = _STAGE[args.stage](graph, args, sizes)
    if args.dot is None:
        print(text())
        return
    from symgraph.inspect.diagram import to_dot  # what draws is loaded where something is drawn

    _write(args.dot, to_dot(shown))


def _known_sizes(graph: Graph, args: argparse.Namespace) -> dict[str, int]:
    sizes = dict(args.size)
    unknown = sorted(sizes.keys() - graph.names)
    if unknown:
        raise sg.GraphError(
            f"{unknown[0]!r} is no named size of this graph",
            source=None,
            hint=f"It has {', '.join(sorted(graph.names)) or 'none'}.",
        )
    return sizes


def _summary(args: argparse.Namespace) -> None:
    graph = load(args.what)
    sizes = _known_sizes(graph, args)
    try:
        made = sg.summary(graph, args.of, **sizes)
    except sg.GraphError as error:  # its line is in this file
        error.source = None
        raise
    print(made)


def _write(path: str, text: str) -> None:
    if path == "-":
        print(text)
        return
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise sg.GraphError(f"{path} could not be written: {error.strerror or error}", source=None) from error
    print(f"{path} is written", file=sys.stderr)


# The cache of compiled code


def _cache_info() -> None:
    from symgraph.lowering.llvm.cache import contents

    kept = contents()
    print(f"folder   {kept.place or f'none: {kept.reason}'}")
    print(f"entries  {kept.entries}")
    print(f"bytes    {kept.size}")


def _cache_clear() -> None:
    from symgraph.lowering.llvm.cache import clear, folder

    place, reason = folder()
    if place is None:
        print(f"there is no cache: {reason}")
        return
    removed = clear()
    print(f"removed {removed} {'entry' if removed == 1 else 'entries'} from {place}")


_ACTION = {"info": _cache_info, "clear": _cache_clear}


# Stages: the graph, and the text where that is not the graph's own.

_Stage = Callable[[Graph, argparse.Namespace, Mapping[str, int]], tuple[Graph, Callable[[], str]]]


def _graph_stage(make: Callable[[Graph, argparse.Namespace], Graph]) -> _Stage:
    def stage(
        graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]
    ) -> tuple[Graph, Callable[[], str]]:
        made = make(graph, args)
        # With all sizes known the types are concrete; with some of them they stay as they are declared.
        bound = specialise(made, sizes) if made.names and made.names <= sizes.keys() else made
        return bound, lambda: sg.to_text(bound)

    return stage


def _program_stage(
    tell: Callable[[sg.Executable, Mapping[str, int]], str], needs_sizes: bool = True
) -> _Stage:
    def stage(
        graph: Graph, args: argparse.Namespace, sizes: Mapping[str, int]
    ) -> tuple[Graph, Callable[[], str]]:
        executable = _compiled(graph, args)
        missing = sorted(executable.graph.names - sizes.keys()) if needs_sizes and args.dot is None else []
        if missing:
            raise sg.GraphError(
                f"--stage {args.stage} is for sizes that are known, and {', '.join(missing)} is not given",
                source=None,
                hint=f"Add {' '.join(f'--size {name}=128' for name in missing)}.",
            )
        return executable.graph, lambda: tell(executable, sizes)

    return stage


def _compiled(graph: Graph, args: argparse.Namespace) -> sg.Executable:
    return sg.compile(graph, backend=args.backend, numerics=args.numerics)


def forward(graph: Graph) -> Graph:
    """What the outputs of a graph need, without its updates.

    >>> w = sg.variable("w", (3,))
    >>> graph = sg.train.minimize(sg.define(loss=sg.sum(w * w)), "loss", sg.train.sgd(0.1))
    >>> forward(graph) == sg.define(loss=sg.sum(w * w))
    True
    """
    exprs = lift(graph)
    return body({name: exprs[i] for name, i in graph.outputs})


def with_gradient(graph: Graph, of: str | None = None) -> Graph:
    """`forward`, with the gradients of an output by all variables: by default of `loss`, or the one scalar.

    Raises GraphError where it is not clear which output is meant, GradientError where there is no gradient.
    """
    outputs = forward(graph)
    scalars = [name for name, _ in outputs.outputs if outputs[name].type.shape == ()]
    if of is None and "loss" not in scalars and len(scalars) != 1:
        raise sg.GraphError(
            "it is not clear what is to be differentiated: there is no output 'loss'",
            source=None,
            hint=f"Name one with --of: the scalars are {', '.join(scalars) or 'none'}.",
        )
    name = of if of is not None else "loss" if "loss" in scalars else scalars[0]
    exprs = lift(outputs)
    reached = [v for v in outputs.variables if outputs.variables[v].type.is_float]
    if not reached:
        raise sg.GradientError("the outputs need no float variable to differentiate by", source=None)
    whole = rebuild(outputs, exprs)[0]
    return sg.gradient(whole, name, reached, disconnected="zero")


_STAGE: dict[str, _Stage] = {
    "declared": _graph_stage(lambda graph, args: graph),
    "forward": _graph_stage(lambda graph, args: forward(graph)),
    "gradient": _graph_stage(lambda graph, args: with_gradient(graph, args.of)),
    "optimised": _graph_stage(lambda graph, args: _compiled(graph, args).graph),
    "unfused": _graph_stage(lambda graph, args: unfused(_compiled(graph, args))),
    "source": _program_stage(lambda executable, sizes: executable.source(**sizes).rstrip()),
    "ledger": _program_stage(lambda executable, sizes: sg.explain(executable, **sizes), False),
    "assembly": _program_stage(lambda executable, sizes: executable.assembly(**sizes).rstrip()),
    "memory": _program_stage(lambda executable, sizes: str(executable.memory_plan(**sizes))),
}


# What is shown: a module's graph, or a text.


def load(what: str) -> Graph:
    """The graph of a module with a function `graph()`, of its .py file, or of a file with the text form.

    Raises GraphError, which names the fault.
    """
    path = Path(what)
    if path.suffix in _TEXTS:
        return _from_file(path)
    module = _module_of_file(path) if path.suffix == ".py" else _module(what)
    function = getattr(module, "graph", None)
    if not callable(function):
        raise sg.GraphError(
            f"{what} has no function graph()",
            source=None,
            hint="Write `def graph() -> sg.Graph` in it, which needs no arguments.",
        )
    try:
        made = function()
    except sg.SymgraphError:
        raise
    except TypeError as error:
        raise sg.GraphError(f"{what}: graph() failed: {error}", source=None) from error
    if not isinstance(made, Graph):
        raise sg.GraphError(
            f"{what}: graph() returned a {type(made).__name__}, not a Graph",
            source=None,
            hint="Return symgraph.define(name=expression).",
        )
    return made


def _from_file(path: Path) -> Graph:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise sg.GraphError(f"{path} cannot be read: {reason}", source=None) from error
    try:
        return sg.verify(sg.from_text(text))
    except sg.SymgraphError as error:
        raise sg.GraphError(
            f"{path}: {error.message}", source=None, details=error.details, hint=error.hint
        ) from error


def _module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:  # the installed command, unlike python -m, does not look there by itself
        sys.path.insert(0, folder)
    try:
        known = all(name.split(".")) and find_spec(name) is not None
    except ImportError:
        known = False
    if not known:
        raise sg.GraphError(
            f"there is no module {name!r}",
            source=None,
            hint=f"It is looked for from {folder} on; write such as models.one_hidden_layer, or a file name.",
        )
    return _imported(name, lambda: import_module(name))


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise sg.GraphError(f"{path} cannot be read: there is no such file", source=None)

    def run() -> ModuleType:
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None, path  # the name ends in .py
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return _imported(str(path), run)


def _imported(name: str, run: Callable[[], ModuleType]) -> ModuleType:
    try:
        return run()
    except sg.SymgraphError:
        raise
    except Exception as error:
        raise sg.GraphError(
            f"{name} cannot be imported: {type(error).__name__}: {error}", source=None
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
