"""Mistakes with layers: each is told at the user's line, with what to write instead."""

import math
import re

import pytest

import symgraph as sg
from symgraph import nn

x = sg.placeholder("x", ("batch", 8))
pictures = sg.placeholder("pictures", ("batch", 8, 8, 3))
words = sg.placeholder("words", ("batch", 5), "int64")

OPTIONS = [
    (lambda: nn.dense(0), "units is a whole number from 1, and 0"),
    (lambda: nn.dense(-3), "and -3"),
    (lambda: nn.dense(True), "and True"),
    (lambda: nn.dense(2.0), "and 2.0"),
    (lambda: nn.dense("batch"), "and 'batch'"),
    (lambda: nn.dense(sg.dim("batch")), "and a named size"),
    (lambda: nn.dense(3, "relu"), "activation is a function of a tensor, and this is 'relu'"),
    (lambda: nn.dense(3, nn.dense(3)), "this is a Layer"),
    (lambda: nn.dense(3, nn.dense), "this is the function dense"),
    (lambda: nn.dense(3, sg.relu(x)), "this is an expression"),
    (lambda: nn.activation(None), "this is None"),
    (lambda: nn.conv2d(0, 3), "filters is a whole number"),
    (lambda: nn.conv2d(4, (3, 3, 3)), "window is one number or two"),
    (lambda: nn.conv2d(4, 0), "window is a whole number"),
    (lambda: nn.conv2d(4, 3, groups=3), "4 filters cannot be told apart in 3 groups"),
    (lambda: nn.conv2d(4, 3, layout="CHWN"), "layout is 'NHWC' or 'NCHW'"),
    (lambda: nn.max_pool2d(2, strides=0), "strides is a whole number"),
    (lambda: nn.dropout(1.0), "from 0 to below 1, and 1.0"),
    (lambda: nn.dropout(-0.1), "and -0.1"),
    (lambda: nn.dropout(float("nan")), "and nan"),
    (lambda: nn.dropout(True), "and True"),
    (lambda: nn.batch_norm(1.5), "momentum is a number from 0 to 1"),
    (lambda: nn.batch_norm(epsilon=0), "epsilon is a positive number"),
    (lambda: nn.layer_norm(epsilon=-1), "epsilon is a positive number"),
    (lambda: nn.embedding(10, 0), "units is a whole number"),
    (lambda: nn.sequential(nn.dense), r"the function that makes a layer(?s:.)*dense\(\.\.\.\)"),
    (lambda: nn.sequential(nn.flatten), r"flatten\(\)"),
    (lambda: nn.sequential([nn.dense(3)]), r"one by one(?s:.)*sequential\(\*layers\)"),
    (lambda: nn.sequential(nn.dense(3)(x)), "applied already"),
    (lambda: nn.sequential(x), "applied already"),
    (lambda: nn.sequential(None), "None is no layer"),
    (lambda: nn.sequential("relu"), "'relu' is no layer"),
    (lambda: nn.residual(3), "3 is no layer"),
    (lambda: nn.named("", nn.dense(3)), "non-empty string"),
    (lambda: nn.named(nn.dense(3), "hidden"), "'hidden' is no layer"),
    (lambda: nn.parallel(), "there is no branch"),
    (lambda: nn.parallel(sg.sin, join="sum"), "'sum'(?s:.)*'concatenate', 'add', 'multiply'"),
    (lambda: nn.multi_head({}), "empty"),
    (lambda: nn.multi_head([nn.Head(nn.dense(3), sg.mean)]), "this is a list"),
    (lambda: nn.multi_head({"a": nn.dense(3)}), "'a' is a Layer, not a Head"),
    (lambda: nn.multi_head({"a": nn.Head(nn.dense(3), 1.0)}), "not a function of the prediction"),
    (lambda: nn.multi_head({"a": nn.Head(nn.dense(3), sg.mean, "big")}), "weight of 'a' is a finite number"),
    (lambda: nn.multi_head({"loss": nn.Head(nn.dense(3), sg.mean)}), "two outputs are named 'loss'"),
    (lambda: nn.modes(nn.dense(3)), "takes a build, and this is a Layer"),
    (lambda: nn.graph(nn.dense(3)), "takes a build, and this is a Layer"),
    (lambda: nn.graph(nn.dense(3)(x)), "a graph has named outputs, and the build returned an expression"),
    (lambda: nn.graph(nn.with_evaluation(nn.dense(3)(x))), "the build returned an expression"),
    (lambda: nn.with_evaluation(nn.dense(3)), "takes a build, and this is a Layer"),
    (lambda: nn.graph(sg.pure({"y": 3.0})), "the output 'y' is 3.0, not an expression"),
    (lambda: nn.graph(sg.pure(nn.Output({"y": x}, 3))), "a state maps variables"),
    (lambda: nn.graph(sg.pure(nn.Output({"y": x}, {x: x}))), "only a variable can be updated"),
    (lambda: nn.dense(3)(nn.dense(3)(x)), "this is a build(?s:.)*yield from"),
    (lambda: nn.dense(3)(x) + 1.0, "a Build is no tensor(?s:.)*yield from"),
    (lambda: 2.0 * nn.dense(3)(x), "a Build is no tensor"),
    (lambda: nn.dense(3)(x)[0], "a Build is no tensor"),
    (lambda: nn.dense(3, bias="zeros"), "dense: bias is True or False, and 'zeros' is neither"),
    (lambda: nn.conv2d(3, 3, bias=sg.init.zeros), "conv2d: bias is True or False"),
    (lambda: nn.batch_norm(scale=2.0), "batch_norm: scale is True or False, and 2.0"),
    (lambda: nn.layer_norm(bias=None), "layer_norm: bias is True or False, and None"),
    (lambda: nn.layer(3), "3 is no function"),
    (lambda: nn.layer(lambda h: sg.relu(h))(x), "returned an expression, not a function of an expression"),
    (lambda: nn.sequential(lambda: x), "takes one tensor"),
    (lambda: nn.sequential(sg.add), "takes one tensor"),
    (
        lambda: nn.multi_head({"a": nn.Head(nn.dense(3), sg.mean, math.inf)}),
        "weight of 'a' is a finite number",
    ),
    (
        lambda: nn.multi_head({"a": nn.Head(nn.dense(3), sg.mean, 10**400)}),
        "weight of 'a' is a finite number",
    ),
    (
        lambda: nn.with_evaluation(sg.pure({"y": x}), prefix=""),
        "a prefix is a non-empty string, and '' is none",
    ),
    (
        lambda: nn.with_evaluation(sg.pure({"y": x}), prefix=3),
        "a prefix is a non-empty string, and 3 is none",
    ),
    (
        lambda: nn.graph(nn.with_evaluation(sg.pure({"y": x, "evaluation/y": x}))),
        "two outputs are named 'evaluation/y'",
    ),
]


@pytest.mark.parametrize(("wrong", "message"), OPTIONS, ids=[message[:40] for _, message in OPTIONS])
def test_options_and_layers(wrong, message: str) -> None:
    with pytest.raises(sg.SymgraphError, match=message) as caught:
        wrong()
    assert caught.value.source.file == __file__
    assert caught.value.source.line == wrong.__code__.co_firstlineno


SHAPES = [
    (nn.dense(3), sg.placeholder("x", (3, "n")), "size of axis 1, and n is not known"),
    (nn.dense(3), sg.placeholder("x", ()), "a scalar has no features"),
    (nn.conv2d(3, 3), x, r"images are \[batch, height, width, channels\], and this is f32\[batch,8\]"),
    (nn.conv2d(4, 3, groups=2), pictures, "3 channels cannot be told apart in 2 groups"),
    (nn.conv2d(4, 3), sg.placeholder("x", ("batch", 8, 8, "c")), "size of axis 3, and c is not known"),
    (nn.conv2d(4, 9), pictures, "window"),
    (nn.max_pool2d(2), x, "images are"),
    (nn.global_avg_pool2d("NCHW"), x, r"images are \[batch, channels, height, width\]"),
    (nn.flatten(), sg.placeholder("x", ()), "no batch axis"),
    (nn.batch_norm(axis=0), x, "size of axis 0, and batch is not known"),
    (nn.batch_norm(axis=5), x, "axis"),
    (nn.layer_norm(0), x, "size of axis 0"),
    (nn.embedding(10, 2), x, "it takes integers"),
    (nn.residual(nn.dense(3)), x, r"the layer makes \[batch,3\](?s:.)*projection=nn.dense"),
    (nn.parallel(nn.dense(3), nn.dense(4), join="add"), x, "add"),
    (nn.parallel(sg.sin, join=len), x, "returned 1, not an expression"),
    (nn.sequential(lambda h: 3), x, "the layer function returned 3"),
    (nn.sequential(nn.embedding(10, 2), nn.dense(3, lambda h: None)), words, "the activation returned None"),
    (
        nn.multi_head({"a": nn.Head(nn.dense(3), lambda h: sg.squared_error(h, 1.0))}),
        x,
        r"the loss of 'a' is f32\[batch,3\], not a scalar",
    ),
    (
        nn.multi_head({"a": nn.Head(nn.dense(3), lambda h: sg.any(h > 0.0))}),
        x,
        r"the loss of 'a' is bool\[\], not a scalar of floats",
    ),
]


@pytest.mark.parametrize(
    ("layer", "given", "message"), SHAPES, ids=[f"{one[0]}-{one[1].type}" for one in SHAPES]
)
def test_what_a_layer_is_applied_to(layer, given, message: str) -> None:
    with pytest.raises(sg.SymgraphError, match=message) as caught:
        sg.run_build(layer(given))
    assert caught.value.source.file == __file__
    assert re.search(r"nn\.|lambda|sg\.", str(caught.value).splitlines()[1])


def test_an_output_taken_for_its_tensor_teaches_to_unpack() -> None:
    output, _ = sg.run_build(nn.dense(3)(x))
    wrongs = [
        lambda: sg.relu(output),
        lambda: output + 1.0,
        lambda: 1.0 - output,
        lambda: x + output,
        lambda: output @ x,
        lambda: output * 2,
        lambda: -output,
        lambda: output[:, 0],
        lambda: sg.define(y=output),
        lambda: nn.dense(3)(output),
        lambda: output.shape,
    ]
    for wrong in wrongs:
        with pytest.raises(
            (sg.SymgraphError, AttributeError), match=r"h, state = yield from layer\(x\)"
        ) as caught:
            raise_text(wrong)
        assert "output of a layer" in str(caught.value)
    assert output[0] is output.value and output == output and len(output) == 2


def raise_text(wrong) -> None:
    """Run, and raise what it raises with its hint as part of the message."""
    try:
        wrong()
    except sg.SymgraphError as error:
        raise type(error)(str(error)) from None


def test_yield_from_forgotten() -> None:
    @sg.do
    def unpacked():
        h, state = nn.dense(3)(x)
        yield sg.pure((h, state))

    with pytest.raises(sg.GraphError) as caught:
        sg.run_build(unpacked())
    assert "h, state = yield from layer(x)" in str(caught.value) and "unpacked" in str(caught.value)
    with pytest.raises(sg.GraphError, match="unpacked, or iterated"):
        list(nn.dense(3)(x))


def test_a_dropped_state_names_the_layer_its_scope_and_its_line() -> None:
    @sg.do
    def careless():
        h, _ = yield from sg.scope("block", nn.sequential(nn.dense(3), nn.batch_norm(0.9))(x))  # here
        return nn.Output({"y": h})

    with pytest.raises(sg.GraphError) as caught:
        nn.graph(careless())
    text = str(caught.value)
    assert "the state of batch_norm in the scope 'block/batch_norm' was dropped" in text
    assert "'block/batch_norm/mean'" in text and "# here" in text and "{**state" in text

    @sg.do
    def undropped():
        h, _ = yield from nn.dropout(0.5)(x)
        return {"y": h}

    with pytest.raises(sg.GraphError, match="the state of dropout in the scope 'dropout' was dropped"):
        nn.graph(undropped())

    @sg.do
    def noisy(h):
        key, _ = yield from nn.next_key()
        return h + sg.random.normal(key, h.shape)

    @sg.do
    def hidden():
        h, state = yield from nn.sequential(noisy)(x)
        return nn.Output({"y": h}, state)

    with pytest.raises(sg.GraphError, match="the state of next_key in the scope 'noisy' was dropped"):
        nn.graph(hidden())


DROPS = {
    "batch_norm": (nn.batch_norm(), "batch_norm/mean"),
    "dropout": (nn.dropout(0.5), "random_key"),
    "sequential": (nn.sequential(nn.dense(3), nn.batch_norm(), sg.relu), "batch_norm/mean"),
    "residual": (nn.residual(nn.batch_norm()), "residual/batch_norm/mean"),
    "parallel": (nn.parallel(nn.dropout(0.5), sg.relu), "random_key"),
    "shared": (nn.shared("twin", nn.batch_norm()), "twin/mean"),
    "named": (nn.named("one", nn.batch_norm()), "one/mean"),
    "modes": (lambda h: nn.modes(nn.batch_norm()(h)).map(lambda both: both.training), "batch_norm/mean"),
    "next_key": (
        lambda h: nn.next_key().map(
            lambda made: nn.Output(h + sg.random.normal(made.value, h.shape), made.state)
        ),
        "random_key",
    ),
    "multi_head": (
        lambda h: nn.multi_head({"a": nn.Head(nn.batch_norm(), sg.mean)})(h).map(
            lambda made: nn.Output(made.value["loss"], made.state)
        ),
        "a/mean",
    ),
}


@pytest.mark.parametrize("way", DROPS)
def test_a_state_dropped_on_the_way_to_define_is_an_error(way: str) -> None:
    layer, dropped = DROPS[way]
    (value, state), _ = sg.run_build(layer(x))
    for outputs in ({"y": value}, {"y": sg.mean(sg.stop_gradient(value) * 2.0)}):
        with pytest.raises(sg.GraphError, match="the state of a layer was dropped") as caught:
            sg.define(outputs, updates={"train": {}})
        assert repr(dropped) in caught.value.message and "updates={'state': state}" in caught.value.hint
        assert caught.value.source.file == __file__
        graph = sg.define(outputs, updates={"state": state})
        assert dropped in dict(graph.updates[0][1])
        assert sg.from_text(sg.to_text(graph)) == graph
        derived = sg.train.minimize(
            sg.define({"loss": sg.mean(outputs["y"] * sg.variable("w"))}, updates={"state": state}),
            "loss",
            sg.train.sgd(0.1),
            variables=["w"],
        )
        assert {name for name, _ in derived.updates} == {"state", "train"}


def test_what_is_for_evaluation_has_no_state_to_drop() -> None:
    layer = nn.sequential(nn.batch_norm(), nn.dropout(0.5))
    both, _ = sg.run_build(nn.modes(layer(x)))
    assert both.evaluation.state == {} and len(sg.define(y=both.evaluation.value).outputs) == 1
    fixed, _ = sg.run_build(nn.evaluating(layer)(x))
    assert sg.define(y=fixed.value) == sg.define(y=both.evaluation.value)


def test_parts_of_a_graph_with_states_need_no_states() -> None:
    from symgraph.commands.stages import forward

    graph = nn.graph(
        nn.batch_norm()(x).map(lambda made: nn.Output({"y": sg.mean(made.value**3)}, made.state))
    )
    assert forward(graph).updates == () and [name for name, _ in forward(graph).outputs] == ["y"]
    assert sg.gradient(sg.gradient(graph, "y", "x"), "y", "x") == sg.gradient(graph, "y", "x")
