"""Every elementwise op against its own `evaluate`, at every width and dtype, on values chosen to break it."""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pytest

from symgraph.errors import DTypeError
from symgraph.ir import Op
from symgraph.lowering.llvm.maths.elementwise import EMITTERS, EXACT
from symgraph.ops.arithmetic import Maximum, Minimum, Pow
from symgraph.ops.base import Elementwise
from symgraph.ops.logic import Cast, Where
from symgraph.ops.losses import SigmoidCrossEntropy
from symgraph.ops.threefry import Threefry
from symgraph.types import TensorType
from tests.lowering.llvm.lanes import Job, compiled, hostile, same_bits, targets, ulps

DTYPES = ("float32", "float64", "int32", "int64", "bool")
TARGETS = targets()
WIDTHS = pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{8 * t.width} bits")


class Case(NamedTuple):
    op: Op
    dtype: str

    def __str__(self):
        to = f" to {self.op.dtype}" if isinstance(self.op, Cast) else ""
        to += f" {self.op.word}" if isinstance(self.op, Threefry) else ""
        return f"{self.op.name} {self.dtype}{to}"


def subclasses(cls):
    return [cls, *(deeper for sub in cls.__subclasses__() for deeper in subclasses(sub))]


def cases():
    for cls, dtype in product(EMITTERS, DTYPES):
        if np.dtype(dtype).kind in cls.kinds:
            for op in VARIANTS[cls]() if cls in VARIANTS else [cls()]:
                if takes(op, dtype):
                    yield Case(op, dtype)


VARIANTS = {
    Cast: lambda: [Cast(np.dtype(d)) for d in DTYPES],
    Threefry: lambda: [Threefry(word) for word in ("first", "second", "xor", "both")],
}


def takes(op, dtype):
    """Whether it takes operands of a dtype; some take no other than words of 32, or of 64 bits."""
    try:
        op.infer(
            *[TensorType("bool" if isinstance(op, Where) and not k else dtype, ()) for k in range(op.arity)]
        )
    except DTypeError:
        return False
    return True


CASES = list(cases())


def arrays(case):
    values = hostile(case.dtype)
    if isinstance(case.op, Where):
        return [np.resize([False, True, True], len(values)), values, values[::-1]]
    if case.op.arity == 1:
        return [values]
    if case.op.arity > 2:  # not all combinations: a sample
        random = np.random.default_rng(1)
        return [random.choice(values, 20_000) for _ in range(case.op.arity)]
    return [grid.ravel() for grid in np.meshgrid(values, values)]


def expected(case):
    with np.errstate(all="ignore"):
        return case.op.evaluate(*arrays(case))


def job(case, lanes=None):
    operands = [str(a.dtype) for a in arrays(case)]
    return Job(
        lambda b, *values: EMITTERS[type(case.op)](b, case.op, list(values)),
        operands,
        str(expected(case).dtype),
        lanes,
    )


def is_exact(case):
    return type(case.op) in EXACT or (isinstance(case.op, Pow) and case.dtype.startswith("int"))


@lru_cache
def functions(target, lanes=None):
    """One module of all cases. What must be exact is not contracted, as where numerics are bitwise."""
    exact, rest = [c for c in CASES if is_exact(c)], [c for c in CASES if not is_exact(c)]
    made = {}
    for some, contract in ((exact, False), (rest, True)):
        made |= dict(
            zip(map(str, some), compiled([job(c, lanes) for c in some], target, contract), strict=True)
        )
    return made


def test_every_op_has_an_emitter():
    ops = {cls for cls in subclasses(Elementwise) if cls.name and cls.__module__.startswith("symgraph.ops")}
    assert ops == set(EMITTERS)
    assert not EXACT - ops


def check_exact(function, case):
    made, right = function(*arrays(case)), expected(case)
    fine = same_bits(made, right)
    if isinstance(case.op, Maximum | Minimum) and not TARGETS[0].triple.startswith("x86"):
        fine |= (made == 0) & (right == 0)  # which zero is not specified
    wrong = np.flatnonzero(~fine)[:3]
    assert not wrong.size, [([a[k] for a in arrays(case)], made[k], right[k]) for k in wrong]


@WIDTHS
@pytest.mark.parametrize("case", [c for c in CASES if is_exact(c)], ids=str)
def test_exact_ops_have_the_bits_of_numpy(case, target):
    check_exact(functions(target)[str(case)], case)


@pytest.mark.parametrize("case", [c for c in CASES if is_exact(c)], ids=str)
def test_exact_ops_on_scalars(case):
    check_exact(functions(TARGETS[-1], 1)[str(case)], case)


def exact_floats(case):
    """What floats give in float64, and doubles by NumPy, which is within 2 units."""
    wide = [a.astype(np.float64) for a in arrays(case)]
    with np.errstate(all="ignore"):
        return case.op.evaluate(*wide)


# Powers of doubles with large exponents are the least accurate.
UNITS = {Pow: 16.0}


@WIDTHS
@pytest.mark.parametrize("case", [c for c in CASES if not is_exact(c)], ids=str)
def test_functions_are_near_those_of_numpy(case, target):
    operands, right = arrays(case), exact_floats(case)
    made = functions(target)[str(case)](*operands)
    with np.errstate(all="ignore"):
        if isinstance(case.op, SigmoidCrossEntropy):
            # Its terms cancel: errors are of the size of the largest, which must not overflow.
            z, y = (a.astype(np.longdouble) for a in operands)
            size = np.abs(z) + np.abs(z * y) + 1
            error = np.abs(made - right) / (size * np.finfo(case.dtype).eps)
            error[
                (made == right) | (np.isnan(made) & np.isnan(right)) | (size > np.finfo(case.dtype).max)
            ] = 0
        else:
            error = ulps(made, right.astype(np.longdouble))
    wrong = np.flatnonzero(~(error <= UNITS.get(type(case.op), 4.0)))[:3]
    assert not wrong.size, [([a[k] for a in operands], made[k], right[k]) for k in wrong]
    zeros = (made == 0) & (right == 0)
    assert np.array_equal(np.signbit(made[zeros]), np.signbit(right[zeros]))
