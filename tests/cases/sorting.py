"""Cases of `symgraph.ops.sorting`; the order of NumPy's stable sorts."""

import numpy as np

from symgraph import ops
from tests.cases import Case


def argsort(x, axis=-1, descending=False):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    # As numbers whose negatives are the reverse order: the ranks among the distinct ones.
    ranks = np.unique(x, return_inverse=True)[1].reshape(x.shape)
    return np.argsort(-ranks if descending else ranks, axis=axis, kind="stable")


def sort(x, axis=-1, descending=False):
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    return np.take_along_axis(x, argsort(x, axis, descending), axis)


CASES = [
    Case(
        f"{name}{options}",
        lambda x, f=function, o=options: f(x, **o),
        (type_,),
        lambda x, f=reference, o=options: f(x, **o),
        domain,
        gradient=name == "sort" and type_.startswith("f64"),
        smooth=False,
        exact=True,
    )
    for name, function, reference in (("argsort", ops.argsort, argsort), ("sort", ops.sort, sort))
    for type_, options, domain in (
        ("f64[7]", {}, "normal"),
        ("f64[3,4]", {"axis": 0}, "normal"),
        ("f64[3,4]", {"axis": None}, "normal"),
        ("f64[2,3,2,2]", {"axis": 1, "descending": True}, "normal"),
        ("f64[3,1]", {}, "normal"),
        ("f64[0,3]", {}, "normal"),
        ("f64[3,0]", {}, "normal"),
        ("f32[2,200]", {}, "normal"),
        ("f32[150,2]", {"axis": 0, "descending": True}, "normal"),
        ("i32[5,9]", {}, "small_int"),
        ("i64[120]", {"descending": True}, "small_int"),
        ("bool[3,11]", {}, "bool"),
    )
]
