"""The first values of variables: each a function of the seed and its name alone, whatever else a graph has."""

import hashlib
from typing import Any

import numpy as np

from symgraph.contracts import raised_at, said
from symgraph.errors import ExecutionError, FeedError, SymgraphError
from symgraph.ir import Array, Graph, Node
from symgraph.types import show_shape


def initial_values(graph: Graph, seed: int) -> dict[str, Array]:
    """The first value of each variable of a graph, each a function of (seed, its name) alone.

    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> initial_values(define(y=variable("w", (2,), init=0.5)), seed=0)
    {'w': array([0.5, 0.5], dtype=float32)}
    """
    check_seed(seed)
    return {name: _initial(name, node, int(seed)) for name, node in graph.variables.items()}


def check_seed(seed: object) -> None:
    """Raise FeedError for what is no seed."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise FeedError(f"a seed is a whole number from 0, and {seed!r} is none", hint="Pass such as seed=0.")


def _initial(name: str, node: Node, seed: int) -> Array:
    op: Any = node.op
    source = node.origin.sources[0] if node.origin.sources else None
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    words = tuple(int(word) for word in np.frombuffer(digest, "<u4"))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=words))
    shape: Any = op.type.shape
    try:
        sampled = op.init.sample(rng, shape, op.type.dtype)
        value = np.array(sampled, dtype=op.type.dtype, order="C")
    except MemoryError as error:
        raise ExecutionError(
            f"the variable {name!r}, {op.type}, does not fit in memory",
            source=source,
            hint="Declare a smaller one.",
        ) from error
    except SymgraphError as error:
        error.source = source
        error.details = (*error.details, f"while {name!r}, {op.type}, was given its first value")
        raise
    except Exception as error:
        raise ExecutionError(
            f"the initializer of {name!r}, {op.type}, raised {said(error)}",
            source=source,
            details=raised_at(error),
        ) from error
    if value.shape != shape:
        raise FeedError(
            f"the initializer of {name!r} made {show_shape(value.shape)}, not {show_shape(shape)} as declared",
            source=source,
        )
    return value
