"""Consistency: D is to say the same of an image and of its copy, flipped and shifted by a few pixels.

On real images (Zhang et al. 2020, arXiv:1910.12027: CR-GAN), and on generated ones too where `fake_weight` is
above zero (Zhao et al. 2021, arXiv:2002.04724: balanced, bCR).
"""

from collections.abc import Callable

import pydantic
import torch
from torch import Tensor

from .. import choices
from ..play import Draw, Judged

SIDE = "discriminator"
SMALL: choices.Section = {"flip": True, "shift": 1}


class Config(choices.Config):
    """`flip`: half of the copies are mirrored left to right; `shift`: by up to so many pixels, down and right, or back.

    `real_weight`, `fake_weight`: λ of the real and of the generated images.
    """

    flip: bool
    shift: int = pydantic.Field(ge=0, strict=True)
    real_weight: float = pydantic.Field(ge=0, default=10.0)
    fake_weight: float = pydantic.Field(ge=0, default=0.0)

    @pydantic.model_validator(mode="after")
    def does_something(self) -> "Config":
        if not self.flip and self.shift == 0:
            raise ValueError("flip: false and shift: 0 change no image; set one of them")
        if self.real_weight == 0 and self.fake_weight == 0:
            raise ValueError("real_weight and fake_weight are both 0; leave the penalty out instead")
        return self


def defaults(fit: choices.Fit) -> choices.Section:
    """The paper's shift, 4 pixels of 32; no flip, which it has too, since digits and writing are not their mirror images."""
    return {"flip": False, "shift": max(1, min(fit.shape[1:]) // 8)}


def penalty(config: Config, real: Judged, fake: Judged, judge: Callable[[Tensor], Tensor], uniform: Draw) -> Tensor:
    """real_weight · (D(x) − D(T(x)))² + fake_weight · (D(G(z)) − D(T(G(z))))²: (N,).

    `real`, `fake`: images (N, C, H, W) and their logits (N,); `judge`: images -> logits; `uniform`: (purpose, size) -> (N, size).
    """
    total = torch.zeros_like(real[1])
    for kind, weight, (images, logits) in (("real", config.real_weight, real), ("fake", config.fake_weight, fake)):
        if weight > 0:
            copies = transformed(config, images.detach(), uniform(kind, 3))
            total = total + weight * (logits - judge(copies)).square()
    return total


def transformed(config: Config, images: Tensor, uniform: Tensor) -> Tensor:
    """T(images) (N, C, H, W) by numbers (N, 3) in (0, 1): for the flip and the shift down and right; edges are mirrored."""
    if config.flip:
        images = torch.where(uniform[:, 0, None, None, None] < 0.5, images.flip(3), images)
    height, width = images.shape[2:]
    steps = (uniform[:, 1:] * (2 * config.shift + 1)).floor() - config.shift
    down, right = (_shifting(steps[:, axis], side).to(images.dtype)[:, None] for axis, side in enumerate((height, width)))
    return down @ images @ right.mT


def _shifting(steps: Tensor, side: int) -> Tensor:
    """Matrices (N, side, side) that shift a column of `side` pixels by whole `steps` (N,): row i takes pixel i − step.

    Pixels from outside are mirrored at the edge pixel. A product with it needs no gather, whose gradient would not be exact.
    """
    places = torch.arange(side, device=steps.device, dtype=steps.dtype)
    taken = (places - steps.clamp(1 - side, side - 1)[:, None]).abs()
    taken = torch.where(taken > side - 1, 2 * (side - 1) - taken, taken)
    return taken[:, :, None] == places
