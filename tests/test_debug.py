"""Debugging a run: the first value that is not finite, and errors of compiled code, each with the user's line."""

import io
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import symgraph as sg
from symgraph.expr import apply
from symgraph.ir import Graph, Op
from symgraph.lowering.program import Instance, Options, Program
from symgraph.rewrite import Pass, Rewritten
from symgraph.train.initializers import Initializer

compiling = import_module("symgraph.compile")
BACKENDS = ["interpreter", "numpy", "llvm"]
X = np.array([[1, 2, 4], [0.5, 0, 3]], np.float32)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stopped(run: Callable[[], Any]) -> sg.DivergenceError:
    with pytest.raises(sg.DivergenceError) as caught:
        run()
    return caught.value


def x_of(shape: tuple[Any, ...] = ("n", 3)) -> sg.Expr:
    return sg.placeholder("x", shape)


# What stops a run.


@pytest.mark.parametrize(
    ("function", "found", "op"),
    [
        (lambda x: sg.log(x) * 2.0, "1 of 6 are not finite, the first at [1, 1]: -inf", "log"),
        (lambda x: sg.sqrt(x - 1.0) + 1.0, "2 of 6 are not finite, the first at [1, 0]: nan", "sqrt"),
        (lambda x: sg.sum(sg.exp(x * 50.0)), "3 of 6 are not finite, the first at [0, 1]: inf", "exp"),
        (lambda x: sg.minimum(1.0 / x, 9.0), "1 of 6 are not finite, the first at [1, 1]: inf", "div"),
        (lambda x: sg.where(x > 0.0, sg.log(x), 0.0), "1 of 6 are not finite", "log"),
    ],
)
def test_the_first_value_that_is_not_finite_stops_the_run(
    backend: str, function: Callable[[sg.Expr], sg.Expr], found: str, op: str
) -> None:
    y = function(x_of() * 1.0)
    w = sg.variable("w", (), init=3.0)
    graph = sg.define({"y": y}, updates={"grow": {w: w * 2.0}})
    with sg.Session(graph, backend, debug=True) as session:
        error = stopped(lambda: session.run("y", {"x": X}, update="grow"))
        assert session.variables["w"] == 3 and session.step == 0
        assert f"{op} of" in error.message and found in error.message and "f32[2,3]" in error.message
        assert error.source is not None and "lambda x:" in error.source.quote()
        assert "^" in error.source.quote()
        assert any(line.startswith("its operand") and "f32[2,3]  min" in line for line in error.details)
        assert "No variable has changed." in error.details
        session.run("y", {"x": np.full((1, 3), 1.125, np.float32)}, update="grow")
        assert session.variables["w"] == 6


def test_all_backends_name_the_same_node() -> None:
    x = x_of()
    with_scope = sg.run_build(sg.scope("part", sg.pure(None).map(lambda _: sg.log(x - 2.0) * x)))[0]
    graph = sg.define(y=with_scope)
    said = {
        stopped(lambda b=b: sg.Session(graph, b, debug=True).run("y", {"x": X})).message for b in BACKENDS
    }
    assert len(said) == 1
    error = stopped(lambda: sg.Session(graph, "numpy", debug=True).run("y", {"x": X}))
    number = next(n.id for n in graph.nodes if n.op.name == "log")
    assert f"%{number} (log of %" in error.message and "in the scope part" in error.details


def test_what_the_compiler_made_has_its_rules(backend: str) -> None:
    x, w = x_of(), sg.variable("w", (3,))
    root = sg.sqrt(w * w * x)
    graph = sg.train.minimize(sg.define(loss=sg.mean(root)), "loss", sg.train.sgd(0.5))
    with sg.Session(graph, backend, debug=True) as session:
        error = stopped(lambda: session.run("loss", {"x": X}, update="train"))
        assert any("made it by vjp sqrt" in line and "test_debug.py" in line for line in error.details)
        assert error.source is not None and "root = sg.sqrt(w * w * x)" in error.source.quote()
        assert not session.variables["w"].any() and session.step == 0
        assert session.run("loss", {"x": X}) == 0, "without the update there is nothing wrong"


def test_an_error_reads_as_a_whole() -> None:
    x = x_of()
    graph = sg.define(y=sg.log(x))
    error = stopped(lambda: sg.Session(graph, "numpy", debug=True).run("y", {"x": X}))
    lines = str(error).split("\n")
    assert lines[0] == (
        "the first that is not finite is %1 (log of %x: f32[2,3]): 1 of 6 are not finite, the first at [1, 1]: -inf"
    )
    assert lines[1].endswith("graph = sg.define(y=sg.log(x))") and lines[2].strip() == "^" * len("sg.log(x)")
    assert lines[3:5] == [
        "  its operand %x is f32[2,3]  min 0  max 4  mean 1.75  1 zero",
        "  No variable has changed.",
    ]


# What runs is what is looked at.


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sg.log(1.0 + sg.exp(x)),
        lambda x: sg.log(sg.sigmoid(-x)),
        lambda x: sg.sigmoid(-x),
        lambda x: sg.log(sg.sum(sg.exp(x), axis=1)),
        lambda x: sg.softmax(x) + sg.tanh(x),
    ],
)
def test_what_rewriting_has_mended_is_no_fault(backend: str, function: Callable[[sg.Expr], sg.Expr]) -> None:
    graph = sg.define(y=function(x_of()))
    value = X * 1000
    wanted = sg.Session(graph, backend).run("y", {"x": value})
    assert np.isfinite(wanted).all()
    np.testing.assert_array_equal(sg.Session(graph, backend, debug=True).run("y", {"x": value}), wanted)


def network() -> Graph:
    x, y = x_of(), sg.placeholder("y", ("n",), "int64")
    w, b = sg.variable("w", (3, 4), init=sg.init.glorot_uniform), sg.variable("b", (4,))
    loss = sg.mean(sg.softmax_cross_entropy(sg.tanh(x @ w) * 2.0 + b, sg.one_hot(y, 4)))
    return sg.train.minimize(sg.define(loss=loss), "loss", sg.train.adam(0.1))


def test_watching_changes_no_bit(backend: str) -> None:
    graph, found = network(), []
    for debug in (False, True, "nan"):
        with sg.Session(graph, backend, seed=3, debug=debug) as session:  # type: ignore[arg-type]
            losses = [session.run("loss", {"x": X, "y": np.array([0, 3])}, update="train") for _ in range(4)]
            found.append((losses, {n: v.tobytes() for n, v in session.variables.snapshot().items()}))
    assert found[0] == found[1] == found[2]


@attrs.frozen
class Spoiled:
    """A program that gives out a wrong number in the place of one of its outputs."""

    program: Program
    place: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.program, name)

    def instance(self) -> Instance:
        run = self.program.instance()

        def call(values: Any, destinations: Any) -> Any:
            outputs = [np.array(output) for output in run(values, destinations)]
            outputs[self.place].reshape(-1)[-1] = np.nan
            return outputs

        return call


def spoil(monkeypatch: pytest.MonkeyPatch, place: Callable[[Graph], int | None]) -> None:
    """Make the backend numpy spoil the output at a place, of the graphs that have one."""
    lowering = compiling.lowering("numpy")[1]

    def lower(graph: Graph, options: Options) -> Any:
        program, found = lowering.lower(graph, options), place(graph)
        return program if found is None else Spoiled(program, found)

    monkeypatch.setitem(compiling._BACKENDS, "numpy", lambda: attrs.evolve(lowering, lower=lower))


def test_a_wrong_kernel_is_told_from_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = sg.define(y=sg.reshape(sg.sum(sg.tanh(x_of()), axis=1), (-1, 1)))

    def of_sum(lowered: Graph) -> int | None:
        names = [name for name, _ in lowered.outputs]
        return next((k for k, name in enumerate(names) if name.startswith("%")), None)

    spoil(monkeypatch, of_sum)
    error = stopped(lambda: sg.Session(graph, "numpy", debug=True).run("y", {"x": X}))
    assert "NumPy makes finite values of these operands: the fault is in the compiled kernel" in error.details


def test_a_program_that_goes_wrong_where_its_kernels_do_not_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    w = sg.variable("w", (), init=1.0)
    graph = sg.define({"y": sg.tanh(x_of()) * 2.0}, updates={"grow": {w: w + 1.0}})
    spoil(monkeypatch, lambda lowered: 0 if len(lowered.outputs) == 1 else None)
    with sg.Session(graph, "numpy", debug=True) as session:
        error = stopped(lambda: session.run("y", {"x": X}, update="grow"))
        assert "computed kernel by kernel it is finite: the fault is in the compiled program" in error.details
        assert "1 of 6 are not finite, the first at [1, 2]: nan" in error.message
        assert session.variables["w"] == 1


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("bad", [1, 2])
def test_an_op_of_the_users_that_gives_other_values_each_time_is_no_wrong_kernel(
    backend: str, bad: int
) -> None:
    calls = []

    def evaluate(self: Op, x: np.ndarray) -> np.ndarray:
        calls.append(1)
        return x * np.float32(np.nan if len(calls) == bad else 1.0)

    odd = apply(an_op(evaluate=evaluate), x_of())
    error = stopped(lambda: sg.Session(sg.define(y=odd * 2.0), backend, debug=True).run("y", {"x": X}))
    told = "\n".join(error.details)
    assert "the fault is in the compiled kernel" not in told
    assert ("odd may give other values each time" in told) == (bad == 2), told


def test_what_has_an_effect_runs_once(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    graph = sg.define(y=sg.log(sg.print_value(x_of(), "seen")))
    with sg.Session(graph, backend, debug=True) as session:
        np.testing.assert_allclose(session.run("y", {"x": X + 1}), np.log(X + 1), rtol=1e-6)
        assert capsys.readouterr().out.count("seen") == 1
        stopped(lambda: session.run("y", {"x": X}))


def test_what_was_computed_of_constants_alone_is_found_too(backend: str) -> None:
    x = x_of()
    y = x * sg.log(sg.constant(0.0))
    error = stopped(lambda: sg.Session(sg.define(y=y), backend, debug=True).run("y", {"x": X + 1}))
    assert "log of" in error.message and error.source is not None
    assert "sg.log(sg.constant(0.0))" in error.source.quote()
    meant = sg.maximum(x, sg.constant(-np.inf) * 2.0)
    np.testing.assert_array_equal(sg.Session(sg.define(y=meant), backend, debug=True).run("y", {"x": X}), X)


# Infinities by intention.


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sg.softmax(sg.where(x > 0.0, x, -np.inf)),
        lambda x: sg.exp(sg.log_softmax(sg.where(x > 0.0, x, -np.inf))),
        lambda x: sg.max(sg.where(x > 0.0, x, -np.inf), axis=1),
        lambda x: sg.max(sg.pad(x, 1, -np.inf), axis=1)[1:3],
        lambda x: sg.logsumexp(sg.where(x > 9.0, x, -np.inf), axis=1),
        lambda x: x + sg.where(x > 0.0, 0.0, -np.inf),
        lambda x: sg.where(sg.isnan(sg.where(x > 0.0, x, np.nan)), 0.0, x),
    ],
)
def test_what_is_infinite_by_intention_goes_through(
    backend: str, function: Callable[[sg.Expr], sg.Expr]
) -> None:
    graph = sg.define(y=function(x_of((2, 3))))
    wanted = sg.Session(graph, backend).run("y", {"x": X})
    np.testing.assert_array_equal(sg.Session(graph, backend, debug=True).run("y", {"x": X}), wanted)


def test_the_gradient_of_a_masked_attention_runs_in_debug(backend: str) -> None:
    x, w = x_of(), sg.variable("w", (3, 3), init=0.5)
    scores = sg.where(x > 0.0, x @ w, -np.inf)
    graph = sg.train.minimize(sg.define(loss=sg.mean(sg.softmax(scores) * x)), "loss", sg.train.sgd(0.1))
    with sg.Session(graph, backend, debug=True) as session:
        assert np.isfinite(session.run("loss", {"x": X}, update="train"))
        masked = X * np.array([[1], [0]], np.float32)
        for debug in (True, "nan"):  # a whole row is masked: inf - inf
            with sg.Session(graph, backend, debug=debug) as other:  # type: ignore[arg-type]
                error = stopped(lambda other=other: other.run("loss", {"x": masked}, update="train"))
                assert "softmax" in str(error) or "sub" in str(error)


def test_nan_alone_stops_where_infinities_are_let_be(backend: str) -> None:
    x = x_of()
    graph = sg.define(a=sg.log(x), b=sg.log(x) * 0.0)
    with sg.Session(graph, backend, debug="nan") as session:
        assert session.run("a", {"x": X})[1, 1] == -np.inf
        assert session.run("a", {"x": np.full((1, 3), np.inf, np.float32)}).tolist() == [[np.inf] * 3]
        error = stopped(lambda: session.run("b", {"x": X}))
        assert "(mul of" in error.message and "1 of 6 are NaN, the first at [1, 1]: nan" in error.message
        error = stopped(lambda: session.run("a", {"x": X * np.float32(np.nan)}))
        assert error.message.startswith("what is fed for 'x' is not finite")


def test_a_variable_may_start_infinite(backend: str) -> None:
    x, least = x_of(), sg.variable("least", (), init=np.inf)
    graph = sg.define({"y": x}, updates={"state": {least: sg.minimum(least, sg.min(x))}})
    with sg.Session(graph, backend, debug=True) as session:
        session.run(None, {"x": X}, update="state")
        assert session.variables["least"] == 0


# Where what is given is not finite.


def test_what_is_fed_is_named_as_the_user_calls_it(backend: str) -> None:
    x, w = x_of(), sg.variable("w", (3,), init=1.0)
    hidden = x * w
    graph = sg.define(y=hidden + 1.0)
    bad = X.copy()
    bad[1, 2] = np.inf
    with sg.Session(graph, backend, debug=True) as session:
        said = "is not finite: 1 of 6 are not finite, the first at [1, 2]: inf"
        assert stopped(lambda: session.run("y", {"x": bad})).message == f"what is fed for 'x' {said}"
        assert stopped(lambda: session.run("y", {hidden: bad})).message.endswith(said)
        error = stopped(lambda: session.run("y", {"x": X, "w": np.array([1, np.nan, 2], np.float32)}))
        assert "what is fed for 'w' is not finite: 1 of 3" in error.message
        session.variables.assign("w", np.array([1, 1, np.nan], np.float32))
        error = stopped(lambda: session.run("y", {"x": X}))
        assert "the variable 'w' was not finite before the run: 1 of 3" in error.message
        assert "session.variables.assign('w', value)" in error.hint
        assert session.run("y", {hidden: X}).tolist() == (X + 1).tolist(), "w is not needed"


# Wherever a session runs.


def test_prepared_steps_and_several_groups(backend: str) -> None:
    x, scale = x_of(), sg.placeholder("scale")
    w, v = sg.variable("w", (), init=1.0), sg.variable("v", (), init=1.0)
    root = sg.sqrt(scale)
    graph = sg.define({"y": x * root}, updates={"a": {w: w + root}, "b": {v: v * 2.0}})
    with sg.Session(graph, backend, debug=True) as session:
        step = session.prepare(("y", {"w": w}), ("scale", "x"), ["a", "b"])
        for run in (
            lambda: step(-1.0, X),
            lambda: step({"x": X, "scale": -1.0}),
            lambda: session.run("y", {"x": X, "scale": -1.0}, update=("a", "b")),
        ):
            assert "sqrt" in stopped(run).message
            assert (session.variables["w"], session.variables["v"], session.step) == (1, 1, 0)
        y, found = step({"x": X, "scale": 4.0})
        assert y.tolist() == (2 * X).tolist() and found == {"w": 1}
        assert (session.variables["w"], session.variables["v"], session.step) == (3, 2, 1)
        session.undo()
        assert session.variables["w"] == 1


def test_fit_evaluate_and_predict(backend: str) -> None:
    x, w = sg.placeholder("x", ("n",)), sg.variable("w", (), init=1.0)
    graph = sg.define(loss=sg.mean(sg.log(x) * w), p=sg.log(x))
    graph = sg.train.minimize(graph, "loss", sg.train.sgd(0.1))
    rows = {"x": np.array([1, 2, 3, 0], np.float32)}
    with sg.Session(graph, backend, debug=True) as session:
        runs = (
            lambda: sg.train.fit(session, rows, batch_size=2, shuffle=False, quiet=True),
            lambda: sg.train.evaluate(session, rows, outputs="loss", batch_size=2),
            lambda: sg.train.predict(session, "p", rows, batch_size=2),
        )
        for run in runs:
            error = stopped(run)
            assert "(log of %x: f32[2])" in error.message and "the first at [1]: -inf" in error.message
        assert session.step == 1, "the first batch was trained on, the second changed nothing"
        assert np.isfinite(session.variables["w"])


def test_many_threads_each_find_their_own(backend: str) -> None:
    graph = sg.define(y=sg.log(x_of((3,))))
    found: dict[int, str] = {}
    with sg.Session(graph, backend, debug=True) as session:
        step = session.prepare("y", "x")

        def work(k: int) -> None:
            value = np.ones(3, np.float32)
            if k % 2:
                value[k % 3] = 0
            for _ in range(20):
                try:
                    found[k] = str(step(value).tolist())
                except sg.DivergenceError as error:
                    found[k] = error.message

        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for k in range(6):
        assert f"the first at [{k % 3}]: -inf" in found[k] if k % 2 else found[k] == "[0.0, 0.0, 0.0]"


def test_without_debug_nothing_is_looked_at(backend: str) -> None:
    graph = sg.define(y=sg.log(x_of()))
    with sg.Session(graph, backend) as session:
        step = session.prepare("y", "x")
        assert step._plan.watch is None and step(X)[1, 1] == -np.inf
        assert type(step._plan.executable.bound({"n": 2}).program).__name__ != "_Watched"


@pytest.mark.parametrize("debug", [1, "inf", None, "NaN"])
def test_debug_is_true_false_or_nan(debug: Any) -> None:
    with pytest.raises(sg.CompileError, match="debug is True, False or 'nan'"):
        sg.Session(sg.define(y=x_of()), "numpy", debug=debug)


# Errors of what runs: at the user's line, whatever the backend.


def an_op(**rules: Any) -> Op:
    """An op of a user's with these rules; without, it is the identity."""
    plain = {"infer": lambda self, *types: types[0], "evaluate": lambda self, *arrays: arrays[0]}
    return type("Odd", (Op,), {"name": "odd", "arity": 1, **plain, **rules})()  # type: ignore[no-any-return]


def raising(error: BaseException) -> Callable[..., Any]:
    def rule(*_: Any) -> Any:
        raise error

    return rule


def writing(self: Op, x: np.ndarray) -> np.ndarray:
    x[...] = 7
    return x


EVALUATES = {
    "ZeroDivisionError: division": raising(ZeroDivisionError("division")),
    "KeyError: 'k'": raising(KeyError("k")),
    "MemoryError": raising(MemoryError()),
    "ValueError: operands could not be broadcast together with shapes (2,3) (7,)": lambda self, x: (
        x + np.ones(7)
    ),
    "ValueError: assignment destination is read-only": writing,
    "evaluate gave float64[2, 3], and infer says float32[2, 3]": lambda self, x: x.astype(np.float64),
    "evaluate gave float32[3], and infer says float32[2, 3]": lambda self, x: x[0],
    "evaluate gave object[], and infer says float32[2, 3]": lambda self, x: None,
    "the op has no evaluate": Op.evaluate,
}


@pytest.mark.parametrize("said", EVALUATES)
@pytest.mark.parametrize("inside", [False, True])
def test_an_op_of_the_users_that_fails_is_told_at_its_line(backend: str, said: str, inside: bool) -> None:
    x, w = x_of(), sg.variable("w", (), init=1.0)
    odd = apply(an_op(evaluate=EVALUATES[said]), x * 2.0 if inside else x)
    graph = sg.define({"y": sg.exp(odd) + 1.0 if inside else odd}, updates={"grow": {w: w + 1.0}})
    given = X.copy()
    with sg.Session(graph, backend) as session:
        with pytest.raises(sg.ExecutionError) as caught:
            session.run("y", {"x": given}, update="grow")
        assert session.variables["w"] == 1
    error = caught.value
    assert error.message.startswith("odd: ") and said in error.message
    assert error.source is not None and "odd = apply(an_op(" in error.source.quote() and "^" in str(error)
    assert "while computing odd(f32[2,3]) -> f32[2,3]" in error.details
    np.testing.assert_array_equal(given, X)
    if "raised" in error.message:
        assert any(line.startswith("operand 0 is f32[2,3]  min 0") for line in error.details)
        assert any(line.startswith("raised at") and "test_debug.py" in line for line in error.details)
        assert type(error.__cause__).__name__ == error.message.split("raised ")[1].split(":")[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_is_to_end_the_program_is_not_held(backend: str, error: BaseException) -> None:
    graph = sg.define(y=apply(an_op(evaluate=raising(error)), x_of()))
    with pytest.raises(type(error)):
        sg.Session(graph, backend).run("y", {"x": X})


def test_an_op_of_constants_that_fails_does_so_when_it_runs(backend: str) -> None:
    odd = apply(an_op(evaluate=raising(ValueError("bad luck"))), sg.constant(1.0))
    session = sg.Session(sg.define(y=x_of() + odd), backend)
    with pytest.raises(sg.ExecutionError, match="odd: evaluate raised ValueError: bad luck") as caught:
        session.run("y", {"x": X})
    assert caught.value.source is not None and "odd = apply(" in caught.value.source.quote()


INDEXED: dict[str, tuple[Callable[[sg.Expr, sg.Expr], sg.Expr], list[int]]] = {
    "take": (lambda x, i: sg.take(x, i, axis=0), [0, 5]),
    "scatter_add": (lambda x, i: sg.scatter_add(x, i, sg.take(x, i * 0, axis=0)), [0, 9]),
    "assert_finite": (lambda x, i: sg.assert_finite(x * np.inf, "here") + sg.cast(sg.sum(i), "float32"), [1]),
}


@pytest.mark.parametrize("name", INDEXED)
def test_an_op_of_ours_that_fails_tells_its_operands(backend: str, name: str) -> None:
    make, index = INDEXED[name]
    graph = sg.define(y=make(x_of(), sg.placeholder("i", ("k",), "int64")) * 1.0)
    with pytest.raises(sg.ExecutionError) as caught:
        sg.Session(graph, backend).run("y", {"x": X, "i": np.array(index)})
    assert "test_debug.py" in str(caught.value) and f"lambda x, i: sg.{name}(" in str(caught.value)
    assert any(line.startswith(f"while computing {name}(f32[2,3]") for line in caught.value.details)


def test_what_does_not_fit_in_memory_has_a_line(backend: str) -> None:
    x = x_of()
    huge = sg.cumsum(sg.broadcast_to(sg.reshape(x, (-1, 1)), (*sg.reshape(x, (-1,)).shape, 10**13)), 1)
    session = sg.Session(sg.define(y=sg.sum(huge, axis=1)), backend)
    with pytest.raises(sg.ExecutionError) as caught:
        session.run("y", {"x": X})
    assert "huge = " in str(caught.value) and isinstance(caught.value.__cause__, MemoryError | ValueError)


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError("nobody reads")


def test_a_value_that_cannot_be_printed_is_told(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sg.Session(sg.define(y=sg.print_value(x_of(), "x")), backend)
    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(sg.ExecutionError, match="print_value: the run failed: nobody reads") as caught:
        session.run("y", {"x": X})
    assert "sg.print_value(x_of()" in str(caught.value)


def test_a_feed_that_does_not_fit_says_where_it_was_declared(backend: str) -> None:
    x = sg.placeholder("x", ("n", 3))
    z = sg.placeholder("z", ("n", "m"))
    graph = sg.define(y=x + z[:, 2:3])
    lines = [f"test_debug.py:{x.origin.sources[0].line}", f"test_debug.py:{z.origin.sources[0].line}"]
    feeds: dict[str, Any]
    for feeds, wanted in (
        ({"x": np.ones((2, 4), np.float32), "z": X}, lines[:1]),
        ({"x": np.ones((3, 3), np.float32), "z": X}, lines),
        ({"x": np.ones((2, 3)), "z": X}, lines[:1]),
        ({"x": X, "z": X[:, :2]}, lines),
    ):
        with pytest.raises(sg.FeedError) as caught:
            sg.Session(graph, backend).run("y", feeds)
        assert all(any(line in told for told in caught.value.details) for line in wanted), str(caught.value)


# The other rules of a user's op, and what else of the user's runs.


@pytest.mark.parametrize(
    ("vjp", "said"),
    [
        (raising(IndexError("no")), "odd: vjp raised IndexError: no"),
        (lambda self, g, out, x: (g, g), "odd: vjp gave 2 cotangents, and it has 1 operand"),
        (lambda self, g, out, x: g, "odd: vjp gave an expression, and it has 1 operand"),
        (lambda self, g, out, x: (sg.sum(g),), "odd: vjp gave f32[] for operand 0, which is f32[n,3]"),
        (lambda self, g, out, x: (1.0,), "odd: vjp gave 1.0 for operand 0, which is f32[n,3]"),
        (lambda self, g, out, x: (g @ g,), "matmul: the inner dimensions differ"),
    ],
)
def test_a_derivative_of_the_users_that_is_wrong_is_told(vjp: Any, said: str) -> None:
    x = x_of()
    odd = apply(an_op(vjp=vjp), x)
    with pytest.raises((sg.GradientError, sg.ShapeError)) as caught:
        sg.gradient(sg.define(loss=sg.sum(odd), x=x), "loss", "x")
    assert said in caught.value.message and "odd = apply(an_op(vjp=vjp), x)" in str(caught.value)
    assert "differentiating odd(f32[n,3]) -> f32[n,3]" in caught.value.details


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"infer": raising(ValueError("no"))}, "odd: infer raised ValueError: no"),
        ({"infer": lambda self, x: 3}, "odd: infer gave 3, and a type is wanted"),
        ({"infer": Op.infer}, "odd: the op has no infer"),
        ({"arity": 2}, "odd: it takes 2 operands, and 1 are given"),
    ],
)
def test_a_type_of_the_users_that_is_wrong_is_told(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(sg.GraphError) as caught:
        apply(an_op(**rules), x_of())
    assert caught.value.message == said and "apply(an_op(**rules), x_of())" in str(caught.value)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize(
    ("expand", "said"),
    [
        (raising(ValueError("no")), "odd: expand raised ValueError: no"),
        (lambda self, x: sg.sum(x), "odd: expand gave f32[], and infer says f32[n,3]"),
    ],
)
def test_an_expansion_of_the_users_that_is_wrong_is_told(backend: str, expand: Any, said: str) -> None:
    odd = apply(an_op(expand=expand), x_of())
    with pytest.raises(sg.CompileError) as caught:
        sg.compile(sg.define(y=odd), backend=backend)
    assert caught.value.message == said and "odd = apply(" in str(caught.value)


@attrs.frozen
class Fails(Initializer):
    """An initializer of a user's."""

    def sample(self, rng: Any, shape: Any, dtype: Any) -> Any:
        raise RuntimeError("no numbers left")


def test_an_initializer_that_fails_names_the_variable() -> None:
    w = sg.variable("w", (3,), init=Fails())
    with pytest.raises(sg.ExecutionError, match="raised RuntimeError: no numbers left") as caught:
        sg.Session(sg.define(y=w), "numpy")
    assert 'w = sg.variable("w", (3,), init=Fails())' in str(caught.value)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raising(LookupError("lost")), "the pass 'mine' raised LookupError: lost"),
        (lambda graph, numerics: graph, "the pass 'mine' returned a graph"),
    ],
)
def test_a_pass_of_the_users_that_fails_is_named(function: Any, said: str) -> None:
    with pytest.raises(sg.CompileError) as caught:
        sg.compile(sg.define(y=x_of()), backend="numpy", passes=(Pass("mine", function),))
    assert caught.value.message == said


def test_an_op_that_a_pass_of_the_users_left_still_has_its_line(backend: str) -> None:
    odd = apply(an_op(evaluate=raising(ValueError("late"))), x_of() + 0.0)
    same = Pass("same", lambda graph, numerics: Rewritten(graph))
    program = sg.compile(sg.define(y=odd * 2.0), backend=backend, passes=(same,))
    with pytest.raises(sg.ExecutionError, match="odd: evaluate raised ValueError: late") as caught:
        program({"x": X})
    assert "odd = apply(" in str(caught.value) and Path(__file__).name in str(caught.value)


def test_what_overflows_in_training_is_told_to_take_a_smaller_rate(backend: str) -> None:
    x, w = x_of(), sg.variable("w", (3,), init=1.0)
    loss = sg.mean(sg.square(sg.matmul(x, w)))
    trained = sg.train.minimize(sg.define(loss=loss), "loss", sg.train.sgd(1e30))

    def run(graph: Graph, feed: Any, update: str | None) -> None:
        with sg.Session(graph, backend=backend, debug=True) as session:
            for _ in range(3):
                session.run("loss", {"x": feed}, update=update)

    error = stopped(lambda: run(trained, X, "train"))
    assert "take a smaller learning rate" in error.hint and 'debug="nan"' in error.hint
    assert "exp, log" not in error.hint
    error = stopped(lambda: run(sg.define(loss=loss), X * np.float32(1e30), None))  # nothing is trained
    assert "learning rate" not in error.hint
