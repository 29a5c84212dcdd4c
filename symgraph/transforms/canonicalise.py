"""Canonical algebra: each value is written in one way, the cheapest.

Rules are `exact` only when every bit is kept for every operand: NaN, infinities, both zeros, denormals (which
NaN comes out is not part of the meaning). What is exact for integers and not for floats is two rules. A float
rule that loses the sign of a zero, an infinity or a NaN has no bound, and runs under numerics="fast" alone.
"""

from collections.abc import Callable, Sequence

from symgraph import ops
from symgraph.expr import Expr, constant
from symgraph.ops.arithmetic import (
    Abs,
    Add,
    Div,
    Mul,
    Neg,
    Pow,
    Reciprocal,
    Square,
    Sub,
)
from symgraph.ops.base import Elementwise
from symgraph.ops.logic import (
    Cast,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    LogicalAnd,
    LogicalNot,
    LogicalOr,
    LogicalXor,
    NotEqual,
    Where,
)
from symgraph.ops.transcendental import Exp, Expm1, Log, Log1p, Sqrt
from symgraph.rewrite import Class, Pass, Pattern, Rule, Splat, pattern, rule_pass
from symgraph.text.records import subclasses
from symgraph.transforms.facts import (
    is_float,
    is_integer,
    is_normal,
    is_number,
    is_power_of_two,
    number_of,
    numbers,
)
from symgraph.transforms.shapes import SHAPES
from symgraph.types import BOOL, FLOAT32, FLOAT64, INT32, INT64


def canonicalise_pass() -> Pass:
    """The pass that writes algebra in one way."""
    return rule_pass("canonicalise", RULES)


def _by_kind(
    name: str, matched: Pattern, made: Callable[..., Expr], floats: Class, bound: float | None = None
) -> list[Rule]:
    """A rule that is exact for integers, and of another class for floats."""
    return [
        Rule(name, matched, made, floats, guard=is_float, bound=bound),
        Rule(f"{name}-integers", matched, made, "exact", guard=is_integer),
    ]


C, D = Splat("c"), Splat("d")


def _number(value: float, like: Expr) -> Expr:
    return constant(value, like.dtype)


NEUTRAL: list[Rule] = [
    Rule("add-zero-integers", pattern(Add, "x", 0.0), lambda x: x, "exact", guard=is_integer),
    Rule(
        "add-zero", pattern(Add, "x", 0.0), lambda x: x, "reassociates", guard=is_float
    ),  # -0.0 + 0.0 is 0.0
    Rule("add-minus-zero", pattern(Add, "x", -0.0), lambda x: x, "exact"),
    Rule("sub-zero", pattern(Sub, "x", 0.0), lambda x: x, "exact"),
    Rule("sub-minus-zero", pattern(Sub, "x", -0.0), lambda x: x, "reassociates"),
    Rule("mul-one", pattern(Mul, "x", 1.0), lambda x: x, "exact"),
    Rule("div-one", pattern(Div, "x", 1.0), lambda x: x, "exact"),
    Rule("mul-minus-one", pattern(Mul, "x", -1.0), lambda x: ops.neg(x), "exact"),
    Rule("div-minus-one", pattern(Div, "x", -1.0), lambda x: ops.neg(x), "exact"),
    Rule("pow-one", pattern(Pow, "x", 1.0), lambda x: x, "exact"),
]

ABSORBING: list[Rule] = [
    *_by_kind("mul-zero", pattern(Mul, "x", 0.0), lambda x: _number(0, x), "reassociates"),
    *_by_kind("sub-self", pattern(Sub, "x", "x"), lambda x: _number(0, x), "reassociates"),
    Rule("zero-over", pattern(Div, 0.0, "x"), lambda x: _number(0, x), "reassociates"),
    Rule("div-self", pattern(Div, "x", "x"), lambda x: _number(1, x), "reassociates"),
    Rule("pow-zero", pattern(Pow, "x", 0.0), lambda x: _number(1, x), "exact"),  # also NaN ** 0
    Rule("pow-of-one", pattern(Pow, 1.0, "x"), lambda x: _number(1, x), "exact"),
    Rule("and-false", pattern(LogicalAnd, "x", False), lambda x: _number(False, x), "exact"),
    Rule("or-true", pattern(LogicalOr, "x", True), lambda x: _number(True, x), "exact"),
]

NEGATION: list[Rule] = [
    Rule("neg-of-neg", pattern(Neg, pattern(Neg, "x")), lambda x: x, "exact"),
    # a - b where a = b is 0.0, whose negative is not that of b - a
    *_by_kind("neg-of-sub", pattern(Neg, pattern(Sub, "x", "y")), lambda x, y: y - x, "reassociates"),
    Rule("add-of-neg", pattern(Add, "x", pattern(Neg, "y")), lambda x, y: x - y, "exact"),
    Rule("sub-of-neg", pattern(Sub, "x", pattern(Neg, "y")), lambda x, y: x + y, "exact"),
    Rule(
        "neg-of-scaled",
        pattern(Neg, pattern(Mul, "x", C)),
        lambda x, c: x * _number(-number_of(c), x),
        "exact",
        guard=lambda x, c: numbers("c")(c=c) and not is_number(x),
    ),
    Rule(
        "scaled-neg",
        pattern(Mul, pattern(Neg, "x"), C),
        lambda x, c: x * _number(-number_of(c), x),
        "exact",
        guard=lambda x, c: numbers("c")(c=c),
    ),
    Rule("mul-of-negs", pattern(Mul, pattern(Neg, "x"), pattern(Neg, "y")), lambda x, y: x * y, "exact"),
    Rule("div-of-negs", pattern(Div, pattern(Neg, "x"), pattern(Neg, "y")), lambda x, y: x / y, "exact"),
    Rule(
        "mul-of-neg",  # the sign moves to the result, where it meets other signs
        pattern(Mul, pattern(Neg, "x"), "y"),
        lambda x, y: ops.neg(x * y),
        "exact",
        guard=lambda x, y: not is_number(y),
    ),
    Rule(
        "div-of-neg",
        pattern(Div, pattern(Neg, "x"), "y"),
        lambda x, y: ops.neg(x / y),
        "exact",
        guard=lambda x, y: not is_number(x),
    ),
    Rule(
        "div-by-neg",
        pattern(Div, "x", pattern(Neg, "y")),
        lambda x, y: ops.neg(x / y),
        "exact",
        guard=lambda x, y: not is_number(y),
    ),
    Rule(
        "neg-of-divided",
        pattern(Neg, pattern(Div, "x", C)),
        lambda x, c: x / _number(-number_of(c), x),
        "exact",
        guard=lambda x, c: numbers("c")(c=c) and not is_number(x),
    ),
    Rule(
        "neg-of-quotient",
        pattern(Neg, pattern(Div, C, "x")),
        lambda x, c: _number(-number_of(c), x) / x,
        "exact",
        guard=lambda x, c: numbers("c")(c=c) and not is_number(x),
    ),
    Rule("abs-of-neg", pattern(Abs, pattern(Neg, "x")), lambda x: ops.abs(x), "exact"),
    Rule("square-of-neg", pattern(Square, pattern(Neg, "x")), lambda x: ops.square(x), "exact"),
]

_IDEMPOTENT = sorted((op for op in subclasses(Elementwise) if op.idempotent), key=lambda op: op.name)
REPEATED: list[Rule] = [
    *(
        Rule(f"{op.name}-of-{op.name}", pattern(op, pattern(op, "x", bind="y")), lambda x, y: y, "exact")
        for op in _IDEMPOTENT
        if op.arity == 1
    ),
    *(
        Rule(f"{op.name}-self", pattern(op, "x", "x"), lambda x: x, "exact")
        for op in _IDEMPOTENT
        if op.arity == 2
    ),
    Rule("square-of-abs", pattern(Square, pattern(Abs, "x")), lambda x: ops.square(x), "exact"),
    Rule(
        "abs-of-square", pattern(Abs, pattern(Square, "x", bind="y")), lambda x, y: y, "exact", guard=is_float
    ),
    Rule("abs-of-exp", pattern(Abs, pattern(Exp, "x", bind="y")), lambda x, y: y, "exact"),
]

POWERS: list[Rule] = [
    Rule("mul-self", pattern(Mul, "x", "x"), lambda x: ops.square(x), "exact"),
    *_by_kind("pow-two", pattern(Pow, "x", 2.0), lambda x: ops.square(x), "reassociates", bound=1.0),
    *_by_kind("pow-three", pattern(Pow, "x", 3.0), lambda x: x * ops.square(x), "reassociates", bound=2.0),
    *_by_kind(
        "pow-four", pattern(Pow, "x", 4.0), lambda x: ops.square(ops.square(x)), "reassociates", bound=3.0
    ),
    Rule(
        "pow-minus-one",
        pattern(Pow, "x", -1.0),
        lambda x: ops.reciprocal(x),
        "reassociates",
        guard=is_float,
        bound=1.0,
    ),
    # Not the reciprocal of the square, which is 0 where the square overflows and the result is denormal.
    Rule(
        "pow-minus-two",
        pattern(Pow, "x", -2.0),
        lambda x: ops.square(ops.reciprocal(x)),
        "reassociates",
        guard=is_float,
        bound=3.0,
    ),
    # -0.0 ** 0.5 is 0.0 and -inf ** 0.5 is inf; their roots are -0.0 and NaN.
    Rule("pow-half", pattern(Pow, "x", 0.5), lambda x: ops.sqrt(x), "reassociates", guard=is_float),
    Rule("pow-minus-half", pattern(Pow, "x", -0.5), lambda x: ops.rsqrt(x), "reassociates", guard=is_float),
]

INVERSES: list[Rule] = [
    Rule("log-of-exp", pattern(Log, pattern(Exp, "x")), lambda x: x, "stabilises"),
    Rule("log1p-of-expm1", pattern(Log1p, pattern(Expm1, "x")), lambda x: x, "stabilises"),
    Rule("sqrt-of-square", pattern(Sqrt, pattern(Square, "x")), lambda x: ops.abs(x), "stabilises"),
    Rule(
        "reciprocal-of-reciprocal", pattern(Reciprocal, pattern(Reciprocal, "x")), lambda x: x, "stabilises"
    ),
    Rule("mul-by-reciprocal", pattern(Mul, "x", pattern(Reciprocal, "y")), lambda x, y: x / y, "stabilises"),
    Rule("div-by-reciprocal", pattern(Div, "x", pattern(Reciprocal, "y")), lambda x, y: x * y, "stabilises"),
    # Outside of the domain of the inner function these are NaN.
    Rule("exp-of-log", pattern(Exp, pattern(Log, "x")), lambda x: x, "reassociates"),
    Rule("expm1-of-log1p", pattern(Expm1, pattern(Log1p, "x")), lambda x: x, "reassociates"),
    Rule("square-of-sqrt", pattern(Square, pattern(Sqrt, "x")), lambda x: x, "reassociates"),
]


def _inverse(c: Expr) -> Expr:
    return _number(1.0 / number_of(c), c)


def _halves(x: Expr, c: Expr) -> bool:
    """Whether x / c and x * (1 / c) round the same number: c and its inverse are normal powers of two."""
    value = number_of(c)
    return is_power_of_two(value) and is_normal(value, c) and is_normal(1.0 / value, c)


def _shrinks(x: Expr, c: Expr) -> bool:
    """Whether x * (1 / c) overflows for no x, and 1 / c is as accurate as can be."""
    value = number_of(c)
    return abs(value) > 1.0 and is_normal(value, c) and is_normal(1.0 / value, c) and not is_number(x)


def _scales(x: Expr, c: Expr, d: Expr) -> bool:
    """Whether the product of two factors is a number that loses nothing."""
    return numbers("c", "d")(c=c, d=d) and not is_number(x) and is_normal(number_of(c) * number_of(d), c)


CONSTANTS: list[Rule] = [
    Rule("div-by-power-of-two", pattern(Div, "x", C), lambda x, c: x * _inverse(c), "exact", guard=_halves),
    Rule(
        "div-by-number",
        pattern(Div, "x", C),
        lambda x, c: x * _inverse(c),
        "reassociates",
        guard=_shrinks,
        bound=2.0,
    ),
    Rule(
        "scale-of-scaled",  # where c * x overflows and d * (c * x) would not, or the other way: more accurate
        pattern(Mul, pattern(Mul, "x", C), D),
        lambda x, c, d: x * _number(number_of(c) * number_of(d), x),
        "reassociates",
        guard=_scales,
        bound=2.0,
    ),
    Rule(
        "scale-of-scaled-integers",
        pattern(Mul, pattern(Mul, "x", C), D),
        lambda x, c, d: x * (c * d),
        "exact",
        guard=lambda x, c, d: x.dtype.kind == "i" and not is_number(x),
    ),
    Rule(
        "shift-of-shifted",  # (x + c) - c rounds to a multiple of an ulp of c: programs rely on it
        pattern(Add, pattern(Add, "x", C), D),
        lambda x, c, d: x + (c + d),
        "reassociates",
        guard=lambda x, c, d: numbers("c", "d")(c=c, d=d) and not is_number(x),
    ),
    Rule(
        "shift-of-shifted-integers",
        pattern(Add, pattern(Add, "x", C), D),
        lambda x, c, d: x + (c + d),
        "exact",
        guard=lambda x, c, d: x.dtype.kind == "i" and not is_number(x),
    ),
]


def _negated(name: str, op: type, other: Callable[..., Expr]) -> list[Rule]:
    """Not (x < y) is x >= y, but for NaN."""
    matched = pattern(LogicalNot, pattern(op, "x", "y"))
    return _by_kind(f"not-{name}", matched, lambda x, y: other(x, y), "reassociates")


LOGIC: list[Rule] = [
    Rule("not-of-not", pattern(LogicalNot, pattern(LogicalNot, "x")), lambda x: x, "exact"),
    Rule(
        "not-equal", pattern(LogicalNot, pattern(Equal, "x", "y")), lambda x, y: ops.not_equal(x, y), "exact"
    ),
    Rule(
        "not-not-equal",
        pattern(LogicalNot, pattern(NotEqual, "x", "y")),
        lambda x, y: ops.equal(x, y),
        "exact",
    ),
    *_negated("less", Less, ops.greater_equal),
    *_negated("less-equal", LessEqual, ops.greater),
    *_negated("greater", Greater, ops.less_equal),
    *_negated("greater-equal", GreaterEqual, ops.less),
    Rule("and-true", pattern(LogicalAnd, "x", True), lambda x: x, "exact"),
    Rule("or-false", pattern(LogicalOr, "x", False), lambda x: x, "exact"),
    Rule("xor-false", pattern(LogicalXor, "x", False), lambda x: x, "exact"),
    Rule("xor-true", pattern(LogicalXor, "x", True), lambda x: ops.logical_not(x), "exact"),
    Rule("where-same", pattern(Where, "c", "x", "x"), lambda c, x: x, "exact"),
    Rule("where-true", pattern(Where, True, "x", "y"), lambda x, y: x, "exact"),
    Rule("where-false", pattern(Where, False, "x", "y"), lambda x, y: y, "exact"),
    Rule(
        "where-not",
        pattern(Where, pattern(LogicalNot, "c"), "x", "y"),
        lambda c, x, y: ops.where(c, y, x),
        "exact",
    ),
    Rule(
        "where-where-left",
        pattern(Where, "c", pattern(Where, "c", "x", "y"), "z"),
        lambda c, x, y, z: ops.where(c, x, z),
        "exact",
    ),
    Rule(
        "where-where-right",
        pattern(Where, "c", "x", pattern(Where, "c", "y", "z")),
        lambda c, x, y, z: ops.where(c, x, z),
        "exact",
    ),
]

# Casts that lose nothing: what follows may start from the operand.
_LOSSLESS = {
    (BOOL, INT32),
    (BOOL, INT64),
    (BOOL, FLOAT32),
    (BOOL, FLOAT64),
    (INT32, INT64),
    (INT32, FLOAT64),
    (FLOAT32, FLOAT64),
}

CASTS: list[Rule] = [
    Rule(
        "cast-of-cast",
        pattern(Cast, pattern(Cast, "x", bind="y"), bind="out"),
        lambda x, y, out: ops.cast(x, out.dtype),
        "exact",
        guard=lambda x, y, out: (x.dtype, y.dtype) in _LOSSLESS,
    ),
    Rule(
        "cast-to-itself",
        pattern(Cast, "x", bind="out"),
        lambda x, out: x,
        "exact",
        guard=lambda x, out: x.dtype == out.dtype,
    ),
]

RULES: Sequence[Rule] = (
    NEUTRAL + ABSORBING + NEGATION + REPEATED + POWERS + INVERSES + CONSTANTS + LOGIC + CASTS + SHAPES
)
