"""Images and features that cost nothing: noise, and coarse colours."""

import numpy as np

from gan import streams
from stages import params


class Noise:
    """A source of images: uniform levels below `most`."""

    conditional, threads = True, 1

    def __init__(self, most: int):
        self.most = most

    def blocks(self, seeds, labels):
        for seed, label in zip(seeds, labels):
            levels = streams.integers(streams.key(int(label), "noise"), np.arange(192) + 192 * int(seed), self.most)
            yield levels.reshape(1, 3, 8, 8).astype(np.uint8)


def coarse():
    """An extractor: (N, C, H, W) uint8 -> (N, 4) means of quarters, and no classes."""
    import torch

    class Coarse(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("place", torch.empty(0))  # says on which device it lies

        def forward(self, pixels):
            means = pixels.float().reshape(len(pixels), 4, -1).mean(dim=2)
            return means, means[:, :0]

    return Coarse()


CONFIG = params.Evaluate(seed=1, threads=1, draws=4, isc_splits=2, kid_subsets=5, kid_subset_size=10, neighborhood=3, bootstrap=20)
