"""The operations: one paragraph each (record, rules, public function), one module for each family."""

from symgraph.expr import apply
from symgraph.ops.arithmetic import abs, add, div, maximum, mul, neg, pow, sign, sub

__all__ = [
    "abs",
    "add",
    "apply",
    "div",
    "maximum",
    "mul",
    "neg",
    "pow",
    "sign",
    "sub",
]
