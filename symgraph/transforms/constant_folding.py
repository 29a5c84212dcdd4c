"""Constant folding: a pure op of constants becomes the constant that the interpreter would compute.

A broadcast number stays a broadcast: a result that is larger than its operands is made only when it is small.
"""

from collections.abc import Mapping

import numpy as np

from symgraph.expr import Expr, constant
from symgraph.ir import Constant, Graph, Placeholder, Variable
from symgraph.ops.shape import BroadcastTo, DimensionSize
from symgraph.origin import made_by, merged
from symgraph.rewrite import Hit, Kinds, Numerics, Pass, Rewriter, Rewritten, rewrite
from symgraph.types import TensorType, product

_LARGEST = 2**20  # bytes of a folded constant
_SMALL = 2**12  # bytes up to which a constant may be larger than what it is made of
_RULE = "fold-constants"


def constant_folding_pass() -> Pass:
    """The pass that computes what depends on constants alone; the bits are the interpreter's."""

    def apply(graph: Graph, numerics: Numerics) -> Rewritten:
        return rewrite(graph, Rewriter(fold, _of_constants), "constant_folding")

    return Pass("constant_folding", apply)


def fold(expr: Expr) -> Hit | None:
    """The constant that an expression of constants is; None when it is none, is too large, or would fail."""
    kinds = (type(expr.op), *[type(operand.op) for operand in expr.inputs])
    if not _of_constants(kinds) or not _is_worth_it(expr):
        return None
    try:
        with np.errstate(all="ignore"):
            made = expr.op.bind(_NO_SIZES).evaluate(*(operand.op.value.array for operand in expr.inputs))  # type: ignore[attr-defined]
    except Exception:  # an error of the run stays one; an open size is not known
        return None
    array = np.asarray(made)
    if array.dtype != expr.dtype or array.shape != expr.shape:
        return None
    with made_by(merged(_RULE, expr.origin)):
        return Hit(_RULE, "exact", constant(array), (expr,))


_NO_SIZES: Mapping[str, int] = {}


def _of_constants(kinds: Kinds) -> bool:
    """Whether an op of these operands is one to compute: of constants alone, or the size of a dimension."""
    op, *operands = kinds
    if not op.pure or issubclass(op, Constant | Placeholder | Variable | BroadcastTo):
        return False
    return all(issubclass(operand, Constant) for operand in operands) if operands else op is DimensionSize


def _is_worth_it(expr: Expr) -> bool:
    if not isinstance(expr.type, TensorType):
        return False
    size = product(expr.shape)
    if not isinstance(size, int):
        return False
    made = size * expr.dtype.itemsize
    given = sum(operand.op.value.array.nbytes for operand in expr.inputs)  # type: ignore[attr-defined]
    return made <= _LARGEST and (made <= given or made <= _SMALL)
