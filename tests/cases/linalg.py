"""Cases of matrix products."""

import math

import numpy as np

from symgraph import ops
from symgraph.ops.linalg import MatMul
from tests.cases import Case

CASES = [
    Case("matmul", ops.matmul, types, np.matmul, gradient=types[0].startswith("f64"))
    for types in (
        ("f64[3,4]", "f64[4,2]"),
        ("f64[4]", "f64[4]"),
        ("f64[4]", "f64[4,2]"),
        ("f64[3,4]", "f64[4]"),
        ("f64[4]", "f64[2,4,3]"),
        ("f64[2,3,4]", "f64[4]"),
        ("f64[2,3,4]", "f64[2,4,2]"),
        ("f64[2,3,4]", "f64[4,2]"),
        ("f64[3,4]", "f64[2,4,2]"),
        ("f64[2,1,3,2]", "f64[3,2,2]"),
        ("f64[1,3,2]", "f64[2,2,2]"),
        ("f64[3,0]", "f64[0,2]"),
        ("f64[0,3]", "f64[3,2]"),
        ("f64[1,1]", "f64[1,1]"),
        ("f32[17,33]", "f32[33,9]"),
        ("i32[3,4]", "i32[4,2]"),
        ("i64[2,3,4]", "i64[4,2]"),
    )
]


def _turned(x, swap):
    return np.swapaxes(x, -1, -2) if swap else x


_FLAGGED = {
    (False, True): (("f64[3,4]", "f64[2,4]"), ("f64[2,3,4]", "f64[2,4]"), ("f64[2,1,3,4]", "f64[3,2,4]")),
    (True, False): (("f64[4,3]", "f64[4,2]"), ("f64[2,4,3]", "f64[4,2]"), ("f64[4,3]", "f64[2,4,2]")),
    (True, True): (("f64[4,3]", "f64[2,4]"), ("f64[2,4,3]", "f64[2,4]"), ("f64[1,4,3]", "f64[2,2,4]")),
}

CASES += [
    Case(
        f"matmul{flags}",
        lambda x, y, f=flags: ops.apply(MatMul(*f), x, y),
        types,
        lambda x, y, f=flags: _turned(x, f[0]) @ _turned(y, f[1]),
    )
    for flags, listed in _FLAGGED.items()
    for types in listed
]

CASES += [
    Case("dot", ops.dot, types, np.dot, gradient=types[0].startswith("f64"))
    for types in (
        ("f64[]", "f64[3]"),
        ("f64[2,3]", "f64[]"),
        ("f64[3]", "f64[3]"),
        ("f64[2,3]", "f64[3,4]"),
        ("f64[2,2,3]", "f64[3]"),
        ("f64[3]", "f64[2,3,4]"),
        ("f64[5,3]", "f64[2,3,4]"),
        ("f64[2,2,3]", "f64[2,3,2]"),
        ("f64[2,2,3]", "f64[3,2]"),
        ("i32[2,3]", "i32[3,2]"),
    )
]

CASES += [
    Case("outer", ops.outer, types, np.outer, gradient=types[0].startswith("f64"))
    for types in (("f64[3]", "f64[4]"), ("f64[]", "f64[2]"), ("f64[2,2]", "f64[3]"), ("i32[2]", "i32[3]"))
]

CASES += [
    Case(
        f"norm{options}",
        lambda x, o=options: ops.norm(x, **o),
        (type_,),
        lambda x, o=options: np.linalg.norm(x.ravel() if o.get("axis") is None else x, **o),
        gradient=type_.startswith("f64"),
        smooth=options.get("ord", 2) == 2,
    )
    for type_, options in (
        ("f64[5]", {}),
        ("f64[3,4]", {}),
        ("f64[3,4]", {"axis": 1}),
        ("f64[3,4]", {"axis": 0, "keepdims": True}),
        ("f64[3,4]", {"ord": 1, "axis": 1}),
        ("f64[3,4]", {"ord": math.inf, "axis": 1}),
        ("f64[5]", {"ord": 1}),
        ("f32[3,4]", {"axis": -1}),
        ("i32[3,4]", {"axis": 1}),
    )
]

CASES += [
    Case(
        "norm of matrices",
        lambda x: ops.norm(x, axis=(0, 2)),
        ("f64[2,3,4]",),
        lambda x: np.linalg.norm(x, axis=(0, 2)),
    )
]

CASES += [
    Case(
        f"diag{k}",
        lambda x, k=k: ops.diag(x, k),
        (type_,),
        lambda x, k=k: np.diag(x, k) if x.ndim == 1 else np.diagonal(x, k, -2, -1),
        gradient=type_.startswith("f64"),
        exact=True,
    )
    for type_, ks in (
        ("f64[3]", (0, 1, -2)),
        ("f64[3,3]", (0, -2)),
        ("f64[2,3,4]", (0, 1, -2)),
        ("f64[4,2]", (0, 1, -2)),
        ("f64[0]", (0, 1)),
        ("f64[0,3]", (1,)),
        ("i32[3,3]", (1,)),
        ("bool[2]", (-2,)),
    )
    for k in ks
]

CASES += [
    Case(
        "diag_embed",
        lambda x: ops.diag_embed(x, 1),
        ("f64[2,3]",),
        lambda x: np.stack([np.diag(r, 1) for r in x]),
    )
]

CASES += [
    Case(
        f"trace{k}",
        lambda x, k=k: ops.trace(x, k),
        (type_,),
        lambda x, k=k: np.trace(x, k, -2, -1, dtype=None if x.dtype == bool else x.dtype),
        gradient=type_.startswith("f64"),
        smooth=False,
    )
    for type_ in ("f64[3,3]", "f64[2,4,3]", "f64[0,0]", "f32[5,5]", "i32[3,3]", "bool[3,3]")
    for k in (0, -1)
]
