"""Random numbers as pure functions of a key. Public as `symgraph.random`.

A key is an int32 tensor of two words. Equal keys give equal numbers: on every backend, with any number of threads,
today and in a run that is resumed. So no key is used twice; `split` makes several of one, `fold_in` one for each
number, such as that of the step.

>>> from symgraph.define import define
>>> from symgraph.lowering.interpreter import evaluate
>>> first, second = (split(key(0))[i] for i in range(2))
>>> graph = define(a=uniform(first, (2,)), b=uniform(second, (2,)), again=uniform(first, (2,)))
>>> values, _ = evaluate(graph, {})
>>> bool((values["a"] == values["again"]).all()), bool((values["a"] == values["b"]).any())
(True, False)

The bits are those of Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
2011), laid out as JAX does with `jax_threefry_partitionable`: `key`, `split`, `fold_in` and `bits` give the very
words of `jax.random` (of its unsigned ones), and `uniform` in [0, 1) its numbers with one more bit. Element i of a
tensor, in C order, is drawn from counter i, whatever its shape.

What is made of bits alone (`uniform`, `bernoulli`, `integers`, `permutation`) is the same to the last bit everywhere;
what goes through logarithms (`normal`, `truncated_normal`, `categorical`) is so with `numerics="bitwise"`, and else
within the accuracy of the backend's functions, a few units in the last place.
"""

import math
from typing import Any

import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, Operand, constant, describe, operands
from symgraph.ir import Constant
from symgraph.ops.base import as_float, normalise_axis
from symgraph.ops.keys import Key, bits, draw_bits, fold_in, key, split
from symgraph.ops.threefry import between, multiply_high, unit_float
from symgraph.types import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    SHORT_NAMES,
    Dim,
    DimensionLike,
    DType,
    DTypeLike,
    Shape,
    ShapeLike,
    as_dimension,
    as_shape,
    broadcast,
    dtype_of,
    show_shape,
)
from symgraph.values import shown

__all__ = [
    "bernoulli",
    "bits",
    "categorical",
    "fold_in",
    "integers",
    "key",
    "normal",
    "permutation",
    "split",
    "truncated_normal",
    "uniform",
]


def __dir__() -> list[str]:
    return __all__


# Floats


def uniform(
    key: Key,
    shape: ShapeLike = (),
    low: Operand = 0.0,
    high: Operand = 1.0,
    dtype: DTypeLike = FLOAT32,
) -> Expr:
    """Floats from `low` up to but not including `high`, all equally likely.

    `shape` may hold named sizes; `low` and `high` are numbers, or tensors that broadcast to it and receive gradients;
    `dtype` is float32 (of 24 random bits) or float64 (of 53). The bits are the same on every backend. Raises
    ShapeError, DTypeError, and GraphError where two numbers are not in order.

    >>> uniform(key(0), ("batch", 3), -1.0, 1.0)
    <between: f32[batch,3]>
    """
    target, sizes = _float("uniform", dtype), as_shape(shape)
    if _numbers(low, high):
        _interval("uniform", low, high, target)
    unit = _unit("uniform", key, sizes, target)
    if _numbers(low, high) and (low, high) == (0, 1):
        return unit
    return between(
        unit, *(_parameter("uniform", n, v, sizes, target) for n, v in (("low", low), ("high", high)))
    )


def _unit(name: str, key: Key, shape: Shape, dtype: DType) -> Expr:
    """Floats in [0, 1)."""
    return unit_float(draw_bits(name, key, shape, INT32 if dtype == FLOAT32 else INT64))


def _open_unit(name: str, key: Key, shape: Shape, dtype: DType) -> Expr:
    """Floats in (-1, 1): odd multiples of half a step, so that none is 0, and each is as likely as its negative."""
    step = 2.0**-24 if dtype == FLOAT32 else 2.0**-53
    # Both operations are exact, whether or not they are one.
    unit = _unit(name, key, shape, dtype)
    return unit * 2.0 - (1.0 - step)


def normal(
    key: Key,
    shape: ShapeLike = (),
    mean: Operand = 0.0,
    deviation: Operand = 1.0,
    dtype: DTypeLike = FLOAT32,
) -> Expr:
    """Floats of the normal distribution with a mean and a standard deviation.

    `shape` may hold named sizes; `mean` and `deviation` are numbers, or tensors that broadcast to it and receive
    gradients; `dtype` is float32 (up to 5.4 deviations from the mean) or float64 (up to 8.2). A uniform number goes
    through the inverse of the distribution, so each takes one counter. Raises ShapeError, DTypeError, and GraphError
    for a number that is not finite or a negative deviation.

    >>> normal(key(0), ("batch", 3)).type
    TensorType('f32[batch,3]')
    """
    target, sizes = _float("normal", dtype), as_shape(shape)
    if _numbers(mean):
        _finite("normal", "the mean", mean)
    if _numbers(deviation) and _finite("normal", "the deviation", deviation) < 0:
        raise GraphError(
            f"normal: the deviation is not negative, and {deviation} is", hint="Write its magnitude."
        )
    drawn = ops.erfinv(_open_unit("normal", key, sizes, target)) * math.sqrt(2.0)
    if not (_numbers(deviation) and deviation == 1):
        drawn = drawn * _parameter("normal", "deviation", deviation, sizes, target)
    return (
        drawn if _numbers(mean) and mean == 0 else drawn + _parameter("normal", "mean", mean, sizes, target)
    )


def truncated_normal(
    key: Key,
    shape: ShapeLike = (),
    low: Operand = -2.0,
    high: Operand = 2.0,
    dtype: DTypeLike = FLOAT32,
) -> Expr:
    """Floats of the normal distribution with mean 0 and deviation 1, between two bounds.

    `shape` may hold named sizes; `low` and `high` are numbers, or tensors that broadcast to it and receive gradients;
    `dtype` is float32 or float64. Raises ShapeError, DTypeError, and GraphError where two numbers are not in order or
    hold too little of the distribution to tell its numbers apart (less than 1e-12).

    >>> truncated_normal(key(0), (2, "n")).type
    TensorType('f32[2,n]')
    """
    target, sizes = _float("truncated_normal", dtype), as_shape(shape)
    known = _numbers(low, high)
    if known:
        _interval("truncated_normal", low, high, None)
        low, high = as_float(low), as_float(high)
        _holds_enough(low, high)
    # Far from 0 the distribution function has few digits below 1: then it is worth float64's.
    inner = target if known and low <= 0 <= high else FLOAT64  # type: ignore[operator]
    bounds = [_parameter("truncated_normal", n, v, sizes, inner) for n, v in (("low", low), ("high", high))]
    below, above = (_mass(b) for b in bounds)
    part = between(_unit("truncated_normal", key, sizes, inner), below, above)
    drawn = ops.erfinv(part) * math.sqrt(2.0)
    return ops.cast(ops.minimum(ops.maximum(drawn, bounds[0]), bounds[1]), target)


def _mass(bound: Expr) -> Expr:
    """How much of the distribution lies between a bound and its negative, with the bound's sign."""
    return ops.erf(bound * math.sqrt(0.5))


def _holds_enough(low: Any, high: Any) -> None:
    held = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    if held < 1e-12:
        raise GraphError(
            f"truncated_normal: between {low} and {high} lies {held:.0e} of the distribution, too little to draw from",
            hint="Beyond 7 deviations write low + symgraph.random.uniform(key, shape) * (high - low), or its like.",
        )


# Choices


def bernoulli(key: Key, probability: Operand = 0.5, shape: ShapeLike | None = None) -> Expr:
    """Truth values that are True with a probability.

    `probability` is a number from 0 (never) to 1 (always), or a tensor of floats; `shape`, to which it broadcasts, is
    its own by default, and may hold named sizes. Raises ShapeError, DTypeError, and GraphError for a number outside
    of 0 to 1.

    >>> bernoulli(key(0), 0.8, ("batch", 512))
    <less: bool[batch,512]>
    """
    if _numbers(probability):
        probability = _finite("bernoulli", "the probability", probability)  # and so float32, as every number
    (p,) = operands(probability, floating=True)
    if isinstance(p.op, Constant) and not np.all((p.op.value.array >= 0) & (p.op.value.array <= 1)):
        raise GraphError(
            f"bernoulli: a probability is from 0 to 1, and {shown(probability)} is not",
            details=(describe(p),),
            hint="Of logits write symgraph.sigmoid(logits).",
        )
    sizes = p.shape if shape is None else as_shape(shape)
    return ops.less(_unit("bernoulli", key, sizes, p.dtype), _fitting("bernoulli", "probability", p, sizes))


def categorical(key: Key, logits: Operand, axis: int = -1, shape: ShapeLike | None = None) -> Expr:
    """Indices along an axis, each with the probability that `softmax(logits, axis)` gives it.

    `logits` is a tensor of floats with at least one element along `axis`, and -inf for what is never drawn. `shape`,
    by default that of `logits` without the axis, is what that broadcasts to: for several draws from the same, write
    more axes in front. Returns int64. Raises ShapeError for an axis that is not there or another shape.

    Source: the Gumbel-max trick (Gumbel 1954; Maddison, Tarlow, Minka 2014).

    >>> categorical(key(0), np.zeros((3, 10)), shape=("draws", 3))
    <argmax: i64[draws,3]>
    """
    (e,) = operands(logits, floating=True)
    a = normalise_axis("categorical", axis, e.rank)
    others = (*e.shape[:a], *e.shape[a + 1 :])
    if e.shape[a] == 0:
        raise ShapeError(
            "categorical: there is nothing to choose from",
            details=(describe(e),),
            hint=f"Give logits with one element or more along axis {a}.",
        )
    sizes = others if shape is None else as_shape(shape)
    place = len(sizes) - (e.rank - 1 - a)  # as many axes come after it as in the logits
    if place < 0:
        _refuse("categorical", "logits without the axis", others, sizes)
    whole = (*sizes[:place], e.shape[a], *sizes[place:])
    unit = ops.maximum(_unit("categorical", key, whole, e.dtype), float(np.finfo(e.dtype).tiny))
    gumbel = ops.neg(ops.log(ops.neg(ops.log(unit))))
    return ops.argmax(gumbel + _fitting("categorical", "logits", e, whole), place)


def permutation(key: Key, x: DimensionLike | Expr | np.ndarray[Any, Any], axis: int = 0) -> Expr:
    """The whole numbers below a count in random order, or a tensor with its slices along an axis so.

    `x` is a count, an int or a named size, and the result int64 `[count]`; or a tensor, of which the whole slices along
    `axis` change places. All orders are equally likely (but for two equal draws among n of 64 bits). Raises ShapeError
    for an axis that is not there or a negative count.

    >>> from symgraph.expr import placeholder
    >>> permutation(key(0), "n"), permutation(key(0), placeholder("x", ("batch", 3)))
    (<argsort: i64[n]>, <take: f32[batch,3]>)
    """
    if isinstance(x, int | str | Dim | np.integer):
        if axis != 0:
            raise ShapeError(
                f"permutation: there is no axis {axis} in a row of numbers", hint="Leave it out."
            )
        return ops.argsort(draw_bits("permutation", key, (as_dimension(x),), INT64))
    (e,) = operands(x)
    a = normalise_axis("permutation", axis, e.rank)
    order = ops.argsort(draw_bits("permutation", key, (e.shape[a],), INT64))
    return ops.take(e, order, a)


def integers(
    key: Key, shape: ShapeLike = (), low: Operand = 0, high: Operand | None = None, dtype: DTypeLike = INT64
) -> Expr:
    """Whole numbers from `low` up to but not including `high`, all equally likely (to within 1 in 2**32).

    `shape` may hold named sizes; `low` and `high` are ints, or tensors of integers that broadcast to it (where `high`
    is not above `low`, the result is `low`); `dtype` is int64 or int32. Raises ShapeError, DTypeError, and GraphError
    where two ints are not in order or the dtype does not hold them.

    >>> integers(key(0), ("batch",), 1, 7)
    <add: i64[batch]>
    """
    target, sizes = dtype_of(dtype), as_shape(shape)
    if target.kind != "i":
        raise DTypeError(
            f"integers: they are int32 or int64, not {SHORT_NAMES[target.name]}",
            hint="For floats write symgraph.random.uniform, for bools bernoulli.",
        )
    if high is None:
        raise GraphError("integers: high is missing", hint="Write integers(key, shape, 0, high).")
    bounds = [_whole_bound(what, value, sizes, target) for what, value in (("low", low), ("high", high))]
    least, most = bounds
    if isinstance(least, int) and isinstance(most, int):
        if not least < most:
            raise GraphError(
                f"integers: low is below high, and {least} is not below {most}",
                hint="`high` is not drawn: for 0 alone write integers(key, shape, 0, 1).",
            )
        if most - least == 2**64:
            return draw_bits("integers", key, sizes, INT64)
        span: Expr = constant(np.array(most - least & 0xFFFFFFFFFFFFFFFF, np.uint64).view(np.int64))
        wide = most - least > 2**32
    else:
        span, wide = _span(least, most), target == INT64
    drawn = _below("integers", key, sizes, span, wide)
    start = constant(least, INT64) if isinstance(least, int) else least
    return ops.cast(drawn + start, target)


def _span(least: int | Expr, most: int | Expr) -> Expr:
    """How many there are, as an unsigned word; 1 where the bounds are not in order."""
    first, last = (constant(_wrapped(b), INT64) if isinstance(b, int) else b for b in (least, most))
    return ops.where(ops.less(first, last), last - first, 1)


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _below(name: str, key: Key, shape: Shape, span: Expr, wide: bool) -> Expr:
    """Words of 64 bits below an unsigned one; where that is `wide`, of 128 random bits, else of 64."""
    if not wide:
        return multiply_high(draw_bits(name, key, shape, INT64), span)
    keys = split(key)
    upper, lower = (draw_bits(name, keys[i], shape, INT64) for i in range(2))
    product_low, more = upper * span, multiply_high(lower, span)
    # The carry of the sum of two unsigned words, which are compared as signed ones that are 2**63 less.
    smallest = -(2**63)
    carry = ops.less((product_low + more) + smallest, product_low + smallest)
    return multiply_high(upper, span) + ops.cast(carry, INT64)


def _whole_bound(what: str, value: Operand, shape: Shape, dtype: DType) -> int | Expr:
    """A bound as an int where it is one, else as a tensor of int64."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        info = np.iinfo(dtype)
        if not info.min <= value <= int(info.max) + (what == "high"):
            raise GraphError(
                f"integers: {what} is {shown(value)}, which {dtype.name} does not hold",
                hint="Draw int64 numbers: dtype='int64'." if dtype == INT32 else "Draw fewer.",
            )
        return int(value)
    (e,) = operands(value)
    if e.dtype.kind != "i":
        raise DTypeError(
            f"integers: {what} is an integer, and this is {SHORT_NAMES[e.dtype.name]}",
            details=(describe(e),),
            hint="Write a whole number, or cast it: symgraph.cast(x, 'int64').",
        )
    return _fitting("integers", what, ops.cast(e, INT64), shape)


# What the arguments are


def _numbers(*values: Operand) -> bool:
    """Whether all are plain numbers, and so are checked now."""
    return all(isinstance(value, bool | int | float | np.number) for value in values)


def _finite(name: str, what: str, value: Any) -> float:
    number = as_float(value)
    if not math.isfinite(number):
        raise GraphError(
            f"{name}: {what} is a finite number, and {shown(value)} is none",
            hint="Write a number such as 0.5, or a tensor of floats.",
        )
    return number


def _interval(name: str, low: Any, high: Any, dtype: DType | None) -> None:
    """Raise GraphError unless the numbers are in order, and finite with their difference where a dtype is named."""
    first, last = as_float(low), as_float(high)
    if not first < last:
        raise GraphError(
            f"{name}: low is below high, and {shown(low)} is not below {shown(high)}", hint="Exchange them."
        )
    if dtype is None:
        return
    for value in (low, high):
        _finite(name, "a bound", value)
    with np.errstate(over="ignore"):
        ends = np.array([first, last], np.float64).astype(dtype)
        if not np.isfinite(ends[1] - ends[0]) or ends[0] == ends[1]:
            raise GraphError(
                f"{name}: {dtype.name} holds no numbers between {low} and {high}, or not their difference",
                hint="Draw float64 numbers: dtype='float64'."
                if dtype == FLOAT32
                else "Draw from [0, 1), and scale in two steps.",
            )


def _float(name: str, dtype: DTypeLike) -> DType:
    target = dtype_of(dtype)
    if target.kind != "f":
        other = "bernoulli" if target == BOOL else "integers"
        raise DTypeError(
            f"{name}: it draws float32 or float64, not {SHORT_NAMES[target.name]}",
            hint=f"Write symgraph.random.{other}.",
        )
    return target


def _parameter(name: str, what: str, value: Operand, shape: Shape, dtype: DType) -> Expr:
    """A parameter of a distribution in the dtype of the draws."""
    if _numbers(value):
        return constant(float(value), dtype)  # type: ignore[arg-type]
    (e,) = operands(value)
    return _fitting(name, what, ops.cast(e, dtype), shape)


def _fitting(name: str, what: str, e: Expr, shape: Shape) -> Expr:
    """A parameter, if it broadcasts to the shape of the draws; else raises ShapeError."""
    try:
        fits = broadcast(e.shape, shape) == shape
    except ShapeError:
        fits = False
    if not fits:
        _refuse(name, what, e.shape, shape, e)
    return e


def _refuse(name: str, what: str, own: Shape, shape: Shape, *operand: Expr) -> None:
    raise ShapeError(
        f"{name}: {what} has the shape {show_shape(own)}, which does not broadcast to {show_shape(shape)}",
        details=tuple(map(describe, operand)),
        hint="Give the shape of the draws, with more axes in front for several of each.",
    )
