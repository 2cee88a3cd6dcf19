"""Which real images are seen when: a function of (seed, number of images seen), so that nothing needs to be saved."""

import numpy as np

from .. import streams


class Order:
    """An endless sequence of image numbers, a new permutation each epoch."""

    def __init__(self, size: int, seed: int, purpose: str):
        self.size, self.seed, self.purpose = size, seed, purpose
        self._epoch, self._permutation = -1, np.empty(0, np.int64)

    def numbers(self, first: int, count: int) -> np.ndarray:
        """The numbers (count,) at places first, first + 1, … of the sequence."""
        places = np.arange(first, first + count)
        return np.concatenate([self._of_epoch(epoch)[here % self.size] for epoch, here in _by_whole(places, self.size)])

    def _of_epoch(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            stream = streams.key(self.seed, f"{self.purpose}/{epoch}")
            self._epoch, self._permutation = epoch, streams.permutation(stream, self.size)
        return self._permutation


class BalancedOrder:
    """An endless sequence in which each of K classes comes once in any K places from a multiple of K on.

    Within a class the images come as in an Order, so the images of a rare class come more often.
    """

    def __init__(self, labels: np.ndarray, seed: int, purpose: str):
        present = np.unique(labels[labels >= 0])
        self.seed, self.purpose = seed, purpose
        self.members = [np.flatnonzero(labels == label) for label in present]
        self.orders = [Order(len(own), seed, f"{purpose}/class {label}") for own, label in zip(self.members, present, strict=True)]

    def numbers(self, first: int, count: int) -> np.ndarray:
        """The numbers (count,) at places first, first + 1, … of the sequence."""
        drawn = []
        for round_, places in _by_whole(np.arange(first, first + count), len(self.members)):
            turn = streams.permutation(streams.key(self.seed, f"{self.purpose}/round {round_}"), len(self.members))
            drawn += [self.members[own][self.orders[own].numbers(round_, 1)[0]] for own in turn[places % len(self.members)]]
        return np.array(drawn, np.int64)


def _by_whole(places: np.ndarray, size: int) -> list[tuple[int, np.ndarray]]:
    """Places by the epoch of `size` that they fall into, in order."""
    epochs = places // size
    return [(int(epoch), places[epochs == epoch]) for epoch in np.unique(epochs)]
