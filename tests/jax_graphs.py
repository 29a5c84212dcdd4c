"""Whole graphs in JAX: each node as the JAX function of the same meaning, for gradients to compare with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tests.jax_oracle  # noqa: F401  64-bit mode
from symgraph.ir import Constant, Graph, Node, Placeholder, Variable, specialise
from symgraph.ops.slicing import key_of


def _keys(op: Any) -> tuple[slice, ...]:
    return key_of(op.starts, op.sizes, op.steps)


def _pad(op: Any, x: Any, value: Any) -> Any:
    steps = op.steps
    spans = [max(0, (size - 1) * step + 1) for size, step in zip(x.shape, steps, strict=True)]
    config = [
        (start, whole - start - span, step - 1)
        for start, whole, span, step in zip(op.starts, op.shape, spans, steps, strict=True)
    ]
    return jax.lax.pad(x, value, config)


def _matmul(op: Any, x: Any, y: Any) -> Any:
    x = jnp.swapaxes(x, -1, -2) if op.transpose_a else x
    return jnp.matmul(x, jnp.swapaxes(y, -1, -2) if op.transpose_b else y)


def _exclusive(op: Any, x: Any) -> Any:
    x = jnp.flip(x, op.axis) if op.reverse else x
    ones = jnp.ones_like(jax.lax.slice_in_dim(x, 0, 1, axis=op.axis))
    rest = jax.lax.slice_in_dim(x, 0, x.shape[op.axis] - 1, axis=op.axis)
    made = jnp.cumprod(jnp.concatenate([ones, rest], op.axis), op.axis)
    return jnp.flip(made, op.axis) if op.reverse else made


def _recurrence(op: Any, a: Any, b: Any) -> Any:
    rows_a, rows_b = (list(jnp.moveaxis(x, op.axis, 0)) for x in (a, b))
    if op.reverse:
        rows_a, rows_b = rows_a[::-1], rows_b[::-1]
    carry, made = jnp.zeros_like(rows_b[0]), []
    for decay, x in zip(rows_a, rows_b, strict=True):
        made.append(carry)
        carry = decay * carry + x
    return jnp.moveaxis(jnp.stack(made[::-1] if op.reverse else made), 0, op.axis)


def _cumsum(op: Any, x: Any) -> Any:
    return (
        jnp.flip(jnp.cumsum(jnp.flip(x, op.axis), op.axis), op.axis) if op.reverse else jnp.cumsum(x, op.axis)
    )


def _scatter(op: Any, x: Any, indices: Any, updates: Any) -> Any:
    at = (slice(None),) * (op.axis % x.ndim) + (indices,)
    return x.at[at].add(updates)


def _softmax_loss(op: Any, z: Any, y: Any) -> Any:
    return -jnp.sum(y * jax.nn.log_softmax(z, op.axis), op.axis)


def _sigmoid_loss(op: Any, z: Any, y: Any) -> Any:
    return jax.nn.softplus(z) - y * z


def _iota(op: Any) -> Any:
    return jax.lax.broadcasted_iota(op.dtype, op.shape, op.axis % len(op.shape))


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda op, *xs: function(*xs)


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda op, x: function(x, axis=op.axes, keepdims=op.keepdims)


_SAME_NAME = [
    "abs",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sqrt",
    "square",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "reciprocal",
    "maximum",
    "minimum",
    "where",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "equal",
    "not_equal",
    "sign",
    "logical_not",
]

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: _plain(getattr(jnp, name)) for name in _SAME_NAME},
    "neg": _plain(jnp.negative),
    "add": _plain(jnp.add),
    "sub": _plain(jnp.subtract),
    "mul": _plain(jnp.multiply),
    "div": _plain(jnp.divide),
    "pow": _plain(jnp.power),
    "rsqrt": _plain(jax.lax.rsqrt),
    "asin": _plain(jnp.arcsin),
    "acos": _plain(jnp.arccos),
    "atan": _plain(jnp.arctan),
    "atan2": _plain(jnp.arctan2),
    "asinh": _plain(jnp.arcsinh),
    "acosh": _plain(jnp.arccosh),
    "atanh": _plain(jnp.arctanh),
    "erf": _plain(jax.scipy.special.erf),
    "sigmoid": _plain(jax.nn.sigmoid),
    "softplus": _plain(jax.nn.softplus),
    "relu": _plain(jax.nn.relu),
    "sum": _reduced(jnp.sum),
    "prod": _reduced(jnp.prod),
    "max": _reduced(jnp.max),
    "min": _reduced(jnp.min),
    "logsumexp": _reduced(jax.scipy.special.logsumexp),
    "softmax": lambda op, x: jax.nn.softmax(x, op.axes),
    "log_softmax": lambda op, x: jax.nn.log_softmax(x, op.axes),
    "softmax_cross_entropy": _softmax_loss,
    "sigmoid_cross_entropy": _sigmoid_loss,
    "matmul": _matmul,
    "reshape": lambda op, x: jnp.reshape(x, op.shape),
    "transpose": lambda op, x: jnp.transpose(x, op.axes),
    "broadcast_to": lambda op, x: jnp.broadcast_to(x, op.shape),
    "concatenate": lambda op, *xs: jnp.concatenate(xs, op.axis),
    "slice": lambda op, x: x[_keys(op)],
    "flip": lambda op, x: jnp.flip(x, op.axes),
    "pad": _pad,
    "take": lambda op, x, indices: jnp.take(x, indices, op.axis),
    "gather": lambda op, x, i: jnp.squeeze(
        jnp.take_along_axis(x, jnp.expand_dims(i, op.axis), op.axis), op.axis
    ),
    "scatter_add": _scatter,
    "cumsum": _cumsum,
    "exclusive_cumprod": _exclusive,
    "recurrence": _recurrence,
    "cast": lambda op, x: x.astype(op.dtype),
    "iota": _iota,
    "size": lambda op: jnp.asarray(op.dimension, op.dtype),
    "stop_gradient": _plain(jax.lax.stop_gradient),
}


def loss_and_gradients(
    graph: Graph, values: Mapping[str, np.ndarray], sizes: Mapping[str, int], wrt: Sequence[str]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The output `loss` and its gradients, node by node in JAX."""
    nodes = specialise(graph, sizes).nodes
    loss = dict(graph.outputs)["loss"]
    needed = _needed(nodes, loss)

    def function(targets: Mapping[str, Any]) -> Any:
        results: list[Any] = []
        for node in nodes:
            results.append(_value(node, results, {**values, **targets}) if node.id in needed else None)
        return results[loss]

    # Compiled once for one run: with as few of XLA's optimisations as it lets us choose.
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    targets = {name: values[name] for name in wrt}
    lowered = jax.jit(jax.value_and_grad(function)).lower(targets)
    value, found = lowered.compile(compiler_options=quick)(targets)
    return np.asarray(value), [np.asarray(found[name]) for name in wrt]


def _value(node: Node, results: Sequence[Any], leaves: Mapping[str, Any]) -> Any:
    if isinstance(node.op, Placeholder | Variable):
        return leaves[node.op.label]
    if isinstance(node.op, Constant):
        return node.op.value.array
    return FUNCTIONS[node.op.name](node.op, *(results[i] for i in node.inputs))


def _needed(nodes: Sequence[Node], root: int) -> set[int]:
    needed = {root}
    for node in reversed(nodes):
        if node.id in needed:
            needed.update(node.inputs)
    return needed
