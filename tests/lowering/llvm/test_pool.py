"""The thread pool: every chunk runs once, on all threads, whoever calls; and nothing that happens makes it hang."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.lowering.llvm import pool as pools
from symgraph.lowering.llvm.emit import PTR, Builder, Value
from symgraph.lowering.llvm.jit import load, module_text, object_code
from symgraph.lowering.llvm.pool import make_pool, pool, quota, reset, thread_count
from symgraph.lowering.llvm.pool_code import LAYOUT, flush_denormals, pool_code, restore_mode
from symgraph.lowering.llvm.target import Target, host

ROOT = Path(__file__).parents[3]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="affinity and control groups are of Linux")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
WAYS = pytest.mark.parametrize("futex", [True, False], ids=["futex", "condition variable"])

# `many` runs a region many times over; `sum` adds the bytes of chunk k of 64 bytes, n times, to the k-th total.
TEXT = """\
define void @many(ptr %run, ptr %pool, ptr %fn, ptr %table, ptr %args, i64 %chunks, i64 %times) #0 {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %j, %loop ]
  call void %run(ptr %pool, ptr %fn, ptr %table, ptr %args, i64 %chunks)
  %j = add i64 %i, 1
  %more = icmp slt i64 %j, %times
  br i1 %more, label %loop, label %done
done:
  ret void
}
define void @sum(ptr %table, ptr %args, i64 %chunk) #0 {
entry:
  %data = load ptr, ptr %table
  %totals_ = getelementptr ptr, ptr %table, i64 1
  %totals = load ptr, ptr %totals_
  %n = load i64, ptr %args
  %first = mul i64 %chunk, 64
  %here = getelementptr i8, ptr %data, i64 %first
  %place = getelementptr i64, ptr %totals, i64 %chunk
  %old = load i64, ptr %place
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %j, %loop ]
  %total = phi i64 [ %old, %entry ], [ %sum, %loop ]
  %k = and i64 %i, 63
  %at = getelementptr i8, ptr %here, i64 %k
  %byte = load i8, ptr %at
  %wide = zext i8 %byte to i64
  %sum = add i64 %total, %wide
  %j = add i64 %i, 1
  %more = icmp slt i64 %j, %n
  br i1 %more, label %loop, label %done
done:
  store i64 %sum, ptr %place
  ret void
}
"""


@cache
def code():
    return load(object_code(module_text([TEXT], [], host()), host()), ["many", "sum"])


@cache
def shared(futex):
    """A pool of four threads that sleeps in a way, after a wait of a microsecond: so that it sleeps often."""
    return make_pool(4, futex, look_ns=1000)


KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


def run(pool, kernel, table, args, chunks, times=1):
    many = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, ctypes.c_int64, ctypes.c_int64)(
        code().addresses["many"]
    )
    many(pool.run, pool.address, kernel, table, args, chunks, times)


def sums(pool, chunks, times, bytes_=64):
    """The totals of a region that runs many times, and what they have to be."""
    data = np.arange(64 * chunks, dtype=np.uint32).astype(np.uint8)
    totals = np.zeros(chunks, np.int64)
    table = np.array([data.ctypes.data, totals.ctypes.data])
    args = np.array([bytes_])
    run(pool, code().addresses["sum"], table.ctypes.data, args.ctypes.data, chunks, times)
    rounds = np.tile(data.reshape(chunks, 64), -(-bytes_ // 64))[:, :bytes_]
    return totals, times * rounds.sum(1, dtype=np.int64)


def finishes(function, seconds=60):
    """Run a function that may hang if it is wrong, and return what it does; fails if it hangs."""
    with_result = ThreadPoolExecutor(1)
    try:
        return with_result.submit(function).result(seconds)
    finally:
        with_result.shutdown(wait=False)


# Regions


@WAYS
@pytest.mark.parametrize("chunks", [0, 1, 2, 3, 4, 5, 64, 1000])
def test_every_chunk_runs_once(chunks, futex):
    totals, expected = finishes(lambda: sums(shared(futex), chunks, 50))
    np.testing.assert_array_equal(totals, expected)


@WAYS
def test_no_wake_up_is_lost(futex):
    # Helpers and caller sleep at every chance here; a wake-up that is lost is a hang.
    totals, expected = finishes(lambda: sums(shared(futex), 8, 20_000))
    np.testing.assert_array_equal(totals, expected)
    for _ in range(50):
        time.sleep(0.0005)
        totals, expected = finishes(lambda: sums(shared(futex), 5, 3, 2000))
        np.testing.assert_array_equal(totals, expected)


@WAYS
def test_all_threads_take_part(futex):
    # Four chunks that wait for each other need four threads at once.
    for _ in range(5):
        barrier, seen = threading.Barrier(4), {}

        def kernel(table, args, chunk, barrier=barrier, seen=seen):
            barrier.wait(30)
            seen[chunk] = threading.get_ident()

        call = KERNEL(kernel)
        run(shared(futex), ctypes.cast(call, ctypes.c_void_p), None, None, 4)
        assert sorted(seen) == [0, 1, 2, 3]
        assert len(set(seen.values())) == 4
        assert threading.get_ident() in seen.values()


@WAYS
def test_eight_callers_share_a_pool(futex):
    def work(number):
        for turn in range(40):
            totals, expected = sums(shared(futex), 2 + (number + turn) % 7, 20, 64 * (1 + turn))
            np.testing.assert_array_equal(totals, expected)
        return number

    with ThreadPoolExecutor(8) as callers:
        futures = [callers.submit(work, number) for number in range(8)]
        assert [future.result(60) for future in futures] == list(range(8))


def test_who_finds_the_pool_busy_runs_alone():
    inside, leave, seen = threading.Event(), threading.Event(), []

    def slow(table, args, chunk):
        inside.set()
        leave.wait(30)

    def quick(table, args, chunk):
        seen.append((chunk, threading.get_ident()))

    first, second = KERNEL(slow), KERNEL(quick)
    other = threading.Thread(
        target=lambda: run(shared(True), ctypes.cast(first, ctypes.c_void_p), None, None, 9)
    )
    other.start()
    assert inside.wait(30)
    run(shared(True), ctypes.cast(second, ctypes.c_void_p), None, None, 3)
    assert seen == [(chunk, threading.get_ident()) for chunk in range(3)]  # while the first has not ended
    assert other.is_alive()
    leave.set()
    other.join(30)
    assert not other.is_alive()


def test_a_region_within_a_region_runs_on_its_thread():
    counts = []

    def inner(table, args, chunk):
        counts.append(chunk)

    inside = KERNEL(inner)

    def outer(table, args, chunk):
        run(shared(True), ctypes.cast(inside, ctypes.c_void_p), None, None, 3)

    outside = KERNEL(outer)
    finishes(lambda: run(shared(True), ctypes.cast(outside, ctypes.c_void_p), None, None, 4))
    assert sorted(counts) == [0] * 4 + [1] * 4 + [2] * 4


def test_nobody_waits_for_a_helper_that_has_not_begun():
    one = make_pool(2)
    reset(one)
    ctypes.c_int32.from_address(one.address + LAYOUT["HELPERS"]).value = 1000  # of which 999 never come
    totals, expected = finishes(lambda: sums(one, 16, 1000))
    np.testing.assert_array_equal(totals, expected)


def test_a_system_that_refuses_threads_is_no_error(monkeypatch):
    class Refused(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pools, "Thread", Refused)
    alone = make_pool(4)
    totals, expected = sums(alone, 16, 100)
    np.testing.assert_array_equal(totals, expected)
    assert pools.helpers(alone) == 0


@LINUX
def test_where_futexes_are_forbidden_others_sleep(monkeypatch):
    monkeypatch.setattr(pools, "_FUTEX", dict.fromkeys(pools._FUTEX, 100_000))  # no such call
    one = make_pool(3, look_ns=1000)
    assert ctypes.c_int64.from_address(one.address + LAYOUT["SYSCALL"]).value == 0
    totals, expected = finishes(lambda: sums(one, 8, 2000))
    np.testing.assert_array_equal(totals, expected)


# The floating-point mode


def multiplying(flush):
    """The address of a function that multiplies floats, alone or with denormals flushed."""
    b = Builder()
    old = flush_denormals(b, host()) if flush else None
    for line in ("%x = load float, ptr %a", "%y = load float, ptr %b", "%z = fmul float %x, %y"):
        b.do(line)
    b.do("store float %z, ptr %c")
    restore_mode(b, host(), old)
    text = "define void @f(ptr %a, ptr %b, ptr %c) #0 {\nentry:\n" + "\n".join(b.lines) + "\n  ret void\n}"
    return load(object_code(module_text([text], list(b.intrinsics.values()), host()), host()), ["f"])


def product(loaded, x, y):
    a, b, c = (ctypes.c_float(v) for v in (x, y, -1.0))
    f = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(loaded.addresses["f"])
    f(ctypes.byref(a), ctypes.byref(b), ctypes.byref(c))
    return c.value


def test_denormals_are_flushed_between_entry_and_return():
    plain, flushing = multiplying(False), multiplying(True)
    for x, y in ((1e-30, 1e-10), (1e-40, 1.0), (-1e-40, 1e3)):
        exact = float(np.float32(x) * np.float32(y))
        assert product(plain, x, y) == exact != 0
        assert product(flushing, x, y) == 0
        assert product(plain, x, y) == exact  # the mode is what it was
    assert product(flushing, 3.0, 0.5) == 1.5


def test_helpers_compute_in_the_mode_of_their_caller():
    plain, barrier, seen = multiplying(False), threading.Barrier(4), []

    def kernel(table, args, chunk):
        barrier.wait(30)
        seen.append(product(plain, 1e-30, 1e-10))

    b = Builder()
    old = flush_denormals(b, host())
    b.do("call void %run(ptr %pool, ptr %fn, ptr null, ptr null, i64 4)")
    restore_mode(b, host(), old)
    text = (
        "define void @f(ptr %run, ptr %pool, ptr %fn) #0 {\nentry:\n" + "\n".join(b.lines) + "\n  ret void\n}"
    )
    loaded = load(object_code(module_text([text], list(b.intrinsics.values()), host()), host()), ["f"])
    f = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(loaded.addresses["f"])
    call = KERNEL(kernel)
    f(shared(True).run, shared(True).address, ctypes.cast(call, ctypes.c_void_p))
    run(shared(True), ctypes.cast(call, ctypes.c_void_p), None, None, 4)
    exact = float(np.float32(1e-30) * np.float32(1e-10))
    assert seen == [0.0] * 4 + [exact] * 4


@pytest.mark.parametrize(
    "triple",
    [
        "aarch64-unknown-linux-gnu",
        "arm64-apple-macosx14.0.0",
        "x86_64-pc-windows-msvc",
        "riscv64-unknown-linux-gnu",
    ],
)
def test_code_for_other_machines_can_be_made(triple):
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = Target(16, 16, "", triple)
    b = Builder()
    restore_mode(b, target, flush_denormals(b, target))
    body = "define void @f() #0 {\nentry:\n" + "\n".join(b.lines) + "\n  ret void\n}"
    functions, declarations = pool_code(target)
    text = module_text([*functions, body], [*declarations, *b.intrinsics.values()], target)
    assert len(object_code(text, target, 0)) > 1000


def test_a_machine_without_such_a_mode_is_left_as_it_is():
    target = Target(16, 16, "", "riscv64-unknown-linux-gnu")
    b = Builder()
    assert flush_denormals(b, target) is None
    restore_mode(b, target, None)
    assert not b.lines
    assert isinstance(flush_denormals(Builder(), Target(16, 16, "", "x86_64-linux")), Value)
    assert flush_denormals(Builder(), Target(16, 16, "", "x86_64-linux")).type == PTR


# Pools and how many threads


def test_a_process_has_one_pool_for_a_number_of_threads():
    with ThreadPoolExecutor(8) as callers:
        made = list(callers.map(pool, [2, 3] * 8))
    assert set(made) == {pool(2), pool(3)}
    assert (pool(2).threads, pool(3).threads) == (2, 3)
    assert pool(1) is None


def test_the_number_of_threads_is_that_asked_for(monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", "7")
    assert thread_count() == 7
    assert thread_count(3) == 3
    assert thread_count(np.int64(2)) == 2
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", "")
    assert thread_count() >= 1


@LINUX
def test_the_number_of_threads_is_that_of_the_processors_that_may_be_used(monkeypatch):
    monkeypatch.delenv("SYMGRAPH_NUM_THREADS", raising=False)
    monkeypatch.setattr(pools, "quota", lambda groups: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5})
    assert thread_count() == 3
    monkeypatch.setattr(pools, "quota", lambda groups: 2)
    assert thread_count() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert thread_count() == 1


def test_a_container_may_have_less_time_than_processors(tmp_path):
    assert quota(tmp_path) is None
    for text, processors in (("max 100000", None), ("150000 100000", 2), ("50000 100000", 1), ("?", None)):
        (tmp_path / "cpu.max").write_text(text + "\n")
        assert quota(tmp_path) == processors
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for text, processors in (("-1", None), ("400000", 4)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(text)
        assert quota(tmp_path) == processors


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True, 1025])
def test_what_is_no_number_of_threads_is_refused(threads):
    with pytest.raises(sg.CompileError, match="threads is a whole number from 1 to 1024, not"):
        thread_count(threads)


@pytest.mark.parametrize("text", ["0", "-2", "1.5", "many", "²", "99999"])
def test_a_variable_that_is_no_number_of_threads_is_refused(text, monkeypatch):
    monkeypatch.setenv("SYMGRAPH_NUM_THREADS", text)
    with pytest.raises(sg.CompileError, match="SYMGRAPH_NUM_THREADS is a whole number from 1 to 1024, not"):
        thread_count()


# The life of a process


def script(text, timeout=60):
    """Run a script that sees this module's functions; returns what it prints."""
    start = "import os, sys, threading, time\nfrom tests.lowering.llvm.test_pool import *\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", start + text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


FORK = """
one = pool(3)
right = lambda: all((a == b).all() for a, b in (sums(one, 8, 200) for _ in range(5)))
assert right()
busy = threading.Thread(target=lambda: sums(one, 8, 3000, 64 * 100))
busy.start()
compiling = threading.Thread(target=lambda: [object_code(module_text([TEXT], [], host()), host()) for _ in range(8)])
compiling.start()
time.sleep(0.01)
child = os.fork()
if child == 0:
    code_ = 1
    try:
        assert pools.helpers(one) == 0
        assert right()
        object_code(module_text([TEXT], [], host()), host())
        assert pool(3) is one
        deadline = time.monotonic() + 20
        while pools.helpers(one) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert pools.helpers(one) == 2
        assert right()
        code_ = 0
    finally:
        sys.stderr.flush()
        os._exit(code_)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert right()
busy.join()
compiling.join()
print("done")
"""


@FORKS
def test_a_fork_in_the_midst_of_it_all_gives_a_child_that_works():
    assert script(FORK) == "done\n"


def test_the_interpreter_ends_while_helpers_look_sleep_and_work():
    text = """
one, other = make_pool(2, look_ns=10**9), make_pool(3, futex=False)
sums(one, 8, 10); sums(other, 8, 10)
threading.Thread(target=lambda: sums(other, 8, 10**9), daemon=True).start()
time.sleep(0.02)
print("done")
"""
    assert script(text) == "done\n"
