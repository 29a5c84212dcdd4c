"""LLVM IR as text: a function grows line by line, every value with its type.

All arithmetic is on scalars or on vectors of explicit width alike: no pass of LLVM's is asked to vectorise, to
promote memory to registers or to clean up, so what is written here is what runs.
"""

import math
import struct
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

import attrs
import numpy as np

_FLOATS = ("float", "double")

Made = TypeVar("Made")


class Type(NamedTuple):
    """An LLVM type: a scalar, or a vector of `lanes` of them."""

    name: str
    lanes: int = 1

    def __str__(self) -> str:
        return self.name if self.lanes == 1 else f"<{self.lanes} x {self.name}>"

    @property
    def is_float(self) -> bool:
        """Whether it holds floats."""
        return self.name in _FLOATS

    @property
    def bits(self) -> int:
        """The bits of one lane."""
        return {"float": 32, "double": 64, "ptr": 64}.get(self.name) or int(self.name[1:])

    @property
    def mangled(self) -> str:
        """As it is written in the names of intrinsics."""
        short = {"float": "f32", "double": "f64"}.get(self.name, self.name)
        return short if self.lanes == 1 else f"v{self.lanes}{short}"

    def of(self, name: str) -> "Type":
        """The type of as many lanes of another scalar."""
        return Type(name, self.lanes)

    @property
    def as_int(self) -> "Type":
        """Integers of the same width."""
        return self.of(f"i{self.bits}")


PTR, I1, I8, I32, I64 = Type("ptr"), Type("i1"), Type("i8"), Type("i32"), Type("i64")
F32, F64 = Type("float"), Type("double")


class Value(NamedTuple):
    """An SSA value or a constant, as it is written, with its type."""

    text: str
    type: Type

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def constant(type_: Type, value: float) -> Value:
    """A number as a constant, in every lane.

    >>> str(constant(F32, 0.5)), str(constant(Type("i32", 4), -1))
    ('float 0x3FE0000000000000', '<4 x i32> splat (i32 -1)')
    """
    return _constant(type_, value, math.copysign(1.0, value))


@lru_cache(4096)
def _constant(type_: Type, value: float, sign: float) -> Value:
    """The sign is there to tell -0.0 from the 0.0 that it equals."""
    if type_.is_float:
        rounded = float(np.float32(value)) if type_.name == "float" else float(value)
        text = f"0x{struct.unpack('>Q', struct.pack('>d', rounded))[0]:016X}"
    elif type_.name == "i1":
        text = "true" if value else "false"
    else:
        text = str(int(value))
    return Value(text if type_.lanes == 1 else f"splat ({type_.name} {text})", type_)


@attrs.frozen
class Loop:
    """A counted loop that is being written: its index, and the values that it carries."""

    index: Value
    carried: tuple[Value, ...]
    label: str
    preheader: str
    start: Value
    stop: Value
    step: int


@attrs.define
class Builder:
    """The body of one function as it grows. `intrinsics` are the declarations that it needs.

    With `contract`, a product and the sum it goes into may be one rounding, where the machine has that.
    """

    contract: bool = True
    lines: list[str] = attrs.field(factory=list)
    intrinsics: dict[str, str] = attrs.field(factory=dict)
    block: str = "entry"
    _count: int = 0
    _made: dict[Hashable, tuple[str, Any]] = attrs.field(factory=dict, init=False)

    # Text

    def emit(self, type_: Type, text: str) -> Value:
        """A new value: the result of an instruction."""
        self._count += 1
        name = f"%{self._count}"
        self.lines.append(f"  {name} = {text}")
        return Value(name, type_)

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def fresh(self, prefix: str = "b") -> str:
        """A new label."""
        self._count += 1
        return f"{prefix}{self._count}"

    def label(self, name: str) -> None:
        """Open a basic block."""
        self.lines.append(f"{name}:")
        self.block = name

    def call(self, type_: Type, name: str, *arguments: Value) -> Value:
        """Call an intrinsic, and see to its declaration."""
        self.intrinsics[name] = f"declare {type_} @{name}({', '.join(str(a.type) for a in arguments)})"
        return self.emit(type_, f"call {type_} @{name}({', '.join(map(str, arguments))})")

    # Arithmetic: on floats and integers alike, by the type of the first operand

    def _flags(self, type_: Type) -> str:
        return " contract" if type_.is_float and self.contract else ""

    def _two(self, f: str, i: str, x: Value, y: Value) -> Value:
        name = f"f{f}{self._flags(x.type)}" if x.type.is_float else i
        return self.emit(x.type, f"{name} {x.type} {x.text}, {y.text}")

    def add(self, x: Value, y: Value) -> Value:
        return self._two("add", "add", x, y)

    def sub(self, x: Value, y: Value) -> Value:
        return self._two("sub", "sub", x, y)

    def mul(self, x: Value, y: Value) -> Value:
        return self._two("mul", "mul", x, y)

    def div(self, x: Value, y: Value) -> Value:
        """The quotient; of integers rounded towards zero, undefined for a divisor of 0 and for overflow."""
        return self._two("div", "sdiv", x, y)

    def rem(self, x: Value, y: Value) -> Value:
        """The signed remainder of integers."""
        return self.emit(x.type, f"srem {x.type} {x.text}, {y.text}")

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """X * y + z, in one rounding where the machine can."""
        return self.call(x.type, f"llvm.fmuladd.{x.type.mangled}", x, y, z)

    def neg(self, x: Value) -> Value:
        if x.type.is_float:
            return self.emit(x.type, f"fneg {x}")
        return self.sub(constant(x.type, 0), x)

    def unary(self, name: str, x: Value) -> Value:
        """An intrinsic of one operand, such as fabs, sqrt, floor, ceil, trunc, roundeven, ctlz, ctpop."""
        return self.call(x.type, f"llvm.{name}.{x.type.mangled}", x)

    def binary(self, name: str, x: Value, y: Value) -> Value:
        """An intrinsic of two operands, such as maxnum, minimum, smax, copysign."""
        return self.call(x.type, f"llvm.{name}.{x.type.mangled}", x, y)

    # Bits

    def bits(self, name: str, x: Value, y: Value) -> Value:
        """and, or, xor, shl, lshr, ashr."""
        return self.emit(x.type, f"{name} {x.type} {x.text}, {y.text}")

    def not_(self, x: Value) -> Value:
        return self.bits("xor", x, constant(x.type, -1 if x.type.name != "i1" else 1))

    def cast(self, name: str, x: Value, type_: Type) -> Value:
        """A conversion by name: bitcast, zext, sext, trunc, fpext, fptrunc, sitofp, uitofp, fptosi."""
        return self.emit(type_, f"{name} {x} to {type_}")

    def as_int(self, x: Value) -> Value:
        """The bits of floats as integers."""
        return self.cast("bitcast", x, x.type.as_int)

    def as_float(self, x: Value) -> Value:
        """Integers as the floats of the same bits."""
        return self.cast("bitcast", x, x.type.of("float" if x.type.bits == 32 else "double"))

    # Choice

    def compare(self, predicate: str, x: Value, y: Value) -> Value:
        """eq, ne, lt, le, gt, ge, ordered (signed for integers; `ne` is true for NaN); uno; ult, ule for integers."""
        if x.type.is_float:
            name = {"ne": "une", "uno": "uno"}.get(predicate, f"o{predicate}")
            text = f"fcmp {name}"
        else:
            signed = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
            text = f"icmp {signed.get(predicate, predicate)}"
        return self.emit(x.type.of("i1"), f"{text} {x.type} {x.text}, {y.text}")

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return self.emit(x.type, f"select {condition}, {x}, {y}")

    def is_nan(self, x: Value) -> Value:
        return self.compare("uno", x, x)

    # Vectors

    def splat(self, x: Value, lanes: int) -> Value:
        """A scalar in every lane."""
        type_ = Type(x.type.name, lanes)
        if lanes == 1:
            return x
        if not x.text.startswith("%"):
            return Value(f"splat ({x})", type_)
        one = self.emit(type_, f"insertelement {type_} poison, {x}, i64 0")
        mask = f"<{lanes} x i32> zeroinitializer"
        return self.emit(type_, f"shufflevector {type_} {one.text}, {type_} poison, {mask}")

    def shuffle(self, x: Value, y: Value | None, order: Sequence[int]) -> Value:
        """The lanes `order` of x and y side by side; -1 for a lane that does not matter."""
        other = "poison" if y is None else y.text
        mask = ", ".join("i32 poison" if i < 0 else f"i32 {i}" for i in order)
        return self.emit(
            Type(x.type.name, len(order)),
            f"shufflevector {x}, {x.type} {other}, <{len(order)} x i32> <{mask}>",
        )

    def extract(self, x: Value, lane: int) -> Value:
        """One lane as a scalar."""
        if x.type.lanes == 1:
            return x
        return self.emit(Type(x.type.name), f"extractelement {x}, i64 {lane}")

    def iota(self, name: str, lanes: int) -> Value:
        """0, 1, 2, ... in the lanes."""
        if lanes == 1:
            return Value("0", Type(name))
        return Value(f"<{', '.join(f'{name} {i}' for i in range(lanes))}>", Type(name, lanes))

    def below(self, left: Value, lanes: int) -> Value:
        """The mask of the first `left` lanes, an i64."""
        narrow = self.cast("trunc", left, I32)
        return self.compare("lt", self.iota("i32", lanes), self.splat(narrow, lanes))

    # Memory

    def offset(self, base: Value, index: Value, itemsize: int = 1) -> Value:
        """The address `index * itemsize` bytes after `base`."""
        if index.text == "0":
            return base
        if not index.text.startswith("%"):
            return self.emit(PTR, f"getelementptr i8, {base}, i64 {int(index.text) * itemsize}")
        unit = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}.get(itemsize) or f"[{itemsize} x i8]"
        return self.emit(PTR, f"getelementptr {unit}, {base}, {index}")

    def load(self, type_: Type, address: Value, mask: Value | None = None, align: int = 1) -> Value:
        """Read a scalar or a vector; with a mask, only its lanes, and 0 in the others."""
        if mask is None:
            return self.emit(type_, f"load {type_}, {address}, align {align}")
        name = (
            f"llvm.masked.load.{type_.mangled}.p0"  # the alignment is an operand: LLVM 22 reads that as well
        )
        self.intrinsics[name] = f"declare {type_} @{name}(ptr, i32 immarg, {mask.type}, {type_})"
        return self.emit(
            type_, f"call {type_} @{name}(ptr {address.text}, i32 {align}, {mask}, {type_} zeroinitializer)"
        )

    def store(self, x: Value, address: Value, mask: Value | None = None, align: int = 1) -> None:
        """Write a scalar or a vector; with a mask, only its lanes."""
        if mask is None:
            self.do(f"store {x}, {address}, align {align}")
            return
        name = f"llvm.masked.store.{x.type.mangled}.p0"
        self.intrinsics[name] = f"declare void @{name}({x.type}, ptr, i32 immarg, {mask.type})"
        self.do(f"call void @{name}({x}, ptr {address.text}, i32 {align}, {mask})")

    # Control

    def begin_loop(self, start: Value, stop: Value, step: int, carried: Sequence[Value] = ()) -> Loop:
        """Open `for index in range(start, stop, step)`, which must run at least once; values go round by
        `end_loop`. Guard it where it may not run.
        """
        preheader, label = self.block, self.fresh("loop")
        self.do(f"br label %{label}")
        self.label(label)
        index = Value(f"%i.{label}", I64)
        values = tuple(Value(f"%c{k}.{label}", v.type) for k, v in enumerate(carried))
        # The phis need what comes round at the end: their lines are written then.
        self.lines.append("")
        loop = Loop(index, values, label, preheader, start, stop, step)
        self._open.append((len(self.lines) - 1, tuple(carried)))
        return loop

    def end_loop(self, loop: Loop, carried: Sequence[Value] = ()) -> tuple[Value, ...]:
        """Close a loop; returns the carried values as they are after it."""
        place, initial = self._open.pop()
        following = self.emit(I64, f"add nsw i64 {loop.index.text}, {loop.step}")
        again = self.compare("lt", following, loop.stop)
        latch, done = self.block, self.fresh("done")
        self.do(f"br {again}, label %{loop.label}, label %{done}")
        phis = [_phi(loop.index, loop.start, loop.preheader, following, latch)]
        for value, first, last in zip(loop.carried, initial, carried, strict=True):
            phis.append(_phi(value, first, loop.preheader, last, latch))
        self.lines[place] = "\n".join(phis)
        self.label(done)
        return tuple(carried)

    _open: list[tuple[int, tuple[Value, ...]]] = attrs.field(factory=list)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Write what runs only where a scalar condition holds; no value may leave it."""
        inside, after = self.fresh("then"), self.fresh("after")
        self.do(f"br {condition}, label %{inside}, label %{after}")
        self.label(inside)
        yield
        self.do(f"br label %{after}")
        self.label(after)

    def unless(
        self, condition: Value, usual: Sequence[Value], instead: Callable[[], Sequence[Value]]
    ) -> tuple[Value, ...]:
        """The usual values, or, where a scalar condition holds, those that `instead` writes the code for."""
        before, inside, after = self.block, self.fresh("then"), self.fresh("after")
        self.do(f"br {condition}, label %{inside}, label %{after}")
        self.label(inside)
        others = instead()
        last = self.block
        self.do(f"br label %{after}")
        self.label(after)
        return tuple(
            self.emit(u.type, f"phi {u.type} [ {u.text}, %{before} ], [ {o.text}, %{last} ]")
            for u, o in zip(usual, others, strict=True)
        )

    def any(self, mask: Value) -> Value:
        """Whether a lane of a mask is true."""
        return (
            mask
            if mask.type.lanes == 1
            else self.call(I1, f"llvm.vector.reduce.or.{mask.type.mangled}", mask)
        )

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` writes, or what it gave for an equal key before, in this basic block."""
        block, value = self._made.get(key, (None, None))
        if block == self.block:
            return cast(Made, value)
        made = make()
        self._made[key] = (self.block, made)
        return made

    @contextmanager
    def separate(self) -> Iterator[None]:
        """Write products and sums that are rounded each: what computes rounding errors must not be contracted."""
        contract, self.contract = self.contract, False
        yield
        self.contract = contract


def _phi(name: Value, first: Value, preheader: str, last: Value, latch: str) -> str:
    return f"  {name.text} = phi {name.type} [ {first.text}, %{preheader} ], [ {last.text}, %{latch} ]"


def integer(value: int) -> Value:
    """An i64 constant."""
    return Value(str(value), I64)
