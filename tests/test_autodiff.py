"""Derivatives of graphs: against JAX, differences, and what is known on paper; and what errors say."""

import sys
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tests.jax_oracle  # noqa: F401  64-bit mode
from symgraph import ops
from symgraph.autodiff import backward, gradient, gradient_name, topological
from symgraph.define import define
from symgraph.derivatives import hessian, hessian_vector_product, jacobian, jvp, pushforward, vjp
from symgraph.errors import FeedError, GradientError, GraphError
from symgraph.expr import Expr, apply, constant, placeholder, variable
from symgraph.gradient_check import check_gradient, in_float64
from symgraph.ir import Graph
from symgraph.lowering.interpreter import evaluate
from symgraph.ops import random
from symgraph.ops.base import Elementwise
from symgraph.origin import relative
from symgraph.types import FLOAT64
from symgraph.verify import verify

RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))


def run(graph: Graph, values: Mapping[str, np.ndarray], **sizes: int) -> dict[str, np.ndarray]:
    return evaluate(verify(graph), values, sizes)[0]


def layer() -> tuple[Graph, dict[str, np.ndarray]]:
    """A layer with a bias, in float64, and a loss."""
    x, w = placeholder("x", (3, 4), "float64"), variable("w", (4, 2), "float64")
    b = variable("b", (2,), "float64")
    y = ops.tanh(x @ w + b)
    graph = define({"loss": ops.mean(y * y * y), "y": y})
    return graph, {"x": A, "w": B, "b": np.array([0.3, -0.2])}


def jax_layer(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.tanh(x @ w + b)


def jax_loss(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.mean(jax_layer(x, w, b) ** 3)


def close(actual: np.ndarray, expected: object) -> None:
    np.testing.assert_allclose(actual, np.asarray(expected), rtol=1e-10, atol=1e-12)


# Gradients


def test_the_gradient_of_a_layer_is_that_of_jax() -> None:
    graph, values = layer()
    found = run(gradient(graph, wrt=("x", "w", "b")), values)
    expected = jax.grad(jax_loss, (0, 1, 2))(*values.values())
    for name, e in zip(values, expected, strict=True):
        close(found[f"d_loss/d_{name}"], e)


def test_all_variables_are_the_default() -> None:
    graph, _ = layer()
    assert [name for name, _ in gradient(graph).outputs] == ["loss", "y", "d_loss/d_w", "d_loss/d_b"]


def test_a_product_of_a_matrix_with_itself_counts_both_sides() -> None:
    w = variable("w", (3, 3), "float64")
    m = RNG.normal(size=(3, 3))
    found = run(gradient(define(loss=ops.sum(w @ w))), {"w": m})["d_loss/d_w"]
    close(found, jax.grad(lambda w: jnp.sum(w @ w))(m))


def test_uses_of_one_tensor_add_up() -> None:
    x = placeholder("x", (), "float64")
    y = x * x + ops.sin(x) * x + ops.where(x > 0.0, x, -x)
    found = run(gradient(define(loss=y), wrt="x"), {"x": np.float64(0.7)})["d_loss/d_x"]
    close(found, 2 * 0.7 + np.cos(0.7) * 0.7 + np.sin(0.7) + 1)


def test_a_gradient_by_an_output_takes_it_as_given() -> None:
    w = variable("w", (3,), "float64")
    h = ops.sin(w)
    graph = define(loss=ops.sum(h * h * w), h=h)
    w0 = np.array([0.1, 0.5, -0.4])
    found = run(gradient(graph, wrt=("h", "w")), {"w": w0})
    close(found["d_loss/d_h"], 2 * np.sin(w0) * w0)
    close(found["d_loss/d_w"], np.sin(w0) ** 2 + 2 * np.sin(w0) * np.cos(w0) * w0)


def test_the_gradient_of_an_output_by_itself_is_one() -> None:
    w = variable("w")
    assert run(gradient(define(loss=w * 2.0), wrt="loss"), {"w": np.float32(3)})["d_loss/d_loss"] == 1


def test_named_sizes_are_summed_over() -> None:
    x, w = placeholder("x", ("batch", 3), "float64"), variable("w", (3,), "float64")
    graph = gradient(define(loss=ops.mean((x @ w) ** 2.0)))
    assert graph["d_loss/d_w"].type == graph["w"].type
    for rows in (1, 4):
        x0, w0 = RNG.normal(size=(rows, 3)), np.array([0.2, -0.1, 0.4])
        close(run(graph, {"x": x0, "w": w0}, batch=rows)["d_loss/d_w"], 2 / rows * x0.T @ (x0 @ w0))


def test_float32_stays_float32() -> None:
    w = variable("w", (3,))
    graph = gradient(define(loss=ops.mean(ops.log(ops.square(w) + 1.0) / 3.0)))
    assert {n.type.dtype.name for n in graph.nodes if n.type.is_float} == {"float32"}


def test_mixed_dtypes_give_each_target_its_own() -> None:
    x, w = placeholder("x", (3,), "float64"), variable("w", (3,))
    graph = gradient(define(loss=ops.sum(x * w)), wrt=("x", "w"))
    assert str(graph["d_loss/d_w"].type) == "f32[3]"
    assert str(graph["d_loss/d_x"].type) == "f64[3]"


# The graph that comes out


def test_forward_nodes_keep_their_ids_and_origins() -> None:
    graph, _ = layer()
    made = gradient(graph)
    assert made.nodes[: len(graph)] == graph.nodes
    assert [n.origin for n in made.nodes[: len(graph)]] == [n.origin for n in graph.nodes]


def test_adjoints_say_which_node_they_are_of() -> None:
    graph, _ = layer()
    tanh = next(n for n in graph.nodes if n.op.name == "tanh")
    made = [n for n in gradient(graph).nodes[len(graph) :] if n.origin.rule == "vjp tanh"]
    assert made and all(n.origin.of == (tanh.id,) and n.origin.sources == tanh.origin.sources for n in made)


def test_update_groups_are_kept() -> None:
    w = variable("w", (2,), "float64")
    graph = define({"loss": ops.sum(w * w)}, updates={"decay": {w: w * 0.5}})
    made = gradient(graph)
    values = {"w": np.array([1.0, -2.0])}
    outputs, updates = evaluate(verify(made), values)
    close(outputs["d_loss/d_w"], [2.0, -4.0])
    close(updates["decay"]["w"], [0.5, -1.0])


def test_a_gradient_asked_for_twice_is_there_once() -> None:
    graph, _ = layer()
    once = gradient(graph)
    assert gradient(once) == once
    assert gradient(gradient(graph, wrt="w"), wrt="b") == once


def test_a_name_that_another_node_has_is_an_error() -> None:
    w = variable("w")
    graph = define({"loss": w * w, "d_loss/d_w": w + 1.0})
    with pytest.raises(GraphError, match="output 'd_loss/d_w' already, and it is another node"):
        gradient(graph)


def test_only_what_a_gradient_needs_is_in_the_graph() -> None:
    x, w = placeholder("x", (5,)), variable("w", (5,))
    graph = gradient(define(loss=ops.sum(x * w)))
    # The adjoint of w is x times the seed, spread; there is none of x.
    adjoints = [n.op.name for n in graph.nodes if n.origin.rule.startswith("vjp mul")]
    assert adjoints == ["mul"]


# Depth


def test_a_chain_of_100_000_is_differentiated_without_recursion() -> None:
    depth = 100_000
    assert depth > sys.getrecursionlimit()
    x = placeholder("x", (), "float64")
    y = x
    for k in range(depth):
        y = y + x if k % 2 else -y
    graph = gradient(define(loss=y), wrt="x")
    found, _ = evaluate(graph, {"x": np.float64(2)})
    # Each pair of steps maps a x to (1 - a) x.
    assert found["loss"] == 2.0 * (0 if (depth // 2) % 2 == 0 else 1) + (
        2.0 if (depth // 2) % 2 == 0 else -2.0
    )
    assert found["d_loss/d_x"] == found["loss"] / 2


def _calls(length: int) -> int:
    """The Python calls that differentiating a chain takes."""
    x = placeholder("x", (3,))
    y = x
    for _ in range(length):
        y = ops.sin(y) * x
    graph = define(loss=ops.sum(y))
    count = 0

    def counter(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counter)
    try:
        gradient(graph, wrt="x")
    finally:
        sys.setprofile(None)
    return count


def test_work_is_linear_in_the_nodes() -> None:
    small, large = _calls(200), _calls(800)
    assert large < 4.4 * small


# Second derivatives


def test_gradients_can_be_differentiated_again() -> None:
    w = variable("w", (), "float64")
    graph = gradient(gradient(define(loss=ops.sin(w) * w)), of="d_loss/d_w")
    assert graph.outputs[-1][0] == "d_(d_loss/d_w)/d_w"
    third = gradient(graph, of="d_(d_loss/d_w)/d_w")
    found = run(third, {"w": np.float64(0.8)})
    f = jax.grad(jax.grad(lambda w: jnp.sin(w) * w))
    close(found["d_(d_loss/d_w)/d_w"], f(0.8))
    close(found["d_(d_(d_loss/d_w)/d_w)/d_w"], jax.grad(f)(0.8))


def test_names_of_nested_derivatives_are_distinct() -> None:
    names = {
        gradient_name("a", "b"),
        gradient_name(gradient_name("a", "b"), "c"),
        gradient_name("a", gradient_name("b", "c")),
    }
    assert len(names) == 3


def test_hessian_and_its_products_are_those_of_jax() -> None:
    graph, values = layer()
    t = {"t_w": RNG.normal(size=(4, 2)), "t_b": RNG.normal(size=(2,))}
    made = hessian_vector_product(hessian(graph, wrt=("w", "b")), wrt=("w", "b"))
    found = run(made, {**values, **t})
    of_wb = lambda w, b: jax_loss(values["x"], w, b)  # noqa: E731
    blocks = jax.hessian(of_wb, (0, 1))(values["w"], values["b"])
    for i, a in enumerate("wb"):
        for j, b in enumerate("wb"):
            close(found[f"d2_loss/d_{a}/d_{b}"], blocks[i][j])
    products = jax.jvp(jax.grad(of_wb, (0, 1)), (values["w"], values["b"]), (t["t_w"], t["t_b"]))[1]
    close(found["hvp_loss/d_w"], products[0])
    close(found["hvp_loss/d_b"], products[1])


def test_the_hessian_of_a_linear_function_is_zero() -> None:
    w, x = variable("w", (3,), "float64"), placeholder("x", (3,), "float64")
    graph = hessian_vector_product(hessian(define(loss=ops.sum(w * x))))
    found = run(graph, {"w": np.ones(3), "x": np.ones(3), "t_w": np.ones(3)})
    close(found["d2_loss/d_w/d_w"], np.zeros((3, 3)))
    close(found["hvp_loss/d_w"], np.zeros(3))


# Products with Jacobians


def test_vjp_and_jvp_of_a_layer_are_those_of_jax() -> None:
    graph, values = layer()
    ct = RNG.normal(size=(3, 2))
    t = {f"t_{name}": RNG.normal(size=a.shape) for name, a in values.items()}
    made = jvp(vjp(graph, "y", ("x", "w", "b")), "y", ("x", "w", "b"))
    found = run(made, {**values, "ct_y": ct, **t})
    pulled = jax.vjp(jax_layer, *values.values())[1](ct)
    for name, e in zip(values, pulled, strict=True):
        close(found[f"vjp_y/d_{name}"], e)
    close(found["jvp_y"], jax.jvp(jax_layer, tuple(values.values()), tuple(t.values()))[1])


FORWARD = {
    "exp": ops.exp,
    "softmax": ops.softmax,
    "max": lambda x: ops.max(x, 0),
    "cumsum": lambda x: ops.cumsum(x, 1),
    "sort of indexing": lambda x: x[::-1, 1:],
    "matmul": lambda x: x @ ops.transpose(x),
    "prod": lambda x: ops.prod(x, 1),
    "where": lambda x: ops.where(x > 0.0, x * x, ops.sin(x)),
    "take": lambda x: ops.take(x, [0, 2, 0], 0),
    "layer_norm": ops.layer_norm,
    "logsumexp": lambda x: ops.logsumexp(x, 1),
    "pad": lambda x: ops.pad(x, 1, 2.0),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward_mode_is_the_slope_along_the_tangent(name: str) -> None:
    x = placeholder("x", (3, 4), "float64")
    graph = jvp(define(y=FORWARD[name](x)), "y", "x")
    t, h = RNG.normal(size=(3, 4)), 1e-6
    found = run(graph, {"x": A, "t_x": t})
    ends = [run(graph, {"x": A + s * h * t, "t_x": t})["y"] for s in (1, -1)]
    np.testing.assert_allclose(found["jvp_y"], (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7)


def test_forward_mode_leaves_no_cotangent_behind() -> None:
    x, t = placeholder("x", (3,)), placeholder("t", (3,))
    made = define(y=pushforward(ops.sin(x), [x], [t]))
    assert sorted(n.op.name for n in made.nodes) == ["cos", "mul", "placeholder", "placeholder"]


def test_products_are_named_and_shared() -> None:
    graph, _ = layer()
    once = vjp(graph, "y", "w")
    assert vjp(once, "y", "w") == once
    assert len(vjp(once, "y", "b").placeholders) == 2  # x, and one cotangent
    other = jvp(graph, "y", "w", tangents={"w": "direction"})
    assert "direction" in other.placeholders and "t_w" not in other.placeholders
    with pytest.raises(GradientError, match="tangents names 'b', which is not in wrt"):
        jvp(graph, "y", "w", tangents={"b": "d"})
    with pytest.raises(GraphError, match="has the name 'w' already"):
        vjp(graph, "y", "w", cotangent="w")


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 2), (1, 1), (0, 2), (2, 0)])
def test_a_jacobian_has_a_row_an_output_and_a_column_an_input(rows: int, columns: int) -> None:
    m = RNG.normal(size=(rows, columns))
    x = placeholder("x", (columns,), "float64")
    graph = jacobian(define(y=ops.matmul(constant(m), x)), "y", "x")
    close(run(graph, {"x": RNG.normal(size=columns)})["d_y/d_x"], m)


def test_a_jacobian_of_tensors_is_that_of_jax() -> None:
    graph, values = layer()
    found = run(jacobian(graph, "y", ("x", "w", "b")), values)
    for name, e in zip(values, jax.jacobian(jax_layer, (0, 1, 2))(*values.values()), strict=True):
        close(found[f"d_y/d_{name}"], e)


def test_a_jacobian_needs_numbers_and_few_of_them() -> None:
    x = placeholder("x", ("n",))
    with pytest.raises(GradientError, match=r"needs shapes that are numbers, and this is f32\[n\]"):
        jacobian(define(y=x * x), "y", "x")
    big = placeholder("big", (100, 100))
    with pytest.raises(GradientError, match="would take 10000 products"):
        jacobian(define(y=big * big), "y", "big")


# Targets without a gradient


def test_no_path_is_an_error_that_names_both() -> None:
    x, w, v = placeholder("x"), variable("w"), variable("v")
    graph = define(loss=x * w, other=v)
    with pytest.raises(GradientError, match="no path leads from 'v' to it") as caught:
        gradient(graph, wrt=("w", "v"))
    assert 'disconnected="zero"' in str(caught.value) and "v  f32[]  declared at" in str(caught.value)


def test_what_stops_a_gradient_is_named_with_its_path() -> None:
    w = variable("w", (3,))
    h = ops.exp(w)
    stopped = ops.stop_gradient(h)
    graph = define(loss=ops.sum(stopped * 2.0))
    with pytest.raises(GradientError, match="no gradient reaches 'w'") as caught:
        gradient(graph)
    (line,) = [d for d in caught.value.details if ">" in d]
    here = relative(__file__)
    assert line.startswith(f"w ({here}:") and f"> exp ({here}:" in line
    assert f"> stop_gradient ({here}:" in line and line.endswith("which has no derivative")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("cast", lambda w: ops.cast(ops.cast(w, "int32"), "float32")),
        ("argmax", lambda w: ops.cast(ops.argmax(w), "float32")),
        ("sign", ops.sign),
        ("round", ops.round),
        ("greater", lambda w: ops.where(w > 0.0, 1.0, 2.0)),
    ],
)
def test_ops_without_a_derivative_are_named(name: str, function: object) -> None:
    w = variable("w", (3,))
    graph = define(loss=ops.sum(function(w * 2.0)))  # type: ignore[operator]
    with pytest.raises(GradientError, match="no gradient reaches 'w'") as caught:
        gradient(graph)
    assert any(f"> {name} (" in d for d in caught.value.details)


def test_one_open_path_is_enough() -> None:
    w = variable("w", (), "float64")
    graph = gradient(define(loss=ops.stop_gradient(w) * w))
    close(run(graph, {"w": np.float64(3)})["d_loss/d_w"], 3.0)


def test_a_long_path_is_shortened() -> None:
    w = variable("w")
    y = w
    for _ in range(50):
        y = ops.sin(y)
    with pytest.raises(GradientError) as caught:
        gradient(define(loss=ops.stop_gradient(y) * 1.0))
    assert "... 47 more ..." in str(caught.value) and len(str(caught.value)) < 1500


def test_disconnected_targets_are_zero_where_asked() -> None:
    x, w, v = placeholder("x"), variable("w"), variable("v", (2,))
    graph = gradient(define(loss=x * w, other=v), wrt=("w", "v"), disconnected="zero")
    found = run(graph, {"x": np.float32(2), "w": np.float32(1), "v": np.ones(2, np.float32)})
    np.testing.assert_array_equal(found["d_loss/d_v"], [0, 0])
    assert found["d_loss/d_w"] == 2


def test_what_cannot_be_differentiated_is_an_error() -> None:
    x, n = variable("x", (3,)), placeholder("n", (), "int32")
    graph = define(loss=ops.sum(x), y=x * 1.0, n=n, m=n * 2)
    with pytest.raises(GradientError, match=r"gradient is of a scalar, and this is f32\[3\]"):
        gradient(graph, of="y")
    with pytest.raises(GradientError, match="only a float has a gradient"):
        gradient(graph, of="m")
    with pytest.raises(GradientError, match=r"with respect to floats, and this is i32\[\]"):
        gradient(graph, wrt="n")
    with pytest.raises(GradientError, match="names something twice"):
        gradient(graph, wrt=("x", "x"))
    with pytest.raises(GradientError, match="no variables"):
        gradient(define(y=placeholder("y")), of="y")
    with pytest.raises(GraphError, match="'z' is no output, placeholder or variable"):
        gradient(graph, wrt="z")
    with pytest.raises(GradientError, match="the cotangent is"):
        backward(x, [x], placeholder("g", (2,)))
    with pytest.raises(GradientError, match="the tangent is"):
        pushforward(x, [x], [placeholder("t", (2,))])


# The check by differences


class Wrong(Elementwise):
    """sin, with a derivative that is 0.1 percent off."""

    name = "wrong"
    ufunc = np.sin

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> tuple[Expr | None, ...]:
        return (g * ops.cos(inputs[0]) * 1.001,)


def test_check_gradient_accepts_a_right_gradient() -> None:
    graph, values = layer()
    check = check_gradient(graph, wrt=("x", "w", "b"), values=values)
    assert check.passed and check.error < 1e-8
    assert [t.name for t in check.targets] == ["x", "w", "b"]
    assert check.targets[0].checked == 12 and "agrees" in str(check)


def test_check_gradient_finds_a_wrong_gradient() -> None:
    w = variable("w", (4,))
    graph = define(loss=ops.sum(apply(Wrong(), w)))
    values = {"w": np.array([0.1, 0.2, 2.0, -0.3], np.float32)}
    with pytest.raises(GradientError, match="not what differences say"):
        check_gradient(graph, values=values)
    check = check_gradient(graph, values=values, raises=False)
    assert not check.passed and 0.9e-3 < check.error < 1.1e-3 and "DISAGREES" in str(check)
    assert check.targets[0].index == (0,)  # where the cosine is largest


def test_check_gradient_works_in_float64_for_float32_graphs() -> None:
    x, w = placeholder("x", ("batch", 3)), variable("w", (3, 2), init=0.25)
    y = ops.softmax(x @ w)
    graph = define(loss=ops.mean(ops.log(y) * ops.cast(ops.cast(x, "float64"), "float32")[:, :2]), y=y)
    check = check_gradient(graph, wrt=("w", "y"), values={"x": np.ones((4, 3), np.float32)})
    assert check.error < 1e-7
    assert check_gradient(graph, "y", "x", {"x": A[:, :3]}).passed


def test_check_gradient_of_what_is_random() -> None:
    w = variable("w", (3, 4), init=0.5)
    key = random.key(0)
    dropped = ops.dropout(ops.exp(w), 0.5, key) + random.normal(key, (4,), w[0], 2.0)
    graph = define(loss=ops.sum(dropped * dropped), mask=random.bernoulli(key, 0.3, (3, 4)))
    assert check_gradient(graph, values={"w": np.linspace(0.1, 1.0, 12).reshape(3, 4)}).error < 1e-7
    narrow, wide = (
        run(graph, {"w": np.ones((3, 4), np.float32)}),
        run(in_float64(graph), {"w": np.ones((3, 4))}),
    )
    np.testing.assert_allclose(wide["loss"], narrow["loss"], rtol=1e-5)  # the same numbers are drawn
    np.testing.assert_array_equal(wide["mask"], narrow["mask"])


def test_check_gradient_draws_samples_of_a_large_target() -> None:
    w = variable("w", (50, 10), "float64")
    values = {"w": RNG.normal(size=(50, 10))}
    check = check_gradient(define(loss=ops.mean(ops.sin(w))), values=values, samples=7)
    assert (check.targets[0].checked, check.targets[0].size) == (7, 500)
    assert check == check_gradient(define(loss=ops.mean(ops.sin(w))), values=values, samples=7)


def test_check_gradient_needs_its_values() -> None:
    graph, values = layer()
    with pytest.raises(FeedError, match="'x' has no value"):
        check_gradient(graph, values={"w": values["w"]})
    with pytest.raises(GradientError, match="samples is at least 1"):
        check_gradient(graph, values=values, samples=0)


def test_nan_is_never_right() -> None:
    w = variable("w", (2,), "float64")
    check = check_gradient(define(loss=ops.sum(ops.log(w))), values={"w": [-1.0, 1.0]}, raises=False)
    assert not check.passed


def test_in_float64_keeps_what_a_graph_computes() -> None:
    x = placeholder("x", (3,))
    y = ops.sum(x * [1.5, 2.0, 0.25]) + ops.cast(ops.sum(ops.iota((1,), "float32")), "float32")
    wide = in_float64(define(y=y))
    assert {n.type.dtype for n in wide.nodes if n.type.is_float} == {FLOAT64}
    close(run(wide, {"x": np.array([1.0, 2.0, 4.0])})["y"], 6.5)


def test_topological_lists_operands_first_and_each_once() -> None:
    x = placeholder("x")
    y = x * x
    z = y + y
    assert topological([z, y]) == [x, y, z]
