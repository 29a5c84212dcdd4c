"""The type of a tensor: a dtype and a shape whose dimensions are integers or named sizes.

A dimension is an `int` or a `Dim`: a polynomial of named sizes with integer coefficients, in canonical form,
so that `concatenate`, `reshape`, strides and pooling have exact results:

    dimension ::= int | Dim
    Dim       ::= sum of coefficient * atom^power * ...
    atom      ::= name | (Dim // positive int)
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, Union

import attrs
import numpy as np

from symgraph.errors import DTypeError, FeedError, GraphError, ShapeError

DType: TypeAlias = np.dtype[Any]
Atom: TypeAlias = Union[str, "FloorDiv"]
Monomial: TypeAlias = tuple[tuple[Atom, int], ...]
Dimension: TypeAlias = Union[int, "Dim"]
Shape: TypeAlias = tuple[Dimension, ...]
DimensionLike: TypeAlias = Union[int, str, "Dim", "np.integer[Any]"]
ShapeLike: TypeAlias = Sequence[DimensionLike] | DimensionLike
DTypeLike: TypeAlias = str | type | DType

SHORT_NAMES: Mapping[str, str] = {
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "bool": "bool",
}
_LONG_NAMES: Mapping[str, str] = {short: name for name, short in SHORT_NAMES.items()}
FLOAT32, FLOAT64, INT32, INT64, BOOL = (np.dtype(name) for name in SHORT_NAMES)
DTYPES: tuple[DType, ...] = (FLOAT32, FLOAT64, INT32, INT64, BOOL)
_RANK: Mapping[DType, int] = {BOOL: 0, INT32: 1, INT64: 2, FLOAT32: 3, FLOAT64: 4}
_LONGEST = 64  # factors of a product, and quotients of a text
_MOST_TERMS = 512
_OPEN = "Write a number from 0, or for a size that is open a name such as 'batch'."
LIMIT = 2**48  # elements: larger sizes are a mistake, and would overflow address arithmetic


@attrs.frozen
class FloorDiv:
    """The atom `dividend // divisor`, which no polynomial expresses: the length of a strided slice."""

    dividend: "Dim"
    divisor: int

    def __str__(self) -> str:
        return f"({self.dividend})//{self.divisor}"


@attrs.frozen(repr=False, cache_hash=True)
class Dim:
    """A named size, or a polynomial of named sizes with integer coefficients, in canonical form.

    >>> batch = dim("batch")
    >>> batch + 1, 2 * batch, (batch + 1) * 3 - 3, batch * 784 // 784
    (Dim('batch+1'), Dim('2*batch'), Dim('3*batch'), Dim('batch'))
    >>> (batch + 1) - batch
    1
    >>> batch + 1 == 1 + batch
    True
    """

    terms: tuple[tuple[Monomial, int], ...]

    def __repr__(self) -> str:
        return f"Dim({str(self)!r})"

    def __str__(self) -> str:
        parts = []
        for monomial, coefficient in self.terms:
            # A quotient among other factors needs its own parentheses to read back as it is.
            alone = coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1
            named = [(str(a) if alone or isinstance(a, str) else f"({a})", power) for a, power in monomial]
            factors = [atom if power == 1 else f"{atom}**{power}" for atom, power in named]
            if coefficient != 1 or not factors:
                factors = [str(abs(coefficient)) if abs(coefficient) != 1 or not factors else "", *factors]
            sign = "-" if coefficient < 0 else "+"
            parts.append(sign + "*".join(factor for factor in factors if factor))
        return "".join(parts).removeprefix("+")

    def __add__(self, other: Dimension) -> Dimension:
        return _canonical([*self.terms, *_terms(other)])

    def __sub__(self, other: Dimension) -> Dimension:
        return _canonical([*self.terms, *((m, -c) for m, c in _terms(other))])

    def __rsub__(self, other: int) -> Dimension:
        return -self + other

    def __neg__(self) -> Dimension:
        return _canonical([(m, -c) for m, c in self.terms])

    def __mul__(self, other: Dimension) -> Dimension:
        return _canonical([(_times(m, n), c * d) for m, c in self.terms for n, d in _terms(other)])

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, other: Dimension) -> Dimension:
        exact = exact_division(self, other)
        if exact is not None:
            return exact
        if isinstance(other, int) and other > 0:
            return Dim(((((FloorDiv(self, other), 1),), 1),))
        raise ShapeError(
            f"the dimension {self} cannot be divided by {other!r}", hint="Divide it by a positive int."
        )

    def _unknown(self, *_: object) -> NoReturn:
        raise ShapeError(
            f"the size {self} has no value here: it is bound when a run is fed",
            hint=f"In a graph write symgraph.size({str(self)!r}); in shapes use +, -, * and // with ints.",
        )

    if not TYPE_CHECKING:  # to a type checker a size has none of these
        __index__ = __int__ = __float__ = __truediv__ = __rtruediv__ = __pow__ = __mod__ = _unknown
        __lt__ = __le__ = __gt__ = __ge__ = _unknown


def dim(name: str) -> Dim:
    """The named size `name`; raises ShapeError unless it is an identifier.

    >>> dim("batch")
    Dim('batch')
    """
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
        raise ShapeError(
            f"{name!r} does not name a dimension", hint="Use a plain identifier, such as 'batch'."
        )
    return Dim(((((name, 1),), 1),))


def _terms(dimension: Dimension) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(dimension, Dim):
        return dimension.terms
    if not isinstance(dimension, int | np.integer):
        raise ShapeError(
            f"a named size is counted in whole numbers, and {dimension!r} is none",
            hint="For its value as a number in the graph write symgraph.size(name).",
        )
    return (((), int(dimension)),) if dimension else ()


def _times(left: Monomial, right: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: str(item[0])))


def _order(term: tuple[Monomial, int]) -> tuple[int, str]:
    monomial = term[0]
    return (-sum(power for _, power in monomial), " ".join(f"{atom}^{power}" for atom, power in monomial))


def _canonical(terms: Iterable[tuple[Monomial, int]]) -> Dimension:
    sums: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        sums[monomial] = sums.get(monomial, 0) + coefficient
    kept = tuple(sorted(((m, c) for m, c in sums.items() if c), key=_order))
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Dim(kept)


def exact_division(dividend: Dimension, divisor: Dimension) -> Dimension | None:
    """`dividend / divisor` when it is a polynomial with integer coefficients, else None.

    >>> exact_division(dim("n") * 784, 784), exact_division(6, 3), exact_division(dim("n"), 2)
    (Dim('n'), 2, None)
    """
    if isinstance(dividend, int) and isinstance(divisor, int):
        return dividend // divisor if divisor and dividend % divisor == 0 else None
    if not _terms(divisor):
        return None
    atoms = sorted({atom for d in (dividend, divisor) for m, _ in _terms(d) for atom, _ in m}, key=str)

    def lead(dimension: Dimension) -> tuple[Monomial, int]:
        # The printed order is no monomial order, and long division needs one: by degree, then by powers.
        return max(_terms(dimension), key=lambda term: _graded(term[0], atoms))

    lead_monomial, lead_coefficient = lead(divisor)
    remainder: Dimension = dividend
    quotient: Dimension = 0
    for _ in range(_MOST_TERMS):
        if not _terms(remainder):
            return quotient
        monomial, coefficient = lead(remainder)
        powers = dict(monomial)
        for atom, power in lead_monomial:
            powers[atom] = powers.get(atom, 0) - power
        if any(power < 0 for power in powers.values()) or coefficient % lead_coefficient:
            return None
        factor = tuple(sorted(((a, p) for a, p in powers.items() if p), key=lambda item: str(item[0])))
        step = _canonical([(factor, coefficient // lead_coefficient)])
        quotient = quotient + step
        remainder = remainder - step * divisor
    return None


def _graded(monomial: Monomial, atoms: Sequence[Atom]) -> tuple[int, ...]:
    powers = dict(monomial)
    return (sum(powers.values()), *(powers.get(atom, 0) for atom in atoms))


def evaluate_dimension(dimension: Dimension, sizes: Mapping[str, int]) -> int:
    """The number that a dimension is, given its names' sizes.

    >>> evaluate_dimension((dim("n") + 1) // 2 * 3, {"n": 4})
    6
    """
    if isinstance(dimension, int):
        return dimension
    return sum(
        coefficient * math.prod(_evaluate_atom(atom, sizes) ** power for atom, power in monomial)
        for monomial, coefficient in dimension.terms
    )


def _evaluate_atom(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, FloorDiv):
        return evaluate_dimension(atom.dividend, sizes) // atom.divisor
    return sizes[atom]


def dimension_names(dimension: Dimension) -> frozenset[str]:
    """The names that occur in a dimension.

    >>> sorted(dimension_names(dim("n") * dim("m") + 1))
    ['m', 'n']
    """
    if isinstance(dimension, int):
        return frozenset()
    atoms = (atom for monomial, _ in dimension.terms for atom, _ in monomial)
    return frozenset().union(
        *(dimension_names(a.dividend) if isinstance(a, FloorDiv) else {a} for a in atoms)
    )


def _small(left: Dimension, right: Dimension) -> Dimension:
    """The right factor of a product whose expansion stays small: a text must not exhaust the memory."""
    if len(_terms(left)) * len(_terms(right)) > _MOST_TERMS:
        raise ValueError
    return right


def _bounded(value: Dimension) -> Dimension:
    terms = _terms(value)
    if len(terms) > _MOST_TERMS or any(len(m) > _LONGEST or c.bit_length() > 256 for m, c in terms):
        raise ValueError
    return value


_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][A-Za-z0-9_]*)|(\*\*|//|[-+*()]))")


def parse_dimension(text: str) -> Dimension:
    """The inverse of `str` on dimensions; raises ShapeError.

    >>> parse_dimension("2*batch+(batch+1)//2")
    Dim('(batch+1)//2+2*batch')
    """
    # Dijkstra's shunting yard: no recursion, whatever the nesting.
    values: list[Dimension] = []
    operators: list[str] = []
    precedence = {"+": 1, "-": 1, "*": 2, "//": 2, "neg": 3, "**": 4}

    def reduce_top() -> None:
        operator = operators.pop()
        if operator == "neg":
            values.append(-values.pop())
            return
        right, left = values.pop(), values.pop()
        if operator == "**":
            if not isinstance(right, int) or not 0 <= right <= 16:
                raise ValueError
            one: Dimension = 1
            values.append(reduce(lambda a, b: _bounded(a * _small(a, b)), [left] * right, one))
        else:
            values.append(
                _bounded(left + right) if operator == "+"
                else _bounded(left - right) if operator == "-"
                else _bounded(left * _small(left, right)) if operator == "*"
                else left // right  # type: ignore[operator]
            )  # fmt: skip

    try:
        position, operand_next = 0, True
        stripped = text.rstrip()
        if stripped.count("//") > _LONGEST:
            raise ValueError
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise ValueError
            position = match.end()
            number, name, symbol = match.groups()
            if number is not None or name is not None:
                if not operand_next:
                    raise ValueError
                values.append(int(number) if number is not None else dim(name))
                operand_next = False
            elif symbol == "(":
                if not operand_next:
                    raise ValueError
                operators.append("(")
            elif symbol == ")":
                if operand_next:
                    raise ValueError
                while operators[-1] != "(":
                    reduce_top()
                operators.pop()
            elif operand_next:
                if symbol != "-":
                    raise ValueError
                operators.append("neg")
            else:
                while operators and operators[-1] != "(" and precedence[operators[-1]] >= precedence[symbol]:
                    reduce_top()
                operators.append(symbol)
                operand_next = True
        if operand_next:
            raise ValueError
        while operators:
            if operators[-1] == "(":
                raise ValueError
            reduce_top()
        return values[0]
    except (ValueError, IndexError, TypeError, ZeroDivisionError):
        raise ShapeError(
            f"{text!r} is not a dimension",
            hint="Write such as 'batch' or '2*batch+1'; several are a tuple, ('batch', 784).",
        ) from None


def dtype_of(dtype: DTypeLike) -> DType:
    """The NumPy dtype of one of the dtypes that symgraph knows; raises DTypeError for any other.

    The names that types are printed with (`f32`, `i64`) do too.

    >>> dtype_of("float32"), dtype_of("f32")
    (dtype('float32'), dtype('float32'))
    """
    try:
        named = _LONG_NAMES.get(dtype, dtype) if isinstance(dtype, str) else dtype
        found = None if named is None else np.dtype(named)  # None is float64 to NumPy
    except (TypeError, ValueError):
        found = None
    if found is None or found not in DTYPES:
        known = ", ".join(SHORT_NAMES)
        raise DTypeError(f"{dtype!r} is not a dtype of symgraph", hint=f"Use one of {known}.")
    return found


def promote(*dtypes: DType) -> DType:
    """The dtype that all operands are cast to: the widest float, else the widest integer, else bool.

    >>> promote(FLOAT32, INT64), promote(INT32, BOOL), promote(FLOAT32, FLOAT64)
    (dtype('float32'), dtype('int32'), dtype('float64'))
    """
    return max(dtypes, key=_RANK.__getitem__)


def is_float(dtype: DType) -> bool:
    """Whether the dtype is a floating-point type."""
    return dtype.kind == "f"


def as_dimension(value: DimensionLike) -> Dimension:
    """A dimension from what a user writes: a non-negative int, a name, or a Dim; raises ShapeError.

    >>> as_dimension("batch"), as_dimension(784)
    (Dim('batch'), 784)
    """
    if isinstance(value, Dim):
        return value
    if isinstance(value, str):
        return dim(value) if value.isidentifier() else parse_dimension(value)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ShapeError(f"{value!r} is not a dimension", hint=_OPEN)
    if value < 0:
        raise ShapeError(f"a dimension is not negative, and {value} is", hint=_OPEN)
    if value > LIMIT:
        raise ShapeError(f"the dimension {value} is larger than 2**48", hint=_OPEN)
    return int(value)


def as_shape(shape: ShapeLike) -> Shape:
    """A shape from what a user writes: a dimension or a sequence of them; raises ShapeError.

    >>> as_shape(("batch", 784)), as_shape(3), as_shape(())
    ((Dim('batch'), 784), (3,), ())
    """
    if isinstance(shape, int | str | Dim | np.integer):
        return (as_dimension(shape),)
    try:
        if isinstance(shape, Mapping | set | frozenset):
            raise TypeError("it has no order")
        dimensions = tuple(shape)
    except (TypeError, GraphError):
        raise ShapeError(f"{shape!r} is not a shape", hint="Write a tuple, such as ('batch', 784).") from None
    if len(dimensions) > 32:
        raise ShapeError(f"a tensor has at most 32 axes, and this shape has {len(dimensions)}")
    return tuple(map(as_dimension, dimensions))


def show_shape(shape: Shape) -> str:
    """A shape as error messages and the text form write it.

    >>> show_shape((dim("batch"), 784))
    '[batch,784]'
    """
    return f"[{','.join(map(str, shape))}]"


def product(shape: Iterable[Dimension]) -> Dimension:
    """The number of elements of a shape.

    >>> product((dim("batch"), 28, 28))
    Dim('784*batch')
    """
    one: Dimension = 1
    return reduce(lambda a, b: a * b, shape, one)


@attrs.frozen(repr=False, cache_hash=True)
class TensorType:
    """A dtype and a shape.

    >>> print(TensorType("float32", ("batch", 784)))
    f32[batch,784]
    """

    dtype: DType = attrs.field(converter=dtype_of)
    shape: Shape = attrs.field(converter=as_shape, default=())

    def __str__(self) -> str:
        return f"{SHORT_NAMES[self.dtype.name]}{show_shape(self.shape)}"

    def __repr__(self) -> str:
        return f"TensorType({str(self)!r})"

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Dimension:
        """The number of elements."""
        return product(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return is_float(self.dtype)

    def with_shape(self, shape: Shape) -> "TensorType":
        """The same dtype with another shape."""
        return make_type(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> "TensorType":
        """The same shape with another dtype."""
        return make_type(dtype, self.shape)


@attrs.frozen(repr=False, cache_hash=True)
class TupleType:
    """The type of a region with several outputs; only `project` takes it apart."""

    items: tuple[TensorType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.items))})"

    __repr__ = __str__


def make_type(dtype: DType, shape: Shape) -> TensorType:
    """A TensorType from parts that are known to be canonical: the compiler's quick way."""
    made = TensorType.__new__(TensorType)
    object.__setattr__(made, "dtype", dtype)
    object.__setattr__(made, "shape", shape)
    object.__setattr__(made, "_attrs_cached_hash", None)
    return made


def broadcast(*shapes: Shape) -> Shape:
    """The shape of an elementwise operation; equal dimensions, or a literal 1; raises ShapeError.

    >>> broadcast((dim("batch"), 1), (784,))
    (Dim('batch'), 784)
    """
    first = shapes[0]
    if shapes.count(first) == len(shapes):
        return first
    rank = max(map(len, shapes))
    result: list[Dimension] = []
    for axis in range(-rank, 0):
        here = [shape[axis] for shape in shapes if -axis <= len(shape)]
        wide = [size for size in here if size != 1]
        if any(size != wide[0] for size in wide[1:]):
            shown = " and ".join(map(show_shape, shapes))
            differ = " and ".join(map(str, dict.fromkeys(wide)))
            raise ShapeError(
                f"the shapes {shown} do not broadcast: axis {axis} is {differ}",
                hint="Dimensions agree when they are equal or one of them is the literal 1.",
            )
        result.append(wide[0] if wide else 1)
    return tuple(result)


def substitute(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape with its named sizes put in; raises FeedError when a size comes out negative.

    >>> substitute((dim("n") - 1, 3), {"n": 5})
    (4, 3)
    """
    result = tuple(evaluate_dimension(d, sizes) for d in shape)
    for dimension, size in zip(shape, result, strict=True):
        if size < 0:
            given = ", ".join(f"{name}={sizes[name]}" for name in sorted(dimension_names(dimension)))
            raise FeedError(f"the dimension {dimension} comes out as {size} with {given}")
    return result


def solve(dimension: Dimension, size: int, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """The one unknown name of a linear dimension, with the size that makes the dimension equal `size`.

    None when there is no unknown left, or more than one, or the dimension is not linear in it.

    >>> solve(dim("n") * 2 + 1, 9, {})
    ('n', 4)
    """
    unknown = dimension_names(dimension) - sizes.keys()
    if len(unknown) != 1:
        return None
    (name,) = unknown
    base = evaluate_dimension(dimension, {**sizes, name: 0})
    slope = evaluate_dimension(dimension, {**sizes, name: 1}) - base
    if slope == 0 or evaluate_dimension(dimension, {**sizes, name: 2}) != base + 2 * slope:
        return None
    quotient, remainder = divmod(size - base, slope)
    return None if remainder or quotient < 0 else (name, quotient)
