"""Products with Jacobians and Hessians, and whole ones.

    vjp                    : Graph -> Graph      cotangent of an output  ->  cotangents of the targets
    jvp                    : Graph -> Graph      tangents of the targets ->  tangent of an output
    hessian_vector_product : Graph -> Graph      tangents of the targets ->  slope of the gradient along them
    jacobian, hessian      : Graph -> Graph      whole, for fixed shapes

Each adds outputs, and placeholders for what is multiplied; the result is a graph like any other. Only reverse
mode is built in: the map from a cotangent v to (∂y/∂x)ᵀ v is linear in v, so its own VJP is the map from a
tangent t to (∂y/∂x) t, whatever v is. An op therefore needs no forward rule.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from symgraph import ops
from symgraph.autodiff import Disconnected, backward, gradient_name, pull, target_names, with_outputs
from symgraph.define import lift
from symgraph.errors import GradientError, GraphError
from symgraph.expr import Expr, constant, describe, placeholder
from symgraph.ir import Graph, Placeholder
from symgraph.types import product

Names: TypeAlias = Iterable[str] | str | None
LARGEST = 4096  # passes over the graph that a whole Jacobian may take


def pushforward(
    of: Expr, wrt: Sequence[Expr], tangents: Sequence[Expr], disconnected: Disconnected = "error"
) -> Expr:
    """The tangent of `of` when those of `wrt` are `tangents`, of their types: forward mode on expressions.

    It is the VJP of a VJP; see the head of this module. Raises GradientError.

    >>> from symgraph.expr import placeholder
    >>> x, t = placeholder("x", (3,)), placeholder("t", (3,))
    >>> pushforward(ops.sin(x), [x], [t])
    <mul: f32[3]>
    """
    for target, tangent in zip(wrt, tangents, strict=True):
        if tangent.type != target.type:
            raise GradientError(
                f"the tangent is {tangent.type}, and what it is of is {target.type}",
                details=(describe(target), describe(tangent)),
            )
    cotangent = ops.zeros_like(of)  # its value does not matter, and is gone from the result
    return _push(backward(of, wrt, cotangent, disconnected), tangents, cotangent)


def _push(pulled: Sequence[Expr], tangents: Sequence[Expr], cotangent: Expr) -> Expr:
    """The VJP of the map from `cotangent` to `pulled`, applied to the tangents."""
    found = pull(pulled, tangents, [cotangent])
    return found[cotangent] if cotangent in found else ops.zeros_like(cotangent)


def vjp(
    graph: Graph,
    of: str,
    wrt: Names = None,
    *,
    cotangent: str | None = None,
    disconnected: Disconnected = "error",
) -> Graph:
    """The graph with the products of a cotangent and the Jacobians of an output added.

    `of` names a float output of any shape, `wrt` float placeholders, variables or outputs (all variables by
    default). The placeholder `cotangent`, by default `ct_OF`, of the type of the output, is fed; the outputs
    `vjp_OF/d_WRT` have the types of the targets. Costs about as much as two to three runs of the graph.
    Raises GradientError, GraphError.

    >>> from symgraph.define import define
    >>> x = placeholder("x", (3,))
    >>> graph = vjp(define(y=x * x), "y", "x")
    >>> sorted(graph.placeholders), graph["vjp_y/d_x"].type
    (['ct_y', 'x'], TensorType('f32[3]'))
    """
    exprs, ids, targets = _lifted(graph, of, wrt)
    fed = _fed(graph, exprs, cotangent or f"ct_{of}", exprs[graph[of].id])
    found = backward(exprs[graph[of].id], list(targets.values()), fed, disconnected, ids)
    return with_outputs(graph, exprs, {f"vjp_{of}/d_{n}": g for n, g in zip(targets, found, strict=True)})


def jvp(
    graph: Graph,
    of: str,
    wrt: Names = None,
    *,
    tangents: Mapping[str, str] | None = None,
    disconnected: Disconnected = "error",
) -> Graph:
    """The graph with the product of the Jacobian of an output and tangents added, as the output `jvp_OF`.

    `of` and `wrt` are as for `vjp`. `tangents` names the placeholder for the tangent of each target, by
    default `t_WRT`, of the target's type; the result has the type of the output. Forward mode is the VJP of a
    VJP; what it leaves costs about as much as two to three runs of the graph. Raises GradientError and
    GraphError.

    >>> from symgraph.define import define
    >>> x = placeholder("x", (3,))
    >>> graph = jvp(define(y=ops.sum(x * x)), "y", "x")
    >>> sorted(graph.placeholders), graph["jvp_y"].type
    (['t_x', 'x'], TensorType('f32[]'))
    """
    exprs, _, targets = _lifted(graph, of, wrt)
    directions = _directions(graph, exprs, targets, tangents)
    made = pushforward(exprs[graph[of].id], list(targets.values()), directions, disconnected)
    return with_outputs(graph, exprs, {f"jvp_{of}": made})


def hessian_vector_product(
    graph: Graph,
    of: str = "loss",
    wrt: Names = None,
    *,
    tangents: Mapping[str, str] | None = None,
    disconnected: Disconnected = "error",
) -> Graph:
    """The graph with the product of the Hessian of a scalar output and tangents added.

    `of` names a float scalar; `wrt` and `tangents` are as for `jvp`. The outputs `hvp_OF/d_WRT`, of the types
    of the targets, hold the rows of the Hessian that belong to each target, times all tangents: the gradient
    of the slope of `of` along the tangents. Never builds the Hessian: costs a few gradients. Where the
    gradient does not depend on a target the product is 0. Raises GradientError, GraphError.

    >>> from symgraph.define import define
    >>> x = placeholder("x", (3,))
    >>> graph = hessian_vector_product(define(loss=ops.sum(x ** 3.0)), wrt="x")
    >>> graph["hvp_loss/d_x"].type
    TensorType('f32[3]')
    """
    exprs, _, targets = _lifted(graph, of, wrt)
    directions = _directions(graph, exprs, targets, tangents)
    wanted = list(targets.values())
    first = backward(exprs[graph[of].id], wanted, disconnected=disconnected)
    found = pull(first, directions, wanted)
    products = {f"hvp_{of}/d_{n}": found[t] if t in found else ops.zeros_like(t) for n, t in targets.items()}
    return with_outputs(graph, exprs, products)


def jacobian(graph: Graph, of: str, wrt: Names = None, *, disconnected: Disconnected = "error") -> Graph:
    """The graph with whole Jacobians of an output added, as outputs named `d_OF/d_WRT`.

    `of` and `wrt` are as for `vjp`, with shapes that are numbers; a Jacobian has the output's shape, then the
    target's. One product is built for each element of the output, or for each element of the target where
    that has fewer; so the graph grows by as many copies of the gradient, at most 4096. For more use `vjp` or
    `jvp`, fed with what you need. Raises GradientError and GraphError.

    >>> from symgraph.define import define
    >>> x = placeholder("x", (3,))
    >>> jacobian(define(y=x[:2] * 2.0), "y", "x")["d_y/d_x"].type
    TensorType('f32[2,3]')
    """
    exprs, _, targets = _lifted(graph, of, wrt)
    y = exprs[graph[of].id]
    outputs = {
        gradient_name(of, name): _jacobian(y, target, disconnected) for name, target in targets.items()
    }
    return with_outputs(graph, exprs, outputs)


def _jacobian(y: Expr, x: Expr, disconnected: Disconnected) -> Expr:
    if _count(x) < _count(y):
        cotangent = ops.zeros_like(y)  # one pull, and a push for each column: see `pushforward`
        pulled = backward(y, [x], cotangent, disconnected)
        columns = [_push(pulled, [t], cotangent) for t in _basis(x)]
        stacked = _stack(columns, x, y)
        return ops.transpose(stacked, (*range(x.rank, x.rank + y.rank), *range(x.rank)))
    rows = [backward(y, [x], cotangent, disconnected)[0] for cotangent in _basis(y)]
    return _stack(rows, y, x)


def hessian(
    graph: Graph, of: str = "loss", wrt: Names = None, *, disconnected: Disconnected = "error"
) -> Graph:
    """The graph with the whole Hessian of a scalar output added, a block for each pair of targets.

    `of` names a float scalar, `wrt` targets of shapes that are numbers. The block `d2_OF/d_A/d_B` has the
    shape of A, then that of B. One Hessian-vector product is built for each element of the targets, at most
    4096 of each: for more use `hessian_vector_product`. Raises GradientError, GraphError.

    >>> from symgraph.define import define
    >>> x = placeholder("x", (3,))
    >>> hessian(define(loss=ops.sum(x ** 3.0)), wrt="x")["d2_loss/d_x/d_x"].type
    TensorType('f32[3,3]')
    """
    exprs, _, targets = _lifted(graph, of, wrt)
    wanted = list(targets.values())
    first = backward(exprs[graph[of].id], wanted, disconnected=disconnected)
    outputs: dict[str, Expr] = {}
    for a, target, slope in zip(targets, wanted, first, strict=True):
        rows = [backward(slope, wanted, e, "zero") for e in _basis(target)]
        for k, (b, other) in enumerate(targets.items()):
            outputs[f"d2_{of}/d_{a}/d_{b}"] = _stack([row[k] for row in rows], target, other)
    return with_outputs(graph, exprs, outputs)


def _count(x: Expr) -> int:
    count = product(x.shape)
    if not isinstance(count, int):
        raise GradientError(
            f"a whole Jacobian needs shapes that are numbers, and this is {x.type}",
            details=(describe(x),),
            hint="Declare it with a number for each size, or use symgraph.vjp or symgraph.jvp.",
        )
    return count


def _basis(x: Expr) -> Iterable[Expr]:
    """For each element of a tensor, in order, a tensor of its type that is 1 there and 0 elsewhere."""
    count = _count(x)
    if count > LARGEST:
        raise GradientError(
            f"this would take {count} products, one for each element of {x.type}, and {LARGEST} is the most",
            details=(describe(x),),
            hint="Feed what you need to symgraph.vjp, symgraph.jvp or symgraph.hessian_vector_product.",
        )
    for i in range(count):
        one = np.zeros(count, x.dtype)
        one[i] = 1
        yield constant(one.reshape(x.shape))


def _stack(rows: Sequence[Expr], y: Expr, x: Expr) -> Expr:
    """Tensors of the type of `x`, one for each element of `y`, as one of both shapes."""
    shape = (*y.shape, *x.shape)
    if not rows:
        return constant(np.zeros(shape, x.dtype))
    return ops.reshape(ops.stack(rows), shape)


def _lifted(graph: Graph, of: str, wrt: Names) -> tuple[list[Expr], dict[Expr, int], dict[str, Expr]]:
    """The nodes as expressions, their ids, and the targets by name."""
    exprs = lift(graph)
    targets = {name: exprs[graph[name].id] for name in target_names(graph, wrt)}
    graph[of]  # an unknown name is an error before anything is built
    return exprs, {expr: i for i, expr in enumerate(exprs)}, targets


def _directions(
    graph: Graph, exprs: Sequence[Expr], targets: Mapping[str, Expr], named: Mapping[str, str] | None
) -> list[Expr]:
    chosen = dict(named or {})
    if unknown := sorted(chosen.keys() - targets.keys()):
        raise GradientError(
            f"tangents names {unknown[0]!r}, which is not in wrt", hint=f"It has {', '.join(targets)}."
        )
    return [_fed(graph, exprs, chosen.get(n, f"t_{n}"), target) for n, target in targets.items()]


def _fed(graph: Graph, exprs: Sequence[Expr], label: str, like: Expr) -> Expr:
    """A placeholder of the type of `like`; that of the graph where it has one of this name and type."""
    if not like.type.is_float:
        raise GradientError(f"{describe(like)}: only a float has a derivative", hint="Cast it first.")
    op = Placeholder(label, like.type)
    known = graph.placeholders.get(label)
    if known is not None and known.op == op:
        return exprs[known.id]
    if known is not None or label in graph.variables or label in dict(graph.outputs):
        raise GraphError(
            f"the graph has the name {label!r} already, and it is no placeholder of type {like.type}",
            hint="Name the placeholder for the cotangent or the tangent yourself.",
        )
    return placeholder(label, like.shape, like.dtype)
