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


def test_a_mask_of_a_row_in_a_block_of_a_square() -> None:
    # As many columns as rows: the mask's one axis is the columns', and no block of rows is cut from it.
    y, c = sg.placeholder("y", ("n", "n")), sg.placeholder("c", ("n",))
    run = sg.compile(sg.define(o=sg.relu(sg.where(c > 0, y * 2.0, 0.0))), backend="numpy")
    values = np.random.default_rng(0).normal(size=(1030, 1030)).astype(np.float32)
    mask = values[0]
    np.testing.assert_array_equal(
        run({"y": values, "c": mask})["o"], np.maximum(np.where(mask > 0, values * 2, 0), 0)
    )


def test_bitwise_sums_of_views_are_the_interpreters() -> None:
    y = sg.placeholder("y", (17, 33))
    graph = sg.define(a=sg.sum(y.T, 1), b=sg.mean(y.T, 1), c=sg.sum(sg.flip(y, 1), 0), d=sg.var(y.T, 1))
    values = {"y": np.random.default_rng(0).normal(size=(17, 33)).astype(np.float32)}
    wanted = sg.compile(graph, backend="interpreter", passes=())(values)
    found = sg.compile(graph, backend="numpy", numerics="bitwise")(values)
    for name, value in wanted.items():
        assert found[name].tobytes() == value.tobytes(), name
