"""The machine that code is made for: its features, and what follows from them."""

from functools import lru_cache
from typing import Any

import attrs

from symgraph.errors import CompileError


def llvm() -> Any:
    """Llvmlite's binding, imported when first needed; raises CompileError where it is not installed."""
    try:
        import llvmlite.binding as binding
    except ImportError:
        raise CompileError(
            "the backend 'llvm' needs the package llvmlite, which is not installed",
            hint='Install it with pip install "symgraph[native]", or use backend="numpy".',
        ) from None
    return binding


def installed() -> bool:
    """Whether llvmlite can be imported; does not import it."""
    from importlib.util import find_spec

    return find_spec("llvmlite") is not None


@attrs.frozen
class Target:
    """What the code generator and the kernels need to know: vector registers of `width` bytes, `registers` of
    them, the features as LLVM writes them, and the triple.
    """

    width: int
    registers: int
    features: str
    triple: str

    def lanes(self, itemsize: int) -> int:
        """How many elements of a size fill a register."""
        return self.width // itemsize

    @property
    def attributes(self) -> str:
        """The attributes of every function. The width has to be told twice, or 512 bits become 2 x 256."""
        bits = 8 * self.width
        return (
            f'attributes #0 = {{ nounwind "prefer-vector-width"="{bits}" "min-legal-vector-width"="{bits}" }}'
        )


@lru_cache(1)
def host() -> Target:
    """The machine this runs on. Features decide: under virtual machines the name of the processor is often wrong."""
    binding = llvm()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features()
    has = {name for name, on in features.items() if on}
    triple = binding.get_process_triple()
    wide = {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= has
    width, registers = (64, 32) if wide else (32, 16) if {"avx2", "fma"} <= has else (16, 16)
    if triple.startswith(("aarch64", "arm64")):
        registers = 32
    return Target(width, registers, features.flatten(), triple)


@lru_cache(4)
def machine(target: Target, level: int = 2) -> Any:
    """LLVM's code generator for a target, at a level of optimisation."""
    binding = llvm()
    return binding.Target.from_triple(target.triple).create_target_machine(
        cpu="", features=target.features, opt=level, reloc="pic", codemodel="small", jit=True
    )
