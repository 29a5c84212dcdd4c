"""Every value of a run: what each node of a graph is, by the interpreter.

values : Graph -> feeds -> variables -> Array*          one for each node
each   : Graph -> feeds -> variables -> (Node -> Array -> A) -> A*      the same, dropping arrays as they are used up
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from symgraph.ir import Array, Graph, Node

A = TypeVar("A")
