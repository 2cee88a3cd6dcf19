"""Distance to the nearest of a set of reference vectors: whether a generator repeats its training images."""

import numpy as np


def nearest(queries: np.ndarray, references: np.ndarray, block: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Queries (N, D), references (M, D) -> Euclidean distance (N,) float64 to the nearest reference and its number (N,).

    Memory: `block` × `block` distances at a time. Candidates are found by expanding the square, the distance of the
    winner is computed directly, so that an exact copy has distance zero.
    """
    number = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), block):
        query = queries[start : start + block].astype(np.float64)
        best = np.full(len(query), np.inf)
        for first in range(0, len(references), block):
            reference = references[first : first + block].astype(np.float64)
            squares = (reference**2).sum(axis=1)[None] - 2 * query @ reference.T
            winner = squares.argmin(axis=1)
            value = squares[np.arange(len(query)), winner]
            better = value < best
            best[better] = value[better]
            number[start : start + block][better] = winner[better] + first
    differences = queries.astype(np.float64) - references[number].astype(np.float64)
    return np.sqrt((differences**2).sum(axis=1)), number
