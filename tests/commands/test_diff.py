"""`symgraph diff`: what differs, with the exit codes of diff(1)."""

import pytest

import symgraph as sg
from models import one_hidden_layer
from symgraph.__main__ import main
from symgraph.inspect.diff import diff

NAME = "models.one_hidden_layer"


@pytest.fixture
def run(capsys):
    def run_(*words):
        code = main(["diff", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, graph in (
        ("a", one_hidden_layer.declare()),
        ("b", one_hidden_layer.declare(classes=10)),
        ("c", sg.from_text(str(one_hidden_layer.declare()).replace("0.01", "0.02"))),
    ):
        paths.append(tmp_path / f"{name}.sg")
        paths[-1].write_text(str(graph))
    return [str(path) for path in paths]


def test_the_same_graph_is_0(run, files):
    assert run(files[0], files[0]) == (0, "the graphs are the same: 17 nodes\n", "")
    assert run(files[0], f"{NAME}:declare")[0] == 0
    assert run(NAME, "models/one_hidden_layer.py")[0] == 0


def test_another_graph_is_1(run, files):
    code, out, err = run(files[0], files[1])
    assert (code, err) == (1, "")
    assert out.strip() == str(diff(one_hidden_layer.declare(), one_hidden_layer.declare(classes=10)))
    assert "~ %7 variable" in out and "type was f64[1,64], now f64[10,64]" in out
    _, out, _ = run(files[0], files[2])
    assert out.count("init was constant(0.01), now constant(0.02)") == 2
    assert run(files[0], files[1], "--quiet") == (1, "", "")
    assert run(files[0], files[0], "-q") == (0, "", "")


def test_stages_of_one_graph(run):
    code, out, _ = run(NAME, "--stages", "declared", "optimised", "--backend", "numpy")
    graph = one_hidden_layer.graph()
    assert code == 1 and out.strip() == str(diff(graph, sg.compile(graph, backend="numpy").graph))
    code, out, _ = run(NAME, "--stages", "forward", "gradient")
    assert code == 1 and out.count("+ output d_loss/d_") == 4 and "- " not in out.replace("--- ", "")
    assert run(NAME, NAME, "--stage", "gradient")[0] == 0
    assert run(NAME, "--stages", "declared", "declared", "--size", "batch=3")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([NAME], "nothing to compare it with"),
        ([NAME, "no_such.sg"], "no_such.sg cannot be read"),
        (["no_such", NAME], "there is no module 'no_such'"),
        ([NAME, NAME, "--size", "rows=3"], "'rows' is no named size"),
        ([NAME, "--stages", "declared", "gradient", "--of", "cost"], "'cost' is no output"),
    ],
)
def test_a_mistake_is_2(words, said, run):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("symgraph: error: ") and said in err


def test_an_unknown_stage_is_2():
    with pytest.raises(SystemExit) as exit_:
        main(["diff", NAME, "--stages", "declared", "source"])
    assert exit_.value.code == 2
