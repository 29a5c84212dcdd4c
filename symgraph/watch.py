"""Watching a run: every value that a program computes is looked at before anyone sees a result of it.

    instrumented : Graph -> Executable -> Watch     the program that gives out all that it computes
    bound        : Watch -> sizes -> Bound          a call of both, which fails at the first fault

What is looked at is what runs. The graph is optimised as ever, and then every node of it is made an output, before
the backend expands and fuses it: the kernels are those of the backend, with all that they compute stored. So what
rewriting has mended (`log(1 + exp(x))` is `softplus(x)`, which is finite where `exp(x)` is not) is no fault, a kernel
that goes wrong is one, and what a backend does within one op of the graph (the sigmoid of -1000 by way of an infinite
exp) is its own affair. Then the program itself runs, and its results are looked at too and given out, so that watching
changes no bit. Only where an op has an effect, such as to print, or on the interpreter, nothing runs twice: there the
results are those of the first program.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
import numpy as np

from symgraph.compile import Bound, Executable, compile
from symgraph.contracts import is_ours
from symgraph.errors import DivergenceError
from symgraph.faults import OVERFLOW, at_fault, fault, has_infinity, has_nan
from symgraph.fetches import fresh
from symgraph.ir import Array, Constant, Graph, Node, Placeholder, Variable, leaf_name, specialise
from symgraph.lowering.program import Clocked, Instance, KernelCode, MemoryPlan, Program, inputs
from symgraph.ops.control import AssertFinite, AssertIndex
from symgraph.ops.region import in_order
from symgraph.run_plan import Watching
from symgraph.transforms.pipeline import optimise
from symgraph.types import TensorType

_CHECKS = (AssertFinite, AssertIndex)  # they do nothing that it matters to do twice
_LEFT = "No variable has changed."
_IN_KERNEL = "NumPy makes finite values of these operands: the fault is in the compiled kernel"
_IN_PROGRAM = "computed kernel by kernel it is finite: the fault is in the compiled program"
_UNSTEADY = (
    "computed a moment before it was finite: {} may give other values each time, which an op with pure = False may, or "
    "the fault is in the compiled program"
)
_MEANT = 'where infinities are meant, run with debug="nan", which stops at NaN alone.'
_INTENDED = f"Keep the operand of exp, log, sqrt and division where they are finite; {_MEANT}"
_TRAINED = f"{OVERFLOW.removesuffix('.')}; {_MEANT}"


@attrs.frozen(eq=False)
class Watch:
    """What a plan knows of a watched run.

    `whole` is the session's graph, `declared` what was cut from it for the run, `graph` the optimised graph with all
    values as outputs, those that were fetched first; `shown` computes it. `plain` is the program itself, None where
    nothing may run twice. `spellings` are what the user calls what is fed, by the names of its placeholders.
    """

    whole: Graph
    declared: Graph
    graph: Graph
    shown: Executable
    plain: Executable | None
    watching: Watching
    spellings: Mapping[str, str]

    def bound(self, sizes: Mapping[str, int]) -> Bound:
        """The program of these sizes, watched."""
        graph = specialise(self.graph, {name: sizes[name] for name in self.graph.names})
        plain = None if self.plain is None else self.plain.bound(sizes).program
        return Bound(_Watched(self.shown.bound(sizes).program, plain, self, graph), [])


def instrumented(
    whole: Graph, executable: Executable, watching: Watching, spellings: Mapping[str, str]
) -> Watch:
    """How the runs of an executable, whose graph was cut from the `whole` one, are watched."""
    backend, options = executable.backend, executable.options
    graph = _shown(optimise(executable.declared, options.numerics).graph)
    shown = compile(graph, backend=backend, numerics=options.numerics, passes=(), threads=options.threads)
    once = backend == "interpreter" or any(
        not isinstance(n.op, _CHECKS) and not n.op.pure for n in graph.nodes
    )
    plain = None if once else executable
    return Watch(whole, executable.declared, graph, shown, plain, watching, spellings)


def _shown(graph: Graph) -> Graph:
    """The graph with an output for each node that computes floats, and for what that is computed from."""
    seen = {i for _, i in graph.outputs} | {i for _, pairs in graph.updates for _, i in pairs}
    floats = [node for node in graph.nodes if _is_float(node)]
    wanted = {node.id for node in floats} | {i for node in floats for i in node.inputs}
    outputs = dict(graph.outputs)
    taken = {*outputs, *graph.placeholders, *graph.variables}
    for node in graph.nodes:
        if node.id in wanted - seen and node.inputs and isinstance(node.type, TensorType):
            name = fresh(f"%{node.id}", taken)
            outputs[name] = node.id
            taken.add(name)
    return attrs.evolve(graph, outputs=tuple(outputs.items()))


def _is_float(node: Node) -> bool:
    return isinstance(node.type, TensorType) and node.type.dtype.kind == "f"


@attrs.frozen(eq=False, slots=False)
class _Watched:
    """A program whose results are looked at; what it returns are those that were fetched."""

    shown: Program
    plain: Program | None
    watch: Watch
    graph: Graph  # the watch's, with its sizes put in

    @property
    def _own(self) -> Program:
        return self.shown if self.plain is None else self.plain

    @property
    def source(self) -> str:
        """The generated code."""
        return self._own.source

    @property
    def memory(self) -> MemoryPlan:
        """Where the values live that are not given out."""
        return self._own.memory

    @property
    def careful(self) -> bool:
        """It trusts what it is given."""
        return False

    @property
    def kernels(self) -> tuple[KernelCode, ...]:
        """The nodes that have code."""
        return self._own.kernels

    def clocked(self) -> Clocked:
        """The program with a clock, which nobody watches."""
        return self._own.clocked()

    def instance(self) -> Instance:
        """A function that looks at all that is computed, and raises DivergenceError for the first fault."""
        shown = self.shown.instance()
        fetched = len(self.watch.declared.outputs)
        if self.plain is None or self.watch.plain is None:

            def once(values: Sequence[Array], destinations: Sequence[Array]) -> Sequence[Array]:
                outputs = shown(values, destinations)
                self.look(self.results(values, destinations, outputs))
                return outputs[:fetched]

            return once
        run = self.plain.instance()
        places = {name: k for k, name in enumerate(inputs(self.watch.shown.graph))}
        order = [places[name] for name in inputs(self.watch.plain.graph)]

        def twice(values: Sequence[Array], destinations: Sequence[Array]) -> Sequence[Array]:
            spare = [np.empty_like(destination) for destination in destinations]
            results = self.results(values, spare, shown(values, spare))
            self.look(results)
            outputs = run([values[place] for place in order], destinations)
            self.compare(results, [*outputs, *destinations])
            return outputs

        return twice

    def results(
        self, values: Sequence[Array], destinations: Sequence[Array], outputs: Sequence[Any]
    ) -> list[Array | None]:
        """The value of each node of the graph; None for what no float is computed from."""
        results: list[Array | None] = [
            node.op.value.array if isinstance(node.op, Constant) else None for node in self.graph.nodes
        ]
        leaves = {**self.graph.placeholders, **self.graph.variables}
        for name, value in zip(inputs(self.watch.shown.graph), values, strict=True):
            results[leaves[name].id] = np.asarray(value)
        changed = [i for _, pairs in self.graph.updates for _, i in pairs]
        for i, value in zip(changed, destinations, strict=True):
            results[i] = value
        for (_, i), value in zip(self.graph.outputs, outputs, strict=True):
            results[i] = np.asarray(value)
        return results

    def look(self, results: Sequence[Array | None]) -> None:
        """Raise DivergenceError for the first fault, what is fed and what is kept before what is computed."""
        watch = self.watch
        known = [value for value in results if value is not None]
        if not any(map(has_nan, known)) and not (watch.watching.infinite and any(map(has_infinity, known))):
            return
        for node in self.graph.nodes:
            value = results[node.id]
            if (
                isinstance(node.op, Placeholder | Variable)
                and value is not None
                and self._bad_leaf(node, value)
            ):
                raise self._error(self.graph, results, node)
        if self._folded is not None:
            node, constants = self._folded
            raise self._error(watch.declared, constants, node)
        for node in self.graph.nodes:
            if at_fault(node, results, watch.watching.infinite):
                raise self._error(self.graph, results, node, self._suspicion(node, results))

    def compare(self, results: Sequence[Array | None], given: Sequence[Any]) -> None:
        """Raise DivergenceError where the program itself gave out what is not finite, and its kernels one by one
        did not.
        """
        changed = [i for _, pairs in self.graph.updates for _, i in pairs]
        fetched = [i for _, i in self.graph.outputs[: len(self.watch.declared.outputs)]]
        for i, value in zip([*fetched, *changed], map(np.asarray, given), strict=True):
            found = results[i]
            assert found is not None
            wrong = has_nan(value) and not has_nan(found)
            if wrong or (self.watch.watching.infinite and has_infinity(value) and not has_infinity(found)):
                told = [value if k == i else result for k, result in enumerate(results)]
                raise self._error(self.graph, told, self.graph.nodes[i], (self._twice(),))

    def _twice(self) -> str:
        """Why what was finite is not when computed again: the program, or an op of the user's that is not pure."""
        theirs = dict.fromkeys(node.op.name for node in self.graph.nodes if not is_ours(node.op))
        return _UNSTEADY.format(", ".join(theirs)) if theirs else _IN_PROGRAM

    def _bad_leaf(self, node: Node, value: Array) -> bool:
        if has_nan(value):
            return True
        return (
            self.watch.watching.infinite
            and leaf_name(node.op) not in self.watch.watching.meant
            and has_infinity(value)
        )

    @cached_property
    def _folded(self) -> tuple[Node, list[Array | None]] | None:
        """The fault among what was computed of constants alone, before the run."""
        given = {node.op for node in self.watch.declared.nodes}
        sources = {
            source
            for node in self.graph.nodes
            if isinstance(node.op, Constant) and node.op not in given
            if not np.isfinite(node.op.value.array).all()
            for source in node.origin.sources
        }
        known: list[Array | None] = []
        for node in self.watch.declared.nodes if sources else ():
            known.append(_of_constants(node, [known[i] for i in node.inputs]))
        infinite = self.watch.watching.infinite
        for node in self.watch.declared.nodes[: len(known)]:
            if not sources.isdisjoint(node.origin.sources) and at_fault(node, known, infinite):
                return node, known
        return None

    def _suspicion(self, node: Node, results: Sequence[Array | None]) -> tuple[str, ...]:
        """Whether NumPy makes something else of the operands: then it is the kernel that is wrong."""
        given = [operand.copy() for i in node.inputs if (operand := results[i]) is not None]
        if len(given) < len(node.inputs) or not node.op.pure or not is_ours(node.op):
            return ()  # an op of the user's has no kernel, and was run as it is
        try:
            with np.errstate(all="ignore"):
                value = np.asarray(node.op.evaluate(*in_order(node.op, given)))
        except Exception:  # it is no more than a suspicion
            return ()
        again = [value if i == node.id else result for i, result in enumerate(results)]
        return () if at_fault(node, again, self.watch.watching.infinite) else (_IN_KERNEL,)

    def _error(
        self, graph: Graph, results: Sequence[Array | None], node: Node, more: tuple[str, ...] = ()
    ) -> DivergenceError:
        watch = self.watch
        found = fault(
            watch.whole, graph, results, node, watch.watching.infinite, " before the run", watch.spellings
        )
        hint = found.hint
        if node.inputs and watch.watching.infinite:
            hint = _TRAINED if hint == OVERFLOW and watch.whole.updates else _INTENDED
        return DivergenceError(
            found.first, source=found.source, details=(*found.details, *more, _LEFT), hint=hint
        )


def _of_constants(node: Node, operands: Sequence[Array | None]) -> Array | None:
    """The value of a node that depends on constants alone, where that can be computed."""
    given = [operand for operand in operands if operand is not None]
    if len(given) < len(operands) or isinstance(node.op, Placeholder | Variable) or not node.op.pure:
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(node.op.bind({}).evaluate(*given))
    except Exception:  # what has an open size, or would fail, was not folded either
        return None
