"""The operations: one paragraph each (record, rules, public function), one module for each family."""

from symgraph.expr import apply
from symgraph.ops.arithmetic import abs, add, div, maximum, mul, neg, pow, sign, sub
from symgraph.ops.control import assert_finite, print_value, stop_gradient
from symgraph.ops.cumulative import cumprod, cumsum, linear_recurrence
from symgraph.ops.linalg import dot, matmul, norm, outer
from symgraph.ops.losses import (
    absolute_error,
    hinge_loss,
    huber_loss,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from symgraph.ops.nn import layer_norm, log_softmax, softmax
from symgraph.ops.reduction import all, any, argmax, argmin, logsumexp, max, mean, min, prod, std, sum, var
from symgraph.ops.shape import broadcast_to, expand_dims, flatten, permute, reshape, size, squeeze, transpose

__all__ = [
    "abs",
    "absolute_error",
    "add",
    "all",
    "any",
    "apply",
    "argmax",
    "argmin",
    "assert_finite",
    "broadcast_to",
    "cumprod",
    "cumsum",
    "div",
    "dot",
    "expand_dims",
    "flatten",
    "hinge_loss",
    "huber_loss",
    "layer_norm",
    "linear_recurrence",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "mul",
    "neg",
    "norm",
    "outer",
    "permute",
    "pow",
    "print_value",
    "prod",
    "reshape",
    "sigmoid_cross_entropy",
    "sign",
    "size",
    "softmax",
    "softmax_cross_entropy",
    "squared_error",
    "squeeze",
    "std",
    "stop_gradient",
    "sub",
    "sum",
    "transpose",
    "var",
]
