"""The check of gradients by differences: what the VJPs say against what moving an element does.

    check_gradient : Graph -> values -> GradientCheck

Both sides are worked out in float64 whatever the graph's dtypes: rounding in float32 would hide a wrong
factor of 1.001.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from symgraph import ops
from symgraph.autodiff import backward, target_names
from symgraph.compile import bind
from symgraph.define import define
from symgraph.errors import GradientError, SymgraphError
from symgraph.expr import Expr, apply, constant, placeholder
from symgraph.ir import (
    Array,
    ArrayValue,
    Constant,
    Graph,
    Op,
    Placeholder,
    Variable,
    specialise,
)
from symgraph.lowering.interpreter import evaluate, interpret
from symgraph.lowering.program import inputs
from symgraph.types import FLOAT32, FLOAT64, TensorType

# The truncation error of central differences grows with the square of the step, the rounding error with its
# inverse: the cube root balances them (Press et al., Numerical Recipes, section 5.7).
STEP = float(np.cbrt(np.finfo(np.float64).eps))
_FLOOR = (
    1e-3  # a gradient below this part of the output itself is compared with that: differences see no better
)


@attrs.frozen
class TargetCheck:
    """The worst element of one target; `error` is relative to the largest element of the gradient."""

    name: str
    error: float
    index: tuple[int, ...]
    gradient: float
    difference: float
    checked: int
    size: int

    def __str__(self) -> str:
        place = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return (
            f"{self.name}: error {self.error:.1e}, worst at {self.name}{place}: "
            f"gradient {self.gradient:.9g}, difference {self.difference:.9g} ({self.checked} of {self.size} elements)"
        )


@attrs.frozen
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
) -> GradientCheck:
    """Compare the gradient of an output with central differences, at given values.

    `of` names a float output (of one that is no scalar, a random weighted sum is taken); `wrt` names float
    placeholders, variables or outputs, all variables by default; `values` holds arrays for the placeholders
    and variables by name, and a variable that it leaves out takes its initial value, drawn with `seed`. Of a
    target with more than `samples` elements as many are drawn. Each costs two runs of the graph. At a kink,
    such as relu at 0, differences say something else than the gradient does, and both are right. Raises
    GradientError when an error is above `tolerance`, unless `raises` is false; FeedError for missing values.

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
    rows = [_check_target(wide, of, name, fed, samples, rng) for name in names]
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


def _check_target(
    graph: Graph, of: str, name: str, fed: Mapping[str, Array], samples: int, rng: np.random.Generator
) -> TargetCheck:
    """One target: the graph is cut there, so that an output of it can be moved like an input."""
    node = graph[name]
    label = node.op.label if isinstance(node.op, Placeholder | Variable) else _unused(graph, name)
    exprs = _cut(graph, node.id, label)
    y = exprs[graph[of].id]
    scalar = y if y.shape == () else ops.sum(y * constant(rng.uniform(0.5, 1.5, y.shape)))  # type: ignore[arg-type]
    slope = backward(scalar, [exprs[node.id]])[0]
    both = define({"value": scalar, "slope": slope})
    forward = define({"value": scalar})
    base = {**fed, label: np.array(interpret(graph, fed)[node.id], FLOAT64)}
    found, _ = evaluate(both, base)
    exact = found["slope"]
    count = exact.size
    places = range(count) if count <= samples else sorted(rng.choice(count, samples, replace=False).tolist())
    differences = {i: _difference(forward, base, label, i) for i in places}
    return _worst(name, exact, differences, float(found["value"]))


def _difference(graph: Graph, base: Mapping[str, Array], label: str, i: int) -> float:
    """The central difference along element `i` of one leaf."""
    x = base[label]
    step = STEP * max(1.0, abs(float(x.flat[i])))
    ends = []
    for sign in (1.0, -1.0):
        moved = x.copy()
        moved.flat[i] += sign * step
        ends.append((float(moved.flat[i]), float(evaluate(graph, {**base, label: moved})[0]["value"])))
    (right, high), (left, low) = ends
    return (high - low) / (right - left)


def _worst(name: str, exact: Array, differences: Mapping[int, float], value: float) -> TargetCheck:
    flat = exact.reshape(-1)
    if not differences:
        return TargetCheck(name, 0.0, (), 0.0, 0.0, 0, 0)
    expected = np.array(list(differences.values()))
    actual = flat[list(differences)]
    largest = max(float(np.abs(expected).max()), float(np.abs(flat).max()), _FLOOR * abs(value), 1e-300)
    errors = np.abs(actual - expected) / largest
    errors[np.isnan(errors)] = np.inf  # NaN and infinities are never right
    k = int(errors.argmax())
    place = tuple(int(i) for i in np.unravel_index(list(differences)[k], exact.shape))
    worst = float(errors[k])
    return TargetCheck(name, worst, place, float(actual[k]), float(expected[k]), len(differences), flat.size)


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
    exprs: list[Expr] = []
    for node in graph.nodes:
        try:
            made = apply(_wide(node.op), *[exprs[i] for i in node.inputs])
        except SymgraphError as error:
            raise GradientError(f"{node.op.name} has no form in float64: {error.message}") from None
        narrow = node.type.dtype == made.dtype == FLOAT32  # such as random numbers, made of integers
        exprs.append(ops.cast(made, FLOAT64) if narrow else made)
    return define({name: exprs[i] for name, i in graph.outputs} | _kept(graph, exprs))


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
