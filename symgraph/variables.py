"""The values of a session's variables, as a read-only mapping to copies."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy.typing as npt

from symgraph.compile import bind_shape, feed_array
from symgraph.errors import FeedError, GraphError
from symgraph.ir import Array

if TYPE_CHECKING:
    from symgraph.session import Session


class _UnknownVariableError(GraphError, KeyError):
    """A KeyError too, which `in` and `get` of a mapping go by."""


class Variables(Mapping[str, Any]):
    """The values of a session's variables by name, as copies; `assign` changes them."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def __getitem__(self, name: str) -> Any:
        variables = self._session.graph.variables
        if name not in variables:
            raise _UnknownVariableError(
                f"{name!r} is no variable of this graph", hint=f"It has {', '.join(variables) or 'none'}."
            )
        place = list(variables).index(name)
        return self._session._read(lambda state: state.values[place].copy()[()])

    def __setitem__(self, name: str, value: object) -> NoReturn:
        raise GraphError(
            f"the variable {name!r} is not set by an item: this is a read-only mapping to copies",
            hint=f'Write session.variables.assign("{name}", value).',
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._session.graph.variables)

    def __len__(self) -> int:
        return len(self._session.graph.variables)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {node.type}" for name, node in self._session.graph.variables.items())
        return f"<Variables {shown}>"

    def snapshot(self) -> dict[str, Any]:
        """Copies of all values at one moment, also while another thread updates them."""
        return self._session._read(
            lambda state: {name: value.copy()[()] for name, value in zip(self, state.values, strict=True)}
        )

    def assign(self, name: str | Mapping[str, npt.ArrayLike], value: npt.ArrayLike | None = None) -> None:
        """Set one variable, or several at once from a mapping: all of them or, after an error, none.

        A value has the variable's shape and a dtype that casts to it without loss. Raises FeedError.

        >>> from symgraph.define import define
        >>> from symgraph.expr import variable
        >>> from symgraph.session import Session
        >>> session = Session(define(y=-variable("w", (2,))), backend="interpreter")
        >>> session.variables.assign("w", [1.0, 2.0])
        >>> session.variables["w"], session.run("y")
        (array([1., 2.], dtype=float32), array([-1., -2.], dtype=float32))
        """
        if isinstance(name, Mapping):
            if value is not None:
                raise FeedError("a mapping holds the values already", hint='Write assign({"w": w}).')
            changes: Mapping[str, Any] = name
        else:
            changes = {name: value}
        variables = self._session.graph.variables
        arrays: dict[str, Array] = {}
        for label, given in changes.items():
            if label not in variables:
                raise FeedError(
                    f"{label!r} is no variable of this graph",
                    hint=f"It has {', '.join(variables) or 'none'}.",
                )
            array = feed_array(label, variables[label].type, given)
            bind_shape(label, variables[label].type, array.shape, {}, {})
            arrays[label] = array.copy()
        self._session._assign(arrays)
