"""Runs programs whose feeds, results and next values lie between pages that nobody may touch.

    python -m tests.lowering.llvm.guarded WIDTH EVERY

with every so-many-th case of `tests.cases`, for vectors of a width. What reads or writes one byte beyond an array
ends this process.
"""

import ctypes
import faulthandler
import mmap
import sys

import numpy as np

import symgraph as sg
from symgraph.compile import bind
from symgraph.lowering.llvm import program
from symgraph.lowering.program import inputs
from tests.cases import all_cases
from tests.lowering.llvm.lanes import targets
from tests.lowering.llvm.test_program import data, network, values_of
from tests.lowering.test_backends import executables
from tests.strategies import random_graph

PAGE = mmap.PAGESIZE
PROTECT = ctypes.CDLL(None).mprotect


def room(shape, dtype, at_end=True):
    """An array that ends, or begins, where a page begins, or ends, that is closed."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-max(size, 1) // PAGE)
    raw = np.frombuffer(mmap.mmap(-1, (pages + 2) * PAGE), np.uint8)
    for closed in (0, pages + 1):
        failed = PROTECT(ctypes.c_void_p(raw.ctypes.data + closed * PAGE), ctypes.c_size_t(PAGE), 0)
        assert not failed
    start = (pages + 1) * PAGE - size if at_end else PAGE
    return raw[start : start + size].view(dtype).reshape(shape)


class Guarding:
    """NumPy, whose `empty` is guarded."""

    empty = staticmethod(room)

    def __getattr__(self, name):
        return getattr(np, name)


def run(graph, values):
    """Once with all arrays before a closed page, and once after one."""
    executable = sg.compile(graph, backend="llvm", threads=1)
    for at_end in (True, False):
        laid = {}
        for name, value in values.items():
            laid[name] = room(np.shape(value), np.asarray(value).dtype, at_end)
            laid[name][...] = value
        bound, sizes = bind(executable.graph, laid, executable.declared)
        named = dict(zip(inputs(executable.graph), bound, strict=True))
        updated = [name for _, group in executable.graph.updates for name, _ in group]
        destinations = [room(named[name].shape, named[name].dtype, at_end) for name in updated]
        executable.bound(sizes).run(bound, destinations)


def products():
    """Graphs of products with what follows them, in sizes about those of blocks."""
    for dtype in ("float32", "float64"):
        for m, k, n in [(1, 1, 1), (7, 33, 17), (33, 100, 65), (50, 31, 10), (130, 5, 3)]:
            shapes = {"x": (m, k), "y": (k, n), "t": (n, k), "b": (n,)}
            x, y, t, b = (sg.placeholder(name, shape, dtype) for name, shape in shapes.items())
            graph = sg.define(
                p=sg.relu(x @ y + b), q=x @ sg.transpose(t), r=sg.sum(sg.transpose(x) @ (x @ y), 0)
            )
            yield graph, {name: np.ones(shape, dtype) for name, shape in shapes.items()}


def main(width, every):
    faulthandler.enable()
    (target,) = [target for target in targets() if target.width == width]
    program.host, program.np = (lambda: target), Guarding()
    count = 0
    for case in all_cases()[::every]:
        reference, _, feeds = executables(case, "interpreter")
        run(reference.declared, feeds)
        count += 1
    for seed in range(0, 300, every):
        sample = random_graph(seed)
        run(sample.graph, sample.values)
        count += 1
    for graph, feeds in products():
        run(graph, feeds)
        count += 1
    for batch in (1, 9, 130):
        run(network(), {**data(batch), **values_of(network())})
    sys.stderr.write(f"{count} graphs\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
