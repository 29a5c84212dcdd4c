"""A kernel: one function of a module, with the count of pieces that it is cut into and the scratch it needs.

Its arguments are the table of base pointers, a constant array of pairs (slot of the table, byte offset), one for
each pointer it works on, and the number of the piece. So equal kernels are one function, wherever their buffers
lie, and an object on disk holds no address.
"""

import attrs

from symgraph.lowering.llvm.emit import I64, PTR, Builder, Value


@attrs.frozen(cache_hash=True)
class Kernel:
    """The text of a function whose name is still `@KERNEL`. `over` pairs results with operands, by the numbers of
    the arguments: what may lie in one place.
    """

    text: str
    declarations: frozenset[str]
    chunks: int = 1
    scratch: int = 0
    over: tuple[tuple[int, int], ...] = ()
    checks: bool = False


def open_kernel(b: Builder, arguments: int) -> list[Value]:
    """The prologue: the pointers that the arguments stand for."""
    pointers = []
    for k in range(arguments):
        pair = b.emit(PTR, f"getelementptr i64, ptr %args, i64 {2 * k}")
        slot = b.load(I64, pair, align=8)
        offset = b.load(I64, b.emit(PTR, f"getelementptr i64, ptr %args, i64 {2 * k + 1}"), align=8)
        base = b.load(PTR, b.emit(PTR, f"getelementptr ptr, ptr %table, {slot}"), align=8)
        pointers.append(b.offset(base, offset))
    return pointers


def close(b: Builder, chunks: int = 1, scratch: int = 0, over: tuple[tuple[int, int], ...] = ()) -> Kernel:
    """The finished function."""
    head = "define internal void @KERNEL(ptr %table, ptr %args, i64 %chunk) #0 {"
    text = "\n".join([head, "entry:", *b.lines, "  ret void", "}", ""])
    return Kernel(text, frozenset(b.intrinsics.values()), chunks, scratch, over)
