"""Inception Score of a classifier's logits (Salimans et al. 2016, arXiv:1606.03498, 4)."""

import numpy as np
import scipy.special

from .frechet import checked

_SEED = 2020  # of the order of the images: torch-fidelity's


def inception_score(logits: np.ndarray, splits: int) -> float:
    """exp E KL(p(y|x) ‖ p(y)) in [1, K] of logits (N, K), mean over equal splits of shuffled images."""
    if not 1 <= splits <= len(logits):
        raise ValueError(f"isc_splits is {splits}: take at least 1, and no more than the {len(logits)} images to split")
    shuffled = checked(logits).astype(np.float64)[np.random.RandomState(_SEED).permutation(len(logits))]
    scores = []
    for number in range(splits):
        log_shares = scipy.special.log_softmax(_part(shuffled, number, splits), axis=1)
        shares = np.exp(log_shares)
        divergences = (shares * log_shares).sum(axis=1) - scipy.special.xlogy(shares, shares.mean(axis=0)).sum(axis=1)
        scores.append(np.exp(divergences.mean()))
    return float(np.mean(scores))


def _part(images: np.ndarray, number: int, splits: int) -> np.ndarray:
    return images[number * len(images) // splits : (number + 1) * len(images) // splits]
