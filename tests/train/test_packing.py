"""States of metrics and callbacks come back from JSON and arrays as they were."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from symgraph.errors import CheckpointError
from symgraph.train.packing import pack, unpack

DTYPES = ["float32", "float64", "int32", "int64", "bool", "uint8", "uint64", "int16"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
)
SCALARS = ARRAYS.filter(np.size).map(lambda array: array.ravel()[0])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), ARRAYS, SCALARS)
STATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=3),
    ),
    max_leaves=8,
)


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray | np.generic):
        one, two = np.asarray(left), np.asarray(right)
        return (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right or (left != left and right != right))


@given(STATES)
def test_a_state_comes_back_as_it_was(state: Any) -> None:
    plain, held = pack(state, "name")
    assert all(key.startswith("name/") for key in held)
    assert same(unpack(json.loads(json.dumps(plain, allow_nan=False)), held), state)


@pytest.mark.parametrize("state", [object(), {1: 2}, 1j, np.array([1j]), np.array(["a"]), {"a": [object()]}])
def test_what_no_checkpoint_can_hold_is_named(state: Any) -> None:
    with pytest.raises(CheckpointError, match="the state of 'f1' holds "):
        pack(state, "f1")


@pytest.mark.parametrize(
    "plain", [{}, {"a": 1, "b": 2}, {"array": "gone"}, {"odd": 1}, {"float": "x"}, {"array": [1]}]
)
def test_what_was_not_packed_is_no_state(plain: Any) -> None:
    with pytest.raises(CheckpointError, match="is no state that was saved"):
        unpack(plain, {})
