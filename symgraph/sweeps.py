"""Sweeps: what a pass of rules does to a graph in one go, kept where someone asks to see it.

A plain compile keeps none: the graphs in between are freed as soon as the next is made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import attrs

from symgraph.ir import Graph

if TYPE_CHECKING:
    from symgraph.rewrite import Hit, Row


@attrs.frozen(eq=False)
class Sweep:
    """One sweep of a pass: the graph that it was given, the one that it made, and a row for each rewrite.

    The rows' `before` are ids of `given`, their `after` of `made`. `hits` has, for each row in order, the expression
    before (`matched[0]`) and after (`replacement`) that one rewrite; the expressions of a sweep share what is below
    them, so a rewrite can be checked by itself on values. Passes without rules have rows, or none, and no hits.
    """

    pass_name: str
    given: Graph = attrs.field(repr=False)
    made: Graph = attrs.field(repr=False)
    rows: tuple["Row", ...]
    hits: tuple["Hit", ...] = attrs.field(default=(), repr=False)


_KEPT: ContextVar[list[Sweep] | None] = ContextVar("sweeps", default=None)


@contextmanager
def recorded() -> Iterator[list[Sweep]]:
    """The sweeps that are made inside, in a list that grows.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> from symgraph.transforms.canonicalise import canonicalise_pass
    >>> with recorded() as sweeps:
    ...     made = canonicalise_pass()(define(y=-(-placeholder("x"))))
    >>> [row.rule for row in sweeps[0].rows], sweeps[-1].made is made
    (['neg-of-neg'], True)
    """
    kept: list[Sweep] = []
    token = _KEPT.set(kept)
    try:
        yield kept
    finally:
        _KEPT.reset(token)


def record(sweep: Sweep) -> None:
    """Keep a sweep for who asked for it, if anybody did."""
    kept = _KEPT.get()
    if kept is not None:
        kept.append(sweep)
