"""Cases of `symgraph.ops.random`: a key, and the parameters that have gradients.

The references take Python's integers through the cipher, one counter at a time, and the normal distribution of
the standard library.
"""

import math
from statistics import NormalDist

import numpy as np

from symgraph import ops
from symgraph.ops import random
from tests.cases import Case

MASK = 0xFFFFFFFF


def cipher(key, counter):
    """Threefry-2x32-20 as its paper writes it: of a pair of words a pair of words."""
    keys = [int(key[0]) & MASK, int(key[1]) & MASK]
    keys.append(keys[0] ^ keys[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + keys[0]) & MASK, (counter[1] + keys[1]) & MASK
    for turn in range(20):
        distance = (13, 15, 26, 6, 17, 29, 16, 24)[turn % 8]
        x = (x + y) & MASK
        y = ((y << distance | y >> (32 - distance)) & MASK) ^ x
        if turn % 4 == 3:
            step = turn // 4 + 1
            x, y = (x + keys[step % 3]) & MASK, (y + keys[(step + 1) % 3] + step) & MASK
    return x, y


def words(key, shape):
    pairs = [cipher(key, (0, i)) for i in range(math.prod(shape))]
    return np.array(pairs, np.uint64).reshape(*shape, 2)


def bits(key, shape, dtype="int32"):
    first, second = np.moveaxis(words(key, shape), -1, 0)
    if dtype == "int32":
        return (first ^ second).astype(np.uint32).view(np.int32)
    return (first << np.uint64(32) | second).view(np.int64)


def unit(key, shape, dtype="float64"):
    if dtype == "float64":
        return (bits(key, shape, "int64").view(np.uint64) >> np.uint64(11)) / 2.0**53
    return ((bits(key, shape).view(np.uint32) >> np.uint32(8)) / 2.0**24).astype(np.float32)


def quantile(p):
    return np.vectorize(NormalDist().inv_cdf, otypes=[float])(p)


def standard(key, shape, dtype="float64"):
    half = 2.0 ** (-25 if dtype == "float32" else -54)
    return quantile(unit(key, shape, dtype).astype(np.float64) + half).astype(dtype)


def truncated(key, low, high, shape):
    below, above = (np.vectorize(NormalDist().cdf)(bound) for bound in (low, high))
    return quantile(below + unit(key, shape) * (above - below))


def gumbel(key, shape, dtype):
    drawn = np.maximum(unit(key, shape, dtype), np.finfo(dtype).tiny).astype(np.float64)
    return -np.log(-np.log(drawn))


def integers(key, shape, low, high):
    return np.array(
        [low + ((int(v) % 2**64) * (high - low) >> 64) for v in bits(key, shape, "int64").ravel()], np.int64
    ).reshape(shape)


KEY = "i32[2]"
FIXED = {"gradient": False, "exact": True, "named": False}


def fixed(name, function, reference, **options):
    return Case(name, function, (KEY,), reference, **{**FIXED, **options})


CASES = [
    fixed("split", random.split, lambda k: words(k, (2,)).astype(np.uint32).view(np.int32)),
    fixed("split 0", lambda k: random.split(k, 0), lambda k: np.zeros((0, 2), np.int32)),
    fixed(
        "split 2000",
        lambda k: random.split(k, 2000)[1990:],
        lambda k: words(k, (2000,))[1990:].astype(np.uint32).view(np.int32),
    ),
    fixed(
        "fold_in",
        lambda k: random.fold_in(k, 2**31 + 5),
        lambda k: np.array(cipher(k, (0, 2**31 + 5)), np.uint32).view(np.int32),
    ),
    Case(
        "fold_in a tensor",
        random.fold_in,
        (KEY, "i64[]"),
        lambda k, n: np.array(cipher(k, (0, int(n) & MASK)), np.uint32).view(np.int32),
        **FIXED,
    ),
    Case(
        "key of a tensor",
        random.key,
        ("i64[]",),
        lambda n: np.array([int(n) >> 32 & MASK, int(n) & MASK], np.uint32).view(np.int32),
        **FIXED,
    ),
    *(
        fixed(
            f"bits {shape} {dtype}",
            lambda k, s=shape, d=dtype: random.bits(k, s, d),
            lambda k, s=shape, d=dtype: bits(k, s, d),
        )
        for shape in ((), (5,), (3, 7), (0, 2), (2, 1, 3, 4))
        for dtype in ("int32", "int64")
    ),
    *(
        fixed(
            f"uniform {dtype}",
            lambda k, d=dtype: random.uniform(k, (3, 7), dtype=d),
            lambda k, d=dtype: unit(k, (3, 7), d),
        )
        for dtype in ("float32", "float64")
    ),
    fixed(
        "uniform between numbers",
        lambda k: random.uniform(k, (90,), -3.3, 1.7),
        lambda k: unit(k, (90,), "float32") * (np.float32(1.7) - np.float32(-3.3)) + np.float32(-3.3),
    ),
    Case(
        "uniform between tensors",
        lambda k, low, high: random.uniform(k, (4, 3), low, high, "float64"),
        (KEY, "f64[3]", "f64[4,1]"),
        lambda k, low, high: low + unit(k, (4, 3)) * (high - low),
        ("small_int", "unit", "above_one"),
        smooth=False,
        named=False,
    ),
    *(
        fixed(
            f"normal {dtype}",
            lambda k, d=dtype: random.normal(k, (3, 40), dtype=d),
            lambda k, d=dtype: standard(k, (3, 40), d),
            exact=False,
        )
        for dtype in ("float32", "float64")
    ),
    Case(
        "normal with a mean and a deviation",
        lambda k, mean, deviation: random.normal(k, (4, 3), mean, deviation, "float64"),
        (KEY, "f64[3]", "f64[]"),
        lambda k, mean, deviation: mean + deviation * standard(k, (4, 3)),
        ("small_int", "normal", "positive"),
        smooth=False,
        named=False,
    ),
    fixed(
        "truncated_normal",
        lambda k: random.truncated_normal(k, (3, 9), -1.0, 2.5, "float64"),
        lambda k: truncated(k, -1.0, 2.5, (3, 9)),
        exact=False,
    ),
    fixed(
        "truncated_normal far out",
        lambda k: random.truncated_normal(k, (9,), 4.0, 5.0),
        lambda k: truncated(k, 4.0, 5.0, (9,)).astype(np.float32),
        exact=False,
    ),
    Case(
        "truncated_normal between tensors",
        lambda k, low, high: random.truncated_normal(k, (4, 3), low, high, "float64"),
        (KEY, "f64[3]", "f64[4,1]"),
        lambda k, low, high: truncated(k, low, high, (4, 3)),
        ("small_int", "unit", "above_one"),
        named=False,
    ),
    fixed(
        "bernoulli", lambda k: random.bernoulli(k, 0.3, (3, 30)), lambda k: unit(k, (3, 30), "float32") < 0.3
    ),
    Case(
        "bernoulli of a tensor",
        lambda k, p: random.bernoulli(k, p),
        (KEY, "f64[5,3]"),
        lambda k, p: unit(k, (5, 3)) < p,
        ("small_int", "unit"),
        gradient=False,
        exact=True,
    ),
    Case(
        "categorical",
        random.categorical,
        (KEY, "f64[3,5]"),
        lambda k, x: np.argmax(x + gumbel(k, (3, 5), "float64"), -1),
        gradient=False,
    ),
    Case(
        "categorical along the first axis",
        lambda k, x: random.categorical(k, x, 0, (7, 3)),
        (KEY, "f64[5,3]"),
        lambda k, x: np.argmax(x + gumbel(k, (7, 5, 3), "float64"), 1),
        gradient=False,
    ),
    fixed("permutation", lambda k: random.permutation(k, 40), lambda k: np.argsort(bits(k, (40,), "int64"))),
    fixed("permutation of nothing", lambda k: random.permutation(k, 0), lambda k: np.zeros(0, np.int64)),
    Case(
        "permutation of a tensor",
        lambda k, x: random.permutation(k, x, 1),
        (KEY, "f64[3,5]"),
        lambda k, x: x[:, np.argsort(bits(k, (5,), "int64"))],
        smooth=False,
        exact=True,
    ),
    fixed("integers", lambda k: random.integers(k, (3, 30), -5, 12), lambda k: integers(k, (3, 30), -5, 12)),
    fixed(
        "integers i32",
        lambda k: random.integers(k, (30,), -(2**31), 2**31, "int32"),
        lambda k: integers(k, (30,), -(2**31), 2**31).astype(np.int32),
    ),
    Case(
        "integers between tensors",
        lambda k, low, high: random.integers(k, (4, 3), low, high, "int32"),
        (KEY, "i32[3]", "i64[4,1]"),
        lambda k, low, high: np.where(
            high > low, low + (unit(k, (4, 3)) * np.maximum(high - low, 1)).astype(np.int64), low
        ).astype(np.int32),
        gradient=False,
        exact=True,
        named=False,
    ),
    *(
        Case(
            f"dropout {dtype}",
            lambda x, k: ops.dropout(x, 0.4, k),
            (f"{dtype}[3,5]", KEY),
            lambda x, k: np.where(unit(k, (3, 5), "float32") < 1 - 0.4, x / (1 - 0.4), 0),
            gradient=dtype == "f64",
            smooth=False,
        )
        for dtype in ("f32", "f64")
    ),
    Case(
        "dropout of nothing",
        lambda x, k: ops.dropout(x, 0, k),
        ("f64[3,5]", KEY),
        lambda x, k: x,
        smooth=False,
        exact=True,
    ),
]
