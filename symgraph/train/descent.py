"""Training as a graph: the gradients of an output, and the update group that an optimizer makes of them.

minimize : Graph -> name -> Optimizer -> Graph        with the gradients and an update group added
"""

from collections.abc import Iterable, Mapping, Sequence

from symgraph import ops
from symgraph.autodiff import backward, pull, replaced, topological
from symgraph.collector import paused
from symgraph.define import lift, number
from symgraph.errors import GradientError, GraphError
from symgraph.expr import Expr, check_name, describe, variable
from symgraph.ir import Graph, Placeholder, Variable, require_graph
from symgraph.train.arguments import require_part
from symgraph.train.penalties import Penalty
from symgraph.train.state import COUNTER, label, serving
from symgraph.train.transformations import Optimizer, Transformation
from symgraph.values import shown


def minimize(
    graph: Graph,
    of: str,
    optimizer: Optimizer,
    variables: Iterable[str] | str | None = None,
    group: str = "train",
    penalty: Penalty | None = None,
) -> Graph:
    """The graph with an update group that makes a scalar output smaller.

    `of` names the output, a float scalar; `optimizer` makes the next values, `variables` names what is
    trained: by default the float variables that the output depends on. `penalty`, such as
    `symgraph.train.l2(1e-4)`, is a function of these variables that is added to what is made smaller. The outputs
    stay as they are, without it. What the optimizer remembers is in variables named after those they serve, and
    what it counts in the int64 variable "GROUP/step". Raises GradientError where there is no gradient, GraphError
    where the group is there already, a name is unknown, or the graph has a variable of the optimizer's name.

    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> from symgraph.train.optimizers import adam
    >>> w = variable("w", (3,))
    >>> graph = minimize(define(loss=ops.sum(w * w)), "loss", adam(0.1))
    >>> [(name, list(dict(pairs))) for name, pairs in graph.updates]
    [('train', ['w/adam_m', 'w/adam_v', 'train/step', 'w'])]
    """
    require_graph(graph, "minimize")
    require_part(optimizer, "minimize")
    if check_name(group, "update group") in dict(graph.updates):
        raise GraphError(
            f"the graph has an update group {group!r} already",
            hint='Give this one a name of its own: minimize(..., group="other").',
        )
    with paused(len(graph)):
        exprs = lift(graph)
        loss = exprs[graph[of].id]
        targets = _targets(graph, exprs, loss, variables)
        gradients = _gradients(loss, targets, exprs, penalty, named=variables is not None)
        updates = _updates(optimizer, targets, gradients)
        updates = _counted_in(updates, f"{group}/step", exprs)
        _check_state(updates, graph, set(exprs))
        leaves = {expr.op: expr for expr in exprs if isinstance(expr.op, Placeholder | Variable)}
        own = {name: exprs[node.id] for name, node in graph.variables.items()}
        return number(
            {name: exprs[i] for name, i in graph.outputs},
            {
                **{name: {own[v]: exprs[i] for v, i in pairs} for name, pairs in graph.updates},
                group: _with_leaves(updates, leaves, exprs),
            },
        )[0]


def _gradients(
    loss: Expr,
    targets: Sequence[Expr],
    exprs: Sequence[Expr],
    penalty: Penalty | None,
    named: bool,
) -> tuple[Expr, ...]:
    try:
        gradients = backward(loss, targets, ids={expr: i for i, expr in enumerate(exprs)})
    except GradientError as error:
        if not named and loss.shape == () and loss.type.is_float:
            error.hint = "Name what is to be trained: minimize(..., variables=[...])."
        raise
    if penalty is None:
        return gradients
    with serving("penalty"):
        extra = penalty(targets) if callable(penalty) else penalty
        if not isinstance(extra, Expr) or extra.shape != () or not extra.type.is_float:
            raise GraphError(
                f"a penalty gives a float scalar, an expression of the variables, and this gave {shown(extra)}",
                details=(describe(extra),) if isinstance(extra, Expr) else (),
                hint="Write penalty=symgraph.train.l2(1e-4), or a function of the list of variables.",
            )
        more = pull((extra,), (ops.ones_like(extra),), targets)
        return tuple(g + more[w] if w in more else g for w, g in zip(targets, gradients, strict=True))


def _updates(
    optimizer: Optimizer | Transformation, targets: Sequence[Expr], gradients: Sequence[Expr]
) -> dict[Expr, Expr]:
    made = optimizer(targets, gradients)
    if not isinstance(made, Mapping):
        raise GraphError(
            f"{shown(optimizer)} is no optimizer: it gave {shown(made)}, not the variables' next values",
            hint="End a chain with an optimizer: symgraph.train.chain(transformation, symgraph.train.sgd(0.1)).",
        )
    if not made:
        raise GraphError("the optimizer trains no variable", hint="Leave some that are not frozen.")
    for w, value in made.items():
        if not isinstance(w, Expr) or not isinstance(w.op, Variable) or not isinstance(value, Expr):
            raise GraphError(
                f"an optimizer gives the next values of variables, and this gave {shown(value)} for {shown(w)}",
                hint="Both are expressions: {w: w - 0.1 * g}.",
            )
    return dict(made)


def _counted_in(updates: Mapping[Expr, Expr], name: str, known: Sequence[Expr]) -> dict[Expr, Expr]:
    """The updates with the optimizer's counter as a variable of that name."""
    with serving("counter"):
        swaps = {COUNTER: variable(name, (), "int64")}
    values = replaced(tuple(updates.values()), swaps, known)
    return {swaps.get(w, w): value for w, value in zip(updates, values, strict=True)}


def _check_state(updates: Mapping[Expr, Expr], graph: Graph, known: set[Expr]) -> None:
    taken = {*graph.variables, *graph.placeholders, *dict(graph.outputs)}
    for w in updates:
        if w not in known and label(w) in taken:
            raise GraphError(
                f"the optimizer keeps its state in a variable {label(w)!r}, and the graph has that name already",
                details=(describe(w),),
                hint='Rename the one of the graph, or the state: symgraph.train.named("other", optimizer).',
            )


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
    names = (
        tuple(variables)
        if isinstance(variables, Iterable) and not isinstance(variables, str)
        else (variables,)
    )
    unknown = [name for name in names if not isinstance(name, str) or name not in graph.variables]
    if unknown or not names or len(set(names)) < len(names):
        wrong = (
            f"{shown(unknown[0])} is no variable of this graph" if unknown else "it names none, or one twice"
        )
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
    swaps = {
        expr: leaves[expr.op]
        for expr in topological(roots, known)
        if isinstance(expr.op, Placeholder | Variable) and expr.op in leaves
    }
    made = replaced(roots, swaps, known)
    return dict(zip(made[::2], made[1::2], strict=True))
