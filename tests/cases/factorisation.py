"""Cases of factorisations. Matrices are made well-conditioned by what is added to them here."""

import numpy as np

from symgraph import ops
from symgraph.ops.factorisation import LU
from tests.cases import Case


def eye(a):
    """Ones on the diagonal, of the size of `a`, an array or an expression."""
    module = np if isinstance(a, np.ndarray) else ops
    return module.eye(a.shape[-1], dtype=a.dtype)


def regular(a):
    """A matrix whose largest elements are on the other diagonal: its rows are exchanged."""
    return a + 4.0 * eye(a)[::-1]


def spd(a):
    """A symmetric, positive definite matrix."""
    turned = np.swapaxes(a, -1, -2) if isinstance(a, np.ndarray) else ops.swapaxes(a, -1, -2)
    return a @ turned + 4.0 * eye(a)


def heavy(a):
    """A matrix whose triangles are far from singular."""
    return a + 4.0 * eye(a)


def triangle_of(a, lower=True, transposed=False, unit_diagonal=False):
    n = a.shape[-1]
    made = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        made = made * (1 - np.eye(n)) + np.eye(n)
    return np.swapaxes(made, -1, -2) if transposed else made


def solved(a, b):
    """NumPy 2's rule: b is a vector where it has one axis."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2] if b.ndim > 1 else ())
    if b.ndim == 1:
        return np.linalg.solve(np.broadcast_to(a, (*batch, *a.shape[-2:])), b[:, None])[..., 0]
    return np.linalg.solve(
        np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    )


SQUARES = ("f64[3,3]", "f64[1,1]", "f64[0,0]", "f64[2,3,3]", "f64[2,1,2,2]", "f64[0,2,2]", "f32[5,5]")
SYSTEMS = (
    ("f64[3,3]", "f64[3]"),
    ("f64[3,3]", "f64[3,2]"),
    ("f64[3,3]", "f64[3,1]"),
    ("f64[1,1]", "f64[1,2]"),
    ("f64[2,3,3]", "f64[3]"),
    ("f64[2,3,3]", "f64[3,2]"),
    ("f64[3,3]", "f64[2,3,2]"),
    ("f64[2,1,2,2]", "f64[3,2,2]"),
    ("f64[0,0]", "f64[0,2]"),
    ("f64[0,0]", "f64[0]"),
    ("f64[2,2]", "f64[2,0]"),
    ("f32[20,20]", "f32[20,3]"),
    ("f32[2,17,17]", "f32[17,33]"),
    ("f64[40,40]", "f64[40,9]"),
    ("f64[2,9,9]", "f64[9,96]"),
)


def case(name, function, types, reference):
    small = types[0] != "f64[40,40]"  # larger ones are for the kernels
    return Case(name, function, types, reference, gradient=types[0].startswith("f64") and small)


CASES = [
    case("cholesky", lambda a: ops.cholesky(spd(a)), (t,), lambda a: np.linalg.cholesky(spd(a)))
    for t in (*SQUARES, "f64[40,40]", "f32[2,33,33]")
]

CASES += [
    case(name, lambda a, f=function: f(regular(a)), (t,), lambda a, f=reference: f(regular(a)))
    for name, function, reference in (
        ("inverse", ops.inverse, np.linalg.inv),
        ("determinant", ops.determinant, np.linalg.det),
        ("log_determinant", lambda a: ops.slogdet(a).logabsdet, lambda a: np.linalg.slogdet(a)[1]),
    )
    for t in ("f64[3,3]", "f64[0,0]", "f64[2,3,3]", "f32[5,5]")
]

CASES += [
    Case(
        "determinant_sign",
        lambda a: ops.slogdet(regular(a)).sign,
        (t,),
        lambda a: np.linalg.slogdet(regular(a))[0],
        gradient=False,
        exact=True,
    )
    for t in ("f64[3,3]", "f64[2,2,2]", "f64[0,0]")
]

CASES += [
    case("solve", lambda a, b: ops.solve(regular(a), b), types, lambda a, b: solved(regular(a), b))
    for types in SYSTEMS
]

CASES += [
    case(
        f"triangular_solve{options}",
        lambda a, b, o=options: ops.triangular_solve(heavy(a), b, **o),
        types,
        lambda a, b, o=options: solved(triangle_of(heavy(a), **o), b),
    )
    for options, listed in (
        ({}, (*SYSTEMS[:2], SYSTEMS[5], *SYSTEMS[7:9], *SYSTEMS[12:])),
        ({"lower": False}, (SYSTEMS[0], SYSTEMS[5], SYSTEMS[11], SYSTEMS[12], SYSTEMS[13])),
        ({"transposed": True}, (SYSTEMS[1], SYSTEMS[5], SYSTEMS[11], SYSTEMS[13])),
        ({"lower": False, "transposed": True}, (SYSTEMS[0], SYSTEMS[5], SYSTEMS[11])),
        ({"unit_diagonal": True}, (SYSTEMS[1], ("f64[2,3,3]", "f64[2,3,2]"))),
        ({"lower": False, "unit_diagonal": True}, (SYSTEMS[1],)),
        ({"transposed": True, "unit_diagonal": True}, (SYSTEMS[1],)),
    )
    for types in listed
]

CASES += [
    Case(
        "solve i32",
        lambda a, b: ops.solve(a * 0 + np.int32([[2, 1], [1, 1]]), b),
        ("i32[2,2]", "i32[2]"),
        lambda a, b: np.linalg.solve([[2.0, 1.0], [1.0, 1.0]], b),
    ),
    Case(
        "solve transposed",
        lambda a, b: ops.solve(ops.swapaxes(regular(a), -1, -2), b),
        ("f64[2,3,3]", "f64[2,3,2]"),
        lambda a, b: np.linalg.solve(np.swapaxes(regular(a), -1, -2), b),
    ),
]

CASES += [
    Case("lu", lambda a: ops.apply(LU(), a), (t,), gradient=False)
    for t in ("f64[3,3]", "f64[1,1]", "f64[2,2,5,5]", "f64[0,0]", "f32[5,5]", "f64[33,33]", "f64[70,70]")
]
