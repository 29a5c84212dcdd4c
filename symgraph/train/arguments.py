"""What optimizers are given: numbers, learning rates, and which variables are meant; all of it checked.

Rate     = number | name of a placeholder | scalar Expr | schedule       a learning rate
Selector = name | pattern | several of them | (variable -> bool)         some of the variables
"""

import math
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, GraphError, ShapeError
from symgraph.expr import Expr, constant, describe, placeholder
from symgraph.train.state import COUNTER
from symgraph.types import DType
from symgraph.values import shown

Rate: TypeAlias = float | str | Expr | Callable[[Any], Any]
Selector: TypeAlias = str | Iterable[str] | Callable[[Expr], bool] | None


def number(value: Any) -> Any:
    """A number as a Python float, and anything else as it is, for a validator to look at.

    >>> number(np.float32(0.5)), number(1), number(10**400), number(True), number("rate")
    (0.5, 1.0, inf, True, 'rate')
    """
    if not isinstance(value, int | float | np.number) or isinstance(value, bool | np.complexfloating):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def whole(value: Any) -> Any:
    """A whole number of NumPy's as a Python int, and anything else as it is, for a validator to look at.

    >>> whole(np.int8(3)), whole(2.5)
    (3, 2.5)
    """
    return int(value) if isinstance(value, np.integer) else value


def _require(good: bool, instance: Any, attribute: Any, value: Any, wanted: str, example: str) -> None:
    if good:
        return
    name = attribute.name.replace("_", " ")
    raise GraphError(
        f"the {name} of {type(instance).__name__} is {wanted}, and {shown(value)} is none",
        hint=f"Write such as {attribute.name}={example}.",
    )


def from_zero(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: a finite number from 0."""
    good = type(value) is float and 0 <= value < math.inf
    _require(good, instance, attribute, value, "a finite number from 0", "0.01")


def positive(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: a finite number above 0."""
    good = type(value) is float and 0 < value < math.inf
    _require(good, instance, attribute, value, "a finite number above 0", "1.0")


def fraction(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: a number from 0 to 1, and less than 1."""
    good = type(value) is float and 0 <= value < 1
    _require(good, instance, attribute, value, "a number from 0 and less than 1", "0.9")


def share(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: a number from 0 to 1."""
    good = type(value) is float and 0 <= value <= 1
    _require(good, instance, attribute, value, "a number from 0 to 1", "0.3")


def count(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: a whole number from 1."""
    good = type(value) is int and value >= 1
    _require(good, instance, attribute, value, "a whole number from 1", "100")


def flag(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: True or False."""
    _require(isinstance(value, bool), instance, attribute, value, "True or False", "True")


def applied(instance: Any, attribute: Any, value: Any) -> None:
    """A validator: an optimizer or a transformation."""
    require_part(value, type(instance).__name__)


def require_part(value: Any, what: str) -> None:
    """Raise GraphError for what is no optimizer and no transformation: for a function that makes one, too.

    >>> require_part(lambda variables, gradients: {}, "chain")
    """
    maker = _is_ours(value)
    if callable(value) and not isinstance(value, type | Expr) and not maker:
        return
    raise GraphError(
        f"{what} takes an optimizer, and this is {shown(value)}",
        hint=f"Call it: symgraph.train.{value.__name__}(...)."
        if maker
        else "Write such as symgraph.train.sgd(0.1).",
    )


def _is_ours(value: Any) -> bool:
    """Whether this is a function of this package, such as `adam`, that was not called."""
    plain = isinstance(value, FunctionType) and value.__qualname__ == value.__name__ != "<lambda>"
    return plain and value.__module__.startswith("symgraph.train.")


# Learning rates.


def as_rate(value: Rate) -> Rate:
    """A learning rate, checked; raises GraphError, ShapeError, DTypeError.

    >>> as_rate(1), as_rate("rate")
    (1.0, 'rate')
    """
    if isinstance(value, Expr):
        return _scalar(value)
    if (isinstance(value, str) and value) or (callable(value) and not isinstance(value, type)):
        return value
    plain = number(value)
    if type(plain) is not float or not 0 <= plain < math.inf:
        raise GraphError(
            f"a learning rate is a number from 0, and {shown(value)} is none",
            hint="Pass a number, a schedule, a scalar expression, or the name of a placeholder to feed it by.",
        )
    return plain


def _scalar(value: Expr) -> Expr:
    if value.shape != ():
        raise ShapeError("a learning rate is a scalar", details=(describe(value),))
    if value.dtype.kind == "b":
        raise DTypeError("a learning rate is a number, not a truth value", details=(describe(value),))
    return value


def rate_key(rate: Rate) -> Any:
    """What two equal rates have in common; an expression equals itself alone."""
    return ("expression", id(rate)) if isinstance(rate, Expr) else rate


def is_scheduled(rate: Rate) -> bool:
    """Whether a rate is a function of the number of updates."""
    return callable(rate) and not isinstance(rate, Expr)


def rate_now(rate: Rate) -> float | Expr:
    """The rate of this update: of a schedule, its value at the counter of updates."""
    if isinstance(rate, str):
        return placeholder(rate)
    if isinstance(rate, Expr) or not callable(rate):
        return rate
    found = rate(COUNTER)
    if isinstance(found, Expr):
        return _scalar(found)
    plain = number(found)
    if type(plain) is not float or not 0 <= plain < math.inf:
        raise GraphError(
            f"a schedule gives a number from 0 or a scalar expression, and {shown(rate)} gave {shown(found)}",
            hint="It is called with the number of updates before this one, a scalar expression of int64.",
        )
    return plain


def in_dtype(scalar: float | Expr, dtype: DType) -> Expr:
    """A scalar in the dtype of the variable that it is used with."""
    return ops.cast(scalar, dtype) if isinstance(scalar, Expr) else constant(scalar, dtype)


# Which variables.


def as_selector(value: Any) -> Any:
    """A selector, checked: a name or pattern, several, a function, or None for no variable."""
    if value is None or isinstance(value, str) or (callable(value) and not isinstance(value, type | Expr)):
        return value
    names = tuple(value) if isinstance(value, Iterable) and not isinstance(value, Expr | dict) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise GraphError(
            f"variables are selected by their names or by a function, not by {shown(value)}",
            hint='Write a pattern "*/b", a list of them, or a function such as lambda w: w.rank < 2.',
        )
    return names


def selected(selector: Selector, variable: Expr) -> bool:
    """Whether a variable is meant; patterns are those of file names: `*` any text, `?` one character.

    >>> from symgraph.expr import variable
    >>> b = variable("hidden/b", (3,))
    >>> selected("*/b", b), selected(["w", "hidden/b"], b), selected(lambda w: w.rank > 1, b), selected(None, b)
    (True, True, False, False)
    """
    if selector is None:
        return False
    if callable(selector):
        return bool(selector(variable))
    name: str = variable.op.label  # type: ignore[attr-defined]
    patterns: Sequence[str] = (selector,) if isinstance(selector, str) else tuple(selector)
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)
