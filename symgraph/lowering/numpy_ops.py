"""How the NumPy backend writes each op: ufuncs by themselves, and here the rest.

A kernel is a function (step, operand names, writer, rows) -> Emitted or None: the lines that fill `out`, or for a
view the one expression. Ops that are not here, and have no ufunc, run through their `evaluate` and a copy.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Op
from symgraph.lowering.numpy_windows import max_pool, max_pool_gradient, overlap_add, pool_scratch
from symgraph.lowering.plan import Layout, Program, Step, by_rows, concrete, concrete_size
from symgraph.ops.arithmetic import Maximum, Minimum
from symgraph.ops.base import Elementwise
from symgraph.ops.control import AssertIndex
from symgraph.ops.factorisation import Determinant, DeterminantSign, Inverse, LogDeterminant, Solve
from symgraph.ops.linalg import MatMul
from symgraph.ops.logic import Cast, Where
from symgraph.ops.pooling import MaxPool2d, MaxPool2dGradient
from symgraph.ops.reduction import All, ArgMax, ArgMin, Max, Min, Prod, Reduction, Sum
from symgraph.ops.reduction import Any as AnyOf
from symgraph.ops.shape import BroadcastTo, Concatenate, Reshape, Transpose
from symgraph.ops.slicing import Flip, Pad, Slice, key_of
from symgraph.ops.windows import OverlapAdd, Windows
from symgraph.types import DType, evaluate_dimension


@attrs.frozen
class Emitted:
    """The lines of a step, given the name of its destination; `combine` joins partial results of a reduction."""

    lines: Callable[[str], list[str]]
    combine: Any = None


Kernel = Callable[[Step, list[str], Any, str | None], Emitted | None]


def native() -> frozenset[type[Op]]:
    """The ops that have a kernel here, or an `evaluate` in LAPACK's words, and so are not expanded."""
    return frozenset({*KERNELS, Solve, Inverse, Determinant, DeterminantSign, LogDeterminant})


def view_of(step: Step, contiguous: bool) -> bool | None:
    """Whether the result is a view of the operand's memory, and if so whether it is C-contiguous."""
    match step.op:
        case Reshape():
            return True if contiguous else None
        case Transpose(axes):
            return contiguous and axes == tuple(range(len(axes)))
        case BroadcastTo() | Flip() | Slice() | Windows():
            return False
        case _:
            return None


def in_place(step: Step, layout: Layout) -> Sequence[int]:
    """The operands that the result may overwrite: read element by element before it is written."""
    if isinstance(step.op, Where):
        # The first of the operations on bits reads x, unless x is 0.
        by_bits = _selects_bits(step) and not _is_zero(step.inputs[1], layout)
        return step.inputs[1:2] if by_bits else step.inputs[2:]
    if isinstance(step.op, Cast):
        return ()
    if isinstance(step.op, Elementwise):
        return step.inputs
    return ()


def scratch(step: Step, program: Program) -> Sequence[tuple[DType, tuple[int, ...]]]:
    """The room that a kernel needs beside its result: for `where` and the gradient of pooling, the masks."""
    if isinstance(step.op, MaxPool2dGradient):
        largest = program.steps[step.inputs[1]].type
        return pool_scratch(largest.dtype, concrete(largest.shape))
    if not isinstance(step.op, Where) or not _selects_bits(step):
        return ()
    condition = program.steps[step.inputs[0]]
    shape = concrete(condition.type.shape)
    if step.loop is not None and by_rows(step, condition, program):
        shape = (program.loops[step.loop].block, *shape[1:])
    narrow = (np.dtype(np.int8), shape)
    return [narrow] if step.type.dtype.itemsize == 1 else [narrow, (_bits(step.type.dtype), shape)]


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
    (operand,) = operands
    if isinstance(step.op, Sum) and not writer.layout.contiguous[step.inputs[0]]:
        # NumPy adds in the order of the memory; the interpreter in that of the axes.
        operand = f"{writer.use('ordered', np.ascontiguousarray)}({operand})"
    return Emitted(lambda out: [f"{name}({operand}, {axes!r}, {dtype}, {out}, {keepdims})"], ufunc)


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


def _selects_bits(step: Step) -> bool:
    """Below this size two masked copies are quicker than the arithmetic on bits."""
    return concrete_size(step.type) >= 512


def _bits(dtype: DType) -> DType:
    return np.dtype(f"i{dtype.itemsize}")


def _is_zero(v: int, layout: Layout) -> bool:
    """Whether a value is known to be the number +0, all of whose bits are 0."""
    known = layout.known.get(v)
    return known is not None and known.ndim == 0 and not any(known.tobytes())


def _where(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    """NumPy's masked copies take 5 ns an element. A select on the bits takes 0.5: with a mask of all ones or
    all zeros, y ^ ((x ^ y) & mask); x & mask where y is 0, and y & ~mask where x is.
    """
    condition, x, y = operands
    if not _selects_bits(step):

        def masked(out: str) -> list[str]:
            first = [] if y == out else [f"copyto({out}, {y})"]
            return [*first, f"copyto({out}, {x}, where={condition})"]

        return Emitted(masked)
    bits = _bits(step.type.dtype)
    name = writer.dtype(bits)
    narrow, *wide = writer.scratch(step)
    mask = wide[0] if wide else narrow
    i8 = writer.dtype(np.dtype(np.int8))
    xor, both = writer.use("f_xor", np.bitwise_xor), writer.use("f_and", np.bitwise_and)
    x_zero, y_zero = (_is_zero(v, writer.layout) for v in step.inputs[1:])
    if x_zero:  # 1 - 1 is no bits, 0 - 1 all of them
        make = (
            f"{writer.use('f_subtract', np.subtract)}({condition}.view({i8}), {writer.use('one', np.int8(1))}"
        )
    else:
        make = f"{writer.use('f_negative', np.negative)}({condition}.view({i8})"

    def lines(out: str) -> list[str]:
        made = [f"{make}, {narrow})"]
        if wide:
            made.append(f"copyto({mask}, {narrow})")
        result, first, second = (f"{value}.view({name})" for value in (out, x, y))
        if x_zero or y_zero:
            return [*made, f"{both}({second if x_zero else first}, {mask}, {result})"]
        return [
            *made,
            f"{xor}({first}, {second}, {result})",
            f"{both}({result}, {mask}, {result})",
            f"{xor}({result}, {second}, {result})",
        ]

    return Emitted(lines)


def _extreme(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    """NumPy's maximum with a single number takes 4 times as long as with a row of it. It wants `out` by name."""
    ufunc = type(step.op).ufunc  # type: ignore[attr-defined]
    name = writer.use(f"f_{ufunc.__name__}", ufunc)
    shape = concrete(step.type.shape)
    length = shape[-1] if shape else 0
    if step.loop is not None and len(shape) == 1:
        length = writer.program.loops[step.loop].block
    named = list(operands)
    for k, v in enumerate(step.inputs):
        value = writer.layout.known.get(v)
        if value is not None and value.ndim == 0 and 8 <= length <= 1 << 16:
            row = writer.use(f"c{v}_row{length}", np.full(length, value))
            named[k] = f"{row}[:{rows}]" if rows is not None and len(shape) == 1 else row
    return Emitted(lambda out: [f"{name}({', '.join(named)}, out={out})"])


def _cast(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted | None:
    if step.type.dtype.kind != "f":
        return None  # saturation and truth are evaluate's business
    return Emitted(lambda out: [f"copyto({out}, {operands[0]}, 'unsafe')"])


def _reshape(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    shape = concrete(step.type.shape)
    text = f"({rows}, {', '.join(map(str, shape[1:]))})" if rows is not None else repr(shape)

    # As a view the expression; where the operand is not contiguous, a copy in the operand's order.
    def lines(out: str) -> list[str]:
        if not out:
            return [f"{operands[0]}.reshape({text})"]
        if rows is None:  # seen in the operand's shape, what is written takes no copy in between
            shape = concrete(writer.program.steps[step.inputs[0]].type.shape)
            return [f"copyto({out}.reshape({shape!r}), {operands[0]})"]
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
    key = key_of(step.op.starts, step.op.sizes, step.op.steps)
    return Emitted(lambda out: [f"{operands[0]}[{_subscript(key)}]"])


def _flip(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Flip)
    axes = step.op.axes
    key = tuple(slice(None, None, -1 if i in axes else None) for i in range(len(step.type.shape)))
    return Emitted(lambda out: [f"{operands[0]}[{_subscript(key)}]"])


def _windows(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    view = writer.use(f"e{step.value}", step.op.evaluate)
    return Emitted(lambda out: [f"{view}({operands[0]})"])


def _by_offsets(function: Any) -> Kernel:
    """The kernel of an op on windows: a function of the op, its operands, the result and scratch."""

    def kernel(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
        name = writer.use(f"e{step.value}", partial(function, step.op))
        room = writer.scratch(step)
        return Emitted(lambda out: [f"{name}({', '.join([*operands, out, *room])})"])

    return kernel


def _pad(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    assert isinstance(step.op, Pad)
    inner = concrete(writer.program.steps[step.inputs[0]].type.shape)
    key = _subscript(key_of(step.op.starts, inner, step.op.steps))
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


def _assert_index(step: Step, operands: list[str], writer: Any, rows: str | None) -> Emitted:
    """The smallest and the largest decide; `evaluate`, which makes masks, then finds what to say."""
    assert isinstance(step.op, AssertIndex)
    size, x = evaluate_dimension(step.op.size, {}), operands[0]
    raises = writer.use(f"e{step.value}", step.op.evaluate)
    test = f"if {x}.size and ({x}.min() < 0 or {x}.max() >= {size}): {raises}({x})"
    return Emitted(lambda out: [test, f"copyto({out}, {x})"])


KERNELS: dict[type[Op], Kernel] = {
    **dict.fromkeys(_REDUCERS, _reduce),
    ArgMax: _argument,
    AssertIndex: _assert_index,
    ArgMin: _argument,
    MatMul: _matmul,
    Reshape: _reshape,
    Transpose: _transpose,
    BroadcastTo: _broadcast,
    Slice: _slice,
    Flip: _flip,
    Pad: _pad,
    Windows: _windows,
    OverlapAdd: _by_offsets(overlap_add),
    MaxPool2d: _by_offsets(max_pool),
    MaxPool2dGradient: _by_offsets(max_pool_gradient),
    Concatenate: _concatenate,
    Where: _where,
    Cast: _cast,
    Maximum: _extreme,
    Minimum: _extreme,
}
