"""Origins as comments: each line of a text tells where its node came from."""

import json
import re
from collections.abc import Callable

from symgraph.origin import Origin, Source

# What needs no quotes: anything else is written as JSON writes strings.
PLAIN_STEP = re.compile(r"[A-Za-z0-9_.-]+")
PLAIN_FILE = re.compile(r"[!#-+\--:<-~](?:[ !#-+\--:<-~]*[!#-+\--:<-~])?")
PLAIN_RULE = re.compile(r"[!#$&-9<-~](?:[ !#$&-9<-~]*[!#$&-9<-~])?")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LINE_OF = re.compile(rf"({_QUOTED}|[^\";,]+):(\d{{1,9}})(?:, |; |\Z)")
_PATH = re.compile(rf"(?:{_QUOTED}|[A-Za-z0-9_.-]+)(?:/(?:{_QUOTED}|[A-Za-z0-9_.-]+))*(?=; |\Z)")
_STEP = re.compile(rf"{_QUOTED}|[A-Za-z0-9_.-]+")
_RULE = re.compile(rf'(?:by ({_QUOTED}|[^";%]+?))?(?: ?of (%\d{{1,9}}(?:, %\d{{1,9}})*))?\Z')


def show_origin(origin: Origin, relative: Callable[[str], str]) -> str:
    """The origin as a comment; `relative` shows the path of a file."""
    lines = ", ".join(
        [f"{quoted(relative(source.file), PLAIN_FILE)}:{source.line}" for source in origin.sources]
    )
    scope = "/".join([quoted(step, PLAIN_STEP) for step in origin.scope])
    rule = f"by {quoted(origin.rule, PLAIN_RULE)}" if origin.rule else ""
    of = f"of {', '.join([f'%{i}' for i in origin.of])}" if origin.of else ""
    made = f"{rule} {of}".strip()
    return "; ".join([part for part in (lines, scope, made) if part])


def quoted(text: str, plain: re.Pattern[str]) -> str:
    """`text`, in quotes unless it is plain."""
    return text if plain.fullmatch(text) else json.dumps(text)


def parse_origin(comment: str) -> Origin | None:
    """The origin that a comment tells, or None where it tells none.

    >>> parse_origin("a.py:3; hidden; by vjp matmul of %7").rule
    'vjp matmul'
    >>> parse_origin("a remark") is None
    True
    """
    text, at = comment.strip(), 0
    sources: list[Source] = []
    scope: tuple[str, ...] = ()
    while (found := _LINE_OF.match(text, at)) is not None:
        sources.append(Source(unquoted(found[1]), int(found[2])))
        at = found.end()
    path = _PATH.match(text, at)
    if path is not None:
        scope = tuple(map(unquoted, _STEP.findall(path[0])))
        at = path.end() + (2 if path.end() < len(text) else 0)
    made = _RULE.match(text, at)
    if made is None or not text:
        return None
    of = tuple(int(i.strip(" %")) for i in made[2].split(",")) if made[2] else ()
    return Origin(tuple(sources), scope, unquoted(made[1] or ""), of)


def unquoted(text: str) -> str:
    """The inverse of `quoted`."""
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
