"""What ops share: the elementwise base, checks of dtypes and axes, and sums over broadcast axes."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr
from symgraph.ir import Array, Op
from symgraph.types import (
    SHORT_NAMES,
    Dimension,
    DType,
    Shape,
    TensorType,
    broadcast,
    make_type,
)
from symgraph.values import shown

_KINDS = {"f": "floats", "i": "integers", "b": "bools"}


class Elementwise(Op):
    """An op that works element by element on operands of one dtype, broadcast to one shape."""

    ufunc: ClassVar[Callable[..., Any] | None] = None  # the NumPy ufunc that is its whole meaning
    kinds: ClassVar[str] = "f"  # kinds of dtype it takes: f floats, i integers, b bools
    result: ClassVar[DType | None] = None  # None: the dtype of the operands
    cost: ClassVar[int] = 1  # flops an element
    arity: ClassVar[int | None] = 1

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if isinstance(cls.ufunc, np.ufunc):
            cls.arity = cls.ufunc.nin

    def infer(self, *types: TensorType) -> TensorType:
        first = types[0]
        require_kind(self.name, self.kinds, first)
        require_same_dtype(self.name, types)
        shape = first.shape if len(types) == 1 else broadcast_operands(self.name, types)
        if self.result is None and shape is first.shape:
            return first
        return make_type(first.dtype if self.result is None else self.result, shape)

    def evaluate(self, *arrays: Array) -> Array:
        ufunc = type(self).ufunc
        assert ufunc is not None, self.name
        made: Array = ufunc(*arrays)
        return made

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return out.size * self.cost


def require_kind(name: str, kinds: str, type_: TensorType) -> None:
    """Raise DTypeError unless the dtype is of one of the kinds that the op takes."""
    if type_.dtype.kind not in kinds:
        wanted = " or ".join(_KINDS[kind] for kind in kinds)
        raise DTypeError(
            f"{name} takes {wanted}, and this is {SHORT_NAMES[type_.dtype.name]}",
            hint="Compare it first, such as x > 0."
            if kinds == "b"
            else "Cast it: symgraph.cast(x, 'float32').",
        )


def require_same_dtype(name: str, types: Sequence[TensorType]) -> None:
    """Raise DTypeError unless all operands have one dtype (the public functions cast them to one)."""
    dtypes = [t.dtype for t in types]
    if len(set(dtypes)) > 1:
        shown = " and ".join(d.name for d in dict.fromkeys(dtypes))
        raise DTypeError(f"{name}: the operands have the dtypes {shown}")


def broadcast_operands(name: str, types: Iterable[TensorType]) -> Shape:
    """The common shape of operands; raises ShapeError that names the op."""
    try:
        return broadcast(*[t.shape for t in types])
    except ShapeError as error:
        error.message = f"{name}: {error.message}"
        raise


def as_float(value: object) -> float:
    """A plain number, also of NumPy, as a float: infinite where it is too large for one, NaN for anything else.

    >>> as_float(np.float32(0.5)), as_float(-(10**400)), as_float("1")
    (0.5, -inf, nan)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def flag(name: str, what: str, value: object) -> bool:
    """An option that is True or False; raises GraphError for anything else, whose truth would say nothing."""
    if not isinstance(value, bool | np.bool_):
        raise GraphError(
            f"{name}: {what} is True or False, and {shown(value)} is neither", hint=f"Write {what}=True."
        )
    return bool(value)


def normalise_axis(name: str, axis: int, rank: int) -> int:
    """The axis counted from the front; raises ShapeError when there is no such axis.

    >>> normalise_axis("sum", -1, 3)
    2
    """
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise ShapeError(f"{name}: an axis is an int, and {axis!r} is none", hint=_axes_of(rank))
    if not -rank <= axis < rank:
        raise ShapeError(f"{name}: there is no axis {axis} in a tensor of {rank} axes", hint=_axes_of(rank))
    return int(axis) % rank


def _axes_of(rank: int) -> str:
    has = f"axes 0 to {rank - 1}, or -1 to {-rank} from the end" if rank > 1 else "axis 0 alone"
    return f"It has {has}." if rank else "It is a scalar: leave the axis out, or give it one by reshape."


def normalise_axes(name: str, axis: int | Iterable[int] | None, rank: int) -> tuple[int, ...]:
    """The axes, sorted and counted from the front; None means all; raises ShapeError for a repeat.

    >>> normalise_axes("sum", (-1, 0), 3), normalise_axes("sum", None, 2)
    ((0, 2), (0, 1))
    """
    if axis is None:
        return tuple(range(rank))
    several = isinstance(axis, Iterable) and not isinstance(axis, str | Expr)
    listed: tuple[Any, ...] = tuple(axis) if several else (axis,)  # type: ignore[arg-type]
    axes = tuple(sorted(normalise_axis(name, a, rank) for a in listed))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is repeated in {listed}", hint="Name each axis once.")
    return axes


def sum_to(g: Expr, shape: Shape) -> Expr:
    """`g` summed over what broadcasting added to `shape`: the transpose of broadcasting."""
    if g.shape == shape:
        return g
    extra = len(g.shape) - len(shape)
    kept = tuple(extra + i for i, size in enumerate(shape) if size == 1 and g.shape[extra + i] != 1)
    if kept:
        g = ops.sum(g, axis=kept, keepdims=True)
    return ops.sum(g, axis=tuple(range(extra))) if extra else g
