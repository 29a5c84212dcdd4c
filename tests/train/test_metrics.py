"""Metrics: equal to scikit-learn's, whatever the batches; states that are data; errors that name the cause."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import errors
from symgraph.train import metrics

sklearn = pytest.importorskip(
    "sklearn.metrics", reason="an oracle of the tests: pip install 'symgraph[train]'"
)
NAN = float("nan")


def streamed(metric, cuts, *arrays):
    """The result over batches that end at `cuts`, with an empty batch at each, and states through JSON."""
    state = metric.start()
    for a, b in zip([0, *cuts], [*cuts, len(arrays[0])], strict=True):
        for part in (slice(a, a), slice(a, b)):
            before = json.dumps(state, default=np.ndarray.tolist)
            after = metric.add(state, *(array[part] for array in arrays))
            assert json.dumps(state, default=np.ndarray.tolist) == before  # add changes nothing
            state = json.loads(json.dumps(after, default=np.ndarray.tolist))
    return metric.result(state)


def merged(metric, cuts, *arrays):
    states = [
        metric.add(metric.start(), *(array[a:b] for array in arrays))
        for a, b in zip([0, *cuts], [*cuts, len(arrays[0])], strict=True)
    ]
    state = metric.start()
    for other in states:
        state = metric.merge(state, other)
    return metric.result(state)


@st.composite
def answers(draw, least=2, most=5):
    """Scores [n, k] with ties, class numbers [n], and where batches end; k is 1 for a single score."""
    n = draw(st.integers(1, 40))
    k = draw(st.integers(least, most))
    seed = draw(st.integers(0, 2**32 - 1))
    levels = draw(st.sampled_from([3, 10, 10**6]))
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-levels, levels, (n, k)) / 4).astype(draw(st.sampled_from(["float32", "float64"])))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=4)))
    return scores, rng.integers(0, max(2, k), n), cuts


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=0)


@settings(max_examples=40)
@given(answers())
def test_accuracy_and_confusion_equal_those_of_scikit_learn(drawn):
    scores, y, cuts = drawn
    k, predicted = scores.shape[1], scores.argmax(axis=1)
    assert streamed(metrics.accuracy(), cuts, scores, y) == sklearn.accuracy_score(y, predicted)
    assert merged(metrics.accuracy(), cuts, scores, np.eye(k)[y]) == sklearn.accuracy_score(y, predicted)
    assert metrics.top_k_accuracy(k=1)(scores, y) == metrics.accuracy()(scores, y)
    for mine, theirs in ((None, None), ("truth", "true"), ("predicted", "pred"), ("all", "all")):
        wanted = sklearn.confusion_matrix(y, predicted, labels=range(k), normalize=theirs)
        got = streamed(metrics.confusion_matrix(normalise=mine), cuts, scores, y)
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(
            merged(metrics.confusion_matrix(normalise=mine), cuts, scores, y), wanted
        )
        given_classes = metrics.confusion_matrix(normalise=mine, classes=k)
        np.testing.assert_array_equal(streamed(given_classes, cuts, predicted, y[:, None]), wanted)


@settings(max_examples=40)
@given(answers(1, 1))
def test_one_score_is_compared_with_the_threshold(drawn):
    scores, y, cuts = drawn
    for threshold in (0.0, 0.5):
        predicted = scores[:, 0] > threshold
        wanted = sklearn.accuracy_score(y, predicted)
        for metric in (metrics.accuracy(threshold=threshold), metrics.binary_accuracy(threshold=threshold)):
            assert streamed(metric, cuts, scores, y) == wanted
            assert streamed(metric, cuts, scores[:, 0], y[:, None].astype("float32")) == wanted
            assert merged(metric, cuts, predicted, y) == wanted  # bools are answers, not scores
        for name, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1")):
            got = streamed(getattr(metrics, name)(threshold=threshold), cuts, scores, y)
            close(got, getattr(sklearn, f"{theirs}_score")(y, predicted, zero_division=0.0))


@settings(max_examples=40)
@given(answers(2, 6), st.integers(1, 7))
def test_top_k_equals_scikit_learns_where_no_scores_are_equal(drawn, k):
    _, y, cuts = drawn
    c = max(3, y.max() + 1)
    scores = np.random.default_rng(len(y)).permutation(len(y) * c).reshape(-1, c) / 7.0
    with warnings.catch_warnings():  # it warns of k as large as the number of classes
        warnings.simplefilter("ignore")
        wanted = sklearn.top_k_accuracy_score(y, scores, k=k, labels=range(c))
    assert streamed(metrics.top_k_accuracy(k=k), cuts, scores, y) == wanted


@settings(max_examples=60)
@given(
    answers(),
    st.sampled_from(["precision", "recall", "f1"]),
    st.sampled_from(["macro", "micro", "weighted", "each", "binary"]),
    st.sampled_from([0.0, 1.0, NAN]),
)
def test_rates_equal_those_of_scikit_learn(drawn, name, average, zero_division):
    scores, y, cuts = drawn
    k = scores.shape[1]
    if average == "binary" and k > 2:
        scores, y, k = scores[:, :2], y % 2, 2
    metric = getattr(metrics, name)(average=average, zero_division=zero_division)
    own = {"average": None if average == "each" else average, "zero_division": zero_division}
    labels = {} if average == "binary" else {"labels": range(k)}
    wanted = getattr(sklearn, f"{name}_score")(y, scores.argmax(axis=1), **own, **labels)
    close(streamed(metric, cuts, scores, y), wanted)
    close(merged(metric, cuts, scores, np.eye(k, dtype=int)[y]), wanted)


@settings(max_examples=60)
@given(answers(1, 4))
def test_auc_and_average_precision_equal_those_of_scikit_learn(drawn):
    scores, y, cuts = drawn
    k = max(2, scores.shape[1])
    auc, precision = metrics.auc(), metrics.average_precision()
    if len(set(y)) < k:
        for metric in (auc, precision):
            with pytest.raises(errors.DataError, match="examples of class"):
                metric(scores, y)
        return
    column = scores[:, -1]
    truth = y if k == 2 else np.eye(k)[y]
    wanted = (
        np.mean([sklearn.roc_auc_score(y == c, scores[:, c]) for c in range(k)])
        if k > 2
        else sklearn.roc_auc_score(y, column)
    )
    close(streamed(auc, cuts, scores, y), wanted)
    close(merged(auc, cuts, scores, truth), wanted)
    if k > 2:
        probabilities = (
            np.exp(scores.astype("float64") / scores.max()) if scores.max() > 0 else np.exp(scores * 0.0)
        )
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        close(auc(probabilities, y), sklearn.roc_auc_score(y, probabilities, multi_class="ovr"))
    theirs = sklearn.average_precision_score(truth, scores if k > 2 else column)
    np.testing.assert_allclose(streamed(precision, cuts, scores, y), theirs, rtol=1e-13)


def test_auc_of_whole_numbers_and_of_infinite_scores():
    y = np.array([0, 1, 0, 1, 1])
    scores = np.array([-np.inf, 2, 2, np.inf, 3])
    assert metrics.auc()(scores, y) == pytest.approx(5.5 / 6)
    assert metrics.auc()(np.array([0, 2, 2, 9, 3], "uint8"), y) == pytest.approx(5.5 / 6)


def test_many_small_batches_are_kept_in_few_chunks():
    auc, rng = metrics.auc(), np.random.default_rng(0)
    scores, y = rng.normal(size=1000), rng.integers(0, 2, 1000)
    state = auc.start()
    for i in range(1000):
        state = auc.add(state, scores[i : i + 1], y[i : i + 1])
        assert len(state) <= 2 * 11
    assert auc.result(state) == auc(scores, y)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=3),
)
def test_errors_of_regression_equal_those_of_scikit_learn(pairs, cuts):
    predicted, truth = np.array(pairs).T
    cuts = sorted(min(cut, len(truth)) for cut in cuts)
    for metric, theirs in (
        (metrics.mean_squared_error(), sklearn.mean_squared_error),
        (metrics.mean_absolute_error(), sklearn.mean_absolute_error),
    ):
        wanted = theirs(truth, predicted)
        np.testing.assert_allclose(streamed(metric, cuts, predicted, truth), wanted, rtol=1e-13)
        np.testing.assert_allclose(merged(metric, cuts, predicted[:, None], truth), wanted, rtol=1e-13)


def test_errors_of_several_outputs_are_the_mean_of_all_entries():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 7, 3))
    close(metrics.mean_squared_error()(a, b), sklearn.mean_squared_error(b, a))
    close(metrics.mean_absolute_error()(a, b), sklearn.mean_absolute_error(b, a))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(1, 12))
def test_a_mean_counts_a_ragged_last_batch_by_its_examples(losses, size):
    values = np.array(losses)
    by_batch, by_example = metrics.mean("loss", per="x"), metrics.mean("losses")
    assert by_batch.inputs == ("loss", "x")
    first, second = by_batch.start(), by_example.start()
    for i in range(0, len(values), size):
        part = values[i : i + size]
        first = by_batch.add(first, part.mean(), np.zeros((len(part), 3)))
        second = by_example.add(second, part)
    first = by_batch.add(first, NAN, np.zeros((0, 3)))  # the mean of an empty batch
    np.testing.assert_allclose(by_batch.result(first), values.mean(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(by_example.result(second), values.mean(), rtol=1e-12, atol=1e-12)


def test_a_mean_lets_a_loss_that_is_not_finite_through():
    assert np.isnan(metrics.mean("loss", per="x")(NAN, [1, 2]))
    assert metrics.mean("losses")([1.0, np.inf]) == np.inf


def test_binary_accuracy_of_several_answers_counts_each():
    rng = np.random.default_rng(2)
    scores, y = rng.normal(size=(9, 4)), rng.integers(0, 2, (9, 4))
    assert metrics.binary_accuracy()(scores, y) == sklearn.accuracy_score(y.ravel(), scores.ravel() > 0)


def test_predicted_classes_may_take_the_place_of_scores():
    predicted, y = np.array([0, 3, 1, 3]), np.array([0, 3, 3, 1])
    assert metrics.accuracy("predicted")(predicted, y) == 0.5
    matrix = metrics.confusion_matrix("predicted")
    np.testing.assert_array_equal(
        matrix(predicted, y), sklearn.confusion_matrix(y, predicted, labels=range(4))
    )
    assert matrix(np.array([0]), np.array([0])).shape == (2, 2)
    np.testing.assert_array_equal(merged(matrix, [1, 2], predicted, y), matrix(predicted, y))


TWO = np.array([[1.0, 2.0], [3.0, 4.0]])
ALL = (
    metrics.accuracy(),
    metrics.top_k_accuracy(k=1),
    metrics.precision(),
    metrics.confusion_matrix(),
    metrics.auc(),
    metrics.average_precision(),
)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("scores", "truth", "kind", "message"),
    [
        (TWO, [0, 2], errors.DataError, "y is 2 for example 1 of its batch, and the 2 classes are 0 to 1"),
        (TWO, [-1, 0], errors.DataError, "y is -1 for example 0"),
        (TWO, [0, 2**63 - 1], errors.DataError, "for example 1"),
        (TWO, [0.5, 1], errors.DataError, "y is 0.5 for example 0, and a class is a whole number"),
        (TWO, [NAN, 1], errors.DataError, "y is nan for example 0"),
        (TWO, [0, 1, 1], errors.ShapeError, r"y has the shape \[3\]"),
        (TWO, [[1, 1], [0, 1]], errors.DataError, "row 0 of y is not one-hot"),
        (TWO, [[0, 0], [0, 1]], errors.DataError, "row 0 of y is not one-hot"),
        (TWO, [["a"], ["b"]], errors.DataError, "y is an array of text"),
        (np.zeros((2, 2, 2)), [0, 1], errors.ShapeError, r"logits has the shape \[2, 2, 2\]"),
        (np.zeros((2, 0)), [0, 1], errors.ShapeError, r"logits has the shape \[2, 0\]"),
        (np.zeros(()), [0, 1], errors.ShapeError, r"logits has the shape \[\]"),
        (np.array([[1.0, 2.0], [NAN, 1.0]]), [0, 1], errors.DataError, "logits is NaN for example 1"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(metric, scores, truth, kind, message):
    with pytest.raises(kind, match=f"{metric.name}: {message}" if "\\" in message else message) as caught:
        metric(scores, truth)
    assert caught.value.message.startswith(f"{metric.name}: ")


def test_labels_of_one_score_are_0_and_1():
    for metric in (metrics.accuracy(), metrics.binary_accuracy(), metrics.auc(), metrics.f1()):
        with pytest.raises(errors.DataError, match="y is 7 for example 1"):
            metric([0.5, 0.2], [0, 7])
    with pytest.raises(errors.ShapeError, match="one score an example"):
        metrics.top_k_accuracy()([0.5, 0.2], [0, 1])
    with pytest.raises(errors.ShapeError, match="binary_accuracy"):
        metrics.binary_accuracy()(TWO, [0, 1])


@pytest.mark.parametrize(
    "metric", [*ALL, metrics.mean("losses"), metrics.mean_squared_error()], ids=lambda m: m.name
)
def test_no_examples_have_no_result(metric):
    with pytest.raises(errors.DataError, match=f"{metric.name} of no examples"):
        metric.result(metric.start())
    empty = np.zeros(0) if metric.name.startswith("mean") else np.zeros((0, 3))
    with pytest.raises(errors.DataError, match=f"{metric.name} of no examples"):
        metric(*([empty, np.zeros(0)][: len(metric.inputs)]))


def test_shapes_that_would_broadcast_are_no_pairs():
    with pytest.raises(errors.ShapeError, match=r"predicted has the shape \[3, 2\], and y has \[3\]"):
        metrics.mean_squared_error()(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(errors.DataError, match="y holds inf"):
        metrics.mean_absolute_error()([1.0], [np.inf])
    with pytest.raises(errors.DataError, match="one number for a batch") as caught:
        metrics.mean("loss")(2.0)
    assert 'mean("loss", per="x")' in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: metrics.accuracy(threshold="a"), "accuracy: the threshold is a number, not 'a'"),
        (lambda: metrics.f1(threshold=None), "f1: the threshold is a number, not None"),
        (lambda: metrics.binary_accuracy(threshold=float("nan")), "the threshold is a number, not nan"),
        (lambda: metrics.accuracy("logits")([1]), "accuracy takes logits and y, and was given 1 arrays"),
        (
            lambda: metrics.confusion_matrix()([2**30, 0], [0, 1]),
            "confusion_matrix: there is a class 1073741824",
        ),
        (lambda: metrics.recall()([0, 1], [1, 10**6]), "recall: there is a class 1000000"),
        (lambda: metrics.precision(classes=10**12), "classes is a whole number from 2 to 10000"),
        (lambda: metrics.recall(zero_division=None), "zero_division is 0, 1 or NaN"),
    ],
)
def test_what_is_refused_says_what_to_write(wrong, message):
    with pytest.raises(errors.DataError, match=message) as caught:
        wrong()
    assert caught.value.hint and caught.value.source.file == __file__


@pytest.mark.filterwarnings("error")
def test_a_mean_of_infinities_of_both_signs_is_nan_without_a_warning():
    assert np.isnan(metrics.mean("l")([np.inf, -np.inf]))


def test_options_that_are_not_there():
    for wrong in (
        lambda: metrics.precision(average="makro"),
        lambda: metrics.recall(zero_division=0.5),
        lambda: metrics.confusion_matrix(normalise="true"),
        lambda: metrics.confusion_matrix(classes=1),
        lambda: metrics.top_k_accuracy(k=0),
        lambda: metrics.top_k_accuracy(k=True),
    ):
        with pytest.raises(errors.DataError):
            wrong()
    with pytest.raises(errors.DataError, match='"binary" is for two classes, and there are 3'):
        metrics.precision()(np.eye(3), [0, 1, 2])
    with pytest.raises(errors.ShapeError, match="of two networks"):
        auc = metrics.auc()
        auc.add(auc.add({}, np.eye(3), [0, 1, 2]), TWO, [0, 1])
