"""Regions with a node that is a kernel of its own: what comes before it, the node, what comes after.

stages : nodes -> the calls of each stage in order
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.lowering.llvm import extremes, products
from symgraph.lowering.llvm.buffers import Tensor
from symgraph.lowering.llvm.region import Inner, Number, Read
from symgraph.ops.linalg import MatMul


def needed(nodes: Sequence[Inner]) -> bool:
    """Whether a region has a node that no loop kernel takes in."""
    return any(isinstance(n.what, extremes.OPS) for n in nodes)


def stages(
    planner: Any, nodes: list[Inner], operands: list[Tensor], outputs: Sequence[int], node: int
) -> list[Tensor]:
    """The calls of a region in stages; returns the tensors of its outputs."""
    stage = _stages(nodes)
    apart = {i for i, n in enumerate(nodes) if isinstance(n.what, extremes.OPS)}
    wanted = set(outputs)
    for i, n in enumerate(nodes):
        wanted.update(j for j in n.inputs if i in apart or stage[j] < stage[i] or j in apart)
    made: dict[int, Tensor] = {}

    def known(i: int, tensor: Tensor) -> None:
        made[i] = tensor
        nodes[i] = Inner(Read(len(operands)), (), tensor.shape, tensor.dtype)
        operands.append(tensor)

    for now in range(max(stage) + 1):
        here = [i for i in sorted(wanted) if stage[i] == now and _computed(nodes[i]) and i not in apart]
        for i, tensor in zip(here, _plain(planner, nodes, operands, here, node), strict=True):
            known(i, tensor)
        for i in sorted(apart):
            if stage[i] == now:
                x = _tensor(planner, nodes[nodes[i].inputs[0]], operands, node)
                known(i, extremes.along(planner, nodes[i].what, x, nodes[i].shape, node))
    return [made[i] for i in outputs]


def _computed(node: Inner) -> bool:
    return not isinstance(node.what, Read | Number)


def _stages(nodes: Sequence[Inner]) -> list[int]:
    """How many kernels of their own a node has to wait for, one after the other."""
    stage: list[int] = []
    for n in nodes:
        waits = (stage[j] + isinstance(nodes[j].what, extremes.OPS) for j in n.inputs)
        stage.append(max(waits, default=0))
    return stage


def _plain(
    planner: Any, nodes: Sequence[Inner], operands: Sequence[Tensor], roots: Sequence[int], node: int
) -> list[Tensor]:
    """The calls of a part without such nodes."""
    if not roots:
        return []
    part = products.reachable(nodes, roots)
    place = {i: k for k, i in enumerate(part)}
    kept = [attrs.evolve(nodes[i], inputs=tuple(place[j] for j in nodes[i].inputs)) for i in part]
    kept, used = products.used(kept, operands)
    wanted = [place[i] for i in roots]
    run = products.fused if any(isinstance(n.what, MatMul) for n in kept) else _loops
    made: list[Tensor] = run(planner, kept, list(used), wanted, node)
    return made


def _loops(
    planner: Any, nodes: list[Inner], operands: list[Tensor], outputs: Sequence[int], node: int
) -> list[Tensor]:
    made: list[Tensor] = planner.region(nodes, operands, outputs, node)
    return made


def _tensor(planner: Any, node: Inner, operands: Sequence[Tensor], owner: int) -> Tensor:
    if isinstance(node.what, Read):
        return operands[node.what.operand]
    assert isinstance(node.what, Number)
    made: Tensor = planner.constant(np.full(node.shape, node.what.value, node.dtype), owner)
    return made
