"""Images from a latent space: a generator against a discriminator (Goodfellow et al. 2014, arXiv:1406.2661)."""

import numpy as np
import torch
from torch import Tensor, nn

from .. import choices, streams
from ..card import Card
from ..play import Architecture, Batch, Data, Draws, Kept, Moment, Objective, Players, Terms, Turn
from . import _adversarial, _latent

ITEM = "image"
GIVEN = "seed"
PLAYERS: dict[str, Kept] = {"generator": "averaged", "discriminator": "last"}
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


class Task:
    """The game of a card: its network, latent space, classes and shape."""

    def __init__(self, config: Config, card: Card):
        self.config, self.card = config, card

    def player(self, name: str) -> nn.Module:
        """An untrained network: "generator" or "discriminator"."""
        if name == "generator":
            return _latent.generator(self.card)
        config = choices.config("networks", self.card.network)
        architecture: Architecture = choices.module("networks", self.card.network["name"])
        return architecture.Discriminator(config, num_classes=self.card.num_classes, shape=self.card.shape)

    def turns(self, objective: Objective) -> tuple[Turn, ...]:
        """The discriminator moves, then the generator, each over a batch of its own."""

        def discriminate(players: Players, batch: Batch, moment: Moment) -> Terms:
            judge = _adversarial.Judge(players["discriminator"], objective, moment, batch)
            return _adversarial.discriminator_terms(judge, lambda: players["generator"](batch["latents"], batch.get("labels")))

        def generate(players: Players, batch: Batch, moment: Moment) -> Terms:
            judge = _adversarial.Judge(players["discriminator"], objective, moment, batch)
            return _adversarial.generator_terms(judge, lambda styled: _made(players["generator"], batch, styled))

        return Turn("discriminator", ("discriminator",), discriminate), Turn("generator", ("generator",), generate)

    def batch(self, turn: str, data: Data, draws: Draws, players: Players) -> Batch:
        """images (N, C, H, W), latents (N, Z[+E]) to be judged beside them and, where classes are used, labels (N,)."""
        numbers = draws.numbers()
        latents = _latent.sampler(self.card, players["generator"])(draws.key("latents"), draws.indices)
        tensors = {"images": data.items(numbers), "latents": latents}
        if data.labels is not None:
            tensors["labels"] = torch.from_numpy(data.labels[numbers])
        return Batch(tensors, draws)

    def given(self, players: Players, seeds: np.ndarray, labels: np.ndarray | None) -> dict[str, Tensor]:
        """latents (N, Z[+E]) and, where classes are used, labels (N,)."""
        latents = _latent.sampler(self.card, players["generator"])(streams.key(0, "image/latent"), seeds)
        return {"latents": latents} | ({} if labels is None else {"labels": torch.from_numpy(labels)})

    def make(self, players: Players, given: dict[str, Tensor]) -> Tensor:
        """Images (N, C, H, W) in [-1, +1]."""
        return players["generator"](given["latents"], given.get("labels"))


def _made(generator: nn.Module, batch: Batch, styled: bool) -> tuple[Tensor, Tensor | None]:
    """Generated images and what a generator's penalty differentiates them by: styles, or the latents themselves."""
    if not styled:
        return generator(batch["latents"], batch.get("labels")), None
    if isinstance(generator, _latent.Styled):
        styles = generator.to_styles(batch["latents"], batch.get("labels"))
        return generator.from_styles(styles, batch["latents"]), styles
    latents = batch["latents"].detach().requires_grad_()
    return generator(latents, batch.get("labels")), latents
