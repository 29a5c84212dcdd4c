"""A clock for compiled steps: read after each call, into an array that Python reads later.

    clock : the function to call, and how          ticking : the code that calls it

Where `time.perf_counter_ns` is `clock_gettime(CLOCK_MONOTONIC)` of the C library, the code calls that itself, which
takes some 20 ns; elsewhere it calls `perf_counter_ns` through Python, which takes some 500.
"""

import ctypes
import time
from functools import lru_cache
from typing import Any

import attrs

_NATIVE = "clock_gettime(CLOCK_MONOTONIC)"


@attrs.frozen(eq=False)
class Clock:
    """A function of the process that tells the time: with an `identity`, `clock_gettime`, which fills in seconds and
    nanoseconds; with None, one that returns nanoseconds.
    """

    address: int
    identity: int | None
    _function: Any = attrs.field(repr=False)  # the address is good for as long as this lives


@attrs.frozen
class Ticking:
    """What a step needs to know to read a clock: the slot of the table with its address, after which comes that of
    the stamps, and the clock's identity.
    """

    slot: int
    identity: int | None


@lru_cache(1)
def clock() -> Clock:
    """The clock of this system."""
    native = time.get_clock_info("perf_counter").implementation == _NATIVE
    if native and ctypes.sizeof(ctypes.c_long) == ctypes.sizeof(ctypes.c_void_p) == 8:
        try:
            return _clock(ctypes.CDLL(None).clock_gettime, time.CLOCK_MONOTONIC)
        except (AttributeError, OSError):  # a C library that shows no symbols
            pass
    return python_clock()


def python_clock() -> Clock:
    """`time.perf_counter_ns` itself. It runs no Python code, so that no signal is handled while it does."""
    return _clock(ctypes.CFUNCTYPE(ctypes.c_int64)(time.perf_counter_ns), None)


def _clock(function: Any, identity: int | None) -> Clock:
    return Clock(ctypes.cast(function, ctypes.c_void_p).value or 0, identity, function)


def tick(number: int) -> str:
    """The line that writes stamp `number`."""
    return f"  call void @tick(ptr %table, i64 {number})"


def ticking(how: Ticking) -> str:
    """The function `@tick`, which writes the time as it is now."""
    if how.identity is None:
        read = ["  %now = call i64 %clock()"]
    else:
        read = [
            "  %time = alloca [2 x i64], align 8",
            f"  %done = call i32 %clock(i32 {how.identity}, ptr %time)",
            "  %seconds = load i64, ptr %time, align 8",
            "  %rest_at = getelementptr i64, ptr %time, i64 1",
            "  %rest = load i64, ptr %rest_at, align 8",
            "  %whole = mul i64 %seconds, 1000000000",
            "  %now = add i64 %whole, %rest",
        ]
    lines = [
        "define internal void @tick(ptr %table, i64 %number) #0 {",
        "entry:",
        f"  %clock_slot = getelementptr ptr, ptr %table, i64 {how.slot}",
        "  %clock = load ptr, ptr %clock_slot, align 8",
        *read,
        f"  %stamps_slot = getelementptr ptr, ptr %table, i64 {how.slot + 1}",
        "  %stamps = load ptr, ptr %stamps_slot, align 8",
        "  %place = getelementptr i64, ptr %stamps, i64 %number",
        "  store i64 %now, ptr %place, align 8",
        "  ret void",
        "}",
        "",
    ]
    return "\n".join(lines)
