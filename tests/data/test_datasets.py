"""Data sets: the published files, files of the user, mirrors that fail in every way, and the stand-in."""

import gzip
import hashlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import attrs
import numpy as np
import pytest

from symgraph.data import Dataset, Examples, batches, datasets, digits, fashion_mnist, idx, mnist
from symgraph.errors import DataError

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
HERE = Path(os.environ.get("SYMGRAPH_DATA", "")) if os.environ.get("SYMGRAPH_DATA") else None
Loader = Callable[..., Dataset]


def needs(folder: str) -> pytest.MarkDecorator:
    present = HERE is not None and (HERE / folder).is_dir()
    return pytest.mark.skipif(
        not present, reason=f"The data is not here: set SYMGRAPH_DATA to a folder that holds {folder}/"
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no folder named by the environment."""
    pooch = pytest.importorskip("pooch", reason="the extra `train` is not installed")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.delenv("SYMGRAPH_DATA", raising=False)
    return tmp_path / "cache" / "symgraph" / "mnist"


def small() -> dict[str, np.ndarray]:
    """Four arrays in the form of MNIST."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    labels = np.arange(30, dtype=np.uint8) % 10
    return dict(zip(NAMES, (pixels[:20], labels[:20], pixels[20:], labels[20:]), strict=True))


def put(folder: Path, arrays: dict[str, np.ndarray], ending: str = ".gz") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        idx.write(folder / f"{name}{ending}", array)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# The published files


@needs("mnist")
def test_mnist_is_mnist() -> None:
    data = mnist(HERE / "mnist")
    assert (data.name, data.classes) == ("MNIST", tuple("0123456789"))
    assert data.source == f"MNIST from {HERE / 'mnist'}: the published files."
    assert (data.train.x.shape, data.test.x.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert data.train.x.dtype == data.train.y.dtype == np.uint8
    # How often each digit comes, and the first labels, as published.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.train.y).tolist() == counts
    assert data.train.y[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    # The mean and deviation that everyone normalises with: 0.1307 and 0.3081.
    assert data.train.x.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.train.x.std() / 255 == pytest.approx(0.3081, abs=5e-5)


@needs("fashion")
def test_fashion_mnist_is_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMGRAPH_DATA", str(HERE))
    data = fashion_mnist()
    assert data.source == f"Fashion-MNIST from {HERE / 'fashion'}: the published files."
    assert np.bincount(data.train.y).tolist() == [6000] * 10
    assert np.bincount(data.test.y).tolist() == [1000] * 10
    assert data.classes[data.train.y[0]] == "Ankle boot"
    assert data.train.x.mean() / 255 == pytest.approx(0.2860, abs=5e-5)


@needs("mnist")
def test_the_real_files_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = (HERE / "mnist" / f"{name}.gz" for name in NAMES[2:])
    assert idx.read_header(images) == idx.Header(np.dtype("uint8"), (10000, 28, 28), 16)
    pairs = list(zip(idx.chunks(images, 128), idx.chunks(labels, 128), strict=True))
    assert [len(y) for _, y in pairs] == [128] * 78 + [16]
    whole = mnist(HERE / "mnist").test
    assert np.array_equal(np.concatenate([x for x, _ in pairs]), whole.x)
    assert np.array_equal(np.concatenate([y for _, y in pairs]), whole.y)


@needs("mnist")
def test_the_real_files_from_a_mirror(serve: "Serve", cache: Path) -> None:
    # The test images and labels are small enough; the rest lies in the cache already.
    files = {f"{name}.gz": (HERE / "mnist" / f"{name}.gz").read_bytes() for name in NAMES}
    cache.mkdir(parents=True)
    for name in NAMES[:2]:
        (cache / f"{name}.gz").write_bytes(files[f"{name}.gz"])
    server = serve(files)
    data = mnist(mirrors=[server.address], fallback=False)
    assert data.source == f"MNIST, the published files, from {cache}."
    assert (len(data.train), len(data.test)) == (60000, 10000)
    assert server.asked == [f"/{name}.gz" for name in NAMES[2:]]


# Folders of the user


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(("loader", "folder"), [(mnist, "mnist"), (fashion_mnist, "fashion")])
def test_a_folder_named_by_argument_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: Loader, folder: str, ending: str
) -> None:
    arrays = small()
    here = put(tmp_path / "data" / folder, arrays, ending)
    given = loader(here, fallback=False)
    monkeypatch.setenv("SYMGRAPH_DATA", str(tmp_path / "data"))
    assert loader(fallback=False) == given
    assert given.source.endswith(f"from {here}: not the published files, other data of the same form.")
    found = (given.train.x, given.train.y, given.test.x, given.test.y)
    assert all(np.array_equal(a, b) for a, b in zip(found, arrays.values(), strict=True))


def test_the_argument_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = small(), {name: array[::-1] for name, array in small().items()}
    put(tmp_path / "env" / "mnist", one)
    monkeypatch.setenv("SYMGRAPH_DATA", str(tmp_path / "env"))
    assert np.array_equal(mnist(put(tmp_path / "arg", other)).train.y, other[NAMES[1]])


def test_a_folder_that_lacks_files_is_an_error_not_a_reason_to_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = small()
    with pytest.raises(DataError, match="none: there is no such folder"):
        mnist(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: of the four files of MNIST there is no train-images"):
        mnist(tmp_path / "empty")
    del arrays[NAMES[3]]
    put(tmp_path / "mnist", arrays)
    with pytest.raises(DataError, match=r"there is no t10k-labels-idx1-ubyte\.\n"):
        mnist(tmp_path / "mnist")
    monkeypatch.setenv("SYMGRAPH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"there is no t10k-labels-idx1-ubyte\.\n"):
        mnist()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (NAMES[1], np.zeros(19, np.uint8), "MNIST, train: there are 20 images and 19 labels"),
        (NAMES[1], np.full(20, 10, np.uint8), "labels go from 0 to 9, and 10 came"),
        (NAMES[1], np.zeros((20, 1), np.uint8), r"labels are uint8 of shape \(n,\), not uint8 of \(20, 1\)"),
        (NAMES[1], np.zeros(20, np.int32), "labels are uint8 .* not int32"),
        (NAMES[0], np.zeros((20, 784), np.uint8), "images are uint8 of shape .* not uint8"),
        (NAMES[0], np.zeros((20, 28, 28), np.float32), "images are uint8 .* not float32"),
        (NAMES[2], np.zeros((10, 14, 14), np.uint8), r"size \(28, 28\), and those to test on \(14, 14\)"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        mnist(put(tmp_path / "data", {**small(), name: array}))


def test_no_examples_at_all(tmp_path: Path) -> None:
    empty = {name: array[:0] for name, array in small().items()}
    with pytest.raises(DataError, match="there are 0 images and 0 labels"):
        mnist(put(tmp_path / "data", empty))


def test_a_damaged_file_of_the_user_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "data", small()) / f"{NAMES[2]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: the gzip stream is cut off"):
        mnist(tmp_path / "data")


# Mirrors


@attrs.define
class Server:
    """A mirror on this machine that serves `files` and notes what it was asked for."""

    address: str
    asked: list[str]


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[ThreadingHTTPServer] = []

    def start(files: dict[str, bytes], *, cut: int = 0, status: int = 200) -> Server:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                content = files.get(self.path.removeprefix("/"))
                self.send_response(status if content is not None else 404)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write((content or b"")[: len(content or b"") - cut])

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return Server(f"http://127.0.0.1:{server.server_port}", asked)

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The small data set as if it were the published MNIST: what mirrors should serve."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = put(tmp_path / "published", small())
    packed = {f"{name}.gz": (folder / f"{name}.gz").read_bytes() for name in NAMES}
    digests = tuple(hashlib.md5(gzip.decompress(content)).hexdigest() for content in packed.values())
    monkeypatch.setattr(datasets, "_MNIST", attrs.evolve(datasets._MNIST, digests=digests))
    return packed


def is_small(data: Dataset) -> bool:
    found = (data.train.x, data.train.y, data.test.x, data.test.y)
    return all(np.array_equal(a, b) for a, b in zip(found, small().values(), strict=True))


def test_files_are_downloaded_once(serve: Serve, files: dict[str, bytes], cache: Path) -> None:
    server = serve(files)
    data = mnist(mirrors=[server.address], fallback=False)
    assert is_small(data)
    assert data.source == f"MNIST, the published files, from {cache}."
    assert names(cache) == sorted(files)
    assert len(server.asked) == 4
    assert mnist(mirrors=[server.address]) == data
    assert mnist(mirrors=[]) == data
    assert len(server.asked) == 4


def test_another_zip_of_the_same_file_is_the_same_file(serve: Serve, files: dict[str, bytes]) -> None:
    again = {name: gzip.compress(gzip.decompress(content), 1, mtime=77) for name, content in files.items()}
    assert again != files
    assert is_small(mnist(mirrors=[serve(again).address], fallback=False))


FAULTS = {
    "no such file": ({}, "status 404"),
    "server error": ({"status": 503}, "status 503"),
    "cut off midway": ({"cut": 100}, "the connection broke off"),
    "other data": ({"other": True}, "what came is not the published file"),
    "a page instead of the file": ({"page": True}, "what came is not the published file"),
    "nobody there": (None, "no network"),
}


def faulty(serve: Serve, files: dict[str, bytes], fault: dict[str, object] | None) -> str:
    if fault is None:
        return "http://127.0.0.1:1/mnist"  # port 1 is never served
    if not fault:
        return serve({}).address
    if fault.get("other"):
        return serve(
            {name: gzip.compress(gzip.decompress(c)[:-1] + b"!") for name, c in files.items()}
        ).address
    if fault.get("page"):
        return serve(dict.fromkeys(files, b"<!DOCTYPE html>")).address
    return serve(files, **fault).address


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mirror_that_fails(serve: Serve, files: dict[str, bytes], cache: Path, fault: str) -> None:
    how, reason = FAULTS[fault]
    mirror = faulty(serve, files, how)
    with pytest.raises(DataError, match=rf"MNIST could not be downloaded \(.*{reason}\)") as caught:
        mnist(mirrors=[mirror], fallback=False)
    assert mirror in caught.value.details[0]
    assert "SYMGRAPH_DATA" in caught.value.hint
    assert names(cache) == []  # no half file, no file of another content

    data = mnist(mirrors=[mirror])
    assert data.train == digits().train
    assert data.name == "scikit-learn digits"
    assert data.source.startswith("MNIST could not be downloaded (")
    assert reason in data.source
    assert data.source.endswith("; using scikit-learn's 1,797 handwritten digits, resized from 8x8 to 28x28.")

    good = serve(files)
    assert is_small(mnist(mirrors=[mirror, good.address], fallback=False))  # the next mirror helps
    assert names(cache) == sorted(files)


def test_a_silent_mirror_is_given_up(
    serve: Serve, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "TIMEOUT", 0.2)
    with silent() as address, pytest.raises(DataError, match="no network"):
        mnist(mirrors=[address], fallback=False)


def test_after_failing_for_long_no_further_mirror_is_tried(
    serve: Serve, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "_PATIENCE", -1.0)
    server = serve(files)
    with pytest.raises(DataError, match="could not be downloaded"):
        mnist(mirrors=[server.address], fallback=False)
    assert server.asked == []


def test_a_mirror_that_sends_without_end_is_stopped(
    serve: Serve, files: dict[str, bytes], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "_LARGEST", 1000)
    with pytest.raises(DataError, match="the server sent more than any of the files holds"):
        mnist(mirrors=[serve({name: bytes(10**6) for name in files}).address], fallback=False)
    assert names(cache) == []


def test_a_mirror_that_drips_is_stopped(
    serve: Serve, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "_LONGEST", -1.0)
    with pytest.raises(DataError, match="the server was too slow"):
        mnist(mirrors=[serve(files).address], fallback=False)


@pytest.mark.parametrize("damage", [b"", b"not gzip", None], ids=["empty", "other", "cut"])
def test_a_damaged_cache_is_fetched_again(
    serve: Serve, files: dict[str, bytes], cache: Path, damage: bytes | None
) -> None:
    server = serve(files)
    mnist(mirrors=[server.address])
    path = cache / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    assert is_small(mnist(mirrors=[server.address], fallback=False))
    assert server.asked[4:] == [f"/{path.name}"]
    assert path.read_bytes() == files[path.name]


def test_a_cache_that_cannot_be_written(serve: Serve, files: dict[str, bytes], cache: Path) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    mirrors = [serve(files).address]
    with pytest.raises(DataError, match="the cache could not be written"):
        mnist(mirrors=mirrors, fallback=False)
    assert "the cache could not be written" in mnist(mirrors=mirrors).source


def test_what_is_not_an_address(files: dict[str, bytes]) -> None:
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        mnist(mirrors=["nowhere"], fallback=False)
    assert caught.value.details[0].startswith("nowhere: ")


@contextmanager
def silent() -> Iterator[str]:
    """The address of a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


# The stand-in, and the extra


def test_digits_are_the_same_images_larger() -> None:
    data = digits()
    assert data == digits()
    assert (data.train.x.shape, data.test.x.shape) == ((1500, 28, 28), (297, 28, 28))
    assert data.train.x.dtype == data.train.y.dtype == np.uint8
    # The split has every example once, and each digit about as often as the whole.
    from sklearn.datasets import load_digits

    labels = np.concatenate([data.train.y, data.test.y])
    assert np.bincount(labels).tolist() == np.bincount(load_digits().target).tolist()
    assert np.bincount(data.test.y).min() >= 20
    # Resized: ink in the same places. The mean of each image hardly moves, and full ink stays full.
    order = datasets.permutation(1797, seed=0)
    original = load_digits().images[order]
    larger = np.concatenate([data.train.x, data.test.x])
    assert larger.max() == 255
    assert larger.min() == 0
    assert np.abs(larger.mean((1, 2)) / 255 - original.mean((1, 2)) / 16).max() < 0.02
    flat = lambda images: images.reshape(len(images), -1)  # noqa: E731
    back = larger[:, 1::7, 1::7], original[:, ::2, ::2]
    assert np.corrcoef(flat(back[0]).ravel(), flat(back[1]).ravel())[0, 1] > 0.9


def test_digits_can_be_learned() -> None:
    # Whatever the resizing did, the nearest neighbour still tells the digits apart.
    data = digits()
    x, t = (part.x.reshape(len(part), -1).astype("float32") for part in (data.train, data.test))
    distance = (t**2).sum(1)[:, None] + (x**2).sum(1) - 2 * t @ x.T
    assert (data.train.y[distance.argmin(1)] == data.test.y).mean() > 0.96


@pytest.mark.parametrize(
    ("module", "package", "call"), [("sklearn.datasets", "scikit-learn", digits), ("pooch", "pooch", mnist)]
)
def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, module: str, package: str, call: Loader) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=f"needs {package}, which is not installed") as caught:
        call()
    assert 'pip install "symgraph[train]"' in caught.value.hint


def test_the_users_own_folder_needs_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("pooch", "sklearn", "sklearn.datasets", "requests"):
        monkeypatch.setitem(sys.modules, module, None)
    assert is_small(mnist(put(tmp_path / "data", small())))


# The records


def test_examples() -> None:
    whole = digits().test
    part = whole[10:20]
    assert (len(whole), len(part)) == (297, 10)
    assert np.array_equal(part.x, whole.x[10:20])
    assert np.array_equal(whole[whole.y == 3].y, np.full((whole.y == 3).sum(), 3))
    assert whole[np.array([4, 2])] == Examples(whole.x[[4, 2]], whole.y[[4, 2]])
    assert whole[:3] != whole[1:4]
    assert sum(len(batch) for batch in batches(whole, 128, shuffle=True)) == 297


def test_examples_that_do_not_fit() -> None:
    with pytest.raises(DataError, match=r"x has the shape \(3, 28, 28\) and y \(2,\)"):
        Examples(np.zeros((3, 28, 28)), np.zeros(2))
    with pytest.raises(DataError, match="take a slice or an array of rows, not 3") as caught:
        digits().test[3]  # type: ignore[index]
    assert "examples[3:4]" in caught.value.hint


def test_a_data_set_is_not_changed_by_who_holds_it() -> None:
    data = digits()
    for array in (data.train.x, data.train.y, data.test.x, data.test.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_data_set_prints_in_a_line() -> None:
    data = digits()
    assert repr(data.test) == "<Examples x: uint8 (297, 28, 28), y: uint8 (297,)>"
    said = repr(data)
    assert "\n" not in said and len(said) < 300
    assert all(part in said for part in (data.name, repr(data.train), repr(data.test), data.source))


@pytest.mark.parametrize("loader", [mnist, fashion_mnist])
def test_an_environment_that_names_no_folder_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, loader: Loader
) -> None:
    monkeypatch.setenv("SYMGRAPH_DATA", "/no/such")
    said = "$SYMGRAPH_DATA is /no/such, and there is no such folder"
    assert f"; {said}; using scikit-learn's" in loader(mirrors=()).source
    with pytest.raises(DataError) as caught:
        loader(fallback=False, mirrors=())
    assert said in caught.value.details


def test_the_real_files_tell_of_a_folder_that_is_not_there(
    serve: Serve, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMGRAPH_DATA", "/no/such")
    source = mnist(mirrors=[serve(files).address]).source
    assert source.endswith("; $SYMGRAPH_DATA is /no/such, and there is no such folder.")
