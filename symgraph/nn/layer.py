"""What a layer is: a function from an expression to a build of an output, as a value that prints as it was written.

Layer     = Expr -> Build[Output]
Output    = (value, state)              the state maps a variable to its next value
layer     : (options -> (Expr -> Build[Output])) -> options -> Layer
as_layer  : Layer | (Expr -> Expr) | (Expr -> Build[Expr | Output]) -> Layer
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, ParamSpec, TypeAlias, TypeVar

import attrs
import numpy as np

from symgraph import origin as provenance
from symgraph.build import Build, BuildState, fresh_name, located, pure, run, scope, state
from symgraph.errors import GraphError, SymgraphError
from symgraph.expr import Expr, Operand, as_expr
from symgraph.ir import ArrayValue, Variable
from symgraph.origin import Source
from symgraph.values import shown

_MAKES = (
    "Decorate a function of options that returns what is done with x: def scaled(factor): return lambda x: x * factor. "
    "A function of x itself needs no decorator."
)

A = TypeVar("A")
V = TypeVar("V")
P = ParamSpec("P")
State: TypeAlias = Mapping[Expr, Expr]

_TAKEN = "A layer returns its output and its state: h, state = yield from layer(x)."


class _Pair(NamedTuple, Generic[V]):
    value: V
    state: State = MappingProxyType({})


class Output(_Pair[V]):
    """What a layer returns: a value, and the next value of each variable that the layer changes.

    `h, state = yield from layer(x)`. Hand the states of all layers on: `nn.Output(h, {**first, **second})`.

    >>> from symgraph.expr import placeholder
    >>> h, state = Output(placeholder("x", (3,)))
    >>> h, dict(state)
    (<placeholder 'x': f32[3]>, {})
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # to a type checker it has none of these

        @property
        def not_a_tensor(self) -> str:
            """What to write where an output was taken for its value."""
            return _TAKEN

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"the output of a layer has no attribute {name!r}. {_TAKEN}")

        def __getitem__(self, key: Any) -> Any:
            return super().__getitem__(key) if isinstance(key, int) else self._taken_for_a_tensor()

        def _taken_for_a_tensor(self, *_: object) -> NoReturn:
            raise GraphError("the output of a layer is no tensor: it holds one, and a state", hint=_TAKEN)

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = (
            _taken_for_a_tensor
        )
        __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __neg__ = __abs__ = __floordiv__ = __mod__ = (
            _taken_for_a_tensor
        )


Body: TypeAlias = Callable[[Expr], Any]


@attrs.frozen(repr=False)
class Layer(Generic[V]):
    """A layer as a value: `layer(x)` is a build of its `Output`. It can be kept, compared, and used many times.

    Each use declares parameters of its own, in a scope named after the layer (`dense`, `dense_1`, ...): write
    `nn.named("hidden", layer)` to name the scope, `nn.shared("encoder", layer)` to use the same parameters again.
    Two layers are equal when they were made by one function with equal options.
    """

    name: str
    maker: Callable[..., Any]
    options: tuple[tuple[str, Any], ...]
    body: Body = attrs.field(eq=False)
    text: str = attrs.field(eq=False)
    source: Source | None = attrs.field(eq=False, default=None)
    # Whether its nodes come from the line that made the layer, as nothing in it has a line of the user's.
    whole: bool = attrs.field(eq=False, default=False)
    scoped: bool = attrs.field(eq=False, default=True)

    def __repr__(self) -> str:
        return self.text

    def __call__(self, x: Operand) -> Build[Output[V]]:
        """The build of the output for `x`, in a scope of its own."""
        e = as_expr(x)
        if not self.scoped:
            return self.inside(e)
        return fresh_name(self.name).bind(lambda name: scope(name, self.inside(e)))

    def inside(self, x: Expr) -> Build[Output[V]]:
        """The build of the output for `x`, in the scope that it is run in."""
        if not self.whole:
            return pure(x).bind(lambda e: self._output(self.body(e)))

        def step(now: BuildState) -> tuple[Output[V], BuildState]:
            try:
                return run(self._output(self.body(x)), now)
            except SymgraphError as error:
                error.details = (*error.details, f"in the layer {'/'.join(now.path)}: {self.text}")
                raise

        return state(located(step, self.source))

    def _output(self, made: Any) -> Build[Output[V]]:
        if isinstance(made, Build):
            return made.map(self._checked)
        return pure(self._checked(made))

    def _checked(self, made: Any) -> Output[V]:
        if isinstance(made, Output):
            return marked(made)
        if isinstance(made, Expr):
            value: Any = made
            return Output(value)
        raise GraphError(
            f"the layer {self.text} returned {shown(made)}, not an expression or an output",
            source=self.source,
            hint="Return the expression, or symgraph.nn.Output(expression, state), also as a Build of it.",
        )


def marked(output: Output[V]) -> Output[V]:
    """The output, whose expression knows the states that go with it: `define` refuses it without them."""
    value, state = output
    if not isinstance(value, Expr) or not value.inputs or not isinstance(state, Mapping) or not state:
        return output
    states = tuple([e.op.label for e in state if isinstance(e, Expr) and isinstance(e.op, Variable)])
    known: Any = Expr(value.op, value.inputs, value.type, attrs.evolve(value.origin, states=states))
    return Output(known, state)


LayerLike: TypeAlias = Layer[Any] | Callable[[Expr], Any]


def layer(make: Callable[P, Body]) -> Callable[P, Layer[Expr]]:
    """A function from options to what is done with x, as a function that makes layers: for layers of your own.

    What `make` returns takes an expression and returns one, or an `Output`, or a Build of either.

    >>> from symgraph.build import do, parameter
    >>> from symgraph.expr import placeholder
    >>> @layer
    ... def scaled(start=1.0):
    ...     @do
    ...     def body(x):
    ...         factor = yield from parameter("factor", (), init=start)
    ...         return x * factor
    ...     return body
    >>> scaled(2.0), scaled(2.0) == scaled(start=2.0)
    (scaled(2.0), True)
    >>> run(scaled(2.0)(placeholder("x", (3,))))[0].value
    <mul: f32[3]>
    """
    return _maker(make, whole=False, scoped=True)


def primitive(make: Callable[P, Body]) -> Callable[P, Layer[Expr]]:
    """`layer`, for a layer whose nodes all come from the line that made it."""
    return _maker(make, whole=True, scoped=True)


def combinator(make: Callable[P, Body]) -> Callable[P, Layer[Any]]:
    """`layer`, for one that adds no scope to those of the layers in it."""
    return _maker(make, whole=False, scoped=False)


def _maker(make: Callable[P, Body], whole: bool, scoped: bool) -> Callable[P, Layer[Any]]:
    if not callable(make):
        raise GraphError(f"layer: {shown(make)} is no function", hint=_MAKES)
    signature = inspect.signature(make)

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Layer[Any]:
        body = make(*args, **kwargs)
        if not callable(body):
            raise GraphError(
                f"layer: {label(make)} returned {shown(body)}, not a function of an expression", hint=_MAKES
            )
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return Layer(
            make.__name__,
            make,
            tuple((name, _frozen(value)) for name, value in bound.arguments.items()),
            body,
            f"{make.__name__}({_written(args, kwargs)})",
            provenance.user_source(),
            whole,
            scoped,
        )

    made.makes_layers = True  # type: ignore[attr-defined]
    return made


def _frozen(value: Any) -> Any:
    """An option as a value that compares and hashes."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, np.ndarray):
        return ArrayValue.of(value)
    return tuple(map(_frozen, value)) if type(value) in (list, tuple) else value


def _written(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return ", ".join([*map(_text, args), *(f"{name}={_text(value)}" for name, value in kwargs.items())])


def _text(value: Any) -> str:
    """An option as it was written, or nearly: functions by their names."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_text(item)}" for key, item in value.items()) + "}"
    return label(value) if inspect.isroutine(value) or isinstance(value, partial) else repr(value)


def label(function: Any) -> str:
    """The name of a function, as its scope has it."""
    inner = function.func if isinstance(function, partial) else function
    name = getattr(inner, "__name__", type(inner).__name__)
    return "function" if name == "<lambda>" else str(name)


def as_layer(given: LayerLike, where: str) -> Layer[Any]:
    """A layer, or a function of an expression as one; raises GraphError for anything else that `where` was given."""
    if isinstance(given, Layer):
        return given
    if getattr(given, "makes_layers", False):
        name = label(given)
        raise GraphError(
            f"{where}: {name} is the function that makes a layer, not a layer",
            hint=f"Call it with its options: {name}({'' if _can_take(given) else '...'}).",
        )
    if isinstance(given, list | tuple):
        raise GraphError(
            f"{where} takes layers one by one, and this is a {type(given).__name__} of them",
            hint=f"Unpack it: {where}(*layers).",
        )
    if isinstance(given, Build | Expr):
        raise GraphError(
            f"{where}: {'a build' if isinstance(given, Build) else repr(given)} is no layer: it was applied already",
            hint="Give the layer itself, dense(64), not dense(64)(x).",
        )
    if isinstance(given, type) or not callable(given):
        raise GraphError(
            f"{where}: {shown(given)} is no layer",
            hint="A layer is such as symgraph.nn.dense(64), or a function of an expression such as symgraph.relu.",
        )
    if not _can_take(given, None):
        raise GraphError(
            f"{where}: a layer takes one tensor, and {shown(given)} takes another number of arguments",
            hint="Write a function of one: lambda x: function(x, other).",
        )
    inner = given.func if isinstance(given, partial) else given
    ours = (getattr(inner, "__module__", None) or "").startswith("symgraph.")
    return Layer(label(given), given, (), given, label(given), provenance.user_source(), whole=ours)


def _can_take(function: Any, *args: object) -> bool:
    """Whether a function can be called with arguments; True where that is not known, as of some in C."""
    try:
        inspect.signature(function).bind(*args)
    except ValueError:
        return True
    except TypeError:
        return False
    return True


def at(source: Source | None, function: Callable[[], A]) -> Build[A]:
    """What a function returns, with its nodes and errors at a line."""
    return state(located(lambda now: (function(), now), source))
