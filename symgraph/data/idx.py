"""IDX files, the format of MNIST, read as a stream: a header, then chunks along the first axis.

The format (Y. LeCun, "The MNIST database of handwritten digits"), big-endian throughout:

    2 zero bytes | 1 byte type | 1 byte rank | rank sizes of 4 bytes | the elements, last axis fastest

A file may be gzipped; that is read from its first bytes, never from its name. Nothing is believed before it
is seen: memory grows with the data that came, not with what a header claims, and unpacking stops at the
declared end.
"""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from operator import index
from pathlib import Path
from typing import Any, BinaryIO, cast

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray
from toolz import sliding_window

from symgraph.errors import DataError
from symgraph.files import reason, replacing
from symgraph.values import Unfit, array_of

LIMIT = 4 * 2**30
"""The most bytes of data that a header may declare, unless the caller says otherwise: 4 GiB."""

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(stored).newbyteorder("="): code for code, stored in _TYPES.items()}
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 20  # bytes asked of a stream at once
_MOST_AXES = 64  # NumPy's own bound

Array = NDArray[Any]


@attrs.frozen
class Header:
    """What an IDX file says of itself.

    `dtype` is that of the arrays read (native byte order), `shape` any rank from 0, and `offset` the number
    of bytes of the unpacked file that come before the data.

    >>> header = Header(np.dtype("uint8"), (60000, 28, 28), 16)
    >>> header.count, header.item_shape, header.nbytes
    (60000, (28, 28), 47040000)
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def count(self) -> int:
        """How many items lie along axis 0; a scalar counts as one."""
        return self.shape[0] if self.shape else 1

    @property
    def item_shape(self) -> tuple[int, ...]:
        """The shape of one item, without axis 0."""
        return self.shape[1:]

    @property
    def nbytes(self) -> int:
        """How many bytes of data follow the header."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(path: str | os.PathLike[str], *, limit: int = LIMIT) -> Header:
    """Read what the IDX file at `path` declares: dtype, shape and where the data starts.

    `limit` is the most bytes of data that the header may declare. Raises `DataError` where the file is
    missing, is no IDX file, ends within the header, or declares more than `limit`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = write(Path(folder, "labels.gz"), np.arange(10, dtype="int16"))
    ...     read_header(path)
    Header(dtype=dtype('int16'), shape=(10,), offset=8)
    """
    with _opened(path) as stream:
        return _header(stream, path, limit)


def chunks(path: str | os.PathLike[str], size: int, *, limit: int = LIMIT) -> Iterator[Array]:
    """Read the IDX file at `path` as arrays of `size` items along axis 0; the last may be shorter.

    No more than one chunk is in memory at a time, so a pipeline over `chunks` reads files of any size. A
    scalar file (rank 0) gives one array of rank 0. The header is checked at once; the data as it is drawn.
    Raises `DataError` where the file is missing, damaged, shorter or longer than its header says, or
    declares more than `limit` bytes of data.

    >>> from tempfile import TemporaryDirectory
    >>> from toolz import pipe
    >>> from toolz.curried import map as each
    >>> with TemporaryDirectory() as folder:
    ...     path = write(Path(folder, "images"), np.zeros((300, 28, 28), "uint8"))
    ...     pipe(chunks(path, 128), each(lambda images: images.reshape(-1, 784).shape), list)
    [(128, 784), (128, 784), (44, 784)]
    """
    if isinstance(size, bool) or not hasattr(size, "__index__") or index(size) < 1:
        raise DataError(f"chunks: size must be a whole number from 1, not {size!r}.")
    return _chunks(path, read_header(path, limit=limit), index(size))


def read(path: str | os.PathLike[str], *, limit: int = LIMIT) -> Array:
    """Read the whole IDX file at `path`, plain or gzipped, into one array of native byte order.

    `limit` is the most bytes of data that the header may declare. Raises `DataError` as `chunks` does.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     read(write(Path(folder, "weights.gz"), np.array([[1.5, 2.5]])))
    array([[1.5, 2.5]])
    """
    with _opened(path) as stream:
        header = _header(stream, path, limit)
        array = _decode(_take(stream, path, header.nbytes), header, header.shape, path)
        _expect_end(stream, path, header)
        return array


def write(path: str | os.PathLike[str], array: ArrayLike) -> Path:
    r"""Write `array` as an IDX file at `path`, gzipped where the name ends in `.gz`; return the path.

    The array is uint8, int8, int16, int32, float32 or float64, of any rank; equal arrays give equal files.
    The file appears whole or not at all: it is written beside its place, synced and renamed. Raises
    `DataError` where IDX has no such type or the file cannot be written.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write(Path(folder, "labels"), np.array([5, 0, 4], "uint8")).read_bytes()
    b'\x00\x00\x08\x01\x00\x00\x00\x03\x05\x00\x04'
    """
    with _explained(path):
        target = Path(path)
    value = array if isinstance(array, np.ndarray) else array_of(array)
    if isinstance(value, Unfit):
        raise DataError(f"{path}: an IDX file holds numbers, and this is {value.reason}.", hint=value.hint)
    encode_header(value)  # refuses what IDX cannot hold, before a file is touched
    try:
        with (
            replacing(target) as file,
            _packed(file) if target.suffix == ".gz" else nullcontext(file) as stream,
        ):
            _write_to(stream, value)
    except OSError as error:
        raise DataError(f"{target}: the file could not be written: {reason(error)}.") from error
    return target


def encode_header(array: Array) -> bytes:
    """The bytes that an IDX file of `array` starts with.

    Raises `DataError` where IDX has no type for the array's dtype, or an axis is longer than it can say.

    >>> encode_header(np.zeros((2, 3), "float32")).hex(" ", 4)
    '00000d02 00000002 00000003'
    """
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(dtype.name for dtype in _CODES)
        raise DataError(
            f"An IDX file cannot hold the dtype {array.dtype}.",
            details=(f"It can hold {known}.",),
            hint='Convert the array first, for example array.astype("int32").',
        )
    if any(axis >= 2**32 for axis in array.shape):
        raise DataError(f"An IDX file cannot say the shape {array.shape}: an axis is below 2**32 long.")
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)


def _chunks(path: str | os.PathLike[str], header: Header, size: int) -> Iterator[Array]:
    item = math.prod(header.item_shape) * header.dtype.itemsize
    with _opened(path) as stream:
        _take(stream, path, header.offset)
        for start in range(0, header.count, size):
            count = min(size, header.count - start)
            shape = (count, *header.item_shape) if header.shape else ()
            yield _decode(_take(stream, path, count * item), header, shape, path, start * item)
        _expect_end(stream, path, header)


def _header(stream: BinaryIO, path: str | os.PathLike[str], limit: int) -> Header:
    magic = _take(stream, path, 4)
    if magic[:2] != bytes(min(2, len(magic))) or (len(magic) > 2 and magic[2] not in _TYPES):
        raise DataError(
            f"{path}: this is not an IDX file: it starts with the bytes {magic.hex(' ')}.",
            details=(f"Expected 00 00, then a type among {bytes(_TYPES).hex(' ')}, then the rank.",),
            hint="Check that the file is one of MNIST's kind, for example train-images-idx3-ubyte.gz.",
        )
    rank = magic[3] if len(magic) == 4 else 0
    sizes = _take(stream, path, 4 * rank)
    if len(magic) < 4 or len(sizes) < 4 * rank:
        raise DataError(
            f"{path}: the file ends within its header, after {len(magic) + len(sizes)} bytes.",
            hint="Fetch or write the file again: it is cut off.",
        )
    if rank > _MOST_AXES:
        raise DataError(f"{path}: the header declares {rank} axes, and an array has at most {_MOST_AXES}.")
    dtype = np.dtype(_TYPES[magic[2]]).newbyteorder("=")
    header = Header(dtype, struct.unpack(f">{rank}I", sizes), 4 + 4 * rank)
    # Empty axes count as 1: an array of shape (0, 2**32 - 1, 2**32 - 1) is more than NumPy can say.
    declared = math.prod(max(axis, 1) for axis in header.shape) * dtype.itemsize
    if declared > limit:
        raise DataError(
            f"{path}: the header declares {declared:,} bytes of data, more than the limit of {limit:,}.",
            details=(f"It declares the dtype {dtype} and the shape {header.shape}.",),
            hint="Pass a higher limit= if the file is to be trusted.",
        )
    return header


def _decode(
    data: bytearray, header: Header, shape: tuple[int, ...], path: str | os.PathLike[str], before: int = 0
) -> Array:
    """The array in `data`, of which `before` bytes of the file's data were read already."""
    if len(data) < math.prod(shape) * header.dtype.itemsize:
        raise DataError(
            f"{path}: the data ends after {before + len(data):,} bytes, and the header declares "
            f"{header.nbytes:,}.",
            details=(f"The header declares the dtype {header.dtype} and the shape {header.shape}.",),
            hint="Fetch or write the file again: it is cut off, or its header is wrong.",
        )
    stored = np.frombuffer(data, header.dtype.newbyteorder(">")).reshape(shape)
    if stored.dtype.isnative:
        return stored
    return stored.byteswap(inplace=True).view(header.dtype)


def _expect_end(stream: BinaryIO, path: str | os.PathLike[str], header: Header) -> None:
    # One byte tells; the read also makes gzip compare its checksum, which it does only at the end.
    if _take(stream, path, 1):
        raise DataError(
            f"{path}: more data follows the {header.nbytes:,} bytes that the header declares.",
            details=(f"The header declares the dtype {header.dtype} and the shape {header.shape}.",),
            hint="Fetch or write the file again: its header is wrong, or something was appended.",
        )


def _take(stream: BinaryIO, path: str | os.PathLike[str], count: int) -> bytearray:
    """Up to `count` bytes, fewer where the stream ends; memory grows with what comes."""
    data = bytearray()
    with _explained(path):
        while len(data) < count and (piece := stream.read(min(_PIECE, count - len(data)))):
            data += piece
    return data


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The unpacked bytes of the file."""
    with _explained(path):
        file = Path(path).open("rb")  # noqa: SIM115, closed below: only failures of opening are explained here
    with file:
        with _explained(path):
            packed = file.peek(2)[:2] == _GZIP
        if not packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            yield cast(BinaryIO, unpacked)


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Failures of the system and of gzip, as errors that name the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.", hint="Check the path.") from error
    except (TypeError, ValueError) as error:  # no path, or one that no system has
        raise DataError(f"{path!r} is not a path: {error}.", hint="Give the name of a file.") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: this is a folder; an IDX file was expected.") from error
    except PermissionError as error:
        raise DataError(f"{path}: the file may not be read: permission denied.") from error
    except EOFError as error:
        raise DataError(
            f"{path}: the gzip stream is cut off.", hint="Fetch the file again: it did not arrive whole."
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip stream is damaged: {error}.", hint="Fetch the file again: its bytes changed."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: the file could not be read: {error.strerror or error}.") from error


def _write_to(file: BinaryIO, array: Array) -> None:
    file.write(encode_header(array))
    flat = np.ascontiguousarray(array).reshape(-1)
    stored = array.dtype.newbyteorder(">")
    bounds = (*range(0, flat.size, _PIECE // array.dtype.itemsize), flat.size)
    for start, stop in sliding_window(2, bounds):
        file.write(flat[start:stop].astype(stored, copy=False).tobytes())


@contextmanager
def _packed(file: BinaryIO) -> Iterator[BinaryIO]:
    # Without name and time, so that equal arrays give equal files.
    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
        yield cast(BinaryIO, stream)
