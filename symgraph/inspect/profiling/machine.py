"""What this machine can do at best: the roof that kernels are measured against (Williams, Waterman and Patterson,
"Roofline: an insightful visual performance model for multicore architectures", CACM 52(4), 2009).

measure : threads -> Machine
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from time import perf_counter
from typing import Literal

import attrs
import numpy as np

from symgraph.compile import compile
from symgraph.define import define
from symgraph.expr import placeholder, variable
from symgraph.ir import Array, Graph
from symgraph.lowering.llvm import target
from symgraph.lowering.llvm.pool import processors, thread_count
from symgraph.ops.reduction import sum as total

_SIDES = (
    256,
    512,
)  # of the matrices whose product is timed: with less cache to itself the smaller one is quicker
_STREAMED = (1 << 17, 1 << 20, 1 << 23, 1 << 26)  # bytes: within each cache, and beyond them
_SECONDS = 0.01  # that each of these is tried for
_DTYPES = ("float32", "float64")
_WIDE = ("float64", "int64")


@attrs.frozen
class Machine:
    """The best that was measured: floating-point operations a second by dtype, bytes a second, and cores.

    `bandwidths` are pairs of a number of bytes and the rate at which that many are streamed, smallest first: what
    fits into a cache is quicker than memory, which is last and is `bandwidth`.

    >>> machine = Machine(2, 2, {"float32": 2e11, "float64": 1e11}, ((65536, 4e11), (134217728, 2e10)))
    >>> print(machine)
    2 cores, 200 GFLOP/s float32, 100 GFLOP/s float64, 20 GB/s
    """

    cores: int
    threads: int
    flops: Mapping[str, float] = attrs.field(hash=False)
    bandwidths: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' if self.cores != 1 else ''}"
        threads = "" if self.threads == self.cores else f", {self.threads} used"
        rates = ", ".join(f"{rate / 1e9:.4g} GFLOP/s {dtype}" for dtype, rate in self.flops.items())
        return f"{cores}{threads}, {rates}, {self.bandwidth / 1e9:.4g} GB/s"

    @property
    def bandwidth(self) -> float:
        """Bytes a second from and to memory."""
        return self.bandwidths[-1][1]

    def bandwidth_of(self, size: int) -> float:
        """Bytes a second where so many are read and written over and over: those of the cache that holds them."""
        return next((rate for holds, rate in self.bandwidths if size <= holds), self.bandwidth)

    def roof(
        self, flops: int, size: int, dtype: str = "float32"
    ) -> tuple[float, Literal["compute", "memory"]]:
        """The seconds that so many operations on so many bytes take at least, and which of the two limits them.

        >>> Machine(1, 1, {"float32": 1e9, "float64": 1e9}, ((1, 1e9),)).roof(2000, 1000)
        (2e-06, 'compute')
        """
        peak = self.flops["float64" if dtype in _WIDE else "float32"]
        computing, moving = flops / peak, size / self.bandwidth_of(size)
        return (computing, "compute") if computing >= moving else (moving, "memory")


def measure(threads: int | None = None) -> Machine:
    """Measure this machine, with as many threads as a program may use: in about a second.

    The operations are those of matrix products, the bytes those of reading an array, and of reading one and writing
    another: by the backend `llvm` where it is installed, with the clock that kernels are timed by, else by NumPy.
    Each is the best of several. What was measured is kept for the life of the process.

    >>> machine = measure()
    >>> machine.flops["float32"] > 1e6 and machine.bandwidth > 1e6, measure() is machine
    (True, True)
    """
    return _measured(thread_count(threads))


@lru_cache(4)
def _measured(threads: int) -> Machine:
    native = target.installed()
    flops = {
        dtype: max(_product(np.dtype(dtype), side, threads, native) for side in _SIDES) for dtype in _DTYPES
    }
    rates = [max(stream(size, threads, native) for stream in (_read, _scaled)) for size in _STREAMED]
    # One thread is no quicker than several, and a larger array no quicker than a smaller one: where it seems so,
    # the other measurement was disturbed.
    if threads > 1 and native:
        one = _measured(1)
        flops = {dtype: max(rate, one.flops[dtype]) for dtype, rate in flops.items()}
        rates = [max(rate, alone) for rate, (_, alone) in zip(rates, one.bandwidths, strict=True)]
    rates = [max(rates[k:]) for k in range(len(rates))]
    return Machine(processors(), threads, flops, tuple(zip(_STREAMED, rates, strict=True)))


def _product(dtype: np.dtype[np.generic], side: int, threads: int, native: bool) -> float:
    """Operations a second of a product of matrices."""
    matrix = np.ones((side, side), dtype)
    if native:
        a, b = (placeholder(name, (side, side), dtype=dtype.name) for name in "ab")
        return 2 * side**3 / _native(define(y=a @ b), [matrix, matrix], [], threads)
    out = np.empty_like(matrix)
    return 2 * side**3 / _numpy(lambda: np.matmul(matrix, matrix, out=out))


def _read(size: int, threads: int, native: bool) -> float:
    """Bytes a second of reading so many."""
    values = np.ones(size // 4, np.float32)  # zeros would be one page of the system, over and over
    if native:
        return size / _native(define(y=total(placeholder("x", values.shape))), [values], [], threads)
    return size / _numpy(lambda: np.add.reduce(values))


def _scaled(size: int, threads: int, native: bool) -> float:
    """Bytes a second of reading half as many and writing as many."""
    values, out = np.ones(size // 8, np.float32), np.ones(size // 8, np.float32)
    if native:
        w = variable("w", values.shape)
        return size / _native(define({}, updates={"go": {w: w * 0.5}}), [values], [out], threads)
    half = np.float32(0.5)
    return size / _numpy(lambda: np.multiply(values, half, out=out))


def _native(graph: Graph, values: list[Array], destinations: list[Array], threads: int) -> float:
    """The shortest time of the kernels of a program, in seconds, without that of the call."""
    made = compile(graph, backend="llvm", threads=threads).bound({}).program.clocked()
    instance, read = made.instance()

    def kernels() -> float:
        instance(values, destinations)
        stamps = read()
        spans = zip(made.marks, stamps, stamps[1:], strict=False)
        return sum(stop - start for mark, start, stop in spans if mark.node is not None) / 1e9

    return _best(kernels)


def _numpy(work: Callable[[], object]) -> float:
    """The shortest time of a call, in seconds."""

    def call() -> float:
        begin = perf_counter()
        work()
        return perf_counter() - begin

    return _best(call)


def _best(timed: Callable[[], float]) -> float:
    """The shortest of the times that are measured for a while."""
    timed()
    best, end = timed(), perf_counter() + _SECONDS
    while perf_counter() < end:
        best = min(best, timed())
    return max(best, 1e-9)
