"""Cases of `symgraph.ops.logic`."""

import math
import operator
from functools import partial

import numpy as np

from symgraph import ops
from tests.cases import Case
from tests.cases.arithmetic import INTEGERS, unary

_COMPARED = (
    ("f64[3,4]", "f64[3,4]"),
    ("f32[2,3,2,2]", "f32[3,1,1]"),
    ("f64[0,2]", "f64[]"),
    ("bool[9]", "bool[9]"),
)
_BOOLS = (("bool[12]", "bool[12]"), ("bool[2,3,1]", "bool[2]"), ("bool[]", "bool[0]"))

_COMPARISONS = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
_LOGICAL = {"logical_and": operator.and_, "logical_or": operator.or_, "logical_xor": operator.xor}
_WHERE = (
    ("bool[3,4]", "f64[3,4]", "f64[3,4]"),
    ("bool[4]", "f64[2,3,1]", "f64[]"),
    ("bool[2,1]", "f64[]", "f64[3]"),
    ("bool[0]", "f64[0]", "f64[1]"),
    ("bool[2,1,3,1]", "f32[2,2,3,2]", "f32[2]"),
    ("bool[3]", "f32[3]", "f64[3]"),
    ("bool[6]", "i32[6]", "i64[]"),
    ("bool[6]", "bool[6]", "bool[6]"),
)


def _where(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    conditions, xs, ys = np.broadcast_arrays(condition, x, y)
    picked = [a if c else b for c, a, b in zip(conditions.ravel(), xs.ravel(), ys.ravel(), strict=True)]
    return np.array(picked, np.result_type(x, y)).reshape(conditions.shape)


def _clamp(x: np.ndarray) -> np.ndarray:
    return np.where(x < -0.5, -0.5, np.where(x > 0.75, 0.75, x)).astype(x.dtype)


def _cast(source: str, target: str, gradient: bool = True) -> Case:
    def reference(x: np.ndarray) -> np.ndarray:
        convert = {"b": bool, "i": math.trunc, "f": float}[np.dtype(target).kind]
        return np.array([convert(v) for v in x.ravel().tolist()], target).reshape(x.shape)

    function = partial(ops.cast, dtype=target)
    return Case(f"cast to {target}", function, (source,), reference, gradient=gradient, exact=True)


CASES = [
    *(
        Case(name, getattr(ops, name), types, f, domain, gradient=False, exact=True)
        for name, f in _COMPARISONS.items()
        for types, domain in (
            *((t, "normal") for t in _COMPARED),
            *((t, "small_int") for t in INTEGERS),
            (("f64[30]", "f64[30]"), "small_int"),
        )
    ),
    *(
        Case(name, getattr(ops, name), types, f, exact=True)
        for name, f in _LOGICAL.items()
        for types in _BOOLS
    ),
    *(
        Case("logical_not", ops.logical_not, (t,), lambda x: x ^ True, exact=True)
        for t in ("bool[2,3]", "bool[]", "bool[0]")
    ),
    *unary("isnan", ops.isnan, lambda x: x != x, gradient=False, exact=True),
    *unary("isinf", ops.isinf, lambda x: np.abs(x) == np.inf, gradient=False, exact=True),
    *unary("isfinite", ops.isfinite, lambda x: np.abs(x) < np.inf, gradient=False, exact=True),
    *(Case("where", ops.where, types, _where, exact=True) for types in _WHERE),
    *unary("clip", lambda x: ops.clip(x, -0.5, 0.75), _clamp, extra=(), smooth=False, exact=True),
    Case(
        "clip",
        ops.clip,
        ("f64[3,4]", "f64[4]", "f64[]"),
        lambda x, a, b: np.minimum(np.maximum(x, a), b),
        ("normal", "unit", "positive"),
        smooth=False,
        exact=True,
    ),
    Case(
        "clip below", lambda x: ops.clip(x, low=1), ("i64[9]",), lambda x: np.where(x < 1, 1, x), exact=True
    ),
    Case(
        "clip above", lambda x: ops.clip(x, high=1), ("i64[9]",), lambda x: np.where(x > 1, 1, x), exact=True
    ),
    _cast("f64[3,4]", "float32", gradient=False),  # differences in float32 are too coarse
    _cast("f32[3,4]", "float64"),
    _cast("f64[3,4]", "float64"),
    *(
        _cast(source, target, gradient=False)
        for source in ("f32[2,3]", "f64[]", "i64[5]", "i32[0]", "bool[4]")
        for target in ("float32", "int32", "int64", "bool")
    ),
    Case(
        "cast there and back",
        lambda x: ops.cast(ops.cast(x, "float64") * 3, "float32"),
        ("f32[2,3]",),
        lambda x: x * 3,
    ),
]
