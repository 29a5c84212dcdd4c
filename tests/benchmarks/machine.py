"""What was measured on: the processor, its cores, and the versions of what ran."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from symgraph.compile import lowering

_SIMD = ("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "SYMGRAPH_NUM_THREADS")


def machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """The machine and the versions, as JSON holds them; a package that is not installed is left out."""
    cpu = _cpu()
    return {
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "simd": [flag for flag in _SIMD if flag in cpu.get("flags", cpu.get("Features", "")).split()],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "threads": {name: os.environ[name] for name in _THREADS if name in os.environ},
        "backend": lowering("auto")[0],
        "python": platform.python_version(),
        "blas": _blas(),
        "packages": {name: found for name in packages if (found := _version(name)) is not None},
    }


def describe(about: dict[str, Any]) -> str:
    """The machine in a few lines of text."""
    versions = ", ".join(f"{name} {found}" for name, found in about["packages"].items())
    lines = [
        f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, {' '.join(about['simd'])}",
        f"{about['system']}, Python {about['python']}, {versions}; BLAS: {about['blas']}",
        f"load before the start: {about['load']}",
    ]
    lines.append(f"backend of symgraph, where none is named: {about['backend']}")
    lines += [f"{name}={value}" for name, value in about["threads"].items()]
    return "\n".join(lines)


def _cpu() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _blas() -> str:
    import numpy as np

    found: Any = np.show_config(mode="dicts")
    about = found.get("Build Dependencies", {}).get("blas", {})
    return f"{about.get('name', 'unknown')} {about.get('version', '')}".strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
