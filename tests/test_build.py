"""The builder: monad laws on results and states, do-notation, long chains, scopes, the three styles."""

import linecache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops
from symgraph.build import (
    Build,
    BuildState,
    PersistentMap,
    do,
    fold,
    fresh_name,
    parameter,
    parameters,
    pure,
    run,
    scope,
    sequence,
    state,
    traverse,
)
from symgraph.define import define
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, placeholder
from symgraph.steps import push, step, steps
from symgraph.text import to_text
from symgraph.train import initializers as init

LONG = 100_000


def seen(build: Build, initial: BuildState | None = None):
    """The result and state of a build in a form that compares by value: expressions as texts of graphs."""
    value, after = run(build, initial)
    shown = to_text(define(value=value), comments=False) if isinstance(value, Expr) else value
    declared = [(name, str(e.type), repr(e.op.init)) for name, e in after.parameters.items()]
    stack, top = [], after.stack
    while top is not None:
        stack.append(to_text(define(top=top[0]), comments=False))
        top = top[1]
    return shown, after.path, declared, after.fresh.items(), stack


def counted(i: int) -> Build[int]:
    """A build with effects on every part of the state."""
    return scope(
        f"s{i}",
        fresh_name("layer").bind(
            lambda name: parameter(name, (i + 1,)).bind(lambda w: push(w, 2.0).then(pure(i * 3)))
        ),
    )


numbers = st.integers(0, 20)
functions = st.sampled_from(
    [
        lambda i: pure(i + 1),
        lambda i: fresh_name("f").map(lambda name: len(name) + i),
        lambda i: push(float(i)).then(pure(i)),
        lambda i: fresh_name("p").bind(lambda n: parameter(n, (i % 5,))).map(lambda w: w.rank + i),
        lambda i: scope("inner", fresh_name("q")).map(len),
        lambda i: state(lambda now: (len(now.parameters), now)),
    ]
)
builds = numbers.map(lambda i: pure(i)) | numbers.map(counted)


@given(numbers, functions)
def test_left_identity(a, f) -> None:
    assert seen(pure(a).bind(f)) == seen(f(a))


@given(builds)
def test_right_identity(m) -> None:
    assert seen(m.bind(pure)) == seen(m)


@given(builds, functions, functions)
def test_associativity(m, f, g) -> None:
    assert seen(m.bind(f).bind(g)) == seen(m.bind(lambda x: f(x).bind(g)))


@given(builds, functions)
def test_map_then_and_do_are_bind(m, f) -> None:
    @do
    def notation():
        x = yield from m
        return (yield from f(x))

    assert seen(notation()) == seen(m.bind(f))
    assert seen(m.map(str)) == seen(m.bind(lambda x: pure(str(x))))
    assert seen(m.then(f(1))) == seen(m.bind(lambda _: f(1)))


@given(st.lists(numbers, max_size=6, unique=True))
@settings(max_examples=30)
def test_sequence_traverse_fold(items) -> None:
    assert seen(traverse(counted, items)) == seen(sequence(map(counted, items)))
    assert seen(traverse(counted, items))[0] == tuple(i * 3 for i in items)
    added = fold(lambda total, i: counted(i).map(lambda x: total + x), 0, items)
    assert seen(added)[0] == sum(i * 3 for i in items)
    assert seen(added)[1:] == seen(traverse(counted, items))[1:]


def test_builds_run_again_from_a_fresh_start() -> None:
    @do
    def layer(items):
        total = 0
        for item in items:
            total += yield from pure(item)
        w = yield from parameter("w", (total,))
        return w

    build = layer([1, 2])
    assert seen(build) == seen(build) == seen(build)
    first, _ = run(build)
    second, _ = run(build)
    assert first is not second
    for made in (sequence(map(pure, range(3))), fold(lambda a, b: pure(a + b), 0, iter([1, 2]))):
        assert run(made)[0] == run(made)[0]


@pytest.mark.parametrize("shape", ["left", "right", "do", "fold", "sequence", "nested do", "scopes"])
def test_a_hundred_thousand_steps_do_not_overflow(shape: str) -> None:
    def count(i: int) -> Build[int]:
        return pure(i) if i == LONG else pure(i + 1).bind(count)

    @do
    def loop():
        total = 0
        for _ in range(LONG):
            total += yield from pure(1)
        return total

    @do
    def nested(i: int):
        return i if i == 20_000 else (yield from nested(i + 1))

    if shape == "left":
        build = pure(0)
        for _ in range(LONG):
            build = build.bind(lambda i: pure(i + 1))
    elif shape == "scopes":
        build = pure(LONG)
        for _ in range(2_000):
            build = scope("s", build)
    else:
        build = {
            "right": lambda: pure(0).bind(count),
            "do": loop,
            "fold": lambda: fold(lambda a, b: pure(a + b), 0, [1] * LONG),
            "sequence": lambda: sequence([pure(1)] * LONG).map(sum),
            "nested do": lambda: nested(0).map(lambda i: i * 5),
        }[shape]()
    assert run(build)[0] == LONG


def test_exceptions_reach_the_users_handlers() -> None:
    def boom(_):
        raise KeyError("boom")

    @do
    def inner():
        yield from pure(1)
        raise ValueError("inside")

    @do
    def handled():
        caught = []
        for bad in (inner(), pure(0).bind(boom), parameter("w").then(parameter("w")), scope("s", inner())):
            try:
                yield from bad
            except (ValueError, KeyError, GraphError) as error:
                caught.append(type(error).__name__)
        finally_ran = yield from pure("after")
        path = yield from state(lambda now: (now.path, now))
        return caught, finally_ran, path

    assert run(handled())[0] == (["ValueError", "KeyError", "GraphError", "ValueError"], "after", ())
    with pytest.raises(ValueError, match="inside"):
        run(inner().bind(lambda _: pure(1)))


def test_finally_blocks_run() -> None:
    log = []

    @do
    def careful():
        try:
            yield from pure(0).bind(lambda _: 1 / 0)
        finally:
            log.append("closed")

    with pytest.raises(ZeroDivisionError):
        run(careful())
    assert log == ["closed"]


def test_scopes_name_parameters_and_mark_nodes() -> None:
    @do
    def layer(x):
        w = yield from parameter("w", (2,))
        return x * w

    @do
    def both(x):
        h = yield from scope("a", scope("b", layer(x)))
        return (yield from scope("c", layer(h)))

    out, after = run(both(placeholder("x", (2,))))
    assert [name for name, _ in after.parameters.items()] == ["a/b/w", "c/w"]
    graph = define(y=out)
    assert [n.origin.scope for n in graph.nodes if n.op.name == "mul"] == [("a", "b"), ("c",)]
    assert graph["a/b/w"].origin.scope == ("a", "b")
    assert after.path == ()
    for bad in ("", None, 3):
        with pytest.raises(GraphError, match="scope"):
            scope(bad, pure(1))


def test_a_parameter_declared_twice_names_both() -> None:
    with pytest.raises(GraphError, match="'s/w' is declared twice") as caught:
        run(scope("s", parameter("w").then(parameter("w"))))
    assert "test_build.py" in str(caught.value)
    run(scope("s", parameter("w")).then(parameter("w")))


def test_fresh_names() -> None:
    build = traverse(fresh_name, ["d"] * 5)
    assert run(build)[0] == ("d", "d_1", "d_2", "d_3", "d_4")
    assert run(sequence([scope("s", build), build, fresh_name("e")]))[0][2] == "e"
    assert len(set(run(traverse(fresh_name, ["d"] * 2000))[0])) == 2000


def test_parameters_lists_what_was_declared() -> None:
    value, declared = run(parameters(parameter("b", (1,)).then(parameter("a", (2,), init=init.ones))))[0]
    assert list(declared) == ["b", "a"] and declared["a"] is value


def test_three_styles_give_one_graph() -> None:
    def written() -> Expr:
        x, w, b = placeholder("x", ("n", 3)), placeholder("w", (3, 2)), placeholder("b", (2,))
        return ops.abs(x @ w + b)

    def stacked() -> Expr:
        x, w, b = placeholder("x", ("n", 3)), placeholder("w", (3, 2)), placeholder("b", (2,))
        return run(push(x, w, b).then(steps(ops.matmul, ops.add, ops.abs)))[0]

    @do
    def noted():
        x, w, b = placeholder("x", ("n", 3)), placeholder("w", (3, 2)), placeholder("b", (2,))
        z = yield from pure(x @ w)
        return ops.abs((yield from pure(z + b)))

    graphs = [define(y=written()), define(y=stacked()), define(y=run(noted())[0])]
    assert graphs[0] == graphs[1] == graphs[2]
    assert len({to_text(graph, comments=False) for graph in graphs}) == 1


def test_steps_pop_what_they_take_and_say_what_is_missing() -> None:
    x = placeholder("x", (2,))
    value, after = run(push(x, 1.0, 2.0).then(step(ops.add)))
    assert after.stack[0] is value and after.stack[1][0].op.name == "constant" and after.stack[1][1] is None
    with pytest.raises(GraphError, match="step add: it takes 2 operands, and the stack holds 1"):
        run(push(x).then(step(ops.add)))
    with pytest.raises(GraphError, match="no step"):
        steps()
    with pytest.raises(GraphError, match="arity"):
        step(lambda *operands: operands[0])
    assert run(push(x, x).then(step(lambda *o: o[0] + o[1], arity=2)))[0].op.name == "add"
    with pytest.raises(ShapeError):
        run(push(x, placeholder("z", (3,))).then(step(ops.add)))


def test_misuse_is_explained() -> None:
    with pytest.raises(GraphError, match="no generator function"):
        do(lambda: 1)
    with pytest.raises(GraphError, match="returned 1, not a Build"):
        run(pure(1).bind(lambda i: i))

    @do
    def wrong():
        yield 3

    with pytest.raises(GraphError, match="3 stands where a Build was expected"):
        run(wrong())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=30))
def test_versions_of_a_persistent_map_never_change(writes) -> None:
    versions: list[tuple[PersistentMap, dict]] = [(PersistentMap.empty(), {})]
    for back, key in writes:
        source, model = versions[-1 - back % len(versions)]
        if source.get(key) is None:
            versions.append((source.set(key, len(versions)), {**model, key: len(versions)}))
    for made, model in versions:
        assert dict(made.items()) == model and len(made) == len(model)
        assert all(made.get(k) == model.get(k) for k in range(31))


def test_a_build_in_the_place_of_a_tensor_says_what_to_write() -> None:
    build = parameter("w", (2,))
    with pytest.raises(AttributeError, match=r"no attribute 'shape'.*yield from"):
        _ = build.shape
    with pytest.raises(DTypeError, match=r"(?s)a build.*yield from"):
        ops.exp(build)
    with pytest.raises(GraphError, match=r"(?s)not an expression.*run_build"):
        define(y=build)
    assert "yield from" in repr(build)


def test_parameters_and_steps_come_from_the_lines_that_describe_them() -> None:
    x = placeholder("x", (3, 2))
    weights = parameter("w", (2, 1))
    chain = weights.bind(
        lambda w: push(x, w).then(
            steps(ops.matmul)  # this line
        )
    )
    product, state = run(chain)
    lines = {e.op.name: linecache.getline(*place(e)).strip() for e in (product, state.parameters["w"])}
    assert lines == {
        "matmul": "steps(ops.matmul)  # this line",
        "variable": 'weights = parameter("w", (2, 1))',
    }


def place(expr: Expr) -> tuple[str, int]:
    (source,) = expr.origin.sources
    return source.file, source.line


def test_a_persistent_map_never_changes_what_another_version_holds() -> None:
    one = PersistentMap.empty().set("a", 1)
    two = one.set("b", 2)
    with pytest.raises(GraphError, match="'a' has a value already"):
        two.set("a", 5)
    three, other = two.set("c", 3), one.set("b", 4)
    assert (one, two, three, other) == (
        {"a": 1},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2, "c": 3},
        {"a": 1, "b": 4},
    )
