"""Replay finds faults that show in one element, at the border, in one dtype, or now and then."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.expr import Expr
from symgraph.inspect.capsules.findings import Finding
from symgraph.ir import Graph
from symgraph.lowering.llvm import convolution, matmul, program
from symgraph.rewrite import Pass, Rewritten
from symgraph.transforms import common_subexpressions, constant_folding
from tests.inspect.planted import (
    DEFAULT,
    around,
    capsule,
    drawn,
    first,
    plant_pipeline,
    plant_rule,
    rule_named,
)


def found(graph: Graph, folder: Path, backend: str = "numpy", feeds: Any = None, **options: Any) -> Finding:
    """The first finding of a run that is sound on the interpreter, where the capsule is made."""
    given = drawn(graph) if feeds is None else feeds
    made = capsule(graph, given, folder / "c", backend="interpreter", **options)
    return first(sg.replay(made, backends=[backend]))


def patched(patch: pytest.MonkeyPatch, right: Any, wrong: Any) -> None:
    """Put a function in the place of another wherever it was imported."""
    for module in [m for name, m in sys.modules.items() if name.startswith("symgraph")]:
        for name in [name for name, value in vars(module).items() if value is right]:
            patch.setattr(module, name, wrong)


# Rules


def last_element_off(made: Expr) -> Expr:
    """An expression whose last element alone is another."""
    off = np.zeros(made.shape, made.dtype)
    off.reshape(-1)[-1] = 1
    return made + sg.constant(off)


@pytest.mark.parametrize(
    "name", ["sum-of-transpose", "transpose-of-product", "broadcast-of-operand", "log-softmax"]
)
def test_a_rule_that_is_wrong_in_one_element(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = rule_named(name)[1]
    plant_rule(monkeypatch, name, lambda **captures: last_element_off(right.replacement(**captures)))
    finding = found(around(name), tmp_path)
    assert (finding.kind, finding.rule) == ("rewrite", name)
    assert finding.worst is not None and finding.worst.count == 1


SPECIAL: dict[str, tuple[float, Callable[..., Any]]] = {
    "negative zero": (-0.0, lambda x: 0.0 - (0.0 - x)),
    "denormal numbers": (1e-40, lambda x: sg.where(sg.abs(x) < 1e-38, 0.0, x)),
    "large numbers": (3e38, lambda x: sg.minimum(x, 1e38)),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_a_rule_that_is_wrong_at_special_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value, wrong = SPECIAL[name]
    plant_rule(monkeypatch, "neg-of-neg", wrong)
    graph = sg.define(y=sg.tanh(sg.neg(sg.neg(sg.placeholder("x", (3,))))))
    finding = found(graph, tmp_path, feeds={"x": np.array([1.0, value, 2.0], np.float32)})
    assert (finding.kind, finding.rule, finding.worst.index) == ("rewrite", "neg-of-neg", (1,))


# Passes


def test_folding_in_another_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = constant_folding.fold

    def wrong(expr: Expr) -> Any:
        hit = right(expr)
        return hit and attrs.evolve(
            hit,
            replacement=sg.constant(hit.replacement.op.value.array.astype(np.float32).astype(np.float64)),
        )

    monkeypatch.setattr(constant_folding, "fold", wrong)
    x = sg.placeholder("x", (3,), "float64")
    finding = found(sg.define(y=x * sg.exp(sg.constant(np.float64(1.3)))), tmp_path)
    assert (finding.kind, finding.where, finding.op) == ("rewrite", "constant_folding", "exp")


def test_merging_that_forgets_the_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common_subexpressions, "_key", lambda op, inputs, type_, _: (type(op), inputs, type_))
    monkeypatch.setattr(common_subexpressions, "_has_repeats", lambda graph, numerics: True)
    x = sg.placeholder("x", (3, 3))
    finding = found(sg.define(y=sg.sum(sg.exp(x), 0) * sg.sum(sg.exp(x), 1)), tmp_path)
    assert (finding.where, finding.op, finding.rule) == ("common_subexpressions", "sum", "merge-equal")


def test_a_pass_that_mixes_up_two_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(graph: Graph, numerics: Any) -> Rewritten:
        ((group, ((one, i), (two, k))),) = graph.updates
        return Rewritten(attrs.evolve(graph, updates=((group, ((one, k), (two, i))),)) if i < k else graph)

    plant_pipeline(monkeypatch, (*DEFAULT, Pass("mixed", mixed)))
    x, a, b = sg.placeholder("x", (3,)), *(sg.variable(n, (3,), init=1.0) for n in "ab")
    graph = sg.define({"y": a + b}, updates={"train": {a: a + x, b: b - x}})
    finding = found(graph, tmp_path)
    assert (finding.kind, finding.where) == ("pass", "mixed")


# Native kernels


def layers(images: int, count: int) -> Graph:
    """A convolution and a product, with a step of training.

    Kernels are kept by their sizes for the life of the process: a fault has sizes of its own, so that no other test
    is given a wrong one.
    """
    x, k = sg.placeholder("x", (images, 6, 7, 3)), sg.variable("k", (3, 3, 3, 4), init=sg.init.glorot_uniform)
    rows, w = sg.placeholder("rows", (count, 7)), sg.variable("w", (7, 5), init=sg.init.glorot_uniform)
    images = sg.relu(sg.conv2d(x, k, padding="same"))
    loss = sg.mean(sg.square(images)) + sg.mean(sg.tanh(rows @ w))
    return sg.train.minimize(sg.define(loss=loss), "loss", sg.train.sgd(0.1))


def test_a_native_product_that_stops_a_term_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And at one size alone."""
    right = matmul.write

    def wrong(b: Any, product: Any, *args: Any, **options: Any) -> Any:
        sizes = product.M, product.N, product.K
        short = attrs.evolve(product, K=6) if sizes == (9, 5, 7) else product
        return right(b, short, *args, **options)

    patched(monkeypatch, right, wrong)
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    finding = found(layers(2, 9), tmp_path, "llvm")
    assert finding.kind == "kernel" and "matmul" in finding.message


def test_a_native_convolution_with_a_wrong_border(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = convolution.around
    patched(monkeypatch, right, lambda planner, x, sides, _, node: right(planner, x, sides, 1e-3, node))
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    finding = found(layers(3, 10), tmp_path, "llvm")
    assert (finding.kind, finding.where) == ("kernel", "llvm") and "conv2d" in finding.message


def test_a_race_that_is_seldom_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two threads, and only in the third run of the program."""
    right, calls = program.lower, [0]

    @attrs.frozen
    class Racing:
        made: Any

        def __getattr__(self, name: str) -> Any:
            return getattr(self.made, name)

        def instance(self) -> Any:
            run = self.made.instance()

            def racing(values: Any, destinations: Any) -> Any:
                outputs = run(values, destinations)
                calls[0] += 1
                return [outputs[0] + np.float32(calls[0] == 3)]

            return racing

    monkeypatch.setattr(
        program,
        "lower",
        lambda graph, options: (
            right(graph, options)
            if options.threads == 1 or not graph.updates
            else Racing(right(graph, options))
        ),
    )
    finding = found(layers(2, 11), tmp_path, "llvm", threads=2)
    assert finding.kind == "program", str(finding)
    assert "other bits when it runs again" in finding.message
