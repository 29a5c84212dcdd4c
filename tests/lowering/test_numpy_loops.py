"""Values that a blocked loop makes and steps outside it need: all of them, not the last block."""

import numpy as np
import pytest

import symgraph as sg


@pytest.mark.parametrize("rows", [1, 9, 1000, 1001])
def test_values_of_a_loop_are_whole_outside_it(rows):
    x, w = sg.placeholder("x", ("n", 300), "float64"), sg.placeholder("w", (300, 4), "float64")
    h = sg.sigmoid(x) * 2.0
    split, both = sg.reshape(h, ("n", 30, 10)), sg.reshape(sg.exp(h) + h, ("n", 30, 10))
    graph = sg.define(
        product=h @ w,
        product_of_view=sg.reshape(sg.exp(split), ("n", 300)) @ w,
        view=both,
        turned=sg.transpose(split, (2, 1, 0)),
        tail=sg.sum(split, axis=0),
        running=sg.cumsum(both, axis=0),
    )
    rng = np.random.default_rng(0)
    feeds = {"x": rng.normal(size=(rows, 300)), "w": rng.normal(size=(300, 4))}
    blocked = sg.compile(graph, backend="numpy")(feeds)
    meant = sg.compile(graph, backend="interpreter")(feeds)
    for name, value in meant.items():
        np.testing.assert_allclose(blocked[name], value, rtol=1e-12, atol=1e-11, err_msg=name)
