"""What is profiled: a program for some sizes, and a call of it as the caller would make it.

of_executable : Executable -> feeds -> variables -> Work       of_step : Step -> feeds -> values -> Work
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.compile import Executable, bind, together
from symgraph.ir import Array
from symgraph.lowering.program import Instance, Program, inputs
from symgraph.prepared import Step


@attrs.frozen(eq=False)
class Work:
    """What is profiled: a program for some sizes, and `call`, which makes one step by an instance of it, as a caller
    would.
    """

    program: Program
    sizes: Mapping[str, int]
    call: Callable[[Instance], object]


def of_executable(
    executable: Executable,
    feeds: Mapping[str, npt.ArrayLike] | None,
    variables: Mapping[str, npt.ArrayLike] | None,
) -> Work:
    """A call of an executable, as it makes it itself; raises FeedError."""
    graph = executable.graph
    updated = [name for _, group in graph.updates for name, _ in group]
    given = together(feeds, variables)

    def arranged() -> tuple[list[Array], list[Array], dict[str, int]]:
        values, sizes = bind(graph, given, executable.declared)
        named = dict(zip(inputs(graph), values, strict=True))
        return values, [np.empty_like(named[name]) for name in updated], sizes

    def call(instance: Instance) -> object:
        values, destinations, _ = arranged()
        return instance(values, destinations)

    sizes = arranged()[2]
    return Work(executable.bound(sizes).program, sizes, call)


def of_step(step: Step, feeds: Mapping[Any, Any], values: tuple[Array, ...]) -> Work:
    """A run of a session's step from these values of all variables, which stay as they are; raises FeedError."""
    plan = step._plan
    changed = values if plan.changed is None else plan.of_changed(values)
    destinations = tuple(map(np.empty_like, changed))

    def call(instance: Instance) -> object:
        _, arrays = plan.bind(step._given((feeds,)))
        return instance(plan.inputs(values, arrays), destinations)

    bound, arrays = plan.bind(step._given((feeds,)))
    return Work(bound.program, plan.sizes(tuple(array.shape for array in arrays)), call)
