"""How far a score could be off: 95 % intervals that count the generated draws and the finite set of real images."""

import math
from statistics import NormalDist

import numpy as np

from . import frechet

_ROWS = 4096  # images at a time
_REACH = NormalDist().inv_cdf(0.975)  # standard deviations


def interval(
    draw_scores: list[float], real_deviation: float = 0.0, generated_deviation: float | None = None,
    most: float = math.inf, least: float = -math.inf,
) -> dict[str, float]:  # fmt: skip
    """{"mean", "low", "high", "deviation"} of the scores of k independent draws of generated images, all beside one real set.

    Draws vary by Student's t, the real set by a normal law of standard deviation `real_deviation`, which more draws do not
    reduce. A single draw needs its own standard deviation. "deviation" is that of the mean, of both sources; [low, high] is cut
    to [least, most].
    """
    scores = np.asarray(draw_scores, np.float64)
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"{scores.tolist()} are no scores to take a mean of; look at the draws")
    if len(scores) > 1:
        generated = float(scores.std(ddof=1)) / math.sqrt(len(scores))
        import scipy.stats  # a second, which whoever only asks for the names of scores does without

        reach = float(scipy.stats.t.ppf(0.975, len(scores) - 1))
    elif generated_deviation is not None:
        generated, reach = generated_deviation, _REACH
    else:
        raise ValueError("one draw says nothing of its deviation; raise evaluate.draws or give generated_deviation")
    mean, half = float(scores.mean()), math.hypot(reach * generated, _REACH * real_deviation)
    return {
        "mean": mean,
        "low": max(mean - half, least),
        "high": min(mean + half, most),
        "deviation": math.hypot(generated, real_deviation),
    }


def deviation_frechet(statistics: frechet.Statistics, features: np.ndarray) -> float:
    """Standard deviation of FID to fixed `statistics` due to the sample of features (N, D), by each image's influence.

    The derivative of the distance by the sample's μ and Σ is 2 (μ − μ₀) and 1 − T, with T = Σ^-½ (Σ^½ Σ₀ Σ^½)^½ Σ^-½ the
    transport between the Gaussians (Rippl, Munk and Sturm 2016, arXiv:1507.04090), so for c = x − μ an image moves FID by a
    share 1 / N of 2 (μ − μ₀)·c + c·c − c·T c. FID is the same both ways: the fixed ones may be the generated or the real.

    The bootstrap, a hundred times dearer, agrees where images are many, and is too wide where they are few: repeated images widen
    it by a third at N = 3 D.
    """
    own = frechet.features_to_statistics(features)
    values, vectors = np.linalg.eigh(own.covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    inner, turned = np.linalg.eigh((vectors * roots).T @ statistics.covariance @ (vectors * roots))
    halfway = (vectors / roots) @ (turned * inner.clip(min=0) ** 0.25)  # T = halfway halfwayᵀ
    influence = np.empty(len(features))
    for start in range(0, len(features), _ROWS):
        centred = features[start : start + _ROWS] - own.mean
        moved = (centred**2).sum(axis=1) - ((centred @ halfway) ** 2).sum(axis=1)
        influence[start : start + _ROWS] = 2 * centred @ (own.mean - statistics.mean) + moved
    return float(influence.std(ddof=1) / math.sqrt(len(features)))
