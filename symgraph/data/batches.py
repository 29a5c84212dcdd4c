"""Batches of examples: shuffled by a seed, repeated, mapped, prefetched, and resumed where they were left.

    batches : Data, size, ... -> stream of Data (or of what `map` makes of it)

The order of an epoch is a pure function of (seed, epoch), so a position of two numbers is all it takes to
go on exactly where a stream was left.
"""

import contextvars
from collections.abc import Callable, Generator, Iterator
from operator import index
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import Any, Generic, Self, TypeVar, overload

import attrs
import numpy as np
from numpy.typing import NDArray
from toolz import identity

from symgraph.errors import DataError
from symgraph.values import shown

Data = TypeVar("Data")
Batch = TypeVar("Batch")
Array = NDArray[Any]

_SUCH_AS = {"batches: size": 32, "batches: prefetch": 2, "batches: epochs": 10}


def _whole(name: str, value: Any, least: int = 0) -> int:
    try:
        number = least - 1 if isinstance(value, bool | np.bool_) else index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise DataError(
            f"{name} is a whole number from {least}, not {shown(value)}.",
            hint=f"Write such as {name.rpartition(' ')[2]}={_SUCH_AS.get(name, least)}.",
        )
    return number


def _epoch(value: Any) -> int:
    return _whole("Position: epoch", value)


def _index(value: Any) -> int:
    return _whole("Position: index", value)


@attrs.frozen(order=True)
class Position:
    """How far a stream of batches was read: `index` examples of epoch `epoch`, both counted from 0.

    `attrs.asdict(position)` is plain JSON and `Position(**fields)` reads it back. Raises `DataError` where
    a number is not a whole number from 0.

    >>> import json
    >>> json.dumps(attrs.asdict(Position(epoch=2, index=1280)))
    '{"epoch": 2, "index": 1280}'
    """

    epoch: int = attrs.field(default=0, converter=_epoch)
    index: int = attrs.field(default=0, converter=_index)


@attrs.frozen
class _Plan:
    """Which examples come when, as numbers alone."""

    examples: int
    size: int
    shuffle: bool
    seed: int
    drop_last: bool
    epochs: int | None


class Batches(Generic[Batch]):
    """A stream of batches, read once from front to back; `batches` makes it.

    `position` says how far the consumer has come, whatever was fetched ahead; `per_epoch` how many batches
    an epoch has. `close()`, the end of a `with` block, or dropping the stream stops its thread. A `for` over
    a stream that was read to its end or closed is a `DataError`, not an empty loop.
    """

    def __init__(
        self, stream: Generator[tuple[Batch, Position], None, None], start: Position, per_epoch: int
    ) -> None:
        self._stream = stream
        self._position = start
        self._read = False
        self.per_epoch = per_epoch

    def __repr__(self) -> str:
        epoch, index = self._position.epoch, self._position.index
        about = "all read" if self._read else f"at example {index} of epoch {epoch}"
        return f"<Batches, {self.per_epoch} an epoch, {about}>"

    @property
    def position(self) -> Position:
        """Where `batches(..., start=position)` goes on with the batch after the last one taken."""
        return self._position

    def __iter__(self) -> Self:
        if self._read:
            raise DataError(
                "these batches have been read: make them anew, or ask for epochs=N",
                hint="Write `for batch in batches(data, size)` in each epoch, or batches(..., epochs=10) once.",
            )
        return self

    def __next__(self) -> Batch:
        try:
            batch, self._position = next(self._stream)
        except BaseException:  # its end or a failure: nothing more will come
            self._read = True
            raise
        return batch

    def close(self) -> None:
        """Stop the stream and its thread; the position stays readable."""
        self._read = True
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@overload
def batches(
    data: Data,
    size: int,
    *,
    shuffle: bool = ...,
    seed: int = ...,
    drop_last: bool = ...,
    epochs: int | None = ...,
    map: None = ...,
    prefetch: int = ...,
    start: Position | None = ...,
) -> Batches[Data]: ...


@overload
def batches(
    data: Data,
    size: int,
    *,
    shuffle: bool = ...,
    seed: int = ...,
    drop_last: bool = ...,
    epochs: int | None = ...,
    map: Callable[[Data], Batch],
    prefetch: int = ...,
    start: Position | None = ...,
) -> Batches[Batch]: ...


def batches(
    data: Any,
    size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_last: bool = False,
    epochs: int | None = 1,
    map: Callable[[Any], Any] | None = None,
    prefetch: int = 0,
    start: Position | None = None,
) -> Batches[Any]:
    """Cut `data` into batches of `size` examples along the first axis, epoch after epoch.

    `data` is an array, or an attrs record, a tuple, a list or a dict of arrays of one length, such as
    `Examples`; each batch has the same form. The arrays are read, never copied whole or changed: a batch is
    a read-only view of them, or with `shuffle` a fresh array.

    `shuffle` takes the examples in another order each epoch, which `seed` and the number of the epoch
    decide, on every machine alike. `drop_last` leaves out what does not fill a batch at the end of an epoch;
    without it the last batch is shorter, and so is the only one where there are fewer than `size` examples.
    `epochs` is how many times the data is gone through, None for ever; it counts from the very beginning,
    also when the stream goes on from `start`. `map` is called on each batch, and its results are given
    out. With `prefetch=n` a thread keeps up to n batches ready; what fails there is raised when its turn
    comes. `start` is the `position` of an earlier stream with the same data, seed and shuffle: what follows
    are the batches that it had not yet given out.

    Returns a `Batches`, to be read once. Raises `DataError` where an argument is out of range, the data is
    empty or its lengths differ, or `drop_last` would leave nothing.

    >>> images, labels = np.zeros((5, 28, 28)), np.arange(5)
    >>> [batch["y"].tolist() for batch in batches({"x": images, "y": labels}, 2)]
    [[0, 1], [2, 3], [4]]

    Shuffled, and gone on with after a break:

    >>> stream = batches(labels, 2, shuffle=True, seed=7, drop_last=True, epochs=2)
    >>> next(stream), next(stream), next(stream)
    (array([1, 2]), array([4, 0]), array([1, 4]))
    >>> stream.position
    Position(epoch=1, index=2)
    >>> again = batches(labels, 2, shuffle=True, seed=7, drop_last=True, epochs=2, start=stream.position)
    >>> [a.tolist() for a in again] == [a.tolist() for a in stream]
    True
    """
    if _is_data(size):
        raise DataError(
            "batches: the second argument is the size of a batch, and arrays came.",
            hint="Give the arrays as one: batches((X, Y), size=...).",
        )
    parts, rebuild = _parts(data)
    examples = _length(parts)
    plan = _Plan(
        examples,
        size=_whole("batches: size", size, 1),
        shuffle=bool(shuffle),
        seed=_whole("batches: seed", seed),
        drop_last=bool(drop_last),
        epochs=None if epochs is None else _whole("batches: epochs", epochs),
    )
    if plan.drop_last and plan.size > examples:
        raise DataError(
            f"batches: no batch of {plan.size} can be filled from {examples} examples.",
            hint="Take a smaller size, or leave drop_last=True out.",
        )
    ahead = _whole("batches: prefetch", prefetch)
    begin = _checked_start(start, examples)
    stream = _stream(plan, begin, parts, rebuild, map or identity)
    per_epoch = examples // plan.size if plan.drop_last else -(-examples // plan.size)
    return Batches(prefetched(stream, ahead) if ahead else stream, begin, per_epoch)


def permutation(count: int, *, seed: int, epoch: int = 0) -> NDArray[np.intp]:
    """The order of the numbers below `count` in that epoch: int64 (count,).

    A function of its arguments alone: it sorts the numbers by random keys. The keys are a bit generator's
    raw output, which NumPy promises never to change (NEP 19), so the order is the same on every machine
    and in every release.

    >>> permutation(6, seed=0).tolist(), permutation(6, seed=0, epoch=1).tolist()
    ([3, 1, 4, 5, 2, 0], [1, 3, 2, 0, 5, 4])
    """
    generator = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return np.argsort(generator.random_raw(count), kind="stable")


def _stream(
    plan: _Plan,
    start: Position,
    parts: tuple[Array, ...],
    rebuild: Callable[[tuple[Array, ...]], Any],
    map: Callable[[Any], Any],
) -> Generator[tuple[Any, Position], None, None]:
    for rows, after in _rows(plan, start):
        yield map(rebuild(tuple(_taken(part, rows) for part in parts))), after


def _rows(plan: _Plan, start: Position) -> Iterator[tuple[slice | Array, Position]]:
    """The rows of each batch from `start` on, and the position after it."""
    epoch, begin = start.epoch, start.index
    while plan.epochs is None or epoch < plan.epochs:
        order = permutation(plan.examples, seed=plan.seed, epoch=epoch) if plan.shuffle else None
        for stop in _stops(plan, begin):
            last = plan.examples - stop < (plan.size if plan.drop_last else 1)
            rows = slice(begin, stop) if order is None else order[begin:stop]
            yield rows, Position(epoch + 1, 0) if last else Position(epoch, stop)
            begin = stop
        epoch, begin = epoch + 1, 0


def _stops(plan: _Plan, begin: int) -> Iterator[int]:
    """Where each batch of an epoch ends, the first starting at `begin`."""
    yield from range(begin + plan.size, plan.examples + 1, plan.size)
    if (plan.examples - begin) % plan.size and not plan.drop_last:
        yield plan.examples


def _taken(part: Array, rows: slice | Array) -> Array:
    if not isinstance(rows, slice):
        return part.take(rows, axis=0)
    view = part[rows]
    view.flags.writeable = False  # of the view alone: a batch changed in place must not change the data
    return view


# What data may be: one array, or a record of arrays.


def _parts(data: Any) -> tuple[tuple[Array, ...], Callable[[tuple[Array, ...]], Any]]:
    """The arrays in `data`, and the way to put others in their place."""
    if attrs.has(type(data)):
        fields = [field for field in attrs.fields(type(data)) if field.init]
        arrays = tuple(_array(getattr(data, field.name), field.name) for field in fields)
        names = [field.alias for field in fields]
        return arrays, lambda parts: type(data)(**dict(zip(names, parts, strict=True)))
    if isinstance(data, dict):
        keys = tuple(data)
        return tuple(_array(data[key], repr(key)) for key in keys), lambda parts: dict(
            zip(keys, parts, strict=True)
        )
    if isinstance(data, tuple | list):
        make = getattr(type(data), "_make", type(data))  # a named tuple takes its fields one by one
        return tuple(_array(part, f"part {i}") for i, part in enumerate(data)), make
    return (_array(data, "data"),), lambda parts: parts[0]


def _is_data(value: Any) -> bool:
    record = isinstance(value, tuple | list | dict) or attrs.has(type(value))
    return record or getattr(value, "shape", ()) != ()


def _array(value: Any, name: str) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"batches: {name} is no array: {error}.") from error
    if array.ndim == 0:
        raise DataError(
            f"batches: {name} has no first axis to cut into batches; it is {value!r}.",
            hint="Give an array, or a record, tuple, list or dict of arrays; of a Dataset its train or test.",
        )
    return array


def _length(parts: tuple[Array, ...]) -> int:
    lengths = {len(part) for part in parts}
    if len(lengths) > 1:
        raise DataError(
            f"batches: the arrays have different lengths: {', '.join(str(len(part)) for part in parts)}.",
            hint="Give arrays whose first axes agree: one row for each example.",
        )
    if lengths <= {0}:
        raise DataError("batches: there are no examples.", hint="Give at least one row.")
    return lengths.pop()


def _checked_start(start: Position | None, examples: int) -> Position:
    if start is None:
        return Position()
    if not isinstance(start, Position):
        raise DataError(
            f"batches: start is a Position, not {start!r}.",
            hint="Write start=Position(epoch, index), or pass the position of a stream.",
        )
    if start.index > examples:
        raise DataError(
            f"batches: start is at example {start.index} of an epoch, and there are {examples} examples.",
            hint="Pass a position that a stream over the same data gave.",
        )
    return start


# Fetching ahead. The thread holds no reference to the consumer, so dropping the stream ends both.


@attrs.frozen
class _End:
    """The last thing in a queue: the stream ended, or failed with `error`."""

    error: BaseException | None = None


def prefetched(source: Iterator[Batch], ahead: int) -> Generator[Batch, None, None]:
    """The same items, up to `ahead` of them made early on a thread that lives as long as the iterator."""
    slots, ready, stop = Semaphore(ahead), SimpleQueue[Any](), Event()
    # In a copy of the caller's context, so that np.errstate and the like hold for `map` as without a thread.
    context = contextvars.copy_context()
    thread = Thread(
        target=context.run, args=(_fill, source, slots, ready, stop), name="symgraph-prefetch", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            slots.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        slots.release()
        if thread is not current_thread():  # a garbage collection may run anywhere
            thread.join()


def _fill(source: Iterator[Any], slots: Semaphore, ready: SimpleQueue[Any], stop: Event) -> None:
    try:
        while slots.acquire() and not stop.is_set():
            ready.put(next(source))
    except StopIteration:
        ready.put(_End())
    except BaseException as error:  # whatever it is, it belongs to the consumer
        ready.put(_End(error))
