"""R3GAN: a ResNeXt-like generator and discriminator without normalisation (Huang et al. 2024, arXiv:2501.05441, sec. 4).

A block is 1×1, grouped 3×3, 1×1 with an identity skip; its weights are scaled after Fixup (Zhang et al. 2019,
arXiv:1901.09321). Resampling is by the binomial filter [1, 2, 1]. Any even height and width from 8 up, 1 to 4 channels.
Self-attention (not in the paper) stands after the blocks of the resolutions it is asked for.
"""

import math

import pydantic
import torch
from torch import Tensor, nn

from .. import choices
from ._attention import Resolutions, SelfAttention, attended
from ._layers import given, one_hot, pyramid, widths_of_levels

SMALL: choices.Section = {"generator_widths": [8], "discriminator_widths": [8], "blocks": 1, "group_channels": 4}
_SLOPE = 0.2  # of the leaky ReLU
_GAIN = (2 / (1 + _SLOPE**2)) ** 0.5  # that keeps the variance through it (He et al. 2015, arXiv:1502.01852)


class Config(choices.Config):
    """Widths are channels from the lowest resolution up; the last is repeated. A group has `group_channels` channels."""

    generator_widths: list[int] = pydantic.Field(min_length=1)
    discriminator_widths: list[int] = pydantic.Field(min_length=1)
    blocks: int = pydantic.Field(ge=1, strict=True, default=2)
    expansion: int = pydantic.Field(ge=1, strict=True, default=2)
    group_channels: int = pydantic.Field(ge=1, strict=True, default=16)
    class_size: int = pydantic.Field(ge=1, strict=True, default=64)
    attention: Resolutions = []

    @pydantic.model_validator(mode="after")
    def groups_fit(self) -> "Config":
        for width in (*self.generator_widths, *self.discriminator_widths):
            if width < 1 or width * self.expansion % self.group_channels:
                raise ValueError(f"width {width} × expansion must be a positive multiple of group_channels")
        return self


def defaults(fit: choices.Fit) -> choices.Section:
    """On a GPU a third of the paper's 768; on a CPU the widths of the recipe stacked-mnist, one block each."""
    widths = [256] if fit.device == "cuda" else [48, 48, 32, 16][: len(pyramid(fit.shape))]
    return {"generator_widths": widths, "discriminator_widths": widths, "blocks": 2 if fit.device == "cuda" else 1}


def _convolution(inputs: int, outputs: int, size: int, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """A convolution without bias; weights from N(0, gain² / fan-in)."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups, bias=False)
    nn.init.normal_(layer.weight, 0.0, gain / (inputs // groups * size**2) ** 0.5)
    return layer


class BiasedActivation(nn.Module):
    """A bias per channel, then leaky ReLU: the only bias of a block."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features_NCHW: Tensor) -> Tensor:
        return nn.functional.leaky_relu(features_NCHW + self.bias[:, None, None], _SLOPE)


class Block(nn.Module):
    """x + 1×1(act(grouped 3×3(act(1×1(x))))), which starts as the identity."""

    def __init__(self, channels: int, config: Config, num_blocks: int):
        super().__init__()
        inner = channels * config.expansion
        gain = _GAIN * num_blocks**-0.25
        self.residual = nn.Sequential(
            _convolution(channels, inner, 1, gain=gain),
            BiasedActivation(inner),
            _convolution(inner, inner, 3, groups=inner // config.group_channels, gain=gain),
            BiasedActivation(inner),
            _convolution(inner, channels, 1, gain=0.0),
        )

    def forward(self, features_NCHW: Tensor) -> Tensor:
        return features_NCHW + self.residual(features_NCHW)


class Resample(nn.Module):
    """Twice or half the size by [1, 2, 1] a side; a 1×1 convolution where the width changes, on the smaller side."""

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, up: bool):
        super().__init__()
        self.up = up
        self.width = _convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        taps = torch.tensor([1.0, 2.0, 1.0]) / (2 if up else 4)
        self.register_buffer("taps", torch.outer(taps, taps)[None, None], persistent=False)

    def forward(self, features_NCHW: Tensor) -> Tensor:
        channels = features_NCHW.shape[1]
        if self.up:
            features_NCHW = self.width(features_NCHW)
            channels = features_NCHW.shape[1]
            kernel = self.taps.to(features_NCHW.dtype).expand(channels, 1, 3, 3)
            return nn.functional.conv_transpose2d(features_NCHW, kernel, stride=2, padding=1, output_padding=1, groups=channels)
        kernel = self.taps.to(features_NCHW.dtype).expand(channels, 1, 3, 3)
        return self.width(nn.functional.conv2d(features_NCHW, kernel, stride=2, padding=1, groups=channels))


class Generator(nn.Module):
    """Latents (N, Z), labels (N,) -> images (N, C, H, W), around [-1, +1], not bounded by the network."""

    def __init__(self, config: Config, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = pyramid(shape)
        widths = widths_of_levels(config.generator_widths, len(sizes))
        levels, num_blocks = attended(config.attention, sizes), config.blocks * len(sizes)
        self.num_classes = num_classes
        self.embedding = nn.Linear(num_classes, config.class_size, bias=False) if num_classes else None
        self.modulation = nn.Linear(latent_size + (config.class_size if num_classes else 0), widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(widths[0], *sizes[0]))
        layers: list[nn.Module] = []
        for level, width in enumerate(widths):
            if level:
                layers.append(Resample(widths[level - 1], width, up=True))
            layers += [Block(width, config, num_blocks) for _ in range(config.blocks)]
            layers += [SelfAttention(width)] if level in levels else []
        self.layers = nn.Sequential(*layers, _convolution(widths[-1], shape[0], 1))
        nn.init.normal_(self.modulation.weight, 0.0, self.modulation.in_features**-0.5)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, 1.0)

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            codes = one_hot(labels_N, self.num_classes).to(latents_NZ.dtype)
            latents_NZ = torch.cat([latents_NZ, self.embedding(codes)], dim=1)
        return self.layers(self.basis * self.modulation(latents_NZ)[:, :, None, None])


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> logits (N,)."""

    def __init__(self, config: Config, *, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = pyramid(shape)[::-1]
        widths = widths_of_levels(config.discriminator_widths, len(sizes))[::-1]
        levels, num_blocks = attended(config.attention, sizes), config.blocks * len(sizes)
        layers: list[nn.Module] = [_convolution(shape[0], widths[0], 1)]
        for level, width in enumerate(widths):
            if level:
                layers.append(Resample(widths[level - 1], width, up=False))
            layers += [Block(width, config, num_blocks) for _ in range(config.blocks)]
            layers += [SelfAttention(width)] if level in levels else []
        self.layers = nn.Sequential(*layers)
        self.pool = nn.Conv2d(widths[-1], widths[-1], sizes[-1], groups=widths[-1], bias=False)  # depth-wise, to 1×1
        nn.init.normal_(self.pool.weight, 0.0, math.prod(sizes[-1]) ** -0.5)
        size = config.class_size if num_classes else 1
        self.linear = nn.Linear(widths[-1], size, bias=False)
        nn.init.normal_(self.linear.weight, 0.0, widths[-1] ** -0.5)
        self.embedding = nn.Embedding(num_classes, size) if num_classes else None

    def forward(self, images_NCHW: Tensor, labels_N: Tensor | None = None) -> Tensor:
        outputs = self.linear(self.pool(self.layers(images_NCHW)).flatten(1))
        if self.embedding is None:
            return outputs[:, 0]
        return (outputs * self.embedding(given(labels_N))).sum(dim=1) / outputs.shape[1] ** 0.5
