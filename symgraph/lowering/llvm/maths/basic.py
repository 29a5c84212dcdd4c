"""What the elementary functions are made of: numbers, polynomials, and the bits of floats."""

from collections.abc import Sequence
from typing import TypeVar

import attrs

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant

LONG, VERY_LONG = 9, 16
"""From so many coefficients on, a polynomial runs as two chains, or four: less waiting of one product for another."""

T = TypeVar("T")


@attrs.frozen
class Format:
    """A float's layout. The high parts of ln 2 have so few bits that a product with an exponent is exact."""

    mantissa: int
    bias: int
    ln2_high: float
    ln2_low: float
    smallest: float

    @property
    def magic(self) -> float:
        """A sum with it rounds to an integer, and holds that in its lowest bits (Muller et al., Handbook of
        Floating-Point Arithmetic, 2nd edition, section 4.9).
        """
        return float(3 << (self.mantissa - 1))

    @property
    def units(self) -> float:
        """From here on all floats are integers, and below twice it the lowest bit is worth 1."""
        return float(1 << self.mantissa)

    @property
    def one(self) -> int:
        """The bits of 1."""
        return self.bias << self.mantissa


SINGLE = Format(23, 127, float.fromhex("0x1.62e4p-1"), float.fromhex("0x1.7f7d1cp-20"), 2.0**-126)
DOUBLE = Format(
    52, 1023, float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33"), 2.0**-1022
)


def layout(type_: Type) -> Format:
    """The layout of a float type."""
    return SINGLE if type_.name == "float" else DOUBLE


def pick(x: Value, single: T, double: T) -> T:
    """What belongs to the precision of x."""
    return single if x.type.name == "float" else double


def number(x: Value, value: float) -> Value:
    """A constant of the type of x."""
    return constant(x.type, value)


def polynomial(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    r"""c0 + c1 x + c2 x^2 + ..., coefficients from the constant term upwards.

    Horner's scheme, one fused product and sum a coefficient; the high ones of many as even and odd part in x^2, or as
    four parts in x^4, which run side by side (Knuth, TAOCP 2, section 4.6.4: second-order Horner). The two lowest come
    last, one after the other: so only the last sum rounds in full.

    >>> from symgraph.lowering.llvm.emit import F32
    >>> b = Builder()
    >>> print(polynomial(b, Value("%x", F32), [1.0, 0.5]), *b.lines, sep="\n")
    float %1
      %1 = call float @llvm.fmuladd.f32(float %x, float 0x3FE0000000000000, float 0x3FF0000000000000)
    """
    if len(coefficients) < LONG:
        return _horner(b, x, coefficients)
    first, rest, square = coefficients[:2], coefficients[2:], b.mul(x, x)
    if len(coefficients) < VERY_LONG:
        even, odd = (_horner(b, square, rest[k::2]) for k in range(2))
    else:
        fourth = b.mul(square, square)
        chains = [_horner(b, fourth, rest[k::4]) for k in range(4)]
        even, odd = (b.fma(chains[k + 2], square, chains[k]) for k in range(2))
    return _horner(b, x, first, b.fma(odd, x, even))


def _horner(b: Builder, x: Value, coefficients: Sequence[float], high: Value | None = None) -> Value:
    *rest, last = coefficients
    total = number(x, last) if high is None else b.fma(x, high, number(x, last))
    for c in reversed(rest):
        total = b.fma(x, total, number(x, c))
    return total


def at_most(b: Builder, x: Value, limit: float) -> Value:
    """The lesser of x and a limit; NaN stays."""
    bound = number(x, limit)
    return b.select(b.compare("lt", bound, x), bound, x)


def at_least(b: Builder, x: Value, limit: float) -> Value:
    """The greater of x and a limit; NaN stays."""
    bound = number(x, limit)
    return b.select(b.compare("gt", bound, x), bound, x)


def power_of_two(b: Builder, exponent: Value) -> Value:
    """Biased exponents, in the lowest bits, as floats; what lies above those bits is cut off."""
    mantissa = 23 if exponent.type.bits == 32 else 52
    return b.as_float(b.bits("shl", exponent, constant(exponent.type, mantissa)))


def with_sign(b: Builder, x: Value, sign: Value) -> Value:
    """|x| with the sign of another."""
    return b.binary("copysign", x, sign)


def keep_tiny(b: Builder, x: Value, y: Value) -> Value:
    """y, but x itself where it is so small that f(x) = x (1 + x/2 + ...) is x: keeps -0, and denormals whole."""
    tiny = number(x, pick(x, 2.0**-26, 2.0**-55))
    return b.select(b.compare("lt", b.unary("fabs", x), tiny), x, y)


def exact_product(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The rounded product, never fused with a sum that it goes into, and what rounding took from it: 0 on machines
    that do not fuse.
    """
    product = b.emit(x.type, f"fmul {x}, {y.text}")
    return product, b.fma(x, y, b.neg(product))
