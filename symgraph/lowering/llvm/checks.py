"""Checks: kernels that stop the step where a number is not finite or not in a range.

They only find out whether something is wrong. What to say of it the op knows: its own `evaluate` runs then.
"""

from functools import lru_cache
from typing import Any

import attrs
import numpy as np

from symgraph.ir import Node
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.emit import PTR, Builder, Value, constant, integer
from symgraph.lowering.llvm.kernel import Kernel, close, open_kernel
from symgraph.lowering.llvm.matmul.spans import plus
from symgraph.lowering.llvm.region import Shape, count, memory_type
from symgraph.lowering.llvm.step import STATUS
from symgraph.lowering.llvm.sweeps import Cursor, fitting, pieces, raw, share, step, sweep
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.vectors import horizontal, join_axes
from symgraph.ops.control import AssertFinite, AssertIndex
from symgraph.types import DType, evaluate_dimension


@attrs.frozen(cache_hash=True)
class Check:
    """All elements are to be within a range, or without one to be finite."""

    dims: Shape
    strides: tuple[int, ...]
    dtype: DType
    low: int = 0
    high: int | None = None


def assert_finite(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The operand, checked."""
    (x,) = operands
    assert isinstance(node.op, AssertFinite)
    if x.dtype.kind == "f":
        _call(planner, x, operands, node.id, 0, None)
    return x


def assert_index(planner: Any, node: Node, operands: list[Tensor]) -> Tensor:
    """The operand, checked."""
    (x,) = operands
    assert isinstance(node.op, AssertIndex)
    size = evaluate_dimension(node.op.size, {})
    if size < 1:
        made: Tensor = planner.call_back(node, operands)
        return made
    _call(planner, x, operands, node.id, 0, size - 1)
    return x


def in_range(planner: Any, node: Node, operands: list[Tensor], size: int) -> None:
    """Check operand 1, indices into `size` elements counted from either end, before they are used."""
    given = planner.known.get(node.inputs[1])
    if given is not None and given.min() >= -size and given.max() < size:
        return
    _call(planner, operands[1], operands, node.id, -size, size - 1)


def _call(planner: Any, x: Tensor, operands: list[Tensor], node: int, low: int, high: int | None) -> None:
    if high is not None:
        limits = np.iinfo(x.dtype)
        low, high = max(low, int(limits.min)), min(high, int(limits.max))
        if (low, high) == (limits.min, limits.max):
            return
    longer = [(n, s) for n, s in zip(x.shape, x.strides, strict=True) if n != 1 and s]
    dims, (strides,) = join_axes(tuple(n for n, _ in longer), [tuple(s for _, s in longer)])
    kernel = write_check(Check(dims, strides, x.dtype, low, high), operands.index(x), planner.target)
    planner.call(kernel, operands, [], node, planner.scratch(0, node), operands)


@lru_cache(1024)
def write_check(check: Check, argument: int, target: Target) -> Kernel:
    """The kernel; the pointer it works on is the argument of that number."""
    b, dims = Builder(), check.dims
    base = open_kernel(b, argument + 1)[argument]
    if not dims:
        _report(b, check, _gathered(b, check, base, 1, 0))
        return attrs.evolve(close(b), checks=True)
    unit = check.strides[-1] in (1, -1)
    width = target.lanes(check.dtype.itemsize)
    lanes = fitting(dims[-1], 4 * width if unit and dims[-1] >= 8 * width else width)
    chunks = pieces(count(dims) * 0.03 * check.dtype.itemsize, dims[0] // (lanes if len(dims) == 1 else 1))
    low, high = share(b, dims[0], chunks)
    if len(dims) > 1:
        low, high = integer(0), integer(dims[-1])

    def row(pointers: list[Value], _: int) -> None:
        stride, last = check.strides[-1], plus(b, high, -lanes)
        opened = b.begin_loop(low, high, lanes, [constant(_carried(check, lanes), 0)])
        at = b.binary("smin", opened.index, last)
        found = _gathered(b, check, step(b, pointers[0], at, stride, check.dtype), lanes, stride)
        _report(b, check, b.end_loop(opened, [_joined(b, check, opened.carried[0], found)])[0])

    span = share(b, dims[0], chunks) if len(dims) > 1 else (integer(0), integer(1))
    sweep(b, dims[:-1], 1, span, [Cursor(base, check.strides[:-1], check.dtype)], row)
    return attrs.evolve(close(b, chunks), checks=True)


def _carried(check: Check, lanes: int) -> Any:
    return memory_type(check.dtype, lanes)


def _gathered(b: Builder, check: Check, address: Value, lanes: int, stride: int) -> Value:
    """What tells of each element whether it is right: x * 0, or how far it lies above the lowest, unsigned."""
    x = raw(b, check.dtype, address, stride, lanes)
    if check.high is None:
        return b.mul(x, constant(x.type, 0))
    return b.sub(x, constant(x.type, check.low))


def _joined(b: Builder, check: Check, x: Value, y: Value) -> Value:
    """NaN, and the unsigned maximum, stay until the end."""
    return b.add(x, y) if check.high is None else b.binary("umax", x, y)


def _report(b: Builder, check: Check, found: Value) -> None:
    found = horizontal(b, lambda b, x, y: _joined(b, check, x, y), found)
    if check.high is None:
        wrong = b.is_nan(found)
    else:
        wrong = b.compare("ugt", found, constant(found.type, check.high - check.low))
    with b.when(wrong):
        slot = b.emit(PTR, f"getelementptr ptr, ptr %table, i64 {STATUS}")
        b.do(f"store atomic i64 1, {slot} monotonic, align 8")
