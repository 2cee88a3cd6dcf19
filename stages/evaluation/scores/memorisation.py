"""Whether training images are repeated: distances in pixels, beside those of held-out images, which cannot be."""

import math
from typing import TYPE_CHECKING

import numpy as np

from gan.metrics import memorisation as metric
from gan.metrics import uncertainty
from stages.evaluation.metrics import Copying, Distance, Interval, Memorisation
from stages.evaluation.score_files import Says, rounded

if TYPE_CHECKING:
    from stages.evaluation.measured import Measured

TASKS, NEEDS, RANK = ("image",), (), 60
SAYS = {
    "authenticity": Says(
        "authenticity", "higher", "share of images farther from their nearest training image than that one is from the next"
    )
}


def measure(measured: "Measured") -> dict[str, Memorisation]:
    reference, (distance, number) = measured.reference, measured.nearest
    matched, place = np.unique(number, return_inverse=True)
    own = reference.nearest(reference.train_images.pixels(matched), apart_from=matched)[0]
    heldout = reference.heldout_nearest
    floor = float(np.median(heldout["distance"]))
    share, real = (metric.authenticity(*one) for one in ((distance, place, own), (heldout["distance"], slice(None), heldout["own"])))
    authentic = uncertainty.interval([share], 0.0, math.sqrt(share * (1 - share) / len(distance)), most=1.0, least=0.0)
    return {
        "memorisation": Memorisation(
            distance=Distance(**rounded({"median": float(np.median(distance)), "floor": floor})),
            ratio=rounded(float(np.median(distance)) / floor if floor else 0.0),
            authenticity=Interval(**rounded(authentic | {"floor": real})),
            copying=Copying(**rounded(metric.copying(distance, heldout["distance"]))),
        )
    }
