"""Random words from counters, and numbers from words: exact, bit for bit as the ops' own `evaluate`."""

from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.ops.threefry import PARITY, ROTATIONS, ROUNDS


def threefry(b: Builder, word: str, values: list[Value]) -> Value:
    """Threefry-2x32: of the words of a key and of a counter the first, the second, their exclusive or, or both."""
    first, second = b.once(("threefry", *values), lambda: _rounds(b, *values))
    if word == "xor":
        return b.bits("xor", first, second)
    if word != "both":
        return first if word == "first" else second
    wide = first.type.of("i64")
    upper, lower = (b.cast("zext", half, wide) for half in (first, second))
    return b.bits("or", b.bits("shl", upper, constant(wide, 32)), lower)


def _rounds(b: Builder, k0: Value, k1: Value, c0: Value, c1: Value) -> tuple[Value, Value]:
    keys = (k0, k1, b.bits("xor", b.bits("xor", k0, k1), constant(k0.type, PARITY)))
    x, y = b.add(c0, k0), b.add(c1, k1)
    for turn in range(ROUNDS // 4):
        for distance in ROTATIONS[turn % 2]:
            x = b.add(x, y)
            y = b.bits(
                "xor", b.call(y.type, f"llvm.fshl.{y.type.mangled}", y, y, constant(y.type, distance)), x
            )
        x = b.add(x, keys[(turn + 1) % 3])
        y = b.add(y, b.add(keys[(turn + 2) % 3], constant(y.type, turn + 1)))
    return x, y


def unit_float(b: Builder, x: Value) -> Value:
    """The upper 24 of 32 bits as a float, or 53 of 64 as a double, in [0, 1)."""
    kept = 24 if x.type.bits == 32 else 53
    upper = b.bits("lshr", x, constant(x.type, x.type.bits - kept))
    # Neither has its highest bit set; machines without a conversion of signed vectors have one of unsigned ones.
    made = b.cast("sitofp" if kept == 24 else "uitofp", upper, x.type.of("float" if kept == 24 else "double"))
    return b.mul(made, constant(made.type, 2.0**-kept))


def between(b: Builder, x: Value, low: Value, high: Value) -> Value:
    """Low + x * (high - low), each operation rounded; what is `high` becomes the next float towards `low`."""
    with b.separate():
        made = b.add(b.mul(x, b.sub(high, low)), low)
    return b.select(b.compare("eq", made, high), _next(b, high, low), made)


def _next(b: Builder, x: Value, towards: Value) -> Value:
    """The float after x, by its bits: of a positive one they count up with it, of a negative one down."""
    bits = b.as_int(x)
    zero, one, minus = (constant(bits.type, k) for k in (0, 1, -1))
    down = b.compare("lt", towards, x)
    step = b.select(b.bits("xor", down, b.compare("lt", bits, zero)), minus, one)
    moved = b.as_float(b.add(bits, step))
    smallest = b.as_float(
        b.bits("or", one, b.select(down, constant(bits.type, 1 << (bits.type.bits - 1)), zero))
    )
    moved = b.select(b.compare("eq", x, constant(x.type, 0)), smallest, moved)
    return b.select(b.compare("eq", x, towards), towards, moved)


def multiply_high(b: Builder, x: Value, y: Value) -> Value:
    """The upper 64 bits of an unsigned product, of four products of halves."""
    low, half = constant(x.type, 0xFFFFFFFF), constant(x.type, 32)

    def lower(v: Value) -> Value:
        return b.bits("and", v, low)

    def upper(v: Value) -> Value:
        return b.bits("lshr", v, half)

    x0, x1, y0, y1 = lower(x), upper(x), lower(y), upper(y)
    middle = b.add(b.mul(x1, y0), upper(b.mul(x0, y0)))
    carry = upper(b.add(lower(middle), b.mul(x0, y1)))
    return b.add(b.add(b.mul(x1, y1), upper(middle)), carry)
