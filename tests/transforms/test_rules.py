"""Every rule, one by one: its golden text before and after, and its numbers on hostile operands.

To write the golden texts anew: SYMGRAPH_GOLDEN=write python -m pytest tests/transforms/test_rules.py
"""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from symgraph.ir import Graph
from symgraph.lowering.interpreter import evaluate
from symgraph.rewrite import Rule, rewrite, rules_rewriter
from symgraph.text import to_text
from symgraph.transforms import systems
from symgraph.types import dimension_names
from tests.transforms.exactly import exact_value
from tests.transforms.examples import DTYPES, RULES, Example, examples

FLOATS = ("float32", "float64")
GOLDEN = Path(__file__).parent.parent / "golden"
ALL = [(name, rule) for name, rules in RULES.items() for rule in rules]
IDS = [rule.name for _, rule in ALL]
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, np.nan, np.inf, -np.inf)
WIDE = (1e-3, -0.7, 2.5, 17.0, -17.0, 90.0, -90.0, 1e4, -1e4, 1e-20, -1e19)
ORDINARY = (0.5, 0.75, 1.0, 1.25, 2.0, 3.0)
SEEDS = range(6)  # draws for operands that are no vector of length n


def floats(dtype: str) -> tuple[float, ...]:
    """NaN, infinities, zeros, denormals, the largest and the smallest, and usual numbers."""
    limits = np.finfo(dtype)
    edges = (limits.smallest_subnormal, -limits.smallest_subnormal * 3, limits.tiny, limits.max, -limits.max)
    return (*SPECIAL, *WIDE, *map(float, edges))


def pool(dtype: str, kind: str = "hostile") -> np.ndarray:
    if dtype == "bool":
        return np.array([False, True])
    if dtype.startswith("int"):
        limits = np.iinfo(dtype)
        small = [0, 1, -1, 2, 3, -7]
        return np.array(small if kind != "hostile" else [*small, limits.max, limits.min], dtype)
    chosen = {
        "hostile": floats(dtype),
        "finite": tuple(v for v in floats(dtype) if np.isfinite(v)),
        "special": SPECIAL,
    }
    return np.array(chosen.get(kind, ORDINARY)).astype(dtype)


def feeds(graph: Graph, kind: str) -> list[tuple[dict[str, np.ndarray], dict[str, int]]]:
    """Values for the leaves: all combinations where all are vectors of n, else several draws; and none at all."""
    nodes = list(graph.placeholders.values())
    pools = [pool(node.type.dtype.name, kind) for node in nodes]
    if all(len(n.type.shape) == 1 and dimension_names(n.type.shape[0]) for n in nodes):
        combined = list(itertools.product(*pools))
        columns = [np.array(c, p.dtype) for c, p in zip(zip(*combined, strict=True), pools, strict=True)]
        full = {n.op.label: column for n, column in zip(nodes, columns, strict=True)}
        empty = {label: column[:0] for label, column in full.items()}
        return [(full, {"n": len(combined)}), (empty, {"n": 0})]
    made = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        shapes = [tuple(d if isinstance(d, int) else 5 for d in n.type.shape) for n in nodes]
        drawn = [rng.choice(p, shape).astype(p.dtype) for p, shape in zip(pools, shapes, strict=True)]
        made.append(({n.op.label: a for n, a in zip(nodes, drawn, strict=True)}, {"n": 5}))
    return made


def run(graph: Graph, values: dict[str, np.ndarray], sizes: dict[str, int]) -> np.ndarray:
    return np.asarray(evaluate(graph, values, sizes)[0]["out"])


def bits(array: np.ndarray) -> bytes:
    """The bits, with one NaN for all: which NaN comes out of an operation is not part of its meaning."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return np.ascontiguousarray(array).tobytes()


def ulp(array: np.ndarray) -> np.ndarray:
    limits = np.finfo(array.dtype)
    if array.size == 0:
        return np.ones((1,), array.dtype)
    return np.maximum(np.spacing(np.minimum(np.abs(array), limits.max / 2)), limits.smallest_subnormal)


@pytest.mark.parametrize("name", RULES)
def test_golden_texts(name: str) -> None:
    sections = []
    for rule in RULES[name]:
        example = examples(rule)[0]
        head = f"# {rule.name} ({rule.numerics}{'' if rule.bound is None else f', {rule.bound:g} ulp'})"
        texts = [to_text(g, comments=False) for g in (example.before, example.after)]
        sections.append("\n".join([head, *texts]))
    made = "\n\n".join(sections) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("SYMGRAPH_GOLDEN") == "write":
        path.write_text(made)
    assert path.read_text() == made, "the rules changed: look at the difference, then write the text anew"


def test_every_rule_has_an_example_and_a_name_of_its_own() -> None:
    assert [rule.name for _, rule in ALL if not examples(rule)] == []
    assert len(set(IDS)) == len(IDS)


@pytest.mark.parametrize(("name", "rule"), ALL, ids=IDS)
def test_numbers(name: str, rule: Rule) -> None:
    check = {"exact": check_exact, "stabilises": check_stabilises, "reassociates": check_reassociates}
    dtypes = FLOATS if rule.numerics == "stabilises" else DTYPES
    with np.errstate(all="ignore"):
        for example in examples(rule, dtypes):
            check[rule.numerics](example)


def check_exact(example: Example) -> None:
    for values, sizes in feeds(example.before, "hostile"):
        before, after = (run(g, values, sizes) for g in (example.before, example.after))
        assert bits(before) == bits(after), (values, before, after)


# Differences of terms that may be larger than the result, as rounded as the largest of them.
DIFFERENCES = {
    "probability-times-sum",
    "softmax-cross-entropy",
    "shifted-logsumexp",
    "less-softplus",
    "softplus-less",
    "log-softmax",
    "less-logsumexp",
}


# The largest element is subtracted before the exponential: an ulp of it is a relative error of the result.
SHIFTED = {"normalised-quotient"}
# What is divided by and multiplied by is gone, and its NaN with it; the sigmoid of -90 is 0 in float32, and
# exp(-90) is not.
NOT_SPECIAL = {"cancel-in-mul", "cancel-in-div", "normalised-product"}


# Stable as wholes, and not element by element: see tests/transforms/test_systems.py.
SYSTEMS = {rule.name for rule in systems.RULES}


def check_stabilises(example: Example) -> None:
    """More accurate than before (within 2 ulp), finite where the truth is; NaN stays NaN."""
    if example.rule.name in SYSTEMS:
        return
    for values, sizes in feeds(example.before, "finite"):
        before, after = (run(g, values, sizes) for g in (example.before, example.after))
        truth = exact_value(example.before, values, sizes)
        known = np.isfinite(truth)
        assert np.isfinite(after[known]).all(), (values, truth, after)
        scale = ulp(truth)
        if example.rule.name in DIFFERENCES:
            scale = np.maximum(scale, max(float(ulp(v).max()) for v in values.values()))
        if example.rule.name in SHIFTED:
            scale = np.maximum(scale, np.abs(truth) * max(float(ulp(v).max()) for v in values.values()))
        with np.errstate(all="ignore"):
            worse = np.abs(after - truth) - np.where(np.isfinite(before), np.abs(before - truth), np.inf)
        wrong = known & (worse > 2 * scale)
        assert not wrong.any(), [a[wrong] for a in (truth, before, after)] + [
            v[wrong] if v.shape == wrong.shape else v for v in values.values()
        ]
    if example.rule.name in NOT_SPECIAL:
        return
    for values, sizes in feeds(example.before, "hostile"):
        before, after = (run(g, values, sizes) for g in (example.before, example.after))
        if all(value.shape == before.shape for value in values.values()) and "n" in sizes:
            infinite = np.isinf(before) & np.any([np.isinf(v) for v in values.values()], axis=0)
            unknown = np.any([np.isnan(v) for v in values.values()], axis=0)
            assert (after[infinite] == before[infinite]).all(), (values, before, after)
            assert np.isnan(after[unknown]).all(), (values, before, after)


# Infinite logits are no logits: the fused op gives NaN.
FINITE_ONLY = {"sigmoid-cross-entropy", "negative-sigmoid-cross-entropy", "sigmoid-cross-entropy-of-parts"}


def check_reassociates(example: Example) -> None:
    rule = example.rule
    for values, sizes in feeds(example.before, "ordinary"):
        before, after = (run(g, values, sizes) for g in (example.before, example.after))
        if before.dtype.kind != "f":
            assert (before == after).all()
            continue
        largest = max(
            [
                float(np.abs(before).max(initial=0)),
                *(float(np.abs(v).max(initial=0)) for v in values.values()),
            ]
        )
        bound = 16.0 if rule.bound is None else rule.bound
        assert (np.abs(after - before) <= bound * np.spacing(before.dtype.type(largest))).all(), (
            before,
            after,
        )
    if rule.bound is None or rule.name in FINITE_ONLY:
        return
    for values, sizes in feeds(example.before, "hostile"):  # nothing overflows that did not
        before, after = (run(g, values, sizes) for g in (example.before, example.after))
        assert np.isfinite(after[np.isfinite(before)]).all(), (values, before, after)
    for values, sizes in feeds(example.before, "special"):
        before, after = (run(g, values, sizes) for g in (example.before, example.after))
        for kind in (np.isnan, np.isposinf, np.isneginf):
            assert (kind(before) == kind(after)).all(), (values, before, after)
        if rule.bound > 0:
            zero = (before == 0) & (after == 0)
            assert (np.signbit(before)[zero] == np.signbit(after)[zero]).all(), (values, before, after)


def test_a_rule_that_does_not_match_leaves_the_graph_alone() -> None:
    for _, rule in ALL:
        for example in examples(rule, ("float32",)):
            again = rewrite(example.after, rules_rewriter([rule]), "test")
            assert again.rows == () or again.graph != example.after
            assert rewrite(again.graph, rules_rewriter([rule]), "test").graph is again.graph
