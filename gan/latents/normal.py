"""Standard normal latents, N(0, I) (Goodfellow et al. 2014, arXiv:1406.2661)."""

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams
from ._arcs import slerp

SMALL: choices.Section = {"size": 6}


class Config(choices.Config):
    """`size`: numbers an image is made from."""

    size: int = pydantic.Field(ge=1, strict=True)


def defaults(fit: choices.Fit) -> choices.Section:
    """As every recipe has it, and R3GAN for images of any size (Huang et al. 2024, arXiv:2501.05441)."""
    return {"size": 64}


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Latents (N, size) float32 of the indices (N,) of a stream."""
    return torch.from_numpy(streams.normal(stream, indices, config.size))


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Spherical interpolation of (N, size), which keeps the norm typical; share in [0, 1]."""
    return slerp(start, end, share)
