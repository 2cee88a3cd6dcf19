"""StyleGAN2: a skip generator with styles and a residual discriminator (Karras et al. 2020, arXiv:1912.04958).

Any even height and width from 8 up. With classes, both map the label (StyleGAN2-ADA: Karras et al. 2020, arXiv:2006.06676),
the discriminator's logit being a projection on what it was mapped to. Besides its latent an image takes noise for each
pixel of each layer and, while training, a second latent for style mixing (Karras et al. 2019, arXiv:1812.04948, sec. 3.1):
`draws` gives them. Truncation is left out. The paper trains it with the non-saturating loss, R1, and path lengths.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from .. import choices, streams
from ._attention import Resolutions, SelfAttention, attended
from ._layers import Widths, pyramid, usual_widths, widths_of_levels
from ._styles import (
    EqualConvolution,
    EqualLinear,
    Mapping,
    MinibatchDeviation,
    ModulatedConvolution,
    activated,
    binomial,
    enlarged,
)

SMALL: choices.Section = {"generator_widths": [8], "discriminator_widths": [8], "style_size": 8, "mapping_layers": 2}


class Config(choices.Config):
    """Widths are channels from the lowest resolution up, the last repeated.

    `style_mixing`: share of images that take two styles while training. `deviation_group`: images whose standard deviation
    the discriminator sees (the paper's minibatch standard deviation); 1 shows it none.
    """

    generator_widths: Widths
    discriminator_widths: Widths
    style_size: int = pydantic.Field(ge=1, strict=True)
    mapping_layers: int = pydantic.Field(ge=1, strict=True, default=8)
    style_mixing: float = pydantic.Field(ge=0, le=1, default=0.9)
    deviation_group: int = pydantic.Field(ge=1, strict=True, default=4)
    attention: Resolutions = []


def defaults(fit: choices.Fit) -> choices.Section:
    """Up to 32 pixels a side two layers of mapping, as StyleGAN2-ADA has it for CIFAR-10."""
    cuda = fit.device == "cuda"
    return {
        "generator_widths": usual_widths(fit, 64, 256), "discriminator_widths": usual_widths(fit, 64, 256),
        "style_size": 256 if cuda else 64, "mapping_layers": 2 if fit.side <= 32 else 8,
    }  # fmt: skip


class Layer(nn.Module):
    """Modulated 3×3, noise with a learned strength, a bias, leaky ReLU (fig. 2c): (N, C, H, W) -> (N, C', H, W) or twice that."""

    def __init__(self, inputs: int, outputs: int, style_size: int, up: bool):
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, outputs, 3, style_size, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features_NCHW: Tensor, style_NS: Tensor, noise_N1HW: Tensor | None) -> Tensor:
        features_NCHW = self.convolution(features_NCHW, style_NS)
        if noise_N1HW is not None:
            features_NCHW = features_NCHW + (self.strength * noise_N1HW).to(features_NCHW.dtype)
        return activated(features_NCHW + self.bias.to(features_NCHW.dtype)[:, None, None])


class Level(nn.Module):
    """One resolution of the generator: its layers and what they add to the image (fig. 7b)."""

    def __init__(self, inputs: int | None, outputs: int, channels: int, style_size: int, attention: bool):
        super().__init__()
        self.layers = nn.ModuleList([] if inputs is None else [Layer(inputs, outputs, style_size, up=True)])
        self.layers.append(Layer(outputs, outputs, style_size, up=False))
        self.attention = SelfAttention(outputs) if attention else nn.Identity()
        self.image = ModulatedConvolution(outputs, channels, 1, style_size, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features_NCHW: Tensor, styles: list[Tensor], noises: list[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Features and `styles`, one (N, S) a layer and one for the image -> features, the image's part (N, C, H, W)."""
        for layer, style_NS, noise in zip(self.layers, styles[:-1], noises, strict=True):
            features_NCHW = layer(features_NCHW, style_NS, noise)
        features_NCHW = self.attention(features_NCHW)
        return features_NCHW, self.image(features_NCHW, styles[-1]) + self.bias[:, None, None]


@dataclass(frozen=True)
class _Mixing:
    """What styles are mixed by."""

    second: Tensor  # (N, Z)
    gate: Tensor  # (N,) in (0, 1): mixed where below style_mixing
    crossover: Tensor  # (N,) in (0, 1): where among the layers


@dataclass(frozen=True)
class _Inputs:
    """What a row of latents holds: the latent (N, Z) itself, then what `draws` gave; None where it was not given."""

    latents: Tensor
    noise: Tensor | None = None  # (N, numbers of all layers)
    mixing: _Mixing | None = None


class Generator(nn.Module):
    """Latents (N, Z) or, with draws, (N, Z + E), labels (N,) -> images (N, C, H, W), around [-1, +1], not bounded.

    Without draws an image has no noise and one style.
    """

    taps: Tensor

    def __init__(self, config: Config, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        self.config, self.latent_size, self.sizes = config, latent_size, pyramid(shape)
        widths = widths_of_levels(config.generator_widths, len(self.sizes))
        levels = attended(config.attention, self.sizes)
        self.mapping = Mapping(latent_size, num_classes, config.style_size, config.mapping_layers)
        self.base = nn.Parameter(torch.randn(widths[0], *self.sizes[0]))
        built = [
            Level(before, width, shape[0], config.style_size, number in levels)
            for number, (before, width) in enumerate(zip([None, *widths[:-1]], widths, strict=True))
        ]
        self.levels = nn.ModuleList(built)
        self.num_layers = [len(level.layers) for level in built]  # of each level
        self.noise_sizes = [size for size, number in zip(self.sizes, self.num_layers, strict=True) for _ in range(number)]
        self.num_noise = sum(height * width for height, width in self.noise_sizes)
        self.num_styles = len(self.noise_sizes) + 1  # a layer each, and the last image; the other images share the next layer's
        self.register_buffer("taps", binomial(), persistent=False)

    @property
    def mixes(self) -> bool:
        """Whether styles are mixed now."""
        return self.training and self.config.style_mixing > 0

    def draws(self, sample: Callable[[int, np.ndarray], Tensor], stream: int, indices: np.ndarray) -> Tensor:
        """What images (N,) of a stream take beyond their latents: (N, E), to be joined to them.

        Noise from N(0, 1) for each pixel of each layer; while training also a second latent, of which `sample` gives those
        that the network takes (N, Z), and a gate and a crossover in (0, 1).
        """
        parts = [torch.from_numpy(streams.normal(streams.key(stream, "style/noise"), indices, self.num_noise))]
        if self.mixes:
            second_NZ = sample(streams.key(stream, "style/second"), indices)
            mixing = torch.from_numpy(streams.uniform(streams.key(stream, "style/mixing"), indices, 2))
            parts += [second_NZ, mixing.to(second_NZ.device)]
        return torch.cat([part.to(parts[-1].device) for part in parts], dim=1)

    def _inputs(self, latents: Tensor) -> _Inputs:
        """The parts of latents (N, Z + E); ValueError where E is what `draws` gives neither now nor never."""
        lengths = [self.latent_size, self.num_noise, *([self.latent_size, 1, 1] if self.mixes else [])]
        if latents.shape[1] == self.latent_size:
            return _Inputs(latents)
        if latents.shape[1] != sum(lengths):
            raise ValueError(
                f"latents have {latents.shape[1]} numbers; this generator takes {self.latent_size}, or {sum(lengths)} with those "
                f"of its method draws, called in the same mode ({'training' if self.training else 'evaluation'})"
            )
        first, noise, *mixing = latents.split(lengths, dim=1)
        return _Inputs(first, noise, _Mixing(mixing[0], mixing[1][:, 0], mixing[2][:, 0]) if mixing else None)

    def to_styles(self, latents: Tensor, labels_N: Tensor | None = None) -> Tensor:
        """Latents (N, Z[+E]), labels (N,) -> a style for each layer (N, L, S), mixed where the draws say so."""
        inputs = self._inputs(latents)
        styles_NLS = self.mapping(inputs.latents, labels_N)[:, None].expand(-1, self.num_styles, -1)
        if (mixing := inputs.mixing) is None:
            return styles_NLS
        others_NLS = self.mapping(mixing.second, labels_N)[:, None].expand(-1, self.num_styles, -1)
        places_L = torch.arange(self.num_styles, device=latents.device)
        start_N = 1 + (mixing.crossover * (self.num_styles - 1)).floor().clamp(max=self.num_styles - 2)
        other_NL = (places_L >= start_N[:, None]) & (mixing.gate < self.config.style_mixing)[:, None]
        return torch.where(other_NL[:, :, None], others_NLS, styles_NLS)

    def from_styles(self, styles: Tensor, latents: Tensor) -> Tensor:
        """Styles (N, L, S) of latents (N, Z[+E]), which give the noise -> images (N, C, H, W)."""
        noises, of_layers = self._noises(self._inputs(latents).noise), list(styles.unbind(dim=1))
        features = self.base.expand(len(styles), -1, -1, -1)
        image: Tensor | None = None
        at = 0
        for level, number in zip(self.levels, self.num_layers, strict=True):
            until = at + number
            features, part = level(features, of_layers[at : until + 1], noises[at:until])
            image = part if image is None else enlarged(image, self.taps) + part
            at = until
        assert image is not None  # a pyramid has at least two levels
        return image

    def _noises(self, noise: Tensor | None) -> list[Tensor | None]:
        """(N, numbers) -> (N, 1, H, W) for each layer."""
        if noise is None:
            return [None] * len(self.noise_sizes)
        parts = noise.split([height * width for height, width in self.noise_sizes], dim=1)
        return [part.unflatten(1, (1, *size)) for part, size in zip(parts, self.noise_sizes, strict=True)]

    def forward(self, latents: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.from_styles(self.to_styles(latents, labels_N), latents)


class Halving(nn.Module):
    """A block of the residual discriminator (fig. 7c): (N, C, H, W) -> (N, C', H / 2, W / 2)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = EqualConvolution(inputs, inputs, 3)
        self.down = EqualConvolution(inputs, outputs, 3, down=True)
        self.skip = EqualConvolution(inputs, outputs, 1, down=True, bias=False)

    def forward(self, features_NCHW: Tensor) -> Tensor:
        inside = activated(self.down(activated(self.convolution(features_NCHW))))
        return (inside + self.skip(features_NCHW)) * 0.5**0.5


class Discriminator(nn.Module):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> logits (N,).

    It sees how much the images of a group differ, so an image's logit depends on the batch that it is judged in, in
    evaluation too: the same images in another order or number have other logits (not with `deviation_group` 1).
    """

    def __init__(self, config: Config, *, num_classes: int, shape: tuple[int, int, int]):
        super().__init__()
        sizes = pyramid(shape)
        widths = widths_of_levels(config.discriminator_widths, len(sizes))
        levels = attended(config.attention, sizes)
        self.image = EqualConvolution(shape[0], widths[-1], 1)
        layers: list[nn.Module] = []
        for level in reversed(range(len(sizes))):
            if level < len(sizes) - 1:
                layers.append(Halving(widths[level + 1], widths[level]))
            layers += [SelfAttention(widths[level])] if level in levels else []
        self.layers = nn.Sequential(*layers, MinibatchDeviation(config.deviation_group))
        self.convolution = EqualConvolution(widths[0] + 1, widths[0], 3)
        self.linear = EqualLinear(widths[0] * sizes[0][0] * sizes[0][1], widths[0])
        self.mapping = Mapping(0, num_classes, config.style_size, config.mapping_layers) if num_classes else None
        self.logit = EqualLinear(widths[0], config.style_size if num_classes else 1)

    def forward(self, images_NCHW: Tensor, labels_N: Tensor | None = None) -> Tensor:
        features = self.layers(activated(self.image(images_NCHW)))
        outputs = self.logit(activated(self.linear(activated(self.convolution(features)).flatten(1))))
        if self.mapping is None:
            return outputs[:, 0]
        return (outputs * self.mapping(outputs, labels_N)).sum(dim=1) / outputs.shape[1] ** 0.5
