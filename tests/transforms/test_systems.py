"""What is gained by solving a system instead of inverting its matrix, and by not computing a determinant."""

import numpy as np
import pytest

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.expr import placeholder
from symgraph.lowering.interpreter import evaluate
from symgraph.ops.linalg import MatMul
from symgraph.rewrite import rewrite, rules_rewriter
from symgraph.transforms import systems
from symgraph.transforms.pipeline import optimise


def both(function, **arrays):
    """The value before the rules are applied, and after."""
    graph = define(out=function(**{k: placeholder(k, v.shape, v.dtype) for k, v in arrays.items()}))
    done = rewrite(graph, rules_rewriter(systems.RULES), "test")
    assert done.rows
    assert not {"inverse", "determinant"} & {n.op.name for n in done.graph.nodes}
    with np.errstate(all="ignore"):
        return [evaluate(g, arrays)[0]["out"] for g in (graph, done.graph)]


def hilbert(n, dtype):
    i = np.arange(n)
    return (1.0 / (i[:, None] + i + 1)).astype(dtype)


def residual(left, x, right):
    left, x, right = (v.astype(np.longdouble) for v in (left, x, right))
    size = np.abs(left).max() * np.abs(x).max()
    return float(np.abs(left @ x - right).max() / size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("flags", [(a, b) for a in (False, True) for b in (False, True)])
def test_products_with_an_inverse_leave_small_residuals(dtype, flags):
    n = 7 if dtype == "float32" else 12  # of a condition near 1 / epsilon
    a = hilbert(n, dtype) * np.arange(1, n + 1).astype(dtype)
    x = (
        np.random.default_rng(0).normal(size=(n, 2)).astype(dtype)
    )  # so that the right side is small beside a⁻¹

    def product(inverse_first):
        """The values before and after, as the columns of x, and the system that they are to solve."""
        flip_a, flip_b = flags if inverse_first else (not flags[1], not flags[0])
        left = a.T if flip_a else a
        right = left @ x
        b = np.ascontiguousarray(right.T if flip_b else right)

        def function(a, b):
            pair = (ops.inverse(a), b) if inverse_first else (b, ops.inverse(a))
            return ops.apply(MatMul(*flags), *pair)

        made = both(function, a=a, b=b)
        return left, right, made if inverse_first else [v.T for v in made]

    for inverse_first in (True, False):
        left, right, (before, after) = product(inverse_first)
        assert residual(left, after, right) <= 2 * n * np.finfo(dtype).eps
        assert residual(left, before, right) > 10 * residual(left, after, right)


def test_batches_broadcast_as_before():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1, 3, 3)), rng.normal(size=(4, 3, 2))
    before, after = both(lambda a, b: ops.inverse(a) @ b, a=a, b=b)
    np.testing.assert_allclose(after, before, rtol=1e-9)
    before, after = both(lambda a, b: ops.swapaxes(b, -1, -2) @ ops.inverse(a), a=a, b=b)
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_logarithms_of_determinants_neither_overflow_nor_hide_a_sign():
    signs = np.array([1.0, -1.0, 0.0, 1.0])
    a = np.eye(40) * np.where(np.arange(40) == 0, signs[:, None], 1e30)[:, None, :]
    a[3] = np.eye(40) * 2
    before, after = both(lambda a: ops.log(ops.determinant(a)), a=a)
    expected = [39 * np.log(1e30), np.nan, -np.inf, 40 * np.log(2)]
    np.testing.assert_allclose(after, expected, rtol=1e-14)
    assert before[0] == np.inf
    _, after = both(lambda a: ops.log(ops.abs(ops.determinant(a))), a=a)
    np.testing.assert_allclose(after, [expected[0], expected[0], -np.inf, expected[3]], rtol=1e-14)


def test_the_gradient_of_a_solution_that_is_written_as_a_product_has_no_inverse():
    a, b = placeholder("a", (3, 3), "float64"), placeholder("b", (3, 2), "float64")
    out = ops.inverse(a) @ b
    by_a, by_b = backward(ops.sum(out * out), [a, b])
    graph = optimise(define(out=out, by_a=by_a, by_b=by_b)).graph
    assert "inverse" not in {n.op.name for n in graph.nodes}
    rng = np.random.default_rng(0)
    feeds = {"a": rng.normal(size=(3, 3)), "b": rng.normal(size=(3, 2))}
    x = np.linalg.solve(feeds["a"], feeds["b"])
    by_right = np.linalg.solve(feeds["a"].T, 2 * x)
    found = evaluate(graph, feeds)[0]
    np.testing.assert_allclose(found["by_b"], by_right, rtol=1e-10)
    np.testing.assert_allclose(found["by_a"], -by_right @ x.T, rtol=1e-10)
