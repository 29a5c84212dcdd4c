"""The builder: descriptions of graphs as values, threaded through a State monad.

    Build[A]  ~  BuildState -> (A, BuildState)

    pure  : A -> Build[A]
    bind  : Build[A] -> (A -> Build[B]) -> Build[B]
    run   : Build[A] -> BuildState -> (A, BuildState)

A Build is a description: it can be kept, composed, and run any number of times. `run` is a loop over explicit
continuations, so a chain of any length never overflows the stack. The state threads what would otherwise be
global: the scope path, the parameters declared so far, and the stack of operands of `steps`.
"""

import inspect
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from threading import Lock
from typing import Any, Generic, NoReturn, ParamSpec, TypeAlias, TypeVar

import attrs

from symgraph import origin as provenance
from symgraph.errors import GraphError, SymgraphError
from symgraph.expr import Expr, Operand, as_expr, variable
from symgraph.types import FLOAT32, DTypeLike, ShapeLike
from symgraph.values import encodable, shown

A = TypeVar("A")
B = TypeVar("B")
S = TypeVar("S")
P = ParamSpec("P")
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
        """The map with one more entry; `key` must be new."""
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


# A linked list, topmost operand first.
Stack: TypeAlias = tuple[Expr, "Stack"] | None


@attrs.frozen(eq=False)
class BuildState:
    """What a build threads: scope path, parameters by full name, fresh-name counters, operand stack.

    `parameters` is a mapping: `state.parameters["hidden/w"]` is the variable of that name.
    """

    path: tuple[str, ...] = ()
    parameters: PersistentMap[str, Expr] = attrs.field(factory=PersistentMap.empty)
    fresh: PersistentMap[tuple[str, int], bool] = attrs.field(factory=PersistentMap.empty)
    stack: Stack = None


class Build(Generic[A]):
    """A description of a computation that declares parts of a graph and returns an `A`.

    >>> double = parameter("w", (3,)).map(lambda w: w + w)
    >>> expr, state = run(double)
    >>> expr, [name for name, _ in state.parameters.items()]
    (<add: f32[3]>, ['w'])
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<Build: a description; take its result with `yield from`, or run it>"

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"a Build has no attribute {name!r}: it describes a tensor that is still to be declared. Take its result "
            "with `value = yield from build` in a function decorated with do, or with run_build(build)[0]."
        )

    def map(self, f: Callable[[A], B]) -> "Build[B]":
        """The build whose result is `f` of this one's."""
        return self.bind(lambda value: pure(f(value)))

    def bind(self, f: Callable[[A], "Build[B]"]) -> "Build[B]":
        """Run this build, then the build that `f` makes of its result."""
        return _Bind(self, f)

    def then(self, following: "Build[B]") -> "Build[B]":
        """Run this build, then `following`; the first result is dropped."""
        return self.bind(lambda _: following)

    def __iter__(self) -> Generator["Build[Any]", Any, A]:
        """`value = yield from build` inside a function decorated with `do`."""
        value: A = yield self
        return value


@attrs.frozen(eq=False, repr=False)
class _Pure(Build[A]):
    value: A


@attrs.frozen(eq=False, repr=False)
class _Bind(Build[B]):
    first: Build[Any]
    rest: Callable[[Any], Build[B]]


@attrs.frozen(eq=False, repr=False)
class _State(Build[A]):
    """The primitive: a function of the state."""

    step: Callable[[BuildState], tuple[A, BuildState]]


@attrs.frozen(eq=False, repr=False)
class _Scope(Build[A]):
    label: str
    body: Build[A]


@attrs.frozen(eq=False, repr=False)
class _Do(Build[A]):
    start: Callable[[], Generator[Build[Any], Any, A]]


def pure(value: A) -> Build[A]:
    """The build that declares nothing and returns `value`.

    >>> run(pure(1))[0]
    1
    """
    return _Pure(value)


def state(step: Callable[[BuildState], tuple[A, BuildState]]) -> Build[A]:
    """The build that is a function of the state."""
    return _State(step)


def do(function: Callable[P, Generator[Build[Any], Any, A]]) -> Callable[P, Build[A]]:
    """Do-notation: a generator function that takes results with `yield from` becomes a function to a Build.

    Each run starts a fresh generator, so the Build can be run again.

    >>> @do
    ... def dense(x, units):
    ...     w = yield from parameter("w", (x.shape[-1], units))
    ...     b = yield from parameter("b", (units,))
    ...     return x @ w + b
    >>> from symgraph.expr import placeholder
    >>> run(dense(placeholder("x", ("n", 4)), 3))[0]
    <add: f32[n,3]>
    """
    if not inspect.isgeneratorfunction(function):
        raise GraphError(
            f"do: {getattr(function, '__name__', function)!r} is no generator function",
            hint="Take results with `value = yield from build`; without one, write a plain function.",
        )

    @wraps(function)
    def build(*args: P.args, **kwargs: P.kwargs) -> Build[A]:
        return _Do(lambda: function(*args, **kwargs))

    return build


@attrs.frozen(eq=False)
class _LeaveScope:
    path: tuple[str, ...]


_Frame: TypeAlias = Callable[[Any], Build[Any]] | Generator[Build[Any], Any, Any] | _LeaveScope


def run(build: Build[A], initial: BuildState | None = None) -> tuple[A, BuildState]:
    """Run a build from a state (a fresh one by default): its result and the state after it.

    >>> value, after = run(scope("hidden", parameter("w", (2,))))
    >>> value
    <variable 'hidden/w': f32[2]>
    """
    now = BuildState() if initial is None else initial
    if not isinstance(now, BuildState):
        raise GraphError(f"a build runs from a BuildState, and this is {shown(now)}")
    frames: list[_Frame] = []
    current: Build[Any] | None = build
    value: Any = None
    failure: BaseException | None = None
    while True:
        if failure is None and current is not None:
            try:
                with provenance.in_scope(now.path):
                    current, value, now = _enter(current, now, frames)
            except Exception as error:
                current, failure = None, error
            continue
        if not frames:
            if failure is not None:
                raise failure
            return value, now
        frame = frames.pop()
        if isinstance(frame, _LeaveScope):
            now = attrs.evolve(now, path=frame.path)
        else:
            with provenance.in_scope(now.path):
                current, value, failure = _resume(frame, value, failure, frames)


def _enter(
    build: Build[Any], now: BuildState, frames: list[_Frame]
) -> tuple[Build[Any] | None, Any, BuildState]:
    """One step into a build: the build to go on with (or None and a value), and the state."""
    match build:
        case _Pure(value):
            return None, value, now
        case _State(step):
            pair = step(now)
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], BuildState)):
                raise GraphError(
                    f"state: the function returned {shown(pair)}, not a value and a BuildState",
                    hint="Return (value, state).",
                )
            return None, *pair
        case _Bind(first, rest):
            frames.append(rest)
            return first, None, now
        case _Scope(label, body):
            frames.append(_LeaveScope(now.path))
            return body, None, attrs.evolve(now, path=(*now.path, label))
        case _Do(start):
            frames.append(start())
            return None, None, now
        case _:
            raise GraphError(
                f"{shown(build)} stands where a Build was expected",
                hint="Write `yield from build`, call functions that are decorated with do, and wrap a plain "
                "value with symgraph.pure.",
            )


def _resume(
    frame: "Callable[[Any], Build[Any]] | Generator[Build[Any], Any, Any]",
    value: Any,
    failure: BaseException | None,
    frames: list[_Frame],
) -> tuple[Build[Any] | None, Any, BaseException | None]:
    """Give a value, or a failure, to what waits for it: the next build, or a value, or a failure."""
    try:
        if not isinstance(frame, Generator):
            if failure is not None:
                return None, None, failure
            following = frame(value)
            if not isinstance(following, Build):
                raise GraphError(
                    f"bind: the function returned {shown(following)}, not a Build",
                    hint="Wrap a plain value with symgraph.pure, or write map in place of bind.",
                )
            return following, None, None
        frames.append(frame)
        yielded = frame.send(value) if failure is None else frame.throw(failure)
        return yielded, None, None
    except StopIteration as stop:
        frames.pop()
        return None, stop.value, None
    except Exception as error:
        if isinstance(frame, Generator):
            frames.pop()
        return None, None, error


def sequence(builds: Iterable[Build[A]]) -> Build[tuple[A, ...]]:
    """Run builds in order and collect their results.

    >>> run(sequence([pure(1), pure(2)]))[0]
    (1, 2)
    """
    listed = tuple(builds)

    def start() -> Generator[Build[Any], Any, tuple[A, ...]]:
        results = []
        for build in listed:
            results.append((yield build))
        return tuple(results)

    return _Do(start)


def traverse(f: Callable[[S], Build[A]], items: Iterable[S]) -> Build[tuple[A, ...]]:
    """`sequence` of `f` over items.

    >>> run(traverse(lambda i: parameter(f"w{i}", (i,)), [1, 2]))[0]
    (<variable 'w1': f32[1]>, <variable 'w2': f32[2]>)
    """
    return sequence(map(f, items))


def fold(f: Callable[[B, S], Build[B]], initial: B, items: Iterable[S]) -> Build[B]:
    """Thread a value through builds from the left: how a network of many layers is written.

    >>> run(fold(lambda total, i: pure(total + i), 0, [1, 2, 3]))[0]
    6
    """
    listed = tuple(items)

    def start() -> Generator[Build[Any], Any, B]:
        value = initial
        for item in listed:
            value = yield f(value, item)
        return value

    return _Do(start)


def _named(name: object, what: str) -> None:
    if not isinstance(name, str) or not name:
        raise GraphError(
            f"the name of a {what} is a non-empty string, and {name!r} is none",
            hint="Write it first, in quotes.",
        )
    if not encodable(name):
        raise GraphError(
            f"the name {name!r} has half a surrogate pair, which no file can hold",
            hint="Write whole characters.",
        )


def scope(name: str, build: Build[A]) -> Build[A]:
    """Run `build` with `name` added to the path that prefixes its parameters and marks its nodes."""
    _named(name, "scope")
    return _Scope(name, build)


def _at_this_line(
    step: Callable[[BuildState], tuple[A, BuildState]],
) -> Callable[[BuildState], tuple[A, BuildState]]:
    """The step, whose nodes and errors come from the line that describes it, not from the one that runs it."""
    source = provenance.user_source()

    def located(now: BuildState) -> tuple[A, BuildState]:
        sources = (source,) if source is not None else ()
        try:
            with provenance.made_by(provenance.Origin(sources, now.path)):
                return step(now)
        except SymgraphError as error:
            error.source = source
            raise

    return located


def parameter(name: str, shape: ShapeLike = (), dtype: DTypeLike = FLOAT32, init: Any = None) -> Build[Expr]:
    """Declare a variable named `scope/path/name`; raises GraphError when the name is taken."""
    _named(name, "parameter")

    @_at_this_line
    def step(now: BuildState) -> tuple[Expr, BuildState]:
        full = "/".join((*now.path, name))
        taken = now.parameters.get(full)
        if taken is not None:
            where = taken.origin.sources
            raise GraphError(
                f"the parameter {full!r} is declared twice",
                details=(f"declared at {provenance.relative(where[0].file)}:{where[0].line}",)
                if where
                else (),
                hint="Wrap one of the layers in symgraph.scope(name, layer), or name it with fresh_name.",
            )
        declared = variable(full, shape, dtype, init)
        return declared, attrs.evolve(now, parameters=now.parameters.set(full, declared))

    return _State(step)


def fresh_name(prefix: str) -> Build[str]:
    """A name that no other `fresh_name` of this run returns in this scope: `prefix`, `prefix_1`, ...

    >>> run(sequence([fresh_name("dense"), fresh_name("dense")]))[0]
    ('dense', 'dense_1')
    """
    _named(prefix, "fresh name")

    def step(now: BuildState) -> tuple[str, BuildState]:
        full = "/".join((*now.path, prefix))
        # Counters are found by doubling and bisection, so n fresh names cost O(n log n).
        low, high = 0, 1
        while now.fresh.get((full, high - 1)):
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if now.fresh.get((full, middle)) else (low, middle)
        label = prefix if low == 0 else f"{prefix}_{low}"
        return label, attrs.evolve(now, fresh=now.fresh.set((full, low), True))

    return _State(step)


def parameters(build: Build[A]) -> Build[tuple[A, Mapping[str, Expr]]]:
    """The result of `build` with the parameters declared so far, by name: what an optimizer updates."""
    return build.bind(lambda value: _State(lambda now: ((value, dict(now.parameters.items())), now)))


# The talk's own form: steps on a stack of operands.


def push(*operands: Operand) -> Build[None]:
    """Put operands on the stack, so that the first is on top."""
    exprs = tuple(as_expr(operand) for operand in operands)

    def step(now: BuildState) -> tuple[None, BuildState]:
        stack = now.stack
        for expr in reversed(exprs):
            stack = (expr, stack)
        return None, attrs.evolve(now, stack=stack)

    return _State(step)


def step(function: Callable[..., Expr], arity: int | None = None) -> Build[Expr]:
    """Pop operands, the topmost first, apply `function`, and push and return its result.

    `arity` is the number of operands; by default that of the function's required positional arguments.
    Raises GraphError when the stack holds too few.
    """
    count = _arity(function) if arity is None else arity
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise GraphError(f"step: an arity is a whole number from 0, and {count!r} is none")
    label = getattr(function, "__name__", str(function))

    # A function of the user's has lines of its own.
    ours = (getattr(function, "__module__", None) or "").startswith("symgraph.")

    def take(now: BuildState) -> tuple[Expr, BuildState]:
        stack = now.stack
        taken: list[Expr] = []
        while len(taken) < count:
            if stack is None:
                raise GraphError(
                    f"step {label}: it takes {count} operands, and the stack holds {len(taken)}",
                    hint="Push the operands of the first step topmost first: push(x, w, b, y).",
                )
            top, stack = stack
            taken.append(top)
        result = function(*taken)
        if not isinstance(result, Expr):
            raise GraphError(
                f"step {label}: it returned {shown(result)}, not an expression",
                hint="A number is written symgraph.constant(...).",
            )
        return result, attrs.evolve(now, stack=(result, stack))

    return _State(_at_this_line(take) if ours else take)


def steps(*functions: Callable[..., Expr]) -> Build[Expr]:
    """Several steps; the result is that of the last, as in the talk's for-comprehension.

    >>> from symgraph.expr import placeholder
    >>> from symgraph.ops import add, matmul
    >>> x, w, b = placeholder("x", (5, 3)), placeholder("w", (3, 1)), placeholder("b", (1,))
    >>> run(push(x, w, b).then(steps(matmul, add)))[0]
    <add: f32[5,1]>
    """
    if not functions:
        raise GraphError("steps: there is no step", hint="Write such as steps(matmul, add, cross_entropy).")
    return sequence(list(map(step, functions))).map(lambda results: results[-1])


def _arity(function: Callable[..., Any]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        listed: Sequence[inspect.Parameter] = tuple(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        listed = ()
    count = sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in listed)
    if not count:
        raise GraphError(
            f"step: the number of operands of {getattr(function, '__name__', function)!r} is not known",
            hint="Say it: step(function, arity=2).",
        )
    return count
