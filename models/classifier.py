"""Networks that tell digits apart, trained by `sg.train.fit`: what mnist_dense and lenet share.

train : Network -> Dataset -> options -> Trained
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

import symgraph as sg
from models import cli, study, training
from symgraph.data import Dataset
from symgraph.train import metrics, pictures

OPTIMIZERS: Mapping[str, Callable[[float], sg.train.Optimizer]] = {
    "sgd": sg.train.sgd,
    "momentum": sg.train.momentum,
    "nesterov": sg.train.nesterov,
    "adagrad": sg.train.adagrad,
    "rmsprop": sg.train.rmsprop,
    "adam": sg.train.adam,
    "adamw": sg.train.adamw,
    "lion": sg.train.lion,
    "lars": sg.train.lars,
}
BATCH = 128


@attrs.frozen
class Network:
    """A program's network: `declare` makes its graph for a dtype, with the outputs `loss` and `logits`.

    Its placeholders are x, images of the shape `image` with pixels between 0 and 1, and y, the class numbers.
    """

    name: str
    declare: Callable[[str], sg.Graph]
    image: tuple[int, ...]
    optimizer: str
    rate: float
    epochs: int = 5

    def graph(self, optimizer: str = "", rate: float | None = None, dtype: str = "float32") -> sg.Graph:
        """The network and one step of training, in the update group `train`."""
        made = OPTIMIZERS[optimizer or self.optimizer](self.rate if rate is None else rate)
        return sg.train.minimize(self.declare(dtype), "loss", made)


def outputs(x: sg.Expr, logits: sg.Expr) -> dict[str, sg.Expr]:
    """The outputs of a classifier: `loss`, the mean cross-entropy with the fed classes, `logits`, `probabilities`."""
    y = sg.placeholder("y", (x.shape[0],), "int64")
    loss = sg.mean(sg.softmax_cross_entropy(logits, y))
    return {"loss": loss, "logits": logits, "probabilities": sg.softmax(logits)}


def train(network: Network, data: Dataset, args: argparse.Namespace, page: study.Page) -> training.Trained:
    """Train by the options, with the test images as validation."""
    graph = network.graph(args.optimizer, args.learning_rate, args.dtype)
    page.progress(f"{sg.summary(graph, 'loss')}\n")
    return training.fitted(
        lambda settings: graph,
        attrs.evolve(
            cli.settings(args),
            classes=10,
            epochs=args.epochs or network.epochs,
            batch_size=args.batch_size or BATCH,
            shuffle=True,
        ),
        data,
        page,
        shape=network.image,
        output="probabilities",
        validation=data.test,
        metrics={"accuracy": metrics.accuracy()},
        train_metrics=True,
    )


def part(network: Network) -> study.Part:
    """The part of a program that trains the network, and says and draws what came of it."""

    def run(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
        data = page.load()
        done = train(network, data, args, page)
        last = done.history.rows[-1] if done.history.rows else {}
        row = {
            "network": network.name,
            "data": data.name,
            "optimizer": args.optimizer or network.optimizer,
            "epochs": len(done.history),
            "loss": last.get("loss"),
            "training accuracy": last.get("accuracy"),
            "test accuracy": done.accuracy,
            "seconds": done.history.seconds,
        }
        page.say(study.table([row]))
        page.chart({network.name: done.losses}, f"Training loss of {network.name} on {data.name}")
        page.picture(f"{network.name}-curves.png", pictures.curves, done.history)
        matrix = np.zeros((10, 10), int)
        np.add.at(matrix, (data.test.y, done.outputs.argmax(axis=1)), 1)
        page.picture(f"{network.name}-confusion.png", pictures.confusion, matrix)
        found, test = done.outputs, data.test
        page.picture(
            f"{network.name}-wrong.png", pictures.misclassified, test.x, test.y, found.argmax(axis=1), found
        )
        return {**row, "history": done.history.to_dict()}

    return run


def options(parser: argparse.ArgumentParser) -> None:
    """The options that networks for digits have beside the common ones."""
    cli.data_options(parser)
    cli.training_options(parser, batch=f"{BATCH}", learning_rate="the network's own")
    about = "default: the network's own"
    parser.add_argument("--optimizer", choices=tuple(OPTIMIZERS), help=about)
