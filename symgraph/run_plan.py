"""Plans: what is worked out once for a kind of run; a run then checks its feeds and calls a program.

make_plan : Graph -> fetched ids, fed ids, update groups -> Plan
finisher  : Plan -> fetched ids -> (outputs of the program -> nested values)
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import numpy as np

from symgraph.compile import Bound, Executable, bind_shape, compile, feed_array
from symgraph.errors import CompileError, FeedError
from symgraph.fetches import Target, cut, spelled
from symgraph.ir import Array, Graph, Node, Placeholder, Variable
from symgraph.lowering.program import Options
from symgraph.origin import relative, visible
from symgraph.types import DType, TensorType, dimension_names
from symgraph.values import shown

if TYPE_CHECKING:
    from symgraph.watch import Watch

Debug: TypeAlias = bool | Literal["nan"]  # whether a run stops at what is not finite, or at NaN alone
# Fetched ids in order, fed ids in ascending order, names of update groups in order.
Key: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]
_KEPT = 16  # shapes of feeds whose programs a plan keeps at hand
_FLOAT_LIMIT = float(np.finfo(np.float32).max)


@attrs.frozen
class Feed:
    """A fed node as a plan knows it: the name for messages, and what it was declared as."""

    name: str
    type: TensorType
    dtype: DType
    scalar: bool
    declared: str  # its name, type, and the line that declares it


@attrs.frozen(eq=False)
class Plan:
    """What is worked out once for a kind of run, its `key`: fetched nodes, fed nodes (in the order of ids), updates.

    `template` has a place for each input of the program, filled with the defaults; `feed_slots` and
    `variable_slots` say which feed or variable (by its number in the session) goes to which place; `changed` are
    the numbers of the variables that the program updates, None for all in order. With a `watch` the programs are
    looked at while they run.
    """

    key: Key
    executable: Executable
    feeds: tuple[Feed, ...]
    template: tuple[Array | None, ...]
    feed_slots: tuple[tuple[int, int], ...]
    variable_slots: tuple[tuple[int, int], ...]
    variables: int
    updates: bool
    changed: tuple[int, ...] | None
    watch: "Watch | None"
    bounds: dict[tuple[tuple[int, ...], ...], Bound] = attrs.field(factory=dict, init=False)
    last: list[Bound] = attrs.field(
        factory=list, init=False
    )  # of the last call, if it looks at arrays itself
    count: int = attrs.field(init=False)
    # The program's inputs in order, from the values of all variables and the feeds.
    inputs: Callable[[tuple[Array, ...], Sequence[Any]], Sequence[Any]] = attrs.field(init=False)
    of_changed: Callable[[Any], Any] = attrs.field(init=False)  # what is updated, of all variables

    @count.default
    def _count(self) -> int:
        return len(self.feeds)

    @inputs.default
    def _arrange(self) -> Callable[[tuple[Array, ...], Sequence[Any]], Sequence[Any]]:
        given = tuple(array for array in self.template if array is not None)
        defaults = [slot for slot, array in enumerate(self.template) if array is not None]
        first = len(self.feeds)
        places = {
            **{slot: first + self.variables + k for k, slot in enumerate(defaults)},
            **{slot: first + k for slot, k in self.variable_slots},
            **dict(self.feed_slots),  # what is fed goes before its default
        }
        order = [places[slot] for slot in range(len(self.template))]
        if order == list(range(first)):
            return lambda values, feeds: feeds
        pick = _picker(order)
        return lambda values, feeds: pick((*feeds, *values, *given))

    @of_changed.default
    def _picked(self) -> Callable[[Any], Any]:
        return _picker(self.changed or ())

    def bind(self, values: Sequence[Any]) -> tuple[Bound, list[Array]]:
        """The fed values as arrays, and the program for their shapes.

        Shapes that were met before are not checked again: what a shape binds does not change.
        """
        arrays: list[Array] = []
        shapes: list[tuple[int, ...]] = []
        for value, feed in zip(values, self.feeds):  # noqa: B905  equal lengths; strict takes longer
            if type(value) is not np.ndarray or value.dtype is not feed.dtype or not value.flags.c_contiguous:
                value = _array(feed, value)
            arrays.append(value)
            shapes.append(value.shape)
        found = self.bounds.get(tuple(shapes))
        return (found if found is not None else self._bound(tuple(shapes))), arrays

    def _bound(self, shapes: tuple[tuple[int, ...], ...]) -> Bound:
        sizes = self.sizes(shapes)
        try:
            made = (self.watch or self.executable).bound(sizes)
        except FeedError as error:  # the graph does not fit these sizes
            binding = (feed.declared for feed in self.feeds if any(map(dimension_names, feed.type.shape)))
            error.details = (*error.details, *binding)
            raise
        if len(self.bounds) >= _KEPT:
            self.bounds.clear()
        self.bounds[shapes] = made
        return made

    def sizes(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
        """What the shapes of the fed values bind the named sizes to; raises FeedError."""
        sizes: dict[str, int] = {}
        bound_by: dict[str, str] = {}
        for _ in range(2):  # the second time all names are known, and what came before them is checked
            for feed, shape in zip(self.feeds, shapes, strict=True):
                try:
                    bind_shape(feed.name, feed.type, shape, sizes, bound_by)
                except FeedError as error:
                    error.details = (*error.details, *self._declared(feed, bound_by))
                    raise
        graph = self.executable.graph if self.watch is None else self.watch.shown.graph
        unbound = sorted(graph.names - sizes.keys())
        if unbound:
            raise FeedError(
                f"no feed binds the size {unbound[0]!r}",
                hint="Feed a placeholder that has it as an axis, needed or not.",
            )
        return sizes

    def _declared(self, feed: Feed, bound_by: Mapping[str, str]) -> list[str]:
        """Where a feed was declared, and those that bound its sizes before."""
        used = {name for size in feed.type.shape for name in dimension_names(size)}
        others = {bound_by[name] for name in used & bound_by.keys()}
        return [other.declared for other in self.feeds if other is feed or other.name in others]


def _array(feed: Feed, value: Any) -> Array:
    if (
        feed.scalar
        and type(value) is float
        and feed.dtype.kind == "f"
        and -_FLOAT_LIMIT < value < _FLOAT_LIMIT
    ):
        return np.array(value, feed.dtype)
    try:
        return feed_array(feed.name, feed.type, value)
    except FeedError as error:
        error.details = (*error.details, feed.declared)
        raise


def _picker(places: Sequence[int]) -> Callable[[Any], Any]:
    """The function from a tuple to the tuple of some of its items."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda items: tuple(items[place] for place in places)


def finisher(
    fetched: Sequence[int], unique: Sequence[int], nest: Callable[[Sequence[Any]], Any], single: bool
) -> Callable[[Sequence[Any]], Any]:
    """The function from a program's outputs to the nested result."""
    if single:
        return itemgetter(0)
    places = [unique.index(i) for i in fetched]
    # A node that was fetched twice is given out twice, as two arrays.
    again = [place in places[:k] for k, place in enumerate(places)]

    def finish(outputs: Sequence[Any]) -> Any:
        return nest(
            [
                outputs[place].copy() if repeat else outputs[place]
                for place, repeat in zip(places, again, strict=True)
            ]
        )

    return finish


@attrs.frozen
class Watching:
    """How runs are watched: `infinite` whether infinities count, `meant` the variables that may hold them."""

    infinite: bool
    meant: frozenset[str]


def check_debug(debug: Any) -> None:
    """Raise CompileError for what `debug` cannot be."""
    if not (isinstance(debug, bool) or (isinstance(debug, str) and debug == "nan")):
        raise CompileError(
            f"debug is True, False or 'nan', and this is {shown(debug)}",
            hint='Write debug=True to stop at the first value that is not finite, debug="nan" at the first NaN.',
        )


def watching(debug: Debug, first: Mapping[str, Array]) -> Watching:
    """How a session with these first values of its variables watches its runs."""
    infinite = frozenset(n for n, v in first.items() if v.dtype.kind == "f" and bool(np.isinf(v).any()))
    return Watching(debug is True, infinite)


def make_plan(
    graph: Graph,
    key: Key,
    fed: Mapping[int, Target],
    backend: str,
    options: Options,
    watching: Watching | None = None,
) -> Plan:
    """Cut the graph down to what a run needs and compile it; raises FeedError for a placeholder not fed."""
    fetched, ordered, groups = key
    declared, labels = cut(graph, fetched, ordered, groups)
    given = set(labels.values())
    for label, node in declared.placeholders.items():
        if label not in given and node.op.default is None:  # type: ignore[attr-defined]
            raise FeedError(
                f"the placeholder {label!r} has no value",
                hint=f"Feed {label!r} an array of type {node.type}.",
            )
    executable = compile(declared, backend=backend, numerics=options.numerics, threads=options.threads)
    watch = None
    if watching is not None:
        from symgraph.watch import instrumented  # who does not debug need not wait for it

        spellings = {label: spelled(fed[i], graph.nodes[i]) for i, label in labels.items()}
        watch = instrumented(graph, executable, watching, spellings)
    program = executable.graph if watch is None else watch.shown.graph
    leaves = [n.op for n in program.nodes if isinstance(n.op, Placeholder | Variable)]
    index = {labels[i]: k for k, i in enumerate(ordered)}
    places = {name: k for k, name in enumerate(graph.variables)}
    changed = tuple(places[name] for _, pairs in program.updates for name, _ in pairs)
    return Plan(
        key=key,
        executable=executable,
        feeds=tuple(_feed(spelled(fed[i], graph.nodes[i]), graph.nodes[i]) for i in ordered),
        template=tuple(
            op.default.array if isinstance(op, Placeholder) and op.default is not None else None
            for op in leaves
        ),
        feed_slots=tuple((slot, index[op.label]) for slot, op in enumerate(leaves) if op.label in index),
        variable_slots=tuple(
            (slot, places[op.label]) for slot, op in enumerate(leaves) if isinstance(op, Variable)
        ),
        variables=len(places),
        updates=bool(changed),
        changed=None if changed == tuple(range(len(places))) else changed,
        watch=watch,
    )


def _feed(name: str, node: Node) -> Feed:
    type_: Any = node.type
    sources = node.origin.sources
    where = f"  declared at {visible(relative(sources[0].file))}:{sources[0].line}" if sources else ""
    return Feed(name, type_, type_.dtype, type_.shape == (), f"{name}  {type_}{where}")
