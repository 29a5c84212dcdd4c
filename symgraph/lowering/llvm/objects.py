"""How the interpreter lays out its objects: generated code reads the addresses of arrays from them."""

import ctypes
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from symgraph.ir import Array


@lru_cache(1)
def object_layout() -> tuple[int, int] | None:
    """Where a tuple holds its items and an array the address of its elements, in bytes from their starts; None where
    this interpreter or this NumPy does not lay out its objects as the generated code reads them.
    """
    if sys.implementation.name != "cpython":
        return None
    items, data = tuple.__basicsize__, object.__basicsize__
    backwards = np.zeros((2, 5), np.int64)[:, ::-1]
    samples = (np.zeros((), np.float32), np.zeros(3, bool), np.ones((2, 5), np.int32), backwards)
    if np.ndarray.__basicsize__ < data + 56:
        return None
    for array in samples:
        start, pair = id(array) + data, (None, array)
        sizes = _at(ctypes.c_void_p, start + 16)
        as_expected = (
            _at(ctypes.c_void_p, id(pair) + items + 8) == id(array)
            and _at(ctypes.c_void_p, start - 8) == id(np.ndarray)
            and _at(ctypes.c_void_p, start) == array.ctypes.data
            and _at(ctypes.c_int32, start + 8) == array.ndim
            and (not array.ndim or (ctypes.c_int64 * array.ndim).from_address(sizes)[:] == list(array.shape))
            and _at(ctypes.c_void_p, start + 40) == id(array.dtype)
            and bool(_at(ctypes.c_int32, start + 48) & 1) == array.flags.c_contiguous
        )
        if not as_expected:
            return None
    return items, data


def _at(kind: Any, address: int) -> Any:
    return kind.from_address(address).value


def by_pointers(arrays: tuple[Array, ...]) -> Any:
    """The arrays for the step where objects lie otherwise: pointers to pointers to elements."""
    addresses = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    size, start = ctypes.sizeof(ctypes.c_void_p), ctypes.addressof(addresses)
    made = (ctypes.c_void_p * len(arrays))(*(start + k * size for k in range(len(arrays))))
    made.addresses = addresses  # type: ignore[attr-defined]
    return made
