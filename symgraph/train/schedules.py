"""Schedules: learning rates that are functions of the number of updates. Public as `symgraph.train.schedules`.

    Schedule : step -> rate        int -> float, for tables and pictures; Expr -> Expr, in the graph

The step is the number of updates before this one: the first has 0. In the graph it is the int64 variable that counts
the updates of a group ("train/step"), and rates are computed in float64. A schedule is a frozen record; any function
of an expression may stand in the place of one.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np

from symgraph import ops
from symgraph.errors import GraphError
from symgraph.expr import Expr
from symgraph.train.arguments import count, from_zero, number, positive, share, whole
from symgraph.types import FLOAT64
from symgraph.values import shown

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "join",
    "one_cycle",
    "piecewise",
    "polynomial",
    "step",
    "warm_up",
]


def __dir__() -> list[str]:
    return __all__


Rate: TypeAlias = "float | Schedule | Callable[[Any], Any]"


@attrs.frozen
class Schedule:
    """A learning rate as a function of the step. A new one is a subclass with `rate`."""

    def rate(self, t: Any, xp: Any) -> Any:
        """The rate at step `t`, written once for both: `xp` is `numpy`, or `symgraph.ops` for an expression."""
        raise NotImplementedError

    def __call__(self, step: Any) -> Any:
        """The rate at a step: a float for an int, an array for an array, an expression for an expression.

        >>> step(0.1, factor=0.5, every=10)(25)
        0.025
        """
        if isinstance(step, Expr):
            return self.rate(ops.cast(step, FLOAT64), ops)
        t = np.asarray(step)
        if t.dtype.kind not in "iu" or (t < 0).any():
            raise GraphError(
                f"a step is a whole number from 0, and {shown(step)} is none",
                hint="The first update has the step 0.",
            )
        with np.errstate(over="ignore", invalid="ignore"):  # as in a graph
            found = self.rate(t.astype(np.float64), np)
        return found if t.ndim else float(found)


def _rate(value: Any) -> Any:
    """A part of a schedule: a number becomes one."""
    plain = number(value)
    if type(plain) is float and 0 <= plain < math.inf:
        return Constant(plain)
    if callable(value) and not isinstance(value, type | Expr):
        return value
    raise GraphError(
        f"a schedule is made of numbers from 0 and of schedules, and {shown(value)} is neither",
        hint="Write such as symgraph.train.schedules.cosine(0.1, steps=1000).",
    )


def _at(schedule: Any, t: Any, xp: Any) -> Any:
    """The rate of a part, which may be a function of the user's."""
    if isinstance(schedule, Schedule):
        return schedule.rate(t, xp)
    found = schedule(t)
    if not isinstance(found, Expr | np.ndarray) and type(number(found)) is not float:
        raise GraphError(
            f"a schedule gives a number or an expression, and {shown(schedule)} gave {shown(found)}",
            hint="It is called with the number of updates before this one.",
        )
    return _beside(t, found)


def _beside(t: Any, rate: Any) -> Any:
    """A rate in the dtype and the shape of the steps, as numbers among themselves would be float32."""
    return rate + 0.0 * t


@attrs.frozen
class Constant(Schedule):
    """One rate; `constant` makes it."""

    value: float = attrs.field(converter=number, validator=from_zero)

    def rate(self, t: Any, xp: Any) -> Any:
        return _beside(t, self.value)


def constant(value: float) -> Constant:
    """The same rate at each step.

    >>> constant(0.1)(1000)
    0.1
    """
    return Constant(value)


@attrs.frozen
class Exponential(Schedule):
    """A rate that decays by a factor; `exponential` makes it."""

    initial: float = attrs.field(converter=number, validator=from_zero)
    factor: float = attrs.field(converter=number, validator=positive)
    every: int = attrs.field(converter=whole, validator=count)

    def rate(self, t: Any, xp: Any) -> Any:
        return self.initial * self.factor ** (t / self.every)


def exponential(initial: float, factor: float, every: int = 1) -> Exponential:
    """`initial * factor ** (step / every)`.

    >>> exponential(0.1, 0.5, every=10)(20)
    0.025
    """
    return Exponential(initial, factor, every)


@attrs.frozen
class Stairs(Schedule):
    """A rate that falls by a factor every so many steps; `step` makes it."""

    initial: float = attrs.field(converter=number, validator=from_zero)
    factor: float = attrs.field(converter=number, validator=positive)
    every: int = attrs.field(converter=whole, validator=count)

    def rate(self, t: Any, xp: Any) -> Any:
        return self.initial * self.factor ** xp.floor_divide(t, self.every)


def step(initial: float, factor: float, every: int) -> Stairs:
    """`initial * factor ** (step // every)`: a stair every so many steps.

    >>> step(0.1, factor=0.1, every=100)
    Stairs(initial=0.1, factor=0.1, every=100)
    """
    return Stairs(initial, factor, every)


@attrs.frozen
class Polynomial(Schedule):
    """A rate that goes from one value to another; `polynomial` makes it."""

    initial: float = attrs.field(converter=number, validator=from_zero)
    end: float = attrs.field(converter=number, validator=from_zero)
    steps: int = attrs.field(converter=whole, validator=count)
    power: float = attrs.field(converter=number, validator=positive)

    def rate(self, t: Any, xp: Any) -> Any:
        left = (self.steps - xp.minimum(t, self.steps)) / self.steps  # exactly 0 at the end, and never below
        return self.end + (self.initial - self.end) * left**self.power


def polynomial(initial: float, end: float, steps: int, power: float = 1.0) -> Polynomial:
    """From `initial` to `end` over `steps` steps, with what is left to the power of `power`; then `end`.

    With power 1 it is a line.

    >>> polynomial(0.1, 0.0, steps=100)(75)
    0.025
    """
    return Polynomial(initial, end, steps, power)


def _half_wave(initial: Any, end: Any, part: Any, xp: Any) -> Any:
    """From `initial` to `end` as `part` goes from 0 to 1, on half a wave of a cosine."""
    return end + (initial - end) * 0.5 * (1.0 + xp.cos(math.pi * part))


@attrs.frozen
class Cosine(Schedule):
    """A rate on half a wave of a cosine; `cosine` makes it."""

    initial: float = attrs.field(converter=number, validator=from_zero)
    steps: int = attrs.field(converter=whole, validator=count)
    end: float = attrs.field(converter=number, validator=from_zero)

    def rate(self, t: Any, xp: Any) -> Any:
        return _half_wave(self.initial, self.end, xp.minimum(t, self.steps) / self.steps, xp)


def cosine(initial: float, steps: int, end: float = 0.0) -> Cosine:
    """From `initial` to `end` over `steps` steps, on half a wave of a cosine; then `end`.

    (Loshchilov and Hutter, 2017, "SGDR".)

    >>> round(cosine(0.1, steps=100)(50), 12)
    0.05
    """
    return Cosine(initial, steps, end)


def _from_one(instance: Any, attribute: Any, value: Any) -> None:
    if type(value) is not float or not 1 <= value < math.inf:
        raise GraphError(
            f"the {attribute.name} of {type(instance).__name__} is a finite number from 1, "
            f"and {shown(value)} is none",
            hint="With 1 all cycles are of one length.",
        )


@attrs.frozen
class CosineRestarts(Schedule):
    """A rate on half waves of a cosine, one after another; `cosine_restarts` makes it."""

    initial: float = attrs.field(converter=number, validator=from_zero)
    steps: int = attrs.field(converter=whole, validator=count)
    end: float = attrs.field(converter=number, validator=from_zero)
    multiplier: float = attrs.field(converter=number, validator=_from_one)
    factor: float = attrs.field(converter=number, validator=positive)

    def rate(self, t: Any, xp: Any) -> Any:
        if self.multiplier == 1:
            cycle = xp.floor_divide(t, self.steps)
        else:
            cycle = xp.floor(xp.log(1.0 + t * (self.multiplier - 1) / self.steps) / math.log(self.multiplier))
            # The logarithm rounds, and may be one cycle off where one begins.
            cycle = cycle + xp.where(self._start(cycle + 1.0) <= t, 1.0, 0.0)
            cycle = cycle - xp.where(self._start(cycle) > t, 1.0, 0.0)
        part = (t - self._start(cycle)) / (self.steps * self.multiplier**cycle)
        return _half_wave(self.initial * self.factor**cycle, self.end, part, xp)

    def _start(self, cycle: Any) -> Any:
        """The step that a cycle begins with."""
        if self.multiplier == 1:
            return cycle * self.steps
        return self.steps * (self.multiplier**cycle - 1.0) / (self.multiplier - 1)


def cosine_restarts(
    initial: float, steps: int, end: float = 0.0, multiplier: float = 1.0, factor: float = 1.0
) -> CosineRestarts:
    """`cosine`, again and again: each cycle is `multiplier` times as long and starts `factor` times as high.

    (Loshchilov and Hutter, 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts".)

    >>> schedule = cosine_restarts(0.1, steps=100, multiplier=2, factor=0.5)
    >>> schedule(0), schedule(100), schedule(300)
    (0.1, 0.05, 0.025)
    """
    return CosineRestarts(initial, steps, end, multiplier, factor)


def _pairs(value: Any) -> tuple[tuple[int, Any], ...]:
    """What holds from which step on, in order."""
    if isinstance(value, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)  # as the record holds them
    starts = list(value) if isinstance(value, Mapping) else []
    good = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in starts)
    if not starts or not good or min(starts) != 0:
        raise GraphError(
            f"the parts of a schedule are a mapping from the steps that they begin with, 0 the first, "
            f"and this is {shown(value) if not starts else list(starts)}",
            hint="Write such as {0: 0.1, 1000: 0.01}.",
        )
    return tuple(sorted((int(start), value[start]) for start in starts))


def _values(value: Any) -> tuple[tuple[int, float], ...]:
    pairs = tuple((start, number(rate)) for start, rate in _pairs(value))
    for _, rate in pairs:
        if type(rate) is not float or not 0 <= rate < math.inf:
            raise GraphError(
                f"a rate of piecewise is a number from 0, and {shown(rate)} is none",
                hint="For schedules one after another use join.",
            )
    return pairs


def _as_dict(pairs: tuple[tuple[int, Any], ...]) -> str:
    return repr(dict(pairs))


@attrs.frozen
class Piecewise(Schedule):
    """Constant rates one after another; `piecewise` makes it."""

    values: tuple[tuple[int, float], ...] = attrs.field(converter=_values, repr=_as_dict)

    def rate(self, t: Any, xp: Any) -> Any:
        (_, found), *rest = self.values
        made = _beside(t, found)
        for start, value in rest:
            made = xp.where(t >= start, value, made)
        return made


def piecewise(values: Mapping[int, float]) -> Piecewise:
    """Constant rates: each from the step that it is given for; the first from 0.

    >>> schedule = piecewise({0: 0.1, 1000: 0.01})
    >>> schedule(999), schedule(1000)
    (0.1, 0.01)
    """
    return Piecewise(values)


def _parts(value: Any) -> tuple[tuple[int, Any], ...]:
    return tuple((start, _rate(part)) for start, part in _pairs(value))


@attrs.frozen
class Join(Schedule):
    """Schedules one after another; `join` makes it."""

    schedules: tuple[tuple[int, Any], ...] = attrs.field(converter=_parts, repr=_as_dict)

    def rate(self, t: Any, xp: Any) -> Any:
        (_, first), *rest = self.schedules
        made = _at(first, t, xp)
        for start, schedule in rest:
            made = xp.where(t >= start, _at(schedule, xp.maximum(t - start, 0.0), xp), made)
        return made


def join(schedules: Mapping[int, Rate]) -> Join:
    """Schedules one after another: each from the step that it is given for, which is its own step 0.

    >>> schedule = join({0: 0.1, 100: exponential(0.1, 0.5)})
    >>> schedule(50), schedule(102)
    (0.1, 0.025)
    """
    return Join(schedules)


@attrs.frozen
class WarmUp(Schedule):
    """A line up to a schedule; `warm_up` makes it."""

    schedule: Any = attrs.field(converter=_rate)
    steps: int = attrs.field(converter=whole, validator=count)
    start: float = attrs.field(converter=number, validator=from_zero)

    def rate(self, t: Any, xp: Any) -> Any:
        top = _at(self.schedule, 0.0 * t, xp)
        line = self.start + (top - self.start) * t / self.steps
        return xp.where(t < self.steps, line, _at(self.schedule, xp.maximum(t - self.steps, 0.0), xp))


def warm_up(schedule: Rate, steps: int, start: float = 0.0) -> WarmUp:
    """From `start` in a line to where `schedule` begins, over `steps` steps; then the schedule, from its step 0.

    >>> schedule = warm_up(cosine(0.1, steps=900), steps=100)
    >>> schedule(0), schedule(50), schedule(100), schedule(1000)
    (0.0, 0.05, 0.1, 0.0)
    """
    return WarmUp(schedule, steps, start)


def _shape(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str) or value not in ("cosine", "linear"):
        raise GraphError(
            f"the shape of OneCycle is 'cosine' or 'linear', and {shown(value)} is neither",
            hint='Write shape="cosine".',
        )


@attrs.frozen
class OneCycle(Schedule):
    """A rate that goes up and down once; `one_cycle` makes it."""

    peak: float = attrs.field(converter=number, validator=from_zero)
    steps: int = attrs.field(converter=whole, validator=count)
    rise: float = attrs.field(converter=number, validator=share)
    start_divisor: float = attrs.field(converter=number, validator=positive)
    end_divisor: float = attrs.field(converter=number, validator=positive)
    shape: str = attrs.field(validator=_shape)

    def rate(self, t: Any, xp: Any) -> Any:
        start = self.peak / self.start_divisor
        end = start / self.end_divisor
        top = int(self.rise * self.steps)
        up = self._between(start, self.peak, t / max(top, 1), xp)
        down = self._between(
            self.peak, end, xp.minimum(t - top, self.steps - top) / max(self.steps - top, 1), xp
        )
        return xp.where(t < top, up, down)

    def _between(self, initial: float, end: float, part: Any, xp: Any) -> Any:
        if self.shape == "linear":
            return initial + (end - initial) * part
        return _half_wave(initial, end, part, xp)


def one_cycle(
    peak: float,
    steps: int,
    rise: float = 0.3,
    start_divisor: float = 25.0,
    end_divisor: float = 1e4,
    shape: Literal["cosine", "linear"] = "cosine",
) -> OneCycle:
    """Up from `peak / start_divisor` to `peak` in the share `rise` of the steps, then down; then it stays.

    The end is the start over `end_divisor`. (Smith and Topin, 2018, "Super-Convergence".)

    >>> schedule = one_cycle(0.1, steps=100)
    >>> [round(schedule(step), 12) for step in (0, 30, 100)]
    [0.004, 0.1, 4e-07]
    """
    return OneCycle(peak, steps, rise, start_divisor, end_divisor, shape)
