"""Programs that are wrong where they are declared: each is refused at its own line."""

import datetime
import decimal
import fractions
from typing import Any

import numpy as np

import symgraph as sg
from tests.wrong import Row

X = sg.placeholder("x", ("batch", 4))
Y = sg.placeholder("y", ("n", 4))
W = sg.variable("w", (5, 3))
V = sg.variable("v", (4,))
I = sg.placeholder("i", ("batch",), "int64")
B = sg.placeholder("b", (4,), "bool")
S = sg.placeholder("s")


class Bad:
    """As tensors of other libraries that live on a GPU."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("it is on a GPU")


ROWS: list[Row] = [
    Row(sg.ShapeError, "matmul: the inner dimensions differ: 4 and 5", lambda: X @ W),
    Row(sg.ShapeError, "matmul: an operand is a scalar", lambda: X @ 3),
    Row(
        sg.ShapeError,
        "add: the shapes [batch,4] and [5,3] do not broadcast: axis -2 is batch and 5",
        lambda: X + W,
    ),
    Row(
        sg.ShapeError,
        "add: the shapes [batch,4] and [n,4] do not broadcast: axis -2 is batch and n",
        lambda: X + Y,
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: X + None),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text '1'", lambda: X + "1"),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: None + X),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: "a" * X),
    Row(
        sg.ShapeError,
        "add: the shapes [batch,4] and [2] do not broadcast: axis -1 is 4 and 2",
        lambda: X + [1.0, 2.0],  # noqa: RUF005  a sum
    ),
    Row(
        sg.ShapeError,
        "a tensor holds numbers, and this is ragged: its rows differ in length",
        lambda: X + [[1.0], [2.0, 3.0]],  # noqa: RUF005  a sum
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is a dict", lambda: X + {1: 2}),
    Row(sg.DTypeError, "a tensor holds numbers, and this is a set", lambda: X + {1, 2}),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is complex: there are no complex tensors",
        lambda: X + 1j,
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is a datetime", lambda: X + datetime.datetime.now()),
    Row(sg.DTypeError, "a tensor holds numbers, and this is a Decimal", lambda: X + decimal.Decimal("1.5")),
    Row(
        sg.DTypeError, "a tensor holds numbers, and this is a Fraction", lambda: X + fractions.Fraction(1, 2)
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is an object", lambda: X + object()),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is an integer that int64 cannot hold",
        lambda: X + 10**400,
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is an integer that int64 cannot hold",
        lambda: I + 10**30,
    ),
    Row(sg.DTypeError, "int64 cannot hold 9223372036854775808", lambda: I + 2**63),
    Row(sg.DTypeError, "float32 cannot hold 1.e+300", lambda: X * float("1e300")),
    Row(
        sg.DTypeError,
        "float16 is not a dtype of symgraph, which has float32, float64, int32, int64, bool",
        lambda: X + np.float16(1),
    ),
    Row(
        sg.DTypeError,
        "uint8 is not a dtype of symgraph, which has float32, float64, int32, int64, bool",
        lambda: X + np.ones(4, np.uint8),
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is complex: there are no complex tensors",
        lambda: X + np.ones(4, complex),
    ),
    Row(
        sg.DTypeError, "a tensor holds numbers, and this is an array of text", lambda: X + np.array(["a"] * 4)
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is an array of objects, such as an object",
        lambda: X + np.array([object()] * 4),
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is a Bad, which cannot be made an array: it is on a GPU",
        lambda: X + Bad(),
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is a masked array, and a tensor has no mask",
        lambda: X + np.ma.masked_array([1.0, 2, 3, 4], [0, 0, 1, 0]),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text '2'", lambda: X ** "2"),
    Row(sg.DTypeError, "logical_not takes bools, and this is f32", lambda: ~X),
    Row(sg.DTypeError, "logical_and takes bools, and this is f32", lambda: X & B),
    Row(sg.DTypeError, "neg takes floats or integers, and this is bool", lambda: -B),
    Row(sg.DTypeError, "add takes floats or integers, and this is bool", lambda: B + B),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be made a float: its value is known in a run",
        lambda: float(X),
    ),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be made an int: its value is known in a run",
        lambda: int(X),
    ),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be made a NumPy array: its value is known in a run",
        lambda: np.asarray(X),
    ),
    Row(
        sg.GraphError,
        "numpy.exp computes at once, and <placeholder 'x': f32[batch,4]> has its value in a run",
        lambda: np.exp(X),
    ),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be iterated: the graph is defined before anything runs",
        lambda: 3 in X,
    ),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be iterated: the graph is defined before anything runs",
        lambda: list(X),
    ),
    Row(
        sg.GraphError,
        "an expression has no truth value: the graph is defined before anything runs",
        lambda: bool(X),
    ),
    Row(
        sg.GraphError,
        "an expression has no truth value: the graph is defined before anything runs",
        lambda: 1 if X > 0 else 2,
        at="X > 0",
    ),
    Row(
        sg.GraphError,
        "an expression has no truth value: the graph is defined before anything runs",
        lambda: 0 < X < 1,
    ),
    Row(
        sg.GraphError,
        "an expression has no truth value: the graph is defined before anything runs",
        lambda: X > 0 and X < 1,
    ),
    Row(
        sg.GraphError,
        "an expression has no truth value: the graph is defined before anything runs",
        lambda: not X,
    ),
    Row(
        sg.GraphError,
        "an expression has no truth value: the graph is defined before anything runs",
        lambda: max(X, 0),
    ),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be iterated: the graph is defined before anything runs",
        lambda: sum(X),
    ),
    Row(sg.ShapeError, "len: the first axis of f32[batch,4] has no fixed length", lambda: len(X)),
    Row(sg.ShapeError, "len: the first axis of f32[] has no fixed length", lambda: len(S)),
    Row(
        sg.ShapeError,
        "the size batch has no value here: it is bound when a run is fed",
        lambda: list(range(X.shape[0])),
        at="range(X.shape[0])",
    ),
    Row(sg.ShapeError, "a named size is counted in whole numbers, and 0.5 is none", lambda: X.shape[0] * 0.5),
    Row(
        sg.ShapeError,
        "the size batch has no value here: it is bound when a run is fed",
        lambda: X.shape[0] > 3,
    ),
    Row(
        sg.ShapeError,
        "a named size is counted in whole numbers, and 'a' is none",
        lambda: sg.dim if False else X.shape[0] + "a",
        at='X.shape[0] + "a"',
    ),
    Row(sg.ShapeError, "sum: an axis is an int, and 'rows' is none", lambda: sg.sum(X, axis="rows")),
    Row(sg.ShapeError, "sum: there is no axis 2 in a tensor of 2 axes", lambda: sg.sum(X, axis=2)),
    Row(sg.ShapeError, "sum: an axis is repeated in (0, 0)", lambda: sg.sum(X, axis=(0, 0))),
    Row(sg.ShapeError, "sum: an axis is an int, and 1.0 is none", lambda: sg.sum(X, axis=1.0)),
    Row(sg.ShapeError, "sum: an axis is an int, and True is none", lambda: sg.sum(X, axis=True)),
    Row(
        sg.ShapeError,
        "sum: an axis is an int, and <placeholder 'x': f32[batch,4]> is none",
        lambda: sg.sum(X, X),
    ),
    Row(sg.ShapeError, "sum: an axis is an int, and [0] is none", lambda: sg.sum(X, axis=[[0]])),
    Row(
        sg.ShapeError,
        "max: there is no max of no elements, and f32[0,3] has an empty axis",
        lambda: sg.max(sg.placeholder("e", (0, 3)), axis=0),
    ),
    Row(sg.ShapeError, "argmax: an axis is an int, and (0, 1) is none", lambda: sg.argmax(X, axis=(0, 1))),
    Row(sg.ShapeError, "argmax: there is no axis 5 in a tensor of 2 axes", lambda: sg.argmax(X, axis=5)),
    Row(
        sg.GraphError,
        "var: ddof is a whole number that is not negative, and '1' is none",
        lambda: sg.var(X, ddof="1"),
        hint=False,
    ),
    Row(sg.ShapeError, "cumsum: an axis is an int, and 'rows' is none", lambda: sg.cumsum(X, axis="rows")),
    Row(sg.ShapeError, "a dimension is not negative, and -1 is", lambda: sg.placeholder("x", (-1, 3))),
    Row(sg.ShapeError, "None is not a shape", lambda: sg.placeholder("x", None)),
    Row(sg.ShapeError, "None is not a dimension", lambda: sg.placeholder("x", (None, 3))),
    Row(sg.ShapeError, "3.5 is not a shape", lambda: sg.placeholder("x", 3.5)),
    Row(sg.ShapeError, "'2n' is not a dimension", lambda: sg.placeholder("x", ("2n",))),
    Row(sg.ShapeError, "'a b' is not a dimension", lambda: sg.placeholder("x", ("a b",))),
    Row(sg.ShapeError, "'' is not a dimension", lambda: sg.placeholder("x", ("",))),
    Row(sg.ShapeError, "'batch, 3' is not a dimension", lambda: sg.placeholder("x", "batch, 3")),
    Row(sg.ShapeError, "2.0 is not a dimension", lambda: sg.placeholder("x", (2.0, 3))),
    Row(sg.ShapeError, "True is not a dimension", lambda: sg.placeholder("x", (True, 3))),
    Row(
        sg.ShapeError,
        "the dimension 1000000000000000000000000000000 is larger than 2**48",
        lambda: sg.placeholder("x", (10**30,)),
    ),
    Row(sg.ShapeError, "{'a': 1} is not a shape", lambda: sg.placeholder("x", {"a": 1})),
    Row(sg.ShapeError, "{3, 4} is not a shape", lambda: sg.placeholder("x", {3, 4})),
    Row(sg.ShapeError, "(3,) is not a dimension", lambda: sg.placeholder("x", ((3,),))),
    Row(sg.ShapeError, "array([2, 3]) is not a dimension", lambda: sg.placeholder("x", np.array([[2, 3]]))),
    Row(sg.ShapeError, "<placeholder 'x': f32[batch,4]> is not a shape", lambda: sg.placeholder("x", X)),
    Row(
        sg.GraphError,
        "the name of a placeholder is a non-empty string, and ('n', 3) is none",
        lambda: sg.placeholder(("n", 3)),
    ),
    Row(
        sg.GraphError,
        "the name of a placeholder is a non-empty string, and None is none",
        lambda: sg.placeholder(None, (3,)),
    ),
    Row(
        sg.GraphError,
        "the name of a placeholder is a non-empty string, and '' is none",
        lambda: sg.placeholder("", (3,)),
    ),
    Row(
        sg.GraphError,
        "the name of a placeholder is a non-empty string, and b'x' is none",
        lambda: sg.placeholder(b"x", (3,)),
    ),
    Row(sg.DTypeError, "'float16' is not a dtype of symgraph", lambda: sg.placeholder("x", (3,), "float16")),
    Row(sg.DTypeError, "'flaot32' is not a dtype of symgraph", lambda: sg.placeholder("x", (3,), "flaot32")),
    Row(sg.DTypeError, "None is not a dtype of symgraph", lambda: sg.placeholder("x", (3,), None)),
    Row(sg.DTypeError, "32 is not a dtype of symgraph", lambda: sg.placeholder("x", (3,), 32)),
    Row(
        sg.DTypeError,
        "<class 'complex'> is not a dtype of symgraph",
        lambda: sg.placeholder("x", (3,), complex),
    ),
    Row(sg.DTypeError, "[1] is not a dtype of symgraph", lambda: sg.placeholder("x", (3,), [1])),
    Row(
        sg.ShapeError,
        "placeholder 'x': the default has shape [2], not [3]",
        lambda: sg.placeholder("x", (3,), default=[1.0, 2.0]),
    ),
    Row(
        sg.ShapeError,
        "placeholder 'x': the default has shape [2], not [n]",
        lambda: sg.placeholder("x", ("n",), default=[1.0, 2.0]),
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is the text 'a'",
        lambda: sg.placeholder("x", (), default="a"),
    ),
    Row(
        sg.DTypeError,
        "int32 cannot hold [1.5 2.  3. ]",
        lambda: sg.placeholder("x", (3,), "int32", default=[1.5, 2, 3]),
    ),
    Row(sg.ShapeError, "variable 'w': the shape [n] has a named size", lambda: sg.variable("w", ("n",))),
    Row(
        sg.GraphError, "variable 'w': 'zeros' is no initializer", lambda: sg.variable("w", (3,), init="zeros")
    ),
    Row(
        sg.ShapeError,
        "variable 'w': the initial values have the shape [2], not [3]",
        lambda: sg.variable("w", (3,), init=[1.0, 2.0]),
    ),
    Row(
        sg.DTypeError,
        "variable 'w': a variable of int32 cannot start with 1.5",
        lambda: sg.variable("w", (3,), "int32", init=1.5),
    ),
    Row(
        sg.DTypeError,
        "variable 'w': glorot_uniform draws floats, and this is i32",
        lambda: sg.variable("w", (3, 3), "int32", init=sg.init.glorot_uniform),
    ),
    Row(
        sg.ShapeError,
        "variable 'w': the initial values have the shape [3,1], not [3]",
        lambda: sg.variable("w", (3,), init=np.ones((3, 1))),
    ),
    Row(
        sg.GraphError,
        "variable 'w': <placeholder 'x': f32[batch,4]> is no initializer",
        lambda: sg.variable("w", (3,), init=X),
    ),
    Row(
        sg.ShapeError,
        "variable 'w': [10000000000,10000000000] has 100000000000000000000 elements, and 2**48 is the limit",
        lambda: sg.variable("w", (10**10, 10**10)),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.constant("a")),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: sg.constant(None)),
    Row(sg.GraphError, "a constant is made from numbers, and this is an expression", lambda: sg.constant(X)),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is a list of expressions",
        lambda: sg.constant([X, X]),
    ),
    Row(
        sg.ShapeError,
        "a tensor holds numbers, and this is ragged: its rows differ in length",
        lambda: sg.constant([[1], [2, 3]]),
    ),
    Row(sg.DTypeError, "int32 cannot hold 1.5", lambda: sg.constant(1.5, "int32")),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is an integer that int64 cannot hold",
        lambda: sg.constant(10**30),
    ),
    Row(sg.DTypeError, "float32 cannot hold 1.e+300", lambda: sg.constant(1e300)),
    Row(sg.DTypeError, "bool cannot hold 300", lambda: sg.constant(300, "bool")),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is complex: there are no complex tensors",
        lambda: sg.constant(1j),
    ),
    Row(sg.GraphError, "the output 'loss' is 3.0, not an expression", lambda: sg.define(loss=3.0)),
    Row(sg.GraphError, "the output 'loss' is None, not an expression", lambda: sg.define(loss=None)),
    Row(sg.GraphError, "define takes named outputs, and this is an expression", lambda: sg.define(X)),
    Row(sg.GraphError, "define takes named outputs, and this is a list", lambda: sg.define([X])),
    Row(sg.GraphError, "the output 'a' is given twice", lambda: sg.define({"a": X}, a=X)),
    Row(sg.GraphError, "the output 'a' is given twice", lambda: sg.define({"a": X}, a=Y)),
    Row(
        sg.GraphError, "the name of an output is a non-empty string, and 3 is none", lambda: sg.define({3: X})
    ),
    Row(
        sg.GraphError,
        "the name of an output is a non-empty string, and '' is none",
        lambda: sg.define({"": X}),
    ),
    Row(
        sg.GraphError,
        "the output 'x' has the name of a placeholder, and is another node",
        lambda: sg.define(x=X + 1),
    ),
    Row(
        sg.GraphError,
        "'x' is declared twice",
        lambda: sg.define(y=sg.placeholder("x", (2,)) + sg.placeholder("x", (2,))),
    ),
    Row(sg.GraphError, "'x' is declared twice", lambda: sg.define(y=X, z=sg.placeholder("x", (2,)))),
    Row(
        sg.GraphError,
        "only a variable can be updated, and <placeholder 'x': f32[batch,4]> is none",
        lambda: sg.define(y=X, updates={"train": {X: X}}),
    ),
    Row(
        sg.GraphError,
        "the next value of 'v' is 0.5, not an expression",
        lambda: sg.define(y=X, updates={"train": {V: 0.5}}),
    ),
    Row(
        sg.ShapeError,
        "the next value of 'v' is f32[], and the variable is f32[4]",
        lambda: sg.define(y=X, updates={"train": {V: sg.sum(V)}}),
    ),
    Row(
        sg.DTypeError,
        "the next value of 'v' is f64[4], and the variable is f32[4]",
        lambda: sg.define(y=X, updates={"train": {V: sg.cast(V, "float64")}}),
    ),
    Row(
        sg.GraphError,
        "only a variable can be updated, and 'v' is none",
        lambda: sg.define(y=X, updates={"train": {"v": V}}),
    ),
    Row(
        sg.GraphError,
        "updates map groups to mappings of variables to next values, and this is a list",
        lambda: sg.define(y=X, updates=[("train", V)]),
    ),
    Row(
        sg.GraphError,
        "updates map groups to mappings of variables to next values, and this is a list",
        lambda: sg.define(y=X, updates={"train": [(V, V)]}),
    ),
    Row(
        sg.GraphError,
        "the name of an update group is a non-empty string, and <variable 'v': f32[4]> is none",
        lambda: sg.define(y=X, updates={V: V + 1}),
    ),
    Row(
        sg.GraphError,
        "the name of an update group is a non-empty string, and 3 is none",
        lambda: sg.define(y=X, updates={3: {V: V}}),
    ),
    Row(
        sg.ShapeError,
        "reshape: 2 sizes are -1, and one at most can be worked out",
        lambda: sg.reshape(X, (-1, -1)),
    ),
    Row(
        sg.ShapeError,
        "reshape: [batch,4] has 4*batch elements, and [3,5] has 15",
        lambda: sg.reshape(X, (3, 5)),
    ),
    Row(
        sg.ShapeError,
        "reshape: [batch,4] to [-1,3]: 4*batch elements divided by 3 is no whole size",
        lambda: sg.reshape(X, (-1, 3)),
    ),
    Row(
        sg.ShapeError,
        "reshape: [batch,4] has 4*batch elements, and [batch] has batch",
        lambda: sg.reshape(X, "batch"),
    ),
    Row(sg.ShapeError, "None is not a dimension", lambda: sg.reshape(X, None)),
    Row(sg.ShapeError, "2.0 is not a dimension", lambda: sg.reshape(X, (2.0, -1))),
    Row(sg.ShapeError, "reshape: [batch,4] has 4*batch elements, and [] has 1", lambda: X.reshape()),
    Row(sg.ShapeError, "reshape: [batch,4] has 4*batch elements, and [a] has a", lambda: X.reshape("a")),
    Row(sg.GraphError, "x[...]: 1.5 is no index", lambda: X[1.5]),
    Row(sg.GraphError, "x[...]: 'a' is no index", lambda: X["a"]),
    Row(
        sg.DTypeError,
        "x[...]: a boolean mask gives a tensor whose shape is not known before the run",
        lambda: X[[True, False]],
    ),
    Row(
        sg.DTypeError,
        "x[...]: a boolean mask gives a tensor whose shape is not known before the run",
        lambda: X[:, [True, False, True, False]],
    ),
    Row(
        sg.DTypeError,
        "x[...]: a boolean mask gives a tensor whose shape is not known before the run",
        lambda: X[X > 0],
    ),
    Row(
        sg.DTypeError,
        "x[...]: a boolean mask gives a tensor whose shape is not known before the run",
        lambda: X[B],
    ),
    Row(sg.ShapeError, "x[...]: 3 axes are indexed, and the tensor has 2", lambda: X[0, 0, 0]),
    Row(sg.ShapeError, "x[...]: there is no element 4 along axis 1, which has 4", lambda: X[:, 4]),
    Row(
        sg.ShapeError,
        "x[...]: '...' stands 2 times in one index, and once at most is clear",
        lambda: X[..., ...],
    ),
    Row(sg.ShapeError, "x[...]: the step of a slice is 0", lambda: X[::0]),
    Row(sg.GraphError, "x[...]: 'a' bounds no slice", lambda: X["a":]),
    Row(sg.DTypeError, "x[...]: only integers index, and this array has floats", lambda: X[S]),
    Row(
        sg.GraphError,
        "x[...]: a bound of a slice is a tensor, so the shape would not be known before the run",
        lambda: X[S:],
    ),
    Row(sg.GraphError, "x[...]: 1.0 is no index", lambda: X[None, 1.0]),
    Row(sg.GraphError, "x[...]: {} is no index", lambda: X[{}]),
    Row(sg.ShapeError, "x[...]: two arrays index at once, and one is taken", lambda: X[[0, 1], [0, 1]]),
    Row(sg.DTypeError, "x[...]: only integers index, and this array has floats", lambda: X[np.array([0.5])]),
    Row(
        sg.GraphError,
        "<placeholder 'x': f32[batch,4]> cannot be changed in place: expressions are immutable",
        lambda: X.__setitem__(0, 1),
    ),
    Row(
        sg.ShapeError,
        "transpose: (0, 0) is no order of the 2 axes of [batch,4]",
        lambda: sg.transpose(X, (0, 0)),
    ),
    Row(
        sg.ShapeError, "transpose: (0,) is no order of the 2 axes of [batch,4]", lambda: sg.transpose(X, (0,))
    ),
    Row(sg.ShapeError, "transpose: an axis is an int, and 'ab' is none", lambda: sg.transpose(X, "ab")),
    Row(sg.ShapeError, "transpose: (1,) is no order of the 2 axes of [batch,4]", lambda: sg.transpose(X, 1)),
    Row(sg.ShapeError, "expand_dims: there is no axis 5 in a tensor of 3 axes", lambda: sg.expand_dims(X, 5)),
    Row(
        sg.ShapeError,
        "squeeze: axis 1 of [batch,4] has size 4, and only 1 is dropped",
        lambda: sg.squeeze(X, 1),
    ),
    Row(sg.ShapeError, "swapaxes: there is no axis 3 in a tensor of 2 axes", lambda: sg.swapaxes(X, 0, 3)),
    Row(
        sg.ShapeError,
        "moveaxis: an axis is an int, and (0, 1) is none",
        lambda: sg.moveaxis(X, (0, 1), (1, 0)),
    ),
    Row(sg.ShapeError, "concatenate: there is nothing to join", lambda: sg.concatenate([])),
    Row(
        sg.ShapeError,
        "concatenate: this is one tensor, and a list of them is wanted",
        lambda: sg.concatenate(X),
    ),
    Row(
        sg.ShapeError,
        "concatenate: this is one tensor, and a list of them is wanted",
        lambda: sg.concatenate(X, X),
    ),
    Row(
        sg.ShapeError,
        "concatenate: the shapes [batch,4] and [5,3] differ elsewhere than along axis 0",
        lambda: sg.concatenate([X, W]),
    ),
    Row(
        sg.ShapeError,
        "concatenate: the shapes [batch,4] and [4] differ elsewhere than along axis 0",
        lambda: sg.concatenate([X, V]),
    ),
    Row(sg.ShapeError, "concatenate: scalars have no axis to join along", lambda: sg.concatenate([S, S])),
    Row(
        sg.ShapeError,
        "concatenate: the shapes [batch,4] and [n,4] differ elsewhere than along axis 1",
        lambda: sg.concatenate([X, Y], axis=1),
    ),
    Row(
        sg.ShapeError,
        "concatenate: an axis is an int, and 'a' is none",
        lambda: sg.concatenate([X, Y], axis="a"),
    ),
    Row(sg.ShapeError, "stack: there is nothing to join", lambda: sg.stack([])),
    Row(sg.ShapeError, "stack: the shapes [batch,4] and [4] differ", lambda: sg.stack([X, V])),
    Row(sg.ShapeError, "stack: there is no axis 7 in a tensor of 3 axes", lambda: sg.stack([X, X], axis=7)),
    Row(sg.ShapeError, "stack: this is one tensor, and a list of them is wanted", lambda: sg.stack(X)),
    Row(sg.ShapeError, "a dimension is not negative, and -1 is", lambda: sg.tile(X, (-1, 2))),
    Row(sg.ShapeError, "'a b' is not a dimension", lambda: sg.tile(X, "a b")),
    Row(sg.ShapeError, "a dimension is not negative, and -1 is", lambda: sg.repeat(X, -1, 0)),
    Row(
        sg.ShapeError,
        "repeat: 2 numbers of repeats for 4 elements along axis 1",
        lambda: sg.repeat(X, [1, 2], 1),
    ),
    Row(sg.ShapeError, "1.5 is not a dimension", lambda: sg.repeat(X, 1.5, 1)),
    Row(
        sg.ShapeError,
        "split: axis 1 has 4 elements, which 3 equal parts do not divide",
        lambda: sg.split(X, 3, axis=1),
    ),
    Row(
        sg.ShapeError,
        "split: a number of parts is a positive int, and 0 is none",
        lambda: sg.split(X, 0, axis=1),
        hint=False,
    ),
    Row(
        sg.ShapeError,
        "split: axis 0 has batch elements, which 2 equal parts do not divide",
        lambda: sg.split(X, 2),
    ),
    Row(
        sg.ShapeError,
        "split: a number of parts is a positive int, and 'a' is none",
        lambda: sg.split(X, "a", axis=1),
        hint=False,
    ),
    Row(
        sg.ShapeError,
        "split: a number of parts is a positive int, and -1 is none",
        lambda: sg.split(X, -1, axis=1),
        hint=False,
    ),
    Row(
        sg.ShapeError,
        "broadcast_to: [batch,4] does not broadcast to [3,4]",
        lambda: sg.broadcast_to(X, (3, 4)),
    ),
    Row(sg.ShapeError, "broadcast_to: [batch,4] does not broadcast to [4]", lambda: sg.broadcast_to(X, (4,))),
    Row(sg.ShapeError, "flip: there is no axis 3 in a tensor of 2 axes", lambda: sg.flip(X, 3)),
    Row(sg.GraphError, "pad: there is no mode 'wrong'", lambda: sg.pad(X, 1, mode="wrong")),
    Row(sg.ShapeError, "pad: the width -1 is negative", lambda: sg.pad(X, (-1, 2))),
    Row(
        sg.ShapeError,
        "pad: the widths ((1, 1), (1, 1), (1, 1)) do not fit 2 axes",
        lambda: sg.pad(X, ((1, 1), (1, 1), (1, 1))),
    ),
    Row(sg.ShapeError, "1.5 is not a dimension", lambda: sg.pad(X, 1.5)),
    Row(
        sg.ShapeError,
        "pad: axis 0 has 4 elements, too few to add 10 by mode 'reflect'",
        lambda: sg.pad(V, 10, mode="reflect"),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.pad(X, 1, value="a")),
    Row(sg.ShapeError, "roll: a shift is an int, and 1.5 is none", lambda: sg.roll(X, 1.5, 0)),
    Row(sg.ShapeError, "roll: 2 shifts for 1 axes", lambda: sg.roll(X, (1, 2), 0)),
    Row(sg.ShapeError, "flatten: there is no axis 5 in a tensor of 2 axes", lambda: sg.flatten(X, 5)),
    Row(sg.ShapeError, "matmul: the inner dimensions differ: 4 and 5", lambda: sg.matmul(V, W)),
    Row(sg.ShapeError, "matmul: an operand is a scalar", lambda: sg.matmul(S, S)),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: sg.matmul(X, None)),
    Row(sg.ShapeError, "matmul: the inner dimensions differ: 4 and 1", lambda: X @ [[1.0, 2.0]]),
    Row(sg.ShapeError, "matmul: the inner dimensions differ: 4 and batch", lambda: sg.dot(X, X)),
    Row(
        sg.GraphError,
        "norm: ord is 1, 2 or infinity, and 'fro' is none of them",
        lambda: sg.norm(X, ord="fro"),
        hint=False,
    ),
    Row(
        sg.GraphError,
        "norm: ord is 1, 2 or infinity, and 0.5 is none of them",
        lambda: sg.norm(X, ord=0.5),
        hint=False,
    ),
    Row(sg.DTypeError, "matmul takes floats or integers, and this is bool", lambda: B @ B),
    Row(
        sg.GraphError,
        "einsum: the subscripts have 2 operands, and 1 are given",
        lambda: sg.einsum("ij,jk", X),
    ),
    Row(sg.ShapeError, "einsum: 'j' is 4 and 5", lambda: sg.einsum("ij,jk->ik", X, W)),
    Row(sg.GraphError, "einsum: 'k' is in the result and in no operand", lambda: sg.einsum("ij->ijk", X)),
    Row(
        sg.GraphError,
        "einsum: the subscripts have 3 operands, and 1 are given",
        lambda: sg.einsum("ij,,->", X),
    ),
    Row(sg.ShapeError, "einsum: 'ijk' stands for 3 axes, and its operand has 2", lambda: sg.einsum("ijk", X)),
    Row(sg.ShapeError, "einsum: '' stands for 0 axes, and its operand has 2", lambda: sg.einsum("", X)),
    Row(
        sg.GraphError,
        "einsum: the subscripts come first, and this is an expression",
        lambda: sg.einsum(X, "ij->i"),
    ),
    Row(sg.GraphError, "einsum: a letter is repeated in the result 'ii'", lambda: sg.einsum("ij->ii", X)),
    Row(sg.GraphError, "einsum: '1' does not belong into subscripts", lambda: sg.einsum("i1->i", X)),
    Row(
        sg.GraphError,
        "einsum: the subscripts have 1 operands, and 2 are given",
        lambda: sg.einsum("...", X, X),
    ),
    Row(sg.GraphError, "einsum: the subscripts are text, and None is none", lambda: sg.einsum(None, X)),
    Row(sg.DTypeError, "take: indices are integers, and these are f32", lambda: sg.take(X, 1.5)),
    Row(sg.ShapeError, "take: there is no axis 4 in a tensor of 2 axes", lambda: sg.take(X, [0, 1], axis=4)),
    Row(sg.DTypeError, "take: indices are integers, and these are f32", lambda: sg.take(X, V)),
    Row(
        sg.ShapeError,
        "take: the index 7 is out of range along axis 0, which has 4 elements",
        lambda: sg.take(V, 7),
    ),
    Row(
        sg.ShapeError,
        "take: the index 7 at [1] is out of range along axis 0, which has 4 elements",
        lambda: sg.take(V, [0, 7]),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.take(V, "a")),
    Row(
        sg.ShapeError, "gather: the indices are [batch] for a tensor of [batch,4]", lambda: sg.gather(X, I, 0)
    ),
    Row(sg.DTypeError, "gather: indices are integers, and these are f32", lambda: sg.gather(X, V, 0)),
    Row(sg.DTypeError, "one_hot: indices are integers, and these are f32", lambda: sg.one_hot(V, 10)),
    Row(sg.ShapeError, "a dimension is not negative, and -1 is", lambda: sg.one_hot(I, -1)),
    Row(sg.ShapeError, "2.5 is not a dimension", lambda: sg.one_hot(I, 2.5)),
    Row(sg.DTypeError, "iota: bools do not count", lambda: sg.iota((3,), "bool")),
    Row(sg.ShapeError, "arange: the step is 0", lambda: sg.arange(0, 10, 0)),
    Row(sg.ShapeError, "<placeholder 'x': f32[batch,4]> is not a dimension", lambda: sg.arange(X)),
    Row(sg.ShapeError, "a dimension is not negative, and -1 is", lambda: sg.eye(-1)),
    Row(sg.ShapeError, "tril: [4] is no matrix", lambda: sg.tril(V)),
    Row(sg.ShapeError, "tril: a diagonal is counted by an int, and 1.5 is none", lambda: sg.tril(X, 1.5)),
    Row(sg.DTypeError, "where: the condition is f32, and must be bool", lambda: sg.where(X, 1.0, 0.0)),
    Row(
        sg.ShapeError,
        "where: the shapes [batch,4] and [batch,4] and [n,4] do not broadcast: axis -2 is batch and n",
        lambda: sg.where(X > 0, X, Y),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: sg.where(X > 0, X, None)),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.clip(X, "a")),
    Row(sg.DTypeError, "'float128' is not a dtype of symgraph", lambda: sg.cast(X, "float128")),
    Row(sg.DTypeError, "None is not a dtype of symgraph", lambda: sg.cast(X, None)),
    Row(sg.DTypeError, "'uint8' is not a dtype of symgraph", lambda: X.astype("uint8")),
    Row(sg.ShapeError, "softmax: there is no axis 3 in a tensor of 2 axes", lambda: sg.softmax(X, axis=3)),
    Row(sg.ShapeError, "softmax: there is no axis -1 in a tensor of 0 axes", lambda: sg.softmax(S)),
    Row(
        sg.ShapeError,
        "softmax: an axis is an int, and 'classes' is none",
        lambda: sg.softmax(X, axis="classes"),
    ),
    Row(
        sg.ShapeError,
        "softmax_cross_entropy: the shapes [batch,4] and [5,3] do not broadcast: axis -2 is batch and 5",
        lambda: sg.softmax_cross_entropy(X, W),
    ),
    Row(
        sg.ShapeError,
        "sigmoid_cross_entropy: the shapes [batch,4] and [5,3] do not broadcast: axis -2 is batch and 5",
        lambda: sg.sigmoid_cross_entropy(X, W),
    ),
    Row(
        sg.ShapeError,
        "sigmoid_cross_entropy: the shapes [batch,4] and [batch] do not broadcast: axis -1 is 4 and batch",
        lambda: sg.sigmoid_cross_entropy(X, I),
    ),
    Row(
        sg.ShapeError,
        "squared_error: the shapes [batch,4] and [5,3] do not broadcast: axis -2 is batch and 5",
        lambda: sg.squared_error(X, W),
    ),
    Row(
        sg.GraphError,
        "huber_loss: delta is a positive number, and -1.0 is none",
        lambda: sg.huber_loss(X, X, delta=-1.0),
    ),
    Row(
        sg.GraphError,
        "huber_loss: delta is a positive number, and 'a' is none",
        lambda: sg.huber_loss(X, X, delta="a"),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.leaky_relu(X, "a")),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: sg.elu(X, alpha=None)),
    Row(
        sg.ShapeError,
        "layer_norm: the scale has the shape [5,3], and the axes (1,) have [4]",
        lambda: sg.layer_norm(X, W, V),
    ),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.relu("a")),
    Row(sg.DTypeError, "a tensor holds numbers, and this is None", lambda: sg.relu(None)),
    Row(sg.DTypeError, "relu takes floats or integers, and this is bool", lambda: sg.relu(B)),
    Row(
        sg.ShapeError,
        "a tensor holds numbers, and this is ragged: its rows differ in length",
        lambda: sg.exp([[1.0], [1.0, 2.0]]),
    ),
    Row(sg.DTypeError, "logical_and takes bools, and this is f32", lambda: sg.logical_and(X, X)),
    Row(sg.DTypeError, "logical_not takes bools, and this is f32", lambda: sg.logical_not(X)),
    Row(sg.DTypeError, "maximum takes floats or integers, and this is bool", lambda: sg.maximum(B, B)),
    Row(sg.ShapeError, "'a b' is not a dimension", lambda: sg.size("a b")),
    Row(sg.ShapeError, "2.5 is not a dimension", lambda: sg.size(2.5)),
    Row(sg.DTypeError, "a tensor holds numbers, and this is the text 'a'", lambda: sg.full_like(X, "a")),
    Row(
        sg.GraphError,
        "a constant is made from numbers, and this is an expression",
        lambda: sg.full_like(X, X),
    ),
    Row(sg.DTypeError, "int64 cannot hold 1.5", lambda: sg.full_like(I, 1.5)),
    Row(
        sg.ShapeError,
        "linear_recurrence: there is no axis 9 in a tensor of 2 axes",
        lambda: sg.linear_recurrence(X, X, axis=9),
    ),
    Row(sg.GraphError, "assert_finite: a label is text, and 3 is none", lambda: sg.assert_finite(X, label=3)),
    Row(
        sg.GraphError, "print_value: a label is text, and None is none", lambda: sg.print_value(X, label=None)
    ),
]
