"""Cases of symgraph.ops.indexing; indices are drawn in range, repeats among them."""

from functools import partial

import numpy as np

from symgraph import ops
from tests.cases import Case

linear = partial(Case, smooth=False, exact=True)


def _take(types, axis, size, **options):
    return linear(
        f"take {axis}",
        lambda x, i: ops.take(x, i, axis),
        types,
        lambda x, i: np.take(x, i, axis),
        ("normal", f"index:{size}"),
        **options,
    )


def _gather(types, axis, size, **options):
    return linear(
        f"gather {axis}",
        lambda x, i: ops.gather(x, i, axis),
        types,
        lambda x, i: np.take_along_axis(x, i, axis),
        ("normal", f"index:{size}"),
        **options,
    )


def _add_at(x, indices, updates, axis):
    """The plainest meaning: one element after the other."""
    out = np.array(x)
    moved = np.moveaxis(out, axis, 0)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    rows = np.broadcast_to(updates, shape).reshape(*x.shape[:axis], indices.size, *x.shape[axis + 1 :])
    for k, index in enumerate(indices.reshape(-1)):
        moved[index] += np.moveaxis(rows, axis, 0)[k]
    return out


def _add_along(x, indices, updates, axis):
    out = np.array(x)
    wide = np.broadcast_to(updates, indices.shape)
    for place in np.ndindex(*indices.shape):
        target = (*place[:axis], indices[place], *place[axis + 1 :])
        out[target] += wide[place]
    return out


def _scatter(types, axis, size, **options):
    return Case(
        f"scatter_add {axis}",
        lambda x, i, u: ops.scatter_add(x, i, u, axis),
        types,
        lambda x, i, u: _add_at(x, i, u, axis),
        ("normal", f"index:{size}", "normal"),
        smooth=False,
        **options,
    )


def _scatter_along(types, axis, size, **options):
    return Case(
        f"scatter_add_along {axis}",
        lambda x, i, u: ops.scatter_add_along(x, i, u, axis),
        types,
        lambda x, i, u: _add_along(x, i, u, axis),
        ("normal", f"index:{size}", "normal"),
        smooth=False,
        **options,
    )


CASES = [
    _take(("f64[4,3]", "i64[5]"), 0, 4),
    _take(("f64[4,3]", "i64[2,3]"), 1, 3),
    _take(("f64[4,3]", "i32[]"), 0, 4),
    _take(("f64[2,3,4,5]", "i64[2]"), 2, 4),
    _take(("f64[4,3]", "i64[0]"), 0, 4),
    _take(("f64[4,0]", "i64[2]"), 0, 4),
    _take(("f64[4,3]", "i64[5]"), None, 12),
    _take(("f32[4,3]", "i32[5]"), 0, 4),
    _take(("i32[4]", "i64[5]"), 0, 4, gradient=False),
    _take(("i64[4]", "i32[5]"), 0, 4, gradient=False),
    _take(("bool[4]", "i64[5]"), 0, 4, gradient=False),
    Case(
        "take of squares",
        lambda x, i: ops.take(x * x, i),
        ("f64[4,2]", "i64[6]"),
        lambda x, i: np.take(x * x, i, 0),
        ("normal", "index:4"),
    ),
    _gather(("f64[4,3]", "i64[4,1]"), 1, 3),
    _gather(("f64[4,3]", "i64[6,3]"), 0, 4),
    _gather(("f64[2,3,4]", "i32[2,5,4]"), -2, 3),
    _gather(("f64[2,3,4]", "i64[1,2,4]"), 1, 3),
    _gather(("f64[1,3]", "i64[4,2]"), 1, 3),
    _gather(("f64[4]", "i64[0]"), 0, 4),
    _gather(("f32[4,3]", "i64[4,1]"), 1, 3),
    _gather(("i32[4,3]", "i64[4,1]"), 1, 3, gradient=False),
    _gather(("bool[4,3]", "i64[4,1]"), 1, 3, gradient=False),
    _scatter(("f64[4,3]", "i64[6]", "f64[6,3]"), 0, 4),
    _scatter(("f64[4,3]", "i64[2,3]", "f64[4,2,3]"), 1, 3),
    _scatter(("f64[4,3]", "i32[]", "f64[3]"), 0, 4),
    _scatter(("f64[4,3]", "i64[6]", "f64[]"), 0, 4),
    _scatter(("f64[4,3]", "i64[6]", "f64[3]"), 0, 4),
    _scatter(("f64[4,3]", "i64[0]", "f64[0,3]"), 0, 4),
    _scatter(("f64[4,0]", "i64[2]", "f64[2,0]"), 0, 4),
    _scatter(("f64[2,3,4,2]", "i64[3]", "f64[2,3,3,2]"), 2, 4),
    _scatter(("f32[4]", "i64[9]", "f32[9]"), 0, 4),
    _scatter(("i32[4]", "i64[9]", "i32[9]"), 0, 4, gradient=False),
    _scatter(("i64[4]", "i64[9]", "i64[9]"), 0, 4, gradient=False),
    Case(
        "scatter_add of products",
        lambda x, i, u: ops.scatter_add(x * x, i, u * u),
        ("f64[3]", "i64[5]", "f64[5]"),
        lambda x, i, u: _add_at(x * x, i, u * u, 0),
        ("normal", "index:3", "normal"),
    ),
    _scatter_along(("f64[4,3]", "i64[4,5]", "f64[4,5]"), 1, 3),
    _scatter_along(("f64[4,3]", "i64[6,3]", "f64[6,3]"), 0, 4),
    _scatter_along(("f64[2,3,4]", "i64[2,5,4]", "f64[5,1]"), 1, 3),
    _scatter_along(("f64[4]", "i64[0]", "f64[0]"), 0, 4),
    _scatter_along(("f32[4]", "i32[9]", "f32[9]"), 0, 4),
    _scatter_along(("i32[4]", "i64[9]", "i32[9]"), 0, 4, gradient=False),
    Case(
        "one_hot",
        lambda i: ops.one_hot(i, 4),
        ("i64[2,3]",),
        lambda i: np.eye(4, dtype=np.float32)[i],
        "index:4",
        gradient=False,
        exact=True,
    ),
    Case(
        "one_hot bool",
        lambda i: ops.one_hot(i, 3, "bool"),
        ("i32[]",),
        lambda i: np.eye(3, dtype=bool)[i],
        "index:3",
        gradient=False,
        exact=True,
    ),
    Case(
        "one_hot of any int",
        lambda i: ops.one_hot(i, 3, "int64"),
        ("i64[9]",),
        lambda i: (i[:, None] == np.arange(3)).astype(np.int64),
        "small_int",
        gradient=False,
        exact=True,
    ),
    *(
        Case(
            f"x + iota({shape}, {axis}) {dtype}",
            lambda x, s=shape, d=dtype, a=axis: x + ops.iota(s, d, a),
            ("f64[]",),
            lambda x, s=shape, d=dtype, a=axis: x + np.indices(s)[a].astype(d),
            smooth=False,
        )
        for shape, axis, dtype in (
            ((4,), 0, "int64"),
            ((2, 3), 1, "float32"),
            ((2, 3), 0, "float64"),
            ((2, 3, 4), -2, "int32"),
            ((0, 3), 0, "int64"),
        )
    ),
    *(
        Case(
            f"x * arange{bounds}",
            lambda x, b=bounds: x * ops.arange(*b),
            ("f64[]",),
            lambda x, b=bounds: x * np.arange(*b),
            smooth=False,
        )
        for bounds in ((5,), (2, 7), (7, 2, -2), (0,), (3, 1), (0.0, 1.0, 0.25), (1, -2, -0.5))
    ),
    *(
        Case(
            f"x * eye{bounds}",
            lambda x, b=bounds: x * ops.eye(*b),
            ("f64[]",),
            lambda x, b=bounds: x * np.eye(*b),
            smooth=False,
        )
        for bounds in ((3,), (2, 4), (4, 2, -1), (3, 3, 2), (0,), (2, 3, 9))
    ),
    *(
        linear(
            f"{name} {k}",
            lambda x, f=name, d=k: getattr(ops, f)(x, d),
            (types,),
            lambda x, f=name, d=k: getattr(np, f)(x, d),
            gradient=types[0] == "f",
        )
        for name in ("tril", "triu")
        for types, k in (
            ("f64[3,4]", 0),
            ("f64[2,3,2]", -1),
            ("f64[0,2]", 1),
            ("f32[3,3]", 1),
            ("bool[3,3]", 0),
        )
    ),
]
