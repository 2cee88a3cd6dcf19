"""Distance to the nearest of a set of reference vectors: whether a generator repeats its training images."""

import numpy as np

from . import _pairs


def nearest(queries: np.ndarray, references: np.ndarray, block: int = _pairs.BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """Queries (N, D), references (M, D) -> Euclidean distance (N,) float64 to the nearest reference and its number (N,).

    Exact: float32 products only choose the candidates (`_pairs.py`). Memory: `block` × `block` distances at a time.
    """
    distance, number = _pairs.closest(queries, references, 1, block)
    return distance[:, 0], number[:, 0]


def leave_one_out(references: np.ndarray, block: int = _pairs.BLOCK) -> np.ndarray:
    """Distance (M,) float64 of each of the references (M, D), M >= 2, to the nearest other one."""
    return _pairs.closest_others(references, 1, block)[0][:, 0]
