"""The talk's three networks, one after the other, beside the talk's figures.

logistic_regression         the gradient by hand, in NumPy
logistic_regression_graph   the same as a graph, its gradient found for it
one_hidden_layer            one hidden layer of 64 sigmoids

Then the faults of the third, mended one after the other. All its weights start alike, so all 64 hidden units have the
same gradient in each step, and stay one unit, 64 times: no row of W1 ever differs from another, by not one bit. And
of each batch of 1000 pictures it takes the first 100, and leaves the rest.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from models import cli, logistic_regression, logistic_regression_graph, one_hidden_layer, study, training
from models.training import Trained
from symgraph.data import Dataset
from symgraph.ir import Array
from symgraph.train import pictures

MODELS = (logistic_regression.MODEL, logistic_regression_graph.MODEL, one_hidden_layer.MODEL)
# The loss of the first batch and the accuracy on the 10,000, as the talk gives them, for MNIST.
TALK = {"logistic_regression": (1.1942, 0.9899), "logistic_regression_graph": (1.1942, 0.9899)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all three, print their table, mend the third; returns the exit code."""
    parser = cli.plain_parser("python -m models.talk", __doc__)
    cli.data_options(parser)
    cli.run_options(parser, why=", as in the talk")
    cli.plot_option(parser)
    parser.add_argument(
        "--pictures", metavar="FOLDER", type=Path, help="draw the test pictures that each network gets wrong"
    )
    return cli.guarded(parser, list(sys.argv[1:] if arguments is None else arguments), _run)


def _run(args: argparse.Namespace) -> int:
    page = study.opened(args)
    data, settings = page.load(), cli.settings(args)

    def trained(name: str, model: training.Model, own: cli.Settings) -> Trained:
        page.progress(name)
        return model.train(own, data, page)

    third = MODELS[-1]
    sized = {model: training.in_talks_batches(settings, data, model.used) for model in MODELS}
    talk = {model.name: trained(model.name, model, own) for model, own in sized.items()}
    mended = {name: trained(name, third, own) for name, own in mendings(sized[third]).items()}
    faults = [fault_row(name, done) for name, done in {third.name: talk[third.name], **mended}.items()]
    page.say(f"\n{table(talk)}")
    if data.name != "MNIST":
        size = sized[third].batch_size
        page.say(f"The talk's figures are for MNIST; these are for {data.name}, in batches of {size}.")
    page.say(f"\n{study.table(faults, 'The faults of one_hidden_layer, mended one after the other')}")
    for name, done in talk.items():
        page.picture(f"wrong-{name}.png", wrong_picture, done, data)
    page.chart({name: done.losses for name, done in talk.items()}, f"Training loss on {data.name}")
    models = [training.plain(name, done, data) for name, done in talk.items()]
    page.result({"models": models, "faults": faults})
    return cli.DONE


def wrong_picture(trained: Trained, data: Dataset) -> Any:
    """The test pictures that a network gets wrong, those that it was surest of first."""
    z, truth = trained.outputs[:, 0], data.test.y == 0
    said = z > 0
    probability = logistic_regression.sigmoid(np.abs(z))  # of what it said
    return pictures.misclassified(data.test.x, truth, said, probability, names=("another", "0"))


# The faults of the third network.


def mendings(settings: cli.Settings) -> dict[str, cli.Settings]:
    """The third network with one fault less, and with none: settings by name."""
    used = settings.used or settings.batch_size
    other_start = attrs.evolve(settings, initializer="glorot")
    all_pictures = attrs.evolve(other_start, batch_size=max(1, used // 2), used=None)
    return {"units that start apart": other_start, "and every picture used": all_pictures}


def spread(rows: Array) -> float:
    """How far the rows of an array are apart: the largest difference in a column.

    >>> spread(np.full((64, 784), 0.01)), spread(np.array([[1.0, 2.0], [1.0, 2.5]]))
    (0.0, 0.5)
    """
    return float(np.ptp(rows, axis=0).max())


def fault_row(name: str, trained: Trained) -> dict[str, Any]:
    """A run of the third network as a line of the table."""
    return {
        "network": name,
        "steps": len(trained.losses),
        "last loss": trained.losses[-1],
        "spread of W1's rows": spread(trained.weights["W1"]),
        "test accuracy": trained.accuracy,
        "seconds": trained.seconds,
    }


def table(talk: Mapping[str, Trained]) -> str:
    """The results beside the talk's, one line a network."""
    width = max(20, *map(len, talk))
    lines = [
        f"{'network':{width}}{'first loss':>12}{'talk':>9}{'last loss':>13}"
        f"{'test accuracy':>17}{'talk':>9}{'seconds':>11}"
    ]
    for name, done in talk.items():
        known = TALK.get(name)
        loss, accuracy = (f"{figure:.4f}" for figure in known) if known else ("chart", "-")
        lines.append(
            f"{name:{width}}{done.losses[0]:12.4f}{loss:>9}{done.losses[-1]:13.4f}"
            f"{done.accuracy:17.4f}{accuracy:>9}{done.seconds + done.compile_seconds:11.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
