"""Draws of images and the real ones they are measured against: what scores share, computed once and when it is asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gan import streams
from gan.metrics import classwise, frechet, manifold, uncertainty
from stages import params
from stages.evaluation.metrics import Interval
from stages.evaluation.reference_set import ReferenceSet
from stages.evaluation.score_files import rounded

Features = Sequence[Sequence[np.ndarray]]  # of two sides, of each draw: (N, D) float32


@dataclass(frozen=True)
class Draw:
    """Images as the protocol's extractor sees them."""

    features: np.ndarray  # (N, D) float32
    logits: np.ndarray  # (N, K) float32; K is 0 where the extractor names nothing
    labels: np.ndarray | None  # (N,) int64: the classes they were asked or sorted as
    pixels: np.ndarray  # (<= MOST_COMPARED, C, H, W) uint8: the first of them


class Measured:
    """Draws of one origin beside what they are measured against."""

    def __init__(self, reference: ReferenceSet, draws: Sequence[Draw], config: params.Evaluate):
        self.reference, self.draws, self.config = reference, draws, config
        self.size = len(draws[0].features)

    def has(self, need: str) -> bool:
        """Whether something is there: `logits` of classes, `names` that are the data's own, `labels` of every image."""
        return {"logits": self._has_logits, "names": self._has_names, "labels": self._has_labels}[need]()

    def _has_logits(self) -> bool:
        return self.reference.has_score

    def _has_names(self) -> bool:
        return self.reference.protocol["name"] == "classifier" and self.reference.named

    def _has_labels(self) -> bool:
        all_drawn = all(draw.labels is not None for draw in self.draws)
        return all_drawn and len(self.reference.data["classes"]) > 1 and not (self.reference.train.labels < 0).any()

    def interval(
        self,
        score: Callable[[Draw], float] | list[float],
        floor: float,
        real: float = 0.0,
        alone: Callable[[], float] | None = None,
        most: float = math.inf,
        least: float = -math.inf,
    ) -> Interval:
        """The interval of a score over draws. `real`: its deviation by the real images; `alone`: by the images of one draw, where
        there is one, else by drawing them again, for which the score must be a function."""
        if isinstance(score, list):
            values = score
        else:
            values, alone = [score(draw) for draw in self.draws], alone or self.resampled(score)
        own = alone() if alone is not None and len(self.draws) == 1 else None
        return Interval(**rounded(uncertainty.interval(values, real, own, most, least) | {"floor": floor}))

    def resampled(self, score: Callable[[Draw], float]) -> Callable[[], float]:
        """The deviation of a score of the first draw, by drawing its images again: the bootstrap."""

        def deviation() -> float:
            draw, values = self.draws[0], []
            for number in range(self.config.bootstrap):
                again = streams.integers(streams.key(self.config.seed, f"evaluate/bootstrap/{number}"), np.arange(self.size), self.size)
                labels = None if draw.labels is None else draw.labels[again]
                values.append(score(Draw(draw.features[again], draw.logits[again], labels, draw.pixels[:0])))
            return float(np.std(values, ddof=1))

        return deviation

    @cached_property
    def statistics(self) -> list[frechet.Statistics]:
        """Moments of each draw's features."""
        return [frechet.features_to_statistics(draw.features) for draw in self.draws]

    @cached_property
    def fid_by_real(self) -> float:
        """The deviation of FID by the real images there are."""
        return uncertainty.deviation_frechet(self.statistics[0], self.reference.train.features)

    def fid_by_generated(self) -> float:
        """The deviation of FID by the images of the first draw."""
        return uncertainty.deviation_frechet(self.reference.statistics, self.draws[0].features)

    @cached_property
    def manifolds(self) -> list[manifold.Manifold]:
        """Precision, recall, density and coverage of each draw, with what each image contributes."""
        return [self.against_real(draw.features) for draw in self.draws]

    def against_real(self, features: np.ndarray) -> manifold.Manifold:
        """The same of any features (N, D)."""
        neighborhood = self.config.neighborhood
        return manifold.precision_recall(features, self.reference.train.features, neighborhood, self.reference.radii(neighborhood))

    @cached_property
    def realism(self) -> np.ndarray:
        """How deep among the real images each image of the first draw lies, (N,)."""
        real = self.reference
        return manifold.realism(self.draws[0].features, real.train.features, real.radii(self.config.neighborhood))

    def share(self, name: str, terms: str, floor: manifold.Manifold, of_real: bool, most: float = math.inf) -> Interval:
        """A mean over images, of generated or of real ones; the manifolds count as given."""
        spread = np.asarray(getattr(self.manifolds[0], terms), np.float64)
        deviation = float(spread.std() / math.sqrt(len(spread)))
        by_real, by_generated = (deviation, 0.0) if of_real else (0.0, deviation)
        values = [getattr(one, name) for one in self.manifolds]
        return self.interval(values, getattr(floor, name), by_real, lambda: by_generated, most, least=0.0)

    @cached_property
    def by_class(self) -> list[dict] | None:
        """FID inside each class of each draw, and of the held-out images last; None without labels."""
        if not self.has("labels"):
            return None
        heldout = self.reference.heldout
        sides = [*((draw.features, draw.labels) for draw in self.draws), (heldout.features, heldout.labels)]
        return [self.inside_classes(features, labels) for features, labels in sides]

    def inside_classes(self, features: np.ndarray, labels: np.ndarray | None) -> dict:
        """FID of features (N, D) inside each class, and its mean."""
        assert labels is not None, "a score that looks into classes needs labels"
        real = self.reference
        return classwise.intra(features, labels, real.train.features, real.train.labels, len(real.data["classes"]))

    @cached_property
    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance (root mean square a pixel, [0, 255]) of the first draw's images to their nearest training image, and its number."""
        return self.reference.nearest(self.draws[0].pixels)
