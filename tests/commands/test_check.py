"""`symgraph check`: right gradients pass, wrong ones are told with the op and its line, kinks are told apart."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.__main__ import main
from symgraph.gradient_check import check_gradient, wrong_vjps

FAULTY = """\
import numpy as np
import symgraph as sg
from symgraph.ops.base import Elementwise


class Wrong(Elementwise):
    name = "wrong_sine"
    arity = 1
    ufunc = np.sin

    def vjp(self, g, out, x):
        return (g * sg.cos(x) * 1.01,)


def graph(op=Wrong()):
    x = sg.placeholder("x", ("n", 3))
    w, v = sg.variable("w", (3,), init=0.5), sg.variable("v", (3,), init=0.25)
    y = sg.tanh(x * w)
    z = sg.ops.apply(op, y * v)
    return sg.define(loss=sg.mean(z + sg.relu(y)), z=z)


def right():
    return sg.train.minimize(graph(sg.ops.trigonometry.Sin()), "loss", sg.train.adam(0.1))


def kinks():
    w = sg.variable("w", (3,), init=0.0)
    return sg.define(loss=sg.sum(sg.relu(w) + sg.abs(w)))


def stopped():
    w = sg.variable("w", (3,), init=0.5)
    return sg.define(cost=sg.sum(w * sg.stop_gradient(w)))


def undefined():
    w = sg.variable("w", (3,), init=-0.5)
    return sg.define(loss=sg.sum(sg.log(w)))


def unbounded():
    w, x = sg.variable("w", (3,), init=0.5), sg.placeholder("x", (3,))
    return sg.define({"loss\\x1b[31m": sg.sum(w * x / 0.0)})


def labels():
    table = sg.variable("table", (7, 4), init=0.25)
    rows = sg.take(table, sg.placeholder("word", ("n",), "int64"))
    return sg.define(loss=sg.mean(sg.softmax_cross_entropy(rows, sg.placeholder("label", ("n",), "int32"))))


def fixed():
    return sg.define(loss=sg.sum(sg.placeholder("x", ("n",)) ** 2))


def printed():
    w = sg.variable("w", (3,), init=0.5)
    return sg.define(loss=sg.sum(sg.print_value(w) ** 2))
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)

    def run(what, *words):
        code = main(["check", f"faulty.py:{what}", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_right_gradients_agree(check):
    code, out, err = check("right", "--size", "n=4")
    assert (code, err) == (0, "")
    assert "in float64, on random values of seed 0, n=4; errors up to 1.0e-06" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("loss")] == ["agrees", "agrees"]
    assert out.endswith("all agree\n")


def test_a_wrong_gradient_is_told_with_the_op_and_its_line(check):
    code, out, err = check("graph")
    assert (code, err) == (1, "")
    assert "2 of 2 are wrong" in out
    assert (
        "the first op whose own VJP is wrong: %6 wrong_sine (faulty.py:19): operand 0: error 9.9e-03" in out
    )
    assert "faulty.py:19    z = sg.ops.apply(op, y * v)" in out
    code, out, _ = check("graph", "--tolerance", "0.1")
    assert code == 0 and "all agree" in out


def test_the_same_seed_gives_the_same_answer(check):
    first, again, other = (check("graph", "--seed", seed)[1] for seed in ("1", "1", "2"))
    assert first == again != other


def test_kinks_are_told_apart(check):
    code, out, _ = check("kinks")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("loss")]
    assert line.split()[:6] == ["loss", "w", "3", "of", "3", "3"] and line.endswith("at kinks")
    assert "where all is at kinks nothing is told" in out


def test_what_is_stopped_on_purpose_is_said(check):
    code, out, _ = check("stopped")  # the one scalar is meant
    assert code == 1
    assert "%1 stop_gradient (faulty.py:34)" in out and "hands nothing back on purpose" in out


def test_what_is_not_finite_is_said(check, recwarn):
    code, out, _ = check("undefined")
    assert code == 1
    assert "the first op whose value is not finite near its operands: %1 log" in out
    code, out, err = check("unbounded")
    assert code == 1 and err == "" and "NOT FINITE" in out and "WRONG" not in out and "\x1b" not in out
    assert "1 of 1 is not finite\n" in out and not recwarn.list


def test_labels_and_indices_are_drawn_as_the_graph_takes_them(check):
    code, out, err = check("labels", "--size", "n=6")
    assert (code, err) == (0, "") and "it agrees" in out


def test_targets_are_named_and_may_be_placeholders(check):
    code, out, _ = check("graph", "--wrt", "x", "--of", "z")
    assert (
        code == 1
        and "z   x" in out
        and "w" not in [line.split()[1] for line in out.splitlines() if line[:1] == "z"]
    )
    assert check("fixed", "--wrt", "x")[0] == 0


def test_nothing_is_printed_by_the_graph(check):
    code, out, _ = check("printed")
    assert code == 0 and len(out.splitlines()) == 6


def test_values_come_from_files(check, tmp_path):
    x = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
    np.savez(tmp_path / "batch.npz", x=x)
    np.savez(tmp_path / "state.npz", w=np.ones(3, np.float32), v=np.full(3, 2, np.float32), more=np.zeros(2))
    code, out, _ = check("right", "--feed", "batch.npz", "--variables", "state.npz", "--wrt", "w")
    assert code == 0 and "on values of batch.npz" in out
    for words, said in (
        (["--feed", "none.npz"], "none.npz cannot be read: No such file"),
        (["--feed", "state.npz"], "state.npz: 'more' is no placeholder of this graph"),
        (["--variables", "batch.npz"], "batch.npz has no value for the variable 'w'"),
        (["--feed", "batch.npz", "--size", "n=4"], "bind n to two sizes: 4 and 5"),
        (["--feed", "faulty.py"], "ends neither in .npz nor in .safetensors"),
        (["--size", "m=3"], "'m' is no named size"),
        (["--wrt", "nothing"], "'nothing' is no output, placeholder or variable"),
        (["--of", "nothing"], "'nothing' is no output"),
    ):
        code, out, err = check("right", *words)
        assert (code, out) == (2, ""), words
        assert said in err and "check.py" not in err and "Traceback" not in err
    assert "needs no float variable" in check("fixed")[2]


@pytest.mark.parametrize(
    "words", [["--tolerance", "0"], ["--tolerance", "x"], ["--samples", "0"], ["--seed", "-1"]]
)
def test_a_wrong_number_is_refused(words, check):
    with pytest.raises(SystemExit) as exit_:
        check("right", *words)
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    ("function", "values", "kinks"),
    [
        (lambda w: sg.relu(w), [-1.0, 0.0, 1.0], 1),
        (lambda w: sg.abs(w) * 3.0, [0.0, 0.0, 1e-7], 1),  # at 0 differences say 0, too
        (
            lambda w: sg.maximum(w, 0.5) + w * w,
            [0.5, 0.1, 0.5],
            0,
        ),  # each of two receives a half, which is what differences say
        (lambda w: sg.max(w) + sg.sin(w), [2.0, 2.0, 1.0], 0),
        (lambda w: sg.leaky_relu(w), [0.0, 2.0, -3.0], 1),
        (lambda w: sg.exp(w) * sg.sin(w * 50.0), [0.0, 2.0, -3.0], 0),
        (lambda w: w * w * w * 1e4, [0.0, 1e-9, 1.0], 0),
        (lambda w: w * 2.0, [0.0, 1.0, 2.0], 0),
    ],
)
def test_kinks_are_those_there_are(function, values, kinks):
    w = sg.variable("w", (3,), "float64")
    (row,) = check_gradient(sg.define(loss=sg.sum(function(w))), values={"w": values}).targets
    assert row.kinks == kinks and row.checked == 3
    assert (f"{kinks} at kinks" in str(row)) == (kinks > 0)


def wrong(factor):
    """An op that does nothing, with a derivative that is this factor too large."""

    class Wrong(sg.Op):
        name = "wrong"
        arity = 1

        def infer(self, *types):
            return types[0]

        def evaluate(self, *arrays):
            return np.array(arrays[0])

        def vjp(self, g, out, *inputs):
            return (g * factor,)

    return lambda w: sg.ops.apply(Wrong(), w)


# What is hard to differentiate by differences: the step is too long, a half of it leads nowhere, the value is large.
HARD = [
    (lambda w: sg.sum(sg.sqrt(w)), [1e-4, 1e-8]),
    (lambda w: sg.sum(sg.log(w)), [1e-6, 1e-3]),
    (lambda w: sg.sum(1.0 / w), [1e-3, 2.0]),
    (lambda w: sg.sqrt(sg.sum(w * w)), [1e-5, -1e-5]),
    (lambda w: sg.sum(sg.sin(w * 1e5)), [0.3, 0.7]),
    (lambda w: sg.sum(sg.square(w)), [2e9, -1e9]),
    (lambda w: sg.sum(sg.where(w > 0.0, w + 5.0, w)), [0.0, 2.0]),  # a jump hides no other element
    (lambda w: sg.sum(sg.exp(w * 30.0 - 30.0)), [0.5, -2.0]),
]


@pytest.mark.parametrize(("function", "values"), HARD)
def test_what_is_hard_is_neither_called_wrong_nor_passed_by(function, values):
    w = sg.variable("w", (2,), "float64")
    for factor in (1.0, 1.001, 0.5, -1.0, 0.0):
        graph = sg.define(loss=function(wrong(factor)(w)))
        check = check_gradient(graph, values={"w": values}, raises=False)
        assert check.passed == (factor == 1), (factor, str(check))
        assert check.targets[0].kinks == (factor == 1 and values[0] == 0.0) or values[0] == 0.0
        found = wrong_vjps(graph, values={"w": values}, tolerance=1e-5)
        assert [one.op for one in found] == ([] if factor == 1 else ["wrong"])


@pytest.mark.parametrize(
    "function",
    [
        lambda w: sg.square(sg.relu(w)),
        lambda w: sg.abs(w) ** 1.5,
        lambda w: sg.sign(w) + w,
        lambda w: sg.relu(w),
    ],
)
def test_no_op_is_accused_at_a_point_where_it_bends(function):
    w = sg.variable("w", (3,), "float64")
    graph = sg.define(loss=sg.sum(function(w)))
    assert check_gradient(graph, values={"w": np.zeros(3)}).passed
    assert not wrong_vjps(graph, values={"w": np.zeros(3)}, tolerance=1e-5)


def test_an_exponent_that_nobody_differentiates_by_is_not_checked():
    w = sg.variable("w", (3,), "float64")
    graph = sg.define(loss=sg.sum(w**3.0))  # by the exponent there is no derivative where w is below 0
    assert not wrong_vjps(graph, values={"w": [-1.0, 2.0, -3.0]})


def test_a_wrong_derivative_is_no_kink():
    class Off(sg.Op):
        name = "off_at_zero"
        arity = 1

        def infer(self, *types):
            return types[0]

        def evaluate(self, *arrays):
            return np.maximum(arrays[0], 0)

        def vjp(self, g, out, *inputs):
            return (g * sg.cast(inputs[0] > 0.0, "float64") + g * slope,)

    w = sg.variable("w", (2,), "float64")
    for slope, passed in ((0.0, True), (-0.25, False), (1.5, False)):
        check = check_gradient(
            sg.define(loss=sg.sum(sg.ops.apply(Off(), w))), values={"w": [0.0, 0.0]}, raises=False
        )
        assert check.passed == passed, slope


def test_a_disconnected_target_is_an_error_or_zero():
    w, v = sg.variable("w", (2,)), sg.variable("v", (2,))
    graph = sg.define(loss=sg.sum(w * w), other=v)
    with pytest.raises(sg.GradientError, match="does not depend"):
        check_gradient(graph, wrt="v")
    row = check_gradient(graph, wrt="v", disconnected="zero").targets[0]
    assert (row.gradient, row.difference, row.error) == (0.0, 0.0, 0.0)


def test_all_wrong_ops_are_found_and_no_others():
    w = sg.variable("w", (3,), "float64", init=0.5)
    y = sg.stop_gradient(sg.exp(w)) + sg.stop_gradient(sg.sin(w)) * sg.log(w)
    found = wrong_vjps(sg.define(loss=sg.sum(y)), most=10)
    assert [one.op for one in found] == ["stop_gradient", "stop_gradient"]
    assert all("test_check.py:" in str(one) for one in found)
