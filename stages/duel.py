"""The champion measured again, beside its challenger: one protocol, one set of real images, as many of their own, fresh seeds.

The seeds follow from both generators' weights, so nobody chose them, and asked again the figures are the same. What other real
images would change is taken of the difference, since both are measured by the same ones: most of it cancels.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from gan import streams
from gan.metrics import frechet, kernel, uncertainty
from stages import numerics, params, scoring, standard

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


def fight(metric: str, challenger: scoring.Source, champion: scoring.Source, measured: standard.Standard, config: params.Evaluate) -> dict:
    """{metric, challenger, champion, difference: {mean, low, high, deviation}, draws, num_images, protocol, seed}.

    difference: challenger less champion; below zero is better.
    """
    if challenger.conditional != champion.conditional:
        raise Impossible("one of the two is asked for classes and the other is not, so they do not draw alike")
    numerics.settle(config.threads)
    sides = [scoring.made(source, measured, config) for source in (challenger, champion)]
    rules = scoring.Scores(measured, *sides[0], config).rules
    features = [[draw.features for draw in draws] for draws, _ in sides]
    scores, by_real = {"fid": _fid, "kid": _kid}[metric](features, measured, config)
    gaps = [one - other for one, other in zip(*scores, strict=True)]
    return {
        "metric": metric,
        **{name: scoring.rounded(float(np.mean(values))) for name, values in zip(("challenger", "champion"), scores, strict=True)},
        "difference": scoring.rounded(uncertainty.interval(gaps, by_real)),
        "draws": len(gaps),
        "num_images": len(features[0][0]),
        "protocol": rules["hash"],
        "seed": config.seed,
    }


Features = Sequence[Sequence[np.ndarray]]  # of two sides, of each draw: (N, D) float32


def _fid(features: Features, measured: standard.Standard, config: params.Evaluate) -> tuple[list[list[float]], float]:
    """FID of each side's draws; the deviation of the difference by the real images: a paired bootstrap of the first draws."""
    sides = [[frechet.features_to_statistics(one) for one in draws] for draws in features]
    scores = [[frechet.statistics_to_distance(one, measured.statistics) for one in draws] for draws in sides]
    real, gaps = measured.train.features, []
    for replicate in range(config.bootstrap):
        drawn = streams.integers(streams.key(config.seed, f"duel/bootstrap/{replicate}"), np.arange(len(real)), len(real))
        again = frechet.features_to_statistics(real[drawn])
        one, other = (frechet.statistics_to_distance(draws[0], again) for draws in sides)
        gaps.append(one - other)
    return scores, float(np.std(gaps, ddof=1))


def _kid(features: Features, measured: standard.Standard, config: params.Evaluate) -> tuple[list[list[float]], float]:
    """KID of each side's draws; in the difference the kernel among real images cancels, and what is left is a mean over them."""
    real = measured.train.features
    scores = [[kernel.unbiased(one, real) for one in draws] for draws in features]
    likeness = [kernel.likeness(real, draws[0]) for draws in features]
    return scores, float(2 * (likeness[0] - likeness[1]).std(ddof=1) / np.sqrt(len(real)))
