"""Curves over all thresholds: areas under them, and the scores that a stream of batches has kept.

A state holds chunks, {"scores0": [n, k], "labels0": [n], "scores1": ...}, each longer than the next: a new chunk is
joined with those before it that are no longer than itself, so that n examples cost O(n log n) copies, in whatever
batches they come, and a state is never changed.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from symgraph.errors import ShapeError
from symgraph.ir import Array


def _chunks(state: Mapping[str, Any]) -> list[tuple[Array, Array]]:
    count = len(state) // 2
    return [(np.asarray(state[f"scores{i}"]), np.asarray(state[f"labels{i}"])) for i in range(count)]


def pushed(state: Mapping[str, Any], scores: Array, labels: Array) -> dict[str, Any]:
    """The state with a batch more: scores [n, k] and class numbers [n]."""
    if not len(labels):
        return dict(state)
    chunks = _chunks(state)
    if chunks and chunks[0][0].shape[1] != scores.shape[1]:
        raise ShapeError(
            f"batches with {chunks[0][0].shape[1]} and with {scores.shape[1]} columns of scores are of two networks"
        )
    parts = [(scores, labels)]
    while chunks and len(chunks[-1][1]) <= sum(len(part[1]) for part in parts):
        parts.insert(0, chunks.pop())
    chunks.append(_joined(parts))
    return {
        key: value for i, (s, t) in enumerate(chunks) for key, value in ((f"scores{i}", s), (f"labels{i}", t))
    }


def _joined(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    return np.concatenate([s for s, _ in parts]), np.concatenate([t for _, t in parts])


def gathered(state: Mapping[str, Any]) -> tuple[Array | None, Array]:
    """All scores [n, k] and labels [n] of a state; None for no scores."""
    chunks = _chunks(state)
    return _joined(chunks) if chunks else (None, np.zeros(0, np.int64))


def _steps(scores: Array, positive: Array) -> tuple[Array, Array]:
    """How many examples, and how many positive ones, score at least each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable") if scores.dtype.kind == "f" else np.argsort(scores)[::-1]
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    return last + 1, np.cumsum(positive[order])[last]


def area_under_curve(scores: Array, positive: Array) -> float:
    """The area under the ROC curve of scores [n], where both kinds occur: the trapezoids' sum, in whole numbers, so
    that the one division is all that rounds.
    """
    count, hits = _steps(scores, positive)
    misses = count - hits
    before_hits, before_misses = (np.concatenate(([0], part[:-1])) for part in (hits, misses))
    twice = int(np.sum((misses - before_misses) * (hits + before_hits)))
    return twice / (2 * int(hits[-1]) * int(misses[-1]))


def average_precision_of(scores: Array, positive: Array) -> float:
    """Σ (Rᵢ - Rᵢ₋₁) Pᵢ over the distinct scores [n], from the highest down, where a positive one occurs."""
    count, hits = _steps(scores, positive)
    gained = np.diff(hits, prepend=0)
    return float(np.sum(gained * (hits / count)) / hits[-1])
