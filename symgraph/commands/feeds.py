"""The values that a command runs a graph with: read from files, or drawn at random.

feeds_from     : path -> Graph -> {placeholder: array}
variables_from : path | None -> Graph -> seed -> {variable: array}
random_feeds   : Graph -> sizes -> seed -> {placeholder: array}

Files are data of others: nothing in them runs, what they claim is checked against their size before memory is taken,
and errors name the file and the entry.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from symgraph.compile import bind_shape, feed_array
from symgraph.errors import FeedError, SymgraphError
from symgraph.initial_values import initial_values
from symgraph.ir import Array, Graph, Node
from symgraph.types import TensorType, evaluate_dimension, substitute

_MOST = 4 << 30  # bytes that a file may unpack to
_ENTRIES = 100_000
_KINDS = "fiub"


def feeds_from(path: str | Path, graph: Graph, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
    """The placeholders' values in an .npz or .safetensors file, checked against the graph and the given sizes.

    Raises FeedError, which names the file and the entry: one that is no placeholder, is missing, or has another shape
    or dtype.
    """
    held = read_arrays(path)
    unknown = sorted(held.keys() - graph.placeholders.keys())
    if unknown:
        raise FeedError(
            f"{path}: {unknown[0]!r} is no placeholder of this graph",
            source=None,
            hint=f"It has {_listed(graph.placeholders)}.",
        )
    bound = dict(sizes or {})
    bound_by = dict.fromkeys(bound, "--size")
    feeds: dict[str, Array] = {}
    for name, node in graph.placeholders.items():
        if name in held:
            feeds[name] = _fitting(path, name, node.type, held[name])
            try:
                bind_shape(name, node.type, feeds[name].shape, bound, bound_by)
            except FeedError as error:
                raise FeedError(f"{path}: {error.message}", source=None, hint=error.hint) from None
        elif node.op.default is None:  # type: ignore[attr-defined]
            raise FeedError(
                f"{path} has no value for the placeholder {name!r}, {node.type}",
                source=None,
                hint=f"It has {_listed(held)}.",
            )
    return feeds


def variables_from(path: str | Path | None, graph: Graph, seed: int = 0) -> dict[str, Array]:
    """The variables' values: their first ones for a seed, or those of an .npz or .safetensors file or a checkpoint.

    What the file has beside the graph's variables, such as an optimizer's state, is left aside. Raises FeedError,
    which names the file and the entry; CheckpointError for a damaged checkpoint.
    """
    if path is None:
        return initial_values(graph, seed)
    held = read_arrays(path)
    for name, node in graph.variables.items():
        if name not in held:
            raise FeedError(
                f"{path} has no value for the variable {name!r}, {node.type}",
                source=None,
                hint=f"It has {_listed(held)}.",
            )
    values = {name: _fitting(path, name, node.type, held[name]) for name, node in graph.variables.items()}
    for name, value in values.items():
        declared = graph.variables[name].type
        if value.shape != declared.shape:
            found = TensorType(value.dtype, value.shape)
            raise FeedError(f"{path}: {name!r} is {found}, and {declared} is declared", source=None)
    return values


def _fitting(path: str | Path, name: str, declared: TensorType, array: Array) -> Array:
    try:
        return feed_array(name, declared, array)
    except FeedError as error:
        raise FeedError(f"{path}: {error.message}", source=None, hint=error.hint) from None


def _listed(names: Mapping[str, Any], most: int = 8) -> str:
    shown = [repr(name) for name in list(names)[:most]]
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*shown, *more]) or "none"


# Files.


def read_arrays(path: str | Path) -> dict[str, Array]:
    """All arrays in an .npz or .safetensors file by name; nothing in it is run. Raises FeedError."""
    ending = Path(path).suffix
    if ending not in (".npz", ".safetensors"):
        raise FeedError(
            f"{path} ends neither in .npz nor in .safetensors",
            source=None,
            hint="Write one with numpy.savez(FILE, name=array), or safetensors.numpy.save_file.",
        )
    try:
        return dict(_npz(path) if ending == ".npz" else _safetensors(path))
    except SymgraphError:
        raise
    except OSError as error:
        raise FeedError(f"{path} cannot be read: {error.strerror or error}", source=None) from error
    except Exception as error:  # a damaged file makes the readers raise errors of many kinds
        raise FeedError(f"{path} is damaged, or no {ending} file: {error}", source=None) from error


def _npz(path: str | Path) -> Iterator[tuple[str, Array]]:
    import zipfile  # it brings all compressors: what --help does not need

    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > _MOST or len(entries) > _ENTRIES:
            raise FeedError(f"{path} unpacks to {size:,} bytes, and {_MOST:,} are read at most", source=None)
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            try:
                with archive.open(entry) as stream:
                    _check_header(stream, entry.file_size)
                with archive.open(entry) as stream:
                    # On an archive's stream, which is no file, this reads in pieces.
                    yield name, np.lib.format.read_array(stream, allow_pickle=False)
            except Exception as error:
                raise FeedError(f"{path}: the entry {name!r} cannot be read: {error}", source=None) from error


def _check_header(stream: Any, size: int) -> None:
    """Raise ValueError unless the header of a .npy file tells of numbers, and of as many as there are bytes for."""
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"it is of the version {version} of the format, which numbers do not need")
    shape, _, dtype = read(stream)
    if dtype.kind not in _KINDS:
        raise ValueError(f"its elements are {dtype}, and no numbers")
    if prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"it claims the shape {shape}, which is not what it holds")


def _safetensors(path: str | Path) -> Iterator[tuple[str, Array]]:
    from symgraph.train import checkpoint

    package = checkpoint.require_safetensors()
    with package.safe_open(os.fspath(path), framework="np") as file:
        ours = checkpoint.KEY in (file.metadata() or {})
        if not ours:
            yield from ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118  no mapping
    if ours:  # with its checksum
        yield from checkpoint.read(path).tensors.items()


# Drawn values.


def random_feeds(graph: Graph, sizes: Mapping[str, int], seed: int = 0) -> dict[str, Array]:
    """Values for the placeholders that have no default, each a function of the seed and its name.

    Floats are normal, bools even, integers such as the graph can take: from 0 below the size of what they index or
    the number of classes, else 0 or 1. Raises FeedError where a size is missing.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> from symgraph.ops import one_hot
    >>> labels = placeholder("labels", ("batch",), "int64")
    >>> random_feeds(define(y=one_hot(labels, 10)), {"batch": 6}, seed=1)["labels"].max() < 10
    np.True_
    """
    needed = [node for node in graph.placeholders.values() if node.op.default is None]  # type: ignore[attr-defined]
    missing = sorted(graph.names - sizes.keys())
    if missing:
        raise FeedError(
            f"the sizes {', '.join(missing)} are not given, and so no feeds can be drawn",
            source=None,
            hint=f"Add {' '.join(f'--size {name}=4' for name in missing)}, or feed values with --feed FILE.npz.",
        )
    return {node.op.label: _drawn(graph, node, sizes, seed) for node in needed}  # type: ignore[attr-defined]


def _drawn(graph: Graph, node: Node, sizes: Mapping[str, int], seed: int) -> Array:
    label: str = node.op.label  # type: ignore[attr-defined]
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])
    shape: Any = substitute(node.type.shape, sizes)
    try:
        if node.type.dtype.kind == "f":
            return np.asarray(rng.standard_normal(shape), node.type.dtype)
        below = 2 if node.type.dtype.kind == "b" else max(1, _limit(graph, node.id, sizes))
        return np.asarray(rng.integers(0, below, shape), node.type.dtype)
    except (MemoryError, ValueError) as error:
        raise FeedError(
            f"no values can be drawn for {label!r} of the shape {shape}: {error}",
            source=None,
            hint="Take smaller sizes: --size NAME=N.",
        ) from error


_KEEPS = (
    "reshape",
    "broadcast_to",
    "transpose",
    "slice",
    "identity",
    "stop_gradient",
    "cast",
    "flip",
    "concatenate",
)
_INDEXES = ("take", "gather")
_SCATTERS = ("scatter_add", "scatter_add_along")


def _limit(graph: Graph, start: int, sizes: Mapping[str, int]) -> int:
    """The number that all uses of integers allow: the smallest axis that they index, or 2 where they index none."""
    limits: list[int] = []
    seen, stack = {start}, [start]
    while stack:
        i = stack.pop()
        for j in graph.consumers[i]:
            node = graph.nodes[j]
            size = _allowed(graph, node, i)
            if size is not None:
                limits.append(evaluate_dimension(size, sizes))
            if (node.op.name in _KEEPS or node.op.name == "assert_index") and j not in seen:
                seen.add(j)
                stack.append(j)
    return min(limits, default=2)


def _allowed(graph: Graph, node: Node, i: int) -> Any:
    """The size below which a node wants the integers of its operand `i`; None where it does not care."""
    op: Any = node.op
    if op.name == "assert_index":
        return op.size
    if op.name in (*_INDEXES, *_SCATTERS) and node.inputs[1] == i:
        return graph.nodes[node.inputs[0]].type.shape[op.axis]
    if op.name == "equal":  # one_hot compares with the numbers from 0
        for other in node.inputs:
            while graph.nodes[other].op.name in _KEEPS and other != i:
                other = graph.nodes[other].inputs[0]
            made: Any = graph.nodes[other].op
            if made.name == "iota":
                return made.shape[made.axis]
    return None
