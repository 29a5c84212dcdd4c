"""The printer of the text form: canonical, made to be read and compared.

    graph(x: f32[batch,784]) {
      %1: f32[784,1] = variable "w" init=zeros()  # models/logistic.py:21
      %2: f32[batch,1] = matmul %x %1  # models/logistic.py:25; hidden
      return z=%2
    }

Placeholders stand in the head, in the order of their ids, and are referred to by name; other nodes by id. An
attribute that equals its default is left out. A comment tells the origin of its line and is no part of the
graph. `symgraph.text.parser` has the grammar.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
import numpy as np

from symgraph.errors import GraphError
from symgraph.ir import ArrayValue, Constant, Graph, Node, Op, Placeholder, Variable
from symgraph.origin import Origin, relative
from symgraph.text.arrays import packed, show_elements
from symgraph.text.comments import show_origin
from symgraph.text.parser import DEEPEST
from symgraph.text.reader import RESERVED
from symgraph.train.initializers import Initializer
from symgraph.types import SHORT_NAMES, Dim, TensorType, TupleType, dimension_names

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def to_text(graph: Graph, comments: bool = True) -> str:
    """The canonical text of a graph; without `comments` it depends on nothing but the graph.

    Raises GraphError for an attribute that has no text form.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> print(to_text(define(y=placeholder("x", ("n",)) * 2.0), comments=False))
    graph(x: f32[n]) {
      %1: f32[] = constant 2.0
      %2: f32[n] = mul %x %1
      return y=%2
    }
    """
    return "\n".join(_lines(graph, _Style(comments, packed), 0))


def fingerprint(graph: Graph) -> str:
    """The SHA-256 of a graph, in hex: equal for equal graphs, on every machine.

    It is that of the text without comments, in which large arrays stand by the SHA-256 of their bytes, since
    compressed bytes differ with the version of zlib.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> fingerprint(define(y=placeholder("x") * 2.0))[:8] == fingerprint(define(y=placeholder("x") * 2.0))[:8]
    True
    """
    text = "\n".join(_lines(graph, _Style(False, _digest), 0))
    return hashlib.sha256(text.encode()).hexdigest()


def node_texts(graph: Graph, known: dict[Op, str] | None = None) -> list[str]:
    """Each node as the text form writes it, from the op on; large arrays stand by the SHA-256 of their bytes.

    `known` remembers what was written of ops, for graphs that share them.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> node_texts(define(y=placeholder("x", ("n",)) * 2.0))
    ['placeholder x: f32[n]', 'constant 2.0', 'mul %x %1']
    """
    style = _Style(False, _digest)
    attributes = {} if known is None else known
    references = [_reference(node) for node in graph.nodes]
    texts: list[str] = []
    for node in graph.nodes:
        op = node.op
        told = attributes.get(op)
        if told is None:
            told = f" {_parameter(op, style)}" if isinstance(op, Placeholder) else _attributes(op, style, 0)
            attributes[op] = told
        texts.append(f"{op.name}{''.join([f' {references[i]}' for i in node.inputs])}{told}")
    return texts


def value_text(value: Any) -> str:
    """An attribute's value as the text form writes it, large arrays by their SHA-256; as Python shows it where it has
    no text form.

    >>> value_text((0, 1)), value_text(False)
    ('(0, 1)', 'false')
    """
    try:
        return _value(value, _Style(False, _digest), 0)
    except GraphError:
        return repr(value)


@attrs.define
class _Style:
    """How a text is written, and what was written before: types and files repeat."""

    comments: bool
    pack: Callable[[bytes], str]
    types: dict[Any, str] = attrs.field(factory=dict)
    files: dict[str, str] = attrs.field(factory=dict)

    def type(self, type_: Any) -> str:
        known = self.types.get(type_)
        if known is None:
            known = self.types[type_] = str(type_)
        return known

    def file(self, file: str) -> str:
        known = self.files.get(file)
        if known is None:
            known = self.files[file] = relative(file)
        return known


def _lines(graph: Graph, style: _Style, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise GraphError(f"regions are nested deeper than {DEEPEST}")
    references = [_reference(node) for node in graph.nodes]
    parameters = [node for node in graph.nodes if isinstance(node.op, Placeholder)]
    yield f"graph({', '.join(_parameter(node.op, style) for node in parameters)}) {{"  # type: ignore[arg-type]
    for node in graph.nodes:
        if not isinstance(node.op, Placeholder):
            operands = "".join([f" {references[i]}" for i in node.inputs])
            op = f"{node.op.name}{operands}{_attributes(node.op, style, depth)}"
            yield _commented(f"  {references[node.id]}: {style.type(node.type)} = {op}", node.origin, style)
    if style.comments:
        for node in parameters:
            told = show_origin(node.origin, style.file)
            if told:
                yield f"  # {references[node.id]}: {told}"
    for group, pairs in graph.updates:
        yield f"  update {_name(group)} {{"
        yield from (f"    {json.dumps(name)} = {references[i]}" for name, i in pairs)
        yield "  }"
    outputs = ", ".join(f"{_name(name)}={references[i]}" for name, i in graph.outputs)
    yield f"  return {outputs}".rstrip()
    yield "}"


def _name(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else json.dumps(name)


def _reference(node: Node) -> str:
    return f"%{_name(node.op.label) if isinstance(node.op, Placeholder) else node.id}"


def _parameter(op: Placeholder, style: _Style) -> str:
    default = "" if op.default is None else f" default={show_elements(op.default.array, style.pack)}"
    return f"{_name(op.label)}: {style.type(op.type)}{default}"


def _commented(line: str, origin: Origin, style: _Style) -> str:
    told = show_origin(origin, style.file) if style.comments else ""
    return f"{line}  # {told}" if told else line


def _attributes(op: Op, style: _Style, depth: int) -> str:
    """The attributes of an op; a region goes on over several lines."""
    if isinstance(op, Constant):
        return f" {show_elements(op.value.array, style.pack)}"
    if isinstance(op, Variable):
        return f" {json.dumps(op.label)} init={_value(op.init, style, depth)}"
    return "".join(f" {name}={shown}" for name, shown in _changed(op, style, depth))


def _changed(record: Any, style: _Style, depth: int) -> Iterator[tuple[str, str]]:
    """The attributes that are not their defaults, with their values."""
    for field in attrs.fields(type(record)):
        if not field.init:
            continue
        value = getattr(record, field.name)
        plain = field.default is not attrs.NOTHING and not isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
        try:
            shown = _value(value, style, depth)
        except GraphError as error:
            raise GraphError(f"{record.name}: the attribute {field.alias!r}: {error.message}") from None
        if (
            not plain
            or type(value) is not type(field.default)
            or shown != _value(field.default, style, depth)
        ):
            yield str(field.alias), shown


def _value(value: Any, style: _Style, depth: int) -> str:
    if depth > DEEPEST:
        raise GraphError(f"values are nested deeper than {DEEPEST}")
    show = partial(_value, style=style, depth=depth + 1)
    match value:
        case None | True | False:
            return {None: "none", True: "true", False: "false"}[value]
        case int() | float() if type(value) in (int, float):
            return repr(value)
        case str() if type(value) is str:
            return json.dumps(value)
        case tuple():
            return f"({', '.join(map(show, value))}{',' if len(value) == 1 else ''})"
        case Dim():
            return _dimension(value)
        case TensorType():
            return str(value)
        case TupleType():
            return f"types{value}"
        case np.dtype() if value.name in SHORT_NAMES:
            return SHORT_NAMES[value.name]
        case ArrayValue():
            type_ = TensorType(value.array.dtype, value.array.shape)
            return f"array {type_} {show_elements(value.array, style.pack)}"
        case Initializer():
            return _record(value, style, depth + 1)
        case Op():
            return f"op {_record(value, style, depth + 1)}"
        case Graph():
            return _region(value, style, depth + 1)
    raise GraphError(
        f"a {type(value).__name__} has no text form",
        hint="Attributes are numbers, strings, tuples, dimensions, types, arrays, initializers and graphs.",
    )


def _dimension(dimension: Dim) -> str:
    text = str(dimension)
    bare = "(" not in text and not text.startswith("-") and not dimension_names(dimension) & RESERVED
    return text if bare else f"dim({text})"


def _record(record: Any, style: _Style, depth: int) -> str:
    """`name(first, other=value)`: a first attribute without a default goes without its name."""
    fields = attrs.fields(type(record))
    bare = fields[0].alias if fields and fields[0].default is attrs.NOTHING else None
    shown = (text if name == bare else f"{name}={text}" for name, text in _changed(record, style, depth))
    return f"{record.name}({', '.join(shown)})"


def _region(graph: Graph, style: _Style, depth: int) -> str:
    """A graph inside an attribute, indented below its node."""
    return "\n".join(_lines(graph, style, depth)).replace("\n", "\n  ")


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
