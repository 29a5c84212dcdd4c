"""What each elementwise op is in instructions: a table from op to emitter.

An emitter takes the builder, the op and its operands, all of as many lanes and of the op's operand dtypes, and
returns the result, of its result dtype. Bools are <N x i1>.
"""

from collections.abc import Callable

from symgraph.ir import Op
from symgraph.lowering.llvm import maths
from symgraph.lowering.llvm.emit import Builder, Value, constant
from symgraph.lowering.llvm.maths import counters, integers, remainders
from symgraph.ops import activations, arithmetic, logic, losses, threefry, transcendental, trigonometry
from symgraph.types import DType

Emitter = Callable[[Builder, Op, list[Value]], Value]

_TYPES = {"float32": "float", "float64": "double", "int32": "i32", "int64": "i64", "bool": "i1"}


def type_name(dtype: DType) -> str:
    """The LLVM scalar that values of a dtype are computed as."""
    return _TYPES[dtype.name]


def _plain(function: Callable[..., Value]) -> Emitter:
    """An emitter of a function of builder and operands."""
    return lambda b, op, values: function(b, *values)


def _by_kind(of_floats: Callable[..., Value], of_integers: Callable[..., Value]) -> Emitter:
    return lambda b, op, values: (of_floats if values[0].type.is_float else of_integers)(b, *values)


def _compare(predicate: str) -> Emitter:
    return lambda b, op, values: integers.compare(b, predicate, *values)


def _bits(name: str) -> Emitter:
    return lambda b, op, values: b.bits(name, *values)


def _unary(name: str) -> Emitter:
    return lambda b, op, values: b.unary(name, *values)


def _square(b: Builder, x: Value) -> Value:
    return b.mul(x, x)


def _relu(b: Builder, x: Value) -> Value:
    return integers.maximum(b, x, constant(x.type, 0))


def _cast(b: Builder, op: Op, values: list[Value]) -> Value:
    assert isinstance(op, logic.Cast)
    (x,) = values
    return integers.convert(b, x, x.type.of(type_name(op.dtype)))


def _threefry(b: Builder, op: Op, values: list[Value]) -> Value:
    assert isinstance(op, threefry.Threefry)
    return counters.threefry(b, op.word, values)


def _sigmoid_cross_entropy(b: Builder, z: Value, y: Value) -> Value:
    positive = integers.maximum(b, z, constant(z.type, 0))
    linear = b.sub(positive, b.mul(z, y))
    return b.add(linear, maths.softplus_tail(b, z))


_EXACT: dict[type[Op], Emitter] = {
    arithmetic.Neg: _plain(Builder.neg),
    arithmetic.Abs: _plain(integers.absolute),
    arithmetic.Sign: _plain(integers.sign),
    arithmetic.Square: _plain(_square),
    arithmetic.Reciprocal: _plain(maths.reciprocal),
    arithmetic.Add: _plain(Builder.add),
    arithmetic.Sub: _plain(Builder.sub),
    arithmetic.Mul: _plain(Builder.mul),
    arithmetic.Div: _plain(Builder.div),
    arithmetic.FloorDivide: _by_kind(remainders.floor_divide, integers.floor_divide),
    arithmetic.Mod: _by_kind(remainders.mod, integers.mod),
    arithmetic.Maximum: _plain(integers.maximum),
    arithmetic.Minimum: _plain(integers.minimum),
    arithmetic.Floor: _unary("floor"),
    arithmetic.Ceil: _unary("ceil"),
    arithmetic.Round: _unary("rint"),
    arithmetic.Trunc: _unary("trunc"),
    activations.Relu: _plain(_relu),
    logic.Equal: _compare("eq"),
    logic.NotEqual: _compare("ne"),
    logic.Less: _compare("lt"),
    logic.LessEqual: _compare("le"),
    logic.Greater: _compare("gt"),
    logic.GreaterEqual: _compare("ge"),
    logic.LogicalAnd: _bits("and"),
    logic.LogicalOr: _bits("or"),
    logic.LogicalXor: _bits("xor"),
    logic.LogicalNot: _plain(Builder.not_),
    logic.IsNan: _plain(Builder.is_nan),
    logic.IsInf: _plain(integers.is_infinite),
    logic.IsFinite: _plain(integers.is_finite),
    logic.Where: _plain(Builder.select),
    logic.Cast: _cast,
    threefry.Threefry: _threefry,
    threefry.UnitFloat: _plain(counters.unit_float),
    threefry.Between: _plain(counters.between),
    threefry.MultiplyHigh: _plain(counters.multiply_high),
    transcendental.Sqrt: _unary("sqrt"),
    transcendental.Rsqrt: _plain(maths.rsqrt),
}

_ROUNDED: dict[type[Op], Emitter] = {
    arithmetic.Pow: _by_kind(maths.pow, integers.power),
    transcendental.Exp: _plain(maths.exp),
    transcendental.Expm1: _plain(maths.expm1),
    transcendental.Exp2: _plain(maths.exp2),
    transcendental.Log: _plain(maths.log),
    transcendental.Log1p: _plain(maths.log1p),
    transcendental.Log2: _plain(maths.log2),
    transcendental.Sigmoid: _plain(maths.sigmoid),
    transcendental.Softplus: _plain(maths.softplus),
    transcendental.Erf: _plain(maths.erf),
    transcendental.Erfinv: _plain(maths.erfinv),
    trigonometry.Sin: _plain(maths.sin),
    trigonometry.Cos: _plain(maths.cos),
    trigonometry.Tan: _plain(maths.tan),
    trigonometry.Asin: _plain(maths.asin),
    trigonometry.Acos: _plain(maths.acos),
    trigonometry.Atan: _plain(maths.atan),
    trigonometry.Sinh: _plain(maths.sinh),
    trigonometry.Cosh: _plain(maths.cosh),
    trigonometry.Tanh: _plain(maths.tanh),
    trigonometry.Asinh: _plain(maths.asinh),
    trigonometry.Acosh: _plain(maths.acosh),
    trigonometry.Atanh: _plain(maths.atanh),
    trigonometry.Atan2: _plain(maths.atan2),
    losses.SigmoidCrossEntropy: _plain(_sigmoid_cross_entropy),
}

EMITTERS: dict[type[Op], Emitter] = {**_EXACT, **_ROUNDED}
"""Every elementwise op."""

EXACT: frozenset[type[Op]] = frozenset(_EXACT)
"""Those whose results are NumPy's bit for bit, at any width; `pow` is one on integers alone."""
