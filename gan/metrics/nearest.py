"""Distance to the nearest of a set of reference vectors: whether a generator repeats its training images."""

import numpy as np

from . import _pairs


def nearest(
    queries: np.ndarray, references: np.ndarray, block: int = _pairs.BLOCK, apart_from: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Queries (N, D), references (M, D) -> Euclidean distance (N,) float64 to the nearest reference and its number (N,).

    `apart_from` (N,): for each query the number of a reference that does not count, as the query itself; -1: all count.
    Exact: float32 products only choose the candidates (`_pairs.py`). Memory: `block` × `block` distances at a time.
    """
    if apart_from is None:
        distance, number = _pairs.closest(queries, references, 1, block)
        return distance[:, 0], number[:, 0]
    distance, number = _pairs.closest(queries, references, min(2, len(references)), block)
    distance = np.where(number == apart_from[:, None], np.inf, distance)
    first = distance.argmin(axis=1)
    rows = np.arange(len(first))
    return distance[rows, first], number[rows, first]
