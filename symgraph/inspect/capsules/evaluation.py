"""Evaluation of expressions, each once: what a rewrite's two sides are, and what they are in more precision.

    value : Evaluator -> Expr -> Value | Failed

The rewrites of a pass are expressions over shared expressions, so one evaluator is enough for a whole way from the
declared graph to the one that runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph.errors import SymgraphError
from symgraph.expr import Expr
from symgraph.ir import Array, Constant, Op, Placeholder, Variable
from symgraph.ops.convolution import Conv2d, Conv2dInput, Conv2dKernel
from symgraph.ops.linalg import MatMul
from symgraph.ops.reduction import Sum
from symgraph.ops.region import Fused, in_order


@attrs.frozen(eq=False)
class Failed:
    """In place of a value that could not be computed: the error, and the expression that raised it."""

    error: Exception
    at: Expr


Value: TypeAlias = Any  # an array, a tuple of them of a region with several outputs, or Failed
_ADDING = (MatMul, Sum, Conv2d, Conv2dInput, Conv2dKernel)  # sums of many terms
_WIDER: Mapping[str, Any] = {"float32": np.float64, "float64": np.longdouble}


@attrs.define
class Evaluator:
    """The values of expressions over `leaves` by name, for named sizes, by each op's own meaning.

    With `wide`, float leaves and constants have the next larger precision: what rounding does to a formula is then
    hardly there, and what a wrong formula does stays.
    """

    leaves: Mapping[str, Array]
    sizes: Mapping[str, int]
    wide: bool = False
    known: dict[Expr, Value] = attrs.field(factory=dict)

    def value(self, root: Expr) -> Value:
        """The value of an expression, and on the way those below it; iterative, for any depth."""
        known, stack = self.known, [root]
        while stack:
            expr = stack[-1]
            waiting = [e for e in expr.inputs if e not in known]
            if expr in known or not waiting:
                stack.pop()
                if expr not in known:
                    known[expr] = self._computed(expr)
            else:
                stack.extend(reversed(waiting))
        return known[root]

    def keep(self, exprs: Iterable[Expr]) -> None:
        """Forget all other values."""
        self.known = {expr: self.known[expr] for expr in exprs if expr in self.known}

    def _computed(self, expr: Expr) -> Value:
        operands = [self.known[e] for e in expr.inputs]
        failed = next((value for value in operands if isinstance(value, Failed)), None)
        if failed is not None:
            return failed
        try:
            with np.errstate(all="ignore"):
                return self._evaluated(expr.op, operands)
        except Exception as error:  # of the op's own checks, of NumPy, or of the memory: all are told
            return Failed(error, expr)

    def _evaluated(self, op: Op, operands: list[Value]) -> Value:
        if isinstance(op, Placeholder | Variable):
            return self._widened(self._leaf(op))
        if isinstance(op, Constant):
            return self._widened(op.value.array)
        bound = op.bind(self.sizes)
        if self.wide and isinstance(bound, Fused):
            return _within(bound, operands)
        made = bound.evaluate(*in_order(bound, operands))
        return made if isinstance(made, tuple) else np.asarray(made)

    def _leaf(self, op: Placeholder | Variable) -> Array:
        if op.label in self.leaves:
            return np.asarray(self.leaves[op.label])
        if isinstance(op, Placeholder) and op.default is not None:
            return op.default.array
        raise SymgraphError(f"the {op.name} {op.label!r} has no value", source=None)

    def _widened(self, array: Array) -> Array:
        return widened(array) if self.wide else array


def widened(array: Array) -> Array:
    """A float array in the next larger precision; any other as it is."""
    wider = _WIDER.get(array.dtype.name)
    return array if wider is None else array.astype(wider)


def _within(op: Fused, operands: Sequence[Array]) -> Value:
    """A region with the operands' precision, its constants too."""
    inner = Evaluator({str(i): value for i, value in enumerate(operands)}, {}, wide=True)
    for expr in op.graph.expressions:
        if isinstance(expr.op, Placeholder):  # as precise as they come
            inner.known[expr] = operands[int(expr.op.label)]
    made = tuple(inner.value(op.graph.expressions[i]) for _, i in op.graph.outputs)
    for part in made:
        if isinstance(part, Failed):
            raise part.error
    return made[0] if len(made) == 1 else made


def parts(value: Value) -> tuple[Array, ...]:
    """The arrays of a value: of a region with several outputs there are several."""
    return value if isinstance(value, tuple) else (value,)


def magnitude(values: Iterable[Value]) -> float:
    """The largest finite number among values, without its sign."""
    largest = 0.0
    for value in values:
        if isinstance(value, Failed):
            continue
        for array in parts(value):
            if array.dtype.kind == "f" and array.size:
                absolute = np.abs(array)
                largest = max(largest, float(np.max(absolute, initial=0, where=np.isfinite(absolute))))
    return largest


def terms(op: Op, operands: Sequence[Value]) -> float:
    """The largest sum of the terms' magnitudes, for an op that adds many terms; 0 for any other.

    Whatever the order of additions, their rounding errors are a small multiple of it.
    """
    if not isinstance(op, _ADDING) or any(isinstance(v, Failed | tuple) for v in operands):
        return 0.0
    try:
        with np.errstate(all="ignore"):
            finite = [np.where(np.isfinite(v), np.abs(v), 0) if v.dtype.kind == "f" else v for v in operands]
            return magnitude([np.asarray(op.evaluate(*finite))])
    except Exception:  # a bound that cannot be computed is no bound
        return 0.0


def scale(exprs: Iterable[Expr], evaluator: Evaluator) -> float:
    """The magnitude that rounding errors of these expressions are relative to: of values, operands and terms."""
    largest = 0.0
    for expr in exprs:
        operands = [evaluator.value(e) for e in expr.inputs]
        op = expr.op.bind(evaluator.sizes)
        largest = max(largest, magnitude((evaluator.value(expr), *operands)), terms(op, operands))
        if isinstance(op, Fused) and not any(isinstance(v, Failed) for v in operands):
            largest = max(largest, inner_scale(op, operands))
    return largest


def inner_scale(op: Fused, operands: Sequence[Value]) -> float:
    """The same of what a region computes inside."""
    inner = Evaluator({str(i): value for i, value in enumerate(operands)}, {})
    return scale(op.graph.expressions, inner)
