"""autograd: NumPy on a tape."""

import sys
from functools import partial
from typing import Any

import autograd.numpy as anp
from autograd import value_and_grad
from autograd.numpy import exp, mean, sin, sqrt, square, sum, tanh
from autograd.scipy.special import expit as sigmoid
from autograd.scipy.special import logsumexp

from tests.benchmarks.libraries import Network, Trainer

__all__ = ["exp", "mean", "sigmoid", "sin", "sqrt", "square", "sum", "tanh"]


def relu(x: Any) -> Any:
    """The positive part."""
    return anp.maximum(x, 0)


def dense(x: Any, w: Any, b: Any) -> Any:
    """A layer."""
    return x @ w + b


def softmax_cross_entropy(z: Any, labels: Any) -> Any:
    """The mean over a batch."""
    return mean(logsumexp(z, axis=1) - z[anp.arange(len(z)), labels])


def trainer(network: Network) -> Trainer:
    """The training step."""
    weights = network.start()
    differentiated = value_and_grad(partial(network.loss, sys.modules[__name__]))

    def step(x: Any, y: Any) -> Any:
        loss, gradients = differentiated(weights, x, y)
        for name, gradient in gradients.items():
            weights[name] -= network.rate * gradient
        return loss

    return Trainer(step, lambda: weights)
