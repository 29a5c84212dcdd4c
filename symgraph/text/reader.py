"""The reader of the text form: a text, the place read up to, and errors that name it."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
import numpy as np

from symgraph.errors import GraphError, SymgraphError
from symgraph.ir import Type
from symgraph.types import SHORT_NAMES, Dimension, DType, TensorType, TupleType, parse_dimension

A = TypeVar("A")

DTYPE_NAMES: Mapping[str, DType] = {short: np.dtype(name) for name, short in SHORT_NAMES.items()}
WORDS: Mapping[str, Any] = {"true": True, "false": False, "none": None, "nan": math.nan, "inf": math.inf}
# What a bare word in the place of a value means; a dimension of such a name is written dim(name).
RESERVED = frozenset({*WORDS, *DTYPE_NAMES, "array", "dim", "graph", "op", "packed", "types"})

_BLANK = r"[ \t\r]*"
NAME = re.compile(_BLANK + r"([A-Za-z_][A-Za-z0-9_]*)")
STRING = re.compile(_BLANK + r'("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")')
ID = re.compile(_BLANK + r"%(\d+)(?![A-Za-z0-9_])")
NUMBER = re.compile(_BLANK + r"(-?(?:inf|nan|\d+\.\d*(?:e[-+]?\d+)?|\d+e[-+]?\d+|\d+))(?![A-Za-z0-9_.*])")
TYPE = re.compile(_BLANK + r"(f32|f64|i32|i64|bool)\[([^\]\n]*)\]")
DIMENSION = re.compile(_BLANK + r"((?:\d+\*)?[A-Za-z_][A-Za-z0-9_+*-]*)")
LINE_END = re.compile(r"[ \t\r]*(?:#([^\n]*))?(?:\n|\Z)")
_SHOWN = re.compile(r"[ \t\r]*(\w+|[^\s\w][^\s\w]?|\Z|\n)")
_SPACES = re.compile(r"[ \t\r]*")


@attrs.define
class Reader:
    """A text and the place that has been read up to."""

    text: str
    position: int = 0
    types: dict[str, TensorType] = attrs.field(factory=dict)  # by their texts, which repeat
    classes: dict[tuple[type, str], Any] = attrs.field(factory=dict)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What the pattern matches here, which is then read."""
        found = pattern.match(self.text, self.position)
        if found is not None:
            self.position = found.end()
        return found

    def blank(self) -> None:
        """Read spaces."""
        found = _SPACES.match(self.text, self.position)
        assert found is not None
        self.position = found.end()

    def take(self, symbol: str) -> bool:
        """Read `symbol` if it comes next."""
        self.blank()
        if not self.text.startswith(symbol, self.position):
            return False
        self.position += len(symbol)
        return True

    def expect(self, symbol: str) -> None:
        """Read `symbol`, which must come next."""
        if not self.take(symbol):
            raise self.fail(f"{symbol!r} was expected")

    def must(self, pattern: re.Pattern[str], what: str) -> str:
        """Read what the pattern's group matches, which must come next."""
        found = self.match(pattern)
        if found is None:
            raise self.fail(f"{what} was expected")
        return found[1]

    def end_of_line(self) -> str:
        """Read to the end of the line, which is empty up to a comment; the comment."""
        found = self.match(LINE_END)
        if found is None:
            raise self.fail("the end of the line was expected")
        return found[1] or ""

    def fail(self, message: str, at: int | None = None) -> GraphError:
        """The error that says where it is, what was expected, and what came."""
        text = self.text
        self.blank()
        position = self.position if at is None else at
        came = _SHOWN.match(text, position)
        word = came[1][:40] if came is not None else text[position : position + 1]
        shown = {"": "the end of the text", "\n": "the end of the line"}.get(word, repr(word))
        start = text.rfind("\n", 0, position) + 1
        line, column = text.count("\n", 0, position) + 1, position - start + 1
        cut = max(start, position - 60)
        quoted = text[cut : position + 40].split("\n")[0].replace("\t", " ").replace("\r", " ")
        came_text = f", and {shown} came" if message.endswith("expected") else ""
        return GraphError(
            f"line {line}, column {column}: {message}{came_text}",
            details=(quoted, " " * (position - cut) + "^"),
        )

    def guarded(self, function: Callable[..., A], *args: Any, at: int, **named: Any) -> A:
        """`function` of what was read; what it raises becomes a GraphError at this place."""
        try:
            return function(*args, **named)
        except SymgraphError as error:
            message = error.message
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            message = str(error)
        raise self.fail(message if len(message) < 300 else f"{message[:300]}...", at)


def skip_lines(reader: Reader) -> list[str]:
    """Read empty lines; their comments."""
    comments = []
    while reader.position < len(reader.text):
        found = reader.match(LINE_END)
        if found is None:
            break
        comments.append(found[1] or "")
    reader.blank()
    return comments


def read_name(reader: Reader, what: str) -> str:
    """A bare or quoted name, which is not empty."""
    bare = reader.match(NAME)
    if bare is not None:
        return bare[1]
    start = reader.position
    name = read_string(reader, what)
    if not name:
        raise reader.fail(f"{what} is not empty", start)
    return name


def read_string(reader: Reader, what: str) -> str:
    """A string in quotes, as JSON writes it."""
    text: str = json.loads(reader.must(STRING, what))
    return text


def read_type(reader: Reader) -> Type:
    """A tensor type, or several in parentheses."""
    if not reader.take("("):
        return read_tensor_type(reader)
    return TupleType(read_tensor_types(reader))


def read_tensor_types(reader: Reader) -> tuple[TensorType, ...]:
    """Types up to a closing parenthesis."""
    items: list[TensorType] = []
    while not reader.take(")"):
        if items:
            reader.expect(",")
        items.append(read_tensor_type(reader))
    return tuple(items)


def read_tensor_type(reader: Reader) -> TensorType:
    """A type such as f32[batch,784]."""
    reader.blank()
    start = reader.position
    found = reader.match(TYPE)
    if found is None:
        raise reader.fail("a type such as f32[batch,784] was expected")
    known = reader.types.get(found[0].strip())
    if known is None:
        sizes = found[2].split(",") if found[2].strip() else []
        shape = tuple(read_dimension(reader, size, start) for size in sizes)
        known = reader.guarded(TensorType, DTYPE_NAMES[found[1]], shape, at=start)
        reader.types[found[0].strip()] = known
    return known


def read_dimension(reader: Reader, text: str, at: int) -> Dimension:
    """A dimension from its text."""
    if len(text) > 10_000:
        raise reader.fail("a dimension is longer than 10000 characters", at)
    return reader.guarded(parse_dimension, text.strip(), at=at)
