"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): colour, translation, cutout. For a few hundred images: all three."""

from typing import Literal

import pydantic
import torch
from torch import Tensor

from .. import choices
from ._draws import Uniform, num_colors, per_image, whole

SMALL: choices.Section = {}

Policy = Literal["color", "translation", "cutout"]

_POLICIES: tuple[Policy, ...] = ("color", "translation", "cutout")  # the order in which they are applied


class Config(choices.Config):
    """`policies`: which of the three; their order does not matter."""

    policies: list[Policy] = pydantic.Field(default=list(_POLICIES), min_length=1, max_length=3)


def augment(config: Config, images: Tensor, uniform: Uniform, probability: float) -> Tensor:
    """(N, C, H, W) in [-1, +1] -> the same shape, not clipped. An image is left as it is with 1 − `probability`."""
    changed = images
    for policy in _POLICIES:
        if policy in config.policies:
            changed = {"color": color, "translation": translation, "cutout": cutout}[policy](changed, uniform)
    if probability >= 1:
        return changed
    return torch.where(per_image(uniform("apply", 1)[:, 0] < probability), changed, images)


def color(images: Tensor, uniform: Uniform) -> Tensor:
    """Brightness, saturation, contrast; alpha stays.

    Brightness adds U(−.5, +.5) to values in [-1, +1]: up to a quarter of the way from black to white, 64 of 255 levels.
    Saturation takes each pixel to U(0, 2) times its distance from its mean over colours (a grey image has none to take).
    Contrast takes it to U(.5, 1.5) times its distance from the image's mean.
    """
    colors, alpha = images.split([num_colors(images.shape[1]), images.shape[1] - num_colors(images.shape[1])], dim=1)
    brightness, saturation, contrast = (per_image(column) for column in uniform("color", 3).to(images.dtype).unbind(1))
    colors = colors + (brightness - 0.5)
    if colors.shape[1] == 3:
        grey = colors.mean(dim=1, keepdim=True)
        colors = grey + (colors - grey) * (2 * saturation)
    mean = colors.mean(dim=(1, 2, 3), keepdim=True)
    return torch.cat([mean + (colors - mean) * (0.5 + contrast), alpha], dim=1)


def translation(images: Tensor, uniform: Uniform) -> Tensor:
    """A shift by whole pixels, up to 1/8 of each side; what comes in is 0, mid-grey (and half transparent), as in the paper."""
    uniforms = uniform("translation", 2).to(images.dtype)

    def shift(size: int, axis: int) -> Tensor:
        most = int(size / 8 + 0.5)
        places = torch.arange(size, dtype=images.dtype, device=images.device)
        source = places[:, None] - whole(uniforms[:, axis], -most, most)[:, None, None]
        return (places == source).to(images.dtype)[:, None]  # (N, 1, size, size) of 0 and 1

    return shift(images.shape[2], 0) @ images @ shift(images.shape[3], 1).transpose(2, 3)


def cutout(images: Tensor, uniform: Uniform) -> Tensor:
    """A rectangle of half of each side, its centre anywhere in the image, is set to 0 in all channels."""
    uniforms = uniform("cutout", 2).to(images.dtype)

    def inside(size: int, axis: int) -> Tensor:
        side = int(size / 2 + 0.5)
        first = whole(uniforms[:, axis], 0, size - side % 2)[:, None] - side // 2
        places = torch.arange(size, dtype=images.dtype, device=images.device)
        return (places >= first) & (places < first + side)

    hole = inside(images.shape[2], 0)[:, :, None] & inside(images.shape[3], 1)[:, None, :]
    return images * ~hole[:, None]
