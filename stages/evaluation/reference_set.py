"""What scores are measured against: the protocol's extractor, and what is known of the real images.

Whatever takes a pass over real images (features, their moments and neighbours, the held-out images' nearest training images) is
taken once, by the reference stage, and kept by DVC; every evaluation reads it.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

from gan import choices, dataset
from gan.metrics import frechet, manifold, nearest
from stages import artifacts
from stages.evaluation import protocol

MOST_NEIGHBOURS = 10  # of each real image, whose distances are kept
MOST_COMPARED = 10_000  # images that are compared, pixel by pixel, with every training image
_BLOCK = 4096  # training images in memory at a time while they are compared


def content_of(card: dict) -> str:
    """What a protocol calls its data: a hash of the prepared images and labels; how they were reported about is none of its business."""
    arrays = {name: digest for name, digest in card["files"].items() if name.endswith(".npy")}
    return hashlib.sha256(json.dumps(arrays, sort_keys=True).encode()).hexdigest()


def nearest_images(queries: np.ndarray, images: dataset.Dataset, apart_from: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, C, H, W) uint8 -> (N,) distance to the nearest of a split's, root mean square a pixel in [0, 255], and its number.

    `apart_from` (N,): the number of one image that does not count, as an image of the split itself.
    """
    flat = queries.reshape(len(queries), -1)
    best, number = np.full(len(flat), np.inf), np.zeros(len(flat), np.int64)
    first = 0
    for block in images.batches(_BLOCK):
        within = None if apart_from is None else np.where((apart_from >= first) & (apart_from < first + len(block)), apart_from - first, -1)
        distance, place = nearest.nearest(flat, block.reshape(len(block), -1), apart_from=within)
        better = distance < best
        best[better], number[better] = distance[better], place[better] + first
        first += len(block)
    return best / np.sqrt(flat.shape[1]), number


def measured(features: dict[str, np.ndarray], splits: dict[str, dataset.Dataset]) -> dict[str, np.ndarray]:
    """What scores need of the real images: moments of the training features (D,), (D, D), the distances of each one's nearest
    neighbours (N, k), and for held-out images `heldout.distance` to the nearest training image and `heldout.own`, its own to
    the next, (n,) each, of the first MOST_COMPARED."""
    train = features["train.features"]
    moments = frechet.features_to_statistics(train)
    heldout = splits["heldout"].pixels(np.arange(min(len(splits["heldout"]), MOST_COMPARED)))
    distance, number = nearest_images(heldout, splits["train"])
    matched, place = np.unique(number, return_inverse=True)
    own = nearest_images(splits["train"].pixels(matched), splits["train"], matched)[0]
    known = {
        "train.mean": moments.mean,
        "train.covariance": moments.covariance,
        "train.neighbours": manifold.neighbours(train, min(MOST_NEIGHBOURS, len(train) - 1)),
        "heldout.distance": distance,
        "heldout.own": own[place],
    }
    return {name: np.ascontiguousarray(array) for name, array in known.items()}  # safetensors writes a view's memory as it lies


@dataclass(frozen=True)
class Real:
    """One split of the real images."""

    features: np.ndarray  # (N, D) float32
    logits: np.ndarray  # (N, K) float32
    labels: np.ndarray  # (N,) int64, -1: none


@dataclass(frozen=True)
class ReferenceSet:
    """What scores are measured against."""

    protocol: dict
    data: dict  # prepare's card
    network: torch.nn.Module
    train: Real
    heldout: Real
    train_images: dataset.Dataset
    measured: dict[str, np.ndarray]
    named: bool = True  # whether the extractor's classes, where it has some, are those of the real images

    @property
    def device(self) -> str:
        """Where images are looked at: cpu or cuda."""
        return protocol.device(self.protocol)

    @property
    def has_score(self) -> bool:
        """Whether the extractor's logits are classes, so that an Inception Score means something."""
        return choices.module("extractors", self.protocol["name"]).HAS_SCORE

    @cached_property
    def statistics(self) -> frechet.Statistics:
        """Of the training features."""
        return frechet.Statistics(self.measured["train.mean"], self.measured["train.covariance"], len(self.train.features))

    def radii(self, neighborhood: int) -> np.ndarray:
        """The distance (N,) of each training image's features to the k-th nearest."""
        if neighborhood > (most := self.measured["train.neighbours"].shape[1]):
            raise ValueError(f"evaluate.neighborhood is {neighborhood}, and the reference keeps {most} neighbours of each image; lower it")
        return self.measured["train.neighbours"][:, neighborhood - 1]

    def nearest(self, pixels: np.ndarray, apart_from: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """`nearest_images` among the training images."""
        return nearest_images(pixels, self.train_images, apart_from)

    @property
    def heldout_nearest(self) -> dict[str, np.ndarray]:
        """`distance` and `own` of held-out images, (n,) each."""
        return {name: self.measured[f"heldout.{name}"] for name in ("distance", "own")}


def read(root: Path = artifacts.ROOT) -> ReferenceSet:
    """What the reference stage wrote, here or below the artifacts of another checkout."""
    folder = root / "reference"
    rules, data = protocol.read(folder), artifacts.card_of("prepare", root)
    splits = {split: dataset.read(root / "prepare", split, data["classes"]) for split in dataset.SPLITS}
    found = protocol.real_features(folder)
    real = {split: Real(found[f"{split}.features"], found[f"{split}.logits"], splits[split].labels) for split in dataset.SPLITS}
    kept = artifacts.read_tensors(folder / "statistics.safetensors", safetensors.numpy.load_file)
    return ReferenceSet(rules, data, protocol.extractor(rules, data, folder), real["train"], real["heldout"], splits["train"], kept)
