"""Shapes: a paragraph each, its record and rules, then its public function.

Four primitives move elements without computing: `BroadcastTo`, `Reshape`, `Transpose` and `Concatenate`;
`DimensionSize` is a leaf that holds the number that a named size is bound to. The other functions are written
with them. All work with named sizes, and a result's sizes are exact polynomials of them.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, ShapeError
from symgraph.expr import Expr, Operand, constant, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import normalise_axes, normalise_axis, require_same_dtype, sum_to
from symgraph.types import (
    INT64,
    Dim,
    Dimension,
    DimensionLike,
    DType,
    DTypeLike,
    Shape,
    ShapeLike,
    TensorType,
    as_dimension,
    as_shape,
    dtype_of,
    exact_division,
    make_type,
    product,
    show_shape,
)

Vjp: TypeAlias = tuple[Expr | None, ...]
Axes: TypeAlias = int | Iterable[int] | None


@attrs.frozen
class DimensionSize(Op):
    """The number that a named size is bound to, as a scalar tensor; a leaf, like a constant."""

    name = "size"
    dimension: Dimension
    dtype: DType

    def infer(self, *types: TensorType) -> TensorType:
        if self.dtype.kind == "b":
            raise DTypeError("size: a number of elements is no bool", hint="Ask for int64 or a float dtype.")
        return make_type(self.dtype, ())

    def evaluate(self, *arrays: Array) -> Array:
        assert not isinstance(self.dimension, Dim)  # bound before anything runs
        return np.asarray(self.dimension, self.dtype)


def size(dimension: DimensionLike, dtype: DTypeLike = INT64) -> Expr:
    """A dimension as a scalar tensor, to compute with: the divisor of a mean over a batch, say.

    `dimension` is an int, a name, or what `x.shape[i]` is; an int gives a constant. Raises ShapeError for
    what is no dimension, DTypeError for bool.

    >>> from symgraph.expr import placeholder
    >>> size(placeholder("x", ("batch", 3)).shape[0], "float32")
    <size: f32[]>
    """
    op = DimensionSize(as_dimension(dimension), dtype_of(dtype))
    if isinstance(op.dimension, Dim):
        return ops.apply(op)
    op.infer()
    return constant(np.asarray(op.dimension, op.dtype))


@attrs.frozen
class BroadcastTo(Op):
    """x repeated along new leading axes and along its axes of size 1, to `shape`."""

    name = "broadcast_to"
    shape: Shape

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        extra = len(self.shape) - x.rank
        if extra < 0 or any(d not in (1, s) for d, s in zip(x.shape, self.shape[extra:], strict=True)):
            raise ShapeError(
                f"broadcast_to: {show_shape(x.shape)} does not broadcast to {show_shape(self.shape)}",
                hint="Counted from the last, each axis is 1 or of the size asked for; new axes come first.",
            )
        return make_type(x.dtype, self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return np.broadcast_to(arrays[0], self.shape)  # type: ignore[arg-type]  # bound: all ints

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (sum_to(g, inputs[0].shape),)


def broadcast_to(x: Operand, shape: ShapeLike) -> Expr:
    """The tensor repeated to a shape, by NumPy's rules.

    Axes of size 1 grow, and new axes come first. Raises ShapeError where the shapes do not fit.

    >>> from symgraph.expr import placeholder
    >>> broadcast_to(placeholder("b", (10,)), ("batch", 10))
    <broadcast_to: f32[batch,10]>
    """
    (e,) = operands(x)
    target = as_shape(shape)
    return e if e.shape == target else ops.apply(BroadcastTo(target), e)


@attrs.frozen
class Reshape(Op):
    """The same elements, in row-major order, in another shape."""

    name = "reshape"
    shape: Shape

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        if x.size != product(self.shape):
            raise ShapeError(
                f"reshape: {show_shape(x.shape)} has {x.size} elements, and {show_shape(self.shape)} has "
                f"{product(self.shape)}",
                hint="Write -1 for one size, and it is worked out.",
            )
        return make_type(x.dtype, self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return np.reshape(arrays[0], self.shape)  # type: ignore[arg-type]  # bound: all ints

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (reshape(g, inputs[0].shape),)


def reshape(x: Operand, shape: ShapeLike) -> Expr:
    """The same elements, in row-major order, in another shape.

    `shape` is a dimension or several, of which one may be -1: it is the number of elements divided by the
    others, which has to be a polynomial of the named sizes. Raises ShapeError when the numbers of elements
    differ or the division leaves a remainder.

    >>> from symgraph.expr import placeholder
    >>> images = placeholder("images", ("batch", 28, 28))
    >>> reshape(images, ("batch", 784)), reshape(images, (-1, 28))
    (<reshape: f32[batch,784]>, <reshape: f32[28*batch,28]>)
    """
    (e,) = operands(x)
    target = _complete(e, shape)
    return e if e.shape == target else ops.apply(Reshape(target), e)


def _complete(x: Expr, shape: ShapeLike) -> Shape:
    """The shape that `reshape` is asked for, with -1 worked out."""
    several = isinstance(shape, Iterable) and not isinstance(shape, str | Expr | Mapping | Set)
    listed: list[Any] = list(shape) if several else [shape]  # type: ignore[arg-type]
    open_axes = [i for i, d in enumerate(listed) if not isinstance(d, str | Dim) and _is_minus_one(d)]
    if not open_axes:
        return as_shape(listed)
    if len(open_axes) > 1:
        raise ShapeError(
            f"reshape: {len(open_axes)} sizes are -1, and one at most can be worked out",
            details=(describe(x),),
            hint="Write the others as numbers, or as names such as x.shape[0].",
        )
    (axis,) = open_axes
    known = as_shape([*listed[:axis], *listed[axis + 1 :]])
    found = exact_division(x.size, product(known))
    if found is None:
        asked = show_shape((*known[:axis], "-1", *known[axis:]))  # type: ignore[arg-type]
        raise ShapeError(
            f"reshape: {show_shape(x.shape)} to {asked}: {x.size} elements divided by {product(known)} "
            "is no whole size",
            details=(describe(x),),
            hint="Choose sizes whose product divides the number of elements, for every value of the names.",
        )
    return (*known[:axis], found, *known[axis:])


def _is_minus_one(size: object) -> bool:
    return isinstance(size, int | np.integer) and not isinstance(size, bool) and int(size) == -1


def flatten(x: Operand, start: int = 0) -> Expr:
    """The axes from `start` on as one axis.

    `flatten(x)` is a vector; `flatten(x, 1)` keeps the batch. A scalar becomes a vector of one element.
    Raises ShapeError when there is no such axis.

    >>> from symgraph.expr import placeholder
    >>> flatten(placeholder("images", ("batch", 28, 28)), 1)
    <reshape: f32[batch,784]>
    """
    (e,) = operands(x)
    if e.rank == 0 and start == 0:
        return reshape(e, (1,))
    first = normalise_axis("flatten", start, e.rank)
    return reshape(e, (*e.shape[:first], product(e.shape[first:])))


def expand_dims(x: Operand, axis: int | Iterable[int]) -> Expr:
    """The tensor with new axes of size 1 where `axis` says, counted in the result.

    Raises ShapeError for an axis that is not in the result or is repeated.

    >>> from symgraph.expr import placeholder
    >>> expand_dims(placeholder("x", ("batch", 3)), (0, -1))
    <reshape: f32[1,batch,3,1]>
    """
    (e,) = operands(x)
    count = 1 if not isinstance(axis, Iterable) else len(axis := tuple(axis))
    axes = normalise_axes("expand_dims", axis, e.rank + count)
    sizes = iter(e.shape)
    return reshape(e, tuple(1 if i in axes else next(sizes) for i in range(e.rank + count)))


def squeeze(x: Operand, axis: Axes = None) -> Expr:
    """The tensor without axes of size 1: those that `axis` names, or all.

    A named size is never taken for 1. Raises ShapeError for an axis whose size is not 1.

    >>> from symgraph.expr import placeholder
    >>> squeeze(placeholder("x", ("batch", 1, 3, 1))), squeeze(placeholder("y", ("batch", 1, 1)), -1)
    (<reshape: f32[batch,3]>, <reshape: f32[batch,1]>)
    """
    (e,) = operands(x)
    if axis is None:
        return reshape(e, tuple(d for d in e.shape if d != 1))
    axes = normalise_axes("squeeze", axis, e.rank)
    for i in axes:
        if e.shape[i] != 1:
            raise ShapeError(
                f"squeeze: axis {i} of {show_shape(e.shape)} has size {e.shape[i]}, and only 1 is dropped",
                details=(describe(e),),
                hint=f"To take one element of the axis, index it: x[{':, ' * i}0].",
            )
    return reshape(e, tuple(d for i, d in enumerate(e.shape) if i not in axes))


@attrs.frozen
class Transpose(Op):
    """x with its axes in another order: axis i of the result is axis `axes[i]` of x."""

    name = "transpose"
    axes: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        if sorted(self.axes) != list(range(x.rank)):
            raise ShapeError(
                f"transpose: {self.axes} is no order of the {x.rank} axes of {show_shape(x.shape)}",
                hint="Name every axis once.",
            )
        return make_type(x.dtype, tuple(x.shape[a] for a in self.axes))

    def evaluate(self, *arrays: Array) -> Array:
        return np.transpose(arrays[0], self.axes)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return (transpose(g, inverse),)


def transpose(x: Operand, axes: Iterable[int] | None = None) -> Expr:
    """The tensor with its axes in the order of `axes`, or all in reverse.

    Axis i of the result is axis `axes[i]` of `x`. Raises ShapeError unless every axis is named once.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 3, 28))
    >>> transpose(x), transpose(x, (0, -1, 1))
    (<transpose: f32[28,3,batch]>, <transpose: f32[batch,28,3]>)
    """
    (e,) = operands(x)
    several: Any = (axes,) if isinstance(axes, str | Expr) or not isinstance(axes, Iterable) else axes
    listed = tuple(range(e.rank))[::-1] if axes is None else tuple(several)
    order = tuple(normalise_axis("transpose", a, e.rank) for a in listed)
    return e if order == tuple(range(e.rank)) else ops.apply(Transpose(order), e)


permute = transpose


def swapaxes(x: Operand, first: int, second: int) -> Expr:
    """The tensor with two axes exchanged; raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> swapaxes(placeholder("x", ("batch", 3, 28)), -1, 1)
    <transpose: f32[batch,28,3]>
    """
    (e,) = operands(x)
    a, b = (normalise_axis("swapaxes", axis, e.rank) for axis in (first, second))
    return transpose(e, [b if i == a else a if i == b else i for i in range(e.rank)])


def moveaxis(x: Operand, source: int, destination: int) -> Expr:
    """The tensor with one axis moved to another place, the others in order; raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> moveaxis(placeholder("images", ("batch", 28, 14, 3)), -1, 1)
    <transpose: f32[batch,3,28,14]>
    """
    (e,) = operands(x)
    a, b = (normalise_axis("moveaxis", axis, e.rank) for axis in (source, destination))
    order = [i for i in range(e.rank) if i != a]
    order.insert(b, a)
    return transpose(e, order)


@attrs.frozen
class Concatenate(Op):
    """Tensors one after the other along an axis."""

    name = "concatenate"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        require_same_dtype(self.name, types)
        first = types[0]
        axis = normalise_axis(self.name, self.axis, first.rank)
        rest = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in types]
        if any(t.rank != first.rank for t in types) or any(r != rest[0] for r in rest):
            shown = " and ".join(dict.fromkeys(show_shape(t.shape) for t in types))
            raise ShapeError(
                f"concatenate: the shapes {shown} differ elsewhere than along axis {axis}",
                hint="All other axes have one size; to add a new axis write symgraph.stack.",
            )
        total = sum((t.shape[axis] for t in types), start=0)
        return make_type(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))

    def evaluate(self, *arrays: Array) -> Array:
        return np.concatenate(arrays, self.axis)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        ends = accumulate((x.shape[self.axis] for x in inputs), initial=0)
        before = (slice(None),) * self.axis
        return tuple(
            g[(*before, slice(start, start + x.shape[self.axis]))]
            for start, x in zip(ends, inputs, strict=False)
        )


def concatenate(xs: Sequence[Operand], axis: int = 0) -> Expr:
    """Tensors one after the other along an axis that they have.

    The tensors promote to one dtype; their sizes along `axis` are added, also named ones, and the others are
    equal. Raises ShapeError when they differ, when there is no such axis or nothing to join.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 3))
    >>> concatenate([x, x, np.zeros((1, 3), np.float32)])
    <concatenate: f32[2*batch+1,3]>
    """
    parts = _tensors("concatenate", xs)
    if parts[0].rank == 0:
        raise ShapeError(
            "concatenate: scalars have no axis to join along", details=tuple(map(describe, parts)),
            hint="Write symgraph.stack.",
        )  # fmt: skip
    a = normalise_axis("concatenate", axis, parts[0].rank)
    return parts[0] if len(parts) == 1 else ops.apply(Concatenate(a), *parts)


def stack(xs: Sequence[Operand], axis: int = 0) -> Expr:
    """Tensors of one shape along a new axis, counted in the result; raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 3))
    >>> stack([x, x], axis=-1)
    <concatenate: f32[batch,3,2]>
    """
    parts = _tensors("stack", xs)
    if any(part.shape != parts[0].shape for part in parts):
        shown = " and ".join(dict.fromkeys(show_shape(part.shape) for part in parts))
        raise ShapeError(
            f"stack: the shapes {shown} differ", details=tuple(map(describe, parts)),
            hint="All have one shape; to join along an axis they have write symgraph.concatenate.",
        )  # fmt: skip
    a = normalise_axis("stack", axis, parts[0].rank + 1)
    return concatenate([expand_dims(part, a) for part in parts], a)


def _tensors(name: str, xs: Sequence[Operand]) -> tuple[Expr, ...]:
    if isinstance(xs, Expr) or not isinstance(xs, Iterable):
        raise ShapeError(
            f"{name}: this is one tensor, and a list of them is wanted", hint=f"Write {name}([x, y])."
        )
    listed = tuple(xs)
    if not listed:
        raise ShapeError(f"{name}: there is nothing to join", hint="Give one tensor or more.")
    return operands(*listed)


def tile(x: Operand, repeats: ShapeLike) -> Expr:
    """The whole tensor several times along each axis, by NumPy's rules.

    `repeats` is a number for the last axis or one for each, counted from the last; it has ints or named
    sizes, and the shorter of `repeats` and the shape is filled up with ones in front. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> tile(placeholder("x", ("batch", 3)), (2, 1)), tile(placeholder("b", (3,)), ("batch", 2))
    (<reshape: f32[2*batch,3]>, <reshape: f32[batch,6]>)
    """
    (e,) = operands(x)
    times = as_shape(repeats)
    rank = max(e.rank, len(times))
    times = (1,) * (rank - len(times)) + times
    sizes = (1,) * (rank - e.rank) + e.shape
    # Each axis becomes two, (times, size): only those that are repeated, so that the rank stays low.
    apart = [(1, size) if n != 1 else (size,) for n, size in zip(times, sizes, strict=True)]
    grown = [(n, size) if n != 1 else (size,) for n, size in zip(times, sizes, strict=True)]
    wide = broadcast_to(
        reshape(e, tuple(d for ds in apart for d in ds)), tuple(d for ds in grown for d in ds)
    )
    return reshape(wide, tuple(n * size for n, size in zip(times, sizes, strict=True)))


def repeat(x: Operand, repeats: DimensionLike | Sequence[int], axis: int | None = None) -> Expr:
    """Each element of an axis several times in a row, by NumPy's rules.

    `repeats` is a number (an int or a named size), or a list of ints, one for each element of an axis of
    fixed size. Without `axis` the tensor is flattened first. Raises ShapeError.

    >>> from symgraph.expr import placeholder
    >>> repeat(placeholder("x", ("batch", 3)), 2, axis=0)
    <reshape: f32[2*batch,3]>
    """
    (e,) = operands(x)
    e, a = (reshape(e, (e.size,)), 0) if axis is None else (e, normalise_axis("repeat", axis, e.rank))
    if isinstance(repeats, Sequence | np.ndarray) and not isinstance(repeats, str):
        return ops.take(e, _repeated(e, a, repeats), a)
    times = as_dimension(repeats)
    front, back = e.shape[:a], e.shape[a + 1 :]
    wide = broadcast_to(expand_dims(e, a + 1), (*front, e.shape[a], times, *back))
    return reshape(wide, (*front, e.shape[a] * times, *back))


def _repeated(x: Expr, axis: int, repeats: Sequence[int]) -> Array:
    """The positions that a list of repeats takes."""
    times = [as_dimension(n) for n in repeats]
    size = x.shape[axis]
    if not isinstance(size, int) or len(times) != size or any(isinstance(n, Dim) for n in times):
        raise ShapeError(
            f"repeat: {len(times)} numbers of repeats for {size} elements along axis {axis}",
            details=(describe(x),),
            hint="Give one int for all elements, or a list with an int for each.",
        )
    return np.repeat(np.arange(size), times)  # type: ignore[arg-type]  # all ints


def split(x: Operand, parts: int | Sequence[int | Dim], axis: int = 0) -> tuple[Expr, ...]:
    """The tensor cut along an axis, into equal parts or at given positions.

    `parts` is the number of parts, which divides the size of the axis, or the positions of the cuts, bounds
    as in `x[a:b]`. Raises ShapeError when the axis cannot be divided so.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 12))
    >>> [part.shape[1] for part in split(x, 3, axis=1)], [part.shape[1] for part in split(x, [2, 5], axis=1)]
    ([4, 4, 4], [2, 3, 7])
    """
    (e,) = operands(x)
    a = normalise_axis("split", axis, e.rank)
    cuts: list[Dimension | None]
    if isinstance(parts, Sequence | np.ndarray) and not isinstance(parts, str):
        cuts = [None, *parts, None]
    else:
        each = _part(e, a, parts)
        cuts = [each * i for i in range(int(parts) + 1)]
    before = (slice(None),) * a
    return tuple(e[(*before, slice(start, stop))] for start, stop in pairwise(cuts))


def _part(x: Expr, axis: int, parts: int) -> Dimension:
    """The size of each of `parts` equal parts."""
    if isinstance(parts, bool) or not isinstance(parts, int | np.integer) or parts < 1:
        raise ShapeError(f"split: a number of parts is a positive int, and {parts!r} is none")
    each = exact_division(x.shape[axis], int(parts))
    if each is None:
        raise ShapeError(
            f"split: axis {axis} has {x.shape[axis]} elements, which {parts} equal parts do not divide",
            details=(describe(x),),
            hint="Give the positions of the cuts instead: split(x, [2, 5]).",
        )
    return each
