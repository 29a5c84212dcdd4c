"""Replay: planted faults are found at the right node, rewrite or kernel, and where there is none nothing is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import symgraph as sg
from models import lenet, one_hidden_layer
from symgraph.__main__ import main
from symgraph.expr import Expr
from symgraph.fetches import Locator
from symgraph.inspect.capsules import comparison
from symgraph.inspect.capsules.capsule import Capsule, held
from symgraph.inspect.capsules.replay import examine
from symgraph.ir import Graph
from symgraph.lowering import numpy_source
from symgraph.ops import arithmetic, logic, reduction, transcendental, trigonometry
from symgraph.ops.activations import Relu
from symgraph.ops.linalg import MatMul
from symgraph.ops.nn import Softmax
from symgraph.ops.shape import Concatenate, Transpose
from symgraph.ops.slicing import Flip, Pad, Slice
from symgraph.rewrite import Pass, Rewritten
from symgraph.transforms import common_subexpressions, constant_folding, fusion
from tests.inspect.planted import (
    DEFAULT,
    around,
    capsule,
    drawn,
    first,
    kernel_of,
    plant_llvm,
    plant_numpy,
    plant_pipeline,
    plant_rule,
    rule_named,
)
from tests.strategies import random_graph

HERE = Path(__file__).name


def network() -> Graph:
    """Two layers with a step of training."""
    x, y = sg.placeholder("x", ("batch", 6)), sg.placeholder("y", ("batch",), "int64")
    w, v = (sg.variable(n, s, init=sg.init.glorot_uniform) for n, s in (("w", (6, 5)), ("v", (5, 3))))
    logits = sg.relu(x @ w) @ v
    loss = sg.mean(sg.softmax_cross_entropy(logits, y))
    return sg.train.minimize(sg.define(loss=loss, logits=logits), "loss", sg.train.adam(0.01))


def batch(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {"x": rng.normal(size=(8, 6)).astype(np.float32), "y": rng.integers(0, 3, 8), **changes}


# Nothing planted


@pytest.mark.parametrize("numerics", ["bitwise", "safe", "fast"])
def test_a_sound_run_is_said_to_be_sound(tmp_path: Path, numerics: str) -> None:
    path = capsule(network(), batch(), tmp_path / "c", numerics=numerics)
    report = sg.replay(path)
    assert report.code == 0, str(report)
    assert report.agrees and "Nothing was found." in str(report)
    assert len(report.checked) == 5  # the declared graph, and of two backends the rewrites and the kernels


def test_a_sound_step_of_lenet_is_said_to_be_sound(tmp_path: Path) -> None:
    graph = lenet.graph()
    report = sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"])
    assert report.code == 0, str(report)


def test_what_a_rewrite_mends_is_a_note(tmp_path: Path) -> None:
    x = sg.placeholder("x", ("n",))
    graph = sg.define(y=sg.log(1.0 + sg.exp(x)))
    large = {"x": np.array([1000.0, -1000.0], np.float32)}
    report = sg.replay(capsule(graph, large, tmp_path / "c"))
    assert report.code == 0, str(report)
    assert "before it is rewritten, and not after: %2 (exp of %x: f32[n])" in report.notes[0]
    # Where rewriting may not mend it, it is a fault.
    strict = sg.replay(capsule(graph, large, tmp_path / "c", numerics="bitwise"))
    assert [one.op for one in strict.findings] == ["exp"]


@pytest.mark.parametrize("start", [0, *(pytest.param(k, marks=pytest.mark.heavy) for k in range(8, 400, 8))])
def test_random_runs_are_said_to_be_sound(start: int) -> None:
    """Rewrites and kernels, also at NaN, infinities and denormal numbers."""
    for seed in range(start, start + 8):
        sample = random_graph(seed)
        for values in (sample.values, sample.hostile(1)):
            report = examine(f"seed {seed}", _run_of(sample.graph, values, sample.sizes), ["numpy"])
            wrong = [one for one in report.findings if one.kind in ("rewrite", "pass", "kernel", "program")]
            assert not wrong, f"seed {seed}: {wrong[0]}"


def _run_of(graph: Graph, values: Any, sizes: Any) -> Capsule:
    feeds, variables = (
        tuple(held(name, np.asarray(values[name])) for name in leaves if name in values)
        for leaves in (graph.placeholders, graph.variables)
    )
    names = tuple(name for name, _ in graph.outputs)
    return Capsule(graph, feeds, variables, sizes, names, (), 0, 0, "numpy", "safe", None, None, "", {}, {})


def test_what_no_result_shows_is_a_note(tmp_path: Path) -> None:
    x = sg.placeholder("x", ("n",))
    graph = sg.define(y=sg.where(x > 0, sg.log(x), 0.0), mask=sg.softmax(sg.where(x > 0, x, -np.inf)))
    report = sg.replay(capsule(graph, {"x": np.array([-1.0, 1.0], np.float32)}, tmp_path / "c"))
    assert report.code == 0, str(report)
    assert "no result shows it" in report.notes[0]


# Feeds and variables that are not finite


def _image(value: float) -> dict[str, Any]:
    feeds = drawn(lenet.graph())
    feeds["x"][2, 3, 4] = value
    return feeds


def _cell(value: float) -> dict[str, Any]:
    feeds = batch()
    feeds["x"][5, 2] = value
    return feeds


def _hidden(**cells: float) -> dict[str, Any]:
    feeds = {"x": np.full((4, 784), 0.5), "y": np.ones((4, 1))}
    for name, value in cells.items():
        feeds[name][1, 0] = value
    return feeds


LEAVES: dict[str, tuple[Callable[[], Graph], Callable[[], dict[str, Any]], dict[str, Any], str]] = {
    "nan in a feed": (network, lambda: batch(x=np.full((8, 6), np.nan, np.float32)), {}, "x"),
    "inf in a feed": (network, lambda: _cell(np.inf), {}, "x"),
    "nan in a picture": (lenet.graph, lambda: _image(np.nan), {}, "x"),
    "nan in the data of the talk": (one_hidden_layer.graph, lambda: _hidden(x=np.nan), {}, "x"),
    "nan in a label": (one_hidden_layer.graph, lambda: _hidden(y=np.nan), {}, "y"),
    "minus inf in a label": (one_hidden_layer.graph, lambda: _hidden(y=-np.inf), {}, "y"),
    "nan in the first layer": (network, batch, {"w": np.full((6, 5), np.nan, np.float32)}, "w"),
    "inf in the second layer": (network, batch, {"v": np.full((5, 3), np.inf, np.float32)}, "v"),
    "nan in a bias": (one_hidden_layer.graph, _hidden, {"b1": np.full(64, np.nan)}, "b1"),
    "one nan in a bias": (one_hidden_layer.graph, _hidden, {"b2": np.array([np.nan])}, "b2"),
    "nan in a moment": (network, batch, {"w/adam_v": np.full((6, 5), np.nan, np.float32)}, "w/adam_v"),
}


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_that_is_not_finite(name: str, tmp_path: Path) -> None:
    make, feeds, variables, leaf = LEAVES[name]
    graph = make()
    with sg.Session(graph, backend="numpy") as session:
        for key, value in variables.items():
            session.variables.assign(key, value)
        session.capsule(tmp_path / "c", "loss", feeds(), "train")
    report = sg.replay(tmp_path / "c", backends=["numpy"])
    found = first(report)
    leaves = {**graph.placeholders, **graph.variables}
    assert (found.kind, found.op) == ("variable" if variables else "feed", leaves[leaf].op.name)
    assert repr(leaf) in found.message
    assert report.capsule.graph.nodes[found.node].op.label == leaf
    assert all(one.kind in ("feed", "variable") for one in report.findings), str(report)


# Operations that leave the finite numbers


OPERATIONS: dict[str, tuple[Callable[[Expr], Expr], float, str, str]] = {
    "log of a negative number": (lambda h: sg.log(h - 5.0), 1.0, "log", "invalid"),
    "log of 0": (lambda h: sg.log(h * 0.0), 1.0, "log", "pole"),
    "log1p below -1": (lambda h: sg.log1p(h - 9.0), 1.0, "log1p", "invalid"),
    "0 over 0": (lambda h: (h * 0.0) / (h * 0.0 + 0.0), 1.0, "div", "invalid"),
    "1 over 0": (lambda h: 1.0 / (h - h), 1.0, "div", "pole"),
    "reciprocal of 0": (lambda h: sg.reciprocal(h * 0.0), 1.0, "reciprocal", "pole"),
    "exp of 100": (lambda h: sg.exp(h * 100.0 + 100.0), 1.0, "exp", "overflow"),
    "exp of 800 in float64": (lambda h: sg.exp(sg.cast(h, "float64") + 800.0), 1.0, "exp", "overflow"),
    "sqrt of a negative number": (lambda h: sg.sqrt(h - 5.0), 1.0, "sqrt", "invalid"),
    "rsqrt of 0": (lambda h: sg.rsqrt(h * 0.0), 1.0, "rsqrt", "pole"),
    "cast to float32": (
        lambda h: sg.cast(sg.cast(h, "float64") + 1e300, "float32"),
        1.0,
        "cast",
        "overflow",
    ),
    "power of a negative number": (lambda h: (h - 5.0) ** 0.3, 1.0, "pow", "invalid"),
    "large power": (lambda h: (h + 10.0) ** 60.0, 1.0, "pow", "overflow"),
    "product": (lambda h: (h + 1e30) * (h + 1e30), 1.0, "mul", "overflow"),
    "square": (lambda h: sg.square(h + 1e30), 1.0, "square", "overflow"),
    "sum": (lambda h: sg.sum(h + 3e38, axis=1), 1.0, "sum", "overflow"),
    "matrix product": (lambda h: (h + 1e25) @ sg.transpose(h + 1e25), 1.0, "matmul", "overflow"),
    "asin of 2": (lambda h: sg.asin(h + 2.0), 1.0, "asin", "invalid"),
    "acosh of 0": (lambda h: sg.acosh(h * 0.0), 1.0, "acosh", "invalid"),
    "remainder of 0": (lambda h: sg.mod(h, h * 0.0), 1.0, "mod", "invalid"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_leaves_the_finite_numbers(name: str, tmp_path: Path) -> None:
    wrong, start, op, cause = OPERATIONS[name]
    x, w = sg.placeholder("x", ("n", 3)), sg.variable("w", (3, 4), init=sg.init.constant(start))
    hidden = sg.sigmoid(x @ w)
    at = wrong(hidden)
    # What comes after it spreads it; what stands beside it is sound.
    loss = sg.mean(sg.tanh(hidden)) + sg.sum(at * 2.0 + 1.0)
    graph = sg.define(loss=sg.cast(loss, "float32"))
    report = sg.replay(capsule(graph, {"x": np.ones((2, 3), np.float32)}, tmp_path / "c"), backends=["numpy"])
    found = first(report)
    assert (found.kind, found.op, found.where) == ("node", op, "declared"), str(report)
    assert found.node == Locator(report.capsule.graph)(at).id
    assert cause in found.message
    assert any(HERE in line for line in found.lines)
    assert found.operands


def test_a_node_that_raises(tmp_path: Path) -> None:
    x, i = sg.placeholder("x", (4,)), sg.placeholder("i", ("n",), "int64")
    graph = sg.define(y=sg.take(sg.exp(x), i))
    path = tmp_path / "c"
    with (
        sg.Session(graph, backend="numpy", capsule=path) as session,
        pytest.raises(sg.ExecutionError) as caught,
    ):
        session.run("y", {"x": np.ones(4, np.float32), "i": np.array([1, 7])})
    assert f"python -m symgraph replay {path}" in str(caught.value)
    report = sg.replay(path)
    found = first(report)
    assert (found.kind, found.op) == ("error", "take")
    assert "7" in found.message
    assert len(report.findings) == 1, "backends that raise as the interpreter does have no fault of their own"


def test_what_a_node_raises_at_comes_before_it(tmp_path: Path) -> None:
    x = sg.placeholder("x", (4,))
    graph = sg.define(y=sg.assert_finite(sg.log(x) * 2.0))
    report = sg.replay(capsule(graph, {"x": -np.ones(4, np.float32)}, tmp_path / "c"))
    assert [(one.kind, one.op) for one in report.findings] == [("node", "log"), ("error", "assert_finite")]


# Wrong rules


WRONG_RULES: dict[str, Callable[..., Any] | None] = {
    **dict.fromkeys(
        (
            "neg-of-neg", "mul-one", "add-minus-zero", "pow-two", "square-of-neg", "transpose-of-transpose",
            "reshape-of-reshape", "scale-of-scaled", "max-of-max", "slice-of-slice", "abs-of-neg", "sum-of-sum",
            "where-true", "not-of-not", "add-zero-integers", "one-minus-sigmoid", "log-softmax", "exp-minus-one",
            "softmax-cross-entropy", "normalised-quotient", "log-sum-exp", "transpose-of-product",
            "transpose-into-right", "broadcast-of-operand", "sum-of-broadcast", "sum-of-transpose",
            "max-of-broadcast", "sum-of-enlarged",
        )
    ),
    # As a person would get them wrong.
    "log-one-plus-exp": lambda z: sg.softplus(-z),
    "sub-of-neg": lambda x, y: x - y,
    "div-by-number": lambda x, c: x * (1.001 / c),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_RULES)
def test_a_wrong_rule(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = plant_rule(monkeypatch, name, WRONG_RULES[name])
    graph = around(name)
    report = sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"])
    found = first(report)
    assert (found.kind, found.rule, found.where) == ("rewrite", name, of), str(report)
    assert found.worst is not None
    assert {one.rule for one in report.findings} == {name}, str(report)
    ledger = report.capsule.ledger.splitlines()
    assert any(line.startswith(f"{found.step:4d} {of}: {name} ") for line in ledger)


def test_a_wrong_rule_of_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_rule(monkeypatch, "conv2d-with-channels-last")
    x, k = sg.placeholder("x", (2, 3, 6, 6)), sg.variable("k", (3, 3, 3, 4), init=sg.init.glorot_uniform)
    graph = sg.define(y=sg.relu(sg.conv2d(x, k, layout="NCHW")))
    report = sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["llvm"])
    found = first(report)
    assert (found.kind, found.rule, found.where) == ("rewrite", "conv2d-with-channels-last", "channels_last")
    assert sg.replay(tmp_path / "c", backends=["numpy"]).code == 0  # which does not run that pass


# Wrong passes


def test_wrong_folding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = constant_folding.fold

    def wrong(expr: Expr) -> Any:
        hit = right(expr)
        return hit and attrs.evolve(hit, replacement=sg.constant(hit.replacement.op.value.array * 2))

    monkeypatch.setattr(constant_folding, "fold", wrong)
    x = sg.placeholder("x", (3,))
    graph = sg.define(y=x * sg.exp(sg.constant(1.5)))
    found = first(sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"]))
    assert (found.kind, found.where, found.op) == ("rewrite", "constant_folding", "exp")


def test_wrong_merging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        common_subexpressions, "_key", lambda op, inputs, type_, numerics: (op, frozenset(inputs))
    )
    monkeypatch.setattr(common_subexpressions, "_has_repeats", lambda graph, numerics: True)
    x, y = sg.placeholder("x", (3,)), sg.placeholder("y", (3,))
    graph = sg.define(z=sg.tanh(x / y) + sg.sigmoid(y / x))
    found = first(sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"]))
    assert (found.kind, found.where, found.op) == ("rewrite", "common_subexpressions", "div")


def test_a_wrong_expansion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Softmax.expand
    monkeypatch.setattr(Softmax, "expand", lambda self, *inputs: right(self, *inputs) * 1.01)
    x = sg.placeholder("x", (3, 4))
    graph = sg.define(z=sg.softmax(sg.tanh(x)))
    found = first(sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"]))
    assert (found.kind, found.where, found.rule) == ("rewrite", "expand", "expand softmax")


def test_operands_swapped_by_fusion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fusion._region

    def wrong(*args: Any) -> Expr:
        made = right(*args)
        return Expr(made.op, made.inputs[::-1], made.type, made.origin)

    monkeypatch.setattr(fusion, "_region", wrong)
    x, y = sg.placeholder("x", (3,)), sg.placeholder("y", (3,))
    graph = sg.define(z=sg.exp(x) - sg.tanh(y))
    report = sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"])
    found = first(report)
    assert (found.kind, found.where, found.op) == ("pass", "fuse", "fused"), str(report)
    assert found.rule == "one kernel of 3 nodes"


def test_outputs_mixed_up_by_fusion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fusion.project
    monkeypatch.setattr(fusion, "project", lambda region, k: right(region, 1 - k))
    x = sg.placeholder("x", (3,))
    graph = sg.define(a=sg.exp(x), b=sg.tanh(sg.exp(x)))
    found = first(sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"]))
    assert (found.kind, found.where) == ("pass", "fuse")


def test_a_wrong_pass_without_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(graph: Graph, numerics: Any) -> Rewritten:
        nodes = tuple(
            attrs.evolve(node, op=arithmetic.Sub()) if isinstance(node.op, arithmetic.Add) else node
            for node in graph.nodes
        )
        return Rewritten(attrs.evolve(graph, nodes=nodes) if nodes != graph.nodes else graph)

    plant_pipeline(monkeypatch, (*DEFAULT, Pass("mine", apply)))
    x, y = sg.placeholder("x", (3,)), sg.placeholder("y", (3,))
    graph = sg.define(z=sg.tanh(sg.exp(x) + sg.sigmoid(y)) * 2.0)
    report = sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"])
    found = first(report)
    assert (found.kind, found.where, found.op) == ("pass", "mine", "sub"), str(report)


def test_passes_can_be_given(tmp_path: Path) -> None:
    _, right = rule_named("neg-of-neg")
    wrong = attrs.evolve(right, replacement=lambda x: x * 2.0)
    x = sg.placeholder("x", (3,))
    graph = sg.define(y=sg.neg(sg.neg(x)))
    path = capsule(graph, drawn(graph), tmp_path / "c")
    from symgraph.rewrite import rule_pass

    assert sg.replay(path).code == 0
    assert first(sg.replay(path, passes=[rule_pass("mine", [wrong])])).where == "mine"


# Wrong kernels


def _beside(build: Callable[[Expr], Expr]) -> Graph:
    """A network with an op in its middle, and kernels of others before and after it."""
    x, w = sg.placeholder("x", ("n", 6)), sg.variable("w", (6, 6), init=sg.init.glorot_uniform)
    inner = sg.cast(build(sg.cosh(x @ w)), "float32")
    return sg.define(loss=sg.mean(sg.erf(inner)), inner=inner)


KERNELS: dict[str, tuple[type, Callable[[Expr], Expr]]] = {
    "exp": (transcendental.Exp, lambda h: sg.exp(h * 0.1)),
    "log": (transcendental.Log, lambda h: sg.log(h + 1.5)),
    "sqrt": (transcendental.Sqrt, sg.sqrt),
    "sin": (trigonometry.Sin, sg.sin),
    "atan": (trigonometry.Atan, sg.atan),
    "sub": (arithmetic.Sub, lambda h: h - sg.flip(h, 1)),
    "div": (arithmetic.Div, lambda h: h / sg.flip(h, 1)),
    "square": (arithmetic.Square, sg.square),
    "abs": (arithmetic.Abs, lambda h: sg.abs(h - 2.0)),
    "floor": (arithmetic.Floor, lambda h: sg.floor(h * 3.0)),
    "maximum": (arithmetic.Maximum, lambda h: sg.maximum(h, 1.2)),
    "minimum": (arithmetic.Minimum, lambda h: sg.minimum(h, 1.2)),
    "less": (logic.Less, lambda h: h < 1.2),
    "where": (logic.Where, lambda h: sg.where(h < 1.2, h, 0.5)),
}
NUMPY_ONLY: dict[str, tuple[type, Callable[[Expr], Expr]]] = {
    "matmul": (MatMul, lambda h: h @ sg.transpose(h)),
    "sum": (reduction.Sum, lambda h: sg.sum(h, 1)),
    "max": (reduction.Max, lambda h: sg.max(h, 1)),
    "argmax": (reduction.ArgMax, lambda h: sg.argmax(h, 1)),
    "transpose": (Transpose, sg.transpose),
    "slice": (Slice, lambda h: h[:, 1:4]),
    "flip": (Flip, lambda h: sg.flip(h, 1)),
    "pad": (Pad, lambda h: sg.pad(h, ((0, 0), (1, 2)))),
    "concatenate": (Concatenate, lambda h: sg.concatenate([h, h * 2.0], 1)),
    "cast": (logic.Cast, lambda h: sg.cast(h, "float64") * 2.0),
}
NATIVE_ONLY: dict[str, tuple[type, Callable[[Expr], Expr]]] = {
    "relu": (Relu, lambda h: sg.relu(h - 1.2)),
    "sigmoid": (transcendental.Sigmoid, sg.sigmoid),
    "tanh": (trigonometry.Tanh, sg.tanh),
    "pow": (arithmetic.Pow, lambda h: h**1.7),
}


def _found(build: Callable[[Expr], Expr], op: type, backend: str, path: Path) -> None:
    graph = _beside(build)
    report = sg.replay(capsule(graph, drawn(graph), path / "c"), backends=[backend])
    found = first(report)
    assert (found.kind, found.where) == ("kernel", backend), str(report)
    assert found.node == kernel_of(sg.compile(report.capsule.graph, backend=backend).graph, op), str(report)
    assert op.name in found.message  # type: ignore[attr-defined]
    assert any(HERE in line for line in found.lines)
    assert found.worst is not None
    assert len(report.findings) == 1


@pytest.mark.parametrize("name", [*KERNELS, *NUMPY_ONLY])
def test_a_wrong_kernel_of_numpy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op, build = {**KERNELS, **NUMPY_ONLY}[name]
    plant_numpy(monkeypatch, op)
    _found(build, op, "numpy", tmp_path)


@pytest.mark.parametrize("name", [*KERNELS, *NATIVE_ONLY])
def test_a_wrong_native_kernel(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op, build = {**KERNELS, **NATIVE_ONLY}[name]
    plant_llvm(monkeypatch, op)
    _found(build, op, "llvm", tmp_path)


def test_a_kernel_that_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*args: Any) -> Any:
        raise RuntimeError("no code today")

    monkeypatch.setitem(numpy_source.KERNELS, Flip, raising)
    x = sg.placeholder("x", (3,))
    graph = sg.define(y=sg.exp(sg.flip(sg.sin(x), 0)))
    path = capsule(graph, drawn(graph), tmp_path / "c", backend="interpreter")
    found = first(sg.replay(path, backends=["numpy"]))
    assert (found.kind, found.op) == ("kernel", "flip")
    assert "no code today" in found.lines[-1]


def _overlapping(patch: pytest.MonkeyPatch) -> None:
    """Let all buffers of the NumPy backend begin at one place."""
    right = numpy_source.allocate

    def wrong(*args: Any) -> Any:
        memory = right(*args)
        places = {v: p if p.offset is None else attrs.evolve(p, offset=0) for v, p in memory.places.items()}
        buffers = tuple(attrs.evolve(b, offset=0) for b in memory.plan.buffers)
        return attrs.evolve(memory, places=places, plan=attrs.evolve(memory.plan, buffers=buffers))

    patch.setattr(numpy_source, "allocate", wrong)


def test_a_wrong_memory_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _overlapping(monkeypatch)
    x, y = sg.placeholder("x", (5, 5)), sg.placeholder("y", (5, 5))
    a, b = x @ y, y @ x
    graph = sg.define(z=(a @ b) @ (b @ a))
    report = sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"])
    found = first(report)
    assert found.kind == "program", str(report)
    assert "every kernel is right by itself" in found.message
    assert len(found.buffers) >= 2


def test_a_program_that_gives_other_bits_when_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, calls = numpy_source.KERNELS[MatMul], [0]

    def unsteady(step: Any, operands: list[str], writer: Any, rows: str | None) -> Any:
        calls[0] += 1  # as of a race: sound when the capsule is made, and in the first run of the replay
        made, share = right(step, operands, writer, rows), int(calls[0] > 2)
        return attrs.evolve(made, lines=lambda out: [*made.lines(out), f"{out}[0] += {share}"])

    monkeypatch.setitem(numpy_source.KERNELS, MatMul, unsteady)
    x, y = sg.placeholder("x", (5, 5)), sg.placeholder("y", (5, 5))
    graph = sg.define(z=sg.exp(x) @ y)
    found = first(sg.replay(capsule(graph, drawn(graph), tmp_path / "c"), backends=["numpy"]))
    assert (found.kind, found.op, found.where) == ("program", "matmul", "numpy")
    assert "other bits" in found.message


# Comparison


def test_bits_are_compared_where_that_is_promised() -> None:
    one = np.array([1.0, -0.0, np.nan, np.inf], np.float32)
    assert comparison.exact(one, one.copy()) is None
    for index, other in enumerate((np.nextafter(np.float32(1), np.float32(2)), 0.0, 1.0, -np.inf)):
        changed = one.copy()
        changed[index] = other
        worst = comparison.exact(one, changed)
        assert worst is not None and worst.index == (index,) and worst.count == 1


def test_what_is_close_is_within_the_bound_and_as_finite() -> None:
    one = np.array([1.0, np.nan, np.inf])
    assert comparison.close(one, one + 1e-9, 1e-8) is None
    assert comparison.close(one, one + 1e-7, 1e-8) is not None
    for index, other in ((0, np.nan), (1, 0.0), (2, -np.inf), (2, 5.0)):
        changed = one.copy()
        changed[index] = other
        assert comparison.close(one, changed, 1e-8).index == (index,)
    mended = np.array([1.0, 7.0, 5.0])
    assert comparison.close(one, mended, 1e-8, mended=True) is None
    assert comparison.close(mended, one, 1e-8, mended=True) is not None


# Names


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[31mred", "\u202eabc", "<img src=x onerror=alert(1)>", "../x", "%s{0}", '"']
)
def test_names_of_any_characters(name: str, tmp_path: Path) -> None:
    x, w = sg.placeholder(name, ("n",)), sg.variable(f"{name}.w", (), init=-1.0)
    graph = sg.define({f"{name}.y": sg.sum(sg.log(x * w))}, updates={"train": {w: w * 2.0}})
    report = sg.replay(capsule(graph, {name: np.ones(2, np.float32)}, tmp_path / "c"), backends=["numpy"])
    assert first(report).op == "log"
    assert all(line.isprintable() for line in str(report).split("\n"))
    assert [held.name for held in report.capsule.feeds] == [name]


# The command line


def test_the_command_tells_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = capsule(network(), batch(), tmp_path / "sound.capsule")
    broken = capsule(network(), batch(x=np.full((8, 6), np.inf, np.float32)), tmp_path / "broken.capsule")
    assert main(["replay", str(sound), "--backend", "numpy"]) == 0
    assert "Nothing was found." in capsys.readouterr().out
    assert main(["replay", str(broken), "--backend", "numpy"]) == 1
    assert "1. the feed 'x' is not finite" in capsys.readouterr().out
    assert main(["replay", str(broken), "--backend", "numpy", "--explore", str(tmp_path / "page.html")]) == 1
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "broken.capsule" in page
    capsys.readouterr()
    (tmp_path / "no.capsule").write_bytes(b"no")
    assert main(["replay", str(tmp_path / "no.capsule")]) == 2
    assert "no.capsule" in capsys.readouterr().err
    assert main(["replay", str(sound), "--limit", "100"]) == 2
    assert "100 are allowed" in capsys.readouterr().err
    assert main(["replay", str(sound), "--import", "no_such_module"]) == 2
    assert "no_such_module" in capsys.readouterr().err
    assert main(["replay", str(sound), "--backend", "abacus"]) == 2
    assert "abacus" in capsys.readouterr().err
