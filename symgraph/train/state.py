"""What an optimizer remembers: variables named after those they serve, and one counter of updates.

    slot    : variable -> name -> variable             "w/adam_m", in the dtype and shape of "w", zeros at first
    COUNTER : i64[]                                    the updates before this one; minimize names it GROUP/step
    merge   : states -> state                          no variable is given two next values

Transformations and optimizers are functions of variables and gradients alone; they do not know the group that they
will be. So all of them count with the one COUNTER, which `minimize` replaces by a variable of the group: "train/step".
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import attrs

from symgraph.errors import GraphError
from symgraph.expr import Expr, variable
from symgraph.origin import Origin, current, made_by, merged

State: TypeAlias = Mapping[Expr, Expr]

with made_by(Origin(rule="counter")):
    COUNTER = variable("step", (), "int64")
    COUNTED: State = {COUNTER: COUNTER + 1}


def _listed(directions: Iterable[Expr]) -> tuple[Expr, ...]:
    return tuple(directions)


@attrs.frozen(eq=False)
class Step:
    """What a transformation makes of the gradients: directions, one a variable, and the next values of its state.

    A variable moves against its direction.
    """

    directions: tuple[Expr, ...] = attrs.field(converter=_listed)
    state: State = attrs.field(factory=dict)


def label(w: Expr) -> str:
    """The name of a variable."""
    name: str = w.op.label  # type: ignore[attr-defined]
    return name


def slot(w: Expr, name: str, init: Any = None) -> Expr:
    """A variable that serves another, of its type: zeros at first, or `init`.

    >>> slot(variable("w", (3,)), "adam_m")
    <variable 'w/adam_m': f32[3]>
    """
    return variable(f"{label(w)}/{name}", w.shape, w.dtype, init)


def serving(rule: str, *variables: Expr) -> AbstractContextManager[None]:
    """Nodes made inside carry the user's line, the rule, and where the variables were declared."""
    return made_by(merged(rule, current(), tuple(w.origin for w in variables)))


def merge(*states: State) -> dict[Expr, Expr]:
    """All next values as one mapping; raises GraphError where two parts keep their state under one name."""
    made: dict[Expr, Expr] = {}
    names: dict[str, Expr] = {}
    for w, value in (pair for state in states for pair in state.items()):
        known = names.setdefault(label(w), w)
        if known is not w or made.setdefault(w, value) is not value:
            raise GraphError(
                f"two parts of the optimizer change the variable {label(w)!r}",
                hint='Give the state of one another name: symgraph.train.named("second", optimizer).',
            )
    return made
