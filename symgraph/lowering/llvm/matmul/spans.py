"""Ranges of rows and columns, cut into blocks and a rest, and the loops over them."""

from collections.abc import Callable

import attrs

from symgraph.lowering.llvm.emit import Builder, Value, integer


def known(value: Value) -> int | None:
    """The number that a constant integer is."""
    return int(value.text) if value.text.lstrip("-").isdigit() else None


def at(b: Builder, base: Value, index: Value, stride: int) -> Value:
    """The address `index * stride` bytes after `base`; strides of any sign."""
    number = known(index)
    if number is not None:
        return shifted(b, base, number * stride)
    if stride == 0:
        return base
    if stride > 0:
        return b.offset(base, index, stride)
    return b.offset(base, b.mul(index, integer(stride)))


def shifted(b: Builder, base: Value, number: int) -> Value:
    """The address a constant number of bytes after `base`."""
    return b.offset(base, integer(number))


def prefetch(b: Builder, base: Value, size: int, write: bool = True) -> None:
    """Ask for the lines of some bytes, to write or to read them; an address that is not mapped does no harm."""
    b.intrinsics["llvm.prefetch.p0"] = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"
    for line in range(0, size, 64):
        b.do(f"call void @llvm.prefetch.p0({shifted(b, base, line)}, i32 {int(write)}, i32 3, i32 1)")


def plus(b: Builder, x: Value, number: int) -> Value:
    """A number more, folded where `x` is a constant."""
    if number == 0:
        return x
    constant = known(x)
    return b.add(x, integer(number)) if constant is None else integer(constant + number)


def minus(b: Builder, x: Value, y: Value) -> Value:
    """The difference, folded where it can be."""
    if x == y:
        return integer(0)
    m, n = known(x), known(y)
    if n is not None:
        return plus(b, x, -n)
    return b.sub(integer(m), y) if m is not None else b.sub(x, y)


def times(b: Builder, x: Value, number: int) -> Value:
    """The product with a number, folded where it can be."""
    constant = known(x)
    return b.mul(x, integer(number)) if constant is None else integer(constant * number)


def lesser(b: Builder, x: Value, y: Value) -> Value:
    """The lesser, folded where both are constants."""
    m, n = known(x), known(y)
    return integer(min(m, n)) if m is not None and n is not None else b.binary("smin", x, y)


def loop(b: Builder, start: Value, stop: Value, step: int, body: Callable[[Value], None]) -> None:
    """`for index in range(start, stop, step)`, guarded where it may be empty, unwound where it is one turn."""
    first, end = known(start), known(stop)
    if first is None or end is None:
        with b.when(b.compare("lt", start, stop)):
            _turns(b, start, stop, step, body)
        return
    turns = len(range(first, end, step))
    if turns == 1:
        body(start)
    elif turns:
        _turns(b, start, stop, step, body)


def _turns(b: Builder, start: Value, stop: Value, step: int, body: Callable[[Value], None]) -> None:
    opened = b.begin_loop(start, stop, step)
    body(opened.index)
    b.end_loop(opened)


@attrs.frozen
class Span:
    """From `start` up to `end`, of `total` things in blocks of `block`; what fills no block is with the last."""

    start: Value
    end: Value
    total: int
    block: int

    @staticmethod
    def share(b: Builder, group: Value, groups: int, total: int, block: int) -> "Span":
        """The share of one of some groups; no share but the last has a block that is not whole."""
        if groups == 1:
            return Span(integer(0), integer(total), total, block)
        units, bounds = -(-total // block), []
        for g in (group, b.add(group, integer(1))):
            bounds.append(b.mul(b.div(b.mul(g, integer(units)), integer(groups)), integer(block)))
        end = lesser(b, bounds[1], integer(total)) if total % block else bounds[1]
        return Span(bounds[0], end, total, block)

    def part(self, b: Builder, start: Value, length: int) -> "Span":
        """What lies in a part that starts at a block and is some whole blocks long."""
        if length >= self.total:
            return self
        return Span(start, lesser(b, plus(b, start, length), self.end), self.total, self.block)

    def visit(self, b: Builder, body: Callable[[Value, int], None]) -> None:
        """Write the body for the blocks, and again for the rest: `body(index, size)`."""
        rest = self.total % self.block
        full = integer(self.total - rest)
        stop = lesser(b, self.end, full) if rest else self.end
        loop(b, self.start, stop, self.block, lambda index: body(index, self.block))
        if not rest:
            return
        if known(self.end) is not None:
            body(full, rest)
            return
        with b.when(b.compare("eq", self.end, integer(self.total))):
            body(full, rest)
