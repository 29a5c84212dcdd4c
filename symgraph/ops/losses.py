"""Losses, one value an element or a row: take `symgraph.mean` or `symgraph.sum` of them.

The cross-entropies take logits, not probabilities: with a logit of 10,000 they neither overflow nor lose the
gradient, which is the probability less the label.
"""

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import DTypeError, ShapeError
from symgraph.expr import Expr, Operand, operands
from symgraph.ir import Array, Op
from symgraph.ops.base import (
    Elementwise,
    broadcast_operands,
    normalise_axis,
    require_kind,
    require_same_dtype,
    sum_to,
)
from symgraph.ops.control import in_range
from symgraph.ops.nn import positive, shifted
from symgraph.types import Dimension, Shape, TensorType, make_type, show_shape

Vjp = tuple[Expr | None, ...]


def _facing(name: str, first: Operand, second: Operand) -> tuple[Expr, Expr]:
    """The two operands as floats of one dtype, one of which has the shape of the loss.

    Raises ShapeError where both would be repeated: (batch, 1) against (batch,) is every row with every other.
    """
    a, b = operands(first, second, floating=True)
    shape = broadcast_operands(name, (a.type, b.type))
    if shape not in (a.shape, b.shape):
        longer = "the second" if a.rank > b.rank else "the first"
        hint = (
            f"Reshape {longer}: y.reshape(-1, 1) of an array, symgraph.expand_dims(y, -1) of an expression."
            if a.rank != b.rank
            else "Give both one shape, or broadcast one on purpose: symgraph.broadcast_to(y, shape)."
        )
        raise ShapeError(
            f"{name}: {show_shape(a.shape)} against {show_shape(b.shape)} would compare every element with "
            f"every other, {show_shape(shape)}",
            hint=hint,
        )
    return a, b


class SigmoidCrossEntropy(Elementwise):
    """max(z, 0) - z y + log(1 + exp(-|z|)) of logits z and labels y."""

    name = "sigmoid_cross_entropy"
    arity = 2
    cost = 24

    def evaluate(self, *arrays: Array) -> Array:
        z, y = arrays
        return np.asarray(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        z, y = inputs
        return sum_to(g * (ops.sigmoid(z) - y), z.shape), sum_to(ops.neg(g * z), y.shape)

    def expand(self, *inputs: Expr) -> Expr | None:
        z, y = inputs
        return ops.maximum(z, 0.0) - z * y + ops.log1p(ops.exp(-ops.abs(z)))


def sigmoid_cross_entropy(logits: Operand, labels: Operand) -> Expr:
    """The cross-entropy of independent labels and the sigmoid of logits, element by element.

    `logits` are floats of any size, `labels` the probabilities that they are for, 0 to 1 (bools and integers
    do); the two broadcast. It is -y log(sigmoid(z)) - (1 - y) log(1 - sigmoid(z)), computed as
    max(z, 0) - z y + log(1 + exp(-|z|)), which for labels 0 and 1 is log(1 + exp((1 - 2y) z)). The derivative
    by the logits is sigmoid(z) - y. Raises ShapeError when neither shape broadcasts to the other.

    >>> from symgraph.expr import placeholder
    >>> sigmoid_cross_entropy(placeholder("z", ("batch", 1)), placeholder("y", ("batch", 1)))
    <sigmoid_cross_entropy: f32[batch,1]>
    """
    return ops.apply(SigmoidCrossEntropy(), *_facing("sigmoid_cross_entropy", logits, labels))


@attrs.frozen
class SoftmaxCrossEntropy(Op):
    """-sum(y log(softmax(z))) over an axis, of logits z and labels y of one shape."""

    name = "softmax_cross_entropy"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        z, y = types
        require_kind(self.name, "f", z)
        require_same_dtype(self.name, types)
        if z.shape != y.shape:
            raise ShapeError(
                f"softmax_cross_entropy: logits {show_shape(z.shape)} and labels {show_shape(y.shape)}"
            )
        return make_type(z.dtype, _without(z.shape, self.axis))

    def evaluate(self, *arrays: Array) -> Array:
        z, y = arrays
        z = shifted(z, (self.axis,))
        logarithm = z - np.log(np.sum(np.exp(z), axis=self.axis, keepdims=True))
        # A label of 0 costs nothing, also where the probability is 0 (a masked logit, -inf).
        cost = np.where(y == 0, z.dtype.type(0), y * logarithm)
        return np.asarray(-np.sum(cost, axis=self.axis))

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        z, y = inputs
        g = ops.expand_dims(g, self.axis)
        total = ops.sum(y, self.axis, keepdims=True)
        return g * (ops.softmax(z, self.axis) * total - y), ops.neg(g * ops.log_softmax(z, self.axis))

    def expand(self, *inputs: Expr) -> Expr | None:
        z, y = inputs
        cost = ops.where(ops.equal(y, 0.0), 0.0, y * ops.log_softmax(z, self.axis))
        return -ops.sum(cost, self.axis)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size * 26


@attrs.frozen
class IndexCrossEntropy(Op):
    """-log(softmax(z))[y] over an axis, of logits z and the indices y of the right classes."""

    name = "index_cross_entropy"
    axis: int

    def infer(self, *types: TensorType) -> TensorType:
        z, y = types
        require_kind(self.name, "f", z)
        require_kind(self.name, "i", y)
        if y.shape != _without(z.shape, self.axis):
            raise ShapeError(
                f"softmax_cross_entropy: the labels are {y}, and the logits {z} have "
                f"{show_shape(_without(z.shape, self.axis))} beside the axis {self.axis}",
                hint="Integer labels have the shape of the logits without the axis of the classes.",
            )
        return make_type(z.dtype, y.shape)

    def evaluate(self, *arrays: Array) -> Array:
        z, y = arrays
        z = shifted(z, (self.axis,))
        chosen = np.take_along_axis(z, np.expand_dims(y, self.axis), self.axis).squeeze(self.axis)
        return np.asarray(np.log(np.sum(np.exp(z), axis=self.axis)) - chosen)

    def vjp(self, g: Expr, out: Expr, *inputs: Expr) -> Vjp:
        z, y = inputs
        hot = ops.cast(_is_label(z, y, self.axis), z.dtype)
        return ops.expand_dims(g, self.axis) * (ops.softmax(z, self.axis) - hot), None

    def expand(self, *inputs: Expr) -> Expr | None:
        z, y = inputs
        chosen = ops.where(_is_label(z, y, self.axis), ops.log_softmax(z, self.axis), 0.0)
        return -ops.sum(chosen, self.axis)

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        return types[0].size * 24


def _is_label(z: Expr, labels: Expr, axis: int) -> Expr:
    """Where the class of an element of `z` is the label of its row."""
    classes = ops.iota(z.shape[axis], labels.dtype)
    columns = ops.reshape(classes, (z.shape[axis], *(1,) * (z.rank - axis - 1)))
    return ops.equal(ops.expand_dims(labels, axis), columns)


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]


def softmax_cross_entropy(logits: Operand, labels: Operand, axis: int = -1) -> Expr:
    """The cross-entropy of labels and the softmax of logits, one value for each row.

    `logits` are floats of any size with the classes on `axis`. `labels` are either floats or bools of that
    shape (probabilities, or one-hot; the two broadcast), or integers of that shape without the axis: the
    index of the right class. The derivative by the logits is softmax(z) sum(y) - y. Raises ShapeError when
    the shapes do not fit; a run raises ExecutionError for an index that is no class.

    >>> from symgraph.expr import placeholder
    >>> z = placeholder("z", ("batch", 10))
    >>> softmax_cross_entropy(z, placeholder("y", ("batch", 10)))
    <softmax_cross_entropy: f32[batch]>
    >>> softmax_cross_entropy(z, placeholder("label", ("batch",), "int64"))
    <index_cross_entropy: f32[batch]>
    """
    (z,), (y,) = operands(logits, floating=True), operands(labels)
    if y.dtype.kind == "i":
        axis = normalise_axis("softmax_cross_entropy", axis, z.rank)
        if y.rank == z.rank and z.rank > 0:
            raise DTypeError(
                f"softmax_cross_entropy: the labels are {y.type}, integers in the shape of the logits",
                hint="Give indices without the axis of the classes, or cast one-hot labels to a float dtype.",
            )
        # The check is an op of its own, so that it also guards a gradient that is run without the loss.
        y = in_range(y, z.shape[axis], "softmax_cross_entropy: a label")
        return ops.apply(IndexCrossEntropy(axis), z, y)
    z, y = operands(z, y)
    shape = broadcast_operands("softmax_cross_entropy", (z.type, y.type))
    axis = normalise_axis("softmax_cross_entropy", axis, len(shape))
    z, y = (e if e.shape == shape else ops.broadcast_to(e, shape) for e in (z, y))
    return ops.apply(SoftmaxCrossEntropy(axis), z, y)


def squared_error(predictions: Operand, targets: Operand) -> Expr:
    """(p - t)^2, element by element, broadcast; the operands are floats, or become float32.

    Raises ShapeError when neither shape broadcasts to the other.

    >>> from symgraph.expr import placeholder
    >>> squared_error(placeholder("p", ("batch",)), placeholder("t", ("batch",)))
    <mul: f32[batch]>
    """
    p, t = _facing("squared_error", predictions, targets)
    difference = p - t
    return difference * difference


def absolute_error(predictions: Operand, targets: Operand) -> Expr:
    """|p - t|, element by element, broadcast, with derivative 0 where they are equal.

    Raises ShapeError when neither shape broadcasts to the other.

    >>> from symgraph.expr import placeholder
    >>> absolute_error(placeholder("p", ("batch",)), placeholder("t", ("batch",)))
    <abs: f32[batch]>
    """
    p, t = _facing("absolute_error", predictions, targets)
    return ops.abs(p - t)


def hinge_loss(scores: Operand, labels: Operand) -> Expr:
    """max(0, 1 - y s) of scores s and labels y that are -1 or 1, element by element, broadcast.

    The derivative at y s = 1 is 0. Raises ShapeError when neither shape broadcasts to the other. Source:
    Cortes and Vapnik, Support-Vector Networks (1995).

    >>> from symgraph.expr import placeholder
    >>> hinge_loss(placeholder("s", ("batch",)), placeholder("y", ("batch",))).type
    TensorType('f32[batch]')
    """
    s, y = _facing("hinge_loss", scores, labels)
    return ops.relu(1.0 - y * s)


def huber_loss(predictions: Operand, targets: Operand, delta: float = 1.0) -> Expr:
    """d^2 / 2 where d = |p - t| is at most `delta`, and delta (d - delta / 2) beyond, broadcast.

    `delta` is a positive number. Raises ShapeError when neither shape broadcasts to the other, GraphError when
    `delta` is no positive number. Source: Huber, Robust Estimation of a Location Parameter (1964).

    >>> from symgraph.expr import placeholder
    >>> huber_loss(placeholder("p", ("batch",)), placeholder("t", ("batch",)), delta=0.5).type
    TensorType('f32[batch]')
    """
    delta = positive("huber_loss", "delta", delta)
    p, t = _facing("huber_loss", predictions, targets)
    distance = ops.abs(p - t)
    near = ops.minimum(distance, delta)  # the part that is squared; the rest is linear, and nothing overflows
    return near * near * 0.5 + (distance - near) * delta
