"""A compiled step as an entry of the cache: found by its graph, so that nothing has to be planned or written again.

entry_key : Graph -> options -> target -> the name of the entry
pack      : facts, object code -> bytes, and back
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import symgraph
from symgraph.ir import Graph
from symgraph.lowering.llvm.cache import key_of
from symgraph.lowering.llvm.target import Target
from symgraph.lowering.llvm.written import Facts
from symgraph.lowering.program import Options
from symgraph.ops.region import Fused
from symgraph.text import fingerprint

_CONSTANTS = 1 << 20  # bytes: steps with larger ones are not kept


def entry_key(graph: Graph, options: Options, target: Target) -> str | None:
    """The name of a step's entry; None for a graph with ops of a user's own, whose meaning it does not tell."""
    graphs = [graph, *(node.op.graph for node in graph.nodes if isinstance(node.op, Fused))]
    ours = all(type(node.op).__module__.startswith("symgraph.") for one in graphs for node in one.nodes)
    if not ours:
        return None
    return key_of("\0".join((_stamp(), fingerprint(graph), options.numerics)), target)


@lru_cache(1)
def _stamp() -> str:
    """What the code of a step follows from beside its graph: the compiler's files, and NumPy's version, since values
    known beforehand are NumPy's. A file stands for its contents by its size and the times of its last changes, one
    of which no installer can set.
    """
    root = Path(symgraph.__file__).parent
    lines = [symgraph.__version__, np.__version__]
    for pattern in ("*.py", "lowering/**/*.py", "ops/*.py", "text/*.py", "transforms/*.py"):
        for file in sorted(root.glob(pattern)):
            found = file.stat()
            lines.append(f"{file} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")
    return "\n".join(lines)


def pack(facts: Facts, code: bytes) -> bytes:
    """Facts and code as one; empty where the constants are large, which is no entry."""
    constants = [constant.tobytes() for constant in facts.constants]
    if sum(map(len, constants)) > _CONSTANTS:
        return b""
    head: dict[str, Any] = {
        "peak": facts.peak,
        "arrays": facts.arrays,
        "outputs": [[list(shape), dtype.name] for shape, dtype in facts.outputs],
        "constants": [[list(c.shape), c.dtype.name, c.nbytes] for c in facts.constants],
        "shared": facts.shared,
        "calls_back": facts.calls_back,
    }
    text = json.dumps(head).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *constants, code])


def unpack(entry: bytes) -> tuple[Facts, bytes]:
    """The facts and the code of an entry, whose checksum has been seen to be right."""
    start = 8 + int.from_bytes(entry[:8], "little")
    head = json.loads(entry[8:start])
    constants = []
    for shape, dtype, size in head["constants"]:
        constants.append(np.frombuffer(entry[start : start + size], dtype).reshape(shape))
        start += size
    outputs = tuple((tuple(shape), np.dtype(dtype)) for shape, dtype in head["outputs"])
    facts = Facts(head["peak"], head["arrays"], outputs, tuple(constants), head["shared"], head["calls_back"])
    return facts, entry[start:]
