"""Where a node came from: the user's lines, the scope, and the rule that made it.

Capture is cheap (a frame walk); the column range of the expression is worked out only when it is shown.
"""

import itertools
import linecache
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import CodeType
from typing import Any, TypeAlias

import attrs

# Of an instruction: its first and last line, its first column and the column after its last, in UTF-8 bytes.
Position: TypeAlias = tuple[int | None, int | None, int | None, int | None]
_NOWHERE: Position = (None, None, None, None)
_PACKAGE = str(Path(__file__).parent) + os.sep
# Frames of these files are never the user's: generated code, the import system, our functional helpers.
_MACHINERY = ("<attrs generated", "<frozen ", "<symgraph ")
_HELPERS = ("toolz", "functools.py", "contextlib.py", "runpy.py", "threading.py")


@attrs.frozen(eq=False)
class Source:
    """A place in the user's program.

    >>> str(Source("models/mlp.py", 14))
    'models/mlp.py:14'
    """

    file: str
    line: int
    _code: CodeType | None = None
    _instruction: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and (self.file, self.line) == (other.file, other.line)

    def __hash__(self) -> int:
        return hash((self.file, self.line))

    def __reduce__(self) -> tuple[Any, ...]:
        return Source, (self.file, self.line)  # code objects do not pickle; the columns are lost

    @property
    def columns(self) -> tuple[int, int] | None:
        """The half-open range of columns of the expression on its line, where Python knows it."""
        if self._code is None:
            return None
        positions = itertools.islice(self._code.co_positions(), self._instruction // 2, None)
        return self._span(next(positions, _NOWHERE))

    def _span(self, position: "Position") -> tuple[int, int] | None:
        line, end_line, start, end = position
        if line != self.line or start is None or end is None:
            return None
        return (start, end) if end_line == line else (start, len(_text(self.file, line).rstrip()))

    @property
    def ran(self) -> bool:
        """Whether Python ran this line in this process; False for a place that a text or a pickle names."""
        return self._code is not None

    def quote(self) -> str:
        """The line with a caret under the expression, as error messages show it; never raises.

        >>> Source("no/such/file.py", 3).quote()
        '  no/such/file.py:3'
        """
        text = _text(self.file, self.line).rstrip()
        head = f"  {visible(relative(self.file))}:{self.line}"
        if not text.strip():
            return head
        body = text.lstrip()
        shown = f"{head}    {body}"
        span = self.columns
        if span is None:
            return shown
        # Python counts columns in UTF-8 bytes.
        raw = text.encode()
        start = len(raw[: span[0]].decode(errors="replace"))
        end = len(raw[: span[1]].decode(errors="replace"))
        indent = len(head) + 4 + start - (len(text) - len(body))
        return f"{shown}\n{' ' * indent}{'^' * max(1, end - start)}"


@attrs.frozen
class Origin:
    """The provenance of a node; excluded from the equality of nodes.

    `sources` are the user's lines, `scope` the path of named scopes, `rule` what made the node
    ("" for the user, else such as `vjp matmul` or `log-sigmoid`), `of` the ids of the nodes it stands for:
    for a gradient node, its forward node. `states` are the names of the variables that a layer, whose output the
    expression is, gave a next value: `define` asks that an update group has them.
    """

    sources: tuple[Source, ...] = ()
    scope: tuple[str, ...] = ()
    rule: str = ""
    of: tuple[int, ...] = ()
    states: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = ", ".join(f"{visible(relative(source.file))}:{source.line}" for source in self.sources)
        scope = visible("/".join(self.scope))
        made = f"by {self.rule}" if self.rule else ""
        of = f"of {', '.join(f'%{i}' for i in self.of)}" if self.of else ""
        return "; ".join(part for part in (lines, scope, " ".join(filter(None, (made, of)))) if part)


_SCOPE: ContextVar[tuple[str, ...]] = ContextVar("scope", default=())
_MADE: ContextVar[Origin | None] = ContextVar("made", default=None)


def spans(sources: Iterable[Source]) -> list[tuple[int, int] | None]:
    """The `columns` of many sources: the places in a function are found in one go for all of them.

    >>> spans([Source("models/mlp.py", 14)])
    [None]
    """
    positions: dict[int, list[Position]] = {}
    found: list[tuple[int, int] | None] = []
    for source in sources:
        code = source._code
        if code is None:
            found.append(None)
            continue
        if id(code) not in positions:
            positions[id(code)] = list(code.co_positions())
        places, at = positions[id(code)], source._instruction // 2
        found.append(source._span(places[at] if at < len(places) else _NOWHERE))
    return found


def _text(file: str, line: int) -> str:
    """A line of a file, or nothing where there is none to read."""
    try:
        return linecache.getline(file, line)
    except (ValueError, OSError):  # a name that no file can have
        return ""


def relative(file: str) -> str:
    """The path as a reader would type it: relative when the file lies below the working directory.

    A cell of a notebook is named as its reader sees it, `In[3]`, and not by the file that IPython invents for it.

    >>> relative("models/mlp.py")
    'models/mlp.py'
    """
    if "ipykernel_" in file or file.startswith("<ipython-input-"):
        return _cell(file)
    try:
        base = os.getcwd() + os.sep  # noqa: PTH109  asked for every line that is shown: Path.cwd() costs tenfold
    except OSError:  # it has been removed
        return file
    return file[len(base) :] if file.startswith(base) else file


def _cell(file: str) -> str:
    """The name of a notebook's cell, where IPython knows it."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    named = shell.compile.format_code_name(file) if shell is not None else None
    return file if named is None else str(named[1])


def visible(text: str) -> str:
    """The text with what cannot be printed escaped: it stays on its line, and any stream can write it.

    >>> len(visible(chr(10))), visible("plain")
    (2, 'plain')
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


@lru_cache(4096)
def _foreign(file: str) -> bool:
    return (
        file.startswith(_PACKAGE)
        or file.startswith(_MACHINERY)
        or (file.endswith(_HELPERS) and file.startswith(sys.base_prefix))
        or f"{os.sep}toolz{os.sep}" in file
    )


def user_source() -> Source | None:
    """The innermost frame that is not the library's own, or None when there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not _foreign(code.co_filename):
            return Source(code.co_filename, frame.f_lineno, code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def current_source() -> Source | None:
    """The user's line that what is made now comes from."""
    made = _MADE.get()
    return made.sources[0] if made is not None and made.sources else user_source()


def current() -> Origin:
    """The origin for a node made now: what a transform declared, else the user's line and scope."""
    made = _MADE.get()
    if made is not None:
        return made
    source = user_source()
    return Origin((source,) if source is not None else (), _SCOPE.get())


@contextmanager
def made_by(origin: Origin) -> Iterator[None]:
    """Nodes made inside carry `origin`: for transforms, whose nodes stand for other nodes."""
    token = _MADE.set(origin)
    try:
        yield
    finally:
        _MADE.reset(token)


@contextmanager
def in_scope(path: tuple[str, ...]) -> Iterator[None]:
    """Nodes made inside carry the scope `path`: provenance alone, it never changes what a node means."""
    token = _SCOPE.set(path)
    try:
        yield
    finally:
        _SCOPE.reset(token)


def merged(rule: str, root: Origin, others: tuple[Origin, ...] = ()) -> Origin:
    """The origin of what `rule` made in place of `root` and others: their lines in order, without repeats.

    The rules that made the root are kept in front, so the chain reads from the user's line to now.
    """
    sources = tuple(dict.fromkeys(source for o in (root, *others) for source in o.sources))
    before = root.rule.split(" > ") if root.rule else []
    chain = before if before[-1:] == [rule] else [*before, rule]
    return Origin(sources, root.scope, " > ".join(chain), root.of)


def printable(text: str) -> str:
    """Text of a user's in one line of ASCII."""
    return text.encode("ascii", "backslashreplace").decode().translate(_ESCAPES)


_ESCAPES = {c: f"\\x{c:02x}" for c in (*range(32), 127)}
