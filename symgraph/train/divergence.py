"""Divergence: which node left the finite numbers first, found by doing steps again, and the last one node by node.

diverged : Run -> Now -> the step at which it showed -> the error of the step at which it began
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from symgraph.compile import bind
from symgraph.errors import DivergenceError, ExecutionError, SymgraphError
from symgraph.inspect.values import finite, first_bad
from symgraph.ir import Array, Graph, Node, Variable, leaf_name
from symgraph.lowering.interpreter import interpret
from symgraph.lowering.program import inputs
from symgraph.session import Session, Step
from symgraph.train.run import Known, Now, Run

_HINT = (
    "Take a smaller learning rate, clip the gradients, or keep the operand of exp, log, sqrt and division where "
    "they are finite."
)


def not_finite(session: Session, watched: Sequence[str]) -> str | None:
    """The first of these variables that holds a number that is not finite."""
    values = session.variables.snapshot()
    return next((name for name in watched if not finite(np.asarray(values[name]))), None)


def watched(session: Session) -> tuple[str, ...]:
    """The variables that are finite now, and should stay so."""
    return tuple(name for name, value in session.variables.snapshot().items() if finite(np.asarray(value)))


def check_weights(run: Run, now: Now, values: Sequence[Any], extras: Sequence[Any]) -> None:
    """Raise DivergenceError where a variable has left the finite numbers: no checkpoint is to hold that."""
    bad = not_finite(run.session, run.watched)
    if bad is not None:
        raise diverged(run, now, bad, values, extras, now.step, None)


def diverged(
    run: Run,
    now: Now,
    target: str,
    values: Sequence[Any],
    extras: Sequence[Any],
    step: int,
    loss: float | None,
) -> DivergenceError:
    """The error of a step after which `target`, an output (with its value, `loss`) or a variable, was not finite."""
    found = f"the variable {target!r} is not finite after" if loss is None else f"{target!r} became {loss} at"
    fed = dict(zip((*run.train.source.names, *run.feeds), (*values, *extras), strict=True))
    about = f"{found} step {step}, in epoch {now.epoch + 1}"
    known, now.known = now.known, None
    again = None if known is None else partial(_again, run, now, known, about)
    return _diagnosed(run.session, run.train.step, fed, target, about, run.watched, again)


def _again(run: Run, now: Now, known: Known, about: str) -> DivergenceError | None:
    """Do steps again since the variables were finite, and look at them after each, which is too slow in training.

    If they stay finite, as they may where the data is a stream or where a callback has changed them, there is no
    error, and the variables are those that are known.
    """
    run.session._assign({name: value.copy() for name, value in known.values.items()}, known.step)
    with suppress(Exception):  # a stream that cannot be read again is no reason to hide what happened
        steps = islice(run.train.source.epoch(now.epoch, known.index), now.step - known.count)
        for number, (values, _) in enumerate(steps, known.count + 1):
            extras = run.extras(number)
            run.train.step(*values, *extras)
            bad = not_finite(run.session, run.watched)
            if bad is not None:
                error = diverged(run, now, bad, values, extras, number, None)
                error.details = (*error.details, f"it was noticed later: {about}")
                return error
    run.session._assign(known.values, known.step)
    return None


def _diagnosed(
    session: Session,
    step: Step,
    feeds: Mapping[str, Array],
    target: str,
    about: str,
    watched: Sequence[str],
    again: Callable[[], DivergenceError | None] | None = None,
) -> DivergenceError:
    """The error of a step after which `target`, an output or a variable, was not finite, as `about` says.

    The update is taken back; if the values before it are finite they stay, and the step is done again on the
    interpreter to find the node. If they are not, `again` goes further back to the step that made them so.
    """
    graph = step.executable.declared
    try:
        session.undo()
    except ExecutionError:  # another thread has changed the variables since
        return DivergenceError(about, source=None, hint=_HINT)
    values = session.variables.snapshot()
    bad = next((name for name in values if name in watched and not finite(np.asarray(values[name]))), None)
    if bad is not None:
        found = None if again is None else again()
        return _bad_start(session.graph, graph, bad, about, again is not None) if found is None else found
    left = "The variables are as they were before that step."
    try:
        bound, sizes = bind(graph, {**feeds, **{name: values[name] for name in graph.variables}})
        leaves = dict(zip(inputs(graph), bound, strict=True))
        results = interpret(graph, leaves, sizes)
    except SymgraphError as error:
        return DivergenceError(about, source=error.source, details=(error.message, left), hint=_HINT)
    bad_node = first_bad(graph, results, _root(graph, target))
    if bad_node is None:
        return DivergenceError(
            about, source=None, details=("done again on the interpreter it stays finite", left), hint=_HINT
        )
    return _at_node(session.graph, graph, results, graph.nodes[bad_node], about, left)


def _root(graph: Graph, target: str) -> int:
    outputs = dict(graph.outputs)
    if target in outputs:
        return outputs[target]
    return next(i for _, pairs in graph.updates for name, i in pairs if name == target)


def _names(whole: Graph, graph: Graph) -> list[str]:
    """How each node of a graph is called in the `whole` graph that it was cut from: `%w`, `%12`."""
    structure = {(node.op, node.inputs): node.id for node in whole.nodes}
    places: list[int | None] = []
    for node in graph.nodes:
        inputs = tuple(places[i] for i in node.inputs)
        places.append(None if None in inputs else structure.get((node.op, inputs)))  # type: ignore[arg-type]
    numbers = (node.id if place is None else place for node, place in zip(graph.nodes, places, strict=True))
    return [f"%{leaf_name(node.op) or number}" for node, number in zip(graph.nodes, numbers, strict=True)]


def _told(graph: Graph, node: Node, names: Sequence[str]) -> str:
    operands = " of " + ", ".join(names[i] for i in node.inputs) if node.inputs else ""
    return f"{names[node.id]} ({node.op.name}{operands}: {node.type})"


def _bad_start(whole: Graph, graph: Graph, name: str, about: str, known: bool) -> DivergenceError:
    node = graph.nodes[
        dict(pair for _, pairs in graph.updates for pair in pairs).get(name, graph.variables[name].id)
    ]
    return DivergenceError(
        about,
        source=node.origin.sources[0] if node.origin.sources else None,
        details=(
            f"the variable {name!r} was not finite any more when the step began",
            f"it is updated by {_told(graph, node, _names(whole, graph))}",
            *(("The variables are those that were last seen to be finite.",) if known else ()),
        ),
        hint=_HINT,
    )


def _at_node(
    whole: Graph, graph: Graph, results: Sequence[Array], node: Node, about: str, left: str
) -> DivergenceError:
    names = _names(whole, graph)
    parts = results[node.id] if isinstance(results[node.id], tuple) else (results[node.id],)
    value = next(np.asarray(part) for part in parts if not finite(np.asarray(part)))
    leaf = leaf_name(node.op)
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(value))[0])
    place = f", the first at {list(where)}" if where else ""
    count = f"{np.count_nonzero(~np.isfinite(value))} of {value.size}" if value.ndim else "the value"
    held = (
        f"{count} is {value[where]}" if not value.ndim else f"{count} are not finite{place}: {value[where]}"
    )
    hint = _HINT
    if isinstance(node.op, Variable):
        first = f"the variable {leaf!r} was not finite when training began: {held}"
        hint = f"Give it other values: session.variables.assign({leaf!r}, value)."
    elif leaf is not None:
        first = f"what is fed for {leaf!r} is not finite: {held}"
        hint = "Mend the data: find such values with numpy.isfinite."
    else:
        first = f"the first that is not finite is {_told(graph, node, names)}: {held}"
    ranges = tuple(f"its operand {names[i]} lies in {_range(results[i])}" for i in dict.fromkeys(node.inputs))
    return DivergenceError(
        about,
        source=node.origin.sources[0] if node.origin.sources else None,
        details=(first, *ranges, left),
        hint=hint,
    )


def _range(value: Array | tuple[Array, ...]) -> str:
    array = np.asarray(value[0] if isinstance(value, tuple) else value)
    return f"{array.min():.4g} to {array.max():.4g}" if array.size else "no range: it is empty"
