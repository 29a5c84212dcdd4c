"""Runs, builds, compilations and streams of data that are wrong: each is refused at the line that asked."""

import datetime
from collections.abc import Generator
from typing import Any

import numpy as np

import symgraph as sg
from tests.wrong import Row
from tests.wrong.programs import Bad, I, S, V, W, X


def graph() -> sg.Graph:
    """A network with two update groups and an output for each way to fail."""
    x, y = sg.placeholder("x", ("batch", 4)), sg.placeholder("y", ("batch", 3))
    i, k = sg.placeholder("i", ("batch",), "int64"), sg.placeholder("k", (), "bool")
    w, v = sg.variable("w", (4, 3), init=0.1), sg.variable("v", (3,))
    p = x @ w + v
    outputs = {
        "p": p,
        "loss": sg.mean((p - y) ** 2),
        "picked": sg.take(sg.exp(x), i),
        "fin": sg.assert_finite(sg.log(x), "inputs"),
        "neg": ~k,
    }
    return sg.define(outputs, updates={"train": {w: w * 0.5, v: v + 1.0}, "other": {v: v}})


G = graph()
s = sg.Session(G, backend="numpy")
x, y = np.ones((2, 4), np.float32), np.ones((2, 3), np.float32)
closed = sg.Session(G)
closed.close()
deep: list[Any] = []
for _ in range(5000):
    deep = [deep]
cyc: list[Any] = []
cyc.append(cyc)


def plain(x: Any) -> Any:
    return x


@sg.do
def bad_yield(x: Any) -> Generator[Any, Any, Any]:
    w = yield sg.parameter
    return w


@sg.do
def inner(x: Any) -> Generator[Any, Any, Any]:
    w = yield from sg.parameter("w", (3, 3))
    return x @ w


@sg.do
def dup() -> Generator[Any, Any, Any]:
    a = yield from sg.parameter("w", (3,))
    b = yield from sg.parameter("w", (3,))
    return a + b


class Torch:
    """As tensors of other libraries that NumPy can read."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.ones(4, np.float32)


ROWS: list[Row] = [
    Row(sg.GraphError, "'nope' is no output, placeholder or variable of this graph", lambda: s.run(["nope"])),
    Row(sg.GraphError, "'nope' is no output, placeholder or variable of this graph", lambda: s.run("nope")),
    Row(sg.FeedError, "the placeholder 'y' has no value", lambda: s.run("loss", {"x": "text"})),
    Row(sg.FeedError, "the placeholder 'y' has no value", lambda: s.run("loss", {"x": x})),
    Row(
        sg.FeedError,
        "'z' is no output, placeholder or variable of this graph",
        lambda: s.run("loss", {"x": x, "y": y, "z": 1}),
    ),
    Row(sg.FeedError, "feeds are a mapping, and this is an array", lambda: s.run("loss", x)),
    Row(sg.FeedError, "feeds are a mapping, and this is a list", lambda: s.run("loss", [("x", x)])),
    Row(sg.FeedError, "feeds are a mapping, and this is 'x'", lambda: s.run("loss", "x")),
    Row(
        sg.FeedError,
        "the feed 'x' has the shape [2,5], and [batch,4] was declared (with batch=2)",
        lambda: s.run("p", {"x": np.ones((2, 5), np.float32)}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' has the shape [4], and [batch,4] was declared",
        lambda: s.run("p", {"x": np.ones(4, np.float32)}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is float64, and f32 was declared: the cast loses precision",
        lambda: s.run("p", {"x": np.ones((2, 4))}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is ragged: its rows differ in length, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": [[1, 2, 3, 4], [1, 2]]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is an array of text, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": [[1, 2, 3, "a"]]}),
    ),
    Row(sg.FeedError, "the feed 'x' is None, and f32[batch,4] was declared", lambda: s.run("p", {"x": None})),
    Row(
        sg.FeedError,
        "the feed 'x' is an expression, whose value is known in a run, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": X}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is a list of expressions, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": [[X, X, X, X]]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is complex: there are no complex tensors, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": np.ones((2, 4), complex)}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is an array of objects, such as a datetime, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": np.array([[datetime.datetime.now()] * 4])}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is an array of datetime64[s], and f32[batch,4] was declared",
        lambda: s.run("p", {"x": np.array([["2020-01-01"] * 4], "datetime64[s]")}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is an array of objects, such as an object, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": np.array([[object()] * 4])}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is an array of objects, such as 0.5, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": np.array([[0.5] * 4], object)}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is an array of objects, such as None, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": np.array([[1, 2, None, 4]], object)}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is integers that int64 cannot hold, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": [[10**400] * 4]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is integers that int64 cannot hold, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": [[10**30] * 4]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is a dict, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": {1: 2}}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is a set, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": {1, 2}}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is a Bad, which cannot be made an array: it is on a GPU, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": Bad()}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' has the shape [4], and [batch,4] was declared",
        lambda: s.run("p", {"x": Torch()}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' has the shape [], and [batch,4] was declared",
        lambda: s.run("p", {"x": 1.0}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' has the shape [], and [batch,4] was declared",
        lambda: s.run("p", {"x": np.float32(1)}),
    ),
    Row(sg.FeedError, "the feed 'x' is larger than f32 can hold", lambda: s.run("p", {"x": [[1e300] * 4]})),
    Row(
        sg.FeedError,
        "the feed 'x' is complex: there are no complex tensors, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": [[1j] * 4]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is nested deeper than the 64 axes an array can have, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": deep}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is nested deeper than the 64 axes an array can have, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": cyc}),
    ),
    Row(
        sg.FeedError,
        "the feed 'x' is a generator, which has no length, and f32[batch,4] was declared",
        lambda: s.run("p", {"x": (r for r in [[1, 2, 3, 4]])}),
    ),
    Row(
        sg.FeedError,
        "the feed 'i' is float64, and i64 was declared: the cast loses precision",
        lambda: s.run("picked", {"x": x, "i": [0.5, 1]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'i' is float64, and i64 was declared: the cast loses precision",
        lambda: s.run("picked", {"x": x, "i": [0, 2**63]}),
    ),
    Row(
        sg.FeedError,
        "the feed 'i' is uint64, and i64 was declared: the cast loses precision",
        lambda: s.run("picked", {"x": x, "i": np.array([0, 1], np.uint64)}),
    ),
    Row(
        sg.FeedError,
        "'x' and 'i' bind batch to two sizes: 2 and 3",
        lambda: s.run("picked", {"x": x, "i": [0, 1, 1]}),
    ),
    Row(
        sg.FeedError,
        "'x' and 'y' bind batch to two sizes: 2 and 3",
        lambda: s.run("loss", {"x": x, "y": np.ones((3, 3), np.float32)}),
    ),
    Row(
        sg.FeedError,
        "the feed 'k' is int64, and bool was declared: the cast loses precision",
        lambda: s.run("neg", {"k": 1}),
    ),
    Row(
        sg.FeedError,
        "the feed 'k' is int64, and bool was declared: the cast loses precision",
        lambda: s.run("neg", {"k": np.int64(1)}),
    ),
    Row(sg.GraphError, "a set cannot be fetched", lambda: s.run({"loss"}, {"x": x, "y": y})),
    Row(sg.GraphError, "3 cannot be fetched", lambda: s.run(3, {})),
    Row(sg.GraphError, "3.5 cannot be fetched", lambda: s.run(3.5)),
    Row(sg.GraphError, "b'loss' cannot be fetched", lambda: s.run(b"loss")),
    Row(sg.FeedError, "the placeholder 'x' has no value", lambda: s.run(X)),
    Row(sg.GraphError, "<add: f32[]> is not in this graph", lambda: s.run(S + 1), at="S + 1"),
    Row(sg.GraphError, "the function <lambda> cannot be fetched", lambda: s.run(lambda: 1)),
    Row(sg.GraphError, "the fetches are nested too deeply, or hold themselves", lambda: s.run(deep)),
    Row(sg.GraphError, "the fetches are nested too deeply, or hold themselves", lambda: s.run(cyc)),
    Row(sg.GraphError, "%2 (add: f32[]) is a node of another graph", lambda: s.run(sg.define(q=S + 1)["q"])),
    Row(sg.GraphError, "a graph cannot be fetched", lambda: s.run(G)),
    Row(
        sg.GraphError,
        "'nope' is no update group of this graph",
        lambda: s.run("loss", {"x": x, "y": y}, update="nope"),
    ),
    Row(
        sg.GraphError,
        "an update is the name of a group, and 3 is none",
        lambda: s.run("loss", {"x": x, "y": y}, update=3),
    ),
    Row(
        sg.GraphError,
        "the update groups 'other' and 'train' both change 'v'",
        lambda: s.run("loss", {"x": x, "y": y}, update=["train", "other"]),
    ),
    Row(
        sg.GraphError,
        "an update is the name of a group, and 3 is none",
        lambda: s.run("loss", {"x": x, "y": y}, update=["train", 3]),
    ),
    Row(
        sg.GraphError,
        "an update is the name of a group, and True is none",
        lambda: s.run("loss", {"x": x, "y": y}, update=True),
    ),
    Row(
        sg.GraphError,
        "an update is the name of a group, and {'train': 1} is none",
        lambda: s.run("loss", {"x": x, "y": y}, update={"train": 1}),
    ),
    Row(sg.FeedError, "3 is no name, expression or node", lambda: s.run("loss", {3: x})),
    Row(sg.FeedError, "(1, 2) is no name, expression or node", lambda: s.run("loss", {(1, 2): x})),
    Row(sg.FeedError, "None is no name, expression or node", lambda: s.run("loss", {None: x})),
    Row(sg.FeedError, "'x' and 'x' are one node, fed twice", lambda: s.run("p", {"x": x, G["x"]: x})),
    Row(
        sg.FeedError,
        "the feed 'w' is float64, and f32 was declared: the cast loses precision",
        lambda: s.run("p", {X: x, "w": np.ones((4, 3))}),
    ),
    Row(
        sg.FeedError,
        "the feed 'w' has the shape [3,3], and [4,3] was declared (with batch=2)",
        lambda: s.run("p", {"x": x, "w": np.ones((3, 3), np.float32)}),
    ),
    Row(
        sg.FeedError,
        "'x' and 'p' bind batch to two sizes: 2 and 3",
        lambda: s.run("p", {"x": x, "p": np.ones((3, 3), np.float32)}),
    ),
    Row(sg.FeedError, "0 values are fed, and this step takes 1", lambda: s.prepare("p", ("x",))()),
    Row(sg.FeedError, "2 values are fed, and this step takes 1", lambda: s.prepare("p", ("x",))(x, x)),
    Row(sg.FeedError, "'x' is not fed", lambda: s.prepare("p", ("x",))({"y": x})),
    Row(sg.FeedError, "'y' was not prepared to be fed", lambda: s.prepare("p", ("x",))({"x": x, "y": 1})),
    Row(
        sg.FeedError,
        "the feed 'x' is the text 'a', and f32[batch,4] was declared",
        lambda: s.prepare("p", ("x",))("a"),
    ),
    Row(sg.FeedError, "3 names nothing to feed", lambda: s.prepare("p", 3)),
    Row(
        sg.FeedError,
        "'q' is no output, placeholder or variable of this graph",
        lambda: s.prepare("p", ("q",)),
    ),
    Row(sg.FeedError, "'x' and 'x' are one node, fed twice", lambda: s.prepare("p", ("x", "x"))),
    Row(sg.FeedError, "the placeholder 'x' has no value", lambda: s.prepare("p")),
    Row(sg.GraphError, "'nope' is no variable of this graph", lambda: s.variables["nope"]),
    Row(sg.FeedError, "'nope' is no variable of this graph", lambda: s.variables.assign("nope", 1)),
    Row(
        sg.FeedError,
        "the feed 'w' has the shape [], and [4,3] was declared",
        lambda: s.variables.assign("w", 1),
    ),
    Row(sg.FeedError, "the feed 'w' is None, and f32[4,3] was declared", lambda: s.variables.assign("w")),
    Row(
        sg.FeedError,
        "the feed 'v' has the shape [], and [3] was declared",
        lambda: s.variables.assign({"w": np.ones((4, 3), np.float32), "v": 1}),
    ),
    Row(sg.FeedError, "a mapping holds the values already", lambda: s.variables.assign({"w": 1}, 2)),
    Row(sg.FeedError, "3 is no variable of this graph", lambda: s.variables.assign(3, 2)),
    Row(sg.ExecutionError, "the session is closed", lambda: closed.run("p", {"x": x})),
    Row(sg.ExecutionError, "the session is closed", lambda: closed.variables),
    Row(sg.ExecutionError, "the session is closed", lambda: closed.step),
    Row(sg.ExecutionError, "the session is closed", lambda: closed.save("/tmp/errs/closed.ck")),
    Row(sg.GraphError, "a session runs a graph, and this is an expression", lambda: sg.Session(X)),
    Row(sg.GraphError, "a session runs a graph, and this is None", lambda: sg.Session(None)),
    Row(sg.CompileError, "there is no backend 'cuda'", lambda: sg.Session(G, "cuda")),
    Row(sg.CompileError, "there is no backend 3", lambda: sg.Session(G, backend=3)),
    Row(sg.CompileError, "there is no backend ['numpy']", lambda: sg.Session(G, backend=["numpy"])),
    Row(sg.CompileError, "there is no backend None", lambda: sg.Session(G, backend=None)),
    Row(sg.CompileError, "there is no numerics 'quick'", lambda: sg.Session(G, numerics="quick")),
    Row(sg.CompileError, "there is no numerics ['x']", lambda: sg.Session(G, numerics=["x"])),
    Row(sg.FeedError, "a seed is a whole number from 0, and -1 is none", lambda: sg.Session(G, seed=-1)),
    Row(sg.FeedError, "a seed is a whole number from 0, and '0' is none", lambda: sg.Session(G, seed="0")),
    Row(sg.FeedError, "a seed is a whole number from 0, and 1.5 is none", lambda: sg.Session(G, seed=1.5)),
    Row(sg.FeedError, "a seed is a whole number from 0, and None is none", lambda: sg.Session(G, seed=None)),
    Row(sg.FeedError, "a seed is a whole number from 0, and True is none", lambda: sg.Session(G, seed=True)),
    Row(
        sg.ShapeError,
        "variable 'w': [10000000000,10000000000] has 100000000000000000000 elements, and 2**48 is the limit",
        lambda: sg.Session(sg.define(y=sg.variable("w", (10**10, 10**10)))),
        at='sg.variable("w", (10**10, 10**10))',
    ),
    Row(
        sg.ExecutionError,
        "the variable 'w', f32[10000000000,1000], does not fit in memory",
        lambda: sg.Session(sg.define(y=sg.variable("w", (10**10, 10**3)))),
        at='sg.variable("w", (10**10, 10**3))',
    ),
    Row(sg.GraphError, "compile takes a graph, and this is an expression", lambda: sg.compile(X)),
    Row(sg.CompileError, "there is no backend 'gpu'", lambda: sg.compile(G, backend="gpu")),
    Row(sg.CompileError, "there is no numerics 'x'", lambda: sg.compile(G, numerics="x")),
    Row(sg.FeedError, "the variable 'w' has no value", lambda: sg.compile(G)({"x": x})),
    Row(sg.FeedError, "the variable 'w' has no value", lambda: sg.compile(G)({"x": x, "q": 1})),
    Row(sg.FeedError, "feeds are a mapping, and this is an array", lambda: sg.compile(G)(x)),
    Row(sg.FeedError, "the sizes batch are not given", lambda: sg.compile(G).source()),
    Row(
        sg.FeedError,
        "the size batch is a whole number from 0, and -1 is none",
        lambda: sg.compile(G).source(batch=-1),
    ),
    Row(
        sg.FeedError,
        "the size batch is a whole number from 0, and 'a' is none",
        lambda: sg.compile(G).source(batch="a"),
    ),
    Row(
        sg.FeedError,
        "the size batch is a whole number from 0, and 2.5 is none",
        lambda: sg.compile(G).source(batch=2.5),
    ),
    Row(
        sg.CompileError,
        "passes are a sequence of Pass records, and this is [3]",
        lambda: sg.compile(G, passes=[3]),
    ),
    Row(
        sg.CompileError,
        "passes are a sequence of Pass records, and this is 3",
        lambda: sg.compile(G, passes=3),
    ),
    Row(
        sg.GraphError,
        "'nope' is no output, placeholder or variable of this graph",
        lambda: sg.gradient(G, "nope", ["w"]),
    ),
    Row(
        sg.GraphError,
        "'nope' is no output, placeholder or variable of this graph",
        lambda: sg.gradient(G, "loss", ["nope"]),
    ),
    Row(
        sg.GradientError,
        "there is nothing to differentiate by: wrt names nothing",
        lambda: sg.gradient(G, "loss", []),
    ),
    Row(
        sg.GradientError,
        "a gradient is with respect to floats, and this is i64[batch]",
        lambda: sg.gradient(G, "loss", ["i"]),
    ),
    Row(
        sg.GradientError,
        "the gradient is of a scalar, and this is f32[batch,3]",
        lambda: sg.gradient(G, "p", ["w"]),
    ),
    Row(
        sg.GradientError,
        "disconnected is 'error' or 'zero', and 'none' is neither",
        lambda: sg.gradient(G, "loss", ["w"], disconnected="none"),
        hint=False,
    ),
    Row(
        sg.GraphError,
        "gradient takes a graph, and this is an expression",
        lambda: sg.gradient(X, "loss", ["w"]),
    ),
    Row(
        sg.GraphError,
        "what is in a graph is asked for by name, and this is an expression",
        lambda: sg.gradient(G, X, ["w"]),
    ),
    Row(
        sg.GraphError,
        "what is in a graph is asked for by name, and this is an expression",
        lambda: sg.gradient(G, "loss", [X]),
    ),
    Row(
        sg.GraphError,
        "what is in a graph is asked for by name, and this is 3",
        lambda: sg.gradient(G, "loss", 3),
    ),
    Row(
        sg.GraphError,
        "what is in a graph is asked for by name, and this is 3",
        lambda: sg.gradient(G, 3, ["w"]),
    ),
    Row(
        sg.GradientError,
        "no gradient reaches 'v': every path goes through an operation without a derivative",
        lambda: sg.gradient(sg.define(l=sg.sum(sg.stop_gradient(V)) + sg.sum(X)), "l", ["v"]),
    ),
    Row(
        sg.GradientError,
        "no gradient reaches 'v': every path goes through an operation without a derivative",
        lambda: sg.gradient(sg.define(l=sg.sum(sg.floor(V))), "l", ["v"]),
    ),
    Row(
        sg.GradientError,
        "no gradient reaches 'v': every path goes through an operation without a derivative",
        lambda: sg.gradient(sg.define(l=sg.cast(sg.argmax(V), "float32")), "l", ["v"]),
    ),
    Row(
        sg.GradientError,
        "what is differentiated does not depend on what it is differentiated by: no path leads from 'v' to it",
        lambda: sg.gradient(sg.define(l=sg.sum(X), v=V), "l", ["v"]),
    ),
    Row(
        sg.GradientError,
        "only a float has a gradient, and this is i64[]",
        lambda: sg.gradient(sg.define(l=sg.sum(I)), "l", ["i"]),
    ),
    Row(
        sg.GradientError,
        "only a float has a gradient, and this is i64[]",
        lambda: sg.gradient(sg.define(l=sg.sum(V > 0)), "l", ["v"]),
    ),
    Row(
        sg.GraphError,
        "the graph has an update group 'train' already",
        lambda: sg.train.minimize(G, "nope", sg.train.sgd(0.1)),
    ),
    Row(
        sg.GraphError,
        "the graph has an update group 'train' already",
        lambda: sg.train.minimize(G, "p", sg.train.sgd(0.1)),
    ),
    Row(
        sg.GraphError,
        "minimize takes an optimizer, and this is 0.1",
        lambda: sg.train.minimize(G, "loss", 0.1),
    ),
    Row(
        sg.GraphError,
        "minimize takes an optimizer, and this is the function sgd",
        lambda: sg.train.minimize(G, "loss", sg.train.sgd),
    ),
    Row(
        sg.GraphError,
        "the graph has an update group 'train' already",
        lambda: sg.train.minimize(G, "loss", sg.train.sgd("a")),
    ),
    Row(
        sg.GraphError,
        "a learning rate is a number from 0, and -1 is none",
        lambda: sg.train.minimize(G, "loss", sg.train.sgd(-1)),
        at="sg.train.sgd(-1)",
    ),
    Row(
        sg.GraphError,
        "the graph has an update group 'train' already",
        lambda: sg.train.minimize(G, "loss", sg.train.sgd(0.1), ["nope"]),
    ),
    Row(
        sg.GraphError,
        "the graph has an update group 'train' already",
        lambda: sg.train.minimize(G, "loss", sg.train.sgd(0.1)),
    ),
    Row(
        sg.GradientError,
        "there is nothing to train: the output depends on no float variable",
        lambda: sg.train.minimize(sg.define(loss=sg.sum(S)), "loss", sg.train.sgd(0.1)),
    ),
    Row(
        sg.GraphError,
        "minimize takes a graph, and this is an expression",
        lambda: sg.train.minimize(X, "loss", sg.train.sgd(0.1)),
    ),
    Row(
        sg.GraphError,
        "the graph has an update group 'train' already",
        lambda: sg.train.minimize(G, X, sg.train.sgd(0.1)),
    ),
    Row(
        sg.GraphError,
        "line 1, column 6: '(' was expected, and the end of the text came",
        lambda: sg.from_text("graph"),
    ),
    Row(
        sg.GraphError,
        "line 1, column 1: 'graph' was expected, and the end of the text came",
        lambda: sg.from_text(""),
    ),
    Row(
        sg.GraphError,
        "line 2, column 16: %1 neg: the type is f32[3], and f32[2] is what its operands give",
        lambda: sg.from_text("graph(x: f32[2]) {\n  %1: f32[3] = neg %x\n  return y=%1\n}"),
    ),
    Row(
        sg.GraphError,
        "line 2, column 16: there is no operation 'nge'",
        lambda: sg.from_text("graph(x: f32[2]) {\n  %1: f32[2] = nge %x\n  return y=%1\n}"),
    ),
    Row(
        sg.GraphError,
        "line 2, column 20: the placeholder 'z' is not defined before",
        lambda: sg.from_text("graph(x: f32[2]) {\n  %1: f32[2] = neg %z\n  return y=%1\n}"),
    ),
    Row(sg.GraphError, "the text of a graph is a str, and this is 3", lambda: sg.from_text(3)),
    Row(
        sg.GraphError,
        "the text of a graph is a str, and this is b'graph() {\\n  return\\n}'",
        lambda: sg.from_text(b"graph() {\n  return\n}"),
    ),
    Row(sg.GraphError, "to_dot takes a graph, and this is an expression", lambda: sg.to_dot(X)),
    Row(sg.GraphError, "to_mermaid takes a graph, and this is None", lambda: sg.to_mermaid(None)),
    Row(sg.GraphError, "explain takes an executable, and this is a graph", lambda: sg.explain(G)),
    Row(sg.GraphError, "'n' is no named size of this graph", lambda: sg.explain(sg.compile(G), n=3)),
    Row(
        sg.GraphError,
        "why_not takes two node ids or names of outputs, and 'a' is none",
        lambda: sg.why_not(sg.compile(G), "a", 2),
    ),
    Row(sg.GraphError, "verify takes a graph, and this is 3", lambda: sg.verify(3)),
    Row(sg.GraphError, "'nope' is no output, placeholder or variable of this graph", lambda: G["nope"]),
    Row(sg.GraphError, "what is in a graph is asked for by name, and this is 3", lambda: G[3]),
    Row(sg.GraphError, "'x' is no update group of this graph", lambda: G.update_group("x")),
    Row(sg.GraphError, "do: 'plain' is no generator function", lambda: sg.do(plain)),
    Row(sg.GraphError, "do: 3 is no generator function", lambda: sg.do(3)),
    Row(
        sg.GraphError,
        "the function parameter stands where a Build was expected",
        lambda: sg.run_build(bad_yield(X)),
    ),
    Row(sg.GraphError, "an expression stands where a Build was expected", lambda: sg.run_build(X)),
    Row(sg.GraphError, "3 stands where a Build was expected", lambda: sg.run_build(3)),
    Row(sg.GraphError, "the function inner stands where a Build was expected", lambda: sg.run_build(inner)),
    Row(
        sg.GraphError,
        "bind: the function returned 1, not a Build",
        lambda: sg.run_build(sg.pure(1).bind(lambda v: v)),
    ),
    Row(
        sg.GraphError,
        "an expression stands where a Build was expected",
        lambda: sg.run_build(sg.scope("a", X)),
    ),
    Row(
        sg.GraphError,
        "the name of a scope is a non-empty string, and '' is none",
        lambda: sg.scope("", inner(X)),
    ),
    Row(
        sg.GraphError,
        "the name of a scope is a non-empty string, and 3 is none",
        lambda: sg.scope(3, inner(X)),
    ),
    Row(
        sg.GraphError,
        "an expression stands where a Build was expected",
        lambda: sg.run_build(sg.sequence([X])),
    ),
    Row(
        sg.GraphError,
        "1 stands where a Build was expected",
        lambda: sg.run_build(sg.traverse(lambda x: x, [1])),
    ),
    Row(
        sg.GraphError,
        "0 stands where a Build was expected",
        lambda: sg.run_build(sg.fold(lambda a, b: a, 0, [1])),
    ),
    Row(
        sg.ShapeError,
        "variable 'w': the shape [n] has a named size",
        lambda: sg.run_build(sg.parameter("w", ("n",))),
        at='sg.parameter("w", ("n",))',
    ),
    Row(
        sg.GraphError,
        "the name of a parameter is a non-empty string, and 3 is none",
        lambda: sg.run_build(sg.parameter(3, (2,))),
        at="sg.parameter(3, (2,))",
    ),
    Row(
        sg.GraphError,
        "the name of a parameter is a non-empty string, and '' is none",
        lambda: sg.run_build(sg.parameter("", (2,))),
        at='sg.parameter("", (2,))',
    ),
    Row(
        sg.GraphError,
        "the name of a fresh name is a non-empty string, and 3 is none",
        lambda: sg.run_build(sg.fresh_name(3)),
        at="sg.fresh_name(3)",
    ),
    Row(
        sg.GraphError,
        "step add: it takes 2 operands, and the stack holds 0",
        lambda: sg.run_build(sg.step(sg.add)),
        at="sg.step(sg.add)",
    ),
    Row(
        sg.GraphError,
        "step matmul: it takes 2 operands, and the stack holds 1",
        lambda: sg.run_build(sg.push(X).then(sg.steps(sg.matmul))),
        at="sg.steps(sg.matmul)",
    ),
    Row(
        sg.DTypeError,
        "a tensor holds numbers, and this is the text 'a'",
        lambda: sg.run_build(sg.push(X, "a")),
        at='sg.push(X, "a")',
    ),
    Row(
        sg.ShapeError,
        "matmul: the inner dimensions differ: 4 and 5",
        lambda: sg.run_build(sg.push(X, W).then(sg.steps(sg.matmul))),
        at="sg.steps(sg.matmul)",
    ),
    Row(
        sg.GraphError,
        "step <lambda>: it returned 3, not an expression",
        lambda: sg.run_build(sg.push(X, X).then(sg.steps(lambda a, b: 3))),
    ),
    Row(
        sg.GraphError,
        "step: the number of operands of 3 is not known",
        lambda: sg.run_build(sg.step(3)),
        at="sg.step(3)",
    ),
    Row(
        sg.GraphError,
        "step: an arity is a whole number from 0, and -1 is none",
        lambda: sg.run_build(sg.step(sg.add, arity=-1)),
        at="sg.step(sg.add, arity=-1)",
        hint=False,
    ),
    Row(
        sg.GraphError,
        "step: an arity is a whole number from 0, and 'a' is none",
        lambda: sg.run_build(sg.step(sg.add, arity="a")),
        at='sg.step(sg.add, arity="a")',
        hint=False,
    ),
    Row(
        sg.GraphError,
        "state: the function returned 3, not a value and a BuildState",
        lambda: sg.run_build(sg.state(lambda s: 3)),
    ),
    Row(
        sg.GraphError,
        "a build runs from a BuildState, and this is 3",
        lambda: sg.run_build(inner(X), 3),
        hint=False,
    ),
    Row(
        sg.DataError,
        "batches: size is a whole number from 1, not 0.",
        lambda: sg.batches(np.ones(3), 0),
    ),
    Row(
        sg.DataError,
        "batches: size is a whole number from 1, not -1.",
        lambda: sg.batches(np.ones(3), -1),
    ),
    Row(
        sg.DataError,
        "batches: size is a whole number from 1, not 1.5.",
        lambda: sg.batches(np.ones(3), 1.5),
    ),
    Row(
        sg.DataError,
        "batches: size is a whole number from 1, not 'a'.",
        lambda: sg.batches(np.ones(3), "a"),
    ),
    Row(
        sg.DataError,
        "batches: no batch of 5 can be filled from 3 examples.",
        lambda: sg.batches(np.ones(3), 5, drop_last=True),
    ),
    Row(
        sg.DataError,
        "batches: the arrays have different lengths: 3, 4.",
        lambda: sg.batches({"x": np.ones(3), "y": np.ones(4)}, 1),
    ),
    Row(sg.DataError, "batches: there are no examples.", lambda: sg.batches([], 1)),
    Row(sg.DataError, "batches: there are no examples.", lambda: sg.batches({}, 1)),
    Row(
        sg.DataError,
        "batches: data has no first axis to cut into batches; it is None.",
        lambda: sg.batches(None, 1),
    ),
    Row(
        sg.DataError,
        "batches: data has no first axis to cut into batches; it is 'abc'.",
        lambda: sg.batches("abc", 1),
    ),
    Row(
        sg.DataError,
        "batches: seed is a whole number from 0, not -1.",
        lambda: sg.batches(np.ones(3), 1, seed=-1),
    ),
    Row(
        sg.DataError,
        "batches: seed is a whole number from 0, not 'a'.",
        lambda: sg.batches(np.ones(3), 1, seed="a"),
    ),
    Row(
        sg.DataError,
        "batches: epochs is a whole number from 0, not -1.",
        lambda: sg.batches(np.ones(3), 1, epochs=-1),
    ),
    Row(sg.DataError, "batches: start is a Position, not 3.", lambda: sg.batches(np.ones(3), 1, start=3)),
    Row(
        sg.DataError,
        "batches: the arrays have different lengths: 2, 1.",
        lambda: sg.batches([[1, 2], [3]], 1),
    ),
    Row(sg.CheckpointError, "3 is not a path", lambda: s.save(3)),
    Row(sg.CheckpointError, "a\x00 could not be written: embedded null byte", lambda: s.save("a\0")),
    Row(sg.CheckpointError, "3 is not a path", lambda: s.restore(3)),
    Row(sg.CheckpointError, "None is not a path", lambda: s.restore(None)),
]
