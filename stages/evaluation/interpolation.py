"""Images on the way from one seed to another, by the latent space's own interpolation."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan import choices
from gan.generator import Generator


def between(generator: Generator, first: int, second: int, count: int) -> Tensor:
    """Latents (count, Z[+E]) of `count` >= 2 images on the way; the ends are the two seeds' own.

    What a network draws besides latents (noise) is normal, and goes by normal's way.
    """
    room = choices.module("latents", generator.card.latent["name"])
    config: Any = choices.config("latents", generator.card.latent)  # of every latent space: it has a size
    size = room.raw_size(config) if hasattr(room, "raw_size") else config.size
    normal = choices.module("latents", "normal")
    start, end = (generator.given(np.array([seed], np.uint64), None)["latents"] for seed in (first, second))

    def at(share: float) -> Tensor:
        noise = normal.interpolate(None, start[:, size:], end[:, size:], share)
        return torch.cat([room.interpolate(config, start[:, :size], end[:, :size], share), noise], dim=1)

    return torch.cat([at(place / (count - 1)) for place in range(count)])
