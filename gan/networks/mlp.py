"""Fully connected networks, for points and images of any shape (Goodfellow et al. 2014, arXiv:1406.2661).

With classes, the label's one-hot code is concatenated in both (Mirza and Osindero 2014, arXiv:1411.1784).
"""

import itertools
import math

from torch import Tensor, nn

from .. import choices
from ._layers import Widths, with_class

SMALL: choices.Section = {"generator_widths": [16], "discriminator_widths": [16]}
OWN = ("generator_widths", "discriminator_widths")  # of layers here, of resolutions elsewhere


class Config(choices.Config):
    """Widths of the hidden layers, from a network's input to its output."""

    generator_widths: Widths
    discriminator_widths: Widths


def defaults(fit: choices.Fit) -> choices.Section:
    """Two hidden layers about as wide as an image has numbers, between 128 and 512."""
    width = min(max(2 ** round(math.log2(math.prod(fit.shape))), 128), 512)
    return {"generator_widths": [width, width], "discriminator_widths": [width, width]}


def _layers(inputs: int, widths: list[int], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([inputs, *widths]):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Generator(nn.Module):
    """Latents (N, Z), labels (N,) -> images (N, C, H, W), around [-1, +1], not bounded by the network."""

    def __init__(self, config: Config, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        self.num_classes, self.shape = num_classes, tuple(shape)
        self.layers = _layers(latent_size + num_classes, config.generator_widths, math.prod(shape))

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.layers(with_class(latents_NZ, labels_N, self.num_classes)).unflatten(1, self.shape)


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> logits (N,)."""

    def __init__(self, config: Config, *, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        self.num_classes = num_classes
        self.layers = _layers(math.prod(shape) + num_classes, config.discriminator_widths, 1)

    def forward(self, images_NCHW: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.layers(with_class(images_NCHW.flatten(1), labels_N, self.num_classes))[:, 0]
