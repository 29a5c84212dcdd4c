"""Prepared runs: what a session has worked out once, to be called in a hot loop.

step : feeds -> values with the nesting of the fetches
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from symgraph.compile import Bound, Executable
from symgraph.errors import FeedError
from symgraph.fetches import Target
from symgraph.ir import Array
from symgraph.run_plan import Plan

if TYPE_CHECKING:
    from symgraph.session import Session


@attrs.frozen(eq=False, repr=False)
class Step:
    """A prepared run: call it with the feeds, in the order they were prepared or as a mapping of them.

    Many threads may call one step. `executable` shows what is run.
    """

    _session: "Session"
    _plan: Plan
    _keys: tuple[Target, ...]  # in the order of the plan's feeds
    _order: (
        tuple[int, ...] | None
    )  # the place of each of the plan's feeds among the arguments, if not its own
    _finish: Callable[[Sequence[Any]], Any]
    _run: Callable[[Plan, Bound, Sequence[Any], bool], Sequence[Array] | None]

    def __repr__(self) -> str:
        takes = ", ".join(feed.name for feed in self._plan.feeds)
        return f"<Step of ({takes}) on {self.executable.backend}>"

    @property
    def executable(self) -> Executable:
        """The compiled graph of this run: its `graph`, `ledger` and `source` can be read."""
        return self._plan.executable

    def __call__(self, *feeds: Any) -> Any:
        """Run once; the values have the nesting of the fetches. Raises FeedError, and what the run raises."""
        plan = self._plan
        if plan.last and len(feeds) == plan.count:
            # The code itself looks at the arrays: where they are what it was made for, nothing else needs to.
            values: Sequence[Any] = feeds if self._order is None else [feeds[i] for i in self._order]
            outputs = self._run(plan, plan.last[0], values, False)
            if outputs is not None:
                return self._finish(outputs)
        values = self._given(feeds)
        bound, arrays = plan.bind(values)
        outputs = self._run(plan, bound, arrays, True)
        assert outputs is not None
        if bound.program.careful and len(plan.feed_slots) == plan.count:  # it sees every feed
            plan.last[:] = [bound]
        return self._finish(outputs)

    def check(self, *feeds: Any) -> None:
        """Compile for feeds of these shapes, and run nothing: raises what a call would say of shapes and dtypes."""
        self._plan.bind(self._given(feeds))

    def _given(self, feeds: tuple[Any, ...]) -> Sequence[Any]:
        """The values in the order of the plan, from those in the order of the step or a mapping."""
        first = feeds[0] if len(feeds) == 1 else None
        if type(first) is dict or (type(first) is not np.ndarray and isinstance(first, Mapping)):
            return self._named(first)
        if len(feeds) != len(self._plan.feeds):
            raise self._miscounted(len(feeds))
        return feeds if self._order is None else [feeds[i] for i in self._order]

    def _named(self, feeds: Mapping[Any, Any]) -> list[Any]:
        try:
            values = [feeds[key] for key in self._keys]
        except KeyError:
            missing = next(f for f, key in zip(self._plan.feeds, self._keys, strict=True) if key not in feeds)
            raise FeedError(
                f"{missing.name!r} is not fed", hint=f"This step was prepared to be fed {self._takes()}."
            ) from None
        if len(feeds) != len(values):
            unknown = next(key for key in feeds if key not in self._keys)
            raise FeedError(
                f"{unknown!r} was not prepared to be fed", hint=f"This step takes {self._takes()}."
            )
        return values

    def _takes(self) -> str:
        return ", ".join(repr(feed.name) for feed in self._plan.feeds) or "nothing"

    def _miscounted(self, count: int) -> FeedError:
        return FeedError(
            f"{count} values are fed, and this step takes {len(self._plan.feeds)}",
            hint=f"Feed {self._takes()}: in the order they were prepared, or as a mapping.",
        )
