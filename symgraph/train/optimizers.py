"""Optimizers: pure functions from variables and their gradients to the variables' next values.

    Optimizer = (variables, gradients) -> {variable: next value}

Each is a frozen record that prints as it is written. All but the first three are chains: a transformation of the
gradients, and `sgd` or `momentum` at the end (`symgraph.train.transformations`). What an optimizer remembers are
variables named after those they serve ("w/adam_m"), in their dtype and shape, zeros at first; their next values
are in the same mapping, so state is seen, assigned, saved and restored like any other variable.

A learning rate is a number from 0, a schedule (`symgraph.train.schedules`), a scalar expression, or the name of a
float32 placeholder that each run feeds. What depends on the number of updates (Adam, a schedule) reads one int64
variable, which counts the updates of the group: "train/step".
"""

from collections.abc import Mapping, Sequence

import attrs

from symgraph.expr import Expr
from symgraph.train.arguments import (
    Rate,
    Selector,
    as_rate,
    as_selector,
    flag,
    fraction,
    from_zero,
    in_dtype,
    is_scheduled,
    number,
    positive,
    rate_key,
    rate_now,
)
from symgraph.train.state import COUNTED, serving, slot
from symgraph.train.transformations import (
    Optimizer,
    chain,
    scale_by_adam,
    scale_by_lion,
    scale_by_rms,
    scale_by_rss,
    scale_by_trust_ratio,
    weight_decay,
)

Updates = Mapping[Expr, Expr]


def _run(rule: str, optimizer: Optimizer, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
    with serving(rule):
        return optimizer(variables, gradients)


# Descent: what stands at the end of a chain.


@attrs.frozen
class Sgd:
    """Gradient descent: `w - learning_rate * g`; `sgd` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable."""
        with serving("sgd"):
            rate = rate_now(self.learning_rate)
        updates = dict(COUNTED) if is_scheduled(self.learning_rate) else {}
        for w, g in zip(variables, gradients, strict=True):
            with serving("sgd", w):
                updates[w] = w - in_dtype(rate, w.dtype) * g
        return updates


def sgd(learning_rate: Rate) -> Sgd:
    """Gradient descent: each variable w becomes `w - learning_rate * g`.

    `learning_rate` is a number from 0, a schedule, a scalar expression, or the name of a float32 placeholder that
    each run feeds. Raises GraphError, ShapeError, DTypeError.

    >>> sgd(0.1)
    Sgd(learning_rate=0.1)
    """
    return Sgd(learning_rate)


@attrs.frozen
class Momentum:
    """Descent with momentum; `momentum` and `nesterov` make it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    decay: float = attrs.field(converter=number, validator=fraction)
    nesterov: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable and of its velocity."""
        with serving("momentum"):
            rate = rate_now(self.learning_rate)
        updates = dict(COUNTED) if is_scheduled(self.learning_rate) else {}
        for w, g in zip(variables, gradients, strict=True):
            with serving("momentum", w):
                v, move = slot(w, "momentum"), in_dtype(rate, w.dtype) * g
                updates[v] = move + self.decay * v
                updates[w] = w - (move + self.decay * updates[v] if self.nesterov else updates[v])
        return updates


def momentum(learning_rate: Rate, decay: float = 0.9, nesterov: bool = False) -> Momentum:
    """Descent with momentum: `v <- learning_rate * g + decay * v` and `w <- w - v`. State: "w/momentum".

    `decay` is from 0 and less than 1. The learning rate is in the velocity, so a change of it acts on the gradients
    from then on, and not on those that the velocity holds; with one rate throughout that makes no difference. With
    `nesterov` the step is `w <- w - (learning_rate * g + decay * v)` with the new v (Sutskever et al., 2013, "On the
    importance of initialization and momentum in deep learning"). Raises GraphError.

    >>> momentum(0.01)
    Momentum(learning_rate=0.01, decay=0.9, nesterov=False)
    """
    return Momentum(learning_rate, decay, nesterov)


def nesterov(learning_rate: Rate, decay: float = 0.9) -> Momentum:
    """Descent with Nesterov's momentum: `momentum(learning_rate, decay, nesterov=True)`.

    >>> nesterov(0.01)
    Momentum(learning_rate=0.01, decay=0.9, nesterov=True)
    """
    return Momentum(learning_rate, decay, True)


# Rates that adapt to each element.


@attrs.frozen
class Adagrad:
    """Adagrad; `adagrad` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    initial: float = attrs.field(converter=number, validator=from_zero)
    epsilon: float = attrs.field(converter=number, validator=from_zero)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable and of its sum of squares."""
        whole = chain(scale_by_rss(self.initial, self.epsilon), sgd(self.learning_rate))
        return _run("adagrad", whole, variables, gradients)


def adagrad(learning_rate: Rate = 0.01, initial: float = 0.1, epsilon: float = 1e-7) -> Adagrad:
    """Adagrad: `s <- s + g**2` and `w <- w - learning_rate * g / sqrt(s + epsilon)`. State: "w/adagrad".

    `initial` is the first value of s. (Duchi, Hazan and Singer, 2011, "Adaptive Subgradient Methods".) Raises
    GraphError.

    >>> adagrad(0.1)
    Adagrad(learning_rate=0.1, initial=0.1, epsilon=1e-07)
    """
    return Adagrad(learning_rate, initial, epsilon)


@attrs.frozen
class RmsProp:
    """RMSprop; `rmsprop` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    decay: float = attrs.field(converter=number, validator=fraction)
    momentum: float = attrs.field(converter=number, validator=fraction)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    centered: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable and of its averages."""
        end = momentum(self.learning_rate, self.momentum) if self.momentum else sgd(self.learning_rate)
        whole = chain(scale_by_rms(self.decay, self.epsilon, self.centered), end)
        return _run("rmsprop", whole, variables, gradients)


def rmsprop(
    learning_rate: Rate = 0.001,
    decay: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> RmsProp:
    """RMSprop: `s <- decay * s + (1 - decay) * g**2` and `w <- w - learning_rate * g / sqrt(s + epsilon)`.

    `centered` takes the variance in place of s: s minus the square of the average of g. With `momentum` above 0 the
    steps go into a velocity, as in `momentum`. State: "w/rms_square", and "w/rms_mean", "w/momentum" where they are
    used. The definition and the defaults are Keras's. (Tieleman and Hinton, 2012, lecture 6.5 of "Neural Networks
    for Machine Learning"; Graves, 2013, for the centered form.) Raises GraphError.

    >>> rmsprop(0.001)
    RmsProp(learning_rate=0.001, decay=0.9, momentum=0.0, epsilon=1e-07, centered=False)
    """
    return RmsProp(learning_rate, decay, momentum, epsilon, centered)


@attrs.frozen
class Adam:
    """Adam; `adam` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    beta1: float = attrs.field(converter=number, validator=fraction)
    beta2: float = attrs.field(converter=number, validator=fraction)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    amsgrad: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable, of its moments and of the counter."""
        first = scale_by_adam(self.beta1, self.beta2, self.epsilon, self.amsgrad)
        return _run("adam", chain(first, sgd(self.learning_rate)), variables, gradients)


def adam(
    learning_rate: Rate = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    amsgrad: bool = False,
) -> Adam:
    """Adam: `w <- w - learning_rate * m' / (sqrt(v') + epsilon)`, with moments of the gradients.

    `m <- beta1 * m + (1 - beta1) * g`, `v <- beta2 * v + (1 - beta2) * g**2`, and at the t-th update
    `m' = m / (1 - beta1**t)`, `v' = v / (1 - beta2**t)`. State: "w/adam_m", "w/adam_v" and the counter. With
    `amsgrad` the largest v' so far is taken, kept in "w/adam_largest". Where `epsilon` is 0 (in the variable's dtype),
    an element whose v' is 0 does not move. (Kingma and Ba, 2015; Reddi, Kale and Kumar, 2018, for amsgrad.) Raises
    GraphError.

    >>> adam(0.001)
    Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, amsgrad=False)
    """
    return Adam(learning_rate, beta1, beta2, epsilon, amsgrad)


@attrs.frozen
class AdamW:
    """Adam with decoupled weight decay; `adamw` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    beta1: float = attrs.field(converter=number, validator=fraction)
    beta2: float = attrs.field(converter=number, validator=fraction)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    decay: float = attrs.field(converter=number, validator=from_zero)
    exclude: Selector = attrs.field(converter=as_selector)
    amsgrad: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable, of its moments and of the counter."""
        first = scale_by_adam(self.beta1, self.beta2, self.epsilon, self.amsgrad)
        second = weight_decay(self.decay, self.exclude)
        return _run("adamw", chain(first, second, sgd(self.learning_rate)), variables, gradients)


def adamw(
    learning_rate: Rate = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    decay: float = 0.01,
    exclude: Selector = None,
    amsgrad: bool = False,
) -> AdamW:
    """Adam with decoupled weight decay: `learning_rate * decay * w` is subtracted beside Adam's step.

    `exclude` selects variables that do not decay: a name, a pattern such as "*/b", several of them, or a function
    of the variable such as `lambda w: w.rank < 2`. The rest is as in `adam`. (Loshchilov and Hutter, 2019,
    "Decoupled Weight Decay Regularization".) Raises GraphError.

    >>> adamw(0.001, decay=0.1, exclude=["*/b", "*/scale"])
    AdamW(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, decay=0.1, exclude=('*/b', '*/scale'),
          amsgrad=False)
    """
    return AdamW(learning_rate, beta1, beta2, epsilon, decay, exclude, amsgrad)


@attrs.frozen
class Lion:
    """Lion; `lion` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    beta1: float = attrs.field(converter=number, validator=fraction)
    beta2: float = attrs.field(converter=number, validator=fraction)
    decay: float = attrs.field(converter=number, validator=from_zero)
    exclude: Selector = attrs.field(converter=as_selector)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable and of its average."""
        first, second = scale_by_lion(self.beta1, self.beta2), weight_decay(self.decay, self.exclude)
        return _run("lion", chain(first, second, sgd(self.learning_rate)), variables, gradients)


def lion(
    learning_rate: Rate = 0.0001,
    beta1: float = 0.9,
    beta2: float = 0.99,
    decay: float = 0.0,
    exclude: Selector = None,
) -> Lion:
    """Lion: `w <- w - learning_rate * (sign(beta1 * m + (1 - beta1) * g) + decay * w)`.

    Then `m <- beta2 * m + (1 - beta2) * g`. State: "w/lion_m". `exclude` selects variables that do not decay, as in
    `adamw`. (Chen et al., 2023, "Symbolic Discovery of Optimization Algorithms".) Raises GraphError.

    >>> lion(0.0003, decay=0.1)
    Lion(learning_rate=0.0003, beta1=0.9, beta2=0.99, decay=0.1, exclude=None)
    """
    return Lion(learning_rate, beta1, beta2, decay, exclude)


@attrs.frozen
class Lars:
    """Layer-wise adaptive rates; `lars` makes it."""

    learning_rate: Rate = attrs.field(converter=as_rate, eq=rate_key)
    momentum: float = attrs.field(converter=number, validator=fraction)
    decay: float = attrs.field(converter=number, validator=from_zero)
    coefficient: float = attrs.field(converter=number, validator=positive)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    nesterov: bool = attrs.field(validator=flag)
    exclude: Selector = attrs.field(converter=as_selector)

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Updates:
        """The next value of each variable and of its velocity."""
        whole = chain(
            weight_decay(self.decay, self.exclude),
            scale_by_trust_ratio(self.coefficient, self.epsilon, self.exclude),
            momentum(self.learning_rate, self.momentum, self.nesterov),
        )
        return _run("lars", whole, variables, gradients)


def lars(
    learning_rate: Rate,
    momentum: float = 0.9,
    decay: float = 0.0,
    coefficient: float = 0.001,
    epsilon: float = 0.0,
    nesterov: bool = False,
    exclude: Selector = None,
) -> Lars:
    """LARS: the gradient plus `decay * w`, times `coefficient |w| / (|g + decay * w| + epsilon)`, into a velocity.

    The velocity is that of `momentum`. Where a length is 0 the factor is 1. `exclude` selects variables (such as
    biases) that take the gradient as it is, without decay and without the factor. State: "w/momentum". (You, Gitman
    and Ginsburg, 2017, "Large Batch Training of Convolutional Networks".) Raises GraphError.

    >>> lars(0.1, exclude="*/b")
    Lars(learning_rate=0.1, momentum=0.9, decay=0.0, coefficient=0.001, epsilon=0.0, nesterov=False, exclude='*/b')
    """
    return Lars(learning_rate, momentum, decay, coefficient, epsilon, nesterov, exclude)
