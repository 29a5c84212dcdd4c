"""Cases of symgraph.ops.convolution: strides, padding, dilation and groups in both layouts."""

from functools import partial

import numpy as np

from symgraph import ops
from tests.cases import Case


def _around(padding, sizes, window, strides, dilation):
    """The widths by the definition of "same": as many windows as size / stride, rounded up; the odd one behind."""
    if padding == "same":
        reach = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
        total = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(sizes, strides, reach, strict=True)]
        return [(t // 2, t - t // 2) for t in total]
    return np.broadcast_to(
        {"valid": 0}.get(padding, padding) if isinstance(padding, str) else padding, (2, 2)
    )


def convolved(x, kernel, strides=1, padding="valid", dilation=1, groups=1, layout="NHWC"):
    """conv2d by its definition, pixel by pixel."""
    strides, dilation = np.broadcast_to(strides, 2), np.broadcast_to(dilation, 2)
    x = x if layout == "NHWC" else x.transpose(0, 2, 3, 1)
    around = _around(padding, x.shape[1:3], kernel.shape[:2], strides, dilation)
    x = np.pad(x, ((0, 0), *map(tuple, around), (0, 0)))
    spread = [(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation, strict=False)]
    high, wide = ((n - r) // s + 1 for n, r, s in zip(x.shape[1:3], spread, strides, strict=True))
    out = np.zeros((len(x), high, wide, kernel.shape[3]), x.dtype)
    each, made = kernel.shape[2], kernel.shape[3] // groups
    for i in range(high):
        for j in range(wide):
            top, left = i * strides[0], j * strides[1]
            part = x[:, top : top + spread[0] : dilation[0], left : left + spread[1] : dilation[1]]
            for g in range(groups):
                one, filters = part[..., g * each : (g + 1) * each], slice(g * made, (g + 1) * made)
                out[:, i, j, filters] = np.tensordot(one, kernel[..., filters], ((1, 2, 3), (0, 1, 2)))
    return out if layout == "NHWC" else out.transpose(0, 3, 1, 2)


def _conv(x, kernel, **options):
    types = options.pop("types", None) or (x, kernel)
    known = {name: options.pop(name) for name in ("named", "gradient", "smooth") if name in options}
    shown = ", ".join(f"{name}={value}" for name, value in options.items())
    return Case(
        f"conv2d {shown}".strip(),
        partial(_function, **options),
        types,
        partial(convolved, **options),
        **known,
    )


def _function(x, kernel, **options):
    return ops.conv2d(x, kernel, **options)


def _transposed(x, kernel, strides, padding):
    """conv2d_transpose by its definition: every pixel adds the kernel to the result."""
    n, high, wide, _ = x.shape
    k, m, out, _ = kernel.shape
    grown = np.zeros((n, (high - 1) * strides + k, (wide - 1) * strides + m, out), x.dtype)
    for i in range(high):
        for j in range(wide):
            part = np.tensordot(x[:, i, j], kernel, ((1,), (3,)))
            grown[:, i * strides : i * strides + k, j * strides : j * strides + m] += part
    if padding == "valid":
        return grown
    low = [max(0, reach - strides) // 2 for reach in (k, m)]
    return grown[:, low[0] : low[0] + high * strides, low[1] : low[1] + wide * strides]


CASES = [
    _conv("f64[2,5,4,3]", "f64[3,2,3,4]"),
    _conv("f64[2,3,5,4]", "f64[3,2,3,4]", layout="NCHW"),
    _conv("f64[2,5,4,1]", "f64[1,1,1,2]"),
    _conv("f64[1,3,4,2]", "f64[3,4,2,1]"),
    _conv("f64[2,6,7,2]", "f64[3,3,2,3]", strides=2),
    _conv("f64[2,2,6,7]", "f64[3,3,2,3]", strides=(1, 2), layout="NCHW"),
    _conv("f64[2,5,6,2]", "f64[3,3,2,3]", padding="same"),
    _conv("f64[2,5,6,2]", "f64[2,4,2,3]", padding="same"),
    _conv("f64[2,7,6,1]", "f64[3,2,1,2]", padding="same", strides=(2, 3)),
    _conv("f64[2,2,7,5]", "f64[3,2,2,2]", padding="same", strides=2, layout="NCHW"),
    _conv("f64[1,4,4,2]", "f64[3,3,2,2]", padding=1),
    _conv("f64[1,4,5,2]", "f64[2,3,2,2]", padding=((2, 0), (1, 3))),
    _conv("f64[1,7,8,2]", "f64[3,2,2,2]", dilation=(2, 3)),
    _conv("f64[1,2,7,8]", "f64[3,2,2,2]", dilation=2, padding="same", strides=2, layout="NCHW"),
    _conv("f64[2,4,4,4]", "f64[2,2,2,6]", groups=2),
    _conv("f64[2,4,4,4]", "f64[3,3,1,8]", groups=4, padding="same", strides=2),
    _conv("f64[2,4,4,5]", "f64[2,3,2,6]", groups=2, layout="NCHW", dilation=(1, 2)),
    _conv("f64[2,3,4,4]", "f64[3,3,1,3]", groups=3, layout="NCHW", padding="same"),
    _conv("f64[0,5,4,3]", "f64[3,2,3,4]"),
    _conv("f64[2,5,4,0]", "f64[3,2,0,4]", named=False),
    _conv("f32[2,9,20,3]", "f32[3,3,3,18]", padding="same"),
    _conv("f32[2,3,9,20]", "f32[3,3,3,7]", padding="same", layout="NCHW"),
    _conv("f32[3,12,12,6]", "f32[5,5,6,16]"),
    _conv("f32[2,19,19,1]", "f32[5,5,1,6]", padding="same"),
    _conv("f32[2,6,5,4]", "f32[3,3,2,6]", groups=2),
    _conv("f32[2,5,5,2]", "i32[2,2,2,3]", smooth=False),
    _conv("i32[1,4,4,1]", "i64[2,2,1,1]", smooth=False),
    Case(
        "conv2d_transpose same",
        lambda x, k: ops.conv2d_transpose(x, k, 2, "same"),
        ("f64[2,3,4,3]", "f64[4,3,2,3]"),
        partial(_transposed, strides=2, padding="same"),
    ),
    Case(
        "conv2d_transpose valid",
        lambda x, k: ops.conv2d_transpose(x, k, 3),
        ("f64[2,3,2,1]", "f64[2,4,2,1]"),
        partial(_transposed, strides=3, padding="valid"),
    ),
    Case(
        "conv2d_transpose of channels first",
        lambda x, k: ops.conv2d_transpose(x, k, padding="same", layout="NCHW"),
        ("f64[1,2,3,4]", "f64[3,3,3,2]"),
        lambda x, k: _transposed(x.transpose(0, 2, 3, 1), k, 1, "same").transpose(0, 3, 1, 2),
    ),
    Case(
        "relu of conv2d",
        lambda x, k, b: ops.relu(ops.conv2d(x, k, padding="same") + b),
        ("f64[2,5,5,2]", "f64[3,3,2,4]", "f64[4]"),
        lambda x, k, b: np.maximum(convolved(x, k, padding="same") + b, 0),
        smooth=False,
    ),
    Case(
        "tanh of conv2d",
        lambda x, k, b: ops.tanh(ops.conv2d(x, k, layout="NCHW") + ops.reshape(b, (3, 1, 1))),
        ("f64[2,2,5,6]", "f64[2,3,2,3]", "f64[3]"),
        lambda x, k, b: np.tanh(convolved(x, k, layout="NCHW") + b[:, None, None]),
    ),
]
