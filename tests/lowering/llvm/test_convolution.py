"""The kernels of convolution and pooling: every way that blocks, lanes and pieces can lie, on every vector width."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.compile import compile
from symgraph.lowering.llvm import program
from symgraph.lowering.llvm.planner import Planner
from symgraph.lowering.llvm.target import host
from symgraph.ops.shape import Transpose
from symgraph.transforms.channels_last import channels_last_pass
from symgraph.transforms.pipeline import optimise
from tests.lowering.llvm.lanes import targets

RNG = np.random.default_rng(3)


def _no_call_back(planner, node, operands):
    raise AssertionError(f"{node.op.name} is called back")


def native(graph, monkeypatch, target=None, threads=1):
    monkeypatch.setattr(program, "host", lambda: target or host())
    monkeypatch.setattr(Planner, "call_back", _no_call_back)
    return compile(graph, backend="llvm", threads=threads)


def values(graph):
    return {
        name: RNG.normal(size=node.type.shape).astype(node.type.dtype)
        for name, node in graph.placeholders.items()
    }


def with_gradients(x_shape, kernel_shape, dtype="float32", activation=sg.relu, **options):
    """A layer and its two gradients."""
    x, k = sg.placeholder("x", x_shape, dtype), sg.placeholder("k", kernel_shape, dtype)
    b = sg.placeholder("b", kernel_shape[-1:], dtype)
    y = sg.conv2d(x, k, **options)
    shape = (kernel_shape[-1], 1, 1) if options.get("layout") == "NCHW" else kernel_shape[-1:]
    out = activation(y + sg.reshape(b, shape))
    return sg.gradient(sg.define(out=out, s=sg.sum(out * out)), "s", ("x", "k", "b"))


def assert_agree(graph, feeds, executable):
    wanted = compile(graph, backend="interpreter", passes=())(feeds)
    for name, got in executable(feeds).items():
        limit = 3e-5 if got.dtype == np.float32 else 1e-12
        scale = max(1.0, float(np.abs(wanted[name]).max(initial=0)))
        np.testing.assert_allclose(got, wanted[name], rtol=limit, atol=limit * scale, err_msg=name)


LAYERS = {
    "few channels": ((9, 12, 13, 1), (5, 5, 1, 6), {"padding": "same"}),
    "full vectors": ((9, 14, 14, 6), (5, 5, 6, 16), {}),
    "many channels": ((2, 9, 9, 20), (3, 3, 20, 70), {"padding": 1}),
    "panels": ((3, 7, 30, 5), (2, 3, 5, 150), {}),
    "rows that fill no block": ((2, 5, 37, 3), (3, 3, 3, 8), {}),
    "small images": ((17, 5, 5, 16), (3, 3, 16, 24), {}),
    "one pixel": ((8, 3, 3, 4), (3, 3, 4, 5), {}),
    "one by one": ((3, 6, 5, 20), (1, 1, 20, 33), {}),
    "steps": ((9, 11, 12, 3), (3, 2, 3, 17), {"strides": (2, 3), "padding": ((1, 2), (0, 1))}),
    "steps over all": ((2, 8, 8, 3), (2, 2, 3, 16), {"strides": 2}),
    "steps that leave pixels out": ((2, 9, 10, 3), (2, 2, 3, 4), {"strides": 4}),
    "dilated": ((3, 12, 11, 4), (3, 3, 4, 9), {"dilation": (2, 3)}),
    "dilated in steps": ((3, 14, 13, 18), (3, 3, 18, 4), {"dilation": 2, "strides": 2, "padding": "same"}),
    "more padding than window": ((2, 4, 5, 18), (2, 2, 18, 3), {"padding": ((3, 0), (2, 4))}),
    "groups": ((4, 8, 9, 6), (3, 3, 2, 12), {"groups": 3, "padding": "same"}),
    "each channel apart": ((4, 9, 9, 20), (3, 3, 1, 20), {"groups": 20, "padding": "same"}),
    "each channel apart, in steps": ((2, 9, 8, 5), (3, 2, 1, 5), {"groups": 5, "strides": 2, "dilation": 2}),
    "two from each channel": ((2, 6, 6, 3), (3, 3, 1, 6), {"groups": 3}),
    "groups, with windows in the padding alone": (
        (2, 4, 1, 6),
        (1, 1, 2, 3),
        {"groups": 3, "strides": (1, 2), "padding": ((0, 0), (3, 0))},
    ),
    "channels first": ((2, 3, 9, 8), (3, 3, 3, 18), {"layout": "NCHW", "padding": "same"}),
    "channels first in groups": ((2, 4, 9, 8), (3, 3, 2, 6), {"layout": "NCHW", "groups": 2, "strides": 2}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype, monkeypatch):
    x, kernel, options = LAYERS[name]
    graph = with_gradients(x, kernel, dtype, **options)
    assert_agree(graph, values(graph), native(graph, monkeypatch))


def any_layer(rng):
    """The arguments of `with_gradients`: groups, strides, dilation and padding as they come."""
    groups, each = int(rng.choice([1, 1, 1, 2, 3])), int(rng.choice([1, 2, 3, 5, 16]))
    window, strides, dilation = (tuple(map(int, rng.integers(1, most, 2))) for most in (5, 5, 4))
    padding = tuple(tuple(map(int, pair)) for pair in rng.integers(0, 4, (2, 2)))
    least = [(k - 1) * d + 1 - sum(p) for k, d, p in zip(window, dilation, padding, strict=True)]
    size = [max(1, low, int(n)) for low, n in zip(least, rng.integers(1, 9, 2), strict=True)]
    images = (int(rng.integers(1, 4)), *size, groups * each)
    kernel = (*window, each, groups * int(rng.choice([1, 2, 3, 4, 9, 17, 33])))
    return images, kernel, {"strides": strides, "dilation": dilation, "padding": padding, "groups": groups}


@pytest.mark.parametrize(
    "seed", [pytest.param(k, marks=() if k < 12 else pytest.mark.heavy) for k in range(200)]
)
def test_any_layer(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    images, kernel, options = any_layer(rng)
    if rng.random() < 0.5:
        images, options["layout"] = tuple(images[axis] for axis in (0, 3, 1, 2)), "NCHW"
    graph = with_gradients(images, kernel, str(rng.choice(["float32", "float64"])), **options)
    assert_agree(graph, values(graph), native(graph, monkeypatch))


@pytest.mark.parametrize("target", targets(), ids=lambda t: str(8 * t.width))
@pytest.mark.parametrize("name", ["few channels", "panels", "steps", "groups", "each channel apart"])
def test_narrower_vectors(name, target, monkeypatch):
    x, kernel, options = LAYERS[name]
    graph = with_gradients(x, kernel, **options)
    assert_agree(graph, values(graph), native(graph, monkeypatch, target))


def test_a_long_epilogue_is_a_loop(monkeypatch):
    graph = with_gradients((3, 9, 20, 4), (3, 3, 4, 16), activation=lambda z: sg.tanh(z) * sg.sigmoid(z))
    assert_agree(graph, values(graph), native(graph, monkeypatch))


@pytest.mark.parametrize("name", ["few channels", "small images", "steps", "channels first"])
def test_feeds_of_any_strides(name, monkeypatch):
    x, kernel, options = LAYERS[name]
    graph = with_gradients(x, kernel, **options)
    feeds = {key: np.asfortranarray(value) for key, value in values(graph).items()}
    assert_agree(graph, feeds, native(graph, monkeypatch))
    flipped = {key: np.ascontiguousarray(value[..., ::-1])[..., ::-1] for key, value in feeds.items()}
    assert_agree(graph, flipped, native(graph, monkeypatch))


def test_bits_do_not_hang_on_threads(monkeypatch):
    x = sg.placeholder("x", (40, 16, 16, 3))
    k, m = sg.placeholder("k", (5, 5, 3, 6)), sg.placeholder("m", (3, 3, 6, 16))
    h = sg.max_pool2d(sg.relu(sg.conv2d(x, k, padding="same")), 2)
    out = sg.avg_pool2d(sg.relu(sg.conv2d(h, m)), 3, 1)
    graph = sg.gradient(sg.define(out=out, s=sg.mean(out * out)), "s", ("x", "k", "m"))
    feeds = values(graph)
    one, two = (native(graph, monkeypatch, threads=n) for n in (1, 2))
    assert_agree(graph, feeds, one)
    first = one(feeds)
    for _ in range(3):
        for name, got in two(feeds).items():
            np.testing.assert_array_equal(got, first[name], name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "window", "options"),
    [
        ((3, 8, 10, 6), 2, {}),
        ((3, 9, 11, 20), 2, {}),
        ((2, 9, 11, 5), 3, {"strides": 2, "padding": "same"}),
        ((2, 6, 6, 3), (2, 4), {"strides": (3, 1)}),
        ((2, 6, 7, 3), 5, {"strides": 1, "padding": 2}),
        ((2, 8, 8, 3), 4, {}),
        ((2, 11, 12, 3), (11, 12), {}),
        ((2, 10, 10, 3), 9, {"strides": 1}),
        ((2, 3, 8, 8), 2, {"layout": "NCHW"}),
    ],
)
def test_pooling(shape, window, options, dtype, monkeypatch):
    x = sg.placeholder("x", shape, dtype)
    y = sg.max_pool2d(x, window, **options)
    graph = sg.gradient(sg.define(y=y, s=sg.sum(y * y)), "s", "x")
    feeds = {"x": RNG.integers(-3, 4, shape).astype(dtype)}  # many are equal
    assert_agree(graph, feeds, native(graph, monkeypatch))


def test_integers_are_pooled(monkeypatch):
    x = sg.placeholder("x", (2, 7, 7, 3), "int64")
    graph = sg.define(y=sg.max_pool2d(x, 3, 2, "same"))
    assert_agree(graph, {"x": RNG.integers(-9, 9, (2, 7, 7, 3))}, native(graph, monkeypatch))


def test_a_network_with_channels_first_is_transposed_at_its_ends():
    x, y = sg.placeholder("x", (4, 1, 12, 12)), sg.placeholder("y", (4,), "int64")
    k1, k2 = sg.variable("k1", (3, 3, 1, 6)), sg.variable("k2", (3, 3, 6, 8))
    b1, b2 = sg.variable("b1", (6, 1, 1)), sg.variable("b2", (8, 1, 1))
    h = sg.max_pool2d(sg.relu(sg.conv2d(x, k1, padding=1, layout="NCHW") + b1), 2, layout="NCHW")
    h = sg.max_pool2d(sg.relu(sg.conv2d(h, k2, padding=1, layout="NCHW") + b2), 2, layout="NCHW")
    z = sg.reshape(h, (4, 72)) @ sg.variable("w", (72, 10))
    graph = sg.train.minimize(
        sg.define(loss=sg.mean(sg.softmax_cross_entropy(z, y))), "loss", sg.train.sgd(0.1)
    )
    made = optimise(optimise(graph).graph, passes=(channels_last_pass(),)).graph
    assert all(getattr(node.op, "layout", "NHWC") == "NHWC" for node in made.nodes)
    turned = [
        n for n in made.nodes if isinstance(n.op, Transpose) and len(n.op.axes) == 4 and n.type.size > 1000
    ]
    assert len(turned) <= 2  # into the dense layer, and its gradient back


def test_bitwise_is_the_interpreter():
    graph = with_gradients((2, 6, 6, 3), (3, 3, 3, 4), padding="same")
    feeds = values(graph)
    wanted = compile(graph, backend="interpreter", numerics="bitwise")(feeds)
    for name, got in compile(graph, backend="llvm", numerics="bitwise")(feeds).items():
        np.testing.assert_array_equal(got, wanted[name], name)
