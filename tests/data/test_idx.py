"""IDX files: round trips over every type and rank, and files that lie, break off or swell."""

import gzip
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symgraph.data import idx
from symgraph.errors import DataError

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
)
IN_A_FOLDER = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def encoded(array: np.ndarray) -> bytes:
    """An IDX file written from the format's description, element by element, without the module's help."""
    letter = {"uint8": "B", "int8": "b", "int16": "h", "int32": "i", "float32": "f", "float64": "d"}
    head = bytes([0, 0, CODES[array.dtype.name], array.ndim])
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return (
        head
        + sizes
        + b"".join(struct.pack(">" + letter[array.dtype.name], v) for v in array.ravel().tolist())
    )


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def header(shape: tuple[int, ...], code: int = 0x08) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def drawn(path: Path, size: int = 7) -> list[np.ndarray]:
    return list(idx.chunks(path, size))


@IN_A_FOLDER
@given(array=ARRAYS, packed=st.booleans())
def test_reads_what_the_format_describes(tmp_path: Path, array: np.ndarray, packed: bool) -> None:
    content = encoded(array)
    path = put(tmp_path / "file", gzip.compress(content) if packed else content)
    result = idx.read(path)
    assert result.dtype.isnative
    assert np.array_equal(result, array, equal_nan=array.dtype.kind == "f")
    assert result.shape == array.shape
    assert idx.read_header(path) == idx.Header(array.dtype, array.shape, 4 + 4 * array.ndim)


@IN_A_FOLDER
@given(array=ARRAYS, name=st.sampled_from(["file", "file.gz"]), size=st.integers(1, 6))
def test_what_is_written_is_read_bit_for_bit(tmp_path: Path, array: np.ndarray, name: str, size: int) -> None:
    path = idx.write(tmp_path / name, array)
    assert path.read_bytes().startswith(b"\x1f\x8b" if name == "file.gz" else b"\0\0")
    assert same(idx.read(path), array)
    parts = drawn(path, size)
    if array.ndim == 0:
        assert len(parts) == 1
        assert same(parts[0], array)
    else:
        assert [len(part) for part in parts] == [
            min(size, len(array) - i) for i in range(0, len(array), size)
        ]
        assert same(np.concatenate([np.zeros((0, *array.shape[1:]), array.dtype), *parts]), array)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=">i4").reshape(4, 6),
        np.arange(24, dtype="float64").reshape(4, 6).T,
        np.arange(24, dtype="int16").reshape(4, 6)[::2, ::-3],
    ],
    ids=["big-endian", "transposed", "strided"],
)
def test_the_layout_in_memory_does_not_show_in_the_file(tmp_path: Path, array: np.ndarray) -> None:
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="))
    path = idx.write(tmp_path / "file", array)
    assert path.read_bytes() == encoded(plain)
    assert same(idx.read(path), plain)


def test_arrays_larger_than_one_piece(tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((700, 600)).astype("float32")
    path = idx.write(tmp_path / "file", array)
    assert path.stat().st_size == 12 + array.nbytes
    assert same(idx.read(path), array)
    assert same(np.concatenate(drawn(path, 300)), array)


def test_results_may_be_changed(tmp_path: Path) -> None:
    path = idx.write(tmp_path / "file", np.zeros((3, 2), "uint8"))
    for array in (idx.read(path), *drawn(path)):
        array += 1
    assert not idx.read(path).any()


def test_equal_arrays_give_equal_files(tmp_path: Path) -> None:
    array = np.arange(100, dtype="int32")
    first, second = idx.write(tmp_path / "a.gz", array), idx.write(tmp_path / "b.gz", array)
    assert first.read_bytes() == second.read_bytes()


def test_writing_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = put(tmp_path / "file", b"old")
    idx.write(path, np.array([1], "uint8"))
    assert names(tmp_path) == ["file"]
    assert idx.read(path).tolist() == [1]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = put(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="file could not be written: No space left on device"):
        idx.write(path, np.array([1], "uint8"))
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "complex64", "U3", "object"])
def test_a_dtype_that_the_format_lacks_is_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(DataError, match="cannot hold the dtype") as caught:
        idx.write(tmp_path / "file", np.zeros(3, dtype))
    assert "astype" in caught.value.hint
    assert not names(tmp_path)


def test_writing_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be written"):
        idx.write(tmp_path / "none" / "file", np.zeros(3, "uint8"))


def test_gzip_is_told_by_its_bytes_not_by_the_name(tmp_path: Path) -> None:
    content = encoded(np.arange(6, dtype="uint8"))
    assert idx.read(put(tmp_path / "plain.gz", content)).tolist() == [0, 1, 2, 3, 4, 5]
    assert idx.read(put(tmp_path / "packed", gzip.compress(content))).tolist() == [0, 1, 2, 3, 4, 5]
    parts = gzip.compress(content[:9]) + gzip.compress(content[9:]) + bytes(64)  # members, then padding
    assert idx.read(put(tmp_path / "members.gz", parts)).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends within its header, after 0 bytes"),
        (b"\0\0\x08", "ends within its header, after 3 bytes"),
        (header((5, 4))[:-1], "ends within its header, after 11 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "not an IDX file: it starts with the bytes 89 50 4e 47"),
        (b"PK", "not an IDX file"),
        (b"\0\0\x0a\x01" + bytes(8), "not an IDX file: it starts with the bytes 00 00 0a 01"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "255 axes"),
        (header((2**31, 2**31, 2**31)), "more than the limit of 4,294,967,296"),
        (header((0, 2**32 - 1, 2**32 - 1)), "more than the limit"),
        (header((2**32 - 1,), 0x0E), "declares 34,359,738,360 bytes"),
    ],
)
def test_headers_that_are_wrong(tmp_path: Path, content: bytes, message: str, packed: bool) -> None:
    path = put(tmp_path / "file", gzip.compress(content) if packed else content)
    for reader in (idx.read_header, idx.read, lambda path: idx.chunks(path, 3)):
        with pytest.raises(DataError, match=message) as caught:
            reader(path)
        assert str(path) in caught.value.message


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((3, 4)) + bytes(11), "data ends after 11 bytes, and the header declares 12"),
        (header((3, 4)), "data ends after 0 bytes, and the header declares 12"),
        (header((), 0x0D) + bytes(3), "data ends after 3 bytes, and the header declares 4"),
        (header((3, 4)) + bytes(13), "more data follows the 12 bytes that the header declares"),
        (header((0, 4)) + bytes(1), "more data follows the 0 bytes"),
        (header(()) + bytes(2), "more data follows the 1 bytes"),
        (header((3,), 0x0B) + bytes(5), "data ends after 5 bytes"),
    ],
)
def test_data_that_is_not_what_the_header_says(
    tmp_path: Path, content: bytes, message: str, packed: bool
) -> None:
    path = put(tmp_path / "file", gzip.compress(content) if packed else content)
    for reader in (idx.read, drawn, lambda path: drawn(path, 1)):
        with pytest.raises(DataError, match=message) as caught:
            reader(path)
        assert str(path) in caught.value.message


def test_chunks_before_the_damage_are_given_out(tmp_path: Path) -> None:
    stream = idx.chunks(put(tmp_path / "file", header((5,)) + b"abcd"), 2)
    assert [next(stream).tolist(), next(stream).tolist()] == [[97, 98], [99, 100]]
    with pytest.raises(DataError, match="ends after 4 bytes"):
        next(stream)


@settings(IN_A_FOLDER, max_examples=80)
@given(data=st.data())
def test_no_damage_to_a_gzip_file_goes_unseen(tmp_path: Path, data: st.DataObject) -> None:
    array = np.arange(40, dtype="int32")
    packed = bytearray(gzip.compress(encoded(array), mtime=0))
    cut = data.draw(st.integers(0, len(packed) - 1), label="kept")
    with pytest.raises(DataError, match=r"cut off|damaged|ends within|not an IDX file"):
        idx.read(put(tmp_path / "cut", bytes(packed[:cut])))
    # From the deflate stream on; the bytes before it are the time, the system and such.
    position = data.draw(st.integers(10, len(packed) - 1), label="changed byte")
    packed[position] ^= 1 << data.draw(st.integers(0, 7), label="changed bit")
    path = put(tmp_path / "changed", bytes(packed))
    try:
        result = idx.read(path)
    except DataError as error:
        assert str(path) in error.message
    else:
        assert same(result, array)  # padding bits of the deflate stream carry nothing


def test_a_wrong_checksum_is_seen(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(encoded(np.arange(40, dtype="int32"))))
    packed[-8] ^= 1
    for reader in (idx.read, drawn):
        with pytest.raises(DataError, match="damaged: CRC check failed"):
            reader(put(tmp_path / "file.gz", bytes(packed)))


def test_a_gzip_bomb_stops_at_the_declared_end(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(header((100,))) + b"".join(packer.compress(bytes(2**20)) for _ in range(128))
    path = put(tmp_path / "bomb.gz", bomb + packer.flush())
    assert peak(lambda: fails(idx.read, path, "more data follows the 100 bytes")) < 8 * 2**20
    assert peak(lambda: fails(drawn, path, "more data follows the 100 bytes")) < 8 * 2**20


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_memory_follows_the_data_not_the_claim(tmp_path: Path, packed: bool) -> None:
    content = header((2**31,)) + bytes(1000)
    path = put(tmp_path / "file", gzip.compress(content) if packed else content)
    assert peak(lambda: fails(idx.read, path, "ends after 1,000 bytes")) < 8 * 2**20
    assert peak(lambda: fails(lambda p: drawn(p, 2**31), path, "ends after 1,000 bytes")) < 8 * 2**20


def test_chunks_hold_one_chunk_at_a_time(tmp_path: Path) -> None:
    path = idx.write(tmp_path / "file.gz", np.zeros((40, 2**20), "uint8"))
    assert peak(lambda: [len(chunk) for chunk in idx.chunks(path, 1)]) < 12 * 2**20


def test_a_limit_can_be_set(tmp_path: Path) -> None:
    path = idx.write(tmp_path / "file", np.zeros((10, 10), "float64"))
    assert idx.read(path, limit=800).shape == (10, 10)
    for reader in (idx.read, idx.read_header, lambda path, limit: idx.chunks(path, 1, limit=limit)):
        with pytest.raises(DataError, match="declares 800 bytes of data, more than the limit of 799"):
            reader(path, limit=799)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "3", None])
def test_a_chunk_has_a_whole_number_of_items(tmp_path: Path, size: object) -> None:
    with pytest.raises(DataError, match="size must be a whole number from 1"):
        idx.chunks(tmp_path / "never opened", size)  # type: ignore[arg-type]


def test_files_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(idx.read, tmp_path / "none", "none: there is no such file")
    fails(idx.read, tmp_path, "this is a folder")
    fails(idx.read, put(tmp_path / "file", b"") / "below", "could not be read: Not a directory")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")  # the superuser is never refused by the system

    monkeypatch.setattr(Path, "open", refuse)
    fails(idx.read, tmp_path / "file", "permission denied")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists open files as /proc/self/fd")
def test_nothing_is_left_open(tmp_path: Path) -> None:
    path = idx.write(tmp_path / "file.gz", np.zeros((10, 10), "uint8"))
    before = names(Path("/proc/self/fd"))
    stream = idx.chunks(path, 3)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    fails(idx.read, put(tmp_path / "cut.gz", path.read_bytes()[:-4]), "cut off")
    assert names(Path("/proc/self/fd")) == before


def fails(reader: object, path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        reader(path)  # type: ignore[operator]
    assert str(path) in caught.value.message


def peak(action: object) -> int:
    """The most bytes that Python held at once during the action, beyond what it held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        action()  # type: ignore[operator]
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
