"""Generators that make items from a latent space: the network of a card behind that space's learned layer, and its samples."""

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from .. import choices
from ..card import Card
from ..play import Architecture, Space

Sampler = Callable[[int, np.ndarray], Tensor]  # (stream, indices (N,)) -> (N, Z[+E])


class Latent(Protocol):
    """A Config of gan/latents."""

    @property
    def size(self) -> int:
        """Numbers that the network gets."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """A generator's network that takes draws of its own beside the latents."""

    def draws(self, sample: Sampler, stream: int, indices: np.ndarray) -> Tensor:
        """(N, E) of the indices (N,) of a stream; `sample` gives latents that the network takes."""
        ...


@runtime_checkable
class Styled(Drawing, Protocol):
    """One that makes styles of its latents, and images (N, C, H, W) of styles."""

    def to_styles(self, latents: Tensor, labels_N: Tensor | None = None) -> Tensor:
        """Latents (N, Z[+E]), labels (N,) -> (N, L, S)."""
        ...

    def from_styles(self, styles: Tensor, latents: Tensor) -> Tensor:
        """Styles (N, L, S) of latents (N, Z[+E]) -> images (N, C, H, W)."""
        ...


def generator(card: Card) -> nn.Module:
    """An untrained generator of the card's network, latent, classes and shape."""
    config, latent = choices.config("networks", card.network), cast(Latent, choices.config("latents", card.latent))
    architecture: Architecture = choices.module("networks", card.network["name"])
    network = architecture.Generator(config, latent_size=latent.size, num_classes=card.num_classes, shape=card.shape)
    room = choices.module("latents", card.latent["name"])
    if not hasattr(room, "Layer"):
        return network
    embedded = StyledEmbedded if isinstance(network, Styled) else Embedded
    return embedded(room.Layer(latent), network, room.raw_size(latent))


def sampler(card: Card, network: nn.Module) -> Sampler:
    """(stream, indices) -> what `network` makes images of, (N, Z[+E]): latents of the card's space and its own draws (noise)."""
    space: Space = choices.module("latents", card.latent["name"])
    config = choices.config("latents", card.latent)

    def sample(stream: int, indices: np.ndarray) -> Tensor:
        return space.sample(config, stream, indices)

    if not isinstance(network, Drawing):
        return sample

    def with_draws(stream: int, indices: np.ndarray) -> Tensor:
        return torch.cat([sample(stream, indices), network.draws(sample, stream, indices)], dim=1)

    return with_draws


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

    @property
    def styled(self) -> Styled:
        """The network itself, which `generator` has looked at."""
        return cast(Styled, self.network)

    def draws(self, sample: Sampler, stream: int, indices: np.ndarray) -> Tensor:
        device = next(self.network.parameters()).device
        with torch.no_grad():
            return self.styled.draws(lambda key, places: self.layer(sample(key, places).to(device)).cpu(), stream, indices)

    def to_styles(self, latents: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.styled.to_styles(self.embedded(latents), labels_N)

    def from_styles(self, styles: Tensor, latents: Tensor) -> Tensor:
        return self.styled.from_styles(styles, self.embedded(latents))
