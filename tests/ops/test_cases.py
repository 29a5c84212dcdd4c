"""Every op means what it says: each case of `tests/cases`, against NumPy, differences and JAX.

A new op needs no test here: a `Case` in `tests/cases/MODULE.py` is enough.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

import tests.cases
from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import FeedError, ShapeError
from symgraph.expr import Expr, placeholder
from symgraph.ir import Constant, Graph, Op, Placeholder, Variable, specialise
from symgraph.lowering.interpreter import evaluate, interpret
from symgraph.ops.base import Elementwise
from symgraph.types import BOOL, FLOAT32, FLOAT64, INT32, INT64, Dim, TensorType
from tests import jax_oracle
from tests.cases import Case

STEP = 1e-5  # of central differences in float64: truncation and rounding errors are both near 1e-10
DIFFERENCES = 1e-6  # the relative error that derivatives may have against them
TOLERANCE = {FLOAT32: 1e-5, FLOAT64: 1e-12}
EDGES = 30  # entries of an operand that are moved one by one; of larger ones, a sample


def _collect() -> list[tuple[str, Case]]:
    names = sorted(module.name for module in pkgutil.iter_modules(tests.cases.__path__))
    modules = {name: importlib.import_module(f"tests.cases.{name}") for name in names}
    return [(name, case) for name, module in modules.items() for case in module.CASES]


ALL = _collect()


def cases(condition: Callable[[Case], bool] = lambda case: True) -> Any:
    """Parametrize a test by the cases that it applies to."""
    chosen = [(module, case) for module, case in ALL if condition(case)]
    return pytest.mark.parametrize(
        "case", [case for _, case in chosen], ids=[f"{module}-{case}" for module, case in chosen]
    )


def operands_of(case: Case, types: Sequence[TensorType] | None = None) -> list[Expr]:
    types = case.operand_types if types is None else types
    return [placeholder(f"x{i}", t.shape, t.dtype) for i, t in enumerate(types)]


@cache
def graph_of(case: Case) -> Graph:
    return define(out=case.function(*operands_of(case)))


def feeds(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    frozen = [np.array(array) for array in arrays]
    for array in frozen:
        array.flags.writeable = False  # an op that writes to its operands fails
    return {f"x{i}": array for i, array in enumerate(frozen)}


def run(graph: Graph, arrays: Sequence[np.ndarray], **more: np.ndarray) -> dict[str, np.ndarray]:
    return evaluate(graph, {**feeds(arrays), **more})[0]


def assert_agree(actual: Any, expected: Any, tolerance: float) -> None:
    """Equal within a tolerance relative to the largest entry, with NaN and infinities in the same places."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


def is_float(case: Case) -> bool:
    return graph_of(case)["out"].type.is_float


def has_gradient(case: Case) -> bool:
    return case.gradient and is_float(case) and any(t.is_float for t in case.operand_types)


def in_float64(case: Case) -> bool:
    """Whether differences are accurate enough: no float32 anywhere in the case."""
    dtypes = [node.type.dtype for node in graph_of(case).nodes if isinstance(node.type, TensorType)]
    return has_gradient(case) and FLOAT32 not in dtypes


def with_gradient(case: Case, types: Sequence[TensorType] | None = None) -> tuple[Graph, list[int]]:
    """The graph of the cotangents "d0", "d1"... of float operands, given "g", that of the result."""
    xs = operands_of(case, types)
    out = case.function(*xs)
    g = placeholder("g", out.shape, out.dtype)
    floats = [i for i, x in enumerate(xs) if x.type.is_float]
    found = backward(out, [xs[i] for i in floats], g)
    return define({"out": out, **{f"d{i}": d for i, d in zip(floats, found, strict=True)}}), floats


def cotangent_for(case: Case) -> np.ndarray:
    type_ = graph_of(case)["out"].type
    return np.asarray(np.random.default_rng(7).normal(size=type_.shape)).astype(type_.dtype)


@cases()
def test_every_value_has_the_inferred_type(case: Case) -> None:
    graph = graph_of(case)
    arrays = case.draw()
    for node, value in zip(graph.nodes, interpret(graph, feeds(arrays)), strict=True):
        for type_, array in zip(
            getattr(node.type, "items", (node.type,)),
            value if isinstance(value, tuple) else (value,),
            strict=True,
        ):
            assert (array.dtype, array.shape) == (type_.dtype, type_.shape), node


@cases(lambda case: case.reference is not None)
def test_value_is_that_of_the_reference(case: Case) -> None:
    arrays = case.draw()
    actual = run(graph_of(case), arrays)["out"]
    assert case.reference is not None
    expected = np.asarray(case.reference(*arrays))
    assert actual.shape == expected.shape
    if case.exact or actual.dtype.kind != "f":
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)
    else:
        assert_agree(actual, expected, TOLERANCE[actual.dtype])


@cases(in_float64)
def test_cotangents_equal_central_differences(case: Case) -> None:
    graph, floats = with_gradient(case)
    arrays, g = case.draw(), cotangent_for(case)
    found = run(graph, arrays, g=g)
    forward = graph_of(case)
    rng = np.random.default_rng(11)
    for i in floats:
        x, d = arrays[i], found[f"d{i}"]
        assert (d.dtype, d.shape) == (x.dtype, x.shape)
        entries = range(x.size) if x.size <= EDGES else rng.choice(x.size, EDGES, replace=False)
        scale = max(1.0, float(np.abs(d).max(initial=0.0)))
        for entry in entries:
            step = np.zeros(x.size)
            step[entry] = STEP
            moved = [
                np.sum(
                    g * run(forward, [*arrays[:i], x + sign * step.reshape(x.shape), *arrays[i + 1 :]])["out"]
                )
                for sign in (1, -1)
            ]
            expected = (moved[0] - moved[1]) / (2 * STEP)
            assert abs(d.ravel()[entry] - expected) <= DIFFERENCES * scale, (
                i,
                entry,
                d.ravel()[entry],
                expected,
            )


@cases(lambda case: case.smooth and in_float64(case))
def test_second_derivatives_equal_differences_of_the_first(case: Case) -> None:
    xs = operands_of(case)
    out = case.function(*xs)
    g = placeholder("g", out.shape, out.dtype)
    floats = [i for i, x in enumerate(xs) if x.type.is_float]
    first = backward(out, [xs[i] for i in floats], g)
    directions = [placeholder(f"v{i}", xs[i].shape, xs[i].dtype) for i in floats]
    # v . gradient, a scalar, has the gradient H v.
    slope = ops.sum(out * 0.0)
    for d, v in zip(first, directions, strict=True):
        slope = slope + ops.sum(d * v)
    second = backward(slope, [xs[i] for i in floats], disconnected="zero")
    graph = define({"slope": slope, **{f"h{i}": h for i, h in zip(floats, second, strict=True)}})
    arrays = case.draw()
    rng = np.random.default_rng(13)
    more = {f"v{i}": np.asarray(rng.normal(size=arrays[i].shape)) for i in floats}
    more["g"] = cotangent_for(case)
    found = run(graph, arrays, **more)
    for _ in range(3):
        along = {i: np.asarray(rng.normal(size=arrays[i].shape)) for i in floats}
        moved = [
            run(
                graph, [x + sign * STEP * along[i] if i in along else x for i, x in enumerate(arrays)], **more
            )["slope"]
            for sign in (1, -1)
        ]
        terms = [found[f"h{i}"] * u for i, u in along.items()]
        scale = max(1.0, sum(float(np.abs(t).sum()) for t in terms))
        expected = (moved[0] - moved[1]) / (2 * STEP)
        assert abs(sum(float(t.sum()) for t in terms) - expected) <= 1e-5 * scale


@cases(lambda case: has_gradient(case) and not in_float64(case))
def test_cotangents_in_float32_are_those_in_float64(case: Case) -> None:
    graph, floats = with_gradient(case)
    arrays, g = case.draw(), cotangent_for(case)
    found = run(graph, arrays, g=g)
    wide = [t.with_dtype(FLOAT64) if t.dtype == FLOAT32 else t for t in case.operand_types]
    exact_graph, _ = with_gradient(case, wide)
    dtype = exact_graph["g"].type.dtype if "g" in exact_graph.placeholders else FLOAT64
    exact = run(
        exact_graph, [a.astype(t.dtype) for a, t in zip(arrays, wide, strict=True)], g=g.astype(dtype)
    )
    for i in floats:
        assert (found[f"d{i}"].dtype, found[f"d{i}"].shape) == (arrays[i].dtype, arrays[i].shape)
        assert_agree(found[f"d{i}"], exact[f"d{i}"], 1e-4)


def _known_to_jax(case: Case) -> bool:
    """The first case of a name, and the first that broadcasts: JAX compiles for each shape."""
    if case.name not in jax_oracle.ORACLES:
        return False
    named = [other for _, other in ALL if other.name == case.name]
    broadcast = [other for other in named if len({t.shape for t in other.operand_types}) > 1]
    return case in (named[:1] + broadcast[:1])


@cases(_known_to_jax)
def test_jax_agrees(case: Case) -> None:
    arrays = case.draw()
    differentiable = in_float64(case)
    g = cotangent_for(case) if differentiable else None
    value, cotangents = jax_oracle.value_and_cotangents(jax_oracle.ORACLES[case.name], arrays, g)
    actual = run(graph_of(case), arrays)["out"]
    if actual.dtype.kind != "f":
        np.testing.assert_array_equal(actual, value)
    else:
        assert_agree(actual, value, TOLERANCE[actual.dtype])
    if g is not None:
        graph, floats = with_gradient(case)
        found = run(graph, arrays, g=g)
        for i, expected in zip(floats, cotangents, strict=True):
            assert_agree(found[f"d{i}"], expected, 1e-11)


def _namings(case: Case) -> list[list[TensorType]]:
    """The operands' types with each size in turn a named one, wherever it occurs."""
    types = case.operand_types
    sizes = dict.fromkeys(size for t in types for size in t.shape if size != 1)
    return [
        [
            t.with_shape(TensorType(t.dtype, tuple("batch" if d == size else d for d in t.shape)).shape)
            for t in types
        ]
        for size in sizes
    ]


def _with_a_named_size(case: Case) -> tuple[Graph, dict[str, int]] | None:
    """The graph of the case, with its gradient, in the first naming that it takes, and the size."""
    for types in _namings(case):
        shapes = [(named.shape, own.shape) for named, own in zip(types, case.operand_types, strict=True)]
        pairs = [pair for named, own in shapes for pair in zip(named, own, strict=True)]
        sizes = {str(d): int(s) for d, s in pairs if isinstance(d, Dim)}
        try:
            out = case.function(*operands_of(case, types))
            graph = with_gradient(case, types)[0] if has_gradient(case) else define(out=out)
            specialise(graph, sizes)
        except (ShapeError, FeedError):
            continue
        return graph, sizes
    return None


def _word(case: Case) -> str:
    found = re.match(r"\w+", case.name)
    return found[0] if found else case.name


@cases(lambda case: case.named and any(d != 1 for t in case.operand_types for d in t.shape))
def test_named_sizes_give_the_same(case: Case) -> None:
    found = _with_a_named_size(case)
    if (
        found is None
    ):  # sizes or indices that are written in the call fix the shape: then another use has none
        relatives = [other for _, other in ALL if _word(other) == _word(case) and other is not case]
        assert any(_with_a_named_size(other) for other in relatives), "no use of it takes a named size"
        return
    graph, sizes = found
    arrays = case.draw()
    more = {"g": cotangent_for(case)} if has_gradient(case) else {}
    named = evaluate(graph, {**feeds(arrays), **more}, sizes)[0]
    static = run(with_gradient(case)[0] if has_gradient(case) else graph_of(case), arrays, **more)
    for name, expected in static.items():
        assert_agree(named[name], expected, TOLERANCE.get(expected.dtype, 0.0))


def _expands(case: Case) -> bool:
    return any(type(node.op).expand is not Op.expand for node in graph_of(case).nodes)


@cases(_expands)
@pytest.mark.parametrize("magnitude", [1.0, 1e4])
def test_expansions_agree_with_evaluate(case: Case, magnitude: float) -> None:
    graph = graph_of(case)
    arrays = [(a * magnitude).astype(a.dtype) if a.dtype.kind == "f" else a for a in case.draw()]
    values = interpret(graph, feeds(arrays))
    for node in graph.nodes:
        operand_types = [graph.nodes[i].type for i in node.inputs]
        if not all(isinstance(t, TensorType) for t in operand_types):
            continue
        xs = [placeholder(f"x{i}", t.shape, t.dtype) for i, t in enumerate(operand_types)]
        expanded = node.op.expand(*xs)
        if expanded is not None:
            assert expanded.type == node.type
            actual = run(define(out=expanded), [values[i].copy() for i in node.inputs])["out"]
            assert_agree(actual, values[node.id], TOLERANCE.get(actual.dtype, 0.0))


# The algebra that ops declare, on hostile values.

_INTEGERS = [-(2**31), -7, -2, -1, 0, 1, 2, 3, 2**31 - 1]
_FLOATS = [-np.inf, -1e30, -2.5, -1.0, -0.5, -1e-40, -0.0, 0.0, 1e-40, 0.5, 1.0, 2.5, 1e30, np.inf, np.nan]
HOSTILE = {
    BOOL: np.array([False, True]),
    INT32: np.array(_INTEGERS, np.int32),
    INT64: np.array([*_INTEGERS, -(2**63), 2**63 - 1]),
    FLOAT32: np.array(_FLOATS, np.float32),
    FLOAT64: np.array([*_FLOATS, -1e300, 1e300, 5e-324]),
}


def _elementwise() -> list[Op]:
    found = {n.op: None for _, case in ALL for n in graph_of(case).nodes if isinstance(n.op, Elementwise)}
    return sorted(found, key=repr)


def elementwise(condition: Callable[[Any], bool]) -> Any:
    chosen = [op for op in _elementwise() if condition(op)]
    return pytest.mark.parametrize("op", chosen, ids=[op.name for op in chosen])


def _arrays(op: Any) -> list[np.ndarray]:
    return [HOSTILE[dtype] for dtype in HOSTILE if dtype.kind in op.kinds]


def _apply(op: Op, *arrays: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(op.evaluate(*arrays))


def _bits(array: np.ndarray) -> bytes:
    return (
        np.where(np.isnan(array), np.nan, array).astype(array.dtype).tobytes()
        if array.dtype.kind == "f"
        else array.tobytes()
    )


@elementwise(lambda op: op.commutative)
def test_commutative(op: Op) -> None:
    for values in _arrays(op):
        x, y = values[:, None], values[None, :]
        np.testing.assert_array_equal(_apply(op, x, y), _apply(op, y, x))


@elementwise(lambda op: op.associative)
def test_associative(op: Op) -> None:
    rng = np.random.default_rng(0)
    for values in _arrays(op):
        drawn = (
            rng.normal(size=(3, 50)).astype(values.dtype)
            if values.dtype.kind == "f"
            else rng.choice(values, (3, 50))
        )
        x, y, z = drawn
        left, right = _apply(op, _apply(op, x, y), z), _apply(op, x, _apply(op, y, z))
        if values.dtype.kind == "f":
            np.testing.assert_allclose(left, right, rtol=1e-4)
        else:
            np.testing.assert_array_equal(left, right)


@elementwise(lambda op: op.identity is not None)
def test_identity_changes_no_bit(op: Op) -> None:
    for values in _arrays(op):
        neutral = np.asarray(op.identity).astype(values.dtype)
        assert _bits(_apply(op, values, neutral)) == _bits(values)
        if op.commutative:
            assert _bits(_apply(op, neutral, values)) == _bits(values)


@elementwise(lambda op: op.idempotent)
def test_idempotent(op: Op) -> None:
    operand_count = _arity(op)
    for values in _arrays(op):
        once = values if operand_count == 2 else _apply(op, values)
        assert _bits(_apply(op, *[once] * operand_count)) == _bits(once)


def _arity(op: Op) -> int:
    return next(len(n.inputs) for _, case in ALL for n in graph_of(case).nodes if n.op == op)


@elementwise(lambda op: op.monotone)
def test_monotone(op: Op) -> None:
    rng = np.random.default_rng(0)
    for hostile in _arrays(op):
        values = hostile
        if hostile.dtype.kind == "f":
            drawn = [rng.normal(size=2000) * 3, rng.uniform(-1, 1, 2000), 10.0 ** rng.uniform(-30, 30, 2000)]
            values = np.concatenate([hostile, *drawn]).astype(hostile.dtype)
        found = _apply(op, np.sort(values))
        kept = found[~np.isnan(found)] if found.dtype.kind == "f" else found
        below, above = kept[:-1], kept[1:]
        with np.errstate(invalid="ignore"):
            slack = 4 * np.spacing(np.abs(below)) if kept.dtype.kind == "f" else 0
            assert np.all((above >= below) | (below - above <= slack))


def _concrete(cls: type[Op]) -> bool:
    return bool(cls.name) and cls.evaluate is not Op.evaluate and cls not in (Constant, Placeholder, Variable)


COVERED = [m.name for m in pkgutil.iter_modules(ops.__path__) if m.name in {module for module, _ in ALL}]


@pytest.mark.parametrize("module", COVERED)
def test_every_op_of_a_module_has_a_case(module: str) -> None:
    defined = importlib.import_module(f"symgraph.ops.{module}")
    classes = {
        cls
        for _, cls in inspect.getmembers(defined, inspect.isclass)
        if issubclass(cls, Op) and cls.__module__ == defined.__name__ and _concrete(cls)
    }
    missing = classes - _ops_of_cases()
    named = (made for _, case in ALL if (made := _with_a_named_size(case)) is not None)
    while missing and (found := next(named, None)) is not None:  # an op that only named sizes need
        missing -= {type(node.op) for node in found[0].nodes}
    assert not missing


@cache
def _ops_of_cases() -> frozenset[type[Op]]:
    graphs = [with_gradient(case)[0] if has_gradient(case) else graph_of(case) for _, case in ALL]
    return frozenset(type(node.op) for graph in graphs for node in graph.nodes)
