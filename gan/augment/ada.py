"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676, section 3 and appendix B).

Every transformation comes with probability p and is neutral otherwise, so that the generator learns none of them while p stays
under about .8. p follows how far the discriminator overfits (mode adaptive), or rises by plan (mode fixed; R3GAN: Huang et al.
2024, arXiv:2501.05441, to .55 on CIFAR-10).

Not the paper's: images are resampled by a cubic, not by sym6 wavelets; stretches are cut off at 2.5 sigmas; no filter, noise or
cutout, which the paper found to harm or not to help.
"""

import math
from typing import Literal

import pydantic
import torch
from torch import Tensor

from .. import choices
from ._draws import Uniform, normal, num_colors, per_image, whole
from ._warp import MOST_SIGMAS, blit, warp

SMALL: choices.Section = {}

_MOST_SHIFT = 0.125  # of a side: the furthest whole shift, and one sigma of the fractional one
_SCALE = _STRETCH = 0.2  # sigma of log2
_BRIGHTNESS = 0.2  # sigma, in values of [-1, +1]
_CONTRAST, _SATURATION = 0.5, 1.0  # sigma of log2


class Config(choices.Config):
    """When and how much."""

    mode: Literal["adaptive", "fixed"] = "adaptive"
    target: float = pydantic.Field(default=0.6, ge=-1, le=1)  # adaptive: of the mean of sign(D(real)); above it p rises
    speed_kimg: float = pydantic.Field(default=500, gt=0)  # adaptive: thousand real images in which p can go from 0 to 1
    schedule: Literal["cosine", "constant"] = "cosine"  # fixed: from 0 to `final`, or `final` from the first image
    final: float = pydantic.Field(default=0.55, ge=0, le=1)  # fixed: the last p
    until: float = pydantic.Field(default=1.0, gt=0, le=1)  # fixed: share of the training after which p is `final`
    most: float = pydantic.Field(default=0.8, ge=0, le=1)  # p never exceeds it, in either mode
    blit: bool = True  # x-flips, quarter turns (half turns if not square), whole shifts
    geometry: bool = True  # scale, stretch, rotation, fractional shifts
    color: bool = True  # brightness, contrast, luma flip, hue, saturation


def defaults(fit: choices.Fit) -> choices.Section:
    """The paper's speed is for trainings of many thousand kimg; in a short one p can reach 1 within half of it."""
    return {"speed_kimg": min(500, choices.rounded(fit.total_kimg / 2))}


def probability(config: Config, share: float, adapted: float) -> float:
    """p in [0, most]. `share`: of the training's images, [0, 1]; `adapted`: what `adapt` gave last, 0 at the start."""
    if config.mode == "adaptive":
        return min(max(adapted, 0.0), config.most)
    rise = (1 - math.cos(math.pi * min(share / config.until, 1))) / 2 if config.schedule == "cosine" else 1.0
    return min(config.final * rise, config.most)


def adapt(config: Config, adapted: float, sign: float, num_images: int) -> float:
    """The next p in [0, most]; `sign`: r_t, the mean of sign(D(real)) over the `num_images` seen since the last call."""
    if config.mode == "fixed":
        return adapted
    step = num_images / (config.speed_kimg * 1000)
    return min(max(adapted + step * ((sign > config.target) - (sign < config.target)), 0.0), config.most)


def augment(config: Config, images: Tensor, uniform: Uniform, probability: float) -> Tensor:
    """(N, C, H, W) in [-1, +1] -> the same shape, not clipped. At `probability` 0 the same bits."""
    if probability <= 0:
        return images
    with torch.autocast(images.device.type, enabled=False):  # or bfloat16 would blur images that nothing is done to
        if config.blit:
            images = moved(images, uniform, probability)
        if config.geometry:
            images = warped(images, uniform, probability)
        return colored(images, uniform, probability) if config.color else images


def gated(uniforms: Tensor, probability: float, values: Tensor, neutral: float) -> Tensor:
    """`values` where `uniforms` < `probability`, else `neutral`: (N,)."""
    return torch.where(uniforms < probability, values, torch.full_like(values, neutral))


def moved(images: Tensor, uniform: Uniform, probability: float) -> Tensor:
    """Pixel blitting: x-flip, quarter turns, whole shifts. Each draw can be neutral too: a flip comes with `probability` / 2."""
    gates = uniform("blit gates", 3).to(images.dtype).unbind(1)
    flip, turn, x, y = uniform("blit", 4).to(images.dtype).unbind(1)
    height, width = images.shape[2:]
    flips = gated(gates[0], probability, whole(flip, 0, 1), 0) == 1
    turns = whole(turn, 0, 3) if height == width else 2 * whole(turn, 0, 1)
    turns = gated(gates[1], probability, turns, 0)
    shifts = [((2 * amount - 1) * _MOST_SHIFT * side).round() for amount, side in ((x, width), (y, height))]
    shift = torch.stack([gated(gates[2], probability, amount, 0) for amount in shifts], dim=1)
    return blit(images, flips, turns, shift)


def warped(images: Tensor, uniform: Uniform, probability: float) -> Tensor:
    """Geometry: isotropic scale, rotation, anisotropic scale, rotation, fractional shift.

    Each rotation comes with 1 − √(1 − p), so that one of them or both come with p (appendix B).
    """
    gates = uniform("geometry gates", 5).to(images.dtype).unbind(1)
    scale, before, stretch, after, x, y = uniform("geometry", 6).to(images.dtype).unbind(1)
    rotation_probability = 1 - math.sqrt(1 - probability)
    scale = gated(gates[0], probability, torch.exp2(_SCALE * normal(scale, MOST_SIGMAS)), 1)
    before = gated(gates[1], rotation_probability, (2 * before - 1) * math.pi, 0)
    stretch = gated(gates[2], probability, torch.exp2(_STRETCH * normal(stretch, MOST_SIGMAS)), 1)
    after = gated(gates[3], rotation_probability, (2 * after - 1) * math.pi, 0)
    shifts = [normal(amount) * _MOST_SHIFT * side for amount, side in ((x, images.shape[3]), (y, images.shape[2]))]
    shift = torch.stack([gated(gates[4], probability, amount, 0) for amount in shifts], dim=1)
    return warp(images, scale, stretch, before, before + after, shift)


def colored(images: Tensor, uniform: Uniform, probability: float) -> Tensor:
    """Brightness, contrast, luma flip, hue, saturation as one matrix and offset a image; alpha stays.

    Where there are no three colours: brightness, contrast, and the luma flip, which then is the negative.
    """
    gates = uniform("color gates", 5).to(images.dtype).unbind(1)
    brightness, contrast, flip, hue, saturation = uniform("color", 5).to(images.dtype).unbind(1)
    brightness = gated(gates[0], probability, normal(brightness) * _BRIGHTNESS, 0)
    contrast = gated(gates[1], probability, torch.exp2(_CONTRAST * normal(contrast)), 1)
    flip = gated(gates[2], probability, whole(flip, 0, 1), 0)
    colors, alpha = images.split([num_colors(images.shape[1]), images.shape[1] - num_colors(images.shape[1])], dim=1)
    luma = 1 - 2 * flip  # what happens to the grey part of a colour
    if colors.shape[1] != 3:
        return per_image(luma * contrast) * (colors + per_image(brightness))
    hue = gated(gates[3], probability, (2 * hue - 1) * math.pi, 0)
    saturation = gated(gates[4], probability, torch.exp2(_SATURATION * normal(saturation)), 1)
    matrix = contrast[:, None, None] * color_matrix(luma, hue, saturation)
    size = colors.shape
    changed = (matrix @ (colors + per_image(brightness)).flatten(2)).reshape(size)
    return torch.cat([changed, alpha], dim=1)


def color_matrix(luma: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Of RGB: the part along grey times `luma`, the part across it turned by `hue` radians, times `saturation`: (N, 3, 3).

    With v = (1, 1, 1) / √3 it is luma v vᵀ + saturation (cos (1 − v vᵀ) + sin [v]×), Rodrigues' rotation about grey; exactly
    the identity where (luma, hue, saturation) is (1, 0, 1). All arguments (N,).
    """
    identity = torch.eye(3, dtype=hue.dtype, device=hue.device)
    grey = torch.full_like(identity, 1 / 3)
    cross = (identity.roll(1, 0) - identity.roll(1, 1)) / math.sqrt(3)
    cos, sin = ((saturation * part)[:, None, None] for part in (hue.cos(), hue.sin()))
    return cos * identity + (luma[:, None, None] - cos) * grey + sin * cross
