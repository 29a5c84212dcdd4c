"""The libraries that contend, each a module that knows how its users write a network, train it, and call a function.

    Network : loss of (ops, weights, x, y), first weights, batches      work that a step of SGD does
    Formula : function of (ops, weights, x, ...), weights, inputs       work that a call does
    trainer : Network -> Trainer                                        in each module
    caller  : Formula -> Caller                                         in each module

A network and a formula are written once: `ops` is the module of a library, which has the functions that they take
by one set of names, each the best that the library offers. Modules are imported in the contenders' processes alone.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle, islice
from typing import Any

import attrs
import numpy as np
from toolz import identity

from tests.benchmarks.race import Contender, Ready

Array = np.ndarray
Weights = dict[str, Array]
Batch = tuple[Array, Array]
Step = Callable[[Any, Any], Any]

PEERS = ("numpy", "numba", "jax", "optax", "torch", "pytensor", "autograd")
# Of the optimizers. Where a gradient is nearly 0 Adam and RMSprop divide noise by noise: epsilon is that much above
# it that the libraries agree, and costs the same as any other.
BETA1, BETA2, DECAY, EPSILON = 0.9, 0.999, 0.9, 1e-4
_COMPARED = 5  # steps whose losses, and the weights after them, are compared
_LARGEST = 100_000  # elements of a result that are compared


@attrs.frozen
class Network:
    """What is trained: `rate` is the learning rate; all arrays are of one float dtype, labels apart.

    `optimizer` is "sgd", "adam" or "rmsprop", with the constants above. `graph` makes symgraph's graph with outputs
    and updates, where it is not to be had from `loss`.
    """

    name: str
    loss: Callable[[Any, Mapping[str, Any], Any, Any], Any]
    start: Callable[[], Weights]
    batches: Callable[[], list[Batch]]
    rate: float
    graph: Callable[[], Any] | None = None
    optimizer: str = "sgd"

    def drawn(self) -> "Network":
        """The same, with its random numbers drawn."""
        start, batches = self.start(), self.batches()
        return attrs.evolve(
            self, start=lambda: {k: v.copy() for k, v in start.items()}, batches=lambda: batches
        )


@attrs.frozen
class Formula:
    """What is called: `weights` are held by the library, `inputs` are given with each call."""

    name: str
    function: Callable[..., Any]
    inputs: Callable[[], tuple[Array, ...]]
    weights: Callable[[], Weights] = dict

    def drawn(self) -> "Formula":
        """The same, with its random numbers drawn."""
        weights, inputs = self.weights(), self.inputs()
        return attrs.evolve(self, weights=lambda: weights, inputs=lambda: inputs)


@attrs.frozen
class Trainer:
    """A network ready to be trained: `step` takes what `convert` makes of a batch's arrays and returns the loss.

    `hold` makes of a whole data set what batches are gathered from.
    """

    step: Step
    weights: Callable[[], Mapping[str, Any]]
    convert: Callable[[Array], Any] = identity
    hold: Callable[[Array], Any] = identity


@attrs.frozen
class Caller:
    """A formula ready to be called with what `convert` makes of its inputs; the result is ready on return."""

    call: Callable[..., Any]
    convert: Callable[[Array], Any] = identity


@attrs.frozen
class Way:
    """A way to use a library: its module, the package it needs, options of its functions, the environment."""

    module: str
    needs: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    env: Mapping[str, str] = attrs.field(factory=dict)

    def trainer(self, network: Network) -> Trainer:
        """The network in this library."""
        return self._library().trainer(network, **self.options)

    def caller(self, formula: Formula) -> Caller:
        """The formula in this library."""
        return self._library().caller(formula, **self.options)

    def warm_up(self) -> None:
        """Import all that the library imports late, and start what it starts once in a process."""
        self._library().warm_up(**self.options)

    def _library(self) -> Any:
        return import_module(f"{__name__}.{self.module}")


_ONE_THREAD = {"SYMGRAPH_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
OURS = "symgraph"
WAYS = {
    OURS: Way("with_symgraph", "symgraph"),
    "symgraph, 1 thread": Way("with_symgraph", "symgraph", env=_ONE_THREAD),
    "symgraph, NumPy": Way("with_symgraph", "symgraph", {"backend": "numpy"}),
    "symgraph, Session.run": Way("with_symgraph", "symgraph", {"prepared": False}),
    "NumPy by hand": Way("with_numpy", "numpy"),
    "Numba by hand": Way("with_numba", "numba"),
    "Numba by hand, parallel": Way("with_numba", "numba", {"parallel": True}),
    "JAX": Way("with_jax", "jax"),
    "JAX, compiled ahead": Way("with_jax", "jax", {"ahead": True}),
    "JAX, cache on disk": Way("with_jax", "jax"),
    "JAX, optax": Way("with_jax", "optax", {"optax": True}),
    "torch": Way("with_torch", "torch"),
    "torch.compile": Way("with_torch", "torch", {"compiled": True}),
    "torch, channels last": Way("with_torch", "torch", {"channels_last": True}),
    "torch.compile, channels last": Way("with_torch", "torch", {"compiled": True, "channels_last": True}),
    "PyTensor, Numba": Way("with_pytensor", "pytensor", {"mode": "NUMBA"}),
    "PyTensor, C": Way("with_pytensor", "pytensor", {"mode": "CVM"}),
    "autograd": Way("with_autograd", "autograd"),
}
_COMPILERS = ("JAX", "torch", "torch.compile", "PyTensor, Numba", "PyTensor, C")
TRAINED = (OURS, "NumPy by hand", *_COMPILERS)
CALLED = (OURS, "NumPy by hand", "Numba by hand", *_COMPILERS)


def trainers(network: Network, ways: tuple[str, ...] = TRAINED) -> tuple[Contender, ...]:
    """The contenders that train a network."""
    return _contenders(ways, lambda way: training(way.trainer(network), network.batches()))


def callers(formula: Formula, ways: tuple[str, ...] = CALLED) -> tuple[Contender, ...]:
    """The contenders that call a formula."""
    return _contenders(ways, lambda way: calling(way.caller(formula), formula.inputs()))


def _contenders(ways: tuple[str, ...], prepare: Callable[[Way], Ready]) -> tuple[Contender, ...]:
    return tuple(
        Contender(name, partial(prepare, WAYS[name]), WAYS[name].needs, WAYS[name].env) for name in ways
    )


def training(trainer: Trainer, data: list[Batch]) -> Ready:
    """Steps over batches in turn, which are the library's own arrays already."""
    converted = [tuple(map(trainer.convert, batch)) for batch in data]
    stream: Iterator[Any] = cycle(converted)

    def one() -> Any:
        return trainer.step(*next(stream))

    def answers() -> Mapping[str, Array]:
        losses = [float(trainer.step(*batch)) for batch in islice(cycle(converted), _COMPARED)]
        return {"losses": np.array(losses), **{k: np.array(v) for k, v in trainer.weights().items()}}

    return Ready(one, answers)


def calling(caller: Caller, inputs: tuple[Array, ...]) -> Ready:
    """Calls with the same inputs, which are the library's own arrays already."""
    converted = tuple(map(caller.convert, inputs))

    def answers() -> Mapping[str, Array]:
        result = np.array(caller.call(*converted))
        return {"result": result.ravel()[:: 1 + result.size // _LARGEST]}

    return Ready(partial(caller.call, *converted), answers)


def missing(packages: list[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in packages if find_spec(name) is None]
