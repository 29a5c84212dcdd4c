"""Optimizers: pure functions from variables and their gradients to the variables' next values.

    Optimizer = (variables, gradients) -> {variable: next value}
    minimize  : Graph -> name -> Optimizer -> Graph        with the gradients and an update group added

An optimizer with a state declares it as variables of its own, named after those it serves, and gives their
next values in the same mapping: state then is seen, saved and restored like any other variable.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.autodiff import backward, topological
from symgraph.collector import paused
from symgraph.define import lift, number
from symgraph.errors import DTypeError, GradientError, GraphError, ShapeError
from symgraph.expr import Expr, describe, placeholder
from symgraph.ir import Graph, Placeholder, Variable, require_graph
from symgraph.origin import current, made_by, merged
from symgraph.values import shown

Optimizer: TypeAlias = Callable[[Sequence[Expr], Sequence[Expr]], Mapping[Expr, Expr]]
Rate: TypeAlias = float | str | Expr


def _rate(value: Rate) -> Rate:
    if isinstance(value, Expr):
        if value.shape != ():
            raise ShapeError("a learning rate is a scalar", details=(describe(value),))
        if value.dtype.kind == "b":
            raise DTypeError("a learning rate is a number, not a truth value", details=(describe(value),))
        return value
    if isinstance(value, str) and value:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
        raise GraphError(
            f"a learning rate is a number from 0, and {value!r} is none",
            hint="Pass a number, a scalar expression, or the name of a placeholder to feed it by.",
        )
    return float(value)


@attrs.frozen(eq=False)
class Sgd:
    """Gradient descent: `w - learning_rate * g`; `sgd` makes it."""

    learning_rate: Rate = attrs.field(converter=_rate)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Mapping[Expr, Expr]:
        """The next value of each variable."""
        rate = placeholder(self.learning_rate) if isinstance(self.learning_rate, str) else self.learning_rate
        return {w: self._next(w, g, rate) for w, g in zip(variables, gradients, strict=True)}

    def _next(self, w: Expr, g: Expr, rate: float | Expr) -> Expr:
        with made_by(merged("sgd", current(), (w.origin,))):
            if isinstance(rate, Expr) and rate.dtype != w.dtype:
                rate = ops.cast(rate, w.dtype)
            return w - rate * g


def sgd(learning_rate: Rate) -> Sgd:
    """Gradient descent: each variable w becomes `w - learning_rate * g`.

    `learning_rate` is a number from 0, a scalar expression (such as a schedule of a step counter), or the
    name of a float32 placeholder that each run feeds. Raises GraphError, ShapeError, DTypeError.

    >>> sgd(0.1)
    Sgd(learning_rate=0.1)
    """
    return Sgd(learning_rate)


def minimize(
    graph: Graph,
    of: str,
    optimizer: Optimizer,
    variables: Iterable[str] | str | None = None,
    group: str = "train",
) -> Graph:
    """The graph with an update group that makes a scalar output smaller.

    `of` names the output, a float scalar; `optimizer` makes the next values, `variables` names what is
    trained: by default the float variables that the output depends on. The outputs stay as they are.
    Raises GradientError where there is no gradient, GraphError where the group is there already or a name
    is unknown.

    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> w = variable("w", (3,))
    >>> graph = minimize(define(loss=ops.sum(w * w)), "loss", sgd(0.1))
    >>> [(name, list(dict(pairs))) for name, pairs in graph.updates]
    [('train', ['w'])]
    """
    require_graph(graph, "minimize")
    if not callable(optimizer) or isinstance(optimizer, type):
        raise GraphError(
            f"minimize takes an optimizer, and this is {shown(optimizer)}",
            hint="Write symgraph.train.sgd(0.1).",
        )
    if group in dict(graph.updates):
        raise GraphError(
            f"the graph has an update group {group!r} already",
            hint='Give this one a name of its own: minimize(..., group="other").',
        )
    with paused(len(graph)):
        exprs = lift(graph)
        loss = exprs[graph[of].id]
        targets = _targets(graph, exprs, loss, variables)
        try:
            gradients = backward(loss, targets, ids={expr: i for i, expr in enumerate(exprs)})
        except GradientError as error:
            error.hint = (
                "Name what is to be trained: minimize(..., variables=[...])."
                if variables is None
                else error.hint
            )
            raise
        updates = dict(optimizer(targets, gradients))
        leaves = {expr.op: expr for expr in exprs if isinstance(expr.op, Placeholder | Variable)}
        own = {name: exprs[node.id] for name, node in graph.variables.items()}
        return number(
            {name: exprs[i] for name, i in graph.outputs},
            {
                **{name: {own[v]: exprs[i] for v, i in pairs} for name, pairs in graph.updates},
                group: _with_leaves(updates, leaves, exprs),
            },
        )[0]


def _targets(
    graph: Graph, exprs: Sequence[Expr], loss: Expr, variables: Iterable[str] | str | None
) -> tuple[Expr, ...]:
    if variables is None:
        reached = set(topological([loss]))
        found = tuple(
            exprs[node.id]
            for node in graph.variables.values()
            if exprs[node.id] in reached and exprs[node.id].type.is_float
        )
        if not found:
            raise GradientError(
                "there is nothing to train: the output depends on no float variable",
                details=(describe(loss),),
                hint='Declare one with symgraph.variable("w", shape).',
            )
        return found
    names = (variables,) if isinstance(variables, str) else tuple(variables)
    unknown = [name for name in names if name not in graph.variables]
    if unknown or not names or len(set(names)) < len(names):
        wrong = f"{unknown[0]!r} is no variable of this graph" if unknown else "it names none, or one twice"
        raise GraphError(
            f"what is to be trained is not clear: {wrong}",
            hint=f"The graph has {', '.join(graph.variables)}.",
        )
    return tuple(exprs[graph.variables[name].id] for name in names)


def _with_leaves(
    updates: Mapping[Expr, Expr], leaves: Mapping[Placeholder | Variable, Expr], known: Sequence[Expr]
) -> dict[Expr, Expr]:
    """The same updates, with each leaf that the graph has already (by its declaration) taken from the graph.

    A learning rate may be an expression of placeholders that the graph has: then they are one. What is `known` to
    be the graph's own stays.
    """
    roots = [expr for pair in updates.items() for expr in pair]
    mapped: dict[Expr, Expr] = {}
    for expr in topological(roots, known):
        if isinstance(expr.op, Placeholder | Variable) and expr.op in leaves:
            mapped[expr] = leaves[expr.op]
        elif not mapped.keys().isdisjoint(expr.inputs):
            inputs = tuple([mapped.get(operand, operand) for operand in expr.inputs])
            mapped[expr] = Expr(expr.op, inputs, expr.type, expr.origin)
    return {mapped.get(w, w): mapped.get(value, value) for w, value in updates.items()}
