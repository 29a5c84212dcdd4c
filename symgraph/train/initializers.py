"""Initializers: frozen records that say what a variable holds at first. Public as `symgraph.init`.

    sample : Initializer -> (rng, shape, dtype) -> array

The fans of a shape follow Keras: of a matrix `[inputs, outputs]` they are its rows and columns; of a kernel
`[*window, inputs, outputs]` both are multiplied by the size of the window; of a vector both are its length;
of a scalar both are 1.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.ir import Array, ArrayValue
from symgraph.types import DTYPES, INT32, SHORT_NAMES, DType, TensorType, dtype_of, show_shape

__all__ = [
    "Initializer",
    "array",
    "as_initializer",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "random_key",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "zeros",
]


def __dir__() -> list[str]:
    return __all__


# The standard deviation of a unit normal cut at two deviations: what is drawn is divided by it.
_CUT_DEVIATION = 0.8796256610342398


@attrs.frozen
class Initializer:
    """A rule for the first value of a variable. A new one is a subclass with a `name` and `sample`."""

    name: ClassVar[str] = ""

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        """An array of `shape` and `dtype`; random ones draw from `rng` and from nothing else."""
        raise NotImplementedError

    def __call__(self) -> Self:
        """Itself, so that `glorot_uniform()`, as an initializer is printed, is the same as `glorot_uniform`.

        >>> glorot_uniform() is glorot_uniform
        True
        """
        return self

    def fit(self, type_: TensorType, label: str) -> "Initializer":
        """The initializer for a variable of a type; raises ShapeError or DTypeError where it cannot be."""
        return self


class Zeros(Initializer):
    """Zero, or False."""

    name = "zeros"

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return np.zeros(shape, dtype)


class Ones(Initializer):
    """One, or True."""

    name = "ones"

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return np.ones(shape, dtype)


def _number(value: Any) -> bool | int | float:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, bool | int | float):
        raise GraphError(f"an initial value is a number, and {value!r} is none")
    return plain


def _real(value: Any) -> float:
    return float(_number(value))


@attrs.frozen
class Constant(Initializer):
    """One number everywhere. Compared as it is written, so -0.0 is not 0.0, and NaN is NaN."""

    name = "constant"
    value: bool | int | float = attrs.field(converter=_number, eq=repr)

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return np.full(shape, self.value, dtype)

    def fit(self, type_: TensorType, label: str) -> Initializer:
        return Constant(_held(self.value, type_.dtype, label))


def _held(value: bool | int | float, dtype: DType, label: str) -> bool | int | float:
    """`value` as a number of the dtype's kind; raises DTypeError where the dtype cannot hold it."""
    if dtype.kind == "f" and _finite_in(value, dtype):
        return float(value)
    if dtype.kind == "i" and isinstance(value, int) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        return int(value)
    if dtype.kind == "b" and isinstance(value, bool):
        return value
    raise DTypeError(
        f"variable {label!r}: a variable of {dtype.name} cannot start with {value!r}",
        hint="Name another dtype for the variable, or another value.",
    )


def _finite_in(value: float, dtype: DType) -> bool:
    """Whether a number does not overflow in a float dtype; infinities and NaN are what they are."""
    try:
        return not math.isfinite(value) or abs(float(value)) <= float(np.finfo(dtype).max)
    except OverflowError:
        return False


@attrs.frozen
class Values(Initializer):
    """The very values of an array. `rounds` marks Python numbers, which round to the variable's dtype."""

    name = "array"
    values: ArrayValue
    rounds: bool = False

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        if shape != self.values.array.shape:
            raise _other_shape("array", self.values.array, shape)
        return self.values.array.astype(dtype)

    def fit(self, type_: TensorType, label: str) -> Initializer:
        array = self.values.array
        if array.shape != type_.shape:
            raise _other_shape(f"variable {label!r}", array, type_.shape)
        with np.errstate(all="ignore"):
            cast = array.astype(type_.dtype)
        if type_.dtype.kind == "f" and array.dtype.kind == "f" and self.rounds:
            kept = np.array_equal(np.isfinite(cast), np.isfinite(array))
        else:
            kept = "bif".index(array.dtype.kind) <= "bif".index(type_.dtype.kind) and np.array_equal(
                cast, array, equal_nan=array.dtype.kind == "f"
            )
        if not kept:
            raise DTypeError(
                f"variable {label!r}: values of {array.dtype.name} lose precision as {type_.dtype.name}",
                hint=f"Convert them yourself with .astype({type_.dtype.name!r}), or declare the variable as "
                f"{array.dtype.name}.",
            )
        return Values(ArrayValue.of(cast))


def _other_shape(what: str, array: Array, shape: Any) -> ShapeError:
    return ShapeError(
        f"{what}: the initial values have the shape {show_shape(array.shape)}, not {show_shape(shape)}",
        hint="Give one value for each element, or a number for all.",
    )


class _Random(Initializer):
    """What draws random floats."""

    def fit(self, type_: TensorType, label: str) -> Initializer:
        if type_.is_float:
            return self
        raise DTypeError(
            f"variable {label!r}: {self.name} draws floats, and this is {SHORT_NAMES[type_.dtype.name]}",
            hint="Start it with a number or an array, or declare it as float32.",
        )


def _finite(record: Any, field: "attrs.Attribute[float]", value: float) -> None:
    if not math.isfinite(value):
        raise GraphError(f"{record.name}: {field.name} is a finite number, and {value} is none")


def _not_negative(record: Any, field: "attrs.Attribute[float]", value: float) -> None:
    _finite(record, field, value)
    if value < 0:
        raise GraphError(f"{record.name}: {field.name} is not negative, and {value} is")


def _one_of(*known: str) -> Callable[[Any, "attrs.Attribute[str]", str], None]:
    def check(record: Any, field: "attrs.Attribute[str]", value: str) -> None:
        if value not in known:
            raise GraphError(f"{record.name}: {field.name} is one of {', '.join(known)}, not {value!r}")

    return check


@attrs.frozen
class Uniform(_Random):
    """Uniform in `[low, high)`."""

    name = "uniform"
    low: float = attrs.field(converter=_real, validator=_finite, default=-0.05)
    high: float = attrs.field(converter=_real, validator=_finite, default=0.05)

    def __attrs_post_init__(self) -> None:
        if not self.low <= self.high:
            raise GraphError(f"uniform: low is {self.low} and high is {self.high}", hint="Exchange them.")

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return rng.uniform(self.low, self.high, shape).astype(dtype)


@attrs.frozen
class Normal(_Random):
    """Normal, with a mean and a standard deviation."""

    name = "normal"
    mean: float = attrs.field(converter=_real, validator=_finite, default=0.0)
    stddev: float = attrs.field(converter=_real, validator=_not_negative, default=0.05)

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return np.asarray(rng.normal(self.mean, self.stddev, shape)).astype(dtype)


@attrs.frozen
class TruncatedNormal(_Random):
    """Normal, redrawn where it lies further than two deviations from the mean."""

    name = "truncated_normal"
    mean: float = attrs.field(converter=_real, validator=_finite, default=0.0)
    stddev: float = attrs.field(converter=_real, validator=_not_negative, default=0.05)

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return (self.mean + self.stddev * _cut_normal(rng, shape)).astype(dtype)


def _cut_normal(rng: "np.random.Generator", shape: tuple[int, ...]) -> Array:
    drawn = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(drawn) > 2)
    while outside.size:
        drawn[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(drawn[outside]) > 2]
    return drawn.reshape(shape)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """The number of inputs and outputs that a weight of `shape` connects, by Keras's convention.

    >>> fans((784, 10)), fans((3, 3, 16, 32)), fans((10,)), fans(())
    ((784, 10), (144, 288), (10, 10), (1, 1))
    """
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


@attrs.frozen
class VarianceScaling(_Random):
    """Random with the variance `scale / n`, where `n` is the fan in, the fan out, or their mean."""

    name = "variance_scaling"
    scale: float = attrs.field(converter=_real, validator=_not_negative, default=1.0)
    mode: str = attrs.field(validator=_one_of("fan_in", "fan_out", "fan_avg"), default="fan_in")
    distribution: str = attrs.field(
        validator=_one_of("uniform", "normal", "truncated_normal"), default="truncated_normal"
    )

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return _scaled(rng, shape, self.scale, self.mode, self.distribution).astype(dtype)


def _scaled(
    rng: "np.random.Generator", shape: tuple[int, ...], scale: float, mode: str, distribution: str
) -> Array:
    fan_in, fan_out = fans(shape)
    n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    deviation = math.sqrt(scale / max(n, 1))  # an empty shape has fans of 0, and nothing to draw
    if distribution == "uniform":
        limit = math.sqrt(3) * deviation
        return np.asarray(rng.uniform(-limit, limit, shape))
    if distribution == "normal":
        return np.asarray(rng.normal(0.0, deviation, shape))
    return deviation / _CUT_DEVIATION * _cut_normal(rng, shape)


class _Scaled(_Random):
    """A named case of variance scaling."""

    scale: ClassVar[float]
    mode: ClassVar[str]
    distribution: ClassVar[str]

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return _scaled(rng, shape, self.scale, self.mode, self.distribution).astype(dtype)


class GlorotUniform(_Scaled):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)). Glorot and Bengio 2010, equation 16."""

    name = "glorot_uniform"
    scale, mode, distribution = 1.0, "fan_avg", "uniform"


class GlorotNormal(_Scaled):
    """Normal cut at two deviations, of variance 2 / (fan_in + fan_out). Glorot and Bengio 2010, eq. 12."""

    name = "glorot_normal"
    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


class HeUniform(_Scaled):
    """Uniform in ±sqrt(6 / fan_in): for layers before a relu. He et al. 2015, equation 10."""

    name = "he_uniform"
    scale, mode, distribution = 2.0, "fan_in", "uniform"


class HeNormal(_Scaled):
    """Normal cut at two deviations, of variance 2 / fan_in. He et al. 2015, equation 10."""

    name = "he_normal"
    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


class LecunUniform(_Scaled):
    """Uniform in ±sqrt(3 / fan_in). LeCun et al. 1998, "Efficient BackProp", equation 16."""

    name = "lecun_uniform"
    scale, mode, distribution = 1.0, "fan_in", "uniform"


class LecunNormal(_Scaled):
    """Normal cut at two deviations, of variance 1 / fan_in: for selu. LeCun et al. 1998, equation 16."""

    name = "lecun_normal"
    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


@attrs.frozen
class Orthogonal(_Random):
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`. Saxe et al. 2014.

    A kernel of more axes is one as the matrix `[everything else, last axis]`.
    """

    name = "orthogonal"
    gain: float = attrs.field(converter=_real, validator=_finite, default=1.0)

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        # With a positive diagonal of R the result is uniform over the orthogonal matrices (Mezzadri 2007).
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)

    def fit(self, type_: TensorType, label: str) -> Initializer:
        if type_.rank < 2:
            raise ShapeError(
                f"variable {label!r}: orthogonal starts a matrix or a kernel, and this is {type_}",
                hint="For a vector use symgraph.init.zeros or symgraph.init.normal().",
            )
        return _Random.fit(self, type_, label)


class RandomKey(Initializer):
    """A key of `symgraph.random`, for a variable `int32[2]`: another for each seed of a session, and each name."""

    name = "random_key"

    def sample(self, rng: "np.random.Generator", shape: tuple[int, ...], dtype: DType) -> Array:
        return rng.integers(0, 2**32, shape, np.uint32).view(dtype)

    def fit(self, type_: TensorType, label: str) -> Initializer:
        if type_ == TensorType(INT32, (2,)):
            return self
        error = ShapeError if type_.dtype == INT32 else DTypeError
        raise error(
            f"variable {label!r}: a random key is i32[2], and this is {type_}",
            hint=f"Write variable({label!r}, (2,), 'int32', init=symgraph.init.random_key).",
        )


zeros = Zeros()
ones = Ones()
glorot_uniform = GlorotUniform()
glorot_normal = GlorotNormal()
he_uniform = HeUniform()
he_normal = HeNormal()
lecun_uniform = LecunUniform()
lecun_normal = LecunNormal()
random_key = RandomKey()


def constant(value: float) -> Constant:
    """The number `value` everywhere; raises GraphError for what is no number.

    >>> constant(0.01).sample(np.random.default_rng(0), (2,), np.dtype("float32"))
    array([0.01, 0.01], dtype=float32)
    """
    return Constant(value)


def uniform(low: float = -0.05, high: float = 0.05) -> Uniform:
    """Uniform in `[low, high)`; raises GraphError unless both are finite and in order."""
    return Uniform(low, high)


def normal(mean: float = 0.0, stddev: float = 0.05) -> Normal:
    """Normal with a mean and a standard deviation; raises GraphError for a negative one."""
    return Normal(mean, stddev)


def truncated_normal(mean: float = 0.0, stddev: float = 0.05) -> TruncatedNormal:
    """Normal, redrawn where it lies further than two `stddev` from the mean; its deviation is 0.88 of it."""
    return TruncatedNormal(mean, stddev)


def variance_scaling(
    scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal"
) -> VarianceScaling:
    """Random with the variance `scale / n`: the family that the Glorot, He and LeCun rules belong to.

    `mode` is "fan_in", "fan_out" or "fan_avg", which says what `n` is; `distribution` is "uniform", "normal"
    or "truncated_normal" (corrected for what is cut). Raises GraphError for any other.

    >>> rng = np.random.default_rng(0)
    >>> wide = variance_scaling(2.0, "fan_out", "normal").sample(rng, (64, 800), np.dtype("float64"))
    >>> round(float(wide.std()), 2)
    0.05
    """
    return VarianceScaling(scale, mode, distribution)


def orthogonal(gain: float = 1.0) -> Orthogonal:
    """Orthonormal rows or columns times `gain`, for matrices and kernels.

    >>> q = orthogonal().sample(np.random.default_rng(0), (5, 3), np.dtype("float64"))
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """
    return Orthogonal(gain)


def array(values: npt.ArrayLike) -> Values:
    """The values of an array or of nested lists, which must have the variable's shape.

    Python numbers round to the variable's dtype; arrays must convert to it exactly. Raises ShapeError for
    rows of unequal length, DTypeError for what is no array of numbers.

    >>> array([[1, 2], [3, 4]]).sample(np.random.default_rng(0), (2, 2), np.dtype("float32"))
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    try:
        made = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise ShapeError(
            f"array: this is no array: {error}", hint="Give every row the same length."
        ) from None
    if made.dtype not in DTYPES:
        dtype_of(made.dtype)
    return Values(ArrayValue.of(made), not isinstance(values, np.ndarray | np.generic))


def as_initializer(value: Any, type_: TensorType, name: str) -> Initializer:
    """The initializer that `value` stands for, for the variable `name` of a type.

    None is zeros; a number is that constant; an array or nested lists are their values; an initializer is
    itself. Raises ShapeError for another shape, DTypeError where precision would be lost, GraphError for
    anything else.

    >>> as_initializer(1, TensorType("float32", (3,)), "w")
    Constant(value=1.0)
    """
    if value is None:
        return zeros
    if isinstance(value, Initializer):
        return value.fit(type_, name)
    if isinstance(value, bool | int | float | np.number | np.bool_):
        return Constant(_number(value)).fit(type_, name)
    if isinstance(value, np.ndarray | list | tuple):
        return array(value).fit(type_, name)
    if isinstance(value, Callable) and getattr(value, "__module__", "") == __name__:  # type: ignore[arg-type]
        called = getattr(value, "__name__", "constant")
        raise GraphError(
            f"variable {name!r}: {called} is a function, not yet an initializer",
            hint=f"Call it: init=symgraph.init.{called}(...).",
        )
    raise GraphError(
        f"variable {name!r}: {value!r} is no initializer",
        hint="Give symgraph.init.glorot_uniform or another of symgraph.init, a number, or an array.",
    )
