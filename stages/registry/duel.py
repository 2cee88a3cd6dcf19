"""The champion measured again, beside its challenger: one protocol, one set of real images, as many of their own, fresh seeds.

The seeds follow from both generators' weights, so nobody chose them, and asked again the figures are the same. What other real
images would change is taken of the difference, since both are measured by the same ones: most of it cancels.
"""

import hashlib

import numpy as np

from gan.metrics import uncertainty
from stages import numerics, params
from stages.evaluation import reference_set, score_files, scoring

_SEEDS = 1_000_000, 8_000_000  # of evaluations: far from those that people choose, and 2**40 times them fits 63 bits


class Impossible(Exception):
    """A sentence: why the two cannot be measured side by side."""


def settings(rules: dict) -> params.Evaluate:
    """The section `evaluate` that a protocol (artifacts/evaluate/protocol.json) was made by."""
    said = rules.get("evaluate", {}) | rules.get("drawn", {})
    try:
        return params.Evaluate.model_validate({key: value for key, value in said.items() if key in params.Evaluate.model_fields})
    except ValueError as error:
        raise Impossible(f"the protocol does not say how it was evaluated ({str(error).splitlines()[0]})") from None


def seed(one_sha256: str, other_sha256: str) -> int:
    """Of the evaluation of two weights, in either order."""
    digest = hashlib.sha256("".join(sorted((one_sha256, other_sha256))).encode()).digest()
    low, high = _SEEDS
    return low + int.from_bytes(digest[:8], "big") % (high - low)


def fight(
    metric: str, challenger: scoring.Source, champion: scoring.Source, measured: reference_set.ReferenceSet, config: params.Evaluate
) -> dict:
    """{metric, challenger, champion, difference: {mean, low, high, deviation}, draws, num_images, protocol, seed}.

    difference: challenger less champion; below zero is better.
    """
    if challenger.conditional != champion.conditional:
        raise Impossible("one of the two is asked for classes and the other is not, so they do not draw alike")
    numerics.settle(config.threads)
    sides = [scoring.made(source, measured, config) for source in (challenger, champion)]
    rules = scoring.Scores(measured, *sides[0], config).rules
    features = [[draw.features for draw in draws] for draws, _ in sides]
    values, by_real = score_files.fights()[metric].fight(features, measured, config)
    gaps = [one - other for one, other in zip(*values, strict=True)]
    return {
        "metric": metric,
        **{name: score_files.rounded(float(np.mean(values))) for name, values in zip(("challenger", "champion"), values, strict=True)},
        "difference": score_files.rounded(uncertainty.interval(gaps, by_real)),
        "draws": len(gaps),
        "num_images": len(features[0][0]),
        "protocol": rules["hash"],
        "seed": config.seed,
    }
