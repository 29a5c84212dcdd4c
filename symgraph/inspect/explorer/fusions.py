"""Fusion as the explorer's page shows it: kernels with their nodes, and why other neighbours share none.

members        : unfused Graph -> fused Graph -> ledger -> {fused node: unfused nodes}
fusion_section : Tables -> Trace -> JSON
"""

from collections.abc import Iterable, Mapping

from symgraph.inspect.explorer.collected import Json, Tables, inner_nodes
from symgraph.inspect.trace import Trace
from symgraph.ir import Graph, Node
from symgraph.ops.region import Fused, Project
from symgraph.rewrite import Row
from symgraph.transforms.fusion import role

FUSION, _NATIVE = ("fuse",), ("native",)


def members(unfused: Graph, fused: Graph, ledger: Iterable[Row]) -> Mapping[int, tuple[int, ...]]:
    """For each node of `fused` that computes something, the nodes of `unfused` that it stands for.

    Kernels are told by the ledger's rows of fusion; what was left alone is found by its op and its operands, which
    occur once in a graph. Works through each node once.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> from symgraph.inspect.trace import trace
    >>> x = placeholder("x", ("n",))
    >>> way = trace(define(y=x * (x + x)), "numpy")
    >>> dict(members(way.unfused, way.graph, way.ledger))
    {1: (1, 2)}
    """
    regions = {row.after[0]: row.before for row in ledger if row.pass_name in FUSION and row.after}
    where = {(node.op, node.inputs): node.id for node in unfused.nodes}
    alive = set(unfused.roots)
    old: dict[int, int] = {}  # what a node of `fused` that has one result is in `unfused`
    results: dict[int, list[int]] = {}  # of a kernel with several
    found: dict[int, tuple[int, ...]] = {}
    for node in fused.nodes:
        op = node.op
        if isinstance(op, Project) and node.inputs[0] in results:
            old[node.id] = results[node.inputs[0]][op.index]
        elif isinstance(op, Fused) and node.id in regions:
            ids = found[node.id] = regions[node.id]
            inside = set(ids)
            out = [i for i in ids if i in alive or any(c not in inside for c in unfused.consumers[i])]
            results[node.id] = out
            old[node.id] = out[0]
        else:
            old[node.id] = where[op, tuple([old[i] for i in node.inputs])]
            if node.inputs:
                found[node.id] = (old[node.id],)
    return found


def fusion_section(tables: Tables, way: Trace) -> Json:
    """The kernels with their nodes and why they share one, and for every edge between two kernels why they do not."""
    found = members(way.unfused, way.graph, way.ledger)
    rows = {row.after[0]: row for row in way.ledger if row.pass_name in FUSION and row.after}
    native = {row.after[0]: row.numerics for row in way.ledger if row.pass_name in _NATIVE and row.after}
    kernel_of = {i: kernel for kernel, ids in found.items() for i in ids}
    reasons = {(one.producer, one.consumer): one.reason for one in way.declined}
    edges = [
        (i, node.id)
        for node in way.unfused.nodes
        for i in dict.fromkeys(node.inputs)
        if i in kernel_of and node.id in kernel_of and kernel_of[i] != kernel_of[node.id]
    ]
    return {
        "unfused": tables.graph(way.unfused, "optimised"),
        "fused": tables.graph(way.graph, "fused"),
        "kernels": [
            {
                "node": i,
                "name": _name(way.graph.nodes[i]),
                "members": list(ids),
                "why": _why(way, way.graph.nodes[i], rows.get(i), tables),
                "numerics": native.get(i, rows[i].numerics if i in rows else "exact"),
            }
            for i, ids in found.items()
        ],
        "declined": [
            {
                "producer": i,
                "consumer": k,
                "reason": reasons.get((i, k), f"nothing is fused for {way.backend}"),
            }
            for i, k in edges
        ],
    }


def _name(node: Node) -> str:
    if not isinstance(node.op, Fused):
        return node.op.name
    count = inner_nodes(node.op)
    return f"kernel of {count} node{'' if count == 1 else 's'}"


def _why(way: Trace, node: Node, row: Row | None, tables: Tables) -> str:
    """Sentences on what its nodes are to one another in a kernel, and on what that saves."""
    if row is None:
        return (
            "No neighbour shares its kernel."
            if isinstance(node.op, Fused)
            else f"{node.op.name} runs by itself."
        )
    nodes = way.unfused.nodes
    by_role: dict[str, list[str]] = {}
    for i in row.before:
        one = nodes[i]
        by_role.setdefault(role(one, [nodes[k].type for k in one.inputs]), []).append(one.op.name)
    told = []
    if "head" in by_role:
        told.append(f"{by_role['head'][0]} comes first, and the others take its rows as it makes them.")
    told.append(
        "Row i of each result needs row i of its operands alone: one loop over the rows computes all."
    )
    if "tail" in by_role:
        names = ", ".join(dict.fromkeys(by_role["tail"]))
        told.append(f"At its end {names} reduces over the rows, block by block.")
    saved = -tables.change(row)[1]
    told.append(f"It saves {saved} bytes of reading and writing.")
    return " ".join(told)
