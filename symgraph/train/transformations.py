"""Transformations: pure functions from gradients to the directions that variables move against.

    Transformation = (variables, directions) -> Step(directions, state)
    Optimizer      = (variables, gradients)  -> {variable: next value}
    chain          : Transformation* -> Transformation        and with an Optimizer at its end, an Optimizer

An optimizer is a chain with `sgd` at its end, which multiplies by the learning rate and subtracts:
`adam(rate)` is `chain(scale_by_adam(), sgd(rate))`. Where two transformations stand in a chain matters:
`weight_decay` before `scale_by_adam` is Adam with an L2 penalty, after it AdamW.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias, overload

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError
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
    require_part,
    selected,
)
from symgraph.train.state import COUNTED, COUNTER, Step, merge, serving, slot
from symgraph.types import FLOAT64, DType
from symgraph.values import shown

Optimizer: TypeAlias = Callable[[Sequence[Expr], Sequence[Expr]], Mapping[Expr, Expr]]
Transformation: TypeAlias = Callable[[Sequence[Expr], Sequence[Expr]], Step]


@attrs.frozen
class Chain:
    """Transformations in order, and at the end perhaps an optimizer; `chain` makes it."""

    parts: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.parts))})"

    def __call__(self, variables: Sequence[Expr], gradients: Sequence[Expr]) -> Any:
        """The last part's result, a Step or a mapping of next values, with the state of all parts."""
        step = Step(gradients)
        for part in self.parts[:-1]:
            made = part(variables, step.directions)
            if not isinstance(made, Step):
                raise GraphError(
                    f"{shown(part)} is no transformation, and another part of the chain comes after it",
                    hint="Put the optimizer at the end: chain(clip_by_global_norm(1.0), adam(0.001)).",
                )
            step = Step(made.directions, merge(step.state, made.state))
        last = self.parts[-1](variables, step.directions)
        if isinstance(last, Step):
            return Step(last.directions, merge(step.state, last.state))
        return merge(step.state, last)


@overload
def chain(*parts: Transformation) -> Transformation: ...
@overload
def chain(*parts: *tuple[*tuple[Transformation, ...], Optimizer]) -> Optimizer: ...
def chain(*parts: Any) -> Any:  # type: ignore[misc]  # mypy does not see that Any takes the second form
    """Transformations one after another; with an optimizer at the end it is an optimizer.

    The gradients go through the first part, its directions through the second, and so on. Raises GraphError.

    >>> from symgraph.train.optimizers import adam
    >>> chain(clip_by_global_norm(1.0), adam(0.001))
    Chain(ClipByGlobalNorm(limit=1.0), Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08, amsgrad=False))
    """
    if not parts:
        raise GraphError("chain joins transformations, and it was given none", hint="Write chain(a, b).")
    for part in parts:
        require_part(part, "chain")
    return Chain(parts)


def each(
    rule: str,
    function: Callable[[Expr, Expr], Expr],
    variables: Sequence[Expr],
    directions: Sequence[Expr],
) -> Step:
    """A transformation without a state: `function` of each variable and its direction."""
    made = []
    for w, g in zip(variables, directions, strict=True):
        with serving(rule, w):
            made.append(function(w, g))
    return Step(made)


# Scaling, clipping, decay.


@attrs.frozen
class Scale:
    """Directions times a factor; `scale` makes it."""

    factor: Rate = attrs.field(converter=as_rate, eq=rate_key)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The scaled directions."""
        with serving("scale"):
            factor = rate_now(self.factor)
        step = each("scale", lambda w, g: in_dtype(factor, w.dtype) * g, variables, directions)
        return Step(step.directions, COUNTED if is_scheduled(self.factor) else {})


def scale(factor: Rate) -> Scale:
    """Each direction times `factor`: a number from 0, or what else a learning rate may be.

    >>> scale(0.5)
    Scale(factor=0.5)
    """
    return Scale(factor)


@attrs.frozen
class ClipByValue:
    """Elements moved into a range around 0; `clip_by_value` makes it."""

    limit: float = attrs.field(converter=number, validator=positive)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The clipped directions."""
        return each("clip_by_value", lambda _, g: ops.clip(g, -self.limit, self.limit), variables, directions)


def clip_by_value(limit: float) -> ClipByValue:
    """Each element of each gradient moved into the range from -limit to limit; `limit` is above 0.

    >>> clip_by_value(0.5)
    ClipByValue(limit=0.5)
    """
    return ClipByValue(limit)


@attrs.frozen
class ClipByNorm:
    """Each gradient shortened to a length; `clip_by_norm` makes it."""

    limit: float = attrs.field(converter=number, validator=positive)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The shortened directions."""
        return each(
            "clip_by_norm",
            lambda _, g: g * _shortening(ops.sqrt(ops.sum(ops.square(g))), self.limit),
            variables,
            directions,
        )


def clip_by_norm(limit: float) -> ClipByNorm:
    """Each gradient shortened to the length `limit` (L2, of its own elements) where it is longer.

    A gradient that is not longer stays as it is, bit for bit. `limit` is above 0. Where the sum of squares is larger
    than the gradient's dtype holds, the gradient becomes 0.

    >>> clip_by_norm(1.0)
    ClipByNorm(limit=1.0)
    """
    return ClipByNorm(limit)


@attrs.frozen
class ClipByGlobalNorm:
    """All gradients shortened together; `clip_by_global_norm` makes it."""

    limit: float = attrs.field(converter=number, validator=positive)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The shortened directions."""
        if not directions:
            return Step(())
        with serving("clip_by_global_norm"):
            squares = [ops.sum(ops.square(g)) for g in directions]
            factor = _shortening(ops.sqrt(reduce(ops.add, squares)), self.limit)
        return each("clip_by_global_norm", lambda _, g: g * ops.cast(factor, g.dtype), variables, directions)


def _shortening(norm: Expr, limit: float) -> Expr:
    """What to multiply by: exactly 1 up to the limit, NaN for NaN."""
    return ops.where(norm <= limit, 1.0, limit / norm)


def clip_by_global_norm(limit: float) -> ClipByGlobalNorm:
    """All gradients times one factor, so that their length together (L2) is at most `limit`.

    Where it is at most that already they stay as they are, bit for bit; where the sum of squares is larger than the
    gradients' dtype holds, they become 0. `limit` is above 0. (Pascanu, Mikolov and
    Bengio, 2013, "On the difficulty of training recurrent neural networks".)

    >>> clip_by_global_norm(1.0)
    ClipByGlobalNorm(limit=1.0)
    """
    return ClipByGlobalNorm(limit)


@attrs.frozen
class WeightDecay:
    """Directions with a multiple of the variables added; `weight_decay` makes it."""

    decay: float = attrs.field(converter=number, validator=from_zero)
    exclude: Selector = attrs.field(converter=as_selector)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The directions with decay."""
        return each(
            "weight_decay",
            lambda w, g: g if not self.decay or selected(self.exclude, w) else g + self.decay * w,
            variables,
            directions,
        )


def weight_decay(decay: float, exclude: Selector = None) -> WeightDecay:
    """Each direction plus `decay` times its variable.

    Before `scale_by_adam` and the like it is the gradient of an L2 penalty (`decay / 2` times the sum of squares);
    after them it is decoupled, as in AdamW. `exclude` selects variables that do not decay: a name, a pattern such
    as "*/b", several of them, or a function of the variable such as `lambda w: w.rank < 2`.

    >>> weight_decay(1e-4, exclude="*/b")
    WeightDecay(decay=0.0001, exclude='*/b')
    """
    return WeightDecay(decay, exclude)


# Scaling by what was seen: the moments of the gradients.


def _average(before: Expr, now: Expr, decay: float) -> Expr:
    return decay * before + (1 - decay) * now


def _quotient(above: Expr, below: Expr, epsilon: float) -> Expr:
    """Above / below; where nothing keeps `below` from 0, 0 where it is 0."""
    if np.asarray(epsilon, below.dtype) > 0:
        return above / below
    return ops.where(ops.equal(below, 0.0), 0.0, above / below)


def correction(beta: float) -> Expr | None:
    """1 - beta ** t at the t-th update, in float64: what an average that began at 0 has seen of its weight."""
    if beta == 0:
        return None
    return -ops.expm1(ops.cast(COUNTED[COUNTER], FLOAT64) * math.log(beta))


def _over(x: Expr, divisor: Expr | None, dtype: DType) -> Expr:
    """X / divisor, for a scalar in float64: one product an element."""
    return x if divisor is None else x * ops.cast(1.0 / divisor, dtype)


@attrs.frozen
class ScaleByAdam:
    """Adam's direction; `scale_by_adam` makes it."""

    beta1: float = attrs.field(converter=number, validator=fraction)
    beta2: float = attrs.field(converter=number, validator=fraction)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    amsgrad: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The first moment over the root of the second, each freed of its bias to 0."""
        with serving("scale_by_adam"):
            first, second = correction(self.beta1), correction(self.beta2)
        state: dict[Expr, Expr] = {}
        made = []
        for w, g in zip(variables, directions, strict=True):
            with serving("scale_by_adam", w):
                m, v = slot(w, "adam_m"), slot(w, "adam_v")
                state[m] = _average(m, g, self.beta1)
                state[v] = _average(v, ops.square(g), self.beta2)
                spread = _over(state[v], second, w.dtype)
                if self.amsgrad:
                    largest = slot(w, "adam_largest")
                    state[largest] = spread = ops.maximum(largest, spread)
                below = ops.sqrt(spread) + self.epsilon
                made.append(_quotient(_over(state[m], first, w.dtype), below, self.epsilon))
        return Step(made, {**state, **COUNTED})


def scale_by_adam(
    beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, amsgrad: bool = False
) -> ScaleByAdam:
    """Adam's direction: `m' / (sqrt(v') + epsilon)`; see `adam`. State: "w/adam_m", "w/adam_v".

    >>> scale_by_adam(beta2=0.99)
    ScaleByAdam(beta1=0.9, beta2=0.99, epsilon=1e-08, amsgrad=False)
    """
    return ScaleByAdam(beta1, beta2, epsilon, amsgrad)


@attrs.frozen
class ScaleByRms:
    """Directions over the root of their mean square; `scale_by_rms` makes it."""

    decay: float = attrs.field(converter=number, validator=fraction)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    centered: bool = attrs.field(validator=flag)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The scaled directions."""
        state: dict[Expr, Expr] = {}
        made = []
        for w, g in zip(variables, directions, strict=True):
            with serving("scale_by_rms", w):
                s = slot(w, "rms_square")
                state[s] = spread = _average(s, ops.square(g), self.decay)
                if self.centered:
                    m = slot(w, "rms_mean")
                    state[m] = _average(m, g, self.decay)
                    # Rounding may put the square of the mean above the mean of the squares.
                    spread = ops.maximum(spread - ops.square(state[m]), 0.0)
                made.append(_quotient(g, ops.sqrt(spread + self.epsilon), self.epsilon))
        return Step(made, state)


def scale_by_rms(decay: float = 0.9, epsilon: float = 1e-7, centered: bool = False) -> ScaleByRms:
    """Each gradient over the root of the average of its square; see `rmsprop`. State: "w/rms_square".

    >>> scale_by_rms()
    ScaleByRms(decay=0.9, epsilon=1e-07, centered=False)
    """
    return ScaleByRms(decay, epsilon, centered)


@attrs.frozen
class ScaleByRss:
    """Directions over the root of the sum of their squares; `scale_by_rss` makes it."""

    initial: float = attrs.field(converter=number, validator=from_zero)
    epsilon: float = attrs.field(converter=number, validator=from_zero)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The scaled directions."""
        state: dict[Expr, Expr] = {}
        made = []
        for w, g in zip(variables, directions, strict=True):
            with serving("scale_by_rss", w):
                s = slot(w, "adagrad", self.initial or None)
                state[s] = s + ops.square(g)
                made.append(_quotient(g, ops.sqrt(state[s] + self.epsilon), self.epsilon))
        return Step(made, state)


def scale_by_rss(initial: float = 0.1, epsilon: float = 1e-7) -> ScaleByRss:
    """Each gradient over the root of the sum of all its squares so far; see `adagrad`. State: "w/adagrad".

    >>> scale_by_rss()
    ScaleByRss(initial=0.1, epsilon=1e-07)
    """
    return ScaleByRss(initial, epsilon)


@attrs.frozen
class ScaleByLion:
    """Lion's direction, the sign of an average; `scale_by_lion` makes it."""

    beta1: float = attrs.field(converter=number, validator=fraction)
    beta2: float = attrs.field(converter=number, validator=fraction)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """Directions of -1, 0 and 1."""
        state: dict[Expr, Expr] = {}
        made = []
        for w, g in zip(variables, directions, strict=True):
            with serving("scale_by_lion", w):
                m = slot(w, "lion_m")
                made.append(ops.sign(_average(m, g, self.beta1)))
                state[m] = _average(m, g, self.beta2)
        return Step(made, state)


def scale_by_lion(beta1: float = 0.9, beta2: float = 0.99) -> ScaleByLion:
    """The sign of an average of the gradients; see `lion`. State: "w/lion_m".

    >>> scale_by_lion()
    ScaleByLion(beta1=0.9, beta2=0.99)
    """
    return ScaleByLion(beta1, beta2)


@attrs.frozen
class ScaleByTrustRatio:
    """Directions as long as their variables, times a coefficient; `scale_by_trust_ratio` makes it."""

    coefficient: float = attrs.field(converter=number, validator=positive)
    epsilon: float = attrs.field(converter=number, validator=from_zero)
    exclude: Selector = attrs.field(converter=as_selector)

    def __call__(self, variables: Sequence[Expr], directions: Sequence[Expr]) -> Step:
        """The scaled directions."""
        return each("scale_by_trust_ratio", self._scaled, variables, directions)

    def _scaled(self, w: Expr, g: Expr) -> Expr:
        if selected(self.exclude, w):
            return g
        weight, length = (ops.sqrt(ops.sum(ops.square(x))) for x in (w, g))
        ratio = self.coefficient * weight / (length + self.epsilon)
        nothing = ops.logical_or(ops.equal(weight, 0.0), ops.equal(length, 0.0))
        return g * ops.where(nothing, 1.0, ratio)


def scale_by_trust_ratio(
    coefficient: float = 0.001, epsilon: float = 0.0, exclude: Selector = None
) -> ScaleByTrustRatio:
    """Each direction times `coefficient |w| / (|g| + epsilon)`, or as it is where a length is 0; see `lars`.

    >>> scale_by_trust_ratio()
    ScaleByTrustRatio(coefficient=0.001, epsilon=0.0, exclude=None)
    """
    return ScaleByTrustRatio(coefficient, epsilon, exclude)
