"""The native sort against NumPy's stable one: every dtype, both ways, short rows and long ones, any strides."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.lowering.llvm import sorting, sweeps

pytest.importorskip("llvmlite", reason="the backend 'llvm' needs llvmlite: pip install 'symgraph[native]'")

DTYPES = ("float32", "float64", "int32", "int64", "bool")
SHAPES = [
    ((1,), 0), ((2,), 0), ((17,), 0), ((95,), 0), ((96,), 0), ((97,), 0), ((1000,), 0), ((70_000,), 0), ((5, 33), 1),
    ((33, 5), 0), ((3, 200, 2), 1), ((200, 4), 0), ((4, 1), 1), ((2, 3, 4, 5), 2), ((0, 3), 1), ((3, 0), 1),
    ((3, 0), 0),
]  # fmt: skip


def hostile(dtype, shape, seed=0):
    """Few distinct values, and for floats NaN, infinities, both zeros and denormals among them."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("int"):
        info = np.iinfo(dtype)
        pool = np.array([info.min, info.min + 1, -256, -1, 0, 1, 255, 256, 2**24, info.max], dtype)
    else:
        info = np.finfo(dtype)
        tiny = info.smallest_subnormal
        pool = np.array(
            [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, info.max, -info.max, 1.0, -1.0], dtype
        )
    drawn = pool[rng.integers(0, pool.size, shape)]
    return np.where(rng.random(shape) < 0.5, (rng.normal(size=shape) * 1000).astype(dtype), drawn)


def native(x, axis, descending, **options):
    e = sg.placeholder("x", x.shape, x.dtype)
    graph = sg.define(order=sg.argsort(e, axis, descending), sorted=sg.sort(e, axis, descending))
    return sg.compile(graph, backend="llvm", **options)


def expected(x, axis, descending):
    ranks = np.unique(x, return_inverse=True)[1].reshape(x.shape)  # NaN are one, and so are zeros
    return np.argsort(-ranks if descending else ranks, axis, kind="stable")


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_both_ways(dtype, shape, axis):
    for descending in (False, True):
        x = hostile(dtype, shape)
        run = native(x, axis, descending)
        for _ in range(2):  # the second call meets a used workspace
            found = run({"x": x})
            order = expected(x, axis, descending)
            np.testing.assert_array_equal(found["order"], order)
            np.testing.assert_array_equal(found["sorted"], np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_views_are_sorted_where_they_lie(dtype):
    x = hostile(dtype, (150, 40))
    e = sg.placeholder("x", x.shape, dtype)
    graph = sg.define(
        turned=sg.argsort(e.T, 0), part=sg.argsort(e[5:140:3, ::2], 0), back=sg.argsort(sg.flip(e, 0), 0),
        same=sg.argsort(sg.broadcast_to(e[:1], (120, 40)), 0),
    )  # fmt: skip
    found = sg.compile(graph, backend="llvm")({"x": x})
    np.testing.assert_array_equal(found["turned"], np.argsort(x.T, 0, kind="stable"))
    np.testing.assert_array_equal(found["part"], np.argsort(x[5:140:3, ::2], 0, kind="stable"))
    np.testing.assert_array_equal(found["back"], np.argsort(x[::-1], 0, kind="stable"))
    np.testing.assert_array_equal(found["same"], np.arange(120)[:, None] + np.zeros(40, int))


@pytest.mark.parametrize("length", [20, 300])
def test_rows_are_shared_by_threads(length, monkeypatch):
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    monkeypatch.setattr(sweeps, "CHUNK_COST", 1e-3)
    sorting.write_order.cache_clear()
    x = hostile("float64", (37, length))
    run = native(x, 1, False, threads=2)
    sorting.write_order.cache_clear()
    for _ in range(20):
        np.testing.assert_array_equal(run({"x": x})["order"], expected(x, 1, False))


def test_all_bytes_of_a_key_may_be_shared():
    """Then no byte takes a turn, and the order is as it was."""
    for dtype in DTYPES:
        x = np.ones(500, dtype)
        np.testing.assert_array_equal(native(x, 0, False)({"x": x})["order"], np.arange(500))
