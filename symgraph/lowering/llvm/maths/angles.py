"""Angles less the nearest multiple of pi/2, for every finite float and double.

Angles up to a million take the reduction of Cody and Waite (1980): pi/2 in pieces, the first two of 33 bits, so
that n < 2**20 of them are exact doubles. Larger ones, and doubles so close to a multiple that little remains, take
that of Payne and Hanek (1983), in a function of its own: the product of the mantissa and those bits of 2/pi that
are neither multiples of 4 nor too small to matter, in integers of 128 bits.
"""

import math
from typing import NamedTuple

from symgraph.lowering.llvm.emit import F64, I1, I64, PTR, Builder, Type, Value, constant, integer

_TWO_OVER_PI = 0.6366197723675814
_FIRST, _SECOND, _THIRD = (
    float.fromhex(digits) for digits in ("0x1.921fb544p+0", "0x1.0b4611a6p-34", "0x1.3198a2e037073p-69")
)
_REST = float.fromhex("0x1.0b4611a626331p-34")  # pi/2 less the first piece
_ROUNDER = 1.5 * 2.0**52  # added, it leaves the nearest integer in the last bits

LIMIT = 1e6
"""Larger angles take the longer way."""

_CLOSE = 2.0**-40  # to here a reduced double has all its bits


class Angle(NamedTuple):
    """An angle of doubles, |high + low| <= pi/4, and the multiple of pi/2 taken away, modulo 4, as i64."""

    high: Value
    low: Value
    quadrant: Value


def reduce(b: Builder, x: Value) -> Angle:
    """The angle x, of floats (`low` is 0 then) or doubles, reduced; NaN for infinities."""
    single = x.type.name == "float"
    angle = _cody_waite(b, b.cast("fpext", x, x.type.of("double")) if single else x, single)
    size = b.unary("fabs", x)
    hard = b.compare("ge", size, constant(x.type, LIMIT))
    if not single:
        close = b.compare("lt", b.unary("fabs", angle.high), constant(x.type, _CLOSE))
        close = b.bits("and", close, b.compare("gt", size, constant(x.type, 1)))
        hard = b.bits("or", hard, close)

    def instead() -> list[Value]:
        wide = b.cast("fpext", x, x.type.of("double")) if single else x
        high, low, quadrant = _payne_hanek(b, wide)
        infinite = b.compare("eq", size, constant(x.type, math.inf))
        long = (b.select(infinite, constant(high.type, math.nan), high), low, quadrant)
        return [b.select(hard, *pair) for pair in zip(long, angle, strict=True)]

    if single:
        high, quadrant = b.unless(b.any(hard), (angle.high, angle.quadrant), lambda: instead()[::2])
        return Angle(high, angle.low, quadrant)
    return Angle(*b.unless(b.any(hard), angle, instead))


def _cody_waite(b: Builder, x: Value, single: bool) -> Angle:
    rounder = constant(x.type, _ROUNDER)
    turned = b.fma(x, constant(x.type, _TWO_OVER_PI), rounder)
    quadrant = b.as_int(turned)
    n = b.sub(turned, rounder)
    minus = b.neg(n)
    first = b.fma(minus, constant(x.type, _FIRST), x)
    zero = constant(x.type, 0)
    if single:
        return Angle(b.fma(minus, constant(x.type, _REST), first), zero, quadrant)
    # first - second, with its rounding error (Knuth, TAOCP 2, section 4.2.2, theorem B), less the third piece.
    second = b.mul(n, constant(x.type, _SECOND))
    high = b.sub(first, second)
    taken = b.sub(high, first)
    error = b.sub(b.sub(first, b.sub(high, taken)), b.add(second, taken))
    error = b.fma(minus, constant(x.type, _THIRD), error)
    total = b.add(high, error)
    return Angle(total, b.add(b.sub(high, total), error), quadrant)


# 2/pi * 2**1168, rounded down; and pi/2 * 2**63.
_TWO_OVER_PI_BITS = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    "5603",
    16,
)
_BITS = 1168
_HALF_PI = 0xC90FDAA22168C234
_KEPT = 190  # bits after the point of x * 2/pi, two more before it
_WORDS = 21  # of 64 bits: above 2/pi there are zeros, for angles with no multiple of 4 to leave out


def _payne_hanek(b: Builder, x: Value) -> Angle:
    """A call of the function for as many lanes, and that function."""
    whole = x.type.as_int
    name = f"symgraph_angle_{x.type.mangled}"
    kinds = (x.type, x.type, whole)
    results = f"{{ {', '.join(map(str, kinds))} }}"
    b.intrinsics["symgraph_two_over_pi"] = _table()
    _define(b, name, x.type, results)
    made = b.emit(x.type, f"call {results} @{name}({x})")
    return Angle(*(b.emit(kind, f"extractvalue {results} {made.text}, {k}") for k, kind in enumerate(kinds)))


def _table() -> str:
    words = ", ".join(f"i64 {_TWO_OVER_PI_BITS >> 64 * k & 2**64 - 1}" for k in range(_WORDS))
    return f"@symgraph_two_over_pi = internal constant [{_WORDS} x i64] [{words}]"


def _define(b: Builder, name: str, type_: Type, results: str) -> None:
    """The function that reduces the lanes one after another."""
    body = Builder(contract=False, intrinsics=b.intrinsics)
    none, zero = constant(type_, 0), constant(type_.as_int, 0)
    loop = body.begin_loop(integer(0), integer(type_.lanes), 1, (none, none, zero))
    x = _lane(body, Value("%x", type_), loop.index)
    parts = (_put(body, v, s, loop.index) for v, s in zip(loop.carried, _longhand(body, x), strict=True))
    done = body.end_loop(loop, tuple(parts))
    made = "poison"
    for k, value in enumerate(done):
        made = body.emit(PTR, f"insertvalue {results} {made}, {value}, {k}").text
    lines = "\n".join(body.lines)
    b.intrinsics[name] = (
        f"define internal {results} @{name}({type_} %x) #0 {{\nentry:\n{lines}\n  ret {results} {made}\n}}"
    )


def _lane(b: Builder, x: Value, index: Value) -> Value:
    return x if x.type.lanes == 1 else b.emit(Type(x.type.name), f"extractelement {x}, {index}")


def _put(b: Builder, x: Value, scalar: Value, index: Value) -> Value:
    return scalar if x.type.lanes == 1 else b.emit(x.type, f"insertelement {x}, {scalar}, {index}")


_I128 = Type("i128")


def _longhand(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """One angle, a double from 1/2 on."""

    def long(value: int) -> Value:
        return Value(str(value), _I128)

    def widened(value: Value) -> Value:
        return b.cast("zext", value, _I128)

    bits, zero = b.as_int(x), integer(0)
    mantissa = b.bits("or", b.bits("and", bits, integer(2**52 - 1)), integer(2**52))
    exponent = b.bits("and", b.bits("lshr", bits, integer(52)), integer(2047))
    # x is mantissa * 2**(exponent - 1075): this bit of 2/pi is worth 2**-_KEPT in the product, times the mantissa.
    start = b.sub(integer(_BITS + 1075 - _KEPT), exponent)
    start = b.binary("smin", b.binary("smax", start, zero), integer(64 * (_WORDS - 4)))
    place = b.offset(Value("@symgraph_two_over_pi", PTR), b.bits("lshr", start, integer(6)), 8)
    words = [b.load(I64, b.offset(place, integer(8 * k))) for k in range(4)]
    low, middle, high = (b.call(I64, "llvm.fshr.i64", words[k + 1], words[k], start) for k in range(3))
    wide = widened(mantissa)
    product = b.bits("lshr", b.mul(wide, widened(low)), long(64))
    product = b.add(product, b.mul(wide, widened(middle)))
    product = b.add(product, b.bits("shl", widened(b.mul(mantissa, high)), long(64)))
    point = _KEPT - 64
    quadrant = b.bits("lshr", b.add(product, long(1 << (point - 1))), long(point))
    fraction = b.sub(product, b.bits("shl", quadrant, long(point)))
    below = b.compare("lt", fraction, long(0))
    fraction = b.select(below, b.sub(long(0), fraction), fraction)
    zeros = b.call(_I128, "llvm.ctlz.i128", fraction, Value("false", I1))
    top = b.bits("lshr", b.bits("shl", fraction, zeros), long(64))
    angle = b.mul(top, long(_HALF_PI))  # in units of 2**-(125 + zeros), 2**126 or more of them
    high = b.cast("uitofp", b.cast("trunc", b.bits("lshr", angle, long(75)), I64), F64)
    rest = b.cast("trunc", b.bits("lshr", angle, long(22)), I64)
    low = b.cast("uitofp", b.bits("and", rest, integer(2**53 - 1)), F64)
    left = b.compare("lt", bits, zero)
    sign = b.bits("shl", b.cast("zext", b.bits("xor", below, left), I64), integer(63))
    unit = b.sub(integer(1023 - 50), b.cast("trunc", zeros, I64))
    unit = b.as_float(b.bits("or", b.bits("shl", unit, integer(52)), sign))
    high, low = b.mul(high, unit), b.mul(b.mul(low, unit), constant(F64, 2.0**-53))
    total = b.add(high, low)
    turns = b.cast("trunc", quadrant, I64)
    return total, b.add(b.sub(high, total), low), b.select(left, b.neg(turns), turns)
