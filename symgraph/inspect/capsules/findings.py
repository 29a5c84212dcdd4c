"""Findings: what a replay says of the place where a run went wrong, and how it names nodes.

Finding = kind, sentence, the node or rewrite or kernel, the user's lines, the worst element, the operands
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np

from symgraph.inspect.capsules.capsule import Capsule
from symgraph.inspect.capsules.comparison import Worst
from symgraph.inspect.capsules.evaluation import Failed, Value, parts
from symgraph.inspect.statistics import statistics
from symgraph.ir import Graph, Node, leaf_name
from symgraph.origin import Origin, visible

Kind: TypeAlias = Literal[
    "feed", "variable", "constant", "node", "error", "rewrite", "pass", "kernel", "program"
]
_SHOWN = 6  # operands, lines, buffers


@attrs.frozen
class Finding:
    """A place where a run went wrong.

    `kind` says what it is: a feed, variable or constant that is not finite; a node of the declared graph that is the
    first to be so, or that raises; a rewrite, or a pass as a whole, that changes values; a kernel that does not
    compute what its node means; or a program whose kernels are right by themselves. `where` is the pass or backend,
    `node` the id in the graph named there (the declared one, the one that the pass was given, or the one that runs).
    `rule`, `step`, `before` and `after` are those of the ledger's row.
    """

    kind: Kind
    message: str
    where: str = "declared"
    node: int | None = None
    op: str = ""
    type: str = ""
    rule: str = ""
    step: int | None = None
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()
    worst: Worst | None = None
    operands: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The sentence, with what is known about the place indented below it."""
        told = [f"operand {line}" for line in self.operands]
        worst = [str(self.worst)] if self.worst is not None else []
        below = [*self.lines, *worst, *told, *(f"buffer {line}" for line in self.buffers)]
        return "\n".join([visible(self.message), *(f"  {visible(line)}" for line in below)])


def named(graph: Graph, i: int, names: Sequence[str] = ()) -> str:
    """How a node is called: as one of `names`, if there are any; else `%x` for a leaf of that name, or by its number.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = define(y=-placeholder("x"))
    >>> named(graph, 0), named(graph, 1)
    ('%x', '%1')
    """
    return names[i] if names else f"%{leaf_name(graph.nodes[i].op) or i}"


def told(graph: Graph, node: Node, names: Sequence[str] = ()) -> str:
    """A node with its op, operands and type: `%3 (mul of %x, %2: f32[n])`."""
    of = f" of {', '.join(named(graph, i, names) for i in node.inputs)}" if node.inputs else ""
    return f"{named(graph, node.id, names)} ({node.op.name}{of}: {node.type})"


def lines_of(capsule: Capsule, origin: Origin) -> tuple[str, ...]:
    """The user's lines of an origin, with their texts, and the rules that made the node."""
    lines = [capsule.line(source) for source in origin.sources[:_SHOWN]]
    made = f"made by {origin.rule}" if origin.rule else ""
    scope = f"in {'/'.join(origin.scope)}" if origin.scope else ""
    return (*lines, *filter(None, (scope, made)))


def described(
    graph: Graph, node: Node, results: Sequence[Value], names: Sequence[str] = ()
) -> tuple[str, ...]:
    """The operands of a node with their statistics, each once."""
    ids = list(dict.fromkeys(node.inputs))
    shown = [f"{named(graph, i, names)}: {numbers(results[i])}" for i in ids[:_SHOWN]]
    return (*shown, f"and {len(ids) - _SHOWN} more") if len(ids) > _SHOWN else tuple(shown)


def numbers(value: Value) -> str:
    """The statistics of a value in a line."""
    if isinstance(value, Failed):
        return f"not known: {value.error}"
    return "; ".join(str(statistics(part, picture=False)) for part in parts(value))


def odd_elements(value: Any) -> str:
    """What is not finite in an array, in words, and where the first is.

    >>> odd_elements(np.array([1.0, np.nan, np.inf, np.nan]))
    '2 nan and 1 inf of 4 elements, the first at [1]: nan'
    """
    array = np.asarray(value)
    counted = {"nan": np.isnan(array), "inf": array == np.inf, "-inf": array == -np.inf}
    found = [f"{np.count_nonzero(mask)} {name}" for name, mask in counted.items() if mask.any()]
    if array.ndim == 0:
        return f"it is {array[()]}"
    first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
    return f"{' and '.join(found)} of {array.size} elements, the first at {list(first)}: {array[first]}"
