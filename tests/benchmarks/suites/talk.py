"""`talk`: the three networks of the talk, a step each, in float64 and float32.

The first has its gradient by hand, in symgraph's graph too; the others let it be found.
"""

from tests.benchmarks.libraries import Network, trainers
from tests.benchmarks.networks import hidden, logistic
from tests.benchmarks.race import Case

_TOLERANCE = {"float64": 1e-9, "float32": 2e-4}


def _networks(dtype: str) -> tuple[tuple[str, str, Network], ...]:
    return (
        ("logistic_regression", "the gradient by hand, batch 1000", logistic(dtype, by_hand=True)),
        ("logistic_regression_graph", "the gradient found, batch 1000", logistic(dtype, by_hand=False)),
        ("one_hidden_layer", "64 sigmoids, batch 100", hidden(dtype)),
    )


CASES = tuple(
    Case(f"{name}, {dtype}", f"{about}, {dtype}", trainers(network), _TOLERANCE[dtype])
    for dtype in _TOLERANCE
    for name, about, network in _networks(dtype)
)
