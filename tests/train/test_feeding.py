"""Batches as training reads them are those of `symgraph.data.batches`, from any place on."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import symgraph as sg
from symgraph.data import Position, batches
from symgraph.train.feeding import Cutting, batch_size, check_finite, source

GRAPH = sg.define(y=sg.placeholder("x", ("n",)) * sg.placeholder("z", ("n",)))


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.data(),
)
def test_arrays_are_cut_as_streams_of_batches_are(
    examples: int, size: int, shuffle: bool, drop_last: bool, epoch: int, mapped: bool, data: Any
) -> None:
    size = min(size, examples)
    rows = {"x": np.arange(examples, dtype=np.float32), "z": -np.arange(examples, dtype=np.float32)}
    place = data.draw(st.integers(0, examples // size)) * size
    expected = batches(
        rows,
        size,
        shuffle=shuffle,
        seed=5,
        drop_last=drop_last,
        epochs=epoch + 1,
        start=Position(epoch, place),
    )
    cutting = Cutting(size, shuffle, 5, drop_last, prefetch=data.draw(st.integers(0, 2)))
    made = source(GRAPH, rows, cutting, dict if mapped else None, 1, "train")
    assert made.names == ("x", "z") and made.steps == len(list(batches(rows, size, drop_last=drop_last)))
    found = list(made.epoch(epoch, place))
    wanted = list(expected)
    assert len(found) == len(wanted)
    for (feeds, after), batch in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(feeds[0], batch["x"])
        np.testing.assert_array_equal(feeds[1], batch["z"])
        if not mapped:
            for number in range(len(feeds[0])):
                assert made.row(epoch, after, number) == feeds[0][number]
    assert not found or found[-1][1] == (examples // size * size if drop_last else examples)
    smaller = 0 if drop_last else examples % size
    assert (0 if made.last is None else len(made.last[0])) == smaller


@given(st.integers(1, 50), st.integers(0, 3), st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_the_first_number_that_is_not_finite_is_found_wherever_it_is(
    rows: int, columns: int, value: float, data: Any
) -> None:
    array = np.zeros((rows, columns + 1), np.float32)
    at = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns))
    array[at] = value
    array[at[0] :, at[1]] = value
    with pytest.raises(sg.DataError, match=rf"'x' holds {value} at \[{at[0]}, {at[1]}\]"):
        check_finite({"y": np.zeros(rows), "x": array}, "train")
    check_finite({"x": np.nan_to_num(array), "y": np.zeros(rows, np.int64)}, "train")


def test_a_number_that_is_not_finite_is_found_in_a_later_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symgraph.train.feeding._CHUNK", 10)
    array = np.zeros((40, 3))
    array[38, 1] = np.nan
    with pytest.raises(sg.DataError, match=r"at \[38, 1\]"):
        check_finite({"x": array}, "train")


def test_data_is_known_again_by_shape_dtype_and_rows() -> None:
    def identity(**arrays: np.ndarray) -> str:
        return source(GRAPH, arrays, Cutting(1), None, 1, "train").identity

    x = np.arange(1000, dtype=np.float32)
    assert identity(x=x, z=x) == identity(x=x.copy(), z=x.copy())
    others = {identity(x=x[:999], z=x[:999]), identity(x=x, z=x + 1), identity(x=x.astype("int32"), z=x)}
    assert len(others | {identity(x=x, z=x)}) == 4


@pytest.mark.parametrize("value", [0, -3, True, 1.0, "8", None, np.float32(2)])
def test_what_is_no_batch_size(value: Any) -> None:
    with pytest.raises(sg.DataError, match="batch_size is a whole number from 1"):
        batch_size(value, 10, "train", False)
    assert batch_size(np.int64(3), 10, "train", False) == 3
