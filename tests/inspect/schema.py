"""The explorer's model against its schema: the interfaces of page/src/model.ts, read from the file itself."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "symgraph/inspect/page/src/model.ts"

_INTERFACE = re.compile(r"export interface (\w+) \{(.*?)\n\}", re.DOTALL)
_ALIAS = re.compile(r"export type (\w+) = ([^;]+);")
_FIELD = re.compile(r"^\s*(\w+)(\??): ([^;]+);", re.MULTILINE)


@cache
def interfaces() -> Mapping[str, Mapping[str, tuple[str, bool]]]:
    """For each interface its fields: their types as text, and whether they may be missing."""
    found = {}
    for name, body in _INTERFACE.findall(SCHEMA.read_text(encoding="utf-8")):
        fields = _FIELD.findall(re.sub(r"//.*", "", body))
        found[name] = {field: (kind.strip(), bool(optional)) for field, optional, kind in fields}
    return found


@cache
def aliases() -> Mapping[str, str]:
    """The names of other types, as text."""
    return {name: text.strip() for name, text in _ALIAS.findall(SCHEMA.read_text(encoding="utf-8"))}


def faults(value: Any, kind: str = "Model", where: str = "model") -> Iterator[str]:
    """What of a value is not of a type of the schema: a sentence for each fault."""
    kind = aliases().get(kind, kind)
    choices = _split(kind, "|")
    if len(choices) == 2 and "null" in choices:
        if value is not None:
            yield from faults(value, next(one for one in choices if one != "null"), where)
    elif len(choices) > 1:
        if not any(next(faults(value, one, where), None) is None for one in choices):
            yield f"{where}: {value!r:.60} is none of {kind}"
    elif kind.endswith("[]"):
        yield from _items(value, kind[:-2], where)
    elif kind.startswith("("):
        yield from faults(value, kind[1:-1], where)
    elif kind.startswith("["):
        parts = _split(kind[1:-1], ",")
        if not isinstance(value, list) or len(value) != len(parts):
            yield f"{where}: {value!r:.60} is no {kind}"
        else:
            for i, (item, part) in enumerate(zip(value, parts, strict=True)):
                yield from faults(item, part, f"{where}[{i}]")
    elif kind in interfaces():
        yield from _fields(value, kind, where)
    elif not _is_plain(value, kind):
        yield f"{where}: {value!r:.60} is no {kind}"


def _items(value: Any, kind: str, where: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: {value!r:.60} is no list"
        return
    for i, item in enumerate(value):
        yield from faults(item, kind, f"{where}[{i}]")


def _fields(value: Any, kind: str, where: str) -> Iterator[str]:
    fields = interfaces()[kind]
    if not isinstance(value, dict):
        yield f"{where}: {value!r:.60} is no {kind}"
        return
    yield from (f"{where}: {name} is not in {kind}" for name in value.keys() - fields.keys())
    for name, (type_, optional) in fields.items():
        if name in value:
            yield from faults(value[name], type_, f"{where}.{name}")
        elif not optional:
            yield f"{where}: {name} of {kind} is missing"


def _is_plain(value: Any, kind: str) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "null":
        return value is None
    assert re.fullmatch(r'\d+|"[^"]*"', kind), f"a type of the schema that is not known here: {kind}"
    return str(value) == kind if kind.isdigit() else value == kind[1:-1]


def _split(text: str, separator: str) -> list[str]:
    """The parts of a type at a separator outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
