"""Arrays in the text form: few elements are written out, more are packed; both give back the same bits."""

import base64
import binascii
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgraph.ir import Array, ArrayValue
from symgraph.text.reader import NUMBER, Reader, read_string
from symgraph.types import DType, TensorType

MOST_LITERALS = 32  # elements of an array that is written out; larger ones are packed


def show_elements(array: Array, pack: Callable[[bytes], str]) -> str:
    """The elements: written out when they are few, else as `pack` shows their little-endian bytes."""
    literals = _literals(array) if array.size <= MOST_LITERALS else None
    if literals is None:
        return f'packed "{pack(array.astype(array.dtype.newbyteorder("<")).tobytes())}"'
    filled = iter(literals)
    skeleton = outline(array.shape)
    return "".join(next(filled) if c == "." else ", " if c == "," else c for c in skeleton)


def _literals(array: Array) -> list[str] | None:
    """The elements in texts that give back the same bits, or None (a NaN with a payload has none)."""
    if array.dtype.kind != "f":
        return [str(item).lower() for item in array.ravel().tolist()]
    flat = array.ravel()
    texts = [_shortest(item) for item in flat]
    back = np.array([float(text) for text in texts], flat.dtype)
    return texts if back.tobytes() == flat.tobytes() else None


def _shortest(item: Any) -> str:
    """The shortest decimal of a float; that of the double it equals, where rounding twice would err."""
    text = str(item)
    with np.errstate(over="ignore"):
        same = item != item or type(item)(float(text)) == item
    return text if same else repr(float(item))


def packed(raw: bytes) -> str:
    """Bytes, compressed, in base64."""
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def outline(shape: Sequence[int]) -> str:
    """The brackets and commas of an array that is written out, a dot for each element; `[]` for none.

    >>> outline((2, 2)), outline(()), outline((0, 3))
    ('[[.,.],[.,.]]', '.', '[]')
    """
    if 0 in shape:
        return "[]"
    text = "."
    for size in reversed(shape):
        text = f"[{','.join([text] * size)}]"
    return text


def parse_elements(reader: Reader, type_: TensorType) -> ArrayValue:
    """The elements of an array of a known type: written out, or packed."""
    reader.blank()
    start = reader.position
    if any(not isinstance(d, int) for d in type_.shape):
        raise reader.fail(f"an array has no named sizes, and this is {type_}")
    shape = tuple(d for d in type_.shape if isinstance(d, int))
    if reader.take("packed"):
        return _packed(reader, type_.dtype, shape, start)
    numbers, skeleton = _elements(reader)
    if len(numbers) != math.prod(shape) or skeleton != outline(shape):
        raise reader.fail(f"the elements do not have the shape of {type_}", start)
    values = [_element(reader, text, type_.dtype, start) for text in numbers]
    with np.errstate(all="ignore"):
        made = np.array(values, type_.dtype).reshape(shape)
    if made.dtype.kind == "f" and np.isinf(made).sum() != sum(map(math.isinf, values)):
        raise reader.fail(f"a number is out of the range of {type_.dtype.name}", start)
    return ArrayValue.of(made)


def _elements(reader: Reader) -> tuple[list[str], str]:
    """The texts of the elements, and their outline: brackets and commas with a dot for each element."""
    numbers: list[str] = []
    parts: list[str] = []
    depth = 0
    while True:
        if reader.take("["):
            depth += 1
            parts.append("[")
        else:
            found = None if reader.text.startswith("]", reader.position) else _element_text(reader)
            if found is not None:
                numbers.append(found)
                parts.append(".")
        while depth and reader.take("]"):
            depth -= 1
            parts.append("]")
        if not depth:
            return numbers, "".join(parts)
        if parts[-1] != "[" and reader.take(","):
            parts.append(",")
        elif parts[-1] != "[":
            raise reader.fail("',' or ']' was expected")


def _element_text(reader: Reader) -> str:
    if reader.take("true"):
        return "true"
    return "false" if reader.take("false") else reader.must(NUMBER, "a number")


def _element(reader: Reader, text: str, dtype: DType, at: int) -> bool | int | float:
    if dtype.kind == "b":
        if text not in ("true", "false"):
            raise reader.fail(f"true or false was expected for {dtype.name}, and {text[:40]!r} came", at)
        return text == "true"
    if text in ("true", "false") or (dtype.kind == "i" and not text.lstrip("-").isdigit()):
        raise reader.fail(f"a number of {dtype.name} was expected, and {text[:40]!r} came", at)
    if dtype.kind == "f":
        return float(text)
    value = int(text) if len(text) <= 20 else 2**64
    if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
        raise reader.fail(f"{text[:40]} is out of the range of {dtype.name}", at)
    return value


def _packed(reader: Reader, dtype: DType, shape: tuple[int, ...], at: int) -> ArrayValue:
    """Little-endian bytes, compressed; what is unpacked is bounded by the declared shape."""
    size = math.prod(shape) * dtype.itemsize
    coded = read_string(reader, "base64 in quotes")
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(binascii.a2b_base64(coded.encode("ascii"), strict_mode=True), size + 1)
    except (binascii.Error, zlib.error, UnicodeEncodeError) as error:
        raise reader.fail(f"the packed elements are damaged: {error}", at) from None
    if len(raw) != size or not unpacker.eof or unpacker.unused_data:
        raise reader.fail(f"the packed elements are not {size} bytes, which the type says", at)
    if dtype.kind == "b" and raw.strip(b"\x00\x01"):
        raise reader.fail("the packed elements are no bools", at)
    return ArrayValue.of(np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape))
