"""Fréchet distance of infinitely many generated images (FID∞; Chong and Forsyth 2020, arXiv:1911.07023, 4)."""

import numpy as np

from .. import streams
from . import frechet

_LEAST = 0.1  # the smallest sample, as a share of the generated images


def fid_infinity(
    generated: np.ndarray, real: np.ndarray | frechet.Statistics, points: int = 15, seed: int = 0
) -> dict[str, float]:
    """{"value", "slope"}: intercept and slope of FID over 1 / n, for random samples of features (N, D), evenly spaced in 1 / n.

    `real`: features (M, D), or their statistics. What their finite number adds to FID is not taken away: compare at the same real images only.
    """
    count, size = frechet.checked(generated).shape
    least = max(round(_LEAST * count), size + 1)  # FID is linear in 1 / n only where covariances are regular
    if points < 2 or least >= count:
        raise ValueError(
            f"a line through {points} points from {least} to {count} images of {size} features cannot be drawn; "
            f"it takes two points, and more than {size + 1} images"
        )
    sizes = np.round(1 / np.linspace(1 / least, 1 / count, points)).astype(np.int64)
    statistics = real if isinstance(real, frechet.Statistics) else frechet.features_to_statistics(real)
    scores = []
    for point, chosen in enumerate(sizes):
        order = streams.permutation(streams.key(seed, f"metrics/extrapolation/{point}"), count)
        sample = frechet.features_to_statistics(generated[order[:chosen]])
        scores.append(frechet.statistics_to_distance(sample, statistics))
    slope, value = np.polyfit(1 / sizes, scores, 1)
    return {"value": float(value), "slope": float(slope)}
