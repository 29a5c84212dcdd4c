"""The store of a session: the values of its variables, the only thing that changes.

    fetch  : Store -> Plan -> program -> feeds -> outputs
    update : Store -> Plan -> program -> feeds -> outputs          and the next values are those of the variables

The state is one record that a successful update replaces by another, in one assignment: a failed run changes nothing,
and a reader sees the values before an update or after it. Each variable has a spare array that the next update writes
into; a call that still reads an older state keeps its arrays from being reused.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, TypeVar
from weakref import ref

import attrs
import numpy as np

from symgraph.compile import Bound
from symgraph.errors import ExecutionError
from symgraph.ir import Array
from symgraph.run_plan import Plan

A = TypeVar("A")


@attrs.define(eq=False, on_setattr=attrs.setters.frozen)  # as frozen, and quicker to make
class State:
    """The variables' values at one moment, in the graph's order; `spare` are arrays for the next update to fill.

    Until then they hold the values before the last update, of the variables that it changed: those at the places
    `changed`, None for all in order.
    """

    values: tuple[Array, ...]
    spare: tuple[Array, ...]
    step: int
    seed: int
    changed: Sequence[int] | None = ()


class Store:
    """The values of variables, from their first ones on; many threads may read and update them."""

    def __init__(self, values: tuple[Array, ...], seed: int) -> None:
        self._state: State | None = State(values, tuple(map(np.empty_like, values)), 0, seed)
        self._writing = Lock()
        self._retired: list[ref[State]] = []  # older states; those that calls under way hold are alive

    def __str__(self) -> str:
        state = self._state
        return "closed" if state is None else f"step {state.step}"

    def open(self) -> State:
        """The state as it is now: no update writes into its arrays while it is held. Raises ExecutionError."""
        state = self._state
        if state is None:
            raise ExecutionError("the session is closed", hint="Use it inside its with block.")
        return state

    def close(self) -> None:
        """Let go of the values, after the update that may be under way."""
        with self._writing:
            self._state = None

    def read(self, function: Callable[[State], A]) -> A:
        """`function` of the state as it is now, whose arrays no update writes into before it returns."""
        state = self.open()  # this reference keeps the state alive, which `_unread` sees
        return function(state)

    def fetch(self, plan: Plan, bound: Bound, feeds: Sequence[Any], sure: bool) -> Sequence[Array] | None:
        """Run a program that updates nothing. Unless the feeds are `sure` to fit it, the result is None where they
        do not.
        """
        state = self._state or self.open()  # held until the run is over, which `_unread` sees
        return bound.run(plan.inputs(state.values, feeds), (), sure)

    def update(self, plan: Plan, bound: Bound, feeds: Sequence[Any], sure: bool) -> Sequence[Array] | None:
        """The same for a program that updates variables, all of them or, after an error, none."""
        with self._writing:
            state = self._state or self.open()
            destinations = state.spare if plan.changed is None else plan.of_changed(state.spare)
            if not self._unread():
                destinations = tuple(map(np.empty_like, destinations))
            try:
                outputs = bound.run(plan.inputs(state.values, feeds), destinations, sure)
            except BaseException:  # it may have written into the spare arrays: what they held is gone
                self._commit(state, (), (), state.step, state.seed)
                del state  # the traceback, which may live on, would keep it
                raise
            if outputs is not None:
                self._commit(state, plan.changed, destinations, state.step + 1, state.seed, plan.changed)
            return outputs

    def assign(self, places: Sequence[int], values: tuple[Array, ...], step: int | None = None) -> None:
        """Set the variables at some places, and the number of steps where it is given."""
        with self._writing:
            state = self.open()
            self._commit(state, places, values, state.step if step is None else step, state.seed)

    def restore(self, values: tuple[Array, ...], step: int, seed: int) -> None:
        """Set everything."""
        with self._writing:
            self._commit(self.open(), None, values, step, seed)

    def undo(self) -> None:
        """Set back what the last update changed; raises ExecutionError where there is nothing to set back."""
        with self._writing:
            state = self.open()
            changed = state.changed
            if changed is not None and not changed:
                raise ExecutionError(
                    "there is no update to take back",
                    hint="Call undo() once, right after the run that updated; to go back further, save and restore.",
                )
            arrays = state.spare if changed is None else tuple(state.spare[place] for place in changed)
            self._commit(state, changed, arrays, state.step - 1, state.seed)

    def _unread(self) -> bool:
        """Whether no call holds a state older than the present one, so that spare arrays may be written.

        A call takes the state before it is retired or not at all, so a dead one is read by nobody.
        """
        self._retired = [state for state in self._retired if state() is not None]
        return not self._retired

    def _commit(
        self,
        state: State,
        places: Sequence[int] | None,
        arrays: tuple[Array, ...],
        step: int,
        seed: int,
        undone: Sequence[int] | None = (),
    ) -> None:
        """Replace the state, by the one assignment at the end: before it nothing has happened. `places` are the
        variables that change, None for all in order; `undone` those that `undo` would set back.
        """
        values, spare = arrays, state.values
        if places is not None:
            now, before = list(state.values), list(state.spare)
            for place, array in zip(places, arrays, strict=True):
                now[place], before[place] = array, now[place]
            values, spare = tuple(now), tuple(before)
        self._retired.append(ref(state))
        self._state = State(values, spare, step, seed, undone)
