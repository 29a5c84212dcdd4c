"""Kernels of a backend against the interpreter: the program as a whole, each kernel alone, and programs cut short.

    check : backend -> fused Graph -> leaves -> Checked

A program is compared with the interpreter on the same graph. Where they part, each kernel is compiled by itself and
given the interpreter's operands: the first that parts is wrong. Where none does, the kernels are run one after the
other on their own results: if that agrees with the program, the difference is rounding that grows on its way; if not,
the fault lies between the kernels (memory plan, schedule, threads), and the shortest program that has it is looked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.compile import Lowering
from symgraph.define import number
from symgraph.expr import Expr
from symgraph.inspect.capsules.capsule import Capsule
from symgraph.inspect.capsules.comparison import KERNEL_ULP, Worst, close, epsilon, exact
from symgraph.inspect.capsules.evaluation import Evaluator, Failed, Value, magnitude, parts, scale, widened
from symgraph.inspect.capsules.findings import Finding, described, lines_of, named, told
from symgraph.ir import Array, Graph, Node, Placeholder, Variable, specialise
from symgraph.lowering.plan import concrete
from symgraph.lowering.program import Options
from symgraph.ops.region import Fused, Project, project
from symgraph.types import TupleType

_TIGHT = (
    64.0  # times epsilon, relative to the largest element of a result: closer than this nothing is looked for
)
_AGAIN = 3  # runs of a program of several threads
_LOOSE = 1e4  # the same for what has gone through several kernels


@attrs.frozen
class Ran:
    """A program's results, or the error that it raised."""

    values: tuple[Array, ...] = ()
    error: Exception | None = None


@attrs.frozen
class Checked:
    """What is said of a backend: how many kernels it has, a sentence, and what was found."""

    backend: str
    kernels: int
    sentence: str
    findings: tuple[Finding, ...] = ()


@attrs.frozen
class _Side:
    """A backend with what its programs are given: the graph that runs, its leaves, and the interpreter's values."""

    capsule: Capsule
    name: str
    lowering: Lowering
    options: Options
    graph: Graph
    leaves: Mapping[str, Array]
    results: Sequence[Value]


def check(
    capsule: Capsule,
    name: str,
    lowering: Lowering,
    options: Options,
    graph: Graph,
    leaves: Mapping[str, Array],
    sizes: Mapping[str, int],
) -> Checked:
    """Compare a backend with the interpreter on the graph that it runs; `leaves` are the feeds and variables."""
    fixed = specialise(graph, sizes)
    evaluator = Evaluator(leaves, sizes)
    side = _Side(
        capsule, name, lowering, options, fixed, leaves, [evaluator.value(e) for e in fixed.expressions]
    )
    kernels = [node for node in fixed.nodes if _computes(node)]
    ran = _run(side, fixed, leaves)
    if ran.error is not None:
        return _raised(side, kernels, ran.error)
    apart = _parted(side, _ends(fixed), ran.values, _TIGHT)
    for node in kernels if apart is not None else ():
        found = _alone(side, node)
        if found is not None:
            return Checked(name, len(kernels), f"parts from the interpreter at %{node.id}", (found,))
    unsteady = _unsteady(side, ran)
    if unsteady is not None:
        return Checked(name, len(kernels), "gives other bits in another run", (unsteady,))
    if apart is None:
        return Checked(name, len(kernels), "agrees with the interpreter")
    chain = _chained(side, kernels)
    ends = [part for i in _ends(fixed) for part in parts(chain[i])]
    between = [_loosely(e, v) for e, v in zip(ends, ran.values, strict=True)]
    if all(worst is None for worst in between) and _parted(side, _ends(fixed), ran.values, _LOOSE) is None:
        return Checked(name, len(kernels), f"agrees but for rounding that grows on its way: {apart[1]}")
    if all(worst is None for worst in between):
        return Checked(
            name,
            len(kernels),
            f"differs by rounding alone, each kernel agrees with the interpreter: {apart[1]}",
        )
    return Checked(
        name, len(kernels), "parts from the interpreter between kernels", (_between(side, kernels, apart),)
    )


def _computes(node: Node) -> bool:
    """Whether a node is a kernel: leaves are given, and a projection is a part of one."""
    return bool(node.inputs) and not isinstance(node.op, Project)


def _ends(graph: Graph) -> list[int]:
    """The nodes whose values a program returns, and then those it writes to variables."""
    return [*(i for _, i in graph.outputs), *(i for _, pairs in graph.updates for _, i in pairs)]


def _run(side: _Side, graph: Graph, leaves: Mapping[str, Array]) -> Ran:
    """A graph of concrete sizes on the backend: outputs, then the next values of variables."""
    values = [_given(node, leaves) for node in graph.nodes if isinstance(node.op, Placeholder | Variable)]
    changed = [graph.nodes[i].type for _, pairs in graph.updates for _, i in pairs]
    destinations = [np.empty(concrete(type_.shape), type_.dtype) for type_ in changed]
    try:
        program = side.lowering.lower(graph, side.options)
        made = program.instance()(values, destinations)
        return Ran(tuple(np.array(value) for value in (*made, *destinations)))
    except Exception as error:  # whatever a backend raises is what is looked for
        return Ran(error=error)


def _unsteady(side: _Side, ran: Ran) -> Finding | None:
    """What is wrong where the same program gives other bits in another run, or with one thread."""
    one = attrs.evolve(side, options=attrs.evolve(side.options, threads=1))
    again = [(side, "when it runs again")]
    if side.name == "llvm" and side.options.threads != 1:  # a race is not lost each time
        again = [*again * _AGAIN, (one, "with one thread")]
    for other, how in again:
        rerun = _run(other, side.graph, side.leaves)
        if rerun.error is not None:
            continue
        for i, first, second in zip(_ends(side.graph), ran.values, rerun.values, strict=True):
            worst = exact(second, first)
            if worst is not None:
                node = side.graph.nodes[i]
                sentence = f"the program of {side.name!r} gives other bits {how}: {told(side.graph, node)}"
                return _at(side, i, node, sentence, worst)
    return None


def _given(node: Node, leaves: Mapping[str, Array]) -> Array:
    op: Any = node.op
    value = leaves.get(op.label)
    return np.require(op.default.array if value is None else value, requirements="C")


def _parted(
    side: _Side, ends: Sequence[int], values: Sequence[Array], bound: float
) -> tuple[int, Worst] | None:
    """The first of a program's results that is not the interpreter's."""
    for i, value in zip(ends, values, strict=True):
        expected = side.results[i]
        if isinstance(expected, Failed):
            continue
        worst = _loosely(expected, value, bound)
        if worst is not None:
            return i, worst
    return None


def _loosely(expected: Value, value: Array, bound: float = _LOOSE) -> Worst | None:
    if isinstance(expected, Failed):
        return None
    return close(expected, value, bound * epsilon(value.dtype) * magnitude([expected]))


# One kernel alone


def _single(node: Node, graph: Graph) -> Graph:
    """A graph of one node, whose operands are placeholders named by their ids."""
    operands = {
        i: Expr(Placeholder(str(i), graph.nodes[i].type), (), graph.nodes[i].type, node.origin)
        for i in node.inputs
    }
    made = Expr(node.op, tuple(operands[i] for i in node.inputs), node.type, node.origin)
    items = node.type.items if isinstance(node.type, TupleType) else ()
    ends = [project(made, k) for k in range(len(items))] or [made]
    return number({f"r{k}": end for k, end in enumerate(ends)}, {})[0]


def _compute(side: _Side, node: Node, values: Sequence[Value]) -> Ran:
    """A kernel by itself, on these values of its operands."""
    return _run(side, _single(node, side.graph), {str(i): values[i] for i in node.inputs})


def _alone(side: _Side, node: Node) -> Finding | None:
    """What is wrong with one kernel, given the interpreter's operands; None where nothing is."""
    operands = [side.results[i] for i in node.inputs]
    expected = side.results[node.id]
    if any(isinstance(v, Failed) for v in (*operands, expected)):
        return None
    ran = _compute(side, node, side.results)
    if ran.error is not None:
        return _wrong_kernel(side, node, None, ran.error)
    worst = _kernel_apart(side, node, operands, expected, ran.values)
    return None if worst is None else _wrong_kernel(side, node, worst, None)


def _kernel_apart(
    side: _Side, node: Node, operands: Sequence[Value], expected: Value, made: Sequence[Array]
) -> Worst | None:
    known = Evaluator({}, {})
    expr = side.graph.expressions[node.id]
    known.known.update(zip(expr.inputs, operands, strict=True))
    known.known[expr] = expected
    largest = scale([expr], known)
    pairs = list(zip(parts(expected), made, strict=True))
    worst = [close(e, m, KERNEL_ULP * epsilon(e.dtype) * largest) for e, m in pairs]
    if all(w is None for w in worst):
        return None
    wide = Evaluator({}, {}, wide=True)
    wide.known.update(
        {e: widened(v) for e, v in zip(expr.inputs, operands, strict=True) if not isinstance(v, tuple)}
    )
    truth = wide.value(expr) if all(e in wide.known for e in expr.inputs) else None
    if truth is None or isinstance(truth, Failed):
        return next(w for w in worst if w is not None)
    again = [
        close(e, m, KERNEL_ULP * epsilon(e.dtype) * largest, truth=t)
        for (e, m), t in zip(pairs, parts(truth), strict=True)
    ]
    return next((w for w in again if w is not None), None)


def _wrong_kernel(side: _Side, node: Node, worst: Worst | None, error: Exception | None) -> Finding:
    how = "raises" if error is not None else "does not compute what its node means"
    inner = f", which holds {_inner(node.op)}" if isinstance(node.op, Fused) else ""
    said = () if error is None else (f"{type(error).__name__}: {getattr(error, 'message', error)}",)
    return Finding(
        "kernel",
        f"the kernel of {told(side.graph, node)} on {side.name!r} {how}{inner}",
        where=side.name,
        node=node.id,
        op=node.op.name,
        type=str(node.type),
        rule=node.origin.rule,
        lines=(*lines_of(side.capsule, node.origin), *said),
        worst=worst,
        operands=described(side.graph, node, side.results),
    )


def _inner(op: Fused) -> str:
    """The ops of a region, each once, in order."""
    return ", ".join(dict.fromkeys(node.op.name for node in op.graph.nodes if node.inputs))


def _raised(side: _Side, kernels: Sequence[Node], error: Exception) -> Checked:
    """A program that raises: as the interpreter does, or because of one kernel."""
    message = getattr(error, "message", str(error))
    if any(isinstance(value, Failed) for value in side.results):
        return Checked(side.name, len(kernels), f"raises as the interpreter does: {message}")
    found = next((f for node in kernels if (f := _alone(side, node)) is not None), None)
    if found is None:
        said = f"{type(error).__name__}: {message}"
        found = Finding(
            "program",
            f"the program of {side.name!r} raises, and no kernel alone does",
            side.name,
            lines=(said,),
        )
    return Checked(side.name, len(kernels), f"raises {type(error).__name__}: {message}", (found,))


# Between kernels


def _chained(side: _Side, kernels: Sequence[Node]) -> list[Value]:
    """The values of all nodes, each kernel run by itself on what the kernels before it made."""
    values: list[Value] = list(side.results)
    for node in side.graph.nodes:
        if isinstance(node.op, Project):
            whole = values[node.inputs[0]]
            values[node.id] = whole if isinstance(whole, Failed) else whole[node.op.index]
        elif _computes(node) and not any(isinstance(values[i], Failed) for i in node.inputs):
            ran = _compute(side, node, values)
            if ran.error is None:
                values[node.id] = ran.values if isinstance(node.type, TupleType) else ran.values[0]
    return values


def _between(side: _Side, kernels: Sequence[Node], apart: tuple[int, Worst]) -> Finding:
    """The shortest program that parts although its kernels do not, found by halving, and what its memory holds."""
    low, high = 0, len(kernels)  # with `high` kernels the program parts, with `low` it does not
    found: tuple[int, Worst, Graph] | None = None
    while high - low > 1:
        middle = (low + high) // 2
        cut = _prefix(side, kernels[:middle])
        ran = _run(side, cut[0], side.leaves)
        wrong = None if ran.error is not None else _parted(side, cut[1], ran.values, _LOOSE)
        if wrong is None:
            low = middle
        else:
            high, found = middle, (*wrong, cut[0])
    i, worst, graph = found if found is not None else (*apart, side.graph)
    node = _whole(side.graph, i)
    last = kernels[high - 1]
    until = (
        f"the first {high} of {len(kernels)} kernels" if found is not None else f"all {len(kernels)} kernels"
    )
    sentence = (
        f"on {side.name!r} every kernel is right by itself, and {until} together are not: with "
        f"{told(side.graph, last)} the value of {named(side.graph, i)} is lost"
    )
    return attrs.evolve(_at(side, i, node, sentence, worst), buffers=_buffers(side, graph))


def _at(side: _Side, i: int, node: Node, sentence: str, worst: Worst) -> Finding:
    """What is said of a program whose value `i`, which the kernel `node` makes, is wrong."""
    return Finding(
        "program",
        sentence,
        where=side.name,
        node=i,
        op=node.op.name,
        type=str(node.type),
        lines=lines_of(side.capsule, node.origin),
        worst=worst,
        operands=described(side.graph, node, side.results),
    )


def _whole(graph: Graph, i: int) -> Node:
    """The kernel that a node is, or is a part of."""
    node = graph.nodes[i]
    return graph.nodes[node.inputs[0]] if isinstance(node.op, Project) else node


def _prefix(side: _Side, kernels: Sequence[Node]) -> tuple[Graph, list[int]]:
    """The program of these first kernels: it returns what later ones read, and the results that it has."""
    taken = {node.id for node in kernels}
    inside = [
        n.id
        for n in side.graph.nodes
        if n.id in taken or (isinstance(n.op, Project) and n.inputs[0] in taken)
    ]
    shown = set(inside)
    alive = set(_ends(side.graph))
    ends = [
        i
        for i in inside
        if not isinstance(side.graph.nodes[i].type, TupleType)
        and (i in alive or any(c not in shown for c in side.graph.consumers[i]))
    ]
    made, _ = number({f"r{i}": side.graph.expressions[i] for i in ends}, {})
    return made, ends


def _buffers(side: _Side, graph: Graph) -> tuple[str, ...]:
    """The buffers of a program that share memory at one time, else all."""
    try:
        plan = side.lowering.lower(graph, side.options).memory
    except Exception:  # it is told for what it may help
        return ()
    clashes = []
    for k, one in enumerate(plan.buffers):
        for other in plan.buffers[:k]:
            in_time = one.birth <= other.death and other.birth <= one.death
            in_place = one.in_place_of == other.node or other.in_place_of == one.node
            in_space = one.offset < other.offset + other.size and other.offset < one.offset + one.size
            if in_time and in_space and not in_place:
                clashes += [str(other), str(one)]
    return tuple(dict.fromkeys(clashes or map(str, plan.buffers)))[:12]
