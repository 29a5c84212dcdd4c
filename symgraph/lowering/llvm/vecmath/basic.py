"""What the elementary functions are made of: numbers, polynomials, and the bits of floats."""

from collections.abc import Sequence

from symgraph.lowering.llvm.emit import Builder, Value, constant

LONG = 9
"""From this many coefficients on, a polynomial runs as two chains: half the wait for one product after another."""


def number(x: Value, value: float) -> Value:
    """A constant of the type of x."""
    return constant(x.type, value)


def polynomial(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x^2 + ..., coefficients from the constant term upwards.

    Horner's scheme, one fused product and sum a coefficient; long ones as even and odd part in x^2, which run side
    by side (Knuth, TAOCP 2, section 4.6.4: second-order Horner).

    >>> from symgraph.lowering.llvm.emit import F32
    >>> b = Builder()
    >>> print(polynomial(b, Value("%x", F32), [1.0, 0.5]), *b.lines, sep="\\n")
    float %1
      %1 = call float @llvm.fmuladd.f32(float %x, float 0x3FE0000000000000, float 0x3FF0000000000000)
    """
    if len(coefficients) < LONG:
        return _horner(b, x, coefficients)
    square = b.mul(x, x)
    return b.fma(_horner(b, square, coefficients[1::2]), x, _horner(b, square, coefficients[::2]))


def _horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    *rest, last = coefficients
    total = number(x, last)
    for c in reversed(rest):
        total = b.fma(x, total, number(x, c))
    return total
