"""From IR to running code: text -> object -> addresses of its functions, kept alive by the holder."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from threading import Lock
from typing import Any

import attrs

from symgraph.errors import CompileError
from symgraph.lowering.llvm.target import Target, host, llvm, machine

_numbers = count()
_linking = Lock()


def module_text(functions: Sequence[str], declarations: Sequence[str], target: Target) -> str:
    """A whole module."""
    head = [f'target triple = "{target.triple}"', ""]
    return "\n".join([*head, *functions, *sorted(set(declarations)), target.attributes, ""])


def object_code(text: str, target: Target) -> bytes:
    """Compile a module; raises CompileError for IR that LLVM refuses."""
    binding = llvm()
    try:
        with binding.create_context() as context, binding.parse_assembly(text, context) as module:
            code: bytes = machine(target).emit_object(module)
    except RuntimeError as error:
        raise CompileError(f"LLVM refused the generated code: {error}") from error
    return code


def assembly(text: str, target: Target) -> str:
    """The machine code of a module, as text."""
    binding = llvm()
    with binding.create_context() as context, binding.parse_assembly(text, context) as module:
        code: str = machine(target).emit_assembly(module)
    return code


@attrs.frozen(eq=False)
class Loaded:
    """Linked code: the addresses of its exported functions. The code lives as long as this does."""

    addresses: dict[str, int]
    _tracker: Any


def load(code: bytes, names: Sequence[str]) -> Loaded:
    """Link an object; raises CompileError where a symbol is missing or the object is damaged."""
    binding = llvm()
    builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in names:
        builder.export_symbol(name)
    try:
        with _linking:
            tracker = builder.link(_jit(), f"symgraph{next(_numbers)}")
    except RuntimeError as error:
        raise CompileError(f"LLVM could not link the generated code: {error}") from error
    return Loaded({name: tracker[name] for name in names}, tracker)


@lru_cache(1)
def _jit() -> Any:
    """The process's linker; its code is freed piece by piece as trackers go."""
    return llvm().create_lljit_compiler(machine(host()))
