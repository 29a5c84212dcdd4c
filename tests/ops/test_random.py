"""Random numbers: known answers, JAX's words, the distributions, and what is refused."""

import math
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
import tests.jax_oracle  # noqa: F401  64-bit mode
from symgraph import random
from symgraph.errors import DTypeError, FeedError, GraphError, ShapeError
from symgraph.ops.threefry import Threefry

jax.config.update("jax_threefry_partitionable", True)

KEY = random.key(20_240_607)
BACKENDS = ("interpreter", "numpy", "llvm")
MASK = 0xFFFFFFFF


def value(expr, feeds=None, **options):
    return np.asarray(sg.compile(sg.define(y=expr), **{"backend": "numpy", **options})(feeds or {})["y"])


# The cipher


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # threefry2x32, 20 rounds, of the file kat_vectors of Random123 1.14
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((MASK, MASK), (MASK, MASK), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(counter, key, expected, backend):
    words = [sg.placeholder(name, (), "int32") for name in "abcd"]
    feeds = {n: np.array(w, np.uint32).view(np.int32) for n, w in zip("abcd", (*key, *counter), strict=True)}
    graph = sg.define({word: sg.apply(Threefry(word), *words) for word in ("first", "second", "xor", "both")})
    found = sg.compile(graph, backend=backend)(feeds)
    first, second = expected
    assert int(found["first"]) & MASK == first and int(found["second"]) & MASK == second
    assert int(found["xor"]) & MASK == first ^ second
    assert int(found["both"]) & (2**64 - 1) == first << 32 | second


SEEDS = st.one_of(st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63 - 1]), st.integers(0, 2**63 - 1))


def of_jax(seed):
    return jax.random.PRNGKey(seed)


def words_of(array):
    """JAX's unsigned words as ours."""
    array = np.asarray(array)
    return array.view({4: np.int32, 8: np.int64}[array.itemsize])


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(0, 2**32 - 1))
def test_the_words_are_those_of_jax(seed, data):
    ours, theirs, shape = random.key(seed), of_jax(seed), (3, 5)  # one shape: JAX compiles for each
    graph = sg.define(
        key=ours,
        split=random.split(ours, 3),
        folded=random.fold_in(ours, data),
        bits=random.bits(ours, shape),
        wide=random.bits(ours, shape, "int64"),
        uniform=random.uniform(ours, shape),
        fine=random.uniform(ours, shape, dtype="float64"),
    )
    found = sg.compile(graph, backend="interpreter")({})
    np.testing.assert_array_equal(found["key"], words_of(theirs))
    np.testing.assert_array_equal(found["split"], words_of(jax.random.split(theirs, 3)))
    np.testing.assert_array_equal(found["folded"], words_of(jax.random.fold_in(theirs, data)))
    np.testing.assert_array_equal(found["bits"], words_of(jax.random.bits(theirs, shape, jnp.uint32)))
    np.testing.assert_array_equal(found["wide"], words_of(jax.random.bits(theirs, shape, jnp.uint64)))
    # JAX keeps a bit less of each.
    single, double = (np.asarray(jax.random.uniform(theirs, shape, d)) for d in (jnp.float32, jnp.float64))
    assert set(np.unique((found["uniform"] - single) * 2**24)) <= {0.0, 1.0}
    assert set(np.unique((found["fine"] - double) * 2**53)) <= {0.0, 1.0}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_normal_numbers_are_those_of_jax_but_for_the_last_bits(dtype, tolerance):
    theirs = np.asarray(jax.random.normal(of_jax(5), (1000,), dtype))
    ours = value(random.normal(random.key(5), (1000,), dtype=dtype))
    # One bit more of the uniform number moves the tails most.
    np.testing.assert_allclose(ours, theirs, rtol=300 * tolerance, atol=tolerance)


def test_negative_seeds_are_words_of_64_bits():
    assert value(random.key(-1)).tolist() == [-1, -1]
    assert value(random.key(-(2**63))).tolist() == [-(2**31), 0]
    assert value(random.key(2**64 - 1)).tolist() == [-1, -1]


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("seed", [0, 7, -3, 2**31 - 1])
def test_a_seed_may_be_known_in_a_run(seed, dtype):
    s = sg.placeholder("s", (), dtype)
    np.testing.assert_array_equal(value(random.key(s), {"s": np.array(seed, dtype)}), value(random.key(seed)))
    folded = value(random.fold_in(KEY, s), {"s": np.array(seed, dtype)})
    np.testing.assert_array_equal(folded, value(random.fold_in(KEY, seed & MASK)))


def test_words_of_jax_are_keys():
    theirs = np.asarray(jax.random.split(of_jax(3))[1])
    assert theirs.dtype == np.uint32
    ours = value(random.bits(theirs, (5,)))
    np.testing.assert_array_equal(ours, words_of(jax.random.bits(jnp.asarray(theirs), (5,), jnp.uint32)))


# One meaning everywhere


def everything(key, n):
    first, second = (random.split(key)[i] for i in range(2))
    logits = np.log([0.1, 0.2, 0.3, 0.4]).astype(np.float32)
    return {
        "bits": random.bits(key, (3, n)),
        "wide": random.bits(key, (n, 2), "int64"),
        "uniform": random.uniform(first, (n,)),
        "double": random.uniform(first, (n, 3), dtype="float64"),
        "between": random.uniform(second, (n,), -2.5, 7.25),
        "bernoulli": random.bernoulli(second, 0.3, (2, n)),
        "permutation": random.permutation(first, n),
        "integers": random.integers(first, (n,), -7, 1000),
        "narrow": random.integers(first, (n,), 0, 2**31, "int32"),
        "categorical": random.categorical(second, logits, shape=(n,)),
        "keys": random.split(key, n),
    }


@pytest.mark.parametrize("size", [1, 3, 1000, 20_011])
def test_every_backend_and_any_number_of_threads_draw_the_same_bits(size):
    key = sg.placeholder("key", (2,), "int32")
    x = sg.placeholder("x", ("n",))
    graph, fixed = sg.define({**everything(key, "n"), "x": x}), sg.define(everything(key, size))
    feeds = {"key": np.array([5, -77], np.int32), "x": np.zeros(size, np.float32)}
    wanted = sg.compile(graph, backend="interpreter", passes=())(feeds)
    for options in (
        {"backend": "numpy"},
        {"backend": "llvm", "threads": 1},
        {"backend": "llvm", "threads": 2},
        {"backend": "llvm", "numerics": "bitwise"},
    ):
        found = sg.compile(graph, **options)(feeds)
        static = sg.compile(fixed, **options)({"key": feeds["key"]})
        for name in static:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=f"{name} {options}")
            np.testing.assert_array_equal(static[name], wanted[name], err_msg=f"{name} {options}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_the_same_within_the_bound_of_erfinv(dtype):
    key = sg.placeholder("key", (2,), "int32")
    graph = sg.define(
        n=random.normal(key, (30_000,), dtype=dtype), t=random.truncated_normal(key, (3000,), dtype=dtype)
    )
    feeds = {"key": np.array([1, 2], np.int32)}
    wanted = sg.compile(graph, backend="interpreter", passes=())(feeds)
    found = sg.compile(graph, backend="llvm")(feeds)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=8 * np.finfo(dtype).eps)
    same = sg.compile(graph, backend="llvm", numerics="bitwise")(feeds)
    numpy = sg.compile(graph, backend="numpy", numerics="bitwise")(feeds)
    for name in wanted:
        np.testing.assert_array_equal(same[name], numpy[name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_views_of_what_is_drawn(backend):
    key = sg.placeholder("key", (2,), "int32")
    drawn = random.uniform(key, (6, 35))
    graph = sg.define(
        plain=drawn,
        turned=drawn.T * 1.0,
        part=drawn[1::2, 3:20:4] * 1.0,
        back=sg.flip(drawn, 1) * 1.0,
        total=sg.sum(drawn, 0),
    )
    feeds = {"key": np.array([3, 4], np.int32)}
    found = sg.compile(graph, backend=backend)(feeds)
    plain = value(random.uniform(np.array([3, 4], np.int32), (6, 35)))
    np.testing.assert_array_equal(found["plain"], plain)
    np.testing.assert_array_equal(found["turned"], plain.T)
    np.testing.assert_array_equal(found["part"], plain[1::2, 3:20:4])
    np.testing.assert_array_equal(found["back"], plain[:, ::-1])
    np.testing.assert_allclose(found["total"], plain.sum(0), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, "n")])
def test_empty_shapes(shape):
    x = sg.placeholder("x", ("n",))
    for make in (random.bits, random.uniform, random.normal, random.truncated_normal):
        made = make(KEY, shape)
        graph = sg.define(y=made, x=x)
        for backend in BACKENDS:
            found = sg.compile(graph, backend=backend)({"x": np.zeros(4, np.float32)})["y"]
            assert found.shape == tuple(4 if d == "n" else d for d in shape)
            assert found.dtype == made.dtype


def test_a_prefix_of_a_row_does_not_depend_on_its_length():
    np.testing.assert_array_equal(value(random.bits(KEY, (10,))), value(random.bits(KEY, (1000,)))[:10])
    np.testing.assert_array_equal(value(random.split(KEY, 2)), value(random.split(KEY, 5000))[:2])


# Distributions, with fixed keys: the bounds are those of a test at 1 in 1000


def kolmogorov(drawn, distribution):
    """The largest distance to the distribution function, in units in which 1.95 is exceeded once in 1000 times."""
    x = np.sort(drawn.astype(np.float64).ravel())
    expected, n = distribution(x), x.size
    above = np.max(np.arange(1, n + 1) / n - expected)
    below = np.max(expected - np.arange(n) / n)
    return max(above, below) * math.sqrt(n)


def chi_square(counts, expected):
    """Deviations of Pearson's statistic from its mean; 4 is far out for any number of classes here."""
    counts, expected = np.asarray(counts, float).ravel(), np.asarray(expected, float).ravel()
    statistic = ((counts - expected) ** 2 / expected).sum()
    free = expected.size - 1
    return (statistic - free) / math.sqrt(2 * free)


def normal_cdf(x):
    return np.vectorize(NormalDist().cdf)(x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [1, 2])
def test_uniform_numbers(dtype, seed):
    drawn = value(random.uniform(random.key(seed), (200_000,), dtype=dtype), backend="llvm")
    assert drawn.dtype == dtype and drawn.min() >= 0 and drawn.max() < 1
    assert kolmogorov(drawn, lambda x: x) < 1.95
    assert abs(drawn.mean() - 0.5) < 4 / math.sqrt(12 * drawn.size)
    assert abs(drawn.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / drawn.size)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / math.sqrt(drawn.size)


def test_every_bit_is_even():
    for dtype, width in (("int32", 32), ("int64", 64)):
        words = value(random.bits(KEY, (100_000,), dtype), backend="llvm")
        ones = [(words >> np.array(bit, dtype) & 1).mean() for bit in range(width)]
        assert np.abs(np.array(ones) - 0.5).max() < 4.5 / math.sqrt(4 * words.size)


@pytest.mark.parametrize(("dtype", "lattice"), [("float32", 24), ("float64", 53)])
def test_uniform_numbers_have_all_the_bits_of_their_dtype(dtype, lattice):
    drawn = value(random.uniform(KEY, (10_000,), dtype=dtype)).astype(np.float64) * 2.0**lattice
    np.testing.assert_array_equal(drawn, np.floor(drawn))
    assert np.mean(drawn % 2) == pytest.approx(0.5, abs=0.02)  # the last bit is drawn too


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers(dtype):
    drawn = value(random.normal(KEY, (100_000,), dtype=dtype), backend="llvm").astype(np.float64)
    assert kolmogorov(drawn, normal_cdf) < 1.95
    n = drawn.size
    for power, (mean, spread) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs((drawn**power).mean() - mean) < 4 * math.sqrt(spread / n), power
    moved = value(random.normal(KEY, (100_000,), 3.0, 0.25, dtype)).astype(np.float64)
    np.testing.assert_allclose(moved, 3 + 0.25 * drawn, rtol=4 * np.finfo(dtype).eps)


def test_the_tails_of_normal_numbers():
    """Of 4 million numbers some 250 are beyond 4 deviations; the most extreme words give the last quantiles."""
    drawn = np.abs(value(random.normal(KEY, (4_000_000,)), backend="llvm"))
    for bound in (3.0, 4.0, 4.5):
        expected = 2 * NormalDist().cdf(-bound) * drawn.size
        assert abs((drawn > bound).sum() - expected) < 4 * math.sqrt(expected)
    assert np.isfinite(drawn).all() and 4.7 < drawn.max() < 5.5


@pytest.mark.parametrize(
    ("low", "high"), [(-2.0, 2.0), (-0.5, 3.0), (1.0, 1.5), (3.0, math.inf), (-6.0, -5.0)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_truncated_normal_numbers(low, high, dtype):
    drawn = value(random.truncated_normal(KEY, (20_000,), low, high, dtype), backend="llvm")
    assert drawn.dtype == dtype and drawn.min() >= low and drawn.max() <= high
    sign = -1 if low > 0 else 1  # where the distribution function has its digits
    ends = sorted(NormalDist().cdf(sign * b) if math.isfinite(b) else 0.0 for b in (low, high))
    found = kolmogorov(sign * drawn, lambda x: (normal_cdf(x) - ends[0]) / (ends[1] - ends[0]))
    assert found < 1.95


def test_bernoulli():
    for p in (0.0, 1e-3, 0.25, 0.5, 0.9, 1.0):
        drawn = value(random.bernoulli(KEY, p, (100_000,)))
        assert abs(drawn.mean() - p) <= 4 * math.sqrt(p * (1 - p) / drawn.size)
    p = np.linspace(0, 1, 5)
    drawn = value(random.bernoulli(KEY, p, (20_000, 5)))
    assert np.abs(drawn.mean(0) - p).max() < 4 * math.sqrt(0.25 / 20_000)


def test_categorical():
    p = np.array([0.05, 0.4, 0.0, 0.25, 0.3])
    with np.errstate(divide="ignore"):
        logits = np.log(p) + 17.0
    drawn = value(random.categorical(KEY, logits, shape=(50_000,)))
    counts = np.bincount(drawn, minlength=5)
    assert drawn.dtype == np.int64 and counts[2] == 0
    assert chi_square(counts[p > 0], p[p > 0] * drawn.size) < 4
    rows = value(
        random.categorical(KEY, np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])), shape=(9000, 3))
    )
    assert np.abs(rows.mean(0) - [0.1, 0.8, 0.5]).max() < 0.02
    columns = value(random.categorical(KEY, np.array([[0.0, -50.0], [-50.0, 0.0]]), axis=0))
    assert columns.tolist() == [0, 1]


def test_permutations_are_all_equally_likely():
    keys = random.split(KEY, 3000)
    drawn = np.stack(_permutations(keys))
    np.testing.assert_array_equal(np.sort(drawn, -1), np.broadcast_to(np.arange(4), drawn.shape))
    _, counts = np.unique(drawn @ (4 ** np.arange(4)), return_counts=True)
    assert counts.size == 24 and chi_square(counts, np.full(24, 3000 / 24)) < 4


def _permutations(keys):
    key = sg.placeholder("key", (2,), "int32")
    draw = sg.compile(sg.define(y=random.permutation(key, 4)), backend="numpy")
    return [draw({"key": k})["y"] for k in value(keys)]


def test_permutation_of_a_tensor():
    x = np.arange(60.0).reshape(3, 20)
    drawn = value(random.permutation(KEY, x, 1), backend="llvm")
    order = value(random.permutation(KEY, 20))
    np.testing.assert_array_equal(drawn, x[:, order])
    assert not np.array_equal(drawn, x)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 6, "int64"), (-3, 4, "int32"), (5, 6, "int64"), (2**40, 2**40 + 9, "int64")],
)
def test_integers(low, high, dtype):
    drawn = value(random.integers(KEY, (70_000,), low, high, dtype), backend="llvm")
    assert drawn.dtype == dtype
    counts = np.bincount(drawn - low, minlength=high - low)
    assert counts.size == high - low
    assert counts.size == 1 or chi_square(counts, np.full(high - low, drawn.size / (high - low))) < 4


@pytest.mark.parametrize(("low", "high"), [(-(2**63), 2**63), (-(2**62), 2**63 - 2**61), (0, 2**34)])
def test_integers_of_a_wide_range(low, high):
    drawn = value(random.integers(KEY, (50_000,), low, high), backend="llvm")
    assert drawn.min() >= low and drawn.max() < high
    assert kolmogorov((drawn.astype(np.float64) - low) / (float(high) - low), lambda x: x) < 1.95
    assert abs((drawn & 1).mean() - 0.5) < 4 / math.sqrt(4 * drawn.size)


def test_bounds_of_integers_that_are_known_in_a_run():
    low, high = sg.placeholder("low", (3,), "int64"), sg.placeholder("high", (), "int64")
    drawn = random.integers(KEY, (1000, 3), low, high)
    for backend in BACKENDS:
        found = value(drawn, {"low": np.array([0, 9, 10]), "high": np.array(10)}, backend=backend)
        assert found[:, 0].min() == 0 and found[:, 0].max() == 9
        assert set(found[:, 1]) == {9} and set(found[:, 2]) == {10}  # of an empty range its start


def test_uniform_numbers_never_reach_the_upper_bound():
    for backend in BACKENDS:
        one = np.float32(1)
        up = np.nextafter(one, np.float32(2))
        drawn = value(random.uniform(KEY, (1000,), 1.0, float(up)), backend=backend)
        assert set(drawn) == {one}
        wide = value(random.uniform(KEY, (100_000,), 1000.0, 1000.001), backend=backend)
        assert wide.max() < np.float32(1000.001) and wide.min() >= 1000


# Keys apart


def test_keys_that_are_split_are_independent():
    """And from those that are folded in, but for the numbers of the rows: those are the same."""
    keys = random.split(KEY, 200)
    np.testing.assert_array_equal(value(keys)[7], value(random.fold_in(KEY, 7)))
    assert len({tuple(k) for k in value(keys)} | {tuple(value(KEY))}) == 201
    made = [*(random.uniform(keys[i], (4000,)) for i in range(12)), random.uniform(KEY, (4000,))]
    folded = [random.uniform(random.fold_in(KEY, i), (4000,)) for i in range(100, 112)]
    columns = value(sg.stack([*made, *folded]))
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 4.5 / math.sqrt(4000)
    flat = columns.ravel()
    assert (
        np.unique(flat).size > 0.99 * flat.size
    )  # 100,000 draws of 2**24: few coincide, no row repeats another


def test_one_bit_of_a_key_changes_half_of_the_bits():
    key = sg.placeholder("key", (2,), "int32")
    draw = sg.compile(sg.define(y=random.bits(key, (500,))), backend="numpy")
    first = draw({"key": np.array([3, 4], np.int32)})["y"]
    for bit in (0, 13, 31):
        other = draw({"key": np.array([3, 4 ^ np.int32(np.uint32(1 << bit).view(np.int32))], np.int32)})["y"]
        flipped = np.unpackbits((first ^ other).view(np.uint8)).mean()
        assert abs(flipped - 0.5) < 4.5 / math.sqrt(4 * 500 * 32)


# Gradients


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_reach_the_parameters(backend):
    mean, deviation = sg.placeholder("mean", (3,), "float64"), sg.placeholder("deviation", (), "float64")
    drawn = random.normal(KEY, (500, 3), mean, deviation, "float64")
    graph = sg.gradient(sg.define(loss=sg.sum(drawn)), "loss", ("mean", "deviation"))
    feeds = {"mean": np.zeros(3), "deviation": np.array(2.0)}
    found = list(sg.compile(graph, backend=backend)(feeds).values())[1:]
    np.testing.assert_allclose(found[0], [500.0] * 3)
    standard = value(random.normal(KEY, (500, 3), dtype="float64"))
    np.testing.assert_allclose(found[1], standard.sum(), rtol=1e-9)


# Rewriting


def test_equal_draws_are_drawn_once_and_keys_are_folded():
    first = random.uniform(random.fold_in(KEY, 3), (1000,))
    second = random.uniform(random.fold_in(KEY, 3), (1000,))
    graph = sg.compile(sg.define(y=first + second), backend="llvm").graph
    kinds = [n.op.name for n in _flat(graph)]
    assert kinds.count("threefry") == 1 and kinds.count("stack") == 0  # the key is a constant by now


def test_large_draws_stay_out_of_the_graph():
    graph = sg.compile(sg.define(y=random.normal(KEY, (2**20,))), backend="llvm").graph
    held = [n.op.value.array.nbytes for n in _flat(graph) if hasattr(n.op, "value")]
    assert max(held, default=0) <= 64
    executable = sg.compile(sg.define(y=random.normal(KEY, (2**20,))), backend="llvm")
    assert len(executable.source()) < 100_000


def _flat(graph):
    for node in graph.nodes:
        yield node
        if hasattr(node.op, "graph"):
            yield from _flat(node.op.graph)


def test_the_text_form_keeps_them():
    key = sg.placeholder("key", (2,), "int32")
    x = sg.placeholder("x", ("n", 5))
    made = {**everything(key, "n"), "dropped": sg.dropout(x, 0.1, key), "normal": random.normal(key, ("n",))}
    graph = sg.define(made)
    again = sg.from_text(sg.to_text(graph))
    assert again == graph
    feeds = {"key": np.array([1, 2], np.int32), "x": np.ones((7, 5), np.float32)}
    before, after = (sg.compile(g, backend="numpy")(feeds) for g in (graph, again))
    for name in made:
        np.testing.assert_array_equal(before[name], after[name])


# What is refused, at the line that wrote it

X = sg.placeholder("x", (3,))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: random.uniform(0, (3,)), GraphError, "a key is a tensor of two words"),
        (lambda: random.uniform(None, (3,)), GraphError, "a key is a tensor of two words"),
        (lambda: random.uniform(X, (3,)), DTypeError, "a key is int32, and this is f32"),
        (lambda: random.uniform(np.zeros(2, np.int64), (3,)), DTypeError, "a key is int32"),
        (
            lambda: random.normal(random.split(KEY), (3,)),
            ShapeError,
            r"has the shape \[2\], and this has \[2,2\]",
        ),
        (lambda: random.bits(np.zeros(3, np.int32)), ShapeError, r"and this has \[3\]"),
        (lambda: random.split(KEY, -1), ShapeError, "not negative"),
        (lambda: random.split(KEY, 1.5), ShapeError, "not a dimension"),
        (lambda: random.fold_in(KEY, -1), GraphError, "from 0 to 4294967295"),
        (lambda: random.fold_in(KEY, 2**32), GraphError, "from 0 to 4294967295"),
        (lambda: random.fold_in(KEY, "a"), GraphError, "whole number"),
        (lambda: random.fold_in(KEY, X), DTypeError, "an integer"),
        (lambda: random.fold_in(KEY, sg.arange(3)), ShapeError, "a scalar"),
        (lambda: random.key(1.0), GraphError, "whole number"),
        (lambda: random.key(True), GraphError, "whole number"),
        (lambda: random.key(2**64), GraphError, "from -9223372036854775808"),
        (lambda: random.key(X), DTypeError, "a seed is an integer"),
        (lambda: random.bits(KEY, (3,), "float32"), DTypeError, "int32 or int64"),
        (lambda: random.bits(KEY, (-3,)), ShapeError, "not negative"),
        (lambda: random.bits(KEY, (2**20, 2**20)), ShapeError, "2\\*\\*31 is the limit"),
        (lambda: random.uniform(KEY, (3,), 1.0, 1.0), GraphError, "low is below high"),
        (lambda: random.uniform(KEY, (3,), 2, 1), GraphError, "low is below high"),
        (lambda: random.uniform(KEY, (3,), math.nan), GraphError, "low is below high"),
        (lambda: random.uniform(KEY, (3,), 0.0, math.inf), GraphError, "finite"),
        (lambda: random.uniform(KEY, (3,), -3e38, 3e38), GraphError, "float32 holds no numbers"),
        (lambda: random.uniform(KEY, (3,), 1.0, 1.0 + 1e-12), GraphError, "float32 holds no numbers"),
        (lambda: random.uniform(KEY, (3,), 10**400), GraphError, "low is below high"),
        (lambda: random.uniform(KEY, (3,), 0, 10**400), GraphError, "a bound is a finite number"),
        (lambda: random.normal(KEY, (3,), 10**400), GraphError, "the mean is a finite number"),
        (lambda: random.truncated_normal(KEY, (3,), 10**400, 10**401), GraphError, "low is below high"),
        (lambda: random.bernoulli(KEY, 10**400), GraphError, "the probability is a finite number"),
        (lambda: random.key(10**400), GraphError, "a seed is from"),
        (lambda: random.uniform(KEY, (3,), dtype="int32"), DTypeError, "float32 or float64"),
        (lambda: random.uniform(KEY, (4,), X, 1.0), ShapeError, r"low has the shape \[3\]"),
        (lambda: random.normal(KEY, (3,), deviation=-1.0), GraphError, "not negative"),
        (lambda: random.normal(KEY, (3,), math.nan), GraphError, "finite"),
        (lambda: random.normal(KEY, (3,), dtype="bool"), DTypeError, "float32 or float64"),
        (lambda: random.truncated_normal(KEY, (3,), 2.0, -2.0), GraphError, "low is below high"),
        (lambda: random.truncated_normal(KEY, (3,), 9.0, 10.0), GraphError, "too little to draw from"),
        (lambda: random.bernoulli(KEY, 1.5), GraphError, "from 0 to 1"),
        (lambda: random.bernoulli(KEY, -0.1, (3,)), GraphError, "from 0 to 1"),
        (lambda: random.bernoulli(KEY, math.nan), GraphError, "finite"),
        (lambda: random.bernoulli(KEY, np.array([0.5, 1.5])), GraphError, "from 0 to 1"),
        (lambda: random.bernoulli(KEY, X, (4,)), ShapeError, "does not broadcast"),
        (lambda: random.categorical(KEY, X, 1), ShapeError, "no axis 1"),
        (lambda: random.categorical(KEY, np.zeros((2, 0))), ShapeError, "nothing to choose from"),
        (lambda: random.categorical(KEY, np.zeros((4, 3)), shape=(5,)), ShapeError, "does not broadcast"),
        (lambda: random.categorical(KEY, np.zeros((4, 3)), shape=()), ShapeError, "does not broadcast"),
        (lambda: random.permutation(KEY, -1), ShapeError, "not negative"),
        (lambda: random.permutation(KEY, X, 1), ShapeError, "no axis 1"),
        (lambda: random.permutation(KEY, 5, 1), ShapeError, "no axis 1"),
        (lambda: random.permutation(KEY, "n", 1), ShapeError, "no axis 1"),
        (lambda: random.integers(KEY, (3,), 5, 5), GraphError, "low is below high"),
        (lambda: random.integers(KEY, (3,)), GraphError, "high is missing"),
        (lambda: random.integers(KEY, (3,), 0, 2**31 + 1, "int32"), GraphError, "int32 does not hold"),
        (lambda: random.integers(KEY, (3,), 0.0, 3), DTypeError, "low is an integer"),
        (lambda: random.integers(KEY, (3,), 0, 3, "float32"), DTypeError, "int32 or int64"),
        (lambda: random.integers(KEY, (3,), 0, sg.arange(4)), ShapeError, "does not broadcast"),
        (lambda: sg.dropout(X, 1.0, KEY), GraphError, "up to but not including 1"),
        (lambda: sg.dropout(X, -0.1, KEY), GraphError, "up to but not including 1"),
        (lambda: sg.dropout(X, math.nan, KEY), GraphError, "up to but not including 1"),
        (lambda: sg.dropout(X, X, KEY), GraphError, "the rate is a number"),
        (lambda: sg.dropout(X, True, KEY), GraphError, "the rate is a number"),
        (lambda: sg.dropout(X, 0.5, 3), GraphError, "a key is a tensor"),
        (lambda: sg.dropout(X, 0.0, X), DTypeError, "a key is int32"),
        (
            lambda: sg.variable("k", (3,), "int32", init=sg.init.random_key),
            ShapeError,
            r"a random key is i32\[2\]",
        ),
        (lambda: sg.variable("k", (2,), init=sg.init.random_key), DTypeError, r"a random key is i32\[2\]"),
    ],
)
def test_what_is_refused(wrong, error, message):
    with pytest.raises(error, match=message) as caught:
        wrong()
    assert caught.value.source is not None and caught.value.source.file == __file__
    assert caught.value.hint and len(str(caught.value)) < 800


def test_a_size_that_is_too_large_in_a_run_is_an_error():
    x = sg.placeholder("x", ("n",))
    graph = sg.define(y=random.bits(KEY, ("n", 2**20)), x=x)
    with pytest.raises(FeedError, match="2\\*\\*31 is the limit"):
        sg.compile(graph, backend="numpy")({"x": np.zeros(2**12, np.float32)})
