"""Residual networks: blocks of two 3×3 convolutions that double, halve or keep the size, and a GAN made of them.

Blocks, widths and initialisation after SNGAN (Miyato et al. 2018, arXiv:1802.05957, app. B.4, tables 3 to 5, fig. 8 to 10),
class-conditional after Miyato and Koyama 2018 (arXiv:1802.05637, app. A). `wrap` is put around each layer with weights,
such as spectral norm; the identity where nothing is wanted.
"""

import math
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from ._attention import SelfAttention
from ._layers import Auxiliary, ConditionalBatchNorm2d, Projection
from ._spectral import spectral_norm

Wrap = Callable[[nn.Module], nn.Module]
Resample = Literal["up", "down", "none"]


def plain(layer: nn.Module) -> nn.Module:
    """No wrap."""
    return layer


def initialised(layer: nn.Conv2d | nn.Linear, wrap: Wrap, gain: float = 1.0) -> nn.Module:
    """A convolution or linear layer with weights after Glorot and Bengio 2010 times `gain`, bias 0, wrapped."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return wrap(layer)


def doubled(features_NCHW: Tensor) -> Tensor:
    """Each pixel four times: (N, C, 2 H, 2 W). By copying, whose backward is a sum in a fixed order on every processor."""
    count, channels, height, width = features_NCHW.shape
    spread = features_NCHW[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
    return spread.reshape(count, channels, 2 * height, 2 * width)


def halved(features_NCHW: Tensor) -> Tensor:
    """Means of 2×2 pixels: (N, C, H / 2, W / 2)."""
    return nn.functional.avg_pool2d(features_NCHW, 2)


class Block(nn.Module):
    """skip(x) + 3×3(act(norm(3×3(act(norm(x)))))), act being ReLU: (N, C, H, W), labels (N,) -> (N, C', H', W').

    "up" doubles the size before the first convolution, "down" halves it after the second. The skip is a 1×1 convolution, on
    the smaller side, where size or width change. `num_classes` None: no norm, else conditional batch norm (plain for 0).
    `first`: for images, which the first act and norm would spoil.
    """

    def __init__(self, inputs: int, outputs: int, resample: Resample, wrap: Wrap = plain, *,
                 num_classes: int | None = None, first: bool = False):  # fmt: skip
        super().__init__()
        inner = outputs if resample != "down" or first else inputs
        self.resample, self.first = resample, first
        self.norms = nn.ModuleList()
        if num_classes is not None:
            self.norms.extend(ConditionalBatchNorm2d(channels, num_classes) for channels in (inputs, inner))
        self.convolutions = nn.ModuleList(
            initialised(nn.Conv2d(*channels, 3, padding=1), wrap, 2**0.5) for channels in ((inputs, inner), (inner, outputs))
        )
        changes = resample != "none" or inputs != outputs
        self.skip = initialised(nn.Conv2d(inputs, outputs, 1), wrap) if changes else nn.Identity()

    def _act(self, place: int, features_NCHW: Tensor, labels_N: Tensor | None) -> Tensor:
        if self.norms:
            features_NCHW = self.norms[place](features_NCHW, labels_N)
        return nn.functional.relu(features_NCHW)

    def forward(self, features_NCHW: Tensor, labels_N: Tensor | None = None) -> Tensor:
        inside = features_NCHW if self.first else self._act(0, features_NCHW, labels_N)
        inside = self.convolutions[0](doubled(inside) if self.resample == "up" else inside)
        inside = self.convolutions[1](self._act(1, inside, labels_N))
        if self.resample == "down":
            return halved(inside) + self.skip(halved(features_NCHW))
        outside = self.skip(features_NCHW)
        return inside + (doubled(outside) if self.resample == "up" else outside)


class ResidualGenerator(nn.Module):
    """Latents (N, Z), labels (N,) -> images (N, C, H, W) in [-1, +1]; the label enters by conditional batch norm.

    `widths` and `sizes` are those of the resolutions from the lowest up; attention follows the blocks of `levels`.
    """

    def __init__(self, latent_size: int, num_classes: int, channels: int, sizes: list[tuple[int, int]], widths: list[int],
                 levels: frozenset[int], wrap: Wrap):  # fmt: skip
        super().__init__()
        self.base = (widths[0], *sizes[0])
        self.linear = initialised(nn.Linear(latent_size, math.prod(self.base)), wrap)
        self.layers = nn.ModuleList([SelfAttention(widths[0], wrap)] if 0 in levels else [])
        for level in range(1, len(sizes)):
            self.layers.append(Block(widths[level - 1], widths[level], "up", wrap, num_classes=num_classes))
            if level in levels:
                self.layers.append(SelfAttention(widths[level], wrap))
        last = initialised(nn.Conv2d(widths[-1], channels, 3, padding=1), wrap)
        self.image = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(), last, nn.Tanh())

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None = None) -> Tensor:
        features = self.linear(latents_NZ).unflatten(1, self.base)
        for layer in self.layers:
            features = layer(features, labels_N) if isinstance(layer, Block) else layer(features)
        return self.image(features)


class SpectralProjection(Projection):
    """`Projection` with both its weights spectrally normalised, the class term not divided by √D, as SNGAN has it."""

    def __init__(self, num_features: int, num_classes: int):
        super().__init__(num_features, num_classes)
        self.divisor = 1.0
        initialised(self.linear, spectral_norm)
        if self.embedding is not None:
            nn.init.xavier_uniform_(self.embedding.weight)
            spectral_norm(self.embedding)


class SpectralAuxiliary(Auxiliary):
    """`Auxiliary` with spectral norm, of the logit's weights and of the class logits' apart."""

    def __init__(self, num_features: int, num_classes: int):
        super().__init__(num_features, num_classes)
        initialised(self.linear, spectral_norm)
        initialised(self.classes, spectral_norm)


class ResidualDiscriminator(nn.Module):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> what `head` makes of features summed over pixels; with spectral norm.

    `widths` and `sizes` are those of the resolutions from the lowest up, the image's own, which has no features, left out:
    a block halves the size for each, a last one keeps it. Attention follows the blocks of `levels`.
    """

    def __init__(self, channels: int, widths: list[int], levels: frozenset[int], head: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(Block(channels, widths[-1], "down", spectral_norm, first=True))
        for level in reversed(range(len(widths))):
            if level < len(widths) - 1:
                self.layers.append(Block(widths[level + 1], widths[level], "down", spectral_norm))
            if level in levels:
                self.layers.append(SelfAttention(widths[level], spectral_norm))
        self.layers.append(Block(widths[0], widths[0], "none", spectral_norm))
        self.head = head

    def forward(self, images_NCHW: Tensor, labels_N: Tensor | None = None) -> Tensor:
        features_NCHW = nn.functional.relu(self.layers(images_NCHW))
        return self.head(features_NCHW.sum(dim=(2, 3)), labels_N)
