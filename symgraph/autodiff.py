"""Derivatives: reverse mode over expressions, and what is made of it.

    pull     : results, their cotangents -> {target: its cotangent}
    backward : the same for one result, checked; its cotangent is 1 by default
    gradient : Graph -> Graph                       the same nodes, with outputs for the gradients added

The adjoint of a node is the sum of what its consumers' VJPs give it. Adjoints are expressions like any other,
so a gradient graph prints, optimises, and is differentiated again. What no gradient needs is never in the
graph: `define` keeps what outputs reach. Further derivatives are in `symgraph.derivatives`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from symgraph import ops
from symgraph.collector import paused
from symgraph.contracts import operand_cotangents
from symgraph.define import body, lift, rebuild
from symgraph.errors import GradientError, GraphError
from symgraph.expr import Expr, describe
from symgraph.ir import Graph, leaf_name, require_graph
from symgraph.origin import Origin, made_by, relative

Disconnected = Literal["error", "zero"]


def topological(roots: Iterable[Expr], known: Iterable[Expr] = ()) -> list[Expr]:
    """All expressions that the roots depend on, operands first, without what is `known` and what leads to that;
    iterative, for any depth.
    """
    order: list[Expr] = []
    seen = set(known)
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


def replaced(
    values: Sequence[Expr], swaps: Mapping[Expr, Expr], known: Iterable[Expr] = ()
) -> tuple[Expr, ...]:
    """The same values with leaves replaced; what is `known` has none of them, nor has what leads to it."""
    mapped = dict(swaps)
    for expr in topological(values, known):
        if not mapped.keys().isdisjoint(expr.inputs):
            inputs = tuple([mapped.get(operand, operand) for operand in expr.inputs])
            mapped[expr] = Expr(expr.op, inputs, expr.type, expr.origin)
    return tuple(mapped.get(value, value) for value in values)


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
    if cotangent is None:
        with made_by(_origin(of, "seed", ids)):
            cotangent = ops.ones_like(of)
    kept = pull((of,), (cotangent,), wrt, ids)
    missing = [target for target in wrt if target not in kept]
    if missing and disconnected == "error":
        raise _disconnected(of, missing[0], topological([of]))
    return tuple(kept[t] if t in kept else ops.zeros_like(t) for t in wrt)


def pull(
    of: Sequence[Expr],
    cotangents: Sequence[Expr],
    wrt: Iterable[Expr],
    ids: Mapping[Expr, int] | None = None,
    made: dict[Expr, tuple[Expr | None, ...]] | None = None,
) -> dict[Expr, Expr]:
    """The cotangents of those of `wrt` that one is reached from, given those of several results.

    Results and cotangents are floats, pairwise of one type; that is not checked. `made`, where it is given, is filled
    with what the VJP of each expression gave for its operands.
    """
    order = topological(of)
    targets = set(wrt)
    # Only nodes that lie on a path from a target matter.
    active: set[Expr] = set()
    for expr in order:
        if expr in targets or any(operand in active for operand in expr.inputs):
            active.add(expr)
    adjoint: dict[Expr, Expr] = {}
    for root, cotangent in zip(of, cotangents, strict=True):
        adjoint[root] = cotangent if root not in adjoint else ops.add(adjoint[root], cotangent)
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
            parts = operand_cotangents(expr, g)
            if made is not None:
                made[expr] = parts
            for operand, part in zip(expr.inputs, parts, strict=True):
                if part is None or operand not in active or not operand.type.is_float:
                    continue
                known = adjoint.get(operand)
                adjoint[operand] = part if known is None else ops.add(known, part)
    return kept


def _origin(expr: Expr, rule: str, ids: Mapping[Expr, int] | None) -> Origin:
    of = (ids[expr],) if ids is not None and expr in ids else ()
    return Origin(expr.origin.sources, expr.origin.scope, rule, of)


def _check(of: Expr, wrt: Sequence[Expr], cotangent: Expr | None) -> None:
    if not of.type.is_float:
        raise GradientError(
            f"only a float has a gradient, and this is {of.type}",
            details=(describe(of),),
            hint="Cast it to a float first: symgraph.cast(x, 'float32').",
        )
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
                f"a gradient is with respect to floats, and this is {target.type}",
                details=(describe(target),),
                hint="Declare it with a float dtype, or leave it out of wrt.",
            )


def _disconnected(of: Expr, target: Expr, order: Sequence[Expr]) -> GradientError:
    """Say that there is no path, or which path there is and what stops the gradient on it."""
    came_from: dict[Expr, Expr | None] = {
        target: None
    }  # by which operand a gradient would go back to the target
    stops: dict[Expr, Expr] = {}  # what depends on the target, and passes nothing back to it
    for expr in order:
        reached = [operand for operand in expr.inputs if operand in came_from]
        if not reached or expr is target:
            continue
        passing = _passing(expr)
        open_ = next((operand for operand in reached if operand in passing), None)
        if open_ is None:
            stops[expr] = reached[0]
        else:
            came_from[expr] = open_
    label = leaf_name(target.op) or target.op.name
    hint = 'Leave it out of wrt, or ask for disconnected="zero".'
    if not stops:
        return GradientError(
            "what is differentiated does not depend on what it is differentiated by: no path leads from "
            f"{label!r} to it",
            details=(describe(target), describe(of)),
            hint=hint,
        )
    paths = tuple(
        f"{_path(came_from, before)} > {_step(stop)}, which has no derivative"
        for stop, before in list(stops.items())[:3]
    )
    return GradientError(
        f"no gradient reaches {label!r}: every path goes through an operation without a derivative",
        details=(describe(target), *paths),
        hint=hint,
    )


def _passing(expr: Expr) -> set[Expr]:
    """The operands that an expression passes a cotangent back to."""
    if not expr.type.is_float:
        return set()
    with made_by(expr.origin):
        parts = operand_cotangents(expr, ops.ones_like(expr))
    pairs = zip(expr.inputs, parts, strict=True)
    return {operand for operand, part in pairs if part is not None and operand.type.is_float}


def _path(came_from: Mapping[Expr, Expr | None], end: Expr) -> str:
    """The steps from the target to `end`, the middle of a long way left out."""
    steps: list[Expr] = []
    expr: Expr | None = end
    while expr is not None:
        steps.append(expr)
        expr = came_from[expr]
    names = [_step(one) for one in reversed(steps)]
    return " > ".join(
        names if len(names) <= 6 else [*names[:2], f"... {len(names) - 4} more ...", *names[-2:]]
    )


def _step(expr: Expr) -> str:
    sources = expr.origin.sources
    where = f" ({relative(sources[0].file)}:{sources[0].line})" if sources else ""
    return f"{getattr(expr.op, 'label', expr.op.name)}{where}"


def gradient_name(of: str, wrt: str) -> str:
    """The name of the output that `gradient` adds; that of a derivative of a derivative has parentheses.

    >>> gradient_name("loss", "w"), gradient_name("d_loss/d_w", "b")
    ('d_loss/d_w', 'd_(d_loss/d_w)/d_b')
    """
    return f"d_{_enclosed(of)}/d_{_enclosed(wrt)}"


def _enclosed(name: str) -> str:
    return f"({name})" if "/d_" in name else name


def gradient(
    graph: Graph,
    of: str = "loss",
    wrt: Iterable[str] | str | None = None,
    *,
    disconnected: Disconnected = "error",
) -> Graph:
    """The graph with the gradients of a scalar output added, as outputs named `d_OF/d_WRT`.

    `of` is the name of a float scalar; `wrt` names float placeholders, variables or outputs (all variables by
    default): by an output it is the derivative with all that leads to the output held. What `graph` computes,
    and its updates, stay, and the nodes that its outputs need keep their ids. Asking for what is there
    already gives an equal graph. Raises GradientError, and GraphError for a name that another node has.

    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> w = variable("w", (3,))
    >>> graph = gradient(define(loss=ops.sum(w * w)))
    >>> graph["d_loss/d_w"].type
    TensorType('f32[3]')
    """
    require_graph(graph, "gradient")
    if disconnected not in ("error", "zero"):
        raise GradientError(f"disconnected is 'error' or 'zero', and {disconnected!r} is neither")
    names = target_names(graph, wrt)
    with paused(len(graph)):
        exprs = lift(graph)
        ids = {expr: i for i, expr in enumerate(exprs)}
        targets = [exprs[graph[name].id] for name in names]
        found = backward(exprs[graph[of].id], targets, disconnected=disconnected, ids=ids)
        return with_outputs(
            graph, exprs, {gradient_name(of, n): g for n, g in zip(names, found, strict=True)}
        )


def with_outputs(graph: Graph, exprs: Sequence[Expr], outputs: Mapping[str, Expr]) -> Graph:
    """The graph that `exprs` were lifted from, with outputs added.

    One that is there already may be given again; raises GraphError where its name is that of another node.
    """
    made, _ = rebuild(graph, exprs, outputs)
    known = dict(graph.outputs)
    for name in outputs.keys() & known.keys():
        if body({name: outputs[name]}) != body({name: exprs[known[name]]}):
            raise GraphError(
                f"the graph has an output {name!r} already, and it is another node",
                hint="Give that output another name.",
            )
    return made


def target_names(graph: Graph, wrt: Iterable[str] | str | None) -> tuple[str, ...]:
    """The names to differentiate by, all variables by default; raises GradientError for none or a repeat."""
    if wrt is None:
        names: tuple[str, ...] = tuple(graph.variables)
    else:
        listed: Any = (wrt,) if isinstance(wrt, str | Expr) or not isinstance(wrt, Iterable) else wrt
        names = tuple(listed)
    if not names:
        raise GradientError(
            "there is nothing to differentiate by: "
            + ("the graph has no variables" if wrt is None else "wrt names nothing"),
            hint="Name what to differentiate by: gradient(graph, 'loss', ['w']).",
        )
    if len(set(names)) != len(names):
        raise GradientError(f"wrt names something twice: {', '.join(names)}")
    return names
