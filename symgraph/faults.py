"""Faults: a node whose value left the finite numbers, and what there is to say of it.

    at_fault : node -> values of all nodes -> whether it is there that a number stopped being finite
    names    : Graph -> graph cut from it or made of it -> how a reader calls each node
    Fault    : what an error says: a sentence, facts, the user's line, what to write instead

A node is at fault if it is NaN where no operand is, or infinite where all operands are finite. So what is infinite
by intention, such as the constant of a mask, goes through `where` and softmax; a NaN that comes of it is a fault.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TypeAlias

import attrs
import numpy as np

from symgraph.contracts import provenance
from symgraph.inspect.statistics import Statistics, statistics
from symgraph.ir import Array, Graph, Node, Variable, attribute_names, leaf_name
from symgraph.origin import Source

Value: TypeAlias = Array | tuple[Array, ...]  # a tuple is that of a kernel with several outputs
Known: TypeAlias = Value | Statistics | None  # what is known of a value

HINT = (
    "Take a smaller learning rate, clip the gradients, or keep the operand of exp, log, sqrt and division where "
    "they are finite."
)


OVERFLOW = (
    "Its operands are finite, and so large that the result is not: take a smaller learning rate, clip the gradients, "
    "or scale the data."
)
_GROWING = frozenset(
    {"add", "sub", "mul", "square", "matmul", "sum", "cumsum", "cumprod", "einsum", "conv2d"}
)


def has_nan(value: Known) -> bool:
    """Whether a number is NaN; no integer is, nor what is not known."""
    if isinstance(value, Statistics):
        return value.nan > 0
    return any(part.dtype.kind == "f" and bool(np.isnan(part).any()) for part in _parts(value))


def has_infinity(value: Known) -> bool:
    """Whether a number is infinite; no integer is, nor what is not known."""
    if isinstance(value, Statistics):
        return value.posinf + value.neginf > 0
    return any(part.dtype.kind == "f" and bool(np.isinf(part).any()) for part in _parts(value))


def _parts(value: Value | None) -> tuple[Array, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def _is_empty(value: Known) -> bool:
    if isinstance(value, Statistics):
        return not value.count
    return value is not None and not any(part.size for part in _parts(value))


def at_fault(node: Node, results: Sequence[Known], infinite: bool = True) -> bool:
    """Whether a number stopped being finite at this node; unless `infinite`, only what is NaN counts.

    `results` are the values of all nodes. What has no operand is no fault, nor is the largest or the sum of nothing,
    nor what an attribute of an op makes infinite.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> node = define(y=ops.log(placeholder("x", (1,)))).nodes[-1]
    >>> at_fault(node, [np.array([0.0]), np.array([-np.inf])]), at_fault(node, [np.array([np.inf])] * 2)
    (True, False)
    """
    value, operands = results[node.id], [results[i] for i in node.inputs]
    if not operands:
        return False
    if has_nan(value) and not any(map(has_nan, operands)):
        return True
    if not infinite or not has_infinity(value) or all(map(_is_empty, operands)):
        return False
    given = (getattr(node.op, name) for name in attribute_names(type(node.op)))
    if any(isinstance(number, float) and not isfinite(number) for number in given):
        return False
    return not any(map(has_infinity, operands)) and not any(map(has_nan, operands))


@attrs.frozen
class Fault:
    """What there is to say of a value that is not finite: `first` is a sentence without its full stop."""

    first: str
    details: tuple[str, ...]
    source: Source | None
    hint: str


def names(whole: Graph, graph: Graph) -> list[str]:
    """How each node of a graph is called in the `whole` graph that it was cut from, or rewritten: `%w`, `%12`.

    It is the node of the same structure, or the one with this op on the same line; where there is none, or several,
    it is called by its op.
    """
    structure = {(node.op, node.inputs): node.id for node in whole.nodes}
    written: dict[object, list[int]] = {}
    for node in whole.nodes:
        written.setdefault(_written(node), []).append(node.id)
    places: list[int | None] = []
    found: list[str] = []
    for node in graph.nodes:
        inputs = tuple(places[i] for i in node.inputs)
        place = None if None in inputs else structure.get((node.op, inputs))  # type: ignore[arg-type]
        places.append(place)
        leaf = leaf_name(node.op)
        alike = written.get(_written(node), []) if place is None and node.origin.sources else []
        if leaf is not None:
            found.append(leaf if leaf.startswith("%") else f"%{leaf}")
        elif place is not None or len(alike) == 1:
            found.append(f"%{alike[0] if place is None else place}")
        else:
            found.append(node.op.name)
    return found


def _written(node: Node) -> object:
    """What a node says, and where: more than one node may come of one place."""
    origin = node.origin
    return node.op.name, origin.rule, tuple((s.file, s.line, s._instruction) for s in origin.sources)


def told(graph: Graph, node: Node, called: Sequence[str]) -> str:
    """A node, its operands and its type."""
    operands = " of " + ", ".join(called[i] for i in node.inputs) if node.inputs else ""
    own = called[node.id]
    if own.startswith("%"):
        return f"{own} ({node.op.name}{operands}: {node.type})"
    return f"{own}{operands} ({node.type})"


def held(value: Array, infinite: bool = True) -> str:
    """How many numbers are not finite (or NaN), and the first of them.

    >>> held(np.array([[1.0, np.inf]])), held(np.float64("nan"))
    ('1 of 2 are not finite, the first at [0, 1]: inf', 'the value is nan')
    """
    bad = ~np.isfinite(value) if infinite else np.isnan(value)
    if not np.ndim(value):
        return f"the value is {value}"
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), value.shape))
    many = np.count_nonzero(bad)
    what = ("is" if many == 1 and value.size == 1 else "are") + (" not finite" if infinite else " NaN")
    return f"{many} of {value.size} {what}, the first at {list(where)}: {value[where]}"


def fault(
    whole: Graph,
    graph: Graph,
    results: Sequence[Value | None],
    node: Node,
    infinite: bool = True,
    when: str = "",
    spellings: Mapping[str, str] | None = None,
) -> Fault:
    """What there is to say of a node at fault: of an op where it is and what it was given, of a leaf how to mend it.

    `results` are the values of the nodes of `graph`, None where one is not known; nodes are called as in `whole`.
    `when` says of a variable since when it is not finite, `spellings` are other names of what is fed.
    """
    value = next(part for part in _parts(results[node.id]) if has_nan(part) or has_infinity(part))
    source = node.origin.sources[0] if node.origin.sources else None
    leaf, found = leaf_name(node.op), held(value, infinite)
    if isinstance(node.op, Variable):
        hint = f"Give it other values: session.variables.assign({leaf!r}, value)."
        return Fault(f"the variable {leaf!r} was not finite{when}: {found}", (), source, hint)
    if leaf is not None:
        hint = "Mend the data: find such values with numpy.isfinite."
        return Fault(
            f"what is fed for {(spellings or {}).get(leaf, leaf)!r} is not finite: {found}", (), source, hint
        )
    called = names(whole, graph)
    first = f"the first that is not finite is {told(graph, node, called)}: {found}"
    given = tuple(
        f"its operand {called[i]} is {statistics(part, picture=False)}"
        for i in dict.fromkeys(node.inputs)
        for part in _parts(results[i])
    )
    hint = OVERFLOW if node.op.name in _GROWING and not has_nan(value) else HINT
    return Fault(first, (*provenance(node.origin), *given), source, hint)
