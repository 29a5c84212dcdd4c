"""The operations: one paragraph each (record, rules, public function), one module for each family."""

from symgraph.expr import apply
from symgraph.ops.arithmetic import abs, add, div, maximum, mul, neg, pow, sign, sub
from symgraph.ops.control import assert_finite, print_value, stop_gradient
from symgraph.ops.cumulative import cumprod, cumsum, linear_recurrence
from symgraph.ops.linalg import matmul
from symgraph.ops.reduction import all, any, argmax, argmin, logsumexp, max, mean, min, prod, std, sum, var
from symgraph.ops.shape import broadcast_to, expand_dims, flatten, permute, reshape, size, squeeze, transpose

__all__ = [
    "abs",
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
    "expand_dims",
    "flatten",
    "linear_recurrence",
    "logsumexp",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "mul",
    "neg",
    "permute",
    "pow",
    "print_value",
    "prod",
    "reshape",
    "sign",
    "size",
    "squeeze",
    "std",
    "stop_gradient",
    "sub",
    "sum",
    "transpose",
    "var",
]
