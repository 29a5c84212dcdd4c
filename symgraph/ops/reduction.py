"""Reductions: a paragraph each, its record and rules, then its public function.

A reduction takes `axis`, an int or several (all by default), and `keepdims`, which leaves the reduced axes in
the result with size 1. Ties of `max` and `min` follow the rule of `symgraph.ops.arithmetic`: each of k equal
values receives 1/k of the cotangent.
"""

import builtins
import math
from collections.abc import Iterable
from typing import ClassVar, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, Operand, constant, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import normalise_axes, normalise_axis, require_kind
from symgraph.types import BOOL, INT64, Dimension, DType, Shape, TensorType, make_type, product

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
        if self.keepdims or self.axes == tuple(range(len(self.axes))):
            return value  # without leading axes it broadcasts as it is
        return ops.reshape(value, reduced_shape(x.shape, self.axes, True))


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


class Prod(Reduction):
    """The product; 1 for no elements. Integers keep their dtype and wrap around."""

    name = "prod"
    kinds = "fi"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.asarray(np.prod(x, axis=self.axes, keepdims=self.keepdims, dtype=x.dtype))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # The product of all the others, not out / x: zeros are as good as any value, to any order. It is
        # what stands before times what stands after, axis by axis.
        (x,) = inputs
        others, left = self.keep(g, x), x
        for axis in self.axes:
            others = others * ops.cumprod(left, axis, exclusive=True)
            others = others * ops.cumprod(left, axis, exclusive=True, reverse=True)
            left = prod(left, axis, keepdims=True)
        return (others,)


def prod(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The product of the elements over some axes, or all; 1 where there are none.

    `x` is a tensor of any shape; integers keep their dtype, bools are multiplied in int64. The derivative is
    right where elements are 0, also the second and higher ones. Raises ShapeError for an axis that is not
    there.

    >>> from symgraph.expr import placeholder
    >>> prod(placeholder("x", ("batch", 3)), axis=1)
    <prod: f32[batch]>
    """
    (e,) = operands(x)
    e = ops.cast(e, INT64) if e.dtype == BOOL else e
    axes = normalise_axes("prod", axis, e.rank)
    return ops.apply(Prod(axes, bool(keepdims)), e) if axes else e


class _Extreme(Reduction):
    """What max and min share: the elements that equal the result share its cotangent."""

    kinds = "fi"
    total = False
    smooth = False

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        chosen = ops.cast(ops.equal(x, self.keep(out, x)), x.dtype)
        return (chosen * (self.keep(g, x) / sum(chosen, self.axes, keepdims=True)),)


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


class Min(_Extreme):
    """The smallest element; NaN where there is one."""

    name = "min"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.min(arrays[0], axis=self.axes, keepdims=self.keepdims))


def min(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The smallest element over some axes, or all; NaN where one is NaN.

    `x` is a tensor of floats or integers. Raises ShapeError for an axis that is not there or that is empty,
    DTypeError for bools (use `symgraph.all`).

    >>> from symgraph.expr import placeholder
    >>> min(placeholder("x", ("batch", 3)), axis=1)
    <min: f32[batch]>
    """
    (e,) = operands(x)
    axes = normalise_axes("min", axis, e.rank)
    return ops.apply(Min(axes, bool(keepdims)), e)


class ArgMax(Reduction):
    """The index of the largest element on one axis: the first of equals, the first NaN if there is one."""

    name = "argmax"
    kinds = "fib"
    result = INT64
    total = False

    def evaluate(self, *arrays: Array) -> Array:
        found = np.argmax(arrays[0], axis=self.axes[0], keepdims=self.keepdims)
        return np.asarray(found, dtype=np.int64)


def argmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Expr:
    """The index, in int64, of the largest element on an axis: of equals the first, and of NaNs the first.

    Without `axis` it is the index into the flattened tensor. Raises ShapeError for an axis that is not there
    or that is empty.

    >>> from symgraph.expr import placeholder
    >>> argmax(placeholder("x", ("batch", 10)), axis=1)
    <argmax: i64[batch]>
    """
    return _index_of(ArgMax, x, axis, keepdims)


class ArgMin(Reduction):
    """The index of the smallest element on one axis: the first of equals, the first NaN if there is one."""

    name = "argmin"
    kinds = "fib"
    result = INT64
    total = False

    def evaluate(self, *arrays: Array) -> Array:
        found = np.argmin(arrays[0], axis=self.axes[0], keepdims=self.keepdims)
        return np.asarray(found, dtype=np.int64)


def argmin(x: Operand, axis: int | None = None, keepdims: bool = False) -> Expr:
    """The index, in int64, of the smallest element on an axis: of equals the first, and of NaNs the first.

    Without `axis` it is the index into the flattened tensor. Raises ShapeError for an axis that is not there
    or that is empty.

    >>> from symgraph.expr import placeholder
    >>> argmin(placeholder("x", ("batch", 10)), axis=1, keepdims=True)
    <argmin: i64[batch,1]>
    """
    return _index_of(ArgMin, x, axis, keepdims)


def _index_of(op: type[Reduction], x: Operand, axis: int | None, keepdims: bool) -> Expr:
    (e,) = operands(x)
    if axis is not None:
        return ops.apply(op((normalise_axis(op.name, axis, e.rank),), bool(keepdims)), e)
    found = ops.apply(op((0,)), ops.reshape(e, (e.size,)))
    return ops.reshape(found, (1,) * e.rank) if keepdims else found


class Any(Reduction):
    """Whether some element is true; false for no elements."""

    name = "any"
    kinds = "b"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.any(arrays[0], axis=self.axes, keepdims=self.keepdims))


def any(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """Whether some element over some axes, or all, is true (numbers: not 0); false where there are none.

    >>> from symgraph.expr import placeholder
    >>> any(placeholder("x", ("batch", 3)) > 0, axis=1)
    <any: bool[batch]>
    """
    (e,) = operands(x)
    axes = normalise_axes("any", axis, e.rank)
    truth = e if e.dtype == BOOL else ops.cast(e, BOOL)
    return ops.apply(Any(axes, bool(keepdims)), truth) if axes else truth


class All(Reduction):
    """Whether every element is true; true for no elements."""

    name = "all"
    kinds = "b"

    def evaluate(self, *arrays: Array) -> Array:
        return np.asarray(np.all(arrays[0], axis=self.axes, keepdims=self.keepdims))


def all(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """Whether every element over some axes, or all, is true (numbers: not 0); true where there are none.

    >>> from symgraph.expr import placeholder
    >>> all(placeholder("x", ("batch", 3)) > 0, axis=1)
    <all: bool[batch]>
    """
    (e,) = operands(x)
    axes = normalise_axes("all", axis, e.rank)
    truth = e if e.dtype == BOOL else ops.cast(e, BOOL)
    return ops.apply(All(axes, bool(keepdims)), truth) if axes else truth


class LogSumExp(Reduction):
    """log(sum(exp(x))), shifted by the largest element so that nothing overflows; -inf for no elements."""

    name = "logsumexp"

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        top = np.max(x, axis=self.axes, keepdims=True, initial=-np.inf)
        top = np.where(np.isfinite(top), top, top.dtype.type(0))
        out = np.log(np.sum(np.exp(x - top), axis=self.axes, keepdims=True)) + top
        return np.asarray(out if self.keepdims else out.reshape(reduced_shape(x.shape, self.axes, False)))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        # The softmax, and not exp(x - out), which has no digits left where |x| is large. A row of -inf alone
        # has none: its derivative is 0, to any order.
        (x,) = inputs
        nothing = ops.equal(self.keep(out, x), -math.inf)
        share = ops.softmax(ops.where(nothing, 0.0, x), self.axes)
        return (self.keep(g, x) * ops.where(nothing, 0.0, share),)

    def expand(self, *inputs: Expr) -> Expr | None:
        (x,) = inputs
        if builtins.any(x.shape[a] == 0 for a in self.axes):
            empty = constant(-math.inf, x.dtype)
            return ops.broadcast_to(empty, reduced_shape(x.shape, self.axes, self.keepdims))
        top = ops.stop_gradient(max(x, self.axes, keepdims=True))
        top = ops.where(ops.isfinite(top), top, 0.0)
        out = ops.log(sum(ops.exp(x - top), self.axes, keepdims=True)) + top
        return out if self.keepdims else ops.reshape(out, reduced_shape(x.shape, self.axes, False))

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size * 24


def logsumexp(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """log(sum(exp(x))) over some axes, or all, without overflow.

    `x` is a tensor of floats (integers become float32). The result is -inf, with gradient 0, where all
    elements are -inf or there are none, +inf where one is +inf, and NaN where one is NaN. Raises ShapeError
    for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> logsumexp(placeholder("x", ("batch", 10)), axis=1)
    <logsumexp: f32[batch]>
    """
    (e,) = operands(x, floating=True)
    axes = normalise_axes("logsumexp", axis, e.rank)
    return ops.apply(LogSumExp(axes, bool(keepdims)), e) if axes else e


def _count(x: Expr, axes: tuple[int, ...]) -> float | Expr:
    """How many elements are reduced, as a number where it is fixed, else as a scalar of the dtype of `x`."""
    count = product(x.shape[a] for a in axes)
    return float(count) if isinstance(count, int) else ops.size(count, x.dtype)


def mean(x: Operand, axis: Axes = None, keepdims: bool = False) -> Expr:
    """The mean over some axes, or all: the sum divided by the number of elements; NaN where there are none.

    `x` is a tensor of floats; integers and bools become float32. Raises ShapeError for an axis that is not
    there.

    >>> from symgraph.expr import placeholder
    >>> mean(placeholder("x", ("batch", 3)), axis=0)
    <div: f32[3]>
    """
    (e,) = operands(x, floating=True)
    axes = normalise_axes("mean", axis, e.rank)
    return sum(e, axes, keepdims) / _count(e, axes) if axes else e


def var(x: Operand, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Expr:
    """The variance over some axes, or all: the mean squared distance to the mean, in two passes.

    `x` is a tensor of floats; integers and bools become float32. The squares are divided by the number of
    elements less `ddof` (0: of a population, 1: unbiased from a sample); where that leaves nothing the result
    is NaN. Raises ShapeError for an axis that is not there, GraphError for a `ddof` that is no whole number.

    >>> from symgraph.expr import placeholder
    >>> var(placeholder("x", ("batch", 3)), axis=1, ddof=1)
    <div: f32[batch]>
    """
    (e,) = operands(x, floating=True)
    axes = normalise_axes("var", axis, e.rank)
    if isinstance(ddof, bool) or not isinstance(ddof, int) or ddof < 0:
        raise GraphError(f"var: ddof is a whole number that is not negative, and {ddof!r} is none")
    distance = e - mean(e, axes, keepdims=True)
    count = _count(e, axes)
    if isinstance(count, Expr):
        freedom: float | Expr = ops.maximum(count - float(ddof), 0.0) if ddof else count
    else:
        freedom = builtins.max(count - ddof, 0.0)
    return sum(distance * distance, axes, keepdims) / freedom


def std(x: Operand, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Expr:
    """The standard deviation over some axes, or all: the root of `var`.

    Where it is 0 it has no derivative, and 0 is given. Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> std(placeholder("x", ("batch", 3)), axis=1).type
    TensorType('f32[batch]')
    """
    return root(var(x, axis, ddof, keepdims))


def root(x: Expr) -> Expr:
    """The square root whose derivative at 0 is 0, not infinite: for lengths, which are smooth elsewhere."""
    zero = ops.equal(x, 0.0)
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, x)))
