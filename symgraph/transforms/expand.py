"""Expansion: composite primitives (softmax, sigmoid, ...) become the simpler ops that a backend has kernels for."""

from collections.abc import Collection

from symgraph.contracts import expanded
from symgraph.expr import Expr
from symgraph.ir import Graph, Op
from symgraph.origin import made_by, merged
from symgraph.rewrite import Hit, Kinds, Numerics, Pass, Rewriter, Rewritten, rewrite


def expand_pass(native: Collection[type[Op]]) -> Pass:
    """The pass that expands every op that can be and is not among a backend's own.

    An expansion is as accurate as the op's `evaluate`, not the same bit for bit: it is part of what a backend
    means by the op, as a kernel of its own would be, so it runs under every numerics class.
    """

    def apply(graph: Graph, numerics: Numerics) -> Rewritten:
        return rewrite(graph, _rewriter(frozenset(native)), "expand")

    return Pass("expand", apply)


def _rewriter(native: frozenset[type[Op]]) -> Rewriter:
    def possible(kinds: Kinds) -> bool:
        return kinds[0] not in native and kinds[0].expand is not Op.expand  # of a primitive it is None

    def expand(expr: Expr) -> Hit | None:
        if not possible((type(expr.op),)):
            return None
        rule = f"expand {expr.op.name}"
        with made_by(merged(rule, expr.origin)):
            made = expanded(expr)
        return None if made is None else Hit(rule, "exact", made, (expr,))

    return Rewriter(expand, possible)
