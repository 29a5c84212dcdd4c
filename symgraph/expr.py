"""Expressions: what a user writes, to be made a graph by `symgraph.define`.

    apply : Op -> Expr* -> Expr            types are inferred here, so errors come at the user's line

An Expr is syntax only: an op applied to operands, with identity equality. Gradients and rewrites are written
with the same public functions that users call.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from symgraph import origin as provenance
from symgraph.contracts import inferred
from symgraph.errors import DTypeError, GraphError, ShapeError, SymgraphError
from symgraph.ir import (
    Array,
    ArrayValue,
    Constant,
    Op,
    Placeholder,
    Variable,
    leaf_name,
)
from symgraph.origin import Origin
from symgraph.types import (
    BOOL,
    DTYPES,
    FLOAT32,
    INT64,
    LIMIT,
    SHORT_NAMES,
    Dimension,
    DType,
    DTypeLike,
    Shape,
    ShapeLike,
    TensorType,
    as_shape,
    dtype_of,
    product,
    promote,
    show_shape,
)
from symgraph.values import Unfit, array_of, encodable


@attrs.frozen(eq=False, repr=False)
class Expr:
    """An op applied to operands. Equality is identity: compare graphs, or use `symgraph.equal` on tensors."""

    op: Op
    inputs: tuple["Expr", ...]
    type: TensorType
    origin: Origin

    @property
    def shape(self) -> Shape:
        """The shape: a tuple of ints and named sizes."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""
        return self.type.dtype

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.type.shape)

    @property
    def size(self) -> Dimension:
        """The number of elements."""
        return self.type.size

    @property
    def T(self) -> "Expr":  # noqa: N802  the field's name
        """The transpose: all axes in reverse order."""
        return _ops.transpose(self)

    def __repr__(self) -> str:
        label = getattr(self.op, "label", None)
        return f"<{self.op.name}{'' if label is None else f' {label!r}'}: {self.type}>"

    def __eq__(self, other: object) -> bool:
        # A tensor in a dict or a set is found by its identity before this is asked.
        raise GraphError(
            "== on a tensor would be decided now, before anything runs",
            hint="Write symgraph.equal(a, b) for a tensor of truth values, or `a is b` for one expression.",
        )

    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise GraphError(
            "an expression has no truth value: the graph is defined before anything runs",
            hint="Use symgraph.where(condition, a, b); to compare, symgraph.equal(a, b).",
        )

    def __iter__(self) -> NoReturn:
        raise GraphError(
            f"{self!r} cannot be iterated: the graph is defined before anything runs",
            hint="Use symgraph.split, or x[i]; to reduce it, symgraph.sum, symgraph.max and the like.",
        )

    if not TYPE_CHECKING:  # to a type checker an expression is none of these

        def __float__(self) -> NoReturn:
            raise self._valueless("a float")

        def __int__(self) -> NoReturn:
            raise self._valueless("an int")

        def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
            raise self._valueless("a NumPy array")

    def _valueless(self, wanted: str) -> GraphError:
        return GraphError(
            f"{self!r} cannot be made {wanted}: its value is known in a run",
            hint="Run it: session.run(expression, feeds); in a graph, convert with symgraph.cast.",
        )

    def __setitem__(self, key: object, value: object) -> NoReturn:
        raise GraphError(
            f"{self!r} cannot be changed in place: expressions are immutable",
            hint="Make another: symgraph.where(mask, value, x), or symgraph.scatter_add(x, indices, updates).",
        )

    def __len__(self) -> int:
        if not self.shape or not isinstance(self.shape[0], int):
            raise ShapeError(
                f"len: the first axis of {self.type} has no fixed length", hint="Use x.shape[0]."
            )
        return self.shape[0]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> "Expr":
        # NumPy's operators, for arrays on the left hand, come here; functions such as np.exp do too.
        name = _OPERATORS.get(ufunc.__name__)
        if method != "__call__" or options or name is None:
            raise _numpy_called(ufunc.__name__, self)
        made: Expr = getattr(_ops, name)(*inputs)
        return made

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise _numpy_called(function.__name__, self)

    def __add__(self, other: "Operand") -> "Expr":
        return _ops.add(self, other)

    def __radd__(self, other: "Operand") -> "Expr":
        return _ops.add(other, self)

    def __sub__(self, other: "Operand") -> "Expr":
        return _ops.sub(self, other)

    def __rsub__(self, other: "Operand") -> "Expr":
        return _ops.sub(other, self)

    def __mul__(self, other: "Operand") -> "Expr":
        return _ops.mul(self, other)

    def __rmul__(self, other: "Operand") -> "Expr":
        return _ops.mul(other, self)

    def __truediv__(self, other: "Operand") -> "Expr":
        return _ops.div(self, other)

    def __rtruediv__(self, other: "Operand") -> "Expr":
        return _ops.div(other, self)

    def __floordiv__(self, other: "Operand") -> "Expr":
        return _ops.floor_divide(self, other)

    def __rfloordiv__(self, other: "Operand") -> "Expr":
        return _ops.floor_divide(other, self)

    def __mod__(self, other: "Operand") -> "Expr":
        return _ops.mod(self, other)

    def __rmod__(self, other: "Operand") -> "Expr":
        return _ops.mod(other, self)

    def __pow__(self, other: "Operand") -> "Expr":
        return _ops.pow(self, other)

    def __rpow__(self, other: "Operand") -> "Expr":
        return _ops.pow(other, self)

    def __matmul__(self, other: "Operand") -> "Expr":
        return _ops.matmul(self, other)

    def __rmatmul__(self, other: "Operand") -> "Expr":
        return _ops.matmul(other, self)

    def __neg__(self) -> "Expr":
        return _ops.neg(self)

    def __pos__(self) -> "Expr":
        return self

    def __abs__(self) -> "Expr":
        return _ops.abs(self)

    def __lt__(self, other: "Operand") -> "Expr":
        return _ops.less(self, other)

    def __le__(self, other: "Operand") -> "Expr":
        return _ops.less_equal(self, other)

    def __gt__(self, other: "Operand") -> "Expr":
        return _ops.greater(self, other)

    def __ge__(self, other: "Operand") -> "Expr":
        return _ops.greater_equal(self, other)

    def __invert__(self) -> "Expr":
        return _ops.logical_not(self)

    def __and__(self, other: "Operand") -> "Expr":
        return _ops.logical_and(self, other)

    def __rand__(self, other: "Operand") -> "Expr":
        return _ops.logical_and(other, self)

    def __or__(self, other: "Operand") -> "Expr":
        return _ops.logical_or(self, other)

    def __ror__(self, other: "Operand") -> "Expr":
        return _ops.logical_or(other, self)

    def __xor__(self, other: "Operand") -> "Expr":
        return _ops.logical_xor(self, other)

    def __rxor__(self, other: "Operand") -> "Expr":
        return _ops.logical_xor(other, self)

    def __getitem__(self, key: Any) -> "Expr":
        return _ops.getitem(self, key)

    def reshape(self, *shape: Any) -> "Expr":
        """The same elements in another shape; see `symgraph.reshape`."""
        return _ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def astype(self, dtype: DTypeLike) -> "Expr":
        """The same values in another dtype; see `symgraph.cast`."""
        return _ops.cast(self, dtype)


# NumPy's functions behind its operators, and ours.
_OPERATORS: Mapping[str, str] = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "floor_divide": "floor_divide",
    "remainder": "mod",
    "power": "pow",
    "matmul": "matmul",
    "less": "less",
    "less_equal": "less_equal",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
}


def _numpy_called(name: str, operand: Expr) -> GraphError:
    ours = name if hasattr(_ops, name) else ""
    return GraphError(
        f"numpy.{name} computes at once, and {operand!r} has its value in a run",
        hint=f"Write symgraph.{ours}." if ours else "Write it with the functions of symgraph.",
    )


Scalar: TypeAlias = bool | int | float
Operand: TypeAlias = Expr | Scalar | Array | np.generic | Sequence[Any]


def apply(op: Op, *inputs: Expr) -> Expr:
    """`op` applied to expressions of the dtypes it wants; its errors name the user's line and the operands."""
    try:
        type_ = inferred(op, [operand.type for operand in inputs])
    except SymgraphError as error:
        made = provenance.current()
        if made.sources:
            error.source = made.sources[0]
        error.details = error.details or tuple(map(describe, inputs))
        raise
    return Expr(op, inputs, type_, provenance.current())


def describe(operand: Expr) -> str:
    """An operand as error messages show it: its name, type, and where it was declared."""
    name = leaf_name(operand.op) or operand.op.name
    sources = operand.origin.sources
    where = (
        f"  declared at {provenance.visible(provenance.relative(sources[0].file))}:{sources[0].line}"
        if sources
        else ""
    )
    return f"{name}  {operand.type}{where}"


def check_name(name: object, what: str) -> str:
    """The name, if it is a non-empty string that a file can hold; else raises GraphError."""
    if not isinstance(name, str) or not name:
        article = "an" if what[0] in "aeiou" else "a"
        raise GraphError(
            f"the name of {article} {what} is a non-empty string, and {name!r} is none",
            hint="Write the name first, in quotes: 'x'.",
        )
    if not encodable(name):
        raise GraphError(
            f"the name {name!r} has half a surrogate pair, which no file can hold",
            hint="Write whole characters.",
        )
    return name


def placeholder(
    name: str, shape: ShapeLike = (), dtype: DTypeLike = FLOAT32, default: npt.ArrayLike | None = None
) -> Expr:
    """An input that a run feeds.

    `shape` holds ints and names of sizes that are bound when a value is fed; `default`, of exactly that
    shape, is used by runs that do not feed it. Raises ShapeError, DTypeError, GraphError.

    >>> placeholder("x", ("batch", 784))
    <placeholder 'x': f32[batch,784]>
    """
    type_ = TensorType(dtype, shape)
    value = None if default is None else _array(default, type_.dtype)
    if value is not None and value.array.shape != type_.shape:
        raise ShapeError(
            f"placeholder {name!r}: the default has shape {show_shape(value.array.shape)}, "
            f"not {show_shape(type_.shape)}",
            hint="A default needs a shape without named sizes.",
        )
    return apply(Placeholder(check_name(name, "placeholder"), type_, value))


def variable(name: str, shape: ShapeLike = (), dtype: DTypeLike = FLOAT32, init: Any = None) -> Expr:
    """A value that a session keeps from run to run, and that an update group changes.

    `init` is an initializer such as `symgraph.init.glorot_uniform` (zeros by default), a number, or an array
    of the shape. Named sizes are not allowed: a variable has one shape. Raises ShapeError, GraphError.

    >>> variable("w", (784, 10))
    <variable 'w': f32[784,10]>
    """
    from symgraph.train import initializers  # the records of initial values; they know nothing of graphs

    type_ = TensorType(dtype, as_shape(shape))
    size = product(type_.shape)
    if isinstance(size, int) and size > LIMIT:
        raise ShapeError(
            f"variable {name!r}: {show_shape(type_.shape)} has {size} elements, and 2**48 is the limit",
            hint="Check the sizes: it would take more memory than a machine has.",
        )
    if any(not isinstance(d, int) for d in type_.shape):
        raise ShapeError(
            f"variable {name!r}: the shape {show_shape(type_.shape)} has a named size",
            hint="A variable has one shape: write its sizes as numbers.",
        )
    return apply(
        Variable(check_name(name, "variable"), type_, initializers.as_initializer(init, type_, name))
    )


def constant(value: npt.ArrayLike, dtype: DTypeLike | None = None) -> Expr:
    """A value known now. Python numbers become float32, int64 or bool; arrays keep their dtype.

    Raises DTypeError for a dtype symgraph does not have, or a value that the dtype cannot hold.

    >>> constant([1.0, 2.0])
    <constant: f32[2]>
    """
    target = None if dtype is None else dtype_of(dtype)
    if isinstance(value, bool | int | float) and type(value) in _SCALARS:
        sign = math.copysign(1.0, value) if type(value) is float else 1.0  # 0.0 == -0.0
        return apply(_scalar(type(value), value, sign, target))
    return apply(Constant(_array(value, target)))


_SCALARS: dict[type, DType] = {bool: BOOL, int: INT64, float: FLOAT32}


@lru_cache(4096)
def _scalar(kind: Any, value: Any, sign: float, dtype: DType | None) -> Constant:
    """The op of a Python number, once for each: a graph holds the same few over and over."""
    return Constant(_array(value, dtype))


def _array(value: Any, dtype: DType | None) -> ArrayValue:
    if isinstance(value, Expr):
        raise GraphError(
            "a constant is made from numbers, and this is an expression", hint="Use the expression itself."
        )
    array = array_of(value)
    if isinstance(array, Unfit):
        error = ShapeError if array.shape else DTypeError
        raise error(f"a tensor holds numbers, and this is {array.reason}", hint=array.hint)
    plain = not isinstance(value, np.ndarray | np.generic)
    if dtype is None and plain and array.dtype.kind == "f":
        dtype = FLOAT32
    target = dtype if dtype is not None else array.dtype
    if target not in DTYPES:
        raise DTypeError(
            f"{target.name} is not a dtype of symgraph, which has {', '.join(SHORT_NAMES)}",
            hint="Convert it first: value.astype('float32').",
        )
    with np.errstate(all="ignore"):
        cast = array.astype(target)
        lost = not (plain and array.dtype.kind == "f") and not np.array_equal(
            cast, array, equal_nan=array.dtype.kind == "f"
        )
        # A Python float rounds to the dtype; it must not overflow, nor become an integer unseen.
        lost = lost or bool(np.any(np.isinf(cast) & ~np.isinf(array)))
        lost = lost or (plain and array.dtype.kind == "f" and target.kind in "iu")
    if lost and not (array.dtype.kind == "f" and target.kind == "f" and not np.isinf(cast).any()):
        text = np.array2string(array, threshold=6)
        raise DTypeError(f"{target.name} cannot hold {text}", hint="Name a wider dtype, or cast it yourself.")
    return ArrayValue.of(cast)


def as_expr(value: Operand, dtype: DType | None = None) -> Expr:
    """`value` as an expression; a Python number takes `dtype` where it can hold it.

    >>> as_expr(2, FLOAT32)
    <constant: f32[]>
    """
    if isinstance(value, Expr):
        return value
    return constant(value) if dtype is None else constant(value, scalar_dtype(value, dtype))


def scalar_dtype(value: object, beside: DType) -> DType:
    """The dtype of a Python number beside a tensor (NumPy's NEP 50): the tensor's, unless its kind is lower.

    >>> scalar_dtype(0.5, INT64), scalar_dtype(1, FLOAT32), scalar_dtype(1, BOOL)
    (dtype('float32'), dtype('float32'), dtype('int64'))
    """
    if type(value) not in _SCALARS:
        return np.asarray(value).dtype if isinstance(value, np.ndarray | np.generic) else beside
    own = _SCALARS[type(value)]
    order = "bif"
    return own if order.index(own.kind) > order.index(beside.kind) else beside


def operands(*values: Operand, floating: bool = False) -> tuple[Expr, ...]:
    """The operands of one op in the dtype that they share; `floating` asks for a float dtype.

    Expressions and arrays promote (float32 with float64 is float64; an int with a float is that float);
    Python numbers take the dtype beside them. Casts that are needed become nodes.
    """
    if all(isinstance(value, Expr) for value in values):
        known: Sequence[Expr] = values  # type: ignore[assignment]
        first = known[0].type.dtype
        if all(e.type.dtype is first for e in known) and (not floating or first.kind == "f"):
            return tuple(known)
    typed = [value if isinstance(value, Expr) else None for value in values]
    for i, value in enumerate(values):
        if typed[i] is None and type(value) not in _SCALARS:
            typed[i] = constant(value)  # type: ignore[arg-type]
    dtypes = [e.dtype for e in typed if e is not None]
    target = promote(*dtypes) if dtypes else promote(*(_SCALARS[type(v)] for v in values))
    for i, value in enumerate(values):
        if typed[i] is None:
            target = promote(target, scalar_dtype(value, target))
    if floating and target.kind != "f":
        target = FLOAT32
    return tuple(
        constant(value, target) if e is None else e if e.dtype == target else _ops.cast(e, target)  # type: ignore[arg-type]
        for e, value in zip(typed, values, strict=True)
    )


from symgraph import ops as _ops  # noqa: E402  ops are written with apply, and Expr's operators with ops
