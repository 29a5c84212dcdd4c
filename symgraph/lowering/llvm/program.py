"""The native backend's program: a compiled step with its memory plan.

    lower : Graph (fused, concrete) -> LlvmProgram
"""

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import attrs
import numpy as np

from symgraph.errors import ExecutionError, SymgraphError
from symgraph.ir import Array, Graph
from symgraph.lowering.llvm.buffers import Call, Room, place
from symgraph.lowering.llvm.cache import object_for
from symgraph.lowering.llvm.jit import Loaded, assembly, load
from symgraph.lowering.llvm.planner import Plan, fits, native, plan, supported
from symgraph.lowering.llvm.pool import Pool, pool, thread_count
from symgraph.lowering.llvm.step import ARENA, CALL_BACK, DATA, FIRST, ITEMS, POOL, RUN, module
from symgraph.lowering.llvm.target import Target, host
from symgraph.lowering.program import Instance, MemoryPlan, Options, inputs
from symgraph.origin import printable
from symgraph.rewrite import Numerics, Operation, Pass, Rewritten, Row
from symgraph.transforms.expand import expand_pass
from symgraph.transforms.fusion import fusion_pass


def passes() -> tuple[Pass, ...]:
    """What prepares a graph: composite ops opened, regions fused, and calls back to Python told."""
    return (expand_pass(native()), fusion_pass(fits), Pass("native", _tell))


def _tell(graph: Graph, numerics: Numerics) -> Rewritten:
    """Rows of the ledger for the nodes that have no kernel."""
    rows = []
    for node in graph.nodes:
        if supported(node, graph, numerics):
            continue
        types = tuple(graph.nodes[i].type for i in node.inputs)
        lines = tuple(str(source) for source in node.origin.sources)
        operation = (Operation(node.op, node.type, types),)
        rows.append(
            Row(0, "native", f"{node.op.name} by a call back to Python", "exact", (node.id,), (node.id,), lines, operation, operation)
        )
    return Rewritten(graph, tuple(rows))


def lower(graph: Graph, options: Options) -> "LlvmProgram":
    """Plan, place, write, compile and link a step of concrete shapes."""
    target = host()
    made = plan(graph, target, options.numerics)
    offsets, memory = place(made.calls, ())
    updates = sum(len(group) for _, group in graph.updates)
    arrays = len(inputs(graph)) + len(made.outputs) + updates
    bases = {
        "input": FIRST,
        "output": FIRST + len(inputs(graph)),
        "next": FIRST + len(inputs(graph)) + len(made.outputs),
        "constant": FIRST + arrays,
    }
    rooms = {room: None for call in made.calls for room, _ in call.arguments}
    slots = {
        room: (ARENA, offsets[room]) if room.kind == "arena" else (bases[room.kind] + room.index, 0)
        for room in rooms
    }
    flush = options.numerics == "fast"
    text = module(made.kernels, made.calls, slots, arrays, target, {}, flush)
    code = load(object_for(text, target), ("step",))
    return LlvmProgram(memory, graph, made, slots, arrays, target, flush, code, pool(thread_count(options.threads)))


@attrs.frozen(eq=False, slots=False)
class LlvmProgram:
    """A linked step for one binding of the named sizes; immutable, shared by threads."""

    memory: MemoryPlan
    _graph: Graph
    _plan: Plan
    _slots: Mapping[Room, tuple[int, int]]
    _arrays: int
    _target: Target
    _flush: bool
    _code: Loaded
    _pool: Pool | None

    @cached_property
    def source(self) -> str:
        """The module's IR; above each call stands which nodes it computes, and the user's lines."""
        plan, comments = self._plan, self._comments()
        return module(
            plan.kernels, plan.calls, self._slots, self._arrays, self._target, comments, self._flush
        )

    @cached_property
    def assembly(self) -> str:
        """The machine code as text."""
        return assembly(self.source, self._target)

    def _comments(self) -> dict[int, str]:
        made = {}
        for number, call in enumerate(self._plan.calls):
            node = self._graph.nodes[call.node]
            made[number] = printable(f"%{node.id} {node.op.name} {node.type}  {node.origin}")
        return made

    def instance(self) -> Instance:
        """A function with an arena and a table of its own."""
        try:
            raw = np.empty(self.memory.peak + 64, np.uint8)
        except (MemoryError, ValueError) as error:
            raise ExecutionError(
                f"a run needs {self.memory.peak} bytes for what it computes, more than there is",
                hint="Feed smaller batches, or look for the largest buffers in Executable.memory_plan.",
            ) from error
        start = -raw.ctypes.data % 64
        return _instance(self, raw[start : start + self.memory.peak])


def _instance(program: LlvmProgram, arena: Array) -> Instance:
    plan, code, pool_ = program._plan, program._code, program._pool
    constants = plan.constants
    table = np.zeros(FIRST + program._arrays + len(constants), np.int64)
    items, data = object_layout()
    table[ARENA], table[ITEMS], table[DATA] = arena.ctypes.data, items, data
    if pool_ is not None:
        table[POOL], table[RUN] = pool_.address, pool_.run
    for k, constant in enumerate(constants):
        table[FIRST + program._arrays + k] = constant.ctypes.data
    shapes = [(tensor.shape, tensor.dtype) for tensor in plan.outputs]
    step = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(code.addresses["step"])
    address = table.ctypes.data
    scalars = [k for k, (shape, _) in enumerate(shapes) if not shape]
    empty = np.empty
    back = _CallBack(program, arena) if any(call.tensors for call in plan.calls) else None
    if back is not None:
        table[CALL_BACK] = back.address

    def run(values: Sequence[Array], destinations: Sequence[Array]) -> tuple[Array, ...]:
        outputs = [empty(shape, dtype) for shape, dtype in shapes]
        arrays = (*values, *outputs, *destinations)
        if back is not None:
            back.arrays = arrays
        failed = step(address, _address(arrays))
        if failed:
            assert back is not None
            back.fail(failed - 1)
        for k in scalars:
            outputs[k] = outputs[k][()]
        return tuple(outputs)

    # What the addresses in the table point to lives as long as the function.
    run.__dict__["keeps"] = (table, arena, code, constants, pool_)
    return run


class _CallBack:
    """Runs an op's own `evaluate` in the middle of a step, for one instance."""

    def __init__(self, program: LlvmProgram, arena: Array) -> None:
        self._program, self._arena = program, arena
        self._function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(self._called)
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0
        self.arrays: tuple[Array, ...] = ()
        self._error: BaseException | None = None

    def _called(self, number: int) -> int:
        try:
            self._evaluate(self._program._plan.calls[number])
        except BaseException as error:  # it goes on in `fail`, on the other side of the native code
            self._error = error
            return 1
        return 0

    def _evaluate(self, call: Call) -> None:
        node = self._program._graph.nodes[call.node]
        operands = [self._array(t) for t in call.tensors[: call.reads]]
        with np.errstate(all="ignore"):
            made: Any = node.op.evaluate(*(np.ascontiguousarray(x).reshape(x.shape) for x in operands))
        results = made if isinstance(made, tuple) else (made,)
        for tensor, result in zip(call.tensors[call.reads :], results, strict=True):
            np.copyto(self._array(tensor), result)

    def _array(self, tensor: Any) -> Array:
        slot, offset = self._program._slots.get(tensor.room, (0, 0))
        if tensor.room.kind == "arena":
            return tensor.view(self._arena[offset:])
        if tensor.room.kind == "constant":
            whole: Array = self._program._plan.constants[tensor.room.index]
        else:
            whole = self.arrays[slot - FIRST]
        return tensor.view(whole.reshape(-1).view(np.uint8))

    def fail(self, number: int) -> None:
        """Raise what made a step stop, with the user's line."""
        error, self._error = self._error, None
        call = self._program._plan.calls[number]
        node = self._program._graph.nodes[call.node]
        if error is None:  # a check: the op itself knows what to say
            try:
                self._evaluate(call)
            except SymgraphError as found:
                error = found
        source = node.origin.sources[0] if node.origin.sources else None
        if isinstance(error, SymgraphError):
            error.source = source
            raise error from None
        if isinstance(error, Exception) or error is None:
            raise ExecutionError(f"{node.op.name}: the run failed: {error}", source=source) from error
        raise error


@lru_cache(1)
def object_layout() -> tuple[int, int]:
    """Where a tuple holds its items and an array the address of its elements, in bytes from their starts; (0, 0)
    where this interpreter does not keep them so.
    """
    if sys.implementation.name != "cpython":
        return 0, 0
    items, data = tuple.__basicsize__, object.__basicsize__
    for shape in ((), (3,), (2, 5)):
        array = np.zeros(shape, np.float32)
        pair = (None, array)
        try:
            held = ctypes.c_void_p.from_address(id(pair) + items + ctypes.sizeof(ctypes.c_void_p)).value
            points = ctypes.c_void_p.from_address(id(array) + data).value
        except ValueError:
            return 0, 0
        if held != id(array) or points != array.ctypes.data:
            return 0, 0
    return items, data


def _by_id(arrays: tuple[Array, ...]) -> Any:
    return id(arrays)


def _by_pointers(arrays: tuple[Array, ...]) -> Any:
    """The same for the step where objects lie otherwise: pointers to pointers."""
    addresses = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    size, start = ctypes.sizeof(ctypes.c_void_p), ctypes.addressof(addresses)
    made = (ctypes.c_void_p * len(arrays))(*(start + k * size for k in range(len(arrays))))
    made.addresses = addresses  # type: ignore[attr-defined]
    return made


_address: Callable[[tuple[Array, ...]], Any] = _by_id if object_layout() != (0, 0) else _by_pointers


