"""Data: IDX files, the data sets of the models, and streams of batches."""

from symgraph.data import idx
from symgraph.data.batches import Batches, Position, batches, permutation
from symgraph.data.datasets import Dataset, Examples, digits, fashion_mnist, mnist

__all__ = [
    "Batches",
    "Dataset",
    "Examples",
    "Position",
    "batches",
    "digits",
    "fashion_mnist",
    "idx",
    "mnist",
    "permutation",
]
