"""Where the time of a step goes: real runs of the compiled program, with a clock read after each kernel.

attempt : Executable -> feeds -> variables -> Profile      also of a run that failed
"""

from typing import Literal

import attrs

from symgraph.inspect.machine import Machine


@attrs.frozen
class Timing:
    """Seconds: the median over the steps, the 10th and the 90th percentile."""

    median: float
    low: float
    high: float


@attrs.frozen
class KernelTime:
    """A kernel in a step: node of the optimised graph, time, and what it does in that time.

    `share` is of the step's time. `flops` and `bytes` are what the op counts, and what the kernel reads and writes.
    `roofline` is the share of what the machine could do at this many flops a byte, None where nothing is counted;
    `bound` says which of the two limits it there, "" where nothing is counted.
    """

    node: int
    name: str
    line: str
    time: Timing
    share: float
    flops: int
    bytes: int
    roofline: float | None
    bound: Literal["compute", "memory", ""]


@attrs.frozen
class Event:
    """A span of time of a profiled step, in nanoseconds from the first step's start; `node` is None for a step."""

    name: str
    step: int
    node: int | None
    start: int
    end: int
    failed: bool = False


@attrs.frozen
class Profile:
    """Where the time of a step went.

    `total` is the step as the caller sees it, without clocks; `clocked` the same with them; `kernels` come in the
    order they ran; `other` is the median of what a clocked step spends outside kernels, in seconds. `failed` is the
    error that ended the run, or ""; the error itself is `error`.
    """

    machine: Machine
    backend: str
    steps: int
    total: Timing
    clocked: Timing
    kernels: tuple[KernelTime, ...]
    other: float
    failed: str
    events: tuple[Event, ...]
    error: BaseException | None = attrs.field(default=None, eq=False, repr=False)
