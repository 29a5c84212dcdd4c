"""The international equation of state of sea water, 1980.

Source: Fofonoff and Millard, Algorithms for computation of fundamental properties of seawater, UNESCO technical
papers in marine science 44 (1983), page 19. Salinity s on the practical scale, temperature t in degrees Celsius on
IPTS-68, pressure p in bars; the density is in kg/m3. Coefficients are of falling powers of t.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray

# The density at the surface: of pure water, and by s, s^1.5, s^2.
_WATER = (6.536332e-9, -1.120083e-6, 1.001685e-4, -9.095290e-3, 6.793952e-2, 999.842594)
_SALT = (5.3875e-9, -8.2467e-7, 7.6438e-5, -4.0899e-3, 8.24493e-1)
_SALT_ROOT = (-1.6546e-6, 1.0227e-4, -5.72466e-3)
_SALT_SQUARE = 4.8314e-4
# The secant bulk modulus: at the surface, by p, by p^2; each of pure water, by s, by s^1.5.
_BULK = (-5.155288e-5, 1.360477e-2, -2.327105, 148.4206, 19652.21)
_BULK_SALT = (-6.1670e-5, 1.09987e-2, -0.603459, 54.6746)
_BULK_ROOT = (-5.3009e-4, 1.6483e-2, 7.944e-2)
_FIRST = (-5.77905e-7, 1.16092e-4, 1.43713e-3, 3.239908)
_FIRST_SALT = (-1.6078e-6, -1.0981e-5, 2.2838e-3)
_FIRST_ROOT = 1.91075e-4
_SECOND = (5.2787e-8, -6.12293e-6, 8.50935e-5)
_SECOND_SALT = (9.1697e-10, 2.0816e-8, -9.9348e-7)


def horner(coefficients: Sequence[float], t: Any) -> Any:
    """A polynomial by its coefficients of falling powers.

    >>> horner((2.0, 0.0, 1.0), 3.0)
    19.0
    """
    value = coefficients[0] * t + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * t + coefficient
    return value


def density_by(
    sqrt: Callable[[Any], Any], horner: Callable[..., Any] = horner
) -> Callable[[Any, Any, Any], Any]:
    """The density as a function of (s, t, p), of numbers or what else has arithmetic.

    >>> import math
    >>> round(density_by(math.sqrt)(35.0, 25.0, 1000.0), 5)
    1062.53817
    """

    def density(s: Any, t: Any, p: Any) -> Any:
        root = s * sqrt(s)
        surface = (
            horner(_WATER, t) + s * horner(_SALT, t) + root * horner(_SALT_ROOT, t) + _SALT_SQUARE * (s * s)
        )
        bulk = horner(_BULK, t) + s * horner(_BULK_SALT, t) + root * horner(_BULK_ROOT, t)
        first = horner(_FIRST, t) + s * horner(_FIRST_SALT, t) + root * _FIRST_ROOT
        second = horner(_SECOND, t) + s * horner(_SECOND_SALT, t)
        modulus = bulk + p * first + p * (p * second)
        return surface / (1.0 - p / modulus)

    return density


def density_into(room: Sequence[Array], s: Array, t: Array, p: Array) -> Array:
    """The same in NumPy, computed in the five arrays of `room`; the result is the first."""
    surface, modulus, root, part, term = room
    np.multiply(s, np.sqrt(s, out=root), out=root)
    _polynomial(surface, term, ((_WATER, None), (_SALT, s), (_SALT_ROOT, root)), t)
    np.multiply(np.multiply(s, s, out=term), _SALT_SQUARE, out=term)
    np.add(surface, term, out=surface)
    _polynomial(modulus, term, ((_SECOND, None), (_SECOND_SALT, s)), t)
    np.multiply(modulus, p, out=modulus)
    _polynomial(part, term, ((_FIRST, None), (_FIRST_SALT, s)), t)
    np.add(part, np.multiply(root, _FIRST_ROOT, out=term), out=part)
    np.multiply(np.add(modulus, part, out=modulus), p, out=modulus)
    _polynomial(part, term, ((_BULK, None), (_BULK_SALT, s), (_BULK_ROOT, root)), t)
    np.add(modulus, part, out=modulus)
    np.subtract(1.0, np.divide(p, modulus, out=modulus), out=modulus)
    return np.divide(surface, modulus, out=surface)


def _polynomial(
    out: Array, room: Array, terms: Sequence[tuple[Sequence[float], Array | None]], t: Array
) -> None:
    """The sum of polynomials in `t`, each times its factor; the first goes to `out` as it is."""
    for coefficients, factor in terms:
        value = out if factor is None else room
        np.add(np.multiply(t, coefficients[0], out=value), coefficients[1], out=value)
        for coefficient in coefficients[2:]:
            np.add(np.multiply(value, t, out=value), coefficient, out=value)
        if factor is not None:
            np.add(out, np.multiply(value, factor, out=value), out=out)
