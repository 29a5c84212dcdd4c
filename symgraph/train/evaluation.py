"""What a trained network does on data: means and metrics over batches, and predictions.

evaluate : Session -> data -> {name: value}
predict  : Session -> fetches -> data -> arrays with a row an example
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs
import numpy as np

from symgraph.errors import DataError, ExecutionError, FeedError, GraphError
from symgraph.fetches import flatten
from symgraph.ir import Array, Graph, Placeholder
from symgraph.prepared import Step
from symgraph.session import Session
from symgraph.train.feeding import Cutting, Map, Source, check_missing, check_names, source
from symgraph.train.metrics import Metric
from symgraph.values import shown

Outputs: TypeAlias = str | Sequence[str]
_PREFIX = "evaluation/"  # of outputs that stand for others in evaluation
_PLACE = re.compile(r"(-?\d+) at \[(\d+)((?:, \d+)*)\]")


@attrs.frozen(eq=False)
class Measure:
    """A step over batches that gives scalar outputs, and folds metrics.

    `outputs` are the names of the scalars, `steps` the prepared run whose results are those scalars and then what
    metrics need; `picks` tells for each metric where its inputs are among (what is fed, results).
    """

    step: Step
    source: Source
    extras: tuple[Any, ...]
    outputs: tuple[str, ...]
    metrics: Mapping[str, Metric]
    picks: tuple[tuple[int, ...], ...]

    def start(self) -> list[Any]:
        """The metrics' states before the first batch."""
        return [metric.start() for metric in self.metrics.values()]

    def add(self, states: Sequence[Any], values: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """The metrics' states after a batch."""
        pool = (*values, *self.extras, *results)
        return [
            metric.add(state, *[pool[i] for i in picks])
            for metric, state, picks in zip(self.metrics.values(), states, self.picks, strict=True)
        ]

    def results(self, states: Sequence[Any]) -> dict[str, Any]:
        """The metrics' results by name."""
        return {
            name: metric.result(state)
            for (name, metric), state in zip(self.metrics.items(), states, strict=True)
        }


def measure(
    session: Session,
    found: Source,
    outputs: Outputs,
    metrics: Mapping[str, Metric],
    feeds: Mapping[str, Any],
    update: Sequence[str] | None,
    what: str,
    stands_for: Mapping[str, str] = MappingProxyType({}),
) -> Measure:
    """Prepare a run over batches, and check the first and the last; `stands_for` maps outputs to those run instead.

    Raises FeedError, GraphError and what compiling raises.
    """
    graph = session.graph
    names = output_names(outputs)
    scalars = [stands_for.get(name, name) for name in names]
    for name in scalars:
        _check_scalar(graph, name)
    check_metrics(metrics, names)
    check_names(graph, tuple(feeds), "feeds")
    both = [name for name in feeds if name in found.names]
    if both:
        raise DataError(f"{both[0]!r} is in {what} and in feeds", hint="Leave it out of one of them.")
    fed = (*found.names, *feeds)
    inputs = [
        [part if part in fed else stands_for.get(part, part) for part in metric.inputs]
        for metric in metrics.values()
    ]
    further = dict.fromkeys(part for parts in inputs for part in parts if part not in (*fed, *scalars))
    fetched = (*scalars, *further)
    ids = [graph[name].id for name in fetched]
    ids += [i for group in update or () for i in graph.update_group(group).values()]
    check_missing(graph, needed(graph, ids), fed, what)
    step = session.prepare(fetched, fed, update)
    extras = tuple(value(1) if callable(value) else value for value in feeds.values())
    _check_batches(step, found, extras)
    pool = (*fed, *fetched)
    picks = tuple(tuple(pool.index(part) for part in parts) for parts in inputs)
    return Measure(step, found, extras, names, metrics, picks)


def output_names(outputs: Any) -> tuple[str, ...]:
    """The names of the outputs that are watched, in order; raises DataError.

    >>> output_names("loss"), output_names(["loss", "largest"])
    (('loss',), ('loss', 'largest'))
    """
    if isinstance(outputs, str):
        return (outputs,)
    if not isinstance(outputs, Sequence):
        raise DataError(
            f"outputs are names in an order, and this is {shown(outputs)}", hint='Write outputs=("loss",).'
        )
    twice = next((name for k, name in enumerate(outputs) if name in outputs[:k]), None)
    if twice is not None:
        raise DataError(f"{twice!r} is twice among the outputs", hint="Name each output once.")
    return tuple(outputs)


def _check_scalar(graph: Graph, name: str) -> None:
    node = graph[name]
    if getattr(node.type, "shape", None) != ():
        raise GraphError(
            f"the output {name!r} is {node.type}, and what is averaged over batches is a scalar",
            source=node.origin.sources[0] if node.origin.sources else None,
            hint="Take its mean in the graph, or use it by a metric.",
        )


def _check_batches(step: Step, found: Source, extras: Sequence[Any]) -> None:
    """Compile for the first batch, and for the last where it is smaller; raises FeedError for what does not fit."""
    try:
        step.check(*found.first, *extras)
    except FeedError as error:
        error.hint += " What comes from the data may be prepared batch by batch: map=function."
        raise
    if found.last is None:
        return
    try:
        step.check(*found.last, *extras)
    except FeedError as error:
        error.hint = (
            "It is the last batch, which is smaller: leave it out by drop_last=True, or declare a named size."
        )
        raise


def evaluated(graph: Graph, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The outputs that stand in evaluation for those that training has: `evaluation/loss` for `loss`, or as `given`.

    Raises GraphError for a name that the graph does not have, DataError for what is no mapping.

    >>> from symgraph.define import define
    >>> from symgraph.expr import variable
    >>> evaluated(define({"loss": variable("w", ()), "evaluation/loss": variable("v", ())}))
    {'loss': 'evaluation/loss'}
    """
    if given is not None and not isinstance(given, Mapping):
        raise DataError(
            f"validation_outputs maps outputs to those that stand for them, and this is {shown(given)}",
            hint='Write validation_outputs={"loss": "validation_loss"}.',
        )
    for name in (part for pair in (given or {}).items() for part in pair):
        graph[name]
    own = {name.removeprefix(_PREFIX): name for name, _ in graph.outputs if name.startswith(_PREFIX)}
    return {**own, **(given or {})}


def needed(graph: Graph, ids: Iterable[int]) -> list[str]:
    """The placeholders without a default that these nodes depend on, in the order of the graph."""
    stack, reached = list(ids), set[int]()
    while stack:
        i = stack.pop()
        if i not in reached:
            reached.add(i)
            stack.extend(graph.nodes[i].inputs)
    ops = [graph.nodes[i].op for i in sorted(reached)]
    return [op.label for op in ops if isinstance(op, Placeholder) and op.default is None]


def check_metrics(metrics: Any, outputs: Sequence[str]) -> None:
    """Raise DataError for what is no mapping from names to metrics."""
    if not isinstance(metrics, Mapping):
        raise DataError(
            f"metrics are a mapping from names, and this is {shown(metrics)}",
            hint='Write metrics={"accuracy": metrics.accuracy("logits", "y")}.',
        )
    for name, metric in metrics.items():
        if not isinstance(name, str):
            raise DataError(
                f"a metric is named by a text, not by {shown(name)}", hint='Write {"accuracy": ...}.'
            )
        if not all(hasattr(metric, part) for part in ("inputs", "start", "add", "result")):
            raise DataError(
                f"{name!r} is {shown(metric)}, which is no metric",
                hint='Write such as {"accuracy": symgraph.train.metrics.accuracy("logits", "y")}.',
            )
        if name in outputs:
            raise DataError(
                f"{name!r} is an output that is watched and a metric", hint="Name the metric otherwise."
            )


def about_row(
    error: ExecutionError,
    found: Source,
    values: Sequence[Any],
    epoch: int,
    place: int,
    number: int,
    what: str,
) -> str:
    """Which example an error is about, where its message names an index of what was fed; else which batch."""
    match = _PLACE.search(error.message)
    if match:
        at = (int(match[2]), *(int(i) for i in match[3].split(", ") if i))
        for name, value in zip(found.names, values, strict=True):
            array = np.asarray(value)
            if array.dtype.kind in "iu" and _holds(array, at, int(match[1])):
                example = found.row(epoch, place, at[0])
                where = f"example {example} of {what}, " if example is not None else ""
                return f"it is {name!r} of {where}row {at[0]} of batch {number}"
    return f"it happened on batch {number} of {what}"


def _holds(array: Array, at: tuple[int, ...], value: int) -> bool:
    if array.ndim < len(at):
        return False
    inside = all(i < size for i, size in zip(at, array.shape, strict=False))
    return inside and bool(np.any(array[at] == value))


def weighted_mean(values: Sequence[float], counts: Sequence[int]) -> float:
    """The mean of batches' means, each with its number of examples.

    >>> weighted_mean([1.0, 4.0], [2, 1])
    2.0
    """
    parts = [value * count for value, count in zip(values, counts, strict=True)]
    try:
        total = math.fsum(parts)
    except (
        OverflowError,
        ValueError,
    ):  # too large, or infinities of both signs: what IEEE 754 says of such sums
        total = sum(parts)
    return total / max(sum(counts), 1)


def folded(
    measured: Measure, what: str, stopped: Callable[[], bool] = lambda: False
) -> dict[str, Any] | None:
    """The means of the outputs and the metrics over all batches; None if it was `stopped` on the way."""
    found, states = measured.source, measured.start()
    columns: list[list[float]] = [[] for _ in measured.outputs]
    counts: list[int] = []
    extras = measured.extras
    for number, (values, place) in enumerate(found.epoch(0, 0), 1):
        try:
            results = measured.step(*values, *extras)
        except ExecutionError as error:
            error.details = (*error.details, about_row(error, found, values, 0, place, number, what))
            raise
        for column, result in zip(columns, results, strict=False):
            column.append(float(result))
        counts.append(len(values[found.lead]))
        if measured.metrics:
            states = measured.add(states, values, results)
        if stopped():
            return None
    means = {
        name: weighted_mean(column, counts) for name, column in zip(measured.outputs, columns, strict=True)
    }
    return {**means, **measured.results(states)}


def evaluate(
    session: Session,
    data: Any,
    *,
    metrics: Mapping[str, Metric] | None = None,
    outputs: Outputs = "loss",
    batch_size: int = 256,
    map: Map | None = None,
    feeds: Mapping[str, Any] | None = None,
    check_data: bool = True,
) -> dict[str, Any]:
    """The means of scalar outputs over the examples of `data`, and metrics; no variable changes.

    `data`, `map` and `feeds` are those of `fit`. `outputs` names the scalars, none by `()`; a batch's value is
    weighted by its number of examples, so that a last batch that is smaller counts as much as it holds. `metrics`
    maps names to `symgraph.train.metrics`. Where the graph has an output `evaluation/NAME`, it stands for NAME, as
    `symgraph.nn.with_evaluation` makes them for networks that behave otherwise in training. Raises DataError,
    FeedError, GraphError, and what a run raises.

    >>> from symgraph import ops
    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> x = placeholder("x", ("batch",))
    >>> session = Session(define(loss=ops.mean(x * x)), backend="numpy")
    >>> evaluate(session, {"x": np.array([1, 2, 3], np.float32)}, batch_size=2)
    {'loss': 4.666666666666667}
    """
    require_session(session, "evaluate")
    cutting = Cutting(batch_size, clip=True, check=bool(check_data))
    found = source(session.graph, data, cutting, map, 1, "the data")
    folds = {} if metrics is None else metrics
    stands_for = evaluated(session.graph)
    measured = measure(session, found, outputs, folds, feeds or {}, None, "the data", stands_for)
    made = folded(measured, "the data")
    assert made is not None
    return made


def predict(
    session: Session,
    output: Any,
    data: Any,
    *,
    batch_size: int = 256,
    map: Map | None = None,
    feeds: Mapping[str, Any] | None = None,
) -> Any:
    """The outputs on all examples of `data`: arrays with a row for each, of the nesting of `output`.

    `output` is a name, or any nesting of what a session fetches; `data`, `map` and `feeds` are those of `fit`, and an
    array alone is that of the one placeholder that is needed. As in `evaluate` an output `evaluation/NAME` stands for
    NAME. Raises DataError, FeedError, GraphError, and what a run raises.

    >>> from symgraph.define import define
    >>> from symgraph.expr import placeholder
    >>> session = Session(define(y=placeholder("x", ("batch", 2)) * 2.0), backend="numpy")
    >>> predict(session, "y", np.array([[1, 2], [3, 4], [5, 6]], np.float32), batch_size=2).tolist()
    [[2.0, 4.0], [6.0, 8.0], [10.0, 12.0]]
    """
    require_session(session, "predict")
    leaves, nest = flatten(output)
    stands_for = evaluated(session.graph)
    leaves = tuple(stands_for.get(leaf, leaf) if isinstance(leaf, str) else leaf for leaf in leaves)
    given = dict(feeds or {})
    ids = tuple(session._fetched(leaf) for leaf in leaves)
    if isinstance(data, np.ndarray) and map is None:
        data = {_only(session, ids, given): data}
    cutting = Cutting(batch_size, clip=True, check=False)
    found = source(session.graph, data, cutting, map, 1, "the data")
    check_names(session.graph, tuple(given), "feeds")
    check_missing(session.graph, needed(session.graph, ids), (*found.names, *given), "the data")
    step = session.prepare(leaves, (*found.names, *given))
    extras = tuple(value(1) if callable(value) else value for value in given.values())
    _check_batches(step, found, extras)
    parts: list[list[Array]] = [[] for _ in leaves]
    for number, (values, place) in enumerate(found.epoch(0, 0), 1):
        try:
            results = step(*values, *extras)
        except ExecutionError as error:
            error.details = (*error.details, about_row(error, found, values, 0, place, number, "the data"))
            raise
        count = len(values[found.lead])
        for column, result, leaf in zip(parts, results, leaves, strict=True):
            if np.ndim(result) == 0 or len(result) != count:
                raise DataError(
                    f"{leaf!r} has the shape {np.shape(result)} on {count} examples: it has no row for each",
                    hint="Predict an output with a row for each example; for a mean over them write evaluate.",
                )
            column.append(result)
    return nest([np.concatenate(column) for column in parts])


def _only(session: Session, ids: Sequence[int], feeds: Mapping[str, Any]) -> str:
    """The one placeholder that these nodes need."""
    names = [name for name in needed(session.graph, ids) if name not in feeds]
    if len(names) != 1:
        listed = ", ".join(map(repr, names)) or "none"
        raise DataError(
            f"an array is the value of one placeholder, and what is predicted needs {listed}",
            hint="Give arrays by the names of placeholders: {...}.",
        )
    return names[0]


def require_session(session: Any, what: str) -> None:
    """Raise GraphError for what is no session."""
    if not isinstance(session, Session):
        raise GraphError(
            f"{what} takes a session, and this is {shown(session)}",
            hint=f"Write with symgraph.Session(graph) as session: symgraph.train.{what}(session, data).",
        )
