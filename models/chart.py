"""The talk's chart: the training loss of each batch, drawn by matplotlib into a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import symgraph as sg


def checked(path: Path) -> None:
    """Raise DataError where matplotlib is missing, or cannot write the kind of file that the name says."""
    figure = _figure()
    known = figure.canvas.get_supported_filetypes()
    kind = path.suffix.lstrip(".").lower()
    if kind not in known:
        raise sg.DataError(
            f"--plot {path}: no chart can be written as {path.suffix or 'a file without an ending'}",
            source=None,
            hint=f"Use one of {', '.join('.' + name for name in sorted(known))}.",
        )


def draw(path: Path, curves: Mapping[str, Sequence[float]], title: str) -> None:
    """Write a chart of the losses by batch, one curve a network; raises DataError.

    A curve with one point is drawn as a point.
    """
    figure = _figure()
    axes = figure.add_subplot()
    for i, (label, losses) in enumerate(curves.items()):
        # The first two networks have one curve: the earlier is drawn wider, and shows at both sides.
        width = 1.5 + 1.5 * (len(curves) - 1 - i)
        mark = "." if len(losses) < 4 else ""
        axes.plot(range(1, len(losses) + 1), losses, label=label, linewidth=width, marker=mark)
    axes.set(title=title, xlabel="batch", ylabel="training loss")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if curves:
        axes.legend()
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a matplotlib figure into a file; raises DataError."""
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise sg.DataError(f"{path} could not be written: {error.strerror or error}", source=None) from error


def _figure() -> Any:
    """A figure of its own, on no screen: no state of matplotlib's is touched."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise sg.DataError(
            "--plot needs the package matplotlib, which is not installed",
            source=None,
            hint='Install it with: pip install -e ".[train]"',
        ) from None
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
