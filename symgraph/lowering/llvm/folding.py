"""Sums over all rows, where rows are short: several rows are one, until they fill vectors, and their sums are added.

A row of 6 channels would fill 6 of 16 lanes, and each would wait for the sum before it; 8 rows side by side are 48
numbers, 3 whole vectors.
"""

from collections.abc import Sequence
from math import gcd

import attrs

from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.region import Inner, Number, Read, Shape, count
from symgraph.lowering.llvm.target import Target
from symgraph.ops.base import Elementwise
from symgraph.ops.reduction import Sum

_LEAST = 64  # long rows, from which their sums are worth another kernel
_LONGEST = 1024  # numbers of a long row


@attrs.frozen
class Folded:
    """A region of long rows. Its results are of the shape `long`, but sums, of `count` by `short` numbers each."""

    nodes: list[Inner]
    operands: list[Tensor]
    sums: frozenset[int]
    count: int
    short: int


def fold(
    nodes: Sequence[Inner], operands: Sequence[Tensor], outputs: Sequence[int], target: Target
) -> Folded | None:
    """The region of long rows that a region of short ones is; None where it is not worth it, or is none."""
    sums = [i for i, n in enumerate(nodes) if isinstance(n.what, Sum)]
    if not sums or not set(sums) <= set(outputs):
        return None
    shape = nodes[nodes[sums[0]].inputs[0]].shape
    if len(shape) < 2 or shape[-1] < 2:
        return None
    lanes = target.lanes(nodes[sums[0]].dtype.itemsize)
    times = lanes // gcd(lanes, shape[-1])
    rows, wide = count(shape[:-1]), times * shape[-1]
    if times == 1 or rows % times or rows // times < _LEAST or wide > _LONGEST:
        return None
    if not all(_is_even(n, operands, shape) for n in nodes):
        return None
    long = (rows // times, wide)

    def folded(n: Inner) -> Inner:
        if isinstance(n.what, Sum):
            return attrs.evolve(n, what=Sum((0,)), shape=(wide,))
        return attrs.evolve(n, shape=long) if n.shape == shape else n

    given = [attrs.evolve(t, shape=long, strides=(wide, 1)) if t.shape == shape else t for t in operands]
    return Folded([folded(n) for n in nodes], given, frozenset(sums), times, shape[-1])


def _is_even(n: Inner, operands: Sequence[Tensor], shape: Shape) -> bool:
    """Whether a node means the same on long rows."""
    if isinstance(n.what, Number):
        return count(n.shape) == 1
    if isinstance(n.what, Read):
        return count(n.shape) == 1 or (n.shape == shape and operands[n.what.operand].contiguous)
    if isinstance(n.what, Sum):
        return n.what.axes == tuple(range(len(shape) - 1))
    return isinstance(n.what, Elementwise) and n.shape == shape
