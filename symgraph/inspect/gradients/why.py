"""Why a node has no gradient, or one that is zero, told in text with the way and the user's lines.

why_no_gradient : Graph -> of -> node -> text
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from symgraph.errors import GraphError
from symgraph.fetches import Locator, Target
from symgraph.inspect.gradients.adjoints import Pair, derived, paired
from symgraph.inspect.gradients.stops import called, reasons, unreached
from symgraph.inspect.gradients.tape import Tape, completed, record
from symgraph.inspect.gradients.zeros import why_zero, zeros
from symgraph.inspect.statistics import statistics
from symgraph.inspect.values import Feeds, values
from symgraph.ir import Graph, Node, Placeholder, require_graph
from symgraph.origin import relative, visible

_USES = 8  # uses of a node that are listed


def why_no_gradient(
    graph: Graph,
    of: str,
    node: Target | int,
    feeds: Feeds | None = None,
    variables: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
) -> str:
    """Why an output has no gradient by a node, or why that is 0, as text; or that it has one, and where from.

    `of` names the output, a float scalar; `node` is a name, an id, an expression or a node of the graph, which may have
    its derivatives already or not. With `feeds`, or where the graph needs none, the gradient is computed, and where it
    is 0 everywhere the text says by what; `variables` are such as `session.variables`, by default the first values of
    a session of this `seed`. The way from the node to where the gradient stops, or comes from, is shown with the lines
    that wrote it. Raises GradientError, GraphError, FeedError.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> w = variable("w", (3,), init=-1.0)
    >>> graph = define(loss=ops.sum(ops.relu(w)))
    >>> print(why_no_gradient(graph, "loss", "w").split(": ")[0])
    the gradient of 'loss' by %0 variable 'w' is 0
    """
    require_graph(graph, "why_no_gradient")
    tape = record(graph, of)
    i = _located(graph, node)
    name, output = called(graph, i), repr(visible(of))
    if i not in tape.adjoints:
        pair = paired(reasons(tape, ()), {}, {}, i)
        return _told(graph, f"there is no gradient of {output} by {name}: {pair.reason}", pair.path)
    by = derived(tape)
    known = reasons(tape, by)
    dropped = unreached(known, i) if by and tape.adjoint(i) is None else ""
    whole = tape if tape.adjoint(i) is not None else record(completed(tape, [i]), of)
    own = i if whole is tape else Locator(whole.graph)(graph.expressions[i]).id
    fed = feeds is not None or all(_has_value(node) for node in graph.placeholders.values())
    run = values(whole.graph, feeds, variables, seed) if fed else ()
    zero = zeros(whole, run)
    pair = paired(reasons(whole, by), zero, why_zero(whole, run, zero), own)
    if pair.zero:
        return _told(whole.graph, f"the gradient of {output} by {name} is 0: {pair.zero}", pair.zero_path)
    holds = f", in %{pair.adjoint}" if whole is tape else ""
    lines = [f"there is a gradient of {output} by {name}{holds}"]
    if dropped:
        lines = [f"the graph has no gradient of {output} by {name}: {dropped}", "asked for, there is one"]
    if fed and pair.adjoint is not None:
        lines[-1] += f": {statistics(np.asarray(run[pair.adjoint]), picture=False)}"
    lines += _uses(whole, pair)
    return _told(whole.graph, "\n".join([*lines, f"the way from it to {output}:"]), pair.path)


def _has_value(node: Node) -> bool:
    return isinstance(node.op, Placeholder) and node.op.default is not None


def _located(graph: Graph, node: Any) -> int:
    """The id of a node that is named, given by its id, or as an expression."""
    if isinstance(node, int) and not isinstance(node, bool):
        if 0 <= node < len(graph):
            return node
        raise GraphError(f"%{node} is no node of this graph", hint=f"It has %0 to %{len(graph) - 1}.")
    return Locator(graph)(node).id


def _uses(tape: Tape, pair: Pair) -> list[str]:
    """What the uses of a node hand back to it, where there are several."""
    rules = [rule for rule in pair.rules if rule.result is not None]
    if len(rules) < 2:
        return []
    more = [f"  and {len(rules) - _USES} more"] if len(rules) > _USES else []
    shown = [f"  {visible(r.rule)} of {called(tape.graph, r.consumer)}" for r in rules[:_USES]]
    return [f"it is the sum of what {len(rules)} uses hand back:", *shown, *more]


def _told(graph: Graph, head: str, path: Sequence[int]) -> str:
    """A sentence, then the nodes of a path with their types and the lines that wrote them."""
    names = [f"  {called(graph, i)}" for i in path]
    types = [str(graph.nodes[i].type) for i in path]
    wide, deep = (max(map(len, column), default=0) for column in (names, types))
    rows = zip(names, types, path, strict=True)
    return "\n".join(
        [head, *(f"{n:{wide}}  {t:{deep}}  {_line(graph.nodes[i])}".rstrip() for n, t, i in rows)]
    )


def _line(node: Node) -> str:
    """Where a node was written, with the text of the line: of code that ran, since a text may name any file."""
    if not node.origin.sources:
        return ""
    source = node.origin.sources[0]
    shown = source.quote().splitlines()[0].strip() if source.ran else f"{relative(source.file)}:{source.line}"
    return visible(shown)
