"""MNIST, Fashion-MNIST, and the handwritten digits that come with scikit-learn.

A data set is looked for in the folder that is given, then below `$SYMGRAPH_DATA`, then in the user's cache,
then on public mirrors. Where there is no network, scikit-learn's digits stand in, and the record says so.

Published files are known by the MD5 of their *unpacked* bytes, since copies differ in how they were zipped.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import attrs
import numpy as np

from symgraph.data import idx
from symgraph.data.batches import permutation
from symgraph.data.idx import Array
from symgraph.errors import DataError

TIMEOUT = 5.0
"""Seconds that a mirror may stay silent before the next is tried."""

_PATIENCE = 20.0  # seconds of failing after which no further mirror is tried
_LONGEST = 600.0  # seconds that one file may take
_UNREACHED = "no connection"
_LARGEST = 64 * 2**20  # bytes; the largest published file has 26 MB

_PACKAGES = {"sklearn": "scikit-learn"}  # what is installed, where modules have another name
_SAME = attrs.cmp_using(eq=np.array_equal)


@attrs.frozen(repr=False)
class Examples:
    """Inputs and their labels, one row each.

    `x` holds images, uint8 (n, 28, 28) from 0 (background) to 255 (ink), and `y` labels, uint8 (n,), as the
    loaders of this module make them; any arrays of one length may stand there, so that prepared data keeps
    its form: `Examples(train.x / 255, train.y)`. Raises `DataError` where the lengths differ.

    >>> examples = Examples(np.zeros((3, 28, 28), "uint8"), np.array([5, 0, 4], "uint8"))
    >>> len(examples), examples[:2].y
    (3, array([5, 0], dtype=uint8))
    """

    x: Array = attrs.field(converter=np.asarray, eq=_SAME)
    y: Array = attrs.field(converter=np.asarray, eq=_SAME)

    def __attrs_post_init__(self) -> None:
        if self.x.ndim == 0 or self.y.ndim == 0 or len(self.x) != len(self.y):
            raise DataError(
                f"Examples: x has the shape {self.x.shape} and y {self.y.shape}.",
                hint="Give as many labels as there are inputs, along the first axis.",
            )

    def __repr__(self) -> str:
        x, y = (f"{array.dtype} {array.shape}" for array in (self.x, self.y))
        return f"<Examples x: {x}, y: {y}>"

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Array) -> "Examples":
        """The examples of a slice, a mask or an array of row numbers."""
        if np.ndim(rows) == 0 and not isinstance(rows, slice):  # type: ignore[arg-type]
            raise DataError(
                f"Examples take a slice or an array of rows, not {rows!r}.",
                hint="Write examples[3:4] for one row, examples.x and examples.y for the arrays.",
            )
        return Examples(self.x[rows], self.y[rows])


@attrs.frozen(repr=False)
class Dataset:
    """Examples to train on and to test on.

    `name` is such as `MNIST`, `source` a sentence on where the data came from, to be printed with results,
    and `classes` the names of the labels 0, 1, ...
    """

    name: str
    train: Examples
    test: Examples
    source: str
    classes: tuple[str, ...] = tuple("0123456789")

    def __repr__(self) -> str:
        return f"<Dataset {self.name}, train: {self.train}, test: {self.test}, source: {self.source!r}>"


@attrs.frozen
class _Published:
    """A published data set: its folder's name, the mirrors, and the MD5 of its four unpacked files."""

    name: str
    folder: str
    mirrors: tuple[str, ...]
    digests: tuple[str, str, str, str]
    classes: tuple[str, ...] = tuple("0123456789")


_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_MNIST = _Published(
    name="MNIST",
    folder="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "https://storage.googleapis.com/cvdf-datasets/mnist",
    ),
    digests=(
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)

_FASHION = _Published(
    name="Fashion-MNIST",
    folder="fashion",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
    digests=(
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
)


def mnist(
    directory: str | os.PathLike[str] | None = None,
    *,
    fallback: bool = True,
    mirrors: Sequence[str] | None = None,
) -> Dataset:
    """Load MNIST: 60,000 handwritten digits to train on and 10,000 to test on, 28x28 pixels.

    `directory` is a folder with the four IDX files, gzipped or plain; it may hold other data of that form.
    Without it the files are looked for in `$SYMGRAPH_DATA/mnist` and in the user's cache, else downloaded
    into the cache from `mirrors` (addresses of folders, tried in order; public ones where not given) and
    compared with the published checksums. Where that fails, `fallback=True` gives `digits()` instead, and
    `source` says so. Raises `DataError` where files are missing or damaged, labels and images do not match,
    the download fails with `fallback=False`, or the extra `train` is not installed and is needed.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits", 1998.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for part, count in (("train", 6), ("t10k", 2)):
    ...         images, labels = np.zeros((count, 28, 28), "uint8"), np.arange(count, dtype="uint8")
    ...         _ = idx.write(f"{folder}/{part}-images-idx3-ubyte.gz", images)
    ...         _ = idx.write(f"{folder}/{part}-labels-idx1-ubyte.gz", labels)
    ...     data = mnist(folder)
    >>> data.name, data.train.x.shape, data.test.y
    ('MNIST', (6, 28, 28), array([0, 1], dtype=uint8))
    >>> data.source
    'MNIST from ...: not the published files, other data of the same form.'
    """
    return _load(_MNIST, directory, fallback, mirrors)


def fashion_mnist(
    directory: str | os.PathLike[str] | None = None,
    *,
    fallback: bool = True,
    mirrors: Sequence[str] | None = None,
) -> Dataset:
    """Load Fashion-MNIST: photographs of clothes in the form of MNIST.

    Arguments, search and errors are those of `mnist`, with the folder `$SYMGRAPH_DATA/fashion`.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747.

    >>> fashion_mnist("no/such/folder")
    Traceback (most recent call last):
    symgraph.errors.DataError: no/such/folder: there is no such folder...
    """
    return _load(_FASHION, directory, fallback, mirrors)


def digits() -> Dataset:
    """Load scikit-learn's 1,797 handwritten digits, resized from 8x8 to 28x28: no network is needed.

    Ink of 0 to 16 becomes 0 to 255, between pixels bilinearly. 1,500 examples are to train on and 297 to
    test on, always the same ones. Raises `DataError` where scikit-learn is not installed.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.

    >>> data = digits()
    >>> data.train.x.shape, data.train.x.dtype, len(data.test)
    ((1500, 28, 28), dtype('uint8'), 297)
    >>> data.source
    "scikit-learn's 1,797 handwritten digits, resized from 8x8 to 28x28."
    """
    loaded = _extra("sklearn.datasets").load_digits()
    resized = _extra("scipy.ndimage").zoom(
        loaded.images, (1, 3.5, 3.5), order=1, mode="nearest", grid_mode=True
    )
    order = permutation(len(resized), seed=0)
    x = np.clip(np.rint(resized * (255 / 16)), 0, 255).astype(np.uint8)[order]
    y = loaded.target.astype(np.uint8)[order]
    return Dataset(
        "scikit-learn digits",
        _frozen(x[:1500], y[:1500]),
        _frozen(x[1500:], y[1500:]),
        "scikit-learn's 1,797 handwritten digits, resized from 8x8 to 28x28.",
    )


def _load(
    published: _Published,
    directory: str | os.PathLike[str] | None,
    fallback: bool,
    mirrors: Sequence[str] | None,
) -> Dataset:
    given = _given_folder(published, directory)
    if given is not None:
        return _from_folder(published, given)
    by_hand = (
        f"; or name a folder with the files: directory=..., or {published.folder}/ below $SYMGRAPH_DATA."
    )
    cache = Path(_extra("pooch", by_hand).os_cache("symgraph")) / published.folder
    lost = _lost_root()
    try:
        arrays = _cached(published, cache, published.mirrors if mirrors is None else tuple(mirrors))
    except DataError as error:
        error.details = (*error.details, *lost)
        if not fallback:
            raise
        stand_in = digits()
        why = "; ".join((error.message.rstrip("."), *lost))
        return attrs.evolve(stand_in, source=f"{why}; using {stand_in.source}")
    found = f"{published.name}, the published files, from {cache}"
    return _dataset(published, arrays, f"{'; '.join((found, *lost))}.")


# Folders that the user names: what lies there is taken as it is, and must make sense.


def _given_folder(published: _Published, directory: str | os.PathLike[str] | None) -> Path | None:
    """The folder that the user named, as an argument or by the environment; None where he named none."""
    if directory is not None:
        if not Path(directory).is_dir():
            raise DataError(
                f"{directory}: there is no such folder.",
                hint=f"Name a folder that holds {_FILES[0]}.gz and {published.name}'s other files.",
            )
        return Path(directory)
    root = os.environ.get("SYMGRAPH_DATA")
    folder = Path(root) / published.folder if root else None
    return folder if folder is not None and any(_find(folder, name) for name in _FILES) else None


def _lost_root() -> tuple[str, ...]:
    """What to say of a `$SYMGRAPH_DATA` that is no folder: a slip of the pen must not pass unseen."""
    root = os.environ.get("SYMGRAPH_DATA")
    return (
        (f"$SYMGRAPH_DATA is {root}, and there is no such folder",)
        if root and not Path(root).is_dir()
        else ()
    )


def _from_folder(published: _Published, folder: Path) -> Dataset:
    found = [_find(folder, name) for name in _FILES]
    missing = [name for name, path in zip(_FILES, found, strict=True) if path is None]
    if missing:
        raise DataError(
            f"{folder}: of the four files of {published.name} there is no {', no '.join(missing)}.",
            hint="Put the files there, plain or with the ending .gz.",
        )
    arrays = [idx.read(path) for path in found if path is not None]
    genuine = tuple(map(_digest, arrays)) == published.digests
    what = "the published files" if genuine else "not the published files, other data of the same form"
    return _dataset(published, arrays, f"{published.name} from {folder}: {what}.")


def _find(folder: Path, name: str) -> Path | None:
    """The file of that name, packed or plain; where both are there, the packed one."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if _is_file(path)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # a folder that may not be entered
        raise DataError(f"{path}: the file could not be looked for: {error.strerror}.") from error


def _digest(array: Array) -> str:
    """The MD5 of the unpacked file that holds `array`: IDX has one way to write an array."""
    stored = array.astype(array.dtype.newbyteorder(">"), copy=False)
    content = hashlib.md5(idx.encode_header(array), usedforsecurity=False)
    content.update(np.ascontiguousarray(stored).data)
    return content.hexdigest()


# The cache and the mirrors: only files with the published checksums are taken.


def _cached(published: _Published, cache: Path, mirrors: tuple[str, ...]) -> list[Array]:
    """The four arrays from the cache, after downloading what it lacks or holds damaged."""
    wanted = {cache / f"{name}.gz": digest for name, digest in zip(_FILES, published.digests, strict=True)}
    kept = {path: _genuine(path, digest) for path, digest in wanted.items()}
    return [
        array if array is not None else _download(published, path, wanted[path], mirrors)
        for path, array in kept.items()
    ]


def _genuine(path: Path, digest: str) -> Array | None:
    """The array in the file, if its unpacked bytes have that MD5."""
    try:
        array = idx.read(path, limit=_LARGEST)
    except DataError:
        return None
    return array if _digest(array) == digest else None


def _download(published: _Published, path: Path, digest: str, mirrors: tuple[str, ...]) -> Array:
    """The file from the first mirror that gives it whole."""
    started, failures = monotonic(), dict[str, str]()
    for mirror in mirrors:
        if monotonic() - started > _PATIENCE:
            break
        array, failures[mirror] = _from_mirror(f"{mirror.rstrip('/')}/{path.name}", path, digest)
        if array is not None:
            return array
    unreached = set(failures.values()) <= {_UNREACHED}
    details = tuple(f"{mirror}: {reason}" for mirror, reason in failures.items())
    reason = "no network" if unreached else "; ".join(dict.fromkeys(failures.values()))
    raise DataError(
        f"{published.name} could not be downloaded ({reason}).",
        details=details,
        hint=f"Put its four files into a folder and name it: directory=..., or the folder "
        f"{published.folder}/ below $SYMGRAPH_DATA.",
    )


def _from_mirror(url: str, path: Path, digest: str) -> tuple[Array | None, str]:
    """The array, or the reason why there is none; `path` holds the file only once it was checked."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            failure = _fetch(url, file)
            os.fsync(file.fileno())
        array = _genuine(part, digest) if not failure else None
        if array is not None:
            part.replace(path)
        return array, failure or "what came is not the published file"
    except OSError as error:
        raise DataError(
            f"{path.parent}: the cache could not be written: {error.strerror or error}.",
            hint="Name a folder that holds the files: directory=..., or $SYMGRAPH_DATA.",
        ) from error
    finally:
        with suppress(OSError):  # it is gone already, or never was
            part.unlink()


def _fetch(url: str, file: BinaryIO) -> str:
    """Write what lies at `url` into `file`; the reason where that fails, else nothing."""
    failed = _extra("requests").exceptions
    downloader = _extra("pooch").HTTPDownloader(timeout=TIMEOUT, chunk_size=1 << 16)
    try:
        downloader(url, _Bounded(file, monotonic() + _LONGEST), None)
    except failed.HTTPError as error:
        return f"the server answered with status {error.response.status_code}"
    except failed.ChunkedEncodingError:
        return "the connection broke off"
    except (failed.ConnectionError, failed.Timeout):
        return _UNREACHED
    except (failed.RequestException, _Endless) as error:
        return str(error)
    return ""


class _Endless(Exception):  # noqa: N818, it never leaves this module
    """A mirror that sends too much or for too long."""


@attrs.frozen
class _Bounded:
    """A file that takes neither more than the largest data set nor for ever."""

    file: BinaryIO
    deadline: float

    def write(self, data: bytes) -> None:
        if self.file.tell() + len(data) > _LARGEST:
            raise _Endless("the server sent more than any of the files holds")
        if monotonic() > self.deadline:
            raise _Endless("the server was too slow")
        self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


# What all ways share.


def _dataset(published: _Published, arrays: list[Array], source: str) -> Dataset:
    train, test = _examples(published, arrays[:2], "train"), _examples(published, arrays[2:], "t10k")
    if train.x.shape[1:] != test.x.shape[1:]:
        raise DataError(
            f"{published.name}: the images to train on have the size {train.x.shape[1:]}, "
            f"and those to test on {test.x.shape[1:]}."
        )
    return Dataset(published.name, train, test, source, published.classes)


def _examples(published: _Published, arrays: list[Array], part: str) -> Examples:
    x, y = arrays
    where = f"{published.name}, {part}"
    if x.ndim != 3 or x.dtype != np.uint8:
        raise DataError(f"{where}: images are uint8 of shape (n, rows, columns), not {x.dtype} of {x.shape}.")
    if y.ndim != 1 or y.dtype != np.uint8:
        raise DataError(f"{where}: labels are uint8 of shape (n,), not {y.dtype} of {y.shape}.")
    if len(x) != len(y) or not len(x):
        raise DataError(f"{where}: there are {len(x):,} images and {len(y):,} labels.")
    if y.max() >= len(published.classes):
        raise DataError(f"{where}: labels go from 0 to {len(published.classes) - 1}, and {y.max()} came.")
    return _frozen(x, y)


def _frozen(x: Array, y: Array) -> Examples:
    # The arrays of a data set are shared by all who hold it.
    x.flags.writeable = y.flags.writeable = False
    return Examples(x, y)


def _extra(module: str, otherwise: str = "") -> Any:
    """A module that comes with the extra `train`; `otherwise` ends the hint, with what does without it."""
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise DataError(
            f"This needs {_PACKAGES.get(name, name)}, which is not installed.",
            hint=f'Install it with: pip install "symgraph[train]"{otherwise}',
        ) from error
