"""Compilation: a graph becomes an Executable, specialised to each binding of its named sizes when first met.

compile : Graph -> Executable
call    : Executable -> feeds -> variables -> outputs, next values of the variables
"""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.collector import paused
from symgraph.errors import CompileError, FeedError, GraphError
from symgraph.ir import Array, Graph, Placeholder, Variable, require_graph, specialise
from symgraph.lowering import interpreter
from symgraph.lowering.llvm import target
from symgraph.lowering.program import Instance, KernelCode, MemoryPlan, Options, Program, inputs
from symgraph.rewrite import NUMERICS, Declined, Numerics, Operation, Pass, Row, sum_dimensions
from symgraph.transforms.pipeline import optimise
from symgraph.types import SHORT_NAMES, Dimension, TensorType, dimension_names, show_shape, solve, substitute
from symgraph.values import Unfit, array_of, shown

if TYPE_CHECKING:
    from os import PathLike

    from symgraph.inspect.profiling.memory import Peak
    from symgraph.inspect.profiling.profile import Profile

_KEPT = 16  # bindings of the named sizes whose programs are kept


@attrs.frozen
class Lowering:
    """A backend: the passes that prepare a graph for it, and the function that makes a program."""

    passes: tuple[Pass, ...]
    lower: Callable[[Graph, Options], Program]


def lowering(backend: str) -> tuple[str, Lowering]:
    """The backend of a name (`auto` takes the fastest installed); raises CompileError for an unknown one."""
    chosen = known_backend(backend)
    return chosen, _BACKENDS[chosen]()


def known_backend(backend: str) -> str:
    """The backend that a name stands for, installed or not; raises CompileError for an unknown one."""
    chosen = ("llvm" if target.installed() else "numpy") if backend == "auto" else backend
    if not isinstance(chosen, str) or chosen not in _BACKENDS:
        raise CompileError(
            f"there is no backend {backend!r}", hint=f"Use one of auto, {', '.join(_BACKENDS)}."
        )
    return chosen


def _interpreter() -> Lowering:
    return Lowering((), interpreter.lower)


def _numpy() -> Lowering:
    from symgraph.lowering import numpy_source

    return Lowering(numpy_source.PASSES, numpy_source.lower)


def _llvm() -> Lowering:
    target.llvm()
    from symgraph.lowering.llvm import program

    return Lowering(program.passes(), program.lower)


_BACKENDS: dict[str, Callable[[], Lowering]] = {"interpreter": _interpreter, "numpy": _numpy, "llvm": _llvm}


@attrs.frozen(eq=False)
class Bound:
    """A program for one binding of the named sizes, with the workspaces that calls take turns on."""

    program: Program
    idle: list[Instance]

    def run(
        self, values: Sequence[Any], destinations: Sequence[Array], sure: bool = True
    ) -> Sequence[Array] | None:
        """One call, with a workspace to itself. Values that are not `sure` to fit are for a careful program: the
        result is None where they do not.
        """
        try:
            instance = self.idle.pop()
        except IndexError:
            instance = self.program.instance()
        try:
            return instance(values, destinations) if sure else instance(values, destinations, False)  # type: ignore[call-arg]
        finally:
            self.idle.append(instance)


@attrs.frozen
class Cost:
    """What a call takes, in terms of the named sizes.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> print(compile(define(y=placeholder("x", ("n",)) + 1.0)).cost)
    n flops, 8*n+4 bytes
    """

    flops: Dimension
    bytes: Dimension

    def __str__(self) -> str:
        return f"{self.flops} flops, {self.bytes} bytes"


@attrs.frozen(eq=False, repr=False)
class Executable:
    """A compiled graph: immutable, and safe to call from many threads.

    `declared` is the graph as it was given, `graph` what it was rewritten to, `ledger` how. Programs are made
    for each binding of the named sizes and the most recent are kept; that is a cache and changes no result.
    """

    declared: Graph
    graph: Graph
    ledger: tuple[Row, ...]
    declined: tuple[Declined, ...]
    backend: str
    options: Options
    _lower: Callable[[Graph, Options], Program]
    _programs: dict[tuple[tuple[str, int], ...], Bound] = attrs.field(factory=dict, init=False)
    _lock: Lock = attrs.field(factory=Lock, init=False)

    def __repr__(self) -> str:
        return f"<Executable of {len(self.graph)} nodes on {self.backend}>"

    @property
    def numerics(self) -> Numerics:
        """The class of rewrites that could run."""
        return self.options.numerics

    def bound(self, sizes: Mapping[str, int]) -> Bound:
        """The program for these sizes; made when first asked for."""
        key = tuple(sorted((name, sizes[name]) for name in self.graph.names))
        found = self._programs.get(key)
        if found is not None:
            return found
        with self._lock:
            if key not in self._programs:
                with paused(len(self.graph)):
                    made = Bound(self._lower(specialise(self.graph, dict(key)), self.options), [])
                while len(self._programs) >= _KEPT:
                    del self._programs[next(iter(self._programs))]
                self._programs[key] = made
            return self._programs[key]

    def __call__(
        self,
        feeds: Mapping[str, npt.ArrayLike] | None = None,
        variables: Mapping[str, npt.ArrayLike] | None = None,
    ) -> dict[str, Array]:
        """Run: the outputs by name, and the next value of each updated variable under the variable's name.

        `feeds` holds the placeholders' values, `variables` those of the variables. Raises FeedError.

        >>> from symgraph.define import define
        >>> from symgraph.expr import placeholder
        >>> compile(define(y=placeholder("x", ("n",)) + 1.0), backend="interpreter")({"x": [1.0, 2.0]})
        {'y': array([2., 3.], dtype=float32)}
        """
        values, sizes = bind(self.graph, together(feeds, variables), self.declared)
        updated = [name for _, group in self.graph.updates for name, _ in group]
        both = next((name for name, _ in self.graph.outputs if name in updated), None)
        if both is not None:
            raise GraphError(
                f"{both!r} names an output and a variable that is updated: one result would hide the other",
                hint="Give the output a name of its own, or run the graph in a symgraph.Session.",
            )
        named_values = dict(zip(inputs(self.graph), values, strict=True))
        destinations = [np.empty_like(named_values[name]) for name in updated]
        outputs = self.bound(sizes).run(values, destinations)
        assert outputs is not None
        named = dict(zip((name for name, _ in self.graph.outputs), outputs, strict=True))
        return {**named, **dict(zip(updated, destinations, strict=True))}

    @property
    def cost(self) -> Cost:
        """The floating-point operations of one call, and the bytes that its kernels read and write."""
        operations = [
            Operation(n.op, n.type, tuple(self.graph.nodes[i].type for i in n.inputs))
            for n in self.graph.nodes
        ]
        return Cost(
            sum_dimensions(o.flops for o in operations),
            sum_dimensions(o.traffic for o in operations if o.op.name != "project"),
        )

    def source(self, **sizes: int) -> str:
        """The generated code for a binding of the named sizes."""
        return self.bound(self._sizes(sizes)).program.source

    def assembly(self, **sizes: int) -> str:
        """The machine code for a binding of the named sizes, as text; raises CompileError for another backend."""
        program = self.bound(self._sizes(sizes)).program
        text: str | None = getattr(program, "assembly", None)
        if text is None:
            raise CompileError(
                f"the backend {self.backend!r} makes no machine code",
                hint='Compile with backend="llvm", or read source() instead.'
                if target.installed()
                else 'Install llvmlite with pip install "symgraph[native]", or read source() instead.',
            )
        return text

    def memory_plan(self, **sizes: int) -> MemoryPlan:
        """The memory plan for a binding of the named sizes."""
        return self.bound(self._sizes(sizes)).program.memory

    def peak(self, **sizes: int) -> "Peak":
        """The step at which the memory plan is fullest for a binding of the named sizes: how many bytes, how they grow
        with the sizes, and whose line has most of them. Print it, or read its fields.

        >>> from symgraph import ops
        >>> from symgraph.define import define
        >>> from symgraph.expr import placeholder
        >>> x = placeholder("x", ("n", 4))
        >>> executable = compile(define(y=ops.max(ops.cumsum(ops.exp(x), 0))), backend="numpy")
        >>> executable.peak(n=10).live, str(executable.peak(n=10).expression)
        (320, '32*n')
        """
        from symgraph.inspect.profiling.memory import peak

        return peak(self, **sizes)

    def kernels(self, **sizes: int) -> tuple[KernelCode, ...]:
        """The nodes of `graph` that have code for a binding of the named sizes, in the order they run: what each is
        called in `source` and in `assembly`, and its lines there.

        >>> from symgraph import ops
        >>> from symgraph.define import define
        >>> from symgraph.expr import placeholder
        >>> executable = compile(define(y=ops.exp(placeholder("x", ("n",)) * 2.0)), backend="numpy")
        >>> (kernel,) = executable.kernels(n=3)
        >>> section = kernel.sections[-1]
        >>> lines = executable.source(n=3).splitlines()[section.first - 1 : section.last]
        >>> kernel.name, [line.split("#")[0].strip() for line in lines]
        ('o0', ['f_multiply(i0, c1, o0)', 'f_exp(o0, o0)'])
        """
        return self.bound(self._sizes(sizes)).program.kernels

    def profile(
        self,
        feeds: Mapping[str, npt.ArrayLike] | None = None,
        variables: Mapping[str, npt.ArrayLike] | None = None,
        *,
        steps: int = 20,
        warm_up: int = 3,
        trace: "str | PathLike[str] | None" = None,
    ) -> "Profile":
        """Run `steps` steps with a clock between the kernels: where the time of a step goes.

        Print the profile for a table of the kernels: time, share of the step, floating-point operations, bytes, and
        the share of what the machine could do. Every step is given the same `feeds` and `variables`, and its results
        are let go; `warm_up` steps before are not counted. `trace` names a file for Chrome's trace events of the
        steps, which Perfetto opens; it is written also where a step fails. Raises what a call raises, with the node
        that failed among the error's details.

        >>> import numpy as np
        >>> from symgraph.define import define
        >>> from symgraph.expr import placeholder
        >>> executable = compile(define(y=placeholder("x", ("n",)) * 2.0), backend="numpy")
        >>> profile = executable.profile({"x": np.ones(1000, np.float32)}, steps=3)
        >>> [(kernel.name, kernel.flops, kernel.bytes) for kernel in profile.kernels], profile.steps
        ([('mul', 1000, 8004)], 3)
        """
        from symgraph.inspect.profiling.profile import attempt, finished

        return finished(attempt(self, feeds, variables, steps, warm_up), trace)

    def _sizes(self, sizes: Mapping[str, int]) -> Mapping[str, int]:
        missing = sorted(self.graph.names - sizes.keys())
        if missing:
            raise FeedError(
                f"the sizes {', '.join(missing)} are not given",
                hint=f"Code is specialised to sizes: pass {', '.join(f'{name}=128' for name in missing)}.",
            )
        for name, size in sizes.items():
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
                raise FeedError(
                    f"the size {name} is a whole number from 0, and {size!r} is none",
                    hint=f"Pass {name}=128.",
                )
        return sizes


def compile(
    graph: Graph,
    *,
    backend: str = "auto",
    numerics: Numerics = "safe",
    passes: Sequence[Pass] | None = None,
    threads: int | None = None,
) -> Executable:
    """Optimise and compile a graph.

    `backend` is `llvm`, `numpy`, `interpreter` or `auto`, the fastest that is installed; `numerics` says which
    rewrites may run: `bitwise` (those that keep every bit), `safe` (also those that are more accurate, or within a
    documented bound) or `fast`;
    `passes` replaces the default pipeline; `threads` is how many threads the backend `llvm` may use (default:
    SYMGRAPH_NUM_THREADS, else the processors there are). Results do not depend on it. Raises CompileError.
    """
    require_graph(graph, "compile")
    check_rewriting(numerics, passes)
    name, chosen = lowering(backend)
    check_threads(name, threads)
    optimised = optimise(graph, numerics, passes)
    prepared = optimise(optimised.graph, numerics, chosen.passes, rounds=1)
    start = len(optimised.ledger)
    later = tuple(attrs.evolve(row, step=row.step + start) for row in prepared.ledger)
    return Executable(
        graph,
        prepared.graph,
        (*optimised.ledger, *later),
        prepared.declined,
        name,
        Options(numerics, threads),
        chosen.lower,
    )


def check_rewriting(numerics: Numerics, passes: Sequence[Pass] | None) -> None:
    """Raise CompileError for what is no numerics, and for what are no passes."""
    if passes is not None and not (isinstance(passes, Sequence) and all(isinstance(p, Pass) for p in passes)):
        raise CompileError(
            f"passes are a sequence of Pass records, and this is {passes!r}",
            hint="Cut and extend symgraph.transforms.pipeline.default_pipeline().",
        )
    if numerics not in NUMERICS:
        raise CompileError(f"there is no numerics {numerics!r}", hint=f"Use one of {', '.join(NUMERICS)}.")


def check_threads(backend: str, threads: int | None) -> None:
    """Raise CompileError for what is no number of threads, now and not at the first call."""
    if threads is not None or backend == "llvm":
        from symgraph.lowering.llvm.pool import thread_count

        thread_count(threads)


def together(
    feeds: Mapping[str, npt.ArrayLike] | None, variables: Mapping[str, npt.ArrayLike] | None
) -> dict[str, npt.ArrayLike]:
    """Feeds and variables as one; raises FeedError where one is no mapping."""
    for given in (feeds, variables):
        if given is not None and not isinstance(given, Mapping):
            raise FeedError(f"feeds are a mapping, and this is {shown(given)}", hint="Write {'x': value}.")
    return {**(feeds or {}), **(variables or {})}


def bind(
    graph: Graph, values: Mapping[str, npt.ArrayLike], declared: Graph | None = None
) -> tuple[list[Array], dict[str, int]]:
    """The values in the order of the graph's inputs, checked, and the sizes that their shapes bind.

    Names that `declared` has and the optimised graph lost are accepted. Raises FeedError for a name that is
    unknown or missing, another rank, shape or dtype, or two values that bind one size differently.
    """
    known = declared.placeholders if declared is not None else {}
    arrays: list[Array] = []
    sizes: dict[str, int] = {}
    bound_by: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node.op, Placeholder | Variable):
            array = leaf_value(node.op, values)
            arrays.append(array)
            bind_shape(node.op.label, node.type, array.shape, sizes, bound_by)
    for name in (
        known.keys() & values.keys() - graph.placeholders.keys()
    ):  # rewritten away, and may bind sizes
        lost = feed_array(name, known[name].type, values[name])
        bind_shape(name, known[name].type, lost.shape, sizes, bound_by)
    takes = {*inputs(graph), *(inputs(declared) if declared is not None else ())}
    unknown = [name for name in values if name not in takes]
    if unknown:
        raise FeedError(
            f"{unknown[0]!r} is no input of this graph",
            hint=f"It takes {', '.join(map(repr, inputs(graph))) or 'nothing'}.",
        )
    unbound = sorted(graph.names - sizes.keys())
    if unbound:
        raise FeedError(
            f"no feed binds the size {unbound[0]!r}",
            hint="Give it an axis of its own in a placeholder's shape.",
        )
    leaves = {**graph.placeholders, **graph.variables}
    for array, name in zip(arrays, inputs(graph), strict=True):
        expected = substitute(leaves[name].type.shape, sizes)
        if array.shape != expected:
            raise _other_shape(name, leaves[name].type, array.shape, sizes)
    return arrays, sizes


def leaf_value(op: Placeholder | Variable, values: Mapping[str, npt.ArrayLike]) -> Array:
    """The value of one input as a contiguous array of its dtype; raises FeedError."""
    if op.label in values:
        return feed_array(op.label, op.type, values[op.label])
    if isinstance(op, Placeholder) and op.default is not None:
        return op.default.array
    hint = f"Feed {op.label!r} an array of type {op.type}."
    if isinstance(op, Variable):
        hint = (
            f"Give {op.label!r} an array of type {op.type} among the variables; a Session holds them for you."
        )
    raise FeedError(f"the {op.name} {op.label!r} has no value", hint=hint)


def feed_array(name: str, declared: TensorType, value: npt.ArrayLike) -> Array:
    """A fed value as a C-contiguous array of the declared dtype.

    Python numbers and lists take the declared dtype; an array must cast to it without loss. Raises FeedError.
    """
    if type(value) is np.ndarray and value.dtype == declared.dtype:
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    array = array_of(value)
    if isinstance(array, Unfit):
        raise FeedError(f"the feed {name!r} is {array.reason}, and {declared} was declared", hint=array.hint)
    weak = not isinstance(value, np.ndarray | np.generic)
    lossless = np.can_cast(array.dtype, declared.dtype, "safe")
    if not lossless and weak:
        kinds = {"b": 0, "u": 1, "i": 1, "f": 2}
        lossless = kinds[array.dtype.kind] <= kinds[declared.dtype.kind] and (
            declared.dtype.kind == "f" or np.array_equal(array.astype(declared.dtype), array)
        )
    if not lossless:
        wanted = declared.dtype.name
        raise FeedError(
            f"the feed {name!r} is {array.dtype.name}, and {SHORT_NAMES[wanted]} was declared: "
            "the cast loses precision",
            hint=f"Cast it yourself: value.astype(np.{wanted if wanted != 'bool' else 'bool_'}), "
            f"or declare {name!r} with another dtype.",
        )
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(array, dtype=declared.dtype).reshape(array.shape)
    if weak and array.dtype.kind == "f" and not np.array_equal(np.isinf(cast), np.isinf(array)):
        raise FeedError(
            f"the feed {name!r} is larger than {SHORT_NAMES[declared.dtype.name]} can hold",
            hint=f"Declare {name!r} as float64.",
        )
    return cast


def bind_shape(
    name: str, declared: TensorType, shape: tuple[int, ...], sizes: dict[str, int], bound_by: dict[str, str]
) -> None:
    """Bind the named sizes of one input, into `sizes`; raises FeedError when they are bound to another value."""
    if len(shape) != declared.rank:
        raise _other_shape(name, declared, shape, sizes)
    for dimension, size in zip(declared.shape, shape, strict=True):
        if isinstance(dimension, int):
            if dimension != size:
                raise _other_shape(name, declared, shape, sizes)
            continue
        found = solve(dimension, size, sizes)
        if found is not None:
            sizes[found[0]] = found[1]
            bound_by[found[0]] = name
            continue
        known = dimension_names(dimension) & sizes.keys()
        if known == dimension_names(dimension) and substitute((dimension,), sizes) != (size,):
            other = bound_by[min(known)]
            if other != name:
                raise FeedError(
                    f"{other!r} and {name!r} bind {dimension} to two sizes: "
                    f"{substitute((dimension,), sizes)[0]} and {size}",
                    hint=f"Feed {name!r} as many as {other!r}.",
                )
            raise _other_shape(name, declared, shape, sizes)


def _other_shape(
    name: str, declared: TensorType, shape: tuple[int, ...], sizes: Mapping[str, int]
) -> FeedError:
    given = f" (with {', '.join(f'{n}={s}' for n, s in sizes.items())})" if sizes else ""
    return FeedError(
        f"the feed {name!r} has the shape {show_shape(shape)}, and {show_shape(declared.shape)} was declared{given}",
        hint=_shape_hint(name, declared, shape, sizes),
    )


def _shape_hint(name: str, declared: TensorType, shape: tuple[int, ...], sizes: Mapping[str, int]) -> str:
    if declared.rank == len(shape) + 1 and shape == declared.shape[1:]:
        return "For a batch of one write value[None]."
    for axis, (size, have) in enumerate(zip(declared.shape, shape, strict=False)):
        if declared.rank != len(shape) or not dimension_names(size) <= sizes.keys():
            continue
        wanted = substitute((size,), sizes)[0]
        if wanted != have:
            return f"Axis {axis} of the value has {have} elements: give it {wanted}, or declare {name!r} otherwise."
    axes = {0: "no axis: a number", 1: "1 axis"}.get(declared.rank, f"{declared.rank} axes")
    return f"Feed a value with {axes}, or declare {name!r} with another shape."
