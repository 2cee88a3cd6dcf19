"""Generators that make items from a latent space: the network of a card behind that space's learned layer, and its samples."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from .. import choices
from ..card import Card

Sampler = Callable[[int, np.ndarray], Tensor]  # (stream, indices (N,)) -> (N, Z[+E])


def generator(card: Card) -> nn.Module:
    """An untrained generator of the card's network, latent, classes and shape."""
    config, latent = choices.config("networks", card.network), choices.config("latents", card.latent)
    network = choices.module("networks", card.network["name"]).Generator(
        config, latent_size=latent.size, num_classes=card.num_classes, shape=card.shape
    )
    room = choices.module("latents", card.latent["name"])
    if not hasattr(room, "Layer"):
        return network
    embedded = StyledEmbedded if hasattr(network, "to_styles") else Embedded
    return embedded(room.Layer(latent), network, room.raw_size(latent))


def sampler(card: Card, network: nn.Module) -> Sampler:
    """(stream, indices) -> what `network` makes images of, (N, Z[+E]): latents of the card's space and its own draws (noise)."""
    module, config = choices.module("latents", card.latent["name"]), choices.config("latents", card.latent)

    def sample(stream: int, indices: np.ndarray) -> Tensor:
        return module.sample(config, stream, indices)

    def with_draws(stream: int, indices: np.ndarray) -> Tensor:
        return torch.cat([sample(stream, indices), network.draws(sample, stream, indices)], dim=1)

    return with_draws if hasattr(network, "draws") else sample


class Embedded(nn.Module):
    """A generator's network behind the learned layer of its latent space: raw samples (N, S[+E]) -> images (N, C, H, W)."""

    def __init__(self, layer: nn.Module, network: nn.Module, raw_size: int):
        super().__init__()
        self.layer, self.network, self.raw_size = layer, network, raw_size

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.network(self.embedded(latents_NZ), labels_N)

    def embedded(self, latents_NZ: Tensor) -> Tensor:
        """The latents that the network takes: (N, Z[+E])."""
        return torch.cat([self.layer(latents_NZ[:, : self.raw_size]), latents_NZ[:, self.raw_size :]], dim=1)


class StyledEmbedded(Embedded):
    """The same for a network with styles and draws of its own. A second style's latents teach the layer nothing."""

    def draws(self, sample: Sampler, stream: int, indices: np.ndarray) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return self.network.draws(lambda key, places: self.layer(sample(key, places).to(device)).cpu(), stream, indices)

    def to_styles(self, latents_NZ: Tensor, labels_N: Tensor | None) -> Tensor:
        return self.network.to_styles(self.embedded(latents_NZ), labels_N)

    def from_styles(self, styles: Tensor, latents_NZ: Tensor) -> Tensor:
        return self.network.from_styles(styles, self.embedded(latents_NZ))
