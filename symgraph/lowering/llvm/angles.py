"""Angles less the nearest multiple of pi/2, for every finite float and double.

Angles up to a million take the reduction of Cody and Waite (1980): pi/2 in pieces, the first two of 33 bits, so
that n < 2**20 of them are exact doubles. Larger ones, and doubles so close to a multiple that little remains, take
that of Payne and Hanek (1983), in a function of its own: the product of the mantissa and those bits of 2/pi that
are neither multiples of 4 nor too small to matter, in integers of 192 bits.
"""

from typing import NamedTuple

from symgraph.lowering.llvm.emit import F64, I1, I64, PTR, Builder, Type, Value, constant

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
        return [b.select(hard, long, short) for long, short in zip(_payne_hanek(b, wide), angle, strict=True)]

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


# 2/pi * 2**1168, rounded down; and pi/2 * 2**95.
_TWO_OVER_PI_BITS = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    "5603",
    16,
)
_BITS = 1168
_HALF_PI = 0xC90FDAA22168C234C4C6628B
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
    loop = body.begin_loop(Value("0", I64), Value(str(type_.lanes), I64), 1, (none, none, zero))
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


_LONG, _LOADED = Type("i192"), Type("i256")


def _longhand(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """One angle, a double from 1/2 on."""

    def long(value: int) -> Value:
        return Value(str(value), _LONG)

    bits = b.as_int(x)
    mantissa = b.bits("or", b.bits("and", bits, Value(str(2**52 - 1), I64)), Value(str(2**52), I64))
    exponent = b.bits("and", b.bits("lshr", bits, Value("52", I64)), Value("2047", I64))
    # x is mantissa * 2**(exponent - 1075): this bit of 2/pi is worth 2**-_KEPT in the product, times the mantissa.
    start = b.sub(Value(str(_BITS + 1075 - _KEPT), I64), exponent)
    start = b.binary("smax", start, Value("0", I64))
    start = b.binary("smin", start, Value(str(64 * _WORDS - 256), I64))
    table = Value("@symgraph_two_over_pi", PTR)
    window = b.load(_LOADED, b.offset(table, b.bits("lshr", start, Value("3", I64))))
    odd = b.cast("zext", b.bits("and", start, Value("7", I64)), _LOADED)
    window = b.cast("trunc", b.bits("lshr", window, odd), _LONG)
    product = b.mul(b.cast("zext", mantissa, _LONG), window)
    quadrant = b.bits("lshr", b.add(product, long(1 << (_KEPT - 1))), long(_KEPT))
    fraction = b.sub(product, b.bits("shl", quadrant, long(_KEPT)))
    below = b.compare("lt", fraction, long(0))
    fraction = b.select(below, b.sub(long(0), fraction), fraction)
    zeros = b.call(_LONG, "llvm.ctlz.i192", fraction, Value("false", I1))
    top = b.bits("lshr", b.bits("shl", fraction, zeros), long(96))
    angle = b.mul(top, long(_HALF_PI))  # in units of 2**-(189 + zeros), and 2**190 or more of them
    high = b.cast("uitofp", b.cast("trunc", b.bits("lshr", angle, long(139)), I64), F64)
    rest = b.cast("trunc", b.bits("lshr", angle, long(86)), I64)
    low = b.cast("uitofp", b.bits("and", rest, Value(str(2**53 - 1), I64)), F64)
    negative = b.bits("xor", below, b.compare("lt", bits, Value("0", I64)))
    sign = b.bits("shl", b.cast("zext", negative, I64), Value("63", I64))
    unit = b.sub(Value(str(1023 - 50), I64), b.cast("trunc", zeros, I64))
    unit = b.as_float(b.bits("or", b.bits("shl", unit, Value("52", I64)), sign))
    high, low = b.mul(high, unit), b.mul(b.mul(low, unit), constant(F64, 2.0**-53))
    total = b.add(high, low)
    turns = b.cast("trunc", quadrant, I64)
    turns = b.select(b.compare("lt", bits, Value("0", I64)), b.neg(turns), turns)
    return total, b.add(b.sub(high, total), low), turns
