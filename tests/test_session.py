"""Sessions: what a run gives, what it changes, and that nothing else ever changes."""

import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph.run_plan
from symgraph import ops
from symgraph.define import define
from symgraph.errors import CompileError, DTypeError, ExecutionError, FeedError, GraphError, SymgraphError
from symgraph.expr import Expr, apply, constant, placeholder, variable
from symgraph.fetches import cut, flatten
from symgraph.initial_values import initial_values
from symgraph.ir import Array, Graph, Op
from symgraph.session import Session
from symgraph.train import initializers
from symgraph.types import TensorType
from symgraph.verify import verify

BACKENDS = ["interpreter", "numpy", "llvm"]
ROOT = Path(__file__).parents[1]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def linear() -> tuple[Graph, dict[str, Expr]]:
    """x @ w + b and what is made of it; `train` doubles w and adds 1 to b, `reset` sets w to zero."""
    x = placeholder("x", ("batch", 3))
    scale = placeholder("scale", (), default=2.0)
    w = variable("w", (3, 2), init=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    b = variable("b", (2,))
    z = x @ w + b
    graph = define(
        {"z": z, "loss": ops.sum(z), "scaled": z * scale},
        updates={"train": {w: w * 2.0, b: b + 1.0}, "reset": {w: w * 0.0}, "other": {b: b - 0.5}},
    )
    return graph, {"x": x, "w": w, "b": b, "z": z, "scale": scale}


W = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
X = np.array([[1, 0, 0], [0, 1, 1]], np.float32)


class Pair(NamedTuple):
    first: Any
    second: Any


@attrs.frozen
class Record:
    loss: Any
    _hidden: Any
    made: int = attrs.field(init=False, default=7)


# Fetches


def test_a_result_has_the_nesting_of_its_fetches(backend: str) -> None:
    graph, e = linear()
    with Session(graph, backend) as session:
        loss = np.float32(X.dot(W).sum())
        assert session.run("loss", {"x": X}) == loss
        assert session.run(("loss", None), {"x": X}) == (loss, None)
        assert session.run(["loss", ["loss"]], {"x": X}) == [loss, [loss]]
        assert session.run({"a": {"b": "loss"}, 3: None}, {"x": X}) == {"a": {"b": loss}, 3: None}
        pair = session.run(Pair("loss", Pair("loss", ())), {"x": X})
        assert type(pair) is Pair and type(pair.second) is Pair
        assert pair == Pair(loss, Pair(loss, ()))
        assert session.run(Record("loss", ["loss"]), {"x": X}) == Record(loss, [loss])
        assert session.run(OrderedDict(b="loss", a=None), {"x": X}) == {"b": loss, "a": None}
        assert session.run(None) is None
        assert session.run([]) == []
        everything = session.run([e["z"], graph["z"], "z", "w", e["x"]], {"x": X})
        for found, expected in zip(everything, [X @ W, X @ W, X @ W, W, X], strict=True):
            assert np.array_equal(found, expected)


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.text(max_size=2), inner, max_size=3)
            | st.builds(Pair, inner, inner)
            | st.builds(Record, inner, inner)
        ),
        max_leaves=8,
    )


@settings(max_examples=100, deadline=None)
@given(nested(st.sampled_from(["z", "loss", "w", "x"])))
def test_any_nesting_comes_back(fetches: Any) -> None:
    leaves, nest = flatten(fetches)
    assert nest(list(leaves)) == fetches
    assert nest([leaf.upper() for leaf in leaves]) != fetches or not leaves


def test_scalars_are_numpy_scalars_and_arrays_are_the_callers_own(backend: str) -> None:
    graph, e = linear()
    with Session(graph, backend) as session:
        loss = session.run("loss", {"x": X})
        assert type(loss) is np.float32
        mine = X.copy()
        x, w, z, again = session.run([e["x"], "w", "z", "z"], {"x": mine})
        for array in (x, w, z, again):
            assert array.flags.writeable and array.flags.c_contiguous
            array[...] = np.nan
        assert np.array_equal(mine, X)
        kept = session.run("z", {"x": X})
        expected = kept.copy()
        for _ in range(3):
            session.run("z", {"x": X + 1.0}, update="train")
        assert np.array_equal(kept, expected) and np.array_equal(kept, X @ W)


def test_results_share_no_memory(backend: str) -> None:
    x = placeholder("x", ("n", 4))
    y = x * 2.0
    graph = define(
        y=y,
        same=x + x,
        view=ops.reshape(y, (x.shape[0], 2, 2)),
        turned=y.T,
        x=x,
        part=x[1:],
        one=ops.sum(y, 0),
    )
    with Session(graph, backend) as session:
        given = np.ones((3, 4), np.float32)
        found = session.run([name for name, _ in graph.outputs], {"x": given})
        for i, array in enumerate(found):
            for other in [given, *found[:i]]:
                assert not np.shares_memory(array, other)


def test_an_expression_is_found_by_its_structure() -> None:
    graph, e = linear()
    with Session(graph, "interpreter") as session:
        assert np.array_equal(session.run(e["x"] @ e["w"], {"x": X}), X @ W)  # inside z, written again
        same = placeholder("x", ("batch", 3)) @ e["w"] + e["b"]
        assert np.array_equal(session.run(same, {"x": X}), X @ W)


def test_an_expression_outside_the_graph_names_its_line() -> None:
    graph, e = linear()
    other = e["z"] * 17.0  # the line that the error shows
    with Session(graph, "interpreter") as session:
        with pytest.raises(GraphError, match="is not in this graph") as caught:
            session.run(other, {"x": X})
        assert caught.value.source is not None
        assert "17.0  # the line that the error shows" in caught.value.source.quote()
        with pytest.raises(GraphError, match="is not in this graph") as caught:
            session.run(placeholder("x", ("batch", 4))[0])
        assert "placeholder 'x'" in str(caught.value) or "x  f32[batch,4]" in str(caught.value)


def test_a_deep_expression_is_found_without_recursion() -> None:
    x = placeholder("x")
    deep = x
    for _ in range(5_000):
        deep = -deep
    graph = define(out=deep * 2.0)
    with Session(graph, "interpreter") as session:
        assert session.run(deep, {"x": 3.0}) == 3.0


# Feeds


def test_a_fed_node_is_cut_out(backend: str) -> None:
    graph, e = linear()
    z = np.ones((4, 2), np.float32)
    with Session(graph, backend) as session:
        for key in ("z", e["z"], graph["z"]):
            assert session.run("loss", {key: z}) == 8.0  # x is not asked for
        step = session.prepare("loss", [e["z"]])
        assert "matmul" not in {node.op.name for node in step.executable.declared.nodes}
        assert step.executable.declared.variables == {}
        inner = e["x"] @ e["w"]
        session.run((), update="train")
        assert np.array_equal(session.run("z", {inner: z}), z + 1.0)
        assert session.run(["loss", "z"], {"z": z, "x": np.ones((4, 3), np.float32)})[0] == 8.0


def test_a_fed_variable_has_the_value_in_this_run_alone(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        assert np.array_equal(session.run("z", {"x": X, "w": W * 0}), np.zeros((2, 2)))
        assert np.array_equal(session.run("z", {"x": X}), X @ W)
        assert np.array_equal(session.run("w", {"w": W * 3}), W * 3)
        session.run(None, {"w": W * 10}, update="train")
        assert np.array_equal(session.variables["w"], W * 20)


def test_a_fed_constant_and_a_fed_fetch() -> None:
    one = constant(1.0)
    with Session(define(y=placeholder("x") + one), "interpreter") as session:
        assert session.run("y", {"x": 1.0, one: 5.0}) == 6.0
        assert session.run(["y", "x"], {"y": 4.0, "x": 2.0}) == [4.0, 2.0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cutting_keeps_graphs_well_formed_and_the_meaning(data: st.DataObject) -> None:
    graph, _ = linear()
    ids = range(len(graph))
    fetched = tuple(dict.fromkeys(data.draw(st.lists(st.sampled_from(ids), max_size=4))))
    fed = tuple(sorted(data.draw(st.sets(st.sampled_from(ids), max_size=4))))
    groups = data.draw(st.sampled_from([(), ("train",), ("reset",), ("other", "reset")]))
    declared, labels = cut(graph, fetched, fed, groups)
    verify(declared)
    assert set(labels) == set(fed) and len(set(labels.values())) == len(fed)
    with Session(graph, "interpreter") as session:
        nodes = graph.nodes
        values = session.run([nodes[i] for i in ids], {"x": X})
        feeds = {nodes[i]: values[i] for i in fed} | {graph["x"]: X}
        found = session.run([nodes[i] for i in fetched], feeds)
        for i, value in zip(fetched, found, strict=True):
            assert np.array_equal(value, values[i])


def test_what_is_fed_and_not_needed_is_checked_and_ignored(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        assert np.array_equal(session.run("w", {"x": X}), W)
        with pytest.raises(FeedError, match="'x' has the shape"):
            session.run("w", {"x": X[:, :2]})
    x = placeholder("x", ("n", 2))
    graph = define(y=x * 2.0, ones=ops.broadcast_to(constant(1.0), x.shape))
    with Session(graph, backend) as session:
        # No node that makes `ones` reads x, and x alone says how many there are.
        assert np.array_equal(session.run("ones", {"x": np.zeros((5, 2), np.float32)}), np.ones((5, 2)))
        with pytest.raises(FeedError, match="no feed binds the size 'n'"):
            session.run("ones")


def test_a_default_is_used_where_nothing_is_fed(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        assert np.array_equal(session.run("scaled", {"x": X}), X @ W * 2)
        assert np.array_equal(session.run("scaled", {"x": X, "scale": 3}), X @ W * 3)
        assert np.array_equal(session.run("scaled", {"x": X}), X @ W * 2)


def test_named_sizes_are_bound_anew_by_each_run(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        step = session.prepare("z", "x")
        for rows in [*range(20), 3, 0, 19]:  # more than are kept at hand
            x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
            assert np.array_equal(step(x), x @ W)


def unknown_line() -> Expr:
    return placeholder("q", (2,))


ERRORS: list[tuple[str, type[SymgraphError], str, Callable[[Session, dict[str, Expr]], Any]]] = [
    ("fetch unknown", GraphError, "'nope' is no output", lambda s, e: s.run("nope")),
    ("fetch number", GraphError, "3 cannot be fetched", lambda s, e: s.run(["z", 3], {"x": X})),
    ("fetch set", GraphError, "cannot be fetched", lambda s, e: s.run({"z"}, {"x": X})),
    ("foreign node", GraphError, "another graph", lambda s, e: s.run(define(y=e["x"] * 3.0)["y"])),
    ("missing", FeedError, "the placeholder 'x' has no value", lambda s, e: s.run("z")),
    ("unknown feed", FeedError, "'nope' is no output", lambda s, e: s.run("z", {"x": X, "nope": 1})),
    ("foreign feed", FeedError, "not in this graph", lambda s, e: s.run("z", {unknown_line(): X})),
    ("fed twice", FeedError, "one node, fed twice", lambda s, e: s.run("z", {"x": X, e["x"]: X})),
    ("rank", FeedError, r"'x' has the shape \[3\]", lambda s, e: s.run("z", {"x": X[0]})),
    ("shape", FeedError, r"\[batch,3\] was declared", lambda s, e: s.run("z", {"x": X.T})),
    ("precision", FeedError, "loses precision", lambda s, e: s.run("z", {"x": X.astype(np.float64)})),
    ("text", FeedError, "'x' holds", lambda s, e: s.run("z", {"x": "text"})),
    ("none", FeedError, "'x' holds object", lambda s, e: s.run("z", {"x": None})),
    ("ragged", FeedError, "is no array", lambda s, e: s.run("z", {"x": [[1.0], [1.0, 2.0]]})),
    ("sizes", FeedError, "bind batch to two", lambda s, e: s.run("z", {"x": X, "scaled": X[:1, :2]})),
    ("inner shape", FeedError, "'z' has the shape", lambda s, e: s.run("loss", {"z": X})),
    ("feeds list", FeedError, "feeds are a mapping", lambda s, e: s.run("z", [X])),
    ("group", GraphError, "'nope' is no update group", lambda s, e: s.run("z", {"x": X}, update="nope")),
    ("clash", GraphError, "both change 'b'", lambda s, e: s.run(None, update=("train", "other"))),
    ("update kind", GraphError, "3 is none", lambda s, e: s.run(None, update=3)),  # type: ignore[arg-type]
    ("update kinds", GraphError, "3 is none", lambda s, e: s.run(None, update=["train", 3])),  # type: ignore[list-item]
    ("prepared kind", FeedError, "3 names nothing", lambda s, e: s.prepare("z", 3)),  # type: ignore[arg-type]
    ("prepared kinds", FeedError, "3 is no name", lambda s, e: s.prepare("z", ["x", 3])),
    ("few", FeedError, "0 values are fed, and this step takes 1", lambda s, e: s.prepare("z", "x")()),
    ("many", FeedError, "2 values are fed", lambda s, e: s.prepare("z", "x")(X, X)),
    ("step missing", FeedError, "'x' is not fed", lambda s, e: s.prepare("z", "x")({})),
    ("step extra", FeedError, "'w' was not prepared", lambda s, e: s.prepare("z", "x")({"x": X, "w": W})),
    ("assign name", FeedError, "'nope' is no variable", lambda s, e: s.variables.assign("nope", W)),
    ("assign shape", FeedError, "'w' has the shape", lambda s, e: s.variables.assign("w", W.T)),
    ("assign dtype", FeedError, "loses precision", lambda s, e: s.variables.assign("b", np.zeros(2))),
    ("assign twice", FeedError, "holds the values", lambda s, e: s.variables.assign({"w": W}, W)),
    ("no graph", GraphError, "a session runs a graph", lambda s, e: Session(e["z"])),  # type: ignore[arg-type]
    ("backend", CompileError, "no backend 'gpu'", lambda s, e: Session(s.graph, "gpu")),
    ("seed", FeedError, "a seed is a whole number", lambda s, e: Session(s.graph, seed=-1)),
    ("seed kind", FeedError, "a seed is a whole number", lambda s, e: Session(s.graph, seed=0.5)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(
    ("kind", "match", "act"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_errors_say_what_is_wrong_and_change_nothing(
    kind: type[SymgraphError], match: str, act: Callable[[Session, dict[str, Expr]], Any]
) -> None:
    graph, e = linear()
    with Session(graph, "numpy") as session:
        with pytest.raises(kind, match=match):
            act(session, e)
        assert session.step == 0
        assert np.array_equal(session.variables["w"], W)
        assert np.array_equal(session.run("z", {"x": X}), X @ W)


def test_numerics_are_those_of_compile() -> None:
    graph, _ = linear()
    with pytest.raises(CompileError, match="wrong"):
        Session(graph, "numpy", numerics="wrong")  # type: ignore[arg-type]
    with Session(graph, "numpy", numerics="bitwise") as session:
        assert session.prepare("w").executable.numerics == "bitwise"


# Updates


def test_updates_are_simultaneous(backend: str) -> None:
    a, b = variable("a", (3,), init=1.0), variable("b", (3,), init=2.0)
    graph = define({"sum": a + b}, updates={"swap": {a: b, b: a}, "add": {a: a + b, b: a - b}})
    with Session(graph, backend) as session:
        values = [1.0, 2.0]
        for group in ("swap", "add", "add", "swap", "add"):
            before = session.run({"a": "a", "b": "b", "sum": "sum"}, update=group)
            assert [before["a"][0], before["b"][0]] == values  # what is fetched is from before
            assert before["sum"][0] == sum(values)
            values = values[::-1] if group == "swap" else [values[0] + values[1], values[0] - values[1]]
        assert session.step == 5
        assert {name: v[0] for name, v in session.variables.items()} == dict(zip("ab", values, strict=True))


def test_several_groups_happen_at_once(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        session.run(None, update=["reset", "other", "reset"])
        assert session.step == 1
        assert np.array_equal(session.variables["w"], W * 0)
        assert np.array_equal(session.variables["b"], [-0.5, -0.5])
        session.run(None, update=())
        assert session.step == 1


@attrs.frozen
class Poke(Op):
    """x, after a call to whatever `HOOK` holds: for tests of what happens while a run is under way."""

    name = "poke"
    pure = False
    HOOK: ClassVar[list[Callable[[Array], None]]] = []

    def infer(self, *types: TensorType) -> TensorType:
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        for hook in self.HOOK:
            hook(arrays[0])
        return arrays[0].copy()


@pytest.fixture
def hook() -> Iterator[list[Callable[[Array], None]]]:
    Poke.HOOK.clear()
    yield Poke.HOOK
    Poke.HOOK.clear()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ExecutionError, SystemExit])
def test_a_failed_run_changes_nothing(
    backend: str, error: type[BaseException], hook: list[Callable[[Array], None]]
) -> None:
    a, b = variable("a", (4,), init=1.0), variable("b", (4,), init=2.0)
    graph = define({"sum": a + b}, updates={"t": {a: a * 2.0, b: apply(Poke(), b * 3.0)}})

    def fail(x: Array) -> None:
        raise error("stop")

    with Session(graph, backend) as session:
        expected = [1.0, 2.0]
        for failing in (True, False, True, True, False, False, True):
            hook[:] = [fail] if failing else []
            if failing:
                with pytest.raises((error, ExecutionError)):
                    session.run("sum", update="t")
            else:
                session.run("sum", update="t")
                expected = [expected[0] * 2, expected[1] * 3]
            assert [session.variables["a"][3], session.variables["b"][3]] == expected
        assert session.step == 3


def test_an_assertion_that_does_not_hold_stops_the_update(backend: str) -> None:
    x, w = placeholder("x"), variable("w", (), init=1.0)
    graph = define(
        {"loss": ops.assert_finite(w * x, label="loss")},
        updates={"t": {w: ops.assert_finite(w * x)}},
    )
    with Session(graph, backend) as session:
        session.run("loss", {"x": 3.0}, update="t")
        with pytest.raises(ExecutionError, match="not finite"):
            session.run(None, {"x": float("inf")}, update="t")
        assert session.variables["w"] == 3.0 and session.step == 1
        assert session.run("loss", {"x": 2.0}, update="t") == 6.0


INTERRUPTED = """
import signal, sys, time
import numpy as np
from symgraph.define import define
from symgraph.expr import variable
from symgraph.session import Session

a, b = variable("a", (300,)), variable("b", (300,))
graph = define({"a": a}, updates={"t": {a: a + 1.0, b: b + 1.0}})
interrupts = 0
with Session(graph, sys.argv[1]) as session:
    update, read = session.prepare(None, (), "t"), session.prepare("a")
    update(), read()  # to compile takes longer than the interrupts leave
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, interrupt)
    while interrupts < 200:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + interrupts * 1e-6)
            while True:
                update()
                read()
        except KeyboardInterrupt:
            interrupts += 1
        found = session.variables.snapshot()
        assert (found["a"] == session.step).all() and (found["b"] == session.step).all()
    places = set()
    for _ in range(10):
        update()
        places.add(session._open().values[0].ctypes.data)
    print(interrupts, len(places), session.step > 200)
"""


def test_interrupts_at_any_moment_change_all_or_nothing(backend: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout.split() == ["200", "2", "True"], done.stderr


TRAINED = """
import hashlib, sys
import numpy as np
from symgraph import ops
from symgraph.define import define
from symgraph.expr import placeholder, variable
from symgraph.session import Session
from symgraph.train import initializers, minimize, sgd

x = placeholder("x", ("n", 8))
h = x
for k in range(4):
    h = ops.tanh(h @ variable(f"w{k}", (8, 8), init=initializers.normal(0.0, 0.5)) + variable(f"b{k}", (8,)))
graph = minimize(define(loss=ops.mean(h * h)), "loss", sgd(0.1))
with Session(graph, sys.argv[1], seed=5) as session:
    rng = np.random.default_rng(0)
    for _ in range(5):
        session.run("loss", {"x": rng.normal(size=(16, 8)).astype(np.float32)}, update="train")
    values = session.variables.snapshot()
    print(hashlib.sha256(b"".join(values[name].tobytes() for name in sorted(values))).hexdigest())
"""


def test_the_same_run_gives_the_same_bits_in_another_process(backend: str) -> None:
    found = set()
    for salt in ("0", "1"):  # the order of sets differs
        command = [sys.executable, "-c", TRAINED, backend]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": salt},
        )
        assert len(done.stdout) == 65, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_in_the_steady_state_updates_take_turns_on_two_arrays(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        step = session.prepare((), (), "train")
        seen = set()
        for _ in range(20):
            step()
            seen.add(session._open().values[0].ctypes.data)
            assert session.variables["w"][0, 0] == 2.0**session.step
        assert len(seen) == 2


# Steps


def test_a_step_takes_feeds_by_position_or_name(backend: str) -> None:
    a, b = placeholder("a", ("n",)), placeholder("b", ("n",))
    with Session(define(y=a - b * 2.0, twice=b * 2.0), backend) as session:
        assert np.array_equal(session.prepare("twice", b)([1.0]), session.prepare("twice", "b")([1.0]))
        one, two = np.ones(3, np.float32), np.full(3, 2, np.float32)
        for names in (["a", "b"], ["b", "a"], [b, "a"], (b, a)):
            step = session.prepare({"y": "y"}, names)
            values = {"a": one, "b": two, a: one, b: two}
            assert np.array_equal(step(*(values[n] for n in names))["y"], [-3, -3, -3])
            assert np.array_equal(step({n: values[n] for n in reversed(names)})["y"], [-3, -3, -3])
        step = session.prepare("y", {"a": 0, "b": 0})
        assert np.array_equal(step([1.0], [2.0]), [-3.0])
        with pytest.raises(FeedError, match="bind n to two sizes"):
            step(one, two[:2])
        with pytest.raises(FeedError, match="loses precision"):
            step(one.astype(np.float64), two)
        with pytest.raises(FeedError, match="shape"):
            step(one.reshape(3, 1), two)
        assert np.array_equal(step(np.arange(6, dtype=np.float32)[::2], two), [-4, -2, 0])
        assert repr(step) == f"<Step of (a, b) on {backend}>"


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.array(2.0, np.float32), np.int8(2), True + 1])
def test_scalars_are_fed_in_any_spelling(backend: str, value: Any) -> None:
    with Session(define(y=placeholder("a") * 1.5), backend) as session:
        assert session.run("y", {"a": value}) == 3.0


def test_a_kind_of_run_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, e = linear()
    made = []
    real = symgraph.run_plan.compile

    def counting(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(symgraph.run_plan, "compile", counting)
    with Session(graph, "interpreter") as session:
        for _ in range(3):
            session.run("z", {"x": X})
            session.run([e["z"], {"again": "z"}], {e["x"]: X})
            session.prepare("z", "x")(X)
        assert len(made) == 1
        session.run("z", {"x": X}, update="train")
        session.run("z", {"x": X, "scale": 1.0})
        session.run("z", {"scale": 1.0, "x": X})
        assert len(made) == 3


# Variables


def test_variables_are_copies_and_assigned_all_or_none(backend: str) -> None:
    graph, _ = linear()
    with Session(graph, backend) as session:
        session.variables["w"][...] = 9.0
        assert np.array_equal(session.variables["w"], W)
        given = np.full((3, 2), 4, np.float32)
        session.variables.assign("w", given)
        given[...] = 5.0
        assert np.array_equal(session.run("z", {"x": X}), X @ np.full((3, 2), 4.0))
        with pytest.raises(FeedError):
            session.variables.assign({"b": [1.0, 1.0], "w": W.T})
        assert np.array_equal(session.variables["b"], [0.0, 0.0])
        session.variables.assign({"b": [1, 1], "w": W})
        for _ in range(3):
            session.run((), update="train")
        assert np.array_equal(session.variables["w"], W * 8)
        assert np.array_equal(session.variables["b"], [4.0, 4.0])
        assert list(session.variables) == list(graph.variables) and len(session.variables) == 2
        assert set(session.variables.snapshot()) == {"w", "b"}
        assert "nope" not in session.variables and session.variables.get("nope") is None
        with pytest.raises(KeyError):
            session.variables["nope"]
        with pytest.raises(GraphError, match="read-only"):
            session.variables["w"] = W  # type: ignore[index]


def test_first_values_depend_on_the_seed_and_the_name_alone() -> None:
    normal = initializers.normal()
    a, b, c = (variable(name, (4, 5), init=normal) for name in ("a", "layer/b", "c"))
    small = initial_values(define(y=b * 1.0), 3)
    large = initial_values(define(y=c + b * a), 3)
    assert np.array_equal(small["layer/b"], large["layer/b"])
    assert not np.array_equal(large["a"], large["c"])
    assert not np.array_equal(initial_values(define(y=b * 1.0), 4)["layer/b"], small["layer/b"])
    with Session(define(y=c + b * a), "interpreter", seed=3) as session:
        assert session.seed == 3
        assert np.array_equal(session.variables["layer/b"], small["layer/b"])


def test_a_closed_session_is_an_error() -> None:
    graph, _ = linear()
    with Session(graph, "interpreter") as session:
        step = session.prepare("z", "x")
        plain = session.prepare("loss", ["z"])
        variables = session.variables
    session.close()  # closing twice is none
    acts: list[Callable[[], Any]] = [
        lambda: session.run("z", {"x": X}),
        lambda: session.prepare("z", "x"),
        lambda: step(X),
        lambda: plain(X @ W),
        lambda: session.step,
        lambda: session.seed,
        lambda: session.variables,
        lambda: variables["w"],
        lambda: variables.assign("w", W),
        lambda: session.save("unused"),
        lambda: session.run(None, update="train"),
    ]
    for act in acts:
        with pytest.raises(ExecutionError, match="the session is closed"):
            act()
    assert "closed" in repr(session)


def test_dtypes_come_back_as_declared(backend: str) -> None:
    names = ["float32", "float64", "int32", "int64", "bool"]
    found = {name: placeholder(name, ("n",), name) for name in names}
    graph = define({f"out {name}": ops.expand_dims(x, 0) for name, x in found.items()})
    with Session(graph, backend) as session:
        result = session.run([f"out {n}" for n in names], {n: np.array([0, 1], n) for n in names})
        assert [array.dtype.name for array in result] == names
    with pytest.raises(DTypeError):
        placeholder("half", (), "float16")


# Threads


def test_a_reader_keeps_the_values_it_began_with(backend: str, hook: list[Callable[[Array], None]]) -> None:
    w = variable("w", (1000,), init=1.0)
    graph = define({"slow": apply(Poke(), w), "sum": ops.sum(w)}, updates={"t": {w: w + 1.0}})
    entered, leave = threading.Event(), threading.Event()
    reader_thread: list[threading.Thread] = []

    def wait(x: Array) -> None:
        if threading.current_thread() in reader_thread:
            entered.set()
            assert leave.wait(10)

    hook.append(wait)
    with Session(graph, backend) as session:
        session.run(None, update="t")
        results: list[Any] = []
        # `slow` reads w twice: before and, by the copy in `evaluate`, after the updates.
        thread = threading.Thread(target=lambda: results.append(session.run("slow")))
        reader_thread.append(thread)
        thread.start()
        assert entered.wait(10)
        for count in range(5):
            session.run(None, update="t")
            assert session.run("sum") == (3 + count) * 1000  # others see each update
        leave.set()
        thread.join()
        assert np.array_equal(results[0], np.full(1000, 2.0))
        seen = set()
        for _ in range(6):
            session.run(None, update="t")
            seen.add(session._open().values[0].ctypes.data)
        assert len(seen) == 2  # no reader is left, so the arrays take turns again


def test_readers_never_see_half_an_update(backend: str) -> None:
    a, b = variable("a", (500,)), variable("b", (500,))
    graph = define(
        {"low": ops.min(a - b), "high": ops.max(a - b), "spread": ops.max(a) - ops.min(a)},
        updates={"t": {a: a + 1.0, b: b + 1.0}},
    )
    stop = threading.Event()
    failures: list[Any] = []
    reads: list[int] = []

    def read(session: Session) -> None:
        step = session.prepare(["low", "high", "spread"])
        while not stop.is_set():
            found = step()
            reads.append(1)
            if found != [0.0, 0.0, 0.0]:
                failures.append(found)
            snapshot = session.variables.snapshot()
            if not np.array_equal(snapshot["a"], snapshot["b"]):
                failures.append(["snapshot"])

    with Session(graph, backend) as session:
        update = session.prepare(None, (), "t")
        threads = [threading.Thread(target=read, args=(session,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        while len(reads) < 200 or session.step < 300:
            update()
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert session.variables["a"][0] == session.step


def test_updates_of_several_threads_all_count(backend: str) -> None:
    w = variable("w", (), "int64")
    with Session(define({}, updates={"t": {w: w + 1}}), backend) as session:
        step = session.prepare(None, (), "t")

        def work() -> None:
            for _ in range(200):
                step()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.variables["w"] == session.step == 600


def test_setting_an_item_names_assign() -> None:
    w = variable("w", (), init=3.0)
    session = Session(define(y=-w), backend="interpreter")
    with pytest.raises(GraphError) as caught:
        session.variables["w"] = 1.0  # type: ignore[index]
    assert 'session.variables.assign("w", value)' in caught.value.hint
    assert session.variables["w"] == 3.0


def test_fetching_an_update_group_names_update() -> None:
    w = variable("w", (), init=3.0)
    session = Session(define({"y": -w}, updates={"train": {w: w + 1.0}}), backend="interpreter")
    for fetches in ("train", ["y", "train"]):
        with pytest.raises(GraphError) as caught:
            session.run(fetches)
        assert 'update="train"' in caught.value.hint
    with pytest.raises(GraphError) as caught:
        session.run("other")
    assert "update=" not in caught.value.hint


@pytest.mark.parametrize("backend", ["interpreter", "numpy"])
def test_undo_takes_back_the_last_update_alone(backend: str) -> None:
    u, w = variable("u", (2,), init=1.0), variable("w", (2,), init=1.0)
    x = placeholder("x", (2,))
    checked = ops.assert_finite(w * x)
    graph = define({"w": w}, updates={"w": {w: checked}, "both": {w: w + u, u: u + 1.0}})
    with Session(graph, backend) as session:
        with pytest.raises(ExecutionError, match="no update to take back"):
            session.undo()
        session.run(None, update="both")
        first = session.variables.snapshot()
        session.run(None, {"x": np.float32([2, 3])}, update="w")
        session.undo()
        assert session.step == 1
        for name, value in session.variables.snapshot().items():
            np.testing.assert_array_equal(value, first[name])
        with pytest.raises(ExecutionError, match="no update to take back"):
            session.undo()
        session.run(None, update="both")
        session.undo()
        np.testing.assert_array_equal(session.variables["u"], first["u"])
        session.run(None, {"x": np.float32([2, 3])}, update="w")
        with pytest.raises(ExecutionError, match="not finite"):
            session.run(None, {"x": np.float32([np.nan, 3])}, update="w")
        with pytest.raises(ExecutionError, match="no update to take back"):  # the spare arrays were written
            session.undo()
        np.testing.assert_array_equal(session.variables["w"], [4, 6])
        session.variables.assign("w", [0, 0])
        with pytest.raises(ExecutionError, match="no update to take back"):
            session.undo()


def test_a_step_checks_feeds_without_a_run() -> None:
    x, w = placeholder("x", ("n",)), variable("w", ())
    step = Session(define({"y": x * w}, updates={"grow": {w: w + 1.0}}), "numpy").prepare("y", "x", "grow")
    step.check(np.ones(3, np.float32))
    step.check({"x": np.ones(3, np.float32)})
    with pytest.raises(FeedError, match="float64"):
        step.check(np.ones(3))
    with pytest.raises(FeedError, match="2 values are fed"):
        step.check(1.0, 2.0)
    assert step(np.ones(1, np.float32))[0] == 0
