"""Products that were registered with code of before, opened by that code and used as those of today are."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan import streams
from gan.card import Card
from gan.generator import Discriminator, Generator


class Older(Generator):
    """A product whose card was no Card: its own networks and its own game, and so its own bytes."""

    def __init__(self, older: Any, where: str):
        super().__init__(Card.of(older.card, where), older.networks, older.task)


class Untold(Generator):
    """A product of code which knew no tasks: its own network and latents."""

    def __init__(self, older: Any, where: str):
        super().__init__(Card.of(older.card, where), {"generator": older.network})
        self._latents = older.latents

    def given(self, seeds: np.ndarray, labels: np.ndarray | None) -> dict[str, Tensor]:
        latents = self._latents(streams.key(0, "image/latent"), seeds)
        return {"latents": latents} | ({} if labels is None else {"labels": torch.from_numpy(labels)})


def generator(older: Any, where: str) -> Generator:
    """What the code of a version opened, as today's is used. `where`: the card that says what it is."""
    if isinstance(getattr(older, "card", None), dict):
        return Older(older, where) if hasattr(older, "given") else Untold(older, where)
    return older


def discriminator(older: Any, where: str) -> Discriminator:
    """Likewise."""
    return Discriminator(Card.of(older.card, where), older.network) if isinstance(older.card, dict) else older
