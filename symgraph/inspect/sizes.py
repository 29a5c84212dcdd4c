"""Sizes of named dimensions, as `explain`, `summary` and `explore` take them by keyword.

checked : Graph -> {name: size} -> {name: int}
put_in  : Dimension -> {name: int} -> Dimension
"""

from collections.abc import Mapping

from symgraph.errors import GraphError
from symgraph.ir import Graph
from symgraph.types import Dimension, dimension_names, evaluate_dimension
from symgraph.values import shown


def checked(graph: Graph, sizes: Mapping[str, object], otherwise: str = "") -> dict[str, int]:
    """The sizes as ints; raises GraphError for one that the graph has not, and for what is no size.

    `otherwise` ends the hint: what else a name that is no size may be meant for.
    """
    unknown = sorted(sizes.keys() - graph.names)
    if unknown:
        known = ", ".join(sorted(graph.names)) or "no named size"
        raise GraphError(
            f"{unknown[0]!r} is no named size of this graph",
            hint=f"It has {known}{otherwise and f'; {otherwise}'}.",
        )
    return {name: _size(name, size) for name, size in sizes.items()}


def _size(name: str, size: object) -> int:
    if isinstance(size, bool) or not hasattr(size, "__index__") or size.__index__() < 0:
        raise GraphError(
            f"the size {name} is a whole number from 0, and {shown(size)} is none", hint=f"Pass {name}=128."
        )
    return int(size.__index__())


def put_in(dimension: Dimension, sizes: Mapping[str, int]) -> Dimension:
    """The dimension as a number, where all its names have a size.

    >>> from symgraph.types import dim
    >>> put_in(dim("n") * 2, {"n": 3}), str(put_in(dim("n") * 2, {"m": 3}))
    (6, '2*n')
    """
    return evaluate_dimension(dimension, sizes) if dimension_names(dimension) <= sizes.keys() else dimension
