"""The parser of the text form: the inverse of `to_text`.

    graph       ::= "graph" "(" [placeholder {"," placeholder}] ")" "{" line* return "}"
    placeholder ::= name ":" type ["default=" literal]
    line        ::= "%" id ":" type "=" op (reference | attribute)*
                  | "update" name "{" (string "=" reference)* "}"
    return      ::= "return" [name "=" reference {"," name "=" reference}]
    reference   ::= "%" (id | name)
    attribute   ::= name "=" value
    comment     ::= "#" anything            the origin of the line, where it is well formed

Placeholders take, in order, the ids that the lines leave free. A text is never evaluated: ops and
initializers are found by name among the subclasses of `Op` and `Initializer`. Everything that is malformed is
a GraphError with the line and column.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import attrs

from symgraph.errors import GraphError
from symgraph.ir import Constant, Graph, Node, Op, Placeholder, Type, Variable
from symgraph.origin import Origin
from symgraph.text.arrays import parse_elements
from symgraph.text.comments import parse_origin, unquoted
from symgraph.text.reader import (
    DIMENSION,
    DTYPE_NAMES,
    ID,
    LINE_END,
    NAME,
    NUMBER,
    RESERVED,
    TYPE,
    WORDS,
    Reader,
    read_dimension,
    read_name,
    read_string,
    read_tensor_type,
    read_tensor_types,
    read_type,
    skip_lines,
)
from symgraph.text.records import class_named, fitting
from symgraph.train.initializers import Initializer
from symgraph.types import TensorType, TupleType
from symgraph.values import shown
from symgraph.verify import problems, type_problem

A = TypeVar("A")

DEEPEST = 32  # nesting of values and regions
_COMMENTED = re.compile(r'[ \t\r]*%([A-Za-z_][A-Za-z0-9_]*|"(?:[^"\\]|\\.)*"): ')


def parse(text: str) -> Graph:
    """The graph of a text; raises GraphError, with the line and column, for any other text."""
    if not isinstance(text, str):
        raise GraphError(
            f"the text of a graph is a str, and this is {shown(text)}",
            hint="Read the file as text: Path(name).read_text('utf-8').",
        )
    reader = Reader(text)
    skip_lines(reader)
    reader.expect("graph")
    graph, places = _graph(reader, 0)
    skip_lines(reader)
    if reader.position < len(text):
        raise reader.fail("the end of the text was expected")
    problem = next(problems(graph), None)
    if problem is not None:
        at = len(text.rstrip()) - 1 if problem.node is None else places[problem.node]
        raise reader.fail(problem.message, at)
    return graph


@attrs.define
class _Body:
    """What has been read of a graph; `waiting` are the placeholders that have no id yet, last first."""

    waiting: list[tuple[str, Op, TensorType, int]]
    nodes: list[Node] = attrs.field(factory=list)
    ids: dict[str, int] = attrs.field(factory=dict)
    places: list[int] = attrs.field(factory=list)
    origins: dict[str, Origin] = attrs.field(factory=dict)
    updates: dict[str, tuple[tuple[str, int], ...]] = attrs.field(factory=dict)

    def add(self, node: Node, place: int) -> None:
        self.nodes.append(node)
        self.places.append(place)

    def place_one(self) -> None:
        """Give the next placeholder the next id."""
        name, op, type_, place = self.waiting.pop()
        self.ids[name] = len(self.nodes)
        self.add(Node(len(self.nodes), op, (), type_), place)

    def place_rest(self) -> None:
        """The nodes are all read: what is left comes after them."""
        while self.waiting:
            self.place_one()


def _graph(reader: Reader, depth: int) -> tuple[Graph, list[int]]:
    """A graph from its parameters on, and the place of each node in the text."""
    if depth > DEEPEST:
        raise reader.fail(f"graphs are nested deeper than {DEEPEST}")
    body = _Body(_parameters(reader))
    reader.expect("{")
    reader.end_of_line()
    while True:
        for comment in skip_lines(reader):
            _read_placeholder_origin(comment, body)
        if reader.take("%"):
            reader.position -= 1
            _node(reader, body, depth)
            continue
        start = reader.position
        word = reader.must(NAME, "a node, 'update' or 'return'")
        if word == "return":
            break
        if word != "update":
            raise reader.fail("a node, 'update' or 'return' was expected", start)
        body.place_rest()
        _update(reader, body)
    body.place_rest()
    outputs = _outputs(reader, body)
    reader.end_of_line()
    skip_lines(reader)
    reader.expect("}")
    nodes = tuple(
        Node(n.id, n.op, n.inputs, n.type, body.origins[n.op.label])
        if isinstance(n.op, Placeholder) and n.op.label in body.origins
        else n
        for n in body.nodes
    )
    return Graph(nodes, outputs, tuple(body.updates.items())), body.places


def _read_placeholder_origin(comment: str, body: _Body) -> None:
    found = _COMMENTED.match(comment)
    origin = None if found is None else parse_origin(comment[found.end() :])
    if found is not None and origin is not None:
        body.origins[unquoted(found[1])] = origin


def _parameters(reader: Reader) -> list[tuple[str, Op, TensorType, int]]:
    reader.expect("(")
    found: dict[str, tuple[str, Op, TensorType, int]] = {}
    while not reader.take(")"):
        if found:
            reader.expect(",")
        reader.blank()
        place = reader.position
        name = read_name(reader, "the name of a placeholder")
        if name in found:
            raise reader.fail(f"the placeholder {name!r} is declared twice", place)
        reader.expect(":")
        type_ = read_tensor_type(reader)
        default = None
        if reader.take("default"):
            reader.expect("=")
            default = parse_elements(reader, type_)
        found[name] = (name, Placeholder(name, type_, default), type_, place)
    return list(found.values())[::-1]


def _reference(reader: Reader, body: _Body) -> int:
    """The id of a node that was read before."""
    reader.blank()
    start = reader.position
    found = reader.match(ID)
    if found is not None:
        if len(found[1]) > 9 or int(found[1]) >= len(body.nodes):
            raise reader.fail(f"%{found[1][:12]} is not defined before", start)
        return int(found[1])
    reader.expect("%")
    name = read_name(reader, "the id or the name of a node")
    if name not in body.ids:
        declared = any(name == waiting[0] for waiting in body.waiting)
        room = ": the ids before leave no room for it" if declared else ""
        raise reader.fail(f"the placeholder {name!r} is not defined before{room}", start)
    return body.ids[name]


def _node(reader: Reader, body: _Body, depth: int) -> None:
    start = reader.position
    number = reader.must(ID, "the id of a node")
    id_ = int(number) if len(number) <= 9 else -1
    if not len(body.nodes) <= id_ <= len(body.nodes) + len(body.waiting):
        raise reader.fail(f"the id %{number[:12]} does not follow: %{len(body.nodes)} is next", start)
    while len(body.nodes) < id_:
        body.place_one()
    reader.expect(":")
    type_ = read_type(reader)
    reader.expect("=")
    reader.blank()
    at = reader.position
    kind = _class(reader, Op, reader.must(NAME, "the name of an operation"), at)
    if issubclass(kind, Placeholder):
        raise reader.fail("a placeholder is declared in the head of the graph", at)
    inputs: list[int] = []
    while reader.take("%"):
        reader.position -= 1
        inputs.append(_reference(reader, body))
    op = _leaf(reader, kind, type_) if kind in (Variable, Constant) else None
    if op is None:
        op = _record(reader, kind, (), _attributes(reader, depth), at)
    node = Node(id_, op, tuple(inputs), type_)  # type: ignore[arg-type]
    problem = type_problem(node, tuple([body.nodes[i].type for i in inputs]))
    if problem:
        raise reader.fail(problem if len(problem) < 500 else f"{problem[:500]}...", at)
    origin = parse_origin(reader.end_of_line())
    body.add(node if origin is None else Node(id_, op, node.inputs, node.type, origin), start)


def _leaf(reader: Reader, kind: type[Op], type_: Type) -> Op:
    """A variable or a constant: the type of the node is that of its value."""
    if not isinstance(type_, TensorType) or any(not isinstance(d, int) for d in type_.shape):
        raise reader.fail(f"a {kind.name} has one shape, and this is {type_}")
    if kind is Constant:
        return Constant(parse_elements(reader, type_))
    label = read_string(reader, "the name of the variable")
    start = reader.position
    reader.expect("init")
    reader.expect("=")
    init = _value(reader, 0)
    if not isinstance(init, Initializer):
        raise reader.fail("an initializer was expected", start)
    reader.guarded(init.fit, type_, label, at=start)
    return Variable(label, type_, init)


def _attributes(reader: Reader, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while True:
        name = reader.match(NAME)
        if name is None:
            return found
        if name[1] in found:
            raise reader.fail(f"the attribute {name[1]!r} is given twice", name.start(1))
        reader.expect("=")
        found[name[1]] = _value(reader, depth)


def _class(reader: Reader, root: type[A], name: str, at: int) -> type[A]:
    if (root, name) not in reader.classes:
        reader.classes[root, name] = reader.guarded(class_named, root, name, at=at)
    known: type[A] = reader.classes[root, name]
    return known


def _record(reader: Reader, kind: type[A], first: Sequence[Any], named: Mapping[str, Any], at: int) -> A:
    """An instance of an attrs class; its attributes must be of their declared types."""
    made: A = reader.guarded(fitting, kind, tuple(first), dict(named), at=at)
    return made


def _value(reader: Reader, depth: int) -> Any:
    """The value of an attribute; recursive in the nesting of values alone, which is bounded."""
    if depth > DEEPEST:
        raise reader.fail(f"values are nested deeper than {DEEPEST}")
    reader.blank()
    start = reader.position
    if reader.text.startswith('"', start):
        return read_string(reader, "a string")
    if reader.take("("):
        return _tuple(reader, depth + 1)
    number = reader.match(NUMBER)
    if number is not None:
        return _plain_number(reader, number[1], start)
    if TYPE.match(reader.text, start) is not None:
        return read_tensor_type(reader)
    word = reader.match(NAME)
    if word is None or word[1] not in RESERVED:
        if word is not None and reader.text.startswith("(", reader.position):
            return _initializer(reader, word[1], depth + 1, start)
        reader.position = start
        return read_dimension(reader, reader.must(DIMENSION, "a value"), start)
    return _reserved(reader, word[1], depth + 1, start)


def _reserved(reader: Reader, word: str, depth: int, start: int) -> Any:
    if word in WORDS:
        return WORDS[word]
    if word in DTYPE_NAMES:
        return DTYPE_NAMES[word]
    if word == "graph":
        return _graph(reader, depth)[0]
    if word == "dim":
        return read_dimension(reader, _in_parentheses(reader), start)
    if word == "types":
        reader.expect("(")
        return TupleType(read_tensor_types(reader))
    if word == "op":
        kind = _class(reader, Op, reader.must(NAME, "the name of an operation"), start)
        return _arguments(reader, kind, depth, start)
    if word == "array" and not reader.text.startswith("(", reader.position):
        return parse_elements(reader, read_tensor_type(reader))
    if word == "array":
        return _initializer(reader, word, depth, start)
    raise reader.fail("a value was expected", start)


def _in_parentheses(reader: Reader) -> str:
    """The text between a parenthesis and the one that closes it."""
    reader.expect("(")
    start, depth = reader.position, 1
    for found in re.compile(r"[()\n]").finditer(reader.text, start):
        depth += {"(": 1, ")": -1, "\n": -depth}[found[0]]
        if depth <= 0 and found[0] == ")":
            reader.position = found.end()
            return reader.text[start : found.start()]
        if depth <= 0:
            break
    raise reader.fail("a parenthesis is not closed", start)


def _initializer(reader: Reader, name: str, depth: int, at: int) -> Initializer:
    return _arguments(reader, _class(reader, Initializer, name, at), depth, at)


def _arguments(reader: Reader, kind: type[A], depth: int, at: int) -> A:
    """A record written as `name(first, other=value)`."""
    reader.expect("(")
    first: list[Any] = []
    named: dict[str, Any] = {}
    while not reader.take(")"):
        if first or named:
            reader.expect(",")
        before = reader.position
        name = reader.match(NAME)
        if name is not None and reader.text.startswith("=", reader.position):
            if name[1] in named:
                raise reader.fail(f"{name[1]!r} is given twice", before)
            reader.position += 1
            named[name[1]] = _value(reader, depth)
            continue
        reader.position = before
        if first or named:
            raise reader.fail("only the first argument is without a name", before)
        first.append(_value(reader, depth))
    return _record(reader, kind, first, named, at)


def _tuple(reader: Reader, depth: int) -> tuple[Any, ...]:
    items: list[Any] = []
    while not reader.take(")"):
        if items:
            reader.expect(",")
            if reader.take(")"):
                break
        items.append(_value(reader, depth))
    return tuple(items)


def _plain_number(reader: Reader, text: str, at: int) -> int | float:
    if text.lstrip("-").isdigit():
        if len(text) > 21:
            raise reader.fail("the integer has more than 20 digits", at)
        return int(text)
    return float(text)


def _update(reader: Reader, body: _Body) -> None:
    reader.blank()
    start = reader.position
    group = read_name(reader, "the name of an update group")
    if group in body.updates:
        raise reader.fail(f"the update group {group!r} is given twice", start)
    reader.expect("{")
    reader.end_of_line()
    pairs: list[tuple[str, int]] = []
    while True:
        skip_lines(reader)
        if reader.take("}"):
            break
        name = read_string(reader, "the name of a variable in quotes")
        reader.expect("=")
        pairs.append((name, _reference(reader, body)))
        reader.end_of_line()
    reader.end_of_line()
    body.updates[group] = tuple(pairs)


def _outputs(reader: Reader, body: _Body) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    while found or LINE_END.match(reader.text, reader.position) is None:
        if found and not reader.take(","):
            break
        reader.blank()
        start = reader.position
        name = read_name(reader, "the name of an output")
        if name in found:
            raise reader.fail(f"the output {name!r} is given twice", start)
        reader.expect("=")
        found[name] = _reference(reader, body)
    return tuple(found.items())
