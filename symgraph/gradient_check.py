"""The check of gradients by differences: what the VJPs say against what moving an element does.

    check_gradient : Graph -> values -> GradientCheck
    wrong_vjps     : Graph -> values -> WrongVJP*          which op's rule it is, each checked on its own operands

Both sides are worked out in float64 whatever the graph's dtypes: rounding in float32 would hide a wrong
factor of 1.001.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf, isfinite, nan

import attrs
import numpy as np
import numpy.typing as npt

from symgraph import ops
from symgraph.autodiff import Disconnected, backward, target_names
from symgraph.compile import bind
from symgraph.define import define, number
from symgraph.errors import GradientError, SymgraphError
from symgraph.expr import Expr, apply, constant, placeholder
from symgraph.ir import (
    Array,
    ArrayValue,
    Constant,
    Graph,
    Node,
    Op,
    Placeholder,
    Variable,
    leaf_name,
    specialise,
)
from symgraph.lowering.interpreter import evaluate, interpret
from symgraph.lowering.program import inputs
from symgraph.ops.control import PrintValue
from symgraph.origin import Origin, made_by
from symgraph.types import FLOAT32, FLOAT64, TensorType

# The truncation error of central differences grows with the square of the step, the rounding error with its
# inverse: the cube root balances them (Press et al., Numerical Recipes, section 5.7).
STEP = float(np.cbrt(np.finfo(np.float64).eps))
# A gradient by a number around 1 that is below this part of the output is compared with that: differences see no
# better.
_FLOOR = 1e-3
_PART = 16.0  # what the step is divided by, where a difference and the gradient are apart, to see what becomes of it
_FINER = 9  # how often
_FASTER, _OFTEN = 3.0, 3  # a difference that comes so much nearer so often goes to the gradient


@attrs.frozen
class TargetCheck:
    """The worst element of one target; `error` is relative to the largest element of the gradient.

    `kinks` of the elements that were checked stand where the function has a kink or a jump, such as relu at 0, and the
    gradient lies between the derivatives from the two sides, though differences say another: that is no error.
    """

    name: str
    error: float
    index: tuple[int, ...]
    gradient: float
    difference: float
    checked: int
    size: int
    kinks: int = 0

    def __str__(self) -> str:
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{self.name}: error {self.error:.1e}, worst at {self.name}{place}: "
            f"gradient {self.gradient:.9g}, difference {self.difference:.9g} ({self.checked} of {self.size} elements"
            f"{f', {self.kinks} at kinks' if self.kinks else ''})"
        )


@attrs.frozen(repr=False)
class GradientCheck:
    """The report of `check_gradient`: a row for each target."""

    of: str
    targets: tuple[TargetCheck, ...]
    tolerance: float

    @property
    def error(self) -> float:
        """The largest error."""
        return max(target.error for target in self.targets)

    @property
    def passed(self) -> bool:
        """Whether every error is within the tolerance."""
        return all(target.error <= self.tolerance for target in self.targets)

    def __str__(self) -> str:
        verdict = "agrees" if self.passed else "DISAGREES"
        head = f"the gradient of {self.of} {verdict} with differences (tolerance {self.tolerance:.1e})"
        return "\n".join([head, *(f"  {target}" for target in self.targets)])

    __repr__ = __str__  # what a notebook shows


def check_gradient(
    graph: Graph,
    of: str = "loss",
    wrt: Iterable[str] | str | None = None,
    values: Mapping[str, npt.ArrayLike] | None = None,
    *,
    tolerance: float = 1e-6,
    samples: int = 64,
    seed: int = 0,
    raises: bool = True,
    disconnected: Disconnected = "error",
) -> GradientCheck:
    """Compare the gradient of an output with central differences, at given values.

    `of` names a float output (of one that is no scalar, a random weighted sum is taken); `wrt` names float
    placeholders, variables or outputs, all variables by default; `values` holds arrays for the placeholders
    and variables by name, and a variable that it leaves out takes its initial value, drawn with `seed`. Of a
    target with more than `samples` elements as many are drawn. Each costs two runs of the graph. At a kink,
    such as relu at 0, differences say something else than the gradient does, and both are right: such elements are
    recognised, by the derivatives from each side, and told apart. Where a function bends much within the step, as sqrt
    does near 0, smaller steps decide. Nothing is printed by the graph. A target that the output does not depend on is
    an error, or with `disconnected="zero"` has the gradient 0. Raises GradientError when an error is above `tolerance`,
    unless `raises` is false; FeedError for missing values.

    >>> from symgraph.expr import variable
    >>> w = variable("w", (3,))
    >>> check = check_gradient(define(loss=ops.sum(ops.sin(w))), values={"w": [0.1, 0.2, 0.3]})
    >>> check.passed, check.targets[0].checked
    (True, 3)
    """
    if samples < 1 or not tolerance > 0:
        raise GradientError(
            f"samples is at least 1 and tolerance above 0, and these are {samples} and {tolerance}"
        )
    names = target_names(graph, wrt)
    rng = np.random.default_rng(seed)
    wide = in_float64(graph)
    arrays, sizes = bind(wide, {**_initial(wide, values or {}, seed), **(values or {})})
    fed = dict(zip(inputs(wide), arrays, strict=True))
    wide = specialise(wide, sizes)
    limits = _Limits(tolerance, samples, disconnected)
    rows = [_check_target(wide, of, name, fed, limits, rng) for name in names]
    report = GradientCheck(of, tuple(rows), tolerance)
    if raises and not report.passed:
        raise GradientError(
            f"the gradient of {of!r} is not what differences say: error {report.error:.1e}, and "
            f"{tolerance:.1e} is allowed",
            details=tuple(map(str, report.targets)),
            hint="Look at the VJP of the operations on the way, or whether a value lies at a kink.",
        )
    return report


def _initial(graph: Graph, values: Mapping[str, npt.ArrayLike], seed: int) -> dict[str, Array]:
    """The initial values of the variables that have none."""
    rng = np.random.default_rng(seed)
    return {
        name: node.op.init.sample(rng, node.type.shape, node.type.dtype)  # type: ignore[attr-defined]
        for name, node in graph.variables.items()
        if name not in values
    }


@attrs.frozen
class _Limits:
    tolerance: float
    samples: int
    disconnected: Disconnected


def _check_target(
    graph: Graph, of: str, name: str, fed: Mapping[str, Array], limits: _Limits, rng: np.random.Generator
) -> TargetCheck:
    """One target: the graph is cut there, so that an output of it can be moved like an input."""
    node = graph[name]
    label = node.op.label if isinstance(node.op, Placeholder | Variable) else _unused(graph, name)
    exprs = _cut(graph, node.id, label)
    y = exprs[graph[of].id]
    scalar = y if y.shape == () else ops.sum(y * constant(rng.uniform(0.5, 1.5, y.shape)))  # type: ignore[arg-type]
    slope = backward(scalar, [exprs[node.id]], disconnected=limits.disconnected)[0]
    both = define({"value": scalar, "slope": slope})
    forward = define({"value": scalar})
    base = {**fed, label: np.array(interpret(graph, fed)[node.id], FLOAT64)}
    known = forward.placeholders.keys() | forward.variables.keys()
    found, _ = evaluate(both, {name: array for name, array in base.items() if name in known})
    along = _Line(forward, {name: array for name, array in base.items() if name in known}, label)
    exact, value = found["slope"], float(found["value"])
    count = exact.size
    samples = limits.samples
    places = range(count) if count <= samples else sorted(rng.choice(count, samples, replace=False).tolist())
    return _worst(name, exact, {i: along.difference(i) for i in places}, value, along, limits.tolerance)


@attrs.frozen
class _Line:
    """A scalar function of the elements of one leaf, at values of all."""

    graph: Graph
    base: Mapping[str, Array]
    label: str

    def at(self, i: int, step: float) -> tuple[float, float]:
        """Element `i`, and the value, after a step: the element is what floats make of it."""
        if self.label not in self.base:  # the value does not depend on it
            return step, 0.0
        moved = self.base[self.label].copy()
        moved.flat[i] = float(moved.flat[i]) + step
        return float(moved.flat[i]), float(evaluate(self.graph, {**self.base, self.label: moved})[0]["value"])

    def step(self, i: int) -> float:
        return STEP * max(1.0, abs(float(self.base[self.label].flat[i])) if self.label in self.base else 1.0)

    def difference(self, i: int, part: float = 1.0) -> float:
        """The central difference along element `i`, over a part of the usual step."""
        step = self.step(i) * part
        (right, high), (left, low) = self.at(i, step), self.at(i, -step)
        return (high - low) / (right - left)

    def sides(self, i: int, part: float) -> tuple[float, float]:
        """The differences to the left and to the right."""
        step = self.step(i) * part
        (right, high), (here, value), (left, low) = self.at(i, step), self.at(i, 0.0), self.at(i, -step)
        return (value - low) / (here - left), (high - value) / (right - here)

    def nearer(self, i: int, part: float) -> float:
        """The difference over a part of the step; on one side, where the function is not defined on the other."""
        left, right = self.sides(i, part)
        both = [side for side in (left, right) if isfinite(side)]
        return sum(both) / len(both) if both else nan


def _settled(along: _Line, i: int, slope: float, value: float, allowed: float) -> int | None:
    """How often the step has to be divided until differences say the gradient, or go to it; None if they do not.

    What the curvature of a function adds to a difference (of sqrt near 0, say) goes down with the step, and an error
    of the gradient stays. Steps where rounding of the value would hide that are not looked at.
    """
    noise = 2 * float(np.finfo(np.float64).eps) * abs(value) / along.step(i)
    reductions, before = 0, abs(along.difference(i) - slope)
    for k in range(1, _FINER):
        noise *= _PART
        apart = abs(along.nearer(i, _PART**-k) - slope)
        if noise > max(allowed, before / _PART):
            return None
        if apart <= allowed:
            return k
        reductions = reductions + 1 if apart <= before / _FASTER else 0
        if reductions == _OFTEN:
            return k
        before = apart if isfinite(apart) else inf
    return None


def _is_smooth(along: _Line, i: int, slope: float, part: float) -> bool:
    """Whether differences near the gradient come nearer as those of a function without a kink do: by a half to a
    sixteenth each time the step is halved.
    """
    apart = [abs(along.nearer(i, part / 2**k) - slope) for k in range(3)]
    return all(near <= 0.6 * far and near >= far / 40 for far, near in pairwise(apart) if far)


def _is_kink(along: _Line, i: int, slope: float, allowed: float) -> bool:
    """Whether the function has a kink or a jump at an element.

    There the derivatives from the two sides differ, a smaller step does not bring them together, and the slope is one
    of them or lies between; at a jump the differences grow as the step gets smaller.
    """
    left, right = along.sides(i, 1 / 16)
    wider = along.sides(i, 1 / 4)
    gap = abs(right - left)
    between = min(left, right) - allowed <= slope <= max(left, right) + allowed
    jump = min(abs(right), abs(left)) > 3 * min(map(abs, wider)) > 0 and isfinite(slope)
    return jump or (gap > allowed and gap > abs(wider[1] - wider[0]) / 2 and between)


@np.errstate(all="ignore")
def _worst(
    name: str,
    exact: Array,
    differences: Mapping[int, float],
    value: float,
    along: _Line,
    tolerance: float,
) -> TargetCheck:
    flat = exact.reshape(-1)
    if not differences:
        return TargetCheck(name, 0.0, (), 0.0, 0.0, 0, 0)
    expected = np.array(list(differences.values()))
    actual = flat[list(differences)]
    seen = np.isfinite(expected)
    # What rounding of the value leaves of a difference goes with the step, and that with the element.
    seeable = _FLOOR * abs(value) * STEP / min(map(along.step, differences))
    floor = max(float(np.abs(flat).max()), seeable, 1e-300)
    allowed = tolerance * max(floor, float(np.median(np.abs(expected[seen]))) if seen.any() else 0.0)
    excused = np.zeros(len(expected), bool)
    kinks = 0
    for k, i in enumerate(differences):
        slope = float(actual[k])
        if abs(slope - expected[k]) <= allowed or not isfinite(slope):
            continue
        settled = _settled(along, i, slope, value, allowed)
        excused[k] = settled is not None or _is_kink(along, i, slope, allowed)
        kinks += excused[k] and (settled is None or not _is_smooth(along, i, slope, _PART ** (1 - settled)))
    # At a jump the difference is so large that it would hide all others.
    largest = max(floor, float(np.abs(expected[seen & ~excused]).max(initial=0.0)))
    errors = np.where(excused, 0.0, np.abs(actual - expected) / largest)
    errors[np.isnan(errors)] = np.inf  # NaN and infinities are never right
    k = int(errors.argmax())
    place = tuple(int(i) for i in np.unravel_index(list(differences)[k], exact.shape))
    worst = float(errors[k])
    return TargetCheck(
        name, worst, place, float(actual[k]), float(expected[k]), len(differences), flat.size, int(kinks)
    )


# Which op it is.


@attrs.frozen
class WrongVJP:
    """An op whose VJP disagrees with differences on its own operands: a node of the graph, and which operand."""

    node: int
    op: str
    operand: int
    check: TargetCheck
    origin: Origin = attrs.field(repr=False)

    def __str__(self) -> str:
        where = f" ({self.origin})" if str(self.origin) else ""
        return f"%{self.node} {self.op}{where}: {self.check}"


def wrong_vjps(
    graph: Graph,
    of: str = "loss",
    values: Mapping[str, npt.ArrayLike] | None = None,
    *,
    tolerance: float = 1e-6,
    samples: int = 8,
    seed: int = 0,
    most: int = 1,
) -> tuple[WrongVJP, ...]:
    """The nodes below an output whose VJP is not what differences say on their own operands: the first `most` of them.

    The arguments are those of `check_gradient`; each op is run by itself, so that a rule is found wherever it stands.
    Ops that hand back no derivative on purpose, such as stop_gradient, are among them. Raises FeedError for missing
    values.

    >>> from symgraph.expr import variable
    >>> w = variable("w", (3,))
    >>> wrong_vjps(define(loss=ops.sum(ops.sin(w))), values={"w": [0.1, 0.2, 0.3]})
    ()
    >>> (found,) = wrong_vjps(define(loss=ops.sum(ops.stop_gradient(w))), values={"w": [0.1, 0.2, 0.3]})
    >>> found.node, found.op, found.check.gradient
    (1, 'stop_gradient', 0.0)
    """
    exprs = _in_float64(graph)
    wide, ids = number({of: exprs[graph[of].id]} | _kept(graph, exprs), {})
    arrays, sizes = bind(wide, {**_initial(wide, values or {}, seed), **(values or {})})
    run = interpret(specialise(wide, sizes), dict(zip(inputs(wide), arrays, strict=True)))
    rng = np.random.default_rng(seed)
    limits = _Limits(tolerance, samples, "zero")
    fixed: list[
        bool
    ] = []  # what no leaf with a name is below, such as an exponent: nobody differentiates by it
    for node in graph.nodes:
        fixed.append(leaf_name(node.op) is None and all(fixed[i] for i in node.inputs))
    found: list[WrongVJP] = []
    for node in _below(graph, graph[of].id):
        if len(found) == most:
            break
        operands = [run[ids[exprs[i]]] for i in node.inputs]
        moving = [k for k, i in enumerate(node.inputs) if not fixed[i]]
        wrong = _check_op(_wide(node.op).bind(sizes), operands, moving, limits, rng)
        found += [WrongVJP(node.id, node.op.name, k, check, node.origin) for k, check in wrong]
    return tuple(found[:most])


def _below(graph: Graph, last: int) -> list[Node]:
    """The ops that give floats, and that a node is computed from, in order."""
    wanted = {last}
    for node in reversed(graph.nodes[: last + 1]):
        if node.id in wanted:
            wanted.update(node.inputs)
    return [node for node in graph.nodes if node.id in wanted and node.inputs and node.type.is_float]


def _check_op(
    op: Op, operands: Sequence[Array], moving: Sequence[int], limits: _Limits, rng: np.random.Generator
) -> list[tuple[int, TargetCheck]]:
    """The float operands of an op, of those that can change, for which its VJP disagrees with differences."""
    names = [f"operand {k}" for k in range(len(operands))]
    leaves = [placeholder(n, a.shape, a.dtype) for n, a in zip(names, operands, strict=True)]
    y = apply(op, *leaves)
    graph = define({"y": y} | dict(zip(names, leaves, strict=True)))
    fed = dict(zip(names, operands, strict=True))
    floats = [k for k in moving if operands[k].dtype.kind == "f" and operands[k].size]
    checks = [(k, _check_target(graph, "y", names[k], fed, limits, rng)) for k in floats]
    return [(k, check) for k, check in checks if check.error > limits.tolerance]


def _unused(graph: Graph, name: str) -> str:
    taken = {*graph.placeholders, *graph.variables}
    while name in taken:
        name += "'"
    return name


def _cut(graph: Graph, at: int, label: str) -> list[Expr]:
    """The nodes as expressions, with node `at` a leaf of that name."""
    exprs: list[Expr] = []
    for node in graph.nodes:
        if node.id == at and node.inputs:
            exprs.append(placeholder(label, node.type.shape, node.type.dtype))
        else:
            exprs.append(Expr(node.op, tuple([exprs[i] for i in node.inputs]), node.type, node.origin))
    return exprs


def in_float64(graph: Graph) -> Graph:
    """The same graph with float64 in place of float32 everywhere, update groups left out.

    Raises GradientError where an op has no such form.

    >>> in_float64(define(y=placeholder("x", (2,)) * 2.0))["y"].type
    TensorType('f64[2]')
    """
    exprs = _in_float64(graph)
    return define({name: exprs[i] for name, i in graph.outputs} | _kept(graph, exprs))


def _in_float64(graph: Graph) -> list[Expr]:
    """What each node is in float64. Nothing prints: a check runs the graph many times."""
    exprs: list[Expr] = []
    for node in graph.nodes:
        if isinstance(node.op, PrintValue):
            exprs.append(exprs[node.inputs[0]])
            continue
        try:
            with made_by(node.origin):
                made = apply(_wide(node.op), *[exprs[i] for i in node.inputs])
                narrow = node.type.dtype == made.dtype == FLOAT32  # such as random numbers, made of integers
                exprs.append(ops.cast(made, FLOAT64) if narrow else made)
        except SymgraphError as error:
            raise GradientError(f"{node.op.name} has no form in float64: {error.message}") from None
    return exprs


def _kept(graph: Graph, exprs: Sequence[Expr]) -> dict[str, Expr]:
    """All leaves as outputs: variables that only updates need may be targets, too."""
    named = {**graph.placeholders, **graph.variables}
    return {name: exprs[node.id] for name, node in named.items()}


def _wide(op: Op) -> Op:
    """The op with every float32 in its attributes widened."""
    if isinstance(op, Constant):
        array = op.value.array
        return Constant(ArrayValue.of(array, FLOAT64)) if array.dtype == FLOAT32 else op
    changes: dict[str, object] = {}
    for name in (field.name for field in attrs.fields(type(op))):
        value = getattr(op, name)
        if isinstance(value, TensorType) and value.dtype == FLOAT32:
            changes[name] = value.with_dtype(FLOAT64)
        elif isinstance(value, np.dtype) and value == FLOAT32:
            changes[name] = FLOAT64
        elif isinstance(value, ArrayValue) and value.array.dtype == FLOAT32:
            changes[name] = ArrayValue.of(value.array, FLOAT64)
    return attrs.evolve(op, **changes) if changes else op
