"""Checkpoints: the state of a session in a safetensors file, replaced whole or not at all. Never pickle.

    write : path -> Checkpoint -> ()
    read  : path -> Checkpoint

The file holds one tensor a variable, and under the key `symgraph` of its metadata one JSON header: the
version of this format, the fingerprint of the graph, the step, the seed, the position in the data, the names,
what the user added, and a CRC-32 of all of that and of the tensors. Any safetensors reader opens it. Arrays that
belong to the state and are no variables, such as the best weights so far, are tensors of their own names.
"""

import json
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np

from symgraph.data.batches import Position
from symgraph.errors import CheckpointError, SymgraphError
from symgraph.files import reason, replace, sync_folder
from symgraph.ir import Array, Graph
from symgraph.types import DTYPES, TensorType

FORMAT = 1
KEY = "symgraph"
_RESERVED = "__metadata__"  # what safetensors itself keeps in its header
_FIELDS = frozenset({"format", "fingerprint", "step", "seed", "position", "names", "extra", "checksum"})
_OPTIONAL = "arrays"  # the names of arrays that are no variables, and those of their tensors


@attrs.frozen(eq=False)
class Checkpoint:
    """What a checkpoint holds: the state of a session, and how far the data was read.

    `tensors` are the variables by name, `step` the number of updates, `position` that of the stream of
    batches (None where none was saved), `extra` what the user added, `arrays` further state that is no variable.
    """

    tensors: Mapping[str, Array] = attrs.field(repr=lambda tensors: f"<{len(tensors)} tensors>")
    step: int
    seed: int
    fingerprint: str
    position: Position | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    arrays: Mapping[str, Array] = attrs.field(factory=dict, repr=lambda arrays: f"<{len(arrays)} arrays>")


def header(
    fingerprint: str,
    extra: Mapping[str, Any] | None,
    position: Position | None,
    arrays: Mapping[str, Array] | None = None,
) -> Checkpoint:
    """A checkpoint without a state yet; raises CheckpointError for what JSON cannot hold.

    >>> header("1f0a", {"epoch": 3}, Position(3, 0)).extra
    {'epoch': 3}
    """
    if position is not None and not isinstance(position, Position):
        raise CheckpointError(
            f"position is that of a stream of batches, not {position!r}",
            hint="Pass position=stream.position.",
        )
    try:
        plain = json.loads(json.dumps({} if extra is None else dict(extra), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"extra cannot be written as JSON: {error}",
            hint="Use numbers, texts, lists and dicts; state that is arrays belongs in variables.",
        ) from None
    further = {str(name): np.asarray(array) for name, array in (arrays or {}).items()}
    unfit = next((name for name, array in further.items() if array.dtype not in DTYPES), None)
    if unfit is not None:
        raise CheckpointError(
            f"the array {unfit!r} is {further[unfit].dtype}, which no checkpoint holds",
            hint="Use float32, float64, int32, int64 or bool.",
        )
    return Checkpoint({}, 0, 0, fingerprint, position, plain, further)


def write(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of what `path` holds; raises CheckpointError.

    The bytes go to a new file in the same folder, are synced, and take the name at once; then the folder is
    synced. After an exception the older file is as it was and no other is left behind.
    """
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(f"{path!r} is not a path", hint="Give the name of a file.")
    data = _encode(path, checkpoint)
    try:
        target = Path(os.path.realpath(path))  # a link stays a link
        if target.exists() and not target.is_file():
            raise CheckpointError(
                f"{path} is {'a folder' if target.is_dir() else 'no plain file'}, and is left as it is"
            )
        replace(target, data)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} could not be written: {reason(error)}",
            hint="What the file held before is whole.",
        ) from error
    try:
        sync_folder(target.parent)
    except OSError as error:
        raise CheckpointError(
            f"{path} was written, but its folder could not be synced: {error.strerror or error}",
            hint="The new file is whole; after a loss of power the older one may be back.",
        ) from error


def read(path: str | Path) -> Checkpoint:
    """The checkpoint in a file, all of it checked; raises CheckpointError, which names the file."""
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(f"{path!r} is not a path", hint="Give the name of a file.")
    safetensors = require_safetensors()
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  path may be a text
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no plain file'}")
    try:
        with safetensors.safe_open(os.fspath(path), framework="np") as file:
            fields = _fields(path, file.metadata(), file.keys())
            tensors = {name: file.get_tensor(name) for name in fields["names"]}
            arrays = {name: file.get_tensor(key) for name, key in fields.get(_OPTIONAL, {}).items()}
    except SymgraphError:
        raise
    except Exception as error:  # a damaged file makes the reader raise errors of many kinds
        raise CheckpointError(f"{path} is damaged, or no safetensors file: {error}") from error
    for name, tensor in (*tensors.items(), *arrays.items()):
        if tensor.dtype not in DTYPES:
            raise CheckpointError(
                f"{path} holds {name!r} as {tensor.dtype.name}, which symgraph does not have"
            )
    if fields["checksum"] != _checksum(fields, tensors, arrays):
        raise CheckpointError(f"{path} is damaged: what it holds is not what was written")
    return Checkpoint(
        tensors=tensors,
        step=fields["step"],
        seed=fields["seed"],
        fingerprint=fields["fingerprint"],
        position=_position(path, fields["position"]),
        extra=fields["extra"],
        arrays=arrays,
    )


def check_tensors(path: str | Path, graph: Graph, tensors: Mapping[str, Array]) -> None:
    """Raise CheckpointError where these are not the variables of a graph, by name, dtype and shape."""
    if tensors.keys() != graph.variables.keys():
        differ = sorted(tensors.keys() ^ graph.variables.keys())
        where = "the file alone" if differ[0] in tensors else "the graph alone"
        raise CheckpointError(
            f"{path} has other variables than the graph: {differ[0]!r} is in {where}",
            details=(f"{len(differ)} names differ in all",) if len(differ) > 1 else (),
        )
    for name, node in graph.variables.items():
        found = tensors[name]
        held = TensorType(found.dtype, found.shape)
        if held != node.type:
            raise CheckpointError(f"{path} holds {name!r} as {held}, and the graph declares {node.type}")


def require_safetensors() -> ModuleType:
    """The package that reads and writes the files; raises CheckpointError where it is not installed."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise CheckpointError(
            "checkpoints and capsules need the package safetensors, which is not installed",
            hint='Install it with: pip install "symgraph[train]"',
        ) from None
    module: ModuleType = safetensors
    return module


def _encode(path: str | Path, checkpoint: Checkpoint) -> bytes:
    safetensors = require_safetensors()
    fields: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": checkpoint.fingerprint,
        "step": checkpoint.step,
        "seed": checkpoint.seed,
        "position": None if checkpoint.position is None else attrs.asdict(checkpoint.position),
        "names": sorted(checkpoint.tensors),
        "extra": checkpoint.extra,
    }
    keys = _keys(checkpoint)
    if keys:
        fields[_OPTIONAL] = keys
    fields["checksum"] = _checksum(fields, checkpoint.tensors, checkpoint.arrays)
    if _RESERVED in checkpoint.tensors:
        raise CheckpointError(
            f"{path}: the variable {_RESERVED!r} cannot be saved: safetensors keeps that name"
        )
    try:
        made: bytes = safetensors.numpy.save(
            {**checkpoint.tensors, **{key: checkpoint.arrays[name] for name, key in keys.items()}},
            {KEY: json.dumps(fields, sort_keys=True)},
        )
    except (UnicodeError, ValueError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: the state cannot be written as safetensors: {error}") from error
    return made


def _keys(checkpoint: Checkpoint) -> dict[str, str]:
    """The name of the tensor that holds each array: another than any variable has."""
    taken = {*checkpoint.tensors, _RESERVED}
    keys: dict[str, str] = {}
    for name in sorted(checkpoint.arrays):
        key = f"@{name}"
        while key in taken:
            key += "'"
        taken.add(key)
        keys[name] = key
    return keys


def _checksum(
    fields: Mapping[str, Any], tensors: Mapping[str, Array], arrays: Mapping[str, Array] | None = None
) -> int:
    """The CRC-32 of the header's other fields and of the tensors, with their types, in the order of names."""
    known = {name: value for name, value in fields.items() if name != "checksum"}
    crc = zlib.crc32(json.dumps(known, sort_keys=True).encode())
    further = [(arrays or {})[name] for name in sorted(fields.get(_OPTIONAL, {}))]
    for tensor in (*(tensors[name] for name in fields["names"]), *further):
        crc = zlib.crc32(f"{tensor.dtype.name}{tensor.shape}".encode(), crc)
        crc = zlib.crc32(tensor.tobytes(), crc)
    return crc


def _fields(path: str | Path, metadata: Any, names: Any) -> dict[str, Any]:
    """The header; raises CheckpointError for what is not as it was written."""
    text = (metadata or {}).get(KEY)
    if text is None:
        raise CheckpointError(
            f"{path} is a safetensors file, but not a checkpoint of symgraph",
            hint="To use its arrays, read them with safetensors and pass them to session.variables.assign.",
        )
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged header: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("format"), int):
        raise CheckpointError(f"{path} has a damaged header: it names no format")
    if fields["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has the format {fields['format']}, and this release reads {FORMAT}",
            hint="Use the release of symgraph that wrote it.",
        )
    if fields.keys() - {_OPTIONAL} != _FIELDS:
        raise CheckpointError(f"{path} has a damaged header: it has {', '.join(sorted(map(str, fields)))}")
    arrays = fields.get(_OPTIONAL, {})
    keys = list(arrays.values()) if isinstance(arrays, dict) else [None]
    wrong = [
        name
        for name, good in {
            _OPTIONAL: all(isinstance(key, str) for key in keys),
            "fingerprint": isinstance(fields["fingerprint"], str),
            "step": _is_count(fields["step"]),
            "seed": _is_count(fields["seed"]),
            "names": isinstance(fields["names"], list)
            and sorted(map(str, [*fields["names"], *keys])) == sorted(names),
            "checksum": _is_count(fields["checksum"]),
            "extra": isinstance(fields["extra"], dict),
        }.items()
        if not good
    ]
    if wrong:
        raise CheckpointError(f"{path} has a damaged header: its {wrong[0]} is not as it was written")
    return fields


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _position(path: str | Path, value: Any) -> Position | None:
    if value is None:
        return None
    try:
        return Position(**value)
    except (TypeError, SymgraphError):
        raise CheckpointError(f"{path} has a damaged header: {value!r} is no position in the data") from None
