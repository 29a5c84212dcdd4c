"""Layers: their parameters, the graphs that they make, and what they compute."""

import linecache

import numpy as np
import pytest

import symgraph as sg
from symgraph import nn

BACKENDS = ("numpy", "llvm")


def applied(layer, x: sg.Expr) -> tuple[sg.Expr, dict[str, str]]:
    """The value of a layer on x, and the types of its parameters by name."""
    output, after = sg.run_build(layer(x))
    return output.value, {name: str(e.type) for name, e in after.parameters.items()}


def images(name: str = "x", channels: int = 1, size: int = 8) -> sg.Expr:
    return sg.placeholder(name, ("batch", size, size, channels))


x = sg.placeholder("x", ("batch", 8))
LAYERS = [
    (nn.dense(3), x, "f32[batch,3]", {"dense/w": "f32[8,3]", "dense/b": "f32[3]"}),
    (nn.dense(3, bias=False), x, "f32[batch,3]", {"dense/w": "f32[8,3]"}),
    (
        nn.dense(3),
        sg.placeholder("x", ("batch", 5, 4), "float64"),
        "f64[batch,5,3]",
        {"dense/w": "f64[4,3]", "dense/b": "f64[3]"},
    ),
    (nn.dense(3, bias=False), sg.placeholder("x", (4,), "int64"), "f32[3]", {"dense/w": "f32[4,3]"}),
    (nn.conv2d(6, 5), images(), "f32[batch,4,4,6]", {"conv2d/kernel": "f32[5,5,1,6]", "conv2d/b": "f32[6]"}),
    (
        nn.conv2d(6, (3, 2), sg.relu, strides=2, padding="same", groups=2, bias=False),
        images(channels=4),
        "f32[batch,4,4,6]",
        {"conv2d/kernel": "f32[3,2,2,6]"},
    ),
    (
        nn.conv2d(6, 3, layout="NCHW"),
        sg.placeholder("x", ("batch", 2, 8, 8)),
        "f32[batch,6,6,6]",
        {"conv2d/kernel": "f32[3,3,2,6]", "conv2d/b": "f32[6]"},
    ),
    (nn.max_pool2d(), images(), "f32[batch,4,4,1]", {}),
    (nn.avg_pool2d(3, strides=1), images(), "f32[batch,6,6,1]", {}),
    (nn.global_avg_pool2d(), images(channels=3), "f32[batch,3]", {}),
    (nn.global_avg_pool2d("NCHW"), sg.placeholder("x", ("batch", 3, 8, 8)), "f32[batch,3]", {}),
    (nn.flatten(), images(channels=3), "f32[batch,192]", {}),
    (nn.flatten(), sg.placeholder("x", ("batch",)), "f32[batch,1]", {}),
    (nn.activation(sg.tanh), x, "f32[batch,8]", {}),
    (nn.dropout(0.5), x, "f32[batch,8]", {"random_key": "i32[2]"}),
    (nn.dropout(0.0), x, "f32[batch,8]", {}),
    (
        nn.batch_norm(),
        images(channels=3),
        "f32[batch,8,8,3]",
        {f"batch_norm/{name}": "f32[3]" for name in ("scale", "bias", "mean", "variance")},
    ),
    (
        nn.batch_norm(axis=1, scale=False, bias=False),
        sg.placeholder("x", ("batch", 3, 8, 8), "float64"),
        "f64[batch,3,8,8]",
        {f"batch_norm/{name}": "f64[3]" for name in ("mean", "variance")},
    ),
    (nn.layer_norm(), x, "f32[batch,8]", {"layer_norm/scale": "f32[8]", "layer_norm/bias": "f32[8]"}),
    (nn.layer_norm((1, 2), bias=False), images(), "f32[batch,8,8,1]", {"layer_norm/scale": "f32[8,8]"}),
    (
        nn.embedding(100, 4),
        sg.placeholder("words", ("batch", 6), "int32"),
        "f32[batch,6,4]",
        {"embedding/table": "f32[100,4]"},
    ),
]


@pytest.mark.parametrize(
    ("layer", "given", "type_", "parameters"), LAYERS, ids=[f"{case[0]}-{case[1].type}" for case in LAYERS]
)
def test_each_layer_has_its_shape_and_its_parameters(layer, given, type_, parameters) -> None:
    value, declared = applied(layer, given)
    assert str(value.type) == type_
    assert declared == parameters


def test_a_network_of_layers_is_the_graph_written_by_hand() -> None:
    given = sg.placeholder("x", ("batch", 4))
    made = sg.define(y=applied(nn.sequential(nn.dense(5, sg.relu), nn.layer_norm(), nn.dense(2)), given)[0])

    w = sg.variable("dense/w", (4, 5), init=sg.init.glorot_uniform)
    b = sg.variable("dense/b", (5,))
    scale, bias = (
        sg.variable("layer_norm/scale", (5,), init=sg.init.ones),
        sg.variable("layer_norm/bias", (5,)),
    )
    v = sg.variable("dense_1/w", (5, 2), init=sg.init.glorot_uniform)
    c = sg.variable("dense_1/b", (2,))
    assert made == sg.define(y=sg.layer_norm(sg.relu(given @ w + b), scale, bias) @ v + c)


def test_a_convolution_is_the_graph_written_by_hand() -> None:
    given = images(channels=3)
    kernel = sg.variable("conv2d/kernel", (3, 3, 3, 4), init=sg.init.he_normal)
    b = sg.variable("conv2d/b", (4,), init=1.0)
    layer = nn.conv2d(4, 3, sg.tanh, padding="same", strides=2, init=sg.init.he_normal, bias_init=1.0)
    by_hand = sg.tanh(sg.conv2d(given, kernel, strides=2, padding="same") + b)
    assert sg.define(y=applied(layer, given)[0]) == sg.define(y=by_hand)


def test_both_layouts_of_images_compute_the_same() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    results = []
    for layout, order in (("NHWC", (0, 1, 2, 3)), ("NCHW", (0, 3, 1, 2))):
        shape = ("batch", *np.transpose(pixels, order).shape[1:])
        network = nn.sequential(
            nn.conv2d(4, 3, bias_init=0.5, layout=layout),
            nn.max_pool2d(2, layout=layout),
            nn.global_avg_pool2d(layout),
        )
        y, _ = applied(network, sg.placeholder("x", shape))
        with sg.Session(sg.define(y=y), backend="numpy", seed=3) as session:
            results.append(session.run("y", {"x": np.transpose(pixels, order)}))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)


def test_layers_print_as_they_were_written() -> None:
    for layer, text in [
        (nn.dense(512, sg.relu), "dense(512, relu)"),
        (nn.dense(units=4, bias=False), "dense(units=4, bias=False)"),
        (nn.conv2d(8, (3, 3), padding="same"), "conv2d(8, (3, 3), padding='same')"),
        (nn.sequential(nn.dense(2), sg.relu, nn.dropout(0.1)), "sequential(dense(2), relu, dropout(0.1))"),
        (nn.residual(nn.dense(2), projection=nn.dense(2)), "residual(dense(2), projection=dense(2))"),
        (nn.parallel(sg.sin, sg.cos, join=sg.add), "parallel(sin, cos, join=add)"),
        (nn.dense(3, init=sg.init.normal(0, 0.1)), f"dense(3, init={sg.init.normal(0, 0.1)!r})"),
    ]:
        assert repr(layer) == text


def test_layers_are_equal_when_they_were_made_alike() -> None:
    assert nn.dense(4, sg.relu) == nn.dense(4, activation=sg.relu, bias=True)
    assert nn.sequential(nn.dense(4), sg.relu) == nn.sequential(nn.dense(4), sg.relu)
    assert len({nn.dense(4), nn.dense(4), nn.dense(5), nn.dropout(0.5), nn.batch_norm(0.5)}) == 4
    assert nn.dense(4, sg.relu) != nn.dense(4, sg.tanh)
    assert nn.max_pool2d(2) != nn.avg_pool2d(2)
    assert nn.named("a", nn.dense(2)) != nn.named("b", nn.dense(2))


def test_the_nodes_of_a_layer_come_from_its_line() -> None:
    network = nn.sequential(
        nn.dense(4, sg.relu),  # the first
        nn.residual(
            nn.dense(4, sg.relu)  # the second
        ),
        nn.batch_norm(),  # the third
        sg.tanh,
    )
    output, _ = sg.run_build(network(sg.placeholder("x", ("batch", 3))))
    graph = sg.define({"y": output.value}, updates={"state": output.state})
    lines: dict[str, set[str]] = {}
    for node in graph.nodes:
        if node.op.name != "placeholder":
            (source,) = node.origin.sources
            line = linecache.getline(source.file, source.line)
            lines.setdefault("/".join(node.origin.scope), set()).add(line.strip())
    assert source.file == __file__
    assert lines == {
        "dense": {"nn.dense(4, sg.relu),  # the first"},
        "residual/dense": {"nn.dense(4, sg.relu)  # the second"},
        "residual": {"nn.residual("},
        "batch_norm": {"nn.batch_norm(),  # the third"},
        "tanh": {"network = nn.sequential("},
    }


def test_a_layer_of_the_users_has_lines_of_its_own() -> None:
    @sg.do
    def scaled(h: sg.Expr):
        gain = yield from sg.parameter("gain", (), init=2.0)  # declared
        return h * gain  # used

    @nn.layer
    def shifted(by: float):
        def body(h: sg.Expr) -> sg.Expr:
            return h + by  # shifted

        return body

    network = nn.sequential(scaled, shifted(3.0), lambda h: h - 1.0)
    assert repr(network) == "sequential(scaled, shifted(3.0), function)"
    value, declared = applied(network, sg.placeholder("x", (2,)))
    assert declared == {"scaled/gain": "f32[]"}
    found = {}
    for node in sg.define(y=value).nodes:
        source = node.origin.sources[0]
        found[node.op.name] = (
            node.origin.scope,
            linecache.getline(source.file, source.line).split("#")[-1].strip(),
        )
    assert found["variable"] == (("scaled",), "declared") and found["mul"] == (("scaled",), "used")
    assert found["add"] == (("shifted",), "shifted") and found["sub"][0] == ("function",)


def digits(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Pictures of stripes across or down, and how bright they are."""
    down, bright = rng.integers(0, 2, count), rng.uniform(0.5, 1.5, (count, 1))
    stripes = np.where(down[:, None, None] == 1, np.arange(8)[None, :, None], np.arange(8)[None, None, :]) % 2
    noise = rng.normal(0, 0.1, (count, 8, 8))
    pictures = (stripes * bright[:, :, None] + noise)[..., None].astype(np.float32)
    return {"x": pictures, "y": down.astype(np.int64), "brightness": bright.astype(np.float32)}


@sg.do
def of_many_kinds():
    """A network of eight kinds of layers, with branches and two losses, for training and evaluation."""
    given, y = images(), sg.placeholder("y", ("batch",), "int64")
    brightness = sg.placeholder("brightness", ("batch", 1))
    trunk = nn.sequential(
        nn.conv2d(4, 3, sg.relu),
        nn.max_pool2d(2),
        nn.parallel(nn.flatten(), nn.sequential(nn.conv2d(4, 3), nn.flatten())),
        nn.dense(16, sg.relu),
        nn.batch_norm(0.8),
        nn.residual(nn.sequential(nn.dense(16, sg.tanh), nn.dropout(0.2))),
    )
    heads = nn.multi_head(
        {
            "stripes": nn.Head(nn.dense(2), lambda h: sg.mean(sg.softmax_cross_entropy(h, y))),
            "light": nn.Head(nn.dense(1), lambda h: sg.mean(sg.squared_error(h, brightness)), weight=0.5),
        }
    )
    training, evaluation = yield from nn.modes(nn.sequential(trunk, heads)(given))
    return nn.Output(
        {**training.value, "decided": sg.argmax(evaluation.value["stripes"], -1)}, training.state
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_network_of_many_kinds_learns_two_things(backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite", reason="the native backend is an extra")
    rng = np.random.default_rng(0)
    graph = sg.train.minimize(nn.graph(of_many_kinds()), "loss", sg.train.sgd(0.1))
    losses = []
    with sg.Session(graph, backend=backend, seed=1) as session:
        step = session.prepare(
            ("loss", "stripes_loss", "light_loss"), ("x", "y", "brightness"), ("train", "state")
        )
        for _ in range(60):
            total, first, second = step(digits(rng, 32))
            np.testing.assert_allclose(total, first + 0.5 * second, rtol=1e-6)
            losses.append(total)
        test = digits(rng, 200)
        assert np.mean(session.run("decided", {"x": test["x"]}) == test["y"]) > 0.95
    assert np.mean(losses[-10:]) < 0.3 * losses[0]
