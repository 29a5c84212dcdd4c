"""Convolution and pooling against JAX, of fixed and of named sizes; what is wrong is told in sentences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import symgraph as sg
from symgraph.errors import DTypeError, FeedError, GraphError, ShapeError
from symgraph.ops.convolution import Conv2d, Conv2dInput, Conv2dKernel
from tests import jax_oracle  # noqa: F401  turns on JAX's 64 bits
from tests.ops.running import gradient_of, run

RNG = np.random.default_rng(0)


def images(*shape, name="x", dtype="float64"):
    return sg.placeholder(name, shape, dtype)


def by_jax(x, kernel, strides, padding, dilation, groups, layout):
    pads = padding.upper() if isinstance(padding, str) else padding
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=(layout, "HWIO", layout),
        feature_group_count=groups,
    )


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("strides", "padding", "dilation", "groups"),
    [
        ((1, 1), "valid", (1, 1), 1),
        ((2, 3), "same", (1, 1), 1),
        ((2, 1), ((2, 1), (0, 3)), (2, 1), 2),
        ((3, 3), "valid", (1, 2), 4),
    ],
)
def test_values_and_gradients_are_those_of_jax(layout, strides, padding, dilation, groups):
    x, kernel = RNG.normal(size=(2, 9, 10, 4)), RNG.normal(size=(3, 2, 4 // groups, 8))
    x = x if layout == "NHWC" else x.transpose(0, 3, 1, 2)
    options = (strides, padding, dilation, groups, layout)
    wanted, pull = jax.vjp(lambda *operands: by_jax(*operands, *options), x, kernel)
    g = RNG.normal(size=wanted.shape)
    e, k = images(*x.shape), images(*kernel.shape, name="k")
    y = sg.conv2d(e, k, *options)
    graph = sg.gradient(sg.define(y=y, s=sg.sum(y * images(*g.shape, name="g"))), "s", ("x", "k"))
    found = sg.compile(graph, backend="interpreter")({"x": x, "k": kernel, "g": g})
    for got, expected in zip(
        (found["y"], found["d_s/d_x"], found["d_s/d_k"]), (wanted, *pull(g)), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


def test_second_derivatives_are_those_of_jax():
    x, kernel = RNG.normal(size=(2, 6, 5, 2)), RNG.normal(size=(3, 2, 2, 3))

    def loss(kernel, x):
        return jnp.sum(jnp.sin(by_jax(x, kernel, (2, 1), "same", (1, 1), 1, "NHWC")) ** 2)

    wanted = jax.grad(lambda k: jnp.sum(jnp.cos(jax.grad(loss, 1)(k, x))))(kernel)
    e, k = images(*x.shape), images(*kernel.shape, name="k")
    y = sg.sum(sg.sin(sg.conv2d(e, k, (2, 1), "same")) ** 2)
    (first,) = sg.autodiff.backward(y, [e])
    (second,) = sg.autodiff.backward(sg.sum(sg.cos(first)), [k])
    kinds = {type(node.op) for node in sg.define(second=second).nodes}
    assert kinds >= {Conv2d, Conv2dInput, Conv2dKernel}
    np.testing.assert_allclose(run(second, x=x, k=kernel), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(
    ("window", "strides", "padding"), [(2, None, "valid"), (3, 2, "same"), ((2, 3), 1, 1)]
)
def test_pooling_is_that_of_jax(layout, window, strides, padding):
    x = RNG.normal(size=(2, 7, 8, 3))
    x = x if layout == "NHWC" else x.transpose(0, 3, 1, 2)

    def spread(pair, unit):
        return (unit, *pair, unit) if layout == "NHWC" else (unit, unit, *pair)

    size = (window, window) if isinstance(window, int) else window
    steps = size if strides is None else (strides, strides)
    pads = padding.upper() if isinstance(padding, str) else spread([(padding, padding)] * 2, (0, 0))

    def reduced(x, start, join):
        return lax.reduce_window(x, start, join, spread(size, 1), spread(steps, 1), pads)

    wanted, pull = jax.vjp(lambda x: reduced(x, -np.inf, lax.max), x)
    got, weights = gradient_of(lambda e: sg.max_pool2d(e, window, strides, padding, layout), x)
    np.testing.assert_allclose(got, pull(jnp.asarray(weights))[0], rtol=1e-12)
    e = images(*x.shape)
    np.testing.assert_array_equal(run(sg.max_pool2d(e, window, strides, padding, layout), x=x), wanted)
    mean = reduced(x, 0.0, lax.add) / reduced(np.ones(x.shape), 0.0, lax.add)
    np.testing.assert_allclose(run(sg.avg_pool2d(e, window, strides, padding, layout), x=x), mean, rtol=1e-12)


def test_equal_elements_share_the_cotangent():
    x = np.array([[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0]])[None, :, :, None]
    g, _ = gradient_of(lambda e: sg.max_pool2d(e, 2), x)
    np.testing.assert_allclose(g[0, :, :, 0], [[1 / 3, 1 / 3, 0, 2 / 3], [1 / 3, 0, 2 / 3, 2 / 3]])


@pytest.mark.parametrize("backend", ["interpreter", "numpy", "llvm"])
def test_padding_never_wins(backend):
    """Not even against minus infinity: what stands in the images has the whole cotangent."""
    x = np.full((1, 3, 3, 1), -np.inf)
    x[0, 0, 0, 0] = -5.0
    e = images(*x.shape)
    y = sg.max_pool2d(e, 2, padding=1)
    graph = sg.gradient(sg.define(y=y, s=sg.sum(sg.where(y < 0, y, 0.0))), "s", "x")
    found = sg.compile(graph, backend=backend)({"x": x})
    np.testing.assert_array_equal(found["y"][0, :, :, 0], [[-5, -np.inf], [-np.inf, -np.inf]])
    np.testing.assert_allclose(
        found["d_s/d_x"][0, :, :, 0], [[1, 1 / 2, 1 / 2], [1 / 2, 1 / 4, 1 / 4], [1 / 2, 1 / 4, 1 / 4]]
    )


@pytest.mark.parametrize("backend", ["interpreter", "numpy", "llvm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_propagates(backend, dtype):
    x = np.arange(32, dtype=dtype).reshape(1, 4, 4, 2)
    x[0, 0, 1, 0] = x[0, 3, 3, 1] = np.nan
    e = images(*x.shape, dtype=dtype)
    found = sg.compile(sg.define(y=sg.max_pool2d(e, 2)), backend=backend)({"x": x})["y"]
    np.testing.assert_array_equal(np.isnan(found), [[[[1, 0], [0, 0]], [[0, 0], [0, 1]]]])


def test_integers():
    x = RNG.integers(-9, 9, (1, 5, 4, 2)).astype(np.int32)
    e = images(*x.shape, dtype="int32")
    assert sg.max_pool2d(e, 3, 2, "same").dtype == np.int32
    found = run(sg.max_pool2d(e, 3, 2, "same"), x=np.minimum(x, -1))
    assert found.max() < 0
    assert sg.conv2d(e, sg.constant(np.ones((2, 2, 2, 1), np.int64))).dtype == np.float32
    assert sg.avg_pool2d(e, 2).dtype == np.float32


def test_sizes_may_be_named():
    x = sg.placeholder("x", ("batch", "rows", "4*columns", 3))
    k = sg.variable("k", (3, 3, 3, 8))
    assert str(sg.conv2d(x, k).type) == "f32[batch,rows-2,4*columns-2,8]"
    assert str(sg.conv2d(x, k, padding="same").type) == "f32[batch,rows,4*columns,8]"
    assert str(sg.max_pool2d(x, (1, 2)).type) == "f32[batch,rows,2*columns,3]"
    y = sg.avg_pool2d(sg.relu(sg.conv2d(x, k, (1, 2), "same")), (1, 2))
    assert str(y.type) == "f32[batch,rows,columns,8]"
    graph = sg.gradient(sg.define(y=y, s=sg.sum(y * y)), "s", ("x", "k"))
    values, kernel = RNG.normal(size=(2, 5, 8, 3)).astype("f"), RNG.normal(size=(3, 3, 3, 8)).astype("f")
    found = {}
    for backend in ("interpreter", "numpy", "llvm"):
        with sg.Session(graph, backend=backend) as session:
            session.variables.assign({"k": kernel})
            found[backend] = session.run(["y", "d_s/d_x", "d_s/d_k"], {"x": values})
    for backend, index in itertools.product(("numpy", "llvm"), range(3)):
        wanted = found["interpreter"][index]
        np.testing.assert_allclose(found[backend][index], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    with pytest.raises(
        ShapeError, match="how much padding is 'same' for the size rows with the stride 2"
    ) as told:
        sg.conv2d(x, k, 2, "same")
    assert "'2*rows'" in str(told.value)


def test_text_reads_back():
    x, k = images("n", 8, 8, 2), sg.variable("k", (3, 3, 2, 4), "float64")
    y = sg.avg_pool2d(sg.max_pool2d(sg.conv2d(x, k, 2, "same"), 2, 1, 1), 2)
    graph = sg.gradient(sg.define(s=sg.sum(y * y)), "s", ("x", "k"))
    assert sg.from_text(sg.to_text(graph)) == graph


X, K = images(2, 6, 6, 4), sg.variable("kernel", (3, 3, 4, 8), "float64")
WRONG = {
    "rank of the images": (lambda: sg.conv2d(X[0], K), "images have 4 axes", "x[None]"),
    "rank of the kernel": (lambda: sg.conv2d(X, K[0]), "the kernel has 3 axes", "[height, width"),
    "channels": (
        lambda: sg.conv2d(images(2, 6, 6, 5), K),
        "the images have 5 channels, and the kernel takes 4",
        "declare it as [3,3,5,8]",
    ),
    "channels first": (lambda: sg.conv2d(X, K, layout="NCHW"), "the images have 6 channels", "declare it as"),
    "kernel the wrong way": (
        lambda: sg.conv2d(images(2, 6, 6, 8), K),
        "8 channels",
        "channels in stand before channels out",
    ),
    "groups": (lambda: sg.conv2d(X, K, groups=3), "4 channels do not divide into 3 groups", "divides"),
    "groups of results": (
        lambda: sg.conv2d(X, images(3, 3, 2, 5), groups=2),
        "5 channels do not divide into 2 groups",
        "divides",
    ),
    "no groups": (lambda: sg.conv2d(X, K, groups=0), "groups is an int from 1", ""),
    "window": (
        lambda: sg.conv2d(images(2, 2, 6, 4), K),
        "a window of 3 does not fit into 2",
        "padding='same'",
    ),
    "dilated window": (
        lambda: sg.conv2d(X, K, dilation=3),
        "a window of 3, spread over 7 by the dilation 3, does not fit into 6",
        "padding='same'",
    ),
    "stride of 0": (lambda: sg.conv2d(X, K, strides=0), "a stride is 1 or more, and 0 is not", ""),
    "three strides": (lambda: sg.conv2d(X, K, strides=(1, 1, 1)), "a stride is one int or a pair", "(2, 2)"),
    "half a dilation": (lambda: sg.conv2d(X, K, dilation=0.5), "a dilation is one int or a pair", "(2, 2)"),
    "negative padding": (lambda: sg.conv2d(X, K, padding=-1), "padding is not negative, and -1 is", "slice"),
    "padding by a name": (lambda: sg.conv2d(X, K, padding="full"), "there is no padding 'full'", "'valid'"),
    "padding of three": (lambda: sg.conv2d(X, K, padding=(1, 2, 3)), "there is no padding", "((top, bottom)"),
    "pool of no images": (lambda: sg.max_pool2d(X[0], 2), "max_pool2d: images have 4 axes", "x[None]"),
    "pool too large": (lambda: sg.max_pool2d(X, 7), "max_pool2d: a window of 7 does not fit into 6", ""),
    "mean too large": (lambda: sg.avg_pool2d(X, 7), "avg_pool2d: a window of 7 does not fit into 6", ""),
    "padding alone": (
        lambda: sg.max_pool2d(X, 2, padding=2),
        "a window of 2 with 2 around the images lies in the padding alone",
        "Pad by less than the window",
    ),
    "groups as an array": (lambda: sg.conv2d(X, K, groups=np.array([2])), "groups is an int from 1", ""),
    "a stride in rows": (
        lambda: sg.conv2d(X, K, strides=np.array([[1, 2]])),
        "a stride is one int or a pair (height, width), and array([[1, 2]]) is none",
        "Write 2 or (2, 2).",
    ),
    "a stride of arrays": (lambda: sg.conv2d(X, K, strides=[np.array([1]), 2]), "a stride is one int", ""),
    "no window": (lambda: sg.max_pool2d(X, 0), "a window is 1 or more, and 0 is not", ""),
    "a transpose cut to nothing": (
        lambda: sg.conv2d_transpose(X, sg.variable("kernel", (2, 2, 5, 4), "float64"), padding=4),
        "conv2d_input: the padding cuts more off the images than there is: -1 is left",
        "Pad by less",
    ),
    "channels of a transpose": (
        lambda: sg.conv2d_transpose(X, K),
        "conv2d_transpose: the images have 4 channels, and the kernel takes 8",
        "channels out, channels of the images",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name):
    make, message, hint = WRONG[name]
    with pytest.raises(ShapeError) as told:
        make()
    assert message in str(told.value)
    assert hint in str(told.value)
    assert "test_convolution.py" in str(told.value)


def test_the_line_of_the_kernel_is_told():
    with pytest.raises(ShapeError) as told:
        sg.conv2d(images(2, 6, 6, 5), K)
    assert "kernel  f64[3,3,4,8]  declared at" in str(told.value)


def test_a_named_size_may_be_too_small_to_cut():
    x, kernel = images("n", "rows", 4, 2), sg.variable("kernel", (2, 2, 5, 2), "float64")
    executable = sg.compile(sg.define(y=sg.conv2d_transpose(x, kernel, padding=2)), backend="interpreter")
    feeds = {"x": np.ones((1, 3, 4, 2)), "kernel": np.ones((2, 2, 5, 2))}
    assert executable(feeds)["y"].shape == (1, 0, 1, 5)
    with pytest.raises(FeedError, match="cuts more off the images than there is"):
        executable({**feeds, "x": np.ones((1, 2, 4, 2))})


def test_options_may_be_arrays():
    options = {"strides": np.array([1, 2]), "padding": np.array([[1, 0], [2, 1]]), "dilation": np.array(2)}
    plain = {"strides": (1, 2), "padding": ((1, 0), (2, 1)), "dilation": 2}
    assert sg.define(y=sg.conv2d(X, K, **options)) == sg.define(y=sg.conv2d(X, K, **plain))
    assert sg.conv2d(X, K, padding=np.uint8(1)).shape == sg.conv2d(X, K, padding=1).shape
    assert sg.max_pool2d(X, np.array(2)).op == sg.max_pool2d(X, 2).op


@pytest.mark.parametrize("backend", ["interpreter", "numpy", "llvm"])
def test_a_step_that_is_never_taken_may_have_any_length(backend):
    x, one = images(1, 5, 6, 2), images(1, 1, 2, 3, name="k")
    y = sg.conv2d(x, one, strides=2**70) + sg.sum(sg.max_pool2d(x, (5, 3), (2**62, 3)))
    graph = sg.gradient(sg.define(s=sg.sum(y) + sg.sum(sg.conv2d(x, one, dilation=2**70))), "s", "x")
    feeds = {"x": RNG.normal(size=x.shape), "k": RNG.normal(size=one.shape)}
    near = sg.conv2d(x, one, strides=6) + sg.sum(sg.max_pool2d(x, (5, 3), (1, 3)))
    wanted = sg.gradient(sg.define(s=sg.sum(near) + sg.sum(sg.conv2d(x, one))), "s", "x")
    found = sg.compile(graph, backend=backend)(feeds)
    for name, value in sg.compile(wanted, backend="interpreter")(feeds).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12)


def test_other_errors():
    with pytest.raises(GraphError, match="there is no layout 'CHWN'"):
        sg.conv2d(X, K, layout="CHWN")
    with pytest.raises(GraphError, match="max_pool2d: there is no layout"):
        sg.max_pool2d(X, 2, layout="last")
    with pytest.raises(GraphError, match="there is no layout"):
        sg.conv2d(X, K, layout=np.array([1, 2]))
    with pytest.raises(DTypeError, match="max_pool2d takes floats or integers"):
        sg.max_pool2d(X > 0, 2)
