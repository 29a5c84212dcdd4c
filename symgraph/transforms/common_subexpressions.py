"""Common subexpressions: what is written in two ways and always equal, bit for bit, is computed once.

`define` interns equal `(op, inputs)`. This pass adds the variants that commute: `a + b` and `b + a`, `a < b`
and `b > a`. The first one written stays, and with it the order of the nodes. Of maximum and minimum of floats
the order may choose between 0.0 and -0.0, so they merge under numerics="fast" alone.
"""

from typing import Any

from symgraph.expr import Expr
from symgraph.ir import Graph, Op
from symgraph.ops.arithmetic import Maximum, Minimum
from symgraph.ops.logic import Greater, GreaterEqual, Less, LessEqual
from symgraph.rewrite import Class, Hit, Numerics, Pass, Rewriter, Rewritten, rewrite
from symgraph.types import TensorType

_MIRRORED: dict[type[Op], Op] = {Greater: Less(), GreaterEqual: LessEqual()}
_COMPARISONS = (Greater, Less, GreaterEqual, LessEqual)
_RULE = "merge-equal"


def common_subexpressions_pass() -> Pass:
    """The pass that merges expressions that are equal up to the order of operands that commute."""

    def apply(graph: Graph, numerics: Numerics) -> Rewritten:
        if not _has_repeats(graph, numerics):
            return Rewritten(graph)
        return rewrite(graph, merge(numerics), "common_subexpressions")

    return Pass("common_subexpressions", apply)


def _has_repeats(graph: Graph, numerics: Numerics) -> bool:
    """Whether two nodes are to be merged; `define` saw to those of ops whose operands do not commute."""
    keys = [
        _key(node.op, node.inputs, node.type, numerics)
        for node in graph.nodes
        if node.op.pure and (node.op.commutative or type(node.op) in _COMPARISONS)
    ]
    return len(set(keys)) < len(keys)


def merge(numerics: Numerics) -> Rewriter:
    """The rewriter of one run of the pass; it remembers the expressions that it met."""
    first: dict[Any, Expr] = {}

    def find(expr: Expr) -> Hit | None:
        if not expr.inputs or not expr.op.pure:
            return None
        known = first.setdefault(_key(expr.op, expr.inputs, expr.type, numerics), expr)
        return None if known is expr else Hit(_RULE, _class(expr), known, (expr,))

    return Rewriter(find, lambda kinds: True)


def _class(expr: Expr) -> Class:
    return "reassociates" if _chooses_zero(expr.op, expr.type) else "exact"


def _chooses_zero(op: Op, type_: TensorType) -> bool:
    return isinstance(op, Maximum | Minimum) and type_.dtype.kind == "f"


def _key(op: Op, inputs: tuple[Any, ...], type_: TensorType, numerics: Numerics) -> Any:
    """What two nodes, or two expressions, that may be merged have in common."""
    mirrored = _MIRRORED.get(type(op))
    if mirrored is not None:
        return mirrored, inputs[::-1]
    if not op.commutative or (_chooses_zero(op, type_) and numerics != "fast"):
        return op, inputs
    return op, frozenset(inputs)
