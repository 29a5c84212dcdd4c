"""Indexing by tensors of integers: a paragraph each, its record and rules, then its public function.

    take          y = x[..., indices, ...]                    whole slices of x, in the order of indices
    gather        y[i, j] = x[i, indices[i, j]]               one element for each index (take_along_axis)
    scatter_add   the transpose of take: adds whole slices; several to one place add up

Negative indices count from the end. An index that is out of range is an ExecutionError when the graph runs.
"""

import math
from typing import TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, ExecutionError, ShapeError
from symgraph.expr import Expr, Operand, constant, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import normalise_axis, require_same_dtype
from symgraph.types import (
    FLOAT32,
    INT32,
    INT64,
    SHORT_NAMES,
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
    broadcast,
    dtype_of,
    make_type,
    promote,
    show_shape,
)

Vjp: TypeAlias = tuple[Expr | None, ...]


def _require_integers(name: str, indices: TensorType) -> None:
    if indices.dtype.kind != "i":
        raise DTypeError(
            f"{name}: indices are integers, and these are {SHORT_NAMES[indices.dtype.name]}",
            hint="Cast them with symgraph.cast(indices, 'int64'); for a mask write symgraph.where.",
        )


def _counted(name: str, indices: Array, size: int, axis: int) -> Array:
    """The indices counted from the front; raises ExecutionError that names the first one out of range."""
    if indices.size == 0:
        return indices
    lowest, highest = indices.min(), indices.max()
    if lowest < -size or highest >= size:
        at = tuple(int(i) for i in np.argwhere((indices < -size) | (indices >= size))[0])
        place = f" at {list(at)}" if at else ""
        raise ExecutionError(
            f"{name}: the index {indices[at]}{place} is out of range along axis {axis}, which has {size} "
            "elements",
            hint=f"Indices go from {-size} to {size - 1}." if size else "The axis is empty.",
        )
    return indices if lowest >= 0 else np.where(indices < 0, indices + size, indices)


def _indices(name: str, x: Expr, indices: Operand, axis: int) -> Expr:
    """The operand of indices; those that are known now are checked now."""
    found = _tensor(indices)
    size = x.shape[axis]
    if not isinstance(indices, Expr) and isinstance(size, int) and found.dtype.kind == "i":
        try:
            _counted(name, np.asarray(indices), size, axis)
        except ExecutionError as error:
            raise ShapeError(error.message, details=(describe(x),), hint=error.hint) from None
    return found


def _tensor(indices: Operand) -> Expr:
    """Indices as an expression: integers of any width, and an empty list, are int64."""
    if isinstance(indices, Expr):
        return indices
    array = np.asarray(indices)
    narrow = array.dtype.kind in "iu" and array.dtype not in (INT32, INT64)
    empty = array.size == 0 and isinstance(indices, list | tuple)
    return constant(array.astype(INT64) if narrow or empty else indices)


@attrs.frozen
class Take(Op):
    """x with the slices that `indices` names along an axis; the axes of `indices` stand in its place."""

    name = "take"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        x, indices = types
        axis = normalise_axis(self.name, self.axis, x.rank)
        _require_integers(self.name, indices)
        return make_type(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))

    def evaluate(self, *arrays: Array) -> Array:
        x, indices = arrays
        return np.take(x, _counted(self.name, indices, x.shape[self.axis], self.axis), self.axis)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, indices = inputs
        return ops.apply(ScatterAdd(self.axis), ops.zeros_like(x), indices, g), None


def take(x: Operand, indices: Operand, axis: int | None = 0) -> Expr:
    """The slices that integers name along an axis, such as rows of a table of embeddings.

    `x` is `[..., n, ...]` with n elements along `axis`, `indices` integers of any shape; the result has the
    axes of `indices` in the place of `axis`. `axis=None` indexes `x` as if flattened. Negative indices count
    from the end. Indices known now raise ShapeError when out of range of a fixed size; others ExecutionError
    when the graph runs. Raises DTypeError for indices that are no integers. The derivative by `x` is
    `scatter_add`.

    >>> from symgraph.expr import placeholder
    >>> take(placeholder("table", (1000, 64)), placeholder("words", ("batch", 12), "int64"))
    <take: f32[batch,12,64]>
    """
    (e,) = operands(x)
    e, a = (ops.reshape(e, (e.size,)), 0) if axis is None else (e, normalise_axis("take", axis, e.rank))
    return ops.apply(Take(a), e, _indices("take", e, indices, a))


@attrs.frozen
class ScatterAdd(Op):
    """x with `updates` added to the slices that `indices` names along an axis: the transpose of Take."""

    name = "scatter_add"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        x, indices, updates = types
        axis = normalise_axis(self.name, self.axis, x.rank)
        _require_integers(self.name, indices)
        _require_number(self.name, x)
        require_same_dtype(self.name, (x, updates))
        wanted = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        if updates.shape != wanted:
            raise ShapeError(
                f"scatter_add: the updates are {show_shape(updates.shape)}, not {show_shape(wanted)}",
                hint="Updates have the shape of symgraph.take(x, indices, axis).",
            )
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, indices, updates = arrays
        front = _counted(self.name, indices, x.shape[self.axis], self.axis).reshape(-1)
        out = np.array(x)
        if updates.size == 0:
            return out
        whole = (*x.shape[: self.axis], front.size, *x.shape[self.axis + 1 :])
        rows = np.moveaxis(updates.reshape(whole), self.axis, 0)
        # Sorted, equal indices are neighbours, and each group is one sum: far quicker than np.add.at.
        order = np.argsort(front, kind="stable")
        ordered = front[order]
        first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sums = np.add.reduceat(rows[order], first, axis=0, dtype=x.dtype)
        np.moveaxis(out, self.axis, 0)[ordered[first]] += sums
        return out

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return g, None, ops.apply(Take(self.axis), g, inputs[1])

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[2].size


def _require_number(name: str, x: TensorType) -> None:
    if x.dtype.kind not in "fi":
        raise DTypeError(f"{name} adds numbers, and this is bool", hint="Cast it with symgraph.cast.")


def scatter_add(x: Operand, indices: Operand, updates: Operand, axis: int = 0) -> Expr:
    """The tensor with updates added to the slices that integers name; several to one place add up.

    `updates` broadcasts to the shape of `take(x, indices, axis)`. Negative indices count from the end; out of
    range is an error as for `take`. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> scatter_add(placeholder("counts", (10,)), placeholder("label", ("batch",), "int64"), 1.0)
    <scatter_add: f32[10]>
    """
    e, added = operands(x, updates)
    a = normalise_axis("scatter_add", axis, e.rank)
    places = _indices("scatter_add", e, indices, a)
    return ops.apply(ScatterAdd(a), e, places, _fit(added, (*e.shape[:a], *places.shape, *e.shape[a + 1 :])))


def _fit(updates: Expr, shape: Shape) -> Expr:
    """The updates broadcast to `shape` where they can be; else as they are, for `infer` to refuse."""
    try:
        return ops.broadcast_to(updates, shape)
    except ShapeError:
        return updates


@attrs.frozen
class Gather(Op):
    """One element of x for each index: out[i, j, k] = x[i, indices[i, j, k], k] along axis 1."""

    name = "gather"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        x, indices = types
        _check_along(self.name, x, indices, self.axis)
        return make_type(x.dtype, indices.shape)

    def evaluate(self, *arrays: Array) -> Array:
        x, indices = arrays
        return np.take_along_axis(x, _counted(self.name, indices, x.shape[self.axis], self.axis), self.axis)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, indices = inputs
        return ops.apply(ScatterAddAlong(self.axis), ops.zeros_like(x), indices, g), None


def _check_along(name: str, x: TensorType, indices: TensorType, axis: int) -> None:
    """Raise unless the indices have the shape of x, but for the length of the axis."""
    axis = normalise_axis(name, axis, x.rank)
    _require_integers(name, indices)
    others = [(*t.shape[:axis], *t.shape[axis + 1 :]) for t in (x, indices)]
    if x.rank != indices.rank or others[0] != others[1]:
        raise ShapeError(
            f"{name}: the indices are {show_shape(indices.shape)} for a tensor of {show_shape(x.shape)}",
            hint=f"They have as many axes, and the same sizes but along axis {axis}: to pick one of each row "
            "write gather(x, labels[:, None], axis=1).",
        )


def gather(x: Operand, indices: Operand, axis: int) -> Expr:
    """One element along an axis for each index: NumPy's `take_along_axis`, PyTorch's `gather`.

    `indices` are integers with as many axes as `x`; the other axes broadcast against those of `x`. For
    `axis=1` the result is `out[i, j] = x[i, indices[i, j]]`. Negative indices count from the end; out of
    range is an error as for `take`. The derivative by `x` is `scatter_add_along`. Raises ShapeError,
    DTypeError.

    >>> from symgraph.expr import placeholder
    >>> labels = placeholder("labels", ("batch",), "int64")
    >>> gather(placeholder("logits", ("batch", 10)), labels[:, None], axis=1)
    <gather: f32[batch,1]>
    """
    (e,) = operands(x)
    a = normalise_axis("gather", axis, e.rank)
    return ops.apply(Gather(a), *_along("gather", e, indices, a))


def _along(name: str, x: Expr, indices: Operand, axis: int) -> tuple[Expr, Expr]:
    """The tensor and its indices, broadcast to each other along the other axes."""
    places = _indices(name, x, indices, axis)
    if places.rank != x.rank:
        return x, places
    try:
        others = broadcast(_without(x.shape, axis), _without(places.shape, axis))
    except ShapeError:
        return x, places
    return tuple(  # type: ignore[return-value]  # two of them
        ops.broadcast_to(e, (*others[:axis], e.shape[axis], *others[axis:])) for e in (x, places)
    )


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


@attrs.frozen
class ScatterAddAlong(Op):
    """x with out[i, indices[i, j]] += updates[i, j] along axis 1: the transpose of Gather."""

    name = "scatter_add_along"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        x, indices, updates = types
        _check_along(self.name, x, indices, self.axis)
        _require_number(self.name, x)
        require_same_dtype(self.name, (x, updates))
        if updates.shape != indices.shape:
            raise ShapeError(
                f"scatter_add_along: the updates are {show_shape(updates.shape)}, and the indices "
                f"{show_shape(indices.shape)}",
                hint="There is one update for each index.",
            )
        return x

    def evaluate(self, *arrays: Array) -> Array:
        x, indices, updates = arrays
        size = x.shape[self.axis]
        counted = np.moveaxis(_counted(self.name, indices, size, self.axis), self.axis, -1)
        rows = np.arange(math.prod(counted.shape[:-1])).reshape(*counted.shape[:-1], 1)
        flat = np.array(np.moveaxis(x, self.axis, -1), order="C")
        # Places in the flattened tensor: np.add.at is quick for one axis, and slow for more.
        places = (rows * size + counted).reshape(-1)
        np.add.at(flat.reshape(-1), places, np.moveaxis(updates, self.axis, -1).reshape(-1))
        return np.ascontiguousarray(np.moveaxis(flat, -1, self.axis))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return g, None, ops.apply(Gather(self.axis), g, inputs[1])

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[2].size


def scatter_add_along(x: Operand, indices: Operand, updates: Operand, axis: int) -> Expr:
    """The tensor with one update added for each index along an axis; several to one place add up.

    For `axis=1`, `out[i, indices[i, j]] += updates[i, j]`. `indices` are as for `gather`, and `updates`
    broadcasts to their shape. Out of range is an error as for `take`. Raises ShapeError, DTypeError.

    >>> from symgraph.expr import placeholder
    >>> words = placeholder("words", ("batch", 12), "int64")
    >>> scatter_add_along(placeholder("counts", ("batch", 1000)), words, 1.0, axis=1)
    <scatter_add_along: f32[batch,1000]>
    """
    e, added = operands(x, updates)
    a = normalise_axis("scatter_add_along", axis, e.rank)
    e, places = _along("scatter_add_along", e, indices, a)
    return ops.apply(ScatterAddAlong(a), e, places, _fit(added, places.shape))


@attrs.frozen
class Iota(Op):
    """0, 1, 2, ... along one axis of `shape`, the same along the others; a leaf, like a constant."""

    name = "iota"
    arity = 0
    shape: Shape
    dtype: DType
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        if self.dtype.kind == "b":
            raise DTypeError("iota: bools do not count", hint="Ask for int64 or a float dtype.")
        return make_type(self.dtype, self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        length = self.shape[self.axis]
        numbers = np.arange(length, dtype=self.dtype)  # type: ignore[arg-type]  # bound: all ints
        return np.broadcast_to(
            numbers.reshape((length,) + (1,) * (len(self.shape) - self.axis - 1)),  # type: ignore[arg-type]
            self.shape,  # type: ignore[arg-type]
        )


def iota(shape: ShapeLike, dtype: DTypeLike = INT64, axis: int = 0) -> Expr:
    """0, 1, 2, ... along one axis of a shape, the same along the others.

    `shape` is a dimension or several, ints or names. Raises ShapeError for an axis that is not there,
    DTypeError for bool.

    >>> iota("batch"), iota(("batch", 10), axis=1)
    (<iota: i64[batch]>, <iota: i64[batch,10]>)
    """
    target = as_shape(shape)
    return ops.apply(Iota(target, dtype_of(dtype), normalise_axis("iota", axis, len(target))))


Number: TypeAlias = DimensionLike | float


def arange(
    start: Number, stop: Number | None = None, step: float = 1, dtype: DTypeLike | None = None
) -> Expr:
    """The numbers from `start` (0, when one argument is given) up to but not including `stop`.

    Bounds are numbers, or named sizes; then the step is an int. The dtype is int64, or float32 when a float
    is among them. Raises ShapeError for a step of 0 or a bound that is no number.

    >>> arange(5), arange("batch"), arange(0.0, 1.0, 0.25), arange(1, "2*n", 2)
    (<iota: i64[5]>, <iota: i64[batch]>, <mul: f32[4]>, <add: i64[n]>)
    """
    first, last = (0, start) if stop is None else (start, stop)
    low, high = _bound(first), _bound(last)
    if isinstance(step, bool) or not isinstance(step, int | float | np.number):
        raise ShapeError(f"arange: a step is a number, and {step!r} is none")
    by = step.item() if isinstance(step, np.number) else step
    if by == 0:
        raise ShapeError("arange: the step is 0", hint="A step is positive or negative.")
    floats = any(isinstance(v, float) for v in (low, high, by))
    target = dtype_of(dtype) if dtype is not None else FLOAT32 if floats else INT64
    length = _count(low, high, by)
    # Counted in integers, or in floats that are wide enough: the product with the step is rounded once.
    numbers = iota(length, promote(target, FLOAT32) if floats else target)
    scaled = numbers if by == 1 else numbers * by
    moved = scaled if low == 0 else scaled + (ops.size(low, target) if isinstance(low, Dim) else low)
    return ops.cast(moved, target)


def _bound(value: Number) -> Dimension | float:
    """A bound of arange: a number, which may be negative, or a dimension."""
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            raise ShapeError(f"arange: a bound is a finite number, and {value} is none")
        return float(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    return as_dimension(value)


def _count(low: Dimension | float, high: Dimension | float, step: float) -> Dimension:
    """The number of steps from `low` that stay before `high`."""
    if not isinstance(low, Dim) and not isinstance(high, Dim):
        if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
            return len(range(low, high, step))
        return max(int(np.ceil((high - low) / step)), 0)
    if isinstance(low, float) or isinstance(high, float) or not isinstance(step, int):
        raise ShapeError(
            "arange: a float beside a named size gives no whole number of elements",
            hint="Count with arange(n), and scale the result.",
        )
    span = (high - low) if step > 0 else (low - high)
    return (span + abs(step) - 1) // abs(step)


def one_hot(indices: Operand, depth: DimensionLike, dtype: DTypeLike = FLOAT32) -> Expr:
    """A new last axis of `depth` elements: 1 where the index says, else 0.

    `indices` are integers of any shape. An index out of range, negative ones among them, gives zeros alone.
    Raises DTypeError for indices that are no integers.

    >>> from symgraph.expr import placeholder
    >>> one_hot(placeholder("labels", ("batch",), "int64"), 10).type
    TensorType('f32[batch,10]')
    """
    places = _tensor(indices)
    _require_integers("one_hot", places.type)
    classes = iota(as_dimension(depth), places.dtype)
    return ops.cast(ops.equal(ops.expand_dims(places, -1), classes), dtype_of(dtype))


def eye(
    rows: DimensionLike, columns: DimensionLike | None = None, k: int = 0, dtype: DTypeLike = FLOAT32
) -> Expr:
    """The matrix with ones on a diagonal and zeros elsewhere; square unless `columns` are given.

    `k` is the diagonal: 0 the main one, positive above it, negative below. Raises ShapeError, DTypeError.

    >>> eye("n").type, eye(2, 3, k=1, dtype="int32").type
    (TensorType('f32[n,n]'), TensorType('i32[2,3]'))
    """
    shape = (as_dimension(rows), as_dimension(rows if columns is None else columns))
    down, right = iota(shape, axis=0), iota(shape, axis=1)
    return ops.cast(ops.equal(down + k if k else down, right), dtype_of(dtype))


def tril(x: Operand, k: int = 0) -> Expr:
    """The lower triangle of each matrix: zeros above diagonal `k`, which counts as in `eye`.

    `x` is `[..., rows, columns]` of any dtype. Raises ShapeError for fewer than two axes.

    >>> tril(eye("n", dtype="bool")).type
    TensorType('bool[n,n]')
    """
    return _triangle("tril", x, k, lower=True)


def triu(x: Operand, k: int = 0) -> Expr:
    """The upper triangle of each matrix: zeros below diagonal `k`, which counts as in `eye`.

    `x` is `[..., rows, columns]` of any dtype. Raises ShapeError for fewer than two axes.

    >>> triu(eye("n"), 1).type
    TensorType('f32[n,n]')
    """
    return _triangle("triu", x, k, lower=False)


def _triangle(name: str, x: Operand, k: int, lower: bool) -> Expr:
    (e,) = operands(x)
    if e.rank < 2:
        raise ShapeError(
            f"{name}: {show_shape(e.shape)} is no matrix",
            details=(describe(e),),
            hint="It has two axes or more.",
        )
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ShapeError(
            f"{name}: a diagonal is counted by an int, and {k!r} is none", hint="0 is the main one."
        )
    down, right = iota(e.shape[-2:], axis=0), iota(e.shape[-2:], axis=1)
    diagonal = down + k if k else down
    kept = ops.less_equal(right, diagonal) if lower else ops.greater_equal(right, diagonal)
    return ops.where(kept, e, ops.zeros_like(e))
