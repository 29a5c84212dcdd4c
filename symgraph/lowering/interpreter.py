"""The interpreter: one `evaluate` a node. It is the meaning that every other backend is tested against."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter_ns

import attrs
import numpy as np

from symgraph.contracts import computed
from symgraph.errors import FeedError
from symgraph.ir import Array, Constant, Graph, Node, Placeholder, Variable, specialise
from symgraph.lowering.program import (
    Clocked,
    Instance,
    KernelCode,
    Mark,
    MemoryPlan,
    Options,
    Section,
    Stamps,
    inputs,
)
from symgraph.ops.region import in_order


def interpret(
    graph: Graph, values: Mapping[str, Array], sizes: Mapping[str, int] | None = None
) -> list[Array]:
    """The value of every node, given those of the placeholders and variables by name.

    `sizes` binds the graph's named sizes. Raises FeedError for a leaf without a value, and what an op's own
    `evaluate` raises, with the user's line.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = define(y=placeholder("x", (2,)) + 1.0)
    >>> interpret(graph, {"x": np.array([1, 2], np.float32)})[-1]
    array([2., 3.], dtype=float32)
    """
    return _values(specialise(graph, sizes or {}), values, None)


def _values(graph: Graph, values: Mapping[str, Array], stamp: Callable[[int], None] | None) -> list[Array]:
    """The value of every node of a graph of concrete sizes; `stamp` is told of each node that is done."""
    results: list[Array] = []
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if isinstance(node.op, Placeholder | Variable):
                results.append(_leaf(node.op, values))
            else:
                results.append(value_of(node, [results[i] for i in node.inputs]))
            if stamp is not None:
                stamp(node.id)
    return results


def value_of(node: Node, operands: list[Array]) -> Array:
    """What a node with an op makes of its operands' values: of a region with several outputs, a tuple."""
    made: Array = computed(node.op, node.origin, operands, node.type, in_order)
    return made


def _leaf(op: Placeholder | Variable, values: Mapping[str, Array]) -> Array:
    value = values.get(op.label)
    if value is None and isinstance(op, Placeholder) and op.default is not None:
        value = op.default.array
    if value is None:
        raise FeedError(f"the {op.name} {op.label!r} has no value")
    return np.asarray(value)


def evaluate(
    graph: Graph, values: Mapping[str, Array], sizes: Mapping[str, int] | None = None
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """The outputs by name, and the next values of the variables of each update group.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> evaluate(define(y=placeholder("x") * 2), {"x": np.float32(3)})[0]
    {'y': array(6., dtype=float32)}
    """
    results = interpret(graph, values, sizes)
    return (
        {name: results[i] for name, i in graph.outputs},
        {group: {variable: results[i] for variable, i in pairs} for group, pairs in graph.updates},
    )


@attrs.frozen
class InterpreterProgram:
    """The interpreter as a backend: no generated code, an array for every node."""

    graph: Graph

    @property
    def careful(self) -> bool:
        """It trusts what it is given."""
        return False

    @property
    def source(self) -> str:
        """The graph's text: the interpreter runs it as it stands."""
        return str(self.graph)

    @property
    def memory(self) -> MemoryPlan:
        """Every node has an array of its own, so there is no arena."""
        return MemoryPlan((), 0)

    def instance(self) -> Instance:
        """One pass over the nodes for each call."""
        return self._instance(None)

    @property
    def kernels(self) -> tuple[KernelCode, ...]:
        """The nodes that are evaluated, with their lines in the graph's text."""
        return tuple(_kernels(self.graph, self.source))

    def clocked(self) -> Clocked:
        """The same with the clock read after each node."""
        marks = tuple(
            Mark(None if isinstance(node.op, _LEAVES) else node.id, f"%{node.id}")
            for node in self.graph.nodes
        )

        def instance() -> tuple[Instance, Callable[[], Stamps]]:
            stamps = [0] * (len(marks) + 1)

            def stamp(node: int) -> None:
                stamps[node + 1] = perf_counter_ns()

            run = self._instance(stamp)

            def clean(values: Sequence[Array], destinations: Sequence[Array]) -> Sequence[Array]:
                stamps[:] = [perf_counter_ns(), *[0] * len(marks)]
                return run(values, destinations)

            return clean, lambda: list(stamps)

        return Clocked(marks, instance)

    def _instance(self, stamp: Callable[[int], None] | None) -> Instance:
        names = inputs(self.graph)

        def run(values: Sequence[Array], destinations: Sequence[Array]) -> tuple[Array, ...]:
            results = _values(self.graph, dict(zip(names, values, strict=True)), stamp)
            changed = [i for _, group in self.graph.updates for _, i in group]
            for destination, i in zip(destinations, changed, strict=True):
                np.copyto(destination, results[i])
            # A scalar is a NumPy scalar, as NumPy's own functions and the other backend return it.
            return tuple(np.array(results[i])[()] for _, i in self.graph.outputs)

        return run


_LEAVES = (Placeholder, Variable, Constant)


def _kernels(graph: Graph, text: str) -> Iterator[KernelCode]:
    """The lines of each node: they are indented by two, what belongs to them by more, and a name of a user's starts
    none.
    """
    lines = text.split("\n")
    starts = [k for k, line in enumerate(lines) if re.match(r"  (?:%\d+: |# |update |return\b)", line)]
    for first, after in zip(starts, [*starts[1:], len(lines)], strict=True):
        found = re.match(r"  %(\d+): ", lines[first])
        if found is not None and not isinstance(graph.nodes[int(found[1])].op, _LEAVES):
            name = f"%{found[1]}"
            yield KernelCode(int(found[1]), name, (Section("source", first + 1, after, name),))


def lower(graph: Graph, options: Options) -> InterpreterProgram:
    """The program of a graph of concrete sizes."""
    return InterpreterProgram(graph)
