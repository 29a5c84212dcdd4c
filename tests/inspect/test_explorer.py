"""What the explorer's page shows is what the compiler did: its data against the graphs, the ledger and a run."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from models import lenet, one_hidden_layer, xor_mlp
from symgraph.commands.feeds import random_feeds
from symgraph.inspect.explorer import model as models
from symgraph.inspect.explorer.history import REST, WHOLE
from symgraph.inspect.statistics import statistics
from symgraph.inspect.trace import trace
from symgraph.inspect.values import values
from symgraph.origin import relative
from symgraph.rewrite import Pass, Rewritten
from tests.inspect.schema import faults, interfaces
from tests.strategies import random_graph

BACKENDS = ("numpy", "llvm", "interpreter")


def read(page):
    return json.loads(page.model)


@pytest.fixture(scope="module")
def hidden():
    """A network with its feeds, on the backend numpy, and the page of them."""
    graph = one_hidden_layer.graph()
    feeds = random_feeds(graph, {"batch": 6})
    page = sg.explore(graph, feeds=feeds, backend="numpy", profile_steps=2, name="hidden")
    return graph, feeds, page


def columns(model, number):
    return model["graphs"][number]


def stage(model, name):
    return next(one for one in model["stages"] if one["name"] == name)


def check(graph, shown, model):
    """The columns are those of the graph."""
    text = lambda name: [model["strings"][i] for i in shown[name]]  # noqa: E731
    assert text("op") == [node.op.name for node in graph.nodes]
    assert text("type") == [str(node.type) for node in graph.nodes]
    assert shown["inputs"] == [list(node.inputs) for node in graph.nodes]
    assert shown["outputs"] == [[name, i] for name, i in graph.outputs]
    assert shown["updates"] == [[group, [[v, i] for v, i in pairs]] for group, pairs in graph.updates]
    for node, told in zip(graph.nodes, text("text"), strict=True):
        assert told.startswith(node.op.name)
        assert all(f"%{i}" in told for i in node.inputs if graph.nodes[i].op.name != "placeholder")
    for node, i in zip(graph.nodes, shown["origin"], strict=True):
        origin = model["origins"][i]
        places = [(model["files"][file]["path"], line) for file, line, _, _ in origin["sources"]]
        assert places == [(relative(source.file), source.line) for source in node.origin.sources]
        assert tuple(origin["scope"]) == node.origin.scope
        assert " > ".join(origin["rules"]) == node.origin.rule
        assert tuple(origin["of"]) == node.origin.of


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_model_is_of_the_schema(backend):
    feeds = random_feeds(xor_mlp.declare(), {"batch": 3})
    for graph, options in (
        (xor_mlp.declare(), {}),
        (xor_mlp.graph(), {"batch": 3}),
        (xor_mlp.declare(), {"feeds": feeds}),
        (xor_mlp.graph(), {"feeds": feeds, "profile_steps": 1}),
    ):
        made = read(sg.explore(graph, backend=backend, **options))
        assert list(faults(made)) == []
        assert (made["memory"] is None, made["code"] is None) == (not options, not options)
        assert (made["values"] is None) == ("feeds" not in options)
        assert (made["profile"] is None) == ("profile_steps" not in options)


def test_the_schema_is_read_whole_and_finds_faults(hidden):
    made = read(hidden[2])
    assert {
        "Model",
        "Graph",
        "Rewrite",
        "Pair",
        "Statistics",
        "Kernel",
        "Buffer",
        "Section",
    } <= interfaces().keys()
    assert interfaces()["Graph"]["inputs"] == ("NodeId[][]", False)
    for change in ({"version": 2}, {"stages": [{}]}, {"other": 1}, {"strings": [1]}, {"gradient": 5}):
        assert list(faults({**made, **change}))


@pytest.mark.parametrize("backend", BACKENDS)
def test_stages_are_the_graphs_of_the_compiler(backend):
    graph = one_hidden_layer.graph()
    model = read(sg.explore(graph, backend=backend))
    executable = sg.compile(graph, backend=backend)
    assert [one["name"] for one in model["stages"]] == ["declared", "gradient", "optimised", "fused"]
    wanted = {
        "declared": one_hidden_layer.declare(),
        "gradient": graph,
        "optimised": sg.unfused(executable),
        "fused": executable.graph,
    }
    for name, one in wanted.items():
        shown = columns(model, stage(model, name)["graph"])
        check(one if name != "declared" else sg.transforms.dead_code.prune(graph, updates=()), shown, model)
        assert len(shown["op"]) == len(one)
    assert columns(model, stage(model, "fused")["graph"])["flops"] == str(executable.cost.flops)
    assert columns(model, stage(model, "fused")["graph"])["bytes"] == str(executable.cost.bytes)


def test_columns_of_random_graphs():
    for seed in range(10):
        graph = random_graph(seed).graph
        model = read(sg.explore(graph, backend="numpy"))
        assert list(faults(model)) == []
        way = trace(graph, "numpy")
        check(way.unfused, columns(model, stage(model, "optimised")["graph"]), model)
        check(way.graph, columns(model, stage(model, "fused")["graph"]), model)


def test_strings_and_origins_occur_once(hidden):
    model = read(hidden[2])
    assert len(set(model["strings"])) == len(model["strings"])
    assert len({json.dumps(one) for one in model["origins"]}) == len(model["origins"])
    assert len({one["path"] for one in model["files"]}) == len(model["files"])


def test_lines_are_the_users_with_their_neighbours(hidden):
    graph, _, page = hidden
    model = read(page)
    text = {one["path"]: dict(one["lines"]) for one in model["files"]}
    source = graph["loss"].origin.sources[0]
    path = relative(source.file)
    lines = Path(source.file).read_text(encoding="utf-8").splitlines()
    assert text[path][source.line] == lines[source.line - 1]
    assert {source.line - 1, source.line + 1} <= text[path].keys()
    named = {line for origin in model["origins"] for _, line, _, _ in origin["sources"]}
    assert all(min(abs(n - line) for line in named) <= 2 for n in text[path])
    assert all(lines[n - 1] == told for n, told in text[path].items())


def test_columns_of_a_line_count_as_javascript_does():
    é𝔸 = sg.placeholder("x", (2,))
    y = (é𝔸, sg.exp(é𝔸))[1]  # 𝔸 is two units of UTF-16, and four bytes of UTF-8
    model = read(sg.explore(sg.define(y=y), backend="interpreter"))
    (place,) = next(o for o in model["origins"] if o["sources"] and "exp" in _quoted(model, o))["sources"]
    file, line, first, last = place
    units = dict(model["files"][file]["lines"])[line].encode("utf-16-le")
    assert units[2 * first : 2 * last].decode("utf-16-le") == "sg.exp(é𝔸)"


def test_nodes_of_one_line_have_columns_of_their_own():
    x = sg.placeholder("x", (2,))
    y = sg.exp(x) + sg.exp(-x)
    model = read(sg.explore(sg.define(y=y), backend="interpreter"))
    shown = columns(model, 0)
    told = {}
    for i, origin in enumerate(shown["origin"]):
        ((file, line, first, last),) = model["origins"][origin]["sources"]
        text = dict(model["files"][file]["lines"])[line]
        told.setdefault(model["strings"][shown["op"][i]], set()).add(text[first:last])
    assert told["exp"] == {"sg.exp(x)", "sg.exp(-x)"}
    assert told["add"] == {"sg.exp(x) + sg.exp(-x)"}


def _quoted(model, origin):
    file, line, _, _ = origin["sources"][0]
    return dict(model["files"][file]["lines"]).get(line, "")


# Rewrites.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("make", [one_hidden_layer.graph, lenet.NETWORK.graph])
def test_rewrites_are_the_ledger_and_lead_from_graph_to_graph(make, backend):
    graph = make()
    model = read(sg.explore(graph, backend=backend))
    executable = sg.compile(graph, backend=backend)
    rows = [row for row in model["rewrites"] if row["rule"] not in (WHOLE, REST)]
    assert [(r["step"], r["pass"], r["rule"], r["numerics"]) for r in rows] == [
        (r.step, r.pass_name, r.rule, r.numerics) for r in executable.ledger
    ]
    assert [(r["before"], r["after"]) for r in rows] == [
        (list(r.before), list(r.after)) for r in executable.ledger
    ]
    for row, entry in zip(rows, executable.ledger, strict=True):
        told = [f"{model['files'][file]['path']}:{line}" for file, line in row["sources"]]
        assert told == list(dict.fromkeys(entry.lines))
    assert rows[0]["given"] == stage(model, "gradient")["graph"]
    assert rows[-1]["made"] == stage(model, "fused")["graph"]
    for one, other in zip(model["rewrites"], model["rewrites"][1:], strict=False):
        assert (other["given"], other["made"]) == (one["given"], one["made"]) or other["given"] == one["made"]


@pytest.mark.parametrize("seed", range(8))
def test_the_nodes_that_go_are_those_that_a_rewrite_names(seed):
    """What `made` has not any more is one of `before`, takes what has gone, or was needed by such alone."""
    model = read(sg.explore(random_graph(seed).graph, backend="interpreter"))
    sweeps = {}
    for row in model["rewrites"]:
        sweeps.setdefault((row["given"], row["made"]), set()).update(row["before"])
    for (given, made), before in sweeps.items():
        old, new = columns(model, given), columns(model, made)
        count = len(old["op"])
        known = {_key(model, new, i, range(len(new["op"]))): i for i in range(len(new["op"]))}
        place = []  # what each node of the old graph is in the new one
        for i in range(count):
            place.append(known.get(_key(model, old, i, place)))
        readers = [[k for k in range(count) if i in old["inputs"][k]] for i in range(count)]
        needed = {i for _, i in old["outputs"]}
        for i in reversed(range(count)):
            gone = [place[k] is None or k in before for k in readers[i]]
            alone = i not in needed and all(gone)
            assert (
                place[i] is not None
                or i in before
                or alone
                or any(place[k] is None for k in old["inputs"][i])
            )


def _key(model, graph, i, place):
    """What makes a node: its op with its attributes, and its operands by their places in the first graph."""
    text = model["strings"][graph["text"][i]]
    words = text if text.startswith(("placeholder", "variable")) else text.replace("%", " %")
    plain = " ".join(word for word in words.split() if not word.startswith("%"))
    return plain, graph["type"][i], tuple(place[k] for k in graph["inputs"][i])


@pytest.mark.parametrize("backend", BACKENDS)
def test_totals_go_from_the_declared_graph_to_the_executable(backend):
    graph = lenet.NETWORK.graph()
    model = read(sg.explore(graph, backend=backend))
    executable = sg.compile(graph, backend=backend)
    plain = sg.compile(graph, backend="interpreter", passes=())
    first, last = model["rewrites"][0], model["rewrites"][-1]
    assert first["flopsBefore"] == str(plain.cost.flops)
    assert first["bytesBefore"] == str(plain.cost.bytes)
    assert last["flopsAfter"] == str(executable.cost.flops)
    assert last["bytesAfter"] == str(executable.cost.bytes)
    for one, other in zip(model["rewrites"], model["rewrites"][1:], strict=False):
        assert one["flopsAfter"] == other["flopsBefore"]
        assert one["bytesAfter"] == other["bytesBefore"]
    size = {"batch": 10}
    for row in model["rewrites"]:
        for what in ("flops", "bytes"):
            change, before, after = (eval(row[f"{what}{end}"], {}, size) for end in ("", "Before", "After"))
            assert before + change == after


def test_rewrites_have_the_costs_of_the_ledger():
    way = trace(lenet.NETWORK.graph(), "numpy")
    rows = read(sg.explore(way.declared, backend="numpy"))["rewrites"]
    told = [
        (row["step"], row["flops"].lstrip("+"), row["bytes"].lstrip("+"))
        for row in rows
        if row["rule"] != REST
    ]
    assert told == [(row.step, str(row.flops), str(row.bytes)) for row in way.ledger]
    rest = [row for row in rows if row["rule"] == REST]
    assert rest
    for row in rest:
        last = max(i for i, one in enumerate(rows) if one["made"] == row["made"])
        assert rows[last] is row  # once in a sweep, at its end
        assert row["flops"] != "0" or row["bytes"] != "0"


def test_a_pass_that_says_nothing_is_a_step():
    x = sg.placeholder("x", (2,))
    made = sg.define(y=sg.exp(x))
    silent = Pass("silent", lambda graph, numerics: Rewritten(made))
    row, *more = read(sg.explore(sg.define(y=x), backend="interpreter", passes=[silent]))["rewrites"]
    assert not more
    assert (row["step"], row["pass"], row["rule"], row["before"]) == (0, "silent", WHOLE, [])
    assert (row["flopsBefore"], row["given"] != row["made"]) == ("0", True)


# The other sections.


def test_a_graph_without_gradients_is_differentiated_for_reading():
    graph = one_hidden_layer.declare()
    model = read(sg.explore(graph, backend="numpy"))
    expected = sg.adjoints(graph)
    check(expected.graph, columns(model, stage(model, "gradient")["graph"]), model)
    assert "no part of what was optimised and runs" in stage(model, "gradient")["about"]
    assert model["about"]["messages"] == []
    assert len(columns(model, stage(model, "declared")["graph"])["op"]) == len(graph)
    assert [pair["adjoint"] for pair in model["gradient"]["pairs"]] == [p.adjoint for p in expected.pairs]


def test_gradient_outputs_are_no_part_of_the_declared_graph():
    graph = sg.gradient(one_hidden_layer.declare())
    model = read(sg.explore(graph, backend="numpy"))
    assert [name for name, _ in columns(model, stage(model, "declared")["graph"])["outputs"]] == [
        "loss",
        "logits",
    ]
    assert len(columns(model, stage(model, "gradient")["graph"])["op"]) == len(graph)


def test_without_a_scalar_there_is_no_gradient():
    model = read(sg.explore(sg.define(y=sg.placeholder("x", (2,)) * 2.0), backend="numpy"))
    assert model["gradient"] is None
    assert [one["name"] for one in model["stages"]] == ["declared", "optimised", "fused"]


def test_where_no_derivative_passes_back_it_is_said_why():
    x = sg.variable("x", (2,))
    graph = sg.define(loss=sg.sum(sg.floor(x)))
    model = read(sg.explore(graph, backend="numpy"))
    assert "no derivative of 'loss' passes back" in stage(model, "gradient")["about"]
    pair = next(one for one in model["gradient"]["pairs"] if one["node"] == graph["x"].id)
    assert pair["adjoint"] is None
    assert "floor has no derivative" in pair["reason"]


def test_values_are_those_of_a_run(hidden):
    graph, feeds, page = hidden
    model = read(page)
    assert [one["graph"] for one in model["values"]["graphs"]] == [
        stage(model, "gradient")["graph"],
        stage(model, "optimised")["graph"],
    ]
    shown = model["values"]["graphs"][0]["nodes"]
    for one, value in zip(shown, values(graph, feeds), strict=True):
        expected = statistics(value)
        assert one["shape"] == list(value.shape)
        assert one["counts"] == list(expected.counts)
        assert len(one["edges"]) == len(one["counts"]) + 1
        if value.dtype.kind == "f":
            assert value.dtype.type(one["min"]) == value.min()
            assert value.dtype.type(one["max"]) == value.max()
        assert [value.dtype.type(float(text)) for text in one["sample"]] == value.ravel()[:16].tolist()
    assert "x f64[6,784]" in model["values"]["feed"]
    assert model["values"]["graphs"][0]["first"] is None


def test_the_first_value_that_is_not_finite_is_marked():
    x = sg.placeholder("x", (3,))
    graph = sg.define(loss=sg.sum(sg.log(x)))
    model = read(sg.explore(graph, feeds={"x": [1.0, 0.0, 2.0]}, backend="numpy"))
    one = model["values"]["graphs"][0]
    shown = columns(model, one["graph"])
    assert model["strings"][shown["op"][one["first"]]] == "log"
    assert one["nodes"][one["first"]]["neginf"] == 1


def test_zeros_are_explained_by_the_values():
    w = sg.variable("w", (2,), init=1.0)
    graph = sg.train.minimize(
        sg.define(loss=sg.sum(sg.relu(w * sg.placeholder("x", (2,))))), "loss", sg.train.sgd(0.1)
    )
    pairs = read(sg.explore(graph, feeds={"x": [-1.0, -2.0]}, backend="numpy"))["gradient"]["pairs"]
    told = [pair for pair in pairs if pair["zero"]]
    assert told
    assert all(pair["zeroPath"] for pair in told)


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_hold_each_node_once(backend):
    for graph in (lenet.NETWORK.graph(), *(random_graph(seed).graph for seed in range(4))):
        model = read(sg.explore(graph, backend=backend))
        fusion = model["fusion"]
        unfused, fused = columns(model, fusion["unfused"]), columns(model, fusion["fused"])
        computed = [i for i, inputs in enumerate(unfused["inputs"]) if inputs]
        held = sorted(i for kernel in fusion["kernels"] for i in kernel["members"])
        assert set(held) >= {i for i in computed if unfused["inputs"][i]}
        assert len(held) == len(set(held))
        kernel_of = {i: kernel["node"] for kernel in fusion["kernels"] for i in kernel["members"]}
        for kernel in fusion["kernels"]:
            assert model["strings"][fused["op"][kernel["node"]]] != "project"
            assert len(kernel["members"]) == 1 or kernel["name"].startswith("kernel of")
        edges = {
            (i, k)
            for k in computed
            for i in unfused["inputs"][k]
            if i in kernel_of and kernel_of[i] != kernel_of.get(k)
        }
        told = [(one["producer"], one["consumer"]) for one in fusion["declined"]]
        assert sorted(told) == sorted(edges)
        assert all(one["reason"] for one in fusion["declined"])


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_code_and_memory_are_those_of_the_executable(backend):
    graph = one_hidden_layer.graph()
    model = read(sg.explore(graph, backend=backend, batch=5))
    executable = sg.compile(graph, backend=backend)
    listings = {one["language"].split()[0]: one for one in model["code"]["listings"]}
    assert listings["Python" if backend == "numpy" else "LLVM"]["text"] == executable.source(batch=5)
    assert model["memory"]["peak"] == executable.memory_plan(batch=5).peak
    assert len(model["memory"]["buffers"]) == len(executable.memory_plan(batch=5).buffers)
    with_code = {
        node for one in listings.values() for section in one["sections"] for node in section["nodes"]
    }
    assert with_code == {kernel.node for kernel in executable.kernels(batch=5) if kernel.sections}
    for one in listings.values():
        lines = one["text"].splitlines()
        assert all(1 <= s["first"] <= s["last"] <= len(lines) for s in one["sections"])
    assert model["about"]["sizes"] == [["batch", 5]]
    assert model["about"]["free"] == []


def test_a_profile_names_kernels_of_the_fused_graph(hidden):
    model = read(hidden[2])
    fused = columns(model, stage(model, "fused")["graph"])
    assert model["profile"]["steps"] == 2
    assert model["profile"]["kernels"]
    assert all(fused["inputs"][kernel["node"]] for kernel in model["profile"]["kernels"])
    assert json.loads(model["profile"]["trace"])


def test_a_run_that_fails_is_shown_as_far_as_it_came():
    x = sg.placeholder("x", (2,))
    graph = sg.define(y=sg.exp(sg.assert_finite(x, "x")))
    model = read(sg.explore(graph, feeds={"x": [1.0, np.nan]}, backend="numpy", profile_steps=1))
    assert any("the run failed" in sentence for sentence in model["about"]["messages"])
    assert model["profile"]["failed"]
    assert list(faults(model)) == []


# What is given, and what is left out.


def test_the_same_graph_gives_the_same_bytes():
    graph = xor_mlp.graph()
    feeds = random_feeds(graph, {"batch": 3})
    for backend in BACKENDS:
        one, other = (sg.explore(graph, feeds=feeds, backend=backend) for _ in range(2))
        assert one.html == other.html
        assert one == other


def test_an_executable_is_shown_as_it_was_compiled():
    graph = one_hidden_layer.graph()
    executable = sg.compile(graph, backend="numpy", numerics="bitwise")
    model = read(sg.explore(executable))
    assert (model["about"]["backend"], model["about"]["numerics"]) == ("numpy", "bitwise")
    check(executable.graph, columns(model, stage(model, "fused")["graph"]), model)
    assert model == read(sg.explore(graph, backend="numpy", numerics="bitwise"))


def test_an_executable_with_passes_of_its_own_says_so():
    passes = sg.transforms.pipeline.default_pipeline()[:3]
    executable = sg.compile(one_hidden_layer.graph(), backend="numpy", passes=passes)
    model = read(sg.explore(executable))
    assert any("passes of its own" in sentence for sentence in model["about"]["messages"])
    assert list(faults(model)) == []
    told = [row["rule"] for row in model["rewrites"] if row["rule"] != REST]
    assert told == [row.rule for row in executable.ledger]
    whole = read(sg.explore(executable, passes=passes))
    assert not any("passes of its own" in sentence for sentence in whole["about"]["messages"])
    assert len(whole["graphs"]) > len(model["graphs"])


def test_what_is_left_out_is_said(monkeypatch):
    graph = xor_mlp.graph()
    feeds = random_feeds(graph, {"batch": 1})
    for name in ("_SNAPSHOTS", "_CODE", "_LISTING", "_PICTURES", "_VALUES", "_HELD"):
        monkeypatch.setattr(models, name, len(graph) + 10 if name == "_SNAPSHOTS" else 10)
    model = read(sg.explore(graph, feeds=feeds, backend="numpy"))
    assert list(faults(model)) == []
    said = " ".join(model["about"]["messages"])
    assert "are shown without the graphs before and after them" in said
    assert "without histograms and pictures" in said
    assert "Why adjoints are zero is not told" in said
    assert "The memory plan and the code are left out" in said
    assert said.count("--complete") == 4
    rows = model["rewrites"]
    kept = [row for row in rows if row["given"] != row["made"]]
    assert 0 < len(kept) < len(rows)
    assert rows[: len(kept)] == kept  # no holes
    assert rows[-1]["flopsAfter"] == str(sg.compile(graph, backend="numpy").cost.flops)
    whole = read(sg.explore(graph, feeds=feeds, backend="numpy", complete=True))
    assert "complete=True" not in " ".join(whole["about"]["messages"])
    assert all(row["given"] != row["made"] for row in whole["rewrites"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"numerics": "exactly"}, "no numerics 'exactly'"),
        ({"passes": [3]}, "passes are a sequence"),
        ({"seed": "a"}, "a seed is a whole number"),
        ({"name": 3}, "name is a text"),
        ({"output": 3}, "could not be written to 3"),
    ],
)
def test_arguments_of_the_wrong_kind_are_told(wrong, said):
    with pytest.raises(sg.SymgraphError, match=said):
        sg.explore(xor_mlp.graph(), **{"backend": "numpy", **wrong})


def test_a_page_says_that_its_graph_is_large(monkeypatch):
    graph = xor_mlp.graph()
    assert not any("large" in said for said in read(sg.explore(graph, backend="numpy"))["about"]["messages"])
    monkeypatch.setattr(models, "_MANY", len(graph))
    said = " ".join(read(sg.explore(graph, backend="numpy"))["about"]["messages"])
    assert "nodes: scopes are folded" in said


def layers(count):
    h = sg.placeholder("x", ("batch", 4))
    for i in range(count):
        with sg.origin.in_scope((f"layer {i}",)):
            h = sg.tanh(h @ sg.variable(f"w{i}", (4, 4)) + sg.variable(f"b{i}", (4,)))
    return sg.train.minimize(sg.define(loss=sg.mean(h * h)), "loss", sg.train.sgd(0.1))


def calls(function):
    count = 0

    def counter(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counter)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_is_linear_in_the_nodes():
    small, large = layers(5), layers(20)

    def work(graph):
        return lambda: sg.explore(graph, backend="numpy")

    work(small)()  # what is cached at the first use is not counted
    assert calls(work(large)) < 5 * calls(work(small))


# Hostile names.


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "a\u2028b\x00c\"'\\",
    "&lt;b&gt;%s{}",
)


def test_hostile_names_are_data():
    with sg.origin.in_scope((HOSTILE[1],)):
        x = sg.placeholder(HOSTILE[0], ("n",))
        w = sg.variable(HOSTILE[1], (), init=1.0)
        graph = sg.define({HOSTILE[2]: sg.sum(x * w), HOSTILE[3]: x + 1.0})
    graph = sg.train.minimize(graph, HOSTILE[2], sg.train.sgd(0.1))
    page = sg.explore(graph, feeds={HOSTILE[0]: [1.0]}, backend="numpy", name=HOSTILE[1])
    model = read(page)
    assert list(faults(model)) == []
    labels = {model["strings"][i] for i in columns(model, 0)["label"]}
    assert {f"placeholder {HOSTILE[0]}", f"variable {HOSTILE[1]}"} <= labels
    assert [HOSTILE[1]] in [origin["scope"] for origin in model["origins"]]
    assert [name for name, _ in columns(model, 0)["outputs"]] == [HOSTILE[2], HOSTILE[3]]
    assert model["about"]["name"] == page.title == HOSTILE[1]
    assert "onerror=alert" not in page.html
    assert "alert(1)</script>" not in page.html
    assert page.html.count("<title>") == 1
    assert "onerror=alert" not in page._repr_html_()


def test_no_file_is_opened_for_a_graph_that_was_read(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("password = 'hunter2'\n")
    text = str(sg.define(y=sg.placeholder("x", (2,)) * 2.0))
    lines = [
        line.split("  # ")[0] + f"  # {secret}:1" if " = mul" in line else line for line in text.splitlines()
    ]
    graph = sg.from_text("\n".join(lines))
    assert graph.nodes[-1].origin.sources[0].file == str(secret)
    model = read(sg.explore(graph, backend="numpy"))
    assert "hunter2" not in json.dumps(model)
    assert any(one["path"] == str(secret) and not one["lines"] for one in model["files"])
    assert any("no line of code that did not run here" in sentence for sentence in model["about"]["messages"])


def test_long_names_and_lines_are_cut():
    x = sg.placeholder("x" * 10_000, (2,))
    y = x + 1.0; comment = "long" * 500  # fmt: skip  # noqa: E702, F841
    model = read(sg.explore(sg.define(y=y), backend="interpreter"))
    assert max(len(text) for one in model["files"] for _, text in one["lines"]) <= 400
    assert max(len(model["strings"][i]) for i in columns(model, 0)["label"]) < 100
