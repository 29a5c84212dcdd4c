"""Channels last: convolution and pooling of [batch, channels, height, width] between two transposes.

A backend whose kernels have channels in the lanes of vectors takes this pass. The transposes move towards the
results, through what works element by element, and meet the next layer's: a network of such layers is transposed
at its ends alone.
"""

from collections.abc import Callable

import attrs

from symgraph import ops
from symgraph.expr import Expr, apply
from symgraph.ir import Graph, Op
from symgraph.ops.base import Elementwise
from symgraph.ops.convolution import Conv2d, Conv2dInput, Conv2dKernel
from symgraph.ops.pooling import MaxPool2d, MaxPool2dGradient
from symgraph.ops.shape import Transpose
from symgraph.rewrite import Numerics, Pass, Rewritten, Rule, pattern, rule_pass
from symgraph.transforms.motion import RULES as MOTION

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_BOUND = 64.0  # ulp of the largest term: another order of summation


def channels_last_pass() -> Pass:
    """The pass that moves channels to the last axis, where an op has them before height and width."""
    inner = rule_pass("channels_last", [*RULES, *MOTION])

    def run(graph: Graph, numerics: Numerics) -> Rewritten:
        first = any(getattr(node.op, "layout", "") == "NCHW" for node in graph.nodes)
        return inner.apply(graph, numerics) if first else Rewritten(graph)

    return Pass("channels_last", run)


def _images_of(count: int, made: bool) -> Callable[[Expr], Expr]:
    """The op with its first `count` operands transposed, and its result back where that is `made` of images."""

    def replacement(out: Expr) -> Expr:
        last = attrs.evolve(out.op, layout="NHWC")  # type: ignore[call-arg]
        images = [ops.transpose(x, TO_LAST) for x in out.inputs[:count]]
        result = apply(last, *images, *out.inputs[count:])
        return ops.transpose(result, TO_FIRST) if made else result

    return replacement


def _is_first(out: Expr) -> bool:
    return getattr(out.op, "layout", "") == "NCHW"


def _turned(x: Expr, out: Expr) -> Expr | None:
    """An operand with channels last: one that was transposed, or a smaller one that broadcasts."""
    if isinstance(x.op, Transpose) and x.op.axes == TO_FIRST:
        return x.inputs[0]
    if x.shape == out.shape:
        return None
    return ops.transpose(ops.reshape(x, ((1,) * (4 - x.rank) + x.shape)), TO_LAST)


def _after_transpose(out: Expr) -> Expr | None:
    turned = [_turned(x, out) for x in out.inputs]
    operands = [x for x in turned if x is not None]
    if len(operands) < len(turned) or not any(x.rank == 4 for x in out.inputs):
        return None
    return ops.transpose(apply(out.op, *operands), TO_FIRST)


def _is_turned(out: Expr) -> bool:
    """Whether some operand was transposed, and no other fills the result."""
    full = [x for x in out.inputs if x.shape == out.shape]
    return (
        out.rank == 4
        and any(isinstance(x.op, Transpose) and x.op.axes == TO_FIRST for x in full)
        and all(isinstance(x.op, Transpose) and x.op.axes == TO_FIRST for x in full)
    )


_OPS: tuple[tuple[type[Op], int, bool], ...] = (
    (Conv2d, 1, True),
    (Conv2dInput, 1, True),
    (Conv2dKernel, 2, False),
    (MaxPool2d, 1, True),
    (MaxPool2dGradient, 3, True),
)
RULES: list[Rule] = [
    *(
        Rule(
            f"{op.name}-with-channels-last",
            pattern(op, bind="out"),
            _images_of(count, made),
            "reassociates",
            guard=_is_first,
            bound=_BOUND,
        )
        for op, count, made in _OPS
    ),
    Rule(
        "broadcast-with-channels-last",
        pattern(Elementwise, bind="out", among=(Transpose,)),
        _after_transpose,
        "reassociates",
        guard=_is_turned,
        bound=4.0,
    ),
]
