"""What stops gradients, prints and asserts: effects, hostile labels, and the user's line in errors."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward
from symgraph.define import define
from symgraph.errors import ExecutionError, GradientError, GraphError
from symgraph.expr import placeholder
from tests.ops.running import run

HOSTILE = [
    "{x} %s {0.__class__}",
    "__import__('os').system('true')",
    "$(true) `true` ; true",
    "[bold]markup[/bold]",
    '"quoted" \\ back',
    "two\nlines\rand\x1b[31mred\x00",
    "\ud800 lone",
    "größe 漢字 🙂 \u202e",
    "x" * 10_000,
]


def x():
    return placeholder("x", ("n",), "float64")


def test_no_gradient_passes_stop_gradient():
    e = x()
    (g,) = backward(ops.sum(e * ops.stop_gradient(e)), [e])
    np.testing.assert_array_equal(run(g, x=np.array([2.0, 3.0])), [2, 3])
    with pytest.raises(GradientError, match="no gradient reaches 'x'"):
        backward(ops.sum(ops.stop_gradient(e)), [e])


@pytest.mark.parametrize("function", [ops.print_value, ops.assert_finite])
def test_gradients_pass_and_the_effect_is_kept(function, capsys):
    e = x()
    out = function(e, "x")
    assert not out.op.pure
    (g,) = backward(ops.sum(e * out), [e])
    np.testing.assert_array_equal(run(g, x=np.array([2.0, 3.0])), [4, 6])
    assert ("x: f64[2]" in capsys.readouterr().out) == (function is ops.print_value)


def test_a_printed_value_says_what_it_is(capsys):
    run(ops.print_value(x(), "activations"), x=np.array([1.0, np.nan, np.inf, -np.inf, 3.0]))
    assert capsys.readouterr().out == (
        "activations: f64[5]  min 1  max 3  mean 2  NaN 1  infinite 2\n[  1.  nan  inf -inf   3.]\n"
    )


@pytest.mark.parametrize(
    "value, shown",
    [
        (np.zeros((0, 3)), "f64[0,3]\n"),
        (np.array([True, False, True]), "bool[3]  true 2  false 1\n"),
        (np.int32(7), "i32[]  min 7  max 7  mean 7\n7\n"),
        (np.array([2**31 - 1, 2**31 - 1], np.int32), "mean 2.14748e+09"),
        (np.full(3, 3e38, np.float32), "mean 3e+38"),
    ],
)
def test_printing_every_kind(capsys, value, shown):
    e = placeholder("x", np.shape(value), value.dtype)
    run(ops.print_value(e), x=value)
    assert shown in capsys.readouterr().out


def test_a_large_value_is_printed_in_short(capsys):
    run(ops.print_value(x()), x=np.arange(1e6))
    assert len(capsys.readouterr().out) < 200


@pytest.mark.parametrize("label", HOSTILE)
def test_labels_are_only_shown(capsys, label):
    e = x()
    run(ops.print_value(e, label), x=np.array([1.0]))
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 2
    assert "\x1b" not in printed
    with pytest.raises(ExecutionError) as error:
        run(ops.assert_finite(e, label), x=np.array([np.nan]))
    assert "1 of 1 values are not finite" in str(error.value)
    str(error.value).encode()  # can be written anywhere


def test_a_terminal_that_lacks_letters_gets_escapes(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    run(ops.print_value(x(), "größe"), x=np.array([1.0]))
    assert raw.getvalue().startswith(rb"gr\xf6\xdfe: f64[1]")


@given(st.text(max_size=40))
def test_any_label_makes_a_graph_that_runs(label):
    e = ops.assert_finite(x(), label)
    assert define(y=e) == define(y=ops.assert_finite(x(), label))
    np.testing.assert_array_equal(run(e, x=np.array([1.0])), [1.0])


def test_what_is_not_finite_is_counted_and_placed():
    e = placeholder("x", ("n", 3))
    values = np.zeros((2, 3), np.float32)
    values[0, 2], values[1, 1], values[1, 2] = np.inf, np.nan, np.nan
    with pytest.raises(ExecutionError) as error:
        run(ops.assert_finite(e, "loss"), x=values)
    assert error.value.message == (
        "assert_finite: loss: 3 of 6 values are not finite (2 NaN, 1 infinite); the first is inf at [0, 2]"
    )
    assert 'ops.assert_finite(e, "loss")' in str(error.value)


def test_finite_extremes_pass():
    values = np.array([0.0, -0.0, 5e-324, 1.7e308])
    assert run(ops.assert_finite(x()), x=values).tobytes() == values.tobytes()
    with pytest.raises(ExecutionError, match=r"the first is nan\n"):
        run(ops.assert_finite(placeholder("s")), s=np.float32(np.nan))


@pytest.mark.parametrize("function", [ops.print_value, ops.assert_finite])
@pytest.mark.parametrize("label", [None, 3, b"x"])
def test_a_label_is_text(function, label):
    with pytest.raises(GraphError, match="a label is text"):
        function(x(), label)
