"""Generators that were registered with code which knew no tasks, opened by that code and used as those of today are."""

import numpy as np
import torch
from torch import Tensor

from gan import streams
from gan.generator import Generator


class Older(Generator):
    """A product of before: its own network and latents, and so its own bytes."""

    def __init__(self, made):
        super().__init__(made.card, {"generator": made.network})
        self._latents = made.latents

    def given(self, seeds: np.ndarray, labels: np.ndarray | None) -> dict[str, Tensor]:
        latents = self._latents(streams.key(0, "image/latent"), seeds)
        return {"latents": latents} | ({} if labels is None else {"labels": torch.from_numpy(labels)})
