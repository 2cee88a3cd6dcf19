"""Which real images are seen when: a function of (seed, number of images seen), so that nothing needs to be saved."""

from collections.abc import Callable

import numpy as np

from .. import streams

PixelsOf = Callable[[np.ndarray], np.ndarray]  # numbers (N,) -> (N, C, H, W) uint8


class Order:
    """An endless sequence of image numbers, a new permutation each epoch."""

    def __init__(self, size: int, seed: int, purpose: str):
        self.size, self.seed, self.purpose = size, seed, purpose
        self._epoch, self._permutation = -1, np.empty(0, np.int64)

    def numbers(self, first: int, count: int) -> np.ndarray:
        """The numbers (count,) at places first, first + 1, … of the sequence."""
        places = np.arange(first, first + count)
        return np.concatenate([self._of_epoch(epoch)[here % self.size] for epoch, here in self._by_epoch(places)])

    def _by_epoch(self, places: np.ndarray) -> list[tuple[int, np.ndarray]]:
        epochs = places // self.size
        return [(int(epoch), places[epochs == epoch]) for epoch in np.unique(epochs)]

    def _of_epoch(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            stream = streams.key(self.seed, f"{self.purpose}/{epoch}")
            self._epoch, self._permutation = epoch, streams.permutation(stream, self.size)
        return self._permutation
