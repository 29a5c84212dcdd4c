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
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeAlias, TypeVar

import attrs

from symgraph import origin as provenance
from symgraph.errors import GraphError, SymgraphError
from symgraph.expr import Expr, describe, variable
from symgraph.persistent import PersistentMap, count
from symgraph.types import FLOAT32, DTypeLike, ShapeLike
from symgraph.values import encodable, shown

if TYPE_CHECKING:
    from symgraph.nn.states import Pending

A = TypeVar("A")
B = TypeVar("B")
S = TypeVar("S")
P = ParamSpec("P")

# A linked list, topmost operand first.
Stack: TypeAlias = tuple[Expr, "Stack"] | None


@attrs.frozen(eq=False)
class BuildState:
    """What a build threads: scope path, parameters by full name, fresh-name counters, operand stack.

    `parameters` is a mapping: `state.parameters["hidden/w"]` is the variable of that name. `known` are parameters
    that may be declared again, and are the same then. What `symgraph.nn` threads: whether it builds for `training`,
    the `pending` next values of variables, the numbers of random keys drawn, and the layers that are shared.
    """

    path: tuple[str, ...] = ()
    parameters: PersistentMap[str, Expr] = attrs.field(factory=PersistentMap.empty)
    fresh: PersistentMap[tuple[str, int], bool] = attrs.field(factory=PersistentMap.empty)
    stack: Stack = None
    known: Mapping[str, Expr] = attrs.field(factory=dict)
    training: bool = True
    pending: PersistentMap[tuple[str, int], "Pending"] = attrs.field(factory=PersistentMap.empty)
    draws: PersistentMap[tuple[str, int], bool] = attrs.field(factory=PersistentMap.empty)
    shared: PersistentMap[str, Any] = attrs.field(factory=PersistentMap.empty)


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

    if not TYPE_CHECKING:  # to a type checker it has none of these

        def _taken_for_a_tensor(self, *_: object) -> NoReturn:
            raise GraphError(
                "a Build is no tensor: it describes one that is still to be declared",
                hint="Take its result first: `value = yield from build` in a function decorated with symgraph.do.",
            )

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = (
            _taken_for_a_tensor
        )
        __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __neg__ = __getitem__ = _taken_for_a_tensor

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
        asked = _Asked(self)
        value: A = yield asked
        if not asked.answered:  # `a, b = build` goes on by itself, where `yield from` waits for the run
            raise GraphError(
                "a Build is unpacked, or iterated: it describes what is still to be declared",
                hint="Write `yield from` before it, in a function decorated with symgraph.do: "
                "h, state = yield from layer(x).",
            )
        return value


@attrs.frozen(eq=False, repr=False)
class _Pure(Build[A]):
    value: A


@attrs.define(eq=False, repr=False)
class _Asked(Build[A]):
    """One `yield from` of a build; whether a run has seen it."""

    build: Build[A]
    answered: bool = False


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
        case _Asked(asked):
            build.answered = True
            return asked, None, now
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


def located(
    step: Callable[[BuildState], tuple[A, BuildState]], source: provenance.Source | None = None
) -> Callable[[BuildState], tuple[A, BuildState]]:
    """The step, whose nodes and errors come from `source`: by default the line that describes it, not the one that
    runs it.
    """
    source = provenance.current_source() if source is None else source

    def at_this_line(now: BuildState) -> tuple[A, BuildState]:
        sources = (source,) if source is not None else ()
        try:
            with provenance.made_by(provenance.Origin(sources, now.path)):
                return step(now)
        except SymgraphError as error:
            error.source = source
            raise

    return at_this_line


def parameter(name: str, shape: ShapeLike = (), dtype: DTypeLike = FLOAT32, init: Any = None) -> Build[Expr]:
    """Declare a variable named `scope/path/name`; raises GraphError when the name is taken."""
    _named(name, "parameter")

    @located
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
                hint="Give one of the layers a scope of its own: symgraph.scope(name, build), or "
                "symgraph.nn.named(name, layer).",
            )
        declared = variable(full, shape, dtype, init)
        if full in now.known:
            declared = _again(now.known[full], declared)
        return declared, attrs.evolve(now, parameters=now.parameters.set(full, declared))

    return _State(step)


def _again(known: Expr, declared: Expr) -> Expr:
    """The parameter that is known, which must be declared as it was before."""
    if declared.op == known.op:
        return known
    raise GraphError(
        f"the parameter {getattr(known.op, 'label', '')!r} is declared again in another way",
        details=(
            f"before: {describe(known)}, init {getattr(known.op, 'init', None)}",
            f"now:    {declared.type}, init {getattr(declared.op, 'init', None)}",
        ),
        hint="What is built twice, for training and evaluation or as a shared layer, declares the same both times.",
    )


def fresh_name(prefix: str) -> Build[str]:
    """A name that no other `fresh_name` of this run returns in this scope: `prefix`, `prefix_1`, ...

    >>> run(sequence([fresh_name("dense"), fresh_name("dense")]))[0]
    ('dense', 'dense_1')
    """
    _named(prefix, "fresh name")

    def step(now: BuildState) -> tuple[str, BuildState]:
        full = "/".join((*now.path, prefix))
        taken = count(now.fresh, full)
        label = prefix if taken == 0 else f"{prefix}_{taken}"
        return label, attrs.evolve(now, fresh=now.fresh.set((full, taken), True))

    return _State(step)


def parameters(build: Build[A]) -> Build[tuple[A, Mapping[str, Expr]]]:
    """The result of `build` with the parameters declared so far, by name: what an optimizer updates."""
    return build.bind(lambda value: _State(lambda now: ((value, dict(now.parameters.items())), now)))
