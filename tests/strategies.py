"""Random well-typed graphs, from a seed or as a Hypothesis strategy, with values to feed them.

    random_graph : seed -> Sample          the same graph for the same seed
    samples      : Hypothesis strategy of Sample, which shrinks to few and simple steps

A graph grows step by step from leaves. Each new expression is evaluated at once, twice: as it is, and with each
node's floats moved by a few units in the last place. In a *tame* graph a step whose two values differ by more
than rounding explains, or that is not finite, is taken back: what is left is well-conditioned, so that results
of rewritten graphs may be compared within a tolerance. A *hostile* graph keeps everything, and is compared bit
by bit or for where its NaN and infinities are.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from hypothesis import strategies as st

from symgraph import ops
from symgraph.autodiff import backward, topological
from symgraph.define import define
from symgraph.errors import SymgraphError
from symgraph.expr import Expr, constant, placeholder, variable
from symgraph.ir import Graph, Placeholder, Variable
from symgraph.types import BOOL, FLOAT32, FLOAT64, INT32, INT64, DType, TensorType, dim, substitute

LARGEST = 600  # elements of a value
NOISE = 4.0  # units in the last place by which the second value of each node is moved
CONDITION = 400.0  # by how many of them a tame value may then differ
TAME = 1e3  # the largest magnitude of a tame value


@attrs.frozen(eq=False)
class Sample:
    """A graph, the sizes of its named dimensions, and values of its leaves.

    `tame` says that the graph is well-conditioned at `values`; `eps` is the unit in the last place, relative,
    of its least precise float dtype.
    """

    graph: Graph
    sizes: Mapping[str, int]
    values: Mapping[str, np.ndarray]
    tame: bool
    eps: float
    seed: int

    def hostile(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Other values of the same shapes: NaN, infinities, both zeros, denormals, huge, and equal ones."""
        rng = np.random.default_rng((self.seed, seed))
        return {name: hostile_array(rng, array.dtype, array.shape) for name, array in self.values.items()}

    def __repr__(self) -> str:
        return f"Sample(seed={self.seed}, sizes={dict(self.sizes)})\n{self.graph}"


def hostile_array(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """An array of special values."""
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    if dtype.kind == "i":
        limits = np.iinfo(dtype)
        pool = np.array([0, 0, 1, 1, -1, 2, 3, 7, limits.max, limits.min], dtype)
    else:
        floats = np.finfo(dtype)
        special = [np.nan, np.inf, -np.inf, 0.0, -0.0, floats.max, -floats.max, floats.tiny]
        denormal = [floats.smallest_subnormal, -floats.smallest_subnormal * 3]
        with np.errstate(over="ignore"):
            pool = np.array([*special, *denormal, 1.0, -1.0, 1.0, 0.5, 2.5, -1e3, 88.0, -104.0, 3.0], dtype)
    chosen = pool[rng.integers(0, len(pool), shape)]
    if dtype.kind == "f":
        chosen = np.where(rng.random(shape) < 0.3, rng.normal(size=shape).astype(dtype), chosen)
    return np.asarray(chosen, dtype)


def random_graph(
    seed: int, steps: int | None = None, *, tame: bool | None = None, smooth: bool = False
) -> Sample:
    """The graph of a seed: `steps` operations (3 to 24 by default) on 2 to 5 leaves.

    `tame` is drawn when it is not given. `smooth` asks for float64 and for operations that have derivatives,
    and for one scalar output, named loss.
    """
    rng = random.Random(seed)
    return grow(rng, steps if steps is not None else rng.randint(3, 24), seed, tame=tame, smooth=smooth)


@st.composite
def samples(draw: Any, tame: bool | None = None, smooth: bool = False, largest: int = 20) -> Sample:
    """A Hypothesis strategy of graphs; it shrinks towards few steps."""
    steps = draw(st.integers(1, largest))
    rng = draw(st.randoms(use_true_random=False))
    return grow(rng, steps, 0, tame=tame, smooth=smooth)


def grow(rng: random.Random, steps: int, seed: int, *, tame: bool | None, smooth: bool) -> Sample:
    """A graph by the choices of `rng`."""
    kept = rng.random() < 0.5 if tame is None else tame
    growth = Growth(rng, kept or smooth, smooth)
    for _ in range(rng.randint(2, 5)):
        growth.leaf()
    families = SMOOTH if smooth else FAMILIES
    for _ in range(steps):
        family = rng.choices(families, [weight for weight, _ in FAMILY_WEIGHTS[smooth]])[0]
        for _ in range(3):  # a step that is taken back, or does not fit, is tried again
            if growth.attempt(family):
                break
    return growth.finish(seed)


@attrs.define(eq=False)
class Growth:
    """Expressions that are there to build on, and their values; lives for one graph."""

    rng: random.Random
    tame: bool
    smooth: bool
    sizes: dict[str, int] = attrs.field(init=False)
    pool: list[Expr] = attrs.field(factory=list)
    leaves: dict[str, np.ndarray] = attrs.field(factory=dict)
    value: dict[Expr, np.ndarray] = attrs.field(factory=dict)
    moved: dict[Expr, np.ndarray] = attrs.field(factory=dict)
    base: tuple[Any, ...] = attrs.field(init=False)
    dtypes: Sequence[DType] = attrs.field(init=False)
    eps: float = attrs.field(init=False)
    numbers: np.random.Generator = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rng = self.rng
        self.numbers = np.random.default_rng(rng.getrandbits(32))
        small = [1, 2, 3, 4, 5] if self.smooth or rng.random() < 0.9 else [0, 1, 2, 3]
        self.sizes = {name: rng.choice(small) for name in ("n", "m")}
        named = [dim("n"), dim("n"), dim("m")] if rng.random() < 0.5 else []
        # All leaves take their shape from one, so that many fit one another.
        self.base = tuple(rng.choice([*small, *small, *named]) for _ in range(rng.choice([1, 2, 2, 3, 3, 4])))
        floats = (
            [FLOAT64] if self.smooth else rng.choice([[FLOAT32], [FLOAT32], [FLOAT64], [FLOAT32, FLOAT64]])
        )
        others = [] if self.smooth else [INT32, INT64, BOOL]
        self.dtypes = [*floats * 6, *others]
        self.eps = float(np.finfo(FLOAT64).eps)

    # Leaves

    def leaf(self) -> None:
        """A new placeholder or variable, with its value."""
        rng, label = self.rng, f"x{len(self.leaves)}"
        start = rng.randint(0, len(self.base)) if rng.random() < 0.4 else 0
        shape = tuple(1 if rng.random() < 0.15 else size for size in self.base[start:])
        if rng.random() < 0.2:
            shape = shape[::-1]
        dtype = rng.choice(self.dtypes)
        concrete = all(isinstance(size, int) for size in shape)
        make = variable if concrete and rng.random() < 0.4 else placeholder
        expr = make(label, shape, dtype)
        array = self.draw(dtype, substitute(shape, self.sizes))
        self.leaves[label] = array
        self.keep(expr, array)

    def draw(self, dtype: DType, shape: Sequence[Any]) -> np.ndarray:
        """A tame value."""
        if dtype.kind == "b":
            return np.asarray(self.numbers.integers(0, 2, shape)).astype(bool)
        if dtype.kind == "i":
            return np.asarray(self.numbers.integers(-4, 5, shape)).astype(dtype)
        if self.rng.random() < 0.3:
            return np.asarray(self.numbers.uniform(0.3, 2.0, shape)).astype(dtype)
        return np.asarray(self.numbers.normal(size=shape)).astype(dtype)

    # Values

    def keep(self, expr: Expr, array: np.ndarray) -> None:
        if expr.dtype == FLOAT32:
            self.eps = float(np.finfo(FLOAT32).eps)
        self.value[expr] = array
        self.moved[expr] = self.noisy(array)
        self.pool.append(expr)

    def noisy(self, array: np.ndarray) -> np.ndarray:
        if not self.tame or array.dtype.kind != "f":
            return array
        ulps = NOISE * float(np.finfo(array.dtype).eps)
        return np.asarray(array * (1 + ulps * self.numbers.uniform(-1, 1, array.shape)), array.dtype)

    def attempt(self, family: "Family") -> bool:
        """One step: whether there is a new expression that may stay."""
        try:
            made = family(self)
        except SymgraphError:  # the operands do not fit
            return False
        exprs = [made] if isinstance(made, Expr) else list(made or ())
        admitted = [self.admit(expr) for expr in exprs]  # each, not only up to the first
        return any(admitted)

    def admit(self, expr: Expr) -> bool:
        """Evaluate what is new in an expression, and take it into the pool if it may stay."""
        if expr in self.value:
            return False
        new = self.unknown(expr)
        for one in new:
            if not self.evaluate(one):
                for other in new:
                    self.value.pop(other, None)
                    self.moved.pop(other, None)
                return False
        self.pool.append(expr)
        if any(one.dtype == FLOAT32 for one in new):
            self.eps = float(np.finfo(FLOAT32).eps)
        return True

    def unknown(self, expr: Expr) -> list[Expr]:
        order: dict[Expr, None] = {}
        stack = [expr]
        while stack:
            one = stack[-1]
            waiting = [i for i in one.inputs if i not in self.value and i not in order]
            if waiting:
                stack.extend(waiting)
                continue
            order[stack.pop()] = None
        return list(order)

    def evaluate(self, expr: Expr) -> bool:
        if isinstance(expr.op, Placeholder | Variable):
            return False
        try:
            shape = substitute(expr.shape, self.sizes)
            op = expr.op.bind(self.sizes)
        except SymgraphError:  # a slice that these sizes leave nothing of
            return False
        if math.prod(shape) > LARGEST or len(shape) > 5:
            return False
        with np.errstate(all="ignore"):
            try:
                array = np.asarray(op.evaluate(*(self.value[i] for i in expr.inputs)))
                if array.shape != shape or (
                    self.smooth and not array.size
                ):  # a slice that does not fit these sizes
                    return False
                moved = np.asarray(op.evaluate(*(self.moved[i] for i in expr.inputs))) if self.tame else array
            except (SymgraphError, ValueError, IndexError):
                return False
            assert array.dtype == expr.dtype, expr
            if self.tame and not self.stays(array, moved, expr):
                return False
            self.value[expr], self.moved[expr] = array, self.noisy(moved)
        return True

    def stays(self, array: np.ndarray, moved: np.ndarray, expr: Expr) -> bool:
        """Whether a value is tame: finite, no larger than TAME, and stable under rounding."""
        if array.dtype.kind != "f":
            return bool(np.array_equal(array, moved)) and (
                array.size == 0 or int(np.abs(array * 1).max()) < 10**6
            )
        if not np.isfinite(array).all() or np.abs(array).max(initial=0) > TAME:
            return False
        eps = float(np.finfo(FLOAT32).eps) if expr.dtype == FLOAT32 else self.eps
        return bool((np.abs(array - moved) <= CONDITION * eps * (np.abs(array) + 0.03)).all())

    # Choices

    def any(self, kinds: str = "fib", rank: int = 0) -> Expr:
        """An expression of one of the kinds of dtype with at least `rank` axes; later ones more often."""
        found = [e for e in self.pool if e.dtype.kind in kinds and e.rank >= rank]
        if not found:
            raise UnfitError("no operand")
        later = self.rng.randrange(len(found))
        return found[max(later, self.rng.randrange(len(found)))]

    def float(self, rank: int = 0) -> Expr:
        return self.any("f", rank)

    def beside(self, x: Expr, kinds: str | None = None) -> Expr:
        """An operand that broadcasts with `x`: of the pool, or a constant."""
        wanted = x.dtype.kind if kinds is None else kinds
        if self.rng.random() < 0.35:
            return self.number(x)
        for _ in range(6):
            y = self.any(wanted)
            if fits(x, y):
                return y
        return x

    def number(self, x: Expr) -> Expr:
        """A constant beside `x`: neutral, absorbing, hostile, or any."""
        rng = self.rng
        if x.dtype.kind == "b":
            return constant(rng.random() < 0.5)
        pool: list[Any] = [0, 0, 1, 1, -1, 2, 3]
        if x.dtype.kind == "f":
            pool = [0.0, -0.0, 1.0, 1.0, -1.0, 2.0, 0.5, 3.0, -0.3, 1.7]
            pool += [] if self.tame else [math.inf, -math.inf, math.nan, 1e-40, 1e30]
        value = constant(rng.choice(pool), x.dtype)
        if rng.random() < 0.8:
            return value
        if rng.random() < 0.5 and all(isinstance(size, int) for size in x.shape):
            return constant(self.draw(x.dtype, x.shape))
        return ops.broadcast_to(value, x.shape)

    def axis(self, x: Expr) -> int:
        """An axis of `x`, counted from either end."""
        return self.rng.randrange(-x.rank, x.rank)

    def axes(self, x: Expr) -> Any:
        """Some axes of `x`: one, several, or None for all."""
        rng = self.rng
        if x.rank == 0 or rng.random() < 0.25:
            return None
        if rng.random() < 0.6:
            return self.axis(x)
        return tuple(sorted(rng.sample(range(x.rank), rng.randint(1, x.rank))))

    # The end

    def finish(self, seed: int) -> Sample:
        """The graph: some of the last expressions as outputs, and an update group."""
        rng = self.rng
        if self.smooth:
            outputs = {"loss": self.loss()}
        else:
            late = self.pool[-6:]
            chosen = rng.sample(late, min(len(late), rng.randint(1, 4)))
            outputs = {f"y{k}": e for k, e in enumerate(dict.fromkeys(chosen))}
            if rng.random() < 0.2:
                outputs["again"] = next(iter(outputs.values()))
        outputs |= self.binding(outputs.values())
        updates = {} if self.smooth else self.updates()
        graph = define(outputs, updates=updates)
        names = [*graph.placeholders, *graph.variables]
        floats = {node.type.dtype for node in graph.nodes} & {FLOAT32, FLOAT64}
        eps = max((float(np.finfo(dtype).eps) for dtype in floats), default=0.0)
        sizes = {name: self.sizes[name] for name in graph.names}
        return Sample(graph, sizes, {name: self.leaves[name] for name in names}, self.tame, eps, seed)

    def loss(self) -> Expr:
        """A scalar of all late expressions: sums of squares are too simple, so each has its own weight."""
        late = self.pool[-4:]
        total: Expr | None = None
        for k, e in enumerate(late):
            part = ops.mean(e * (0.5 + 0.25 * k)) if e.rank else e * 1.0
            total = part if total is None else total + part
        assert total is not None
        return total

    def binding(self, outputs: Iterable[Expr]) -> dict[str, Expr]:
        """Placeholders as outputs, for sizes that no other leaf of the graph binds."""
        reached = topological(outputs)
        missing = {name for e in self.pool for name in names_of(e)}
        for e in reached:
            if isinstance(e.op, Placeholder):
                missing -= names_of(e)
        found = {}
        for e in self.pool:
            if isinstance(e.op, Placeholder) and missing & names_of(e):
                found[e.op.label] = e
                missing -= names_of(e)
        return found

    def updates(self) -> dict[str, dict[Expr, Expr]]:
        rng = self.rng
        changes = {}
        for leaf in [e for e in self.pool if isinstance(e.op, Variable)]:
            if rng.random() < 0.4:
                continue
            same = [e for e in self.pool if e.type == leaf.type]
            value = rng.choice(same)
            if rng.random() < 0.5 and leaf.dtype.kind == "f":
                value = leaf - value * 0.1
            changes[leaf] = value
        return {"train": changes} if changes else {}


class UnfitError(SymgraphError):
    """No operand of the kind that a step needs."""


Family = Callable[[Growth], Expr | Sequence[Expr] | None]


def fits(x: Expr, y: Expr) -> bool:
    """Whether two shapes broadcast."""
    return all(a == b or a == 1 or b == 1 for a, b in zip(x.shape[::-1], y.shape[::-1], strict=False))


def names_of(e: Expr) -> set[str]:
    """The named sizes in a shape."""
    return {name for name in ("n", "m") if any(str(size) == name for size in e.shape)}


# Families of steps

_UNARY_SMOOTH = [
    ops.neg,
    ops.square,
    ops.exp,
    ops.expm1,
    ops.sin,
    ops.cos,
    ops.tanh,
    ops.sinh,
    ops.cosh,
    ops.atan,
    ops.asinh,
    ops.erf,
    ops.sigmoid,
    ops.softplus,
    ops.silu,
    ops.gelu,
    ops.exp2,
    ops.reciprocal,
    ops.log,
    ops.log1p,
    ops.log2,
    ops.sqrt,
    ops.rsqrt,
    ops.asin,
    ops.acos,
    ops.acosh,
    ops.atanh,
    ops.tan,
]
_UNARY = [
    *_UNARY_SMOOTH,
    ops.neg,
    ops.abs,
    ops.sign,
    ops.relu,
    ops.relu,
    ops.leaky_relu,
    ops.elu,
    ops.selu,
    ops.floor,
    ops.ceil,
    ops.round,
    ops.trunc,
    ops.stop_gradient,
]


def unary(g: Growth) -> Expr:
    x = g.float()
    function = g.rng.choice(_UNARY_SMOOTH if g.smooth else _UNARY)
    if function in (ops.log, ops.sqrt, ops.rsqrt, ops.reciprocal, ops.log2) and g.rng.random() < 0.6:
        x = ops.square(x) + 0.5
    if function is ops.acosh and g.rng.random() < 0.6:
        x = ops.square(x) + 1.5
    if function in (ops.asin, ops.acos, ops.atanh) and g.rng.random() < 0.6:
        x = ops.sin(x) * 0.7
    return function(x)


def unary_any(g: Growth) -> Expr:
    x = g.any()
    if x.dtype.kind == "b":
        return ops.logical_not(x)
    if x.dtype.kind == "i":
        return g.rng.choice([ops.neg, ops.abs, ops.sign, ops.square, ops.relu])(x)
    return g.rng.choice([ops.isnan, ops.isinf, ops.isfinite])(x)


def binary(g: Growth) -> Expr:
    x = g.any("f" if g.smooth else "fi")
    y = g.beside(x)
    if g.rng.random() < 0.5:
        x, y = y, x
    smooth = [ops.add, ops.sub, ops.mul, ops.mul, ops.add, ops.div]
    others = [ops.maximum, ops.minimum, ops.mod, ops.floor_divide]
    function = g.rng.choice(smooth if g.smooth else [*smooth, *others])
    return function(x, y)


def power(g: Growth) -> Expr:
    x = g.float()
    exponent = g.rng.choice([2.0, 3.0, 4.0, 0.5, -1.0, -2.0, -0.5, 1.0, 0.0, 1.7])
    if g.rng.random() < 0.2:
        return ops.atan2(x, g.beside(x))
    if exponent not in (2.0, 3.0, 4.0, 1.0) and g.rng.random() < 0.7:
        x = ops.abs(x) + 0.4 if not g.smooth else ops.square(x) + 0.4
    if g.rng.random() < 0.3:
        return ops.pow(ops.square(x) + 0.3, g.beside(x))
    return ops.pow(x, exponent)


def compare(g: Growth) -> Expr:
    x = g.any("fi")
    names = [ops.equal, ops.not_equal, ops.less, ops.less_equal, ops.greater, ops.greater_equal]
    made = g.rng.choice(names)(x, g.beside(x))
    return ops.logical_not(made) if g.rng.random() < 0.3 else made


def logic(g: Growth) -> Expr:
    x = g.any("b")
    return g.rng.choice([ops.logical_and, ops.logical_or, ops.logical_xor])(x, g.beside(x))


def select(g: Growth) -> Expr:
    x = g.any("f" if g.smooth else "fi")
    if g.rng.random() < 0.3:
        return ops.clip(x, -1.5, 1.25) if x.dtype.kind == "f" else ops.clip(x, -1, 2)
    y = g.beside(x)
    if g.rng.random() < 0.5 and any(e.dtype.kind == "b" for e in g.pool):
        condition = g.any("b")
        if fits(condition, x) and fits(condition, y):
            return ops.where(condition, x, y)
    return ops.where(x > g.number(x), x, y)


def cast(g: Growth) -> Expr:
    return ops.cast(g.any(), g.rng.choice([FLOAT32, FLOAT64, INT32, INT64, BOOL]))


def reduction(g: Growth) -> Expr:
    rng = g.rng
    smooth = [ops.sum, ops.sum, ops.mean, ops.logsumexp, ops.var, ops.prod]
    if g.smooth:
        x = g.float(1)
        return rng.choice(smooth)(x, g.axes(x), keepdims=rng.random() < 0.4)
    x = g.any(rank=0 if rng.random() < 0.1 else 1)
    kinds: dict[str, list[Any]] = {
        "f": [*smooth, ops.max, ops.min, ops.std, ops.norm],
        "i": [ops.sum, ops.prod, ops.max, ops.min, ops.mean],
        "b": [ops.any, ops.all],
    }
    function = rng.choice(kinds[x.dtype.kind])
    if function is ops.norm:
        return ops.norm(x, rng.choice([1, 2, math.inf]), g.axes(x), rng.random() < 0.4)
    return function(x, g.axes(x), keepdims=rng.random() < 0.4)


def position(g: Growth) -> Expr:
    x = g.any("fi", 1)
    axis = g.axis(x) if g.rng.random() < 0.8 else None
    return g.rng.choice([ops.argmax, ops.argmin])(x, axis, g.rng.random() < 0.3)


def reshape(g: Growth) -> Expr:
    x, rng = g.any("f" if g.smooth else "fib"), g.rng
    choice = rng.randrange(6)
    if choice == 0:
        return ops.reshape(x, (-1,))
    if choice == 1 and x.rank >= 2:
        k = rng.randrange(x.rank - 1)
        return ops.reshape(x, (*x.shape[:k], x.shape[k] * x.shape[k + 1], *x.shape[k + 2 :]))
    if choice == 2 and x.rank:
        return ops.flatten(x, rng.randrange(x.rank))
    if choice == 3 and any(size == 1 for size in x.shape):
        return ops.squeeze(x)
    if choice == 4 and x.rank:
        k = rng.randrange(x.rank)
        size = x.shape[k]
        if isinstance(size, int) and size in (4, 6, 8, 12, 20):
            return ops.reshape(x, (*x.shape[:k], 2, size // 2, *x.shape[k + 1 :]))
    return ops.expand_dims(x, rng.randint(0, x.rank))


def move(g: Growth) -> Expr:
    x, rng = g.any("f" if g.smooth else "fib", 1), g.rng
    choice = rng.randrange(4)
    if choice == 0:
        return ops.transpose(x)
    if choice == 1:
        return ops.transpose(x, rng.sample(range(x.rank), x.rank))
    if choice == 2:
        return ops.swapaxes(x, g.axis(x), g.axis(x))
    return ops.moveaxis(x, g.axis(x), g.axis(x))


def spread(g: Growth) -> Expr:
    x, rng = g.any("f" if g.smooth else "fib"), g.rng
    choice = rng.randrange(4)
    if choice == 0 and x.rank:
        return ops.tile(x, tuple(rng.choice([1, 2]) for _ in range(x.rank)))
    if choice == 1 and x.rank:
        return ops.repeat(x, 2, g.axis(x))
    y = g.any()
    return (
        ops.broadcast_to(x, y.shape)
        if choice == 2
        else ops.broadcast_to(x, (rng.choice([1, 2, 3]), *x.shape))
    )


def join(g: Growth) -> Expr:
    x, rng = g.any("f" if g.smooth else "fib", 1), g.rng
    same = [e for e in g.pool if e.rank == x.rank and e.dtype == x.dtype]
    others = [rng.choice(same) for _ in range(rng.randint(1, 2))]
    alike = [x, *(e for e in others if e.shape == x.shape)]
    if rng.random() < 0.3:
        return ops.stack(alike, rng.randrange(-x.rank - 1, x.rank + 1))
    return ops.concatenate([x, *others] if rng.random() < 0.5 else alike, g.axis(x))


def cut(g: Growth) -> Expr | Sequence[Expr]:
    x, rng = g.any("f" if g.smooth else "fib", 1), g.rng
    choice = rng.randrange(7)
    if choice == 0:
        return ops.flip(x, g.axes(x))
    if choice == 1:
        return ops.roll(x, rng.randint(-3, 3), g.axis(x))
    if choice == 2:
        widths = [(rng.randint(0, 2), rng.randint(0, 2)) for _ in range(x.rank)]
        mode = rng.choice(["constant", "constant", "edge", "reflect"])
        return ops.pad(x, widths, 0, mode)
    if choice == 3:
        axis = g.axis(x)
        size = x.shape[axis]
        if isinstance(size, int) and size >= 2:
            return list(ops.split(x, [1, size - 1] if rng.random() < 0.5 or size % 2 else 2, axis))
    key: list[Any] = []
    for size in x.shape:
        span = size if isinstance(size, int) else 3
        start, step = rng.choice([None, 0, 1, -1]), rng.choice([None, None, 1, 2, -1])
        picks = [slice(None), slice(None), slice(start, None, step), slice(None, rng.randint(0, span), step)]
        if isinstance(size, int) and size:
            picks.append(rng.randrange(-size, size))
        key.append(rng.choice(picks))
    if rng.random() < 0.15:
        key.insert(rng.randint(0, len(key)), None)
    return ops.getitem(x, tuple(key))


def product(g: Growth) -> Expr:
    x, rng = g.float(1), g.rng
    y = g.float(1)
    choice = rng.randrange(6)
    if choice == 0:
        return ops.matmul(x, ops.swapaxes(x, -1, -2) if x.rank >= 2 else x)
    if choice == 1 and x.rank >= 2:
        return ops.matmul(ops.swapaxes(x * 0.5, -1, -2), x)
    if choice == 2 and x.rank == 2:
        return ops.einsum("ij,ik->jk", x, x) if rng.random() < 0.5 else ops.einsum("ij,ij->i", x, x)
    if choice == 3 and x.rank == y.rank == 1:
        return ops.outer(x, y)
    if choice == 4 and x.rank >= 2 and isinstance(x.shape[-1], int):
        w = constant(g.draw(x.dtype, (x.shape[-1], rng.choice([1, 2, 3, 4]))))
        made = ops.matmul(x, w)
        return ops.tanh(made + 0.5) if rng.random() < 0.5 else made
    for _ in range(8):
        y = g.float(1)
        if y.shape[-1 if y.rank == 1 else -2] == x.shape[-1]:
            break
    return ops.matmul(x, y) if x.dtype == y.dtype else ops.matmul(x, ops.cast(y, x.dtype))


def index(g: Growth) -> Expr:
    x, rng = g.any("f" if g.smooth else "fib", 1), g.rng
    axis = g.axis(x)
    size = x.shape[axis]
    if not isinstance(size, int) or size == 0:
        return ops.iota(x.shape, rng.choice([INT32, INT64]), axis)
    integers = [] if g.smooth else [e for e in g.pool if e.dtype.kind == "i" and e.rank <= 1]
    if integers and rng.random() < 0.6:
        indices = ops.mod(rng.choice(integers), size)
    else:
        indices = constant(np.asarray(g.numbers.integers(0, size, rng.choice([(), (1,), (3,), (2, 2)]))))
    choice = rng.randrange(6)
    if choice == 0 and not g.smooth:
        return ops.one_hot(indices, size, rng.choice([FLOAT32, FLOAT64, INT32]))
    if choice == 1 and x.rank >= 2:
        return ops.triu(x, rng.randint(-1, 1)) if rng.random() < 0.5 else ops.tril(x, rng.randint(-1, 1))
    if choice == 2 and x.dtype.kind != "b":
        updates = ops.take(ops.square(x) if g.smooth else ops.neg(x), indices, axis)
        return ops.scatter_add(x, indices, updates, axis)
    if choice == 3:
        # `gather` takes indices shaped as x without the axis.
        rest = tuple(s for i, s in enumerate(x.shape) if i != axis % x.rank)
        chosen = constant(int(g.numbers.integers(0, size)), INT64)
        return ops.gather(x, ops.broadcast_to(chosen, rest), axis)
    return ops.take(x, indices, axis)


def running(g: Growth) -> Expr:
    x, rng = g.any("f" if g.smooth else "fi", 1), g.rng
    choice = rng.randrange(3)
    if choice == 0:
        return ops.cumsum(x, g.axis(x), rng.random() < 0.4)
    if choice == 1:
        return ops.cumprod(x, g.axis(x), rng.random() < 0.4, rng.random() < 0.4)
    x = g.float(1)
    return ops.linear_recurrence(ops.sigmoid(x), x, g.axis(x), rng.random() < 0.4)


def network(g: Growth) -> Expr:
    x, rng = g.float(1), g.rng
    choice = rng.randrange(8)
    y = g.beside(x)
    if (x - y).shape not in (x.shape, y.shape):  # losses take no two that are both repeated
        y = x
    if choice == 0:
        return ops.softmax(x, g.axis(x))
    if choice == 1:
        return ops.log_softmax(x, g.axis(x))
    if choice == 2:
        return ops.layer_norm(x)
    if choice == 3:
        return ops.sigmoid_cross_entropy(x, ops.sigmoid(y))
    if choice == 4:
        return ops.softmax_cross_entropy(x, ops.softmax(x * 0.5))
    if choice == 5 and not g.smooth:
        return ops.huber_loss(x, y)
    if choice == 6 and not g.smooth:
        return ops.hinge_loss(x, ops.sign(y))
    return ops.squared_error(x, y)


def naive(g: Growth) -> Expr:
    """What users write, and the compiler rewrites: unstable, redundant or roundabout forms."""
    x, rng = g.float(), g.rng
    c = g.number(x)
    forms: list[Callable[[], Expr]] = [
        lambda: ops.log(1.0 + ops.exp(x)),
        lambda: ops.log(ops.sigmoid(x)),
        lambda: 1.0 - ops.sigmoid(x),
        lambda: ops.log(1.0 - ops.sigmoid(x)),
        lambda: 1.0 / (1.0 + ops.exp(-x)),
        lambda: ops.log(ops.sum(ops.exp(x))),
        lambda: ops.log(1.0 + x),
        lambda: ops.exp(x) - 1.0,
        lambda: ops.exp(x) / ops.sum(ops.exp(x)),
        lambda: ops.neg(ops.neg(x)),
        lambda: ops.exp(ops.log(x)),
        lambda: ops.log(ops.exp(x)),
        lambda: ops.sqrt(ops.square(x)),
        lambda: ops.square(ops.sqrt(x)),
        lambda: x * ops.reciprocal(ops.square(x) + 1.0),
        lambda: (x + c) - c,
        lambda: (x * c) * 0.5,
        lambda: x / 4.0,
        lambda: x / 3.0,
        lambda: x * 2.0 + x * 3.0,
        lambda: x - (-x),
        lambda: x + -(x * 0.5),
        lambda: -(x * 3.0),
        lambda: ops.sum(x) / 3.0,
        lambda: ops.sum(ops.neg(x)),
        lambda: ops.exp(x) * ops.exp(-x),
        lambda: ops.tanh(x) * ops.tanh(x),
        lambda: ops.log(ops.sqrt(ops.square(x) + 1.0)),
        lambda: ops.mean(ops.square(x - ops.mean(x))),
        lambda: (ops.sum(ops.square(x)) + (0.1 if g.smooth else 0.0)) ** 0.5,  # a cone at 0
    ]
    if not g.smooth:
        forms += [
            lambda: x * 0.0,
            lambda: x - x,
            lambda: x / x,
            lambda: ops.abs(-x),
            lambda: ops.maximum(x, 0.0),
            lambda: ops.maximum(x, x),
            lambda: ops.where(x > 0.0, x, 0.0),
            lambda: ops.where(ops.logical_not(x > c), x, -x),
            lambda: ops.minimum(ops.maximum(x, -1.0), 1.0),
            lambda: ops.cast(ops.cast(x, FLOAT64), x.dtype),
            lambda: x * ops.cast(x > 0.0, x.dtype),
            lambda: ops.sqrt(ops.abs(x)),
            lambda: ops.max(ops.relu(x)),
        ]
    if x.rank >= 1:
        axis = g.axis(x)
        forms += [
            lambda: ops.log(ops.softmax(x, axis)),
            lambda: ops.log(ops.sum(ops.exp(x), axis)),
            lambda: ops.exp(x - ops.max(x, axis, keepdims=True)),
            lambda: x - ops.logsumexp(x, axis, keepdims=True),
            lambda: -ops.sum(ops.softmax(x * 0.5, axis) * ops.log(ops.softmax(x, axis)), axis),
            lambda: ops.sum(ops.sum(x, axis)),
            lambda: ops.sum(ops.broadcast_to(ops.sum(x), x.shape)),
            lambda: ops.sum(x * 2.0, axis, keepdims=True) * 0.5,
            lambda: ops.mean(x * c, axis),
            lambda: ops.flip(ops.flip(x, axis), axis),
            lambda: ops.transpose(ops.transpose(x)),
            lambda: ops.reshape(ops.reshape(x, (-1,)), x.shape),
            lambda: ops.reshape(ops.exp(x), (-1,)),
            lambda: ops.transpose(ops.tanh(ops.transpose(x))),
            lambda: (x - ops.mean(x, axis, keepdims=True)) / ops.sqrt(ops.var(x, axis, keepdims=True) + 1e-2),
        ]
    if x.rank >= 2:
        forms += [
            lambda: ops.transpose(x @ ops.swapaxes(x, -1, -2)),
            lambda: (x * 0.5) @ ops.swapaxes(x, -1, -2),
            lambda: (x @ ops.swapaxes(x, -1, -2)) * 0.25,
            lambda: x - 0.1 * ((x @ ops.swapaxes(x, -1, -2)) @ x),
        ]
    return rng.choice(forms)()


def gradient(g: Growth) -> Sequence[Expr]:
    """The gradient of a scalar made from something in the pool."""
    of = g.float()
    scalar = ops.mean(ops.sin(of)) if g.rng.random() < 0.5 else ops.sum(of * g.beside(of, "f"))
    leaves = [e for e in g.pool if e.dtype.kind == "f" and not e.inputs]
    if not leaves:
        raise UnfitError("no float leaf")
    chosen = g.rng.sample(leaves, min(len(leaves), 2))
    return backward(scalar, chosen, disconnected="zero")


_WEIGHTED: list[tuple[int, Family, bool]] = [
    (5, unary, True),
    (2, unary_any, False),
    (8, binary, True),
    (2, power, True),
    (2, compare, False),
    (1, logic, False),
    (2, select, True),
    (2, cast, False),
    (4, reduction, True),
    (1, position, False),
    (3, reshape, True),
    (3, move, True),
    (2, spread, True),
    (2, join, True),
    (3, cut, True),
    (4, product, True),
    (2, index, True),
    (1, running, True),
    (2, network, True),
    (7, naive, True),
    (2, gradient, False),
]
FAMILY_WEIGHTS = {
    False: [(weight, family) for weight, family, _ in _WEIGHTED],
    True: [(weight, family) for weight, family, smooth in _WEIGHTED if smooth],
}
FAMILIES = [family for _, family in FAMILY_WEIGHTS[False]]
SMOOTH = [family for _, family in FAMILY_WEIGHTS[True]]


def type_of(array: np.ndarray) -> TensorType:
    """The type of an array."""
    return TensorType(array.dtype, array.shape)
