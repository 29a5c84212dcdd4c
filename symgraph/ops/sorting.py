"""Sorting along an axis: the order as indices, from which the sorted elements are gathered.

NaN is larger than every number, and stands last; -0.0 equals 0.0. The order is stable: equal elements keep theirs.
"""

from typing import TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import flag, normalise_axis
from symgraph.types import INT64, Dimension, TensorType, make_type

Vjp: TypeAlias = tuple[Expr | None, ...]


@attrs.frozen
class ArgSort(Op):
    """The indices that sort along an axis, the smallest element's first, or the largest's."""

    name = "argsort"
    arity = 1
    axis: int
    descending: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        normalise_axis(self.name, self.axis, types[0].rank)
        return make_type(INT64, types[0].shape)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        if not self.descending:
            return np.argsort(x, axis=self.axis, kind="stable")
        # From the back, sorted stably and turned round: equal elements keep their order.
        order = np.flip(np.argsort(np.flip(x, self.axis), axis=self.axis, kind="stable"), self.axis)
        return np.asarray(x.shape[self.axis] - 1 - order)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * 16


def argsort(x: Operand, axis: int | None = -1, descending: bool = False) -> Expr:
    """The indices that sort a tensor along an axis (the last by default; all of it, flattened, with None).

    `x` is a tensor of any dtype; the result is int64 of its shape. Equal elements keep their order, -0.0 equals 0.0,
    and NaN is larger than every number: last, or with `descending` first. Raises ShapeError for an axis that is not
    there, and for a scalar.

    >>> from symgraph.expr import placeholder
    >>> argsort(placeholder("x", ("batch", 3)))
    <argsort: i64[batch,3]>
    """
    e, a = _along("argsort", x, axis)
    return ops.apply(ArgSort(a, flag("argsort", "descending", descending)), e)


def sort(x: Operand, axis: int | None = -1, descending: bool = False) -> Expr:
    """A tensor sorted along an axis (the last by default; all of it, flattened, with None).

    The smallest element comes first, or with `descending` the largest; the order is that of `argsort`. A cotangent
    goes to where its element stood. Raises ShapeError for an axis that is not there, and for a scalar.

    >>> from symgraph.expr import placeholder
    >>> sort(placeholder("x", ("batch", 3)), axis=0)
    <gather: f32[batch,3]>
    """
    e, a = _along("sort", x, axis)
    return ops.gather(e, ops.apply(ArgSort(a, flag("sort", "descending", descending)), e), a)


def _along(name: str, x: Operand, axis: int | None) -> tuple[Expr, int]:
    (e,) = operands(x)
    if axis is None:
        return ops.reshape(e, (e.size,)), 0
    return e, normalise_axis(name, axis, e.rank)
