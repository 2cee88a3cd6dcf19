"""Whether generated images are copies of training images, judged by distances to the nearest training image (`nearest.py`)."""

import numpy as np


def authenticity(distances: np.ndarray, numbers: np.ndarray, own: np.ndarray) -> float:
    """Share in [0, 1] of generated images that no training image explains (Alaa et al. 2022, arXiv:2102.08921, 3.3).

    A generated image is authentic if it is farther from its nearest training image, `distances` (N,) and `numbers` (N,), than
    that one is from its nearest other training image, `own` (M,). A perfect generator has the share that held-out images have.
    """
    if not len(distances):
        raise ValueError("there are no generated images, so no share of them is authentic")
    return float((np.asarray(distances) > np.asarray(own)[numbers]).mean())


def copying(generated_distances: np.ndarray, heldout_distances: np.ndarray) -> dict[str, float]:
    """Whether generated images lie nearer to training images than held-out ones do (Meehan et al. 2020, arXiv:2004.05675, 3).

    Distances (N,) and (M,) to the nearest training image -> Mann and Whitney's U as a z-score, ties included, and the one-sided
    p: z far below zero means copying, far above zero that the generator stays away from the data.
    """
    count, others = len(generated_distances), len(heldout_distances)
    if not count or not others:
        raise ValueError(f"{count} generated and {others} held-out images cannot be compared; it takes one of each")
    import scipy.stats  # a second, which whoever only asks for the names of scores does without

    ranks = scipy.stats.rankdata(np.concatenate([generated_distances, heldout_distances]))
    total = count + others
    spread = np.sqrt(count * others / total * ranks.var(ddof=1))
    z = float((ranks[:count].sum() - count * (total + 1) / 2) / spread) if spread else 0.0  # all at one distance
    return {"z": z, "p": float(scipy.stats.norm.cdf(z))}
