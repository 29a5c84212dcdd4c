"""The generated source reads by itself: a legend for its names, the user's lines, and no text of the user's."""

import re

import symgraph as sg


def test_every_name_of_the_source_is_defined_or_in_its_legend() -> None:
    x, w = sg.placeholder("x", ("n", 4)), sg.variable("weights", (4, 3))
    graph = sg.define(loss=sg.mean(sg.sigmoid(x @ w)))
    training = sg.train.minimize(graph, "loss", sg.train.sgd(0.5))
    source = sg.compile(training, backend="numpy").source(n=7)
    legend = dict(re.findall(r"^# (\w+) = (.*)$", source, re.M))
    assert legend["i0"] == "placeholder x f32[7,4]"
    assert legend["i1"] == "variable weights f32[4,3]"
    assert legend["u0"] == "the next value of weights"
    assert "# returns loss" in source
    code = re.sub(r"#.*", "", source)
    used = set(re.findall(r"\b[a-z]+\d+\b", code)) - set(re.findall(r"\b(b\d+|v\d+) =", code))
    assert {name for name in used if not re.match(r"[dfbv]\w*\d", name)} <= legend.keys()


def test_names_stay_in_the_comments() -> None:
    name = "x\n__import__('os')"
    source = sg.compile(sg.define(y=sg.placeholder(name, (3,)) + 1.0), backend="numpy").source()
    (line,) = (line for line in source.splitlines() if "__import__" in line)
    assert line.startswith("# i0 = placeholder x\\x0a__import__")
