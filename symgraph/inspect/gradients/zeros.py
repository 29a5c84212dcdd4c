"""Why an adjoint is zero everywhere: the first VJP, on the way from the output, that made zeros of a cotangent.

zeros    : Tape -> Value* -> {node: Route}       the way from each node whose adjoint is 0 to the node whose VJP did it
why_zero : Tape -> Value* -> {node: Route} -> {node: sentence}

A cotangent goes from the output towards the leaves; the first step at which something that is not 0 became 0 is the
cause, and all behind it is a consequence.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from symgraph.inspect.gradients.stops import Route, beyond, called
from symgraph.inspect.gradients.tape import Tape, Use
from symgraph.inspect.statistics import statistics
from symgraph.inspect.values import Value
from symgraph.ir import Array, Node


def zeros(tape: Tape, values: Sequence[Value]) -> Mapping[int, Route]:
    """The way from each node whose adjoint is 0 everywhere to the node whose VJP made it so.

    `values` are those of all nodes of the tape's graph, or none. A way without a step is that of a node whose own uses
    cancel. The nodes come in reverse order.
    """
    found: dict[int, Route] = {}
    if not values:
        return found
    for i in reversed(tape.order):
        adjoint = tape.adjoint(i)
        if adjoint is None or not _zero(values[adjoint]):
            continue
        uses = [use for use in tape.uses.get(i, ()) if use.gives]
        left = any(use.result is not None and not _zero(values[use.result]) for use in uses)
        ways = [] if left else [_way(found, i, use) for use in uses]
        found[i] = min(ways, key=lambda way: way.steps, default=Route(None, 0, (i,)))
    return found


def _way(found: Mapping[int, Route], i: int, use: Use) -> Route:
    """The way over one use, which hands on 0."""
    c = use.consumer
    return beyond(i, c, found[c]) if c in found else Route(c, 1, (i, c))


def _zero(value: Value) -> bool:
    return isinstance(value, np.ndarray | np.generic) and np.size(value) > 0 and not np.any(value)


def why_zero(tape: Tape, values: Sequence[Value], found: Mapping[int, Route]) -> Mapping[int, str]:
    """Why the adjoint of each of these nodes is 0 everywhere, in a sentence."""
    causes: dict[int, str] = {}
    for i, route in found.items():  # those nearest the output come first
        c = route.next
        if c is None:
            causes[i] = _at_end(tape, i)
        elif c in causes:
            causes[i] = causes[c]
        else:
            causes[i] = _cause(tape, values, i, c)
    return {i: f"{cause}{_others(tape, found[i], i)}" for i, cause in causes.items()}


def _cause(tape: Tape, values: Sequence[Value], i: int, c: int) -> str:
    """Why the VJP of `c` gave its operand `i` only zeros."""
    name = called(tape.graph, c)
    if not np.size(values[c]):
        return f"{name} has no elements, and so nothing to hand back"
    by = _by_op(tape, values, i, c) or _by_step(tape, values, i, c)
    return f"{name} makes zeros of a cotangent that is not 0: {by}"


def _others(tape: Tape, route: Route, i: int) -> str:
    count = 0 if route.next is None else sum(use.gives for use in tape.uses[i]) - 1
    if not count:
        return ""
    return f"; the other {'use' if count == 1 else f'{count} uses'} of %{i} {'gives' if count == 1 else 'give'} 0 too"


def _at_end(tape: Tape, i: int) -> str:
    """Why the adjoint is 0 where none of the VJPs that it comes by gave only zeros."""
    uses = sum(use.gives for use in tape.uses.get(i, ()))
    if not uses:
        return f"the cotangent that {called(tape.graph, i)} starts from is 0"
    return f"the {uses} uses of {called(tape.graph, i)} hand back cotangents that are not 0, and cancel"


def _by_op(tape: Tape, values: Sequence[Value], before: int, cause: int) -> str:
    """The story of an op that is known, "" where it is none of these, or another one."""
    node = tape.graph.nodes[cause]
    operands = [np.asarray(values[i]) for i in node.inputs]
    out, place = np.asarray(values[cause]), node.inputs.index(before)
    x = operands[place]
    given = tape.adjoint(cause)
    live = np.ones(out.shape, bool) if given is None else np.asarray(values[given]) != 0
    if live.shape != out.shape:
        return ""
    name = node.op.name
    if name == "relu" and not np.any(x[live] > 0):
        return f"its mask is 0 for {_inputs(live)}: none is above 0, the largest is {_number(x[live].max())}"
    if name in ("maximum", "minimum", "where") and not np.any(_taken(name, operands, out, place)[live]):
        other = "the other branch" if name == "where" else f"the other operand, %{node.inputs[1 - place]},"
        return f"it took {other} for {_elements(live)}"
    if name in ("sigmoid", "tanh") and _saturated(name, out[live]):
        low, high = (_number(edge) for edge in (x[live].min(), x[live].max()))
        there = f"at {low}" if low == high else f"between {low} and {high}"
        return f"it is saturated for {_inputs(live)}, {there}, so that its slope is 0"
    if name in ("mul", "matmul") and not np.any(operands[1 - place]):
        return f"it multiplies by %{node.inputs[1 - place]}, whose {_all(operands[1 - place])} 0"
    if name in ("exp", "exp2") and not np.any(out[live]):
        return f"its result, which is its slope, underflows to 0 for {_inputs(live)}"
    if name in ("square", "abs") and not np.any(x[live]):
        return f"its slope is 0 at 0, and {_all(x[live])} 0"
    return ""


def _taken(name: str, operands: Sequence[Array], out: Array, place: int) -> Array:
    """Where an operand was taken, or NaN came of what was."""
    if name == "where":
        return np.broadcast_to(operands[0] if place == 1 else ~operands[0], out.shape)
    return np.asarray((operands[place] == out) | np.isnan(out))


def _saturated(name: str, out: Array) -> bool:
    with np.errstate(all="ignore"):
        slope = out * (1 - out) if name == "sigmoid" else 1 - out * out
    return not np.any(slope)


def _by_step(tape: Tape, values: Sequence[Value], before: int, cause: int) -> str:
    """The step of the VJP at which the cotangent was lost."""
    graph, given = tape.graph, tape.adjoint(cause)
    result = next((u.result for u in tape.uses[before] if u.consumer == cause and u.result is not None), None)
    if given is None or result is None:
        return "what it hands back is 0, whatever the cotangent is"
    carries = {given}
    for i in tape.gradient.get(cause, ()):
        if not carries.isdisjoint(graph.nodes[i].inputs):
            carries.add(i)
    at = result
    while True:
        node = graph.nodes[at]
        back = [i for i in node.inputs if i in carries]
        if not back or at == given:
            return f"what it hands back, %{result}, is 0 whatever the cotangent is"
        zero = next((i for i in back if _zero(values[i])), None)
        if zero is None:
            return _step(node, values, back[0])
        at = zero


def _step(node: Node, values: Sequence[Value], back: int) -> str:
    """How one op made zeros of a value that has others."""
    given = np.asarray(values[back])
    step = f"%{node.id} {node.op.name}"
    others = [i for i in node.inputs if i != back]
    odd = next((i for i in others if _zero(values[i])), None)
    if node.op.name in ("mul", "matmul", "div") and odd is not None:
        return f"{step} multiplies by %{odd}, whose {_all(np.asarray(values[odd]))} 0"
    if node.op.name == "mul" and others:
        shape = np.broadcast_shapes(given.shape, np.shape(values[others[0]]))
        both = np.broadcast_to(given != 0, shape) & np.broadcast_to(np.asarray(values[others[0]]) != 0, shape)
        if not np.any(both):
            return f"{step} multiplies by %{others[0]}, which is 0 wherever the cotangent is not"
        return f"the product of {step} underflows: {statistics(given, picture=False)}"
    if node.op.name == "div" and node.inputs[1] != back:
        divisor = statistics(np.asarray(values[node.inputs[1]]), picture=False)
        return f"{step} divides by %{node.inputs[1]}: {divisor}"
    if node.op.name == "matmul":
        return f"the products that {step} adds are 0, or cancel"
    if node.op.name in ("add", "sub", "sum"):
        return f"the terms that {step} adds cancel"
    if node.op.name == "where":
        return f"{step} chooses another value wherever the cotangent is not 0"
    return f"{step} leaves only zeros of {statistics(given, picture=False)}"


def _inputs(live: Array) -> str:
    return _counted(live, "input")


def _elements(live: Array) -> str:
    return _counted(live, "element")


def _counted(live: Array, what: str) -> str:
    count = int(np.count_nonzero(live))
    reached = "" if count == live.size else " that a cotangent reaches"
    return f"the one {what}{reached}" if count == 1 else f"all {count} {what}s{reached}"


def _all(array: Array) -> str:
    return f"{array.size} elements are all" if array.size > 1 else "one element is"


def _number(value: Array) -> str:
    return f"{value:.6g}"
