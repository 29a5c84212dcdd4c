"""Types: the algebra of dimensions agrees with arithmetic on numbers, and texts read back."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from symgraph.errors import DTypeError, FeedError, ShapeError
from symgraph.types import (
    BOOL,
    DTYPES,
    FLOAT32,
    FLOAT64,
    INT32,
    INT64,
    LIMIT,
    Dim,
    TensorType,
    TupleType,
    as_dimension,
    as_shape,
    broadcast,
    dim,
    dimension_names,
    dtype_of,
    evaluate_dimension,
    exact_division,
    make_type,
    parse_dimension,
    product,
    promote,
    show_shape,
    solve,
    substitute,
)

NAMES = ("n", "m", "batch")
sizes = st.fixed_dictionaries({name: st.integers(0, 50) for name in NAMES})


def trees(depth: int = 3):
    """Pairs of a dimension and the function of sizes that it must equal."""
    leaves = st.one_of(
        st.integers(-4, 9).map(lambda i: (i, lambda s: i)),
        st.sampled_from(NAMES).map(lambda name: (dim(name), lambda s: s[name])),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda p: (p[0][0] + p[1][0], lambda s: p[0][1](s) + p[1][1](s))),
            st.tuples(inner, inner).map(lambda p: (p[0][0] - p[1][0], lambda s: p[0][1](s) - p[1][1](s))),
            st.tuples(inner, inner).map(lambda p: (p[0][0] * p[1][0], lambda s: p[0][1](s) * p[1][1](s))),
            st.tuples(inner, st.integers(1, 5)).map(
                lambda p: (p[0][0] // p[1], lambda s: p[0][1](s) // p[1])
            ),
        ),
        max_leaves=depth * 2,
    )


@given(trees(), sizes)
def test_algebra_agrees_with_numbers(tree, at) -> None:
    dimension, meaning = tree
    assert evaluate_dimension(dimension, at) == meaning(at)


@given(trees())
def test_texts_read_back(tree) -> None:
    dimension, _ = tree
    assert parse_dimension(str(dimension)) == dimension
    assert str(parse_dimension(str(dimension))) == str(dimension)
    assert " " not in str(dimension) and "," not in str(dimension) and "]" not in str(dimension)


@given(trees(), trees(), trees())
def test_ring_laws_hold_as_equality(a, b, c) -> None:
    x, y, z = a[0], b[0], c[0]
    assert x + y == y + x and x * y == y * x
    assert (x + y) + z == x + (y + z) and (x * y) * z == x * (y * z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0 and x + 0 == x and x * 1 == x and x * 0 == 0
    assert hash(x + y) == hash(y + x)


@given(trees(), trees(), sizes)
def test_exact_division_is_exact(a, b, at) -> None:
    x, y = a[0], b[0]
    assume(y != 0)
    assert exact_division(x * y, y) == x
    quotient = exact_division(x, y)
    if quotient is not None:
        assert quotient * y == x


def test_exact_division_knows_what_does_not_divide() -> None:
    n = dim("n")
    assert exact_division(n, 2) is None
    assert exact_division(n + 1, n) is None
    assert exact_division(7, n) is None
    assert exact_division(n * n - 1, n + 1) == n - 1
    assert exact_division(5, 0) is None
    assert exact_division(n, 0) is None


@given(st.integers(1, 9), st.integers(-9, 9), st.integers(0, 99), st.sampled_from(NAMES))
def test_solve_inverts_what_is_linear(slope, offset, size, name) -> None:
    dimension = dim(name) * slope + offset
    assert solve(dimension, evaluate_dimension(dimension, {name: size}), {}) == (name, size)
    other = solve(dimension, slope * size + offset + 1, {})
    assert other is None if slope > 1 else other == (name, size + 1)


def test_solve_leaves_alone_what_it_cannot() -> None:
    n, m = dim("n"), dim("m")
    assert solve(n * m, 6, {}) is None
    assert solve(n * m, 6, {"m": 3}) == ("n", 2)
    assert solve(n * n, 9, {}) is None
    assert solve(n + 5, 3, {}) is None
    assert solve(n, 3, {"n": 3}) is None
    assert solve(n * m, 0, {"m": 0}) is None


def test_a_quotient_among_factors_keeps_its_parentheses() -> None:
    half = (dim("n") + 1) // 2
    assert [str(d) for d in (half, half * 2, -half, half * half, half * dim("m"))] == [
        "(n+1)//2",
        "2*((n+1)//2)",
        "-((n+1)//2)",
        "((n+1)//2)**2",
        "((n+1)//2)*m",
    ]


@pytest.mark.parametrize(
    "text", ["", "n+", "2 3", "n n", "(n", "n)", "n**n", "n**-1", "1.5", "n//0", "*", "n//m", "é", "n;m"]
)
def test_malformed_dimensions(text) -> None:
    with pytest.raises(ShapeError):
        parse_dimension(text)


@pytest.mark.parametrize(
    "text",
    [
        "(a+b+c+d+e+f)**16",
        "9**16**16**16",
        "n" + "//2" * 5000,
        "(" * 50_000,
        "*".join(f"n{i}" for i in range(5000)),
        "+".join(f"n{i}" for i in range(5000)),
        "((a+b+1)**16)**16",
        "9" * 9999,
        "7//n",
    ],
    ids=lambda t: t[:12],
)
def test_hostile_dimensions_are_errors_at_once(text) -> None:
    with pytest.raises(ShapeError):
        parse_dimension(text)


def test_names_are_identifiers() -> None:
    assert dim("batch_2") == parse_dimension("batch_2")
    for bad in ("", "2n", "a b", "n+1", "ñ", None, 3):
        with pytest.raises(ShapeError):
            dim(bad)
    assert dimension_names((dim("n") + dim("m")) // 2 * 3 + dim("k")) == {"n", "m", "k"}


def test_shapes() -> None:
    assert as_shape(("batch", 2, "2*n+1")) == (dim("batch"), 2, dim("n") * 2 + 1)
    assert as_shape(5) == (5,) and as_shape("n") == (dim("n"),) and as_shape(np.int64(3)) == (3,)
    assert as_dimension(np.int32(3)) == 3 and type(as_dimension(np.int32(3))) is int
    assert show_shape(as_shape(("n", 1))) == "[n,1]"
    for bad in (-1, True, 1.5, None, LIMIT + 1, (1,) * 33, (None,), ("n", -2)):
        with pytest.raises(ShapeError):
            as_shape(bad)


@given(st.lists(st.lists(st.sampled_from([1, 2, 3]), max_size=3), min_size=1, max_size=3))
def test_broadcast_is_that_of_numpy(shapes) -> None:
    shapes = [tuple(shape) for shape in shapes]
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError):
            broadcast(*shapes)
    else:
        assert broadcast(*shapes) == expected


def test_broadcast_of_named_sizes() -> None:
    n, m = dim("n"), dim("m")
    assert broadcast((n, 1), (1, 3), (3,)) == (n, 3)
    assert broadcast((n + 1,), (1 + n,)) == (n + 1,)
    for a, b in (((n,), (m,)), ((n,), (128,)), ((n,), (n + 1,))):
        with pytest.raises(ShapeError, match="do not broadcast"):
            broadcast(a, b)


def test_substitute_and_product() -> None:
    n = dim("n")
    assert substitute((n - 1, 3), {"n": 5}) == (4, 3)
    with pytest.raises(FeedError, match="comes out as -1 with n=2"):
        substitute((n - 3,), {"n": 2})
    assert product((n, 28, 28)) == n * 784 and product(()) == 1 and product((n, 0)) == 0


def test_promotion_is_a_lattice() -> None:
    assert (
        promote(FLOAT32, INT64) == FLOAT32
        and promote(INT32, BOOL) == INT32
        and promote(INT32, INT64) == INT64
    )
    for a in DTYPES:
        assert promote(a) == a == promote(a, a)
        for b in DTYPES:
            assert promote(a, b) == promote(b, a)
            for c in DTYPES:
                assert promote(promote(a, b), c) == promote(a, promote(b, c))


def test_dtypes() -> None:
    assert [dtype_of(name) for name in ("f32", "f64", "i32", "i64", "bool")] == list(DTYPES)
    assert dtype_of("float32") == dtype_of(np.float32) == FLOAT32 and dtype_of(float) == FLOAT64
    for bad in ("float16", "complex64", "x", object, np.uint8, 3):
        with pytest.raises(DTypeError):
            dtype_of(bad)


def test_types_print_compare_and_hash() -> None:
    type_ = TensorType("float32", ("batch", 784))
    assert str(type_) == "f32[batch,784]" and str(TensorType("bool")) == "bool[]"
    same = make_type(FLOAT32, (dim("batch"), 784))
    assert same == type_ and hash(same) == hash(type_)
    assert type_ != TensorType("float64", ("batch", 784)) != TensorType("float64", ("n", 784))
    assert (
        type_.with_dtype(FLOAT64).with_shape(()) == TensorType("float64")
        and type_.rank == 2
        and type_.is_float
    )
    assert type_.size == dim("batch") * 784
    assert str(TupleType((type_, TensorType("int64")))) == "(f32[batch,784], i64[])"
    assert isinstance(type_.shape[0], Dim)
