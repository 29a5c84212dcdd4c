"""From IR to running code: text -> object -> addresses of its functions, kept alive by the holder."""

import ctypes
import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from threading import RLock, Thread
from typing import Any, TypeVar

import attrs

from symgraph.errors import CompileError
from symgraph.lowering.llvm.target import Target, host, llvm, machine

# LLVM's linker keeps some 9 KB of names for every object it has linked, also of those that are long gone, and is
# 150 KB itself. So one serves a few objects, is replaced by the next, and goes with the last code it linked.
_OBJECTS_PER_LINKER = 32

A = TypeVar("A")
_numbers = count()
_unloaded: deque[Any] = deque()  # code that nothing holds any more; freed before the next is made

# LLVM does one thing at a time, by a lock of llvmlite's. A fork waits for this one, which is around that: else a
# child could be born with a lock that nobody will ever release.
_llvm_lock = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_llvm_lock.acquire, after_in_parent=_llvm_lock.release, after_in_child=_llvm_lock.release
    )


def module_text(functions: Sequence[str], declarations: Sequence[str], target: Target) -> str:
    """A whole module."""
    head = [f'target triple = "{target.triple}"', ""]
    return "\n".join([*head, *functions, *sorted(set(declarations)), target.attributes, ""])


def object_code(text: str, target: Target, level: int = 2) -> bytes:
    """Compile a module, with a level of care from 0 to 3; raises CompileError for IR that LLVM refuses."""

    def compiled() -> bytes:
        binding = llvm()
        with binding.create_context() as context, binding.parse_assembly(text, context) as module:
            code: bytes = machine(target, level).emit_object(module)
        return code

    try:
        return _apart(compiled)
    except RuntimeError as error:
        raise CompileError(f"LLVM refused the generated code: {error}") from error


def assembly(text: str, target: Target) -> str:
    """The machine code of a module, as text."""

    def written() -> str:
        binding = llvm()
        with binding.create_context() as context, binding.parse_assembly(text, context) as module:
            code: str = machine(target).emit_assembly(module)
        return code

    return _apart(written)


@attrs.frozen(eq=False)
class Loaded:
    """Linked code: the addresses of its exported functions. The code lives as long as this does: an address must
    not be called after it.
    """

    addresses: dict[str, int]


def load(code: bytes, names: Sequence[str]) -> Loaded:
    """Link an object; raises CompileError where a symbol is missing or the object is damaged.

    Code may call what LLVM itself writes calls to, memcpy, memmove and memset, and the functions of the process,
    such as those of the C library.
    """

    def linked() -> Loaded:
        builder = llvm().JITLibraryBuilder().add_object_img(code).add_current_process()
        for name, address in _memory_functions().items():
            builder.import_symbol(name, address)
        for name in names:
            builder.export_symbol(name)
        number = next(_numbers)
        tracker = builder.link(_linker(number // _OBJECTS_PER_LINKER), f"symgraph{number}")
        loaded = Loaded({name: tracker[name] for name in names})
        # Other threads may be in it until the very end, so it is not unloaded then.
        weakref.finalize(loaded, _unloaded.append, tracker).atexit = False
        return loaded

    try:
        return _apart(linked)
    except RuntimeError as error:
        raise CompileError(f"LLVM could not link the generated code: {error}") from error


def _apart(work: Callable[[], A]) -> A:
    """What a thread of its own computes. A KeyboardInterrupt comes to the main thread, between any two instructions:
    there it would leave LLVM's objects half freed, to be freed again.
    """
    results: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            with _llvm_lock:
                while _unloaded:
                    _unloaded.popleft().close()
                results.append((work(), None))
        except BaseException as error:
            results.append((None, error))

    thread = Thread(target=run, name="symgraph-compiler")
    thread.start()
    thread.join()
    ((made, error),) = results
    if error is not None:
        raise error
    return made  # type: ignore[no-any-return]


@lru_cache(1)
def _memory_functions() -> dict[str, int]:
    """Where they are, without asking for symbols, which not every system shows."""
    move, fill = (ctypes.cast(f, ctypes.c_void_p).value or 0 for f in (ctypes.memmove, ctypes.memset))
    return {"memcpy": move, "memmove": move, "memset": fill}


@lru_cache(1)
def _linker(number: int) -> Any:
    """The linker of the objects of a number; what it linked keeps it alive.

    JITLink puts an object's code and constants into one piece of memory. The older linker asks for each apart, and in
    a process that holds gigabytes they can come to lie too far from one another for 32-bit offsets.
    """
    return llvm().create_lljit_compiler(machine(host()), use_jit_link=True)
