"""Penalties: terms that are added to a loss and make weights small.

    Penalty = variables -> scalar

In a graph: `minimize(graph, "loss", optimizer, penalty=l2(1e-4))`; the output "loss" stays without it. On
expressions: `loss + l2(1e-4)([w1, w2])`, which the output then has. A penalty's gradient goes through the optimizer
like the rest; `symgraph.train.weight_decay` after `scale_by_adam`, and `adamw`, decay weights apart from it.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import attrs

from symgraph import ops
from symgraph.expr import Expr, constant
from symgraph.train.arguments import Selector, as_selector, from_zero, number, selected

Penalty: TypeAlias = Callable[[Sequence[Expr]], Expr]


def _total(term: Callable[[Expr], Expr], weight: float, variables: Sequence[Expr], exclude: Selector) -> Expr:
    """The weighted sum of a term of each variable."""
    terms = [ops.sum(term(w)) for w in variables if not selected(exclude, w)]
    return weight * reduce(ops.add, terms) if terms else constant(0.0)


@attrs.frozen
class L1:
    """The sum of magnitudes; `l1` makes it."""

    weight: float = attrs.field(converter=number, validator=from_zero)
    exclude: Selector = attrs.field(converter=as_selector)

    def __call__(self, variables: Sequence[Expr]) -> Expr:
        """The penalty of these variables."""
        return _total(ops.abs, self.weight, variables, self.exclude)


def l1(weight: float, exclude: Selector = None) -> L1:
    """`weight` times the sum of the magnitudes of all elements, whose gradient is `weight * sign(w)`.

    `exclude` selects variables that have none: a name, a pattern such as "*/b", several, or a function of the
    variable. Raises GraphError.

    >>> l1(1e-4)
    L1(weight=0.0001, exclude=None)
    """
    return L1(weight, exclude)


@attrs.frozen
class L2:
    """The sum of squares; `l2` makes it."""

    weight: float = attrs.field(converter=number, validator=from_zero)
    exclude: Selector = attrs.field(converter=as_selector)

    def __call__(self, variables: Sequence[Expr]) -> Expr:
        """The penalty of these variables."""
        return _total(ops.square, self.weight, variables, self.exclude)


def l2(weight: float, exclude: Selector = None) -> L2:
    """`weight` times the sum of the squares of all elements, whose gradient is `2 * weight * w`.

    `exclude` is as in `l1`. Raises GraphError.

    >>> from symgraph.expr import variable
    >>> l2(1e-4, exclude="*/b")([variable("hidden/w", (3, 2)), variable("hidden/b", (2,))])
    <mul: f32[]>
    """
    return L2(weight, exclude)
