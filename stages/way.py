"""Images on the way from one seed to another, by the latent space's own interpolation."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gan import choices
from gan.generator import Generator


def with_latents(made: Generator, latents: Callable[[int, np.ndarray], Tensor]) -> Generator:
    """The same network, its latents (N, Z[+E]) of (stream, indices (N,)) had in another way."""
    other = copy.copy(made)
    other.latents = latents
    return other


def between(made: Generator, first: int, second: int, count: int) -> Generator:
    """The generator whose image i is the i-th of `count` >= 2 on the way; the ends are the two seeds' own.

    What a network draws besides latents (noise) is normal, and goes by normal's way.
    """
    room, config = choices.module("latents", made.card["latent"]["name"]), choices.config("latents", made.card["latent"])
    size = room.raw_size(config) if hasattr(room, "raw_size") else config.size
    normal = choices.module("latents", "normal")

    def latents(stream: int, places: np.ndarray) -> Tensor:
        start, end = made.latents(stream, np.array([first])), made.latents(stream, np.array([second]))

        def at(share: float) -> Tensor:
            noise = normal.interpolate(None, start[:, size:], end[:, size:], share)
            return torch.cat([room.interpolate(config, start[:, :size], end[:, :size], share), noise], dim=1)

        return torch.cat([at(int(place) / (count - 1)) for place in places])

    return with_latents(made, latents)
