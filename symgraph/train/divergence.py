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
from symgraph.faults import HINT, fault, names, told
from symgraph.inspect.values import finite, first_bad
from symgraph.ir import Array, Graph
from symgraph.lowering.interpreter import interpret
from symgraph.lowering.program import inputs
from symgraph.prepared import Step
from symgraph.session import Session
from symgraph.train.run import Known, Now, Run


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
    error = _diagnosed(run.session, run.train.step, fed, target, about, run.watched, again)
    run.session._record(run.train.step, fed, error)
    return error


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
        return DivergenceError(about, source=None, hint=HINT)
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
        return DivergenceError(about, source=error.source, details=(error.message, left), hint=HINT)
    bad_node = first_bad(graph, results, _root(graph, target))
    if bad_node is None:
        return DivergenceError(
            about, source=None, details=("done again on the interpreter it stays finite", left), hint=HINT
        )
    began = fault(session.graph, graph, results, graph.nodes[bad_node], when=" when training began")
    return DivergenceError(
        about, source=began.source, details=(began.first, *began.details, left), hint=began.hint
    )


def _root(graph: Graph, target: str) -> int:
    outputs = dict(graph.outputs)
    if target in outputs:
        return outputs[target]
    return next(i for _, pairs in graph.updates for name, i in pairs if name == target)


def _bad_start(whole: Graph, graph: Graph, name: str, about: str, known: bool) -> DivergenceError:
    node = graph.nodes[
        dict(pair for _, pairs in graph.updates for pair in pairs).get(name, graph.variables[name].id)
    ]
    return DivergenceError(
        about,
        source=node.origin.sources[0] if node.origin.sources else None,
        details=(
            f"the variable {name!r} was not finite any more when the step began",
            f"it is updated by {told(graph, node, names(whole, graph))}",
            *(("The variables are those that were last seen to be finite.",) if known else ()),
        ),
        hint=HINT,
    )
