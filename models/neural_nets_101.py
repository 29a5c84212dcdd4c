"""Neural nets 101: from a straight line to a network with branches, one small experiment after the other.

linear      a linear neuron, trained by descent and solved in closed form, (X^T X)^-1 X^T Y
perceptron  a perceptron as a decision-maker: four weight vectors, and what they decide on all inputs
sigmoid     a sigmoid neuron that learns one of these decisions
activations step, linear, sigmoid, tanh, relu, softplus, and their derivatives
momentum    gradient descent in a narrow valley, plain and with momentum
symbols     a = x*y; b = a+z; c = sum(b): declared, differentiated, drawn
layers      a network of five kinds of layers, with parallel branches and two losses

    python -m models.neural_nets_101 --only momentum --pictures FOLDER
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from shutil import which
from typing import Any

import numpy as np

import symgraph as sg
from models import cli, images, study
from symgraph.data import Dataset
from symgraph.ir import Array
from symgraph.train import pictures

LINE_EPOCHS, SIGMOID_EPOCHS, DESCENT_EPOCHS, LAYER_EPOCHS = 300, 500, 100, 2

# A linear neuron: y = x w, where the first of x is 1.

WEIGHTS = (1.0, -2.0, 0.5, 3.0)


def line(count: int = 200, seed: int = 0, dtype: str = "float64") -> tuple[Array, Array]:
    """Points (count, 4), whose first coordinate is 1, and their noisy values (count, 1)."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([np.ones((count, 1)), rng.normal(size=(count, 3))], axis=1)
    y = x @ np.array(WEIGHTS)[:, None] + rng.normal(scale=0.1, size=(count, 1))
    return x.astype(dtype), y.astype(dtype)


def linear(rate: float = 0.3, dtype: str = "float64") -> sg.Graph:
    """The neuron, one step of descent, and the weights that no step makes better: `closed`."""
    x, y = sg.placeholder("x", ("batch", len(WEIGHTS)), dtype), sg.placeholder("y", ("batch", 1), dtype)
    w = sg.variable("w", (len(WEIGHTS), 1), dtype, init=0.0)
    closed = sg.inverse(x.T @ x) @ x.T @ y
    graph = sg.define(loss=sg.mean((x @ w - y) ** 2) / 2, closed=closed)
    return sg.train.minimize(graph, "loss", sg.train.sgd(rate))


def fitted_line(settings: cli.Settings = cli.DEFAULT, epochs: int = LINE_EPOCHS) -> dict[str, Array]:
    """The weights that made the data, those that descent finds, and those in closed form: (4,) each."""
    x, y = line(dtype=settings.dtype)
    with sg.Session(linear(dtype=settings.dtype), settings.backend) as session:
        study.descend(session, {"x": x, "y": y}, epochs)
        return {
            "made with": np.array(WEIGHTS, settings.dtype),
            "trained": session.variables["w"].ravel(),
            "closed form": session.run("closed", {"x": x, "y": y}).ravel(),
        }


# A perceptron decides: do I go to the festival? It weighs facts, which are true or not, against a threshold.

FACTS = ("good weather", "with friends", "near a station")
DECISIONS: Mapping[str, tuple[float, ...]] = {  # the bias, which is minus the threshold, and a weight a fact
    "weather decides": (-5, 6, 2, 2),
    "weather, or both others": (-3, 6, 2, 2),
    "any of them": (-1, 2, 2, 2),
    "all of them": (-5, 2, 2, 2),
}
LEARNED = "weather, or both others"
INPUTS = np.array(list(product((0.0, 1.0), repeat=len(FACTS))))


def perceptron(dtype: str = "float64") -> sg.Graph:
    """Perceptrons side by side: `decision` is whether bias + weights . x is above 0, one column each."""
    x = sg.placeholder("x", ("batch", len(FACTS)), dtype)
    weights = sg.placeholder("weights", (1 + len(FACTS), "perceptrons"), dtype)
    return sg.define(decision=x @ weights[1:] + weights[0] > 0)


def decisions(settings: cli.Settings = cli.DEFAULT) -> Array:
    """What each weight vector decides on each of `INPUTS`: bool (8, 4)."""
    weights = np.array(list(DECISIONS.values()), settings.dtype).T
    with sg.Session(perceptron(settings.dtype), settings.backend) as session:
        found: Array = session.run("decision", {"x": INPUTS.astype(settings.dtype), "weights": weights})
    return found


def decision_rows(decided: Array) -> list[dict[str, str]]:
    """The decisions as a table, one line an input."""
    said = np.where(decided, "go", "-")
    facts = np.where(INPUTS > 0, "yes", "no")
    return [
        dict(zip((*FACTS, *DECISIONS), (*map(str, fact), *map(str, say)), strict=True))
        for fact, say in zip(facts, said, strict=True)
    ]


# A sigmoid neuron: its output moves a little where its weights move a little, so that it can learn.


def sigmoid_neuron(rate: float = 10.0, dtype: str = "float64") -> sg.Graph:
    """One neuron on the facts, and one step of descent."""
    x = sg.placeholder("x", ("batch", len(FACTS)), dtype)
    y = sg.placeholder("y", ("batch", 1), dtype)
    w, b = sg.variable("w", (len(FACTS), 1), dtype, init=0.0), sg.variable("b", (1,), dtype, init=0.0)
    p = sg.sigmoid(x @ w + b)
    return sg.train.minimize(sg.define(loss=sg.mean((p - y) ** 2) / 2, p=p), "loss", sg.train.sgd(rate))


def learned_decision(
    name: str = LEARNED, settings: cli.Settings = cli.DEFAULT, epochs: int = SIGMOID_EPOCHS
) -> tuple[Array, Array]:
    """A sigmoid neuron's probabilities (8,) after it learned one of the decisions, and the decisions (8,)."""
    wanted = decisions(settings)[:, list(DECISIONS).index(name)]
    x, y = INPUTS.astype(settings.dtype), wanted[:, None].astype(settings.dtype)
    with sg.Session(sigmoid_neuron(dtype=settings.dtype), settings.backend) as session:
        study.descend(session, {"x": x, "y": y}, epochs)
        return session.run("p", {"x": x}).ravel(), wanted


# Activations.

ACTIVATIONS: Mapping[str, Callable[[sg.Expr], sg.Expr]] = {
    "step": lambda z: sg.cast(z > 0, z.dtype),
    "linear": sg.identity,
    "sigmoid": sg.sigmoid,
    "tanh": sg.tanh,
    "relu": sg.relu,
    "softplus": sg.softplus,
}


def activations(dtype: str = "float64") -> sg.Graph:
    """Each activation of z, under its name, and as `d_sum_NAME/d_z` its derivative."""
    z = sg.placeholder("z", ("n",), dtype)
    values = {name: activation(z) for name, activation in ACTIVATIONS.items()}
    graph = sg.define({**values, **{f"sum_{name}": sg.sum(value) for name, value in values.items()}})
    for name in ACTIVATIONS:
        # A step has no slope anywhere, which is why perceptrons cannot be trained by descent.
        graph = sg.gradient(graph, f"sum_{name}", "z", disconnected="zero")
    return graph


def activation_values(z: Array, settings: cli.Settings = cli.DEFAULT) -> dict[str, tuple[Array, Array]]:
    """The value and the derivative of each activation at z (n,)."""
    fetches = {name: (name, f"d_sum_{name}/d_z") for name in ACTIVATIONS}
    with sg.Session(activations(settings.dtype), settings.backend) as session:
        found: dict[str, tuple[Array, Array]] = session.run(fetches, {"z": z.astype(settings.dtype)})
    return found


def activation_picture(derivatives: bool, settings: cli.Settings = cli.DEFAULT) -> Any:
    """All activations, or all their derivatives, on one picture."""
    z = np.linspace(-4, 4, 401)
    found = {name: (z, pair[derivatives]) for name, pair in activation_values(z, settings).items()}
    return pictures.lines(found, x="z", y="f'(z)" if derivatives else "f(z)")


# Momentum: v <- rate * gradient + mu * v; w <- w - v.

STEEP, START = 50.0, (-10.0, 1.0)
OPTIMIZERS: Mapping[str, sg.train.Optimizer] = {
    "gradient descent": sg.train.sgd(0.035),
    "momentum": sg.train.momentum(0.035, 0.75),
}


def valley(optimizer: sg.train.Optimizer, dtype: str = "float64") -> sg.Graph:
    """A narrow valley, 1/2 (w0^2 + 50 w1^2), and one step down: steep across, hardly any slope along."""
    w = sg.variable("w", (2,), dtype, init=sg.init.array(START))
    graph = sg.define(loss=sg.sum(sg.constant([1.0, STEEP], dtype) * w**2) / 2)
    return sg.train.minimize(graph, "loss", optimizer)


def descents(settings: cli.Settings = cli.DEFAULT, epochs: int = DESCENT_EPOCHS) -> dict[str, Array]:
    """The way down of each optimizer: (epochs + 1, 2), from the start on."""
    paths = {}
    for name, optimizer in OPTIMIZERS.items():
        with sg.Session(valley(optimizer, settings.dtype), settings.backend) as session:
            step = session.prepare("w", update="train")
            paths[name] = np.stack([step() for _ in range(epochs + 1)])
    return paths


def height(w: Array) -> Array:
    """How high (n, 2) lies in the valley: (n,)."""
    return np.asarray((w[:, 0] ** 2 + STEEP * w[:, 1] ** 2) / 2)


def descent_picture(paths: Mapping[str, Array]) -> Any:
    """The ways down, over the contours of the valley."""
    figure = pictures.lines({name: tuple(path.T) for name, path in paths.items()}, x="w0", y="w1")
    w = np.meshgrid(np.linspace(-11, 3, 141), np.linspace(-1.4, 1.4, 121))
    heights = height(np.stack([axis.ravel() for axis in w], axis=1)).reshape(w[0].shape)
    figure.axes[0].contour(*w, heights, levels=12, colors="#9ca3af", linewidths=0.5)
    return figure


# Symbols.


def graph(shape: Sequence[int] = (3, 4), dtype: str = "float64") -> sg.Graph:
    """The symbols: a = x*y; b = a+z; c = sum(b)."""
    x, y, z = (sg.placeholder(name, tuple(shape), dtype) for name in "xyz")
    a = x * y
    b = a + z
    c = sg.sum(b)
    return sg.define(a=a, b=b, c=c)


def differentiated(declared: sg.Graph) -> sg.Graph:
    """The same graph, with the gradients of c by x, y and z."""
    return sg.gradient(declared, "c", ["x", "y", "z"])


# Layers.


@sg.do
def network(dtype: str = "float32") -> Any:
    """Which digit is in a picture, and is it even? Each question has a loss of its own; two branches see alike."""
    x = sg.placeholder("x", ("batch", 28, 28, 1), dtype)
    y, even = sg.placeholder("y", ("batch",), "int64"), sg.placeholder("even", ("batch", 1), dtype)
    digit = sg.nn.Head(sg.nn.dense(10), lambda z: sg.mean(sg.softmax_cross_entropy(z, y)))
    parity = sg.nn.Head(sg.nn.dense(1), lambda z: sg.mean(sg.sigmoid_cross_entropy(z, even)), weight=0.5)
    layers = sg.nn.sequential(
        sg.nn.conv2d(8, 5, sg.relu, strides=2, padding="same"),
        sg.nn.max_pool2d(2),
        sg.nn.parallel(sg.nn.conv2d(8, 1, sg.relu), sg.nn.conv2d(8, 3, sg.relu, padding="same")),
        sg.nn.batch_norm(0.9),
        sg.nn.flatten(),
        sg.nn.dropout(0.2),
        sg.nn.dense(64, sg.relu),
        sg.nn.multi_head({"digit": digit, "parity": parity}),
    )
    return (yield from layers(x))


def layers(dtype: str = "float32") -> sg.Graph:
    """The network and one step of Adam; outputs `evaluation/NAME` are without dropout and with running statistics."""
    declared = sg.nn.graph(sg.nn.with_evaluation(network(dtype)))
    return sg.train.minimize(declared, "loss", sg.train.adam(0.003))


def learn_layers(
    data: Dataset,
    settings: cli.Settings = cli.DEFAULT,
    epochs: int = LAYER_EPOCHS,
    page: study.Page = study.SILENT,
) -> dict[str, float]:
    """Train the network: its losses, and the accuracies of both answers on the test data."""
    train, test = (
        {
            "x": images.features(part.x, settings.dtype, (28, 28, 1)),
            "y": part.y.astype("int64"),
            "even": (part.y % 2 == 0).astype(settings.dtype)[:, None],
        }
        for part in (data.train, data.test)
    )
    metrics = {
        "which digit": sg.train.metrics.accuracy("evaluation/digit", "y"),
        "even or odd": sg.train.metrics.binary_accuracy("evaluation/parity", "even"),
    }
    with sg.Session(layers(settings.dtype), settings.backend, settings.seed) as session:
        history = sg.train.fit(session, train, epochs=epochs, batch_size=50, quiet=page.quiet, out=page.out)
        found = sg.train.evaluate(session, test, outputs=(), metrics=metrics)
    losses = {"first loss": history.losses[0], "last loss": history.losses[-1]}
    return {**losses, **found, "seconds": history.seconds}


# The program: a part of it for each experiment.


def linear_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print the weights of the line, three times."""
    found = fitted_line(settings, args.epochs or LINE_EPOCHS)
    rows = [
        {"weights": name, **dict(zip(("w0", "w1", "w2", "w3"), w, strict=True))} for name, w in found.items()
    ]
    page.say(study.table(rows, "A linear neuron, trained and in closed form"))
    apart = np.abs(found["trained"] - found["closed form"]).max()
    page.say(f"between the two: {apart:.1e}")
    return {**found, "apart": apart}


def perceptron_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print what the perceptrons decide."""
    rows = decision_rows(decisions(settings))
    page.say(study.table(rows, "Perceptrons: four weight vectors, and what they decide"))
    return {"rows": rows}


def sigmoid_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print what the sigmoid neuron learned."""
    epochs = args.epochs or SIGMOID_EPOCHS
    p, wanted = learned_decision(settings=settings, epochs=epochs)
    rows = [
        {
            **dict(zip(FACTS, map(str, facts.astype(int)), strict=True)),
            "probability": float(a),
            "decision": int(b),
        }
        for facts, a, b in zip(INPUTS, p, wanted, strict=True)
    ]
    page.say(study.table(rows, f"A sigmoid neuron after {epochs} epochs: {LEARNED}?"))
    return {"rows": rows}


def activations_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print and draw the activations."""
    z = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    found = activation_values(z, settings)
    rows = [
        {
            "activation": name,
            **{f"f({at:g})": float(f) for at, f in zip(z, values, strict=True)},
            **{f"f'({at:g})": float(f) for at, f in zip(z, slopes, strict=True)},
        }
        for name, (values, slopes) in found.items()
    ]
    page.say(study.table(rows, "Activations and their derivatives"))
    page.picture("activations.png", activation_picture, False, settings)
    page.picture("derivatives.png", activation_picture, True, settings)
    return {"rows": rows}


def momentum_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print and draw how the optimizers come down the valley."""
    paths = descents(settings, args.epochs or DESCENT_EPOCHS)
    steps = [k for k in (0, 10, 30, 100, 300) if k < len(next(iter(paths.values())))]
    rows = [
        {"optimizer": name, **{f"after {k}": float(height(path)[k]) for k in steps}}
        for name, path in paths.items()
    ]
    page.say(study.table(rows, f"Down a valley that is {STEEP:g} times as steep across as along: the height"))
    page.picture("momentum.png", descent_picture, paths)
    return {"rows": rows}


def symbols_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Print the graph of the symbols and of their gradients, and draw it."""
    declared, derived = graph(dtype=settings.dtype), differentiated(graph(dtype=settings.dtype))
    page.say(f"declared\n{declared}\n\ndifferentiated\n{derived}\n")
    for name, drawn in (("symbols", declared), ("symbols-differentiated", derived)):
        page.picture(f"{name}.dot", sg.to_dot, drawn)
        page.picture(f"{name}.mmd", sg.to_mermaid, drawn)
        if which("dot"):  # Graphviz lays out the SVG
            page.picture(f"{name}.svg", sg.to_svg, drawn)
    return {"declared": sg.to_text(declared), "differentiated": sg.to_text(derived)}


def layers_part(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
    """Train the network of many layers, on digits."""
    data, epochs = page.load(), args.epochs or LAYER_EPOCHS
    row = {"data": data.name, "epochs": epochs, **learn_layers(data, settings, epochs, page)}
    page.say(study.table([row], "Five kinds of layers, two branches, two losses: test accuracies"))
    return row


PARTS: Mapping[str, study.Part] = {
    "linear": linear_part,
    "perceptron": perceptron_part,
    "sigmoid": sigmoid_part,
    "activations": activations_part,
    "momentum": momentum_part,
    "symbols": symbols_part,
    "layers": layers_part,
}
STUDY = study.Study("neural_nets_101", __doc__, PARTS, cli.data_options)

if __name__ == "__main__":
    raise SystemExit(study.main(STUDY))
