"""Fréchet distance of infinitely many generated images (FID∞; Chong and Forsyth 2020, arXiv:1911.07023, 4)."""

import numpy as np

from .. import streams
from . import frechet

_LEAST = 0.1  # the smallest sample, as a share of the generated images
_IMAGES_A_FEATURE = 2.5  # in the smallest sample: with fewer, FID bends away from the line


def fid_infinity(generated: np.ndarray, real: np.ndarray | frechet.Statistics, points: int = 15, seed: int = 0) -> dict[str, float]:
    """{"value", "slope"}: intercept and slope of FID over 1 / n, for random samples of features (N, D), evenly spaced in 1 / n.

    At each n the mean over as many samples as fit into the generated images, which share none: one alone moves the intercept by chance.

    `real`: features (M, D), or their statistics. What their finite number adds to FID is not taken away: compare at the same real
    images only.
    """
    count, size = frechet.checked(generated).shape
    least = max(round(_LEAST * count), round(_IMAGES_A_FEATURE * size) + 1)
    if points < 2 or not possible(count, size):
        raise ValueError(
            f"a line through {points} points from {least} to {count} images of {size} features cannot be drawn; "
            f"it takes two points, and {2 * least} images"
        )
    sizes = np.round(1 / np.linspace(1 / least, 1 / count, points)).astype(np.int64)
    statistics = real if isinstance(real, frechet.Statistics) else frechet.features_to_statistics(real)
    scores = []
    for point, chosen in enumerate(sizes):
        order = streams.permutation(streams.key(seed, f"metrics/extrapolation/{point}"), count)
        parts = [generated[order[start : start + chosen]] for start in range(0, count - chosen + 1, chosen)]
        scores.append(np.mean([frechet.statistics_to_distance(frechet.features_to_statistics(part), statistics) for part in parts]))
    slope, value = np.polyfit(1 / sizes, scores, 1)
    return {"value": float(value), "slope": float(slope)}


def possible(count: int, size: int) -> bool:
    """Whether `count` images of `size` features are enough for samples of half as many to lie on the line."""
    return count >= 2 * (round(_IMAGES_A_FEATURE * size) + 1)
