"""The talk's three networks, one after the other, beside the talk's figures.

logistic_regression         the gradient by hand, in NumPy
logistic_regression_graph   the same as a graph, its gradient found for it
one_hidden_layer            one hidden layer of 64 sigmoids

Then the faults of the third, mended one after the other. All its weights start alike, so all 64 hidden units have the
same gradient in each step, and stay one unit, 64 times: no row of W1 ever differs from another, by not one bit. And
of each batch of 1000 pictures it takes the first 100, and leaves the rest.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from models import (
    chart,
    cli,
    logistic_regression,
    logistic_regression_graph,
    one_hidden_layer,
    study,
    training,
)
from models.training import Array
from symgraph.data import Dataset
from symgraph.train import pictures

MODELS = (logistic_regression.MODEL, logistic_regression_graph.MODEL, one_hidden_layer.MODEL)
# The loss of the first batch and the accuracy on the 10,000, as the talk gives them, for MNIST.
TALK = {"logistic_regression": (1.1942, 0.9899), "logistic_regression_graph": (1.1942, 0.9899)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all three, print their table, mend the third; returns the exit code."""
    parser = cli.common_parser("python -m models.talk", __doc__)
    parser.add_argument(
        "--pictures", metavar="FOLDER", type=Path, help="draw the test pictures that each network gets wrong"
    )
    return cli.guarded(parser, list(sys.argv[1:] if arguments is None else arguments), _run)


@attrs.frozen
class Trained:
    """A network after its training: what came of it, its weights, and its logits for the test pictures."""

    result: training.Result
    weights: Mapping[str, Array]
    logits: Array


def _run(args: argparse.Namespace) -> int:
    cli.check_common(args)
    page = study.opened(args)
    data = page.load()
    settings = cli.Settings(backend=args.backend, dtype=args.dtype, seed=args.seed, epochs=args.epochs)
    talk = [(model, _batches(settings, data, model.used)) for model in MODELS]
    mended = [(attrs.evolve(MODELS[-1], name=name), own) for name, own in mendings(talk[-1][1]).items()]
    trained = []
    for model, own in [*talk, *mended]:
        trained.append(_train(model, own, data, page))
        if trained[-1].result.interrupted:
            print("stopped", file=sys.stderr)
            return cli.STOPPED
    results = [one.result for one in trained[: len(MODELS)]]
    faults = [fault_row(one) for one in trained[len(MODELS) - 1 :]]
    _report(results, faults, data, page)
    for one in trained[: len(MODELS)]:
        page.picture(f"wrong-{one.result.model}.png", wrong_picture, one, data)
    if args.plot:
        chart.draw(args.plot, {r.model: r.train_loss for r in results}, f"Training loss on {data.name}")
        page.say(f"chart           {args.plot}")
    if args.json:
        found = {"models": [cli.plain(result) for result in results], "faults": study.plain(faults)}
        print(json.dumps(found), flush=True)
    return cli.DONE


def _report(
    results: Sequence[training.Result], faults: Sequence[study.Row], data: Dataset, page: study.Page
) -> None:
    page.say(f"\n{table(results)}")
    if data.name != "MNIST":
        size, _ = cli.batches_for(len(data.train), None)
        page.say(f"The talk's figures are for MNIST; these are for {data.name}, in batches of {size}.")
    page.say(f"\n{study.table(faults, 'The faults of one_hidden_layer, mended one after the other')}")


def _batches(settings: cli.Settings, data: Dataset, used: int | None) -> cli.Settings:
    size, used = cli.batches_for(len(data.train), used)
    return attrs.evolve(settings, batch_size=size, used=used)


def _train(model: cli.Model, settings: cli.Settings, data: Dataset, page: study.Page) -> Trained:
    network, task = model.network(settings), settings.task(model.name, data)
    with cli.interruptible() as stopped, cli.progress(page.out, model.name, page.quiet) as watch:
        result = training.train(network, task, watch=watch, stopped=stopped)
    return Trained(result, network.values, training.answers(network, task))


def wrong_picture(trained: Trained, data: Dataset) -> Any:
    """The test pictures that a network gets wrong, those that it was surest of first."""
    z, truth = trained.logits[:, 0], data.test.y == 0
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


def fault_row(trained: Trained) -> dict[str, Any]:
    """A run of the third network as a line of the table."""
    result = trained.result
    return {
        "network": result.model,
        "steps": result.steps,
        "last loss": result.train_loss[-1],
        "spread of W1's rows": spread(trained.weights["W1"]),
        "test accuracy": result.test_accuracy,
        "seconds": result.seconds,
    }


def table(results: Sequence[training.Result]) -> str:
    """The results beside the talk's, one line a network.

    >>> print(table([training.Result("logistic_regression", "MNIST", (1.19415,), 0.9899, 0.25, 0.0)]))
    network               first loss     talk    last loss    test accuracy     talk    seconds
    logistic_regression       1.1942   1.1942       1.1942           0.9899   0.9899       0.25
    """
    width = max(20, *(len(result.model) for result in results))
    lines = [
        f"{'network':{width}}{'first loss':>12}{'talk':>9}{'last loss':>13}"
        f"{'test accuracy':>17}{'talk':>9}{'seconds':>11}"
    ]
    for result in results:
        known = TALK.get(result.model)
        loss, accuracy = (f"{figure:.4f}" for figure in known) if known else ("chart", "-")
        lines.append(
            f"{result.model:{width}}{result.train_loss[0]:12.4f}{loss:>9}{result.train_loss[-1]:13.4f}"
            f"{result.test_accuracy:17.4f}{accuracy:>9}{result.seconds + result.compile_seconds:11.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
