"""Pictures of training, by matplotlib: each function returns a Figure, and writes it where `save` names a file.

curves             losses and metrics, by step or epoch
decision_boundary  the regions in which a network gives each class
weight_images      the weights of each unit as an image
confusion          the matrix of true by predicted classes
misclassified      the examples that were answered wrongly
lines              y by x, several on one picture

No figure is on a screen or in pyplot's list, so none need be closed; a notebook shows that on a cell's last line. Every
function raises DataError where matplotlib is missing, where a file's ending is none that it can write, and where the
file cannot be written.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from symgraph.errors import DataError, ShapeError
from symgraph.ir import Array
from symgraph.train.answers import read_classes, read_numbers
from symgraph.train.history import History
from symgraph.train.series import EACH_STEP, members, quantity_of, runs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from symgraph.train.figures import Picture

__all__ = [
    "check",
    "confusion",
    "curves",
    "decision_boundary",
    "grid",
    "lines",
    "misclassified",
    "weight_images",
    "write",
]


def __dir__() -> list[str]:
    return __all__


Place: TypeAlias = str | Path | None
Predict: TypeAlias = Callable[[Array], Any]
_COLOURS = (
    "#2563eb",
    "#ea580c",
    "#16a34a",
    "#9333ea",
    "#dc2626",
    "#0891b2",
    "#ca8a04",
    "#db2777",
    "#4b5563",
    "#65a30d",
)


def _figures() -> Any:
    """The module that imports matplotlib, which is asked for when the first picture is drawn."""
    try:
        from symgraph.train import figures
    except ImportError as error:
        if not (error.name or "").startswith(("matplotlib", "PIL")):
            raise
        raise DataError(
            "pictures need the package matplotlib, which is not installed",
            source=None,
            hint='Install it with: pip install "symgraph[train]"',
        ) from None
    return figures


def check(path: str | Path) -> Path:
    """The path, where a picture can be written under such a name; for asking before hours of training.

    Raises DataError where matplotlib is missing, for an ending that it cannot write, and for a folder that is not
    there.

    >>> check("curves.png").name
    'curves.png'
    """
    target, known = Path(path), _figures().endings()
    kind = target.suffix.lstrip(".").lower()
    if kind not in known:
        raise DataError(
            f"{target}: no chart can be written as {target.suffix or 'a file without an ending'}",
            source=None,
            hint=f"Use one of {', '.join('.' + name for name in sorted(known))}.",
        )
    if target.is_dir() or not target.parent.is_dir():
        why = "it is a folder" if target.is_dir() else f"there is no folder {target.parent}"
        raise DataError(f"{target} cannot be written: {why}", source=None)
    return target


def write(figure: Any, path: str | Path) -> None:
    """Write a figure into a file, whole or not at all, in the format of its ending (.png, .svg, .pdf, ...).

    Raises DataError as `check` does, and where the file cannot be written.
    """
    target = check(path)
    _figures().write(figure, target, target.suffix.lstrip(".").lower())


def _done(figure: "Picture", save: Place) -> "Picture":
    if save is not None:
        write(figure, save)
    return figure


def _start(width: float, height: float, save: Place) -> "Picture":
    if save is not None:
        check(save)  # before the work, not after it
    made: Picture = _figures().figure(width, height)
    return made


# Curves.


def curves(
    values: Any,
    *,
    title: str = "",
    x: str | None = None,
    y: str = "",
    logarithmic: bool = False,
    panels: bool | None = None,
    save: Place = None,
) -> "Picture":
    """Losses and metrics by step or epoch.

    `values` is a History; a mapping from a name to its values, [n] numbers, counted from 1, or to a pair (x, y) of two
    arrays; or a mapping from a run's name to one of these, for several runs on one picture. `panels` draws each
    quantity on axes of its own, training and validation together (names that begin with `validation_`, `val_` or
    `test_` are dashed); by default a History is drawn so, by epoch, one alone with each step in a pale line. Gaps
    (None, NaN) stay open, a curve of one point is a point. Raises DataError for what is no curve.

    >>> curves({"loss": [1.0, 0.5, 0.25], "validation_loss": [1.1, 0.7, 0.6]}, x="epoch").axes[0].get_xlabel()
    'epoch'
    """
    history = any(isinstance(run, History) for run in [values, *members(values)])
    found = runs_of(values)
    split = history if panels is None else panels
    quantities = (
        list(dict.fromkeys(quantity_of(name) for run in found.values() for name in run)) if split else [""]
    )
    figure = _start(7, 4.2, save) if len(quantities) < 2 else _start(5 * len(quantities), 3.8, save)
    from matplotlib.ticker import MaxNLocator  # matplotlib is there, or there were no figure

    for k, quantity in enumerate(quantities):
        axes = figure.add_subplot(1, len(quantities), k + 1)
        _curves_on(axes, found, quantity if split else None, logarithmic)
        axes.set(xlabel=x or ("epoch" if history else "step"), ylabel=quantity or y)
        if history:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if logarithmic:
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend()
    if title:
        figure.suptitle(title)
    return _done(figure, save)


def _curves_on(
    axes: "Axes",
    runs: Mapping[str, Mapping[str, tuple[Array, Array]]],
    quantity: str | None,
    logarithmic: bool,
) -> None:
    drawn = [
        (run, name, curve)
        for run, named in runs.items()
        for name, curve in named.items()
        if (quantity is None or quantity_of(name) == quantity) and (name != EACH_STEP or len(runs) == 1)
    ]
    told = len({name for _, name, _ in drawn}) > 1  # else the names of the runs tell curves apart
    # Training and validation of one run share their colour; equal curves both show, for the earlier is wider.
    keys = list(dict.fromkeys((run, quantity_of(name)) for run, name, _ in drawn))
    for k, (run, name, (x, y)) in enumerate(drawn):
        axes.plot(
            x,
            y,
            label=" ".join(filter(None, (run, name))) if told or not run else run,
            color=_COLOURS[keys.index((run, quantity_of(name))) % len(_COLOURS)],
            linestyle="--" if name != quantity_of(name) and name != EACH_STEP else "-",
            linewidth=0.8
            if name == EACH_STEP
            else 1.3 + (1.2 * (len(drawn) - 1 - k) if len(drawn) < 4 else 0),
            alpha=0.35 if name == EACH_STEP else 1,
            marker="." if len(y) < 4 else "",
        )
    values = np.concatenate([y[np.isfinite(y)] for _, _, (_, y) in drawn] or [np.zeros(0)])
    # A curve that stays far above 0 would be a flat line, and a logarithmic axis has no 0.
    if not logarithmic and values.size and 0 <= values.min() < values.max() / 2:
        axes.set_ylim(bottom=0)


def lines(
    values: Mapping[str, Any],
    *,
    title: str = "",
    x: str = "x",
    y: str = "y",
    points: Any = None,
    logarithmic: tuple[bool, bool] = (False, False),
    save: Place = None,
) -> "Picture":
    """Functions and measurements: `values` maps a name to a pair of arrays (x [n], y [n]), or (x, y, deviation [n])
    for bars of error; `points`, a pair (x, y), are drawn as dots. `logarithmic` says which of the two axes are.
    Raises DataError for what is no pair of arrays of one length.

    >>> t = np.linspace(-1, 1, 5)
    >>> lines({"t²": (t, t**2), "t³": (t, t**3, 0.1 * np.ones(5))}, y="power").axes[0].get_ylabel()
    'power'
    """
    figure = _start(6, 4, save)
    axes = figure.add_subplot()
    if points is not None:
        dots = _columns("points", points, 2)
        axes.scatter(dots[0], dots[1], s=12, color="#9ca3af", label="data", zorder=1)
    for k, (name, pair) in enumerate(values.items()):
        parts, colour = _columns(name, pair, 3), _COLOURS[k % len(_COLOURS)]
        if len(parts) == 3:
            axes.errorbar(parts[0], parts[1], parts[2], label=name, color=colour, capsize=3)
        else:
            axes.plot(*parts, label=name, color=colour)
    for wanted, scale in zip(logarithmic, (axes.set_xscale, axes.set_yscale), strict=True):
        if wanted:
            scale("log")
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    return _done(figure, save)


def _columns(name: str, value: Any, most: int) -> list[Array]:
    parts = [read_numbers("lines", name, part, finite=False) for part in value] if np.iterable(value) else []
    if not 2 <= len(parts) <= most or any(part.ndim != 1 or len(part) != len(parts[0]) for part in parts):
        raise DataError(f"lines: {name} is no pair of arrays of one length", hint="Write {name: (x, y)}.")
    return parts


# Regions.


def grid(points: Any, resolution: int = 200, margin: float = 0.5) -> Array:
    """The points on which `decision_boundary` asks for predictions: float64 [resolution², 2], around `points` [n, 2].

    For a boundary at several times of training: predict on the grid at each, and draw the arrays together.

    >>> grid([[0.0, 0.0], [1.0, 1.0]], resolution=2, margin=0.0)
    array([[0., 0.],
           [1., 0.],
           [0., 1.],
           [1., 1.]])
    """
    data = read_numbers("grid", "points", points)
    if data.ndim != 2 or data.shape[1] != 2 or not len(data):
        raise ShapeError(
            f"a boundary is drawn for points [n, 2], and these have the shape {list(data.shape)}",
            hint="Take two of the coordinates.",
        )
    low, high = data.min(axis=0) - margin, data.max(axis=0) + margin
    axes = [np.linspace(low[k], high[k], resolution) for k in range(2)]
    return np.stack([part.ravel() for part in np.meshgrid(*axes)], axis=1)


def decision_boundary(
    predict: Predict | Mapping[str, Any],
    points: Any,
    labels: Any,
    *,
    threshold: float = 0.0,
    resolution: int = 200,
    margin: float = 0.5,
    title: str = "",
    names: Sequence[str] | None = None,
    save: Place = None,
) -> "Picture":
    """The regions in which a network gives each class, and the points, coloured by their true class.

    `predict` takes points float64 [m, 2] and gives scores [m, k], one score [m] or [m, 1] that is compared with
    `threshold` (0 for logits, 0.5 for probabilities), or class numbers [m]. A mapping from titles to such functions, or
    to what they give on `grid(points, resolution, margin)`, is drawn as a panel each. `points` [n, 2]; `labels` class
    numbers [n] or one-hot [n, k]; `names` of the classes. Raises ShapeError, DataError.

    >>> figure = decision_boundary(lambda p: p[:, 0] * p[:, 1], [[1, 1], [-1, 1]], [1, 0], resolution=20)
    >>> len(figure.axes)
    1
    """
    places = grid(points, resolution, margin)
    panels = predict if isinstance(predict, Mapping) else {title: predict}
    across = min(4, len(panels)) or 1
    down = -(-len(panels) // across)
    size = 5.5 if len(panels) == 1 else 3.4
    figure = _start(size * across, size * 0.9 * down, save)
    classes = [
        _region(name, value(places) if callable(value) else value, len(places), threshold)
        for name, value in panels.items()
    ]
    wanted = np.asarray(labels)
    true = wanted.argmax(axis=1) if wanted.ndim == 2 and wanted.shape[1] > 1 else wanted.ravel().astype(int)
    if len(true) != len(np.asarray(points)):
        raise ShapeError(f"decision_boundary: {len(np.asarray(points))} points have {len(true)} labels")
    count = int(max(true.max(), *(part.max() for part in classes))) + 1
    for k, (name, found) in enumerate(zip(panels, classes, strict=True)):
        _regions_on(figure.add_subplot(down, across, k + 1), places, found, count, resolution)
        axes = figure.axes[-1]
        for c in range(count):
            own = np.asarray(points)[true == c]
            label = str(names[c]) if names is not None and c < len(names) else str(c)
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=14,
                color=_COLOURS[c % len(_COLOURS)],
                edgecolor="white",
                linewidth=0.4,
                label=label,
            )
        axes.set_title(str(name), fontsize=10)
    figure.axes[0].legend(loc="upper right", fontsize=8)
    if title and isinstance(predict, Mapping):
        figure.suptitle(title)
    return _done(figure, save)


def _region(name: str, scores: Any, count: int, threshold: float) -> Array:
    """The class at each point of the grid."""
    array = np.asarray(scores)
    if array.shape[:1] != (count,):
        raise ShapeError(
            f"decision_boundary: predictions for {count} points have the shape {list(array.shape)}",
            hint="A prediction function takes points [m, 2] and gives scores [m, k]; arrays are those on grid(points).",
        )
    found, _, _ = read_classes(
        "decision_boundary", (name or "predict", "y"), threshold, False, array, np.zeros(count)
    )
    return found


def _regions_on(axes: "Axes", places: Array, found: Array, count: int, resolution: int) -> None:
    from matplotlib.colors import ListedColormap

    square = (resolution, resolution)
    x, y, z = (part.reshape(square) for part in (places[:, 0], places[:, 1], found))
    colours = ListedColormap([_COLOURS[c % len(_COLOURS)] for c in range(count)])
    axes.pcolormesh(
        x, y, z, cmap=colours, vmin=-0.5, vmax=count - 0.5, alpha=0.25, shading="nearest", linewidth=0
    )
    for c in range(count if len(np.unique(found)) > 1 else 0):
        axes.contour(x, y, (z == c).astype(float), levels=[0.5], colors="#374151", linewidths=0.8)
    axes.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))


# Images.


def weight_images(
    W: Any,
    shape: tuple[int, ...] = (28, 28),
    *,
    most: int = 64,
    titles: Sequence[str] | None = None,
    title: str = "",
    save: Place = None,
) -> "Picture":
    """The weights into each unit as an image: blue below 0, red above, on one scale for all.

    `W` is [inputs, units] or, where the inputs are on the second axis, [units, inputs]; a vector is one unit. `shape`
    is that of the inputs. At most `most` units are drawn. Raises ShapeError where no axis has so many inputs.

    >>> len(weight_images(np.eye(4), shape=(2, 2)).axes)
    5
    """
    weights = read_numbers("weight_images", "W", W, finite=False)
    weights = weights[:, None] if weights.ndim == 1 else weights
    inputs = int(np.prod(shape))
    if weights.ndim != 2 or inputs not in weights.shape:
        raise ShapeError(
            f"weight_images: W has the shape {list(weights.shape)}, and no axis has {inputs} inputs, which is "
            f"{'x'.join(map(str, shape))}",
            hint="Give W [inputs, units], and the shape of the inputs: weight_images(W, shape=(28, 28)).",
        )
    units = (weights.T if weights.shape[0] == inputs else weights)[:most]
    finite = np.abs(units[np.isfinite(units)])
    scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    figure, panels = _panels(len(units), save)
    drawn = None
    for k, axes in enumerate(panels):
        drawn = axes.imshow(
            units[k].reshape(shape), cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest"
        )
        if titles is not None and k < len(titles):
            axes.set_title(str(titles[k]), fontsize=8)
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, shrink=0.8)
    if title:
        figure.suptitle(title)
    return _done(figure, save)


def _panels(count: int, save: Place, inch: float = 1.1) -> tuple["Picture", list["Axes"]]:
    """A figure of small images, about twice as wide as high, in rows of nearly one length; up to five are one row."""
    down = 1 if count <= 5 else -(-count // int(np.ceil(np.sqrt(2 * count))))
    across = max(1, -(-count // down))
    figure = _start(max(3.0, inch * across + 0.8), max(1.6, inch * down + 0.4), save)
    panels = [figure.add_subplot(down, across, k + 1) for k in range(count)]
    for axes in panels:
        axes.set_axis_off()
    return figure, panels


def confusion(
    matrix: Any, labels: Sequence[Any] | None = None, *, title: str = "", save: Place = None
) -> "Picture":
    """The matrix [k, k] of true classes (rows) by predicted ones (columns), as `metrics.confusion_matrix` gives it.

    Shades are shares of a row, so that small classes show; the numbers stand in the cells of up to 20 classes. Raises
    ShapeError for what is not square, or for another number of labels.

    >>> [text.get_text() for text in confusion([[3, 1], [0, 4]]).axes[0].texts]
    ['3', '1', '0', '4']
    """
    counts = read_numbers("confusion", "matrix", matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(f"confusion: a matrix [k, k] is drawn, and this has the shape {list(counts.shape)}")
    k = len(counts)
    if labels is not None and len(labels) != k:
        raise ShapeError(f"confusion: the matrix has {k} classes, and there are {len(labels)} labels")
    size = min(12.0, 2.2 + 0.42 * k)
    figure = _start(size + 0.6, size, save)
    axes = figure.add_subplot()
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals != 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if k <= 20:
        whole = np.all(counts == np.floor(counts))
        for row, column in np.ndindex(k, k):
            text = f"{counts[row, column]:.0f}" if whole else f"{counts[row, column]:.2f}"
            colour = "white" if shares[row, column] > 0.5 else "#6b7280" if row != column else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    names = [str(label) for label in (labels if labels is not None else range(k))]
    axes.set_xticks(range(k), names, rotation=45 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(k), names)
    axes.set(xlabel="predicted", ylabel="truth", title=title)
    return _done(figure, save)


def misclassified(
    images: Any,
    truth: Any,
    predicted: Any,
    probabilities: Any = None,
    *,
    most: int = 24,
    names: Sequence[str] | None = None,
    title: str = "",
    save: Place = None,
) -> "Picture":
    """The examples that were answered wrongly, each under its true class and the predicted one.

    `images` [n, height, width], [n, height, width, 3] or square ones as rows [n, pixels]; `truth` and `predicted` class
    numbers [n]. With `probabilities`, [n, k] or those of the predicted class [n], the most certain errors come first,
    and tell how certain they were. Raises ShapeError for other shapes.

    >>> figure = misclassified(np.zeros((3, 4, 4)), [0, 1, 2], [0, 2, 1])
    >>> [axes.get_title() for axes in figure.axes]
    ['1 → 2', '2 → 1']
    """
    pictures = _as_images(read_numbers("misclassified", "images", images))
    true, given = (np.asarray(part).reshape(-1).astype(int) for part in (truth, predicted))
    if not len(pictures) == len(true) == len(given):
        raise ShapeError(
            f"misclassified: there are {len(pictures)} images, {len(true)} true and {len(given)} predicted classes",
            hint="Give a class number for each image: logits.argmax(axis=1).",
        )
    wrong = np.flatnonzero(true != given)
    certain = None
    if probabilities is not None:
        chances = read_numbers("misclassified", "probabilities", probabilities)
        if (
            chances.ndim not in (1, 2)
            or len(chances) != len(true)
            or (chances.ndim == 2 and chances.shape[1] < 2)
        ):
            raise ShapeError(f"misclassified: {len(true)} images have probabilities {list(chances.shape)}")
        certain = chances[np.arange(len(true)), given] if chances.ndim == 2 else chances
        wrong = wrong[np.argsort(-certain[wrong], kind="stable")]
    figure, panels = _panels(min(most, len(wrong)), save, 1.2)
    for axes, i in zip(panels, wrong, strict=False):
        axes.imshow(pictures[i], cmap="gray_r", interpolation="nearest")
        told = [str(names[c]) if names is not None else str(c) for c in (true[i], given[i])]
        sure = "" if certain is None else f"  {certain[i]:.2f}"
        axes.set_title(f"{told[0]} → {told[1]}{sure}", fontsize=8)
    count = f"{len(wrong)} of {len(true)} are wrong: truth → prediction" if len(wrong) else "all are right"
    figure.suptitle(title or count, fontsize=10)
    return _done(figure, save)


def _as_images(array: Array) -> Array:
    if array.ndim == 2:
        side = round(float(np.sqrt(array.shape[1])))
        if side * side == array.shape[1]:
            return array.reshape(len(array), side, side)
    if array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (3, 4)):
        return array
    if array.ndim == 4 and array.shape[3] == 1:
        return array[..., 0]
    raise ShapeError(
        f"misclassified: these are no images: their shape is {list(array.shape)}",
        hint="Give [n, height, width], or rows of square images [n, pixels].",
    )
