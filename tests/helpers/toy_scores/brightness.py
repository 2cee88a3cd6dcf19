"""How bright images are: a score of tests, as small as one can be."""

from stages.evaluation.score_files import Says

TASKS, NEEDS, RANK = ("image",), (), 70
SAYS = {"brightness": Says("brightness", "higher", "mean level of the first draw's images")}


def measure(measured):
    return {"brightness": measured.interval(lambda draw: float(draw.features.mean()), float(measured.reference.heldout.features.mean()))}
