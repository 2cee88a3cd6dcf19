"""Intra-FID: the mean over classes of FID inside each (Miyato and Koyama 2018, arXiv:1802.05637, sec. 4.1)."""

from typing import TYPE_CHECKING

from stages.evaluation.score_files import Says

if TYPE_CHECKING:
    from stages.evaluation.measured import Measured
    from stages.evaluation.metrics import Interval

TASKS, NEEDS, RANK = ("image",), ("labels",), 40
SAYS = {"intra_fid": Says("intra-FID", "lower", "mean over classes of FID inside each")}


def measure(measured: "Measured") -> "dict[str, Interval]":
    if measured.by_class is None or measured.by_class[0]["mean"] is None:  # too few images in every class
        return {}
    *values, floor = [one["mean"] for one in measured.by_class]
    alone = measured.resampled(lambda draw: measured.inside_classes(draw.features, draw.labels)["mean"])
    return {"intra_fid": measured.interval(values, floor, alone=alone, least=0.0)}
