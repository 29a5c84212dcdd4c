"""Planted faults: wrong rules, passes, kernels and memory plans, and the runs that they go wrong in."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.define import lift
from symgraph.expr import Expr
from symgraph.inspect.capsules.findings import Finding
from symgraph.inspect.capsules.replay import Report
from symgraph.ir import Graph, Op
from symgraph.lowering.llvm.maths.elementwise import EMITTERS
from symgraph.lowering.numpy_ops import KERNELS, Emitted
from symgraph.ops.region import Fused
from symgraph.rewrite import Pass, Rule, rule_pass
from symgraph.transforms import canonicalise, channels_last, matmul, motion, pipeline, stabilise
from symgraph.transforms.pipeline import default_pipeline
from tests.transforms.examples import examples

RULES: Mapping[str, list[Rule]] = {
    "stabilise": stabilise.RULES,
    "canonicalise": canonicalise.RULES,
    "matmul": matmul.RULES,
    "motion": motion.RULES,
    "channels_last": channels_last.RULES,
}
DEFAULT = default_pipeline()


def capsule(
    graph: Graph, feeds: Mapping[Any, Any], path: Path, backend: str = "numpy", **options: Any
) -> Path:
    """A capsule of all outputs of a graph, and of its update group `train` if it has one."""
    update = "train" if any(name == "train" for name, _ in graph.updates) else None
    with sg.Session(graph, backend=backend, **options) as session:
        session.capsule(path, [name for name, _ in graph.outputs], feeds, update)
    return path


def first(report: Report) -> Finding:
    """The first finding, which is to be the fault."""
    assert report.code == 1, str(report)
    return report.findings[0]


# Rules


def spoiled(made: Expr | None) -> Expr | None:
    """An expression that is another value, and of the same type."""
    if made is None:
        return None
    if made.dtype.kind == "b":
        return sg.logical_not(made)
    return made + 0.5 if made.dtype.kind == "f" else made + 3


def rule_named(name: str) -> tuple[str, Rule]:
    """A rule with the name of its pass."""
    return next((of, rule) for of, rules in RULES.items() for rule in rules if rule.name == name)


def plant_rule(patch: pytest.MonkeyPatch, name: str, replacement: Callable[..., Any] | None = None) -> str:
    """Put a wrong rule in the place of the one of this name; returns the name of its pass."""
    of, right = rule_named(name)
    wrong = attrs.evolve(
        right, replacement=replacement or (lambda **captures: spoiled(right.replacement(**captures)))
    )
    rules = [wrong if rule is right else rule for rule in RULES[of]]
    if of == "channels_last":
        patch.setattr(channels_last, "RULES", rules)
    else:
        plant_pipeline(patch, tuple(rule_pass(of, rules) if one.name == of else one for one in DEFAULT))
    return of


def plant_pipeline(patch: pytest.MonkeyPatch, passes: tuple[Pass, ...]) -> None:
    """Let the compiler run these passes."""
    patch.setattr(pipeline, "default_pipeline", lambda: passes)


def around(name: str) -> Graph:
    """A network with the expression that a rule looks for in its middle."""
    dtypes = ("int32", "bool") if name.endswith("-integers") or name in BOOLS else ("float32",)
    example = next(e for dtype in dtypes for e in examples(rule_named(name)[1], (dtype,)))
    inner = lift(example.before)[example.before["out"].id]
    x, w = sg.placeholder("input", (4, 3)), sg.variable("weights", (3, 2), init=sg.init.glorot_uniform)
    share = sg.sum(sg.tanh(sg.cast(inner, "float32") * 0.1))
    return sg.define(loss=sg.mean(sg.relu(x @ w) + share), share=share)


BOOLS = ("not-of-not", "and-true")


def drawn(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Ordinary numbers for the placeholders of a graph; named sizes are 5."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, node in graph.placeholders.items():
        shape = tuple(d if isinstance(d, int) else 5 for d in node.type.shape)
        kind = node.type.dtype.kind
        values = (
            rng.uniform(0.5, 2.0, shape) if kind == "f" else rng.integers(0, 2 if kind == "b" else 9, shape)
        )
        made[name] = values.astype(node.type.dtype)
    return made


# Kernels


def spoil(out: np.ndarray) -> np.ndarray:
    """Other numbers."""
    return np.asarray(~out if out.dtype == bool else out + out.dtype.type(1))


def plant_numpy(patch: pytest.MonkeyPatch, op: type[Op]) -> None:
    """Let the NumPy backend write wrong code for an op."""
    right = KERNELS.get(op)

    def wrong(step: Any, operands: list[str], writer: Any, rows: str | None) -> Emitted:
        name = writer.use("spoil", spoil)
        if right is not None:
            made = right(step, operands, writer, rows)
            assert made is not None
            views = not made.lines("")[0].endswith(")") or made.lines("") == made.lines("out")
        else:
            ufunc = writer.use(f"f_{op.ufunc.__name__}", op.ufunc)  # type: ignore[attr-defined]
            made, views = Emitted(lambda out: [f"{ufunc}({', '.join(operands)}, out={out})"]), False
        if views:  # what there is to be wrong is which elements it shows
            return Emitted(lambda out: [f"{line}[::-1]" for line in made.lines(out)])
        return Emitted(lambda out: [*made.lines(out), f"{out}[...] = {name}({out})"], made.combine)

    patch.setitem(KERNELS, op, wrong)


def plant_llvm(patch: pytest.MonkeyPatch, op: type[Op]) -> None:
    """Let the native backend write wrong code for an op that works element by element."""
    right = EMITTERS[op]

    def wrong(b: Any, record: Op, values: list[Any]) -> Any:
        made = right(b, record, values)
        return b.not_(made) if made.type.name == "i1" else b.add(made, made)

    patch.setitem(EMITTERS, op, wrong)
    patch.setenv("SYMGRAPH_CACHE_DIR", "off")


def kernel_of(graph: Graph, op: type[Op]) -> int:
    """The first kernel of a fused graph that has an op."""
    return next(
        node.id
        for node in graph.nodes
        if isinstance(node.op, op)
        or (isinstance(node.op, Fused) and any(isinstance(n.op, op) for n in node.op.graph.nodes))
    )
