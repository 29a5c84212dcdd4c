"""Images and labels as networks take them."""

from collections.abc import Callable

import numpy as np

import symgraph as sg
from symgraph.data import Dataset, Examples
from symgraph.ir import Array

PIXELS = 784


def checked(data: Dataset) -> Dataset:
    """The same data; raises DataError where its images have not 784 pixels."""
    for part in (data.train, data.test):
        if part.x.shape[1:] != (28, 28) or not len(part):
            raise sg.DataError(
                f"the networks take images of 28x28 pixels, and these have the shape {part.x.shape}",
                source=None,
                hint="Give a folder with MNIST, or with other data of that form.",
            )
    return data


def features(images: Array, dtype: str, shape: tuple[int, ...] = (PIXELS,)) -> Array:
    """Images (n, 28, 28), uint8, as (n, *shape) between 0 and 1.

    >>> features(np.full((2, 28, 28), 51, "uint8"), "float64")[0, :3]
    array([0.2, 0.2, 0.2])
    """
    return np.asarray(images.reshape(-1, *shape).astype(dtype) / np.array(255, dtype))


def targets(labels: Array, classes: int, dtype: str) -> Array:
    """Labels (n,) as a network takes them: (n, 1) that is 1 for the digit 0, or class numbers (n,), int64.

    >>> targets(np.array([5, 0, 4]), 2, "float64").ravel(), targets(np.array([5, 0, 4]), 10, "float64")
    (array([0., 1., 0.]), array([5, 0, 4]))
    """
    return (labels == 0).astype(dtype)[:, None] if classes == 2 else labels.astype("int64")


def prepared(
    dtype: str, classes: int = 10, shape: tuple[int, ...] = (PIXELS,), used: int | None = None
) -> Callable[[Examples], dict[str, Array]]:
    """What makes of a batch of images and labels what a network is fed; of its examples, of the first `used`."""

    def fed(batch: Examples) -> dict[str, Array]:
        few = batch[:used]
        return {"x": features(few.x, dtype, shape), "y": targets(few.y, classes, dtype)}

    return fed


def right(outputs: Array, labels: Array) -> Array:
    """Which answers are right: the sign of one logit tells the digit 0, the largest of many the class.

    >>> right(np.array([[1.0], [-2.0]]), np.array([0, 0])).tolist()
    [True, False]
    """
    if outputs.shape[1] == 1:
        return np.asarray((outputs[:, 0] > 0) == (labels == 0))
    return np.asarray(outputs.argmax(axis=1) == labels)
