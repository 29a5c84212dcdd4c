"""Logarithms: the exponent, and a polynomial in the mantissa, from 3/4 to 3/2.

The polynomial is (log(1 + f) - f + f^2 / 2) / f^3 for f from -1/4 to 1/2 (Remez' algorithm, weighted for relative
error): a longer one than that in f / (2 + f), but without a quotient.
"""

import math

from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.lowering.llvm.maths.basic import exact_product, layout, number, pick, polynomial, with_sign
from symgraph.lowering.llvm.maths.exponential import exp_below

_LOG = (
    (
        0.33333340287208557, -0.2500016689300537, 0.19999605417251587, -0.16655279695987701, 0.14276164770126343,
        -0.12727883458137512, 0.11701573431491852, -0.09117642790079117, 0.03767980635166168,
    ),
    (
        0.33333333333333753, -0.25000000000010647, 0.19999999999850018, -0.16666666663784557, 0.14285714299923424,
        -0.12500000291880559, 0.11111110775959261, -0.09999985498441319, 0.09090892825881712, -0.08333705031968638,
        0.07693392108999078, -0.07138583165566739, 0.06643309574536141, -0.062497360456656756, 0.060831345650085085,
        -0.05968832935798069, 0.05070800720261756, -0.02939804317184375, 0.00809350453286657,
    ),
)  # fmt: skip


def log(b: Builder, x: Value) -> Value:
    """The natural logarithm; NaN below 0, -inf at 0."""
    f, k = split(b, x)
    return _guard(b, x, _combine(b, f, k), number(x, 0.0))


def log2(b: Builder, x: Value) -> Value:
    """The logarithm to the base 2, exact for powers of two."""
    f, k = split(b, x)
    scale = 1 / math.log(2)
    high = pick(x, float.fromhex("0x1.715476p+0"), scale)
    low = pick(x, float.fromhex("0x1.4ae0bep-26"), float.fromhex("0x1.777d0ffda0d24p-56"))
    product, lost = exact_product(b, f, number(x, high))
    main = b.add(k, product)
    rest = b.add(lost, b.sub(product, b.sub(main, k)))
    curve = _curve(b, f, number(x, 0.0))
    tail = b.fma(curve, number(x, high), b.fma(f, number(x, low), rest))
    return _guard(b, x, b.add(main, tail), number(x, 0.0))


def log1p(b: Builder, x: Value) -> Value:
    """log(1 + x), exact to the last bits for small x too.

    With e the exponent of 1 + x, f = 2^-e (1 + x) - 1 = 2^-e x + (2^-e - 1) is exact, as f is in [-1/4, 1/2]
    (Sterbenz' lemma): so nothing has to be mended, and there is no quotient. 2^-e counts four times, since it may
    be denormal.
    """
    form = layout(x.type)
    bits, shifted, exponent = _exponent(b, b.add(x, number(x, 1.0)))
    four = b.as_float(b.sub(constant(bits.type, (2 * form.bias + 2) << form.mantissa), exponent))
    f = b.mul(b.fma(x, four, b.sub(four, number(x, 4.0))), number(x, 0.25))
    y = _combine(b, f, _as_number(b, shifted, number(x, form.units + form.bias)))
    return with_sign(b, _guard(b, x, y, number(x, -1.0)), x)


def softplus(b: Builder, x: Value) -> Value:
    """log(1 + e^x) as max(x, 0) + log1p(e^-|x|), which cannot overflow."""
    zero = number(x, 0.0)
    return b.add(b.select(b.compare("gt", x, zero), x, zero), softplus_tail(b, x))


def softplus_tail(b: Builder, x: Value) -> Value:
    """log1p(e^-|x|); where e^-|x| is more than a half, ln 2 + log1p((e^-|x| - 1) / 2)."""
    half = number(x, 0.5)
    e = exp_below(b, b.neg(b.unary("fabs", x)))
    large = b.compare("gt", e, half)
    f = b.select(large, b.fma(e, half, number(x, -0.5)), e)
    return _combine(b, f, b.select(large, number(x, 1.0), number(x, 0.0)))


def split(b: Builder, x: Value, normal: bool = False) -> tuple[Value, Value]:
    """Split x = 2^k (1 + f), f in [-1/4, 1/2); more quickly where x is known not to be denormal."""
    form = layout(x.type)
    offset = number(x, form.units + form.bias)
    if not normal:
        small = b.compare("lt", x, number(x, form.smallest))
        shift = form.mantissa + 1
        x = b.select(small, b.mul(x, number(x, 2.0**shift)), x)
        offset = b.select(small, number(x, form.units + form.bias + shift), offset)
    bits, shifted, exponent = _exponent(b, x)
    k = _as_number(b, shifted, offset)
    mantissa = b.add(b.sub(bits, exponent), constant(bits.type, form.one))
    return b.sub(b.as_float(mantissa), number(x, 1.0)), k


def _exponent(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """The bits of x, and its biased exponent, as an integer and in place; the one that leaves mantissas in
    [3/4, 3/2).
    """
    form = layout(x.type)
    bits = b.as_int(x)
    moved = b.add(bits, constant(bits.type, 1 << (form.mantissa - 1)))
    shifted = b.bits("lshr", moved, constant(bits.type, form.mantissa))
    return bits, shifted, b.bits("and", moved, constant(bits.type, -1 << form.mantissa))


def _as_number(b: Builder, integer: Value, offset: Value) -> Value:
    """An integer as a float, less an offset that has `units` added: a conversion that every machine has."""
    units = (layout(offset.type).bias + layout(offset.type).mantissa) << layout(offset.type).mantissa
    return b.sub(b.as_float(b.bits("or", integer, constant(integer.type, units))), offset)


def _combine(b: Builder, f: Value, k: Value) -> Value:
    """Return k ln 2 + log(1 + f). The first sum keeps what it loses (Dekker's Fast2Sum), which saves half a unit."""
    form = layout(f.type)
    main = b.mul(k, number(f, form.ln2_high))
    high = b.add(main, f)
    low = b.sub(f, b.sub(high, main))
    return b.add(high, _curve(b, f, b.fma(k, number(f, form.ln2_low), low)))


def _curve(b: Builder, f: Value, rest: Value) -> Value:
    """Return log(1 + f) - f + rest; the square goes into the last sum unrounded."""
    cubic = b.mul(f, polynomial(b, f, pick(f, *_LOG)))
    return b.fma(b.mul(f, number(f, -0.5)), f, b.fma(b.mul(f, f), cubic, rest))


def _guard(b: Builder, x: Value, y: Value, pole: Value) -> Value:
    """y, but inf and NaN as x is; -inf at the pole and NaN below it."""
    y = b.select(b.compare("lt", x, number(x, math.inf)), y, x)
    outside = b.select(b.compare("eq", x, pole), number(x, -math.inf), number(x, math.nan))
    return b.select(b.compare("gt", x, pole), y, outside)
