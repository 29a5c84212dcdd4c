"""Reductions: a paragraph each, its record and rules, then its public function.

A reduction takes `axis`, an int or several (all by default), and `keepdims`, which leaves the reduced axes in
the result with size 1. Ties of `max` and `min` follow the rule of `symgraph.ops.arithmetic`: each of k equal
values receives 1/k of the cotangent.
"""

import builtins
from collections.abc import Iterable
from typing import ClassVar, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import ShapeError
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import normalise_axes, require_kind
from symgraph.types import BOOL, INT64, Dimension, DType, Shape, TensorType, make_type

Vjp = tuple[Expr | None, ...]
Axes: TypeAlias = int | Iterable[int] | None


def reduced_shape(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """The shape that is left of `shape` when `axes` (counted from the front) are reduced.

    >>> reduced_shape((2, 3, 4), (1,), True), reduced_shape((2, 3, 4), (0, 2), False)
    ((2, 1, 4), (3,))
    """
    if keepdims:
        return tuple(1 if i in axes else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in axes)


@attrs.frozen
class Reduction(Op):
    """An op that reduces sorted axes, counted from the front, to one value each."""

    kinds: ClassVar[str] = "f"  # kinds of dtype it takes: f floats, i integers, b bools
    result: ClassVar[DType | None] = None  # None: the dtype of the operand
    total: ClassVar[bool] = True  # has a value for no elements at all

    axes: tuple[int, ...]
    keepdims: bool = False

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        require_kind(self.name, self.kinds, x)
        if not self.total and builtins.any(x.shape[a] == 0 for a in self.axes):
            raise ShapeError(
                f"{self.name}: there is no {self.name} of no elements, and {x} has an empty axis",
                hint="Reduce an axis that has elements, or concatenate a neutral one.",
            )
        shape = reduced_shape(x.shape, self.axes, self.keepdims)
        return make_type(x.dtype if self.result is None else self.result, shape)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size

    def keep(self, value: Expr, x: Expr) -> Expr:
        """`value`, of the shape of the result, in a shape that broadcasts against the operand `x`."""
        return value if self.keepdims else ops.reshape(value, reduced_shape(x.shape, self.axes, True))


@attrs.frozen
class Sum(Reduction):
    """The sum; 0 for no elements. Integers keep their dtype and wrap around."""

    name = "sum"
    kinds = "fi"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.sum(x, axis=self.axes, keepdims=self.keepdims, dtype=x.dtype))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        return (ops.broadcast_to(self.keep(g, x), x.shape),)


def sum(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The sum of the elements over some axes, or all; 0 where there are none.

    `x` is a tensor of any shape; integers keep their dtype, bools are counted in int64. `axis` is an int or
    several, `keepdims` leaves the reduced axes with size 1. Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> sum(placeholder("x", ("batch", 3)), axis=0)
    <sum: f32[3]>
    """
    (e,) = operands(x)
    e = ops.cast(e, INT64) if e.dtype == BOOL else e
    axes = normalise_axes("sum", axis, e.rank)
    return ops.apply(Sum(axes, bool(keepdims)), e) if axes else e


@attrs.frozen
class _Extreme(Reduction):
    """What max and min share: the elements that equal the result share its cotangent."""

    kinds = "fi"
    total = False
    smooth = False

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        chosen = ops.cast(ops.equal(x, self.keep(out, x)), x.dtype)
        return (chosen * (self.keep(g, x) / sum(chosen, self.axes, keepdims=True)),)


@attrs.frozen
class Max(_Extreme):
    """The largest element; NaN where there is one."""

    name = "max"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.max(arrays[0], axis=self.axes, keepdims=self.keepdims))


def max(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The largest element over some axes, or all; NaN where one is NaN.

    `x` is a tensor of floats or integers. Raises ShapeError for an axis that is not there or that is empty,
    DTypeError for bools (use `symgraph.any`).

    >>> from symgraph.expr import placeholder
    >>> max(placeholder("x", ("batch", 3)), axis=1, keepdims=True)
    <max: f32[batch,1]>
    """
    (e,) = operands(x)
    axes = normalise_axes("max", axis, e.rank)
    return ops.apply(Max(axes, bool(keepdims)), e)
