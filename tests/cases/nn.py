"""Cases of softmax and layer normalisation."""

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
