"""Graphs in decimal arithmetic of 400 digits: what the floats are compared with."""

from collections.abc import Callable, Mapping
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np

from symgraph.ir import Graph, Placeholder, specialise
from symgraph.ops.reduction import reduced_shape

Array = np.ndarray[Any, Any]
_CONTEXT = Context(prec=400, Emax=10**17, Emin=-(10**17), traps=[])
ONE = Decimal(1)


def _each(function: Callable[..., Decimal]) -> Callable[..., Array]:
    made = np.frompyfunc(function, function.__code__.co_argcount, 1)
    return lambda *arrays: np.asarray(made(*arrays), dtype=object)


def _softplus(x: Decimal) -> Decimal:
    return x if x > 10**6 else (ONE + x.exp()).ln()


_sigmoid = _each(lambda x: ONE / (ONE + (-x).exp()))
_exp = _each(lambda x: x.exp())
_log = _each(lambda x: x.ln())


def _over(op: Any, function: Callable[..., Array]) -> Callable[[Array], Array]:
    return lambda x: np.asarray(
        function(x, axis=op.axes, keepdims=getattr(op, "keepdims", True)), dtype=object
    )


def _shifted(x: Array, axes: tuple[int, ...]) -> Array:
    return x - np.max(x, axis=axes, keepdims=True)


def _logsumexp(op: Any, x: Array) -> Array:
    top = np.max(x, axis=op.axes, keepdims=True)
    made = _log(np.sum(_exp(x - top), axis=op.axes, keepdims=True)) + top
    return made.reshape(reduced_shape(x.shape, op.axes, op.keepdims))


def _meaning(op: Any) -> Callable[..., Array]:
    simple: dict[str, Callable[..., Array]] = {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "mul": lambda x, y: x * y,
        "div": lambda x, y: _each(lambda a, b: a / b)(x, y),
        "neg": lambda x: -x,
        "abs": lambda x: abs(x),
        "square": lambda x: x * x,
        "reciprocal": _each(lambda x: ONE / x),
        "exp": _exp,
        "log": _log,
        "log1p": _each(lambda x: (ONE + x).ln()),
        "expm1": _each(lambda x: x.exp() - ONE),
        "sqrt": _each(lambda x: x.sqrt()),
        "sigmoid": _sigmoid,
        "softplus": _each(_softplus),
        "stop_gradient": lambda x: x,
        "broadcast_to": lambda x: np.broadcast_to(x, op.shape),
        "reshape": lambda x: x.reshape(op.shape),
        "softmax": lambda x: _softmax(x, op.axes),
        "log_softmax": lambda x: _log(_softmax(x, op.axes)),
        "logsumexp": lambda x: _logsumexp(op, x),
    }
    if op.name in ("sum", "max"):
        return _over(op, np.sum if op.name == "sum" else np.max)
    return simple[op.name]


def _softmax(x: Array, axes: tuple[int, ...]) -> Array:
    made = _exp(_shifted(x, axes))
    return _each(lambda a, b: a / b)(made, np.sum(made, axis=axes, keepdims=True))


def exact_value(graph: Graph, values: Mapping[str, Array], sizes: Mapping[str, int]) -> Array:
    """The output "out" of a graph of finite floats, rounded once to its dtype."""
    results: list[Array] = []
    to_decimal = _each(lambda x: Decimal(x))
    with localcontext(_CONTEXT):
        for node in specialise(graph, sizes).nodes:
            if isinstance(node.op, Placeholder):
                results.append(to_decimal(values[node.op.label].astype(object)))
            elif node.op.name == "constant":
                results.append(to_decimal(node.op.value.array.astype(object)))  # type: ignore[attr-defined]
            else:
                made = _meaning(node.op)(*(results[i] for i in node.inputs))
                results.append(np.asarray(made, dtype=object))
        chosen = dict(graph.outputs)["out"]
        rounded = np.asarray(_each(lambda x: float(x))(results[chosen]), dtype=np.float64)
    with np.errstate(all="ignore"):
        return rounded.astype(graph.nodes[chosen].type.dtype)
