"""torch: eager, with updates in place outside the tape; or all of a step through `torch.compile`."""

import sys
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import exp, mean, relu, sigmoid, sin, sqrt, square, sum, tanh
from torch.nn import functional
from torch.nn.functional import gelu, softplus

from tests.benchmarks.libraries import (
    BETA1,
    BETA2,
    DECAY,
    EPSILON,
    Array,
    Caller,
    Formula,
    Network,
    Trainer,
)

__all__ = ["exp", "gelu", "mean", "relu", "sigmoid", "sin", "softplus", "sqrt", "square", "sum", "tanh"]

_OPS = sys.modules[__name__]
_compile = partial(torch.compile, fullgraph=True, dynamic=False)


def dense(x: Any, w: Any, b: Any) -> Any:
    """A layer."""
    return torch.addmm(b, x, w)


def images(x: Any, size: int) -> Any:
    """Square images of one channel from rows."""
    return x.reshape(-1, 1, size, size)


def convolution(x: Any, kernel: Any, bias: Any, padding: int) -> Any:
    """A layer of images."""
    return functional.conv2d(x, kernel, bias, padding=padding)


def max_pool(x: Any) -> Any:
    """The largest of 2 by 2."""
    return functional.max_pool2d(x, 2)


def dense_of_images(x: Any, w: Any, b: Any) -> Any:
    """A layer of all that an image has, in the order in which it lies in memory."""
    if x.is_contiguous(memory_format=torch.channels_last):
        x, w = x.permute(0, 2, 3, 1), w.permute(0, 2, 3, 1)
    return torch.addmm(b, x.flatten(1), w.flatten(1).T)


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    """The rows with mean 0 and variance 1, scaled and shifted."""
    return functional.layer_norm(x, x.shape[-1:], scale, bias, 1e-5)


softmax_cross_entropy = functional.cross_entropy
sigmoid_cross_entropy = functional.binary_cross_entropy_with_logits


def trainer(network: Network, compiled: bool = False, channels_last: bool = False) -> Trainer:
    """The training step; `channels_last` is how images and kernels lie in memory."""
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    start = {k: _stored(_tensor(v), format_) for k, v in network.start().items()}
    weights = {k: v.requires_grad_(not compiled) for k, v in start.items()}
    step = _compiled_step(network, weights) if compiled else _eager_step(network, weights)
    return Trainer(
        step,
        lambda: {k: _returned(v.detach()).numpy() for k, v in weights.items()},
        _tensor,
        torch.from_numpy,
    )


def _stored(value: Any, format_: Any) -> Any:
    """A kernel by torch's own order of axes: [units, channels, height, width]."""
    return value.permute(3, 2, 0, 1).contiguous(memory_format=format_) if value.ndim == 4 else value


def _returned(value: Any) -> Any:
    return value.permute(2, 3, 1, 0) if value.ndim == 4 else value


def _eager_step(network: Network, weights: dict[str, Any]) -> Any:
    leaves = list(weights.values())
    descend = {"sgd": _sgd, "adam": _adam, "rmsprop": _rmsprop}[network.optimizer](leaves, network.rate)

    def step(x: Any, y: Any) -> Any:
        loss = network.loss(_OPS, weights, x, y)
        gradients = torch.autograd.grad(loss, leaves)
        with torch.no_grad():
            descend(gradients)
        return loss.detach()

    return step


def _sgd(leaves: list[Any], rate: float) -> Any:
    def descend(gradients: Any) -> None:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.sub_(gradient, alpha=rate)

    return descend


def _adam(leaves: list[Any], rate: float) -> Any:
    optimizer = torch.optim.Adam(leaves, rate, (BETA1, BETA2), EPSILON, fused=True)

    def descend(gradients: Any) -> None:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        optimizer.step()

    return descend


def _rmsprop(leaves: list[Any], rate: float) -> Any:
    """As `torch.optim.RMSprop(foreach=True)` does it, with epsilon below the root as in Keras and optax."""
    squares = [torch.zeros_like(leaf) for leaf in leaves]

    def descend(gradients: Any) -> None:
        torch._foreach_mul_(squares, DECAY)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - DECAY)
        below = torch._foreach_add(squares, EPSILON**2)
        torch._foreach_sqrt_(below)
        torch._foreach_addcdiv_(leaves, gradients, below, -rate)

    return descend


def _compiled_step(network: Network, weights: dict[str, Any]) -> Any:
    def step(weights: dict[str, Any], x: Any, y: Any) -> Any:
        gradients, loss = torch.func.grad_and_value(partial(network.loss, _OPS))(weights, x, y)
        for name, gradient in gradients.items():
            weights[name].sub_(gradient, alpha=network.rate)
        return loss

    return torch.no_grad()(partial(_compile(step), weights))


def caller(formula: Formula, compiled: bool = False) -> Caller:
    """The formula's value."""
    weights = {k: _tensor(v) for k, v in formula.weights().items()}
    function = partial(formula.function, _OPS)
    called = partial(_compile(function) if compiled else function, weights)
    return Caller(torch.inference_mode()(called), _tensor)


def warm_up(compiled: bool = False) -> None:
    """Import what is imported late, and start the tape."""
    if compiled:
        import_module("torch._dynamo")
        import_module("torch._inductor.compile_fx")
    (leaf := torch.zeros(1, requires_grad=True)).sum().backward()
    assert leaf.grad is not None


def _tensor(value: Array) -> Any:
    return torch.from_numpy(np.array(value))
