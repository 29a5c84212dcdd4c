"""Expressions: `define` numbers, interns and checks; `lift` is its inverse; numbers become constants."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph import ops
from symgraph.define import define, lift, number, rebuild
from symgraph.errors import DTypeError, GraphError, ShapeError, SymgraphError
from symgraph.expr import (
    Expr,
    apply,
    as_expr,
    constant,
    operands,
    placeholder,
    scalar_dtype,
    variable,
)
from symgraph.lowering.interpreter import evaluate
from symgraph.types import BOOL, FLOAT32, FLOAT64, INT32, INT64
from symgraph.verify import verify


def test_numbering_is_post_order_from_the_outputs() -> None:
    a, b, c = (placeholder(name, (2,)) for name in "abc")
    graph = define(y=(a * b) + (c - a), z=b)
    assert [n.op.name for n in graph.nodes] == [
        "placeholder",
        "placeholder",
        "mul",
        "placeholder",
        "sub",
        "add",
    ]
    assert [getattr(n.op, "label", "") for n in graph.nodes] == ["a", "b", "", "c", "", ""]
    assert graph.outputs == (("y", 5), ("z", 1))


def test_equal_programs_are_equal_graphs_whatever_the_order_of_writing() -> None:
    def one():
        x, y = placeholder("x", (2,)), placeholder("y", (2,))
        s, p = x + y, x * y
        return define(out=s - p)

    def other():
        y = placeholder("y", (2,))
        unused = y * 3.0
        x = placeholder("x", (2,))
        p = x * y
        s = x + y
        again = x + y
        assert unused is not again
        return define(out=again - p) if s is not again else None

    assert one() == other() and hash(one()) == hash(other())


def test_equal_nodes_are_one() -> None:
    x = placeholder("x", (2,))
    graph = define(y=(x + 1.0) * (x + 1.0), z=constant(1.0), w=x + 1.0)
    assert len(graph) == 4
    assert dict(graph.outputs)["w"] == graph["y"].inputs[0] == graph["y"].inputs[1]
    assert len(define(y=x + constant(0.0), z=x + constant(-0.0))) == 5
    assert len(define(y=x + x, z=x - x)) == 3


programs = st.lists(st.tuples(st.sampled_from("+-*m"), st.integers(0, 99), st.integers(0, 99)), max_size=15)


def written(program) -> list[Expr]:
    exprs = [placeholder("x", ("n", 2)), variable("w", (2,)), constant(2.0)]
    functions = {"+": ops.add, "-": ops.sub, "*": ops.mul, "m": ops.maximum}
    for sign, i, j in program:
        exprs.append(functions[sign](exprs[i % len(exprs)], exprs[j % len(exprs)]))
    return exprs


@given(programs)
@settings(max_examples=60, deadline=None)
def test_define_after_lift_is_the_identity(program) -> None:
    graph = define(y=written(program)[-1], updates={"g": {(w := variable("v", (2,))): w * 2.0}})
    assert rebuild(graph, lift(graph))[0] == graph
    assert verify(graph) == graph
    assert [e.type for e in lift(graph)] == [n.type for n in graph.nodes]
    assert [e.origin for e in lift(graph)] == [n.origin for n in graph.nodes]


@given(programs, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_graphs_mean_what_the_program_says(program, seed) -> None:
    exprs = written(program)
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-1, 1, (3, 2)).astype(np.float32), rng.uniform(-1, 1, 2).astype(np.float32)
    values = [x, w, np.float32(2.0)]
    functions = {"+": np.add, "-": np.subtract, "*": np.multiply, "m": np.maximum}
    with np.errstate(all="ignore"):
        for sign, i, j in program:
            values.append(functions[sign](values[i % len(values)], values[j % len(values)]))
    outputs, _ = evaluate(define(y=exprs[-1]), {"x": x, "w": w}, {"n": 3})
    np.testing.assert_array_equal(outputs["y"], values[-1])


def test_deep_and_wide_graphs() -> None:
    out = placeholder("x", ())
    for _ in range(100_000):
        out = ops.neg(out)
    assert len(define(y=out)) == 100_001
    shared = placeholder("x", ())
    for _ in range(500):  # 2**500 paths
        shared = shared * shared
    assert len(define(y=shared)) == 501


def test_names_that_are_taken() -> None:
    x = placeholder("x", (2,))
    with pytest.raises(GraphError, match="'x' is declared twice") as caught:
        define(y=x + placeholder("x", (2,)))
    assert "test_expr.py" in str(caught.value)
    with pytest.raises(GraphError, match="declared twice"):
        define(y=x + variable("x", (2,)))
    with pytest.raises(GraphError, match="declared twice"):
        define(y=x, z=placeholder("x", (3,)))
    with pytest.raises(GraphError, match="'x' has the name of a placeholder"):
        define(x=x + 1.0)
    assert define(x=x)["x"].id == 0
    for bad in ("", 3, None):
        with pytest.raises(GraphError):
            define({bad: x})
        with pytest.raises(GraphError):
            placeholder(bad)
        with pytest.raises(GraphError):
            variable(bad)


def test_updates_are_checked() -> None:
    x, w = placeholder("x", (2,)), variable("w", (2,))
    assert define(updates={"t": {w: w + x}}).update_group("t") == {"w": 2}
    for updates, error, message in (
        ({"t": {x: x}}, GraphError, "only a variable"),
        ({"t": {w: 3.0}}, GraphError, "not an expression"),
        ({"t": {w: ops.sum(x)}}, ShapeError, r"is f32\[\], and the variable is f32\[2\]"),
        ({"t": {w: ops.cast(x, "float64")}}, DTypeError, r"is f64\[2\]"),
        ({"": {w: w}}, GraphError, "update group"),
    ):
        with pytest.raises(error, match=message):
            define(updates=updates)
    with pytest.raises(GraphError, match="not an expression"):
        define(y=3.0)


def test_number_tells_the_ids() -> None:
    x = placeholder("x")
    y, z = x + 1.0, x + 1.0
    graph, ids = number({"y": y, "z": z}, {})
    assert ids[y] == ids[z] == graph["y"].id


def test_constants() -> None:
    for value, dtype in (
        (1, INT64),
        (1.0, FLOAT32),
        (True, BOOL),
        ([1, 2], INT64),
        ([0.5], FLOAT32),
        (np.float64(1), FLOAT64),
    ):
        assert constant(value).dtype == dtype
    assert constant(np.zeros(3, np.int32)).dtype == INT32
    for value, dtype, error in (
        (300_000_000_000, "int32", DTypeError),
        (0.5, "int32", DTypeError),
        (2, "bool", DTypeError),
        (1e60, "float32", DTypeError),
        (2**24 + 1, "float32", DTypeError),
        ("a", None, DTypeError),
        (None, None, DTypeError),
        ([[1], [1, 2]], None, ShapeError),
        (np.zeros(2, np.complex64), None, DTypeError),
        (np.zeros(2, np.uint8), None, DTypeError),
    ):
        with pytest.raises(error):
            constant(value, dtype)
    with pytest.raises(GraphError, match="from numbers"):
        constant(placeholder("x"))


def test_a_constant_is_a_copy() -> None:
    array = np.ones(2, np.float32)
    made = constant(array)
    array[0] = 7
    np.testing.assert_array_equal(made.op.value.array, [1, 1])


def test_numbers_take_the_dtype_beside_them() -> None:
    for dtype, number_, expected in (
        ("float64", 1, FLOAT64),
        ("float64", 0.1, FLOAT64),
        ("float32", 1, FLOAT32),
        ("int32", 2, INT32),
        ("int32", 0.5, FLOAT32),
        ("int64", True, INT64),
        ("bool", 1, INT64),
        ("bool", 0.5, FLOAT32),
    ):
        x = placeholder("x", (2,), dtype)
        assert (
            {e.dtype for e in operands(x, number_)} == {expected} == {e.dtype for e in operands(number_, x)}
        )
    assert scalar_dtype(0.1, FLOAT64) == FLOAT64
    wide = (placeholder("x", (2,), "float64") + 0.1).inputs[1].op.value.array
    assert wide == 0.1  # not 0.1 rounded to float32 first


def test_operands_promote_and_cast() -> None:
    f, d, i, b = (
        placeholder(n, (2,), t)
        for n, t in (("f", "float32"), ("d", "float64"), ("i", "int64"), ("b", "bool"))
    )
    for pair, expected in (((f, d), FLOAT64), ((f, i), FLOAT32), ((i, b), INT64), ((b, b), BOOL)):
        assert {e.dtype for e in operands(*pair)} == {expected}
    assert {e.dtype for e in operands(i, b, floating=True)} == {FLOAT32}
    assert operands(f, f) == (f, f)
    assert (np.ones(2) + f).dtype == FLOAT64 and isinstance(np.ones(2, np.float32) * f, Expr)
    assert as_expr(2, FLOAT32).dtype == FLOAT32 and as_expr(f) is f


def test_an_expression_is_no_truth_value_nor_a_sequence() -> None:
    x = placeholder("x", ("n", 2))
    with pytest.raises(GraphError, match="truth value"):
        bool(x)
    with pytest.raises(GraphError, match="iterated"):
        list(x)
    with pytest.raises(ShapeError, match="no fixed length"):
        len(x)
    assert len(placeholder("y", (3, 2))) == 3
    for compare in (lambda: x == x, lambda: x != 3, lambda: [x] == [placeholder("x", ("n", 2))]):
        with pytest.raises(GraphError, match=r"(?s)decided now.*symgraph\.equal"):
            compare()
    assert len({x, x}) == 1
    assert {x: 1}[x] == 1


def test_defaults_and_named_sizes() -> None:
    assert placeholder("x", (2,), default=[1, 2]).op.default.array.dtype == FLOAT32
    with pytest.raises(ShapeError, match="the default has shape"):
        placeholder("x", ("n",), default=[1, 2])
    with pytest.raises(ShapeError, match="named size"):
        variable("w", ("n", 2))


def test_errors_name_the_line_and_the_operands() -> None:
    x, w = placeholder("x", ("batch", 784)), variable("w", (785, 10))
    with pytest.raises(ShapeError) as caught:
        x @ w
    shown = str(caught.value)
    assert "x @ w" in shown and "^^^^^" in shown
    assert "x  f32[batch,784]  declared at" in shown and "w  f32[785,10]  declared at" in shown
    assert isinstance(caught.value, SymgraphError)
    with pytest.raises(ShapeError):
        apply(ops.linalg.MatMul(), x, w)


def test_operators_are_the_functions() -> None:
    x, y = placeholder("x", (2, 2)), placeholder("y", (2, 2))
    for by_operator, by_function in (
        (x + y, ops.add(x, y)),
        (1.0 - x, ops.sub(1.0, x)),
        (x * 2.0, ops.mul(x, 2.0)),
        (1.0 / x, ops.div(1.0, x)),
        (x @ y, ops.matmul(x, y)),
        (-x, ops.neg(x)),
        (abs(x), ops.abs(x)),
        (x**2.0, ops.pow(x, 2.0)),
        (x > y, ops.greater(x, y)),
        (x.T, ops.transpose(x)),
        (x.reshape(4), ops.reshape(x, (4,))),
        (x.astype("int32"), ops.cast(x, "int32")),
        (x[0], ops.getitem(x, 0)),
    ):
        assert define(out=by_operator) == define(out=by_function)


def test_a_graph_knows_the_expressions_that_it_was_defined_from() -> None:
    x = placeholder("x", (3,))
    a, b = ops.exp(x), ops.exp(x)  # one node
    y, z = a * 2.0, ops.tanh(b)
    graph = define(y=y, z=z)
    lifted = lift(graph)
    assert lifted[graph["y"].id] is y and lift(graph)[0] is x
    assert [tuple(e.inputs) for e in lifted] == [tuple(lifted[i] for i in n.inputs) for n in graph.nodes]
    again = pickle.loads(pickle.dumps(graph))
    assert again == graph and rebuild(again, lift(again))[0] == graph
