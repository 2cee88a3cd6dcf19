"""The one prepared format: shards of uint8 images, a manifest with a row an input file, a card. Write and read.

A split is a list of shards `<split>-<number>.npy`, (N, C, H, W) uint8, with `<split>-labels.npy`, (N,) int64 (-1: none).
Shards are memory-mapped, so a data set may be larger than memory. Images stand in the order of their content hash.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "heldout")


def content_hash(pixels: np.ndarray) -> str:
    """SHA-256 of prepared pixels (C, H, W) uint8 with their shape: what an image is, whatever its file was."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def split_of(content: str, heldout: float) -> str:
    """The split of an image by its content hash alone: adding images moves no other image."""
    return "heldout" if int(content[:13], 16) / 16**13 < heldout else "train"


def write_split(folder: Path, split: str, images: list[np.ndarray], labels: list[int], shard_size: int) -> None:
    """Write a split's shards and labels; the same input gives the same bytes."""
    for number, start in enumerate(range(0, len(images), shard_size)):
        _write_array(folder / f"{split}-{number:05d}.npy", np.stack(images[start : start + shard_size]))
    _write_array(folder / f"{split}-labels.npy", np.asarray(labels, np.int64))


def _write_array(path: Path, array: np.ndarray) -> None:
    np.lib.format.write_array((buffer := io.BytesIO()), array, version=(1, 0), allow_pickle=False)
    path.write_bytes(buffer.getvalue())


@dataclass(frozen=True)
class Dataset:
    """One split: images by number, as if in memory."""

    shards: tuple[np.ndarray, ...]  # each (n, C, H, W) uint8, memory-mapped
    labels: np.ndarray  # (N,) int64, -1 where there is none
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, numbers: np.ndarray) -> np.ndarray:
        """Images by number (n,): (n, C, H, W) uint8."""
        numbers = np.asarray(numbers, np.int64)
        size = len(self.shards[0])  # every shard but the last is of this size
        found = np.empty((len(numbers), *self.shards[0].shape[1:]), np.uint8)
        for shard in np.unique(numbers // size):
            here = numbers // size == shard
            found[here] = self.shards[shard][numbers[here] % size]
        return found

    def batches(self, batch_size: int) -> Iterator[np.ndarray]:
        """All images in order: (<= batch_size, C, H, W) uint8."""
        for start in range(0, len(self), batch_size):
            yield self.pixels(np.arange(start, min(start + batch_size, len(self))))


def read(folder: Path, split: str, classes: list[str]) -> Dataset:
    """Open one split of a prepared folder."""
    shards = sorted(folder.glob(f"{split}-[0-9]*.npy"))
    if not shards:
        raise FileNotFoundError(f"{folder} has no {split} shards; the prepare stage writes them: dvc repro prepare")
    arrays = tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in shards)
    return Dataset(arrays, np.load(folder / f"{split}-labels.npy", allow_pickle=False), tuple(classes))
