"""Cases of `symgraph.ops.arithmetic`, and the shapes that every elementwise op is tried with."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symgraph import ops
from tests.cases import Case

UNARY = ("f64[3,4]", "f64[]", "f64[0,2]", "f32[2,1,3,2]")
BINARY = (
    ("f64[3,4]", "f64[3,4]"),
    ("f64[2,3,1]", "f64[4]"),
    ("f64[]", "f64[2,2]"),
    ("f64[0,3]", "f64[1,3]"),
    ("f32[2,3,2,2]", "f32[3,1,2]"),
    ("f32[3]", "f64[3]"),
)
INTEGERS = (("i32[3,4]", "i32[4]"), ("i64[5]", "i32[]"))


def pointwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """The meaning of an elementwise op from a function of numbers, in the dtype the operands share."""

    def reference(*arrays: np.ndarray) -> np.ndarray:
        dtype = np.result_type(*(a.dtype if a.dtype.kind == "f" else np.float32 for a in arrays))
        wide = np.broadcast_arrays(*(a.astype(float) for a in arrays))
        values = [function(*numbers) for numbers in zip(*(a.ravel().tolist() for a in wide), strict=True)]
        return np.array(values, dtype).reshape(wide[0].shape)

    return reference


def unary(
    name: str,
    function: Any,
    reference: Any,
    domain: str = "normal",
    extra: Sequence[str] = ("i32[4]",),
    **options: Any,
) -> list[Case]:
    return [Case(name, function, (t,), reference, domain, **options) for t in (*UNARY, *extra)]


def binary(
    name: str,
    function: Any,
    reference: Any,
    domain: str | tuple[str, str] = "normal",
    extra: Sequence[tuple[str, str]] = INTEGERS,
    **options: Any,
) -> list[Case]:
    return [Case(name, function, types, reference, domain, **options) for types in (*BINARY, *extra)]


def _integer_power(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    def power(a: int, b: int) -> int:
        return a**b if b >= 0 else (0 if abs(a) != 1 else int(a**b))

    return np.array([power(int(a), int(b)) for a, b in zip(x, y, strict=True)], np.result_type(x, y))


def _share(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(x > y, x, y)


CASES = [
    *unary("neg", ops.neg, lambda x: 0 - x, exact=True),
    *unary("abs", ops.abs, lambda x: np.where(x < 0, -x, x), exact=True),
    *unary(
        "sign", ops.sign, lambda x: ((x > 0) * 1 - (x < 0) * 1).astype(x.dtype), gradient=False, exact=True
    ),
    *unary("square", ops.square, lambda x: x * x, exact=True),
    *unary("reciprocal", ops.reciprocal, pointwise(lambda x: 1 / x), "positive"),
    *unary(
        "floor", ops.floor, lambda x: pointwise(math.floor)(x).astype(x.dtype), gradient=False, exact=True
    ),
    *unary("ceil", ops.ceil, lambda x: pointwise(math.ceil)(x).astype(x.dtype), gradient=False, exact=True),
    *unary("round", ops.round, lambda x: pointwise(round)(x).astype(x.dtype), gradient=False, exact=True),
    *unary(
        "trunc", ops.trunc, lambda x: pointwise(math.trunc)(x).astype(x.dtype), gradient=False, exact=True
    ),
    *binary("add", ops.add, operator.add, exact=True),
    *binary("sub", ops.sub, operator.sub, exact=True),
    *binary("mul", ops.mul, operator.mul, exact=True),
    *binary("div", ops.div, pointwise(operator.truediv), ("normal", "positive")),
    *binary(
        "floor_divide",
        ops.floor_divide,
        lambda x, y: np.floor(x / y).astype(np.result_type(x, y)),
        ("normal", "positive"),
        gradient=False,
        exact=True,
    ),
    *binary(
        "mod",
        ops.mod,
        lambda x, y: (x - y * np.floor(x / y)).astype(np.result_type(x, y)),
        ("normal", "positive"),
        smooth=False,
    ),
    *binary("maximum", ops.maximum, _share, smooth=False, exact=True),
    *binary("minimum", ops.minimum, lambda x, y: np.where(x < y, x, y), smooth=False, exact=True),
    *binary("pow", ops.pow, pointwise(operator.pow), ("positive", "normal"), extra=()),
    Case("integer pow", ops.pow, ("i32[40]", "i64[40]"), _integer_power, "small_int", exact=True),
    Case("integer pow", ops.pow, ("i32[40]", "i32[40]"), _integer_power, "small_int", exact=True),
    Case("pow 0", lambda x: x**0, ("f64[4]",), np.ones_like, gradient=False),
    Case("pow 1", lambda x: x**1, ("f64[4]",), lambda x: x, smooth=False),
    Case("pow 2", lambda x: x**2, ("f64[4]",), lambda x: x * x),
    Case("pow 3", lambda x: x**3, ("f64[4]",), lambda x: x * x * x),
    Case("pow -0.5", lambda x: x**-0.5, ("f32[2,3]",), lambda x: 1 / np.sqrt(x), "positive"),
    Case("2 to a power", lambda x: 2**x, ("f64[4]",), pointwise(lambda x: 2.0**x)),
    Case("x + x * x", lambda x: x + x * x, ("f64[2,3]",), lambda x: x + x * x),
    Case("1 - x", lambda x: 1 - x, ("i64[4]",), lambda x: 1 - x, exact=True),
    Case("x / 2", lambda x: x / 2, ("i64[4]",), lambda x: (x / 2).astype(np.float32), exact=True),
]
