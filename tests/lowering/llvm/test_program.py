"""A compiled program as its callers see it: whatever they feed, results are right and nobody's memory is touched."""

from itertools import combinations

import numpy as np
import pytest

import symgraph as sg
from symgraph.autodiff import backward
from symgraph.lowering.llvm import program as native


def network(momentum=None):
    """A small network: its loss, its logits and the gradients' step, with momentum or without."""
    x, label = sg.placeholder("x", ("batch", 6)), sg.placeholder("label", ("batch",), "int64")
    w, v = sg.variable("w", (6, 9), init=0.1), sg.variable("v", (9, 4), init=-0.2)
    logits = sg.tanh(x @ w + 0.5) @ v
    loss = sg.mean(sg.ops.softmax_cross_entropy(logits, label))
    graph = sg.define(loss=loss, logits=logits)
    if momentum is None:
        return sg.train.minimize(graph, "loss", sg.train.sgd(0.1))
    updates = {}
    for variable, slope in zip((w, v), backward(loss, (w, v)), strict=True):
        speed = sg.variable(f"speed_{len(updates)}", variable.type.shape, init=0.0)
        faster = momentum * speed - 0.02 * slope
        updates |= {speed: faster, variable: variable + faster}
    return sg.define({"loss": loss, "logits": logits}, updates={"train": updates})


def data(batch, seed=0):
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(batch, 6)).astype(np.float32), "label": rng.integers(0, 4, batch)}


def values_of(graph, seed=3):
    return {
        name: np.asarray(np.random.default_rng(seed).normal(size=node.type.shape), node.type.dtype)
        for name, node in graph.variables.items()
    }


def both(graph, feeds, variables=None, **options):
    """The results of native code and of the interpreter."""
    return (
        sg.compile(graph, backend="llvm", **options)(feeds, variables),
        sg.compile(graph, backend="interpreter", passes=())(feeds, variables),
    )


def assert_close(got, wanted, tolerance=1e-5):
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].dtype == value.dtype
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


# Feeds


def layouts(array):
    """The same values, lying in memory in other ways."""
    n = array.ndim
    wide = np.zeros(tuple(3 * size for size in array.shape), array.dtype)
    wide[(slice(None, None, 3),) * n] = array
    yield "strided", wide[(slice(None, None, 3),) * n]
    yield "Fortran", np.asfortranarray(array)
    backwards = (slice(None, None, -1),) * n
    yield "backwards", array[backwards].copy()[backwards]
    for offset in (1, 3, 4, 9):
        raw = bytes(offset) + array.tobytes()
        yield f"at {offset}", np.frombuffer(raw, array.dtype, offset=offset).reshape(array.shape)
    yield "big endian", array.astype(array.dtype.newbyteorder(">"))
    still = array.copy()
    still.flags.writeable = False
    yield "read-only", still
    yield "a list", array.tolist()
    yield "a subclass", array.copy().view(type("Mine", (np.ndarray,), {}))


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_feeds_may_lie_in_memory_in_any_way(batch):
    graph = network()
    program, feeds, variables = sg.compile(graph, backend="llvm"), data(batch), values_of(graph)
    wanted = program(feeds, variables)
    assert_close(wanted, sg.compile(graph, backend="interpreter")(feeds, variables))
    given = {**feeds, **variables}
    for name, value in given.items():
        for way, laid in layouts(value):
            kept = np.array(laid)
            changed = {**given, name: laid}
            got = program({k: changed[k] for k in feeds}, {k: changed[k] for k in variables})
            for key, expected in wanted.items():
                np.testing.assert_array_equal(got[key], expected, err_msg=f"{name} {way}: {key}")
            np.testing.assert_array_equal(np.asarray(laid), kept, err_msg=f"{name} {way} was written to")


@pytest.mark.parametrize("offset", [1, 2, 5, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_misaligned_operands_of_all_kinds_of_kernels(dtype, offset):
    x, y = sg.placeholder("x", (19, 23), dtype), sg.placeholder("y", (23, 17), dtype)
    graph = sg.define(
        product=x @ y,
        sum=sg.sum(x, 1),
        least=sg.min(y, 0),
        turned=sg.transpose(x) * 2,
        running=sg.cumsum(x, 1),
        joined=sg.concatenate([x, x + 1], 0),
        taken=sg.take(x, np.array([3, 0]), axis=1),
    )
    rng = np.random.default_rng(offset)
    feeds = {
        "x": rng.integers(-9, 9, (19, 23)).astype(dtype),
        "y": rng.integers(-9, 9, (23, 17)).astype(dtype),
    }
    odd = {
        name: np.frombuffer(bytes(offset) + value.tobytes(), dtype, offset=offset).reshape(value.shape)
        for name, value in feeds.items()
    }
    assert not any(value.flags.aligned for value in odd.values())
    got, wanted = both(graph, odd)
    assert_close(got, wanted, 0)


def test_bools_of_any_byte_are_true_or_false():
    truth, x = sg.placeholder("b", ("n",), "bool"), sg.placeholder("x", ("n",))
    graph = sg.define(
        chosen=sg.where(truth, x, -x),
        count=sg.sum(sg.cast(truth, "int32")),
        negated=sg.logical_not(truth),
        any=sg.any(truth),
        all=sg.all(truth),
    )
    bytes_ = np.array([0, 1, 2, 255, 128, 0, 4] * 9, np.uint8).view(bool)
    got, wanted = both(graph, {"b": bytes_, "x": np.arange(63, dtype=np.float32)})
    assert_close(got, wanted, 0)


def test_a_feed_of_rank_0():
    x = sg.placeholder("x", ())
    graph = sg.define(y=x * 2 + 1, twice=sg.broadcast_to(x, (3,)))
    program = sg.compile(graph, backend="llvm")
    for given in (3.0, 3, np.float32(3), np.array(3.0, np.float32), np.array([3.0], np.float32)[0]):
        got = program({"x": given})
        assert got["y"] == 7 and got["y"].dtype == np.float32 and got["y"].shape == ()
        np.testing.assert_array_equal(got["twice"], [3, 3, 3])


def test_an_empty_batch_runs_and_updates():
    graph = network()
    variables = values_of(graph)
    got = sg.compile(graph, backend="llvm")(data(0), variables)
    wanted = sg.compile(graph, backend="interpreter")(data(0), variables)
    assert got["logits"].shape == (0, 4)
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_a_session_goes_on_after_an_empty_batch():
    x, total = sg.placeholder("x", ("n", 3)), sg.variable("total", (3,), init=0.0)
    graph = sg.define({"y": x * 2.0}, updates={"add": {total: total + sg.sum(x, 0)}})
    with sg.Session(graph, backend="llvm") as session:
        for batch in (2, 0, 3, 0):
            assert session.run("y", {"x": np.ones((batch, 3), np.float32)}, update="add").shape == (batch, 3)
        np.testing.assert_array_equal(session.variables["total"], [5, 5, 5])


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_products_and_sums_over_nothing(shape, dtype):
    m, k, n = shape
    x, y = sg.placeholder("x", ("m", "k"), dtype), sg.placeholder("y", ("k", "n"), dtype)
    product = x @ y
    graph = sg.define(
        product=product, more=product + 1, rows=sg.sum(product, 1), of=sg.sum(x, 1), any=sg.any(x > 0, 1)
    )
    got, wanted = both(graph, {"x": np.ones((m, k), dtype), "y": np.ones((k, n), dtype)})
    assert_close(got, wanted, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_go_through(dtype):
    floats = np.finfo(dtype)
    special = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        floats.max,
        -floats.max,
        floats.tiny,
        floats.smallest_subnormal,
    ]
    x, y = sg.placeholder("x", ("n",), dtype), sg.placeholder("y", ("n",), dtype)
    results = {
        "sum": x + y,
        "difference": x - y,
        "product": x * y,
        "ratio": x / y,
        "larger": sg.maximum(x, y),
        "smaller": sg.minimum(x, y),
        "less": x < y,
        "equal": sg.equal(x, y),
        "sign": sg.sign(x),
        "root": sg.sqrt(x),
        "absolute": sg.abs(x),
        "negative": -x,
        "chosen": sg.where(x > y, x, y),
        "half": x * 0.5,
    }
    pairs = np.array([(a, b) for a in special for b in special], dtype)
    got, wanted = both(sg.define(**results), {"x": pairs[:, 0], "y": pairs[:, 1]})
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
        if value.dtype.kind == "f":
            known = ~np.isnan(value)
            np.testing.assert_array_equal(
                np.signbit(got[name])[known], np.signbit(value)[known], err_msg=name
            )


def test_a_large_batch():
    x = sg.placeholder("x", ("n", 3))
    graph = sg.define(y=sg.sigmoid(x) * 2.0, sum=sg.sum(x), rows=sg.max(x, 1))
    value = np.random.default_rng(0).normal(size=(1_000_000, 3)).astype(np.float32)
    got = sg.compile(graph, backend="llvm", threads=2)({"x": value})
    np.testing.assert_allclose(got["y"], 2 / (1 + np.exp(-value.astype(float))), rtol=1e-6)
    np.testing.assert_allclose(got["sum"], value.sum(dtype=float), rtol=1e-5)
    np.testing.assert_array_equal(got["rows"], value.max(1))


def test_a_constant_of_any_size():
    """Large ones are not folded into what is computed from them, and stay operands."""
    values = np.arange(2**22 + 1, dtype=np.float32)
    x = sg.placeholder("x", ("n",), "int64")
    table = sg.constant(values)
    program = sg.compile(sg.define(taken=sg.take(table, x), most=sg.max(table) + x), backend="llvm")
    got = program({"x": np.array([0, -1])})
    np.testing.assert_array_equal(got["taken"], [0, 2**22])
    np.testing.assert_array_equal(got["most"], [2**22, 2**22 - 1])


def test_a_run_that_does_not_fit_in_memory_says_so():
    x = sg.placeholder("x", (4,))
    wide = sg.broadcast_to(x, (1 << 44, 4))
    for result in (sg.sum(sg.cumsum(wide, 1), 0), wide + 1.0):
        program = sg.compile(sg.define(y=result), backend="llvm")
        with pytest.raises(sg.ExecutionError, match="bytes for what it computes"):
            program({"x": np.zeros(4, np.float32)})


# Results


def many_results():
    x, w = sg.placeholder("x", ("n", 4)), sg.variable("w", (4,), init=1.0)
    u = sg.variable("u", (4,), init=2.0)
    y = x * w
    outputs = {
        "x": x,
        "y": y,
        "again": y,
        "flat": sg.reshape(y, (-1,)),
        "turned": sg.transpose(y),
        "first": y[0],
        "row": sg.broadcast_to(w, (3, 4)),
        "w_itself": w,
        "constant": sg.constant(np.arange(4.0, dtype=np.float32)),
        "same_constant": sg.constant(np.arange(4.0, dtype=np.float32)) + 0.0,
        "sum": sg.sum(y),
        "untouched": sg.stop_gradient(x),
        "negated": -y,
        "twice": sg.neg(-y),
        "sliced": x[1:, ::2],
        "grown": w + u,
    }
    return sg.define(outputs, updates={"go": {w: w + u, u: w}})


def test_results_share_no_memory():
    graph = many_results()
    program = sg.compile(graph, backend="llvm")
    feeds = {"x": np.arange(12, dtype=np.float32).reshape(3, 4)}
    variables = {"w": np.ones(4, np.float32), "u": np.full(4, 2, np.float32)}
    first = program(feeds, variables)
    kept = {name: np.array(value) for name, value in first.items()}
    second = program(feeds, variables)
    arrays = [
        (f"{which} {name}", value)
        for which, results in (("first", first), ("second", second), ("fed", feeds), ("fed", variables))
        for name, value in results.items()
        if isinstance(value, np.ndarray)
    ]
    for (a, left), (b, right) in combinations(arrays, 2):
        assert not np.shares_memory(left, right), f"{a} and {b}"
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
        if isinstance(value, np.ndarray):
            assert value.flags.writeable and value.flags.c_contiguous
            value[...] = -7  # what a caller does to results is nobody's business
    again = program(feeds, variables)
    wanted = sg.compile(graph, backend="interpreter", passes=())(feeds, variables)
    for name, value in kept.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)
    np.testing.assert_array_equal(feeds["x"].ravel(), np.arange(12))


def test_variables_may_trade_places():
    a, b, c = (sg.variable(name, (5,), init=float(k)) for k, name in enumerate("abc"))
    graph = sg.define({"sum": sg.sum(a + 2 * b + 3 * c)}, updates={"turn": {a: b, b: c, c: a}})
    with sg.Session(graph, backend="llvm") as session:
        for turn in range(7):
            assert [session.variables[name][0] for name in "abc"] == [(k + turn) % 3 for k in range(3)]
            session.run("sum", update="turn")


@pytest.mark.parametrize("batch", [1, 2, 17])
def test_an_input_that_is_fed_twice_is_no_less_right(batch):
    x, y = sg.placeholder("x", ("n", 5)), sg.placeholder("y", ("n", 5))
    graph = sg.define(a=x - y, b=sg.cumsum(x, 1) + y, c=sg.transpose(x) @ y)
    value = np.random.default_rng(0).normal(size=(batch, 5)).astype(np.float32)
    got, wanted = both(graph, {"x": value, "y": value})
    assert_close(got, wanted)


def test_results_keep_no_workspace_alive():
    x = sg.placeholder("x", (1000, 100))
    program = sg.compile(sg.define(y=sg.exp(x), s=sg.sum(x)), backend="llvm")
    got = program({"x": np.zeros((1000, 100), np.float32)})
    assert got["y"].base is None
    assert isinstance(got["s"], np.float32)


# Prepared steps, whose feeds native code looks at itself


def test_a_prepared_step_takes_what_a_run_takes():
    x, k = sg.placeholder("x", ("n", 3)), sg.placeholder("k", (), "int64")
    w = sg.variable("w", (3,), init=2.0)
    graph = sg.define({"y": x * w + sg.cast(k, "float32"), "n": sg.sum(x)}, updates={"go": {w: w + 1.0}})
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    odd = np.frombuffer(b"\0" + value.tobytes(), np.float32, offset=1).reshape(2, 3)

    class Mine(np.ndarray):
        pass

    others = [
        value,
        np.asfortranarray(value),
        value[::-1],
        value[:, ::-1],
        odd,
        value.tolist(),
        value.astype(">f4"),
        value.view(Mine),
        value[:1],
        np.zeros((0, 3), np.float32),
        value.astype(np.int32).tolist(),
        np.tile(value, (40, 1)),
        value.astype(np.dtype("float32", metadata={"unit": "m"})),
        value.astype(np.float16),
    ]
    counts = [3, np.int64(3), np.array(3), np.array(3, np.longlong), np.int32(3), True]
    with sg.Session(graph, backend="llvm") as session, sg.Session(graph, backend="interpreter") as other:
        step, wanted = (s.prepare(["y", "n"], [x, k], update="go") for s in (session, other))
        for _ in range(2):
            for given in others:
                for count in counts:
                    for got, expected in zip(step(given, count), wanted(given, count), strict=True):
                        np.testing.assert_array_equal(got, expected)
                        assert type(got) is type(expected)


def test_a_prepared_step_refuses_what_a_run_refuses():
    x, w = sg.placeholder("x", ("n", 3)), sg.variable("w", (3,), init=2.0)
    graph = sg.define({"y": x * w}, updates={"go": {w: w + 1.0}})
    good = np.ones((2, 3), np.float32)
    bad = [
        None,
        "text",
        1.0,
        object(),
        good[0],
        good[:, :2],
        good[None],
        good.astype(float),
        good.astype(complex),
        good.astype(object),
        [[1, 2], [3]],
        np.zeros((2, 0), np.float32),
        np.array("x"),
        {},
        (),
        np.ndarray,
    ]
    with sg.Session(graph, backend="llvm") as session:
        step = session.prepare("y", [x], update="go")
        step(good)
        for number, given in enumerate(bad):
            with pytest.raises(sg.FeedError):
                step(given)
            with pytest.raises(sg.FeedError):
                session.run("y", {"x": given}, update="go")
            assert session.step == 1 + number
            step(good)
        np.testing.assert_array_equal(session.variables["w"], np.full(3, 3 + len(bad)))


def test_where_objects_lie_otherwise_addresses_are_asked_for(monkeypatch):
    """Another Python or NumPy may keep its arrays in another way: then no array is read by generated code."""
    graph = network()
    wanted = sg.compile(graph, backend="llvm")(data(5), values_of(graph))
    asked = []
    by_pointers = native.by_pointers
    monkeypatch.setattr(native, "object_layout", lambda: None)
    monkeypatch.setattr(native, "by_pointers", lambda arrays: asked.append(arrays) or by_pointers(arrays))
    got = sg.compile(graph, backend="llvm")(data(5), values_of(graph))
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value)
    assert len(asked) == 1
    with sg.Session(graph, backend="llvm", seed=1) as session:
        step = session.prepare("loss", ["x", "label"], update="train")
        for batch in (5, 0, 3, 5):
            feeds = data(batch)
            step(np.asfortranarray(feeds["x"]), feeds["label"].tolist() if batch else feeds["label"])
            with pytest.raises(sg.FeedError):
                step(feeds["x"][:, :4], feeds["label"])
        assert session.step == 4
    assert native.by_pointers(()) is not None


# Denormals


def tiny_numbers(numerics):
    x = sg.placeholder("x", ("n",))
    values = np.array([1e-40, -3e-42, 1e-38, 1.0, 0.0] * 7, np.float32)
    program = sg.compile(
        sg.define(y=x * 0.25 + 0.0 * x, s=sg.sum(x * 0.5)), backend="llvm", numerics=numerics
    )
    return program({"x": values})["y"], values * np.float32(0.25)


def test_safe_numerics_keep_denormal_numbers():
    got, wanted = tiny_numbers("safe")
    assert (wanted[:3] != 0).all()
    np.testing.assert_array_equal(got, wanted)


def test_fast_numerics_flush_them_and_leave_the_caller_its_mode():
    got, wanted = tiny_numbers("fast")
    normal = np.abs(wanted) >= np.finfo(np.float32).tiny
    assert normal.any() and not normal.all()
    np.testing.assert_array_equal(got, np.where(normal, wanted, 0))
    # NumPy, in this thread, still makes them.
    smallest = np.finfo(np.float32).tiny
    assert (np.full(64, smallest, np.float32) * np.float32(0.5) > 0).all()
    assert float(smallest) / 2**126 > 0 and 5e-324 * 1.0 > 0


@pytest.mark.parametrize("stops", [False, True])
def test_the_mode_comes_back_when_a_step_stops(stops):
    x = sg.placeholder("x", ("n",))
    graph = sg.define(y=sg.assert_finite(x * 2.0) + 1.0)
    program = sg.compile(graph, backend="llvm", numerics="fast")
    try:
        program({"x": np.full(5, np.nan if stops else 1.0, np.float32)})
    except sg.ExecutionError:
        assert stops
    assert (np.full(64, 1e-38, np.float32) * np.float32(0.125) > 0).all()


# Long runs


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_3000_steps_agree_with_the_interpreter(momentum):
    graph = network(momentum)
    rng = np.random.default_rng(1)
    batches = [data(int(rng.choice([4, 7])), seed) for seed in range(50)]
    ends = []
    for backend in ("llvm", "interpreter"):
        with sg.Session(graph, backend=backend, seed=5) as session:
            step = session.prepare("loss", ["x", "label"], update="train")
            losses = [step(*batches[k % 50].values()) for k in range(3000)]
            ends.append((losses, session.variables.snapshot()))
    (losses, ended), (wanted_losses, wanted) = ends
    np.testing.assert_allclose(losses, wanted_losses, rtol=2e-3, atol=2e-3)
    assert_close(ended, wanted, 5e-3)
