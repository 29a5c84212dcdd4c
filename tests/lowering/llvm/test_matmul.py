"""Matrix products in native code: against NumPy in float64, at every vector width, with epilogues."""

import ctypes
from collections.abc import Callable
from functools import lru_cache

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.lowering.llvm.emit import I64, PTR, Builder, Value, constant, integer
from symgraph.lowering.llvm.jit import Loaded, load, module_text, object_code
from symgraph.lowering.llvm.matmul import Epilogue, Product, Store, Tiling, plan, write
from symgraph.lowering.llvm.matmul.spans import at
from symgraph.lowering.llvm.target import Target, host

pytest.importorskip("llvmlite", reason="the native backend is an optional extra: symgraph[native]")

_FEATURES = {16: "+sse2", 32: "+sse2,+avx,+avx2,+fma"}
DTYPES = ("float32", "float64", "int32", "int64")

Epilogues = Callable[[Value, Value], Epilogue]


def targets() -> list[Target]:
    """Every width that this machine can run."""
    own = host()
    if not own.triple.startswith("x86_64"):
        return [own]
    return [Target(w, 16, _FEATURES[w], own.triple) for w in (16, 32) if w < own.width] + [own]


@attrs.frozen(eq=False)
class Compiled:
    """A product that can be run chunk by chunk."""

    tiling: Tiling
    loaded: Loaded
    text: str

    def __call__(self, a: np.ndarray, b: np.ndarray, out: np.ndarray, order: list[int] | None = None) -> None:
        """Run the chunks in an order; scratch starts as NaN and is each chunk's own."""
        run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64)(self.loaded.addresses["run"])
        scratch = np.full(self.tiling.scratch + 4096, 255, np.uint8)
        place = -scratch.ctypes.data % 64 + 2048
        for chunk in range(self.tiling.chunks) if order is None else order:
            run(a.ctypes.data, b.ctypes.data, out.ctypes.data, scratch.ctypes.data + place, chunk)
        assert (scratch[:place] == 255).all() and (scratch[place + self.tiling.scratch :] == 255).all()


@lru_cache(64)
def compiled(product: Product, target: Target, epilogues: Epilogues | None = None, most: int = 8) -> Compiled:
    """A function of (A, B, C, scratch, chunk); the epilogue is made of C's address."""
    tiling, b = plan(product, target, most), Builder()
    a, matrix, c, scratch = (Value(f"%{name}", PTR) for name in "abcs")
    b.label("entry")
    epilogue = Store(c, product.N) if epilogues is None else epilogues(c, matrix)
    write(b, product, tiling, a, matrix, scratch, Value("%chunk", I64), epilogue, target)
    body = "\n".join([*b.lines, "  ret void"])
    function = f"define void @run(ptr %a, ptr %b, ptr %c, ptr %s, i64 %chunk) #0 {{\n{body}\n}}\n"
    text = module_text([function], list(b.intrinsics.values()), target)
    return Compiled(tiling, load(object_code(text, target), ["run"]), text)


def random_matrix(rng: np.random.Generator, rows: int, columns: int, layout: str, dtype: str) -> np.ndarray:
    """Rows by columns, in a layout: N as usual, T transposed, - back to front, 0 one row, 1 one column, s with
    gaps.
    """
    shape = {"T": (columns, rows), "0": (1, columns), "1": (rows, 1), "s": (rows + 1, 2 * columns + 3)}
    size = shape.get(layout, (rows, columns))
    if dtype.startswith("int"):
        limit = np.iinfo(dtype).max
        x = rng.integers(-limit, limit, size, dtype=dtype)
    else:
        x = rng.normal(size=size).astype(dtype)
    if layout == "s":
        return x[:rows, 3::2][:, :columns]
    if layout == "-":
        return x[::-1, ::-1]
    return np.broadcast_to(x.T if layout == "T" else x, (rows, columns))


def of(a: np.ndarray, b: np.ndarray) -> Product:
    """The product of two arrays as they lie in memory."""
    size = a.itemsize
    (m, k), n = a.shape, b.shape[1]
    first, second = (tuple(s // size for s in x.strides) for x in (a, b))
    return Product(m, n, k, first, second, a.dtype)


def assert_product(got: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Integers to the bit, floats within the bound of a sum of K products in any order."""
    if got.dtype.kind == "i":
        np.testing.assert_array_equal(got, a @ b)
        return
    wide = np.longdouble if got.dtype == np.float64 else np.float64
    want, size = a.astype(wide) @ b.astype(wide), np.abs(a.astype(wide)) @ np.abs(b.astype(wide))
    bound = (a.shape[1] + 1) * np.finfo(got.dtype).eps * size
    assert (np.abs(got - want) <= bound).all()


SIZES = st.sampled_from([0, 1, 1, 2, 3, 4, 5, 7, 8, 10, 13, 16, 17, 31, 37, 64, 67, 130])


@settings(max_examples=60, deadline=None)
@given(
    SIZES,
    SIZES,
    SIZES,
    st.sampled_from("NNTT-01s"),
    st.sampled_from("NNTT-01s"),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32),
    st.sampled_from(targets()),
    st.booleans(),
)
def test_agrees_with_numpy_whatever_the_layout(
    m: int, n: int, k: int, la: str, lb: str, dtype: str, seed: int, target: Target, single: bool
) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_matrix(rng, m, k, la, dtype), random_matrix(rng, k, n, lb, dtype)
    guard = 8
    c = np.full(m * n + 2 * guard, 77, dtype)
    out = c[guard : guard + m * n].reshape(m, n)
    compiled(of(a, b), target, None, 1 if single else 8)(a, b, out)
    assert_product(out, a, b)
    assert (c[:guard] == 77).all() and (c[c.size - guard :] == 77).all()


SHAPES = [
    ("NN", 128, 512, 100), ("TN", 300, 200, 64), ("TN", 784, 67, 40), ("NN", 128, 10, 512), ("TN", 512, 10, 128),
    ("NT", 128, 512, 10), ("NT", 70, 130, 150), ("NN", 1000, 1, 300), ("TN", 300, 1, 500), ("NN", 1, 512, 300),
    ("NT", 1, 517, 301), ("TT", 90, 110, 130), ("TN", 300, 2, 40), ("TN", 131, 7, 33), ("NN", 3, 8, 700),
    ("NN", 1, 1, 1000), ("NT", 97, 1, 1100), ("NN", 40, 1024, 30),
]  # fmt: skip


def arrays(kind: str, m: int, n: int, k: int, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(m + n + k)
    return random_matrix(rng, m, k, kind[0], dtype), random_matrix(rng, k, n, kind[1], dtype)


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{8 * t.width}bit")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_sizes_of_training_in_any_order_of_the_chunks(
    shape: tuple[str, int, int, int], target: Target
) -> None:
    a, b = arrays(*shape)
    run = compiled(of(a, b), target)
    c, again = np.empty((2, *shape[1:3]), "float32")
    run(a, b, c)
    run(a, b, again, list(range(run.tiling.chunks))[::-1])
    assert_product(c, a, b)
    assert c.tobytes() == again.tobytes()


@attrs.frozen
class BiasRelu:
    """max(acc + bias, 0) to one place and the sum before it to another; the bias is the first row of B."""

    c: Value
    bias: Value
    shape: tuple[int, int]

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None:
        bias = b.load(acc.type, at(b, self.bias, column, 4), mask)
        total = b.add(acc, bias)
        place = at(b, at(b, self.c, row, 4 * self.shape[1]), column, 4)
        b.store(total, place, mask)
        b.store(
            b.binary("maxnum", total, constant(acc.type, 0)),
            b.offset(place, integer(4 * self.shape[0] * self.shape[1])),
            mask,
        )


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{8 * t.width}bit")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_an_epilogue_sees_every_sum_once(shape: tuple[str, int, int, int], target: Target) -> None:
    kind, m, n, k = shape
    a, b = arrays(kind[0] + "N", m, n, k)
    got, plain = np.full((2, m, n), np.nan, "float32"), np.empty((m, n), "float32")
    compiled(of(a, b), target, lambda c, bias: BiasRelu(c, bias, (m, n)))(a, b, got)
    compiled(of(a, b), target)(a, b, plain)
    np.testing.assert_array_equal(got[0], plain + b[0])
    np.testing.assert_array_equal(got[1], np.maximum(plain + b[0], 0))


@attrs.frozen
class Cosine:
    """A long epilogue: cos by 20 terms of its series at acc / 100."""

    c: Value
    columns: int

    def __call__(self, b: Builder, acc: Value, row: Value, column: Value, mask: Value | None) -> None:
        x = b.mul(acc, constant(acc.type, 0.01))
        square, term = b.neg(b.mul(x, x)), constant(acc.type, 1)
        total = term
        for n in range(1, 21):
            term = b.mul(term, b.mul(square, constant(acc.type, 1 / (2 * n * (2 * n - 1)))))
            total = b.add(total, term)
        b.store(total, at(b, at(b, self.c, row, 8 * self.columns), column, 8), mask)


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{8 * t.width}bit")
@pytest.mark.parametrize("shape", SHAPES[:6], ids=lambda s: "x".join(map(str, s)))
def test_a_long_epilogue_is_written_few_times(shape: tuple[str, int, int, int], target: Target) -> None:
    kind, m, n, k = shape
    a, b = arrays(kind, m, n, k, "float64")
    got = np.full((m, n), np.nan)
    run = compiled(of(a, b), target, lambda c, _: Cosine(c, n))
    run(a, b, got)
    np.testing.assert_allclose(got, np.cos(a @ b / 100), rtol=0, atol=1e-13)
    assert run.text.count("fneg") <= 8


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{8 * t.width}bit")
@pytest.mark.parametrize("kind", ["NN", "NT", "TN", "TT"])
def test_deep_products_keep_sums_between_blocks_of_k(
    kind: str, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = arrays(kind, 130, 90, 301)
    whole, blocked = np.empty((2, 130, 90), "float32")
    compiled(of(a, b), target)(a, b, whole)
    monkeypatch.setattr("symgraph.lowering.llvm.matmul.tiling._MIDDLE", 2048)
    compiled.cache_clear()
    run = compiled(of(a, b), target)
    compiled.cache_clear()
    assert run.tiling.depth < 301
    run(a, b, blocked)
    assert_product(blocked, a, b)
    np.testing.assert_array_equal(blocked, whole)


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"{8 * t.width}bit")
@pytest.mark.parametrize("kind", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("size", [(5, 3, 7), (70, 67, 33), (1, 37, 50), (37, 1, 50)], ids=str)
def test_infinity_and_nan_stay_in_their_row_and_column(
    size: tuple[int, int, int], kind: str, target: Target
) -> None:
    m, n, k = size
    a, b = (x.copy(order="F" if t == "T" else "C") for x, t in zip(arrays("NN", m, n, k), kind, strict=True))
    a[m - 1, 0], b[1, n - 1] = np.inf, np.nan
    b[0] = 1.0
    c = np.empty((m, n), "float32")
    compiled(of(a, b), target)(a, b, c)
    assert np.isnan(c[:, n - 1]).all()
    assert np.isposinf(c[m - 1, : n - 1]).all()
    assert np.isfinite(c[: m - 1, : n - 1]).all()


def test_small_products_are_one_chunk_and_large_ones_several() -> None:
    small, large = of(*arrays("NN", 50, 10, 2)), of(*arrays("NN", 128, 512, 100))
    assert plan(small, host()).chunks == 1
    assert plan(large, host()).chunks in (4, 8)
    assert plan(large, host(), 1).chunks == 1
