"""Cases of softmax, layer and batch normalisation."""

import numpy as np

from symgraph import ops
from tests.cases import Case


def softmax(x, axis=-1):
    e = np.exp(x.astype(np.float64))
    return e / e.sum(axis=axis, keepdims=True)


def normalised(x, axes=-1, epsilon=1e-5):
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)


CASES = [
    Case(
        f"{name}{options}",
        lambda x, f=function, o=options: f(x, **o),
        (type_,),
        lambda x, f=reference, o=options: f(x, **o),
        gradient=type_.startswith("f64"),
    )
    for name, function, reference in (
        ("softmax", ops.softmax, softmax),
        ("log_softmax", ops.log_softmax, lambda x, **o: np.log(softmax(x, **o))),
    )
    for type_, options in (
        ("f64[5]", {}),
        ("f64[3,4]", {}),
        ("f64[3,4]", {"axis": 0}),
        ("f64[2,3,4]", {"axis": (0, 2)}),
        ("f64[2,2,3,2]", {"axis": -2}),
        ("f64[2,3]", {"axis": None}),
        ("f64[0,3]", {}),
        ("f64[3,0]", {}),
        ("f64[2,1]", {}),
        ("f32[5,10]", {}),
        ("i32[2,3]", {}),
    )
]

CASES += [
    Case("layer_norm", ops.layer_norm, ("f64[3,4]",), normalised),
    Case(
        "layer_norm scale bias",
        ops.layer_norm,
        ("f64[2,3,4]", "f64[4]", "f64[4]"),
        lambda x, s, b: normalised(x) * s + b,
    ),
    Case(
        "layer_norm over two axes",
        lambda x, s: ops.layer_norm(x, s, axes=(1, 2), epsilon=0.1),
        ("f64[2,3,4]", "f64[3,4]"),
        lambda x, s: normalised(x, (1, 2), 0.1) * s,
    ),
    Case(
        "layer_norm over the first axis",
        lambda x, s, b: ops.layer_norm(x, s, b, axes=0),
        ("f64[3,4]", "f64[3]", "f64[]"),
        lambda x, s, b: normalised(x, 0) * s[:, None] + b,
    ),
    Case("layer_norm f32", ops.layer_norm, ("f32[5,16]",), normalised, gradient=False),
]


def by_feature(x, mean, variance, scale=1.0, bias=0.0, axis=-1, epsilon=1e-5):
    moved = np.moveaxis(x, axis, -1)
    made = (moved - mean) / np.sqrt(variance + epsilon) * scale + bias
    return np.moveaxis(made, -1, axis)


def batch_normalised(x, scale=1.0, bias=0.0, axis=-1, epsilon=1e-5):
    moved = np.moveaxis(x, axis, -1)
    over = tuple(range(x.ndim - 1))
    return by_feature(x, moved.mean(over), moved.var(over), scale, bias, axis, epsilon)


CASES += [
    Case(
        f"batch_norm{options}",
        lambda *xs, o=options: ops.batch_norm(*xs, **o).output,
        types,
        lambda *xs, o=options: batch_normalised(*xs, **o),
        gradient=types[0].startswith("f64"),
    )
    for types, options in (
        (("f64[5,3]",), {}),
        (("f64[5,3]", "f64[3]", "f64[3]"), {}),
        (("f64[5,3]", "f64[]", "f64[]"), {"epsilon": 0.1}),
        (("f64[2,3,4]", "f64[3]", "f64[3]"), {"axis": 1}),
        (("f64[3,2,2,2]", "f64[2]", "f64[2]"), {"axis": -1}),
        (("f64[3,4]", "f64[3]"), {"axis": 0}),
        (("f32[32,5]", "f32[5]", "f32[5]"), {}),
        (("i32[6,2]", "f32[2]"), {}),
    )
]

CASES += [
    Case(
        f"batch_norm {name}",
        lambda x, f=function: f(ops.batch_norm(x, axis=1)),
        (type_,),
        reference,
        gradient=type_.startswith("f64"),
    )
    for name, function, reference in (
        ("mean", lambda made: made.mean, lambda x: x.mean((0, 2))),
        ("variance", lambda made: made.variance, lambda x: x.var((0, 2))),
    )
    for type_ in ("f64[2,3,4]", "f32[7,2,3]")
]

CASES += [
    Case(
        f"normalise{options}",
        lambda *xs, o=options: ops.normalise(*xs, **o),
        types,
        lambda *xs, o=options: by_feature(*xs, **o),
        ("normal", "normal", "positive", *["normal"] * (len(types) - 3)),
        gradient=types[0].startswith("f64"),
    )
    for types, options in (
        (("f64[5,3]", "f64[3]", "f64[3]"), {}),
        (("f64[5,3]", "f64[3]", "f64[3]", "f64[3]", "f64[3]"), {}),
        (("f64[2,3,4]", "f64[3]", "f64[3]", "f64[3]", "f64[3]"), {"axis": 1, "epsilon": 0.1}),
        (("f64[5,3]", "f64[]", "f64[]", "f64[]"), {}),
        (("f64[0,3]", "f64[3]", "f64[3]"), {}),
        (("f32[32,5]", "f32[5]", "f32[5]", "f32[5]", "f32[5]"), {}),
    )
]
