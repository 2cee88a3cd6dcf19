"""KID (Bińkowski et al. 2018, arXiv:1801.01401, sec. 4): no bias by the number of images."""

from typing import TYPE_CHECKING

import numpy as np

from gan.metrics import kernel as metric
from stages.evaluation.score_files import Says

if TYPE_CHECKING:
    from stages import params
    from stages.evaluation.measured import Features, Measured
    from stages.evaluation.metrics import Interval
    from stages.evaluation.reference_set import ReferenceSet

TASKS, NEEDS, RANK = ("image",), (), 10
SAYS = {"kid": Says("KID", "lower", "squared maximum mean discrepancy, ×1, without bias by the number of images")}


def measure(measured: "Measured") -> "dict[str, Interval]":
    real, config = measured.reference, measured.config

    def score(features: np.ndarray) -> float:
        return metric.kid(features, real.train.features, config.kid_subsets, config.kid_subset_size)

    by_generated, by_real = metric.deviation(measured.draws[0].features, real.train.features)
    return {"kid": measured.interval(lambda draw: score(draw.features), score(real.heldout.features), by_real, lambda: by_generated)}


def fight(features: "Features", reference: "ReferenceSet", config: "params.Evaluate") -> tuple[list[list[float]], float]:
    """KID of each side's draws; in the difference the kernel among real images cancels, and what is left is a mean over them."""
    real = reference.train.features
    scores = [[metric.unbiased(one, real) for one in draws] for draws in features]
    likeness = [metric.likeness(real, draws[0]) for draws in features]
    return scores, float(2 * (likeness[0] - likeness[1]).std(ddof=1) / np.sqrt(len(real)))
