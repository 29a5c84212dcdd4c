"""Cases of symgraph.ops.pooling: windows side by side, overlapping and apart, with and without padding."""

from functools import partial

import numpy as np

from symgraph import ops
from tests.cases import Case
from tests.cases.convolution import _around


def pooled(x, window, strides=None, padding="valid", layout="NHWC", reduce=np.max):
    """Pooling by its definition, pixel by pixel: of what lies within the images alone."""
    window = np.broadcast_to(window, 2)
    strides = window if strides is None else np.broadcast_to(strides, 2)
    x = x if layout == "NHWC" else x.transpose(0, 2, 3, 1)
    around = _around(padding, x.shape[1:3], window, strides, (1, 1))
    sizes = zip(x.shape[1:3], around, window, strides, strict=True)
    high, wide = ((n + low + more - k) // s + 1 for n, (low, more), k, s in sizes)
    out = np.zeros((len(x), high, wide, x.shape[3]), x.dtype)
    for i in range(high):
        for j in range(wide):
            top, left = (p * s - low for p, s, (low, _) in zip((i, j), strides, around, strict=True))
            part = x[:, max(top, 0) : top + window[0], max(left, 0) : left + window[1]]
            out[:, i, j] = reduce(part, axis=(1, 2)) if len(x) else 0
    return out if layout == "NHWC" else out.transpose(0, 3, 1, 2)


def _max(type_, window, known=(), **options):
    return Case(
        f"max_pool2d {window} {options}",
        lambda x: ops.max_pool2d(x, window, **options),
        (type_,),
        partial(pooled, window=window, **options),
        smooth=False,
        exact=True,
        **dict(known),
    )


def _avg(type_, window, **options):
    def reference(x):
        return pooled(x if x.dtype.kind == "f" else x.astype("f"), window, **options, reduce=np.mean)

    return Case(
        f"avg_pool2d {window} {options}", lambda x: ops.avg_pool2d(x, window, **options), (type_,), reference
    )


whole = {"gradient": False, "domain": "small_int"}

CASES = [
    _max("f64[2,4,6,3]", 2),
    _max("f64[2,3,4,6]", 2, layout="NCHW"),
    _max("f64[2,5,7,3]", 2),
    _max("f64[2,5,7,3]", (2, 3), strides=(1, 2)),
    _max("f64[2,6,5,2]", 3, strides=2, padding="same"),
    _max("f64[2,2,6,5]", 3, strides=1, padding="same", layout="NCHW"),
    _max("f64[2,5,5,2]", 2, padding=1),
    _max("f64[2,6,7,1]", 2, strides=3),
    _max("f64[2,3,3,2]", 3),
    _max("f64[1,3,3,2]", 1),
    _max("f64[0,4,4,2]", 2),
    _max("f32[3,8,8,20]", 2),
    _max("f32[3,6,8,34]", 2, layout="NCHW"),
    _max("f32[2,9,9,6]", 3, strides=2),
    _max("i32[2,5,4,3]", 2, whole),
    _max("i64[2,5,4,3]", 3, whole, strides=2, padding="same"),
    _avg("f64[2,4,6,3]", 2),
    _avg("f64[2,3,4,6]", 2, layout="NCHW"),
    _avg("f64[2,5,7,3]", (3, 2), strides=(2, 1)),
    _avg("f64[2,6,5,2]", 3, strides=2, padding="same"),
    _avg("f64[2,2,6,5]", 3, padding=((1, 0), (0, 2)), layout="NCHW"),
    _avg("f64[0,4,4,2]", 2),
    _avg("f32[3,6,6,18]", 2),
    _avg("i32[2,4,4,3]", 2),
    Case(
        "max_pool2d of relu",
        lambda x: ops.max_pool2d(ops.relu(x), 2),
        ("f64[2,4,4,3]",),
        lambda x: pooled(np.maximum(x, 0), 2),
        smooth=False,
    ),
]
