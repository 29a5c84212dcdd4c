"""The talk's three networks, one after the other, beside the talk's figures.

logistic_regression         the gradient by hand, in NumPy
logistic_regression_graph   the same as a graph, its gradient found for it
one_hidden_layer            one hidden layer of 64 sigmoids
"""

import argparse
import json
import sys
from collections.abc import Sequence

import attrs

from models import chart, cli, logistic_regression, logistic_regression_graph, one_hidden_layer, training

MODELS = (logistic_regression.MODEL, logistic_regression_graph.MODEL, one_hidden_layer.MODEL)
# The loss of the first batch and the accuracy on the 10,000, as the talk gives them, for MNIST.
TALK = {"logistic_regression": (1.1942, 0.9899), "logistic_regression_graph": (1.1942, 0.9899)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all three, print their table; returns the exit code."""
    parser = cli.common_parser("python -m models.talk", __doc__)
    return cli.guarded(parser, list(sys.argv[1:] if arguments is None else arguments), _run)


def _run(args: argparse.Namespace) -> int:
    cli.check_common(args)
    out = sys.stderr if args.json else sys.stdout
    data = cli.load(args, out)
    settings = cli.Settings(backend=args.backend, dtype=args.dtype, seed=args.seed, epochs=args.epochs)
    results = []
    for model in MODELS:
        size, used = cli.batches_for(len(data.train), model.used)
        own = attrs.evolve(settings, batch_size=size, used=used)
        with cli.interruptible() as stopped, cli.progress(out, model.name) as watch:
            task = own.task(model.name, data)
            results.append(training.train(model.network(own), task, watch=watch, stopped=stopped))
        if results[-1].interrupted:
            print("stopped", file=sys.stderr)
            return cli.STOPPED
    print(f"\n{table(results)}", file=out)
    if data.name != "MNIST":
        size, _ = cli.batches_for(len(data.train), None)
        print(f"The talk's figures are for MNIST; these are for {data.name}, in batches of {size}.", file=out)
    if args.plot:
        chart.draw(args.plot, {r.model: r.train_loss for r in results}, f"Training loss on {data.name}")
        print(f"chart           {args.plot}", file=out)
    if args.json:
        print(json.dumps({"models": [cli.plain(result) for result in results]}), flush=True)
    return cli.DONE


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
