"""Threads: how many, and the pool of helpers that programs of a process share.

A program calls `Pool.run` of its pool for every region of several chunks. The caller always takes part, waits for
nobody who has not begun, and runs its chunks alone where the pool is busy with another caller's, where helpers could
not be started, and after a fork, since threads do not cross it. The chunks are fixed by the program, so results have
the same bits for any number of threads.
"""

import ctypes
import os
import platform
import sys
from numbers import Integral
from pathlib import Path
from threading import Lock, Thread
from time import perf_counter_ns
from typing import Any

import attrs

from symgraph.errors import CompileError
from symgraph.lowering.llvm.cache import linked
from symgraph.lowering.llvm.jit import Loaded, module_text
from symgraph.lowering.llvm.pool_code import HELP, LAYOUT, PAUSE, RUN, SIZE, pool_code
from symgraph.lowering.llvm.target import host

_VARIABLE = "SYMGRAPH_NUM_THREADS"
_LOOK_NS = 50_000  # for how long who finds nothing to do looks before it sleeps; to wake takes as long
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221, "s390x": 238}
_FUTEX_WAKE_PRIVATE = 129
_MOST = 1024


def thread_count(threads: int | None = None) -> int:
    """The number of threads to use: as asked for, else of SYMGRAPH_NUM_THREADS, else the processors that this
    process may use.

    Raises CompileError for what is no whole number from 1 to 1024.

    >>> thread_count(2)
    2
    """
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, Integral) or not 1 <= threads <= _MOST:
            raise CompileError(
                f"threads is a whole number from 1 to {_MOST}, not {threads!r}",
                hint="Leave it out to use the processors that there are.",
            )
        return int(threads)
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return min(processors(), _MOST)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST):
        raise CompileError(
            f"the environment variable {_VARIABLE} is a whole number from 1 to {_MOST}, not {text!r}",
            hint=f"Set it to such as {_VARIABLE}=4, or unset it to use the processors that there are.",
        )
    return int(text)


def processors() -> int:
    """The processors that this process may use, or the time of so many, where a container is given less of it."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    share = quota(Path("/sys/fs/cgroup"))
    return count if share is None else max(1, min(count, share))


def quota(groups: Path) -> int | None:
    """The processors whose time a control group of Linux may use, rounded up; None where it is not limited."""
    try:
        try:
            limit, period = (groups / "cpu.max").read_text().split()
        except OSError:  # the first version of control groups
            limit, period = (
                (groups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        return -(-int(limit) // int(period)) if int(limit) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


@attrs.frozen(eq=False)
class Pool:
    """A pool as generated code sees it: `address` is the first argument of the function at `run`,

        void run(void *pool, void (*kernel)(void **table, int64_t *args, int64_t chunk),
                 void **table, int64_t *args, int64_t chunks)

    Both stay valid for the life of the process.
    """

    threads: int
    address: int
    run: int
    _memory: Any
    _code: Loaded


def pool(threads: int) -> Pool | None:
    """The process's pool of so many threads, the caller one of them; None for one thread. In a forked child it gets
    helpers of its own.
    """
    if threads == 1:
        return None
    with _process.lock:
        if threads not in _process.pools:
            _process.pools[threads] = make_pool(threads)
        elif threads in _process.orphaned:
            _process.orphaned.discard(threads)
            _start(_process.pools[threads])
        return _process.pools[threads]


@attrs.define
class _Process:
    """What a process keeps: its pools by their number of threads, and those whose helpers a fork has left behind."""

    pools: dict[int, Pool] = attrs.field(factory=dict)
    orphaned: set[int] = attrs.field(factory=set)
    lock: Any = attrs.field(factory=Lock)

    def in_child(self) -> None:
        """After a fork: there is this thread alone, whatever the others were about."""
        self.lock = Lock()
        self.orphaned.update(self.pools)
        for pool in self.pools.values():
            reset(pool)


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.in_child)


def make_pool(threads: int, futex: bool = True, look_ns: int = _LOOK_NS) -> Pool:
    """A new pool, with its helpers started. `futex` is whether they may sleep in one, where the system has them;
    `look_ns` for how long they look for work before they do.
    """
    target = host()
    # Level 0 takes a quarter of the time to compile, and nobody can tell the difference at run time.
    code = linked(module_text(*pool_code(target), target), target, (RUN, HELP, PAUSE), 0)
    # Helpers never return, and the interpreter ends before they do: what they use must outlive it.
    memory = ctypes.create_string_buffer(SIZE + 64)
    start = -(-ctypes.addressof(memory) // 64) * 64
    made = Pool(threads, start, code.addresses[RUN], memory, code)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
    _put(made, "SPINS", _pauses(code.addresses[PAUSE], look_ns))
    _choose_sleep(made, futex)
    _start(made)
    return made


def reset(pool: Pool) -> None:
    """Make a pool one without helpers, at rest."""
    quiet = LAYOUT["SPINS"]
    ctypes.memset(pool.address, 0, quiet)
    _make_locks(pool)


def helpers(pool: Pool) -> int:
    """How many helpers have begun."""
    return ctypes.c_int32.from_address(pool.address + LAYOUT["HELPERS"]).value


def _start(pool: Pool) -> None:
    """Start the helpers; where the system refuses more threads, those that there are must do."""
    help_ = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(pool._code.addresses[HELP])
    for number in range(1, pool.threads):
        thread = Thread(
            target=help_, args=(pool.address,), name=f"symgraph-{pool.threads}-{number}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            return


def _put(pool: Pool, name: str, value: int) -> None:
    ctypes.c_int64.from_address(pool.address + LAYOUT[name]).value = value


def _pauses(pause: int, nanoseconds: int) -> int:
    """How many pauses last so long: on processors of one kind they are 20 times longer than on others."""
    wait, count, took = ctypes.CFUNCTYPE(None, ctypes.c_int64)(pause), 500, []
    for _ in range(3):
        begin = perf_counter_ns()
        wait(count)
        took.append(perf_counter_ns() - begin)
    return max(1, count * nanoseconds // max(min(took), 1))


# Sleeping


def _choose_sleep(pool: Pool, futex: bool) -> None:
    number = _FUTEX.get(platform.machine()) if sys.platform == "linux" and futex else None
    if number is not None:
        call = ctypes.CDLL(None, use_errno=True).syscall
        call.restype, call.argtypes = (
            ctypes.c_long,
            [ctypes.c_long, ctypes.c_void_p, ctypes.c_long, ctypes.c_long],
        )
        if (
            call(number, pool.address + LAYOUT["SIGNAL"], _FUTEX_WAKE_PRIVATE, 1) == 0
        ):  # a sandbox may forbid it
            _put(pool, "FUTEX", number)
            _put(pool, "SYSCALL", _address(call))
            return
    _make_locks(pool)
    library, names = _lock_functions()
    for field, name in zip(("LOCK", "UNLOCK", "AWAIT", "WAKE"), names, strict=True):
        _put(pool, field, _address(getattr(library, name)))


def _lock_functions() -> tuple[Any, tuple[str, str, str, str]]:
    """Those of POSIX, or of Windows, whose wait has two arguments more: a time, for ever, and flags."""
    if sys.platform == "win32":
        return ctypes.WinDLL("kernel32"), (
            "AcquireSRWLockExclusive",
            "ReleaseSRWLockExclusive",
            "SleepConditionVariableSRW",
            "WakeAllConditionVariable",
        )
    return ctypes.CDLL(None), (
        "pthread_mutex_lock",
        "pthread_mutex_unlock",
        "pthread_cond_wait",
        "pthread_cond_broadcast",
    )


def _make_locks(pool: Pool) -> None:
    """A lock and a condition variable in the room that is kept for them, twice what any system takes."""
    begin = LAYOUT["MUTEX"]
    ctypes.memset(pool.address + begin, 0, SIZE - begin)
    if sys.platform != "win32":  # there, zeros are ready for use
        library = ctypes.CDLL(None)
        for make, place in (("pthread_mutex_init", "MUTEX"), ("pthread_cond_init", "CONDITION")):
            getattr(library, make)(ctypes.c_void_p(pool.address + LAYOUT[place]), None)


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0
