"""A map whose versions share their entries: what a builder's state keeps."""

from collections.abc import Hashable, Iterator, Mapping
from threading import Lock
from typing import Generic, TypeVar

import attrs

from symgraph.errors import GraphError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Shared(Generic[K, V]):
    """The storage behind versions of a PersistentMap: grows only, guarded by a lock."""

    __slots__ = ("entries", "lock")

    def __init__(self, entries: dict[K, tuple[int, V]]) -> None:
        self.entries = entries
        self.lock = Lock()


@attrs.frozen(eq=False, repr=False)
class PersistentMap(Mapping[K, V]):
    """An immutable map whose `set` of a new key is amortised O(1): versions share one append-only store.

    The newest version appends to the store; an older one that branches off copies it first.

    >>> empty = PersistentMap.empty()
    >>> one = empty.set("a", 1)
    >>> one, empty, empty.set("b", 2)
    ({'a': 1}, {}, {'b': 2})
    """

    _store: _Shared[K, V]
    _length: int

    @classmethod
    def empty(cls) -> "PersistentMap[K, V]":
        """The map without entries."""
        return cls(_Shared({}), 0)

    def __getitem__(self, key: K) -> V:
        index, value = self._store.entries[key]
        if index >= self._length:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._store.entries)[: self._length])

    def __repr__(self) -> str:
        return repr(dict(self))

    def set(self, key: K, value: V) -> "PersistentMap[K, V]":
        """The map with one more entry; raises GraphError for a key that has one, since other versions share it."""
        if key in self:
            raise GraphError(
                f"{key!r} has a value already", hint="Look whether it is there: `key in entries`."
            )
        store = self._store
        with store.lock:
            if len(store.entries) == self._length:
                store.entries[key] = (self._length, value)
                return PersistentMap(store, self._length + 1)
        copy = dict(list(store.entries.items())[: self._length])
        copy[key] = (self._length, value)
        return PersistentMap(_Shared(copy), self._length + 1)

    def __len__(self) -> int:
        return self._length


def count(entries: Mapping[tuple[K, int], V], key: K) -> int:
    """How many entries `(key, 0)`, `(key, 1)`, ... there are; found by doubling and bisection.

    >>> count({("a", 0): "x", ("a", 1): "y"}, "a"), count({}, "a")
    (2, 0)
    """
    low, high = 0, 1
    while (key, high - 1) in entries:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if (key, middle) in entries else (low, middle)
    return low
