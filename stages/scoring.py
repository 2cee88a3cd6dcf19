"""Scores of images against a reference, each with an interval and the score of held-out real images beside it.

A draw is a set of images as large as the held-out one: scores at unequal n cannot be compared. The interval of a score holds
what another draw would change, by the spread over draws (by the images of one, where there is one), and what other real images
would, by the influence of each. `evaluate` and `gan evaluate` share this file.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from gan import streams
from gan.generator import Generator
from gan.metrics import classwise, extrapolation, frechet, inception_score, kernel, manifold, memorisation, modes, uncertainty
from stages import ahead, params, progress, protocol
from stages.standard import MOST_COMPARED, Standard

VERSION = 1  # of how scores are computed: raised when the same images would get another number
_SHARE = {"most": 1.0, "least": 0.0}


@dataclass(frozen=True)
class Draw:
    """Images as the protocol's extractor sees them."""

    features: np.ndarray  # (N, D) float32
    logits: np.ndarray  # (N, K) float32; K is 0 where the extractor names nothing
    labels: np.ndarray | None  # (N,) int64: the classes they were asked or sorted as
    pixels: np.ndarray  # (<= MOST_COMPARED, C, H, W) uint8: the first of them


def see(standard: Standard, blocks: Iterable[np.ndarray], labels: np.ndarray | None) -> Draw:
    """The features of images that come in blocks (n, C, H, W) uint8; only the first stay in memory as pixels."""
    kept: list[np.ndarray] = []
    room = MOST_COMPARED

    def passing() -> Iterator[np.ndarray]:
        nonlocal room
        for block in blocks:
            if room > 0:
                kept.append(block[:room])
                room -= len(block)
            yield block

    features, logits = protocol.features(standard.network, passing(), standard.protocol["batch_size"])
    return Draw(features, logits, labels, np.concatenate(kept))


class Source(Protocol):
    """What makes images by seed: a trained generator, or a file from elsewhere."""

    conditional: bool
    threads: int

    def blocks(self, seeds: np.ndarray, labels: np.ndarray | None) -> Iterator[np.ndarray]:
        """Images (n, C, H, W) uint8 of seeds (N,) and, where it is conditional, labels (N,), in their order."""


@dataclass(frozen=True)
class Trained:
    """A generator of ours, of whatever version of the code; it makes its images on the device that looks at them."""

    generator: Generator
    device: str = "cpu"

    def __post_init__(self) -> None:
        self.generator.to(self.device)

    @property
    def conditional(self) -> bool:
        return self.generator.card["conditional"]

    @property
    def threads(self) -> int:
        return self.generator.card["threads"]

    def blocks(self, seeds: np.ndarray, labels: np.ndarray | None) -> Iterator[np.ndarray]:
        return self.generator.blocks(seeds, labels)


def made(source: Source, standard: Standard, config: params.Evaluate) -> tuple[list[Draw], dict]:
    """Independent draws, each as large as the held-out set, by seeds far from those that people look at; and what was asked for.

    Asked for are the held-out images' own labels: a draw and the floor then differ in nothing but where the images are from.
    Labels drawn at random add their own noise, as large as what is measured at a few hundred images.
    """
    labels, size = standard.heldout.labels if source.conditional else None, len(standard.heldout.labels)
    first = 2**40 * (1 + config.seed)
    draws = []
    with progress.bar("evaluate", config.draws * size, "images") as bar:
        for start in range(first, first + config.draws * size, size):
            seeds = np.arange(start, start + size)
            blocks = source.blocks(seeds, labels)
            if source.threads == config.threads:  # with unequal ones each would change the other's, and so its bits
                blocks = ahead.ahead(blocks)
            draws.append(see(standard, progress.counted(blocks, bar), labels))
    return draws, {"labels": "held-out" if source.conditional else "none"}


class Scores:
    """All scores of draws of one origin, computed when asked for."""

    def __init__(self, standard: Standard, draws: Sequence[Draw], asked: dict, config: params.Evaluate):
        """`asked`: what else decides a score, as which labels were asked for; it becomes part of the protocol."""
        self.standard, self.draws, self.config = standard, draws, config
        self.size = len(draws[0].features)
        self.asked = asked
        smallest = min(self.size, len(standard.heldout.features), len(standard.train.features))
        if self.size >= 2 and config.kid_subset_size > smallest:
            raise ValueError(f"evaluate.kid_subset_size is {config.kid_subset_size}, more than the {smallest} images there are; lower it in params.yaml")
        if self.size < 2:
            raise ValueError(f"there {'is 1 image' if self.size else 'is no image'}: a score takes two at least, and is worth some at a thousand")

    @cached_property
    def rules(self) -> dict:
        """The protocol: all that decides what a score means, with its hash; and, outside the hash, what was drawn.

        Other seeds and more draws measure the same, so they may be compared.
        """
        drawn = {"draws": len(self.draws)} | self.config.model_dump(mode="json", include={"bootstrap", "seed", "threads"})
        settings = self.config.model_dump(mode="json", exclude={"draws", *drawn}) | self.asked
        settings |= {"num_images": self.size, "scores": VERSION}
        reference = self.standard.protocol
        digest = protocol.hashed({"reference": reference["hash"], "evaluate": settings})["hash"]
        return {"name": reference["name"], "hash": digest, "reference": reference, "evaluate": settings, "drawn": drawn}

    def metrics(self) -> dict:
        """All scores, nested; those with an interval are {mean, low, high, floor}."""
        short = {"name": self.rules["name"], "hash": self.rules["hash"], "reference": self.standard.protocol["hash"]}
        found = {"protocol": short, "num_images": self.size, "draws": len(self.draws), "notes": self.notes()}
        found |= {"fid": self._fid(), "kid": self._kid()} | self._fid_infinity() | self._inception_score()
        return found | self._manifold() | self._classes() | {"memorisation": self._memorisation()}

    def notes(self) -> list[str]:
        """What a reader of the scores must know, in sentences."""
        size, width = self.size, self.draws[0].features.shape[1]
        said = []
        if frechet.is_singular(size, width):
            said.append(
                f"{size:,} images span fewer dimensions than the {width:,} features: the covariance is singular, and FID is far above "
                "what more images would give. Compare by KID, which has no bias, or hold more images out (prepare.heldout)"
            )
        elif size < 2048:
            said.append(f"FID of {size:,} images lies above that of more; it compares only at this number")
        if len(self.draws) == 1:
            said.append("one set of images: intervals are by resampling it")
        if self.standard.protocol["facts"].get("random"):
            said.append("the extractor has random weights: a smoke test, no score to report")
        if self.standard.protocol["extractor"].get("precision") == "bfloat16":
            said.append("features in bfloat16: a quick look, no score to report")
        empty = self._classes_left_out()
        if empty:
            said.append(f"intra-FID leaves out {len(empty)} classes with fewer than two images on a side: {', '.join(empty[:5])}")
        return said

    def _interval(
        self, score: Callable[[Draw], float] | list[float], floor: float, real: float = 0.0, alone: Callable[[], float] | None = None, **ends: float
    ) -> dict:
        """The interval of a score over draws. `real`: its deviation by the real images; `alone`: by the images of one draw, where
        there is one, else by drawing them again."""
        values = score if isinstance(score, list) else [score(draw) for draw in self.draws]
        own = (alone or self._resampled(score))() if len(self.draws) == 1 else None
        return rounded(uncertainty.interval(values, real, own, **ends) | {"floor": floor})

    def _resampled(self, score: Callable[[Draw], float]) -> Callable[[], float]:
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
    def _statistics(self) -> list[frechet.Statistics]:
        return [frechet.features_to_statistics(draw.features) for draw in self.draws]

    def _fid(self) -> dict:
        real = self.standard
        values = [frechet.statistics_to_distance(one, real.statistics) for one in self._statistics]
        floor = frechet.statistics_to_distance(frechet.features_to_statistics(real.heldout.features), real.statistics)
        return self._interval(values, floor, self._fid_by_real, self._fid_by_generated, least=0.0)

    @cached_property
    def _fid_by_real(self) -> float:
        """The deviation of FID by the real images there are."""
        return uncertainty.deviation_frechet(self._statistics[0], self.standard.train.features)

    def _fid_by_generated(self) -> float:
        """The deviation of FID by the images of the first draw."""
        return uncertainty.deviation_frechet(self.standard.statistics, self.draws[0].features)

    def _fid_infinity(self) -> dict:
        """FID without the bias of n, extrapolated; not of too few images. An image moves it as far as it moves FID (a test shows it)."""
        if not extrapolation.possible(self.size, self.draws[0].features.shape[1]):
            return {}
        real, numbers = self.standard, range(len(self.draws))

        def value(features: np.ndarray, number: int) -> float:
            """With samples of its own for each draw: by the same ones, of the same labels, draws would err alike."""
            return extrapolation.fid_infinity(features, real.statistics, seed=streams.key(self.config.seed, f"evaluate/extrapolation/{number}"))["value"]

        values = [value(draw.features, number) for number, draw in zip(numbers, self.draws)]
        floor = float(np.mean([value(real.heldout.features, number) for number in numbers]))
        return {"fid_infinity": self._interval(values, floor, self._fid_by_real, self._fid_by_generated)}

    def _kid(self) -> dict:
        real, config = self.standard, self.config

        def score(features: np.ndarray) -> float:
            return kernel.kid(features, real.train.features, config.kid_subsets, config.kid_subset_size)

        by_generated, by_real = kernel.deviation(self.draws[0].features, real.train.features)
        return self._interval(lambda draw: score(draw.features), score(real.heldout.features), by_real, lambda: by_generated)

    def _inception_score(self) -> dict:
        if not self.standard.has_score:
            return {}

        def score(logits: np.ndarray) -> float:
            return inception_score.inception_score(logits, self.config.isc_splits)

        return {"inception_score": self._interval(lambda draw: score(draw.logits), score(self.standard.heldout.logits))}

    @cached_property
    def manifolds(self) -> list[manifold.Manifold]:
        """Precision, recall, density and coverage of each draw, with what each image contributes."""
        return [self._against_real(draw.features) for draw in self.draws]

    def _against_real(self, features: np.ndarray) -> manifold.Manifold:
        neighborhood = self.config.neighborhood
        return manifold.precision_recall(features, self.standard.train.features, neighborhood, self.standard.radii(neighborhood))

    @cached_property
    def realism(self) -> np.ndarray:
        """How deep among the real images each image of the first draw lies, (N,)."""
        real = self.standard
        return manifold.realism(self.draws[0].features, real.train.features, real.radii(self.config.neighborhood))

    def _manifold(self) -> dict:
        floor = self._against_real(self.standard.heldout.features)
        return {
            "precision": self._share("precision", "inside_real", floor, of_real=False, most=1.0),
            "recall": self._share("recall", "inside_generated", floor, of_real=True, most=1.0),
            "density": self._share("density", "density_terms", floor, of_real=False),
            "coverage": self._share("coverage", "covered", floor, of_real=True, most=1.0),
        }

    def _share(self, name: str, terms: str, floor: manifold.Manifold, of_real: bool, **ends: float) -> dict:
        """A mean over images, of generated or of real ones; the manifolds count as given."""
        spread = np.asarray(getattr(self.manifolds[0], terms), np.float64)
        deviation = float(spread.std() / math.sqrt(len(spread)))
        by_real, by_generated = (deviation, 0.0) if of_real else (0.0, deviation)
        values = [getattr(one, name) for one in self.manifolds]
        return self._interval(values, getattr(floor, name), by_real, lambda: by_generated, least=0.0, **ends)

    def _classes(self) -> dict:
        """By the extractor's naming: coverage, histogram, agreement with the asked label; by labels: FID class by class."""
        return self._named | self._intra_fid()

    @cached_property
    def _named(self) -> dict:
        """Where the extractor names the data's classes."""
        real, classes = self.standard, self.standard.data["classes"]
        if self.rules["name"] != "classifier" or not real.named:
            return {}
        counts = np.sum([modes.counts(draw.logits.argmax(axis=1), len(classes)) for draw in self.draws], axis=0)
        expected = 1 + np.bincount(real.train.labels.clip(min=0), minlength=len(classes))  # 1: never from what cannot occur
        heldout = real.heldout.logits.argmax(axis=1)

        def divergence(logits: np.ndarray) -> float:
            return modes.divergence(modes.counts(logits.argmax(axis=1), len(classes)), expected)

        found = {"classes": {
            "covered": modes.covered(counts), "of": len(classes),
            "divergence": self._interval(lambda draw: divergence(draw.logits), divergence(real.heldout.logits), least=0.0),
            "histogram": {name: int(count) for name, count in zip(classes, counts, strict=True)},
        }}  # fmt: skip
        if self.draws[0].labels is not None:
            floor = float((heldout == real.heldout.labels).mean())
            found["agreement"] = self._interval(lambda draw: float((draw.logits.argmax(axis=1) == draw.labels).mean()), floor, **_SHARE)
        return found

    @cached_property
    def _by_class(self) -> list[dict] | None:
        real = self.standard
        if any(draw.labels is None for draw in self.draws) or len(real.data["classes"]) < 2 or (real.train.labels < 0).any():
            return None
        return [self._inside_classes(one.features, one.labels) for one in (*self.draws, real.heldout)]

    def _inside_classes(self, features: np.ndarray, labels: np.ndarray) -> dict:
        real = self.standard
        return classwise.intra(features, labels, real.train.features, real.train.labels, len(real.data["classes"]))

    def _classes_left_out(self) -> list[str]:
        if self._by_class is None:
            return []
        return [self.standard.data["classes"][number] for number, value in self._by_class[0]["of"].items() if value is None]

    def _intra_fid(self) -> dict:
        """The mean over classes of FID inside each (Miyato and Koyama 2018, arXiv:1802.05637, sec. 4.1)."""
        if self._by_class is None or self._by_class[0]["mean"] is None:
            return {}
        *values, floor = [one["mean"] for one in self._by_class]
        alone = self._resampled(lambda draw: self._inside_classes(draw.features, draw.labels)["mean"])
        return {"intra_fid": self._interval(values, floor, alone=alone, least=0.0)}

    def rows(self) -> list[dict]:
        """A row a class: share generated and real, agreement, FID inside the class and its floor; None where not known."""
        classes = self.standard.data["classes"]
        named = self._named
        total = sum(named["classes"]["histogram"].values()) if named else 0
        real = np.bincount(self.standard.train.labels.clip(min=0), minlength=len(classes)) / len(self.standard.train.labels)
        rows = []
        for number, name in enumerate(classes if named or self._by_class else []):
            row = {"class": name, "generated": named["classes"]["histogram"][name] / total if named else None, "real": float(real[number])}
            if named and self.draws[0].labels is not None:
                of = [draw.logits[draw.labels == number].argmax(axis=1) == number for draw in self.draws]
                row["agreement"] = rounded(float(np.concatenate(of).mean())) if sum(map(len, of)) else None
            if self._by_class:
                values = [one["of"][number] for one in self._by_class]
                *generated, floor = values
                row["fid"] = rounded(float(np.mean(generated))) if None not in generated else None
                row["fid_floor"] = None if floor is None else rounded(floor)
            rows.append(row)
        return rows

    @cached_property
    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance (root mean square a pixel, [0, 255]) of the first draw's images to their nearest training image, and its number."""
        return self.standard.nearest(self.draws[0].pixels)

    def _memorisation(self) -> dict:
        """Whether training images are repeated: distances in pixels, beside those of held-out images, which cannot be."""
        standard, (distance, number) = self.standard, self.nearest
        matched, place = np.unique(number, return_inverse=True)
        own = standard.nearest(standard.train_images.pixels(matched), apart_from=matched)[0]
        heldout = standard.heldout_nearest
        floor = float(np.median(heldout["distance"]))
        share, real = (memorisation.authenticity(*one) for one in ((distance, place, own), (heldout["distance"], slice(None), heldout["own"])))
        authentic = uncertainty.interval([share], 0.0, math.sqrt(share * (1 - share) / len(distance)), **_SHARE)
        return {
            "distance": rounded({"median": float(np.median(distance)), "floor": floor}),
            "ratio": rounded(float(np.median(distance)) / floor if floor else 0.0),
            "authenticity": rounded(authentic | {"floor": real}),
            "copying": rounded(memorisation.copying(distance, heldout["distance"])),
        }


def rounded(value: float | dict) -> float | dict:
    """Six significant digits: the rest differs between processors that agree on every image."""
    return {key: rounded(one) for key, one in value.items()} if isinstance(value, dict) else float(f"{value:.6g}")
