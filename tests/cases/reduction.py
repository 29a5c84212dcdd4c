"""Cases of reductions and of running sums and products."""

import numpy as np

from symgraph import ops
from tests.cases import Case

ALL = ("f32", "i32", "i64", "bool")
NUMBERS = ("f32", "i32")
AXES = [
    ("f64[3,4]", {}),
    ("f64[3,4]", {"axis": 0}),
    ("f64[3,4]", {"axis": -1, "keepdims": True}),
    ("f64[2,3,2,2]", {"axis": (1, 3)}),
    ("f64[2,3,2,2]", {"axis": (0, -2), "keepdims": True}),
    ("f64[]", {}),
    ("f64[1]", {"axis": 0}),
]


def _over(name, function, reference, *, also=("f32",), **traits):
    """A reduction over every kind of axis: all, one, several, none, kept, of four axes; and other dtypes."""
    return [
        *(
            Case(
                f"{name}{options}",
                lambda x, o=options: function(x, **o),
                (type_,),
                lambda x, o=options: reference(x, **o),
                **traits,
            )
            for type_, options in AXES
        ),
        *(
            Case(
                f"{name} of {dtype}",
                lambda x: function(x, axis=1),
                (f"{dtype}[5,7]",),
                lambda x: reference(x, axis=1),
                **{**traits, "gradient": False},
            )
            for dtype in also
        ),
    ]


def _keep_dtype(function):
    return lambda x, **o: function(x, **o, dtype=np.int64 if x.dtype == bool else x.dtype)


def _logsumexp(x, **options):
    return np.log(np.sum(np.exp(x.astype(np.float64)), **options))


def _empty(name, function, reference, type_="f64[0,3]", axis=0):
    return Case(
        f"{name} of nothing",
        lambda x: function(x, axis=axis),
        (type_,),
        lambda x: reference(x, axis=axis),
        gradient=False,
    )


CASES = [
    *_over("sum", ops.sum, _keep_dtype(np.sum), also=ALL, smooth=False),
    *_over("prod", ops.prod, _keep_dtype(np.prod), also=ALL),
    *_over("prod zeros", ops.prod, _keep_dtype(np.prod), domain="small_int"),
    *_over("max", ops.max, np.max, also=NUMBERS, smooth=False, exact=True),
    *_over("min", ops.min, np.min, also=NUMBERS, smooth=False, exact=True),
    *_over("mean", ops.mean, np.mean, also=ALL, smooth=False),
    *_over("logsumexp", ops.logsumexp, _logsumexp, also=NUMBERS),
    *_over("any", lambda x, **o: ops.any(x > 0, **o), lambda x, **o: np.any(x > 0, **o), gradient=False),
    *_over("all", lambda x, **o: ops.all(x > 0, **o), lambda x, **o: np.all(x > 0, **o), gradient=False),
    *(
        Case(
            f"{name} of {dtype}",
            lambda x, f=function: f(x, axis=0),
            (f"{dtype}[3,4]",),
            lambda x, f=reference: f(x, axis=0),
            gradient=False,
            exact=True,
        )
        for name, function, reference in (("any", ops.any, np.any), ("all", ops.all, np.all))
        for dtype in ("i32", "bool")
    ),
    *(
        case
        for name, function, reference in (("var", ops.var, np.var), ("std", ops.std, np.std))
        for case in _over(name, function, reference, also=NUMBERS)
        if case.types not in (("f64[]",), ("f64[1]",))
    ),
    Case("var ddof", lambda x: ops.var(x, 1, ddof=1), ("f64[3,4]",), lambda x: np.var(x, 1, ddof=1)),
    Case("std ddof", lambda x: ops.std(x, ddof=1), ("f64[3,4]",), lambda x: np.std(x, ddof=1)),
    *(
        Case(
            f"{name}{options}",
            lambda x, f=function, o=options: f(x, **o),
            (type_,),
            lambda x, f=reference, o=options: f(x, **o),
            domain="small_int",
            gradient=False,
            exact=True,
        )
        for name, function, reference in (
            ("argmax", ops.argmax, np.argmax),
            ("argmin", ops.argmin, np.argmin),
        )
        for type_, options in (
            ("f64[3,4]", {}),
            ("f32[3,4]", {"axis": 0}),
            ("i32[2,3,4,2]", {"axis": -2, "keepdims": True}),
            ("bool[5,7]", {"axis": 1}),
            ("f64[2,3]", {"keepdims": True}),
        )
    ),
    *(
        _empty(name, function, reference)
        for name, function, reference in (
            ("sum", ops.sum, np.sum),
            ("prod", ops.prod, np.prod),
            ("logsumexp", ops.logsumexp, lambda x, axis: np.full(3, -np.inf)),
            ("mean", ops.mean, lambda x, axis: np.full(3, np.nan)),
            ("any", lambda x, axis: ops.any(x > 0, axis), lambda x, axis: np.zeros(3, bool)),
            ("all", lambda x, axis: ops.all(x > 0, axis), lambda x, axis: np.ones(3, bool)),
        )
    ),
    _empty("max of rows, of which there are none", ops.max, np.max, "f64[0,3]", 1),
]

_RUNNING = [
    ("f64[4]", {"axis": 0}),
    ("f64[3,4]", {"axis": 1}),
    ("f64[3,4]", {"axis": 0, "reverse": True}),
    ("f64[2,3,2,2]", {"axis": -3, "reverse": True}),
    ("f64[2,3]", {}),
    ("f64[0,3]", {"axis": 0}),
    ("f64[1,3]", {"axis": 0, "reverse": True}),
    ("f32[3,4]", {"axis": 1}),
    ("i32[3,4]", {"axis": 1, "reverse": True}),
    ("bool[5]", {"axis": 0}),
]


def _running(ufunc):
    def reference(x, axis=None, reverse=False, exclusive=False):
        x = x.astype(np.int64) if x.dtype == bool else x
        x, axis = (x.ravel(), 0) if axis is None else (x, axis)
        made = np.empty_like(x)
        total = np.full(np.delete(x.shape, axis), ufunc.identity, x.dtype)
        order = range(x.shape[axis])
        for i in reversed(order) if reverse else order:
            here = (slice(None),) * (axis % x.ndim) + (i,)
            if exclusive:
                made[here] = total
            total = ufunc(total, x[here])
            if not exclusive:
                made[here] = total
        return made

    return reference


def _recurrence(decay, x, axis=-1, reverse=False):
    decay, x = (np.moveaxis(v, axis, 0) for v in np.broadcast_arrays(decay, x))
    made, last = [], 0 * x[:1].sum(0)
    for d, v in list(zip(decay, x, strict=True))[:: -1 if reverse else 1]:
        last = d * last + v
        made.append(last)
    return np.moveaxis(np.array(made[:: -1 if reverse else 1]).reshape(x.shape), 0, axis)


CASES += [
    Case(
        f"{name}{options}",
        lambda x, f=function, o=options: f(x, **o),
        (type_,),
        lambda x, f=reference, o=options: f(x, **o),
        domain=domain if type_[0] == "f" else "normal",
        gradient=type_.startswith("f64"),
        smooth=smooth,
    )
    for name, function, reference, domain, smooth in (
        ("cumsum", ops.cumsum, _running(np.add), "normal", False),
        ("cumprod", ops.cumprod, _running(np.multiply), "normal", True),
        ("cumprod zeros", ops.cumprod, _running(np.multiply), "small_int", True),
        (
            "cumprod exclusive",
            lambda x, **o: ops.cumprod(x, exclusive=True, **o),
            lambda x, **o: _running(np.multiply)(x, exclusive=True, **o),
            "small_int",
            True,
        ),
    )
    for type_, options in _RUNNING
]

CASES += [
    Case(
        f"linear_recurrence{options}",
        lambda a, x, o=options: ops.linear_recurrence(a, x, **o),
        types,
        lambda a, x, o=options: _recurrence(a, x, **o),
        gradient=types[0].startswith("f64"),
    )
    for types, options in (
        (("f64[4]", "f64[4]"), {}),
        (("f64[]", "f64[3,4]"), {"axis": 1, "reverse": True}),
        (("f64[3,1]", "f64[3,4]"), {"axis": 0}),
        (("f64[2,3,2]", "f64[2,3,2]"), {"axis": 1, "reverse": True}),
        (("f64[1]", "f64[1]"), {}),
        (("f32[3]", "f32[2,3]"), {}),
        (("i64[3]", "i64[3]"), {}),
    )
]
