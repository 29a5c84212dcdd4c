"""The step as a module: the kernels, each once, and the function that calls them in order.

    table : arena, pool, pool_run, call back, status, the caller's floating-point mode, how objects lie, dtypes;
            inputs, outputs, next values, constants

`step(table, arrays)` takes a tuple of arrays as it lies in memory, and puts the addresses of their elements into
the table. It returns 0, or one more than the number of the call that failed, or -1 where an input is not the array
that the code was made for; then nothing has happened.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from symgraph.lowering.llvm.buffers import Call, Room
from symgraph.lowering.llvm.clock import Ticking, tick, ticking
from symgraph.lowering.llvm.emit import I32, I64, PTR, Builder, Value
from symgraph.lowering.llvm.jit import module_text
from symgraph.lowering.llvm.kernel import Kernel
from symgraph.lowering.llvm.pool_code import X86, flush_denormals, restore_mode
from symgraph.lowering.llvm.region import Shape
from symgraph.lowering.llvm.target import Target
from symgraph.types import DType

ARENA, POOL, RUN, CALL_BACK, STATUS, MODE, ITEMS, DATA, ARRAY_TYPE, DTYPES = range(10)
DONE = 1  # what a call back answers; ctypes answers 0 for one that it could not make
KINDS = tuple(np.dtype(name) for name in ("float32", "float64", "int32", "int64", "bool"))
FIRST = DTYPES + len(KINDS)
_SHOWN = 8  # of the calls of one kernel
_PART = 128  # calls in one function: LLVM takes more than linear time over a long one


def module(
    kernels: Sequence[Kernel],
    calls: Sequence[Call],
    slots: Mapping[Room, tuple[int, int]],
    inputs: Sequence[tuple[DType, Shape]],
    arrays: int,
    target: Target,
    comments: Mapping[int, str],
    flush: bool,
    clock: Ticking | None = None,
) -> str:
    """The text of a whole step; `slots` are each buffer's slot of the table and offset there, `inputs` the first
    of the `arrays`, `comments` what is written above the calls. With `flush` denormal numbers count as 0. With
    a `clock` stamp 0 tells when the first call began, and stamp k + 1 when call k was done.
    """
    above: dict[int | None, list[str]] = {}  # a kernel's comments: what it computes, wherever it is called
    for number, call in enumerate(calls):
        above.setdefault(call.kernel, []).extend(comments.get(number, "").splitlines())
    functions = []
    for k, kernel in enumerate(kernels):
        functions += [f"; {line}" for line in list(dict.fromkeys(above.get(k, ())))[:_SHOWN]]
        functions.append(kernel.text.replace("@KERNEL", f"@kernel{k}"))
    declarations = [line for kernel in kernels for line in kernel.declarations]
    constants: list[str] = []
    parts: list[str] = []
    for start in range(0, max(1, len(calls)), _PART):
        lines = [tick(0)] if clock is not None and not start else []
        for number in range(start, min(len(calls), start + _PART)):
            call = calls[number]
            if number in comments:
                lines += [f"  ; {line}" for line in comments[number].splitlines()]
            if call.kernel is not None:
                pairs = [(slots[room][0], slots[room][1] + offset) for room, offset in call.arguments]
                words = ", ".join(f"i64 {slot}, i64 {offset}" for slot, offset in pairs)
                constants.append(
                    f"@args{number} = private unnamed_addr constant [{2 * len(pairs)} x i64] [{words}]"
                )
            lines += _call(number, call, kernels)
            lines += [tick(number + 1)] if clock is not None else []
        parts.append(_part(len(parts), lines))
    step, modes = _step(len(parts), arrays, len(inputs), target if flush else None)
    declarations += modes
    head = _each() if any(call.chunks > 1 for call in calls) else ""
    if any(call.kernel is None for call in calls):
        outside, modes = _outside(target if flush else None)
        head += outside
        declarations += modes
    constants += [_expected(inputs), _check(len(inputs))]
    head += ticking(clock) if clock is not None else ""
    legend = _LEGEND.splitlines() if comments else []
    return module_text([*legend, *constants, "", *functions, head, *parts, step], declarations, target)


_LEGEND = f"""\
; @step calls @part0, @part1, ..., which call the kernels in order; the comment above a call names the node of the
; optimised graph, its type, and the lines it comes from. A kernel that several nodes share stands once.
; @kernelN(table, args, piece) computes one piece of its work. args are pairs (slot of the table, byte offset): its
; operands, then its results, then scratch. @argsN are those of call N.
; The table: {ARENA} arena, {POOL} and {RUN} thread pool, {CALL_BACK} call back to Python, {STATUS} status,
; {MODE} to {FIRST - 1} the caller's floating-point mode and how Python lays out arrays; from {FIRST} on the inputs,
; the outputs, the next values of variables, the constants.
; @fits tells whether the arrays are those the code was made for, which @inputs lists (dtype, rank, sizes).
"""


def _call(number: int, call: Call, kernels: Sequence[Kernel]) -> Iterator[str]:
    if call.kernel is None:
        yield f"  %wrong{number} = call i1 @outside(ptr %table, i64 {number})"
    elif call.chunks == 1:
        yield f"  call void @kernel{call.kernel}(ptr %table, ptr @args{number}, i64 0)"
    else:
        yield f"  call void @each(ptr @kernel{call.kernel}, ptr %table, ptr @args{number}, i64 {call.chunks})"
    if call.kernel is not None and not kernels[call.kernel].checks:
        return
    if call.kernel is not None:
        yield f"  %failed{number} = load i64, ptr %slot{STATUS}, align 8"
        yield f"  %wrong{number} = icmp ne i64 %failed{number}, 0"
    yield f"  br i1 %wrong{number}, label %stop{number}, label %go{number}"
    yield f"stop{number}:"
    yield f"  ret i64 {number + 1}"
    yield f"go{number}:"


def _part(number: int, lines: list[str]) -> str:
    slot = f"  %slot{STATUS} = getelementptr ptr, ptr %table, i64 {STATUS}"
    head = f"define internal i64 @part{number}(ptr %table) #0 {{"
    return "\n".join([head, "entry:", slot, *lines, "  ret i64 0", "}", ""])


def _outside(flushed: Target | None) -> tuple[str, list[str]]:
    """A call back, and whether it failed; and what that declares. Python runs in the caller's floating-point mode."""
    b = Builder()
    slot = b.emit(PTR, f"getelementptr ptr, ptr %table, i64 {CALL_BACK}")
    function = b.load(PTR, slot, align=8)
    if flushed is not None:
        kept = b.emit(PTR, f"getelementptr ptr, ptr %table, i64 {MODE}")
        restore_mode(b, flushed, kept if flushed.triple.startswith(X86) else b.load(I64, kept, align=8))
    answer = b.emit(I64, f"call i64 {function.text}(i64 %number)")
    if flushed is not None:
        flush_denormals(b, flushed)
    head = "define internal i1 @outside(ptr %table, i64 %number) #0 {"
    foot = [f"  %failed = icmp ne i64 {answer.text}, {DONE}", "  ret i1 %failed", "}", ""]
    return "\n".join([head, "entry:", *b.lines, *foot]), [*b.intrinsics.values()]


def _each() -> str:
    """All pieces of a kernel: shared with the pool where there is one."""
    return f"""define internal void @each(ptr %kernel, ptr %table, ptr %args, i64 %chunks) #0 {{
entry:
  %slot1 = getelementptr ptr, ptr %table, i64 {POOL}
  %slot2 = getelementptr ptr, ptr %table, i64 {RUN}
  %pool = load ptr, ptr %slot1, align 8
  %run = load ptr, ptr %slot2, align 8
  %alone = icmp eq ptr %pool, null
  br i1 %alone, label %loop, label %share
share:
  call void %run(ptr %pool, ptr %kernel, ptr %table, ptr %args, i64 %chunks)
  ret void
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void %kernel(ptr %table, ptr %args, i64 %i)
  %next = add nsw i64 %i, 1
  %more = icmp slt i64 %next, %chunks
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def _expected(inputs: Sequence[tuple[DType, Shape]]) -> str:
    """For each input the number of its dtype, its rank, and its sizes."""
    numbers = [n for dtype, shape in inputs for n in (KINDS.index(dtype), len(shape), *shape)]
    text = ", ".join(f"i64 {n}" for n in numbers) if numbers else "i64 0"
    return f"@inputs = private unnamed_addr constant [{max(1, len(numbers))} x i64] [{text}]"


def _check(inputs: int) -> str:
    """Whether the inputs are plain arrays of the dtypes and shapes that are expected, in C order. It reads the array
    objects as numpy/ndarraytypes.h lays them out, where `object_layout` has found that they lie so.
    """
    fields = {"rank": 8, "sizes": 16, "dtype": 40, "flags": 48}  # bytes after the address of the elements
    places = "\n".join(
        f"  %{name}_at = getelementptr i8, ptr %field, i64 {offset}" for name, offset in fields.items()
    )
    return f"""
define internal i1 @fits(ptr %table, ptr %list, i64 %data) #0 {{
entry:
  %type_slot = getelementptr ptr, ptr %table, i64 {ARRAY_TYPE}
  %array_type = load ptr, ptr %type_slot, align 8
  %unknown = icmp eq ptr %array_type, null
  br i1 %unknown, label %good, label %next
next:
  %i = phi i64 [ 0, %entry ], [ %after, %fitting ]
  %wanted = phi ptr [ @inputs, %entry ], [ %wanted_after, %fitting ]
  %more = icmp slt i64 %i, {inputs}
  br i1 %more, label %one, label %good
one:
  %place = getelementptr ptr, ptr %list, i64 %i
  %array = load ptr, ptr %place, align 8
  %field = getelementptr i8, ptr %array, i64 %data
  %type_at = getelementptr i8, ptr %field, i64 -8
  %type = load ptr, ptr %type_at, align 8
  %plain = icmp eq ptr %type, %array_type
  br i1 %plain, label %array_itself, label %bad
array_itself:
{places}
  %kind = load i64, ptr %wanted, align 8
  %kind_slot = getelementptr ptr, ptr %table, i64 %kind
  %dtype_slot = getelementptr ptr, ptr %kind_slot, i64 {DTYPES}
  %dtype_wanted = load ptr, ptr %dtype_slot, align 8
  %dtype = load ptr, ptr %dtype_at, align 8
  %same_dtype = icmp eq ptr %dtype, %dtype_wanted
  %flags = load i32, ptr %flags_at, align 4
  %order = trunc i32 %flags to i1
  %rank_place = getelementptr i64, ptr %wanted, i64 1
  %rank_wanted = load i64, ptr %rank_place, align 8
  %rank_short = load i32, ptr %rank_at, align 4
  %rank = sext i32 %rank_short to i64
  %same_rank = icmp eq i64 %rank, %rank_wanted
  %two = and i1 %same_dtype, %order
  %three = and i1 %two, %same_rank
  %sizes = load ptr, ptr %sizes_at, align 8
  %sizes_wanted = getelementptr i64, ptr %wanted, i64 2
  br i1 %three, label %axis, label %bad
axis:
  %a = phi i64 [ 0, %array_itself ], [ %a_after, %same ]
  %axes_left = icmp slt i64 %a, %rank
  br i1 %axes_left, label %compare, label %fitting
compare:
  %size_at = getelementptr i64, ptr %sizes, i64 %a
  %size = load i64, ptr %size_at, align 8
  %size_wanted_at = getelementptr i64, ptr %sizes_wanted, i64 %a
  %size_wanted = load i64, ptr %size_wanted_at, align 8
  %equal = icmp eq i64 %size, %size_wanted
  br i1 %equal, label %same, label %bad
same:
  %a_after = add nsw i64 %a, 1
  br label %axis
fitting:
  %after = add nsw i64 %i, 1
  %wanted_after = getelementptr i64, ptr %sizes_wanted, i64 %rank
  br label %next
good:
  ret i1 true
bad:
  ret i1 false
}}
"""


def _keep_mode(b: Builder, mode: Value | None) -> None:
    """Put the caller's mode, which lies in memory or is a number, into the table."""
    if mode is not None:
        word = b.load(I32, mode, align=4) if mode.type == PTR else mode
        b.store(word, b.emit(PTR, f"getelementptr ptr, ptr %table, i64 {MODE}"), align=4)


def _step(parts: int, arrays: int, inputs: int, flushed: Target | None) -> tuple[str, list[str]]:
    """The check, addresses into the table, then the parts until one fails; and what that declares. Where denormals
    are flushed the mode of the caller comes back at the end.
    """
    enter, leave = Builder(), Builder()
    if flushed is not None:
        mode = flush_denormals(enter, flushed)
        restore_mode(leave, flushed, mode)
        _keep_mode(enter, mode)
    lines = ["define i64 @step(ptr %table, ptr %arrays) #0 {", "entry:", *enter.lines]
    lines += [f"  %slot{k} = getelementptr ptr, ptr %table, i64 {k}" for k in (STATUS, ITEMS, DATA, FIRST)]
    lines += [
        f"  store i64 0, ptr %slot{STATUS}, align 8",
        f"  %items = load i64, ptr %slot{ITEMS}, align 8",
        f"  %data = load i64, ptr %slot{DATA}, align 8",
        "  %list = getelementptr i8, ptr %arrays, i64 %items",
        "  %fits = call i1 @fits(ptr %table, ptr %list, i64 %data)",
        f"  br i1 %fits, label %{'fill' if arrays else 'part0'}, label %end",
    ]
    if arrays:
        lines += [
            "fill:",
            "  %i = phi i64 [ 0, %entry ], [ %next, %fill ]",
            "  %place = getelementptr ptr, ptr %list, i64 %i",
            "  %array = load ptr, ptr %place, align 8",
            "  %field = getelementptr i8, ptr %array, i64 %data",
            "  %address = load ptr, ptr %field, align 8",
            f"  %slot = getelementptr ptr, ptr %slot{FIRST}, i64 %i",
            "  store ptr %address, ptr %slot, align 8",
            "  %next = add nsw i64 %i, 1",
            f"  %more = icmp slt i64 %next, {arrays}",
            "  br i1 %more, label %fill, label %part0",
        ]
    for k in range(parts):
        lines += [
            f"part{k}:",
            f"  %failed{k} = call i64 @part{k}(ptr %table)",
            f"  %wrong{k} = icmp ne i64 %failed{k}, 0",
            f"  br i1 %wrong{k}, label %end, label %part{k + 1}",
        ]
    failures = ", ".join(f"[ %failed{k}, %part{k} ]" for k in range(parts))
    lines += [
        f"part{parts}:",
        "  br label %end",
        "end:",
        f"  %status = phi i64 [ -1, %entry ], {failures}, [ 0, %part{parts} ]",
        *leave.lines,
        "  ret i64 %status",
        "}",
        "",
    ]
    return "\n".join(lines), [*enter.intrinsics.values(), *leave.intrinsics.values()]
