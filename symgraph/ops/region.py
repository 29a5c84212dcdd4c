"""Regions: ops that hold an inner graph. `Fused` is what fusion makes; `project` takes its outputs apart."""

from typing import Any, cast

import attrs
import numpy as np

from symgraph.contracts import computed
from symgraph.errors import GraphError
from symgraph.expr import Expr, apply
from symgraph.ir import Array, Graph, Op, Placeholder
from symgraph.ops.base import Elementwise
from symgraph.ops.linalg import MatMul
from symgraph.ops.shape import BroadcastTo, Concatenate, Reshape, Transpose
from symgraph.ops.slicing import Flip, Slice
from symgraph.types import Dimension, TensorType, TupleType


@attrs.frozen(cache_hash=True)
class Fused(Op):
    """One kernel: an inner graph whose placeholders "0", "1", ... are the operands and whose outputs are
    "r0", "r1", ...

    With one output its type is that output's; with several it is their TupleType, in order.
    """

    name = "fused"
    graph: Graph

    def infer(self, *types: TensorType) -> TensorType:
        wanted = tuple(node.type for node in self.operands)
        if types != wanted:
            raise GraphError(
                f"fused: operands {', '.join(map(str, types))} for {', '.join(map(str, wanted))}"
            )
        return self.type

    @property
    def type(self) -> TensorType:
        """The type of the result."""
        made = tuple([self.graph.nodes[i].type for _, i in self.graph.outputs])
        # A tuple is no tensor; only `project` consumes it, so the rest of the compiler need not know.
        return made[0] if len(made) == 1 else cast(TensorType, TupleType(made))

    @property
    def operands(self) -> list[Any]:
        """The inner placeholders in the order of the operands."""
        return [self.graph.placeholders[str(i)] for i in range(len(self.graph.placeholders))]

    def evaluate(self, *arrays: Array) -> Any:
        values: list[Array] = []
        for node in self.graph.nodes:
            if isinstance(node.op, Placeholder):
                values.append(arrays[int(node.op.label)])
            else:
                operands = [values[i] for i in node.inputs]
                values.append(computed(node.op, node.origin, operands, node.type, in_order))
        made = tuple(values[i] for _, i in self.graph.outputs)
        return made[0] if len(made) == 1 else made

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        nodes = self.graph.nodes
        costs = (n.op.flops(n.type, *(nodes[i].type for i in n.inputs)) for n in nodes)
        return sum(costs, start=cast(Dimension, 0))


@attrs.frozen
class Project(Op):
    """One output of a region with several."""

    name = "project"
    index: int

    def infer(self, *types: TensorType) -> TensorType:
        (type_,) = types
        if not isinstance(type_, TupleType) or not 0 <= self.index < len(type_.items):
            raise GraphError(f"project: there is no item {self.index} in {type_}")
        return type_.items[self.index]

    def evaluate(self, *arrays: Array) -> Array:
        chosen: Array = arrays[0][self.index]
        return chosen


def project(region: Expr, index: int) -> Expr:
    """Output `index` of a region with several outputs."""
    return apply(Project(index), region)


# What computes each element on its own, or moves elements: their bits do not depend on the memory layout. That
# of a matrix product is the layout's business: a transpose and a transposing flag are one call of BLAS.
_ANY_LAYOUT = (Elementwise, MatMul, BroadcastTo, Concatenate, Flip, Fused, Project, Reshape, Slice, Transpose)


def in_order(op: Op, operands: list[Array]) -> list[Array]:
    """The operands, in C order where NumPy would add in the order of the memory: a value's bits then depend on
    the values before it alone, and a rewrite that saves a copy keeps them.
    """
    if isinstance(op, _ANY_LAYOUT):
        return operands
    return [np.asarray(operand, order="C") for operand in operands]
