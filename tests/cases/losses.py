"""Cases of losses."""

import numpy as np

from symgraph import ops
from tests.cases import Case
from tests.cases.nn import softmax


def _sigmoid_cross_entropy(z, y):
    p, y = 1 / (1 + np.exp(-z.astype(np.float64))), y.astype(np.float64)
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def _softmax_cross_entropy(z, y, axis=-1):
    return -np.sum(y * np.log(softmax(z, axis)), axis=axis)


def _index_cross_entropy(z, y, axis=-1):
    chosen = np.take_along_axis(np.log(softmax(z, axis)), np.expand_dims(y, axis), axis)
    return -chosen.squeeze(axis)


def _huber(p, t, delta=1.0):
    d = np.abs(p - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


CASES = [
    Case(
        "sigmoid_cross_entropy",
        ops.sigmoid_cross_entropy,
        types,
        _sigmoid_cross_entropy,
        gradient=types[0].startswith("f64"),
    )
    for types in (
        ("f64[3,4]", "f64[3,4]"),
        ("f64[3,4]", "f64[4]"),
        ("f64[4]", "f64[3,1,4]"),
        ("f64[3,1]", "f64[3,4]"),
        ("f64[2,3,2,2]", "f64[]"),
        ("f64[]", "f64[]"),
        ("f64[0]", "f64[0]"),
        ("f32[5]", "f32[5]"),
        ("f32[5]", "bool[5]"),
    )
]

CASES += [
    Case(
        f"softmax_cross_entropy{options}",
        lambda z, y, o=options: ops.softmax_cross_entropy(z, y, **o),
        types,
        lambda z, y, o=options: _softmax_cross_entropy(z, y, **o),
        gradient=types[0].startswith("f64"),
    )
    for types, options in (
        (("f64[3,4]", "f64[3,4]"), {}),
        (("f64[3,4]", "f64[3,4]"), {"axis": 0}),
        (("f64[2,3,4]", "f64[4]"), {}),
        (("f64[4]", "f64[4]"), {}),
        (("f64[2,3,2,2]", "f64[2,3,2,2]"), {"axis": 1}),
        (("f64[0,4]", "f64[0,4]"), {}),
        (("f32[5,10]", "f32[5,10]"), {}),
        (("f32[5,3]", "bool[5,3]"), {}),
    )
]

CASES += [
    Case(
        f"softmax_cross_entropy of indices{options}",
        lambda z, y, o=options: ops.softmax_cross_entropy(z, y, **o),
        types,
        lambda z, y, o=options: _index_cross_entropy(z, y, **o),
        domain=("normal", "index:3"),
        gradient=types[0].startswith("f64"),
    )
    for types, options in (
        (("f64[4,3]", "i64[4]"), {}),
        (("f64[3,4]", "i32[4]"), {"axis": 0}),
        (("f64[3]", "i32[]"), {}),
        (("f64[2,3,2,2]", "i64[2,2,2]"), {"axis": 1}),
        (("f64[0,3]", "i64[0]"), {}),
        (("f32[5,10]", "i32[5]"), {}),
    )
]

CASES += [
    Case(name, function, types, reference, smooth=smooth, gradient=types[0].startswith("f64"))
    for name, function, reference, smooth in (
        ("squared_error", ops.squared_error, lambda p, t: (p - t) ** 2, True),
        ("absolute_error", ops.absolute_error, lambda p, t: np.abs(p - t), False),
        ("hinge_loss", ops.hinge_loss, lambda s, y: np.maximum(0, 1 - y * s), False),
        ("huber_loss", ops.huber_loss, _huber, False),
        (
            "huber_loss delta",
            lambda p, t: ops.huber_loss(p, t, delta=0.5),
            lambda p, t: _huber(p, t, 0.5),
            False,
        ),
    )
    for types in (
        ("f64[3,4]", "f64[3,4]"),
        ("f64[2,1]", "f64[2,3]"),
        ("f32[4]", "f32[]"),
        ("i32[3]", "i32[3]"),
    )
]
