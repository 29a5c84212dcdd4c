"""States as JSON and arrays: what a checkpoint holds of metrics and callbacks.

pack   : state -> name -> (JSON, {name: array})
unpack : JSON -> {name: array} -> state
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from symgraph.errors import CheckpointError
from symgraph.ir import Array
from symgraph.types import DTYPES
from symgraph.values import shown


def pack(state: Any, name: str) -> tuple[Any, dict[str, Array]]:
    """A nesting of tuples, lists, dicts, numbers, texts and arrays as JSON, and its arrays under names below `name`.

    Raises CheckpointError for anything else.

    >>> pack((1, {"sum": np.array([2.5])}), "mean")
    ({'tuple': [1, {'dict': {'sum': {'array': 'mean/0'}}}]}, {'mean/0': array([2.5])})
    """
    arrays: dict[str, Array] = {}
    return _packed(state, name, arrays), arrays


def _packed(state: Any, name: str, arrays: dict[str, Array]) -> Any:
    # The depth of this recursion is that of the brackets the author of the state wrote.
    if state is None or isinstance(state, bool | str) or type(state) is int:
        return state
    if type(state) is float:
        return state if math.isfinite(state) else {"float": repr(state)}
    if isinstance(state, np.ndarray | np.generic):
        kind = "array" if isinstance(state, np.ndarray) else "scalar"
        array = np.asarray(state)
        if array.dtype in DTYPES:
            key = f"{name}/{len(arrays)}"
            arrays[key] = array
            return {kind: key}
        if array.dtype.kind in "iu":
            return {kind: [array.ravel().tolist(), array.dtype.name, list(array.shape)]}
    if isinstance(state, list):
        return [_packed(item, name, arrays) for item in state]
    if type(state) is tuple:
        return {"tuple": [_packed(item, name, arrays) for item in state]}
    if isinstance(state, Mapping) and all(isinstance(key, str) for key in state):
        return {"dict": {key: _packed(value, name, arrays) for key, value in state.items()}}
    raise CheckpointError(
        f"the state of {name!r} holds {shown(state)}, which no checkpoint can hold",
        hint="A state is made of tuples, lists, dicts with names, numbers, texts and NumPy arrays.",
    )


def unpack(plain: Any, arrays: Mapping[str, Array]) -> Any:
    """The state that `pack` took apart; raises CheckpointError for what it did not make.

    >>> unpack(*pack((1.5, [np.float32(2), float("inf")], {"n": None}), "s"))
    (1.5, [np.float32(2.0), inf], {'n': None})
    """
    try:
        return _unpacked(plain, arrays)
    except (KeyError, ValueError, TypeError):
        raise CheckpointError(f"{shown(plain)} in the checkpoint is no state that was saved") from None


def _unpacked(plain: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(plain, list):
        return [_unpacked(item, arrays) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, held),) = plain.items()
    if kind == "float":
        return float(held)
    if kind == "tuple":
        return tuple(_unpacked(item, arrays) for item in held)
    if kind == "dict":
        return {key: _unpacked(value, arrays) for key, value in held.items()}
    if kind not in ("array", "scalar"):
        raise KeyError(kind)
    if isinstance(held, str):
        array = np.array(arrays[held])
    else:
        numbers, dtype, shape = held
        array = np.array(numbers, dtype).reshape(shape)
    return array if kind == "array" else array[()]
