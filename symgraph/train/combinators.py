"""Optimizers made of optimizers: others for some variables, sums over several batches, averages of the weights.

partition  : {Selector: Optimizer} -> Optimizer       each variable has the first that selects it
accumulate : Optimizer -> count -> Optimizer          one step for the mean gradient of several batches
ema        : Optimizer -> decay -> Optimizer          and "w/ema", a moving average of each weight
named      : name -> part -> part                     the same, with its state under other names
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import numpy as np

from symgraph import ops
from symgraph.autodiff import replaced
from symgraph.define import lift, rebuild
from symgraph.errors import GraphError
from symgraph.expr import Expr, check_name, constant, variable
from symgraph.ir import Array, Graph, require_graph
from symgraph.train.arguments import (
    Selector,
    applied,
    as_selector,
    count,
    flag,
    fraction,
    number,
    require_part,
    selected,
    whole,
)
from symgraph.train.state import COUNTED, COUNTER, Step, label, merge, serving, slot
from symgraph.train.transformations import Optimizer, correction
from symgraph.values import shown

if TYPE_CHECKING:
    from symgraph.session import Session

Part = TypeVar("Part")


def _next_values(
    optimizer: Optimizer, variables: Sequence[Expr], gradients: Sequence[Expr]
) -> Mapping[Expr, Expr]:
    made = optimizer(variables, gradients)
    if isinstance(made, Mapping):
        return made
    raise GraphError(
        f"{shown(optimizer)} is no optimizer: it gave {shown(made)}, not the variables' next values",
        hint="End a chain with an optimizer: symgraph.train.chain(transformation, symgraph.train.sgd(0.1)).",
    )


# Some variables.


def _rules(value: Any) -> tuple[tuple[Any, Any], ...]:
    if not isinstance(value, Mapping) or not value:
        raise GraphError(
            f"partition takes a mapping from variables to optimizers, and this is {shown(value)}",
            hint='Write partition({"*/b": sgd(0.1)}, otherwise=adam(0.001)).',
        )
    return tuple((as_selector(key), _optional(optimizer)) for key, optimizer in value.items())


def _optional(value: Any) -> Any:
    if value is not None:
        require_part(value, "partition")
    return value


@attrs.frozen
class Partition:
    """Other optimizers for other variables; `partition` and `freeze` make it."""

    rules: tuple[tuple[Any, Any], ...] = attrs.field(converter=_rules, repr=lambda rules: repr(dict(rules)))
    otherwise: Any = attrs.field(converter=_optional)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Mapping[Expr, Expr]:
        """The next values of all variables that have an optimizer."""
        chosen = [self._chosen(w) for w in variables]
        for i, (selector, _) in enumerate(self.rules):
            if i not in chosen:
                raise GraphError(
                    f"no variable is selected by {selector!r}",
                    hint=f"What is trained is {', '.join(map(label, variables))}; the first rule that fits counts.",
                )
        states = []
        for i, optimizer in enumerate((*(one for _, one in self.rules), self.otherwise)):
            mine = [k for k, rule in enumerate(chosen) if rule == i]
            if optimizer is not None and mine:
                found = _next_values(optimizer, [variables[k] for k in mine], [gradients[k] for k in mine])
                states.append(found)
        return merge(*states)

    def _chosen(self, w: Expr) -> int:
        fits = (i for i, (selector, _) in enumerate(self.rules) if selected(selector, w))
        return next(fits, len(self.rules))


def partition(rules: Mapping[Any, Optimizer | None], otherwise: Optimizer | None) -> Partition:
    """Another optimizer for some variables: another learning rate, say; None leaves variables as they are.

    `rules` maps a selector to an optimizer: the name of a variable, a pattern such as "*/b", a tuple of them, or a
    function of the variable. The first that fits counts; `otherwise` is for variables that none fits. Raises
    GraphError, also where a rule fits no variable.

    >>> from symgraph.train.optimizers import sgd
    >>> partition({"encoder/*": sgd(0.01)}, otherwise=sgd(0.1))
    Partition(rules={'encoder/*': Sgd(learning_rate=0.01)}, otherwise=Sgd(learning_rate=0.1))
    """
    return Partition(rules, otherwise)


def freeze(optimizer: Optimizer, variables: Selector) -> Partition:
    """The optimizer, which leaves some variables as they are: `partition({variables: None}, otherwise=optimizer)`.

    >>> from symgraph.train.optimizers import sgd
    >>> freeze(sgd(0.1), "encoder/*")
    Partition(rules={'encoder/*': None}, otherwise=Sgd(learning_rate=0.1))
    """
    return Partition({as_selector(variables): None}, optimizer)


# Other names.


def _name(instance: Any, attribute: Any, value: Any) -> None:
    check_name(value, "optimizer")


@attrs.frozen
class Named:
    """A part of an optimizer whose state has other names; `named` makes it."""

    name: str = attrs.field(validator=_name)
    part: Any = attrs.field(validator=applied)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Any:
        """What the part gives, with its state renamed."""
        made = self.part(variables, gradients)
        state = made.state if isinstance(made, Step) else made
        own = {*variables, COUNTER}
        with serving(self.name):
            swaps = {w: self._renamed(w) for w in state if w not in own}
        values = replaced(tuple(state.values()), swaps, gradients)
        renamed = {swaps.get(w, w): value for w, value in zip(state, values, strict=True)}
        if not isinstance(made, Step):
            return renamed
        return Step(replaced(made.directions, swaps, gradients), renamed)

    def _renamed(self, w: Expr) -> Expr:
        of, _, last = label(w).rpartition("/")
        return variable(f"{of}/{self.name}/{last}", w.shape, w.dtype, w.op.init)  # type: ignore[attr-defined]


def named(name: str, part: Part) -> Part:
    """An optimizer or transformation with its state under other names: "w/NAME/adam_m" for "w/adam_m".

    For two of one kind on one variable: in one chain, or in two update groups. Raises GraphError.

    >>> from symgraph.train.optimizers import adam
    >>> named("second", adam())
    Named(name='second', part=Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, amsgrad=False))
    """
    return Named(name, part)  # type: ignore[return-value]  # it is called as the part is


# Several batches a step.


@attrs.frozen
class Accumulate:
    """One step for several batches; `accumulate` makes it."""

    optimizer: Any = attrs.field(validator=applied)
    steps: int = attrs.field(converter=whole, validator=count)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Mapping[Expr, Expr]:
        """The next values: those of the optimizer at the last batch of a step, else the values as they are."""
        with serving("accumulate"):
            last = ops.equal(ops.mod(COUNTER, self.steps), self.steps - 1)
            done = ops.floor_divide(COUNTER, self.steps)
        sums: dict[Expr, Expr] = {}
        means = []
        for w, g in zip(variables, gradients, strict=True):
            with serving("accumulate", w):
                kept = slot(w, "accumulated")
                total = kept + g
                sums[kept] = ops.where(last, 0.0, total)
                means.append(total / self.steps)
        made = {w: x for w, x in _next_values(self.optimizer, variables, means).items() if w is not COUNTER}
        # The optimizer counts its own steps, and not the batches.
        values = replaced(tuple(made.values()), {COUNTER: done}, means)
        state: dict[Expr, Expr] = {}
        for w, value in zip(made, values, strict=True):
            with serving("accumulate", w):
                state[w] = ops.where(last, value, w)
        return merge(state, sums, COUNTED)


def accumulate(optimizer: Optimizer, steps: int) -> Accumulate:
    """One step of the optimizer for the mean of the gradients of `steps` calls.

    The other calls leave the weights and what the optimizer remembers as they are, bit for bit. With batches of one
    size, and a loss that is a mean, it is a step with a batch `steps` times as large. State: "w/accumulated", and
    the counter, which counts the calls; a schedule of the optimizer counts the steps that it has made. Raises
    GraphError.

    >>> from symgraph.train.optimizers import sgd
    >>> accumulate(sgd(0.1), 4)
    Accumulate(optimizer=Sgd(learning_rate=0.1), steps=4)
    """
    return Accumulate(optimizer, steps)


# Averages of the weights.

_AVERAGE = "ema"


@attrs.frozen
class Ema:
    """An optimizer that averages the weights; `ema` makes it."""

    optimizer: Any = attrs.field(validator=applied)
    decay: float = attrs.field(converter=number, validator=fraction)
    debias: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Mapping[Expr, Expr]:
        """The optimizer's next values, and those of the averages."""
        made = _next_values(self.optimizer, variables, gradients)
        with serving("ema"):
            seen = correction(self.decay) if self.debias else None
            rate = constant(1 - self.decay, "float64") / (1.0 if seen is None else seen)
        averages: dict[Expr, Expr] = {}
        for w in variables:
            if w not in made:
                continue
            with serving("ema", w):
                kept, new = slot(w, _AVERAGE, float("nan")), made[w]
                before = ops.where(ops.isnan(kept), new if self.debias else w, kept)
                averages[kept] = before + ops.cast(rate, w.dtype) * (new - before)
        return merge(made, averages, COUNTED if self.debias else {})


def ema(optimizer: Optimizer, decay: float = 0.999, debias: bool = True) -> Ema:
    """The optimizer, and a moving average of each weight: `average <- decay * average + (1 - decay) * w`.

    The average is in "w/ema", ready for use, and NaN until the first step. With `debias` it is the mean of the weights
    so far with weights that decay: as Adam's moments, what a start at 0 would have added is divided out. Without, it
    starts at the weight before the first step. `averaged` and `with_averages` read it. For several batches a step write
    `accumulate(ema(optimizer), steps)`. Raises GraphError.

    >>> from symgraph.train.optimizers import sgd
    >>> ema(sgd(0.1), 0.99)
    Ema(optimizer=Sgd(learning_rate=0.1), decay=0.99, debias=True)
    """
    return Ema(optimizer, decay, debias)


def _averages(graph: Graph) -> dict[str, str]:
    """The name of each variable that has an average, and that of the average."""
    found = {
        name: f"{name}/{_AVERAGE}" for name in graph.variables if f"{name}/{_AVERAGE}" in graph.variables
    }
    if not found:
        raise GraphError(
            "the graph keeps no averages of its weights",
            hint="Train it with symgraph.train.ema(optimizer).",
        )
    return found


def averaged(session: "Session") -> dict[str, Array]:
    """The moving averages that `ema` keeps, by the names of the weights: to assign to another session, say.

    Where there is none yet, the weight itself. Raises GraphError where the graph keeps none.

    >>> from symgraph.define import define
    >>> from symgraph.session import Session
    >>> from symgraph.train.descent import minimize
    >>> from symgraph.train.optimizers import sgd
    >>> w = variable("w", (), init=1.0)
    >>> with Session(minimize(define(loss=w * w), "loss", ema(sgd(0.25), 0.5, debias=False))) as session:
    ...     for _ in range(2):
    ...         session.run(None, update="train")
    ...     averaged(session)
    {'w': array(0.5, dtype=float32)}
    """
    values = session.variables.snapshot()
    return {
        name: np.where(np.isnan(values[average]), values[name], values[average])
        for name, average in _averages(session.graph).items()
    }


def with_averages(graph: Graph) -> Graph:
    """The graph with an output "average/NAME" for each output NAME: the same of the averages that `ema` keeps.

    An element that has no average yet is that of the weight itself. Raises GraphError where the graph keeps none.

    >>> from symgraph.define import define
    >>> from symgraph.train.descent import minimize
    >>> from symgraph.train.optimizers import sgd
    >>> w = variable("w", (), init=1.0)
    >>> graph = with_averages(minimize(define(loss=w * w), "loss", ema(sgd(0.25))))
    >>> [name for name, _ in graph.outputs]
    ['loss', 'average/loss']
    """
    require_graph(graph, "with_averages")
    exprs = lift(graph)
    swaps = {}
    for name, average in _averages(graph).items():
        w, kept = exprs[graph.variables[name].id], exprs[graph.variables[average].id]
        with serving("with_averages", w):
            swaps[w] = ops.where(ops.isnan(kept), w, kept)
    values = replaced([exprs[i] for _, i in graph.outputs], swaps)
    names = [f"average/{name}" for name, _ in graph.outputs]
    return rebuild(graph, exprs, dict(zip(names, values, strict=True)))[0]
