"""Facts about expressions that guards of rules ask for."""

import math
from collections.abc import Callable

import numpy as np

from symgraph.expr import Expr
from symgraph.rewrite import splat


def is_float(**captures: Expr) -> bool:
    """Whether the first capture holds floats."""
    return next(iter(captures.values())).dtype.kind == "f"


def is_integer(**captures: Expr) -> bool:
    """Whether the first capture holds integers or bools, whose arithmetic is exact."""
    return next(iter(captures.values())).dtype.kind != "f"


def is_number(expr: Expr) -> bool:
    """Whether the expression is a constant of which all elements are one number."""
    return splat(expr) is not None


def number_of(expr: Expr) -> float:
    """The number that all elements of a constant are; NaN for an expression that is no such constant."""
    value = splat(expr)
    return math.nan if value is None else float(value)


def numbers(*names: str) -> Callable[..., bool]:
    """The guard that these captures are constants of one number each, and floats."""

    def guard(**captures: Expr) -> bool:
        return all(captures[name].dtype.kind == "f" and is_number(captures[name]) for name in names)

    return guard


def is_power_of_two(value: float) -> bool:
    """Whether multiplying by the number only changes the exponent.

    >>> is_power_of_two(-0.25), is_power_of_two(3.0), is_power_of_two(0.0)
    (True, False, False)
    """
    return math.isfinite(value) and abs(math.frexp(value)[0]) == 0.5


def is_normal(value: float, expr: Expr) -> bool:
    """Whether the number is a normal one in the dtype of `expr`: no zero, denormal, infinity or NaN."""
    limits = np.finfo(expr.dtype)  # compared in double precision, where nothing overflows
    return float(limits.tiny) <= abs(value) <= float(limits.max)
