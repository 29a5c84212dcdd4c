"""`ocean`: the density of sea water from salinity, temperature and pressure (UNESCO, 1980), float64."""

from tests.benchmarks.libraries import CALLED, callers
from tests.benchmarks.networks import ocean
from tests.benchmarks.race import Case, Target

_SIZES = (4_096, 65_536, 1_048_576)
_SMALL = 100_000  # points up to which a lead is asked for

CASES = tuple(
    Case(
        f"ocean, {size:,}",
        f"the equation of state of sea water at {size:,} points",
        callers(ocean(size), (*CALLED, "Numba by hand, parallel")),
        1e-12,
        (Target(1 / 2),) if size <= _SMALL else (),
    )
    for size in _SIZES
)
