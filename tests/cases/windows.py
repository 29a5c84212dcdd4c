"""Cases of symgraph.ops.windows: views of windows, and sums of what windows hold, along one axis and several."""

from functools import partial

import numpy as np

from symgraph import ops
from symgraph.ops.windows import OverlapAdd, windows
from tests.cases import Case

linear = partial(Case, smooth=False)


def _seen(x, axes, sizes, strides, dilations):
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        count = (x.shape[axis] - (size - 1) * dilation - 1) // stride + 1
        x = np.stack(
            [np.take(x, [i * stride + k * dilation for i in range(count)], axis) for k in range(size)], -1
        )
    return x


def _windows(type_, *slides, **more):
    return linear(
        f"windows {slides}",
        lambda x: windows(x, *slides),
        (type_,),
        lambda x: _seen(x, *slides),
        exact=True,
        **more,
    )


def _added(y, axes, sizes, strides, dilations):
    shape = list(y.shape[: y.ndim - len(axes)])
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    places = _seen(
        np.arange(int(np.prod(shape))).reshape(shape), axes, y.shape[-len(axes) :], strides, dilations
    )
    out = np.zeros(int(np.prod(shape)), y.dtype)
    np.add.at(out, places.ravel(), y.ravel())
    return out.reshape(shape)


def _overlap_add(type_, *slides, **more):
    return linear(
        f"overlap_add {slides}",
        lambda y: ops.apply(OverlapAdd(*slides), y),
        (type_,),
        lambda y: _added(y, *slides),
        **more,
    )


CASES = [
    _windows("f64[7]", (0,), (3,), (1,), (1,)),
    _windows("f64[3,8]", (1,), (2,), (3,), (2,)),
    _windows("f64[2,5,6,3]", (1, 2), (3, 2), (1, 2), (1, 2)),
    _windows("f64[2,5,6,3]", (2, 1), (2, 4), (1, 1), (1, 1)),
    _windows("f64[0,5]", (1,), (3,), (1,), (1,)),
    _windows("f32[2,4,20]", (1,), (2,), (2,), (1,)),
    _windows("i32[5]", (0,), (2,), (1,), (1,), gradient=False),
    _windows("bool[5]", (0,), (2,), (1,), (1,), gradient=False),
    Case(
        "windows of squares",
        lambda x: ops.sum(windows(x * x, (1,), (3,), (1,), (1,)), -1),
        ("f64[3,6]",),
        lambda x: _seen(x * x, (1,), (3,), (1,), (1,)).sum(-1),
    ),
    _overlap_add("f64[5,3]", (0,), (7,), (1,), (1,)),
    _overlap_add("f64[4,2]", (0,), (9,), (2,), (2,)),
    _overlap_add("f64[4,2]", (0,), (9,), (2,), (1,)),
    _overlap_add("f64[4,2]", (0,), (12,), (3,), (1,)),
    _overlap_add("f64[2,3,3,4,3,2]", (1, 2), (5, 6), (1, 2), (1, 1)),
    _overlap_add("f64[2,2,3,2,2,2]", (1, 2), (4, 6), (2, 2), (1, 1)),
    _overlap_add("f64[0,3,3]", (1,), (5,), (1,), (1,)),
    _overlap_add("f32[2,18,6,6,3,3]", (2, 3), (8, 8), (1, 1), (1, 1)),
    _overlap_add("i32[5,3]", (0,), (7,), (1,), (1,), gradient=False),
    Case(
        "overlap_add squared",
        lambda y: ops.square(ops.apply(OverlapAdd((0,), (7,), (1,), (1,)), y)),
        ("f64[5,3]",),
        lambda y: _added(y, (0,), (7,), (1,), (1,)) ** 2,
    ),
]
