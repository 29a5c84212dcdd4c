"""Functions of values compiled into loops over arrays, for every vector width that this machine can run."""

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple

import attrs
import numpy as np

from symgraph.lowering.llvm.emit import I64, PTR, Builder, Type, Value, constant, integer
from symgraph.lowering.llvm.jit import load, module_text, object_code
from symgraph.lowering.llvm.maths.elementwise import type_name
from symgraph.lowering.llvm.target import Target, host


def targets():
    """The host, and narrower targets than it: on x86 SSE2, which has no fused product, and AVX2."""
    wide = host()
    narrow = [Target(16, 16, "+sse2", wide.triple), Target(32, 16, "+avx2,+fma", wide.triple)]
    return [*(t for t in narrow if t.width < wide.width and wide.triple.startswith("x86_64")), wide]


class Job(NamedTuple):
    """`emit(b, *values)` on operands of some dtypes, as many at once as fill a register unless told."""

    emit: Callable[..., Value]
    operands: Sequence[str]
    result: str
    lanes: int | None = None


def compiled(jobs, target, contract=True):
    """A list of functions of arrays, from one module."""
    texts, declarations = [], set()
    for k, job in enumerate(jobs):
        b = Builder(contract=contract)
        texts.append(_loop(b, f"f{k}", job, _lanes(job, target)))
        declarations |= set(b.intrinsics.values())
    names = [f"f{k}" for k in range(len(jobs))]
    loaded = load(object_code(module_text(texts, declarations, target), target), names)
    return [Compiled(job, _lanes(job, target), loaded, name) for job, name in zip(jobs, names, strict=True)]


def _lanes(job, target):
    sizes = [np.dtype(d).itemsize for d in (*job.operands, job.result) if d != "bool"]
    return job.lanes or target.lanes(max(sizes, default=1))


def _loop(b, name, job, lanes):
    places = [Value(f"%p{k}", PTR) for k in range(len(job.operands))]
    loop = b.begin_loop(integer(0), Value("%n", I64), lanes)
    values = [_read(b, p, d, loop.index, lanes) for p, d in zip(places, job.operands, strict=True)]
    made = job.emit(b, *values)
    assert made.type == Type(type_name(np.dtype(job.result)), lanes)
    if job.result == "bool":
        made = b.cast("zext", made, Type("i8", lanes))
    b.store(made, b.offset(Value("%out", PTR), loop.index, np.dtype(job.result).itemsize))
    b.end_loop(loop)
    parameters = ", ".join(f"ptr {p.text}" for p in places)
    lines = "\n".join(b.lines)
    return f"define void @{name}({parameters}, ptr %out, i64 %n) #0 {{\nentry:\n{lines}\n  ret void\n}}"


def _read(b, place, dtype, index, lanes):
    address = b.offset(place, index, np.dtype(dtype).itemsize)
    if dtype != "bool":
        return b.load(Type(type_name(np.dtype(dtype)), lanes), address)
    loaded = b.load(Type("i8", lanes), address)
    return b.compare("ne", loaded, constant(loaded.type, 0))


@attrs.frozen
class Compiled:
    """A job's function; called with arrays of one length it returns another."""

    job: Job
    lanes: int
    loaded: object
    name: str

    def __call__(self, *arrays):
        size = len(arrays[0])
        whole = -(-size // self.lanes) * self.lanes
        padded = [np.resize(np.asarray(a, d), whole) for a, d in zip(arrays, self.job.operands, strict=True)]
        out = np.empty(whole, self.job.result)
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(padded) + 1), ctypes.c_int64)
        function = kind(self.loaded.addresses[self.name])
        function(*(a.ctypes.data for a in padded), out.ctypes.data, whole)
        return out[:size]


def same_bits(x, y):
    """Where two arrays have the same bits; every NaN is the same."""
    assert x.dtype == y.dtype
    if x.dtype.kind != "f":
        return x == y
    whole = f"u{x.itemsize}"
    return (x.view(whole) == y.view(whole)) | (np.isnan(x) & np.isnan(y))


def ulps(made, exact):
    """The error in units of the last place of what `exact`, in a wider type, rounds to."""
    rounded = exact.astype(made.dtype)
    unit = np.spacing(np.abs(np.where(np.isfinite(rounded), rounded, 1)))
    with np.errstate(invalid="ignore"):
        error = np.abs(made.astype(np.longdouble) - exact) / unit
    fine = (made == rounded) & ~np.isfinite(rounded) | np.isnan(made) & np.isnan(rounded)
    return np.where(fine, 0, np.where(np.isnan(error), np.inf, error)).astype(float)


def hostile(dtype, seed=0):
    """Values that arithmetic gets wrong: extremes, zeros of both signs, neighbours of powers of 2, halves."""
    random, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True, True, False])
    if dtype.kind == "i":
        info = np.iinfo(dtype)
        drawn = random.integers(info.min, info.max, 40, dtype) >> random.integers(0, info.bits, 40).astype(
            dtype
        )
        powers = [2**k + j for k in range(0, info.bits - 1, 3) for j in (-1, 0, 1)]
        edges = [
            info.min,
            info.min + 1,
            info.max,
            info.max - 1,
            info.min // 2,
            info.min // 3,
            0,
            1,
            -1,
            2,
            -2,
            7,
            -7,
        ]
        return np.concatenate([np.array(edges + powers, dtype), drawn])
    info = np.finfo(dtype)
    some = [0.0, 1.0, 0.5, 1.5, 2.5, 3.0, 0.3, 0.7, 7.0, 100.0, 1e10, 1e-3, np.inf, np.nan]
    some += [
        info.max,
        info.tiny,
        info.smallest_subnormal,
        2.0**31,
        2.0**63,
        2.0**31 - 1,
        2.0**23 + 0.5,
        2.0**52 + 0.5,
    ]
    drawn = np.concatenate([random.standard_normal(30) * 10, 2.0 ** random.uniform(-100, 100, 30)])
    made = np.concatenate([some, drawn]).astype(dtype)
    return np.concatenate([made, -made])


def any_bits(dtype, size, random):
    """Floats of random bits: every exponent, denormals, infinities and NaN."""
    whole = f"u{np.dtype(dtype).itemsize}"
    return random.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), size, whole).view(dtype)
