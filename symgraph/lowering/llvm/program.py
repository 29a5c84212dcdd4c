"""The native backend's program: a compiled step with its memory plan.

lower : Graph (fused, concrete) -> LlvmProgram
"""

import contextlib
import ctypes
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from math import prod
from typing import Any

import attrs
import numpy as np

from symgraph.contracts import computed, failure
from symgraph.errors import CompileError, ExecutionError
from symgraph.ir import Array, Graph, Op
from symgraph.lowering.llvm.buffers import Call, Tensor
from symgraph.lowering.llvm.cache import keep, kept
from symgraph.lowering.llvm.clock import Clock, Ticking, clock
from symgraph.lowering.llvm.entry import entry_key, pack, unpack
from symgraph.lowering.llvm.jit import Loaded, assembly, load, object_code
from symgraph.lowering.llvm.listing import kernels
from symgraph.lowering.llvm.objects import by_pointers, object_layout
from symgraph.lowering.llvm.planner import fits, native, rounds, supported
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
)
from symgraph.lowering.llvm.target import Target, host
from symgraph.lowering.llvm.written import Facts, Written, write
from symgraph.lowering.program import (
    Clocked,
    Instance,
    KernelCode,
    Mark,
    MemoryPlan,
    Options,
    Stamps,
    too_large,
)
from symgraph.ops.region import Fused, in_order
from symgraph.origin import printable, relative, visible
from symgraph.rewrite import Class, Numerics, Operation, Pass, Rewritten, Row
from symgraph.transforms.channels_last import channels_last_pass
from symgraph.transforms.expand import expand_pass
from symgraph.transforms.fusion import fusion_pass


def passes() -> tuple[Pass, ...]:
    """What prepares a graph: channels last, composite ops opened, regions fused, and calls back to Python told."""
    return (channels_last_pass(), expand_pass(native()), fusion_pass(fits), Pass("native", _tell))


def _tell(graph: Graph, numerics: Numerics) -> Rewritten:
    """Rows of the ledger for the nodes that have no kernel, and for those whose kernel rounds otherwise than
    `evaluate` does: sums in another order, products and sums in one rounding, functions within their bounds.
    """
    rows = []
    for node in graph.nodes:
        class_: Class = "exact"
        if not supported(node, graph, numerics):
            rule = f"{node.op.name} by a call back to Python"
        else:
            inner = node.op.graph if isinstance(node.op, Fused) else graph
            nodes = inner.nodes if isinstance(node.op, Fused) else (node,)
            own = [n.op.name for n in nodes if n.inputs and rounds(n, inner)]
            if not own or numerics == "bitwise":
                continue
            rule, class_ = f"native {', '.join(dict.fromkeys(own))}", "reassociates"
        types = tuple(graph.nodes[i].type for i in node.inputs)
        lines = tuple(f"{visible(relative(s.file))}:{s.line}" for s in node.origin.sources)
        operation = (Operation(node.op, node.type, types),)
        rows.append(Row(0, "native", rule, class_, (node.id,), (node.id,), lines, operation, operation))
    return Rewritten(graph, tuple(rows))


def lower(graph: Graph, options: Options) -> "LlvmProgram":
    """The step of a graph of concrete shapes: from the cache, or planned, written and compiled, and kept there."""
    target = host()
    key = entry_key(graph, options, target)
    found = kept(key) if key is not None else None
    if found is not None:
        facts, code = unpack(found)
        with contextlib.suppress(CompileError):  # what another build of LLVM made may not link
            return LlvmProgram(graph, options, target, facts, load(code, ("step",)), None)
    step = write(graph, options, target)
    code = object_code(step.text({}), target)
    if key is not None:
        keep(key, pack(step.facts, code))
    return LlvmProgram(graph, options, target, step.facts, load(code, ("step",)), step)


@attrs.frozen(eq=False, slots=False)
class LlvmProgram:
    """A linked step for one binding of the named sizes; immutable, shared by threads.

    `facts` are what a call needs to know; the rest, in `_step`, is worked out again for who wants to see it.
    """

    _graph: Graph
    _options: Options
    _target: Target
    _facts: Facts
    _code: Loaded
    _written: Written | None

    @cached_property
    def _step(self) -> Written:
        return self._written or write(self._graph, self._options, self._target)

    @property
    def memory(self) -> MemoryPlan:
        """The buffers of the arena."""
        return self._step.memory

    @property
    def careful(self) -> bool:
        """Whether the code itself looks at the arrays that it is given."""
        return object_layout() is not None

    @cached_property
    def source(self) -> str:
        """The module's IR; above each call stands which nodes it computes, and the user's lines."""
        made = {}
        for number, call in enumerate(self._step.plan.calls):
            node = self._graph.nodes[call.node]
            made[number] = printable(f"%{node.id} {node.op.name} {node.type}  {node.origin}")
        return self._step.text(made)

    @cached_property
    def assembly(self) -> str:
        """The machine code as text."""
        return assembly(self.source, self._target)

    @cached_property
    def kernels(self) -> tuple[KernelCode, ...]:
        """The nodes that calls compute, with their lines in the IR and in the assembly."""
        return kernels(self._step.plan.calls, self.source, self.assembly)

    def instance(self) -> Instance:
        """A function with an arena and a table of its own."""
        return _instance(self, _arena(self))

    def clocked(self) -> Clocked:
        """The same step compiled with a clock, on the same threads."""
        return clocked(self, clock())


def clocked(program: LlvmProgram, clock: Clock) -> Clocked:
    """The step with a clock that is read after every call."""
    facts, calls = program._facts, program._step.plan.calls
    names = [program._graph.nodes[call.node].op.name for call in calls]
    marks = tuple(
        Mark(call.node, f"@kernel{call.kernel}" if call.kernel is not None else name)
        for call, name in zip(calls, names, strict=True)
    )
    slot = FIRST + facts.arrays + len(facts.constants)
    text = program._step.text({}, Ticking(slot, clock.identity))
    code = load(object_code(text, program._target), ("step",))

    def instance() -> tuple[Instance, Callable[[], Stamps]]:
        stamps = np.zeros(len(calls) + 1, np.int64)
        more = ((clock.address, clock), (stamps.ctypes.data, stamps))
        step = _instance(program, _arena(program), code, more)

        def run(values: Sequence[Array], destinations: Sequence[Array]) -> Sequence[Array]:
            stamps[:] = 0
            return step(values, destinations)

        def read() -> Stamps:
            told: list[int] = stamps.tolist()
            return told

        return run, read

    return Clocked(marks, instance)


def _arena(program: LlvmProgram) -> Array:
    peak = program._facts.peak
    try:
        raw = np.empty(peak + 64, np.uint8)
    except (MemoryError, ValueError) as error:
        raise _too_large(program) from error
    start = -raw.ctypes.data % 64
    return raw[start : start + peak]


def _too_large(program: LlvmProgram) -> ExecutionError:
    facts = program._facts
    results = sum(prod(shape) * dtype.itemsize for shape, dtype in facts.outputs)
    return too_large(facts.peak + results, program.memory, program._graph)


def _instance(
    program: LlvmProgram, arena: Array, clocked: Loaded | None = None, more: Sequence[tuple[int, object]] = ()
) -> Instance:
    """A call of the program's code or of the `clocked` one, with a table of its own, at whose end are `more`
    addresses, each with what it is good for as long as that lives.
    """
    facts, code = program._facts, clocked or program._code
    end = FIRST + facts.arrays + len(facts.constants)
    table = np.zeros(end + len(more), np.int64)
    table[end:] = [address for address, _ in more]
    layout = object_layout()
    table[ARENA] = arena.ctypes.data
    if layout is not None:
        table[ITEMS], table[DATA], table[ARRAY_TYPE] = *layout, id(np.ndarray)
        table[DTYPES : DTYPES + len(KINDS)] = [id(dtype) for dtype in KINDS]
    helpers = pool(thread_count(program._options.threads)) if facts.shared else None
    if helpers is not None:
        table[POOL], table[RUN] = helpers.address, helpers.run
    for k, constant in enumerate(facts.constants):
        table[FIRST + facts.arrays + k] = constant.ctypes.data
    back = _CallBack(program, arena, table) if facts.calls_back else None
    step = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(code.addresses["step"])
    address, as_argument, empty = table.ctypes.data, id if layout is not None else by_pointers, np.empty
    # A number is taken out of its array before the next call: the array can stay.
    numbers = [None if shape else empty(shape, dtype) for shape, dtype in facts.outputs]
    held = [number for number in numbers if number is not None]
    only_numbers = held if len(held) == len(numbers) else None
    keeps = (table, arena, code, facts.constants, helpers, more)  # the table holds addresses of theirs

    def run(values: Sequence[Array], destinations: Sequence[Array], sure: bool = True) -> Any:
        made = only_numbers if only_numbers is not None else _results(program, numbers)
        arrays = (*values, *made, *destinations)
        if back is not None:
            back.arrays = arrays
        try:
            failed = step(address, as_argument(arrays))
            if failed < 0:
                if not sure:
                    return None
                # Of an equal type that is another object, such as a dtype with metadata.
                keeps[0][ARRAY_TYPE] = 0
                try:
                    failed = step(address, as_argument(arrays))
                finally:
                    keeps[0][ARRAY_TYPE] = id(np.ndarray)
            if failed and back is not None:
                back.fail(failed - 1)
        finally:
            if back is not None:  # also after a failure: what was fed is the caller's to let go
                back.arrays = ()
        return [array if array.ndim else array[()] for array in made]

    return run


def _results(program: LlvmProgram, numbers: Sequence[Array | None]) -> list[Array]:
    """Arrays for the outputs, which are the caller's own, but for numbers."""
    try:
        return [
            np.empty(shape, dtype) if number is None else number
            for number, (shape, dtype) in zip(numbers, program._facts.outputs, strict=True)
        ]
    except (MemoryError, ValueError) as error:
        raise _too_large(program) from error


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
                self._evaluate(self._program._step.plan.calls[number])
                answer = DONE
            except BaseException as error:  # it goes on in `fail`, on the other side of the native code
                if number is None and isinstance(error, GeneratorExit):
                    return
                self._error, answer = error, not DONE

    def _evaluate(self, call: Call) -> None:
        node = self._program._graph.nodes[call.node]
        places = call.tensors[call.reads :]
        operands = self._operands(node.op, call.tensors[: call.reads])
        with np.errstate(all="ignore"):
            made: Any = computed(node.op, node.origin, operands, node.type)
        if not places:  # a check
            return
        for tensor, result in zip(places, made if isinstance(made, tuple) else (made,), strict=True):
            np.copyto(self._array(tensor), result)

    def _operands(self, op: Op, tensors: Sequence[Tensor]) -> list[Array]:
        """What an op is given: in C order where its bits depend on that, as the interpreter gives it; and not to be
        written, since it may be what a caller fed.
        """
        arrays = in_order(op, [self._array(tensor) for tensor in tensors])
        for array in arrays:
            array.flags.writeable = False
        return arrays

    def _array(self, tensor: Tensor) -> Array:
        if tensor.room.kind == "arena":
            return tensor.view(self._arena[self._program._step.slots[tensor.room][1] :])
        if tensor.room.kind == "constant":
            whole = self._program._facts.constants[tensor.room.index]
        else:
            whole = self.arrays[self._program._step.slots[tensor.room][0] - FIRST]
        return tensor.view(whole.reshape(-1).view(np.uint8))

    def fail(self, number: int) -> None:
        """Raise what made a step stop, with the user's line."""
        error, self._error = self._error, None
        call = self._program._step.plan.calls[number]
        node = self._program._graph.nodes[call.node]
        if error is None and call.kernel is None:  # it never began
            self._listen()
            error = KeyboardInterrupt()
        elif error is None:  # a check: the op itself knows what to say
            try:
                self._evaluate(call)
            except Exception as found:
                error = found
        if error is None:
            source = node.origin.sources[0] if node.origin.sources else None
            raise ExecutionError(f"{node.op.name}: its operands were changed while it ran", source=source)
        if not isinstance(error, Exception):
            raise error
        types = [self._program._graph.nodes[i].type for i in node.inputs]
        told = failure(error, node.op, node.origin, types, node.type)
        raise told from (error.__cause__ if told is error else error)
