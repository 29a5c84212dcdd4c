"""Slices: a paragraph each, its record and rules, then its public function.

`Slice` and `Pad` are each other's transposes, and read alike: along every axis element i of the smaller
tensor is element `start + i * step` of the larger.

    y = slice(x)         y[i] = x[start + i * step]
    y = pad(x, value)    y[start + i * step] = x[i], and value elsewhere

Negative steps are a `Flip` first. A slice of a named size is taken to lie inside it: `x[1:]` of `batch` rows
has `batch-1`, `x[:10]` has 10. Both ops check their bounds when the sizes are known: a run in which a slice
does not fit fails at the line that wrote it, and never gives another shape than was declared.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, Operand, describe, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import normalise_axes, normalise_axis, require_same_dtype
from symgraph.types import (
    Dim,
    Dimension,
    DimensionLike,
    Shape,
    TensorType,
    as_dimension,
    make_type,
    show_shape,
)

Vjp: TypeAlias = tuple[Expr | None, ...]
Axes: TypeAlias = int | Iterable[int] | None


@attrs.frozen
class Slice(Op):
    """x[starts[0] :: steps[0], ...], of `sizes` elements along each axis; the steps are positive."""

    name = "slice"
    starts: tuple[Dimension, ...]
    sizes: tuple[Dimension, ...]
    steps: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        _check_inside(self.name, self.starts, self.sizes, self.steps, x.shape)
        return make_type(x.dtype, self.sizes)

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0][key_of(self.starts, self.sizes, self.steps)]

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        (x,) = inputs
        zero = operands(0, g)[0]
        return (ops.apply(Pad(self.starts, x.shape, self.steps), g, zero),)


@attrs.frozen
class Pad(Op):
    """A tensor of `shape` with x at [starts[0] :: steps[0], ...] and the scalar `value` elsewhere."""

    name = "pad"
    starts: tuple[Dimension, ...]
    shape: Shape
    steps: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        x, value = types
        require_same_dtype(self.name, types)
        if value.rank:
            raise ShapeError(f"pad: the value is {value}, and one number is wanted")
        if any(isinstance(size, int) and size < 0 for size in self.shape):
            raise ShapeError(f"pad: the result would be of shape {show_shape(self.shape)}")
        _check_inside(self.name, self.starts, x.shape, self.steps, self.shape)
        return make_type(x.dtype, self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        x, value = arrays
        out = np.full(self.shape, value, x.dtype)  # type: ignore[type-var]  # bound: all ints
        out[key_of(self.starts, x.shape, self.steps)] = x
        return out

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, _ = inputs
        # The value is wherever a padding of zeros with ones is one.
        fill = ops.apply(self, ops.zeros_like(x), operands(1, g)[0])
        return (
            ops.apply(Slice(self.starts, x.shape, self.steps), g),
            ops.sum(ops.where(ops.equal(fill, 1), g, ops.zeros_like(g))),
        )


def key_of(
    starts: Sequence[Dimension], sizes: Sequence[Dimension], steps: Sequence[int]
) -> tuple[slice, ...]:
    """The NumPy key of bound, checked bounds."""
    return tuple(
        slice(start, start + (size - 1) * step + 1, step) if size else slice(0, 0)
        for start, size, step in zip(starts, sizes, steps, strict=True)
    )


def _check_inside(
    name: str,
    starts: Sequence[Dimension],
    sizes: Sequence[Dimension],
    steps: Sequence[int],
    whole: Shape,
) -> None:
    """Raise ShapeError unless every element that is taken (or put) exists, as far as the sizes are known."""
    if not len(starts) == len(sizes) == len(steps) == len(whole):
        raise ShapeError(f"{name}: {len(starts)} axes are sliced, and the tensor has {len(whole)}")
    for axis, (start, size, step, length) in enumerate(zip(starts, sizes, steps, whole, strict=True)):
        if step < 1:
            raise ShapeError(f"{name}: the step along axis {axis} is {step}, and has to be positive")
        if isinstance(size, int) and size < 0:
            raise ShapeError(
                f"{name}: along axis {axis}, of size {length}, a slice would have {size} elements",
                hint="The slice starts behind its end: the axis is shorter than the slice takes it to be.",
            )
        if size == 0 or isinstance(start, Dim):
            continue
        last = start + (size - 1) * step
        inside = not isinstance(last, int) or not isinstance(length, int) or last < length
        if start < 0 or not inside:
            raise ShapeError(
                f"{name}: along axis {axis} the elements {start} to {last} are asked for, "
                f"and the axis has {length}",
                hint=f"The axis is shorter than the {name} takes it to be.",
            )


def _slice(x: Expr, axis: int, start: Dimension, size: Dimension, step: int = 1) -> Expr:
    """`size` elements along one axis, from `start` on; the tensor itself where that is all of it."""
    return _sliced(x, {axis: (start, size, step)})


def _sliced(x: Expr, cuts: dict[int, tuple[Dimension, Dimension, int]]) -> Expr:
    """Slices along some axes, as one op; `cuts` holds start, size and step by axis."""
    parts = [cuts.get(axis, (0, size, 1)) for axis, size in enumerate(x.shape)]
    # One spelling for one slice: no start where there is no element, no step where there is one.
    parts = [(0, 0, 1) if n == 0 else (start, n, 1 if n == 1 else step) for start, n, step in parts]
    starts, sizes, steps = (tuple(column) for column in zip(*parts, strict=True)) if parts else ((), (), ())
    if sizes == x.shape and not any(starts):
        return x
    return ops.apply(Slice(starts, sizes, steps), x)


@attrs.frozen
class Flip(Op):
    """x with the order of its elements reversed along some axes."""

    name = "flip"
    axes: tuple[int, ...]

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        for axis in self.axes:
            normalise_axis(self.name, axis, x.rank)
        return x

    def evaluate(self, *arrays: Array) -> Array:
        return np.flip(arrays[0], self.axes)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (flip(g, self.axes),)


def flip(x: Operand, axis: Axes = None) -> Expr:
    """The tensor with its elements in reverse order along some axes, or all.

    Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> flip(placeholder("x", ("batch", 3)), axis=1)
    <flip: f32[batch,3]>
    """
    (e,) = operands(x)
    axes = tuple(a for a in normalise_axes("flip", axis, e.rank) if e.shape[a] != 1)
    return ops.apply(Flip(axes), e) if axes else e


def getitem(x: Operand, key: Any) -> Expr:
    """Part of a tensor: `x[key]`, by NumPy's rules.

    A key has ints, slices (also with negative bounds and steps), `...`, None (a new axis of size 1), and at
    most one array, list or tensor of integers, which takes those elements as `take` does. Bounds are ints or
    dimensions such as `x.shape[0] - 1`. Slices of an axis of fixed size are cut to it, as NumPy cuts them; of
    a named size they are taken to lie inside it, and a run where one does not is an error at this line.

    Raises ShapeError for an int outside an axis of fixed size and for more keys than axes, DTypeError for
    boolean masks, whose results would have no shape before the run.

    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 28, 28))
    >>> x[1:, ::2].type, x[:10, -1].type, x[..., None].type, x[0, ::-1].type
    (TensorType('f32[batch-1,14,28]'), TensorType('f32[10,28]'), TensorType('f32[batch,28,28,1]'),
     TensorType('f32[28,28]'))
    """
    (e,) = operands(x)
    keys = _full_key(e, key if isinstance(key, tuple) else (key,))
    cuts: dict[int, tuple[Dimension, Dimension, int]] = {}
    flipped: list[int] = []
    for axis, part in enumerate(k for k in keys if k is not None):
        if isinstance(part, slice):
            *cut, backwards = _bounds(e, axis, part)
            cuts[axis] = tuple(cut)  # type: ignore[assignment]
            flipped += [axis] if backwards else []
        elif not _is_array(part):
            cuts[axis] = (_position(e, axis, part), 1, 1)
    cut_out = _sliced(flip(e, flipped), cuts)
    # What each key makes of its axis: an int drops it, None adds one, an array waits for `take`.
    sizes = iter(cut_out.shape)
    shape: list[Dimension] = []
    array_axis = None
    for part in keys:
        size = 1 if part is None else next(sizes)
        if _is_array(part):
            array_axis = len(shape)
        if part is None or isinstance(part, slice) or _is_array(part):
            shape.append(size)
    reshaped = ops.reshape(cut_out, tuple(shape))
    if array_axis is None:
        return reshaped
    indices = next(k for k in keys if _is_array(k))
    return _with_array(reshaped, indices, array_axis, keys)


def _with_array(x: Expr, indices: Any, axis: int, keys: Sequence[Any]) -> Expr:
    """`take` along the array's axis; its axes come first where NumPy puts them first: an int stands apart."""
    taken = ops.take(x, indices, axis)
    advanced = [i for i, k in enumerate(keys) if k is not None and not isinstance(k, slice)]
    if advanced[-1] - advanced[0] + 1 == len(advanced):
        return taken
    new = range(axis, axis + taken.rank - x.rank + 1)
    return ops.transpose(taken, (*new, *(a for a in range(taken.rank) if a not in new)))


def _is_array(part: Any) -> bool:
    return isinstance(part, Expr | list | np.ndarray)


def _full_key(x: Expr, keys: tuple[Any, ...]) -> list[Any]:
    """The keys with `...` spelled out, one for each axis and each new one; raises what a user did wrong."""
    for part in keys:
        _check_key(x, part)
    named = sum(part is not None and part is not Ellipsis for part in keys)
    dots = [i for i, part in enumerate(keys) if part is Ellipsis]
    if named > x.rank:
        raise ShapeError(
            f"x[...]: {named} axes are indexed, and the tensor has {x.rank}", details=(describe(x),)
        )
    if len(dots) > 1:
        raise ShapeError(
            f"x[...]: '...' stands {len(dots)} times in one index, and once at most is clear",
            details=(describe(x),),
        )
    if sum(map(_is_array, keys)) > 1:
        raise ShapeError(
            "x[...]: two arrays index at once, and one is taken",
            details=(describe(x),),
            hint="For x[range(n), labels] write symgraph.gather(x, labels[:, None], axis=1)[:, 0]; "
            "for rows and then columns x[rows][:, columns].",
        )
    at = dots[0] if dots else len(keys)
    return [*keys[:at], *[slice(None)] * (x.rank - named), *keys[at + 1 :]]


def _check_key(x: Expr, part: Any) -> None:
    if part is None or part is Ellipsis or isinstance(part, slice | Dim):
        return
    if isinstance(part, bool | np.bool_) or (_is_array(part) and _kind(part) == "b"):
        raise DTypeError(
            "x[...]: a boolean mask gives a tensor whose shape is not known before the run",
            details=(describe(x),),
            hint="Keep the shape with symgraph.where(mask, x, 0), or take integer positions: x[indices].",
        )
    if _is_array(part):
        if _kind(part) != "i":
            raise DTypeError(
                "x[...]: only integers index, and this array has floats",
                details=(describe(x),),
                hint="Cast it with symgraph.cast(indices, 'int64').",
            )
        return
    if not hasattr(part, "__index__"):
        raise GraphError(
            f"x[...]: {part!r} is no index",
            details=(describe(x),),
            hint="Index with ints, slices, '...', None, or one array of integers.",
        )


def _kind(part: Any) -> str:
    """The kind of dtype of an array that indexes; an empty list is of integers."""
    if isinstance(part, list):
        array = np.asarray(part)
        return "i" if array.size == 0 else array.dtype.kind.replace("u", "i")
    return str(part.dtype.kind).replace("u", "i")


def _from_front(bound: Any, size: Dimension) -> Dimension:
    """A bound counted from the front: negative ints, and dimensions such as `-batch`, count from the end."""
    if isinstance(bound, Dim):
        return bound + size if all(coefficient < 0 for _, coefficient in bound.terms) else bound
    number = int(bound.__index__())
    return size + number if number < 0 else number


def _position(x: Expr, axis: int, index: Any) -> Dimension:
    """The element that an int asks for; raises ShapeError when an axis of fixed size does not have it."""
    size = x.shape[axis]
    found = _from_front(index, size)
    if isinstance(found, int) and isinstance(size, int) and not 0 <= found < size:
        raise ShapeError(
            f"x[...]: there is no element {index} along axis {axis}, which has {size}",
            details=(describe(x),),
            hint=f"Elements are counted from 0, or from the end with -1 to -{size}."
            if size
            else "The axis is empty.",
        )
    return found


def _bounds(x: Expr, axis: int, part: slice) -> tuple[Dimension, Dimension, int, bool]:
    """Start, size and step of a slice, of the flipped axis where the step is negative, and whether it is."""
    size = x.shape[axis]
    for bound in (part.start, part.stop, part.step):
        _check_bound(x, bound)
    if isinstance(part.step, Dim):
        raise ShapeError(
            f"x[...]: the step {part.step} is no number", details=(describe(x),), hint="A step is an int."
        )
    step = 1 if part.step is None else int(part.step.__index__())
    if step == 0:
        raise ShapeError("x[...]: the step of a slice is 0", details=(describe(x),))
    if isinstance(size, int) and not isinstance(part.start, Dim) and not isinstance(part.stop, Dim):
        start, stop, _ = part.indices(size)
        found = len(range(start, stop, step))
        return (start if step > 0 else size - 1 - start), found, abs(step), step < 0
    if step > 0:
        first = 0 if part.start is None else _from_front(part.start, size)
        end = size if part.stop is None else _from_front(part.stop, size)
    else:  # element i is number size - 1 - i of the flipped axis
        first = 0 if part.start is None else -_from_front(part.start, size) + size - 1
        end = size if part.stop is None else -_from_front(part.stop, size) + size - 1
    length = end - first
    if isinstance(length, int):
        length = max(length, 0)
    return first, (length + abs(step) - 1) // abs(step), abs(step), step < 0


def _check_bound(x: Expr, bound: Any) -> None:
    if isinstance(bound, Expr):
        raise GraphError(
            "x[...]: a bound of a slice is a tensor, so the shape would not be known before the run",
            details=(describe(x),),
            hint="To take n rows from a computed position: symgraph.take(x, start + symgraph.arange(n)).",
        )
    if bound is not None and not isinstance(bound, Dim) and not hasattr(bound, "__index__"):
        raise GraphError(
            f"x[...]: {bound!r} bounds no slice",
            details=(describe(x),),
            hint="Bounds are ints or dimensions.",
        )


Widths: TypeAlias = DimensionLike | Sequence[Any]
MODES = ("constant", "edge", "reflect", "symmetric", "wrap")


def pad(x: Operand, widths: Widths, value: Operand = 0, mode: str = "constant") -> Expr:
    """The tensor with elements added before and after each axis.

    `widths` is one number for all sides, a pair (before, after) for all axes, or a pair for each axis; a
    width is an int or a named size. `mode` says what is added: "constant" the scalar `value`; "edge" the
    nearest element; "reflect" the mirror image without the edge, "symmetric" with it; "wrap" the elements of
    the other end. Raises ShapeError for negative widths, and where an axis is too short to be mirrored.

    >>> from symgraph.expr import placeholder
    >>> pad(placeholder("x", ("batch", 28, 28)), [(0, 0), (1, 1), (1, 2)])
    <pad: f32[batch,30,31]>
    """
    if mode not in MODES:
        raise GraphError(f"pad: there is no mode {mode!r}", hint=f"It has {', '.join(MODES)}.")
    if mode == "constant":
        tensor, fill = operands(x, value)
        return _pad_constant(tensor, fill, widths)
    (e,) = operands(x)
    for axis, (low, high) in enumerate(_widths(e, widths)):
        e = _pad_axis(e, axis, low, high, mode)
    return e


def _pad_constant(x: Expr, value: Expr, widths: Widths) -> Expr:
    pairs = _widths(x, widths)
    shape = tuple(low + size + high for (low, high), size in zip(pairs, x.shape, strict=True))
    if shape == x.shape:
        return x
    return ops.apply(Pad(tuple(low for low, _ in pairs), shape, (1,) * x.rank), x, value)


def _widths(x: Expr, widths: Widths) -> list[tuple[Dimension, Dimension]]:
    """A pair for each axis from any of the forms of `widths`."""
    wrong = ShapeError(
        f"pad: the widths {widths!r} do not fit {x.rank} axes",
        details=(describe(x),),
        hint="Write one number, a pair (before, after), or a list with a pair for each axis.",
    )
    if not isinstance(widths, Sequence | np.ndarray) or isinstance(widths, str):
        side = _width(widths)
        return [(side, side)] * x.rank
    items = list(widths)
    nested = any(isinstance(i, Sequence | np.ndarray) and not isinstance(i, str) for i in items)
    if len(items) == 2 and not nested:
        return [(_width(items[0]), _width(items[1]))] * x.rank
    try:
        pairs = [(_width(low), _width(high)) for low, high in items]
    except (TypeError, ValueError):
        raise wrong from None
    if len(pairs) != x.rank:
        raise wrong
    return pairs


def _width(width: Any) -> Dimension:
    if isinstance(width, int | np.integer) and not isinstance(width, bool) and width < 0:
        raise ShapeError(f"pad: the width {width} is negative", hint="To cut elements off, slice: x[1:-1].")
    return as_dimension(width)


def _pad_axis(x: Expr, axis: int, low: Dimension, high: Dimension, mode: str) -> Expr:
    """One axis with copies of its own elements on both sides."""
    size = x.shape[axis]
    edge = 1 if mode == "reflect" else 0
    for width in (low, high):
        room = 1 if mode == "edge" else width + edge
        if width != 0 and isinstance(room, int) and isinstance(size, int) and size < room:
            raise ShapeError(
                f"pad: axis {axis} has {size} elements, too few to add {width} by mode {mode!r}",
                details=(describe(x),),
                hint="Pad in several steps, or by mode 'constant'.",
            )
    if mode == "edge":
        before, after = _slice(x, axis, 0, 1), _slice(x, axis, size - 1, 1)
        before, after = _stretch(before, axis, low), _stretch(after, axis, high)
    elif mode == "wrap":
        before, after = _slice(x, axis, size - low, low), _slice(x, axis, 0, high)
    else:
        before = flip(_slice(x, axis, edge, low), axis)
        after = flip(_slice(x, axis, size - high - edge, high), axis)
    sides = [*([before] if low != 0 else []), x, *([after] if high != 0 else [])]
    return ops.concatenate(sides, axis)


def _stretch(x: Expr, axis: int, size: Dimension) -> Expr:
    return ops.broadcast_to(x, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


def roll(x: Operand, shift: int | Iterable[int], axis: Axes = None) -> Expr:
    """The tensor with its elements moved by `shift` places, those that leave one end entering at the other.

    `shift` is an int, or one for each of `axis`; without `axis` the tensor is rolled as if flattened. Along a
    named size the shift is taken to be no longer than it. Raises ShapeError for an axis that is not there.

    >>> from symgraph.expr import placeholder
    >>> roll(placeholder("x", ("batch", 3)), 1, axis=0)
    <concatenate: f32[batch,3]>
    """
    (e,) = operands(x)
    if axis is None:
        if isinstance(shift, Iterable):
            raise ShapeError("roll: several shifts, and no axes for them", hint="Name the axes.")
        return ops.reshape(_roll(ops.reshape(e, (e.size,)), 0, shift), e.shape)
    axes = list(axis) if isinstance(axis, Iterable) else [axis]
    shifts = list(shift) if isinstance(shift, Iterable) else [shift] * len(axes)
    if len(shifts) != len(axes):
        raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes", details=(describe(e),))
    for one, along in zip(shifts, axes, strict=True):
        e = _roll(e, normalise_axis("roll", along, e.rank), one)
    return e


def _roll(x: Expr, axis: int, shift: int) -> Expr:
    if isinstance(shift, bool) or not hasattr(shift, "__index__"):
        raise ShapeError(f"roll: a shift is an int, and {shift!r} is none", details=(describe(x),))
    size = x.shape[axis]
    places = int(shift)
    if isinstance(size, int):
        places = places % size if size else 0
    if places == 0:
        return x
    cut = size - places if places > 0 else -places  # what stands here comes first
    return ops.concatenate([_slice(x, axis, cut, size - cut), _slice(x, axis, 0, cut)], axis)
