"""Layers of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): equalised, modulated, with binomial resampling.

All in operations whose second derivatives exist and whose bits repeat, on every processor.
"""

import torch
from torch import Tensor, nn

from ._layers import with_class

_SLOPE = 0.2  # of the leaky ReLU
_GAIN = 2**0.5  # that keeps the variance through it, nearly
_EPSILON = 1e-8


def activated(features: Tensor) -> Tensor:
    """Leaky ReLU times √2."""
    return nn.functional.leaky_relu(features, _SLOPE) * _GAIN


def normalised(latents_NZ: Tensor) -> Tensor:
    """Latents (N, Z) with mean square 1 each (Karras et al. 2018, arXiv:1710.10196, sec. 4.2)."""
    return latents_NZ * (latents_NZ.square().mean(dim=1, keepdim=True) + _EPSILON).rsqrt()


class EqualLinear(nn.Module):
    """A linear layer with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, sec. 4.1): (N, D) -> (N, D').

    The parameter is N(0, 1 / lr²) and is multiplied by lr / √D when used, so that it moves `lr` times as fast as others do.
    """

    def __init__(self, inputs: int, outputs: int, *, lr: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.gain, self.lr = lr * inputs**-0.5, lr
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))

    def forward(self, features_ND: Tensor) -> Tensor:
        return nn.functional.linear(features_ND, self.weight * self.gain, self.bias * self.lr)


class EqualConvolution(nn.Module):
    """A convolution with an equalised learning rate: (N, C, H, W) -> (N, C', H, W), or half the size after [1, 3, 3, 1]."""

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, *, down: bool = False, bias: bool = True):
        super().__init__()
        self.size, self.down, self.gain = size, down, (inputs * size**2) ** -0.5
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("taps", binomial(), persistent=False)

    def forward(self, features_NCHW: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if not self.down:
            return nn.functional.conv2d(features_NCHW, weight, self.bias, padding=self.size // 2)
        if self.size == 1:  # only the pixels that are kept
            return nn.functional.conv2d(smoothed(features_NCHW, self.taps, padding=1, stride=2), weight, self.bias)
        return nn.functional.conv2d(smoothed(features_NCHW, self.taps, padding=2), weight, self.bias, stride=2)


def binomial() -> Tensor:
    """[1, 3, 3, 1] × [1, 3, 3, 1] with sum 1: (1, 1, 4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(taps, taps)[None, None]


def smoothed(features_NCHW: Tensor, taps: Tensor, *, padding: int, stride: int = 1) -> Tensor:
    """Features filtered by `taps` (1, 1, 4, 4): (N, C, H + 2 padding - 3, …), every `stride`-th."""
    channels = features_NCHW.shape[1]
    kernel = taps.to(features_NCHW.dtype).expand(channels, 1, -1, -1)
    return nn.functional.conv2d(features_NCHW, kernel, padding=padding, stride=stride, groups=channels)


def enlarged(images_NCHW: Tensor, taps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W), zeros put between the pixels and filtered by `taps` (1, 1, 4, 4) · 4."""
    channels = images_NCHW.shape[1]
    kernel = (4 * taps).to(images_NCHW.dtype).expand(channels, 1, -1, -1)
    with torch.autocast(images_NCHW.device.type, enabled=False):  # an image is a sum over resolutions, kept exact
        return nn.functional.conv_transpose2d(images_NCHW, kernel, stride=2, padding=1, groups=channels)


class ModulatedConvolution(nn.Module):
    """A convolution whose weights an image's style scales: features (N, C, H, W), style (N, S) -> (N, C', H, W) or twice that.

    w'_ijk = s_i · w_ijk (eq. 1), and demodulated w'' = w' / √(Σ_ik w'² + ε) (eq. 3). Since both factors are by channel, they
    go to the convolution's inputs and outputs, and one convolution serves the whole batch, in place of a group an image.
    """

    taps: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, style_size: int, *, up: bool = False, demodulate: bool = True):
        super().__init__()
        self.size, self.up, self.demodulate = size, up, demodulate
        self.style = EqualLinear(style_size, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.gain = (inputs * size**2) ** -0.5
        self.register_buffer("taps", binomial(), persistent=False)

    def forward(self, features_NCHW: Tensor, style_NS: Tensor) -> Tensor:
        weight, scale_NC = self.weight * self.gain, self.style(style_NS)
        features_NCHW = features_NCHW * scale_NC[:, :, None, None]
        if self.up:
            features_NCHW = nn.functional.conv_transpose2d(features_NCHW, weight.transpose(0, 1), stride=2)
            features_NCHW = smoothed(features_NCHW, 4 * self.taps, padding=1)
        else:
            features_NCHW = nn.functional.conv2d(features_NCHW, weight, padding=self.size // 2)
        if self.demodulate:
            features_NCHW = features_NCHW * self.demodulation(scale_NC).to(features_NCHW.dtype)[:, :, None, None]
        return features_NCHW

    def demodulation(self, scale_NC: Tensor) -> Tensor:
        """1 / √(Σ_ik w'² + ε) of each output channel (eq. 3), from the inputs' scales: (N, C')."""
        with torch.autocast(scale_NC.device.type, enabled=False):
            power = (self.weight * self.gain).square().sum(dim=(2, 3))
            return (scale_NC.to(power.dtype).square() @ power.T + _EPSILON).rsqrt()


class Mapping(nn.Module):
    """Latents (N, Z), labels (N,) -> styles (N, S): fully connected layers with a hundredth of the learning rate.

    With classes, an embedding of the label, normalised, is joined to the normalised latents (StyleGAN2-ADA: Karras et al.
    2020, arXiv:2006.06676, app. D.2). With `latent_size` 0 only the label is mapped.
    """

    def __init__(self, latent_size: int, num_classes: int, style_size: int, num_layers: int, lr: float = 0.01):
        super().__init__()
        self.latent_size, self.num_classes = latent_size, num_classes
        self.embedding = EqualLinear(num_classes, style_size) if num_classes else None
        inputs = latent_size + (style_size if num_classes else 0)
        self.layers = nn.ModuleList(EqualLinear(style_size if number else inputs, style_size, lr=lr) for number in range(num_layers))

    def forward(self, latents_NZ: Tensor, labels_N: Tensor | None) -> Tensor:
        parts = [normalised(latents_NZ)] if self.latent_size else []
        if self.embedding is not None:
            codes = with_class(latents_NZ[:, :0], labels_N, self.num_classes)
            parts.append(normalised(self.embedding(codes)))
        styles = torch.cat(parts, dim=1)
        for layer in self.layers:
            styles = activated(layer(styles))
        return styles


class MinibatchDeviation(nn.Module):
    """Joins a channel with the standard deviation over a group of images (Karras et al. 2018, arXiv:1710.10196, sec. 3).

    (N, C, H, W) -> (N, C + 1, H, W). A group has at most `group_size` images, the largest number that divides N.
    """

    def __init__(self, group_size: int):
        super().__init__()
        self.group_size = group_size

    def forward(self, features_NCHW: Tensor) -> Tensor:
        count, _, height, width = features_NCHW.shape
        size = max(number for number in range(1, min(self.group_size, count) + 1) if count % number == 0)
        exact = features_NCHW.to(torch.promote_types(features_NCHW.dtype, torch.float32))
        groups = exact.unflatten(0, (size, count // size))
        variance = (groups - groups.mean(dim=0)).square().mean(dim=0)
        deviation_G = (variance + _EPSILON).sqrt().mean(dim=(1, 2, 3))
        channel = deviation_G.repeat(size)[:, None, None, None].expand(-1, 1, height, width)
        return torch.cat([features_NCHW, channel.to(features_NCHW.dtype)], dim=1)
