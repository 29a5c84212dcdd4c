"""`import symgraph as sg` is all that a user needs, and is light."""

import subprocess
import sys

import pytest

import symgraph as sg
from symgraph import errors, ops
from symgraph.train import initializers, optimizers


def test_names_are_sorted_unique_and_there():
    assert list(sg.__all__) == sorted(set(sg.__all__))
    assert all(getattr(sg, name) is not None for name in sg.__all__)


def test_all_ops_are_public():
    for name in ops.__all__:
        assert getattr(sg, name) is getattr(ops, name), name
        assert name in sg.__all__


def test_all_errors_are_public():
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.SymgraphError):
            assert name in sg.__all__


def test_functions_win_over_modules_of_their_name():
    assert callable(sg.compile)
    assert callable(sg.verify)
    assert callable(sg.steps)
    assert callable(sg.nn.layer)
    assert sg.init is initializers
    assert sg.train.sgd is optimizers.sgd


def test_importing_loads_no_heavy_package():
    heavy = ("jax", "llvmlite", "matplotlib", "sklearn", "scipy", "rich", "pooch", "safetensors", "requests")
    text = f"import sys, symgraph; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


LATE = (
    "symgraph.data",
    "symgraph.derivatives",
    "symgraph.gradient_check",
    "symgraph.inspect.explain",
    "symgraph.inspect.summary",
    "symgraph.nn",
)


def test_what_a_first_graph_does_not_need_is_imported_when_it_is_asked_for():
    late = (*LATE, "symgraph.text.parser", "symgraph.train.checkpoint", "numpy.random", "json")
    asked = f"[m for m in {late} if m in sys.modules]"
    text = f"import sys, numpy; before = {asked}; import symgraph as sg; "
    text += f"print([m for m in {asked} if m not in before]); "
    text += (
        "sg.data, sg.explain, sg.jvp, sg.nn, sg.summary, sg.to_text, sg.check_gradient, sg.train.Checkpoint; "
    )
    text += f"print([m for m in {LATE} if m not in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    for package in (sg, sg.text, sg.train):
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
            package.nothing
