"""The interpreter: one `evaluate` a node. It is the meaning that every other backend is tested against."""

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from symgraph.errors import ExecutionError, FeedError, SymgraphError
from symgraph.ir import Array, Graph, Node, Placeholder, Variable, specialise
from symgraph.lowering.program import Instance, MemoryPlan, Options, inputs
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
    results: list[Array] = []
    with np.errstate(all="ignore"):
        for node in specialise(graph, sizes or {}).nodes:
            if isinstance(node.op, Placeholder | Variable):
                results.append(_leaf(node.op, values))
                continue
            results.append(value_of(node, [results[i] for i in node.inputs]))
    return results


def value_of(node: Node, operands: list[Array]) -> Array:
    """What a node with an op makes of its operands' values: of a region with several outputs, a tuple."""
    try:
        made = node.op.evaluate(*in_order(node.op, operands))
    except SymgraphError as error:
        error.source = node.origin.sources[0] if node.origin.sources else None
        raise
    except Exception as error:  # of NumPy, such as an array that does not fit in memory
        source = node.origin.sources[0] if node.origin.sources else None
        raise ExecutionError(f"{node.op.name}: the run failed: {error}", source=source) from error
    return made if isinstance(made, tuple) else np.asarray(made)


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
        names = inputs(self.graph)

        def run(values: Sequence[Array], destinations: Sequence[Array]) -> tuple[Array, ...]:
            results = interpret(self.graph, dict(zip(names, values, strict=True)))
            changed = [i for _, group in self.graph.updates for _, i in group]
            for destination, i in zip(destinations, changed, strict=True):
                np.copyto(destination, results[i])
            # A scalar is a NumPy scalar, as NumPy's own functions and the other backend return it.
            return tuple(np.array(results[i])[()] for _, i in self.graph.outputs)

        return run


def lower(graph: Graph, options: Options) -> InterpreterProgram:
    """The program of a graph of concrete sizes."""
    return InterpreterProgram(graph)
