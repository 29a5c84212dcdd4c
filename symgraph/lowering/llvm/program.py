"""The native backend's program: a compiled step with its memory plan.

lower : Graph (fused, concrete) -> LlvmProgram
"""

import ctypes
import sys
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import attrs
import numpy as np

from symgraph.errors import ExecutionError, SymgraphError
from symgraph.ir import Array, Graph, Placeholder, Variable
from symgraph.lowering.llvm.buffers import Call, Room, Tensor, place
from symgraph.lowering.llvm.cache import linked
from symgraph.lowering.llvm.jit import Loaded, assembly
from symgraph.lowering.llvm.planner import Plan, fits, native, plan, supported
from symgraph.lowering.llvm.pool import pool, thread_count
from symgraph.lowering.llvm.step import (
    ARENA,
    ARRAY_TYPE,
    CALL_BACK,
    DATA,
    DONE,
    DTYPES,
    FIRST,
    ITEMS,
    KINDS,
    POOL,
    RUN,
    module,
)
from symgraph.lowering.llvm.target import Target, host
from symgraph.lowering.plan import concrete
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
            Row(
                0,
                "native",
                f"{node.op.name} by a call back to Python",
                "exact",
                (node.id,),
                (node.id,),
                lines,
                operation,
                operation,
            )
        )
    return Rewritten(graph, tuple(rows))


def lower(graph: Graph, options: Options) -> "LlvmProgram":
    """Plan, place, write, compile and link a step of concrete shapes."""
    target = host()
    made = plan(graph, target, options.numerics)
    offsets, memory = place(made.calls, ())
    bases, arrays = {"constant": FIRST}, 0
    for kind, count in (
        ("input", len(inputs(graph))),
        ("output", len(made.outputs)),
        ("next", sum(len(group) for _, group in graph.updates)),
    ):
        bases[kind] = FIRST + arrays
        arrays += count
    bases["constant"] = FIRST + arrays
    rooms = {room: None for call in made.calls for room, _ in call.arguments}
    slots = {
        room: (ARENA, offsets[room]) if room.kind == "arena" else (bases[room.kind] + room.index, 0)
        for room in rooms
    }
    text = _text(graph, made, slots, arrays, target, options, {})
    code = linked(text, target, ("step",))
    return LlvmProgram(memory, graph, made, slots, arrays, target, options, code)


def _text(
    graph: Graph,
    made: Plan,
    slots: Mapping[Room, tuple[int, int]],
    arrays: int,
    target: Target,
    options: Options,
    comments: Mapping[int, str],
) -> str:
    leaves = (node for node in graph.nodes if isinstance(node.op, Placeholder | Variable))
    types = [(node.type.dtype, concrete(node.type.shape)) for node in leaves]
    flush = options.numerics == "fast"
    return module(made.kernels, made.calls, slots, types, arrays, target, comments, flush)


@attrs.frozen(eq=False, slots=False)
class LlvmProgram:
    """A linked step for one binding of the named sizes; immutable, shared by threads."""

    memory: MemoryPlan
    _graph: Graph
    _plan: Plan
    _slots: Mapping[Room, tuple[int, int]]
    _arrays: int
    _target: Target
    _options: Options
    _code: Loaded

    @property
    def careful(self) -> bool:
        """Whether the code itself looks at the arrays that it is given."""
        return object_layout() is not None

    @cached_property
    def source(self) -> str:
        """The module's IR; above each call stands which nodes it computes, and the user's lines."""
        return _text(
            self._graph,
            self._plan,
            self._slots,
            self._arrays,
            self._target,
            self._options,
            self._comments(),
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
            raise _too_large(self) from error
        start = -raw.ctypes.data % 64
        return _instance(self, raw[start : start + self.memory.peak])


def _too_large(program: LlvmProgram) -> ExecutionError:
    results = sum(prod(t.shape) * t.dtype.itemsize for t in program._plan.outputs)
    return ExecutionError(
        f"a run needs {program.memory.peak + results} bytes for what it computes, more than there is",
        hint="Feed smaller batches, or look for the largest buffers in Executable.memory_plan.",
    )


def _instance(program: LlvmProgram, arena: Array) -> Instance:
    plan, code = program._plan, program._code
    table = np.zeros(FIRST + program._arrays + len(plan.constants), np.int64)
    layout = object_layout()
    table[ARENA] = arena.ctypes.data
    if layout is not None:
        table[ITEMS], table[DATA], table[ARRAY_TYPE] = *layout, id(np.ndarray)
        table[DTYPES : DTYPES + len(KINDS)] = [id(dtype) for dtype in KINDS]
    shared = any(call.chunks > 1 for call in plan.calls)
    helpers = pool(thread_count(program._options.threads)) if shared else None
    if helpers is not None:
        table[POOL], table[RUN] = helpers.address, helpers.run
    for k, constant in enumerate(plan.constants):
        table[FIRST + program._arrays + k] = constant.ctypes.data
    back = _CallBack(program, arena, table) if any(call.tensors for call in plan.calls) else None
    step = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(code.addresses["step"])
    address, as_argument, empty = table.ctypes.data, id if layout is not None else _by_pointers, np.empty
    shapes = [(tensor.shape, tensor.dtype) for tensor in plan.outputs]
    # A number is taken out of its array before the next call: the array can stay.
    numbers = [(k, empty(shape, dtype)) for k, (shape, dtype) in enumerate(shapes) if not shape]
    arrays_out = [(k, shape, dtype) for k, (shape, dtype) in enumerate(shapes) if shape]
    outputs: list[Any] = [None] * len(shapes)
    keeps = (table, arena, code, plan.constants, helpers)  # the table holds addresses of theirs

    def run(values: Sequence[Array], destinations: Sequence[Array], sure: bool = True) -> Any:
        made = outputs.copy()
        for k, number in numbers:
            made[k] = number
        try:
            for k, shape, dtype in arrays_out:
                made[k] = empty(shape, dtype)
        except (MemoryError, ValueError) as error:
            raise _too_large(program) from error
        arrays = (*values, *made, *destinations)
        if back is not None:
            back.arrays = arrays
        failed = step(address, as_argument(arrays))
        if failed:
            if failed < 0:
                if not sure:
                    return None
                # Of an equal type that is another object, such as a dtype with metadata.
                keeps[0][ARRAY_TYPE] = 0
                try:
                    failed = step(address, as_argument(arrays))
                finally:
                    keeps[0][ARRAY_TYPE] = id(np.ndarray)
            if failed:
                assert back is not None
                back.fail(failed - 1)
        if back is not None:
            back.arrays = ()
        for k, number in numbers:
            made[k] = number[()]
        return tuple(made)

    return run


class _CallBack:
    """Runs an op's own `evaluate` in the middle of a step, for one instance."""

    def __init__(self, program: LlvmProgram, arena: Array, table: Array) -> None:
        self._program, self._arena, self._table = program, arena, table
        self.arrays: tuple[Array, ...] = ()
        self._error: BaseException | None = None
        self._listen()

    def _listen(self) -> None:
        answers = self._answers()
        next(answers)
        self._function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(answers.send)
        self._table[CALL_BACK] = ctypes.cast(self._function, ctypes.c_void_p).value

    def _answers(self) -> Generator[int, int, None]:
        """For each call that it is sent, whether that was done.

        A generator, for signals that came while kernels ran: Python raises what they raise as soon as it goes on,
        which here is within `try`, and would be before it in a function.
        """
        answer = DONE
        while True:
            number = None
            try:
                number = yield answer
                self._evaluate(self._program._plan.calls[number])
                answer = DONE
            except BaseException as error:  # it goes on in `fail`, on the other side of the native code
                if number is None and isinstance(error, GeneratorExit):
                    return
                self._error, answer = error, not DONE

    def _evaluate(self, call: Call) -> None:
        node = self._program._graph.nodes[call.node]
        places = call.tensors[call.reads :]
        with np.errstate(all="ignore"):
            made: Any = node.op.evaluate(*(self._operand(t) for t in call.tensors[: call.reads]))
        if not places:  # a check
            return
        results = [np.asarray(result) for result in (made if isinstance(made, tuple) else (made,))]
        gave, told = (", ".join(f"{x.dtype}{[*x.shape]}" for x in some) for some in (results, places))
        if gave != told:
            raise ExecutionError(
                f"{node.op.name}: evaluate gave {gave}, and infer says {told}", hint="Mend one of the two."
            )
        for tensor, result in zip(places, results, strict=True):
            np.copyto(self._array(tensor), result)

    def _operand(self, tensor: Tensor) -> Array:
        """What an op is given: in C order, and not to be written, since it may be what a caller fed."""
        found = self._array(tensor)
        array = np.ascontiguousarray(found).reshape(found.shape)
        array.flags.writeable = False
        return array

    def _array(self, tensor: Tensor) -> Array:
        if tensor.room.kind == "arena":
            return tensor.view(self._arena[self._program._slots[tensor.room][1] :])
        if tensor.room.kind == "constant":
            whole = self._program._plan.constants[tensor.room.index]
        else:
            whole = self.arrays[self._program._slots[tensor.room][0] - FIRST]
        return tensor.view(whole.reshape(-1).view(np.uint8))

    def fail(self, number: int) -> None:
        """Raise what made a step stop, with the user's line."""
        error, self._error = self._error, None
        call = self._program._plan.calls[number]
        node = self._program._graph.nodes[call.node]
        if error is None and call.kernel is None:  # it never began
            self._listen()
            error = KeyboardInterrupt()
        elif error is None:  # a check: the op itself knows what to say
            try:
                self._evaluate(call)
            except SymgraphError as found:
                error = found
        source = node.origin.sources[0] if node.origin.sources else None
        if isinstance(error, SymgraphError):
            error.source = source
            raise error from None
        if error is None:
            raise ExecutionError(f"{node.op.name}: its operands were changed while it ran", source=source)
        if isinstance(error, Exception):
            raise ExecutionError(f"{node.op.name}: the run failed: {error}", source=source) from error
        raise error


@lru_cache(1)
def object_layout() -> tuple[int, int] | None:
    """Where a tuple holds its items and an array the address of its elements, in bytes from their starts; None where
    this interpreter or this NumPy does not lay out its objects as the generated code reads them.
    """
    if sys.implementation.name != "cpython":
        return None
    items, data = tuple.__basicsize__, object.__basicsize__
    backwards = np.zeros((2, 5), np.int64)[:, ::-1]
    samples = (np.zeros((), np.float32), np.zeros(3, bool), np.ones((2, 5), np.int32), backwards)
    if np.ndarray.__basicsize__ < data + 56:
        return None
    for array in samples:
        start, pair = id(array) + data, (None, array)
        sizes = _at(ctypes.c_void_p, start + 16)
        as_expected = (
            _at(ctypes.c_void_p, id(pair) + items + 8) == id(array)
            and _at(ctypes.c_void_p, start - 8) == id(np.ndarray)
            and _at(ctypes.c_void_p, start) == array.ctypes.data
            and _at(ctypes.c_int32, start + 8) == array.ndim
            and (not array.ndim or (ctypes.c_int64 * array.ndim).from_address(sizes)[:] == list(array.shape))
            and _at(ctypes.c_void_p, start + 40) == id(array.dtype)
            and bool(_at(ctypes.c_int32, start + 48) & 1) == array.flags.c_contiguous
        )
        if not as_expected:
            return None
    return items, data


def _at(kind: Any, address: int) -> Any:
    return kind.from_address(address).value


def _by_pointers(arrays: tuple[Array, ...]) -> Any:
    """The arrays for the step where objects lie otherwise: pointers to pointers to elements."""
    addresses = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    size, start = ctypes.sizeof(ctypes.c_void_p), ctypes.addressof(addresses)
    made = (ctypes.c_void_p * len(arrays))(*(start + k * size for k in range(len(arrays))))
    made.addresses = addresses  # type: ignore[attr-defined]
    return made
