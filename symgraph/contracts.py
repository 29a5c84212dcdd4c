"""What an op promises: its rules are called here, held to their types, and their errors told at the user's line.

    inferred   : op -> operand types -> type
    computed   : op -> operands -> its value
    operand_cotangents : expression -> its cotangent -> those of its operands
    expanded   : expression -> expression or None
    failure    : error of a run -> the error that the user reads

The ops of the library are tested to keep these; those that a user writes are checked whenever they are called.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import numpy as np

from symgraph.errors import CompileError, ExecutionError, GradientError, GraphError, SymgraphError
from symgraph.origin import Origin, Source, relative, visible
from symgraph.types import DType, Shape, TensorType, TupleType
from symgraph.values import shown

if TYPE_CHECKING:
    from symgraph.expr import Expr
    from symgraph.ir import Array, Op

_LARGE = 1 << 24  # elements: of more the statistics would take long
_WHILE = "while computing "
_MEND = "Mend one of the two."


@lru_cache(4096)
def _is_ours(op: Any) -> bool:
    return str(op.__module__).startswith("symgraph.")


def is_ours(op: "Op") -> bool:
    """Whether an op is the library's own."""
    kind: Any = type(op)  # mypy takes a class for one of its instances, whose hash differs
    return _is_ours(kind)


def inferred(op: "Op", types: Sequence[Any]) -> Any:
    """The type of the result; raises GraphError for a wrong number of operands, and for an `infer` that fails or gives
    what is no type.
    """
    if op.arity is not None and op.arity != len(types):
        raise GraphError(f"{op.name}: it takes {_operands(op.arity)}, and {len(types)} are given")
    try:
        made = op.infer(*types)
    except SymgraphError:
        raise
    except Exception as error:
        if isinstance(error, NotImplementedError) and not error.args:
            raise GraphError(f"{op.name}: the op has no infer", hint="Write one: types -> type.") from None
        raise GraphError(f"{op.name}: infer raised {said(error)}", details=raised_at(error)) from error
    if not isinstance(made, TensorType | TupleType):
        raise GraphError(
            f"{op.name}: infer gave {shown(made)}, and a type is wanted",
            hint="Return symgraph.TensorType(dtype, shape), or the type of an operand.",
        )
    return made


def evaluated(op: "Op", operands: Sequence["Array"], dtype: DType, shape: Shape) -> "Array":
    """The result of a user's op on operands that it cannot write into, which may be what was fed; raises
    ExecutionError where it is not of the dtype and the shape that `infer` says.
    """
    made = np.asarray(op.evaluate(*map(_read_only, operands)))
    if made.dtype != dtype or made.shape != shape:
        gave, told = f"{made.dtype}{[*made.shape]}", f"{dtype}{[*shape]}"
        raise ExecutionError(f"{op.name}: evaluate gave {gave}, and infer says {told}", hint=_MEND)
    return made


def computed(
    op: "Op",
    origin: Origin,
    operands: Sequence[Any],
    made: Any,
    order: "Callable[[Op, list[Any]], Sequence[Any]] | None" = None,
) -> Any:
    """The result of an op on operands, of the type `made`: of a region with several outputs a tuple.

    `order` puts the operands in the order that the op wants. Raises what `failure` makes of an error.
    """
    try:
        given = operands if order is None else order(op, list(operands))
        if not is_ours(op):
            return evaluated(op, given, made.dtype, made.shape)
        found: Any = op.evaluate(*given)
        return found if isinstance(found, tuple) else np.asarray(found)
    except Exception as error:
        types = [_type_of(operand) for operand in operands]
        told = failure(error, op, origin, types, made, operands)
        if told is error:
            raise
        raise told from error


def _type_of(operand: Any) -> Any:
    if isinstance(operand, tuple):
        return TupleType(tuple(map(_type_of, operand)))
    return TensorType(operand.dtype, operand.shape)


def _read_only(array: "Array") -> "Array":
    view = array.view()
    view.flags.writeable = False
    return view


def operand_cotangents(expr: "Expr", g: "Expr") -> "tuple[Expr | None, ...]":
    """The cotangent of each operand of an expression, given its own; raises GradientError for a user's op whose
    `vjp` fails, or gives another number of them, or others than of the operands' types.
    """
    op = expr.op
    if is_ours(op):
        return op.vjp(g, expr, *expr.inputs)
    source = expr.origin.sources[0] if expr.origin.sources else None
    about = _about(op, [operand.type for operand in expr.inputs], expr.type, "differentiating ")
    try:
        parts: Any = op.vjp(g, expr, *expr.inputs)
    except SymgraphError as error:
        error.source = source
        error.details = (*error.details, about)
        raise
    except Exception as error:
        raise GradientError(
            f"{op.name}: vjp raised {said(error)}", source=source, details=(about, *raised_at(error))
        ) from error
    if not isinstance(parts, tuple | list) or len(parts) != len(expr.inputs):
        gave = f"{len(parts)} cotangents" if isinstance(parts, tuple | list) else shown(parts)
        raise GradientError(
            f"{op.name}: vjp gave {gave}, and it has {_operands(len(expr.inputs))}",
            source=source,
            details=(about,),
            hint="Return a tuple with an expression, or None, for each operand.",
        )
    for k, (part, operand) in enumerate(zip(parts, expr.inputs, strict=True)):
        if part is not None and getattr(part, "type", None) != operand.type:
            gave = str(part.type) if hasattr(part, "type") else shown(part)
            raise GradientError(
                f"{op.name}: vjp gave {gave} for operand {k}, which is {operand.type}",
                source=source,
                details=(about,),
                hint="The cotangent has the type of its operand: sum what was broadcast, and cast numbers.",
            )
    return tuple(parts)


def expanded(expr: "Expr") -> "Expr | None":
    """The expression in simpler ops; raises CompileError for a user's op whose `expand` fails or changes the type."""
    op = expr.op
    if is_ours(op):
        return op.expand(*expr.inputs)
    source = expr.origin.sources[0] if expr.origin.sources else None
    about = _about(op, [operand.type for operand in expr.inputs], expr.type, "expanding ")
    try:
        made = op.expand(*expr.inputs)
    except SymgraphError as error:
        error.source = source
        error.details = (*error.details, about)
        raise
    except Exception as error:
        raise CompileError(
            f"{op.name}: expand raised {said(error)}", source=source, details=(about, *raised_at(error))
        ) from error
    if made is not None and getattr(made, "type", None) != expr.type:
        gave = str(made.type) if hasattr(made, "type") else shown(made)
        raise CompileError(
            f"{op.name}: expand gave {gave}, and infer says {expr.type}",
            source=source,
            details=(about,),
            hint=_MEND,
        )
    return made


def failure(
    error: Exception,
    op: "Op",
    origin: Origin,
    types: Sequence[Any],
    made: Any,
    operands: Sequence[Any] = (),
) -> SymgraphError:
    """The error that tells of one that stopped a run in an op on operands of these types, which makes `made`.

    An error of the library's own, such as an index out of range, is told of at the user's line; any other becomes an
    ExecutionError. `operands` are the values, where they are at hand.
    """
    source: Source | None = origin.sources[0] if origin.sources else None
    about = _about(op, types, made, _WHILE)
    if isinstance(error, SymgraphError):
        if not any(line.startswith(_WHILE) for line in error.details):  # or it is of a node within this one
            error.source = source
            error.details = (*error.details, about, *provenance(origin))
        return error
    if is_ours(op):
        text = str(error) or type(error).__name__
        return ExecutionError(
            f"{op.name}: the run failed: {text}", source=source, details=(about, *provenance(origin))
        )
    from symgraph.inspect.statistics import statistics  # when something failed there is time

    if type(error) is NotImplementedError and not error.args:
        hint = "Write one: arrays -> array."
        return ExecutionError(
            f"{op.name}: the op has no evaluate", source=source, details=(about,), hint=hint
        )
    values = [np.asarray(value) for value in operands]
    small = sum(value.size for value in values) <= _LARGE
    given = [f"operand {k} is {statistics(v, picture=False)}" for k, v in enumerate(values) if small]
    return ExecutionError(
        f"{op.name}: evaluate raised {said(error)}",
        source=source,
        details=(about, *provenance(origin), *given, *raised_at(error)),
        hint="It may not write into its operands: write into a copy."
        if isinstance(error, ValueError) and "read-only" in str(error)
        else "",
    )


def _about(op: "Op", types: Sequence[Any], made: Any, doing: str) -> str:
    return f"{doing}{op.name}({', '.join(map(str, types))}) -> {made}"


def provenance(origin: Origin) -> tuple[str, ...]:
    """The scope that a node is in, and the rules that made it of the user's lines, where it was not the user."""
    scope = (f"in the scope {'/'.join(origin.scope)}",) if origin.scope else ()
    if not origin.rule:
        return scope
    lines = ", ".join(f"{visible(relative(source.file))}:{source.line}" for source in origin.sources)
    return (*scope, f"the compiler made it by {origin.rule}" + (f", of {lines}" if lines else ""))


def said(error: BaseException) -> str:
    """The class of an error, and what it says.

    >>> said(ValueError("no")), said(MemoryError())
    ('ValueError: no', 'MemoryError')
    """
    try:
        text = str(error)
    except Exception:  # an error of the user's that cannot say what it is
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def raised_at(error: Exception) -> tuple[str, ...]:
    """The line that raised an error."""
    frames = extract_tb(error.__traceback__)
    return (f"raised at {visible(relative(frames[-1].filename))}:{frames[-1].lineno}",) if frames else ()


def _operands(count: int) -> str:
    return f"{count} operand" if count == 1 else f"{count} operands"
