"""What a loop kernel computes, as a value: nodes over operands of known layout. Equal regions share one kernel.

nodes    : (what, inputs)         in topological order; what is an op, an operand that is read, or a number
operands : (shape, strides)       strides in elements, 0 where an axis is broadcast
outputs  : (node, strides)        where the rows of a result go
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import attrs
import numpy as np

from symgraph.ir import Op
from symgraph.lowering.llvm.emit import F32, F64, I1, I8, I32, I64, Type
from symgraph.ops.reduction import Reduction
from symgraph.types import DType, TensorType

Shape: TypeAlias = tuple[int, ...]


class Read(NamedTuple):
    """The operand of a number."""

    operand: int


class Number(NamedTuple):
    """A number known when the kernel is made. It compares by its bits: 0.0 == -0.0, and they are two numbers."""

    value: float | int | bool
    bits: bytes


@attrs.frozen(cache_hash=True)
class Inner:
    """A node of a region: an op on earlier nodes, an operand, or a number."""

    what: Op | Read | Number
    inputs: tuple[int, ...]
    shape: Shape
    dtype: DType


@attrs.frozen(cache_hash=True)
class Operand:
    """How an operand lies in memory; with `first` it does not: its elements count up from there with their place."""

    shape: Shape
    strides: tuple[int, ...]
    dtype: DType
    first: int | None = None


@attrs.frozen(cache_hash=True)
class Region:
    """A whole kernel's work; `outputs` pairs nodes with the strides of the memory that takes them."""

    nodes: tuple[Inner, ...]
    operands: tuple[Operand, ...]
    outputs: tuple[tuple[int, tuple[int, ...]], ...]


COSTLY = 20  # instructions for an element, from which it matters that vectors are full
_REGISTER = {"float32": F32, "float64": F64, "int32": I32, "int64": I64, "bool": I1}


def register_type(dtype: DType, lanes: int = 1) -> Type:
    """The type of values in registers: a bool is one bit."""
    return Type(_REGISTER[dtype.name].name, lanes)


def memory_type(dtype: DType, lanes: int = 1) -> Type:
    """The type of values in memory: a bool is a byte."""
    return Type(I8.name if dtype.kind == "b" else _REGISTER[dtype.name].name, lanes)


def squeeze(shape: Sequence[int]) -> Shape:
    """The axes that are longer than 1."""
    return tuple(size for size in shape if size != 1)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array in C order."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return tuple(strides)


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the strides are those of C order, where they matter."""
    expected = contiguous(shape)
    return (
        all(size == 1 or have == want for size, have, want in zip(shape, strides, expected, strict=True))
        or 0 in shape
    )


def broadcast_strides(shape: Shape, strides: tuple[int, ...], to: Shape) -> tuple[int, ...]:
    """The strides of an operand seen in a larger shape: 0 along what is broadcast."""
    extra = len(to) - len(shape)
    own = [
        0 if size == 1 and want != 1 else s for size, s, want in zip(shape, strides, to[extra:], strict=True)
    ]
    return (*(0,) * extra, *own)


def is_tail(node: Inner) -> bool:
    """Whether it reduces over the rows."""
    return isinstance(node.what, Reduction) and 0 in node.what.axes


def count(shape: Sequence[int]) -> int:
    """The number of elements."""
    return math.prod(shape)


def number_of(value: np.ndarray) -> Number:
    """The one element of an array."""
    return Number(value.reshape(-1)[0].item(), value.tobytes())


def reachable(nodes: Sequence[Inner], roots: Iterable[int]) -> list[int]:
    """The nodes that some need, in order."""
    wanted = set(roots)
    for i in range(len(nodes) - 1, -1, -1):
        if i in wanted:
            wanted.update(nodes[i].inputs)
    return sorted(wanted)


def extract(nodes: Sequence[Inner], chosen: Sequence[int]) -> tuple[list[Inner], list[int], dict[int, int]]:
    """Some of the nodes, which need no others, by themselves: with inputs and operands numbered anew, which operands
    they read, and the new number of each node.
    """
    place = {i: k for k, i in enumerate(chosen)}
    operands: dict[int, int] = {}
    made = []
    for i in chosen:
        what = nodes[i].what
        if isinstance(what, Read):
            what = Read(operands.setdefault(what.operand, len(operands)))
        made.append(attrs.evolve(nodes[i], what=what, inputs=tuple(place[j] for j in nodes[i].inputs)))
    return made, list(operands), place


def longer(shape: Shape, strides: Sequence[int]) -> tuple[int, ...]:
    """The strides of the axes that are longer than 1."""
    return tuple(stride for size, stride in zip(shape, strides, strict=True) if size != 1)


def restride(shape: Shape, strides: tuple[int, ...], to: Shape) -> tuple[int, ...]:
    """The strides of the same elements in a shape with other axes of size 1."""
    if shape == to:
        return strides
    left = iter(longer(shape, strides))
    return tuple(0 if size == 1 else next(left) for size in to)


def label(node: Inner) -> str:
    """What a node computes, for who reads the memory plan."""
    assert isinstance(node.what, Op)
    return f"{node.what.name} {TensorType(node.dtype, node.shape)}"


def cost(node: Inner) -> int:
    """About how many instructions an element takes."""
    found: int = getattr(node.what, "cost", 1)
    return found
