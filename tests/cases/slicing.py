"""Cases of symgraph.ops.slicing: keys of every form, padding by every mode, flip and roll.

`named=False` where a bound or a shift is beyond the axis: of a named size that is refused (tests/ops).
"""

from functools import partial

import numpy as np

from symgraph import ops
from tests.cases import Case

linear = partial(Case, smooth=False, exact=True)
ALL = slice(None)


def _show(key):
    parts = key if isinstance(key, tuple) else (key,)
    return ", ".join(
        ":".join("" if b is None else str(b) for b in (p.start, p.stop, p.step))
        if isinstance(p, slice)
        else str(p)
        for p in parts
    )


def _getitem(types, key, **options):
    return linear(
        f"getitem x[{_show(key)}]", lambda x: ops.getitem(x, key), types, lambda x: x[key], **options
    )


def _pad(types, widths, mode="constant", value=0, **options):
    extra = {"constant_values": value} if mode == "constant" else {}
    return linear(
        f"pad {widths} {mode} {value}",
        lambda x: ops.pad(x, widths, value, mode),
        types,
        lambda x: np.pad(x, widths, mode, **extra),
        **options,
    )


def _flip(types, axis=None, **options):
    return linear(f"flip {axis}", lambda x: ops.flip(x, axis), types, lambda x: np.flip(x, axis), **options)


def _roll(types, shift, axis=None, **options):
    return linear(
        f"roll {shift} {axis}",
        lambda x: ops.roll(x, shift, axis),
        types,
        lambda x: np.roll(x, shift, axis),
        **options,
    )


CASES = [
    _getitem(("f64[5]",), slice(1, None)),
    _getitem(("f64[5]",), slice(None, -1)),
    _getitem(("f64[5]",), slice(None, None, 2)),
    _getitem(("f64[6]",), slice(1, None, 4)),
    _getitem(("f64[5]",), slice(None, None, -1)),
    _getitem(("f64[6]",), slice(4, 0, -3)),
    _getitem(("f64[5]",), slice(-2, -5, -2)),
    _getitem(("f64[5]",), slice(10, 20), named=False),
    _getitem(("f64[5]",), slice(4, 1)),
    _getitem(("f64[5]",), slice(-100, 100, 3), named=False),
    _getitem(("f64[0]",), slice(1, None), named=False),
    _getitem(("f64[5]",), 0),
    _getitem(("f64[5]",), -1),
    _getitem(("f64[4,5]",), (slice(1, None), slice(None, None, 2))),
    _getitem(("f64[4,5]",), (ALL, 1)),
    _getitem(("f64[4,5]",), (2, slice(None, None, -2))),
    _getitem(("f64[4,5]",), (Ellipsis, None)),
    _getitem(("f64[4,5]",), (None, Ellipsis, -1)),
    _getitem(("f64[2,3,4,5]",), (0, Ellipsis, slice(1, 3))),
    _getitem(("f64[2,3,4,5]",), (ALL, slice(None, None, -1), 2, slice(4, None, -3))),
    _getitem(("f64[]",), ()),
    _getitem(("f64[]",), (None, Ellipsis, None)),
    _getitem(("f64[0,3]",), (ALL, slice(1, None))),
    _getitem(("f64[4,5]",), [0, -1, 0]),
    _getitem(("f64[4,5]",), (ALL, np.array([[1, 2], [0, 0]]))),
    _getitem(("f64[4,5]",), (slice(None, None, -1), np.array([3, 1], np.int32))),
    _getitem(("f64[2,3,4]",), (0, [1, 1])),
    _getitem(("f64[2,3,4]",), (0, ALL, [1, 1, 3])),
    _getitem(("f64[2,3,4,2]",), (ALL, 0, slice(1, None), [[1, 0]])),
    _getitem(("f64[2,3,4]",), (0, None, [1, 1])),
    _getitem(("f64[4,5]",), []),
    _getitem(("f32[4,5]",), (slice(1, 3), -1)),
    _getitem(("i32[4,5]",), (slice(1, 3), -1), gradient=False),
    _getitem(("i64[4]",), slice(None, None, -1), gradient=False),
    _getitem(("bool[4]",), slice(1, None), gradient=False),
    linear("x[indices]", ops.getitem, ("f64[4,5]", "i64[3]"), lambda x, i: x[i], ("normal", "index:4")),
    linear("x[index]", ops.getitem, ("f64[4,5]", "i32[]"), lambda x, i: x[i], ("normal", "index:4")),
    linear(
        "x[..., indices]",
        lambda x, i: x[..., i],
        ("f64[2,3,5]", "i64[2,2]"),
        lambda x, i: x[..., i],
        ("normal", "index:5"),
    ),
    Case("slice of squares", lambda x: (x * x)[1:, ::-2], ("f64[3,5]",), lambda x: (x * x)[1:, ::-2]),
    Case(
        "neighbours' products",
        lambda x: x[1:] * x[:-1],
        ("f64[5]",),
        lambda x: x[1:] * x[:-1],
    ),
    _pad(("f64[3]",), 2),
    _pad(("f64[3]",), (1, 0), value=1.5),
    _pad(("f64[2,3]",), [(1, 2), (0, 3)], value=-2.0),
    _pad(("f64[0,2]",), [(1, 1), (0, 1)], value=3.0),
    _pad(("f64[1,2,1,3]",), [(0, 0), (1, 1), (1, 1), (0, 0)]),
    _pad(("f64[2,3]",), 0),
    _pad(("f32[3]",), 1, value=float("-inf")),
    _pad(("i32[3]",), 1, value=7, gradient=False),
    _pad(("i64[3]",), 1, value=-1, gradient=False),
    _pad(("bool[3]",), 1, value=True, gradient=False),
    linear(
        "pad with a tensor",
        lambda x, v: ops.pad(x, (1, 2), v),
        ("f64[2,3]", "f64[]"),
        lambda x, v: np.pad(x, (1, 2), constant_values=v),
    ),
    Case(
        "pad of squares",
        lambda x: ops.pad(x * x, 1, 1.0),
        ("f64[3]",),
        lambda x: np.pad(x * x, 1, constant_values=1),
    ),
    *(
        _pad(types, widths, mode)
        for mode in ("edge", "reflect", "symmetric", "wrap")
        for types, widths in ((("f64[4]",), (2, 3)), (("f64[3,5]",), [(1, 2), (4, 0)]), (("f64[2,3]",), 0))
    ),
    _pad(("i32[3]",), 2, "reflect", gradient=False),
    _flip(("f64[3]",)),
    _flip(("f64[2,3,4]",)),
    _flip(("f64[2,3,4]",), 1),
    _flip(("f64[2,3,4,2]",), (0, -1)),
    _flip(("f64[]",)),
    _flip(("f64[0,3]",)),
    _flip(("f64[1]",)),
    _flip(("f32[3]",)),
    _flip(("i32[3]",), gradient=False),
    _flip(("bool[3]",), gradient=False),
    _roll(("f64[5]",), 2),
    _roll(("f64[5]",), -7, named=False),
    _roll(("f64[2,3]",), 1),
    _roll(("f64[2,3]",), 1, 1),
    _roll(("f64[2,3,4]",), (1, -2), (0, 2)),
    _roll(("f64[2,3]",), 1, (0, 1)),
    _roll(("f64[2,3]",), 3, 1),
    _roll(("f64[0,3]",), 2, 0, named=False),
    _roll(("f64[0,3]",), 2, named=False),
    _roll(("f64[]",), 1),
]
