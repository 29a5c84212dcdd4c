"""Cases of stop_gradient, print_value and assert_finite."""

from symgraph import ops
from tests.cases import Case


def _same(x):
    return x


CASES = [
    case
    for type_ in ("f64[3,4]", "f32[]", "i32[3]", "bool[2,2]", "f64[0,3]")
    for case in (
        Case("stop_gradient", ops.stop_gradient, (type_,), _same, gradient=False, exact=True),
        Case(
            "assert_finite",
            lambda x: ops.assert_finite(x, "x"),
            (type_,),
            _same,
            gradient=type_.startswith("f64"),
            smooth=False,
            exact=True,
        ),
        Case(
            "print_value",
            lambda x: ops.print_value(x, "x"),
            (type_,),
            _same,
            gradient=type_.startswith("f64"),
            smooth=False,
            exact=True,
        ),
    )
]
