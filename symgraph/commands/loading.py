"""What a command is about: the graph of a module, of its file, or of a text.

load : name of a module or a file -> Graph
"""

import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from symgraph.contracts import said
from symgraph.errors import GraphError, SymgraphError
from symgraph.ir import Graph
from symgraph.origin import relative

_TEXTS = (".txt", ".sg")
_PACKAGE = str(Path(__file__).parents[1])
T = TypeVar("T")
_FRAMES = 4  # lines of the user's that an error shows


def load(what: str) -> Graph:
    """The graph of a module with a function `graph()`, of its .py file, or of a file with the text form.

    `module:function` names another function that makes the graph. Raises GraphError, which names the fault and the
    user's line.
    """
    path = Path(what)
    if path.suffix in _TEXTS:
        return _from_file(path)
    place, name = _split(what)
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise GraphError(
            f"{place} has no function {name}()",
            source=None,
            hint=f"Write `def {name}() -> sg.Graph` in it, which needs no arguments.",
        )
    made = _called(f"{place}: {name}() failed", function)
    if not isinstance(made, Graph):
        raise GraphError(
            f"{place}: {name}() returned a {type(made).__name__}, not a Graph",
            source=None,
            hint="Return symgraph.define(name=expression).",
        )
    return made


def _split(what: str) -> tuple[str, str]:
    place, colon, name = what.rpartition(":")
    return (place, name) if colon and place and name.isidentifier() else (what, "graph")


def _from_file(path: Path) -> Graph:
    from symgraph.text import from_text
    from symgraph.verify import verify

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GraphError(f"{path} cannot be read: {reason}", source=None) from error
    try:
        return verify(from_text(text))
    except SymgraphError as error:
        raise GraphError(
            f"{path}: {error.message}", source=None, details=error.details, hint=error.hint
        ) from error


def _module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:  # the installed command, unlike python -m, does not look there by itself
        sys.path.insert(0, folder)

    def known() -> bool:  # to find models.one imports models
        try:
            return all(name.split(".")) and find_spec(name) is not None
        except ModuleNotFoundError as error:
            if error.name is not None and name.startswith(error.name):
                return False
            raise

    if not _called(f"{name} cannot be imported", known):
        raise GraphError(
            f"there is no module {name!r}",
            source=None,
            hint=f"It is looked for from {folder} on; write the name of a module there, or a file such as net.py.",
        )
    module: ModuleType = _called(f"{name} cannot be imported", lambda: import_module(name))
    return module


def _module_of_file(path: Path) -> ModuleType:
    try:
        reason = "" if path.is_file() else "it is a folder" if path.is_dir() else "there is no such file"
    except OSError as error:  # such as a name that is too long
        reason = error.strerror or str(error)
    if reason:
        raise GraphError(f"{path} cannot be read: {reason}", source=None)

    def run() -> ModuleType:
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None, path  # the name ends in .py
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    module: ModuleType = _called(f"{path} cannot be imported", run)
    return module


def _called(what: str, function: Callable[[], T]) -> T:
    """What code of the user's gives; whatever it raises is told in a sentence, with the user's own lines.

    What it prints goes to the standard error: on the standard output stands what the command makes.
    """
    try:
        with redirect_stdout(sys.stderr):
            return function()
    except (SymgraphError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise GraphError(
            f"{what}: it ended the program (SystemExit: {error.code})",
            source=None,
            details=_lines_of(error),
            hint='What a script runs stands below `if __name__ == "__main__":`.',
        ) from error
    except BaseException as error:  # GeneratorExit, too, and errors of the user's that are no Exception
        raise GraphError(f"{what}: {said(error)}", source=None, details=_lines_of(error)) from error


def _lines_of(error: BaseException) -> tuple[str, ...]:
    """The lines that an exception went through, without those of the library and of the import system."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_PACKAGE, "<frozen ")) and "importlib" not in frame.filename
    ]
    return tuple(
        f"{relative(frame.filename)}:{frame.lineno}    {(frame.line or '').strip()}".rstrip()
        for frame in frames[-_FRAMES:]
    )
