"""`symgraph check`: whether the gradients of a graph are what differences say, and if not, which op is wrong."""

import argparse
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from symgraph.commands.shared import (
    Commands,
    add_command,
    add_feeds,
    add_sizes,
    add_what,
    feeds_from,
    known_sizes,
    load,
    random_feeds,
    variables_from,
)
from symgraph.commands.stages import differentiated, forward
from symgraph.errors import GradientError
from symgraph.ir import Graph

if TYPE_CHECKING:
    from symgraph.gradient_check import GradientCheck, TargetCheck
    from symgraph.ir import Array

_ABOUT = """\
Check the gradients of a graph: what the VJPs say, against what moving an element a little does to the output.

WHAT is a module with a function graph(), MODULE:FUNCTION, the .py file of one, or a file (.txt, .sg) with the text form
of a graph. The loss is differentiated by every float variable it depends on, or by what --wrt names. Without --feed the
placeholders are drawn at random by --seed, for the sizes of --size; without --variables the variables have their first
values. Both sides are worked out in float64 whatever the graph's dtypes: rounding in float32 would hide a wrong factor.

A row a variable: the largest error, relative to the largest element of the gradient, and the element where it is. Where
the function has a kink, such as relu at 0, the two differ and both are right: such elements are counted apart. Where
it bends so much that the two differ, as sqrt does near 0, smaller steps decide.
If a gradient is wrong, each op is checked on its own operands, and the first whose VJP is wrong is told with its line.
"""

_EXAMPLES = """\
examples:
  symgraph check models.one_hidden_layer
  symgraph check models.one_hidden_layer --size batch=4 --wrt W1 --wrt x --samples 200
  symgraph check network.sg --of loss --feed batch.npz --variables trained.safetensors
  symgraph check models.xor_mlp --tolerance 1e-8 --seed 3

exit codes:
  0  the gradients agree        1  one is wrong, or not finite        2  an error, which is told
"""
_SIZE = 3  # of named sizes that are not given


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = add_command(
        commands, "check", _run, help="check gradients by differences", about=_ABOUT, examples=_EXAMPLES
    )
    add_what(parser)
    add = parser.add_argument
    add("--of", metavar="NAME", help="the output that is differentiated; default: loss, or the one scalar")
    add(
        "--wrt",
        metavar="NAME",
        action="append",
        help="a variable or placeholder to differentiate by; may be given several times; default: all variables",
    )
    add_sizes(parser)
    add_feeds(parser)
    add(
        "--tolerance",
        metavar="T",
        type=_positive,
        default=1e-6,
        help="the relative error that is allowed; 1e-6",
    )
    add(
        "--samples", metavar="N", type=_count, default=32, help="elements of each that are moved; default: 32"
    )


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0; write such as 1e-6")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    from symgraph.gradient_check import check_gradient

    whole = load(args.what)
    of = differentiated(forward(whole), args.of)
    graph = _only(whole, of, args.wrt)
    wrt = args.wrt or _variables(graph, of)
    sizes = {**dict.fromkeys(graph.names, _SIZE), **known_sizes(whole, args)}
    if args.feed is None:
        feeds = random_feeds(graph, sizes, args.seed)
    else:
        given = feeds_from(args.feed, whole, dict(args.size))
        feeds = {name: array for name, array in given.items() if name in graph.placeholders}
    values = {**feeds, **variables_from(args.variables, graph, args.seed)}
    found = check_gradient(
        graph,
        of,
        wrt,
        values,
        tolerance=args.tolerance,
        samples=args.samples,
        seed=args.seed,
        raises=False,
        disconnected="zero",
    )
    _tell(graph, found, values, args, sizes)
    return 0 if found.passed else 1


def _only(graph: Graph, of: str, wrt: Sequence[str] | None) -> Graph:
    """The graph of one output, and of the targets that it does not need."""
    from symgraph.define import body, lift

    exprs = lift(graph)
    return body({name: exprs[graph[name].id] for name in dict.fromkeys([of, *(wrt or ())])})


def _variables(graph: Graph, of: str) -> list[str]:
    names = [name for name, node in graph.variables.items() if node.type.is_float]
    if not names:
        raise GradientError(
            f"the output {of!r} needs no float variable to differentiate by",
            source=None,
            hint=f"Name what to differentiate by: --wrt {next(iter(graph.placeholders), 'x')}.",
        )
    return names


_HEAD = ("of", "by", "elements", "kinks", "error", "worst at", "gradient", "difference", "verdict")


def _tell(
    graph: Graph,
    found: "GradientCheck",
    values: Mapping[str, "Array"],
    args: argparse.Namespace,
    sizes: Mapping[str, int],
) -> None:
    from symgraph.origin import visible

    bound = "" if args.feed else "".join(f", {name}={sizes[name]}" for name in sorted(graph.names))
    source = f"values of {args.feed}" if args.feed else f"random values of seed {args.seed}{bound}"
    print(
        f"the gradient of {visible(found.of)}, in float64, on {source}; "
        f"errors up to {found.tolerance:.1e} are allowed\n"
    )
    rows = [_HEAD, *(_row(found, target) for target in found.targets)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEAD))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    print()
    if found.passed:
        print("all agree" if len(found.targets) > 1 else "it agrees")
        if any(target.kinks == target.checked > 0 for target in found.targets):
            print("where all is at kinks nothing is told: try other values, with --variables or --feed")
        return
    _tell_culprit(graph, found, values, args)


def _row(found: "GradientCheck", target: "TargetCheck") -> tuple[str, ...]:
    from symgraph.origin import visible

    place = f"[{', '.join(map(str, target.index))}]" if target.index else ""
    name = visible(target.name)
    return (
        visible(found.of),
        name,
        f"{target.checked} of {target.size}",
        str(target.kinks),
        f"{target.error:.1e}",
        f"{name}{place}" if target.checked else "-",
        f"{target.gradient:.9g}",
        f"{target.difference:.9g}",
        _verdict(target, found.tolerance),
    )


def _verdict(target: "TargetCheck", tolerance: float) -> str:
    if target.error > tolerance:
        return "WRONG" if isfinite(target.gradient) and isfinite(target.difference) else "NOT FINITE"
    if target.checked == 0:
        return "nothing to check"
    return "at kinks" if target.kinks == target.checked else "agrees"


def _tell_culprit(
    graph: Graph, found: "GradientCheck", values: Mapping[str, "Array"], args: argparse.Namespace
) -> None:
    from symgraph.gradient_check import wrong_vjps

    count = sum(target.error > found.tolerance for target in found.targets)
    kind = (
        "wrong"
        if any(_verdict(target, found.tolerance) == "WRONG" for target in found.targets)
        else "not finite"
    )
    print(f"{count} of {len(found.targets)} {'is' if count == 1 else 'are'} {kind}")
    # An op by itself may be worse conditioned than what it stands in.
    culprits = wrong_vjps(graph, found.of, values, tolerance=10 * found.tolerance, seed=args.seed)
    for one in culprits:
        what = (
            "own VJP is wrong" if isfinite(one.check.difference) else "value is not finite near its operands"
        )
        print(f"the first op whose {what}: {one}")
        if one.op == "stop_gradient":
            print("  stop_gradient hands nothing back on purpose: differences see through it")
        elif one.origin.sources:
            print(one.origin.sources[0].quote())
    if not culprits:
        print("each op's own VJP agrees with differences: the values may be badly conditioned, or not finite")
