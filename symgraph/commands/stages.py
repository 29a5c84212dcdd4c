"""The stages of a graph, as the commands name them: as it is declared, differentiated, and made by the compiler.

stage : name -> Graph -> Graph
"""

import argparse
from collections.abc import Callable, Mapping

from symgraph.autodiff import gradient
from symgraph.compile import Executable, compile
from symgraph.define import body, lift, rebuild
from symgraph.errors import GradientError, GraphError
from symgraph.ir import Graph, specialise


def forward(graph: Graph) -> Graph:
    """What the outputs of a graph need, without its updates.

    >>> import symgraph as sg
    >>> w = sg.variable("w", (3,))
    >>> graph = sg.train.minimize(sg.define(loss=sg.sum(w * w)), "loss", sg.train.sgd(0.1))
    >>> forward(graph) == sg.define(loss=sg.sum(w * w))
    True
    """
    exprs = lift(graph)
    return body({name: exprs[i] for name, i in graph.outputs})


def differentiated(graph: Graph, of: str | None = None) -> str:
    """The output that is meant where none is named: `loss`, or the one scalar; raises GraphError."""
    scalars = [name for name, _ in graph.outputs if graph[name].type.shape == ()]
    if of is None and "loss" not in scalars and len(scalars) != 1:
        raise GraphError(
            "it is not clear what is to be differentiated: there is no output 'loss'",
            source=None,
            hint=f"Name one with --of: the scalars are {', '.join(scalars) or 'none'}.",
        )
    return of if of is not None else "loss" if "loss" in scalars else scalars[0]


def with_gradient(graph: Graph, of: str | None = None) -> Graph:
    """`forward`, with the gradients of an output by all variables: by default of `loss`, or the one scalar.

    Raises GraphError where it is not clear which output is meant, GradientError where there is no gradient.
    """
    outputs = forward(graph)
    name = differentiated(outputs, of)
    exprs = lift(outputs)
    reached = [v for v in outputs.variables if outputs.variables[v].type.is_float]
    if not reached:
        raise GradientError("the outputs need no float variable to differentiate by", source=None)
    whole = rebuild(outputs, exprs)[0]
    return gradient(whole, name, reached, disconnected="zero")


def compiled(graph: Graph, args: argparse.Namespace) -> Executable:
    """The graph compiled as the options --backend and --numerics say."""
    return compile(graph, backend=args.backend, numerics=args.numerics)


def _unfused(graph: Graph, args: argparse.Namespace) -> Graph:
    from symgraph.inspect.kernels import unfused

    return unfused(compiled(graph, args))


GRAPHS: Mapping[str, Callable[[Graph, argparse.Namespace], Graph]] = {
    "declared": lambda graph, args: graph,
    "forward": lambda graph, args: forward(graph),
    "gradient": lambda graph, args: with_gradient(graph, args.of),
    "optimised": lambda graph, args: compiled(graph, args).graph,
    "unfused": _unfused,
}


def with_sizes(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """With all sizes known the types are concrete; with some of them they stay as they are declared."""
    return specialise(graph, sizes) if graph.names and graph.names <= sizes.keys() else graph
