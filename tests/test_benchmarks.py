"""The contenders of the benchmarks compute the same: here those of the development environment, on small sizes."""

from functools import partial

import numpy as np
import pytest

from tests.benchmarks import networks
from tests.benchmarks.libraries import OURS, WAYS, Formula, Network, calling, training
from tests.benchmarks.libraries.with_numpy import CALLS, STEPS
from tests.benchmarks.race import Case, Contender, Lane, Ready, Target, differing, report
from tests.benchmarks.sea_water import density_by
from tests.benchmarks.suites.compile import work

HERE = (OURS, "NumPy by hand", "JAX")
WORK = {
    "logistic": (networks.logistic("float64", by_hand=False, size=6), 1e-12),
    "hidden": (networks.hidden("float64", size=5), 1e-12),
    "classifier": (networks.classifier(4), 1e-4),
    "xor": (networks.xor(), 1e-5),
    "lenet": (networks.lenet(4), 1e-3),
    "deep": (networks.deep(layers=2, width=8, size=4), 1e-4),
    "generated chain": (networks.generated("chain", 30), 1e-5),
    "generated layers": (networks.generated("layers", 40), 1e-5),
    "predict": (networks.classify(3), 1e-4),
    "line": (networks.line(), 1e-6),
    "ocean": (networks.ocean(50), 1e-12),
    "sigmoid": (networks.elementwise("sigmoid", 50, "float32"), 1e-5),
    "softplus": (networks.elementwise("softplus", 50, "float64"), 1e-12),
    "gelu": (networks.elementwise("gelu", 50, "float32"), 1e-5),
    "chain": (networks.elementwise("chain", 50, "float64"), 1e-12),
}


def answers(way, work):
    if isinstance(work, Network):
        return training(WAYS[way].trainer(work), work.batches()).answers()
    return calling(WAYS[way].caller(work), work.inputs()).answers()


def knows(way, work):
    by_hand = STEPS if isinstance(work, Network) else CALLS
    return way != "NumPy by hand" or work.name in by_hand


@pytest.mark.parametrize("name", WORK)
def test_contenders_agree(name):
    work, tolerance = WORK[name]
    found = {way: answers(way, work) for way in HERE if knows(way, work)}
    assert len(found) >= 2
    assert differing(found, tolerance) == {}
    assert all(np.isfinite(value).all() for value in found[OURS].values())


@pytest.mark.parametrize(
    ("s", "t", "p", "density"),
    [
        (0, 5, 0, 999.96675),
        (0, 5, 1000, 1044.12802),
        (35, 5, 0, 1027.67547),
        (35, 5, 1000, 1069.48914),
        (35, 25, 1000, 1062.53817),
    ],
)
def test_the_density_of_sea_water_is_that_of_its_source(s, t, p, density):
    """The check values of UNESCO technical papers in marine science 44, page 19."""
    assert density_by(np.sqrt)(float(s), float(t), float(p)) == pytest.approx(density, abs=5e-6)


def test_the_work_of_compile_is_known():
    assert isinstance(work("xor"), Network)
    assert isinstance(work("ocean"), Formula)
    assert len(work("layers, 100 nodes").start()) == 12


def test_targets_are_judged_by_the_hardest_rival():
    def ready() -> Ready:
        raise NotImplementedError

    contenders = (
        Contender("ours", ready),
        Contender("slow", ready, "numpy"),
        Contender("quick", ready, "jax"),
        Contender("lost", ready, "torch"),
    )
    times = {"ours": 1.0, "slow": 4.0, "quick": 1.6}
    lanes = [Lane(name, ((seconds,),)) for name, seconds in times.items()] + [Lane("lost", failed="why")]
    case = partial(Case, "case", "about", contenders, 0.1)
    goals = (Target(0.5), Target(0.5, ("slow",)), Target(seconds=2.0), Target(0.5, ("lost",)))
    text, data = report(case(goals), lanes)
    assert "lost: why" in text
    assert [verdict["met"] for verdict in data["verdicts"]] == [False, True, True]
    assert "missed by 25 %" in data["verdicts"][0]["text"]
    assert "quick" in data["verdicts"][0]["text"]
