"""Remainders and floored quotients of floats: exact for all finite operands, bit for bit as NumPy's."""

from symgraph.lowering.llvm.emit import I64, Builder, Type, Value, constant

_ROUNDER = 1.5 * 2.0**52  # added and subtracted it rounds doubles below 2**51 to the nearest integer
_HIGH = -(2**27)  # a mask of the 26 leading bits of a double's 53


def fmod(b: Builder, x: Value, y: Value) -> Value:
    """The rest x - y * trunc(x / y), exact, with the sign of x: C's fmod.

    It is long division. Both mantissas are doubles in [1, 2), and each turn appends zeros to what remains of x and
    takes the nearest multiple of y away. For floats that is 28 bits a turn, their products being exact in doubles;
    for doubles 48, with the rounding error of the product (Dekker, 1971): no fused product is needed.
    """
    double, whole = x.type.of("double"), x.type.of("i64")
    single = x.type.name == "float"
    step = 28 if single else 48
    top, up = _parts(b, x)
    bottom, down = _parts(b, y)
    zero, limit = constant(whole, 0), constant(whole, step)
    more = b.sub(up, down)
    left = b.binary("smax", more, zero)
    loop = b.begin_loop(Value("0", I64), _turns(b, left, step), 1, (top, left))
    rest, zeros = loop.carried
    shift = b.binary("smin", zeros, limit)
    rest = b.mul(rest, _power(b, shift))
    quotient = b.div(rest, bottom)
    rounder = constant(double, _ROUNDER)
    quotient = b.sub(b.add(quotient, rounder), rounder)
    rest = _less_product(b, rest, quotient, bottom, exact=single)
    rest, _ = b.end_loop(loop, (rest, b.sub(zeros, shift)))
    rest = b.select(b.compare("lt", rest, constant(double, 0)), b.add(rest, bottom), rest)
    # In two steps, lest the power itself be too small for a normal number.
    half = b.bits("ashr", down, constant(whole, 1))
    rest = b.mul(b.mul(rest, _power(b, half)), _power(b, b.sub(down, half)))
    made = b.cast("fptrunc", rest, x.type) if single else rest
    made = b.binary("copysign", made, x)
    made = b.select(b.compare("lt", more, zero), x, made)
    return b.select(_undefined(b, x, y), constant(x.type, float("nan")), made)


def _undefined(b: Builder, x: Value, y: Value) -> Value:
    """Whether x is infinite, y zero, or one of them NaN."""
    finite = b.compare("lt", b.unary("fabs", x), constant(x.type, float("inf")))
    some = b.compare("gt", b.unary("fabs", y), constant(y.type, 0))
    return b.not_(b.bits("and", finite, some))


def _parts(b: Builder, x: Value) -> tuple[Value, Value]:
    """|x| as a double in [1, 2) and a power of 2, also where x is too small for a normal number."""
    double, whole = x.type.of("double"), x.type.of("i64")
    lift = constant(whole, 0)
    if x.type.name == "float":  # every one is a normal double
        size = b.cast("fpext", b.unary("fabs", x), double)
    else:
        size = b.unary("fabs", x)
        small = b.compare("lt", size, constant(double, 2.0**-1022))
        size = b.select(small, b.mul(size, constant(double, 2.0**54)), size)
        lift = b.select(small, constant(whole, 54), lift)
    bits = b.as_int(size)
    exponent = b.sub(b.bits("lshr", bits, constant(whole, 52)), constant(whole, 1023))
    mantissa = b.bits("and", bits, constant(whole, 2**52 - 1))
    one = b.bits("or", mantissa, constant(whole, 1023 << 52))
    return b.as_float(one), b.sub(exponent, lift)


def _power(b: Builder, exponent: Value) -> Value:
    """The power 2 ** exponent, a normal double."""
    biased = b.add(exponent, constant(exponent.type, 1023))
    return b.as_float(b.bits("shl", biased, constant(exponent.type, 52)))


def _turns(b: Builder, left: Value, step: int) -> Value:
    """How often `step` goes into the largest lane, rounded up, and at least once."""
    largest = (
        left if left.type.lanes == 1 else b.call(I64, f"llvm.vector.reduce.smax.{left.type.mangled}", left)
    )
    largest = b.binary("smax", largest, Value("1", I64))
    return b.emit(I64, f"udiv i64 {b.add(largest, Value(str(step - 1), I64)).text}, {step}")


def _less_product(b: Builder, z: Value, x: Value, y: Value, exact: bool) -> Value:
    """The difference z - x * y, which is a double; with `exact` the product is one too."""
    if exact:
        return b.sub(z, b.mul(x, y))
    with b.separate():
        product = b.mul(x, y)
        (xh, xl), (yh, yl) = _split(b, x), _split(b, y)
        error = b.fma(xh, yh, b.neg(product))
        error = b.fma(xl, yl, b.fma(xl, yh, b.fma(xh, yl, error)))
        return b.sub(b.sub(z, product), error)


def _split(b: Builder, x: Value) -> tuple[Value, Value]:
    whole: Type = x.type.as_int
    high = b.as_float(b.bits("and", b.as_int(x), constant(whole, _HIGH)))
    return high, b.sub(x, high)


def mod(b: Builder, x: Value, y: Value) -> Value:
    """The remainder with the sign of y, as Python's and NumPy's %."""
    return _floored(b, x, y)[0]


def _floored(b: Builder, x: Value, y: Value) -> tuple[Value, Value, Value]:
    """The remainder with the sign of y, C's, and whether they differ by y."""
    zero = constant(x.type, 0)
    remainder = b.once(("fmod", x, y), lambda: fmod(b, x, y))
    some = b.compare("ne", remainder, zero)
    differ = b.compare("lt", b.bits("xor", b.as_int(remainder), b.as_int(y)), constant(x.type.as_int, 0))
    short = b.bits("and", some, differ)
    moved = b.select(short, b.add(remainder, y), remainder)
    return b.select(some, moved, b.binary("copysign", zero, y)), remainder, short


def floor_divide(b: Builder, x: Value, y: Value) -> Value:
    """The quotient rounded down, by the steps of NumPy's npy_divmod (numpy/_core/src/npymath), in their order."""
    zero, one = constant(x.type, 0), constant(x.type, 1)
    _, remainder, short = _floored(b, x, y)
    plain = b.div(x, y)
    quotient = b.div(b.sub(x, remainder), y)
    quotient = b.select(short, b.sub(quotient, one), quotient)
    floor = b.unary("floor", quotient)
    far = b.compare("gt", b.sub(quotient, floor), constant(x.type, 0.5))
    floor = b.select(far, b.add(floor, one), floor)
    floor = b.select(b.compare("ne", quotient, zero), floor, b.binary("copysign", zero, plain))
    return b.select(b.compare("eq", y, zero), plain, floor)
