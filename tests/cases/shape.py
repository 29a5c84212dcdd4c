"""Cases of symgraph.ops.shape. These ops are linear: their second derivative is 0, unless of squares.

No name stands for the sizes where a cut lies outside the axis: there NumPy's result is cut to it.
"""

from functools import partial

import numpy as np

from symgraph import ops
from tests.cases import Case

linear = partial(Case, smooth=False, exact=True)


def _broadcast(types, shape, **options):
    return linear(
        f"broadcast_to {shape}",
        lambda x: ops.broadcast_to(x, shape),
        types,
        lambda x: np.broadcast_to(x, shape),
        **options,
    )


def _reshape(types, shape, **options):
    return linear(
        f"reshape {shape}", lambda x: ops.reshape(x, shape), types, lambda x: np.reshape(x, shape), **options
    )


def _expand(types, axis):
    return linear(
        f"expand_dims {axis}", lambda x: ops.expand_dims(x, axis), types, lambda x: np.expand_dims(x, axis)
    )


def _squeeze(types, axis=None):
    return linear(f"squeeze {axis}", lambda x: ops.squeeze(x, axis), types, lambda x: np.squeeze(x, axis))


def _transpose(types, axes=None, **options):
    return linear(
        f"transpose {axes}",
        lambda x: ops.transpose(x, axes),
        types,
        lambda x: np.transpose(x, axes),
        **options,
    )


def _concatenate(types, axis=0, **options):
    return linear(
        f"concatenate {axis}",
        lambda *xs: ops.concatenate(xs, axis),
        types,
        lambda *xs: np.concatenate(xs, axis),
        **options,
    )


def _stack(types, axis=0, **options):
    return linear(
        f"stack {axis}", lambda *xs: ops.stack(xs, axis), types, lambda *xs: np.stack(xs, axis), **options
    )


def _tile(types, repeats, **options):
    return linear(
        f"tile {repeats}", lambda x: ops.tile(x, repeats), types, lambda x: np.tile(x, repeats), **options
    )


def _repeat(types, repeats, axis=None):
    return linear(
        f"repeat {repeats} {axis}",
        lambda x: ops.repeat(x, repeats, axis),
        types,
        lambda x: np.repeat(x, repeats, axis),
    )


def _split(types, parts, axis, which, **options):
    return linear(
        f"split {parts} {axis} part {which}",
        lambda x: ops.split(x, parts, axis)[which],
        types,
        lambda x: np.split(x, parts, axis)[which],
        **options,
    )


CASES = [
    _broadcast(("f64[]",), (2, 3)),
    _broadcast(("f64[3]",), (2, 3)),
    _broadcast(("f64[2,1,3]",), (4, 2, 5, 3)),
    _broadcast(("f64[1,1]",), (2, 0)),
    _broadcast(("f64[2,1]",), (2, 1)),
    _broadcast(("f32[1]",), (4,)),
    _broadcast(("i32[3]",), (2, 3), gradient=False),
    _broadcast(("i64[1]",), (3,), gradient=False),
    _broadcast(("bool[2,1]",), (2, 2), gradient=False),
    Case(
        "broadcast_to the shape of another",
        lambda x, y: ops.broadcast_to(x, y.shape) * y,
        ("f64[3]", "f64[2,3]"),
        lambda x, y: x * y,
    ),
    Case(
        "broadcast_to more columns",
        lambda x: ops.broadcast_to(x * x, (x.shape[0], 4)),
        ("f64[3,1]",),
        lambda x: np.broadcast_to(x * x, (3, 4)),
    ),
    _reshape(("f64[2,3,4]",), (4, 6)),
    _reshape(("f64[2,3,4,5]",), (-1, 10)),
    _reshape(("f64[]",), (1, 1)),
    _reshape(("f64[1,1]",), ()),
    _reshape(("f64[0,3]",), (-1, 3)),
    _reshape(("f64[0,3]",), (5, 0, 2)),
    _reshape(("f32[6]",), (2, -1)),
    _reshape(("i32[6]",), (3, 2), gradient=False),
    _reshape(("i64[6]",), (1, 6), gradient=False),
    _reshape(("bool[4]",), (2, 2), gradient=False),
    linear("flatten", ops.flatten, ("f64[2,3,4]",), np.ravel),
    linear("flatten from 1", lambda x: ops.flatten(x, 1), ("f64[2,3,4]",), lambda x: x.reshape(len(x), -1)),
    linear("flatten", ops.flatten, ("f64[]",), np.ravel),
    linear("flatten from -2", lambda x: ops.flatten(x, -2), ("f64[2,0,4]",), lambda x: x.reshape(2, 0)),
    _expand(("f64[2,3]",), 0),
    _expand(("f64[2,3]",), -1),
    _expand(("f64[2,3]",), (0, 2)),
    _expand(("f64[]",), 0),
    _squeeze(("f64[1,3,1]",)),
    _squeeze(("f64[1,3,1]",), -1),
    _squeeze(("f64[1,0,1,2]",), (0, 2)),
    _transpose(("f64[2,3,4]",)),
    _transpose(("f64[2,3,4,5]",), (2, 0, 3, 1)),
    _transpose(("f64[2,3,4]",), (0, -1, 1)),
    _transpose(("f64[]",)),
    _transpose(("f64[3]",)),
    _transpose(("f64[0,3]",)),
    _transpose(("f32[2,3]",)),
    _transpose(("i32[2,3]",), gradient=False),
    _transpose(("i64[2,3]",), gradient=False),
    _transpose(("bool[2,3]",), gradient=False),
    linear("permute", lambda x: ops.permute(x, (1, 0)), ("f64[2,3]",), np.transpose),
    linear("swapaxes", lambda x: ops.swapaxes(x, 0, -1), ("f64[2,3,4]",), lambda x: np.swapaxes(x, 0, -1)),
    linear("moveaxis", lambda x: ops.moveaxis(x, -1, 1), ("f64[2,3,4,5]",), lambda x: np.moveaxis(x, -1, 1)),
    linear("moveaxis", lambda x: ops.moveaxis(x, 0, 2), ("f64[2,3,4]",), lambda x: np.moveaxis(x, 0, 2)),
    _concatenate(("f64[2,3]", "f64[1,3]", "f64[0,3]")),
    _concatenate(("f64[2,3]", "f64[2,2]"), -1),
    _concatenate(("f64[2,1,2,3]", "f64[2,4,2,3]"), 1),
    _concatenate(("f64[3]",)),
    _concatenate(("f64[0]", "f64[0]")),
    _concatenate(("f32[2]", "f32[3]")),
    _concatenate(("i32[2]", "i32[3]"), gradient=False),
    _concatenate(("i64[2]", "i64[3]"), gradient=False),
    _concatenate(("bool[2]", "bool[3]"), gradient=False),
    linear(
        "concatenate twice the same",
        lambda x, y: ops.concatenate([x, y, x]),
        ("f64[2]", "f64[3]"),
        lambda x, y: np.concatenate([x, y, x]),
    ),
    Case(
        "concatenate of squares",
        lambda x, y: ops.concatenate([x * x, x * y], 1),
        ("f64[2,3]", "f64[2,3]"),
        lambda x, y: np.concatenate([x * x, x * y], 1),
    ),
    _stack(("f64[]", "f64[]")),
    _stack(("f64[2,3]", "f64[2,3]"), -1),
    _stack(("f64[2,3]", "f64[2,3]"), 1),
    _stack(("f64[0]", "f64[0]"), 0),
    _stack(("i32[2]", "i32[2]"), 0, gradient=False),
    _tile(("f64[2,3]",), (2, 1)),
    _tile(("f64[2,3]",), 3),
    _tile(("f64[3]",), (2, 2)),
    _tile(("f64[2,3]",), (2, 0)),
    _tile(("f64[]",), (2,)),
    _tile(("f64[1,2,1,3]",), (2, 3)),
    _tile(("i64[2]",), 2, gradient=False),
    _repeat(("f64[2,3]",), 2),
    _repeat(("f64[2,3]",), 2, 0),
    _repeat(("f64[2,3,4]",), 3, -1),
    _repeat(("f64[3]",), 0, 0),
    _repeat(("f64[3]",), [2, 0, 1], 0),
    _repeat(("f64[]",), 3),
    _split(("f64[6,2]",), 3, 0, 1),
    _split(("f64[2,6]",), [1, 4], -1, 0),
    _split(("f64[2,6]",), [1, 4], -1, 2),
    _split(("f64[3]",), [2, 5], 0, 1, named=False),
    _split(("f64[3]",), [2, 1], 0, 1),
    _split(("f64[0,2]",), 2, 0, 0),
]
