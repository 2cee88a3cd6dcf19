"""How much of a distribution with countable modes a generator finds, and how evenly.

Classes: modes covered and KL(generated ‖ real), as StackedMNIST is scored (Metz et al. 2016, arXiv:1611.02163; Lin et al. 2018,
"PacGAN", arXiv:1712.04086, 4.2). Points: good samples are those within three standard deviations of a mode, and a mode is found
that has one (Srivastava et al. 2017, "VEEGAN", arXiv:1705.07761, 4.1).
"""

import numpy as np

REACH = 3.0  # standard deviations from a mode


def counts(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each class occurs, (K,) int64, in class numbers (N,) in [0, K); negative ones are of no class."""
    classes = np.asarray(classes, np.int64)
    if len(classes) and classes.max() >= num_classes:
        raise ValueError(f"class {classes.max()} is none of {num_classes}; they are numbered from 0")
    return np.bincount(classes[classes >= 0], minlength=num_classes)


def covered(generated: np.ndarray) -> int:
    """The number of modes with at least one sample, of counts (K,)."""
    return int((np.asarray(generated) > 0).sum())


def divergence(generated: np.ndarray, real: np.ndarray) -> float:
    """KL(generated ‖ real) >= 0 in nats, of counts or weights (K,) each; infinite where only `generated` has a class.

    Real data have a value above 0 too, of about (K − 1) / 2N for N samples: compare at equal N only.
    """
    generated, real = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    if not generated.sum() > 0 or not real.sum() > 0:
        raise ValueError("no sample has a class, so there is no distribution over classes")
    share, expected = generated / generated.sum(), real / real.sum()
    here = share > 0
    with np.errstate(divide="ignore"):
        return float(max((share[here] * np.log(share[here] / expected[here])).sum(), 0.0))


def near(points: np.ndarray, centres: np.ndarray, deviation: float) -> np.ndarray:
    """The nearest centre (K, D) of each point (N, D), (N,) int64; -1 where it is over three standard deviations away."""
    from .nearest import nearest  # which brings torch

    distance, number = nearest(points, centres)
    return np.where(distance <= REACH * deviation, number, -1)


def good_share(nearby: np.ndarray) -> float:
    """The share of good samples in [0, 1], by what `near` says; 1 − exp(−9/2) = 0.989 for Gaussian modes of the plane."""
    return float((np.asarray(nearby) >= 0).mean())
