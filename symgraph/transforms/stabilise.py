"""Stabilisation: formulas that overflow or cancel become the ops that do neither.

They are recognised forwards (`log(1 + exp(z))` is softplus) and in what derivatives make of them: that of
the naive `log(1 + exp(z))` is `(g / (1 + exp(z))) * exp(z)`, inf * 0 where z is large, and becomes
`g * sigmoid(z)`. Products are looked at as wholes, in whatever order they are multiplied and divided.
"""

from collections.abc import Sequence

from symgraph import ops
from symgraph.expr import Expr, apply
from symgraph.ops.arithmetic import Add, Div, Mul, Neg, Reciprocal, Sub
from symgraph.ops.control import StopGradient
from symgraph.ops.nn import LogSoftmax, Softmax
from symgraph.ops.reduction import LogSumExp, Sum
from symgraph.ops.transcendental import Exp, Log, Log1p, Sigmoid, Softplus
from symgraph.rewrite import Pass, Rule, pattern, rule_pass
from symgraph.transforms import systems
from symgraph.transforms.products import (
    PARTS,
    exponentials,
    factors,
    has_exponential,
    opposite,
    partition,
    times,
    times_partition,
    without,
)


def stabilise_pass() -> Pass:
    """The pass that replaces formulas that overflow or cancel."""
    return rule_pass("stabilise", RULES)


def _reduction(e: Expr) -> tuple[tuple[int, ...], bool]:
    return e.op.axes, e.op.keepdims  # type: ignore[attr-defined]


LOGARITHMS: list[Rule] = [
    Rule(
        "log-one-plus-exp",
        pattern(Log, pattern(Add, 1.0, pattern(Exp, "z"))),
        lambda z: ops.softplus(z),
        "stabilises",
    ),
    Rule("log1p-exp", pattern(Log1p, pattern(Exp, "z")), lambda z: ops.softplus(z), "stabilises"),
    Rule("log-one-plus", pattern(Log, pattern(Add, 1.0, "x")), lambda x: ops.log1p(x), "stabilises"),
    Rule("exp-minus-one", pattern(Sub, pattern(Exp, "x"), 1.0), lambda x: ops.expm1(x), "stabilises"),
    Rule("exp-plus-minus-one", pattern(Add, pattern(Exp, "x"), -1.0), lambda x: ops.expm1(x), "stabilises"),
    Rule(
        "log-sigmoid",
        pattern(Log, pattern(Sigmoid, "z")),
        lambda z: ops.neg(ops.softplus(opposite(z))),
        "stabilises",
    ),
    Rule(
        "one-minus-sigmoid",
        pattern(Sub, 1.0, pattern(Sigmoid, "z")),
        lambda z: ops.sigmoid(opposite(z)),
        "stabilises",
    ),
    Rule(
        "sigmoid-minus-one",
        pattern(Sub, pattern(Sigmoid, "z"), 1.0),
        lambda z: ops.neg(ops.sigmoid(opposite(z))),
        "stabilises",
    ),
    Rule(
        "less-softplus",
        pattern(Sub, "z", pattern(Softplus, "z")),
        lambda z: ops.neg(ops.softplus(opposite(z))),
        "stabilises",
    ),
    Rule(
        "softplus-less",
        pattern(Sub, pattern(Softplus, "z"), "z"),
        lambda z: ops.softplus(opposite(z)),
        "stabilises",
    ),
]

# What the derivative of a hand-written sigmoid leaves.
COMPLEMENTS: list[Rule] = [
    Rule(
        "less-sigmoid-share",
        pattern(Sub, "x", pattern(Mul, "x", pattern(Sigmoid, "z"))),
        lambda x, z: x * ops.sigmoid(opposite(z)),
        "stabilises",
    ),
    Rule(
        "sigmoid-share-less",
        pattern(Sub, pattern(Mul, "x", pattern(Sigmoid, "z")), "x"),
        lambda x, z: ops.neg(x * ops.sigmoid(opposite(z))),
        "stabilises",
    ),
]


def _is_shift(m: Expr, axes: Sequence[int], rank: int) -> bool:
    """Whether `m` is one number along the axes of a tensor of `rank` axes."""
    missing = rank - m.rank
    return all(a < missing or m.shape[a - missing] == 1 for a in axes)


def _same_shift(m: Expr, n: Expr) -> bool:
    """Whether two shifts have one value: derivatives pass one of them, or neither."""
    m, n = (e.inputs[0] if isinstance(e.op, StopGradient) else e for e in (m, n))
    return m is n


SOFTMAX: list[Rule] = [
    Rule(
        "log-softmax",
        pattern(Log, pattern(Softmax, "z", bind="p")),
        lambda z, p: ops.log_softmax(z, p.op.axes),
        "stabilises",
    ),
    Rule(
        "exp-log-softmax",
        pattern(Exp, pattern(LogSoftmax, "z", bind="p")),
        lambda z, p: ops.softmax(z, p.op.axes),
        "stabilises",
    ),
    Rule(
        "log-sum-exp",
        pattern(Log, pattern(Sum, pattern(Exp, "z"), bind="s")),
        lambda z, s: apply(LogSumExp(*_reduction(s)), z),
        "stabilises",
    ),
    Rule(
        "shifted-logsumexp",
        pattern(Add, pattern(LogSumExp, pattern(Sub, "z", "m"), bind="s", keepdims=True), "n"),
        lambda z, m, n, s: apply(s.op, z),
        "stabilises",
        guard=lambda z, m, n, s: (
            _same_shift(m, n) and z.shape == s.inputs[0].shape and _is_shift(m, s.op.axes, z.rank)
        ),
    ),
    Rule(
        "less-logsumexp",
        pattern(Sub, "z", pattern(LogSumExp, "z", bind="s", keepdims=True)),
        lambda z, s: ops.log_softmax(z, s.op.axes),
        "stabilises",
    ),
    *(
        Rule(
            f"shifted-{op.name.replace('_', '-')}",
            pattern(op, pattern(Sub, "z", "m"), bind="p"),
            lambda z, m, p: apply(p.op, z),
            "stabilises",
            guard=lambda z, m, p: z.shape == p.shape and _is_shift(m, p.op.axes, z.rank),
        )
        for op in (Softmax, LogSoftmax)
    ),
]


def _is_candidate(out: Expr) -> bool:
    return has_exponential(out)


def _cancelled(out: Expr) -> Expr | None:
    """A product without a probability or an exponential that it multiplies by and divides by."""
    found = list(factors(out))
    below = {factor for factor, inverse in found if inverse}
    for factor, inverse in found:
        if not inverse and factor in below and isinstance(factor.op, Softmax | Sigmoid | Exp):
            rest = without(out, factor)
            return None if rest is None else without(rest, factor, inverse=True)
    return None


def _normalised_product(out: Expr) -> Expr | None:
    """exp(z) * T, where T is divided by what normalises exp(z)."""
    for left, right in (out.inputs, out.inputs[::-1]):
        for exponential in exponentials(left):
            found = times_partition(right, exponential)
            rest = without(left, exponential) if found is not None else None
            if found is not None and rest is not None:
                return times(times(rest, found[0]), found[1].normalised(exponential))
    return None


def _normalised_quotient(out: Expr) -> Expr | None:
    """exp(z) / S, and whatever else is multiplied and divided."""
    x, y = out.inputs
    for exponential in exponentials(x):
        rest = without(x, exponential)
        found = None if rest is None else times_partition(ops.div(rest, y), exponential)
        if found is not None:
            return times(found[0], found[1].normalised(exponential))
    return None


def _over_one_plus_exp(out: Expr) -> Expr | None:
    """Write g / (1 + exp(z)) as g * sigmoid(-z)."""
    for factor, inverse in factors(out):
        if not inverse or not isinstance(factor.op, Add):
            continue
        for exponential in factor.inputs:
            if isinstance(exponential.op, Exp) and partition(factor, exponential) is not None:
                rest = without(out, factor, inverse=True)
                if rest is not None:
                    return times(rest, ops.sigmoid(opposite(exponential.inputs[0])))
    return None


def _distributed(out: Expr) -> Expr | None:
    """Write p * (x / p + y) as x + p * y: the derivative of a function of log(p), where p may be 0."""
    for left, right in (out.inputs, out.inputs[::-1]):
        if not isinstance(right.op, Add | Sub):
            continue
        for p, inverse in factors(left):
            if inverse or not isinstance(p.op, Softmax | Sigmoid):
                continue
            parts = [without(term, p, inverse=True) for term in right.inputs]
            rest = without(left, p) if any(part is not None for part in parts) else None
            if rest is not None:
                terms = [t * p if part is None else part for t, part in zip(right.inputs, parts, strict=True)]
                return times(rest, apply(right.op, *terms))
    return None


PRODUCTS: list[Rule] = [
    *(
        Rule(
            f"cancel-in-{op.name}",
            pattern(op, bind="out", among=PARTS),
            _cancelled,
            "stabilises",
            guard=_is_candidate,
        )
        for op in (Mul, Div)
    ),
    Rule(
        "normalised-product",
        pattern(Mul, bind="out", among=PARTS),
        _normalised_product,
        "stabilises",
        guard=_is_candidate,
    ),
    Rule(
        "normalised-quotient",
        pattern(Div, bind="out", among=PARTS),
        _normalised_quotient,
        "stabilises",
        guard=_is_candidate,
    ),
    *(
        Rule(
            f"{op.name}-one-plus-exp",
            pattern(op, bind="out", among=PARTS),
            _over_one_plus_exp,
            "stabilises",
            guard=_is_candidate,
        )
        for op in (Div, Reciprocal)
    ),
    Rule(
        "probability-times-sum",
        pattern(Mul, bind="out", among=PARTS),
        _distributed,
        "stabilises",
        guard=_is_candidate,
    ),
]


def _cross_entropy(y: Expr, z: Expr, p: Expr, s: Expr) -> Expr | None:
    """sum(y * log_softmax(z)): minus the cross-entropy, summed over what other axes the sum has."""
    axes, _ = _reduction(s)
    (axis,) = p.op.axes  # type: ignore[attr-defined]
    loss = ops.softmax_cross_entropy(z, y, axis)
    others = tuple(a if a < axis else a - 1 for a in axes if a != axis)
    total = ops.sum(loss, others) if others else loss
    return ops.neg(ops.reshape(total, s.shape))


# One op for the cross-entropy of logits. Its error is within an ulp of the logit, not of the loss: labels
# that are close to 0 or 1, and neither, lose digits of a small loss. Infinite logits give NaN.
_WEIGHT = pattern(Sub, 1.0, "y")
CROSS_ENTROPY: list[Rule] = [
    Rule(
        "softmax-cross-entropy",
        pattern(Sum, pattern(Mul, "y", pattern(LogSoftmax, "z", bind="p"), bind="m"), bind="s"),
        lambda y, z, p, m, s: _cross_entropy(y, z, p, s),
        "stabilises",
        guard=lambda y, z, p, m, s: len(p.op.axes) == 1 and p.op.axes[0] in s.op.axes and m.shape == z.shape,
    ),
    Rule(
        "sigmoid-cross-entropy",
        pattern(
            Add,
            pattern(Mul, "y", pattern(Softplus, pattern(Neg, "z"))),
            pattern(Mul, _WEIGHT, pattern(Softplus, "z")),
        ),
        lambda y, z: ops.sigmoid_cross_entropy(z, y),
        "reassociates",
        bound=4.0,
    ),
    Rule(
        "negative-sigmoid-cross-entropy",
        pattern(
            Add,
            pattern(Mul, "y", pattern(Neg, pattern(Softplus, pattern(Neg, "z")))),
            pattern(Mul, _WEIGHT, pattern(Neg, pattern(Softplus, "z"))),
        ),
        lambda y, z: ops.neg(ops.sigmoid_cross_entropy(z, y)),
        "reassociates",
        bound=4.0,
    ),
    Rule(
        "sigmoid-cross-entropy-of-parts",
        pattern(
            Sub,
            pattern(Neg, pattern(Mul, "y", pattern(Softplus, pattern(Neg, "z")))),
            pattern(Mul, _WEIGHT, pattern(Softplus, "z")),
        ),
        lambda y, z: ops.neg(ops.sigmoid_cross_entropy(z, y)),
        "reassociates",
        bound=4.0,
    ),
]

RULES: list[Rule] = LOGARITHMS + COMPLEMENTS + SOFTMAX + PRODUCTS + CROSS_ENTROPY + systems.RULES
