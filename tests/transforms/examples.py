"""An example for every rule: made from its pattern where that says all, else written here by the rule's name."""

import itertools
from collections.abc import Callable, Sequence

import attrs
import numpy as np

from symgraph import ops
from symgraph.define import define
from symgraph.expr import Expr, apply, constant, placeholder
from symgraph.ir import Graph
from symgraph.ops.base import Elementwise
from symgraph.ops.logic import Cast
from symgraph.ops.shape import BroadcastTo, Concatenate, Reshape
from symgraph.ops.slicing import Pad, Slice
from symgraph.rewrite import Pattern, Rule, rewrite, rules_rewriter
from symgraph.transforms import canonicalise, matmul, motion, stabilise

RULES: dict[str, Sequence[Rule]] = {
    "stabilise": stabilise.RULES,
    "canonicalise": canonicalise.RULES,
    "matmul": matmul.RULES,
    "motion": motion.RULES,
}
DTYPES = ("float32", "float64", "int32", "int64", "bool")
NUMBERS = (3.0, -5.0, 0.25)  # for captures that the guard wants to be constants


@attrs.frozen(eq=False)
class Example:
    """A graph that a rule rewrites, and what it becomes."""

    rule: Rule
    before: Graph
    after: Graph
    dtype: str


Builder = Callable[[Callable[..., Expr]], Expr]


def _softmax(z: Expr, axis: int = -1) -> Expr:
    e = ops.exp(z)
    return e / ops.sum(e, axis, keepdims=True)


# `t(name, shape)` is a placeholder of the dtype under test.
WRITTEN: dict[str, Builder] = {
    # stabilise
    "shifted-logsumexp": lambda t: (lambda z, m: ops.logsumexp(z - m, 1, keepdims=True) + m)(
        t("z", (2, 3)), ops.max(t("z", (2, 3)), 1, keepdims=True)
    ),
    "less-logsumexp": lambda t: t("z", (2, 3)) - ops.logsumexp(t("z", (2, 3)), 1, keepdims=True),
    "log-sum-exp": lambda t: ops.log(ops.sum(ops.exp(t("z", (2, 3))), 1)),
    "log-softmax": lambda t: ops.log(ops.softmax(t("z", (2, 3)))),
    "exp-log-softmax": lambda t: ops.exp(ops.log_softmax(t("z", (2, 3)))),
    "shifted-softmax": lambda t: ops.softmax(t("z", (2, 3)) - ops.max(t("z", (2, 3)), -1, keepdims=True)),
    "shifted-log-softmax": lambda t: ops.log_softmax(
        t("z", (2, 3)) - ops.max(t("z", (2, 3)), -1, keepdims=True)
    ),
    "cancel-in-mul": lambda t: t("g", (6,)) / ops.sigmoid(t("z", (6,))) * ops.sigmoid(t("z", (6,))),
    "cancel-in-div": lambda t: t("g", (6,)) * ops.exp(t("z", (6,))) / ops.exp(t("z", (6,))),
    "normalised-product": lambda t: t("g", (6,)) / (1.0 + ops.exp(t("z", (6,)))) * ops.exp(t("z", (6,))),
    "normalised-quotient": lambda t: _softmax(t("z", (2, 3))),
    "div-one-plus-exp": lambda t: t("g", (6,)) / (1.0 + ops.exp(t("z", (6,)))),
    "reciprocal-one-plus-exp": lambda t: ops.reciprocal(1.0 + ops.exp(-t("z", (6,)))),
    "probability-times-sum": lambda t: (
        (t("g", (2, 3)) / ops.softmax(t("z", (2, 3))) - t("h", (2, 1))) * ops.softmax(t("z", (2, 3)))
    ),
    "softmax-cross-entropy": lambda t: ops.sum(t("y", (2, 3)) * ops.log_softmax(t("z", (2, 3))), 1),
    "inverse-times": lambda t: ops.inverse(t("a", (3, 3))) @ t("b", (3, 2)),
    "times-inverse": lambda t: t("b", (2, 3)) @ ops.inverse(t("a", (3, 3))),
    "log-determinant": lambda t: ops.log(ops.determinant(t("a", (3, 3)))),
    "log-of-determinants-magnitude": lambda t: ops.log(ops.abs(ops.determinant(t("a", (3, 3))))),
    # canonicalise: casts and shapes
    "cast-of-cast": lambda t: ops.cast(ops.cast(t("x", (6,)), "float64"), "int32"),
    "cast-to-itself": lambda t: apply(Cast(t("x", (6,)).dtype), t("x", (6,))),
    "transpose-of-transpose": lambda t: ops.transpose(ops.transpose(t("x", (2, 3, 4)), (1, 2, 0)), (1, 0, 2)),
    "transpose-of-units": lambda t: ops.transpose(t("x", ("n", 1, 3)), (1, 0, 2)),
    "reshape-of-reshape": lambda t: ops.reshape(ops.reshape(t("x", (2, 6)), (3, 4)), (12,)),
    "reshape-to-itself": lambda t: apply(Reshape((2, 3)), t("x", (2, 3))),
    "broadcast-of-broadcast": lambda t: ops.broadcast_to(ops.broadcast_to(t("x", (3,)), (2, 3)), (4, 2, 3)),
    "broadcast-to-itself": lambda t: apply(BroadcastTo((2, 3)), t("x", (2, 3))),
    "broadcast-of-new-axes": lambda t: ops.broadcast_to(ops.reshape(t("x", (3,)), (1, 1, 3)), (2, "n", 3)),
    "slice-of-slice": lambda t: t("x", (9, 4))[1:9:2, 1:][1:3, ::2],
    "slice-of-all": lambda t: apply(Slice((0, 0), (2, 3), (1, 1)), t("x", (2, 3))),
    "slice-of-concatenation": lambda t: ops.concatenate([t("x", (2, 3)), t("y", (4, 3))])[3:6, :2],
    "flip-of-flip": lambda t: ops.flip(ops.flip(t("x", (2, 3)), 0), (0, 1)),
    "concatenate-one": lambda t: apply(Concatenate(0), t("x", (2, 3))),
    "concatenate-of-concatenate": lambda t: ops.concatenate(
        [t("x", (2, 3)), ops.concatenate([t("y", (1, 3)), t("x", (2, 3))])]
    ),
    "pad-by-nothing": lambda t: apply(Pad((0, 0), (2, 3), (1, 1)), t("x", (2, 3)), t("v", ())),
    "reshape-of-one-number": lambda t: ops.reshape(ops.broadcast_to(t("x", (1, 1)), (2, "n")), ("n", 2)),
    "transpose-of-one-number": lambda t: ops.transpose(ops.broadcast_to(t("x", ()), (2, 3))),
    "slice-of-one-number": lambda t: ops.broadcast_to(t("x", (1,)), (2, 3))[1:, :2],
    "flip-of-one-number": lambda t: ops.flip(ops.broadcast_to(t("x", ()), (2, 3))),
    "reshape-of-reduction": lambda t: ops.reshape(ops.sum(t("x", (2, 3)), 1), (2, 1)),
    # matmul
    "transpose-into-left": lambda t: ops.matmul(ops.transpose(t("x", (3, 2))), t("y", (3, 4))),
    "transpose-into-right": lambda t: ops.matmul(t("x", (2, 3)), ops.transpose(t("y", (4, 3)))),
    "transpose-of-product": lambda t: ops.transpose(ops.matmul(t("x", (2, 3)), t("y", (3, 4)))),
    "scale-of-left": lambda t: ops.matmul(t("x", (6, 3)) * 3.0, t("y", (3, 1))),
    "scale-of-right": lambda t: ops.matmul(t("x", (1, 3)), t("y", (3, 6)) * 3.0),
    "scale-of-result": lambda t: ops.matmul(t("x", (6, 1)), t("y", (1, 6))) * 3.0,
    # motion
    "broadcast-of-operand": lambda t: ops.broadcast_to(t("x", (3,)), (2, 3)) + t("y", (2, 3)),
    "broadcast-of-all-operands": lambda t: ops.exp(ops.broadcast_to(t("x", (3,)), (2, 3))),
    "sum-of-neg": lambda t: ops.sum(-t("x", (2, 3)), 1),
    "sum-of-scaled": lambda t: ops.sum(t("x", (2, 3)) * 0.3, 1),
    "sum-of-enlarged": lambda t: ops.sum(t("x", (2, 3)) * 3.0, 1),
    "sum-of-scaled-integers": lambda t: ops.sum(t("x", (2, 3)) * 3, 1),
    "sum-of-reshape": lambda t: ops.sum(ops.reshape(t("x", (2, 3)), (6,))),
    "transpose-of-operands": lambda t: ops.transpose(t("x", (2, 3))) - 1.0 * ops.transpose(t("y", (2, 3))),
    "transpose-of-arguments": lambda t: ops.exp(ops.transpose(t("x", (2, 3)))),
}
WRITTEN["transpose-of-integer-product"] = WRITTEN["transpose-of-product"]
WRITTEN["transpose-of-moved-transpose"] = WRITTEN["transpose-of-transpose"]
WRITTEN["sum-of-neg-integers"] = WRITTEN["sum-of-neg"]
for _name in ("sum", "prod", "max", "min", "any", "all"):
    _function = getattr(ops, _name)
    WRITTEN[f"{_name}-of-{_name}"] = lambda t, f=_function: f(f(t("x", (2, 3, 4)), 1), 0)
    WRITTEN[f"{_name}-of-{_name}-integers"] = WRITTEN[f"{_name}-of-{_name}"]
    WRITTEN[f"{_name}-over-units"] = lambda t, f=_function: f(t("x", (2, 1, 3)), 1)
    WRITTEN[f"{_name}-over-units-integers"] = WRITTEN[f"{_name}-over-units"]
    WRITTEN[f"{_name}-of-broadcast"] = lambda t, f=_function: f(ops.broadcast_to(t("x", (3,)), (4, 3)), 0)
    WRITTEN[f"{_name}-of-broadcast-integers"] = WRITTEN[f"{_name}-of-broadcast"]
    WRITTEN[f"{_name}-of-transpose"] = lambda t, f=_function: f(ops.transpose(t("x", (2, 3))), 1)
    WRITTEN[f"{_name}-of-transpose-integers"] = WRITTEN[f"{_name}-of-transpose"]


def examples(rule: Rule, dtypes: Sequence[str] = DTYPES) -> list[Example]:
    """The rule at work, for each dtype that it takes; the first of the forms that it rewrites."""
    found = []
    for dtype in dtypes:
        for before in _candidates(rule, dtype):
            done = rewrite(before, rules_rewriter([rule]), "test")
            if done.rows:
                found.append(Example(rule, before, done.graph, dtype))
                break
    return found


def _candidates(rule: Rule, dtype: str) -> list[Graph]:
    builder = WRITTEN.get(rule.name)
    leaves: dict[str, Expr] = {}

    def leaf(name: str, shape: Sequence[int | str], kind: str = dtype) -> Expr:
        return leaves.setdefault(name, placeholder(name, tuple(shape), kind))

    graphs = []
    if builder is not None:
        builders = [lambda: builder(leaf)]
    else:
        builders = [lambda made=made: instance(rule.pattern, made) for made in _captures(rule.pattern, dtype)]
    for build in builders:
        try:
            graphs.append(define(out=build()))
        except Exception:
            continue
    return graphs


def captures(pattern: Pattern) -> list[str]:
    """The names that a pattern's operands capture."""
    parts = [
        [o] if isinstance(o, str) else captures(o) if isinstance(o, Pattern) else [] for o in pattern.operands
    ]
    return list(dict.fromkeys(itertools.chain(*parts)))


def _captures(pattern: Pattern, dtype: str) -> list[dict[str, Expr]]:
    """Placeholders for all captures; then numbers for those that rules want to be constants, c and d."""
    names = captures(pattern)
    shape = ("n",)
    leaves = {n: placeholder(n, shape, dtype) for n in names}
    truth = {**leaves, **({"c": placeholder("c", shape, "bool")} if "c" in names else {})}
    whole = np.dtype(dtype).kind != "f"
    made = [leaves, truth] if "c" in leaves else [leaves]
    if np.dtype(dtype).kind != "b":
        for number in NUMBERS:
            given = {
                n: constant(np.asarray(int(number) if whole else number, dtype)) for n in names if n in "cd"
            }
            made.append({**leaves, **given})
    return made


def instance(pattern: Pattern, leaves: dict[str, Expr]) -> Expr:
    """An expression that a pattern of elementwise ops matches."""
    known: list[Expr | None] = [
        leaves[o] if isinstance(o, str) else instance(o, leaves) if isinstance(o, Pattern) else None
        for o in pattern.operands
    ]
    dtype = next((e.dtype for e in known if e is not None), np.dtype("float32"))
    operands = [
        e if e is not None else constant(np.asarray(o).astype("bool" if isinstance(o, bool) else dtype))
        for e, o in zip(known, pattern.operands, strict=True)
    ]
    assert issubclass(pattern.op, Elementwise)
    return apply(pattern.op(), *operands)
