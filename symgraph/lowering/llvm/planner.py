"""From a fused graph of concrete shapes to the calls of a step.

    plan : Graph -> kernels, calls, constants, outputs

Each node's value is a `Tensor`. Views cost nothing; a region, an op with loops and a reduction become loop kernels;
a matrix product a tiled kernel with what follows it element by element as its epilogue; whatever has no kernel a
call back to the op's own `evaluate`.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from symgraph.contracts import computed, failure
from symgraph.ir import Array, Graph, Node, Op, Placeholder, Variable
from symgraph.lowering.llvm import movement, products
from symgraph.lowering.llvm.buffers import Argument, Call, Kind, Room, Tensor, read, whole
from symgraph.lowering.llvm.folding import Folded, fold
from symgraph.lowering.llvm.kernel import Kernel
from symgraph.lowering.llvm.loops import write_region
from symgraph.lowering.llvm.maths.elementwise import EMITTERS, EXACT
from symgraph.lowering.llvm.region import (
    COSTLY,
    Inner,
    Number,
    Operand,
    Read,
    Region,
    Shape,
    contiguous,
    cost,
    count,
    extract,
    is_tail,
    label,
    number_of,
    reachable,
    squeeze,
)
from symgraph.lowering.llvm.schedule import same_values
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.plan import concrete
from symgraph.ops.base import Elementwise
from symgraph.ops.control import Identity
from symgraph.ops.reduction import All, Max, Min, Prod, Reduction, Sum
from symgraph.ops.reduction import Any as AnyOf
from symgraph.ops.region import Fused, Project
from symgraph.ops.shape import BroadcastTo, Reshape
from symgraph.ops.threefry import Counter
from symgraph.rewrite import Numerics
from symgraph.types import INT32, DType, TensorType, TupleType

_LONGEST = 400  # instructions of a kernel's innermost loop, about
_FEW = 256  # elements up to which a counter is known now, and what is drawn from known keys
_KNOWN_LIMIT = 1 << 24  # bytes: values known now are computed now up to this size
REDUCTIONS = (Sum, Prod, Max, Min, AnyOf, All)
_ORDERED = (Sum, Prod, Max, Min)  # of floats: the order decides the last bits, and which of two zeros it is


def native() -> frozenset[type[Op]]:
    """The ops that have a kernel here, and so are not expanded."""
    return frozenset({*EMITTERS, *REDUCTIONS, *movement.KERNELS, *movement.VIEWS, *products.HEADS})


def exact(op: Op, dtype: DType) -> bool:
    """Whether the kernel of an op gives the very bits that its `evaluate` gives."""
    if isinstance(op, Elementwise):
        return type(op) in EXACT
    if isinstance(op, (*products.HEADS, *_ORDERED)):
        return dtype.kind != "f"
    return type(op) not in movement.INEXACT or dtype.kind != "f"


def laid_out(op: Op) -> bool:
    """Whether an op on images has its channels where kernels want them: last."""
    return getattr(op, "layout", "NHWC") == "NHWC"


def fits(op: Op, operands: Sequence[TensorType], numerics: Numerics) -> bool:
    """Whether a loop kernel, or the epilogue of a product, can hold an op."""
    if not laid_out(op):
        return False
    if type(op) not in EMITTERS and not isinstance(op, (*REDUCTIONS, *products.HEADS, Reshape, BroadcastTo)):
        return False
    return numerics != "bitwise" or exact(op, operands[0].dtype)


def rounds(node: Node, graph: Graph) -> bool:
    """Whether the kernel of a node may give other bits than its `evaluate`."""
    op, first = node.op, graph.nodes[node.inputs[0]].type
    ours = (
        type(op) in EMITTERS or isinstance(op, (*REDUCTIONS, *products.HEADS)) or type(op) in movement.KERNELS
    )
    return ours and not exact(op, first.dtype)


def supported(node: Node, graph: Graph, numerics: Numerics) -> bool:
    """Whether a node has a kernel under the numerics class."""
    op = node.op
    if isinstance(op, Project | Fused):
        return True
    if not node.inputs:
        return op.pure
    types = [graph.nodes[i].type for i in node.inputs]
    if type(op) in movement.KERNELS:
        return laid_out(op) and (numerics != "bitwise" or exact(op, types[0].dtype))
    return op.pure and (isinstance(op, Identity) or type(op) in movement.VIEWS or fits(op, types, numerics))


@attrs.frozen(eq=False)
class Plan:
    """What a step does: its kernels, the calls in order, and the tensors that are its results."""

    kernels: tuple[Kernel, ...]
    calls: tuple[Call, ...]
    constants: tuple[Array, ...]
    outputs: tuple[Tensor, ...]


def plan(graph: Graph, target: Target, numerics: Numerics) -> Plan:
    """Plan a step of a graph whose shapes are all concrete."""
    planner = Planner(graph, target, numerics)
    for node in graph.nodes:
        planner.node(node)
    return planner.finish()


@attrs.define
class Planner:
    """The plan as it grows; lives for one `plan`."""

    graph: Graph
    target: Target
    numerics: Numerics
    kernels: dict[Kernel, int] = attrs.field(factory=dict)
    calls: list[Call] = attrs.field(factory=list)
    constants: list[Array] = attrs.field(factory=list)
    tensors: dict[int, Any] = attrs.field(factory=dict)
    known: dict[int, Array] = attrs.field(factory=dict)
    padded: dict[Any, Tensor] = attrs.field(factory=dict)  # images with a number around them
    inputs: int = 0

    # Nodes

    def node(self, node: Node) -> None:
        """The calls that compute a node, and the tensor that is its value."""
        op = node.op
        if isinstance(op, Placeholder | Variable):
            room = Room("input", 0, node.id, op.name, self.inputs)
            self.inputs += 1
            self.tensors[node.id] = whole(room, concrete(node.type.shape), node.type.dtype)
        elif self._computable(node):
            with np.errstate(all="ignore"):
                given = [self.known[i] for i in node.inputs]
                self.known[node.id] = computed(op, node.origin, given, node.type)
        elif isinstance(op, Project):
            self.tensors[node.id] = self.tensors[node.inputs[0]][op.index]
        else:
            operands = [self.operand(i) for i in node.inputs]
            try:
                self.tensors[node.id] = self._compute(node, operands)
            except MemoryError as error:  # constants that it is computed with
                types = [operand.type for operand in map(self.graph.nodes.__getitem__, node.inputs)]
                raise failure(error, op, node.origin, types, node.type) from error

    def _computable(self, node: Node) -> bool:
        if isinstance(node.op, Counter) and count(concrete(node.type.shape)) > _FEW:
            return False  # loops count as they go
        return (
            node.op.pure
            and not isinstance(node.op, Fused)
            and all(i in self.known for i in node.inputs)
            and (
                (not node.inputs and type(node.op) not in movement.KERNELS)
                or count(concrete(node.type.shape)) * node.type.dtype.itemsize <= _KNOWN_LIMIT
            )
        )

    def _compute(self, node: Node, operands: list[Tensor]) -> Any:
        op = node.op
        if _empty(node, operands) or not supported(node, self.graph, self.numerics):
            return self.call_back(node, operands)
        if isinstance(op, Identity) and op.pure:
            return operands[0]
        view = movement.VIEWS.get(type(op))
        if view is not None:
            shape = concrete(node.type.shape)
            made = view(op, operands[0], shape)
            return made if made is not None else view(op, self.in_order(operands[0], node.id), shape)
        if isinstance(op, Fused):
            return self._fused(node, op, operands)
        kernel = movement.KERNELS.get(type(op))
        if kernel is not None:
            return kernel(self, node, operands)
        if isinstance(op, products.HEADS):
            return products.alone(self, node, op, operands)
        nodes = [read(k, t) for k, t in enumerate(operands)]
        inputs = tuple(range(len(nodes)))
        nodes.append(Inner(op, inputs, concrete(node.type.shape), node.type.dtype))
        return self.region(nodes, operands, [len(nodes) - 1], node.id)[0]

    def _fused(self, node: Node, op: Fused, operands: list[Tensor]) -> Any:
        inner: list[Inner] = []
        given = list(operands)
        for n in op.graph.nodes:
            shape, dtype = concrete(n.type.shape), n.type.dtype
            if isinstance(n.op, Placeholder):
                k = int(n.op.label)
                what: Any = self._number(node.inputs[k])
                inner.append(Inner(Read(k) if what is None else what, (), shape, dtype))
            elif not n.inputs:
                value = np.asarray(n.op.evaluate())
                inner.append(
                    Inner(number_of(value) if value.size == 1 else Read(len(given)), (), shape, dtype)
                )
                if value.size != 1:
                    given.append(self.constant(value, node.id))
            else:
                inner.append(Inner(n.op, n.inputs, shape, dtype))
        outputs = [i for _, i in op.graph.outputs]
        if any(isinstance(n.what, products.HEADS) for n in inner):
            made = products.fused(self, inner, given, outputs, node.id)
        else:
            made = self.region(inner, given, outputs, node.id)
        return tuple(made) if len(made) > 1 else made[0]

    def _number(self, i: int) -> Number | None:
        """The number that a node is known to be."""
        value = self.known.get(i)
        return number_of(value) if value is not None and value.size == 1 else None

    # What nodes are made of

    def operand(self, i: int) -> Tensor:
        """A node's value in memory."""
        if i not in self.tensors:
            self.tensors[i] = self.constant(self.known[i], i)
        found: Tensor = self.tensors[i]
        return found

    def constant(self, value: Array, node: int) -> Tensor:
        """An array that is known now."""
        array = np.array(value, order="C")
        array.flags.writeable = False
        self.constants.append(array)
        room = Room("constant", array.nbytes, node, "constant", len(self.constants) - 1)
        return whole(room, array.shape, array.dtype)

    def _written(self, tensors: Sequence[Tensor]) -> None:
        """See to it that what is counted lies in memory, for a kernel that reads it there."""
        for room in {t.room for t in tensors if _first(t) is not None and t.room.index < 0}:
            room.index = self.constant(
                np.arange(room.size // INT32.itemsize, dtype=INT32), room.node
            ).room.index

    def array(self, shape: Shape, dtype: DType, node: int, label: str) -> Tensor:
        """Room in the arena for a value."""
        return whole(Room("arena", count(shape) * dtype.itemsize, node, label), shape, dtype)

    def in_order(self, tensor: Tensor, node: int) -> Tensor:
        """The tensor itself where it is contiguous, else a copy that is."""
        return tensor if tensor.contiguous else self.copy(tensor, None, node)

    def copy(self, tensor: Tensor, out: Tensor | None, node: int) -> Tensor:
        """A copy of the elements, into `out` where that is given."""
        nodes = [read(0, tensor), Inner(BroadcastTo(tensor.shape), (0,), tensor.shape, tensor.dtype)]
        return self.region(nodes, [tensor], [1], node, None if out is None else [out])[0]

    def region(
        self,
        nodes: Sequence[Inner],
        operands: Sequence[Tensor],
        outputs: Sequence[int],
        node: int,
        into: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """The calls of a loop kernel, or of several where one would be long; `outputs` are places in `nodes`."""
        nodes, operands, done = list(nodes), list(operands), dict[int, Tensor]()
        groups = _groups(nodes, self.target)
        for k, group in enumerate(groups[:-1]):
            later = {j for rest in groups[k + 1 :] for i in rest for j in nodes[i].inputs}
            wanted = [i for i in group if i in later or i in outputs]
            part, given, place = extract(nodes, reachable(nodes, wanted))
            made = self._region(part, [operands[k] for k in given], [place[i] for i in wanted], node, None)
            for i, tensor in zip(wanted, made, strict=True):
                done[i], nodes[i] = tensor, read(len(operands), tensor)
                operands.append(tensor)
        left = [i for i in outputs if i not in done]
        if left:
            part, given, place = extract(nodes, reachable(nodes, left))
            made = self._region(part, [operands[k] for k in given], [place[i] for i in left], node, into)
            done.update(zip(left, made, strict=True))
        return [done[i] for i in outputs]

    def _region(
        self,
        nodes: Sequence[Inner],
        operands: Sequence[Tensor],
        outputs: Sequence[int],
        node: int,
        into: Sequence[Tensor] | None,
    ) -> list[Tensor]:
        folded = fold(nodes, operands, outputs, self.target) if into is None else None
        if folded is not None:
            return self._folded_region(folded, nodes, outputs, node)
        ordered = self._ordered(nodes, operands, node)
        same = same_values(nodes)
        made: dict[int, Tensor] = {}  # a reshape is a view of what it reshapes, be it computed here or given
        for i in dict.fromkeys(same[i] for i in outputs):
            what = nodes[i].what
            if isinstance(what, Read):
                made[i] = ordered[what.operand]
            elif isinstance(what, Number):
                made[i] = self.constant(np.full(nodes[i].shape, what.value, nodes[i].dtype), node)
        computed = [i for i in dict.fromkeys(same[i] for i in outputs) if i not in made]
        for k, i in enumerate(computed):
            room = self.array(nodes[i].shape, nodes[i].dtype, node, label(nodes[i]))
            made[i] = room if into is None else into[k]
        if computed:
            self._loops(nodes, ordered, computed, [made[i] for i in computed], node)
        return [movement.reshaped(made[same[i]], nodes[i].shape) for i in outputs]

    def _folded_region(
        self, folded: Folded, nodes: Sequence[Inner], outputs: Sequence[int], node: int
    ) -> list[Tensor]:
        """The results of a region, computed by long rows."""
        made = self._region(folded.nodes, folded.operands, outputs, node, None)
        results = []
        for i, tensor in zip(outputs, made, strict=True):
            if i in folded.sums:
                parts = attrs.evolve(tensor, shape=(folded.count, folded.short), strides=(folded.short, 1))
                total = Inner(Sum((0,)), (0,), (folded.short,), tensor.dtype)
                (tensor,) = self._region([read(0, parts), total], [parts], [1], node, None)
            results.append(attrs.evolve(tensor, shape=nodes[i].shape, strides=contiguous(nodes[i].shape)))
        return results

    def _loops(
        self,
        nodes: Sequence[Inner],
        operands: Sequence[Tensor],
        computed: Sequence[int],
        results: Sequence[Tensor],
        node: int,
    ) -> None:
        region = Region(
            tuple(nodes),
            tuple(Operand(t.shape, t.strides, t.dtype, _first(t)) for t in operands),
            tuple((i, t.strides) for i, t in zip(computed, results, strict=True)),
        )
        kernels = write_region(region, self.target, self.numerics != "bitwise")
        scratch = self.scratch(kernels[0].scratch, node)
        given = [t if _first(t) is None else scratch for t in operands]
        for kernel in kernels:
            self.call(kernel, given, results, node, scratch)

    def _ordered(self, nodes: Sequence[Inner], operands: Sequence[Tensor], node: int) -> list[Tensor]:
        """The operands; those that a reshape reads in another shape in order."""
        made = list(operands)
        for n in nodes:
            if isinstance(n.what, Reshape) and squeeze(n.shape) != squeeze(nodes[n.inputs[0]].shape):
                what = nodes[n.inputs[0]].what
                if isinstance(what, Read):
                    made[what.operand] = self.in_order(made[what.operand], node)
        return made

    def scratch(self, size: int, node: int) -> Tensor:
        """Room that a kernel needs for itself."""
        return self.array((size,), np.dtype(np.uint8), node, "scratch")

    def call(
        self,
        kernel: Kernel,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
        node: int,
        scratch: Tensor,
        tensors: Sequence[Tensor] = (),
    ) -> None:
        """One more call. A check needs the node's operands as `tensors`: they are what it reads."""
        number = self.kernels.setdefault(kernel, len(self.kernels))
        self._written(reads)
        arguments = tuple(Argument(t.room, t.offset) for t in (*reads, *writes, scratch))
        self.calls.append(
            Call(number, arguments, len(reads), len(writes), node, kernel.chunks, kernel.over, tuple(tensors))
        )

    def call_back(self, node: Node, operands: list[Tensor]) -> Any:
        """A call of the op's own `evaluate`."""
        types: Any = node.type
        several = isinstance(types, TupleType)
        results = [
            self.array(concrete(t.shape), t.dtype, node.id, node.op.name)
            for t in (types.items if several else (types,))
        ]
        self._written(operands)
        arguments = tuple(Argument(t.room, t.offset) for t in (*operands, *results))
        self.calls.append(
            Call(None, arguments, len(operands), len(results), node.id, tensors=(*operands, *results))
        )
        return tuple(results) if several else results[0]

    # The end

    def finish(self) -> Plan:
        """Results are computed where they are wanted, or copied there."""
        graph = self.graph
        wanted: list[tuple[Kind, int]] = [
            *(("next", i) for _, group in graph.updates for _, i in group),
            *(("output", i) for _, i in graph.outputs),
        ]
        counts = {"next": 0, "output": 0}
        outputs = []
        for kind, i in wanted:
            tensor = self.operand(i)
            number = counts[kind]
            counts[kind] += 1
            room = tensor.room
            size = _bytes(tensor)
            if room.kind == "arena" and tensor.contiguous and room.size == size and size:
                room.kind, room.index = kind, number
            elif size:
                out = whole(Room(kind, size, i, kind, number), tensor.shape, tensor.dtype)
                self.copy(tensor, out, i)
            if kind == "output":
                outputs.append(tensor)
        return Plan(tuple(self.kernels), tuple(self.calls), tuple(self.constants), tuple(outputs))


def _groups(nodes: Sequence[Inner], target: Target) -> list[list[int]]:
    """The nodes by the kernel they are computed in. A kernel has some length at most, since LLVM takes more than
    linear time over a long one; and sums that would keep costly work on short rows from being one long loop come
    after it.
    """
    computed = [i for i, n in enumerate(nodes) if not isinstance(n.what, Read | Number)]
    sums = _apart(nodes, computed, target)
    groups: list[list[int]] = [[]]
    length = 0
    for i in computed:
        if i in sums:
            continue
        if groups[-1] and length + cost(nodes[i]) > _LONGEST:
            groups.append([])
            length = 0
        groups[-1].append(i)
        length += cost(nodes[i])
    return [*groups, sums] if sums else groups


def _apart(nodes: Sequence[Inner], computed: Sequence[int], target: Target) -> list[int]:
    """The sums over rows that are better computed after all else: rows shorter than half a vector, on which much is
    computed element by element.
    """
    tails = [i for i in computed if is_tail(nodes[i])]
    others = [nodes[i] for i in computed if i not in tails]
    shapes = {squeeze(n.shape) for n in others}
    if not tails or len(shapes) != 1 or any(isinstance(n.what, Reduction) for n in others):
        return []
    (shape,) = shapes
    costly = sum(map(cost, others)) >= COSTLY
    short = len(shape) > 1 and 2 * shape[-1] < target.lanes(others[0].dtype.itemsize)
    return [i for i in tails if squeeze(nodes[i].shape)] if costly and short else []


def _first(tensor: Tensor) -> int | None:
    """The first number of a counter, or of a view of one; None for what lies in memory alone."""
    return tensor.offset // tensor.dtype.itemsize if tensor.room.label == movement.COUNTER else None


def _empty(node: Node, operands: Sequence[Tensor]) -> bool:
    """Whether there is a value without elements: loops run at least once."""
    nodes = node.op.graph.nodes if isinstance(node.op, Fused) else (node,)
    shapes = [t.shape for t in operands]
    shapes += [concrete(n.type.shape) for n in nodes if not isinstance(n.type, TupleType)]
    return any(0 in shape for shape in shapes)


def _bytes(tensor: Tensor) -> int:
    return count(tensor.shape) * tensor.dtype.itemsize
