"""The graph: operations, nodes, and a flat tuple of nodes in topological order.

    Op     an operation: its static attributes, and the rules that give it meaning
    Node   an op applied to earlier nodes, with its type and its origin
    Graph  nodes, named outputs, named groups of updates of variables

A graph is canonical: nodes are numbered in post-order from the outputs, and `(op, inputs)` occurs once
(`symgraph.define.define` makes it so). Equal programs therefore are equal graphs.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from operator import is_
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from symgraph.contracts import inferred
from symgraph.errors import FeedError, GraphError, ShapeError, SymgraphError
from symgraph.origin import Origin
from symgraph.types import (
    Dim,
    Dimension,
    DType,
    Shape,
    TensorType,
    TupleType,
    dimension_names,
    evaluate_dimension,
    make_type,
    product,
    substitute,
)
from symgraph.values import shown

if TYPE_CHECKING:
    from symgraph.expr import Expr

Array: TypeAlias = npt.NDArray[Any]
Type: TypeAlias = TensorType | TupleType


@attrs.frozen(init=False)
class Op:
    """An operation: a frozen record of its static attributes, with its rules.

    A new op is one subclass, beside its public function in `symgraph/ops/`; it is decorated with `@attrs.frozen`
    if it adds attributes. (Without them there is nothing to generate, and attrs takes half a millisecond a class.)
    The algebra below is declared once, as class attributes: passes make rules of it, and tests hold it to be true
    on hostile values.
    """

    name: ClassVar[str] = ""
    arity: ClassVar[int | None] = None  # the number of operands; None where `infer` sees to it
    pure: ClassVar[bool] = True  # False: may not be folded, merged into a region, or run twice
    commutative: ClassVar[bool] = False
    associative: ClassVar[bool] = False
    idempotent: ClassVar[bool] = False  # f(x, x) == x for two operands, f(f(x)) == f(x) for one
    identity: ClassVar[float | None] = None  # f(x, identity) == x, bit for bit
    monotone: ClassVar[bool] = False  # in its one operand, non-decreasing
    smooth: ClassVar[bool] = True  # has a second derivative that is right wherever it is defined

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def infer(self, *types: TensorType) -> TensorType:
        """The type of the result; raises ShapeError or DTypeError when the operands do not fit."""
        raise NotImplementedError

    def evaluate(self, *arrays: Array) -> Array:
        """The meaning, in NumPy, for operands of concrete shapes: what every backend is tested against."""
        raise NotImplementedError

    def vjp(self, g: "Expr", out: "Expr", *inputs: "Expr") -> tuple["Expr | None", ...]:
        """The cotangent of each operand given `g`, that of the result `out`; None where there is none."""
        return (None,) * len(inputs)

    def expand(self, *inputs: "Expr") -> "Expr | None":
        """The same in simpler ops, for backends without a kernel for this one; None for a primitive."""
        return None

    def flops(self, out: TensorType, *types: TensorType) -> Dimension:
        """The floating-point operations that it takes."""
        return 0

    def bind(self, sizes: Mapping[str, int]) -> "Op":
        """The same op with the named sizes in its attributes put in."""
        names = attribute_names(type(self))
        if not names:
            return self
        changes = {
            name: bound
            for name in names
            if (bound := _bind(value := getattr(self, name), sizes)) is not value
        }
        return attrs.evolve(self, **changes) if changes else self


def attribute_names(op: type[Op]) -> tuple[str, ...]:
    """The names of the static attributes of an op's class, in order."""
    known: Any = op  # mypy takes the class for one of its instances, whose hash differs
    return _attribute_names(known)


@lru_cache(1024)
def _attribute_names(op: Any) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(op))


def _bind(value: Any, sizes: Mapping[str, int]) -> Any:
    """`value` with its dimensions evaluated; the same object where nothing changed."""
    if isinstance(value, Dim):
        return evaluate_dimension(value, sizes)
    if isinstance(value, TensorType):
        return _bind_type(value, tuple(sizes.items())) if _is_open(value.shape) else value
    if isinstance(value, tuple):
        parts = tuple([_bind(item, sizes) for item in value])
        return value if all(map(is_, parts, value)) else parts
    if isinstance(value, Graph):
        return specialise(value, sizes)
    return value


def _is_open(shape: Shape) -> bool:
    return any(isinstance(size, Dim) for size in shape)


@lru_cache(4096)
def _bind_type(type_: TensorType, sizes: tuple[tuple[str, int], ...]) -> TensorType:
    """The type with its named sizes put in, once for each: a graph has few types."""
    return make_type(type_.dtype, substitute(type_.shape, dict(sizes)))


def _names(value: Any) -> frozenset[str]:
    """The named sizes in a dimension, or in a tuple, type or graph of them."""
    if isinstance(value, tuple):
        return frozenset().union(*map(_names, value))
    if isinstance(value, Dim):
        return dimension_names(value)
    if isinstance(value, TensorType):
        return _names(value.shape)
    return value.names if isinstance(value, Graph) else frozenset()


@attrs.frozen(eq=False, repr=False)
class ArrayValue:
    """An immutable array that compares and hashes by dtype, shape and bits (so NaN equals NaN, -0 not 0)."""

    array: Array

    @classmethod
    def of(cls, array: npt.ArrayLike, dtype: DType | None = None) -> "ArrayValue":
        """A frozen, contiguous copy of `array`."""
        copy = np.array(array, dtype=dtype, order="C", copy=True)
        copy.flags.writeable = False
        return cls(copy)

    _hash: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self._key))

    @property
    def _key(self) -> tuple[str, tuple[int, ...], bytes]:
        return self.array.dtype.str, self.array.shape, self.array.tobytes()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, ArrayValue) and self._hash == other._hash and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"ArrayValue({np.array2string(self.array, threshold=8)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrayValue.of, (self.array,)


@attrs.frozen(cache_hash=True)
class Placeholder(Op):
    """An input that is fed; its `default`, if any, is used where a run does not feed it."""

    name: ClassVar[str] = "placeholder"
    arity: ClassVar[int | None] = 0
    label: str
    type: TensorType
    default: ArrayValue | None = None

    def infer(self, *types: TensorType) -> TensorType:
        return self.type


@attrs.frozen(cache_hash=True)
class Variable(Op):
    """A value that a session keeps from run to run; `init` makes the first one."""

    name: ClassVar[str] = "variable"
    arity: ClassVar[int | None] = 0
    label: str
    type: TensorType
    init: Any

    def infer(self, *types: TensorType) -> TensorType:
        return self.type


@attrs.frozen(cache_hash=True)
class Constant(Op):
    """An array known when the graph is declared."""

    name: ClassVar[str] = "constant"
    arity: ClassVar[int | None] = 0
    value: ArrayValue

    def infer(self, *types: TensorType) -> TensorType:
        return make_type(self.value.array.dtype, self.value.array.shape)

    def evaluate(self, *arrays: Array) -> Array:
        return self.value.array


def leaf_name(op: Op) -> str | None:
    """The name of a placeholder or a variable; None for any other op, which may have a label that names nothing."""
    return op.label if isinstance(op, Placeholder | Variable) else None


@attrs.frozen(eq=False)
class Node:
    """An op applied to earlier nodes. `origin` says where it came from and does not count in equality."""

    id: int
    op: Op
    inputs: tuple[int, ...]
    type: TensorType
    origin: Origin = attrs.field(default=Origin(), repr=False)

    def __eq__(self, other: object) -> bool:
        # As tuples: what is one object on both sides is not looked into.
        return isinstance(other, Node) and (
            (self.id, self.op, self.inputs, self.type) == (other.id, other.op, other.inputs, other.type)
        )

    def __hash__(self) -> int:
        return hash((self.id, self.op, self.inputs, self.type))


def _pairs(mapping: Mapping[str, int] | tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    return tuple(mapping.items()) if isinstance(mapping, Mapping) else tuple(mapping)


@attrs.define(frozen=True, slots=False, repr=False, eq=False)
class Graph:
    """Nodes in topological order, named outputs, and named groups of simultaneous updates.

    `outputs` pairs names with node ids; `updates` pairs a group's name with pairs of a variable's name and
    the id of the node that holds its next value. `==` compares nodes (origins apart), outputs and updates.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...] = attrs.field(converter=_pairs)
    updates: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Graph) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    @property
    def _key(self) -> tuple[Any, ...]:
        return self.nodes, self.outputs, self.updates

    @cached_property
    def _hash(self) -> int:
        return hash(self._key)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._key

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(("nodes", "outputs", "updates"), state, strict=True):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        from symgraph.text import to_text  # the text form imports the graph

        return to_text(self)

    def __repr__(self) -> str:
        outputs = ", ".join(name for name, _ in self.outputs)
        return f"<Graph of {len(self.nodes)} nodes: {outputs}>"

    @cached_property
    def _drawing(self) -> tuple[str | None, str]:
        from symgraph.inspect.drawing import notebook  # drawings import the graph

        return notebook(self)

    def _repr_svg_(self) -> str | None:
        """What a notebook shows: the drawing, where Graphviz is installed."""
        return self._drawing[0]

    def _repr_html_(self) -> str:
        """The same for what shows HTML alone; without a drawing the text form."""
        return self._drawing[1]

    @cached_property
    def placeholders(self) -> Mapping[str, Node]:
        """The placeholders by name, in the order of their ids."""
        return self._leaves(Placeholder)

    @cached_property
    def variables(self) -> Mapping[str, Node]:
        """The variables by name, in the order of their ids."""
        return self._leaves(Variable)

    def _leaves(self, kind: type[Op]) -> Mapping[str, Node]:
        return MappingProxyType({n.op.label: n for n in self.nodes if isinstance(n.op, kind)})  # type: ignore[attr-defined]

    @cached_property
    def kinds(self) -> tuple[tuple[type[Op], ...], ...]:
        """For each node, the type of its op, and those of its operands' ops: what rules are looked up by."""
        types = [type(node.op) for node in self.nodes]
        return tuple(
            [(own, *map(types.__getitem__, n.inputs)) for own, n in zip(types, self.nodes, strict=True)]
        )

    @cached_property
    def expressions(self) -> tuple["Expr", ...]:
        """One expression for each node: what `symgraph.lift` gives."""
        from symgraph.expr import Expr  # expressions are made of the ops that are defined here

        exprs: list[Expr] = []
        for node in self.nodes:
            inputs = tuple([exprs[i] for i in node.inputs])
            exprs.append(Expr(node.op, inputs, node.type, node.origin))
        return tuple(exprs)

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the ids of the nodes that take it as an operand, once for each time."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for i in node.inputs:
                found[i].append(node.id)
        return tuple(map(tuple, found))

    @cached_property
    def names(self) -> frozenset[str]:
        """The named sizes that occur in the types and the attributes of the graph."""
        shapes = {n.type.shape for n in self.nodes if isinstance(n.type, TensorType)}
        ops = {n.op for n in self.nodes}
        attributes = (getattr(op, name) for op in ops for name in attribute_names(type(op)))
        return frozenset().union(*map(_names, shapes), *map(_names, attributes))

    def __getitem__(self, name: str) -> Node:
        """The node of an output, a placeholder or a variable; raises GraphError for an unknown name."""
        if not isinstance(name, str):
            label = leaf_name(name.op) if hasattr(name, "op") else None
            raise GraphError(
                f"what is in a graph is asked for by name, and this is {shown(name)}",
                hint=f"Write {label!r}."
                if label
                else "Name it as an output: symgraph.define(name=expression).",
            )
        for known in (dict(self.outputs), self.placeholders, self.variables):
            if name in known:
                found = known[name]
                return found if isinstance(found, Node) else self.nodes[found]
        names = [*dict(self.outputs), *self.placeholders, *self.variables]
        raise GraphError(
            f"{name!r} is no output, placeholder or variable of this graph",
            hint=f"It has {', '.join(names)}.",
        )

    def update_group(self, name: str) -> Mapping[str, int]:
        """The updates of a group: the id of the next value by the variable's name; raises GraphError."""
        groups = dict(self.updates)
        if name not in groups:
            known = ", ".join(groups) or "none: add one with symgraph.train.minimize"
            raise GraphError(f"{name!r} is no update group of this graph", hint=f"It has {known}.")
        return dict(groups[name])

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """The ids that keep the graph alive, in canonical order: outputs, then updates group by group."""
        return (
            *(i for _, i in self.outputs),
            *(i for _, group in self.updates for v, value in group for i in (self.variables[v].id, value)),
        )


def require_graph(value: object, what: str) -> None:
    """Raise GraphError unless `value` is a Graph, which `what` takes."""
    if not isinstance(value, Graph):
        raise GraphError(
            f"{what} takes a graph, and this is {shown(value)}",
            hint="Make one with symgraph.define(name=expression).",
        )


def specialise(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with its named sizes put in; every type is inferred anew, so a slice or a reshape that does
    not fit these sizes is a FeedError at the line that wrote it.
    """
    if not graph.names:
        return graph
    missing = sorted(graph.names - sizes.keys())
    if missing:
        raise FeedError(
            f"nothing binds the size {missing[0]!r}",
            hint="Feed a placeholder that has it as an axis of its own.",
        )
    nodes: list[Node] = []
    for node in graph.nodes:
        op = node.op.bind(sizes)
        try:
            made = inferred(op, [nodes[i].type for i in node.inputs])
            expected = _bind(node.type, sizes) if isinstance(node.type, TensorType) else made
            if made is not expected and made != expected:
                raise ShapeError(f"{op.name}: {made} where {expected} was declared")
        except Exception as error:  # a user's op may raise anything
            given = ", ".join(f"{name}={size}" for name, size in sizes.items())
            source = node.origin.sources[0] if node.origin.sources else None
            raise FeedError(
                f"the graph does not fit the sizes {given}: {getattr(error, 'message', error)}",
                source=source,
                hint=getattr(error, "hint", ""),
            ) from (None if isinstance(error, SymgraphError) else error)
        nodes.append(Node(node.id, op, node.inputs, made, node.origin))
    return Graph(tuple(nodes), graph.outputs, graph.updates)


def node_bytes(type_: Type) -> Dimension:
    """The memory that a value takes, in bytes."""
    items = type_.items if isinstance(type_, TupleType) else (type_,)
    return sum((product(item.shape) * item.dtype.itemsize for item in items), start=0)
