"""Where the time of a step goes: real runs of the compiled program, with a clock read after each kernel.

    attempt : Executable -> feeds -> variables -> Profile      also of a run that failed
    profiled : Work -> Profile                                 the same for any way to call a program

The program that is timed is the one that runs, compiled once more with the clock; what it computes has the same bits.
It takes turns with the plain one, so that what the clock itself costs is seen.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.compile import Executable
from symgraph.errors import ExecutionError, SymgraphError
from symgraph.inspect.profiling.chrome import Event, chrome_trace, save
from symgraph.inspect.profiling.machine import Machine, measure
from symgraph.inspect.profiling.work import Work, of_executable
from symgraph.ir import Graph, Node
from symgraph.lowering.program import Clocked, Instance, Mark
from symgraph.ops.region import Fused
from symgraph.origin import printable, relative, visible
from symgraph.rewrite import Operation
from symgraph.types import TupleType, evaluate_dimension

_TURN = 5  # steps of the plain program, then of the clocked one
_MOST = 1_000_000  # steps
_TRACED = 50_000  # events of a trace: some 15 MB
_NAMED = 3  # ops that the name of a kernel tells
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))


@attrs.frozen
class Timing:
    """Seconds: the median over the steps, the 10th and the 90th percentile.

    >>> Timing.of([1e-3, 2e-3, 3e-3]).median
    0.002
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Timing":
        """That of some measurements; zeros where there are none."""
        listed = list(seconds)
        low, median, high = np.percentile(listed, (10, 50, 90)).tolist() if listed else (0.0, 0.0, 0.0)
        return cls(median, low, high)


@attrs.frozen
class KernelTime:
    """A kernel in a step: node of the optimised graph, time, and what it does in that time.

    `code` is what the generated code calls it, `lines` are the user's. `share` is of the step's time. `flops` and
    `bytes` are what its ops count, and what it reads and writes. `roofline` is the share of what the machine could
    do at this many flops a byte, None where nothing is counted, and at most 1: what the machine can do is measured
    too, and so not exact. `bound` says which of the two limits it there, "" where nothing is counted.
    """

    node: int
    name: str
    code: str
    lines: tuple[str, ...]
    time: Timing
    share: float
    flops: int
    bytes: int
    roofline: float | None
    bound: Literal["compute", "memory", ""]

    @property
    def intensity(self) -> float | None:
        """Floating-point operations a byte; None where no bytes are counted."""
        return self.flops / self.bytes if self.bytes else None


@attrs.frozen(repr=False)
class Profile:
    """Where the time of a step went.

    `total` is the step as the caller sees it, without clocks; `clocked` the same with them; `kernels` come in the
    order they ran; `other` is the median of what a clocked step spends outside kernels, in seconds: checks of the
    feeds, memory for the results, calls. `middle` is the step of median length, as seconds in kernels and outside
    them: medians of parts are of different steps, and need not add up to that of the whole. `failed` is the error that
    ended the run, or ""; the error itself is `error`.
    `events` are those of the first and the last steps where they are many: `untraced` tells how many are left out.
    """

    machine: Machine
    backend: str
    sizes: Mapping[str, int] = attrs.field(hash=False)
    steps: int
    total: Timing
    clocked: Timing
    kernels: tuple[KernelTime, ...]
    other: float
    failed: str
    events: tuple[Event, ...]
    untraced: int = 0
    error: BaseException | None = attrs.field(default=None, eq=False)
    middle: tuple[float, float] = (0.0, 0.0)

    def chrome_trace(self) -> str:
        """The clocked steps as Chrome's trace events: JSON for Perfetto (https://ui.perfetto.dev) and
        chrome://tracing.
        """
        about = {
            kernel.node: {
                "code": kernel.code,
                "lines": list(kernel.lines),
                "flops": kernel.flops,
                "bytes": kernel.bytes,
            }
            for kernel in self.kernels
        }
        return chrome_trace(f"symgraph on {self.backend}", self.events, about, self.failed, self.untraced)

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write `chrome_trace` to a file, whole or not at all; raises ExecutionError."""
        save(path, self.chrome_trace())

    def __str__(self) -> str:
        return "\n".join([*_summary(self), *(["", *_table(self)] if self.steps else [])])

    __repr__ = __str__  # what a notebook shows


def attempt(
    executable: Executable,
    feeds: Mapping[str, npt.ArrayLike] | None = None,
    variables: Mapping[str, npt.ArrayLike] | None = None,
    steps: int = 20,
    warm_up: int = 3,
) -> Profile:
    """Profile an executable; where a step fails, the Profile of what ran until then, with the `error`.

    Raises ExecutionError for what is no number of steps, and nothing else: also a KeyboardInterrupt is handed back.
    """
    counted(steps, warm_up)
    return profiled(executable, lambda: of_executable(executable, feeds, variables), steps, warm_up)


def finished(profile: Profile, trace: str | os.PathLike[str] | None) -> Profile:
    """The profile, with its trace written where that is asked for; raises its error where it has one."""
    try:
        if trace is not None:
            profile.save_trace(trace)
    finally:  # an error of the run goes before one of the file, which is its context
        if profile.error is not None:
            raise profile.error
    return profile


def counted(steps: int, warm_up: int) -> None:
    """Raise ExecutionError for what is no number of steps."""
    for name, value, least in (("steps", steps, 1), ("warm_up", warm_up, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
            raise ExecutionError(
                f"{name} is a whole number from {least} to {_MOST}, not {value!r}",
                hint=f"Pass {name}={max(least, 3)}.",
            )


@attrs.define
class _Run:
    """What was measured so far; lives for one `profiled`."""

    marks: tuple[Mark, ...] = ()
    plain: list[int] = attrs.field(factory=list)  # nanoseconds of a step
    steps: list[tuple[int, int, "array[int]"]] = attrs.field(factory=list)  # start, end, stamps
    failing: "tuple[int, int, array[int]] | None" = None


def profiled(executable: Executable, prepare: Callable[[], Work], steps: int, warm_up: int) -> Profile:
    """Run and measure what `prepare` makes, also where that or a step fails."""
    run, sizes, error = _Run(), {}, None
    try:
        work = prepare()
        sizes = dict(work.sizes)
        _measure(work, run, steps, warm_up)
    except BaseException as found:  # it is handed back with what was measured
        error = found
    return _told(executable, sizes, run, error)


def _measure(work: Work, run: _Run, steps: int, warm_up: int) -> None:
    made: Clocked = work.program.clocked()
    run.marks = made.marks
    plain = work.program.instance()
    clocked, read = made.instance()
    # The clocked program goes first: a step that fails does so where it is seen.
    for _ in range(max(1, warm_up)):
        _step(work, clocked, read, run, False)
    for _ in range(warm_up):
        work.call(plain)
    done = 0
    while done < steps:
        turn = min(_TURN, steps - done)
        for _ in range(turn):
            begin = perf_counter_ns()
            work.call(plain)
            run.plain.append(perf_counter_ns() - begin)
        for _ in range(turn):
            _step(work, clocked, read, run, True)
        done += turn


def _step(work: Work, instance: Instance, read: Callable[[], Sequence[int]], run: _Run, keep: bool) -> None:
    begin = perf_counter_ns()
    try:
        work.call(instance)
    except BaseException:
        run.failing = (begin, perf_counter_ns(), array("q", read()))
        raise
    end = perf_counter_ns()
    if keep:
        run.steps.append((begin, end, array("q", read())))  # a list of numbers takes five times the memory


# What it says


def _told(
    executable: Executable, sizes: Mapping[str, int], run: _Run, error: BaseException | None
) -> Profile:
    events, failing, untraced = _events(executable.graph, run)
    seconds: dict[int, list[float]] = {mark.node: [] for mark in run.marks if mark.node is not None}
    other, whole, parts = [], [], []
    for begin, end, stamps in run.steps:
        spent = dict.fromkeys(seconds, 0)
        for mark, start, stop in zip(run.marks, stamps, stamps[1:], strict=False):
            if mark.node is not None:
                spent[mark.node] += stop - start
        for node, nanoseconds in spent.items():
            seconds[node].append(nanoseconds / 1e9)
        other.append((end - begin - sum(spent.values())) / 1e9)
        whole.append((end - begin) / 1e9)
        parts.append((sum(spent.values()) / 1e9, other[-1]))
    machine = measure(executable.options.threads if executable.backend == "llvm" else None)
    total, clocked = Timing.of(t / 1e9 for t in run.plain), Timing.of(whole)
    codes = {
        node: ", ".join(dict.fromkeys(mark.name for mark in run.marks if mark.node == node))
        for node in seconds
    }
    return Profile(
        machine,
        executable.backend,
        sizes,
        len(run.steps),
        total,
        clocked,
        tuple(
            _kernel(executable.graph, node, codes[node], sizes, Timing.of(times), clocked.median, machine)
            for node, times in seconds.items()
        ),
        Timing.of(other).median,
        _failure(error, executable.graph, failing, len(run.steps)),
        events,
        untraced,
        error,
        sorted(parts, key=sum)[(len(parts) - 1) // 2] if parts else (0.0, 0.0),
    )


def _kernel(
    graph: Graph,
    node: int,
    code: str,
    sizes: Mapping[str, int],
    time: Timing,
    step: float,
    machine: Machine,
) -> KernelTime:
    made = graph.nodes[node]
    operation = Operation(made.op, made.type, tuple(graph.nodes[i].type for i in made.inputs))
    flops, size = (evaluate_dimension(x, sizes) for x in (operation.flops, operation.traffic))
    least, bound = machine.roof(flops, size, _dtype(made))
    counts = bool(flops or size)
    return KernelTime(
        node,
        kernel_name(made),
        code,
        lines_of(made),
        time,
        time.median / step if step else 0.0,
        flops,
        size,
        min(1.0, least / time.median) if counts and time.median else None,
        bound if counts else "",
    )


def _dtype(node: Node) -> str:
    """The dtype that a kernel computes in: that of its first result."""
    type_: Any = node.type
    return str((type_.items[0] if isinstance(type_, TupleType) else type_).dtype.name)


def kernel_name(node: Node) -> str:
    """What a kernel computes, in a few words.

    >>> from symgraph import ops
    >>> from symgraph.compile import compile
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> graph = compile(define(y=ops.exp(placeholder("x", (3,))) + 1.0), backend="numpy").graph
    >>> [kernel_name(node) for node in graph.nodes if node.inputs]
    ['exp, add']
    """
    if not isinstance(node.op, Fused):
        return node.op.name
    ops = [n.op.name for n in node.op.graph.nodes if n.inputs]
    more = f" and {len(ops) - _NAMED} more" if len(ops) > _NAMED else ""
    return ", ".join(ops[:_NAMED]) + more


def lines_of(node: Node) -> tuple[str, ...]:
    """The user's lines that a node comes from, as `file:line`."""
    return tuple(f"{visible(relative(source.file))}:{source.line}" for source in node.origin.sources)


def _events(graph: Graph, run: _Run) -> tuple[tuple[Event, ...], int | None, int]:
    """Each step, and in it its kernels; the node that failed, where one did; and how many steps are left out."""
    spans = [*run.steps, *([run.failing] if run.failing is not None else [])]
    if not spans:
        return (), None, 0
    zero, failing = spans[0][0], None
    events = []
    most = max(2, _TRACED // (1 + len(run.marks)))
    untraced = max(0, len(spans) - most)
    first = len(spans) if not untraced else most // 2
    for number in (*range(first), *range(first + untraced, len(spans))):
        begin, end, stamps = spans[number]
        failed = number == len(run.steps)
        events.append(Event(f"step {number}", number, None, begin - zero, end - zero, failed))
        start = stamps[0] if stamps else 0
        for mark, stop in zip(run.marks, stamps[1:], strict=False):
            if not start:
                break
            done = stop or end
            if mark.node is not None:
                name = kernel_name(graph.nodes[mark.node])
                events.append(Event(name, number, mark.node, start - zero, done - zero, not stop))
                failing = mark.node if not stop else failing
            start = stop
    return tuple(events), failing, untraced


def _failure(error: BaseException | None, graph: Graph, node: int | None, step: int) -> str:
    """The error in a sentence, with the node and its line; also among the error's own details."""
    if error is None:
        return ""
    place = ""
    if node is not None:
        made = graph.nodes[node]
        place = f"in %{node} {made.op.name} of the optimised graph, step {step}"
        place += f": {', '.join(lines_of(made))}" if made.origin.sources else ""
    if isinstance(error, SymgraphError):
        if place:
            error.details = (*error.details, place)
        message = error.message
    else:
        message = str(error)
    told = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{told} ({place})" if place else told


# As text


def _summary(profile: Profile) -> list[str]:
    sizes = "".join(f", {name}={size}" for name, size in profile.sizes.items())
    lines = [f"{profile.steps} steps on {profile.backend}{sizes}"]
    if profile.steps:
        count = "1 kernel" if len(profile.kernels) == 1 else f"{len(profile.kernels)} kernels"
        inside, outside = profile.middle
        lines += [
            f"a step takes {_spread(profile.total)}",
            f"with clocks  {_spread(profile.clocked)}",
            f"the step in the middle: {seconds(inside)} in {count}, {seconds(outside)} outside them, "
            "where feeds are checked, results are allocated, and kernels are called",
        ]
    lines.append(f"the machine at best: {profile.machine}")
    if profile.untraced:
        lines.append(
            f"a trace has the first and the last steps: {profile.untraced} between them are left out"
        )
    return [*lines, *([f"failed: {visible(profile.failed)}"] if profile.failed else [])]


def _spread(time: Timing) -> str:
    return f"{seconds(time.median)} ({seconds(time.low)} to {seconds(time.high)})"


def seconds(time: float) -> str:
    """A time as people read it.

    >>> seconds(0.00123), seconds(2e-9)
    ('1.23 ms', '0.002 us')
    """
    unit, name = next((u for u in _UNITS if abs(time) >= u[0]), _UNITS[-1])
    return f"{time / unit:.3g} {name}" if time else "0 s"


_HEAD = ("node", "median", "p10", "p90", "share", "flops", "bytes", "flops/byte", "roofline", "bound by")
_WORDS = ("kernel", "lines")


def _table(profile: Profile) -> list[str]:
    """A row a kernel in the order they run."""
    if not profile.kernels:
        return []
    rows = [
        (
            f"%{k.node}",
            *(seconds(t) for t in (k.time.median, k.time.low, k.time.high)),
            f"{k.share:.1%}",
            str(k.flops),
            str(k.bytes),
            "-" if k.intensity is None else f"{k.intensity:.3g}",
            "-" if k.roofline is None else f"{k.roofline:.1%}",
            k.bound or "-",
            k.name,
            printable(", ".join(k.lines[:_NAMED])),
        )
        for k in profile.kernels
    ]
    head = (*_HEAD, *_WORDS)
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if k < len(_HEAD) else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
