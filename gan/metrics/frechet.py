"""Fréchet distance between two sets of features (Heusel et al. 2017, arXiv:1706.08500, eq. 6), in float64.

tr (Σ₁ Σ₂)^½ is the sum of the singular values of F₁ᵀ F₂ for any factors F Fᵀ = Σ: the triangles of Cholesky where there are
more images than features, the centred features themselves where there are fewer, so that no covariance needs a ridge.
"""

from dataclasses import dataclass

import numpy as np

_ROWS = 4096  # images at a time


@dataclass(frozen=True)
class Statistics:
    """Mean (D,) and covariance (D, D) of the features of `count` images, float64."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


class Moments:
    """Mean and covariance of features that come in blocks; their order changes rounding only.

    Blocks are merged as Chan, Golub and LeVeque 1979 do: what the shift of the mean adds is one more row of the product.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros(0)
        self.scatter = np.zeros((0, 0))  # Σ (x − mean)(x − mean)ᵀ

    def add(self, features: np.ndarray) -> None:
        """Take in features (B, D)."""
        features = checked(features).astype(np.float64)
        count = len(features)
        if not count:
            return
        if not self.count:
            self.mean, self.scatter = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2)
        mean = features.mean(axis=0)
        features -= mean
        shift = mean - self.mean
        total = self.count + count
        rows = np.concatenate([features, shift[None] * np.sqrt(self.count * count / total)])
        self.scatter += rows.T @ rows
        self.mean += shift * (count / total)
        self.count = total

    def statistics(self) -> Statistics:
        """Mean and unbiased covariance of all that was added."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two images, and there are {self.count}; make or keep more")
        return Statistics(self.mean.copy(), self.scatter / (self.count - 1), self.count)


def features_to_statistics(features: np.ndarray) -> Statistics:
    """Features (N, D), N >= 2 -> their mean and unbiased covariance."""
    moments = Moments()
    features = checked(features)
    for start in range(0, len(features), _ROWS):
        moments.add(features[start : start + _ROWS])
    return moments.statistics()


def statistics_to_distance(one: Statistics, other: Statistics) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) >= 0.

    The roots are those of the eigenvalues of Fᵀ Σ₂ F, which Σ₁ Σ₂ = F Fᵀ Σ₂ has too; F is of the set of fewer images.
    """
    _match(one.mean, other.mean)
    few, many = sorted((one, other), key=lambda statistics: statistics.count)
    factor = _factor(few.covariance)
    roots = np.sqrt(np.linalg.eigvalsh(factor.T @ many.covariance @ factor).clip(min=0))
    return _distance(one.mean - other.mean, np.trace(one.covariance) + np.trace(other.covariance), roots)


def distance(generated: np.ndarray, real: np.ndarray) -> float:
    """Fréchet distance of features (N, D) and (M, D), N and M >= 2; exact too where there are fewer images than features."""
    few, many = sorted((checked(generated), checked(real)), key=len)
    _match(few[0], many[0])
    if not is_singular(len(few), few.shape[1]):
        return statistics_to_distance(features_to_statistics(few), features_to_statistics(many))
    if len(few) < 2:
        raise ValueError(f"a covariance needs two images, and there are {len(few)}; make or keep more")
    few_mean, many_mean = few.mean(axis=0, dtype=np.float64), many.mean(axis=0, dtype=np.float64)
    factor = (few - few_mean) / np.sqrt(len(few) - 1)
    variance, triangle = (factor**2).sum(), np.zeros((0, len(few)))
    for start in range(0, len(many), _ROWS):
        block = (many[start : start + _ROWS] - many_mean) / np.sqrt(len(many) - 1)
        variance += (block**2).sum()
        rows = np.concatenate([triangle, block @ factor.T])
        triangle = np.linalg.qr(rows, mode="r")  # type: ignore[assignment]  # keeps the singular values; numpy's types know no "r"
    return _distance(few_mean - many_mean, variance, np.linalg.svd(triangle, compute_uv=False))


def is_singular(count: int, size: int) -> bool:
    """Whether `count` images are too few for a regular covariance of `size` features: FID is then biased most; prefer KID."""
    return count <= size


def checked(features: np.ndarray) -> np.ndarray:
    """The same features (N, D), or an error that says how many rows are not finite."""
    features = np.asarray(features)
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(f"features are a table of images × features, and these have the shape {features.shape}")
    if features.dtype.kind == "f" and not np.isfinite(features.sum(dtype=np.float64)):
        if len(wrong := np.flatnonzero(~np.isfinite(features).all(axis=1))):
            raise ValueError(
                f"{len(wrong)} of {len(features)} images have features that are not finite, the first is number {wrong[0]}; "
                "look at the generator's weights and at the extractor"
            )
    return features


def _match(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape:
        raise ValueError(f"{len(one)} and {len(other)} features an image cannot be compared; take both by one extractor")


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F (D, R) with F Fᵀ = covariance: Cholesky's, or where the covariance is singular the eigenvectors that are not noise."""
    noise = len(covariance) * np.finfo(np.float64).eps
    try:
        triangle = np.linalg.cholesky(covariance)
        if np.diag(triangle).min() ** 2 > noise * np.diag(covariance).max():
            return triangle
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(covariance)
    kept = values > noise * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def _distance(shift: np.ndarray, variance: float, roots: np.ndarray) -> float:
    return float(max(shift @ shift + variance - 2 * roots.sum(), 0.0))
