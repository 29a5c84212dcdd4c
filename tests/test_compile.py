"""Compiled graphs: how sizes are bound, which feeds are taken, and what is said of the others."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops
from symgraph.compile import bind, bind_shape, compile, feed_array, lowering
from symgraph.define import define
from symgraph.errors import CompileError, FeedError, SymgraphError
from symgraph.expr import constant, placeholder, variable
from symgraph.ir import Graph
from symgraph.rewrite import Pass, Rewritten
from symgraph.types import TensorType, dim

BACKENDS = ["interpreter", "numpy", "llvm", "auto"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def affine() -> Graph:
    x, w, b = placeholder("x", ("n", 3)), variable("w", (3, 2)), placeholder("b", (2,), default=[1.0, -1.0])
    z = x @ w + b
    return define({"z": z, "mean": ops.mean(z)}, updates={"t": {w: w - 1.0}})


X = np.arange(6, dtype=np.float32).reshape(2, 3)
W = np.arange(6, dtype=np.float32).reshape(3, 2) / 4


# Calls


def test_a_call_gives_outputs_and_next_values_by_name(backend: str) -> None:
    run = compile(affine(), backend=backend)
    found = run({"x": X}, {"w": W})
    assert set(found) == {"z", "mean", "w"}
    assert np.allclose(found["z"], X @ W + [1, -1])
    assert np.allclose(found["mean"], (X @ W).mean())
    assert np.array_equal(found["w"], W - 1)
    assert np.allclose(run({"x": X, "b": [0, 0]}, {"w": W})["z"], X @ W)
    assert run.backend in ("interpreter", "numpy", "llvm") and "nodes" in repr(run)


def test_what_goes_in_is_not_changed_and_what_comes_out_is_new(backend: str) -> None:
    x = placeholder("x", ("n",))
    run = compile(define(same=x, view=ops.reshape(x, (1, x.shape[0]))), backend=backend)
    given = np.ones(4, np.float32)
    first = run({"x": given})
    for name in first:
        assert not np.shares_memory(first[name], given)
        first[name][...] = 7.0
    second = run({"x": given})
    assert np.array_equal(given, np.ones(4)) and np.array_equal(second["same"], np.ones(4))
    assert not np.shares_memory(second["same"], first["same"])


def test_a_constant_output_is_the_callers_own(backend: str) -> None:
    run = compile(define(c=constant([1.0, 2.0])), backend=backend)
    run()["c"][...] = 9.0
    assert np.array_equal(run()["c"], [1.0, 2.0])


def test_many_threads_may_call_one_executable(backend: str) -> None:
    x = placeholder("x", ("n",))
    run = compile(define(y=ops.exp(x * 0.5) + x, s=ops.sum(x)), backend=backend)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(40):
            value = rng.normal(size=int(rng.integers(1, 200))).astype(np.float32)
            found = run({"x": value})
            if not np.allclose(found["y"], np.exp(value * 0.5) + value, rtol=1e-5, atol=1e-6):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Named sizes


def test_sizes_are_bound_by_the_feeds(backend: str) -> None:
    x, y = placeholder("x", ("n", "m")), placeholder("y", ("m", "k"))
    run = compile(define(z=x @ y), backend=backend)
    for n, m, k in [(1, 1, 1), (2, 3, 4), (5, 0, 2), (0, 3, 1), (2, 3, 4)]:
        a, b = np.ones((n, m), np.float32), np.ones((m, k), np.float32)
        assert np.array_equal(run({"x": a, "y": b})["z"], a @ b)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 5), m=st.integers(0, 5), data=st.data())
def test_a_size_is_solved_from_any_linear_dimension(n: int, m: int, data: st.DataObject) -> None:
    shapes = {"a": (2 * dim("n") + 1,), "b": (dim("n") + dim("m"), 3), "c": (dim("m"),)}
    order = data.draw(st.permutations(sorted(shapes)))
    parts = [ops.sum(placeholder(name, shapes[name])) for name in order]
    graph = define(y=ops.sum(ops.concatenate([p.reshape(1) for p in parts])))
    sizes = {"a": (2 * n + 1,), "b": (n + m, 3), "c": (m,)}
    feeds = {name: np.ones(shape, np.float32) for name, shape in sizes.items()}
    arrays, found = bind(graph, feeds)
    assert found == {"n": n, "m": m} and len(arrays) == 3
    assert compile(graph, backend="interpreter")(feeds)["y"] == sum(np.prod(s) for s in sizes.values())
    wrong = data.draw(st.sampled_from(order))
    feeds[wrong] = np.ones((sizes[wrong][0] + 1, *sizes[wrong][1:]), np.float32)
    with pytest.raises(FeedError):  # three equations for two sizes
        bind(graph, feeds)


def test_a_program_is_kept_for_each_binding(backend: str) -> None:
    x = placeholder("x", ("n",))
    run = compile(define(y=x + x), backend=backend)
    first = run.bound({"n": 3})
    assert run.bound({"n": 3}) is first and run.bound({"n": 4}) is not first
    for n in range(40):  # more than are kept
        assert np.array_equal(run({"x": np.ones(n, np.float32)})["y"], np.full(n, 2))
    assert len(run._programs) <= 16


def test_source_and_memory_plan_ask_for_the_sizes(backend: str) -> None:
    x = placeholder("x", ("n", 4))
    run = compile(define(y=ops.exp(x) @ constant(np.ones((4, 4), np.float32))), backend=backend)
    assert isinstance(run.source(n=3), str) and run.source(n=3)
    assert run.memory_plan(n=3).peak >= 0
    with pytest.raises(FeedError, match="the sizes n are not given") as caught:
        run.source()
    assert "n=128" in caught.value.hint
    if backend != "interpreter":
        assert run.memory_plan(n=300).peak > run.memory_plan(n=3).peak


def test_names_that_rewriting_lost_are_still_taken(backend: str) -> None:
    """A placeholder that the optimised graph does not need any more may be fed, as it was declared."""

    def without(graph: Graph, numerics: Any) -> Rewritten:
        return Rewritten(define(y=constant(0.0))) if "x" in graph.placeholders else Rewritten(graph)

    run = compile(define(y=placeholder("x") * 0.0), backend=backend, passes=[Pass("drop", without)])
    assert run.graph.placeholders == {}
    assert run({"x": 3.0})["y"] == 0.0
    with pytest.raises(FeedError, match="'v' is no input"):
        run({"v": 3.0})


# Feeds

F32 = TensorType("float32", ("n",))


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("float32", [1.5, 2.5]),
        ("float32", [1, 2]),
        ("float32", [True, False]),
        ("float32", 0.1),
        ("float32", np.float16([1.5])),
        ("float32", np.int8([3])),
        ("float32", np.uint16([3])),
        ("float32", np.array([True])),
        ("float64", np.float32([0.1])),
        ("float64", np.int32([7])),
        ("int64", np.uint32([2**32 - 1])),
        ("int64", [2**62]),
        ("int32", [-(2**31)]),
        ("bool", [True]),
        ("float32", np.arange(6, dtype=np.float32)[::2]),
        ("float32", np.asfortranarray(np.ones((2, 3), np.float32))),
        ("float32", np.array([1.0, 2.0], ">f4")),
    ],
)
def test_what_casts_without_loss_is_taken(declared: str, value: Any) -> None:
    type_ = TensorType(declared, np.shape(value))
    found = feed_array("x", type_, value)
    assert found.dtype == np.dtype(declared) and found.dtype.isnative
    assert found.flags.c_contiguous and found.shape == np.shape(value)
    assert np.array_equal(found, np.asarray(value).astype(declared))


def test_an_array_that_fits_is_not_copied() -> None:
    value = np.ones((3, 2), np.float32)
    assert feed_array("x", TensorType("float32", (3, 2)), value) is value


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        ("float32", np.float64([1.0]), "'x' is float64, and f32 was declared: the cast loses precision"),
        ("float32", np.int32([1]), "'x' is int32, and f32 was declared"),
        ("float32", np.int64(1), "'x' is int64, and f32 was declared"),
        ("int32", [1.0], "'x' is float64, and i32 was declared"),
        ("int32", [2**31], "'x' is int64, and i32 was declared"),
        ("int32", np.int64([1]), "'x' is int64, and i32 was declared"),
        ("int64", np.uint64([1]), "'x' is uint64, and i64 was declared"),
        ("bool", [1], "'x' is int64, and bool was declared"),
        ("bool", np.int8([1]), "'x' is int8, and bool was declared"),
        ("float32", [1j], "'x' is complex"),
        ("float32", ["a"], "'x' is an array of text"),
        ("float32", b"ab", "'x' is the text b'ab'"),
        ("float32", None, "'x' is None"),
        ("float32", object(), "'x' is an object"),
        ("float32", [10**400], "'x' is integers that int64 cannot hold"),
        ("float32", np.array(["2020-01-01"], "datetime64[D]"), "'x' is an array of datetime64[D]"),
        ("float32", [[1.0], [1.0, 2.0]], "'x' is ragged"),
        ("float32", [1e39], "'x' is larger than f32 can hold"),
        ("float32", -1e39, "'x' is larger than f32 can hold"),
        ("float32", np.ma.masked_less([1.0, 2.0], 1.5), "'x' is a masked array"),
    ],
)
def test_what_would_lose_precision_is_an_error(declared: str, value: Any, message: str) -> None:
    with pytest.raises(FeedError) as caught:
        feed_array("x", TensorType(declared, ()), value)
    assert message in caught.value.message
    if "loses" in caught.value.message:
        assert "astype" in caught.value.hint


class Tagged(np.ndarray):
    """A subclass, as np.matrix is one: its operators may mean anything."""

    def __matmul__(self, other: Any) -> Any:
        raise AssertionError("this is not NumPy's product")


def test_a_subclass_is_taken_as_the_array_it_holds(backend: str) -> None:
    tagged = np.ones((2, 2), np.float32).view(Tagged)
    assert type(feed_array("x", TensorType("float32", (2, 2)), tagged)) is np.ndarray
    x = placeholder("x", (2, 2))
    found = compile(define(y=x @ x, x=x), backend=backend)({"x": tagged})
    assert type(found["x"]) is np.ndarray and np.array_equal(found["y"], np.full((2, 2), 2))


def test_infinities_and_nan_are_taken() -> None:
    found = feed_array("x", F32, [float("inf"), float("-inf"), float("nan")])
    assert np.array_equal(found, [np.inf, -np.inf, np.nan], equal_nan=True)


TWO = define(
    y=ops.sum(placeholder("x", ("n", 3))) + ops.sum(placeholder("t", ("n",))) + ops.sum(variable("w", (2,)))
)
GOOD: dict[str, Any] = {"x": X, "t": np.ones(2, np.float32), "w": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": ...}, "the placeholder 'x' has no value"),
        ({"w": ...}, "the variable 'w' has no value"),
        ({"v": 1.0}, "'v' is no input of this graph"),
        ({"x": X[0]}, "the feed 'x' has the shape [3], and [n,3] was declared"),
        ({"x": X.T}, "the feed 'x' has the shape [3,2], and [n,3] was declared"),
        ({"t": np.ones(3, np.float32)}, "'x' and 't' bind n to two sizes: 2 and 3"),
        ({"w": np.ones(3, np.float32)}, "the feed 'w' has the shape [3], and [2] was declared"),
    ],
)
def test_bind_says_which_feed_is_wrong(changes: dict[str, Any], message: str) -> None:
    given = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    with pytest.raises(FeedError) as caught:
        bind(TWO, given)
    assert message in caught.value.message
    assert caught.value.source is not None and caught.value.source.file == __file__


def test_bind_orders_values_as_the_graph_takes_them() -> None:
    arrays, sizes = bind(TWO, dict(reversed(GOOD.items())))
    assert [a.shape for a in arrays] == [(2, 3), (2,), (2,)] and sizes == {"n": 2}


def test_one_feed_may_bind_one_name_twice() -> None:
    graph = define(y=placeholder("x", ("n", "n")) * 1.0)
    assert bind(graph, {"x": np.ones((2, 2), np.float32)})[1] == {"n": 2}
    with pytest.raises(FeedError, match=r"'x' has the shape \[2,3\], and \[n,n\] was declared"):
        bind(graph, {"x": np.ones((2, 3), np.float32)})


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_dimension_that_no_size_makes_is_an_error(size: int) -> None:
    graph = define(y=placeholder("x", (2 * dim("n") + 1,)) * 1.0)
    with pytest.raises(FeedError):
        bind(graph, {"x": np.ones(size, np.float32)})


def test_bind_shape_adds_to_what_is_known() -> None:
    sizes: dict[str, int] = {"n": 2}
    bind_shape("x", TensorType("float32", ("n", "m")), (2, 5), sizes, {"n": "before"})
    assert sizes == {"n": 2, "m": 5}


def test_a_graph_that_does_not_fit_the_sizes_names_the_line() -> None:
    x = placeholder("x", ("n",))
    run = compile(define(y=x[2:]), backend="interpreter")
    assert np.array_equal(run({"x": np.arange(4.0, dtype=np.float32)})["y"], [2, 3])
    with pytest.raises(FeedError) as caught:
        run({"x": np.ones(1, np.float32)})
    assert "n=1" in caught.value.message


# Options


def test_unknown_options_are_errors() -> None:
    graph = define(y=placeholder("x"))
    with pytest.raises(CompileError, match="there is no backend 'cuda'") as caught:
        compile(graph, backend="cuda")
    assert "numpy" in caught.value.hint
    with pytest.raises(CompileError, match="there is no numerics 'exact'") as caught:
        compile(graph, numerics="exact")  # type: ignore[arg-type]
    assert "bitwise" in caught.value.hint
    assert lowering("auto")[0] != "auto"
    with pytest.raises(SymgraphError):
        lowering("")


def test_passes_replace_the_pipeline_and_keep_their_order() -> None:
    seen: list[str] = []

    def noting(name: str) -> Pass:
        def apply(graph: Graph, numerics: Any) -> Rewritten:
            seen.append(f"{name} {numerics}")
            return Rewritten(graph)

        return Pass(name, apply)

    compile(
        define(y=placeholder("x")), backend="interpreter", numerics="fast", passes=[noting("a"), noting("b")]
    )
    assert seen == ["a fast", "b fast"]


def test_a_scalar_is_a_numpy_scalar(backend: str) -> None:
    found = compile(affine(), backend=backend)({"x": X}, {"w": W})
    assert type(found["mean"]) is np.float32
    assert type(found["z"]) is np.ndarray


def test_a_graph_without_inputs_takes_nothing() -> None:
    with pytest.raises(FeedError) as caught:
        compile(define(y=constant(1.0)), backend="interpreter")({"z": 1.0})
    assert caught.value.hint == "It takes nothing."
