"""Localising what is not finite: the leaf or the node of a declared graph where it began, or the node that raises.

    localise : Capsule -> Value* of the declared graph's nodes -> Finding*

A number that is not finite counts where it reaches a result: an output, the next value of a variable, or what a node
raises at. A constant that is infinite by intention, such as that of a mask, does not.
"""

from collections.abc import Sequence

import numpy as np

from symgraph.faults import has_infinity, has_nan
from symgraph.inspect.capsules.capsule import Capsule
from symgraph.inspect.capsules.evaluation import Failed, Value, parts
from symgraph.inspect.capsules.findings import Finding, Kind, described, lines_of, odd_elements, told
from symgraph.ir import Constant, Graph, Node, Placeholder, Variable
from symgraph.ops.region import in_order

_MOST = 8
_CAUSES = {
    "invalid value": "an invalid operation: it has no value at its operands, such as the log of a negative number, "
    "0/0 or inf - inf",
    "divide by zero": "a pole: a division by zero, or the log of 0",
    "overflow": "an overflow: the result is larger than the largest {dtype}",
}


def localise(capsule: Capsule, results: Sequence[Value]) -> tuple[Finding, ...]:
    """What is wrong with the values of the declared graph's nodes, the first cause first."""
    graph = capsule.graph
    failed = _raising(graph, results)
    ends = [i for i in graph.roots if not isinstance(results[i], Failed)]
    ends += [i for node in failed for i in node.inputs]
    stopped = capsule.failure is not None and capsule.failure.type == "DivergenceError"
    spread = _spread(graph, results, ends)
    if not spread and stopped and not failed:  # a watched run stops at what no result shows, too
        spread = [node.id for node in graph.nodes if not finite(results[node.id])]
    causes = [_finding(capsule, graph.nodes[i], results) for i in _first(graph, results, spread)[:_MOST]]
    return (*causes, *(_raised(capsule, node, results) for node in failed))


def hidden(capsule: Capsule, results: Sequence[Value]) -> str:
    """A sentence on values that are not finite and that no result shows; empty where there is none."""
    bad = [
        node.id
        for node in capsule.graph.nodes
        if not isinstance(node.op, Constant) and not finite(results[node.id])
    ]
    if not bad:
        return ""
    first = told(capsule.graph, capsule.graph.nodes[bad[0]], capsule.names)
    count = f"{len(bad)} values are" if len(bad) > 1 else "one value is"
    return f"{count} not finite, and no result shows it; the first is {first}"


def finite(value: Value) -> bool:
    """Whether all numbers of a value are finite; of one that could not be computed there are none."""
    return isinstance(value, Failed) or not (has_nan(value) or has_infinity(value))


def _has_nan(value: Value) -> bool:
    return not isinstance(value, Failed) and has_nan(value)


def _raising(graph: Graph, results: Sequence[Value]) -> list[Node]:
    """The nodes that raise, and not for an operand that could not be computed."""
    return [
        node
        for node in graph.nodes
        if isinstance(results[node.id], Failed)
        and not any(isinstance(results[i], Failed) for i in node.inputs)
    ]


def _spread(graph: Graph, results: Sequence[Value], ends: Sequence[int]) -> list[int]:
    """The nodes that are not finite and lead to one of the ends through such nodes."""
    found, stack = set[int](), list(ends)
    while stack:
        i = stack.pop()
        if i not in found and not finite(results[i]):
            found.add(i)
            stack.extend(graph.nodes[i].inputs)
    return sorted(found)


def _first(graph: Graph, results: Sequence[Value], spread: Sequence[int]) -> list[int]:
    """Where it began: leaves that are not finite, else nodes of finite operands, else NaN of none, else a constant."""
    leaves = [i for i in spread if isinstance(graph.nodes[i].op, Placeholder | Variable)]
    inner = [i for i in spread if graph.nodes[i].inputs]
    made = [i for i in inner if all(finite(results[k]) for k in graph.nodes[i].inputs)]
    if leaves or made:
        return leaves + made
    nans = [
        i
        for i in inner
        if _has_nan(results[i]) and not any(_has_nan(results[k]) for k in graph.nodes[i].inputs)
    ]
    return nans or [i for i in spread if not graph.nodes[i].inputs]


def _finding(capsule: Capsule, node: Node, results: Sequence[Value]) -> Finding:
    value = next(part for part in parts(results[node.id]) if not finite(part))
    odd = odd_elements(value)
    kind: Kind = "node"
    if isinstance(node.op, Placeholder):
        kind, message = "feed", f"the feed {node.op.label!r} is not finite: {odd}"
    elif isinstance(node.op, Variable):
        kind = "variable"
        message = f"the variable {node.op.label!r} was not finite before the step: {odd}"
    elif not node.inputs:
        kind, message = "constant", f"{told(capsule.graph, node, capsule.names)} is not finite: {odd}"
    else:
        cause = _cause(node, [results[i] for i in node.inputs], value)
        message = (
            f"{told(capsule.graph, node, capsule.names)} is the first that is not finite, by {cause}: {odd}"
        )
    return Finding(
        kind,
        message,
        node=node.id,
        op=node.op.name,
        type=str(node.type),
        lines=lines_of(capsule, node.origin),
        operands=described(capsule.graph, node, results, capsule.names),
    )


def _cause(node: Node, operands: Sequence[Value], value: Value) -> str:
    """What made a node not finite: what the processor says when it is computed again, else what its value shows."""
    raised: list[str] = []
    try:
        with np.errstate(all="call", call=lambda kind, flag: raised.append(kind)):
            node.op.evaluate(*in_order(node.op, list(operands)))
    except Exception:  # an op with sizes of its own: its value alone tells
        raised.clear()
    nan = bool(np.isnan(value).any())
    guess = "invalid value" if nan else "overflow"
    order = ("invalid value", "divide by zero", "overflow") if nan else ("divide by zero", "overflow")
    cause = next((name for name in order if name in raised), guess)
    return _CAUSES[cause].format(dtype=value.dtype.name)


def _raised(capsule: Capsule, node: Node, results: Sequence[Value]) -> Finding:
    error = results[node.id].error
    message = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
    return Finding(
        "error",
        f"{told(capsule.graph, node, capsule.names)} raises {type(error).__name__}: {message}",
        node=node.id,
        op=node.op.name,
        type=str(node.type),
        lines=lines_of(capsule, node.origin),
        operands=described(capsule.graph, node, results, capsule.names),
    )
