"""The talk's own form of a graph: steps on a stack of operands, which the builder's state threads.

push  : operands -> Build[None]
step  : (Expr* -> Expr) -> Build[Expr]        pops what the function takes, pushes what it returns
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from symgraph.build import Build, BuildState, located, sequence, state
from symgraph.errors import GraphError
from symgraph.expr import Expr, Operand, as_expr
from symgraph.values import shown


def push(*operands: Operand) -> Build[None]:
    """Put operands on the stack, so that the first is on top."""
    exprs = tuple(as_expr(operand) for operand in operands)

    def step(now: BuildState) -> tuple[None, BuildState]:
        stack = now.stack
        for expr in reversed(exprs):
            stack = (expr, stack)
        return None, attrs.evolve(now, stack=stack)

    return state(step)


def step(function: Callable[..., Expr], arity: int | None = None) -> Build[Expr]:
    """Pop operands, the topmost first, apply `function`, and push and return its result.

    `arity` is the number of operands; by default that of the function's required positional arguments.
    Raises GraphError when the stack holds too few.
    """
    count = _arity(function) if arity is None else arity
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise GraphError(f"step: an arity is a whole number from 0, and {count!r} is none")
    label = getattr(function, "__name__", str(function))

    # A function of the user's has lines of its own.
    ours = (getattr(function, "__module__", None) or "").startswith("symgraph.")

    def take(now: BuildState) -> tuple[Expr, BuildState]:
        stack = now.stack
        taken: list[Expr] = []
        while len(taken) < count:
            if stack is None:
                raise GraphError(
                    f"step {label}: it takes {count} operands, and the stack holds {len(taken)}",
                    hint="Push the operands of the first step topmost first: push(x, w, b, y).",
                )
            top, stack = stack
            taken.append(top)
        result = function(*taken)
        if not isinstance(result, Expr):
            raise GraphError(
                f"step {label}: it returned {shown(result)}, not an expression",
                hint="A number is written symgraph.constant(...).",
            )
        return result, attrs.evolve(now, stack=(result, stack))

    return state(located(take) if ours else take)


def steps(*functions: Callable[..., Expr]) -> Build[Expr]:
    """Several steps; the result is that of the last, as in the talk's for-comprehension.

    >>> from symgraph.build import run
    >>> from symgraph.expr import placeholder
    >>> from symgraph.ops import add, matmul
    >>> x, w, b = placeholder("x", (5, 3)), placeholder("w", (3, 1)), placeholder("b", (1,))
    >>> run(push(x, w, b).then(steps(matmul, add)))[0]
    <add: f32[5,1]>
    """
    if not functions:
        raise GraphError("steps: there is no step", hint="Write such as steps(matmul, add, cross_entropy).")
    return sequence(list(map(step, functions))).map(lambda results: results[-1])


def _arity(function: Callable[..., Any]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        listed: Sequence[inspect.Parameter] = tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        listed = ()
    count = sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in listed)
    if not count:
        raise GraphError(
            f"step: the number of operands of {getattr(function, '__name__', function)!r} is not known",
            hint="Say it: step(function, arity=2).",
        )
    return count
