"""What changes from step to step: running statistics, random keys, the two modes, shared parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import symgraph as sg
from symgraph import nn
from symgraph.build import BuildState

x = sg.placeholder("x", ("batch", 6))
RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 6)).astype(np.float32)


@sg.do
def both(layer):
    """A layer for training as `y`, and for evaluation as `z`."""
    training, evaluation = yield from nn.modes(layer(x))
    return nn.Output({"y": training.value, "z": evaluation.value}, training.state)


@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_running_statistics_are_those_of_a_loop(momentum: float) -> None:
    graph = nn.graph(both(nn.batch_norm(momentum)))
    mean, variance = np.zeros(6), np.ones(6)
    with sg.Session(graph, backend="numpy") as session:
        for _ in range(5):
            batch = RNG.normal(1, 2, size=(7, 6)).astype(np.float32)
            y, z = session.run(("y", "z"), {"x": batch}, update="state")
            np.testing.assert_allclose(z, (batch - mean) / np.sqrt(variance + 1e-3), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(
                y, (batch - batch.mean(0)) / np.sqrt(batch.var(0) + 1e-3), rtol=1e-4, atol=1e-5
            )
            mean = momentum * mean + (1 - momentum) * batch.mean(0)
            variance = momentum * variance + (1 - momentum) * batch.var(0)  # the biased variance
            np.testing.assert_allclose(session.variables["batch_norm/mean"], mean, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(session.variables["batch_norm/variance"], variance, rtol=1e-5)


def test_a_shared_batch_norm_goes_on_from_its_first_use() -> None:
    norm = nn.shared("norm", nn.batch_norm(0.5))

    @sg.do
    def twice():
        first, before = yield from norm(x)
        second, after = yield from norm(x * 3.0)
        return nn.Output({"y": first, "z": second}, {**before, **after})

    graph = nn.graph(twice())
    assert sorted(graph.variables) == ["norm/bias", "norm/mean", "norm/scale", "norm/variance"]
    with sg.Session(graph, backend="numpy") as session:
        session.run("y", {"x": X}, update="state")
        expected = 0.5 * (0.5 * X.mean(0)) + 0.5 * (3 * X).mean(0)
        np.testing.assert_allclose(session.variables["norm/mean"], expected, rtol=1e-5)

    @sg.do
    def stale():
        first, before = yield from norm(x)
        second, after = yield from norm(x * 3.0)
        return nn.Output({"y": first, "z": second}, {**after, **before})

    with pytest.raises(sg.GraphError, match=r"(?s)a later one of 'norm/mean' was dropped.*in the order"):
        nn.graph(stale())


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_dropout_differs_by_step_and_by_layer_and_is_off_in_evaluation(backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite", reason="the native backend is an extra")
    ones = np.ones((50, 6), np.float32)

    @sg.do
    def model():
        training, evaluation = yield from nn.modes(nn.parallel(nn.dropout(0.25), nn.dropout(0.25))(x))
        return nn.Output({"y": training.value, "z": evaluation.value}, training.state)

    graph = nn.graph(model())
    assert list(graph.variables) == ["random_key"]
    seen = []
    for seed in (0, 0, 1):
        with sg.Session(graph, backend=backend, seed=seed) as session:
            for _ in range(3):
                y, z = session.run(("y", "z"), {"x": ones}, update="state")
                np.testing.assert_array_equal(z, 1)
                np.testing.assert_allclose(np.unique(y), [0, 4 / 3], rtol=1e-6)
                assert abs(np.mean(y == 0) - 0.25) < 0.1
                assert not np.array_equal(y[:, :6], y[:, 6:])  # the two layers
                seen.append(y.tobytes())
            again = session.run("y", {"x": ones})
            assert (
                again.tobytes() == session.run("y", {"x": ones}).tobytes()
            )  # nothing moves without the update
    assert seen[:3] == seen[3:6] and len(set(seen)) == 6


def test_a_layer_added_elsewhere_changes_no_mask() -> None:
    def mask(*before) -> np.ndarray:
        graph = nn.graph(named(nn.sequential(*before, nn.named("last", nn.dropout(0.5)))(x)))
        with sg.Session(graph, backend="numpy", seed=5) as session:
            return session.run("y", {"x": np.ones((9, 6), np.float32)}) != 0

    assert np.array_equal(mask(), mask(nn.sequential(nn.dropout(0.0), sg.exp)))
    assert np.array_equal(mask(), mask(nn.residual(nn.dropout(0.5))))


@sg.do
def named(build):
    y, state = yield from build
    return nn.Output({"y": y}, state)


def test_keys_of_one_scope_differ_and_one_variable_makes_them() -> None:
    @sg.do
    def drawn():
        first, before = yield from nn.next_key()
        second, after = yield from nn.next_key()
        third, last = yield from sg.scope("inner", nn.next_key())
        return nn.Output({"a": first, "b": second, "c": third}, {**before, **after, **last})

    graph = nn.graph(drawn())
    assert list(graph.variables) == ["random_key"] and len(graph.update_group("state")) == 1
    keys = set()
    with sg.Session(graph, backend="numpy") as session:
        for _ in range(4):
            keys |= {tuple(map(int, key)) for key in session.run(("a", "b", "c"), update="state")}
            keys.add(tuple(map(int, session.variables["random_key"])))
    assert len(keys) == 16


def test_modes_share_parameters_and_merge_what_is_equal() -> None:
    layers = nn.sequential(nn.dense(4, sg.relu), nn.dense(2))
    graph = nn.graph(both(layers))
    outputs = dict(graph.outputs)
    assert outputs["y"] == outputs["z"] and len(graph.variables) == 4 and not graph.updates
    norm = nn.graph(both(nn.sequential(layers, nn.batch_norm())))
    assert len(norm.variables) == 8
    assert sum(node.op.name == "matmul" for node in norm.nodes) == 2


def test_modes_of_a_build_that_declares_its_own_inputs() -> None:
    @sg.do
    def network():
        given = sg.placeholder("given", ("batch", 3))
        scale = sg.variable("scale", (3,), init=2.0)
        h, state = yield from nn.sequential(nn.dense(3), nn.batch_norm())(given * scale)
        return nn.Output({"y": h}, state)

    @sg.do
    def model():
        training, evaluation = yield from nn.modes(network())
        return nn.Output({"y": training.value["y"], "z": evaluation.value["y"]}, training.state)

    graph = nn.graph(model())
    assert list(graph.placeholders) == ["given"] and "scale" in graph.variables


def test_what_the_second_mode_declares_otherwise_is_an_error() -> None:
    @sg.do
    def fickle():
        training = yield from nn.is_training()
        w = yield from sg.parameter("w", (3,), init=1.0 if training else 2.0)
        return nn.Output(w)

    with pytest.raises(sg.GraphError, match=r"(?s)'w' is declared again in another way.*Constant"):
        sg.run_build(nn.modes(fickle()))

    @sg.do
    def double():
        yield from sg.parameter("w", (3,))
        yield from sg.parameter("w", (3,))

    with pytest.raises(sg.GraphError, match="declared twice"):
        sg.run_build(nn.modes(double()))

    @sg.do
    def grows():
        training = yield from nn.is_training()
        if not training:
            yield from sg.parameter("only", (2,))
        return (yield from sg.parameter("w", (3,)))

    pair, after = sg.run_build(nn.modes(grows()))
    assert pair.training is pair.evaluation and list(after.parameters) == ["w", "only"]
    assert after.training and after.path == ()


def test_evaluating_a_part_keeps_its_statistics_still() -> None:
    graph = nn.graph(named(nn.sequential(nn.evaluating(nn.sequential(nn.batch_norm(), nn.dropout(0.5))))(x)))
    assert not graph.updates
    with sg.Session(graph, backend="numpy") as session:
        np.testing.assert_allclose(session.run("y", {"x": X}), X / np.sqrt(1.001), rtol=1e-6)
    after = sg.run_build(nn.sequential(nn.evaluating(sg.relu), nn.dropout(0.5))(x))[1]
    assert after.training and len(after.pending) == 1


def test_a_layer_used_twice_has_two_sets_of_parameters() -> None:
    layer = nn.dense(6)
    _, after = sg.run_build(nn.sequential(layer, nn.named("mine", layer), layer)(x))
    assert [name for name in after.parameters if name.endswith("w")] == ["dense/w", "mine/w", "dense_1/w"]


def test_a_shared_layer_has_one_set_wherever_it_is_applied() -> None:
    tower = nn.shared("tower", nn.sequential(nn.dense(4, sg.tanh), nn.dense(3)))

    @sg.do
    def siamese():
        a, _ = yield from sg.scope("left", tower(x))
        b, _ = yield from tower(x * 2.0)
        h, _ = yield from nn.dense(2)(a - b)  # names go on as if the tower were not there
        return nn.Output({"y": h})

    graph = nn.graph(siamese())
    assert sorted(graph.variables) == sorted(
        [f"tower/{name}" for name in ("dense/w", "dense/b", "dense_1/w", "dense_1/b")]
        + ["dense/w", "dense/b"]
    )
    assert nn.graph(siamese()) == graph
    both_modes = nn.graph(both(nn.sequential(tower, nn.dense(4), nn.dense(6), nn.sequential(tower))))
    assert sum(name.startswith("tower") for name in both_modes.variables) == 4

    @sg.do
    def clash():
        yield from tower(x)
        yield from nn.shared("tower", nn.dense(7))(x)

    with pytest.raises(sg.GraphError, match="'tower' is shared by two layers"):
        sg.run_build(clash())
    with pytest.raises(sg.GraphError, match="has parameters already"):
        sg.run_build(nn.sequential(nn.named("tower", nn.dense(6)), tower)(x))
    with pytest.raises(sg.GraphError, match="declared again in another way"):
        sg.run_build(nn.sequential(nn.shared("t", nn.dense(5)), nn.shared("t", nn.dense(5)))(x))


def test_masks_of_a_shared_dropout_differ_by_use() -> None:
    drop = nn.shared("drop", nn.dropout(0.5))
    graph = nn.graph(named(nn.parallel(drop, drop)(x)))
    with sg.Session(graph, backend="numpy") as session:
        y = session.run("y", {"x": np.ones((20, 6), np.float32)})
    assert not np.array_equal(y[:, :6], y[:, 6:])


def test_a_user_layer_with_a_state() -> None:
    @sg.do
    def counting(h: sg.Expr):
        seen = yield from sg.parameter("seen", (), "int64", init=0)
        before = yield from nn.latest(seen)
        state = yield from nn.updated(seen, before + 1)
        return nn.Output(h + sg.cast(seen, "float32"), state)

    graph = nn.graph(both(nn.sequential(counting, counting)))
    with sg.Session(graph, backend="numpy") as session:
        for step in range(3):
            y, z = session.run(("y", "z"), {"x": X}, update="state")
            np.testing.assert_allclose(y, X + 2 * step, rtol=1e-6)
            np.testing.assert_array_equal(y, z)
    with pytest.raises(sg.GraphError, match="only a variable has a next value"):
        nn.updated(x, x)


def layers() -> st.SearchStrategy:
    single = st.sampled_from(
        [
            nn.dense(6, sg.tanh),
            nn.batch_norm(),
            nn.dropout(0.5),
            nn.layer_norm(),
            nn.named("n", nn.dense(6)),
            nn.shared("s", nn.sequential(nn.dense(6), nn.dropout(0.1))),
            sg.relu,
            nn.residual(nn.dense(6)),
        ]
    )
    return st.recursive(
        single, lambda inner: st.lists(inner, max_size=3).map(lambda some: nn.sequential(*some))
    )


def several(*chosen) -> bool:
    return str(chosen).count("named(") < 2  # a name is taken once


@settings(max_examples=40, deadline=None)
@given(layers(), layers(), layers())
def test_sequential_is_associative_and_runs_again(a, b, c) -> None:
    if not several(a, b, c):
        return
    whole = nn.graph(named(nn.sequential(a, b, c)(x)))
    assert nn.graph(named(nn.sequential(a, b, c)(x))) == whole
    assert nn.graph(named(nn.sequential(nn.sequential(a, b), c)(x))) == whole
    assert nn.graph(named(nn.sequential(a, nn.sequential(b, nn.sequential(), c))(x))) == whole
    build = nn.sequential(a, b, c)(x)
    (first, one), (second, two) = sg.run_build(build), sg.run_build(build)
    graphs = [sg.define({"y": h}, updates={"state": state}) for h, state in (first, second)]
    assert graphs[0] == graphs[1]
    assert list(one.parameters) == list(two.parameters) and len(one.pending) == len(two.pending)


@settings(max_examples=30, deadline=None)
@given(layers(), layers())
def test_the_monad_laws_hold_for_what_layers_thread(a, b) -> None:
    if not several(a, b):
        return

    def seen(build) -> tuple:
        output, after = sg.run_build(build, BuildState(path=("net",)))
        graph = sg.define({"y": output.value}, updates={"state": output.state} if output.state else {})
        return graph, list(after.parameters), sorted(after.draws.items()), sorted(after.pending), after.path

    def first(h):
        return nn.sequential(a)(h)

    def second(output):
        both = nn.sequential(b)(output.value)
        return both.map(lambda made: nn.Output(made.value, {**output.state, **made.state}))

    assert seen(sg.pure(x).bind(first)) == seen(first(x))
    assert seen(first(x).bind(sg.pure)) == seen(first(x))
    chained = first(x).bind(second)
    assert seen(chained.bind(sg.pure)) == seen(first(x).bind(lambda h: second(h).bind(sg.pure)))


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_training_by_fit_with_validation_in_the_other_mode(backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite", reason="the native backend is an extra")

    @sg.do
    def network():
        y = sg.placeholder("y", ("batch",), "int64")
        layers = nn.sequential(
            nn.dense(32, sg.relu),
            nn.batch_norm(0.9),
            nn.dropout(0.2),
            nn.residual(nn.dense(32, sg.tanh)),
            nn.dense(2),
        )
        logits, state = yield from layers(x)
        loss = sg.mean(sg.softmax_cross_entropy(logits, y))
        return nn.Output({"loss": loss, "logits": logits}, state)

    graph = sg.train.minimize(nn.graph(nn.with_evaluation(network())), "loss", sg.train.adam(0.01))
    rng = np.random.default_rng(1)
    points = rng.normal(size=(400, 6)).astype(np.float32)
    data = {"x": points, "y": (points[:, 0] * points[:, 1] > 0).astype(np.int64)}
    first, second = (
        {name: array[part] for name, array in data.items()} for part in (np.s_[:300], np.s_[300:])
    )
    names = {name: f"evaluation/{name}" for name in ("loss", "logits")}
    histories = []
    for _ in range(2):
        with sg.Session(graph, backend=backend, seed=2) as session:
            history = sg.train.fit(
                session,
                first,
                validation=second,
                epochs=12,
                batch_size=32,
                validation_outputs=names,
                quiet=True,
            )
            again = session.run("evaluation/logits", {"x": second["x"]})
            np.testing.assert_array_equal(again, session.run("evaluation/logits", {"x": second["x"]}))
            assert np.mean(np.argmax(again, -1) == second["y"]) > 0.85
            histories.append(history.losses)
    np.testing.assert_array_equal(histories[0], histories[1])
