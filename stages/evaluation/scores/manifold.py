"""Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020, arXiv:2002.09797)."""

from typing import TYPE_CHECKING

from stages.evaluation.score_files import Says

if TYPE_CHECKING:
    from stages.evaluation.measured import Measured
    from stages.evaluation.metrics import Interval

TASKS, NEEDS, RANK = ("image",), (), 30
SAYS = {
    "precision": Says("precision", "higher", "share of generated images that look real"),
    "recall": Says("recall", "higher", "share of real images that could have been generated"),
    "density": Says("density", "higher", "how deep among real images the generated ones lie; above 1 is possible"),
    "coverage": Says("coverage", "higher", "share of real images with a generated one beside them"),
}


def measure(measured: "Measured") -> "dict[str, Interval]":
    floor = measured.against_real(measured.reference.heldout.features)
    return {
        "precision": measured.share("precision", "inside_real", floor, of_real=False, most=1.0),
        "recall": measured.share("recall", "inside_generated", floor, of_real=True, most=1.0),
        "density": measured.share("density", "density_terms", floor, of_real=False),
        "coverage": measured.share("coverage", "covered", floor, of_real=True, most=1.0),
    }
