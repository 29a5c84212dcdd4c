"""Control: what stops a gradient, prints a value, or asserts that it is finite.

Labels are arbitrary text. They are shown with what is not printable escaped, and never interpreted.
"""

import sys

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import ExecutionError, GraphError
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import require_kind
from symgraph.types import SHORT_NAMES, Dimension, TensorType, evaluate_dimension

Vjp = tuple[Expr | None, ...]


class Identity(Op):
    """What the ops of this module share: the result is the operand."""

    def infer(self, *types: TensorType) -> TensorType:
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        return arrays[0]


class StopGradient(Identity):
    """x, as a constant to derivatives; a backend sees them taken, and nothing left to stop."""

    name = "stop_gradient"
    arity = 1

    def expand(self, *inputs: Expr) -> Expr:
        return inputs[0]


def stop_gradient(x: Operand) -> Expr:
    """The same value, through which no gradient flows.

    `x` is a tensor of any shape and dtype; so is the result.

    >>> from symgraph.expr import placeholder
    >>> stop_gradient(placeholder("x", (3,)))
    <stop_gradient: f32[3]>
    """
    return ops.apply(StopGradient(), *operands(x))


@attrs.frozen
class PrintValue(Identity):
    """x; a run writes what it is to standard output. The cotangent passes without being printed."""

    name = "print_value"
    arity = 1
    pure = False
    label: str = ""

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        _write(f"{_prefix(self.label)}{summary(x)}\n{np.array2string(x, threshold=64, edgeitems=3)}\n")
        return x

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g,)


def print_value(x: Operand, label: str = "") -> Expr:
    """The same value; each run that needs it prints its type, statistics and elements to standard output.

    `x` is a tensor of any shape and dtype, `label` any text. The value is printed when the result is used:
    fetch it, or go on with it. Two calls with one value and one label are one node, and print once. Gradients
    pass. Raises GraphError when the label is no text.

    >>> from symgraph.define import define
    >>> from symgraph.lowering.interpreter import evaluate
    >>> found, _ = evaluate(define(y=print_value([1.0, 2.0, 4.5], label="x")), {})
    x: f32[3]  min 1  max 4.5  mean 2.5
    [1.  2.  4.5]
    """
    return ops.apply(PrintValue(_checked("print_value", label)), *operands(x))


@attrs.frozen
class AssertFinite(Identity):
    """x; a run stops with an ExecutionError where it is NaN or infinite."""

    name = "assert_finite"
    arity = 1
    pure = False
    label: str = ""

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        bad = ~np.isfinite(x)
        if bad.any():
            first = np.unravel_index(int(np.argmax(bad)), x.shape)
            nans = int(np.isnan(x).sum())
            raise ExecutionError(
                f"assert_finite: {_prefix(self.label)}{int(bad.sum())} of {x.size} values are not finite "
                f"({nans} NaN, {int(bad.sum()) - nans} infinite); the first is {x[first]}{_place(first)}"
            )
        return x

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        return (g,)


def assert_finite(x: Operand, label: str = "") -> Expr:
    """The same value; a run stops with an ExecutionError when one element is NaN or infinite.

    `x` is a tensor of any shape and dtype, `label` any text that the error names it by. The error tells how
    many values are not finite and where the first is. Gradients pass. Raises GraphError when the label is no
    text.

    >>> from symgraph.expr import placeholder
    >>> assert_finite(placeholder("loss"), label="loss")
    <assert_finite 'loss': f32[]>
    """
    return ops.apply(AssertFinite(_checked("assert_finite", label)), *operands(x))


@attrs.frozen
class AssertIndex(Identity):
    """x; a run stops with an ExecutionError where it is not an index into `size` things."""

    name = "assert_index"
    arity = 1
    pure = False
    size: Dimension
    label: str

    def infer(self, *types: TensorType) -> TensorType:
        require_kind(self.name, "i", types[0])
        return types[0]

    def evaluate(self, *arrays: Array) -> Array:
        (x,) = arrays
        size = evaluate_dimension(self.size, {})
        wrong = (x < 0) | (x >= size)
        if wrong.any():
            first = np.unravel_index(int(np.argmax(wrong)), x.shape)
            raise ExecutionError(
                f"{self.label} is {x[first]}{_place(first)}, and there are {size}",
                hint=f"Use 0 to {size - 1}." if size else "",
            )
        return x


def in_range(x: Expr, size: Dimension, label: str) -> Expr:
    """The same indices; a run raises ExecutionError where one is not 0 to `size - 1`. `label` names them."""
    return ops.apply(AssertIndex(size, label), x)


def _place(index: tuple[np.intp, ...]) -> str:
    return f" at [{', '.join(str(int(i)) for i in index)}]" if index else ""


def _checked(name: str, label: object) -> str:
    if not isinstance(label, str):
        raise GraphError(f"{name}: a label is text, and {label!r} is none", hint="Write it in quotes.")
    return label


def _prefix(label: str) -> str:
    """A label on one line: what does not print (newlines, lone surrogates) is escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in label)
    return f"{shown}: " if shown else ""


def _write(text: str) -> None:
    """Write to standard output in one piece; what its encoding lacks is escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def summary(x: Array) -> str:
    """The type and statistics of an array on one line; the statistics are of its finite elements.

    >>> print(summary(np.array([1.0, np.nan, 3.0])))
    f64[3]  min 1  max 3  mean 2  NaN 1
    """
    kind = f"{SHORT_NAMES[x.dtype.name]}[{','.join(map(str, x.shape))}]"
    if x.dtype.kind == "b":
        return f"{kind}  true {int(x.sum())}  false {int((~x).sum())}"
    finite = x[np.isfinite(x)]
    parts = [kind]
    if finite.size:
        mean = finite.mean(dtype=np.float64)
        parts += [f"min {finite.min():.6g}", f"max {finite.max():.6g}", f"mean {mean:.6g}"]
    if nans := int(np.isnan(x).sum()):
        parts.append(f"NaN {nans}")
    if infinite := x.size - finite.size - nans:
        parts.append(f"infinite {infinite}")
    return "  ".join(parts)
