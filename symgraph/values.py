"""What a user gave in the place of a tensor: an array of numbers, or the reason why it is none.

array_of : value -> Array | Unfit
shown    : value -> how a message names it
"""

import reprlib
from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.errors import SymgraphError
from symgraph.types import Dim

_NUMBERS = "fiub"  # the kinds of NumPy dtypes that are real numbers
_LIST = "Give a number, a list of numbers or an array."


@attrs.frozen
class Unfit:
    """Why a value is no array of numbers: `reason` goes on "it is", `hint` says what to write instead."""

    reason: str
    hint: str = _LIST
    shape: bool = False  # whether its shape is at fault, not what it holds


def array_of(value: Any) -> npt.NDArray[Any] | Unfit:
    """`value` as an array of real numbers or bools, of whatever dtype NumPy gives it.

    >>> array_of([1, 2]), array_of("3").reason
    (array([1, 2]), "the text '3'")
    """
    if type(value) is np.ndarray and value.dtype.kind in _NUMBERS:  # for metrics, which read each batch
        return value
    known = _known(value)
    if known is not None:
        return known
    # To name numpy.ma imports it, which takes longer than all else here: a plain array has no need to ask.
    if (
        isinstance(value, np.ndarray)
        and type(value) is not np.ndarray
        and isinstance(value, np.ma.MaskedArray)
    ):
        return Unfit("a masked array, and a tensor has no mask", "Fill it: value.filled(0).")
    try:
        array = np.asarray(value)
    except ValueError as error:
        return _ragged(error)
    except SymgraphError:  # an expression was asked for its value
        return Unfit("a list of expressions", "Join them with symgraph.stack([...]).")
    except Exception as error:  # whatever the __array__ of a foreign class raises
        return Unfit(f"{shown(value)}, which cannot be made an array: {error}")
    return array if array.dtype.kind in _NUMBERS else _foreign(value, array)


def _known(value: Any) -> Unfit | None:
    """Values that NumPy would take for objects."""
    from symgraph.build import Build  # these are made with this module
    from symgraph.expr import Expr
    from symgraph.ir import Node

    if value is None:
        return Unfit("None")
    if isinstance(value, Expr):
        return Unfit("an expression, whose value is known in a run", "Run it first, and give its value.")
    if isinstance(value, Node):
        return Unfit("a node of a graph", "Its expression is symgraph.lift(graph)[node.id].")
    if isinstance(value, Build):
        return Unfit(
            "a build, which describes a tensor that is still to be declared",
            "Take its result: `value = yield from build` in a @symgraph.do function, or symgraph.run_build(build)[0].",
        )
    if hasattr(
        type(value), "not_a_tensor"
    ):  # a record of tensors that may be taken for one says what to write
        return Unfit(shown(value), value.not_a_tensor)
    if isinstance(value, str | bytes):
        return Unfit(f"the text {reprlib.repr(value)}", "For a number write it without quotes.")
    if isinstance(value, Dim):
        return Unfit(
            f"the size {value}, whose number is known in a run",
            f"In a graph write symgraph.size({str(value)!r}).",
        )
    if isinstance(value, dict | set | frozenset):
        return Unfit(f"a {type(value).__name__}")
    if isinstance(value, Iterable) and not hasattr(value, "__len__") and not hasattr(value, "__array__"):
        return Unfit(f"{shown(value)}, which has no length", "Make a list of it: list(values).")
    return None


def _ragged(error: ValueError) -> Unfit:
    if "inhomogeneous" in str(error):
        return Unfit("ragged: its rows differ in length", "Give every row the same length.", shape=True)
    if "dimension" in str(error):
        return Unfit("nested deeper than the 64 axes an array can have", shape=True)
    return Unfit(f"no array: {error}")


def _foreign(value: Any, array: npt.NDArray[Any]) -> Unfit:
    """An array of what is no number: which objects, and what to write instead."""
    if array.dtype.kind == "c":
        return Unfit("complex: there are no complex tensors", "Take value.real and value.imag apart.")
    if array.dtype.kind in "US":
        return Unfit("an array of text", "Convert it to numbers: numpy.asarray(value, dtype='float32').")
    if array.dtype.kind in "mM":
        return Unfit(f"an array of {array.dtype.name}", "Convert it to numbers: value.astype('int64').")
    if array.dtype.kind != "O" or not array.size:
        return Unfit(f"an array of {array.dtype.name}")
    odd = next((item for item in array.flat if not isinstance(item, int | float)), array.flat[0])
    if any(isinstance(item, int) and not -(2**63) <= item < 2**63 for item in array.flat):
        return Unfit(
            "an integer that int64 cannot hold" if not array.ndim else "integers that int64 cannot hold"
        )
    if array.ndim == 0 and odd is value:
        return Unfit(shown(value))
    return Unfit(f"an array of objects, such as {shown(odd)}", "Convert it: value.astype('float32').")


def encodable(name: str) -> bool:
    """Whether files can hold a name: a lone half of a surrogate pair is no character, and UTF-8 has none.

    >>> encodable("w"), encodable(chr(0xD800))
    (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any) -> str:
    """How messages name a value: what it is written as where that is short, else its kind.

    >>> shown(None), shown(3), shown([1]), shown(len), shown(1 << 9999)
    ('None', '3', 'a list', 'the function len', 'an integer of 10000 bits')
    """
    if isinstance(value, int) and value.bit_length() > 2**12:  # Python writes no integer of many digits
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | str | bytes | np.generic):
        return reprlib.repr(value)
    if callable(value) and hasattr(value, "__name__"):
        return f"the {'class' if isinstance(value, type) else 'function'} {value.__name__}"
    kind = type(value).__name__
    known = {
        "Expr": "an expression",
        "ndarray": "an array",
        "Graph": "a graph",
        "Dim": "a named size",
        "Output": "the output of a layer",
    }
    return known.get(kind, f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}")
