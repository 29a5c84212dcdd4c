"""How the NumPy backend writes each op: ufuncs by themselves, and here the rest.

A kernel is a function (step, operand names, writer, rows) -> Emitted or None: the lines that fill `out`, or for a
view the one expression. Ops that are not here, and have no ufunc, run through their `evaluate` and a copy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Op
from symgraph.lowering.plan import Step, concrete
from symgraph.ops.base import Elementwise
from symgraph.ops.control import StopGradient
from symgraph.ops.linalg import MatMul
from symgraph.ops.logic import Cast, Where
from symgraph.ops.reduction import All, ArgMax, ArgMin, Max, Min, Prod, Reduction, Sum
from symgraph.ops.reduction import Any as AnyOf
from symgraph.ops.shape import BroadcastTo, Concatenate, Reshape, Transpose
from symgraph.ops.slicing import Flip, Pad, Slice, _region


@attrs.frozen
class Emitted:
    """The lines of a step, given the name of its destination; `combine` joins partial results of a reduction."""

    lines: Callable[[str], list[str]]
    combine: Any = None


Kernel = Callable[[Step, list[str], Any, str | None], Emitted | None]


def native() -> frozenset[type[Op]]:
    """The ops that have a kernel here, and so are not expanded."""
    return frozenset(KERNELS)


def view_of(step: Step, contiguous: bool) -> bool | None:
    """Whether the result is a view of the operand's memory, and if so whether it is C-contiguous."""
    match step.op:
        case StopGradient():
            return contiguous
        case Reshape():
            return True if contiguous else None
        case Transpose(axes):
            return contiguous and axes == tuple(range(len(axes)))
        case BroadcastTo() | Flip() | Slice():
            return False
        case _:
            return None


def in_place(step: Step) -> Sequence[int]:
    """The operands that the result may overwrite: read element by element before it is written."""
    if isinstance(step.op, Where):
        return step.inputs[2:]
    if isinstance(step.op, Cast):
        return ()
    if isinstance(step.op, Elementwise):
        return step.inputs
    return ()


_REDUCERS: dict[type[Op], Any] = {
    Sum: np.add,
    Prod: np.multiply,
    Max: np.maximum,
    Min: np.minimum,
    AnyOf: np.logical_or,
    All: np.logical_and,
}


def _reduce(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Reduction)
    ufunc = _REDUCERS[type(step.op)]
    name = writer.use(f"r_{ufunc.__name__}", ufunc.reduce)
    dtype = writer.dtype(step.type.dtype)
    axes, keepdims = step.op.axes, step.op.keepdims
    return Emitted(lambda out: [f"{name}({operands[0]}, {axes!r}, {dtype}, {out}, {keepdims})"], ufunc)


def _argument(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted | None:
    assert isinstance(step.op, ArgMax | ArgMin)
    if len(step.op.axes) != 1 or step.op.keepdims:
        return None
    (axis,) = step.op.axes
    method = "argmax" if isinstance(step.op, ArgMax) else "argmin"
    return Emitted(lambda out: [f"{operands[0]}.{method}({axis}, {out})"])


def _matmul(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, MatMul)
    name = writer.use("f_matmul", np.matmul)
    x = operands[0] + (".mT" if step.op.transpose_a else "")
    y = operands[1] + (".mT" if step.op.transpose_b else "")
    return Emitted(lambda out: [f"{name}({x}, {y}, {out})"])


def _where(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    condition, x, y = operands

    def lines(out: str) -> list[str]:
        first = [] if y == out else [f"copyto({out}, {y})"]
        return [*first, f"copyto({out}, {x}, where={condition})"]

    return Emitted(lines)


def _cast(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted | None:
    if step.type.dtype.kind != "f":
        return None  # saturation and truth are evaluate's business
    return Emitted(lambda out: [f"copyto({out}, {operands[0]}, 'unsafe')"])


def _identity(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    return Emitted(lambda out: [operands[0]])


def _reshape(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    shape = concrete(step.type.shape)
    text = f"({rows}, {', '.join(map(str, shape[1:]))})" if rows is not None else repr(shape)
    # As a view the expression; where the operand is not contiguous, a copy in the operand's order.
    def lines(out: str) -> list[str]:
        if not out:
            return [f"{operands[0]}.reshape({text})"]
        return [f"copyto({out}, {operands[0]}.reshape({text}))"]

    return Emitted(lines)


def _transpose(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Transpose)
    axes = step.op.axes
    return Emitted(lambda out: [f"{operands[0]}.transpose({axes!r})"])


def _broadcast(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    name = writer.use("broadcast_to", np.broadcast_to)
    shape = concrete(step.type.shape)
    text = f"({rows}, {', '.join(map(str, shape[1:]))})" if rows is not None else repr(shape)
    return Emitted(lambda out: [f"{name}({operands[0]}, {text})"])


def _slice(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Slice)
    key = _region(step.op.starts, step.op.sizes, step.op.steps)
    return Emitted(lambda out: [f"{operands[0]}[{_subscript(key)}]"])


def _flip(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Flip)
    axes = step.op.axes
    key = tuple(slice(None, None, -1 if i in axes else None) for i in range(len(step.type.shape)))
    return Emitted(lambda out: [f"{operands[0]}[{_subscript(key)}]"])


def _pad(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Pad)
    inner = concrete(writer.program.steps[step.inputs[0]].type.shape)
    key = _subscript(_region(step.op.starts, inner, step.op.steps))
    return Emitted(lambda out: [f"copyto({out}, {operands[1]})", f"copyto({out}[{key}], {operands[0]})"])


def _subscript(key: Sequence[slice]) -> str:
    """The text of a key of slices."""
    if not key:
        return "()"
    parts = ((s.start, s.stop, s.step) for s in key)
    return ", ".join(":".join("" if p is None else str(p) for p in part).removesuffix(":") for part in parts)


def _concatenate(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Concatenate)
    name = writer.use("concatenate", np.concatenate)
    axis = step.op.axis
    return Emitted(lambda out: [f"{name}(({', '.join(operands)},), {axis}, {out})"])


KERNELS: dict[type[Op], Kernel] = {
    **dict.fromkeys(_REDUCERS, _reduce),
    ArgMax: _argument,
    ArgMin: _argument,
    MatMul: _matmul,
    StopGradient: _identity,
    Reshape: _reshape,
    Transpose: _transpose,
    BroadcastTo: _broadcast,
    Slice: _slice,
    Flip: _flip,
    Pad: _pad,
    Concatenate: _concatenate,
    Where: _where,
    Cast: _cast,
}
