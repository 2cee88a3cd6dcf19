"""The Inception Score (Salimans et al. 2016, arXiv:1606.03498, sec. 4), by whatever classes the extractor knows."""

from typing import TYPE_CHECKING

import numpy as np

from gan.metrics import inception_score as metric
from stages.evaluation.score_files import Says

if TYPE_CHECKING:
    from stages.evaluation.measured import Measured
    from stages.evaluation.metrics import Interval

TASKS, NEEDS, RANK = ("image",), ("logits",), 20
SAYS = {"inception_score": Says("Inception Score", "higher", "sure of each image's class, even over all classes")}


def measure(measured: "Measured") -> "dict[str, Interval]":
    def score(logits: np.ndarray) -> float:
        return metric.inception_score(logits, measured.config.isc_splits)

    return {"inception_score": measured.interval(lambda draw: score(draw.logits), score(measured.reference.heldout.logits))}
