"""DCGAN: transposed convolutions and batch norm (Radford et al. 2015, arXiv:1511.06434).

Any even height and width from 8 up. With classes, the generator gets the label concatenated to its latent (Mirza and
Osindero 2014, arXiv:1411.1784), the discriminator by projection (Miyato and Koyama 2018, arXiv:1802.05637), by one plane
a class joined to the image (Mirza and Osindero), or not at all, and then it tells the classes apart itself (auxiliary;
Odena et al. 2017, arXiv:1610.09585). Weights start as PyTorch's layers do, not from the paper's N(0, 0.02²), which leaves
the projection's signal too small to be learnt soon (docs/log.md). There are features up to half the image's size, and
there self-attention (not in the paper) can be had.
"""

import itertools
import math
from typing import Literal

import pydantic
from torch import Tensor, nn

from .. import choices
from ._attention import Resolutions, SelfAttention, attended
from ._layers import Auxiliary, Projection, pyramid, with_class, with_class_planes

SMALL: choices.Section = {"generator_width": 8, "discriminator_width": 8}


class Config(choices.Config):
    """Widths are channels at half resolution, doubled at each further halving."""

    generator_width: int = pydantic.Field(ge=1, strict=True)
    discriminator_width: int = pydantic.Field(ge=1, strict=True)
    generator_norm: Literal["batch", "none"] = "batch"
    discriminator_norm: Literal["batch", "none"] = "batch"
    label: Literal["projection", "concatenation", "auxiliary"] = "projection"
    attention: Resolutions = []


def defaults(fit: choices.Fit) -> choices.Section:
    """The digits recipe's widths as powers of two, halved where the side doubles, so that 4×4 stays as wide.

    No batch norm in the discriminator: gradient penalties are per image (Gulrajani et al. 2017, sec. 4).
    """
    widths = {"generator_width": 96, "discriminator_width": 64}  # at 16 pixels a side
    halved = {key: max(16, 2 ** round(math.log2(width * 16 / max(fit.side, 16)))) for key, width in widths.items()}
    return halved | {"discriminator_norm": "none"}


def _norm(name: str, channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels) if name == "batch" else nn.Identity()


class Generator(nn.Module):
    """Latents (N, Z), labels (N,) -> images (N, C, H, W) in [-1, +1]."""

    def __init__(self, config: Config, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = pyramid(shape)
        levels = attended(config.attention, sizes[:-1])
        widths = [config.generator_width * 2**level for level in reversed(range(len(sizes) - 1))]
        self.num_classes, self.base = num_classes, (widths[0], *sizes[0])
        self.linear = nn.Linear(latent_size + num_classes, math.prod(self.base), bias=False)
        layers: list[nn.Module] = [_norm(config.generator_norm, widths[0]), nn.ReLU()]
        layers += [SelfAttention(widths[0])] if 0 in levels else []
        for level, (width, next_width) in enumerate(itertools.pairwise(widths), start=1):
            layers += [
                nn.ConvTranspose2d(width, next_width, 4, 2, 1, bias=config.generator_norm == "none"),
                _norm(config.generator_norm, next_width),
                nn.ReLU(),
            ]
            layers += [SelfAttention(next_width)] if level in levels else []
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], shape[0], 4, 2, 1), nn.Tanh())

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None = None) -> Tensor:
        features = self.linear(with_class(latents_NZ, labels_N, self.num_classes))
        return self.layers(features.unflatten(1, self.base))


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> logits (N,); (N, 1 + K) with class logits where label is auxiliary."""

    def __init__(self, config: Config, *, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = pyramid(shape)
        levels = attended(config.attention, sizes[:-1])
        widths = [config.discriminator_width * 2**level for level in range(len(sizes) - 1)]
        self.num_planes = num_classes if config.label == "concatenation" else 0
        layers: list[nn.Module] = [nn.Conv2d(shape[0] + self.num_planes, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        layers += [SelfAttention(widths[0])] if len(widths) - 1 in levels else []
        for level, (width, next_width) in zip(reversed(range(len(widths) - 1)), itertools.pairwise(widths), strict=True):
            layers += [
                nn.Conv2d(width, next_width, 4, 2, 1, bias=config.discriminator_norm == "none"),
                _norm(config.discriminator_norm, next_width),
                nn.LeakyReLU(0.2),
            ]
            layers += [SelfAttention(next_width)] if level in levels else []
        self.layers = nn.Sequential(*layers, nn.Flatten())
        head = Auxiliary if config.label == "auxiliary" else Projection
        self.projection = head(widths[-1] * math.prod(sizes[0]), num_classes - self.num_planes)

    def forward(self, images_NCHW: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.projection(self.layers(with_class_planes(images_NCHW, labels_N, self.num_planes)), labels_N)
