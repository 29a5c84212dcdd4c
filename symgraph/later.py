"""Names of a package that are imported when they are first asked for (PEP 562): `import symgraph` stays quick."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def later(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package: `places` maps a name to `module:name`, or to a module that it is.

    The package imports the same names under `if TYPE_CHECKING`, for type checkers.

    >>> later("symgraph.text", {"from_text": "symgraph.text.parser:parse"})("from_text").__name__
    'parse'
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, there = places[name].partition(":")
        value = getattr(import_module(module), there) if there else import_module(module)
        setattr(import_module(package), name, value)  # from now on it is found without asking here
        return value

    return get
