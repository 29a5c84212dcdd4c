"""JAX: one jitted function a step, whose old weights are donated to the new ones."""

import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import relu, sigmoid, softplus
from jax.numpy import exp, mean, sin, sqrt, square, sum, tanh

from tests.benchmarks.libraries import BETA1, BETA2, DECAY, EPSILON, Caller, Formula, Network, Trainer

__all__ = ["exp", "mean", "relu", "sigmoid", "sin", "softplus", "sqrt", "square", "sum", "tanh"]

jax.config.update("jax_enable_x64", True)
gelu = partial(jax.nn.gelu, approximate=False)
_OPS = sys.modules[__name__]


def dense(x: Any, w: Any, b: Any) -> Any:
    """A layer."""
    return x @ w + b


def images(x: Any, size: int) -> Any:
    """Square images of one channel from rows."""
    return x.reshape(-1, size, size, 1)


def convolution(x: Any, kernel: Any, bias: Any, padding: int) -> Any:
    """A layer of images."""
    around = [(padding, padding)] * 2
    return (
        lax.conv_general_dilated(x, kernel, (1, 1), around, dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
    )


def max_pool(x: Any) -> Any:
    """The largest of 2 by 2. (With XLA's own windows the step takes longer.)"""
    n, high, wide, channels = x.shape
    return jnp.max(x.reshape(n, high // 2, 2, wide // 2, 2, channels), axis=(2, 4))


def dense_of_images(x: Any, w: Any, b: Any) -> Any:
    """A layer of all that an image has."""
    return x.reshape(len(x), -1) @ w.reshape(-1, w.shape[-1]) + b


def layer_norm(x: Any, scale: Any, bias: Any) -> Any:
    """The rows with mean 0 and variance 1, scaled and shifted."""
    return jax.nn.standardize(x, epsilon=1e-5) * scale + bias


def softmax_cross_entropy(z: Any, labels: Any) -> Any:
    """The mean over a batch."""
    return -mean(jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1))


def sigmoid_cross_entropy(z: Any, y: Any) -> Any:
    """The mean over a batch."""
    return mean(softplus(z) - z * y)


def trainer(network: Network, optax: bool = False) -> Trainer:
    """The training step, with an optimizer of optax or gradient descent written out."""
    loss = partial(network.loss, _OPS)
    held = {"weights": _on_device(network.start()), "state": ()}

    if optax:
        from optax import adam, apply_updates, rmsprop, sgd

        optimizer = {
            "sgd": lambda: sgd(network.rate),
            "adam": lambda: adam(network.rate, BETA1, BETA2, EPSILON),
            "rmsprop": lambda: rmsprop(network.rate, DECAY, EPSILON**2),
        }[network.optimizer]()
        held["state"] = optimizer.init(held["weights"])

        def descend(gradients: Any, state: Any, weights: Any) -> Any:
            updates, state = optimizer.update(gradients, state, weights)
            return apply_updates(weights, updates), state
    else:

        def descend(gradients: Any, state: Any, weights: Any) -> Any:
            return jax.tree.map(lambda w, g: w - network.rate * g, weights, gradients), state

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(weights: Any, state: Any, x: Any, y: Any) -> Any:
        found, gradients = jax.value_and_grad(loss)(weights, x, y)
        return found, *descend(gradients, state, weights)

    def step(x: Any, y: Any) -> Any:
        found, held["weights"], held["state"] = update(held["weights"], held["state"], x, y)
        return found.block_until_ready()

    return Trainer(step, lambda: held["weights"], jnp.asarray)


def caller(formula: Formula, ahead: bool = False) -> Caller:
    """The formula's value; `ahead` takes the compiled function itself, without the look-up of `jit`."""
    weights = _on_device(formula.weights())
    function = jax.jit(partial(formula.function, _OPS))
    if ahead:
        function = function.lower(weights, *_on_device(dict(enumerate(formula.inputs()))).values()).compile()
    return Caller(lambda *inputs: function(weights, *inputs).block_until_ready(), jnp.asarray)


def warm_up(**_: Any) -> None:
    """Start the device."""
    jnp.zeros(1).block_until_ready()


def _on_device(weights: Any) -> Any:
    return {k: jnp.asarray(np.asarray(v)) for k, v in weights.items()}
