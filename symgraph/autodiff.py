"""Derivatives: reverse mode over expressions, and what is made of it.

    backward : Expr (scalar or with a cotangent) -> (Expr,) -> (Expr,)
    gradient : Graph -> Graph                       the same nodes, with outputs for the gradients added

The adjoint of a node is the sum of what its consumers' VJPs give it. Adjoints are expressions like any others, so
a gradient graph prints, optimises, and is differentiated again. What no gradient needs is never in the graph:
`define` keeps what outputs reach.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from symgraph import ops
from symgraph.errors import GradientError
from symgraph.expr import Expr, describe, lift, rebuild
from symgraph.ir import Graph
from symgraph.origin import Origin, made_by, relative

Disconnected = Literal["error", "zero"]


def topological(roots: Iterable[Expr]) -> list[Expr]:
    """All expressions that the roots depend on, operands first; iterative, for any depth."""
    order: list[Expr] = []
    seen: set[Expr] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            expr, done = stack.pop()
            if done:
                order.append(expr)
            elif expr not in seen:
                seen.add(expr)
                stack.append((expr, True))
                stack.extend((operand, False) for operand in reversed(expr.inputs))
    return order


def backward(
    of: Expr,
    wrt: Sequence[Expr],
    cotangent: Expr | None = None,
    disconnected: Disconnected = "error",
    ids: Mapping[Expr, int] | None = None,
) -> tuple[Expr, ...]:
    """The cotangents of `wrt`, given that of `of` (1 by default, for a scalar).

    `ids` are the nodes' ids in the graph that is differentiated, for the provenance of the adjoints.
    Raises GradientError when `of` is no float scalar (and no cotangent is given), when a target is no float,
    or when `of` does not depend on one, unless `disconnected="zero"`.
    """
    _check(of, wrt, cotangent)
    order = topological([of])
    targets = set(wrt)
    # Only nodes that lie on a path from a target matter.
    active: set[Expr] = set()
    for expr in order:
        if expr in targets or any(operand in active for operand in expr.inputs):
            active.add(expr)
    with made_by(_origin(of, "seed", ids)):
        adjoint: dict[Expr, Expr] = {of: ops.ones_like(of) if cotangent is None else cotangent}
    kept: dict[Expr, Expr] = {}
    for expr in reversed(order):
        g = adjoint.pop(expr, None)
        if g is None:
            continue
        if expr in targets:
            kept[expr] = g
        if expr not in active or not expr.inputs:
            continue
        with made_by(_origin(expr, f"vjp {expr.op.name}", ids)):
            for operand, part in zip(expr.inputs, expr.op.vjp(g, expr, *expr.inputs), strict=True):
                if part is None or operand not in active or not operand.type.is_float:
                    continue
                known = adjoint.get(operand)
                adjoint[operand] = part if known is None else ops.add(known, part)
    missing = [target for target in wrt if target not in kept]
    if missing and disconnected == "error":
        raise _disconnected(of, missing[0], order)
    return tuple(kept[t] if t in kept else ops.zeros_like(t) for t in wrt)


def _origin(expr: Expr, rule: str, ids: Mapping[Expr, int] | None) -> Origin:
    of = (ids[expr],) if ids is not None and expr in ids else ()
    return Origin(expr.origin.sources, expr.origin.scope, rule, of)


def _check(of: Expr, wrt: Sequence[Expr], cotangent: Expr | None) -> None:
    if not of.type.is_float:
        raise GradientError(f"{describe(of)}: only a float has a gradient", hint="Cast it to a float first.")
    if cotangent is None and of.shape != ():
        raise GradientError(
            f"the gradient is of a scalar, and this is {of.type}",
            details=(describe(of),),
            hint="Take its mean or sum first, or give a cotangent (symgraph.vjp), or use symgraph.jacobian.",
        )
    if cotangent is not None and cotangent.type != of.type:
        raise GradientError(f"the cotangent is {cotangent.type}, and what is differentiated is {of.type}")
    for target in wrt:
        if not target.type.is_float:
            raise GradientError(
                f"a gradient is with respect to floats, and this is {target.type}", details=(describe(target),)
            )


def _disconnected(of: Expr, target: Expr, order: Sequence[Expr]) -> GradientError:
    """Say whether there is no path at all, or where the paths that there are end."""
    reached: set[Expr] = set()
    for expr in order:
        if expr is target or any(operand in reached for operand in expr.inputs):
            reached.add(expr)
    if target not in reached:
        return GradientError(
            "what is differentiated does not depend on what it is differentiated by: no path leads from "
            f"{getattr(target.op, 'label', target.op.name)!r} to it",
            details=(describe(target), describe(of)),
            hint='Leave it out of wrt, or ask for disconnected="zero".',
        )
    blocks = []
    for expr in order:
        if expr in reached and expr.inputs:
            with made_by(expr.origin):
                seed = ops.ones_like(expr) if expr.type.is_float else None
                parts = expr.op.vjp(seed, expr, *expr.inputs) if seed is not None else (None,) * len(expr.inputs)
            if all(p is None or o not in reached for p, o in zip(parts, expr.inputs, strict=True)):
                blocks.append(expr)
    places = tuple(
        f"{block.op.name} stops it"
        + (f" at {relative(block.origin.sources[0].file)}:{block.origin.sources[0].line}" if block.origin.sources else "")
        for block in blocks[:3]
    )
    return GradientError(
        f"no gradient reaches {getattr(target.op, 'label', target.op.name)!r}: every path goes through an "
        "operation without a derivative",
        details=(describe(target), *places),
        hint='Leave it out of wrt, or ask for disconnected="zero".',
    )


def gradient_name(of: str, wrt: str) -> str:
    """The name of the output that `gradient` adds.

    >>> gradient_name("loss", "w")
    'd_loss/d_w'
    """
    return f"d_{of}/d_{wrt}"


def gradient(
    graph: Graph, of: str = "loss", wrt: Iterable[str] | str | None = None, *, disconnected: Disconnected = "error"
) -> Graph:
    """The graph with the gradients of a scalar output added, as outputs named `d_OF/d_WRT`.

    `of` is the name of a float scalar; `wrt` names float placeholders, variables or outputs (all variables by
    default). The nodes of `graph` keep their ids. Raises GradientError, GraphError.

    >>> from symgraph.expr import define, variable
    >>> w = variable("w", (3,))
    >>> graph = gradient(define(loss=ops.sum(w * w)))
    >>> graph["d_loss/d_w"].type
    TensorType('f32[3]')
    """
    names = _names(graph, wrt)
    exprs = lift(graph)
    ids = {expr: i for i, expr in enumerate(exprs)}
    targets = [exprs[graph[name].id] for name in names]
    found = backward(exprs[graph[of].id], targets, disconnected=disconnected, ids=ids)
    return rebuild(graph, exprs, {gradient_name(of, n): g for n, g in zip(names, found, strict=True)})[0]


def _names(graph: Graph, wrt: Iterable[str] | str | None) -> tuple[str, ...]:
    names = tuple(graph.variables) if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
    if not names:
        raise GradientError("there is nothing to differentiate by: the graph has no variables", hint="Name wrt.")
    if len(set(names)) != len(names):
        raise GradientError(f"wrt names something twice: {', '.join(names)}")
    return names
