"""Compiled code on disk, so that a program is compiled once and not in every process.

An entry's name is the hash of all that its code follows from; its content begins with a checksum over that name and
the code, and whatever does not match is compiled again, never linked. Writers take no lock: they write a file of
their own and rename it, so a reader sees a whole entry or none. Where there is no folder to trust or to write to,
all works without.
"""

import contextlib
import hashlib
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import attrs

from symgraph.errors import CompileError
from symgraph.lowering.llvm.jit import Loaded, load, object_code
from symgraph.lowering.llvm.target import Target, llvm

_VARIABLE = "SYMGRAPH_CACHE_DIR"
_OFF = "off"
_FORMAT = 1  # grows with the layout of entries, and with the options of the code generator
_MAGIC = b"symgraph object\n"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size
_ENTRY = re.compile(r"[0-9a-f]{64}\.object")
_UNFINISHED = re.compile(r"\.symgraph-.*\.part")
_LIMIT = 512 << 20  # bytes
_KEPT = 0.75  # of the limit, when it is exceeded
_DAY, _HOUR = 86400, 3600  # seconds


def object_for(text: str, target: Target, level: int = 2) -> bytes:
    """The object code of a module: from the cache, or compiled with a level of care (0 to 3) and kept there.

    Raises CompileError for IR that LLVM refuses; a fault of the disk is none.
    """
    key = key_of(text, target, level)
    code = kept(key)
    if code is None:
        code = object_code(text, target, level)
        keep(key, code)
    return code


def kept(key: str) -> bytes | None:
    """What was kept under a key; None where there is nothing, or nothing to trust."""
    place, _ = folder()
    return None if place is None else _read(place, key)


def keep(key: str, content: bytes) -> None:
    """Keep something under a key, if that can be; nothing is kept of what is empty."""
    place, _ = folder()
    if place is not None and content:
        _write(place, key, content)


def linked(text: str, target: Target, names: Sequence[str], level: int = 2) -> Loaded:
    """The functions of a module by their names, from the cache or compiled. What is in the cache and does not link,
    as the work of another build of LLVM would not, is compiled again.

    Raises CompileError for IR that LLVM refuses, and where a symbol is missing.
    """
    try:
        return load(object_for(text, target, level), names)
    except CompileError:
        place, _ = folder()
        if place is None:
            raise
    code = object_code(text, target, level)
    loaded = load(code, names)
    keep(key_of(text, target, level), code)
    return loaded


def key_of(text: str, target: Target, level: int = 2) -> str:
    """The hash of all that the object code of a module follows from."""
    parts = (_FORMAT, *_versions(), target.triple, target.features, target.width, level, text)
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@lru_cache(1)
def _versions() -> tuple[str, str]:
    import llvmlite

    return str(llvmlite.__version__), ".".join(map(str, llvm().llvm_version_info))


# The folder


def folder() -> tuple[Path | None, str]:
    """Where entries are, made where it was missing; or None, and the reason, where there is no folder to use."""
    asked = os.environ.get(_VARIABLE, "").strip()
    if asked == _OFF:
        return None, f"{_VARIABLE} is {_OFF}"
    try:
        place = Path(asked).expanduser() if asked else _usual()
    except RuntimeError:
        return None, f"there is no home folder; set {_VARIABLE}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = place.stat()
    except OSError as error:
        return None, f"{place} cannot be made: {error.strerror or error}"
    if not _ours(status):
        return None, f"{place} belongs to another user"
    if os.name == "posix" and status.st_mode & stat.S_IWOTH:
        return None, f"everybody may write to {place}"
    return place, ""


def _usual() -> Path:
    """The folder for caches of this system's users. Raises RuntimeError where there is no home folder."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "symgraph" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "symgraph"
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    # What is not absolute is to be ignored (XDG Base Directory Specification).
    return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache") / "symgraph"


def _ours(status: os.stat_result) -> bool:
    return os.name != "posix" or status.st_uid == os.geteuid()


# Entries


def _read(place: Path, key: str) -> bytes | None:
    """The code of an entry; None where it is missing, damaged, another's, or could be another's work."""
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    path = place / f"{key}.object"
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            writable = os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not stat.S_ISREG(status.st_mode) or not _ours(status) or writable or status.st_size > _LIMIT:
                return None
            content = file.read()
    except OSError:
        return None
    code = content[_HEADER:]
    if content[:_HEADER] != _header(key, code):
        return None
    if time.time() - status.st_mtime > _DAY:  # what is used stays longest
        with contextlib.suppress(OSError):
            os.utime(path)
    return code


def _header(key: str, code: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(key.encode() + code).digest()


def _write(place: Path, key: str, code: bytes) -> None:
    """Keep an entry, if that can be; now and then see to the size of it all."""
    try:
        handle, unfinished = tempfile.mkstemp(prefix=".symgraph-", suffix=".part", dir=place)
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_header(key, code) + code)
        Path(unfinished).replace(place / f"{key}.object")
    except OSError:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        return
    if key.startswith("0"):
        tidy(place)


def tidy(place: Path, limit: int = _LIMIT) -> None:
    """Remove what was used longest ago until no more than three quarters of a limit in bytes are left, if it is
    exceeded; and what writers that died have left.
    """
    now = time.time()
    for path, status in _files(place, _UNFINISHED):
        if now - status.st_mtime > _HOUR:
            _remove(path)
    entries = sorted(_files(place, _ENTRY), key=lambda entry: entry[1].st_mtime)
    size = sum(status.st_size for _, status in entries)
    if size <= limit:
        return
    for path, status in entries:
        if size <= _KEPT * limit:
            return
        size -= status.st_size if _remove(path) else 0


def _files(place: Path, name: re.Pattern[str]) -> Iterator[tuple[Path, os.stat_result]]:
    with contextlib.suppress(OSError), os.scandir(place) as found:
        for one in found:
            with contextlib.suppress(OSError):
                if name.fullmatch(one.name):
                    yield Path(one.path), one.stat(follow_symlinks=False)


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


# What the command line tells


@attrs.frozen
class Contents:
    """What is in the cache: its folder, or why there is none; the number of entries, and their bytes."""

    place: Path | None
    reason: str
    entries: int
    size: int


def contents() -> Contents:
    """What is in the cache now."""
    place, reason = folder()
    sizes = [status.st_size for _, status in _files(place, _ENTRY)] if place is not None else []
    return Contents(place, reason, len(sizes), sum(sizes))


def clear() -> int:
    """Remove all entries, and what writers that died have left; returns how many entries were removed. Processes
    that use the cache meanwhile compile again.
    """
    place, _ = folder()
    if place is None:
        return 0
    for path, _ in _files(place, _UNFINISHED):
        _remove(path)
    return sum(_remove(path) for path, _ in list(_files(place, _ENTRY)))
