"""Files that appear whole or not at all: written beside their place, synced, and renamed.

    replacing : path -> a file to write into       replace : path -> bytes | text -> ()

After an exception, also that of an interrupt, what the path held is as it was and no other file is left behind.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".symgraph-*.tmp"  # the name of a file that is being written


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, which takes the place of `path` in one step where the block ends without an exception.

    A link stays a link: what it leads to is replaced. A pipe or a device is written into as it is. Raises OSError,
    and ValueError for what no path can be.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "a"
    >>> with replacing(place) as file:
    ...     file.write(b"whole"), place.exists()
    (5, False)
    >>> place.read_bytes(), len(list(place.parent.iterdir()))
    (b'whole', 1)
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    temporary = target.with_name(UNFINISHED.replace("*", secrets.token_hex(8)))
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def replace(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file, text as UTF-8; see `replacing`."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Let a new name in a folder outlast a loss of power. Raises OSError."""
    if os.name == "nt":  # a folder cannot be opened there, and a rename is on disk when it returns
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: BaseException) -> str:
    """Why a file could not be written, in words.

    >>> reason(OSError(28, "No space left on device")), reason(ValueError("embedded null byte"))
    ('No space left on device', 'embedded null byte')
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
