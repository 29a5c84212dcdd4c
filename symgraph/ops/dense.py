"""Dense factorisations in NumPy: what the ops of `factorisation.py` mean, for stacks of matrices of any size.

LAPACK through `numpy.linalg` where it has a word for it; it has none for triangles and for the factors of a system,
and raises for a whole stack where one matrix is singular.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from symgraph.ir import Array

_BLOCK = 64  # rows that are substituted one after another; what they leave is one product


def _finite(a: Array) -> Array:
    """For each matrix whether all its elements are finite."""
    return np.asarray(np.isfinite(a).all((-1, -2)))


def _places(chosen: Array) -> Iterator[tuple[int, ...]]:
    """The indices of the matrices that are chosen."""
    return (index for index in np.ndindex(chosen.shape) if chosen[index])


def of_finite(function: Callable[[Array], Array], a: Array) -> Array:
    """A number for each matrix; NaN for one with an element that is not finite."""
    finite = _finite(a)
    made = function(np.where(finite[..., None, None], a, a.dtype.type(0)))
    return np.asarray(np.where(finite, made, a.dtype.type(np.nan)), dtype=a.dtype)


def cholesky(a: Array) -> Array:
    """Cholesky factors; NaN in the lower triangle of those of matrices that are not positive definite."""
    lower = np.tril(a)
    finite = _finite(lower)
    made = np.tril(np.full_like(lower, np.nan))
    if finite.all():
        try:
            found = np.linalg.cholesky(lower)
            return (
                found if not np.isnan(found).any() else np.where(_finite(found)[..., None, None], found, made)
            )
        except np.linalg.LinAlgError:
            pass
    for index in _places(finite):
        try:
            made[index] = np.linalg.cholesky(lower[index])
        except np.linalg.LinAlgError:
            continue
    return made


def substitute(a: Array, b: Array, lower: bool, unit: bool) -> Array:
    """The x with a x = b for a triangle of `a`, of which no other element is read."""
    if not lower:
        return np.ascontiguousarray(substitute(a[..., ::-1, ::-1], b[..., ::-1, :], True, unit)[..., ::-1, :])
    n = a.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])))
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        for i in range(start, stop):
            if i > start:
                x[..., i, :] -= (a[..., i : i + 1, start:i] @ x[..., start:i, :])[..., 0, :]
            if not unit:
                x[..., i, :] /= a[..., i, i, None]
        if stop < n:
            x[..., stop:, :] -= a[..., stop:, start:stop] @ x[..., start:stop, :]
    return x


def lu(a: Array) -> Array:
    """Both triangles of the rows in the order that partial pivoting gives them, that order, and the exchanges."""
    n = a.shape[-1]
    left = np.array(a.reshape(math.prod(a.shape[:-2]), n, n))
    count = np.arange(len(left))
    order, exchanged = np.tile(np.arange(n), (len(left), 1)), np.ones((len(left), n))
    for k in range(n):
        best = k + np.argmax(np.abs(left[:, k:, k]), axis=1)
        for rows in (left, order):
            rows[count, k], rows[count, best] = rows[count, best], rows[count, k].copy()
        exchanged[best != k, k] = -1
        pivot, below = left[:, k, k, None], left[:, k + 1 :, k]
        below[...] = np.where(pivot == 0, a.dtype.type(0), below / pivot)
        left[:, k + 1 :, k + 1 :] -= below[:, :, None] * left[:, k, None, k + 1 :]
    left[~_finite(a).reshape(-1)] = np.nan
    columns = (left, order[..., None], exchanged[..., None])
    return np.concatenate(columns, axis=-1, dtype=a.dtype).reshape((*a.shape[:-1], n + 2))


def solve(a: Array, b: Array) -> Array:
    """The x with a x = b; of singular matrices what substitution makes of their factors."""
    finite = _finite(a)
    if finite.all():
        try:
            return np.linalg.solve(a, b)
        except np.linalg.LinAlgError:
            pass
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    finite = np.broadcast_to(finite, batch)
    a, b = np.broadcast_to(a, (*batch, *a.shape[-2:])), np.broadcast_to(b, (*batch, *b.shape[-2:]))
    x = np.full(b.shape, np.nan, b.dtype)
    for index in _places(finite):
        try:
            x[index] = np.linalg.solve(a[index], b[index])
        except np.linalg.LinAlgError:
            x[index] = _by_factors(a[index], b[index])
    return x


def _by_factors(a: Array, b: Array) -> Array:
    made = lu(a)
    n = a.shape[-1]
    factors, rows = made[:, :n], made[:, n].astype(np.int64)
    return substitute(factors, substitute(factors, b[rows], True, True), False, False)
