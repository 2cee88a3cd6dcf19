"""How the manifolds of generated and real features overlap, each a union of balls up to the k-th nearest neighbour.

Precision, recall and realism: Kynkäänniemi et al. 2019, arXiv:1904.06991. Density and coverage: Naeem et al. 2020,
arXiv:2002.09797. One pass over the pairs of generated and real images gives all of them.
"""

from dataclasses import dataclass

import numpy as np

from . import _pairs


@dataclass(frozen=True)
class Manifold:
    """Scores of N generated beside M real images, and what each image says, so that images can be drawn again."""

    inside_real: np.ndarray  # (N,) bool: the generated image is in the ball of a real one
    inside_generated: np.ndarray  # (M,) bool: the real image is in the ball of a generated one
    density_terms: np.ndarray  # (N,) float64: balls of real images that the generated one is in, divided by their k
    covered: np.ndarray  # (M,) bool: a generated image is in the ball of the real one

    @property
    def precision(self) -> float:
        return float(self.inside_real.mean())

    @property
    def recall(self) -> float:
        return float(self.inside_generated.mean())

    @property
    def density(self) -> float:
        return float(self.density_terms.mean())

    @property
    def coverage(self) -> float:
        return float(self.covered.mean())


def neighbours(features: np.ndarray, most: int) -> np.ndarray:
    """Distances (N, most) float64, ascending, of each of the features (N, D) to its nearest others."""
    if not 1 <= most < len(features):
        raise ValueError(f"neighborhood is {most}, but there are only {len(features)} images; lower it")
    return _pairs.closest_others(features, most)[0]


def radii(features: np.ndarray, neighborhood: int) -> np.ndarray:
    """Distance (N,) float64 of each of the features (N, D) to its `neighborhood`-th nearest other."""
    return neighbours(features, neighborhood)[:, -1]


def precision_recall(generated: np.ndarray, real: np.ndarray, neighborhood: int, real_radii: np.ndarray | None = None) -> Manifold:
    """Compare features (N, D) with (M, D); `real_radii` (M,) are `radii(real, neighborhood)`, where they are known already."""
    real_radii = radii(real, neighborhood) if real_radii is None else real_radii
    generated_radii = radii(generated, neighborhood)
    balls, inside_generated = np.zeros(len(generated), np.int64), np.zeros(len(real), bool)
    covered, middle = np.zeros(len(real), bool), _pairs.centre(generated, real)
    for one in _pairs.blocks(generated, middle):
        for other in _pairs.blocks(real, middle):
            bounds = one.lower_bounds(other)
            rows, columns = _within(bounds, real_radii[other.rows][None], one, other, generated, real)
            balls[one.rows] += np.bincount(rows, minlength=len(bounds))
            covered[columns + other.rows.start] = True
            rows, columns = _within(bounds, generated_radii[one.rows][:, None], one, other, generated, real)
            inside_generated[columns + other.rows.start] = True
    return Manifold(balls > 0, inside_generated, balls / neighborhood, covered)


def realism(generated: np.ndarray, real: np.ndarray, real_radii: np.ndarray) -> np.ndarray:
    """How far within the real manifold each generated image (N, D) lies: (N,) float64, from 1 on inside, infinite for a copy.

    The largest ratio of a real image's radius to its distance, over the half of the real images (M, D) with the smaller
    radii, which leaves out uncertain ones (Kynkäänniemi et al. 2019, 4). Found in float32, so a ratio that is larger by a
    ten-thousandth may be missed.
    """
    dense = np.flatnonzero((real_radii <= np.median(real_radii)) & (real_radii > 0))
    if not len(dense):  # at least half of the real images repeat others: there is no scale
        return np.zeros(len(generated))
    kept, reach, middle = real[dense], real_radii[dense], _pairs.centre(generated, real)
    best, numbers = np.full(len(generated), np.inf), np.zeros(len(generated), np.int64)
    for one in _pairs.blocks(generated, middle):
        for other in _pairs.blocks(kept, middle):
            ratios = one.lower_bounds(other).clip(min=0) / (reach[other.rows] ** 2).astype(np.float32)
            winners = ratios.argmin(axis=1)
            values = ratios[np.arange(len(ratios)), winners]
            better = values < best[one.rows]
            best[one.rows][better], numbers[one.rows][better] = values[better], winners[better] + other.rows.start
    apart = _pairs.pair_distances(generated, np.arange(len(generated)), kept, numbers)
    with np.errstate(divide="ignore"):
        return reach[numbers] / apart


def _within(
    bounds: np.ndarray, reach: np.ndarray, one: _pairs.Block, other: _pairs.Block, generated: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pairs of a block that are no further apart than `reach`, (B, 1) or (1, C)."""
    rows, columns = _pairs.places(bounds <= (reach**2 * (1 + 1e-6)).astype(np.float32))
    most = bounds[rows, columns] + 2.5 * one.error * (one.squares[rows] + other.squares[columns])
    limit = np.broadcast_to(reach, bounds.shape)[rows, columns]
    inside = most < limit**2
    doubt = np.flatnonzero(~inside)
    pairs = rows[doubt] + one.rows.start, columns[doubt] + other.rows.start
    inside[doubt] = _pairs.pair_distances(generated, pairs[0], real, pairs[1]) <= limit[doubt]
    return rows[inside], columns[inside]
