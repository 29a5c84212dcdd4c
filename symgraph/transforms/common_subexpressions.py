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

_MIRRORED: dict[type[Op], Op] = {Greater: Less(), GreaterEqual: LessEqual()}
_RULE = "merge-equal"


def common_subexpressions_pass() -> Pass:
    """The pass that merges expressions that are equal up to the order of operands that commute."""

    def apply(graph: Graph, numerics: Numerics) -> Rewritten:
        return rewrite(graph, merge(numerics), "common_subexpressions")

    return Pass("common_subexpressions", apply)


def merge(numerics: Numerics) -> Rewriter:
    """The rewriter of one run of the pass; it remembers the expressions that it met."""
    first: dict[Any, Expr] = {}

    def find(expr: Expr) -> Hit | None:
        if not expr.inputs or not expr.op.pure:
            return None
        known = first.setdefault(_key(expr, numerics), expr)
        return None if known is expr else Hit(_RULE, _class(expr), known, (expr,))

    return find


def _class(expr: Expr) -> Class:
    return "reassociates" if _chooses_zero(expr) else "exact"


def _chooses_zero(expr: Expr) -> bool:
    return isinstance(expr.op, Maximum | Minimum) and expr.dtype.kind == "f"


def _key(expr: Expr, numerics: Numerics) -> Any:
    """What two expressions that may be merged have in common."""
    mirrored = _MIRRORED.get(type(expr.op))
    if mirrored is not None:
        return mirrored, expr.inputs[::-1]
    if not expr.op.commutative or (_chooses_zero(expr) and numerics != "fast"):
        return expr.op, expr.inputs
    x, y = expr.inputs
    return expr.op, (x, y) if id(x) <= id(y) else (y, x)
