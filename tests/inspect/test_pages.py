"""A page of each of the talk's networks and of LeNet, with all that it can show, from a small random feed.

The environment variable SYMGRAPH_PAGES names a folder to keep them in.
"""

import json
import os
from pathlib import Path

import pytest

import symgraph as sg
from models import lenet, logistic_regression, logistic_regression_graph, one_hidden_layer
from symgraph.commands.feeds import random_feeds
from tests.inspect.schema import faults

NETWORKS = {
    "logistic-regression": logistic_regression.graph,
    "logistic-regression-graph": logistic_regression_graph.graph,
    "one-hidden-layer": one_hidden_layer.graph,
    "lenet": lenet.NETWORK.graph,
}


@pytest.fixture
def folder(tmp_path):
    return Path(os.environ.get("SYMGRAPH_PAGES") or tmp_path)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_a_page_with_everything_on_it(name, backend, folder):
    graph = NETWORKS[name]()
    feeds = random_feeds(graph, {"batch": 16})
    title = f"{name} on {backend}"
    page = sg.explore(graph, feeds=feeds, backend=backend, profile_steps=3, name=title)
    path = page.save(folder / f"{name}-{backend}.html")
    assert path.read_text(encoding="utf-8") == page.html
    assert len(page.html) < 4_000_000  # opens at once, and goes by mail
    model = json.loads(page.model)
    assert list(faults(model)) == []
    assert [stage["name"] for stage in model["stages"]] == ["declared", "gradient", "optimised", "fused"]
    for section in ("rewrites", "gradient", "values", "fusion", "memory", "profile", "code"):
        assert model[section], section
    assert model["about"]["name"] == title
    assert model["about"]["free"] == []
    assert all(pair["adjoint"] is not None or pair["reason"] for pair in model["gradient"]["pairs"])
    assert all(one["first"] is None for one in model["values"]["graphs"])
    assert all(kernel["time"]["median"] > 0 for kernel in model["profile"]["kernels"])
    assert "models/" in " ".join(one["path"] for one in model["files"])
    assert not any(text in page.model for text in (str(Path.cwd()), str(Path.home())))
