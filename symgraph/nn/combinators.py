"""Layers made of layers: one after the other, side by side, around, under a name.

`sequential` adds no scope, so it is associative: `sequential(a, sequential(b, c))` and `sequential(a, b, c)` declare
the same parameters and make the same graph, and `sequential()` does nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import attrs

from symgraph import ops
from symgraph import origin as provenance
from symgraph.build import Build, BuildState, do, run, scope, state
from symgraph.errors import GraphError, ShapeError
from symgraph.expr import Expr, describe
from symgraph.nn.layer import Body, Layer, LayerLike, Output, State, as_layer, at, combinator, label, layer
from symgraph.nn.states import KEY, extended
from symgraph.ops.base import as_float
from symgraph.persistent import PersistentMap
from symgraph.types import show_shape
from symgraph.values import shown

Join: TypeAlias = str | Callable[..., Expr]


@combinator
def sequential(*layers: LayerLike) -> Body:
    """Layers one after the other; a plain function of an expression, or one decorated with do, is a layer too.

    Each has a scope of its own, named after it: `dense`, `dense_1`, ... The state is that of all. Raises GraphError
    for what is no layer.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> from symgraph.nn.layers import dense
    >>> network = sequential(dense(512, ops.relu), dense(10), ops.softmax)
    >>> network
    sequential(dense(512, relu), dense(10), softmax)
    >>> output, after = run(network(placeholder("x", ("batch", 784))))
    >>> output.value, list(after.parameters)
    (<softmax: f32[batch,10]>, ['dense/w', 'dense/b', 'dense_1/w', 'dense_1/b'])
    """
    listed = tuple(as_layer(one, "sequential") for one in layers)

    @do
    def body(x: Expr) -> Any:
        states: dict[Expr, Expr] = {}
        for one in listed:
            x, state = yield from one(x)
            states.update(state)
        return Output(x, states)

    return body


@combinator
def named(name: str, layer: LayerLike) -> Body:
    """The layer in the scope `name`, in the place of one that is named after the layer.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> from symgraph.nn.layers import dense
    >>> hidden = named("hidden", dense(64))
    >>> hidden, list(run(hidden(placeholder("x", ("batch", 8))))[1].parameters)
    (named('hidden', dense(64)), ['hidden/w', 'hidden/b'])
    """
    inner = as_layer(layer, "named")
    scope(name, state(lambda now: (None, now)))  # checks the name

    return lambda x: scope(name, inner.inside(x))


@combinator
def shared(name: str, layer: LayerLike) -> Body:
    """The layer with one set of parameters, in the scope `name` of the whole graph, wherever it is applied.

    >>> from symgraph.build import run, sequence
    >>> from symgraph.expr import placeholder
    >>> from symgraph.nn.layers import dense
    >>> encoder = shared("encoder", dense(3))
    >>> x, y = placeholder("x", ("batch", 8)), placeholder("y", ("batch", 8))
    >>> list(run(sequence([encoder(x), encoder(y)]))[1].parameters)
    ['encoder/w', 'encoder/b']

    Random numbers differ from use to use, and running statistics go on from the use before. Raises GraphError when
    the name stands for another layer, or for a scope.
    """
    inner = as_layer(layer, "shared")
    scope(name, state(lambda now: (None, now)))

    def body(x: Expr) -> Build[Output[Any]]:
        return state(lambda now: _share(name, inner, x, now))

    return body


def _share(name: str, inner: Layer[Any], x: Expr, now: BuildState) -> tuple[Output[Any], BuildState]:
    first = now.shared.get(name)
    prefix = f"{name}/"
    if first is not None and first != inner:
        raise GraphError(
            f"{name!r} is shared by two layers: {first!r} and {inner!r}",
            source=inner.source,
            hint="Make the layer once, or give each its own name.",
        )
    if first is None and any(label.startswith(prefix) for label in now.parameters):
        raise GraphError(
            f"the scope {name!r} has parameters already, which would be shared unseen",
            source=inner.source,
            hint="Give the shared layer another name.",
        )
    known = {
        label: declared
        for label, declared in (*now.known.items(), *now.parameters.items())
        if label.startswith(prefix) or label == KEY
    }
    alone = attrs.evolve(
        now,
        path=(name,),
        parameters=PersistentMap.empty(),
        fresh=PersistentMap.empty(),
        known=known,
        shared=now.shared if first is not None else now.shared.set(name, inner),
    )
    output, after = run(inner.inside(x), alone)
    return output, attrs.evolve(
        after,
        path=now.path,
        parameters=extended(now.parameters, after.parameters),
        fresh=now.fresh,
        known=now.known,
    )


@layer
def residual(layer: LayerLike, projection: LayerLike | None = None) -> Body:
    """`x + layer(x)`; with a projection, for a layer that changes the shape, `projection(x) + layer(x)`.

    Raises ShapeError where the shapes differ.

    Source: He, Zhang, Ren, Sun, Deep Residual Learning (CVPR 2016).

    >>> from symgraph.nn.layers import dense
    >>> residual(dense(64, ops.relu))
    residual(dense(64, relu))
    """
    inner = as_layer(layer, "residual")
    around = None if projection is None else as_layer(projection, "residual")
    source = provenance.user_source()

    @do
    def body(x: Expr) -> Any:
        h, state = yield from inner(x)
        skipped, other = Output(x) if around is None else (yield from around(x))
        return Output((yield from at(source, lambda: _added(h, skipped))), {**state, **other})

    return body


def _added(h: Expr, x: Expr) -> Expr:
    if h.shape == x.shape:
        return x + h
    raise ShapeError(
        f"residual: the layer makes {show_shape(h.shape)}, and what goes around it is {show_shape(x.shape)}",
        details=(describe(x), describe(h)),
        hint="Let the layer keep the shape, or bring x to it: nn.residual(layer, projection=nn.dense(units)).",
    )


@layer
def parallel(*layers: LayerLike, join: Join = "concatenate") -> Body:
    """Branches that all see x, and whose outputs are joined.

    `join` is "concatenate" (along the last axis), "add", "multiply", a function of two tensors such as `symgraph.add`
    or `symgraph.maximum`, or a function of the list of outputs. Raises GraphError, and ShapeError where the outputs
    do not fit together.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> from symgraph.nn.layers import dense
    >>> branches = parallel(dense(3), dense(4, ops.tanh))
    >>> branches, run(branches(placeholder("x", ("batch", 8))))[0].value
    (parallel(dense(3), dense(4, tanh)), <concatenate: f32[batch,7]>)
    """
    if not layers:
        raise GraphError(
            "parallel: there is no branch", hint="Write such as nn.parallel(nn.dense(3), nn.dense(4))."
        )
    listed = tuple(as_layer(one, "parallel") for one in layers)
    joined = _joining(join)
    source = provenance.user_source()

    @do
    def body(x: Expr) -> Any:
        outputs: list[Expr] = []
        states: dict[Expr, Expr] = {}
        for one in listed:
            h, state = yield from one(x)
            outputs.append(h)
            states.update(state)
        return Output((yield from at(source, lambda: joined(outputs))), states)

    return body


_JOINS: Mapping[str, Callable[[Sequence[Expr]], Expr]] = {
    "concatenate": lambda outputs: ops.concatenate(outputs, axis=-1),
    "add": lambda outputs: reduce(ops.add, outputs),
    "multiply": lambda outputs: reduce(ops.mul, outputs),
}


def _joining(join: Join) -> Callable[[Sequence[Expr]], Expr]:
    if isinstance(join, str) and join in _JOINS:
        return _JOINS[join]
    if isinstance(join, str) or not callable(join):
        raise GraphError(
            f"parallel: branches are joined by a function, and this is {shown(join)}",
            hint=f"Write one of {', '.join(map(repr, _JOINS))}, or a function of the list of outputs.",
        )
    if join in (ops.add, ops.mul, ops.maximum, ops.minimum):
        return lambda outputs: reduce(join, outputs)
    if join is ops.concatenate:
        return _JOINS["concatenate"]

    def joined(outputs: Sequence[Expr]) -> Expr:
        made = join(outputs)
        if isinstance(made, Expr):
            return made
        raise GraphError(
            f"parallel: the function that joins the branches returned {shown(made)}, not an expression"
        )

    return joined


@attrs.frozen
class Head:
    """One of the ends of a network: a layer, the loss of what it predicts, and the weight of that loss in the total.

    `loss` is a function from the prediction to a scalar; `weight` a number or a scalar expression.
    """

    layer: LayerLike
    loss: Callable[[Expr], Any] = attrs.field(repr=label)
    weight: float | Expr = 1.0


@combinator
def multi_head(heads: Mapping[str, Head]) -> Body:
    """Several ends of one network with a loss each: the output is a mapping that `nn.graph` takes.

    It has the prediction of each head by its name, its loss as `NAME_loss`, and the weighted sum of the losses as
    `loss`. Each head is in the scope of its name, its loss in the scope `NAME_loss`. Raises GraphError, and ShapeError
    for a loss that is no scalar.

    >>> from symgraph import nn
    >>> from symgraph.expr import placeholder
    >>> x, y, z = (placeholder(name, ("batch", 4)) for name in "xyz")
    >>> ends = multi_head({
    ...     "mean": Head(nn.dense(4), lambda h: ops.mean(ops.squared_error(h, y))),
    ...     "median": Head(nn.dense(4), lambda h: ops.mean(ops.absolute_error(h, z)), weight=0.5),
    ... })
    >>> [name for name, _ in nn.graph(nn.sequential(nn.dense(8, ops.tanh), ends)(x)).outputs]
    ['mean', 'mean_loss', 'median', 'median_loss', 'loss']
    """
    if not isinstance(heads, Mapping) or not heads:
        raise GraphError(
            f"multi_head takes the heads by name, and this is {shown(heads) if heads else 'empty'}",
            hint='Write nn.multi_head({"digit": nn.Head(nn.dense(10), loss)}).',
        )
    source = provenance.user_source()
    listed = tuple((name, _head(name, head), head) for name, head in heads.items())
    names = ["loss", *(label for name in heads for label in (name, f"{name}_loss"))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise GraphError(
            f"multi_head: two outputs are named {twice[0]!r}", hint="Give the head another name."
        )

    @do
    def body(x: Expr) -> Any:
        outputs: dict[str, Expr] = {}
        states: dict[Expr, Expr] = {}
        total: Expr | None = None
        for name, inner, head in listed:
            prediction, state = yield from inner(x)
            loss, other = yield from scope(f"{name}_loss", _loss(name, head, prediction))
            outputs.update({name: prediction, f"{name}_loss": loss})
            states.update({**state, **other})
            total = yield from at(source, partial(_sum, total, loss, head.weight))
        return Output({**outputs, "loss": total}, states)

    return body


def _head(name: str, head: object) -> Layer[Any]:
    if not isinstance(head, Head):
        raise GraphError(
            f"multi_head: {name!r} is {shown(head)}, not a Head",
            hint="Write nn.Head(layer, loss, weight).",
        )
    weight = head.weight
    if not isinstance(weight, Expr) and not math.isfinite(as_float(weight)):
        raise GraphError(
            f"multi_head: the weight of {name!r} is a finite number, and {shown(weight)} is none",
            hint="Write such as 0.5, or a scalar expression.",
        )
    if not callable(head.loss):
        raise GraphError(
            f"multi_head: the loss of {name!r} is {shown(head.loss)}, not a function of the prediction",
            hint="Write lambda logits: sg.mean(sg.softmax_cross_entropy(logits, y)).",
        )
    return named(name, head.layer)


def _loss(name: str, head: Head, prediction: Expr) -> Build[Output[Expr]]:
    """The loss of a head; it is a function of the prediction as a layer is one of x."""

    def check(output: Output[Expr]) -> Output[Expr]:
        if output.value.shape == () and output.value.type.is_float:
            return output
        raise ShapeError(
            f"multi_head: the loss of {name!r} is {output.value.type}, not a scalar of floats",
            details=(describe(output.value),),
            hint="Take its mean over the batch: lambda h: sg.mean(loss(h, y)).",
        )

    return as_layer(head.loss, "multi_head").inside(prediction).map(check)


def _sum(total: Expr | None, loss: Expr, weight: float | Expr) -> Expr:
    weighted = loss if isinstance(weight, int | float) and weight == 1 else loss * weight
    return weighted if total is None else total + weighted


__all__ = ["Head", "Join", "State", "multi_head", "named", "parallel", "residual", "sequential", "shared"]
