"""Cases of `symgraph.ops.creation`: they have a value, and no gradient, for they use the shape alone."""

import numpy as np

from symgraph import ops
from tests.cases import Case

_TYPES = ("f64[2,3]", "f32[]", "i32[0,2]", "i64[2,1,3,2]", "bool[4]")

CASES = [
    *(Case("zeros_like", ops.zeros_like, (t,), np.zeros_like, gradient=False, exact=True) for t in _TYPES),
    *(Case("ones_like", ops.ones_like, (t,), np.ones_like, gradient=False, exact=True) for t in _TYPES),
    *(
        Case(
            "full_like",
            lambda x: ops.full_like(x, 2),
            (t,),
            lambda x: np.full_like(x, 2),
            gradient=False,
            exact=True,
        )
        for t in _TYPES[:-1]
    ),
]
