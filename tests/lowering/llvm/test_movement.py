"""Kernels that move elements, index, scan, find extremes and check: against the ops' own `evaluate`, bit for bit,
at every vector width, on operands that lie in memory in every way.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph import ops
from symgraph.compile import compile
from symgraph.define import define
from symgraph.errors import ExecutionError
from symgraph.expr import Expr, constant, placeholder
from symgraph.ir import Constant, Placeholder
from symgraph.lowering.llvm import movement, program
from symgraph.lowering.llvm.planner import Planner, supported
from symgraph.lowering.llvm.target import Target, host
from symgraph.ops.control import AssertIndex
from symgraph.ops.cumulative import ExclusiveCumProd, Recurrence
from symgraph.ops.indexing import Iota, ScatterAdd
from symgraph.ops.slicing import Pad
from tests.cases import Case, all_cases

pytest.importorskip("llvmlite", reason="the native backend is an optional extra: symgraph[native]")

_FEATURES = {16: "+sse2", 32: "+sse2,+avx,+avx2,+fma"}
DTYPES = ("float32", "float64", "int32", "int64", "bool")
NUMBERS = DTYPES[:4]
LAYOUTS = ("plain", "transposed", "flipped", "cut", "broadcast")


def targets() -> list[Target]:
    """Every width that this machine can run."""
    own = host()
    if not own.triple.startswith("x86_64"):
        return [own]
    return [Target(w, 16, _FEATURES[w], own.triple) for w in (16, 32) if w < own.width] + [own]


TARGETS = st.sampled_from(targets())


class Inputs:
    """Placeholders of drawn layouts and values, and the feeds for them."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw
        self._rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.feeds: dict[str, np.ndarray] = {}

    def values(self, shape: tuple[int, ...], dtype: str, special: bool = True) -> np.ndarray:
        """Few different numbers, so that some are equal; among floats a NaN, infinities and -0."""
        numbers = self._rng.integers(-3, 4, shape)
        if dtype == "bool":
            return numbers > 0
        made = np.asarray(numbers * (1.25 if dtype.startswith("float") else 1)).astype(dtype)
        if special and dtype.startswith("float"):
            odd = np.array([np.nan, np.inf, -np.inf, -0.0], dtype)
            made = np.where(self._rng.random(shape) < 0.04, self._rng.choice(odd, shape), made)
        return made

    def __call__(self, shape: tuple[int, ...], dtype: str, special: bool = True) -> Expr:
        """An operand of some shape."""
        return self.given(shape, dtype, lambda base: self.values(base, dtype, special))

    def indices(self, shape: tuple[int, ...], size: int) -> Expr:
        """Indices into so many elements, counted from both ends; several are equal."""
        dtype = self._draw(st.sampled_from(("int32", "int64")))
        return self.given(shape, dtype, lambda base: self._rng.integers(-size, size, base).astype(dtype))

    def given(self, shape: tuple[int, ...], dtype: str, make: Callable[..., np.ndarray]) -> Expr:
        layout = self._draw(st.sampled_from(LAYOUTS))
        rank, base = len(shape), shape
        if layout == "transposed":
            base = shape[::-1]
        elif layout == "cut":
            base = tuple(2 * n + 1 for n in shape)
        elif layout == "broadcast":
            base = (*shape[:-1], 1) if self._draw(st.booleans()) else (1, *shape[1:])
            base = base if rank else ()
        name = f"x{len(self.feeds)}"
        self.feeds[name] = make(base)
        x = placeholder(name, base, dtype)
        if layout == "transposed":
            return ops.transpose(x, tuple(range(rank))[::-1])
        if layout == "flipped":
            return ops.flip(x)
        if layout == "cut":
            return x[tuple(slice(1, 2 * n + 1, 2) for n in shape)]
        return ops.broadcast_to(x, shape) if layout == "broadcast" else x


def native(outputs: dict[str, Expr], target: Target, numerics: Any = "bitwise", at_once: bool = False) -> Any:
    """The graph compiled for a machine; nothing in it is a call back to Python."""
    graph = define(outputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "host", lambda: target)
        patch.setattr(Planner, "call_back", _no_call_back)
        return compile(graph, backend="llvm", numerics=numerics, passes=(), threads=1 if at_once else 2)


def _no_call_back(planner: Planner, node: Any, operands: Any) -> Any:
    raise AssertionError(f"{node.op.name} is called back")


def interpreted(outputs: dict[str, Expr]) -> Any:
    return compile(define(outputs), backend="interpreter", passes=())


def assert_same_bits(got: np.ndarray, wanted: np.ndarray, name: str = "") -> None:
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), name
    np.testing.assert_array_equal(got, wanted, name)
    if got.dtype.kind == "f":
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(wanted)[number], name)


def check(
    outputs: dict[str, Expr], feeds: dict[str, np.ndarray], target: Target, numerics: Any = "bitwise"
) -> None:
    """Native code gives what the interpreter gives, a second time too."""
    feeds = {k: v for k, v in feeds.items() if k in define(outputs).placeholders}
    run, wanted = native(outputs, target, numerics), interpreted(outputs)(feeds)
    for _ in range(2):
        got = run(feeds)
        for name in outputs:
            assert_same_bits(got[name], wanted[name], name)


def shapes(least: int = 1, most: int = 3, longest: int = 40) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of some axes, among them short ones and ones of several vectors and a rest."""
    sizes = st.one_of(st.integers(1, 5), st.integers(1, longest))
    return st.lists(sizes, min_size=least, max_size=most).map(tuple).filter(lambda s: np.prod(s) <= 4000)


def longer(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


@given(st.data(), TARGETS, shapes(), st.sampled_from(DTYPES))
@settings(max_examples=20, deadline=None)
def test_concatenate_and_pad(data, target, shape, dtype):
    x, rank = Inputs(data.draw), len(shape)
    axis = data.draw(st.integers(0, rank - 1))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=4))
    parts = [x(longer(shape, axis, n), dtype) for n in sizes]
    steps = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    starts = tuple(data.draw(st.integers(0, 4)) for _ in shape)
    ends = tuple(data.draw(st.integers(0, 4)) for _ in shape)
    whole = tuple(a + (n - 1) * k + 1 + e for a, n, k, e in zip(starts, shape, steps, ends, strict=True))
    inside, value = x(shape, dtype), x((), dtype)
    outputs = {
        "joined": ops.concatenate(parts, axis),
        "padded": ops.apply(Pad(starts, whole, steps), inside, value),
        "rolled": ops.roll(inside, data.draw(st.integers(-3, 9)), axis),
        "edges": ops.pad(inside, 1, mode="edge"),
    }
    check(outputs, x.feeds, target)


@given(st.data(), TARGETS, shapes(), shapes(0, 2, 30), st.sampled_from(DTYPES))
@settings(max_examples=20, deadline=None)
def test_take_and_gather(data, target, shape, chosen, dtype):
    x = Inputs(data.draw)
    axis = data.draw(st.integers(0, len(shape) - 1))
    table = x(shape, dtype)
    along = x.indices(longer(shape, axis, data.draw(st.integers(1, 40))), shape[axis])
    outputs = {
        "taken": ops.take(table, x.indices(chosen, shape[axis]), axis),
        "one": ops.take(table, x.indices((), shape[axis]), axis),
        "gathered": ops.gather(table, along, axis),
        "picked": ops.gather(table, x.indices(longer(shape, axis, 1), shape[axis]), axis),
    }
    check(outputs, x.feeds, target)


@given(st.data(), TARGETS, shapes(), shapes(0, 2, 30), st.sampled_from(NUMBERS))
@settings(max_examples=20, deadline=None)
def test_adding_to_places(data, target, shape, chosen, dtype):
    """The numbers are such that sums are exact in any order."""
    x = Inputs(data.draw)
    axis = data.draw(st.integers(0, len(shape) - 1))
    table, zeros = x(shape, dtype, special=False), constant(np.zeros(shape, dtype))
    size, count = shape[axis], data.draw(st.integers(1, 40))
    rows = (*shape[:axis], *chosen, *shape[axis + 1 :])
    along = longer(shape, axis, count)
    single = longer(shape, axis, 1)
    outputs = {
        "rows": ops.scatter_add(table, x.indices(chosen, size), x(rows, dtype, special=False), axis),
        "to zeros": ops.scatter_add(zeros, x.indices(chosen, size), x(rows, dtype, special=False), axis),
        "along": ops.scatter_add_along(table, x.indices(along, size), x(along, dtype, special=False), axis),
        "picked": ops.scatter_add_along(
            zeros, x.indices(single, size), x(single, dtype, special=False), axis
        ),
    }
    check(outputs, x.feeds, target, "safe")


@given(st.data(), TARGETS, shapes(), st.sampled_from(NUMBERS), st.booleans())
@settings(max_examples=20, deadline=None)
def test_scans_in_order(data, target, shape, dtype, reverse):
    x = Inputs(data.draw)
    axis = data.draw(st.integers(0, len(shape) - 1))
    outputs = {
        "sum": ops.cumsum(x(shape, dtype), axis, reverse),
        "product": ops.apply(ExclusiveCumProd(axis, reverse), x(shape, dtype)),
        "recurrence": ops.apply(Recurrence(axis, reverse), x(shape, dtype), x(shape, dtype)),
    }
    check(outputs, x.feeds, target)


@given(st.data(), TARGETS, st.integers(1, 300), st.integers(1, 3), st.booleans())
@settings(max_examples=20, deadline=None)
def test_scans_where_rounding_is_free(data, target, size, rows, reverse):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = placeholder("x", (rows, size), data.draw(st.sampled_from(("float32", "float64"))))
    values = rng.uniform(0.9, 1.1, (rows, size)).astype(x.dtype)
    outputs = {
        "sum": ops.cumsum(x, 1, reverse),
        "product": ops.apply(ExclusiveCumProd(1, reverse), x),
        "recurrence": ops.apply(Recurrence(1, reverse), x * 0.9, x),
    }
    wide = {
        k: interpreted(v)({"x": values.astype(np.float64)}) for k, v in _wide(size, rows, reverse).items()
    }
    got = native(outputs, target, "safe")({"x": values})
    for name, wanted in wide.items():
        np.testing.assert_allclose(got[name], wanted["y"], rtol=size * np.finfo(x.dtype).eps)


def _wide(size: int, rows: int, reverse: bool) -> dict[str, dict[str, Expr]]:
    """The same in float64."""
    x = placeholder("x", (rows, size), "float64")
    return {
        "sum": {"y": ops.cumsum(x, 1, reverse)},
        "product": {"y": ops.apply(ExclusiveCumProd(1, reverse), x)},
        "recurrence": {"y": ops.apply(Recurrence(1, reverse), x * 0.9, x)},
    }


@given(st.data(), TARGETS, shapes(longest=150), st.sampled_from(DTYPES), st.booleans())
@settings(max_examples=25, deadline=None)
def test_extremes(data, target, shape, dtype, keepdims):
    x = Inputs(data.draw)
    axis = data.draw(st.integers(0, len(shape) - 1))
    one, other = x(shape, dtype), x(shape, dtype)
    outputs = {
        "largest": ops.argmax(one, axis, keepdims),
        "smallest": ops.argmin(other, axis, keepdims),
        "of all": ops.argmax(other),
        "least of all": ops.argmin(one, keepdims=keepdims),
    }
    check(outputs, x.feeds, target)


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"width {t.width}")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, 16, 100, 333])
def test_one_nan_wins_wherever_it_stands(target, dtype, size):
    x = placeholder("x", (size,), dtype)
    run = native({"a": ops.argmax(x), "b": ops.argmin(x)}, target)
    values = np.random.default_rng(size).normal(size=size).astype(dtype)
    for place in {0, size // 3, size // 2, size - 1}:
        odd = values.copy()
        odd[place:][:: max(1, size // 4)] = np.nan
        assert run({"x": odd})["a"] == run({"x": odd})["b"] == place
    assert run({"x": np.full(size, -np.inf, dtype)})["a"] == 0
    assert run({"x": np.zeros(size, dtype)})["b"] == 0


def test_extremes_amid_elementwise_ops():
    """A region around an argmax is kernels before and after it."""
    x, w = placeholder("x", (7, 5)), placeholder("w", (5, 9))
    y = ops.tanh(x @ w) + 1
    best = ops.argmax(y * 2, 1)
    again = ops.argmin(ops.cast(best, "float32")[:, None] * y, 1, keepdims=True)
    outputs = {
        "best": best,
        "more": ops.cast(best, "float32") * 2 + ops.sum(y, 1),
        "again": again * 3 + 1,
        "y": y,
    }
    rng = np.random.default_rng(0)
    feeds = {"x": rng.normal(size=(7, 5)).astype("float32"), "w": rng.normal(size=(5, 9)).astype("float32")}
    got, wanted = native(outputs, host(), "safe")(feeds), interpreted(outputs)(feeds)
    for name in outputs:
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(got["again"], wanted["again"])


@given(st.data(), TARGETS, shapes(longest=200))
@settings(max_examples=20, deadline=None)
def test_checks_pass_what_is_right(data, target, shape):
    x = Inputs(data.draw)
    numbers = x(shape, data.draw(st.sampled_from(NUMBERS)), special=False)
    places = x.given(shape, "int32", lambda base: np.full(base, 3, "int32"))
    outputs = {
        "finite": ops.assert_finite(numbers) + 1,
        "index": ops.apply(AssertIndex(4, "the label"), places) + 1,
    }
    check(outputs, x.feeds, target)


def same_error(outputs: dict[str, Expr], feeds: dict[str, np.ndarray], target: Target) -> str:
    """The message of the error that both backends raise; afterwards the program still runs."""
    run = native(outputs, target, "safe")
    with pytest.raises(ExecutionError) as wanted:
        interpreted(outputs)(feeds)
    for _ in range(2):
        with pytest.raises(ExecutionError) as got:
            run(feeds)
        assert (got.value.message, got.value.hint) == (wanted.value.message, wanted.value.hint)
        assert got.value.source == wanted.value.source
    return str(got.value.message)


@given(st.data(), TARGETS, shapes(longest=200), st.sampled_from(("float32", "float64")))
@settings(max_examples=12, deadline=None)
def test_what_is_not_finite_stops_the_step(data, target, shape, dtype):
    values = np.ones(shape, dtype)
    x = placeholder("x", shape[::-1], dtype)
    at = data.draw(st.integers(0, values.size - 1))
    values.reshape(-1)[at] = data.draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    y = ops.assert_finite(ops.transpose(x, tuple(range(len(shape)))[::-1]), label="loss")
    assert "loss: 1 of" in same_error({"y": y}, {"x": values.T}, target)


@given(st.data(), TARGETS, shapes(1, 2, 100), st.sampled_from(("int32", "int64")))
@settings(max_examples=20, deadline=None)
def test_an_index_out_of_range_stops_the_step(data, target, shape, dtype):
    size = shape[0]
    table, columns = placeholder("table", (size, 3)), len(shape) == 2
    indices = placeholder("indices", shape, dtype)
    limits = np.iinfo(dtype)
    values = np.zeros(shape, dtype)
    at = data.draw(st.integers(0, values.size - 1))
    values.reshape(-1)[at] = data.draw(st.sampled_from((size, -size - 1, limits.max, limits.min)))
    wide = ops.broadcast_to(table[:, :1], (size, shape[1])) if columns else table[:, 0]
    uses: list[Expr] = [
        ops.take(table, indices, 0),
        ops.scatter_add(table, indices, 1.0),
        ops.gather(wide, indices, 0),
        ops.scatter_add_along(wide, indices, 1.0, 0),
    ]
    feeds = {"table": np.ones((size, 3), "float32"), "indices": values}
    use = data.draw(st.sampled_from(uses))
    assert "is out of range along axis 0" in same_error({"y": use}, feeds, target)


def test_a_label_out_of_range_stops_the_step():
    x = placeholder("x", (5,), "int64")
    outputs = {"y": ops.apply(AssertIndex(4, "the label"), x)}
    for wrong in (4, -1, 2**62, -(2**63)):
        message = same_error(outputs, {"x": np.array([0, 3, wrong, 1, 2])}, host())
        assert message.startswith(f"the label is {wrong} at [2]")


def test_nothing_is_written_before_indices_are_checked():
    """A wrong index into a small table would be far outside of all memory."""
    x, i = placeholder("x", (4,)), placeholder("i", (3,), "int64")
    run = native({"y": ops.scatter_add(x, i, 1.0)}, host(), "safe")
    for wrong in (2**60, -(2**60)):
        with pytest.raises(ExecutionError, match="out of range"):
            run({"x": np.zeros(4, "float32"), "i": np.array([0, wrong, 1])})
    right = {"x": np.zeros(4, "float32"), "i": np.array([-1, 0, 3])}
    np.testing.assert_array_equal(run(right)["y"], [1, 0, 0, 2])


@pytest.mark.parametrize("target", targets(), ids=lambda t: f"width {t.width}")
def test_large_work_in_pieces(target):
    """Sizes at which kernels are cut into pieces; the result is that of one piece."""
    rng = np.random.default_rng(0)
    table = placeholder("table", (700, 65))
    row, flat = placeholder("row", (300_001,)), placeholder("i", (3001,), "int64")
    pick = placeholder("pick", (700, 1), "int32")
    added = ops.broadcast_to(table[:1], (3001, 65))
    outputs = {
        "take": ops.take(table, flat, 0),
        "flat": ops.take(row, ops.concatenate([flat] * 40) * 99, 0),
        "add": ops.scatter_add(table, flat % 7, added, 0),
        "columns": ops.scatter_add(
            table, ops.cast(pick[:, 0] % 5, "int64"), ops.broadcast_to(table[:, :1], (700, 700)), 1
        ),
        "along": ops.scatter_add_along(table, pick, table[:, 3:4], 1),
        "gather": ops.gather(table, ops.broadcast_to(pick, (700, 65)), 1),
        "scan": ops.cumsum(table, 0),
        "scan rows": ops.cumsum(table, 1),
        "best": ops.argmax(table, 0),
        "best of rows": ops.argmin(table, 1),
        "best of all": ops.argmax(row),
        "finite": ops.assert_finite(row),
        "pad": ops.pad(table, 3),
    }
    feeds = {
        "table": rng.integers(-9, 9, (700, 65)).astype("float32"),
        "row": rng.integers(-9, 9, 300_001).astype("float32"),
        "i": rng.integers(-700, 700, 3001),
        "pick": rng.integers(-65, 65, (700, 1)).astype("int32"),
    }
    wanted = interpreted(outputs)(feeds)
    for at_once in (True, False):
        got = native(outputs, target, "safe", at_once)(feeds)
        for name in outputs:
            assert_same_bits(got[name], wanted[name], name)


def test_a_shifted_copy_does_not_lie_over_its_operand():
    """The buffers are of one size, but pieces that run at once would write what others still read."""
    x = placeholder("x", (4000, 30))
    y = ops.cumsum(x, 1)
    outputs = {"y": ops.cumsum(ops.concatenate([y[1:], x[:1]], 0), 1)}
    values = np.random.default_rng(0).integers(-9, 9, (4000, 30)).astype("float32")
    run, wanted = native(outputs, host()), interpreted(outputs)({"x": values})["y"]
    for _ in range(20):
        assert_same_bits(run({"x": values})["y"], wanted)


def test_sums_at_one_place_are_near_the_exact_sum():
    rng = np.random.default_rng(1)
    values, places = rng.normal(size=(5000, 24)).astype("float32"), rng.integers(0, 3, 5000)
    i, u = placeholder("i", (5000,), "int64"), placeholder("u", (5000, 24))
    got = native({"y": ops.scatter_add(np.zeros((3, 24), "float32"), i, u)}, host(), "safe")(
        {"i": places, "u": values}
    )["y"]
    exact = np.array([values[places == k].astype("float64").sum(0) for k in range(3)])
    np.testing.assert_allclose(got, exact, atol=5000**0.5 * 1e-5)


@given(st.data(), TARGETS, shapes(), st.sampled_from(("float32", "float64")))
@settings(max_examples=12, deadline=None)
def test_sums_along_an_axis_round_in_the_order_of_the_indices(data, target, shape, dtype):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    along = longer(shape, axis, 3 * shape[axis])
    x, i, u = placeholder("x", shape, dtype), placeholder("i", along, "int64"), placeholder("u", along, dtype)
    feeds = {
        "x": rng.normal(size=shape).astype(dtype),
        "i": rng.integers(-shape[axis], shape[axis], along),
        "u": rng.normal(size=along).astype(dtype),
    }
    check({"y": ops.scatter_add_along(x, i, u, axis)}, feeds, target)


def test_iota_of_any_length_is_a_view():
    big = ops.apply(Iota((3000, 1000), np.dtype("int64"), 1))
    x = placeholder("x", (3000, 1000), "int64")
    run = native({"y": x + big}, host())
    np.testing.assert_array_equal(run({"x": np.zeros((3000, 1000), "int64")})["y"][7], np.arange(1000))


def test_the_gradient_of_an_embedding_runs_native():
    table, words = placeholder("table", (50, 8)), placeholder("words", (6, 4), "int64")
    graph = sg.gradient(define(loss=ops.sum(ops.square(ops.take(table, words)))), "loss", ["table"])
    assert any(isinstance(n.op, ScatterAdd) for n in graph.nodes)
    assert all(supported(n, graph, "safe") for n in graph.nodes)


def test_bits_do_not_hang_on_threads():
    x = placeholder("x", (900, 70))
    outputs = {"y": ops.cumsum(x, 0), "z": ops.cumsum(x, 1)}
    values = np.random.default_rng(0).normal(size=(900, 70)).astype("float32")
    one, two = (native(outputs, host(), "safe", at_once)({"x": values}) for at_once in (True, False))
    for name in outputs:
        assert_same_bits(one[name], two[name])


def of_case(case: Case) -> tuple[dict[str, Expr], dict[str, np.ndarray]]:
    inputs = [placeholder(f"x{i}", t.shape, t.dtype) for i, t in enumerate(case.operand_types)]
    return {"y": case.function(*inputs)}, {f"x{i}": value for i, value in enumerate(case.draw())}


def moves(case: Case) -> bool:
    """Whether a case of the common list has an op of these kernels and nothing that rounds otherwise."""
    nodes = define(of_case(case)[0]).nodes
    exact = (*movement.KERNELS, *movement.VIEWS, Placeholder, Constant)
    return any(type(n.op) in movement.KERNELS for n in nodes) and all(isinstance(n.op, exact) for n in nodes)


@pytest.mark.parametrize("case", [c for c in all_cases() if moves(c)], ids=str)
def test_cases(case: Case) -> None:
    outputs, feeds = of_case(case)
    graph = define(outputs)
    feeds = {name: value for name, value in feeds.items() if name in graph.placeholders}
    wanted = compile(graph, backend="interpreter", passes=())(feeds)["y"]
    assert_same_bits(compile(graph, backend="llvm", numerics="bitwise", passes=())(feeds)["y"], wanted)
    np.testing.assert_allclose(compile(graph, backend="llvm")(feeds)["y"], wanted, rtol=1e-5, atol=1e-6)
