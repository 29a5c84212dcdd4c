"""The summary of a graph: the figures of the lectures, groups, totals, costs."""

import html.parser

import numpy as np
import pytest

import symgraph as sg
from models import logistic_regression_graph, one_hidden_layer
from symgraph import nn
from symgraph.__main__ import main
from symgraph.inspect.summary import Summary


@sg.do
def digits():
    """The network of the Keras lecture."""
    x, y = sg.placeholder("x", ("batch", 784)), sg.placeholder("y", ("batch",), "int64")
    logits, state = yield from nn.sequential(nn.dense(512, sg.relu), nn.dense(10))(x)
    loss = sg.mean(sg.softmax_cross_entropy(logits, y))
    return nn.Output({"loss": loss, "probabilities": sg.softmax(logits)}, state)


def test_the_network_of_the_keras_lecture() -> None:
    made = sg.summary(nn.graph(digits()))
    assert {layer.name: layer.parameters for layer in made.layers} == {
        "dense": 401_920,
        "dense_1": 5_130,
        "(rest)": 0,
    }
    assert made.parameters.count == made.trainable.count == 407_050
    assert made.not_trainable.count == made.other.count == 0
    assert made.parameters.bytes == 4 * 407_050
    first, second, rest = str(made).splitlines()[2:5]
    assert first.split() == ["dense", "matmul,", "add,", "relu", "f32[batch,512]", "401,920", "803,840*batch"]
    assert second.split() == ["dense_1", "matmul,", "add", "f32[batch,10]", "5,130", "10,250*batch"]
    assert rest.startswith("(rest)")
    assert "parameters       407,050  1.6 MB" in str(made) and "other" not in str(made)


def test_the_state_of_an_optimizer_is_no_parameter() -> None:
    graph = sg.train.minimize(nn.graph(digits()), "loss", sg.train.rmsprop(0.001))
    made = sg.summary(graph)
    assert made.parameters.count == made.trainable.count == 407_050
    assert made.other.count == 407_050  # a mean square for each
    page = made._repr_html_()
    assert "parameters       407,050  1.6 MB\n" in str(made) and "other state      407,050  1.6 MB\n" in str(
        made
    )
    assert ">parameters</td>" in page and ">other state</td>" in page


def test_costs_are_polynomials_or_numbers() -> None:
    graph = nn.graph(digits())
    batch = sg.dim("batch")
    opened, bound = sg.summary(graph, "probabilities"), sg.summary(graph, "probabilities", batch=128)
    products = 2 * 784 * 512 * batch + 2 * 512 * 10 * batch
    assert opened.layers[0].flops + opened.layers[1].flops == products + (512 + 512 + 10) * batch
    assert opened.layers[0].output == "f32[batch,512]" and bound.layers[0].output == "f32[128,512]"
    assert bound.layers[0].flops == 803_840 * 128
    assert opened.bytes == 4 * (3 * 512 + 3 * 10) * batch and bound.bytes == 4 * (3 * 512 + 3 * 10) * 128
    assert sum(layer.flops for layer in bound.layers) == bound.flops
    assert opened.step_flops is None


def test_what_is_trained_and_what_is_not() -> None:
    @sg.do
    def network():
        x = sg.placeholder("x", ("batch", 4))
        layers = nn.sequential(nn.dense(3), nn.batch_norm(), nn.dropout(0.5), sg.relu)
        training, evaluation = yield from nn.modes(layers(x))
        return nn.Output({"loss": sg.mean(training.value), "y": evaluation.value}, training.state)

    graph = nn.graph(network())
    made = sg.summary(graph)
    assert [(layer.name, layer.parameters) for layer in made.layers] == [
        ("dense", 15),
        ("batch_norm", 12),
        ("dropout", 0),
        ("relu", 0),
        ("(rest)", 0),
    ]
    assert made.parameters.count == 27 == sum(layer.parameters for layer in made.layers)
    assert (made.trainable.count, made.not_trainable.count) == (21, 6)  # the running statistics
    assert made.other.count == 2  # the random key
    trained = sg.train.minimize(graph, "loss", sg.train.adam(1e-3))
    after = sg.summary(trained)
    state = sum(int(np.prod(node.type.shape)) for name, node in trained.variables.items()) - 29
    assert state >= 2 * 21 and after.trainable == made.trainable
    assert after.parameters == made.parameters and after.not_trainable == made.not_trainable
    assert after.other.count == 2 + state
    assert after.layers == made.layers
    partly = sg.train.minimize(graph, "loss", sg.train.sgd(0.1), variables=["dense/w"])
    assert (sg.summary(partly).trainable.count, sg.summary(partly).not_trainable.count) == (12, 15)
    assert made.flops == after.flops and sg.summary(trained, batch=2).step_flops > after.flops * 0 + 100


def test_graphs_without_scopes_are_grouped_by_variables() -> None:
    made = sg.summary(one_hidden_layer.graph(classes=10), batch=50)
    assert [(layer.name, layer.parameters, layer.output) for layer in made.layers] == [
        ("W1, b1", 50_240, "f64[50,64]"),
        ("W2, b2", 650, "f64[50,10]"),
        ("(rest)", 0, "f64[]"),
    ]
    assert made.trainable.count == 50_890 and made.trainable.bytes == 8 * 50_890
    names = [layer.name for layer in sg.summary(logistic_regression_graph.graph()).layers]
    assert names == ["w, b", "(rest)"]
    w = sg.variable("w", (3,))
    (only,) = sg.summary(sg.define(loss=sg.sum(w * w))).layers
    assert (only.name, only.parameters, only.ops) == ("w", 3, ("mul", "sum"))


def test_a_variable_used_twice_counts_once() -> None:
    x = sg.placeholder("x", ("batch", 4))
    w = sg.variable("w", (4, 4))
    tied = sg.summary(sg.define(y=sg.relu(x @ w) @ w.T))
    assert tied.parameters.count == 16 == sum(layer.parameters for layer in tied.layers)
    shared = nn.shared("tower", nn.dense(4))
    output = sg.run_build(nn.sequential(shared, nn.dense(4), shared)(x))[0]
    assert [(layer.name, layer.parameters) for layer in sg.summary(sg.define(y=output.value)).layers] == [
        ("tower", 20),
        ("dense", 20),
    ]


def test_gradients_and_other_outputs_are_left_out() -> None:
    graph = nn.graph(digits())
    with_gradients = sg.gradient(graph, "loss")
    assert sg.summary(with_gradients).layers == sg.summary(graph).layers
    assert [layer.name for layer in sg.summary(graph, ("probabilities",)).layers] == [
        "dense",
        "dense_1",
        "(rest)",
    ]


def test_a_session_is_summarised_by_its_graph() -> None:
    graph = nn.graph(digits())
    with sg.Session(graph, backend="numpy") as session:
        assert sg.summary(session) == sg.summary(graph)
    assert isinstance(sg.summary(graph), Summary) and hash(sg.summary(graph)) == hash(sg.summary(graph))


def test_what_is_refused_says_what_to_write() -> None:
    graph = nn.graph(digits())
    for wrong in (
        lambda: sg.summary(3),
        lambda: sg.summary(graph, 3),
        lambda: sg.summary(graph, ["loss", 3]),
        lambda: sg.summary(graph, "nothing"),
        lambda: sg.summary(graph, n=3),
        lambda: sg.summary(graph, batch=-1),
        lambda: sg.summary(graph, batch="large"),
    ):
        with pytest.raises(sg.GraphError) as caught:
            wrong()
        assert caught.value.hint and caught.value.source.file == __file__


def test_names_are_escaped_for_a_page_and_a_terminal() -> None:
    name = "<script>alert(1)</script>\n\x1b[31m" + "long" * 50
    x = sg.placeholder("x", ("batch", 4))
    made = sg.summary(sg.define(y=sg.run_build(nn.named(name, nn.dense(3))(x))[0].value))
    assert all(line.isprintable() for line in str(made).splitlines())
    assert max(map(len, str(made).splitlines())) < 140
    page = made._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page

    class Balanced(html.parser.HTMLParser):
        depth, cells = 0, 0

        def handle_starttag(self, tag, attrs):
            self.depth += 1
            self.cells += tag == "td"

        def handle_endtag(self, tag):
            self.depth -= 1

    reader = Balanced()
    reader.feed(page)
    assert reader.depth == 0 and reader.cells == 5 + 2 * 5


def test_mistakes() -> None:
    graph = nn.graph(digits())
    for wrong, message in [
        (lambda: sg.summary(digits()), "takes a graph or a session, and this is a _Do"),
        (lambda: sg.summary(graph, bach=3), "'bach' is no named size"),
        (lambda: sg.summary(graph, batch=-1), "whole number from 0"),
        (lambda: sg.summary(graph, "accuracy"), "'accuracy' is no output"),
    ]:
        with pytest.raises(sg.GraphError, match=message):
            wrong()


def test_the_command_line(capsys) -> None:
    assert main(["summary", "models.one_hidden_layer", "--size", "batch=100", "--of", "logits"]) == 0
    assert capsys.readouterr().out.strip() == str(sg.summary(one_hidden_layer.graph(), "logits", batch=100))
    for words in (["--size", "rows=3"], ["--of", "nothing"]):
        assert main(["summary", "models.one_hidden_layer", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("symgraph: error:") and "__main__" not in error and "summary.py" not in error


def test_a_deep_network_is_summarised_in_time_that_grows_with_it() -> None:
    x = sg.placeholder("x", ("batch", 4))
    output = sg.run_build(nn.sequential(*[nn.dense(4, sg.tanh)] * 1000)(x))[0]
    made = sg.summary(sg.define(y=output.value), batch=2)
    assert len(made.layers) == 1000 and made.parameters.count == 20_000
