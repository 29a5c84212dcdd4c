"""The lessons: each .ipynb in step with its .py, each runs from top to bottom, and readers see no noise."""

import json
import re
import sys
from pathlib import Path

import pytest

REASON = "runs notebooks: pip install 'symgraph[dev,train]'"
pytest.importorskip("jupytext", reason=REASON)
pytest.importorskip("nbclient", reason=REASON)
pytest.importorskip("ipykernel", reason=REASON)
pytest.importorskip("matplotlib", reason=REASON)
pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install 'symgraph[train]'")

from notebooks import renew  # noqa: E402

SECONDS = 120  # for a cell; all lessons take about a minute on an idle machine
LESSONS = renew.lessons()


def test_every_notebook_has_a_source():
    sources = {path.stem for path in LESSONS}
    assert {path.stem for path in renew.FOLDER.glob("*.ipynb")} == sources
    assert "neural_network_from_scratch" in sources


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_is_in_step_with_its_source_and_clean(path: Path) -> None:
    assert not renew.faults(path), "make it anew: python -m notebooks.renew"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom_on_small_data(path: Path) -> None:
    made = renew.execute(path, seconds=SECONDS)
    assert not renew.odd_outputs(made)
    stored = json.loads(path.with_suffix(".ipynb").read_text("utf-8"))
    # What is shown is of the same kind as what is stored: a picture is a picture, also where its pixels differ.
    for cell, kept in zip(made.cells, stored["cells"], strict=True):
        shown = [_kind(output) for output in cell.get("outputs", [])]
        assert shown == [_kind(output) for output in kept.get("outputs", [])], cell.source


def _kind(output) -> str:
    kinds = set(output.get("data", ())) - {"text/plain"}
    # Without Graphviz a drawing is text.
    return "graph" if kinds & {"image/svg+xml", "text/html"} else "".join(kinds) or output["output_type"]


LESSON = """# %% [markdown]
# # A lesson
#
# with $x^2$

# %%
import symgraph as sg

print("one")
print(sg.data.mnist().name)

# %%
x = sg.placeholder("x", (2,))
graph = sg.define(y=x * x)
print(graph)
graph
"""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lessons") / "lesson.py"
    path.write_text(LESSON)
    renew.write(renew.execute(path), path.with_suffix(".ipynb"))
    return path


def test_a_renewed_notebook_is_whole_and_tells_nothing_of_the_machine(lesson: Path) -> None:
    assert renew.faults(lesson) == []
    text = lesson.with_suffix(".ipynb").read_text("utf-8")
    made = json.loads(text)
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code", "code"]
    first, second = made["cells"][1]["outputs"], made["cells"][2]["outputs"]
    # Small data, whatever the machine has; and one stream, however its lines came in.
    assert "".join(first[0]["text"]) == "one\nscikit-learn digits\n" and len(first) == 1
    assert "# In[2]:2" in "".join(second[0]["text"])  # lines are named as their reader sees them
    assert ("image/svg+xml" in second[1]["data"]) != ("text/html" in second[1]["data"])
    assert all(not cell["metadata"] and cell["id"] == f"cell-{k}" for k, cell in enumerate(made["cells"]))
    for word in ("ipykernel_", "version", str(lesson.parent), "iopub"):
        assert word not in text


def test_the_same_outputs_make_the_same_file(lesson: Path, tmp_path: Path) -> None:
    renew.write(renew.execute(lesson), tmp_path / "again.ipynb")
    assert (tmp_path / "again.ipynb").read_bytes() == lesson.with_suffix(".ipynb").read_bytes()


def changed(lesson: Path, folder: Path, change) -> Path:
    """The lesson in a folder of its own, its notebook changed."""
    source = folder / "lesson.py"
    source.write_text(lesson.read_text())
    made = json.loads(lesson.with_suffix(".ipynb").read_text("utf-8"))
    change(made["cells"])
    source.with_suffix(".ipynb").write_text(json.dumps(made))
    return source


def output(text: str, name: str = "stdout") -> dict:
    return {"output_type": "stream", "name": name, "text": text}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda cells: cells[1].update(source="print(2)"), "is not in step with lesson.py, from cell 1 on"),
        (lambda cells: cells.pop(), "is not in step with lesson.py, from cell 2 on"),
        (lambda cells: cells[2].update(execution_count=9), "was not run from top to bottom"),
        (lambda cells: cells[1]["outputs"].append(output("Warning", "stderr")), r"In\[1\]: stderr: Warning"),
        (
            lambda cells: cells[1]["outputs"].append(output("see /home/me/x.py:3")),
            r"In\[1\]: the path /home/me/x.py",
        ),
        (lambda cells: cells[1]["outputs"].append(output("at C:\\Users\\me")), r"the path C:\\Users"),
    ],
)
def test_faults_are_found(lesson: Path, tmp_path: Path, change, fault: str) -> None:
    (found,) = renew.faults(changed(lesson, tmp_path, change))
    assert re.search(fault, found), found


def test_a_lesson_without_a_notebook_is_a_fault(tmp_path: Path) -> None:
    source = tmp_path / "lesson.py"
    source.write_text(LESSON)
    assert "lesson.ipynb is not there" in renew.faults(source)[0]


def test_a_lesson_that_fails_names_its_cell(tmp_path: Path) -> None:
    from nbclient.exceptions import CellExecutionError

    source = tmp_path / "lesson.py"
    source.write_text("# %%\n1 / 0\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        renew.execute(source)


def test_the_command_checks_and_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert renew.main(["--check", "neural_network_from_scratch"]) == 0
    for wrong in (["--check", "no_such_lesson"], ["--data", "no/such/folder"]):
        with pytest.raises(SystemExit):
            renew.main(wrong)
    assert "there is no lesson no_such_lesson" in capsys.readouterr().err


def test_missing_packages_are_told_with_their_extra(capsys, monkeypatch):
    for name in ("jupytext", "nbformat", "nbclient"):
        monkeypatch.setitem(sys.modules, name, None)
    for words, told in (
        (["--check"], "jupytext, nbformat"),
        ([LESSONS[0].stem], "jupytext, nbformat, nbclient"),
    ):
        assert renew.main(words) == 2
        said = f'error: this needs {told}, not installed here\n  Install the extra: pip install -e ".[dev]"\n'
        assert capsys.readouterr().err == f"python -m notebooks.renew: {said}"
