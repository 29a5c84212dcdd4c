"""Forward and gradient side by side: for each forward node its adjoint, and where there is none, why.

adjoints : Graph -> of -> Gradient
"""


import attrs

from symgraph.ir import Graph


@attrs.frozen
class VJP:
    """A use of a node: what the derivative of its consumer hands back to it.

    `consumer` is the forward node whose VJP it is, `operand` which of its operands the node is, `rule` as in the
    origins ("vjp matmul"); `result` is the cotangent that it hands on, None where it hands on none or where the graph
    does not have it; `saved` are the forward values that it reads.
    """

    consumer: int
    operand: int
    rule: str
    result: int | None
    saved: tuple[int, ...]


@attrs.frozen
class Pair:
    """A forward node with its adjoint: the node that holds the derivative of the output by all uses of it.

    `made` are the gradient nodes that its own VJP made, `rules` how the adjoint comes about, one for each use,
    `saved` the forward values that its own VJP reads. Where there is no adjoint `reason` says why, in a sentence, and
    `path` are the forward nodes from this one to where the derivative stops. `zero` says, where values were given and
    the adjoint is 0 everywhere, why; `zero_path` are the forward nodes to the one whose VJP gave 0.
    """

    node: int
    adjoint: int | None
    made: tuple[int, ...] = ()
    rules: tuple[VJP, ...] = ()
    saved: tuple[int, ...] = ()
    reason: str = ""
    path: tuple[int, ...] = ()
    zero: str = ""
    zero_path: tuple[int, ...] = ()


@attrs.frozen
class Gradient:
    """The gradient of an output, read as pairs. All ids are of `graph`, which has the derivative's nodes."""

    graph: Graph
    of: str
    wrt: tuple[str, ...]
    pairs: tuple[Pair, ...]
