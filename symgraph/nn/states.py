"""What changes from step to step: next values of variables, which are handed on, and random keys.

updated  : variable -> next value -> Build[State]       the state must reach the end of the build
latest   : variable -> Build[Expr]                      its value after the layers so far
next_key : Build[Output]                                a random key of its own for each place
modes    : Build[A] -> Build[(A, A)]                    for training, and for evaluation with the same parameters
graph    : Build[Output of named expressions] -> Graph
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Generic, NamedTuple, TypeVar

import attrs

from symgraph import origin as provenance
from symgraph.autodiff import replaced, topological
from symgraph.build import Build, BuildState, located, run, state
from symgraph.collector import paused
from symgraph.define import define
from symgraph.errors import GraphError
from symgraph.expr import Expr, variable
from symgraph.ir import Graph, Placeholder, Variable
from symgraph.nn.layer import LayerLike, Output, State, as_layer, combinator, marked
from symgraph.origin import Source
from symgraph.persistent import PersistentMap, count
from symgraph.train import initializers
from symgraph.values import shown

A = TypeVar("A")
KEY = "random_key"
GROUP = "state"


@attrs.frozen(eq=False)
class Pending:
    """The next value of a variable, and what made it: the state that must be handed on."""

    variable: Expr
    value: Expr
    by: str
    path: tuple[str, ...]
    source: Source | None


def is_training() -> Build[bool]:
    """Whether this run of the build is for training: `nn.modes` makes the other one.

    >>> run(is_training())[0]
    True
    """
    return state(lambda now: (now.training, now))


def latest(target: Expr) -> Build[Expr]:
    """The value of a variable after the layers so far: its next value where one is pending, else the variable.

    A layer that changes a variable starts from it, so that it can be applied twice in one step.
    """
    name = _label(target)

    def step(now: BuildState) -> tuple[Expr, BuildState]:
        made = count(now.pending, name)
        return (now.pending[name, made - 1].value if made else target), now

    return state(step)


def updated(target: Expr, value: Expr, by: str = "") -> Build[State]:
    """The state in which a variable has a next value; it must be part of the output that is returned.

    `by` names what changes it, in messages. For evaluation nothing changes: then the state is empty. Raises
    GraphError when `target` is no variable.

    >>> from symgraph.expr import variable
    >>> steps = variable("steps", dtype="int64")
    >>> dict(run(updated(steps, steps + 1))[0])
    {<variable 'steps': i64[]>: <add: i64[]>}
    """
    name = _label(target)
    source = provenance.current_source()

    def step(now: BuildState) -> tuple[State, BuildState]:
        if not now.training:
            return {}, now
        made = Pending(target, value, by or "/".join(now.path[-1:]) or "a build", now.path, source)
        return {target: value}, attrs.evolve(
            now, pending=now.pending.set((name, count(now.pending, name)), made)
        )

    return state(step)


def _label(target: Expr) -> str:
    if isinstance(target, Expr) and isinstance(target.op, Variable):
        return target.op.label
    raise GraphError(
        f"only a variable has a next value, and {shown(target)} is none",
        hint='Declare it: total = yield from symgraph.parameter("total", (), init=0.0).',
    )


def next_key(by: str = "") -> Build[Output[Expr]]:
    """A random key of its own for each place that asks, and the state in which all of them change.

    The keys of a step are derived from one variable, `random_key`, and from the scope that asks: a layer that is
    added elsewhere changes no other's numbers. `by` names what draws, in messages. For evaluation the state is empty.

    >>> key, state = run(next_key())[0]
    >>> key.type, [str(v) for v in state]
    (TensorType('i32[2]'), ["<variable 'random_key': i32[2]>"])
    """
    from symgraph.ops import random

    source = provenance.current_source()

    def step(now: BuildState) -> tuple[Output[Expr], BuildState]:
        now, root = _root_key(now)
        place = "/".join(now.path)
        drawn = count(now.draws, place)
        key = random.fold_in(root, _number(place, drawn))
        now = attrs.evolve(now, draws=now.draws.set((place, drawn), True))
        if not now.training:
            return Output(key), now
        if not count(now.pending, KEY):
            following = Pending(root, random.fold_in(root, 0), by or "next_key", now.path, source)
            now = attrs.evolve(now, pending=now.pending.set((KEY, 0), following))
        return marked(Output(key, {root: now.pending[KEY, 0].value})), now

    return state(located(step))


def _root_key(now: BuildState) -> tuple[BuildState, Expr]:
    """The variable that all keys come from: one, whatever the scope."""
    known = now.parameters.get(KEY)
    if known is not None:
        return now, known
    root = now.known.get(KEY)
    if root is None:
        with provenance.made_by(provenance.Origin(provenance.current().sources)):  # it is in no scope
            root = variable(KEY, (2,), "int32", initializers.random_key)
    return attrs.evolve(now, parameters=now.parameters.set(KEY, root)), root


def _number(place: str, drawn: int) -> int:
    """What a place folds into the key, from 1 on: 0 makes the key of the next step."""
    digest = blake2b(f"{place}:{drawn}".encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % (2**31 - 2)


@combinator
def evaluating(layer: LayerLike) -> Any:
    """The layer as it is for evaluation, in training too: no dropout, and the running statistics stay as they are.

    >>> from symgraph.nn.layers import batch_norm
    >>> evaluating(batch_norm())
    evaluating(batch_norm())
    """
    inner = as_layer(layer, "evaluating")

    def body(x: Expr) -> Build[Output[Any]]:
        def step(now: BuildState) -> tuple[Output[Any], BuildState]:
            value, after = run(inner(x), attrs.evolve(now, training=False))
            return value, attrs.evolve(after, training=now.training)

        return state(step)

    return body


class Modes(NamedTuple, Generic[A]):
    """What one build returned for training, and for evaluation."""

    training: A
    evaluation: A


def modes(build: Build[A]) -> Build[Modes[A]]:
    """Run one build twice: for training, then for evaluation with the parameters of the first run.

    In evaluation dropout does nothing and batch_norm takes its running statistics; both results are parts of one
    graph. A parameter that the second run declares is the one of that name, and raises GraphError when its type or
    its initializer is another.

    >>> from symgraph import nn
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch", 4))
    >>> both, after = run(modes(nn.dense(3)(x)))
    >>> both.training.value is both.evaluation.value, list(after.parameters)
    (False, ['dense/w', 'dense/b'])
    >>> from symgraph.define import define
    >>> define(y=both.training.value) == define(y=both.evaluation.value)
    True
    """
    if not isinstance(build, Build):
        raise GraphError(
            f"modes takes a build, and this is {shown(build)}", hint="Apply the layer: nn.modes(layer(x))."
        )

    def step(now: BuildState) -> tuple[Modes[A], BuildState]:
        training, after = run(build, attrs.evolve(now, training=True))
        declared = {name: e for name, e in after.parameters.items() if name not in now.parameters}
        second = attrs.evolve(now, training=False, known={**now.known, **declared}, pending=after.pending)
        evaluation, late = run(build, second)
        after = attrs.evolve(
            after,
            training=now.training,
            pending=late.pending,
            parameters=extended(after.parameters, late.parameters),
        )
        return Modes(training, _with_leaves_of(training, evaluation)), after

    return state(step)


def with_evaluation(build: Build[Any], prefix: str = "evaluation/") -> Build[Output[Mapping[str, Expr]]]:
    """The outputs of a build for training, and again for evaluation, where `prefix` stands before their names.

    What `symgraph.train.fit` needs for a network that behaves otherwise in evaluation: train by "loss", and validate
    with `validation_outputs={"loss": "evaluation/loss"}`. The build returns named outputs, as for `nn.graph`; the
    state is that of training. Raises GraphError.

    >>> from symgraph import nn, ops
    >>> from symgraph.build import do
    >>> from symgraph.expr import placeholder
    >>> @do
    ... def network():
    ...     h, state = yield from nn.sequential(nn.dense(3), nn.dropout(0.5))(placeholder("x", ("batch", 4)))
    ...     return nn.Output({"loss": ops.mean(h * h)}, state)
    >>> [name for name, _ in nn.graph(nn.with_evaluation(network())).outputs]
    ['loss', 'evaluation/loss']
    """
    if not isinstance(prefix, str) or not prefix:
        raise GraphError(
            f"with_evaluation: a prefix is a non-empty string, and {shown(prefix)} is none",
            hint='Write prefix="evaluation/".',
        )

    def joined(both: Modes[Any]) -> Output[Mapping[str, Expr]]:
        (training, handed), (evaluation, _) = map(_named_outputs, both)
        prefixed = {f"{prefix}{name}": e for name, e in evaluation.items()}
        twice = sorted(training.keys() & prefixed.keys())
        if twice:
            raise GraphError(
                f"with_evaluation: two outputs are named {twice[0]!r}", hint="Give it another prefix."
            )
        return Output({**training, **prefixed}, handed)

    return modes(build).map(joined)


def extended(parameters: PersistentMap[str, Expr], others: Mapping[str, Expr]) -> PersistentMap[str, Expr]:
    """The parameters with those of others that are not among them."""
    for name, declared in others.items():
        if name not in parameters:
            parameters = parameters.set(name, declared)
    return parameters


def _with_leaves_of(first: Any, second: A) -> A:
    """`second`, with each placeholder and variable that is declared as one in `first` taken from there: a build that
    declares its own inputs declares them once for both modes.
    """
    leaves = {e.op: e for e in topological(list(_exprs(first))) if isinstance(e.op, Placeholder | Variable)}
    exprs = list(_exprs(second))
    swaps = {
        expr: leaves[expr.op]
        for expr in topological(exprs)
        if isinstance(expr.op, Placeholder | Variable) and leaves.get(expr.op, expr) is not expr
    }
    if not swaps:
        return second
    substituted: A = _substituted(second, dict(zip(exprs, replaced(exprs, swaps), strict=True)))
    return substituted


def _exprs(value: Any) -> Iterator[Expr]:
    """The expressions in a nesting of tuples, lists and mappings."""
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, Mapping):
        for item in value.items():
            yield from _exprs(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _exprs(item)


def _substituted(value: Any, mapped: Mapping[Expr, Expr]) -> Any:
    if isinstance(value, Expr):
        return mapped.get(value, value)
    if isinstance(value, Mapping):
        return {_substituted(key, mapped): _substituted(item, mapped) for key, item in value.items()}
    if isinstance(value, tuple | list):
        parts = [_substituted(item, mapped) for item in value]
        return getattr(type(value), "_make", type(value))(parts)
    return value


def graph(build: Build[Any]) -> Graph:
    """The graph of a build that returns named outputs: `nn.Output({"loss": loss}, state)`, or the mapping alone.

    The states become the update group `state`, to be run beside that of an optimizer:
    `session.run("loss", feeds, update=("train", "state"))`. Raises GraphError where a state that a layer made was
    not handed on: its running statistics, or its random key, would stand still.

    >>> from symgraph import nn, ops
    >>> from symgraph.build import do
    >>> from symgraph.expr import placeholder
    >>> @do
    ... def network():
    ...     h, state = yield from nn.sequential(nn.dense(3), nn.batch_norm())(placeholder("x", ("batch", 4)))
    ...     return nn.Output({"loss": ops.mean(h * h)}, state)
    >>> made = nn.graph(network())
    >>> list(made.variables), [name for name, _ in made.updates]
    (['dense/w', 'dense/b', 'batch_norm/scale', 'batch_norm/bias', 'batch_norm/mean', 'batch_norm/variance'], ['state'])
    """
    if not isinstance(build, Build):
        raise GraphError(
            f"nn.graph takes a build, and this is {shown(build)}",
            hint="Call the function that is decorated with symgraph.do: nn.graph(network()).",
        )
    with paused():
        made, after = run(build)
    outputs, handed = _named_outputs(made)
    _check_handed_on(after.pending, handed)
    return define(outputs, updates={GROUP: handed} if handed else {})


def _named_outputs(made: Any) -> tuple[Mapping[str, Expr], State]:
    """What a build returned as named outputs and a state; raises GraphError for anything else."""
    outputs, handed = made if isinstance(made, Output) else (made, {})
    if not isinstance(outputs, Mapping):
        raise GraphError(
            f"a graph has named outputs, and the build returned {shown(outputs)}",
            hint='Return symgraph.nn.Output({"loss": loss}, state).',
        )
    if not isinstance(handed, Mapping):
        raise GraphError(
            f"a state maps variables to their next values, and this is {shown(handed)}",
            hint="Join the states of layers with {**first, **second}.",
        )
    return outputs, handed


def _check_handed_on(pending: Mapping[tuple[str, int], Pending], handed: State) -> None:
    last = {made.variable: made for made in pending.values()}
    for made in pending.values():
        at = f"in the scope {'/'.join(made.path)!r}" if made.path else "outside all scopes"
        name = _label(made.variable)
        if made.variable not in handed:
            raise GraphError(
                f"the state of {made.by} {at} was dropped: the next value of {name!r} is in no output",
                source=made.source,
                hint="Hand on the state of each layer: h, state = yield from layer(x), and at the end "
                "return nn.Output(value, {**state, **other_state}).",
            )
        if handed[made.variable] is made.value and made is not last[made.variable]:
            raise GraphError(
                f"the state of {made.by} {at} is handed on, and a later one of {name!r} was dropped",
                source=last[made.variable].source,
                hint="Join the states in the order of the layers, so that the last one stays: "
                "{**first, **second}.",
            )
