"""The file of a failure capsule: a zip of texts and safetensors, written whole or not at all. Never pickle.

    write : path -> Capsule -> ()
    read  : path -> Capsule

    header.json            the version of the format, what ran, the error, and a table of the arrays
    graph.sg               the declared graph of the run, in the text form
    ledger.txt             what the compiler rewrote, a line each
    feeds.safetensors      the arrays, under the numbers that the table gives them
    variables.safetensors

Both directions are bounded in bytes. A reader takes the members that it knows into memory and nothing else: no name
in the file is ever a path, and what is unpacked is never more than it allows.
"""

import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import numpy as np

from symgraph.errors import CapsuleError, SymgraphError
from symgraph.files import reason, replacing
from symgraph.inspect.capsules.capsule import LIMIT, Capsule, Failure, Held, missing_leaves
from symgraph.ir import Array, Graph
from symgraph.rewrite import NUMERICS
from symgraph.text import from_text, to_text
from symgraph.train.checkpoint import require_safetensors
from symgraph.types import DTYPES, DType

FORMAT = 1
SUFFIX = ".capsule"
READ_LIMIT = 2**30  # bytes that a reader unpacks, unless another number is asked for
_HEADER, _GRAPH, _LEDGER = "header.json", "graph.sg", "ledger.txt"
_TENSORS = {"feeds": "feeds.safetensors", "variables": "variables.safetensors"}
_MEMBERS = (_HEADER, _GRAPH, _LEDGER, *_TENSORS.values())
_HEADER_LIMIT = 2**26  # bytes
_TABLE_LIMIT = 2**12  # bytes of the zip's own table of members
_MOST = 100_000  # arrays
_ALLOW = "If it is yours, allow more: replay(path, limit=BYTES), or --limit BYTES."
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the members' date: equal capsules are equal files
_NUMBERS = ("count", "nan", "posinf", "neginf", "zeros")
_LARGEST = float(np.finfo(np.float64).max)
_RANGES = {"f": (-_LARGEST, _LARGEST), "i": (-(2**63), 2**63 - 1), "b": (0, 1)}
_TUPLES = ("fetches", "groups", "names")
_DTYPES = tuple(dtype.name for dtype in DTYPES)


def write(path: str | Path, capsule: Capsule, limit: int = LIMIT) -> None:
    """Write a capsule in place of what `path` holds, in at most about `limit` bytes; raises CapsuleError.

    Arrays that do not fit, the largest first, are left out: the header keeps their names, shapes and statistics. The
    bytes go to a new file in the same folder, are synced, and take the name at once.
    """
    if not isinstance(path, str | os.PathLike):
        raise CapsuleError(f"{path!r} is not a path", hint="Give the name of a file.")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0:
        raise CapsuleError(f"the limit of a capsule is a number of bytes, and this is {limit!r}")
    try:
        text = to_text(capsule.graph)
    except SymgraphError as error:
        raise CapsuleError(f"{path}: the graph has no text form: {error.message}", hint=error.hint) from error
    room = limit - len(text) - len(capsule.ledger)
    kept = _fitting(capsule, room)
    groups = {"feeds": kept.feeds, "variables": kept.variables}
    members: dict[str, bytes] = {
        _HEADER: json.dumps(_header(kept), allow_nan=False, indent=1).encode(),
        _GRAPH: text.encode(),
        _LEDGER: capsule.ledger.encode("utf-8", "backslashreplace"),
        **{_TENSORS[name]: _packed(values) for name, values in groups.items()},
    }
    try:
        with replacing(path) as file:
            _zip(file, members)
    except (OSError, ValueError) as error:
        raise CapsuleError(f"{path} cannot be written: {reason(error)}") from error


def read(path: str | Path, limit: int = READ_LIMIT) -> Capsule:
    """The capsule in a file, all of it checked; raises CapsuleError, which names the file.

    A file that would unpack to more than `limit` bytes is refused before anything is unpacked.
    """
    members = _members(path, limit)
    try:
        header = json.loads(members[_HEADER].decode(), parse_constant=_no_number, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise CapsuleError(f"{path} has a damaged header: {error}") from None
    _check_format(path, header)
    try:
        graph = from_text(members[_GRAPH].decode())
    except SymgraphError as error:
        raise CapsuleError(
            f"{path}: the graph cannot be read: {error.message}",
            details=error.details,
            hint=error.hint or "Import the module that defines its operations first.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise CapsuleError(f"{path}: the graph cannot be read: {error}") from None
    made = _capsule(path, header, graph, members)
    lacking = missing_leaves(made)
    if lacking:
        raise CapsuleError(f"{path} has a damaged header: it has no entry for {lacking[0]!r}")
    return made


# Writing


def _fitting(capsule: Capsule, room: int) -> Capsule:
    """The capsule with the largest arrays left out, as many as it takes."""
    present = [h for h in (*capsule.feeds, *capsule.variables) if h.array is not None]
    kept: set[int] = set()
    for one in sorted(present, key=lambda h: h.array.nbytes):  # type: ignore[union-attr]
        size = one.array.nbytes  # type: ignore[union-attr]
        if size > room:
            break
        room -= size
        kept.add(id(one))

    def fit(values: Sequence[Held]) -> tuple[Held, ...]:
        return tuple(
            h
            if h.array is None or id(h) in kept
            else attrs.evolve(
                h, array=None, missing=f"left out: its {h.array.nbytes} bytes are over the limit"
            )
            for h in values
        )

    return attrs.evolve(capsule, feeds=fit(capsule.feeds), variables=fit(capsule.variables))


def _header(capsule: Capsule) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fetches": list(capsule.fetches),
        "groups": list(capsule.groups),
        "sizes": dict(capsule.sizes),
        "seed": capsule.seed,
        "step": capsule.step,
        "backend": capsule.backend,
        "numerics": capsule.numerics,
        "threads": capsule.threads,
        "failure": None if capsule.failure is None else attrs.asdict(capsule.failure),
        "versions": dict(capsule.versions),
        "lines": dict(capsule.lines),
        "names": list(capsule.names),
        "feeds": _table(capsule.feeds),
        "variables": _table(capsule.variables),
    }


def _table(values: Sequence[Held]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "dtype": one.dtype,
            "shape": list(one.shape),
            "statistics": dict(one.statistics),
            "tensor": None if one.array is None else str(k),
            "missing": one.missing,
        }
        for k, one in enumerate(values)
    ]


def _packed(values: Sequence[Held]) -> bytes:
    import safetensors.numpy

    arrays = {str(k): np.asarray(h.array, order="C") for k, h in enumerate(values) if h.array is not None}
    made: bytes = safetensors.numpy.save(arrays)
    return made


def _zip(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            # Arrays hardly shrink, and packing them takes longer than the run did.
            entry.compress_type = zipfile.ZIP_STORED if name in _TENSORS.values() else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


# Reading


def _members(path: str | Path, limit: int) -> dict[str, bytes]:
    """The members of the zip, unpacked in memory and within the limit; the checksums of the zip are checked."""
    if not isinstance(path, str | os.PathLike):
        raise CapsuleError(f"{path!r} is not a path", hint="Give the name of a file.")
    try:
        found = os.stat(path)  # noqa: PTH116  path may be a text
    except (OSError, ValueError) as error:
        raise CapsuleError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise CapsuleError(f"{path} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no plain file'}")
    if found.st_size > limit:
        raise CapsuleError(f"{path} has {found.st_size} bytes, and {limit} are allowed", hint=_ALLOW)
    try:
        with Path(path).open("rb") as file:
            _check_directory(path, file)
            archive = zipfile.ZipFile(file)
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if sorted(names) != sorted(_MEMBERS):
                odd = next((n for n in names if n not in _MEMBERS or names.count(n) > 1), None)
                what = f"it holds {odd[:80]!r}" if odd is not None else "a member is missing"
                raise CapsuleError(f"{path} is no capsule: {what}", hint=f"It has {', '.join(_MEMBERS)}.")
            whole = sum(entry.file_size for entry in entries)
            if whole > limit:
                raise CapsuleError(
                    f"{path} would unpack to {whole} bytes, and {limit} are allowed", hint=_ALLOW
                )
            return {entry.filename: _unpacked(path, archive, entry) for entry in entries}
    except SymgraphError:
        raise
    except OSError as error:
        raise CapsuleError(f"{path} cannot be read: {error.strerror or error}") from error
    # A damaged zip makes the reader raise errors of many kinds.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        RuntimeError,
        OverflowError,
        LookupError,
    ) as error:
        raise CapsuleError(f"{path} is damaged, or no capsule: {error}") from error
    except Exception as error:
        raise CapsuleError(f"{path} is damaged, or no capsule: {type(error).__name__}: {error}") from error


def _check_directory(path: str | Path, file: BinaryIO) -> None:
    """Refuse a table of members that is longer than ours, before it is read: each of its entries takes memory.

    The end of a zip is a record of 22 bytes, which tells the length of the table at 12; a large zip has 56 bytes, with
    the length at 40, and 20 more before it (PKWARE, "APPNOTE.TXT", 4.3.14 to 4.3.16).
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read(98).rjust(98, b"\0")
    large = tail[56:60] == b"PK\6\7"
    length = int.from_bytes(tail[40:48] if large else tail[88:92], "little")
    if tail[76:80] != b"PK\5\6" or length > _TABLE_LIMIT:
        raise CapsuleError(f"{path} is no capsule, or damaged: it does not end as one")
    file.seek(0)


def _unpacked(path: str | Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.filename == _HEADER and entry.file_size > _HEADER_LIMIT:
        raise CapsuleError(f"{path} has a header of {entry.file_size} bytes, and {_HEADER_LIMIT} are allowed")
    with archive.open(entry) as file:
        data = file.read(entry.file_size + 1)
        rest = file.read(1)  # at the end the checksum is looked at
    if len(data) != entry.file_size or rest:
        raise CapsuleError(f"{path} is damaged: {entry.filename} is not as long as it says")
    return data


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _check_format(path: str | Path, header: Any) -> None:
    if not isinstance(header, dict) or not _is_count(header.get("format")):
        raise CapsuleError(f"{path} has a damaged header: it names no format")
    if header["format"] != FORMAT:
        raise CapsuleError(
            f"{path} has the format {header['format']}, and this release reads {FORMAT}",
            hint="Use the release of symgraph that wrote it.",
        )


def _capsule(path: str | Path, header: dict[str, Any], graph: Graph, members: Mapping[str, bytes]) -> Capsule:
    checks = {
        "fetches": _are(header.get("fetches"), str),
        "groups": _are(header.get("groups"), str),
        "names": _are(header.get("names"), str) and len(header["names"]) in (0, len(graph)),
        "sizes": _maps(header.get("sizes"), _is_count),
        "seed": _is_whole(header.get("seed")),
        "step": _is_count(header.get("step")),
        "backend": isinstance(header.get("backend"), str),
        "numerics": header.get("numerics") in NUMERICS,
        "threads": header.get("threads") is None or _is_count(header.get("threads")),
        "failure": header.get("failure") is None or _is_failure(header["failure"]),
        "versions": _maps(header.get("versions"), lambda value: isinstance(value, str)),
        "lines": _maps(header.get("lines"), lambda value: isinstance(value, str)),
    }
    wrong = [name for name, good in checks.items() if not good]
    if wrong:
        raise CapsuleError(f"{path} has a damaged header: its {wrong[0]} is not as it was written")
    failure = header["failure"]
    fields: dict[str, Any] = {name: header[name] for name in checks if name != "failure"}
    fields |= {name: tuple(header[name]) for name in _TUPLES}
    return Capsule(
        graph=graph,
        feeds=_held(path, header, "feeds", members),
        variables=_held(path, header, "variables", members),
        failure=None if failure is None else Failure(**failure),
        ledger=members[_LEDGER].decode(errors="replace"),
        **fields,
    )


def _held(
    path: str | Path, header: dict[str, Any], group: str, members: Mapping[str, bytes]
) -> tuple[Held, ...]:
    """The values of one table, with their arrays."""
    table = header.get(group)
    if not isinstance(table, list) or len(table) > _MOST or not all(map(_is_row, table)):
        raise CapsuleError(f"{path} has a damaged header: its {group} are not as they were written")
    names = [row["name"] for row in table]
    arrays = _arrays(path, members[_TENSORS[group]])
    wanted = [row["tensor"] for row in table if row["tensor"] is not None]
    if len(set(names)) < len(names) or sorted(wanted) != sorted(arrays):
        raise CapsuleError(f"{path} is damaged: its {group} are not those that the header names")
    made = []
    for row in table:
        array = None if row["tensor"] is None else arrays[row["tensor"]]
        if array is not None and (array.dtype.name, list(array.shape)) != (row["dtype"], row["shape"]):
            raise CapsuleError(
                f"{path} is damaged: {row['name']!r} is {array.dtype.name}{list(array.shape)}, and the header "
                f"says {row['dtype']}{row['shape']}"
            )
        made.append(
            Held(row["name"], row["dtype"], tuple(row["shape"]), row["statistics"], array, row["missing"])
        )
    return tuple(made)


def _arrays(path: str | Path, data: bytes) -> dict[str, Array]:
    require_safetensors()
    import safetensors.numpy

    try:
        arrays: dict[str, Array] = safetensors.numpy.load(data)
    except Exception as error:  # a damaged file makes the reader raise errors of many kinds
        raise CapsuleError(f"{path} is damaged: its arrays cannot be read: {error}") from error
    return arrays


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and row.get("dtype") in _DTYPES
        and _are(row.get("shape"), int)
        and all(map(_is_count, row["shape"]))
        and _is_statistics(row.get("statistics"), np.dtype(row["dtype"]), math.prod(row["shape"]))
        and isinstance(row.get("missing"), str)
        and (isinstance(row.get("tensor"), str) != bool(row["missing"]))
        and (row.get("tensor") is None or isinstance(row["tensor"], str))
    )


def _is_statistics(value: Any, dtype: DType, count: int) -> bool:
    """Whether these can be the statistics of an array."""
    if not (isinstance(value, dict) and all(_is_count(value.get(name)) for name in _NUMBERS)):
        return False
    if not all(v is None or _is_number(v) for v in value.values()):
        return False
    least, most = _RANGES[dtype.kind]
    low, high, spread = (value.get(name) or 0 for name in ("min", "max", "deviation"))
    odd = sum(value[name] for name in _NUMBERS[1:])
    return bool(least <= low <= high <= most and spread >= 0 and odd <= value["count"] == count)


def _is_failure(value: Any) -> bool:
    names = {field.name for field in attrs.fields(Failure)}
    return (
        isinstance(value, dict) and value.keys() == names and all(isinstance(v, str) for v in value.values())
    )


def _are(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _maps(value: Any, good: Any) -> bool:
    return isinstance(value, dict) and all(good(item) for item in value.values())


def _is_number(value: Any) -> bool:
    """Whether a value is a number that a float64 holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0
