"""The chart of the training losses, and pictures written into files: `symgraph.train.pictures` behind `--plot`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from symgraph.train import pictures


def checked(path: Path) -> None:
    """Raise DataError where matplotlib is missing, or cannot write the kind of file that the name says."""
    pictures.check(path)


def draw(path: Path, curves: Mapping[str, Sequence[float]], title: str) -> None:
    """Write a chart of the losses by batch, one curve a network; raises DataError."""
    pictures.curves(curves, title=title, x="batch", y="training loss", save=path)


def save(figure: Any, path: Path) -> None:
    """Write a matplotlib figure into a file; raises DataError."""
    pictures.write(figure, path)
