"""Random bits from a counter, and what makes numbers of bits: elementwise primitives, the same on every backend.

    counter        shape -> 0, 1, 2, ...                  the number of each element
    threefry       (key, counter) -> 32 bits, or 64       a block cipher: equal keys and counters, equal bits
    unit_float     bits -> [0, 1)                         every bit that the dtype holds
    between        ([0, 1), low, high) -> [low, high)     rounded by the same two roundings everywhere
    multiply_high  the upper half of a product            bits to whole numbers below a bound

Words are int32 or int64 whose bits are meant: they wrap around, as unsigned ones do. The public functions are those
of `symgraph.ops.random`.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr
from symgraph.ir import Array, Op
from symgraph.ops.base import Elementwise, broadcast_operands, require_kind, require_same_dtype, sum_to
from symgraph.types import (
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    Shape,
    TensorType,
    make_type,
    product,
    show_shape,
)

Vjp: TypeAlias = tuple[Expr | None, ...]

MOST = 2**31  # elements of a counter: it is the lower word alone


@attrs.frozen
class Counter(Op):
    """The number of each element in C order, as int32; a leaf, which native code counts in its loops."""

    name = "counter"
    arity = 0
    shape: Shape

    def infer(self, *types: TensorType) -> TensorType:
        size = product(self.shape)
        if isinstance(size, int) and size > MOST:
            raise ShapeError(
                f"counter: {show_shape(self.shape)} has {size} elements, and 2**31 is the limit",
                hint="Draw smaller tensors, each from its own of several keys: symgraph.random.split(key, n).",
            )
        return make_type(INT32, self.shape)

    def evaluate(self, *arrays: Array) -> Array:
        shape: Any = self.shape  # bound: all ints
        return np.arange(math.prod(shape), dtype=np.int32).reshape(shape)


# Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011), and their library Random123.
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
ROUNDS = 20
_BLOCK = 1 << 14  # words that are worked on at a time: they stay in the cache

_WORDS = ("first", "second", "xor", "both")


@attrs.frozen
class Threefry(Elementwise):
    """Threefry-2x32 of 20 rounds: the key's two words and the counter's to two words.

    `word` says what is made of them: the first, the second, their exclusive or, or both as 64 bits, the first above.
    """

    name = "threefry"
    kinds = "i"
    arity = 4
    cost = 90
    word: str = "xor"

    def infer(self, *types: TensorType) -> TensorType:
        if self.word not in _WORDS:
            raise GraphError(f"threefry: word is one of {', '.join(_WORDS)}, not {self.word!r}")
        for type_ in types:
            require_kind(self.name, self.kinds, type_)
        require_same_dtype(self.name, (*types, make_type(INT32, ())))
        shape = broadcast_operands(self.name, types)
        return make_type(INT64 if self.word == "both" else INT32, shape)

    def evaluate(self, *arrays: Array) -> Array:
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
        size = math.prod(shape)
        words = [_flat(a, shape) for a in arrays]
        out = np.empty(size, np.int64 if self.word == "both" else np.int32)
        for start in range(0, size, _BLOCK):
            part = slice(start, start + _BLOCK)
            _fill(self.word, [w if w.size == 1 else w[part] for w in words], out[part])
        return out.reshape(shape)


def _flat(words: Array, shape: tuple[int, ...]) -> Array:
    """The words in a row, or a single one."""
    if words.size != 1:
        words = np.broadcast_to(words, shape)
    return words.reshape(-1).view(np.uint32)


def _fill(word: str, words: Sequence[Array], out: Array) -> None:
    a, b = threefry2x32(words, out.size)
    if word == "both":
        out.view(np.uint64)[:] = a
        out.view(np.uint64)[:] <<= np.uint64(32)
        out.view(np.uint64)[:] |= b
    elif word == "xor":
        np.bitwise_xor(a, b, out=out.view(np.uint32))
    else:
        out.view(np.uint32)[:] = a if word == "first" else b


def threefry2x32(words: Sequence[Array], size: int) -> tuple[Array, Array]:
    """The two words of Threefry-2x32 for `size` counters: `words` are the key's two and the counter's, of uint32.

    The first vector of Random123's known answers:

    >>> zero = np.zeros(1, np.uint32)
    >>> [hex(word[0]) for word in threefry2x32([zero] * 4, 1)]
    ['0x6b200159', '0x99ba4efe']
    """
    k0, k1, c0, c1 = words
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(PARITY))
    a, b, spare = (np.empty(size, np.uint32) for _ in range(3))
    np.add(c0, k0, out=a)
    np.add(c1, k1, out=b)
    for turn in range(ROUNDS // 4):
        for distance in ROTATIONS[turn % 2]:
            np.add(a, b, out=a)
            np.left_shift(b, np.uint32(distance), out=spare)
            np.right_shift(b, np.uint32(32 - distance), out=b)
            np.bitwise_or(b, spare, out=b)
            np.bitwise_xor(b, a, out=b)
        np.add(a, keys[(turn + 1) % 3], out=a)
        np.add(b, keys[(turn + 2) % 3] + np.uint32(turn + 1), out=b)
    return a, b


class UnitFloat(Elementwise):
    """The upper bits of a word as a fraction: of 32 bits 24 as a float32, of 64 bits 53 as a float64."""

    name = "unit_float"
    kinds = "i"
    arity = 1
    cost = 3

    def infer(self, *types: TensorType) -> TensorType:
        (x,) = types
        require_kind(self.name, self.kinds, x)
        return make_type(FLOAT32 if x.dtype == INT32 else FLOAT64, x.shape)

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        if x.dtype == INT32:
            return np.asarray((x.view(np.uint32) >> np.uint32(8)).astype(FLOAT32) * np.float32(2.0**-24))
        return np.asarray((x.view(np.uint64) >> np.uint64(11)).astype(FLOAT64) * 2.0**-53)


def unit_float(x: Expr) -> Expr:
    """Bits as a number in [0, 1): float32 of int32, float64 of int64."""
    return ops.apply(UnitFloat(), x)


class Between(Elementwise):
    """low + x * (high - low), in three roundings; what rounds to `high` is the next number towards `low`."""

    name = "between"
    arity = 3
    cost = 6

    def evaluate(self, *arrays: Array) -> Array:
        x, low, high = arrays
        made = x * (high - low) + low
        return np.asarray(np.where(made == high, np.nextafter(high, low), made))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        x, low, high = inputs
        by_low, by_high = g * (1.0 - x), g * x
        return sum_to(g * (high - low), x.shape), sum_to(by_low, low.shape), sum_to(by_high, high.shape)


def between(x: Expr, low: Expr, high: Expr) -> Expr:
    """Numbers of [0, 1) stretched to [low, high); all are floats of one dtype, broadcast."""
    return ops.apply(Between(), x, low, high)


class MultiplyHigh(Elementwise):
    """The upper 64 bits of the product of two unsigned words of 64 bits."""

    name = "multiply_high"
    kinds = "i"
    arity = 2
    cost = 16

    def infer(self, *types: TensorType) -> TensorType:
        require_same_dtype(self.name, (*types, make_type(INT64, ())))
        return make_type(INT64, broadcast_operands(self.name, types))

    def evaluate(self, *arrays: Array) -> Array:
        x, y = (np.ascontiguousarray(a).view(np.uint64).reshape(a.shape) for a in arrays)
        low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
        x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
        middle = x1 * y0 + ((x0 * y0) >> half)
        carry = ((middle & low) + x0 * y1) >> half
        return np.asarray(x1 * y1 + (middle >> half) + carry).view(np.int64)


def multiply_high(x: Expr, y: Expr) -> Expr:
    """floor(x * y / 2**64) of words of 64 bits, unsigned: for random x a whole number below y."""
    return ops.apply(MultiplyHigh(), x, y)
