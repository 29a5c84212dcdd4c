"""The NumPy backend: a generated, readable Python function of ufunc calls into planned buffers.

    lower : Graph (fused, concrete) -> NumpyProgram

The text holds no name that a user wrote: values are i0 (input), c3 (constant), b5 (buffer), v7 (view), o0
(output), u0 (an update's destination); in a loop, s2 is a block of rows of something outside, t4 of something
inside. The user's lines are comments, with everything but printable ASCII escaped.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter_ns
from typing import Any

import attrs
import numpy as np

from symgraph.collector import paused
from symgraph.contracts import computed, failure, is_ours
from symgraph.errors import ExecutionError, SymgraphError
from symgraph.ir import Array, Graph, node_bytes
from symgraph.lowering.numpy_lines import Line, kernels, with_clock
from symgraph.lowering.numpy_ops import KERNELS, Emitted, in_place, native, scratch, view_of
from symgraph.lowering.plan import (
    Layout,
    Loop,
    Memory,
    Place,
    Program,
    Step,
    allocate,
    by_rows,
    classify,
    concrete,
    flatten,
    is_tail,
)
from symgraph.lowering.program import (
    Clocked,
    Instance,
    KernelCode,
    MemoryPlan,
    Options,
    Stamps,
    inputs,
    too_large,
)
from symgraph.ops.base import Elementwise
from symgraph.ops.region import in_order
from symgraph.origin import printable
from symgraph.transforms.expand import expand_pass
from symgraph.transforms.fusion import fusion_pass
from symgraph.types import TensorType, evaluate_dimension

PASSES = (expand_pass(native()), fusion_pass())
_FILE = "<symgraph numpy>"


@attrs.frozen(eq=False, slots=False)
class NumpyProgram:
    """The generated function for one binding of the named sizes."""

    memory: MemoryPlan
    _graph: Graph
    _namespace: dict[str, Any]
    _lines: tuple[Line, ...]
    _names: dict[int, str]  # the arrays that a node's code computes
    _computing: frozenset[int]  # the nodes whose code is more than views
    _steps: tuple[Step, ...]

    @property
    def careful(self) -> bool:
        """It trusts what it is given."""
        return False

    @cached_property
    def source(self) -> str:
        """The text of the function; made when it is read, because the comments take longer than the rest."""
        text = [line.text + (_comment(line.step) if line.opens else "") for line in self._lines]
        return "\n".join([*self._legend(), *text, ""])

    def _legend(self) -> list[str]:
        """What the names mean that the text does not define, as comments."""
        graph = self._graph
        updated = [name for _, group in graph.updates for name, _ in group]
        meanings = [
            *(
                (f"i{k}", f"{graph[name].op.name} {name} {graph[name].type}")
                for k, name in enumerate(inputs(graph))
            ),
            *((f"u{k}", f"the next value of {name}") for k, name in enumerate(updated)),
            *(
                (name, _constant(value))
                for name, value in self._namespace.items()
                if isinstance(value, np.ndarray)
            ),
        ]
        return [
            f"# f_NAME is numpy.NAME, r_NAME numpy.NAME.reduce, d_NAME a dtype; the arena has {self.memory.peak} bytes",
            *(f"# {name} = {printable(meaning)}" for name, meaning in meanings),
            printable(f"# returns {', '.join(name for name, _ in graph.outputs)}"),
        ]

    @cached_property
    def kernels(self) -> tuple[KernelCode, ...]:
        """The nodes that lines compute, also those that are views, with these lines."""
        return kernels(self._lines, len(self._legend()), self._names)

    @cached_property
    def _code(self) -> Any:
        return _compiled(self._lines)

    def instance(self) -> Instance:
        """A function with an arena of its own."""
        return self._instance(self._code, self._lines, {})

    def clocked(self) -> Clocked:
        """The same function with a line after each kernel that reads the clock. A line that makes a view counts with
        the kernel after it: it takes no longer than the clock.
        """
        lines, marks = with_clock(self._lines, self._names, self._computing)
        code = _compiled(lines)

        def instance() -> tuple[Instance, Callable[[], Stamps]]:
            stamps = [0] * (len(marks) + 1)
            run = self._instance(code, lines, {"stamps": stamps, "now": perf_counter_ns})

            def clean(values: Sequence[Array], destinations: Sequence[Array]) -> Sequence[Array]:
                stamps[:] = [0] * len(stamps)
                return run(values, destinations)

            return clean, lambda: list(stamps)

        return Clocked(marks, instance)

    def _instance(self, code: Any, lines: Sequence[Line], more: dict[str, Any]) -> Instance:
        namespace = {**self._namespace, **more}
        try:
            raw = np.empty(self.memory.peak + 64, np.uint8)
        except (MemoryError, ValueError) as error:
            raise too_large(self.memory.peak, self.memory, self._graph) from error
        start = -raw.ctypes.data % 64
        namespace["arena"] = raw[start : start + self.memory.peak]
        exec(code, namespace)  # noqa: S102  our own text: no name or value of a user's is in it
        run = namespace["run"]
        errstate = np.errstate

        def call(values: Sequence[Array], destinations: Sequence[Array]) -> tuple[Array, ...]:
            with errstate(all="ignore"):
                try:
                    results: tuple[Array, ...] = run(*values, *destinations)
                except Exception as error:
                    told = self._located(error, lines)
                    if told is error:
                        raise
                    raise told from error
            return results

        return call

    def _located(self, error: Exception, lines: Sequence[Line]) -> Exception:
        """The error with the user's line in place of the generated one."""
        trace, number = error.__traceback__, 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == _FILE:
                number = trace.tb_lineno
            trace = trace.tb_next
        step = lines[number - 1].step if 0 < number <= len(lines) else None
        if step is not None:
            types = [self._steps[i].type for i in step.inputs]
            return failure(error, step.op, step.origin, types, step.type)
        if isinstance(error, MemoryError):  # room for the results
            results = [
                evaluate_dimension(node_bytes(self._graph.nodes[i].type), {}) for _, i in self._graph.outputs
            ]
            return too_large(self.memory.peak + sum(results), self.memory, self._graph)
        return error if isinstance(error, SymgraphError) else ExecutionError(f"the run failed: {error}")


def _written_by_user(step: Step) -> Callable[..., None]:
    """The function that puts into an array what a user's op makes of its operands: all of them, or a block of rows."""

    def call(out: Array, *operands: Array) -> None:
        made = TensorType(out.dtype, out.shape)
        np.copyto(out, computed(step.op, step.origin, operands, made, in_order))

    return call


def _compiled(lines: Sequence[Line]) -> Any:
    with paused(len(lines)):
        return compile("\n".join([line.text for line in lines]), _FILE, "exec")


def lower(graph: Graph, options: Options) -> NumpyProgram:
    """Plan, place and write out a graph of concrete shapes."""
    program = flatten(graph)
    layout = classify(program, view_of)
    memory = allocate(program, layout, in_place, scratch)
    return _Writer(graph, program, layout, memory).finish()


@attrs.define
class _Writer:
    """The text as it grows; lives for one `lower`."""

    graph: Graph
    program: Program
    layout: Layout
    memory: Memory
    head: list[Line] = attrs.field(factory=list)
    body: list[Line] = attrs.field(factory=list)
    namespace: dict[str, Any] = attrs.field(factory=dict)
    names: dict[int, str] = attrs.field(factory=dict)
    buffers: dict[tuple[int, tuple[int, ...], np.dtype[Any]], str] = attrs.field(factory=dict)
    blocks: dict[tuple[int, int], str] = attrs.field(factory=dict)
    fixed: set[int] = attrs.field(factory=set)
    copied: dict[int, str] = attrs.field(factory=dict)  # nodes whose value is copied, with where

    def finish(self) -> NumpyProgram:
        program, layout = self.program, self.layout
        inputs = [s.value for s in program.steps if layout.kind[s.value] == "input"]
        for k, v in enumerate(inputs):
            self.names[v] = f"i{k}"
        fresh = {p.holder: v for v, p in self.memory.places.items() if p.holder.startswith("o")}
        for holder, v in fresh.items():
            type_ = program.steps[v].type
            self.line(f"{holder} = empty({concrete(type_.shape)!r}, {self.dtype(type_.dtype)})", None)
        opened: set[int] = set()  # a loop opens at its first step that is not known before the run
        for step in program.steps:
            if layout.kind[step.value] == "known":
                self.known(step)
                continue
            if step.loop is not None and step.loop not in opened:
                opened.add(step.loop)
                self.open_loop(program.loops[step.loop], step)
            if layout.kind[step.value] != "input":
                self.step(step)
        returned = self.returned(fresh)
        arguments = [f"i{k}" for k in range(len(inputs))] + [f"u{k}" for k in range(len(program.updates))]
        return self.assemble(arguments, returned)

    # Text

    def line(self, text: str, step: Step | None, indent: int = 0, opens: bool = False) -> None:
        self.body.append(Line(" " * (4 + indent) + text, step, opens))

    def use(self, name: str, value: Any) -> str:
        """`name` in the generated code means `value`."""
        self.namespace[name] = value
        return name

    def dtype(self, dtype: np.dtype[Any]) -> str:
        return self.use(f"d_{dtype.kind}{8 * dtype.itemsize}", dtype)

    def assemble(self, arguments: list[str], returned: list[str]) -> NumpyProgram:
        # Buffers are globals of the instance's own namespace: as free variables of a closure, thousands of
        # them would take CPython's compiler quadratic time.
        closing = f"({', '.join(returned)}{',' if len(returned) == 1 else ''})"
        lines = (
            *self.head,
            Line(f"def run({', '.join(arguments)}):"),
            *self.body,
            Line(f"    return {closing}"),
        )
        self.use("empty", np.empty)
        self.use("copyto", np.copyto)
        return NumpyProgram(
            self.memory.plan,
            self.graph,
            self.namespace,
            lines,
            self.results(),
            self.computing(),
            self.program.steps,
        )

    def results(self) -> dict[int, str]:
        """For each node that has code, the names of the arrays that others see, or else of the last."""
        program, layout = self.program, self.layout
        seen = {*program.outputs, *program.updates}
        for step in program.steps:
            seen.update(i for i in step.inputs if program.steps[i].node != step.node)
        names: dict[int, dict[str, None]] = {}
        inner: dict[int, str] = {}
        for step in program.steps:
            if step.value in self.names and layout.kind[step.value] not in ("known", "input"):
                name = (
                    self.place(step.value) if layout.kind[step.value] == "array" else self.names[step.value]
                )
                inner[step.node] = name
                if step.value in seen:
                    names.setdefault(step.node, {})[name] = None
        made = {node: ", ".join(names.get(node, [last])) for node, last in inner.items()}
        return {**self.copied, **made}

    def computing(self) -> frozenset[int]:
        """The nodes that compute an array, or whose value is copied to where it is wanted."""
        array = (step.node for step in self.program.steps if self.layout.kind[step.value] == "array")
        return frozenset((*array, *self.copied))

    # Values

    def known(self, step: Step) -> None:
        value = self.layout.known[step.value]
        frozen = value if not value.flags.writeable else value.view()
        frozen.flags.writeable = False
        self.names[step.value] = self.use(f"c{step.value}", frozen)
        self.fixed.add(step.value)

    def place(self, v: int) -> str:
        """The whole memory of an array value."""
        return self.room(self.memory.places[v], self.program.steps[v].type.dtype)

    def scratch(self, step: Step) -> list[str]:
        """The names of a step's scratch, cut to the rows of the block."""
        wanted = scratch(step, self.program)
        names = [
            self.room(p, dtype) for p, (dtype, _) in zip(self.memory.scratch[step.value], wanted, strict=True)
        ]
        cut = bool(wanted) and by_rows(step, self.program.steps[step.inputs[0]], self.program)
        return [f"{name}[:m]" if cut else name for name in names]

    def room(self, place: Place, dtype: np.dtype[Any]) -> str:
        if place.offset is None:
            return place.holder
        key = (place.offset, place.shape, dtype)
        if key not in self.buffers:
            name = self.buffers[key] = f"b{len(self.buffers)}"
            size = math.prod(place.shape) * dtype.itemsize
            self.head.append(
                Line(
                    f"{name} = arena[{place.offset}:{place.offset + size}].view({self.dtype(dtype)})"
                    f".reshape({place.shape!r})"
                )
            )
        return self.buffers[key]

    def operand(self, step: Step, k: int) -> str:
        """How the generated code names operand `k` of a step: whole, or its rows of the block."""
        v = step.inputs[k]
        if step.loop is None:
            return self.outside(step, v)
        if self.program.steps[v].loop == step.loop and self.layout.kind[v] != "known":
            return self.names[v]
        if not by_rows(step, self.program.steps[v], self.program):
            return self.outside(step, v)
        key = (step.loop, v)
        if key not in self.blocks:
            self.blocks[key] = f"s{v}"
            self.line(f"s{v} = {self.outside(step, v)}[i:j]", step, 4)
        return self.blocks[key]

    def outside(self, step: Step | None, v: int) -> str:
        """The whole of a value, for a step that is not in its loop: there its name means the last block."""
        made = self.program.steps[v]
        if made.loop is None or self.layout.kind[v] == "known":
            return self.names[v]
        if self.layout.kind[v] == "array":
            return self.place(v)
        whole = self.outside(step, made.inputs[0])
        text = self.expression(made, whole, None)
        self.line(f"w{v} = {text}", made, 0 if step is None or step.loop is None else 4)
        return f"w{v}"

    def open_loop(self, loop: Loop, step: Step) -> None:
        self.line(f"for i in range(0, {loop.rows}, {loop.block}):", step)
        self.line(f"j = min(i + {loop.block}, {loop.rows})", step, 4)
        self.line("m = j - i", step, 4)

    # Steps

    def step(self, step: Step) -> None:
        operands = [self.operand(step, k) for k in range(len(step.inputs))]
        indent = 0 if step.loop is None else 4
        if self.layout.kind[step.value] == "view":
            self.view(step, operands[0], indent)
            return
        emitted = self.emit(step, operands)
        if is_tail(step) and step.loop is not None:
            self.tail(step, emitted)
            return
        out = self.destination(step)
        self.names[step.value] = out
        for i, text in enumerate(emitted.lines(out)):
            self.line(text, step, indent, opens=i == 0)

    def destination(self, step: Step) -> str:
        whole = self.place(step.value)
        if step.loop is None:
            return whole
        full = self.memory.places[step.value].shape == concrete(step.type.shape)
        cut = "[i:j]" if full else "[:m]"
        self.line(f"t{step.value} = {whole}{cut}", step, 4)
        return f"t{step.value}"

    def tail(self, step: Step, emitted: Emitted) -> None:
        """A reduction over rows: the first block's result, then each further block's joined to it."""
        out = self.place(step.value)
        self.names[step.value] = out
        partial = f"p{step.value}"
        shape = concrete(step.type.shape)
        self.head.append(Line(f"{partial} = empty({shape!r}, {self.dtype(step.type.dtype)})", step))
        for text in emitted.lines(partial):
            self.line(text, step, 4, opens=True)
        join = self.use(f"f_{emitted.combine.__name__}", emitted.combine)
        self.line(f"{join}({out}, {partial}, out={out}) if i else copyto({out}, {partial})", step, 4)

    def view(self, step: Step, operand: str, indent: int) -> None:
        v = step.value
        rows = "m" if step.loop is not None else None
        text = self.expression(step, operand, rows)
        self.names[v] = f"v{v}"
        if step.loop is None and self.steady(step.inputs[0]):
            self.fixed.add(v)
            self.head.append(Line(f"v{v} = {text}", step))
            return
        self.line(f"v{v} = {text}", step, indent, opens=True)

    def expression(self, step: Step, operand: str, rows: str | None) -> str:
        """The one expression that a view is."""
        made = KERNELS[type(step.op)](step, [operand], self, rows)
        assert made is not None
        return made.lines("")[0]

    def steady(self, v: int) -> bool:
        """Whether the array object is the same in every call: a constant, or in the arena."""
        if v in self.fixed:
            return True
        place: Place | None = self.memory.places.get(v)
        return place is not None and place.offset is not None

    def emit(self, step: Step, operands: list[str]) -> Emitted:
        kernel = KERNELS.get(type(step.op))
        rows = "m" if step.loop is not None else None
        made = kernel(step, operands, self, rows) if kernel is not None else None
        if made is None and isinstance(step.op, Elementwise) and native_ufunc(step):
            ufunc = type(step.op).ufunc
            name = self.use(f"f_{ufunc.__name__}", ufunc)  # type: ignore[union-attr]
            made = Emitted(lambda out: [f"{name}({', '.join(operands)}, {out})"])
        if made is not None:
            return made
        if not is_ours(step.op):
            own = self.use(f"e{step.value}", _written_by_user(step))
            return Emitted(lambda out: [f"{own}({', '.join([out, *operands])})"])
        call = self.use(f"e{step.value}", step.op.evaluate)
        return Emitted(lambda out: [f"copyto({out}, {call}({', '.join(operands)}))"])

    # Results

    def returned(self, fresh: dict[str, int]) -> list[str]:
        program = self.program
        for k, v in enumerate(program.updates):
            if self.memory.places.get(v) is None or self.memory.places[v].holder != f"u{k}":
                self.copied[program.steps[v].node] = f"u{k}"
                self.line(f"copyto(u{k}, {self.outside(None, v)})", program.steps[v])
        results = []
        for k, v in enumerate(program.outputs):
            if fresh.get(f"o{k}") == v:
                results.append(f"o{k}")
            elif not program.steps[v].type.shape:
                results.append(f"{self.outside(None, v)}[()]")
            else:
                results.append(f"{self.use('copy', np.array)}({self.outside(None, v)}, order='C')")
        return results


def native_ufunc(step: Step) -> bool:
    """Whether the op's whole meaning is its ufunc."""
    cls: Any = type(step.op)
    return cls.ufunc is not None and cls.evaluate is Elementwise.evaluate


def _constant(value: Array) -> str:
    return str(value) if value.ndim == 0 else f"a constant of shape {value.shape}"


def _comment(step: Step | None) -> str:
    if step is None:
        return ""
    return "  # " + printable(f"%{step.node} {step.op.name} {step.type}  {step.origin}")
