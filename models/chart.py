"""The chart of the training losses, and pictures written into files: `symgraph.train.pictures` behind `--plot`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import symgraph as sg
from symgraph.train import pictures


def checked(path: Path) -> None:
    """Raise DataError where matplotlib is missing, or cannot write the kind of file that the name says."""
    pictures.check(path)


def draw(path: Path, curves: Mapping[str, Sequence[float]], title: str) -> None:
    """Write a chart of the losses by batch, one curve a network; raises DataError."""
    pictures.curves(curves, title=title, x="batch", y="training loss", save=path)


def save(drawn: Any, path: Path) -> None:
    """Write a matplotlib figure, or a text such as SVG, into a file; raises DataError."""
    if not isinstance(drawn, str):
        pictures.write(drawn, path)
        return
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise sg.DataError(f"{path} could not be written: {error.strerror or error}", source=None) from error
