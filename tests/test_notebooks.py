"""The notebooks run from top to bottom as the programs that they are."""

import runpy
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn: pip install -e '.[train]'")
    runpy.run_path(str(path))
    assert "right on 9" in capsys.readouterr().out  # above nine in ten, on pictures that were not seen
