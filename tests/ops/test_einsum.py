"""Einsum on random subscripts, its order of contraction, what it lowers to, and hostile texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import DTypeError, GraphError, ShapeError, SymgraphError
from symgraph.expr import placeholder
from symgraph.ops.einsum import parse
from tests.ops.running import run

SIZES = {"i": 2, "j": 3, "k": 1, "l": 4, "m": 2}
LABELS = st.text("ijklm", max_size=4)


@st.composite
def programs(draw):
    """Subscripts that are right, with the shapes of their operands."""
    inputs = draw(st.lists(LABELS, min_size=1, max_size=4))
    dotted = [draw(st.booleans()) for _ in inputs]
    lead = draw(st.sampled_from([(), (2,), (3, 1)]))
    shapes, texts = [], []
    for labels, dots in zip(inputs, dotted, strict=True):
        extra = lead[draw(st.integers(0, len(lead))) :] if dots else ()
        place = draw(st.integers(0, len(labels)))
        sizes = [SIZES[label] for label in labels]
        shapes.append((*sizes[:place], *extra, *sizes[place:]))
        texts.append(labels[:place] + "..." * dots + labels[place:])
    text = ",".join(texts)
    if draw(st.booleans()):
        known = sorted(set("".join(inputs)))
        chosen = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
        text += "->" + "..." * any(dotted) + "".join(chosen)
    return text, shapes


@given(programs())
def test_any_subscripts_that_numpy_takes(program):
    text, shapes = program
    rng = np.random.default_rng(1)
    arrays = {f"x{i}": rng.normal(size=shape) for i, shape in enumerate(shapes)}
    made = ops.einsum(text, *(placeholder(name, a.shape, "float64") for name, a in arrays.items()))
    expected = np.einsum(text, *arrays.values())
    assert made.shape == expected.shape
    np.testing.assert_allclose(run(made, **arrays), expected, rtol=1e-10, atol=1e-10)


@given(st.text("ij.,-> A1é\n", max_size=12), st.integers(0, 2), st.integers(0, 3))
def test_hostile_texts_are_an_error_or_what_numpy_says(text, rank, count):
    xs = [placeholder(f"x{i}", (2,) * rank, "float64") for i in range(count)]
    try:
        made = ops.einsum(text, *xs)
    except SymgraphError as error:
        assert str(error).startswith("einsum")
        return
    arrays = [np.random.default_rng(i).normal(size=(2,) * rank) for i in range(count)]
    expected = np.einsum(text, *arrays)
    np.testing.assert_allclose(run(made, **{f"x{i}": a for i, a in enumerate(arrays)}), expected, atol=1e-12)


@pytest.mark.parametrize(
    "text, ranks, error, message",
    [
        ("ij,jk->ik", (2,), GraphError, "the subscripts have 2 operands, and 1 are given"),
        ("ij->ij->i", (2,), GraphError, "does not belong"),
        ("i.j", (2,), GraphError, "'.' does not belong"),
        ("......", (2,), GraphError, "'.' does not belong"),
        ("i1", (2,), GraphError, "'1' does not belong"),
        ("ï", (1,), GraphError, "does not belong"),
        ("__import__('os')", (1,), GraphError, "'_' does not belong"),
        ("i\x00", (1,), GraphError, r"'\x00' does not belong"),
        ("i\udc80", (1,), GraphError, r"'\udc80' does not belong"),
        ("ij->ik", (2,), GraphError, "'k' is in the result and in no operand"),
        ("ij->ii", (2,), GraphError, "repeated in the result"),
        ("ij", (3,), ShapeError, "'ij' stands for 2 axes, and its operand has 3"),
        ("ij...", (1,), ShapeError, "stands for 2 or more axes, and its operand has 1"),
        ("...i->i", (2,), ShapeError, "the ellipsis stands for 1 axes"),
        (b"ij", (2,), GraphError, "the subscripts are text"),
        (None, (2,), GraphError, "the subscripts are text"),
        ("", (2,), ShapeError, "stands for 0 axes"),
        ("i" * 100_000, (2,), ShapeError, "stands for 100000 axes"),
    ],
)
def test_texts_that_do_not_parse(text, ranks, error, message):
    with pytest.raises(error) as raised:
        ops.einsum(text, *(placeholder(f"x{i}", (2,) * rank) for i, rank in enumerate(ranks)))
    assert message in raised.value.message


def test_other_errors_name_the_operands():
    with pytest.raises(ShapeError, match="'j' is 3 and 4") as error:
        ops.einsum("ij,jk", placeholder("left", (2, 3)), placeholder("right", (4, 5)))
    assert "right  f32[4,5]" in str(error.value)
    with pytest.raises(ShapeError, match="'i' is 1 and 3"):
        ops.einsum("ii", placeholder("x", (1, 3)))
    with pytest.raises(ShapeError, match="an axis of the ellipsis is 2 and 3"):
        ops.einsum("...,...", placeholder("x", (2,)), placeholder("y", (3,)))
    with pytest.raises(ShapeError, match="'i' is n and 3"):
        ops.einsum("i,i", placeholder("x", ("n",)), placeholder("y", (3,)))
    with pytest.raises(DTypeError, match="einsum takes floats or integers"):
        ops.einsum("i->", placeholder("x", (2,), "bool"))
    with pytest.raises(GraphError, match="there is no operand"):
        ops.einsum("i")


def names(*exprs):
    return [n.op.name for n in define({f"y{i}": e for i, e in enumerate(exprs)}).nodes if n.inputs]


@pytest.mark.parametrize("text", ["ij,jk->ik", "ij,kj->ik", "ji,jk->ik", "ij,jk->ki", "kj,ji->ik"])
def test_a_product_of_matrices_is_one_node(text):
    xs = [placeholder(name, (5, 5)) for name in "xy"]
    assert names(ops.einsum(text, *xs)) == ["matmul"]


def test_attention_is_a_product_of_batches():
    q, k = placeholder("q", ("b", "t", 4, 8)), placeholder("k", ("b", "s", 4, 8))
    scores = ops.einsum("bqhd,bkhd->bhqk", q, k)
    assert str(scores.type) == "f32[b,4,t,s]"
    assert names(scores).count("matmul") == 1
    assert "sum" not in names(scores)


def test_the_cheapest_pair_is_first():
    # A (1000 x 2), B (2 x 1000), C (1000 x 3): B C is 2 x 3, A B would be 1000 x 1000.
    a, b, c = (placeholder(n, s) for n, s in (("a", (1000, 2)), ("b", (2, 1000)), ("c", (1000, 3))))
    nodes = define(y=ops.einsum("ij,jk,kl->il", a, b, c)).nodes
    assert max(n.type.size for n in nodes if n.op.name == "matmul") == 3000


def test_many_operands_take_little_time():
    x = placeholder("x", (3,), "float64")
    found = run(ops.einsum(",".join("i" * 200) + "->", *[x] * 200), x=np.array([1.0, -1.0, 0.5]))
    assert found == 2 + 0.5**200


def test_what_is_off_the_diagonal_does_not_count():
    x = np.array([[1.0, np.nan], [np.inf, 2.0]])
    e = placeholder("x", ("n", "n"), "float64")
    np.testing.assert_array_equal(run(ops.einsum("ii->i", e), x=x), [1, 2])
    e = placeholder("x", (2, 2), "float64")
    (g,) = backward(ops.einsum("ii", e), [e])
    np.testing.assert_array_equal(run(g, x=x), np.eye(2))


def test_ellipses_are_counted_from_the_right():
    assert parse("i...,...j->...", (3, 2))[1] == ("...1", "...0")
