"""Streams of batches: every example once an epoch, resumed exactly, the same with and without a thread."""

import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.data import Batches, Examples, Position, batches, permutation
from symgraph.errors import DataError

QUICK = settings(max_examples=80, deadline=None)


@st.composite
def arguments(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    """A number of examples, and arguments that go with it."""
    count = draw(st.integers(1, 30))
    drop_last = draw(st.booleans())
    size = draw(st.integers(1, count if drop_last else count + 5))
    return count, {
        "size": size,
        "drop_last": drop_last,
        "shuffle": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**70)),
        "epochs": draw(st.integers(0, 4)),
    }


def lists(stream: Iterator[Any]) -> list[list[int]]:
    return [batch.tolist() for batch in stream]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "symgraph-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    gc.collect()
    assert threads() == []


@QUICK
@given(arguments())
def test_every_example_comes_once_an_epoch(drawn: tuple[int, dict[str, Any]]) -> None:
    count, given = drawn
    stream = batches(np.arange(count), **given)
    found = lists(stream)
    size, epochs = given["size"], given["epochs"]
    assert len(found) == stream.per_epoch * epochs
    for epoch in range(epochs):
        of_epoch = found[epoch * stream.per_epoch : (epoch + 1) * stream.per_epoch]
        rows = [row for batch in of_epoch for row in batch]
        expected = count - count % size if given["drop_last"] else count
        assert len(rows) == len(set(rows)) == expected
        assert {len(batch) for batch in of_epoch[:-1]} <= {size}
        if not given["shuffle"]:
            assert rows == list(range(expected))


@QUICK
@given(arguments(), st.data())
def test_a_resumed_stream_equals_one_that_was_not_broken_off(
    drawn: tuple[int, dict[str, Any]], data: st.DataObject
) -> None:
    count, given = drawn
    whole = lists(batches(np.arange(count), **given))
    taken = data.draw(st.integers(0, len(whole)), label="taken")
    ahead = data.draw(st.sampled_from([0, 1, 3]), label="prefetch")
    with batches(np.arange(count), prefetch=ahead, **given) as stream:
        head = [next(stream).tolist() for _ in range(taken)]
        saved = json.dumps(attrs.asdict(stream.position))
    rest = batches(np.arange(count), start=Position(**json.loads(saved)), **given)
    assert head + lists(rest) == whole
    assert rest.position == Position(given["epochs"], 0)


@QUICK
@given(arguments(), st.integers(1, 5))
def test_a_thread_changes_nothing(drawn: tuple[int, dict[str, Any]], ahead: int) -> None:
    count, given = drawn
    plain = batches(np.arange(count), map=np.negative, **given)
    threaded = batches(np.arange(count), map=np.negative, prefetch=ahead, **given)
    for expected, found in zip(plain, threaded, strict=True):
        assert np.array_equal(expected, found)
        assert plain.position == threaded.position


def test_the_position_counts_what_was_taken() -> None:
    stream = batches(np.arange(10), 4, epochs=2, prefetch=5)
    positions = [stream.position]
    for _ in stream:
        time.sleep(0.002)  # lets the thread run far ahead
        positions.append(stream.position)
    assert positions == [Position(*pair) for pair in ((0, 0), (0, 4), (0, 8), (1, 0), (1, 4), (1, 8), (2, 0))]


def test_a_finished_stream_goes_on_when_more_epochs_are_asked_for() -> None:
    done = batches(np.arange(5), 2, shuffle=True, seed=3, epochs=2)
    first = lists(done)
    more = lists(batches(np.arange(5), 2, shuffle=True, seed=3, epochs=4, start=done.position))
    assert first + more == lists(batches(np.arange(5), 2, shuffle=True, seed=3, epochs=4))


def test_a_stream_goes_on_with_another_size() -> None:
    start = Position(0, 4)
    assert lists(batches(np.arange(10), 3, start=start)) == [[4, 5, 6], [7, 8, 9]]
    assert lists(batches(np.arange(10), 5, start=start, drop_last=True)) == [[4, 5, 6, 7, 8]]
    assert lists(batches(np.arange(10), 7, start=start, drop_last=True, epochs=2)) == [[0, 1, 2, 3, 4, 5, 6]]
    assert lists(batches(np.arange(10), 5, start=Position(0, 10), epochs=2)) == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
    ]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    data = np.arange(50)
    first = lists(batches(data, 50, shuffle=True, seed=1, epochs=3))
    assert first == lists(batches(data, 50, shuffle=True, seed=1, epochs=3))
    assert len({tuple(order) for order in first}) == 3
    assert first != lists(batches(data, 50, shuffle=True, seed=2, epochs=3))
    np.random.seed(0)  # NumPy's global generator has no say
    assert first == lists(batches(data, 50, shuffle=True, seed=1, epochs=3))


def test_the_order_of_a_seed_never_changes() -> None:
    # Written down once: a release that changes them breaks every resumed run.
    assert permutation(10, seed=0).tolist() == [6, 3, 8, 1, 4, 5, 9, 2, 7, 0]
    assert permutation(10, seed=0, epoch=1).tolist() == [1, 3, 8, 6, 2, 0, 7, 5, 4, 9]
    assert permutation(10, seed=2**70, epoch=5).tolist() == [5, 7, 0, 1, 8, 6, 4, 9, 3, 2]


def test_every_order_is_equally_likely() -> None:
    counts = np.zeros((4, 4), int)
    for seed in range(2000):
        counts[np.arange(4), permutation(4, seed=seed)] += 1
    # Each cell is binomial(2000, 1/4): a standard deviation of 19.4, so this is five of them.
    assert np.abs(counts - 500).max() < 97


class Pair(NamedTuple):
    x: np.ndarray
    y: np.ndarray


@attrs.frozen
class Masked:
    _tokens: np.ndarray
    mask: np.ndarray = attrs.field(kw_only=True)


X, Y = np.arange(24.0).reshape(6, 2, 2), np.arange(6)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (Examples(X, Y), lambda batch: (batch.x, batch.y)),
        (Pair(X, Y), lambda batch: (batch.x, batch.y)),
        (Masked(X, mask=Y), lambda batch: (batch._tokens, batch.mask)),
        ((X, Y), lambda batch: batch),
        ([X, Y], tuple),
        ({"x": X, "y": Y}, lambda batch: (batch["x"], batch["y"])),
        ((X, Y.tolist()), lambda batch: batch),
    ],
    ids=["Examples", "named tuple", "attrs", "tuple", "list", "dict", "list of numbers"],
)
def test_a_batch_has_the_form_of_the_data(data: Any, parts: Callable[[Any], Any], shuffle: bool) -> None:
    seen = []
    for batch in batches(data, 4, shuffle=shuffle):
        assert type(batch) is type(data)
        x, y = parts(batch)
        assert np.array_equal(x, X[y])  # rows stay together
        seen += y.tolist()
    assert sorted(seen) == list(range(6))


def test_types_follow_the_data_and_map() -> None:
    stream: Batches[Examples] = batches(Examples(X, Y), 4)
    mapped: Batches[float] = batches(Examples(X, Y), 4, map=lambda batch: float(batch.x.sum()))
    assert [len(batch) for batch in stream] == [4, 2]
    assert list(mapped) == [X[:4].sum(), X[4:].sum()]


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_data_cannot_be_changed_through_a_batch(shuffle: bool) -> None:
    data = np.arange(6.0)
    for batch in batches(data, 3, shuffle=shuffle):
        if shuffle:
            batch += 1  # a fresh array, free to use
        else:
            with pytest.raises(ValueError, match="read-only"):
                batch += 1
    assert data.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.flags.writeable


def test_without_end() -> None:
    with batches(np.arange(3), 2, epochs=None, prefetch=2) as stream:
        found = [next(stream).tolist() for _ in range(7)]
    assert found == [[0, 1], [2], [0, 1], [2], [0, 1], [2], [0, 1]]


# Fetching ahead


def test_no_more_than_so_many_batches_are_made_early() -> None:
    made = []
    with batches(np.arange(100), 1, map=lambda batch: made.append(1), prefetch=3) as stream:
        for taken in range(1, 6):
            next(stream)
            wait_until(lambda: len(made) >= taken + 3)  # noqa: B023, called at once
            time.sleep(0.005)
            assert len(made) == taken + 3


def test_the_thread_starts_with_the_first_batch_and_ends_with_the_last() -> None:
    stream = batches(np.arange(4), 2, prefetch=1)
    assert threads() == []
    next(stream)
    assert len(threads()) == 1
    assert len(list(stream)) == 1
    assert threads() == []


@pytest.mark.parametrize("way", ["close", "with", "drop"])
def test_a_stream_left_early_stops_its_thread(way: str) -> None:
    stream = batches(np.arange(1000), 1, prefetch=2, epochs=None)
    next(stream)
    position = stream.position
    if way == "close":
        stream.close()
        stream.close()
    elif way == "with":
        with stream:
            pass
    if way == "drop":
        del stream
        gc.collect()
    else:
        assert next(stream, None) is None
        assert stream.position == position
    assert threads() == []


@pytest.mark.parametrize("ahead", [0, 1, 4])
def test_a_failure_of_map_comes_in_its_turn(ahead: int) -> None:
    def halve(batch: np.ndarray) -> float:
        if 4 in batch:
            raise ZeroDivisionError("the fifth example")
        return float(batch.sum()) / 2

    stream = batches(np.arange(10), 2, map=halve, prefetch=ahead)
    assert [next(stream), next(stream)] == [0.5, 2.5]
    with pytest.raises(ZeroDivisionError, match="the fifth example") as caught:
        next(stream)
    assert any(entry.name == "halve" for entry in caught.traceback)
    assert stream.position == Position(0, 4)
    assert next(stream, None) is None
    assert threads() == []


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_stop_iteration_in_map_does_not_end_the_stream_unseen(ahead: int) -> None:
    stream = batches(np.arange(4), 2, map=lambda batch: next(iter(())), prefetch=ahead)
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(stream)


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_callers_error_state_holds_on_the_thread(ahead: int) -> None:
    stream = batches(np.zeros(4), 2, map=lambda x: 1 / x, prefetch=ahead)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        next(stream)


def test_fetching_overlaps_with_use() -> None:
    # Meaning, not speed: while the consumer holds one batch, the next is being made.
    begun = threading.Event()

    def watch(batch: np.ndarray) -> np.ndarray:
        if batch[0] == 1:
            begun.set()
        return batch

    with batches(np.arange(3), 1, map=watch, prefetch=1) as stream:
        assert next(stream).tolist() == [0]
        assert begun.wait(10)


def test_nothing_is_kept_after_the_stream() -> None:
    data = np.arange(1000.0)
    before = sys.getrefcount(data)
    for ahead in (0, 2):
        stream = batches(data, 10, prefetch=ahead)
        next(stream)
        stream.close()
        del stream
        gc.collect()
        assert sys.getrefcount(data) == before


# Arguments


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, "size is a whole number from 1, not 0"),
        ({"size": -3}, "size is a whole number from 1"),
        ({"size": 2.0}, "size is a whole number from 1, not 2.0"),
        ({"size": True}, "size is a whole number"),
        ({"size": "2"}, "size is a whole number from 1, not '2'"),
        ({"seed": -1}, "seed is a whole number from 0"),
        ({"seed": None}, "seed is a whole number from 0"),
        ({"epochs": -1}, "epochs is a whole number from 0"),
        ({"epochs": 1.5}, "epochs is a whole number"),
        ({"prefetch": -1}, "prefetch is a whole number from 0, not -1"),
        ({"prefetch": True}, "prefetch is a whole number"),
        ({"size": 7, "drop_last": True}, "no batch of 7 can be filled from 6 examples"),
        ({"start": (0, 0)}, "start is a Position"),
        ({"start": Position(0, 7)}, "start is at example 7 of an epoch, and there are 6 examples"),
    ],
)
def test_arguments_that_are_wrong(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        batches(np.arange(6), **{"size": 2, **given})


def test_numpy_integers_are_whole_numbers() -> None:
    stream = batches(np.arange(4), np.int64(3), seed=np.uint8(1), epochs=np.int32(1), prefetch=np.int8(0))
    assert lists(stream) == [[0, 1, 2], [3]]
    assert json.dumps(attrs.asdict(Position(np.int64(1), np.uint8(2)))) == '{"epoch": 1, "index": 2}'


@pytest.mark.parametrize("fields", [(-1, 0), (0, -1), (0.5, 0), (0, "1"), (None, 0), (True, 0)])
def test_positions_that_are_none(fields: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match=r"Position: (epoch|index) is a whole number from 0"):
        Position(*fields)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.zeros(3), np.zeros(4)), "different lengths: 3, 4"),
        ({"x": np.zeros(3), "y": np.zeros(2)}, "different lengths: 3, 2"),
        (np.zeros((0, 4)), "there are no examples"),
        ((np.zeros(0), np.zeros(0)), "there are no examples"),
        ((), "there are no examples"),
        ({}, "there are no examples"),
        (np.float32(3), "data has no first axis"),
        ({"x": np.zeros(3), "name": "digits"}, "'name' has no first axis"),
        ([[1, 2], [[1], [2, 3]]], "part 1 is no array"),
    ],
)
def test_data_that_cannot_be_cut(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        batches(data, 2)


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_loop_over_what_was_read_is_an_error(ahead: int) -> None:
    stream = batches(np.arange(5), 2, prefetch=ahead)
    assert next(stream).tolist() == [0, 1]
    assert [batch.tolist() for batch in stream] == [[2, 3], [4]]
    assert next(stream, None) is None
    with pytest.raises(DataError, match="these batches have been read: make them anew, or ask for epochs=N"):
        list(stream)
    closed = batches(np.arange(5), 2, prefetch=ahead)
    closed.close()
    with pytest.raises(DataError, match="these batches have been read"):
        list(closed)


def test_a_stream_prints_in_a_line() -> None:
    stream = batches(np.arange(5), 2)
    next(stream)
    assert repr(stream) == "<Batches, 3 an epoch, at example 2 of epoch 0>"
    list(stream)
    assert repr(stream) == "<Batches, 3 an epoch, all read>"


@pytest.mark.parametrize("second", [np.arange(6), [1, 2], Examples(np.arange(6), np.arange(6))])
def test_arrays_are_given_as_one(second: Any) -> None:
    with pytest.raises(DataError) as caught:
        batches(np.arange(6), second)
    assert caught.value.hint == "Give the arrays as one: batches((X, Y), size=...)."


def test_a_wrong_size_says_what_to_write() -> None:
    with pytest.raises(DataError) as caught:
        batches(np.arange(6), 0)
    assert caught.value.hint == "Write such as size=32."


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited ten seconds in vain"
        time.sleep(0.001)
