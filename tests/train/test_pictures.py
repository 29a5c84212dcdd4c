"""Pictures: what is drawn is what was given; files are whole; no state of pyplot's is touched."""

import builtins
import io
import stat
import sys

import numpy as np
import pytest

from symgraph import errors
from symgraph.train.history import History

matplotlib = pytest.importorskip("matplotlib", reason="draws: pip install 'symgraph[train]'")
from PIL import Image  # noqa: E402  comes with matplotlib

from symgraph.train import pictures  # noqa: E402

NAN = float("nan")


def curves_of(axes):
    return {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines}


def test_curves_are_the_values_counted_from_one():
    figure = pictures.curves(
        {"a": [3.0, 2.0, 1.0], "b": ([10, 20], [5.0, 4.0]), "c": [7.0]}, title="T", x="batch", y="Y"
    )
    (axes,) = figure.axes
    assert curves_of(axes) == {
        "a": ([1, 2, 3], [3.0, 2.0, 1.0]),
        "b": ([10, 20], [5.0, 4.0]),
        "c": ([1], [7.0]),
    }
    assert (axes.get_xlabel(), axes.get_ylabel(), figure.get_suptitle()) == ("batch", "Y", "T")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    assert axes.lines[2].get_marker() == "." and axes.get_ylim()[0] == 0
    assert pictures.curves({"a": [-1.0, 2.0]}).axes[0].get_ylim()[0] < -1


def test_equal_curves_both_show():
    first, second = pictures.curves({"a": [1.0, 0.5], "b": [1.0, 0.5]}).axes[0].lines
    assert first.get_linewidth() > second.get_linewidth() and first.get_color() != second.get_color()


def test_several_runs_are_named():
    figure = pictures.curves({"sgd": {"loss": [1, 2]}, "adam": {"loss": [3, 4], "val_loss": [5, 6]}})
    assert set(curves_of(figure.axes[0])) == {"sgd loss", "adam loss", "adam val_loss"}


def test_quantities_have_panels_where_they_are_asked_for():
    figure = pictures.curves({"loss": [2, 1], "validation_loss": [3, 2], "accuracy": [0.5, 0.6]}, panels=True)
    assert [set(curves_of(axes)) for axes in figure.axes] == [{"loss", "validation_loss"}, {"accuracy"}]
    training, validation = figure.axes[0].lines
    assert training.get_color() == validation.get_color() and validation.get_linestyle() == "--"


HISTORY = History(
    [
        {"epoch": 1, "step": 2, "loss": 0.5, "val_loss": 0.6, "val_matrix": [[1, 0], [0, 1]], "seconds": 3.0},
        {
            "epoch": 2,
            "step": 4,
            "loss": 0.25,
            "val_loss": None,
            "val_matrix": [[1, 0], [0, 1]],
            "seconds": 3.0,
        },
    ],
    losses=(0.6, 0.4, 0.3, 0.2),
)


def test_a_history_is_drawn_by_epoch():
    figure = pictures.curves(HISTORY)
    (axes,) = figure.axes
    found = curves_of(axes)
    assert found["loss of each step"] == ([0.5, 1.0, 1.5, 2.0], [0.6, 0.4, 0.3, 0.2])
    assert found["loss"] == ([1.0, 2.0], [0.5, 0.25]) and axes.get_xlabel() == "epoch"
    assert found["val_loss"][1][0] == 0.6 and np.isnan(found["val_loss"][1][1])
    assert set(found) == {"loss of each step", "loss", "val_loss"}
    two = pictures.curves({"a": HISTORY, "b": HISTORY})
    assert len(two.axes) == 1 and "b val_loss" in curves_of(two.axes[0])
    assert curves_of(pictures.curves(History([], (1.0, 0.5))).axes[0])["loss of each step"][0] == [0.5, 1.0]


@pytest.mark.parametrize(
    "wrong", [[1.0, 2.0], {"a": "text"}, {"a": [[1.0, 2.0]]}, {"a": ([1, 2], [1, 2, 3])}, {"a": 3.0}]
)
def test_what_is_no_curve(wrong):
    with pytest.raises(errors.SymgraphError, match=r"curves|no curve"):
        pictures.curves(wrong)


def test_a_curve_that_diverged_is_drawn_with_gaps():
    for losses in ([1.0, NAN, 2.0], [NAN, NAN], [1.0, np.inf], [], [None, 1.0]):
        figure = pictures.curves({"loss": losses}, logarithmic=losses == [1.0, NAN, 2.0])
        assert len(figure._repr_png_()) > 500


def test_lines_and_bars():
    t = np.linspace(0, 1, 5)
    figure = pictures.lines(
        {"a": (t, t), "b": (t, t**2, t / 10)}, points=(t, -t), logarithmic=(False, True), y="z"
    )
    (axes,) = figure.axes
    assert axes.get_yscale() == "log" and axes.get_ylabel() == "z"
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"a", "b", "data"}
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), np.stack([t, -t], axis=1))
    for wrong in ({"a": t}, {"a": (t,)}, {"a": (t, t[:2])}, {"a": 3}):
        with pytest.raises(errors.DataError, match="a is no pair"):
            pictures.lines(wrong)


XOR = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])


def regions(axes):
    return np.asarray(axes.collections[0].get_array()).reshape(-1)


@pytest.mark.parametrize("form", ["logit", "column", "probability", "scores", "classes", "array"])
def test_the_regions_are_the_predicted_classes(form):
    places = pictures.grid(XOR, 30)
    product = places[:, 0] * places[:, 1]
    given = {
        "logit": lambda p: p[:, 0] * p[:, 1],
        "column": lambda p: (p[:, 0] * p[:, 1])[:, None],
        "probability": lambda p: 1 / (1 + np.exp(-p[:, 0] * p[:, 1])),
        "scores": lambda p: np.stack([-p[:, 0] * p[:, 1], p[:, 0] * p[:, 1]], axis=1),
        "classes": lambda p: (p[:, 0] * p[:, 1] > 0).astype(int),
        "array": {"now": product},
    }[form]
    threshold = 0.5 if form == "probability" else 0.0
    figure = pictures.decision_boundary(given, XOR, [1, 0, 1, 0], resolution=30, threshold=threshold)
    (axes,) = figure.axes
    np.testing.assert_array_equal(regions(axes), product > 0)
    dots = {c.get_label(): c.get_offsets() for c in axes.collections if c.get_label() in ("0", "1")}
    np.testing.assert_array_equal(dots["1"], XOR[[0, 2]])
    np.testing.assert_array_equal(dots["0"], XOR[[1, 3]])


def test_a_boundary_through_training_has_a_panel_each():
    figure = pictures.decision_boundary(
        {f"epoch {k}": (lambda p, k=k: p[:, 0] - k / 9) for k in range(5)},
        XOR,
        np.eye(2)[[1, 0, 0, 1]],
        resolution=10,
        names=["left", "right"],
        title="through training",
    )
    assert [axes.get_title() for axes in figure.axes] == [f"epoch {k}" for k in range(5)]
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {"left", "right"}
    assert pictures.decision_boundary(lambda p: np.zeros(len(p)), XOR, [0, 0, 0, 0], resolution=4).axes


def test_what_does_not_fit_a_boundary():
    with pytest.raises(errors.ShapeError, match=r"points \[n, 2\]"):
        pictures.decision_boundary(lambda p: p, np.zeros((4, 3)), [0, 1, 0, 1])
    with pytest.raises(errors.ShapeError, match="predictions for 16 points"):
        pictures.decision_boundary(lambda p: p[:3], XOR, [0, 1, 0, 1], resolution=4)
    with pytest.raises(errors.ShapeError, match="4 points have 3 labels"):
        pictures.decision_boundary(lambda p: p[:, 0], XOR, [0, 1, 0], resolution=4)
    with pytest.raises(errors.DataError, match="NaN"):
        pictures.decision_boundary(lambda p: p[:, 0] * NAN, XOR, [0, 1, 0, 1], resolution=4)


def test_weights_are_images_of_one_scale():
    rng = np.random.default_rng(0)
    W = rng.normal(size=(12, 5))
    for weights in (W, W.T):
        figure = pictures.weight_images(weights, shape=(3, 4), titles=list("abcde"))
        images = [axes.images[0] for axes in figure.axes[:5]]
        for k, image in enumerate(images):
            np.testing.assert_array_equal(image.get_array(), W[:, k].reshape(3, 4))
            assert image.get_clim() == (-np.abs(W).max(), np.abs(W).max())
        assert [axes.get_title() for axes in figure.axes[:5]] == list("abcde")
    assert len(pictures.weight_images(W, shape=(3, 4), most=2).axes) == 3
    assert len(pictures.weight_images(W[:, 0], shape=(3, 4)).axes) == 2
    assert pictures.weight_images(np.zeros((12, 2)), shape=(3, 4)).axes
    with pytest.raises(errors.ShapeError, match=r"\[12, 5\], and no axis has 784 inputs, which is 28x28"):
        pictures.weight_images(W)


def test_a_confusion_matrix_is_numbers_and_shares():
    figure = pictures.confusion([[3, 1], [0, 0]], ["cat", "hound"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "0"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "hound"]
    assert [t.get_text() for t in pictures.confusion([[0.5, 0.25], [0, 0.25]]).axes[0].texts][0] == "0.50"
    assert not pictures.confusion(np.eye(30)).axes[0].texts
    for wrong, labels in (([[1, 2]], None), (np.zeros((0, 0)), None), (np.eye(2), ["a"])):
        with pytest.raises(errors.ShapeError, match="confusion"):
            pictures.confusion(wrong, labels)


def test_wrong_answers_come_with_the_most_certain_first():
    images = np.arange(4 * 9).reshape(4, 3, 3)
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.45, 0.55]])
    truth, predicted = [1, 1, 0, 0], [0, 1, 1, 1]
    for given in (chances, chances[np.arange(4), predicted]):
        figure = pictures.misclassified(images, truth, predicted, given, names=["no", "yes"])
        assert [axes.get_title() for axes in figure.axes] == [
            "yes → no  0.90",
            "no → yes  0.80",
            "no → yes  0.55",
        ]
        np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), images[2])
    assert figure.get_suptitle() == "3 of 4 are wrong: truth → prediction"
    rows = pictures.misclassified(images.reshape(4, 9), truth, predicted, most=2)
    assert len(rows.axes) == 2
    np.testing.assert_array_equal(rows.axes[0].images[0].get_array(), images[0])
    none = pictures.misclassified(images[..., None], truth, truth)
    assert not none.axes and none.get_suptitle() == "all are right"
    colours = pictures.misclassified(np.zeros((1, 3, 3, 3)), [0], [1])
    assert colours.axes[0].images[0].get_array().shape == (3, 3, 3)
    for wrong in (
        lambda: pictures.misclassified(images, [0], [1]),
        lambda: pictures.misclassified(np.zeros((2, 5)), [0, 1], [1, 0]),
        lambda: pictures.misclassified(images, truth, predicted, np.zeros(3)),
    ):
        with pytest.raises(errors.ShapeError, match="misclassified"):
            wrong()


def test_a_notebook_shows_a_small_png():
    data = pictures.curves({"loss": [1.0, 0.5]})._repr_png_()
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG" and image.mode == "P" and image.size == (560, 336)
    assert len(data) < 12_000


def test_nothing_of_pyplot_is_used():
    before = "matplotlib.pyplot" in sys.modules
    settings = str(matplotlib.rcParams.copy())
    pictures.confusion(np.eye(2))._repr_png_()
    assert ("matplotlib.pyplot" in sys.modules) == before and str(matplotlib.rcParams.copy()) == settings


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "PNG"])
def test_a_picture_is_written_in_the_form_of_its_ending(ending, tmp_path):
    path = tmp_path / f"picture.{ending}"
    figure = pictures.curves({"loss": [1.0, 0.5]}, save=path)
    start = path.read_bytes()[:300]
    assert {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}[ending.lower()] in start
    pictures.write(figure, str(path))  # what was there is replaced
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("picture.docx", r"no chart can be written as \.docx"),
        ("picture", "a file without an ending"),
        ("no/folder/picture.png", "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_the_work(name, message, tmp_path):
    def predict(points):
        raise AssertionError("it was asked for")

    for draw in (
        lambda: pictures.curves({"loss": [1.0]}, save=tmp_path / name),
        lambda: pictures.decision_boundary(predict, XOR, [0, 1, 0, 1], save=tmp_path / name),
        lambda: pictures.check(tmp_path / name),
    ):
        with pytest.raises(errors.DataError, match=message):
            draw()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(errors.DataError, match="it is a folder"):
        pictures.check(tmp_path / "folder.png")


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    pictures.curves({"loss": [1.0]}, save=path)
    kept = path.read_bytes()

    def full(self, target, **options):
        target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(errors.DataError, match="could not be written: No space left on device"):
        pictures.curves({"loss": [2.0]}, save=path)
    assert path.read_bytes() == kept and [file.name for file in tmp_path.iterdir()] == ["picture.png"]
    assert stat.S_ISREG(path.stat().st_mode)


def test_without_matplotlib_there_is_an_error_that_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "symgraph.train.figures", raising=False)
    monkeypatch.delattr("symgraph.train.figures", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    for draw in (lambda: pictures.curves({"loss": [1.0]}), lambda: pictures.check("a.png")):
        with pytest.raises(errors.DataError, match="need the package matplotlib") as caught:
            draw()
        assert "symgraph[train]" in caught.value.hint
