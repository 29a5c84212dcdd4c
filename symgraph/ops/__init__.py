"""The operations: one paragraph each (record, rules, public function), one module for each family."""

from symgraph.expr import apply
from symgraph.ops.arithmetic import abs, add, div, maximum, mul, neg, pow, sign, sub
from symgraph.ops.control import stop_gradient
from symgraph.ops.linalg import matmul
from symgraph.ops.reduction import max, sum

__all__ = [
    "abs",
    "add",
    "apply",
    "div",
    "matmul",
    "max",
    "maximum",
    "mul",
    "neg",
    "pow",
    "sign",
    "stop_gradient",
    "sub",
    "sum",
]
