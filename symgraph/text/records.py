"""Attrs records by name: the classes under a root, and instances with attributes of their declared types."""

import types
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin

import attrs
import numpy as np

from symgraph.errors import GraphError
from symgraph.types import Dim

A = TypeVar("A")


def subclasses(root: type[A]) -> Iterator[type[A]]:
    """All classes under `root` that have a name of their own, in the order they were defined."""
    # Of those that one class statement made the last: with slots attrs makes a second class of the first.
    for kind in {(kind.__module__, kind.__qualname__): kind for kind in root.__subclasses__()}.values():
        if vars(kind).get("name"):
            yield kind
        yield from subclasses(kind)


def class_named(root: type[A], name: str) -> type[A]:
    """The attrs class under `root` whose `name` it is; raises GraphError for none, or for several.

    >>> from symgraph.ir import Op
    >>> class_named(Op, "constant").__name__
    'Constant'
    """
    found = [kind for kind in subclasses(root) if vars(kind)["name"] == name]
    if not found:
        what = "operation" if root.__name__ == "Op" else root.__name__.lower()
        raise GraphError(f"there is no {what} {name[:60]!r}", hint="Import the module that defines it.")
    # A notebook cell that is run again defines its class again: the newest is meant.
    if len({(kind.__module__, kind.__qualname__) for kind in found}) > 1:
        where = " and ".join(sorted({f"{kind.__module__}.{kind.__qualname__}" for kind in found}))
        raise GraphError(f"the name {name!r} is that of {where}", hint="Give one of them another name.")
    return found[-1]


def fitting(kind: type[A], first: tuple[Any, ...], named: Mapping[str, Any]) -> A:
    """`kind(*first, **named)`; raises GraphError for an attribute that is unknown, missing or ill-typed."""
    fields = [field for field in attrs.fields(kind) if field.init]  # type: ignore[arg-type]
    label = getattr(kind, "name", kind.__name__)
    known = [field.alias for field in fields]
    given = {**dict(zip(known, first, strict=False)), **named}
    if len(first) > len(known) or len(given) != len(first) + len(named):
        raise GraphError(f"{label}: too many attributes without a name")
    for name in named:
        if name not in known:
            raise GraphError(
                f"{label} has no attribute {name[:60]!r}", hint=f"It has {', '.join(known) or 'none'}."
            )
    declared = _annotations(kind)  # type: ignore[arg-type]
    for field in fields:
        if field.alias not in given and field.default is attrs.NOTHING:
            raise GraphError(f"{label} lacks the attribute {field.alias!r}")
        if field.alias in given and not fits(given[field.alias], declared.get(field.name, Any)):
            shown = repr(given[field.alias])[:60]
            raise GraphError(f"{label}: the attribute {field.alias!r} cannot be {shown}")
    return kind(**given)


@lru_cache(1024)
def _annotations(kind: type) -> Mapping[str, Any]:
    try:
        # Aliases such as Dimension refer to names that the class's own module need not import.
        return typing.get_type_hints(kind, localns={"Dim": Dim})
    except NameError:  # a name that is imported for type checkers alone
        return {}


def fits(value: object, annotation: Any) -> bool:
    """Whether a value is of an annotated type; an annotation that is not understood accepts anything.

    >>> fits((0, 1), tuple[int, ...]), fits(3, bool), fits(None, int | None), fits(2, float)
    (True, False, True, True)
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return value is None
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in args)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(fits(item, args[0]) for item in value)
        return len(args) == len(value) and all(map(fits, value, args))
    if origin is typing.Literal:
        return any(value == option and type(value) is type(option) for option in args)
    if origin is np.dtype:
        return isinstance(value, np.dtype)
    if isinstance(annotation, str):  # the forward reference of a recursive alias
        return isinstance(value, Dim) if annotation == "Dim" else True
    if isinstance(annotation, typing.ForwardRef):
        return fits(value, annotation.__forward_arg__)
    if not isinstance(annotation, type):
        return True
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation)
