"""Scores of images against a reference, each with an interval and the score of held-out real images beside it.

A draw is a set of images as large as the held-out one: scores at unequal n cannot be compared. The interval of a score holds
what another draw would change, by the spread over draws (by the images of one, where there is one), and what other real images
would, by the influence of each. `evaluate` and `gan evaluate` share this file.
"""

import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gan.generator import Generator
from gan.metrics import frechet
from stages import params, progress
from stages.evaluation import prefetch, protocol, score_files
from stages.evaluation.measured import Draw, Measured
from stages.evaluation.metrics import Classes, Metrics, Protocol
from stages.evaluation.reference_set import MOST_COMPARED, ReferenceSet
from stages.evaluation.score_files import rounded

VERSION = 1  # of how scores are computed: raised when the same images would get another number


def see(reference: ReferenceSet, blocks: Iterable[np.ndarray], labels: np.ndarray | None) -> Draw:
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

    features, logits = protocol.features(reference.network, passing(), reference.protocol["batch_size"])
    return Draw(features, logits, labels, np.concatenate(kept))


class Source(typing.Protocol):
    """What makes images by seed: a trained generator, or a file from elsewhere."""

    @property
    def conditional(self) -> bool:
        """Whether it takes labels."""

    @property
    def threads(self) -> int:
        """It computes by so many."""

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
        return self.generator.card.conditional

    @property
    def threads(self) -> int:
        return self.generator.card.threads

    def blocks(self, seeds: np.ndarray, labels: np.ndarray | None) -> Iterator[np.ndarray]:
        return self.generator.blocks(seeds, labels)


def made(source: Source, reference: ReferenceSet, config: params.Evaluate) -> tuple[list[Draw], dict]:
    """Independent draws, each as large as the held-out set, by seeds far from those that people look at; and what was asked for.

    Asked for are the held-out images' own labels: a draw and the floor then differ in nothing but where the images are from.
    Labels drawn at random add their own noise, as large as what is measured at a few hundred images.
    """
    labels, size = reference.heldout.labels if source.conditional else None, len(reference.heldout.labels)
    first = 2**40 * (1 + config.seed)
    draws = []
    with progress.bar("evaluate", config.draws * size, "images") as bar:
        for start in range(first, first + config.draws * size, size):
            seeds = np.arange(start, start + size)
            blocks = source.blocks(seeds, labels)
            if source.threads == config.threads:  # with unequal ones each would change the other's, and so its bits
                blocks = prefetch.ahead(blocks)
            draws.append(see(reference, progress.counted(blocks, bar), labels))
    return draws, {"labels": "held-out" if source.conditional else "none"}


class Scores:
    """All scores of draws of one origin (stages/evaluation/scores), under one protocol."""

    def __init__(self, reference: ReferenceSet, draws: Sequence[Draw], asked: dict, config: params.Evaluate, task: str = "image"):
        """`asked`: what else decides a score, as which labels were asked for; it becomes part of the protocol."""
        self.reference, self.draws, self.config, self.task = reference, draws, config, task
        self.measured = Measured(reference, draws, config)
        self.size = self.measured.size
        self.asked = asked
        smallest = min(self.size, len(reference.heldout.features), len(reference.train.features))
        if self.size >= 2 and config.kid_subset_size > smallest:
            raise ValueError(
                f"evaluate.kid_subset_size is {config.kid_subset_size}, more than the {smallest} images there are; lower it in params.yaml"
            )
        if self.size < 2:
            raise ValueError(
                f"there {'is 1 image' if self.size else 'is no image'}: a score takes two at least, and is worth some at a thousand"
            )

    @cached_property
    def rules(self) -> dict:
        """The protocol: all that decides what a score means, with its hash; and, outside the hash, what was drawn.

        Other seeds and more draws measure the same, so they may be compared.
        """
        drawn = {"draws": len(self.draws)} | self.config.model_dump(mode="json", include={"bootstrap", "seed", "threads"})
        settings = self.config.model_dump(mode="json", exclude={"draws", *drawn}) | self.asked
        settings |= {"num_images": self.size, "scores": VERSION}
        reference = self.reference.protocol
        digest = protocol.hashed({"reference": reference["hash"], "evaluate": settings})["hash"]
        return {"name": reference["name"], "hash": digest, "reference": reference, "evaluate": settings, "drawn": drawn}

    def metrics(self) -> Metrics:
        """All scores."""
        short = Protocol(name=self.rules["name"], hash=self.rules["hash"], reference=self.reference.protocol["hash"])
        return Metrics(protocol=short, num_images=self.size, draws=len(self.draws), notes=tuple(self.notes()), **self._scored)

    @cached_property
    def _scored(self) -> dict[str, Any]:
        """A part of Metrics a key, as the score files name them."""
        scores: dict[str, Any] = {}
        for score in score_files.every():
            if self.task in score.TASKS and all(map(self.measured.has, score.NEEDS)):
                scores |= score.measure(self.measured)
        return scores

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
        if self.reference.protocol["facts"].get("random"):
            said.append("the extractor has random weights: a smoke test, no score to report")
        if self.reference.protocol["extractor"].get("precision") == "bfloat16":
            said.append("features in bfloat16: a quick look, no score to report")
        empty = self._classes_left_out()
        if empty:
            said.append(f"intra-FID leaves out {len(empty)} classes with fewer than two images on a side: {', '.join(empty[:5])}")
        return said

    def _classes_left_out(self) -> list[str]:
        if self.measured.by_class is None:
            return []
        return [self.reference.data["classes"][number] for number, value in self.measured.by_class[0]["of"].items() if value is None]

    def rows(self) -> list[dict]:
        """A row a class: share generated and real, agreement, FID inside the class and its floor; None where not known."""
        classes = self.reference.data["classes"]
        named: Classes | None = self._scored.get("classes")
        by_class = self.measured.by_class
        total = sum(named.histogram.values()) if named else 0
        real = np.bincount(self.reference.train.labels.clip(min=0), minlength=len(classes)) / len(self.reference.train.labels)
        rows = []
        for number, name in enumerate(classes if named or by_class else []):
            row = {"class": name, "generated": named.histogram[name] / total if named else None, "real": float(real[number])}
            if named and self.draws[0].labels is not None:
                of = [draw.logits[draw.labels == number].argmax(axis=1) == number for draw in self.draws]
                row["agreement"] = rounded(float(np.concatenate(of).mean())) if sum(map(len, of)) else None
            if by_class:
                values = [one["of"][number] for one in by_class]
                *generated, floor = values
                row["fid"] = rounded(float(np.mean(generated))) if None not in generated else None
                row["fid_floor"] = None if floor is None else rounded(floor)
            rows.append(row)
        return rows
