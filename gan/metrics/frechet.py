"""Fréchet distance between two sets of features (Heusel et al. 2017, arXiv:1706.08500, eq. 6), in float64."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """Mean (D,) and covariance (D, D) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def features_to_statistics(features: np.ndarray) -> Statistics:
    """Features (N, D), N >= 2 -> their mean and unbiased covariance."""
    features = features.astype(np.float64)
    centred = features - features.mean(axis=0)
    return Statistics(features.mean(axis=0), centred.T @ centred / (len(features) - 1))


def statistics_to_distance(one: Statistics, other: Statistics) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) >= 0.

    tr (Σ₁ Σ₂)^½ is the sum of the roots of the eigenvalues of the symmetric Σ₁^½ Σ₂ Σ₁^½, which has the same ones.
    """
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ other.covariance @ root).clip(min=0)
    shift = one.mean - other.mean
    distance = shift @ shift + np.trace(one.covariance) + np.trace(other.covariance) - 2 * np.sqrt(cross).sum()
    return float(max(distance, 0.0))
