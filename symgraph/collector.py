"""The cyclic garbage collector, kept from walking over large graphs while they are being made.

A compiler makes records that only refer to earlier ones: there are no cycles to find. Python's collector does not
know that, and goes through all of them each time that their number has grown by a quarter: half of the time at
30,000 nodes.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LARGE = 2_000  # nodes: below, the collector has next to nothing to do


@contextmanager
def paused(nodes: int = sys.maxsize) -> Iterator[None]:
    """No cyclic collection inside, for graphs of many nodes, or of a number that is not known; memory is freed by
    reference counts as ever.

    The collector is the process's own, so other threads go without it for as long. It is started again by who
    stopped it, and left alone where it was off.

    >>> with paused(100_000):
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    stop = nodes > _LARGE and gc.isenabled()
    if stop:
        gc.disable()
    try:
        yield
    finally:
        if stop:
            gc.enable()
