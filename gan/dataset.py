"""The one prepared format: shards of uint8 images, a manifest with a row an input, a card. Write and read.

A split is a list of shards `<split>-b<bits>.npy`, (n, C, H, W) uint8, with `<split>-labels.npy`, (N,) int64 (-1: none).
Images stand in the order of their content hash; a shard holds those whose hash starts with its bits. Shards are
memory-mapped, so a data set may be larger than memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

FORMAT, VERSION = "ganline-dataset", 2
SPLITS = ("train", "heldout")


def shard_name(split: str, bits: str) -> str:
    """("train", "0110") -> "train-b0110.npy"."""
    return f"{split}-b{bits}.npy"


def write_shard(path: Path, shape: tuple[int, int, int], count: int, parts: Iterable[np.ndarray]) -> None:
    """Write `count` images (C, H, W) uint8 that come in parts (n, C, H, W): never a whole shard in memory."""
    with open(path, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, np.uint8).data)


def write_labels(folder: Path, split: str, labels: np.ndarray) -> None:
    """Write a split's labels (N,), in the order of its images."""
    with open(folder / f"{split}-labels.npy", "wb") as file:
        np.lib.format.write_array(file, np.asarray(labels, np.int64), version=(1, 0), allow_pickle=False)


@dataclass(frozen=True)
class Dataset:
    """One split: images by number, as if in memory."""

    shards: tuple[np.ndarray, ...]  # each (n, C, H, W) uint8, memory-mapped
    labels: np.ndarray  # (N,) int64, -1 where there is none
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(shard) for shard in self.shards])

    def pixels(self, numbers: np.ndarray) -> np.ndarray:
        """Images by number (n,): (n, C, H, W) uint8."""
        numbers = np.asarray(numbers, np.int64)
        shards = np.searchsorted(self._ends, numbers, side="right")
        images = np.empty((len(numbers), *self.shards[0].shape[1:]), np.uint8)
        for shard in np.unique(shards):
            here = shards == shard
            images[here] = self.shards[shard][numbers[here] - (self._ends[shard] - len(self.shards[shard]))]
        return images

    def batches(self, batch_size: int) -> Iterator[np.ndarray]:
        """All images in order: (<= batch_size, C, H, W) uint8."""
        for start in range(0, len(self), batch_size):
            yield self.pixels(np.arange(start, min(start + batch_size, len(self))))


def shard(path: Path) -> np.ndarray:
    """A shard's images (n, C, H, W) uint8, memory-mapped."""
    return _array(path, mmap_mode="r")


def _array(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode, allow_pickle=False)
        reason = None if isinstance(array, np.ndarray) else "it is an archive"
    except (EOFError, ValueError) as error:  # numpy's own words name no file
        reason = str(error)
    if reason:
        raise ValueError(f"{path} is no array of numbers ({reason}); the prepare stage writes it: dvc repro prepare")
    return array


def shards(folder: Path, split: str) -> Iterator[np.ndarray]:
    """A split's shards, in the order of its images: pages of one that was let go count as memory no more."""
    return map(shard, sorted(folder.glob(f"{split}-b*.npy")))


def read(folder: Path, split: str, classes: list[str]) -> Dataset:
    """Open one split of a prepared folder."""
    files = tuple(shards(folder, split))
    if not files:
        raise FileNotFoundError(f"{folder} has no {split} shards; the prepare stage writes them: dvc repro prepare")
    return Dataset(files, _array(folder / f"{split}-labels.npy"), tuple(classes))
