"""Classes as the protocol's classifier names them: which are made, how often by how often they are real, and whether as asked."""

from typing import TYPE_CHECKING

import numpy as np

from gan.metrics import modes
from stages.evaluation.metrics import Classes, Part
from stages.evaluation.score_files import Says

if TYPE_CHECKING:
    from stages.evaluation.measured import Measured

TASKS, NEEDS, RANK = ("image",), ("names",), 50
SAYS = {
    "agreement": Says("agreement", "higher", "share of images that the classifier names as asked"),
    "divergence": Says("KL of classes", "lower", "between the classes that were generated and the real ones, nats"),
}


def measure(measured: "Measured") -> dict[str, Part]:
    real, classes = measured.reference, measured.reference.data["classes"]
    counts = np.sum([modes.counts(draw.logits.argmax(axis=1), len(classes)) for draw in measured.draws], axis=0)
    expected = 1 + np.bincount(real.train.labels.clip(min=0), minlength=len(classes))  # 1: never from what cannot occur
    heldout = real.heldout.logits.argmax(axis=1)

    def divergence(logits: np.ndarray) -> float:
        return modes.divergence(modes.counts(logits.argmax(axis=1), len(classes)), expected)

    scores: dict[str, Part] = {
        "classes": Classes(
            covered=modes.covered(counts),
            of=len(classes),
            divergence=measured.interval(lambda draw: divergence(draw.logits), divergence(real.heldout.logits), least=0.0),
            histogram={name: int(count) for name, count in zip(classes, counts, strict=True)},
        )
    }
    if measured.draws[0].labels is not None:
        floor = float((heldout == real.heldout.labels).mean())
        scores["agreement"] = measured.interval(
            lambda draw: float((draw.logits.argmax(axis=1) == draw.labels).mean()), floor, most=1.0, least=0.0
        )
    return scores
