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

from symgraph.compile import Bound, compile
from symgraph.define import define
from symgraph.expr import placeholder, variable
from symgraph.ir import Array
from symgraph.lowering.llvm import target
from symgraph.lowering.llvm.pool import processors, thread_count

_SIDE = 512  # of the matrices whose product is timed
_STREAMED = (1 << 16, 1 << 20, 1 << 23, 1 << 27)  # bytes read and written: within caches, and beyond them
_SECONDS = 0.03  # that each of these is tried for
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
    """Measure this machine, with as many threads as a program may use: well under a second.

    The operations are those of a matrix product, the bytes those of reading an array and writing another: both by
    the backend `llvm` where it is installed, else by NumPy. Each is the best of several. What was measured is kept
    for the life of the process.

    >>> machine = measure()
    >>> machine.flops["float32"] > 1e6 and machine.bandwidth > 1e6, measure() is machine
    (True, True)
    """
    return _measured(thread_count(threads))


@lru_cache(4)
def _measured(threads: int) -> Machine:
    native = target.installed()
    product = _native_product if native else _numpy_product
    stream = _native_stream if native else _numpy_stream
    flops = {dtype: 2 * _SIDE**3 / _best(product(np.dtype(dtype), threads)) for dtype in _DTYPES}
    rates = [size / _best(stream(size, threads)) for size in _STREAMED]
    # One thread is no quicker than several, and a larger array no quicker than a smaller one: where it seems so,
    # the other measurement was disturbed.
    if threads > 1 and native:
        one = _measured(1)
        flops = {dtype: max(rate, one.flops[dtype]) for dtype, rate in flops.items()}
        rates = [max(rate, alone) for rate, (_, alone) in zip(rates, one.bandwidths, strict=True)]
    rates = [max(rates[k:]) for k in range(len(rates))]
    return Machine(processors(), threads, flops, tuple(zip(_STREAMED, rates, strict=True)))


def _best(work: Callable[[], object]) -> float:
    """The shortest time that something takes, in seconds."""
    work()
    best, end = float("inf"), perf_counter() + _SECONDS
    while True:
        begin = perf_counter()
        work()
        now = perf_counter()
        best = min(best, now - begin)
        if now >= end:
            return max(best, 1e-9)


def _native_product(dtype: np.dtype[np.generic], threads: int) -> Callable[[], object]:
    a, b = (placeholder(name, (_SIDE, _SIDE), dtype=dtype.name) for name in "ab")
    bound = compile(define(y=a @ b), backend="llvm", threads=threads).bound({})
    return _running(bound, [np.ones((_SIDE, _SIDE), dtype)] * 2, [])


def _native_stream(size: int, threads: int) -> Callable[[], object]:
    count = size // 8
    w = variable("w", (count,))
    bound = compile(define({}, updates={"go": {w: w * 0.5}}), backend="llvm", threads=threads).bound({})
    return _running(bound, [np.zeros(count, np.float32)], [np.zeros(count, np.float32)])


def _running(bound: Bound, values: list[Array], destinations: list[Array]) -> Callable[[], object]:
    return lambda: bound.run(values, destinations)


def _numpy_product(dtype: np.dtype[np.generic], threads: int) -> Callable[[], object]:
    a, out = np.ones((_SIDE, _SIDE), dtype), np.empty((_SIDE, _SIDE), dtype)
    return lambda: np.matmul(a, a, out=out)


def _numpy_stream(size: int, threads: int) -> Callable[[], object]:
    w, out = np.zeros(size // 8, np.float32), np.zeros(size // 8, np.float32)
    half = np.float32(0.5)
    return lambda: np.multiply(w, half, out=out)
