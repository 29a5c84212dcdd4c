"""Matplotlib's figures, as values: on no screen, without pyplot and its state, shown by notebooks as small PNGs."""

import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from symgraph.errors import DataError
from symgraph.files import reason, replacing

_DPI = 150
_DPI_SHOWN = 80  # a notebook keeps each picture in its file


class Picture(Figure):
    """A matplotlib figure that a notebook shows where it is the last line of a cell."""

    def _repr_png_(self) -> bytes:
        """What a notebook shows: PNG with a palette, which is a third of the size of one with all colours."""
        drawn, small = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=_DPI_SHOWN)
        drawn.seek(0)
        with Image.open(drawn) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
        return small.getvalue()


def figure(width: float, height: float) -> Picture:
    """An empty figure, its size in inches."""
    made = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def endings() -> dict[str, str]:
    """What matplotlib can write: the meaning of each ending of a file's name."""
    canvas: Any = FigureCanvasAgg(Figure())
    found: dict[str, str] = canvas.get_supported_filetypes()
    return found


def write(made: Figure, path: Path, kind: str) -> None:
    """Write a figure whole or not at all; raises DataError."""
    try:
        with replacing(path) as file:
            made.savefig(file, dpi=_DPI, format=kind)
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {reason(error)}",
            source=None,
            hint="Name a file in a folder that exists and may be written to.",
        ) from error
