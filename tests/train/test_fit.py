"""fit, evaluate and predict against loops written by hand, and what they say of bad input."""

import io
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.data import Examples, batches
from symgraph.train import evaluate, fit, metrics, predict
from tests.train.networks import ACCURACY, bits, classifier, points

BACKENDS = ["numpy", "llvm"]


def quiet(session: sg.Session, train: Any, **options: Any) -> sg.train.History:
    return fit(session, train, quiet=True, **options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
def test_a_fit_is_the_loop_written_by_hand(backend: str, shuffle: bool, drop_last: bool) -> None:
    data, graph = points(50), classifier()
    with sg.Session(graph, backend, seed=7) as session:
        stream = batches(data, 8, shuffle=shuffle, seed=7, drop_last=drop_last, epochs=3)
        losses, counts = [], []
        for batch in stream:
            losses.append(float(session.run("loss", batch, update="train")))
            counts.append(len(batch["x"]))
        expected = bits(session)
    with sg.Session(graph, backend, seed=7) as session:
        history = quiet(session, data, epochs=3, batch_size=8, shuffle=shuffle, drop_last=drop_last)
        assert history.losses == tuple(losses)
        assert bits(session) == expected
        per_epoch = len(losses) // 3
        assert per_epoch == (6 if drop_last else 7)
        assert session.step == len(losses) and history["step"] == (per_epoch, 2 * per_epoch, 3 * per_epoch)
    for epoch, row in enumerate(history.rows):
        part = slice(epoch * per_epoch, (epoch + 1) * per_epoch)
        mean = sum(a * n for a, n in zip(losses[part], counts[part], strict=True)) / sum(counts[part])
        assert row["loss"] == pytest.approx(mean, rel=1e-15)
        assert row["examples"] == sum(counts[part]) == (48 if drop_last else 50)
    assert history["epoch"] == (1, 2, 3) and not history.interrupted and history.seconds > 0


def test_training_learns_and_validation_is_exact_on_a_ragged_last_batch() -> None:
    train, held = points(400), points(37, seed=1)
    with sg.Session(classifier(0.5), "numpy") as session:
        history = quiet(session, train, validation=held, epochs=10, batch_size=32, metrics=ACCURACY)
        logits = session.run("logits", held)
        assert history["val_loss"][-1] == pytest.approx(float(session.run("loss", held)), rel=1e-6)
        right = np.mean(logits.argmax(axis=1) == held["y"])
        assert history["val_accuracy"][-1] == right > 0.8
        assert "accuracy" not in history.names
        found = evaluate(session, held, metrics=ACCURACY, batch_size=10)
        assert found == {"loss": pytest.approx(history["val_loss"][-1], rel=1e-6), "accuracy": right}
        assert evaluate(session, held, metrics=ACCURACY, outputs=(), batch_size=10**9) == {"accuracy": right}
        before = bits(session)
        evaluate(session, held)
        assert bits(session) == before and session.step == 130


def test_training_metrics_are_those_before_each_update() -> None:
    train, held = points(20), points(9, seed=1)
    seen = []
    graph = classifier()
    with sg.Session(graph, "numpy") as session:
        for batch in batches(train, 8, shuffle=True, seed=0):
            logits, _ = session.run(("logits", "loss"), batch, update="train")
            seen.append(logits.argmax(axis=1) == batch["y"])
    right = np.concatenate(seen).mean()
    for options in ({}, {"validation": held, "train_metrics": True}):
        with sg.Session(graph, "numpy") as session:
            history = quiet(session, train, batch_size=8, metrics=ACCURACY, **options)
            assert history["accuracy"] == (right,)


def test_several_outputs_are_averaged_and_the_first_is_the_loss() -> None:
    with sg.Session(classifier(), "numpy") as session:
        history = quiet(session, points(20), outputs=("loss", "largest"), batch_size=8, epochs=2)
        assert history.names[:4] == ("epoch", "step", "loss", "largest")
        assert len(history.losses) == 6 and history.rows[0]["largest"] > 0


@attrs.frozen
class Record:
    x: np.ndarray
    y: np.ndarray


Pair = namedtuple("Pair", "x y")


def test_every_form_of_data_gives_the_same_training() -> None:
    data = points(20)
    x, y = data["x"], data["y"]

    def stream(epoch: int) -> Iterator[dict[str, np.ndarray]]:
        full = batches(data, 8, shuffle=True, seed=0, epochs=None)
        return iter([next(full) for _ in range(3 * epoch + 3)][3 * epoch :])

    class Loader:
        """What can be gone through again, as a loader of another library."""

        def __init__(self) -> None:
            self.epoch = 0

        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[Pair]:
            return batches(Pair(x, y), 8, shuffle=True, seed=0, epochs=1)

    raw = Examples((x * 100).astype(np.float32), y.astype(np.uint8))
    forms: dict[str, tuple[Any, dict[str, Any]]] = {
        "mapping": (data, {}),
        "lists": ({"x": x.tolist(), "y": y.tolist()}, {}),
        "Examples": (Examples(x, y), {}),
        "record": (Record(x, y), {}),
        "named tuple": (Pair(x, y), {}),
        "small labels": ({"x": x, "y": y.astype(np.uint8)}, {}),
        "mapped": (raw, {"map": lambda b: {"x": b.x / np.float32(100), "y": b.y}}),
        "prefetched": (data, {"prefetch": 2}),
        "prefetched stream": (stream, {"prefetch": 1}),
        "function": (stream, {}),
    }  # fmt: skip
    found = {}
    for name, (form, options) in forms.items():
        with sg.Session(classifier(), "numpy") as session:
            found[name] = quiet(session, form, epochs=2, batch_size=8, **options).losses
    expected = found.pop("mapping")
    assert len(expected) == 6
    np.testing.assert_allclose(found.pop("mapped"), expected, rtol=1e-4)
    for name, losses in found.items():
        assert losses == expected, name
    for once in (batches(data, 8, shuffle=True, seed=0), Loader()):
        with sg.Session(classifier(), "numpy") as session:
            assert quiet(session, once).losses == expected[:3]


def test_what_is_the_same_for_all_batches_is_fed_beside_and_may_be_a_schedule() -> None:
    graph, data = classifier("learning_rate"), points(20)
    rates = []

    def schedule(step: int) -> float:
        rates.append(step)
        return 0.5 / step

    with sg.Session(graph, "numpy") as session:
        losses = []
        for step, batch in enumerate(batches(data, 8, epochs=2), 1):
            losses.append(float(session.run("loss", {**batch, "learning_rate": 0.5 / step}, update="train")))
    with sg.Session(graph, "numpy") as session:
        history = quiet(
            session, data, epochs=2, batch_size=8, shuffle=False, feeds={"learning_rate": schedule}
        )
        assert history.losses == tuple(losses)
        assert history["learning_rate"] == (0.5 / 3, 0.5 / 6)
        history = quiet(session, data, feeds={"learning_rate": 0.0}, validation=data, batch_size=20)
        assert history.losses[0] == history["val_loss"][0] and history["learning_rate"] == (0.0,)


def test_the_groups_train_and_state_run_by_default_and_others_when_named() -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=1.0)
    seen = sg.variable("seen", (), dtype="int64", init=0)
    loss = sg.mean((x * w) ** 2)
    plain = sg.define({"loss": loss}, updates={"state": {seen: seen + 1}, "other": {w: w * 2.0}})
    graph = sg.train.minimize(plain, "loss", sg.train.sgd(0.1))
    data = {"x": np.ones(4, np.float32)}
    with sg.Session(graph, "numpy") as session:
        quiet(session, data, batch_size=2)
        assert session.variables["seen"] == 2 and session.variables["w"] == np.float32(0.64)
        quiet(session, data, batch_size=2, update="other")
        assert session.variables["seen"] == 2 and session.variables["w"] == np.float32(2.56)
        quiet(session, data, batch_size=4, update=["other", "state"])
        assert session.variables["seen"] == 3
    with (
        sg.Session(sg.define(loss=loss), "numpy") as session,
        pytest.raises(sg.GraphError, match="no updates"),
    ):
        quiet(session, data, batch_size=2)
    state = sg.define({"loss": loss}, updates={"state": {w: w * 2.0}})
    with (
        sg.Session(state, "numpy") as session,
        pytest.raises(sg.GraphError, match=r"(?s)groups are 'state'.*symgraph.train.minimize"),
    ):
        quiet(session, data, batch_size=2)
    others = sg.define({"loss": loss}, updates={"other": {w: w * 2.0}})
    with sg.Session(others, "numpy") as session, pytest.raises(sg.GraphError, match="groups are 'other'"):
        quiet(session, data, batch_size=2)


def test_outputs_of_another_name_stand_in_for_validation() -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=1.0)
    graph = sg.define(loss=sg.mean(x * w), evaluation=sg.mean(x * w) * 10.0, a=x, b=x + 1.0)
    graph = sg.train.minimize(graph, "loss", sg.train.sgd(0.0))
    data = {"x": np.array([1, 2, 6], np.float32)}
    with sg.Session(graph, "numpy") as session:
        history = quiet(
            session,
            data,
            validation=data,
            batch_size=2,
            metrics={"mean": metrics.mean("a")},
            train_metrics=True,
            validation_outputs={"loss": "evaluation", "a": "b"},
        )
        row = history.rows[0]
        assert (row["loss"], row["val_loss"], row["mean"], row["val_mean"]) == (3.0, 30.0, 3.0, 4.0)


def test_evaluation_takes_the_outputs_that_are_made_for_it() -> None:
    @sg.do
    def network(x: sg.Expr, y: sg.Expr) -> Any:
        hidden, state = yield from sg.nn.sequential(
            sg.nn.dense(16, sg.relu), sg.nn.dropout(0.5), sg.nn.dense(3)
        )(x)
        loss = sg.mean(sg.softmax_cross_entropy(hidden, y))
        return sg.nn.Output({"loss": loss, "logits": hidden}, state)

    x, y = sg.placeholder("x", ("batch", 4)), sg.placeholder("y", ("batch",), dtype="int64")
    graph = sg.train.minimize(sg.nn.graph(sg.nn.with_evaluation(network(x, y))), "loss", sg.train.sgd(0.1))
    data = points(60)
    with sg.Session(graph, "numpy") as session:
        history = quiet(session, data, validation=data, batch_size=20, epochs=2, metrics=ACCURACY)
        loss, logits = session.run(("evaluation/loss", "evaluation/logits"), data)
        assert history["val_loss"][-1] == pytest.approx(float(loss), rel=1e-5)
        assert history["val_accuracy"][-1] == np.mean(logits.argmax(axis=1) == data["y"])
        assert history["val_loss"][-1] != pytest.approx(float(session.run("loss", data)), rel=1e-3)
        np.testing.assert_allclose(predict(session, "logits", data["x"]), logits, rtol=1e-5)
        assert evaluate(session, data, batch_size=60)["loss"] == pytest.approx(float(loss), rel=1e-6)
        with pytest.raises(sg.GraphError, match="los"):
            quiet(
                session, data, validation=data, batch_size=20, validation_outputs={"los": "evaluation/loss"}
            )


def test_the_learning_rate_of_a_schedule_in_the_graph_is_in_the_history() -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", ())
    count = sg.variable("count", (), init=0.0)
    rate = 1.0 / (count + 1.0)
    outputs = {"loss": sg.mean((x * w - 1.0) ** 2), "learning_rate": rate}
    plain = sg.define(outputs, updates={"state": {count: count + 1.0}})
    data = {"x": np.ones(6, np.float32)}
    with sg.Session(sg.train.minimize(plain, "loss", sg.train.sgd(rate)), "numpy") as session:
        rates = quiet(session, data, batch_size=2, epochs=2)["learning_rate"]
        assert rates == (0.25, float(np.float32(1) / np.float32(7)))
    fed = sg.train.minimize(
        sg.define(loss=sg.mean(x * w), learning_rate=sg.mean(x)), "loss", sg.train.sgd(0.1)
    )
    with sg.Session(fed, "numpy") as session:
        assert "learning_rate" not in quiet(session, data, batch_size=2).names


def test_a_batch_of_fixed_size_needs_no_last_one_that_is_smaller() -> None:
    x, w = sg.placeholder("x", (4, 2)), sg.variable("w", (2,))
    graph = sg.train.minimize(sg.define(loss=sg.mean(x @ w), y=x @ w), "loss", sg.train.sgd(0.1))
    data = {"x": np.ones((10, 2), np.float32)}
    with sg.Session(graph, "numpy") as session:
        with pytest.raises(sg.FeedError, match=r"(?s)the feed 'x' has the shape.*drop_last=True"):
            quiet(session, data, batch_size=4)
        assert session.step == 0
        assert quiet(session, data, batch_size=4, drop_last=True)["examples"] == (8,)
        assert predict(session, "y", data["x"][:8], batch_size=4).shape == (8,)


def test_no_epochs_change_nothing() -> None:
    with sg.Session(classifier(), "numpy") as session:
        before = bits(session)
        history = quiet(session, points(20), epochs=0, batch_size=8)
        assert bits(session) == before and len(history) == 0 and history.losses == ()
        assert str(history) == "no epoch was finished"


# predict


@pytest.mark.parametrize("backend", BACKENDS)
def test_predictions_are_those_of_one_run_in_any_nesting(backend: str) -> None:
    data = points(23)
    with sg.Session(classifier(), backend) as session:
        whole = session.run("logits", data)
        np.testing.assert_allclose(predict(session, "logits", data, batch_size=5), whole, rtol=1e-6)
        np.testing.assert_allclose(predict(session, "logits", data["x"], batch_size=5), whole, rtol=1e-6)
        nested = predict(session, {"a": ["logits", None]}, Examples(data["x"], data["y"]), batch_size=5)
        np.testing.assert_allclose(nested["a"][0], whole, rtol=1e-6)
        assert nested["a"][1] is None
        doubled = predict(session, "logits", {"x": data["x"] * 2}, map=lambda b: {"x": b["x"] / 2})
        np.testing.assert_allclose(doubled, whole, rtol=1e-6)


def test_what_has_no_row_for_each_example_is_not_predicted() -> None:
    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(sg.DataError, match="'loss' has the shape"):
            predict(session, "loss", points(5))
        with pytest.raises(sg.DataError, match="one placeholder, and what is predicted needs 'x', 'y'"):
            predict(session, ("logits", "loss"), points(5)["x"])
        with pytest.raises(sg.GraphError, match="nothing"):
            predict(session, "nothing", points(5))


def test_what_is_no_session_is_said() -> None:
    for function in (fit, evaluate):
        with pytest.raises(sg.GraphError, match=f"{function.__name__} takes a session, and this is "):
            function(classifier(), points(5))
    with pytest.raises(sg.GraphError, match="predict takes a session"):
        predict(classifier(), "logits", points(5))


# Bad input: what is wrong is named, before anything is trained.


def changed(**changes: Any) -> dict[str, Any]:
    return {**points(20), **changes}


def with_value(value: float, row: int, column: int) -> np.ndarray:
    x = points(20)["x"].copy()
    x[row, column] = value
    return x


BAD: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "nan": (changed(x=with_value(np.nan, 13, 2)), {}, sg.DataError, r"train: 'x' holds nan at \[13, 2\]"),
    "inf": (changed(x=with_value(-np.inf, 0, 1)), {}, sg.DataError, r"train: 'x' holds -inf at \[0, 1\]"),
    "validation": (
        points(20),
        {"validation": changed(x=with_value(np.nan, 3, 0))},
        sg.DataError,
        "validation: 'x' holds nan at",
    ),
    "empty": (
        {"x": np.zeros((0, 4), np.float32), "y": np.zeros(0, np.int64)},
        {},
        sg.DataError,
        "train is empty",
    ),
    "no arrays": ({}, {}, sg.DataError, "train is empty"),
    "lengths": (
        changed(y=np.zeros(19, np.int64)),
        {},
        sg.DataError,
        "different lengths: 'x' has 20, 'y' has 19",
    ),
    "size 0": (points(20), {"batch_size": 0}, sg.DataError, "batch_size is a whole number from 1, not 0"),
    "size -1": (points(20), {"batch_size": -1}, sg.DataError, "batch_size is a whole number from 1, not -1"),
    "size True": (
        points(20),
        {"batch_size": True},
        sg.DataError,
        "batch_size is a whole number from 1, not True",
    ),
    "size 2.0": (
        points(20),
        {"batch_size": 2.0},
        sg.DataError,
        "batch_size is a whole number from 1, not 2.0",
    ),
    "size 21": (
        points(20),
        {"batch_size": 21},
        sg.DataError,
        "(?s)batch_size is 21, and train has 20 examples.*batch_size=20",
    ),
    "epochs": (points(20), {"epochs": -1}, sg.DataError, "epochs is a whole number from 0, not -1"),
    "epochs 1.5": (points(20), {"epochs": 1.5}, sg.DataError, "epochs is a whole number"),
    "missing": ({"x": points(20)["x"]}, {}, sg.FeedError, "the placeholder 'y' has no value: train has 'x'"),
    "unknown": (
        {"X": points(20)["x"], "y": points(20)["y"]},
        {},
        sg.FeedError,
        "train has 'X', which is no placeholder",
    ),
    "misspelled": (changed(yy=np.zeros(20)), {}, sg.FeedError, "(?s)train has 'yy'.*Did you mean 'y'"),
    "dtype": (changed(x=points(20)["x"].astype(np.float64)), {}, sg.FeedError, "the feed 'x' is float64"),
    "float labels": (changed(y=np.zeros(20)), {}, sg.FeedError, "the feed 'y' is float64"),
    "shape": (changed(x=np.zeros((20, 5), np.float32)), {}, sg.FeedError, r"the feed 'x' has the shape .*5"),
    "rank": (changed(y=np.zeros((20, 1), np.int64)), {}, sg.FeedError, "the feed 'y' has the shape"),
    "scalar": (changed(y=3), {}, sg.DataError, "'y' has no axis of examples"),
    "number": (3, {}, sg.DataError, "train is 3"),
    "tuple": ((points(20)["x"], points(20)["y"]), {}, sg.DataError, "train is "),
    "array": (points(20)["x"], {}, sg.DataError, "train is "),
    "data set": (
        sg.data.Dataset("d", Examples([1], [1]), Examples([1], [1]), ""),
        {},
        sg.DataError,
        "a data set of two parts",
    ),
    "list of arrays": ([points(20)["x"]], {}, sg.DataError, "a batch of train is"),
    "empty stream": ([], {}, sg.DataError, "train is empty: it gave no batch"),
    "read once": (
        batches(points(20), 8),
        {"epochs": 2},
        sg.DataError,
        "can be read once, and there are 2 epochs",
    ),
    "function": (lambda epoch: 3, {}, sg.DataError, "train, called for an epoch, gave 3"),
    "map": (points(20), {"map": lambda b: b["x"]}, sg.DataError, "what map makes of a batch is"),
    "map is no function": (points(20), {"map": 3}, sg.DataError, "map is a function"),
    "output": (points(20), {"outputs": "los"}, sg.GraphError, "los"),
    "no output": (points(20), {"outputs": ()}, sg.DataError, "watches no output"),
    "vector": (points(20), {"outputs": "logits"}, sg.GraphError, "'logits' is f32"),
    "update": (points(20), {"update": "tran"}, sg.GraphError, "tran"),
    "metric": (points(20), {"metrics": {"a": 3}}, sg.DataError, "'a' is 3, which is no metric"),
    "metrics": (points(20), {"metrics": [3]}, sg.DataError, "metrics are a mapping"),
    "metric's input": (points(20), {"metrics": {"a": metrics.mean("nothing")}}, sg.GraphError, "nothing"),
    "metric's name": (
        points(20),
        {"metrics": {"loss": metrics.mean("loss")}},
        sg.DataError,
        "'loss' is an output",
    ),
    "feeds": (
        points(20),
        {"feeds": {"rate": 1.0}},
        sg.FeedError,
        "feeds has 'rate', which is no placeholder",
    ),
    "twice": (points(20), {"feeds": {"x": 1.0}}, sg.DataError, "'x' is in train and in feeds"),
    "callback": (points(20), {"callbacks": [print]}, sg.DataError, "is no callback"),
    "seed": (points(20), {"seed": -1}, sg.DataError, "seed is a whole number from 0"),
    "save_every": (points(20), {"save_every": 3}, sg.DataError, "none is named"),
    "ragged": (changed(x=[[1.0], [2.0, 3.0]]), {}, sg.DataError, "train: 'x' is no array"),
    "no epoch": (lambda: iter([points(8)]), {}, sg.DataError, "cannot be called with the epoch's number"),
    "output twice": (points(20), {"outputs": ("loss", "loss")}, sg.DataError, "'loss' is twice among"),
    "outputs in no order": (points(20), {"outputs": {"loss", "largest"}}, sg.DataError, "names in an order"),
    "outputs 3": (points(20), {"outputs": 3}, sg.DataError, "outputs are names in an order, and this is 3"),
    "update 3": (points(20), {"update": 3}, sg.GraphError, "3 is none"),
    "one callback": (
        points(20),
        {"callbacks": sg.train.EarlyStopping()},
        sg.DataError,
        "callbacks is a list",
    ),
    "no callbacks": (points(20), {"callbacks": None}, sg.DataError, "callbacks is a list, and this is None"),
    **{
        f"metric {name}": (
            points(20),
            {"metrics": {name: ACCURACY["accuracy"]}},
            sg.DataError,
            f"two columns of the history would have the name '{name}'",
        )
        for name in ("epoch", "step", "examples", "seconds")
    },
    "metric None": (points(20), {"metrics": {None: ACCURACY["accuracy"]}}, sg.DataError, "named by a text"),
    "stand-ins": (
        points(20),
        {"validation": points(5), "validation_outputs": "largest"},
        sg.DataError,
        "validation_outputs maps outputs",
    ),
    "metric val_loss": (
        points(20),
        {"metrics": {"val_loss": ACCURACY["accuracy"]}, "train_metrics": True, "validation": points(5)},
        sg.DataError,
        "two columns .* 'val_loss'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_nothing_is_trained(name: str) -> None:
    data, options, kind, message = BAD[name]
    with sg.Session(classifier(), "numpy") as session:
        before = bits(session)
        with pytest.raises(kind, match=message):
            quiet(session, data, **{"batch_size": 8, **options})
        assert bits(session) == before and session.step == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_label_out_of_range_is_told_by_its_example(backend: str, shuffle: bool) -> None:
    data = points(50)
    data["y"][37] = 3
    with sg.Session(classifier(), backend) as session:
        with pytest.raises(sg.ExecutionError, match="a label is 3") as caught:
            quiet(session, data, batch_size=8, shuffle=shuffle)
        assert "it is 'y' of example 37 of train" in str(caught.value)
        with pytest.raises(sg.ExecutionError, match="it is 'y' of example 37 of the data, row 7 of batch 4"):
            evaluate(session, data, batch_size=10)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_stream_that_gives_nothing_in_a_later_epoch_is_no_epoch_without_loss(prefetch: int) -> None:
    def dries_up(epoch: int) -> Iterator[Any]:
        return iter([points(8)] * (2 - epoch))

    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(sg.DataError, match=r"(?s)train gave no batch in epoch 3.*begins anew"):
            quiet(session, dries_up, epochs=3, prefetch=prefetch)
        assert session.step == 3
        given = iter([points(8)])
        with pytest.raises(sg.DataError, match="validation gave no batch in epoch 1"):
            quiet(session, points(8), batch_size=8, epochs=3, validation=lambda epoch: given)


def test_a_batch_without_examples_is_named() -> None:
    some, none = points(8), {name: array[:0] for name, array in points(8).items()}
    calls: list[int] = []

    def third_is_empty(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.append(1)
        return {name: array[:0] if len(calls) == 4 else array for name, array in batch.items()}

    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(sg.DataError, match="batch 2 of train has no examples"):
            quiet(session, [some, none])
        with pytest.raises(sg.DataError, match="batch 2 of the data has no examples"):
            evaluate(session, [some, none])
        with pytest.raises(sg.DataError, match="batch 2 of train has no examples"):
            quiet(session, points(40), batch_size=8, map=third_is_empty)


def test_means_of_what_is_infinite_are_those_of_ieee_754() -> None:
    graph = sg.define(loss=sg.mean(sg.placeholder("x", ("batch",), dtype="float64")))
    with sg.Session(graph, "numpy") as session:
        for values, expected in (
            ([np.inf, 1.0], np.inf),
            ([np.inf, -np.inf], np.nan),
            ([np.nan, 1.0], np.nan),
            ([1e308, 1e308], np.inf),
        ):
            found = evaluate(session, {"x": np.array(values)}, batch_size=1, check_data=False)
            np.testing.assert_equal(found, {"loss": expected})


def test_outputs_that_evaluation_takes_from_one_place_stay_apart() -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", (), init=2.0)
    outputs = {"loss": sg.mean(w * x), "evaluation/loss": sg.mean(x), "double": 2 * sg.mean(x), "x2": 2 * x}
    with sg.Session(sg.define(outputs), "numpy") as session:
        found = evaluate(
            session,
            {"x": np.arange(4, dtype=np.float32)},
            outputs=("loss", "evaluation/loss", "double"),
            metrics={"m": metrics.mean("x2")},
            batch_size=2,
        )
    assert found == {"loss": 1.5, "evaluation/loss": 1.5, "double": 3.0, "m": 3.0}


def test_data_is_not_checked_for_nan_if_that_is_not_asked_for() -> None:
    x, w = sg.placeholder("x", ("batch",)), sg.variable("w", ())
    known = sg.where(sg.isnan(x), 0.0, x)
    graph = sg.train.minimize(sg.define(loss=sg.mean((known * w - 1.0) ** 2)), "loss", sg.train.sgd(0.1))
    data = {"x": np.array([1, np.nan, 2], np.float32)}
    with sg.Session(graph, "numpy") as session:
        with pytest.raises(sg.DataError, match="holds nan"):
            quiet(session, data, batch_size=3)
        assert len(quiet(session, data, batch_size=3, check_data=False).losses) == 1


def test_a_map_is_given_what_the_data_is_made_of_and_cannot_change_it() -> None:
    data = points(20)

    def spoil(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch["x"] *= 0
        return batch

    with sg.Session(classifier(), "numpy") as session:
        with pytest.raises(ValueError, match="read-only"):
            quiet(session, data, batch_size=8, shuffle=False, map=spoil)
        quiet(session, data, batch_size=8, shuffle=True, map=spoil)  # fresh arrays
    assert data["x"].any()


# What is shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO, **options: Any) -> str:
    with sg.Session(classifier(), "numpy") as session:
        fit(session, points(20), batch_size=8, out=out, metrics=ACCURACY, **options)
    return out.getvalue()


def test_lines_where_there_is_no_terminal_and_nothing_if_quiet() -> None:
    lines = shown(io.StringIO(), epochs=2).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "loss " in lines[0] and "accuracy " in lines[0] and "examples/s" in lines[0]
    assert len(shown(io.StringIO(), epochs=500).splitlines()) <= 52
    assert shown(io.StringIO(), epochs=2, quiet=True) == ""


def test_names_that_the_output_cannot_hold_do_not_end_training() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with sg.Session(classifier(), "numpy") as session:
        fit(session, points(20), batch_size=5, metrics={"Güte": ACCURACY["accuracy"]}, out=out)
    out.seek(0)
    assert "G\\xfcte 0." in out.read()


def test_lines_on_a_terminal_that_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    text = shown(Terminal(), epochs=2)
    assert len(text.splitlines()) == 2 and "\x1b" not in text


def test_a_bar_on_a_terminal_and_a_line_for_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr("symgraph.train.progress._BAR_SECONDS", 0.0)
    text = shown(Terminal(), epochs=2)
    assert "\x1b[" in text and "step 6/6" in text and "left" in text
    assert sum("s\n" in line + "\n" and "accuracy" in line for line in text.splitlines()) == 2


def test_lines_within_a_long_epoch() -> None:
    from symgraph.train.callbacks import Progress
    from symgraph.train.progress import Lines, Speed

    out = io.StringIO()
    Lines(out).step(Progress(12, 400, 1, 4, 0.5, (), ()), Speed(1200, 2.0, 3700.0))
    assert out.getvalue() == "epoch 1/4  step 12/400  loss 0.5  600 examples/s  1:01:40 left\n"


def test_history_tells_itself_in_every_form() -> None:
    with sg.Session(classifier(), "numpy") as session:
        confusion = {"confusion": metrics.confusion_matrix("logits", "y", classes=3)}
        history = quiet(session, points(20), epochs=3, batch_size=8, metrics=confusion)
    assert np.sum(history["confusion"][0]) == 20
    assert history.best("loss")["loss"] == min(history["loss"])
    assert history.best("loss", "max")["loss"] == max(history["loss"])
    table = str(history).splitlines()
    assert len(table) == 4 and table[0].split() == ["epoch", "step", "loss", "examples", "seconds"]
    plain = history.to_dict()
    assert plain["epoch"] == [1, 2, 3] and len(plain["losses"]) == 9
    assert "3 epochs, 9 steps" in repr(history)
    with pytest.raises(sg.DataError, match="no column 'los'"):
        history["los"]
    with pytest.raises(sg.DataError, match='"min" or "max"'):
        history.best("loss", "least")


def test_the_types_of_the_public_names() -> None:
    made: Callable[..., Any] = sg.train.fit
    assert made is fit and sg.train.evaluate is evaluate and sg.train.predict is predict
