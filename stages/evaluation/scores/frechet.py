"""FID (Heusel et al. 2017, arXiv:1706.08500, eq. 6), and FID∞, without the bias of n (Chong and Forsyth 2020, arXiv:1911.07023)."""

from typing import TYPE_CHECKING

import numpy as np

from gan import streams
from gan.metrics import extrapolation
from gan.metrics import frechet as metric
from stages.evaluation.score_files import Says

if TYPE_CHECKING:
    from stages import params
    from stages.evaluation.measured import Features, Measured
    from stages.evaluation.metrics import Interval
    from stages.evaluation.reference_set import ReferenceSet

TASKS, NEEDS, RANK = ("image",), (), 0
SAYS = {
    "fid": Says("FID", "lower", "Fréchet distance between the features of generated and real images"),
    "fid_infinity": Says("FID∞", "lower", "the same, extrapolated to endlessly many images"),
}


def measure(measured: "Measured") -> "dict[str, Interval]":
    real = measured.reference
    values = [metric.statistics_to_distance(one, real.statistics) for one in measured.statistics]
    floor = metric.statistics_to_distance(metric.features_to_statistics(real.heldout.features), real.statistics)
    return {"fid": measured.interval(values, floor, measured.fid_by_real, measured.fid_by_generated, least=0.0)} | _infinity(measured)


def _infinity(measured: "Measured") -> "dict[str, Interval]":
    """Not of too few images. An image moves it as far as it moves FID (a test shows it)."""
    if not extrapolation.possible(measured.size, measured.draws[0].features.shape[1]):
        return {}
    real, numbers = measured.reference, range(len(measured.draws))

    def value(features: np.ndarray, number: int) -> float:
        """With samples of its own for each draw: by the same ones, of the same labels, draws would err alike."""
        seed = streams.key(measured.config.seed, f"evaluate/extrapolation/{number}")
        return extrapolation.fid_infinity(features, real.statistics, seed=seed)["value"]

    values = [value(draw.features, number) for number, draw in zip(numbers, measured.draws)]
    floor = float(np.mean([value(real.heldout.features, number) for number in numbers]))
    return {"fid_infinity": measured.interval(values, floor, measured.fid_by_real, measured.fid_by_generated)}


def fight(features: "Features", reference: "ReferenceSet", config: "params.Evaluate") -> tuple[list[list[float]], float]:
    """FID of each side's draws; the deviation of the difference by the real images: a paired bootstrap of the first draws."""
    sides = [[metric.features_to_statistics(one) for one in draws] for draws in features]
    scores = [[metric.statistics_to_distance(one, reference.statistics) for one in draws] for draws in sides]
    real, gaps = reference.train.features, []
    for replicate in range(config.bootstrap):
        drawn = streams.integers(streams.key(config.seed, f"duel/bootstrap/{replicate}"), np.arange(len(real)), len(real))
        again = metric.features_to_statistics(real[drawn])
        one, other = (metric.statistics_to_distance(draws[0], again) for draws in sides)
        gaps.append(one - other)
    return scores, float(np.std(gaps, ddof=1))
