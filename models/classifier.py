"""Networks that tell digits apart, trained by `sg.train.fit`: what mnist_dense and lenet share.

train : Network -> Dataset -> Options -> Trained
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import symgraph as sg
from models import chart, cli, study
from models.training import Array
from symgraph.data import Dataset, Examples
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


def prepared(image: tuple[int, ...], dtype: str = "float32") -> Callable[[Examples], dict[str, Array]]:
    """What makes of a batch, images (n, 28, 28), uint8, and labels (n,), what a network is fed."""

    def fed(batch: Examples) -> dict[str, Array]:
        pixels = batch.x.reshape(-1, *image).astype(dtype)
        return {"x": pixels / np.array(255, dtype), "y": batch.y.astype("int64")}

    return fed


def outputs(x: sg.Expr, logits: sg.Expr) -> dict[str, sg.Expr]:
    """The outputs of a classifier: `loss`, the mean cross-entropy with the fed classes, `logits`, `probabilities`."""
    y = sg.placeholder("y", (x.shape[0],), "int64")
    loss = sg.mean(sg.softmax_cross_entropy(logits, y))
    return {"loss": loss, "logits": logits, "probabilities": sg.softmax(logits)}


@attrs.frozen
class Trained:
    """What came of training: the history, and the probabilities of the test images."""

    history: sg.train.History
    probabilities: Array
    right: Array

    @property
    def accuracy(self) -> float:
        """The share of the test images that are told rightly."""
        return float(self.right.mean())


def train(network: Network, data: Dataset, args: argparse.Namespace, page: study.Page) -> Trained:
    """Train by the options, with the test images as validation."""
    graph = network.graph(args.optimizer, args.learning_rate, args.dtype)
    fed = prepared(network.image, args.dtype)
    page.progress(f"{sg.summary(graph, 'loss')}\n")
    with sg.Session(graph, args.backend, args.seed) as session:
        history = sg.train.fit(
            session,
            data.train,
            validation=data.test,
            epochs=args.epochs or network.epochs,
            batch_size=args.batch_size,
            map=fed,
            metrics={"accuracy": metrics.accuracy()},
            train_metrics=True,
            checkpoint=args.checkpoint,
            resume=args.resume,
            quiet=page.quiet,
            out=page.out,
        )
        probabilities = sg.train.predict(session, "probabilities", data.test, map=fed)
    return Trained(history, probabilities, probabilities.argmax(axis=1) == data.test.y)


def part(network: Network) -> study.Part:
    """The part of a program that trains the network, and says and draws what came of it."""

    def run(args: argparse.Namespace, settings: cli.Settings, page: study.Page) -> Mapping[str, Any]:
        cli.check_common(args)
        cli.check_target("--checkpoint", args.checkpoint)
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
        title = f"{network.name} on {data.name}"
        if args.plot:
            chart.draw(args.plot, {network.name: done.history.losses}, f"Training loss of {title}")
            page.say(f"chart           {args.plot}")
        page.picture(f"{network.name}-curves.png", pictures.curves, done.history)
        matrix = np.zeros((10, 10), int)
        np.add.at(matrix, (data.test.y, done.probabilities.argmax(axis=1)), 1)
        page.picture(f"{network.name}-confusion.png", pictures.confusion, matrix)
        found, test = done.probabilities, data.test
        page.picture(
            f"{network.name}-wrong.png", pictures.misclassified, test.x, test.y, found.argmax(axis=1), found
        )
        return {**row, "history": done.history.to_dict()}

    return run


def options(parser: argparse.ArgumentParser) -> None:
    """The options that networks for digits have beside the common ones."""
    cli.data_options(parser)
    add = parser.add_argument
    add(
        "--batch-size",
        metavar="N",
        type=cli.count,
        default=BATCH,
        help=f"examples in a batch; default: {BATCH}",
    )
    add("--optimizer", choices=tuple(OPTIMIZERS), help="default: the network's own")
    add("--learning-rate", metavar="RATE", type=cli.rate, help="default: the network's own")
    add("--plot", metavar="FILE", type=Path, help="write the chart of the training loss: .png, .svg, .pdf")
    add("--checkpoint", metavar="PATH", type=Path, help="save here after each epoch, and on Ctrl-C")
    add("--resume", metavar="PATH", type=Path, help="go on from a checkpoint, as if never stopped")
