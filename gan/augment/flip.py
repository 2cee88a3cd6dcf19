"""Mirror images at random, each axis with probability 1/2."""

from typing import Literal

import pydantic
import torch
from torch import Tensor

from .. import choices
from ._draws import Uniform, per_image

SMALL: choices.Section = {}

_DIMENSIONS = {"vertical": 2, "horizontal": 3}


class Config(choices.Config):
    """`axes`: horizontal swaps left and right, vertical top and bottom. Generated images will hold both sides, text too."""

    axes: list[Literal["horizontal", "vertical"]] = pydantic.Field(default=["horizontal"], min_length=1, max_length=2)


def augment(config: Config, images: Tensor, uniform: Uniform, probability: float) -> Tensor:
    """(N, C, H, W) -> the same shape; every axis of every image mirrored with `probability` / 2."""
    for axis in sorted(set(config.axes)):
        mirrored = uniform(axis, 1)[:, 0] < probability / 2
        images = torch.where(per_image(mirrored), images.flip(_DIMENSIONS[axis]), images)
    return images
