"""Arithmetic that is exact: integers, roundings, the extremes, conversions; bit for bit as NumPy's.

Vectors have no division of integers, and the scalar one traps. So quotients are taken in float64, whose error a
remainder in integers corrects.
"""

import math
import re
import struct

from symgraph.lowering.llvm.emit import Builder, Type, Value, constant


def floor_divide(b: Builder, x: Value, y: Value) -> Value:
    """The quotient x // y of integers: 0 for y = 0, and the smallest integer by -1 is itself."""
    return b.once(("divmod", x, y), lambda: _divmod(b, x, y))[0]


def mod(b: Builder, x: Value, y: Value) -> Value:
    """The remainder x % y of integers, with the sign of y: 0 for y = 0."""
    return b.once(("divmod", x, y), lambda: _divmod(b, x, y))[1]


def _divmod(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    zero, one = constant(x.type, 0), constant(x.type, 1)
    none = b.compare("eq", y, zero)
    divisor = b.select(none, one, y)
    quotient, remainder = (_short if x.type.bits == 32 else _long)(b, x, divisor)
    # Towards zero so far: a remainder that has not the sign of the divisor is one divisor short.
    differ = b.compare("lt", b.bits("xor", remainder, divisor), zero)
    short = b.bits("and", differ, b.compare("ne", remainder, zero))
    quotient = b.add(quotient, b.cast("sext", short, x.type))
    remainder = b.add(remainder, b.select(short, divisor, zero))
    return b.select(none, zero, quotient), b.select(none, zero, remainder)


def _short(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Of 32 bits the quotient in float64 is never rounded up to an integer: 2**-31 lies between, at least."""
    double = x.type.of("double")
    ratio = b.div(b.cast("sitofp", x, double), b.cast("sitofp", y, double))
    quotient = b.cast("fptosi", ratio, x.type)
    # The one that overflows is the smallest integer by -1.
    quotient = b.select(b.compare("eq", y, constant(y.type, -1)), b.neg(x), quotient)
    return quotient, b.sub(x, b.mul(quotient, y))


def _long(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """Of 64 bits: a first quotient is off by 2**12 at most, a second, of what remains, by 1.

    Products wrap around, but what remains is below 2**12 + |y|, and so exact.
    """
    double = x.type.of("double")
    divisor = b.cast("sitofp", y, double)
    ratio = b.div(b.cast("sitofp", x, double), divisor)
    largest = constant(double, 2.0**63 - 1024)
    ratio = b.select(b.compare("gt", ratio, largest), largest, ratio)
    first = b.cast("fptosi", ratio, x.type)
    remainder = b.sub(x, b.mul(first, y))
    second = b.cast("fptosi", b.div(b.cast("sitofp", remainder, double), divisor), x.type)
    return b.add(first, second), b.sub(remainder, b.mul(second, y))


def power(b: Builder, x: Value, y: Value) -> Value:
    """The power x ** y of integers by squaring, wrapping around; of negative y it is 0 unless |x| is 1."""
    type_, one = x.type, constant(x.type, 1)
    zero = constant(type_, 0)
    negative = b.compare("lt", y, zero)
    odd = b.compare("ne", b.bits("and", y, one), zero)
    exponent = b.select(negative, zero, y)
    turns = _bit_length(b, exponent)
    loop = b.begin_loop(Value("0", Type("i64")), turns, 1, (one, x, exponent))
    made, base, left = loop.carried
    made = b.mul(made, b.select(b.compare("ne", b.bits("and", left, one), zero), base, one))
    made, *_ = b.end_loop(loop, (made, b.mul(base, base), b.bits("lshr", left, one)))
    # 1 ** -n is 1, (-1) ** -n is 1 or -1, and any other's reciprocal is below 1.
    minus = constant(type_, -1)
    sign = b.select(b.bits("and", odd, b.compare("eq", x, minus)), minus, one)
    unit = b.bits("or", b.compare("eq", x, one), b.compare("eq", x, minus))
    return b.select(negative, b.select(unit, sign, zero), made)


def _bit_length(b: Builder, x: Value) -> Value:
    """The bits of the largest lane of integers that are not negative, at least 1, as an i64."""
    scalar = Type(x.type.name)
    largest = x if x.type.lanes == 1 else b.call(scalar, f"llvm.vector.reduce.or.{x.type.mangled}", x)
    largest = b.bits("or", largest, constant(scalar, 1))
    leading = b.call(scalar, f"llvm.ctlz.{scalar.mangled}", largest, Value("true", Type("i1")))
    length = b.sub(constant(scalar, scalar.bits), leading)
    return length if scalar.bits == 64 else b.cast("zext", length, Type("i64"))


def absolute(b: Builder, x: Value) -> Value:
    """|x|; the smallest integer is its own."""
    if x.type.is_float:
        return b.unary("fabs", x)
    return b.call(x.type, f"llvm.abs.{x.type.mangled}", x, Value("false", Type("i1")))


def sign(b: Builder, x: Value) -> Value:
    """-1, 0 or 1; NaN for NaN, and 0.0 for -0.0."""
    zero, one, minus = (constant(x.type, k) for k in (0, 1, -1))
    below = b.select(b.compare("lt", x, zero), minus, zero)
    made = b.select(b.compare("gt", x, zero), one, below)
    return b.select(b.is_nan(x), x, made) if x.type.is_float else made


def maximum(b: Builder, x: Value, y: Value) -> Value:
    """The larger; NaN where either is; of two zeros y, as NumPy's is on x86."""
    return _extreme(b, "gt", "le", "smax", x, y)


def minimum(b: Builder, x: Value, y: Value) -> Value:
    """The smaller; NaN where either is; of two zeros y, as NumPy's is on x86."""
    return _extreme(b, "lt", "ge", "smin", x, y)


def _extreme(b: Builder, wins: str, loses: str, of_integers: str, x: Value, y: Value) -> Value:
    if not x.type.is_float:
        return b.binary(of_integers, x, y)
    if _is_number(y):
        return b.select(b.compare(loses, x, y), y, x)
    made = b.select(b.compare(wins, x, y), x, y)
    return made if _is_number(x) else b.select(b.is_nan(x), x, made)


def _is_number(x: Value) -> bool:
    """Whether it is a constant, as `emit.constant` writes it, and not NaN."""
    found = re.search("0x([0-9A-F]{16})", x.text)
    return found is not None and not math.isnan(struct.unpack(">d", bytes.fromhex(found[1]))[0])


def convert(b: Builder, x: Value, to: Type) -> Value:
    """The same values as another type, of as many lanes.

    Floats become integers by truncation, where NaN gives 0 and what is out of range the nearest there is; i64
    becomes i32 by wrapping around; everything but 0 is true, also NaN.
    """
    if x.type == to:
        return x
    if to.name == "i1":
        return b.compare("ne", x, constant(x.type, 0))
    if x.type.name == "i1":
        return b.cast("uitofp" if to.is_float else "zext", x, to)
    if x.type.is_float and to.is_float:
        return b.cast("fpext" if to.bits > x.type.bits else "fptrunc", x, to)
    if x.type.is_float:
        return _truncate(b, x, to)
    if to.is_float:
        return b.cast("sitofp", x, to)
    return b.cast("sext" if to.bits > x.type.bits else "trunc", x, to)


def _truncate(b: Builder, x: Value, to: Type) -> Value:
    """What is out of range makes `fptosi` poison, which the selects do not choose."""
    bound = 2 ** (to.bits - 1)
    made = b.cast("fptosi", x, to)
    made = b.select(b.compare("ge", x, constant(x.type, bound)), constant(to, bound - 1), made)
    made = b.select(b.compare("lt", x, constant(x.type, -bound)), constant(to, -bound), made)
    return b.select(b.is_nan(x), constant(to, 0), made)


_UNSIGNED = {"lt": "ult", "le": "ule"}


def compare(b: Builder, predicate: str, x: Value, y: Value) -> Value:
    """eq, ne, lt, le, gt, ge of any type; False is below True."""
    if x.type.name != "i1":
        return b.compare(predicate, x, y)
    if predicate in ("gt", "ge"):
        x, y, predicate = y, x, {"gt": "lt", "ge": "le"}[predicate]
    return b.compare(_UNSIGNED.get(predicate, predicate), x, y)


def is_infinite(b: Builder, x: Value) -> Value:
    """Whether a float is an infinity."""
    return b.compare("eq", b.unary("fabs", x), constant(x.type, float("inf")))


def is_finite(b: Builder, x: Value) -> Value:
    """Whether a float is neither NaN nor an infinity."""
    return b.compare("lt", b.unary("fabs", x), constant(x.type, float("inf")))
