"""Keys of random numbers, and the bits that are drawn with them. Public as a part of `symgraph.random`."""

from typing import Any, TypeAlias

import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, Operand, constant, describe, operands
from symgraph.ops.threefry import Counter, Threefry
from symgraph.types import (
    INT32,
    INT64,
    SHORT_NAMES,
    DimensionLike,
    DType,
    DTypeLike,
    Shape,
    ShapeLike,
    as_dimension,
    as_shape,
    dtype_of,
    show_shape,
)
from symgraph.values import shown

Key: TypeAlias = Operand
Seed: TypeAlias = int | Expr

_KNOWN = 1024  # keys that are made when the graph is, where the key they are split from is known


def key(seed: Seed) -> Expr:
    """A key from a number: the words of a 64-bit integer, the upper first.

    `seed` is an int from -2**63 to 2**64 - 1, or a scalar tensor of integers, known in a run. Returns an int32 tensor
    of 2 elements. Raises GraphError for what is no whole number, DTypeError and ShapeError for such a tensor.

    >>> key(42)
    <constant: i32[2]>
    """
    if isinstance(seed, Expr):
        _whole_scalar("key", "a seed", seed)
        high = ops.floor_divide(ops.cast(seed, INT64), 2**32)
        return ops.stack([ops.cast(high, INT32), ops.cast(seed, INT32)])
    number = _whole("key", "a seed", seed, -(2**63), 2**64 - 1)
    return constant(np.array([number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF], np.uint32).view(np.int32))


def split(key: Key, count: DimensionLike = 2) -> Expr:
    """Several keys made of one, which is not used again: an int32 tensor `[count, 2]`, whose rows are keys.

    Row i does not depend on `count`: it is `fold_in(key, i)`, so use one of the two on a key. Raises
    ShapeError for a key of another shape or a negative count, DTypeError for a key of another dtype.

    >>> keys = split(key(0), 3)
    >>> keys, keys[0]
    (<concatenate: i32[3,2]>, <reshape: i32[2]>)
    """
    words = _key("split", key)
    number = as_dimension(count)
    if isinstance(number, int) and number <= _KNOWN:
        counter = constant(np.arange(number, dtype=np.int32))
    else:
        counter = ops.apply(Counter((number,)))
    return ops.stack([_threefry(words, counter, word) for word in ("first", "second")], -1)


def fold_in(key: Key, data: Seed) -> Expr:
    """A key made of a key and a number, such as that of the step or the layer: int32 `[2]`.

    `data` is an int from 0 to 2**32 - 1, or a scalar tensor of integers, of which the lower 32 bits count. Raises
    ShapeError or DTypeError for a key or a tensor of another type, GraphError for what is no such number.

    >>> fold_in(key(0), 7).type
    TensorType('i32[2]')
    """
    words = _key("fold_in", key)
    if isinstance(data, Expr):
        _whole_scalar("fold_in", "what is folded in", data)
        counter = ops.cast(data, INT32)
    else:
        number = _whole("fold_in", "what is folded in", data, 0, 2**32 - 1)
        counter = constant(np.array(number, np.uint32).view(np.int32))
    return ops.stack([_threefry(words, counter, word) for word in ("first", "second")])


def _threefry(words: tuple[Expr, Expr], counter: Expr, word: str) -> Expr:
    return ops.apply(Threefry(word), *words, constant(0, INT32), counter)


def _key(name: str, key: Key) -> tuple[Expr, Expr]:
    """The two words of a key; raises for anything else."""
    hint = "Write symgraph.random.key(0), or a row of symgraph.random.split(key)."
    if isinstance(key, bool | int | float | np.generic) or key is None:
        raise GraphError(f"{name}: a key is a tensor of two words, and this is {shown(key)}", hint=hint)
    if isinstance(key, np.ndarray) and key.dtype == np.uint32:
        key = key.view(np.int32)
    (e,) = operands(key)
    if e.dtype != INT32:
        raise DTypeError(
            f"{name}: a key is int32, and this is {SHORT_NAMES[e.dtype.name]}",
            details=(describe(e),),
            hint=hint,
        )
    if e.shape != (2,):
        raise ShapeError(
            f"{name}: a key has the shape [2], and this has {show_shape(e.shape)}",
            details=(describe(e),),
            hint=hint,
        )
    return e[0], e[1]


def _whole(name: str, what: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise GraphError(
            f"{name}: {what} is a whole number, and this is {shown(value)}", hint="Write such as 0."
        )
    if not low <= value <= high:
        raise GraphError(
            f"{name}: {what} is from {low} to {high}, and {shown(value)} is not",
            hint="Of two numbers make a key in two steps: symgraph.random.fold_in(symgraph.random.key(a), b).",
        )
    return int(value)


def _whole_scalar(name: str, what: str, value: Expr) -> None:
    if value.dtype.kind != "i":
        raise DTypeError(
            f"{name}: {what} is an integer, and this is {SHORT_NAMES[value.dtype.name]}",
            details=(describe(value),),
            hint="Cast it: symgraph.cast(x, 'int64').",
        )
    if value.shape != ():
        raise ShapeError(
            f"{name}: {what} is a scalar, and this has the shape {show_shape(value.shape)}",
            details=(describe(value),),
            hint="Take one element of it, x[0].",
        )


# Bits


def bits(key: Key, shape: ShapeLike = (), dtype: DTypeLike = INT32) -> Expr:
    """Random bits: integers each of which is as likely as any other, negative ones too.

    `shape` may hold named sizes; `dtype` is int32 or int64. Raises ShapeError or DTypeError for what is no key, no
    shape, or for another dtype; a tensor has at most 2**31 of them.

    >>> bits(key(0), ("batch", 512))
    <threefry: i32[batch,512]>
    """
    target = dtype_of(dtype)
    if target.kind != "i":
        raise DTypeError(
            f"bits: they are int32 or int64, not {SHORT_NAMES[target.name]}",
            hint="For floats write symgraph.random.uniform, for bools bernoulli.",
        )
    return draw_bits("bits", key, as_shape(shape), target)


def draw_bits(name: str, key: Key, shape: Shape, dtype: DType) -> Expr:
    """The bits of each element, as int32 or int64; errors speak of `name`."""
    return _threefry(_key(name, key), ops.apply(Counter(shape)), "xor" if dtype == INT32 else "both")
