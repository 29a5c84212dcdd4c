"""Data as batches of what a graph is fed: arrays by the names of placeholders, epoch by epoch.

source : data -> Source;    Source.epoch : number of the epoch -> place in it -> batches
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias
from zlib import crc32

import attrs
import numpy as np

from symgraph.compile import feed_array
from symgraph.data.batches import permutation, prefetched
from symgraph.data.datasets import Dataset
from symgraph.errors import DataError, FeedError, SymgraphError
from symgraph.ir import Array, Graph
from symgraph.values import shown

Feeds: TypeAlias = tuple[Any, ...]  # the values that are fed, in the order of `Source.names`
Map: TypeAlias = Callable[[Any], Any]
_CHUNK = 1 << 20  # numbers that are looked at in one go
_SAMPLED = 64  # rows by which data is known again


@attrs.frozen(eq=False)
class Source:
    """Batches, epoch by epoch.

    `epoch(number, place)` gives the batches of an epoch from `place` on, each with the place after it; a place is
    the number of examples that were taken, for a stream that of batches. `names` are the placeholders that a batch
    feeds, `first` the first batch, `last` a smaller one at the end where there is one; `lead` is the place of the
    array whose length is the number of examples. `examples` and `steps` are those of an epoch, None where a stream
    does not say. `identity` tells data apart, `row(epoch, place, number)` which example is in a row of a batch.
    """

    names: tuple[str, ...]
    first: Feeds
    last: Feeds | None
    epoch: Callable[[int, int], Iterator[tuple[Feeds, int]]]
    lead: int
    examples: int | None
    steps: int | None
    identity: str
    row: Callable[[int, int, int], int | None]


@attrs.frozen
class Cutting:
    """How data becomes batches."""

    size: int
    shuffle: bool = False
    seed: int = 0
    drop_last: bool = False
    prefetch: int = 0
    clip: bool = False  # whether a size above the number of examples stands for that number
    check: bool = True  # whether arrays are looked through for what is not finite


def source(graph: Graph, data: Any, cutting: Cutting, map: Map | None, epochs: int, what: str) -> Source:
    """The batches of `data`, which `what` names in messages; raises DataError, FeedError for what cannot be fed."""
    if isinstance(data, Dataset):
        raise DataError(
            f"{what} is a data set of two parts", hint="Pass one of them: data.train, or data.test."
        )
    columns = _columns(data, graph, what, map)
    if columns is not None:
        return _of_arrays(graph, data, columns, cutting, map, what)
    if callable(data) or (isinstance(data, Iterable) and not isinstance(data, tuple | str | np.ndarray)):
        return _of_stream(graph, data, cutting, map, epochs, what)
    raise DataError(
        f"{what} is {shown(data)}",
        hint='Give arrays by the names of placeholders: {"x": x, "y": y}; or Examples(x, y), or an iterable of such '
        "batches.",
    )


def _fields(record: Any) -> tuple[str, ...] | None:
    """The names of the parts of a record, None where it is none."""
    if isinstance(record, Mapping):
        return tuple(record)
    if attrs.has(type(record)):
        return tuple(field.name for field in attrs.fields(type(record)) if field.init)
    return getattr(type(record), "_fields", None)


def _columns(data: Any, graph: Graph, what: str, map: Map | None) -> dict[str, Array] | None:
    names = _fields(data)
    if names is None:
        return None
    if not names:
        raise DataError(f"{what} is empty: it names no array", hint='Write {"x": x, "y": y}.')
    get = data.__getitem__ if isinstance(data, Mapping) else lambda name: getattr(data, name)
    return {name: _array(get(name), name, graph, what, map) for name in names}


def _array(value: Any, name: str, graph: Graph, what: str, map: Map | None) -> Array:
    declared = graph.placeholders.get(name) if isinstance(name, str) else None
    try:
        if map is None and declared is not None and isinstance(value, list | tuple):
            return feed_array(name, declared.type, value)
        array = np.asarray(value)
    except (ValueError, SymgraphError) as error:
        raise DataError(f"{what}: {name!r} is no array: {getattr(error, 'message', error)}") from None
    if array.ndim == 0:
        raise DataError(
            f"{what}: {name!r} has no axis of examples: it is {shown(value)}",
            hint="What is the same for all batches is fed by feeds={...}.",
        )
    return array


# Arrays.


def _of_arrays(
    graph: Graph, data: Any, columns: Mapping[str, Array], cutting: Cutting, map: Map | None, what: str
) -> Source:
    examples = _length(columns, what)
    size = batch_size(cutting.size, examples, what, cutting.clip)
    if cutting.check:
        check_finite(columns, what)
    names, arrays = tuple(columns), tuple(columns.values())

    def rebuilt(parts: Sequence[Array]) -> Any:
        if type(data) is dict or isinstance(data, Mapping):
            return dict(zip(names, parts, strict=True))
        if attrs.has(type(data)):
            aliases = [field.alias for field in attrs.fields(type(data)) if field.init]
            return type(data)(**dict(zip(aliases, parts, strict=True)))
        return type(data)(*parts)

    def order(epoch: int) -> Array | None:
        return permutation(examples, seed=cutting.seed, epoch=epoch) if cutting.shuffle else None

    def cut(epoch: int, place: int) -> Iterator[tuple[Sequence[Array], int]]:
        rows = order(epoch)
        last = examples - size if cutting.drop_last else examples - 1
        for start in range(place, last + 1, size):
            stop = min(start + size, examples)
            if rows is None:
                yield [_view(array, start, stop) for array in arrays], stop
            else:
                taken = rows[start:stop]
                yield [array.take(taken, axis=0) for array in arrays], stop

    fed: tuple[str, ...] = names
    feeds_of: Callable[[Sequence[Array]], Feeds] = tuple
    if map is not None:
        fed, extract = _reader(_mapped(map, rebuilt(next(cut(0, 0))[0]), what), what)
        prepare = map
        feeds_of = lambda parts: extract(prepare(rebuilt(parts)))  # noqa: E731  one of two

    def batches(epoch: int, place: int) -> Iterator[tuple[Feeds, int]]:
        for parts, stop in cut(epoch, place):
            yield _with_examples(feeds_of(parts), lead, -(-stop // size), what), stop

    def row(epoch: int, stop: int, number: int) -> int | None:
        if map is not None:  # who knows what became of the rows
            return None
        begin = stop - ((stop - 1) % size + 1)
        rows = order(epoch)
        return int(begin + number if rows is None else rows[begin + number])

    check_names(graph, fed, what)
    made = feeds_of(next(cut(0, 0))[0])
    lead = _lead(graph, fed, made, what)
    left = 0 if cutting.drop_last else examples % size
    return Source(
        names=fed,
        first=made,
        last=next(batches(0, examples - left))[0] if left else None,
        epoch=_ahead(batches, cutting.prefetch),
        lead=lead,
        examples=examples // size * size if cutting.drop_last else examples,
        steps=examples // size if cutting.drop_last else -(-examples // size),
        identity=_digest(columns) + ("" if map is None else f"; fed as {_made(fed, made, lead, size)}"),
        row=row,
    )


def _view(array: Array, start: int, stop: int) -> Array:
    view = array[start:stop]
    view.flags.writeable = False  # of the view alone: a batch changed in place must not change the data
    return view


def _length(columns: Mapping[str, Array], what: str) -> int:
    lengths = {name: len(array) for name, array in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise DataError(
            f"{what}: the arrays have different lengths: {listed}",
            hint="Give one row for each example in all of them.",
        )
    examples = next(iter(lengths.values()))
    if not examples:
        raise DataError(f"{what} is empty: its arrays have no rows", hint="Give at least one example.")
    return examples


def batch_size(value: Any, examples: int | None, what: str, clip: bool) -> int:
    """The size of a batch; raises DataError for what is none, and for one above the number of examples.

    >>> batch_size(32, 100, "train", False), batch_size(256, 100, "data", True)
    (32, 100)
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise DataError(
            f"batch_size is a whole number from 1, not {shown(value)}", hint="Write batch_size=32."
        )
    if examples is None or value <= examples:
        return int(value)
    if clip:
        return examples
    raise DataError(
        f"batch_size is {value}, and {what} has {examples} examples",
        hint=f"Write batch_size={examples} for all of them at once, or a smaller one.",
    )


def _digest(columns: Mapping[str, Array]) -> str:
    """A short text by which the same data is known again: shapes, dtypes, and a checksum of some rows."""
    told = []
    for name, array in columns.items():
        rows = np.unique(np.linspace(0, len(array) - 1, _SAMPLED).astype(np.int64))
        sample = np.ascontiguousarray(array[rows])
        checksum = crc32(sample.tobytes()) if sample.dtype.kind in "biuf" else 0
        told.append(f"{name}: {array.dtype.name}{list(array.shape)} {checksum:08x}")
    return "; ".join(told)


def _made(names: Sequence[str], batch: Feeds, lead: int, size: int) -> str:
    """What `map` makes of a batch of that size: a run is not gone on with where it makes something else."""
    arrays = zip(names, map(np.asarray, batch), strict=True)
    rows = "" if len(batch[lead]) == size else f", {len(batch[lead])} rows of {size}"
    return ", ".join(f"{name}: {array.dtype.name}{list(array.shape[1:])}" for name, array in arrays) + rows


def check_finite(columns: Mapping[str, Array], what: str) -> None:
    """Raise DataError for NaN and infinity in arrays of floats, naming the first.

    >>> check_finite({"x": np.array([[1.0], [np.nan]])}, "train")
    Traceback (most recent call last):
    symgraph.errors.DataError: train: 'x' holds nan at [1, 0]...
    """
    for name, array in columns.items():
        rows = max(1, _CHUNK * len(array) // max(array.size, 1))
        for start in range(0, len(array), rows) if array.dtype.kind == "f" else ():
            part = np.isfinite(array[start : start + rows])
            if not part.all():
                first = np.argwhere(~part)[0]
                at = (start + int(first[0]), *(int(i) for i in first[1:]))
                raise DataError(
                    f"{what}: {name!r} holds {array[at]} at {list(at)}",
                    hint=f"Mend or drop such rows: keep = numpy.isfinite({name}){_axes(array)}. Where they are meant, "
                    "pass check_data=False.",
                )


def _axes(array: Array) -> str:
    return f".all(axis={tuple(range(1, array.ndim))})" if array.ndim > 1 else ""


# Streams of batches that the user makes.


def _of_stream(graph: Graph, data: Any, cutting: Cutting, map: Map | None, epochs: int, what: str) -> Source:
    begun: list[Iterator[Any]] = []
    once = not callable(data) and iter(data) is data
    if once and epochs > 1:
        raise DataError(
            f"{what} is a stream that can be read once, and there are {epochs} epochs",
            hint="Give a function of the epoch's number: lambda epoch: batches(..., seed=epoch).",
        )

    def stream(epoch: int) -> Iterator[Any]:
        made = _called(data, epoch, what) if callable(data) else data
        if not isinstance(made, Iterable):
            raise DataError(
                f"{what}, called for an epoch, gave {shown(made)}", hint="It returns an iterable of batches."
            )
        return iter(made)

    start = stream(0)
    nothing = object()
    first = next(start, nothing)
    if first is nothing:
        raise DataError(f"{what} is empty: it gave no batch", hint="Give at least one batch.")
    if once:
        begun.append(chain([first], start))
    prepared = _mapped(map, first, what)
    names, extract = _reader(prepared, what)
    check_names(graph, names, what)

    def batches(epoch: int, place: int) -> Iterator[tuple[Feeds, int]]:
        taken, number = begun.pop() if begun else stream(epoch), place
        for number, batch in enumerate(islice(taken, place, None), place + 1):
            values = extract(batch if map is None else map(batch))
            yield _with_examples(values, lead, number, what), number
        if not number:
            raise DataError(
                f"{what} gave no batch in epoch {epoch + 1}",
                hint="An iterator is read once: give a list, or a function of the epoch's number that begins anew.",
            )

    made = extract(prepared)
    lead = _lead(graph, names, made, what)
    steps = getattr(data, "per_epoch", None) if once else len(data) if hasattr(data, "__len__") else None
    return Source(
        names=names,
        first=made,
        last=None,
        epoch=_ahead(batches, cutting.prefetch),
        lead=lead,
        examples=None,
        steps=steps,
        identity=f"a stream of {', '.join(names)}",
        row=lambda epoch, stop, number: None,
    )


def _called(function: Callable[[int], Any], epoch: int, what: str) -> Any:
    """What a function of the epoch's number gives; raises DataError where it takes none."""
    try:
        signature(function).bind(epoch)
    except TypeError as error:
        raise DataError(
            f"{what} is a function that cannot be called with the epoch's number: {error}",
            hint="Write such as lambda epoch: batches(examples, 32, shuffle=True, seed=epoch).",
        ) from None
    except ValueError:  # a built-in one does not say what it takes
        pass
    return function(epoch)


def _with_examples(values: Feeds, lead: int, number: int, what: str) -> Feeds:
    """The same batch; raises DataError where it has no examples, whose mean would be NaN."""
    if np.shape(values[lead])[:1] == (0,):
        raise DataError(f"batch {number} of {what} has no examples", hint="Leave such batches out.")
    return values


def _ahead(
    batches: Callable[[int, int], Iterator[tuple[Feeds, int]]], prefetch: int
) -> Callable[[int, int], Iterator[tuple[Feeds, int]]]:
    return (lambda epoch, place: prefetched(batches(epoch, place), prefetch)) if prefetch else batches


# Batches as what is fed.


def _mapped(map: Map | None, batch: Any, what: str) -> Any:
    if map is not None and not callable(map):
        raise DataError(f"map is a function of a batch, and this is {shown(map)}", hint="Write map=prepare.")
    made = batch if map is None else map(batch)
    if _fields(made) is None:
        made_by = "what map makes of a batch" if map is not None else f"a batch of {what}"
        raise DataError(
            f"{made_by} is {shown(made)}",
            hint='A batch is a mapping from the names of placeholders to arrays, such as {"x": x, "y": y}, or a '
            "record with these names.",
        )
    return made


def _reader(batch: Any, what: str) -> tuple[tuple[str, ...], Callable[[Any], Feeds]]:
    """The names in a batch, and the function from batches like it to their arrays."""
    names = _fields(batch) or ()
    if not names:
        raise DataError(f"a batch of {what} is empty: it names no array", hint='Write {"x": x, "y": y}.')
    pick: Any = itemgetter(*names) if isinstance(batch, Mapping) else attrgetter(*names)
    single = len(names) == 1

    def extract(made: Any) -> Feeds:
        try:
            found = pick(made)
        except (KeyError, AttributeError, TypeError):
            raise DataError(
                f"a batch of {what} is {shown(made)}, and the first one had {', '.join(map(repr, names))}",
                hint="All batches have the same names.",
            ) from None
        return (found,) if single else found

    return names, extract


def check_names(graph: Graph, names: Sequence[Any], what: str) -> None:
    """Raise FeedError for a name that is no placeholder of the graph."""
    for name in names:
        if name not in graph.placeholders:
            close = get_close_matches(str(name), graph.placeholders, 1)
            listed = ", ".join(map(repr, graph.placeholders)) or "none"
            raise FeedError(
                f"{what} has {name!r}, which is no placeholder of the graph",
                hint=f"Did you mean {close[0]!r}?" if close else f"Its placeholders are {listed}.",
            )


def check_missing(graph: Graph, needed: Iterable[str], given: Sequence[str], what: str) -> None:
    """Raise FeedError for a placeholder that a run needs and that nothing feeds."""
    for name in needed:
        if name not in given:
            declared = graph.placeholders[name].type
            listed = ", ".join(map(repr, given))
            raise FeedError(
                f"the placeholder {name!r} has no value: {what} has {listed}",
                hint=f"Add {name!r}, {declared}, to the data, or to feeds={{...}} if it is the same for all batches.",
            )


def _lead(graph: Graph, names: Sequence[str], batch: Feeds, what: str) -> int:
    """The place of the array that tells how many examples a batch has: the first with a named first axis."""
    found = [k for k, value in enumerate(batch) if np.ndim(value)]
    if not found:
        raise DataError(
            f"a batch of {what} has no axis of examples", hint="Give arrays with a row for each example."
        )
    shapes: list[Any] = [graph.placeholders[name].type.shape for name in names]
    return next((k for k in found if shapes[k] and not isinstance(shapes[k][0], int)), found[0])
