"""The thread pool's code, as IR: a region of chunks is shared by its caller and the helpers.

One atomic word holds which chunks of the region that runs are left: one past the last (high half) and the first (low
half). The caller takes from the front and helpers from the back, by compare-and-exchange: so in a loop over the same
regions a core meets the same chunks again, whose data its cache may still hold. Only with a chunk taken is the region's
record read, and it cannot change before that chunk is done. So a late helper either takes a chunk of whatever region
runs by then, or none: the word needs no generation.

Helpers look for work for a while, then sleep: in a futex on Linux, else on a condition variable. Before it sleeps a
helper counts itself among the sleepers, and then looks once more; the caller publishes the region, and then reads
how many sleep. So no wake-up is lost.
"""

from functools import reduce

from symgraph.lowering.llvm.emit import I32, I64, PTR, Builder, Value, constant
from symgraph.lowering.llvm.target import Target

# The pool in memory: byte offsets. What different threads write lies in different cache lines.
LAYOUT = {
    "WORD": 0,  # i64
    "FN": 64,  # the region: the kernel, its operands, and the caller's floating-point mode
    "TABLE": 72,
    "ARGS": 80,
    "MODE": 88,
    "DONE": 128,  # i32: the chunks that helpers have done
    "WAITING": 132,  # i32: whether the caller sleeps until they have
    "BUSY": 192,  # i32: whether a region runs
    "SLEEPERS": 256,  # i32: how many helpers sleep
    "SIGNAL": 260,  # i32: changes when they are woken
    "HELPERS": 264,  # i32: how many there are
    "SPINS": 320,  # i64: for how many pauses to look before sleeping
    "SYSCALL": 328,  # how to sleep: the function and the number of the futex call, or null and
    "FUTEX": 336,
    "LOCK": 344,  # four functions on a lock and a condition variable
    "UNLOCK": 352,
    "AWAIT": 360,
    "WAKE": 368,
    "MUTEX": 384,
    "CONDITION": 576,
}
SIZE = 768

RUN, HELP, PAUSE = "symgraph_pool_run", "symgraph_pool_help", "symgraph_pool_pause"
X86, _ARM = ("x86_64", "amd64", "i686"), ("aarch64", "arm64")


def pool_code(target: Target) -> tuple[list[str], list[str]]:
    """The functions of the pool and what they declare.

    `run(pool, fn, table, args, chunks)` calls fn(table, args, chunk) for every chunk, `help(pool)` takes part in that
    for ever, `pause(n)` waits for n short whiles.
    """
    pause, declared = _pause(target)
    save, adopt, modes = _mode(target)
    holes = {"pause": pause, "save": save, "adopt": adopt, **LAYOUT}
    text = reduce(lambda text, hole: text.replace(f"<{hole}>", str(holes[hole])), holes, _TEXT)
    return [text], [*declared, *modes]


def flush_denormals(b: Builder, target: Target) -> Value | None:
    """Write at the entry of a function: denormal floats count as 0 from here on, in operands and in results.

    Returns the mode as it was, for `restore_mode` before each return; None where the machine has no such mode.
    The helpers of a pool compute in the mode of their caller.
    """
    if target.triple.startswith(X86):
        old, mode = b.emit(PTR, "alloca i32, align 4"), b.emit(PTR, "alloca i32, align 4")
        _call(b, "llvm.x86.sse.stmxcsr", old)
        flushed = b.bits("or", b.load(I32, old, align=4), constant(I32, _MXCSR_FLUSH))
        b.store(flushed, mode, align=4)
        _call(b, "llvm.x86.sse.ldmxcsr", mode)
        return old
    if target.triple.startswith(_ARM):
        old = b.call(I64, "llvm.aarch64.get.fpcr")
        _call(b, "llvm.aarch64.set.fpcr", b.bits("or", old, constant(I64, _FPCR_FLUSH)))
        return old
    return None


def restore_mode(b: Builder, target: Target, old: Value | None) -> None:
    """Undo `flush_denormals`."""
    if old is not None:
        x86 = target.triple.startswith(X86)
        _call(b, "llvm.x86.sse.ldmxcsr" if x86 else "llvm.aarch64.set.fpcr", old)


# Flush to zero and denormals are zero (Intel SDM 10.2.3); FZ (Arm ARM, FPCR).
_MXCSR_FLUSH, _FPCR_FLUSH = 0x8040, 1 << 24


def _call(b: Builder, name: str, argument: Value) -> None:
    b.intrinsics[name] = f"declare void @{name}({argument.type})"
    b.do(f"call void @{name}({argument})")


def _pause(target: Target) -> tuple[str, list[str]]:
    """Tell the processor that this is a loop that waits."""
    if target.triple.startswith(X86):
        return "call void @llvm.x86.sse2.pause()", ["declare void @llvm.x86.sse2.pause()"]
    if target.triple.startswith(_ARM):
        return "call void @llvm.aarch64.hint(i32 1)", ["declare void @llvm.aarch64.hint(i32)"]
    return "fence seq_cst", []


def _mode(target: Target) -> tuple[str, str, list[str]]:
    """Write the floating-point mode to %mode, and read it from there: helpers compute in that of their caller."""
    if target.triple.startswith(X86):
        names = ("llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr")
        return (
            f"call void @{names[0]}(ptr %mode)",
            f"call void @{names[1]}(ptr %mode)",
            [f"declare void @{name}(ptr)" for name in names],
        )
    if target.triple.startswith(_ARM):
        return (
            "%fpcr = call i64 @llvm.aarch64.get.fpcr()\n  store i64 %fpcr, ptr %mode",
            "%fpcr = load i64, ptr %mode\n  call void @llvm.aarch64.set.fpcr(i64 %fpcr)",
            ["declare i64 @llvm.aarch64.get.fpcr()", "declare void @llvm.aarch64.set.fpcr(i64)"],
        )
    return "", "", []


_TEXT = """\
define void @symgraph_pool_run(ptr %pool, ptr %fn, ptr %table, ptr %args, i64 %chunks) #0 {
entry:
  %helpersp = getelementptr i8, ptr %pool, i64 <HELPERS>
  %helpers = load atomic i32, ptr %helpersp monotonic, align 4
  %helped = icmp sgt i32 %helpers, 0
  %several = icmp sgt i64 %chunks, 1
  %fits = icmp slt i64 %chunks, 2147483647
  %useful = and i1 %helped, %several
  %shareable = and i1 %useful, %fits
  br i1 %shareable, label %try, label %alone

try:
  %busy = getelementptr i8, ptr %pool, i64 <BUSY>
  %was = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic, align 4
  %ours = extractvalue { i32, i1 } %was, 1
  br i1 %ours, label %share, label %alone

alone:
  %none = icmp slt i64 %chunks, 1
  br i1 %none, label %return, label %each
each:
  %chunk = phi i64 [ 0, %alone ], [ %following, %each ]
  call void %fn(ptr %table, ptr %args, i64 %chunk)
  %following = add i64 %chunk, 1
  %more = icmp slt i64 %following, %chunks
  br i1 %more, label %each, label %return

share:
  %fnp = getelementptr i8, ptr %pool, i64 <FN>
  store ptr %fn, ptr %fnp, align 8
  %tablep = getelementptr i8, ptr %pool, i64 <TABLE>
  store ptr %table, ptr %tablep, align 8
  %argsp = getelementptr i8, ptr %pool, i64 <ARGS>
  store ptr %args, ptr %argsp, align 8
  %mode = getelementptr i8, ptr %pool, i64 <MODE>
  <save>
  %done = getelementptr i8, ptr %pool, i64 <DONE>
  store atomic i32 0, ptr %done monotonic, align 4
  %word = shl i64 %chunks, 32
  store atomic i64 %word, ptr %pool seq_cst, align 8
  %sleepersp = getelementptr i8, ptr %pool, i64 <SLEEPERS>
  %sleepers = load atomic i32, ptr %sleepersp seq_cst, align 4
  %asleep = icmp sgt i32 %sleepers, 0
  br i1 %asleep, label %rouse, label %take
rouse:
  %signal = getelementptr i8, ptr %pool, i64 <SIGNAL>
  %old = atomicrmw add ptr %signal, i32 1 seq_cst
  %count = trunc i64 %chunks to i32
  %wanted = sub i32 %count, 1
  call void @wake(ptr %pool, ptr %signal, i32 %wanted)
  br label %take
take:
  %mine = call i32 @drain(ptr %pool, i1 true)
  %all = trunc i64 %chunks to i32
  %theirs = sub i32 %all, %mine
  %spinsp = getelementptr i8, ptr %pool, i64 <SPINS>
  %spins = load i64, ptr %spinsp, align 8
  br label %spin
spin:
  %spun = phi i64 [ 0, %take ], [ %again, %wait ]
  %seen = load atomic i32, ptr %done acquire, align 4
  %ready = icmp eq i32 %seen, %theirs
  br i1 %ready, label %finish, label %wait
wait:
  <pause>
  %again = add i64 %spun, 1
  %patient = icmp slt i64 %again, %spins
  br i1 %patient, label %spin, label %doze
doze:
  %waiting = getelementptr i8, ptr %pool, i64 <WAITING>
  store atomic i32 1, ptr %waiting seq_cst, align 4
  br label %look
look:
  %now = load atomic i32, ptr %done seq_cst, align 4
  %come = icmp eq i32 %now, %theirs
  br i1 %come, label %awake, label %sleep
sleep:
  call void @sleep_while(ptr %pool, ptr %done, i32 %now)
  br label %look
awake:
  store atomic i32 0, ptr %waiting monotonic, align 4
  br label %finish
finish:
  store atomic i32 0, ptr %busy release, align 4
  br label %return
return:
  ret void
}

; Take chunks while there are any, from the front or from the back; returns how many.
define internal i32 @drain(ptr %pool, i1 %front) #0 {
entry:
  br label %look
look:
  %taken = phi i32 [ 0, %entry ], [ %taken, %claim ], [ %one_more, %work ]
  %word = load atomic i64, ptr %pool acquire, align 8
  %high = lshr i64 %word, 32
  %next = and i64 %word, 4294967295
  %left = icmp ult i64 %next, %high
  br i1 %left, label %claim, label %return
claim:
  %last = sub i64 %high, 1
  %own = select i1 %front, i64 %next, i64 %last
  %change = select i1 %front, i64 1, i64 -4294967296
  %after = add i64 %word, %change
  %pair = cmpxchg ptr %pool, i64 %word, i64 %after acq_rel monotonic, align 8
  %ours = extractvalue { i64, i1 } %pair, 1
  br i1 %ours, label %work, label %look
work:
  %mode = getelementptr i8, ptr %pool, i64 <MODE>
  <adopt>
  %fnp = getelementptr i8, ptr %pool, i64 <FN>
  %fn = load ptr, ptr %fnp, align 8
  %tablep = getelementptr i8, ptr %pool, i64 <TABLE>
  %table = load ptr, ptr %tablep, align 8
  %argsp = getelementptr i8, ptr %pool, i64 <ARGS>
  %args = load ptr, ptr %argsp, align 8
  call void %fn(ptr %table, ptr %args, i64 %own)
  %one_more = add i32 %taken, 1
  br label %look
return:
  ret i32 %taken
}

define void @symgraph_pool_help(ptr %pool) #0 {
entry:
  %helpersp = getelementptr i8, ptr %pool, i64 <HELPERS>
  %done = getelementptr i8, ptr %pool, i64 <DONE>
  %waiting = getelementptr i8, ptr %pool, i64 <WAITING>
  %sleepers = getelementptr i8, ptr %pool, i64 <SLEEPERS>
  %signal = getelementptr i8, ptr %pool, i64 <SIGNAL>
  %spinsp = getelementptr i8, ptr %pool, i64 <SPINS>
  %spins = load i64, ptr %spinsp, align 8
  %before = atomicrmw add ptr %helpersp, i32 1 seq_cst
  br label %help
help:
  %mine = call i32 @drain(ptr %pool, i1 false)
  %some = icmp sgt i32 %mine, 0
  br i1 %some, label %tell, label %rest
tell:
  %told = atomicrmw add ptr %done, i32 %mine seq_cst
  %awaited = load atomic i32, ptr %waiting seq_cst, align 4
  %rouse = icmp ne i32 %awaited, 0
  br i1 %rouse, label %call, label %rest
call:
  call void @wake(ptr %pool, ptr %done, i32 1)
  br label %rest

rest:
  br label %spin
spin:
  %spun = phi i64 [ 0, %rest ], [ %again, %wait ]
  %work = call i1 @work(ptr %pool)
  br i1 %work, label %help, label %wait
wait:
  <pause>
  %again = add i64 %spun, 1
  %patient = icmp slt i64 %again, %spins
  br i1 %patient, label %spin, label %doze

doze:
  %s1 = atomicrmw add ptr %sleepers, i32 1 seq_cst
  %seen = load atomic i32, ptr %signal seq_cst, align 4
  %late = call i1 @work(ptr %pool)
  br i1 %late, label %rise, label %sleep
sleep:
  call void @sleep_while(ptr %pool, ptr %signal, i32 %seen)
  br label %rise
rise:
  %s2 = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %help
}

; Whether there are chunks to take.
define internal i1 @work(ptr %pool) #0 {
  %word = load atomic i64, ptr %pool seq_cst, align 8
  %high = lshr i64 %word, 32
  %next = and i64 %word, 4294967295
  %left = icmp ult i64 %next, %high
  ret i1 %left
}

; Sleep until woken, unless the value has changed; may return early.
define internal void @sleep_while(ptr %pool, ptr %value, i32 %seen) #0 {
entry:
  %syscallp = getelementptr i8, ptr %pool, i64 <SYSCALL>
  %syscall = load ptr, ptr %syscallp, align 8
  %has = icmp ne ptr %syscall, null
  br i1 %has, label %futex, label %condition
futex:
  %numberp = getelementptr i8, ptr %pool, i64 <FUTEX>
  %number = load i64, ptr %numberp, align 8
  %wide = zext i32 %seen to i64
  %r = call i64 (i64, ...) %syscall(i64 %number, ptr %value, i64 128, i64 %wide, ptr null)
  ret void
condition:
  %mutex = getelementptr i8, ptr %pool, i64 <MUTEX>
  %cond = getelementptr i8, ptr %pool, i64 <CONDITION>
  %lockp = getelementptr i8, ptr %pool, i64 <LOCK>
  %lock = load ptr, ptr %lockp, align 8
  %unlockp = getelementptr i8, ptr %pool, i64 <UNLOCK>
  %unlock = load ptr, ptr %unlockp, align 8
  call void %lock(ptr %mutex)
  %now = load atomic i32, ptr %value seq_cst, align 4
  %same = icmp eq i32 %now, %seen
  br i1 %same, label %sleep, label %leave
sleep:
  %awaitp = getelementptr i8, ptr %pool, i64 <AWAIT>
  %await = load ptr, ptr %awaitp, align 8
  %r2 = call i32 %await(ptr %cond, ptr %mutex, i32 -1, i32 0)
  br label %leave
leave:
  call void %unlock(ptr %mutex)
  ret void
}

; Wake up to so many of those who sleep while a value is what it was: it has been changed.
define internal void @wake(ptr %pool, ptr %value, i32 %wanted) #0 {
entry:
  %syscallp = getelementptr i8, ptr %pool, i64 <SYSCALL>
  %syscall = load ptr, ptr %syscallp, align 8
  %has = icmp ne ptr %syscall, null
  br i1 %has, label %futex, label %condition
futex:
  %numberp = getelementptr i8, ptr %pool, i64 <FUTEX>
  %number = load i64, ptr %numberp, align 8
  %wide = zext i32 %wanted to i64
  %r = call i64 (i64, ...) %syscall(i64 %number, ptr %value, i64 129, i64 %wide)
  ret void
condition:
  %mutex = getelementptr i8, ptr %pool, i64 <MUTEX>
  %cond = getelementptr i8, ptr %pool, i64 <CONDITION>
  %lockp = getelementptr i8, ptr %pool, i64 <LOCK>
  %lock = load ptr, ptr %lockp, align 8
  %unlockp = getelementptr i8, ptr %pool, i64 <UNLOCK>
  %unlock = load ptr, ptr %unlockp, align 8
  %wakep = getelementptr i8, ptr %pool, i64 <WAKE>
  %wake = load ptr, ptr %wakep, align 8
  call void %lock(ptr %mutex)
  call void %unlock(ptr %mutex)
  call void %wake(ptr %cond)
  ret void
}

define void @symgraph_pool_pause(i64 %whiles) #0 {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %following, %loop ]
  <pause>
  %following = add i64 %i, 1
  %more = icmp slt i64 %following, %whiles
  br i1 %more, label %loop, label %return
return:
  ret void
}
"""
