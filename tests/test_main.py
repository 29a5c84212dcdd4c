"""`symgraph show`: each stage, each source, and each mistake; `symgraph cache`."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import symgraph as sg
from models import logistic_regression_graph, one_hidden_layer
from symgraph.__main__ import _parser, main
from symgraph.commands.shared import load
from symgraph.commands.stages import forward, with_gradient
from symgraph.inspect.kernels import listing

ROOT = Path(__file__).parents[1]
NAME = "models.one_hidden_layer"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def show(capsys, *words):
    code = main(["show", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_declared_is_the_graph_itself(capsys):
    code, out, err = show(capsys, NAME)
    assert (code, err) == (0, "")
    assert sg.from_text(out) == one_hidden_layer.graph()
    assert "models/one_hidden_layer.py:" in out


def test_forward_is_what_the_outputs_need(capsys):
    _, out, _ = show(capsys, NAME, "--stage", "forward")
    assert sg.from_text(out) == one_hidden_layer.declare()


def test_gradient_adds_that_of_each_variable(capsys):
    _, out, _ = show(capsys, NAME, "--stage", "gradient")
    expected = sg.gradient(one_hidden_layer.declare(), "loss")
    assert sg.from_text(out) == expected
    assert {f"d_loss/d_{name}" for name in ("W1", "b1", "W2", "b2")} <= set(dict(expected.outputs))


def test_optimised_is_what_compile_makes(capsys):
    for words in ([], ["--numerics", "bitwise"], ["--backend", "interpreter"]):
        _, out, _ = show(capsys, NAME, "--stage", "optimised", *words)
        options = dict(zip([w.lstrip("-") for w in words[::2]], words[1::2], strict=True))
        assert sg.from_text(out) == sg.compile(one_hidden_layer.graph(), **options).graph


def test_unfused_has_the_ids_that_fusions_are_told_by(capsys):
    _, out, _ = show(capsys, NAME, "--stage", "unfused", "--backend", "numpy")
    assert sg.from_text(out) == sg.unfused(sg.compile(one_hidden_layer.graph(), backend="numpy"))


def test_sizes_are_put_in(capsys):
    _, out, _ = show(capsys, NAME, "--size", "batch=128")
    assert "x: f64[128,784]" in out
    assert "batch" not in out


def test_source_and_memory_are_those_of_the_sizes(capsys):
    executable = sg.compile(one_hidden_layer.graph(), backend="numpy")
    words = ["--backend", "numpy", "--size", "batch=128"]
    _, source, _ = show(capsys, NAME, "--stage", "source", *words)
    assert source.strip() == executable.source(batch=128).strip()
    _, memory, _ = show(capsys, NAME, "--stage", "memory", *words)
    assert memory.strip() == f"{executable.memory_plan(batch=128)}\n\n{executable.peak(batch=128)}"
    assert f"{executable.peak(batch=128).live:,} bytes" in memory


def test_ledger_is_explain(capsys):
    executable = sg.compile(one_hidden_layer.graph(), backend="numpy")
    _, out, _ = show(capsys, NAME, "--stage", "ledger", "--backend", "numpy")
    assert out.strip() == sg.explain(executable)
    _, out, _ = show(capsys, NAME, "--stage", "ledger", "--backend", "numpy", "--size", "batch=7")
    assert out.strip() == sg.explain(executable, batch=7)


def test_kernels_and_adjoints_are_text(capsys):
    words = ["--backend", "numpy", "--size", "batch=7"]
    executable = sg.compile(one_hidden_layer.graph(), backend="numpy")
    _, out, _ = show(capsys, NAME, "--stage", "kernels", *words)
    assert out.strip() == listing(executable, {"batch": 7})
    _, out, _ = show(capsys, NAME, "--stage", "adjoints")
    assert out.strip() == str(sg.adjoints(one_hidden_layer.graph()))
    _, out, _ = show(capsys, NAME, "--stage", "adjoints", "--of", "loss", *words)
    assert "f64[7,784]" in out and "batch" not in out


@pytest.mark.parametrize("ending", ["txt", "sg"])
def test_a_text_is_read_back(ending, tmp_path, capsys):
    _, out, _ = show(capsys, NAME)
    path = tmp_path / f"network.{ending}"
    path.write_text(out)
    assert show(capsys, str(path))[1] == out
    assert show(capsys, str(path), "--stage", "gradient")[0] == 0


def test_a_python_file_is_a_module(capsys):
    _, out, _ = show(capsys, "models/logistic_regression_graph.py")
    assert sg.from_text(out) == logistic_regression_graph.graph()


def test_dot_goes_to_a_file_or_out(tmp_path, capsys):
    path = tmp_path / "network.dot"
    shown = show(capsys, NAME, "--stage", "forward", "--dot", str(path))
    assert shown == (0, "", f"{path} is written\n")
    drawn = path.read_text()
    assert drawn.startswith("digraph")
    assert "variable" in drawn
    assert show(capsys, NAME, "--stage", "forward", "--dot", "-")[1] == drawn
    assert show(capsys, NAME, "--stage", "unfused", "--mermaid", "-")[1].startswith("flowchart")


@pytest.mark.parametrize("option", ["--dot", "--mermaid"])
@pytest.mark.parametrize("stage", ["source", "assembly", "ledger", "memory", "kernels", "adjoints"])
def test_what_is_no_graph_is_not_drawn(stage, option, capsys):
    code, out, err = show(capsys, NAME, "--stage", stage, option, "-")
    assert (code, out) == (2, "")
    assert f"{option} draws a graph, and the stage {stage} is text" in err


WRONG = [
    (["no_such_module"], "there is no module 'no_such_module'"),
    (["models..x"], "there is no module 'models..x'"),
    ([""], "there is no module ''"),
    (["json"], "json has no function graph()"),
    (["no_such.txt"], "no_such.txt cannot be read: No such file"),
    (["no_such.py"], "no_such.py cannot be read"),
    (["models"], "models has no function graph()"),
    ([NAME, "--size", "rows=3"], "'rows' is no named size of this graph"),
    ([NAME, "--stage", "source"], "Add --size batch=128"),
    ([NAME, "--stage", "memory"], "batch is not given"),
    ([NAME, "--stage", "optimised", "--backend", "abacus"], "there is no backend 'abacus'"),
    ([NAME, "--backend", "abacus"], "there is no backend 'abacus'"),
    ([NAME, "--stage", "gradient", "--of", "cost"], "'cost' is no output"),
    ([NAME, "--stage", "gradient", "--of", "logits"], "the gradient is of a scalar"),
    ([NAME, "--dot", "no/such/folder/x.dot"], "could not be written"),
    ([NAME, "--pass", "fuse"], "--pass and --rule say nothing of the stage declared"),
    (
        [NAME, "--of", "loss", "--stage", "forward"],
        "Write --stage gradient or adjoints, or leave the option out.",
    ),
    (["x" * 5000 + ".py"], ".py cannot be read: File name too long"),
    (["models/../models/x/../.py"], "there is no such file"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_mistake_is_one_message(words, said, capsys):
    code, out, err = show(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("symgraph: error: ")
    assert said in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def graph():\n    return 3\n", "graph() returned a int, not a Graph"),
        ("def graph(size):\n    return size\n", "graph() failed: TypeError: graph() missing 1 required"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def graph(:\n", "cannot be imported: SyntaxError"),
        (
            "import symgraph as sg\ndef graph():\n    return sg.define(y=sg.placeholder('x', (2,)) @ "
            "sg.placeholder('w', (3,)))\n",
            "faulty.py:3",
        ),
    ],
)
def test_a_faulty_module_is_named(text, said, tmp_path, capsys):
    path = tmp_path / "faulty.py"
    path.write_text(text)
    code, _, err = show(capsys, str(path))
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_faulty_text_is_named_with_its_line(tmp_path, capsys):
    path = tmp_path / "faulty.sg"
    path.write_text("graph(x: f32[n]) {\n  %1: f32[n] = frobnicate %x\n  return y=%1\n}\n")
    code, _, err = show(capsys, str(path))
    assert code == 2
    assert "faulty.sg" in err
    assert "frobnicate" in err
    assert "2" in err


@pytest.mark.parametrize("size", ["batch", "batch=", "batch=x", "=3", "batch=-1", "a b=3"])
def test_a_wrong_size_is_refused(size, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["show", NAME, "--size", size])
    assert exit_.value.code == 2
    assert "write such as batch=128" in capsys.readouterr().err


NAMES = ("show", "summary", "explore", "diff", "check", "profile", "replay", "cache")


def help_of(capsys, *words):
    with pytest.raises(SystemExit) as exit_:
        main([*words, "--help"])
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_all_commands_are_listed(capsys):
    text = help_of(capsys)
    assert tuple(re.findall(r"^    (\w+)  ", text, re.MULTILINE)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_help_teaches(name, capsys):
    text = help_of(capsys, name)
    assert len(text.splitlines()) > 15
    assert name == "cache" or "exit code" in text
    examples = re.findall(r"^  (?:\w+=\S+ )?symgraph (.*)", text.partition("examples:\n")[2], re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(re.split(r"[|;>]", example)[0])
        if "--help" in words:
            continue
        parsed = _parser().parse_args(words)
        assert words[0] == name or name == "diff"
        what = getattr(parsed, "what", None) or getattr(parsed, "a", "")
        assert not what.startswith("models.") or load(what)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["show", NAME, "--stage", "optimized"], "optimised"),
        (["cahce"], "cache"),
        (["show", NAME, "--numerics", "bitwize"], "bitwise"),
        (["diff", NAME, "--stages", "declared", "unfusd"], "unfused"),
        (["zzz"], ""),
    ],
)
def test_a_misspelt_choice_says_what_may_be_meant(words, meant, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(words)
    err = capsys.readouterr().err.strip()
    assert exit_.value.code == 2
    assert err.endswith(f"; did you mean {meant!r}?") if meant else "did you mean" not in err


def test_version_tells(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert sg.__version__ in capsys.readouterr().out


def test_help_imports_nothing_that_it_does_not_need():
    code = (
        "import sys, symgraph; before = set(sys.modules); import symgraph.__main__ as m; m._parser();"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "symgraph.commands.show" in loaded
    assert not loaded & {"zipfile", "json", "subprocess", "llvmlite", "safetensors", "symgraph.text.parser"}
    inspecting = {name for name in loaded if name.startswith("symgraph.inspect.")}
    assert inspecting <= {"symgraph.inspect.explorer", "symgraph.inspect.explorer.wanted"}


def test_an_interrupt_is_130(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("symgraph.commands.summary.load", interrupted)
    assert main(["summary", NAME]) == 130
    assert capsys.readouterr().err == "symgraph: interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_an_output_that_is_full_is_told():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "symgraph", "show", NAME],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == b"symgraph: error: No space left on device\n"


def test_an_output_that_is_closed_takes_nothing():
    code = (
        "import sys; sys.stdout = sys.stderr = None\n"  # as Python finds them after `>&- 2>&-`
        "from symgraph.__main__ import main\n"
        f"for words in ['show', {NAME!r}], ['show', 'none.py']: code = main(words)\n"
        "sys.exit(code)"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=False).returncode == 2


def test_names_that_the_output_cannot_write_are_escaped(tmp_path):
    (tmp_path / "net.py").write_text(
        "import symgraph as sg\ndef graph():\n    return sg.define({'\u03b1': sg.exp(sg.placeholder('\U0001f389'))})\n",
        encoding="utf-8",
    )
    code = (
        "from symgraph.__main__ import main; commands = [['show'], ['summary'], ['check', '--wrt', '\U0001f389'], "
        "['diff', '--stages', 'declared', 'optimised']]; "
        "print([main([words[0], 'net.py', *words[1:]]) for words in commands])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.stdout.isascii() and b"Traceback" not in done.stderr, done.stderr
    assert done.stdout.endswith(b"[0, 0, 0, 0]\n"), (done.stdout, done.stderr)


def test_cache_tells_and_clears(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path))
    for number in range(3):
        (tmp_path / f"{number:064x}.object").write_bytes(b"12345")
    (tmp_path / "letter.txt").touch()
    for words in (["cache"], ["cache", "info"]):
        assert main(words) == 0
        assert capsys.readouterr().out == f"folder   {tmp_path}\nentries  3\nbytes    15\n"
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed 3 entries from {tmp_path}\n"
    assert main(["cache", "info"]) == 0
    assert "entries  0\n" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_cache_that_is_off_says_so(monkeypatch, capsys):
    monkeypatch.setenv("SYMGRAPH_CACHE_DIR", "off")
    for action in ("info", "clear"):
        assert main(["cache", action]) == 0
        assert "SYMGRAPH_CACHE_DIR is off" in capsys.readouterr().out


def test_cache_takes_no_other_action(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["cache", "burn"])
    assert exit_.value.code == 2
    assert "info, clear" in capsys.readouterr().err.replace("'", "")


def test_gradient_needs_to_know_of_what():
    w = sg.variable("w", (3,))
    one = sg.define(total=sg.sum(w))
    assert "d_total/d_w" in dict(with_gradient(one).outputs)
    two = sg.define(a=sg.sum(w), b=sg.mean(w))
    with pytest.raises(sg.GraphError, match="there is no output 'loss'"):
        with_gradient(two)
    assert "d_b/d_w" in dict(with_gradient(two, "b").outputs)
    with pytest.raises(sg.GradientError, match="no float variable"):
        with_gradient(sg.define(loss=sg.sum(sg.placeholder("x", (3,)))))


def test_forward_drops_variables_that_only_updates_need():
    w, count = sg.variable("w", (3,)), sg.variable("count", (), init=0.0)
    graph = sg.define({"y": sg.sum(w)}, updates={"tick": {count: count + 1.0}})
    assert list(forward(graph).variables) == ["w"]


def test_a_reader_that_stops_early_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "symgraph", "show", NAME],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert err == b""
