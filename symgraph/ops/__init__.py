"""The operations: one paragraph each (record, rules, public function), one module for each family."""

from symgraph.expr import apply
from symgraph.ops.arithmetic import abs, add, div, maximum, mul, neg, pow, sign, sub
from symgraph.ops.control import stop_gradient
from symgraph.ops.linalg import matmul
from symgraph.ops.reduction import max, sum
from symgraph.ops.shape import broadcast_to, expand_dims, flatten, permute, reshape, size, squeeze, transpose

__all__ = [
    "abs",
    "add",
    "apply",
    "broadcast_to",
    "div",
    "expand_dims",
    "flatten",
    "matmul",
    "max",
    "maximum",
    "mul",
    "neg",
    "permute",
    "pow",
    "reshape",
    "sign",
    "size",
    "squeeze",
    "stop_gradient",
    "sub",
    "sum",
    "transpose",
]
